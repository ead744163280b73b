"""Looks whether our own ledger yields what the hub states, and follows a dispute.

It reads beside the clerk, from the postings themselves, and hands the clerk what it
found. Agreement needs nobody; a dispute calls people (``nodes.rules.cycles``).
"""

import asyncio

from nodes import cycle_store
from nodes.cycle_store import OwnMoves
from nodes.rules import AnswerStatement, CycleState, NotAnswered, OwnCycle, TellMoves
from protocol.cycle import Difference, Figures, Moves, answer_at_node
from protocol.errors import CycleRefusalCode, LedgerBrokenError
from protocol.messages import CycleList, read_item, write_line
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database

#: Cycles that are looked at in one look.
_MOST = 10


class CycleWatch:
    """Follows this group's cycles.

    Args:
        clerk: signs and makes durable.
        database: only read.
    """

    def __init__(self, clerk: Clerk, database: Database) -> None:
        self._clerk = clerk
        self._database = database

    async def look(self) -> None:
        """Answer the statements and lists that wait, each once."""
        async with self._database.readers.acquire() as connection:
            waiting = await cycle_store.read_waiting(connection, _MOST)
        for own in waiting:
            found = await self._read(own)
            if own.state is CycleState.WAITING:
                figures = await asyncio.to_thread(_figures, found)
                await self._clerk.take(
                    AnswerStatement(cycle=own.cycle, figures=figures)
                )
            elif own.unanswered is not None:
                await self._clerk.take(await _told(own, own.unanswered, found))

    async def check(
        self, cycle: int, author: str, reason: str
    ) -> OwnCycle | NotAnswered:
        """Look at a cycle once more at somebody's word, after something was mended."""
        async with self._database.readers.acquire() as connection:
            known = await cycle_store.read_cycles_named(connection, [cycle])
        own = known.get(cycle)
        if own is None or own.line is None:
            return NotAnswered(CycleRefusalCode.NO_STATEMENT)
        figures = await asyncio.to_thread(_figures, await self._read(own))
        outcome = await self._clerk.take(
            AnswerStatement(cycle=cycle, figures=figures, author=author, reason=reason)
        )
        assert isinstance(outcome, OwnCycle | NotAnswered)
        return outcome

    async def _read(self, own: OwnCycle) -> OwnMoves:
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            return await cycle_store.read_own_moves(connection, own)


def _figures(found: OwnMoves) -> Figures:
    """Chain a list that may be long: in a thread, members are served meanwhile."""
    return found.figures


async def _told(own: OwnCycle, unanswered: bytes, found: OwnMoves) -> TellMoves:
    """Answer the hub's list; where it tells moves, name the first that differs."""
    theirs = read_item(unanswered)
    if not isinstance(theirs, CycleList):
        raise LedgerBrokenError(f"cycle {own.cycle}: no list")
    ours = await asyncio.to_thread(Moves, found.moves)
    difference = None
    if theirs.moves is not None:
        place, nodes, hubs = ours.difference(theirs)
        difference = Difference(place, hubs, nodes)
    return TellMoves(
        cycle=own.cycle,
        unanswered=unanswered,
        reply=write_line(answer_at_node(ours, theirs)),
        difference=difference,
    )
