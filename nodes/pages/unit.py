"""The group's unit and what an hour is worth in it, and asking for another.

It counts from the regional admin's yes on; until then it stands here as asked.
"""

import msgspec
from aiohttp import web

from nodes.api.unit import OwnUnitAnswer, UnitApi
from nodes.pages.typed import check_may_act, is_display_name, may_act
from nodes.proposals import Proposals
from nodes.rules import Wish, next_entry
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms
from protocol.peer.web.figures import AmountFault, read_amount
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route
from protocol.peer.web.units import UnitAnswer
from protocol.unit import PER_HOUR_MAX

UNIT = "/treasurer/unit"
CONFIRM = f"{UNIT}/confirm"
_NAMES = ("name", "unit", "plural", "symbol")


class UnitFields(msgspec.Struct, frozen=True):
    """What shall count, as typed."""

    name: str
    unit: str
    plural: str
    symbol: str
    per_hour: str


class UnitPages:
    """Pages about the unit, for a treasurer.

    Args:
        pages: shows them.
        api: shows what counts and what was asked.
        proposals: asks.
    """

    def __init__(self, pages: Pages, api: UnitApi, proposals: Proposals) -> None:
        self._pages = pages
        self._api = api
        self._proposals = proposals

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", UNIT, self.get_unit, TREASURER),
            page("GET", CONFIRM, self.get_confirm, TREASURER),
            page("POST", UNIT, self.post_unit, TREASURER, form=CONFIRM),
        ]

    async def get_unit(self, request: web.Request) -> web.Response:
        """Show what counts, what was asked, and a form to ask."""
        fields = forms.read_address_fields(request, UnitFields)
        return self._show(request, fields)

    def _show(
        self,
        request: web.Request,
        fields: UnitFields,
        *,
        told: str = "",
        errors: dict[str, str] | None = None,
    ) -> web.Response:
        own = self._api.own_unit(request[VISIT].language)
        if not any(msgspec.structs.astuple(fields)):
            fields = _as_typed(own)
        return self._pages.show_form(
            request,
            "unit.html",
            own=own,
            fields=fields,
            told=told,
            errors=errors or {},
            saved=request.query.get("saved", ""),
            may_act=may_act(request),
        )

    async def get_confirm(self, request: web.Request) -> web.Response:
        """Show what is now and what shall be, before it is asked."""
        check_may_act(request)
        fields = forms.read_address_fields(request, UnitFields)
        wish, errors = self._read(request, fields)
        if errors:
            return self._show(request, fields, errors=errors)
        own = self._api.own_unit(request[VISIT].language)
        record = self._proposals.own_record()
        try:
            entry = next_entry(record, wish)
        except MalformedMessageError:
            told = self._pages.say(request, "unit.hour-cannot", unit=own.unit.plural)
            return self._show(request, fields, errors={"per_hour": told})
        if entry is None:
            told = self._pages.say(request, "unit.so-already")
            return self._show(request, fields, told=told)
        return self._pages.show(
            request,
            "confirm-unit.html",
            own=own,
            name=entry.name,
            unit=UnitAnswer.of(entry.unit),
            rate=entry.rates[-1].milliseconds,
            has_new_rate=len(entry.rates) > len(record.entry.rates),
            carried=msgspec.to_builtins(fields),
            change=forms.write_fields(UNIT, msgspec.to_builtins(fields)),
        )

    def _read(
        self, request: web.Request, fields: UnitFields
    ) -> tuple[Wish, dict[str, str]]:
        """Read what shall be otherwise; what stands as it is, is not asked."""
        own = self._api.own_unit(request[VISIT].language)
        shown, errors = _as_typed(own), {}
        names: dict[str, str | None] = {}
        for field in _NAMES:
            typed = " ".join(getattr(fields, field).split())
            names[field] = None if typed == getattr(shown, field) else typed
            if names[field] is not None and not is_display_name(typed):
                errors[field] = self._pages.say(request, "unit.no-name")
        per_hour = None
        if fields.per_hour.strip() != shown.per_hour:
            read = read_amount(fields.per_hour, 0, request[VISIT].language)
            if isinstance(read, AmountFault) or read > PER_HOUR_MAX:
                errors["per_hour"] = self._pages.say(
                    request, "unit.no-hour", most=PER_HOUR_MAX
                )
            else:
                per_hour = read
        wish = Wish(
            per_hour=per_hour,
            name=names["name"],
            unit=names["unit"],
            plural=names["plural"],
            symbol=names["symbol"],
        )
        return wish, errors

    async def post_unit(self, request: web.Request) -> web.Response:
        """Ask; the same wish again is the same proposal."""
        fields = await forms.read_form(request, UnitFields)
        wish, errors = self._read(request, fields)
        if errors:
            return self._show(request, fields, errors=errors)
        try:
            await self._proposals.ask(wish, caller_of(request).person_id)
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            return self._show(request, fields, told=told)
        return see_other(f"{UNIT}?saved=asked")


def _as_typed(own: OwnUnitAnswer) -> UnitFields:
    unit = own.unit
    return UnitFields(own.name, unit.name, unit.plural, unit.symbol, own.rate.per_hour)
