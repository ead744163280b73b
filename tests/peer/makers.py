"""Two groups in one federation, with real keys: for whoever tests hub or node.

Oostende counts in blussers of three minutes, Mechelen in ketjes of one minute, so
1 blusser costs a payer in Mechelen 3 ketjes.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from protocol import directory as directories
from protocol import envelope, messages
from protocol import key_change as key_changes
from protocol.address import FederationId, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.directory import Directory, public_keys
from protocol.effects import ArrivedItem, Effects, SendItem, View
from protocol.instant import Instant, read_instant
from protocol.link import Link
from tests.protocol.makers import (
    AT,
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    envelope_payload,
    life_of,
    sealing_key,
    signing_key,
)

NOW = read_instant(AT)
LOG = life_of("the hub's life")
RATES = {OOSTENDE: 180_000, MECHELEN: 60_000}
UNITS = {OOSTENDE: "blusser", MECHELEN: "ketje"}
OTHER_ID = "1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"


def later(ms: int) -> Instant:
    return Instant(NOW + ms)


def entry_of(
    group: Group,
    *rates: int,
    federation: FederationId = FEDERATION,
    keys_of: str | None = None,
    **changes: Any,
) -> messages.GroupEntry:
    """A group's entry; several rates are versions 1, 2, ..."""
    whose = keys_of or group
    unit = UNITS.get(group, "uur")
    milliseconds = rates or (RATES.get(group, 3_600_000),)
    fields: dict[str, Any] = {
        "v": 1,
        "federation": federation,
        "group": group,
        "version": len(milliseconds),
        "name": f"LETS {group.capitalize()}",
        "unit": messages.EntryUnit(unit, f"{unit}s", unit[:2], 0),
        "rates": [
            messages.EntryRate(version, ms)
            for version, ms in enumerate(milliseconds, start=1)
        ],
        "keys": public_keys(
            signing_key(whose).public,
            sealing_key(whose).public,
            signing_key(f"{whose} recovery").public,
        ),
    }
    return messages.GroupEntry(**(fields | changes))


def signed(entry: messages.GroupEntry, keys_of: str | None = None) -> str:
    return directories.sign_entry(entry, signing_key(keys_of or entry.group))


def directory_decision(
    entry: messages.GroupEntry, *, keys_of: str | None = None, **changes: Any
) -> messages.DirectoryDecision:
    fields: dict[str, Any] = {
        "log": LOG,
        "number": 0,
        "at": AT,
        "group": entry.group,
        "entry": signed(entry, keys_of),
        "state": "active",
        "floor": -(10**12),
        "ceiling": 10**12,
        "keys": [messages.KeySpan(signing_key(keys_of or entry.group).kid, 1, None)],
    }
    return messages.DirectoryDecision(**(fields | changes))


def next_keys(
    group: Group, whose: str, version: int = 2, **changes: Any
) -> messages.GroupEntry:
    """A group's next entry, with somebody's keys and nothing else that is new."""
    rates = (RATES.get(group, 3_600_000),)
    return entry_of(group, *rates, keys_of=whose, version=version, **changes)


def keys_decision(
    entry: messages.GroupEntry,
    signers: Sequence[str],
    lasts: Sequence[int],
    statement: str | None = None,
    /,
    **changes: Any,
) -> messages.KeysDecision:
    """A decision on a group that has had these signing keys, up to these items."""
    firsts = [1, *(last + 1 for last in lasts)]
    spans = [
        messages.KeySpan(signing_key(whose).kid, first, last)
        for whose, first, last in zip(signers, firsts, [*lasts, None], strict=True)
    ]
    fields: dict[str, Any] = {
        "log": LOG,
        "number": 0,
        "at": AT,
        "group": entry.group,
        "entry": signed(entry, signers[-1]),
        "state": "active",
        "floor": -(10**12),
        "ceiling": 10**12,
        "keys": spans,
        "former": [
            write_base64url(signing_key(whose).public) for whose in signers[:-1]
        ],
        "statement": statement,
    }
    return messages.KeysDecision(**(fields | changes))


def key_change(
    entry: messages.GroupEntry, last: int, by: str | None = None, **changes: Any
) -> str:
    """The old signing key's word for an entry's keys."""
    fields = _about(entry) | {"last": last} | changes
    change = messages.KeyChange(**fields)
    return key_changes.sign_key_change(change, signing_key(by or entry.group))


def recovery(entry: messages.GroupEntry, by: str | None = None, **changes: Any) -> str:
    """The recovery key's word for an entry's keys."""
    fields = _about(entry) | {"reason": "the server was stolen"} | changes
    said = messages.Recovery(**fields)
    signer = signing_key(by or f"{entry.group} recovery")
    return key_changes.sign_recovery(said, signer)


def _about(entry: messages.GroupEntry) -> dict[str, Any]:
    return {
        "v": 1,
        "federation": entry.federation,
        "group": entry.group,
        "version": entry.version,
        "keys": entry.keys,
    }


def directory_of(*entries: messages.GroupEntry) -> Directory:
    """The fold of one decision for each entry; without any, of both groups."""
    directory: Directory = {}
    for entry in entries or (entry_of(OOSTENDE), entry_of(MECHELEN)):
        decision = directory_decision(entry)
        line = messages.write_line(decision)
        directory = directories.fold(directory, decision, line, entry.federation)
    return directory


def in_state(directory: Directory, group: Group, state: str) -> Directory:
    changed = msgspec.structs.replace(directory[group], state=state)
    return {**directory, group: changed}


def compared(peer: str, life: str = LOG, **changes: Any) -> Link:
    """A link that has compared and on which nothing is outstanding."""
    fields: dict[str, Any] = {
        "peer": peer,
        "life": life,
        "lives": (life_of(peer),),
        "peer_life": life_of(peer),
        "is_named": True,
        "has_given": True,
    }
    return Link(**(fields | changes))


def not_compared(peer: str, life: str = LOG) -> Link:
    return Link(peer=peer, life=life)


def proof_of(
    line: bytes, signer: Group, *, key_of: str | None = None, **changes: Any
) -> messages.ItemProof:
    """A line's portable proof, from an envelope in which it is the second."""
    lines = [b'{"type":"transfer.cancel"}', line, b"{}"]
    payload = envelope_payload(lines, **{"from_": signer} | changes)
    line_1, _ = envelope.seal(payload, signing_key(key_of or signer))
    return envelope.prove(line_1, lines, [1])[0]


def arrival(
    peer: Group | str, item: messages.Item | bytes, *, number: int = 2, **more: Any
) -> ArrivedItem:
    """An item as the clerk hands it to a rule, proof and all."""
    line = item if isinstance(item, bytes) else messages.write_line(item)
    proof = None
    if peer != "hub":
        proof = proof_of(line, Group(peer), first=max(1, number - 1))
    return ArrivedItem(
        peer=peer,
        number=number,
        line=line,
        item=messages.read_item(line),
        proof=proof,
        **more,
    )


def carry_out(view: View, effects: Effects) -> Effects:
    """Let the view follow what was decided, as the clerk does."""
    for effect in effects.wanted:
        view.apply(effect)
    return effects


def sent(effects: Effects) -> list[tuple[str, messages.Item]]:
    """Whom each item goes to, in order, and what it says."""
    found: list[tuple[str, messages.Item]] = []
    for effect in effects.wanted:
        if isinstance(effect, SendItem):
            item = messages.read_item(effect.line)
            assert isinstance(item, messages.Item), "our own items can be read"
            found.append((effect.peer, item))
    return found


def of_kind(effects: Effects, kind: type) -> list[Any]:
    return [effect for effect in effects.wanted if isinstance(effect, kind)]


def flip(text: str) -> str:
    """Change base64url text in one bit that counts."""
    raw = bytearray(read_base64url(text, "text"))
    raw[-1] ^= 1
    return write_base64url(bytes(raw))


def sums(entries: Sequence[Any], unit_of: dict[str, str]) -> dict[str, int]:
    """What all postings of entries come to, by unit."""
    found: dict[str, int] = {}
    for entry in entries:
        for posting in entry.postings:
            unit = unit_of[posting.account_id]
            found[unit] = found.get(unit, 0) + posting.amount
    return found
