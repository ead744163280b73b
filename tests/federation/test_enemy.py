"""Members of three groups pay while a seeded enemy kills and freezes servers.

Each member's program pays to other groups and inside its own, refunds, calls off,
and asks again under old keys; it knows only HTTP and keeps what it was told. In the
end every order it was answered for stands on both ledgers exactly once, and nothing
else does. Prices, balances and positions are reckoned here once more, from what was
ordered alone. A seed that fails is tried again alone: pytest -k "seed and 7" -m slow.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.federation.callers import AwayError, Order
from tests.federation.world import GROUPS, Federation, Ordered

SECONDS = 15.0
MEMBERS = {
    "oostende": ("jan", "lies", "rik"),
    "mechelen": ("an", "mia", "tom"),
    "aalst": ("els", "leo"),
}
#: Milliseconds of a unit, halves up, as the law has it.
WORTH = {group.name: (7_200_000 // group.per_hour + 1) // 2 for group in GROUPS}
SEEDS = [
    pytest.param(seed, marks=[pytest.mark.slow] if seed else []) for seed in range(12)
]
#: What may be said to these orders; each other code would be a surprise.
EXPECTED = {
    *("payer-floor", "unknown-account", "payee-cannot-receive", "payee-unreachable"),
    *("payer-group-floor", "payee-group-ceiling", "cancelled", "deadline-out-of-range"),
    *("refund-too-large", "refund-unknown"),
}


def be_enemy(federation: Federation, seed: int, stop: threading.Event) -> int:
    """Kill -9 or freeze one server after another; gives how often it did."""
    draw = random.Random(seed)
    deeds = 0
    while not stop.wait(draw.uniform(0.1, 1.0)):
        server = federation.server(draw.choice(["hub", *MEMBERS]))
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


class Program:
    """One member's program: it orders, and never forgets what it was told.

    Args:
        federation: the servers.
        payer: the member's address.
        seed: decides all that it does.
    """

    def __init__(self, federation: Federation, payer: str, seed: int) -> None:
        self._federation = federation
        self._payer = payer
        self._member = federation.member(payer)
        self._group = payer.partition("@")[2]
        self._draw = random.Random(f"{seed} {payer}")
        self.ordered: list[Ordered] = []
        self.did: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> "Program":
        """Do one thing after another."""
        deeds: list[tuple[Callable[[], None], int]] = [
            (self.pay, 10),
            (self.pay_inside, 2),
            (self.refund, 3),
            (self.call_off, 3),
            (self.ask_again, 3),
            (self.use_a_key_twice, 1),
        ]
        while not stop.is_set():
            (deed,) = self._draw.choices(*zip(*deeds, strict=True))
            deed()
            time.sleep(self._draw.uniform(0, 0.1))
        return self

    def _order(self, to: str, amount: int, **fields: Any) -> Ordered:
        deliver = self._draw.choice(["now", "when_reachable"])
        order = self._federation.order(to, amount, deliver=deliver, **fields)
        self.ordered.append(self._federation.carry_out(self._payer, order))
        return self.ordered[-1]

    def pay(self) -> None:
        """Pay somebody, or nobody, in another group."""
        group = self._draw.choice([name for name in MEMBERS if name != self._group])
        account = self._draw.choice([*MEMBERS[group], "nobody"])
        self._order(f"{account}@{group}", self._draw.choice([1, 3, 3, 3, 40]))
        self.did["paid"] += 1

    def pay_inside(self) -> None:
        account = self._draw.choice([*MEMBERS[self._group], "nobody"])
        if account != self._payer.partition("@")[0]:
            self._order(f"{account}@{self._group}", self._draw.choice([1, 2, 30]))
            self.did["paid inside"] += 1

    def refund(self) -> None:
        """Give back some of what was received, sometimes more than there is left."""
        try:
            received = [
                entry["transfer"]
                for entry in self._member.get("/api/v1/entries")["entries"]
                if entry["amount"] > 0 and entry["refund_of"] is None
            ]
            if not received:
                return
            original = self._member.transfer(self._draw.choice(received))
        except AwayError:
            return
        most = (original["refundable"] or 0) + 1
        self._order(
            original["payer"], self._draw.randint(1, most), refund_of=original["id"]
        )
        self.did["refunded"] += 1

    def call_off(self) -> None:
        """Wish that a payment just ordered were not."""
        self.pay()
        if self.ordered[-1].transfer_id is not None:
            answer = self._member.cancel_surely(self.ordered[-1].transfer_id)
            assert answer.status == 202, answer
            self.did["called off"] += 1

    def ask_again(self) -> None:
        """Order once more under an old key: the old answer, to the letter."""
        if self.ordered:
            old = self._draw.choice(self.ordered)
            assert self._member.pay_surely(old.order) == old.answer
            self.did["asked again"] += 1

    def use_a_key_twice(self) -> None:
        """Order something else under an old key: that is refused."""
        if self.ordered:
            old = self._draw.choice(self.ordered).order
            other: Order = replace(old, payee_amount=old.payee_amount + 1)
            answer = self._member.pay_surely(other)
            kind = "urn:interlets:problem:idempotency-key-reused"
            assert (answer.status, answer.told["type"]) == (422, kind), answer
            self.did["used a key twice"] += 1


def standing(federation: Federation) -> Counter[str]:
    """Every balance and every position."""
    found = Counter(
        {name: group["position"] for name, group in federation.groups().items()}
    )
    for node in federation.nodes.values():
        for member in node.members.values():
            found[member.address] = member.account()["balance"]
    return found


def book(model: Counter[str], order: Order, payer: str) -> tuple[int, int]:
    """Reckon a cleared order from itself alone; gives milliseconds and price."""
    from_group, to_group = payer.partition("@")[2], order.to.partition("@")[2]
    milliseconds = order.payee_amount * WORTH[to_group]
    price = -(-milliseconds // WORTH[from_group])
    model[payer] -= price
    model[order.to] += order.payee_amount
    if from_group != to_group:
        model[from_group] -= milliseconds
        model[to_group] += milliseconds
    return milliseconds, price


def check_refunds(ended: list[tuple[Order, dict[str, Any]]]) -> None:
    """Nobody got back more time than the payment was."""
    given: Counter[str] = Counter()
    worth = {transfer["id"]: transfer["milliseconds"] for _, transfer in ended}
    for order, transfer in ended:
        if order.refund_of is not None and transfer["state"] == "cleared":
            given[order.refund_of] += transfer["milliseconds"]
    for original, milliseconds in given.items():
        # A payment of an earlier test may be refunded too.
        assert milliseconds <= worth.get(original, milliseconds)


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_dies_every_payment_ends_once(
    federation: Federation, seed: int
) -> None:
    federation.audit()
    model, stop = standing(federation), threading.Event()
    programs = [
        Program(federation, f"{name}@{group}", seed)
        for group, names in MEMBERS.items()
        for name in names
    ]
    with ThreadPoolExecutor(len(programs) + 1) as together:
        enemy = together.submit(be_enemy, federation, seed, stop)
        running = [together.submit(program.run, stop) for program in programs]
        stop.wait(SECONDS)
        stop.set()
        assert enemy.result() > SECONDS / 4
        federation.heal()
        did = sum((one.result().did for one in running), Counter())
    ordered = [one for program in programs for one in program.ordered]
    assert len(ordered) > 100 and len(did) == 6, did
    ended = []
    for one in ordered:
        if one.transfer_id is None:
            assert one.answer.told["code"] in EXPECTED, one
            continue
        transfer = federation.end_of(one, within_s=60)
        ended.append((one.order, transfer))
        if transfer["state"] == "cleared":
            reckoned = book(model, one.order, one.payer.address)
            assert reckoned == (transfer["milliseconds"], transfer["payer_amount"])
        else:
            assert transfer["code"] in EXPECTED, transfer
    assert {transfer["state"] for _, transfer in ended} == {"cleared", "refused"}
    check_refunds(ended)
    federation.audit()
    assert standing(federation) == model
