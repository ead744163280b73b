"""The treasurer sees doubts and alarms, and says when people trust again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nodes.api.group import GroupApi
from nodes.api.groups import DirectoryApi
from nodes.api.trust import TrustApi
from nodes.commands.node import STAFF
from nodes.house import NodeHouse
from protocol.base64url import write_base64url
from protocol.errors import RefusalCode
from protocol.messages import Checkpoint
from protocol.peer import access_store
from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from protocol.peer.web.alarms import AlarmApi
from protocol.peer.web.routes import definitions
from protocol.peer.web.sign_in import Door
from tests.nodes.liar import Watched, watched
from tests.peer.federation import NewDatabase, Server
from tests.protocol.makers import MECHELEN, OOSTENDE

Client = TestClient[web.Request, web.Application]
TRUST = "/api/v1/group/trust"


async def token(node: Server, name: str, *scopes: str) -> dict[str, str]:
    async with node.database.desk.acquire() as connection:
        await access_store.invite_person(connection, name, scopes, node.clock.now())
        given = await access_store.new_errand(
            connection, name, scopes, node.clock.now()
        )
    return {"Authorization": f"Bearer {given}", "Accept-Language": "nl"}


@asynccontextmanager
async def treasury(seen: Watched) -> AsyncIterator[tuple[Client, dict[str, str]]]:
    """Mechelen's own API, as ``nodes.app`` puts it together, and its treasurer."""
    node = seen.federated.nodes[MECHELEN]
    house: Any = node.house
    assert isinstance(house, NodeHouse)
    table = [
        *DirectoryApi(house, node.clerk).routes(),
        *GroupApi(house, node.clerk, node.database).routes(),
        *AlarmApi(node.database, "/api/v1/group/alarms", "treasurer").routes(),
        *TrustApi(house, node.clerk, node.database).routes(),
    ]
    application = web.Application(middlewares=[problems.middleware(Metrics())])
    application.add_routes(definitions(table, Door(node.database, node.clock)))
    async with TestClient(TestServer(application)) as client:
        yield client, await token(node, STAFF.name, *STAFF.scopes)


async def lie(seen: Watched) -> None:
    """Let Mechelen find a cover that names another root than was signed."""
    true = await seen.hub.cover(MECHELEN)
    named = true.payload.checkpoint
    assert named is not None
    other = Checkpoint(named.log, named.size, write_base64url(bytes(32)))
    await seen.look(MECHELEN, cover=seen.hub.resign(true, other))


async def test_doubt_is_shown_and_ends_when_the_treasurer_says_so(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen, treasury(seen) as (client, who):
        await seen.pay(1, "eggs")
        await seen.look()
        await lie(seen)
        assert await seen.code_of_next("bread") == RefusalCode.HISTORY_DIFFERS
        group = await (await client.get("/api/v1/group", headers=who)).json()
        assert group["doubted"] == ["hub"]
        assert group["checkpoint"]["log"] == seen.federated.hub.clerk.life
        told = await (await client.get("/api/v1/group/alarms", headers=who)).json()
        [alarm] = told["alarms"]
        assert alarm["about"] == "history" and "another root" in alarm["told"]
        assert "regiobeheerder" in alarm["advice"]
        found = await (await client.get("/api/v1/group/doubts", headers=who)).json()
        [doubt] = found["doubts"]
        assert found["doubted"] == ["hub"] and doubt["trusted_at"] is None
        assert doubt["ours"].startswith("lets-belgium#")

        body = {"about": "hub", "reason": "Ann and Piet compared on the telephone"}
        answer = await client.post(TRUST, headers=who, json=body)
        assert (answer.status, await answer.json()) == (200, {"doubted": []})
        found = await (await client.get("/api/v1/group/doubts", headers=who)).json()
        [doubt] = found["doubts"]
        assert doubt["reason"] == body["reason"] and doubt["author"]
        # What the hub shows next is believed anew, and its decisions compared.
        assert seen.house(MECHELEN).checkpoint is None
        await seen.wait(10)
        hub: Any = seen.federated.hub.house
        assert seen.house(MECHELEN).checkpoint == hub.checkpoint
        assert await seen.code_of_next("cheese") is None
        await seen.wait(60)
        assert len(await seen.doubts(MECHELEN)) == 1
        # There is nothing left to trust; and what was said stays for ever.
        answer = await client.post(TRUST, headers=who, json=body)
        assert answer.status == 404
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await seen.federated.nodes[MECHELEN].change("DELETE FROM trust")


async def test_doubt_and_trust_outlive_a_start_of_the_node(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen, treasury(seen) as (client, who):
        await seen.look()
        before = seen.house(MECHELEN).trust
        await lie(seen)
        node = seen.federated.nodes[MECHELEN]

        async def loaded() -> Any:
            async with node.database.readers.acquire() as connection:
                house: Any = node.make_house()
                await house.load(connection, "AAAAAAAAAAA")
            return house.trust

        found = await loaded()
        assert found.doubted == {"hub"}
        assert (found.beliefs, found.newest) == (before.beliefs, before.newest)
        body = {"about": "hub", "reason": "looked"}
        await client.post(TRUST, headers=who, json=body)
        assert await loaded() == seen.house(MECHELEN).trust
        assert (await loaded()).era == 1
        # A second lie is found in the new era too.
        await seen.wait(5)
        await lie(seen)
        assert (await loaded()).doubted == {"hub"}


WRONG: dict[str, tuple[object, int]] = {
    "nobody": ({"about": "gent", "reason": "x"}, 404),
    "no reason": ({"about": "hub", "reason": ""}, 400),
    "only spaces": ({"about": "hub", "reason": " \n"}, 400),
    "NUL": ({"about": "hub", "reason": "a\0b"}, 400),
    "turned around": ({"about": "hub", "reason": "\u202eno"}, 400),
    "left out": ({"about": "hub"}, 400),
    "too long": ({"about": "hub", "reason": "x" * 501}, 400),
    "no name": ({"about": "Hub!", "reason": "x"}, 400),
    "unknown field": ({"about": "hub", "reason": "x", "force": True}, 400),
    "no object": ([], 400),
}


async def test_only_the_treasurer_and_only_a_whole_sentence(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen, treasury(seen) as (client, who):
        found = {
            name: (await client.post(TRUST, headers=who, json=body)).status
            for name, (body, _) in WRONG.items()
        }
        assert found == {name: status for name, (_, status) in WRONG.items()}
        assert not seen.federated.nodes[MECHELEN].task.done()
        member = await token(seen.federated.nodes[MECHELEN], "bob", "read", "pay")
        body = {"about": "hub", "reason": "x"}
        assert (await client.post(TRUST, headers=member, json=body)).status == 403
        for path in ("alarms", "doubts"):
            address = f"/api/v1/group/{path}"
            assert (await client.get(address, headers=member)).status == 403
            assert (await client.get(address)).status == 401
            for query in ("page_size=0", "page_size=201", "cursor=x", "since=1"):
                answer = await client.get(f"{address}?{query}", headers=who)
                assert answer.status == 400


async def test_alarms_come_in_pages(new_database: NewDatabase) -> None:
    async with watched(new_database) as seen, treasury(seen) as (client, who):
        await seen.federated.nodes[MECHELEN].change(
            "INSERT INTO alarm (at, about, told)"
            " SELECT now(), 'link', 'call ' || n FROM generate_series(1, 5) AS n"
        )
        told, cursor = [], ""
        for _ in range(3):
            answer = await client.get(
                f"/api/v1/group/alarms?page_size=2{cursor}", headers=who
            )
            page = await answer.json()
            told += [alarm["told"] for alarm in page["alarms"]]
            cursor = f"&cursor={page['cursor']}"
        assert told == [f"call {n}" for n in (5, 4, 3, 2, 1)]
        assert page["cursor"] is None


async def test_trust_in_a_group_is_its_own(new_database: NewDatabase) -> None:
    async with watched(new_database) as seen, treasury(seen) as (client, who):
        await seen.look()
        newest = seen.house(OOSTENDE).trust.newest
        assert newest is not None
        node = seen.federated.nodes[MECHELEN]
        await node.change(
            "INSERT INTO doubt (at, about, told, ours, theirs)"
            " VALUES (now(), 'oostende', 'x', 'y', 'z')"
        )
        async with node.database.readers.acquire() as connection:
            await seen.house(MECHELEN).load(connection, "AAAAAAAAAAA")
        assert await seen.code_of_next("eggs") == RefusalCode.HISTORY_DIFFERS
        body = {"about": "oostende", "reason": "their node had a wrong clock"}
        assert (await client.post(TRUST, headers=who, json=body)).status == 200
        # The hub was never doubted, so what is believed of it stays.
        assert seen.house(MECHELEN).checkpoint is not None
        assert await seen.code_of_next("bread") is None
