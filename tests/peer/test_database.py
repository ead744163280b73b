import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from protocol.errors import OutageError
from protocol.peer import postgres
from protocol.peer.database import (
    AWAY,
    Connection,
    Database,
    check_durability,
    queries,
)
from protocol.peer.settings import DatabaseSettings, SettingsError

NewDatabase = Callable[[], Awaitable[str]]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = await Database.open(DatabaseSettings(url=url))
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def clerk_of(url: str) -> AsyncIterator[Connection]:
    async with opened(url) as database:
        connection = await database.become_clerk()
        try:
            yield connection
        finally:
            await connection.close()


async def test_a_reader_cannot_write(new_database: NewDatabase) -> None:
    async with opened(await new_database()) as database:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await database.readers.execute("CREATE TABLE account (id integer)")


async def test_what_the_desk_writes_a_reader_sees(new_database: NewDatabase) -> None:
    async with opened(await new_database()) as database:
        await database.desk.execute("CREATE TABLE person (name text)")
        await database.desk.execute("INSERT INTO person VALUES ('Marie')")
        assert await database.readers.fetchval("SELECT name FROM person") == "Marie"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "on"),
        ("TimeZone", "UTC"),
        ("enable_seqscan", "off"),
        ("application_name", "interlets clerk"),
        ("statement_timeout", "0"),
    ],
)
async def test_the_clerk_has_its_settings_even_where_others_are_the_default(
    new_database: NewDatabase, name: str, value: str
) -> None:
    url = await new_database()
    administrator = await asyncpg.connect(url)
    other = {"synchronous_commit": "off", "TimeZone": "Europe/Brussels"}
    if name in other:
        await administrator.execute(
            f"ALTER ROLE CURRENT_USER IN DATABASE {urlsplit(url).path[1:]}"
            f" SET {name} = '{other[name]}'"
        )
    await administrator.close()
    async with clerk_of(url) as connection:
        assert await connection.fetchval("SELECT current_setting($1)", name) == value


async def test_the_second_clerk_waits_until_the_first_has_gone(
    new_database: NewDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(await new_database()) as database:
        first = await database.become_clerk()
        async with asyncio.TaskGroup() as group:
            standby = group.create_task(database.become_clerk())
            await asyncio.sleep(0.8)
            assert not standby.done()
            # As if its process had died: nobody says goodbye.
            first.terminate()
        await standby.result().close()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "this process is the clerk",
        "another process is the clerk of this database; waiting",
        "this process is the clerk",
    ]


async def test_a_waiting_standby_keeps_no_dead_rows(new_database: NewDatabase) -> None:
    async with opened(await new_database()) as database:
        first = await database.become_clerk()
        async with asyncio.TaskGroup() as group:
            standby = group.create_task(database.become_clerk())
            await asyncio.sleep(0.3)
            holding = await first.fetchval(
                """
                SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()
                   AND backend_xmin IS NOT NULL
                """
            )
            await first.close()
        await standby.result().close()
    assert holding == 0


async def test_a_standby_told_to_stop_leaves_no_connection(
    new_database: NewDatabase,
) -> None:
    async with opened(await new_database()) as database:
        first = await database.become_clerk()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await database.become_clerk()
        await asyncio.sleep(0.2)
        clerks = await first.fetchval(
            """
            SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database()
               AND application_name = 'interlets clerk'
            """
        )
        await first.close()
    assert clerks == 1


async def test_clerks_of_two_databases_do_not_wait_for_each_other(
    new_database: NewDatabase,
) -> None:
    async with (
        clerk_of(await new_database()) as hub,
        clerk_of(await new_database()) as node,
    ):
        assert await hub.fetchval("SELECT 1") == await node.fetchval("SELECT 1")


async def test_a_clerk_whose_connection_is_cut_can_write_no_more(
    new_database: NewDatabase,
) -> None:
    url = await new_database()
    administrator = await asyncpg.connect(url)
    async with opened(url) as database:
        clerk = await database.become_clerk()
        await administrator.execute(
            "SELECT pg_terminate_backend($1)", clerk.get_server_pid()
        )
        with pytest.raises(AWAY):
            await clerk.execute("CREATE TABLE account (id integer)")
        await (await database.become_clerk()).close()
    await administrator.close()


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
async def test_a_commit_that_waits_for_less_than_the_disk_is_refused(
    new_database: NewDatabase, value: str
) -> None:
    connection = await asyncpg.connect(await new_database())
    await connection.execute(f"SET synchronous_commit = {value}")
    with pytest.raises(SettingsError, match=f"synchronous_commit = {value}, so a"):
        await check_durability(connection)
    await connection.close()


@pytest.mark.parametrize("value", ["on", "remote_apply"])
async def test_a_commit_that_waits_for_the_disk_is_good(
    new_database: NewDatabase, value: str
) -> None:
    connection = await asyncpg.connect(await new_database())
    await connection.execute(f"SET synchronous_commit = {value}")
    await check_durability(connection)
    await connection.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_that_cannot_hold_every_name_gets_no_clerk(
    postgres_server: str, encoding: str
) -> None:
    administrator = await asyncpg.connect(postgres_server)
    name = f"test_{os.getpid()}_{encoding.lower()}"
    await administrator.execute(
        f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    )
    try:
        url = urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))
        async with opened(url) as database:
            with pytest.raises(SettingsError, match=f"encoding {encoding}, so a name"):
                await database.become_clerk()
    finally:
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await administrator.close()


@pytest.fixture
def own_server(data_folder: Path) -> str:
    """Address of a server whose settings no other test shares."""
    server = postgres.start(data_folder)
    password = (data_folder / "superuser.password").read_text()
    return (
        f"postgresql://{postgres.SUPERUSER}:{password}"
        f"@{server.host}:{server.port}/postgres"
    )


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
async def test_a_server_that_does_not_wait_for_its_disk_gets_no_clerk(
    own_server: str, name: str
) -> None:
    administrator = await asyncpg.connect(own_server)
    await administrator.execute(f"ALTER SYSTEM SET {name} = off")
    await administrator.execute("SELECT pg_reload_conf()")
    await administrator.close()
    async with opened(own_server) as database:
        with pytest.raises(SettingsError, match=f"The database has {name} = off, so"):
            await database.become_clerk()


def test_a_standby_gets_no_clerk(own_server: str, data_folder: Path) -> None:
    postgres.stop(data_folder)
    (data_folder / "cluster" / "standby.signal").touch()
    postgres.start(data_folder)

    async def ask() -> None:
        connection = await asyncpg.connect(own_server)
        with pytest.raises(OutageError, match="is a standby"):
            await check_durability(connection)
        await connection.close()
        with pytest.raises(OutageError, match="The database is away"):
            await Database.open(DatabaseSettings(url=own_server))

    asyncio.run(ask())


async def test_nobody_there_is_an_outage() -> None:
    with pytest.raises(OutageError, match="The database is away"):
        await Database.open(DatabaseSettings(url="postgresql://a@127.0.0.1:1/a"))
    with pytest.raises(OutageError, match="The database is away"):
        await Database.open(DatabaseSettings(url="postgresql:///a?host=/nowhere"))


async def test_a_wrong_name_or_password_is_for_the_operator(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    parts = urlsplit(await new_database())
    nowhere = urlunsplit(parts._replace(path="/nowhere"))
    with pytest.raises(SettingsError, match='database "nowhere" does not exist'):
        await Database.open(DatabaseSettings(url=nowhere))

    secret = tmp_path / "password"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    settings = DatabaseSettings(url=urlunsplit(parts), password_file=secret)
    with pytest.raises(SettingsError, match="authentication failed") as refused:
        await Database.open(settings)
    assert "hunter2" not in str(refused.value)


async def test_the_password_comes_from_its_file(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    parts = urlsplit(await new_database())
    assert parts.password is not None
    assert parts.username is not None
    secret = tmp_path / "password"
    secret.write_text(parts.password + "\n")
    secret.chmod(0o600)
    bare = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}")
    settings = DatabaseSettings(url=urlunsplit(bare), password_file=secret)
    database = await Database.open(settings)
    assert await database.desk.fetchval("SELECT 1") == 1
    await database.close()


def read_queries(folder: Path, text: str) -> dict[str, str]:
    (folder / "some_store.sql").write_text(text, encoding="utf-8")
    return dict(queries(str(folder / "some_store.py")))


def test_a_query_is_its_statement_without_name_and_sentence(tmp_path: Path) -> None:
    text = """-- read_account --
-- The accounts of a batch, in id order;
-- amounts are minor units.
SELECT account_id
  -- Not the frozen ones.
  FROM account;

-- count_accounts --
-- How many there are.
SELECT count(*) FROM account;
"""
    assert read_queries(tmp_path, text) == {
        "read_account": "SELECT account_id\n  -- Not the frozen ones.\n  FROM account;",
        "count_accounts": "SELECT count(*) FROM account;",
    }


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;\n",
        "-- Read a thing --\n-- A sentence.\nSELECT 1;\n",
        "-- read --\nSELECT 1;\n",
        "-- read --\n-- no capital.\nSELECT 1;\n",
        "-- read --\n-- No full stop\nSELECT 1;\n",
        "-- read --\n-- No statement.\n",
        "-- read --\n-- No end.\nSELECT 1\n",
        "-- read --\n-- Two statements.\nSELECT 1;\nSELECT 2;\n",
        "-- read --\n-- One.\nSELECT 1;\n\n-- Read two --\n-- Two.\nSELECT 2;\n",
        "-- read --\n-- One.\nSELECT 1;\n\n-- read --\n-- Again.\nSELECT 2;\n",
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"some_store\.sql: "):
        read_queries(tmp_path, text)
