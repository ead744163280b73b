"""Seeds 101 to 200: a third of those that every run of the tests plays."""

from collections.abc import Callable

import pytest

from tests.simulator.seeds import play


@pytest.mark.parametrize("seed", range(101, 201))
def test_a_seed_keeps_all_promises(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    play(seed, record_property)
