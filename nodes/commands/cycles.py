"""A treasurer's commands about cycles and legs: they ask the running node."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from nodes.commands.node import STAFF
from protocol.peer.new_file import NewFile
from protocol.peer.own_server import ask, ask_file
from protocol.peer.settings import Settings


def list_cycles(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """List cycles, newest first, and what we have said to each."""
    path = f"/api/v1/group/cycles?page_size={chosen.most}"
    return ask(settings, STAFF, "GET", path)


def show(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show a cycle, and the first move that differs, if one does."""
    return ask(settings, STAFF, "GET", f"/api/v1/group/cycles/{chosen.cycle}")


#: What a cycle's statement may be written as, and what the API calls it.
STATEMENT_FORMATS = {"csv": "statement.csv", "camt053": "camt053.xml"}


def statement(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Write a cycle by our own ledger to a new file."""
    name = STATEMENT_FORMATS[chosen.format]
    path = f"/api/v1/group/cycles/{chosen.cycle}/{name}"
    raw = ask_file(settings, STAFF, path)
    with NewFile(Path(chosen.to)) as new:
        new.write(raw)
        new.sync()
        new.keep()
    return {"written": chosen.to}


def proof(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Say whether the hub's cycle file proves the cycle; write it if wanted."""
    path = f"/api/v1/group/cycles/{chosen.cycle}"
    if chosen.to is None:
        return ask(settings, STAFF, "GET", f"{path}/proof")
    raw = ask_file(settings, STAFF, f"{path}/file")
    with NewFile(Path(chosen.to)) as new:
        new.write(raw)
        new.sync()
        new.keep()
    return {"verdict": "proved", "written": chosen.to}


def check(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Look at our own ledger again, after something was mended."""
    path, body = f"/api/v1/group/cycles/{chosen.cycle}/check", _reason(chosen)
    return ask(settings, STAFF, "POST", path, body)


def list_legs(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """List what our group is to make good, or another to us, newest first."""
    path = f"/api/v1/group/legs?page_size={chosen.most}"
    return ask(settings, STAFF, "GET", path)


def shares(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """List what our group bears together with others, or is to, newest first."""
    path = f"/api/v1/group/shares?page_size={chosen.most}"
    return ask(settings, STAFF, "GET", path)


def paid(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Sign that our group has paid a leg."""
    path = f"/api/v1/group/legs/{chosen.leg}/paid"
    return ask(settings, STAFF, "POST", path, _reason(chosen))


def received(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Sign that our group has received a leg."""
    path = f"/api/v1/group/legs/{chosen.leg}/received"
    return ask(settings, STAFF, "POST", path, _reason(chosen))


def _reason(chosen: argparse.Namespace) -> dict[str, str]:
    return {"reason": chosen.reason}
