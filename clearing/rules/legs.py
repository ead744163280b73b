"""Legs: what debtor groups make good to creditor groups, and how each leg ends.

A leg moves positions only by a numbered decision, made when both groups have signed:
the debtor's that it has paid, the creditor's that it has received. Until then it can
be cancelled; when the next cycle has ended without both words, or a party has left,
it is void. What is signed by both is settled, whatever was frozen since (protocol,
section 17).
"""

from collections.abc import Iterator, Mapping

import msgspec

from clearing.rules.cycle_records import (
    KeepLeg,
    Leg,
    LegState,
    Statement,
    StatementState,
    VoidCode,
)
from clearing.rules.view import RESERVE, AppendDecision, HubView
from protocol import netting
from protocol.address import Group
from protocol.cycle import leg_id
from protocol.effects import (
    ArrivedItem,
    Effect,
    Effects,
    PostEntry,
    SendItem,
    refuse_item,
)
from protocol.errors import CycleRefusalCode, ItemRefusalCode
from protocol.instant import Instant, write_instant
from protocol.ledger import Entry, Posting
from protocol.link import Trouble
from protocol.messages import (
    CycleStatement,
    DecisionName,
    SettlementDecision,
    SettlementPaid,
    SettlementReceived,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step


class Settle(msgspec.Struct, frozen=True):
    """The regional admin has a cycle's positions brought to their targets."""

    cycle: int


class CancelLeg(msgspec.Struct, frozen=True):
    """The regional admin calls off a leg that lacks a word."""

    leg_id: str


class DueLegs(msgspec.Struct, frozen=True):
    """Look whether open legs can now be decided."""


class CycleRefused(msgspec.Struct, frozen=True):
    """Why an order about a cycle changed nothing; ``group`` stands in the way."""

    code: CycleRefusalCode
    cycle: int
    group: str = ""


def decide_settle(view: HubView, order: Settle, now: Instant) -> Effects:
    """Make the legs of the newest cycle; the outcome is a list of them.

    Positions are those at its end and the legs that were settled since, of whatever
    cycle: what was traded since belongs to the next cycle. Targets follow from its end
    alone, so that a second plan of the cycle has those of the first.
    """
    refused = _why_not(view, order)
    if refused is not None:
        return Effects(None, (), refused)
    ours = [leg for leg in view.open_cycle.legs.values() if leg.cycle == order.cycle]
    positions = _positions(view.open_cycle.statements, order.cycle)
    assert view.open_cycle.former is not None, "a cycle that ended is known"
    positions[RESERVE] = view.open_cycle.former.reserve
    targets = netting.default_targets(positions)
    settled = [
        netting.Leg(leg.debtor, leg.creditor, leg.milliseconds)
        for leg in view.open_cycle.settled.values()
    ]
    plan = netting.make_plan(netting.settle(positions, settled), targets)
    if not plan.legs:
        code = CycleRefusalCode.NOTHING_TO_SETTLE
        return Effects(None, (), CycleRefused(code, order.cycle))
    legs = [
        Leg(
            leg_id=leg_id(
                view.federation, order.cycle, place, one.debtor, one.creditor
            ),
            cycle=order.cycle,
            place=place,
            at=now,
            debtor=one.debtor,
            creditor=one.creditor,
            milliseconds=one.milliseconds,
        )
        for place, one in enumerate(plan.legs, start=len(ours))
    ]
    wanted: list[Effect] = []
    for leg in legs:
        line = write_line(leg.item)
        wanted += [KeepLeg(leg), SendItem(leg.debtor, line)]
        wanted.append(SendItem(leg.creditor, line))
    return Effects(Step.SETTLE, wanted, legs)


def _why_not(view: HubView, order: Settle) -> CycleRefused | None:
    code, former, cycle = CycleRefusalCode, view.open_cycle.former, order.cycle
    if former is None or cycle > former.cycle or cycle < 1:
        return CycleRefused(code.NO_SUCH_CYCLE, cycle)
    if cycle < former.cycle:
        return CycleRefused(code.CYCLE_NOT_NEWEST, cycle)
    # One of a former cycle, too: it may yet be settled, and is not in the positions.
    if view.open_cycle.open_legs:
        return CycleRefused(code.LEGS_OPEN, cycle)
    for (number, group), kept in sorted(view.open_cycle.statements.items()):
        # Nobody can be asked to make good what she says is wrong.
        if number == cycle and kept.state is StatementState.DISPUTED:
            return CycleRefused(code.CYCLE_DISPUTED, cycle, group)
    return None


def _positions(
    statements: Mapping[tuple[int, str], Statement], cycle: int
) -> dict[str, int]:
    """Give the positions at a cycle's end, as its statements say."""
    positions = {}
    for (number, group), kept in statements.items():
        if number == cycle:
            stated = read_item(kept.line)
            assert isinstance(stated, CycleStatement), "what we wrote we can read"
            positions[group] = stated.closing
    return positions


def decide_leg_word(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Take what a party says of its leg; with both words it is settled.

    Only of an open leg, each only its own word, and once.
    """
    said = arrived.item
    assert isinstance(said, SettlementPaid | SettlementReceived)
    is_paid = isinstance(said, SettlementPaid)
    leg = view.open_cycle.legs.get(said.id)
    if leg is None or leg.state is not LegState.OPEN or _has_lapsed(view, leg):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if arrived.peer != (leg.debtor if is_paid else leg.creditor):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    kept = view.open_cycle.statements.get((leg.cycle, arrived.peer))
    if kept is not None and kept.state is StatementState.DISPUTED:
        # What it says is wrong is not settled; this leg waits to be void.
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    word = leg.paid if is_paid else leg.received
    if word is not None or said.leg != line_hash(write_line(leg.item)):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    found = line_hash(arrived.line)
    if is_paid:
        signed = msgspec.structs.replace(leg, paid=found, paid_at=now)
    else:
        signed = msgspec.structs.replace(leg, received=found, received_at=now)
    if signed.is_signed and may_decide_on_leg(view, signed):
        return _settle(view, signed, now)
    return Effects(Step.SIGNED, (KeepLeg(signed),))


def _has_lapsed(view: HubView, leg: Leg) -> bool:
    """Say whether the next cycle has ended without both words."""
    former = view.open_cycle.former
    return former is not None and leg.cycle < former.cycle and not leg.is_signed


def decide_cancel(view: HubView, order: CancelLeg, now: Instant) -> Effects:
    """Call off a leg that lacks a word; the outcome is the leg, or ``CycleRefused``."""
    code, leg = CycleRefusalCode, view.open_cycle.legs.get(order.leg_id)
    if leg is None:
        return Effects(None, (), CycleRefused(code.NO_SUCH_LEG, 0))
    if leg.state is not LegState.OPEN or leg.is_signed:
        return Effects(None, (), CycleRefused(code.LEG_ENDED, leg.cycle))
    if not may_decide_on_leg(view, leg):
        return Effects(None, (), CycleRefused(code.LEG_WAITS, leg.cycle, leg.debtor))
    return void_leg(view, leg, "cancelled", now)


def void_disputed(
    view: HubView, cycle: int, group: str, now: Instant
) -> Iterator[Effects]:
    """End the legs of a group that disputes their cycle; its word, if given, stands."""
    for leg in view.open_cycle.open_legs:
        words = {leg.debtor: leg.paid, leg.creditor: leg.received}
        is_unsigned = group in words and words[group] is None
        if leg.cycle == cycle and is_unsigned and may_decide_on_leg(view, leg):
            yield void_leg(view, leg, "cancelled", now)


def decide_due_legs(view: HubView, now: Instant) -> Iterator[Effects]:
    """Decide what had to wait: for a group to compare, or that a party has left."""
    for leg in view.open_cycle.open_legs:
        if not may_decide_on_leg(view, leg):
            continue
        if leg.is_signed:
            yield _settle(view, leg, now)
        elif _has_lapsed(view, leg):
            yield void_leg(view, leg, "cycle-closed", now)
        elif _has_left(view, leg.debtor) or _has_left(view, leg.creditor):
            yield void_leg(view, leg, "party-left", now)


def _has_left(view: HubView, group: str) -> bool:
    return view.directory[Group(group)].state == "left"


def may_decide_on_leg(view: HubView, leg: Leg) -> bool:
    """Say whether both parties have compared since the hub's start.

    A hub that was restored may have forgotten how the leg ended; it never decides
    twice. A frozen link holds nobody up, unless its group says that we are behind.
    """
    for group in (leg.debtor, leg.creditor):
        link = view.links.get(group)
        if link is None or link.trouble is Trouble.WE_ARE_BEHIND:
            return False
        if not link.has_compared and link.trouble is None:
            return False
    return True


def _settle(view: HubView, leg: Leg, now: Instant) -> Effects:
    """Move both positions towards their targets: the debtor's up, the creditor's down.

    It always posts: what was made good outside is so, whatever the limits say.
    """
    entry = Entry(
        entry_id=leg.leg_id,
        at=now,
        kind="settlement",
        postings=(
            Posting(leg.debtor, leg.milliseconds),
            Posting(leg.creditor, -leg.milliseconds),
        ),
    )
    return _end(view, leg, LegState.SETTLED, None, now, PostEntry(entry))


def void_leg(view: HubView, leg: Leg, code: VoidCode, now: Instant) -> Effects:
    """End a leg that moves nothing."""
    return _end(view, leg, LegState.VOID, code, now)


def _end(
    view: HubView,
    leg: Leg,
    state: LegState,
    code: VoidCode | None,
    now: Instant,
    *entries: PostEntry,
) -> Effects:
    name = DecisionName(view.log, view.size)
    is_settled = state is LegState.SETTLED
    decision = SettlementDecision(
        log=name.log,
        number=name.number,
        at=write_instant(now),
        id=leg.leg_id,
        cycle=leg.cycle,
        debtor=leg.debtor,
        creditor=leg.creditor,
        milliseconds=leg.milliseconds,
        paid=leg.paid,
        received=leg.received,
        outcome="settled" if is_settled else "void",
        code=code,
    )
    line = write_line(decision)
    ended = msgspec.structs.replace(
        leg, state=state, name=name, ended_at=now, code=code
    )
    wanted: tuple[Effect, ...] = (
        AppendDecision(name.log, name.number, line),
        *entries,
        KeepLeg(ended),
        SendItem(leg.debtor, line),
        SendItem(leg.creditor, line),
    )
    return Effects(Step.SETTLED if is_settled else Step.VOID, wanted, ended)
