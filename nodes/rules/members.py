"""A treasurer admits members, sets their limits, freezes, closes and opens accounts.

Limits bound only what is new: what is held already still posts (protocol, section 8).
Whatever is changed is kept for ever, with who changed it and when.
"""

import msgspec

from nodes.rules.view import NodeView, SaveMember
from protocol.effects import Effect, Effects, HouseEffect, OpenAccount, SetLimits
from protocol.errors import TreasurerRefusalCode
from protocol.ledger import GROUP_UNIT, Account, AccountKind
from protocol.steps import Step


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to open a member's account.

    ``floor`` and ``ceiling`` are minor units; ``None``: no limit. ``author`` is the
    person who orders it; ``None``: a command beside no server.
    """

    account_id: str
    name: str
    floor: int | None
    ceiling: int | None
    author: str | None = None


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
    """

    account_id: str
    author: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    floor: int | msgspec.UnsetType | None = msgspec.UNSET
    ceiling: int | msgspec.UnsetType | None = msgspec.UNSET
    frozen: bool | msgspec.UnsetType = msgspec.UNSET
    closed: bool | msgspec.UnsetType = msgspec.UNSET


class NoteStanding(HouseEffect, frozen=True):
    """Keep for ever what was decided about a member, and by whom."""

    account_id: str
    author: str | None
    standing: Standing


def decide_member(view: NodeView, member: NewMember) -> Effects:
    """Open a member's account; one that is there already stays as it is.

    The outcome says whether the account is new.
    """
    if member.account_id in view.accounts:
        return Effects(None, (), False)
    account = Account(
        account_id=member.account_id,
        kind=AccountKind.MEMBER,
        unit=GROUP_UNIT,
        floor=member.floor,
        ceiling=member.ceiling,
    )
    standing = Standing(name=member.name, floor=member.floor, ceiling=member.ceiling)
    wanted = (
        OpenAccount(account),
        SaveMember(member.account_id, member.name),
        NoteStanding(member.account_id, member.author, standing),
    )
    return Effects(Step.MEMBER, wanted, True)


def decide_change(view: NodeView, change: MemberChange) -> Effects:
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
    code = _first_refusal(account, after)
    if code is not None:
        return Effects(None, (), code)
    if after == before:
        return Effects(None, (), after)
    wanted: list[Effect] = [
        SetLimits(
            change.account_id, after.floor, after.ceiling, after.frozen, after.closed
        ),
        NoteStanding(change.account_id, change.author, after),
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


def _first_refusal(account: Account, after: Standing) -> TreasurerRefusalCode | None:
    floor, ceiling = after.floor, after.ceiling
    if floor is not None and ceiling is not None and floor > ceiling:
        return TreasurerRefusalCode.LIMITS_CROSSED
    if not after.closed:
        return None
    # A hold first: it is what may change the balance still.
    if account.held_out or account.held_in:
        return TreasurerRefusalCode.STILL_HELD
    if account.balance:
        return TreasurerRefusalCode.BALANCE_NOT_ZERO
    return None
