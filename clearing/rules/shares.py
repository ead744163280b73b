"""What a group leaves behind is shared by the others, as they agreed beforehand.

First all are told what each would take over; that moves nothing. The decision names
what they were told, and is made only while the rule still gives the same. It posts
whatever the limits say, as a settlement does: they bind new holds only (protocol,
section 17).
"""

from collections.abc import Iterable, Mapping
from typing import assert_never

import msgspec

from clearing.rules.cycles import holds_up, read_statement
from clearing.rules.share_records import KeepShared, Shared, SharedState
from clearing.rules.view import RESERVE, AppendDecision, HubView
from protocol.address import Group
from protocol.directory import GroupRecord
from protocol.effects import Effect, Effects, PostEntry, SendItem
from protocol.errors import MalformedMessageError, SharingRefusalCode
from protocol.instant import Instant, write_instant
from protocol.ledger import Entry, Posting
from protocol.messages import (
    ITEM_LENGTH_MAX,
    DecisionName,
    SharedDecision,
    SharedPlan,
    line_hash,
    write_line,
)
from protocol.shared import BEARING, added, debt_id, share_left
from protocol.sharing import SharingRule
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX

#: A group's server may be gone for good; then nobody can let it leave in good order.
_GONE = ("left", "frozen")


class ForeseeShares(msgspec.Struct, frozen=True):
    """The regional admin looks at what each would take over; nobody is told."""

    group: Group
    rule: SharingRule


class TellShares(msgspec.Struct, frozen=True):
    """The regional admin puts before all groups what each would take over."""

    group: Group
    rule: SharingRule


class ShareDebt(msgspec.Struct, frozen=True):
    """The regional admin decides what all were told, by its id."""

    group: Group
    plan: str


class NotShared(msgspec.Struct, frozen=True):
    """Why nothing was shared; ``group`` stands in the way."""

    code: SharingRefusalCode
    group: str


def decide_shares(
    view: HubView, order: ForeseeShares | TellShares | ShareDebt, now: Instant
) -> Effects:
    """Lead an order to its rule."""
    match order:
        case ForeseeShares():
            return decide_foresee(view, order, now)
        case TellShares():
            return decide_tell(view, order, now)
        case ShareDebt():
            return decide_share(view, order, now)
        case _:
            assert_never(order)


def decide_foresee(view: HubView, order: ForeseeShares, now: Instant) -> Effects:
    """Look: the outcome is a ``SharedPlan`` that nobody was told, or ``NotShared``."""
    return Effects(None, (), _plan(view, order.group, order.rule, now))


def decide_tell(view: HubView, order: TellShares, now: Instant) -> Effects:
    """Tell all whom it concerns; the outcome is the ``Shared``, or ``NotShared``."""
    plan = _plan(view, order.group, order.rule, now)
    if isinstance(plan, NotShared):
        return Effects(None, (), plan)
    line = write_line(plan)
    told = Shared(
        shared_id=plan.id,
        why="debt",
        group=order.group,
        place=len(_known(view, order.group)),
        line=line,
        told_at=now,
    )
    wanted: list[Effect] = [
        KeepShared(msgspec.structs.replace(former, state=SharedState.REPLACED))
        for former in _known(view, order.group)
        if former.state is SharedState.TOLD
    ]
    wanted.append(KeepShared(told))
    concerned = sorted([order.group, *(one.group for one in plan.shares)])
    wanted += [SendItem(group, line) for group in concerned]
    return Effects(Step.TELL_SHARES, wanted, told)


def decide_share(view: HubView, order: ShareDebt, now: Instant) -> Effects:
    """Move all positions at once; the outcome is the ``Shared``, or ``NotShared``."""
    code, told = SharingRefusalCode, view.shared.get(order.plan)
    if told is None or told.group != order.group:
        return _no(code.NO_SUCH_PLAN, order.group)
    if told.state is SharedState.DECIDED:
        return _no(code.PLAN_ENDED, order.group)
    if told.state is SharedState.REPLACED:
        return _no(code.SHARES_OUTDATED, order.group)
    plan = told.plan
    now_so = _plan(view, order.group, SharingRule(plan.rule), now)
    if isinstance(now_so, NotShared):
        return Effects(None, (), now_so)
    if (now_so.shares, now_so.cycle) != (plan.shares, plan.cycle):
        return _no(code.SHARES_OUTDATED, order.group)
    decision = decision_on(plan, DecisionName(view.log, view.size), now)
    return Effects(Step.SHARE, *share_out(told, decision, now))


def share_out(
    told: Shared,
    decision: SharedDecision,
    now: Instant,
    others: Iterable[str] = (),
) -> tuple[list[Effect], Shared]:
    """Write one decision that moves positions, for every group that it concerns.

    Args:
        told: what is kept of it.
        decision: as it is.
        now: the hub's time.
        others: who else is told of it.
    """
    name = DecisionName(decision.log, decision.number)
    line = write_line(decision)
    decided = msgspec.structs.replace(
        told, state=SharedState.DECIDED, name=name, decided_at=now
    )
    moved = added(decision)
    concerned = {one.group for one in decision.shares} | moved.keys() | set(others)
    if decision.reserve:
        moved[RESERVE] = decision.reserve
    entry = Entry(
        entry_id=told.shared_id,
        at=now,
        kind="shared",
        postings=tuple(Posting(group, moved[group]) for group in sorted(moved)),
    )
    wanted: list[Effect] = [
        AppendDecision(name.log, name.number, line),
        PostEntry(entry),
        KeepShared(decided),
        *(SendItem(group, line) for group in sorted(concerned)),
    ]
    return wanted, decided


def decision_on(plan: SharedPlan, name: DecisionName, now: Instant) -> SharedDecision:
    """Write the decision that carries out a plan."""
    return SharedDecision(
        log=name.log,
        number=name.number,
        at=write_instant(now),
        id=plan.id,
        why="debt",
        cycle=plan.cycle,
        group=plan.group,
        rule=plan.rule,
        plan=line_hash(write_line(plan)),
        rate=None,
        threshold=None,
        reserve=0,
        shares=plan.shares,
    )


def _no(code: SharingRefusalCode, group: str) -> Effects:
    return Effects(None, (), NotShared(code, group))


def _known(view: HubView, group: str) -> list[Shared]:
    return [one for one in view.shared.values() if one.group == group]


def _plan(
    view: HubView, group: Group, rule: SharingRule, now: Instant
) -> SharedPlan | NotShared:
    """Say what each group would take over of what one leaves, or why nothing."""
    refused = _why_not(view, group, rule)
    if refused is not None:
        return refused
    position = view.accounts[group].balance
    try:
        shares = share_left(position, rule, _measures(view, group, rule))
    except MalformedMessageError:
        return NotShared(SharingRefusalCode.NOBODY_SHARES, group)
    for one in shares:
        if abs(view.accounts[one.group].balance + one.amount) > INTEGER_MAX:
            return NotShared(SharingRefusalCode.SHARE_TOO_LARGE, one.group)
    former = view.open_cycle.former
    plan = SharedPlan(
        id=debt_id(view.federation, group, len(_known(view, group))),
        at=write_instant(now),
        cycle=0 if former is None else former.cycle,
        group=group,
        rule=rule.value,
        shares=shares,
    )
    decision = decision_on(plan, DecisionName(view.log, INTEGER_MAX), now)
    if len(write_line(decision)) > ITEM_LENGTH_MAX:
        return NotShared(SharingRefusalCode.TOO_MANY_SHARES, group)
    return plan


def _why_not(view: HubView, group: Group, rule: SharingRule) -> NotShared | None:
    code, account = SharingRefusalCode, view.accounts[group]
    if rule is not view.agreed.rule:
        return NotShared(code.RULE_NOT_AGREED, group)
    if view.directory[group].state not in _GONE:
        return NotShared(code.GROUP_NOT_GONE, group)
    if account.balance == 0:
        return NotShared(code.NOTHING_LEFT, group)
    if abs(account.balance) > INTEGER_MAX:
        return NotShared(code.SHARE_TOO_LARGE, group)
    return _why_wait(view, group)


def _why_wait(view: HubView, group: Group) -> NotShared | None:
    """Say what may yet move a position, or has and is forgotten here."""
    code, account = SharingRefusalCode, view.accounts[group]
    for other, record in sorted(view.directory.items()):
        # A hub that has forgotten what it decided would share it twice.
        if holds_up(record.state, view.links.get(other)):
            return NotShared(code.SHARING_WAITS, other)
    if account.held_out or account.held_in:
        return NotShared(code.STILL_IN_FLIGHT, group)
    if any(group in (leg.debtor, leg.creditor) for leg in view.open_cycle.open_legs):
        return NotShared(code.LEG_OF_GROUP_OPEN, group)
    return None


def _measures(view: HubView, group: Group, rule: SharingRule) -> Mapping[str, int]:
    """Measure the groups that bear a part."""
    staying = {
        str(other): record
        for other, record in view.directory.items()
        if record.state in BEARING and other != group
    }
    match rule:
        case SharingRule.EQUAL:
            return dict.fromkeys(staying, 1)
        case SharingRule.SIZE:
            return {other: room_of(record) for other, record in staying.items()}
        case SharingRule.TURNOVER:
            return {other: _turnover(view, other) for other in staying}


def room_of(record: GroupRecord) -> int:
    """Give a group's size as all know it: the room between its limits."""
    return record.ceiling - record.floor


def _turnover(view: HubView, group: str) -> int:
    """Give what moved a group's position in the newest cycle that has ended."""
    former = view.open_cycle.former
    if former is None:
        return 0
    kept = view.open_cycle.statements.get((former.cycle, group))
    if kept is None:
        return 0
    stated = read_statement(kept)
    return stated.debits + stated.credits
