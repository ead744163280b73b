"""The settlement plan: legs from debtor to creditor groups that reach every target.

Their sum is the least there can be, always. Their number is the least up to
``EXACT_MAX`` groups (equal pairs not counted); beyond, finding it is NP-hard (Verhoeff
2004), and a simple search finds a plan with at most one leg less than there are groups.
A plan says below which number no plan can go, so that everyone sees how good it is.

Equal pairs come first: some best plan has them all. For if two groups with just
opposite needs settle in different closed circles, join the circles and take the pair
out: what is left closes by itself, and there are as many circles as before.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from protocol.errors import LedgerBrokenError, MalformedMessageError

#: Groups, besides equal pairs, up to which the plan has the fewest legs there can be.
EXACT_MAX = 16
#: Groups beyond which no three are looked for that settle among themselves.
TRIPLES_MAX = 1_000


class Leg(msgspec.Struct, frozen=True, order=True):
    """One group pays another, outside this ledger, towards both targets."""

    debtor: str
    creditor: str
    milliseconds: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Legs that bring every position to its target.

    Attributes:
        legs: in order of debtor and creditor, one for each two at most.
        bound: no plan has fewer legs; where ``legs`` are so many, none is better.
    """

    legs: tuple[Leg, ...]
    bound: int

    @property
    def milliseconds(self) -> int:
        """The sum of the legs; no plan that reaches the targets moves less."""
        return sum(leg.milliseconds for leg in self.legs)


_Needs = list[tuple[str, int]]


def make_plan(positions: Mapping[str, int], targets: Mapping[str, int]) -> Plan:
    """Plan the fewest legs that this search finds; equal input, equal bytes.

    Args:
        positions: closing positions in milliseconds, the reserve's too.
        targets: for each of them, with the same sum.

    Raises:
        MalformedMessageError: targets of other groups, or with another sum.
        LedgerBrokenError: the plan is wrong; nothing may be published.
    """
    needs = _needs(positions, targets)
    pairs, rest = _take_pairs(needs)
    legs = [leg for pair in pairs for leg in _pay_largest(pair)]
    if len(rest) <= EXACT_MAX:
        blocks, bound = _most_blocks(rest), 0
    else:
        blocks, bound = _some_blocks(rest), len(pairs) + _fewest(rest)
    for block in blocks:
        legs += _pay_largest(block)
    plan = Plan(legs=tuple(sorted(legs)), bound=bound or len(legs))
    check_legs(positions, targets, plan.legs)
    if plan.bound > len(plan.legs):
        raise LedgerBrokenError(f"plan: {len(plan.legs)} legs, fewer than {bound}")
    return plan


def check_legs(
    positions: Mapping[str, int], targets: Mapping[str, int], legs: Iterable[Leg]
) -> None:
    """Check, without any search, that legs bring every position to its target.

    Raises:
        MalformedMessageError: targets of other groups, or with another sum.
        LedgerBrokenError: a leg that is none, of a group that owes or is owed
            nothing, or sums that miss a target.
    """
    needs = dict(_needs(positions, targets))
    missing = dict(needs)
    for leg in legs:
        if leg.milliseconds <= 0:
            raise LedgerBrokenError(f"leg: moves {leg.milliseconds}")
        if needs.get(leg.debtor, 0) >= 0 or needs.get(leg.creditor, 0) <= 0:
            told = f"{leg.debtor} to {leg.creditor}"
            raise LedgerBrokenError(f"leg: not from a debtor to a creditor: {told}")
        missing[leg.debtor] += leg.milliseconds
        missing[leg.creditor] -= leg.milliseconds
    if any(missing.values()):
        group = next(group for group in sorted(missing) if missing[group])
        raise LedgerBrokenError(f"legs: {group} misses its target: {missing[group]}")


def split_legs(legs: Iterable[Leg], most: int) -> list[Leg]:
    """Split what is more than one leg may carry: full ones, and the rest.

    Args:
        legs: of a plan.
        most: milliseconds that one leg may carry.
    """
    return [
        Leg(leg.debtor, leg.creditor, min(most, leg.milliseconds - done))
        for leg in legs
        for done in range(0, leg.milliseconds, most)
    ]


def _needs(positions: Mapping[str, int], targets: Mapping[str, int]) -> _Needs:
    """Say how far each group is above its target (to be paid), in name order."""
    if positions.keys() != targets.keys():
        names = sorted(positions.keys() ^ targets.keys())
        raise MalformedMessageError("targets", names, "one for each position")
    if sum(targets.values()) != sum(positions.values()):
        expected = f"a sum of {sum(positions.values())}, as the positions have"
        raise MalformedMessageError("targets", sum(targets.values()), expected)
    needs = [(group, positions[group] - targets[group]) for group in sorted(positions)]
    return [(group, need) for group, need in needs if need]


def _take_pairs(needs: _Needs) -> tuple[list[_Needs], _Needs]:
    """Pair each debtor with a creditor of just its size, the first that is free."""
    creditors: dict[int, list[str]] = {}
    for group, need in reversed(needs):
        if need > 0:
            creditors.setdefault(need, []).append(group)
    pairs, taken = [], set()
    for group, need in needs:
        if need < 0 and creditors.get(-need):
            creditor = creditors[-need].pop()
            pairs.append([(group, need), (creditor, -need)])
            taken |= {group, creditor}
    return pairs, [one for one in needs if one[0] not in taken]


def _most_blocks(needs: _Needs) -> list[_Needs]:
    """Split needs into the most blocks that each sum to zero.

    For every subset: the most blocks of which a sequence of its groups can be made,
    counted at each prefix that sums to zero. A subset is a number, a group a bit.
    """
    amounts = [need for _, need in needs]
    total, most = [0], [0]
    for subset in range(1, 1 << len(needs)):
        lowest = subset & -subset
        total.append(total[subset ^ lowest] + amounts[lowest.bit_length() - 1])
        best = max(most[subset ^ (1 << bit)] for bit in _bits(subset))
        most.append(best + (total[subset] == 0))
    blocks: list[_Needs] = []
    subset = len(total) - 1
    while subset:
        if total[subset] == 0:
            blocks.append([])
        wanted = most[subset] - (total[subset] == 0)
        first = next(bit for bit in _bits(subset) if most[subset ^ 1 << bit] == wanted)
        blocks[-1].append(needs[first])
        subset ^= 1 << first
    return blocks


def _bits(subset: int) -> Iterable[int]:
    while subset:
        lowest = subset & -subset
        yield lowest.bit_length() - 1
        subset ^= lowest


def _some_blocks(needs: _Needs) -> list[_Needs]:
    """Find threes that sum to zero, one after another, and split what is left."""
    free = dict(needs) if len(needs) <= TRIPLES_MAX else {}
    blocks: list[_Needs] = []
    for sign in (1, -1):
        one_side = [group for group, need in needs if sign * need > 0]
        for group in (group for group, need in needs if sign * need < 0):
            two = _two_that_sum(one_side, free, -free.get(group, 0))
            if two is not None:
                blocks.append([(name, free.pop(name)) for name in (group, *two)])
    taken = {name for block in blocks for name, _ in block}
    rest = [one for one in needs if one[0] not in taken]
    if len(rest) <= EXACT_MAX:
        return [*blocks, *_most_blocks(rest)]
    return [*blocks, rest]


def _two_that_sum(
    groups: Sequence[str], free: Mapping[str, int], wanted: int
) -> tuple[str, str] | None:
    """Find the first two free groups whose needs sum to what is wanted."""
    if wanted == 0:
        return None
    seen: dict[int, str] = {}
    for group in groups:
        need = free.get(group, 0)
        if need and wanted - need in seen:
            return seen[wanted - need], group
        if need:
            seen.setdefault(need, group)
    return None


def _fewest(needs: _Needs) -> int:
    """Say below how many legs no plan can go that has used up equal pairs.

    Each group needs a leg; and a block that settles by itself has three groups or
    more, and saves one leg.
    """
    debtors = sum(1 for _, need in needs if need < 0)
    return max(debtors, len(needs) - debtors, len(needs) - len(needs) // 3)


def _pay_largest(block: Sequence[tuple[str, int]]) -> list[Leg]:
    """Let the largest debtor pay the largest creditor, until nobody owes.

    Each leg ends one of the two, and the last both. Equals go in name order.
    """
    debtors = [(need, group) for group, need in block if need < 0]
    creditors = [(-need, group) for group, need in block if need > 0]
    heapq.heapify(debtors)
    heapq.heapify(creditors)
    legs = []
    while debtors:
        owes, debtor = heapq.heappop(debtors)
        owed, creditor = heapq.heappop(creditors)
        amount = -max(owes, owed)
        legs.append(Leg(debtor, creditor, amount))
        if owes + amount:
            heapq.heappush(debtors, (owes + amount, debtor))
        if owed + amount:
            heapq.heappush(creditors, (owed + amount, creditor))
    return legs
