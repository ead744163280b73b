"""A treasurer admits members, sets their limits, freezes, closes and opens accounts.

Limits of many at once are ``limits``.

Limits bound only what is new: what is held already still posts (protocol, section 8).
Whatever is changed is kept for ever, with who changed it and when.
"""

import msgspec

from nodes.rules.entries import BY_HAND
from nodes.rules.view import FUND, Answer, KeepAnswer, NodeView, OtherBody, SaveMember
from protocol.effects import (
    Effect,
    Effects,
    HouseEffect,
    OpenAccount,
    PostEntry,
    SetLimits,
)
from protocol.errors import TreasurerRefusalCode
from protocol.instant import Instant
from protocol.ledger import GROUP_UNIT, Account, AccountKind, Entry, Posting
from protocol.steps import Step


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to open a member's account.

    ``floor`` and ``ceiling`` are minor units; ``None``: no limit. ``author`` is the
    person who orders it; ``None``: a command beside no server. With ``author``, ``key``
    is the order's name for retries, and ``body_hash`` shows whether it is another.
    """

    account_id: str
    name: str
    floor: int | None
    ceiling: int | None
    author: str | None = None
    key: str | None = None
    body_hash: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """All that a treasurer decides about a member.

    ``floor`` and ``ceiling`` are minor units; ``None``: no limit.
    """

    name: str
    floor: int | None
    ceiling: int | None
    frozen: bool = False
    closed: bool = False


class MemberChange(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to change what she decides about a member.

    Attributes:
        account_id: whose.
        author: the person who orders it.
        name: what is not said stays as it is, as with all others.
        floor: minor units; ``None``: no limit.
        ceiling: minor units; ``None``: no limit.
        frozen: takes part in nothing new.
        closed: takes part in nothing at all.
        reason: in her words, where she gives any.
        to_fund: id of the entry by which a closed account leaves what stands on it to
            the group's fund; ``None``: then it is not closed. Needs a reason.
    """

    account_id: str
    author: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    floor: int | msgspec.UnsetType | None = msgspec.UNSET
    ceiling: int | msgspec.UnsetType | None = msgspec.UNSET
    frozen: bool | msgspec.UnsetType = msgspec.UNSET
    closed: bool | msgspec.UnsetType = msgspec.UNSET
    reason: str | None = None
    to_fund: str | None = None


class NoteStanding(HouseEffect, frozen=True):
    """Keep for ever what was decided about a member, by whom and why."""

    account_id: str
    author: str | None
    standing: Standing
    reason: str | None = None


def decide_member(view: NodeView, member: NewMember, now: Instant) -> Effects:
    """Open a member's account; one that is there already stays as it is.

    The outcome says whether this order opened it, or is ``OtherBody`` when its key
    was used before for something else.
    """
    before = view.answers.get((member.author or "", member.key or ""))
    if before is not None:
        if before.body_hash != member.body_hash:
            return Effects(None, (), OtherBody())
        return Effects(None, (), before.code is None)
    if member.account_id in view.accounts:
        code = TreasurerRefusalCode.NAME_TAKEN
        return Effects(None, _kept(member, now, code), False)
    account = Account(
        account_id=member.account_id,
        kind=AccountKind.MEMBER,
        unit=GROUP_UNIT,
        floor=member.floor,
        ceiling=member.ceiling,
    )
    standing = Standing(name=member.name, floor=member.floor, ceiling=member.ceiling)
    wanted: tuple[Effect, ...] = (
        OpenAccount(account),
        SaveMember(member.account_id, member.name),
        NoteStanding(member.account_id, member.author, standing),
        *_kept(member, now),
    )
    return Effects(Step.MEMBER, wanted, True)


def _kept(
    member: NewMember, now: Instant, code: TreasurerRefusalCode | None = None
) -> tuple[KeepAnswer, ...]:
    if member.key is None or member.author is None:
        return ()
    answer = Answer(
        body_hash=member.body_hash,
        transfer_id=None,
        code=code,
        at=now,
        account_id=member.account_id,
    )
    return (KeepAnswer(member.author, member.key, answer),)


def decide_change(view: NodeView, change: MemberChange, now: Instant) -> Effects:
    """Change what a treasurer decides about a member, all that is asked or nothing.

    The outcome is the new ``Standing``, a ``TreasurerRefusalCode``, or ``None`` when
    nobody has this account.
    """
    account = view.accounts.get(change.account_id)
    if account is None or account.kind is not AccountKind.MEMBER:
        return Effects(None, ())
    before = Standing(
        name=view.names[change.account_id],
        floor=account.floor,
        ceiling=account.ceiling,
        frozen=account.frozen,
        closed=account.closed,
    )
    after = _changed(before, change)
    moved = _moved_to_fund(account, after, change, now)
    code = _first_refusal(account, after, is_emptied=bool(moved))
    if code is not None:
        return Effects(None, (), code)
    if after == before:
        return Effects(None, (), after)
    wanted: list[Effect] = [
        *moved,
        SetLimits(
            change.account_id, after.floor, after.ceiling, after.frozen, after.closed
        ),
        NoteStanding(change.account_id, change.author, after, change.reason),
    ]
    if after.name != before.name:
        wanted.append(SaveMember(change.account_id, after.name))
    return Effects(Step.MEMBER, wanted, after)


def _changed(before: Standing, change: MemberChange) -> Standing:
    wished = {
        name: getattr(change, name)
        for name in Standing.__struct_fields__
        if getattr(change, name) is not msgspec.UNSET
    }
    return msgspec.structs.replace(before, **wished)


def _moved_to_fund(
    account: Account, after: Standing, change: MemberChange, now: Instant
) -> tuple[PostEntry, ...]:
    """Leave what stands on an account that is closed to the fund, debt or credit.

    No limit of hers is asked: she leaves, and her account ends at 0.
    """
    if not after.closed or change.to_fund is None or not account.balance:
        return ()
    assert change.reason is not None, "callers give a reason with it"
    entry = Entry(
        entry_id=change.to_fund,
        at=now,
        kind=BY_HAND,
        postings=(
            Posting(account.account_id, -account.balance),
            Posting(FUND, account.balance),
        ),
        author=change.author,
        reason=change.reason,
    )
    return (PostEntry(entry),)


def _first_refusal(
    account: Account, after: Standing, *, is_emptied: bool
) -> TreasurerRefusalCode | None:
    floor, ceiling = after.floor, after.ceiling
    if floor is not None and ceiling is not None and floor > ceiling:
        return TreasurerRefusalCode.LIMITS_CROSSED
    if not after.closed:
        return None
    # A hold first: it is what may change the balance still.
    if account.held_out or account.held_in:
        return TreasurerRefusalCode.STILL_HELD
    if account.balance and not is_emptied:
        return TreasurerRefusalCode.BALANCE_NOT_ZERO
    return None
