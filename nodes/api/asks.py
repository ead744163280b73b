"""Asking for a payment with a link, and opening one."""

import msgspec
from aiohttp import web

from nodes.asks import AskAnswer, AskRequest, Asks, OpenAskAnswer, OpenAskRequest
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import Route

_ask_decoder = msgspec.json.Decoder(AskRequest)
_open_decoder = msgspec.json.Decoder(OpenAskRequest)


class AskApi:
    """Asking.

    Args:
        asks: makes and opens them.
    """

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="POST",
                path="/api/v1/asks",
                handler=self.post_ask,
                told="A signed link, and its QR code, that asks anyone for a payment.",
                # It speaks in her name, which a token for reading may not.
                scope="pay",
                body=AskRequest,
                answer=AskAnswer,
                status=201,
            ),
            Route(
                method="POST",
                path="/api/v1/asks/open",
                handler=self.post_open,
                told="Who asks for what behind a link, and what it would cost.",
                scope="read",
                body=OpenAskRequest,
                answer=OpenAskAnswer,
            ),
        ]

    async def post_ask(self, request: web.Request) -> web.Response:
        """Make a link that asks for a payment."""
        caller = caller_of(request)
        wanted = await read_json(request, _ask_decoder)
        return json_response(await self._asks.make(caller, wanted), status=201)

    async def post_open(self, request: web.Request) -> web.Response:
        """Open a link that asks for a payment."""
        caller = caller_of(request)
        given = await read_json(request, _open_decoder)
        return json_response(await self._asks.open(caller, given.ask))
