"""Seeds 1 to 100: a third of those that every run of the tests plays."""

from collections.abc import Callable

import pytest

from tests.simulator.seeds import play


@pytest.mark.parametrize("seed", range(1, 101))
def test_a_seed_keeps_all_promises(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    play(seed, record_property)
