"""Members who listen to a real node: its clerk, its database, its HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import ClientResponse, test_utils, web

from nodes.api.events import HEARTBEAT_S, EventsApi
from nodes.api.news import News
from nodes.listeners import LISTENERS_MAX, Listeners
from nodes.payments import Payments
from protocol.peer import access_store
from protocol.peer.courier import Courier
from protocol.peer.steps import KillSwitch
from protocol.peer.web import problems
from protocol.peer.web.routes import definitions
from protocol.peer.web.sign_in import Door
from tests.peer.federation import Server

PATH = "/api/v1/events"


class Event(NamedTuple):
    """One event as a browser would read it."""

    id: str
    name: str
    told: dict[str, Any]

    @property
    def transfer(self) -> tuple[str, str]:
        return self.told["id"], self.told["state"]


class Stream:
    """One open stream, read as the standard says."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self, within_s: float = 10) -> Event | None:
        """Give the next event; ``None`` when the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within_s):
            async for raw in self.response.content:
                line = raw.decode().removesuffix("\n")
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "data" in fields:
                    told = msgspec.json.decode(fields["data"])
                    return Event(fields["id"], fields["event"], told)
        return None

    async def of(self, name: str, within_s: float = 10) -> Event:
        """Give the next event of a kind; passes over the others."""
        async with asyncio.timeout(within_s):
            while True:
                event = await self.next()
                assert event is not None, f"the stream ended before a {name}"
                if event.name == name:
                    return event

    async def until_account(self) -> list[Event]:
        """Give all that comes up to the next figures of the account."""
        found = []
        while not found or found[-1].name != "account":
            event = await self.next()
            assert event is not None
            found.append(event)
        return found

    async def ended(self, within_s: float = 10) -> bool:
        """Say that the stream ended rightly, with nothing more than figures."""
        while event := await self.next(within_s):
            assert event.name == "account", event
        return True


class Site:
    """A node's HTTP, and what its members use it with."""

    def __init__(self, node: Server, client: test_utils.TestClient[Any, Any]) -> None:
        self.node = node
        self.client = client
        self.tokens: dict[str, str] = {}

    @property
    def listeners(self) -> Listeners:
        found: Listeners = self.node.house.listeners  # type: ignore[attr-defined]
        return found

    async def token(self, account_id: str, *scopes: str) -> str:
        """Sign a member in, once."""
        if account_id not in self.tokens:
            async with self.node.database.desk.acquire() as connection:
                await access_store.add_person(connection, account_id, account_id, None)
                person = await access_store.read_person(connection, account_id)
                assert person is not None
                self.tokens[account_id], _ = await access_store.new_token(
                    connection,
                    person.person_id,
                    scopes or ("read",),
                    self.node.clock.now(),
                )
        return self.tokens[account_id]

    async def ask(
        self, account_id: str, *known: str, method: str = "GET", language: str = "en"
    ) -> ClientResponse:
        """Ask for a stream, with the ids that the client says it knows."""
        headers = [
            ("Authorization", f"Bearer {await self.token(account_id)}"),
            ("Accept-Language", language),
            *(("Last-Event-ID", one) for one in known),
        ]
        return await self.client.request(method, PATH, headers=headers)

    @asynccontextmanager
    async def listen(
        self, account_id: str, *known: str, language: str = "en"
    ) -> AsyncIterator[Stream]:
        response = await self.ask(account_id, *known, language=language)
        assert response.status == 200, await response.text()
        try:
            yield Stream(response)
        finally:
            # As a browser that was closed: without a word.
            response.close()


def small_buffers(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """A socket whose kernel keeps next to nothing for a slow reader."""
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    made.bind((host, port))
    return made


@asynccontextmanager
async def site(
    node: Server, heartbeat_s: float = HEARTBEAT_S, most: int = LISTENERS_MAX
) -> AsyncIterator[Site]:
    """Serve what a member needs of a node that runs."""
    listeners = node.house.listeners = Listeners(most)  # type: ignore[attr-defined]
    house, clerk, database = node.house, node.clerk, node.database
    switch = KillSwitch("")
    courier = Courier(
        clerk,
        "http://hub.example",
        node.clock,
        node.metrics,
        switch,
        lambda _body: None,
    )
    payments = Payments(house, clerk, courier, database)  # type: ignore[arg-type]
    door = Door(database, node.clock)
    events = EventsApi(
        payments,
        News(payments, database),
        listeners,
        clerk,
        door,
        heartbeat_s,
    )
    application = web.Application(middlewares=[problems.middleware(node.metrics)])
    application.add_routes(definitions(events.routes(), door))
    application.on_shutdown.append(events.close)
    server = test_utils.TestServer(application, socket_factory=small_buffers)
    async with test_utils.TestClient(server) as client:
        yield Site(node, client)
