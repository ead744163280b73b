"""Double-entry rules, kept the same by every server.

An entry is a list of postings whose amounts sum to zero per unit. A posting
adds a signed amount to one account: positive is credit, negative is debit, seen
from the account holder. Nothing here reads a clock or a database; the stored
ledger is ``protocol.peer.ledger_store``.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from protocol.errors import RefusalCode
from protocol.instant import Instant

#: The unit of accounts that are kept in time.
TIME_UNIT = "time"
#: The unit of accounts that are kept in what a group counts in.
GROUP_UNIT = "unit"
#: Amounts and balances are stored in 64 bits; nothing lawful comes near.
BALANCE_MAX = 2**62


class AccountKind(StrEnum):
    """Who an account belongs to."""

    MEMBER = "member"
    GROUP = "group"
    SYSTEM = "system"


class Account(msgspec.Struct):
    """A named balance on one ledger, as the running batch sees it.

    Attributes:
        account_id: unique on its ledger.
        kind: a member's, a group's position (hub), or the server's own.
        unit: ``"unit"`` (minor units) or ``"time"`` (milliseconds).
        balance: sum of all postings; holds not counted.
        held_out: sum of the holds that would debit it, never negative.
        held_in: sum of the holds that would credit it, never negative.
        floor: lowest balance a debit may reach; ``None``: no limit.
        ceiling: highest balance a credit may reach; ``None``: no limit.
        frozen: takes part in nothing new; what is held still posts.
        closed: takes part in nothing ever again, unless it is opened again; it is
            empty and nothing is held.
    """

    account_id: str
    kind: AccountKind
    unit: str
    balance: int = 0
    held_out: int = 0
    held_in: int = 0
    floor: int | None = None
    ceiling: int | None = None
    frozen: bool = False
    closed: bool = False


class Posting(msgspec.Struct, frozen=True):
    """One signed amount on one account, in one entry."""

    account_id: str
    amount: int


class Entry(msgspec.Struct, frozen=True):
    """Immutable set of postings that sum to zero per unit.

    Attributes:
        entry_id: a UUID; a transfer's entry has the transfer's id, a leg's the leg's.
        at: when this server booked it, for people.
        kind: ``transfer``, ``settlement``, ``local``, ``by-hand``, ``correction``,
            ``opening``, ``history``.
        postings: at least two.
        transfer_id: the transfer that caused it, if any.
        author: account or person that asked for it, if any.
        reason: for the treasurer's eyes, if any.
        content_id: hash of the content line that tells more, if any.
        corrects: the entry that this one is the exact negation of, if any.
    """

    entry_id: str
    at: Instant
    kind: str
    postings: tuple[Posting, ...]
    transfer_id: str | None = None
    author: str | None = None
    reason: str | None = None
    content_id: str | None = None
    corrects: str | None = None


class HoldState(StrEnum):
    """A hold is placed once, and ends once."""

    HELD = "held"
    POSTED = "posted"
    VOIDED = "voided"


class Hold(msgspec.Struct):
    """Amount set aside on two accounts until posted or voided."""

    transfer_id: str
    debit_account: str
    credit_account: str
    amount: int
    state: HoldState = HoldState.HELD


def is_balanced(postings: Iterable[Posting], accounts: Mapping[str, Account]) -> bool:
    """Say whether postings sum to zero in every unit.

    Args:
        postings: of one entry.
        accounts: all that they are on, by account id.
    """
    sums: dict[str, int] = defaultdict(int)
    for posting in postings:
        sums[accounts[posting.account_id].unit] += posting.amount
    return not any(sums.values())


def may_debit(account: Account, amount: int) -> RefusalCode | None:
    """Say whether ``amount`` may leave ``account``.

    Holds are two sums, never netted: what may still come in is no cover for
    what is to go out (protocol, section 8).

    Args:
        account: the account as this batch sees it.
        amount: minor units of the account's unit, positive.

    Returns:
        ``None`` when it may, else the first reason in ``RefusalCode`` order.
    """
    assert amount > 0, "callers parse amounts, so zero here is our bug"
    if account.closed:
        return RefusalCode.ACCOUNT_CLOSED
    if account.frozen:
        return RefusalCode.ACCOUNT_FROZEN
    floor = account.floor
    if floor is not None and account.balance - account.held_out - amount < floor:
        return RefusalCode.PAYER_FLOOR
    return None


def may_credit(account: Account, amount: int) -> bool:
    """Say whether ``amount`` may come into ``account``.

    Args:
        account: the account as this batch sees it.
        amount: minor units of the account's unit, positive.
    """
    assert amount > 0, "callers parse amounts, so zero here is our bug"
    if account.frozen or account.closed:
        return False
    ceiling = account.ceiling
    return ceiling is None or account.balance + account.held_in + amount <= ceiling


def available(account: Account) -> int | None:
    """Give what may still leave; ``None``: no floor limits it."""
    if account.floor is None:
        return None
    return max(0, account.balance - account.held_out - account.floor)
