"""The hub's commands about who its admins are, and their words on each other's acts.

Who is an admin is written here, on the hub's own machine, and nowhere over the network:
whoever can read the hub's settings may already do anything there. For the same reason
a command says in whose name it speaks, ``--as @ann``, and nobody checks it: what two
admins must agree on is kept by their own sign-ins, on pages and over the API
(docs/decisions/0053).
"""

import argparse
import asyncio
from collections.abc import Mapping

from clearing.commands.hub import STAFF
from clearing.consents import ADMIN, SCOPES, read_admins
from protocol.errors import InterletsError
from protocol.instant import Instant
from protocol.peer import access_store
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.own_server import Staff, ask
from protocol.peer.settings import Settings

_CONSENTS = "/api/v1/consents"


class NoAdminError(InterletsError):
    """Nobody of that name is an admin here; nothing was done."""


def speaker(chosen: argparse.Namespace) -> Staff:
    """Say in whose name a command speaks."""
    return Staff(chosen.speaker, SCOPES)


def list_admins(
    settings: Settings, _chosen: argparse.Namespace
) -> Mapping[str, object]:
    """List who the regional admins are."""
    return asyncio.run(_list(settings))


async def _list(settings: Settings) -> Mapping[str, object]:
    database = await Database.open(settings.database)
    try:
        async with database.desk.acquire() as connection:
            admins = await read_admins(connection, _now(settings))
    finally:
        await database.close()
    return {"admins": sorted(admins.names.values()), "must_agree": admins.are_two}


def add(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let somebody be a regional admin too; shows her link, once."""
    return asyncio.run(_add(settings, _read_name(chosen.person)))


async def _add(settings: Settings, name: str) -> Mapping[str, object]:
    database = await Database.open(settings.database)
    try:
        async with database.desk.acquire() as connection, connection.transaction():
            now = _now(settings)
            code = await access_store.invite_person(connection, name, SCOPES, now)
            await access_store.give_role(connection, name, ADMIN, now)
    finally:
        await database.close()
    return {"admin": name, "sign_in": f"{settings.server.public_url}/welcome#{code}"}


def remove(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let somebody be a regional admin no more; her words count no more either."""
    return asyncio.run(_remove(settings, _read_name(chosen.person)))


async def _remove(settings: Settings, name: str) -> Mapping[str, object]:
    database = await Database.open(settings.database)
    try:
        async with database.desk.acquire() as connection, connection.transaction():
            now = _now(settings)
            admins = await read_admins(connection, now)
            found = [one for one, named in admins.names.items() if named == name]
            if not found or not admins.are_two:
                raise NoAdminError(
                    f"{name} is not an admin here, or is the only one; nothing was done"
                )
            await access_store.remove_person(connection, found[0], now)
            left = await read_admins(connection, now)
    finally:
        await database.close()
    return {"admins": sorted(left.names.values()), "must_agree": left.are_two}


def list_consents(
    settings: Settings, _chosen: argparse.Namespace
) -> Mapping[str, object]:
    """List what waits for another admin's word, or did."""
    return ask(settings, STAFF, "GET", _CONSENTS)


def give(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Give what another admin asked one's word."""
    path = f"{_CONSENTS}/{chosen.number}/give"
    return ask(settings, speaker(chosen), "POST", path)


def withdraw(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Take back what was asked, or say no to it."""
    path = f"{_CONSENTS}/{chosen.number}/withdraw"
    return ask(settings, speaker(chosen), "POST", path)


def _read_name(name: str) -> str:
    """Read an admin's name: no group or member is called so."""
    rest = name.removeprefix("@")
    is_plain = rest.isascii() and rest.replace("-", "").isalnum() and rest.islower()
    if not name.startswith("@") or not is_plain or len(rest) > 32:
        raise NoAdminError(f"{name!r}: an admin's name is like @ann; nothing was done")
    return name


def _now(settings: Settings) -> Instant:
    return Clock(settings.test.clock_offset_ms).now()
