"""A node's own tables: members, how orders were answered, what it joined."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from nodes.rules import (
    Answer,
    KeepAnswer,
    NoteDecision,
    NoteStanding,
    SaveMember,
    Standing,
)
from protocol.effects import Effect
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
    """A member, her account, and since when she has it."""

    name: str
    account: Account
    since: Instant


class Change(msgspec.Struct, frozen=True):
    """What was decided about a member, and by whom.

    Attributes:
        number: rises; also the cursor of a page.
        at: when it was decided.
        author: the name the person signs in with; ``None``: a command beside no
            server, such as an import.
        standing: all that counted from then on.
        reason: in the author's words, where one was given.
    """

    number: int
    at: Instant
    author: str | None
    standing: Standing
    reason: str | None = None


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
    connection: AnyConnection, keyed: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Answer]:
    """Give, by caller and key, how orders were answered before."""
    rows = await connection.fetch(
        _SQL["read_answers"],
        [caller for caller, _ in keyed],
        [key for _, key in keyed],
    )
    return {
        (row["caller"], row["key"]): Answer(
            body_hash=row["body_hash"],
            transfer_id=str(row["transfer_id"]) if row["transfer_id"] else None,
            code=row["code"],
            at=from_datetime(row["at"]),
            entry_id=str(row["entry_id"]) if row["entry_id"] else None,
            account_id=row["account_id"],
        )
        for row in rows
    }


async def read_member(connection: AnyConnection, account_id: str) -> Member | None:
    """Give a member by account."""
    row = await connection.fetchrow(_SQL["read_member"], account_id)
    return None if row is None else _member(dict(row))


async def read_members(
    connection: AnyConnection, after: str = "", size: int | None = None
) -> list[Member]:
    """Give members by account, all of them or a page.

    Args:
        connection: any.
        after: the account to begin behind.
        size: most members to give; ``None``: all.
    """
    rows = await connection.fetch(_SQL["read_members"], after, size)
    return [_member(dict(row)) for row in rows]


async def read_named(
    connection: AnyConnection, accounts: Sequence[str]
) -> list[Member]:
    """Give the members of these accounts, by account; others are left out."""
    rows = await connection.fetch(_SQL["read_named"], list(accounts))
    return [_member(dict(row)) for row in rows]


async def read_names(
    connection: AnyConnection, accounts: Sequence[str]
) -> dict[str, str]:
    """Give display names by account; unknown accounts are left out."""
    rows = await connection.fetch(_SQL["read_names"], accounts)
    return {row["account_id"]: row["name"] for row in rows}


async def read_changes(
    connection: AnyConnection, account_id: str, before: int, size: int
) -> list[Change]:
    """Give what was decided about a member, newest first.

    Args:
        connection: any.
        account_id: whose.
        before: the number to stay below; ``NEWEST`` for the first page.
        size: most changes to give.
    """
    rows = await connection.fetch(_SQL["read_changes"], account_id, before, size)
    return [
        Change(
            number=row["number"],
            at=from_datetime(row["at"]),
            author=row["author"],
            standing=Standing(
                name=row["name"],
                floor=row["floor"],
                ceiling=row["ceiling"],
                frozen=row["frozen"],
                closed=row["closed"],
            ),
            reason=row["reason"],
        )
        for row in rows
    ]


def _member(fields: dict[str, Any]) -> Member:
    name, since = fields.pop("name"), from_datetime(fields.pop("since"))
    return Member(
        name, Account(kind=AccountKind.MEMBER, unit=GROUP_UNIT, **fields), since
    )


async def write(
    connection: AnyConnection, effects: Sequence[Effect], now: Instant
) -> None:
    """Write a batch's members, answers and newest decision."""
    await _write_members(connection, effects, now)
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
            [effect.answer.entry_id for effect in kept],
            [effect.answer.account_id for effect in kept],
        )
    notes = [effect for effect in effects if isinstance(effect, NoteDecision)]
    if notes:
        await connection.execute(_SQL["write_newest"], notes[-1].log, notes[-1].number)


async def _write_members(
    connection: AnyConnection, effects: Sequence[Effect], now: Instant
) -> None:
    # One who is admitted and named anew in one batch is written once, as she is now.
    members = {
        effect.account_id: effect.name
        for effect in effects
        if isinstance(effect, SaveMember)
    }
    if members:
        await connection.execute(
            _SQL["write_members"],
            list(members),
            list(members.values()),
            to_datetime(now),
        )
    notes = [effect for effect in effects if isinstance(effect, NoteStanding)]
    if notes:
        standings = [note.standing for note in notes]
        await connection.execute(
            _SQL["insert_changes"],
            [note.account_id for note in notes],
            [note.author for note in notes],
            [standing.name for standing in standings],
            [standing.floor for standing in standings],
            [standing.ceiling for standing in standings],
            [standing.frozen for standing in standings],
            [standing.closed for standing in standings],
            to_datetime(now),
            [note.reason for note in notes],
        )
