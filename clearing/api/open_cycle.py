"""The cycle that is open: how positions go in it, and what would hold up its end."""

import msgspec
from aiohttp import web

from clearing import cycle_store
from clearing.house import HubHouse
from clearing.rules import RESERVE, who_holds_up
from protocol.address import Group
from protocol.instant import write_nullable
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import Route


class OpenLine(msgspec.Struct, frozen=True, kw_only=True):
    """How one group's position has gone since the cycle began; milliseconds.

    ``count`` decisions took ``debits`` from it and added ``credits``.
    """

    group: str
    name: str
    state: str
    opening: int
    debits: int
    credits: int
    count: int
    position: int


class OpenCycleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The cycle that is open.

    ``since`` is when the one before ended, or of the first one, when this hub made its
    first decision; ``sum`` is that of all positions with the ``reserve``'s, and zero.
    Who ``holds_up`` lets no cycle end. Legs in ``lapsing`` lack a word, and are void
    with its end.
    """

    cycle: int
    since: str | None
    moves: int
    groups: list[OpenLine]
    reserve: int
    sum: int
    holds_up: list[str]
    lapsing: list[str]


class OpenCycleApi:
    """The handlers, one method each.

    Args:
        house: knows how positions go.
        clerk: knows links.
        database: only read.
    """

    def __init__(self, house: HubHouse, clerk: Clerk, database: Database) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/cycles/open",
                handler=self.get_open,
                told="The cycle that is open, and what would hold up its end.",
                scope="admin",
                answer=OpenCycleAnswer,
            )
        ]

    async def get_open(self, _request: web.Request) -> web.Response:
        """Give the open cycle."""
        return json_response(await self.open_cycle())

    async def open_cycle(self) -> OpenCycleAnswer:
        """Give the open cycle, as answers show it."""
        self._clerk.check_ready()
        former = self._house.closed
        if former is None:
            async with self._database.readers.acquire() as connection:
                since = await cycle_store.read_beginning(connection)
        else:
            since = former.at
        # From here on nothing waits, so that all of it is of one moment.
        house = self._house
        lines = [self._line(group) for group in sorted(house.directory)]
        reserve = house.running(RESERVE)
        held = reserve.opening + reserve.tally.net
        return OpenCycleAnswer(
            cycle=1 if house.closed is None else house.closed.cycle + 1,
            since=write_nullable(since),
            moves=sum(one.count for one in lines),
            groups=lines,
            reserve=held,
            sum=sum(one.position for one in lines) + held,
            holds_up=list(who_holds_up(house.directory, self._clerk.links)),
            lapsing=[leg.leg_id for leg in house.legs.values() if not leg.is_signed],
        )

    def _line(self, group: Group) -> OpenLine:
        running, record = self._house.running(group), self._house.directory[group]
        return OpenLine(
            group=group,
            name=record.entry.name,
            state=record.state,
            opening=running.opening,
            debits=running.tally.debits,
            credits=running.tally.credits,
            count=running.tally.count,
            position=running.opening + running.tally.net,
        )
