"""Quotes, payments, and what became of them."""

import asyncio
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import member_store
from nodes.payment_answers import (
    AmountField,
    QuoteAnswer,
    QuoteProblemAnswer,
    TransferAnswer,
    TransferRequest,
    TransferStepsAnswer,
)
from nodes.payments import Payments
from protocol.errors import InterletsError
from protocol.peer.access_store import Caller
from protocol.peer.database import AWAY
from protocol.peer.web.problems import (
    Problem,
    ProblemAnswer,
    as_problem,
    language_of,
)
from protocol.peer.web.requests import (
    caller_of,
    idempotency_key,
    json_response,
    read_json,
    wait_preference,
)
from protocol.peer.web.routes import Route
from protocol.peer.web.words import Language

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


def alone(asked: BatchOrder) -> TransferRequest:
    """Give a batch's order as it would be alone, so that it has the same body hash."""
    names = TransferRequest.__struct_fields__
    return TransferRequest(**{name: getattr(asked, name) for name in names})


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """1 to 100 orders, each decided for itself."""

    orders: Annotated[list[BatchOrder], Meta(min_length=1, max_length=BATCH_MAX)]


class BatchAnswer(msgspec.Struct, frozen=True):
    """What became of one order of a batch: a status as it would have had alone."""

    key: str
    status: int
    transfer: TransferAnswer | None
    problem: ProblemAnswer | None


_quote_decoder = msgspec.json.Decoder(QuoteRequest)
_transfer_decoder = msgspec.json.Decoder(TransferRequest)
_batch_decoder = msgspec.json.Decoder(BatchRequest)


class PaymentApi:
    """Paying.

    Args:
        payments: what members do.
    """

    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    def routes(self) -> list[Route]:
        """List the routes."""
        one = "/api/v1/transfers/{id}"
        return [
            Route(
                method="POST",
                path="/api/v1/quotes",
                handler=self.post_quote,
                told="What a payment would be: her amount, the time, the price.",
                scope="read",
                body=QuoteRequest,
                answer=QuoteAnswer,
                problem=QuoteProblemAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/transfers",
                handler=self.post_transfer,
                told="Order a payment; the same key and body get the same answer.",
                scope="pay",
                body=TransferRequest,
                answer=TransferAnswer,
                status=201,
                is_keyed=True,
                may_wait=True,
            ),
            Route(
                method="POST",
                path="/api/v1/transfers/batch",
                handler=self.post_batch,
                told="Order up to 100 payments, each answered for itself.",
                scope="batch",
                body=BatchRequest,
                answer=list[BatchAnswer],
                may_wait=True,
            ),
            Route(
                method="GET",
                path=one,
                handler=self.get_transfer,
                told="One of the caller's payments as it stands, with its steps.",
                scope="read",
                answer=TransferStepsAnswer,
                may_wait=True,
            ),
            Route(
                method="DELETE",
                path=one,
                handler=self.delete_transfer,
                told="Wish to call a payment off, while it is not decided.",
                scope="pay",
                answer=TransferAnswer,
                status=202,
                may_wait=True,
            ),
        ]

    async def post_quote(self, request: web.Request) -> web.Response:
        """Say what a payment would be."""
        caller = caller_of(request)
        asked = await read_json(request, _quote_decoder)
        return json_response(
            await self._payments.quote(caller, asked.to, asked.amount, asked.in_)
        )

    async def post_transfer(self, request: web.Request) -> web.Response:
        """Order a payment under an Idempotency-Key."""
        caller = caller_of(request)
        key = idempotency_key(request)
        asked = await read_json(request, _transfer_decoder)
        member = await self._payments.account(caller)
        ordered = await self._payments.order(member, key, asked)
        answer = await self._payments.answer_ordered(
            caller, ordered, wait_preference(request), language_of(request)
        )
        return json_response(answer, status=201)

    async def post_batch(self, request: web.Request) -> web.Response:
        """Order up to 100 payments; each is answered for itself."""
        caller = caller_of(request)
        asked = await read_json(request, _batch_decoder)
        member = await self._payments.account(caller)
        wait_s = wait_preference(request)
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
        try:
            ordered = await self._payments.order(member, asked.key, alone(asked))
        except (Problem, InterletsError, TimeoutError, *AWAY) as error:
            problem = as_problem(error)
            return BatchAnswer(
                asked.key, problem.status, None, problem.answer(language)
            )
        answer = await self._payments.answer_ordered(caller, ordered, wait_s, language)
        return BatchAnswer(asked.key, 201, answer, None)

    async def get_transfer(self, request: web.Request) -> web.Response:
        """Give one of the caller's payments as it stands."""
        caller = caller_of(request)
        transfer = await self._payments.transfer(caller, request.match_info["id"])
        wait_s = wait_preference(request)
        if wait_s:
            transfer = await self._payments.wait(transfer, wait_s)
        answer = await self._payments.answer(caller, transfer, language_of(request))
        steps = await self._payments.steps(transfer)
        return json_response(
            TransferStepsAnswer(**msgspec.structs.asdict(answer), steps=steps)
        )

    async def delete_transfer(self, request: web.Request) -> web.Response:
        """Wish to cancel; what became of it, the transfer's state tells."""
        caller = caller_of(request)
        transfer = await self._payments.cancel(caller, request.match_info["id"])
        wait_s = wait_preference(request)
        if wait_s:
            transfer = await self._payments.wait(transfer, wait_s)
        answer = await self._payments.answer(caller, transfer, language_of(request))
        return json_response(answer, status=202)
