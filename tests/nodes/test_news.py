"""The id of an event: read as it was written, and nothing else is one."""

import random

import pytest

from nodes.api.news import Place, read_place, write_place
from protocol.errors import MalformedMessageError


@pytest.mark.parametrize("seed", range(20))
def test_a_place_is_read_as_it_was_written(seed: int) -> None:
    draw = random.Random(seed)
    place = Place(draw.randrange(10 ** draw.randint(1, 18)), draw.randrange(10**18))
    assert read_place(write_place(place)) == place


def test_the_ends_of_the_range_are_places() -> None:
    for text in ("0.0", f"{10**18 - 1}.{10**18 - 1}"):
        assert write_place(read_place(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "0", "1.", ".1", "1.2.3", "-1.2", "1.-2", "+1.2", "1.2 ", " 1.2"),
        *("01.2", "1.02", "1e3.2", "1,2", "a.b", "1.2\n", "\u0661.2", "1.\u00b2"),
        *("1" * 19 + ".0", "0." + "1" * 19, "0x1.2", "1_0.2", "null", "1.2\x00"),
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError, match="Last-Event-ID"):
        read_place(text)


@pytest.mark.parametrize("seed", range(20))
def test_a_text_that_is_read_is_the_one_that_is_written(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(200):
        text = "".join(draw.choices("0123456789.", k=draw.randint(1, 8)))
        try:
            place = read_place(text)
        except MalformedMessageError:
            continue
        assert write_place(place) == text
