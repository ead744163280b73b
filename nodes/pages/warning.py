"""From which share of a limit on the treasurer is warned: shown, and set."""

import msgspec
from aiohttp import web

from nodes.api.warning import WarningApi
from nodes.pages.typed import may_act
from protocol.peer.web import forms
from protocol.peer.web.figures import read_amount
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route

WARNING = "/treasurer/warning"
_PERCENT_MAX = 100


class WarningFields(msgspec.Struct, frozen=True):
    """From how many percent on, as typed."""

    percent: str


class WarningPages:
    """The page of warnings, for a treasurer.

    Args:
        pages: shows it.
        api: says and keeps from when on.
    """

    def __init__(self, pages: Pages, api: WarningApi) -> None:
        self._pages = pages
        self._api = api

    def routes(self) -> list[Route]:
        """List the page and its form."""
        page = Route.page
        return [
            page("GET", WARNING, self.get_warning, TREASURER),
            page("POST", WARNING, self.post_warning, TREASURER, form=WARNING),
        ]

    async def get_warning(self, request: web.Request) -> web.Response:
        """Show from when on people are warned."""
        fields = forms.read_address_fields(request, WarningFields)
        return self._show(request, fields.percent)

    def _show(
        self, request: web.Request, percent: str, *, error: str = ""
    ) -> web.Response:
        now = self._api.standing()
        return self._pages.show_form(
            request,
            "warning.html",
            now=now,
            percent=percent or str(now.percent),
            error=error,
            saved=request.query.get("saved", ""),
            may_act=may_act(request),
        )

    async def post_warning(self, request: web.Request) -> web.Response:
        """Set it; the same again changes nothing."""
        fields = await forms.read_form(request, WarningFields)
        typed = fields.percent.strip().removesuffix("%").strip()
        percent = read_amount(typed, 0, request[VISIT].language)
        # What cannot be read is no number: a word, why.
        if not isinstance(percent, int) or percent > _PERCENT_MAX:
            error = self._pages.say(request, "warning.no-percent")
            return self._show(request, fields.percent, error=error)
        await self._api.set(caller_of(request).person_id, percent)
        return see_other(f"{WARNING}?saved=percent")
