"""Backups of the servers of a test's federation, and servers restored from them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from clearing.commands import hub as hub_commands
from clearing.log_store import write_identity
from nodes.commands import node as node_commands
from protocol.address import HUB
from protocol.peer import backup
from protocol.peer.backup import Made, Subject
from protocol.peer.backup_file import Cost
from protocol.peer.key_files import ensure_keys
from protocol.peer.settings import (
    AuditSettings,
    CycleSettings,
    DatabaseSettings,
    LimitSettings,
    LogSettings,
    ServerSettings,
    Settings,
    SharingSettings,
    TrialSettings,
)
from tests.peer.federation import (
    Federation,
    NewDatabase,
    Server,
    federation,
    identity,
)

#: A guess costs next to nothing, so that tests are quick.
CHEAP = Cost(memory=8192, passes=1)
PASSPHRASE = "een lange zin van mij"


def settings_of(url: str, data: Path, public_url: str = "http://a.example") -> Settings:
    return Settings(
        server=ServerSettings(public_url=public_url, data=data),
        database=DatabaseSettings(url=url),
        log=LogSettings(),
        limits=LimitSettings(),
        audit=AuditSettings(),
        cycle=CycleSettings(),
        sharing=SharingSettings(),
        test=TrialSettings(),
    )


def subject_of(name: str, settings: Settings) -> Subject:
    house = hub_commands if name == HUB else node_commands
    return house.subject(settings)


class Machine:
    """A server's database and folder, as its operator's commands see them."""

    def __init__(self, name: str, url: str, data: Path) -> None:
        self.name = name
        self.url = url
        self.data = data
        self.settings = settings_of(url, data)

    def move_to(self, public_url: str) -> None:
        self.settings = settings_of(self.url, self.data, public_url)

    @property
    def subject(self) -> Subject:
        return subject_of(self.name, self.settings)

    async def back_up(self, path: Path, *, verify: bool | None = False) -> Made:
        ensure_keys(self.data / "keys")
        return await backup.back_up(
            self.settings,
            self.subject,
            path,
            PASSPHRASE,
            verify=verify,
            cost=CHEAP,
        )

    async def restore(
        self, path: Path, passphrase: str = PASSPHRASE, *, has_moved: bool = False
    ) -> Made:
        return await backup.restore(
            self.settings, self.subject, path, passphrase, has_moved=has_moved
        )


def machine_of(server: Server, folder: Path) -> Machine:
    name = str(server.house.own)
    return Machine(name, server.url, folder / f"data of {name}")


@asynccontextmanager
async def founded(new_database: NewDatabase) -> AsyncIterator[Federation]:
    """The usual federation; its hub's database knows which federation it is."""
    async with federation(new_database) as federated:
        async with federated.hub.database.desk.acquire() as connection:
            await write_identity(connection, identity())
        yield federated


async def replace(
    server: Server, path: Path, folder: Path, new_database: NewDatabase
) -> None:
    """Stop a server, and start it again on a new database restored from a backup."""
    await server.stop()
    machine = Machine(str(server.house.own), await new_database(), folder)
    await machine.restore(path)
    server.url = machine.url
    server.house = server.make_house()
    await server.start()


def is_restored(server: Server) -> bool:
    return server.clerk.restored is not None
