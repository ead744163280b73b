"""The last units, wanted by many at once while servers are killed with -9.

In a round a limit leaves room for exactly so many payments of one unit. More are
ordered than that, each through a connection of its own and under its own key;
half-way a server that takes part is killed, and every order is tried again under
its key until it has its answer. Exactly as many as there was room for clear.

Five limits are tried in each wave, and a wave's kill counts for those rounds whose
server it hits: all waves together are more than 100 rounds.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import pytest

from tests.federation import rounds
from tests.federation.callers import Answer, AwayError, Order
from tests.federation.world import Federation, Ordered

VICTIMS = [
    ("hub", "mechelen"),
    ("oostende", "mechelen"),
    ("oostende", "hub"),
    ("mechelen", "aalst", "oostende"),
]
WAVES = 24
AJUIN_MS = 514_286
BLUSSER_MS = 300_000
GARNAAL_MS = 180_000


@dataclass(frozen=True)
class Limit:
    """A limit, who pays whom one unit at it, and what those beyond it are told."""

    name: str
    payer: str
    to: str
    code: str
    #: Has the members pay each other until so many payments of one unit fit.
    leave_room: Callable[[Federation, int], None]

    def places(self, victims: tuple[str, ...]) -> tuple[str, ...]:
        """Say which parts in this limit's payments the victims have."""
        payer, payee = (one.partition("@")[2] for one in (self.payer, self.to))
        parts = {payer: "payer's node"}
        if payee != payer:
            parts |= {"hub": "hub", payee: "payee's node"}
        return tuple(parts[name] for name in victims if name in parts)


def clear(federation: Federation, payer: str, to: str, amount: int) -> None:
    if amount:
        ended = federation.end_of(federation.pay(payer, to, amount))
        assert ended["state"] == "cleared", ended


def leave_above_floor(
    federation: Federation, payer: str, helper: str, units: int
) -> None:
    """Let ``payer`` have exactly so many units left; the helper has no limits."""
    available = federation.member(payer).account()["available"]
    clear(federation, payer, helper, max(0, available - units))
    clear(federation, helper, payer, max(0, units - available))


def leave_below_ceiling(
    federation: Federation, payee: str, helper: str, units: int
) -> None:
    account = federation.member(payee).account()
    room = account["ceiling"] - account["balance"] - account["held_in"]
    clear(federation, helper, payee, max(0, room - units))
    clear(federation, payee, helper, max(0, units - room))


def bring_aalst(federation: Federation, target: int) -> None:
    """Bring Aalst's position to its target, or less than a payment's worth above."""
    position = federation.groups()["aalst"]["position"]
    ajuinen = max(0, -((position - target) // AJUIN_MS))
    clear(federation, "mia@mechelen", "els@aalst", ajuinen)
    above = position + ajuinen * AJUIN_MS - target
    clear(federation, "els@aalst", "mia@mechelen", above // BLUSSER_MS)


def leave_above_group_floor(federation: Federation, units: int) -> None:
    floor = federation.groups()["aalst"]["floor"]
    bring_aalst(federation, floor + units * BLUSSER_MS)


def leave_below_group_ceiling(federation: Federation, units: int) -> None:
    ceiling = federation.groups()["aalst"]["ceiling"]
    # What stands above the target is less than a blusser, and so than an ajuin.
    bring_aalst(federation, ceiling - (units + 1) * AJUIN_MS + 1)


LIMITS = (
    Limit(
        "member's floor",
        "jan@oostende",
        "mia@mechelen",
        "payer-floor",
        # A blusser costs 5/3 of a garnaal, so 2.
        lambda federation, units: leave_above_floor(
            federation, "jan@oostende", "lies@oostende", 2 * units
        ),
    ),
    Limit(
        "member's ceiling",
        "lies@oostende",
        "an@mechelen",
        "payee-cannot-receive",
        lambda federation, units: leave_below_ceiling(
            federation, "an@mechelen", "mia@mechelen", units
        ),
    ),
    Limit(
        "floor inside a group",
        "rik@oostende",
        "lies@oostende",
        "payer-floor",
        lambda federation, units: leave_above_floor(
            federation, "rik@oostende", "lies@oostende", units
        ),
    ),
    Limit(
        "ceiling inside a group",
        "mia@mechelen",
        "tom@mechelen",
        "payee-cannot-receive",
        lambda federation, units: leave_below_ceiling(
            federation, "tom@mechelen", "mia@mechelen", units
        ),
    ),
)
CAP = "/api/v1/caps/aalst/oostende"


def leave_under_cap(federation: Federation, units: int) -> None:
    """Let Aalst pay Oostende exactly so many units more in this month."""
    bring_aalst(federation, 0)
    admin, body = federation.admin, {"milliseconds": 10**14, "reason": "a trial"}
    # What was used before there was a cap is known once there is one.
    used = admin.ask_surely("POST", CAP, body).told["used"]
    most = used + (units + 1) * GARNAAL_MS - 1
    answer = admin.ask_surely("POST", CAP, {**body, "milliseconds": most})
    assert (answer.status, answer.told["used"]) == (200, used)


GROUP_LIMITS = (
    Limit(
        "group's floor",
        "els@aalst",
        "mia@mechelen",
        "payer-group-floor",
        leave_above_group_floor,
    ),
    Limit(
        "group's ceiling",
        "lies@oostende",
        "els@aalst",
        "payee-group-ceiling",
        leave_below_group_ceiling,
    ),
    Limit("cap of a month", "els@aalst", "lies@oostende", "month-cap", leave_under_cap),
)


class Crowd:
    """Everyone who orders at once, and the moment at which a server is killed.

    Args:
        federation: the servers.
        victims: who is killed with -9.
        kill_after: as soon as so many first tries are over.
    """

    def __init__(
        self, federation: Federation, victims: tuple[str, ...], kill_after: int
    ) -> None:
        self._federation = federation
        self._victims = victims
        self._kill_after = kill_after
        self._lock = threading.Lock()
        self._is_half_way = threading.Event()
        self._tried = 0
        self.lost: Counter[str] = Counter()

    def order(
        self, limit: Limit, order: Order, begin: threading.Barrier
    ) -> tuple[Limit, Ordered]:
        """Try once when all do, then for as long as it takes."""
        payer = self._federation.member(limit.payer)
        first: Answer | None = None
        begin.wait()
        try:
            first = payer.pay(order)
        except AwayError:
            pass
        finally:
            self._note_try()
        answer = payer.pay_surely(order)
        if first is None or first.status == 503:
            with self._lock:
                self.lost[limit.name] += 1
        else:
            assert answer == first, "the same key had another answer before the kill"
        return limit, self._federation.note(payer, order, answer)

    def _note_try(self) -> None:
        with self._lock:
            self._tried += 1
            if self._tried == self._kill_after:
                self._is_half_way.set()

    def kill(self, pauses_s: list[float]) -> None:
        """Kill the victims half-way, one after another, and start them again."""
        assert self._is_half_way.wait(60)
        for name, pause_s in zip(self._victims, pauses_s, strict=True):
            time.sleep(pause_s)
            server = self._federation.server(name)
            server.kill()
            server.start()


def run_wave(
    federation: Federation, wave: int, plan: list[tuple[Limit, int, int]]
) -> tuple[list[tuple[Limit, Ordered]], Counter[str]]:
    """Have all order at once and a server die; gives the answers and what was lost.

    Args:
        federation: the servers.
        wave: its number decides when whom is killed.
        plan: limits, with the room at each and how many want it.
    """
    draw = random.Random(f"wave {wave}")
    victims = VICTIMS[wave % len(VICTIMS)]
    victims = tuple(draw.sample(victims, len(victims)))
    orders = [
        (limit, federation.order(limit.to, 1))
        for limit, _, wanted in plan
        for _ in range(wanted)
    ]
    draw.shuffle(orders)
    crowd = Crowd(federation, victims, draw.randint(1, len(orders) * 2 // 3))
    begin = threading.Barrier(len(orders))
    with ThreadPoolExecutor(len(orders) + 1) as together:
        killing = together.submit(
            crowd.kill, [draw.choice([0, draw.uniform(0, 0.05)]) for _ in victims]
        )
        ordering = [
            together.submit(crowd.order, limit, order, begin) for limit, order in orders
        ]
        killing.result()
        return [one.result() for one in ordering], crowd.lost


def balances(federation: Federation) -> dict[str, int]:
    """Every member's balance, while nobody's units are held."""
    found = {}
    for node in federation.nodes.values():
        for member in node.members.values():
            account = member.account()
            assert (account["held"], account["held_in"]) == (0, 0), account
            found[member.address] = account["balance"]
    return found


def outcome_of(federation: Federation, ordered: Ordered) -> dict[str, Any]:
    """How an order ended: the transfer, or the refusal that it was answered with."""
    if ordered.transfer_id is None:
        assert ordered.answer.status == 422, ordered
        return {"state": "refused", "code": ordered.answer.told["code"]}
    return federation.end_of(ordered)


@pytest.fixture(scope="module", autouse=True)
def _back_to_nothing(founded: Federation) -> Iterator[None]:
    """Leave no member and no group near a limit."""
    yield
    founded.heal()
    founded.wait_compared()
    for helper, name in (
        ("lies", "jan"),
        ("lies", "rik"),
        ("mia", "an"),
        ("mia", "tom"),
    ):
        group = "oostende" if helper == "lies" else "mechelen"
        member, other = f"{name}@{group}", f"{helper}@{group}"
        balance = founded.member(member).account()["balance"]
        clear(founded, member, other, max(0, balance))
        clear(founded, other, member, max(0, -balance))
    bring_aalst(founded, 0)
    founded.admin.ask_surely("POST", f"{CAP}/remove", {"reason": "it is over"})
    founded.audit()


@pytest.mark.parametrize("wave", range(WAVES))
def test_no_more_clear_than_there_is_room_for(
    federation: Federation, wave: int
) -> None:
    draw = random.Random(wave)
    victims = VICTIMS[wave % len(VICTIMS)]
    federation.wait_compared()
    group_limit = next(islice(cycle(GROUP_LIMITS), wave // len(VICTIMS), None))
    plan = []
    for limit in (*LIMITS, group_limit):
        room = draw.randint(1, 5)
        limit.leave_room(federation, room)
        plan.append((limit, room, room + draw.randint(1, 6)))
    federation.wait_quiet()
    before = Counter(balances(federation))

    answers, lost = run_wave(federation, wave, plan)

    ended = [(limit, outcome_of(federation, one)) for limit, one in answers]
    for limit, room, wanted in plan:
        mine = Counter(
            (outcome["state"], outcome["code"])
            for one, outcome in ended
            if one is limit
        )
        assert mine == {("cleared", None): room, ("refused", limit.code): wanted - room}
    federation.wait_ready()
    federation.wait_quiet()
    for _, outcome in ended:
        if outcome["state"] == "cleared":
            before[outcome["payer"]] -= outcome["payer_amount"]
            before[outcome["payee"]] += outcome["payee_amount"]
    assert balances(federation) == dict(before)
    # The same order once more is no second one, and has the same answer.
    with ThreadPoolExecutor(8) as together:
        again = list(together.map(lambda one: one[1].payer.pay(one[1].order), answers))
    assert again == [one.answer for _, one in answers]
    assert balances(federation) == dict(before)
    for limit, room, wanted in plan:
        if places := limit.places(victims):
            rounds.note(
                rounds.Round(limit.name, places, wanted, room, lost[limit.name])
            )


def test_every_ledger_tells_the_same_story(federation: Federation) -> None:
    federation.audit()
