"""The regional admin has positions settled: legs, by a plan that others search for.

The search for the best plan takes tenths of a second, so it is not made here: whoever
orders brings the plan along (``clearing.settling``), and here it is only checked, leg
by leg, against the positions as they are now. How legs end is in ``legs``.
"""

from collections.abc import Iterable, Sequence

import msgspec

from clearing.rules.cycle_records import (
    ClosedCycle,
    CycleRefused,
    KeepLeg,
    KeepSettlement,
    Leg,
    Settlement,
    Statement,
    StatementState,
)
from clearing.rules.cycles import read_statement
from clearing.rules.view import RESERVE, HubView
from protocol import netting
from protocol.address import Group
from protocol.cycle import leg_id
from protocol.directory import Directory
from protocol.effects import Effect, Effects, SendItem
from protocol.errors import CycleRefusalCode, LedgerBrokenError
from protocol.instant import Instant
from protocol.messages import write_line
from protocol.steps import Step
from protocol.unit import MILLISECONDS_MAX


class Settle(msgspec.Struct, frozen=True):
    """The regional admin has a cycle's positions brought to their targets.

    Attributes:
        cycle: the newest that has ended.
        excepted: groups that carry their positions forward and have no part in it.
        legs: the plan for the positions as they were read; ``None``: it is made while
            everybody waits, so servers bring it along (``clearing.settling``).
    """

    cycle: int
    excepted: tuple[str, ...] = ()
    legs: tuple[netting.Leg, ...] | None = None


class Aim(msgspec.Struct, frozen=True):
    """What a plan is made for: each group's position, and its target."""

    positions: dict[str, int]
    targets: dict[str, int]

    def plan(self) -> tuple[netting.Leg, ...]:
        """Search for the legs that lead there."""
        return netting.make_plan(self.positions, self.targets).legs

    def is_met_by(self, legs: Iterable[netting.Leg]) -> bool:
        """Say whether legs lead from just these positions to just these targets.

        Legs fix by how much each group moves; so they are of the plan for these.
        """
        try:
            netting.check_legs(self.positions, self.targets, legs)
        except LedgerBrokenError:
            return False
        return True


def aim_of(
    reserve: int,
    statements: Iterable[Statement],
    settled: Iterable[Leg],
    excepted: Iterable[str] = (),
) -> Aim:
    """Say from where to where a cycle's plan leads.

    Positions are those at its end and the legs that were settled since, of whatever
    cycle: what was traded since belongs to the next cycle.

    Args:
        reserve: the reserve's position at the cycle's end.
        statements: all of the cycle's.
        settled: legs that were settled since.
        excepted: groups that carry their positions forward.

    Raises:
        MalformedMessageError: an exception that is none.
    """
    closing = {kept.group: read_statement(kept).closing for kept in statements}
    closing[RESERVE] = reserve
    legs = [netting.Leg(leg.debtor, leg.creditor, leg.milliseconds) for leg in settled]
    return Aim(*netting.towards_targets(closing, legs, tuple(excepted)))


class Standing(msgspec.Struct, frozen=True):
    """How the positions of a cycle stand towards the targets of its newest plan.

    Attributes:
        closing: positions at the cycle's end, the reserve's too.
        positions: the same after all legs that were settled for it.
        targets: of the newest plan.
        excepted: whom that plan left out.
    """

    closing: dict[str, int]
    positions: dict[str, int]
    targets: dict[str, int]
    excepted: tuple[str, ...]

    @property
    def is_settled(self) -> bool:
        """Say whether every position stands at its target."""
        return self.positions == self.targets


def standing_of(
    closed: ClosedCycle,
    statements: Iterable[Statement],
    settled: Iterable[Leg],
    newest: Settlement,
) -> Standing:
    """Say where legs have brought a cycle's positions, from what was signed alone.

    Args:
        closed: the cycle.
        statements: all of the cycle's.
        settled: all legs that count for it.
        newest: the newest plan that was made for it.
    """
    reserve, statements, settled = closed.reserve, list(statements), list(settled)
    before = legs_before(newest, settled)
    return Standing(
        closing=aim_of(reserve, statements, ()).positions,
        positions=aim_of(reserve, statements, settled).positions,
        targets=aim_of(reserve, statements, before, newest.excepted).targets,
        excepted=newest.excepted,
    )


def legs_before(made: Settlement, settled: Iterable[Leg]) -> list[Leg]:
    """Give those settled legs that a plan knew: no other was open when it was made."""
    place = made.cycle, made.place
    return [leg for leg in settled if (leg.cycle, leg.place) < place]


def decide_settle(view: HubView, order: Settle, now: Instant) -> Effects:
    """Make the legs of the newest cycle; the outcome is a list of them."""
    refused = _why_not(view, order)
    if refused is not None:
        return Effects(None, (), refused)
    code, former = CycleRefusalCode, view.open_cycle.former
    assert former is not None, "a cycle that ended is known"
    settled = view.open_cycle.settled.values()
    aim = aim_of(
        former.reserve, _statements(view, order.cycle), settled, order.excepted
    )
    left = who_left(view.directory, aim)
    if left is not None:
        refused = CycleRefused(code.PARTY_LEFT, order.cycle, left)
        return Effects(None, (), refused)
    if aim.positions == aim.targets:
        return Effects(None, (), CycleRefused(code.NOTHING_TO_SETTLE, order.cycle))
    plan = aim.plan() if order.legs is None else order.legs
    if not aim.is_met_by(plan):
        return Effects(None, (), CycleRefused(code.PLAN_OUTDATED, order.cycle))
    legs = _legs_of(view, order.cycle, plan, now)
    made = Settlement(
        cycle=order.cycle,
        place=legs[0].place,
        legs=len(legs),
        at=now,
        excepted=tuple(sorted(order.excepted)),
    )
    wanted: list[Effect] = [KeepSettlement(made)]
    for leg in legs:
        line = write_line(leg.item)
        wanted += [KeepLeg(leg), SendItem(leg.debtor, line)]
        wanted.append(SendItem(leg.creditor, line))
    return Effects(Step.SETTLE, wanted, legs)


def _legs_of(
    view: HubView, cycle: int, plan: Iterable[netting.Leg], now: Instant
) -> list[Leg]:
    """Make a plan's legs, behind those that the cycle has already."""
    known = sum(1 for leg in view.open_cycle.legs.values() if leg.cycle == cycle)
    # No item carries more than a transfer may: the rest is one leg more.
    parts = netting.split_legs(sorted(plan), MILLISECONDS_MAX)
    return [
        Leg(
            leg_id=leg_id(view.federation, cycle, place, one.debtor, one.creditor),
            cycle=cycle,
            place=place,
            at=now,
            debtor=one.debtor,
            creditor=one.creditor,
            milliseconds=one.milliseconds,
        )
        for place, one in enumerate(parts, start=known)
    ]


def _statements(view: HubView, cycle: int) -> list[Statement]:
    found = view.open_cycle.statements
    return [kept for (number, _), kept in sorted(found.items()) if number == cycle]


def _why_not(view: HubView, order: Settle) -> CycleRefused | None:
    code, former, cycle = CycleRefusalCode, view.open_cycle.former, order.cycle
    if former is None or cycle > former.cycle or cycle < 1:
        return CycleRefused(code.NO_SUCH_CYCLE, cycle)
    if cycle < former.cycle:
        return CycleRefused(code.CYCLE_NOT_NEWEST, cycle)
    # One of a former cycle, too: it may yet be settled, and is not in the positions.
    if view.open_cycle.open_legs:
        return CycleRefused(code.LEGS_OPEN, cycle)
    stopped = who_stops_plan(
        _statements(view, cycle), order.excepted, view.open_cycle.shared
    )
    return None if stopped is None else CycleRefused(stopped[0], cycle, stopped[1])


def who_stops_plan(
    statements: Sequence[Statement], excepted: Sequence[str], shared: str | None
) -> tuple[CycleRefusalCode, str] | None:
    """Say why no plan is made of these statements, and because of which group.

    Args:
        statements: all of a cycle's.
        excepted: groups that the plan leaves out.
        shared: a group of which something was shared since the cycle's end. What it
            owed then others owe now, and the statements do not say so: legs would
            have it made good twice.
    """
    groups = {kept.group for kept in statements}
    wrong = netting.wrong_exception(groups, excepted)
    if wrong is not None:
        return CycleRefusalCode.EXCEPTION_WRONG, wrong
    if shared is not None:
        return CycleRefusalCode.DEBT_SHARED, shared
    for kept in statements:
        # Nobody can be asked to make good what she says is wrong.
        if kept.state is StatementState.DISPUTED and kept.group not in excepted:
            return CycleRefusalCode.CYCLE_DISPUTED, kept.group
    return None


def who_left(directory: Directory, aim: Aim) -> str | None:
    """Name a group that has left and would have a leg: it would be void at once."""
    for group, position in aim.positions.items():
        if position == aim.targets[group] or group == RESERVE:
            continue
        if directory[Group(group)].state == "left":
            return group
    return None
