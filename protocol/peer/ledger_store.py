"""The stored ledger: accounts, entries, postings, holds.

The only writer of its tables. The rules are in ``protocol.ledger``; which
account may do what was decided before anything comes here. Amounts are minor
units or milliseconds, as the account's unit says.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from protocol.effects import (
    Effect,
    EndHold,
    OpenAccount,
    PlaceHold,
    PostEntry,
    SetLimits,
    View,
)
from protocol.errors import LedgerBrokenError
from protocol.instant import (
    Instant,
    from_datetime,
    from_nullable,
    to_datetime,
    to_nullable,
)
from protocol.ledger import Account, AccountKind, Entry, Hold, HoldState, Posting
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)

#: Above every sequence: "from the newest".
NEWEST = 2**62


#: From so many rows on COPY is the faster way; no batch of payments has as many.
COPY_MIN = 10_000
_ENTRY_COLUMNS = (
    *("sequence", "entry_id", "at", "kind", "transfer_id"),
    *("author", "reason", "content_id", "corrects"),
)


class Line(msgspec.Struct, frozen=True):
    """One posting of an account's history.

    Attributes:
        sequence: its place; also the cursor of a page.
        amount: minor units, signed.
        balance_after: of the account.
        entry_id: the entry it belongs to.
        at: when it was booked.
        kind: of the entry.
        transfer_id: if a transfer caused it.
        author: who asked for it, if that was not the payer.
        reason: if a person gave one.
        corrects: the entry that it is the counter-entry of, if any.
        corrected_by: its own counter-entry, if there is one.
        content: the content line, while it is kept.
        payer_group: of the transfer, if it was one.
        payee_group: of the transfer, if it was one.
        refund_of: the transfer that it gives back, if it was a refund.
    """

    sequence: int
    amount: int
    balance_after: int
    entry_id: str
    at: Instant
    kind: str
    transfer_id: str | None
    author: str | None
    reason: str | None
    corrects: str | None
    corrected_by: str | None
    content: bytes | None
    payer_group: str | None
    payee_group: str | None
    refund_of: str | None


class PostedAmount(msgspec.Struct, frozen=True):
    """One posting of an entry, with its account's unit and balance after it."""

    account_id: str
    amount: int
    balance_after: int
    unit: str


class BookedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the whole ledger, and what it belongs to.

    Attributes:
        sequence: its place; also the cursor of a page.
        entry: as it was booked, its postings by account.
        amounts: the same postings, with unit and balance after each.
        author_name: the name its author signs in with, if it has one.
        corrected_by: its counter-entry, if there is one.
        content: the content line, while it is kept.
        payer_group: of the transfer, if it was one.
        payee_group: of the transfer, if it was one.
    """

    sequence: int
    entry: Entry
    amounts: tuple[PostedAmount, ...]
    author_name: str | None
    corrected_by: str | None
    content: bytes | None
    payer_group: str | None
    payee_group: str | None


class Search(msgspec.Struct, frozen=True):
    """Which lines of a history are wanted; all of them when nothing is said.

    Attributes:
        since: booked then or later.
        until: booked earlier.
        text: stands in an account, name, memo or reason, whatever the case.
    """

    since: Instant | None = None
    until: Instant | None = None
    text: str | None = None


class _Booking(NamedTuple):
    sequence: int
    entry: Entry


async def read(
    connection: AnyConnection, view: View, transfer_ids: set[str]
) -> set[str]:
    """Read the holds of transfers into ``view``; gives the accounts they are on."""
    if not transfer_ids:
        return set()
    for row in await connection.fetch(_SQL["read_holds"], list(transfer_ids)):
        hold = Hold(
            str(row["transfer_id"]),
            row["debit_account"],
            row["credit_account"],
            row["amount"],
            HoldState(row["state"]),
        )
        view.holds[hold.transfer_id] = hold
    return {
        name
        for hold in view.holds.values()
        for name in (hold.debit_account, hold.credit_account)
    }


async def read_accounts(
    connection: AnyConnection, account_ids: Iterable[str]
) -> list[Account]:
    """Read accounts by name, and the server's own; unknown names are left out."""
    rows = await connection.fetch(_SQL["read_accounts"], list(account_ids))
    return [Account(**{**dict(row), "kind": AccountKind(row["kind"])}) for row in rows]


async def read_sequence(connection: AnyConnection) -> int:
    """Give the number of the newest entry."""
    found: int = await connection.fetchval(_SQL["read_sequence"])
    return found


async def read_page(
    connection: AnyConnection,
    account_id: str,
    before: int,
    size: int,
    search: Search | None = None,
) -> list[Line]:
    """Read a page of an account's history, newest first.

    Args:
        connection: any.
        account_id: whose.
        before: the sequence to stay below; ``NEWEST`` for the first page.
        size: most lines to give.
        search: which lines are wanted.
    """
    search = search or Search()
    rows = await connection.fetch(
        _SQL["read_page"],
        account_id,
        before,
        size,
        to_nullable(search.since),
        to_nullable(search.until),
        search.text,
    )
    return [_line(dict(row)) for row in rows]


async def read_after(
    connection: AnyConnection, account_id: str, after: int, size: int
) -> list[Line]:
    """Read on in an account's history, oldest first.

    Args:
        connection: any.
        account_id: whose.
        after: the sequence to stay above.
        size: most lines to give.
    """
    rows = await connection.fetch(_SQL["read_after"], account_id, after, size)
    return [_line(dict(row)) for row in rows]


def _line(row: Mapping[str, Any]) -> Line:
    return Line(
        sequence=row["sequence"],
        amount=row["amount"],
        balance_after=row["balance_after"],
        entry_id=str(row["entry_id"]),
        at=from_datetime(row["at"]),
        kind=row["kind"],
        transfer_id=_text(row["transfer_id"]),
        author=row["author"],
        reason=row["reason"],
        corrects=_text(row["corrects"]),
        corrected_by=_text(row["corrected_by"]),
        content=row["line"],
        payer_group=row["payer_group"],
        payee_group=row["payee_group"],
        refund_of=_text(row["refund_of"]),
    )


async def read_booked_at(connection: AnyConnection, entry_id: str) -> Instant | None:
    """Say when an entry was booked; ``None`` when it was not."""
    found = await connection.fetchval(_SQL["read_booked_at"], entry_id)
    return from_nullable(found)


def _text(found: object) -> str | None:
    return None if found is None else str(found)


async def read_corrected(
    connection: AnyConnection, entry_ids: Iterable[str]
) -> set[str]:
    """Say which of these entries have been corrected."""
    rows = await connection.fetch(_SQL["read_corrected"], list(entry_ids))
    return {str(row["corrects"]) for row in rows}


async def read_entry(connection: AnyConnection, entry_id: str) -> BookedEntry | None:
    """Read one entry of the ledger."""
    place: int | None = await connection.fetchval(_SQL["read_place"], entry_id)
    if place is None:
        return None
    (found,) = await read_entries(connection, place + 1, 1)
    return found


async def read_entries(
    connection: AnyConnection,
    before: int,
    size: int,
    search: Search | None = None,
) -> list[BookedEntry]:
    """Read a page of the whole ledger, newest first.

    Args:
        connection: any.
        before: the sequence to stay below; ``NEWEST`` for the first page.
        size: most entries to give.
        search: which entries are wanted.
    """
    search = search or Search()
    rows = await connection.fetch(
        _SQL["read_entries"],
        before,
        size,
        to_nullable(search.since),
        to_nullable(search.until),
        search.text,
    )
    amounts: dict[int, list[PostedAmount]] = {row["sequence"]: [] for row in rows}
    for found in await connection.fetch(_SQL["read_postings"], list(amounts)):
        fields = dict(found)
        amounts[fields.pop("sequence")].append(PostedAmount(**fields))
    return [_booked(dict(row), tuple(amounts[row["sequence"]])) for row in rows]


def _booked(row: dict[str, Any], amounts: tuple[PostedAmount, ...]) -> BookedEntry:
    entry = Entry(
        entry_id=str(row["entry_id"]),
        at=from_datetime(row["at"]),
        kind=row["kind"],
        postings=tuple(Posting(one.account_id, one.amount) for one in amounts),
        transfer_id=_text(row["transfer_id"]),
        author=row["author"],
        reason=row["reason"],
        content_id=row["content_id"],
        corrects=_text(row["corrects"]),
    )
    return BookedEntry(
        sequence=row["sequence"],
        entry=entry,
        amounts=amounts,
        author_name=row["sign_in_name"],
        corrected_by=_text(row["corrected_by"]),
        content=row["line"],
        payer_group=row["payer_group"],
        payee_group=row["payee_group"],
    )


async def read_sums(connection: AnyConnection) -> dict[str, int]:
    """Give what all balances sum to, by unit."""
    return {
        row["unit"]: row["total"] for row in await connection.fetch(_SQL["read_sums"])
    }


async def write(
    connection: AnyConnection, view: View, effects: Sequence[Effect], sequence: int
) -> int:
    """Write what a batch did to the ledger.

    Args:
        connection: the clerk's, inside the batch's database transaction.
        view: accounts and holds as they are after all effects.
        effects: of the batch, in order.
        sequence: number of the newest entry before the batch.

    Returns:
        The number of the newest entry now.

    Raises:
        LedgerBrokenError: a hold that the batch ends is not there to end.
    """
    await _write_accounts(connection, view, effects)
    await _write_holds(connection, view, effects)
    entries = [effect.entry for effect in effects if isinstance(effect, PostEntry)]
    if not entries:
        return sequence
    bookings = [
        _Booking(number, entry) for number, entry in enumerate(entries, sequence + 1)
    ]
    await _write_entries(connection, bookings)
    await _write_postings(connection, view, bookings)
    return sequence + len(entries)


async def _write_entries(
    connection: AnyConnection, bookings: Sequence[_Booking]
) -> None:
    entries = [booking.entry for booking in bookings]
    if len(entries) >= COPY_MIN:
        await connection.copy_records_to_table(
            "entry", records=map(_entry_row, bookings), columns=_ENTRY_COLUMNS
        )
        return
    await connection.execute(
        _SQL["insert_entries"],
        [booking.sequence for booking in bookings],
        [entry.entry_id for entry in entries],
        [to_datetime(entry.at) for entry in entries],
        [entry.kind for entry in entries],
        [entry.transfer_id for entry in entries],
        [entry.author for entry in entries],
        [entry.reason for entry in entries],
        [entry.content_id for entry in entries],
        [entry.corrects for entry in entries],
    )


def _entry_row(booking: _Booking) -> tuple[object, ...]:
    number, entry = booking
    return (
        *(number, entry.entry_id, to_datetime(entry.at), entry.kind),
        *(entry.transfer_id, entry.author, entry.reason, entry.content_id),
        entry.corrects,
    )


async def _write_postings(
    connection: AnyConnection, view: View, bookings: Sequence[_Booking]
) -> None:
    # The view holds the balances after the whole batch: walk back from the newest.
    balances: dict[str, int] = {}
    rows: list[tuple[str, int, int, int]] = []
    for booking in reversed(bookings):
        for posting in booking.entry.postings:
            name = posting.account_id
            after = balances.get(name, view.accounts[name].balance)
            rows.append((name, booking.sequence, posting.amount, after))
            balances[name] = after - posting.amount
    rows.reverse()
    if len(rows) >= COPY_MIN:
        # One COPY is one statement, so every entry is still seen to be zero.
        await connection.copy_records_to_table(
            "posting",
            records=rows,
            columns=("account_id", "sequence", "amount", "balance_after"),
        )
        return
    await connection.execute(
        _SQL["insert_postings"],
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
    )


async def _write_accounts(
    connection: AnyConnection, view: View, effects: Sequence[Effect]
) -> None:
    opened, touched = _accounts_of(view, effects)
    if opened:
        accounts = [view.accounts[name] for name in opened]
        await connection.execute(
            _SQL["insert_accounts"],
            opened,
            [account.kind.value for account in accounts],
            [account.unit for account in accounts],
            *_amounts_of(accounts),
        )
    changed = sorted(touched - set(opened))
    if changed:
        accounts = [view.accounts[name] for name in changed]
        await connection.execute(
            _SQL["update_accounts"], changed, *_amounts_of(accounts)
        )


def _accounts_of(view: View, effects: Sequence[Effect]) -> tuple[list[str], set[str]]:
    """Say which accounts a batch opened, and which it touched at all."""
    opened: list[str] = []
    touched: set[str] = set()
    for effect in effects:
        match effect:
            case OpenAccount():
                opened.append(effect.account.account_id)
            case SetLimits():
                touched.add(effect.account_id)
            case PlaceHold():
                touched |= {effect.debit_account, effect.credit_account}
            case EndHold():
                hold = view.holds[effect.transfer_id]
                touched |= {hold.debit_account, hold.credit_account}
            case PostEntry():
                touched |= {posting.account_id for posting in effect.entry.postings}
            case _:
                pass
    return opened, touched


def _amounts_of(accounts: Sequence[Account]) -> tuple[list[object], ...]:
    return (
        [account.balance for account in accounts],
        [account.held_out for account in accounts],
        [account.held_in for account in accounts],
        [account.floor for account in accounts],
        [account.ceiling for account in accounts],
        [account.frozen for account in accounts],
        [account.closed for account in accounts],
    )


async def _write_holds(
    connection: AnyConnection, view: View, effects: Sequence[Effect]
) -> None:
    placed = [effect.transfer_id for effect in effects if isinstance(effect, PlaceHold)]
    if placed:
        holds = [view.holds[transfer_id] for transfer_id in placed]
        await connection.execute(
            _SQL["insert_holds"],
            placed,
            [hold.debit_account for hold in holds],
            [hold.credit_account for hold in holds],
            [hold.amount for hold in holds],
            [hold.state.value for hold in holds],
        )
    new = set(placed)
    ended = [
        effect
        for effect in effects
        if isinstance(effect, EndHold) and effect.transfer_id not in new
    ]
    if ended:
        done = await connection.execute(
            _SQL["end_holds"],
            [effect.transfer_id for effect in ended],
            [effect.state.value for effect in ended],
        )
        if done != f"UPDATE {len(ended)}":
            raise LedgerBrokenError(f"holds: {len(ended)} to end, the ledger: {done}")
