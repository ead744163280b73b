"""What several of the hub's pages need: who may press their buttons, and ages."""

from aiohttp import web

from protocol.peer.web.pages import VISIT, Pages
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import ADMIN
from protocol.unit import HOUR

_DAY_MS = 24 * HOUR
_MINUTE_MS = 60_000


def write_age(pages: Pages, request: web.Request, milliseconds: int) -> str:
    """Write for how long something waits, no finer than people care."""
    if milliseconds >= 2 * _DAY_MS:
        days = pages.figures(request).number(milliseconds // _DAY_MS)
        return pages.say(request, "cycles.days", count=days)
    if milliseconds >= HOUR:
        return pages.figures(request).hours(milliseconds // HOUR * HOUR)
    return pages.figures(request).hours(milliseconds // _MINUTE_MS * _MINUTE_MS)


def may_act(request: web.Request) -> bool:
    """Say whether she may decide; a reader only looks."""
    session = request[VISIT].session
    return session is not None and ADMIN in session.caller.scopes


def check_may_act(request: web.Request) -> None:
    """Keep a page that only leads to a button from whoever may not press it."""
    if not may_act(request):
        raise Problem(403, "not-for-you", "This needs the scope admin.")
