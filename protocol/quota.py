"""How often something may happen within an hour before somebody must wait.

Kept in memory only: a restart forgives.
"""

from collections.abc import Hashable
from typing import Self

from protocol.instant import Instant
from protocol.unit import HOUR


class Quota:
    """Counts, for each name, what happened in the running hour.

    Args:
        most: how often it may happen in an hour.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._hour = 0
        self._counted: dict[Hashable, int] = {}
        #: Somebody else looks at the same counts: they are replaced, not changed.
        self._is_shared = False

    def copy(self) -> Self:
        """Give one that counts on from here, for a batch that may yet fail."""
        copied = type(self)(self._most)
        copied._hour, copied._counted = self._hour, self._counted
        # Nearly every batch counts nothing, so nothing is copied before it does.
        self._is_shared = copied._is_shared = True
        return copied

    def note(self, name: Hashable, now: Instant) -> bool:
        """Count once; gives whether just this has used the hour's quota up."""
        self._turn(now)
        if self._is_shared:
            self._counted, self._is_shared = dict(self._counted), False
        counted = self._counted[name] = self._counted.get(name, 0) + 1
        return counted == self._most

    def is_used_up(self, name: Hashable, now: Instant) -> bool:
        """Say whether nothing more is due to this name before the hour is over."""
        self._turn(now)
        return self._counted.get(name, 0) >= self._most

    def _turn(self, now: Instant) -> None:
        if now // HOUR != self._hour:
            self._hour, self._counted, self._is_shared = now // HOUR, {}, False


def hour_ends(now: Instant) -> Instant:
    """Say when the running hour is over and every quota is whole again."""
    return Instant((now // HOUR + 1) * HOUR)
