"""Members of both groups pay while a seeded enemy kills and freezes servers.

What each member's program was told is kept; in the end every order it was
answered for stands on both ledgers exactly once, and nothing else does. A seed
that fails is tried again alone: pytest -k "seed and 7" -m slow.
"""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.federation.world import Federation

SECONDS = 15.0
MEMBERS = {
    "oostende": ("jan", "lies", "rik"),
    "mechelen": ("an", "mia", "tom"),
}
SEEDS = [
    pytest.param(seed, marks=[pytest.mark.slow] if seed else []) for seed in range(12)
]


def be_enemy(federation: Federation, seed: int, stop: threading.Event) -> int:
    """Kill -9 or freeze one server after another; gives how often it did."""
    draw = random.Random(seed)
    deeds = 0
    while not stop.wait(draw.uniform(0.1, 1.0)):
        server = federation.server(draw.choice(["hub", "oostende", "mechelen"]))
        if draw.random() < 0.25:
            server.freeze()
            time.sleep(draw.uniform(0.1, 1.5))
            server.thaw()
        else:
            server.kill()
            time.sleep(draw.choice([0.0, 0.0, 0.5]))
            server.start()
            if draw.random() < 0.7:
                server.wait_ready()
        deeds += 1
    return deeds


def pay_on(federation: Federation, payer: str, seed: int, stop: threading.Event) -> int:
    """Order one payment after another; gives how many."""
    draw = random.Random(f"{seed} {payer}")
    group = payer.partition("@")[2]
    other = next(name for name in MEMBERS if name != group)
    orders = 0
    while not stop.is_set():
        account = draw.choice([*MEMBERS[other], "nobody"])
        order = federation.order(
            f"{account}@{other}",
            draw.choice([1, 3, 3, 3, 40]),
            deliver=draw.choice(["now", "when_reachable"]),
        )
        federation.carry_out(payer, order)
        orders += 1
        time.sleep(draw.uniform(0, 0.1))
    return orders


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_dies_every_payment_ends_once(
    federation: Federation, seed: int
) -> None:
    federation.audit()
    began, stop = len(federation.history), threading.Event()
    payers = [f"{name}@{group}" for group, names in MEMBERS.items() for name in names]
    with ThreadPoolExecutor(len(payers) + 1) as together:
        enemy = together.submit(be_enemy, federation, seed, stop)
        paying = [
            together.submit(pay_on, federation, payer, seed, stop) for payer in payers
        ]
        stop.wait(SECONDS)
        stop.set()
        assert enemy.result() > SECONDS / 4
        federation.heal()
        orders = sum(payer.result() for payer in paying)
    ordered = federation.history[began:]
    assert len(ordered) == orders > 100
    ended = [federation.end_of(one, within_s=60) for one in ordered if one.transfer_id]
    assert {transfer["state"] for transfer in ended} == {"cleared", "refused"}
    federation.audit()
