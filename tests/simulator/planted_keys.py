"""Planted bugs of keys that change: who signs too early, too late, with the wrong one.

Importing this module adds them to those of ``planted``. What finds them is in
``key_watch``.
"""

import hashlib
from typing import Any

import msgspec

from protocol.keyring import SigningKey
from protocol.peer.key_files import KeyPair
from protocol.sealing import SealingKey
from tests.simulator.planted import _bug as bug

_replace = msgspec.structs.replace


@bug(
    "key-change-mid-envelope",
    "A change of keys is sealed and taken with other items behind it.",
    "nodes.rules:sealable_to",
    "clearing.rules:decide_key_change",
)
def _mid_envelope(right: Any) -> Any:
    def wrong(first: Any, second: Any, *now: Any) -> Any:
        if now:
            return right(first, _replace(second, is_last=True), *now)
        until = right(first, second)
        return None if until else until

    return wrong


@bug(
    "old-key-still-counts",
    "A cover counts under any key that its sender ever had.",
    "protocol.peer.batch:Batch._is_current",
)
def _old_key_counts(right: Any) -> Any:
    return lambda batch, arrival: True


@bug(
    "old-key-behind-its-end",
    "An envelope by the old key counts behind the one that ended it, in one body.",
    "protocol.peer.batch:_up_to_new_keys",
)
def _behind_its_end(right: Any) -> Any:
    return lambda envelopes, taken: envelopes


@bug(
    "keys-change-at-will",
    "A group's signing key names another as often as it likes.",
    "clearing.rules.keys:_may_change",
)
def _at_will(right: Any) -> Any:
    return lambda record, signed, now: True


@bug(
    "key-by-kid-only",
    "A key is looked up by its id, and not by the item's number.",
    "protocol.envelope:check_in_force",
)
def _kid_only(right: Any) -> Any:
    return lambda period, number: None


@bug(
    "key-not-durable",
    "New keys are named to the hub before they are on disk.",
    "nodes.key_changes:KeyChanges._new_pair",
)
def _not_durable(right: Any) -> Any:
    async def wrong(changes: Any) -> Any:
        moment = f"{changes._house.own} at {changes._clerk._clock.now()}"
        first, second = (
            hashlib.sha256(f"{use} of {moment}".encode()).digest() for use in "ab"
        )
        return KeyPair(SigningKey(first), SealingKey(second))

    return wrong


@bug(
    "seals-behind-change",
    "A node seals on under its old key while its new ones wait.",
    "nodes.rules:sealable_to",
)
def _seals_on(right: Any) -> Any:
    return lambda renewal, number: None


@bug(
    "one-key-only",
    "A node that is not heard never tries another of its keys.",
    "nodes.house:NodeHouse.not_heard",
)
def _one_key(right: Any) -> Any:
    return lambda house, kid: True


@bug(
    "old-box-not-opened",
    "What was sealed for a former sealing key is not opened any more.",
    "nodes.house:rules.open_content",
)
def _old_box(right: Any) -> Any:
    def wrong(view: Any, *rest: Any) -> Any:
        view.opens = {}
        return right(view, *rest)

    return wrong


@bug(
    "recovery-cuts-off",
    "A recovery ends the old key with what the hub took, not with what was sealed.",
    "clearing.rules:decide_recovery",
)
def _cuts_off(right: Any) -> Any:
    return lambda view, order, now: right(view, _replace(order, sent=0), now)
