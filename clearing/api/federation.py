"""What servers ask the hub without a token: who it is, and to be admitted."""

import msgspec
from aiohttp import web

from clearing.house import HubHouse
from clearing.log_store import Identity
from clearing.rules import Admission, AdmissionRefused
from protocol.directory import GroupRecord, check_digits
from protocol.joining import read_request
from protocol.peer.clerk import Clerk
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response, read_body

#: A request to join: three nested signatures, a few kilobytes.
_JOIN_LENGTH_MAX = 64 * 1024


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group is admitted; ``digits`` are to be compared by telephone."""

    group: str
    digits: str


class WellKnown(msgspec.Struct, frozen=True, kw_only=True):
    """The hub's keys, signed by the root key, and the versions it speaks."""

    versions: list[int]
    federation: str
    statement: str


class FederationApi:
    """The handlers, one method each.

    Args:
        house: knows which federation this is.
        clerk: admits.
        identity: who this hub is.
    """

    def __init__(self, house: HubHouse, clerk: Clerk, identity: Identity) -> None:
        self._house = house
        self._clerk = clerk
        self._identity = identity

    def routes(self) -> list[web.RouteDef]:
        """List what other servers ask without a token."""
        return [
            web.get("/.well-known/interlets", self.get_well_known),
            web.post("/federation/v1/join", self.post_join),
        ]

    async def get_well_known(self, _request: web.Request) -> web.Response:
        """Give the hub's keys as the root key signed them."""
        return json_response(
            WellKnown(
                versions=[1],
                federation=self._identity.federation,
                statement=self._identity.statement,
            )
        )

    async def post_join(self, request: web.Request) -> web.Response:
        """Admit a group by its invitation; the same request, the same answer."""
        raw = await read_body(request, _JOIN_LENGTH_MAX)
        stated = read_request(raw, self._house.federation)
        admission = Admission(
            entry=stated.entry,
            signed=stated.signed,
            code_hash=stated.code_hash,
            request_hash=stated.request_hash,
        )
        outcome = await self._clerk.take(admission)
        if isinstance(outcome, AdmissionRefused):
            raise Problem(403, "not-admitted", outcome.told)
        assert isinstance(outcome, GroupRecord)
        answer = JoinAnswer(
            group=outcome.entry.group,
            digits=check_digits(self._house.federation, outcome.entry),
        )
        return json_response(answer, status=201)
