"""A node's commands: what each verb does."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from nodes import app, member_store, staff
from nodes import audit as node_audit
from nodes.api.account import account_state
from nodes.commands.joining import Joining, Profile
from nodes.house import NodeHouse
from nodes.imports.members_csv import MemberLine, read_members
from protocol.address import FederationId, Group
from protocol.directory import check_digits, entry_key, rate_of_hour, read_entry
from protocol.errors import InterletsError
from protocol.joining import read_invitation
from protocol.messages import EntryUnit
from protocol.peer import access_store, directory_store, runner
from protocol.peer import audit as audits
from protocol.peer.backup import Known, Subject
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.clock import Clock
from protocol.peer.command_line import DataError, read_given
from protocol.peer.database import AnyConnection, Database
from protocol.peer.key_commands import PublicKeys
from protocol.peer.key_files import load_keys
from protocol.peer.own_server import Staff
from protocol.peer.runner import prepare_database
from protocol.peer.settings import Settings
from protocol.peer.web.routes import TREASURER
from protocol.unit import DECIMALS_MAX, PER_HOUR_MAX

#: No member can have this name, since no account begins with "@".
STAFF = Staff("@treasurer", staff.SCOPES[TREASURER])


class AlreadyThereError(InterletsError):
    """What a verb would make is there already; nothing was changed."""


def serve(settings: Settings, _chosen: argparse.Namespace) -> None:
    """Serve until told to stop."""
    runner.run(app.serve(settings))


def init(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make the tables, and the first treasurer's one-time link."""
    return asyncio.run(_init(settings))


async def _init(settings: Settings) -> Mapping[str, object]:
    database = await prepare_database(settings, app.MIGRATIONS)
    try:
        async with database.desk.acquire() as connection:
            if await access_store.read_person(connection, STAFF.name) is not None:
                raise AlreadyThereError(
                    "this node has its first treasurer already; for a new link run: "
                    "interlets-node sign-in"
                )
        return {"sign_in": await _sign_in_link(settings, database)}
    finally:
        await database.close()


async def _sign_in_link(settings: Settings, database: Database) -> str:
    """Let the treasurer in, by a one-time link."""
    now = Clock(settings.test.clock_offset_ms).now()
    async with database.desk.acquire() as connection, connection.transaction():
        return await staff.let_in(
            connection, STAFF.name, settings.server.public_url, now
        )


def sign_in(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make a new one-time link for the treasurer."""
    return asyncio.run(_sign_in(settings))


async def _sign_in(settings: Settings) -> Mapping[str, object]:
    database = await Database.open(settings.database)
    try:
        return {"sign_in": await _sign_in_link(settings, database)}
    finally:
        await database.close()


def join(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Join a federation by an invitation."""
    # A link given right here still works, but a file or "-" stays out of `ps`.
    given = chosen.invitation
    text = given if given.startswith(("http://", "https://")) else read_given(given)
    if not 1 <= chosen.per_hour <= PER_HOUR_MAX:
        raise DataError(f"--per-hour: found {chosen.per_hour}; expected 1 to 100000")
    if not 0 <= chosen.decimals <= DECIMALS_MAX:
        raise DataError(f"--decimals: found {chosen.decimals}; expected 0, 1 or 2")
    unit = EntryUnit(
        name=chosen.unit,
        plural=chosen.plural or chosen.unit,
        symbol=chosen.symbol or chosen.unit,
        decimals=chosen.decimals,
    )
    rate = rate_of_hour(chosen.per_hour, chosen.decimals)
    profile = Profile(name=chosen.name, unit=unit, rate=rate)
    joining = Joining(settings, read_invitation(text), profile)
    return asyncio.run(joining.run())


def import_members(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Add the members of a CSV file; those that are there stay as they are."""
    lines = read_members(read_given(chosen.file), chosen.file)
    return asyncio.run(_import_members(settings, lines))


async def _import_members(
    settings: Settings, lines: Sequence[MemberLine]
) -> Mapping[str, object]:
    database = await prepare_database(settings, app.MIGRATIONS)
    try:
        async with database.desk.acquire() as connection:
            joined = await app.read_membership(connection)
        house = NodeHouse(load_keys(app.keys_folder(settings)), joined)
        server = runner.build(settings, database, house, app.MIGRATIONS)
        added = await server.clerk.carry_out_alone([line.member for line in lines])
        await _add_people(database, lines)
    finally:
        await database.close()
    return {"added": added.count(True), "there_already": added.count(False)}


async def _add_people(database: Database, lines: Sequence[MemberLine]) -> None:
    """Let members sign in; one who has a password keeps it."""
    loop = asyncio.get_running_loop()
    async with database.desk.acquire() as connection:
        missing = [
            line
            for line in lines
            if await access_store.read_person(connection, line.member.account_id)
            is None
        ]
    with ThreadPoolExecutor() as pool:
        hashes = await asyncio.gather(
            *(
                loop.run_in_executor(pool, access_store.hash_password, line.password)
                for line in missing
            )
        )
    async with database.desk.acquire() as connection, connection.transaction():
        for line, password_hash in zip(missing, hashes, strict=True):
            account = line.member.account_id
            await access_store.add_person(connection, account, account, password_hash)


def audit(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Audit the node's database, whether it serves or not."""

    async def read_plan(connection: AnyConnection) -> audits.MakePlan:
        return node_audit.plan_of(await app.read_membership(connection))

    answer = asyncio.run(audits.audit_alone(settings, read_plan))
    return audits.told(answer, as_json=chosen.json)


def subject(settings: Settings) -> Subject:
    """Say what a node lets back up."""

    async def read(connection: AnyConnection) -> Known:
        joined = await app.read_membership(connection)
        return Known(joined.group, joined.federation, node_audit.plan_of(joined))

    packages = [PEER_MIGRATIONS, app.MIGRATIONS]
    return Subject(app.MIGRATIONS[0], packages, app.keys_folder(settings), read)


async def read_public(connection: AnyConnection) -> PublicKeys:
    """Give the group's public keys, as its newest entry names them."""
    joined = await app.read_membership(connection)
    federation = FederationId(joined.federation)
    record = (await directory_store.read(connection, federation)).get(
        Group(joined.group)
    )
    entry = record.entry if record else read_entry(joined.entry, federation)
    return PublicKeys(
        name=joined.group,
        federation=federation,
        keys={one.use: entry_key(entry.keys, one.use) for one in entry.keys},
        digits=check_digits(federation, entry),
    )


def list_members(
    settings: Settings, _chosen: argparse.Namespace
) -> Mapping[str, object]:
    """List members with their balances, minor units."""
    return asyncio.run(_list_members(settings))


async def _list_members(settings: Settings) -> Mapping[str, object]:
    database = await Database.open(settings.database)
    try:
        async with database.readers.acquire() as connection:
            await app.read_membership(connection)
            members = await member_store.read_members(connection)
    finally:
        await database.close()
    return {
        member.account.account_id: {
            "name": member.name,
            "balance": member.account.balance,
            "floor": member.account.floor,
            "ceiling": member.account.ceiling,
            "state": account_state(member.account),
        }
        for member in members
    }
