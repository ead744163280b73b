"""What a treasurer looks at: that all sums to zero, members, and the whole ledger.

She changes things by commands and the API (``docs/treasurer.md``); here she looks.
"""

import msgspec
from aiohttp import web

from nodes.api.account import EntriesQuery
from nodes.api.entries import EntriesApi
from nodes.api.group import GroupApi
from nodes.api.members import MembersApi, MembersQuery
from nodes.payments import Payments
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.pages import VISIT, Pages
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.pictures import gauge
from protocol.peer.web.routes import TREASURER, Route

HOME, MEMBERS, LEDGER = "/treasurer", "/treasurer/members", "/treasurer/ledger"
_SIZE = 50
_ALARMS = 5
_TEXT_MAX = 100


class ListFields(msgspec.Struct, frozen=True):
    """What is looked for, and from where on."""

    text: str
    cursor: str


class TreasurerPages:
    """Pages for a treasurer.

    Args:
        pages: shows them.
        group: the whole ledger's figures.
        members: reads members.
        entries: reads the ledger.
        alarms: reads what people must look at.
        payments: knows the own group's entry.
    """

    def __init__(
        self,
        pages: Pages,
        group: GroupApi,
        members: MembersApi,
        entries: EntriesApi,
        alarms: AlarmApi,
        payments: Payments,
    ) -> None:
        self._pages = pages
        self._group = group
        self._members = members
        self._entries = entries
        self._alarms = alarms
        self._payments = payments

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", HOME, self.get_treasurer, TREASURER),
            page("GET", MEMBERS, self.get_members, TREASURER),
            page("GET", LEDGER, self.get_ledger, TREASURER),
        ]

    async def get_treasurer(self, request: web.Request) -> web.Response:
        """Show how the group stands, by itself and with the others."""
        found, own = await self._group.group(), self._payments.own_record()
        query = PageQuery(page_size=_ALARMS)
        alarms = await self._alarms.alarms(query, request[VISIT].language)
        position = -found.clearing
        return self._pages.show(
            request,
            "treasurer.html",
            group=found,
            own=own,
            position=position,
            alarms=alarms.alarms,
            gauge=gauge(own.floor, position, own.ceiling),
        )

    async def get_members(self, request: web.Request) -> web.Response:
        """Show members with their balances between their limits."""
        fields = forms.read_address_fields(request, ListFields)
        query = _read(MembersQuery, fields, page_size=_SIZE)
        found = await self._members.members(query)
        return self._pages.show(
            request,
            "members.html",
            members=found.members,
            unit=found.unit,
            gauge=lambda one: gauge(one.floor, one.balance, one.ceiling),
            more=_further(MEMBERS, "", found.cursor),
        )

    async def get_ledger(self, request: web.Request) -> web.Response:
        """Show all that was booked, and find something in it."""
        fields = forms.read_address_fields(request, ListFields)
        text = " ".join(fields.text.split())[:_TEXT_MAX]
        query = _read(EntriesQuery, fields, page_size=_SIZE, text=text or None)
        found = await self._entries.ledger(query)
        return self._pages.show(
            request,
            "ledger.html",
            text=text,
            entries=found.entries,
            unit=found.unit,
            more=_further(LEDGER, text, found.cursor),
        )


def _read(
    kind: type[forms.T], fields: ListFields, **values: int | str | None
) -> forms.T:
    try:
        return msgspec.convert(values | {"cursor": fields.cursor or None}, kind)
    except msgspec.ValidationError:
        expected = "a place in the list"
        raise MalformedMessageError("cursor", fields.cursor, expected) from None


def _further(path: str, text: str, cursor: str | None) -> str:
    return forms.write_fields(path, {"text": text, "cursor": cursor}) if cursor else ""
