"""The hub's commands about caps between two groups: each asks the running server."""

import argparse
from collections.abc import Mapping
from typing import Any

from clearing.commands.hub import STAFF, read_hours
from protocol.address import read_group, read_reason
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings

_CAPS = "/api/v1/caps"


def list_caps(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
    """List caps, and what of each is used in this month."""
    return _listed(ask(settings, STAFF, "GET", _CAPS))


def set_cap(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Cap what one group may pay another in a calendar month."""
    body = {
        "milliseconds": read_hours(chosen.hours),
        "reason": read_reason(chosen.reason),
    }
    return ask(settings, STAFF, "POST", _path(chosen), body)


def remove(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """End a cap; gives those that are left."""
    body = {"reason": read_reason(chosen.reason)}
    return _listed(ask(settings, STAFF, "POST", f"{_path(chosen)}/remove", body))


def _path(chosen: argparse.Namespace) -> str:
    return f"{_CAPS}/{read_group(chosen.payer)}/{read_group(chosen.payee)}"


def _listed(answer: Mapping[str, Any]) -> Mapping[str, object]:
    """Put one pair on a line."""
    return {
        f"{one.pop('payer_group')} to {one.pop('payee_group')}": one
        for one in answer["caps"]
    }
