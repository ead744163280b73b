"""What the regional admin decides about herself: language, and other sessions."""

from aiohttp import web

from protocol.peer import session_store
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web.pages import VISIT, Pages
from protocol.peer.web.routes import Route
from protocol.peer.web.sessions import browser_of


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
        return [Route.page("GET", "/profile", self.get_profile, "read")]

    async def get_profile(self, request: web.Request) -> web.Response:
        """Show where she is signed in."""
        session = request[VISIT].session
        assert session is not None, "the door has let her in"
        async with self._database.readers.acquire() as connection:
            sessions = await session_store.read_sessions(
                connection, session.caller.person_id, self._clock.now()
            )
        return self._pages.show(
            request,
            "profile.html",
            sessions=sessions,
            browser=browser_of,
            saved=request.query.get("saved", ""),
        )
