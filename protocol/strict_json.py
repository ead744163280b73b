"""JSON read strictly: one meaning for everybody, or an error.

Refused besides what is not JSON: unknown fields, duplicate names, floats, ``-0``,
numbers beyond 2^53-1, lone surrogates, depth over 8, a byte order mark
(protocol, section 4). msgspec checks names and types; what it would let pass is
looked for here.
"""

import json
from typing import TypeVar

import msgspec

from protocol.errors import MalformedMessageError

INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 8

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def write(value: object) -> bytes:
    """Write without spaces, fields in the struct's order."""
    return _encoder.encode(value)


def read(raw: bytes, decoder: msgspec.json.Decoder[T], field: str) -> T:
    """Read one JSON document strictly.

    Args:
        raw: the exact bytes received.
        decoder: of a struct that forbids unknown fields.
        field: what is being read, for the error.

    Raises:
        MalformedMessageError: what was found, and where.
    """
    try:
        value = decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MalformedMessageError(field, str(error)) from None
    # What we would have written ourselves, byte for byte, can hold no duplicate,
    # no float and no odd spelling; everything else takes the slow road.
    try:
        if _encoder.encode(value) == raw:
            return value
    except UnicodeError:
        pass
    check(raw, field)
    return value


def check(raw: bytes, field: str) -> object:
    """Refuse JSON that two readers could understand differently.

    Returns:
        The document as Python's own reader sees it.

    Raises:
        MalformedMessageError: with the first thing that is wrong.
    """
    try:
        text = raw.decode("utf-8")
        document: object = json.loads(
            text,
            object_pairs_hook=lambda pairs: _without_duplicates(pairs, field),
            parse_int=lambda digits: _integer(digits, field),
            parse_float=lambda digits: _no_float(digits, field),
            parse_constant=lambda name: _no_float(name, field),
        )
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(field, str(error), "strict JSON") from None
    _check_depth_and_text(document, field, 1)
    return document


def _without_duplicates(
    pairs: list[tuple[str, object]], field: str
) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedMessageError(
            field, [name for name, _ in pairs], "each name once"
        )
    return found


def _integer(digits: str, field: str) -> int:
    if digits == "-0" or len(digits) > 17 or abs(int(digits)) > INTEGER_MAX:
        raise MalformedMessageError(field, digits, "a whole number up to 2^53-1")
    return int(digits)


def _no_float(digits: str, field: str) -> float:
    raise MalformedMessageError(field, digits, "a whole number without fraction")


def _check_depth_and_text(value: object, field: str, depth: int) -> None:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedMessageError(
                field, value, "text without lone surrogates"
            ) from None
        return
    if not isinstance(value, dict | list):
        return
    if depth > DEPTH_MAX:
        raise MalformedMessageError(field, "deep nesting", f"depth up to {DEPTH_MAX}")
    if isinstance(value, dict):
        for name in value:
            _check_depth_and_text(name, field, depth + 1)
        value = list(value.values())
    for member in value:
        _check_depth_and_text(member, field, depth + 1)
