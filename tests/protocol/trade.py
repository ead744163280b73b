"""Made-up trade between groups, skewed as real trade is: a few groups do most of it."""

import random
from collections.abc import Iterator


def skewed(groups: int, transfers: int, seed: int) -> Iterator[tuple[str, str, int]]:
    """Draw transfers; who pays much is not who receives much."""
    draw = random.Random(seed)
    names = [f"g{place:05d}" for place in range(groups)]
    weights = [1 / (place + 1) ** 0.8 for place in range(groups)]
    payers = draw.choices(names, weights, k=transfers)
    draw.shuffle(weights)
    payees = draw.choices(names, weights, k=transfers)
    for payer, payee in zip(payers, payees, strict=True):
        if payer != payee:
            yield payer, payee, int(draw.lognormvariate(15, 1)) + 1
