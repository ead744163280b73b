"""What this node believes of the hub's log, and whom it doubts.

The log is compared outside, by ``nodes.watch.log_watch``; here what came of it is made
durable. A belief only moves to a checkpoint that the watch has proved to continue
the one before. Doubt stays until people have looked and say so: offers are refused
with ``history-differs`` meanwhile, all of them when the hub is doubted, else those of
the group whose word contradicts ours (protocol, section 9).
"""

from collections.abc import Sequence
from enum import Enum
from typing import assert_never

import msgspec

from nodes.rules.view import (
    Belief,
    KeepBelief,
    KeepCompared,
    KeepDistrust,
    KeepKeys,
    KeepTrust,
    NodeView,
)
from protocol.address import HUB, Group
from protocol.directory import check_digits, keys_hash
from protocol.effects import CallPeople, Effect, Effects

#: What alarms of this kind are about.
HISTORY = "history"


class Believe(msgspec.Struct, frozen=True, kw_only=True):
    """The watch has proved checkpoints, and what the hub said against them.

    Attributes:
        beliefs: what is believed from now on, each for its log.
        compared: number of the hub's item up to which everything was compared.
        told: what people must know of it, if anything.
    """

    beliefs: Sequence[Belief]
    compared: int
    told: str | None = None


class Distrust(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's statements contradict what we believe, or each other.

    Attributes:
        about: ``hub``, or the group whose word it is.
        told: what differs, for people.
        ours: what we believe, as it was signed.
        theirs: what contradicts it, as it was signed.
    """

    about: str
    told: str
    ours: str
    theirs: str


class TellPeople(msgspec.Struct, frozen=True):
    """The watch cannot do its work; nothing is proved of anybody."""

    told: str


class TrustAgain(msgspec.Struct, frozen=True, kw_only=True):
    """People have looked, and trust the hub or a group again; outcome: were doubts.

    Attributes:
        about: ``hub``, or a group.
        author: the person who says so.
        reason: in her words.
    """

    about: str
    author: str
    reason: str


class AcceptKeys(msgspec.Struct, frozen=True, kw_only=True):
    """People have compared a group's check digits; outcome: a ``KeysOutcome``.

    Attributes:
        group: whose keys.
        digits: as the group's treasurer read them out, without spaces.
        author: the person who says so.
        reason: in her words.
    """

    group: Group
    digits: str
    author: str
    reason: str


class KeysOutcome(Enum):
    """What came of comparing."""

    ACCEPTED = "accepted"
    DIFFER = "differ"
    NOTHING_WAITS = "nothing-waits"


TrustOrder = AcceptKeys | Believe | Distrust | TellPeople | TrustAgain


def decide_trust(view: NodeView, wanted: TrustOrder) -> Effects:
    """Make durable what the watch has found, or what people say of it."""
    match wanted:
        case Believe():
            return _believe(wanted)
        case Distrust():
            return _distrust(view, wanted)
        case TellPeople(told):
            return Effects(None, (CallPeople(HISTORY, told),))
        case TrustAgain():
            return _trust_again(view, wanted)
        case AcceptKeys():
            return _accept_keys(view, wanted)
        case _:
            assert_never(wanted)


def _believe(found: Believe) -> Effects:
    """Believe what was proved from now on."""
    wanted: list[Effect] = [KeepBelief(belief) for belief in found.beliefs]
    wanted.append(KeepCompared(found.compared))
    if found.told is not None:
        wanted.append(CallPeople(HISTORY, found.told))
    return Effects(None, wanted)


def _distrust(view: NodeView, found: Distrust) -> Effects:
    """Keep both statements as proof, refuse offers, call people; once."""
    if found.about in view.trust.doubted:
        return Effects(None, ())
    kept = KeepDistrust(found.about, found.told, found.ours, found.theirs)
    return Effects(None, (kept, CallPeople(HISTORY, found.told)))


def _trust_again(view: NodeView, wish: TrustAgain) -> Effects:
    """Take offers again; what the hub shows next is believed anew.

    What it said before is not compared again: it would only be doubted again.
    """
    if wish.about not in view.trust.doubted:
        return Effects(None, (), False)
    wanted: list[Effect] = [KeepTrust(wish.about, wish.author, wish.reason)]
    if wish.about == HUB:
        wanted.append(KeepCompared(view.links[HUB].taken))
    return Effects(None, wanted, True)


def _accept_keys(view: NodeView, wish: AcceptKeys) -> Effects:
    """Let a group's new keys count, if they are those that its treasurer read out.

    The digits are typed by hand, never taken from the page: who copies what the hub
    told has compared nothing.
    """
    if not view.awaits_comparing(wish.group):
        return Effects(None, (), KeysOutcome.NOTHING_WAITS)
    entry = view.directory[wish.group].entry
    if wish.digits != check_digits(view.federation, entry).replace(" ", ""):
        return Effects(None, (), KeysOutcome.DIFFER)
    kept = KeepKeys(wish.group, keys_hash(entry), wish.digits, wish.author, wish.reason)
    return Effects(None, (kept,), KeysOutcome.ACCEPTED)
