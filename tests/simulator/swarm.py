"""One seed: a federation of its own, its own kinds of trouble, its own weeks.

Every seed draws which faults there are at all and how often (swarm testing): a fault
that is everywhere hides others. After the last payment everything is put right, and
then all must come to rest by itself.
"""

import gc
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from protocol.unit import MILLISECONDS_MAX
from tests.simulator import memory_queries
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND
from tests.simulator.checker import BrokenPromiseError, Checker
from tests.simulator.cycle_swarm import CycleSwarm, tallied_often
from tests.simulator.federation import Federation, Home, Node
from tests.simulator.key_people import KeyPeople
from tests.simulator.key_watch import KeyWatch
from tests.simulator.ledger_swarm import LedgerSwarm
from tests.simulator.lie_swarm import LieSwarm, lie_swarm
from tests.simulator.life_swarm import LifeSwarm
from tests.simulator.members import People, Wish
from tests.simulator.memory_database import Row
from tests.simulator.nasty import Nasty
from tests.simulator.quick_keys import quick_keys
from tests.simulator.servers import Server
from tests.simulator.trouble import Trouble
from tests.simulator.world import BEGINNING, Rates, World

assert memory_queries, "its import lets queries be answered"
NAMES = ("oostende", "mechelen", "brussel", "gent", "luik")
MEMBERS = ("marie", "bob", "an")
#: Milliseconds per minor unit, and decimals.
_UNITS = ((60_000, 0), (180_000, 0), (1_800, 2), (514_286, 0), (3_600_000, 0), (1, 2))
#: One seed in so many signs with real Ed25519.
REAL_KEYS_EVERY = 50
#: In one seed of so many a payment waits while its payer's rate changes.
_PRICE_SEEDS = 3
#: In one seed of so many houses outlive a crash, as where only the database went away.
_KEPT_SEEDS = 4
QUIET_MS = 80 * HOUR
#: What a seed leaves of 5 when keys are changed in it.
_KEY_SEEDS = (1, 3)
#: No more time than there may be, whatever the rate has become since.
_UNITS_MAX = MILLISECONDS_MAX // HOUR


@dataclass
class Result:
    """What came of a seed.

    Attributes:
        failure: what must never be, in a sentence; empty when all was well.
        lines: the story, when it was wanted.
    """

    seed: int
    failure: str = ""
    events: int = 0
    inputs: int = 0
    looks: int = 0
    node_ms: int = 0
    jumped_ms: int = 0
    cpu_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)


def has_key_people(seed: int) -> bool:
    """Say whether people change keys in a seed; in others the plan is as ever."""
    return seed % 5 in _KEY_SEEDS


def run(seed: int, *, is_told: bool = False) -> Result:
    """Play one seed to its end, or to the first thing that must never be."""
    with quick_keys(are_quick=seed % REAL_KEYS_EVERY != 0), _collected_at_the_end():
        began = time.process_time()
        result = Swarm(seed, is_told=is_told).run()
    result.cpu_s = time.process_time() - began
    return result


@contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """Look for unused memory once, not all along: one seed needs little."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()


def judge(world: World, checker: Checker, play: Callable[[], None]) -> Result:
    """Let a federation live, and say what came of it."""
    result = Result(world.seed)
    try:
        with tallied_often(world.seed):
            play()
    except BrokenPromiseError as violation:
        result.failure = str(violation)
    except Exception as error:  # noqa: BLE001
        # A server of the product stopped by its own fault: a finding.
        where = traceback.extract_tb(error.__traceback__)[-1]
        result.failure = (
            f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        )
        world.tell("{}", traceback.format_exc())
    nodes = len(checker.federation.nodes)
    result.events, result.inputs = world.events, world.inputs
    result.looks, result.faults = checker.looks, world.faults
    result.node_ms = (world.now - BEGINNING) * nodes
    result.jumped_ms = world.jumped_ms * nodes
    result.told = Counter(wish.told for wish in checker.people.wishes)
    result.lines = world.lines or []
    return result


def _room_out(row: Row) -> int:
    """Say how much may still leave an account."""
    if row["floor"] is None:
        return 0
    return int(row["balance"] - row["held_out"] - row["floor"])


def _room_in(row: Row) -> int:
    """Say how much may still come into an account."""
    if row["ceiling"] is None:
        return 0
    return int(row["ceiling"] - row["balance"] - row["held_in"])


class Swarm:
    """One seed's federation and everything that happens to it."""

    def __init__(self, seed: int, *, is_told: bool = False) -> None:
        self.plan = random.Random(f"plan of {seed}")
        self.world = World(seed, is_told=is_told)
        self.homes = self._homes()
        self.federation = Federation(self.world, self.homes)
        self.people = People(self.federation)
        self.checker = Checker(self.federation, self.people)
        self.key_people = KeyPeople(self.federation, seed)
        self.key_watch = KeyWatch(self.federation, self.checker, self.key_people)
        self.has_key_people = has_key_people(seed)
        self.trouble = Trouble(self.federation, self.checker)
        self.cycles = CycleSwarm(seed, self.federation, self.people, self.trouble)
        #: In some seeds nodes watch the hub's log, and in most of these it lies.
        self.lies: LieSwarm | None = lie_swarm(seed, self)
        for server in self.federation.servers:
            server.keeps_house = seed % _KEPT_SEEDS == 2
        self.nasty = Nasty(seed, self.federation, self.people, self.checker)
        self.lives = LifeSwarm(seed, self.federation, self.people, self.trouble)
        self.ledgers = LedgerSwarm(seed, self.federation, self.people, self.trouble)
        #: In some seeds prices change under payments; others have their plan as ever.
        self.prices = random.Random(f"prices of {seed}")
        self.has_old_prices = seed % _PRICE_SEEDS == 0 and len(self.homes) > 2
        #: The hub's clock goes back as soon as something there waits for an answer.
        self._is_going_back = False
        #: Whom a backup will be made of, and put back.
        self._old_day: Server | None = None

        hub = self.federation.hub
        look = hub.after_batch

        def look_at_clock() -> None:
            is_due = self._is_going_back and not self.trouble.is_quiet
            if is_due and hub.database.table("undecided"):
                self._is_going_back = False
                self._move_back(hub)
            look()

        hub.after_batch = look_at_clock

    def _homes(self) -> list[Home]:
        plan = self.plan
        span = plan.choice((2, 6, 40)) * HOUR
        homes = []
        for name in NAMES[: plan.choice((2, 2, 3, 3, 3, 4, 5))]:
            rate, decimals = plan.choice(_UNITS)
            reach = plan.choice((1, 4, 20)) * HOUR // rate + 3
            members = dict.fromkeys(
                MEMBERS[: plan.randint(1, len(MEMBERS))], (-reach, reach)
            )
            homes.append(Home(name, rate, decimals, members, -span, span))
        return homes

    def run(self) -> Result:
        """Play it."""
        return judge(self.world, self.checker, self._play)

    def _play(self) -> None:
        self.federation.open()
        self.lives.open()
        self._draw_rates()
        self._sessions()
        self._quieten()
        if self.has_key_people and self.checker.is_restored:
            self.key_people.type_where_not_heard()
            self.world.run(self.world.now + HOUR)
        if self.lies is not None:
            self.lies.at_the_end()
        self.checker.at_the_end()
        self.key_watch.at_the_end()

    # Trouble.

    def _draw_rates(self) -> None:
        """Draw which faults there are in this seed, and how often."""
        plan = self.plan

        def some(*values: float) -> float:
            return plan.choice((0.0, 0.0, *values))

        rates = Rates(
            drop=some(0.02, 0.1, 0.4),
            repeat=some(0.05, 0.3),
            late=some(0.02, 0.1, 0.3),
            late_ms_max=plan.choice((2 * SECOND, MINUTE, HOUR, 3 * DAY)),
            delay_ms_max=plan.choice((5, 100, 2 * SECOND)),
            crash=some(0.002, 0.02, 0.1),
            tear=some(0.001, 0.01),
            silent_loss=plan.choice((0.0, 0.5, 1.0)),
            down_ms_max=plan.choice((SECOND, MINUTE, HOUR)),
            batch_pause_ms_max=plan.choice((0, 20, 2 * SECOND)),
            batch_max=plan.choice((1, 2, 5, 1000)),
            poll_ms=plan.choice((HOUR, 3 * HOUR, 6 * HOUR)),
        )
        self.trouble.strew(rates)
        self._draw_enemy()
        self._is_skewed = plan.random() < 0.3
        if self._is_skewed:
            for server in self.federation.servers:
                self._jump(server)

    def _draw_enemy(self) -> None:
        """In some seeds a node lies; in some a server comes back from a backup."""
        kind = self.plan.random()
        if kind < 0.12:
            group = self.plan.choice(list(self.federation.nodes))
            self.trouble.lie(group)
        elif kind < 0.24:
            self._old_day = self.plan.choice(
                [self.federation.hub, *self.federation.servers]
            )

    def _back_up(self) -> None:
        """Keep what a server has, and put it back to that some day."""
        server = self._old_day
        if server is None:
            return
        self._old_day = None
        self.trouble.back_up(server)
        # Who restores with ``interlets-node restore`` leaves a mark in the database.
        is_noticed = self.plan.random() < 0.5

        def restore() -> None:
            # On a new machine the key files too are those of the backup.
            has_old_keys = self.has_key_people and self.key_people.plan.random() < 0.5
            self.trouble.restore(
                server, is_noticed=is_noticed, has_old_keys=has_old_keys
            )

        span = self.plan.choice((5 * SECOND, 10 * MINUTE, DAY))
        self.world.later(self.plan.randint(1, span), restore)

    def _jump(self, server: Server) -> None:
        far = self.plan.choice(
            (SECOND, MINUTE, 2 * MINUTE, 2 * MINUTE, 10 * MINUTE, DAY)
        )
        self.trouble.set_clock(server, self.plan.randint(-far, far))

    def _away(self, server: Server, for_ms: int) -> None:
        """Keep a server down for long."""
        self.trouble.leave(server)
        self.world.later(for_ms, lambda: self.trouble.come_back(server))

    def _part(self, node: Node, for_ms: int) -> None:
        """Cut a node's line to the hub, in one direction or both."""
        what = self.plan.choice(("both", "speaking", "hearing"))
        self.trouble.part(node.name, what)
        self.world.later(for_ms, lambda: self.trouble.rejoin(node.name, what))

    # Work.

    def _sessions(self) -> None:
        """Let people trade in bouts, with long silence between them."""
        plan, world = self.plan, self.world
        for _ in range(plan.choice((1, 2, 4, 8))):
            span = plan.choice((SECOND, 20 * SECOND, 5 * MINUTE, HOUR))
            for _ in range(plan.choice((3, 10, 25))):
                world.later(plan.randint(0, span), self._something)
            for _ in range(plan.choice((0, 0, 1, 3))):
                world.later(plan.randint(0, span), self._trouble)
            world.later(plan.randint(0, span), self._back_up)
            world.later(plan.randint(0, span), self._set_back)
            self.cycles.strew(span)
            if self.lies is not None:
                self.lies.strew(span)
            self.nasty.strew(span)
            self.lives.strew(span)
            self.ledgers.strew(span)
            if self.has_key_people:
                self.key_people.plan_bout(span)
            if self.has_old_prices:
                world.later(self.prices.randint(0, span), self._keep_a_price)
            world.run(world.now + span)
            silence = plan.choice((MINUTE, HOUR, DAY, 40 * DAY, 1800 * DAY))
            self._be_silent(plan.randint(1, silence))

    def _be_silent(self, for_ms: int) -> None:
        """Let time pass; the worst of the trouble keeps to the bouts."""
        world, rates, strew = self.world, self.world.rates, self.trouble.strew
        end = world.now + for_ms
        world.run(min(end, world.now + 20 * MINUTE))
        troubled = replace(
            rates, crash=0.0, tear=0.0, drop=rates.drop / 4, late=rates.late / 4
        )
        strew(troubled)
        world.run(min(end, world.now + self.plan.choice((HOUR, 4 * HOUR, DAY))))
        # For weeks nothing goes wrong any more, so that they may be jumped over.
        strew(replace(troubled, drop=0.0, late=0.0, repeat=0.0))
        world.note("silence begins")
        world.pass_silence(end - 2 * HOUR)
        world.note("silence ends")
        strew(troubled)
        world.run(end)
        strew(rates)

    def _trouble(self) -> None:
        """Let something large go wrong."""
        plan = self.plan
        for_ms = plan.choice((5 * SECOND, 40 * SECOND, 10 * MINUTE, DAY, 7 * DAY))
        nodes = list(self.federation.nodes.values())
        match plan.choice(("part", "part", "away", "hub away", "crash", "jump")):
            case "part":
                self._part(plan.choice(nodes), plan.randint(1, for_ms))
            case "away":
                self._away(plan.choice(nodes), plan.randint(1, for_ms))
            case "hub away":
                self._away(self.federation.hub, plan.randint(1, for_ms))
            case "crash":
                self.trouble.crash(plan.choice(self.federation.servers))
            case _:
                self._set_back()

    def _set_back(self) -> None:
        """Set a clock back by minutes in mid-traffic; perhaps with a restart."""
        if self._is_skewed:
            self._is_going_back = self.plan.random() < 0.5
            if not self._is_going_back:
                servers = [self.federation.hub, *self.federation.servers]
                self._move_back(self.plan.choice(servers))

    def _move_back(self, server: Server) -> None:
        back = self.plan.randint(SECOND, 4 * MINUTE)
        self.trouble.set_clock(server, server.clock.offset_ms - back)
        if self.plan.random() < 0.5:
            self.trouble.crash(server)

    def _something(self) -> None:
        """Let somebody do something."""
        plan = self.plan
        deeds: dict[Callable[[], object], int] = {
            self._pay: 60,
            self._pay_inside: 8,
            self._ask_again: 12,
            self._other_body: 2,
            self._cancel: 6,
            self._refund: 8,
            self._treasurer: 3,
            self._admin: 3,
            self._rate: 2,
        }
        (deed,) = plan.choices(list(deeds), list(deeds.values()))
        deed()

    def _address(self, group: str) -> str:
        members = list(self.federation.nodes[group].home.members)
        return f"{self.plan.choice(members)}@{group}"

    def _amount(self, group: str) -> int:
        rate = self.federation.nodes[group].home.rate
        return max(1, self.plan.choice((10 * SECOND, HOUR, 3 * HOUR)) // rate) + (
            self.plan.randint(0, 2)
        )

    def _pay(self) -> None:
        plan = self.plan
        payer, payee = plan.sample(list(self.federation.nodes), 2)
        address, to = self._address(payer), self._address(payee)
        amount = self._amount(payee)
        if plan.random() < 0.3 and self._pay_what_is_held():
            return
        if plan.random() < 0.03:
            to = f"nobody@{payee}"
        elif plan.random() < 0.4:
            amount = self._edge(address, to)
        wish = self.people.pay(
            address,
            to,
            amount,
            deliver=plan.choice(("now", "when_reachable")),
        )
        if plan.random() < 0.1:
            soon = plan.choice((100, SECOND, 10 * SECOND))
            self.world.later(plan.randint(1, soon), lambda: self.people.cancel(wish))

    def _pay_what_is_held(self) -> bool:
        """Pay what only a hold on the other side would allow, where there is one."""
        nodes = self.federation.nodes
        held = [
            (f"{name}@{group}", row)
            for group, node in nodes.items()
            for name, row in node.database.table("account").items()
            if row["kind"] == "member" and row["floor"] is not None and row["held_in"]
        ]
        if not held:
            return False
        address, row = self.plan.choice(held)
        group = address.partition("@")[2]
        room = max(1, _room_out(row) + self.plan.randint(1, row["held_in"]))
        others = [
            one for one in nodes[group].home.members if f"{one}@{group}" != address
        ]
        if others and self.plan.random() < 0.7:
            self.people.pay(address, f"{self.plan.choice(others)}@{group}", room)
            return True
        payee = self.plan.choice([one for one in nodes if one != group])
        units = room * nodes[group].home.rate // nodes[payee].home.rate
        units = max(1, min(units, _UNITS_MAX))
        self.people.pay(address, self._address(payee), units)
        return True

    def _edge(self, payer: str, payee: str) -> int:
        """Give what a limit just allows, or just does not."""
        member, _, group = payer.partition("@")
        other, _, payee_group = payee.partition("@")
        nodes = self.federation.nodes
        own, theirs = nodes[group].home.rate, nodes[payee_group].home.rate
        hub = self.federation.hub.database.table("account")
        at_payer = nodes[group].database.table("account")[member]
        at_payee = nodes[payee_group].database.table("account")[other]
        rooms = [
            (_room_out(at_payer), own),
            (_room_in(at_payee), theirs),
            (_room_out(hub[group]), 1),
            (_room_in(hub[payee_group]), 1),
        ]
        # What a hold on the other side would make room for, were they netted.
        rooms += [
            (_room_out(at_payer) + at_payer["held_in"], own),
            (_room_in(at_payee) + at_payee["held_out"], theirs),
            (_room_out(hub[group]) + hub[group]["held_in"], 1),
            (_room_in(hub[payee_group]) + hub[payee_group]["held_out"], 1),
        ]
        room, rate = self.plan.choice(
            [one for one in rooms if one[0] > 0] or [(1, own)]
        )
        units = -(-room * rate // theirs) + self.plan.choice((-1, 0, 0, 1))
        return max(1, min(units, _UNITS_MAX))

    def _pay_inside(self) -> None:
        group = self.plan.choice(list(self.federation.nodes))
        if len(self.federation.nodes[group].home.members) < 2:
            return
        payer, payee = self.plan.sample(
            list(self.federation.nodes[group].home.members), 2
        )
        amount = self._amount(group)
        if self.plan.random() < 0.5:
            amount = self._edge(f"{payer}@{group}", f"{payee}@{group}")
        self.people.pay(f"{payer}@{group}", f"{payee}@{group}", amount)

    def _a_wish(self) -> Wish | None:
        return self.plan.choice(self.people.wishes) if self.people.wishes else None

    def _ask_again(self) -> None:
        unknown = [wish for wish in self.people.wishes if wish.told == "unknown"]
        wish = self.plan.choice(unknown) if unknown else self._a_wish()
        if wish is not None and wish.told != "other-body":
            self.people.ask(wish)

    def _other_body(self) -> None:
        """Use a key again for something else."""
        wish = self._a_wish()
        if wish is not None and wish.told in ("ok", "refused"):
            self.people.pay(
                f"{wish.member}@{wish.group}",
                f"{wish.payee}@{wish.payee_group}",
                wish.payee_amount + 1,
                key=wish.key,
            )

    def _cancel(self) -> None:
        wish = self._a_wish()
        if wish is not None:
            self.people.cancel(wish)

    def _refund(self) -> None:
        """Give back what was received, or a part of it."""
        wishes = [
            wish
            for wish in self.people.wishes
            if wish.told == "ok" and wish.payee != "nobody"
        ]
        if not wishes:
            return
        wish = self.plan.choice(wishes)
        most = max(1, min(wish.payer_amount_max, _UNITS_MAX))
        # Sometimes two at once, so that one batch must count them both.
        for _ in range(self.plan.choice((1, 2))):
            self.people.pay(
                f"{wish.payee}@{wish.payee_group}",
                f"{wish.member}@{wish.group}",
                self.plan.randint(1, most),
                deliver=self.plan.choice(("now", "when_reachable")),
                refund_of=wish.transfer_id,
            )

    def _treasurer(self) -> None:
        group = self.plan.choice(list(self.federation.nodes))
        home = self.federation.nodes[group].home
        reach = self.plan.choice((1, 4, 20)) * HOUR // home.rate + 3
        changes = self.plan.choice(
            (
                {"floor": -reach, "ceiling": reach},
                {"frozen": True},
                {"frozen": False},
                {"floor": None, "ceiling": None},
            )
        )
        self.people.change_member(self._address(group), **changes)

    def _admin(self) -> None:
        group = self.plan.choice(list(self.federation.nodes))
        match self.plan.choice(("freeze", "release", "release", "limit")):
            case "freeze" if self.plan.random() < 0.5:
                self.people.freeze(group)
            case "freeze":
                self._freeze_who_pays()
            case "release":
                self.people.release(group)
            case _:
                span = self.plan.choice((1, 6, 40)) * HOUR
                self.people.limit(group, -span, span)
                # And what its members may pay the next group's in a month.
                names = list(self.federation.nodes)
                other = names[(names.index(group) + 1) % len(names)]
                self.people.cap(group, other, span)

    def _freeze_who_pays(self) -> None:
        """Freeze a group whose payment is on its way: what was offered still clears."""
        self._pay()
        if self.people.wishes:
            group = self.people.wishes[-1].group
            soon = self.plan.choice((20, 400, 4 * SECOND))
            self.world.later(
                self.plan.randint(1, soon), lambda: self.people.freeze(group)
            )

    def _rate(self) -> None:
        group = self.plan.choice(list(self.federation.nodes))
        self.people.propose_rate(group, self.plan.choice(_UNITS)[0])
        self.world.later(self.plan.randint(1, HOUR), lambda: self._approve(group))

    def _approve(self, group: str) -> None:
        """Let a rate count from now on, while people pay at the one before."""
        for _ in range(3):
            self.world.later(self.plan.randint(0, SECOND), self._pay)
        later = self.plan.randint(0, SECOND)
        self.world.later(later, lambda: self.people.approve(group))

    def _keep_a_price(self) -> None:
        """Let a payment wait for who sleeps, while its payer's rate changes.

        What the payer's group pays to others meanwhile is booked at the new rate,
        and then, at the old one, what had waited.
        """
        nodes, people, world = self.federation.nodes, self.people, self.world
        payer, sleeper, other = self.prices.sample(list(nodes), 3)
        marie = f"{MEMBERS[0]}@{payer}"
        self.trouble.leave(nodes[sleeper])
        people.pay(marie, f"{MEMBERS[0]}@{sleeper}", 1, deliver="when_reachable")
        rate = self.prices.choice(_UNITS)[0]
        world.later(MINUTE, lambda: people.propose_rate(payer, rate))
        world.later(2 * MINUTE, lambda: people.approve(payer))
        for wait_ms in (3 * MINUTE, 4 * MINUTE):
            world.later(wait_ms, lambda: people.pay(marie, f"{MEMBERS[0]}@{other}", 1))
        world.later(10 * MINUTE, lambda: self.trouble.come_back(nodes[sleeper]))

    # The quiet end.

    def _quieten(self) -> None:
        """Put everything right; then all must end by itself."""
        self._be_silent(8 * DAY)
        self.trouble.put_right()
        self.key_people.hurry()
        self.lives.finish()
        self.cycles.finish()
        self.ledgers.finish()
        self.world.pass_silence(self.world.now + QUIET_MS)
