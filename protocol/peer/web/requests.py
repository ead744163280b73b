"""Bodies read strictly, and who is asking."""

import asyncio
import re
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from msgspec import inspect

from protocol import address, strict_json
from protocol.errors import MalformedMessageError
from protocol.peer.access_store import Caller
from protocol.peer.reading import read_up_to
from protocol.peer.web.problems import Problem

#: Largest body of the people's API, bytes.
JSON_LENGTH_MAX = 64 * 1024
#: A body must be here within so many seconds, or its sender is only holding us up.
BODY_S_MAX = 30
#: Longest that a person or program may have us wait with an answer, seconds.
WAIT_S_MAX = 30
#: Under this name a request carries who asks, once that is known.
CALLER = web.RequestKey("caller", Caller)
#: How JSON writes U+0000: an odd number of backslashes before it. No database keeps it.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
#: A whole number as people write it, small enough for JSON.
_DIGITS = re.compile(r"0|[1-9][0-9]{0,14}")

T = TypeVar("T")


async def read_json(
    request: web.Request,
    decoder: msgspec.json.Decoder[T],
    length_max: int = JSON_LENGTH_MAX,
) -> T:
    """Read a JSON body strictly; every mistake is a 4xx that says what it is."""
    raw = await read_json_bytes(request, length_max)
    return strict_json.read(raw, decoder, "body")


async def read_json_bytes(
    request: web.Request, length_max: int = JSON_LENGTH_MAX
) -> bytes:
    """Give the exact bytes of a body that says it is JSON, without reading it."""
    if request.content_type != "application/json":
        raise Problem(
            415,
            "unsupported-media-type",
            f"Found {request.content_type}; expected application/json.",
        )
    raw = await read_body(request, length_max)
    if _NUL.search(raw):
        raise MalformedMessageError("body", "U+0000", "text without it")
    return raw


async def read_body(request: web.Request, length_max: int) -> bytes:
    """Read a body up to a length; refuses every Content-Encoding."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(
            415, "unsupported-encoding", "Bodies are sent without Content-Encoding."
        )
    if (request.content_length or 0) > length_max:
        raise Problem(413, "too-large", f"A body here is at most {length_max} bytes.")
    try:
        async with asyncio.timeout(BODY_S_MAX):
            raw = await read_up_to(request.content, length_max)
    except TimeoutError:
        told = f"The body did not come within {BODY_S_MAX} seconds."
        raise Problem(408, "too-slow", told) from None
    if raw is None:
        raise Problem(413, "too-large", f"A body here is at most {length_max} bytes.")
    return raw


def read_query(request: web.Request, kind: type[T]) -> T:
    """Read what stands behind the ``?`` strictly: known names, each once.

    Args:
        request: any.
        kind: a struct that forbids unknown fields; its numbers are whole numbers in
            plain digits, and every other value is the text that it is.

    Raises:
        MalformedMessageError: what was found, and what was expected.
    """
    pairs = _read_pairs(request.rel_url.raw_query_string)
    values: dict[str, object] = dict(pairs)
    if len(values) != len(pairs):
        raise MalformedMessageError("query", [name for name, _ in pairs], "each once")
    for name, text in pairs:
        if not (name + text).isprintable():
            raise MalformedMessageError("query", name, "printable characters")
    # msgspec's own reading of text is looser: "1e1" is 10 to it, and "null" nothing.
    for name in _numbers_of(kind) & values.keys():
        text = str(values[name])
        if not _DIGITS.fullmatch(text):
            raise MalformedMessageError(name, text, "a whole number in digits")
        values[name] = int(text)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _in_words(str(error), values, kind) from None


def _in_words(
    told: str, values: dict[str, object], kind: object
) -> MalformedMessageError:
    """Say what is wrong with a query in words for people, not in those of a schema."""
    fields = {field.encode_name: field for field in _fields_of(kind)}
    for name in values:
        if name not in fields:
            known = ", ".join(fields) or "nothing"
            return MalformedMessageError("query", name, f"only: {known}")
    for name, field in fields.items():
        if name not in values:
            if field.required:
                return MalformedMessageError(name, "", _expected(field.type))
        elif told.endswith(f"`$.{name}`"):
            return MalformedMessageError(name, values[name], _expected(field.type))
    return MalformedMessageError("query", list(values), "values that fit together")


def _expected(kind: inspect.Type) -> str:
    """Say in a few words what a value of a query may be."""
    match kind:
        case inspect.IntType(ge=int(least), le=int(most)):
            return f"a whole number from {least} to {most}"
        case inspect.IntType(ge=int(least)):
            return f"a whole number from {least}"
        case inspect.IntType():
            return "a whole number"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.StrType(max_length=int(most)):
            return f"{kind.min_length or 0} to {most} characters"
        case inspect.StrType(pattern=str(form)):
            return f"text of the form {form}"
        case inspect.UnionType(types=types):
            others = (one for one in types if not isinstance(one, inspect.NoneType))
            return " or ".join(map(_expected, others))
        case _:
            return "text"


def _read_pairs(raw: str) -> list[tuple[str, str]]:
    """Take a query apart as forms are written; bytes that are no UTF-8 are no text."""
    if not raw:
        return []
    try:
        return parse_qsl(
            raw, keep_blank_values=True, strict_parsing=True, errors="strict"
        )
    except ValueError as error:
        raise MalformedMessageError(
            "query", raw, "name=value pairs in UTF-8"
        ) from error


def _numbers_of(kind: object) -> frozenset[str]:
    """Name a struct's fields that are whole numbers."""
    return frozenset(
        field.encode_name
        for field in _fields_of(kind)
        if isinstance(field.type, inspect.IntType)
    )


def _fields_of(kind: object) -> tuple[inspect.Field, ...]:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType), "queries are read into structs"
    return found.fields


def caller_of(request: web.Request) -> Caller:
    """Give who asks, as the door let them in."""
    return request[CALLER]


def idempotency_key(request: web.Request) -> str:
    """Give the name that the caller has given to what she wants.

    Raises:
        MalformedMessageError: none, several, or not one that can be kept.
    """
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) != 1:
        raise MalformedMessageError("Idempotency-Key", keys, "one such header")
    return address.read_idempotency_key(keys[0])


def wait_preference(request: web.Request, most: int = WAIT_S_MAX) -> int:
    """Read ``Prefer: wait=N`` (RFC 7240, section 4.3), seconds; 0 when absent."""
    for preference in ",".join(request.headers.getall("Prefer", [])).split(","):
        name, _, value = preference.partition(";")[0].strip().partition("=")
        if name.lower() == "wait" and value.isdecimal() and len(value) <= 4:
            return min(int(value), most)
    return 0


def json_response(value: object, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
