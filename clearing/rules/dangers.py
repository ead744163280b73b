"""Which acts of a regional admin are dangerous, and how they are written.

Dangerous is what cannot be taken back, what opens again what was closed for a reason,
and what lets a group owe or be owed far more. Freezing never is: it must be quick
(docs/decisions/0053 and 0060, with a table of all acts). To make an act dangerous,
name it in ``ACTS``, say when it is in ``is_dangerous``, and lead it to its rule in
``clearing.rules.consents``.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from clearing.rules.consent_records import Consent, ConsentState
from clearing.rules.groups import Limit, Release
from clearing.rules.inviting import Invite
from clearing.rules.leaving import DeclareLeft, Stay
from clearing.rules.lives import decisions_about
from clearing.rules.shares import ShareDebt
from clearing.rules.view import HubView
from protocol.address import Group
from protocol.directory import Directory
from protocol.instant import write_nullable
from protocol.messages import line_hash

DangerousAct = Release | Stay | DeclareLeft | Limit | ShareDebt | Invite

#: Under these names acts are kept and shown.
ACTS: Mapping[str, type[DangerousAct]] = {
    "release": Release,
    "stay": Stay,
    "left": DeclareLeft,
    "limits": Limit,
    "share": ShareDebt,
    "invite": Invite,
}


class GroupLimits(NamedTuple):
    """Lowest and highest position of a group, milliseconds."""

    floor: int
    ceiling: int


def is_dangerous(view: HubView, act: DangerousAct) -> bool:
    """Say whether an act needs another admin's word, where there is one.

    Limits do when either goes further than now, and more than twice as far as
    ``agreed_limits``: one admin who doubles again and again comes no further.
    """
    if not isinstance(act, Limit):
        return True
    record = view.directory.get(act.group)
    if record is None:
        return False
    agreed = agreed_limits(view, act.group)
    floor = min(record.floor, 2 * agreed.floor)
    ceiling = max(record.ceiling, 2 * agreed.ceiling)
    return act.floor < floor or act.ceiling > ceiling


def agreed_limits(view: HubView, group: Group) -> GroupLimits:
    """Give the narrowest that a group's limits were since two agreed on them.

    Or since it was admitted. What narrows counts whoever did it, so that it is not
    undone alone; what widens counts once two have agreed. Read from the decisions that
    everybody has, and from what is kept of consents.
    """
    record = view.directory[group]
    floor, ceiling = record.floor, record.ceiling
    agreed = _agreed_on(view, group)
    for decision in decisions_about(reversed(view.history), group):
        floor, ceiling = max(floor, decision.floor), min(ceiling, decision.ceiling)
        if (decision.at, decision.floor, decision.ceiling) in agreed:
            break
    return GroupLimits(floor, ceiling)


def _agreed_on(view: HubView, group: Group) -> set[tuple[str | None, int, int]]:
    """Name the decisions on limits that two admins agreed on: when, and which."""
    return {
        (write_nullable(kept.ended_at), act.floor, act.ceiling)
        for kept, act in done_acts(view)
        if isinstance(act, Limit) and act.group == group
    }


def done_acts(view: HubView) -> list[tuple[Consent, DangerousAct]]:
    """Give what was done with two admins' words, in the order of numbers."""
    return [
        (kept, read_act(kept.act))
        for _, kept in sorted(view.consents.items())
        if kept.state is ConsentState.DONE
    ]


def seen_of(directory: Directory, act: DangerousAct) -> str | None:
    """Name how the group stands that an act is about: its newest decision's hash.

    ``None`` for a group that is not there.
    """
    record = directory.get(act.group)
    return None if record is None else line_hash(record.line)


def fits(directory: Directory, kept: Consent) -> bool:
    """Say whether its group still stands as it did when an act was asked."""
    return kept.seen == seen_of(directory, read_act(kept.act))


def write_act(act: DangerousAct) -> str:
    """Write an act exactly, as it is kept and shown: its name, then its fields."""
    name = next(name for name, kind in ACTS.items() if type(act) is kind)
    return msgspec.json.encode({"act": name, **msgspec.structs.asdict(act)}).decode()


def read_act(text: str) -> DangerousAct:
    """Read what ``write_act`` wrote."""
    fields = msgspec.json.decode(text, type=dict[str, object])
    return msgspec.convert(fields, ACTS[str(fields.pop("act"))])
