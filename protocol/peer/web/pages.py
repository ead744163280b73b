"""Pages for people: whatever hub and node do alike to show one.

A page is a route like any other (``routes``), but its caller has a session instead of
a token, and every refusal of it is a page too. What changes something is taken from
our own pages alone: the browser says where it comes from.
"""

import gzip
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from protocol.errors import InterletsError
from protocol.peer import session_store
from protocol.peer.access_store import Caller
from protocol.peer.clock import Clock
from protocol.peer.database import AWAY, Database
from protocol.peer.session_store import Session
from protocol.peer.web import forms, words
from protocol.peer.web.figures import Figures
from protocol.peer.web.problems import Handler, Problem, as_problem, of_http
from protocol.peer.web.requests import CALLER
from protocol.peer.web.words import LANGUAGES, Language

_LOG = logging.getLogger(__name__)
_FOLDER = Path(__file__).parent
_STATIC = _FOLDER / "static"
#: What answers programs, and says so in JSON.
_FOR_PROGRAMS = ("/api/", "/federation/", "/.well-known/", "/static/")
_SAFE = ("GET", "HEAD", "OPTIONS")
_YEAR_S = 31_536_000
#: Of an address inside another one; what is longer is carried by a form.
_NEXT_MAX = 2000
LANGUAGE_COOKIE = "language"
SIGN_IN = "/sign-in"

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Our own pages alone hear where somebody comes from, and never a word of it others.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Behind "back" stands nothing once somebody has signed out.
    "Cache-Control": "no-store",
}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Visit(msgspec.Struct, frozen=True):
    """Who looks at a page, and in which language; nobody has signed in yet: None."""

    language: Language
    session: Session | None


class NavEntry(msgspec.Struct, frozen=True):
    """One entry of the menu.

    Attributes:
        path: where it leads.
        sentence: its key.
        scopes: whom it is for.
        of_account: it is about her own account, which staff may not have.
    """

    path: str
    sentence: str
    scopes: tuple[str, ...]
    of_account: bool = True

    def is_for(self, session: Session | None) -> bool:
        """Say whether somebody has this in her menu."""
        return (
            session is not None
            and not session.caller.scopes.isdisjoint(self.scopes)
            and (not self.of_account or session.caller.account_id is not None)
        )


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a server's pages have in common.

    Attributes:
        name: of the group or hub, in addresses and the cookie.
        title: as people read it.
        public_url: where its pages are.
        zone: by which clocks its people live.
        templates: folder of the server's own templates.
        menu: where people may go.
    """

    name: str
    title: Callable[[], str]
    public_url: str
    zone: tzinfo
    templates: Path
    menu: Sequence[NavEntry]

    @property
    def is_private(self) -> bool:
        """Nobody can listen on the way here, as a browser sees it."""
        return self.public_url.startswith("https:")

    @property
    def cookie(self) -> str:
        """Name the cookie of sessions: cookies ignore ports, so each server its own.

        ``__Host-`` lets no other server of the same domain set it; over http, where
        it would not be kept everywhere, only demos and trials are served.
        """
        return f"__Host-{self.name}" if self.is_private else self.name


VISIT = web.RequestKey("visit", Visit)


class Pages:
    """Shows pages, and knows who looks at them.

    Args:
        site: whose pages.
        database: where sessions are kept.
        clock: the wall clock.
    """

    def __init__(self, site: Site, database: Database, clock: Clock) -> None:
        self.site = site
        self._database = database
        self._clock = clock
        self.files = _read_files()
        self._templates = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            loader=jinja2.FileSystemLoader([site.templates, _FOLDER / "templates"]),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["asset"] = lambda name: self.files[name].path

    def show(
        self, request: web.Request, template: str, status: int = 200, **values: object
    ) -> web.Response:
        """Show a page.

        Args:
            request: whose page it answers.
            template: its file.
            status: 200, or what went wrong.
            values: what it shows.
        """
        visit = request[VISIT]
        language, session = visit.language, visit.session

        def say(key: str, **named: object) -> str:
            return words.say(key, language, named)

        text = self._templates.get_template(template).render(
            say=say,
            figures=self.figures(request),
            language=language,
            languages=LANGUAGES,
            session=session,
            menu=[one for one in self.site.menu if one.is_for(session)],
            title=self.site.title(),
            here=request.path,
            # Where a button has led, nothing is to be seen by looking again.
            here_with_query=request.raw_path if request.method in _SAFE else "/",
            **values,
        )
        return web.Response(
            status=status,
            text=text,
            content_type="text/html",
            headers={
                **HEADERS,
                "Content-Language": language,
                "Vary": "Cookie, Accept-Language",
            },
        )

    def show_form(
        self, request: web.Request, template: str, status: int = 200, **values: object
    ) -> web.Response:
        """Show a form that its browser may keep: going back finds what was typed.

        What it shows stands in its address anyway, and so in the browser's history.
        """
        response = self.show(request, template, status, **values)
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    def figures(self, request: web.Request) -> Figures:
        """Give what writes figures for whoever looks."""
        return Figures(request[VISIT].language, self.site.zone)

    def say(self, request: web.Request, key: str, **named: object) -> str:
        """Say something in the language of whoever looks."""
        return words.say(key, request[VISIT].language, named)

    def refusal(self, request: web.Request, problem: Problem) -> str:
        """Say why something was refused, in the language of whoever looks."""
        return words.refusal(problem.code or "", request[VISIT].language, problem.extra)

    def middleware(self) -> Middleware:
        """Make the middleware that knows visitors, and shows refusals as pages."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(_FOR_PROGRAMS) or not _is_for_people(request):
                return await handler(request)
            request[VISIT] = Visit(_language(request, None), None)
            try:
                return await self._answer(request, handler)
            except web.HTTPException as error:
                problem = of_http(error)
            except (Problem, InterletsError, TimeoutError, *AWAY) as error:
                problem = as_problem(error)
                if problem.status >= 500:
                    _LOG.warning("%s of a page: %s", request.method, error)
            return self.show_problem(request, problem)

        return answer

    async def _answer(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        session = await self._session(request)
        request[VISIT] = Visit(_language(request, session), session)
        if request.method not in _SAFE:
            self._check_origin(request)
        response = await handler(request)
        if session is not None and session.is_due and not response.prepared:
            async with self._database.desk.acquire() as connection:
                await session_store.touch(
                    connection, session.session_id, self._clock.now()
                )
            # The handler may have ended the session, or begun another one.
            if self.site.cookie not in response.cookies:
                self.keep_session(response, request.cookies[self.site.cookie])
        return response

    async def _session(self, request: web.Request) -> Session | None:
        secret = request.cookies.get(self.site.cookie)
        if not secret or len(secret) > 100 or not secret.isascii():
            return None
        async with self._database.readers.acquire() as connection:
            return await session_store.read_session(
                connection, secret, self._clock.now()
            )

    async def caller(self, request: web.Request) -> Caller | None:
        """Say who asks, if her session counts now; what lasts long asks again."""
        session = await self._session(request)
        return None if session is None else session.caller

    def _check_origin(self, request: web.Request) -> None:
        """Take what changes something from our own pages alone.

        Browsers say where a request comes from; who says nothing is no browser, and
        has an API.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if site == "same-origin":
            return
        if site is None and request.headers.get("Origin") == self._origin():
            return
        raise Problem(
            403, "other-origin", "This was not sent by a page of this server."
        )

    def _origin(self) -> str:
        parts = urlsplit(self.site.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    def keep_session(self, response: web.StreamResponse, secret: str) -> None:
        """Let a browser keep a session's secret; no script ever sees it."""
        response.set_cookie(
            self.site.cookie,
            secret,
            max_age=session_store.SESSION_S,
            path="/",
            secure=self.site.is_private,
            httponly=True,
            samesite="Lax",
        )

    def guard(
        self, handler: Handler, scopes: Sequence[str], form: str | None
    ) -> Handler:
        """Let a page be reached only by someone who has signed in and may see it.

        Args:
            handler: of the page.
            scopes: what she must be allowed, one of them.
            form: the page whose form leads here; after signing in she finds there
                what she has typed.
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            session = request[VISIT].session
            if session is None:
                return await self._ask_to_sign_in(request, form)
            if session.caller.scopes.isdisjoint(scopes):
                raise Problem(403, "not-for-you", f"This needs one of {scopes}.")
            request[CALLER] = session.caller
            return await handler(request)

        return guarded

    async def _ask_to_sign_in(
        self, request: web.Request, form: str | None
    ) -> web.Response:
        if (
            "HX-Request" in request.headers
            or "text/event-stream" in request.headers.get("Accept", "")
        ):
            # A part of a page: the whole page goes to sign in, and comes back.
            return web.Response(status=401, headers={"HX-Refresh": "true", **HEADERS})
        place = request.raw_path
        if request.method in _SAFE and len(place) <= _NEXT_MAX:
            return see_other(forms.write_fields(SIGN_IN, {"next": place}))
        if request.method not in _SAFE:
            place = "/" if form is None else await self._back(request, form)
        return self.show(
            request,
            "sign-in.html",
            status=401,
            name="",
            next=place,
            error="",
            is_interrupted=request.method not in _SAFE,
        )

    async def _back(self, request: web.Request, form: str) -> str:
        """Give the page of a form, filled in with what was sent from it."""
        place = form.format_map(request.match_info)
        return forms.write_fields(place, await forms.read_pairs(request))

    def show_problem(self, request: web.Request, problem: Problem) -> web.Response:
        """Show a refusal as a page, in words for people."""
        language = request[VISIT].language
        if problem.code:
            told = words.refusal(problem.code, language, problem.extra)
        else:
            told = words.problem(problem.status, problem.kind, language)
        response = self.show(request, "problem.html", problem.status, told=told)
        response.headers.update(problem.headers)
        return response

    # What is the same for everyone.

    async def get_file(self, request: web.Request) -> web.Response:
        """Give a style sheet or script; its address changes with what is in it."""
        found = self.files.get(request.match_info["name"])
        if found is None:
            raise Problem(404, "not-found", "There is nothing at this address.")
        is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {
            "Cache-Control": f"public, max-age={_YEAR_S}, immutable",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            **({"Content-Encoding": "gzip"} if is_packed else {}),
        }
        return web.Response(
            body=found.packed if is_packed else found.raw,
            content_type=found.media_type,
            charset="utf-8",
            headers=headers,
        )


class File(msgspec.Struct, frozen=True):
    """A style sheet, script or picture, and the address that names what is in it."""

    path: str
    media_type: str
    raw: bytes
    packed: bytes


def _read_files() -> dict[str, File]:
    found = {}
    for file in (*_STATIC.iterdir(), *(_STATIC / "vendor").iterdir()):
        if file.suffix in _TYPES:
            raw = file.read_bytes()
            version = hashlib.sha256(raw).hexdigest()[:12]
            found[file.name] = File(
                path=f"/static/{file.name}?v={version}",
                media_type=_TYPES[file.suffix],
                raw=raw,
                packed=gzip.compress(raw, mtime=0),
            )
    return found


def see_other(place: str) -> web.Response:
    """Send a browser to another page of ours, so that going back repeats nothing."""
    return web.Response(
        status=303, headers={"Location": place, "Cache-Control": "no-store"}
    )


def own_place(text: str) -> str:
    """Give where to go next, if that is a page of ours; else the first page.

    A browser reads two slashes, and a backslash as one, as another server's name.
    """
    is_ours = (
        text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and text.isascii()
        and text.isprintable()
        and "\\" not in text
    )
    return text if is_ours else "/"


def _is_for_people(request: web.Request) -> bool:
    """Say whether a page answers here, or nothing does and a person asks."""
    if request.path in ("/healthz", "/readyz", "/metrics"):
        return False
    is_known = request.match_info.http_exception is None
    return is_known or "text/html" in request.headers.get("Accept", "")


def _language(request: web.Request, session: Session | None) -> Language:
    """Choose a language: what she chose, else what her browser asks for."""
    chosen = session.language if session else None
    chosen = chosen or request.cookies.get(LANGUAGE_COOKIE)
    for language in LANGUAGES:
        if language == chosen:
            return language
    return words.preferred(request.headers.get("Accept-Language", ""))
