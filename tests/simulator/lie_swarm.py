"""In which seeds nodes watch the hub's log, and what their hub lies about, and when.

It has a source of chance of its own, so that all other seeds are as they were
(decision 65). In most of these seeds the hub lies from some moment on, in one or
several ways, always or now and then, with whatever else goes wrong. In the others it is
honest, and must not be accused, also where it was put back to an older day.
"""

import random
from typing import Protocol

from protocol.address import HUB
from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.hub_lies import ANOTHER_KEY, LEAVES, NAMED, SENDS, HubLies
from tests.simulator.lie_watch import LieWatch
from tests.simulator.lying_hub import LyingHub, Scene
from tests.simulator.members import People

#: In so many seeds of a hundred nodes watch; and in so many of ten of these it lies.
_SEEDS_OF_HUNDRED = 12
_LYING_OF_TEN = 8
#: By then nodes have found what there is to find: a minute's patience, and two polls.
FOUND_MS = 3 * MINUTE
_POLL_MS = 25 * SECOND


class Swarming(Scene, Protocol):
    """A seed, or a script that is played."""

    people: People


class LieSwarm:
    """One seed's watches, and its hub's lies."""

    def __init__(self, seed: int, scene: Swarming, draw: random.Random) -> None:
        self.draw, self.world = draw, scene.world
        self.federation, self.people = scene.federation, scene.people
        self.liar = LyingHub(scene)
        self.lies = HubLies(self.liar, seed)
        self.watch = LieWatch(scene.checker, self.liar, self.lies)
        self._has_lies = draw.randrange(10) < _LYING_OF_TEN
        #: A few words a seed, so that lies stand alone now and then.
        self._words = [self._word() for _ in range(draw.choice((1, 1, 2, 3)))]

    def _word(self) -> str:
        kinds = (*[SENDS] * 6, *[LEAVES] * 4, *[NAMED] * 2, [ANOTHER_KEY])
        return self.draw.choice(list(self.draw.choice(kinds)))

    def strew(self, span: int) -> None:
        """Draw what the hub begins to lie about in a bout of trade, and when."""
        draw, later = self.draw, self.world.later
        if not self._has_lies:
            return
        for word in self._words:
            if draw.random() < 0.6:
                group = draw.choice(list(self.federation.nodes))
                often = draw.choice(("always", "always", "seldom"))
                at = draw.randint(0, span)
                later(
                    at,
                    lambda word=word, group=group, often=often: self.lies.do(
                        word, group, often
                    ),
                )
            if word == ANOTHER_KEY or draw.random() < 0.1:
                wait = draw.choice((MINUTE, 10 * MINUTE, HOUR))
                later(span + draw.randint(0, wait), self.lies.stop)

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
        world.run(world.now + FOUND_MS)
        # Not part of the story: whoever plays it comes here again.
        del world.script[told:]
        self.watch.at_the_end()


def _draw_of(seed: int) -> random.Random | None:
    draw = random.Random(f"lies of {seed}")
    return draw if draw.randrange(100) < _SEEDS_OF_HUNDRED else None


def is_watched(seed: int) -> bool:
    """Say whether nodes watch the hub's log in a seed."""
    return _draw_of(seed) is not None


def lie_swarm(seed: int, scene: Swarming) -> LieSwarm | None:
    """Give a seed's watches; ``None``: in most seeds nobody watches the log."""
    draw = _draw_of(seed)
    return None if draw is None else LieSwarm(seed, scene, draw)


def is_lie(subject: str, verb: str) -> bool:
    """Say whether a line of a script is about the hub's lies."""
    return subject == HUB and verb in ("lies", "tells")
