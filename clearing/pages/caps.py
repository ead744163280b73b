"""Limits of all groups together: caps, the threshold, and who changed what, and why.

A group's own limits are on its page (``clearing.pages.groups``).
"""

import msgspec
from aiohttp import web

from clearing.api.groups import GroupsApi
from clearing.api.limits import CapAnswer, LimitsApi
from clearing.pages.desk import check_may_act, may_act, name_of, read_before
from clearing.pages.limits import read_hours, write_hours
from clearing.rules import SetCap, SetWarning
from protocol.address import Group, read_reason
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms
from protocol.peer.web.figures import AmountFault
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.routes import Route
from protocol.strict_json import INTEGER_MAX

_LIST = "/limits"
_CHANGES = "/limits/changes"
_END = "/caps/{payer}/{payee}/end"
#: Changes on one page.
_SHOWN = 50
#: And on the page of limits, beside everything else.
_NEWEST = 5
_PERCENT_MAX = 100


class CapFields(msgspec.Struct, frozen=True):
    """Who pays whom, the most of a month, and why: as typed."""

    payer: str
    payee: str
    hours: str
    cap_reason: str


class WarningFields(msgspec.Struct, frozen=True):
    """From which share of a limit on, and why: as typed."""

    percent: str
    warning_reason: str


class EndFields(msgspec.Struct, frozen=True):
    """Why a cap is ended."""

    reason: str


class ChangesFields(msgspec.Struct, frozen=True):
    """Before which change the list goes on."""

    before: str


class CapPages:
    """Pages about limits of all groups.

    Args:
        pages: shows them.
        limits: knows caps and changes, and has them decided.
        groups: knows who there is, and how each stands.
    """

    def __init__(self, pages: Pages, limits: LimitsApi, groups: GroupsApi) -> None:
        self._pages = pages
        self._limits = limits
        self._groups = groups

    def routes(self) -> list[Route]:
        """List the pages."""
        page, caps, warning = Route.page, f"{_LIST}/caps", f"{_LIST}/warning"
        return [
            page("GET", _LIST, self.get_limits, "admin"),
            page("GET", _CHANGES, self.get_changes, "admin"),
            page("POST", caps, self.post_cap, "admin", form=_LIST),
            page("POST", warning, self.post_warning, "admin", form=_LIST),
            page("GET", _END, self.get_end, "admin"),
            page("POST", _END, self.post_end, "admin", form=_END),
        ]

    async def get_limits(self, request: web.Request) -> web.Response:
        """Show the threshold, who is beyond it, and caps with what is used of them."""
        return await self._show(request)

    async def _show(
        self,
        request: web.Request,
        typed: CapFields | WarningFields | None = None,
        errors: dict[str, str] | None = None,
    ) -> web.Response:
        cap = forms.read_address_fields(request, CapFields)
        warning = forms.read_address_fields(request, WarningFields)
        found = await self._groups.groups()
        if isinstance(typed, CapFields):
            cap = typed
        elif isinstance(typed, WarningFields):
            warning = typed
        return self._pages.show(
            request,
            "limits.html",
            status=422 if errors else 200,
            groups=[one.group for one in found.groups],
            nearing=[one for one in found.groups if one.warning],
            percent=found.warn_percent,
            caps=self._limits.caps().caps,
            newest=await self._limits.chain(INTEGER_MAX, _NEWEST),
            hours=lambda milliseconds: write_hours(
                milliseconds, self._pages.figures(request)
            ),
            cap=cap,
            warning=warning,
            errors=errors or {},
            saved=request.query.get("saved", ""),
            may_act=may_act(request),
        )

    async def get_changes(self, request: web.Request) -> web.Response:
        """Show the chain of changes, newest first."""
        typed = forms.read_address_fields(request, ChangesFields)
        before = read_before(typed.before, "the number of a change")
        chain = await self._limits.chain(before, _SHOWN)
        is_full = len(chain) == _SHOWN and chain[-1].change.number > 1
        return self._pages.show(
            request,
            "changes.html",
            chain=chain,
            older=chain[-1].change.number if is_full else 0,
            is_first=not typed.before,
        )

    async def post_cap(self, request: web.Request) -> web.Response:
        """Set a cap; what cannot be read leaves all as it is."""
        typed = await forms.read_form(request, CapFields)
        errors: dict[str, str] = {}
        pair = []
        for field, name in (("payer", typed.payer), ("payee", typed.payee)):
            try:
                pair.append(self._groups.known(name.strip().lower()))
            except Problem as problem:
                if problem.status != 404:
                    raise
                errors[field] = self._pages.say(request, "caps.no-group")
        hours = read_hours(typed.hours, request[VISIT].language)
        if isinstance(hours, AmountFault):
            errors["hours"] = self._pages.say(request, f"group.hours-{hours}")
        reason = self._reason(request, "cap_reason", typed.cap_reason, errors)
        if not errors and pair[0] == pair[1]:
            errors["payee"] = self._pages.say(request, "caps.same-group")
        if errors or isinstance(hours, AmountFault):
            return await self._show(request, typed, errors)
        payer, payee = pair
        before = self._cap(payer, payee)
        # A cap set by a program may be finer than what is shown here.
        figures = self._pages.figures(request)
        if before and typed.hours == write_hours(before.milliseconds, figures):
            hours = before.milliseconds
        await self._limits.decide(
            SetCap(
                payer=payer,
                payee=payee,
                milliseconds=hours,
                author=name_of(request),
                reason=reason,
            )
        )
        return see_other(f"{_LIST}?saved=cap#caps")

    def _reason(
        self, request: web.Request, field: str, text: str, errors: dict[str, str]
    ) -> str:
        """Read why something is changed; without a reason, say so at its field."""
        try:
            return read_reason(text)
        except MalformedMessageError:
            errors[field] = self._pages.say(request, "limits.no-reason")
            return ""

    def _cap(self, payer: str, payee: str) -> CapAnswer | None:
        for one in self._limits.caps(payer).caps:
            if (one.payer_group, one.payee_group) == (payer, payee):
                return one
        return None

    async def post_warning(self, request: web.Request) -> web.Response:
        """Set the threshold; the same once more changes nothing."""
        typed = await forms.read_form(request, WarningFields)
        errors: dict[str, str] = {}
        percent = _read_percent(typed.percent)
        if not percent:
            errors["percent"] = self._pages.say(request, "caps.no-percent")
        reason = self._reason(request, "warning_reason", typed.warning_reason, errors)
        if errors:
            return await self._show(request, typed, errors)
        await self._limits.warn_from(
            SetWarning(percent=percent, author=name_of(request), reason=reason)
        )
        return see_other(f"{_LIST}?saved=warning#threshold")

    # Ending a cap.

    async def get_end(self, request: web.Request) -> web.Response:
        """Ask whether a cap is to be ended, and why."""
        check_may_act(request)
        payer, payee = self._pair(request)
        typed = forms.read_address_fields(request, EndFields)
        return self._show_end(request, (payer, payee), typed)

    def _pair(self, request: web.Request) -> tuple[Group, Group]:
        payer = self._groups.known(request.match_info["payer"])
        return payer, self._groups.known(request.match_info["payee"])

    def _show_end(
        self,
        request: web.Request,
        pair: tuple[Group, Group],
        typed: EndFields,
        error: str = "",
    ) -> web.Response:
        return self._pages.show(
            request,
            "end-cap.html",
            status=422 if error else 200,
            payer=pair[0],
            payee=pair[1],
            cap=self._cap(*pair),
            typed=typed,
            error=error,
        )

    async def post_end(self, request: web.Request) -> web.Response:
        """End a cap; where there is none, nothing changes."""
        pair = self._pair(request)
        typed = await forms.read_form(request, EndFields)
        errors: dict[str, str] = {}
        reason = self._reason(request, "reason", typed.reason, errors)
        if errors:
            return self._show_end(request, pair, typed, errors["reason"])
        await self._limits.decide(
            SetCap(
                payer=pair[0],
                payee=pair[1],
                milliseconds=None,
                author=name_of(request),
                reason=reason,
            )
        )
        return see_other(f"{_LIST}?saved=ended#caps")


def _read_percent(text: str) -> int:
    """Read a share of a limit; 0: it is none."""
    digits = text.strip().removesuffix("%").strip()
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len("100")
    return int(digits) if is_number and int(digits) <= _PERCENT_MAX else 0
