"""Cycles: the open one, those that have ended, and how each was closed."""

from collections import OrderedDict

import msgspec
from aiohttp import web

from clearing.api.cycles import CycleAnswer, CyclesApi, cycle_of
from clearing.api.open_cycle import OpenCycleApi
from clearing.api.settlement import SettlementApi
from clearing.api.shares import ChargeAnswer, SharesApi
from clearing.pages.desk import (
    check_may_act,
    late_legs,
    may_act,
    read_before,
    write_age,
)
from clearing.rules import StatementState
from protocol.cycle_file import MEDIA_TYPE
from protocol.instant import read_instant
from protocol.netting import Savings
from protocol.peer.clock import Clock
from protocol.peer.web import forms
from protocol.peer.web.pages import HEADERS, Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import Route
from protocol.strict_json import INTEGER_MAX

_LIST = "/cycles"
_ONE = "/cycles/{cycle}"
_CLOSE = f"{_ONE}/close"
_CYCLES = 24
_STATEMENTS = 200
#: Named at the top of a cycle's page; all of them stand in its table.
_NAMED = 10
#: What ended cycles' netting came to never changes; so many are remembered.
_SAVINGS_KEPT = 100
_BUSY = 503


class ListFields(msgspec.Struct, frozen=True):
    """From which cycle on."""

    before: str


class CycleFields(msgspec.Struct, frozen=True):
    """Which groups' statements, and what was just done."""

    after: str
    saved: str


class CyclePages:
    """Pages about cycles.

    Args:
        pages: shows them.
        cycles: knows those that have ended, and ends the open one.
        open_cycle: knows the one that is open.
        settlements: knows legs and targets.
        shares: knows the charge.
        clock: to say how long something waits.
        federation: whose cycles; its id, to verify files with.
    """

    def __init__(
        self,
        pages: Pages,
        cycles: CyclesApi,
        open_cycle: OpenCycleApi,
        settlements: SettlementApi,
        shares: SharesApi,
        clock: Clock,
        federation: str,
    ) -> None:
        self._pages = pages
        self._cycles = cycles
        self._open = open_cycle
        self._settlements = settlements
        self._shares = shares
        self._clock = clock
        self._federation = federation
        self._savings: OrderedDict[int, Savings] = OrderedDict()

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", _LIST, self.get_cycles, "admin"),
            page("GET", _ONE, self.get_cycle, "admin"),
            page("GET", f"{_ONE}/file", self.get_file, "admin"),
            page("GET", _CLOSE, self.get_close, "admin"),
            page("POST", _CLOSE, self.post_close, "admin", form=_CLOSE),
        ]

    async def get_cycles(self, request: web.Request) -> web.Response:
        """Show the open cycle, and those that have ended, newest first."""
        before = read_before(
            forms.read_address_fields(request, ListFields).before,
            "the number of a cycle",
        )
        found = await self._cycles.cycles(before, _CYCLES)
        is_first = before == INTEGER_MAX
        return self._pages.show(
            request,
            "cycles.html",
            opened=await self._open.open_cycle(),
            cycles=found.cycles,
            ages={one.cycle: self._age(request, one) for one in found.cycles},
            newest=found.open - 1,
            older=found.cursor or "",
            is_first=is_first,
            late=late_legs(self._pages, request, self._cycles) if is_first else [],
            charge=await self._charge(found.open) if is_first else None,
            may_act=may_act(request),
        )

    async def _charge(self, number: int) -> ChargeAnswer | None:
        """Give a cycle's charge; ``None``: it has ended meanwhile."""
        try:
            return await self._shares.charge(number)
        except Problem as problem:
            if problem.status != 404:
                raise
            return None

    def _age(self, request: web.Request, one: CycleAnswer) -> str:
        return write_age(self._pages, request, one.waiting_ms)

    async def get_cycle(self, request: web.Request) -> web.Response:
        """Show how one cycle was closed, what groups say to it, and what came of it."""
        number = cycle_of(request)
        closed = await self._cycles.cycle(number)
        typed = forms.read_address_fields(request, CycleFields)
        stated = await self._cycles.statements(number, typed.after, _STATEMENTS)
        settlement = await self._settlements.settlement(number)
        savings = await self._savings_of(number)
        now = self._clock.now()
        return self._pages.show(
            request,
            "cycle.html",
            closed=closed,
            began=await self._began(number),
            age=self._age(request, closed),
            disputed=await self._that(number, StatementState.DISPUTED),
            silent=await self._that(number, StatementState.WAITING),
            statements=stated.statements,
            next=stated.after or "",
            is_part=bool(typed.after or stated.after),
            together=sum(one.closing for one in settlement.groups),
            settlement=settlement,
            moved=[one for one in settlement.groups if one.closing or one.target],
            leg_ages={
                leg.id: write_age(self._pages, request, now - read_instant(leg.at))
                for leg in settlement.legs
                if leg.state == "open"
            },
            why_not=self._why_not(request, settlement.code, number, settlement.group),
            late=[
                leg.leg.id
                for leg in self._cycles.open_legs()
                if leg.is_late and leg.leg.cycle == number
            ],
            charge=await self._shares.charge(number),
            savings=savings,
            federation=self._federation,
            saved=typed.saved,
            may_act=may_act(request),
        )

    async def _began(self, number: int) -> str | None:
        """Say when a cycle began; ``None`` for the first one."""
        return (await self._cycles.cycle(number - 1)).at if number > 1 else None

    async def _that(self, number: int, state: StatementState) -> list[str]:
        return await self._cycles.groups_that(number, state, _NAMED)

    def _why_not(
        self, request: web.Request, code: str | None, cycle: int, group: str
    ) -> str:
        if code is None:
            return ""
        extra: dict[str, object] = {"cycle": cycle, "group": group}
        problem = Problem(409, "", "", code=code, extra=extra)
        return self._pages.refusal(request, problem)

    async def _savings_of(self, number: int) -> Savings | None:
        """Give what netting spared; ``None``: others have it computed just now."""
        if number not in self._savings:
            try:
                found = (await self._cycles.netting(number)).savings
            except Problem as problem:
                if problem.status != _BUSY:
                    raise
                return None
            self._savings[number] = found
            if len(self._savings) > _SAVINGS_KEPT:
                self._savings.popitem(last=False)
        return self._savings[number]

    async def get_file(self, request: web.Request) -> web.Response:
        """Give the file that proves to anyone how a cycle was closed."""
        number = cycle_of(request)
        return web.Response(
            body=await self._cycles.file(number),
            content_type=MEDIA_TYPE,
            headers={
                **HEADERS,
                "Content-Disposition": f'attachment; filename="cycle-{number}.json"',
            },
        )

    # Closing.

    async def get_close(self, request: web.Request) -> web.Response:
        """Ask whether the open cycle is to end, and say what would hold that up."""
        check_may_act(request)
        return await self._show_close(request, cycle_of(request))

    async def _show_close(
        self, request: web.Request, number: int, status: int = 200, told: str = ""
    ) -> web.Response:
        opened = await self._open.open_cycle()
        if number < opened.cycle:
            # Ended meanwhile, perhaps by this very button.
            return see_other(f"{_LIST}/{number}")
        if number > opened.cycle:
            raise Problem(404, "not-found", "This cycle has not begun yet.")
        return self._pages.show(
            request, "close-cycle.html", status=status, opened=opened, told=told
        )

    async def post_close(self, request: web.Request) -> web.Response:
        """End the open cycle; pressed twice, it ends once."""
        number = cycle_of(request)
        try:
            await self._cycles.close(number)
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            return await self._show_close(request, number, problem.status, told)
        return see_other(f"{_LIST}/{number}?saved=closed")
