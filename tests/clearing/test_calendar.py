"""A hub that closes cycles by the calendar does so once, also after a night away."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clearing.calendar import Calendar, Fullness, newest_due
from clearing.house import HubHouse
from clearing.rules import TURNOVER_MAX, Running
from protocol.cycle import Tally
from protocol.instant import Instant, from_datetime
from tests.peer.federation import NewDatabase, federation
from tests.protocol.makers import hash_of


def at(text: str) -> Instant:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("now", "span", "hour", "due"),
    [
        # 23 November 2026 is a Monday.
        ("2026-11-23T02:00:00", "weekly", 2, "2026-11-23T02:00:00"),
        ("2026-11-23T01:59:59.999", "weekly", 2, "2026-11-16T02:00:00"),
        ("2026-11-29T23:59:59.999", "weekly", 0, "2026-11-23T00:00:00"),
        ("2026-11-30T00:00:00", "weekly", 0, "2026-11-30T00:00:00"),
        ("2026-03-01T02:00:00", "monthly", 2, "2026-03-01T02:00:00"),
        ("2026-03-01T01:59:59.999", "monthly", 2, "2026-02-01T02:00:00"),
        ("2026-01-01T00:00:00", "monthly", 23, "2025-12-01T23:00:00"),
        ("2026-01-31T12:00:00", "monthly", 23, "2026-01-01T23:00:00"),
    ],
)
def test_the_newest_moment_at_which_a_cycle_was_to_end(
    now: str, span: Any, hour: int, due: str
) -> None:
    assert newest_due(at(now), span, hour) == at(due)


@pytest.mark.parametrize("span", ["weekly", "monthly"])
def test_what_is_due_is_never_ahead_nor_long_ago(span: Any) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    former = newest_due(from_datetime(begin), span, 5)
    for hours in range(24 * 400):
        now = from_datetime(begin + timedelta(hours=hours))
        due = newest_due(now, span, 5)
        assert former <= due <= now < due + 31 * 86_400_000
        former = due


class Clock:
    """Shows what it is set to."""

    def __init__(self, now: Instant) -> None:
        self.shown = now

    def now(self) -> Instant:
        return self.shown


async def test_a_cycle_ends_once_when_it_is_due(new_database: NewDatabase) -> None:
    async with federation(new_database) as all_:
        hub, house = all_.hub, all_.hub.house
        assert isinstance(house, HubHouse)
        clock: Any = Clock(hub.clock.now())
        calendar = Calendar(house, hub.clerk, hub.database, clock, "weekly", 3)
        await calendar.look()
        assert house.closed is None, "the federation has only just begun"
        clock.shown = Instant(clock.shown + 15 * 86_400_000)
        await calendar.look()
        assert house.closed is not None and house.closed.cycle == 1
        # As the hub's own clock says, it ended before the newest moment: once more.
        await calendar.look()
        assert house.closed.cycle == 2
        clock.shown = hub.clock.now()
        await calendar.look()
        assert house.closed.cycle == 2


async def test_a_cycle_that_is_full_ends_by_itself_once(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as all_:
        hub, house = all_.hub, all_.hub.house
        assert isinstance(house, HubHouse)
        fullness = Fullness(house, hub.clerk)
        half = TURNOVER_MAX // 2
        for turnover, ended in ((half, None), (half + 1, 1)):
            tally = Tally(turnover, turnover, 2, hash_of("two moves"))
            house._running["oostende"] = Running(0, tally)
            await fullness.look()
            assert (house.closed and house.closed.cycle) == ended
        await fullness.look()
        assert house.closed is not None and house.closed.cycle == 1
