"""Exports: everything of the group as CSV, however much, with little in memory.

Each is read in one snapshot on a connection of its own, so the sums in one file are
right together, and nobody waits for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nodes.export_store import EXPORTS, Export, ExportName
from protocol.errors import InterletsError, MalformedMessageError
from protocol.peer.csv_text import write_header, write_rows
from protocol.peer.database import Database

#: As many as a small machine reads beside its members.
_AT_ONCE = 2
#: A reader that is slower than this keeps old rows from being swept too long.
_WITHIN_S = 900


class ExportsRunError(InterletsError):
    """As many exports as may run at once run already."""


def read_name(text: str) -> ExportName:
    """Read which export is meant; raises ``MalformedMessageError``."""
    for name in EXPORTS:
        if text == name:
            return name
    raise MalformedMessageError("export", text, f"one of {', '.join(EXPORTS)}")


class Exports:
    """A node's exports.

    Args:
        database: gives each a connection.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running = 0

    @asynccontextmanager
    async def open(self, name: ExportName) -> AsyncIterator[AsyncIterator[bytes]]:
        """Begin an export; gives its bytes, piece by piece, from the first line on.

        Raises:
            ExportsRunError: too many run already.
            OutageError: the database is not there, or goes away meanwhile.
        """
        if self._running >= _AT_ONCE:
            raise ExportsRunError("as many exports as may run at once run already")
        self._running += 1
        try:
            async with (
                asyncio.timeout(_WITHIN_S),
                self._database.snapshot() as connection,
            ):
                export = Export(connection, name)
                yield _pieces(export, await export.columns())
        finally:
            self._running -= 1


async def _pieces(export: Export, columns: list[str]) -> AsyncIterator[bytes]:
    yield write_header(columns)
    async for rows in export.rows():
        yield write_rows(rows)
