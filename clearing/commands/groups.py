"""The hub's commands about one group: each asks the running server.

Only the server's clerk writes the log, so a decision is asked for over its API.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import msgspec

from clearing.commands.admins import speaker
from clearing.commands.hub import STAFF, read_limits
from protocol.address import read_group, read_reason
from protocol.peer.command_line import DataError
from protocol.peer.own_server import ask
from protocol.peer.settings import Settings

_WARNING = "/api/v1/warning"


def show(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show a group: position, limits, rate, and what it asks for."""
    return _told(ask(settings, STAFF, "GET", _path(chosen)))


def approve(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Approve the proposal whose number was seen."""
    body = {"proposal": chosen.proposal}
    return _told(ask(settings, STAFF, "POST", f"{_path(chosen)}/approve", body))


def refuse(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Say no to the proposal whose number was seen."""
    body = {"proposal": chosen.proposal}
    return _told(ask(settings, STAFF, "POST", f"{_path(chosen)}/refuse", body))


def freeze(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let nothing new in or out of a group."""
    return _told(ask(settings, STAFF, "POST", f"{_path(chosen)}/freeze"))


def release(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let a frozen group trade again."""
    return _told(ask(settings, speaker(chosen), "POST", f"{_path(chosen)}/release"))


def leaving(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Have a group's position run off."""
    return _told(ask(settings, STAFF, "POST", f"{_path(chosen)}/leaving"))


def stay(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let a group that is leaving stay after all."""
    return _told(ask(settings, speaker(chosen), "POST", f"{_path(chosen)}/stay"))


def left(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Say that a group has left; what it leaves behind only when told so."""
    position: object = 0
    if chosen.with_debt:
        position = ask(settings, STAFF, "GET", _path(chosen))["position"]
    body, path = {"position": position}, f"{_path(chosen)}/left"
    return _told(ask(settings, speaker(chosen), "POST", path, body))


def limits(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Set the lowest and highest position, given in hours; or show who set them."""
    if chosen.history:
        return history(settings, chosen)
    if chosen.floor is None or chosen.ceiling is None:
        raise DataError("limits: expected --floor, --ceiling, --reason; or --history")
    floor, ceiling = read_limits(chosen.floor, chosen.ceiling)
    if chosen.reason is None:
        raise DataError("limits: expected --reason, which is kept beside the change")
    body: dict[str, object] = {
        "floor": floor,
        "ceiling": ceiling,
        "reason": read_reason(chosen.reason),
    }
    if chosen.even_outside:
        body["even_outside"] = True
    return _told(
        ask(settings, speaker(chosen), "POST", f"{_path(chosen)}/limits", body)
    )


def history(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show who changed a group's limits and caps, when and why, newest first."""
    path = f"{_path(chosen)}/limits?page_size={chosen.most}"
    changes = msgspec.convert(
        ask(settings, STAFF, "GET", path)["changes"], list[dict[str, object]]
    )
    return {str(one["number"]): _changed(one) for one in changes}


def _changed(change: Mapping[str, object]) -> Mapping[str, object]:
    """Tell of one change what it is about, and nothing else."""
    # The signature is for programs: they ask for the answer itself.
    return {
        name: value
        for name, value in change.items()
        if value is not None and name not in ("number", "signed")
    }


def warn(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Set from which share of a limit on people are warned; or show it."""
    if chosen.percent is None:
        return ask(settings, STAFF, "GET", _WARNING)
    if chosen.reason is None:
        raise DataError("warn: expected --reason beside --percent")
    body = {"percent": chosen.percent, "reason": read_reason(chosen.reason)}
    return ask(settings, STAFF, "POST", _WARNING, body)


def share_debt(settings: Settings, chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show what each group would take over of what one leaves; tell it, or decide."""
    path = f"{_path(chosen)}/shares"
    if chosen.decide is not None:
        body = {"plan": chosen.decide}
        return ask(settings, speaker(chosen), "POST", f"{path}/decide", body)
    if chosen.tell:
        return ask(settings, STAFF, "POST", f"{path}/tell", {"rule": chosen.rule})
    return ask(settings, STAFF, "GET", f"{path}?rule={chosen.rule}")


def sharing(settings: Settings, _chosen: argparse.Namespace) -> Mapping[str, object]:
    """Show the rule that groups agreed on, and what was shared by it."""
    return ask(settings, STAFF, "GET", "/api/v1/sharing")


def _path(chosen: argparse.Namespace) -> str:
    return f"/api/v1/groups/{read_group(chosen.group)}"


def _told(answer: Mapping[str, Any]) -> Mapping[str, object]:
    """Put what waits beside what is so now, on one line each."""
    unit, rate, proposal = answer["unit"], answer["rate"], answer["proposal"]
    told: object = "none"
    if proposal is not None:
        told = {
            "number": proposal["number"],
            "units_per_hour": proposal["rate"]["per_hour"],
            "instead_of": rate["per_hour"],
            "minutes_per_unit": proposal["rate"]["minutes_per_unit"],
            "instead_of_minutes": rate["minutes_per_unit"],
            "unit": proposal["unit"]["name"],
            "name": proposal["name"],
            "at": proposal["at"],
        }
    return {
        **answer,
        "unit": unit["name"],
        "rate": {
            "units_per_hour": rate["per_hour"],
            "minutes_per_unit": rate["minutes_per_unit"],
            "version": rate["version"],
        },
        "proposal": told,
    }
