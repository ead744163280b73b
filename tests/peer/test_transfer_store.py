"""Stored transfers and content on a real PostgreSQL."""

import itertools
from typing import Any

import msgspec
import pytest

from protocol.effects import SaveContent, SaveTransfer, View
from protocol.instant import Instant
from protocol.peer import transfer_store
from protocol.transfer import Role, State, Transfer
from tests.peer.makers import NOW, later
from tests.peer.tables import NewDatabase, entry_id, refused_by, tables
from tests.protocol.makers import ID, MECHELEN, OOSTENDE, hash_of, life_of

TAKEN: dict[str, Any] = {
    "transfer_id": ID,
    "role": Role.HUB,
    "state": State.TAKEN,
    "payer_group": OOSTENDE,
    "payee_group": MECHELEN,
    "milliseconds": 10**14,
    "payer_rate": 1,
    "payee_rate": 2,
    "decide_by": later(30_000),
    "prepare": hash_of("prepare"),
    "content": hash_of("content"),
    "taken_at": NOW,
}
EVERYTHING: dict[str, Any] = TAKEN | {
    "item_number": 7,
    "account": "marie",
    "amount": 10**12,
    "deliver": "when_reachable",
    "decided_at": later(1),
    "log": life_of("log"),
    "number": 3,
    "code": "rate-changed",
    "answer": hash_of("answer"),
    "waiting": "a line",
    "waiting_code": "cancelled",
    "refund_of": "1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b",
    "refunded": 10**14,
    "author": "somebody",
}


async def keep(connection: Any, *transfers: Transfer) -> None:
    view = View(life_of("a life"))
    effects = [SaveTransfer(transfer) for transfer in transfers]
    for effect in effects:
        view.apply(effect)
    await transfer_store.write(connection, view, effects)


@pytest.mark.parametrize("fields", [TAKEN, EVERYTHING], ids=["least", "everything"])
async def test_a_transfer_is_read_as_it_was_kept(
    new_database: NewDatabase, fields: dict[str, Any]
) -> None:
    transfer = Transfer(**fields)
    async with tables(new_database) as connection:
        await keep(connection, transfer)
        assert await transfer_store.read(connection, [ID]) == {ID: transfer}


@pytest.mark.parametrize(
    ("refunded", "is_refused"),
    [(-1, True), (0, False), (10**14, False), (10**14 + 1, True)],
)
async def test_the_table_holds_no_more_refunds_than_was_paid(
    new_database: NewDatabase, refunded: int, is_refused: bool
) -> None:
    async with tables(new_database) as connection:
        await keep(connection, Transfer(**TAKEN))
        if is_refused:
            sql = "UPDATE transfer SET refunded = $1"
            rule = await refused_by(connection, sql, refunded)
            assert rule == "refunds_never_exceed_the_original"
        else:
            counted = Transfer(**(TAKEN | {"refunded": refunded}))
            await keep(connection, counted)
            assert await transfer_store.read(connection, [ID]) == {ID: counted}


async def test_of_several_states_in_one_batch_the_last_is_kept(
    new_database: NewDatabase,
) -> None:
    first = Transfer(**TAKEN)
    last = msgspec.structs.replace(
        first, state=State.REFUSED, decided_at=later(5), code="cancelled"
    )
    async with tables(new_database) as connection:
        await keep(connection, first)
        await keep(connection, first, last)
        assert await transfer_store.read(connection, [ID]) == {ID: last}


async def test_the_table_knows_every_role_and_state(
    new_database: NewDatabase,
) -> None:
    transfers = [
        Transfer(**(TAKEN | {"transfer_id": id_, "role": role, "state": state}))
        for id_, (role, state) in zip(
            map(entry_id, itertools.count()),
            itertools.product(Role, State),
            strict=False,
        )
    ]
    async with tables(new_database) as connection:
        await keep(connection, *transfers)
        ids = [transfer.transfer_id for transfer in transfers]
        found = await transfer_store.read(connection, ids)
        assert [found[id_] for id_ in ids] == transfers


async def test_what_may_have_to_be_decided_is_due(new_database: NewDatabase) -> None:
    cases: list[tuple[dict[str, Any], int, bool]] = [
        ({}, NOW + 29_999, False),
        ({}, NOW + 30_000, True),
        ({"state": State.OFFERED}, NOW + 30_000, True),
        ({"waiting_code": "cancelled"}, NOW, True),
        ({"state": State.OFFERED, "waiting": "a line"}, NOW, True),
        ({"state": State.CLEARED}, NOW + 30_000, False),
    ]
    async with tables(new_database) as connection:
        for changes, now, is_due in cases:
            await keep(connection, Transfer(**(TAKEN | changes)))
            due = await transfer_store.read_due(connection, Instant(now), 10, [])
            assert due == [ID] * is_due


async def test_what_cannot_be_decided_hides_nothing_that_can(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        silent = Transfer(**(TAKEN | {"payee_group": "gent", "waiting_code": "x"}))
        other = msgspec.structs.replace(
            silent,
            transfer_id="1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b",
            payee_group="mechelen",
            decide_by=Instant(silent.decide_by + 1),
        )
        await keep(connection, silent, other)
        for without, due in (([], ID), (["gent"], other.transfer_id)):
            found = await transfer_store.read_due(connection, Instant(NOW), 1, without)
            assert found == [due]


async def test_content_is_kept_under_its_hash_until_it_is_erased(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        view = View(life_of("a life"))
        kept = SaveContent(hash_of("content"), '{"memo":"œufs"}'.encode())
        await transfer_store.write(connection, view, [kept])
        await transfer_store.write(connection, view, [kept])
        found = await transfer_store.read_content(connection, kept.content_id)
        assert found == kept.line
        await connection.execute("DELETE FROM content")
        assert await transfer_store.read_content(connection, kept.content_id) is None
