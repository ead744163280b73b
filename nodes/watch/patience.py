"""Patience with a hub that is slow, and its end with one that hides something.

What is missing may be missing for a minute while the link is up; time in which
nobody spoke with the hub, or could read its log, does not count. So an outage of
any length is no lie, however it begins and ends (protocol, section 9).

Time counts from one cover of the hub's to the next: what was missing could have come
with the second. Nothing is known of the time since the newest, for the link may be
down again already.
"""

#: Two polls that the hub held back come to as much; one pause alone never does.
PATIENCE_S = 45.0
#: A hub that has nothing to say still answers a poll in this time; a longer pause
#: between two covers was an outage, or this process slept.
_LINK_UP_S = 45.0


class Patience:
    """Adds up, look by look, how long each thing has been missing."""

    def __init__(self) -> None:
        self._before_s = float("-inf")
        self._step_s = 0.0
        self._missing: dict[object, float] = {}
        self._counted: set[object] = set()

    def begin_look(self, heard_s: float) -> None:
        """Begin a look; what is missing at it was so since the look before.

        Args:
            heard_s: when the hub's newest cover came, by the monotonic clock.
        """
        passed_s = heard_s - self._before_s
        self._step_s = passed_s if passed_s < _LINK_UP_S else 0.0
        self._before_s = heard_s
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
