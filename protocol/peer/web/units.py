"""A unit and its rate, as answers show them beside amounts."""

from typing import Self

import msgspec

from protocol.directory import units_per_hour
from protocol.unit import Rate, Unit, minutes_per_unit


class UnitAnswer(msgspec.Struct, frozen=True):
    """A unit, beside every amount."""

    name: str
    plural: str
    symbol: str
    decimals: int

    @classmethod
    def of(cls, unit: Unit) -> Self:
        """Show a unit."""
        return cls(unit.name, unit.plural, unit.symbol, unit.decimals)


class RateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit is worth in time.

    ``milliseconds`` is of one minor unit and exact; ``per_hour`` and
    ``minutes_per_unit`` are for people, decimal text of up to four decimals.
    """

    version: int
    milliseconds: int
    per_hour: str
    minutes_per_unit: str

    @classmethod
    def of(cls, rate: Rate, decimals: int) -> Self:
        """Show a rate of a unit with so many decimals."""
        return cls(
            version=rate.version,
            milliseconds=rate.milliseconds,
            per_hour=units_per_hour(rate.milliseconds, decimals),
            minutes_per_unit=minutes_per_unit(rate.milliseconds, decimals),
        )
