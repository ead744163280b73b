"""Transfers as the hub sees them: flows, what is under way, and one with its proof."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from clearing import desk_store
from clearing.desk_store import Flow
from clearing.trail import Trail, TrailItem
from protocol.address import UUID
from protocol.instant import Instant, write_instant
from protocol.peer import transfer_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response, read_query
from protocol.peer.web.routes import Route
from protocol.transfer import Transfer

_UNDER_WAY_MAX = 100
_DAY_MS = 86_400_000
DAYS_MAX = 36_500
DAYS = 30
#: The ages by which what is under way is counted: ends of all but the last.
AGES_MS = (60_000, 3_600_000, _DAY_MS)


class FlowsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of how many days, until now."""

    days: Annotated[int, Meta(ge=1, le=DAYS_MAX)] = DAYS


class FlowAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What members of one group paid those of another, milliseconds."""

    payer_group: str
    payee_group: str
    transfers: int
    milliseconds: int


class FlowsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All flows since a time, largest first."""

    since: str
    flows: list[FlowAnswer]


class AgeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Transfers under way that are younger than so much; ``None``: all older ones."""

    under_ms: int | None
    transfers: int
    milliseconds: int


class UnderWayLine(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer under way."""

    id: str
    payer_group: str
    payee_group: str
    milliseconds: int
    state: str
    taken: str
    decide_by: str


class UnderWayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many are under way by age, and the oldest hundred of them."""

    ages: list[AgeAnswer]
    oldest: list[UnderWayLine]


class ItemAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One signed item that names the transfer.

    ``from`` has signed it as item ``number`` of its stream to ``to``; ``at`` is when
    the hub took or sealed the envelope that carries it, "" while it waits for that.
    ``signature``: ``good``, ``wrong``, or ``none`` while it waits. ``line`` is the
    item as it was signed.
    """

    from_: str = msgspec.field(name="from")
    to: str
    number: int
    type: str
    at: str
    key: str
    signature: str
    line: str


class TransferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer with all items that name it, oldest first."""

    id: str
    state: str
    code: str | None
    payer_group: str
    payee_group: str
    milliseconds: int
    taken: str
    decide_by: str
    decided: str
    log: str | None
    number: int | None
    refund_of: str | None
    refunded: int
    items: list[ItemAnswer]


class TransfersApi:
    """The handlers, one method each.

    Args:
        clerk: has the directory once it is ready.
        database: read only here.
        clock: the wall clock.
        trail: finds items.
    """

    def __init__(
        self,
        clerk: Clerk,
        database: Database,
        clock: Clock,
        trail: Trail,
    ) -> None:
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._trail = trail

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/flows",
                handler=self.get_flows,
                told="What groups' members paid each other, of so many days.",
                scope="admin",
                query=FlowsQuery,
                answer=FlowsAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/transfers",
                handler=self.get_under_way,
                told="What is under way: how many by age, and the oldest of them.",
                scope="admin",
                answer=UnderWayAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/transfers/{id}",
                handler=self.get_transfer,
                told="One transfer with all its items, signatures and times.",
                scope="admin",
                answer=TransferAnswer,
            ),
        ]

    async def get_flows(self, request: web.Request) -> web.Response:
        """Give flows between groups."""
        return json_response(await self.flows(read_query(request, FlowsQuery).days))

    async def flows(self, days: int) -> FlowsAnswer:
        """Give flows of the last days, as answers show them."""
        since = Instant(max(self._clock.now() - days * _DAY_MS, 0))
        async with self._database.readers.acquire() as connection:
            flows = await desk_store.read_flows(connection, since)
        return FlowsAnswer(
            since=write_instant(since), flows=[_flow(one) for one in flows]
        )

    async def get_under_way(self, _request: web.Request) -> web.Response:
        """Give what is not decided yet."""
        return json_response(await self.under_way())

    async def under_way(self, most: int = _UNDER_WAY_MAX) -> UnderWayAnswer:
        """Give what is not decided yet, as answers show it; the oldest, so many."""
        now = self._clock.now()
        marks = [Instant(now - age) for age in AGES_MS]
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            ages = await desk_store.read_ages(connection, marks)
            oldest = await desk_store.read_undecided(connection, most)
        counted = {one.marks: one for one in ages}
        return UnderWayAnswer(
            ages=[
                AgeAnswer(
                    under_ms=under,
                    transfers=counted[place].transfers if place in counted else 0,
                    milliseconds=counted[place].milliseconds if place in counted else 0,
                )
                for place, under in enumerate((*AGES_MS, None))
            ],
            oldest=[
                UnderWayLine(
                    id=one.transfer_id,
                    payer_group=one.payer_group,
                    payee_group=one.payee_group,
                    milliseconds=one.milliseconds,
                    state=one.state,
                    taken=write_instant(one.taken_at),
                    decide_by=write_instant(one.decide_by),
                )
                for one in oldest
            ],
        )

    async def get_transfer(self, request: web.Request) -> web.Response:
        """Give one transfer."""
        return json_response(await self.transfer(request.match_info["id"]))

    async def transfer(self, transfer_id: str) -> TransferAnswer:
        """Give one transfer, as answers show it.

        Raises:
            Problem: the hub knows none of that id (404).
        """
        self._clerk.check_ready()
        transfer, items = None, list[TrailItem]()
        if UUID.fullmatch(transfer_id):
            async with (
                self._database.readers.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                found = await transfer_store.read(connection, [transfer_id])
                transfer = found.get(transfer_id)
                if transfer is not None:
                    items = await self._trail.follow(connection, transfer)
        if transfer is None:
            raise Problem(404, "not-found", "The hub knows no transfer by this id.")
        return _answer(transfer, items)


def _flow(flow: Flow) -> FlowAnswer:
    return FlowAnswer(**msgspec.structs.asdict(flow))


def _answer(transfer: Transfer, items: list[TrailItem]) -> TransferAnswer:
    return TransferAnswer(
        id=transfer.transfer_id,
        state=transfer.state,
        code=transfer.code,
        payer_group=transfer.payer_group,
        payee_group=transfer.payee_group,
        milliseconds=transfer.milliseconds,
        taken=write_instant(transfer.taken_at),
        decide_by=write_instant(transfer.decide_by),
        decided=_written(transfer.decided_at),
        log=transfer.log,
        number=transfer.number,
        refund_of=transfer.refund_of,
        refunded=transfer.refunded,
        items=[
            ItemAnswer(
                from_=one.sender,
                to=one.receiver,
                number=one.number,
                type=one.kind,
                at=_written(one.at),
                key=one.key,
                signature=one.signature,
                line=one.line,
            )
            for one in items
        ],
    )


def _written(at: Instant | None) -> str:
    return "" if at is None else write_instant(at)
