"""Ends cycles by the calendar, where the regional admin has set one; off by default.

And one in which a group has moved nearly as much as a statement can say, always.

A close that was due while the hub was down, or refused because a link was behind, is
made up for at the next look: once, however many were missed.
"""

from datetime import UTC, timedelta
from typing import Literal

from clearing import cycle_store
from clearing.house import HubHouse
from clearing.rules import CloseCycle
from protocol.instant import Instant, from_datetime, to_datetime
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database

Span = Literal["weekly", "monthly"]


def newest_due(now: Instant, span: Span, hour: int) -> Instant:
    """Give the newest moment, up to ``now``, at which a cycle was to end.

    Args:
        now: the hub's time.
        span: Mondays, or the first of each month.
        hour: 0 to 23, in UTC.
    """
    at = to_datetime(now).astimezone(UTC)
    day = at.replace(hour=hour, minute=0, second=0, microsecond=0)
    if span == "weekly":
        day -= timedelta(days=day.weekday())
        return from_datetime(day if day <= at else day - timedelta(days=7))
    day = day.replace(day=1)
    if day > at:
        day = (day - timedelta(days=1)).replace(day=1)
    return from_datetime(day)


class Fullness:
    """Ends a cycle before its figures could pass what a statement can say.

    Args:
        house: knows how much has moved.
        clerk: decides.
    """

    def __init__(self, house: HubHouse, clerk: Clerk) -> None:
        self._house = house
        self._clerk = clerk

    async def look(self) -> None:
        """End the open cycle if it is full; a refusal is tried again."""
        if self._house.is_cycle_full:
            closed = self._house.closed
            number = 1 if closed is None else closed.cycle + 1
            await self._clerk.take(CloseCycle(number))


class Calendar:
    """Ends cycles when they are due.

    Args:
        house: knows when the newest one ended.
        clerk: decides.
        database: only read.
        clock: the wall clock.
        span: Mondays, or the first of each month.
        hour: 0 to 23, in UTC.
    """

    def __init__(
        self,
        house: HubHouse,
        clerk: Clerk,
        database: Database,
        clock: Clock,
        span: Span,
        hour: int,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._span: Span = span
        self._hour = hour

    async def look(self) -> None:
        """End the open cycle if it is due; a refusal is tried again."""
        closed = self._house.closed
        if closed is None:
            since = await self._beginning()
        else:
            since = closed.at
        if since is not None and since < newest_due(
            self._clock.now(), self._span, self._hour
        ):
            number = 1 if closed is None else closed.cycle + 1
            await self._clerk.take(CloseCycle(number))

    async def _beginning(self) -> Instant | None:
        async with self._database.readers.acquire() as connection:
            return await cycle_store.read_beginning(connection)
