"""What servers ask the hub without a token: who it is, and to be admitted."""

import msgspec
from aiohttp import web

from clearing.house import HubHouse
from clearing.log_store import Identity
from clearing.rules import Admission, AdmissionRefused, NotDecided, RecoverKeys
from protocol import jws
from protocol.address import read_group
from protocol.directory import GroupRecord, check_digits, entry_key, read_entry
from protocol.errors import NotSignedError
from protocol.joining import read_request
from protocol.key_change import read_recovery_request
from protocol.keyring import key_id
from protocol.peer.clerk import Clerk
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response, read_body

#: A request to join: three nested signatures, a few kilobytes.
_JOIN_LENGTH_MAX = 64 * 1024
#: A request for new keys: two nested signatures, one of them over a whole entry.
_RECOVERY_LENGTH_MAX = 64 * 1024


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group is admitted; ``digits`` are to be compared by telephone."""

    group: str
    digits: str


class RecoveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group has new keys; ``digits`` are those that others may compare."""

    group: str
    version: int
    digits: str


class NewestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A group's newest entry as it was signed, for whoever is not heard any more."""

    group: str
    entry: str


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
            web.post("/federation/v1/recovery", self.post_recovery),
            web.get("/federation/v1/recovery/{group}", self.get_recovery),
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

    async def get_recovery(self, request: web.Request) -> web.Response:
        """Give a group's newest entry: new keys must follow it."""
        self._clerk.check_ready()
        group = read_group(request.match_info["group"])
        record = self._house.directory.get(group)
        if record is None:
            raise web.HTTPNotFound
        return json_response(NewestEntry(group=group, entry=record.signed))

    async def post_recovery(self, request: web.Request) -> web.Response:
        """Give a group new keys by its recovery key; the same again, the same answer.

        It goes past the link: who has lost the signing key is not heard there.
        """
        raw = await read_body(request, _RECOVERY_LENGTH_MAX)
        wanted, parts = read_recovery_request(raw, self._house.federation)
        entry = read_entry(wanted.entry, self._house.federation)
        public = entry_key(entry.keys, "signing")
        if parts.kid != key_id(public):
            raise NotSignedError("recovery request: not signed by the entry's key")
        jws.check(parts, public)
        order = RecoverKeys(
            entry=entry,
            signed=wanted.entry,
            statement=wanted.statement,
            sent=wanted.sent,
        )
        outcome = await self._clerk.take(order)
        if isinstance(outcome, NotDecided):
            code = outcome.code
            raise Problem(409, "not-recovered", f"Refused: {code}.", code=code)
        assert isinstance(outcome, GroupRecord)
        return json_response(
            RecoveryAnswer(
                group=outcome.entry.group,
                version=outcome.entry.version,
                digits=check_digits(self._house.federation, outcome.entry),
            )
        )
