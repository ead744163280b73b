"""Payments as a member's program asks for them, over HTTP, at a real clerk."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from nodes.house import NodeHouse
from protocol.peer.recent import Recent
from protocol.transfer import Transfer
from tests.nodes.village import Village, founded, post
from tests.peer.federation import NewDatabase
from tests.protocol.makers import OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def village(shared_database: NewDatabase) -> AsyncIterator[Village]:
    async with founded(shared_database) as found:
        yield found


async def pays(village: Village, key: str, **changes: Any) -> tuple[int, Any]:
    """Let Marie pay Bob 3 ketjes, which costs her 1 blusser."""
    asked = {"to": "bob@mechelen", "payee_amount": 3, "payer_amount_max": 9}
    return await post(
        village.marie,
        "/api/v1/transfers",
        asked | changes,
        **{"Idempotency-Key": key},
    )


async def test_a_node_has_the_newest_transfers_at_hand_and_no_more(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = village.federation.nodes[OOSTENDE].house
    assert isinstance(house, NodeHouse)
    monkeypatch.setattr(house, "_recent", Recent[str, Transfer](2))
    ids = [(await pays(village, f"recent-{n}"))[1]["id"] for n in range(3)]
    assert [house.recent(one) is not None for one in ids] == [False, True, True]


async def test_a_price_too_small_is_answered_with_the_smallest_there_is(
    village: Village,
) -> None:
    # A blusser is 3 minutes and a ketje 1.
    asked = {"to": "marie@oostende", "amount": 2, "in": "payer"}
    status, told = await post(village.bob, "/api/v1/quotes", asked)
    assert (status, told["code"]) == (422, "amount-too-small")
    [smallest] = told["nearest"]
    assert smallest == {
        "payee_amount": 1,
        "milliseconds": 180_000,
        "payer_amount": 3,
    }
    status, told = await post(village.bob, "/api/v1/quotes", asked | {"amount": 3})
    assert (status, told["payer_amount"]) == (200, 3)


async def test_many_at_once_under_one_key_pay_once_and_hear_the_same(
    village: Village,
) -> None:
    node = village.federation.nodes[OOSTENDE]
    holds = await node.ask("SELECT FROM hold")
    answers = await asyncio.gather(*(pays(village, "one-key") for _ in range(50)))
    assert {status for status, _ in answers} == {201}
    assert all(told == answers[0][1] for _, told in answers)
    assert len(await node.ask("SELECT FROM hold")) == len(holds) + 1


async def test_another_body_under_the_same_key_at_the_same_time_is_told_so(
    village: Village,
) -> None:
    amounts = [3, 6] * 20
    answers = await asyncio.gather(
        *(pays(village, "two-bodies", payee_amount=amount) for amount in amounts)
    )
    by_body: dict[int, set[tuple[int, str]]] = {3: set(), 6: set()}
    for amount, (status, told) in zip(amounts, answers, strict=True):
        by_body[amount].add((status, told["id"] if status == 201 else told["type"]))
    # One of the two was first; whoever asked for it heard the same payment.
    [[paid], [other]] = sorted(map(list, by_body.values()))
    assert paid[0] == 201
    assert other == (422, "urn:interlets:problem:idempotency-key-reused")


async def test_many_at_once_who_are_refused_hear_the_same_refusal(
    village: Village,
) -> None:
    answers = await asyncio.gather(
        *(
            pays(village, "too-dear", payer_amount_max=1, payee_amount=6)
            for _ in range(20)
        )
    )
    assert {(status, told["code"]) for status, told in answers} == {
        (422, "rate-changed")
    }
