"""A treasurer books by hand, and undoes an entry by its exact negation.

Nothing is ever edited or deleted. An entry by hand moves members' balances as a
payment would, so their limits count; a counter-entry does not ask them, for what
was wrong must not stay only because the units are spent (docs/decisions/0016).
"""

from collections.abc import Mapping, Sequence

import msgspec

from nodes.rules.view import Answer, KeepAnswer, NodeView, OtherBody, may_be_booked_on
from protocol.effects import Effect, Effects, PostEntry, SaveTransfer
from protocol.errors import TreasurerRefusalCode
from protocol.instant import Instant
from protocol.ledger import Account, Entry, Posting, may_credit, may_debit
from protocol.steps import Step

#: What kind an entry by hand is, and a counter-entry.
BY_HAND = "by-hand"
CORRECTION = "correction"
#: Postings of one entry that is written out by hand.
POSTINGS_MIN = 2
POSTINGS_MAX = 200
#: Members of one mass entry; the fund's posting comes on top.
MASS_MAX = 10_000


class HandEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to book an entry.

    Attributes:
        entry_id: drawn for this order.
        postings: minor units; each account once, none zero, zero in sum.
        reason: for everyone whose account it is on.
        caller: the person; with ``key``, the order's name for retries.
        key: the idempotency key.
        body_hash: hash of the request, so that another one is noticed.
    """

    entry_id: str
    postings: tuple[Posting, ...]
    reason: str
    caller: str
    key: str
    body_hash: str


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to book the exact negation of an entry.

    Attributes:
        entry_id: drawn for the counter-entry.
        entry: the one to correct, as it was booked; it never changes.
        reason: for everyone whose account it is on.
        caller: the person; with ``key``, the order's name for retries.
        key: the idempotency key.
        body_hash: hash of the request, so that another one is noticed.
    """

    entry_id: str
    entry: Entry
    reason: str
    caller: str
    key: str
    body_hash: str


def accounts_on(postings: Sequence[Posting]) -> set[str]:
    """Name the accounts that postings are on."""
    return {posting.account_id for posting in postings}


class Booked(msgspec.Struct, frozen=True):
    """The entry that stands under a key: new, or found again."""

    entry_id: str


class NotBooked(msgspec.Struct, frozen=True):
    """Why nothing was booked, and which account stands in the way, if one does."""

    code: TreasurerRefusalCode
    account_id: str | None = None


class ForeseenPosting(msgspec.Struct, frozen=True):
    """What a posting would do, or why it may not be; minor units.

    ``balance_after`` is ``None`` where there is no such account.
    """

    account_id: str
    amount: int
    balance_after: int | None
    code: TreasurerRefusalCode | None


def foresee_entry(
    accounts: Mapping[str, Account], postings: Sequence[Posting]
) -> tuple[ForeseenPosting, ...]:
    """Look at every posting as ``decide_entry`` would, and change nothing."""
    foreseen = []
    for posting in postings:
        account = accounts.get(posting.account_id)
        after = None if account is None else account.balance + posting.amount
        code = _refusal(account, posting.amount)
        foreseen.append(
            ForeseenPosting(posting.account_id, posting.amount, after, code)
        )
    return tuple(foreseen)


def decide_entry(view: NodeView, order: HandEntry, now: Instant) -> Effects:
    """Book an entry by hand, or refuse with the first account that may not take it.

    The outcome is ``Booked``, ``NotBooked`` or ``OtherBody``.
    """
    found = _answered(view, order)
    if found is not None:
        return Effects(None, (), found)
    entry = Entry(
        entry_id=order.entry_id,
        at=now,
        kind=BY_HAND,
        postings=order.postings,
        author=order.caller,
        reason=order.reason,
    )
    for posting in order.postings:
        code = _refusal(view.accounts.get(posting.account_id), posting.amount)
        if code is not None:
            return _refused(order, NotBooked(code, posting.account_id), now)
    return _booked(Step.ENTRY, order, entry, now)


def _refusal(account: Account | None, amount: int) -> TreasurerRefusalCode | None:
    if account is None:
        return TreasurerRefusalCode.NO_SUCH_ACCOUNT
    if not may_be_booked_on(account):
        return TreasurerRefusalCode.NOT_FOR_PEOPLE
    if account.closed:
        return TreasurerRefusalCode.MEMBER_CLOSED
    if account.frozen:
        return TreasurerRefusalCode.MEMBER_FROZEN
    if amount < 0:
        code = may_debit(account, -amount)
        return TreasurerRefusalCode.MEMBER_FLOOR if code else None
    return None if may_credit(account, amount) else TreasurerRefusalCode.MEMBER_CEILING


def decide_correction(view: NodeView, order: Correction, now: Instant) -> Effects:
    """Book the exact negation of an entry, once, whatever was limited since.

    The outcome is ``Booked``, ``NotBooked`` or ``OtherBody``.
    """
    found = _answered(view, order)
    if found is not None:
        return Effects(None, (), found)
    code = _first_refusal(view, order.entry)
    if code is not None:
        return _refused(order, code, now)
    negation = Entry(
        entry_id=order.entry_id,
        at=now,
        kind=CORRECTION,
        postings=tuple(
            Posting(posting.account_id, -posting.amount)
            for posting in order.entry.postings
        ),
        author=order.caller,
        reason=order.reason,
        corrects=order.entry.entry_id,
    )
    return _booked(
        Step.CORRECTION, order, negation, now, *_without_refund(view, order.entry)
    )


def _first_refusal(view: NodeView, entry: Entry) -> NotBooked | None:
    accounts = [view.accounts[posting.account_id] for posting in entry.postings]
    # Another group's ledger stands on it too: only a refund undoes both sides.
    if not all(may_be_booked_on(account) for account in accounts):
        return NotBooked(TreasurerRefusalCode.BETWEEN_GROUPS)
    if entry.entry_id in view.corrected:
        return NotBooked(TreasurerRefusalCode.CORRECTED_BEFORE)
    if _is_refunded(view, entry):
        return NotBooked(TreasurerRefusalCode.REFUNDED_BEFORE)
    for account in accounts:
        # It would be closed and yet not empty.
        if account.closed:
            return NotBooked(TreasurerRefusalCode.MEMBER_CLOSED, account.account_id)
    return None


def _is_refunded(view: NodeView, entry: Entry) -> bool:
    """Say whether a payment has been given back, or gives another one back.

    Else it would be taken back twice, or what it counts as given back would be wrong.
    """
    transfer = view.transfers.get(entry.transfer_id or "")
    if transfer is None:
        return False
    return transfer.refunded > 0 or transfer.refund_of is not None


def _without_refund(view: NodeView, entry: Entry) -> tuple[SaveTransfer, ...]:
    """Count a payment as wholly given back, so that nobody refunds it on top."""
    transfer = view.transfers.get(entry.transfer_id or "")
    if transfer is None:
        return ()
    given_back = msgspec.structs.replace(transfer, refunded=transfer.milliseconds)
    return (SaveTransfer(given_back),)


def _answered(
    view: NodeView, order: HandEntry | Correction
) -> Booked | NotBooked | OtherBody | None:
    """Give what stands under this key already, if anything does."""
    before = view.answers.get((order.caller, order.key))
    if before is None:
        return None
    if before.body_hash != order.body_hash:
        return OtherBody()
    if before.entry_id is not None:
        return Booked(before.entry_id)
    assert before.code is not None, "it was booked or refused"
    return NotBooked(TreasurerRefusalCode(before.code), before.account_id)


def _booked(
    step: Step,
    order: HandEntry | Correction,
    entry: Entry,
    now: Instant,
    *more: Effect,
) -> Effects:
    answer = Answer(
        body_hash=order.body_hash,
        transfer_id=None,
        code=None,
        at=now,
        entry_id=entry.entry_id,
    )
    wanted = (PostEntry(entry), *more, KeepAnswer(order.caller, order.key, answer))
    return Effects(step, wanted, Booked(entry.entry_id))


def _refused(order: HandEntry | Correction, no: NotBooked, now: Instant) -> Effects:
    answer = Answer(
        body_hash=order.body_hash,
        transfer_id=None,
        code=no.code,
        at=now,
        account_id=no.account_id,
    )
    return Effects(None, (KeepAnswer(order.caller, order.key, answer),), no)
