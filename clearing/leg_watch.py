"""Looks whether a word on a leg has been waited for too long.

It reads beside the clerk and hands it what is new; the clerk calls people once a leg.
"""

from clearing import cycle_store
from clearing.house import HubHouse
from clearing.rules import NoteLate
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database

#: Legs that people are called about in one look; the others wait for the next one.
_MOST = 100


class LegWatch:
    """Follows open legs.

    Args:
        house: knows them.
        clerk: calls people.
        database: only read.
        clock: tells how long a word has been waited for.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, database: Database, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock

    async def look(self) -> None:
        """Look once."""
        now = self._clock.now()
        late = [leg.leg_id for leg in self._house.legs.values() if leg.is_late(now)]
        if not late:
            return
        async with self._database.readers.acquire() as connection:
            called = await cycle_store.read_called(connection, late)
        new = [leg_id for leg_id in late if leg_id not in called]
        if new:
            await self._clerk.take(NoteLate(tuple(new[:_MOST])))
