"""Planted bugs in what treasurers do are found by the first seeds."""

import pytest

from tests.simulator import ledger_swarm, planted_ledger, swarm
from tests.simulator.planted import BUGS, planted

assert planted_ledger, "its import plants more bugs"
#: The others need more seeds: deploy/simulate --planted.
_QUICK = (
    "hand-key-forgotten",
    "hand-ceiling-netted",
    "undone-twice-in-a-batch",
    "undone-and-given-back",
    "limits-but-for-the-wrong",
    "reopened-without-limits",
    "standing-unnoted",
    "act-of-the-counter-entry",
)


@pytest.mark.parametrize("bug", _QUICK)
def test_a_bug_in_what_treasurers_do_is_found(bug: str) -> None:
    assert bug in BUGS
    for seed in filter(ledger_swarm.draw_of, range(1, 21)):
        with planted(bug):
            if swarm.run(seed).failure:
                return
    raise AssertionError(f"{bug} hides from the treasurers of twenty seeds")
