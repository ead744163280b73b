"""The regional admin's desk: groups, their positions, and decisions on them."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from clearing import log_store
from clearing.api.limits import author_of, not_decided
from clearing.consents import Consents
from clearing.house import HubHouse
from clearing.log_store import Position
from clearing.rules import (
    Approve,
    BeginLeaving,
    Consent,
    DeclareLeft,
    Disapprove,
    Freeze,
    GroupOrder,
    LeavingOrder,
    Limit,
    NotDecided,
    Proposal,
    Release,
    Stay,
    Turn,
    life_of,
)
from protocol.address import Group, read_reason
from protocol.directory import GroupRecord, check_digits, namesakes
from protocol.instant import write_instant
from protocol.ledger import TIME_UNIT
from protocol.limit_warning import LimitWarning, warn
from protocol.peer import ledger_store, transfer_store
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk, link_state
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, json_response, read_json
from protocol.peer.web.routes import Route
from protocol.peer.web.units import RateAnswer, UnitAnswer
from protocol.run_off import run_off
from protocol.strict_json import INTEGER_MAX
from protocol.unit import MILLISECONDS_MAX


class ProposalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a group asks for, beside what is so now.

    ``number`` names it when it is approved or refused; ``rate`` is the group's
    own wish, ``rate_now`` what counts until a decision.
    """

    number: int
    version: int
    name: str
    unit: UnitAnswer
    rate: RateAnswer
    rate_now: RateAnswer
    at: str


class PositionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group's position, milliseconds, and whether its node mirrors it.

    While the group is leaving, ``run_off_floor`` and ``run_off_ceiling`` bind new
    transfers: its position and zero. ``proposal`` is what waits for the regional
    admin, if anything does; ``warning`` what is worth a word about its limits, at the
    pace that was read last. ``asked`` is the number under which just this waits for
    another admin's word. ``same_name`` lists other groups whose name for people
    reads the same.
    """

    group: str
    name: str
    same_name: list[str]
    state: str
    unit: UnitAnswer
    rate: RateAnswer
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
    proposal: ProposalAnswer | None
    warning: LimitWarning | None
    run_off_floor: int | None = None
    run_off_ceiling: int | None = None
    asked: int | None = None


class GroupsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All positions; their sum is zero.

    From ``warn_percent`` of the room to a limit on people are warned.
    """

    federation: str
    groups: list[PositionAnswer]
    warn_percent: int
    sum: int
    undecided: int


class ProposalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which proposal is meant: the number that was seen."""

    proposal: Annotated[int, Meta(ge=1, le=INTEGER_MAX)]


class LimitsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lowest and highest position, milliseconds, and why.

    Limits that the position is outside of are refused unless ``even_outside``.
    """

    floor: Annotated[int, Meta(ge=-MILLISECONDS_MAX, le=0)]
    ceiling: Annotated[int, Meta(ge=0, le=MILLISECONDS_MAX)]
    reason: str
    even_outside: bool = False


class LeftRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The position that was seen and stays behind, milliseconds; 0: none."""

    position: Annotated[int, Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)] = 0


_proposal_decoder = msgspec.json.Decoder(ProposalRequest)
_limits_decoder = msgspec.json.Decoder(LimitsRequest)
_left_decoder = msgspec.json.Decoder(LeftRequest)


class GroupsApi:
    """The handlers, one method each.

    Args:
        house: knows the directory.
        clerk: decides.
        database: read only here.
        consents: knows what needs another admin's word.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, database: Database, consents: Consents
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._consents = consents

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/groups",
                handler=self.get_groups,
                told="Every group's position beside its mirror; their sum is zero.",
                scope="admin",
                answer=GroupsAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/groups/{group}",
                handler=self.get_group,
                told="One group, and what it asks for, if anything.",
                scope="admin",
                answer=PositionAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/approve",
                handler=self.post_approve,
                told="Approve what a group asks for; it counts from this decision.",
                scope="admin",
                body=ProposalRequest,
                answer=PositionAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/refuse",
                handler=self.post_refuse,
                told="Say no to what a group asks for.",
                scope="admin",
                body=ProposalRequest,
                answer=PositionAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/freeze",
                handler=self.post_freeze,
                told="Let nothing new in or out; what is in flight is decided.",
                scope="admin",
                answer=PositionAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/release",
                handler=self.post_release,
                told="Let a frozen group be as it was before.",
                scope="admin",
                answer=PositionAnswer,
                also=(202,),
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/limits",
                handler=self.post_limits,
                told="Set lowest and highest position; they bind new transfers only.",
                scope="admin",
                body=LimitsRequest,
                answer=PositionAnswer,
                also=(202,),
            ),
            *self._of_leaving(),
        ]

    def _of_leaving(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/groups/{group}/leaving",
                handler=self.post_leaving,
                told="Have a group's position run off: a debtor only receives, a"
                " creditor only pays, never past zero.",
                scope="admin",
                answer=PositionAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/stay",
                handler=self.post_stay,
                told="Let a group that is leaving stay after all.",
                scope="admin",
                answer=PositionAnswer,
                also=(202,),
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/left",
                handler=self.post_left,
                told="Say that a group has left, for ever; with the position that it"
                " leaves behind, if any.",
                scope="admin",
                body=LeftRequest,
                answer=PositionAnswer,
                also=(202,),
            ),
        ]

    async def get_groups(self, _request: web.Request) -> web.Response:
        """Give every group's position beside its node's mirror."""
        return json_response(await self.groups())

    async def groups(self) -> GroupsAnswer:
        """Give all positions, as answers show them."""
        self._clerk.check_ready()
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            positions = await log_store.read_positions(connection)
            sums = await ledger_store.read_sums(connection)
            undecided = await transfer_store.count_undecided(connection)
        return GroupsAnswer(
            federation=self._house.federation,
            groups=[
                self._position(position)
                for position in positions
                # One that is being admitted just now is shown next time.
                if Group(position.account.account_id) in self._house.directory
            ],
            sum=sums.get(TIME_UNIT, 0),
            warn_percent=self._house.limits.percent,
            undecided=undecided,
        )

    async def get_group(self, request: web.Request) -> web.Response:
        """Give one group."""
        return json_response(await self.group(request.match_info["group"]))

    async def post_approve(self, request: web.Request) -> web.Response:
        """Approve the very proposal that was seen."""
        group, asked = self._asked(request), await read_json(request, _proposal_decoder)
        return await self._decide(request, Approve(group, asked.proposal))

    async def post_refuse(self, request: web.Request) -> web.Response:
        """Say no to the very proposal that was seen."""
        group, asked = self._asked(request), await read_json(request, _proposal_decoder)
        return await self._decide(request, Disapprove(group, asked.proposal))

    async def post_freeze(self, request: web.Request) -> web.Response:
        """Freeze a group; one that is frozen stays so."""
        return await self._decide(request, Freeze(self._asked(request)))

    async def post_release(self, request: web.Request) -> web.Response:
        """Release a group; one that is active stays so."""
        return await self._decide(request, Release(self._asked(request)))

    async def post_limits(self, request: web.Request) -> web.Response:
        """Set a group's limits."""
        group, asked = self._asked(request), await read_json(request, _limits_decoder)
        limit = Limit(
            group,
            asked.floor,
            asked.ceiling,
            author=await author_of(self._database, caller_of(request).person_id),
            reason=read_reason(asked.reason),
            even_outside=asked.even_outside,
        )
        return await self._decide(request, limit)

    async def post_leaving(self, request: web.Request) -> web.Response:
        """Begin a group's leaving; one that is leaving goes on."""
        return await self._decide(request, BeginLeaving(self._asked(request)))

    async def post_stay(self, request: web.Request) -> web.Response:
        """Take a group's leaving back; one that is active stays so."""
        return await self._decide(request, Stay(self._asked(request)))

    async def post_left(self, request: web.Request) -> web.Response:
        """Say that a group has left; one that has stays away."""
        group, asked = self._asked(request), await read_json(request, _left_decoder)
        return await self._decide(request, DeclareLeft(group, asked.position))

    def _asked(self, request: web.Request) -> Group:
        return self.known(request.match_info["group"])

    def known(self, name: str) -> Group:
        """Say which group is meant.

        Raises:
            Problem: there is none of that name (404).
        """
        self._clerk.check_ready()
        group = Group(name)
        if group not in self._house.directory:
            raise Problem(404, "not-found", "There is no group by this name.")
        return group

    async def _decide(
        self, request: web.Request, order: GroupOrder | LeavingOrder
    ) -> web.Response:
        answer = await self.decide(order, caller_of(request))
        return json_response(answer, 200 if answer.asked is None else 202)

    async def decide(
        self, order: GroupOrder | LeavingOrder, by: Caller
    ) -> PositionAnswer:
        """Have it decided, once; the answer is how the group then stands.

        Where another admin's word is needed it is kept as ``asked``, and all is as
        it was.

        Raises:
            Problem: it is not, with the reason (409).
        """
        outcome = await self._consents.take(order, by)
        if isinstance(outcome, NotDecided):
            raise not_decided(outcome)
        answer = await self.group(order.group)
        if isinstance(outcome, Consent):
            return msgspec.structs.replace(answer, asked=outcome.number)
        assert isinstance(outcome, GroupRecord)
        return answer

    async def group(self, name: str) -> PositionAnswer:
        """Give one group, as answers show it."""
        group = self.known(name)
        async with self._database.readers.acquire() as connection:
            positions = await log_store.read_positions(connection)
        found = [one for one in positions if one.account.account_id == group]
        return self._position(found[0])

    def life(self, name: str) -> list[Turn]:
        """Give since when a group was what, oldest first."""
        return life_of(self._house.directory_lines, self.known(name))

    def _position(self, position: Position) -> PositionAnswer:
        account = position.account
        group = Group(account.account_id)
        record = self._house.directory[group]
        bounded = run_off(account) if record.state == "leaving" else None
        link = self._clerk.link(group)
        is_mirrored = (
            position.mirrored is not None
            and position.at_mirror is not None
            and position.mirrored == -position.at_mirror
        )
        entry, proposal = record.entry, self._house.proposals.get(group)
        return PositionAnswer(
            group=group,
            name=entry.name,
            same_name=namesakes(self._house.directory, group),
            state=record.state,
            unit=UnitAnswer.of(entry.unit),
            rate=RateAnswer.of(entry.rates[-1], entry.unit.decimals),
            position=account.balance,
            held_out=account.held_out,
            held_in=account.held_in,
            floor=account.floor,
            ceiling=account.ceiling,
            link=link_state(link),
            mirror=position.mirrored,
            position_at_mirror=position.at_mirror,
            is_mirrored=is_mirrored,
            digits=check_digits(self._house.federation, entry),
            proposal=waiting_answer(record, proposal),
            warning=warn(
                account.balance,
                account.floor,
                account.ceiling,
                self._house.limits.percent,
                self._house.past.get(group),
            ),
            run_off_floor=None if bounded is None else bounded.floor,
            run_off_ceiling=None if bounded is None else bounded.ceiling,
        )


def waiting_answer(
    record: GroupRecord, proposal: Proposal | None
) -> ProposalAnswer | None:
    """Show what a group asks for beside what is so now; ``None``: nothing waits."""
    if proposal is None or not proposal.is_waiting:
        return None
    entry, decimals = proposal.entry, record.entry.unit.decimals
    return ProposalAnswer(
        number=proposal.number,
        version=entry.version,
        name=entry.name,
        unit=UnitAnswer.of(entry.unit),
        rate=RateAnswer.of(entry.rates[-1], decimals),
        rate_now=RateAnswer.of(record.entry.rates[-1], decimals),
        at=write_instant(proposal.at),
    )
