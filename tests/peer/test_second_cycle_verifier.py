"""Two verifiers and two planners by two hands say the same of every cycle."""

import json  # noqa: TID251 - another reader than ours
import pathlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.address import RESERVE, FederationId
from protocol.contradiction import find_contradiction
from protocol.cycle_file import (
    CycleFile,
    complete_cycle_file,
    describe_cycle,
    read_cycle_file,
    verify_cycle_file,
    write_cycle_file,
)
from protocol.errors import PeerError
from protocol.netting import default_targets, make_plan
from tests import second_cycle_verifier, second_verifier
from tests.peer.cycle_files import HOUR, MOVED, ClosedCycle, cycle_file, first_cycle
from tests.peer.forge import dumps, edits
from tests.peer.makers import entry_of, proof_of
from tests.peer.receipts import BRUSSEL
from tests.peer.wrong_cycle_files import DEINZE, WRONG
from tests.peer.wrong_receipts import OTHERS
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE
from tests.vectors import make

VECTORS = json.loads((make.FOLDER / "cycles.json").read_text(encoding="utf-8"))
GENUINE: dict[str, str] = VECTORS["genuine"]


def agreed(raw: bytes, federation: str = FEDERATION) -> bool:
    """Whether both say that a cycle file is genuine; they must not differ."""
    try:
        first = describe_cycle(verify_cycle_file(raw, FederationId(federation)))
    except PeerError:
        first = None
    try:
        second = second_cycle_verifier.verify_cycle(raw, federation)
    except second_verifier.NotGenuineError:
        second = None
    assert first == second
    return first is not None


def test_the_second_verifier_shares_nothing_with_the_first() -> None:
    source = pathlib.Path(second_cycle_verifier.__file__).read_text(encoding="utf-8")
    assert "protocol import" not in source
    assert "import protocol" not in source


@pytest.mark.parametrize("name", GENUINE)
def test_both_find_the_genuine_vectors_genuine(name: str) -> None:
    raw = GENUINE[name].encode()
    assert agreed(raw)
    assert agreed(raw.removesuffix(b"\n"))
    assert not agreed(raw, OTHERS)


@pytest.mark.parametrize("case", VECTORS["not_genuine"], ids=lambda case: case["told"])
def test_both_find_the_other_vectors_not_genuine(case: Any) -> None:
    whole = json.loads(GENUINE[VECTORS["not_genuine_of"]])
    assert not agreed(dumps(whole | case["replace"]).encode())


def lawful() -> dict[str, tuple[ClosedCycle, dict[Any, Any]]]:
    """What is unusual and still genuine."""
    since = ClosedCycle()
    since.add_group(entry_of(DEINZE), state="frozen")
    replaced = ClosedCycle()
    replaced.change_keys(9)
    still = ClosedCycle(moved=dict.fromkeys(MOVED, (0, 1, 1)), reserve=0)
    owes = ClosedCycle(
        moved={BRUSSEL: (0, 0, 2), MECHELEN: (0, 0, 5), OOSTENDE: (0, 4, 0)},
        reserve=-3 * HOUR,
    )
    none = ClosedCycle(moved={}, reserve=0)
    made = ClosedCycle()
    silent = {group: {"answer": None, "cover": None} for group in MOVED}
    disputes = {group: {"answer": made.dispute(group, -1)} for group in MOVED}
    return {
        "the first cycle": (first_cycle(), {}),
        "a group that came since": (since, {}),
        "a key that was replaced since": (replaced, {}),
        "nothing to settle": (still, {}),
        "a reserve that owes": (owes, {}),
        "no line at all": (none, {}),
        "all silent": (made, silent),
        "all dispute": (made, disputes),
    }


@pytest.mark.parametrize(
    "excepted",
    [
        *([], [BRUSSEL], [OOSTENDE], [MECHELEN, OOSTENDE], sorted(MOVED)),
        *([OOSTENDE] * 2, [OOSTENDE, MECHELEN], ["reserve"], ["nobody"], [""]),
        [DEINZE],
    ],
)
def test_they_agree_on_who_is_left_out(excepted: list[str]) -> None:
    is_lawful = excepted == sorted(set(excepted) & set(MOVED))
    assert proofs_agreed(ClosedCycle().bare_file(excepted=excepted)) == is_lawful


@pytest.mark.parametrize("name", lawful())
def test_both_find_what_is_unusual_genuine(name: str) -> None:
    made, lines = lawful()[name]
    assert agreed(cycle_file(made, lines))


def test_they_agree_on_changed_bits() -> None:
    raw = GENUINE["two groups agree"].encode()
    for place in range(0, len(raw), 17):
        bad = bytearray(raw)
        bad[place] ^= 1 << (place * 5 % 8)
        assert not agreed(bytes(bad))
    assert not any(agreed(raw[:end]) for end in range(0, len(raw) - 1, 411))


@pytest.mark.parametrize(
    "stride", [29, pytest.param(1, marks=pytest.mark.slow)], ids=str
)
def test_they_agree_on_edited_files(stride: int) -> None:
    for told, text in list(edits(json.loads(GENUINE["two groups agree"])))[::stride]:
        genuine = agreed(text.encode("utf-8", "surrogatepass"))
        assert genuine == (told == "a newline behind"), told


def proofs_agreed(file: CycleFile) -> bool:
    """The same before targets, plan and words, which would hide that they differ."""
    try:
        whole = complete_cycle_file(file)
    except PeerError:
        whole = None
    shape = second_cycle_verifier.CYCLE
    try:
        raw = write_cycle_file(file)
        second_cycle_verifier.Lines(second_verifier.open_file(raw, shape), FEDERATION)
        second = True
    except second_verifier.NotGenuineError:
        second = False
    assert second == (whole is not None)
    return whole is not None and agreed(write_cycle_file(whole))


def edited(what: str) -> Iterator[tuple[str, CycleFile]]:
    """Edit one signed document in every way, and make all around it fit."""
    made = ClosedCycle()
    documents = {
        "statement": made.statements[MECHELEN],
        "close": made.leaves[made.ended.number],
        "agree": made.agree(MECHELEN).line.encode(),
        "dispute": made.dispute(MECHELEN, HOUR).line.encode(),
    }
    for told, text in edits(json.loads(documents[what])):
        raw = text.encode("utf-8", "surrogatepass")
        try:
            raw.decode()
        except UnicodeDecodeError:
            continue
        if what == "statement":
            yield told, ClosedCycle(raw={MECHELEN: raw}).bare_file()
        elif what == "close":
            yield told, ClosedCycle(raw={"close": raw}).bare_file()
        else:
            proof = proof_of(raw, MECHELEN)
            yield told, made.bare_file({MECHELEN: {"answer": proof}})


@pytest.mark.parametrize("what", ["statement", "close", "agree", "dispute"])
@pytest.mark.parametrize(
    "stride", [7, pytest.param(1, marks=pytest.mark.slow)], ids=str
)
def test_they_agree_on_edited_documents_that_are_signed_again(
    what: str, stride: int
) -> None:
    cases = list(edited(what))[::stride]
    found = {told: proofs_agreed(file) for told, file in cases}
    assert 0 < sum(found.values()) < len(found) - 3


FIGURES = ("opening", "debits", "credits", "count", "closing", "held_out", "held_in")


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("value", [-(2**53), 1 - 2**53, -1, 0, 1, 2**53 - 1, 2**53])
def test_they_agree_on_every_number_that_a_line_may_have(name: str, value: int) -> None:
    made = ClosedCycle(stated={MECHELEN: {name: value}})
    proofs_agreed(made.bare_file())


@pytest.mark.parametrize("lie", WRONG)
def test_they_find_every_lie_before_they_compare_words(lie: str) -> None:
    _, make_wrong = WRONG[lie]
    file = read_cycle_file(make_wrong(ClosedCycle()))
    # Those with words are lies about what follows, under proofs that hold.
    if not file.told:
        assert not proofs_agreed(file)


def test_both_say_that_a_cycle_was_closed_twice() -> None:
    files = [
        cycle_file(ClosedCycle()),
        cycle_file(ClosedCycle(), {OOSTENDE: {"answer": None}}),
        cycle_file(ClosedCycle(moved=dict.fromkeys(MOVED, (0, 1, 1)), reserve=0)),
    ]
    found = set()
    for one in files:
        for other in files:
            proven = [verify_cycle_file(raw, FEDERATION) for raw in (one, other)]
            lie = find_contradiction(*proven)
            second = second_cycle_verifier.is_lie(one, other, FEDERATION)
            assert second == (lie is not None)
            found.add(second)
    assert found == {True, False}


def planned_alike(positions: dict[str, int], excepted: tuple[str, ...] = ()) -> None:
    targets = default_targets(positions, excepted)
    assert targets == second_cycle_verifier.targets_of(positions, excepted)
    plan = make_plan(positions, targets)
    legs = [(leg.debtor, leg.creditor, leg.milliseconds) for leg in plan.legs]
    assert (legs, plan.bound) == second_cycle_verifier.plan(positions, targets)


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.integers(-9, 9), st.integers(-(10**12), 10**12)), max_size=9),
    st.integers(-20, 20),
    st.sets(st.integers(0, 8)),
)
def test_both_plan_the_same_legs(
    amounts: list[int], reserve: int, left_out: set[int]
) -> None:
    positions = {f"g{place}": amount for place, amount in enumerate(amounts)}
    excepted = [f"g{place}" for place in left_out if place < len(amounts)]
    positions |= {"z-rest": -sum(amounts) - reserve, RESERVE: reserve}
    planned_alike(positions)
    planned_alike(positions, tuple(excepted))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("groups", [12, 17, 40, 120])
def test_both_plan_the_same_legs_for_many(groups: int, seed: int) -> None:
    draw = random.Random(seed)
    span = draw.choice([6, 60, 1_000, 10**9])
    positions = {
        f"g{draw.randrange(10**6)}": draw.randint(-span, span) for _ in range(groups)
    }
    reserve = draw.choice([0, span // 2, -span])
    positions |= {"a-rest": -sum(positions.values()) - reserve, RESERVE: reserve}
    planned_alike(positions)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [998, 999, 1_000, 1_001])
def test_both_plan_the_same_legs_around_the_bound_for_threes(groups: int) -> None:
    draw = random.Random(groups)
    positions = {f"g{place}": draw.randint(-4_000, 4_000) for place in range(groups)}
    positions |= {"a-rest": -sum(positions.values()), RESERVE: 0}
    planned_alike(positions)
