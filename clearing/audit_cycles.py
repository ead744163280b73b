"""The cycles' part in the hub's audit: closes, statements and legs are as they were.

What a statement says is recomputed in SQL, from the postings alone; only its digest is
chained here, and the tree hash of all statements that the close was decided with. And
each plan of legs must lead from the positions before it to the targets that its
exceptions give.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from clearing import cycle_store
from clearing.rules import Leg, Settlement, Statement, aim_of, legs_before
from protocol import netting
from protocol.address import FederationId
from protocol.cycle import leg_id, tally_of
from protocol.envelope import root_of
from protocol.errors import LedgerBrokenError, MalformedMessageError
from protocol.instant import write_instant
from protocol.messages import CycleMove, CycleStatement, read_item
from protocol.peer.audit_store import Check, Finding, Walk, finding
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
        "Every word on a leg is an item of its group, and came when the leg says.",
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


def walk_of(federation: FederationId) -> Walk:
    """Give the walk over all cycles of a federation."""

    async def walk(
        connection: AnyConnection,
    ) -> AsyncGenerator[tuple[float, list[Finding]]]:
        cycles = await connection.fetch(_SQL["read_cycles"])
        for place, row in enumerate(cycles, start=1):
            cycle = _Closed(*row)
            found = await _look_at(connection, cycle)
            found += await _look_at_plans(connection, federation, cycle)
            yield place / len(cycles), found

    return Walk(NAME, TOLD, walk)


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


async def _look_at_plans(
    connection: AnyConnection, federation: FederationId, cycle: _Closed
) -> list[Finding]:
    statements, plans, legs, settled = await cycle_store.read_what_settles(
        connection, cycle.cycle
    )
    found = [
        finding(NAME, "leg", leg.leg_id, f"place {leg.place}", f"the place of {lawful}")
        for leg in legs
        if (lawful := leg_id(federation, *_named(leg))) != leg.leg_id
    ]
    if not all(isinstance(read_item(one.line), CycleStatement) for one in statements):
        # They were named already, and no plan follows from them.
        return found

    def compare() -> list[Finding]:
        return _compare_plans(cycle, statements, plans, legs, settled)

    return found + await asyncio.to_thread(compare)


def _named(leg: Leg) -> tuple[int, int, str, str]:
    return leg.cycle, leg.place, leg.debtor, leg.creditor


def _compare_plans(
    cycle: _Closed,
    statements: Sequence[Statement],
    plans: Sequence[Settlement],
    legs: Sequence[Leg],
    settled: Sequence[Leg],
) -> list[Finding]:
    """Compare each plan with its legs, and these with positions and targets."""
    found, following = [], 0
    for plan in plans:
        own = legs[plan.place : plan.place + plan.legs]
        before = legs_before(plan, settled)
        told = f"{plan.legs} legs from {plan.place} on"
        key = f"{plan.cycle}, {plan.place}"
        if plan.place != following or len(own) != plan.legs:
            told_of = f"as many as there are, from {following} on"
            found.append(finding(NAME, "settlement", key, told, told_of))
        elif {leg.at for leg in own} != {plan.at}:
            at = write_instant(plan.at)
            told_of = "when its legs were made"
            found.append(finding(NAME, "settlement", key, f"made {at}", told_of))
        elif not _leads(cycle, statements, before, plan, own):
            left_out = ", ".join(plan.excepted) or "nobody"
            told = f"legs that leave out {left_out}"
            told_of = "legs from the positions to their targets"
            found.append(finding(NAME, "settlement", key, told, told_of))
        following = plan.place + plan.legs
    if following != len(legs):
        expected = f"{following} legs, as its plans have"
        key = str(cycle.cycle)
        found.append(finding(NAME, "cycle", key, f"{len(legs)} legs", expected))
    return found


def _leads(
    cycle: _Closed,
    statements: Sequence[Statement],
    before: Sequence[Leg],
    plan: Settlement,
    own: Sequence[Leg],
) -> bool:
    """Say whether a plan's legs lead from the positions before it to the targets."""
    legs = [netting.Leg(leg.debtor, leg.creditor, leg.milliseconds) for leg in own]
    try:
        aim = aim_of(cycle.reserve, statements, before, plan.excepted)
    except (MalformedMessageError, LedgerBrokenError, KeyError):
        return False
    return aim.is_met_by(legs) and plan.excepted == tuple(sorted(plan.excepted))
