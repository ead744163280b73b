"""One real federation for all tests of this folder, and the table of kills."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import SplitResult, urlsplit, urlunsplit

import asyncpg
import pytest

from tests.federation.world import Federation

Deed = Callable[..., Awaitable[None]]

numbers = itertools.count()


class Databases(dict[str, tuple[str, pathlib.Path]]):
    """A database with a role of its own for each server that asks, by name."""

    def __init__(self, administrator: str, folder: pathlib.Path) -> None:
        super().__init__()
        self._administrator = administrator
        self._folder = folder
        self._made: list[str] = []

    def __missing__(self, server: str) -> tuple[str, pathlib.Path]:
        name = f"federation_{os.getpid()}_{next(numbers)}"
        password = secrets.token_hex()
        # Both words are our own, made of letters, digits and "_".
        self._execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{password}'",
            f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0",
        )
        self._made.append(name)
        file = self._folder / f"{name}.password"
        file.touch(mode=0o600)
        file.write_text(password)
        parts = urlsplit(self._administrator)
        place = f"{name}@{parts.hostname}:{parts.port}"
        self[server] = (f"postgresql://{place}/{name}", file)
        return self[server]

    def run(self, server: str, deed: Deed, *words: object) -> None:
        """Do something in a server's database, as nobody may who is not a test."""
        place = urlsplit(self[server][0]).path
        _run(urlsplit(self._administrator)._replace(path=place), deed, words)

    def _execute(self, *statements: str) -> None:
        async def execute(connection: asyncpg.Connection) -> None:
            for statement in statements:
                await connection.execute(statement)

        _run(urlsplit(self._administrator), execute, ())

    def drop(self) -> None:
        for name in self._made:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}")


def _run(place: SplitResult, deed: Deed, words: tuple[object, ...]) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(urlunsplit(place))
        try:
            await deed(connection, *words)
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Iterator[Databases]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interlets-databases-"))
    made = Databases(postgres_server, folder)
    try:
        yield made
    finally:
        made.drop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def founded(databases: Databases) -> Iterator[Federation]:
    """The federation, founded once for the whole run."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interlets-federation-"))
    federation = Federation(folder, databases)
    try:
        federation.found()
        yield federation
    finally:
        federation.close()
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


@pytest.fixture
def federation(founded: Federation) -> Federation:
    """The federation with everything running, whatever the test before has left."""
    founded.heal()
    return founded
