"""Settling a cycle: the plan before it is ordered, and calling a leg off."""

import msgspec
from aiohttp import web

from clearing.api.cycles import CyclesApi, LegAnswer, cycle_of
from clearing.api.settlement import SettlementApi
from clearing.pages.desk import check_may_act, write_age
from protocol.errors import MalformedMessageError
from protocol.instant import read_instant
from protocol.peer.clock import Clock
from protocol.peer.web import forms
from protocol.peer.web.pages import Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import Route

#: What was typed names a group that there is not; it is told at its field.
_WRONG_NAME = "exception-wrong"
_SETTLE = "/cycles/{cycle}/settle"
_CANCEL = "/legs/{id}/cancel"
#: On one page; all of them are in the CSV file.
_SHOWN = 200
_DIGITS_MAX = 9
_EXCEPTED_MAX = 100
_NOBODY_TO_EXCEPT = (
    "cycle-not-newest",
    "debt-shared",
    "legs-open",
    "nothing-to-settle",
)


class ExceptedFields(msgspec.Struct, frozen=True):
    """Groups that stay out, as somebody typed them."""

    excepted: str


class SettleFields(ExceptedFields, frozen=True):
    """How many legs the cycle had on the page with the button, and who stays out."""

    legs: str


class SettlementPages:
    """Pages about settling.

    Args:
        pages: shows them.
        cycles: has legs made and called off.
        settlements: knows what a plan would be.
        clock: to say how long a leg waits.
    """

    def __init__(
        self,
        pages: Pages,
        cycles: CyclesApi,
        settlements: SettlementApi,
        clock: Clock,
    ) -> None:
        self._pages = pages
        self._cycles = cycles
        self._settlements = settlements
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", _SETTLE, self.get_settle, "admin"),
            page("POST", _SETTLE, self.post_settle, "admin", form=_SETTLE),
            page("GET", _CANCEL, self.get_cancel, "admin"),
            page("POST", _CANCEL, self.post_cancel, "admin", form=_CANCEL),
        ]

    async def get_settle(self, request: web.Request) -> web.Response:
        """Show the legs that would be made, and ask."""
        check_may_act(request)
        typed = forms.read_address_fields(request, ExceptedFields).excepted
        return await self._show_settle(request, cycle_of(request), typed)

    async def _show_settle(
        self,
        request: web.Request,
        number: int,
        typed: str,
        status: int = 200,
        told: str = "",
    ) -> web.Response:
        excepted = read_names(typed)
        found = await self._settlements.settlement(number, excepted)
        if found.code is not None and not told:
            extra: dict[str, object] = {"cycle": number, "group": found.group}
            refused = Problem(409, "", "", code=found.code, extra=extra)
            told = self._pages.refusal(request, refused)
        is_slip = found.code == _WRONG_NAME
        return self._pages.show(
            request,
            "settle.html",
            status=422 if is_slip else status,
            told="" if is_slip else told,
            error=told if is_slip else "",
            cycle=number,
            plan=found.plan[:_SHOWN],
            left_out=len(found.plan[_SHOWN:]),
            count=len(found.plan),
            together=sum(one.milliseconds for one in found.plan),
            is_least=len(found.plan) == found.bound,
            staying=[
                one for one in found.groups if one.target and one.now == one.target
            ],
            remaining=[one for one in found.groups if one.target],
            seen=len(found.legs),
            excepted=excepted,
            may_except=found.code not in _NOBODY_TO_EXCEPT
            or (excepted and found.code == "nothing-to-settle"),
        )

    async def post_settle(self, request: web.Request) -> web.Response:
        """Have the legs made; pressed twice, they are made once."""
        number = cycle_of(request)
        typed = await forms.read_form(request, SettleFields)
        seen = _read_count(typed.legs)
        done = see_other(f"/cycles/{number}?saved=settled#legs")
        if len((await self._cycles.legs(number)).legs) > seen:
            return done
        try:
            await self._cycles.settle(number, read_names(typed.excepted))
        except Problem as problem:
            if problem.code is None:
                raise
            # The other click of two was first.
            if len((await self._cycles.legs(number)).legs) > seen:
                return done
            told = self._pages.refusal(request, problem)
            return await self._show_settle(
                request, number, typed.excepted, problem.status, told
            )
        return done

    async def get_cancel(self, request: web.Request) -> web.Response:
        """Show a leg, and ask whether it is to be called off."""
        check_may_act(request)
        leg = await self._cycles.leg(request.match_info["id"])
        return self._show_cancel(request, leg)

    def _show_cancel(
        self, request: web.Request, leg: LegAnswer, status: int = 200, told: str = ""
    ) -> web.Response:
        age = self._clock.now() - read_instant(leg.at)
        return self._pages.show(
            request,
            "cancel-leg.html",
            status=status,
            leg=leg,
            age=write_age(self._pages, request, max(0, age)),
            may_end=leg.state == "open",
            told=told,
        )

    async def post_cancel(self, request: web.Request) -> web.Response:
        """Call a leg off; pressed twice, it is called off once."""
        leg = await self._cycles.leg(request.match_info["id"])
        try:
            leg = await self._cycles.cancel(leg.id)
        except Problem as problem:
            if problem.code is None:
                raise
            leg = await self._cycles.leg(leg.id)
            if leg.code != "cancelled":
                told = self._pages.refusal(request, problem)
                return self._show_cancel(request, leg, problem.status, told)
        return see_other(f"/cycles/{leg.cycle}?saved=cancelled#legs")


def read_names(text: str) -> list[str]:
    """Read names of groups with commas or spaces between them."""
    names = text.replace(",", " ").lower().split()
    if len(names) > _EXCEPTED_MAX:
        raise MalformedMessageError(
            "excepted", text[:40], f"at most {_EXCEPTED_MAX} names of groups"
        )
    return names


def _read_count(text: str) -> int:
    """Read how many legs there were, as the page wrote it."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise MalformedMessageError("legs", text, "how many legs there were")
    return int(text)
