"""Of which limit of the group's the treasurer was called; only writer of ``warned``."""

from collections.abc import Sequence

from nodes.rules import KeepWarned
from protocol.effects import Effect
from protocol.instant import to_datetime
from protocol.limit_warning import Limit
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_warned(connection: AnyConnection) -> Limit | None:
    """Say of which limit the treasurer was called, where that still stands."""
    found: Limit | None = await connection.fetchval(_SQL["read_warned"])
    return found


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write of which limit a batch calls the treasurer."""
    for effect in effects:
        if isinstance(effect, KeepWarned):
            await connection.execute(
                _SQL["write_warned"], effect.limit, to_datetime(effect.at)
            )
