"""Every order of events, to a small depth; ``deploy/simulate --exhaustive`` goes on.

A search that finds nothing must itself be tested: bugs are planted, and found.
"""

import pytest

from tests.simulator.model import search


@pytest.mark.parametrize(
    ("scene", "depth", "failures"),
    [("crossing", 6, 0), ("rivals", 5, 0), ("crossing", 4, 1)],
)
def test_every_order_of_events_keeps_all_promises(
    scene: str, depth: int, failures: int
) -> None:
    found = search(scene, depth, failures=failures)
    assert not found.failure, (found.failure, *found.steps)
    assert found.depth == depth
    assert found.states > 2_000, "so many were there; fewer means something is left out"


def test_a_search_is_the_same_each_time() -> None:
    one, two = search("rivals", 3), search("rivals", 3)
    assert one == two


@pytest.mark.parametrize(
    ("bug", "scene", "failures"),
    [
        ("hold-kept-on-refusal", "crossing", 0),
        ("hub-entry-forgotten", "crossing", 0),
        ("local-timeout", "crossing", 0),
        ("cancel-beats-decision", "crossing", 0),
        ("no-dedupe-of-envelopes", "crossing", 0),
        ("taken-not-kept", "crossing", 0),
        ("key-forgotten", "crossing", 0),
        ("group-limit-forgotten", "rivals", 0),
        ("reads-no-unacknowledged", "crossing", 1),
    ],
)
def test_a_planted_bug_is_found_by_the_search(
    bug: str, scene: str, failures: int
) -> None:
    found = search(scene, 4, failures=failures, bug=bug)
    assert found.failure and found.steps, f"{bug} hides from {found.states} states"
