"""Who may join: invitations, made here and still open."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from clearing import desk_store, invitations, log_store
from clearing.api.limits import not_decided
from clearing.consents import Consents
from clearing.house import HubHouse
from clearing.rules import Consent, Invitation, Invite, NotDecided
from protocol.address import Group
from protocol.instant import write_instant
from protocol.joining import hash_code
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import Route
from protocol.unit import MILLISECONDS_MAX

_OPEN_MAX = 200


class InvitationRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Whom to invite: a name for ever, lowest and highest position, milliseconds."""

    group: Annotated[str, Meta(max_length=100)]
    floor: Annotated[int, Meta(ge=-MILLISECONDS_MAX, le=0)]
    ceiling: Annotated[int, Meta(ge=0, le=MILLISECONDS_MAX)]


class InvitationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation, shown only now, for the group's treasurer.

    Where two admins must agree there is none yet: it is ``asked``, under this number,
    and shown to the one who gives it her word.
    """

    group: str
    invitation: str | None
    until: str | None
    asked: int | None = None


class OpenInvitation(msgspec.Struct, frozen=True, kw_only=True):
    """A group that may still join."""

    group: str
    floor: int
    ceiling: int
    until: str


class InvitationsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Invitations that still count, at most 200, those that end first before others."""

    invitations: list[OpenInvitation]


_decoder = msgspec.json.Decoder(InvitationRequest)


class InvitationsApi:
    """The handlers, one method each.

    Args:
        house: knows who is there already.
        clerk: has the directory once it is ready.
        database: where invitations are kept.
        clock: the wall clock.
        public_url: where nodes reach this hub.
        consents: knows what needs another admin's word.
    """

    def __init__(
        self,
        house: HubHouse,
        clerk: Clerk,
        database: Database,
        clock: Clock,
        public_url: str,
        consents: Consents,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._public_url = public_url
        self._consents = consents

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        path = "/api/v1/invitations"
        return [
            Route(
                method="POST",
                path=path,
                handler=self.post_invitation,
                told="Invite a group: a one-time link for its treasurer.",
                scope="admin",
                body=InvitationRequest,
                answer=InvitationAnswer,
                status=201,
                also=(202,),
            ),
            Route(
                method="GET",
                path=path,
                handler=self.get_invitations,
                told="Who was invited and has not joined yet.",
                scope="admin",
                answer=InvitationsAnswer,
            ),
        ]

    async def post_invitation(self, request: web.Request) -> web.Response:
        """Invite a group."""
        asked = await read_json(request, _decoder)
        answer = await self.invite(asked, caller_of(request))
        return json_response(answer, 201 if answer.asked is None else 202)

    async def invite(self, asked: InvitationRequest, by: Caller) -> InvitationAnswer:
        """Make an invitation, or ask another admin for her word; as answers show it.

        Raises:
            MalformedMessageError: a name that no group can have.
            Problem: a group of that name is there already (409).
        """
        group, code = self.new_group(asked.group), invitations.new_code()
        order = Invite(group, asked.floor, asked.ceiling)
        outcome = await self._consents.take(order, by, hash_code(code))
        if isinstance(outcome, NotDecided):
            raise not_decided(outcome)
        if isinstance(outcome, Consent):
            return InvitationAnswer(
                group=group, invitation=None, until=None, asked=outcome.number
            )
        assert isinstance(outcome, Invitation)
        return self._answer(outcome, code)

    async def made_with(self, code: str) -> InvitationAnswer | None:
        """Give the invitation that was made with a code, if one was."""
        code_hash = hash_code(code)
        async with self._database.readers.acquire() as connection:
            found = await log_store.read_invitations(connection, [code_hash])
        made = found.get(code_hash)
        return None if made is None else self._answer(made, code)

    def _answer(self, made: Invitation, code: str) -> InvitationAnswer:
        federation = self._house.federation
        given = invitations.hand_over(made, code, self._public_url, federation)
        return InvitationAnswer(
            group=made.group, invitation=given.link, until=write_instant(given.until)
        )

    def new_group(self, text: str) -> Group:
        """Read the name of a group that is not there yet; fails as ``invite`` does."""
        self._clerk.check_ready()
        group = invitations.read_new_group(text)
        if group in self._house.directory:
            told = f"A group {group} is there already; names are given once."
            raise Problem(409, "group-there", told)
        return group

    async def get_invitations(self, _request: web.Request) -> web.Response:
        """Give the open ones."""
        return json_response(await self.invitations())

    async def invitations(self) -> InvitationsAnswer:
        """Give the open ones, as answers show them; a code is never shown again."""
        async with self._database.readers.acquire() as connection:
            found = await desk_store.read_invited(
                connection, self._clock.now(), _OPEN_MAX
            )
        return InvitationsAnswer(
            invitations=[
                OpenInvitation(
                    group=one.group,
                    floor=one.floor,
                    ceiling=one.ceiling,
                    until=write_instant(one.until),
                )
                for one in found
            ]
        )
