"""Limits as somebody types them: hours below and above zero."""

from protocol.peer.web.figures import AmountFault, Figures, read_amount
from protocol.peer.web.words import Language
from protocol.unit import HOUR, MILLISECONDS_MAX

_DECIMALS = 2
_STEP = HOUR // 10**_DECIMALS


def write_hours(milliseconds: int, figures: Figures) -> str:
    """Write a limit as it is typed: hours, and hundredths where it has some."""
    hours, rest = divmod(abs(milliseconds), HOUR)
    if not rest:
        return figures.plain(hours)
    return figures.plain(abs(milliseconds) // _STEP, _DECIMALS)


def read_hours(text: str, language: Language) -> int | AmountFault:
    """Read how far a position may go from zero; gives milliseconds, 0 or more.

    A minus before it says only what the field says already.
    """
    typed = text.strip().removeprefix("-").removeprefix("\u2212").strip()
    if typed and not typed.strip("0"):
        return 0
    found = read_amount(typed, _DECIMALS, language)
    if isinstance(found, AmountFault):
        return found
    milliseconds = found * _STEP
    return milliseconds if milliseconds <= MILLISECONDS_MAX else AmountFault.TOO_LARGE
