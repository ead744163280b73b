"""What the hub keeps of cycles, and the effects that keep it."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from protocol.cycle import Difference, Tally
from protocol.effects import HouseEffect, PostEntry
from protocol.instant import Instant
from protocol.messages import CycleMove, DecisionName


class Running(msgspec.Struct, frozen=True):
    """How a group's position goes in the cycle that is open."""

    opening: int = 0
    tally: Tally = Tally()


class ClosedCycle(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that has ended.

    Attributes:
        cycle: 1, 2, 3, ...
        name: the decision that ended it.
        former: the one that ended the cycle before.
        at: when, by the hub's clock.
        groups: how many statements it has.
        statements: the tree hash of their lines.
        reserve: the reserve's position at its end.
    """

    cycle: int
    name: DecisionName
    former: DecisionName | None
    at: Instant
    groups: int
    statements: str
    reserve: int


class StatementState(StrEnum):
    """What a group has said to its statement."""

    WAITING = "waiting"
    AGREED = "agreed"
    DISPUTED = "disputed"


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A group's statement, and what came of it.

    Attributes:
        cycle: whose.
        group: for whom.
        line: of the ``cycle.statement``; its hash names it.
        state: what the group last said.
        answered_at: when the hub took that.
        answer: number of the item that says so, in the group's stream.
        dispute: the line of its newest dispute, if it ever disputed.
        unanswered: a list of the node's that waits for an answer; empty: the first
            list is to be sent; ``None``: nothing waits.
        difference: the first move that differs, once it was found.
    """

    cycle: int
    group: str
    line: bytes
    state: StatementState = StatementState.WAITING
    answered_at: Instant | None = None
    answer: int | None = None
    dispute: bytes | None = None
    unanswered: bytes | None = None
    difference: Difference | None = None


class KeepCycle(HouseEffect, frozen=True):
    """Keep that a cycle has ended; what is decided now belongs to the next."""

    closed: ClosedCycle


class KeepStatement(HouseEffect, frozen=True):
    """Keep a statement as it now stands."""

    statement: Statement


class OpenCycle:
    """The cycle that is open, as a batch sees it; copies share what did not change.

    Attributes:
        former: the newest that has ended.
        changed: groups whose tally this batch has changed.
        moves: how many moves this batch has made.
        wanted: cycle and group of statements that the batch is about.
        statements: those of them that there are.
        has_closed: this batch has ended a cycle.
    """

    def __init__(
        self, former: ClosedCycle | None, running: Mapping[str, Running]
    ) -> None:
        self.former = former
        self._running = running
        self.changed: dict[str, Running] = {}
        self.moves = 0
        self.wanted: set[tuple[int, str]] = set()
        self.statements: dict[tuple[int, str], Statement] = {}
        self.has_closed = False

    @property
    def number(self) -> int:
        """The number of the cycle that is open."""
        return 1 if self.former is None else self.former.cycle + 1

    def running(self, group: str) -> Running:
        """Say how a group's position goes."""
        found = self.changed.get(group)
        return found or self._running.get(group) or Running()

    def post(self, effect: PostEntry, name: DecisionName) -> None:
        """Tally what a decision has moved."""
        entry = effect.entry
        for posting in entry.postings:
            before = self.running(posting.account_id)
            move = CycleMove(name.log, name.number, entry.entry_id, posting.amount)
            after = Running(before.opening, before.tally.after(move))
            self.changed[posting.account_id] = after
            self.moves += 1

    def apply(self, effect: KeepCycle | KeepStatement) -> None:
        """Let the next decision see that a cycle ended, or what was said of one."""
        if isinstance(effect, KeepStatement):
            kept = effect.statement
            self.statements[kept.cycle, kept.group] = kept
            return
        for group in {*self._running, *self.changed}:
            before = self.running(group)
            self.changed[group] = Running(before.opening + before.tally.net)
        self.former, self.has_closed = effect.closed, True
