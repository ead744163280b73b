"""What stands behind the "?" is read as strictly as a body."""

from typing import Annotated, Literal

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from msgspec import Meta

from protocol.errors import MalformedMessageError
from protocol.peer.web.requests import read_query


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number, and text that may be missing."""

    page_size: Annotated[int, Meta(ge=0, le=200)] = 50
    text: str | None = None


def read(raw: str) -> Query:
    return read_query(make_mocked_request("GET", f"/here{raw}"), Query)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", Query()),
        ("?", Query()),
        ("?page_size=0", Query(0)),
        ("?page_size=200", Query(200)),
        ("?text=", Query(text="")),
        # A word that other readers take for nothing, or for a number.
        ("?text=null", Query(text="null")),
        ("?text=12", Query(text="12")),
        ("?text=1e1&page_size=7", Query(7, "1e1")),
        (
            "?text=twee+eieren%20%26%20%C3%A9%C3%A9n%2B",
            Query(text="twee eieren & één+"),
        ),
    ],
)
def test_a_query_is_what_it_says(raw: str, expected: Query) -> None:
    assert read(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        *("?page_size=1e1", "?page_size=1.0", "?page_size=+1", "?page_size=01"),
        *("?page_size=-1", "?page_size=201", "?page_size=null", "?page_size="),
        *("?page_size=%D9%A1", "?page_size=true", "?page_size=" + "9" * 5000),
        *("?text", "?text=a&text=b", "?page_size=1&page_size=1", "?else=1", "?=1"),
        *("?text=a&", "?text=%FF", "?text=%ED%A0%80", "?text=%00", "?text=%E2%80%AE"),
    ],
)
def test_a_query_that_could_be_read_in_two_ways_is_refused(raw: str) -> None:
    with pytest.raises(MalformedMessageError):
        read(raw)


class Wishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of each that queries hold."""

    to: Annotated[str, Meta(min_length=1, max_length=3)]
    by: Literal["name", "address"] = "name"
    after: Annotated[int, Meta(ge=1)] = 1
    id: Annotated[str, Meta(pattern=r"^[a-z]+$")] | None = None
    page_size: Annotated[int, Meta(ge=1, le=200)] = 50


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (
            "to=a&page_size=201",
            "page_size: cannot read 201; expected a whole number from 1 to 200",
        ),
        ("to=a&after=0", "after: cannot read 0; expected a whole number from 1"),
        ("to=a&by=x", "by: cannot read 'x'; expected one of address, name"),
        ("to=abcd", "to: cannot read 'abcd'; expected 1 to 3 characters"),
        ("", "to: cannot read ''; expected 1 to 3 characters"),
        ("to=a&id=1", "id: cannot read '1'; expected text of the form ^[a-z]+$"),
        (
            "to=a&else=1",
            "query: cannot read 'else'; expected only: to, by, after, id, page_size",
        ),
    ],
)
def test_a_query_is_refused_in_words_for_people(raw: str, told: str) -> None:
    with pytest.raises(MalformedMessageError) as refused:
        read_query(make_mocked_request("GET", f"/here?{raw}"), Wishes)
    assert str(refused.value) == told
