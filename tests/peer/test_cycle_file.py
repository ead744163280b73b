"""Cycle files: what holds is told, and anything changed is not genuine."""

import json  # noqa: TID251 - another reader than ours
import pathlib
import time
from typing import Any

import msgspec
import pytest

from protocol import __main__ as program
from protocol import cycle_file as cycle_files
from protocol.address import RESERVE, FederationId, Group
from protocol.contradiction import find_contradiction
from protocol.cycle_file import (
    Target,
    complete_cycle_file,
    read_cycle_file,
    verify_cycle_file,
    write_cycle_file,
)
from protocol.errors import MalformedMessageError, NotSignedError, PeerError
from protocol.messages import DecisionName, write_line
from protocol.netting import Leg
from protocol.receipt import verify_receipt, write_receipt
from tests.peer.cycle_files import HOUR, MOVED, ClosedCycle, cycle_file, first_cycle
from tests.peer.makers import LOG, directory_decision, entry_of
from tests.peer.receipts import BRUSSEL
from tests.peer.wrong_cycle_files import WRONG
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
)
from tests.second_cycle_verifier import is_lie

DEINZE = Group("deinze")


@pytest.fixture(scope="module")
def made() -> ClosedCycle:
    return ClosedCycle()


@pytest.fixture(scope="module")
def raw(made: ClosedCycle) -> bytes:
    return cycle_file(made)


def told(raw: bytes) -> list[str]:
    found: list[str] = json.loads(raw)["told"]
    return found


def test_a_cycle_file_tells_every_position_and_who_has_signed_it(raw: bytes) -> None:
    proven = verify_cycle_file(raw, FEDERATION)
    assert proven.positions == {
        BRUSSEL: 2 * HOUR,
        MECHELEN: 2 * HOUR,
        OOSTENDE: -5 * HOUR,
        RESERVE: HOUR,
    }
    words = "\n".join(told(raw))
    for part in (
        "Interlets cycle: cycle 3 was closed.",
        "Signed in this file by 2 of the 3 groups that have a line.",
        "from -1:00:00.000 hours, paid 2:00:00.000 hours, received 5:00:00.000 hours, "
        "to 2:00:00.000 hours; signed by the group.",
        "to 2:00:00.000 hours; NOT signed: no answer of it is in this file.",
        "The reserve stands at 1:00:00.000 hours. All positions sum to zero.",
        "settles this: 2, and no plan has fewer; 4:00:00.000 hours in all.",
        "Leg: oostende to brussel, 2:00:00.000 hours.",
        "Shown the same log: brussel, mechelen; 2 of 3.",
        "but for what the reserve has: oostende -1:00:00.000 hours.",
    ):
        assert part in words
    assert raw.startswith(cycle_files.CYCLE_BEGINS)


def test_the_plan_follows_from_the_positions(raw: bytes) -> None:
    file = read_cycle_file(raw)
    assert file.targets == [
        Target(BRUSSEL, 0),
        Target(MECHELEN, 0),
        Target(OOSTENDE, -HOUR),
        Target(RESERVE, HOUR),
    ]
    assert file.legs == [
        Leg(OOSTENDE, BRUSSEL, 2 * HOUR),
        Leg(OOSTENDE, MECHELEN, 2 * HOUR),
    ]
    assert file.bound == 2


def test_who_was_left_out_stays_and_is_named() -> None:
    raw = write_cycle_file(ClosedCycle().file(excepted=[BRUSSEL]))
    proven = verify_cycle_file(raw, FEDERATION)
    assert proven.targets == {
        BRUSSEL: 2 * HOUR,
        MECHELEN: 0,
        OOSTENDE: -3 * HOUR,
        RESERVE: HOUR,
    }
    words = "\n".join(told(raw))
    for part in (
        "by the regional admin's word alone: brussel. They stay where they are.",
        "settles this: 1, and no plan has fewer; 2:00:00.000 hours in all.",
        "With these legs every other group stands at zero, but for what the reserve "
        "and these groups have: oostende -3:00:00.000 hours.",
    ):
        assert part in words
    raw = write_cycle_file(ClosedCycle().file(excepted=sorted(MOVED)))
    assert "There is nothing to settle." in told(raw)


def test_a_dispute_is_told_with_what_the_group_says(made: ClosedCycle) -> None:
    disputed = made.dispute(OOSTENDE, -4 * HOUR)
    raw = cycle_file(made, {OOSTENDE: {"answer": disputed}})
    verify_cycle_file(raw, FEDERATION)
    assert any(
        line.endswith(
            "NOT agreed: in this file it signed that by its own ledger it stands at "
            "-4:00:00.000 hours; it may have agreed since."
        )
        for line in told(raw)
    )


def test_what_was_left_out_of_a_file_is_not_denied(made: ClosedCycle) -> None:
    nothing = {"answer": None, "cover": None}
    raw = cycle_file(made, dict.fromkeys(MOVED, nothing))
    verify_cycle_file(raw, FEDERATION)
    words = "\n".join(told(raw))
    assert "Signed in this file by 0 of the 3 groups that have a line." in words
    assert words.count("no answer of it is in this file.") == 3
    assert "has not answered" not in words
    assert words.endswith("whether groups have signed more than is in this file.")


def test_a_group_that_came_since_is_told_too() -> None:
    made = ClosedCycle()
    made.add_group(entry_of(DEINZE))
    raw = cycle_file(made)
    verify_cycle_file(raw, FEDERATION)
    assert any(line.endswith("has no line in this cycle.") for line in told(raw))


def test_a_cycle_without_anything_to_settle_says_so() -> None:
    still = dict.fromkeys(MOVED, (0, 1, 1))
    raw = cycle_file(ClosedCycle(moved=still, reserve=0))
    assert verify_cycle_file(raw, FEDERATION).plan.legs == ()
    assert "There is nothing to settle." in told(raw)


def test_the_first_cycle_has_none_before_it() -> None:
    proven = verify_cycle_file(cycle_file(first_cycle()), FEDERATION)
    assert proven.decision.former is None


@pytest.mark.parametrize(
    ("figures", "count"),
    [((0, 0, 1), 1), ((0, 0, 1), HOUR), ((0, 1, 1), 2), ((0, 1, 1), 2 * HOUR)],
)
def test_a_move_is_of_a_millisecond_at_least(
    figures: tuple[int, int, int], count: int
) -> None:
    rest = figures[1] - figures[2]
    made = ClosedCycle(
        moved={MECHELEN: figures, OOSTENDE: (rest, 0, 0)},
        stated={MECHELEN: {"count": count}},
        reserve=0,
    )
    verify_cycle_file(cycle_file(made), FEDERATION)


def test_every_changed_bit_is_not_genuine(raw: bytes) -> None:
    # A third of the bytes in each run, one drawn bit of each.
    for place in range(len(raw) % 3, len(raw), 3):
        bad = bytearray(raw)
        bad[place] ^= 1 << (place * 7 % 8)
        with pytest.raises(PeerError):
            verify_cycle_file(bytes(bad), FEDERATION)


@pytest.mark.slow
@pytest.mark.parametrize("bit", range(8))
def test_every_changed_bit_whatsoever_is_not_genuine(raw: bytes, bit: int) -> None:
    for place in range(len(raw)):
        bad = bytearray(raw)
        bad[place] ^= 1 << bit
        with pytest.raises(PeerError):
            verify_cycle_file(bytes(bad), FEDERATION)


@pytest.mark.parametrize("lie", WRONG)
def test_a_lie_is_not_genuine_and_is_named(made: ClosedCycle, lie: str) -> None:
    reason, make = WRONG[lie]
    with pytest.raises(PeerError) as caught:
        verify_cycle_file(make(made), FEDERATION)
    assert reason in str(caught.value)


def test_one_key_for_two_groups_is_not_genuine() -> None:
    made = ClosedCycle()
    decision = directory_decision(entry_of(DEINZE, keys_of=BRUSSEL), keys_of=BRUSSEL)
    # No node would fold it; the directory of a file is the hub's bare word.
    taken = msgspec.structs.replace(made.directory[BRUSSEL], line=write_line(decision))
    made.directory = {**made.directory, DEINZE: taken}
    made.names = sorted(made.directory)
    with pytest.raises(NotSignedError, match="one key for two groups"):
        complete_cycle_file(made.bare_file())


def test_a_file_that_is_too_long_is_not_even_read(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycle_files, "CYCLE_LENGTH_MAX", len(raw))
    read_cycle_file(raw)
    monkeypatch.setattr(cycle_files, "CYCLE_LENGTH_MAX", len(raw) - 1)
    with pytest.raises(MalformedMessageError, match="at most 64 MiB"):
        read_cycle_file(raw)


def test_a_group_with_a_new_key_vouches_for_what_it_signed_before() -> None:
    made = ClosedCycle()
    made.change_keys(9)
    raw = cycle_file(made)
    verify_cycle_file(raw, FEDERATION)
    assert any(
        line.startswith("oostende signed with a former key,") for line in told(raw)
    )


def test_a_revoked_key_agrees_to_nothing_later() -> None:
    made = ClosedCycle()
    made.change_keys(1)
    with pytest.raises(NotSignedError, match="revoked"):
        complete_cycle_file(made.bare_file())


def run(*paths: pathlib.Path) -> int:
    return program.main([*map(str, paths), "--federation", FEDERATION])


def test_the_program_tells_a_cycle_file_by_itself(
    raw: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cycle-3.json"
    path.write_bytes(raw)
    assert run(path) == 0
    assert capsys.readouterr().out.splitlines() == ["Genuine.", *told(raw)]
    path.write_bytes(raw.replace(b'"bound":2', b'"bound":1'))
    assert run(path) == 1
    assert capsys.readouterr().err.startswith("NOT genuine: bound: ")


def test_a_cycle_closed_twice_is_the_hubs_lie(
    raw: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = ClosedCycle(moved=dict.fromkeys(MOVED, (0, 1, 1)), reserve=0)
    paths = tmp_path / "one.json", tmp_path / "other.json"
    paths[0].write_bytes(raw)
    paths[1].write_bytes(cycle_file(still))
    assert run(*paths) == 3
    assert "the hub closed cycle 3 twice" in capsys.readouterr().out
    assert run(paths[0], paths[0]) == 0


def test_a_cycle_and_a_receipt_of_one_log_contradict_nothing(raw: bytes) -> None:
    proven = verify_cycle_file(raw, FEDERATION)
    receipt = verify_receipt(write_receipt(ClosedCycle().receipt()), FEDERATION)
    assert find_contradiction(proven, receipt) is None
    assert find_contradiction(receipt, proven) is None


#: Where the first cycle of these tests ends, and the next one begins.
CLOSED = {BRUSSEL: (2, 0, 0), MECHELEN: (2, 0, 0), OOSTENDE: (-5, 0, 0)}


@pytest.mark.parametrize(
    ("moved", "changes", "lie"),
    [
        (CLOSED, {}, None),
        (CLOSED, {"cycle": 5}, None),
        (CLOSED, {"former": DecisionName(LOG, 4)}, "as the end of cycle 3"),
        (
            CLOSED | {BRUSSEL: (1, 0, 1)},
            {},
            "with brussel at 7200000 ms, and opened the next one with it at 3600000",
        ),
        (CLOSED | {DEINZE: (0, 0, 0)}, {}, None),
        (
            CLOSED | {DEINZE: (1, 1, 0)},
            {},
            "with deinze at 0 ms, and opened the next one with it at 3600000",
        ),
        (
            {OOSTENDE: (-5, 0, 4)},
            {},
            "with brussel at 7200000 ms, and opened the next one with it at 0",
        ),
    ],
)
def test_the_next_cycle_begins_where_one_ended(
    moved: dict[Group, tuple[int, int, int]], changes: dict[str, Any], lie: str | None
) -> None:
    made = ClosedCycle()
    following = made.next_cycle(moved, **changes)
    following.add_group(entry_of(DEINZE))
    files = [cycle_file(made), cycle_file(following)]
    one, other = (verify_cycle_file(raw, FEDERATION) for raw in files)
    for found in (find_contradiction(one, other), find_contradiction(other, one)):
        assert found is None if lie is None else lie in (found or "")
    assert is_lie(files[0], files[1], FEDERATION) == (lie is not None)
    assert is_lie(files[1], files[0], FEDERATION) == (lie is not None)


@pytest.mark.parametrize(("position", "is_lie_of_hub"), [(0, False), (2, True)])
def test_a_group_that_stood_somewhere_is_not_forgotten(
    position: int, is_lie_of_hub: bool
) -> None:
    made = ClosedCycle(
        moved={BRUSSEL: (position, 0, 0), MECHELEN: (1 - position, 0, 0)},
        reserve=-HOUR,
    )
    following = made.next_cycle({MECHELEN: (1 - position, 0, position)}, reserve=-HOUR)
    # The directory that it shows does not have Brussel any more.
    following.directory = {MECHELEN: made.directory[MECHELEN]}
    following.names = [MECHELEN]
    files = [cycle_file(made), cycle_file(following)]
    one, other = (verify_cycle_file(raw, FEDERATION) for raw in files)
    assert (find_contradiction(one, other) is not None) == is_lie_of_hub
    assert is_lie(files[0], files[1], FEDERATION) == is_lie_of_hub


def test_two_decisions_in_one_place_are_the_hubs_lie(raw: bytes) -> None:
    proven = verify_cycle_file(raw, FEDERATION)
    receipt = verify_receipt(write_receipt(ClosedCycle().receipt()), FEDERATION)
    here = msgspec.structs.replace(receipt.decision, number=proven.decision.number)
    moved = msgspec.structs.replace(receipt, decision=here)
    lie = find_contradiction(proven, moved)
    assert lie is not None and lie.startswith("the hub signed two decisions in log")


def test_another_federation_is_refused(raw: bytes) -> None:
    with pytest.raises(NotSignedError, match="federation"):
        verify_cycle_file(raw, FederationId("others" + FEDERATION[12:]))
    assert verify_cycle_file(raw, None).federation == FEDERATION


@pytest.mark.slow
def test_a_thousand_groups_are_verified_within_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = ClosedCycle(moved={}, reserve=0)
    names = [Group(f"g{place:04d}") for place in range(1000)]
    for name in names:
        made.add_group(entry_of(name))
    raw = cycle_file(made)
    before = time.process_time()
    verify_cycle_file(raw, FEDERATION)
    took = time.process_time() - before
    with capsys.disabled():
        print(f"\n{len(names)} groups, {len(raw):,} bytes: {took:.1f} s of computing")
    assert took < 10
