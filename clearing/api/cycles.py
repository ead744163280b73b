"""The regional admin's desk: cycles, what groups say of them, and legs."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from clearing import cycle_store
from clearing.api.turns import Turns
from clearing.cycle_files import CycleFiles
from clearing.house import HubHouse
from clearing.rules import (
    CancelLeg,
    CloseCycle,
    ClosedCycle,
    CycleRefused,
    Leg,
    LegState,
    Statement,
    StatementState,
    read_statement,
)
from clearing.settling import Settling
from protocol.address import UUID_PATTERN
from protocol.cycle_file import MEDIA_TYPE, CycleFile
from protocol.errors import CycleRefusalCode
from protocol.instant import write_instant, write_nullable
from protocol.messages import CycleMove, DecisionName, GroupField, read_item
from protocol.netting import Savings, compute_savings
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.csv_text import write_header, write_rows
from protocol.peer.database import AnyConnection, Database
from protocol.peer.web.paging import PAGE_SIZE, PageQuery, PageSizeField
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import json_response, read_json, read_query
from protocol.peer.web.routes import Route
from protocol.strict_json import INTEGER_MAX

T = TypeVar("T")
#: Who comes when so many wait for a file is told to come back.
_FILES_WAITING_MAX = 4
_NUMBER_PATTERN = r"^[1-9][0-9]{0,15}\Z"
_number_decoder = msgspec.json.Decoder(Annotated[str, Meta(pattern=_NUMBER_PATTERN)])
_id_decoder = msgspec.json.Decoder(Annotated[str, Meta(pattern=UUID_PATTERN)])


class CycleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that has ended, and how many groups have said what of it.

    ``waiting`` groups have said nothing since ``at``, for ``waiting_ms`` now. Of its
    legs so many are ``legs_open`` and ``legs_settled``; others are void. Of the open
    ones ``legs_late`` have waited for a word for 14 days or more.
    """

    cycle: int
    log: str
    number: int
    former: DecisionName | None
    at: str
    groups: int
    statements: str
    reserve: int
    agreed: int
    disputed: int
    waiting: int
    waiting_ms: int
    legs_open: int
    legs_settled: int
    legs_late: int


class CyclesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of cycles that have ended, newest first; ``open`` is the one that runs."""

    open: int
    cycles: list[CycleAnswer]
    cursor: str | None


class DifferenceAnswer(msgspec.Struct, frozen=True):
    """The first move that differs, as the hub has it and as the node does."""

    place: int
    hubs: CycleMove | None
    nodes: CycleMove | None


class TheirsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The figures that a group has put in the place of its statement's."""

    opening: int
    debits: int
    credits: int
    count: int
    closing: int


class StatementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A group's statement, and what the group has said to it; milliseconds.

    ``difference`` and ``theirs`` are of its newest dispute, if it ever disputed; they
    stay when it has agreed since.
    """

    group: str
    state: str
    opening: int
    debits: int
    credits: int
    count: int
    closing: int
    held_out: int
    held_in: int
    digest: str
    answered_at: str | None
    difference: DifferenceAnswer | None
    theirs: TheirsAnswer | None


class StatementsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of statements: by group, those behind ``after``."""

    after: Annotated[str, Meta(max_length=32)] = ""
    page_size: PageSizeField = PAGE_SIZE


class StatementsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a cycle's statements; ``after`` gives the next one."""

    cycle: int
    statements: list[StatementAnswer]
    after: str | None


class FlowAnswer(msgspec.Struct, frozen=True):
    """What one group's members paid another's in a cycle."""

    payer_group: str
    payee_group: str
    milliseconds: int


class NettingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle's trade came to before any netting, and what each way leaves.

    ``saved`` is what the hub's netting spares, and ``payments_saved`` how many
    payments.
    """

    cycle: int
    flows: list[FlowAnswer]
    savings: Savings
    saved: int
    payments_saved: int


class LegAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A leg, which words are here, whose it ``lacks``, and how it ended."""

    id: str
    cycle: int
    at: str
    debtor: str
    creditor: str
    milliseconds: int
    state: str
    paid_at: str | None
    received_at: str | None
    ended_at: str | None
    log: str | None
    number: int | None
    code: str | None
    lacks: list[str]


class OpenLeg(msgspec.Struct, frozen=True):
    """A leg that is open, and for how long it has waited for a word; late: too long."""

    leg: LegAnswer
    waiting_ms: int
    is_late: bool


class LegsAnswer(msgspec.Struct, frozen=True):
    """A cycle's legs, in the order in which they were made."""

    legs: list[LegAnswer]


class SettleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which groups carry their positions forward, and have no part in the plan."""

    excepted: list[GroupField] = []


_settle_decoder = msgspec.json.Decoder(SettleBody)


class CyclesApi:
    """The handlers, one method each.

    Args:
        house: knows which cycle is open.
        clerk: decides.
        database: read only here.
        clock: to tell how long groups have been silent.
        files: puts proofs together.
    """

    def __init__(
        self,
        house: HubHouse,
        clerk: Clerk,
        database: Database,
        clock: Clock,
        files: CycleFiles,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._files = files
        self._settling = Settling(clerk, database)
        # It holds a reader for as long as it takes.
        self._turns = Turns(1, _FILES_WAITING_MAX)

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [*self._looking(), *self._deciding()]

    def _looking(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/cycles",
                handler=self.get_cycles,
                told="Cycles that have ended, newest first, and which one is open.",
                scope="admin",
                query=PageQuery,
                answer=CyclesAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}",
                handler=self.get_cycle,
                told="One cycle that has ended.",
                scope="admin",
                answer=CycleAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/statements",
                handler=self.get_statements,
                told="A cycle's statements by group, and what groups say to them.",
                scope="admin",
                query=StatementsQuery,
                answer=StatementsAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/statements.csv",
                handler=self.get_statements_csv,
                told="All of a cycle's statements as one CSV file.",
                scope="admin",
                answer=str,
                media_type="text/csv",
            ),
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/file",
                handler=self.get_file,
                told="The cycle file: what proves to anyone how the cycle was closed.",
                scope="read",
                answer=CycleFile,
                media_type=MEDIA_TYPE,
            ),
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/netting",
                handler=self.get_netting,
                told="A cycle's gross flows, and what netting spares of them.",
                scope="admin",
                answer=NettingAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/cycles/{cycle}/legs",
                handler=self.get_legs,
                told="A cycle's legs, which words are here, and how each ended.",
                scope="admin",
                answer=LegsAnswer,
            ),
        ]

    def _deciding(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/cycles/{cycle}/close",
                handler=self.post_close,
                told="End the open cycle, whose number is named; trade goes on.",
                scope="admin",
                answer=CycleAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/cycles/{cycle}/settle",
                handler=self.post_settle,
                told="Make the legs that bring the newest cycle's positions to zero.",
                scope="admin",
                body=SettleBody,
                answer=LegsAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/legs/{id}/cancel",
                handler=self.post_cancel,
                told="Call off a leg that not both groups have signed.",
                scope="admin",
                answer=LegAnswer,
            ),
        ]

    async def get_cycles(self, request: web.Request) -> web.Response:
        """Give a page of cycles, newest first."""
        query = read_query(request, PageQuery)
        before = INTEGER_MAX if query.cursor is None else int(query.cursor)
        return json_response(await self.cycles(before, query.page_size))

    async def cycles(self, before: int, most: int) -> CyclesAnswer:
        """Give a page of cycles, as answers show them."""
        self._clerk.check_ready()
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_cycles(connection, before, most)
            numbers = [closed.cycle for closed in found]
            counts = await _count(connection, numbers)
        closed = self._house.closed
        return CyclesAnswer(
            open=1 if closed is None else closed.cycle + 1,
            cycles=[self._cycle(one, counts) for one in found],
            cursor=str(found[-1].cycle) if len(found) == most else None,
        )

    def _cycle(self, closed: ClosedCycle, counts: "_Counts") -> CycleAnswer:
        agreed, disputed, waiting = (
            counts.answers.get((closed.cycle, state), 0)
            for state in (
                StatementState.AGREED,
                StatementState.DISPUTED,
                StatementState.WAITING,
            )
        )
        return CycleAnswer(
            cycle=closed.cycle,
            log=closed.name.log,
            number=closed.name.number,
            former=closed.former,
            at=write_instant(closed.at),
            groups=closed.groups,
            statements=closed.statements,
            reserve=closed.reserve,
            agreed=agreed,
            disputed=disputed,
            waiting=waiting,
            waiting_ms=max(0, self._clock.now() - closed.at) if waiting else 0,
            legs_open=counts.legs.get((closed.cycle, LegState.OPEN), 0),
            legs_settled=counts.legs.get((closed.cycle, LegState.SETTLED), 0),
            legs_late=self._count_late(closed.cycle),
        )

    def open_legs(self) -> list[OpenLeg]:
        """Give open legs, those that have waited longest first."""
        self._clerk.check_ready()
        now = self._clock.now()
        legs = sorted(
            self._house.legs.values(), key=lambda leg: (-leg.waited_ms(now), leg.place)
        )
        return [
            OpenLeg(
                leg=leg_answer(leg),
                waiting_ms=leg.waited_ms(now),
                is_late=leg.is_late(now),
            )
            for leg in legs
        ]

    def _count_late(self, cycle: int) -> int:
        now, legs = self._clock.now(), self._house.legs.values()
        return sum(leg.cycle == cycle and leg.is_late(now) for leg in legs)

    async def get_cycle(self, request: web.Request) -> web.Response:
        """Give one cycle."""
        return json_response(await self.cycle(cycle_of(request)))

    async def cycle(self, number: int) -> CycleAnswer:
        """Give one cycle, as answers show it; raises ``Problem`` 404."""
        async with self._database.readers.acquire() as connection:
            closed = await cycle_store.read_cycle(connection, number)
            counts = await _count(connection, [number])
        return self._cycle(found_cycle(closed), counts)

    async def get_statements(self, request: web.Request) -> web.Response:
        """Give a page of a cycle's statements."""
        number, query = cycle_of(request), read_query(request, StatementsQuery)
        return json_response(
            await self.statements(number, query.after, query.page_size)
        )

    async def statements(self, number: int, after: str, most: int) -> StatementsAnswer:
        """Give a page of statements, as answers show them; raises ``Problem`` 404."""
        async with self._database.readers.acquire() as connection:
            found_cycle(await cycle_store.read_cycle(connection, number))
            kept = await cycle_store.read_statements(connection, number, after, most)
        return StatementsAnswer(
            cycle=number,
            statements=[_statement(one) for one in kept],
            after=kept[-1].group if len(kept) == most else None,
        )

    async def groups_that(
        self, number: int, state: StatementState, most: int
    ) -> list[str]:
        """Name the first groups that have said one thing to a cycle's statement."""
        async with self._database.readers.acquire() as connection:
            kept = await cycle_store.read_statements_of_state(
                connection, number, state, most
            )
        return [one.group for one in kept]

    async def statement(self, number: int, group: str) -> StatementAnswer:
        """Give one group's statement, as answers show it; raises ``Problem`` 404."""
        async with self._database.readers.acquire() as connection:
            kept = await cycle_store.read_named(connection, [(number, group)])
        if not kept:
            raise Problem(404, "not-found", "This group has no statement of it.")
        return _statement(kept[number, group])

    async def get_statements_csv(self, request: web.Request) -> web.Response:
        """Give all statements of a cycle as CSV."""
        number = cycle_of(request)
        async with self._database.readers.acquire() as connection:
            found_cycle(await cycle_store.read_cycle(connection, number))
            kept = await cycle_store.read_all_statements(connection, number)
        names = StatementAnswer.__struct_fields__[:-2]
        rows = ([getattr(_statement(one), name) for name in names] for one in kept)
        return web.Response(
            body=write_header(names) + write_rows(rows),
            headers={
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": f'attachment; filename="cycle-{number}.csv"',
                "Cache-Control": "no-store",
            },
        )

    async def get_file(self, request: web.Request) -> web.Response:
        """Give the file that ``interlets-verify`` reads."""
        body = await self.file(cycle_of(request))
        return web.Response(
            body=body, content_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"}
        )

    async def file(self, number: int) -> bytes:
        """Write the file that ``interlets-verify`` reads; raises ``Problem`` 404."""
        async with (
            self._turns.take(),
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            closed = found_cycle(await cycle_store.read_cycle(connection, number))
            body, named = await self._files.write(connection, closed)
        await self._files.keep_covers(self._database, named)
        return body

    async def get_netting(self, request: web.Request) -> web.Response:
        """Give what netting spares."""
        return json_response(await self.netting(cycle_of(request)))

    async def netting(self, number: int) -> NettingAnswer:
        """Say what netting spares, as answers show it; raises ``Problem`` 404."""
        async with self._turns.take(), self._database.readers.acquire() as connection:
            closed = found_cycle(await cycle_store.read_cycle(connection, number))
            flows = await cycle_store.read_flows(connection, closed)
        # Circles of many groups take a second or two.
        savings = await asyncio.to_thread(compute_savings, flows)
        return NettingAnswer(
            cycle=number,
            flows=[
                FlowAnswer(payer, payee, milliseconds)
                for payer, row in flows.paid.items()
                for payee, milliseconds in row.items()
            ],
            savings=savings,
            saved=savings.cleared,
            payments_saved=savings.payments_saved,
        )

    async def get_legs(self, request: web.Request) -> web.Response:
        """Give a cycle's legs."""
        return json_response(await self.legs(cycle_of(request)))

    async def legs(self, number: int) -> LegsAnswer:
        """Give a cycle's legs, as answers show them; raises ``Problem`` 404."""
        async with self._database.readers.acquire() as connection:
            found_cycle(await cycle_store.read_cycle(connection, number))
            legs = await cycle_store.read_legs(connection, number)
        return LegsAnswer([leg_answer(leg) for leg in legs])

    async def leg(self, text: str) -> LegAnswer:
        """Give one leg, as answers show it; raises ``Problem`` 404."""
        leg_id = _read(text, _id_decoder)
        async with self._database.readers.acquire() as connection:
            leg = await cycle_store.read_leg(connection, leg_id)
        if leg is None:
            raise Problem(404, "not-found", "There is no leg by this id.")
        return leg_answer(leg)

    async def post_close(self, request: web.Request) -> web.Response:
        """End the open cycle; one that has ended ends only once."""
        return json_response(await self.close(cycle_of(request)))

    async def close(self, number: int) -> CycleAnswer:
        """End the open cycle; raises ``Problem`` with the reason when it is not."""
        _done(await self._clerk.take(CloseCycle(number)), ClosedCycle)
        return await self.cycle(number)

    async def post_settle(self, request: web.Request) -> web.Response:
        """Make the newest cycle's legs."""
        number, asked = cycle_of(request), SettleBody()
        if request.can_read_body:
            asked = await read_json(request, _settle_decoder)
        return json_response(await self.settle(number, asked.excepted))

    async def settle(self, number: int, excepted: Sequence[str] = ()) -> LegsAnswer:
        """Make the newest cycle's legs; raises ``Problem`` with the reason, if not."""
        legs = _done(await self._settling.settle(number, excepted), list)
        return LegsAnswer([leg_answer(leg) for leg in legs])

    async def post_cancel(self, request: web.Request) -> web.Response:
        """Call off a leg."""
        return json_response(await self.cancel(request.match_info["id"]))

    async def cancel(self, text: str) -> LegAnswer:
        """Call off a leg; raises ``Problem`` with the reason when it is not."""
        leg_id = _read(text, _id_decoder)
        return leg_answer(_done(await self._clerk.take(CancelLeg(leg_id)), Leg))


def cycle_of(request: web.Request) -> int:
    """Read which cycle the path names; raises ``Problem`` 404 for none of ours."""
    return int(_read(request.match_info["cycle"], _number_decoder))


def _read(text: str, decoder: msgspec.json.Decoder[str]) -> str:
    """Read a name in the path; what can be none of ours is not found."""
    try:
        return decoder.decode(msgspec.json.encode(text))
    except msgspec.MsgspecError:
        raise Problem(404, "not-found", "There is nothing by this name.") from None


class _Counts(NamedTuple):
    """By cycle: what groups have said, and how its legs stand."""

    answers: dict[tuple[int, StatementState], int]
    legs: dict[tuple[int, LegState], int]


async def _count(connection: AnyConnection, cycles: Sequence[int]) -> _Counts:
    return _Counts(
        await cycle_store.count_answers(connection, cycles),
        await cycle_store.count_legs(connection, cycles),
    )


def found_cycle(closed: ClosedCycle | None) -> ClosedCycle:
    """Give a cycle that was looked for; raises ``Problem`` 404 when there is none."""
    if closed is None:
        raise Problem(404, "not-found", "No cycle of this number has ended.")
    return closed


def _done(outcome: object, expected: type[T]) -> T:
    """Give what was done; raises ``Problem`` 409 with the reason when it was not."""
    if isinstance(outcome, CycleRefused):
        code = outcome.code
        raise Problem(
            404 if code is CycleRefusalCode.NO_SUCH_LEG else 409,
            "not-done",
            f"Refused: {code}.",
            code=code,
            extra={"cycle": outcome.cycle, "group": outcome.group},
        )
    assert isinstance(outcome, expected)
    return outcome


def _statement(kept: Statement) -> StatementAnswer:
    stated, found = read_statement(kept), kept.difference
    return StatementAnswer(
        group=kept.group,
        state=kept.state.value,
        opening=stated.opening,
        debits=stated.debits,
        credits=stated.credits,
        count=stated.count,
        closing=stated.closing,
        held_out=stated.held_out,
        held_in=stated.held_in,
        digest=stated.digest,
        answered_at=write_nullable(kept.answered_at),
        difference=None
        if found is None
        else DifferenceAnswer(found.place, found.hubs, found.nodes),
        theirs=_theirs(kept),
    )


def _theirs(kept: Statement) -> TheirsAnswer | None:
    if kept.dispute is None:
        return None
    said = read_item(kept.dispute)
    names = TheirsAnswer.__struct_fields__
    return TheirsAnswer(**{name: getattr(said, name) for name in names})


def leg_answer(leg: Leg) -> LegAnswer:
    """Show a leg."""
    return LegAnswer(
        id=leg.leg_id,
        cycle=leg.cycle,
        at=write_instant(leg.at),
        debtor=leg.debtor,
        creditor=leg.creditor,
        milliseconds=leg.milliseconds,
        state=leg.state.value,
        paid_at=write_nullable(leg.paid_at),
        received_at=write_nullable(leg.received_at),
        ended_at=write_nullable(leg.ended_at),
        log=None if leg.name is None else leg.name.log,
        number=None if leg.name is None else leg.name.number,
        code=leg.code,
        lacks=leg.lacks,
    )
