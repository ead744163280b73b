"""A treasurer's commands about the group as it faces the hub."""

import argparse
from collections.abc import Mapping

import msgspec

from nodes.commands.node import STAFF
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings

_LEAVING = "/api/v1/group/leaving"
_WARNING = "/api/v1/group/warning"


def show_position(
    settings: Settings, _chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Show the position by the own ledger and by the hub's decisions, milliseconds."""
    told = dict(ask(settings, STAFF, "GET", "/api/v1/group/position"))
    if not told["waits_for"]:
        del told["waits_for"]
    return told


def show_leaving(
    settings: Settings, _chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Show how the group stands in the federation, and its wish to leave."""
    return ask(settings, STAFF, "GET", _LEAVING)


def leave(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Tell the hub that the group wishes to leave."""
    return ask(settings, STAFF, "POST", _LEAVING, {"reason": chosen.reason})


def warn(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show from which share of a limit on people are warned; or set it."""
    if chosen.percent is None:
        return ask(settings, STAFF, "GET", _WARNING)
    return ask(settings, STAFF, "POST", _WARNING, {"percent": chosen.percent})


def list_undecided(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """List what waits for the hub's decision, the first deadline first."""
    path = f"/api/v1/group/undecided?page_size={chosen.most}"
    page = ask(settings, STAFF, "GET", path)
    payments = msgspec.convert(page["payments"], list[dict[str, object]])
    return {str(one.pop("id")): one for one in payments}
