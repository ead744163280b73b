"""Gives a cycle file to the group that asks for it under its own signature.

So no group must get it from the regional admin. It is the same file as hers, and
nobody has to believe it: whoever receives it verifies it.
"""

from aiohttp import web

from clearing.api.cycles import CyclesApi
from clearing.house import HubHouse
from protocol.address import Group
from protocol.cycle_file import MEDIA_TYPE
from protocol.cycle_request import (
    REQUEST_LENGTH_MAX,
    check_cycle_request,
    read_cycle_request,
)
from protocol.directory import entry_key
from protocol.errors import NotSignedError
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import read_body
from protocol.peer.web.sign_in import Throttle

#: A file is work: each group's signature is verified once more.
PER_MINUTE_MAX = 6


class CycleRequests:
    """The handler.

    Args:
        house: knows the groups' keys.
        clerk: knows whether this server is open.
        clock: the hub's time.
        cycles: writes the file, one at once.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, clock: Clock, cycles: CyclesApi
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._clock = clock
        self._cycles = cycles
        self._throttle = Throttle(clock, window_s=60.0)

    def routes(self) -> list[web.RouteDef]:
        """List what groups' servers ask."""
        return [web.post("/federation/v1/cycle-file", self.post_cycle_file)]

    async def post_cycle_file(self, request: web.Request) -> web.Response:
        """Give the file that proves how a cycle was closed."""
        raw = await read_body(request, REQUEST_LENGTH_MAX)
        asked, parts = read_cycle_request(raw, self._house.federation)
        self._clerk.check_ready()
        record = self._house.directory.get(Group(asked.group))
        if record is None:
            raise NotSignedError("cycle request: of no group here")
        public = entry_key(record.entry.keys, "signing")
        check_cycle_request(asked, parts, public, self._clock.now())
        # Behind the signature: nobody uses up another group's turns.
        wait_s = self._throttle.wait_s(asked.group, PER_MINUTE_MAX)
        if wait_s:
            told = "This group has asked for many files; please wait a moment."
            raise Problem(
                429, "too-many-files", told, headers={"Retry-After": str(wait_s)}
            )
        body = await self._cycles.file(asked.cycle)
        return web.Response(
            body=body, content_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"}
        )
