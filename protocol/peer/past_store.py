"""What balances were some time ago, as postings have them; nothing is written.

The only writer of postings is ``ledger_store``.
"""

from collections.abc import Sequence

from protocol.instant import Instant, from_nullable, to_datetime
from protocol.limit_warning import WEEK_MS, WEEKS
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
#: Past balances are read anew after so long, since weeks move slowly.
_STALE_MS = 3_600_000


def is_stale(read_at: Instant | None, now: Instant) -> bool:
    """Say whether past balances that were read at some time are to be read anew."""
    return read_at is None or not 0 <= now - read_at < _STALE_MS


async def read_past(
    connection: AnyConnection, accounts: Sequence[str], now: Instant
) -> dict[str, list[int]]:
    """Give balances one, two, ... weeks ago, by account.

    Accounts that nothing had moved by the last of these are left out: too young.

    Args:
        connection: any.
        accounts: which.
        now: from when to look back.
    """
    marks = [Instant(max(now - week * WEEK_MS, 0)) for week in range(1, WEEKS + 1)]
    rows = await connection.fetch(
        _SQL["read_balances"], [to_datetime(at) for at in marks], list(accounts)
    )
    found: dict[str, list[int | None]] = {}
    for row in rows:
        found.setdefault(row["account_id"], []).append(row["balance"])
    past: dict[str, list[int]] = {}
    for account, balances in found.items():
        known = [one for one in balances if one is not None]
        if len(known) == WEEKS:
            past[account] = known
    return past


async def read_newest_at(connection: AnyConnection) -> Instant | None:
    """Say when the newest entry was booked; ``None``: none was."""
    return from_nullable(await connection.fetchval(_SQL["read_newest_at"]))


async def read_place(connection: AnyConnection, before: Instant) -> int:
    """Give the number of the newest entry that was booked before a time."""
    found: int | None = await connection.fetchval(
        _SQL["read_place"], to_datetime(before)
    )
    return 0 if found is None else found
