"""The simulated world: time, chance, network, and who runs in it.

One seed decides everything: what happens when (``agenda``), and one source of chance.
What may go wrong, and how often, is drawn by ``swarm``.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from protocol.envelope import Body
from protocol.steps import Step
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND, Agenda
from tests.simulator.servers import Server

#: When every simulated world begins.
BEGINNING = 1_795_402_800_000


def describe(raw: bytes) -> str:
    """Name what stands behind a message's cover, for people."""
    kinds = [
        part.split(b'"')[0].decode()
        for line in raw.split(b"\n")
        if line.startswith(b'{"type":"')
        for part in [line[9:]]
    ]
    return ", ".join(kinds) or "cover"


@dataclass
class Rates:
    """How often what goes wrong, and how slow everything is, in one seed."""

    drop: float = 0.0
    repeat: float = 0.0
    late: float = 0.0
    late_ms_max: int = 10 * MINUTE
    delay_ms_max: int = 100
    crash: float = 0.0
    tear: float = 0.0
    silent_loss: float = 0.5
    down_ms_max: int = 10 * SECOND
    batch_pause_ms_max: int = 20
    batch_max: int = 1000
    poll_ms: int = 6 * HOUR


class World(Agenda):
    """Everything that is shared: time, chance, the network, the story.

    Attributes:
        draw: the only source of chance.
        rates: of faults.
        faults: how often each kind of fault has struck.
        inputs: how many inputs clerks have decided.
        steps: durable steps that were passed, before and after.
        lines: the story, if it is wanted.
    """

    def __init__(self, seed: int, *, is_told: bool = False) -> None:
        super().__init__(BEGINNING)
        self.seed = seed
        self.draw = random.Random(seed)
        self.rates = Rates()
        self.faults: Counter[str] = Counter()
        self.inputs = 0
        self.steps: set[tuple[Step, str]] = set()
        self.lines: list[str] | None = [] if is_told else None
        #: What was done when, in words that ``replay`` reads; silences have an end.
        self.script: list[tuple[int, str]] = []
        #: Planned crashes: server, step, before or after.
        self.planned: list[tuple[str, Step, str]] = []
        self.planned_tear: str | None = None
        #: Directions that carry nothing now: from, to.
        self.cut: Counter[tuple[str, str]] = Counter()
        #: What is to be lost, each once: from, to, and what it must carry.
        self.losses: list[tuple[str, str, str]] = []
        #: Since when nothing goes wrong any more, once that is so.
        self.quiet_since: int | None = None
        self.on_start: Callable[[Server], None] = lambda _: None
        self.on_crash: Callable[[Server], None] = lambda _: None
        #: Told of every message that a server writes: who, to whom, what.
        self.spoken: Callable[[Server, str, bytes], None] = lambda *_: None
        #: Told of every body that was taken: by whom, of whom, what.
        self.heard: Callable[[Server, str, Body], None] = lambda *_: None
        self._calm = 0

    # The story.

    def tell(self, text: str, *values: object) -> None:
        """Add a line to the story."""
        if self.lines is not None:
            passed = self.now - BEGINNING
            days, rest = divmod(passed, DAY)
            hours, rest = divmod(rest, HOUR)
            minutes, ms = divmod(rest, MINUTE)
            clock = f"day {days:3} {hours:02}:{minutes:02}:{ms / 1000:06.3f}"
            self.lines.append(f"{clock}  {text.format(*values)}")

    def note(self, line: str) -> None:
        """Add a deed to the script."""
        self.script.append((self.now, line))
        self.has_deed = True

    def count(self, fault: str) -> None:
        """Count a fault."""
        self.faults[fault] += 1

    # Chance.

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let nothing go wrong meanwhile."""
        self._calm += 1
        try:
            yield
        finally:
            self._calm -= 1

    def is_drawn(self, rate: float) -> bool:
        """Say whether something with this likelihood happens now."""
        return not self._calm and rate > 0 and self.draw.random() < rate

    @property
    def batch_max(self) -> int:
        """How many inputs a batch may have."""
        return self.rates.batch_max

    def batch_pause(self) -> int:
        """Draw how long a clerk is busy before it looks into its inbox."""
        return self.draw.randint(0, self.rates.batch_pause_ms_max)

    def may_crash(self, server: Server, step: Step, when: str) -> bool:
        """Say whether a server loses power at a step."""
        if (server.name, step, when) in self.planned:
            self.planned.remove((server.name, step, when))
            return True
        return self.is_drawn(self.rates.crash)

    def may_tear(self, server: Server) -> bool:
        """Say whether a server loses power between two writes of a batch."""
        if self.planned_tear == server.name:
            self.planned_tear = None
            return True
        return self.is_drawn(self.rates.tear)

    # Servers and network.

    def words_of(self, raw: bytes) -> str:
        """Say for the story what a message carries."""
        if self.lines is None:
            return ""
        return describe(raw)

    def started(self, server: Server) -> None:
        """Note that a server has started."""
        self.on_start(server)

    def crashed(self, server: Server) -> None:
        """Note that a server has lost its power; it comes back by itself."""
        self.on_crash(server)

    def carry(
        self,
        origin: str,
        to: str,
        arrive: Callable[[], None],
        what: str,
    ) -> None:
        """Carry a message, or lose, repeat, or delay it."""
        rates, draw = self.rates, self.draw
        if self.cut[origin, to] > 0:
            self.count("cut off")
            self.tell("{} to {}: {} is cut off", origin, to, what)
            return
        for loss in self.losses:
            if loss[:2] == (origin, to) and loss[2] in what:
                self.losses.remove(loss)
                self.tell("{} to {}: {} is lost", origin, to, what)
                return
        if self.is_drawn(rates.drop):
            self.count("drop")
            self.tell("{} to {}: {} is lost", origin, to, what)
            return
        delay = draw.randint(1, rates.delay_ms_max)
        if self.is_drawn(rates.late):
            self.count("delay")
            delay = draw.randint(1, rates.late_ms_max)
            self.tell("{} to {}: {} comes {} s late", origin, to, what, delay // 1000)
        self.later(delay, arrive)
        if self.is_drawn(rates.repeat):
            self.count("repeat")
            again = delay + draw.randint(1, rates.late_ms_max)
            self.tell("{} to {}: {} comes again", origin, to, what)
            self.later(again, arrive)
