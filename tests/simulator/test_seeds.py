"""What holds of seeds and planted bugs; the seeds themselves are in files beside.

Three files share them, so that two processes can: a run plays 300. A seed that fails
is shrunk to a story, and that stands in ``test_scenarios`` for ever: the number of a
seed means something else after every change of what seeds draw.
"""

import pytest

from tests.simulator import planted_keys, swarm
from tests.simulator.planted import BUGS, planted

assert planted_keys, "its import plants more bugs"

#: Bugs that the very first seeds find; all of them: deploy/simulate --planted.
_QUICK = (
    "floor-by-one",
    "hold-kept-on-refusal",
    "hub-entry-forgotten",
    "seals-before-comparing",
    "takes-before-comparing",
    "no-dedupe-of-envelopes",
    "identity-is-line-1",
    "torn-commit",
    "rounds-down",
    "old-key-still-counts",
    "key-by-kid-only",
    "seals-behind-change",
)


def test_a_seed_is_the_same_each_time() -> None:
    one, two = swarm.run(5, is_told=True), swarm.run(5, is_told=True)
    assert one.lines == two.lines and one.events == two.events


def test_a_seed_with_real_signatures_keeps_all_promises() -> None:
    assert not swarm.run(50).failure


@pytest.mark.parametrize("bug", _QUICK)
def test_a_planted_bug_is_found(bug: str) -> None:
    assert bug in BUGS
    for seed in range(1, 17):
        with planted(bug):
            if swarm.run(seed).failure:
                return
    raise AssertionError(f"{bug} hides from sixteen seeds")


def test_every_planted_bug_finds_its_place() -> None:
    for bug in BUGS:
        with planted(bug):
            pass
