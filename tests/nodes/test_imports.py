"""What eLAS and eLAND write is read back; what is damaged imports nothing.

The files are written as the programs' published source writes them (``exporters``).
"""

import io
import itertools
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.imports import eland, elas, reading
from nodes.imports.elas import Given
from nodes.imports.outcome import Notes, OldBooks, Role, Status, read_units
from nodes.imports.plan import Choices, Draw, Plan, make_plan
from nodes.rules import FUND
from protocol.instant import Instant, read_instant
from protocol.ledger import Posting
from protocol.peer.command_line import DataError
from tests.nodes.exporters import (
    PASSWORD_HASH,
    SIDES,
    copied,
    eland_tables,
    eland_user,
    elas_transactions,
    elas_user,
    elas_users,
    zipped,
)

MARIE, BOB = elas_user("MARIE", "Marie"), elas_user("BOB", "Bob")
AT = "2020-02-03 04:05:06"
AT_INSTANT = read_instant("2020-02-03T04:05:06.000Z")
NOW = read_instant("2026-01-01T00:00:00.000Z")
EGGS = (AT, "MARIE", "BOB", 20, "eggs")
TWO = [eland_user(1, "MARIE", "Marie"), eland_user(2, "BOB", "Bob")]


def quietly(_done: float, _told: str) -> None:
    pass


def from_elas(
    users: str, past: str | None = None, balances: str | None = None, decimals: int = 0
) -> tuple[OldBooks, Notes]:
    notes = Notes()
    texts = [
        None
        if text is None
        else Given(f"{name}.csv", reading.read_text(text.encode(), f"{name}.csv"))
        for name, text in (("users", users), ("past", past), ("saldi", balances))
    ]
    assert texts[0] is not None
    books = elas.read_books(texts[0], texts[1], texts[2], decimals, notes, quietly)
    return books, notes


def from_eland(
    tables: Mapping[str, bytes], decimals: int = 0
) -> tuple[OldBooks, Notes]:
    notes = Notes()
    files = reading.read_zip(zipped(tables), "db.zip", eland.TABLES)
    return eland.read_books(files, "db.zip", decimals, notes, quietly), notes


def planned(
    read: tuple[OldBooks, Notes], now: Instant = NOW, **choices: Any
) -> tuple[Plan, Notes]:
    books, notes = read
    numbers = itertools.count()
    draw = Draw(lambda: f"entry {next(numbers)}", lambda: "A" * 22)
    chosen = Choices(**choices)
    plan = make_plan(books, chosen, 0, "digest", draw, now, notes, quietly)
    assert (plan.order is None) == (notes.many > 0)
    assert PASSWORD_HASH not in notes.told()
    return plan, notes


def opening(plan: Plan) -> dict[str, int]:
    assert plan.order is not None
    found = {posting.account_id: posting.amount for posting in plan.order.opening}
    assert sum(found.values()) == 0
    return found


def final(plan: Plan) -> dict[str, int]:
    """What every account comes to once all is booked."""
    assert plan.order is not None
    balances = {member.account_id: 0 for member in plan.order.members} | {FUND: 0}
    postings = list(plan.order.opening)
    for one in plan.order.past:
        postings += [Posting(one.payer, -one.amount), Posting(one.payee, one.amount)]
    for posting in postings:
        balances[posting.account_id] += posting.amount
    return balances


def refused(read: tuple[OldBooks, Notes], **choices: Any) -> str:
    plan, notes = planned(read, **choices)
    assert plan.order is None
    return notes.told()


# eLAS.


@pytest.mark.parametrize("has_maxlimit", [True, False])
def test_a_row_of_elas_gives_a_member(*, has_maxlimit: bool) -> None:
    books, notes = from_elas(elas_users([MARIE], has_maxlimit=has_maxlimit))
    (marie,) = books.accounts
    assert (marie.key, marie.code, marie.name) == ("marie", "MARIE", "Marie")
    assert (marie.role, marie.status) == (Role.MEMBER, Status.ACTIVE)
    assert (marie.floor, marie.ceiling) == (-400, 400 if has_maxlimit else None)
    assert notes.many == 0
    assert PASSWORD_HASH not in repr(books)


AWKWARD = st.text(st.sampled_from([*"ab é,;'\"\n\r<&\t ", '"', ","]), max_size=12)


@given(
    comments=st.lists(AWKWARD, min_size=1, max_size=4),
    names=st.lists(st.sampled_from(["An", "Bo & co", 'Jo "Jef"', "É, I"]), min_size=4),
)
def test_whatever_members_wrote_of_themselves_no_row_is_taken_for_another(
    comments: list[str], names: list[str]
) -> None:
    users = [
        elas_user(f"M{n}", names[n], comments=comment, hobbies=comment[::-1])
        for n, comment in enumerate(comments)
    ]
    books, notes = from_elas(elas_users(users))
    # Read right, or named: quotes and commas that nothing tells apart are ambiguous.
    if notes.many:
        assert "fields" in notes.told()
    else:
        expected = [" ".join(names[n].split()) for n in range(len(users))]
        assert [account.name for account in books.accounts] == expected
        assert [account.floor for account in books.accounts] == [-400] * len(users)


def test_quotes_commas_and_lines_inside_of_fields_are_only_text() -> None:
    comment = 'Zij zei: "ja, graag", en\r\n"nee" , "misschien"\n"toch"\r\n"wel"'
    users = [elas_user("A1", "An", comments=comment), BOB]
    books, notes = from_elas(elas_users(users))
    assert notes.told() == ""
    assert [one.code for one in books.accounts] == ["A1", "BOB"]
    assert books.accounts[1].place.line == 6


def test_html_is_read_as_the_letters_it_stands_for() -> None:
    user = elas_user("A1", "Jan &amp; Els d&#039;Hondt &quot;Jef&quot;")
    books, _ = from_elas(elas_users([user]))
    assert books.accounts[0].name == 'Jan & Els d\'Hondt "Jef"'


def test_a_file_that_a_spreadsheet_saved_again_is_read_too() -> None:
    rows = [MARIE | {"comments": 'een "woord", en'}, BOB]
    books, notes = from_elas(copied(rows).decode())
    assert (len(books.accounts), notes.many) == (2, 0)


@pytest.mark.parametrize("form", SIDES)
def test_each_generation_of_elas_names_members_its_own_way(form: str) -> None:
    users = elas_users([elas_user("A1", "Jan (senior)"), elas_user("B2", "Bo & co")])
    names = {"A1": "Jan (senior)", "B2": "Bo & co"}
    past = elas_transactions([(AT, "A1", "B2", 20, "<eieren>")], names, form)
    books, notes = from_elas(users, past)
    assert notes.told() == ""
    assert books.transactions is not None
    (one,) = books.transactions
    assert (one.payer, one.payee, one.amount, one.at) == ("a1", "b2", 20, AT_INSTANT)
    assert one.memo == "<eieren>"


def test_elas_writes_the_newest_first_and_they_are_numbered_oldest_first() -> None:
    past = [(f"2020-01-0{n} 00:00:00", "MARIE", "BOB", n, f"{n}") for n in (1, 2, 3)]
    books, _ = from_elas(elas_users([MARIE, BOB]), elas_transactions(past))
    assert [one.amount for one in books.transactions or ()] == [1, 2, 3]


@given(
    past=st.lists(
        st.tuples(
            st.integers(0, 4),
            st.integers(0, 4),
            st.integers(0, 50),
            st.text(st.characters(blacklist_categories=("Cs",)), max_size=20),
        ),
        max_size=30,
    ),
    form=st.sampled_from(["code", "name (code)"]),
)
def test_what_elas_writes_comes_to_what_it_was(
    past: Sequence[tuple[int, int, int, str]], form: str
) -> None:
    users = [
        elas_user(f"M{n}", f"Member {n}", minlimit=-9999, maxlimit=9999)
        for n in range(5)
    ]
    rows = [
        (AT, f"M{payer}", f"M{payee}", amount, memo.replace("\0", ""))
        for payer, payee, amount, memo in past
    ]
    names = {f"M{n}": f"Member {n}" for n in range(5)}
    expected = {f"m{n}": 0 for n in range(5)}
    for payer, payee, amount, _ in past:
        expected[f"m{payer}"] -= amount
        expected[f"m{payee}"] += amount
    plan, notes = planned(
        from_elas(elas_users(users), elas_transactions(rows, names, form))
    )
    assert notes.told() == ""
    assert final(plan) == expected | {FUND: 0}
    assert opening(plan) == {}


# eLAND.


@pytest.mark.parametrize("is_new", [False, True])
def test_both_spellings_of_eland_give_the_same(*, is_new: bool) -> None:
    users = [
        eland_user(1, "MARIE", "Marie", saldo=-20, minlimit=-100),
        eland_user(2, "BOB", "Bob", saldo=20, maxlimit=None),
    ]
    tables = eland_tables(users, [(AT, 1, 2, 20, "eggs")], is_new=is_new)
    plan, notes = planned(from_eland(tables))
    assert notes.told() == ""
    assert plan.order is not None
    marie, bob = (member.standing for member in plan.order.members)
    assert (marie.name, marie.floor, marie.ceiling) == ("Marie", -100, 400)
    assert (bob.floor, bob.ceiling) == (-400, None)
    assert final(plan) == {"marie": -20, "bob": 20, FUND: 0}
    assert [one.memo for one in plan.order.past] == ["eggs"]


@given(
    saldi=st.lists(st.integers(-400, 400), min_size=1, max_size=12),
    is_new=st.booleans(),
)
def test_opening_balances_sum_to_zero_or_nothing_is_booked(
    saldi: list[int], is_new: bool
) -> None:
    users = [
        eland_user(n, f"M{n}", f"Member {n}", saldo=saldo)
        for n, saldo in enumerate(saldi)
    ]
    tables = eland_tables(users, is_new=is_new)
    if sum(saldi):
        told = refused(from_eland(tables))
        assert f"come to {sum(saldi)}" in told
        assert f"{-sum(saldi)} is on the fund" in told
    plan, _ = planned(from_eland(tables), to_fund=sum(saldi) != 0)
    expected = {f"m{n}": saldo for n, saldo in enumerate(saldi)}
    assert final(plan) == expected | {FUND: -sum(saldi)}


@pytest.mark.parametrize(
    ("value", "floor"),
    [("-100", -100), ('{"value": -100}', -100), ('{"value": null}', None), ("", None)],
)
def test_the_groups_own_limits_are_everybodys(value: str, floor: int | None) -> None:
    users = [eland_user(1, "MARIE", "Marie", minlimit=None)]
    config = [{"id": "accounts.limits.global.min", "data": value}]
    tables = eland_tables(users) | {"config": copied(config)}
    books, notes = from_eland(tables)
    assert (books.accounts[0].floor, notes.told()) == (floor, "")


def test_limits_that_are_switched_off_bind_nobody() -> None:
    config = [{"id": "accounts.limits.enabled", "data": '{"value": false}'}]
    tables = eland_tables(TWO, is_new=True) | {"config": copied(config)}
    books, _ = from_eland(tables)
    assert {(one.floor, one.ceiling) for one in books.accounts} == {(None, None)}


def test_limits_as_far_out_as_eland_writes_none_are_none() -> None:
    user = eland_user(1, "A", "An", minlimit=-999999999, maxlimit=999999999)
    books, _ = from_eland(eland_tables([user]))
    assert (books.accounts[0].floor, books.accounts[0].ceiling) == (None, None)


# Who comes along, and as what.


def test_every_row_is_told_what_becomes_of_it() -> None:
    users = [
        elas_user("A", "Active"),
        elas_user("L", "Leaving", status=2),
        elas_user("N", "New", status=3),
        elas_user("G", "Gone", status=0),
        elas_user("D", "Gone with units", status=0),
        elas_user("", "Info", status=5),
        elas_user("X", "LETS Gent", accountrole="interlets", status=7),
        elas_user("V", "Visitor", accountrole="guest"),
        elas_user("P", "Penningmeester", accountrole="admin"),
    ]
    saldi = '"letscode","saldo"\r\n' + "".join(
        f'"{code}","{saldo}"\r\n'
        for code, saldo in zip("ALNGDXVP", (5, 0, 0, 0, 7, 0, 0, -12), strict=True)
    )
    plan, notes = planned(from_elas(elas_users(users), None, saldi))
    assert notes.told() == ""
    told = [line.told.partition(", balance")[0] for line in plan.lines]
    assert told == [
        "imported as a: Active, active",
        "imported as l: Leaving, active (leaving)",
        "imported as n: New, active (new)",
        "imported as g: Gone, closed",
        "imported as d: Gone with units, frozen",
        "skipped: no member yet",
        "skipped: another group's account",
        "skipped: guest",
        "imported as p: Penningmeester, active, admin there",
    ]
    assert final(plan) == {"a": 5, "l": 0, "n": 0, "g": 0, "d": 7, "p": -12, FUND: 0}


def test_what_stands_with_another_group_comes_on_the_fund_when_that_is_said() -> None:
    users = [*TWO, eland_user(3, "GENT", "LETS Gent", accountrole="interlets")]
    users[0] |= {"saldo": -30}
    users[1] |= {"saldo": 20}
    users[2] |= {"saldo": 10}
    past = [(AT, 1, 2, 20, "eggs"), (AT, 1, 3, 10, "naar Gent")]
    told = refused(from_eland(eland_tables(users, past)))
    assert "come to -10 (those of skipped accounts come to 10)" in told
    plan, _ = planned(from_eland(eland_tables(users, past)), to_fund=True)
    assert final(plan) == {"marie": -30, "bob": 20, FUND: 10}
    assert plan.fund == 10
    assert plan.order is not None
    assert plan.order.past[1].memo == "GENT: naar Gent"
    users[0], users[1], users[2] = TWO[0], TWO[1], users[2] | {"saldo": 0}


def test_payments_that_move_nothing_are_counted_and_left_out() -> None:
    past = [EGGS, (AT, "BOB", "BOB", 5, "self"), (AT, "BOB", "MARIE", 0, "nothing")]
    plan, _ = planned(from_elas(elas_users([MARIE, BOB]), elas_transactions(past)))
    assert plan.order is not None
    assert (len(plan.order.past), plan.skipped) == (1, 2)


def test_without_history_only_the_balances_come() -> None:
    users = [TWO[0] | {"saldo": -20}, TWO[1] | {"saldo": 20}]
    tables = eland_tables(users, [(AT, 1, 2, 3, "not all")])
    plan, _ = planned(from_eland(tables), with_history=False)
    assert plan.order is not None
    assert not plan.order.past
    assert opening(plan) == {"marie": -20, "bob": 20}


def test_a_history_that_elas_cut_off_needs_the_balances_and_gets_an_opening() -> None:
    many = elas.TRANSACTIONS_MAX
    users = elas_users([MARIE | {"minlimit": "-9999"}, BOB | {"maxlimit": "9999"}])
    past = elas_transactions([(AT, "MARIE", "BOB", 1, "x")] * many)
    assert "--balances" in refused(from_elas(users, past))
    saldi = "letscode,saldo\nMARIE,-5007\nBOB,5007\n"
    plan, notes = planned(from_elas(users, past, saldi))
    assert notes.told() == ""
    assert opening(plan) == {"marie": -7, "bob": 7}
    assert final(plan) == {"marie": -5007, "bob": 5007, FUND: 0}
    whole = elas_transactions([(AT, "MARIE", "BOB", 1, "x")] * (many - 1))
    assert planned(from_elas(users, whole))[0].order is not None


# What is wrong is named, and nothing is imported.


def test_balances_that_the_payments_do_not_come_to_are_named() -> None:
    users = [TWO[0] | {"saldo": -20}, TWO[1] | {"saldo": 20}]
    told = refused(from_eland(eland_tables(users, [(AT, 1, 2, 19, "eggs")])))
    assert told.splitlines() == [
        "users.csv, line 2: found balance -20 of 'MARIE'; expected -19, as all its "
        "transactions come to (or --without-history)",
        "users.csv, line 4: found balance 20 of 'BOB'; expected 19, as all its "
        "transactions come to (or --without-history)",
    ]


@pytest.mark.parametrize(
    ("saldo", "is_taken"),
    [(-401, False), (-400, True), (400, True), (401, False)],
)
def test_limits_must_leave_room_for_the_balance(saldo: int, *, is_taken: bool) -> None:
    other = eland_user(2, "BOB", "Bob", saldo=-saldo, minlimit=None, maxlimit=None)
    users = [eland_user(1, "MARIE", "Marie", saldo=saldo), other]
    if not is_taken:
        told = refused(from_eland(eland_tables(users)))
        assert f"balance {saldo} of 'MARIE'; expected -400 to 400" in told
    plan, _ = planned(from_eland(eland_tables(users)), beyond_limits=not is_taken)
    assert plan.order is not None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"letscode": "A 1"}, "'A 1'"),
        ({"letscode": ""}, "letscode ''"),
        ({"letscode": "bob"}, "'bob' as on users.csv, line 3; expected each letscode"),
        ({"letscode": "Fund"}, "'Fund'; expected another: this one is the node's own"),
        ({"name": "Ma\u202erie"}, "1 to 80 visible characters"),
        ({"status": "4"}, "status '4'; expected a status: 0, 1, 2, 3, 5, 6, 7"),
        ({"status": PASSWORD_HASH}, "status 128 characters that are not shown"),
        ({"accountrole": "root"}, "accountrole 'root'; expected a role: admin, user"),
        ({"minlimit": "-1.5"}, "minlimit '-1.5'; expected a whole number"),
        ({"minlimit": "500"}, "limits of 'MARIE' 500 to 400"),
        ({"maxlimit": "1e3"}, "maxlimit '1e3'; expected a whole number"),
        ({"maxlimit": "٣"}, "maxlimit '٣'"),
    ],
)
def test_a_wrong_row_is_named(changes: dict[str, str], told: str) -> None:
    users = elas_users([elas_user("A", "An"), BOB, MARIE | changes])
    found = refused(from_elas(users), without_balances=True)
    assert found.startswith("users.csv, line 4: found ")
    assert told in found


def small(*lines: str) -> dict[str, bytes]:
    """A group of eLAND's as a treasurer would write it by hand."""
    head = "id,code,name,role,status,minlimit,maxlimit,saldo"
    rows = [line if line.count(",") == 7 else f"{line},user,1,,,0" for line in lines]
    return {"users": "".join(f"{line}\n" for line in [head, *rows]).encode()}


def test_an_id_may_be_anothers_letscode() -> None:
    plan, notes = planned(from_eland(small("1,2,An", "2,1,Bob")))
    assert notes.told() == ""
    assert final(plan) == {"2": 0, "1": 0, FUND: 0}


@pytest.mark.parametrize("roles", [("user", "guest"), ("guest", "user")])
def test_a_letscode_of_a_member_and_a_guest_is_named(roles: tuple[str, str]) -> None:
    codes = zip(("BOB", "bob"), roles, strict=True)
    users = [elas_user(code, "Bob", accountrole=role) for code, role in codes]
    told = refused(from_elas(elas_users([MARIE, *users])), without_balances=True)
    assert told == (
        "users.csv, line 4: found letscode 'bob' as on users.csv, line 3; expected "
        "each letscode once"
    )


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["2,A,An", "2,B,Bob"], "found id '2' as on users.csv, line 2"),
        (["2,B,Bob", "2,G,Gil,guest,1,,,-300"], "found id '2' as on users.csv, line 2"),
        (["2,G,Gil,guest,1,,,-300", "2,B,Bob"], "found id '2' as on users.csv, line 2"),
        (["1,B,Bob", "2,b,Gil,guest,1,,,0"], "found letscode 'b' as on users.csv"),
        (["1,A,An", ",B,Bob"], "found no id; expected one"),
        (["1,A,An", ",G,Gil,guest,1,,,0"], "found no id; expected one"),
    ],
)
def test_an_id_twice_or_none_is_named(rows: Sequence[str], told: str) -> None:
    found = refused(from_eland(small(*rows)))
    assert found.startswith(f"users.csv, line 3: {told}")
    assert "\n" not in found


@pytest.mark.parametrize("table", ["balance", "min_limit", "max_limit"])
def test_a_row_of_a_table_twice_is_named(table: str) -> None:
    rows = f"id,account_id,{table}\n7,1,0\n8,1,0\n07,2,0\n".encode()
    users = [eland_user(1, "MARIE", "Marie"), eland_user(2, "BOB", "Bob")]
    tables = eland_tables(users, is_new=True) | {table: rows}
    told = refused(from_eland(tables), without_balances=True)
    assert told == (
        f"{table}.csv, line 4: found id '07' as on line 2; expected each id once"
    )


def test_a_transaction_of_eland_twice_is_named() -> None:
    rows = b"id,amount,description,id_from,id_to,created_at\n"
    rows += b"".join(b"%d,5,eggs,1,2,2020-01-01\n" % number for number in (4, 5, 4))
    told = refused(from_eland(eland_tables(TWO) | {"transactions": rows}))
    assert told.startswith(
        "transactions.csv, line 4: found id '4'; expected each id once, and line 2"
    )


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 20_000])
def test_a_setting_nested_without_end_is_named(text: str) -> None:
    config = copied([{"id": "minlimit", "data": text}])
    told = refused(from_eland(eland_tables(TWO, is_new=True) | {"config": config}))
    assert told.startswith("config.csv, line 2: found minlimit ")
    assert "that are not shown" in told


@pytest.mark.parametrize(
    ("at", "is_taken"), [("2026-01-02 02:00:00", True), ("2026-01-02 02:00:01", False)]
)
def test_a_transaction_of_the_future_is_named(at: str, *, is_taken: bool) -> None:
    """Both programs write local time: the earliest on earth is fourteen hours on."""
    past = [("2025-12-31", "MARIE", "BOB", 1, "eggs"), (at, "BOB", "MARIE", 1, "eggs")]
    eland_past = [("2025-12-31", 1, 2, 1, "eggs"), (at, 2, 1, 1, "eggs")]
    two = [eland_user(1, "MARIE", "Marie"), eland_user(2, "BOB", "Bob")]
    for read, place in (
        (from_elas(elas_users([MARIE, BOB]), elas_transactions(past)), "past.csv"),
        (from_eland(eland_tables(two, eland_past)), "transactions.csv"),
    ):
        _, notes = planned(read, now=read_instant("2026-01-01T12:00:00.000Z"))
        told = f"{place}, line 2: found a transaction of 2026-01-02T02:00:01.000Z"
        assert notes.told() == ("" if is_taken else f"{told}; expected one of the past")


def test_guests_may_share_a_letscode_and_come_on_the_fund() -> None:
    guests = [elas_user(code, "Gil", accountrole="guest") for code in ("G", "g")]
    past = elas_transactions([(AT, "MARIE", "G", 5, "eggs")])
    plan, _ = planned(from_elas(elas_users([MARIE, *guests]), past), to_fund=True)
    assert final(plan) == {"marie": -5, FUND: 5}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("2020-13-01", "MARIE", "BOB", 1, ""), "Datum '2020-13-01'"),
        (("0000-00-00 00:00:00", "MARIE", "BOB", 1, ""), "Datum '0000-00-00 00:00:00'"),
        (("gisteren", "MARIE", "BOB", 1, ""), "Datum 'gisteren'; expected a time like"),
        ((AT, "NOBODY", "BOB", 1, ""), "Van 'NOBODY'; expected the letscode of one"),
        ((AT, "MARIE", "", 1, ""), "Aan ''"),
        ((AT, "MARIE", "BOB", -1, ""), "Bedrag '-1'; expected 0 or more"),
        ((AT, "MARIE", "BOB", 10**13, ""), "Bedrag '10000000000000'"),
    ],
)
def test_a_wrong_transaction_is_named(row: Any, told: str) -> None:
    past = elas_transactions([row, EGGS])
    found = refused(from_elas(elas_users([MARIE, BOB]), past))
    assert found.startswith("past.csv, line 3: found ")
    assert told in found


@pytest.mark.parametrize(
    ("saldi", "told"),
    [
        ("letscode,saldo\nMARIE,1\n", "line 3: found no balance of letscode 'BOB'"),
        (
            "letscode,saldo\nMARIE,1\nBOB,-1\nAN,0\n",
            "saldi.csv, line 4: found letscode",
        ),
        ("letscode,saldo\nMARIE,1\nMARIE,1\nBOB,-1\n", "line 3: found MARIE twice"),
        ("letscode,saldo\nMARIE,één\nBOB,-1\n", "line 2: found saldo 'één'"),
        ("letscode;saldo\nMARIE;1\n", "saldi.csv, line 1: found semicolons"),
    ],
)
def test_a_wrong_list_of_balances_is_named(saldi: str, told: str) -> None:
    found = refused(from_elas(elas_users([MARIE, BOB]), None, saldi))
    assert told in found
    # Where balances were given, nobody is told to give some.
    assert "--without-balances" not in found


@pytest.mark.parametrize("end", ["\n", "\n\n", "\n,\n", "\r\n,\r\n  \r\n", "\n ,,\n"])
def test_a_list_of_balances_may_end_as_a_spreadsheet_ends_it(end: str) -> None:
    saldi = f"letscode,saldo\nMARIE,-5\nBOB,5{end}"
    plan, _ = planned(from_elas(elas_users([MARIE, BOB]), None, saldi))
    assert opening(plan) == {"marie": -5, "bob": 5}


def test_members_without_balances_begin_at_zero_only_when_that_is_said() -> None:
    users = elas_users([MARIE, BOB])
    assert "--without-balances" in refused(from_elas(users))
    plan, _ = planned(from_elas(users), without_balances=True)
    assert opening(plan) == {}


def test_rows_with_fields_too_few_or_too_many_are_named() -> None:
    lines = elas_users([MARIE, BOB, elas_user("AN", "An")]).splitlines(keepends=True)
    lines[1] = lines[1].replace('"",', "", 1)
    lines[3] = lines[3].replace('"",', '"","x",', 1)
    told = refused(from_elas("".join(lines)), without_balances=True)
    assert told.splitlines() == [
        "users.csv, line 2: found 16 fields; expected 17 fields",
        "users.csv, line 4: found 18 fields; expected 17 fields",
    ]
    tables = eland_tables(TWO)
    rows = tables["users"].replace(b"BOB,", b"").replace(b"MARIE", b"MARIE,MARIE", 1)
    told = refused(from_eland(tables | {"users": rows}), without_balances=True)
    assert told.splitlines() == [
        "users.csv, line 2: found 14 fields; expected 13",
        "users.csv, line 4: found 12 fields; expected 13",
    ]


@pytest.mark.parametrize(
    ("table", "rows", "told"),
    [
        ("users", b"id,code\n1,A\n", "users.csv, line 1: found 2 columns without it"),
        ("users", b"id,id\n", "users.csv, line 1: found 2 columns without it"),
        ("users", b'"id,', "users.csv, line 1: found a last line that does not end"),
        ("balance", b"id,account_id,balance\n1,9,5\n", "line 2: found account_id '9'"),
        ("balance", b"id,account_id,balance\nx,1,5\n", "line 2: found id 'x'"),
        ("balance", b"id,account_id,balance\n1,1,5.5\n", "line 2: found balance '5.5'"),
        ("min_limit", b"id,account_id,min_limit\n1,1,y\n", "line 2: found floor 'y'"),
        ("config", b"id,data\nminlimit,x\n", "config.csv, line 2: found minlimit 'x'"),
        ("config", b"id,data\nm,\xe9\n", "config.csv, line 2: found byte 0xe9"),
        ("transactions", b"id,amount\n", "transactions.csv, line 1: found 2 columns"),
    ],
)
def test_a_wrong_table_is_named(table: str, rows: bytes, told: str) -> None:
    try:
        found = refused(from_eland(eland_tables(TWO, is_new=True) | {table: rows}))
    except DataError as error:
        found = str(error)
    assert told in found


def test_all_wrong_rows_are_counted_and_the_first_fifty_told() -> None:
    users = elas_users([elas_user(f"M{n}", "M", status=4) for n in range(60)])
    lines = refused(from_elas(users), without_balances=True).splitlines()
    assert len(lines) == 51
    assert lines[-1] == "and 10 more"


USERS = elas_users([MARIE, BOB]).encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "users.csv, line 1: found nothing"),
        (USERS.decode().encode("utf-16"), "found UTF-16 or no text"),
        (
            USERS.replace(b"Bob", b"Ren\xe9"),
            "line 3: found byte 0xe9; expected",
        ),
        (b"<!DOCTYPE html>\n<p>Inloggen</p>\n", "found a page of HTML"),
        (USERS[:-40], "line 3: found a last line that does not end; expected a whole"),
        (USERS.replace(b"Bob", b"B\0b"), "found UTF-16 or no text"),
    ],
)
def test_what_is_no_text_is_refused_before_any_row(data: bytes, told: str) -> None:
    with pytest.raises(DataError, match=r"users\.csv, line") as refusal:
        reading.read_text(data, "users.csv")
    assert told in str(refusal.value)


def test_an_old_elas_in_windows_letters_is_read_when_that_is_said() -> None:
    data = elas_users([elas_user("A", "René €")]).encode("cp1252")
    text = reading.read_text(data, "users.csv", "windows-1252")
    books, _ = from_elas(text)
    assert books.accounts[0].name == "René €"


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    text = reading.read_text(b"\xef\xbb\xbf" + USERS, "users.csv")
    assert len(from_elas(text)[0].accounts) == 2


@given(st.data())
def test_a_damaged_file_is_read_or_named_and_never_breaks(data: st.DataObject) -> None:
    past = elas_transactions([EGGS] * 3).encode()
    files = []
    for whole in (USERS, past):
        begin = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(begin, min(begin + 40, len(whole))))
        files.append(whole[:begin] + data.draw(st.binary(max_size=4)) + whole[end:])
    try:
        texts = [
            reading.read_text(one, "file.csv").replace("\r\n", "\n") for one in files
        ]
        read = from_elas(*texts)
    except DataError:
        return
    plan, _ = planned(read)
    if plan.order is not None:
        assert sum(final(plan).values()) == 0


@given(st.data())
def test_a_damaged_zip_is_read_or_named_and_never_breaks(data: st.DataObject) -> None:
    users = [TWO[0] | {"saldo": -20}, TWO[1] | {"saldo": 20}]
    whole = zipped(eland_tables(users, [(AT, 1, 2, 20, "eggs")], is_new=True))
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, min(begin + 40, len(whole))))
    damaged = whole[:begin] + data.draw(st.binary(max_size=4)) + whole[end:]
    notes = Notes()
    try:
        files = reading.read_zip(damaged, "db.zip", eland.TABLES)
        books = eland.read_books(files, "db.zip", 0, notes, quietly)
    except DataError:
        return
    plan, _ = planned((books, notes))
    if plan.order is not None:
        assert sum(final(plan).values()) == 0


# Files that mean harm.


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        # 1 GB that takes no room on the disk; reading it would take it in memory.
        file.truncate(10**9)
    with pytest.raises(DataError, match="more than 200 MiB; expected at most 200 MiB"):
        reading.read_bytes(large)


@pytest.mark.parametrize(("size", "is_taken"), [(1000, True), (1001, False)])
def test_the_limit_is_exact(tmp_path: Path, size: int, *, is_taken: bool) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes(b"x" * size)
    if is_taken:
        assert len(reading.read_bytes(file, 1000)) == size
    else:
        with pytest.raises(DataError, match="found more than"):
            reading.read_bytes(file, 1000)


def test_a_file_without_a_size_is_read_no_further_than_the_limit() -> None:
    with pytest.raises(DataError, match="found more than"):
        reading.read_bytes(Path("/dev/zero"), 2**20)


def _lying_bomb() -> bytes:
    """A zip whose entry says that it unpacks to 10 bytes, and does to 500 MiB."""
    data = bytearray(zipped({"users": b"0" * (reading.UNPACKED_LENGTH_MAX + 1)}))
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(mark) + offset
        data[at : at + 4] = struct.pack("<I", 10)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: zipped({"users": b"0" * (reading.UNPACKED_LENGTH_MAX + 1)}),
            "tables of more than 400 MiB",
        ),
        (_lying_bomb, "found"),
    ],
    ids=["honest", "lying"],
)
def test_a_zip_that_unpacks_without_end_is_refused(
    make: Callable[[], bytes], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        reading.read_zip(make(), "db.zip", eland.TABLES)


@pytest.mark.parametrize(
    "name", ["../users", "/etc/users", "a/../../users", "C:\\users", "..\\users"]
)
def test_a_path_in_a_zip_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="found the name"):
        reading.read_zip(zipped({name: b"x\n"}), "db.zip", eland.TABLES)


def test_a_table_twice_in_a_zip_is_refused() -> None:
    tables = eland_tables(TWO) | {"again/users": b"id\n"}
    with pytest.raises(DataError, match=r"users\.csv twice"):
        reading.read_zip(zipped(tables), "db.zip", eland.TABLES)


def test_a_zip_with_too_many_files_is_refused() -> None:
    with pytest.raises(DataError, match="1001 files"):
        reading.read_zip(
            zipped({f"t{n}": b"" for n in range(1001)}), "db.zip", eland.TABLES
        )


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped(eland_tables(TWO)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        offsets = [entry.header_offset for entry in archive.infolist()]
    for at in offsets:
        data[at + 6] |= 1
    begin = data.index(b"PK\x01\x02")
    while begin >= 0:
        data[begin + 8] |= 1
        begin = data.find(b"PK\x01\x02", begin + 4)
    with pytest.raises(DataError, match="encrypted"):
        reading.read_zip(bytes(data), "db.zip", eland.TABLES)


def test_a_zip_of_something_else_has_no_users() -> None:
    with pytest.raises(DataError, match=r"no users\.csv"):
        from_eland({"products": b"id\n"})


# Amounts are exact.


def test_units_with_decimals_are_counted_in_minor_ones() -> None:
    user = elas_user("A", "An", minlimit="-100.5", maxlimit=999999999)
    saldi = "letscode,saldo\nA,-20.25\n"
    books, notes = from_elas(elas_users([user]), None, saldi, decimals=2)
    (an,) = books.accounts
    assert (an.floor, an.ceiling, an.balance) == (-10050, None, -2025)
    assert notes.told() == ""


@pytest.mark.parametrize(
    ("text", "decimals", "minor"),
    [
        ("20", 0, 20),
        ("20", 2, 2000),
        ("-20.5", 2, -2050),
        ("0.05", 2, 5),
        ("20.00", 0, 20),
        ("1000000000000", 0, 10**12),
        ("9007199254740993", 2, None),
        ("20.5", 0, None),
        ("20.555", 2, None),
        ("1000000000001", 0, None),
        ("2,5", 2, None),
        ("", 0, None),
        (" 2", 0, None),
        ("+2", 0, None),
    ],
)
def test_amounts_are_read_exactly(text: str, decimals: int, minor: int | None) -> None:
    if minor is not None:
        assert read_units(text, decimals) == minor
    else:
        with pytest.raises(ValueError, match=r"number|10\^12"):
            read_units(text, decimals)
