"""What this node believes of the hub's log, and when it stops believing.

The log is compared outside, by ``nodes.log_watch``; here what came of it is made
durable. A belief only moves to a checkpoint that the watch has proved to continue
the one before. Distrust stays until people have looked: offers are refused with
``history-differs`` meanwhile (protocol, section 9).
"""

import msgspec

from nodes.rules.view import KeepBelief, KeepDistrust, NodeView
from protocol.effects import CallPeople, Effects
from protocol.messages import Checkpoint


class Believe(msgspec.Struct, frozen=True, kw_only=True):
    """The watch has proved a checkpoint, and decisions against it.

    Attributes:
        checkpoint: what is believed from now on.
        note: as the hub signed it.
        checked: number of the hub's item up to which every decision is in its log;
            ``None``: of a log that is closed, and not the one to name from now on.
    """

    checkpoint: Checkpoint
    note: str
    checked: int | None


class Distrust(msgspec.Struct, frozen=True, kw_only=True):
    """The hub, or another group, shows another history than ours.

    Attributes:
        told: what differs, for people.
        ours: what we believe, as it was signed.
        theirs: what contradicts it, as it was signed.
    """

    told: str
    ours: str
    theirs: str


def decide_belief(found: Believe) -> Effects:
    """Believe a newer checkpoint from now on."""
    kept = KeepBelief(found.checkpoint, found.note, found.checked)
    return Effects(None, (kept,))


def decide_distrust(view: NodeView, found: Distrust) -> Effects:
    """Keep both histories as proof, refuse offers from now on, call people; once."""
    if view.is_history_doubted:
        return Effects(None, ())
    kept = KeepDistrust(found.told, found.ours, found.theirs)
    return Effects(None, (kept, CallPeople("history", found.told)))
