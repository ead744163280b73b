"""Charges and shared debts: exact to the millisecond, the same for everyone."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MalformedMessageError
from protocol.instant import Instant
from protocol.sharing import (
    WHOLE,
    AveragePosition,
    ChargeRule,
    SharingRule,
    average_position,
    charges,
    share,
    share_debt,
)

groups = [f"g{place}" for place in range(8)]
weights = st.dictionaries(
    st.sampled_from(groups),
    st.one_of(st.integers(0, 5), st.integers(0, 10**15)),
    min_size=1,
).filter(lambda found: any(found.values()))
amounts = st.one_of(st.integers(0, 20), st.integers(0, 10**15))


@given(amounts, weights, st.randoms())
def test_shares_are_exact_close_ordered_and_the_same_in_any_order(
    amount: int, weighed: dict[str, int], draw: random.Random
) -> None:
    shares = share(amount, weighed)
    assert sum(shares.values()) == amount
    assert list(shares) == sorted(weighed)
    whole = sum(weighed.values())
    for group, part in shares.items():
        assert abs(part - Fraction(amount * weighed[group], whole)) < 1
        for other, another in shares.items():
            if weighed[group] > weighed[other]:
                assert part >= another
            if weighed[group] == weighed[other] and group < other:
                assert another <= part <= another + 1
    mixed = list(weighed.items())
    draw.shuffle(mixed)
    assert share(amount, dict(mixed)) == shares


def test_the_largest_remainders_get_what_is_left_then_the_first_names() -> None:
    assert share(10, {"gent": 1, "aalst": 1, "ieper": 1}) == {
        "aalst": 4,
        "gent": 3,
        "ieper": 3,
    }
    assert share(10, {"aalst": 10, "gent": 17, "ieper": 3}) == {
        "aalst": 3,
        "gent": 6,
        "ieper": 1,
    }


@pytest.mark.parametrize(
    ("amount", "weighed"),
    [(-1, {"gent": 1}), (1, {"gent": -1}), (1, {"gent": 0}), (1, {})],
)
def test_what_cannot_be_shared_is_refused(amount: int, weighed: dict[str, int]) -> None:
    with pytest.raises(MalformedMessageError):
        share(amount, weighed)


def test_a_debt_is_shared_by_the_rule_that_was_agreed() -> None:
    turnover = {"aalst": 300, "gent": 100, "ieper": 0}
    assert share_debt(9, SharingRule.EQUAL, turnover, {}) == {
        "aalst": 3,
        "gent": 3,
        "ieper": 3,
    }
    assert share_debt(9, SharingRule.TURNOVER, turnover, turnover) == {
        "aalst": 7,
        "gent": 2,
        "ieper": 0,
    }
    assert share_debt(1, SharingRule.SIZE, ["gent"], {"gent": 40}) == {"gent": 1}


@pytest.mark.parametrize(
    ("debt", "staying", "measures"),
    [
        (0, ["gent"], {"gent": 1}),
        (-1, ["gent"], {"gent": 1}),
        (1, [], {}),
        (1, ["gent"], {}),
    ],
)
def test_a_debt_that_nobody_can_take_over_is_refused(
    debt: int, staying: list[str], measures: dict[str, int]
) -> None:
    with pytest.raises(MalformedMessageError):
        share_debt(debt, SharingRule.SIZE, staying, measures)


def stands(average: int, limit: int = 1_000) -> AveragePosition:
    return AveragePosition(average=average, floor=-limit, ceiling=limit)


#: A tenth of all beyond half the limit.
TENTH = ChargeRule(rate=100_000, threshold=500_000)


def test_a_charge_begins_just_beyond_the_threshold() -> None:
    every = ChargeRule(rate=WHOLE, threshold=500_000)
    assert charges({"gent": stands(500)}, every) == {}
    assert charges({"gent": stands(501)}, every) == {"gent": 1}
    assert charges({"gent": stands(-501)}, every) == {"gent": 1}


def test_surplus_and_deficit_pay_alike() -> None:
    found = charges({"gent": stands(700), "aalst": stands(-700)}, TENTH)
    assert found == {"aalst": 20, "gent": 20}


def test_each_side_has_its_own_limit() -> None:
    one = AveragePosition(average=700, floor=-10, ceiling=1_000)
    other = AveragePosition(average=-700, floor=-1_000, ceiling=10)
    assert charges({"gent": one, "aalst": other}, TENTH) == {"aalst": 20, "gent": 20}


def test_nothing_is_charged_unless_people_have_said_so() -> None:
    assert charges({"gent": stands(10**15)}, ChargeRule()) == {}


def test_parts_of_a_millisecond_are_added_up_before_rounding() -> None:
    found = charges({name: stands(505) for name in ("ieper", "gent", "aalst")}, TENTH)
    assert found == {"aalst": 1}


standings = st.dictionaries(
    st.sampled_from(groups),
    st.builds(stands, st.integers(-(10**14), 10**14), st.integers(0, 10**14)),
    min_size=1,
)
rules = st.builds(
    ChargeRule, rate=st.integers(0, WHOLE), threshold=st.integers(0, WHOLE)
)


@given(standings, rules)
def test_a_charge_is_what_the_law_says_to_the_millisecond(
    found: dict[str, AveragePosition], rule: ChargeRule
) -> None:
    exact = {
        group: Fraction(rule.rate, WHOLE)
        * max(
            Fraction(0),
            abs(one.average) - Fraction(rule.threshold, WHOLE) * one.ceiling,
        )
        for group, one in found.items()
    }
    paid = charges(found, rule)
    assert sum(paid.values()) == sum(exact.values()) // 1
    for group, one in exact.items():
        assert abs(paid.get(group, 0) - one) < 1
        assert paid.get(group, 0) <= abs(found[group].average)
    mirrored = {
        group: stands(-one.average, one.ceiling) for group, one in found.items()
    }
    assert charges(mirrored, rule) == paid


@pytest.mark.parametrize(
    "rule",
    [
        ChargeRule(rate=-1),
        ChargeRule(rate=WHOLE + 1),
        ChargeRule(threshold=-1),
        ChargeRule(threshold=WHOLE + 1),
    ],
)
def test_a_rate_is_a_part_of_a_whole(rule: ChargeRule) -> None:
    with pytest.raises(MalformedMessageError):
        charges({"gent": stands(1)}, rule)


def test_a_position_is_averaged_over_time() -> None:
    gains = [(Instant(25), 40), (Instant(75), -80)]
    # A quarter at 10, half at 50, a quarter at -30.
    assert average_position(10, gains, Instant(0), Instant(100)) == 20


@pytest.mark.parametrize(("opening", "average"), [(5, 3), (-5, -3)])
def test_an_average_is_rounded_towards_zero(opening: int, average: int) -> None:
    gains = [(Instant(2), -opening)]
    assert average_position(opening, gains, Instant(0), Instant(3)) == average


def test_a_clock_set_back_counts_as_one_that_stood_still() -> None:
    gains = [(Instant(50), 10), (Instant(20), 10), (Instant(300), 7)]
    assert average_position(0, gains, Instant(0), Instant(100)) == 10


def test_a_cycle_that_takes_no_time_has_no_average() -> None:
    with pytest.raises(MalformedMessageError):
        average_position(0, [], Instant(5), Instant(5))
