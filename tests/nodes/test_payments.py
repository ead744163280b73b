"""Payments as a member's program asks for them, over HTTP, at a real clerk."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from nodes.house import NodeHouse
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
    monkeypatch.setattr("nodes.house._RECENT_MAX", 2)
    house = village.federation.nodes[OOSTENDE].house
    assert isinstance(house, NodeHouse)
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
