"""What every server answers to machines: health, metrics, and the hub's end of links.

A request of a node is verified, handed to the clerk, and answered with a fresh
cover and whatever waits for that node. No HTTP status moves anything; only
verified envelopes do (protocol, section 5).
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from protocol.address import Group
from protocol.envelope import BODY_LENGTH_MAX, MEDIA_TYPE, Body, open_body
from protocol.errors import OutageError
from protocol.instant import Instant, write_instant
from protocol.peer.batch import Arrival, OtherKey, Stale
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import AWAY, Database
from protocol.peer.metrics import CONTENT_TYPE, Metrics
from protocol.peer.web import words
from protocol.peer.web.problems import Problem, language_of
from protocol.peer.web.requests import json_response, read_body, wait_preference

#: Longest that an answer is held back, seconds.
WAIT_S_MAX = 25
#: The code stands behind the "#", where no server sees it.
_WELCOME = """Welcome to Interlets.

What stands behind the # in this link is your one-time code. Pages to sign in are
not built yet; a program trades the code for a token, once:

    POST /api/v1/tokens   {"code": "..."}
"""
_LOOPBACK = ("127.0.0.1", "::1")
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Endpoint:
    """Health and metrics of one server.

    Args:
        clerk: whose readiness is told.
        database: asked whether it answers.
        metrics: what is shown.
    """

    def __init__(self, clerk: Clerk, database: Database, metrics: Metrics) -> None:
        self._clerk = clerk
        self._database = database
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """List what every server answers."""
        return [
            web.get("/healthz", self.get_health),
            web.get("/readyz", self.get_readiness),
            web.get("/metrics", self.get_metrics),
        ]

    def welcome(self) -> web.RouteDef:
        """Give what a server without pages answers where a one-time link leads."""
        return web.get("/welcome", self.get_welcome)

    async def get_welcome(self, _request: web.Request) -> web.Response:
        """Tell whoever follows a one-time link what to do with it."""
        return web.Response(text=_WELCOME)

    async def get_health(self, _request: web.Request) -> web.Response:
        """Say that the process is alive."""
        return json_response({"alive": True})

    async def get_readiness(self, request: web.Request) -> web.Response:
        """Say whether the database answers and this process is the clerk.

        A server that was restored is not ready until it has compared.
        """
        try:
            async with self._database.readers.acquire(timeout=2) as connection:
                await connection.fetchval("SELECT 1", timeout=2)
            is_up = True
        except (OutageError, TimeoutError, *AWAY):
            is_up = False
        is_ready = is_up and self._clerk.is_ready
        told = {"ready": is_ready, "database": is_up, "clerk": self._clerk.is_ready}
        restored = self._clerk.restored
        if restored is not None:
            return json_response(
                {
                    **told,
                    "ready": False,
                    "restored": write_instant(restored.at),
                    "backup": write_instant(restored.backup_at),
                    "waits_for": self._clerk.waits_for(),
                    "told": words.alarm("restored", language_of(request)),
                },
                status=503,
            )
        return json_response(told, status=200 if is_ready else 503)

    async def get_metrics(self, request: web.Request) -> web.Response:
        """Show the metrics, to this machine only."""
        # A proxy on this machine speaks for strangers, and says so.
        is_forwarded = any(name in request.headers for name in _FORWARDED)
        if request.remote not in _LOOPBACK or is_forwarded:
            raise web.HTTPNotFound
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE}
        )


class LinkEndpoint:
    """The hub's end of every link.

    Args:
        clerk: takes what arrives and speaks for us.
        clock: the wall clock.
        must_wait: whether a group has used up its quota.
        hear: told of each body whose cover was taken, and what stood behind it.
    """

    def __init__(
        self,
        clerk: Clerk,
        clock: Clock,
        must_wait: Callable[[str, Instant], bool],
        hear: Callable[[Group, Body], None],
    ) -> None:
        self._clerk = clerk
        self._clock = clock
        self._must_wait = must_wait
        self._hear = hear
        #: By peer, the one request that waits; a newer one sends it home.
        self._parked: dict[str, object] = {}
        self._is_closing = False

    async def post_link(self, request: web.Request) -> web.Response:
        """Take a node's request, and answer with what waits for it."""
        if request.content_type != MEDIA_TYPE:
            raise Problem(
                415,
                "unsupported-media-type",
                f"Found {request.content_type}; expected {MEDIA_TYPE}.",
            )
        raw = await read_body(request, BODY_LENGTH_MAX)
        # Before that nobody's keys are known here, and everyone would be told so.
        self._clerk.check_ready()
        house = self._clerk.house
        body = open_body(raw, house.keyring, house.federation, house.own)
        peer = Group(body.cover.payload.from_)
        self._clerk.link(peer)
        if body.envelopes and self._must_wait(peer, self._clock.now()):
            # Nothing is taken, so the cover acknowledges none of it (section 7).
            await self._clerk.may_speak(peer)
            return web.Response(
                status=429,
                body=self._clerk.speak(peer),
                content_type=MEDIA_TYPE,
                headers={"Retry-After": "600"},
            )
        outcome = await self._clerk.take(Arrival(peer, body))
        if isinstance(outcome, Stale):
            raise Problem(
                401,
                "stale-cover",
                "The cover is too old, or a newer one overtook it; or a clock is off.",
                extra={"now": write_instant(outcome.now)},
            )
        if isinstance(outcome, OtherKey):
            told = "The cover is not signed by the group's key in force."
            raise Problem(401, "not-signed", told)
        # Only now is the cover known to be no old one played again.
        self._hear(peer, body)
        wait_s = wait_preference(request, WAIT_S_MAX)
        if wait_s:
            await self._park(peer, wait_s)
        await self._clerk.may_speak(peer)
        return web.Response(body=self._clerk.speak(peer), content_type=MEDIA_TYPE)

    async def _park(self, peer: str, wait_s: int) -> None:
        """Hold an answer back until there is something to say."""
        mine = object()
        if peer in self._parked:
            self._parked.pop(peer)
            self._clerk.ring(peer)
        self._parked[peer] = mine
        try:
            async with asyncio.timeout(wait_s):
                while self._parked.get(peer) is mine and not self._is_closing:
                    news = self._clerk.news(peer)
                    has_compared = self._clerk.link(peer).has_compared
                    if self._clerk.has_news(peer) or not has_compared:
                        return
                    await news.wait()
        except TimeoutError:
            return
        finally:
            if self._parked.get(peer) is mine:
                del self._parked[peer]

    async def close(self, _app: web.Application) -> None:
        """Send every waiting request home: a parked handler outlives its client."""
        self._is_closing = True
        for peer in list(self._parked):
            self._clerk.ring(peer)
