"""All that a group may take away as CSV, row by row, in whatever number.

Each query gives its columns by the names that stand in the first line of the file,
and its values as text, whole numbers and yes or no.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, get_args

from protocol.peer.csv_text import Cell
from protocol.peer.database import Connection, queries

_SQL = queries(__file__)
#: Rows that are in memory at once.
ROWS_MAX = 1000

ExportName = Literal["members", "entries", "transfers", "limits", "acts"]
EXPORTS: tuple[ExportName, ...] = get_args(ExportName)

_QUERIES: dict[ExportName, str] = {
    "members": _SQL["export_members"],
    "entries": _SQL["export_entries"],
    "transfers": _SQL["export_transfers"],
    "limits": _SQL["export_limits"],
    "acts": _SQL["export_acts"],
}


class Export:
    """One export that is read in one snapshot.

    Args:
        connection: inside a database transaction, as long as rows are read.
        name: which one.
    """

    def __init__(self, connection: Connection, name: ExportName) -> None:
        self._connection = connection
        self._query = _QUERIES[name]

    async def columns(self) -> list[str]:
        """Name the columns, in order."""
        statement = await self._connection.prepare(self._query)
        return [attribute.name for attribute in statement.get_attributes()]

    async def rows(self) -> AsyncIterator[Sequence[Sequence[Cell]]]:
        """Give all rows, some at a time."""
        cursor = await self._connection.cursor(self._query)
        while found := await cursor.fetch(ROWS_MAX):
            yield [tuple(row.values()) for row in found]
