"""A group's last steps: it is leaving, it stays after all, it has left.

Whoever wishes to leave needs nobody's consent: the group's own signed word begins it,
or the regional admin's. From then on its position only runs off
(``protocol.run_off``). That it has left is the regional admin's decision alone, for it
ends what can still be put right: nothing may be in flight, no leg may yet settle, and
a debt that stays behind she must have named (protocol, section 19).
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from clearing.rules.cycle_records import Leg
from clearing.rules.groups import (
    NotDecided,
    decide_on,
    has_compared,
    no,
    telling,
    wait_for,
)
from clearing.rules.legs import may_decide_on_leg, void_leg
from clearing.rules.view import HubView
from protocol.address import Group
from protocol.directory import GroupRecord
from protocol.effects import ArrivedItem, Effects, refuse_item
from protocol.errors import DirectoryRefusalCode, ItemRefusalCode
from protocol.instant import Instant
from protocol.messages import DirectoryLeave


class BeginLeaving(msgspec.Struct, frozen=True):
    """The regional admin has a group's position run off from now on."""

    group: Group


class Stay(msgspec.Struct, frozen=True):
    """A group that is leaving stays after all, with the limits that it had."""

    group: Group


class DeclareLeft(msgspec.Struct, frozen=True):
    """A group has left, for ever.

    ``position`` is what the regional admin has seen that it leaves behind,
    milliseconds; 0 for a group that is even.
    """

    group: Group
    position: int


LeavingOrder = BeginLeaving | Stay | DeclareLeft


def decide_leave_wish(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Carry out a group's own wish to leave; one that is leaving already, does.

    A frozen group's wish has to wait: it would let its debtor receive again. So has
    one that meets a hub which may have forgotten the group's newest entry.
    """
    wish = arrived.item
    assert isinstance(wish, DirectoryLeave)
    if wish.group != arrived.peer:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    decided = _turn(view, view.directory[Group(wish.group)], "leaving", now)
    if isinstance(decided.outcome, NotDecided):
        code = decided.outcome.code
        if code is DirectoryRefusalCode.LEFT_FOR_EVER:
            return Effects(None, ())
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_APPROVED),))
    return msgspec.structs.replace(decided, outcome=None)


def decide_leaving(
    view: HubView, order: LeavingOrder, now: Instant
) -> Iterator[Effects]:
    """Carry out an order of the regional admin.

    The outcome is the group's record as it then is, or ``NotDecided``.
    """
    record = view.directory.get(order.group)
    if record is None:
        yield no(DirectoryRefusalCode.NO_SUCH_GROUP, order.group)
    elif isinstance(order, BeginLeaving):
        yield _turn(view, record, "leaving", now)
    elif isinstance(order, Stay):
        yield _turn(view, record, "active", now)
    else:
        yield from _declare_left(view, record, order, now)


def _turn(
    view: HubView,
    record: GroupRecord,
    state: Literal["active", "leaving"],
    now: Instant,
) -> Effects:
    """Have a group begin to leave, or stay after all."""
    group = Group(record.entry.group)
    if record.state == state:
        return Effects(None, (), record)
    if record.state == "left":
        return no(DirectoryRefusalCode.LEFT_FOR_EVER, group)
    if record.state == "frozen":
        return no(DirectoryRefusalCode.RELEASE_FIRST, group)
    if not has_compared(view, group):
        return wait_for(view, group)
    changed = msgspec.structs.replace(record, state=state)
    return decide_on(view, changed, now)


def _declare_left(
    view: HubView, record: GroupRecord, order: DeclareLeft, now: Instant
) -> Iterator[Effects]:
    """End a group's part for ever; legs that nobody has signed end with it."""
    if record.state == "left":
        yield Effects(None, (), record)
        return
    refused = _why_not(view, record, order)
    if refused is not None:
        yield refused
        return
    for leg in _legs_of(view, order.group):
        yield void_leg(view, leg, "party-left", now)
    changed = msgspec.structs.replace(record, state="left")
    yield decide_on(view, changed, now)


def _why_not(view: HubView, record: GroupRecord, order: DeclareLeft) -> Effects | None:
    group, code = order.group, DirectoryRefusalCode
    if record.state == "active":
        return no(code.GROUP_NOT_LEAVING, group)
    # A frozen one's server may be gone for good; the others were told all of it.
    if record.state == "frozen":
        if telling(view, group):
            return wait_for(view, group)
    elif not has_compared(view, group):
        return wait_for(view, group)
    account = view.accounts[group]
    if account.held_out or account.held_in:
        return no(code.STILL_IN_FLIGHT, group)
    # What somebody says was made good, or where we may have forgotten it.
    if any(
        leg.paid or leg.received or not may_decide_on_leg(view, leg)
        for leg in _legs_of(view, group)
    ):
        return no(code.LEG_MAY_SETTLE, group)
    if account.balance != order.position:
        refusal = code.POSITION_CHANGED if order.position else code.POSITION_NOT_ZERO
        return no(refusal, group, position=account.balance)
    return None


def _legs_of(view: HubView, group: Group) -> list[Leg]:
    return [
        leg for leg in view.open_cycle.open_legs if group in (leg.debtor, leg.creditor)
    ]
