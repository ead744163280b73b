"""What a button has just done, so that a second click sees the same and does nothing.

For what is shown once and kept nowhere, such as a link that lets somebody in: an order
that the clerk takes has a key that counts for ever instead. It is remembered for a
minute, in memory alone; pressed again later, the button is meant.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_S = 60.0
KEPT_MAX = 1000


class Once(Generic[T]):
    """Does something once for each key, one thing after the other."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._made: dict[tuple[str, str], tuple[float, T]] = {}

    async def do(self, person: str, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """Give what was made under this key, or make it.

        Args:
            person: who presses the button; what she made is nobody else's.
            key: drawn with the page that has the button.
            make: makes it; what it raises is raised, and not remembered.
        """
        # The second click of two waits for the first.
        async with self._lock:
            now = asyncio.get_running_loop().time()
            self._forget(now - KEPT_S)
            if (person, key) not in self._made:
                self._made[person, key] = (now, await make())
            return self._made[person, key][1]

    def _forget(self, since: float) -> None:
        """Let go of what is too old, or too much; the oldest stand first."""
        for named, (at, _) in list(self._made.items()):
            if at > since and len(self._made) < KEPT_MAX:
                break
            del self._made[named]
