"""Groups: all positions on one page, one group, and what is decided on it."""

import msgspec
from aiohttp import web

from clearing.api.cycles import CyclesApi, OpenLeg
from clearing.api.groups import GroupsApi, PositionAnswer
from clearing.api.invitations import InvitationRequest, InvitationsApi
from clearing.api.limits import LimitsApi
from clearing.api.links import LinksApi
from clearing.pages.desk import check_may_act, late_legs, name_of, write_age
from clearing.pages.limits import read_hours, write_hours
from clearing.pages.link_words import link_words
from clearing.pages.pictures import bar
from clearing.rules import (
    Approve,
    BeginLeaving,
    DeclareLeft,
    Disapprove,
    Freeze,
    GroupOrder,
    LeavingOrder,
    Limit,
    Release,
    Stay,
)
from protocol.address import Group, read_reason
from protocol.errors import DirectoryRefusalCode, MalformedMessageError
from protocol.peer.web import forms
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.figures import AmountFault
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.pictures import gauge
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import Route
from protocol.strict_json import INTEGER_MAX

_NEWEST_ALARMS = 3
_NEWEST_CHANGES = PageQuery(page_size=10)
_ONE = "/groups/{group}"
_NUMBER_LENGTH_MAX = 16
#: How far a new group may go, hours, until something else is typed.
_LIMIT_HOURS = "100"


class LimitFields(msgspec.Struct, frozen=True):
    """Limits as typed, hours from zero, and why.

    ``even_outside`` is sent by a box that is only shown once it matters.
    """

    floor: str
    ceiling: str
    reason: str
    even_outside: str = ""


class InviteFields(msgspec.Struct, frozen=True):
    """Whom to invite, and how far it may go."""

    group: str
    floor: str
    ceiling: str


class ProposalFields(msgspec.Struct, frozen=True):
    """Which proposal was seen."""

    proposal: str


class LeftFields(msgspec.Struct, frozen=True):
    """Where the group stood on the page, milliseconds."""

    position: str


class OpenLegLine(msgspec.Struct, frozen=True):
    """A leg of the group's that is open, with how long it has waited in words."""

    open: OpenLeg
    age: str


class GroupPages:
    """Pages about groups.

    Args:
        pages: shows them.
        groups: reads them, and has it decided what is to be.
        limits: who changed limits and caps.
        links: knows who is silent.
        alarms: what people must look at.
        invitations: invites.
        cycles: knows which legs wait for a word.
    """

    def __init__(
        self,
        pages: Pages,
        groups: GroupsApi,
        limits: LimitsApi,
        links: LinksApi,
        alarms: AlarmApi,
        invitations: InvitationsApi,
        cycles: CyclesApi,
    ) -> None:
        self._pages = pages
        self._groups = groups
        self._limits = limits
        self._links = links
        self._alarms = alarms
        self._invitations = invitations
        self._cycles = cycles

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", "/", self.get_positions, "admin"),
            page("GET", _ONE, self.get_group, "admin"),
            page("POST", f"{_ONE}/limits", self.post_limits, "admin", form=_ONE),
            page("POST", f"{_ONE}/freeze", self.post_freeze, "admin", form=_ONE),
            page("POST", f"{_ONE}/release", self.post_release, "admin", form=_ONE),
            page("POST", f"{_ONE}/leaving", self.post_leaving, "admin", form=_ONE),
            page("POST", f"{_ONE}/stay", self.post_stay, "admin", form=_ONE),
            page("POST", f"{_ONE}/left", self.post_left, "admin", form=_ONE),
            page("POST", f"{_ONE}/approve", self.post_approve, "admin", form=_ONE),
            page("POST", f"{_ONE}/refuse", self.post_refuse, "admin", form=_ONE),
            page("GET", "/invite", self.get_invite, "admin"),
            page("POST", "/invite", self.post_invite, "admin", form="/invite"),
        ]

    async def get_positions(self, request: web.Request) -> web.Response:
        """Show all positions against their limits, and what needs a look."""
        found = await self._groups.groups()
        links = (await self._links.links()).links
        told = link_words(links)
        newest = await self._alarms.alarms(
            PageQuery(page_size=_NEWEST_ALARMS), request[VISIT].language
        )
        return self._pages.show(
            request,
            "positions.html",
            found=found,
            bars={one.group: bar(one) for one in found.groups},
            silent=[one for one in links if told[one.group] != "compared"],
            words_of=told,
            alarms=newest.alarms,
            late=late_legs(self._pages, request, self._cycles),
        )

    # One group.

    async def get_group(self, request: web.Request) -> web.Response:
        """Show one group, with what may be decided on it."""
        one = await self._groups.group(request.match_info["group"])
        return await self._show_group(request, one)

    async def _show_group(
        self,
        request: web.Request,
        one: PositionAnswer,
        status: int = 200,
        told: str = "",
        typed: LimitFields | None = None,
        errors: dict[str, str] | None = None,
        *,
        is_outside: bool = False,
    ) -> web.Response:
        figures = self._pages.figures(request)
        carried = forms.read_address_fields(request, LimitFields)
        if typed is None:
            # What was typed before somebody had to sign in again.
            typed = LimitFields(
                floor=carried.floor or write_hours(one.floor or 0, figures),
                ceiling=carried.ceiling or write_hours(one.ceiling or 0, figures),
                reason=carried.reason,
            )
        return self._pages.show(
            request,
            "group.html",
            status=status,
            group=one,
            gauge=gauge(one.floor, one.position, one.ceiling),
            history=(
                await self._limits.history(Group(one.group), _NEWEST_CHANGES)
            ).changes,
            caps=self._limits.caps(one.group).caps,
            life=self._groups.life(one.group),
            legs=[
                OpenLegLine(leg, write_age(self._pages, request, leg.waiting_ms))
                for leg in self._cycles.open_legs()
                if one.group in (leg.leg.debtor, leg.leg.creditor)
            ],
            told=told,
            typed=typed,
            errors=errors or {},
            is_outside=is_outside,
            saved=request.query.get("saved", ""),
        )

    async def post_limits(self, request: web.Request) -> web.Response:
        """Set a group's limits; an unread number leaves all as it is."""
        one = await self._groups.group(request.match_info["group"])
        typed = await forms.read_form(request, LimitFields)
        limits, errors = self._read_limits(request, typed)
        reason = _read_reason(typed.reason)
        if not reason:
            errors["reason"] = self._pages.say(request, "limits.no-reason")
        if errors:
            return await self._show_group(request, one, 422, typed=typed, errors=errors)
        figures = self._pages.figures(request)
        floor, ceiling = -limits["floor"], limits["ceiling"]
        # Limits set by a program may be finer than what is shown here.
        if one.floor is not None and typed.floor == write_hours(one.floor, figures):
            floor = one.floor
        if one.ceiling is not None and typed.ceiling == write_hours(
            one.ceiling, figures
        ):
            ceiling = one.ceiling
        limit = Limit(
            self._groups.known(one.group),
            floor,
            ceiling,
            author=name_of(request),
            reason=reason,
            even_outside=typed.even_outside == "yes",
        )
        return await self._decide(request, limit, "limits", typed)

    def _read_limits(
        self, request: web.Request, typed: LimitFields | InviteFields
    ) -> tuple[dict[str, int], dict[str, str]]:
        """Read both limits; gives them by field, and what is wrong with others."""
        limits, errors = {}, {}
        for field in ("floor", "ceiling"):
            read = read_hours(getattr(typed, field), request[VISIT].language)
            if isinstance(read, AmountFault):
                errors[field] = self._pages.say(request, f"group.hours-{read}")
            else:
                limits[field] = read
        return limits, errors

    async def post_freeze(self, request: web.Request) -> web.Response:
        """Freeze a group; one that is frozen stays so."""
        group = self._groups.known(request.match_info["group"])
        return await self._decide(request, Freeze(group), "freeze")

    async def post_release(self, request: web.Request) -> web.Response:
        """Release a group; one that is active stays so."""
        group = self._groups.known(request.match_info["group"])
        return await self._decide(request, Release(group), "release")

    async def post_leaving(self, request: web.Request) -> web.Response:
        """Begin a group's leaving; one that is leaving goes on."""
        group = self._groups.known(request.match_info["group"])
        return await self._decide(request, BeginLeaving(group), "leaving")

    async def post_stay(self, request: web.Request) -> web.Response:
        """Take a group's leaving back; one that is active stays so."""
        group = self._groups.known(request.match_info["group"])
        return await self._decide(request, Stay(group), "stay")

    async def post_left(self, request: web.Request) -> web.Response:
        """Say that a group has left, with the position that stood on the page."""
        group = self._groups.known(request.match_info["group"])
        text = (await forms.read_form(request, LeftFields)).position
        digits = text.removeprefix("-")
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= 16
        if not is_number or abs(int(text)) > INTEGER_MAX:
            raise MalformedMessageError("position", text, "milliseconds")
        return await self._decide(request, DeclareLeft(group, int(text)), "left")

    async def post_approve(self, request: web.Request) -> web.Response:
        """Approve the very proposal that was seen."""
        group = self._groups.known(request.match_info["group"])
        number = await _read_number(request)
        return await self._decide(request, Approve(group, number), "approve")

    async def post_refuse(self, request: web.Request) -> web.Response:
        """Say no to the very proposal that was seen."""
        group = self._groups.known(request.match_info["group"])
        number = await _read_number(request)
        return await self._decide(request, Disapprove(group, number), "refuse")

    async def _decide(
        self,
        request: web.Request,
        order: GroupOrder | LeavingOrder,
        saved: str,
        typed: LimitFields | None = None,
    ) -> web.Response:
        """Have it decided; a no stands on the group's page, above how it is now."""
        try:
            answer = await self._groups.decide(order, caller_of(request))
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            one = await self._groups.group(order.group)
            is_outside = problem.code == DirectoryRefusalCode.POSITION_OUTSIDE
            return await self._show_group(
                request, one, problem.status, told, typed, is_outside=is_outside
            )
        saved = saved if answer.asked is None else "asked"
        return see_other(f"/groups/{order.group}?saved={saved}")

    # Inviting.

    async def get_invite(self, request: web.Request) -> web.Response:
        """Show where to invite a group, and who was invited and has not come yet."""
        check_may_act(request)
        typed = forms.read_address_fields(request, InviteFields)
        typed = InviteFields(
            group=typed.group,
            floor=typed.floor or _LIMIT_HOURS,
            ceiling=typed.ceiling or _LIMIT_HOURS,
        )
        return await self._show_invite(request, typed)

    async def _show_invite(
        self,
        request: web.Request,
        typed: InviteFields,
        errors: dict[str, str] | None = None,
        **values: object,
    ) -> web.Response:
        shown = {"made": None, "is_asked": False} | values
        return self._pages.show(
            request,
            "invite.html",
            status=422 if errors else 200,
            typed=typed,
            errors=errors or {},
            open_ones=(await self._invitations.invitations()).invitations,
            **shown,
        )

    async def post_invite(self, request: web.Request) -> web.Response:
        """Invite a group; its link is shown once, on the page that answers."""
        typed = await forms.read_form(request, InviteFields)
        limits, errors = self._read_limits(request, typed)
        group = typed.group.strip().lower()
        if told := self._name_fault(request, group):
            errors["group"] = told
        if errors:
            return await self._show_invite(request, typed, errors)
        asked = InvitationRequest(
            group=group, floor=-limits["floor"], ceiling=limits["ceiling"]
        )
        answer = await self._invitations.invite(asked, caller_of(request))
        made = answer if answer.asked is None else None
        return await self._show_invite(
            request, typed, made=made, is_asked=answer.asked is not None
        )

    def _name_fault(self, request: web.Request, group: str) -> str:
        """Say why a group cannot be invited by this name; "": it can."""
        try:
            self._invitations.new_group(group)
        except MalformedMessageError:
            return self._pages.say(request, "invite.no-name")
        except Problem as problem:
            if problem.kind != "group-there":
                raise
            return self._pages.say(request, "invite.group-there")
        return ""


def _read_reason(text: str) -> str:
    """Read why limits are changed; "": there is no reason that can be kept."""
    try:
        return read_reason(text)
    except MalformedMessageError:
        return ""


async def _read_number(request: web.Request) -> int:
    """Read which proposal is meant, as the page wrote it."""
    text = (await forms.read_form(request, ProposalFields)).proposal
    is_number = text.isascii() and text.isdigit() and len(text) <= _NUMBER_LENGTH_MAX
    if not is_number or not 0 < int(text) <= INTEGER_MAX:
        raise MalformedMessageError("proposal", text, "the number of a proposal")
    return int(text)
