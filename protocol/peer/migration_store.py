"""Migrations: how a database comes to be what this program needs.

Two sequences of numbered SQL files, the peer's and the house's, only ever go forward.
Table ``migration`` tells which of them a database has had, with a checksum each, so
that a changed file, a gap or an older program is found out before anything runs.
"""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from protocol.errors import InterletsError
from protocol.instant import Instant, to_datetime
from protocol.peer.database import AnyConnection, Connection, queries

_LOG = logging.getLogger(__name__)
_SQL = queries(__file__)
_FILE = re.compile(r"(?P<number>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql")
_HEAD = re.compile(r"-- [A-Z]")
_ENDS_TRANSACTION = re.compile(r"(?im)^\s*(begin|commit|rollback)\s*;")


class MigrationError(InterletsError):
    """This program's migrations and this database do not belong together."""


class PastMigration(msgspec.Struct, frozen=True):
    """A migration that a database has had."""

    package: str
    number: int
    name: str
    checksum: str


class _Migration(NamedTuple):
    package: str
    number: int
    name: str
    checksum: str
    sql: str


async def migrate(
    connection: Connection, packages: Sequence[tuple[str, Path]], now: Instant
) -> list[str]:
    """Bring the database to what this program needs; a second call does nothing.

    Args:
        connection: the clerk's, so that no two programs migrate at once.
        packages: name and folder of each sequence, in the order in which they run.
        now: recorded beside what ran.

    Returns:
        What ran now, such as ``peer/0001_ledger``. Each ran in a database transaction
        of its own, so after a failure the ones before it stay.

    Raises:
        MigrationError: files and database contradict each other; nothing ran.
    """
    await connection.execute(_SQL["create_migration"])
    past = await read_past(connection)
    known = _compare_all(packages, past)
    waiting = [
        migration
        for package, files in known.items()
        for migration in files[sum(each.package == package for each in past) :]
    ]
    for migration in waiting:
        await _run(connection, migration, now)
    return [f"{each.package}/{each.number:04}_{each.name}" for each in waiting]


async def read_past(connection: AnyConnection) -> list[PastMigration]:
    """Give every migration that the database has had."""
    rows = await connection.fetch(_SQL["read_migrations"])
    return [PastMigration(**dict(row)) for row in rows]


async def migrate_as(
    connection: Connection,
    packages: Sequence[tuple[str, Path]],
    past: Sequence[PastMigration],
    now: Instant,
) -> None:
    """Bring an empty database to where another one stood, and no further.

    Args:
        connection: as for ``migrate``.
        packages: as for ``migrate``.
        past: what the other database has had.
        now: recorded beside what ran.

    Raises:
        MigrationError: this program cannot; nothing ran.
    """
    known = _compare_all(packages, past)
    await connection.execute(_SQL["create_migration"])
    for package, files in known.items():
        for migration in files[: sum(each.package == package for each in past)]:
            await _run(connection, migration, now)


def _compare_all(
    packages: Sequence[tuple[str, Path]], past: Sequence[PastMigration]
) -> Mapping[str, list[_Migration]]:
    """Give this program's migrations by package, of which ``past`` are the first."""
    known = {package: _read_migrations(package, folder) for package, folder in packages}
    strangers = {each.package for each in past} - known.keys()
    if strangers:
        raise MigrationError(
            f"The database has migrations of {', '.join(sorted(strangers))}, which this"
            " program does not know; expected a database of its own."
        )
    for package, files in known.items():
        _compare(package, files, [each for each in past if each.package == package])
    return known


def _read_migrations(package: str, folder: Path) -> list[_Migration]:
    """Read a folder's files, which must be numbered from 1 without a gap."""
    found: list[_Migration] = []
    for number, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        title = f"{package}/{path.name}"
        match = _FILE.fullmatch(path.name)
        if match is None or int(match["number"]) != number:
            raise MigrationError(f"{title}: expected {number:04}_name.sql here.")
        content = path.read_bytes()
        sql = content.decode()
        if not _HEAD.match(sql):
            raise MigrationError(f"{title}: expected a first line that says why.")
        if _ENDS_TRANSACTION.search(sql):
            raise MigrationError(f"{title}: expected no transaction of its own.")
        checksum = hashlib.sha256(content).hexdigest()
        found.append(_Migration(package, number, match["name"], checksum, sql))
    return found


def _compare(
    package: str, files: list[_Migration], past: Sequence[PastMigration]
) -> None:
    """Refuse a database that has had other migrations than this program's first."""
    if len(past) > len(files):
        raise MigrationError(
            f"The database has had {len(past)} migrations of {package} and this program"
            f" knows {len(files)}; expected a newer program."
        )
    for file, had in zip(files, past, strict=False):
        title = f"{package}/{file.number:04}_{file.name}"
        if had.number != file.number:
            raise MigrationError(
                f"The database skipped {title} and has had a later one;"
                " expected all in order."
            )
        if (had.name, had.checksum) != (file.name, file.checksum):
            raise MigrationError(
                f"{title} is not what this database has had under that number;"
                " expected it unchanged, and any change in a new file."
            )


async def _run(connection: Connection, migration: _Migration, now: Instant) -> None:
    package, number, name, checksum, sql = migration
    async with connection.transaction():
        await connection.execute(sql)
        await connection.execute(
            _SQL["insert_migration"], package, number, name, checksum, to_datetime(now)
        )
    _LOG.info("ran migration %s/%04d_%s", package, number, name)
