"""Stored links: numbers and heads, envelopes, items and their boxes.

The only writer of its tables. Envelopes and items are kept for ever: they are
the evidence. An envelope is stored as its line 1 and its items, and is put
together again byte for byte when it is sent anew.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from protocol.envelope import Verified, write_sealed_line
from protocol.instant import Instant, from_datetime, from_nullable, to_datetime
from protocol.link import Link, Sealed, Trouble
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


class OutgoingItem(msgspec.Struct, frozen=True):
    """An item for a peer, numbered, with the box that travels behind it."""

    peer: str
    number: int
    line: bytes
    box: str | None


class SealedEnvelope(msgspec.Struct, frozen=True):
    """An envelope of ours: its numbers, and the exact bytes to send.

    Attributes:
        peer: whom it is for.
        first: number of its first item.
        count: how many items.
        line_1: the signed line.
        payload_hash: its identity.
        life: ours when we sealed it.
        at: when.
        wire: all its lines, each with its newline.
    """

    peer: str
    first: int
    count: int
    line_1: str
    payload_hash: str
    life: str
    at: Instant
    wire: bytes


def wire_of(line_1: bytes, items: Iterable[OutgoingItem]) -> bytes:
    """Put an envelope's lines together as they are sent."""
    items = list(items)
    boxes = [
        write_sealed_line(item.number, item.box)
        for item in items
        if item.box is not None
    ]
    return b"\n".join([line_1, *(item.line for item in items), *boxes, b""])


async def read_links(
    connection: AnyConnection, life: str
) -> tuple[dict[str, Link], dict[str, int]]:
    """Read all links as they stand at the start of ``life``.

    Returns:
        Links by peer, and by peer the highest number an item for it has.
    """
    links, numbered = {}, {}
    for row in await connection.fetch(_SQL["read_links"]):
        fields = dict(row)
        numbered[row["peer"]] = fields.pop("numbered")
        fields["lives"] = tuple(fields["lives"])
        if fields["trouble"] is not None:
            fields["trouble"] = Trouble(fields["trouble"])
        links[row["peer"]] = Link(life=life, **fields)
    return links, numbered


async def write_links(connection: AnyConnection, links: Iterable[Link]) -> None:
    """Keep links as they are after a batch."""
    rows = [
        (
            link.peer,
            link.sent,
            link.sent_head,
            link.acknowledged,
            link.acknowledged_head,
            link.taken,
            link.taken_head,
            list(link.lives),
            link.trouble.value if link.trouble else None,
        )
        for link in links
    ]
    for row in rows:
        await connection.execute(_SQL["write_links"], *row)


def is_changed(before: Link | None, after: Link) -> bool:
    """Say whether a link differs in what is stored of it."""
    if before is after:
        return False
    return before is None or (
        before.sent != after.sent
        or before.acknowledged != after.acknowledged
        or before.taken != after.taken
        or before.lives != after.lives
        or before.trouble is not after.trouble
    )


async def write_outgoing(
    connection: AnyConnection, items: Sequence[OutgoingItem]
) -> None:
    """Put numbered items into the outbox."""
    if items:
        await _insert_items(
            connection,
            "out",
            [(item.peer, item.number, item.line, item.box) for item in items],
        )


async def write_taken(
    connection: AnyConnection, taken: Sequence[tuple[str, Verified]], now: Instant
) -> None:
    """Keep the envelopes that a batch took, with their items and boxes."""
    if not taken:
        return
    await connection.execute(
        _SQL["insert_envelopes"],
        [peer for peer, _ in taken],
        ["in"] * len(taken),
        [envelope.payload.first for _, envelope in taken],
        [envelope.payload.count for _, envelope in taken],
        [envelope.line_1.decode("ascii") for _, envelope in taken],
        [envelope.payload_hash for _, envelope in taken],
        [envelope.payload.life for _, envelope in taken],
        [to_datetime(now)] * len(taken),
    )
    rows = [
        (peer, number, line, envelope.boxes.get(number))
        for peer, envelope in taken
        for number, line in enumerate(envelope.lines, envelope.payload.first)
    ]
    await _insert_items(connection, "in", rows)


async def _insert_items(
    connection: AnyConnection,
    direction: str,
    rows: Sequence[tuple[str, int, bytes, str | None]],
) -> None:
    await connection.execute(
        _SQL["insert_items"],
        [row[0] for row in rows],
        [direction] * len(rows),
        [row[1] for row in rows],
        [row[2] for row in rows],
    )
    boxed = [row for row in rows if row[3] is not None]
    if boxed:
        await connection.execute(
            _SQL["insert_sealed_lines"],
            [row[0] for row in boxed],
            [direction] * len(boxed),
            [row[1] for row in boxed],
            [row[3] for row in boxed],
        )


async def write_sealed(
    connection: AnyConnection, envelopes: Sequence[SealedEnvelope]
) -> None:
    """Keep the envelopes that a batch sealed; their items are there already."""
    if envelopes:
        await connection.execute(
            _SQL["insert_envelopes"],
            [envelope.peer for envelope in envelopes],
            ["out"] * len(envelopes),
            [envelope.first for envelope in envelopes],
            [envelope.count for envelope in envelopes],
            [envelope.line_1 for envelope in envelopes],
            [envelope.payload_hash for envelope in envelopes],
            [envelope.life for envelope in envelopes],
            [to_datetime(envelope.at) for envelope in envelopes],
        )


async def read_waiting(
    connection: AnyConnection, peer: str, after: int, most: int
) -> list[OutgoingItem]:
    """Give the items for a peer that are not sealed yet, oldest first."""
    rows = await connection.fetch(_SQL["read_waiting"], peer, after, most)
    return [OutgoingItem(peer, row["number"], row["line"], row["box"]) for row in rows]


async def read_unacknowledged(
    connection: AnyConnection, link: Link
) -> list[SealedEnvelope]:
    """Give the envelopes that the peer has not acknowledged, oldest first."""
    rows = await connection.fetch(
        _SQL["read_envelopes"], link.peer, "out", link.acknowledged + 1, 1000
    )
    envelopes = []
    for row in rows:
        first, last = row["first"], row["first"] + row["count"] - 1
        lines = await connection.fetch(
            _SQL["read_lines"], link.peer, "out", first, last
        )
        items = [
            OutgoingItem(link.peer, line["number"], line["line"], line["box"])
            for line in lines
        ]
        envelopes.append(
            SealedEnvelope(
                peer=link.peer,
                first=first,
                count=row["count"],
                line_1=row["line_1"],
                payload_hash=row["payload_hash"],
                life=row["life"],
                at=Instant(0),
                wire=wire_of(row["line_1"].encode("ascii"), items),
            )
        )
    return envelopes


async def read_known(
    connection: AnyConnection, peer: str, numbers: Sequence[int]
) -> Mapping[int, Sealed]:
    """Give, by first number, the envelopes that carried these items of a peer."""
    rows = await connection.fetch(_SQL["read_known"], peer, list(numbers))
    return {row["first"]: Sealed(row["life"], row["payload_hash"]) for row in rows}


async def read_sealed_at(
    connection: AnyConnection, peer: str, number: int
) -> Instant | None:
    """Say when the envelope was sealed that carries an item of ours, once it is."""
    found = await connection.fetchval(_SQL["read_sealed_at"], peer, number)
    return from_nullable(found)


async def read_cover_limit(connection: AnyConnection) -> Instant:
    """Say until when covers of former lives may be dated."""
    found = await connection.fetchval(_SQL["read_cover_limit"])
    return Instant(0) if found is None else from_datetime(found)


async def write_cover_limit(connection: AnyConnection, limit: Instant) -> None:
    """Allow covers up to ``limit``."""
    await connection.execute(_SQL["write_cover_limit"], to_datetime(limit))


async def read_sent_line(
    connection: AnyConnection, peer: str, number: int
) -> bytes | None:
    """Give an item that we sent."""
    rows = await connection.fetch(_SQL["read_lines"], peer, "out", number, number)
    return rows[0]["line"] if rows else None


async def read_taken_line(
    connection: AnyConnection, peer: str, number: int
) -> bytes | None:
    """Give an item that we took."""
    rows = await connection.fetch(_SQL["read_lines"], peer, "in", number, number)
    return rows[0]["line"] if rows else None
