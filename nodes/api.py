"""A node's HTTP API for members and treasurers (programs; pages come beside it).

Amounts are integers of minor units with the unit beside them, or milliseconds.
Errors are RFC 9457 with a stable ``type`` and, for a refusal, its code.
"""

import asyncio
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import member_store
from nodes.payments import (
    AmountField,
    Payments,
    TransferAnswer,
    TransferRequest,
    UnitAnswer,
    as_ordered,
    party,
    unit_answer,
)
from nodes.rules import read_content
from protocol.address import HUB
from protocol.errors import InterletsError, MalformedMessageError
from protocol.instant import Instant, read_instant, write_instant
from protocol.ledger import GROUP_UNIT, TIME_UNIT, available
from protocol.peer import ledger_store, transfer_store
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk, link_state
from protocol.peer.database import AWAY, Database
from protocol.peer.web.problems import Problem, as_problem, language_of
from protocol.peer.web.requests import (
    caller_of,
    json_response,
    read_json,
    wait_preference,
)
from protocol.peer.web.sign_in import Door
from protocol.peer.web.words import Language

_PAGE_SIZE = 50
_PAGE_SIZE_MAX = 200
_WAIT_S_MAX = 30
_TEXT_LENGTH_MAX = 100
#: Most orders in one request.
BATCH_MAX = 100


class QuoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``amount`` is in the payee's or the payer's minor units, as ``in`` says."""

    to: str
    amount: AmountField
    in_: Literal["payee", "payer"] = msgspec.field(name="in")


class BatchOrder(TransferRequest, frozen=True, kw_only=True):
    """One order of a batch, under a key of its own."""

    key: str


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """1 to 100 orders, each decided for itself."""

    orders: Annotated[list[BatchOrder], Meta(min_length=1, max_length=BATCH_MAX)]


class BatchAnswer(msgspec.Struct, frozen=True):
    """What became of one order of a batch: a status as it would have had alone."""

    key: str
    status: int
    transfer: TransferAnswer | None
    problem: dict[str, object] | None


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
    unit: UnitAnswer


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an account's history; ``amount`` is signed, minor units."""

    id: str
    at: str
    kind: str
    amount: int
    balance_after: int
    transfer: str | None
    payer: str | None
    payee: str | None
    name: str | None
    memo: str | None


class EntriesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of history, newest first; ``cursor`` gives the next one."""

    entries: list[EntryAnswer]
    unit: UnitAnswer
    cursor: str | None


class GroupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a treasurer sees of the whole ledger; sums are zero.

    ``clearing`` is the clearing account's balance in milliseconds: minus the
    group's position at the hub.
    """

    group: str
    federation: str
    unit_sum: int
    time_sum: int
    clearing: int
    undecided: int
    link: str
    newest_decision: tuple[str, int] | None


_quote_decoder = msgspec.json.Decoder(QuoteRequest)
_transfer_decoder = msgspec.json.Decoder(TransferRequest)
_batch_decoder = msgspec.json.Decoder(BatchRequest)


class Api:
    """The handlers, one method each.

    Args:
        payments: what members do.
        clerk: for the state of the link.
        database: read only here.
        door: says who asks.
    """

    def __init__(
        self, payments: Payments, clerk: Clerk, database: Database, door: Door
    ) -> None:
        self._payments = payments
        self._clerk = clerk
        self._database = database
        self._door = door

    def routes(self) -> list[web.RouteDef]:
        """List the routes; every one of them needs a token."""
        guard = self._door.guard
        return [
            web.get("/api/v1/account", guard(self.get_account)),
            web.get("/api/v1/entries", guard(self.get_entries)),
            web.post("/api/v1/quotes", guard(self.post_quote)),
            web.post("/api/v1/transfers", guard(self.post_transfer)),
            web.post("/api/v1/transfers/batch", guard(self.post_batch)),
            web.get("/api/v1/transfers/{id}", guard(self.get_transfer)),
            web.delete("/api/v1/transfers/{id}", guard(self.delete_transfer)),
            web.get("/api/v1/group", guard(self.get_group)),
        ]

    async def get_account(self, request: web.Request) -> web.Response:
        """Give balance, holds and limits of the caller's account."""
        member = await self._payments.account(caller_of(request, "read"))
        own, account = self._payments.own_record(), member.account
        return json_response(
            AccountAnswer(
                account=account.account_id,
                group=own.entry.group,
                name=member.name,
                balance=account.balance,
                held=account.held_out,
                held_in=account.held_in,
                available=available(account),
                floor=account.floor,
                ceiling=account.ceiling,
                unit=unit_answer(own),
            )
        )

    async def get_entries(self, request: web.Request) -> web.Response:
        """Give a page of the caller's history."""
        member = await self._payments.account(caller_of(request, "read"))
        query = _read_query(request)
        size = _read_page_size(query.get("page_size"))
        before = _read_cursor(query.get("cursor"))
        search = ledger_store.Search(
            since=_read_time(query, "since"),
            until=_read_time(query, "until"),
            text=_read_text(query.get("text")),
        )
        async with self._database.readers.acquire() as connection:
            lines = await ledger_store.read_page(
                connection, member.account.account_id, before, size, search
            )
        full = len(lines) == size
        answer = EntriesAnswer(
            entries=[_entry_answer(line) for line in lines],
            unit=unit_answer(self._payments.own_record()),
            cursor=str(lines[-1].sequence) if full else None,
        )
        return json_response(answer)

    async def post_quote(self, request: web.Request) -> web.Response:
        """Say what a payment would be."""
        caller = caller_of(request, "read")
        asked = await read_json(request, _quote_decoder)
        return json_response(
            await self._payments.quote(caller, asked.to, asked.amount, asked.in_)
        )

    async def post_transfer(self, request: web.Request) -> web.Response:
        """Order a payment under an Idempotency-Key."""
        caller = caller_of(request, "pay")
        keys = request.headers.getall("Idempotency-Key", [])
        if len(keys) != 1:
            raise MalformedMessageError("Idempotency-Key", keys, "one such header")
        asked = await read_json(request, _transfer_decoder)
        member = await self._payments.account(caller)
        ordered = await self._payments.order(member, keys[0], asked)
        transfer = ordered.transfer
        wait_s = wait_preference(request, _WAIT_S_MAX)
        if wait_s:
            transfer = await self._payments.wait(transfer, wait_s)
        else:
            transfer = as_ordered(transfer)
        language = language_of(request)
        answer = await self._payments.answer(
            caller, transfer, language, ordered.content
        )
        return json_response(answer, status=201)

    async def post_batch(self, request: web.Request) -> web.Response:
        """Order up to 100 payments; each is answered for itself."""
        caller = caller_of(request, "batch")
        asked = await read_json(request, _batch_decoder)
        member = await self._payments.account(caller)
        wait_s = wait_preference(request, _WAIT_S_MAX)
        language = language_of(request)
        answers = await asyncio.gather(
            *(
                self._answer_one(caller, member, one, wait_s, language)
                for one in asked.orders
            )
        )
        return json_response(answers)

    async def _answer_one(
        self,
        caller: Caller,
        member: member_store.Member,
        asked: BatchOrder,
        wait_s: int,
        language: Language,
    ) -> BatchAnswer:
        # The same order alone and in a batch has the same body hash.
        alone = TransferRequest(
            asked.to,
            asked.payee_amount,
            asked.payer_amount_max,
            asked.memo,
            asked.deliver,
        )
        try:
            ordered = await self._payments.order(member, asked.key, alone)
        except (Problem, InterletsError, TimeoutError, *AWAY) as error:
            problem = as_problem(error)
            return BatchAnswer(
                asked.key, problem.status, None, problem.members(language)
            )
        transfer = ordered.transfer
        if wait_s:
            transfer = await self._payments.wait(transfer, wait_s)
        else:
            transfer = as_ordered(transfer)
        answer = await self._payments.answer(
            caller, transfer, language, ordered.content
        )
        return BatchAnswer(asked.key, 201, answer, None)

    async def get_transfer(self, request: web.Request) -> web.Response:
        """Give one of the caller's payments as it stands."""
        caller = caller_of(request, "read")
        transfer = await self._payments.transfer(caller, request.match_info["id"])
        wait_s = wait_preference(request, _WAIT_S_MAX)
        if wait_s:
            transfer = await self._payments.wait(transfer, wait_s)
        return json_response(
            await self._payments.answer(caller, transfer, language_of(request))
        )

    async def delete_transfer(self, request: web.Request) -> web.Response:
        """Wish to cancel; what became of it, the transfer's state tells."""
        caller = caller_of(request, "pay")
        transfer = await self._payments.cancel(caller, request.match_info["id"])
        wait_s = wait_preference(request, _WAIT_S_MAX)
        if wait_s:
            transfer = await self._payments.wait(transfer, wait_s)
        answer = await self._payments.answer(caller, transfer, language_of(request))
        return json_response(answer, status=202)

    async def get_group(self, request: web.Request) -> web.Response:
        """Give the whole ledger's figures, for a treasurer."""
        caller_of(request, "treasurer")
        house, link = self._clerk.house, self._clerk.link(HUB)
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            sums = await ledger_store.read_sums(connection)
            clearing = await member_store.read_clearing(connection)
            newest = await member_store.read_newest(connection)
            undecided = await transfer_store.count_undecided(connection)
        return json_response(
            GroupAnswer(
                group=house.own,
                federation=house.federation,
                unit_sum=sums.get(GROUP_UNIT, 0),
                time_sum=sums.get(TIME_UNIT, 0),
                clearing=clearing,
                undecided=undecided,
                link=link_state(link),
                newest_decision=newest,
            )
        )


def _read_query(request: web.Request) -> dict[str, str]:
    """Read the query strictly: known names, each once."""
    known = ("cursor", "page_size", "since", "text", "until")
    names = [name for name, _ in request.query.items()]
    if len(names) != len(set(names)) or not set(names) <= set(known):
        raise MalformedMessageError("query", names, f"each once of {', '.join(known)}")
    return dict(request.query)


def _read_time(query: dict[str, str], name: str) -> Instant | None:
    text = query.get(name)
    return None if text is None else read_instant(text, name)


def _read_text(text: str | None) -> str | None:
    if text is None:
        return None
    if not 1 <= len(text) <= _TEXT_LENGTH_MAX or "\0" in text or not _is_text(text):
        raise MalformedMessageError("text", text, "1 to 100 plain characters")
    return text


def _is_text(text: str) -> bool:
    """A lone surrogate is no text that a database could look for."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read_page_size(text: str | None) -> int:
    if text is None:
        return _PAGE_SIZE
    if not text.isascii() or not text.isdecimal() or len(text) > 3:
        raise MalformedMessageError("page_size", text, "1 to 200")
    if not 1 <= int(text) <= _PAGE_SIZE_MAX:
        raise MalformedMessageError("page_size", text, "1 to 200")
    return int(text)


def _read_cursor(text: str | None) -> int:
    if text is None:
        return ledger_store.NEWEST
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise MalformedMessageError("cursor", text, "a cursor that an answer gave")
    return int(text)


def _entry_answer(line: ledger_store.Line) -> EntryAnswer:
    content = read_content(line.content)
    return EntryAnswer(
        id=line.entry_id,
        at=write_instant(line.at),
        kind=line.kind,
        amount=line.amount,
        balance_after=line.balance_after,
        transfer=line.transfer_id,
        payer=party(content.payer, line.payer_group) if content else None,
        payee=party(content.payee, line.payee_group) if content else None,
        name=content.name if content else None,
        memo=content.memo if content else line.reason,
    )
