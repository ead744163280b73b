"""The hub's pages as a browser without scripts sees them, in one process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from aiohttp.test_utils import TestClient, TestServer

from clearing import app
from clearing.commands.hub import STAFF
from clearing.evidence import Evidence
from clearing.house import HubHouse
from protocol.peer import access_store, runner
from protocol.peer.steps import KillSwitch
from protocol.peer.web.routes import Route
from protocol.peer.web.sign_in import Door
from tests.nodes.browsing import Browser, settings_of
from tests.peer.federation import (
    Federation,
    NewDatabase,
    federation,
    identity,
    order,
    start_hub,
)
from tests.protocol.makers import OOSTENDE

NOBODYS = "00000000-0000-8000-8000-000000000000"


class Desk(NamedTuple):
    """The hub's pages, and what runs behind them."""

    federated: Federation
    server: TestServer
    table: list[Route]
    stack: AsyncExitStack

    async def browser(self, language: str = "en") -> Browser:
        """Open another browser, with cookies of its own."""
        client: TestClient[Any, Any] = TestClient(self.server)
        await self.stack.enter_async_context(client.session)
        return Browser(client, language)

    async def code(self) -> str:
        """Make a one-time code for the regional admin, as the command does."""
        hub = self.federated.hub
        async with hub.database.desk.acquire() as connection, connection.transaction():
            return await access_store.invite_person(connection, *STAFF, hub.clock.now())

    async def admin(self, language: str = "en") -> Browser:
        """Sign the regional admin in, by her link."""
        browser = await self.browser(language)
        page = await browser.send(
            await browser.get("/sign-in"), "/welcome", code=await self.code()
        )
        assert (page.status, page.place) == (200, "/"), page.text
        return browser


@asynccontextmanager
async def desk(
    new_database: NewDatabase,
    url: str = "http://hub.example.org",
    *,
    is_empty: bool = False,
) -> AsyncIterator[Desk]:
    """A federation, and its hub's pages as ``serve`` puts them together.

    Args:
        new_database: makes one for each server.
        url: where the hub believes that its pages are.
        is_empty: no group has joined yet.
    """
    async with AsyncExitStack() as stack:
        if is_empty:
            federated = Federation(await start_hub(new_database), {})
            stack.push_async_callback(federated.hub.stop)
        else:
            federated = await stack.enter_async_context(federation(new_database))
        hub = federated.hub
        server = runner.Server(
            settings_of(url),
            hub.database,
            hub.clerk,
            hub.clock,
            hub.metrics,
            KillSwitch(""),
            Door(hub.database, hub.clock),
        )
        assert isinstance(hub.house, HubHouse)
        app.add_people(server, hub.house, identity(), Evidence(identity()))
        test_server = TestServer(runner._application(server))
        await stack.enter_async_context(test_server)
        yield Desk(federated, test_server, server.api, stack)


async def pay(desk: Desk, key: str) -> str:
    """Let Marie of Oostende pay Bob of Mechelen 3 minutes; gives the transfer."""
    one = order(key)
    await desk.federated.nodes[OOSTENDE].clerk.take(one)
    await desk.federated.quiet()
    return one.transfer_id


def pages_of(desk: Desk, *methods: str) -> list[Route]:
    found = [one for one in desk.table if one.is_page]
    assert len(found) > 20
    return [one for one in found if one.method in methods]


def place(route: Route, **names: str) -> str:
    filled = {"id": NOBODYS, "name": "none.css", "group": "oostende", "cycle": "99"}
    filled |= {"payer": "oostende", "payee": "mechelen"} | names
    return route.path.format_map(filled)


async def changed(desk: Desk) -> list[object]:
    """All that a page could change."""
    hub = desk.federated.hub
    return [
        await hub.ask("SELECT account_id, floor, ceiling, frozen FROM account"),
        await hub.ask("SELECT count(*) FROM decision"),
        await hub.ask("SELECT count(*) FROM invitation"),
        await hub.ask("SELECT count(*) FROM limit_change"),
        await hub.ask("SELECT count(*) FROM leg"),
        await hub.ask("SELECT secret_hash FROM access ORDER BY 1"),
        await hub.ask("SELECT person_id, language FROM person ORDER BY 1"),
        await hub.ask("SELECT leg_id, state FROM leg ORDER BY 1"),
    ]


async def admin_token(desk: Desk) -> str:
    """Give a program a token, as the hub's own commands do."""
    hub = desk.federated.hub
    async with hub.database.desk.acquire() as connection:
        return await access_store.new_errand(
            connection, "@admin", ("admin", "read"), hub.clock.now()
        )


def cookie_of(browser: Browser) -> str:
    """Give what her browser keeps of her session."""
    [found] = [
        one.value for one in browser.client.session.cookie_jar if one.key == "hub"
    ]
    return found
