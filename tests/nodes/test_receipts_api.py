"""A member's receipt, over a node's own API and the log that its hub publishes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clearing.api.log import LogApi
from clearing.evidence import Evidence
from nodes.api.receipts import ReceiptApi
from nodes.evidence import NodeEvidence
from nodes.payments import Payments
from nodes.watch.log_watch import LogWatch
from protocol import envelope
from protocol.address import Group
from protocol.peer.access_store import Caller
from protocol.peer.clock import Clock
from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from protocol.peer.web.requests import CALLER
from protocol.receipt import MEDIA_TYPE, read_receipt, verify_receipt
from protocol.refusal import MEDIA_TYPE as REFUSAL_TYPE
from protocol.refusal import verify_refusal
from tests.peer.audited import membership
from tests.peer.federation import (
    Federation,
    NewDatabase,
    federation,
    identity,
    order,
)
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE

Client = TestClient[web.Request, web.Application]
#: How a test may have the hub answer for its evidence.
Answer = Callable[[web.Request], Awaitable[web.Response]]


class Counter(NamedTuple):
    """Where receipts are given, and what was ordered: cleared, and under way."""

    client: Client
    hub: TestServer
    federated: Federation
    group: Group
    cleared: str
    ordered: str

    async def ask(
        self, transfer: str, query: str = "", who: str = "marie", what: str = "receipt"
    ) -> Any:
        path = f"/api/v1/transfers/{transfer}/{what}{query}"
        return await self.client.get(path, headers={"Who": who})

    async def look(self) -> None:
        """Let the node's watch check all that the hub has told it."""
        node = self.federated.nodes[self.group]
        house: Any = node.house
        url = str(self.hub.make_url("")).rstrip("/")
        watch = LogWatch(
            house, node.clerk, node.database, Clock(), url, NodeEvidence(house)
        )
        await self.federated.hub.clerk.may_speak(self.group)
        raw = self.federated.hub.clerk.speak(self.group)
        body = envelope.open_body(raw, house.keyring, FEDERATION, self.group)
        watch.note_cover(body.cover)
        await watch.look()


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
    new_database: NewDatabase,
    evidence: Answer | None = None,
    group: Group = OOSTENDE,
) -> AsyncIterator[Counter]:
    """A group's receipts; ``evidence`` answers in the honest hub's place."""
    async with federation(new_database) as federated:
        payer, orders = federated.nodes[OOSTENDE], (order("eggs"), order("bread"))
        await payer.clerk.take(orders[0])
        await federated.quiet()
        await payer.clerk.take(orders[1])
        node = federated.nodes[group]
        house: Any = node.house
        payments = Payments(house, node.clerk, None, node.database)  # type: ignore[arg-type]
        async with TestServer(at_hub(federated, evidence)) as hub:
            url = str(hub.make_url("")).rstrip("/")
            joined = msgspec.structs.replace(membership(group), hub_url=url)
            api = ReceiptApi(
                payments, node.clerk, node.database, NodeEvidence(house), joined
            )
            application = web.Application(
                middlewares=[problems.middleware(Metrics()), let_in]
            )
            for route in api.routes():
                application.router.add_get(route.path, route.handler)
            async with TestClient(TestServer(application)) as client:
                ids = [one.transfer_id for one in orders]
                yield Counter(client, hub, federated, group, *ids)


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


@pytest.mark.parametrize(("group", "who"), [(OOSTENDE, "marie"), (MECHELEN, "bob")])
async def test_what_the_watch_has_checked_is_proved_without_the_hub(
    new_database: NewDatabase, group: Group, who: str
) -> None:
    async with counter(new_database, group=group) as at:
        with_hub = await (await at.ask(at.cleared, who=who)).read()
        await at.look()
        await at.hub.close()
        answer = await at.ask(at.cleared, who=who)
        raw = await answer.read()
        assert answer.status == 200, raw
        verify_receipt(raw, FEDERATION)
        one, other = read_receipt(raw), read_receipt(with_hub)
        same = ("prepare", "accept", "payer", "payee", "content", "statement")
        for name in same:
            assert getattr(one, name) == getattr(other, name)
        assert one.decision.line == other.decision.line
        hidden = await (await at.ask(at.cleared, "?content=false", who)).read()
        assert read_receipt(hidden).content is None


async def test_what_was_once_proved_is_not_written_again(
    new_database: NewDatabase,
) -> None:
    async with counter(new_database) as at:
        node = at.federated.nodes[OOSTENDE]
        await at.look()
        rows = await node.ask("SELECT * FROM proof")
        assert [str(row["transfer_id"]) for row in rows] == [at.cleared]
        # As after a fall between what is proved and what says that it was compared.
        await node.change("DELETE FROM compared_item")
        await node.restart()
        await at.look()
        assert await node.ask("SELECT * FROM proof") == rows
        assert len(await node.ask("SELECT * FROM proven_checkpoint")) == 1


async def test_a_proof_that_was_altered_is_never_handed_out(
    new_database: NewDatabase,
) -> None:
    async with counter(new_database) as at:
        node = at.federated.nodes[OOSTENDE]
        await at.look()
        await node.change(
            "ALTER TABLE proof DISABLE TRIGGER USER;"
            "UPDATE proof SET path = decode(repeat('00', 32), 'hex') || path"
        )
        assert (await at.ask(at.cleared)).status == 200
        await at.hub.close()
        assert (await at.ask(at.cleared)).status == 503


async def test_a_refused_payment_has_a_refusal_and_no_receipt(
    new_database: NewDatabase,
) -> None:
    async with counter(new_database) as at:
        node = at.federated.nodes[OOSTENDE]
        far = order("far", hub_now=Clock().now() + 10 * 86_400_000)
        await node.clerk.take(far)
        await at.federated.quiet()
        early = await at.ask(far.transfer_id, what="refusal")
        assert (early.status, "Retry-After" in early.headers) == (503, True)
        await at.look()
        await at.hub.close()
        answer = await at.ask(far.transfer_id, what="refusal")
        raw = await answer.read()
        assert (answer.status, answer.content_type) == (200, REFUSAL_TYPE)
        proven = verify_refusal(raw, FEDERATION)
        assert proven.decision.id == far.transfer_id
        assert proven.decision.code == "deadline-out-of-range"
        assert b"marie" not in raw
        for what, id_ in (("receipt", far.transfer_id), ("refusal", at.cleared)):
            answer = await at.ask(id_, what=what)
            assert answer.status == 404
            assert (await answer.json())["type"].endswith(f":no-{what}")
        answer = await at.ask(far.transfer_id, who="lies", what="refusal")
        assert answer.status == 404


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
