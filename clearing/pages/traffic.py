"""What goes on between groups: flows, what is under way, links, alarms, a transfer."""

import msgspec
from aiohttp import web

from clearing.api.links import LinksApi
from clearing.api.transfers import DAYS, DAYS_MAX, TransfersApi
from clearing.pages.chord import Chord, chord
from clearing.pages.link_words import link_words
from clearing.pages.pictures import matrix
from protocol.address import UUID
from protocol.errors import MalformedMessageError
from protocol.peer.clock import Clock
from protocol.peer.web import forms
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import Route
from protocol.transfer import State

#: Spans that may be chosen, days; the last is all that there ever was.
SPANS = (7, DAYS, 365, DAYS_MAX)
#: A matrix of more groups than this is read by nobody; the list has them all.
_MATRIX_MAX = 16
#: One of more than this has room for whole hours alone.
_EXACT_MAX = 5
_LISTED_MAX = 100
_ALARMS = 20


class FlowFields(msgspec.Struct, frozen=True):
    """Of how many days."""

    days: str


class FindFields(msgspec.Struct, frozen=True):
    """Which transfer."""

    id: str


class AlarmFields(msgspec.Struct, frozen=True):
    """From where on."""

    cursor: str


class TrafficPages:
    """Pages about what goes on.

    Args:
        pages: shows them.
        transfers: knows flows and transfers.
        links: knows links.
        alarms: what people must look at.
        clock: the wall clock.
    """

    def __init__(
        self,
        pages: Pages,
        transfers: TransfersApi,
        links: LinksApi,
        alarms: AlarmApi,
        clock: Clock,
    ) -> None:
        self._pages = pages
        self._transfers = transfers
        self._links = links
        self._alarms = alarms
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", "/flows", self.get_flows, "admin"),
            page("GET", "/transfers", self.get_transfers, "admin"),
            page("GET", "/transfers/{id}", self.get_transfer, "admin"),
            page("GET", "/links", self.get_links, "admin"),
            page("GET", "/alarms", self.get_alarms, "admin"),
        ]

    async def get_flows(self, request: web.Request) -> web.Response:
        """Show what groups gave each other, as a matrix and as a list."""
        typed = forms.read_address_fields(request, FlowFields).days
        days = next((one for one in SPANS if str(one) == typed), DAYS)
        found = await self._transfers.flows(days)
        names, cells = matrix(found.flows)
        picture = chord(found.flows, _LISTED_MAX)
        return self._pages.show(
            request,
            "flows.html",
            flows=found.flows[:_LISTED_MAX],
            left_out=len(found.flows[_LISTED_MAX:]),
            chord=picture,
            told="" if picture is None else self._told(request, picture),
            together=sum(one.milliseconds for one in found.flows),
            names=names if len(names) <= _MATRIX_MAX else [],
            cells=cells,
            is_wide=len(names) > _EXACT_MAX,
            days=days,
            spans=SPANS,
        )

    def _told(self, request: web.Request, picture: Chord) -> str:
        """Say in words what a picture shows, for whoever does not see it."""
        figures, most = self._pages.figures(request), picture.ribbons[0].flow
        return self._pages.say(
            request,
            "flows.chord-told",
            groups=figures.number(len(picture.arcs)),
            hours=figures.hours(sum(one.paid for one in picture.arcs)),
            payer=most.payer_group,
            payee=most.payee_group,
            most=figures.hours(most.milliseconds),
        )

    async def get_transfers(self, request: web.Request) -> web.Response:
        """Show what is under way by age, and find a transfer by its number."""
        typed = forms.read_address_fields(request, FindFields).id
        wanted, error = "".join(typed.split()).lower(), ""
        if wanted:
            try:
                if UUID.fullmatch(wanted):
                    await self._transfers.transfer(wanted)
                    return see_other(f"/transfers/{wanted}")
                error = self._pages.say(request, "transfers.no-number")
            except Problem as problem:
                if problem.status != 404:
                    raise
                error = self._pages.say(request, "transfers.not-found")
        return self._pages.show(
            request,
            "transfers.html",
            status=422 if error else 200,
            found=await self._transfers.under_way(),
            now=self._clock.now(),
            typed=typed,
            error=error,
        )

    async def get_transfer(self, request: web.Request) -> web.Response:
        """Show one transfer with all its items, signatures and times."""
        found = await self._transfers.transfer(request.match_info["id"])
        return self._pages.show(
            request,
            "transfer.html",
            transfer=found,
            reason=(
                self._pages.refusal(request, Problem(409, "", "", code=found.code))
                if found.code
                else ""
            ),
            is_cleared=found.state == State.CLEARED,
        )

    async def get_links(self, request: web.Request) -> web.Response:
        """Show who was heard when, and what waits for whom."""
        found = (await self._links.links()).links
        told = link_words(found)
        return self._pages.show(
            request,
            "links.html",
            # Of forty, the one that stands still is not to be looked for.
            links=sorted(found, key=lambda one: told[one.group] == "compared"),
            words_of=told,
            now=self._clock.now(),
        )

    async def get_alarms(self, request: web.Request) -> web.Response:
        """Show what no program may decide, newest first."""
        cursor = forms.read_address_fields(request, AlarmFields).cursor
        try:
            query = msgspec.convert(
                {"cursor": cursor or None, "page_size": _ALARMS}, PageQuery
            )
        except msgspec.ValidationError:
            expected = "a place in the list"
            raise MalformedMessageError("cursor", cursor, expected) from None
        found = await self._alarms.alarms(query, request[VISIT].language)
        older = {"cursor": found.cursor} if found.cursor else {}
        return self._pages.show(
            request,
            "alarms.html",
            alarms=found.alarms,
            older=forms.write_fields("/alarms", older) if older else "",
        )
