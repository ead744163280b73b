"""Signing in and out on pages, choosing a language, and ending other sessions.

A server with pages has one at ``PROFILE``: ``profile.html``, or a template of its own
that extends it, shown with ``profile_values``.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from protocol.peer import session_store
from protocol.peer.access_store import PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN
from protocol.peer.clock import Clock
from protocol.peer.database import AnyConnection, Database
from protocol.peer.session_store import Session
from protocol.peer.web import forms
from protocol.peer.web.pages import (
    LANGUAGE_COOKIE,
    SIGN_IN,
    VISIT,
    Pages,
    own_place,
    see_other,
)
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import READER, Route
from protocol.peer.web.sign_in import SIGN_IN_NAME, Door, SignIn
from protocol.peer.web.words import LANGUAGES

PROFILE = "/profile"
_CODE_LENGTH_MAX = 100


class SignInForm(msgspec.Struct, frozen=True):
    """What is typed to sign in, and where it leads."""

    name: str
    password: str
    next: str


class WelcomeForm(msgspec.Struct, frozen=True):
    """A one-time link or the code in it, the password that she chooses, where to go."""

    code: str
    new_password: str
    next: str


class PasswordForm(msgspec.Struct, frozen=True):
    """The password as it was, and as it shall be."""

    password: str
    new_password: str


class LanguageForm(msgspec.Struct, frozen=True):
    """A language, and the page to come back to."""

    language: str
    next: str


class EndForm(msgspec.Struct, frozen=True):
    """Which session is to end; none named: all others."""

    session: str


class SessionPages:
    """Pages around sessions, alike at every server.

    Args:
        pages: shows them.
        door: knows names and passwords.
        database: where sessions are kept.
        clock: the wall clock.
        check_may_change: raises while this server, restored, changes nothing. Who
            signs in to look, or out, loses nothing when its database is thrown away.
    """

    def __init__(
        self,
        pages: Pages,
        door: Door,
        database: Database,
        clock: Clock,
        check_may_change: Callable[[], None],
    ) -> None:
        self._pages = pages
        self._door = door
        self._database = database
        self._clock = clock
        self._check_may_change = check_may_change

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", SIGN_IN, self.get_sign_in, None),
            page("POST", SIGN_IN, self.post_sign_in, None),
            page("GET", "/welcome", self.get_welcome, None),
            page("POST", "/welcome", self.post_welcome, None),
            page("POST", "/sign-out", self.post_sign_out, None),
            page("POST", "/language", self.post_language, None),
            page("POST", "/password", self.post_password, "read", form=PROFILE),
            page("POST", "/sessions/end", self.post_end, "read", form=PROFILE),
            page("GET", "/static/{name}", self._pages.get_file, None),
        ]

    # Signing in.

    async def get_sign_in(self, request: web.Request) -> web.Response:
        """Show where to sign in; who has done so goes on at once."""
        place = own_place(request.query.get("next", "/"))
        if request[VISIT].session is not None:
            return see_other(place)
        return self._show_sign_in(request, name="", place=place)

    async def post_sign_in(self, request: web.Request) -> web.Response:
        """Let someone in by name and password, and lead her where she wanted to go."""
        form = await forms.read_form(request, SignInForm)
        place = own_place(form.next)
        # As on an envelope, and as a telephone writes the first letter.
        name = form.name.strip().lower().removesuffix(f"@{self._pages.site.name}")
        asked = SignIn(name=name, password=form.password)
        problem = None
        try:
            secret = await self._enter(request, asked)
        except Problem as error:
            secret, problem = None, error
        if secret is None:
            status = problem.status if problem else 401
            key = "sign-in.wait" if status == 429 else "sign-in.wrong"
            error_told = self._pages.say(request, key)
            return self._show_sign_in(
                request, form.name, place, error=error_told, status=status
            )
        return self._entered(place, secret)

    def _show_sign_in(
        self,
        request: web.Request,
        name: str,
        place: str,
        error: str = "",
        status: int = 200,
    ) -> web.Response:
        return self._pages.show(
            request,
            "sign-in.html",
            status=status,
            name=name,
            next=place,
            error=error,
            is_interrupted=False,
        )

    async def _enter(self, request: web.Request, asked: SignIn) -> str | None:
        """Begin a session; ``None`` when name and password, or code, do not fit."""
        self._door.check_pace(request.remote or "", asked)
        if not SIGN_IN_NAME.fullmatch(asked.name):
            return None
        now = self._clock.now()
        before = request[VISIT].session
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            found = await self._door.find(connection, asked, now)
            if found is None:
                return None
            if before is not None:
                await _end(connection, before)
            person_id, scopes = found
            browser = request.headers.get("User-Agent", "")
            return await session_store.open_session(
                connection, person_id, scopes, browser, now
            )

    def _entered(self, place: str, secret: str) -> web.Response:
        response = see_other(place)
        self._pages.keep_session(response, secret)
        return response

    # One-time links.

    async def get_welcome(self, request: web.Request) -> web.Response:
        """Show where a one-time link leads; its code stands behind the ``#``."""
        return self._show_welcome(request)

    def _show_welcome(
        self,
        request: web.Request,
        error: str = "",
        field: str = "",
        status: int = 200,
        place: str = "/",
    ) -> web.Response:
        return self._pages.show(
            request,
            "welcome.html",
            status=status,
            next=place,
            error=error,
            wrong_field=field,
            least=PASSWORD_LENGTH_MIN,
        )

    async def post_welcome(self, request: web.Request) -> web.Response:
        """Let someone in by a one-time code, and keep the password that she chose."""
        form = await forms.read_form(request, WelcomeForm)
        password = form.new_password
        if password and not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
            told = self._pages.say(
                request, "welcome.password-length", least=PASSWORD_LENGTH_MIN
            )
            return self._show_welcome(request, told, "new_password", status=422)
        if password:
            # Before her link is used up.
            self._check_may_change()
        code = form.code.strip().rpartition("#")[2]
        secret = None
        if 0 < len(code) <= _CODE_LENGTH_MAX and code.isascii():
            secret = await self._enter(request, SignIn(code=code))
        if secret is None:
            told = self._pages.say(request, "welcome.wrong")
            place = own_place(form.next)
            return self._show_welcome(request, told, "code", status=401, place=place)
        if password:
            now = self._clock.now()
            async with self._database.readers.acquire() as connection:
                session = await session_store.read_session(connection, secret, now)
            assert session is not None, "it began just now"
            # Who runs this server comes back with a new link, not with a password.
            if session.caller.account_id is not None:
                await self._keep_password(session, password)
        return self._entered(own_place(form.next), secret)

    async def _keep_password(self, session: Session, password: str) -> None:
        """Keep a password; whoever knew the old one is signed out elsewhere."""
        hashed = await self._door.hash(password)
        person_id = session.caller.person_id
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            await session_store.write_password(connection, person_id, hashed)
            await session_store.end_other_sessions(
                connection, person_id, session.session_id
            )

    async def post_password(self, request: web.Request) -> web.Response:
        """Keep a new password for someone who knows the old one, or has none."""
        form = await forms.read_form(request, PasswordForm)
        session = request[VISIT].session
        assert session is not None, "the door has let her in"
        if session.caller.account_id is None:
            raise Problem(403, "not-for-you", "Staff sign in with one-time links.")
        self._check_may_change()
        if not PASSWORD_LENGTH_MIN <= len(form.new_password) <= PASSWORD_LENGTH_MAX:
            return see_other(f"{PROFILE}?wrong=length#password")
        if session.has_password:
            asked = SignIn(name=session.name, password=form.password)
            self._door.check_pace(request.remote or "", asked)
            async with self._database.desk.acquire() as connection:
                now = self._clock.now()
                found = await self._door.find(connection, asked, now)
            if found is None:
                return see_other(f"{PROFILE}?wrong=password#password")
        await self._keep_password(session, form.new_password)
        return see_other(f"{PROFILE}?saved=password")

    # Leaving, and choosing.

    async def post_sign_out(self, request: web.Request) -> web.Response:
        """End this session, and forget what the browser keeps of it."""
        session = request[VISIT].session
        if session is not None:
            async with self._database.desk.acquire() as connection:
                await _end(connection, session)
        site = self._pages.site
        response = see_other(SIGN_IN)
        response.del_cookie(
            site.cookie,
            path="/",
            secure=site.is_private,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def post_language(self, request: web.Request) -> web.Response:
        """Keep a choice of language, with the person where she is known."""
        form = await forms.read_form(request, LanguageForm)
        if form.language not in LANGUAGES:
            raise Problem(400, "malformed", f"language is one of {LANGUAGES}")
        session = request[VISIT].session
        if session is not None:
            self._check_may_change()
            async with self._database.desk.acquire() as connection:
                await session_store.write_language(
                    connection, session.caller.person_id, form.language
                )
        response = see_other(own_place(form.next))
        response.set_cookie(
            LANGUAGE_COOKIE,
            form.language,
            max_age=365 * 86_400,
            path="/",
            secure=self._pages.site.is_private,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def post_end(self, request: web.Request) -> web.Response:
        """End one of her sessions, or all but this one."""
        form = await forms.read_form(request, EndForm)
        session = request[VISIT].session
        assert session is not None, "the door has let her in"
        person_id = session.caller.person_id
        async with self._database.desk.acquire() as connection:
            if form.session:
                await session_store.end_session(connection, person_id, form.session)
            else:
                await session_store.end_other_sessions(
                    connection, person_id, session.session_id
                )
        return see_other(PROFILE)


async def _end(connection: AnyConnection, session: Session) -> None:
    await session_store.end_session(
        connection, session.caller.person_id, session.session_id
    )


async def profile_values(
    request: web.Request, database: Database, clock: Clock
) -> dict[str, Any]:
    """Give what ``profile.html`` shows: where she is signed in, and what was saved."""
    session = request[VISIT].session
    assert session is not None, "the door has let her in"
    async with database.readers.acquire() as connection:
        sessions = await session_store.read_sessions(
            connection, session.caller.person_id, clock.now()
        )
    return {
        "sessions": sessions,
        # Who only looks asks somebody else to end hers.
        "may_end": READER not in session.caller.scopes,
        "browser": browser_of,
        "wrong": request.query.get("wrong", ""),
        "saved": request.query.get("saved", ""),
        "least": PASSWORD_LENGTH_MIN,
    }


#: The most telling name that stands in what browsers say of themselves, in order.
_BROWSERS = ("Edg", "OPR", "Firefox", "Chromium", "Chrome", "Safari")
_MACHINES = ("iPhone", "iPad", "Android", "Windows", "Macintosh", "Linux")
_SPOKEN = {"Edg": "Edge", "OPR": "Opera", "Macintosh": "Mac"}


def browser_of(told: str) -> str:
    """Name a browser and its machine as its owner would."""
    found = [
        next((_SPOKEN.get(one, one) for one in names if one in told), "")
        for names in (_BROWSERS, _MACHINES)
    ]
    return ", ".join(name for name in found if name) or "?"
