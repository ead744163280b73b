"""Looks whether a word on a leg of ours has been waited for too long.

It reads beside the clerk and hands it what is new; the clerk calls the treasurer once a
leg, whichever side's word it is: she can sign, or telephone the other treasurer.
"""

from nodes import cycle_store
from nodes.rules import NoteLateLegs
from protocol.cycle import LATE_MS
from protocol.instant import Instant
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database

#: Legs that the treasurer is called about in one look; the others wait for the next.
_MOST = 100


class LegWatch:
    """Follows our legs.

    Args:
        clerk: calls the treasurer.
        database: only read.
        clock: tells how long a word has been waited for.
    """

    def __init__(self, clerk: Clerk, database: Database, clock: Clock) -> None:
        self._clerk = clerk
        self._database = database
        self._clock = clock

    async def look(self) -> None:
        """Look once."""
        since = Instant(self._clock.now() - LATE_MS)
        async with self._database.readers.acquire() as connection:
            late = await cycle_store.read_late_legs(connection, since, _MOST)
        if late:
            await self._clerk.take(NoteLateLegs(tuple(late)))
