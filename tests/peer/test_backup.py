"""A whole server into one file and out of it again, on real PostgreSQL."""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from protocol.address import HUB
from protocol.errors import OutageError
from protocol.peer import backup
from protocol.peer.backup import NotEmptyError, NotSoundError, Subject
from protocol.peer.backup_store import NotAllowedError
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.clock import Clock
from protocol.peer.command_line import CannotCreateError, DataError
from protocol.peer.migration_store import migrate
from protocol.peer.new_file import NewFile
from tests.peer.audited import audited, live
from tests.peer.backups import (
    CHEAP,
    PASSPHRASE,
    Machine,
    founded,
    machine_of,
)
from tests.peer.federation import Federation, NewDatabase, identity, order
from tests.protocol.makers import MECHELEN, OOSTENDE


@pytest.fixture
async def federated(new_database: NewDatabase) -> AsyncIterator[Federation]:
    async with founded(new_database) as made:
        yield made


@pytest.fixture
async def fresh(new_database: NewDatabase, tmp_path: Path) -> Machine:
    """Where a node of Oostende could be restored."""
    return Machine(OOSTENDE, await new_database(), tmp_path / "fresh")


def node_of(federated: Federation, folder: Path) -> Machine:
    return machine_of(federated.nodes[OOSTENDE], folder)


async def ask(url: str, sql: str, *values: Any) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql, *values)
    finally:
        await connection.close()


async def change(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def contents(url: str) -> dict[str, Any]:
    """Every row of every table, and where the sequences stand."""
    connection = await asyncpg.connect(url)
    found: dict[str, Any] = {}
    try:
        names = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        for name in (row["tablename"] for row in names):
            rows = await connection.fetch(
                f"SELECT md5(x::text) AS row FROM {name} AS x ORDER BY 1"
            )
            found[name] = [row["row"] for row in rows]
        for row in await connection.fetch(
            "SELECT sequencename, last_value FROM pg_sequences"
        ):
            found[row["sequencename"]] = row["last_value"]
    finally:
        await connection.close()
    # Rewritten by every restore: what ran when, the mark, its alarm, who is signed in.
    for name in ("migration", "restored", "alarm", "alarm_alarm_id_seq", "access"):
        found.pop(name, None)
    return found


async def is_empty(url: str) -> bool:
    return bool(
        await ask(url, "SELECT count(*) = 0 FROM pg_tables WHERE schemaname = 'public'")
    )


def keys(machine: Machine) -> dict[str, str]:
    folder = machine.data / "keys"
    return {one.name: one.read_text() for one in folder.glob("*")}


@pytest.mark.parametrize("name", [HUB, OOSTENDE])
async def test_a_restored_server_has_every_row_and_key_of_its_backup(
    federated: Federation, new_database: NewDatabase, tmp_path: Path, name: str
) -> None:
    await live(federated, 1, 40)
    server = federated.hub if name == HUB else federated.nodes[OOSTENDE]
    machine = machine_of(server, tmp_path)
    made = await machine.back_up(tmp_path / "monday", verify=True)
    assert made.audit is not None and made.audit.is_sound
    other = Machine(name, await new_database(), tmp_path / "other")
    restored = await other.restore(tmp_path / "monday")
    assert restored.rows == made.rows > 100
    assert restored.audit is not None and restored.audit.is_sound
    assert await contents(other.url) == await contents(machine.url)
    assert keys(other) == keys(machine) and len(keys(other)) == 2
    modes = {stat.S_IMODE(one.stat().st_mode) for one in other.data.rglob("*.key")}
    assert modes == {0o600}
    assert (await audited(name, other.url)).is_sound
    assert await ask(other.url, "SELECT count(*) FROM restored") == 1


async def test_a_backup_is_for_its_owner_alone_and_leaves_nothing_else(
    federated: Federation, tmp_path: Path
) -> None:
    folder = tmp_path / "usb"
    folder.mkdir()
    machine = node_of(federated, tmp_path)
    before = await contents(machine.url)
    await machine.back_up(folder / "monday", verify=True)
    assert [one.name for one in folder.iterdir()] == ["monday"]
    assert stat.S_IMODE((folder / "monday").stat().st_mode) == 0o600
    assert await contents(machine.url) == before
    schemas = await ask(
        machine.url, "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'interlets'"
    )
    assert schemas == 0


async def test_a_backup_while_members_pay_is_one_moment_of_them(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    async def pay() -> None:
        for number in range(40):
            await federated.nodes[OOSTENDE].clerk.take(order(f"order {number}"))
            await federated.exchange(OOSTENDE)
            await federated.exchange(MECHELEN)

    machine = node_of(federated, tmp_path)
    paying = asyncio.get_running_loop().create_task(pay())
    made = []
    while not paying.done():
        path = tmp_path / f"backup {len(made)}"
        made.append(await machine.back_up(path, verify=True))
    await paying
    assert len(made) > 1
    assert all(one.audit is not None and one.audit.is_sound for one in made)
    await federated.quiet()
    await fresh.restore(tmp_path / "backup 1")
    assert (await audited(OOSTENDE, fresh.url)).is_sound


async def test_a_recovery_key_is_in_no_backup(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    folder = machine.data / "keys"
    folder.mkdir(parents=True)
    for name in ("recovery-sheet.txt", "recovery-sheet.txt.draft", "notes.txt"):
        (folder / name).write_text("a word or two\n")
        (folder / name).chmod(0o600)
    await machine.back_up(tmp_path / "monday")
    await fresh.restore(tmp_path / "monday")
    assert sorted(keys(fresh)) == ["sealing.key", "signing.key"]


async def test_a_key_that_others_can_read_stops_a_backup(
    federated: Federation, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    await machine.back_up(tmp_path / "monday")
    (machine.data / "keys" / "signing.key").chmod(0o640)
    with pytest.raises(Exception, match="expected 0600"):
        await machine.back_up(tmp_path / "tuesday")
    assert not (tmp_path / "tuesday").exists()


async def test_everybody_signs_in_anew(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    await change(
        machine.url,
        "INSERT INTO person VALUES (gen_random_uuid(), '@treasurer', NULL, NULL)",
        "INSERT INTO access SELECT 'hash', person_id, 'once', '{}', now(), now()"
        " FROM person",
    )
    await machine.back_up(tmp_path / "monday")
    await fresh.restore(tmp_path / "monday")
    assert await ask(fresh.url, "SELECT count(*) FROM person") == 1
    assert await ask(fresh.url, "SELECT count(*) FROM access") == 0


async def test_a_file_that_is_there_is_never_overwritten(
    federated: Federation, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    (tmp_path / "monday").write_text("dear diary")
    with pytest.raises(CannotCreateError, match="is there already"):
        await machine.back_up(tmp_path / "monday")
    assert (tmp_path / "monday").read_text() == "dear diary"
    with pytest.raises(CannotCreateError, match="cannot be written: No such file"):
        await machine.back_up(tmp_path / "nowhere" / "monday")


@pytest.mark.parametrize("path", [".", "", "/"])
def test_a_folder_is_no_name_for_a_backup(path: str) -> None:
    with pytest.raises(CannotCreateError, match="is a folder; expected the name of"):
        NewFile(Path(path))


# What is refused, and changes nothing.


async def test_a_database_with_anything_in_it_is_refused(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    await machine.back_up(tmp_path / "monday")
    await change(fresh.url, "CREATE TABLE shopping (item text)")
    with pytest.raises(NotEmptyError, match="not empty"):
        await fresh.restore(tmp_path / "monday")
    assert not (fresh.data / "keys").exists()
    other = Machine(OOSTENDE, machine.url, tmp_path / "elsewhere")
    before = await contents(machine.url)
    with pytest.raises(OutageError, match="a server runs on this database"):
        await other.restore(tmp_path / "monday")
    assert await contents(machine.url) == before


async def test_keys_of_another_server_are_never_replaced(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    await machine.back_up(tmp_path / "monday")
    folder = fresh.data / "keys"
    folder.mkdir(parents=True)
    (folder / "signing.key").write_text("another\n")
    (folder / "signing.key").chmod(0o600)
    with pytest.raises(NotEmptyError, match="another key"):
        await fresh.restore(tmp_path / "monday")
    assert await is_empty(fresh.url)
    shutil.copy(machine.data / "keys" / "signing.key", folder)
    await fresh.restore(tmp_path / "monday")
    assert keys(fresh) == keys(machine)


async def test_another_houses_backup_is_refused(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    await machine_of(federated.hub, tmp_path).back_up(tmp_path / "monday")
    with pytest.raises(DataError, match="is a backup of hub, made by clearing"):
        await fresh.restore(tmp_path / "monday")
    assert await is_empty(fresh.url)


async def test_a_backup_of_another_place_is_refused_unless_it_has_moved(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    await machine.back_up(tmp_path / "monday")
    fresh.move_to("http://b.example")
    with pytest.raises(DataError, match=r"of oostende at http://a\.example"):
        await fresh.restore(tmp_path / "monday")
    assert await is_empty(fresh.url)
    await fresh.restore(tmp_path / "monday", has_moved=True)


async def test_a_wrong_passphrase_is_refused(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    await node_of(federated, tmp_path).back_up(tmp_path / "monday")
    with pytest.raises(DataError, match="the passphrase is not this backup's"):
        await fresh.restore(tmp_path / "monday", "een andere lange zin")
    assert await is_empty(fresh.url) and not fresh.data.exists()


async def test_a_file_cut_off_or_changed_anywhere_leaves_nothing_behind(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    await live(federated, 2, 10)
    await node_of(federated, tmp_path).back_up(tmp_path / "monday")
    raw = (tmp_path / "monday").read_bytes()
    spoiled = tmp_path / "spoiled"
    for part in range(1, 12):
        place = len(raw) * part // 12
        changed = bytearray(raw)
        changed[place] ^= 16
        for content in (raw[:place], bytes(changed)):
            spoiled.write_bytes(content)
            with pytest.raises(DataError):
                await fresh.restore(spoiled)
    for content in (raw[:-1], raw + b"\0"):
        spoiled.write_bytes(content)
        with pytest.raises(DataError):
            await fresh.restore(spoiled)
    assert await is_empty(fresh.url) and not fresh.data.exists()
    await fresh.restore(tmp_path / "monday")


async def test_a_ledger_that_contradicts_itself_is_copied_but_not_restored(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    await change(
        machine.url, "UPDATE account SET balance = 7 WHERE account_id = 'marie'"
    )
    made = await machine.back_up(tmp_path / "monday", verify=True)
    assert made.audit is not None and not made.audit.is_sound
    assert (tmp_path / "monday").exists()
    with pytest.raises(NotSoundError):
        await fresh.restore(tmp_path / "monday")
    assert await is_empty(fresh.url) and not fresh.data.exists()


async def test_a_backup_can_be_proved_later_beside_a_running_server(
    federated: Federation, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    await machine.back_up(tmp_path / "monday")
    before = await contents(machine.url)
    proved = await backup.prove(
        machine.settings, machine.subject, tmp_path / "monday", PASSPHRASE
    )
    assert proved.audit is not None and proved.audit.is_sound
    assert await contents(machine.url) == before


# Programs of other ages, and a role that may do little.


def older(subject: Subject, folder: Path) -> Subject:
    """The subject as a program saw it that lacks the peer's newest migration."""
    shutil.copytree(PEER_MIGRATIONS[1], folder)
    max(folder.glob("*.sql")).unlink()
    return Subject(
        subject.house,
        [("peer", folder), *subject.packages[1:]],
        subject.keys,
        subject.read,
    )


async def test_an_older_programs_backup_is_brought_up_to_date(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    machine = Machine(HUB, await new_database(), tmp_path / "hub")
    subject = older(machine.subject, tmp_path / "migrations")
    connection = await asyncpg.connect(machine.url)
    await migrate(connection, subject.packages, Clock().now())
    await connection.execute(
        "INSERT INTO hub_identity SELECT true, $1, $2", *hub_identity()
    )
    await connection.close()
    await backup.back_up(
        machine.settings, subject, tmp_path / "b", PASSPHRASE, verify=True, cost=CHEAP
    )
    other = Machine(HUB, await new_database(), tmp_path / "other")
    await other.restore(tmp_path / "b")
    assert await ask(other.url, "SELECT federation FROM hub_identity")
    newest = await ask(
        other.url, "SELECT max(number) FROM migration WHERE package = 'peer'"
    )
    assert newest == len(list(PEER_MIGRATIONS[1].glob("*.sql")))


def hub_identity() -> tuple[str, str]:
    stated = identity()
    return stated.federation, stated.statement


async def test_a_newer_programs_backup_is_refused(
    federated: Federation, fresh: Machine, tmp_path: Path
) -> None:
    await node_of(federated, tmp_path).back_up(tmp_path / "monday")
    subject = older(fresh.subject, tmp_path / "migrations")
    with pytest.raises(DataError, match="expected a newer program"):
        await backup.restore(
            fresh.settings, subject, tmp_path / "monday", PASSPHRASE, has_moved=False
        )
    assert await is_empty(fresh.url)


async def test_a_server_that_is_nobodys_yet_has_nothing_to_back_up(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    machine = Machine(HUB, await new_database(), tmp_path / "hub")
    with pytest.raises(Exception, match="run: interlets-hub init"):
        await machine.back_up(tmp_path / "monday")
    assert not (tmp_path / "monday").exists()


async def test_a_role_that_may_make_no_schema_is_told_so(
    federated: Federation, tmp_path: Path
) -> None:
    machine = node_of(federated, tmp_path)
    name = urlsplit(machine.url).path.strip("/")
    role = f"{name}_clerk"
    await change(
        machine.url,
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    )
    parts = urlsplit(machine.url)
    place = f"{role}:x@{parts.hostname}:{parts.port}"
    poor = Machine(OOSTENDE, urlunsplit(parts._replace(netloc=place)), machine.data)
    try:
        made = await poor.back_up(tmp_path / "monday", verify=None)
        assert made.audit is None
        assert "GRANT CREATE ON DATABASE" in made.not_proved
        with pytest.raises(NotAllowedError, match="is written, but not proved"):
            await poor.back_up(tmp_path / "tuesday", verify=True)
        assert (tmp_path / "tuesday").exists()
    finally:
        await change(machine.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
