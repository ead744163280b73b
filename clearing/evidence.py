"""What proves a cleared transfer, put together from the hub's rows.

The hub gives the proof and nobody has to believe it: whoever receives it verifies
it with ``protocol.receipt``. It holds no sealed line, so no name and no memo.
"""

from clearing import log_store
from clearing.log_store import Identity
from protocol.address import FederationId, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree, read_checkpoint
from protocol.directory import (
    Directory,
    entry_key,
    fold,
    read_hub_statement,
)
from protocol.envelope import VerifiedCover
from protocol.errors import LedgerBrokenError
from protocol.merkle import Tree
from protocol.messages import (
    Checkpoint,
    DirectoryDecision,
    ItemProof,
    TransferAnswer,
    TransferOffer,
    read_item,
)
from protocol.peer import directory_store, link_store, transfer_store
from protocol.peer.database import AnyConnection
from protocol.receipt import LeafProof, Receipt, Witness, with_words
from protocol.tiles import TileTree, nodes_of_path
from protocol.transfer import State, Transfer


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
        #: The directory as it was at the version that was asked for last.
        self._former: tuple[int, Directory] = (-1, {})

    def note_cover(self, cover: VerifiedCover) -> None:
        """Remember which checkpoint a group's newest cover names."""
        if cover.payload.checkpoint is not None:
            told = cover.line_1.decode("ascii")
            self._covers[cover.payload.from_] = (cover.payload.checkpoint, told)

    async def find(self, connection: AnyConnection, transfer_id: str) -> Receipt | None:
        """Give the receipt of a cleared transfer, without its content.

        Returns:
            ``None`` for an id that is not of a cleared transfer.
        """
        found = await transfer_store.read(connection, [transfer_id])
        transfer = found.get(transfer_id)
        if transfer is None or transfer.state is not State.CLEARED:
            return None
        assert transfer.log is not None and transfer.number is not None
        note, stated = await self._note_over(connection, transfer.log, transfer.number)
        directory = await self._directory_at(connection, stated.version)
        receipt = Receipt(
            told=[],
            federation=self._federation,
            statement=self._identity.statement,
            checkpoint=note,
            decision=await _decision(connection, stated, transfer.number),
            prepare=await _prepare(connection, transfer),
            accept=await _accept(connection, transfer),
            payer=_entry(directory, Group(transfer.payer_group)),
            payee=_entry(directory, Group(transfer.payee_group)),
            witnesses=self._witnesses(transfer, stated, directory),
            content=None,
        )
        return with_words(receipt)

    async def _note_over(
        self, connection: AnyConnection, log: str, number: int
    ) -> tuple[str, SignedCheckpoint]:
        """Give a signed checkpoint over a decision: one that others were shown too."""
        named = [
            one.size
            for one, _ in self._covers.values()
            if one.log == log and one.size > number
        ]
        size = max(named, key=lambda one: (named.count(one), one), default=0)
        note = await log_store.read_note(connection, log, size)
        if note is None:
            # A group named what we never signed: it is not ours to pass on.
            note = await log_store.read_note(connection, log, 0)
        if note is None:
            raise LedgerBrokenError(f"checkpoint: none of log {log}")
        return note, read_checkpoint(note, self._federation, self._public)

    async def _directory_at(self, connection: AnyConnection, version: int) -> Directory:
        """Fold the directory as it was after so many decisions."""
        if self._former[0] != version:
            directory: Directory = {}
            lines = await directory_store.read_lines(connection)
            for line in lines[:version]:
                decision = read_item(line)
                assert isinstance(decision, DirectoryDecision)
                directory = fold(directory, decision, line, self._federation)
            self._former = (version, directory)
        return self._former[1]

    def _witnesses(
        self, transfer: Transfer, stated: SignedCheckpoint, directory: Directory
    ) -> list[Witness]:
        parties = (transfer.payer_group, transfer.payee_group)
        return [
            Witness(entry=_entry(directory, Group(group)), cover=line_1)
            for group, (named, line_1) in sorted(self._covers.items())
            if named == stated.short and group not in parties and group in directory
        ]


async def _decision(
    connection: AnyConnection, stated: SignedCheckpoint, number: int
) -> LeafProof:
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


def _entry(directory: Directory, group: Group) -> LeafProof:
    names = sorted(directory)
    tree: Tree = directory_tree(directory)
    index = names.index(group)
    return LeafProof(
        line=directory[group].line.decode(),
        index=index,
        size=len(names),
        path=[write_base64url(step) for step in tree.path(index)],
    )
