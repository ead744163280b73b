"""Which entry of a group may follow which; hub and nodes ask the same."""

from typing import Any

import msgspec
import pytest

from protocol.directory import (
    GroupRecord,
    check_proposal,
    check_succession,
    fold,
    rate_of_hour,
    units_per_hour,
)
from protocol.errors import MalformedMessageError
from protocol.messages import EntryUnit, GroupEntry, write_line
from protocol.unit import minutes_per_unit
from tests.peer.makers import directory_decision, directory_of, entry_of
from tests.protocol.makers import FEDERATION, OOSTENDE

BLUSSER, FASTER = 180_000, 120_000


def record() -> GroupRecord:
    return directory_of()[OOSTENDE]


def asked(*rates: int, **changes: Any) -> GroupEntry:
    """The entry that Oostende asks for: version 2, and a new rate beside the old."""
    fields: dict[str, Any] = {"version": 2}
    return entry_of(OOSTENDE, *(rates or (BLUSSER, FASTER)), **(fields | changes))


def other_unit(**changes: Any) -> EntryUnit:
    return msgspec.structs.replace(record().entry.unit, **changes)


GOOD = {
    "a new rate": asked(),
    "another name": asked(BLUSSER, name="Ruilkring Oostende"),
    "other words": asked(BLUSSER, unit=other_unit(plural="blussers!")),
    "all at once": asked(name="Kring", unit=other_unit(symbol="bl.")),
}
WRONG = {
    "nothing new": asked(BLUSSER),
    "the present version": asked(version=1),
    "a version left out": asked(version=3),
    "two new rates": asked(BLUSSER, FASTER, 100_000),
    "the same rate again": asked(BLUSSER, BLUSSER),
    "an old rate changed": asked(FASTER, 100_000),
    "the old rate gone": entry_of(OOSTENDE, FASTER, version=2),
    "other keys": asked(keys_of="an impostor"),
    "other decimals": asked(unit=other_unit(decimals=2)),
}


@pytest.mark.parametrize("entry", GOOD.values(), ids=GOOD.keys())
def test_a_group_may_ask_for_a_new_rate_and_other_words(entry: GroupEntry) -> None:
    check_proposal(record(), entry)


@pytest.mark.parametrize("entry", WRONG.values(), ids=WRONG.keys())
def test_a_group_may_not_ask_for_what_can_never_be(entry: GroupEntry) -> None:
    with pytest.raises(MalformedMessageError):
        check_proposal(record(), entry)


def test_nobody_folds_an_entry_with_other_decimals() -> None:
    entry = asked(unit=other_unit(decimals=1))
    with pytest.raises(MalformedMessageError, match=r"decimals.*0, as before"):
        check_succession(record(), entry)
    decision = directory_decision(entry)
    with pytest.raises(MalformedMessageError):
        fold(directory_of(), decision, write_line(decision), FEDERATION)


def test_a_decision_may_tell_the_same_entry_with_other_limits() -> None:
    decision = directory_decision(record().entry, state="frozen", floor=-1, ceiling=0)
    folded = fold(directory_of(), decision, write_line(decision), FEDERATION)
    found = folded[OOSTENDE]
    assert (found.state, found.floor, found.ceiling) == ("frozen", -1, 0)
    assert found.entry == record().entry


@pytest.mark.parametrize(
    ("per_hour", "decimals", "minutes"),
    [(20, 0, "3"), (60, 0, "1"), (30, 0, "2"), (20, 2, "3"), (7, 0, "8.5714")],
)
def test_a_rate_is_shown_as_people_gave_it(
    per_hour: int, decimals: int, minutes: str
) -> None:
    rate = rate_of_hour(per_hour, decimals)
    assert units_per_hour(rate, decimals) == str(per_hour)
    assert minutes_per_unit(rate, decimals) == minutes


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_what_a_group_said_is_what_is_shown(decimals: int) -> None:
    # From some 190 an hour on, two numbers may be one rate of whole milliseconds.
    for per_hour in range(1, 185):
        rate = rate_of_hour(per_hour, decimals)
        assert units_per_hour(rate, decimals) == str(per_hour)


def test_a_rate_that_is_no_whole_number_is_shown_with_four_decimals() -> None:
    assert units_per_hour(540_000, 0) == "6.6667"
    assert minutes_per_unit(1, 0) == "0"
