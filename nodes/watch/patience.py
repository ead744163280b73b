"""Patience with a hub that is slow, and its end with one that hides something.

What is missing may be missing for a minute while the link is up; time in which
nobody spoke with the hub, or could read its log, does not count. So an outage of
any length is no lie, however it begins and ends (protocol, section 9).
"""

#: A little less than the minute of the protocol: looks lie seconds apart.
PATIENCE_S = 50.0
#: A longer pause between two looks counts as much: this process may have slept.
_STEP_MAX_S = 15.0


class Patience:
    """Adds up, look by look, how long each thing has been missing."""

    def __init__(self) -> None:
        self._before_s: float | None = None
        self._step_s = 0.0
        self._missing: dict[object, float] = {}
        self._counted: set[object] = set()

    def begin_look(self, now_s: float, *, is_link_up: bool) -> None:
        """Begin a look; what is missing at it was so since the look before.

        Args:
            now_s: of the monotonic clock.
            is_link_up: the hub spoke to us a short while ago.
        """
        passed_s = 0.0 if self._before_s is None else now_s - self._before_s
        self._step_s = min(passed_s, _STEP_MAX_S) if is_link_up else 0.0
        self._before_s = now_s
        self._counted.clear()

    def is_over(self, what: object) -> bool:
        """Note that something is missing; says whether it has been for too long."""
        if what not in self._missing:
            self._missing[what] = 0.0
        elif what not in self._counted:
            self._missing[what] += self._step_s
        self._counted.add(what)
        return self._missing[what] >= PATIENCE_S

    def is_known(self, what: object) -> bool:
        """Say whether something was missing at a look before this one."""
        return what in self._missing and what not in self._counted

    def end(self, what: object) -> None:
        """Forget that something was missing: it was found."""
        self._missing.pop(what, None)
