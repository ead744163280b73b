"""The group's part in what groups share: it is told, and then books what was decided.

The hub says beforehand what each group would take over of what a group leaves behind.
A decision is booked only if it is what we were told and what its rule gives, computed
anew from what stands in it; otherwise nothing is booked and people are called. A
charge is not told beforehand: its rule is published (protocol, section 17).
"""

from nodes.rules.cycles import stated_in
from nodes.rules.share_records import KeepOwnShared, OwnShared
from nodes.rules.view import CLEARING, SHARED, NodeView, NoteDecision
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
    Share,
    SharedDecision,
    SharedPlan,
    line_hash,
    read_item,
)
from protocol.shared import added, what_is_wrong
from protocol.steps import Step


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
    kept = OwnShared(
        shared_id=told.id,
        why="debt",
        group=told.group,
        item=arrived.number,
        line=arrived.line,
        amount=parts[view.group],
    )
    return Effects(Step.SHARES_TOLD, (KeepOwnShared(kept),))


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
    account = Account(account_id=SHARED, kind=AccountKind.SYSTEM, unit=TIME_UNIT)
    entry = Entry(
        entry_id=kept.shared_id,
        at=now,
        kind="shared",
        postings=(Posting(CLEARING, -kept.amount), Posting(SHARED, kept.amount)),
    )
    # A node that joined before there was anything to share has no such account yet.
    opened: list[Effect] = [] if SHARED in view.accounts else [OpenAccount(account)]
    return [*opened, PostEntry(entry)]


def _why_not(
    view: NodeView, own: OwnShared | None, decision: SharedDecision
) -> str | None:
    """Say what speaks against a decision; ``None``: nothing."""
    if own is not None and own.name is not None:
        return "it was decided already"
    wrong = what_is_wrong(decision)
    if wrong is not None:
        return wrong
    account = view.accounts.get(SHARED)
    if account is not None and account.kind is not AccountKind.SYSTEM:
        return f"a member has the account {SHARED}, on which it is booked"
    if decision.why == "debt":
        return _why_not_debt(view, own, decision)
    return _why_not_charge(view, decision)


def _why_not_charge(view: NodeView, decision: SharedDecision) -> str | None:
    """Compare the limit that we are held against with ours."""
    record = view.directory[Group(view.group)]
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
    mine = [one for one in decision.shares if one.group == view.group]
    return _why_not_measured(view, mine[0], decision) if mine else None


def _why_not_measured(
    view: NodeView, mine: Share, decision: SharedDecision
) -> str | None:
    """Compare what we are measured by with what we know of ourselves."""
    lawful = mine.measure
    if decision.rule == "size":
        record = view.directory[Group(view.group)]
        lawful = record.ceiling - record.floor
    own = view.cycles.get(decision.cycle)
    if decision.rule == "turnover" and own is not None and own.line:
        stated = stated_in(own)
        lawful = stated.debits + stated.credits
    if lawful == mine.measure:
        return None
    return f"it measures us by {mine.measure}, where we have {lawful}"
