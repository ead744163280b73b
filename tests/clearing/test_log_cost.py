"""What the log costs the hub for each decision, beside a signature in the same run.

``-m slow -s`` prints the table. A noisy machine is noisy for both, so what is asserted
is the ratio; the CPU's microseconds are for people (docs/operating.md).
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from clearing.house import HubHouse
from clearing.rules import AppendDecision
from protocol.checkpoint import write_checkpoint
from protocol.directory import Directory
from protocol.messages import TransferDecision, write_line
from tests.peer.federation import identity, keys_of
from tests.peer.makers import LOG, directory_of
from tests.protocol.makers import AT, ID, hash_of, signing_key

ROUNDS = 7
DECISIONS = 2048
#: As many as a signature takes, in the least favourable batch that is asserted.
RATIO_MAX = 0.5


def decision(number: int) -> bytes:
    return write_line(
        TransferDecision(
            log=LOG,
            number=number,
            at=AT,
            id=ID,
            prepare=hash_of("prepare"),
            answer=hash_of("answer"),
            outcome="cleared",
            code=None,
        )
    )


class Deciding:
    """A hub in a long log: what it does for the log alone, batch after batch."""

    def __init__(self, directory: Directory) -> None:
        self.house = HubHouse(keys_of("hub"), identity())
        self.house._know(directory)
        # Its edge is as long as it can be: each batch folds all of it.
        for number in range((1 << 17) - 1):
            self.house._frontier.append(number.to_bytes(32, "big"))
        start = self.house._frontier.size
        self.lines = [decision(start + place) for place in range(DECISIONS)]

    def decide(self, at_once: int) -> None:
        house: Any = self.house
        before = house._frontier
        start = before.size
        for first in range(0, DECISIONS, at_once):
            view = house.begin(LOG)
            for line in self.lines[first : first + at_once]:
                view.apply_house(AppendDecision(LOG, view.size, line))
            stated = house._state(view)
            assert write_checkpoint(stated, house.signing_key)
            house._frontier = view.frontier
        assert house._frontier.size == start + DECISIONS
        house._frontier = before


def cpu_us(work: Callable[[], object], many: int) -> float:
    """The least that one of ``many`` took, over some rounds."""
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
    return least / many * 1e6


@pytest.mark.slow
def test_the_log_costs_a_fraction_of_a_signature() -> None:
    key, lines = signing_key("hub"), Deciding(directory_of()).lines
    signature = cpu_us(lambda: [key.sign(line) for line in lines], DECISIONS)
    deciding = Deciding(directory_of())
    found = {
        at_once: cpu_us(lambda n=at_once: deciding.decide(n), DECISIONS)  # type: ignore[misc]
        for at_once in (1, 25, 256)
    }
    print(f"\na signature (Ed25519, libsodium): {signature:.1f} us of CPU")
    for at_once, cost in found.items():
        print(
            f"the log, {at_once} decisions a batch: {cost:.1f} us a decision, "
            f"{cost / signature:.2f} of a signature"
        )
    # A batch of one pays for a whole checkpoint: a signature, and little else.
    assert found[1] <= 3 * signature
    assert found[25] <= RATIO_MAX * signature
    assert found[256] <= found[25] * 1.2
