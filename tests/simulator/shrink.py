"""Cut a script shorter for as long as the same promise breaks (delta debugging).

What is tried, again and again until nothing helps: fewer lines, less time between
them, fewer groups, fewer kinds of small faults. Zeller's ``ddmin`` for the lines.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulator import replay
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND
from tests.simulator.ledger_people import NEWCOMERS
from tests.simulator.replay import Script
from tests.simulator.swarm import MEMBERS, NAMES

_TRIES_MAX = 1500
_NAMED = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|\b(?:"
    + "|".join((*NAMES, *MEMBERS, *NEWCOMERS, "hub", "nobody", "fund"))
    + r")\b"
    r"|decision \S+|(?:key|hand)-\d+|-?\d+|[{(\[].*"
)
_FALLBACKS = (1, SECOND, MINUTE, HOUR, DAY)


def promise(failure: str) -> str:
    """Say which promise broke, without who, when and how much."""
    return _NAMED.sub("_", failure)


class Shrinker:
    """Tries shorter scripts.

    Attributes:
        tries: how many were played.
    """

    def __init__(self, script: Script, failure: str) -> None:
        self.script = script
        self.tries = 0
        self._promise = promise(failure)

    def is_broken(self, script: Script) -> bool:
        """Say whether the same promise breaks in it."""
        self.tries += 1
        failure = replay.play(script).failure
        return bool(failure) and promise(failure) == self._promise

    def shrink(self, progress: Callable[[int, int], None]) -> Script:
        """Cut as long as anything can be cut."""
        size = -1
        while size != self._size() and self.tries < _TRIES_MAX:
            size = self._size()
            self._cut_lines(progress)
            for candidates in (self._quicker, self._calmer, self._smaller):
                self._take_all(candidates)
                progress(self.tries, len(self.script.steps))
        return self.script

    def _size(self) -> int:
        words = sum(len(line.split()) for _, line in self.script.steps)
        waits = sum(wait.bit_length() for wait, _ in self.script.steps)
        return words + waits + len(self.script.homes)

    def _may(self, script: Script) -> bool:
        if self.tries < _TRIES_MAX and self.is_broken(script):
            self.script = script
            return True
        return False

    def _cut_lines(self, progress: Callable[[int, int], None]) -> None:
        """Leave out half of the lines, a quarter, ... one."""
        length = max(1, len(self.script.steps) // 2)
        while True:
            start, has_cut = 0, False
            while start < len(self.script.steps):
                if self._may(_without(self.script, start, start + length)):
                    has_cut = True
                else:
                    start += length
                progress(self.tries, len(self.script.steps))
            if length == 1 and not has_cut:
                return
            length = max(1, length // 2)

    def _take_all(self, candidates: Callable[[], Iterator[Script]]) -> None:
        """Take every candidate that still breaks; each begins from the last taken."""
        has_taken = True
        while has_taken:
            has_taken = any(self._may(candidate) for candidate in candidates())

    def _quicker(self) -> Iterator[Script]:
        steps = self.script.steps
        for most in _FALLBACKS:
            cut = [(min(wait, most), line) for wait, line in steps]
            if cut != steps:
                yield replace(self.script, steps=cut)
        for index, (wait, line) in enumerate(steps):
            for less in (0, *_FALLBACKS):
                if less < wait:
                    one = (less, line)
                    cut = [*steps[:index], one, *steps[index + 1 :]]
                    yield replace(self.script, steps=cut)

    def _calmer(self) -> Iterator[Script]:
        for index, (wait, line) in enumerate(self.script.steps):
            if not line.startswith("network has"):
                continue
            words = line.split()
            for word in words[2:]:
                kept = " ".join(one for one in words if one != word)
                steps = list(self.script.steps)
                steps[index] = (wait, kept)
                yield replace(self.script, steps=steps)

    def _smaller(self) -> Iterator[Script]:
        told = " ".join(line for _, line in self.script.steps)
        homes = self.script.homes
        for home in homes:
            if home.name not in told and len(homes) > 2:
                kept = [one for one in homes if one is not home]
                yield replace(self.script, homes=kept)


def _without(script: Script, start: int, end: int) -> Script:
    """Leave lines out; those behind them come when they came."""
    steps = script.steps
    left = sum(wait for wait, _ in steps[start:end])
    rest = list(steps[end:])
    if rest:
        rest[0] = (rest[0][0] + left, rest[0][1])
    return replace(script, steps=[*steps[:start], *rest])


def shrink(
    seed: int, progress: Callable[[int, int], None]
) -> tuple[str, Script | None]:
    """Play a seed, and cut what breaks in it to the shortest script.

    Returns:
        What was broken, if anything; and the script, unless playing the seed's own
        script breaks something else.
    """
    one = replay.swarmed(seed)
    if not one.failure:
        return "", None
    shrinker = Shrinker(replay.recorded(one.world, one.homes), one.failure)
    if not shrinker.is_broken(shrinker.script):
        return one.failure, None
    return one.failure, shrinker.shrink(progress)
