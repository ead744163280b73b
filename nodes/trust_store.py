"""What this node believes of the hub's log; the only writer of its tables."""

from collections.abc import Sequence
from typing import NamedTuple

from nodes.rules import KeepBelief, KeepDistrust
from protocol.effects import Effect
from protocol.instant import Instant, from_datetime, to_datetime
from protocol.messages import Checkpoint
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


class TakenItem(NamedTuple):
    """An item of the hub's, and when it was taken."""

    number: int
    line: bytes
    at: Instant


async def read_belief(connection: AnyConnection) -> tuple[Checkpoint | None, int]:
    """Give the newest checkpoint that is believed, and the last item checked."""
    row = await connection.fetchrow(_SQL["read_belief"])
    if row is None:
        return None, 0
    return Checkpoint(row["log"], row["size"], row["root"]), row["checked"]


async def read_note(
    connection: AnyConnection, log: str
) -> tuple[Checkpoint, str] | None:
    """Give the newest checkpoint of a log that was believed, and its note."""
    row = await connection.fetchrow(_SQL["read_note"], log)
    if row is None:
        return None
    return Checkpoint(log, row["size"], row["root"]), row["note"]


async def is_doubted(connection: AnyConnection) -> bool:
    """Say whether two histories were found that contradict each other."""
    found: bool = await connection.fetchval(_SQL["read_doubt"])
    return found


async def read_items(
    connection: AnyConnection, after: int, most: int
) -> list[TakenItem]:
    """Give the hub's items after a number, oldest first."""
    rows = await connection.fetch(_SQL["read_items"], after, most)
    return [
        TakenItem(row["number"], row["line"], from_datetime(row["at"])) for row in rows
    ]


async def write(
    connection: AnyConnection, effects: Sequence[Effect], now: Instant
) -> None:
    """Write a batch's beliefs and doubts."""
    for effect in effects:
        if isinstance(effect, KeepBelief):
            await connection.execute(
                _SQL["write_belief"],
                effect.checkpoint.log,
                effect.checkpoint.size,
                effect.checkpoint.root,
                effect.note,
                effect.checked,
                to_datetime(now),
            )
        elif isinstance(effect, KeepDistrust):
            await connection.execute(
                _SQL["insert_doubt"],
                to_datetime(now),
                effect.told,
                effect.ours,
                effect.theirs,
            )
