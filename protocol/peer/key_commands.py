"""The verbs ``keys show`` and ``keys check``, the same at hub and node.

Neither shows a private key, and what is typed for ``check`` is kept nowhere.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from protocol.address import FederationId
from protocol.keyring import SigningKey, key_id
from protocol.peer.command_line import FoundError, add_verb
from protocol.peer.database import AnyConnection, Database
from protocol.peer.key_files import WORDS, load_keys, read_sheet
from protocol.peer.settings import Settings


class PublicKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The public keys that others know of a server, and who it is.

    Attributes:
        name: ``hub``, or the group.
        federation: whole id.
        keys: by use: signing, sealing, recovery.
        digits: to compare by telephone, where there are any.
    """

    name: str
    federation: FederationId
    keys: Mapping[str, bytes]
    digits: str | None = None


#: Reads a server's public keys; raises when it has none yet.
ReadPublic = Callable[[AnyConnection], Awaitable[PublicKeys]]
#: Says where a server's private keys are.
FindFolder = Callable[[Settings], Path]


def add_verbs(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    program: str,
    read: ReadPublic,
    folder: FindFolder,
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Add both verbs to a program's; gives where more about keys may be added."""

    def show(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
        return _show(asyncio.run(_read(settings, read)), folder(settings))

    def check(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
        return _check(asyncio.run(_read(settings, read)))

    keys = verbs.add_parser("keys", help="this server's keys")
    kinds = keys.add_subparsers(required=True, metavar="VERB")
    add_verb(
        kinds,
        "show",
        show,
        "show the ids of this server's keys, and whether the key files are theirs",
        f"{program} keys show --config server.toml",
    )
    add_verb(
        kinds,
        "check",
        check,
        "check a recovery sheet, typed at the prompt or on standard input; nothing of "
        "it is kept; exit code 1 when it is another key's",
        f"{program} keys check --config server.toml",
    )
    return kinds


async def _read(settings: Settings, read: ReadPublic) -> PublicKeys:
    database = await Database.open(settings.database)
    try:
        async with database.readers.acquire() as connection:
            return await read(connection)
    finally:
        await database.close()


def _show(known: PublicKeys, folder: Path) -> Mapping[str, object]:
    """Show the ids of the keys that others know, beside those in the files."""
    answer: dict[str, object] = {"server": known.name, "federation": known.federation}
    answer |= {use: key_id(public) for use, public in known.keys.items()}
    if known.digits is not None:
        answer["digits"] = known.digits
    private = load_keys(folder)
    found = {"signing": [*private.all_signing()], "sealing": [*private.all_sealing()]}
    wrong = [use for use, kids in found.items() if key_id(known.keys[use]) not in kids]
    if wrong:
        told = ", ".join(f"{use} {' '.join(found[use])}" for use in wrong)
        raise FoundError({**answer, "files": f"other keys: {told}"})
    return {**answer, "files": "the same keys"}


def _check(known: PublicKeys) -> Mapping[str, object]:
    """Say whether a sheet is of the recovery key that others know."""
    public = type_sheet().public
    answer = {"server": known.name, "recovery": key_id(known.keys["recovery"])}
    if not secrets.compare_digest(public, known.keys["recovery"]):
        told = f"no: it is {key_id(public)}, the recovery key of another server"
        raise FoundError({**answer, "sheet": told})
    return {**answer, "sheet": "yes, it is this server's recovery key; keep it safe"}


def type_sheet() -> SigningKey:
    """Read a recovery sheet as it is typed, never from the command line.

    Raises:
        MalformedMessageError: it cannot be one; nothing of it is shown.
    """
    if sys.stdin.isatty():
        sys.stderr.write(
            f"Type the recovery sheet's {WORDS} words on one line; the first four "
            "letters of each are enough: "
        )
        sys.stderr.flush()
        typed = sys.stdin.readline()
    else:
        typed = sys.stdin.read()
    return SigningKey(read_sheet(typed))
