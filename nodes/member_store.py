"""A node's own tables: members, how orders were answered, what it joined."""

from collections.abc import Sequence

import asyncpg
import msgspec

from nodes.rules import Answer, KeepAnswer, NoteDecision, Order, SaveMember
from protocol.effects import Effect
from protocol.errors import RefusalCode
from protocol.instant import Instant, from_datetime, to_datetime
from protocol.ledger import GROUP_UNIT, Account, AccountKind
from protocol.messages import NOTHING_HASH
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


class Membership(msgspec.Struct, frozen=True):
    """Which federation this node has joined, and as what.

    Attributes:
        federation: the whole id.
        group: our name in it.
        hub_url: where the hub is reached.
        statement: the hub's keys as the root key signed them.
        entry: our own entry as we signed it.
    """

    federation: str
    group: str
    hub_url: str
    statement: str
    entry: str


class Member(msgspec.Struct, frozen=True):
    """A member and her account."""

    name: str
    account: Account


async def read_membership(connection: AnyConnection) -> Membership | None:
    """Say what this node has joined, if anything."""
    try:
        row = await connection.fetchrow(_SQL["read_membership"])
    except asyncpg.UndefinedTableError:
        # A new database, before init or join.
        return None
    return None if row is None else Membership(*row)


async def write_membership(connection: AnyConnection, joined: Membership) -> None:
    """Remember what this node has joined, and begin its link with the hub."""
    async with connection.transaction():
        await connection.execute(
            _SQL["insert_membership"],
            joined.federation,
            joined.group,
            joined.hub_url,
            joined.statement,
            joined.entry,
        )
        await connection.execute(_SQL["insert_link"], NOTHING_HASH)


async def read_newest(connection: AnyConnection) -> tuple[str, int] | None:
    """Give log and number of the newest decision taken."""
    row = await connection.fetchrow(_SQL["read_newest"])
    return None if row is None else (row["log"], row["number"])


async def read_clearing(connection: AnyConnection) -> int:
    """Give the clearing account's balance; 0 before it is there."""
    found: int | None = await connection.fetchval(_SQL["read_group"])
    return found or 0


async def read_answers(
    connection: AnyConnection, orders: Sequence[Order]
) -> dict[tuple[str, str], Answer]:
    """Give, by caller and key, how such orders were answered before."""
    rows = await connection.fetch(
        _SQL["read_answers"],
        [order.caller for order in orders],
        [order.key for order in orders],
    )
    return {
        (row["caller"], row["key"]): Answer(
            body_hash=row["body_hash"],
            transfer_id=str(row["transfer_id"]) if row["transfer_id"] else None,
            code=RefusalCode(row["code"]) if row["code"] else None,
            at=from_datetime(row["at"]),
        )
        for row in rows
    }


async def read_member(connection: AnyConnection, account_id: str) -> Member | None:
    """Give a member by account."""
    row = await connection.fetchrow(_SQL["read_member"], account_id)
    return None if row is None else _member(dict(row))


async def read_members(connection: AnyConnection) -> list[Member]:
    """Give all members, by account."""
    return [_member(dict(row)) for row in await connection.fetch(_SQL["read_members"])]


def _member(fields: dict[str, object]) -> Member:
    name = str(fields.pop("name"))
    account = Account(kind=AccountKind.MEMBER, unit=GROUP_UNIT, **fields)  # type: ignore[arg-type]
    return Member(name, account)


async def write(
    connection: AnyConnection, effects: Sequence[Effect], now: Instant
) -> None:
    """Write a batch's members, answers and newest decision."""
    members = [effect for effect in effects if isinstance(effect, SaveMember)]
    if members:
        await connection.execute(
            _SQL["insert_members"],
            [member.account_id for member in members],
            [member.name for member in members],
            to_datetime(now),
        )
    kept = [effect for effect in effects if isinstance(effect, KeepAnswer)]
    if kept:
        await connection.execute(
            _SQL["insert_answers"],
            [effect.caller for effect in kept],
            [effect.key for effect in kept],
            [effect.answer.body_hash for effect in kept],
            [effect.answer.transfer_id for effect in kept],
            [effect.answer.code for effect in kept],
            [to_datetime(effect.answer.at) for effect in kept],
        )
    notes = [effect for effect in effects if isinstance(effect, NoteDecision)]
    if notes:
        await connection.execute(_SQL["write_newest"], notes[-1].log, notes[-1].number)
