"""The regional admin's desk: caps between two groups, threshold, and who changed what.

A group's own limits are in ``clearing.api.groups``, which hold for whole positions.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from clearing import limit_store
from clearing.audit_limits import read_genuine
from clearing.house import HubHouse
from clearing.rules import (
    Cap,
    LimitChange,
    NotDecided,
    SetCap,
    SetWarning,
    month_of,
)
from protocol.address import Group, read_reason
from protocol.errors import PeerError
from protocol.keyring import key_id
from protocol.messages import NOTHING_HASH, line_hash, write_line
from protocol.peer import access_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.web.paging import PageQuery
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import (
    caller_of,
    json_response,
    read_json,
    read_query,
)
from protocol.peer.web.routes import Route
from protocol.unit import HOUR, MILLISECONDS_MAX, write_ratio

_CAP = "/api/v1/caps/{payer}/{payee}"


class CapAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A cap, milliseconds, and what of it is used in the month that is now (UTC).

    ``used`` is cleared or held. ``at``, ``author`` and ``reason`` are of who set it.
    """

    payer_group: str
    payee_group: str
    milliseconds: int
    month: str
    used: int
    at: str
    author: str
    reason: str


class CapsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All caps, by payer's group and payee's group."""

    caps: list[CapAnswer]


class ChangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One change: who, when, why, and what counts since; milliseconds.

    ``about`` says which fields are set: ``limits`` has ``floor``, ``ceiling`` and the
    ``decision`` that told everyone; ``cap`` has ``payee_group`` and ``milliseconds``
    (``null``: the cap was ended); ``warning`` has ``percent``. ``signed`` is the hub's
    JWS over all of it and over the change before.
    """

    number: int
    at: str
    about: str
    group: str | None
    floor: int | None
    ceiling: int | None
    decision: tuple[str, int] | None
    payee_group: str | None
    milliseconds: int | None
    percent: int | None
    author: str
    reason: str
    signed: str


class ChangesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of changes, newest first; ``cursor`` gives the next one."""

    changes: list[ChangeAnswer]
    cursor: str | None


class ChainLine(msgspec.Struct, frozen=True):
    """A change; ``is_genuine``: the hub has signed it, behind the one before it."""

    change: ChangeAnswer
    is_genuine: bool


class WarningAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """From which share of a limit on people are warned, and who has set it when."""

    percent: int
    changes: list[ChangeAnswer]


class CapRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Most in a calendar month, milliseconds, and why."""

    milliseconds: Annotated[int, Meta(ge=0, le=MILLISECONDS_MAX)]
    reason: str


class CapEndRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a cap is ended."""

    reason: str


class WarningRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share, percent, and why."""

    percent: Annotated[int, Meta(ge=1, le=100)]
    reason: str


_cap_decoder = msgspec.json.Decoder(CapRequest)
_end_decoder = msgspec.json.Decoder(CapEndRequest)
_warning_decoder = msgspec.json.Decoder(WarningRequest)
#: Changes of the threshold that are shown; it is hardly ever changed.
_THRESHOLDS_MOST = 50


async def author_of(database: Database, person_id: str) -> str:
    """Give the name under which somebody changes something."""
    async with database.readers.acquire() as connection:
        return await access_store.read_name(connection, person_id)


def not_decided(outcome: NotDecided) -> Problem:
    """Say no with the code, and with the values that its sentence names."""
    code = outcome.code
    extra: dict[str, object] = {"group": outcome.group}
    if outcome.proposal is not None:
        extra["proposal"] = outcome.proposal
    if outcome.position is not None:
        extra["hours"] = _write_hours(outcome.position)
    return Problem(409, "not-decided", f"Refused: {code}.", code=code, extra=extra)


def _write_hours(milliseconds: int) -> str:
    if milliseconds == 0:
        return "0"
    sign = "-" if milliseconds < 0 else ""
    return sign + write_ratio(abs(milliseconds), HOUR)


class LimitsApi:
    """The handlers, one method each.

    Args:
        house: knows caps and what of them is used.
        clerk: decides.
        database: read only here.
        clock: says which month it is.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, database: Database, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        """List what the regional admin and her programs ask."""
        return [
            Route(
                method="GET",
                path="/api/v1/caps",
                handler=self.get_caps,
                told="Caps between two groups, and what of them is used this month.",
                scope="admin",
                answer=CapsAnswer,
            ),
            Route(
                method="POST",
                path=_CAP,
                handler=self.post_cap,
                told="Cap what one group may pay another in a calendar month.",
                scope="admin",
                body=CapRequest,
                answer=CapAnswer,
            ),
            Route(
                method="POST",
                path=f"{_CAP}/remove",
                handler=self.post_remove,
                told="End a cap; where there is none, nothing changes.",
                scope="admin",
                body=CapEndRequest,
                answer=CapsAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/groups/{group}/limits",
                handler=self.get_history,
                told="Who changed a group's limits and caps, when and why.",
                scope="admin",
                query=PageQuery,
                answer=ChangesAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/warning",
                handler=self.get_warning,
                told="From which share of a limit on people are warned.",
                scope="admin",
                answer=WarningAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/warning",
                handler=self.post_warning,
                told="Set from which share of a limit on people are warned.",
                scope="admin",
                body=WarningRequest,
                answer=WarningAnswer,
            ),
        ]

    async def get_caps(self, _request: web.Request) -> web.Response:
        """Give all caps."""
        self._clerk.check_ready()
        return json_response(self.caps())

    def caps(self, group: str | None = None) -> CapsAnswer:
        """Give all caps, or those of one group in either direction."""
        return CapsAnswer(
            caps=[
                self._answer(cap)
                for pair, cap in sorted(self._house.limits.caps.items())
                if group is None or group in pair
            ]
        )

    def _answer(self, cap: Cap) -> CapAnswer:
        month = month_of(self._clock.now())
        return CapAnswer(
            payer_group=cap.payer,
            payee_group=cap.payee,
            milliseconds=cap.milliseconds,
            month=month,
            used=self._house.limits.used((cap.payer, cap.payee), month),
            at=cap.at,
            author=cap.author,
            reason=cap.reason,
        )

    async def post_cap(self, request: web.Request) -> web.Response:
        """Set a cap."""
        asked = await read_json(request, _cap_decoder)
        cap = await self._decide(request, asked.milliseconds, asked.reason)
        assert isinstance(cap, Cap)
        return json_response(self._answer(cap))

    async def post_remove(self, request: web.Request) -> web.Response:
        """End a cap."""
        asked = await read_json(request, _end_decoder)
        await self._decide(request, None, asked.reason)
        return json_response(self.caps())

    async def _decide(
        self, request: web.Request, milliseconds: int | None, reason: str
    ) -> object:
        order = SetCap(
            payer=self._known(request.match_info["payer"]),
            payee=self._known(request.match_info["payee"]),
            milliseconds=milliseconds,
            author=await author_of(self._database, caller_of(request).person_id),
            reason=read_reason(reason),
        )
        return await self.decide(order)

    async def decide(self, order: SetCap) -> object:
        """Have it decided, once.

        Raises:
            Problem: it is not, with the reason (409).
        """
        outcome = await self._clerk.take(order)
        if isinstance(outcome, NotDecided):
            raise not_decided(outcome)
        return outcome

    def _known(self, name: str) -> Group:
        self._clerk.check_ready()
        if Group(name) not in self._house.directory:
            raise Problem(404, "not-found", "There is no group by this name.")
        return Group(name)

    async def get_history(self, request: web.Request) -> web.Response:
        """Give a page of who changed what."""
        group = self._known(request.match_info["group"])
        return json_response(await self.history(group, read_query(request, PageQuery)))

    async def history(self, group: Group, query: PageQuery) -> ChangesAnswer:
        """Give a page of who changed what about a group, as answers show it."""
        before = limit_store.NEWEST if query.cursor is None else int(query.cursor)
        async with self._database.readers.acquire() as connection:
            found = await limit_store.read_history(
                connection, group, before, query.page_size
            )
        full = len(found) == query.page_size
        return ChangesAnswer(
            changes=[change_answer(*one) for one in found],
            cursor=str(found[-1][0].number) if full else None,
        )

    async def chain(self, before: int, most: int) -> list[ChainLine]:
        """Give changes of all groups, newest first; each is verified anew."""
        self._clerk.check_ready()
        async with self._database.readers.acquire() as connection:
            # The last one names a line, too, which is looked at and not shown.
            found = await limit_store.read_chain(connection, before, most + 1)
        keys = {key_id(public): public for public in self._house.publics}
        formers = [line_hash(write_line(change)) for change, _ in found[1:]]
        if len(found) <= most:
            formers.append(NOTHING_HASH)
        return [
            ChainLine(
                change=change_answer(change, signed),
                is_genuine=change.former == former and _is_genuine(signed, keys),
            )
            for (change, signed), former in zip(found, formers, strict=False)
        ]

    async def get_warning(self, _request: web.Request) -> web.Response:
        """Give the threshold."""
        return json_response(await self.warning())

    async def warning(self) -> WarningAnswer:
        """Give the threshold, as answers show it."""
        self._clerk.check_ready()
        async with self._database.readers.acquire() as connection:
            found = await limit_store.read_thresholds(connection, _THRESHOLDS_MOST)
        return WarningAnswer(
            percent=self._house.limits.percent,
            changes=[change_answer(*one) for one in found],
        )

    async def post_warning(self, request: web.Request) -> web.Response:
        """Set the threshold."""
        self._clerk.check_ready()
        asked = await read_json(request, _warning_decoder)
        order = SetWarning(
            percent=asked.percent,
            author=await author_of(self._database, caller_of(request).person_id),
            reason=read_reason(asked.reason),
        )
        await self.warn_from(order)
        return json_response(await self.warning())

    async def warn_from(self, order: SetWarning) -> None:
        """Have the threshold set, once."""
        await self._clerk.take(order)


def _is_genuine(signed: str, keys: Mapping[str, bytes]) -> bool:
    try:
        read_genuine(signed, keys)
    except PeerError:
        return False
    return True


def change_answer(change: LimitChange, signed: str) -> ChangeAnswer:
    """Show a change."""
    decision = change.decision
    return ChangeAnswer(
        number=change.number,
        at=change.at,
        about=change.about,
        group=change.group,
        floor=change.floor,
        ceiling=change.ceiling,
        decision=None if decision is None else (decision.log, decision.number),
        payee_group=change.payee,
        milliseconds=change.month,
        percent=change.percent,
        author=change.author,
        reason=change.reason,
        signed=signed,
    )
