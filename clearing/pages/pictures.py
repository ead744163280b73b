"""Where bars of a picture begin and end; the drawing itself is in the templates."""

from collections.abc import Sequence

import msgspec

from clearing.api.groups import PositionAnswer
from clearing.api.transfers import FlowAnswer
from protocol.peer.web.pictures import WIDTH
from protocol.unit import HOUR


class Bar(msgspec.Struct, frozen=True):
    """A position between its limits, as places from 0 to 1000; 0 is in the middle.

    The left end is the lowest position and the right end the highest: how far the bar
    reaches tells how much of its room a group has used, whatever its limits are.

    Attributes:
        left: where the bar between the middle and the position begins.
        length: how long it is.
        is_below: the position is negative.
    """

    left: int
    length: int
    is_below: bool


#: A little is seen as a little, and not as nothing.
_LENGTH_MIN = 6
MIDDLE = WIDTH // 2


def bar(one: PositionAnswer) -> Bar:
    """Place a position between its limits."""
    limit = one.floor if one.position < 0 else one.ceiling
    length = 0
    if one.position:
        used = MIDDLE * one.position // limit if limit else MIDDLE
        # Without a limit there is no telling how much is used; a limit of 0 is.
        length = _LENGTH_MIN if limit is None else min(max(used, _LENGTH_MIN), MIDDLE)
    is_below = one.position < 0
    return Bar(MIDDLE - length if is_below else MIDDLE, length, is_below)


class Cell(msgspec.Struct, frozen=True):
    """What one group paid another.

    Attributes:
        milliseconds: exactly.
        hours: whole ones, halves up, for where there is no room for more.
        shade: how much it is of the largest, 0 to 4.
    """

    milliseconds: int
    hours: int
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
            one.milliseconds,
            (one.milliseconds + HOUR // 2) // HOUR,
            -(-one.milliseconds * 4 // most) if most else 0,
        )
        for one in flows
    }
    return names, cells
