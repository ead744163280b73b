"""The proofs' part in a node's audit: each leads from a decision to what was signed."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

from nodes import audit_store
from nodes.audit_store import StoredProof
from protocol.address import FederationId
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, read_checkpoint_of
from protocol.errors import PeerError
from protocol.merkle import HASH_LENGTH, root_from_path
from protocol.messages import HubStatement, TransferDecision, read_item
from protocol.peer.audit_pages import look_in_pages
from protocol.peer.audit_store import Finding, Walk, finding
from protocol.peer.database import AnyConnection

NAME = "proofs_lead_to_what_was_signed"
TOLD = "Every proof that is kept leads from its decision to a checkpoint of the hub's."
_ROWS_AT_ONCE = 500

#: Checkpoints that verify, and why others do not, by their notes.
_Read = dict[str, SignedCheckpoint | PeerError]


def walk_of(federation: FederationId, statement: HubStatement) -> Walk:
    """Give the walk over all proofs, and the checkpoints that they lead to.

    Args:
        federation: the whole id.
        statement: the hub's, with the keys that it had.
    """

    def look_at_page(page: list[StoredProof]) -> list[Finding]:
        # Many proofs lead to one checkpoint, and stand together.
        notes: _Read = {
            note: _read(note, federation, statement)
            for note in {row.note for row in page if row.note is not None}
        }
        return [one for row in page for one in _look_at(row, notes)]

    async def look(page: list[StoredProof]) -> list[Finding]:
        # In a thread, all of it is computing: people are answered meanwhile.
        return await asyncio.to_thread(look_at_page, page)

    async def walk(
        connection: AnyConnection,
    ) -> AsyncGenerator[tuple[float, list[Finding]]]:
        of = await audit_store.count_proofs(connection)
        async for done, found in look_in_pages(
            connection, audit_store.READ_PROOFS, (), _ROWS_AT_ONCE, StoredProof, look
        ):
            # Rows that fit nowhere are more than were counted.
            yield min(done / max(of, 1), 1.0), found

    return Walk(NAME, TOLD, walk)


def _read(
    note: str, federation: FederationId, statement: HubStatement
) -> SignedCheckpoint | PeerError:
    try:
        return read_checkpoint_of(note, federation, statement)
    except PeerError as error:
        return error


def _look_at(row: StoredProof, notes: _Read) -> Iterator[Finding]:
    if row.note is None:
        found = f"no checkpoint {row.log}, {row.size}"
        yield finding(NAME, "proof", row.id, found, "one that the hub signed")
        return
    signed, place = notes[row.note], f"{row.log}, {row.size}"
    if isinstance(signed, PeerError):
        expected = "a checkpoint as the hub signed it"
        yield finding(NAME, "proven_checkpoint", place, signed, expected)
        return
    if (signed.log, signed.size) != (row.log, row.size):
        expected = f"{signed.log}, {signed.size}"
        yield finding(NAME, "proven_checkpoint", place, place, expected)
        return
    if row.id is not None:
        yield from _look_at_path(row, signed)


def _look_at_path(row: StoredProof, signed: SignedCheckpoint) -> Iterator[Finding]:
    decision = None if row.line is None else read_item(row.line)
    if row.line is None or not isinstance(decision, TransferDecision):
        expected = "the item that decided it"
        yield finding(NAME, "proof", row.id, f"item {row.item}", expected)
        return
    if (decision.id, decision.log) != (row.id, row.log):
        found = f"item {row.item}, of {decision.id} in log {decision.log}"
        expected = f"the item that decided it in log {row.log}"
        yield finding(NAME, "proof", row.id, found, expected)
        return
    path = [
        row.path[step : step + HASH_LENGTH]
        for step in range(0, len(row.path), HASH_LENGTH)
    ]
    root = root_from_path(row.line, decision.number, row.size, path)
    led = "nowhere" if root is None else write_base64url(root)
    if led != signed.root:
        found, expected = f"a path to {led}", f"a path to {signed.root}"
        yield finding(NAME, "proof", row.id, found, expected)
    if (row.decided_log, row.decided_number) != (decision.log, decision.number):
        # Of a decision that repeated an earlier one, which is what is kept.
        return
    if row.decided_at != decision.at:
        found, expected = f"decided_at {row.decided_at}", f"decided_at {decision.at}"
        yield finding(NAME, "transfer", row.id, found, expected)
