"""A peer can call people, but not so often that nobody listens any more."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from protocol.address import HUB, Group
from protocol.effects import CallPeople
from protocol.errors import ItemRefusalCode
from protocol.instant import Instant
from protocol.messages import ItemRefused, write_line
from protocol.peer import directory_store
from protocol.peer.batch import Calls, PeerCalls
from protocol.peer.courier import Courier
from protocol.peer.endpoint import LinkEndpoint
from protocol.peer.steps import KillSwitch
from protocol.unit import HOUR
from tests.peer.federation import NewDatabase, Server, federation, order, until
from tests.peer.makers import NOW, later
from tests.peer.test_hostile import send_to_hub
from tests.protocol.makers import MECHELEN, OOSTENDE, hash_of


def told(calls: Calls, about: str, most: int, peer: Group = OOSTENDE) -> int:
    """How many of so many calls reach people."""
    call = CallPeople(about, "look")
    return sum(calls.may_call(peer, call, NOW) for _ in range(most))


@pytest.mark.parametrize(
    ("about", "most"), [("item", 1), ("quota", 1), ("transfer", 20), ("mirror", 20)]
)
def test_the_first_calls_reach_people_and_a_flood_does_not(
    about: str, most: int
) -> None:
    calls = Calls()
    assert told(calls, about, most) == most
    assert told(calls, about, 2000) == 0
    assert told(calls, about, 1, MECHELEN) == 1
    assert told(calls, "link", 1) == 1
    assert calls.may_call(OOSTENDE, CallPeople(about, "look"), later(HOUR))


def test_what_a_copy_has_told_the_first_does_not_know() -> None:
    calls = Calls()
    assert told(calls.copy(), "item", 1) == 1
    assert told(calls, "item", 1) == 1


async def alarms(server: Server, about: str) -> list[str]:
    async with server.database.readers.acquire() as connection:
        found = await directory_store.read_alarms(connection, 100)
    return [alarm.told for alarm in found if alarm.about == about]


async def test_a_flood_of_wrong_refusals_is_one_alarm_at_the_hub(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        refused = ItemRefused(
            number=1, hash=hash_of("wrong"), code=ItemRefusalCode.UNREADABLE
        )
        await send_to_hub(federated, [write_line(refused)] * 1000, b"")
        [text] = await alarms(federated.hub, "item")
        assert text.startswith("oostende ")
        shown = federated.hub.metrics.render().decode()
        assert 'interlets_alarms_total{about="item",outcome="told"} 1.0' in shown
        assert 'interlets_alarms_total{about="item",outcome="left-out"} 999.0' in shown


async def test_what_the_hub_says_again_and_again_is_one_alarm_at_the_node(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        for _ in range(3):
            await node.clerk.take(PeerCalls(HUB, CallPeople("quota", "it waits")))
        assert await alarms(node, "quota") == ["it waits"]


def problem(kind: str) -> dict[str, Any]:
    body = {"type": f"urn:interlets:problem:{kind}", "title": kind, "status": 401}
    return {
        "body": msgspec.json.encode(body),
        "content_type": "application/problem+json",
    }


#: Answers that say nothing of our key, though all have the status 401.
NOT_THE_HUB_S_NO: list[dict[str, Any]] = [
    problem("stale-cover"),
    {"text": "<h1>Sign in</h1>", "content_type": "text/html"},
    problem("not-signed") | {"content_type": "text/plain"},
    {"text": "{", "content_type": "application/problem+json"},
    {"text": "[1]", "content_type": "application/problem+json"},
    {},
]


async def test_only_the_hub_s_own_no_means_that_a_key_is_not_known(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node, asked = federated.nodes[OOSTENDE], []
        said: dict[str, Any] = {}

        async def refuse(request: web.Request) -> web.Response:
            asked.append(request)
            return web.Response(status=401, **said)

        application = web.Application()
        application.router.add_post("/federation/v1/link", refuse)
        async with TestServer(application) as server:

            async def ask_twice() -> None:
                before, going = len(asked), start_courier(node, server)
                await until(lambda: len(asked) >= before + 2)
                going.cancel()
                await asyncio.wait([going])

            for answer in NOT_THE_HUB_S_NO:
                said.clear()
                said |= answer
                await ask_twice()
            assert await alarms(node, "own-keys") == []
            said |= problem("not-signed")
            going = start_courier(node, server)
            before = len(asked)
            await until(lambda: len(asked) >= before + 3)
            going.cancel()
            await asyncio.wait([going])
        [told] = await alarms(node, "own-keys")
        assert "knows none of this server's keys" in told


def start_courier(node: Server, server: TestServer) -> "asyncio.Task[None]":
    courier = Courier(
        node.clerk,
        str(server.make_url("")).rstrip("/"),
        node.clock,
        node.metrics,
        KillSwitch(""),
        lambda _: None,
    )
    return asyncio.get_running_loop().create_task(courier.run())


async def test_a_node_that_the_hub_makes_wait_tells_its_people_once(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node, hub = federated.nodes[OOSTENDE], federated.hub
        asked = []

        def must_wait(group: str, _now: Instant) -> bool:
            asked.append(group)
            return True

        end = LinkEndpoint(hub.clerk, hub.clock, must_wait, lambda *_: None)
        application = web.Application()
        application.router.add_post("/federation/v1/link", end.post_link)
        application.on_shutdown.append(end.close)
        async with TestServer(application) as server:
            going = start_courier(node, server)
            await node.clerk.take(order("eggs"))
            await until(lambda: len(asked) >= 3)
            going.cancel()
            await asyncio.wait([going])
        [told] = await alarms(node, "quota")
        assert "until the hour is over" in told
