"""The states of a transfer, as one table, blind to who runs it.

The hub's decision is the one moment that counts: after ``ordered`` and after
``accepted`` only a decision signed by the hub moves a hold (or the hub's word
that it could not read the prepare). First decision wins for ever; what comes
late or twice keeps things as they are; what contradicts calls people
(protocol, section 7).
"""

from enum import StrEnum

import msgspec

from protocol.instant import Instant, read_instant
from protocol.messages import TransferPrepare, line_hash

#: A payment *now* is decided within so much, hub's time.
NOW_MS = 30_000
#: A payment *when reachable* may wait so long.
REACHABLE_MS = 72 * 3_600_000
#: Items of one group that the hub refuses in an hour before it makes it wait; no
#: offer that the payee's node refused is among them.
REFUSED_PREPARES_MAX = 1000
#: What clocks and queues may add before the hub calls a deadline too far.
DEADLINE_SLACK_MS = 5 * 60_000


class Role(StrEnum):
    """Which of a transfer's three servers this is."""

    PAYER = "payer"
    HUB = "hub"
    PAYEE = "payee"


class State(StrEnum):
    """Where a transfer stands on one server.

    ``TAKEN`` is the hub's alone: a prepare that it may not decide yet, since one
    of its groups has not compared. Whether a payer's order was *sent* and a
    decision *closed* follows from what the link has acknowledged.
    """

    ORDERED = "ordered"
    TAKEN = "taken"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    CLEARED = "cleared"
    REFUSED = "refused"


class Event(StrEnum):
    """What can happen to a transfer."""

    ORDER = "order"
    HOLD = "hold"
    WAIT = "wait"
    CLEAR = "clear"
    REFUSE = "refuse"


class Move(StrEnum):
    """What an event does where it is lawful."""

    KEEP = "keep"


class Contradiction(StrEnum):
    """What must never happen: nothing moves, and people are called."""

    SECOND_DECISION = "second-decision"
    NEVER_ACCEPTED = "never-accepted"


_TABLE: dict[tuple[Role, State | None, Event], State | Move | Contradiction] = {
    (Role.PAYER, None, Event.ORDER): State.ORDERED,
    (Role.PAYER, State.ORDERED, Event.CLEAR): State.CLEARED,
    (Role.PAYER, State.ORDERED, Event.REFUSE): State.REFUSED,
    (Role.PAYER, State.CLEARED, Event.CLEAR): Move.KEEP,
    (Role.PAYER, State.REFUSED, Event.REFUSE): Move.KEEP,
    (Role.PAYER, State.CLEARED, Event.REFUSE): Contradiction.SECOND_DECISION,
    (Role.PAYER, State.REFUSED, Event.CLEAR): Contradiction.SECOND_DECISION,
    # A node never asked for it, or lost it: recovery, not a booking.
    (Role.PAYER, None, Event.CLEAR): Contradiction.NEVER_ACCEPTED,
    (Role.PAYER, None, Event.REFUSE): Move.KEEP,
    (Role.HUB, None, Event.HOLD): State.OFFERED,
    (Role.HUB, None, Event.WAIT): State.TAKEN,
    (Role.HUB, None, Event.REFUSE): State.REFUSED,
    (Role.HUB, State.TAKEN, Event.REFUSE): State.REFUSED,
    (Role.HUB, State.OFFERED, Event.WAIT): State.OFFERED,
    (Role.HUB, State.OFFERED, Event.CLEAR): State.CLEARED,
    (Role.HUB, State.OFFERED, Event.REFUSE): State.REFUSED,
    # A late accept, refuse or cancel is taken and ignored.
    (Role.HUB, State.TAKEN, Event.WAIT): Move.KEEP,
    (Role.HUB, State.TAKEN, Event.CLEAR): Move.KEEP,
    (Role.HUB, State.CLEARED, Event.WAIT): Move.KEEP,
    (Role.HUB, State.CLEARED, Event.CLEAR): Move.KEEP,
    (Role.HUB, State.CLEARED, Event.REFUSE): Move.KEEP,
    (Role.HUB, State.REFUSED, Event.WAIT): Move.KEEP,
    (Role.HUB, State.REFUSED, Event.CLEAR): Move.KEEP,
    (Role.HUB, State.REFUSED, Event.REFUSE): Move.KEEP,
    (Role.PAYEE, None, Event.HOLD): State.ACCEPTED,
    (Role.PAYEE, State.ACCEPTED, Event.CLEAR): State.CLEARED,
    (Role.PAYEE, State.ACCEPTED, Event.REFUSE): State.REFUSED,
    (Role.PAYEE, State.CLEARED, Event.CLEAR): Move.KEEP,
    (Role.PAYEE, State.REFUSED, Event.REFUSE): Move.KEEP,
    (Role.PAYEE, State.CLEARED, Event.REFUSE): Contradiction.SECOND_DECISION,
    (Role.PAYEE, State.REFUSED, Event.CLEAR): Contradiction.SECOND_DECISION,
    # Refused by this node itself: nothing was held, nothing is to void.
    (Role.PAYEE, None, Event.REFUSE): Move.KEEP,
    (Role.PAYEE, None, Event.CLEAR): Contradiction.NEVER_ACCEPTED,
}


def move(role: Role, state: State | None, event: Event) -> State | Move | Contradiction:
    """Look up what an event does.

    Args:
        role: which server asks.
        state: where the transfer stands there; ``None``: not known there.
        event: what happened.

    Raises:
        AssertionError: our own code asks for what the table does not hold.
    """
    found = _TABLE.get((role, state, event))
    assert found is not None, f"no such move: {role} {state} {event}"
    return found


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as one server keeps it.

    Attributes:
        transfer_id: the same on all three servers.
        role: which of the three this is.
        state: where it stands here.
        payer_group: whose member pays.
        payee_group: whose member receives.
        milliseconds: S.
        payer_rate: version of the payer's group's rate.
        payee_rate: version of the payee's group's rate.
        decide_by: hub's time, at which it is refused when undecided.
        prepare: hash of the prepare's line.
        item_number: number of the item that asks on: the prepare at the payer's
            node, the offer at the hub and, as it came, at the payee's node.
        content: hash of the content line.
        account: this node's own member, payer or payee; empty at the hub.
        other: the payee's account when both are this node's own; else empty.
        amount: that member's amount, minor units; 0 at the hub.
        deliver: ``now`` or ``when_reachable``; empty but at the payer's node.
        taken_at: when this server first held or took it, by its own clock.
        decided_at: when the hub decided, by the hub's clock.
        log: with ``number``, the decision's name.
        number: with ``log``, the decision's name.
        code: why it was refused.
        answer: hash of the accept's line; at the payer's node, once verified.
        answer_number: number of the item that answers: at the hub the answer that it
            sent to the payer's node, there the same as it came, at the payee's node
            its accept or refuse.
        waiting: at the hub, the line that its decision will need: an accept's
            ``transfer.answer``, kept until both groups have compared.
        waiting_code: at the hub, a refusal kept until both have compared.
        is_cancel_sent: at the payer's node, the wish to cancel is on its way.
        refund_of: id of the transfer that this one gives back, wholly or in part.
        refunded: milliseconds of the refunds of this one that are held or cleared
            here (see ``protocol.refund``).
        author: at the payer's node, the person who ordered it in the payer's name;
            ``None``: the payer herself.
    """

    transfer_id: str
    role: Role
    state: State
    payer_group: str
    payee_group: str
    milliseconds: int
    payer_rate: int
    payee_rate: int
    decide_by: Instant
    prepare: str
    content: str
    taken_at: Instant
    item_number: int | None = None
    account: str = ""
    other: str = ""
    amount: int = 0
    deliver: str = ""
    decided_at: Instant | None = None
    log: str | None = None
    number: int | None = None
    code: str | None = None
    answer: str | None = None
    answer_number: int | None = None
    waiting: str | None = None
    waiting_code: str | None = None
    is_cancel_sent: bool = False
    refund_of: str | None = None
    refunded: int = 0
    author: str | None = None


def transfer_of_prepare(
    prepare: TransferPrepare, line: bytes, role: Role, state: State, now: Instant
) -> Transfer:
    """Begin to keep the transfer that a prepare asks for.

    Args:
        prepare: what ``line`` says.
        line: its exact bytes, which name it.
        role: which of the three servers this is.
        state: where it stands here.
        now: this server's time.
    """
    return Transfer(
        transfer_id=prepare.id,
        role=role,
        state=state,
        payer_group=prepare.payer_group,
        payee_group=prepare.payee_group,
        milliseconds=prepare.milliseconds,
        payer_rate=prepare.payer_rate,
        payee_rate=prepare.payee_rate,
        decide_by=read_instant(prepare.decide_by),
        prepare=line_hash(line),
        content=prepare.content,
        taken_at=now,
        refund_of=prepare.refund_of,
    )
