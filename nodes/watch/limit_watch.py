"""Looks whether the group nears one of its limits, and at what pace it goes there.

Past positions are read once in a while, since weeks move slowly. Whether the threshold
is newly passed the clerk decides, and calls the treasurer once.
"""

from nodes.house import NodeHouse
from nodes.rules import CLEARING, LookAtLimits
from protocol.instant import Instant
from protocol.limit_warning import standing
from protocol.peer import past_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database


class LimitWatch:
    """Follows the group's position.

    Args:
        house: knows position and limits, and keeps past positions for who asks.
        clerk: calls people.
        database: only read.
        clock: from when to look back.
    """

    def __init__(
        self, house: NodeHouse, clerk: Clerk, database: Database, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._read_at: Instant | None = None

    async def look(self) -> None:
        """Look once."""
        house, now = self._house, self._clock.now()
        if past_store.is_stale(self._read_at, now):
            async with self._database.readers.acquire() as connection:
                found = await past_store.read_past(connection, [CLEARING], now)
            balances = found.get(CLEARING)
            house.past = None if balances is None else [-one for one in balances]
            self._read_at = now
        own = house.directory.get(house.own)
        if own is None:
            return
        limit = standing(
            house.warned, house.position, own.floor, own.ceiling, house.warn_percent
        )
        if limit != house.warned:
            await self._clerk.take(LookAtLimits())
