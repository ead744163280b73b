"""Treasurer and regional admin over HTTP: who may ask, and how each is answered."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clearing.api.consents import ConsentsApi
from clearing.api.groups import GroupsApi
from clearing.api.invitations import InvitationsApi
from clearing.api.limits import LimitsApi
from clearing.consents import Consents
from clearing.house import HubHouse
from nodes.api.leaving import LeavingApi
from nodes.api.unit import UnitApi
from nodes.house import NodeHouse
from nodes.proposals import Proposals
from protocol.joining import hash_code, read_invitation
from protocol.peer import access_store
from protocol.peer.web import problems
from protocol.peer.web.openapi import describe
from protocol.peer.web.routes import Route, definitions
from protocol.peer.web.sign_in import Door
from tests.peer.federation import Federation, NewDatabase, Server, federation
from tests.protocol.makers import OOSTENDE

DESK = "/api/v1/group/proposal"
LEAVING = "/api/v1/group/leaving"
OOSTENDE_AT_HUB = "/api/v1/groups/oostende"
HOUR = 3_600_000
POSTS = {
    "approve": {"proposal": 1},
    "refuse": {"proposal": 1},
    "freeze": None,
    "release": None,
    "limits": {"floor": -HOUR, "ceiling": HOUR, "reason": "so"},
    "leaving": None,
    "stay": None,
    "left": {"position": 0},
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
        consents = Consents(house, clerk, database, server.clock)
        groups = GroupsApi(house, clerk, database, consents)
        invitations = InvitationsApi(
            house, clerk, database, server.clock, "http://hub.example.org", consents
        )
        return [
            *groups.routes(),
            *limits.routes(),
            *invitations.routes(),
            *ConsentsApi(consents, invitations).routes(),
        ]
    assert isinstance(server.house, NodeHouse)
    unit = UnitApi(Proposals(server.house, server.clerk), server.database)
    leaving = LeavingApi(server.house, server.clerk, server.database)
    return [*unit.routes(), *leaving.routes()]


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


async def test_from_the_wish_to_leave_until_the_group_has_left(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        told = (await here.treasurer.get(LEAVING)).told
        assert (told["state"], told["position"], told["wish"]) == ("active", 0, None)
        early = await here.admin.post(f"{OOSTENDE_AT_HUB}/left", {"position": 0})
        assert (early.status, early.told["code"]) == (409, "group-not-leaving")
        for wish in ({}, {"reason": ""}, {"reason": 3}, {"reason": "x", "more": 1}):
            assert (await here.treasurer.post(LEAVING, wish)).status == 400, wish
        reason = {"reason": "our meeting of June"}
        wished = await here.treasurer.post(LEAVING, reason)
        assert (wished.status, wished.told["wish"]["state"]) == (202, "waiting")
        assert await here.treasurer.post(LEAVING, reason) == wished
        await here.federated.quiet()
        again = await here.treasurer.post(LEAVING, reason)
        assert (again.status, again.told["state"]) == (200, "leaving")
        assert again.told["wish"]["state"] == "begun"
        shown = (await here.admin.get(OOSTENDE_AT_HUB)).told
        assert (shown["state"], shown["run_off_floor"]) == ("leaving", 0)
        assert shown["run_off_ceiling"] == 0 < shown["ceiling"]
        for _ in range(2):
            stays = await here.admin.post(f"{OOSTENDE_AT_HUB}/stay")
            assert (stays.status, stays.told["state"]) == (200, "active")
            assert stays.told["run_off_floor"] is None
        assert (await here.admin.post(f"{OOSTENDE_AT_HUB}/leaving")).status == 200
        wrong = await here.admin.post(f"{OOSTENDE_AT_HUB}/left", {"position": -HOUR})
        assert (wrong.status, wrong.told["code"]) == (409, "position-changed")
        assert " 0 h by now" in wrong.told["detail"]
        for _ in range(2):
            left = await here.admin.post(f"{OOSTENDE_AT_HUB}/left", {})
            assert (left.status, left.told["state"]) == (200, "left")
        await here.federated.quiet()
        late = await here.treasurer.post(LEAVING, reason)
        assert (late.status, late.told["code"]) == (409, "left-for-ever")
        assert "oostende has left" in late.told["detail"]


async def admins(here: World, *names: str) -> list[Person]:
    """Let these be the regional admins, each with a token of her own."""
    hub, found = here.federated.hub, []
    for name in names:
        async with hub.database.desk.acquire() as connection:
            await access_store.add_person(connection, name, None, None)
            await access_store.give_role(connection, name, "admin", hub.clock.now())
            secret = await access_store.new_errand(
                connection, name, ("admin", "read"), hub.clock.now()
            )
        found.append(Person(here.admin._client, secret))
    return found


CONSENTS = "/api/v1/consents"


async def test_with_one_admin_nothing_is_asked(new_database: NewDatabase) -> None:
    async with world(new_database) as here:
        [ann] = await admins(here, "@ann")
        assert (await ann.post(f"{OOSTENDE_AT_HUB}/freeze")).status == 200
        released = await ann.post(f"{OOSTENDE_AT_HUB}/release")
        assert (released.status, released.told["asked"]) == (200, None)
        assert (await ann.get(CONSENTS)).told == {"consents": []}


async def test_two_admins_agree_before_a_dangerous_act_is_done(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        ann, bob = await admins(here, "@ann", "@bob")
        [ann_again] = await admins(here, "@ann")
        # A freeze is quick, whoever wants it.
        assert (await ann.post(f"{OOSTENDE_AT_HUB}/freeze")).status == 200
        release = f"{OOSTENDE_AT_HUB}/release"
        asked = await ann.post(release)
        assert (asked.status, asked.told["state"]) == (202, "frozen")
        number = asked.told["asked"]
        assert await ann.post(release) == asked
        [shown] = (await bob.get(CONSENTS)).told["consents"]
        assert (shown["number"], shown["state"], shown["asked_by"]) == (
            number,
            "asked",
            "@ann",
        )
        assert shown["act"] == {"act": "release", "group": "oostende"}
        # Not by herself, not by another token of hers, not by who is no admin.
        for person, code in (
            (ann, "same-person"),
            (ann_again, "same-person"),
            (here.admin, "not-an-admin"),
        ):
            refused = await person.post(f"{CONSENTS}/{number}/give")
            assert refused.told["code"] == code
            assert refused.status in (403, 409)
        assert (await bob.get(OOSTENDE_AT_HUB)).told["state"] == "frozen"
        given = f"{CONSENTS}/{number}/give"
        done = await bob.post(given)
        assert (done.status, done.told["state"], done.told["ended_by"]) == (
            200,
            "done",
            "@bob",
        )
        assert await bob.post(given) == done
        assert (await bob.get(OOSTENDE_AT_HUB)).told["state"] == "active"
        late = await ann.post(f"{CONSENTS}/{number}/withdraw")
        assert (late.status, late.told["code"]) == (409, "consent-ended")


async def test_what_is_asked_waits_over_a_restart_and_may_be_refused_then(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        ann, bob = await admins(here, "@ann", "@bob")
        await ann.post(f"{OOSTENDE_AT_HUB}/leaving")
        left = f"{OOSTENDE_AT_HUB}/left"
        number = (await bob.post(left, {})).told["asked"]
        assert number is not None
        rows = "SELECT state, asked_by, act FROM consent"
        [row] = await here.federated.hub.ask(rows)
        assert tuple(row) == (
            "asked",
            "@bob",
            '{"act":"left","group":"oostende","position":0}',
        )
        # Meanwhile the group stays after all, as both agree: the word fits no more.
        stays = await ann.post(f"{OOSTENDE_AT_HUB}/stay")
        assert (stays.status, stays.told["state"]) == (202, "leaving")
        await bob.post(f"{CONSENTS}/{stays.told['asked']}/give")
        states = [one["state"] for one in (await bob.get(CONSENTS)).told["consents"]]
        assert states == ["done", "outdated"]
        refused = await ann.post(f"{CONSENTS}/{number}/give")
        assert (refused.status, refused.told["code"]) == (409, "consent-outdated")
        taken_back = await bob.post(f"{CONSENTS}/{number}/withdraw")
        assert (taken_back.status, taken_back.told["state"]) == (200, "withdrawn")
        limits = {"floor": -HOUR, "ceiling": HOUR, "reason": "fewer"}
        few = await ann.post(f"{OOSTENDE_AT_HUB}/limits", limits)
        assert (few.status, few.told["ceiling"]) == (200, HOUR)
        wider = {"floor": -HOUR, "ceiling": 2 * HOUR + 1, "reason": "all agreed"}
        more = await ann.post(f"{OOSTENDE_AT_HUB}/limits", wider)
        assert (more.status, more.told["ceiling"]) == (202, HOUR)
        given = await bob.post(f"{CONSENTS}/{more.told['asked']}/give")
        assert (given.status, given.told["act"]) == (
            200,
            {"act": "limits", "group": "oostende", "author": "@ann"}
            | {"even_outside": False}
            | wider,
        )
        # It is hers who asked, with her reason, and not hers who gave her word.
        history = (await bob.get(f"{OOSTENDE_AT_HUB}/limits")).told["changes"]
        assert [(one["author"], one["reason"]) for one in history[:2]] == [
            ("@ann", "all agreed"),
            ("@ann", "fewer"),
        ]
        shown = (await bob.get(OOSTENDE_AT_HUB)).told
        assert shown["ceiling"] == 2 * HOUR + 1


async def test_two_admins_agree_before_a_group_is_invited(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        hub, path = here.federated.hub, "/api/v1/invitations"
        body = {"group": "gent", "floor": -HOUR, "ceiling": HOUR}
        [ann] = await admins(here, "@ann")
        # One alone invites at once, and what she invites earlier counts no more.
        for _ in range(2):
            alone = await ann.post(path, body)
            assert (alone.status, alone.told["asked"]) == (201, None)
        still_open = (await ann.get(path)).told["invitations"]
        assert [one["group"] for one in still_open] == ["gent"]
        [bob] = await admins(here, "@bob")
        asked = await ann.post(path, body | {"group": "veere"})
        assert (asked.status, asked.told["invitation"]) == (202, None)
        assert (
            await hub.ask("SELECT 1 FROM invitation WHERE group_name = 'veere'") == []
        )
        stranger = await here.admin.post(path, body | {"group": "aalst"})
        assert (stranger.status, stranger.told["code"]) == (403, "not-an-admin")
        given = f"{CONSENTS}/{asked.told['asked']}/give"
        links = []
        # Her word again is the same word, and shows a link anew.
        for _ in range(2):
            done = await bob.post(given)
            assert (done.status, done.told["state"]) == (200, "done")
            links.append(read_invitation(done.told["invitation"]["invitation"]).code)
        spare, counts = links
        found = await hub.ask(
            "SELECT code_hash, until > now() FROM invitation"
            " WHERE group_name = 'veere' ORDER BY until > now()"
        )
        assert [tuple(one) for one in found] == [
            (hash_code(spare), False),
            (hash_code(counts), True),
        ]
        [listed] = (await bob.get(CONSENTS)).told["consents"]
        assert listed["invitation"] is None
        there = await bob.post(path, body | {"group": "oostende"})
        assert there.status == 409


async def test_a_word_on_nothing_is_not_found(new_database: NewDatabase) -> None:
    async with world(new_database) as here:
        ann, _ = await admins(here, "@ann", "@bob")
        for number in ("0", "17", "-1", "x", "1e1", "%00", "9" * 17):
            for word in ("give", "withdraw"):
                answer = await ann.post(f"{CONSENTS}/{number}/{word}")
                assert answer.status == 404, answer
        reader = here.others["a reader at the hub"]
        assert (await reader.post(f"{CONSENTS}/1/give")).status == 403
        assert (await reader.get(CONSENTS)).status == 403


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
    ("left", {"position": "0"}),
    ("left", {"position": 0.5}),
    ("left", {"position": 2**53}),
    ("left", {"with_debt": True}),
    ("left", []),
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
                answers += [await person.get(LEAVING), await person.post(LEAVING, {})]
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
        CONSENTS,
        *(f"{CONSENTS}/{{number}}/{word}" for word in ("give", "withdraw")),
        "/api/v1/invitations",
        "/api/v1/warning",
        "/api/v1/caps",
        *(f"/api/v1/caps/{{payer}}/{{payee}}{verb}" for verb in ("", "/remove")),
    }
    assert set(node["paths"]) == {DESK, LEAVING, "/api/v1/group/units"}  # type: ignore[call-overload]
