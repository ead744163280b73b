"""Asking to be paid, with a link and its QR code."""

from typing import Any

import msgspec
from aiohttp import web
from markupsafe import Markup

from nodes.asks import AskAnswer, AskRequest, Asks
from nodes.pages.drafts import Drafts
from protocol.ask import ASK_MEMO_LENGTH_MAX, read_ask_memo
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms, words
from protocol.peer.web.figures import AmountFault, read_amount
from protocol.peer.web.pages import VISIT, Pages
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route


class AskFields(msgspec.Struct, frozen=True):
    """What is asked: an amount in the own unit, or none, and what for."""

    amount: str
    memo: str
    show: str


class AskPages:
    """Asking.

    Args:
        pages: shows them.
        asks: makes links.
        drafts: knows the own unit.
    """

    def __init__(self, pages: Pages, asks: Asks, drafts: Drafts) -> None:
        self._pages = pages
        self._asks = asks
        self._drafts = drafts

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", "/ask", self.get_ask, None),
            page("GET", "/pay-me", self.get_pay_me, "pay"),
        ]

    async def get_ask(self, request: web.Request) -> web.Response:
        """Tell whoever follows such a link what to do with it."""
        return self._pages.show(request, "ask.html")

    async def get_pay_me(self, request: web.Request) -> web.Response:
        """Make a link that asks for a payment; it is kept nowhere."""
        fields = forms.read_address_fields(request, AskFields)
        unit, language = self._drafts.own_unit(), request[VISIT].language
        amount, errors = None, {}
        if fields.amount.strip():
            read = read_amount(fields.amount, unit.decimals, language)
            if isinstance(read, AmountFault):
                named = {"unit": unit.plural, "decimals": unit.decimals}
                errors["amount"] = words.say(f"pay.amount-{read}", language, named)
            else:
                amount = read
        try:
            read_ask_memo(fields.memo)
        except MalformedMessageError:
            errors["memo"] = words.say("pay-me.memo-long", language, {})
        made: AskAnswer | None = None
        if fields.show and not errors:
            try:
                wanted = AskRequest(amount=amount, memo=fields.memo)
                made = await self._asks.make(caller_of(request), wanted)
            except Problem as problem:
                if problem.code is None:
                    raise
                errors["amount"] = words.refusal(problem.code, language)
        return self._show(request, fields, made, amount, errors)

    def _show(
        self,
        request: web.Request,
        fields: AskFields,
        made: AskAnswer | None,
        amount: int | None,
        errors: dict[str, str],
    ) -> web.Response:
        shown: dict[str, Any] = {"fields": fields, "made": made, "amount": amount}
        return self._pages.show(
            request,
            "pay-me.html",
            unit=self._drafts.own_unit(),
            errors=errors,
            memo_max=ASK_MEMO_LENGTH_MAX,
            # Our own drawing, of letters and digits alone.
            qr=Markup(made.qr_svg) if made else "",  # noqa: S704
            **shown,
        )
