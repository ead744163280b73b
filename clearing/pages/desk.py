"""What several of the hub's pages need: who may press their buttons, ages, places."""

import msgspec
from aiohttp import web

from clearing.api.cycles import CyclesApi, LegAnswer
from protocol.errors import MalformedMessageError
from protocol.peer.web.pages import VISIT, Pages
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import ADMIN
from protocol.strict_json import INTEGER_MAX
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


class LateLeg(msgspec.Struct, frozen=True):
    """A leg that waits for a word for too long, with its age in words."""

    leg: LegAnswer
    age: str


def late_legs(pages: Pages, request: web.Request, cycles: CyclesApi) -> list[LateLeg]:
    """Give legs about which somebody should call, the oldest wait first."""
    return [
        LateLeg(one.leg, write_age(pages, request, one.waiting_ms))
        for one in cycles.open_legs()
        if one.is_late
    ]


def may_act(request: web.Request) -> bool:
    """Say whether she may decide; a reader only looks."""
    session = request[VISIT].session
    return session is not None and ADMIN in session.caller.scopes


def check_may_act(request: web.Request) -> None:
    """Keep a page that only leads to a button from whoever may not press it."""
    if not may_act(request):
        raise Problem(403, "not-for-you", "This needs the scope admin.")


def name_of(request: web.Request) -> str:
    """Name whoever presses a button, as it is kept beside what she changes."""
    session = request[VISIT].session
    assert session is not None, "the page is behind the door"
    return session.name


def read_before(text: str, expected: str) -> int:
    """Read before which number a list goes on; "" is from the newest one."""
    if not text:
        return INTEGER_MAX
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(INTEGER_MAX))
    if not is_number or not 0 < int(text) <= INTEGER_MAX:
        raise MalformedMessageError("before", text[:40], expected)
    return int(text)
