"""From what the files say to what is booked, with a report and without surprises.

Pure: ids and salts are drawn by whoever calls. Every wrong row is a finding, and with
one finding there is no order at all.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from nodes.imports.outcome import (
    TELL_EVERY,
    Listener,
    Notes,
    OldAccount,
    OldBooks,
    OldTransaction,
    Place,
    Role,
    Status,
    plain_memo,
    show,
)
from nodes.rules import FUND, MoveIn, OldMember, PastPayment, Standing, is_reserved
from protocol.address import read_account, read_display_name
from protocol.errors import MalformedMessageError
from protocol.instant import Instant, write_instant
from protocol.ledger import Posting
from protocol.unit import AMOUNT_MAX, write_amount

#: Both programs write local time, which nowhere is further ahead of UTC.
_LOCAL_AHEAD_MS = 14 * 3_600_000
_OUTSIDE = {
    Role.GUEST: "guest",
    Role.INTERLETS: "another group's account",
}


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the treasurer has chosen.

    Attributes:
        with_history: book every payment of the past that the files have.
        without_balances: everybody begins at zero, for the files do not say.
        to_fund: put on the group's fund what members' balances do not come to.
        beyond_limits: let balances stand beyond limits, as they do.
    """

    with_history: bool = True
    without_balances: bool = False
    to_fund: bool = False
    beyond_limits: bool = False


class Line(msgspec.Struct, frozen=True):
    """One row of the report: where it stood, whose it is, what becomes of it."""

    place: Place
    code: str
    told: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done.

    Attributes:
        order: ``None`` when anything was found.
        lines: one for each row of members.
        skipped: payments that moved nothing, as between two accounts outside.
        fund: what comes on the group's fund, minor units.
        remarks: what the treasurer should know before.
    """

    order: MoveIn | None
    lines: Sequence[Line]
    skipped: int
    fund: int
    remarks: Sequence[str]


class Draw(msgspec.Struct, frozen=True):
    """Where chance comes from."""

    entry_id: Callable[[], str]
    salt: Callable[[], str]


def make_plan(
    books: OldBooks,
    choices: Choices,
    decimals: int,
    digest: str,
    draw: Draw,
    now: Instant,
    notes: Notes,
    progress: Listener,
) -> Plan:
    """Decide what becomes of every row.

    Args:
        books: what the files say.
        choices: the treasurer's.
        decimals: of the group's unit, to word amounts.
        digest: of the files.
        draw: chance.
        now: nothing of the past is later.
        notes: holds what the readers found; gets what is found here.
        progress: told how far it is.
    """
    accounts = _name_accounts(books.accounts, notes)
    _check_past(books.transactions or (), now, notes)
    past = books.transactions if choices.with_history else None
    counted = _sums(books.transactions or ())
    balances, remarks = _balances(books, choices, decimals, counted, notes)
    moved = counted if past is not None else {}
    opening = _opening(accounts, balances, moved)
    payments, skipped = _payments(books.accounts, accounts, past or (), draw, progress)
    _check_fund(books.accounts, accounts, balances, payments, choices, decimals, notes)
    members = []
    lines = []
    for account in books.accounts:
        name = accounts.get(account.key)
        if name is None or _is_outside(account):
            told = _OUTSIDE.get(account.role, str(account.status))
            lines.append(Line(account.place, show(account.code), f"skipped: {told}"))
            continue
        member = _member(account, name, balances[account.key], notes)
        _check_limits(account, balances[account.key], choices, decimals, notes)
        members.append(member)
        told = _told(member, account, balances[account.key], decimals)
        lines.append(Line(account.place, show(account.code), told))
    order = MoveIn(
        digest=digest,
        members=members,
        opening_id=draw.entry_id(),
        opening=opening,
        past=payments,
    )
    return Plan(
        order=None if notes.many else order,
        lines=lines,
        skipped=skipped,
        fund=-sum(balances[key] for key, name in accounts.items() if name != FUND),
        remarks=remarks,
    )


def _is_outside(account: OldAccount) -> bool:
    return account.role in _OUTSIDE or account.status in (
        Status.NO_MEMBER,
        Status.OUTSIDE,
    )


class _Seen:
    """Where each letscode or id stands; a member shares hers with no other row."""

    def __init__(self) -> None:
        self._members: dict[str, Place] = {}
        self._outside: dict[str, Place] = {}

    def add(self, text: str, account: OldAccount) -> Place | None:
        """Remember a row; gives the one before it that it cannot stand beside."""
        if _is_outside(account):
            self._outside.setdefault(text, account.place)
            # Some have no letscode at all, and outsiders may share one.
            return self._members.get(text)
        before = self._members.get(text, self._outside.get(text))
        self._members.setdefault(text, account.place)
        return before


def _name_accounts(accounts: Sequence[OldAccount], notes: Notes) -> dict[str, str]:
    """Give each row its account here, by key; whoever is outside has the fund's.

    A key stands for one row: for a second one of which either is a member's, there
    is a finding.
    """
    named: dict[str, str] = {}
    codes, keys = _Seen(), _Seen()
    for account in accounts:
        name = account.code.lower()
        shown = f"letscode {show(account.code)}"
        if not _is_outside(account) and not _can_be(account, name, notes):
            continue
        code_before = codes.add(name, account)
        key_before = keys.add(account.key, account)
        if code_before is not None:
            found = f"{shown} as on {code_before.told()}"
            notes.note(account.place, found, "each letscode once")
        elif key_before is not None:
            found = f"id {show(account.key)} as on {key_before.told()}"
            notes.note(account.place, found, "each id once")
        elif not _is_outside(account):
            named[account.key] = name
        elif account.key:
            # Nothing was ever booked on those without a letscode.
            named[account.key] = FUND
    return named


def _can_be(account: OldAccount, name: str, notes: Notes) -> bool:
    """Say whether an account here can have a member's letscode and name."""
    shown = f"letscode {show(account.code)}"
    try:
        read_account(name)
        read_display_name(account.name)
    except MalformedMessageError as error:
        found = f"a member {shown} whose {error}"
        notes.note(account.place, found, "one that can be")
        return False
    if is_reserved(name):
        notes.note(account.place, shown, "another: this one is the node's own")
        return False
    return True


def _check_past(past: Sequence[OldTransaction], now: Instant, notes: Notes) -> None:
    """No payment of the past is later than now, wherever its group may be."""
    for one in past:
        if one.at > now + _LOCAL_AHEAD_MS:
            found = f"a transaction of {write_instant(one.at)}"
            notes.note(one.place, found, "one of the past")


def _sums(past: Sequence[OldTransaction]) -> dict[str, int]:
    """Give what all payments come to, by key."""
    sums: dict[str, int] = defaultdict(int)
    for payment in past:
        sums[payment.payer] -= payment.amount
        sums[payment.payee] += payment.amount
    return sums


def _balances(
    books: OldBooks,
    choices: Choices,
    decimals: int,
    counted: Mapping[str, int],
    notes: Notes,
) -> tuple[dict[str, int], list[str]]:
    """Give each account's balance, by key, and what to say about them."""
    said = {one.key: one.balance for one in books.accounts}
    if any(balance is not None for balance in said.values()):
        _check_said(books, choices, decimals, counted, notes)
        return {key: balance or 0 for key, balance in said.items()}, []
    zeros = dict.fromkeys(said, 0)
    whole = Place(books.accounts[0].place.file if books.accounts else "file", 0)
    if choices.without_balances:
        return zeros, ["every account begins at 0, as was asked"]
    if books.transactions is None:
        if notes.many:
            # They may have been given, in rows of which none could be read.
            return zeros, []
        expected = "some: give --transactions or --balances, or --without-balances"
        notes.note(whole, "no balances", expected)
        return zeros, []
    if books.is_cut_off:
        many = len(books.transactions)
        expected = "--balances: eLAS writes only the newest 5000, so older ones lack"
        notes.note(whole, f"no balances beside {many} transactions", expected)
        return zeros, []
    remark = (
        "the balances are the sums of the transactions; compare them with what your "
        "program shows, for the files hold no other proof"
    )
    return zeros | dict(counted), [remark]


def _check_said(
    books: OldBooks,
    choices: Choices,
    decimals: int,
    counted: Mapping[str, int],
    notes: Notes,
) -> None:
    """Every balance is there, and is what the payments come to."""
    for account in books.accounts:
        balance = account.balance
        if balance is None:
            if not _is_outside(account):
                found = f"no balance of letscode {show(account.code)}"
                notes.note(account.place, found, "one for each member")
            continue
        if not choices.with_history or books.is_cut_off or books.transactions is None:
            continue
        expected = counted.get(account.key, 0)
        if balance != expected:
            notes.note(
                account.place,
                f"balance {write_amount(balance, decimals)} of {show(account.code)}",
                f"{write_amount(expected, decimals)}, as all its transactions come to "
                "(or --without-history)",
            )


def _opening(
    accounts: Mapping[str, str], balances: Mapping[str, int], moved: Mapping[str, int]
) -> list[Posting]:
    """Give what must stand there before the first payment, zero in sum."""
    amounts: dict[str, int] = defaultdict(int)
    for key, name in accounts.items():
        if name == FUND:
            amounts[FUND] -= moved.get(key, 0)
        else:
            amounts[name] += balances[key] - moved.get(key, 0)
            amounts[FUND] -= balances[key]
    return [Posting(name, amount) for name, amount in amounts.items() if amount]


def _payments(
    rows: Sequence[OldAccount],
    accounts: Mapping[str, str],
    past: Sequence[OldTransaction],
    draw: Draw,
    progress: Listener,
) -> tuple[list[PastPayment], int]:
    """Give the payments to book, and how many move nothing."""
    codes = {row.key: row.code for row in rows}
    names = {row.key: _shown_name(row) for row in rows}
    payments, skipped = [], 0
    for number, one in enumerate(past):
        if number % TELL_EVERY == 0:
            progress(number / len(past), "comparing payments and balances")
        payer, payee = accounts.get(one.payer), accounts.get(one.payee)
        if payer == payee or not one.amount or payer is None or payee is None:
            # One without an account here is a finding already.
            skipped += 1
            continue
        memo = one.memo
        for key, name in ((one.payer, payer), (one.payee, payee)):
            if name == FUND:
                memo = plain_memo(f"{codes[key]}: {memo}")
        payments.append(
            PastPayment(
                draw.entry_id(),
                one.at,
                payer,
                payee,
                names[one.payer],
                one.amount,
                memo,
                draw.salt(),
            )
        )
    return payments, skipped


def _shown_name(account: OldAccount) -> str:
    """Give the payer's name; one that none can have is left out, as of an outsider."""
    for name in (account.name, account.code):
        try:
            return read_display_name(name)
        except MalformedMessageError:
            continue
    return "?"


def _check_fund(
    rows: Sequence[OldAccount],
    accounts: Mapping[str, str],
    balances: Mapping[str, int],
    payments: Sequence[PastPayment],
    choices: Choices,
    decimals: int,
    notes: Notes,
) -> None:
    """Nothing comes on the fund unless the treasurer has said so."""
    members = sum(balances[key] for key, name in accounts.items() if name != FUND)
    outside = sum(balances[key] for key, name in accounts.items() if name == FUND)
    uses_fund = any(FUND in (one.payer, one.payee) for one in payments)
    if choices.to_fund or notes.many or (not members and not uses_fund):
        return
    place = Place(rows[0].place.file if rows else "file", 0)
    found = f"balances of members that come to {write_amount(members, decimals)}"
    if outside:
        found += (
            f" (those of skipped accounts come to {write_amount(outside, decimals)})"
        )
    if not members:
        found = "payments between members and skipped accounts"
    there = write_amount(-members, decimals)
    notes.note(place, found, f"0; with --difference-to-fund {there} is on the fund")


def _member(account: OldAccount, name: str, balance: int, notes: Notes) -> OldMember:
    if abs(balance) > AMOUNT_MAX:
        notes.note(account.place, f"balance {balance}", "at most 10^12 minor units")
    is_gone = account.status is Status.DEACTIVATED
    standing = Standing(
        name=account.name,
        floor=account.floor,
        ceiling=account.ceiling,
        # Somebody may have left with units on her account: it stays, and stands still.
        frozen=is_gone and balance != 0,
        closed=is_gone and balance == 0,
    )
    return OldMember(account_id=name, standing=standing)


def _check_limits(
    account: OldAccount, balance: int, choices: Choices, decimals: int, notes: Notes
) -> None:
    floor, ceiling = account.floor, account.ceiling
    bounds = _bounds(floor, ceiling, decimals)
    who = f"of {show(account.code)}"
    if floor is not None and ceiling is not None and floor > ceiling:
        notes.note(account.place, f"limits {who} {bounds}", "the lower one first")
        return
    if choices.beyond_limits or account.status is Status.DEACTIVATED:
        return
    if (floor is not None and balance < floor) or (
        ceiling is not None and balance > ceiling
    ):
        found = f"balance {write_amount(balance, decimals)} {who}"
        notes.note(account.place, found, f"{bounds} (or --keep-beyond-limits)")


def _bounds(floor: int | None, ceiling: int | None, decimals: int) -> str:
    low = "no floor" if floor is None else write_amount(floor, decimals)
    high = "no ceiling" if ceiling is None else write_amount(ceiling, decimals)
    return f"{low} to {high}"


def _told(member: OldMember, account: OldAccount, balance: int, decimals: int) -> str:
    standing = member.standing
    state = "active"
    if standing.closed or standing.frozen:
        state = "closed" if standing.closed else "frozen"
    elif account.status is not Status.ACTIVE:
        state = f"active ({account.status})"
    if account.role is Role.ADMIN:
        state += ", admin there"
    return (
        f"imported as {member.account_id}: {standing.name}, {state}, balance "
        f"{write_amount(balance, decimals)}, "
        f"limits {_bounds(standing.floor, standing.ceiling, decimals)}"
    )
