"""Unsigned lines that wait to go behind a cover: few, not for long, in memory only.

Pure: it is told the time. What the lines say is ``protocol.inquiry``'s business;
the clerk puts them behind its covers.
"""

from collections import deque

#: Most lines that wait for one peer, and for all of them together.
PER_PEER_MAX = 200
ALL_MAX = 2000


class WaitingLines:
    """Lines by peer, oldest first; each is forgotten when its time is over.

    Args:
        per_peer_max: most that wait for one peer.
        all_max: most that wait in all.
    """

    def __init__(
        self, per_peer_max: int = PER_PEER_MAX, all_max: int = ALL_MAX
    ) -> None:
        self._per_peer_max = per_peer_max
        self._all_max = all_max
        #: Until when each line counts, seconds of the caller's clock, and the line.
        self._lines: dict[str, deque[tuple[float, bytes]]] = {}

    def put(self, peer: str, line: bytes, until_s: float, now_s: float) -> bool:
        """Let a line wait; gives ``False``, and forgets it, when too many do."""
        self._forget(now_s)
        waiting = self._lines.setdefault(peer, deque())
        if len(waiting) >= self._per_peer_max or self.count() >= self._all_max:
            return False
        waiting.append((until_s, line))
        return True

    def has(self, peer: str, now_s: float) -> bool:
        """Say whether a line waits for a peer."""
        # Every batch asks, and nearly always nothing waits.
        waiting = self._lines.get(peer)
        return waiting is not None and any(until_s > now_s for until_s, _ in waiting)

    def take(self, peer: str, count_max: int, room: int, now_s: float) -> bytes:
        """Take away the oldest lines, each ended by a newline.

        Args:
            peer: whose lines.
            count_max: most lines.
            room: most bytes in all.
            now_s: what is over by now is forgotten.
        """
        self._forget(now_s)
        waiting, taken = self._lines.get(peer, deque()), bytearray()
        while waiting and count_max and len(taken) + len(waiting[0][1]) < room:
            taken += waiting.popleft()[1] + b"\n"
            count_max -= 1
        return bytes(taken)

    def count(self) -> int:
        """Say how many lines wait."""
        return sum(map(len, self._lines.values()))

    def _forget(self, now_s: float) -> None:
        for peer, waiting in list(self._lines.items()):
            kept = deque(one for one in waiting if one[0] > now_s)
            if kept:
                self._lines[peer] = kept
            else:
                del self._lines[peer]
