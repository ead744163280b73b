"""Stored transfers and content lines; the only writer of their tables."""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from protocol.effects import Effect, SaveContent, SaveTransfer, View
from protocol.instant import Instant, from_datetime, to_datetime
from protocol.peer.database import AnyConnection, queries
from protocol.transfer import Role, State, Transfer

_SQL = queries(__file__)
#: From so many lines on COPY is the faster way.
COPY_MIN = 10_000
_INSTANTS = ("decide_by", "taken_at", "decided_at")
#: In the order of the columns of ``write_transfers``.
COLUMNS = (
    "transfer_id",
    "role",
    "state",
    "payer_group",
    "payee_group",
    "milliseconds",
    "payer_rate",
    "payee_rate",
    "decide_by",
    "prepare",
    "content",
    "taken_at",
    "item_number",
    "account",
    "amount",
    "deliver",
    "decided_at",
    "log",
    "number",
    "code",
    "answer",
    "waiting",
    "waiting_code",
    "is_cancel_sent",
    "refund_of",
    "refunded",
    "author",
    "other",
    "answer_number",
)


class Change(msgspec.Struct, frozen=True):
    """A transfer that has reached another state.

    Attributes:
        number: above those of all changes before it.
        transfer: as it stands.
        line: its content line, while it is kept.
    """

    number: int
    transfer: Transfer
    line: bytes | None


async def read(
    connection: AnyConnection, transfer_ids: Iterable[str]
) -> dict[str, Transfer]:
    """Read transfers by id; unknown ids are left out."""
    rows = await connection.fetch(_SQL["read_transfers"], list(transfer_ids))
    found = {}
    for row in rows:
        fields = dict(row)
        fields["transfer_id"] = str(fields["transfer_id"])
        if fields["refund_of"] is not None:
            fields["refund_of"] = str(fields["refund_of"])
        fields["role"] = Role(fields["role"])
        fields["state"] = State(fields["state"])
        for name in _INSTANTS:
            if fields[name] is not None:
                fields[name] = from_datetime(fields[name])
        found[fields["transfer_id"]] = Transfer(**fields)
    return found


async def read_due(
    connection: AnyConnection,
    now: Instant,
    most: int,
    without: Collection[str],
    not_offered: Collection[str] = (),
) -> list[str]:
    """Give ids of transfers that the hub may now have to decide, oldest first.

    Args:
        connection: any.
        now: the hub's time.
        most: how many at once.
        without: groups whose transfers cannot be decided now.
        not_offered: groups of which only what was never offered can be.
    """
    rows = await connection.fetch(
        _SQL["read_due"], to_datetime(now), most, list(without), list(not_offered)
    )
    return [str(row["transfer_id"]) for row in rows]


async def read_late(
    connection: AnyConnection, now: Instant, acknowledged: int, most: int
) -> list[str]:
    """Give ids of payments *now* that did not reach the hub in time, oldest first.

    Args:
        connection: any.
        now: the hub's time.
        acknowledged: highest of our items that the hub has taken.
        most: how many at once.
    """
    rows = await connection.fetch(
        _SQL["read_late"], to_datetime(now), acknowledged, most
    )
    return [str(row["transfer_id"]) for row in rows]


async def read_changes(
    connection: AnyConnection, account_id: str, after: int, most: int
) -> list[Change]:
    """Give an account's transfers that have changed since, oldest change first.

    Read in one snapshot, or a state may be newer than its number.

    Args:
        connection: any, inside a database transaction.
        account_id: payer or payee.
        after: number of the newest change that is known already.
        most: how many at once.
    """
    rows = await connection.fetch(_SQL["read_changes"], account_id, after, most)
    found = await read(connection, [row["transfer_id"] for row in rows])
    return [
        Change(row["changed"], found[str(row["transfer_id"])], row["line"])
        for row in rows
    ]


async def read_newest_change(connection: AnyConnection, account_id: str) -> int:
    """Give the number of the newest change of an account's transfers, or 0."""
    found: int = await connection.fetchval(_SQL["read_newest_change"], account_id)
    return found


async def count_undecided(connection: AnyConnection) -> int:
    """Say how many transfers are not yet decided here."""
    found: int = await connection.fetchval(_SQL["read_undecided"])
    return found


class Undecided(msgspec.Struct, frozen=True):
    """A transfer that is not yet decided here, and its content line."""

    transfer: Transfer
    line: bytes | None


async def read_undecided(
    connection: AnyConnection, after: tuple[Instant, str], size: int
) -> list[Undecided]:
    """Give a page of what is not yet decided here, the first deadline first.

    Args:
        connection: any.
        after: deadline and id of the last one that is known already.
        size: most to give.
    """
    rows = await connection.fetch(
        _SQL["read_undecided_page"], to_datetime(after[0]), after[1], size
    )
    found = await read(connection, [row["transfer_id"] for row in rows])
    return [Undecided(found[str(row["transfer_id"])], row["line"]) for row in rows]


class Moved(msgspec.Struct, frozen=True):
    """What transfers with other groups moved, or may yet move, milliseconds.

    Attributes:
        decided: in less out, of all that the hub decided cleared.
        out: may yet go out.
        in_: may yet come in.
    """

    decided: int
    out: int
    in_: int


async def read_moved(connection: AnyConnection) -> Moved:
    """Give what the hub's decisions come to; it looks at every transfer."""
    row = await connection.fetchrow(_SQL["read_moved"])
    assert row is not None, "a sum has one row"
    return Moved(row["decided"], row["going_out"], row["coming_in"])


async def read_content(connection: AnyConnection, content_id: str) -> bytes | None:
    """Give a content line, while it is kept."""
    found: bytes | None = await connection.fetchval(_SQL["read_content"], content_id)
    return found


async def write(
    connection: AnyConnection, view: View, effects: Sequence[Effect]
) -> None:
    """Write the transfers and contents of a batch, as ``view`` last has them."""
    saved = {
        effect.transfer.transfer_id: None
        for effect in effects
        if isinstance(effect, SaveTransfer)
    }
    if saved:
        transfers = [view.transfers[transfer_id] for transfer_id in saved]
        await connection.execute(
            _SQL["write_transfers"],
            *([_column(transfer, name) for transfer in transfers] for name in COLUMNS),
        )
    contents = [effect for effect in effects if isinstance(effect, SaveContent)]
    if len(contents) >= COPY_MIN:
        # Only a group that moves in brings so many, and none of them is there yet.
        await connection.copy_records_to_table(
            "content",
            records=((content.content_id, content.line) for content in contents),
            columns=("content_id", "line"),
        )
    elif contents:
        await connection.execute(
            _SQL["write_contents"],
            [content.content_id for content in contents],
            [content.line for content in contents],
        )


def _column(transfer: Transfer, name: str) -> object:
    value: object = getattr(transfer, name)
    if isinstance(value, int) and name in _INSTANTS:
        return to_datetime(Instant(value))
    return value
