"""Saying goodbye to the other groups: what it means, asking for it, how it goes.

A wish is typed, looked at, and sent, in three pages as a word on a leg is. Nobody
grants it, and only the regional admin takes a leaving back (``nodes.rules.leaving``).
"""

import msgspec
from aiohttp import web

from nodes.api.leaving import LeavingApi
from nodes.cycle_desk import CycleDesk
from nodes.pages.typed import check_may_act, is_reason, may_act, new_key, read_key
from nodes.rules import LeavingWish
from protocol.peer.web import forms
from protocol.peer.web.once import Once
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route

LEAVING = "/treasurer/leaving"
_CONFIRM = f"{LEAVING}/confirm"


class LeaveFields(msgspec.Struct, frozen=True):
    """Why the group leaves, as typed."""

    reason: str
    key: str


class LeavingPages:
    """Pages about leaving, for a treasurer.

    Args:
        pages: shows them.
        api: says how the group stands, and tells the hub.
        desk: knows groups' names.
    """

    def __init__(self, pages: Pages, api: LeavingApi, desk: CycleDesk) -> None:
        self._pages = pages
        self._api = api
        self._desk = desk
        # The law takes one wish at a time; a second click sees the answer to the first.
        self._sent: Once[LeavingWish | None] = Once()

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", LEAVING, self.get_leaving, TREASURER),
            page("GET", _CONFIRM, self.get_confirm, TREASURER),
            page("POST", LEAVING, self.post_leaving, TREASURER, form=_CONFIRM),
        ]

    async def get_leaving(self, request: web.Request) -> web.Response:
        """Show what leaving means, or how it goes."""
        fields = forms.read_address_fields(request, LeaveFields)
        return await self._show(request, fields)

    async def _show(
        self,
        request: web.Request,
        fields: LeaveFields,
        *,
        told: str = "",
        error: str = "",
    ) -> web.Response:
        return self._pages.show_form(
            request,
            "leaving.html",
            own=await self._api.standing(),
            fields=fields,
            told=told,
            error=error,
            name_of=self._desk.name_of,
            saved=request.query.get("saved", ""),
            may_act=may_act(request),
        )

    async def get_confirm(self, request: web.Request) -> web.Response:
        """Show what a wish means before it is sent."""
        check_may_act(request)
        fields = forms.read_address_fields(request, LeaveFields)
        own = await self._api.standing()
        if own.state != "active":
            return see_other(LEAVING)
        if not is_reason(fields.reason):
            error = self._why(request, fields)
            return await self._show(request, fields, error=error)
        kept = {"reason": fields.reason}
        return self._pages.show(
            request,
            "confirm-leaving.html",
            own=own,
            fields=fields,
            carried=kept | {"key": new_key()},
            change=forms.write_fields(LEAVING, kept),
        )

    def _why(self, request: web.Request, fields: LeaveFields) -> str:
        kind = "reason-long" if fields.reason.strip() else "reason-missing"
        return self._pages.say(request, f"treasurer.{kind}")

    async def post_leaving(self, request: web.Request) -> web.Response:
        """Tell the hub, once."""
        fields = await forms.read_form(request, LeaveFields)
        key, person = read_key(fields.key), caller_of(request).person_id
        if not is_reason(fields.reason):
            error = self._why(request, fields)
            return await self._show(request, fields, error=error)
        try:
            await self._sent.do(
                person, key, lambda: self._api.leave(person, fields.reason)
            )
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            return await self._show(request, fields, told=told)
        return see_other(f"{LEAVING}?saved=wish")
