"""From which share of a limit on this group's treasurer is warned."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes.house import NodeHouse
from nodes.rules import SetWarnPercent
from protocol.limit_warning import LimitWarning
from protocol.peer.clerk import Clerk
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import TREASURER, Route

_PATH = "/api/v1/group/warning"


class WarningRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From which share of a limit on, percent."""

    percent: Annotated[int, Meta(ge=1, le=100)]


class WarningAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """From which share of a limit on people are warned, and of what they are now."""

    percent: int
    warning: LimitWarning | None


_decoder = msgspec.json.Decoder(WarningRequest)


class WarningApi:
    """The handlers, one method each.

    Args:
        house: knows position and limits.
        clerk: keeps what is set.
    """

    def __init__(self, house: NodeHouse, clerk: Clerk) -> None:
        self._house = house
        self._clerk = clerk

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path=_PATH,
                handler=self.get_warning,
                told="From which share of a limit on people are warned, percent.",
                scope=TREASURER,
                answer=WarningAnswer,
            ),
            Route(
                method="POST",
                path=_PATH,
                handler=self.post_warning,
                told="Set from which share of a limit on people are warned.",
                scope=TREASURER,
                body=WarningRequest,
                answer=WarningAnswer,
            ),
        ]

    async def get_warning(self, _request: web.Request) -> web.Response:
        """Say from when on people are warned."""
        return json_response(self.standing())

    async def post_warning(self, request: web.Request) -> web.Response:
        """Set from when on; the same again changes nothing."""
        asked = await read_json(request, _decoder)
        await self.set(caller_of(request).person_id, asked.percent)
        return json_response(self.standing())

    async def set(self, author: str, percent: int) -> None:
        """Keep from when on people are warned; ``percent`` is 1 to 100."""
        self._clerk.check_may_change()
        await self._clerk.take(SetWarnPercent(author=author, percent=percent))

    def standing(self) -> WarningAnswer:
        """Say from when on people are warned, as answers show it."""
        self._clerk.check_ready()
        house = self._house
        is_known = house.own in house.directory
        warning = house.limit_warning(house.position) if is_known else None
        return WarningAnswer(percent=house.warn_percent, warning=warning)
