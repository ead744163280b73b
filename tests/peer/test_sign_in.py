"""Trading a code or a password for a token over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from protocol.peer import access_store
from protocol.peer.database import Database
from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from protocol.peer.web.routes import definitions, token_route
from protocol.peer.web.sign_in import Door
from tests.peer.federation import NewDatabase, federation

PATH = "/api/v1/tokens"


@asynccontextmanager
async def door(
    new_database: NewDatabase,
) -> AsyncIterator[tuple["TestClient[Any, Any]", str]]:
    """A server that signs people in, and the code of someone who reads and pays."""
    async with federation(new_database) as federated:
        hub = federated.hub
        database: Database = hub.database
        async with database.desk.acquire() as connection, connection.transaction():
            code = await access_store.invite_person(
                connection, "an", ["pay", "read"], hub.clock.now()
            )
        application = web.Application(middlewares=[problems.middleware(Metrics())])
        table = [token_route(Door(database, hub.clock))]
        application.add_routes(definitions(table, Door(database, hub.clock)))
        async with TestClient(TestServer(application)) as client:
            yield client, code


async def ask(client: "TestClient[Any, Any]", **body: object) -> tuple[int, Any]:
    async with client.post(PATH, json=body) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ([], ["pay", "read"]),
        (["read"], ["read"]),
        (["read", "pay", "read"], ["pay", "read"]),
    ],
)
async def test_a_code_gives_the_scopes_asked_for(
    new_database: NewDatabase, wanted: list[str], given: list[str]
) -> None:
    async with door(new_database) as (client, code):
        status, told = await ask(client, code=code, scopes=wanted)
        assert (status, told["scopes"]) == (201, given)


@pytest.mark.parametrize("wanted", [["batch"], ["read", "batch"]])
async def test_a_code_gives_no_more_than_it_was_made_with(
    new_database: NewDatabase, wanted: list[str]
) -> None:
    async with door(new_database) as (client, code):
        status, told = await ask(client, code=code, scopes=wanted)
        assert (status, told["type"]) == (
            400,
            "urn:interlets:problem:scopes-beyond-code",
        )
        # It was not used up by that.
        status, _ = await ask(client, code=code)
        assert status == 201
        status, _ = await ask(client, code=code)
        assert status == 401
