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
    "is_cancel_sent": True,
    "other": "lies",
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


async def test_an_offer_to_a_group_that_is_ahead_hides_nothing(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        changes = {"payee_group": "gent", "state": State.OFFERED, "waiting_code": "x"}
        offered = Transfer(**(TAKEN | changes))
        other = msgspec.structs.replace(
            offered,
            transfer_id="1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b",
            state=State.TAKEN,
            decide_by=Instant(offered.decide_by + 1),
        )
        await keep(connection, offered, other)
        for ahead, due in (([], ID), (["gent"], other.transfer_id)):
            found = await transfer_store.read_due(
                connection, Instant(NOW), 1, [], ahead
            )
            assert found == [due], "what was never offered may be refused"


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


def paid(number: int, **changes: Any) -> Transfer:
    """One of Marie's transfers to another group, ordered."""
    fields = TAKEN | {"role": Role.PAYER, "state": State.ORDERED, "account": "marie"}
    return Transfer(**(fields | {"transfer_id": entry_id(number)} | changes))


async def changes(
    connection: Any, account_id: str, after: int = 0, most: int = 100
) -> list[transfer_store.Change]:
    async with connection.transaction(isolation="repeatable_read"):
        return await transfer_store.read_changes(connection, account_id, after, most)


def told(found: list[transfer_store.Change]) -> list[tuple[str, State]]:
    return [(one.transfer.transfer_id, one.transfer.state) for one in found]


async def test_a_transfer_in_a_new_state_comes_last_again(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        first, second = paid(1), paid(2)
        await keep(connection, first)
        await keep(connection, second)
        before = await changes(connection, "marie")
        assert [one.transfer for one in before] == [first, second]
        cleared = msgspec.structs.replace(first, state=State.CLEARED)
        await keep(connection, cleared)
        after = await changes(connection, "marie", before[-1].number)
        assert told(after) == [(entry_id(1), State.CLEARED)]
        everything = await changes(connection, "marie")
        assert [one.transfer for one in everything] == [second, cleared]


async def test_what_is_no_new_state_is_no_change(new_database: NewDatabase) -> None:
    async with tables(new_database) as connection:
        await keep(connection, paid(1))
        (before,) = await changes(connection, "marie")
        await keep(connection, paid(1, answer=hash_of("answer"), is_cancel_sent=True))
        (after,) = await changes(connection, "marie")
        assert after.number == before.number
        assert after.transfer.answer == hash_of("answer")


async def test_what_was_given_back_is_a_change(new_database: NewDatabase) -> None:
    async with tables(new_database) as connection:
        await keep(connection, paid(1, state=State.CLEARED))
        (before,) = await changes(connection, "marie")
        await keep(connection, paid(1, state=State.CLEARED, refunded=5))
        (after,) = await changes(connection, "marie", before.number)
        assert after.transfer.refunded == 5


async def test_changes_of_one_batch_and_of_many_are_paged_in_order(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        await keep(connection, *(paid(number) for number in range(7)))
        await keep(connection, *(paid(number, other="lies") for number in range(7, 9)))
        pages, after = [], 0
        while page := await changes(connection, "marie", after, 2):
            pages.append(len(page))
            assert after < page[0].number < page[-1].number or len(page) == 1
            after = page[-1].number
        assert pages == [2, 2, 2, 2, 1]
        assert after == await transfer_store.read_newest_change(connection, "marie")


async def test_a_transfer_inside_a_group_is_told_to_both_and_nobody_else(
    new_database: NewDatabase,
) -> None:
    line = '{"memo":"œufs"}'.encode()
    async with tables(new_database) as connection:
        inside = paid(1, other="lies", state=State.CLEARED)
        await keep(connection, inside, paid(2))
        await transfer_store.write(
            connection, View(life_of("a life")), [SaveContent(inside.content, line)]
        )
        for name, ids in (("marie", [1, 2]), ("lies", [1]), ("bob", []), ("", [])):
            found = await changes(connection, name)
            assert [one.transfer.transfer_id for one in found] == [
                entry_id(number) for number in ids
            ]
            assert {one.line for one in found} <= {line}
            newest = await transfer_store.read_newest_change(connection, name)
            assert newest == (found[-1].number if found else 0)


async def test_the_hubs_transfers_stand_in_no_members_index(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database) as connection:
        await keep(
            connection,
            *(Transfer(**(TAKEN | {"transfer_id": entry_id(n)})) for n in range(500)),
        )
        for index in ("transfer_of_account", "transfer_of_other"):
            await connection.execute(f"REINDEX INDEX {index}")
            size = await connection.fetchval("SELECT pg_relation_size($1)", index)
            assert size == 8192, "a page for the index itself, and none for rows"


async def test_a_later_clerk_draws_only_higher_numbers(
    new_database: NewDatabase,
) -> None:
    url = await new_database()

    async def same() -> str:
        return url

    numbers = []
    for number in range(3):
        async with tables(same) as connection:
            await keep(connection, paid(number))
            numbers.append((await changes(connection, "marie"))[-1].number)
    assert numbers == sorted(set(numbers))
