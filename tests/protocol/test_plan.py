"""The settlement plan: as few legs as there can be, the same for everyone."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LedgerBrokenError, MalformedMessageError
from protocol.netting import (
    EXACT_MAX,
    TRIPLES_MAX,
    Leg,
    Plan,
    check_legs,
    make_plan,
    settle,
)


def balanced(amounts: list[int]) -> dict[str, int]:
    """Give each amount a group, and one more group the rest."""
    positions = {f"g{place:04d}": amount for place, amount in enumerate(amounts)}
    return positions | {"z-rest": -sum(amounts)}


def to_zero(positions: dict[str, int]) -> Plan:
    return make_plan(positions, dict.fromkeys(positions, 0))


def fewest_of_all(needs: tuple[int, ...]) -> int:
    """Try everything: the first group pays, or is paid by, each other one in turn."""
    needs = tuple(need for need in needs if need)
    if not needs:
        return 0
    first, rest = needs[0], needs[1:]
    return 1 + min(
        fewest_of_all((*rest[:place], other + first, *rest[place + 1 :]))
        for place, other in enumerate(rest)
        if first * other < 0
    )


small = st.lists(st.integers(-6, 6), min_size=1, max_size=6)


@given(small)
def test_up_to_seven_groups_no_plan_has_fewer_legs(amounts: list[int]) -> None:
    positions = balanced(amounts)
    plan = to_zero(positions)
    assert len(plan.legs) == plan.bound == fewest_of_all(tuple(positions.values()))


def check(plan: Plan, positions: dict[str, int]) -> None:
    assert settle(positions, plan.legs) == dict.fromkeys(sorted(positions), 0)
    assert plan.milliseconds == sum(max(one, 0) for one in positions.values())
    standing = sum(1 for one in positions.values() if one)
    assert plan.bound <= len(plan.legs) <= max(0, standing - 1)
    assert list(plan.legs) == sorted(plan.legs)
    between = [(leg.debtor, leg.creditor) for leg in plan.legs]
    assert len(set(between)) == len(between)
    for leg in plan.legs:
        assert leg.milliseconds > 0
        assert positions[leg.debtor] < 0 < positions[leg.creditor]


@settings(max_examples=40)
@given(
    st.one_of(
        st.lists(st.integers(-6, 6), max_size=30),
        st.lists(st.integers(-(10**13), 10**13), max_size=30),
    ),
    st.randoms(),
)
def test_a_plan_is_right_and_the_same_in_any_order(
    amounts: list[int], draw: random.Random
) -> None:
    positions = balanced(amounts)
    plan = to_zero(positions)
    check(plan, positions)
    mixed = list(positions.items())
    draw.shuffle(mixed)
    targets = list(dict.fromkeys(positions, 0).items())
    draw.shuffle(targets)
    assert make_plan(dict(mixed), dict(targets)) == plan


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_of_many_groups_is_right(seed: int) -> None:
    draw = random.Random(seed)
    span = draw.choice([20, 10**9])
    positions = balanced([draw.randrange(-span, span + 1) for _ in range(300)])
    check(to_zero(positions), positions)


def exact_of(positions: dict[str, int]) -> int:
    """The most blocks by another way: subsets that sum to zero, largest cover."""
    needs = [one for one in positions.values() if one]
    whole = (1 << len(needs)) - 1
    zero = [
        subset
        for subset in range(1, whole + 1)
        if sum(need for place, need in enumerate(needs) if subset >> place & 1) == 0
    ]
    blocks = {0: 0}
    for subset in range(whole + 1):
        if subset not in blocks:
            continue
        for other in zero:
            if not other & subset:
                joined = other | subset
                blocks[joined] = max(blocks.get(joined, 0), blocks[subset] + 1)
    return len(needs) - blocks[whole]


@pytest.mark.parametrize("seed", range(8))
def test_up_to_twelve_groups_the_plan_is_the_best_one(seed: int) -> None:
    draw = random.Random(seed)
    positions = balanced([draw.randrange(-9, 10) for _ in range(11)])
    plan = to_zero(positions)
    assert len(plan.legs) == plan.bound == exact_of(positions)


def standing(groups: int) -> dict[str, int]:
    """So many groups of which no two settle by themselves."""
    draw = random.Random(groups)
    return balanced(
        [draw.randrange(1, 10**12) * (-1) ** place for place in range(groups - 1)]
    )


def test_beyond_sixteen_groups_only_a_bound_is_known() -> None:
    exact, searched = to_zero(standing(EXACT_MAX)), to_zero(standing(EXACT_MAX + 1))
    assert exact.bound == len(exact.legs) == EXACT_MAX - 1
    assert (searched.bound, len(searched.legs)) == (12, EXACT_MAX)


def triples(groups: int) -> dict[str, int]:
    """Groups that settle in threes, if somebody sees it."""
    found = {}
    for place in range(groups // 3):
        base = 10**6 + 1000 * place**2
        found |= {f"a{place}": -base, f"b{place}": -base - 1, f"c{place}": 2 * base + 1}
    return found


def star(groups: int) -> dict[str, int]:
    """One group that all others owe, so that no part of them settles by itself."""
    owes = {f"d{place}": -(10**12) - place**2 for place in range(groups - 1)}
    return owes | {"e": -sum(owes.values())}


def test_threes_are_looked_for_up_to_a_thousand_groups() -> None:
    few, many = triples(996) | star(4), triples(996) | star(5)
    assert len(few) == TRIPLES_MAX == len(many) - 1
    for positions in (few, many):
        check(to_zero(positions), positions)
    assert len(to_zero(few).legs) == 332 * 2 + 3
    assert len(to_zero(many).legs) > 332 * 2 + 4


def test_equal_pairs_settle_between_themselves() -> None:
    amounts = [*range(1, 200), *range(-199, 0)]
    plan = to_zero(balanced(amounts))
    assert len(plan.legs) == plan.bound == 199


def test_ties_go_in_name_order() -> None:
    positions = {"ieper": 5, "aalst": -5, "gent": -5, "brussel": 5}
    assert to_zero(positions).legs == (
        Leg("aalst", "brussel", 5),
        Leg("gent", "ieper", 5),
    )


def test_all_orders_of_all_groups_give_one_plan() -> None:
    positions = {"aalst": -4, "brussel": -3, "gent": 2, "ieper": 2, "kortrijk": 3}
    plans = {
        to_zero(dict(order)) for order in itertools.permutations(positions.items())
    }
    assert len(plans) == 1
    assert len(plans.pop().legs) == 3


def test_targets_need_not_be_zero() -> None:
    positions = {"aalst": -9, "gent": 4, "reserve": 5}
    plan = make_plan(positions, {"aalst": -5, "gent": 0, "reserve": 5})
    assert plan.legs == (Leg("aalst", "gent", 4),)


@pytest.mark.parametrize(
    "targets",
    [{"aalst": 1, "gent": 0}, {"aalst": 0}, {"aalst": 0, "gent": 0, "ieper": 0}],
)
def test_targets_that_do_not_fit_are_refused(targets: dict[str, int]) -> None:
    for act in (make_plan, lambda one, other: check_legs(one, other, ())):
        with pytest.raises(MalformedMessageError, match="targets"):
            act({"aalst": -1, "gent": 1}, targets)


@pytest.mark.parametrize(
    ("legs", "told"),
    [
        ([Leg("aalst", "gent", 4)], "misses its target"),
        ([Leg("aalst", "gent", 5), Leg("aalst", "gent", 1)], "misses its target"),
        ([Leg("aalst", "gent", 6), Leg("aalst", "gent", -1)], "moves -1"),
        ([Leg("gent", "aalst", 5)], "not from a debtor"),
        ([Leg("aalst", "ieper", 5), Leg("ieper", "gent", 5)], "not from a debtor"),
        ([Leg("aalst", "nowhere", 5)], "not from a debtor"),
        ([], "misses its target"),
    ],
)
def test_legs_that_settle_nothing_or_wrongly_are_seen(
    legs: list[Leg], told: str
) -> None:
    positions = {"aalst": -5, "gent": 5, "ieper": 0}
    with pytest.raises(LedgerBrokenError, match=told):
        check_legs(positions, dict.fromkeys(positions, 0), legs)
