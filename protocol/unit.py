"""Time is the unit between groups; a group counts in minor units of its own.

Between servers an amount is a whole number of milliseconds of time: 3,600,000
is one hour. A rate is whole milliseconds per minor unit. No floats and no
fractions anywhere; whatever cannot be divided stays with the payer's node and
can never be a gain to members (protocol, section 1).
"""

from typing import NewType

import msgspec

#: Minor units of one group's unit.
Amount = NewType("Amount", int)
#: Milliseconds of time, the amount between groups.
Milliseconds = NewType("Milliseconds", int)

HOUR = Milliseconds(3_600_000)
AMOUNT_MAX = Amount(10**12)
MILLISECONDS_MAX = Milliseconds(10**14)
RATE_MAX = 10**10
DECIMALS_MAX = 2
#: Most units that a group may say an hour is worth.
PER_HOUR_MAX = 100_000
_MINUTE = 60_000
_SHOWN = 10**4


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a group counts in, as people read it."""

    name: str
    plural: str
    symbol: str
    decimals: int


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole milliseconds per minor unit, under a version that never changes."""

    version: int
    milliseconds: int


class Quote(msgspec.Struct, frozen=True):
    """The three amounts that a transfer fixes.

    Attributes:
        payee_amount: P, minor units that the payee receives.
        milliseconds: S = P x payee's rate, what moves between the groups.
        payer_amount: Y, minor units that the payer pays.
    """

    payee_amount: Amount
    milliseconds: Milliseconds
    payer_amount: Amount


def quote(payee_amount: Amount, payer_rate: int, payee_rate: int) -> Quote | None:
    """Say what a payee's amount costs the payer.

    ``Y = ceil(S / payer's rate)``, so value(P) = S <= value(Y): paying never
    adds value. With equal rates Y = P.

    Args:
        payee_amount: P, minor units of the payee's unit, positive.
        payer_rate: milliseconds per minor unit of the payer's unit.
        payee_rate: milliseconds per minor unit of the payee's unit.

    Returns:
        ``None`` when P, S or Y passes its limit (10^12, 10^14, 10^12).
    """
    assert payee_amount > 0 and payer_rate > 0 and payee_rate > 0
    milliseconds = payee_amount * payee_rate
    payer_amount = -(-milliseconds // payer_rate)
    if (
        payee_amount > AMOUNT_MAX
        or milliseconds > MILLISECONDS_MAX
        or payer_amount > AMOUNT_MAX
    ):
        return None
    return Quote(payee_amount, Milliseconds(milliseconds), Amount(payer_amount))


def quote_for_payer(
    payer_amount: Amount, payer_rate: int, payee_rate: int
) -> tuple[Quote | None, Quote | None]:
    """Say what a payer's own amount can buy: the two nearest exact quotes.

    Args:
        payer_amount: minor units that the payer had in mind, positive.
        payer_rate: milliseconds per minor unit of the payer's unit.
        payee_rate: milliseconds per minor unit of the payee's unit.

    Returns:
        The quote of the largest P whose Y does not exceed ``payer_amount``
        (``None`` when even one minor unit costs more), and the quote of one
        minor unit more (``None`` beyond the limits).
    """
    assert payer_amount > 0 and payer_rate > 0 and payee_rate > 0
    most = Amount(
        min(
            payer_amount * payer_rate // payee_rate,
            AMOUNT_MAX,
            MILLISECONDS_MAX // payee_rate,
        )
    )
    below = quote(most, payer_rate, payee_rate) if most > 0 else None
    return below, quote(Amount(most + 1), payer_rate, payee_rate)


def write_ratio(numerator: int, denominator: int) -> str:
    """Write a positive ratio as people read it: up to four decimals, halves up."""
    assert numerator > 0 and denominator > 0
    whole = (2 * numerator * _SHOWN + denominator) // (2 * denominator)
    text = write_amount(whole, 4)
    return text.rstrip("0").rstrip(".")


def minutes_per_unit(rate: int, decimals: int) -> str:
    """Write how many minutes one unit is worth, as ``3`` or ``8.5714``."""
    return write_ratio(rate * int(10**decimals), _MINUTE)


def write_amount(amount: int, decimals: int) -> str:
    """Write minor units as a plain number with a point, as logs show it."""
    if decimals == 0:
        return str(amount)
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 10**decimals)
    return f"{sign}{whole}.{part:0{decimals}d}"
