"""How a cycle's positions come to their targets: by which legs, and how far they are.

What is shown here decides nothing: the clerk plans anew when legs are ordered
(``clearing.rules.settling``), from the same rows by the same law.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from aiohttp import web

from clearing import cycle_store, share_store
from clearing.api.cycles import LegAnswer, cycle_of, found_cycle, leg_answer
from clearing.api.turns import Turns
from clearing.house import HubHouse
from clearing.rules import (
    Aim,
    ClosedCycle,
    Settlement,
    Statement,
    aim_of,
    standing_of,
    who_left,
    who_stops_plan,
)
from protocol import netting
from protocol.errors import CycleRefusalCode
from protocol.netting import Plan
from protocol.peer.database import Database
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import Route

#: Who comes when so many wait for a plan is told to come back.
_WAITING_MAX = 4


class PlannedLeg(msgspec.Struct, frozen=True):
    """What one group would make good to another, milliseconds."""

    debtor: str
    creditor: str
    milliseconds: int


class TargetLine(msgspec.Struct, frozen=True, kw_only=True):
    """A position at the cycle's end, with the legs settled since, and where to."""

    group: str
    closing: int
    now: int
    target: int


class SettlementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle's legs, or those that would be made.

    ``code`` says why no legs can be made now, and ``group`` who stands in the way;
    ``plan`` is empty then. No plan has fewer legs than ``bound``. All of ``groups``
    come from the cycle's end: what was traded since belongs to the next one.
    """

    cycle: int
    legs: list[LegAnswer]
    groups: list[TargetLine]
    plan: list[PlannedLeg]
    bound: int
    code: str | None
    group: str

    @property
    def has_arrived(self) -> bool:
        """Say whether every position stands at its target."""
        return all(one.now == one.target for one in self.groups)


class SettlementApi:
    """The handlers, one method each.

    Args:
        house: knows the newest cycle and open legs.
        database: only read.
    """

    def __init__(self, house: HubHouse, database: Database) -> None:
        self._house = house
        self._database = database
        # Of many groups, a plan takes its time.
        self._turns = Turns(1, _WAITING_MAX)

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/settlement",
                handler=self.get_settlement,
                told="A cycle's legs, or those that settling it now would make.",
                scope="admin",
                answer=SettlementAnswer,
            )
        ]

    async def get_settlement(self, request: web.Request) -> web.Response:
        """Give how a cycle is settled, or would be."""
        return json_response(await self.settlement(cycle_of(request)))

    async def settlement(
        self, number: int, excepted: Sequence[str] = ()
    ) -> SettlementAnswer:
        """Say how a cycle is settled, as answers show it; raises ``Problem`` 404.

        Args:
            number: which cycle.
            excepted: groups that the plan to show leaves out.
        """
        async with (
            self._turns.take(),
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            closed = found_cycle(await cycle_store.read_cycle(connection, number))
            newest = await cycle_store.read_newest(connection)
            kept = await cycle_store.read_what_settles(connection, number)
            shared = await share_store.read_group_since(connection, closed.name)
        stated, plans, legs, settled = kept
        code, group = self._why_not(closed, newest, stated, excepted, shared)
        known = () if code is CycleRefusalCode.EXCEPTION_WRONG else tuple(excepted)
        wanted = Settlement(
            cycle=number, place=len(legs), legs=0, at=closed.at, excepted=known
        )
        # Where the newest plan leads, or where the one that is asked for would.
        newest_plan = plans[-1] if plans and not known else wanted
        standing = standing_of(closed, stated, settled, newest_plan)
        closing, now, targets = standing.closing, standing.positions, standing.targets
        plan = Plan(legs=(), bound=0)
        if code is None:
            aim = aim_of(closed.reserve, stated, settled, known)
            plan, code, group = await self._plan(aim)
        return SettlementAnswer(
            cycle=number,
            legs=[leg_answer(leg) for leg in legs],
            groups=[
                TargetLine(
                    group=name, closing=closing[name], now=now[name], target=target
                )
                for name, target in targets.items()
            ],
            plan=[
                PlannedLeg(one.debtor, one.creditor, one.milliseconds)
                for one in plan.legs
            ],
            bound=plan.bound,
            code=None if code is None else code.value,
            group=group,
        )

    async def _plan(self, aim: Aim) -> tuple[Plan, CycleRefusalCode | None, str]:
        """Make the plan, or say why there is none, and because of which group."""
        left = who_left(self._house.directory, aim)
        if left is not None:
            return Plan(legs=(), bound=0), CycleRefusalCode.PARTY_LEFT, left
        plan = await asyncio.to_thread(netting.make_plan, aim.positions, aim.targets)
        return plan, None if plan.legs else CycleRefusalCode.NOTHING_TO_SETTLE, ""

    def _why_not(
        self,
        closed: ClosedCycle,
        newest: ClosedCycle | None,
        stated: Sequence[Statement],
        excepted: Sequence[str],
        shared: str | None,
    ) -> tuple[CycleRefusalCode | None, str]:
        """Say why no legs of it are made now, and because of which group."""
        if newest is None or newest.cycle != closed.cycle:
            return CycleRefusalCode.CYCLE_NOT_NEWEST, ""
        if self._house.legs:
            return CycleRefusalCode.LEGS_OPEN, ""
        return who_stops_plan(stated, excepted, shared) or (None, "")
