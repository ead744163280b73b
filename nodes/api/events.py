"""A member's story as it happens: server-sent events (WHATWG HTML, section 9.2).

A stream is woken by the clerk and reads for itself what has happened
(``nodes.api.news``). Its client may go away at any time and come back with
``Last-Event-ID``: nothing is missed, and nothing is told twice.
"""

import asyncio
import logging
from typing import Protocol

import msgspec
from aiohttp import web

from nodes.api.account import AccountAnswer
from nodes.api.news import News, Place, Told, read_place, write_place
from nodes.listeners import Listener, Listeners
from nodes.payments import Payments
from protocol.errors import InterletsError, MalformedMessageError
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk
from protocol.peer.database import AWAY
from protocol.peer.web.problems import Problem, language_of
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route
from protocol.peer.web.words import Language

_LOG = logging.getLogger(__name__)
_MEDIA_TYPE = "text/event-stream"
#: No store keeps it, and nginx hands each event on at once.
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
HEARTBEAT_S = 15.0
#: On a busy account events are told together, at most so often.
_PACE_S = 0.1
#: How often a stream looks whether a clerk that was away is back.
_OPENING_S = 0.5
#: Who takes nothing for so long is sent home, and may come back where it was. Until
#: then at most 128 KiB wait for it here.
_WRITE_S_MAX = 10.0
_RETRY = b"retry: 3000\n\n"
_HEARTBEAT = b":\n\n"


class KnowsCallers(Protocol):
    """Says who asks, as long as that counts: the door of programs, or of pages."""

    async def caller(self, request: web.Request) -> Caller | None:
        """Say who asks now; ``None`` when token or session count no more."""


class EventsApi:
    """Members' streams.

    Args:
        payments: knows members.
        news: reads what has happened.
        listeners: says when to read.
        clerk: without it nothing happens here.
        door: asked again and again whether a stream's token or session counts.
        heartbeat_s: how often, and how often a sign of life is sent.
    """

    def __init__(
        self,
        payments: Payments,
        news: News,
        listeners: Listeners,
        clerk: Clerk,
        door: KnowsCallers,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._payments = payments
        self._news = news
        self._listeners = listeners
        self._clerk = clerk
        self._door = door
        self._heartbeat_s = heartbeat_s

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/events",
                handler=self.get_events,
                told=(
                    "What happens on the caller's account, as it happens: "
                    "`payment` (a TransferAnswer), `entry` (an EntryAnswer), and "
                    "`account` (an AccountAnswer) at the start and after changes."
                ),
                scope="read",
                answer=str,
                media_type=_MEDIA_TYPE,
                may_resume=True,
            ),
        ]

    async def get_events(self, request: web.Request) -> web.StreamResponse:
        """Tell a member what happens until she goes, or we do."""
        known = _read_known(request)
        caller = caller_of(request)
        account_id = (await self._payments.account(caller)).account.account_id
        self._payments.own_record()
        response = web.StreamResponse(headers=_HEADERS)
        response.content_type = _MEDIA_TYPE
        if request.method == "HEAD":
            return response
        place = await self._news.begin(account_id, known)
        listener = self._listeners.add(account_id)
        if listener is None:
            raise Problem(
                503,
                "too-many-streams",
                "Too many listen already; try again in a while.",
                headers={"Retry-After": "30"},
            )
        stream = _Stream(request, response)
        try:
            await stream.begin()
            await self._tell(listener, stream, caller, place, language_of(request))
        except (Problem, InterletsError, TimeoutError, *AWAY) as error:
            # The client comes back, and is told then what is wrong.
            _LOG.debug("a stream ends early: %r", error)
        finally:
            self._listeners.remove(listener)
        await stream.end()
        return response

    async def _tell(
        self,
        listener: Listener,
        stream: "_Stream",
        caller: Caller,
        place: Place,
        language: Language,
    ) -> None:
        now_s = asyncio.get_running_loop().time
        shown: AccountAnswer | None = None
        check_at = now_s() + self._heartbeat_s
        while not listener.is_over:
            wait_s = check_at - now_s()
            if wait_s <= 0 or not await listener.has_news(wait_s):
                if not await self._may_go_on(stream.request, caller):
                    return
                await stream.write(_HEARTBEAT)
                check_at = now_s() + self._heartbeat_s
                continue
            if not self._clerk.is_ready:
                # Woken a moment before the ledger is open again.
                await asyncio.sleep(_OPENING_S)
                listener.wake()
                continue
            page = await self._news.read(caller, place, language)
            for told in page.told:
                await stream.write(_event(told))
            place = page.place
            if page.account is None:
                listener.wake()
                continue
            if page.account != shown:
                shown = page.account
                data = msgspec.json.encode(shown)
                await stream.write(_event(Told("account", data, place)))
            await asyncio.sleep(_PACE_S)

    async def _may_go_on(self, request: web.Request, caller: Caller) -> bool:
        """Say whether the token still counts, and whether news would come here."""
        if not self._clerk.is_ready:
            return False
        return await self._door.caller(request) == caller

    async def close(self, _app: web.Application) -> None:
        """Send every stream home: a handler that waits outlives its client."""
        self._listeners.close()


class _Stream:
    """One answer that goes on and on, to a reader who may be slow or gone."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self.request = request
        self._response = response

    async def begin(self) -> None:
        await self._response.prepare(self.request)
        await self.write(_RETRY)

    async def write(self, text: bytes) -> None:
        """Write, and wait for a reader who is slow.

        Raises:
            TimeoutError: she took nothing for too long, and was cut off.
        """
        try:
            async with asyncio.timeout(_WRITE_S_MAX):
                await self._response.write(text)
        except TimeoutError:
            self._cut_off()
            raise

    async def end(self) -> None:
        """Say the last word, to a reader who may not even take that."""
        if not self._response.prepared:
            return
        try:
            async with asyncio.timeout(_WRITE_S_MAX):
                await self._response.write_eof()
        except TimeoutError:
            self._cut_off()
        except ConnectionError:
            _LOG.debug("a stream's reader has gone")

    def _cut_off(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()


def _read_known(request: web.Request) -> Place | None:
    """Read up to where the client knows its member's story."""
    found = request.headers.getall("Last-Event-ID", [])
    if len(found) > 1:
        raise MalformedMessageError("Last-Event-ID", found, "one such header")
    return read_place(found[0]) if found else None


def _event(told: Told) -> bytes:
    # JSON is one line: what is no ASCII control character needs no care here.
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        write_place(told.place).encode(),
        told.name.encode(),
        told.data,
    )
