"""What proves a cleared transfer, put together from the hub's rows.

The hub gives the proof and nobody has to believe it: whoever receives it verifies
it with ``protocol.receipt``. It holds no sealed line, so no name and no memo.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

import msgspec

from clearing import log_store, witness_store
from clearing.log_store import Identity
from protocol import strict_json
from protocol.address import FederationId, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import SignedCheckpoint, read_checkpoint
from protocol.directory import (
    entry_key,
    keyring,
    read_hub_statement,
)
from protocol.envelope import VerifiedCover, check_cover
from protocol.errors import LedgerBrokenError, PeerError
from protocol.messages import (
    Checkpoint,
    ItemProof,
    TransferAnswer,
    TransferOffer,
    read_item,
)
from protocol.peer import link_store, transfer_store
from protocol.peer.database import AnyConnection, Database
from protocol.peer.directory_history import DirectoryAt, DirectoryHistory
from protocol.peer.recent import Recent
from protocol.proof_file import LeafProof
from protocol.receipt import (
    RECEIPT_LENGTH_MAX,
    WITNESSES_MAX,
    Receipt,
    Witness,
    with_words,
    write_receipt,
)
from protocol.tiles import TileTree, nodes_of_path
from protocol.transfer import State, Transfer

#: A receipt's words, and the content that the member's node adds, need the rest.
_WITNESSES_UP_TO = RECEIPT_LENGTH_MAX - 64 * 1024
#: Of ``read_note``: the newest.
_NEWEST = 0
#: Checkpoints of which it is known whose covers are kept.
_STATED_KEPT = 64


class Evidence:
    """Puts receipts together, without content.

    Args:
        identity: who this hub is.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._federation = FederationId(identity.federation)
        statement = read_hub_statement(identity.statement, self._federation)
        self._public = entry_key(statement.keys, "signing")
        #: Each group's newest cover that names a checkpoint.
        self._covers: dict[str, tuple[Checkpoint, str]] = {}
        self._history = DirectoryHistory(self._federation)
        #: Whose covers are in the database, of checkpoints in receipts.
        self._kept: Recent[Checkpoint, frozenset[str]] = Recent(_STATED_KEPT)

    def note_cover(self, cover: VerifiedCover) -> None:
        """Remember which checkpoint a group's newest cover names."""
        if cover.payload.checkpoint is not None:
            told = cover.line_1.decode("ascii")
            self._covers[cover.payload.from_] = (cover.payload.checkpoint, told)

    async def find(
        self, connection: AnyConnection, transfer_id: str, *, has_witnesses: bool = True
    ) -> Receipt | None:
        """Give the receipt of a cleared transfer, without its content.

        Args:
            connection: of one view of the database.
            transfer_id: which.
            has_witnesses: with the covers of other groups that can be had.

        Returns:
            ``None`` for an id that is not of a cleared transfer, or of one that was
            cleared before this hub signed checkpoints.
        """
        found = await transfer_store.read(connection, [transfer_id])
        transfer = found.get(transfer_id)
        if transfer is None or transfer.state is not State.CLEARED:
            return None
        if transfer.answer_number is None:
            return None
        assert transfer.number is not None
        assert transfer.log is not None
        parties = (transfer.payer_group, transfer.payee_group)
        note, stated = await self.note_over(
            connection, transfer.log, transfer.number, parties
        )
        folded = await self._history.at(connection, stated.version)
        receipt = Receipt(
            told=[],
            federation=self._federation,
            statement=self._identity.statement,
            checkpoint=note,
            decision=await read_leaf_proof(connection, stated, transfer.number),
            prepare=await _prepare(connection, transfer),
            accept=await _accept(connection, transfer),
            payer=folded.entry(transfer.payer_group),
            payee=folded.entry(transfer.payee_group),
            witnesses=[],
            content=None,
        )
        if not has_witnesses:
            return await asyncio.to_thread(with_words, receipt)
        room = _WITNESSES_UP_TO - len(write_receipt(receipt))
        covers = await self.covers_of(connection, stated.short, folded)
        witnesses = _witnesses(transfer, covers, folded, room)
        receipt = msgspec.structs.replace(receipt, witnesses=witnesses)
        # A hundred signatures to verify: groups are answered meanwhile.
        return await asyncio.to_thread(with_words, receipt)

    async def keep_witnesses(self, database: Database, receipt: Receipt) -> None:
        """Keep the covers that name the checkpoint of a receipt, once.

        Only then, so that a poll writes nothing; and past the clerk, whom no
        receipt may hold up. A start of the hub forgets none of them.
        """
        stated = read_checkpoint(receipt.checkpoint, self._federation, self._public)
        if receipt.witnesses:
            await self.keep_covers(database, stated.short)

    async def keep_newest(self, database: Database) -> None:
        """Keep the covers that name what most groups have seen of the log.

        A log ends when the hub stops, and then nobody names it any more.
        """
        named = Counter(one for one, _ in self._covers.values())
        if not named:
            return
        sizes: defaultdict[str, list[int]] = defaultdict(list)
        for one in named:
            sizes[one.log].append(one.size)
        # What we never signed is not in question, however many name it.
        signed: set[Checkpoint] = set()
        async with database.readers.acquire() as connection:
            for log, some in sizes.items():
                signed |= await log_store.read_signed(connection, log, some)
        shown = named.keys() & signed
        best = max(shown, key=lambda one: (named[one], one.size), default=None)
        if best is not None:
            await self.keep_covers(database, best)

    async def keep_covers(self, database: Database, named: Checkpoint) -> None:
        """Keep the covers that name a checkpoint which somebody was given."""
        kept = self._kept.find(named) or frozenset()
        new = {
            group: cover
            for group, cover in self._naming(named).items()
            if group not in kept
        }
        if not new:
            return
        async with database.readers.acquire() as connection:
            note = await log_store.read_note(connection, named.log, named.size)
            if note is None:
                return
            stated = read_checkpoint(note, self._federation, self._public)
            folded = await self._history.at(connection, stated.version)
        covers = await asyncio.to_thread(
            _that_hold, new, named, folded, self._federation
        )
        if covers:
            async with database.desk.acquire() as connection:
                await witness_store.write(connection, named, covers)
            self._kept.keep(named, kept | covers.keys())

    async def directory_at(
        self, connection: AnyConnection, version: int
    ) -> DirectoryAt:
        """Fold the directory as it was after so many decisions."""
        return await self._history.at(connection, version)

    async def covers_of(
        self, connection: AnyConnection, named: Checkpoint, folded: DirectoryAt
    ) -> dict[str, str]:
        """Give the covers that name a checkpoint, by group, as far as they are known.

        Where nobody names it any more, or not yet, there are none. One under a key that
        the directory of then does not have proves nothing, and would spoil the file.

        Args:
            connection: of one view of the database.
            named: the checkpoint.
            folded: the directory that it states.
        """
        kept = await witness_store.read(connection, named.log, named.size)
        self._kept.keep(named, frozenset(kept))
        naming = self._naming(named)

        def hold() -> dict[str, str]:
            shown = _that_hold(naming, named, folded, self._federation)
            return shown | _that_hold(kept, named, folded, self._federation)

        return await asyncio.to_thread(hold)

    def _naming(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Give the newest covers that name a checkpoint, by group."""
        return {
            group: line_1
            for group, (named, line_1) in self._covers.items()
            if named == checkpoint
        }

    async def note_over(
        self, connection: AnyConnection, log: str, number: int, without: Collection[str]
    ) -> tuple[str, SignedCheckpoint]:
        """Give a signed checkpoint over a decision: one that others were shown too.

        Of two that as many were shown, one that is kept, so that few are; then the
        newest.

        Args:
            connection: of one view of the database.
            log: which.
            number: of the decision.
            without: groups that cannot be witnesses.

        Raises:
            LedgerBrokenError: nothing was signed of that log.
        """
        named: defaultdict[Checkpoint, set[str]] = defaultdict(set)
        for group, (one, _) in self._covers.items():
            if one.log == log and one.size > number and group not in without:
                named[one].add(group)
        # What a group names and we never signed takes no witness from a receipt.
        sizes = [one.size for one in named]
        signed = await log_store.read_signed(connection, log, sizes)
        shown = {one.size: groups for one, groups in named.items() if one in signed}
        kept = await witness_store.read_best(connection, log, number, without)
        if kept is not None:
            shown[kept[0]] = shown.get(kept[0], set()) | kept[1]
        size = max(
            shown,
            key=lambda one: (len(shown[one]), kept is not None and one == kept[0], one),
            default=_NEWEST,
        )
        note = await log_store.read_note(connection, log, size)
        if note is None:
            raise LedgerBrokenError(f"checkpoint: none of log {log}")
        return note, read_checkpoint(note, self._federation, self._public)


def _that_hold(
    covers: Mapping[str, str],
    named: Checkpoint,
    folded: DirectoryAt,
    federation: FederationId,
) -> dict[str, str]:
    """Give the covers that somebody can verify with a checkpoint's own directory."""
    keys = keyring(folded.directory)
    found: dict[str, str] = {}
    for group, line_1 in covers.items():
        with contextlib.suppress(PeerError):
            signed = check_cover(line_1, keys, federation, Group(group))
            if signed.checkpoint == named:
                found[group] = line_1
    return found


def _witnesses(
    transfer: Transfer, covers: Mapping[str, str], folded: DirectoryAt, room: int
) -> list[Witness]:
    """Give the groups that name a checkpoint, in name order while they fit."""
    parties = (transfer.payer_group, transfer.payee_group)
    witnesses: list[Witness] = []
    for group, line_1 in sorted(covers.items()):
        if group in parties or group not in folded.directory:
            continue
        witness = Witness(entry=folded.entry(group), cover=line_1)
        room -= len(strict_json.write(witness)) + len(",")
        if room < 0 or len(witnesses) == WITNESSES_MAX:
            break
        witnesses.append(witness)
    return witnesses


async def read_leaf_proof(
    connection: AnyConnection, stated: SignedCheckpoint, number: int
) -> LeafProof:
    """Prove that a decision stands in the log of a checkpoint."""
    tree = TileTree(stated.size, read_base64url(stated.root, "root"))
    tiles = {}
    for tile in tree.lacks(nodes_of_path(number, stated.size)):
        hashes = await log_store.read_tile(connection, stated.log, tile)
        tiles[tile] = b"".join(hashes)
    tree.add(tiles)
    lines = await log_store.read_leaves(connection, stated.log, number, number)
    return LeafProof(
        line=lines[0].decode(),
        index=number,
        size=stated.size,
        path=[write_base64url(step) for step in tree.path(number)],
    )


async def _prepare(connection: AnyConnection, transfer: Transfer) -> ItemProof:
    assert transfer.item_number is not None, "what was cleared had been offered"
    offer = await _sent(connection, transfer.payee_group, transfer.item_number)
    assert isinstance(offer, TransferOffer)
    return offer.proof


async def _accept(connection: AnyConnection, transfer: Transfer) -> ItemProof:
    assert transfer.answer_number is not None, "what was cleared had been answered"
    answer = await _sent(connection, transfer.payer_group, transfer.answer_number)
    assert isinstance(answer, TransferAnswer)
    return answer.proof


async def _sent(connection: AnyConnection, peer: str, number: int) -> object:
    line = await link_store.read_sent_line(connection, peer, number)
    return None if line is None else read_item(line)
