"""A treasurer sets limits of many members at once: all of them, or none.

The same look at each line serves the preview, which changes nothing. Limits of one
member are ``members``.
"""

from collections.abc import Mapping, Sequence

import msgspec

from nodes.rules.members import NoteStanding, Standing
from nodes.rules.view import NodeView
from protocol.effects import Effect, Effects, SetLimits
from protocol.errors import TreasurerRefusalCode
from protocol.ledger import Account, AccountKind
from protocol.steps import Step


class LimitLine(msgspec.Struct, frozen=True, kw_only=True):
    """New limits of one member, minor units.

    Attributes:
        row: its place in what was given, from 1; of a file the line.
        account_id: whose.
        floor: ``None``: no limit; what is not said stays.
        ceiling: ``None``: no limit; what is not said stays.
    """

    row: int
    account_id: str
    floor: int | msgspec.UnsetType | None = msgspec.UNSET
    ceiling: int | msgspec.UnsetType | None = msgspec.UNSET


class LimitsChange(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to set limits of many members.

    Attributes:
        lines: each of another member.
        author: the person who orders it.
        reason: in her words.
    """

    lines: tuple[LimitLine, ...]
    author: str
    reason: str


class WrongLine(msgspec.Struct, frozen=True):
    """A line that cannot be, and why."""

    row: int
    account_id: str
    code: TreasurerRefusalCode


class ForeseenLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a line would change.

    Attributes:
        account_id: whose.
        before: floor and ceiling now.
        after: floor and ceiling then.
        is_outside: the balance would stand outside of them.
    """

    account_id: str
    before: tuple[int | None, int | None]
    after: tuple[int | None, int | None]
    is_outside: bool

    @property
    def is_new(self) -> bool:
        """Say whether anything would change."""
        return self.before != self.after


class Foreseen(msgspec.Struct, frozen=True):
    """What an order would do: every line, and those that are wrong."""

    lines: tuple[ForeseenLimits, ...]
    wrong: tuple[WrongLine, ...]


def foresee_limits(
    accounts: Mapping[str, Account], lines: Sequence[LimitLine]
) -> Foreseen:
    """Look at every line, so that all that is wrong is told at once."""
    seen: set[str] = set()
    good: list[ForeseenLimits] = []
    wrong: list[WrongLine] = []
    for line in lines:
        account = accounts.get(line.account_id)
        code = _why_not(account, line, seen)
        seen.add(line.account_id)
        if code is not None:
            wrong.append(WrongLine(line.row, line.account_id, code))
            continue
        assert account is not None, "else there is a code"
        floor, ceiling = _after(account, line)
        good.append(
            ForeseenLimits(
                account_id=line.account_id,
                before=(account.floor, account.ceiling),
                after=(floor, ceiling),
                is_outside=(floor is not None and account.balance < floor)
                or (ceiling is not None and account.balance > ceiling),
            )
        )
    return Foreseen(tuple(good), tuple(wrong))


def _after(account: Account, line: LimitLine) -> tuple[int | None, int | None]:
    floor = account.floor if line.floor is msgspec.UNSET else line.floor
    ceiling = account.ceiling if line.ceiling is msgspec.UNSET else line.ceiling
    return floor, ceiling


def _why_not(
    account: Account | None, line: LimitLine, seen: set[str]
) -> TreasurerRefusalCode | None:
    if account is None or account.kind is not AccountKind.MEMBER:
        return TreasurerRefusalCode.NO_SUCH_ACCOUNT
    if line.account_id in seen:
        return TreasurerRefusalCode.ACCOUNT_TWICE
    floor, ceiling = _after(account, line)
    if floor is not None and ceiling is not None and floor > ceiling:
        return TreasurerRefusalCode.LIMITS_CROSSED
    return None


def decide_limits(view: NodeView, order: LimitsChange) -> Effects:
    """Set all limits, or none when one of them cannot be.

    The outcome is ``Foreseen``: what was done when nothing is wrong with it.
    """
    foreseen = foresee_limits(view.accounts, order.lines)
    if foreseen.wrong:
        return Effects(None, (), foreseen)
    wanted: list[Effect] = []
    for line in foreseen.lines:
        if line.is_new:
            account = view.accounts[line.account_id]
            standing = Standing(
                name=view.names[line.account_id],
                floor=line.after[0],
                ceiling=line.after[1],
                frozen=account.frozen,
                closed=account.closed,
            )
            wanted += [
                SetLimits(line.account_id, *line.after, account.frozen, account.closed),
                NoteStanding(line.account_id, order.author, standing, order.reason),
            ]
    return Effects(Step.MEMBER if wanted else None, wanted, foreseen)
