"""A treasurer's commands about alarms and doubts: they ask the running node."""

import argparse
from collections.abc import Mapping

from nodes.commands.node import STAFF
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings


def list_alarms(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """List what people must look at, newest first."""
    path = f"/api/v1/group/alarms?page_size={chosen.most}"
    return ask(settings, STAFF, "GET", path)


def list_doubts(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """List signed statements that contradict each other, newest first."""
    path = f"/api/v1/group/doubts?page_size={chosen.most}"
    return ask(settings, STAFF, "GET", path)


def trust(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Say that people have looked, and trust the hub or a group again."""
    body = {"about": chosen.about, "reason": chosen.reason}
    return ask(settings, STAFF, "POST", "/api/v1/group/trust", body)


def accept_keys(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Say that a group's new keys were compared, by the digits that were read out."""
    body = {"group": chosen.group, "digits": chosen.digits, "reason": chosen.reason}
    return ask(settings, STAFF, "POST", "/api/v1/group/keys", body)
