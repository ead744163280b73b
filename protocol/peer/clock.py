"""The only file that reads the time.

Rules and stores take ``now`` as an argument, so that the simulator can hand them
any time it likes.
"""

import time

from protocol.instant import Instant


class Clock:
    """This machine's clock.

    Args:
        offset_ms: added to the wall time; for trials with clocks that disagree.
    """

    def __init__(self, offset_ms: int = 0) -> None:
        self._offset_ms = offset_ms

    def now(self) -> Instant:
        """Wall time; two reads may be equal, and it may jump either way."""
        return Instant(time.time_ns() // 1_000_000 + self._offset_ms)

    def monotonic_s(self) -> float:
        """Seconds from no particular moment, never backwards: to measure and wait."""
        return time.monotonic()
