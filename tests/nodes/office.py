"""A group's office: a real node's routes for staff, and those who use them."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from nodes import app, staff
from nodes.house import NodeHouse
from nodes.payments import Payments
from protocol.address import Group
from protocol.peer import access_store, runner
from protocol.peer.courier import Courier
from protocol.peer.steps import KillSwitch
from protocol.peer.web import problems
from protocol.peer.web.routes import Route, definitions, token_route
from protocol.peer.web.sign_in import Door
from tests.peer.federation import Federation, NewDatabase, federation
from tests.protocol.makers import OOSTENDE

URL = "https://oostende.example.org"
numbers = itertools.count(1)


class Answer(NamedTuple):
    """Status and JSON of an answer."""

    status: int
    told: Any


class Office:
    """Oostende's office; Marie (-1000 to 3000) is there already.

    Attributes:
        federation: with the node whose office it is.
        table: all of its routes.
    """

    def __init__(self, made: Federation, group: Group, data: Path) -> None:
        self.federation = made
        self.node = made.nodes[group]
        house = self.node.house
        assert isinstance(house, NodeHouse)
        node = self.node
        door = Door(node.database, node.clock)
        # All that its routes ask of them.
        of_server = SimpleNamespace(
            public_url=URL, data=data, zone=lambda: ZoneInfo("Europe/Brussels")
        )
        settings: Any = SimpleNamespace(server=of_server)
        server = runner.Server(
            settings,
            node.database,
            node.clerk,
            node.clock,
            node.metrics,
            KillSwitch(""),
            door,
        )
        courier = Courier(
            node.clerk,
            "http://hub.example",
            node.clock,
            node.metrics,
            KillSwitch(""),
            lambda _: None,
        )
        payments = Payments(house, node.clerk, courier, node.database)
        self.table: list[Route] = [
            token_route(door),
            *app.treasury(server, house, payments),
        ]
        self.door = door
        self.client: TestClient[web.Request, web.Application]
        self.tokens: dict[str, str] = {}

    def application(self) -> web.Application:
        made = web.Application(middlewares=[problems.middleware(self.node.metrics)])
        made.add_routes(definitions(self.table, self.door))
        return made

    async def let_in(self, name: str) -> str:
        """Let the first treasurer in, as ``init`` and her program do."""
        database = self.node.database
        async with database.desk.acquire() as connection, connection.transaction():
            link = await staff.let_in(connection, name, URL, self.node.clock.now())
        return await self.sign_in(link)

    async def sign_in(self, link: str) -> str:
        """Trade a link for a token."""
        status, told = await self.ask(
            "POST", "/api/v1/tokens", {"code": link.partition("#")[2]}, token=""
        )
        assert status == 201, told
        token: str = told["token"]
        return token

    async def member_token(self, account: str) -> str:
        async with self.node.database.desk.acquire() as connection:
            await access_store.add_person(connection, account, account, None)
            person = await access_store.read_person(connection, account)
            assert person is not None
            token, _ = await access_store.new_token(
                connection, person.person_id, ("pay", "read"), self.node.clock.now()
            )
        return token

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        token: str | None = None,
        **headers: str,
    ) -> Answer:
        token = self.tokens.get("@treasurer", "") if token is None else token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key is not None:
            headers["Idempotency-Key"] = key
        sent = {} if body is None else {"json": body}
        async with self.client.request(method, path, headers=headers, **sent) as answer:
            if answer.content_type == "text/csv":
                return Answer(answer.status, await answer.read())
            return Answer(answer.status, await answer.json(content_type=None))

    async def admit(self, *accounts: str, **changes: Any) -> None:
        for account in accounts:
            body = {"account": account, "name": account.title()}
            body |= {"floor": -100, "ceiling": 100, **changes}
            key = f"admit-{next(numbers)}"
            answer = await self.ask("POST", "/api/v1/members", body, key=key)
            assert answer.status == 201, answer

    async def member(self, account: str) -> dict[str, Any]:
        status, told = await self.ask("GET", f"/api/v1/members/{account}")
        assert status == 200, told
        found: dict[str, Any] = told
        return found

    async def acts(self, **query: str) -> list[dict[str, Any]]:
        words = "&".join(f"{name}={value}" for name, value in query.items())
        status, told = await self.ask("GET", f"/api/v1/group/acts?{words}".rstrip("?"))
        assert status == 200, told
        found: list[dict[str, Any]] = told["acts"]
        return found

    async def rows(self) -> dict[str, int]:
        """How many rows each table has: what nothing refused may change."""
        tables = await self.node.ask(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT IN ('access', 'cover_limit', 'idempotency')"
        )
        found = {}
        for (table,) in tables:
            (row,) = await self.node.ask(f"SELECT count(*) AS n FROM {table}")
            found[table] = row["n"]
        return found


@asynccontextmanager
async def office(new_database: NewDatabase) -> AsyncIterator[Office]:
    """Open Oostende's office, with its first treasurer signed in."""
    async with federation(new_database) as made:
        with TemporaryDirectory() as data:
            opened = Office(made, OOSTENDE, Path(data))
            async with TestClient(TestServer(opened.application())) as client:
                opened.client = client
                opened.tokens["@treasurer"] = await opened.let_in("@treasurer")
                yield opened
