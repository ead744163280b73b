"""How far a cycle is settled: where its legs have brought its positions.

All of it follows from statements, settled legs and the names of exceptions, as anyone
recomputes it; nothing is believed because a row says so. What was traded since
belongs to the next cycle.
"""

import asyncio

import msgspec
from aiohttp import web

from clearing import cycle_store
from clearing.api.cycles import cycle_of, found_cycle
from clearing.rules import Leg, standing_of
from protocol.instant import Instant, write_instant
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web.requests import json_response
from protocol.peer.web.routes import Route


class PlanAnswer(msgspec.Struct, frozen=True):
    """A plan that was made for a cycle: when, how many legs, whom it left out."""

    at: str
    legs: int
    excepted: list[str]


class PositionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A position at a cycle's end, with the legs settled for it, and its target.

    Milliseconds. The reserve is among them.
    """

    group: str
    closing: int
    now: int
    target: int
    is_excepted: bool


class WaitingLeg(msgspec.Struct, frozen=True, kw_only=True):
    """A leg that lacks a word, and for how long; late after 14 days."""

    id: str
    lacks: list[str]
    waiting_ms: int
    is_late: bool


class StandingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How far a cycle is settled.

    Without ``plans`` its positions were carried forward, and there are no
    ``positions``. ``is_settled``: each of them stands at the target of the newest plan.
    """

    cycle: int
    plans: list[PlanAnswer]
    is_settled: bool
    positions: list[PositionLine]
    waiting: list[WaitingLeg]


class StandingApi:
    """The handler.

    Args:
        database: only read.
        clock: to tell how long words are waited for.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/standing",
                handler=self.get_standing,
                told="Where settled legs have brought a cycle's positions.",
                scope="admin",
                answer=StandingAnswer,
            )
        ]

    async def get_standing(self, request: web.Request) -> web.Response:
        """Give how far a cycle is settled."""
        return json_response(await self.standing(cycle_of(request)))

    async def standing(self, number: int) -> StandingAnswer:
        """Say how far a cycle is settled; raises ``Problem`` 404."""
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            closed = found_cycle(await cycle_store.read_cycle(connection, number))
            kept = await cycle_store.read_what_settles(connection, number)
        now = self._clock.now()
        found = StandingAnswer(
            cycle=number,
            plans=[
                PlanAnswer(write_instant(one.at), one.legs, list(one.excepted))
                for one in kept.plans
            ],
            is_settled=False,
            positions=[],
            waiting=[_waiting(leg, now) for leg in kept.legs if leg.lacks],
        )
        if not kept.plans:
            return found
        standing = await asyncio.to_thread(
            standing_of, closed, kept.statements, kept.settled, kept.plans[-1]
        )
        lines = [
            PositionLine(
                group=group,
                closing=standing.closing[group],
                now=position,
                target=standing.targets[group],
                is_excepted=group in standing.excepted,
            )
            for group, position in standing.positions.items()
        ]
        return msgspec.structs.replace(
            found, is_settled=standing.is_settled, positions=lines
        )


def _waiting(leg: Leg, now: Instant) -> WaitingLeg:
    return WaitingLeg(
        id=leg.leg_id,
        lacks=leg.lacks,
        waiting_ms=leg.waited_ms(now),
        is_late=leg.is_late(now),
    )
