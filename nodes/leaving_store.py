"""What the group has told the hub of its wish to leave; only writer of the table."""

from collections.abc import Sequence

from nodes.rules import KeepLeavingWish, LeavingWish, WishState
from protocol.effects import Effect
from protocol.instant import from_datetime, from_nullable, to_datetime, to_nullable
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_newest(connection: AnyConnection) -> LeavingWish | None:
    """Give the newest wish, if the group ever had one."""
    row = await connection.fetchrow(_SQL["read_newest_wish"])
    if row is None:
        return None
    return LeavingWish(
        number=row["number"],
        at=from_datetime(row["at"]),
        author=row["author"],
        reason=row["reason"],
        state=WishState(row["state"]),
        answered_at=from_nullable(row["answered_at"]),
    )


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write a batch's wishes, in the order in which they were kept."""
    for effect in effects:
        if isinstance(effect, KeepLeavingWish):
            wish = effect.wish
            await connection.execute(
                _SQL["write_wish"],
                wish.number,
                to_datetime(wish.at),
                wish.author,
                wish.reason,
                wish.state.value,
                to_nullable(wish.answered_at),
            )
