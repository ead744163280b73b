"""A point in time as the protocol writes it: ``2026-11-23T02:59:01.123Z``.

Inside a server an instant is a count of milliseconds; on the wire and in files it
is this one text, so that two servers never write the same instant in two ways.
Nothing here knows what time it is: that is ``protocol.peer.clock``.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NewType

from protocol.errors import MalformedMessageError

#: Milliseconds since 1970-01-01 UTC, leap seconds not counted.
Instant = NewType("Instant", int)

#: The shape for a parser or a JSON schema; that the date exists, ``read_instant``
#: says. The tail is there because Python's ``$`` also stands before a last newline.
INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$(?!\n)"
)

_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_is_instant = re.compile(INSTANT_PATTERN).match

# Nearly every instant of a batch lies on one of a few days, and each is read several
# times. A dishonest peer can only make these forget, which costs a microsecond.
_DAYS_KEPT = 64
_READ_KEPT = 1024


def read_instant(text: str, field: str = "instant") -> Instant:
    """Read exactly what ``write_instant`` writes.

    Args:
        text: as received.
        field: where it stood, for the message of a failure.

    Raises:
        MalformedMessageError: another shape, or a day that is in no calendar.
    """
    try:
        return _read(text)
    except ValueError as error:
        raise MalformedMessageError(field, text, str(error)) from None


def write_instant(at: Instant) -> str:
    """Write an instant of the years 1 to 9999 as text."""
    day, ms = divmod(at, _DAY_MS)
    seconds, ms = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_write_day(day)}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"


def write_nullable(at: Instant | None) -> str | None:
    """Write an instant that is known, as text; ``None`` for one that is not."""
    return None if at is None else write_instant(at)


def to_datetime(at: Instant) -> datetime:
    """Give an instant the type that a ``timestamptz`` column takes."""
    # A timedelta made from whole numbers is exact; a timestamp would be a float.
    return _EPOCH + timedelta(milliseconds=at)


def from_datetime(at: datetime) -> Instant:
    """Take an instant from a ``timestamptz`` column; microseconds are cut off."""
    assert at.tzinfo is not None, "a timestamptz column always gives a zone"
    return Instant((at - _EPOCH) // timedelta(milliseconds=1))


def to_nullable(at: Instant | None) -> datetime | None:
    """Give what a ``timestamptz`` column takes that may be null."""
    return None if at is None else to_datetime(at)


def from_nullable(at: datetime | None) -> Instant | None:
    """Take an instant from a ``timestamptz`` column that may be null."""
    return None if at is None else from_datetime(at)


@lru_cache(_READ_KEPT)
def _read(text: str) -> Instant:
    if not _is_instant(text):
        raise ValueError("a time like 2026-11-23T02:59:01.123Z")
    try:
        day_ms = _read_day(text[:10])
    except ValueError:
        raise ValueError("a day of the calendar") from None
    seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    return Instant(day_ms + seconds * 1000 + int(text[20:23]))


@lru_cache(_DAYS_KEPT)
def _read_day(text: str) -> int:
    return (date.fromisoformat(text).toordinal() - _EPOCH_DAY) * _DAY_MS


@lru_cache(_DAYS_KEPT)
def _write_day(day: int) -> str:
    return date.fromordinal(_EPOCH_DAY + day).isoformat()
