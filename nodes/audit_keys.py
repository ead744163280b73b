"""The accepted keys' part in a node's audit: only what a group really had can count.

Who accepted them is compared with the staff's acts, in ``nodes.audit_store``.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

from nodes import audit_store
from nodes.audit_store import AcceptedKeys
from protocol.address import FederationId
from protocol.directory import check_digits, keys_hash, read_entry
from protocol.errors import PeerError
from protocol.messages import DirectoryDecision, read_item
from protocol.peer import audit_store as peer_store
from protocol.peer.audit_store import Finding, StoredChange, Walk, finding
from protocol.peer.database import AnyConnection

NAME = "accepted_keys_were_the_groups"
TOLD = "All keys that people have accepted were once their group's, with those digits."
#: Entries are verified so many at a time; a page of the directory's history.
_CHANGES_AT_ONCE = 100

#: Group, hash of its keys, and their check digits.
_Keys = tuple[str, str, str]


def walk_of(federation: FederationId) -> Walk:
    """Give the walk over all accepted keys.

    Args:
        federation: the whole id.
    """

    async def walk(
        connection: AnyConnection,
    ) -> AsyncGenerator[tuple[float, list[Finding]]]:
        accepted = await audit_store.read_accepted(connection)
        # Nearly always there are none; then no entry is verified once more.
        groups = {one.group for one in accepted}
        changes = [
            one
            for one in (await peer_store.read_changes(connection) if groups else [])
            if one.group in groups
        ]
        had: set[_Keys] = set()
        for start in range(0, len(changes), _CHANGES_AT_ONCE):
            page = changes[start : start + _CHANGES_AT_ONCE]
            had |= await asyncio.to_thread(_keys_in, page, federation)
            yield start / len(changes), []
        yield 1.0, [found for one in accepted for found in _look_at(one, had)]

    return Walk(NAME, TOLD, walk)


def _keys_in(changes: Sequence[StoredChange], federation: FederationId) -> set[_Keys]:
    """Give the keys in entries that verify; others have a finding of their own."""
    had = set()
    for change in changes:
        decision = read_item(change.line)
        if not isinstance(decision, DirectoryDecision):
            continue
        try:
            entry = read_entry(decision.entry, federation)
        except PeerError:
            continue
        digits = check_digits(federation, entry).replace(" ", "")
        had.add((entry.group, keys_hash(entry), digits))
    return had


def _look_at(kept: AcceptedKeys, had: set[_Keys]) -> Iterator[Finding]:
    if (kept.group, kept.keys, kept.digits) not in had:
        found = f"keys {kept.keys}, digits {kept.digits}"
        expected = f"keys that {kept.group} had, and their digits"
        yield finding(NAME, "accepted_keys", kept.accepted_id, found, expected)
