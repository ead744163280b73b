"""Paying in three pages: whom, how much, and yes.

The first two are forms whose fields stand in the address, so that going back, two
windows and signing in half-way lose nothing. Only the third one's button does
something: it orders under the key in its address, so that it pays once.
"""

import secrets
from typing import Literal

import msgspec
from aiohttp import web

from nodes.asks import Asks
from nodes.pages.drafts import Draft, Drafts, Payee, PayFields
from nodes.payees import PayeeAnswer
from nodes.payment_answers import TransferRequest
from nodes.payments import Payments
from protocol.errors import MalformedMessageError, OutageError
from protocol.peer.access_store import Caller
from protocol.peer.web import forms, words
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.problems import Problem, as_problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route

#: So long a browser waits for the end of a payment before it sees its page.
_WAIT_S = 1
_DIGITS_MAX = 13
PAY, AMOUNT, CONFIRM = "/pay", "/pay/amount", "/pay/confirm"


class OrderFields(msgspec.Struct, frozen=True):
    """What the confirm page sends: exactly what stood on it."""

    to: str
    payee_amount: str
    payer_amount_max: str
    memo: str
    deliver: str
    refund_of: str
    key: str


class PayPages:
    """Paying.

    Args:
        pages: shows them.
        drafts: makes a payment out of what is typed.
        asks: opens links.
        payments: orders.
    """

    def __init__(
        self, pages: Pages, drafts: Drafts, asks: Asks, payments: Payments
    ) -> None:
        self._pages = pages
        self._drafts = drafts
        self._asks = asks
        self._payments = payments

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", PAY, self.get_pay, "pay"),
            page("GET", AMOUNT, self.get_amount, "pay"),
            page("GET", CONFIRM, self.get_confirm, "pay"),
            page("POST", "/payments", self.post_payment, "pay", form=CONFIRM),
            page("GET", "/asks/open", self.get_open, "pay"),
        ]

    # Whom.

    async def get_pay(self, request: web.Request) -> web.Response:
        """Ask whom to pay."""
        return self._show_pay(request, forms.read_address_fields(request, PayFields))

    def _show_pay(
        self,
        request: web.Request,
        fields: PayFields,
        *,
        problem: Problem | None = None,
        choices: list[PayeeAnswer] | None = None,
    ) -> web.Response:
        code = problem.code if problem else None
        return self._pages.show_form(
            request,
            "pay.html",
            status=_status(problem),
            fields=fields,
            error=self._told(request, problem),
            choices=choices or [],
            carried=_as_dict(fields),
            may_go_on=code == "unknown-account" and "@" in fields.to,
            go_on=_address(AMOUNT, fields, unseen="yes"),
            choose=lambda address: _address(AMOUNT, fields, to=address),
        )

    # How much.

    async def get_amount(self, request: web.Request) -> web.Response:
        """Find who is to be paid, and ask how much."""
        fields = forms.read_address_fields(request, PayFields)
        if _is_link(fields.to):
            return see_other(forms.write_fields("/asks/open", {"ask": fields.to}))
        caller = caller_of(request)
        try:
            found = await self._drafts.find(caller, fields.to, is_sure=fields.unseen)
        except (Problem, MalformedMessageError) as error:
            return self._show_pay(request, fields, problem=_beside(error, "to"))
        if isinstance(found, list):
            if not found:
                nobody = Problem(404, "nobody-found", fields.to)
                return self._show_pay(request, fields, problem=nobody)
            return self._show_pay(request, fields, choices=found)
        return self._show_amount(request, fields, found)

    async def get_open(self, request: web.Request) -> web.Response:
        """Open a link that asks for a payment."""
        fields = forms.read_address_fields(request, PayFields)
        try:
            opened = await self._asks.open(caller_of(request), fields.ask)
        except Problem as problem:
            typed = msgspec.structs.replace(fields, to=fields.ask)
            return self._show_pay(request, typed, problem=problem)
        if opened.amount is not None:
            return see_other(_address(CONFIRM, fields, key=f"ask-{opened.id}"))
        payee = Payee(opened.to, opened.name, opened.group_name, opened.payee_unit)
        asked = msgspec.structs.replace(fields, memo=fields.memo or opened.memo)
        return self._show_amount(request, asked, payee)

    def _show_amount(
        self,
        request: web.Request,
        fields: PayFields,
        payee: Payee,
        *,
        problem: Problem | None = None,
    ) -> web.Response:
        extra = problem.extra if problem else {}
        kind = problem.kind if problem else ""
        told = self._told(request, problem)
        own = self._payments.own_record()
        carried = _as_dict(fields)
        for shown in ("amount", "side", "memo"):
            carried.pop(shown)
        return self._pages.show_form(
            request,
            "amount.html",
            status=_status(problem),
            payee=payee,
            own=self._drafts.own_unit(),
            own_rate=own.rate,
            rate=self._drafts.rate_of(payee.address),
            fields=fields,
            carried=carried,
            error="" if kind == "memo-long" else told,
            memo_error=told if kind == "memo-long" else "",
            nearest=extra.get("nearest", []),
            choose=lambda amount: self._exactly(request, fields, payee, amount),
        )

    def _exactly(
        self, request: web.Request, fields: PayFields, payee: Payee, amount: int
    ) -> str:
        """Give the confirm page of an amount that there is."""
        typed = self._pages.figures(request).plain(amount, payee.unit.decimals)
        return _address(CONFIRM, fields, amount=typed, side="payee", key="")

    # And yes.

    async def get_confirm(self, request: web.Request) -> web.Response:
        """Show all of a payment before it is one."""
        fields = forms.read_address_fields(request, PayFields)
        caller = caller_of(request)
        if not fields.key:
            return see_other(_address(CONFIRM, fields, key=secrets.token_urlsafe(16)))
        language = request[VISIT].language
        drafted = await self._drafts.draft(caller, fields, language)
        if not isinstance(drafted, Draft):
            payee, problem = drafted
            if payee is None:
                return self._show_pay(request, fields, problem=problem)
            return self._show_amount(request, fields, payee, problem=problem)
        return await self._show_confirm(request, caller, fields, drafted)

    async def _show_confirm(
        self,
        request: web.Request,
        caller: Caller,
        fields: PayFields,
        draft: Draft,
        *,
        problem: Problem | None = None,
    ) -> web.Response:
        account = caller.account_id or ""
        paid = await self._payments.ordered_under(account, fields.key)
        code = problem.code if problem else None
        return self._pages.show(
            request,
            "confirm.html",
            status=_status(problem),
            draft=draft,
            quote=draft.quote,
            key=fields.key,
            # The order names one account, however she was found.
            carried=_as_dict(fields) | {"key": "", "to": draft.payee.address},
            paid=paid,
            again=_address(CONFIRM, fields, key=""),
            change=self._way_back(fields),
            error=self._told(request, problem),
            may_wait=code in ("hub-unreachable", "payee-unreachable"),
            choose=lambda amount: self._exactly(request, fields, draft.payee, amount),
        )

    def _way_back(self, fields: PayFields) -> str:
        if fields.refund_of:
            return f"/payments/{fields.refund_of}"
        return _address(AMOUNT, fields, key="") if fields.to else PAY

    async def post_payment(self, request: web.Request) -> web.Response:
        """Order what stood on the confirm page; sent twice, it is ordered once."""
        pairs = await forms.read_pairs(request)
        order = forms.fill(pairs, OrderFields)
        caller = caller_of(request)
        member = await self._payments.account(caller)
        asked = TransferRequest(
            to=order.to,
            payee_amount=_read_digits(order.payee_amount),
            payer_amount_max=_read_digits(order.payer_amount_max),
            memo=order.memo,
            deliver=_deliver(order.deliver),
            refund_of=order.refund_of or None,
        )
        try:
            ordered = await self._payments.order(member, order.key, asked)
        except (Problem, OutageError) as error:
            return await self._confirm_again(
                request, forms.fill(pairs, PayFields), error
            )
        await self._payments.wait(ordered.transfer, _WAIT_S)
        return see_other(f"/payments/{ordered.transfer.transfer_id}")

    async def _confirm_again(
        self, request: web.Request, fields: PayFields, error: Exception
    ) -> web.Response:
        """Show the page again with what went wrong.

        A refusal is remembered under its key, so that another try needs another one.
        What is not known yet is asked again under the same: it is then paid once.
        """
        problem = as_problem(error)
        if problem.code:
            fields = msgspec.structs.replace(fields, key=secrets.token_urlsafe(16))
        caller = caller_of(request)
        drafted = await self._drafts.draft(caller, fields, request[VISIT].language)
        if not isinstance(drafted, Draft):
            raise problem
        return await self._show_confirm(
            request, caller, fields, drafted, problem=problem
        )

    def _told(self, request: web.Request, problem: Problem | None) -> str:
        if problem is None:
            return ""
        language = request[VISIT].language
        if problem.code:
            return words.refusal(problem.code, language, problem.extra)
        if problem.status >= 500:
            return words.say("pay.not-known", language, {})
        kind = f"pay.{problem.kind}"
        if kind in words.sentences(language):
            return words.say(kind, language, problem.extra)
        return words.problem(problem.status, problem.kind, language)


def _status(problem: Problem | None) -> int:
    """Say with what a form is answered that has a sentence beside a field.

    It is the page that was asked for. Browsers complain to themselves of every other
    status, as of something broken; what is not hers to see is not there all the same.
    """
    is_nothing = problem is not None and problem.kind == "not-found"
    return 404 if is_nothing else 200


def _beside(error: Problem | MalformedMessageError, field: str) -> Problem:
    """Give what stands beside a field; what ends a page altogether is raised on."""
    if isinstance(error, Problem):
        return error
    return Problem(422, f"no-{field}", str(error))


def _as_dict(fields: PayFields) -> dict[str, str]:
    return {name: str(text) for name, text in msgspec.structs.asdict(fields).items()}


def _address(path: str, fields: PayFields, **changes: str) -> str:
    """Write the address of another of these pages with what was typed so far."""
    return forms.write_fields(path, _as_dict(fields) | changes)


def _is_link(text: str) -> bool:
    return "://" in text or "#" in text


def _deliver(text: str) -> Literal["now", "when_reachable"]:
    return "when_reachable" if text == "when_reachable" else "now"


def _read_digits(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX:
        raise MalformedMessageError("amount", text, "an amount as the page wrote it")
    return msgspec.convert(int(text), int)
