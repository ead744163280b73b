"""The witnesses' part in the hub's audit: each cover is its group's own word."""

import asyncio
from collections.abc import AsyncGenerator

from clearing import witness_store
from clearing.witness_store import StoredWitness
from protocol.address import FederationId, Group
from protocol.envelope import check_cover
from protocol.errors import PeerError
from protocol.keyring import Keyring
from protocol.messages import Checkpoint
from protocol.peer.audit_store import Finding, Walk, finding
from protocol.peer.database import AnyConnection

NAME = "witnesses_signed_what_they_saw"
TOLD = "Every cover that is kept is its group's, and names that checkpoint."
#: Verified together; a server that audits itself answers nobody meanwhile.
_AT_ONCE = 100


def walk_of(federation: FederationId, keyring: Keyring) -> Walk:
    """Give the walk through all covers that are kept."""

    async def walk(
        connection: AnyConnection,
    ) -> AsyncGenerator[tuple[float, list[Finding]]]:
        of, done = await witness_store.count_all(connection), 0
        found: list[Finding] = []
        async for row in witness_store.read_all(connection):
            done += 1
            found += _look_at(row, federation, keyring)
            if done % _AT_ONCE == 0 or done == of:
                yield done / of, found
                found = []
                await asyncio.sleep(0)

    return Walk(NAME, TOLD, walk)


def _look_at(
    row: StoredWitness, federation: FederationId, keyring: Keyring
) -> list[Finding]:
    key = f"{row.log}, {row.size}, {row.group}"
    expected = f"{row.group}'s word that it saw root {row.root}"
    if row.root is None:
        return [finding(NAME, "witness", key, "no such checkpoint", "one that we made")]
    try:
        cover = check_cover(row.cover, keyring, federation, Group(row.group))
    except PeerError as error:
        return [finding(NAME, "witness", key, error, expected)]
    if cover.checkpoint != Checkpoint(row.log, row.size, row.root):
        return [finding(NAME, "witness", key, cover.checkpoint, expected)]
    return []
