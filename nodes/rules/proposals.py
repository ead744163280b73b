"""The group asks the hub for a new entry: another rate, other words for its unit.

It counts only from the hub's numbered decision. One proposal waits at a time: a
newer one takes its place, here at once and at the hub when it arrives. If the hub
has approved the older one by then, that counts, and the newer one has a version
that is taken, so that the hub says no to it.
"""

from collections.abc import Sequence

import msgspec

from nodes.rules.view import KeepProposal, NodeView, Proposal, ProposalState
from protocol.directory import (
    GroupRecord,
    check_proposal,
    rate_of_hour,
)
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    SendItem,
)
from protocol.errors import DirectoryRefusalCode, MalformedMessageError, PeerError
from protocol.instant import Instant
from protocol.key_change import leaves_room
from protocol.messages import (
    DirectoryPropose,
    EntryRate,
    EntryUnit,
    GroupEntry,
    ItemRefused,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.unit import RATE_MAX


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a treasurer wants to be otherwise; ``None``: as it is.

    ``per_hour`` is whole units of an hour; ``decimals`` is only looked at.
    """

    per_hour: int | None = None
    decimals: int | None = None
    name: str | None = None
    unit: str | None = None
    plural: str | None = None
    symbol: str | None = None


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to ask the hub for an entry, which the group has signed."""

    entry: GroupEntry
    signed: str
    author: str | None = None


class NotProposed(msgspec.Struct, frozen=True):
    """Why nothing was asked."""

    code: DirectoryRefusalCode


def next_entry(record: GroupRecord, wish: Wish) -> GroupEntry | None:
    """Write the entry that a wish leads to; ``None`` when all is so already.

    Raises:
        MalformedMessageError: a rate that cannot be, or other decimals.
    """
    old = record.entry
    decimals = old.unit.decimals
    if wish.decimals is not None and wish.decimals != decimals:
        # Amounts are stored in minor units: the same digits would mean another sum.
        raise MalformedMessageError(
            "decimals", wish.decimals, f"{decimals}, which can never change"
        )
    rates = list(old.rates)
    if wish.per_hour is not None:
        rate = rate_of_hour(wish.per_hour, decimals)
        if not 1 <= rate <= RATE_MAX:
            raise MalformedMessageError(
                "per_hour", wish.per_hour, "a minor unit worth 1 ms or more"
            )
        if rate != record.rate:
            rates.append(EntryRate(record.rate_version + 1, rate))
    entry = msgspec.structs.replace(
        old,
        version=old.version + 1,
        name=old.name if wish.name is None else wish.name,
        unit=_unit(old.unit, wish),
        rates=rates,
    )
    is_new = msgspec.structs.replace(entry, version=old.version) != old
    return entry if is_new else None


def _unit(old: EntryUnit, wish: Wish) -> EntryUnit:
    return EntryUnit(
        name=old.name if wish.unit is None else wish.unit,
        plural=old.plural if wish.plural is None else wish.plural,
        symbol=old.symbol if wish.symbol is None else wish.symbol,
        decimals=old.decimals,
    )


def decide_propose(view: NodeView, order: Propose, now: Instant) -> Effects:
    """Ask the hub for an entry, in place of what waits, if anything does.

    The outcome is the ``Proposal``, new or asked already, or ``NotProposed``.
    """
    former = view.proposal
    # Also when it was approved between this wish's signing and now.
    if former is not None and former.is_asked_with(order.signed):
        return Effects(None, (), former)
    own = view.directory.get(view.group)
    assert own is not None, "a node that has joined has its own entry"
    code = _why_not(view, own, order)
    if code is not None:
        return Effects(None, (), NotProposed(code))
    proposal = Proposal(
        number=view.next_number("hub"),
        entry=order.entry,
        signed=order.signed,
        at=now,
    )
    line = write_line(DirectoryPropose(entry=order.signed))
    wanted: list[Effect] = [KeepProposal(proposal), SendItem("hub", line)]
    if former is not None and former.is_waiting:
        # It ends first: only one of a group ever waits.
        ended = _answered(former, ProposalState.REPLACED, now)
        wanted.insert(0, KeepProposal(ended))
    return Effects(Step.PROPOSE, wanted, proposal)


def _why_not(
    view: NodeView, own: GroupRecord, order: Propose
) -> DirectoryRefusalCode | None:
    if view.renewal is not None and view.renewal.is_waiting:
        # Both would have the same version, and only one can follow.
        return DirectoryRefusalCode.KEYS_WAIT
    if not leaves_room(order.signed, len(own.former)):
        return DirectoryRefusalCode.ENTRY_TOO_LONG
    try:
        check_proposal(own, order.entry)
    except PeerError:
        # It followed the entry that counted when it was signed, a moment ago.
        return DirectoryRefusalCode.ENTRY_CHANGED
    return None


def answers_of_decision(
    view: NodeView, record: GroupRecord, now: Instant
) -> Sequence[Effect]:
    """Say what a decision on our own group means for what we asked.

    What is approved counts, also when a newer wish was on its way. Whatever the hub
    decides was signed with our key; what we know nothing of, somebody else has
    signed, or a database lost it.
    """
    before, asked = view.directory.get(view.group), view.asked.get(record.signed)
    if before is None or record.signed == before.signed:
        return ()
    if record.signed in view.renewed:
        return ()
    if asked is None:
        text = f"the hub decided on entry {record.entry.version}, which we never asked"
        return (CallPeople("directory", text),)
    return (KeepProposal(_answered(asked, ProposalState.APPROVED, now)),)


def _answered(proposal: Proposal, state: ProposalState, now: Instant) -> Proposal:
    return msgspec.structs.replace(proposal, state=state, answered_at=now)


def is_refused_proposal(view: NodeView, arrived: ArrivedItem) -> bool:
    """Say whether an ``item.refused`` is the hub's no to a proposal of ours."""
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    line = view.sent_lines.get((arrived.peer, refused.number), b"")
    is_ours = isinstance(read_item(line), DirectoryPropose)
    return is_ours and line_hash(line) == refused.hash


def decide_refused_proposal(
    view: NodeView, arrived: ArrivedItem, now: Instant
) -> Effects:
    """Take the hub's no, unless a newer one was sent since; she may ask again."""
    refused, proposal = arrived.item, view.proposal
    assert isinstance(refused, ItemRefused)
    if proposal is None or not proposal.is_waiting or proposal.number != refused.number:
        return Effects(None, ())
    ended = _answered(proposal, ProposalState.REFUSED, now)
    return Effects(Step.PROPOSAL_ANSWERED, (KeepProposal(ended),))
