"""Shares and charges reckoned again, in code of its own.

What the hub decides at once over many positions is here reckoned a second time, from
the lines of the log alone: who bears a part, by what each is measured, and how whole
milliseconds are rounded. With nothing of ``protocol.sharing`` and ``protocol.shared``.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

_MILLION = 1_000_000
#: In which states a group bears a part of what another leaves behind, and is charged.
_BEARING = ("active", "leaving")
_CHARGED = ("active", "leaving")


class Span(NamedTuple):
    """From where to where a group may go, milliseconds."""

    floor: int
    ceiling: int

    @property
    def room(self) -> int:
        """The room between."""
        return self.ceiling - self.floor

    def limit(self, average: int) -> int:
        """Give what an average is held against."""
        return max(0, self.ceiling if average > 0 else -self.floor)


class Charge(NamedTuple):
    """What a charge has of one group, as the decision must say it."""

    group: str
    measure: int
    limit: int
    amount: int


def who_bears(states: Mapping[str, str], gone: str) -> list[str]:
    """Name who bears a part of what a group leaves behind."""
    return sorted(
        one for one, state in states.items() if state in _BEARING and one != gone
    )


def who_pays(states: Mapping[str, str]) -> list[str]:
    """Name who may be charged at a cycle's end."""
    return sorted(one for one, state in states.items() if state in _CHARGED)


def parts(amount: int, weights: Mapping[str, int]) -> dict[str, int] | None:
    """Share an amount, a debt or a credit, by weights; ``None``: nobody has any."""
    whole = sum(weights.values())
    if not whole:
        return None
    exact = {one: Fraction(abs(amount) * weights[one], whole) for one in weights}
    rounded = _round(exact, abs(amount))
    return {one: part if amount > 0 else -part for one, part in rounded.items()}


def _round(exact: Mapping[str, Fraction], total: int) -> dict[str, int]:
    """Give each the whole part, and what is left to those who miss the most."""
    found = {one: int(part) for one, part in exact.items()}
    for _ in range(total - sum(found.values())):
        neediest = min(found, key=lambda one: (found[one] - exact[one], one))
        found[neediest] += 1
    return found


def average(
    opening: int, moves: Iterable[tuple[int, int]], begin: int, end: int
) -> int | None:
    """Average a position over a cycle; ``None``: no time has passed.

    Args:
        opening: the position when the cycle began.
        moves: when, and by how much, in the order of the decisions.
        begin: the cycle's begin by the hub's clock.
        end: its end.
    """
    stood, clock, area = opening, begin, 0
    for at, amount in moves:
        # A clock that was set back stands still.
        later = max(clock, at)
        area, clock = area + stood * (later - clock), later
        stood += amount
    end = max(end, clock)
    if end <= begin:
        return None
    area += stood * (end - clock)
    return int(Fraction(area, end - begin))


def charges(
    averages: Mapping[str, int], spans: Mapping[str, Span], rate: int, threshold: int
) -> list[Charge]:
    """Reckon what a charge must take; nothing where it would come to nothing."""
    exact = {}
    for group, stood in averages.items():
        over = abs(stood) - Fraction(threshold * spans[group].limit(stood), _MILLION)
        if over > 0 and rate:
            exact[group] = over * Fraction(rate, _MILLION)
    total = int(sum(exact.values(), Fraction()))
    if not total:
        return []
    rounded = _round(exact, total)
    return [
        Charge(one, averages[one], spans[one].limit(averages[one]), -rounded[one])
        for one in sorted(exact)
    ]
