import asyncio
import json  # noqa: TID251 (reads what the program printed, as a stranger would)
import os
import pathlib
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from protocol.peer import postgres, programs
from protocol.peer.programs import PostgresError

ROOT = pathlib.Path(__file__).parents[2]


def wheel() -> pathlib.Path | None:
    return programs.wheel_programs()


def system() -> pathlib.Path | None:
    found = [
        (major, folder)
        for folder in programs.system_programs()
        if (major := programs.major_of(folder)) and major >= programs.OLDEST_MAJOR
    ]
    return max(found)[1] if found else None


def call(*arguments: str | pathlib.Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "protocol.peer.postgres", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def process_of(data: pathlib.Path) -> int:
    return int((data / "cluster" / "postmaster.pid").read_text().split()[0])


def ask(data: pathlib.Path, question: str) -> object:
    async def answer() -> object:
        port = int((data / "port").read_text())
        connection = await postgres.connect(data, port)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(answer())


@pytest.mark.parametrize("find", [wheel, system])
def test_a_server_starts_answers_and_stops(
    find: Callable[[], pathlib.Path | None], data_folder: pathlib.Path
) -> None:
    folder = find()
    if folder is None:
        pytest.skip(f"this machine has no PostgreSQL of kind '{find.__name__}'")
    server = postgres.start(data_folder, folder)
    assert server.version == programs.major_of(folder)
    assert str(ask(data_folder, "SHOW server_version")).startswith(f"{server.version}.")
    assert ask(data_folder, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(data_folder, "SHOW unix_socket_directories") == ""
    assert ask(data_folder, "SHOW data_checksums") == "on"
    assert ask(data_folder, "SHOW password_encryption") == "scram-sha-256"
    for safety in ("fsync", "synchronous_commit", "full_page_writes"):
        assert ask(data_folder, f"SHOW {safety}") == "on"
    assert postgres.stop(data_folder, folder)
    assert not postgres.stop(data_folder, folder)


def test_postgresql_never_runs_as_root(running_folder: pathlib.Path) -> None:
    owner = (running_folder / "cluster" / "postmaster.pid").stat().st_uid
    if os.geteuid() == 0:
        assert pwd.getpwuid(owner).pw_name in ("postgres", "nobody")
    else:
        assert owner == os.geteuid()


def test_a_wrong_password_is_refused(running_folder: pathlib.Path) -> None:
    server = postgres.start(running_folder)

    async def enter() -> None:
        await asyncpg.connect(
            host=server.host, port=server.port, user="postgres", password="guess"
        )

    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(enter())


def test_the_server_of_a_killed_starter_is_used_again(
    data_folder: pathlib.Path,
) -> None:
    # The starter is killed while its child runs: the server has a session of its own.
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys, time; from protocol.peer import postgres;"
            "postgres.start(pathlib.Path(sys.argv[1])); print('up', flush=True);"
            "time.sleep(60)",
            data_folder,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        starter.send_signal(signal.SIGKILL)
    process = process_of(data_folder)
    again = call("start", "--data", data_folder)
    assert again.returncode == 0, again.stderr
    assert process_of(data_folder) == process
    assert json.loads(again.stdout)["data"] == str(data_folder)


def test_a_process_number_that_came_back_keeps_nobody_out(
    data_folder: pathlib.Path,
) -> None:
    postgres.start(data_folder)
    record = data_folder / "cluster" / "postmaster.pid"
    kept = record.read_text().split("\n", 1)[1]
    postgres.stop(data_folder)
    record.write_text(f"{os.getpid()}\n{kept}")
    programs.give(record)
    postgres.start(data_folder)
    assert process_of(data_folder) != os.getpid()


def test_a_taken_port_is_passed_by(data_folder: pathlib.Path) -> None:
    first = postgres.start(data_folder)
    beside = data_folder.parent / "beside"
    try:
        second = postgres.start(beside)
        assert second.port != first.port
        postgres.stop(beside)
        assert postgres.start(beside).port == second.port
    finally:
        postgres.stop(beside)


def test_data_of_another_major_version_is_refused_in_a_sentence(
    data_folder: pathlib.Path,
) -> None:
    postgres.start(data_folder)
    postgres.stop(data_folder)
    version = data_folder / "cluster" / "PG_VERSION"
    made_by = version.read_text()
    version.write_text("12\n")
    refused = call("start", "--data", data_folder)
    version.write_text(made_by)
    assert refused.returncode == 69
    assert "made by PostgreSQL 12" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_no_programs_is_said_in_a_sentence(data_folder: pathlib.Path) -> None:
    with pytest.raises(PostgresError, match="apt install postgresql"):
        postgres.start(data_folder, pathlib.Path("/nowhere"))


def test_passwords_are_for_their_owner_only(running_folder: pathlib.Path) -> None:
    made = postgres.create(running_folder, "oostende")
    for path in (
        running_folder / "superuser.password",
        pathlib.Path(made.password_file),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secret = path.read_text()
        assert secret not in (running_folder / "cluster" / "server.log").read_text()
        assert secret not in made.url


def test_a_role_owns_its_database_and_enters_no_other(
    running_folder: pathlib.Path,
) -> None:
    made = postgres.create(running_folder, "oostende")
    assert postgres.create(running_folder, "oostende") == made
    password = pathlib.Path(made.password_file).read_text()
    other = postgres.create(running_folder, "mechelen")

    async def visit() -> None:
        own = await asyncpg.connect(made.url, password=password)
        await own.execute("CREATE TABLE account (balance bigint)")
        await own.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(
                other.url.replace("mechelen@", "oostende@"), password=password
            )

    asyncio.run(visit())


def test_a_name_that_is_no_name_is_refused(data_folder: pathlib.Path) -> None:
    for name in ("", "1a", "Oostende", 'a"b', "a" * 64):
        with pytest.raises(PostgresError, match="name"):
            postgres.create(data_folder, name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another account")
def test_a_folder_out_of_reach_is_named(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(PostgresError, match="cannot enter"):
        postgres.start(tmp_path / "data")


async def test_a_fresh_database_is_quick_and_empty(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    first, second = await new_database(), await new_database()
    assert first != second
    connection = await asyncpg.connect(first)
    assert await connection.fetchval("SHOW fsync") == "on"
    assert not await connection.fetch("SELECT FROM pg_tables WHERE schemaname='public'")
    await connection.close()
