"""The regional admin's desk: what a group leaves behind is shared by the others."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from clearing import share_store
from clearing.api.cycles import cycle_of
from clearing.consents import Consents
from clearing.house import HubHouse
from clearing.rules import (
    Consent,
    ForeseeCharge,
    ForeseeShares,
    NotShared,
    Shared,
    ShareDebt,
    TellShares,
)
from clearing.share_store import Found
from protocol.address import UUID, UUID_PATTERN, Group
from protocol.errors import SharingRefusalCode
from protocol.instant import write_nullable
from protocol.messages import Share, SharedDecision, SharedPlan, read_item
from protocol.peer.access_store import Caller
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import (
    caller_of,
    json_response,
    read_json,
    read_query,
)
from protocol.peer.web.routes import Route
from protocol.shared import charge_id
from protocol.sharing import SharingRule

_MOST = 200


class RuleQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By which rule: the one that the groups have agreed on."""

    rule: SharingRule


class PlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which plan is meant: the id that all were told."""

    plan: Annotated[str, Meta(pattern=UUID_PATTERN)]


class AgreedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the groups have agreed on, for all of them to see.

    ``rule`` is how what a group leaves behind is shared; ``null``: it is not.
    ``charge_rate`` and ``charge_threshold`` are millionths; a rate of 0: no charge.
    """

    rule: str | None
    charge_rate: int
    charge_threshold: int


class SharesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What each group takes over, milliseconds: ``amount`` is added to its position.

    ``position`` is what ``group`` leaves behind: a debt is below zero. ``state`` is
    ``foreseen`` (nobody was told), ``told``, ``decided``, or ``replaced`` by another.
    ``asked``: it waits for another admin's word, under this number.
    """

    id: str
    why: str
    group: str | None
    rule: str | None
    cycle: int
    position: int
    reserve: int
    shares: list[Share]
    state: str
    told_at: str | None
    decided_at: str | None
    log: str | None
    number: int | None
    asked: int | None = None


class ChargeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle's average positions pay into the reserve; ``null``: nothing.

    ``is_open``: it is foreseen, as if the cycle ended now.
    """

    cycle: int
    is_open: bool
    agreed: AgreedAnswer
    charge: SharesAnswer | None


class SharingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The agreed rule, and what was shared by it, newest first."""

    agreed: AgreedAnswer
    shared: list[SharesAnswer]


_rule_decoder = msgspec.json.Decoder(RuleQuery)
_plan_decoder = msgspec.json.Decoder(PlanRequest)


class SharesApi:
    """The handlers, one method each.

    Args:
        house: knows the directory, and what was agreed on.
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

    def for_all(self) -> list[web.RouteDef]:
        """List what everyone may ask without a token."""
        return [web.get("/federation/v1/sharing", self.get_agreed)]

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/sharing",
                handler=self.get_sharing,
                told="The rule that groups agreed on, and what was shared by it.",
                scope="admin",
                answer=SharingAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/charge",
                handler=self.get_charge,
                told="What a cycle's positions pay into the reserve, or would now.",
                scope="admin",
                answer=ChargeAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/groups/{group}/shares",
                handler=self.get_shares,
                told="What each group would take over of what one leaves behind.",
                scope="admin",
                query=RuleQuery,
                answer=SharesAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/shares/tell",
                handler=self.post_tell,
                told="Put before all groups what each would take over.",
                scope="admin",
                body=RuleQuery,
                answer=SharesAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/groups/{group}/shares/decide",
                handler=self.post_decide,
                told="Decide what all groups were told; it moves their positions.",
                scope="admin",
                body=PlanRequest,
                answer=SharesAnswer,
                also=(202,),
            ),
        ]

    async def get_agreed(self, _request: web.Request) -> web.Response:
        """Say to everyone what the groups have agreed on."""
        return json_response(self.agreed())

    def agreed(self) -> AgreedAnswer:
        """Give what the groups have agreed on, as answers show it."""
        rule, charge = self._house.agreed.rule, self._house.agreed.charge
        return AgreedAnswer(
            rule=None if rule is None else rule.value,
            charge_rate=charge.rate,
            charge_threshold=charge.threshold,
        )

    async def get_sharing(self, _request: web.Request) -> web.Response:
        """Give the rule and what came of it."""
        return json_response(await self.sharing())

    async def sharing(self) -> SharingAnswer:
        """Give the rule and what came of it, as answers show it."""
        async with self._database.readers.acquire() as connection:
            found = await share_store.read_shared(connection, _MOST)
        return SharingAnswer(
            agreed=self.agreed(), shared=[_shared(one) for one in found]
        )

    async def one(self, shared_id: str) -> SharesAnswer:
        """Give one sharing; raises ``Problem`` 404."""
        found = None
        if UUID.fullmatch(shared_id):
            async with self._database.readers.acquire() as connection:
                found = await share_store.read_one(connection, shared_id)
        if found is None:
            raise Problem(404, "not-found", "There is no sharing of this id.")
        return _shared(found)

    async def told_of(self, group: str) -> list[SharesAnswer]:
        """Give all that was ever told of what a group leaves, newest first."""
        async with self._database.readers.acquire() as connection:
            found = await share_store.read_of_groups(connection, [group])
        return [
            _answer(one.plan, one.state.value, one)
            for one in reversed(list(found.values()))
        ]

    async def get_charge(self, request: web.Request) -> web.Response:
        """Give what was charged; of the open cycle, what would be."""
        return json_response(await self.charge(cycle_of(request)))

    async def charge(self, cycle: int) -> ChargeAnswer:
        """Give what was charged, or would be; raises ``Problem`` 404."""
        opened = self._open()
        if cycle > opened:
            raise Problem(404, "not-found", "There is no cycle of this number yet.")
        is_open = cycle == opened
        charge = await (self._foreseen(cycle) if is_open else self._charged(cycle))
        return ChargeAnswer(
            cycle=cycle, is_open=is_open, agreed=self.agreed(), charge=charge
        )

    def _open(self) -> int:
        closed = self._house.closed
        return 1 if closed is None else closed.cycle + 1

    async def _foreseen(self, cycle: int) -> SharesAnswer | None:
        # Pages ask every 15 seconds; where nothing can come of it, nobody is asked.
        if not self._house.agreed.charge.rate or self._house.closed is None:
            return None
        found = await self._clerk.take(ForeseeCharge(cycle))
        if found is None:
            return None
        assert isinstance(found, SharedDecision)
        return _answer(found, "foreseen", None)

    async def _charged(self, cycle: int) -> SharesAnswer | None:
        name = charge_id(self._house.federation, cycle)
        async with self._database.readers.acquire() as connection:
            found = await share_store.read_one(connection, name)
        return None if found is None else _shared(found)

    async def get_shares(self, request: web.Request) -> web.Response:
        """Foresee: nobody is told, nothing moves."""
        group, asked = self._group(request), read_query(request, RuleQuery)
        return json_response(await self.foresee(group, asked.rule))

    async def foresee(self, group: Group, rule: SharingRule) -> SharesAnswer:
        """Say what each would take over; raises ``Problem`` 409 with the reason."""
        plan = await self._clerk.take(ForeseeShares(group, rule))
        if isinstance(plan, NotShared):
            raise not_shared(plan)
        assert isinstance(plan, SharedPlan)
        return _answer(plan, "foreseen", None)

    async def post_tell(self, request: web.Request) -> web.Response:
        """Tell all whom it concerns."""
        group, asked = self._group(request), await read_json(request, _rule_decoder)
        outcome = await self._clerk.take(TellShares(group, asked.rule))
        return json_response(_outcome(outcome))

    async def post_decide(self, request: web.Request) -> web.Response:
        """Decide the very plan that all were told; once."""
        group, asked = self._group(request), await read_json(request, _plan_decoder)
        order = ShareDebt(group, asked.plan)
        answer = await self.decide(order, caller_of(request))
        return json_response(answer, 200 if answer.asked is None else 202)

    async def decide(self, order: ShareDebt, by: Caller) -> SharesAnswer:
        """Have it decided, once; the answer is how it then is.

        Where another admin's word is needed it is kept as ``asked``, and nothing moves.

        Raises:
            Problem: it is not, with the reason (404, 409).
        """
        outcome = await self._consents.take(order, by)
        if not isinstance(outcome, Consent):
            return _outcome(outcome)
        async with self._database.readers.acquire() as connection:
            told = await share_store.read_one(connection, order.plan)
        assert told is not None, "the rule has found it"
        return msgspec.structs.replace(_shared(told), asked=outcome.number)

    def _group(self, request: web.Request) -> Group:
        self._clerk.check_ready()
        group = Group(request.match_info["group"])
        if group not in self._house.directory:
            raise Problem(404, "not-found", "There is no group by this name.")
        return group


def _outcome(outcome: object) -> SharesAnswer:
    if isinstance(outcome, NotShared):
        raise not_shared(outcome)
    assert isinstance(outcome, Shared)
    return _answer(outcome.plan, outcome.state.value, outcome)


def not_shared(outcome: NotShared) -> Problem:
    """Say no with the code, and with the group that stands in the way."""
    code = outcome.code
    is_unknown = code is SharingRefusalCode.NO_SUCH_PLAN
    told, status = f"Refused: {code}.", 404 if is_unknown else 409
    return Problem(status, "not-done", told, code=code, extra={"group": outcome.group})


def _shared(found: Found) -> SharesAnswer:
    shared = found.shared
    if shared.line is not None:
        return _answer(shared.plan, shared.state.value, shared)
    decision = read_item(found.decision or b"")
    assert isinstance(decision, SharedDecision), "a charge is decided when it is kept"
    return _answer(decision, shared.state.value, shared)


def _answer(
    said: SharedPlan | SharedDecision, state: str, shared: Shared | None
) -> SharesAnswer:
    is_debt = said.group is not None
    name = None if shared is None else shared.name
    told_at = None if shared is None else shared.told_at
    decided_at = None if shared is None else shared.decided_at
    return SharesAnswer(
        id=said.id,
        why="debt" if is_debt else "charge",
        group=said.group,
        rule=said.rule,
        cycle=said.cycle,
        position=sum(one.amount for one in said.shares) if is_debt else 0,
        reserve=0 if isinstance(said, SharedPlan) else said.reserve,
        shares=list(said.shares),
        state=state,
        told_at=write_nullable(told_at),
        decided_at=write_nullable(decided_at),
        log=None if name is None else name.log,
        number=None if name is None else name.number,
    )
