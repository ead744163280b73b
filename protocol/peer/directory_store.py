"""The stored directory, and alarms for people; only writer of both tables."""

from collections.abc import Sequence

import msgspec

from protocol.address import FederationId
from protocol.directory import Directory, fold
from protocol.effects import CallPeople, Effect, SaveGroup
from protocol.errors import LedgerBrokenError
from protocol.instant import Instant, from_datetime, to_datetime
from protocol.messages import DirectoryDecision, read_item
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
#: Behind every alarm that is there.
NEWEST = 2**63 - 1


class Alarm(msgspec.Struct, frozen=True):
    """What no program may decide."""

    alarm_id: int
    at: Instant
    about: str
    told: str


async def read_lines(connection: AnyConnection) -> list[bytes]:
    """Give the lines of all directory decisions, oldest first."""
    return [row["line"] for row in await connection.fetch(_SQL["read_changes"])]


async def read_version(connection: AnyConnection) -> int:
    """Say how many directory decisions there are, as checkpoints name it."""
    version: int = await connection.fetchval(_SQL["read_version"])
    return version


async def read(connection: AnyConnection, federation: FederationId) -> Directory:
    """Fold the directory from its first decision on.

    Raises:
        LedgerBrokenError: a line that was taken once can no longer be read.
    """
    directory: Directory = {}
    for line in await read_lines(connection):
        decision = read_item(line)
        if not isinstance(decision, DirectoryDecision):
            raise LedgerBrokenError("directory_change: a line that is no decision")
        directory = fold(directory, decision, line, federation)
    return directory


async def write(
    connection: AnyConnection, effects: Sequence[Effect], now: Instant
) -> None:
    """Write a batch's directory decisions and alarms."""
    records = [effect.record for effect in effects if isinstance(effect, SaveGroup)]
    if records:
        await connection.execute(
            _SQL["insert_changes"],
            [record.entry.group for record in records],
            [record.line for record in records],
        )
    calls = [effect for effect in effects if isinstance(effect, CallPeople)]
    await write_alarms(connection, calls, now)


async def write_alarms(
    connection: AnyConnection, calls: Sequence[CallPeople], now: Instant
) -> None:
    """Keep what people must look at."""
    if calls:
        await connection.execute(
            _SQL["insert_alarms"],
            to_datetime(now),
            [call.about for call in calls],
            [call.text for call in calls],
        )


async def read_alarms(
    connection: AnyConnection, most: int, before: int = NEWEST
) -> list[Alarm]:
    """Give alarms before a number, newest first."""
    rows = await connection.fetch(_SQL["read_alarms"], most, before)
    return [
        Alarm(row["alarm_id"], from_datetime(row["at"]), row["about"], row["told"])
        for row in rows
    ]
