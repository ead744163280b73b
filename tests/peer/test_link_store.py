"""Stored links on a real PostgreSQL: streams without gaps, kept for ever."""

from typing import Any

import asyncpg
import msgspec
import pytest

from protocol.address import HUB
from protocol.effects import CallPeople, SaveGroup
from protocol.envelope import EnvelopePayload, open_body, root_of, seal
from protocol.link import Link, Sealed, Trouble
from protocol.peer import directory_store, link_store
from protocol.peer.link_store import OutgoingItem, SealedEnvelope
from tests.peer.makers import (
    LOG,
    NOW,
    directory_of,
    entry_of,
    later,
)
from tests.peer.tables import NewDatabase, refused_by, tables
from tests.protocol.makers import (
    AT,
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    envelope_payload,
    hash_of,
    keyring,
    life_of,
    signing_key,
    three_lines,
    wire,
)

NEXT_LIFE = life_of("the next life")


def stored_link(**changes: Any) -> Link:
    fields: dict[str, Any] = {
        "peer": OOSTENDE,
        "life": LOG,
        "sent": 5,
        "sent_head": hash_of("ours at 5"),
        "acknowledged": 3,
        "acknowledged_head": hash_of("ours at 3"),
        "taken": 7,
        "taken_head": hash_of("theirs at 7"),
        "lives": (life_of("first"), life_of("second")),
    }
    return Link(**(fields | changes))


async def test_a_link_comes_back_in_a_new_life_as_it_was(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        for trouble in (None, *Trouble):
            kept = stored_link(trouble=trouble)
            before = stored_link(sent=4, taken=1)
            await link_store.write_links(connection, [before, kept])
            links, numbered = await link_store.read_links(connection, NEXT_LIFE)
            assert links == {OOSTENDE: stored_link(trouble=trouble, life=NEXT_LIFE)}
            assert numbered == {OOSTENDE: 0}


async def test_what_was_compared_is_forgotten_at_a_start(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        compared = stored_link(
            is_named=True, has_given=True, peer_life=life_of("second"), peer_at=NOW
        )
        await link_store.write_links(connection, [compared])
        links, _ = await link_store.read_links(connection, NEXT_LIFE)
        assert not links[OOSTENDE].has_compared
        assert links[OOSTENDE].peer_life is None


def items(*numbers: int, peer: str = OOSTENDE) -> list[OutgoingItem]:
    return [
        OutgoingItem(peer, number, b"item %d" % number, "box" if number % 2 else None)
        for number in numbers
    ]


async def test_waiting_items_come_back_in_order_with_their_boxes(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        await link_store.write_links(connection, [Link(peer=OOSTENDE, life=LOG)])
        await link_store.write_outgoing(connection, items(1, 2, 3))
        await link_store.write_outgoing(connection, items(4))
        waiting = await link_store.read_waiting(connection, OOSTENDE, 1, 2)
        assert waiting == items(2, 3)
        _, numbered = await link_store.read_links(connection, NEXT_LIFE)
        assert numbered == {OOSTENDE: 4}


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (4,), (5, 6)])
async def test_item_numbers_leave_no_gap(
    new_database: NewDatabase, numbers: tuple[int, ...]
) -> None:
    async with tables(new_database) as connection:
        link = Link(peer=OOSTENDE, life=LOG)
        other = Link(peer=MECHELEN, life=LOG)
        await link_store.write_links(connection, [link, other])
        if numbers[0] > 3:
            await link_store.write_outgoing(connection, items(1, 2))
        # Another peer's numbers fill no gap of this one.
        await link_store.write_outgoing(connection, items(1, 2, 3, peer=MECHELEN))
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await link_store.write_outgoing(connection, items(*numbers))
        assert refused.value.constraint_name == "item_numbers_have_no_gaps"


async def test_an_item_number_is_given_once(new_database: NewDatabase) -> None:
    async with tables(new_database) as connection:
        await link_store.write_links(connection, [Link(peer=OOSTENDE, life=LOG)])
        await link_store.write_outgoing(connection, items(1))
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await link_store.write_outgoing(connection, items(1))
        assert refused.value.constraint_name == "item_pkey"


async def test_evidence_is_never_edited(new_database: NewDatabase) -> None:
    rules = {
        "UPDATE item SET line = ''": "item is append-only",
        "DELETE FROM item": "item is append-only",
        "TRUNCATE item, sealed_line": "item is append-only",
        "UPDATE envelope SET life = ''": "envelope is append-only",
        "DELETE FROM envelope": "envelope is append-only",
        "TRUNCATE envelope": "envelope is append-only",
    }
    async with tables(new_database) as connection:
        assert {sql: await refused_by(connection, sql) for sql in rules} == rules


async def test_a_box_may_be_erased_and_the_item_stays(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        await link_store.write_links(connection, [Link(peer=OOSTENDE, life=LOG)])
        await link_store.write_outgoing(connection, items(1))
        await connection.execute("DELETE FROM sealed_line")
        (item,) = await link_store.read_waiting(connection, OOSTENDE, 0, 10)
        assert item == OutgoingItem(OOSTENDE, 1, b"item 1", None)


async def test_a_link_or_envelope_cannot_be_what_no_rule_allows(
    new_database: NewDatabase,
) -> None:
    envelope = "INSERT INTO envelope VALUES ('oostende', {}, '', '', '', now())"
    rules = {
        "UPDATE link SET sent = 1, acknowledged = 2": "acknowledged_was_sent",
        envelope.format("'up', 1, 1"): "envelope_direction_is_known",
        envelope.format("'in', 0, 1"): "envelope_carries_items",
        envelope.format("'in', 1, 0"): "envelope_carries_items",
    }
    async with tables(new_database) as connection:
        await link_store.write_links(connection, [Link(peer=OOSTENDE, life=LOG)])
        assert {sql: await refused_by(connection, sql) for sql in rules} == rules


def sealed(stored: list[OutgoingItem]) -> SealedEnvelope:
    """Seal items as the hub does."""
    lines = [item.line for item in stored]
    payload = EnvelopePayload(
        federation=FEDERATION,
        from_=HUB,
        to=OOSTENDE,
        life=LOG,
        first=stored[0].number,
        count=len(stored),
        root=root_of(lines),
        prev=hash_of("head"),
        at=AT,
    )
    line_1, payload_hash = seal(payload, signing_key("hub"))
    return SealedEnvelope(
        peer=OOSTENDE,
        first=payload.first,
        count=payload.count,
        line_1=line_1.decode(),
        payload_hash=payload_hash,
        life=LOG,
        at=NOW,
        wire=link_store.wire_of(line_1, stored),
    )


async def test_a_resend_is_byte_for_byte_what_was_sealed(
    new_database: NewDatabase,
) -> None:
    lines = ["{}", '{"memo":"œuf\\u2028"}', "{ }", "\x85"]
    stored = [
        OutgoingItem(OOSTENDE, number, line.encode(), box)
        for number, (line, box) in enumerate(
            zip(lines, ["a box", None, "b_-0", None], strict=True), start=1
        )
    ]
    first, second = sealed(stored[:2]), sealed(stored[2:])
    async with tables(new_database) as connection:
        link = stored_link(sent=4, acknowledged=0, lives=())
        await link_store.write_links(connection, [link])
        await link_store.write_outgoing(connection, stored)
        await link_store.write_sealed(connection, [first, second])
        found = await link_store.read_unacknowledged(connection, link)
        assert [one.wire for one in found] == [first.wire, second.wire]
        assert [one.payload_hash for one in found] == [
            first.payload_hash,
            second.payload_hash,
        ]
        taken = stored_link(sent=4, acknowledged=2)
        (rest,) = await link_store.read_unacknowledged(connection, taken)
        assert rest.wire == second.wire


async def test_an_item_was_sealed_when_its_envelope_was(
    new_database: NewDatabase,
) -> None:
    first, second = items(1, 2), items(3, 4)
    sealings = [sealed(first), sealed(second)]
    later_one = msgspec.structs.replace(sealings[1], at=later(5))
    async with tables(new_database) as connection:
        await link_store.write_links(connection, [stored_link(sent=4, lives=())])
        await link_store.write_outgoing(connection, items(1, 2, 3, 4, 5))
        await link_store.write_sealed(connection, [sealings[0], later_one])
        found = [
            await link_store.read_sealed_at(connection, OOSTENDE, number)
            for number in (1, 2, 3, 4, 5)
        ]
        # The fifth waits still.
        assert found == [NOW, NOW, later(5), later(5), None]
        assert await link_store.read_sealed_at(connection, MECHELEN, 1) is None


async def test_a_taken_envelope_is_known_again_by_its_number(
    new_database: NewDatabase,
) -> None:
    lines = three_lines()
    raw = wire(lines, sealed_lines=[b'{"for":1,"box":"YQ"}'])
    body = open_body(raw, keyring(), FEDERATION, HUB)
    (envelope,) = body.envelopes
    async with tables(new_database) as connection:
        await link_store.write_links(connection, [Link(peer=OOSTENDE, life=LOG)])
        await link_store.write_taken(connection, [(OOSTENDE, envelope)], NOW)
        known = await link_store.read_known(connection, OOSTENDE, [1, 2, 4])
        payload = envelope_payload(lines)
        assert known == {1: Sealed(payload.life, envelope.payload_hash)}
        rows = await connection.fetch("SELECT line FROM item ORDER BY number")
        assert [row["line"] for row in rows] == lines
        box = await connection.fetchval("SELECT box FROM sealed_line WHERE number = 1")
        assert box == "YQ"


async def test_the_directory_is_read_back_as_it_was_folded(
    new_database: NewDatabase,
) -> None:
    directory = directory_of(
        entry_of(OOSTENDE), entry_of(MECHELEN), entry_of(OOSTENDE, 180_000, 90_000)
    )
    first = directory_of(entry_of(OOSTENDE))
    async with tables(new_database) as connection:
        await directory_store.write(
            connection,
            [
                SaveGroup(first[OOSTENDE]),
                SaveGroup(directory[MECHELEN]),
            ],
            NOW,
        )
        await directory_store.write(connection, [SaveGroup(directory[OOSTENDE])], NOW)
        assert await directory_store.read(connection, FEDERATION) == directory
        lines = await directory_store.read_lines(connection)
        assert lines[0] == first[OOSTENDE].line
        assert len(lines) == 3


async def test_people_find_what_they_were_called_for_newest_first(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        calls = [CallPeople("link", f"call {n}") for n in range(3)]
        await directory_store.write(connection, calls, NOW)
        found = await directory_store.read_alarms(connection, 2)
        assert [alarm.told for alarm in found] == ["call 2", "call 1"]
        assert found[0].at == NOW
