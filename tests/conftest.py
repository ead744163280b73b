"""One PostgreSQL for the whole run, and a fresh database for whoever asks."""

import contextlib
import itertools
import os
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from protocol.peer import postgres
from protocol.steps import Step
from tests import durations
from tests.federation import kills, rounds
from tests.simulator import figures

DatabaseMaker = Callable[[], Awaitable[str]]

numbers = itertools.count()

#: Memory as a folder, and what a whole run may need there.
_MEMORY = pathlib.Path("/dev/shm")
_MEMORY_FREE = 4 * 1024**3


def _where() -> pathlib.Path | None:
    """Say where databases of tests stand: in memory, if there is room.

    A run makes hundreds of them, and more than half of its time was a disk's. Nothing
    is lost by it: tests kill processes, never the machine, and a killed process loses
    no page of the system's.
    """
    try:
        free = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    return _MEMORY if free >= _MEMORY_FREE and os.access(_MEMORY, os.W_OK) else None


@contextlib.contextmanager
def reachable_folder() -> Iterator[pathlib.Path]:
    """A temporary folder in which PostgreSQL's account can work, also under root."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interlets-", dir=_where()))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def data_folder() -> Iterator[pathlib.Path]:
    """Where a test may let ``protocol.peer.postgres`` make a server of its own."""
    with reachable_folder() as folder:
        data = folder / "data"
        try:
            yield data
        finally:
            postgres.stop(data)


@pytest.fixture(scope="module")
def running_folder() -> Iterator[pathlib.Path]:
    """A data folder whose server runs, for tests that leave it running."""
    with reachable_folder() as folder:
        data = folder / "data"
        try:
            postgres.start(data)
            yield data
        finally:
            postgres.stop(data)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A superuser's address: INTERLETS_DATABASE_URL, else a server of our own.

    Our own keeps PostgreSQL's production settings, fsync too: a test that passes
    only without them proves nothing about a ledger.
    """
    if given := os.environ.get("INTERLETS_DATABASE_URL"):
        yield given
        return
    forced = os.environ.get("INTERLETS_POSTGRES_BIN")
    programs = pathlib.Path(forced) if forced else None
    with reachable_folder() as folder:
        data = folder / "data"
        try:
            server = postgres.start(data, programs)
            password = (data / "superuser.password").read_text()
            yield (
                f"postgresql://{postgres.SUPERUSER}:{password}"
                f"@{server.host}:{server.port}/postgres"
            )
        finally:
            postgres.stop(data, programs)


@contextlib.asynccontextmanager
async def database_maker(postgres_server: str) -> AsyncIterator[DatabaseMaker]:
    """A maker of empty databases; each call gives the address of another one."""
    made: list[str] = []
    administrator = await asyncpg.connect(postgres_server)

    async def make() -> str:
        name = f"test_{os.getpid()}_{next(numbers)}"
        # template0 has nobody connected, so that two runs never block each other.
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        made.append(name)
        return urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))

    try:
        yield make
    finally:
        for name in made:
            await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await administrator.close()


@pytest.fixture
async def new_database(postgres_server: str) -> AsyncIterator[DatabaseMaker]:
    """Databases of one test's own."""
    async with database_maker(postgres_server) as make:
        yield make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_database(postgres_server: str) -> AsyncIterator[DatabaseMaker]:
    """Databases that the tests of a module share; they run in the module's loop."""
    async with database_maker(postgres_server) as make:
        yield make


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a process of the run has seen to the one that tells of it."""
    if (seen := getattr(session.config, "workeroutput", None)) is not None:
        seen["kills"] = [(step.value, *rest) for step, *rest in kills.done]
        seen["rounds"] = [tuple(one) for one in rounds.done]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a process of a shared run has seen."""
    # One that died has nothing to hand over; the run fails by itself.
    seen = getattr(node, "workeroutput", {})
    kills.done.update((Step(step), *rest) for step, *rest in seen.get("kills", ()))
    rounds.done.extend(rounds.Round(*one) for one in seen.get("rounds", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for some in terminalreporter.stats.values() for one in some]
    sections = {
        "the files that took longest": durations.table(terminalreporter.stats),
        "simulated": figures.table(reports),
        "killed with -9 at durable steps": kills.table() if kills.done else [],
        "the last unit, wanted by many at once": rounds.table() if rounds.done else [],
    }
    for title, told in sections.items():
        if told:
            terminalreporter.section(title)
            for line in told:
                terminalreporter.write_line(line)
