"""The group's position at the hub, and what is not yet decided."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from nodes import cycle_store, member_store, share_store
from nodes.house import NodeHouse
from nodes.payment_answers import party, unit_answer
from nodes.payments import Payments
from nodes.rules import read_content
from protocol.address import HUB
from protocol.instant import Instant, write_instant
from protocol.limit_warning import LimitWarning
from protocol.peer import transfer_store
from protocol.peer.clerk import Clerk, link_state
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.transfer_store import Undecided
from protocol.peer.web.paging import PAGE_SIZE, PageSizeField
from protocol.peer.web.requests import json_response, read_query
from protocol.peer.web.routes import Route
from protocol.peer.web.units import UnitAnswer

_SECOND_MS = 1000
_BEFORE_ALL = (Instant(0), "00000000-0000-0000-0000-000000000000")
#: A deadline, and the id of the transfer that it is of.
_CURSOR = r"^[0-9]{1,14}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"


class PositionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Where the group stands at the hub, milliseconds; above zero it is owed.

    ``position`` is what our own ledger says, ``by_decisions`` what the decisions come
    to that the hub has signed; they are the same, or ``agrees`` is false and people
    must look. ``agrees`` is ``null`` as long as something may be missing in both: while
    this server, restored, has not compared, or its link is frozen. ``waits_for`` says
    with whom, and how that link stands; else it is empty. ``floor``, ``ceiling`` and
    ``state`` are the hub's. ``may_go_out`` and
    ``may_come_in`` are not yet decided; neither counts in the position. ``warning`` is
    what is worth a word about floor and ceiling.
    """

    group: str
    position: int
    by_decisions: int
    agrees: bool | None
    waits_for: dict[str, str]
    may_go_out: int
    may_come_in: int
    floor: int
    ceiling: int
    state: str
    link: str
    newest_decision: tuple[str, int] | None
    mirrored_decision: tuple[str, int] | None
    warning: LimitWarning | None


class UndecidedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which payments: the first deadline first, behind ``cursor``."""

    cursor: Annotated[str, Meta(pattern=_CURSOR)] | None = None
    page_size: PageSizeField = PAGE_SIZE


class UndecidedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that waits for the hub's decision.

    ``account`` is the member's, ``amount`` minor units that are held for it, and
    ``age_s`` how long we have known it. ``is_overdue``: its deadline has passed, and
    what the hub decided has not come yet.
    """

    id: str
    role: str
    state: str
    account: str
    amount: int
    milliseconds: int
    payer: str | None
    payee: str | None
    since: str
    age_s: int
    decide_by: str
    is_overdue: bool


class UndecidedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what is in doubt; ``cursor`` gives the next one."""

    payments: list[UndecidedAnswer]
    unit: UnitAnswer
    cursor: str | None


class PositionApi:
    """The group as it faces the hub, for a treasurer.

    Args:
        house: what this node believes.
        clerk: for the link, and the hub's time.
        payments: words how a payment stands.
        database: read only here.
        clock: the wall clock.
    """

    def __init__(
        self,
        house: NodeHouse,
        clerk: Clerk,
        payments: Payments,
        database: Database,
        clock: Clock,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._payments = payments
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/group/position",
                handler=self.get_position,
                told="The group's position, by its own ledger and by the hub's word.",
                scope="treasurer",
                answer=PositionAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/group/undecided",
                handler=self.get_undecided,
                told="Payments that wait for the hub's decision, and since when.",
                scope="treasurer",
                query=UndecidedQuery,
                answer=UndecidedPage,
            ),
        ]

    async def get_position(self, _request: web.Request) -> web.Response:
        """Give the position, both ways."""
        record = self._payments.own_record()
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            clearing = await member_store.read_clearing(connection)
            newest = await member_store.read_newest(connection)
            moved = await transfer_store.read_moved(connection)
            settled = await cycle_store.read_settled(connection, self._house.own)
            borne = await share_store.read_borne(connection)
        by_decisions = moved.decided + settled + borne
        link, waits_for = self._clerk.link(HUB), self._clerk.waits_for()
        if link.trouble is not None:
            waits_for[HUB] = link_state(link)
        is_waiting = self._clerk.restored is not None or bool(waits_for)
        return json_response(
            PositionAnswer(
                group=self._house.own,
                position=-clearing,
                by_decisions=by_decisions,
                agrees=None if is_waiting else -clearing == by_decisions,
                waits_for=waits_for,
                may_go_out=moved.out,
                may_come_in=moved.in_,
                floor=record.floor,
                ceiling=record.ceiling,
                state=record.state,
                link=link_state(link),
                newest_decision=newest,
                mirrored_decision=self._house.mirrored,
                warning=self._house.limit_warning(-clearing),
            )
        )

    async def get_undecided(self, request: web.Request) -> web.Response:
        """Give a page of what is in doubt."""
        query = read_query(request, UndecidedQuery)
        after = _BEFORE_ALL
        if query.cursor is not None:
            at, _, transfer_id = query.cursor.partition(".")
            after = (Instant(int(at)), transfer_id)
        own = self._payments.own_record()
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await transfer_store.read_undecided(
                connection, after, query.page_size
            )
        cursor = None
        if len(found) == query.page_size:
            last = found[-1].transfer
            cursor = f"{last.decide_by:d}.{last.transfer_id}"
        return json_response(
            UndecidedPage(
                payments=[self._answer(one) for one in found],
                unit=unit_answer(own),
                cursor=cursor,
            )
        )

    def _answer(self, undecided: Undecided) -> UndecidedAnswer:
        transfer, content = undecided.transfer, read_content(undecided.line)
        age_ms = max(0, self._clock.now() - transfer.taken_at)
        return UndecidedAnswer(
            id=transfer.transfer_id,
            role=transfer.role.value,
            state=self._payments.state_of(transfer),
            account=transfer.account,
            amount=transfer.amount,
            milliseconds=transfer.milliseconds,
            payer=party(content.payer if content else None, transfer.payer_group),
            payee=party(content.payee if content else None, transfer.payee_group),
            since=write_instant(transfer.taken_at),
            age_s=age_ms // _SECOND_MS,
            decide_by=write_instant(transfer.decide_by),
            is_overdue=self._clerk.peer_now(HUB) > transfer.decide_by,
        )
