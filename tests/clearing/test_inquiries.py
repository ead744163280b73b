"""The hub passes inquiries on by rule, and forgets them."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from clearing.inquiries import Asked, Inquiries, Outcome, is_open
from protocol.address import Group
from protocol.directory import Directory
from protocol.envelope import Body
from protocol.inquiry import (
    KEPT_S,
    PER_MINUTE_MAX,
    InquiryLine,
    SealedAnswer,
    SealedInquiry,
    read_line,
)
from protocol.peer.metrics import Metrics
from protocol.peer.waiting_lines import PER_PEER_MAX, WaitingLines
from tests.peer.makers import directory_of
from tests.protocol.makers import (
    ID,
    MECHELEN,
    OOSTENDE,
    sealed_answer,
    sealed_inquiry,
)

GENT = Group("gent")


@dataclass
class HandClock:
    """A clock that stands still until a test moves it."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


@dataclass
class Words:
    """What the clerk would put behind its covers, and whom it would wake."""

    clock: HandClock
    waiting: WaitingLines = field(default_factory=WaitingLines)
    rung: list[str] = field(default_factory=list)

    def say_aside(self, peer: str, line: bytes, for_s: float) -> bool:
        now_s = self.clock.now_s
        return self.waiting.put(peer, line, now_s + for_s, now_s)

    def ring(self, peer: str) -> None:
        self.rung.append(peer)

    def lines_for(self, peer: str) -> list[InquiryLine | None]:
        told = self.waiting.take(peer, 10**6, 10**9, self.clock.now_s)
        return [read_line(line) for line in told.splitlines()]


@dataclass
class House:
    directory: Directory


class Hub:
    """The hub's part in inquiries with a clock and a clerk in the test's hand."""

    def __init__(self, **states: str) -> None:
        self.clock = HandClock()
        self.words = Words(self.clock)
        self.metrics = Metrics()
        known = directory_of()
        directory = {
            group: msgspec.structs.replace(record, state=states.get(group, "active"))
            for group, record in {**known, GENT: known[OOSTENDE]}.items()
        }
        self.inquiries = Inquiries(
            House(directory),  # type: ignore[arg-type]
            self.words,  # type: ignore[arg-type]
            self.clock,  # type: ignore[arg-type]
            self.metrics,
        )

    def take(self, sender: Group, *lines: InquiryLine, left_out: int = 0) -> None:
        cover: Any = None
        body = Body(cover=cover, inquiries=lines, left_out=left_out, envelopes=())
        self.inquiries.pass_on(sender, body)

    def counted(self, outcome: str) -> int:
        for line in self.metrics.render().decode().splitlines():
            if line.startswith(f'interlets_inquiries_total{{outcome="{outcome}"}} '):
                return int(float(line.rpartition(" ")[2]))
        return 0


def another(**changes: Any) -> SealedInquiry:
    return sealed_inquiry(inquiry=str(uuid.uuid4()), **changes)


def test_a_question_and_its_answer_go_to_whom_they_are_for() -> None:
    hub = Hub()
    hub.take(OOSTENDE, sealed_inquiry())
    assert hub.words.rung == [MECHELEN]
    assert hub.words.lines_for(MECHELEN) == [sealed_inquiry()]
    hub.take(MECHELEN, sealed_answer())
    assert hub.words.rung == [MECHELEN, OOSTENDE]
    assert hub.words.lines_for(OOSTENDE) == [sealed_answer()]
    assert hub.counted("passed-on") == 2


@pytest.mark.parametrize("line", [sealed_inquiry(), sealed_answer(to=GENT)])
def test_a_line_in_anothers_name_is_dropped(line: InquiryLine) -> None:
    hub = Hub()
    hub.take(GENT, sealed_inquiry(from_=GENT), line)
    assert hub.words.lines_for(MECHELEN) == [sealed_inquiry(from_=GENT)]
    assert hub.words.lines_for(GENT) == []
    assert hub.counted("not-yours") == 1


@pytest.mark.parametrize(
    ("state", "is_passed_on"),
    [("active", True), ("leaving", True), ("frozen", False), ("left", False)],
)
def test_only_a_group_that_can_be_paid_is_asked(state: str, is_passed_on: bool) -> None:
    hub = Hub(mechelen=state)
    hub.take(OOSTENDE, sealed_inquiry())
    assert bool(hub.words.lines_for(MECHELEN)) is is_passed_on
    assert hub.counted("unknown-group") == (not is_passed_on)


@pytest.mark.parametrize("to", ["atlantis", "hub", "oostende"])
def test_nobody_is_asked_who_is_no_other_group(to: str) -> None:
    hub = Hub()
    hub.take(OOSTENDE, sealed_inquiry(to=to))
    assert (hub.words.waiting.count(), hub.words.rung) == (0, [])
    assert hub.counted("unknown-group") == 1
    assert not is_open({}, to)


def test_a_replay_within_half_a_minute_is_dropped() -> None:
    hub = Hub()
    for _ in range(2):
        hub.take(OOSTENDE, sealed_inquiry())
    hub.clock.now_s += KEPT_S - 0.1
    hub.take(OOSTENDE, sealed_inquiry())
    assert hub.words.lines_for(MECHELEN) == [sealed_inquiry()]
    assert hub.counted("repeated") == 2
    hub.clock.now_s += 0.1
    hub.take(OOSTENDE, sealed_inquiry())
    assert hub.words.lines_for(MECHELEN) == [sealed_inquiry()]


def test_two_groups_may_draw_the_same_id() -> None:
    hub = Hub()
    hub.take(OOSTENDE, sealed_inquiry())
    hub.take(GENT, sealed_inquiry(from_=GENT))
    hub.take(MECHELEN, sealed_answer(), sealed_answer(to=GENT))
    assert hub.words.lines_for(OOSTENDE) == [sealed_answer()]
    assert hub.words.lines_for(GENT) == [sealed_answer(to=GENT)]


@pytest.mark.parametrize(
    ("sender", "answer"),
    [
        (GENT, sealed_answer(from_=GENT)),
        (MECHELEN, sealed_answer(to=GENT)),
        (MECHELEN, sealed_answer(answer=str(uuid.uuid4()))),
    ],
)
def test_an_answer_that_nobody_asked_for_is_dropped(
    sender: Group, answer: SealedAnswer
) -> None:
    hub = Hub()
    hub.take(OOSTENDE, sealed_inquiry())
    hub.take(sender, answer)
    assert hub.words.lines_for(OOSTENDE) == hub.words.lines_for(GENT) == []
    assert hub.counted("never-asked") == 1


def test_an_inquiry_is_answered_once_and_in_time() -> None:
    hub = Hub()
    hub.take(OOSTENDE, sealed_inquiry())
    hub.take(MECHELEN, sealed_answer(), sealed_answer())
    assert len(hub.words.lines_for(OOSTENDE)) == 1
    assert hub.counted("repeated") == 1
    hub.clock.now_s += KEPT_S
    hub.take(OOSTENDE, another())
    late = SealedAnswer(answer=ID, from_=MECHELEN, to=OOSTENDE, box="AA")
    hub.take(MECHELEN, late)
    assert hub.counted("never-asked") == 1


def test_a_hub_that_has_just_started_knows_of_no_question() -> None:
    hub = Hub()
    hub.take(MECHELEN, sealed_answer())
    assert hub.counted("never-asked") == 1


def test_a_line_that_nobody_comes_for_is_forgotten() -> None:
    hub = Hub()
    hub.take(OOSTENDE, sealed_inquiry())
    hub.clock.now_s += KEPT_S
    assert hub.words.lines_for(MECHELEN) == []


def test_a_group_asks_three_hundred_times_a_minute_and_no_more() -> None:
    hub, seen = Hub(), 0
    for _ in range(PER_MINUTE_MAX + 1):
        hub.take(OOSTENDE, another())
        seen += len(hub.words.lines_for(MECHELEN))
    assert (seen, hub.counted("too-many")) == (PER_MINUTE_MAX, 1)
    # The others may still ask, and Oostende may still answer.
    hub.take(GENT, sealed_inquiry(from_=GENT, to=OOSTENDE))
    assert len(hub.words.lines_for(OOSTENDE)) == 1
    hub.take(OOSTENDE, sealed_answer(from_=OOSTENDE, to=GENT))
    assert len(hub.words.lines_for(GENT)) == 1
    hub.clock.now_s += 60.1
    hub.take(OOSTENDE, another())
    assert len(hub.words.lines_for(MECHELEN)) == 1


def test_guessing_names_of_groups_counts_too() -> None:
    hub = Hub()
    for _ in range(PER_MINUTE_MAX):
        hub.take(OOSTENDE, another(to="atlantis"))
    hub.take(OOSTENDE, sealed_inquiry())
    assert hub.words.lines_for(MECHELEN) == []
    assert hub.counted("too-many") == 1


def test_so_many_wait_for_a_group_that_is_away_and_no_more() -> None:
    hub = Hub()
    hub.take(OOSTENDE, *(another() for _ in range(PER_PEER_MAX + 1)))
    assert hub.counted("too-many") == 1
    assert len(hub.words.lines_for(MECHELEN)) == PER_PEER_MAX


def test_so_many_questions_are_remembered_and_no_more() -> None:
    asked = Asked(asked_max=2)
    told = [asked.note(another(), now_s) for now_s in (0.0, 1.0, 2.0, KEPT_S)]
    passed, full = Outcome.PASSED_ON, Outcome.TOO_MANY
    assert told == [passed, passed, full, passed]


def test_what_could_not_be_read_is_counted() -> None:
    hub = Hub()
    hub.take(OOSTENDE, left_out=3)
    assert hub.counted("left-out") == 3
