"""What our group bears together with others, or is to, and how it was computed."""

from typing import NamedTuple

from aiohttp import web

from nodes.api.cycles import leg_id_of
from nodes.api.shares import AgreedAnswer, SharedAnswer, SharesApi
from nodes.cycle_desk import CycleDesk
from protocol.messages import Share
from protocol.peer.web.figures import Figures
from protocol.peer.web.pages import Pages
from protocol.peer.web.routes import TREASURER, Route

SHARES = "/treasurer/shares"
_SIZE = 100
#: So many millionths are one percent.
_PERCENT = 10_000


class Charge(NamedTuple):
    """The agreed charge, in percent as people read it."""

    rate: str
    threshold: str


class SharesPages:
    """Pages about what groups share, for a treasurer; nothing there is to be done.

    Args:
        pages: shows them.
        api: reads.
        desk: knows groups' names.
    """

    def __init__(self, pages: Pages, api: SharesApi, desk: CycleDesk) -> None:
        self._pages = pages
        self._api = api
        self._desk = desk

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", SHARES, self.get_shares, TREASURER),
            page("GET", f"{SHARES}/{{id}}", self.get_shared, TREASURER),
        ]

    async def get_shares(self, request: web.Request) -> web.Response:
        """Show what was agreed, what waits, and what was decided."""
        found = await self._api.shares(_SIZE + 1)
        write = self._pages.figures(request)
        shown = found.shared[:_SIZE]
        return self._pages.show(
            request,
            "shares.html",
            agreed=found.agreed,
            charge=None if found.agreed is None else _charge(write, found.agreed),
            lists={
                "waiting": [one for one in shown if one.state == "told"],
                "decided": [one for one in shown if one.state == "decided"],
            },
            has_more=len(found.shared) > _SIZE,
            name_of=self._desk.name_of,
        )

    async def get_shared(self, request: web.Request) -> web.Response:
        """Show one: our part, and what it follows from."""
        # Legs and sharings are named alike, by a UUID.
        own = await self._api.shared(leg_id_of(request))
        return self._pages.show(
            request,
            "shared.html",
            own=own,
            group=self._desk.group,
            total=_total(own),
            measure=sum(one.measure for one in own.shares),
            rows=_rows(own, self._desk.group),
            name_of=self._desk.name_of,
        )


def _charge(write: Figures, agreed: AgreedAnswer) -> Charge | None:
    if not agreed.charge_rate:
        return None
    return Charge(
        _percent(write, agreed.charge_rate), _percent(write, agreed.charge_threshold)
    )


def _percent(write: Figures, millionths: int) -> str:
    """Write a part of a whole in percent, with no digits for nothing."""
    whole, rest = divmod(millionths, _PERCENT)
    return write.number(whole) if not rest else write.number(millionths, 4).rstrip("0")


def _total(own: SharedAnswer) -> int:
    return sum(one.amount for one in own.shares)


def _rows(own: SharedAnswer, group: str) -> list[Share]:
    """List all groups, ours first: that is what a treasurer looks for."""
    return sorted(own.shares, key=lambda one: (one.group != group, one.group))
