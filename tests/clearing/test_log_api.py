"""The log as anyone reads it: checkpoints, tiles and evidence of a real hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clearing.api.log import LogApi
from clearing.evidence import Evidence
from protocol import envelope, merkle
from protocol.address import HUB
from protocol.base64url import read_base64url
from protocol.checkpoint import SignedCheckpoint, read_checkpoint
from protocol.messages import LogDecision, TransferDecision, read_item
from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from protocol.receipt import verify_receipt
from protocol.tiles import TileTree, write_path
from tests.peer.federation import (
    Federation,
    NewDatabase,
    federation,
    identity,
    order,
    until,
)
from tests.protocol.makers import FEDERATION, OOSTENDE, signing_key

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def published(federated: Federation) -> AsyncIterator[tuple[Client, Evidence]]:
    """The hub's log over HTTP, as ``clearing.app`` puts it together."""
    hub = federated.hub
    evidence = Evidence(identity())
    application = web.Application(middlewares=[problems.middleware(Metrics())])
    application.add_routes(LogApi(hub.clerk, hub.database, evidence).routes())
    async with TestClient(TestServer(application)) as client:
        yield client, evidence


async def newest(client: Client, log: str = "") -> SignedCheckpoint:
    path = f"/federation/v1/log/{log}/checkpoint" if log else "checkpoint"
    answer = await client.get(path if log else "/federation/v1/log/checkpoint")
    assert answer.status == 200
    return read_checkpoint(await answer.text(), FEDERATION, signing_key("hub").public)


async def leaves(federated: Federation, log: str) -> list[bytes]:
    rows = await federated.hub.ask(
        "SELECT line FROM decision WHERE log = $1 ORDER BY number", log
    )
    return [row["line"] for row in rows]


async def know(client: Client, tree: TileTree, log: str, size: int) -> None:
    """Fetch what computes the root of ``size`` and every leaf below it."""
    nodes = [*merkle.complete_nodes(0, size), *((0, place) for place in range(size))]
    fetched = {}
    for tile in tree.lacks(nodes):
        answer = await client.get(f"/federation/v1/log/{log}/{write_path(tile)}")
        assert answer.status == 200
        fetched[tile] = await answer.read()
    tree.add(fetched)


async def pay(federated: Federation, count: int, prefix: str) -> list[str]:
    orders = [order(f"{prefix} {number}") for number in range(count)]
    for one in orders:
        await federated.nodes[OOSTENDE].clerk.take(one)
    await federated.quiet()
    return [one.transfer_id for one in orders]


async def test_checkpoints_and_tiles_agree_with_every_decision(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        before = await newest(client)
        await pay(federated, 300, "eggs")
        after = await newest(client)
        assert after.size >= before.size + 300
        lines = await leaves(federated, after.log)
        assert len(lines) == after.size
        tree = TileTree(after.size, read_base64url(after.root, "root"))
        await know(client, tree, after.log, after.size)
        assert tree.root == merkle.Tree(lines).root
        for place in (0, 255, 256, after.size - 1):
            assert tree.node(0, place) == merkle.leaf_hash(lines[place])
        # The log only grew: what was signed before is what it was then.
        assert tree.root_at(before.size) == read_base64url(before.root, "root")
        # And the older note is still there to be had.
        path = f"/federation/v1/log/{before.log}/checkpoint?size={before.size}"
        answer = await client.get(path)
        assert answer.status == 200


async def test_a_new_log_begins_with_the_last_checkpoint_of_the_former(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        async with published(federated) as (client, _):
            await pay(federated, 2, "eggs")
            former = await newest(client)
        hub = federated.hub
        before = hub.clerk.life
        await hub.end_clerks()
        await until(lambda: hub.clerk.life != before and hub.clerk.is_ready)
        async with published(federated) as (client, _):
            lines = await leaves(federated, hub.clerk.life)
            answer = await client.get(f"/federation/v1/log/{hub.clerk.life}/first")
            assert await answer.read() == lines[0]
            first = read_item(lines[0])
            assert isinstance(first, LogDecision)
            assert first.former == former.short
            assert (await newest(client)).log == hub.clerk.life
            assert await newest(client, former.log) == former


async def test_covers_name_the_checkpoint_that_is_durable(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        await pay(federated, 3, "eggs")
        body = envelope.open_body(
            federated.hub.clerk.speak(OOSTENDE),
            federated.nodes[OOSTENDE].house.keyring,
            FEDERATION,
            OOSTENDE,
        )
        assert body.cover.payload.from_ == HUB
        assert body.cover.payload.checkpoint == (await newest(client)).short


async def test_evidence_is_a_receipt_that_names_nobody(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        ids = await pay(federated, 3, "eggs")
        for transfer_id in ids:
            answer = await client.get(f"/federation/v1/evidence/{transfer_id}")
            assert answer.status == 200
            raw = await answer.read()
            proven = verify_receipt(raw, FEDERATION)
            assert isinstance(proven.decision, TransferDecision)
            assert proven.decision.id == transfer_id
            assert proven.content is None
            for name in (b"marie", b"Marie", b"bob", b"eggs"):
                assert name not in raw


WRONG = {
    "evidence/0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b": 404,
    "evidence/nonsense": 404,
    "log/AAAAAAAAAAA/checkpoint": 404,
    "log/AAAAAAAAAAA/checkpoint?size=-1": 400,
    "log/AAAAAAAAAAA/checkpoint?size=%00": 400,
    "log/AAAAAAAAAAA/tile/0/000": 404,
    "log/AAAAAAAAAAA/tile/0/000.p/0": 400,
    "log/AAAAAAAAAAA/tile/0/000.p/256": 400,
    "log/AAAAAAAAAAA/tile/0/000.p/257": 400,
    "log/AAAAAAAAAAA/tile/9/000": 400,
    "log/AAAAAAAAAAA/tile/0/999": 404,
    "log/AAAAAAAAAAA/tile/0/x999/x999/x999/999": 404,
    "log/AAAAAAAAAAA/tile/0/x999/x999/x999/x999/999": 400,
    "log/AAAAAAAAAAA/tile/0/x999/x999/x999/x999/x999/999": 400,
    "log/AAAAAAAAAAA/tile/0/../../checkpoint": 404,
    "log/nonsense/checkpoint": 404,
    "log/AAAAAAAAAAA/first": 404,
    "log/nonsense/first": 404,
}


async def test_what_is_not_there_is_a_clear_answer(new_database: NewDatabase) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        found = {}
        for path in WRONG:
            answer = await client.get(f"/federation/v1/{path}")
            found[path] = answer.status
        assert found == WRONG
