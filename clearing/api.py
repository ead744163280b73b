"""The hub's HTTP API: joining, the hub's own statement, and the admin's view."""

import msgspec
from aiohttp import web

from clearing import log_store
from clearing.house import HubHouse
from clearing.log_store import Identity, Position
from clearing.rules import Admission, AdmissionRefused
from protocol.address import Group
from protocol.directory import GroupRecord, check_digits
from protocol.joining import read_request
from protocol.ledger import TIME_UNIT
from protocol.peer import ledger_store, transfer_store
from protocol.peer.clerk import Clerk, link_state
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response, read_body
from protocol.peer.web.routes import Route

#: A request to join: three nested signatures, a few kilobytes.
_JOIN_LENGTH_MAX = 64 * 1024


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group is admitted; ``digits`` are to be compared by telephone."""

    group: str
    digits: str


class PositionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group's position, milliseconds, and whether its node mirrors it."""

    group: str
    name: str
    state: str
    position: int
    held_out: int
    held_in: int
    floor: int | None
    ceiling: int | None
    link: str
    mirror: int | None
    position_at_mirror: int | None
    is_mirrored: bool
    digits: str


class GroupsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All positions; their sum is zero."""

    federation: str
    groups: list[PositionAnswer]
    sum: int
    undecided: int


class WellKnown(msgspec.Struct, frozen=True, kw_only=True):
    """The hub's keys, signed by the root key, and the versions it speaks."""

    versions: list[int]
    federation: str
    statement: str


class Api:
    """The handlers, one method each.

    Args:
        house: knows the directory.
        clerk: admits.
        database: read only here.
        identity: who this hub is.
    """

    def __init__(
        self,
        house: HubHouse,
        clerk: Clerk,
        database: Database,
        identity: Identity,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._identity = identity

    def routes(self) -> list[Route]:
        """List what people and their programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/groups",
                handler=self.get_groups,
                told="Every group's position beside its mirror; their sum is zero.",
                scope="admin",
                answer=GroupsAnswer,
            ),
        ]

    def federation_routes(self) -> list[web.RouteDef]:
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

    async def get_groups(self, _request: web.Request) -> web.Response:
        """Give every group's position beside its node's mirror."""
        self._clerk.check_ready()
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            positions = await log_store.read_positions(connection)
            sums = await ledger_store.read_sums(connection)
            undecided = await transfer_store.count_undecided(connection)
        answer = GroupsAnswer(
            federation=self._house.federation,
            groups=[
                self._position(position)
                for position in positions
                # One that is being admitted just now is shown next time.
                if Group(position.account.account_id) in self._house.directory
            ],
            sum=sums.get(TIME_UNIT, 0),
            undecided=undecided,
        )
        return json_response(answer)

    def _position(self, position: Position) -> PositionAnswer:
        account = position.account
        record = self._house.directory[Group(account.account_id)]
        link = self._clerk.link(account.account_id)
        is_mirrored = (
            position.mirrored is not None
            and position.at_mirror is not None
            and position.mirrored == -position.at_mirror
        )
        return PositionAnswer(
            group=account.account_id,
            name=record.entry.name,
            state=record.state,
            position=account.balance,
            held_out=account.held_out,
            held_in=account.held_in,
            floor=account.floor,
            ceiling=account.ceiling,
            link=link_state(link),
            mirror=position.mirrored,
            position_at_mirror=position.at_mirror,
            is_mirrored=is_mirrored,
            digits=check_digits(self._house.federation, record.entry),
        )
