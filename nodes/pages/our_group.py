"""What every member may know of her group: where it stands, and what it bears."""

from aiohttp import web

from nodes.api.shares import SharesApi
from nodes.cycle_desk import CycleDesk
from nodes.payments import Payments
from protocol.peer.web.pages import Pages
from protocol.peer.web.pictures import gauge
from protocol.peer.web.routes import Route

OUR_GROUP = "/our-group"
#: So many that the group bears are listed, the newest first.
_BORNE = 20


class OurGroupPages:
    """The group among the others, in words for everybody in it.

    What it owes is owed by all its members together, so all may see it; the accounts
    of others, payments under way and what waits for treasurers are not shown.

    Args:
        pages: shows it.
        payments: knows the own group's entry and position.
        shares: knows what the group bears together with others.
        desk: knows groups' names.
    """

    def __init__(
        self, pages: Pages, payments: Payments, shares: SharesApi, desk: CycleDesk
    ) -> None:
        self._pages = pages
        self._payments = payments
        self._shares = shares
        self._desk = desk

    def routes(self) -> list[Route]:
        """List the page."""
        return [Route.page("GET", OUR_GROUP, self.get_our_group, "read")]

    async def get_our_group(self, request: web.Request) -> web.Response:
        """Show where the group stands with the others, and what it bears."""
        own, position = self._payments.own_record(), self._payments.own_position()
        return self._pages.show(
            request,
            "our-group.html",
            own=own,
            position=position,
            gauge=gauge(own.floor, position, own.ceiling),
            standing=self._payments.own_standing(),
            borne=await self._shares.decided(_BORNE),
            name_of=self._desk.name_of,
        )
