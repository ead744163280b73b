"""Two nodes' pages as a browser without scripts sees them, in one process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from nodes import app
from nodes.evidence import NodeEvidence
from nodes.house import NodeHouse
from nodes.member_store import Membership
from nodes.rules import NewMember
from nodes.staff import SCOPES, Role
from protocol.address import Group
from protocol.peer import access_store, runner
from protocol.peer.settings import (
    AuditSettings,
    CycleSettings,
    DatabaseSettings,
    LimitSettings,
    LogSettings,
    ServerSettings,
    Settings,
    SharingSettings,
    TrialSettings,
)
from protocol.peer.steps import KillSwitch
from protocol.peer.web.routes import Route
from protocol.peer.web.sign_in import Door
from tests.peer.asking import Asking, asking
from tests.peer.federation import NewDatabase, Server
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE

PASSWORD = "correct horse battery"
#: Argon2id once for everyone here.
HASHED = access_store.hash_password(PASSWORD)


PACES = (
    "nodes.payees.PER_MINUTE_MAX",
    "protocol.peer.web.sign_in._TRIES_PER_PAIR",
    "protocol.peer.web.sign_in._TRIES_PER_ADDRESS",
)


class Form(NamedTuple):
    """A form of a page: where it leads, and what stands in it."""

    action: str
    method: str
    fields: dict[str, str]


class Reader(HTMLParser):
    """Reads what a person would: text, forms, and which fields are marked as wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.wrong: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.titles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            made = Form(found.get("action", ""), found.get("method", "get"), {})
            self.forms.append(made)
        elif tag in ("input", "textarea") and self.forms and "name" in found:
            is_choice = found.get("type") in ("radio", "checkbox")
            if not is_choice or "checked" in found:
                self.forms[-1].fields[found["name"]] = found.get("value", "")
        elif tag == "a":
            self.links.append(found.get("href", ""))
        if found.get("aria-invalid") == "true":
            self.wrong.append(found["name"])

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Page:
    """A page as it was answered."""

    def __init__(self, answer: ClientResponse, text: str) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.place = str(answer.url.relative())
        self.raw = text
        self._read = Reader()
        self._read.feed(text)
        self.forms, self.wrong = self._read.forms, self._read.wrong
        self.links = self._read.links

    @property
    def text(self) -> str:
        """All words, with plain spaces."""
        return " ".join("".join(self._read.words).split())

    def form(self, action: str) -> Form:
        [found] = [one for one in self.forms if one.action == action]
        return found


class Browser:
    """One browser: it keeps cookies, and says where it comes from."""

    def __init__(self, client: "TestClient[Any, Any]", language: str = "en") -> None:
        self.client = client
        self.headers = {"Accept": "text/html", "Accept-Language": language}

    async def get(self, path: str, **headers: str) -> Page:
        answer = await self.client.get(
            URL(path, encoded=True), headers=self.headers | headers
        )
        return Page(answer, await answer.text())

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        """Send a form as a page of this very server would."""
        said = {"Sec-Fetch-Site": "same-origin"} | headers
        answer = await self.client.post(path, data=fields, headers=self.headers | said)
        return Page(answer, await answer.text())

    async def send(self, page: Page, action: str, **typed: str) -> Page:
        """Fill in a form of a page and press its button."""
        form = page.form(action)
        fields = form.fields | typed
        if form.method == "post":
            return await self.post(action, fields)
        return await self.get(str(URL(action).with_query(fields)))

    async def sign_in(self, name: str, password: str = PASSWORD) -> Page:
        return await self.send(
            await self.get("/sign-in"), "/sign-in", name=name, password=password
        )


class Reachable:
    """A courier as payments see it: it knows whether the hub answers."""

    is_up = True

    def is_reachable(self) -> bool:
        return self.is_up


class Town(NamedTuple):
    """Both groups' pages, and what runs behind them."""

    made: Asking
    servers: dict[Group, TestServer]
    tables: dict[Group, list[Route]]
    couriers: dict[Group, Reachable]
    stack: AsyncExitStack

    async def browser(self, group: Group = OOSTENDE, language: str = "en") -> Browser:
        """Open another browser, with cookies of its own."""
        client: TestClient[Any, Any] = TestClient(self.servers[group])
        # The server is started once, by the first of its browsers.
        await self.stack.enter_async_context(client.session)
        return Browser(client, language)

    async def signed_in(
        self, name: str = "marie", group: Group = OOSTENDE, language: str = "en"
    ) -> Browser:
        browser = await self.browser(group, language)
        page = await browser.sign_in(name)
        assert page.status == 200, page.text
        return browser

    def node(self, group: Group = OOSTENDE) -> Server:
        return self.made.federated.nodes[group]


def settings_of(url: str) -> Settings:
    return Settings(
        server=ServerSettings(public_url=url, data=Path("/nowhere")),
        database=DatabaseSettings(url="postgresql://nobody@nowhere/nothing"),
        log=LogSettings(),
        limits=LimitSettings(),
        audit=AuditSettings(),
        cycle=CycleSettings(),
        sharing=SharingSettings(),
        test=TrialSettings(),
    )


def put_together(
    made: Asking, group: Group, courier: Reachable, url: str
) -> runner.Server:
    """Put a node together as ``serve`` does, without a hub to call."""
    node = made.federated.nodes[group]
    server = runner.Server(
        settings_of(url),
        node.database,
        node.clerk,
        node.clock,
        node.metrics,
        KillSwitch(""),
        Door(node.database, node.clock),
    )
    assert isinstance(node.house, NodeHouse)
    joined = Membership(FEDERATION, group, "http://127.0.0.1:9", "", "")
    app.add_people(
        server,
        node.house,
        joined,
        courier,  # type: ignore[arg-type]
        made.nodes[group],
        NodeEvidence(node.house),
    )
    return server


async def admit(node: Server, account: str, **limits: int | None) -> None:
    """Give somebody an account and a password."""
    fields: dict[str, Any] = {"floor": -1000, "ceiling": 3000} | limits
    member = NewMember(account_id=account, name=account.capitalize(), **fields)
    await node.clerk.take(member)
    async with node.database.desk.acquire() as connection:
        await access_store.add_person(connection, account, account, HASHED)


@asynccontextmanager
async def town(
    new_database: NewDatabase, url: str = "http://{group}.example.org"
) -> AsyncIterator[Town]:
    """Marie and Jan of Oostende, Bob of Mechelen, and their pages."""
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # These few people do here in a minute what others do in a month.
        for pace in PACES:
            patch.setattr(pace, 10_000)
        made = await stack.enter_async_context(asking(new_database))
        found = Town(made, {}, {}, {}, stack)
        people = ((OOSTENDE, ("marie", "jan")), (MECHELEN, ("bob",)))
        for group, accounts in people:
            for account in accounts:
                await admit(found.node(group), account)
            courier = found.couriers[group] = Reachable()
            server = put_together(made, group, courier, url.format(group=group))
            found.tables[group] = server.api
            test_server = TestServer(runner._application(server))
            await stack.enter_async_context(test_server)
            found.servers[group] = test_server
        yield found


async def let_in(
    shown: Town, name: str = "@tine", role: Role = "treasurer", language: str = "en"
) -> Browser:
    """Sign in one of those who run Oostende."""
    node = shown.node()
    async with node.database.desk.acquire() as connection, connection.transaction():
        now = node.clock.now()
        code = await access_store.invite_person(connection, name, SCOPES[role], now)
        await access_store.give_role(connection, name, role, now, None)
    browser = await shown.browser(language=language)
    page = await browser.send(await browser.get("/welcome"), "/welcome", code=code)
    assert page.place == "/treasurer", page.text
    return browser
