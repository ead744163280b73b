"""The cycles' part in the hub's audit: closes, statements and legs are as they were.

What a statement says is recomputed in SQL, from the postings alone; only its digest is
chained here, and the tree hash of all statements that the close was decided with.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from clearing import cycle_store
from protocol.cycle import tally_of
from protocol.envelope import root_of
from protocol.messages import CycleMove, CycleStatement, read_item
from protocol.peer.audit_store import Check, Finding, finding
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
NAME = "statements_add_up"
TOLD = "Every statement is what the postings make of it, and all sum to zero."

CHECKS = (
    Check(
        "settled_legs_are_booked",
        "Every settled leg has moved both positions, and nothing else has.",
        _SQL["settled_legs_are_booked"],
    ),
    Check(
        "legs_were_decided",
        "Every leg that has ended did so by its decision.",
        _SQL["legs_were_decided"],
    ),
    Check(
        "legs_were_told",
        "Every leg is what both its groups were told.",
        _SQL["legs_were_told"],
    ),
    Check(
        "words_were_taken",
        "Every word on a leg is an item of its group.",
        _SQL["words_were_taken"],
    ),
    Check(
        "statements_were_answered",
        "Every statement has the answer that its group has given.",
        _SQL["statements_were_answered"],
    ),
    Check(
        "cycles_were_decided",
        "Every cycle ended by its decision.",
        _SQL["cycles_were_decided"],
    ),
)


class _Closed(NamedTuple):
    """A cycle that has ended, as its row says."""

    cycle: int
    groups: int
    statements: str
    reserve: int


class _Recomputed(NamedTuple):
    """A statement beside what the postings come to."""

    group: str
    line: bytes
    opening: int
    debits: int
    credits: int
    moves: int


async def walk(
    connection: AnyConnection,
) -> AsyncGenerator[tuple[float, list[Finding]]]:
    """Walk all cycles; gives how much is done, of 1, and what was found there."""
    cycles = await connection.fetch(_SQL["read_cycles"])
    for place, cycle in enumerate(cycles, start=1):
        yield place / len(cycles), await _look_at(connection, _Closed(*cycle))


async def _look_at(connection: AnyConnection, cycle: _Closed) -> list[Finding]:
    number, total = cycle.cycle, cycle.reserve
    found_rows = await connection.fetch(_SQL["read_recomputed"], number)
    rows = [_Recomputed(*row) for row in found_rows]
    found: list[Finding] = []
    for row in rows:
        stated = read_item(row.line)
        if not isinstance(stated, CycleStatement):
            key = f"{number}, {row.group}"
            found.append(finding(NAME, "statement", key, "no statement", "one"))
            continue
        total += stated.closing
        moves = await cycle_store.read_moves(connection, stated)
        # In a thread: a long list is all computing, and others have their turn.
        found += await asyncio.to_thread(_compare, row, stated, moves)
    for name, kept, lawful in (
        ("groups", cycle.groups, len(rows)),
        ("statements", cycle.statements, root_of([row.line for row in rows])),
        ("sum", total, 0),
    ):
        if kept != lawful:
            told = f"{name} {kept}", f"{name} {lawful}"
            found.append(finding(NAME, "cycle", str(number), *told))
    return found


def _compare(
    row: _Recomputed, stated: CycleStatement, moves: list[CycleMove]
) -> list[Finding]:
    """Compare what a statement says with what was booked."""
    lawful = {
        "group": row.group,
        "opening": row.opening,
        "debits": row.debits,
        "credits": row.credits,
        "count": row.moves,
        "closing": row.opening + row.credits - row.debits,
        "digest": tally_of(moves).digest,
    }
    key = f"{stated.cycle}, {row.group}"
    return [
        finding(
            NAME,
            "statement",
            key,
            f"{name} {getattr(stated, name)}",
            f"{name} {expected}",
        )
        for name, expected in lawful.items()
        if getattr(stated, name) != expected
    ]
