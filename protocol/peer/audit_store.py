"""What is asked of a ledger when it is audited, as a list of checks in SQL.

Nothing here calls the code that wrote what is looked at: a check states what holds on
a sound ledger, and its query gives every row for which that is untrue, in four
columns: ``place`` (the table), ``key``, ``found`` and ``expected``. A new check is a
query in the file beside this one and a line in ``CHECKS``; what only one house keeps
is in its own ``audit_store``. Who runs them is ``protocol.peer.audit``.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Sequence,
)
from contextlib import aclosing
from typing import NamedTuple

import asyncpg
import msgspec

from protocol.instant import Instant, from_datetime, to_datetime
from protocol.messages import NOTHING_HASH
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
#: Of one stream, for ``audit_pages``; rows are ``StoredEnvelope``.
READ_ENVELOPES = _SQL["read_envelopes"]

#: A value is shown to people, not kept: this much of it.
_SHOWN_LENGTH_MAX = 200
_ROWS_AT_ONCE = 500


class Finding(msgspec.Struct, frozen=True):
    """A row that is not what the others say it must be.

    Attributes:
        check: name of the check that found it.
        table: where the row stands.
        key: which row it is.
        found: what it says.
        expected: what it should say.
    """

    check: str
    table: str
    key: str
    found: str
    expected: str


class Check(msgspec.Struct, frozen=True):
    """Something that holds on every sound ledger, and how to find where it does not.

    Attributes:
        name: of the check and of its query.
        told: what holds, one sentence.
        sql: gives the rows for which it does not.
        values: the query's arguments.
    """

    name: str
    told: str
    sql: str
    values: tuple[object, ...] = ()


class Walk(NamedTuple):
    """A check that SQL alone cannot make.

    ``walk`` gives how much of it is done, of 1, and what was found there.
    """

    name: str
    told: str
    walk: Callable[[AnyConnection], AsyncGenerator[tuple[float, list[Finding]]]]


class StoredEnvelope(msgspec.Struct, frozen=True):
    """An envelope as it is stored, with the leaf hashes of its items."""

    first: int
    count: int
    line_1: str
    payload_hash: str
    life: str
    leaves: Sequence[bytes]


class StoredChange(NamedTuple):
    """A directory decision as it is stored."""

    sequence: int
    group: str
    line: bytes


class Stream(NamedTuple):
    """The envelopes that came from a peer (``in``) or went to it (``out``)."""

    peer: str
    direction: str
    many: int


#: What every server's ledger, transfers and links must be.
CHECKS = (
    Check(
        "balances_are_sums",
        "Every balance is the sum of its account's postings.",
        _SQL["balances_are_sums"],
    ),
    Check(
        "histories_run",
        "Every balance after a posting is the running sum up to it.",
        _SQL["histories_run"],
    ),
    Check(
        "entries_sum_to_zero",
        "The postings of every entry sum to zero in each unit.",
        _SQL["entries_sum_to_zero"],
    ),
    Check(
        "entries_have_postings",
        "Every entry has two postings or more, and every posting an entry.",
        _SQL["entries_have_postings"],
    ),
    Check(
        "entries_have_no_gaps",
        "Entries are numbered without gaps.",
        _SQL["entries_have_no_gaps"],
    ),
    Check(
        "ledger_sums_to_zero",
        "All balances, and all postings, sum to zero in each unit.",
        _SQL["ledger_sums_to_zero"],
    ),
    Check(
        "held_amounts_are_sums",
        "What is held on every account is the sum of the holds that stand.",
        _SQL["held_amounts_are_sums"],
    ),
    Check(
        "holds_follow_transfers",
        "Every hold stands as its transfer does.",
        _SQL["holds_follow_transfers"],
    ),
    Check(
        "system_accounts_have_no_limits",
        "The server's own accounts have no limits, and nobody froze or closed one.",
        _SQL["system_accounts_have_no_limits"],
    ),
    Check(
        "entries_are_of_cleared_transfers",
        "Every entry that names a transfer names a cleared one, and its content.",
        _SQL["entries_are_of_cleared_transfers"],
    ),
    Check(
        "refunds_are_counted",
        "Every transfer counts the refunds of it that are held or cleared.",
        _SQL["refunds_are_counted"],
    ),
    Check(
        "corrections_are_negations",
        "Every counter-entry is the exact negation of the entry that it names.",
        _SQL["corrections_are_negations"],
    ),
    Check(
        "contents_have_their_names",
        "Every content line is named by its hash.",
        _SQL["contents_have_their_names"],
    ),
    Check(
        "items_have_no_gaps",
        "The items of every stream are numbered without gaps.",
        _SQL["items_have_no_gaps"],
    ),
    Check(
        "links_stand_where_streams_end",
        "Every link stands where its stored streams end.",
        _SQL["links_stand_where_streams_end"],
        (NOTHING_HASH,),
    ),
)


def finding(
    check: str, table: str, key: object, found: object, expected: object
) -> Finding:
    """Write a finding down, as long as people can read."""
    return Finding(check, table, _show(key), _show(found), _show(expected))


def _show(value: object) -> str:
    text = str(value)
    if len(text) > _SHOWN_LENGTH_MAX:
        return text[:_SHOWN_LENGTH_MAX] + "..."
    return text


async def look(connection: AnyConnection, check: Check) -> AsyncIterator[Finding]:
    """Give every row for which a check does not hold, a few at a time.

    Args:
        connection: inside a database transaction.
        check: what must hold.
    """
    try:
        # A savepoint, so that the other checks go on after one that broke off.
        async with connection.transaction():
            async for row in connection.cursor(
                check.sql, *check.values, prefetch=_ROWS_AT_ONCE
            ):
                yield finding(
                    check.name, row["place"], row["key"], row["found"], row["expected"]
                )
    except asyncpg.DataError as error:
        yield _uncomputable(check.name, error)


async def look_along(
    connection: AnyConnection, walk: Walk
) -> AsyncIterator[tuple[float, list[Finding]]]:
    """Give how much of a walk is done, of 1, and what was found there.

    Args:
        connection: inside a database transaction.
        walk: what must hold.
    """
    try:
        async with connection.transaction(), aclosing(walk.walk(connection)) as steps:
            async for part, several in steps:
                yield part, several
    except asyncpg.DataError as error:
        yield 1.0, [_uncomputable(walk.name, error)]


def _uncomputable(check: str, error: asyncpg.DataError) -> Finding:
    """Name what broke off: a row holds what cannot even be computed with."""
    expected = "amounts that can be added up"
    return finding(check, "database", "all rows", error, expected)


async def read_sums(connection: AnyConnection) -> dict[str, int]:
    """Give what all postings sum to, by unit."""
    rows = await connection.fetch(_SQL["read_sums"])
    return {row["unit"]: int(row["total"]) for row in rows}


async def read_changes(connection: AnyConnection) -> list[StoredChange]:
    """Give all directory decisions, oldest first."""
    rows = await connection.fetch(_SQL["read_changes"])
    return [StoredChange(*row) for row in rows]


async def read_streams(connection: AnyConnection) -> list[Stream]:
    """Give the streams that have envelopes."""
    return [Stream(*row) for row in await connection.fetch(_SQL["read_streams"])]


async def read_newest(connection: AnyConnection) -> tuple[Instant, int] | None:
    """Say when this server last audited itself, and how much it found."""
    row = await connection.fetchrow(_SQL["read_newest"])
    return None if row is None else (from_datetime(row["at"]), row["findings"])


async def write_newest(connection: AnyConnection, at: Instant, findings: int) -> None:
    """Remember when this server audited itself, and how much it found."""
    await connection.execute(_SQL["write_newest"], to_datetime(at), findings)
