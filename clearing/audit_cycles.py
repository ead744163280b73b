"""The cycles' part in the hub's audit: closes, statements and legs are as they were.

What a statement says is recomputed in SQL, from the postings alone; only its digest is
chained here, and the tree hash of all statements that the close was decided with.
"""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg

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
        "cycles_were_decided",
        "Every cycle ended by its decision.",
        _SQL["cycles_were_decided"],
    ),
)


async def walk(
    connection: AnyConnection,
) -> AsyncGenerator[tuple[float, list[Finding]]]:
    """Walk all cycles; gives how much is done, of 1, and what was found there."""
    cycles = await connection.fetch(_SQL["read_cycles"])
    for place, cycle in enumerate(cycles, start=1):
        yield place / len(cycles), await _look_at(connection, cycle)


async def _look_at(connection: AnyConnection, cycle: asyncpg.Record) -> list[Finding]:
    number, total = cycle["cycle"], cycle["reserve"]
    rows = await connection.fetch(_SQL["read_recomputed"], number)
    found: list[Finding] = []
    for row in rows:
        stated = read_item(row["line"])
        if not isinstance(stated, CycleStatement):
            key = f"{number}, {row['group_name']}"
            found.append(finding(NAME, "statement", key, "no statement", "one"))
            continue
        total += stated.closing
        moves = await cycle_store.read_moves(connection, stated)
        # In a thread: a long list is all computing, and others have their turn.
        found += await asyncio.to_thread(_compare, row, stated, moves)
    for name, kept, lawful in (
        ("groups", cycle["groups"], len(rows)),
        ("statements", cycle["statements"], root_of([row["line"] for row in rows])),
        ("sum", total, 0),
    ):
        if kept != lawful:
            told = f"{name} {kept}", f"{name} {lawful}"
            found.append(finding(NAME, "cycle", str(number), *told))
    return found


def _compare(
    row: asyncpg.Record, stated: CycleStatement, moves: list[CycleMove]
) -> list[Finding]:
    """Compare what a statement says with what was booked."""
    opening, debits, credits_ = (row[name] for name in ("opening", "debits", "credits"))
    lawful = {
        "group": row["group_name"],
        "opening": opening,
        "debits": debits,
        "credits": credits_,
        "count": row["count"],
        "closing": opening + credits_ - debits,
        "digest": tally_of(moves).digest,
    }
    key = f"{stated.cycle}, {row['group_name']}"
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
