"""Bugs that nobody planned for are found by the first seeds."""

import pytest

from tests.simulator import planted_hunted, swarm
from tests.simulator.planted import BUGS, planted

assert planted_hunted, "its import plants more bugs"
#: The others need more seeds: deploy/simulate --planted.
_QUICK = (
    "cap-late-by-one",
    "versions-swapped",
    "refund-groups-swapped",
    "payee-told-of-what-never-was",
    "root-of-before",
    "decided-at-own-clock",
)


@pytest.mark.parametrize("bug", _QUICK)
def test_a_slip_that_once_hid_is_found(bug: str) -> None:
    assert bug in BUGS
    for seed in range(1, 8):
        with planted(bug):
            if swarm.run(seed).failure:
                return
    raise AssertionError(f"{bug} hides from seven seeds")
