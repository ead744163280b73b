"""Turns: what anyone may ask takes only its share of the hub's readers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protocol.peer.web.problems import Problem

_RETRY_AFTER_S = 5


class Turns:
    """So many at once, so many more wait; whoever comes then is sent away at once.

    Args:
        at_once: how many are served together.
        waiting_max: how many may wait for that.
    """

    def __init__(self, at_once: int, waiting_max: int) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._waiting_max = waiting_max
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it.

        Raises:
            Problem: 503, too many wait already.
        """
        if self._turns.locked() and self._waiting >= self._waiting_max:
            raise Problem(
                503,
                "busy",
                "Too many ask for this now; please try again in a moment.",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            )
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()


def shares(readers: int) -> tuple[int, int]:
    """Say how many readers evidence and the log may each take at once.

    Two each where there are enough, and one is left for people and for what is due;
    of fewer than three, each still needs one.
    """
    evidence = min(2, max(1, readers // 2))
    log = min(2, max(1, readers - 1 - evidence))
    return evidence, log
