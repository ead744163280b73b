"""What a node keeps of cycles, and the effects that keep it."""

from enum import StrEnum

import msgspec

from protocol.cycle import LATE_MS, Difference
from protocol.effects import HouseEffect
from protocol.instant import Instant
from protocol.messages import (
    CycleDecision,
    DecisionName,
    SettlementDecision,
    SettlementPaid,
    SettlementReceived,
    line_hash,
)


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


class LegState(StrEnum):
    """What became of a leg of ours."""

    OPEN = "open"
    SIGNED = "signed"
    """We have said that we paid, or received; the other has yet to."""

    SETTLED = "settled"
    VOID = "void"


class OwnLeg(msgspec.Struct, frozen=True, kw_only=True):
    """What our group is to make good to another, or another to us.

    Attributes:
        leg_id: a UUID, given by the hub.
        cycle: whose positions it settles.
        item: number of the hub's item that told of it.
        line: of that item; its hash names it.
        at: when the hub made it.
        debtor: the group that pays, outside of these ledgers.
        creditor: the group that receives.
        milliseconds: how much.
        state: where it stands here.
        signed_at: when our treasurer said so.
        author: the treasurer.
        reason: in her words.
        name: the decision that ended it.
        ended_at: when, by the hub's clock.
        code: why it is void.
    """

    leg_id: str
    cycle: int
    item: int
    line: bytes
    at: Instant
    debtor: str
    creditor: str
    milliseconds: int
    state: LegState = LegState.OPEN
    signed_at: Instant | None = None
    author: str | None = None
    reason: str | None = None
    name: DecisionName | None = None
    ended_at: Instant | None = None
    code: str | None = None

    def waited_ms(self, now: Instant) -> int:
        """Say for how long the next word has been waited for, ours or the other's."""
        if self.state not in (LegState.OPEN, LegState.SIGNED):
            return 0
        return max(0, now - max(self.at, self.signed_at or 0))

    def is_late(self, now: Instant) -> bool:
        """Say whether a word has been waited for so long that somebody should call."""
        return self.waited_ms(now) >= LATE_MS

    def word(self, group: str) -> SettlementPaid | SettlementReceived:
        """Write what ``group``, which is a party, says when it signs."""
        said = SettlementPaid if group == self.debtor else SettlementReceived
        return said(id=self.leg_id, leg=line_hash(self.line))

    def is_meant_by(self, decision: SettlementDecision) -> bool:
        """Say whether a decision is about this very leg."""
        told = (decision.cycle, decision.debtor, decision.creditor)
        ours = (self.cycle, self.debtor, self.creditor)
        return (*told, decision.milliseconds) == (*ours, self.milliseconds)


class KeepLateLeg(HouseEffect, frozen=True):
    """Remember for ever that the treasurer was called because a leg is late."""

    leg_id: str
    at: Instant


class KeepOwnLeg(HouseEffect, frozen=True):
    """Keep a leg as it now stands."""

    leg: OwnLeg


class KeepOwnCycle(HouseEffect, frozen=True):
    """Keep a cycle as it now stands."""

    cycle: OwnCycle


class KeepLog(HouseEffect, frozen=True):
    """Remember that the hub opened a log, behind those that we know."""

    log: str
