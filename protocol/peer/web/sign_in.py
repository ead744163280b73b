"""Signing in: a password or a one-time code for a bearer token.

Guessing is slowed per account and per address, and nobody is locked out. A
wrong name takes as long, and is answered in the same words, as a wrong password.
"""

import asyncio
import re
from collections import deque
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from protocol.instant import Instant, write_instant
from protocol.peer import access_store
from protocol.peer.access_store import Caller
from protocol.peer.clock import Clock
from protocol.peer.database import AnyConnection, Database
from protocol.peer.recent import Recent
from protocol.peer.web.problems import Handler, Problem
from protocol.peer.web.requests import CALLER, json_response, read_json

_TRIES_PER_PAIR = 10
_TRIES_PER_ADDRESS = 60
_WINDOW_S = 300.0
_KEPT_MAX = 10_000
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")
MEMBER_SCOPES = ("pay", "read")
SIGN_IN_NAME = re.compile(r"[a-z0-9._-]{0,32}")


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name and password, or a one-time code.

    ``scopes`` narrows what the token may do; with a password it also adds ``batch``
    for a program.
    """

    name: Annotated[str, Meta(pattern=rf"^{SIGN_IN_NAME.pattern}\Z")] = ""
    password: Annotated[str, Meta(max_length=1000)] = ""
    code: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,100}\Z")] = ""
    scopes: list[Literal["batch", "pay", "read"]] = []


class TokenAnswer(msgspec.Struct, frozen=True):
    """A bearer token, shown only now."""

    token: str
    scopes: list[str]
    until: str


_decoder = msgspec.json.Decoder(SignIn)


def _narrowed(asked: SignIn, scopes: frozenset[str]) -> frozenset[str]:
    """Give the scopes asked for; a code gives none that it was not made with."""
    wanted = frozenset[str](asked.scopes)
    if asked.code and not wanted <= scopes:
        told = f"Found scopes {sorted(wanted)}; this code gives {sorted(scopes)}."
        raise Problem(400, "scopes-beyond-code", told)
    return wanted


class Throttle:
    """Counts tries in a sliding window; forgets the oldest keys first."""

    def __init__(self, clock: Clock, window_s: float = _WINDOW_S) -> None:
        self._clock = clock
        self._window_s = window_s
        self._tries = Recent[object, deque[float]](_KEPT_MAX)

    def wait_s(self, key: object, most: int) -> int:
        """Note a try; gives the seconds to wait, 0 when it may go on."""
        now = self._clock.monotonic_s()
        tries = self._tries.find(key) or deque()
        while tries and now - tries[0] > self._window_s:
            tries.popleft()
        self._tries.keep(key, tries)
        if len(tries) >= most:
            return int(self._window_s - (now - tries[0])) + 1
        tries.append(now)
        return 0


class Door:
    """Lets people in and says who they are.

    Args:
        database: where people and tokens are kept.
        clock: the wall clock.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._throttle = Throttle(clock)
        # Argon2id takes 19 MiB and a core each time: two at once are enough.
        self._hashing = asyncio.Semaphore(2)

    async def post_token(self, request: web.Request) -> web.Response:
        """Give a token for a password or a one-time code."""
        asked = await read_json(request, _decoder)
        self.check_pace(request.remote or "", asked)
        async with (
            self._database.desk.acquire() as connection,
            # A code that gives no token, because too much is asked, is not used up.
            connection.transaction(),
        ):
            now = self._clock.now()
            found = await self.find(connection, asked, now)
            if found is None:
                raise Problem(
                    401,
                    "sign-in-failed",
                    "The name or the password is not right; or the code was used.",
                )
            person_id, scopes = found
            if asked.scopes:
                scopes = _narrowed(asked, scopes)
            token, until = await access_store.new_token(
                connection, person_id, scopes, now
            )
            caller = await access_store.read_caller(connection, token, now)
        assert caller is not None, "it was made just now"
        # Fewer than were granted when the account is closed.
        answer = TokenAnswer(token, sorted(caller.scopes), write_instant(until))
        return json_response(answer, status=201)

    def check_pace(self, address: str, asked: SignIn) -> None:
        """Slow down whoever guesses.

        Raises:
            Problem: too many tries from there, or for this name from there (429).
        """
        wait_s = self._throttle.wait_s(address, _TRIES_PER_ADDRESS)
        # Nobody guesses a code, and behind a proxy all new members have one address.
        if not wait_s and not asked.code:
            wait_s = self._throttle.wait_s((asked.name, address), _TRIES_PER_PAIR)
        if wait_s:
            raise Problem(
                429,
                "too-many-tries",
                f"Too many tries; please wait {wait_s} seconds.",
                headers={"Retry-After": str(wait_s)},
            )

    async def find(
        self, connection: AnyConnection, asked: SignIn, now: Instant
    ) -> tuple[str, frozenset[str]] | None:
        """Give the person and what she may do, if name and password, or code, fit."""
        if asked.code:
            return await access_store.spend_once(connection, asked.code, now)
        person = await access_store.read_person(connection, asked.name)
        password = asked.password[: access_store.PASSWORD_LENGTH_MAX]
        async with self._hashing:
            is_right = await asyncio.to_thread(
                access_store.is_password,
                password,
                person.password_hash if person else None,
            )
        if person is None or not is_right:
            return None
        return person.person_id, frozenset(MEMBER_SCOPES)

    async def hash(self, password: str) -> str:
        """Hash a password in a thread, after those that wait before it."""
        async with self._hashing:
            return await asyncio.to_thread(access_store.hash_password, password)

    async def caller(self, request: web.Request) -> Caller | None:
        """Say who asks, if her token counts now; what lasts long asks again."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not _TOKEN.fullmatch(token):
            return None
        async with self._database.readers.acquire() as connection:
            return await access_store.read_caller(connection, token, self._clock.now())

    def guard(self, handler: Handler, *scopes: str) -> Handler:
        """Let a handler be reached only with a token that counts and allows one."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            caller = await self.caller(request)
            if caller is None:
                raise Problem(
                    401,
                    "sign-in-needed",
                    "Sign in first; this needs a bearer token that counts.",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            if caller.scopes.isdisjoint(scopes):
                lacks = " or ".join(map(repr, scopes))
                told = f"This token may not do that; it lacks {lacks}."
                raise Problem(403, "scope-missing", told)
            request[CALLER] = caller
            return await handler(request)

        return guarded
