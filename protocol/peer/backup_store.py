"""Whole tables out of a database and into another one, and the mark of a restore.

Only ``restored`` is this store's own table. The others are copied as they are, in
PostgreSQL's binary form, column by column of the same migrations; their constraints
and triggers stand while they are filled, so what could never have been written is
refused here, too.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from graphlib import TopologicalSorter

import asyncpg
import msgspec

from protocol.errors import InterletsError
from protocol.instant import from_datetime, to_datetime
from protocol.peer.command_line import DataError
from protocol.peer.database import AnyConnection, Connection, queries
from protocol.restored import Restored

_SQL = queries(__file__)


#: Takes one piece of a table after the other.
Take = Callable[[bytes], Coroutine[object, object, None]]


class NotAllowedError(InterletsError):
    """The database's role may not do this."""


class Table(msgspec.Struct, frozen=True):
    """A table: its columns, and how large it is here."""

    name: str
    columns: list[str]
    octets: int = 0


class Counter(msgspec.Struct, frozen=True):
    """Where a sequence stands; ``last`` is ``None`` before its first number."""

    name: str
    first: int
    last: int | None


async def read_tables(connection: AnyConnection) -> list[Table]:
    """Give all tables, each behind those that it refers to."""
    rows = await connection.fetch(_SQL["read_tables"])
    tables = {row["name"]: row for row in rows}
    order = TopologicalSorter({name: row["needs"] for name, row in tables.items()})
    return [
        Table(name, list(tables[name]["columns"]), tables[name]["octets"])
        for name in order.static_order()
    ]


async def read_counters(connection: AnyConnection) -> list[Counter]:
    """Give all sequences."""
    rows = await connection.fetch(_SQL["read_sequences"])
    return [Counter(row["name"], row["start_value"], row["last_value"]) for row in rows]


async def copy_out(connection: Connection, table: Table, take: Take) -> int:
    """Hand all rows of a table on, piece by piece; gives how many they are."""
    done = await connection.copy_from_table(
        table.name, columns=table.columns, format="binary", output=take
    )
    return _rows(done)


async def copy_in(
    connection: Connection, table: Table, pieces: AsyncIterator[bytes]
) -> int:
    """Fill a table with what ``copy_out`` gave; gives how many rows.

    Raises:
        DataError: these rows cannot stand there.
    """
    try:
        done = await connection.copy_to_table(
            table.name, columns=table.columns, format="binary", source=pieces
        )
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        # Only its first line: what follows may quote a row.
        told = str(error).partition("\n")[0]
        raise DataError(
            f"{table.name}: rows of the backup are refused: {told}"
        ) from None
    return _rows(done)


def _rows(done: str) -> int:
    """Read the count behind ``COPY``."""
    return int(done.rpartition(" ")[2])


async def set_counters(connection: Connection, counters: Sequence[Counter]) -> None:
    """Let sequences go on where others stood.

    Raises:
        DataError: there is no such sequence here, or it cannot stand there.
    """
    for one in counters:
        value = one.first if one.last is None else one.last
        is_used = one.last is not None
        try:
            await connection.execute(_SQL["set_sequence"], one.name, value, is_used)
        except (asyncpg.UndefinedTableError, asyncpg.DataError):
            raise DataError(
                f"The backup's sequence {one.name} fits none here"
            ) from None


async def is_empty(connection: AnyConnection) -> bool:
    """Say whether nothing stands in this database."""
    return bool(await connection.fetchval(_SQL["count_relations"]) == 0)


async def enter_scratch(connection: Connection) -> None:
    """Stand in an empty schema, until the database transaction ends.

    Raises:
        NotAllowedError: the role may not make one.
    """
    try:
        await connection.execute(_SQL["make_scratch"])
    except asyncpg.InsufficientPrivilegeError:
        raise NotAllowedError(
            "the database's role may not make a schema for a trial; as PostgreSQL's"
            " superuser: GRANT CREATE ON DATABASE ... TO ..."
        ) from None
    await connection.execute(_SQL["enter_scratch"])


async def analyze(connection: Connection) -> None:
    """Let PostgreSQL know what was loaded, before it is audited."""
    for row in await connection.fetch(_SQL["write_analyses"]):
        await connection.execute(row["statement"])


async def end_access(connection: Connection) -> None:
    """Let everybody sign in anew."""
    await connection.execute(_SQL["end_access"])


async def mark_restored(connection: Connection, restored: Restored) -> None:
    """Note that this database was restored, until it has compared."""
    await connection.execute(
        _SQL["write_restored"],
        to_datetime(restored.at),
        to_datetime(restored.backup_at),
    )


async def read_restored(connection: AnyConnection) -> Restored | None:
    """Say whether this database was restored and has not compared since."""
    row = await connection.fetchrow(_SQL["read_restored"])
    if row is None:
        return None
    return Restored(
        at=from_datetime(row["at"]), backup_at=from_datetime(row["backup_at"])
    )


async def end_restored(connection: Connection) -> None:
    """Note that a restored database has compared."""
    await connection.execute(_SQL["end_restored"])
