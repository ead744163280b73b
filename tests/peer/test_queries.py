"""What stands behind the "?" is read as strictly as a body."""

from typing import Annotated

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
