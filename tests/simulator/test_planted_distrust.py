"""Bugs in a node's distrust of its hub are found by the first seeds that lie."""

import pytest

from tests.simulator import lie_swarm, planted_distrust, replay, swarm
from tests.simulator.planted import BUGS, planted

assert planted_distrust, "its import plants more bugs"
#: The others need more seeds: deploy/simulate --planted.
_QUICK = {"no-patience": 25, "waits-for-ever": 28, "restated-is-enough": 76}


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
        lived = replay.swarmed(28)
        text = replay.recorded(lived.world, lived.homes).text()
        assert "hub             lies " in text
        assert replay.play(replay.read(text)).failure == lived.failure
