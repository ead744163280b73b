"""Where decisions stand in the hub's log; only the watch writes it.

A proof is small, for all else that a receipt needs is kept anyway: the items of the
link, the envelopes that carried them, the directory.
"""

from collections.abc import Sequence
from typing import NamedTuple

from protocol.merkle import HASH_LENGTH
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


class Proof(NamedTuple):
    """Where a decision stands in its log.

    Attributes:
        transfer_id: what was decided.
        item: number of the hub's item that carried the decision.
        log: where it is a leaf.
        size: of the log at the checkpoint that the path leads to.
        path: from the leaf up.
        note: the checkpoint, as the hub signed it.
    """

    transfer_id: str
    item: int
    log: str
    size: int
    path: Sequence[bytes]
    note: str


async def write(connection: AnyConnection, proofs: Sequence[Proof]) -> None:
    """Keep proofs and the checkpoints that they lead to."""
    notes = {(one.log, one.size): one.note for one in proofs}
    async with connection.transaction():
        await connection.execute(
            _SQL["insert_checkpoints"],
            [log for log, _ in notes],
            [size for _, size in notes],
            list(notes.values()),
        )
        await connection.execute(
            _SQL["insert_proofs"],
            [one.transfer_id for one in proofs],
            [one.item for one in proofs],
            [one.log for one in proofs],
            [one.size for one in proofs],
            [b"".join(one.path) for one in proofs],
        )


async def keep_note(connection: AnyConnection, log: str, size: int, note: str) -> None:
    """Keep a checkpoint that the hub no longer stands by, as it was signed."""
    await connection.execute(_SQL["insert_checkpoints"], [log], [size], [note])


async def read(connection: AnyConnection, transfer_id: str) -> Proof | None:
    """Give the proof of a transfer's decision, once the watch has checked it."""
    row = await connection.fetchrow(_SQL["read_proof"], transfer_id)
    if row is None:
        return None
    path, steps = row["path"], range(0, len(row["path"]), HASH_LENGTH)
    return Proof(
        transfer_id,
        row["item"],
        row["log"],
        row["size"],
        [path[step : step + HASH_LENGTH] for step in steps],
        row["note"],
    )
