"""Seeds 201 to 300: a third of those that every run of the tests plays."""

from collections.abc import Callable

import pytest

from tests.simulator.seeds import play


@pytest.mark.parametrize("seed", range(201, 301))
def test_a_seed_keeps_all_promises(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    play(seed, record_property)
