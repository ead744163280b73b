"""How the links stand: who was heard when, and what still waits for whom."""

import msgspec
from aiohttp import web

from clearing import desk_store
from clearing.desk_store import LinkRow
from clearing.house import HubHouse
from protocol.address import Group
from protocol.instant import Instant, write_instant
from protocol.peer.clerk import Clerk, link_state
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import Route

#: A node asks at least this often; after so long without a word it is silent.
SILENT_MS = 2 * 60_000
#: And whoever is heard acknowledges sooner than this, or lags behind.
LAGGING_MS = 2 * 60_000


class LinkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One link.

    ``heard`` is when the node's newest cover came since this hub was started, and
    ``taken`` when its newest items came, ever. ``waiting`` counts items that it has
    not acknowledged, the oldest of them sealed at ``waiting_since``: "" while it
    waits to be sealed, or when none waits.
    """

    group: str
    name: str
    state: str
    heard: str
    taken: str
    is_silent: bool
    is_lagging: bool
    items_taken: int
    waiting: int
    waiting_since: str


class LinksAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All links, by group."""

    links: list[LinkAnswer]


class LinksApi:
    """The handler.

    Args:
        house: knows names.
        clerk: knows who was heard.
        database: read only here.
        clock: the wall clock.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, database: Database, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/links",
                handler=self.get_links,
                told="Every link: when its node was last heard, and what waits for it.",
                scope="admin",
                answer=LinksAnswer,
            )
        ]

    async def get_links(self, _request: web.Request) -> web.Response:
        """Give all links."""
        return json_response(await self.links())

    async def links(self) -> LinksAnswer:
        """Give all links, as answers show them."""
        self._clerk.check_ready()
        async with self._database.readers.acquire() as connection:
            rows = await desk_store.read_links(connection)
        known = self._clerk.links
        return LinksAnswer(
            links=[
                self._answer(row)
                for row in rows
                # One that is being admitted just now is shown next time.
                if row.peer in known and Group(row.peer) in self._house.directory
            ]
        )

    def _answer(self, row: LinkRow) -> LinkAnswer:
        heard, now = self._clerk.heard_at(row.peer), self._clock.now()
        is_silent = heard is None or now - heard > SILENT_MS
        is_late = row.sealed_at is not None and now - row.sealed_at > LAGGING_MS
        return LinkAnswer(
            group=row.peer,
            name=self._house.directory[Group(row.peer)].entry.name,
            state=link_state(self._clerk.links[row.peer]),
            heard=_written(heard),
            taken=_written(row.taken_at),
            is_silent=is_silent,
            is_lagging=is_late and not is_silent,
            items_taken=row.taken,
            waiting=row.waiting,
            waiting_since=_written(row.sealed_at),
        )


def _written(at: Instant | None) -> str:
    return "" if at is None else write_instant(at)
