"""What warnings and caps cost a hub of 10,000 groups and a million postings."""

import time
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from clearing import limit_store, rules
from clearing.app import MIGRATIONS
from clearing.rules import Cap, LimitBook
from protocol.instant import write_instant
from protocol.peer import past_store
from tests.clearing.makers import hub_view, prepared
from tests.peer.makers import NOW
from tests.peer.tables import NewDatabase, tables
from tests.protocol.makers import MECHELEN, OOSTENDE

_Found = TypeVar("_Found")
GROUPS = 10_000
#: Ten weeks of trade, each entry between two groups that are drawn by its number.
_FILL = """
INSERT INTO account (account_id, kind, unit, balance, held_out, held_in, floor,
                     ceiling, frozen, closed)
SELECT 'group-' || n, 'group', 'time', 0, 0, 0, -360000000, 360000000, false, false
  FROM generate_series(0, 9999) AS n;
CREATE TEMP TABLE made AS
SELECT n, n * 7919 % 10000 AS payer, (n * 7919 + 1 + n * 31 % 9999) % 10000 AS payee,
       gen_random_uuid() AS id,
       timestamptz '2026-11-23 02:59:01.123Z'
           - (500000 - n) * interval '70 days' / 500000 AS at
  FROM generate_series(1::bigint, 500000) AS n;
INSERT INTO entry (sequence, entry_id, at, kind, transfer_id)
SELECT n, id, at, 'transfer', id FROM made;
INSERT INTO transfer (transfer_id, role, state, payer_group, payee_group, milliseconds,
                      payer_rate, payee_rate, decide_by, prepare, content, taken_at,
                      account, amount, deliver, is_cancel_sent, refunded, other)
SELECT id, 'hub', 'cleared', 'group-' || payer, 'group-' || payee, 1000, 1, 1, at, '',
       '', at, '', 0, '', false, 0, '' FROM made;
INSERT INTO posting (account_id, sequence, amount, balance_after)
SELECT 'group-' || payer, n, -1000, -1000 FROM made
UNION ALL
SELECT 'group-' || payee, n, 1000, 1000 FROM made;
ANALYZE;
"""


async def timed(wanted: Awaitable[_Found]) -> tuple[_Found, float]:
    began = time.perf_counter()
    found = await wanted
    return found, time.perf_counter() - began


@pytest.mark.slow
async def test_a_look_at_all_groups_takes_less_than_ten_seconds(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database, MIGRATIONS) as connection:
        await connection.execute(_FILL)
        names = [f"group-{n}" for n in range(GROUPS)]
        past, past_s = await timed(past_store.read_past(connection, names, NOW))
        assert len(past) == GROUPS
        found, now_s = await timed(limit_store.read_positions(connection))
        assert len(found) == GROUPS
        pairs = [(f"group-{n}", f"group-{n + 1}") for n in range(100)]
        _, hundred_s = await timed(limit_store.read_use(connection, pairs))
        _, one_s = await timed(limit_store.read_use(connection, pairs[:1]))
    told = f"past {past_s:.2f} s, now {now_s:.3f} s, caps {hundred_s:.3f} {one_s:.3f} s"
    print(told)
    assert past_s < 10 and now_s < 1 and hundred_s < 10 and one_s < 1, told


@pytest.mark.slow
def test_where_there_is_no_cap_a_prepare_costs_what_it_did() -> None:
    other = Cap("aalst", "gent", 1, write_instant(NOW), "@admin", "agreed")
    own = Cap(OOSTENDE, MECHELEN, 10**14, write_instant(NOW), "@admin", "agreed")
    books = {
        "none": LimitBook(),
        "of others": LimitBook({("aalst", "gent"): other}),
        "of this pair": LimitBook({(OOSTENDE, MECHELEN): own}),
    }
    arrived, took = prepared(), dict.fromkeys(books, 10.0)
    for _ in range(12):
        for name, book in books.items():
            views = [hub_view() for _ in range(100)]
            began = time.process_time()
            for view in views:
                view.limits = book.open()
                effects = rules.decide_prepare(view, arrived, NOW)
                for effect in effects.wanted:
                    view.apply(effect)
                view.limits.kept()
            took[name] = min(took[name], time.process_time() - began)
    ratios = {name: took[name] / took["none"] for name in books}
    print({name: f"{took[name] / 100 * 1e6:.1f} us" for name in books}, ratios)
    assert ratios["of this pair"] < 1.5, ratios
