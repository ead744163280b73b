"""A server's database: who connects how, and named queries.

Three kinds of connection. The clerk has one of its own, and it holds the lock that
makes this process the clerk: connection gone, lock gone, role gone, and nothing else
is needed to fence an old clerk off. Readers cannot write; an audit has one of its own,
with all the time it needs. The desk writes what is neither ledger nor link, in small
transactions. The tables belong to the stores, and how they come to be is told by
``migration_store``.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from protocol.errors import OutageError
from protocol.peer.settings import DatabaseSettings, SettingsError, read_secret

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    # A pool lends connections as proxies; stores serve both.
    AnyConnection = Connection | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    # Only the type stubs know that these are generic.
    Connection = AnyConnection = asyncpg.Connection
    Pool = asyncpg.Pool

SERVER_MAJOR_MIN = 15

#: What a call of asyncpg raises when the database went away, or the disk is full, or
#: this is a primary no more. For the clerk each of them ends the role.
AWAY: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    # Seen when a server's farewell meets a query on its way.
    asyncpg.InternalClientError,
)

#: What one query may be answered that the database, though it is there, cannot run.
REFUSED: Final = asyncpg.PostgresError

_LOG = logging.getLogger(__name__)
_CLERK_LOCK = int.from_bytes(b"interlet")
_LOCK_PAUSE_S = 0.5
_CONNECT_TIMEOUT_S = 10.0
_DESK_MAX = 2

_SESSION = {
    # Measured: a plan cached while tables were empty costs 10 times what it should.
    "enable_seqscan": "off",
    # A forbidden scan counts as 1e10 until version 17, far above the price at which
    # PostgreSQL compiles a plan, which takes longer than any query of ours.
    "jit": "off",
    "synchronous_commit": "on",
    "timezone": "UTC",
    # When a machine loses power, the server must notice and free the clerk's lock; by
    # default that takes two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
}
_READER = {"default_transaction_read_only": "on", "statement_timeout": "30s"}
#: Reads whole tables once, politely: it may take minutes, so nothing hurries it.
_AUDITOR = {
    "default_transaction_read_only": "on",
    "statement_timeout": "0",
    "enable_seqscan": "on",
    # Its joins are of everything with everything. A plan made while tables were
    # thought to be small would look each row up alone.
    "enable_nestloop": "off",
    "work_mem": "32MB",
    "max_parallel_workers_per_gather": "0",
    "idle_in_transaction_session_timeout": "10min",
}
_DESK = {"statement_timeout": "10s", "idle_in_transaction_session_timeout": "10s"}

_QUERY = re.compile(
    r"-- (?P<name>[a-z][a-z0-9_]*) --\n"
    r"-- [A-Z].*(?:\n-- .*)*\.\n"
    r"(?P<sql>(?!--)\S(?:.*\n)*?.*;)\s*"
)


def queries(path_of_module: str) -> Mapping[str, str]:
    """Read the named queries in the ``.sql`` file beside a module.

    Args:
        path_of_module: the module's ``__file__``.

    Raises:
        ValueError: the file is not a row of ``-- name --``, a sentence, one statement.
    """
    path = Path(path_of_module).with_suffix(".sql")
    found: dict[str, str] = {}
    blocks = re.split(r"(?m)^(?=-- \S+ --$)", path.read_text(encoding="utf-8"))
    for block in blocks[0 if blocks[0].strip() else 1 :]:
        query = _QUERY.fullmatch(block)
        if query is None or ";\n" in query["sql"]:
            first = block.strip().partition("\n")[0]
            raise ValueError(f"{path.name}: cannot read the query at {first!r}")
        if query["name"] in found:
            raise ValueError(f"{path.name}: two queries are named {query['name']}")
        found[query["name"]] = query["sql"]
    return MappingProxyType(found)


_SQL = queries(__file__)


class Database:
    """The connections of one server; ``open`` makes it.

    Attributes:
        readers: connections that cannot write.
        desk: connections for what is neither ledger nor link.
    """

    def __init__(self, settings: DatabaseSettings, readers: Pool, desk: Pool) -> None:
        self.readers = readers
        self.desk = desk
        self._settings = settings

    @classmethod
    async def open(cls, settings: DatabaseSettings) -> Self:
        """Connect the readers and the desk.

        Raises:
            OutageError: the database is not there for now.
            SettingsError: it is there, and will never let us in like this.
        """
        async with _naming_the_guilty():
            readers = await _open_pool(
                settings, "readers", settings.readers_max, _READER
            )
            try:
                desk = await _open_pool(settings, "desk", _DESK_MAX, _DESK)
            except BaseException:
                readers.terminate()
                raise
        return cls(settings, readers, desk)

    async def become_clerk(self) -> Connection:
        """Wait until this process is the clerk.

        Returns:
            The one connection that holds the lock; write on this one only, close it to
            step down, and take its loss for the loss of the role.

        Raises:
            OutageError: the database went away, or is a standby.
            SettingsError: a commit there would not be durable.
        """
        async with _naming_the_guilty():
            connection = await asyncpg.connect(
                self._settings.url,
                password=_password(self._settings),
                timeout=_CONNECT_TIMEOUT_S,
                server_settings=_SESSION | {"application_name": "interlets clerk"},
                target_session_attrs=SessionAttribute.primary,
            )
            try:
                await check_durability(connection)
                await _wait_for_lock(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend one consistent view of everything, that cannot write, for minutes.

        It has a connection of its own, so that the readers stay free for people.

        Raises:
            OutageError: the database is not there, or goes away meanwhile.
        """
        async with _naming_the_guilty():
            connection = await asyncpg.connect(
                self._settings.url,
                password=_password(self._settings),
                timeout=_CONNECT_TIMEOUT_S,
                server_settings=_SESSION
                | _AUDITOR
                | {"application_name": "interlets auditor"},
                target_session_attrs=SessionAttribute.primary,
            )
        try:
            async with connection.transaction(
                isolation="repeatable_read", readonly=True
            ):
                yield connection
        except AWAY as error:
            raise OutageError(f"The database went away: {error}.") from error
        finally:
            # At once, whatever still runs on it: there is nothing to keep.
            connection.terminate()

    @asynccontextmanager
    async def bulk(self) -> AsyncIterator[Connection]:
        """Lend a connection of its own that fills whole tables, and may audit them.

        Raises:
            OutageError: the database is not there, or goes away meanwhile.
        """
        async with _naming_the_guilty():
            connection = await asyncpg.connect(
                self._settings.url,
                password=_password(self._settings),
                timeout=_CONNECT_TIMEOUT_S,
                server_settings=_SESSION
                | _AUDITOR
                | {
                    "default_transaction_read_only": "off",
                    "application_name": "interlets restore",
                },
                target_session_attrs=SessionAttribute.primary,
            )
        try:
            await check_durability(connection)
            yield connection
        except AWAY as error:
            raise OutageError(f"The database went away: {error}.") from error
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Close readers and desk; whoever became the clerk closes that connection."""
        await asyncio.gather(self.readers.close(), self.desk.close())


async def take_lock(connection: Connection) -> bool:
    """Take the clerk's lock if no other process has it; it ends with the connection."""
    return bool(await connection.fetchval(_SQL["try_clerk_lock"], _CLERK_LOCK))


async def check_durability(connection: Connection) -> None:
    """Refuse a database that may forget what it has confirmed, or spoil a name.

    Raises:
        OutageError: a standby, which becomes writable when it is promoted.
        SettingsError: too old, told not to wait for its disk, or not in UTF8.
    """
    row = await connection.fetchrow(_SQL["read_durability"])
    assert row is not None, "a query without FROM has one row"
    if row["is_standby"]:
        raise OutageError("The database is a standby and cannot be written.")
    if row["major"] < SERVER_MAJOR_MIN:
        raise SettingsError(
            f"The database is PostgreSQL {row['major']};"
            f" expected {SERVER_MAJOR_MIN} or newer."
        )
    # remote_apply waits for more than on; local and remote_write wait for less.
    expected = {
        "fsync": ("on",),
        "full_page_writes": ("on",),
        "synchronous_commit": ("on", "remote_apply"),
    }
    for name, values in expected.items():
        if row[name] not in values:
            raise SettingsError(
                f"The database has {name} = {row[name]}, so a payment that was"
                f" confirmed could be lost; expected {name} = on."
            )
    if row["encoding"] != "UTF8":
        # Whole queries fail elsewhere, too: normalize() is for UTF8 alone.
        raise SettingsError(
            f"The database has encoding {row['encoding']}, so a name or memo might"
            " not be kept as it was written; expected UTF8, which can only be chosen"
            " when a database is made: CREATE DATABASE ... ENCODING 'UTF8'."
        )


async def _open_pool(
    settings: DatabaseSettings, name: str, size_max: int, session: Mapping[str, str]
) -> Pool:
    return await asyncpg.create_pool(
        settings.url,
        password=_password(settings),
        min_size=1,
        max_size=size_max,
        timeout=_CONNECT_TIMEOUT_S,
        server_settings={
            **_SESSION,
            **session,
            "application_name": f"interlets {name}",
        },
        target_session_attrs=SessionAttribute.primary,
        reset=_leave_as_it_is,
    )


async def _leave_as_it_is(_connection: object) -> None:
    """Nothing to undo: no query of ours changes a session (saves a round trip)."""


def _password(settings: DatabaseSettings) -> str | None:
    if settings.password_file is None:
        return None
    return read_secret(settings.password_file)


async def _wait_for_lock(connection: Connection) -> None:
    """Take the clerk's lock, however long another process keeps it."""
    is_told = False
    # Asking again and again, since waiting inside PostgreSQL would hold a snapshot all
    # the time, and a standby that waits for a week would keep every dead row.
    while not await connection.fetchval(_SQL["try_clerk_lock"], _CLERK_LOCK):
        if not is_told:
            _LOG.info("another process is the clerk of this database; waiting")
            is_told = True
        await asyncio.sleep(_LOCK_PAUSE_S)
    _LOG.info("this process is the clerk")


@asynccontextmanager
async def _naming_the_guilty() -> AsyncIterator[None]:
    """Say of a failed connection whether to try later or to call the operator."""
    try:
        yield
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise SettingsError(f"The database's address is wrong: {error}.") from error
    except AWAY as error:
        raise OutageError(f"The database is away: {error}.") from error
    except asyncpg.PostgresError as error:
        raise SettingsError(f"The database does not let us in: {error}.") from error
