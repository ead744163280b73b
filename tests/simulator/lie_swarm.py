"""In which seeds nodes watch the hub's log, and what their hub lies about, and when.

It has a source of chance of its own, so that all other seeds are as they were
(decision 65). In most of these seeds the hub lies, with whatever else goes wrong; in
the others it is honest, and must not be accused, also where it was put back to an
older day.

In eight of ten seeds that lie each group is told one lie, alone, from some moment until
the end: of several the first that is noticed hides the others, and one that ends is not
missed. In the rest it tells a few lies to anybody, always or seldom, and may stop.
People do what a lie is about (``lie_trade``), so that it is met.
"""

import random
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from protocol.address import HUB
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND
from tests.simulator.hub_lies import ANOTHER_KEY, LEAVES, NAMED, SENDS, HubLies
from tests.simulator.lie_trade import LieTrade
from tests.simulator.lie_watch import LieWatch
from tests.simulator.lying_hub import LyingHub, Scene
from tests.simulator.members import People
from tests.simulator.trouble import Trouble

#: In so many seeds of a hundred nodes watch; in so many of ten of these it lies, and
#: in so many of ten of those each group is told one lie alone.
_SEEDS_OF_HUNDRED = 12
_LYING_OF_TEN = 8
_ALONE_OF_TEN = 8
_HUNDRED = 100
#: So many words are dealt to a seed on; most seeds have no more groups.
_DEALT_A_SEED = 3
#: Words that are dealt. With another key the hub is heard by nobody, lies and all.
DEALT = (*SENDS, *LEAVES, *NAMED)
#: By then nodes have found what there is to find: a minute's patience, and two polls.
FOUND_MS = 3 * MINUTE
_POLL_MS = 25 * SECOND
#: So often a hub that was down, or had no log yet, tries to begin a lie.
_TRIES_MAX = 20


class Swarming(Scene, Protocol):
    """A seed, or a script that is played."""

    people: People
    trouble: Trouble


class LieSwarm:
    """One seed's watches, and its hub's lies.

    Attributes:
        alone: by group, what it will be told alone; nothing once that is planned.
    """

    def __init__(self, seed: int, scene: Swarming, drawn: "_Drawn") -> None:
        self.draw, self.world = drawn.draw, scene.world
        self.federation, self.people = scene.federation, scene.people
        self.liar = LyingHub(scene)
        self.lies = HubLies(self.liar, seed)
        self.watch = LieWatch(scene.checker, self.liar, self.lies)
        self.trade = LieTrade(scene.federation, scene.people, scene.trouble, self.draw)
        self._has_lies = drawn.has_lies
        self.alone = _deal(seed, self.federation.nodes) if drawn.is_alone else {}
        self._is_mixed = drawn.has_lies and not drawn.is_alone
        #: A few words a seed, so that lies stand alone now and then.
        self._words = [self._word() for _ in range(self.draw.choice((1, 1, 2, 3)))]

    def _word(self) -> str:
        kinds = (*[SENDS] * 6, *[LEAVES] * 4, *[NAMED] * 2, [ANOTHER_KEY])
        return self.draw.choice(list(self.draw.choice(kinds)))

    def strew(self, span: int) -> None:
        """Draw what the hub begins to lie about in a bout of trade, and when."""
        draw = self.draw
        for group, word in self.alone.items():
            # In the bout, soon after it, or where all is silent.
            wait = draw.choice((0, 0, HOUR, DAY))
            self._begin(draw.randint(0, span + wait), word, group, "always")
        self.alone = {}
        if self._is_mixed:
            self._strew_mixed(span)

    def _strew_mixed(self, span: int) -> None:
        draw, later = self.draw, self.world.later
        for word in self._words:
            if draw.random() < 0.6:
                group = draw.choice(list(self.federation.nodes))
                often = draw.choice(("always", "always", "seldom"))
                self._begin(draw.randint(0, span), word, group, often)
            if word == ANOTHER_KEY or draw.random() < 0.1:
                wait = draw.choice((MINUTE, 10 * MINUTE, HOUR))
                later(span + draw.randint(0, wait), self.lies.stop)

    def _begin(
        self, wait: int, word: str, group: str, often: str, tries: int = 1
    ) -> None:
        """Begin a lie, as soon as the hub can; and do what it is about."""

        def begin() -> None:
            if self.lies.do(word, group, often):
                self.trade.plan(word, group)
            elif tries < _TRIES_MAX:
                self._begin(MINUTE, word, group, often, tries + 1)

        self.world.later(wait, begin)

    def play(self, verb: str, rest: list[str]) -> None:
        """Do what a line of a script says."""
        if verb == "tells":
            self.lies.stop()
        else:
            word, _to, group, often = rest
            self.lies.do(word, group, often)

    # The quiet end.

    def at_the_end(self) -> None:
        """Let everyone speak with the hub again, and see what was found and booked."""
        world, told = self.world, len(self.world.script)
        self.liar.signs = None
        world.rates.poll_ms = _POLL_MS
        nodes = list(self.federation.nodes.values())
        for payer, payee in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            marie, bob = (next(iter(one.home.members)) for one in (payer, payee))
            self.people.pay(f"{marie}@{payer.name}", f"{bob}@{payee.name}", 1)
        hub = self.federation.hub
        for group in list(hub.parked):
            hub._answer_parked(hub.nodes[group].membership.group)
        self.trade.at_the_end(self.lies.standing)
        world.run(world.now + FOUND_MS)
        # Not part of the story: whoever plays it comes here again.
        del world.script[told:]
        self.watch.at_the_end()


class _Drawn(NamedTuple):
    """What chance says of a seed in which nodes watch, and what follows of it."""

    draw: random.Random
    has_lies: bool
    is_alone: bool


def _drawn(seed: int) -> _Drawn | None:
    draw = random.Random(f"lies of {seed}")
    if draw.randrange(_HUNDRED) >= _SEEDS_OF_HUNDRED:
        return None
    has_lies = draw.randrange(10) < _LYING_OF_TEN
    return _Drawn(draw, has_lies, has_lies and draw.randrange(10) < _ALONE_OF_TEN)


def _deal(seed: int, groups: Iterable[str]) -> dict[str, str]:
    """Deal each group a word, as cards: each has its turn in about a hundred seeds.

    With chance alone a word that few seeds can use may be missing for hundreds.
    """
    first = seed - seed % _HUNDRED
    before = sum(
        drawn is not None and drawn.is_alone
        for drawn in map(_drawn, range(first, seed))
    )
    deck = list(DEALT)
    random.Random(f"deck of {first}").shuffle(deck)
    place = before * _DEALT_A_SEED
    return {
        group: deck[(place + number) % len(deck)] for number, group in enumerate(groups)
    }


def is_watched(seed: int) -> bool:
    """Say whether nodes watch the hub's log in a seed."""
    return _drawn(seed) is not None


def lie_swarm(seed: int, scene: Swarming) -> LieSwarm | None:
    """Give a seed's watches; ``None``: in most seeds nobody watches the log."""
    drawn = _drawn(seed)
    return None if drawn is None else LieSwarm(seed, scene, drawn)


def is_lie(subject: str, verb: str) -> bool:
    """Say whether a line of a script is about the hub's lies."""
    return subject == HUB and verb in ("lies", "tells")
