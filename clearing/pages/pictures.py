"""Where bars of a picture begin and end; the drawing itself is in the templates."""

from collections.abc import Iterable, Sequence

import msgspec

from clearing.api.groups import PositionAnswer
from clearing.api.transfers import FlowAnswer
from protocol.peer.web.pictures import WIDTH

#: So much of the room to a limit used up is worth a word, percent.
NEAR_PERCENT = 80


class Bar(msgspec.Struct, frozen=True):
    """A position between its limits, as places from 0 to 1000 on one scale for all.

    Attributes:
        zero: where 0 is, the same for all.
        left: where the bar between 0 and the position begins.
        length: how long it is.
        floor: where the lowest position is.
        ceiling: where the highest position is.
        is_below: the position is negative.
    """

    zero: int
    left: int
    length: int
    floor: int
    ceiling: int
    is_below: bool


def bars(groups: Iterable[PositionAnswer]) -> dict[str, Bar]:
    """Place all positions on one scale, so that what one gave another got is seen."""
    found = list(groups)
    ends = [0, *(one.position for one in found)]
    ends += [limit for one in found for limit in (one.floor, one.ceiling) if limit]
    lowest, highest = min(ends), max(ends)
    span = max(highest - lowest, 1)

    def place(amount: int) -> int:
        return (amount - lowest) * WIDTH // span

    made = {}
    for one in found:
        left, right = sorted((place(0), place(one.position)))
        made[one.group] = Bar(
            zero=place(0),
            left=left,
            # A little is seen as a little, and not as nothing.
            length=max(right - left, 4) if one.position else 0,
            floor=place(lowest if one.floor is None else one.floor),
            ceiling=place(highest if one.ceiling is None else one.ceiling),
            is_below=one.position < 0,
        )
    return made


def nearest_limit(one: PositionAnswer) -> str:
    """Say whether a group is near one of its limits: ``floor``, ``ceiling`` or ""."""
    down, up = one.position - one.held_out, one.position + one.held_in
    if one.floor is not None and down < 0 and down * 100 <= one.floor * NEAR_PERCENT:
        return "floor"
    if one.ceiling is not None and up > 0 and up * 100 >= one.ceiling * NEAR_PERCENT:
        return "ceiling"
    return ""


class Cell(msgspec.Struct, frozen=True):
    """What one group paid another, and how much that is of the largest, 0 to 4."""

    milliseconds: int
    shade: int


def matrix(
    flows: Sequence[FlowAnswer],
) -> tuple[list[str], dict[tuple[str, str], Cell]]:
    """Put flows into rows and columns; gives the groups by name, and the cells."""
    names = sorted(
        {name for one in flows for name in (one.payer_group, one.payee_group)}
    )
    most = max((one.milliseconds for one in flows), default=0)
    cells = {
        (one.payer_group, one.payee_group): Cell(
            one.milliseconds, -(-one.milliseconds * 4 // most) if most else 0
        )
        for one in flows
    }
    return names, cells
