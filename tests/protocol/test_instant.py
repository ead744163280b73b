import random
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated

import msgspec
import pytest

from protocol.errors import MalformedMessageError
from protocol.instant import (
    INSTANT_PATTERN,
    Instant,
    from_datetime,
    read_instant,
    to_datetime,
    write_instant,
)


def test_time_begins_in_1970() -> None:
    assert read_instant("1970-01-01T00:00:00.000Z") == 0
    assert write_instant(Instant(0)) == "1970-01-01T00:00:00.000Z"


def test_a_day_of_the_examples_is_the_day_that_python_knows() -> None:
    at = datetime(2026, 11, 23, 2, 59, 1, 123_000, tzinfo=UTC)
    assert read_instant("2026-11-23T02:59:01.123Z") == from_datetime(at)
    assert to_datetime(read_instant("2026-11-23T02:59:01.123Z")) == at


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
        "2000-02-29T12:00:00.000Z",
        "2024-02-29T00:00:00.001Z",
        "2026-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59.999Z",
    ],
)
def test_a_good_text_comes_back_unchanged(text: str) -> None:
    assert write_instant(read_instant(text)) == text
    assert re.search(INSTANT_PATTERN, text)


@pytest.mark.parametrize("seed", range(20))
def test_every_instant_comes_back_from_text_and_from_the_database(seed: int) -> None:
    draw = random.Random(seed)
    first = read_instant("0001-01-01T00:00:00.000Z")
    last = read_instant("9999-12-31T23:59:59.999Z")
    for _ in range(500):
        at = Instant(draw.randint(first, last))
        assert read_instant(write_instant(at)) == at
        assert from_datetime(to_datetime(at)) == at
        assert to_datetime(at) == datetime.fromisoformat(write_instant(at))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23t02:59:01.123Z",
        "2026-11-23T02:59:01.123z",
        "2026-11-23 02:59:01.123Z",
        "2026-11-23T02:59:01Z",
        "2026-11-23T02:59:01.12Z",
        "2026-11-23T02:59:01.1234Z",
        "2026-11-23T02:59:01,123Z",
        "2026-11-23T02:59:01.123",
        "2026-11-23T02:59:01.123+00:00",
        "2026-11-23T02:59:01.123Z\n",
        "2026-11-23T02:59:01.123Z ",
        " 2026-11-23T02:59:01.123Z",
        "2026-11-23T02:59:60.000Z",
        "2026-11-23T02:60:01.123Z",
        "2026-11-23T24:00:00.000Z",
        "2026-00-23T02:59:01.123Z",
        "2026-13-23T02:59:01.123Z",
        "2026-11-00T02:59:01.123Z",
        "2026-11-32T02:59:01.123Z",
        "12026-11-23T02:59:01.123Z",
        "-026-11-23T02:59:01.123Z",
        "20261123T025901.123Z",
        "2026-W48-1T02:59:01.123Z",
        "\u0662\u0660\u0662\u0666-11-23T02:59:01.123Z",
        "2026-11-23T02:59:01.12\uff13Z",
        "",
    ],
)
def test_another_shape_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError, match="made_at: cannot read"):
        read_instant(text, "made_at")
    assert not re.search(INSTANT_PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00.000Z",
        "1900-02-29T00:00:00.000Z",
        "2026-04-31T00:00:00.000Z",
        "0000-01-01T00:00:00.000Z",
    ],
)
def test_a_day_of_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError, match="a day of the calendar"):
        read_instant(text)


def test_a_message_type_can_demand_the_shape() -> None:
    shape = Annotated[str, msgspec.Meta(pattern=INSTANT_PATTERN)]
    assert msgspec.convert("2026-11-23T02:59:01.123Z", shape)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("2026-11-23T02:59:01.123Z\n", shape)


def test_a_database_in_another_zone_gives_the_same_instant() -> None:
    at = to_datetime(Instant(1_795_402_741_123))
    assert from_datetime(at.astimezone(timezone(timedelta(hours=2)))) == (
        1_795_402_741_123
    )
