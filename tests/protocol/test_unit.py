from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.unit import (
    AMOUNT_MAX,
    MILLISECONDS_MAX,
    RATE_MAX,
    Amount,
    Quote,
    quote,
    quote_for_payer,
    write_amount,
)
from tests.protocol.makers import residue

BLUSSER = 180_000  # 20 an hour, no decimals
KETJE = 60_000  # 60 an hour, no decimals
BLUSSER_CENT = 1_800  # 20 an hour, 2 decimals

rates = st.one_of(
    st.sampled_from([1, 1_800, 60_000, 180_000, 514_286, RATE_MAX]),
    st.integers(1, RATE_MAX),
)
amounts = st.one_of(st.integers(1, 1_000), st.integers(1, 2 * AMOUNT_MAX))


def model(payee_amount: int, payer_rate: int, payee_rate: int) -> Quote | None:
    """The law in exact fractions: the smallest Y that is worth at least P."""
    worth = Fraction(payee_amount) * payee_rate
    wanted = worth / payer_rate
    least = wanted.numerator // wanted.denominator
    if Fraction(least) < wanted:
        least += 1
    if payee_amount > 10**12 or worth > 10**14 or least > 10**12:
        return None
    return Quote(Amount(payee_amount), int(worth), Amount(least))  # type: ignore[arg-type]


@given(amounts, rates, rates)
def test_a_quote_is_what_exact_fractions_say(paid: int, payer: int, payee: int) -> None:
    assert quote(Amount(paid), payer, payee) == model(paid, payer, payee)


@given(st.integers(1, 10**6), rates, rates)
def test_paying_never_adds_value(payee_amount: int, payer: int, payee: int) -> None:
    quoted = quote(Amount(payee_amount), payer, payee)
    if quoted is not None:
        assert 0 <= residue(quoted, payer) < payer


@given(st.integers(1, AMOUNT_MAX), rates)
def test_between_equal_rates_nothing_changes(amount: int, rate: int) -> None:
    quoted = quote(Amount(amount), rate, rate)
    assert quoted is None or quoted.payer_amount == quoted.payee_amount == amount
    assert (quoted is None) is (amount * rate > MILLISECONDS_MAX)


@given(amounts, rates, rates)
def test_a_payers_own_amount_buys_the_largest_that_it_covers(
    mine: int, payer: int, payee: int
) -> None:
    below, above = quote_for_payer(Amount(mine), payer, payee)
    largest = min(10**12, 10**14 // payee)
    most = min(int(Fraction(mine) * payer / payee), largest)
    assert below == (model(most, payer, payee) if most else None)
    assert above == model(most + 1, payer, payee)
    assert below is None or below.payer_amount <= mine
    assert above is None or above.payer_amount > mine or most == largest


@given(st.integers(1, 10**6), rates, rates)
def test_there_and_back_again_never_gains(amount: int, one: int, other: int) -> None:
    there, _ = quote_for_payer(Amount(amount), one, other)
    if there is not None:
        back, _ = quote_for_payer(there.payee_amount, other, one)
        assert back is None or back.payee_amount <= amount


def test_two_ketjes_never_come_back_as_three() -> None:
    # eLAND rounds to nearest: 2 at 60 an hour become 1 at 20 an hour, and that 3.
    below, above = quote_for_payer(Amount(2), KETJE, BLUSSER)
    assert below is None
    assert above == Quote(1, 180_000, 3)  # type: ignore[arg-type]


def test_a_blusser_costs_a_ketje_payer_three() -> None:
    assert quote(Amount(1), KETJE, BLUSSER) == (
        Quote(1, 180_000, 3)  # type: ignore[arg-type]
    )


def test_five_ketjes_buy_one_blusser_for_three_or_two_for_six() -> None:
    below, above = quote_for_payer(Amount(5), KETJE, BLUSSER)
    assert below and (below.payee_amount, below.payer_amount) == (1, 3)
    assert above and (above.payee_amount, above.payer_amount) == (2, 6)


def test_one_ketje_is_too_small_for_a_blusser() -> None:
    below, above = quote_for_payer(Amount(1), KETJE, BLUSSER)
    assert below is None
    assert above and above.payer_amount == 3


def test_blussers_with_two_decimals_cost_the_same_at_an_equal_rate() -> None:
    quoted = quote(Amount(101), BLUSSER_CENT, BLUSSER_CENT)
    assert quoted and write_amount(quoted.payer_amount, 2) == "1.01"


def test_the_payers_amount_has_a_limit() -> None:
    assert quote(Amount(10**12), 1, 1)
    assert quote(Amount(10**12 + 1), 1, 1) is None
    assert quote(Amount(10**12 // 10), 1, 10)
    assert quote(Amount(10**12 // 10 + 1), 1, 10) is None


def test_what_moves_between_groups_has_a_limit() -> None:
    assert quote(Amount(10**4), RATE_MAX, RATE_MAX)
    assert quote(Amount(10**4 + 1), RATE_MAX, RATE_MAX) is None
    assert quote(Amount(10**12), 100, 100)
    assert quote(Amount(10**12), 101, 101) is None


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (0, 0, "0"),
        (7, 0, "7"),
        (-7, 0, "-7"),
        (0, 2, "0.00"),
        (1, 2, "0.01"),
        (-1, 2, "-0.01"),
        (101, 2, "1.01"),
        (-1_234, 2, "-12.34"),
        (5, 1, "0.5"),
        (10**12, 2, "10000000000.00"),
    ],
)
def test_an_amount_is_written_plainly(amount: int, decimals: int, text: str) -> None:
    assert write_amount(amount, decimals) == text
