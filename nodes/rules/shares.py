"""The group's part in what groups share: it is told, and then books what was decided.

The hub says beforehand what each group would take over of what a group leaves behind.
A decision is booked only if it is what we were told and what its rule gives, computed
anew from what stands in it; otherwise nothing is booked and people are called. A
charge is not told beforehand: its rule is published (protocol, section 17).
"""

from collections.abc import Iterable

from nodes.rules.cycles import stated_in
from nodes.rules.share_records import KeepOwnShared, OwnShared
from nodes.rules.view import (
    CLEARING,
    SHARED,
    SHARED_APART,
    NodeView,
    NoteDecision,
)
from protocol.address import Group
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    OpenAccount,
    PostEntry,
    refuse_item,
)
from protocol.errors import ItemRefusalCode
from protocol.instant import Instant, read_instant
from protocol.ledger import TIME_UNIT, Account, AccountKind, Entry, Posting
from protocol.messages import (
    DecisionName,
    SharedDecision,
    SharedPlan,
    line_hash,
    read_item,
)
from protocol.shared import BEARING, added, charge_id, what_is_wrong
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX


def decide_plan(view: NodeView, arrived: ArrivedItem) -> Effects:
    """Keep what our group would take over, to be shown to the treasurer."""
    told = arrived.item
    assert isinstance(told, SharedPlan)
    parts = {one.group: one.amount for one in told.shares}
    parts[told.group] = -sum(parts.values())
    if view.group not in parts:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if told.id in view.shared:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    wrong = _wrong_plan(view, told)
    if wrong is not None:
        text = f"sharing {told.id}: the hub tells of it, but {wrong}"
        refused = refuse_item(arrived, ItemRefusalCode.NOT_YOURS)
        return Effects(None, (refused, CallPeople("cycle", text)))
    kept = OwnShared(
        shared_id=told.id,
        why="debt",
        group=told.group,
        item=arrived.number,
        line=arrived.line,
        amount=parts[view.group],
    )
    return Effects(Step.SHARES_TOLD, (KeepOwnShared(kept),))


def _wrong_plan(view: NodeView, told: SharedPlan) -> str | None:
    """Say what makes a plan none; its rule is looked at when it is decided."""
    names = [one.group for one in told.shares]
    if names != sorted(set(names)) or told.group in names:
        return "its groups are not each named once, in name order"
    if abs(sum(one.amount for one in told.shares)) > INTEGER_MAX:
        return f"it moves {told.group} further than anyone can state"
    return _unknown(view, [told.group, *names])


def _unknown(view: NodeView, names: Iterable[str]) -> str | None:
    """Name the first that is no group of the federation."""
    for name in names:
        if Group(name) not in view.directory:
            return f"nobody knows a group {name}"
    return None


def told_in(own: OwnShared) -> SharedPlan:
    """Read what we were told beforehand."""
    told = read_item(own.line or b"")
    assert isinstance(told, SharedPlan), "it was read when it came"
    return told


def decide_shared(view: NodeView, decision: SharedDecision, now: Instant) -> Effects:
    """Book our part, if it is what the rule gives; else call people."""
    note = NoteDecision(decision.log, decision.number)
    own = view.shared.get(decision.id)
    why = _why_not(view, own, decision)
    if why is not None:
        text = f"sharing {decision.id}: the hub has decided it, but {why}"
        return Effects(None, (note, CallPeople("cycle", text)))
    amount = added(decision).get(view.group, 0)
    kept = OwnShared(
        shared_id=decision.id,
        why=decision.why,
        group=decision.group,
        item=None if own is None else own.item,
        line=None if own is None else own.line,
        amount=amount,
        name=DecisionName(decision.log, decision.number),
        decided_at=read_instant(decision.at),
    )
    wanted: list[Effect] = [note, KeepOwnShared(kept)]
    if amount:
        wanted += _book(view, kept, now)
    return Effects(Step.SHARED, wanted)


def _book(view: NodeView, kept: OwnShared, now: Instant) -> list[Effect]:
    """Move it: our clearing account is the negative of our position."""
    name = _account(view)
    account = Account(account_id=name, kind=AccountKind.SYSTEM, unit=TIME_UNIT)
    entry = Entry(
        entry_id=kept.shared_id,
        at=now,
        kind="shared",
        postings=(Posting(CLEARING, -kept.amount), Posting(name, kept.amount)),
    )
    # A node that joined before there was anything to share has no such account yet.
    opened: list[Effect] = [] if name in view.accounts else [OpenAccount(account)]
    return [*opened, PostEntry(entry)]


def _account(view: NodeView) -> str:
    """Name the account for what we share: ours, also where a member has its name."""
    member = view.accounts.get(SHARED)
    is_taken = member is not None and member.kind is not AccountKind.SYSTEM
    return SHARED_APART if is_taken else SHARED


def _why_not(
    view: NodeView, own: OwnShared | None, decision: SharedDecision
) -> str | None:
    """Say what speaks against a decision; ``None``: nothing."""
    if own is not None and own.name is not None:
        return "it was decided already"
    moved = added(decision)
    wrong = what_is_wrong(decision) or _unknown(view, sorted(moved))
    if wrong is not None:
        return wrong
    after = moved.get(view.group, 0) - view.clearing_balance
    if abs(after) > INTEGER_MAX:
        return f"our position would be {after} ms, more than anyone can state"
    if decision.why == "debt":
        return _why_not_debt(view, own, decision)
    return _why_not_charge(view, decision)


def _why_not_charge(view: NodeView, decision: SharedDecision) -> str | None:
    """Compare it with the cycle that ended just before, and our limit with ours."""
    ended, record = view.cycles.get(decision.cycle), view.directory.get(view.group)
    if decision.id != charge_id(view.federation, decision.cycle):
        return "it does not bear the name of this cycle's charge"
    if ended is None or record is None:
        return f"we know of no end of cycle {decision.cycle}"
    if (decision.log, decision.number) != (ended.name.log, ended.name.number + 1):
        return f"it does not follow on the end of cycle {decision.cycle}"
    for one in decision.shares:
        lawful = max(0, record.ceiling if one.measure > 0 else -record.floor)
        if one.group == view.group and one.limit != lawful:
            return f"it holds us against {one.limit}, where we have {lawful}"
    return None


def _why_not_debt(
    view: NodeView, own: OwnShared | None, decision: SharedDecision
) -> str | None:
    if own is None or own.line is None:
        return "we were never told of it before"
    if line_hash(own.line) != decision.plan:
        return "not what we were told before"
    told = told_in(own)
    if (told.group, told.rule, told.cycle, told.shares) != (
        decision.group,
        decision.rule,
        decision.cycle,
        decision.shares,
    ):
        return "not what we were told before"
    return _why_not_borne(view, decision) or _why_not_measured(view, decision)


def _why_not_borne(view: NodeView, decision: SharedDecision) -> str | None:
    """See that each group bears a part that has to: we know them as the hub does.

    What the hub decided on groups before this, it has told us before this.
    """
    bearing = {
        str(group)
        for group, record in view.directory.items()
        if record.state in BEARING and group != decision.group
    }
    for group in sorted(bearing ^ {one.group for one in decision.shares}):
        told = "is left out" if group in bearing else "should have none"
        return f"of those who bear a part {group} {told}"
    return None


def _why_not_measured(view: NodeView, decision: SharedDecision) -> str | None:
    """Compare what groups are measured by with what we know of them, and of ourselves.

    Limits stand in everybody's directory; what moved in a cycle only in our own
    statement.
    """
    for one in decision.shares:
        lawful = one.measure
        if decision.rule == "size":
            record = view.directory[Group(one.group)]
            lawful = record.ceiling - record.floor
        is_ours = one.group == view.group
        if decision.rule == "turnover" and is_ours:
            lawful = _turnover(view, decision.cycle)
        if lawful != one.measure:
            whom = "us" if is_ours else one.group
            return f"it measures {whom} by {one.measure}, where we have {lawful}"
    return None


def _turnover(view: NodeView, cycle: int) -> int:
    """Give what moved our position in a cycle; nothing where we have no statement."""
    own = view.cycles.get(cycle)
    if own is None or not own.line:
        return 0
    stated = stated_in(own)
    return stated.debits + stated.credits
