"""A member's first page, and her history."""

import msgspec
from aiohttp import web

from nodes.api.account import AccountAnswer, AccountApi, EntriesAnswer, EntriesQuery
from nodes.payments import Payments
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.pictures import gauge
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route

_NEWEST = 8
_PAGE_SIZE = 25
_TEXT_MAX = 100


class HistoryFields(msgspec.Struct, frozen=True):
    """What is looked for, and from where on."""

    text: str
    cursor: str


class AccountPages:
    """Account and history.

    Args:
        pages: shows them.
        accounts: reads them.
        payments: knows what a unit is worth.
    """

    def __init__(self, pages: Pages, accounts: AccountApi, payments: Payments) -> None:
        self._pages = pages
        self._accounts = accounts
        self._payments = payments

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", "/", self.get_first, "read"),
            page("GET", "/history", self.get_history, "read"),
        ]

    async def get_first(self, request: web.Request) -> web.Response:
        """Show the account, and what was booked last."""
        caller = caller_of(request)
        if caller.account_id is None:
            return see_other("/treasurer")
        account = await self._accounts.account(caller)
        newest = await self._accounts.entries(caller, EntriesQuery(page_size=_NEWEST))
        session = request[VISIT].session
        assert session is not None, "the door has let her in"
        return self._pages.show(
            request,
            "account.html",
            account=account,
            rate=self._payments.own_record().rate,
            standing=self._payments.own_standing(),
            gauge=_gauge(account),
            entries=newest.entries,
            unit=newest.unit,
            has_password=session.has_password,
        )

    async def get_history(self, request: web.Request) -> web.Response:
        """Show what was booked, and find something in it."""
        fields = forms.read_address_fields(request, HistoryFields)
        text = " ".join(fields.text.split())[:_TEXT_MAX]
        found = await self._entries(request, text, fields.cursor)
        return self._pages.show(
            request,
            "history.html",
            text=text,
            entries=found.entries,
            unit=found.unit,
            older=(
                forms.write_fields("/history", {"text": text, "cursor": found.cursor})
                if found.cursor
                else ""
            ),
        )

    async def _entries(
        self, request: web.Request, text: str, cursor: str
    ) -> EntriesAnswer:
        query = {
            "page_size": _PAGE_SIZE,
            "text": text or None,
            "cursor": cursor or None,
        }
        try:
            wanted = msgspec.convert(query, EntriesQuery)
        except msgspec.ValidationError:
            raise MalformedMessageError("cursor", cursor, "a place in it") from None
        return await self._accounts.entries(caller_of(request), wanted)


def _gauge(account: AccountAnswer) -> object:
    return gauge(account.floor, account.balance, account.ceiling)
