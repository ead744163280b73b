"""The hub's commands: what each verb does."""

import argparse
import asyncio
from collections.abc import Mapping

import msgspec

from clearing import app, invitations, limit_store, log_store, proposal_store
from clearing import audit as hub_audit
from clearing.consents import ADMIN, SCOPES, read_admins
from clearing.invitations import read_new_group
from clearing.log_store import Identity
from clearing.rules import Invite, Proposal
from protocol.address import HUB, FederationId, Group, federation_id, read_group
from protocol.directory import (
    Directory,
    check_digits,
    entry_key,
    namesakes,
    public_keys,
    read_hub_statement,
    sign_hub_statement,
    units_per_hour,
)
from protocol.errors import InterletsError
from protocol.instant import Instant, write_instant
from protocol.keyring import SigningKey, key_hash
from protocol.limit_warning import LimitWarning, warn
from protocol.link import Link
from protocol.messages import GroupEntry, HubStatement
from protocol.peer import access_store, directory_store, link_store, past_store
from protocol.peer import audit as audits
from protocol.peer.backup import Known, Subject
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.clock import Clock
from protocol.peer.command_line import DataError, confirm_sheet
from protocol.peer.database import AnyConnection, Database
from protocol.peer.key_commands import PublicKeys
from protocol.peer.key_files import (
    ServerKeys,
    ensure_keys,
    keep_sheet,
    new_recovery_key,
    take_sheet,
)
from protocol.peer.own_server import Staff, ask
from protocol.peer.runner import prepare_database, run
from protocol.peer.settings import Settings
from protocol.unit import HOUR, MILLISECONDS_MAX

#: No member can have this name, since no account begins with "@".
STAFF = Staff("@admin", SCOPES)


class AlreadyThereError(InterletsError):
    """What a verb would make is there already; nothing was changed."""


def serve(settings: Settings, _chosen: argparse.Namespace) -> None:
    """Serve until told to stop."""
    run(app.serve(settings))


def init(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make the federation: keys, root key on a sheet, first admin's link."""
    return asyncio.run(_init(settings, read_group(chosen.name)))


async def _init(settings: Settings, name: Group) -> Mapping[str, object]:
    database = await prepare_database(settings, app.MIGRATIONS)
    try:
        async with database.desk.acquire() as connection:
            identity = await log_store.read_identity(connection)
        if identity is None:
            identity = await _new_identity(settings, database, name)
        link = await _sign_in_link(settings, database)
        sheet = take_sheet(app.keys_folder(settings))
        if sheet is None:
            raise AlreadyThereError(
                f"this hub has its federation already, {identity.federation}; for a "
                "new link to sign in run: interlets-hub sign-in"
            )
    finally:
        await database.close()
    return {
        "federation": identity.federation,
        "recovery_sheet": sheet,
        "sign_in": link,
    }


async def _new_identity(
    settings: Settings, database: Database, name: Group
) -> Identity:
    """Make the federation; its root key is kept only until its sheet is shown."""
    root, sheet = new_recovery_key()
    confirm_sheet(sheet)
    folder = app.keys_folder(settings)
    keep_sheet(folder, sheet)
    identity = _make_identity(name, ensure_keys(folder), root)
    async with database.desk.acquire() as connection:
        await log_store.write_identity(connection, identity)
    return identity


def _make_identity(name: Group, keys: ServerKeys, root: SigningKey) -> Identity:
    federation = federation_id(name, key_hash(root.public))
    statement = HubStatement(
        v=1,
        federation=federation,
        version=1,
        name=name,
        keys=public_keys(keys.signing.public, keys.sealing.public, root.public),
    )
    signed = sign_hub_statement(statement, root)
    read_hub_statement(signed, federation)
    return Identity(federation, signed)


async def _sign_in_link(settings: Settings, database: Database) -> str:
    """Let the regional admin in, by a one-time link."""
    async with database.desk.acquire() as connection, connection.transaction():
        now = _now(settings)
        code = await access_store.invite_person(connection, *STAFF, now)
        await access_store.give_role(connection, STAFF.name, ADMIN, now)
    return f"{settings.server.public_url}/welcome#{code}"


def _now(settings: Settings) -> Instant:
    return Clock(settings.test.clock_offset_ms).now()


def sign_in(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make a new one-time link for the regional admin."""
    return asyncio.run(_sign_in(settings))


async def _sign_in(settings: Settings) -> Mapping[str, object]:
    database = await Database.open(settings.database)
    try:
        await _read_identity(database)
        return {"sign_in": await _sign_in_link(settings, database)}
    finally:
        await database.close()


async def _read_identity(database: Database) -> Identity:
    async with database.desk.acquire() as connection:
        return await _read_identity_on(connection)


async def _read_identity_on(connection: AnyConnection) -> Identity:
    identity = await log_store.read_identity(connection)
    if identity is None:
        raise app.NotInitialisedError(
            "this hub has no federation yet; run: interlets-hub init"
        )
    return identity


def audit(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Audit the hub's database, whether it serves or not."""

    async def read_plan(connection: AnyConnection) -> audits.MakePlan:
        return hub_audit.plan_of(await _read_identity_on(connection))

    answer = asyncio.run(audits.audit_alone(settings, read_plan))
    return audits.told(answer, as_json=chosen.json)


def subject(settings: Settings) -> Subject:
    """Say what a hub lets back up."""

    async def read(connection: AnyConnection) -> Known:
        identity = await _read_identity_on(connection)
        return Known(HUB, identity.federation, hub_audit.plan_of(identity))

    packages = [PEER_MIGRATIONS, app.MIGRATIONS]
    return Subject(app.MIGRATIONS[0], packages, app.keys_folder(settings), read)


async def read_public(connection: AnyConnection) -> PublicKeys:
    """Give the hub's public keys, as its root key signed them."""
    identity = await _read_identity_on(connection)
    federation = FederationId(identity.federation)
    stated = read_hub_statement(identity.statement, federation).keys
    return PublicKeys(
        name=HUB,
        federation=federation,
        keys={one.use: entry_key(stated, one.use) for one in stated},
    )


def list_groups(
    settings: Settings, _chosen: argparse.Namespace
) -> Mapping[str, object]:
    """List groups with their limits, hours, and the digits to compare by telephone."""
    return asyncio.run(_list_groups(settings))


async def _list_groups(settings: Settings) -> Mapping[str, object]:
    database = await Database.open(settings.database)
    try:
        identity = await _read_identity(database)
        federation = FederationId(identity.federation)
        async with database.readers.acquire() as connection:
            directory = await directory_store.read(connection, federation)
            proposals = await proposal_store.read_newest(connection, federation)
            links, _ = await link_store.read_links(connection, "")
            warnings = await _read_warnings(connection, directory, _now(settings))
    finally:
        await database.close()
    return {
        group: {
            "name": record.entry.name,
            **_shared(namesakes(directory, group)),
            "state": record.state,
            **_frozen(links.get(group)),
            "floor_hours": record.floor // HOUR,
            "ceiling_hours": record.ceiling // HOUR,
            "units_per_hour": _per_hour(record.entry),
            **warnings.get(group, {}),
            **_asked(proposals.get(group)),
            "digits": check_digits(federation, record.entry),
        }
        for group, record in sorted(directory.items())
    }


async def _read_warnings(
    connection: AnyConnection, directory: Directory, now: Instant
) -> dict[str, Mapping[str, object]]:
    """Say of whose limits something is worth a word."""
    percent = await limit_store.read_percent(connection)
    past = await past_store.read_past(connection, sorted(directory), now)
    found: dict[str, Mapping[str, object]] = {}
    for one in await limit_store.read_positions(connection):
        told = warn(*one[1:], percent, past.get(one.group))
        if told is not None:
            found[one.group] = {
                "warning": {
                    "position_hours": f"{one.position / HOUR:.2f}",
                    **_worded(told),
                }
            }
    return found


def _worded(told: LimitWarning) -> Mapping[str, object]:
    """Say what a warning is of, without what it does not know."""
    weeks = {} if told.weeks is None else {"weeks_left": told.weeks}
    return {
        "limit": told.limit,
        "kind": told.kind,
        "used_percent": told.used_percent,
        **weeks,
    }


def _shared(others: list[str]) -> Mapping[str, object]:
    """Warn of other groups that have the same name for people."""
    return {"same_name_as": others} if others else {}


def _frozen(link: Link | None) -> Mapping[str, object]:
    """Tell of a link that has frozen: its group then counts as frozen too."""
    if link is None or link.trouble is None:
        return {}
    return {"link": f"frozen: {link.trouble.value}"}


def _per_hour(entry: GroupEntry) -> str:
    return units_per_hour(entry.rates[-1].milliseconds, entry.unit.decimals)


def _asked(proposal: Proposal | None) -> Mapping[str, object]:
    """Say what waits for the regional admin: the rate that the group asks for."""
    if proposal is None or not proposal.is_waiting:
        return {}
    return {
        "asks_per_hour": _per_hour(proposal.entry),
        "in_proposal": proposal.number,
    }


def list_alarms(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """List what people must look at, newest first."""
    return ask(settings, STAFF, "GET", f"/api/v1/alarms?page_size={chosen.most}")


def invite(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make a one-time invitation for a group."""
    group = read_new_group(chosen.group)
    floor, ceiling = read_limits(chosen.floor, chosen.ceiling)
    order = Invite(group, floor, ceiling)
    made = asyncio.run(_invite(settings, order))
    if made is not None:
        return made
    # Where two must agree, only the server that runs can keep what is asked.
    staff, body = Staff(chosen.speaker, SCOPES), msgspec.structs.asdict(order)
    return ask(settings, staff, "POST", "/api/v1/invitations", body)


def read_limits(floor_hours: int, ceiling_hours: int) -> tuple[int, int]:
    """Read a group's limits, given in hours; gives milliseconds.

    Raises:
        DataError: no limits that a group could have.
    """
    floor, ceiling = _milliseconds(floor_hours), _milliseconds(ceiling_hours)
    if not floor <= 0 <= ceiling:
        raise DataError(
            f"limits: found {floor_hours} and {ceiling_hours} hours; "
            "expected a floor of 0 or lower and a ceiling of 0 or higher"
        )
    return floor, ceiling


def read_hours(hours: int) -> int:
    """Read how much a cap lets through in a month, hours; gives milliseconds.

    Raises:
        DataError: less than nothing, or more than any group can reach.
    """
    if hours < 0:
        raise DataError(f"cap: found {hours} hours; expected 0 or more")
    return _milliseconds(hours)


def _milliseconds(hours: int) -> int:
    milliseconds = hours * HOUR
    if abs(milliseconds) > MILLISECONDS_MAX:
        raise DataError(f"limits: {hours} hours is more than any group can reach")
    return milliseconds


async def _invite(settings: Settings, order: Invite) -> Mapping[str, object] | None:
    """Invite a group, whether the hub serves or not; ``None``: two must agree."""
    group, now = order.group, _now(settings)
    database = await Database.open(settings.database)
    try:
        identity = await _read_identity(database)
        async with database.desk.acquire() as connection:
            federation = FederationId(identity.federation)
            directory = await directory_store.read(connection, federation)
            if group in directory:
                raise AlreadyThereError(
                    f"a group {group} is there already, named "
                    f"{directory[group].entry.name}; names are given once"
                )
            if (await read_admins(connection, now)).are_two:
                return None
            invited = await invitations.invite(
                connection, federation, settings.server.public_url, order, now
            )
    finally:
        await database.close()
    return {"invitation": invited.link, "until": write_instant(invited.until)}
