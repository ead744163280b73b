"""The node's commands that give the group other keys."""

import argparse
import asyncio
import sys
from collections.abc import Mapping

from nodes import app, renewal_store
from nodes.commands.node import STAFF
from nodes.house import NodeHouse
from nodes.key_changes import is_believed, recovery_of
from nodes.recovery import ask_newest
from nodes.rules import NotRenewed, Renewal, signing_kid
from protocol.address import Group, read_reason
from protocol.directory import check_digits, entry_key, read_entry
from protocol.errors import InterletsError
from protocol.keyring import SigningKey
from protocol.messages import GroupEntry
from protocol.peer import runner
from protocol.peer.command_line import add_verb
from protocol.peer.database import Database
from protocol.peer.key_commands import type_sheet
from protocol.peer.key_files import add_keys, find_keys, new_seeds, pair_of
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings
from protocol.peer.steps import KillSwitch
from protocol.steps import Step

_PATH = "/api/v1/group/own-keys"


class NotRecoveredError(InterletsError):
    """Nothing was signed with the recovery key, and why."""


def add_verbs(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both verbs to ``keys``."""
    changed = add_verb(
        kinds,
        "change",
        change,
        "give the group new keys, named by its old one, at the running node",
        "interlets-node keys change --reason 'the machine was replaced' "
        "--config node.toml",
    )
    recovered = add_verb(
        kinds,
        "recover",
        recover,
        "give the group new keys by the recovery sheet, typed at the prompt or on "
        "standard input, beside the stopped node: where the key is lost or stolen",
        "interlets-node keys recover --reason 'the disk broke' --config node.toml",
    )
    recovered.add_argument(
        "--entry-of-hub",
        action="store_true",
        help="take the group's name, unit and rates as the hub tells them",
    )
    for one in (changed, recovered):
        one.add_argument("--reason", required=True, help="why; others may read it")


def change(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make new keys at the running server, which names them to the hub."""
    known = ask(settings, STAFF, "GET", _PATH)
    body = {"version": known["version"], "reason": chosen.reason}
    return _told(ask(settings, STAFF, "POST", _PATH, body))


def _told(answer: Mapping[str, object]) -> Mapping[str, object]:
    renewal = answer["renewal"]
    assert isinstance(renewal, dict), "new keys were just asked for"
    return {
        "group": answer["group"],
        "signing_now": answer["signing"],
        "signing_new": renewal["signing"],
        "state": renewal["state"],
        "at": renewal["at"],
    }


def recover(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let the recovery sheet name new keys; the server tells the hub when it starts."""
    reason = read_reason(chosen.reason)
    sheet = type_sheet()
    return asyncio.run(
        _recover(settings, sheet, reason, believes_hub=chosen.entry_of_hub)
    )


async def _recover(
    settings: Settings, sheet: SigningKey, reason: str, *, believes_hub: bool
) -> Mapping[str, object]:
    folder = app.keys_folder(settings)
    # Kept only once all is sure: keys that never count would stay for ever.
    seeds = new_seeds()
    pair = pair_of(seeds)
    database = await Database.open(settings.database)
    try:
        async with database.desk.acquire() as connection:
            joined = await app.read_membership(connection)
        told = await ask_newest(joined.hub_url, Group(joined.group))
        house = NodeHouse(
            find_keys(folder, pair), joined, lambda: find_keys(folder, pair)
        )
        if not believes_hub:
            await _check_told(database, house, told)
        base = read_entry(told, house.federation)
        if sheet.public != entry_key(base.keys, "recovery"):
            raise NotRecoveredError(
                f"this sheet is not the recovery sheet of {joined.group}; nothing was "
                "changed"
            )
        switch = KillSwitch(settings.test.kill_at)
        switch.reach(Step.NEW_KEYS, "before")
        add_keys(folder, seeds)
        switch.reach(Step.NEW_KEYS, "after")
        house.hold(pair)
        order = recovery_of(base, pair, sheet, reason)
        server = runner.build(settings, database, house, app.MIGRATIONS)
        [outcome] = await server.clerk.carry_out_alone([order])
    finally:
        await database.close()
    if isinstance(outcome, NotRenewed):
        raise NotRecoveredError(f"refused: {outcome.code}; nothing was changed")
    assert isinstance(outcome, Renewal)
    return _told_of(house, outcome.entry)


async def _check_told(database: Database, house: NodeHouse, told: str) -> None:
    """Check that the hub does not slip a rate in that the group never asked for."""
    async with database.desk.acquire() as connection:
        await house.load(connection, "")
        asked = await renewal_store.read_renewed(connection, house.federation, [told])
    if not is_believed(house, told, asked):
        entry = read_entry(told, house.federation)
        rates = ", ".join(str(rate.milliseconds) for rate in entry.rates)
        raise NotRecoveredError(
            "the hub knows another entry of this group than this server, and no key "
            f"known here has signed it: {entry.name}, {entry.unit.plural}, rates "
            f"{rates}. If that is right, give --entry-of-hub; nothing was changed"
        )


def _told_of(house: NodeHouse, entry: GroupEntry) -> Mapping[str, object]:
    sys.stderr.write("Start the node again: it tells the hub by itself.\n")
    return {
        "group": entry.group,
        "version": entry.version,
        "signing_new": signing_kid(entry),
        "digits": check_digits(house.federation, entry),
        "state": "waiting",
    }
