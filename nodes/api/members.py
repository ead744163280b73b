"""Members as their treasurer admits them, limits them, and lets them go."""

from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from nodes import member_store
from nodes.api.account import AccountState, account_state
from nodes.payment_answers import unit_answer
from nodes.payments import Payments
from nodes.rules import MemberChange, NewMember, Standing
from nodes.treasurer import Treasurer, new_id
from protocol import strict_json
from protocol.address import ACCOUNT_PATTERN, read_display_name, read_reason
from protocol.errors import MalformedMessageError
from protocol.instant import write_instant
from protocol.messages import line_hash
from protocol.peer.database import Database
from protocol.peer.ledger_store import NEWEST
from protocol.peer.web.paging import PAGE_SIZE, PageQuery, PageSizeField
from protocol.peer.web.requests import (
    caller_of,
    idempotency_key,
    json_response,
    read_json,
    read_query,
)
from protocol.peer.web.routes import Route
from protocol.peer.web.units import UnitAnswer
from protocol.unit import AMOUNT_MAX

#: Minor units.
LimitField = Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
AccountField = Annotated[str, Meta(pattern=ACCOUNT_PATTERN.replace("$", r"\Z"))]


class MembersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which members: by account, behind ``cursor``."""

    cursor: AccountField | None = None
    page_size: PageSizeField = PAGE_SIZE


class MemberRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Admit a member; ``null`` for a limit: none. Limits are minor units."""

    account: AccountField
    name: str
    floor: LimitField | None
    ceiling: LimitField | None


class MemberPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change about a member; what is left out stays as it is.

    ``reason`` is kept beside the change. With ``closed``, ``balance_to`` leaves what
    stands on the account to the group's fund, by an entry with that reason; without
    it, only an account at 0 is closed.
    """

    name: str | UnsetType = UNSET
    floor: LimitField | UnsetType | None = UNSET
    ceiling: LimitField | UnsetType | None = UNSET
    frozen: bool | UnsetType = UNSET
    closed: bool | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    balance_to: Literal["fund"] | UnsetType = UNSET


class MemberLineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A member as her treasurer sees her; amounts are minor units."""

    account: str
    name: str
    since: str
    balance: int
    held: int
    held_in: int
    floor: int | None
    ceiling: int | None
    state: AccountState


class MemberAnswer(MemberLineAnswer, frozen=True, kw_only=True):
    """A member, and the unit of her account."""

    unit: UnitAnswer


class SignInAnswer(msgspec.Struct, frozen=True):
    """A link by which a member signs in, once; shown only now."""

    sign_in: str


class AdmittedAnswer(MemberAnswer, frozen=True, kw_only=True):
    """A new member, with the link by which she signs in the first time."""

    sign_in: str


class MembersAnswer(msgspec.Struct, frozen=True):
    """A page of members, by account; ``cursor`` gives the next one."""

    members: list[MemberLineAnswer]
    unit: UnitAnswer
    cursor: str | None


class ShutOutAnswer(msgspec.Struct, frozen=True):
    """How many of a member's sign-ins and links ended; her password too, if any."""

    account: str
    ended: int
    had_password: bool


class ChangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All that counted about a member from ``at`` on.

    ``author`` is who decided it; ``null``: a command beside no server, as an import.
    ``reason`` is in her words, where she gave one.
    """

    at: str
    author: str | None
    name: str
    floor: int | None
    ceiling: int | None
    state: AccountState
    reason: str | None


class ChangesAnswer(msgspec.Struct, frozen=True):
    """A page of changes, newest first; ``cursor`` gives the next one."""

    changes: list[ChangeAnswer]
    unit: UnitAnswer
    cursor: str | None


_member_decoder = msgspec.json.Decoder(MemberRequest)
_patch_decoder = msgspec.json.Decoder(MemberPatch)


class MembersApi:
    """Members, for a treasurer.

    Args:
        treasurer: what she does.
        payments: knows the own unit.
        database: read only here.
    """

    def __init__(
        self, treasurer: Treasurer, payments: Payments, database: Database
    ) -> None:
        self._treasurer = treasurer
        self._payments = payments
        self._database = database

    def routes(self) -> list[Route]:
        """List the routes."""
        one = "/api/v1/members/{account}"
        return [
            Route(
                method="GET",
                path="/api/v1/members",
                handler=self.get_members,
                told="A page of members with balances and limits, by account.",
                scope="treasurer",
                query=MembersQuery,
                answer=MembersAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/members",
                handler=self.post_member,
                told="Admit a member; the answer holds a one-time sign-in link, a new"
                " one each time, and only the newest counts.",
                scope="treasurer",
                body=MemberRequest,
                answer=AdmittedAnswer,
                status=201,
                is_keyed=True,
            ),
            Route(
                method="GET",
                path=one,
                handler=self.get_member,
                told="One member with balance and limits.",
                scope="treasurer",
                answer=MemberAnswer,
            ),
            Route(
                method="PATCH",
                path=one,
                handler=self.patch_member,
                told="Rename a member, set her limits, freeze, release, close, open;"
                " who closes may leave the balance to the fund.",
                scope="treasurer",
                body=MemberPatch,
                answer=MemberAnswer,
            ),
            *self._more_of_one(one),
        ]

    def _more_of_one(self, one: str) -> list[Route]:
        """List what is about how a member comes in, and what was decided on her."""
        return [
            Route(
                method="POST",
                path=f"{one}/sign-in",
                handler=self.post_sign_in,
                told="A new one-time link by which a member signs in.",
                scope="treasurer",
                answer=SignInAnswer,
                status=201,
            ),
            Route(
                method="DELETE",
                path=f"{one}/sign-ins",
                handler=self.delete_member_sign_ins,
                told="Let nothing that a member has let anybody in, her password"
                " neither: her telephone was stolen.",
                scope="treasurer",
                answer=ShutOutAnswer,
            ),
            Route(
                method="GET",
                path=f"{one}/changes",
                handler=self.get_changes,
                told="What was decided about a member, when and by whom.",
                scope="treasurer",
                query=PageQuery,
                answer=ChangesAnswer,
            ),
        ]

    async def get_members(self, request: web.Request) -> web.Response:
        """Give a page of members."""
        return json_response(await self.members(read_query(request, MembersQuery)))

    async def members(self, query: MembersQuery) -> MembersAnswer:
        """Give a page of members, as answers show them."""
        async with self._database.readers.acquire() as connection:
            members = await member_store.read_members(
                connection, query.cursor or "", query.page_size
            )
        full = len(members) == query.page_size
        return MembersAnswer(
            members=[MemberLineAnswer(**_fields(member)) for member in members],
            unit=self._unit(),
            cursor=members[-1].account.account_id if full else None,
        )

    async def named(self, text: str) -> MembersAnswer:
        """Give all members whose name or account holds a text, by account."""
        sought = text.casefold()
        members = [
            member
            for member in await self._treasurer.everyone()
            if sought in f"{member.name} {member.account.account_id}".casefold()
        ]
        lines = [MemberLineAnswer(**_fields(member)) for member in members]
        return MembersAnswer(members=lines, unit=self._unit(), cursor=None)

    async def post_member(self, request: web.Request) -> web.Response:
        """Admit a member under an Idempotency-Key."""
        key = idempotency_key(request)
        asked = await read_json(request, _member_decoder)
        person = caller_of(request).person_id
        return json_response(await self.admit(person, key, asked), status=201)

    async def admit(
        self, person: str, key: str, asked: MemberRequest
    ) -> AdmittedAnswer:
        """Admit a member in a treasurer's name, and make her sign-in link."""
        meant = ["member", *msgspec.structs.astuple(asked)]
        await self._treasurer.admit(
            NewMember(
                account_id=asked.account,
                name=asked.name,
                floor=asked.floor,
                ceiling=asked.ceiling,
                author=person,
                key=key,
                body_hash=line_hash(strict_json.write(meant)),
            )
        )
        sign_in = await self._treasurer.invite(asked.account, person)
        member = await self._treasurer.member(asked.account)
        return AdmittedAnswer(**_fields(member), unit=self._unit(), sign_in=sign_in)

    async def get_member(self, request: web.Request) -> web.Response:
        """Give one member."""
        return json_response(await self.member(request.match_info["account"]))

    async def member(self, account: str) -> MemberAnswer:
        """Give one member, as answers show her."""
        member = await self._treasurer.member(account)
        return MemberAnswer(**_fields(member), unit=self._unit())

    async def patch_member(self, request: web.Request) -> web.Response:
        """Change what a treasurer decides about a member."""
        asked = await read_json(request, _patch_decoder)
        person = caller_of(request).person_id
        account = request.match_info["account"]
        return json_response(await self.change(person, account, asked))

    async def change(
        self, person: str, account: str, asked: MemberPatch
    ) -> MemberAnswer:
        """Change a member in a treasurer's name; gives her as she then is."""
        wished = {
            name: getattr(asked, name)
            for name in Standing.__struct_fields__
            if getattr(asked, name) is not UNSET
        }
        if not wished:
            expected = ", ".join(Standing.__struct_fields__)
            raise MalformedMessageError("body", {}, f"at least one of {expected}")
        if isinstance(asked.name, str):
            read_display_name(asked.name)
        if isinstance(asked.reason, str):
            wished["reason"] = read_reason(asked.reason)
        if asked.balance_to == "fund":
            if asked.closed is not True or "reason" not in wished:
                expected = "closed true and a reason beside it"
                raise MalformedMessageError("balance_to", asked.balance_to, expected)
            wished["to_fund"] = new_id()
        # Whoever asks for a name that can be none is told as for any unknown one.
        found = await self._treasurer.member(account)
        await self._treasurer.change(
            MemberChange(account_id=found.account.account_id, author=person, **wished)
        )
        return await self.member(account)

    async def post_sign_in(self, request: web.Request) -> web.Response:
        """Make a new one-time link for a member."""
        sign_in = await self._treasurer.invite(
            request.match_info["account"], caller_of(request).person_id
        )
        return json_response(SignInAnswer(sign_in), status=201)

    async def delete_member_sign_ins(self, request: web.Request) -> web.Response:
        """Sign a member out everywhere."""
        account = request.match_info["account"]
        person = caller_of(request).person_id
        ended, had_password = await self._treasurer.shut_out(account, person)
        return json_response(ShutOutAnswer(account, ended, had_password))

    async def get_changes(self, request: web.Request) -> web.Response:
        """Give a page of what was decided about a member."""
        query = read_query(request, PageQuery)
        account = request.match_info["account"]
        return json_response(await self.changes(account, query))

    async def changes(self, account: str, query: PageQuery) -> ChangesAnswer:
        """Give a page of what was decided about a member, as answers show it."""
        member = await self._treasurer.member(account)
        before = NEWEST if query.cursor is None else int(query.cursor)
        async with self._database.readers.acquire() as connection:
            changes = await member_store.read_changes(
                connection, member.account.account_id, before, query.page_size
            )
        full = len(changes) == query.page_size
        return ChangesAnswer(
            changes=[_change_answer(change) for change in changes],
            unit=self._unit(),
            cursor=str(changes[-1].number) if full else None,
        )

    def _unit(self) -> UnitAnswer:
        return unit_answer(self._payments.own_record())


def _fields(member: member_store.Member) -> dict[str, Any]:
    account = member.account
    return {
        "account": account.account_id,
        "name": member.name,
        "since": write_instant(member.since),
        "balance": account.balance,
        "held": account.held_out,
        "held_in": account.held_in,
        "floor": account.floor,
        "ceiling": account.ceiling,
        "state": account_state(account),
    }


def _change_answer(change: member_store.Change) -> ChangeAnswer:
    standing = change.standing
    return ChangeAnswer(
        at=write_instant(change.at),
        author=change.author,
        name=standing.name,
        floor=standing.floor,
        ceiling=standing.ceiling,
        state=account_state(standing),
        reason=change.reason,
    )
