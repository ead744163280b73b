"""Those who run the group: who they are, letting another in, and letting one go."""

import msgspec
from aiohttp import web

from nodes.api.staff import InviteRequest
from nodes.pages.handover import Handover
from nodes.pages.typed import may_act, new_key
from nodes.staff import Staff
from protocol.peer.web import forms
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route

PEOPLE = "/treasurer/people"
_ONE = f"{PEOPLE}/{{person}}"


class InviteFields(msgspec.Struct, frozen=True):
    """Whom to let in, and what for."""

    name: str
    role: str
    key: str


class PeoplePages:
    """Pages about those who run the group.

    Args:
        pages: shows them.
        staff: invites and removes.
        handover: shows links.
    """

    def __init__(self, pages: Pages, staff: Staff, handover: Handover) -> None:
        self._pages = pages
        self._staff = staff
        self._handover = handover

    def routes(self) -> list[Route]:
        """List the pages."""
        page, form = Route.page, PEOPLE
        return [
            page("GET", PEOPLE, self.get_people, TREASURER),
            page("POST", PEOPLE, self.post_person, TREASURER, form=form),
            page("POST", f"{_ONE}/remove", self.post_remove, TREASURER, form=form),
            page("POST", f"{_ONE}/end", self.post_end, TREASURER, form=form),
        ]

    async def get_people(self, request: web.Request) -> web.Response:
        """Show who runs the group, and who did."""
        fields = forms.read_address_fields(request, InviteFields)
        return await self._show(request, fields)

    async def _show(
        self,
        request: web.Request,
        fields: InviteFields,
        *,
        told: str = "",
        error: str = "",
    ) -> web.Response:
        people = await self._staff.everyone()
        return self._pages.show(
            request,
            "people.html",
            people=[one for one in people if one.removed_at is None],
            former=[one for one in people if one.removed_at is not None],
            fields=fields,
            told=told,
            error=error,
            saved=request.query.get("saved", ""),
            key=fields.key or new_key(),
            may_act=may_act(request),
        )

    async def post_person(self, request: web.Request) -> web.Response:
        """Invite somebody, or give her a new link or role; shows the link once."""
        fields = await forms.read_form(request, InviteFields)
        name = f"@{fields.name.strip().lower().removeprefix('@')}"
        try:
            wanted = msgspec.convert({"name": name, "role": fields.role}, InviteRequest)
        except msgspec.ValidationError:
            error = self._pages.say(request, "people.no-name")
            return await self._show(request, fields, error=error)
        person = caller_of(request).person_id
        try:
            return await self._handover.show(
                request,
                f"{fields.key} {wanted.name} {wanted.role}",
                lambda: self._staff.invite(wanted.name, wanted.role, person),
                name=wanted.name,
                back=PEOPLE,
            )
        except Problem as problem:
            return await self._told(request, fields, problem)

    async def post_remove(self, request: web.Request) -> web.Response:
        """Let somebody run the group no more."""
        person = caller_of(request).person_id
        try:
            await self._staff.remove(request.match_info["person"], person)
        except Problem as problem:
            return await self._told(request, InviteFields("", "", ""), problem)
        return see_other(f"{PEOPLE}?saved=removed")

    async def post_end(self, request: web.Request) -> web.Response:
        """Let all that lets somebody in count no more."""
        person = caller_of(request).person_id
        await self._staff.end_sign_ins(request.match_info["person"], person)
        return see_other(f"{PEOPLE}?saved=ended")

    async def _told(
        self, request: web.Request, fields: InviteFields, problem: Problem
    ) -> web.Response:
        """Show a lawful no above the people; whatever else is raised on."""
        if problem.code is None:
            raise problem
        told = self._pages.refusal(request, problem)
        return await self._show(request, fields, told=told)
