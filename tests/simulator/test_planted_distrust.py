"""Bugs in a node's distrust of its hub are found by the first seeds that lie."""

import pytest

from tests.simulator import lie_swarm, planted_distrust, replay, swarm
from tests.simulator.planted import BUGS, planted
from tests.simulator.quick_keys import quick_keys

assert planted_distrust, "its import plants more bugs"
#: The others need more seeds: deploy/simulate --planted.
_QUICK = {
    "no-patience": 25,
    "waits-for-ever": 28,
    "charge-by-any-limit": 28,
    "bare-doubt": 60,
    "restated-is-enough": 76,
    "cover-uncompared": 90,
    "answer-of-anybody": 90,
}


@pytest.mark.parametrize("bug", _QUICK)
def test_a_bug_in_distrust_is_found(bug: str) -> None:
    assert bug in BUGS
    seed = _QUICK[bug]
    assert lie_swarm.is_watched(seed), "nodes watch the hub's log in it"
    assert not swarm.run(seed).failure
    with planted(bug):
        assert swarm.run(seed).failure


def test_a_seed_that_lies_is_played_again_from_its_text() -> None:
    with planted("waits-for-ever"):
        lived = replay.swarmed(76)
        text = replay.recorded(lived.world, lived.homes).text()
        assert "hub             lies " in text
        assert replay.play(replay.read(text)).failure == lived.failure


def test_each_lie_has_its_turn_among_the_seeds_of_every_run() -> None:
    dealt: set[str] = set()
    with quick_keys():
        for seed in filter(lie_swarm.is_watched, range(1, 301)):
            lies = swarm.Swarm(seed).lies
            assert lies is not None
            dealt.update(lies.alone.values())
    assert dealt == set(lie_swarm.DEALT)


def test_a_seed_that_nobody_watches_is_not_hunted_for_distrust() -> None:
    assert not BUGS["no-patience"].may_find(24)
    assert BUGS["no-patience"].may_find(25)
    assert BUGS["rounds-down"].may_find(24)
