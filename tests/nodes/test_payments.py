"""Payments as a member's program asks for them, over HTTP, at a real clerk."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.nodes.village import Village, founded, post
from tests.peer.federation import NewDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def village(shared_database: NewDatabase) -> AsyncIterator[Village]:
    async with founded(shared_database) as found:
        yield found


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
