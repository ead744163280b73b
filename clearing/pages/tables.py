"""Every table of the regional admin's pages as a CSV file, for a spreadsheet.

Hours are decimals, with the milliseconds, which are always exact, beside them. Rows go
out as they are read, some at a time, and one file after another: a file never takes
more than its share of memory, nor of the hub's readers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol, Self

import msgspec
from aiohttp import web

from clearing.api.cycles import CyclesApi, cycle_of
from clearing.api.groups import GroupsApi
from clearing.api.limits import ChainLine, LimitsApi
from clearing.api.links import LinksApi
from clearing.api.open_cycle import OpenCycleApi
from clearing.api.settlement import SettlementApi
from clearing.api.shares import SharesAnswer, SharesApi
from clearing.api.transfers import DAYS, TransfersApi
from clearing.api.turns import Turns
from clearing.pages.settlements import ExceptedFields, read_names
from clearing.pages.traffic import SPANS, FlowFields
from protocol.errors import OutageError
from protocol.messages import Share
from protocol.netting import Left
from protocol.peer.csv_text import Cell, Hours, write_header, write_rows
from protocol.peer.web import forms
from protocol.peer.web.pages import HEADERS
from protocol.peer.web.problems import Handler
from protocol.peer.web.routes import Route
from protocol.strict_json import INTEGER_MAX

_LOG = logging.getLogger(__name__)
#: Files at once, and how many more may wait for that.
_AT_ONCE, _WAITING_MAX = 1, 4
#: Longest that somebody may take to read some rows, seconds.
_WRITE_S = 30
#: Rows that are read, or written, at once.
_ROWS = 500
#: And of signed lines, each of which is verified while nobody else is served.
_SIGNED_ROWS = 100
#: Of what is under way, the oldest; a hub that has more is in trouble.
_UNDER_WAY_MAX = 10_000
#: Behind the name of an amount of time, which gets two columns.
_TIME = "*"

#: Rows as they are read; each is what an answer has of one line.
Rows = AsyncIterator[Sequence[object]]


class ReadRows(Protocol):
    """What reads a table's rows, some at a time."""

    def __call__(self, request: web.Request, /) -> Rows:
        """Read them as they are asked for; what is wrong is raised with the first."""


class Way(msgspec.Struct, frozen=True):
    """What one way of netting leaves."""

    way: str
    milliseconds: int
    payments: int


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A change of limits, and whether it is what the hub has signed."""

    number: int
    at: str
    about: str
    group: str | None
    payee_group: str | None
    floor: int | None
    ceiling: int | None
    milliseconds: int | None
    percent: int | None
    author: str
    reason: str
    is_genuine: bool
    signed: str

    @classmethod
    def of(cls, line: ChainLine) -> Self:
        """Make the row of a line of the chain."""
        names = set(cls.__struct_fields__) - {"is_genuine"}
        fields = {name: getattr(line.change, name) for name in names}
        return cls(is_genuine=line.is_genuine, **fields)


class ShareRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group's part in a sharing; ``left_by`` left it behind, ``None``: a charge."""

    id: str
    why: str
    left_by: str | None
    rule: str | None
    cycle: int
    state: str
    told_at: str | None
    decided_at: str | None
    log: str | None
    number: int | None
    group: str
    measure: int
    limit: int | None
    amount: int

    @classmethod
    def of(cls, one: SharesAnswer, share: Share) -> Self:
        """Make the row of one part of a sharing."""
        own = ("group", "measure", "limit", "amount")
        names = set(cls.__struct_fields__) - {*own, "left_by"}
        return cls(
            left_by=one.group,
            **{name: getattr(one, name) for name in names},
            **{name: getattr(share, name) for name in own},
        )


class TablePages:
    """Files beside pages.

    Args:
        groups: knows positions.
        links: knows who was heard.
        transfers: knows flows and what is under way.
        cycles: knows cycles that have ended.
        open_cycle: knows the one that is open.
        settlements: knows plans and targets.
        limits: knows caps and changes.
        shares: knows what was shared and charged.
    """

    def __init__(
        self,
        groups: GroupsApi,
        links: LinksApi,
        transfers: TransfersApi,
        cycles: CyclesApi,
        open_cycle: OpenCycleApi,
        settlements: SettlementApi,
        limits: LimitsApi,
        shares: SharesApi,
    ) -> None:
        self._groups = groups
        self._links = links
        self._transfers = transfers
        self._cycles = cycles
        self._open = open_cycle
        self._settlements = settlements
        self._limits = limits
        self._shares = shares
        self._turns = Turns(_AT_ONCE, _WAITING_MAX)

    def routes(self) -> list[Route]:
        """List the files, each with its columns."""
        one = "/cycles/{cycle}"
        moves = "opening* debits* credits* count"
        pair, leg = "payer_group payee_group", "debtor creditor milliseconds*"
        tables: tuple[tuple[str, str, ReadRows], ...] = (
            (
                "/positions.csv",
                "group name state position* held_out* held_in* floor* ceiling*"
                " is_mirrored link",
                self._positions,
            ),
            ("/flows.csv", f"{pair} transfers milliseconds*", self._flows),
            (
                "/transfers.csv",
                f"id {pair} milliseconds* state taken decide_by",
                self._under_way,
            ),
            (
                "/links.csv",
                "group name state is_silent is_lagging heard taken items_taken"
                " waiting waiting_since",
                self._links_of,
            ),
            (
                "/cycles.csv",
                "cycle at log number groups agreed disputed waiting reserve*"
                " legs_open legs_settled",
                self._all_cycles,
            ),
            ("/cycles/open.csv", f"group name state {moves} position*", self._opened),
            (
                f"{one}/statements.csv",
                f"group state answered_at {moves} closing* held_out* held_in* digest",
                self._statements,
            ),
            (f"{one}/netting.csv", "way milliseconds* payments", self._netting),
            (f"{one}/flows.csv", f"{pair} milliseconds*", self._cycle_flows),
            (
                f"{one}/legs.csv",
                f"cycle id at {leg} state paid_at received_at ended_at code",
                self._legs,
            ),
            (f"{one}/targets.csv", "group closing* now* target*", self._targets),
            (f"{one}/plan.csv", leg, self._plan),
            *self._of_limits_and_shares(),
        )
        return [
            Route.page("GET", path, self._handler(columns.split(), read), "admin")
            for path, columns, read in tables
        ]

    def _of_limits_and_shares(self) -> list[tuple[str, str, ReadRows]]:
        share = "measure limit amount*"
        return [
            (
                "/limits/caps.csv",
                "payer_group payee_group milliseconds* month used* at author reason",
                self._caps,
            ),
            (
                "/limits/changes.csv",
                "number at about group payee_group floor* ceiling* milliseconds*"
                " percent author reason is_genuine signed",
                self._changes,
            ),
            (
                "/sharing.csv",
                "id why left_by rule cycle state told_at decided_at log number group"
                f" {share}",
                self._shared,
            ),
            ("/cycles/{cycle}/charge.csv", f"group {share}", self._charge),
        ]

    def _handler(self, columns: Sequence[str], read: ReadRows) -> Handler:
        async def get_table(request: web.Request) -> web.StreamResponse:
            async with self._turns.take():
                return await _stream(request, columns, read(request))

        return get_table

    # All groups, and what goes on.

    async def _positions(self, _request: web.Request) -> Rows:
        yield (await self._groups.groups()).groups

    async def _flows(self, request: web.Request) -> Rows:
        typed = forms.read_address_fields(request, FlowFields).days
        days = next((one for one in SPANS if str(one) == typed), DAYS)
        yield (await self._transfers.flows(days)).flows

    async def _under_way(self, _request: web.Request) -> Rows:
        yield (await self._transfers.under_way(_UNDER_WAY_MAX)).oldest

    async def _links_of(self, _request: web.Request) -> Rows:
        yield (await self._links.links()).links

    # Cycles.

    async def _all_cycles(self, _request: web.Request) -> Rows:
        before = INTEGER_MAX
        while before:
            found = await self._cycles.cycles(before, _ROWS)
            yield found.cycles
            before = int(found.cursor or 0)

    async def _opened(self, _request: web.Request) -> Rows:
        yield (await self._open.open_cycle()).groups

    async def _statements(self, request: web.Request) -> Rows:
        number, after = cycle_of(request), ""
        while True:
            found = await self._cycles.statements(number, after, _ROWS)
            yield found.statements
            if found.after is None:
                return
            after = found.after

    async def _netting(self, request: web.Request) -> Rows:
        found = (await self._cycles.netting(cycle_of(request))).savings
        ways: dict[str, Left | None] = {
            "gross": found.gross,
            "bilateral": found.bilateral,
            "multilateral": found.multilateral,
            "novation": found.novation,
        }
        yield [
            Way(name, left.milliseconds, left.payments)
            for name, left in ways.items()
            if left is not None
        ]

    async def _cycle_flows(self, request: web.Request) -> Rows:
        yield (await self._cycles.netting(cycle_of(request))).flows

    async def _legs(self, request: web.Request) -> Rows:
        yield (await self._cycles.legs(cycle_of(request))).legs

    async def _targets(self, request: web.Request) -> Rows:
        yield (await self._settlements.settlement(cycle_of(request))).groups

    async def _plan(self, request: web.Request) -> Rows:
        typed = forms.read_address_fields(request, ExceptedFields).excepted
        excepted = read_names(typed)
        yield (await self._settlements.settlement(cycle_of(request), excepted)).plan

    # Limits, and what is shared.

    async def _caps(self, _request: web.Request) -> Rows:
        yield self._limits.caps().caps

    async def _changes(self, _request: web.Request) -> Rows:
        before = INTEGER_MAX
        while before > 1:
            chain = await self._limits.chain(before, _SIGNED_ROWS)
            yield [ChangeRow.of(line) for line in chain]
            if len(chain) < _SIGNED_ROWS:
                return
            before = chain[-1].change.number

    async def _shared(self, _request: web.Request) -> Rows:
        for one in (await self._shares.sharing()).shared:
            yield [ShareRow.of(one, share) for share in one.shares]

    async def _charge(self, request: web.Request) -> Rows:
        charge = (await self._shares.charge(cycle_of(request))).charge
        yield [] if charge is None else charge.shares


def _names(columns: Sequence[str]) -> Iterator[str]:
    """Name the columns of a file: an amount of time has two."""
    for column in columns:
        if not column.endswith(_TIME):
            yield column
        elif column == f"milliseconds{_TIME}":
            yield from ("hours", "milliseconds")
        else:
            name = column.removesuffix(_TIME)
            yield from (f"{name}_hours", f"{name}_milliseconds")


def _cells(columns: Sequence[str], row: object) -> Iterator[Cell]:
    for column in columns:
        found: Cell = getattr(row, column.removesuffix(_TIME))
        if column.endswith(_TIME):
            yield Hours(found) if isinstance(found, int) else None
        yield found


async def _stream(
    request: web.Request, columns: Sequence[str], rows: Rows
) -> web.StreamResponse:
    """Send a table; what is wrong before its first row is answered as a page."""
    some = await anext(rows, None)
    name = request.path.strip("/").replace("/", "-")
    response = web.StreamResponse(
        headers={
            **HEADERS,
            "Content-Type": "text/csv; charset=utf-8; header=present",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
    )
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await response.write(write_header(list(_names(columns))))
        while some is not None:
            for first in range(0, len(some), _ROWS):
                lines = some[first : first + _ROWS]
                # Who stops reading does not keep the one place for a file.
                async with asyncio.timeout(_WRITE_S):
                    await response.write(
                        write_rows(list(_cells(columns, one)) for one in lines)
                    )
            some = await anext(rows, None)
    except (OutageError, TimeoutError) as error:
        # Cut off without an end, so that nobody takes half a file for a whole one.
        _LOG.warning("the file %s was cut off: %s", name, error)
        if request.transport is not None:
            request.transport.abort()
    return response
