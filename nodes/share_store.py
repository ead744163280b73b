"""What groups share, as a node keeps it: what we were told, and what we bear."""

from collections.abc import Collection, Sequence

import asyncpg

from nodes.rules import KeepOwnShared, OwnShared
from protocol.effects import Effect
from protocol.instant import from_nullable, to_nullable
from protocol.messages import DecisionName
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_shared_named(
    connection: AnyConnection, ids: Collection[str]
) -> dict[str, OwnShared]:
    """Give sharings by id."""
    rows = await connection.fetch(_SQL["read_shared_named"], sorted(ids))
    return {str(row["shared_id"]): _shared(row) for row in rows}


async def read_shared(connection: AnyConnection, most: int) -> list[OwnShared]:
    """Give sharings, those first that wait for a decision, then newest first."""
    return [_shared(row) for row in await connection.fetch(_SQL["read_shared"], most)]


async def read_borne(connection: AnyConnection) -> int:
    """Give what has been decided comes to, signed as our position."""
    found: int = await connection.fetchval(_SQL["read_borne"])
    return found


def _shared(row: asyncpg.Record) -> OwnShared:
    return OwnShared(
        shared_id=str(row["shared_id"]),
        why=row["why"],
        group=row["group_name"],
        item=row["item"],
        line=row["line"],
        amount=row["amount"],
        name=DecisionName.from_nullable(row["log"], row["number"]),
        decided_at=from_nullable(row["decided_at"]),
    )


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write what a batch was told and took."""
    for effect in effects:
        if isinstance(effect, KeepOwnShared):
            await _write_shared(connection, effect.shared)


async def _write_shared(connection: AnyConnection, own: OwnShared) -> None:
    name = own.name
    await connection.execute(
        _SQL["write_shared"],
        own.shared_id,
        own.why,
        own.group,
        own.item,
        own.line,
        own.amount,
        None if name is None else name.log,
        None if name is None else name.number,
        to_nullable(own.decided_at),
    )
