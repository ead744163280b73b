"""A new member: her name and limits, a look at them, and the link that lets her in.

The form's fields stand in the address, as those of paying do; only the last button
does something, and its key does it once.
"""

import msgspec
from aiohttp import web

from nodes.api.members import MemberRequest, MembersApi
from nodes.pages.drafts import is_account
from nodes.pages.handover import Handover
from nodes.pages.members import MEMBERS
from nodes.pages.typed import (
    check_may_act,
    is_display_name,
    new_key,
    read_key,
    read_limit,
    write_limit,
)
from nodes.payments import Payments
from nodes.treasurer import Treasurer
from protocol.errors import TreasurerRefusalCode
from protocol.peer.web import forms
from protocol.peer.web.figures import AmountFault
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route
from protocol.peer.web.units import UnitAnswer

NEW = "/treasurer/new-member"
CONFIRM = f"{NEW}/confirm"
_OF_ACCOUNT = (TreasurerRefusalCode.NAME_TAKEN, TreasurerRefusalCode.NAME_RESERVED)


class NewFields(msgspec.Struct, frozen=True):
    """A new member as typed, and the key under which she is admitted."""

    account: str
    name: str
    floor: str
    ceiling: str
    limits: str
    key: str


class AdmittingPages:
    """Pages that let a member in.

    Args:
        pages: shows them.
        members: admits them.
        treasurer: knows what was done before.
        payments: knows the own unit.
        handover: shows the link.
    """

    def __init__(
        self,
        pages: Pages,
        members: MembersApi,
        treasurer: Treasurer,
        payments: Payments,
        handover: Handover,
    ) -> None:
        self._pages = pages
        self._members = members
        self._treasurer = treasurer
        self._payments = payments
        self._handover = handover

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", NEW, self.get_new, TREASURER),
            page("GET", CONFIRM, self.get_confirm, TREASURER),
            page("POST", NEW, self.post_new, TREASURER, form=CONFIRM),
        ]

    async def get_new(self, request: web.Request) -> web.Response:
        """Ask who comes in, and how far she may go."""
        check_may_act(request)
        fields = forms.read_address_fields(request, NewFields)
        if not fields.limits:
            fields = await self._with_usual_limits(request, fields)
        return self._show_new(request, fields)

    async def _with_usual_limits(
        self, request: web.Request, fields: NewFields
    ) -> NewFields:
        """Fill in the limits of who came in last: groups give most people the same."""
        newest = await self._treasurer.newest_member()
        if newest is None:
            return fields
        figures, unit = self._pages.figures(request), self._unit()
        floor, ceiling = newest.account.floor, newest.account.ceiling
        if (floor or 0) > 0 or (ceiling or 0) < 0:
            return fields
        return msgspec.structs.replace(
            fields,
            floor=write_limit(
                None if floor is None else -floor, unit.decimals, figures
            ),
            ceiling=write_limit(ceiling, unit.decimals, figures),
        )

    def _unit(self) -> UnitAnswer:
        return UnitAnswer.of(self._payments.own_record().entry.unit)

    def _show_new(
        self,
        request: web.Request,
        fields: NewFields,
        errors: dict[str, str] | None = None,
    ) -> web.Response:
        return self._pages.show_form(
            request,
            "new-member.html",
            fields=fields,
            errors=errors or {},
            unit=self._unit(),
            group=self._payments.own_record().entry.group,
        )

    async def get_confirm(self, request: web.Request) -> web.Response:
        """Show who comes in before she does; her name stays hers for ever."""
        check_may_act(request)
        fields = forms.read_address_fields(request, NewFields)
        if not fields.key:
            keyed = msgspec.structs.replace(fields, key=new_key())
            return see_other(forms.write_fields(CONFIRM, msgspec.to_builtins(keyed)))
        wanted, errors = self._read(request, fields)
        if wanted is None:
            return self._show_new(request, fields, errors)
        person = caller_of(request).person_id
        before = await self._treasurer.answered(person, read_key(fields.key))
        own = self._payments.own_record()
        return self._pages.show(
            request,
            "confirm-member.html",
            wanted=wanted,
            carried=msgspec.to_builtins(fields),
            change=forms.write_fields(NEW, msgspec.to_builtins(fields) | {"key": ""}),
            done=before is not None and before.code is None,
            unit=self._unit(),
            rate=own.rate,
            group=own.entry.group,
        )

    def _read(
        self, request: web.Request, fields: NewFields
    ) -> tuple[MemberRequest | None, dict[str, str]]:
        errors: dict[str, str] = {}
        unit, say = self._unit(), self._pages.say
        account = fields.account.strip().lower()
        if not is_account(account):
            errors["account"] = say(request, "members.no-account")
        name = fields.name.strip()
        if not is_display_name(name):
            errors["name"] = say(request, "members.no-name")
        limits: dict[str, int | None] = {}
        for field in ("floor", "ceiling"):
            read = read_limit(
                getattr(fields, field), unit.decimals, request[VISIT].language
            )
            if isinstance(read, AmountFault):
                errors[field] = say(
                    request,
                    f"treasurer.amount-{read}",
                    unit=unit.plural,
                    decimals=unit.decimals,
                )
            else:
                limits[field] = read
        if errors:
            return None, errors
        below = limits["floor"]
        floor = None if below is None else -below
        return MemberRequest(account, name, floor, limits["ceiling"]), {}

    async def post_new(self, request: web.Request) -> web.Response:
        """Admit her, and show the link that lets her in; sent twice, she is one."""
        fields = await forms.read_form(request, NewFields)
        key = read_key(fields.key)
        wanted, errors = self._read(request, fields)
        if wanted is None:
            return self._show_new(request, fields, errors)
        person = caller_of(request).person_id

        async def admit() -> str:
            return (await self._members.admit(person, key, wanted)).sign_in

        try:
            return await self._handover.show(
                request,
                key,
                admit,
                name=wanted.name,
                back=f"{MEMBERS}/{wanted.account}",
            )
        except Problem as problem:
            if problem.code is None:
                raise
            field = "account" if problem.code in _OF_ACCOUNT else "floor"
            told = self._pages.refusal(request, problem)
            # A refusal is remembered under its key.
            again = msgspec.structs.replace(fields, key="", limits="typed")
            return self._show_new(request, again, {field: told})
