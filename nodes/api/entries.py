"""The whole ledger's entries, entries by hand, and corrections."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes.api.account import EntriesQuery, read_search
from nodes.payment_answers import TransferAnswer, TransferRequest, party, unit_answer
from nodes.payments import Payments, acting_for
from nodes.rules import POSTINGS_MAX, POSTINGS_MIN, read_content
from nodes.treasurer import Treasurer
from protocol.instant import write_instant
from protocol.ledger import TIME_UNIT, Posting
from protocol.peer import ledger_store
from protocol.peer.database import Database
from protocol.peer.ledger_store import BookedEntry, PostedAmount
from protocol.peer.web.problems import language_of
from protocol.peer.web.requests import (
    caller_of,
    idempotency_key,
    json_response,
    read_json,
    read_query,
    wait_preference,
)
from protocol.peer.web.routes import Route
from protocol.peer.web.units import UnitAnswer
from protocol.unit import AMOUNT_MAX


class PostingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signed amount on one account, minor units; positive is credit."""

    account: str
    amount: Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]


class HandEntryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Book by hand: postings that sum to zero, each account once."""

    postings: Annotated[
        list[PostingRequest], Meta(min_length=POSTINGS_MIN, max_length=POSTINGS_MAX)
    ]
    reason: str


class OrderForRequest(TransferRequest, frozen=True, kw_only=True):
    """Order a payment in a member's name: ``payer`` is her account."""

    payer: str


class CorrectionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Book an entry's exact negation, and say why."""

    reason: str


class PostingAnswer(msgspec.Struct, frozen=True):
    """One posting; ``in`` says whether it counts minor units or milliseconds."""

    account: str
    amount: int
    balance_after: int
    in_: Literal["unit", "milliseconds"] = msgspec.field(name="in")


class LedgerEntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the whole ledger, with its postings by account.

    ``author`` is who booked it by hand. ``corrects`` is the entry that this one takes
    back, ``corrected_by`` the one that takes it back.
    """

    id: str
    at: str
    kind: str
    postings: list[PostingAnswer]
    transfer: str | None
    payer: str | None
    payee: str | None
    memo: str | None
    author: str | None
    reason: str | None
    corrects: str | None
    corrected_by: str | None


class LedgerAnswer(msgspec.Struct, frozen=True):
    """A page of the ledger, newest first; ``cursor`` gives the next one."""

    entries: list[LedgerEntryAnswer]
    unit: UnitAnswer
    cursor: str | None


_entry_decoder = msgspec.json.Decoder(HandEntryRequest)
_order_decoder = msgspec.json.Decoder(OrderForRequest)
_correction_decoder = msgspec.json.Decoder(CorrectionRequest)


class EntriesApi:
    """The ledger, for a treasurer.

    Args:
        treasurer: what she does.
        payments: knows the own unit.
        database: read only here.
    """

    def __init__(
        self, treasurer: Treasurer, payments: Payments, database: Database
    ) -> None:
        self._treasurer = treasurer
        self._payments = payments
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        every = "/api/v1/group/entries"
        return [
            Route(
                method="GET",
                path=every,
                handler=self.get_ledger,
                told="A page of the whole ledger's entries, newest first.",
                scope="treasurer",
                query=EntriesQuery,
                answer=LedgerAnswer,
            ),
            Route(
                method="POST",
                path=every,
                handler=self.post_entry,
                told="Book an entry by hand, under the members' limits.",
                scope="treasurer",
                body=HandEntryRequest,
                answer=LedgerEntryAnswer,
                status=201,
                is_keyed=True,
            ),
            Route(
                method="GET",
                path=f"{every}/{{id}}",
                handler=self.get_entry,
                told="One entry with its postings.",
                scope="treasurer",
                answer=LedgerEntryAnswer,
            ),
            Route(
                method="POST",
                path=f"{every}/{{id}}/correct",
                handler=self.post_correction,
                told="Take an entry back by a counter-entry, once.",
                scope="treasurer",
                body=CorrectionRequest,
                answer=LedgerEntryAnswer,
                status=201,
                is_keyed=True,
            ),
            Route(
                method="POST",
                path="/api/v1/group/transfers",
                handler=self.post_transfer_for,
                told="Order a payment in a member's name, answered as to her.",
                scope="treasurer",
                body=OrderForRequest,
                answer=TransferAnswer,
                status=201,
                is_keyed=True,
                may_wait=True,
            ),
            Route(
                method="GET",
                path="/api/v1/group/transfers/{id}",
                handler=self.get_transfer_of,
                told="Any member's payment as it stands, as she sees it.",
                scope="treasurer",
                answer=TransferAnswer,
                may_wait=True,
            ),
        ]

    async def get_ledger(self, request: web.Request) -> web.Response:
        """Give a page of the ledger."""
        return json_response(await self.ledger(read_query(request, EntriesQuery)))

    async def ledger(self, query: EntriesQuery) -> LedgerAnswer:
        """Give a page of the ledger, as answers show it."""
        before = ledger_store.NEWEST if query.cursor is None else int(query.cursor)
        search = read_search(query)
        async with self._database.readers.acquire() as connection:
            found = await ledger_store.read_entries(
                connection, before, query.page_size, search
            )
        full = len(found) == query.page_size
        return LedgerAnswer(
            entries=[_entry_answer(booked) for booked in found],
            unit=unit_answer(self._payments.own_record()),
            cursor=str(found[-1].sequence) if full else None,
        )

    async def post_entry(self, request: web.Request) -> web.Response:
        """Book an entry by hand under an Idempotency-Key."""
        key = idempotency_key(request)
        asked = await read_json(request, _entry_decoder)
        postings = [Posting(one.account, one.amount) for one in asked.postings]
        person = caller_of(request).person_id
        booked = await self._treasurer.book(person, key, postings, asked.reason)
        return _as_booked(booked)

    async def get_entry(self, request: web.Request) -> web.Response:
        """Give one entry."""
        return json_response(await self.entry(request.match_info["id"]))

    async def entry(self, entry_id: str) -> LedgerEntryAnswer:
        """Give one entry, as answers show it."""
        return _entry_answer(await self._treasurer.entry(entry_id))

    async def post_correction(self, request: web.Request) -> web.Response:
        """Book a counter-entry under an Idempotency-Key."""
        key = idempotency_key(request)
        asked = await read_json(request, _correction_decoder)
        booked = await self._treasurer.correct(
            caller_of(request).person_id, key, request.match_info["id"], asked.reason
        )
        return _as_booked(booked)

    async def post_transfer_for(self, request: web.Request) -> web.Response:
        """Order a payment in a member's name under an Idempotency-Key."""
        key = idempotency_key(request)
        asked = await read_json(request, _order_decoder)
        member = await self._treasurer.member(asked.payer)
        fields = msgspec.structs.asdict(asked)
        payer = fields.pop("payer")
        person = caller_of(request).person_id
        ordered = await self._payments.order(
            member, key, TransferRequest(**fields), person
        )
        answer = await self._payments.answer_ordered(
            acting_for(payer), ordered, wait_preference(request), language_of(request)
        )
        return json_response(answer, status=201)

    async def get_transfer_of(self, request: web.Request) -> web.Response:
        """Give any member's payment as it stands."""
        member, transfer = await self._payments.of_member(request.match_info["id"])
        wait_s = wait_preference(request)
        if wait_s:
            transfer = await self._payments.wait(transfer, wait_s)
        return json_response(
            await self._payments.answer(member, transfer, language_of(request))
        )


def _as_booked(booked: BookedEntry) -> web.Response:
    """Answer as when it was booked: the same key gets the same answer each time."""
    answer = msgspec.structs.replace(_entry_answer(booked), corrected_by=None)
    return json_response(answer, status=201)


def _entry_answer(booked: BookedEntry) -> LedgerEntryAnswer:
    entry, content = booked.entry, read_content(booked.content)
    return LedgerEntryAnswer(
        id=entry.entry_id,
        at=write_instant(entry.at),
        kind=entry.kind,
        postings=[_posting_answer(amount) for amount in booked.amounts],
        transfer=entry.transfer_id,
        payer=party(content.payer, booked.payer_group) if content else None,
        payee=party(content.payee, booked.payee_group) if content else None,
        memo=content.memo if content else None,
        author=booked.author_name or entry.author,
        reason=entry.reason,
        corrects=entry.corrects,
        corrected_by=booked.corrected_by,
    )


def _posting_answer(posted: PostedAmount) -> PostingAnswer:
    counted: Literal["unit", "milliseconds"] = "unit"
    if posted.unit == TIME_UNIT:
        counted = "milliseconds"
    return PostingAnswer(
        posted.account_id, posted.amount, posted.balance_after, counted
    )
