"""The hub's commands about cycles and legs: each asks the running server."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from clearing.commands.hub import STAFF
from protocol import strict_json
from protocol.peer.new_file import NewFile
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings


def list_cycles(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """List cycles that have ended, newest first, and which one is open."""
    return ask(settings, STAFF, "GET", f"/api/v1/cycles?page_size={chosen.most}")


def show(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show a cycle: who agreed, disputes or is silent; its legs; what they reached."""
    path = f"/api/v1/cycles/{chosen.cycle}"
    charge = ask(settings, STAFF, "GET", f"{path}/charge")
    if charge["is_open"]:
        # It has no statements yet; what it would cost if it ended now can be foreseen.
        return charge
    told = dict(ask(settings, STAFF, "GET", path))
    told["charge"] = charge["charge"]
    # So many as one answer may hold; the API gives the rest, and CSV all of them.
    stated = ask(settings, STAFF, "GET", f"{path}/statements?page_size=200")
    told["groups_stated"] = stated["statements"]
    told["legs"] = ask(settings, STAFF, "GET", f"{path}/legs")["legs"]
    standing = ask(settings, STAFF, "GET", f"{path}/standing")
    names = ("plans", "is_settled", "positions")
    told |= {name: standing[name] for name in names}
    # Whose word is waited for, and since when.
    told["legs_waiting"] = standing["waiting"]
    return told


def close(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """End the open cycle, by its number, so that asking twice ends it once."""
    return ask(settings, STAFF, "POST", f"/api/v1/cycles/{chosen.cycle}/close")


def settle(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make the legs that bring the newest cycle's positions to their targets."""
    path, named = f"/api/v1/cycles/{chosen.cycle}/settle", chosen.excepted or ""
    excepted = [name.strip() for name in named.split(",") if name.strip()]
    return ask(settings, STAFF, "POST", path, {"excepted": excepted})


def file(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Write the file that proves to anyone how a cycle was closed."""
    path = f"/api/v1/cycles/{chosen.cycle}/file"
    told = ask(settings, STAFF, "GET", path)
    with NewFile(Path(chosen.to)) as new:
        # The same bytes again: no spaces, fields in their order.
        new.write(strict_json.write(told) + b"\n")
        new.sync()
        new.keep()
    return {"written": chosen.to}


def cancel(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Call off a leg that not both groups have signed."""
    return ask(settings, STAFF, "POST", f"/api/v1/legs/{chosen.leg}/cancel")
