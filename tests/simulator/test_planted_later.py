"""Bugs that once hid from every seed are found by the first ones."""

import pytest

from tests.simulator import planted_later, swarm
from tests.simulator.planted import BUGS, planted

assert planted_later, "its import plants more bugs"
#: The others need more seeds: deploy/simulate --planted.
_QUICK = (
    "floor-too-early",
    "ceiling-too-early",
    "now-lasts-days",
    "key-of-anybody",
    "limits-forgotten",
    "told-before-durable",
    "refusal-without-reason",
    "cancels-what-waits",
)


@pytest.mark.parametrize("bug", _QUICK)
def test_a_bug_that_once_hid_is_found(bug: str) -> None:
    assert bug in BUGS
    for seed in range(1, 13):
        with planted(bug):
            if swarm.run(seed).failure:
                return
    raise AssertionError(f"{bug} hides from twelve seeds")
