"""The node's commands about unit and rate: each asks the running server."""

import argparse
from collections.abc import Mapping
from typing import Any

from nodes.commands.node import STAFF
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings

_PATH = "/api/v1/group/proposal"
_WISHES = ("per_hour", "name", "unit", "plural", "symbol")


def show(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show unit and rate, and what was asked of the hub."""
    return _told(ask(settings, STAFF, "GET", _PATH))


def list_units(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
    """List every unit and rate that the group has had, oldest first."""
    answer: Mapping[str, Any] = ask(settings, STAFF, "GET", "/api/v1/group/units")
    return {
        f"version {one['version']}": {
            "since": one["since"],
            "units_per_hour": one["rate"]["per_hour"],
            "minutes_per_unit": one["rate"]["minutes_per_unit"],
            "unit": one["unit"]["name"],
            "name": one["name"],
        }
        for one in answer["units"]
    }


def change(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Ask the hub for another rate or other words; the regional admin decides."""
    given = {name: getattr(chosen, name) for name in _WISHES}
    wish = {name: value for name, value in given.items() if value is not None}
    return _told(ask(settings, STAFF, "POST", _PATH, wish))


def _told(answer: Mapping[str, Any]) -> Mapping[str, object]:
    proposal = answer["proposal"]
    told: object = "none"
    if proposal is not None:
        told = {
            "number": proposal["number"],
            "state": proposal["state"],
            "units_per_hour": proposal["rate"]["per_hour"],
            "minutes_per_unit": proposal["rate"]["minutes_per_unit"],
            "unit": proposal["unit"]["name"],
            "name": proposal["name"],
            "at": proposal["at"],
        }
    return {
        "group": answer["group"],
        "name": answer["name"],
        "unit": answer["unit"],
        "rate": {
            "units_per_hour": answer["rate"]["per_hour"],
            "minutes_per_unit": answer["rate"]["minutes_per_unit"],
            "version": answer["rate"]["version"],
        },
        "proposal": told,
    }
