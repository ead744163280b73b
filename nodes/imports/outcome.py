"""What the files of another program hold, whichever program wrote them.

A reader (``elas``, ``eland``) gives ``OldBooks`` and notes what it cannot use; what
is done with them is ``plan``. Nothing here holds a password: no reader looks at one.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from functools import lru_cache

import msgspec

from protocol.address import MEMO_BYTES_MAX, MEMO_LENGTH_MAX, read_memo
from protocol.errors import MalformedMessageError
from protocol.instant import Instant
from protocol.unit import AMOUNT_MAX

#: So many findings are told; how many there are is always told.
FINDINGS_MAX = 50
#: eLAS and eLAND write limits that bound nobody as such a number.
_NO_LIMIT = 999_999_999
_SHOWN_MAX = 40
_YEARS = range(1970, 2101)
_DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_AMOUNT = re.compile(r"-?[0-9]{1,13}(?:\.[0-9]{1,2})?", re.ASCII)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[ T]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6}))?)?)?",
    re.ASCII,
)
_SPACES = re.compile(r"\s+")
#: Told how much is read, of 1, and of what.
Listener = Callable[[float, str], None]
#: Rows after which a listener is told again.
TELL_EVERY = 5_000


class Status(StrEnum):
    """How a member stood in the group."""

    ACTIVE = "active"
    LEAVING = "leaving"
    NEW = "new"
    DEACTIVATED = "deactivated"
    NO_MEMBER = "no member yet"
    OUTSIDE = "outside"


#: As eLAS numbers them: gedesactiveerd, actief, uitstapper, instapper, info-pakket,
#: info-moment, extern.
_STATUSES = {
    "0": Status.DEACTIVATED,
    "1": Status.ACTIVE,
    "2": Status.LEAVING,
    "3": Status.NEW,
    "5": Status.NO_MEMBER,
    "6": Status.NO_MEMBER,
    "7": Status.OUTSIDE,
}


class Role(StrEnum):
    """What somebody could do in the old program."""

    ADMIN = "admin"
    MEMBER = "user"
    GUEST = "guest"
    INTERLETS = "interlets"


class Place(msgspec.Struct, frozen=True):
    """Where something stands: a file's name and a line of it, 0 for the whole file."""

    file: str
    line: int

    def told(self) -> str:
        """Say where it is."""
        return f"{self.file}, line {self.line}" if self.line else self.file


class Finding(msgspec.Struct, frozen=True):
    """What cannot be used, and what was expected in its place."""

    place: Place
    found: str
    expected: str

    def told(self) -> str:
        """Say it in one line."""
        return f"{self.place.told()}: found {self.found}; expected {self.expected}"


class OldAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the old program's members.

    Attributes:
        place: of the row.
        key: how transactions and limits name it: its code or its id.
        code: the letscode, as it stands there.
        name: for people, made plain.
        role: what it could do.
        status: how it stood.
        floor: minor units; ``None``: no limit.
        ceiling: minor units; ``None``: no limit.
        balance: minor units; ``None`` when the file does not say.
    """

    place: Place
    key: str
    code: str
    name: str
    role: Role
    status: Status
    floor: int | None
    ceiling: int | None
    balance: int | None = None


class OldTransaction(msgspec.Struct, frozen=True):
    """One payment of the past; amount in minor units, positive; keys of accounts."""

    place: Place
    at: Instant
    payer: str
    payee: str
    amount: int
    memo: str


class OldBooks(msgspec.Struct, frozen=True):
    """Everything that the files say.

    Attributes:
        accounts: in the order of the file.
        transactions: oldest first; ``None`` when no file has them.
        is_cut_off: older transactions exist, but the program did not write them.
    """

    accounts: Sequence[OldAccount]
    transactions: Sequence[OldTransaction] | None
    is_cut_off: bool = False


class Notes:
    """What was found so far: the first ones whole, the others counted."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.many = 0

    def note(self, place: Place, found: str, expected: str) -> None:
        """Note that something cannot be used."""
        self.many += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(place, found, expected))

    def told(self) -> str:
        """Tell everything, one line each."""
        lines = [finding.told() for finding in self.findings]
        more = self.many - len(lines)
        if more:
            lines.append(f"and {more} more")
        return "\n".join(lines)


def show(text: str) -> str:
    """Quote what was found, unless it may be a secret that slipped into a column."""
    if len(text) > _SHOWN_MAX or re.fullmatch(r"\$.*|[0-9A-Fa-f]{32,}", text):
        return f"{len(text)} characters that are not shown"
    return repr(text)


def read_units(text: str, decimals: int) -> int:
    """Read an amount of units as minor units, exactly.

    Raises:
        ValueError: no such number; what was expected.
    """
    expected = "a whole number"
    if decimals:
        expected += f" or one with up to {decimals} decimals"
    if not _AMOUNT.fullmatch(text):
        raise ValueError(expected)
    whole, _, part = text.partition(".")
    if len(part) > decimals and part.strip("0"):
        raise ValueError(expected)
    part = part[:decimals].ljust(decimals, "0")
    amount = int(whole + part)
    if abs(amount) > AMOUNT_MAX:
        raise ValueError("at most 10^12 minor units")
    return amount


def read_limit(text: str, decimals: int) -> int | None:
    """Read a limit; empty, or as far out as these programs write none: no limit.

    Raises:
        ValueError: no such number; what was expected.
    """
    if text == "":
        return None
    amount = read_units(text, decimals)
    return None if abs(amount) >= _NO_LIMIT * 10**decimals else amount


def read_status(text: str) -> Status:
    """Read a status; raises ``ValueError`` with what was expected."""
    if text not in _STATUSES:
        raise ValueError(f"a status: {', '.join(_STATUSES)}")
    return _STATUSES[text]


def read_role(text: str) -> Role:
    """Read a role; raises ``ValueError`` with what was expected."""
    try:
        return Role(text)
    except ValueError:
        raise ValueError(f"a role: {', '.join(Role)}") from None


def read_moment(text: str) -> Instant:
    """Read a date, with a time or none, as UTC.

    Raises:
        ValueError: no such moment; what was expected.
    """
    expected = "a time like 2020-11-23 14:05:00"
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(expected)
    hour, minute, second, part = found.groups()
    ms = int((part or "0").ljust(6, "0")) // 1000
    seconds = int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
    try:
        return Instant(_day_ms(text[:10]) + seconds * 1000 + ms)
    except ValueError:
        raise ValueError(expected) from None


@lru_cache(maxsize=1024)
def _day_ms(text: str) -> int:
    day = date.fromisoformat(text)
    if day.year not in _YEARS:
        raise ValueError("a year from 1970 to 2100")
    return (day.toordinal() - _EPOCH_DAY) * _DAY_MS


def plain(text: str) -> str:
    """Undo HTML's spelling and write text as we do: NFC, single spaces."""
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return _SPACES.sub(" ", text).strip()


def plain_memo(text: str) -> str:
    """Give a description as a memo; what no memo may hold is left out."""
    memo = plain(text)
    if not memo.isascii() or not memo.isprintable():
        memo = "".join(filter(_may_stand, memo))
    while len(memo) > MEMO_LENGTH_MAX or len(memo.encode()) > MEMO_BYTES_MAX:
        # Cut at the end, and seen to be.
        memo = memo[: min(len(memo), MEMO_LENGTH_MAX) - 2].rstrip() + "…"
    return memo


@lru_cache(maxsize=4096)
def _may_stand(character: str) -> bool:
    try:
        read_memo(character)
    except MalformedMessageError:
        # Also a mark that composes only with what stood before it.
        return unicodedata.combining(character) != 0
    return True
