"""A failing seed is cut to a story that one reads at a glance, and that still fails."""

import pytest

from tests.simulator import planted_cycles, replay, shrink
from tests.simulator.planted import planted

assert planted_cycles, "its import plants more bugs"


@pytest.mark.parametrize(
    ("seed", "bug"),
    [(2, "restored-mark-unread"), (4, "excepted-group-settles")],
)
def test_a_seed_that_fails_is_cut_to_a_few_lines(seed: int, bug: str) -> None:
    with planted(bug):
        failure, script = shrink.shrink(seed, lambda *_: None)
        assert script is not None
        text = script.text()
        again = replay.play(replay.read(text)).failure
    assert len(text.splitlines()) <= 15, text
    assert shrink.promise(again) == shrink.promise(failure), text
    assert not replay.play(replay.read(text)).failure, "it is the bug that it tells of"


def test_a_seed_without_failure_has_nothing_to_shrink() -> None:
    assert shrink.shrink(1, lambda *_: None) == ("", None)


@pytest.mark.parametrize("seed", [1, 2, 9])
def test_a_script_plays_what_its_seed_has_played(seed: int) -> None:
    one = replay.swarmed(seed, is_told=True)
    written = replay.recorded(one.world, one.homes).text()
    assert replay.play(replay.read(written), is_told=True).lines == one.world.lines


def test_a_promise_is_the_same_whoever_it_was_broken_to() -> None:
    one = "marie at gent passes its floor -30: -31"
    assert shrink.promise(one) == shrink.promise("bob at luik passes its floor -9: -10")
    other = "bob at luik passes its ceiling 9: 10"
    assert shrink.promise(one) != shrink.promise(other)
