"""A treasurer's commands about who runs the group, and what they did."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from nodes.commands.node import STAFF
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings

_PEOPLE = "/api/v1/group/people"


def list_acts(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Tell who did what, newest first."""
    path = f"/api/v1/group/acts?page_size={chosen.most}"
    for name in ("about", "author"):
        value = getattr(chosen, name)
        if value is not None:
            path += f"&{name}={quote(value, safe='')}"
    page = ask(settings, STAFF, "GET", path)
    acts = msgspec.convert(page["acts"], list[dict[str, Any]])
    return {str(act.pop("number")): {**act.pop("details"), **act} for act in acts}


def list_people(
    settings: Settings, _chosen: argparse.Namespace
) -> Mapping[str, object]:
    """List who runs the group, by name."""
    answer = ask(settings, STAFF, "GET", _PEOPLE)
    people = msgspec.convert(answer["people"], list[dict[str, object]])
    return {str(person.pop("name")): person for person in people}


def invite(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let somebody run the group too; shows her link, once."""
    body = {"name": chosen.person, "role": chosen.role}
    return ask(settings, STAFF, "POST", _PEOPLE, body)


def remove(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let somebody run the group no more."""
    return ask(settings, STAFF, "DELETE", _path(chosen))


def end_sign_ins(
    settings: Settings, chosen: argparse.Namespace
) -> Mapping[str, object]:
    """Let what lets somebody in count no more."""
    path = f"{_path(chosen)}/sign-ins"
    if chosen.one is not None:
        path += f"/{quote(chosen.one, safe='')}"
    return ask(settings, STAFF, "DELETE", path)


def _path(chosen: argparse.Namespace) -> str:
    return f"{_PEOPLE}/{quote(chosen.person, safe='@')}"
