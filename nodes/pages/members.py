"""Members as their treasurer sees them, changes them, and lets them go.

Who comes in is in ``admitting``. What may be is decided behind ``nodes.api.members``.
"""

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from nodes.api.members import MemberAnswer, MemberPatch, MembersApi, MembersQuery
from nodes.pages.handover import Handover
from nodes.pages.typed import (
    check_may_act,
    is_display_name,
    is_reason,
    may_act,
    new_key,
    read_limit,
    write_limit,
)
from nodes.treasurer import Treasurer
from protocol.errors import MalformedMessageError
from protocol.peer.web import forms
from protocol.peer.web.figures import AmountFault
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.pictures import gauge
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route
from protocol.peer.web.units import UnitAnswer

MEMBERS = "/treasurer/members"
_ONE = f"{MEMBERS}/{{account}}"
_CLOSE = f"{_ONE}/close"
_SIZE = 50
_CHANGES = 20
_TEXT_MAX = 100


class ListFields(msgspec.Struct, frozen=True):
    """Who is looked for, and from where on."""

    text: str
    cursor: str


class ChangeFields(msgspec.Struct, frozen=True):
    """A member as typed, and (``was_…``) as she stood on the page before.

    Only what was changed is asked for: meanwhile somebody else may have changed the
    rest.
    """

    name: str
    floor: str
    ceiling: str
    reason: str
    was_name: str
    was_floor: str
    was_ceiling: str


class CloseFields(msgspec.Struct, frozen=True):
    """Why an account is closed, and what stood on it then, minor units."""

    reason: str
    balance: str


class ReasonFields(msgspec.Struct, frozen=True):
    """Why, and the button's key."""

    reason: str
    key: str


class MemberPages:
    """Pages about members, for a treasurer.

    Args:
        pages: shows them.
        members: reads and changes them.
        treasurer: makes sign-in links.
        handover: shows them.
    """

    def __init__(
        self,
        pages: Pages,
        members: MembersApi,
        treasurer: Treasurer,
        handover: Handover,
    ) -> None:
        self._pages = pages
        self._members = members
        self._treasurer = treasurer
        self._handover = handover

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", MEMBERS, self.get_members, TREASURER),
            page("GET", _ONE, self.get_member, TREASURER),
            page("POST", f"{_ONE}/change", self.post_change, TREASURER, form=_ONE),
            page("POST", f"{_ONE}/freeze", self.post_freeze, TREASURER, form=_ONE),
            page("POST", f"{_ONE}/release", self.post_release, TREASURER, form=_ONE),
            page("GET", _CLOSE, self.get_close, TREASURER),
            page("POST", _CLOSE, self.post_close, TREASURER, form=_CLOSE),
            page("POST", f"{_ONE}/open", self.post_open, TREASURER, form=_ONE),
            page("POST", f"{_ONE}/sign-in", self.post_sign_in, TREASURER, form=_ONE),
            page("POST", f"{_ONE}/shut-out", self.post_shut_out, TREASURER, form=_ONE),
        ]

    async def get_members(self, request: web.Request) -> web.Response:
        """Show members with their balances between their limits."""
        fields = forms.read_address_fields(request, ListFields)
        text = " ".join(fields.text.split())[:_TEXT_MAX]
        query = {"cursor": fields.cursor or None, "page_size": _SIZE}
        try:
            wanted = msgspec.convert(query, MembersQuery)
        except msgspec.ValidationError:
            expected = "a place in the list"
            raise MalformedMessageError("cursor", fields.cursor, expected) from None
        if text:
            found = await self._members.named(text)
        else:
            found = await self._members.members(wanted)
        more = {"cursor": found.cursor or ""}
        return self._pages.show(
            request,
            "members.html",
            text=text,
            members=found.members,
            unit=found.unit,
            gauge=lambda one: gauge(one.floor, one.balance, one.ceiling),
            more=forms.write_fields(MEMBERS, more) if found.cursor else "",
            may_act=may_act(request),
        )

    # One member.

    async def get_member(self, request: web.Request) -> web.Response:
        """Show one member, with what may be decided about her."""
        one = await self._member(request)
        carried = forms.read_address_fields(request, ChangeFields)
        return await self._show(request, one, typed=carried)

    async def _member(self, request: web.Request) -> MemberAnswer:
        return await self._members.member(request.match_info["account"])

    async def _show(
        self,
        request: web.Request,
        one: MemberAnswer,
        *,
        typed: ChangeFields,
        told: str = "",
        errors: dict[str, str] | None = None,
    ) -> web.Response:
        if not typed.was_name:
            shown = self._as_typed(request, one)
            typed = msgspec.structs.replace(shown, reason=typed.reason)
        query = PageQuery(page_size=_CHANGES)
        changes = await self._members.changes(one.account, query)
        return self._pages.show(
            request,
            "member.html",
            member=one,
            gauge=gauge(one.floor, one.balance, one.ceiling),
            typed=typed,
            told=told,
            errors=errors or {},
            saved=request.query.get("saved", ""),
            changes=changes.changes,
            key=new_key(),
            may_act=may_act(request),
        )

    def _as_typed(self, request: web.Request, one: MemberAnswer) -> ChangeFields:
        figures, decimals = self._pages.figures(request), one.unit.decimals
        below = None if one.floor is None else -one.floor
        floor = write_limit(below, decimals, figures)
        ceiling = write_limit(one.ceiling, decimals, figures)
        return ChangeFields(one.name, floor, ceiling, "", one.name, floor, ceiling)

    async def post_change(self, request: web.Request) -> web.Response:
        """Change name and limits, all that was typed otherwise or nothing."""
        one = await self._member(request)
        typed = await forms.read_form(request, ChangeFields)
        errors: dict[str, str] = {}
        name: str | UnsetType = UNSET
        if typed.name != typed.was_name:
            name = typed.name.strip()
            if not is_display_name(name):
                errors["name"] = self._pages.say(request, "members.no-name")
        floor: int | UnsetType | None = UNSET
        if typed.floor != typed.was_floor:
            below = self._read_limit(request, typed.floor, one.unit, "floor", errors)
            floor = None if below is None else -below
        ceiling: int | UnsetType | None = UNSET
        if typed.ceiling != typed.was_ceiling:
            ceiling = self._read_limit(
                request, typed.ceiling, one.unit, "ceiling", errors
            )
        if typed.reason.strip() and not is_reason(typed.reason):
            errors["reason"] = self._pages.say(request, "treasurer.reason-long")
        if errors:
            return await self._show(request, one, typed=typed, errors=errors)
        patch = MemberPatch(name=name, floor=floor, ceiling=ceiling)
        if patch == MemberPatch():
            return see_other(f"{MEMBERS}/{one.account}")
        patch = msgspec.structs.replace(patch, reason=_reason(typed.reason))
        return await self._change(request, one, patch, "change", typed)

    def _read_limit(
        self,
        request: web.Request,
        text: str,
        unit: UnitAnswer,
        field: str,
        errors: dict[str, str],
    ) -> int | None:
        read = read_limit(text, unit.decimals, request[VISIT].language)
        if isinstance(read, AmountFault):
            errors[field] = self._pages.say(
                request,
                f"treasurer.amount-{read}",
                unit=unit.plural,
                decimals=unit.decimals,
            )
            return None
        return read

    async def _change(
        self,
        request: web.Request,
        one: MemberAnswer,
        patch: MemberPatch,
        saved: str,
        typed: ChangeFields,
    ) -> web.Response:
        """Have it decided; a no stands on her page, above how she is now."""
        person = caller_of(request).person_id
        try:
            await self._members.change(person, one.account, patch)
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            return await self._show(request, one, typed=typed, told=told)
        return see_other(f"{MEMBERS}/{one.account}?saved={saved}")

    async def post_freeze(self, request: web.Request) -> web.Response:
        """Freeze a member; one who is frozen stays so."""
        return await self._decide(request, MemberPatch(frozen=True), "freeze")

    async def post_release(self, request: web.Request) -> web.Response:
        """Release a member; one who is active stays so."""
        return await self._decide(request, MemberPatch(frozen=False), "release")

    async def post_open(self, request: web.Request) -> web.Response:
        """Open a closed account again, for the same member."""
        return await self._decide(request, MemberPatch(closed=False), "open")

    async def _decide(
        self, request: web.Request, patch: MemberPatch, saved: str
    ) -> web.Response:
        one = await self._member(request)
        fields = await forms.read_form(request, ReasonFields)
        typed = msgspec.structs.replace(
            self._as_typed(request, one), reason=fields.reason
        )
        if fields.reason.strip() and not is_reason(fields.reason):
            told = self._pages.say(request, "treasurer.reason-long")
            return await self._show(request, one, typed=typed, told=told)
        patch = msgspec.structs.replace(patch, reason=_reason(fields.reason))
        return await self._change(request, one, patch, saved, typed)

    # Closing, with what stands on the account.

    async def get_close(self, request: web.Request) -> web.Response:
        """Show what closing an account does before it is done."""
        check_may_act(request)
        fields = forms.read_address_fields(request, CloseFields)
        return self._show_close(request, await self._member(request), fields.reason)

    def _show_close(
        self,
        request: web.Request,
        one: MemberAnswer,
        reason: str,
        *,
        told: str = "",
        error: str = "",
    ) -> web.Response:
        return self._pages.show_form(
            request,
            "close.html",
            member=one,
            reason=reason,
            told=told,
            error=error,
        )

    async def post_close(self, request: web.Request) -> web.Response:
        """Close an account; what stands on it is left to the fund, as was shown."""
        one = await self._member(request)
        fields = await forms.read_form(request, CloseFields)
        if one.state == "closed":
            return see_other(f"{MEMBERS}/{one.account}?saved=close")
        if fields.balance != str(one.balance):
            told = self._pages.say(request, "members.balance-moved")
            return self._show_close(request, one, fields.reason, told=told)
        if (one.balance or fields.reason.strip()) and not is_reason(fields.reason):
            key = "reason-long" if fields.reason.strip() else "reason-missing"
            error = self._pages.say(request, f"treasurer.{key}")
            return self._show_close(request, one, fields.reason, error=error)
        patch = MemberPatch(
            closed=True,
            reason=_reason(fields.reason),
            balance_to="fund" if one.balance else UNSET,
        )
        try:
            person = caller_of(request).person_id
            await self._members.change(person, one.account, patch)
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            now = await self._member(request)
            return self._show_close(request, now, fields.reason, told=told)
        return see_other(f"{MEMBERS}/{one.account}?saved=close")

    # Letting her in.

    async def post_sign_in(self, request: web.Request) -> web.Response:
        """Make a new link by which she signs in, and show it once."""
        one = await self._member(request)
        fields = await forms.read_form(request, ReasonFields)
        person = caller_of(request).person_id
        return await self._handover.show(
            request,
            fields.key,
            lambda: self._treasurer.invite(one.account, person),
            name=one.name,
            back=f"{MEMBERS}/{one.account}",
        )

    async def post_shut_out(self, request: web.Request) -> web.Response:
        """Sign her out everywhere, her password too; again it changes nothing."""
        one = await self._member(request)
        person = caller_of(request).person_id
        await self._treasurer.shut_out(one.account, person)
        return see_other(f"{MEMBERS}/{one.account}?saved=shut-out")


def _reason(text: str) -> str | UnsetType:
    return text.strip() or UNSET
