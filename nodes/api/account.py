"""A member's own account and its history."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes.member_store import Member
from nodes.payment_answers import party, unit_answer
from nodes.payments import Payments
from nodes.rules import Standing, read_content
from protocol.directory import GroupRecord
from protocol.instant import Instant, read_instant, write_instant
from protocol.ledger import Account, available
from protocol.peer import ledger_store
from protocol.peer.access_store import Caller
from protocol.peer.database import Database
from protocol.peer.web.paging import PAGE_SIZE, CursorField, PageSizeField
from protocol.peer.web.requests import caller_of, json_response, read_query
from protocol.peer.web.routes import Route
from protocol.peer.web.units import UnitAnswer

TextField = Annotated[str, Meta(min_length=1, max_length=100)]


AccountState = Literal["active", "frozen", "closed"]


def account_state(account: Account | Standing) -> AccountState:
    """Say in one word what an account may do."""
    if account.closed:
        return "closed"
    return "frozen" if account.frozen else "active"


class EntriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which lines of a history: newest first, before ``cursor``.

    ``since`` and ``until`` are RFC 3339 with milliseconds; ``text`` stands in an
    address, name, memo or reason.
    """

    cursor: CursorField | None = None
    page_size: PageSizeField = PAGE_SIZE
    since: str | None = None
    until: str | None = None
    text: TextField | None = None


class AccountAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's account, minor units."""

    account: str
    group: str
    name: str
    balance: int
    held: int
    held_in: int
    available: int | None
    floor: int | None
    ceiling: int | None
    state: AccountState
    unit: UnitAnswer


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an account's history; ``amount`` is signed, minor units.

    ``refund_of`` is the transfer that this line's transfer gives back, if any.
    ``author`` is ``treasurer`` for what she booked, with her ``reason``. ``corrects``
    is the entry that this one takes back, ``corrected_by`` the one that takes it back.
    """

    id: str
    at: str
    kind: str
    amount: int
    balance_after: int
    transfer: str | None
    refund_of: str | None
    payer: str | None
    payee: str | None
    name: str | None
    memo: str | None
    author: Literal["treasurer"] | None
    reason: str | None
    corrects: str | None
    corrected_by: str | None


class EntriesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of history, newest first; ``cursor`` gives the next one."""

    entries: list[EntryAnswer]
    unit: UnitAnswer
    cursor: str | None


class AccountApi:
    """A member's own account.

    Args:
        payments: knows members and the own unit.
        database: read only here.
    """

    def __init__(self, payments: Payments, database: Database) -> None:
        self._payments = payments
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/account",
                handler=self.get_account,
                told="Balance, holds, limits and unit of the caller's account.",
                scope="read",
                answer=AccountAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/entries",
                handler=self.get_entries,
                told="A page of the caller's history, newest first.",
                scope="read",
                query=EntriesQuery,
                answer=EntriesAnswer,
            ),
        ]

    async def get_account(self, request: web.Request) -> web.Response:
        """Give balance, holds and limits of the caller's account."""
        return json_response(await self.account(caller_of(request)))

    async def get_entries(self, request: web.Request) -> web.Response:
        """Give a page of the caller's history."""
        query = read_query(request, EntriesQuery)
        return json_response(await self.entries(caller_of(request), query))

    async def account(self, caller: Caller) -> AccountAnswer:
        """Give a caller's account, as answers show it."""
        member = await self._payments.account(caller)
        return account_answer(self._payments.own_record(), member)

    async def entries(self, caller: Caller, query: EntriesQuery) -> EntriesAnswer:
        """Give a page of a caller's history, as answers show it."""
        member = await self._payments.account(caller)
        size = query.page_size
        before = ledger_store.NEWEST if query.cursor is None else int(query.cursor)
        search = read_search(query)
        async with self._database.readers.acquire() as connection:
            lines = await ledger_store.read_page(
                connection, member.account.account_id, before, size, search
            )
        full = len(lines) == size
        return EntriesAnswer(
            entries=[entry_answer(line) for line in lines],
            unit=unit_answer(self._payments.own_record()),
            cursor=str(lines[-1].sequence) if full else None,
        )


def read_search(query: EntriesQuery) -> ledger_store.Search:
    """Read which entries are wanted; raises ``MalformedMessageError``."""
    return ledger_store.Search(
        since=_read_time(query.since, "since"),
        until=_read_time(query.until, "until"),
        text=query.text,
    )


def _read_time(text: str | None, name: str) -> Instant | None:
    return None if text is None else read_instant(text, name)


def account_answer(own: GroupRecord, member: Member) -> AccountAnswer:
    """Show a member's account; ``own`` is her group's entry."""
    account = member.account
    return AccountAnswer(
        account=account.account_id,
        group=own.entry.group,
        name=member.name,
        balance=account.balance,
        held=account.held_out,
        held_in=account.held_in,
        available=available(account),
        floor=account.floor,
        ceiling=account.ceiling,
        state=account_state(account),
        unit=unit_answer(own),
    )


def entry_answer(line: ledger_store.Line) -> EntryAnswer:
    """Show one line of an account's history."""
    content = read_content(line.content)
    return EntryAnswer(
        id=line.entry_id,
        at=write_instant(line.at),
        kind=line.kind,
        amount=line.amount,
        balance_after=line.balance_after,
        transfer=line.transfer_id,
        refund_of=line.refund_of,
        payer=party(content.payer, line.payer_group) if content else None,
        payee=party(content.payee, line.payee_group) if content else None,
        name=content.name if content else None,
        memo=content.memo if content else None,
        author="treasurer" if line.author else None,
        reason=line.reason,
        corrects=line.corrects,
        corrected_by=line.corrected_by,
    )
