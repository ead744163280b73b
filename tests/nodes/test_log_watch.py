"""A node that does not trust its hub: real clerks, the log over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from clearing.evidence import Evidence
from clearing.log_api import LogApi
from nodes.house import NodeHouse
from nodes.log_watch import LogWatch
from protocol.address import Group
from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from tests.peer.federation import (
    Federation,
    NewDatabase,
    federation,
    identity,
    order,
    until,
)
from tests.protocol.makers import MECHELEN, OOSTENDE


class Watched:
    """A federation whose hub publishes its log, and a watch at each node."""

    def __init__(self, federated: Federation, url: str) -> None:
        self.federated = federated
        self.watches = {
            group: LogWatch(
                self.house(group), node.clerk, node.database, node.clock, url
            )
            for group, node in federated.nodes.items()
        }

    def house(self, group: Group) -> NodeHouse:
        house: Any = self.federated.nodes[group].house
        assert isinstance(house, NodeHouse)
        return house

    async def pay(self, count: int, prefix: str) -> None:
        for number in range(count):
            await self.federated.nodes[OOSTENDE].clerk.take(order(f"{prefix} {number}"))
        await self.federated.quiet()

    async def look(self, group: Group) -> None:
        hub: Any = self.federated.hub.house
        self.watches[group]._named = hub.checkpoint
        await self.watches[group].look()

    async def doubts(self, group: Group) -> list[str]:
        rows = await self.federated.nodes[group].ask("SELECT told FROM doubt")
        return [row["told"] for row in rows]


@asynccontextmanager
async def watched(new_database: NewDatabase) -> AsyncIterator[Watched]:
    async with federation(new_database) as federated:
        hub = federated.hub
        api = LogApi(hub.clerk, hub.database, Evidence(identity()))
        application = web.Application(middlewares=[problems.middleware(Metrics())])
        application.add_routes(api.routes())
        async with TestServer(application) as server:
            yield Watched(federated, str(server.make_url("")).rstrip("/"))


async def test_an_honest_log_is_believed_as_far_as_it_goes(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        hub: Any = seen.federated.hub.house
        for round_ in range(3):
            await seen.pay(4, f"eggs {round_}")
            for group in (OOSTENDE, MECHELEN):
                await seen.look(group)
                assert seen.house(group).checkpoint == hub.checkpoint
                assert await seen.doubts(group) == []
        # Orders name what their group believes; the payee's group joins it.
        assert seen.house(MECHELEN).claims == {}
        rows = await seen.federated.hub.ask(
            "SELECT count(*) AS many FROM item WHERE direction = 'in'"
            " AND convert_from(line, 'UTF8') LIKE '%\"checkpoint\":{\"log\"%'"
        )
        assert rows[0]["many"] >= 8


async def test_a_log_that_a_new_start_began_is_joined_to_the_former(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(3, "eggs")
        await seen.look(OOSTENDE)
        hub = seen.federated.hub
        for _ in range(2):
            before = hub.clerk.life
            await hub.end_clerks()
            await until(lambda life=before: hub.clerk.life != life)  # type: ignore[misc]
            await until(lambda: hub.clerk.is_ready)
            await seen.federated.quiet()
        await seen.pay(3, "more eggs")
        await seen.look(OOSTENDE)
        house: Any = hub.house
        assert seen.house(OOSTENDE).checkpoint == house.checkpoint
        assert await seen.doubts(OOSTENDE) == []


async def test_a_decision_that_is_not_in_the_log_is_found(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(3, "eggs")
        await seen.federated.hub.change(
            "ALTER TABLE decision DISABLE TRIGGER decision_is_append_only;"
            "UPDATE decision SET line = convert_to(replace("
            "convert_from(line, 'UTF8'), 'cleared', 'refused'), 'UTF8')"
            " WHERE number = (SELECT max(number) FROM decision)"
        )
        watch = seen.watches[OOSTENDE]
        await seen.look(OOSTENDE)
        # Its tiles no longer lead to the root: for a minute that may be a cut answer.
        assert await seen.doubts(OOSTENDE) == []
        watch._missing = {what: at - 60_001 for what, at in watch._missing.items()}  # type: ignore[misc]
        await seen.look(OOSTENDE)
        assert len(await seen.doubts(OOSTENDE)) == 1
        assert seen.house(OOSTENDE).is_history_doubted
