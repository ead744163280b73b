"""Those who run the group: who they are, what they did, who comes and who goes."""

import msgspec
from aiohttp import web

from nodes.api.staff import ActAnswer, ActsQuery, InviteRequest, StaffApi
from nodes.pages.entries import ENTRIES
from nodes.pages.handover import Handover
from nodes.pages.members import MEMBERS
from nodes.pages.typed import may_act, new_key
from nodes.rules import Deed
from nodes.staff import Staff
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms, words
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route

PEOPLE = "/treasurer/people"
ACTS = "/treasurer/acts"
_ONE = f"{PEOPLE}/{{person}}"
_SIZE = 50
#: Deeds whose ``about`` is a member's account, and an entry.
_OF_MEMBERS = frozenset(
    {
        Deed.MEMBER_ADMITTED,
        Deed.MEMBER_CHANGED,
        Deed.LIMITS_CHANGED,
        Deed.PAYMENT_ORDERED,
    }
)
_OF_ENTRIES = frozenset({Deed.ENTRY_BOOKED, Deed.ENTRY_CORRECTED})


class InviteFields(msgspec.Struct, frozen=True):
    """Whom to let in, and what for."""

    name: str
    role: str
    key: str


class ActFields(msgspec.Struct, frozen=True):
    """Whose acts, about whom, and from where on; "": all."""

    author: str
    about: str
    cursor: str


class PeoplePages:
    """Pages about those who run the group.

    Args:
        pages: shows them.
        staff: invites and removes.
        api: reads what was done.
        handover: shows links.
    """

    def __init__(
        self, pages: Pages, staff: Staff, api: StaffApi, handover: Handover
    ) -> None:
        self._pages = pages
        self._staff = staff
        self._api = api
        self._handover = handover

    def routes(self) -> list[Route]:
        """List the pages."""
        page, form = Route.page, PEOPLE
        return [
            page("GET", PEOPLE, self.get_people, TREASURER),
            page("GET", ACTS, self.get_acts, TREASURER),
            page("POST", PEOPLE, self.post_person, TREASURER, form=form),
            page("POST", f"{_ONE}/remove", self.post_remove, TREASURER, form=form),
            page("POST", f"{_ONE}/end", self.post_end, TREASURER, form=form),
        ]

    async def get_people(self, request: web.Request) -> web.Response:
        """Show who runs the group, and who did."""
        fields = forms.read_address_fields(request, InviteFields)
        return await self._show(request, fields)

    async def get_acts(self, request: web.Request) -> web.Response:
        """Show who did what, when and why."""
        fields = forms.read_address_fields(request, ActFields)
        typed = {
            name: text for name, text in msgspec.to_builtins(fields).items() if text
        }
        try:
            wanted = msgspec.convert(typed | {"page_size": _SIZE}, ActsQuery)
        except msgspec.ValidationError:
            expected = "somebody, something, or a place in the list"
            raise MalformedMessageError("acts", sorted(typed), expected) from None
        found = await self._api.acts(wanted)
        said = words.sentences(request[VISIT].language)
        more = typed | {"cursor": found.cursor or ""}
        return self._pages.show(
            request,
            "acts.html",
            author=fields.author,
            about=fields.about,
            acts=found.acts,
            told=lambda deed: said.get(f"acts.{deed}", said["acts.other"]),
            link=_link,
            more=forms.write_fields(ACTS, more) if found.cursor else "",
        )

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


def _link(act: ActAnswer) -> str:
    """Give the page of what an act is about, if it has one."""
    if act.deed in _OF_MEMBERS:
        return f"{MEMBERS}/{act.about}"
    if act.deed in _OF_ENTRIES:
        return f"{ENTRIES}/{act.about}"
    return ""
