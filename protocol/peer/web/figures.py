"""Numbers, units, hours and dates as people of a language write and read them.

After CLDR for nl-BE, fr-BE and en (tests compare with Babel, which at 33 MB is too
large for these few). Amounts stay whole minor units; nothing is ever a float.
"""

import re
from datetime import tzinfo
from enum import StrEnum

import msgspec

from protocol.instant import Instant, read_instant, to_datetime
from protocol.peer.web.units import UnitAnswer
from protocol.peer.web.words import Language
from protocol.unit import AMOUNT_MAX, HOUR

#: Between groups of three digits, and before decimals.
_SIGNS: dict[Language, tuple[str, str]] = {
    "nl": (".", ","),
    "fr": ("\u202f", ","),
    "en": (",", "."),
}
_HOUR_SIGN: dict[Language, str] = {"nl": "u", "fr": "h", "en": "h"}
_MONTHS: dict[Language, str] = {
    "nl": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "fr": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
}
_MINUTE = 60_000
_SECOND = 1000
#: White space that people and their programs put between digits.
_SPACES = re.compile(r"[\s\u00a0\u202f\u2009']")
_SPACED = re.compile(r"[0-9]{1,3}([\s\u00a0\u202f\u2009'][0-9]{3})+([.,].*)?")
_PLAIN = re.compile(r"[0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}(\1[0-9]{3})*")
_TYPED_MAX = 40


class AmountFault(StrEnum):
    """Why what was typed is no amount; each has a sentence, ``amount.…``."""

    MISSING = "missing"
    NO_NUMBER = "no-number"
    TWO_WAYS = "two-ways"
    NO_PARTS = "no-parts"
    TOO_FINE = "too-fine"
    NOT_POSITIVE = "not-positive"
    TOO_LARGE = "too-large"


class Figures(msgspec.Struct, frozen=True):
    """Writes for people of one language, by the clocks of one place."""

    language: Language
    zone: tzinfo

    def number(self, amount: int, decimals: int = 0) -> str:
        """Write minor units as a number."""
        group, point = _SIGNS[self.language]
        whole, part = divmod(abs(amount), 10**decimals)
        text = f"{whole:,}".replace(",", group)
        if decimals:
            text = f"{text}{point}{part:0{decimals}d}"
        return f"-{text}" if amount < 0 else text

    def plain(self, amount: int, decimals: int = 0) -> str:
        """Write minor units as people type them: no groups of digits."""
        return self.number(amount, decimals).replace(_SIGNS[self.language][0], "")

    def amount(self, amount: int, unit: UnitAnswer) -> str:
        """Write an amount with its unit, in its singular or plural."""
        number = self.number(amount, unit.decimals)
        return f"{number}\u00a0{self._unit_name(amount, unit)}"

    def signed(self, amount: int, unit: UnitAnswer) -> str:
        """Write what an account gained or lost, with its sign."""
        plus = "+" if amount > 0 else ""
        return f"{plus}{self.number(amount, unit.decimals)}"

    def _unit_name(self, amount: int, unit: UnitAnswer) -> str:
        one: int = 10**unit.decimals
        if self.language == "fr":
            is_one = abs(amount) < 2 * one
        else:
            # "1,0 uren": what shows decimals is never one (CLDR: i = 1 and v = 0).
            is_one = abs(amount) == one and unit.decimals == 0
        return unit.name if is_one else unit.plural

    def hours(self, milliseconds: int) -> str:
        """Write time as hours and minutes; seconds only under an hour.

        What is shorter than what is shown is rounded, halves up, and says so.
        """
        length = abs(milliseconds)
        step = _MINUTE if length >= HOUR else _SECOND
        shown = (length + step // 2) // step * step
        hours, rest = divmod(shown, HOUR)
        minutes, rest = divmod(rest, _MINUTE)
        seconds = rest // _SECOND
        parts = [
            f"{self.number(hours)}\u00a0{_HOUR_SIGN[self.language]}" if hours else "",
            f"{minutes}\u00a0min" if minutes or not shown else "",
            f"{seconds}\u00a0s" if seconds else "",
        ]
        text = "\u00a0".join(part for part in parts if part)
        sign = "-" if milliseconds < 0 and shown else ""
        return f"{'' if shown == length else '± '}{sign}{text}"

    def day(self, at: Instant | str) -> str:
        """Write a day: ``23 nov 2026``."""
        found = to_datetime(_instant(at)).astimezone(self.zone)
        month = _MONTHS[self.language].split()[found.month - 1]
        return f"{found.day} {month} {found.year}"

    def clock(self, at: Instant | str) -> str:
        """Write a time of day: ``02:59``."""
        return f"{to_datetime(_instant(at)).astimezone(self.zone):%H:%M}"

    def moment(self, at: Instant | str) -> str:
        """Write a day and a time of day."""
        return f"{self.day(at)} {self.clock(at)}"

    def precise(self, at: Instant | str) -> str:
        """Write a day and a time of day, to the second."""
        found = to_datetime(_instant(at)).astimezone(self.zone)
        return f"{self.day(at)} {found:%H:%M:%S}"


def _instant(at: Instant | str) -> Instant:
    return read_instant(at) if isinstance(at, str) else at


def read_amount(text: str, decimals: int, language: Language) -> int | AmountFault:
    """Read an amount as somebody typed it; what has two readings is not guessed.

    Args:
        text: as typed: "2,5" and "2.5" are the same in every language, and so are
            "1000" and "1 000"; "1.000" is a thousand where people write it so.
        decimals: of the unit.
        language: the typist's.

    Returns:
        Minor units, positive; or what is wrong.
    """
    typed = text.strip()
    if not typed:
        return AmountFault.MISSING
    if typed[0] in "-\u2212":
        return AmountFault.NOT_POSITIVE
    if len(typed) > _TYPED_MAX:
        return AmountFault.NO_NUMBER
    found = _split(typed.removeprefix("+"), language)
    if isinstance(found, AmountFault):
        return found
    whole, part = found
    part = part.rstrip("0")
    if len(part) > decimals:
        return AmountFault.TOO_FINE if decimals else AmountFault.NO_PARTS
    amount = int(whole + part.ljust(decimals, "0"))
    if amount == 0:
        return AmountFault.NOT_POSITIVE
    return amount if amount <= AMOUNT_MAX else AmountFault.TOO_LARGE


def _split(typed: str, language: Language) -> tuple[str, str] | AmountFault:
    """Take a typed number apart into digits before and behind its decimal sign."""
    if _SPACES.search(typed):
        if not _SPACED.fullmatch(typed):
            return AmountFault.NO_NUMBER
        typed = _SPACES.sub("", typed)
    grouped = _GROUPED.fullmatch(typed)
    if grouped:
        sign = grouped[1]
        usual = "," if language == "en" else "."
        # "1,000" is one in Ghent and a thousand in London.
        is_sure = sign == usual or typed.count(sign) > 1
        return (typed.replace(sign, ""), "") if is_sure else AmountFault.TWO_WAYS
    return _split_at_last_sign(typed)


def _split_at_last_sign(typed: str) -> tuple[str, str] | AmountFault:
    """The last sign is the decimal one; the other one groups digits before it."""
    sign = max(",.", key=typed.rfind)
    if sign not in typed:
        return (typed, "") if _PLAIN.fullmatch(typed) else AmountFault.NO_NUMBER
    whole, _, part = typed.rpartition(sign)
    other = "," if sign == "." else "."
    if _GROUPED.fullmatch(whole):
        whole = whole.replace(other, "")
    if not _PLAIN.fullmatch(whole) or not _PLAIN.fullmatch(part):
        return AmountFault.NO_NUMBER
    return whole, part
