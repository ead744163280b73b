"""A hundred thousand pairs of rates, reckoned once more in exact fractions.

The reckoning here knows nothing of ``protocol.unit`` but what it answers: worth is
a fraction of hours, and the law is that paying never adds worth.
"""

import random
from fractions import Fraction

import pytest

from protocol.directory import rate_of_hour
from protocol.unit import Amount, Quote, quote, quote_for_payer
from tests.protocol.makers import residue

PAIRS = 100_000
PARTS = 10
PAYEE_MOST = 10**12
PAYER_MOST = 10**12
TIME_MOST = 10**14
RATE_MOST = 10**10
#: Rates of groups as they are: 7, 12, 20, 30, 60 units an hour, 0 to 2 decimals.
LIKELY = [
    rate_of_hour(per_hour, decimals)
    for per_hour in (7, 12, 20, 30, 60)
    for decimals in (0, 1, 2)
]


def draw_upto(draw: random.Random, most: int) -> int:
    """A whole number whose size, not its value, is equally likely."""
    return min(most, int(10 ** draw.uniform(0, len(str(most)) - 1)) + draw.randrange(3))


def draw_rate(draw: random.Random) -> int:
    return draw.choice(LIKELY) if draw.random() < 0.4 else draw_upto(draw, RATE_MOST)


def check_price(paid: int, payer: int, payee: int) -> Quote | None:
    """What she pays is the least that is worth what is received, or there is none."""
    quoted = quote(Amount(paid), payer, payee)
    price = Fraction(paid * payee, payer)
    if quoted is None:
        is_out = paid > PAYEE_MOST or paid * payee > TIME_MOST or price > PAYER_MOST
        assert is_out, (paid, payer, payee)
        return None
    assert (quoted.payee_amount, quoted.milliseconds) == (paid, paid * payee)
    assert quoted.payer_amount - 1 < price <= quoted.payer_amount
    left = (quoted.payer_amount - price) * payer
    assert left == residue(quoted, payer) and 0 <= left < payer
    return quoted


def check_nearest(mine: int, payer: int, payee: int) -> None:
    """Of the two amounts shown, one is the most that she can have, one is too much."""
    exact = Fraction(mine * payer, payee)
    below, above = quote_for_payer(Amount(mine), payer, payee)
    most = min(int(exact), PAYEE_MOST, TIME_MOST // payee)
    assert (below.payee_amount if below else 0) == most
    if above is not None:
        assert above.payee_amount == most + 1 > exact
        assert above.payer_amount > mine
    if below is None:
        return
    assert below == check_price(most, payer, payee)
    assert below.payer_amount <= mine
    back, _ = quote_for_payer(below.payee_amount, payee, payer)
    assert back is None or back.payee_amount <= mine, "there and back was a gain"


@pytest.mark.parametrize("part", range(PARTS))
def test_no_pair_of_rates_lets_anyone_gain(part: int) -> None:
    draw = random.Random(part)
    quoted = 0
    for _ in range(PAIRS // PARTS):
        payer, payee = draw_rate(draw), draw_rate(draw)
        most = max(1, min(PAYEE_MOST, TIME_MOST // payee))
        amount = draw_upto(draw, 2 * most)
        quoted += check_price(amount, payer, payee) is not None
        check_nearest(draw_upto(draw, PAYER_MOST), payer, payee)
    assert quoted > PAIRS // PARTS // 2, "hardly a pair was within the limits"


@pytest.mark.parametrize("seed", range(20))
def test_a_chain_of_payments_through_many_groups_never_gains(seed: int) -> None:
    draw = random.Random(f"chain {seed}")
    rates = [draw.choice(LIKELY) for _ in range(30)]
    # So much that something is left after thirty times less than one unit.
    amount = own = 10**6 + draw_upto(draw, 10**6)
    for payer, payee in zip(rates, [*rates[1:], rates[0]], strict=True):
        below, _ = quote_for_payer(Amount(amount), payer, payee)
        assert below is not None
        amount = below.payee_amount
    assert amount <= own


@pytest.mark.parametrize(
    ("payer", "payee", "paid", "price"),
    [
        # 30 an hour is a unit of two minutes.
        (rate_of_hour(30, 0), rate_of_hour(20, 0), 1, 2),  # 3 minutes cost 4
        (rate_of_hour(30, 0), rate_of_hour(20, 0), 2, 3),  # 6 minutes cost 6
        (rate_of_hour(20, 0), rate_of_hour(30, 0), 1, 1),  # 2 minutes cost 3
        (rate_of_hour(20, 0), rate_of_hour(30, 0), 3, 2),  # 6 minutes cost 6
        # The same with hundredths: the rest shrinks to a hundredth.
        (rate_of_hour(30, 2), rate_of_hour(20, 2), 100, 150),
        (rate_of_hour(30, 2), rate_of_hour(20, 2), 1, 2),
        (rate_of_hour(30, 2), rate_of_hour(20, 0), 1, 150),
        (rate_of_hour(20, 0), rate_of_hour(30, 2), 1, 1),  # 1.2 s cost 3 minutes
        (rate_of_hour(20, 0), rate_of_hour(30, 2), 151, 2),
        # 7 an hour does not divide: the group decided on 514286 ms, not a fraction.
        (rate_of_hour(7, 0), rate_of_hour(20, 0), 20, 7),  # one hour for one hour
        (rate_of_hour(20, 0), rate_of_hour(7, 0), 7, 21),  # 2 ms over the hour
    ],
)
def test_prices_that_people_can_check(
    payer: int, payee: int, paid: int, price: int
) -> None:
    quoted = quote(Amount(paid), payer, payee)
    assert quoted is not None
    assert quoted.payer_amount == price
