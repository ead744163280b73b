"""The group's part in a settlement: it signs its word, and books what was decided.

A treasurer says that her group has paid, or received, outside of these ledgers. That
moves nothing: only the hub's decision does, and only for a leg that we were given and
have signed for ourselves (protocol, section 17).
"""

from typing import Literal

import msgspec

from nodes.rules.cycle_records import KeepLateLeg, KeepOwnLeg, LegState, OwnLeg
from nodes.rules.cycles import NotAnswered
from nodes.rules.view import CLEARING, SETTLEMENT, NodeView, NoteDecision
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
from protocol.instant import Instant, read_instant
from protocol.ledger import Entry, Posting
from protocol.messages import (
    DecisionName,
    SettlementDecision,
    SettlementLeg,
    line_hash,
    write_line,
)
from protocol.steps import Step
from protocol.unit import HOUR

_DAY_MS = 24 * HOUR


class SignLeg(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's word on a leg; the outcome is the ``OwnLeg``, or ``NotAnswered``.

    Attributes:
        leg_id: which.
        word: what she says.
        author: the treasurer.
        reason: in her words: how it was paid, where it came in.
    """

    leg_id: str
    word: Literal["paid", "received"]
    author: str
    reason: str


class NoteLateLegs(msgspec.Struct, frozen=True):
    """Legs of which a word has been waited for too long, as our watch has seen.

    The treasurer was called about none of them before.
    """

    leg_ids: tuple[str, ...]


def decide_late_legs(view: NodeView, order: NoteLateLegs, now: Instant) -> Effects:
    """Call the treasurer about legs that are late, each once."""
    wanted: list[Effect] = []
    for leg_id in order.leg_ids:
        leg = view.legs.get(leg_id)
        # A word came, or it has ended, since the watch has looked.
        if leg is None or not leg.is_late(now):
            continue
        is_debtor = leg.debtor == view.group
        other = leg.creditor if is_debtor else leg.debtor
        hours = f"{leg.milliseconds / HOUR:.2f} h"
        what = f"{hours} to {other}" if is_debtor else f"{hours} from {other}"
        whose = "our word" if leg.state is LegState.OPEN else f"the word of {other}"
        days = leg.waited_ms(now) // _DAY_MS
        text = (
            f"leg {leg_id} of cycle {leg.cycle}, {what}: {whose} has been awaited"
            f" for {days} days"
        )
        wanted += [KeepLateLeg(leg_id, now), CallPeople("leg", text)]
    return Effects(None, wanted)


def decide_leg(view: NodeView, arrived: ArrivedItem) -> Effects:
    """Keep a leg of ours, to be signed by the treasurer."""
    told = arrived.item
    assert isinstance(told, SettlementLeg)
    is_ours = view.group in (told.debtor, told.creditor)
    if not is_ours or told.debtor == told.creditor or told.cycle not in view.cycles:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if told.id in view.legs:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    leg = OwnLeg(
        leg_id=told.id,
        cycle=told.cycle,
        item=arrived.number,
        line=arrived.line,
        at=read_instant(told.at),
        debtor=told.debtor,
        creditor=told.creditor,
        milliseconds=told.milliseconds,
    )
    return Effects(Step.LEG, (KeepOwnLeg(leg),))


def decide_sign(view: NodeView, order: SignLeg, now: Instant) -> Effects:
    """Sign that we have paid, or received; once, and only what is ours to say."""
    code, leg = CycleRefusalCode, view.legs.get(order.leg_id)
    if leg is None:
        return Effects(None, (), NotAnswered(code.NO_SUCH_LEG))
    if order.word != ("paid" if leg.debtor == view.group else "received"):
        return Effects(None, (), NotAnswered(code.LEG_NOT_YOURS))
    if leg.state is LegState.SIGNED:
        return Effects(None, (), NotAnswered(code.LEG_SIGNED))
    if leg.state is not LegState.OPEN:
        return Effects(None, (), NotAnswered(code.LEG_ENDED))
    signed = msgspec.structs.replace(
        leg,
        state=LegState.SIGNED,
        signed_at=now,
        author=order.author,
        reason=order.reason,
    )
    line = write_line(leg.word(view.group))
    return Effects(Step.SIGN, (KeepOwnLeg(signed), SendItem("hub", line)), signed)


def decide_settlement(
    view: NodeView, decision: SettlementDecision, now: Instant
) -> Effects:
    """Book a leg that was settled; what we never signed for is not booked."""
    note = NoteDecision(decision.log, decision.number)
    leg = view.legs.get(decision.id)
    why = _why_not(view, leg, decision)
    if leg is None or why is not None:
        text = f"leg {decision.id}: the hub decided {decision.outcome}, but {why}"
        return Effects(None, (note, CallPeople("cycle", text)))
    is_settled = decision.outcome == "settled"
    ended = msgspec.structs.replace(
        leg,
        state=LegState.SETTLED if is_settled else LegState.VOID,
        name=DecisionName(decision.log, decision.number),
        ended_at=read_instant(decision.at),
        code=decision.code,
    )
    if not is_settled:
        return Effects(Step.LEG_VOID, (note, KeepOwnLeg(ended)))
    # Our clearing account is the negative of our position, which comes up if we paid.
    sign = -1 if leg.debtor == view.group else 1
    entry = Entry(
        entry_id=leg.leg_id,
        at=now,
        kind="settlement",
        postings=(
            Posting(CLEARING, sign * leg.milliseconds),
            Posting(SETTLEMENT, -sign * leg.milliseconds),
        ),
        author=leg.author,
        reason=leg.reason,
    )
    return Effects(Step.LEG_SETTLED, (note, PostEntry(entry), KeepOwnLeg(ended)))


def _why_not(
    view: NodeView, leg: OwnLeg | None, decision: SettlementDecision
) -> str | None:
    """Say what speaks against a decision on a leg; ``None``: nothing."""
    if leg is None or not leg.is_meant_by(decision):
        return "we were given no such leg"
    if leg.state in (LegState.SETTLED, LegState.VOID):
        return f"it is {leg.state} already"
    if decision.outcome == "void":
        return None
    ours = decision.paid if leg.debtor == view.group else decision.received
    if leg.state is not LegState.SIGNED:
        return "we have not signed for it"
    if ours != line_hash(write_line(leg.word(view.group))):
        return "not by what we signed"
    return None if decision.paid and decision.received else "a word is missing"
