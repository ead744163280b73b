"""Answers groups' lists of moves, so that a dispute comes down to one move.

It reads beside the clerk, from the postings themselves, and hands the clerk what it
found. A long list is chained in a thread of its own: no member waits for a dispute.
"""

import asyncio

from clearing import cycle_store
from clearing.house import HubHouse
from clearing.rules import DueLegs, Statement, TellMoves, read_statement
from protocol.address import Group
from protocol.cycle import Difference, Moves, answer_at_hub
from protocol.errors import LedgerBrokenError
from protocol.messages import CycleList, line_hash, read_item, write_line
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database

#: Groups that are answered in one look.
_MOST = 10


class CycleWatch:
    """Follows disputes.

    Args:
        house: knows which legs are open.
        clerk: makes durable what was found.
        database: only read.
    """

    def __init__(self, house: HubHouse, clerk: Clerk, database: Database) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        #: Whom we have answered last; the next look begins behind it.
        self._last = ""

    async def look(self) -> None:
        """Answer the groups that wait, each once; have legs decided that waited."""
        if self._has_due():
            await self._clerk.take(DueLegs())
        async with self._database.readers.acquire() as connection:
            waiting = await cycle_store.read_unanswered(connection, self._last, _MOST)
        for kept in waiting:
            await self._answer(kept)
            self._last = kept.group

    def _has_due(self) -> bool:
        """Say whether an open leg needs more than a word to end."""
        closed = self._house.closed
        return any(
            leg.is_signed
            or (closed is not None and leg.cycle < closed.cycle)
            or "left" in {self._state(leg.debtor), self._state(leg.creditor)}
            for leg in self._house.legs.values()
        )

    def _state(self, group: str) -> str:
        return self._house.directory[Group(group)].state

    async def _answer(self, kept: Statement) -> None:
        async with self._database.readers.acquire() as connection:
            found = await cycle_store.read_moves(connection, read_statement(kept))
        ours = await asyncio.to_thread(Moves, found)
        reply, difference = _reply(kept, ours)
        assert kept.unanswered is not None, "only what waits was read"
        await self._clerk.take(
            TellMoves(
                cycle=kept.cycle,
                peer=Group(kept.group),
                unanswered=kept.unanswered,
                reply=None if reply is None else write_line(reply),
                difference=difference,
            )
        )


def _reply(kept: Statement, ours: Moves) -> tuple[CycleList | None, Difference | None]:
    """Say what answers a node's list, or where it differs once it tells the moves."""
    if not kept.unanswered:
        statement = line_hash(kept.line)
        return ours.marks(kept.cycle, statement, 1, len(ours)), None
    theirs = read_item(kept.unanswered)
    if not isinstance(theirs, CycleList):
        raise LedgerBrokenError(f"cycle {kept.cycle}, {kept.group}: no list")
    if theirs.moves is None:
        return answer_at_hub(ours, theirs), None
    place, hubs, nodes = ours.difference(theirs)
    return None, Difference(place, hubs, nodes)
