"""The whole ledger: everything booked, an entry by hand, and the counter-entry of one.

An entry by hand is typed, looked at, and booked, in three pages as a payment is.
"""

import msgspec
from aiohttp import web

from nodes.api.account import EntriesQuery
from nodes.api.entries import EntriesApi, LedgerEntryAnswer
from nodes.bulk import Bulk, ForeseenMass, MassWish
from nodes.pages.drafts import is_account
from nodes.pages.typed import (
    check_may_act,
    is_reason,
    may_act,
    new_key,
    read_digits,
    read_key,
)
from nodes.payments import Payments
from nodes.rules import FUND, ForeseenPosting
from nodes.treasurer import Treasurer
from protocol.errors import MalformedMessageError, TreasurerRefusalCode
from protocol.ledger import Posting
from protocol.peer.web import forms, words
from protocol.peer.web.figures import AmountFault, read_amount
from protocol.peer.web.pages import VISIT, Pages, see_other
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER, Route
from protocol.peer.web.units import UnitAnswer

LEDGER = "/treasurer/ledger"
ENTRIES = "/treasurer/entries"
BY_HAND = "/treasurer/by-hand"
CONFIRM = f"{BY_HAND}/confirm"
_ONE = f"{ENTRIES}/{{id}}"
_CORRECT = f"{_ONE}/correct"
_SIZE = 50
_TEXT_MAX = 100
_SUGGESTED_MAX = 1000
#: What is wrong with the account itself, and not with how much.
_NOBODYS = (TreasurerRefusalCode.NO_SUCH_ACCOUNT, TreasurerRefusalCode.NOT_FOR_PEOPLE)


class ListFields(msgspec.Struct, frozen=True):
    """What is looked for, and from where on."""

    text: str
    cursor: str


class HandFields(msgspec.Struct, frozen=True):
    """An entry as typed: who gives how much to whom, and why.

    ``minor`` is the amount as the confirm page showed it, minor units.
    """

    giver: str
    taker: str
    amount: str
    reason: str
    key: str
    minor: str


class CorrectFields(msgspec.Struct, frozen=True):
    """Why an entry is taken back."""

    reason: str
    key: str


class EntryPages:
    """Pages of the ledger, for a treasurer.

    Args:
        pages: shows them.
        entries: reads the ledger.
        treasurer: books.
        bulk: looks at an entry before it is one.
        payments: knows the own unit.
    """

    def __init__(
        self,
        pages: Pages,
        entries: EntriesApi,
        treasurer: Treasurer,
        bulk: Bulk,
        payments: Payments,
    ) -> None:
        self._pages = pages
        self._entries = entries
        self._treasurer = treasurer
        self._bulk = bulk
        self._payments = payments

    def routes(self) -> list[Route]:
        """List the pages."""
        page = Route.page
        return [
            page("GET", LEDGER, self.get_ledger, TREASURER),
            page("GET", BY_HAND, self.get_by_hand, TREASURER),
            page("GET", CONFIRM, self.get_confirm, TREASURER),
            page("POST", BY_HAND, self.post_by_hand, TREASURER, form=CONFIRM),
            page("GET", _ONE, self.get_entry, TREASURER),
            page("GET", _CORRECT, self.get_correct, TREASURER),
            page("POST", _CORRECT, self.post_correct, TREASURER, form=_CORRECT),
        ]

    def _unit(self) -> UnitAnswer:
        return UnitAnswer.of(self._payments.own_record().entry.unit)

    # Looking.

    async def get_ledger(self, request: web.Request) -> web.Response:
        """Show all that was booked, and find something in it."""
        fields = forms.read_address_fields(request, ListFields)
        text = " ".join(fields.text.split())[:_TEXT_MAX]
        query = {
            "page_size": _SIZE,
            "text": text or None,
            "cursor": fields.cursor or None,
        }
        try:
            wanted = msgspec.convert(query, EntriesQuery)
        except msgspec.ValidationError:
            expected = "a place in the list"
            raise MalformedMessageError("cursor", fields.cursor, expected) from None
        found = await self._entries.ledger(wanted)
        more = {"text": text, "cursor": found.cursor or ""}
        return self._pages.show(
            request,
            "ledger.html",
            text=text,
            entries=found.entries,
            unit=found.unit,
            more=forms.write_fields(LEDGER, more) if found.cursor else "",
            may_act=may_act(request),
        )

    async def get_entry(self, request: web.Request) -> web.Response:
        """Show one entry with all its postings."""
        entry = await self._entries.entry(request.match_info["id"])
        return self._pages.show(
            request,
            "entry.html",
            entry=entry,
            unit=self._unit(),
            saved=request.query.get("saved", ""),
            way=_way(request, entry),
            may_act=may_act(request),
        )

    # By hand.

    async def get_by_hand(self, request: web.Request) -> web.Response:
        """Ask who gives how much to whom, and why."""
        check_may_act(request)
        fields = forms.read_address_fields(request, HandFields)
        return await self._show_by_hand(request, fields)

    async def _show_by_hand(
        self,
        request: web.Request,
        fields: HandFields,
        errors: dict[str, str] | None = None,
    ) -> web.Response:
        members = [
            one for one in await self._treasurer.everyone() if not one.account.closed
        ]
        return self._pages.show_form(
            request,
            "by-hand.html",
            fields=fields,
            errors=errors or {},
            unit=self._unit(),
            # To choose from; a longer list would be a heavy page.
            accounts=[
                (one.account.account_id, one.name) for one in members[:_SUGGESTED_MAX]
            ],
            fund=FUND,
        )

    async def get_confirm(self, request: web.Request) -> web.Response:
        """Show what an entry would do before it is one."""
        check_may_act(request)
        fields = forms.read_address_fields(request, HandFields)
        if not fields.key:
            keyed = msgspec.structs.replace(fields, key=new_key())
            return see_other(forms.write_fields(CONFIRM, msgspec.to_builtins(keyed)))
        postings, errors = self._read(request, fields)
        if errors:
            return await self._show_by_hand(request, fields, errors)
        before = await self._treasurer.answered(
            caller_of(request).person_id, read_key(fields.key)
        )
        wish = MassWish(
            each=None, accounts=None, postings=postings, reason=fields.reason
        )
        foreseen = await self._bulk.foresee_mass(wish)
        lines = self._lines(request, foreseen, postings)
        unknown = {
            field: told
            for field, (one, _, told) in zip(("giver", "taker"), lines, strict=True)
            if one.code in _NOBODYS
        }
        if unknown:
            return await self._show_by_hand(request, fields, unknown)
        carried = msgspec.to_builtins(fields)
        minor = str(postings[1].amount)
        return self._pages.show(
            request,
            "confirm-entry.html",
            fields=fields,
            lines=lines,
            carried=carried | {"minor": minor},
            change=forms.write_fields(BY_HAND, carried | {"key": ""}),
            done=before.entry_id if before is not None else None,
            amount=postings[1].amount,
            unit=self._unit(),
            fund=FUND,
        )

    def _read(
        self, request: web.Request, fields: HandFields
    ) -> tuple[tuple[Posting, ...], dict[str, str]]:
        unit, language = self._unit(), request[VISIT].language
        named = {"unit": unit.plural, "decimals": unit.decimals}
        errors: dict[str, str] = {}
        accounts = {}
        for field in ("giver", "taker"):
            accounts[field] = getattr(fields, field).strip().lower()
            if not is_account(accounts[field]):
                errors[field] = words.say("by-hand.no-account", language, {})
        if not errors and accounts["giver"] == accounts["taker"]:
            errors["taker"] = words.say("by-hand.same-account", language, {})
        amount = read_amount(fields.amount, unit.decimals, language)
        if isinstance(amount, AmountFault):
            errors["amount"] = words.say(f"treasurer.amount-{amount}", language, named)
        if not is_reason(fields.reason):
            kind = "reason-long" if fields.reason.strip() else "reason-missing"
            errors["reason"] = words.say(f"treasurer.{kind}", language, {})
        if errors or isinstance(amount, AmountFault):
            return (), errors
        giver, taker = accounts["giver"], accounts["taker"]
        return (Posting(giver, -amount), Posting(taker, amount)), {}

    def _lines(
        self,
        request: web.Request,
        foreseen: ForeseenMass,
        postings: tuple[Posting, ...],
    ) -> list[tuple[ForeseenPosting, str, str]]:
        """Give what happens on each account, whose it is, and what is in the way."""
        found = {one.account_id: one for one in foreseen.lines}
        if foreseen.fund is not None:
            found[FUND] = foreseen.fund
        language = request[VISIT].language
        lines = []
        for posting in postings:
            one = found[posting.account_id]
            extra = {"account": one.account_id}
            told = words.refusal(one.code, language, extra) if one.code else ""
            lines.append((one, foreseen.names.get(one.account_id, ""), told))
        return lines

    async def post_by_hand(self, request: web.Request) -> web.Response:
        """Book what stood on the confirm page; sent twice, it is booked once."""
        fields = await forms.read_form(request, HandFields)
        key, amount = read_key(fields.key), read_digits(fields.minor)
        giver, taker = fields.giver.strip().lower(), fields.taker.strip().lower()
        postings = (Posting(giver, -amount), Posting(taker, amount))
        person = caller_of(request).person_id
        try:
            booked = await self._treasurer.book(person, key, postings, fields.reason)
        except Problem as problem:
            if problem.code is None:
                raise
            errors = {_field_of(problem, giver): self._pages.refusal(request, problem)}
            # A refusal is remembered under its key.
            again = msgspec.structs.replace(fields, key="")
            return await self._show_by_hand(request, again, errors)
        return see_other(f"{ENTRIES}/{booked.entry.entry_id}?saved=booked")

    # Taking one back.

    async def get_correct(self, request: web.Request) -> web.Response:
        """Show the counter-entry of an entry before it is booked."""
        check_may_act(request)
        fields = forms.read_address_fields(request, CorrectFields)
        entry = await self._entries.entry(request.match_info["id"])
        return self._show_correct(request, entry, fields)

    def _show_correct(
        self,
        request: web.Request,
        entry: LedgerEntryAnswer,
        fields: CorrectFields,
        *,
        told: str = "",
        error: str = "",
    ) -> web.Response:
        return self._pages.show_form(
            request,
            "correct.html",
            entry=entry,
            reason=fields.reason,
            key=fields.key or new_key(),
            told=told,
            error=error,
            way="" if told else _way(request, entry),
            unit=self._unit(),
        )

    async def post_correct(self, request: web.Request) -> web.Response:
        """Book the counter-entry, once."""
        fields = await forms.read_form(request, CorrectFields)
        entry = await self._entries.entry(request.match_info["id"])
        key = read_key(fields.key)
        if not is_reason(fields.reason):
            kind = "reason-long" if fields.reason.strip() else "reason-missing"
            error = self._pages.say(request, f"treasurer.{kind}")
            return self._show_correct(request, entry, fields, error=error)
        person = caller_of(request).person_id
        try:
            booked = await self._treasurer.correct(person, key, entry.id, fields.reason)
        except Problem as problem:
            if problem.code is None:
                raise
            told = self._pages.refusal(request, problem)
            again = msgspec.structs.replace(fields, key="")
            now = await self._entries.entry(entry.id)
            return self._show_correct(request, now, again, told=told)
        return see_other(f"{ENTRIES}/{booked.entry.entry_id}?saved=corrected")


def _way(request: web.Request, entry: LedgerEntryAnswer) -> str:
    """Say what plainly stands in the way of taking an entry back, if anything does.

    It spares her a form; what counts is decided when she presses its button.
    """
    code = None
    if entry.corrected_by:
        code = TreasurerRefusalCode.CORRECTED_BEFORE
    elif any(one.in_ == "milliseconds" for one in entry.postings):
        code = TreasurerRefusalCode.BETWEEN_GROUPS
    return words.refusal(code, request[VISIT].language) if code else ""


def _field_of(problem: Problem, giver: str) -> str:
    return "giver" if problem.extra.get("account") == giver else "taker"
