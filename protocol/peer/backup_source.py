"""What the frames of a backup's file hold, and in which order they are read.

====  =====================================================================
M     who this is, its migrations, tables and sequences
K     a key file, one frame each
T     a table begins; then
D     pieces of its rows, as PostgreSQL's ``COPY ... (FORMAT binary)`` gives
E     it ends: how many rows it had
F     the end: how many tables and rows
====  =====================================================================

Whatever is missing, too much or out of order is refused: a file that decrypts is
still no reason to believe that the right program has written it.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from protocol.peer import backup_store
from protocol.peer.backup_file import BackupReader, Frame
from protocol.peer.backup_store import Counter, Table
from protocol.peer.command_line import DataError, Progress
from protocol.peer.database import Connection
from protocol.peer.migration_store import PastMigration

#: What a private key's file may be called; it becomes a path.
KEY_NAME: Final = re.compile(r"[a-z][a-z0-9.-]{0,60}\.key")

_Read = TypeVar("_Read")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first frame: what this is a backup of."""

    v: Literal[1] = 1
    house: str
    name: str
    federation: str
    public_url: str
    at: str
    migrations: list[PastMigration]
    tables: list[Table]
    counters: list[Counter]


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A private key, as its file holds it."""

    name: str
    text: str


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows a table had, or all tables together."""

    rows: int
    tables: int = 1


class Source:
    """A backup's frames, in the order in which they must come.

    Args:
        path: of the file.
        passphrase: it was written under.
        progress: where to show how far it is.

    Raises:
        DataError: it cannot be read, or is not what was written.
    """

    def __init__(self, path: Path, passphrase: str, progress: Progress) -> None:
        try:
            self._file = path.open("rb")
            self._size = max(path.stat().st_size, 1)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        self._path = path
        self._progress = progress
        self.keys: dict[str, str] = {}
        self.rows = 0
        try:
            self._reader = BackupReader(self._file, str(path), passphrase)
            self.manifest = self._decode(self._expect(b"M"), Manifest)
            self._next = self._read()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> Frame:
        frame = self._reader.read()
        return frame if frame is not None else Frame(b"", b"")

    def _expect(self, kind: bytes) -> bytes:
        frame = self._read()
        if frame.kind != kind:
            raise self._wrong(f"a frame {frame.kind!r} where {kind!r} was expected")
        return frame.content

    def _wrong(self, found: str) -> DataError:
        return DataError(f"{self._path}: was written by another program: {found}")

    def _decode(self, content: bytes, kind: type[_Read]) -> _Read:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._wrong(str(error)) from None

    def read_keys(self) -> None:
        """Read the key files, up to the first table."""
        while self._next.kind == b"K":
            key = self._decode(self._next.content, KeyFile)
            if not KEY_NAME.fullmatch(key.name):
                raise self._wrong(f"a key file named {key.name!r}")
            self.keys[key.name] = key.text
            self._next = self._read()

    async def read_tables(self, connection: Connection) -> None:
        """Fill every table, and make sure that the file ends behind the last."""
        tables = await backup_store.read_tables(connection)
        here = {table.name: table for table in tables}
        while self._next.kind == b"T":
            name = self._next.content.decode("utf-8", "replace")
            if name not in here:
                raise self._wrong(f"a table {name}, or it comes twice")
            await self._read_table(connection, here.pop(name))
            self._next = self._read()
        ending = self._decode(self._next.content, Rows)
        if self._next.kind != b"F" or here or ending.rows != self.rows:
            raise self._wrong(f"{self.rows} rows, without {', '.join(here) or 'end'}")
        self._read()

    async def _read_table(self, connection: Connection, table: Table) -> None:
        named = {one.name: one for one in self.manifest.tables}
        told = named.get(table.name, table)
        if sorted(told.columns) != sorted(table.columns):
            raise self._wrong(f"other columns of {table.name}")
        # In the order in which they were written, whatever it is here.
        rows = await backup_store.copy_in(connection, told, self._pieces(table.name))
        if self._decode(self._next.content, Rows).rows != rows:
            raise self._wrong(f"{rows} rows of {table.name}")
        self.rows += rows

    async def _pieces(self, name: str) -> AsyncIterator[bytes]:
        self._next = self._read()
        while self._next.kind == b"D":
            part = self._reader.place() / self._size
            self._progress.show(min(part, 1.0), f"restoring {name}")
            yield self._next.content
            self._next = self._read()
        if self._next.kind != b"E":
            raise self._wrong(f"{name} without its end")
