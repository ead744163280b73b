"""Those who run the group, what lets them in, and what they did."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import act_store
from nodes.rules import Detail
from nodes.staff import Role, Staff
from protocol.instant import write_instant, write_nullable
from protocol.peer.access_store import StaffMember
from protocol.peer.database import Database
from protocol.peer.ledger_store import NEWEST
from protocol.peer.web.paging import PAGE_SIZE, CursorField, PageSizeField
from protocol.peer.web.requests import (
    caller_of,
    json_response,
    read_json,
    read_query,
)
from protocol.peer.web.routes import Route

#: No member can have such a name, since no account begins with "@".
NameField = Annotated[str, Meta(pattern=r"^@[a-z0-9][a-z0-9._-]{0,30}\Z")]


class ActsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which acts: newest first, before ``cursor``; ``about`` and ``author`` exactly."""

    cursor: CursorField | None = None
    page_size: PageSizeField = PAGE_SIZE
    about: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    author: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class ActAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when, about whom and why.

    ``author`` is ``null`` for a command beside no server, as an import.
    """

    number: int
    at: str
    author: str | None
    deed: str
    about: str
    details: dict[str, Detail]
    reason: str | None


class ActsAnswer(msgspec.Struct, frozen=True):
    """A page of acts, newest first; ``cursor`` gives the next one."""

    acts: list[ActAnswer]
    cursor: str | None


class InviteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let somebody run this group: her name, and what she may do."""

    name: NameField
    role: Role


class SignInLine(msgspec.Struct, frozen=True):
    """What lets a person in now: ``once`` is a link that nobody has used yet."""

    id: str
    kind: str
    since: str
    until: str


class PersonAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One of those who run the group, or did."""

    name: str
    role: str
    since: str | None
    invited_by: str | None
    removed_at: str | None
    sign_ins: list[SignInLine]


class InvitedAnswer(PersonAnswer, frozen=True, kw_only=True):
    """One who was invited, with the link that lets her in once, within 7 days."""

    sign_in: str


class PeopleAnswer(msgspec.Struct, frozen=True):
    """All who run the group, or did, by name."""

    people: list[PersonAnswer]


_invite_decoder = msgspec.json.Decoder(InviteRequest)


class StaffApi:
    """People who run the group, and what they did.

    Args:
        staff: invites and removes.
        database: read only here.
    """

    def __init__(self, staff: Staff, database: Database) -> None:
        self._staff = staff
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        people = "/api/v1/group/people"
        one = f"{people}/{{person}}"
        return [
            Route(
                method="GET",
                path="/api/v1/group/acts",
                handler=self.get_acts,
                told="What those who run the group did, when, about whom and why.",
                scope="treasurer",
                query=ActsQuery,
                answer=ActsAnswer,
            ),
            Route(
                method="GET",
                path=people,
                handler=self.get_people,
                told="Those who run the group or did, with what lets them in.",
                scope="treasurer",
                answer=PeopleAnswer,
            ),
            Route(
                method="POST",
                path=people,
                handler=self.post_person,
                told="Invite a treasurer or reader; again it is a new link, or another"
                " role.",
                scope="treasurer",
                body=InviteRequest,
                answer=InvitedAnswer,
                status=201,
            ),
            Route(
                method="DELETE",
                path=one,
                handler=self.delete_person,
                told="Let somebody run the group no more; never the last treasurer.",
                scope="treasurer",
                answer=PersonAnswer,
            ),
            Route(
                method="DELETE",
                path=f"{one}/sign-ins",
                handler=self.delete_sign_ins,
                told="Let all that lets somebody in count no more, her link too.",
                scope="treasurer",
                answer=PersonAnswer,
            ),
            Route(
                method="DELETE",
                path=f"{one}/sign-ins/{{sign_in}}",
                handler=self.delete_sign_in,
                told="Let one of somebody's sign-ins count no more.",
                scope="treasurer",
                answer=PersonAnswer,
            ),
        ]

    async def get_acts(self, request: web.Request) -> web.Response:
        """Give a page of what was done."""
        return json_response(await self.acts(read_query(request, ActsQuery)))

    async def acts(self, query: ActsQuery) -> ActsAnswer:
        """Give a page of what was done, as answers show it."""
        before = NEWEST if query.cursor is None else int(query.cursor)
        async with self._database.readers.acquire() as connection:
            acts = await act_store.read_page(
                connection, before, query.page_size, query.about, query.author
            )
        full = len(acts) == query.page_size
        return ActsAnswer(
            acts=[_act(act) for act in acts],
            cursor=str(acts[-1].number) if full else None,
        )

    async def get_people(self, _request: web.Request) -> web.Response:
        """Give all who run the group."""
        people = [PersonAnswer(**_fields(one)) for one in await self._staff.everyone()]
        return json_response(PeopleAnswer(people))

    async def post_person(self, request: web.Request) -> web.Response:
        """Invite somebody; the link is shown only now."""
        asked = await read_json(request, _invite_decoder)
        author = caller_of(request).person_id
        link = await self._staff.invite(asked.name, asked.role, author)
        person = await self._staff.person(asked.name)
        answer = InvitedAnswer(**_fields(person), sign_in=link)
        return json_response(answer, status=201)

    async def delete_person(self, request: web.Request) -> web.Response:
        """Remove somebody."""
        author = caller_of(request).person_id
        person = await self._staff.remove(request.match_info["person"], author)
        return json_response(PersonAnswer(**_fields(person)))

    async def delete_sign_ins(self, request: web.Request) -> web.Response:
        """End all of somebody's sign-ins."""
        author = caller_of(request).person_id
        person = await self._staff.end_sign_ins(request.match_info["person"], author)
        return json_response(PersonAnswer(**_fields(person)))

    async def delete_sign_in(self, request: web.Request) -> web.Response:
        """End one of somebody's sign-ins."""
        author, named = caller_of(request).person_id, request.match_info
        person = await self._staff.end_sign_ins(
            named["person"], author, named["sign_in"]
        )
        return json_response(PersonAnswer(**_fields(person)))


def _act(act: act_store.Act) -> ActAnswer:
    return ActAnswer(
        number=act.number,
        at=write_instant(act.at),
        author=act.author,
        deed=act.deed.value,
        about=act.about,
        details=act.details,
        reason=act.reason,
    )


def _fields(person: StaffMember) -> dict[str, Any]:
    return {
        "name": person.name,
        "role": person.role,
        "since": write_nullable(person.since),
        "invited_by": person.invited_by,
        "removed_at": write_nullable(person.removed_at),
        "sign_ins": [
            SignInLine(
                one.id, one.kind, write_instant(one.since), write_instant(one.until)
            )
            for one in person.sign_ins
        ],
    }
