"""A lying hub is found within a minute of the next payment, and harms as promised.

Each lie is told in three worlds: one where nothing else goes wrong, one whose network
loses and repeats, one whose nodes also lose their power. The nodes' watch is the real
one. What single lies look like byte by byte is in ``tests/nodes/test_lying_hub.py``.

Whatever the hub says, on each node's ledger nothing moves that its own member did not
order or that the paying group did not sign, every ledger sums to zero, and what is
posted for a payer was accepted, in its own words, by the payee's group.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from protocol.address import HUB
from protocol.base64url import write_base64url
from protocol.effects import SendItem
from protocol.errors import RefusalCode
from protocol.messages import (
    Checkpoint,
    DirectoryDecision,
    TransferAnswer,
    TransferDecision,
    read_item,
    write_line,
)
from tests.protocol.makers import signing_key
from tests.simulator.agenda import MINUTE, SECOND
from tests.simulator.hub_lies import LEAVES, forged_answer
from tests.simulator.lie_watch import see_no_harm
from tests.simulator.lying_hub import LeavesOf, LyingHub, Send
from tests.simulator.quick_keys import quick_keys
from tests.simulator.scenario import Story

PAYMENT = "marie@oostende  pays  bob@mechelen  2 blussers  when reachable"
#: Between others: Mechelen is told nothing of it.
SECRET = "jan@oostende  pays  an@brussel  1 zinneke  when reachable"
#: What a world may do meanwhile, and how long finding out may take there.
WORLDS = {
    "calm": ({}, 70 * SECOND),
    "lossy": ({"drop": 0.1, "repeat": 0.2, "delay_ms_max": 500}, 3 * MINUTE),
    "crashing": ({"drop": 0.05, "crash": 0.02, "tear": 0.002}, 5 * MINUTE),
}


class StoryLiar(LyingHub):
    """A story's hub that may lie, from its beginning on.

    Attributes:
        within_ms: how long the nodes may take to find out, in this world.
    """

    def __init__(self, story: Story, within_ms: int) -> None:
        self.story, self.within_ms = story, within_ms
        story.checker.doubted.add(HUB)
        super().__init__(story)


@pytest.fixture(params=WORLDS)
def liar(request: pytest.FixtureRequest) -> Iterator[StoryLiar]:
    rates, within_ms = WORLDS[request.param]
    with quick_keys():
        made = StoryLiar(Story(seed=7), within_ms)
        begin(made, rates)
        yield made
        see_no_harm(made.story.federation)


def begin(liar: StoryLiar, rates: dict[str, float]) -> None:
    """Let people trade while the hub is honest, and then let things go wrong."""
    story = liar.story
    story.world.run(story.world.now + 30 * SECOND)
    story.play(f"""
        {SECRET}
        clock  +10 s
        {PAYMENT}
        clock  +30 s
    """)
    assert not any(liar.doubts(one) for one in story.federation.nodes)
    for name, rate in rates.items():
        setattr(story.world.rates, name, rate)


def see_found(liar: StoryLiar, *groups: str) -> None:
    """See that one of these groups doubts in time, with proof, and calls people."""
    story = liar.story
    # As often as in earnest: patience lasts from poll to poll.
    story.world.rates.poll_ms = 25 * SECOND
    until = story.world.now + liar.within_ms
    while story.world.now < until:
        story.world.run(story.world.now + 5 * SECOND)
        found = [one for one in groups if liar.doubts(one)]
        if found:
            told = liar.doubts(found[0])
            assert set(told) <= set(liar.alarms(found[0]))
            return
    called = {one: liar.alarms(one) for one in groups}
    raise AssertionError(f"nobody found out; people were told: {called}")


def number_of(liar: StoryLiar, place: int) -> int:
    """Give the number of the decision on an order, by its place in the story."""
    wish = liar.story.wish(place)
    row = liar.hub.database.table("transfer")[wish.transfer_id]
    assert row["log"] == liar.hub.clerk.life  # type: ignore[union-attr]
    number: int = row["number"]
    return number


def shown(word: str, index: int) -> LeavesOf:
    """Show other leaves than the log has."""
    return lambda _log, lines: LEAVES[word](index)(lines)


def only(peer: str, change: Callable[[Any], list[bytes] | None]) -> Send:
    """Send one group other lines than the rules decided, where ``change`` gives any."""

    def send(sent: SendItem) -> list[SendItem]:
        lines = change(read_item(sent.line)) if sent.peer == peer else None
        if lines is None:
            return [sent]
        return [SendItem(sent.peer, line) for line in lines]

    return send


def test_two_histories(liar: StoryLiar) -> None:
    liar.leaves["mechelen"] = shown("shows-another", number_of(liar, 1))
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_a_decision_that_is_left_out(liar: StoryLiar) -> None:
    liar.leaves["mechelen"] = shown("leaves-out", number_of(liar, 2))
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_a_log_that_shrinks(liar: StoryLiar) -> None:
    liar.leaves["oostende"] = shown("shrinks", 2)
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")


def test_an_invented_accept(liar: StoryLiar) -> None:
    def forge(item: Any) -> list[bytes] | None:
        if not isinstance(item, TransferAnswer):
            return None
        return [forged_answer(liar.hub.federation, item)]

    liar.send = only("oostende", forge)
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")
    assert liar.story.outcome() == "ordered", "it posts nothing, and keeps the hold"


def test_a_cleared_payment_that_nobody_accepted(liar: StoryLiar) -> None:
    liar.send = only(
        "oostende", lambda item: [] if isinstance(item, TransferAnswer) else None
    )
    liar.story.play(f"""
        {PAYMENT}
        clock  +{liar.within_ms // SECOND} s
    """)
    assert liar.story.outcome() == "ordered"
    assert any("without its answer" in one for one in liar.alarms("oostende"))


def test_a_decision_on_what_nobody_ordered(liar: StoryLiar) -> None:
    def add(item: Any) -> list[bytes] | None:
        if not isinstance(item, TransferDecision):
            return None
        other = "0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"
        invented = msgspec.structs.replace(item, id=other, number=item.number + 1)
        return [write_line(item), write_line(invented)]

    liar.send = only("mechelen", add)
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_two_decisions_on_one_payment(liar: StoryLiar) -> None:
    second: list[bytes] = []

    def decide_again(item: Any) -> list[bytes] | None:
        if not isinstance(item, TransferDecision):
            return None
        other = msgspec.structs.replace(
            item,
            number=item.number + 1,
            outcome="refused",
            code=RefusalCode.CANCELLED,
            answer=None,
        )
        second[:] = [write_line(other)]
        return list(second)

    liar.send = only("mechelen", decide_again)
    # Both decisions are in the log, for everyone to see.
    for group in liar.story.federation.nodes:
        liar.leaves[group] = lambda _, lines: [*lines, *second]
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_a_directory_entry_that_is_another(liar: StoryLiar) -> None:
    def release(item: Any) -> list[bytes] | None:
        if not isinstance(item, DirectoryDecision):
            return None
        return [write_line(msgspec.structs.replace(item, state="active"))]

    liar.send = only("mechelen", release)
    liar.story.play(f"""
        admin  freezes  brussel
        {PAYMENT}
    """)
    see_found(liar, "mechelen")


def test_a_directory_entry_that_is_withheld(liar: StoryLiar) -> None:
    liar.send = only(
        "mechelen", lambda item: [] if isinstance(item, DirectoryDecision) else None
    )
    liar.story.play(f"""
        admin  freezes  brussel
        {PAYMENT}
    """)
    see_found(liar, "mechelen")
    # What it keeps proves nothing under a directory that it lacks: no fault of its own.
    assert not any("does not prove it" in one for one in liar.alarms("mechelen"))


def test_a_checkpoint_that_was_never_signed_so(liar: StoryLiar) -> None:
    liar.named["oostende"] = lambda true: Checkpoint(
        true.log, true.size, write_base64url(bytes(32))
    )
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")


def test_a_hub_that_names_no_checkpoint(liar: StoryLiar) -> None:
    liar.named["oostende"] = lambda _true: None
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")


def test_a_decision_that_is_withheld_is_missed_by_the_payee(liar: StoryLiar) -> None:
    """Of what it was never told a node has nothing to prove; the hold says so."""
    liar.send = only(
        "mechelen", lambda item: [] if isinstance(item, TransferDecision) else None
    )
    liar.story.play(f"""
        {PAYMENT}
        clock  +{liar.within_ms // SECOND} s
    """)
    mechelen = liar.story.federation.nodes["mechelen"].database
    row = mechelen.table("transfer")[liar.story.wish(-1).transfer_id]
    assert row["state"] == "accepted"
    assert mechelen.table("hold")[row["transfer_id"]]["state"] == "held"


def test_a_hub_with_another_key_is_not_heard(liar: StoryLiar) -> None:
    liar.signs = signing_key("a forger")
    liar.story.play(f"""
        {PAYMENT}
        clock  +{liar.within_ms // SECOND} s
        marie@oostende  pays  bob@mechelen  1 blusser
        clock  +1 s
    """)
    assert liar.story.outcome(3) == "ordered"
    assert liar.story.told(4) in ("refused", "unknown")
