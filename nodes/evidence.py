"""What proves a decision, put together from this node's own rows.

So a member has her receipt also while the hub is away, or gone for good. Nothing here
is believed for being ours: whoever hands a receipt out proves it first, with
``protocol.receipt``. Other groups' covers are the hub's alone to give.
"""

import asyncio
from typing import NamedTuple

import msgspec

from nodes import proof_store, trust_store
from nodes.house import NodeHouse
from nodes.proof_store import Proof
from protocol.address import HUB
from protocol.base64url import write_base64url
from protocol.checkpoint import read_checkpoint
from protocol.messages import (
    DecisionItem,
    ItemProof,
    TransferAnswer,
    TransferOffer,
    read_item,
)
from protocol.peer import link_store
from protocol.peer.database import AnyConnection
from protocol.peer.directory_history import DirectoryHistory
from protocol.proof_file import LeafProof
from protocol.receipt import (
    Proven,
    Receipt,
    describe,
    prove_receipt,
    write_receipt,
)
from protocol.refusal import (
    ProvenRefusal,
    Refusal,
    describe_refusal,
    prove_refusal,
    write_refusal,
)
from protocol.transfer import Role, State, Transfer


class OwnProof(NamedTuple):
    """A receipt or refusal of ours, as its file, and what it proves."""

    text: str
    proven: Proven | ProvenRefusal


class OwnReceipt(NamedTuple):
    """A receipt of ours, with the words that it proves, and what that is."""

    receipt: Receipt
    proven: Proven


class OwnRefusal(NamedTuple):
    """A refusal of ours, as ``OwnReceipt``."""

    refusal: Refusal
    proven: ProvenRefusal


class NodeEvidence:
    """Puts receipts and refusals together, without content and witnesses.

    Args:
        house: whose node this is.
    """

    def __init__(self, house: NodeHouse) -> None:
        self._house = house
        self._history = DirectoryHistory(house.federation)

    async def find(
        self, connection: AnyConnection, transfer: Transfer
    ) -> OwnReceipt | None:
        """Give the receipt of a cleared transfer, proved.

        Returns:
            ``None`` when something is not kept here: the watch has not checked the
            decision yet, or the transfer is from before nodes kept what proves it.

        Raises:
            PeerError: what is kept proves nothing.
        """
        proof = await proof_store.read(connection, transfer.transfer_id)
        words = await self._words(connection, transfer)
        if proof is None or words is None:
            return None
        house = self._house
        stated = read_checkpoint(proof.note, house.federation, house.hub_public)
        folded = await self._history.at(connection, stated.version)
        receipt = Receipt(
            told=[],
            federation=house.federation,
            statement=house.statement,
            checkpoint=proof.note,
            decision=await _leaf(connection, proof),
            prepare=words[0],
            accept=words[1],
            payer=folded.entry(transfer.payer_group),
            payee=folded.entry(transfer.payee_group),
            witnesses=[],
            content=None,
        )
        # Signatures and hashes, while others are answered.
        proven = await asyncio.to_thread(prove_receipt, receipt, house.federation)
        told = describe(proven)
        return OwnReceipt(msgspec.structs.replace(receipt, told=told), proven)

    async def find_refusal(
        self, connection: AnyConnection, transfer: Transfer
    ) -> OwnRefusal | None:
        """Give what proves that the hub refused a transfer; as ``find``."""
        proof = await proof_store.read(connection, transfer.transfer_id)
        if proof is None:
            return None
        refusal = Refusal(
            told=[],
            federation=self._house.federation,
            statement=self._house.statement,
            checkpoint=proof.note,
            decision=await _leaf(connection, proof),
        )
        federation = self._house.federation
        proven = await asyncio.to_thread(prove_refusal, refusal, federation)
        told = describe_refusal(proven)
        return OwnRefusal(msgspec.structs.replace(refusal, told=told), proven)

    async def prove(
        self, connection: AnyConnection, transfer: Transfer
    ) -> OwnProof | None:
        """Give what proves how a transfer was decided, whichever way; as ``find``."""
        if transfer.state is State.CLEARED:
            found = await self.find(connection, transfer)
            if found is None:
                return None
            return OwnProof(write_receipt(found.receipt).decode(), found.proven)
        refused = await self.find_refusal(connection, transfer)
        if refused is None:
            return None
        return OwnProof(write_refusal(refused.refusal).decode(), refused.proven)

    async def _words(
        self, connection: AnyConnection, transfer: Transfer
    ) -> tuple[ItemProof, ItemProof] | None:
        """Give the prepare and the accept; one is ours, the other came to us."""
        asked, answered = transfer.item_number, transfer.answer_number
        if asked is None or answered is None:
            return None
        is_payer = transfer.role is Role.PAYER
        taken = answered if is_payer else asked
        line = await link_store.read_taken_line(connection, HUB, taken)
        item = None if line is None else read_item(line)
        if not isinstance(item, TransferAnswer | TransferOffer):
            return None
        own = asked if is_payer else answered
        ours = await trust_store.read_proof(connection, own, "out")
        return (ours, item.proof) if is_payer else (item.proof, ours)


async def _leaf(connection: AnyConnection, proof: Proof) -> LeafProof:
    line = await link_store.read_taken_line(connection, HUB, proof.item)
    assert line is not None, "what was taken is kept for ever"
    decision = read_item(line)
    assert isinstance(decision, DecisionItem), "the watch has read it as one"
    return LeafProof(
        line=line.decode(),
        index=decision.number,
        size=proof.size,
        path=[write_base64url(step) for step in proof.path],
    )
