"""All that a group may take away as CSV, row by row, in whatever number.

Each query gives its columns by the names that stand in the first line of the file,
and its values as text, whole numbers and yes or no.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, get_args

import msgspec

from protocol.peer.csv_text import Cell
from protocol.peer.database import AnyConnection, Connection, queries
from protocol.unit import Rate, Unit

_SQL = queries(__file__)
#: Rows that are in memory at once.
ROWS_MAX = 1000

ExportName = Literal["members", "entries", "transfers", "limits", "acts", "units"]
EXPORTS: tuple[ExportName, ...] = get_args(ExportName)

_QUERIES: dict[ExportName, str] = {
    "members": _SQL["export_members"],
    "entries": _SQL["export_entries"],
    "transfers": _SQL["export_transfers"],
    "limits": _SQL["export_limits"],
    "acts": _SQL["export_acts"],
    "units": _SQL["export_units"],
}


class PastUnit(msgspec.Struct, frozen=True, kw_only=True):
    """What a group counted in, and what that was worth, from a moment on.

    Attributes:
        version: of the group's entry that said so.
        since: when the hub decided it, as it wrote it.
        name: the group's, for people.
        unit: its unit.
        rate: what a minor unit is worth.
    """

    version: int
    since: str
    name: str
    unit: Unit
    rate: Rate


async def read_units(connection: AnyConnection) -> list[PastUnit]:
    """Give every unit and rate that the group has had, oldest first."""
    return [
        PastUnit(
            version=row["version"],
            since=row["since"],
            name=row["name"],
            unit=Unit(row["unit"], row["plural"], row["symbol"], row["decimals"]),
            rate=Rate(row["rate_version"], row["milliseconds"]),
        )
        for row in await connection.fetch(_SQL["export_units"])
    ]


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
