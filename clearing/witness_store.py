"""Covers of groups that name a checkpoint of the log; the only writer of them.

They are kept for checkpoints that stand in receipts, and for the last ones of a log,
so that a hub that starts anew can still show who saw what (protocol, section 9).
"""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import NamedTuple

from protocol.messages import Checkpoint
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
#: Rows looked through for the best checkpoint.
_LOOKED_AT_MAX = 5000
_ROWS_AT_ONCE = 200


class StoredWitness(NamedTuple):
    """A cover that is kept, and the root that its checkpoint has here."""

    log: str
    size: int
    group: str
    cover: str
    root: str | None


async def write(
    connection: AnyConnection, named: Checkpoint, covers: Mapping[str, str]
) -> None:
    """Keep groups' covers that name a checkpoint."""
    if covers:
        await connection.execute(
            _SQL["insert_witnesses"],
            named.log,
            named.size,
            list(covers),
            list(covers.values()),
        )


async def read(connection: AnyConnection, log: str, size: int) -> dict[str, str]:
    """Give the covers that name a checkpoint, by group."""
    rows = await connection.fetch(_SQL["read_witnesses"], log, size)
    return {row["group_name"]: row["cover"] for row in rows}


async def read_best(
    connection: AnyConnection, log: str, number: int, without: Collection[str]
) -> tuple[int, set[str]] | None:
    """Give the size of a log beyond a decision that most groups named, and them.

    Args:
        connection: any.
        log: which.
        number: of the decision.
        without: groups that do not count.
    """
    row = await connection.fetchrow(
        _SQL["read_best"], log, number, list(without), _LOOKED_AT_MAX
    )
    return None if row is None else (row["size"], set(row["groups"]))


async def count_all(connection: AnyConnection) -> int:
    """Say how many covers are kept."""
    found: int = await connection.fetchval(_SQL["count_all"])
    return found


async def read_all(connection: AnyConnection) -> AsyncIterator[StoredWitness]:
    """Give all covers that are kept; inside a database transaction."""
    async for row in connection.cursor(_SQL["read_all"], prefetch=_ROWS_AT_ONCE):
        yield StoredWitness(*row)
