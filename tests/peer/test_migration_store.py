from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from protocol.instant import Instant, to_datetime
from protocol.peer.database import Connection
from protocol.peer.migration_store import MigrationError, migrate

NewDatabase = Callable[[], Awaitable[str]]

NOW = Instant(1_795_402_741_123)

FIRST = "-- Accounts, since members have some.\nCREATE TABLE account (id text);\n"
SECOND = "-- A floor for each account.\nALTER TABLE account ADD floor bigint;\n"


@pytest.fixture
async def clerk(new_database: NewDatabase) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(await new_database())
    yield connection
    await connection.close()


@pytest.fixture
def peer(tmp_path: Path) -> Path:
    folder = tmp_path / "peer"
    folder.mkdir()
    (folder / "0001_add_account.sql").write_text(FIRST)
    (folder / "0002_add_floor.sql").write_text(SECOND)
    return folder


async def count_tables(clerk: Connection) -> int:
    found = await clerk.fetchval(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'migration'"
    )
    assert isinstance(found, int)
    return found


async def test_every_file_runs_once_and_is_recorded(
    clerk: Connection, peer: Path
) -> None:
    ran = ["peer/0001_add_account", "peer/0002_add_floor"]
    assert await migrate(clerk, [("peer", peer)], NOW) == ran
    assert await migrate(clerk, [("peer", peer)], NOW) == []
    row = await clerk.fetchrow("SELECT * FROM migration WHERE number = 2")
    assert row is not None
    assert (row["name"], row["at"]) == ("add_floor", to_datetime(NOW))


async def test_two_sequences_grow_apart(
    clerk: Connection, peer: Path, tmp_path: Path
) -> None:
    house = tmp_path / "nodes"
    house.mkdir()
    (house / "0001_add_member.sql").write_text(
        "-- Members.\nCREATE TABLE member (id text);"
    )
    both = [("peer", peer), ("nodes", house)]
    assert (await migrate(clerk, both, NOW))[2:] == ["nodes/0001_add_member"]
    (peer / "0003_drop_floor.sql").write_text(
        "-- No floor.\nALTER TABLE account DROP floor;"
    )
    assert await migrate(clerk, both, NOW) == ["peer/0003_drop_floor"]


async def test_a_changed_file_is_refused_and_nothing_runs(
    clerk: Connection, peer: Path
) -> None:
    await migrate(clerk, [("peer", peer)], NOW)
    (peer / "0001_add_account.sql").write_text(FIRST + " ")
    (peer / "0003_add_more.sql").write_text("-- More.\nCREATE TABLE more (id text);")
    with pytest.raises(MigrationError, match="peer/0001_add_account is not what this"):
        await migrate(clerk, [("peer", peer)], NOW)
    assert await count_tables(clerk) == 1


async def test_a_renamed_file_is_refused(clerk: Connection, peer: Path) -> None:
    await migrate(clerk, [("peer", peer)], NOW)
    (peer / "0002_add_floor.sql").rename(peer / "0002_add_limit.sql")
    with pytest.raises(MigrationError, match="peer/0002_add_limit is not what this"):
        await migrate(clerk, [("peer", peer)], NOW)


async def test_an_older_program_is_refused(clerk: Connection, peer: Path) -> None:
    await migrate(clerk, [("peer", peer)], NOW)
    (peer / "0002_add_floor.sql").unlink()
    with pytest.raises(MigrationError, match=r"had 2 migrations of peer .* knows 1"):
        await migrate(clerk, [("peer", peer)], NOW)


async def test_a_gap_among_the_files_is_refused(clerk: Connection, peer: Path) -> None:
    (peer / "0002_add_floor.sql").rename(peer / "0003_add_floor.sql")
    with pytest.raises(MigrationError, match=r"0003_add_floor\.sql: expected 0002_"):
        await migrate(clerk, [("peer", peer)], NOW)
    assert await count_tables(clerk) == 0


async def test_a_gap_in_the_database_is_refused(clerk: Connection, peer: Path) -> None:
    await migrate(clerk, [("peer", peer)], NOW)
    await clerk.execute("DELETE FROM migration WHERE number = 1")
    with pytest.raises(MigrationError, match="skipped peer/0001_add_account"):
        await migrate(clerk, [("peer", peer)], NOW)


async def test_two_files_of_one_number_are_refused(
    clerk: Connection, peer: Path
) -> None:
    (peer / "0002_add_limit.sql").write_text(SECOND)
    with pytest.raises(MigrationError, match=r"0002_add_limit\.sql: expected 0003_"):
        await migrate(clerk, [("peer", peer)], NOW)


async def test_the_database_of_another_house_is_refused(
    clerk: Connection, peer: Path
) -> None:
    await migrate(clerk, [("peer", peer), ("clearing", peer.parent)], NOW)
    await clerk.execute("UPDATE migration SET package = 'clearing' WHERE number = 2")
    with pytest.raises(MigrationError, match="has migrations of clearing, which this"):
        await migrate(clerk, [("peer", peer)], NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CREATE TABLE more (id text);", "a first line that says why"),
        ("-- More.\nBEGIN;\nCREATE TABLE more (id text);\nCOMMIT;", "no transaction"),
    ],
)
async def test_a_file_that_keeps_no_rule_is_refused(
    clerk: Connection, peer: Path, text: str, expected: str
) -> None:
    (peer / "0003_add_more.sql").write_text(text)
    with pytest.raises(MigrationError, match=expected):
        await migrate(clerk, [("peer", peer)], NOW)
    assert await count_tables(clerk) == 0


async def test_a_function_may_have_a_block(clerk: Connection, peer: Path) -> None:
    (peer / "0003_add_guard.sql").write_text(
        "-- A guard.\nCREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        "BEGIN\n    RETURN NULL;\nEND;\n$$;\n"
    )
    assert len(await migrate(clerk, [("peer", peer)], NOW)) == 3


async def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(
    clerk: Connection, peer: Path
) -> None:
    (peer / "0003_add_more.sql").write_text(
        "-- More.\nCREATE TABLE more (id text);\nSELECT 1 / 0;"
    )
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(clerk, [("peer", peer)], NOW)
    assert await count_tables(clerk) == 1
    assert await clerk.fetchval("SELECT count(*) FROM migration") == 2


async def test_what_cannot_be_recorded_has_not_happened(
    clerk: Connection, peer: Path
) -> None:
    (peer / "0003_add_more.sql").write_text(
        "-- More.\nCREATE TABLE more (id text);\nDROP TABLE migration;"
    )
    with pytest.raises(asyncpg.UndefinedTableError):
        await migrate(clerk, [("peer", peer)], NOW)
    assert await count_tables(clerk) == 1
