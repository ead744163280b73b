"""What the regional admin decides on a group: its entry, its state, its limits.

A group can only propose an entry; it counts from the numbered decision that tells
it to everyone. A wish for what is so already is no second decision. Who is
admitted is ``clearing.rules.admission``.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from clearing.rules.limit_records import KeepLimitChange
from clearing.rules.view import (
    AppendDecision,
    HubView,
    KeepProposal,
    Proposal,
    ProposalState,
)
from protocol.address import Group
from protocol.directory import (
    GroupRecord,
    check_proposal,
    fold,
    read_entry,
)
from protocol.effects import (
    ArrivedItem,
    Effect,
    Effects,
    SaveGroup,
    SendItem,
    SetLimits,
    refuse_item,
)
from protocol.errors import DirectoryRefusalCode, ItemRefusalCode, PeerError
from protocol.instant import Instant, write_instant
from protocol.key_change import leaves_room
from protocol.messages import (
    ITEM_LENGTH_MAX,
    DecisionName,
    DirectoryDecision,
    DirectoryPropose,
    ItemRefused,
    KeysDecision,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step


class Approve(msgspec.Struct, frozen=True):
    """The regional admin approves a proposal, named by its item number."""

    group: Group
    proposal: int


class Disapprove(msgspec.Struct, frozen=True):
    """The regional admin says no to a proposal, named by its item number."""

    group: Group
    proposal: int


class Freeze(msgspec.Struct, frozen=True):
    """Nothing new in or out; what is in flight is decided and clears."""

    group: Group


class Release(msgspec.Struct, frozen=True):
    """The end of a freeze: the group is as it was before, active or leaving."""

    group: Group


class Limit(msgspec.Struct, frozen=True):
    """New limits of a group's position, milliseconds; they bind new holds only.

    Attributes:
        group: which.
        floor: the lowest position, 0 or less.
        ceiling: the highest one, 0 or more.
        author: who sets them.
        reason: in her own words.
        even_outside: also where the position is outside of them already.
    """

    group: Group
    floor: int
    ceiling: int
    author: str = ""
    reason: str = ""
    even_outside: bool = False


GroupOrder = Approve | Disapprove | Freeze | Release | Limit


class NotDecided(msgspec.Struct, frozen=True):
    """Why an order of the regional admin changed nothing.

    Attributes:
        code: the reason.
        group: which it is about: the order's, or the one that stands in the way.
        proposal: the number that she named, where it is about a proposal.
        position: where the group stands, milliseconds, where it is about that.
    """

    code: DirectoryRefusalCode
    group: Group
    proposal: int | None = None
    position: int | None = None


def decide_proposal(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Keep a proposal for the regional admin; answer at once what can never be.

    A newer one takes the place of one that waits: the group has changed its mind.
    """
    propose = arrived.item
    assert isinstance(propose, DirectoryPropose)
    group = Group(arrived.peer)
    try:
        entry = read_entry(propose.entry, view.federation)
    except PeerError:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.UNREADABLE),))
    if entry.group != group:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    proposal = Proposal(
        group=group,
        number=arrived.number,
        line_hash=line_hash(arrived.line),
        entry=entry,
        signed=propose.entry,
        at=now,
    )
    wanted: list[Effect] = []
    former = view.proposals.get(group)
    if former is not None and former.is_waiting:
        # Also by one that can never be: at the group's node only the newest waits.
        wanted += end_proposal(former, ProposalState.REPLACED, now)
    record = view.directory[group]
    if record.state == "left" or not _may_follow(record, proposal):
        step = Step.PROPOSAL_REFUSED if wanted else None
        refused = refuse_item(arrived, ItemRefusalCode.NOT_APPROVED)
        return Effects(step, (*wanted, refused))
    return Effects(Step.PROPOSAL, (*wanted, KeepProposal(proposal)))


def _may_follow(record: GroupRecord, proposal: Proposal) -> bool:
    """Say whether a proposal's entry may follow the one that counts."""
    try:
        check_proposal(record, proposal.entry)
    except PeerError:
        return False
    return leaves_room(proposal.signed, len(record.former))


def end_proposal(
    proposal: Proposal, state: ProposalState, now: Instant
) -> list[Effect]:
    """End a proposal that waits with a no to its group."""
    ended = msgspec.structs.replace(proposal, state=state, decided_at=now)
    refused = ItemRefused(
        number=proposal.number,
        hash=proposal.line_hash,
        code=ItemRefusalCode.NOT_APPROVED,
    )
    return [KeepProposal(ended), SendItem(proposal.group, write_line(refused))]


def decide_group(view: HubView, order: GroupOrder, now: Instant) -> Effects:
    """Carry out an order of the regional admin.

    The outcome is the group's record as it then is, or ``NotDecided``.
    """
    record = view.directory.get(order.group)
    if record is None:
        return no(DirectoryRefusalCode.NO_SUCH_GROUP, order.group)
    match order:
        case Approve() | Disapprove():
            return _decide_proposed(view, record, order, now)
        case Freeze():
            return _freeze(view, record, now)
        case Release():
            return _release(view, record, now)
        case Limit():
            return _change_limits(view, record, order, now)
        case _:
            assert_never(order)


def no(
    code: DirectoryRefusalCode,
    group: Group,
    proposal: int | None = None,
    *,
    position: int | None = None,
) -> Effects:
    """Say no to the regional admin, with what her sentence names."""
    return Effects(None, (), NotDecided(code, group, proposal, position))


def _decide_proposed(
    view: HubView, record: GroupRecord, order: Approve | Disapprove, now: Instant
) -> Effects:
    """Decide on the very proposal that the admin has seen, and on no other."""
    proposal = view.proposals.get(order.group)
    if proposal is None or proposal.number != order.proposal:
        code = DirectoryRefusalCode.NO_SUCH_PROPOSAL
        return no(code, order.group, order.proposal)
    if isinstance(order, Approve):
        return _approve(view, record, proposal, now)
    if proposal.state is ProposalState.REFUSED:
        return Effects(None, (), record)
    if not proposal.is_waiting:
        code = DirectoryRefusalCode.PROPOSAL_ENDED
        return no(code, order.group, order.proposal)
    ended = end_proposal(proposal, ProposalState.REFUSED, now)
    return Effects(Step.PROPOSAL_REFUSED, ended, record)


def _approve(
    view: HubView, record: GroupRecord, proposal: Proposal, now: Instant
) -> Effects:
    if proposal.state is ProposalState.APPROVED:
        return Effects(None, (), record)
    group, number = proposal.group, proposal.number
    if not proposal.is_waiting:
        return no(DirectoryRefusalCode.PROPOSAL_ENDED, group, number)
    if record.state == "left":
        return no(DirectoryRefusalCode.LEFT_FOR_EVER, group)
    if not has_compared(view, group):
        return wait_for(view, group)
    if not _may_follow(record, proposal):
        return no(DirectoryRefusalCode.PROPOSAL_OUTDATED, group, number)
    approved = msgspec.structs.replace(
        proposal, state=ProposalState.APPROVED, decided_at=now
    )
    changed = msgspec.structs.replace(record, signed=proposal.signed)
    return decide_on(view, changed, now, [KeepProposal(approved)])


def _freeze(view: HubView, record: GroupRecord, now: Instant) -> Effects:
    """Freeze a group, with whatever entry is known of it: this waits for nobody."""
    if record.state == "frozen":
        return Effects(None, (), record)
    if record.state == "left":
        return no(DirectoryRefusalCode.LEFT_FOR_EVER, Group(record.entry.group))
    changed = msgspec.structs.replace(record, state="frozen")
    return decide_on(view, changed, now)


def _release(view: HubView, record: GroupRecord, now: Instant) -> Effects:
    if record.state == "active":
        return Effects(None, (), record)
    group = Group(record.entry.group)
    if record.state == "left":
        return no(DirectoryRefusalCode.LEFT_FOR_EVER, group)
    if record.state != "frozen":
        return no(DirectoryRefusalCode.GROUP_LEAVING, group)
    if not has_compared(view, group):
        return wait_for(view, group)
    changed = msgspec.structs.replace(record, state=_state_before(view, group))
    return decide_on(view, changed, now)


def _state_before(view: HubView, group: Group) -> str:
    """Say how a frozen group was before: a freeze ends no leaving."""
    for line in reversed(view.history):
        decision = read_item(line)
        assert isinstance(decision, DirectoryDecision), "the history is of these"
        if decision.group == group and decision.state != "frozen":
            return decision.state
    return "active"


def _change_limits(
    view: HubView, record: GroupRecord, order: Limit, now: Instant
) -> Effects:
    """Set limits: new holds look at them.

    Limits that the position is outside of already are likely a slip of the pen. Where
    they are meant, the group may only come back between them.
    """
    assert order.floor <= 0 <= order.ceiling, "callers parse limits"
    if record.state == "left":
        return no(DirectoryRefusalCode.LEFT_FOR_EVER, order.group)
    if (record.floor, record.ceiling) == (order.floor, order.ceiling):
        return Effects(None, (), record)
    position = view.accounts[order.group].balance
    if not order.even_outside and not order.floor <= position <= order.ceiling:
        return no(DirectoryRefusalCode.POSITION_OUTSIDE, order.group)
    if not has_compared(view, order.group):
        return wait_for(view, order.group)
    changed = msgspec.structs.replace(record, floor=order.floor, ceiling=order.ceiling)
    frozen = view.accounts[order.group].frozen
    limits = SetLimits(order.group, order.floor, order.ceiling, frozen)
    why = order.author, order.reason
    change = msgspec.structs.replace(
        view.limits.next(view.federation, now, "limits", why),
        group=order.group,
        floor=order.floor,
        ceiling=order.ceiling,
        decision=DecisionName(view.log, view.size),
    )
    return decide_on(view, changed, now, [limits, KeepLimitChange(change)])


def has_compared(view: HubView, group: Group) -> bool:
    """Say whether the hub surely knows a group's newest entry and proposal.

    A hub that was restored may have forgotten them, and would sign an old entry
    once more, which nodes that know the newer one refuse for good. The group's own
    node knows; but every group was told, so any that says that the hub is behind
    counts, unless it is frozen: a freeze ends what one node can stop with a lie
    (docs/decisions/0015).
    """
    link = view.links.get(group)
    return link is not None and link.has_compared and not telling(view, group)


def telling(view: HubView, group: Group) -> list[Group]:
    """Name who says that the hub is behind and is heard in what concerns a group."""
    unheard = {
        name for name, one in view.directory.items() if one.state in ("frozen", "left")
    }
    return [other for other in view.told_behind if other not in unheard - {group}]


def wait_for(view: HubView, group: Group) -> Effects:
    """Say whose node knows more, or that the group's has yet to compare."""
    others = telling(view, group)
    if others:
        return no(DirectoryRefusalCode.HUB_BEHIND, others[0])
    return no(DirectoryRefusalCode.GROUP_NOT_COMPARED, group)


def decide_on(
    view: HubView,
    record: GroupRecord,
    now: Instant,
    more: Sequence[Effect] = (),
    *,
    statement: str | None = None,
    step: Step = Step.DIRECTORY,
) -> Effects:
    """Write the one decision on a group, for everyone, and what hangs on it.

    Args:
        view: what the hub knows.
        record: the group as it shall be; its ``entry`` is read anew.
        now: the hub's time.
        more: effects beside the decision.
        statement: what vouches for keys that this very decision changes.
        step: the durable step that it is.
    """
    group = Group(record.entry.group)
    line = _line_of(view, record, now, statement)
    assert len(line) <= ITEM_LENGTH_MAX, "the entry's length was checked"
    decision = read_item(line)
    assert isinstance(decision, DirectoryDecision)
    directory = fold(view.directory, decision, line, view.federation)
    wanted: list[Effect] = [
        AppendDecision(view.log, view.size, line),
        SaveGroup(directory[group]),
        *more,
        *(SendItem(other, line) for other in sorted(directory)),
    ]
    return Effects(step, wanted, directory[group])


def _line_of(
    view: HubView, record: GroupRecord, now: Instant, statement: str | None
) -> bytes:
    """Write a decision; one on a group that ever had other keys names them."""
    decision = DirectoryDecision(
        log=view.log,
        number=view.size,
        at=write_instant(now),
        group=record.entry.group,
        entry=record.signed,
        state=record.state,  # type: ignore[arg-type]
        floor=record.floor,
        ceiling=record.ceiling,
        keys=list(record.keys),
    )
    if not record.former:
        return write_line(decision)
    told = msgspec.structs.asdict(decision) | {"kind": "keys"}
    former = list(record.former)
    return write_line(KeysDecision(**told, former=former, statement=statement))
