"""A node that does not trust its hub: real clerks, the log over real HTTP."""

import random
from typing import Any

import pytest
from aiohttp import web

from protocol.address import Group
from tests.nodes.liar import Watched, watched
from tests.peer.federation import NewDatabase, admit, order
from tests.protocol.makers import MECHELEN, OOSTENDE

WATCHED = (OOSTENDE, MECHELEN)


async def test_an_honest_log_is_believed_as_far_as_it_goes(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        hub: Any = seen.federated.hub.house
        for round_ in range(3):
            await seen.pay(4, f"eggs {round_}")
            await seen.look()
            for group in (OOSTENDE, MECHELEN):
                assert seen.house(group).checkpoint == hub.checkpoint
                assert await seen.doubts(group) == []
                [(compared, newest)] = await seen.federated.nodes[group].ask(
                    "SELECT (SELECT number FROM compared_item),"
                    " (SELECT max(number) FROM item WHERE direction = 'in')"
                )
                assert compared == newest
        # Orders name what their group believes; the payee's group joins it.
        rows = await seen.federated.hub.ask(
            "SELECT count(*) AS many FROM item WHERE direction = 'in'"
            " AND convert_from(line, 'UTF8') LIKE '%\"checkpoint\":{\"log\"%'"
        )
        assert rows[0]["many"] >= 8


async def test_logs_of_many_starts_are_joined_by_a_node_that_was_away(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(3, "eggs")
        await seen.look()
        for number in range(3):
            await seen.restart_hub()
            await seen.pay(1, f"bread {number}")
        await seen.look(OOSTENDE)
        house: Any = seen.federated.hub.house
        trust = seen.house(OOSTENDE).trust
        assert trust.checkpoint == house.checkpoint
        assert [one.place for one in trust.beliefs.values()] == [0, 1, 2, 3]
        # Mechelen still believes the first log; a payer who does so is no liar.
        await seen.pay(1, "more eggs")
        await seen.look()
        assert seen.house(MECHELEN).checkpoint == house.checkpoint
        for group in (OOSTENDE, MECHELEN):
            assert await seen.doubts(group) == []
            assert await seen.alarms(group) == []


async def test_a_log_from_before_its_first_look_is_followed_back(
    new_database: NewDatabase,
) -> None:
    async with watched(new_database) as seen:
        await seen.pay(2, "eggs")
        await seen.look(OOSTENDE)
        former = seen.federated.hub.clerk.life
        await seen.restart_hub()
        await seen.restart_hub()
        # This prepare still names the first log, which Mechelen has never looked at.
        await seen.pay(1, "bread")
        await seen.wait(60, MECHELEN)
        trust = seen.house(MECHELEN).trust
        assert trust.beliefs[former].place == -2
        assert await seen.doubts(MECHELEN) == []
        [(compared, newest)] = await seen.federated.nodes[MECHELEN].ask(
            "SELECT (SELECT number FROM compared_item),"
            " (SELECT max(number) FROM item WHERE direction = 'in')"
        )
        assert compared == newest


class Weather:
    """What happens to an honest federation, drawn from a seed."""

    def __init__(self, seen: Watched, seed: int) -> None:
        self.seen = seen
        self.draw = random.Random(seed)
        self.loss = self.draw.choice([0.0, 0.2, 0.5])
        self.groups = iter(["gent", "brugge", "leuven", "hasselt", "namur", "liege"])
        self.seed, self.step = seed, 0
        self.kinds = (self.pay, self.pay, self.say, self.say, self.say, self.look)
        self.rare = (self.start, self.join, self.sleep)
        seen.hub.answer = dict.fromkeys(WATCHED, self.lose)

    async def lose(self, _request: web.Request) -> web.Response | None:
        fate = self.draw.random()
        if fate < self.loss / 2:
            return web.Response(status=503)
        return web.Response(body=b"cut off") if fate < self.loss else None

    async def pay(self) -> None:
        node = self.seen.federated.nodes[OOSTENDE]
        for number in range(self.draw.randint(1, 5)):
            await node.clerk.take(order(f"{self.seed} {self.step} {number}"))

    async def say(self) -> None:
        """One request and its answer, or only half of it: the link goes on later."""
        await self.seen.federated.exchange(self.draw.choice(WATCHED))

    async def look(self) -> None:
        await self.seen.watches[self.draw.choice(WATCHED)].look()

    async def start(self) -> None:
        await self.seen.restart_hub()

    async def join(self) -> None:
        name = next(self.groups, None)
        if name is not None:
            await admit(self.seen.federated.hub, Group(name))

    async def sleep(self) -> None:
        self.seen.clock.ahead_s += self.draw.choice([30, 60, 3600])

    async def next(self) -> None:
        self.step += 1
        kinds = self.rare if self.draw.random() < 0.15 else self.kinds
        await self.draw.choice(kinds)()
        self.seen.clock.ahead_s += self.draw.random() * 10


@pytest.mark.parametrize(
    "seed",
    [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 3))],
)
async def test_an_honest_hub_is_never_doubted(
    new_database: NewDatabase, seed: int
) -> None:
    """Starts, lost and late answers, new groups, sleep: no alarm, whatever comes."""
    async with watched(new_database) as seen:
        weather = Weather(seen, seed)
        for _ in range(120):
            await weather.next()
            await seen.watches[OOSTENDE].look()
        seen.hub.answer = {}
        await seen.federated.quiet()
        for _ in range(3):
            await seen.wait(5)
        house: Any = seen.federated.hub.house
        for group in WATCHED:
            assert await seen.doubts(group) == []
            assert await seen.alarms(group) == []
            assert seen.house(group).checkpoint == house.checkpoint
            [(compared, newest)] = await seen.federated.nodes[group].ask(
                "SELECT (SELECT number FROM compared_item),"
                " (SELECT max(number) FROM item WHERE direction = 'in')"
            )
            assert compared == newest
