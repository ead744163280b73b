"""What was brought in from another program; the only writer of its table."""

from collections.abc import Sequence

import asyncpg

from nodes.rules import ImportRun, KeepImportRun
from protocol.effects import Effect
from protocol.instant import from_datetime, to_datetime
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_run(connection: AnyConnection) -> ImportRun | None:
    """Give what was brought in, if anything was."""
    try:
        row = await connection.fetchrow(_SQL["read_run"])
    except asyncpg.UndefinedTableError:
        # Asked before a server of this version has begun here.
        return None
    if row is None:
        return None
    at = from_datetime(row["at"])
    return ImportRun(row["digest"], at, row["members"], row["entries"])


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write that a batch has brought a group in."""
    for effect in effects:
        if isinstance(effect, KeepImportRun):
            run = effect.run
            await connection.execute(
                _SQL["insert_run"],
                run.digest,
                to_datetime(run.at),
                run.members,
                run.entries,
            )
