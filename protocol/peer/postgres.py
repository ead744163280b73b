"""A PostgreSQL server of our own, for the demo, the tests and a trial at home.

Makes a data folder, starts and stops the server, makes a role with a database for
each peer; ``protocol.peer.programs`` finds what it runs. It is not the way into a
database: that is ``protocol.peer.database``, which takes any address, and whoever has
a server of her own needs nothing of this. A data folder holds::

    cluster/             what initdb made; server.log is in it
    port                 where the server listened last
    superuser.password   0600, owned by the account that runs the server
    passwords/NAME       0600, one for each role made here
    lock                 held while somebody starts, stops or creates
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec

from protocol.peer.programs import (
    PostgresError,
    Programs,
    account,
    find_programs,
    give,
    is_reachable,
    run,
)

HOST = "127.0.0.1"
USUAL_PORT = 54329
SUPERUSER = "postgres"
START_TIMEOUT_S = 60
EXIT_UNAVAILABLE = 69  # sysexits

# Only what a private server needs; everything that keeps data safe stays at
# PostgreSQL's production default. No Unix socket: its path may have 107 bytes only.
CONFIGURATION = f"""
# Interlets
listen_addresses = '{HOST}'
unix_socket_directories = ''
"""


class Server(msgspec.Struct, frozen=True):
    """A server that answers."""

    host: str
    port: int
    version: int
    bin: str
    data: str


class Database(msgspec.Struct, frozen=True):
    """A database with the role that owns it."""

    url: str
    password_file: str


# The data folder.


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Make the data folder when there is none, and be alone in it."""
    if not data.is_dir():
        data.mkdir(parents=True)
        data.chmod(0o711 if account() else 0o700)
    if not is_reachable(data):
        owner = account()
        raise PostgresError(
            f"The account '{owner.pw_name if owner else os.getuid()}' that runs"
            f" PostgreSQL cannot enter {data}; choose a folder that it can reach,"
            " such as one under /var/lib/interlets."
        )
    with (data / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` whole or not at all, for its owner's eyes only."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def make_cluster(data: Path, programs: Programs) -> None:
    """Let initdb make ``cluster``, whole or not at all."""
    password = data / "superuser.password"
    write_whole(password, secrets.token_urlsafe(32))
    give(password)
    draft = data / "cluster.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    give(draft)
    made = run(
        *(programs.folder / "initdb", "--pgdata", draft, "--username", SUPERUSER),
        *("--pwfile", password, "--auth", "scram-sha-256", "--data-checksums"),
        # The wheel has no ICU: order by bytes here, names are sorted by the pages.
        *("--locale", "C", "--encoding", "UTF8", "--no-instructions"),
    )
    if made.returncode:
        raise PostgresError(f"initdb could not make {draft}: {made.stderr.strip()}")
    with (draft / "postgresql.conf").open("a") as file:
        file.write(CONFIGURATION)
    draft.rename(data / "cluster")


# The server.


async def connect(data: Path, port: int) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection as superuser, whose statements stay out of the server's log."""
    return await asyncpg.connect(
        host=HOST,
        port=port,
        user=SUPERUSER,
        password=(data / "superuser.password").read_text(),
        database="postgres",
        ssl=False,
        timeout=10,
        server_settings={"log_min_error_statement": "panic"},
    )


async def folder_served(data: Path, port: int) -> Path | None:
    """The folder of the server that answers on ``port``; ``None`` without answer."""
    for attempt in range(START_TIMEOUT_S * 10):
        try:
            connection = await connect(data, port)
        except asyncpg.CannotConnectNowError:
            await asyncio.sleep(0.1)  # alive and still recovering
        except ConnectionRefusedError:
            if attempt > 50:
                return None
            await asyncio.sleep(0.1)  # perhaps alive and not yet listening
        except (OSError, asyncpg.PostgresError):
            return None
        else:
            try:
                return Path(await connection.fetchval("SHOW data_directory"))
            finally:
                await connection.close()
    return None


def program_at(process: str) -> str:
    """The name of the program that runs as this process number; empty when none."""
    if Path("/proc/self/comm").exists():  # a small container may have no ps
        try:
            return Path("/proc", process, "comm").read_text()
        except OSError:
            return ""
    return run("ps", "-p", process, "-o", "comm=").stdout


def live_port(data: Path) -> int | None:
    """The port of a server that already serves this folder, else ``None``.

    A starter that was killed leaves its server alive. Process numbers come back
    after a reboot, so the file alone proves nothing: the server has to answer.
    """
    record = data / "cluster" / "postmaster.pid"
    lines = record.read_text().splitlines() if record.exists() else []
    if len(lines) < 4:
        return None
    if "postgres" not in program_at(lines[0]):
        # The number went to another program, which would keep PostgreSQL from
        # starting when it runs under the same account.
        record.unlink(missing_ok=True)
        return None
    port = int(lines[3])
    served = asyncio.run(folder_served(data, port))
    if served and served.samefile(data / "cluster"):
        return port
    raise PostgresError(
        f"{record} names process {lines[0]}, a PostgreSQL that does not answer for"
        f" this folder on port {port}; stop that process, or remove the file when it"
        " belongs to another server."
    )


def is_free(port: int) -> bool:
    """Say whether a server may listen on ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def ports(data: Path) -> Iterator[int]:
    """Ports to try: the last one, the usual one, then what the system gives."""
    recorded = data / "port"
    if recorded.exists():
        yield int(recorded.read_text())
    yield USUAL_PORT
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            given: int = probe.getsockname()[1]
        yield given


def launch(data: Path, programs: Programs) -> int:
    """Start the server on the first free port and wait until it is ready."""
    log = data / "cluster" / "server.log"
    for port in ports(data):
        if not is_free(port):
            continue
        # Relative names, because pg_ctl hands them to a shell.
        started = run(
            *(programs.folder / "pg_ctl", "start", "--wait", "--pgdata", "cluster"),
            *("--timeout", str(START_TIMEOUT_S), "--log", "cluster/server.log"),
            *("--options", f"-p {port}"),
            cwd=data,
        )
        if started.returncode == 0:
            write_whole(data / "port", f"{port}\n")
            return port
        if is_free(port):  # so the port was not the trouble
            raise PostgresError(f"PostgreSQL did not start; {log} says why.")
    raise PostgresError("Found no free port for PostgreSQL.")


def start(data: Path, forced: Path | None = None) -> Server:
    """Give the server of ``data``: the one that runs, else a new one.

    Args:
        data: the data folder, made when missing.
        forced: take the programs in this folder and no others.

    Raises:
        PostgresError: this machine cannot, in one sentence.
    """
    data = data.resolve()
    with locked(data):
        programs = find_programs(data, forced)
        if not (data / "cluster").exists():
            make_cluster(data, programs)
        port = live_port(data) or launch(data, programs)
    return Server(HOST, port, programs.major, str(programs.folder), str(data))


def stop(data: Path, forced: Path | None = None) -> bool:
    """Stop the server of ``data``; ``False`` when none ran."""
    data = data.resolve()
    if not (data / "cluster").exists():
        return False
    with locked(data):
        if live_port(data) is None:
            return False
        programs = find_programs(data, forced)
        stopped = run(
            *(programs.folder / "pg_ctl", "stop", "--mode", "fast", "--wait"),
            *("--pgdata", "cluster", "--timeout", str(START_TIMEOUT_S)),
            cwd=data,
        )
    if stopped.returncode:
        raise PostgresError(f"PostgreSQL did not stop: {stopped.stderr.strip()}")
    return True


# A role and a database for each peer.


async def reach(server: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect to somebody's server; raises ``PostgresError`` in one sentence."""
    try:
        return await asyncpg.connect(server, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        place = urlsplit(server).netloc.rpartition("@")[2]
        raise PostgresError(f"PostgreSQL at {place}: {error}") from None


def create(data: Path, name: str, server: str | None = None) -> Database:
    """Make role ``name`` and a database of that name, when they are not there.

    Args:
        data: the data folder, which keeps the passwords.
        name: of both.
        server: address of another server and of a role that may create, without a
            password (libpq's password file has it); ``None``: the server of ``data``.

    Raises:
        PostgresError: no server runs here, or the name will not do.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise PostgresError(f"A database's name is a-z, 0-9 and _, not {name!r}.")
    data = data.resolve()
    with locked(data):
        port = None if server else live_port(data)
        if server:
            place = urlsplit(server).netloc.rpartition("@")[2]
        elif port is not None:
            place = f"{HOST}:{port}"
        else:
            raise PostgresError(f"No server runs on {data}; start it first.")
        folder = data / "passwords"
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / name).exists():
            write_whole(folder / name, secrets.token_urlsafe(32))
        password = (folder / name).read_text()
        superuser = reach(server) if server else connect(data, port or USUAL_PORT)
        asyncio.run(create_role(superuser, name, password))
    return Database(f"postgresql://{name}@{place}/{name}", str(folder / name))


async def create_role(
    superuser: "Awaitable[asyncpg.Connection[asyncpg.Record]]", name: str, password: str
) -> None:
    """Make role and database, and let nobody else connect to it."""
    connection = await superuser
    try:
        if not await connection.fetchval(
            "SELECT 1 FROM pg_roles WHERE rolname = $1", name
        ):
            await connection.execute(f"CREATE ROLE {name} LOGIN")
        # PostgreSQL takes no parameters here, so it quotes the word itself.
        order = await connection.fetchval(
            "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)",
            name,
            password,
        )
        await connection.execute(order)
        if not await connection.fetchval(
            "SELECT 1 FROM pg_database WHERE datname = $1", name
        ):
            await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
        await connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    finally:
        await connection.close()


# The command.


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m protocol.peer.postgres",
        description="A private PostgreSQL server, for a demo, a test or a trial.",
        epilog="INTERLETS_POSTGRES_BIN names the folder of PostgreSQL's programs.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, sentence in (
        ("start", "start the server, leave it running, print where it is"),
        ("stop", "stop the server"),
        ("create", "make a role and a database, print where they are"),
    ):
        one = verbs.add_parser(
            verb,
            help=sentence,
            description=f"{sentence.capitalize()}.",
            epilog=f"example: {parser.prog} {verb} --data /var/lib/interlets/trial"
            + (" oostende" if verb == "create" else ""),
        )
        one.add_argument("--data", type=Path, required=True, metavar="DIR")
    verbs.choices["create"].add_argument("name", metavar="NAME")
    verbs.choices["create"].add_argument(
        "--server", metavar="URL", help="another server than the one of DIR"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; answer in JSON, or in one sentence and 69."""
    options = parse(arguments)
    # The one look at the environment: this tool runs before any settings file exists.
    named = os.environ.get("INTERLETS_POSTGRES_BIN")  # noqa: TID251
    forced = Path(named) if named else None
    answer: Server | Database | dict[str, bool]
    try:
        match options.verb:
            case "start":
                answer = start(options.data, forced)
            case "stop":
                answer = {"stopped": stop(options.data, forced)}
            case _:
                answer = create(options.data, options.name, options.server)
    except PostgresError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNAVAILABLE
    sys.stdout.write(f"{msgspec.json.encode(answer).decode()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
