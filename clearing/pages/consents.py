"""What waits for another admin's word: a list, and two buttons."""

from aiohttp import web

from clearing.api.consents import ConsentAnswer, ConsentsApi
from clearing.api.invitations import InvitationAnswer
from clearing.consents import Consents
from protocol.peer.web.figures import Figures
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route

_LIST = "/consents"


class ConsentPages:
    """The list.

    Args:
        pages: shows it.
        api: reads it, and hears words.
        consents: knows whose word is whose.
    """

    def __init__(self, pages: Pages, api: ConsentsApi, consents: Consents) -> None:
        self._pages = pages
        self._api = api
        self._consents = consents

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        one = f"{_LIST}/{{number}}"
        return [
            page("GET", _LIST, self.get_consents, "admin"),
            page("POST", f"{one}/give", self.post_give, "admin", form=_LIST),
            page("POST", f"{one}/withdraw", self.post_withdraw, "admin", form=_LIST),
        ]

    async def get_consents(self, request: web.Request) -> web.Response:
        """Show what waits, and what became of the rest."""
        return await self._show(request)

    async def _show(
        self,
        request: web.Request,
        status: int = 200,
        told: str = "",
        made: InvitationAnswer | None = None,
    ) -> web.Response:
        return self._pages.show(
            request,
            "consents.html",
            status=status,
            told=told,
            made=made,
            found=[(one, self._sentence(request, one)) for one in self._api.answers()],
            own=await self._consents.name(caller_of(request)),
        )

    def _sentence(self, request: web.Request, one: ConsentAnswer) -> str:
        """Say exactly what is asked, with its figures."""
        figures: Figures = self._pages.figures(request)
        words = {
            name: value if isinstance(value, str) else figures.hours(value)
            for name, value in one.act.items()
            if not isinstance(value, bool)
        }
        return self._pages.say(request, f"consents.{one.act['act']}", **words)

    async def post_give(self, request: web.Request) -> web.Response:
        """Give what another admin asked one's word."""
        return await self._hear(request, "give")

    async def post_withdraw(self, request: web.Request) -> web.Response:
        """Take back what was asked, or say no."""
        return await self._hear(request, "withdraw")

    async def _hear(self, request: web.Request, word: str) -> web.Response:
        """Hear a word; a no stands above the list, and so does a link, once."""
        try:
            heard = await self._api.hear(request, word)
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            return await self._show(request, problem.status, told)
        if heard.invitation is not None:
            return await self._show(request, made=heard.invitation)
        return see_other(_LIST)
