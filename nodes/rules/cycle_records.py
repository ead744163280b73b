"""What a node keeps of cycles, and the effects that keep it."""

from enum import StrEnum

import msgspec

from protocol.cycle import Difference
from protocol.effects import HouseEffect
from protocol.instant import Instant
from protocol.messages import CycleDecision, DecisionName


class CycleState(StrEnum):
    """What we have said to the statement of a cycle."""

    TOLD = "told"
    """The cycle has ended; the statement is on its way."""

    WAITING = "waiting"
    """Our own ledger has yet to be looked at."""

    AGREED = "agreed"
    DISPUTED = "disputed"


class OwnCycle(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle as this group has it.

    Attributes:
        cycle: 1, 2, 3, ...
        name: the decision that ended it.
        former: the one that ended the cycle before.
        at: when, by the hub's clock.
        line: of our statement, once it is here.
        state: what we have said to it.
        answered_at: when we said so.
        dispute: the line of our newest dispute, if we ever disputed.
        unanswered: a list of the hub's that waits for an answer.
        difference: the first move that differs, once it was found.
    """

    cycle: int
    name: DecisionName
    former: DecisionName | None
    at: Instant
    line: bytes | None = None
    state: CycleState = CycleState.TOLD
    answered_at: Instant | None = None
    dispute: bytes | None = None
    unanswered: bytes | None = None
    difference: Difference | None = None

    def is_ended_by(self, decision: CycleDecision) -> bool:
        """Say whether this very decision ended it."""
        return self.name == DecisionName(decision.log, decision.number)


class KeepOwnCycle(HouseEffect, frozen=True):
    """Keep a cycle as it now stands."""

    cycle: OwnCycle


class KeepLog(HouseEffect, frozen=True):
    """Remember that the hub opened a log, behind those that we know."""

    log: str
