"""What the hub keeps of acts that need a second admin's word."""

from enum import StrEnum

import msgspec

from protocol.effects import HouseEffect
from protocol.instant import Instant

#: So long an act that was asked waits for another admin's word.
CONSENT_MS = 7 * 86_400_000


class ConsentState(StrEnum):
    """What became of what was asked; lapsed is what waits no longer."""

    ASKED = "asked"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """A dangerous act that an admin wants done.

    Attributes:
        number: 1, 2, 3, ...
        act: exactly what, as ``clearing.rules.consents`` writes it.
        asked_by: the name with which she signs in.
        asked_at: when.
        seen: hash of the newest decision on its group when it was asked; ``None``
            where the group was not there yet.
        state: whether it waits, was done or was taken back.
        ended_by: whose word ended it.
        ended_at: when.
    """

    number: int
    act: str
    asked_by: str
    asked_at: Instant
    seen: str | None = None
    state: ConsentState = ConsentState.ASKED
    ended_by: str | None = None
    ended_at: Instant | None = None

    @property
    def lapses_at(self) -> Instant:
        """When it waits no longer."""
        return Instant(self.asked_at + CONSENT_MS)

    def waits(self, now: Instant) -> bool:
        """Say whether another admin may still give her word.

        A clock that was set back makes nothing wait longer.
        """
        is_timely = self.asked_at <= now < self.lapses_at
        return self.state is ConsentState.ASKED and is_timely

    def is_done_by(self, name: str) -> bool:
        """Say whether this was done, with her word as the second."""
        return self.state is ConsentState.DONE and self.ended_by == name


class KeepConsent(HouseEffect, frozen=True):
    """Keep what was asked as it now stands."""

    consent: Consent
