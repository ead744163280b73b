"""Looks who has newly passed the threshold of a limit, and who goes there at what pace.

It reads beside the clerk: past positions once in a while, since weeks move slowly, and
present ones at every look. What is new it hands the clerk, which calls people once.
"""

from clearing import limit_store
from clearing.house import HubHouse
from clearing.rules import LimitStanding, NoteStandings
from protocol.address import Group
from protocol.instant import Instant
from protocol.limit_warning import standing
from protocol.peer import past_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database

#: Groups that people are called about in one look; the others wait for the next one.
_MOST = 100


class LimitWatch:
    """Follows positions.

    Args:
        house: knows limits and threshold, and keeps past positions for who asks.
        clerk: calls people.
        database: only read.
        clock: from when to look back.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, database: Database, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._read_at: Instant | None = None

    async def look(self) -> None:
        """Look once."""
        now = self._clock.now()
        async with self._database.readers.acquire() as connection:
            if past_store.is_stale(self._read_at, now):
                groups = sorted(self._house.directory)
                self._house.past = await past_store.read_past(connection, groups, now)
                self._read_at = now
            positions = await limit_store.read_positions(connection)
        changed = [one for one in map(self._standing, positions) if one is not None]
        if changed:
            await self._clerk.take(NoteStandings(tuple(changed[:_MOST])))

    def _standing(self, found: limit_store.GroupPosition) -> LimitStanding | None:
        """Say how a group stands, if that is another way than people know."""
        limits, group = self._house.limits, Group(found.group)
        before = limits.warned.get(group)
        limit = standing(
            before, found.position, found.floor, found.ceiling, limits.percent
        )
        if limit == before or group not in self._house.directory:
            return None
        bound = found.floor if limit == "floor" else found.ceiling
        return LimitStanding(group, limit, found.position, bound)
