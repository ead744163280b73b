"""What the regional admin looks at, as the hub's tables have it; nothing is written.

Who may look is decided in ``clearing.api``. The tables' only writers are the stores of
``protocol.peer`` and ``clearing.log_store``.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from protocol.instant import (
    Instant,
    from_datetime,
    from_nullable,
    to_datetime,
    to_nullable,
)
from protocol.peer.database import AnyConnection, queries
from protocol.transfer import State

_SQL = queries(__file__)

Direction = Literal["in", "out"]


class Flow(msgspec.Struct, frozen=True):
    """What one group's members paid another's."""

    payer_group: str
    payee_group: str
    transfers: int
    milliseconds: int


class Undecided(msgspec.Struct, frozen=True):
    """A transfer under way."""

    transfer_id: str
    payer_group: str
    payee_group: str
    milliseconds: int
    state: State
    taken_at: Instant
    decide_by: Instant


class Age(msgspec.Struct, frozen=True):
    """Transfers under way of one age: before how many of the marks they were taken."""

    marks: int
    transfers: int
    milliseconds: int


class LinkRow(msgspec.Struct, frozen=True):
    """How far a link is.

    Attributes:
        peer: the group.
        taken: its newest item that we have.
        waiting: our items that it has not acknowledged.
        taken_at: when its newest envelope came.
        sealed_at: when the oldest envelope that it has not acknowledged was sealed.
    """

    peer: str
    taken: int
    waiting: int
    taken_at: Instant | None
    sealed_at: Instant | None


class ItemRow(msgspec.Struct, frozen=True):
    """An item of a stream."""

    number: int
    line: bytes


class EnvelopeRow(msgspec.Struct, frozen=True):
    """An envelope, and when it was taken or sealed."""

    first: int
    count: int
    line_1: str
    at: Instant


class Invited(msgspec.Struct, frozen=True):
    """A group that may join."""

    group: str
    floor: int
    ceiling: int
    until: Instant


async def read_flows(connection: AnyConnection, since: Instant) -> list[Flow]:
    """Give what groups paid each other in transfers cleared since, largest first."""
    rows = await connection.fetch(_SQL["read_flows"], to_datetime(since))
    return [
        Flow(
            payer_group=row["payer_group"],
            payee_group=row["payee_group"],
            transfers=row["transfers"],
            milliseconds=int(row["milliseconds"]),
        )
        for row in rows
    ]


async def read_undecided(connection: AnyConnection, most: int) -> list[Undecided]:
    """Give transfers under way, oldest first."""
    rows = await connection.fetch(_SQL["read_undecided"], most)
    return [
        Undecided(
            transfer_id=str(row["transfer_id"]),
            payer_group=row["payer_group"],
            payee_group=row["payee_group"],
            milliseconds=row["milliseconds"],
            state=State(row["state"]),
            taken_at=from_datetime(row["taken_at"]),
            decide_by=from_datetime(row["decide_by"]),
        )
        for row in rows
    ]


async def read_ages(connection: AnyConnection, marks: Sequence[Instant]) -> list[Age]:
    """Count transfers under way by the marks that they were taken before."""
    rows = await connection.fetch(_SQL["read_ages"], [to_datetime(at) for at in marks])
    return [Age(row["age"], row["transfers"], int(row["milliseconds"])) for row in rows]


async def read_links(connection: AnyConnection) -> list[LinkRow]:
    """Say how far each link is, by peer."""
    return [
        LinkRow(
            peer=row["peer"],
            taken=row["taken"],
            waiting=row["numbered"] - row["acknowledged"],
            taken_at=None
            if row["taken_at"] is None
            else from_datetime(row["taken_at"]),
            sealed_at=(from_nullable(row["sealed_at"])),
        )
        for row in await connection.fetch(_SQL["read_links"])
    ]


async def read_naming(
    connection: AnyConnection,
    peer: str,
    direction: Direction,
    transfer_id: str,
    span: tuple[Instant, Instant | None],
    most: int,
) -> list[ItemRow]:
    """Give items of a stream that name a transfer, oldest first.

    Args:
        connection: any.
        peer: whose stream.
        direction: ours or theirs.
        transfer_id: looked for in the lines.
        span: from which envelopes on, by their time, and up to which; an item that
            waits to be sealed has no time, so ours are looked through to the end.
        most: how many at most; the search ends there.
    """
    since, until = span
    rows = await connection.fetch(
        _SQL["read_naming"],
        peer,
        direction,
        to_datetime(since),
        to_nullable(until),
        transfer_id,
        most,
    )
    return [ItemRow(row["number"], row["line"]) for row in rows]


async def read_envelope(
    connection: AnyConnection, peer: str, direction: Direction, number: int
) -> EnvelopeRow | None:
    """Give the envelope that carries an item; ``None``: it is not sealed yet."""
    row = await connection.fetchrow(_SQL["read_envelope"], peer, direction, number)
    if row is None:
        return None
    return EnvelopeRow(
        row["first"], row["count"], row["line_1"], from_datetime(row["at"])
    )


async def read_lines(
    connection: AnyConnection, peer: str, direction: Direction, first: int, count: int
) -> list[bytes]:
    """Give the items of an envelope."""
    rows = await connection.fetch(
        _SQL["read_lines"], peer, direction, first, first + count - 1
    )
    return [row["line"] for row in rows]


async def read_invited(
    connection: AnyConnection, now: Instant, most: int
) -> list[Invited]:
    """Give invitations that still count, those that end first to begin with."""
    rows = await connection.fetch(_SQL["read_invited"], to_datetime(now), most)
    return [
        Invited(
            row["group_name"], row["floor"], row["ceiling"], from_datetime(row["until"])
        )
        for row in rows
    ]
