"""What a seed does about cycles: who ends them, signs, forgets, alters, and when.

It has a source of chance of its own, so that in a seed without cycles everything is as
it would be if there were none, and in the others at least who pays whom is.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clearing import house as hub_house
from clearing.rules import ClosedCycle, CycleRefused, Leg
from protocol.envelope import Body
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND
from tests.simulator.cycle_lies import CycleLies
from tests.simulator.cycle_people import CyclePeople, Word
from tests.simulator.federation import Federation
from tests.simulator.members import People
from tests.simulator.memory_cycles import mover
from tests.simulator.servers import UNKNOWN, Server
from tests.simulator.trouble import Trouble

#: In so many seeds of ten somebody ends cycles.
_SEEDS_OF_TEN = 5
#: Where power fails now and then, if a seed has it fail there at all.
_HUB_STEPS = (
    "close",
    "agreed",
    "disputed",
    "moves",
    "settle",
    "signed",
    "settled",
    "void",
)
_NODE_STEPS = (
    "cycle",
    "statement",
    "agree",
    "dispute",
    "moves",
    "leg",
    "sign",
    "leg-settled",
    "leg-void",
)
_FAR = (SECOND, MINUTE, MINUTE, HOUR, 9 * DAY)
#: How often a treasurer looks for a leg that she was told of and does not see.
_LOOKS_MAX = 4
#: How often the regional admin tries to end a cycle that something holds up.
_TRIES_MAX = 3


def draw_of(seed: int) -> random.Random | None:
    """Give a seed's chance about cycles; ``None``: it has none."""
    draw = random.Random(f"cycles of {seed}")
    return draw if draw.randrange(10) < _SEEDS_OF_TEN else None


@contextmanager
def tallied_often(seed: int) -> Iterator[None]:
    """Let a hub write its tallies every few moves; seeds do not have thousands."""
    draw = draw_of(seed)
    before = hub_house._UNWRITTEN_MAX
    hub_house._UNWRITTEN_MAX = before if draw is None else draw.choice((1, 3, before))
    try:
        yield
    finally:
        hub_house._UNWRITTEN_MAX = before


class CycleSwarm:
    """One seed's regional admin and treasurers, as far as cycles go."""

    def __init__(
        self, seed: int, federation: Federation, people: People, trouble: Trouble
    ) -> None:
        draw = draw_of(seed)
        self.has_cycles = draw is not None
        self.draw = draw or random.Random()
        self.federation, self.trouble = federation, trouble
        self.people, self.payers = people.cycles, people
        self.world = federation.world
        #: A cycle is to end as soon as the hub has something to decide.
        self._is_closing = False
        self._alters = self.draw.random() < 0.6
        self._falls = self.draw.random() < 0.5
        self._calendar = self.draw.random() < 0.3
        #: Some treasurers never answer anything.
        self._silent = self.draw.random() < 0.15
        if draw is not None:
            for node in federation.nodes.values():
                node.cycle_lies = CycleLies(federation, draw)
            self._listen()

    def _listen(self) -> None:
        before = self.world.heard

        def heard(server: Server, peer: str, body: Body) -> None:
            before(server, peer, body)
            self._look_at_traffic(server, body)

        self.world.heard = heard

    def strew(self, span: int) -> None:
        """Draw what happens in a bout of trade, and when."""
        if not self.has_cycles:
            return
        later, draw = self.world.later, self.draw
        for _ in range(draw.choice((0, 1, 1, 2, 3))):
            later(draw.randint(0, span), self._close_in_traffic)
        # And when the bout is over, what it left is looked at and made good.
        later(span + draw.randint(0, draw.choice(_FAR)), self._close)
        for _ in range(draw.choice((0, 1, 2))):
            later(draw.randint(0, span), self._something)
        if self._calendar:
            span_of = draw.choice(("weekly", "monthly"))
            later(
                draw.randint(0, 40 * DAY), lambda: self.people.look_at_calendar(span_of)
            )

    # The regional admin.

    def _pay(self) -> None:
        """Let somebody pay another group, so that there is something to state."""
        draw, nodes = self.draw, self.federation.nodes
        payer, payee = draw.sample(list(nodes), 2)
        marie, bob = (next(iter(nodes[one].home.members)) for one in (payer, payee))
        amount = max(1, draw.choice((0, MINUTE, HOUR)) // nodes[payee].home.rate)
        how = draw.choice(("now", "when_reachable"))
        self.payers.pay(f"{marie}@{payer}", f"{bob}@{payee}", amount, deliver=how)

    def _close_in_traffic(self) -> None:
        """End a cycle just when payments are being decided."""
        for _ in range(self.draw.choice((1, 2, 3))):
            self._pay()
        self._is_closing = True

    def _look_at_traffic(self, server: Server, body: Body) -> None:
        """End it in the batch that takes an accept, before it or behind it."""
        if not self._is_closing or server is not self.federation.hub:
            return
        if any(b'"transfer.accept"' in one for e in body.envelopes for one in e.lines):
            self._is_closing = False
            if self.draw.random() < 0.3:
                self._close()
            else:
                self.world.later(0, self._close)

    def _close(self, tries: int = 1) -> None:
        cycle = self.people.open_cycle + self.draw.choice((0,) * 8 + (-1, 1))
        self._fall(self.federation.hub, _HUB_STEPS)
        self.people.close(max(1, cycle), lambda told: self._closed(cycle, told, tries))

    def _closed(self, cycle: int, told: object, tries: int) -> None:
        draw, later = self.draw, self.world.later
        if told is UNKNOWN and draw.random() < 0.5:
            # She asks again; it may have ended without her hearing so.
            later(draw.randint(1, HOUR), lambda: self.people.close(cycle))
        elif isinstance(told, CycleRefused) and tries < _TRIES_MAX:
            later(draw.randint(1, HOUR), lambda: self._close(tries + 1))
        elif isinstance(told, ClosedCycle) and draw.random() < 0.8:
            wait = draw.randint(0, draw.choice(_FAR))
            later(wait, lambda: self._settle(cycle))

    def _settle(self, cycle: int) -> None:
        self._fall(self.federation.hub, _HUB_STEPS)
        self.people.settle(cycle, self._planned, self._excepted())

    def _excepted(self) -> list[str]:
        """Name whom a plan leaves out: mostly nobody, seldom somebody twice."""
        draw, groups = self.draw, list(self.federation.nodes)
        if draw.random() < 0.7:
            return []
        named = draw.sample(groups, draw.choice((0, 1, 1, 2)))
        return named + named[: draw.choice((0,) * 8 + (1,))]

    def _planned(self, told: object) -> None:
        """Let both parties of each leg hear of it, and do what they do."""
        if not isinstance(told, list):
            return
        if told and self.draw.random() < 0.4:
            # When all may have been made good, she asks for more.
            wait = self.draw.randint(0, self.draw.choice(_FAR))
            self.world.later(wait, lambda: self._settle(told[0].cycle))
        for leg in told:
            self._plan_words(leg)
            if self.draw.random() < 0.12:
                self._freeze(self.draw.choice((leg.debtor, leg.creditor)))
            if self.draw.random() < 0.1:
                ends = leg.debtor, leg.creditor, leg.cycle
                wait = self.draw.randint(0, self.draw.choice(_FAR))
                self.world.later(wait, lambda ends=ends: self.people.void(*ends))

    def _plan_words(self, leg: Leg) -> None:
        parties: tuple[tuple[str, Word, str], ...] = (
            (leg.debtor, "paid", leg.creditor),
            (leg.creditor, "received", leg.debtor),
        )
        for group, word, other in parties:
            ways: Sequence[str] = ("once",) * 6 + ("twice", "wrong", "never")
            way = "never" if self._silent else self.draw.choice(ways)
            if way == "never":
                continue
            if way == "wrong":
                self._plan_word(
                    group, "paid" if word == "received" else "received", other, leg
                )
            if way == "twice":
                self._plan_word(group, word, other, leg)
            self._plan_word(group, word, other, leg)

    def _plan_word(
        self, group: str, word: Word, other: str, leg: Leg, looks: int = 1
    ) -> None:
        def sign() -> None:
            node = self.federation.nodes[group]
            self._fall(node, _NODE_STEPS)
            if not self.people.sign(group, word, other, leg.cycle) and (
                looks < _LOOKS_MAX
            ):
                self._plan_word(group, word, other, leg, looks + 1)
            elif self.draw.random() < 0.2 and not self.trouble.is_quiet:
                # What the hub may have forgotten, others have yet to say.
                self.trouble.crash(self.federation.hub)

        self.world.later(self.draw.randint(1, self.draw.choice(_FAR)), sign)

    def _freeze(self, group: str) -> None:
        """Freeze a party in between, and release it some day."""
        draw, later, people = self.draw, self.world.later, self.payers
        wait = draw.randint(0, draw.choice(_FAR))
        later(wait, lambda: people.freeze(group))
        if draw.random() < 0.7:
            later(wait + draw.randint(1, DAY), lambda: people.release(group))

    # What else happens.

    def _something(self) -> None:
        draw, newest = self.draw, self.people.open_cycle - 1
        match draw.choice(("alter",) * 4 + ("settle", "fall", "sign")):
            case "alter" if self._alters and self.trouble.is_honest:
                self._alter(draw.choice(list(self.federation.nodes)))
            case "settle":
                self._settle(max(1, newest - draw.choice((0, 0, 1))))
            case "sign":
                group, other = draw.sample(list(self.federation.nodes), 2)
                self.people.sign(
                    group, draw.choice(("paid", "received")), other, newest
                )
            case _:
                self._fall(self.federation.hub, _HUB_STEPS)

    def _fall(self, server: Any, steps: Sequence[str]) -> None:
        """Have power fail at the next of some step, if this seed has that."""
        draw = self.draw
        if self._falls and draw.random() < 0.5 and not self.trouble.is_quiet:
            when = draw.choice(("before", "after"))
            self.trouble.fall(server, draw.choice(list(steps)), when)

    def _alter(self, group: str, tries: int = 1) -> None:
        """Change a ledger by hand before a cycle ends, and mend it when found out."""
        draw, later = self.draw, self.world.later

        def alter() -> None:
            if self.trouble.is_quiet or group in self.people.altered:
                return
            if not self._has_moved(group):
                if tries < _TRIES_MAX:
                    self._alter(group, tries + 1)
                return
            self.people.alter(group)
            close_after = draw.randint(0, MINUTE)
            later(close_after, self._close)
            later(
                close_after + draw.randint(SECOND, MINUTE),
                lambda: self._settle(self.people.open_cycle - 1),
            )
            wait = draw.randint(SECOND, draw.choice(_FAR))
            later(wait + MINUTE, lambda: self._mend(group))

        self._pay()
        later(draw.randint(SECOND, MINUTE), alter)

    def _has_moved(self, group: str) -> bool:
        """Say whether a node has booked something in the cycle that is open."""
        node, hub = self.federation.nodes[group].database, self.federation.hub.database
        postings = node.table(("posting", "clearing"))
        if not postings:
            return False
        entry = node.table("entry")[next(reversed(postings))]
        made = mover(node, entry)
        places, cycles = hub.table("decision"), hub.table("cycle")
        at = places.get((made["log"], made["number"]), (0,))[0]
        newest = cycles[max(cycles)] if cycles else None
        return at > (places[newest["log"], newest["number"]][0] if newest else 0)

    def _mend(self, group: str) -> None:
        self.people.mend(group)
        node = self.federation.nodes[group]
        for cycle, row in sorted(node.database.table("cycle").items()):
            if row["state"] == "disputed":
                self.people.check(group, cycle)

    # The quiet end.

    def finish(self) -> None:
        """Let people bring to an end what hangs on them; in some seeds all of it."""
        if not self.has_cycles:
            return
        people, nodes = self.people, self.federation.nodes
        self.world.note("silence begins")
        self._pass(2 * HOUR)
        for group in nodes:
            self._mend(group)
        if self.draw.random() < 0.6:
            self._pass(HOUR)
            people.close(people.open_cycle)
            self._pass(HOUR)
            people.settle(people.open_cycle - 1)
            self._pass(HOUR)
            self._sign_all(people)
            if self.draw.random() < 0.3:
                self._pass(HOUR)
                people.settle(people.open_cycle - 1)
        self._pass(HOUR)

    def _sign_all(self, people: CyclePeople) -> None:
        for group, node in self.federation.nodes.items():
            for leg in list(node.database.table("leg").values()):
                if leg["state"] != "open":
                    continue
                is_debtor = leg["debtor"] == group
                other = leg["creditor"] if is_debtor else leg["debtor"]
                word: Word = "paid" if is_debtor else "received"
                people.sign(group, word, other, leg["cycle"])

    def _pass(self, for_ms: int) -> None:
        self.world.pass_silence(self.world.now + for_ms)
