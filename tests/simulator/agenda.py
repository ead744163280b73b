"""What happens when: true time, which no server knows, and a heap of plans.

Time jumps from one thing to the next, so that an hour costs nothing where nothing
happens. Where all that happens is that waits end and begin anew, it jumps further.
"""

import heapq
from collections.abc import Callable
from typing import Any

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: How long a silence lasts before somebody looks whether all rest; then longer.
_LOOK_MS = 10 * MINUTE
_LOOK_FAR_MS = 8 * HOUR
#: More than any seed needs: beyond it something goes round in circles.
_EVENTS_MAX = 500_000

#: What will happen: when, in which order among those of one moment, what (nothing
#: when it was called off), and whether it only ends a wait that may as well go on.
Planned = list[Any]
_AT, _HAPPEN, IS_IDLE = 0, 2, 3


def call_off(one: Planned) -> None:
    """Let what was planned not happen."""
    one[_HAPPEN] = None


class Agenda:
    """Time, and what was planned for it.

    Attributes:
        now: true time, milliseconds.
        events: how many things have happened: a message came, a batch was decided,
            a wait ended, a sweeper looked, somebody did something. What was called
            off does not count, nor what is jumped over.
        jumped_ms: how much of the time was jumped over, since nothing could change.
    """

    def __init__(self, now: int) -> None:
        self.now = now
        self.events = 0
        self.jumped_ms = 0
        #: Whether anything was done that a script tells, since time last passed.
        self.has_deed = False
        #: Says whether only waits are left, so that each would be followed by its like.
        self.rests: Callable[[], bool] = lambda: False
        #: Told how far time has jumped.
        self.on_jump: Callable[[int], None] = lambda _: None
        self._heap: list[Planned] = []
        self._order = 0

    def later(
        self, delay_ms: float, happen: Callable[[], None], *, is_idle: bool = False
    ) -> Planned:
        """Let something happen after a while."""
        self._order += 1
        one: Planned = [self.now + int(delay_ms), self._order, happen, is_idle]
        heapq.heappush(self._heap, one)
        return one

    def run(self, until: int) -> None:
        """Let everything happen up to a time."""
        self._run(until)
        self.now = max(self.now, until)

    def _run(self, until: int, *, stops_at_deed: bool = False) -> None:
        heap, pop = self._heap, heapq.heappop
        self.has_deed = False
        while heap and heap[0][_AT] <= until:
            at, _, happen, _ = pop(heap)
            if happen is None:
                continue
            self.now = at
            self.events += 1
            assert self.events < _EVENTS_MAX, "the federation never comes to rest"
            happen()
            if self.has_deed and stops_at_deed:
                return
        if stops_at_deed:
            self.now = max(self.now, until)

    def pass_silence(self, until: int) -> None:
        """Let everything happen up to a time, and jump where nothing can change.

        Looks begin anew with each deed, so that a silence that is told in parts, from
        deed to deed, passes as it did in one piece.
        """
        pause = _LOOK_MS
        while self.now < until:
            if self.rests() and self._jump(until):
                pause = _LOOK_MS
            self._run(min(until, self.now + pause), stops_at_deed=True)
            pause = _LOOK_MS if self.has_deed else min(pause * 2, _LOOK_FAR_MS)

    def _jump(self, until: int) -> bool:
        """Put off every wait by as much as time jumps; gives whether it did.

        Where servers rest, a wait that ends begins the same wait again: doing so a
        thousand times leaves what doing it once leaves (``test_silence``). The last
        time is not jumped over, so that everyone has heard of everyone lately.
        """
        heap = [one for one in self._heap if one[_HAPPEN] is not None]
        waits = [one for one in heap if one[IS_IDLE]]
        end = min((one[_AT] for one in heap if not one[IS_IDLE]), default=until)
        last = max((one[_AT] for one in waits), default=self.now)
        far = min(end, until) - MINUTE - last
        if far <= 0:
            return False
        for one in waits:
            one[_AT] += far
        heapq.heapify(heap)
        self._heap = heap
        self.now += far
        self.jumped_ms += far
        self.on_jump(far)
        return True
