"""What proves how a cycle was closed, put together from the hub's rows.

The hub gives the file and nobody has to believe it: whoever receives it verifies it
with ``protocol.cycle_file``. It says how much each group traded, and nothing of whom
with, for whom or for what.
"""

import asyncio

import msgspec

from clearing import cycle_store, desk_store
from clearing.evidence import Evidence, read_leaf_proof
from clearing.log_store import Identity
from clearing.rules import ClosedCycle, Statement
from protocol.address import FederationId, Group
from protocol.cycle_file import (
    CycleFile,
    CycleLine,
    complete_cycle_file,
    write_cycle_file,
)
from protocol.directory import keyring
from protocol.envelope import check_proof, prove
from protocol.errors import LedgerBrokenError, PeerError
from protocol.keyring import Keyring
from protocol.messages import Checkpoint, ItemProof
from protocol.peer.database import AnyConnection, Database
from protocol.peer.directory_history import DirectoryAt


class CycleFiles:
    """Puts cycle files together.

    Args:
        identity: who this hub is.
        evidence: knows directories of the past, and covers.
    """

    def __init__(self, identity: Identity, evidence: Evidence) -> None:
        self._identity = identity
        self._federation = FederationId(identity.federation)
        self._evidence = evidence

    async def write(
        self, connection: AnyConnection, closed: ClosedCycle
    ) -> tuple[bytes, Checkpoint]:
        """Write the file of a cycle that has ended, and say under which checkpoint.

        It is the one that most groups have signed of those over the cycle's end.

        Args:
            connection: of one view of the database.
            closed: which.

        Raises:
            LedgerBrokenError: what is stored does not prove it.
        """
        note, stated = await self._evidence.note_over(
            connection, closed.name.log, closed.name.number, ()
        )
        folded = await self._evidence.directory_at(connection, stated.version)
        kept = {
            one.group: one
            for one in await cycle_store.read_all_statements(connection, closed.cycle)
        }
        plans = await cycle_store.read_settlements(connection, closed.cycle)
        covers = await self._evidence.covers_of(connection, stated.short, folded)
        lines = [
            CycleLine(
                entry=record.line.decode(),
                statement=_line_of(kept.get(group)),
                answer=await _answer_of(connection, kept.get(group)),
                cover=covers.get(group),
            )
            for group, record in sorted(folded.directory.items())
        ]
        file = CycleFile(
            told=[],
            federation=self._federation,
            statement=self._identity.statement,
            checkpoint=note,
            decision=await read_leaf_proof(connection, stated, closed.name.number),
            groups=lines,
            excepted=list(plans[-1].excepted) if plans else [],
            targets=[],
            legs=[],
            bound=0,
        )
        try:
            # Each group's signature is verified once more: others have their turn.
            return await asyncio.to_thread(
                _complete, file, folded, self._federation
            ), stated.short
        except PeerError as error:
            told = f"cycle {closed.cycle} cannot be proved: {error}"
            raise LedgerBrokenError(told) from None

    async def keep_covers(self, database: Database, named: Checkpoint) -> None:
        """Keep who signed a file's checkpoint: the next file shows as many at least.

        Past the clerk, whom no file may hold up.
        """
        await self._evidence.keep_covers(database, named)


def _complete(file: CycleFile, folded: DirectoryAt, federation: FederationId) -> bytes:
    """Write the file, without answers under keys that its directory does not have yet.

    A group that changed its keys since and only then agreed has said so to the hub,
    but nobody could verify it with this checkpoint.
    """
    keys = keyring(folded.directory)
    proven = [
        msgspec.structs.replace(line, answer=None)
        if line.answer is not None and not _holds(line.answer, keys, federation, group)
        else line
        for group, line in zip(sorted(folded.directory), file.groups, strict=True)
    ]
    whole = msgspec.structs.replace(file, groups=proven)
    return write_cycle_file(complete_cycle_file(whole))


def _holds(
    answer: ItemProof, keys: Keyring, federation: FederationId, group: Group
) -> bool:
    try:
        check_proof(answer, keys, federation, group)
    except PeerError:
        return False
    return True


def _line_of(kept: Statement | None) -> str | None:
    return None if kept is None else kept.line.decode()


async def _answer_of(
    connection: AnyConnection, kept: Statement | None
) -> ItemProof | None:
    """Prove what a group said to its statement, from the envelope that it sealed."""
    if kept is None or kept.answer is None:
        return None
    envelope = await desk_store.read_envelope(connection, kept.group, "in", kept.answer)
    if envelope is None:
        raise LedgerBrokenError(f"cycle {kept.cycle}: the answer of {kept.group}")
    lines = await desk_store.read_lines(
        connection, kept.group, "in", envelope.first, envelope.count
    )
    place = kept.answer - envelope.first
    return prove(envelope.line_1.encode("ascii"), lines, [place])[0]
