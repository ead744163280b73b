"""What the hub keeps of cycles, and the effects that keep it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

import msgspec

from protocol.cycle import LATE_MS, Difference, Tally
from protocol.effects import HouseEffect, PostEntry
from protocol.errors import CycleRefusalCode
from protocol.instant import Instant, write_instant
from protocol.messages import CycleMove, DecisionName, SettlementLeg

#: What a debtor's group says of its leg, and what a creditor's.
Said = Literal["paid", "received"]
#: What a group may pay, and receive, in one cycle's transfers: half of what a statement
#: can say, so that legs have room. The hub ends a cycle by itself at half of that.
TURNOVER_MAX = 2**52
VoidCode = Literal["cancelled", "cycle-closed", "party-left"]


class Running(msgspec.Struct, frozen=True):
    """How a group's position goes in the cycle that is open.

    Attributes:
        opening: where it stood when the cycle began.
        tally: of its moves since.
        area: its position times how long it stood there, summed up to ``since``.
        since: its newest move by the hub's clock, or when the cycle began; ``None``:
            it has never moved.
    """

    opening: int = 0
    tally: Tally = Tally()
    area: int = 0
    since: Instant | None = None

    @property
    def position(self) -> int:
        """Where it stands now."""
        return self.opening + self.tally.net

    def after(self, move: CycleMove, at: Instant) -> "Running":
        """Give how it goes after one more move."""
        since = at if self.since is None else max(self.since, at)
        area = self.area + self.position * self._stood(since)
        return Running(self.opening, self.tally.after(move), area, since)

    def _stood(self, until: Instant) -> int:
        return 0 if self.since is None else max(0, until - self.since)

    def average(self, begin: Instant, end: Instant) -> int | None:
        """Average it over the cycle, rounded towards zero; ``None``: no time went by.

        A clock set back counts as one that stood still.
        """
        end = end if self.since is None else max(end, self.since)
        if end <= begin:
            return None
        area = self.area + self.position * self._stood(end)
        sign = -1 if area < 0 else 1
        return sign * (abs(area) // (end - begin))

    @property
    def is_full(self) -> bool:
        """Say whether so much has moved that the cycle should end."""
        return max(self.tally.debits, self.tally.credits) > TURNOVER_MAX // 2


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


class LegState(StrEnum):
    """What became of a leg."""

    OPEN = "open"
    SETTLED = "settled"
    VOID = "void"


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """What one group is to make good to another.

    Attributes:
        leg_id: a UUID (``protocol.cycle.leg_id``).
        cycle: whose positions it settles.
        place: how many legs of that cycle were made before it.
        at: when it was made.
        debtor: the group that pays, outside of these ledgers.
        creditor: the group that receives.
        milliseconds: how much.
        paid: hash of the debtor's word, once it is here.
        paid_at: when the hub took it.
        received: hash of the creditor's word, once it is here.
        received_at: when the hub took it.
        state: only an open one can still be signed, and moves nothing.
        name: the decision that ended it.
        ended_at: when that was.
        code: why it is void.
    """

    leg_id: str
    cycle: int
    place: int
    at: Instant
    debtor: str
    creditor: str
    milliseconds: int
    paid: str | None = None
    paid_at: Instant | None = None
    received: str | None = None
    received_at: Instant | None = None
    state: LegState = LegState.OPEN
    name: DecisionName | None = None
    ended_at: Instant | None = None
    code: VoidCode | None = None

    @property
    def is_signed(self) -> bool:
        """Say whether both have signed."""
        return self.paid is not None and self.received is not None

    @property
    def lacks(self) -> list[str]:
        """Name the groups whose word is waited for."""
        if self.state is not LegState.OPEN:
            return []
        words = ((self.debtor, self.paid), (self.creditor, self.received))
        return [group for group, word in words if word is None]

    def waited_ms(self, now: Instant) -> int:
        """Say for how long the next word has been waited for, since the one before."""
        if not self.lacks:
            return 0
        return max(0, now - max(self.at, self.paid_at or 0, self.received_at or 0))

    def is_late(self, now: Instant) -> bool:
        """Say whether a word has been waited for so long that somebody should call."""
        return self.waited_ms(now) >= LATE_MS

    @property
    def item(self) -> SettlementLeg:
        """What both groups are told."""
        return SettlementLeg(
            id=self.leg_id,
            cycle=self.cycle,
            at=write_instant(self.at),
            debtor=self.debtor,
            creditor=self.creditor,
            milliseconds=self.milliseconds,
        )


class KeepLeg(HouseEffect, frozen=True):
    """Keep a leg as it now stands."""

    leg: Leg


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A word on a leg, and the item that says it.

    Attributes:
        leg_id: which.
        said: what.
        party: the group whose item it is.
        item: its number in that group's stream.
        line: the item's line, as it stands there.
    """

    leg_id: str
    said: Said
    party: str
    item: int
    line: bytes


class KeepWord(HouseEffect, frozen=True):
    """Keep which item a word came in."""

    word: Word


class KeepLate(HouseEffect, frozen=True):
    """Remember for ever that people were called because a leg is late."""

    leg_id: str
    at: Instant


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """That a plan was made for a cycle; from it and the positions it is recomputed.

    Attributes:
        cycle: whose positions.
        place: of its first leg among the cycle's.
        legs: how many it has.
        at: when it was made.
        excepted: groups that carry their positions forward, as they were named.
    """

    cycle: int
    place: int
    legs: int
    at: Instant
    excepted: tuple[str, ...] = ()


class KeepSettlement(HouseEffect, frozen=True):
    """Keep that a plan was made."""

    settlement: Settlement


class CycleRefused(msgspec.Struct, frozen=True):
    """Why an order about a cycle changed nothing; ``group`` stands in the way."""

    code: CycleRefusalCode
    cycle: int
    group: str = ""


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
        legs: all that are open; and those of the cycle that is to be settled.
        settled: those that were settled since ``former``, where a plan is asked for.
    shared: a group of which something was shared since ``former``; ``None``: of none,
        or nobody asks for a plan.
        wanted_legs: cycles whose legs and statements the batch is about.
        wanted_leg_ids: legs that the batch is about, whatever became of them.
        wanted_words: open legs of which the batch may need the words.
        words: those of them that were given, by leg and what was said.
    """

    def __init__(
        self,
        former: ClosedCycle | None,
        running: Mapping[str, Running],
        legs: Mapping[str, Leg],
    ) -> None:
        self.former = former
        self._running = running
        self.changed: dict[str, Running] = {}
        self.moves = 0
        self.wanted: set[tuple[int, str]] = set()
        self.statements: dict[tuple[int, str], Statement] = {}
        self.has_closed = False
        self.legs = dict(legs)
        self.settled: dict[str, Leg] = {}
        self.shared: str | None = None
        self.wanted_legs: set[int] = set()
        self.wanted_leg_ids: set[str] = set()
        self.wanted_words: set[str] = set()
        self.words: dict[tuple[str, Said], Word] = {}

    @property
    def open_legs(self) -> list[Leg]:
        """All open legs, in the order in which they were made."""
        found = [leg for leg in self.legs.values() if leg.state is LegState.OPEN]
        return sorted(found, key=lambda leg: (leg.cycle, leg.place))

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
            move = CycleMove(name.log, name.number, entry.entry_id, posting.amount)
            self.move(posting.account_id, move, entry.at)

    def move(self, group: str, move: CycleMove, at: Instant) -> None:
        """Tally one move, made at some time by the hub's clock."""
        at = at if self.former is None else max(at, self.former.at)
        self.changed[group] = self.running(group).after(move, at)
        self.moves += 1

    def apply(self, effect: KeepCycle | KeepStatement | KeepLeg | KeepWord) -> None:
        """Let the next decision see that a cycle ended, or what was said of one."""
        if isinstance(effect, KeepWord):
            self.words[effect.word.leg_id, effect.word.said] = effect.word
            return
        if isinstance(effect, KeepLeg):
            self.legs[effect.leg.leg_id] = effect.leg
            if effect.leg.state is LegState.SETTLED:
                self.settled[effect.leg.leg_id] = effect.leg
            return
        if isinstance(effect, KeepStatement):
            kept = effect.statement
            self.statements[kept.cycle, kept.group] = kept
            return
        for group in {*self._running, *self.changed}:
            before = self.running(group)
            self.changed[group] = Running(before.position, since=effect.closed.at)
        self.former, self.has_closed = effect.closed, True
        self.settled, self.shared = {}, None
