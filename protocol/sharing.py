"""Sharing whole milliseconds between groups: charges, and a debt that stays behind.

Largest remainder: everyone gets the whole part of her quota, and what is left goes, one
millisecond each, to the largest remainders, among equals in name order. Nobody is more
than a millisecond off, all have the same order as their weights, and the sum is exact
(protocol, section 10).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from protocol.errors import MalformedMessageError
from protocol.instant import Instant

#: Rates and thresholds are in millionths.
WHOLE = 1_000_000


class SharingRule(StrEnum):
    """How groups have agreed to share a debt that a group leaves behind."""

    EQUAL = "equal"
    TURNOVER = "turnover"
    SIZE = "size"


class ChargeRule(msgspec.Struct, frozen=True, kw_only=True):
    """The symmetric charge of a cycle; off at first.

    Attributes:
        rate: millionths of what lies beyond the threshold; 0: there is no charge.
        threshold: millionths of a group's limit, floor or ceiling.
    """

    rate: int = 0
    threshold: int = 0


class AveragePosition(msgspec.Struct, frozen=True, kw_only=True):
    """How a group stood in a cycle, milliseconds.

    Attributes:
        average: its average position; debit is negative.
        floor: lowest position allowed.
        ceiling: highest position allowed.
    """

    average: int
    floor: int
    ceiling: int


def share(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share an amount in proportion to weights, in name order.

    Args:
        amount: whole milliseconds, zero or more.
        weights: whole numbers, zero or more, of each group.

    Raises:
        MalformedMessageError: a negative amount or weight, or no weight at all.
    """
    if amount < 0:
        raise MalformedMessageError("amount", amount, "zero or more")
    for group, weight in weights.items():
        if weight < 0 or type(weight) is not int:
            raise MalformedMessageError(f"weight of {group}", weight, "zero or more")
    whole = sum(weights.values())
    if whole == 0:
        raise MalformedMessageError("weights", whole, "one group at least with weight")
    return _round({group: amount * weights[group] for group in weights}, whole)


def _round(exact: Mapping[str, int], whole: int) -> dict[str, int]:
    """Round parts, given in so many a millisecond; their sum is rounded down."""
    parts = {group: divmod(exact[group], whole) for group in sorted(exact)}
    shares = {group: quota for group, (quota, _) in parts.items()}
    left = sum(rest for _, rest in parts.values()) // whole
    # Sorting is stable: equal remainders stay in name order.
    for group in sorted(parts, key=lambda group: -parts[group][1])[:left]:
        shares[group] += 1
    return shares


def share_debt(
    debt: int, rule: SharingRule, groups: Iterable[str], measures: Mapping[str, int]
) -> dict[str, int]:
    """Say what each group takes over of a debt that a group leaves behind.

    Args:
        debt: milliseconds that the leaving group owes, positive.
        rule: what the groups agreed on.
        groups: those that stay.
        measures: of each of them, its turnover or size; not asked for equal shares.

    Raises:
        MalformedMessageError: no debt, nobody to share it, or a measure that lacks.
    """
    if debt <= 0:
        raise MalformedMessageError("debt", debt, "what a group owes, positive")
    weights = dict.fromkeys(groups, 1)
    if rule is not SharingRule.EQUAL:
        lacking = sorted(weights.keys() - measures.keys())
        if lacking:
            raise MalformedMessageError(rule, lacking, "a number for each group")
        weights = {group: measures[group] for group in weights}
    return share(debt, weights)


def charges(
    standings: Mapping[str, AveragePosition], rule: ChargeRule
) -> dict[str, int]:
    """Say what each group pays into the reserve, alike on both sides of zero.

    ``rate x max(0, |average| - threshold x limit)``, where the limit is the floor of a
    debtor and the ceiling of a creditor. The sum of these is rounded down, then
    each of them, and the largest remainders get what that leaves.

    Returns:
        Milliseconds of each group that pays, in name order.

    Raises:
        MalformedMessageError: a rate or threshold that is no part of a whole.
    """
    for name, part in (("rate", rule.rate), ("threshold", rule.threshold)):
        if not 0 <= part <= WHOLE:
            raise MalformedMessageError(name, part, f"millionths, 0 to {WHOLE}")
    exact = {group: _beyond(one, rule) for group, one in standings.items()}
    return {group: part for group, part in _round(exact, WHOLE**2).items() if part}


def is_beyond(one: AveragePosition, rule: ChargeRule) -> bool:
    """Say whether a group stands beyond the threshold, be it by less than it pays."""
    return _beyond(one, rule) > 0


def _beyond(one: AveragePosition, rule: ChargeRule) -> int:
    """Give a charge in millionths of millionths of a millisecond, before rounding."""
    limit = max(0, one.ceiling if one.average > 0 else -one.floor)
    return rule.rate * max(0, WHOLE * abs(one.average) - rule.threshold * limit)


def average_position(
    opening: int, gains: Iterable[tuple[Instant, int]], begin: Instant, end: Instant
) -> int:
    """Average a position over the time of a cycle, rounded towards zero.

    Args:
        opening: the position when the cycle began.
        gains: when each decision was made, and what the group gained by it, in the
            order of the decisions. A clock set back counts as one that stood still.
        begin: the cycle's begin on the hub's clock.
        end: its end.

    Raises:
        MalformedMessageError: a cycle that ends before it begins.
    """
    if end <= begin:
        raise MalformedMessageError("cycle", end, "an end after the begin")
    position, since, area = opening, begin, 0
    for at, gained in gains:
        until = min(max(at, since), end)
        area += position * (until - since)
        position, since = position + gained, until
    area += position * (end - since)
    sign = -1 if area < 0 else 1
    return sign * (abs(area) // (end - begin))
