"""What a treasurer types, read; and whether she may act at all.

Limits are typed as how far an account may go from zero, since many telephones have no
minus sign among their digits.
"""

import secrets

import msgspec
from aiohttp import web

from protocol import address
from protocol.errors import MalformedMessageError
from protocol.peer.web.figures import AmountFault, Figures, read_amount
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import caller_of
from protocol.peer.web.routes import TREASURER
from protocol.peer.web.words import Language

_DIGITS_MAX = 13


def may_act(request: web.Request) -> bool:
    """Say whether who looks may change something; a reader may not."""
    return TREASURER in caller_of(request).scopes


def check_may_act(request: web.Request) -> None:
    """Let nobody fill in what she may not send; raises ``Problem`` (403)."""
    if not may_act(request):
        raise Problem(403, "not-for-you", "A reader looks, and changes nothing.")


def new_key() -> str:
    """Draw the name of what a button does, so that it does it once."""
    return secrets.token_urlsafe(16)


def read_key(text: str) -> str:
    """Read the name of what a button does, as a page of ours wrote it."""
    return address.read_idempotency_key(text)


def read_limit(
    text: str, decimals: int, language: Language
) -> int | AmountFault | None:
    """Read how far an account may go from zero; nothing typed: as far as it likes.

    Returns:
        Minor units, 0 or more; ``None``: no limit. A minus before it says only what
        the field says already.
    """
    typed = text.strip().removeprefix("-").removeprefix("\u2212").strip()
    if not typed:
        return None if not text.strip() else AmountFault.NO_NUMBER
    if not typed.strip("0,."):
        return 0 if typed[0] == "0" else AmountFault.NO_NUMBER
    return read_amount(typed, decimals, language)


def write_limit(amount: int | None, decimals: int, figures: Figures) -> str:
    """Write a limit as it is typed: how far from zero.

    Args:
        amount: minor units; a limit beyond zero, which only programs set, is below 0.
        decimals: of the unit.
        figures: writes for her.
    """
    if amount is None:
        return ""
    if amount % 10**decimals == 0:
        return figures.plain(amount // 10**decimals)
    # Three digits behind a sign could be read as thousands.
    return figures.plain(amount, decimals) + ("0" if decimals == 3 else "")


def read_digits(text: str) -> int:
    """Read an amount as a page of ours wrote it, minor units, above 0."""
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX:
        raise MalformedMessageError("amount", text, "an amount as the page wrote it")
    return msgspec.convert(int(text), int)


def is_display_name(text: str) -> bool:
    """Say whether a text could be somebody's name."""
    try:
        address.read_display_name(text)
    except MalformedMessageError:
        return False
    return True


def is_reason(text: str) -> bool:
    """Say whether a text could be why something is done; not when there is none."""
    try:
        address.read_reason(text)
    except MalformedMessageError:
        return False
    return True
