"""When people are to hear that a group nears one of its limits; hub and node alike.

Two things are worth a word. The position has used up a share of the room to its limit
(the threshold). Or it goes there: the *pace* is what the last four weeks moved it
towards the limit, the fastest of them left out, over the three others. So one payment,
however large, is never a trend, and two groups that pay each other in turns have none.
A group that first traded less than four weeks ago has no pace.

Amounts are milliseconds; nothing here reads a clock or a database.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

Limit = Literal["floor", "ceiling"]
Kind = Literal["reached", "near", "trend"]

#: So much of the room to a limit used up is worth a word, percent.
WARN_PERCENT = 80
WEEK_MS = 7 * 86_400_000
#: Over so many weeks the pace is taken; the fastest of them is left out.
WEEKS = 4
#: A limit further away than so many weeks is nobody's worry yet.
WEEKS_AHEAD_MAX = 12
#: Whoever was called is called again only after this much of the room was free again,
#: percent below the threshold: payments to and fro at the threshold call once.
_SLACK_PERCENT = 10


class LimitWarning(msgspec.Struct, frozen=True, kw_only=True):
    """What is worth a word about a group and one of its limits.

    Attributes:
        limit: which of them.
        kind: ``reached`` when nothing is left, ``near`` from the threshold on,
            ``trend`` when only the pace leads there.
        used_percent: how much of the room between zero and the limit is used up; 100
            where there is no room at all, 0 on the other side of zero.
        weeks: the limit comes in about so many, at this pace; ``None``: no pace.
    """

    limit: Limit
    kind: Kind
    used_percent: int
    weeks: int | None


def warn(
    position: int,
    floor: int | None,
    ceiling: int | None,
    percent: int,
    past: Sequence[int] | None,
) -> LimitWarning | None:
    """Say what is worth a word; ``None``: nothing is.

    Args:
        position: as it is now; what is held does not count.
        floor: lowest position, 0 or less; ``None``: there is none.
        ceiling: highest position, 0 or more; ``None``: there is none.
        percent: the threshold, 1 to 100.
        past: positions one, two, three and four weeks ago; ``None``: the group has
            not traded for so long.
    """
    assert past is None or len(past) == WEEKS, "the law looks back four weeks"
    # Down is up in a mirror: one rule for both limits.
    sides: tuple[tuple[Limit, int, int | None], ...] = (
        ("floor", -1, floor),
        ("ceiling", 1, ceiling),
    )
    trend = None
    for limit, sign, bound in sides:
        if bound is None:
            continue
        went = None if past is None else [sign * one for one in past]
        told = _warn_upwards(sign * position, sign * bound, percent, went)
        if told is None:
            continue
        kind, used, weeks = told
        found = LimitWarning(limit=limit, kind=kind, used_percent=used, weeks=weeks)
        if kind != "trend":
            return found
        # A limit that is near comes before one that is far.
        trend = found
    return trend


def _warn_upwards(
    position: int, bound: int, percent: int, past: Sequence[int] | None
) -> tuple[Kind, int, int | None] | None:
    """Say what is worth a word about a limit above; gives kind, percent and weeks."""
    used = _used_percent(position, bound)
    if position > 0 and position >= bound:
        return "reached", used, None
    weeks = None if past is None else _weeks_left(position, bound, past)
    if _is_beyond(position, bound, percent):
        return "near", used, weeks
    return None if weeks is None else ("trend", used, weeks)


def _used_percent(position: int, bound: int) -> int:
    if position <= 0:
        return 0
    return position * 100 // bound if bound else 100


def _is_beyond(position: int, bound: int, percent: int) -> bool:
    return position > 0 and position * 100 >= bound * percent


def _weeks_left(position: int, bound: int, past: Sequence[int]) -> int | None:
    """Say in about how many weeks the limit comes, at the pace of the last four."""
    positions = [position, *past]
    moved = [positions[week] - positions[week + 1] for week in range(WEEKS)]
    # What three weeks moved it: the fastest may have been one large payment.
    steady, room = sum(moved) - max(moved), bound - position
    if steady <= 0 or room <= 0:
        return None
    weeks = max(1, (2 * (WEEKS - 1) * room + steady) // (2 * steady))
    return weeks if weeks <= WEEKS_AHEAD_MAX else None


def standing(
    before: Limit | None,
    position: int,
    floor: int | None,
    ceiling: int | None,
    percent: int,
) -> Limit | None:
    """Say of which limit people have been called, or are to be called now.

    They are called when this is another one than before, and it is not ``None``.

    Args:
        before: of which they were called last, and it still stood.
        position: as it is now.
        floor: lowest position.
        ceiling: highest position.
        percent: the threshold, 1 to 100.
    """
    sides: tuple[tuple[Limit, int, int | None], ...] = (
        ("floor", -1, floor),
        ("ceiling", 1, ceiling),
    )
    for limit, sign, bound in sides:
        if bound is None:
            continue
        least = max(percent - _SLACK_PERCENT, 1) if limit == before else percent
        if _is_beyond(sign * position, sign * bound, least):
            return limit
    return None
