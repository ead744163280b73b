"""A group moves in: its members, their balances and its past, all of it or nothing.

Only on a ledger without any entry, and only once: whatever is booked later by hand
stands beside the first entries and never among them. What the old program's files say
was looked through before (``nodes.imports``); here it becomes accounts and entries.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from nodes.rules.members import NoteStanding, Standing
from nodes.rules.view import FUND, ImportRun, KeepImportRun, NodeView, SaveMember
from protocol.effects import (
    Effect,
    Effects,
    OpenAccount,
    PostEntry,
    SaveContent,
)
from protocol.instant import Instant
from protocol.ledger import GROUP_UNIT, Account, AccountKind, Entry, Posting
from protocol.messages import Content, line_hash, write_line
from protocol.steps import Step

#: What kind the entry of opening balances is, and one of the old program's.
OPENING = "opening"
HISTORY = "history"
#: Payments of the past that are decided together, so that somebody can watch.
_CHUNK = 5_000


class OldMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member who moves in: an account, and how it stands."""

    account_id: str
    standing: Standing


class PastPayment(msgspec.Struct, frozen=True):
    """A payment of the past.

    Attributes:
        entry_id: drawn for it.
        at: when it was booked in the old program.
        payer: the account that pays.
        payee: the account that is paid.
        name: the payer's.
        amount: minor units, positive.
        memo: as a member's.
        salt: drawn for it, so that nobody guesses the memo from its hash.
    """

    entry_id: str
    at: Instant
    payer: str
    payee: str
    name: str
    amount: int
    memo: str
    salt: str


class MoveIn(msgspec.Struct, frozen=True, kw_only=True):
    """The order that a group moves in.

    Attributes:
        digest: of the files, so that they are known again.
        members: no account twice.
        opening_id: drawn for the entry of opening balances.
        opening: minor units, zero in sum; nothing when all begin at zero.
        past: payments, in the order in which they are numbered.
        author: the person who does it; ``None``: a command beside no server.
    """

    digest: str
    members: Sequence[OldMember]
    opening_id: str
    opening: Sequence[Posting]
    past: Sequence[PastPayment]
    author: str | None = None


class MoveInRefusal(StrEnum):
    """Why a group does not move in."""

    MOVED_IN_BEFORE = "moved-in-before"
    LEDGER_HAS_ENTRIES = "ledger-has-entries"
    NAME_TAKEN = "name-taken"


class NotMovedIn(msgspec.Struct, frozen=True):
    """Why nothing was brought in.

    Attributes:
        code: the first reason that applies.
        before: what was brought in already, if anything.
        account_id: the account that is there already, if one is in the way.
    """

    code: MoveInRefusal
    before: ImportRun | None = None
    account_id: str | None = None


def decide_move_in(
    view: NodeView, order: MoveIn, now: Instant
) -> Iterator[tuple[float, Effects]]:
    """Open accounts and book the first entries, or refuse before any of it.

    Yields:
        How much is decided, of 1, and the next part. The outcome is an ``ImportRun``
        or ``NotMovedIn``.
    """
    refusal = refuse_move_in(view, order)
    if refusal is not None:
        yield 1.0, Effects(None, (), refusal)
        return
    yield 0.0, Effects(None, _opened(view, order))
    entries = 0
    if order.opening:
        entry = Entry(order.opening_id, now, OPENING, tuple(order.opening))
        yield 0.0, Effects(None, (PostEntry(entry),))
        entries = 1
    for begin in range(0, len(order.past), _CHUNK):
        chunk = order.past[begin : begin + _CHUNK]
        wanted: list[Effect] = []
        for payment in chunk:
            wanted += _booked(payment)
        yield (begin + len(chunk)) / len(order.past), Effects(None, wanted)
    entries += len(order.past)
    run = ImportRun(order.digest, now, len(order.members), entries)
    yield 1.0, Effects(Step.MOVE_IN, (KeepImportRun(run),), run)


def refuse_move_in(view: NodeView, order: MoveIn) -> NotMovedIn | None:
    """Give the first reason why a group cannot move in here, if there is one."""
    before = view.moved_in
    if before is not None:
        return NotMovedIn(MoveInRefusal.MOVED_IN_BEFORE, before)
    if view.has_entries:
        return NotMovedIn(MoveInRefusal.LEDGER_HAS_ENTRIES)
    for member in order.members:
        if member.account_id in view.accounts:
            taken = member.account_id
            return NotMovedIn(MoveInRefusal.NAME_TAKEN, account_id=taken)
    return None


def _opened(view: NodeView, order: MoveIn) -> list[Effect]:
    wanted: list[Effect] = []
    if FUND not in view.accounts:
        # The hub's answer to our joining, which brings it, may be on its way still.
        wanted.append(OpenAccount(Account(FUND, AccountKind.SYSTEM, GROUP_UNIT)))
    for member in order.members:
        standing = member.standing
        account = Account(
            account_id=member.account_id,
            kind=AccountKind.MEMBER,
            unit=GROUP_UNIT,
            floor=standing.floor,
            ceiling=standing.ceiling,
            frozen=standing.frozen,
            closed=standing.closed,
        )
        wanted += (
            OpenAccount(account),
            SaveMember(member.account_id, standing.name),
            NoteStanding(member.account_id, None, standing),
        )
    return wanted


def _booked(payment: PastPayment) -> tuple[Effect, Effect]:
    """Book a payment of the past; whose memo it is may be erased, as any other's."""
    content = write_line(
        Content(
            payer=payment.payer,
            payee=payment.payee,
            name=payment.name,
            memo=payment.memo,
            payee_amount=payment.amount,
            payer_amount=payment.amount,
            salt=payment.salt,
        )
    )
    content_id = line_hash(content)
    entry = Entry(
        entry_id=payment.entry_id,
        at=payment.at,
        kind=HISTORY,
        postings=(
            Posting(payment.payer, -payment.amount),
            Posting(payment.payee, payment.amount),
        ),
        content_id=content_id,
    )
    return SaveContent(content_id, content), PostEntry(entry)
