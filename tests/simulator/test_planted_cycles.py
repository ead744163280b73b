"""Planted bugs about cycles are found by the first seeds."""

import pytest

from tests.simulator import planted_cycles, swarm
from tests.simulator.planted import BUGS, planted

assert planted_cycles, "its import plants more bugs"
#: The others need more seeds: deploy/simulate --planted.
_QUICK = ("books-on-its-own-word", "settled-on-one-word", "void-leg-books")


@pytest.mark.parametrize("bug", _QUICK)
def test_a_bug_about_cycles_is_found(bug: str) -> None:
    assert bug in BUGS
    for seed in range(1, 13):
        with planted(bug):
            if swarm.run(seed).failure:
                return
    raise AssertionError(f"{bug} hides from twelve seeds")
