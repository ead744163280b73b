"""A database with the peer's tables, and the least that puts something in them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from protocol.effects import Effect, OpenAccount, PostEntry, View
from protocol.ledger import GROUP_UNIT, TIME_UNIT, Account, AccountKind, Entry, Posting
from protocol.peer import ledger_store
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.migration_store import migrate
from tests.peer.makers import NOW
from tests.protocol.makers import life_of

NewDatabase = Callable[[], Awaitable[str]]


@asynccontextmanager
async def tables(
    new_database: NewDatabase, *more: Any
) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection to a new database that has had the migrations."""
    connection = await asyncpg.connect(await new_database())
    try:
        await migrate(connection, [PEER_MIGRATIONS, *more], NOW)
        yield connection
    finally:
        await connection.close()


def entry_id(number: int) -> str:
    return f"00000000-0000-8000-8000-{number:012d}"


def entry(number: int, *postings: tuple[str, int], **changes: Any) -> Entry:
    fields: dict[str, Any] = {"at": NOW, "kind": "local"}
    return Entry(
        entry_id=entry_id(number),
        postings=tuple(Posting(*posting) for posting in postings),
        **(fields | changes),
    )


def account(name: str, unit: str = GROUP_UNIT, **changes: Any) -> Account:
    return Account(name, AccountKind.MEMBER, unit, **changes)


class Books:
    """A ledger that is written as the clerk writes it: view first, then the store."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self.connection = connection
        self.view = View(life_of("books"))
        self.sequence = 0

    async def write(self, *effects: Effect) -> None:
        for effect in effects:
            self.view.apply(effect)
        async with self.connection.transaction():
            self.sequence = await ledger_store.write(
                self.connection, self.view, effects, self.sequence
            )

    async def open(self, *accounts: Account) -> None:
        await self.write(*(OpenAccount(one) for one in accounts))

    async def post(self, *entries: Entry) -> None:
        await self.write(*(PostEntry(one) for one in entries))

    async def stored(self, *names: str) -> list[Account]:
        found = await ledger_store.read_accounts(self.connection, names)
        return sorted(found, key=lambda one: one.account_id)


@asynccontextmanager
async def books(new_database: NewDatabase, *accounts: Account) -> AsyncIterator[Books]:
    """Books with Marie, Bob, and Time (kept in milliseconds), unless given others."""
    async with tables(new_database) as connection:
        made = Books(connection)
        usual = (account("bob"), account("marie"), account("time", TIME_UNIT))
        await made.open(*(accounts or usual))
        yield made


async def refused_by(
    connection: "asyncpg.Connection[Any]", sql: str, *values: Any
) -> str:
    """Name the rule that refuses a statement; the connection goes on."""
    try:
        async with connection.transaction():
            await connection.execute(sql, *values)
    except asyncpg.IntegrityConstraintViolationError as error:
        return error.constraint_name or str(error)
    raise AssertionError(f"nothing refused {sql}")
