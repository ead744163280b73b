"""One PostgreSQL for the whole run, and a fresh database for whoever asks."""

import contextlib
import itertools
import os
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from protocol.peer import postgres

DatabaseMaker = Callable[[], Awaitable[str]]

numbers = itertools.count()


@contextlib.contextmanager
def reachable_folder() -> Iterator[pathlib.Path]:
    """A temporary folder in which PostgreSQL's account can work, also under root."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interlets-"))
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
