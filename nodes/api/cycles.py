"""The treasurer's desk: cycles, whether our ledger yields the same, and legs."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import cycle_store
from nodes.house import NodeHouse
from nodes.rules import NotAnswered, OwnCycle, OwnLeg, SignLeg, stated_in
from nodes.watch.cycle_watch import CycleWatch
from protocol.address import UUID_PATTERN, read_reason
from protocol.cycle import figures_of
from protocol.errors import CycleRefusalCode
from protocol.instant import write_instant, write_nullable
from protocol.messages import CycleMove
from protocol.peer.clerk import Clerk
from protocol.peer.csv_text import write_header, write_rows
from protocol.peer.database import Database
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of, json_response, read_json, read_query
from protocol.peer.web.routes import Route
from protocol.strict_json import INTEGER_MAX

_number_decoder = msgspec.json.Decoder(
    Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}\Z")]
)
_id_decoder = msgspec.json.Decoder(Annotated[str, Meta(pattern=UUID_PATTERN)])


class FiguresAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the group's position went, milliseconds: credit is what others owe us."""

    opening: int
    debits: int
    credits: int
    count: int
    closing: int
    digest: str


class DifferenceAnswer(msgspec.Struct, frozen=True):
    """The first move that differs, as the hub has it and as our own ledger does."""

    place: int
    hubs: CycleMove | None
    nodes: CycleMove | None


class CycleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle, what the hub states of it, and what we have said.

    ``state`` is ``told`` until the statement is here, then ``waiting``, ``agreed`` or
    ``disputed``.
    """

    cycle: int
    log: str
    number: int
    at: str
    state: str
    answered_at: str | None
    stated: FiguresAnswer | None
    held_out: int
    held_in: int
    difference: DifferenceAnswer | None


class CyclesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of cycles, newest first; ``cursor`` gives the next one."""

    cycles: list[CycleAnswer]
    cursor: str | None


class LegAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What our group is to make good, or another to us; ``word`` is ours to say."""

    id: str
    cycle: int
    at: str
    debtor: str
    creditor: str
    milliseconds: int
    word: str
    state: str
    signed_at: str | None
    author: str | None
    reason: str | None
    ended_at: str | None
    code: str | None


class LegsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of legs, newest first; ``cursor`` gives the next one."""

    legs: list[LegAnswer]
    cursor: str | None


class ReasonRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, in the treasurer's words; kept for ever."""

    reason: str


_reason_decoder = msgspec.json.Decoder(ReasonRequest)


class CyclesApi:
    """The handlers, one method each.

    Args:
        house: knows who we are.
        clerk: signs.
        database: read only here.
        watch: looks at our own ledger.
    """

    def __init__(
        self, house: NodeHouse, clerk: Clerk, database: Database, watch: CycleWatch
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._watch = watch

    def routes(self) -> list[Route]:
        """List the routes."""
        return [*self._of_cycles(), *self._of_legs()]

    def _of_cycles(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/group/cycles",
                handler=self.get_cycles,
                told="Cycles, what the hub states of them and what we have said.",
                scope="treasurer",
                query=PageQuery,
                answer=CyclesAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/group/cycles/{cycle}",
                handler=self.get_cycle,
                told="One cycle.",
                scope="treasurer",
                answer=CycleAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/group/cycles/{cycle}/moves.csv",
                handler=self.get_moves,
                told="What our own ledger has of a cycle, as one CSV file.",
                scope="treasurer",
                answer=str,
                media_type="text/csv",
            ),
            Route(
                method="POST",
                path="/api/v1/group/cycles/{cycle}/check",
                handler=self.post_check,
                told="Look at our own ledger again, after something was mended.",
                scope="treasurer",
                body=ReasonRequest,
                answer=CycleAnswer,
            ),
        ]

    def _of_legs(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/group/legs",
                handler=self.get_legs,
                told="What our group is to make good, or another to us.",
                scope="treasurer",
                query=PageQuery,
                answer=LegsAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/group/legs/{id}/paid",
                handler=self.post_paid,
                told="Sign that our group has paid a leg, outside of this ledger.",
                scope="treasurer",
                body=ReasonRequest,
                answer=LegAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/group/legs/{id}/received",
                handler=self.post_received,
                told="Sign that our group has received a leg.",
                scope="treasurer",
                body=ReasonRequest,
                answer=LegAnswer,
            ),
        ]

    async def get_cycles(self, request: web.Request) -> web.Response:
        """Give a page of cycles, newest first."""
        query = read_query(request, PageQuery)
        before = INTEGER_MAX if query.cursor is None else int(query.cursor)
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_cycles(connection, before, query.page_size)
        full = len(found) == query.page_size
        return json_response(
            CyclesAnswer(
                cycles=[_cycle(own) for own in found],
                cursor=str(found[-1].cycle) if full else None,
            )
        )

    async def get_cycle(self, request: web.Request) -> web.Response:
        """Give one cycle."""
        return json_response(_cycle(await self._named(cycle_number(request))))

    async def _named(self, number: int) -> OwnCycle:
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_cycles_named(connection, [number])
        if number not in found:
            told = "No cycle of this number has ended since we joined."
            raise Problem(404, "not-found", told)
        return found[number]

    async def get_moves(self, request: web.Request) -> web.Response:
        """Give our own moves of a cycle as CSV."""
        own = await self._named(cycle_number(request))
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_own_moves(connection, own)
        names = CycleMove.__struct_fields__
        rows = ([getattr(move, name) for name in names] for move in found.moves)
        file = f"cycle-{own.cycle}-{self._house.own}.csv"
        return web.Response(
            body=write_header(names) + write_rows(rows),
            headers={
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": f'attachment; filename="{file}"',
                "Cache-Control": "no-store",
            },
        )

    async def post_check(self, request: web.Request) -> web.Response:
        """Look again, and say what comes of it."""
        number, asked = cycle_number(request), await read_json(request, _reason_decoder)
        outcome = await self._watch.check(
            number, caller_of(request).person_id, read_reason(asked.reason)
        )
        if isinstance(outcome, NotAnswered):
            raise _refused(outcome, number)
        return json_response(_cycle(outcome))

    async def get_legs(self, request: web.Request) -> web.Response:
        """Give a page of legs, newest first."""
        query = read_query(request, PageQuery)
        before = INTEGER_MAX if query.cursor is None else int(query.cursor)
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_legs(connection, before, query.page_size)
        full = len(found) == query.page_size
        return json_response(
            LegsAnswer(
                legs=[self._leg(leg) for leg in found],
                cursor=str(found[-1].item) if full else None,
            )
        )

    async def post_paid(self, request: web.Request) -> web.Response:
        """Sign that we have paid."""
        return json_response(await self._sign(request, "paid"))

    async def post_received(self, request: web.Request) -> web.Response:
        """Sign that we have received."""
        return json_response(await self._sign(request, "received"))

    async def _sign(
        self, request: web.Request, word: Literal["paid", "received"]
    ) -> LegAnswer:
        leg_id = leg_id_of(request)
        asked = await read_json(request, _reason_decoder)
        order = SignLeg(
            leg_id=leg_id,
            word=word,
            author=caller_of(request).person_id,
            reason=read_reason(asked.reason),
        )
        outcome = await self._clerk.take(order)
        if isinstance(outcome, NotAnswered):
            raise _refused(outcome, 0)
        assert isinstance(outcome, OwnLeg)
        return self._leg(outcome)

    def _leg(self, leg: OwnLeg) -> LegAnswer:
        return LegAnswer(
            id=leg.leg_id,
            cycle=leg.cycle,
            at=write_instant(leg.at),
            debtor=leg.debtor,
            creditor=leg.creditor,
            milliseconds=leg.milliseconds,
            word="paid" if leg.debtor == self._house.own else "received",
            state=leg.state.value,
            signed_at=write_nullable(leg.signed_at),
            author=leg.author,
            reason=leg.reason,
            ended_at=write_nullable(leg.ended_at),
            code=leg.code,
        )


def cycle_number(request: web.Request) -> int:
    """Read which cycle a path means; what can be none is not found."""
    return int(_read(request.match_info["cycle"], _number_decoder))


def leg_id_of(request: web.Request) -> str:
    """Read which leg a path means; what can be none is not found."""
    return _read(request.match_info["id"], _id_decoder)


def _read(text: str, decoder: msgspec.json.Decoder[str]) -> str:
    """Read a name in the path; what can be none of ours is not found."""
    try:
        return decoder.decode(msgspec.json.encode(text))
    except msgspec.MsgspecError:
        raise Problem(404, "not-found", "There is nothing by this name.") from None


def _refused(outcome: NotAnswered, cycle: int) -> Problem:
    code = outcome.code
    is_unknown = code in (CycleRefusalCode.NO_SUCH_LEG, CycleRefusalCode.NO_STATEMENT)
    told, status = f"Refused: {code}.", 404 if is_unknown else 409
    return Problem(status, "not-done", told, code=code, extra={"cycle": cycle})


def _cycle(own: OwnCycle) -> CycleAnswer:
    stated = None if own.line is None else stated_in(own)
    found = own.difference
    return CycleAnswer(
        cycle=own.cycle,
        log=own.name.log,
        number=own.name.number,
        at=write_instant(own.at),
        state=own.state.value,
        answered_at=write_nullable(own.answered_at),
        stated=None
        if stated is None
        else FiguresAnswer(**msgspec.structs.asdict(figures_of(stated))),
        held_out=0 if stated is None else stated.held_out,
        held_in=0 if stated is None else stated.held_in,
        difference=None
        if found is None
        else DifferenceAnswer(found.place, found.hubs, found.nodes),
    )
