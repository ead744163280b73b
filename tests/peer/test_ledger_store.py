"""The stored ledger on a real PostgreSQL: it gives back what it took, or refuses."""

import functools
import random
from typing import Any

import asyncpg
import pytest

from protocol.effects import EndHold, PlaceHold, SetLimits, View
from protocol.errors import LedgerBrokenError
from protocol.ledger import BALANCE_MAX, HoldState
from protocol.peer import ledger_store, transfer_store
from protocol.peer.ledger_store import NEWEST, Search
from tests.peer.makers import NOW, later
from tests.peer.tables import (
    Books,
    NewDatabase,
    account,
    books,
    entry,
    entry_id,
    refused_by,
)
from tests.protocol.makers import ID, life_of


async def test_an_account_is_read_as_it_was_opened(new_database: NewDatabase) -> None:
    opened = [
        account("bob", floor=-5, ceiling=7, frozen=True),
        account("marie", floor=None, ceiling=None),
    ]
    async with books(new_database, *opened) as made:
        assert await made.stored("marie", "bob", "nobody") == opened


async def test_limits_are_kept(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        await made.write(SetLimits("marie", -3, 4, True))
        (marie,) = await made.stored("marie")
        assert (marie.floor, marie.ceiling, marie.frozen) == (-3, 4, True)


async def test_what_a_batch_opens_and_books_on_is_right_at_once(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        await made.post(
            entry(1, ("marie", -2), ("bob", 2)), entry(2, ("bob", -5), ("marie", 5))
        )
        bob, marie = await made.stored("bob", "marie")
        assert (bob.balance, marie.balance) == (-3, 3)


async def test_a_page_tells_what_each_line_belongs_to(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        told = entry(1, ("marie", -2), ("bob", 2), reason="eggs", kind="correction")
        await made.post(told)
        (line,) = await ledger_store.read_page(made.connection, "bob", NEWEST, 50)
        assert (line.amount, line.balance_after, line.entry_id) == (2, 2, entry_id(1))
        assert (line.at, line.kind, line.reason) == (NOW, "correction", "eggs")
        assert (line.transfer_id, line.content) == (None, None)


async def test_pages_give_every_line_once_newest_first(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        await made.post(*(entry(n, ("marie", -n), ("bob", n)) for n in range(1, 8)))
        amounts, before = [], NEWEST
        while page := await ledger_store.read_page(made.connection, "bob", before, 3):
            assert len(page) <= 3
            amounts += [line.amount for line in page]
            before = page[-1].sequence
        assert amounts == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("seed", range(3))
async def test_each_running_balance_is_the_sum_up_to_there(
    new_database: NewDatabase, seed: int
) -> None:
    draw = random.Random(seed)
    names = ["bob", "lies", "marie"]
    async with books(new_database, *(account(name) for name in names)) as made:
        number = 0
        for _ in range(8):
            batch = []
            for _ in range(draw.randint(1, 12)):
                number += 1
                payer, payee = draw.sample(names, 2)
                amount = draw.randint(1, 1000)
                batch.append(entry(number, (payer, -amount), (payee, amount)))
            await made.post(*batch)
        await check_running_balances(made, names)
        assert await ledger_store.read_sequence(made.connection) == number
        assert await ledger_store.read_sums(made.connection) == {"unit": 0}


async def check_running_balances(made: Books, names: list[str]) -> None:
    for name in names:
        lines = await ledger_store.read_page(made.connection, name, NEWEST, 1000)
        balance = 0
        for line in reversed(lines):
            balance += line.amount
            assert line.balance_after == balance
        (kept,) = await made.stored(name)
        assert kept.balance == balance


async def test_the_largest_balance_fits(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        await made.post(entry(1, ("marie", -BALANCE_MAX), ("bob", BALANCE_MAX)))
        bob, marie = await made.stored("bob", "marie")
        assert (bob.balance, marie.balance) == (BALANCE_MAX, -BALANCE_MAX)


# Corrections, and the whole ledger.


async def test_an_entry_of_the_ledger_is_read_as_it_was_booked(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        first = entry(1, ("bob", -2), ("marie", 2), kind="by-hand", author="x")
        taken_back = entry(2, ("bob", 2), ("marie", -2), corrects=entry_id(1))
        await made.post(first, entry(3, ("bob", -5), ("marie", 5)), taken_back)
        booked = await ledger_store.read_entry(made.connection, entry_id(1))
        assert booked is not None
        assert booked.entry == first
        assert booked.corrected_by == entry_id(2)
        assert [(one.account_id, one.balance_after) for one in booked.amounts] == [
            ("bob", -2),
            ("marie", 2),
        ]
        again = await ledger_store.read_entry(made.connection, entry_id(2))
        assert again is not None
        assert (again.entry, again.corrected_by) == (taken_back, None)
        assert await ledger_store.read_entry(made.connection, entry_id(9)) is None
        named = [entry_id(number) for number in (1, 2, 3, 9)]
        found = await ledger_store.read_corrected(made.connection, named)
        assert found == {entry_id(1)}


async def test_pages_of_the_ledger_give_every_entry_once_newest_first(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        await made.post(*(entry(n, ("marie", -n), ("bob", n)) for n in range(1, 8)))
        found, before = [], NEWEST
        while page := await ledger_store.read_entries(made.connection, before, 3):
            assert len(page) <= 3
            found += [booked.entry.entry_id for booked in page]
            before = page[-1].sequence
        assert found == [entry_id(n) for n in range(7, 0, -1)]


@pytest.mark.parametrize(
    ("search", "numbers"),
    [
        (Search(), [3, 2, 1]),
        (Search(text="EGGS"), [2]),
        (Search(text="lie"), [3]),
        (Search(text="Bob"), [2, 1]),
        (Search(text="%"), []),
        (Search(since=later(2)), [3, 2]),
        (Search(until=later(2)), [1]),
        (Search(since=later(1), until=later(3), text="bob"), [2, 1]),
    ],
)
async def test_the_ledger_is_searched(
    new_database: NewDatabase, search: Search, numbers: list[int]
) -> None:
    people = [account(name) for name in ("bob", "lies", "marie")]
    async with books(new_database, *people) as made:
        await made.post(
            entry(1, ("marie", -1), ("bob", 1), at=later(1)),
            entry(2, ("marie", -1), ("bob", 1), at=later(2), reason="Six eggs"),
            entry(3, ("marie", -1), ("lies", 1), at=later(3)),
        )
        found = await ledger_store.read_entries(made.connection, NEWEST, 50, search)
        assert [booked.entry.entry_id for booked in found] == [
            entry_id(number) for number in numbers
        ]


async def test_the_database_books_no_second_correction(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        await made.post(entry(1, ("bob", -2), ("marie", 2)))
        await made.post(entry(2, ("bob", 2), ("marie", -2), corrects=entry_id(1)))
        again = "INSERT INTO entry SELECT 3, $1, at, kind, transfer_id, author, reason,"
        again += " content_id, corrects FROM entry WHERE corrects IS NOT NULL"
        found = await refused_by(made.connection, again, entry_id(3))
        assert found == "entry_is_corrected_once"


@pytest.mark.parametrize("fields", ["balance = 1", "held_out = 1", "held_in = 1"])
async def test_the_database_closes_only_what_is_empty(
    new_database: NewDatabase, fields: str
) -> None:
    async with books(new_database) as made:
        await made.write(SetLimits("marie", None, None, False, True))
        (marie,) = await made.stored("marie")
        assert marie.closed
        sql = f"UPDATE account SET {fields} WHERE account_id = 'marie'"
        found = await refused_by(made.connection, sql)
        assert found == "closed_account_is_empty"


# Holds.


async def test_a_hold_is_kept_on_both_accounts_until_it_ends(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        await made.write(PlaceHold(ID, "marie", "bob", 4))
        bob, marie = await made.stored("bob", "marie")
        assert (marie.held_out, bob.held_in, marie.balance) == (4, 4, 0)
        view = View(life_of("another"))
        names = await ledger_store.read(made.connection, view, {ID})
        assert names == {"marie", "bob"}
        assert view.holds[ID] == made.view.holds[ID]
        await made.write(EndHold(ID, HoldState.VOIDED))
        bob, marie = await made.stored("bob", "marie")
        assert (marie.held_out, bob.held_in) == (0, 0)


async def test_a_hold_placed_and_ended_in_one_batch_is_kept_as_it_ended(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        await made.write(
            PlaceHold(ID, "marie", "bob", 4), EndHold(ID, HoldState.POSTED)
        )
        view = View(life_of("another"))
        await ledger_store.read(made.connection, view, {ID})
        assert view.holds[ID].state is HoldState.POSTED


async def test_a_hold_ends_only_once(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        await made.write(PlaceHold(ID, "marie", "bob", 4))
        await made.write(EndHold(ID, HoldState.VOIDED))
        # As if memory had been wrong: the store is the second lock on the door.
        made.view.holds[ID].state = HoldState.HELD
        made.view.accounts["marie"].held_out = made.view.accounts["bob"].held_in = 4
        with pytest.raises(LedgerBrokenError, match="1 to end"):
            await made.write(EndHold(ID, HoldState.POSTED))


# What the tables refuse, each by the name of its rule.


async def unwritten(made: Books, *entries: Any) -> asyncpg.PostgresError:
    """Post what must not be posted; gives the database's refusal."""
    with pytest.MonkeyPatch.context() as blind:
        # The first lock on this door is ours; here the second is tried alone.
        blind.setattr("protocol.effects.is_balanced", lambda *_: True)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await made.post(*entries)
    return refused.value


async def test_an_entry_sums_to_zero(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        error = await unwritten(made, entry(1, ("marie", -2), ("bob", 1)))
        assert error.constraint_name == "entry_sums_to_zero"


async def test_an_entry_sums_to_zero_in_each_unit(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        error = await unwritten(made, entry(1, ("marie", -2), ("time", 2)))
        assert error.constraint_name == "entry_sums_to_zero"


async def test_one_wrong_entry_spoils_its_whole_batch(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        right = entry(1, ("marie", -2), ("bob", 2))
        # Together they sum to zero; each must by itself.
        low, high = entry(2, ("marie", -2)), entry(3, ("bob", 2))
        error = await unwritten(made, right, low, high)
        assert error.constraint_name == "entry_sums_to_zero"
        assert await ledger_store.read_sequence(made.connection) == 0
        (bob,) = await made.stored("bob")
        assert bob.balance == 0


async def test_an_entry_is_booked_once(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        await made.post(entry(1, ("marie", -2), ("bob", 2)))
        error = await unwritten(made, entry(1, ("marie", -2), ("bob", 2)))
        assert error.constraint_name == "entry_is_booked_once"


async def test_a_posting_moves_something(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        error = await unwritten(made, entry(1, ("marie", 0), ("bob", 0)))
        assert error.constraint_name == "posting_moves_something"


async def test_an_account_cannot_be_what_no_rule_allows(
    new_database: NewDatabase,
) -> None:
    rules = {
        "held_out = -1": "held_amounts_are_never_negative",
        "held_in = -1": "held_amounts_are_never_negative",
        "floor = 2, ceiling = 1": "floor_is_not_above_ceiling",
        "kind = 'bank'": "account_kind_is_known",
        "unit = 'euro'": "account_unit_is_known",
    }
    async with books(new_database) as made:
        found = {
            change: await refused_by(made.connection, f"UPDATE account SET {change}")
            for change in rules
        }
        assert found == rules


async def test_a_hold_cannot_be_what_no_rule_allows(new_database: NewDatabase) -> None:
    rules = {
        ("marie", "bob", 0, "held"): "hold_sets_something_aside",
        ("marie", "bob", -1, "held"): "hold_sets_something_aside",
        ("marie", "marie", 1, "held"): "hold_is_on_two_accounts",
        ("marie", "bob", 1, "settled"): "hold_state_is_known",
    }
    sql = "INSERT INTO hold VALUES ($1, $2, $3, $4, $5)"
    async with books(new_database) as made:
        found = {
            values: await refused_by(made.connection, sql, ID, *values)
            for values in rules
        }
        assert found == rules


async def test_what_was_booked_is_never_edited(new_database: NewDatabase) -> None:
    rules = {
        "UPDATE entry SET reason = 'other'": "entry is append-only",
        "DELETE FROM entry": "entry is append-only",
        "TRUNCATE entry, posting": "entry is append-only",
        "UPDATE posting SET amount = 1": "posting is append-only",
        "DELETE FROM posting": "posting is append-only",
        "TRUNCATE posting": "posting is append-only",
        "UPDATE directory_change SET line = ''": "directory_change is append-only",
        "TRUNCATE directory_change": "directory_change is append-only",
    }
    async with books(new_database) as made:
        await made.post(entry(1, ("marie", -2), ("bob", 2)))
        assert {sql: await refused_by(made.connection, sql) for sql in rules} == rules


async def test_an_account_is_never_removed(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        for sql in ("DELETE FROM account", "TRUNCATE account CASCADE"):
            told = await refused_by(made.connection, sql)
            assert told == "account_is_never_removed"


async def test_a_posting_is_on_an_account_that_is_there(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        sql = "INSERT INTO posting VALUES ('marie', 1, -2, -2), ('nobody', 1, 2, 2)"
        assert await refused_by(made.connection, sql) == "entry_sums_to_zero"


async def test_a_search_finds_by_reason_and_time(new_database: NewDatabase) -> None:
    async with books(new_database) as made:
        await made.post(
            entry(1, ("marie", -1), ("bob", 1), reason="Eggs"),
            entry(2, ("marie", -2), ("bob", 2), reason="bread", at=later(10)),
            entry(3, ("marie", -3), ("bob", 3), at=later(20)),
        )

        async def found(**wanted: Any) -> list[int]:
            search = ledger_store.Search(**wanted)
            page = await ledger_store.read_page(
                made.connection, "bob", NEWEST, 50, search
            )
            return [line.amount for line in page]

        assert await found(text="eGGs") == [1]
        assert await found(text="%") == []
        assert await found(since=later(10)) == [3, 2]
        assert await found(until=later(10)) == [1]


async def test_a_transfer_that_nobody_knows_is_left_out(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as made:
        assert await transfer_store.read(made.connection, [ID]) == {}
        assert await transfer_store.count_undecided(made.connection) == 0


async def test_a_history_is_read_on_from_a_place_oldest_first(
    new_database: NewDatabase,
) -> None:
    async with books(new_database) as ledger:
        for number in range(1, 6):
            await ledger.post(entry(number, ("marie", -number), ("bob", number)))
        read = functools.partial(ledger_store.read_after, ledger.connection)
        pages = [await read("bob", after, 2) for after in (0, 2, 4, 5)]
        assert [[line.amount for line in page] for page in pages] == [
            *([1, 2], [3, 4], [5], [])
        ]
        newest_first = await ledger_store.read_page(ledger.connection, "bob", NEWEST, 9)
        assert await read("bob", 0, 9) == newest_first[::-1]
        assert await read("nobody", 0, 9) == []
