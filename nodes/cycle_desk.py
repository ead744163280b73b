"""What a treasurer reads about cycles and legs, put together from our own ledger.

Between the API or the pages and the store; nothing is decided or changed here.
"""

import asyncio

import msgspec

from nodes import cycle_store
from nodes.camt053 import Account, write_camt053
from nodes.cycle_sheet import (
    FIGURE_COLUMNS,
    MOVE_COLUMNS,
    CycleSheet,
    ToldEntry,
    ToldMove,
    figure_rows,
    told_moves,
)
from nodes.house import NodeHouse
from nodes.rules import OwnCycle, OwnLeg, stated_in
from protocol.address import Group
from protocol.cycle import figures_of
from protocol.instant import write_instant, write_nullable
from protocol.peer.clock import Clock
from protocol.peer.csv_text import Cell, write_header, write_rows
from protocol.peer.database import AnyConnection, Database
from protocol.peer.settings import Settings
from protocol.peer.web.problems import Problem
from protocol.strict_json import INTEGER_MAX

#: Entries that are read at once.
_RUN = 1000
#: Cycles and legs of one CSV file; a group has some twelve cycles a year.
_LINES_MAX = 100_000
_CYCLE_COLUMNS = (
    *("cycle", "at", "state", "answered_at", "opening", "debits", "credits"),
    *("count", "closing", "held_out", "held_in", "log", "number"),
)
_LEG_COLUMNS = (
    *("id", "cycle", "at", "debtor", "creditor", "milliseconds", "state"),
    *("signed_at", "reason", "ended_at", "code"),
)


class Waits(msgspec.Struct, frozen=True):
    """What waits for a treasurer: disputes to clear up, and legs to sign."""

    disputed: list[OwnCycle]
    legs: list[OwnLeg]


class CycleDesk:
    """A group's cycles and legs, to be read.

    Args:
        house: knows who we are.
        database: only read.
        clock: dates a bank statement.
        settings: know by whose clocks an entry has its day.
    """

    def __init__(
        self, house: NodeHouse, database: Database, clock: Clock, settings: Settings
    ) -> None:
        self._house = house
        self._database = database
        self._clock = clock
        self._zone = settings.server.zone()

    @property
    def group(self) -> str:
        """Our own name."""
        return self._house.own

    def name_of(self, group: str) -> str:
        """Give a group's name as people read it."""
        record = self._house.directory.get(Group(group))
        return group if record is None else record.entry.name

    async def cycles(self, before: int, most: int) -> list[OwnCycle]:
        """Give cycles that have ended, newest first."""
        async with self._database.readers.acquire() as connection:
            return await cycle_store.read_cycles(connection, before, most)

    async def legs(self, before: int, most: int) -> list[OwnLeg]:
        """Give legs, newest first, those told of before an item of the hub's."""
        async with self._database.readers.acquire() as connection:
            return await cycle_store.read_legs(connection, before, most)

    async def legs_of(self, cycle: int) -> list[OwnLeg]:
        """Give the legs that settle what a cycle left."""
        async with self._database.readers.acquire() as connection:
            return await cycle_store.read_legs_of(connection, cycle)

    async def leg(self, leg_id: str) -> OwnLeg:
        """Give a leg; 404 when there is none by this id."""
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_legs_named(connection, [leg_id])
        if leg_id not in found:
            raise Problem(404, "not-found", "This group has no such leg.")
        return found[leg_id]

    async def signer(self, leg: OwnLeg) -> str | None:
        """Give the name of who has signed a leg for us."""
        if leg.author is None:
            return None
        async with self._database.readers.acquire() as connection:
            return await cycle_store.read_signer(connection, leg.author)

    async def waits(self, most: int) -> Waits:
        """Give what waits for a treasurer, so many of each kind at most."""
        async with self._database.readers.acquire() as connection:
            return Waits(
                await cycle_store.read_disputed(connection, most),
                await cycle_store.read_open_legs(connection, most),
            )

    async def sheet(self, cycle: int) -> CycleSheet:
        """Give a cycle by our own ledger; 404 when none of this number has ended."""
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            return await _sheet(connection, cycle)

    async def moves(self, sheet: CycleSheet, first: int, most: int) -> list[ToldMove]:
        """Give moves from a place on, told."""
        chosen = sheet.moves[first - 1 : first - 1 + most]
        async with self._database.readers.acquire() as connection:
            known = await cycle_store.read_told(connection, [one.id for one in chosen])
        return told_moves(sheet, known, first, most)

    async def entry(self, entry_id: str) -> ToldEntry | None:
        """Give what our ledger tells of an entry, if it has it."""
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_told(connection, [entry_id])
        return found.get(entry_id)

    # Files.

    async def camt053(self, cycle: int) -> bytes:
        """Write a cycle as a bank statement."""
        sheet, known = await self._whole(cycle)
        account = Account(
            group=self._house.own,
            name=self.name_of(self._house.own),
            federation=self._house.federation,
            zone=self._zone,
        )
        now = self._clock.now()

        def written() -> bytes:
            moves = told_moves(sheet, known, 1, len(sheet.moves))
            return b"".join(write_camt053(account, sheet, moves, now))

        # In a thread: they may be many, and members are served meanwhile.
        return await asyncio.to_thread(written)

    async def moves_csv(self, cycle: int) -> bytes:
        """Write a cycle's moves as CSV, told."""
        sheet, known = await self._whole(cycle)

        def written() -> bytes:
            moves = told_moves(sheet, known, 1, len(sheet.moves))
            rows = (told.row() for told in moves)
            return write_header(MOVE_COLUMNS) + write_rows(rows)

        return await asyncio.to_thread(written)

    async def figures_csv(self, cycle: int) -> bytes:
        """Write what the hub states of a cycle beside what our ledger says."""
        sheet = await self.sheet(cycle)
        own = sheet.own
        hubs = None if own.line is None else figures_of(stated_in(own))
        return write_header(FIGURE_COLUMNS) + write_rows(
            figure_rows(hubs, sheet.figures)
        )

    async def cycles_csv(self) -> bytes:
        """Write all cycles as CSV, newest first."""
        found = await self.cycles(INTEGER_MAX, _LINES_MAX)
        return write_header(_CYCLE_COLUMNS) + write_rows(
            _cycle_row(one) for one in found
        )

    async def legs_csv(self) -> bytes:
        """Write all legs as CSV, newest first."""
        found = await self.legs(INTEGER_MAX, _LINES_MAX)
        return write_header(_LEG_COLUMNS) + write_rows(_leg_row(one) for one in found)

    async def _whole(self, cycle: int) -> tuple[CycleSheet, dict[str, ToldEntry]]:
        """Read a cycle and what is told of all its entries, in one view."""
        known: dict[str, ToldEntry] = {}
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            sheet = await _sheet(connection, cycle)
            for begin in range(0, len(sheet.moves), _RUN):
                ids = [move.id for move in sheet.moves[begin : begin + _RUN]]
                known |= await cycle_store.read_told(connection, ids)
        return sheet, known


async def _sheet(connection: AnyConnection, cycle: int) -> CycleSheet:
    found = await cycle_store.read_cycles_named(connection, [cycle - 1, cycle])
    if cycle not in found:
        told = "No cycle of this number has ended since we joined."
        raise Problem(404, "not-found", told)
    own, former = found[cycle], found.get(cycle - 1)
    read = await cycle_store.read_own_moves(connection, own)
    since = None if former is None else former.at
    # In a thread: they may be many, and members are served meanwhile.
    return await asyncio.to_thread(CycleSheet.of, own, since, read.opening, read.moves)


def _cycle_row(own: OwnCycle) -> list[Cell]:
    stated = None if own.line is None else stated_in(own)
    figures = [
        None if stated is None else getattr(stated, name)
        for name in _CYCLE_COLUMNS[4:11]
    ]
    return [
        own.cycle,
        write_instant(own.at),
        own.state.value,
        write_nullable(own.answered_at),
        *figures,
        own.name.log,
        own.name.number,
    ]


def _leg_row(leg: OwnLeg) -> list[Cell]:
    return [
        leg.leg_id,
        leg.cycle,
        write_instant(leg.at),
        leg.debtor,
        leg.creditor,
        leg.milliseconds,
        leg.state.value,
        write_nullable(leg.signed_at),
        leg.reason,
        write_nullable(leg.ended_at),
        leg.code,
    ]
