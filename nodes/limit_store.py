"""When the treasurer is warned of the group's limits, and of which she was called.

Only writer of ``warned`` and ``warn_percent``.
"""

from collections.abc import Sequence

from nodes.rules import KeepWarned, KeepWarnPercent
from protocol.effects import Effect
from protocol.instant import to_datetime
from protocol.limit_warning import WARN_PERCENT, Limit
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_warned(connection: AnyConnection) -> Limit | None:
    """Say of which limit the treasurer was called, where that still stands."""
    found: Limit | None = await connection.fetchval(_SQL["read_warned"])
    return found


async def read_percent(connection: AnyConnection) -> int:
    """Say from which share of a limit on the treasurer is warned, percent."""
    found: int | None = await connection.fetchval(_SQL["read_percent"])
    return WARN_PERCENT if found is None else found


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write of which limit a batch calls the treasurer, and from when on."""
    for effect in effects:
        if isinstance(effect, KeepWarned):
            await connection.execute(
                _SQL["write_warned"], effect.limit, to_datetime(effect.at)
            )
        elif isinstance(effect, KeepWarnPercent):
            await connection.execute(
                _SQL["write_percent"], effect.percent, to_datetime(effect.at)
            )
