"""Limits and entries of many members at once, each with a preview."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from nodes.api.entries import PostingRequest
from nodes.api.members import AccountField, LimitField
from nodes.bulk import LIMITS_MAX, Bulk, ForeseenMass, MassWish
from nodes.imports.limits_csv import UnreadLine, read_limits
from nodes.payment_answers import unit_answer
from nodes.payments import Payments
from nodes.rules import MASS_MAX, Foreseen, ForeseenLimits, LimitLine, WrongLine
from protocol.address import read_reason
from protocol.errors import MalformedMessageError, TreasurerRefusalCode
from protocol.instant import write_instant
from protocol.ledger import Posting
from protocol.peer.web.problems import Problem, ProblemAnswer, language_of
from protocol.peer.web.requests import (
    caller_of,
    idempotency_key,
    json_response,
    read_json,
)
from protocol.peer.web.routes import Route
from protocol.peer.web.units import UnitAnswer
from protocol.peer.web.words import Language, refusal
from protocol.unit import AMOUNT_MAX

#: Bytes of a body that is about everybody.
_LENGTH_MAX = 2 * 1024 * 1024


class LimitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one member, minor units; ``null``: none; what is left out stays."""

    account: AccountField
    floor: LimitField | UnsetType | None = UNSET
    ceiling: LimitField | UnsetType | None = UNSET


class LimitsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of many: either ``limits`` or ``csv``, and why.

    ``csv`` begins with ``account,floor,ceiling``; ``none`` there means no limit, and an
    empty cell stays as it is.
    """

    reason: str
    limits: (
        Annotated[list[LimitRequest], Meta(min_length=1, max_length=LIMITS_MAX)]
        | UnsetType
    ) = UNSET
    csv: str | UnsetType = UNSET


class WrongRowAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A row that cannot be: its line of the CSV or place in the list, and why."""

    row: int
    account: str
    code: str | None
    told: str


class LimitsProblem(ProblemAnswer, frozen=True, kw_only=True, omit_defaults=True):
    """Why no limit was changed: every row that is wrong."""

    wrong: list[WrongRowAnswer] = msgspec.field(default_factory=list)


class ChangedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """New limits of a member beside those before; minor units, ``null``: none.

    ``is_outside``: her balance stands outside of them, which stays lawful.
    """

    account: str
    floor: int | None
    ceiling: int | None
    floor_before: int | None
    ceiling_before: int | None
    is_outside: bool


class LimitsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What changes, what stays, and (in a preview) what is wrong."""

    changed: list[ChangedLimits]
    unchanged: int
    wrong: list[WrongRowAnswer]
    unit: UnitAnswer


class MassRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Book for many at once; the group's fund gets, or gives, the sum.

    Either ``each``, what moves on every account (below zero: she pays), on all active
    members or on ``accounts``; or ``postings``, with an amount for each account.
    """

    reason: str
    each: Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)] | UnsetType = UNSET
    accounts: (
        Annotated[list[AccountField], Meta(min_length=1, max_length=MASS_MAX)]
        | UnsetType
    ) = UNSET
    postings: (
        Annotated[list[PostingRequest], Meta(min_length=1, max_length=MASS_MAX)]
        | UnsetType
    ) = UNSET


class MassLineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What would move on an account, minor units; with ``code``, why it may not.

    ``name`` and ``balance_after`` are ``null`` where nobody has this account.
    """

    account: str
    name: str | None
    amount: int
    balance_after: int | None
    code: str | None
    told: str | None


class ForeseenMassAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a mass entry would do; nothing was booked."""

    may_be_booked: bool
    lines: list[MassLineAnswer]
    fund_amount: int
    fund_after: int | None
    unit: UnitAnswer


class MassAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A mass entry that was booked; ``fund_amount`` is what the fund got."""

    id: str
    number: int
    at: str
    members: int
    fund_amount: int
    reason: str


_limits_decoder = msgspec.json.Decoder(LimitsRequest)
_mass_decoder = msgspec.json.Decoder(MassRequest)


class BulkApi:
    """Many members at once, for a treasurer.

    Args:
        bulk: what she does.
        payments: knows the own unit.
    """

    def __init__(self, bulk: Bulk, payments: Payments) -> None:
        self._bulk = bulk
        self._payments = payments

    def routes(self) -> list[Route]:
        """List the routes."""
        limits, mass = "/api/v1/group/limits", "/api/v1/group/mass-entries"
        return [
            Route(
                method="POST",
                path=f"{limits}/preview",
                handler=self.post_limits_preview,
                told="What new limits of many would change, and which rows are wrong.",
                scope="treasurer",
                body=LimitsRequest,
                answer=LimitsAnswer,
            ),
            Route(
                method="POST",
                path=limits,
                handler=self.post_limits,
                told="Set limits of many members, all or none; again it changes nothing"
                " more.",
                scope="treasurer",
                body=LimitsRequest,
                answer=LimitsAnswer,
                problem=LimitsProblem,
            ),
            Route(
                method="POST",
                path=f"{mass}/preview",
                handler=self.post_mass_preview,
                told="What an entry for many would do to each, and whom it would stop.",
                scope="treasurer",
                body=MassRequest,
                answer=ForeseenMassAnswer,
            ),
            Route(
                method="POST",
                path=mass,
                handler=self.post_mass,
                told="Book one entry for many members, all of it or nothing.",
                scope="treasurer",
                body=MassRequest,
                answer=MassAnswer,
                status=201,
                is_keyed=True,
            ),
        ]

    async def post_limits_preview(self, request: web.Request) -> web.Response:
        """Say what limits would change; nothing is."""
        asked = await read_json(request, _limits_decoder, _LENGTH_MAX)
        read_reason(asked.reason)
        lines, unread = _read_lines(asked)
        foreseen = await self._bulk.foresee_limits(lines) if lines else None
        return json_response(self._limits(foreseen, unread, language_of(request)))

    async def post_limits(self, request: web.Request) -> web.Response:
        """Set limits, all or none."""
        asked = await read_json(request, _limits_decoder, _LENGTH_MAX)
        lines, unread = _read_lines(asked)
        if unread:
            # Looked at whole, so that nobody mends a file line by line.
            foreseen = await self._bulk.foresee_limits(lines) if lines else None
        else:
            author = caller_of(request).person_id
            foreseen = await self._bulk.change_limits(lines, author, asked.reason)
        answer = self._limits(foreseen, unread, language_of(request))
        if answer.wrong:
            code = TreasurerRefusalCode.ROWS_WRONG
            extra: dict[str, object] = {"wrong": answer.wrong}
            raise Problem(422, "refused", f"Refused: {code}.", code=code, extra=extra)
        return json_response(answer)

    def _limits(
        self, foreseen: Foreseen | None, unread: list[UnreadLine], language: Language
    ) -> LimitsAnswer:
        foreseen = foreseen or Foreseen((), ())
        changed = [line for line in foreseen.lines if line.is_new]
        wrong = [_unread(line) for line in unread]
        wrong += [_wrong(line, language) for line in foreseen.wrong]
        return LimitsAnswer(
            changed=[_changed(line) for line in changed],
            unchanged=len(foreseen.lines) - len(changed),
            wrong=sorted(wrong, key=lambda one: one.row),
            unit=unit_answer(self._payments.own_record()),
        )

    async def post_mass_preview(self, request: web.Request) -> web.Response:
        """Say what an entry for many would do; nothing is booked."""
        wish = _wish(await read_json(request, _mass_decoder, _LENGTH_MAX))
        foreseen = await self._bulk.foresee_mass(wish)
        return json_response(self._foreseen(foreseen, language_of(request)))

    def _foreseen(
        self, foreseen: ForeseenMass, language: Language
    ) -> ForeseenMassAnswer:
        fund = foreseen.fund
        lines = [
            MassLineAnswer(
                account=line.account_id,
                name=foreseen.names.get(line.account_id),
                amount=line.amount,
                balance_after=line.balance_after,
                code=line.code,
                told=line.code and _told(line.code, line.account_id, language),
            )
            for line in foreseen.lines
        ]
        return ForeseenMassAnswer(
            may_be_booked=foreseen.may_be_booked,
            lines=lines,
            fund_amount=0 if fund is None else fund.amount,
            fund_after=None if fund is None else fund.balance_after,
            unit=unit_answer(self._payments.own_record()),
        )

    async def post_mass(self, request: web.Request) -> web.Response:
        """Book an entry for many under an Idempotency-Key."""
        key = idempotency_key(request)
        wish = _wish(await read_json(request, _mass_decoder, _LENGTH_MAX))
        person = caller_of(request).person_id
        booked = await self._bulk.book_mass(person, key, wish)
        amounts = {one.account_id: one.amount for one in booked.amounts}
        to_fund = amounts.pop("fund", 0)
        assert booked.entry.reason is not None, "nothing is booked by hand without"
        answer = MassAnswer(
            id=booked.entry.entry_id,
            number=booked.sequence,
            at=write_instant(booked.entry.at),
            members=len(amounts),
            fund_amount=to_fund,
            reason=booked.entry.reason,
        )
        return json_response(answer, status=201)


def _read_lines(asked: LimitsRequest) -> tuple[list[LimitLine], list[UnreadLine]]:
    if (asked.limits is UNSET) == (asked.csv is UNSET):
        found = "neither" if asked.csv is UNSET else "both"
        raise MalformedMessageError("limits", found, "either limits or csv")
    if isinstance(asked.csv, str):
        lines, unread = read_limits(asked.csv)
        if not 1 <= len(lines) + len(unread) <= LIMITS_MAX:
            found = f"{len(lines) + len(unread)} lines"
            raise MalformedMessageError("csv", found, f"1 to {LIMITS_MAX} of them")
        return lines, unread
    assert asked.limits is not UNSET, "one of both was said"
    lines = [
        LimitLine(row=row, account_id=one.account, floor=one.floor, ceiling=one.ceiling)
        for row, one in enumerate(asked.limits, 1)
    ]
    return lines, []


def _wish(asked: MassRequest) -> MassWish:
    if (asked.each is UNSET) == (asked.postings is UNSET):
        found = "neither" if asked.each is UNSET else "both"
        raise MalformedMessageError("each", found, "either each or postings")
    if asked.postings is not UNSET and asked.accounts is not UNSET:
        raise MalformedMessageError("accounts", "postings too", "accounts with each")
    if asked.each == 0:
        raise MalformedMessageError("each", 0, "a whole number other than 0")
    postings = None
    if asked.postings is not UNSET:
        postings = tuple(Posting(one.account, one.amount) for one in asked.postings)
    return MassWish(
        each=None if asked.each is UNSET else asked.each,
        accounts=None if asked.accounts is UNSET else tuple(asked.accounts),
        postings=postings,
        reason=asked.reason,
    )


def _told(code: TreasurerRefusalCode, account: str, language: Language) -> str:
    return refusal(code, language, {"account": account})


def _wrong(line: WrongLine, language: Language) -> WrongRowAnswer:
    told = _told(line.code, line.account_id, language)
    return WrongRowAnswer(
        row=line.row, account=line.account_id, code=line.code, told=told
    )


def _unread(line: UnreadLine) -> WrongRowAnswer:
    return WrongRowAnswer(
        row=line.row, account=line.account_id, code=None, told=line.told
    )


def _changed(line: ForeseenLimits) -> ChangedLimits:
    return ChangedLimits(
        account=line.account_id,
        floor=line.after[0],
        ceiling=line.after[1],
        floor_before=line.before[0],
        ceiling_before=line.before[1],
        is_outside=line.is_outside,
    )
