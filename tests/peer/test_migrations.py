"""The migrations themselves: what has landed never changes, and rows move along."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from clearing.app import MIGRATIONS as HUB_MIGRATIONS
from nodes.app import MIGRATIONS as NODE_MIGRATIONS
from protocol.instant import Instant
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.migration_store import migrate

NewDatabase = Callable[[], Awaitable[str]]

NOW = Instant(1_795_402_741_123)
ROOT = Path(__file__).parents[2]
#: As ``sha256sum`` writes it: add a line for each new file, and change none.
LANDED = Path(__file__).with_name("migrations.sha256")
#: What the first version that anybody had consisted of.
FIRST = {"peer": 5, "nodes": 1, "clearing": 1}

#: A member who paid another inside the group, and one who lay in the middle of that.
OF_A_NODE = """
INSERT INTO account (account_id, kind, unit, balance, held_out, held_in, frozen)
VALUES ('marie', 'member', 'unit', -3, 0, 0, false),
       ('jan', 'member', 'unit', 3, 0, 0, true);
INSERT INTO member VALUES ('marie', 'Marie', now()), ('jan', 'Jan', now());
INSERT INTO transfer
VALUES ('00000000-0000-8000-8000-000000000001', 'payer', 'cleared', 'oostende',
        'oostende', 540000, 1, 1, now(), '', '', now(), NULL, 'marie', 3, 'now', now(),
        NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO entry (sequence, entry_id, at, kind, transfer_id)
VALUES (1, '00000000-0000-8000-8000-000000000002', now(), 'local',
        '00000000-0000-8000-8000-000000000001');
INSERT INTO posting VALUES ('marie', 1, -3, -3), ('jan', 1, 3, 3);
INSERT INTO person
VALUES ('00000000-0000-8000-8000-000000000003', '@treasurer', NULL, NULL),
       ('00000000-0000-8000-8000-000000000004', 'marie', 'marie', NULL);
"""
#: What the hub said of its logs, in an order that is not the alphabet's, and more.
LOGS = """
INSERT INTO item (peer, direction, number, line)
SELECT 'hub', 'in', place, convert_to(line, 'UTF8')
  FROM unnest(ARRAY[
       '{"type":"decision","log":"zzzzzzzzzzA","number":0,"kind":"log","former":null}',
       '{"type":"decision","log":"zzzzzzzzzzA","number":1,"kind":"transfer"}',
       '{"type":"transfer.answer","line":"{\\"kind\\":\\"log\\"}"}',
       '{"type":"decision","log":"aaaaaaaaaaA","number":0,"kind":"log","former":null}',
       '{"type":"later","kind":"log"}'])
       WITH ORDINALITY AS said (line, place);
"""
#: What a hub consisted of when it first had cycles, and legs of two plans there: the
#: debtor of the first has said that it paid, and by mistake says so once more. What the
#: creditor of the second has said is spelled in an order of its own.
WITH_CYCLES = {"peer": 10, "clearing": 6}
LEGS = """
INSERT INTO item (peer, direction, number, line)
VALUES ('oostende', 'in', 1, '{}'), ('mechelen', 'in', 1, '{}');
INSERT INTO item (peer, direction, number, line)
SELECT 'oostende', direction, number, '{"type":"settlement.paid","id":"x","leg":"y"}'
  FROM (VALUES ('in', 2), ('in', 3), ('out', 1)) AS said (direction, number);
INSERT INTO leg (leg_id, cycle, place, at, debtor, creditor, milliseconds, paid,
                 paid_at, state, log, number, ended_at, code)
SELECT ('00000000-0000-8000-8000-00000000000' || place)::uuid, 1, place,
       '2026-11-23Z'::timestamptz + place / 2 * interval '1 day', 'oostende',
       'mechelen', 5, CASE place WHEN 0 THEN translate(encode(sha256(line), 'base64'),
       '+/=', '-_') END, CASE place WHEN 0 THEN now() END, 'void', 'A', place, now(),
       'cancelled'
  FROM generate_series(0, 2) AS made (place), item WHERE item.number = 3;
INSERT INTO item (peer, direction, number, line)
VALUES ('mechelen', 'in', 2, '{"id":"x","leg":"y", "type":"settlement.received"}');
UPDATE leg SET received_at = now(), received = translate(encode(sha256(line), 'base64'),
       '+/=', '-_')
  FROM item WHERE place = 1 AND peer = 'mechelen' AND item.number = 2;
"""
OF_THE_HUB = "INSERT INTO mirror VALUES ('oostende', 'AAAAAAAAAAA', 7, -3600000)"


def files() -> list[Path]:
    folders = [PEER_MIGRATIONS, NODE_MIGRATIONS, HUB_MIGRATIONS]
    return [path for _, folder in folders for path in sorted(folder.glob("*.sql"))]


def test_what_has_landed_never_changes() -> None:
    found = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}"
        for path in files()
    ]
    assert found == LANDED.read_text().splitlines()


async def upgraded(
    url: str,
    house: tuple[str, Path],
    rows: str,
    folder: Path,
    version: Mapping[str, int] = FIRST,
) -> "asyncpg.Connection[asyncpg.Record]":
    """Give a database of an older version, with rows, after all migrations."""
    connection = await asyncpg.connect(url)
    first = []
    for package, migrations in (PEER_MIGRATIONS, house):
        (folder / package).mkdir()
        for path in sorted(migrations.glob("*.sql"))[: version[package]]:
            (folder / package / path.name).write_bytes(path.read_bytes())
        first.append((package, folder / package))
    await migrate(connection, first, NOW)
    await connection.execute(rows)
    await migrate(connection, [PEER_MIGRATIONS, house], NOW)
    return connection


async def test_a_nodes_rows_move_along(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    rows = OF_A_NODE + LOGS
    node = await upgraded(await new_database(), NODE_MIGRATIONS, rows, tmp_path)
    try:
        logs = await node.fetch("SELECT log FROM hub_log ORDER BY place")
        assert [row["log"] for row in logs] == ["zzzzzzzzzzA", "aaaaaaaaaaA"]
        assert await node.fetchval("SELECT other FROM transfer") == "jan"
        assert await node.fetchval("SELECT refunded FROM transfer") == 0
        assert not await node.fetchval("SELECT bool_or(closed) FROM account")
        frozen = await node.fetch(
            "SELECT account_id, name, frozen FROM member_limit ORDER BY number"
        )
        assert [tuple(row) for row in frozen] == [
            ("jan", "Jan", True),
            ("marie", "Marie", False),
        ]
        roles = await node.fetch("SELECT sign_in_name, role, removed_at FROM person")
        assert {tuple(row) for row in roles} == {
            ("@treasurer", "treasurer", None),
            ("marie", None, None),
        }
        with pytest.raises(asyncpg.NotNullViolationError):
            await node.execute(
                "INSERT INTO account (account_id, kind, unit, balance, held_out,"
                " held_in, frozen) VALUES ('lies', 'member', 'unit', 0, 0, 0, false)"
            )
    finally:
        await node.close()


async def test_the_hubs_rows_move_along(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    hub = await upgraded(await new_database(), HUB_MIGRATIONS, OF_THE_HUB, tmp_path)
    try:
        row = await hub.fetchrow("SELECT * FROM mirror")
        assert row is not None
        assert (row["group_name"], row["balance"]) == ("oostende", -3600000)
        assert row["agreed_number"] is None
        assert row["differs"] is False
    finally:
        await hub.close()


async def test_plans_and_words_on_legs_move_along(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = await new_database()
    hub = await upgraded(url, HUB_MIGRATIONS, LEGS, tmp_path, WITH_CYCLES)
    try:
        plans = await hub.fetch(
            "SELECT cycle, place, legs, excepted FROM settlement ORDER BY place"
        )
        assert [tuple(row) for row in plans] == [(1, 0, 2, []), (1, 2, 1, [])]
        words = await hub.fetch(
            "SELECT leg_id, said, party, item FROM word ORDER BY leg_id"
        )
        first = UUID("00000000-0000-8000-8000-000000000000")
        second = UUID("00000000-0000-8000-8000-000000000001")
        assert [tuple(row) for row in words] == [
            (first, "paid", "oostende", 2),
            (second, "received", "mechelen", 2),
        ]
        for table in ("settlement", "word"):
            with pytest.raises(asyncpg.PostgresError, match="append-only"):
                await hub.execute(f"DELETE FROM {table}")
    finally:
        await hub.close()
