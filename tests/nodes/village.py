"""Two nodes and their hub as members' programs see them, over HTTP, in one process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nodes.api.asks import AskApi
from nodes.api.payments import PaymentApi
from nodes.asks import Asks
from nodes.house import NodeHouse
from nodes.payments import Payments
from protocol.address import Group
from protocol.peer import access_store
from protocol.peer.clock import Clock
from protocol.peer.courier import Courier
from protocol.peer.steps import KillSwitch
from protocol.peer.web import problems
from protocol.peer.web.routes import definitions
from protocol.peer.web.sign_in import Door
from tests.peer.federation import Federation, NewDatabase, Server, federation
from tests.protocol.makers import MECHELEN, OOSTENDE

Client = TestClient[Any, Any]


def application(server: Server, group: Group) -> web.Application:
    """What a node answers about asks and payments."""
    house = server.house
    assert isinstance(house, NodeHouse)
    courier = Courier(
        server.clerk,
        "http://hub.example",
        server.clock,
        server.metrics,
        KillSwitch(""),
        lambda _: None,
    )
    payments = Payments(house, server.clerk, courier, server.database)
    url = f"https://{group}.example.org"
    asks = AskApi(Asks(house, payments, server.clock, url))
    table = [*asks.routes(), *PaymentApi(payments).routes()]
    made = web.Application(middlewares=[problems.middleware(server.metrics)])
    made.add_routes(definitions(table, Door(server.database, server.clock)))
    return made


async def token_of(server: Server, account: str, *scopes: str) -> str:
    async with server.database.desk.acquire() as connection:
        await access_store.add_person(connection, account, account, None)
        person = await access_store.read_person(connection, account)
        assert person is not None
        token, _ = await access_store.new_token(
            connection, person.person_id, scopes or ("pay", "read"), Clock().now()
        )
    return token


class Village(NamedTuple):
    """A federation and the programs of Marie (Oostende) and Bob (Mechelen)."""

    federation: Federation
    marie: Client
    bob: Client


@asynccontextmanager
async def founded(new_database: NewDatabase) -> AsyncIterator[Village]:
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(federation(new_database))
        clients = []
        for group, account in ((OOSTENDE, "marie"), (MECHELEN, "bob")):
            token = await token_of(found.nodes[group], account)
            server = TestServer(application(found.nodes[group], group))
            headers = {"Authorization": f"Bearer {token}"}
            client = TestClient(server, headers=headers)
            clients.append(await stack.enter_async_context(client))
        yield Village(found, *clients)


async def post(
    client: Client, path: str, body: object, **headers: str
) -> tuple[int, dict[str, Any]]:
    answer = await client.post(path, json=body, headers=headers)
    return answer.status, await answer.json(content_type=None)
