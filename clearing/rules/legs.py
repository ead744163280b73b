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
    CycleRefused,
    KeepLate,
    KeepLeg,
    KeepWord,
    Leg,
    LegState,
    Said,
    StatementState,
    VoidCode,
    Word,
)
from clearing.rules.view import AppendDecision, HubView
from protocol.address import Group
from protocol.effects import (
    ArrivedItem,
    CallPeople,
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
    DecisionName,
    SettlementDecision,
    SettlementPaid,
    SettlementReceived,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.unit import HOUR

_DAY_MS = 24 * HOUR


class CancelLeg(msgspec.Struct, frozen=True):
    """The regional admin calls off a leg that lacks a word, or one that is no word."""

    leg_id: str


class NoteLate(msgspec.Struct, frozen=True):
    """Legs of which a word has been waited for too long, as the hub's watch has seen.

    Nobody was called about any of them before.
    """

    leg_ids: tuple[str, ...]


class DueLegs(msgspec.Struct, frozen=True):
    """Look whether open legs can now be decided."""


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
    known = leg.paid if is_paid else leg.received
    if known is not None or said.leg != line_hash(write_line(leg.item)):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    return _sign(view, leg, arrived, now)


def _sign(view: HubView, leg: Leg, arrived: ArrivedItem, now: Instant) -> Effects:
    """Keep a word; with both it is settled, unless the other one is none."""
    found = line_hash(arrived.line)
    if isinstance(arrived.item, SettlementPaid):
        said: Said = "paid"
        signed = msgspec.structs.replace(leg, paid=found, paid_at=now)
    else:
        said = "received"
        signed = msgspec.structs.replace(leg, received=found, received_at=now)
    word = Word(
        leg_id=leg.leg_id,
        said=said,
        party=arrived.peer,
        item=arrived.number,
        line=arrived.line,
    )
    keep: tuple[Effect, ...] = (KeepWord(word), KeepLeg(signed))
    if not signed.is_signed or not may_decide_on_leg(view, signed):
        return Effects(Step.SIGNED, keep)
    words = {**view.open_cycle.words, (leg.leg_id, said): word}
    wrong = wrong_word(signed, words)
    if wrong is None:
        settled = _settle(view, signed, now)
        return Effects(settled.step, (KeepWord(word), *settled.wanted), settled.outcome)
    text = (
        f"leg {leg.leg_id} was not settled: {wrong} has no item that says so of this"
        " leg, as it stands here"
    )
    return Effects(Step.SIGNED, (*keep, CallPeople("ledger", text)))


def wrong_word(leg: Leg, words: Mapping[tuple[str, Said], Word]) -> str | None:
    """Name the party that has not said of this very leg what the leg's row says.

    A row is believed in nothing: each word is read again from the item that its party
    signed, and must name the hash of the line that this leg has.
    """
    told = line_hash(write_line(leg.item))
    paid = words.get((leg.leg_id, "paid"))
    if not _is_word(
        paid, leg.debtor, leg.paid, SettlementPaid(id=leg.leg_id, leg=told)
    ):
        return leg.debtor
    received = words.get((leg.leg_id, "received"))
    wanted = SettlementReceived(id=leg.leg_id, leg=told)
    if not _is_word(received, leg.creditor, leg.received, wanted):
        return leg.creditor
    return None


def _is_word(
    word: Word | None,
    party: str,
    found: str | None,
    wanted: SettlementPaid | SettlementReceived,
) -> bool:
    return (
        word is not None
        and word.party == party
        and line_hash(word.line) == found
        and read_item(word.line) == wanted
    )


def _has_lapsed(view: HubView, leg: Leg) -> bool:
    """Say whether the next cycle has ended without both words."""
    former = view.open_cycle.former
    return former is not None and leg.cycle < former.cycle and not leg.is_signed


def decide_cancel(view: HubView, order: CancelLeg, now: Instant) -> Effects:
    """Call off a leg that lacks a word, or of which one cannot be read again.

    The outcome is the leg, or ``CycleRefused``.
    """
    code, leg = CycleRefusalCode, view.open_cycle.legs.get(order.leg_id)
    if leg is None:
        return Effects(None, (), CycleRefused(code.NO_SUCH_LEG, 0))
    # A word that cannot be read again settles nothing, and would wait for ever.
    is_settled = leg.is_signed and wrong_word(leg, view.open_cycle.words) is None
    if leg.state is not LegState.OPEN or is_settled:
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
            # What is wrong with a word was called out when it came, and by each audit.
            if wrong_word(leg, view.open_cycle.words) is None:
                yield _settle(view, leg, now)
        elif _has_lapsed(view, leg):
            yield void_leg(view, leg, "cycle-closed", now)
        elif _has_left(view, leg.debtor) or _has_left(view, leg.creditor):
            yield void_leg(view, leg, "party-left", now)


def decide_late(view: HubView, order: NoteLate, now: Instant) -> Effects:
    """Call people about legs that are late, each once."""
    wanted: list[Effect] = []
    for leg_id in order.leg_ids:
        leg = view.open_cycle.legs.get(leg_id)
        # A word came, or it has ended, since the watch has looked.
        if leg is None or not leg.is_late(now):
            continue
        days = leg.waited_ms(now) // _DAY_MS
        text = (
            f"leg {leg_id} of cycle {leg.cycle}: {leg.debtor} is to make good"
            f" {leg.milliseconds / HOUR:.2f} h to {leg.creditor}; the word of"
            f" {' and '.join(leg.lacks)} has been awaited for {days} days"
        )
        wanted += [KeepLate(leg_id, now), CallPeople("leg", text)]
    return Effects(None, wanted)


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
