"""What a treasurer sees first: that all sums to zero, and where the group stands."""

from aiohttp import web

from nodes.api.group import GroupApi
from nodes.cycle_desk import CycleDesk
from nodes.pages.typed import may_act
from nodes.payments import Payments
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.pages import VISIT, Pages
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.pictures import gauge
from protocol.peer.web.routes import TREASURER, Route

HOME = "/treasurer"
_ALARMS = 5
#: Disputes and legs, of each; all of them are a step further.
_WAITS = 5


class TreasurerPages:
    """A treasurer's first page.

    Args:
        pages: shows it.
        group: the whole ledger's figures.
        alarms: reads what people must look at.
        payments: knows the own group's entry.
        cycles: knows what waits for her.
    """

    def __init__(
        self,
        pages: Pages,
        group: GroupApi,
        alarms: AlarmApi,
        payments: Payments,
        cycles: CycleDesk,
    ) -> None:
        self._pages = pages
        self._group = group
        self._alarms = alarms
        self._payments = payments
        self._cycles = cycles

    def routes(self) -> list[Route]:
        """List the pages."""
        return [Route.page("GET", HOME, self.get_treasurer, TREASURER)]

    async def get_treasurer(self, request: web.Request) -> web.Response:
        """Show how the group stands, by itself and with the others."""
        found, own = await self._group.group(), self._payments.own_record()
        query = PageQuery(page_size=_ALARMS)
        alarms = await self._alarms.alarms(query, request[VISIT].language)
        waits = await self._cycles.waits(_WAITS)
        position = -found.clearing
        return self._pages.show(
            request,
            "treasurer.html",
            group=found,
            own=own,
            position=position,
            alarms=alarms.alarms,
            waits=waits,
            name_of=self._cycles.name_of,
            gauge=gauge(own.floor, position, own.ceiling),
            may_act=may_act(request),
        )
