"""When people hear that a group nears a limit, and when nothing is said."""

import random
from collections.abc import Sequence

import pytest

from protocol.limit_warning import (
    WARN_PERCENT,
    WEEKS,
    WEEKS_AHEAD_MAX,
    LimitWarning,
    standing,
    warn,
)

HOUR = 3_600_000
FLOOR, CEILING = -100 * HOUR, 200 * HOUR


def told(
    position: int,
    past: Sequence[int] | None = None,
    *,
    floor: int | None = FLOOR,
    ceiling: int | None = CEILING,
    percent: int = WARN_PERCENT,
) -> LimitWarning | None:
    return warn(position, floor, ceiling, percent, past)


@pytest.mark.parametrize(
    ("position", "limit", "kind"),
    [
        (-80 * HOUR, "floor", "near"),
        (-100 * HOUR + 1, "floor", "near"),
        (-100 * HOUR, "floor", "reached"),
        (-100 * HOUR - 1, "floor", "reached"),
        (160 * HOUR, "ceiling", "near"),
        (200 * HOUR, "ceiling", "reached"),
    ],
)
def test_from_the_threshold_on_a_word_is_said(
    position: int, limit: str, kind: str
) -> None:
    found = told(position)
    assert found is not None
    assert (found.limit, found.kind, found.weeks) == (limit, kind, None)


@pytest.mark.parametrize("position", [-80 * HOUR + 1, -1, 0, 1, 160 * HOUR - 1])
def test_below_the_threshold_none_is(position: int) -> None:
    assert told(position) is None


def test_the_threshold_is_a_share_that_can_be_chosen() -> None:
    assert told(-50 * HOUR, percent=51) is None
    found = told(-50 * HOUR, percent=50)
    assert found is not None and found.used_percent == 50
    # At a hundred only the limit itself counts.
    assert told(-100 * HOUR + 1, percent=100) is None
    assert told(-100 * HOUR, percent=100) is not None


def test_no_limit_is_never_near_and_a_limit_of_zero_only_once_passed() -> None:
    assert told(-(10**15), floor=None) is None
    assert told(10**15, ceiling=None) is None
    assert told(0, floor=0, ceiling=0) is None
    found = told(-1, floor=0)
    assert found is not None and (found.kind, found.used_percent) == ("reached", 100)


def weekly(position: int, *moved: int) -> list[int]:
    """Positions one, two, ... weeks ago, by what each week moved, newest first."""
    past = []
    for one in moved:
        position -= one
        past.append(position)
    return past


def test_a_steady_pace_says_in_how_many_weeks() -> None:
    # 10 h a week downwards, and 50 h are left.
    position = -50 * HOUR
    found = told(position, weekly(position, *[-10 * HOUR] * 4))
    assert found == LimitWarning(limit="floor", kind="trend", used_percent=50, weeks=5)
    # Upwards alike, from below zero as well.
    found = told(-HOUR, weekly(-HOUR, *[40 * HOUR] * 4))
    assert found is not None
    assert (found.limit, found.weeks, found.used_percent) == ("ceiling", 5, 0)


def test_weeks_are_rounded_and_at_least_one() -> None:
    for left, weeks in ((14, 1), (15, 2), (25, 3), (1, 1)):
        position = -100 * HOUR + left * HOUR
        found = told(position, weekly(position, *[-10 * HOUR] * 4))
        assert found is not None and found.weeks == weeks, left


def test_what_is_far_away_is_nobodys_worry_yet() -> None:
    # 88 h at 7 h a week are 12.6 weeks, at 7.1 h 12.4.
    for pace, is_told in ((7 * HOUR, False), (7 * HOUR + HOUR // 10, True)):
        found = told(-12 * HOUR, weekly(-12 * HOUR, *[-pace] * 4))
        assert (found is not None) is is_told
        if found is not None:
            assert found.weeks == WEEKS_AHEAD_MAX


def test_the_fastest_week_is_left_out() -> None:
    # Without the 40 h of one week it is 2 h a week: 28 h last 14 weeks.
    moved = [-2 * HOUR, -40 * HOUR, -2 * HOUR, -2 * HOUR]
    assert told(-72 * HOUR, weekly(-72 * HOUR, *moved)) is None
    moved = [-4 * HOUR, -40 * HOUR, -4 * HOUR, -4 * HOUR]
    found = told(-72 * HOUR, weekly(-72 * HOUR, *moved))
    assert found is not None and found.weeks == 7


@pytest.mark.parametrize("seed", range(200))
def test_one_payment_is_never_a_trend(seed: int) -> None:
    draw = random.Random(seed)
    moved = [0] * WEEKS
    moved[draw.randrange(WEEKS)] = draw.choice((-1, 1)) * draw.randrange(1, 79 * HOUR)
    start = draw.randrange(-HOUR // 2, HOUR // 2)
    position = start + sum(moved)
    assert told(position, weekly(position, *moved)) is None


@pytest.mark.parametrize("seed", range(200))
def test_a_trend_needs_two_weeks_that_went_there(seed: int) -> None:
    draw = random.Random(seed)
    moved = [draw.randrange(-9 * HOUR, 10 * HOUR) for _ in range(WEEKS)]
    position = draw.randrange(-79 * HOUR, 159 * HOUR)
    found = told(position, weekly(position, *moved))
    if found is None:
        return
    assert found.kind == "trend" and found.weeks is not None
    way = -1 if found.limit == "floor" else 1
    assert sum(1 for one in moved if way * one > 0) >= 2
    # At that pace it is not there half a week sooner.
    steady = way * sum(moved) - max(way * one for one in moved)
    room = (FLOOR if way < 0 else CEILING) * way - position * way
    assert found.weeks == 1 or abs(found.weeks * steady - 3 * room) * 2 <= steady


def test_a_young_group_has_no_pace() -> None:
    assert told(-79 * HOUR, None) is None
    # Above the threshold is a fact all the same.
    assert told(-81 * HOUR, None) is not None


def test_near_says_when_too() -> None:
    found = told(-80 * HOUR, weekly(-80 * HOUR, *[-10 * HOUR] * 4))
    assert found is not None and (found.kind, found.weeks) == ("near", 2)


def test_people_are_called_once_and_again_only_after_it_was_over() -> None:
    def stands(before: str | None, position: int) -> str | None:
        assert before in (None, "floor", "ceiling")
        return standing(before, position, FLOOR, CEILING, 80)  # type: ignore[arg-type]

    assert stands(None, -80 * HOUR + 1) is None
    assert stands(None, -80 * HOUR) == "floor"
    # To and fro at the threshold it still stands; below seventy percent it is over.
    assert stands("floor", -70 * HOUR) == "floor"
    assert stands("floor", -70 * HOUR + 1) is None
    # From one limit to the other is something new.
    assert stands("floor", 160 * HOUR) == "ceiling"


def test_up_and_down_are_one_rule() -> None:
    draw = random.Random(7)
    for _ in range(500):
        position = draw.randrange(-120 * HOUR, 120 * HOUR)
        past = [draw.randrange(-120 * HOUR, 120 * HOUR) for _ in range(WEEKS)]
        bound = 100 * HOUR
        one = told(position, past, floor=-bound, ceiling=None)
        other = told(-position, [-at for at in past], floor=None, ceiling=bound)
        if one is None or other is None:
            assert one is other
            continue
        assert (one.kind, one.weeks, one.used_percent) == (
            other.kind,
            other.weeks,
            other.used_percent,
        )
