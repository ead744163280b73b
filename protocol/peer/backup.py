"""Backup and restore: a whole server, tables and keys, in one encrypted file.

A backup is one consistent view of the database, read while the server works, and
beside it the private keys; the recovery key is never in it. A restore fills an empty
database in one database transaction, audits it, and marks it as restored: the server
then changes nothing until it has compared (``protocol.restored``). The same restore
into a schema that is undone again proves a backup. The file's frames are told in
``backup_source``, its bytes in ``backup_file``.
"""

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from protocol.effects import CallPeople
from protocol.errors import InterletsError, OutageError
from protocol.instant import Instant, read_instant, write_instant
from protocol.peer import backup_store, directory_store
from protocol.peer.audit import AuditAnswer, MakePlan, audit_on
from protocol.peer.backup_file import CONTENT_LENGTH_MAX, BackupWriter, Cost
from protocol.peer.backup_source import KEY_NAME, KeyFile, Manifest, Rows, Source
from protocol.peer.backup_store import NotAllowedError, Table
from protocol.peer.clock import Clock
from protocol.peer.command_line import DataError, Progress
from protocol.peer.database import AnyConnection, Connection, Database, take_lock
from protocol.peer.key_files import read_files, write_files
from protocol.peer.migration_store import (
    MigrationError,
    migrate,
    migrate_as,
    read_past,
)
from protocol.peer.new_file import NewFile
from protocol.peer.settings import Settings
from protocol.peer.steps import KillSwitch
from protocol.restored import Restored
from protocol.steps import Step

Packages = list[tuple[str, Path]]


class NotEmptyError(InterletsError):
    """A restore would mix with what is there already; nothing was changed."""


class NotSoundError(InterletsError):
    """What was restored contradicts itself; nothing was kept.

    Args:
        answer: what the audit found.
    """

    def __init__(self, answer: AuditAnswer) -> None:
        super().__init__("the audit of what was restored found rows that cannot be")
        self.answer = answer


class Known(msgspec.Struct, frozen=True):
    """Who a database belongs to, and how it is audited."""

    name: str
    federation: str
    make_plan: MakePlan


@dataclass(frozen=True)
class Subject:
    """What a house lets back up.

    Attributes:
        house: its package; a backup of another house is refused.
        packages: all its migrations, as ``migrate`` runs them.
        keys: the folder with its private keys.
        read: says whose a database is; raises when it is nobody's yet.
    """

    house: str
    packages: Packages
    keys: Path
    read: Callable[[AnyConnection], Awaitable[Known]]


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was written, or read and audited."""

    manifest: Manifest
    rows: int
    audit: AuditAnswer | None = None
    #: Why it was not audited.
    not_proved: str = ""


# Writing.


async def back_up(
    settings: Settings,
    subject: Subject,
    path: Path,
    passphrase: str,
    *,
    verify: bool | None,
    cost: Cost | None = None,
) -> Made:
    """Write a backup, and prove it by restoring it where nothing stays of it.

    Args:
        settings: the server's.
        subject: what its house lets back up.
        path: of the file, which must not be there yet.
        passphrase: to encrypt it.
        verify: whether to prove it; ``None``: if the database lets us.
        cost: what each guess at the passphrase costs, if not the usual.

    Raises:
        NotAllowedError: it was to be proved, and the role may not; it is written.
        InterletsError: nothing was written; says why.
    """
    database = await Database.open(settings.database)
    progress = Progress(sys.stderr)
    try:
        with NewFile(path) as file:
            writer = BackupWriter(file, passphrase, cost)
            made = await _write(database, settings, subject, writer, progress)
            file.sync()
            if verify is not False:
                made = await _prove_new(
                    database, settings, subject, file.draft, passphrase, made, progress
                )
            file.keep()
    finally:
        progress.close()
        await database.close()
    if made.not_proved and verify:
        raise NotAllowedError(f"{path} is written, but not proved: {made.not_proved}")
    return made


async def _write(
    database: Database,
    settings: Settings,
    subject: Subject,
    writer: BackupWriter,
    progress: Progress,
) -> Made:
    now = Clock(settings.test.clock_offset_ms).now()
    async with database.snapshot() as connection:
        known = await subject.read(connection)
        keys = read_files(subject.keys, KEY_NAME)
        tables = await backup_store.read_tables(connection)
        manifest = Manifest(
            house=subject.house,
            name=known.name,
            federation=known.federation,
            public_url=settings.server.public_url,
            at=write_instant(now),
            migrations=await read_past(connection),
            tables=tables,
            counters=await backup_store.read_counters(connection),
        )
        writer.write(b"M", msgspec.json.encode(manifest))
        for name, text in keys.items():
            writer.write(b"K", msgspec.json.encode(KeyFile(name, text)))
        rows = 0
        whole = sum(table.octets for table in tables) or 1
        before = 0
        for table in tables:
            progress.show(before / whole, f"copying {table.name}")
            rows += await _write_table(connection, writer, table)
            before += table.octets
    writer.close(b"F", msgspec.json.encode(Rows(rows, len(tables))))
    return Made(manifest=manifest, rows=rows)


async def _write_table(
    connection: Connection, writer: BackupWriter, table: Table
) -> int:
    """Write a table's frames, each as full as can be; gives how many rows."""
    writer.write(b"T", table.name.encode())
    waiting = bytearray()

    async def take(piece: bytes) -> None:
        waiting.extend(piece)
        while len(waiting) >= CONTENT_LENGTH_MAX:
            writer.write(b"D", bytes(waiting[:CONTENT_LENGTH_MAX]))
            del waiting[:CONTENT_LENGTH_MAX]

    rows = await backup_store.copy_out(connection, table, take)
    if waiting:
        writer.write(b"D", bytes(waiting))
    writer.write(b"E", msgspec.json.encode(Rows(rows)))
    return rows


async def _prove_new(
    database: Database,
    settings: Settings,
    subject: Subject,
    draft: Path,
    passphrase: str,
    made: Made,
    progress: Progress,
) -> Made:
    try:
        return await _prove(database, settings, subject, draft, passphrase, progress)
    except NotAllowedError as error:
        return msgspec.structs.replace(made, not_proved=str(error))


# Reading.


@asynccontextmanager
async def _open(
    path: Path, passphrase: str, subject: Subject, progress: Progress
) -> AsyncIterator[Source]:
    """Open a backup of this house's, up to its first table."""
    source = Source(path, passphrase, progress)
    try:
        house = source.manifest.house
        if house != subject.house:
            raise DataError(
                f"{path}: is a backup of {source.manifest.name}, made by {house}; "
                f"expected one made by {subject.house}"
            )
        source.read_keys()
        yield source
    finally:
        source.close()


async def _fill(
    connection: Connection, source: Source, subject: Subject, now: Instant
) -> None:
    """Fill an empty schema as the backup says, and bring it up to date."""
    try:
        await migrate_as(connection, subject.packages, source.manifest.migrations, now)
    except MigrationError as error:
        raise DataError(f"The backup does not fit this program: {error}") from None
    await source.read_tables(connection)
    await backup_store.set_counters(connection, source.manifest.counters)
    await migrate(connection, subject.packages, now)
    await backup_store.analyze(connection)


async def _audit(
    connection: Connection, subject: Subject, clock: Clock, progress: Progress
) -> AuditAnswer:
    known = await subject.read(connection)
    return await audit_on(connection, known.make_plan, clock, progress.show)


async def _prove(
    database: Database,
    settings: Settings,
    subject: Subject,
    path: Path,
    passphrase: str,
    progress: Progress,
) -> Made:
    """Restore a backup into a schema that is undone, and audit it there."""
    clock = Clock(settings.test.clock_offset_ms)
    async with (
        _open(path, passphrase, subject, progress) as source,
        database.bulk() as connection,
    ):
        trial = connection.transaction()
        await trial.start()
        try:
            await backup_store.enter_scratch(connection)
            await _fill(connection, source, subject, clock.now())
            answer = await _audit(connection, subject, clock, progress)
        finally:
            await trial.rollback()
    return Made(manifest=source.manifest, rows=source.rows, audit=answer)


async def prove(
    settings: Settings, subject: Subject, path: Path, passphrase: str
) -> Made:
    """Prove a backup that was made before; nothing here is changed.

    Raises:
        NotAllowedError: the database's role may not.
        DataError: the file is not what was written, or fits no such server.
    """
    database = await Database.open(settings.database)
    progress = Progress(sys.stderr)
    try:
        return await _prove(database, settings, subject, path, passphrase, progress)
    finally:
        progress.close()
        await database.close()


async def restore(
    settings: Settings,
    subject: Subject,
    path: Path,
    passphrase: str,
    *,
    has_moved: bool,
) -> Made:
    """Restore a backup into an empty database, or change nothing at all.

    Args:
        settings: of the server to be.
        subject: what its house lets back up.
        path: of the backup.
        passphrase: it was written under.
        has_moved: the server has another public address than when it was backed up.

    Raises:
        NotEmptyError: there is something already.
        NotSoundError: the audit found what cannot be.
        DataError: the file is not what was written, or another server's.
        OutageError: a server runs on this database.
    """
    database = await Database.open(settings.database)
    progress = Progress(sys.stderr)
    try:
        async with (
            _open(path, passphrase, subject, progress) as source,
            database.bulk() as connection,
        ):
            _check_place(path, source, settings, has_moved=has_moved)
            _check_keys(subject.keys, source)
            return await _restore(connection, source, settings, subject, progress)
    finally:
        progress.close()
        await database.close()


def _check_place(
    path: Path, source: Source, settings: Settings, *, has_moved: bool
) -> None:
    """Refuse another server's backup, as far as the settings tell."""
    told, here = source.manifest.public_url, settings.server.public_url
    if told != here and not has_moved:
        raise DataError(
            f"{path}: is a backup of {source.manifest.name} at {told}, and"
            f" server.public_url is {here}; if this is that server and it has moved,"
            " add --moved"
        )


def _check_keys(folder: Path, source: Source) -> None:
    """Refuse a folder with other keys: they may be the only ones of another server."""
    for name, text in source.keys.items():
        found = read_files(folder, re.compile(re.escape(name)))
        if found and found[name] != text:
            raise NotEmptyError(
                f"{folder / name}: another key than the backup's is there already;"
                " expected none, or the same; nothing was changed"
            )


async def _restore(
    connection: Connection,
    source: Source,
    settings: Settings,
    subject: Subject,
    progress: Progress,
) -> Made:
    clock = Clock(settings.test.clock_offset_ms)
    kill_switch = KillSwitch(settings.test.kill_at)
    if not await take_lock(connection):
        raise OutageError("a server runs on this database; stop it first")
    async with connection.transaction():
        if not await backup_store.is_empty(connection):
            raise NotEmptyError(
                "the database is not empty; expected a new one, so that nothing is"
                " mixed or lost; nothing was changed"
            )
        await _fill(connection, source, subject, clock.now())
        await _mark(connection, source.manifest, clock.now())
        answer = await _audit(connection, subject, clock, progress)
        if not answer.is_sound:
            raise NotSoundError(answer)
        # Before the commit: cut off here, the same command can be given again.
        write_files(subject.keys, source.keys)
        kill_switch.reach(Step.RESTORE, "before")
    kill_switch.reach(Step.RESTORE, "after")
    return Made(manifest=source.manifest, rows=source.rows, audit=answer)


async def _mark(connection: Connection, manifest: Manifest, now: Instant) -> None:
    """Let the server wait until it has compared, and tell its people."""
    # A one-time code that was spent, or a token that was ended, since the backup
    # would let somebody in again.
    await backup_store.end_access(connection)
    restored = Restored(at=now, backup_at=read_instant(manifest.at))
    await backup_store.mark_restored(connection, restored)
    told = (
        f"this server was restored from the backup of {manifest.at}; it changes nothing"
        " until it has compared; everybody signs in anew"
    )
    await directory_store.write_alarms(connection, [CallPeople("restored", told)], now)


def told(made: Made) -> Mapping[str, object]:
    """Word what was written or restored, for a command."""
    manifest = made.manifest
    words: dict[str, object] = {
        "server": manifest.name,
        "federation": manifest.federation,
        "at": manifest.at,
        "tables": len(manifest.tables),
        "rows": made.rows,
    }
    if made.audit is not None:
        of = len(made.audit.checks)
        held = sum(check.findings == 0 for check in made.audit.checks)
        words["proved"] = f"restored and audited, {held} of {of} checks hold"
    elif made.not_proved:
        words["proved"] = f"no: {made.not_proved}"
    return words
