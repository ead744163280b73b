"""A hub and its nodes in one process: real clerks, real databases, no HTTP.

The courier here is the smallest that can be: it carries what one clerk says to the
other, both ways, until nobody has anything more to say.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg

from clearing import app as hub_app
from clearing import log_store
from clearing.house import Due, HubHouse
from clearing.log_store import Identity
from clearing.rules import Admission
from nodes import app as node_app
from nodes import member_store
from nodes.house import NodeHouse
from nodes.member_store import Membership
from nodes.rules import NewMember, Order
from protocol import address, envelope
from protocol.address import HUB, AccountName, Group
from protocol.directory import GroupRecord, public_keys, sign_hub_statement
from protocol.envelope import VerifiedCover
from protocol.messages import EntryUnit, GroupEntry, HubStatement
from protocol.peer import ledger_store, transfer_store
from protocol.peer.batch import Arrival, House, OtherKey, Stale
from protocol.peer.clerk import PEER_MIGRATIONS, Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.key_files import ServerKeys
from protocol.peer.metrics import Metrics
from protocol.peer.migration_store import migrate
from protocol.peer.settings import DatabaseSettings, LimitSettings
from protocol.peer.steps import KillSwitch
from protocol.transfer import Transfer
from protocol.unit import Amount
from tests.clearing.makers import invitation
from tests.nodes.makers import NONCE, SALT
from tests.peer.makers import UNITS, entry_of, signed
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    hash_of,
    sealing_key,
    signing_key,
)

NewDatabase = Callable[[], Awaitable[str]]
#: Outcomes of covers that do not count.
_NOT_TAKEN = (Stale, OtherKey)


def keys_of(label: str) -> ServerKeys:
    return ServerKeys(signing_key(label), sealing_key(label))


def identity() -> Identity:
    root = signing_key("the root")
    statement = HubStatement(
        v=1,
        federation=FEDERATION,
        version=1,
        name="lets-belgium",
        keys=public_keys(
            signing_key("hub").public, sealing_key("hub").public, root.public
        ),
    )
    return Identity(FEDERATION, sign_hub_statement(statement, root))


async def until(is_so: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until something that announces itself nowhere is so."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Server:
    """One server without its HTTP: a clerk that runs, and what it may be asked."""

    def __init__(
        self, make_house: Callable[[], House], url: str, migrations: Any
    ) -> None:
        self.make_house = make_house
        self.house = make_house()
        self.url = url
        self.metrics = Metrics()
        self.clock = Clock()
        self._migrations = migrations
        self._limits = LimitSettings()
        self.clerk: Clerk
        self.task: asyncio.Task[None]
        self.database: Database

    async def start(self) -> None:
        self.database = await Database.open(DatabaseSettings(url=self.url))
        self.clerk = self.new_clerk(self.house)
        self.task = asyncio.get_running_loop().create_task(self.clerk.run())
        await self.until_ready()

    def new_clerk(self, house: House) -> Clerk:
        return Clerk(
            house,
            self.database,
            self.clock,
            self.metrics,
            self._limits,
            KillSwitch(""),
            self._migrations,
        )

    async def until_ready(self) -> None:
        await until(lambda: self.clerk.is_ready or self.task.done())
        if self.task.done():
            await self.task

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self.task
        await self.end_clerks()
        await self.database.close()

    async def restart(self) -> None:
        """Stop and start again, with nothing left in memory."""
        await self.stop()
        self.house = self.make_house()
        await self.start()

    async def end_clerks(self) -> None:
        """Let PostgreSQL end the clerk's connection, as an operator would."""
        await self.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database()"
            " AND application_name = 'interlets clerk'"
        )

    async def ask(self, sql: str, *values: Any) -> list[Any]:
        """Ask the database directly, past every store: for what a test must see."""
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def change(self, sql: str) -> None:
        """Change the database directly: for the accidents that a test is about."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def commits(self) -> int:
        for line in self.metrics.render().decode().splitlines():
            if line.startswith("interlets_commits_total "):
                return int(float(line.partition(" ")[2]))
        raise AssertionError("the clerk counts its commits")

    async def balances(self) -> dict[str, int]:
        rows = await self.ask("SELECT account_id, balance FROM account")
        return {row["account_id"]: row["balance"] for row in rows if row["balance"]}

    async def held(self) -> int:
        rows = await self.ask(
            "SELECT (SELECT count(*) FROM hold WHERE state = 'held')"
            " + coalesce(sum(held_out + held_in), 0) AS held FROM account"
        )
        return int(rows[0]["held"])

    async def sums(self) -> set[int]:
        async with self.database.readers.acquire() as connection:
            return set((await ledger_store.read_sums(connection)).values())

    async def transfer(self, transfer_id: str) -> Transfer | None:
        async with self.database.readers.acquire() as connection:
            found = await transfer_store.read(connection, [transfer_id])
        return found.get(transfer_id)

    async def undecided(self) -> int:
        async with self.database.readers.acquire() as connection:
            return await transfer_store.count_undecided(connection)


class Federation:
    """The hub and both groups' nodes, and the courier between them."""

    def __init__(self, hub: Server, nodes: dict[Group, Server]) -> None:
        self.hub = hub
        self.nodes = nodes
        #: Told of each cover of the hub's that a node took, as by its courier.
        self.note_cover: Callable[[Group, VerifiedCover], None] = lambda *_: None

    async def exchange(self, group: Group) -> bool:
        """Carry one request and its answer; says whether both were taken."""
        node = self.nodes[group]
        # On a busy machine the last cover may lie longer ago than covers are dated.
        await node.clerk.may_speak(HUB)
        request = node.clerk.speak(HUB)
        at_hub = self.hub.clerk.house
        body = envelope.open_body(request, at_hub.keyring, FEDERATION, HUB)
        if isinstance(await self.hub.clerk.take(Arrival(group, body)), _NOT_TAKEN):
            return False
        await self.hub.clerk.may_speak(group)
        answer = self.hub.clerk.speak(group)
        at_node = node.clerk.house
        body = envelope.open_body(answer, at_node.keyring, FEDERATION, group)
        if isinstance(await node.clerk.take(Arrival(HUB, body)), _NOT_TAKEN):
            return False
        self.note_cover(group, body.cover)
        return True

    def standing(self) -> list[object]:
        """What moves while anything is still under way."""
        links = [
            *(node.clerk.links[HUB] for node in self.nodes.values()),
            *self.hub.clerk.links.values(),
        ]
        return [
            (link.sent, link.taken, link.acknowledged, link.has_compared)
            for link in links
        ]

    async def quiet(self) -> None:
        """Exchange until nothing moves any more."""
        still = 0
        async with asyncio.timeout(30):
            while still < 3:
                before = self.standing()
                for group in self.nodes:
                    await self.exchange(group)
                still = still + 1 if self.standing() == before else 0

    async def sweep(self) -> None:
        """Let the hub look at what is due, as its sweeper does."""
        async with self.hub.database.readers.acquire() as connection:
            due = await transfer_store.read_due(
                connection, self.hub.clock.now(), 1000, []
            )
        if due:
            await self.hub.clerk.take(Due(due))

    async def unsound(self) -> list[str]:
        """Say what is still held, not zero in sum, or mirrored wrongly."""
        found = []
        positions = await self.hub.balances()
        for server in (self.hub, *self.nodes.values()):
            if held := await server.held():
                found.append(f"{server.house.own} holds {held}")
            if await server.sums() - {0}:
                found.append(f"{server.house.own} does not sum to zero")
        for group, node in self.nodes.items():
            clearing = (await node.balances()).get("clearing", 0)
            if clearing != -positions.get(group, 0):
                found.append(f"{group} mirrors {clearing} of {positions}")
        return found


def order(key: str, **changes: Any) -> Order:
    """Marie in Oostende pays Bob in Mechelen one blusser, 3 ketjes, when reachable."""
    payer = address.write_address(AccountName("marie"), OOSTENDE)
    fields: dict[str, Any] = {
        "transfer_id": address.transfer_id(FEDERATION, payer, key),
        "payer": "marie",
        "name": "Marie",
        "payee": "bob",
        "payee_group": MECHELEN,
        "payee_amount": Amount(3),
        "payer_amount_max": 1,
        "memo": f"eggs for {key}",
        "deliver": "when_reachable",
        "salt": SALT,
        "nonce": NONCE,
        "hub_now": Clock().now(),
        "is_hub_reachable": True,
        "caller": "marie",
        "key": key,
        "body_hash": hash_of(key),
    }
    return Order(**(fields | changes))


def hub_house() -> HubHouse:
    return HubHouse(keys_of("hub"), identity())


async def start_hub(
    new_database: NewDatabase, make_house: Callable[[], House] = hub_house
) -> Server:
    """Start a hub that has no groups yet."""
    server = Server(
        make_house,
        await new_database(),
        hub_app.MIGRATIONS,
    )
    await server.start()
    return server


async def start_node(
    new_database: NewDatabase,
    group: Group,
    members: list[NewMember],
    entry: GroupEntry | None = None,
) -> Server:
    url = await new_database()
    membership = Membership(
        FEDERATION,
        group,
        "http://hub.example",
        identity().statement,
        signed(entry or entry_of(group)),
    )
    connection = await asyncpg.connect(url)
    try:
        packages = [PEER_MIGRATIONS, node_app.MIGRATIONS]
        await migrate(connection, packages, Clock().now())
        await member_store.write_membership(connection, membership)
    finally:
        await connection.close()
    server = Server(
        lambda: NodeHouse(keys_of(group), membership), url, node_app.MIGRATIONS
    )
    await server.start()
    for member in members:
        assert await server.clerk.take(member) is True
    return server


async def admit(hub: Server, group: Group, stated: GroupEntry | None = None) -> None:
    entry = stated or entry_of(group)
    invited = invitation(
        code_hash=hash_of(f"code of {group}"),
        group=group,
        floor=-(10**12),
        ceiling=10**12,
        until=Clock().now() + 60_000,
    )
    async with hub.database.desk.acquire() as connection:
        await log_store.write_invitation(connection, invited)
    outcome = await hub.clerk.take(
        Admission(
            entry=entry,
            signed=signed(entry),
            code_hash=invited.code_hash,
            request_hash=hash_of(f"request of {group}"),
        )
    )
    assert isinstance(outcome, GroupRecord)


@asynccontextmanager
async def federation(
    new_database: NewDatabase,
    *rates_and_decimals: tuple[int, int],
    make_hub: Callable[[], House] = hub_house,
) -> AsyncIterator[Federation]:
    """Oostende with Marie and Mechelen with Bob, admitted, compared and quiet.

    Args:
        new_database: makes one for each server.
        rates_and_decimals: of Oostende and of Mechelen, if not the usual ones.
        make_hub: makes the hub's house, if not the honest one.
    """
    entries = {OOSTENDE: entry_of(OOSTENDE), MECHELEN: entry_of(MECHELEN)}
    for group, (rate, decimals) in zip(entries, rates_and_decimals, strict=False):
        unit = EntryUnit(UNITS[group], f"{UNITS[group]}s", UNITS[group][:2], decimals)
        entries[group] = entry_of(group, rate, unit=unit)
    async with AsyncExitStack() as stack:
        hub = await start_hub(new_database, make_hub)
        stack.push_async_callback(hub.stop)
        nodes: dict[Group, Server] = {}
        for group, name in ((OOSTENDE, "marie"), (MECHELEN, "bob")):
            await admit(hub, group, entries[group])
            member = NewMember(
                account_id=name, name=name.capitalize(), floor=-1000, ceiling=3000
            )
            nodes[group] = await start_node(
                new_database, group, [member], entries[group]
            )
            stack.push_async_callback(nodes[group].stop)
        made = Federation(hub, nodes)
        await made.quiet()
        yield made
