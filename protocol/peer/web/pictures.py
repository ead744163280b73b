"""Pictures as the server draws them (SVG), always beside the same numbers in words.

Only the arithmetic is here, in thousandths of the width; the drawing itself is in the
templates, so that nothing is glued together by hand.
"""

import msgspec

WIDTH = 1000


class Gauge(msgspec.Struct, frozen=True):
    """A balance between its floor and its ceiling, as places from 0 to 1000.

    Attributes:
        zero: where 0 is.
        balance: where the balance is.
        left: where the bar between 0 and the balance begins.
        length: how long that bar is.
        has_floor: the left end is a limit.
        has_ceiling: the right end is a limit.
    """

    zero: int
    balance: int
    left: int
    length: int
    has_floor: bool
    has_ceiling: bool


def gauge(floor: int | None, balance: int, ceiling: int | None) -> Gauge:
    """Place a balance between its limits; without one there is room to move."""
    room = max(abs(balance), abs(floor or 0), abs(ceiling or 0), 1)
    lowest = min(floor if floor is not None else -room, balance, 0)
    highest = max(ceiling if ceiling is not None else room, balance, 0)
    span = max(highest - lowest, 1)

    def place(amount: int) -> int:
        return (amount - lowest) * WIDTH // span

    ends = sorted((place(0), place(balance)))
    return Gauge(
        zero=place(0),
        balance=place(balance),
        left=ends[0],
        length=ends[1] - ends[0],
        has_floor=floor is not None,
        has_ceiling=ceiling is not None,
    )
