"""The hub passes inquiries on between groups, and cannot read them.

They are unsigned, so a line counts only if the cover before it was signed by the
group that it says it is from. An answer is passed on once, only from the group that
was asked, only to the group that asked. All of it is in memory: after a restart
whoever waits for an answer simply does not get one. What is not passed on is dropped
without a word, since nobody could believe an unsigned "no".
"""

from collections import Counter
from enum import StrEnum
from typing import assert_never

from clearing.house import HubHouse
from protocol.address import Group
from protocol.directory import Directory
from protocol.envelope import Body
from protocol.inquiry import (
    KEPT_S,
    OPEN_STATES,
    PER_MINUTE_MAX,
    InquiryLine,
    SealedAnswer,
    SealedInquiry,
)
from protocol.messages import write_line
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.metrics import Metrics
from protocol.peer.web.sign_in import Throttle

#: Most inquiries whose answers are waited for.
ASKED_MAX = 5000


class Outcome(StrEnum):
    """What becomes of a line, in order of precedence."""

    LEFT_OUT = "left-out"
    NOT_YOURS = "not-yours"
    TOO_MANY = "too-many"
    UNKNOWN_GROUP = "unknown-group"
    REPEATED = "repeated"
    NEVER_ASKED = "never-asked"
    PASSED_ON = "passed-on"


class Asked:
    """Who has asked whom within the last half minute; pure.

    Args:
        asked_max: most that is remembered.
    """

    def __init__(self, asked_max: int = ASKED_MAX) -> None:
        self._asked_max = asked_max
        #: By asking group and id: whom it asked, until when, and whether that group
        #: has answered. Oldest first, since all are kept for as long.
        self._asked: dict[tuple[str, str], tuple[str, float, bool]] = {}

    def note(self, line: InquiryLine, now_s: float) -> Outcome:
        """Remember an inquiry that is new, or match an answer with its inquiry."""
        self._forget(now_s)
        match line:
            case SealedInquiry():
                return self._note_inquiry(line, now_s)
            case SealedAnswer():
                return self._note_answer(line)
            case _:
                assert_never(line)

    def _note_inquiry(self, line: SealedInquiry, now_s: float) -> Outcome:
        key = line.from_, line.inquiry
        if key in self._asked:
            return Outcome.REPEATED
        if len(self._asked) >= self._asked_max:
            return Outcome.TOO_MANY
        self._asked[key] = (line.to, now_s + KEPT_S, False)
        return Outcome.PASSED_ON

    def _note_answer(self, line: SealedAnswer) -> Outcome:
        key = line.to, line.answer
        asked, until_s, is_answered = self._asked.get(key, ("", 0.0, False))
        if asked != line.from_:
            return Outcome.NEVER_ASKED
        if is_answered:
            return Outcome.REPEATED
        self._asked[key] = (asked, until_s, True)
        return Outcome.PASSED_ON

    def _forget(self, now_s: float) -> None:
        while self._asked:
            oldest = next(iter(self._asked))
            if self._asked[oldest][1] > now_s:
                return
            del self._asked[oldest]


def is_open(directory: Directory, group: str) -> bool:
    """Say whether a group may be asked, and may be told an answer."""
    record = directory.get(Group(group))
    return record is not None and record.state in OPEN_STATES


class Inquiries:
    """The hub's part in inquiries.

    Args:
        house: knows the directory.
        clerk: puts lines behind our covers.
        clock: for what is over.
        metrics: what is counted; never who asked about whom.
    """

    def __init__(
        self, house: HubHouse, clerk: Clerk, clock: Clock, metrics: Metrics
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._clock = clock
        self._metrics = metrics
        self._asked = Asked()
        self._throttle = Throttle(clock, window_s=60.0)

    def pass_on(self, sender: Group, body: Body) -> None:
        """Hand the lines behind a group's cover to those they are for."""
        outcomes = Counter({Outcome.LEFT_OUT: body.left_out})
        rung = set()
        for line in body.inquiries:
            outcome = self._pass_on(sender, line)
            outcomes[outcome] += 1
            if outcome is Outcome.PASSED_ON:
                rung.add(line.to)
        for outcome, count in outcomes.items():
            self._metrics.inquiries.labels(outcome.value).inc(count)
        for peer in rung:
            self._clerk.ring(peer)

    def _pass_on(self, sender: Group, line: InquiryLine) -> Outcome:
        if line.from_ != sender:
            return Outcome.NOT_YOURS
        # Counted before it is looked at any further: guessing costs as much.
        is_inquiry = isinstance(line, SealedInquiry)
        if is_inquiry and self._throttle.wait_s(sender, PER_MINUTE_MAX):
            return Outcome.TOO_MANY
        if line.to == sender or not is_open(self._house.directory, line.to):
            return Outcome.UNKNOWN_GROUP
        outcome = self._asked.note(line, self._clock.monotonic_s())
        if outcome is Outcome.PASSED_ON and not self._clerk.say_aside(
            line.to, write_line(line), KEPT_S
        ):
            return Outcome.TOO_MANY
        return outcome
