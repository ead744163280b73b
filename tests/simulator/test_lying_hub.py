"""A lying hub is found within a minute of the next payment, and harms as promised.

Each lie is told in three worlds: one where nothing else goes wrong, one whose network
loses and repeats, one whose nodes also lose their power. The nodes' watch is the real
one. What single lies look like byte by byte is in ``tests/nodes/test_lying_hub.py``.

Whatever the hub says, on each node's ledger nothing moves that its own member did not
order or that the paying group did not sign, every ledger sums to zero, and what is
posted for a payer was accepted, in its own words, by the payee's group.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from protocol import envelope
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
from tests.simulator.federation import Node
from tests.simulator.lying_hub import Leaves, LyingHub, Send
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


@pytest.fixture(params=WORLDS)
def liar(request: pytest.FixtureRequest) -> Iterator[LyingHub]:
    rates, within_ms = WORLDS[request.param]
    with quick_keys():
        made = LyingHub(Story(seed=7))
        made.within_ms = within_ms
        try:
            begin(made, rates)
            yield made
            see_no_harm(made)
        finally:
            made.close()


def begin(liar: LyingHub, rates: dict[str, float]) -> None:
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


def see_found(liar: LyingHub, *groups: str) -> None:
    """See that one of these groups doubts in time, with proof, and calls people."""
    story = liar.story
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


def said(node: Node, kind: str) -> set[str]:
    """Name the transfers about which a node has itself said something of a kind."""
    lines = node.database.table(("item", "hub", "out")).values()
    items = [msgspec.json.decode(line) for line in lines]
    return {item["id"] for item in items if item["type"] == kind}


def see_no_harm(liar: LyingHub) -> None:
    """Nothing is booked that the groups concerned did not sign for each other."""
    nodes = liar.story.federation.nodes
    asked = {name: said(node, "transfer.prepare") for name, node in nodes.items()}
    accepted = {name: said(node, "transfer.accept") for name, node in nodes.items()}
    for name, node in nodes.items():
        sums: Counter[str] = Counter()
        for row in node.database.table("account").values():
            sums[row["unit"]] += row["balance"]
        assert not any(sums.values()), f"{name} sums to {dict(sums)}"
        clearing = 0
        for id_, row in node.database.table("transfer").items():
            if row["state"] != "cleared" or row["payer_group"] == row["payee_group"]:
                continue
            assert id_ in asked[row["payer_group"]], f"{name}: nobody asked for {id_}"
            assert id_ in accepted[row["payee_group"]], f"{name}: nobody accepted {id_}"
            way = 1 if row["role"] == "payer" else -1
            clearing += way * row["milliseconds"]
        accounts = node.database.table("account")
        assert accounts["clearing"]["balance"] == clearing, name


def number_of(liar: LyingHub, place: int) -> int:
    """Give the number of the decision on an order, by its place in the story."""
    wish = liar.story.wish(place)
    row = liar.hub.database.table("transfer")[wish.transfer_id]
    assert row["log"] == liar.hub.clerk.life  # type: ignore[union-attr]
    number: int = row["number"]
    return number


def changed(index: int) -> Leaves:
    """One decision is another."""
    return lambda lines: [
        line.replace(b'"at":"2', b'"at":"3') if number == index else line
        for number, line in enumerate(lines)
    ]


def without(index: int) -> Leaves:
    return lambda lines: [*lines[:index], *lines[index + 1 :]]


def only(peer: str, change: Callable[[Any], list[bytes] | None]) -> Send:
    """Send one group other lines than the rules decided, where ``change`` gives any."""

    def send(sent: SendItem) -> list[SendItem]:
        lines = change(read_item(sent.line)) if sent.peer == peer else None
        if lines is None:
            return [sent]
        return [SendItem(sent.peer, line) for line in lines]

    return send


def test_two_histories(liar: LyingHub) -> None:
    liar.leaves["mechelen"] = changed(number_of(liar, 1))
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_a_decision_that_is_left_out(liar: LyingHub) -> None:
    liar.leaves["mechelen"] = without(number_of(liar, 2))
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_a_log_that_shrinks(liar: LyingHub) -> None:
    liar.leaves["oostende"] = lambda lines: lines[:2]
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")


def test_an_invented_accept(liar: LyingHub) -> None:
    def forge(item: Any) -> list[bytes] | None:
        if not isinstance(item, TransferAnswer):
            return None
        lines = [item.line.encode()]
        payload = envelope.EnvelopePayload(
            federation=liar.hub.federation,
            from_="mechelen",
            to="hub",
            life="AAAAAAAAAAA",
            first=1,
            count=1,
            root=envelope.root_of(lines),
            prev=envelope.NOTHING_ROOT,
            at="2026-11-23T02:59:01.123Z",
        )
        line_1, _ = envelope.seal(payload, signing_key("a forger"))
        return [write_line(TransferAnswer.of(envelope.prove(line_1, lines, [0])[0]))]

    liar.send = only("oostende", forge)
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")
    assert liar.story.outcome() == "ordered", "it posts nothing, and keeps the hold"


def test_a_cleared_payment_that_nobody_accepted(liar: LyingHub) -> None:
    liar.send = only(
        "oostende", lambda item: [] if isinstance(item, TransferAnswer) else None
    )
    liar.story.play(f"""
        {PAYMENT}
        clock  +{liar.within_ms // SECOND} s
    """)
    assert liar.story.outcome() == "ordered"
    assert any("without its answer" in one for one in liar.alarms("oostende"))


def test_a_decision_on_what_nobody_ordered(liar: LyingHub) -> None:
    def add(item: Any) -> list[bytes] | None:
        if not isinstance(item, TransferDecision):
            return None
        other = "0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"
        invented = msgspec.structs.replace(item, id=other, number=item.number + 1)
        return [write_line(item), write_line(invented)]

    liar.send = only("mechelen", add)
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_two_decisions_on_one_payment(liar: LyingHub) -> None:
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
        liar.leaves[group] = lambda lines: [*lines, *second]
    liar.story.play(PAYMENT)
    see_found(liar, "mechelen")


def test_a_directory_entry_that_is_another(liar: LyingHub) -> None:
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


def test_a_directory_entry_that_is_withheld(liar: LyingHub) -> None:
    liar.send = only(
        "mechelen", lambda item: [] if isinstance(item, DirectoryDecision) else None
    )
    liar.story.play(f"""
        admin  freezes  brussel
        {PAYMENT}
    """)
    see_found(liar, "mechelen")


def test_a_checkpoint_that_was_never_signed_so(liar: LyingHub) -> None:
    liar.named["oostende"] = lambda true: Checkpoint(
        true.log, true.size, write_base64url(bytes(32))
    )
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")


def test_a_hub_that_names_no_checkpoint(liar: LyingHub) -> None:
    liar.named["oostende"] = lambda _true: None
    liar.story.play(PAYMENT)
    see_found(liar, "oostende")


def test_a_decision_that_is_withheld_is_missed_by_the_payee(liar: LyingHub) -> None:
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


def test_a_hub_with_another_key_is_not_heard(liar: LyingHub) -> None:
    liar.signs = signing_key("a forger")
    liar.story.play(f"""
        {PAYMENT}
        clock  +{liar.within_ms // SECOND} s
        marie@oostende  pays  bob@mechelen  1 blusser
        clock  +1 s
    """)
    assert liar.story.outcome(3) == "ordered"
    assert liar.story.told(4) in ("refused", "unknown")
