"""What people type into pages: read whole, and never thrown away.

Unlike a program's JSON, what a page sends is not refused because of a field too many:
links get words added on their way. What a field holds is judged by whoever needs it,
who can put a sentence beside it.
"""

import unicodedata
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from aiohttp import web

from protocol.errors import MalformedMessageError
from protocol.peer.web.problems import Problem
from protocol.peer.web.requests import read_body

FORM_LENGTH_MAX = 32 * 1024
_MEDIA_TYPE = "application/x-www-form-urlencoded"
_FIELDS_MAX = 100
#: What may travel in an address; servers read lines of 8 KiB.
_CARRIED_MAX = 7000
#: Never written into a page or an address again.
SECRET_FIELDS = frozenset({"password", "new_password", "code"})

T = TypeVar("T", bound=msgspec.Struct)


async def read_form(request: web.Request, kind: type[T]) -> T:
    """Read what was sent with a button; each field is text, "" when it is missing."""
    return fill(await read_pairs(request), kind)


def read_address_fields(request: web.Request, kind: type[T]) -> T:
    """Read what stands behind the ``?``, as ``read_form`` does."""
    return fill(_pairs(request.rel_url.raw_query_string), kind)


async def read_pairs(request: web.Request) -> dict[str, str]:
    """Give the fields of a form by name; the first counts."""
    if request.content_type != _MEDIA_TYPE:
        told = f"Found {request.content_type}; expected a form."
        raise Problem(415, "unsupported-media-type", told)
    raw = await read_body(request, FORM_LENGTH_MAX)
    try:
        return _pairs(raw.decode("ascii"))
    except UnicodeDecodeError:
        raise MalformedMessageError("form", "bytes", "a form in UTF-8") from None


def write_fields(path: str, fields: dict[str, str]) -> str:
    """Write an address that shows a form with these fields filled in."""
    kept = {
        name: text
        for name, text in fields.items()
        if text and name not in SECRET_FIELDS
    }
    query = urlencode(kept)
    return f"{path}?{query}" if query and len(query) <= _CARRIED_MAX else path


def _pairs(raw: str) -> dict[str, str]:
    try:
        found = parse_qsl(
            raw, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise MalformedMessageError("form", "bytes", "a form in UTF-8") from error
    pairs: dict[str, str] = {}
    for name, text in found:
        pairs.setdefault(name, _tidy(text))
    return pairs


def _tidy(text: str) -> str:
    """Write a text as this project keeps it, whatever device it was typed on."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in lines:
        raise MalformedMessageError("form", "U+0000", "text without it")
    return unicodedata.normalize("NFC", lines)


def fill(pairs: dict[str, str], kind: type[T]) -> T:
    """Put fields into a struct of texts; what was not sent is ""."""
    names = kind.__struct_fields__
    return kind(**{name: pairs.get(name, "") for name in names})
