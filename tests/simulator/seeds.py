"""One seed as a test, with its figures for the end of the run (``figures``)."""

import logging
from collections.abc import Callable

from tests.simulator import figures, swarm


def play(seed: int, record_property: Callable[[str, object], None]) -> None:
    """Play a seed, and fail with how to hear its story."""
    logging.disable(logging.CRITICAL)
    try:
        result = swarm.run(seed)
    finally:
        logging.disable(logging.NOTSET)
    one = figures.Figures()
    one.add(result)
    record_property(figures.PROPERTY, one.as_property())
    told = f"{result.failure}: sh deploy/simulate --seed {seed} --story"
    assert not result.failure, told
