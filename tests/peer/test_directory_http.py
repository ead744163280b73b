"""Treasurer and regional admin over HTTP: who may ask, and how each is answered."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clearing.api.groups import GroupsApi
from clearing.api.limits import LimitsApi
from clearing.house import HubHouse
from nodes.api.unit import UnitApi
from nodes.house import NodeHouse
from nodes.proposals import Proposals
from protocol.peer import access_store
from protocol.peer.web import problems
from protocol.peer.web.openapi import describe
from protocol.peer.web.routes import Route, definitions
from protocol.peer.web.sign_in import Door
from tests.peer.federation import Federation, NewDatabase, Server, federation
from tests.protocol.makers import OOSTENDE

DESK = "/api/v1/group/proposal"
OOSTENDE_AT_HUB = "/api/v1/groups/oostende"
HOUR = 3_600_000
POSTS = {
    "approve": {"proposal": 1},
    "refuse": {"proposal": 1},
    "freeze": None,
    "release": None,
    "limits": {"floor": -HOUR, "ceiling": HOUR, "reason": "so"},
}


class Reply(NamedTuple):
    """Status and JSON of an answer."""

    status: int
    told: dict[str, Any]


class Person:
    """Someone with a token for some scopes, or with none at all."""

    def __init__(self, client: "TestClient[Any, Any]", token: str | None) -> None:
        self._client = client
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def get(self, path: str) -> Reply:
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: object = None) -> Reply:
        return await self._ask("POST", path, body)

    async def _ask(self, method: str, path: str, body: object) -> Reply:
        sent = {} if body is None else {"json": body}
        async with self._client.request(
            method, path, headers=self._headers, **sent
        ) as response:
            return Reply(response.status, await response.json(content_type=None))


class World(NamedTuple):
    """The federation, and who runs its hub and Oostende's node."""

    federated: Federation
    admin: Person
    treasurer: Person
    others: dict[str, Person]


def routes_of(server: Server) -> list[Route]:
    if isinstance(server.house, HubHouse):
        house, clerk, database = server.house, server.clerk, server.database
        limits = LimitsApi(house, clerk, database, server.clock)
        return [*GroupsApi(house, clerk, database).routes(), *limits.routes()]
    assert isinstance(server.house, NodeHouse)
    return UnitApi(Proposals(server.house, server.clerk), server.database).routes()


async def serve(stack: AsyncExitStack, server: Server) -> "TestClient[Any, Any]":
    application = web.Application(middlewares=[problems.middleware(server.metrics)])
    door = Door(server.database, server.clock)
    application.add_routes(definitions(routes_of(server), door))
    client = TestClient(TestServer(application))
    return await stack.enter_async_context(client)


async def token(server: Server, scopes: Collection[str]) -> str:
    async with server.database.desk.acquire() as connection:
        await access_store.add_person(connection, "@someone", None, None)
        return await access_store.new_errand(
            connection, "@someone", scopes, server.clock.now()
        )


@asynccontextmanager
async def world(new_database: NewDatabase) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        federated = await stack.enter_async_context(federation(new_database))
        hub, node = federated.hub, federated.nodes[OOSTENDE]
        at_hub, at_node = await serve(stack, hub), await serve(stack, node)
        yield World(
            federated,
            Person(at_hub, await token(hub, ("admin", "read"))),
            Person(at_node, await token(node, ("treasurer", "read"))),
            {
                "a stranger at the hub": Person(at_hub, None),
                "a reader at the hub": Person(at_hub, await token(hub, ("read",))),
                "a stranger at the node": Person(at_node, None),
                "a member at the node": Person(
                    at_node, await token(node, ("pay", "read"))
                ),
            },
        )


async def test_from_the_wish_to_the_new_rate(new_database: NewDatabase) -> None:
    async with world(new_database) as here:
        status, told = await here.treasurer.get(DESK)
        assert (status, told["proposal"]) == (200, None)
        assert told["rate"] == {
            "version": 1,
            "milliseconds": 180_000,
            "per_hour": "20",
            "minutes_per_unit": "3",
        }
        status, told = await here.treasurer.post(DESK, {"per_hour": 30})
        assert (status, told["proposal"]["state"]) == (202, "waiting")
        assert told["proposal"]["rate"]["minutes_per_unit"] == "2"
        assert told["rate"]["per_hour"] == "20"
        await here.federated.quiet()

        listed = (await here.admin.get("/api/v1/groups")).told["groups"]
        waiting = {group["group"]: group["proposal"] for group in listed}
        assert waiting["mechelen"] is None
        proposal = waiting["oostende"]
        assert proposal == (await here.admin.get(OOSTENDE_AT_HUB)).told["proposal"]
        assert (proposal["rate_now"]["per_hour"], proposal["rate"]["per_hour"]) == (
            "20",
            "30",
        )
        assert proposal["number"] == told["proposal"]["number"]

        wish = {"proposal": proposal["number"]}
        first = await here.admin.post(f"{OOSTENDE_AT_HUB}/approve", wish)
        assert first.status == 200
        assert first.told["rate"]["per_hour"] == "30"
        assert first.told["proposal"] is None
        again = await here.admin.post(f"{OOSTENDE_AT_HUB}/approve", wish)
        assert again == first
        late = await here.admin.post(f"{OOSTENDE_AT_HUB}/refuse", wish)
        assert (late.status, late.told["type"].rpartition(":")[2]) == (
            409,
            "not-decided",
        )
        assert (late.told["code"], late.told["group"], late.told["proposal"]) == (
            "proposal-ended",
            "oostende",
            proposal["number"],
        )
        assert f" {proposal['number']} of oostende " in late.told["detail"]
        await here.federated.quiet()
        told = (await here.treasurer.get(DESK)).told
        assert told["proposal"]["state"] == "approved"
        assert (told["version"], told["rate"]["per_hour"]) == (2, "30")
        # To wish for what is so is no new proposal.
        assert (await here.treasurer.post(DESK, {"per_hour": 30})).status == 200


async def test_a_name_that_two_groups_share_is_shown(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        assert (await here.admin.get(OOSTENDE_AT_HUB)).told["same_name"] == []
        asked = await here.treasurer.post(DESK, {"name": "lets MECHELEN"})
        assert asked.status == 202
        await here.federated.quiet()
        waiting = (await here.admin.get(OOSTENDE_AT_HUB)).told
        wish = {"proposal": waiting["proposal"]["number"]}
        told = (await here.admin.post(f"{OOSTENDE_AT_HUB}/approve", wish)).told
        assert (told["name"], told["same_name"]) == ("lets MECHELEN", ["mechelen"])
        listed = (await here.admin.get("/api/v1/groups")).told["groups"]
        assert {one["group"]: one["same_name"] for one in listed} == {
            "mechelen": ["oostende"],
            "oostende": ["mechelen"],
        }


async def test_a_refusal_is_told_in_the_reader_s_language(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        asked = await here.treasurer.post(DESK, {"per_hour": 30, "name": "Kring"})
        again = await here.treasurer.post(DESK, {"per_hour": 30, "name": "Kring"})
        assert again == asked
        await here.federated.quiet()
        wish = {"proposal": asked.told["proposal"]["number"]}
        refused = await here.admin.post(f"{OOSTENDE_AT_HUB}/refuse", wish)
        assert (refused.status, refused.told["proposal"]) == (200, None)
        assert await here.admin.post(f"{OOSTENDE_AT_HUB}/refuse", wish) == refused
        await here.federated.quiet()
        proposal = (await here.treasurer.get(DESK)).told["proposal"]
        assert (proposal["state"], proposal["name"]) == ("refused", "Kring")
        assert "regional admin did not approve" in proposal["told"]


async def test_another_wish_shows_in_place_of_the_first(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        first = await here.treasurer.post(DESK, {"per_hour": 30})
        other = await here.treasurer.post(DESK, {"per_hour": 40})
        assert (first.status, other.status) == (202, 202)
        proposal = other.told["proposal"]
        assert (proposal["state"], proposal["rate"]["per_hour"]) == ("waiting", "40")
        assert proposal["number"] > first.told["proposal"]["number"]
        await here.federated.quiet()
        waits = (await here.admin.get(OOSTENDE_AT_HUB)).told["proposal"]
        assert waits["number"] == proposal["number"]
        assert (await here.treasurer.get(DESK)).told["proposal"] == proposal


@pytest.mark.parametrize("number", [0, 17, 2**53])
async def test_nobody_approves_another_proposal_than_the_one_seen(
    new_database: NewDatabase, number: int
) -> None:
    async with world(new_database) as here:
        await here.treasurer.post(DESK, {"per_hour": 30})
        await here.federated.quiet()
        for word in ("approve", "refuse"):
            answer = await here.admin.post(
                f"{OOSTENDE_AT_HUB}/{word}", {"proposal": number}
            )
            assert answer.status == (409 if number == 17 else 400)
        assert (await here.admin.get(OOSTENDE_AT_HUB)).told["proposal"] is not None


async def test_freeze_release_and_limits(new_database: NewDatabase) -> None:
    async with world(new_database) as here:
        for word, state in (("freeze", "frozen"), ("release", "active")):
            for _ in range(2):
                answer = await here.admin.post(f"{OOSTENDE_AT_HUB}/{word}")
                assert (answer.status, answer.told["state"]) == (200, state)
        limits = {"floor": -HOUR, "ceiling": 0, "reason": "so"}
        for _ in range(2):
            answer = await here.admin.post(f"{OOSTENDE_AT_HUB}/limits", limits)
            assert answer.status == 200
            assert (answer.told["floor"], answer.told["ceiling"]) == (-HOUR, 0)
        rows = await here.federated.hub.ask("SELECT count(*) FROM directory_change")
        # Two admissions, and each wish once.
        assert rows[0][0] == 2 + 3


WRONG_AT_HUB = [
    ("limits", {"floor": 1, "ceiling": 0, "reason": "so"}),
    ("limits", {"floor": 0, "ceiling": -1, "reason": "so"}),
    ("limits", {"floor": 0, "reason": "so"}),
    ("limits", {"floor": 0, "ceiling": 0, "frozen": True, "reason": "so"}),
    ("limits", {"floor": -1.5, "ceiling": 0, "reason": "so"}),
    ("limits", {"floor": -(10**14) - 1, "ceiling": 0, "reason": "so"}),
    ("limits", {"floor": 0, "ceiling": 10**14 + 1, "reason": "so"}),
    ("approve", {}),
    ("approve", {"proposal": "1"}),
    ("approve", {"proposal": True}),
    ("refuse", {"proposal": None}),
]
WRONG_AT_NODE = [
    {"per_hour": 0},
    {"per_hour": 100_001},
    {"per_hour": 7.5},
    {"per_hour": 30, "decimals": 2},
    {"per_hour": 30, "rate": 1},
    {"name": ""},
    {"name": "x" * 81},
    {"unit": "a\u202eb"},
    {"symbol": 3},
    [],
]


async def test_what_cannot_be_meant_is_a_400_and_changes_nothing(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        before = (await here.admin.get(OOSTENDE_AT_HUB)).told
        for word, body in WRONG_AT_HUB:
            answer = await here.admin.post(f"{OOSTENDE_AT_HUB}/{word}", body)
            assert answer.status == 400, (word, body, answer)
        for wish in WRONG_AT_NODE:
            answer = await here.treasurer.post(DESK, wish)
            assert answer.status == 400, (wish, answer)
        assert (await here.treasurer.get(DESK)).told["proposal"] is None
        assert (await here.admin.get(OOSTENDE_AT_HUB)).told == before
        for word, body in POSTS.items():
            answer = await here.admin.post(f"/api/v1/groups/gent/{word}", body)
            assert answer.status == 404
        assert (await here.admin.get("/api/v1/groups/reserve")).status == 404


async def test_only_the_admin_and_the_treasurer_may_ask(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        for name, person in here.others.items():
            expected = 401 if "stranger" in name else 403
            if name.endswith("node"):
                answers = [await person.get(DESK), await person.post(DESK, {})]
            else:
                answers = [await person.get(OOSTENDE_AT_HUB)]
                answers += [
                    await person.post(f"{OOSTENDE_AT_HUB}/{word}", body)
                    for word, body in POSTS.items()
                ]
            assert {answer.status for answer in answers} == {expected}, name
        assert (await here.admin.get(OOSTENDE_AT_HUB)).told["state"] == "active"
        assert (await here.treasurer.get(DESK)).told["proposal"] is None


async def test_the_description_names_every_route(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        hub = describe("hub", routes_of(federated.hub))
        node = describe("node", routes_of(federated.nodes[OOSTENDE]))
    assert set(hub["paths"]) == {  # type: ignore[call-overload]
        "/api/v1/groups",
        "/api/v1/groups/{group}",
        *(f"/api/v1/groups/{{group}}/{word}" for word in POSTS),
        "/api/v1/warning",
        "/api/v1/caps",
        *(f"/api/v1/caps/{{payer}}/{{payee}}{verb}" for verb in ("", "/remove")),
    }
    assert set(node["paths"]) == {DESK, "/api/v1/group/units"}  # type: ignore[call-overload]
