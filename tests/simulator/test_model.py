"""Every order of events, to a small depth; ``sh deploy/simulate --exhaustive`` goes deeper.

A search that finds nothing must itself be tested: bugs are planted, and found.
"""

import pytest

from tests.simulator.model import search
from tests.simulator.planted import BUGS, planted


@pytest.mark.parametrize(
    ("scene", "depth", "failures"),
    [("crossing", 6, 0), ("rivals", 6, 0), ("crossing", 4, 1), ("rivals", 4, 1)],
)
def test_every_order_of_events_keeps_all_promises(
    scene: str, depth: int, failures: int
) -> None:
    found = search(scene, depth, failures=failures)
    assert not found.failure, (found.failure, *found.steps)
    assert found.depth == depth
    assert found.states > 2_000, "so many were there; fewer means something is left out"


def test_without_failures_and_with_one_payment_called_off_the_search_is_the_same() -> (
    None
):
    one, two = search("crossing", 4, failures=0), search("crossing", 4, failures=0)
    assert one == two
