"""Members listen over HTTP while others pay them, and while their node dies."""

import contextlib
import time

import pytest

from tests.federation.callers import AwayError, Stream
from tests.federation.world import Federation


def test_a_payee_sees_a_payment_within_a_second_of_its_decision(
    federation: Federation,
) -> None:
    marie, bob = federation.member("marie@oostende"), federation.member("bob@mechelen")
    with contextlib.closing(Stream(bob)) as stream:
        before = stream.until_account()[-1]["balance"]
        order = federation.order("bob@mechelen", 3, deliver="now", memo="Soep 🍲")
        answer = marie.pay(order, wait_s=20)
        decided = time.monotonic()
        paid = federation.note(marie, order, answer)
        told: list[dict[str, object]] = []
        while not told or told[-1].get("balance") != before + 3:
            told += stream.until_account()
        assert time.monotonic() - decided < 1
        payments = [one for one in told if one.get("id") == paid.transfer_id]
        assert payments[-1]["state"] == "cleared"
        assert (payments[-1]["amount"], payments[-1]["memo"]) == (3, "Soep 🍲")
        assert payments[-1]["payer"] == "marie@oostende"


def hear(stream: Stream, told: list[tuple[str, str]]) -> None:
    """Note the payments up to the next figures."""
    found = stream.until_account()
    told += [(one["id"], one["state"]) for one in found if "id" in one]


def hear_to_the_end(stream: Stream, told: list[tuple[str, str]]) -> None:
    with contextlib.closing(stream), contextlib.suppress(AwayError):
        while True:
            hear(stream, told)


def test_a_node_that_dies_forgets_nothing_that_is_to_be_told(
    federation: Federation,
) -> None:
    bob, mechelen = federation.member("bob@mechelen"), federation.server("mechelen")
    told: list[tuple[str, str]] = []
    stream = Stream(bob)
    stream.until_account()
    first = federation.pay("lies@oostende", "bob@mechelen", 1)
    federation.end_of(first)
    mechelen.kill()
    hear_to_the_end(stream, told)
    later = [federation.pay("lies@oostende", "bob@mechelen", 1) for _ in range(3)]
    mechelen.start()
    mechelen.wait_ready()
    for ordered in later:
        federation.end_of(ordered)
    mechelen.restart()
    expected = {ordered.transfer_id for ordered in (first, *later)}
    with contextlib.closing(Stream(bob, stream.known)) as again:
        # A decision may reach his node a moment after hers.
        while {one for one, state in told if state == "cleared"} != expected:
            hear(again, told)
    assert len(told) == len(set(told)), "nothing is told twice"


def test_a_node_that_stops_sends_its_listeners_home(federation: Federation) -> None:
    mechelen = federation.server("mechelen")
    with contextlib.closing(Stream(federation.member("bob@mechelen"))) as stream:
        stream.until_account()
        began = time.monotonic()
        mechelen.stop()
        assert time.monotonic() - began < 3
        with pytest.raises(AwayError, match="has ended"):
            stream.next()
    mechelen.start()
    mechelen.wait_ready()
