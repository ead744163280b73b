"""Planted bugs about leaving, sharing and the charge are found by the first seeds."""

import pytest

from tests.simulator import life_swarm, planted_lives, swarm
from tests.simulator.planted import BUGS, planted

assert planted_lives, "its import plants more bugs"
#: The others need more seeds: deploy/simulate --planted.
_QUICK = ("charge-behind-the-close", "part-of-another")


@pytest.mark.parametrize("bug", _QUICK)
def test_a_bug_about_groups_lives_is_found(bug: str) -> None:
    assert bug in BUGS
    for seed in filter(life_swarm.draw_of, range(1, 31)):
        with planted(bug):
            if swarm.run(seed).failure:
                return
    raise AssertionError(f"{bug} hides from the lives of thirty seeds")
