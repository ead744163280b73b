"""A member's receipt, over a node's own API and the log that its hub publishes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clearing.api.log import LogApi
from clearing.evidence import Evidence
from nodes.api.receipts import ReceiptApi
from nodes.payments import Payments
from protocol.peer.access_store import Caller
from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from protocol.peer.web.requests import CALLER
from protocol.receipt import MEDIA_TYPE, read_receipt, verify_receipt
from tests.peer.federation import (
    Federation,
    NewDatabase,
    federation,
    identity,
    order,
)
from tests.protocol.makers import FEDERATION, OOSTENDE

Client = TestClient[web.Request, web.Application]
#: How a test may have the hub answer for its evidence.
Answer = Callable[[web.Request], Awaitable[web.Response]]


class Counter(NamedTuple):
    """Where receipts are given, and what was ordered: cleared, and under way."""

    client: Client
    hub: TestServer
    cleared: str
    ordered: str

    async def ask(self, transfer: str, query: str = "", who: str = "marie") -> Any:
        path = f"/api/v1/transfers/{transfer}/receipt{query}"
        return await self.client.get(path, headers={"Who": who})


@web.middleware
async def let_in(request: web.Request, handler: Any) -> web.StreamResponse:
    """The door is tried elsewhere: here everyone says who she is."""
    request[CALLER] = Caller("", request.headers["Who"], frozenset({"read"}))
    answer: web.StreamResponse = await handler(request)
    return answer


def at_hub(federated: Federation, evidence: Answer | None) -> web.Application:
    hub, application = federated.hub, web.Application()
    if evidence is not None:
        application.router.add_get("/federation/v1/evidence/{id}", evidence)
    else:
        application.middlewares.append(problems.middleware(Metrics()))
        kept = Evidence(identity())
        application.add_routes(
            LogApi(hub.house, hub.clerk, hub.database, kept).routes()  # type: ignore[arg-type]
        )
    return application


@asynccontextmanager
async def counter(
    new_database: NewDatabase, evidence: Answer | None = None
) -> AsyncIterator[Counter]:
    """Oostende's receipts; ``evidence`` answers in the honest hub's place."""
    async with federation(new_database) as federated:
        node, orders = federated.nodes[OOSTENDE], (order("eggs"), order("bread"))
        await node.clerk.take(orders[0])
        await federated.quiet()
        await node.clerk.take(orders[1])
        house: Any = node.house
        payments = Payments(house, node.clerk, None, node.database)  # type: ignore[arg-type]
        async with TestServer(at_hub(federated, evidence)) as hub:
            url = str(hub.make_url("")).rstrip("/")
            [route] = ReceiptApi(payments, node.database, FEDERATION, url).routes()
            application = web.Application(
                middlewares=[problems.middleware(Metrics()), let_in]
            )
            application.router.add_get(route.path, route.handler)
            async with TestClient(TestServer(application)) as client:
                ids = [one.transfer_id for one in orders]
                yield Counter(client, hub, *ids)


@pytest.mark.parametrize(
    ("query", "is_shown"),
    [("", True), ("?content=true", True), ("?content=false", False)],
)
async def test_a_member_shows_as_much_as_she_likes(
    new_database: NewDatabase, query: str, is_shown: bool
) -> None:
    async with counter(new_database) as at:
        answer = await at.ask(at.cleared, query)
        raw = await answer.read()
    assert (answer.status, answer.content_type) == (200, MEDIA_TYPE)
    assert at.cleared in answer.headers["Content-Disposition"]
    verify_receipt(raw, FEDERATION)
    assert (read_receipt(raw).content is not None) is is_shown
    assert (b"eggs" in raw) is is_shown


async def test_only_ones_own_cleared_payments_have_a_receipt(
    new_database: NewDatabase,
) -> None:
    async with counter(new_database) as at:
        found = [
            await at.ask(at.ordered),
            await at.ask(at.cleared, who="lies"),
            await at.ask("not-an-id"),
            await at.ask(at.cleared, "?content=1"),
            await at.ask(at.cleared, "?content="),
            await at.ask(at.cleared, "?words=true"),
        ]
        kinds = [(await one.json())["type"].rpartition(":")[2] for one in found]
    assert [one.status for one in found] == [404, 404, 404, 400, 400, 400]
    assert kinds[:3] == ["no-receipt", "not-found", "not-found"]


async def test_a_hub_that_is_away_is_no_mistake_of_hers(
    new_database: NewDatabase,
) -> None:
    async with counter(new_database) as at:
        await at.hub.close()
        answer = await at.ask(at.cleared)
        assert answer.status == 503
        assert "Retry-After" in answer.headers


async def deny(_request: web.Request) -> web.Response:
    return web.Response(status=404)


async def talk(_request: web.Request) -> web.Response:
    return web.Response(body=b"nothing of the kind")


@pytest.mark.parametrize("evidence", [deny, talk])
async def test_a_hub_that_proves_nothing_is_no_mistake_of_hers(
    new_database: NewDatabase, evidence: Answer
) -> None:
    async with counter(new_database, evidence) as at:
        answer = await at.ask(at.cleared)
        assert answer.status == 503
        assert (await answer.json())["type"].endswith(":not-proved")
