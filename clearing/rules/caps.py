"""Caps between two groups, and from when on a limit is worth a word.

A cap bounds what members of one group pay another's in a calendar month, by the hub's
clock in UTC. A transfer counts in the month in which the hub took it, from when it is
held until it is refused; once cleared it counts to the month's end.
"""

import msgspec

from clearing.rules.groups import NotDecided
from clearing.rules.limit_records import (
    Cap,
    CountUse,
    KeepLimitChange,
    KeepWarned,
    Pair,
    month_of,
)
from clearing.rules.view import HubView
from protocol.address import Group
from protocol.effects import CallPeople, Effect, Effects
from protocol.errors import DirectoryRefusalCode
from protocol.instant import Instant
from protocol.limit_warning import Limit
from protocol.steps import Step
from protocol.transfer import Transfer
from protocol.unit import HOUR


class SetCap(msgspec.Struct, frozen=True, kw_only=True):
    """The regional admin caps a pair of groups, or ends the cap (``None``)."""

    payer: Group
    payee: Group
    milliseconds: int | None
    author: str
    reason: str

    @property
    def pair(self) -> Pair:
        """Name the pair."""
        return self.payer, self.payee


class SetWarning(msgspec.Struct, frozen=True, kw_only=True):
    """From this share of a limit on people are warned, percent."""

    percent: int
    author: str
    reason: str


class LimitStanding(msgspec.Struct, frozen=True):
    """How a group stands to a limit, as the hub's watch has seen it.

    Attributes:
        group: which.
        limit: that people are to know of; ``None``: none any more.
        position: milliseconds.
        bound: the limit itself, milliseconds.
    """

    group: Group
    limit: Limit | None
    position: int
    bound: int | None


class NoteStandings(msgspec.Struct, frozen=True):
    """What has changed since people were called last."""

    standings: tuple[LimitStanding, ...]


def is_beyond_cap(
    view: HubView, payer: str, payee: str, amount: int, now: Instant
) -> bool:
    """Say whether a transfer would pass its pair's cap, holds counted."""
    cap = view.limits.caps.get((payer, payee))
    if cap is None:
        return False
    used = view.limits.used((payer, payee), month_of(now))
    return used + amount > cap.milliseconds


def count(view: HubView, offered: Transfer) -> list[Effect]:
    """Count a transfer that is held from now on, where its pair is counted."""
    pair = offered.payer_group, offered.payee_group
    if not view.limits.is_counted(pair):
        return []
    return [CountUse(pair, month_of(offered.taken_at), offered.milliseconds)]


def give_back(view: HubView, refused: Transfer) -> list[Effect]:
    """Count no longer what was held and is refused."""
    pair = refused.payer_group, refused.payee_group
    if not view.limits.is_counted(pair):
        return []
    return [CountUse(pair, month_of(refused.taken_at), -refused.milliseconds)]


def decide_cap(view: HubView, order: SetCap, now: Instant) -> Effects:
    """Set or end a cap; it binds new transfers only.

    The outcome is the cap, ``True`` when there is none any more, or ``NotDecided``.
    """
    for group in (order.payer, order.payee):
        if group not in view.directory:
            return _no(DirectoryRefusalCode.NO_SUCH_GROUP, group)
    if order.payer == order.payee:
        return _no(DirectoryRefusalCode.SAME_GROUP, order.payer)
    before = view.limits.caps.get(order.pair)
    if (before and before.milliseconds) == order.milliseconds:
        return Effects(None, (), before or True)
    change = msgspec.structs.replace(
        view.limits.next(view.federation, now, "cap", (order.author, order.reason)),
        group=order.payer,
        payee=order.payee,
        month=order.milliseconds,
        from_item=view.next_number(order.payee),
    )
    outcome: object = True
    if order.milliseconds is not None:
        told = order.payer, order.payee, order.milliseconds
        outcome = Cap(*told, change.at, order.author, order.reason)
    return Effects(Step.CAP, (KeepLimitChange(change),), outcome)


def _no(code: DirectoryRefusalCode, group: Group) -> Effects:
    return Effects(None, (), NotDecided(code, group))


def decide_warning(view: HubView, order: SetWarning, now: Instant) -> Effects:
    """Set from which share of a limit on people are warned; gives the share."""
    assert 1 <= order.percent <= 100, "callers parse percents"
    if order.percent == view.limits.percent:
        return Effects(None, (), order.percent)
    why = order.author, order.reason
    change = msgspec.structs.replace(
        view.limits.next(view.federation, now, "warning", why), percent=order.percent
    )
    return Effects(Step.CAP, (KeepLimitChange(change),), order.percent)


def decide_standings(view: HubView, order: NoteStandings, now: Instant) -> Effects:
    """Call people about groups that have newly passed the threshold, each once."""
    wanted: list[Effect] = []
    for one in order.standings:
        if view.limits.warned.get(one.group) == one.limit:
            continue
        wanted.append(KeepWarned(one.group, one.limit, now))
        if one.limit is not None and one.bound is not None:
            wanted.append(CallPeople("limit", _told(one, one.bound)))
    return Effects(None, wanted)


def _told(one: LimitStanding, bound: int) -> str:
    side = "lowest" if one.limit == "floor" else "highest"
    return (
        f"{one.group} stands at {one.position / HOUR:+.2f} h; its {side} position is"
        f" {bound / HOUR:+.2f} h"
    )
