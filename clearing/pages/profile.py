"""What the regional admin decides about herself: language, and other sessions."""

from aiohttp import web

from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web.pages import Pages
from protocol.peer.web.routes import Route
from protocol.peer.web.sessions import PROFILE, profile_values


class ProfilePages:
    """The admin's own choices.

    Args:
        pages: shows them.
        database: keeps her sessions.
        clock: the wall clock.
    """

    def __init__(self, pages: Pages, database: Database, clock: Clock) -> None:
        self._pages = pages
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the pages."""
        return [Route.page("GET", PROFILE, self.get_profile, "read")]

    async def get_profile(self, request: web.Request) -> web.Response:
        """Show where she is signed in."""
        values = await profile_values(request, self._database, self._clock)
        return self._pages.show(request, "profile.html", **values)
