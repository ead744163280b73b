"""Changes of limits and caps; only writer of ``limit_change`` and ``warned``.

A change is kept as the JWS that the hub has signed; what the columns beside it say is
there to find it by.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from clearing.rules import (
    CHANGE_TYP,
    Cap,
    KeepLimitChange,
    KeepWarned,
    LimitBook,
    LimitChange,
    Pair,
    cap_of,
)
from protocol import jws, strict_json
from protocol.effects import Effect
from protocol.errors import LedgerBrokenError, PeerError
from protocol.instant import Instant, read_instant, to_datetime, write_instant
from protocol.keyring import SigningKey
from protocol.limit_warning import WARN_PERCENT
from protocol.messages import NOTHING_HASH, line_hash, write_line
from protocol.peer import past_store
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
_decoder = msgspec.json.Decoder(LimitChange)
#: Behind every change that is there.
NEWEST = 2**63 - 1


class GroupPosition(NamedTuple):
    """A group's position between its limits, milliseconds."""

    group: str
    position: int
    floor: int | None
    ceiling: int | None


def read_change(signed: str) -> LimitChange:
    """Read a change of our own making, without asking who signed it.

    Raises:
        LedgerBrokenError: what was kept once can no longer be read.
    """
    try:
        payload = jws.split(signed, CHANGE_TYP).payload
        return strict_json.read(payload, _decoder, "change")
    except PeerError as error:
        raise LedgerBrokenError(f"limit_change: {error}") from None


async def write(
    connection: AnyConnection, effects: Sequence[Effect], key: SigningKey
) -> None:
    """Write a batch's changes, signed, and of whose limit people were called."""
    changes = [one.change for one in effects if isinstance(one, KeepLimitChange)]
    if changes:
        await connection.execute(
            _SQL["insert_changes"],
            [one.number for one in changes],
            [to_datetime(read_instant(one.at)) for one in changes],
            [one.about for one in changes],
            [one.group for one in changes],
            [one.payee for one in changes],
            [jws.sign(write_line(one), key, CHANGE_TYP) for one in changes],
        )
    warned = {one.group: one for one in effects if isinstance(one, KeepWarned)}
    if warned:
        await connection.execute(
            _SQL["write_warned"],
            list(warned),
            [one.limit for one in warned.values()],
            [to_datetime(one.at) for one in warned.values()],
        )


async def read_book(connection: AnyConnection) -> LimitBook:
    """Give what counts now, with what of each cap is used."""
    newest = 0, NOTHING_HASH
    signed = await connection.fetchval(_SQL["read_newest_change"])
    if signed is not None:
        change = read_change(signed)
        newest = change.number, line_hash(write_line(change))
    caps: dict[Pair, Cap] = {}
    for row in await connection.fetch(_SQL["read_caps"]):
        cap = cap_of(read_change(row["signed"]))
        if cap is not None:
            caps[cap.payer, cap.payee] = cap
    warned = await connection.fetch(_SQL["read_warned"])
    return LimitBook(
        caps=caps,
        used=await read_use(connection, caps),
        percent=await read_percent(connection),
        newest=newest,
        warned={row["group_name"]: row["limit_name"] for row in warned},
    )


async def read_percent(connection: AnyConnection) -> int:
    """Give the threshold that counts."""
    signed = await connection.fetchval(_SQL["read_threshold"])
    percent = None if signed is None else read_change(signed).percent
    return WARN_PERCENT if percent is None else percent


async def read_use(
    connection: AnyConnection, pairs: Iterable[Pair]
) -> dict[tuple[Pair, str], int]:
    """Give what pairs have cleared or hold, by month.

    Of cleared ones those count that were taken in the month of the newest entry, or
    in the one before it: a clock that is set back further finds nothing used.
    """
    named = sorted(pairs)
    if not named:
        return {}
    newest = await past_store.read_newest_at(connection)
    # Where nothing was ever cleared something may be held all the same.
    since = Instant(0) if newest is None else _month_before(newest)
    place = await past_store.read_place(connection, since)
    rows = await connection.fetch(
        _SQL["read_use"],
        [payer for payer, _ in named],
        [payee for _, payee in named],
        place,
    )
    return {
        ((row["payer_group"], row["payee_group"]), row["month"]): int(row["used"])
        for row in rows
    }


def _month_before(at: Instant) -> Instant:
    """Give the beginning of the month before an instant's, in UTC."""
    text = write_instant(at)
    year, month = int(text[:4]), int(text[5:7])
    before = (year - 1, 12) if month == 1 else (year, month - 1)
    if before[0] < 1970:
        return Instant(0)
    return read_instant(f"{before[0]:04}-{before[1]:02}-01T00:00:00.000Z")


async def read_history(
    connection: AnyConnection, group: str, before: int, most: int
) -> list[tuple[LimitChange, str]]:
    """Give what has changed about a group's limits and caps, signed, newest first."""
    rows = await connection.fetch(_SQL["read_history"], group, before, most)
    return [(read_change(row["signed"]), row["signed"]) for row in rows]


async def read_chain(
    connection: AnyConnection, before: int, most: int
) -> list[tuple[LimitChange, str]]:
    """Give all that has changed, as signed, newest first."""
    rows = await connection.fetch(_SQL["read_chain"], before, most)
    return [(read_change(row["signed"]), row["signed"]) for row in rows]


async def read_thresholds(
    connection: AnyConnection, most: int
) -> list[tuple[LimitChange, str]]:
    """Give who has set the threshold, as signed, newest first."""
    rows = await connection.fetch(_SQL["read_thresholds"], most)
    return [(read_change(row["signed"]), row["signed"]) for row in rows]


async def read_positions(connection: AnyConnection) -> list[GroupPosition]:
    """Give every group's position between its limits."""
    rows = await connection.fetch(_SQL["read_positions"])
    return [GroupPosition(*row) for row in rows]
