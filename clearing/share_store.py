"""What groups share, as the hub keeps it: what was told, and what was decided."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import asyncpg

from clearing.rules import KeepShared, Shared, SharedState
from protocol.effects import Effect
from protocol.instant import from_nullable, to_nullable
from protocol.messages import DecisionName
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


class Found(NamedTuple):
    """A sharing with the line of its decision, if there is one."""

    shared: Shared
    decision: bytes | None


async def read_of_groups(
    connection: AnyConnection, groups: Collection[str]
) -> dict[str, Shared]:
    """Give all that was told of what some groups leave, by id, oldest first."""
    rows = await connection.fetch(_SQL["read_of_groups"], sorted(groups))
    return {str(row["shared_id"]): _shared(row) for row in rows}


async def read_shared(connection: AnyConnection, most: int) -> list[Found]:
    """Give sharings, newest first."""
    rows = await connection.fetch(_SQL["read_shared"], most)
    return [Found(_shared(row), row["decision"]) for row in rows]


async def read_group_since(connection: AnyConnection, name: DecisionName) -> str | None:
    """Give a group of which something was shared behind a decision, if any was."""
    found: str | None = await connection.fetchval(
        _SQL["read_group_since"], name.log, name.number
    )
    return found


async def read_one(connection: AnyConnection, shared_id: str) -> Found | None:
    """Give one sharing."""
    row = await connection.fetchrow(_SQL["read_one"], shared_id)
    return None if row is None else Found(_shared(row), row["decision"])


def _shared(row: asyncpg.Record) -> Shared:
    return Shared(
        shared_id=str(row["shared_id"]),
        why=row["why"],
        group=row["group_name"],
        place=row["place"],
        line=row["line"],
        told_at=from_nullable(row["told_at"]),
        state=SharedState(row["state"]),
        name=DecisionName.from_nullable(row["log"], row["number"]),
        decided_at=from_nullable(row["decided_at"]),
    )


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write what a batch has told and decided, in that order."""
    for effect in effects:
        if isinstance(effect, KeepShared):
            await _write_shared(connection, effect.shared)


async def _write_shared(connection: AnyConnection, shared: Shared) -> None:
    name = shared.name
    await connection.execute(
        _SQL["write_shared"],
        shared.shared_id,
        shared.why,
        shared.group,
        shared.place,
        shared.line,
        to_nullable(shared.told_at),
        shared.state.value,
        None if name is None else name.log,
        None if name is None else name.number,
        to_nullable(shared.decided_at),
    )
