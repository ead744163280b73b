"""Asks the hub for its proof of what it has decided, and compares it with ours.

A hub could log two decisions about one transfer and tell each of them to one group
alone: both are in the log, so neither group's watch misses anything. What the hub
shows to whoever knows the transfer's id must then contradict what one of the two was
told. The hub cannot be made to show the same to everyone: two people who hold their
receipts side by side find what this cannot (``protocol.contradiction``).
"""

import logging
from collections import deque
from collections.abc import Iterable

from nodes.evidence import NodeEvidence, OwnProof
from nodes.hub_reader import HubReader
from nodes.watch.log_chain import HistoryDiffersError
from nodes.watch.patience import Patience
from protocol.address import FederationId
from protocol.contradiction import find_contradiction
from protocol.errors import InterletsError, PeerError
from protocol.peer import transfer_store
from protocol.peer.database import Database
from protocol.receipt import RECEIPT_LENGTH_MAX, prove_receipt, read_receipt

_LOG = logging.getLogger(__name__)
#: In a group as they are every decision is asked for; in a rush the newest are.
_WAITING_MAX = 100
#: At each look: what this costs the hub does not grow with payments.
_ASKED_AT_ONCE = 2
_WRONG = "what proves the hub's decisions"


class OwnProofError(InterletsError):
    """What this node keeps of a decision does not prove it."""


class SecondDecisions:
    """Decisions that the hub is still to be asked for.

    Args:
        evidence: what we can prove ourselves.
        database: read only here.
        federation: the whole id.
        patience: how long its evidence has been wrong.
    """

    def __init__(
        self,
        evidence: NodeEvidence,
        database: Database,
        federation: FederationId,
        patience: Patience,
    ) -> None:
        self._evidence = evidence
        self._database = database
        self._federation = federation
        self._patience = patience
        self._waiting: deque[str] = deque(maxlen=_WAITING_MAX)

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self._waiting)

    def note(self, transfer_ids: Iterable[str]) -> None:
        """Remember to ask for transfers whose proof is kept here."""
        self._waiting.extend(transfer_ids)

    async def look(self, hub: HubReader) -> None:
        """Ask for some.

        Raises:
            HistoryDiffersError: the hub proves another decision than it told us, or
                has not proved one for too long; ``settle`` it once that is durable.
            OwnProofError: as above, of what is kept here.
            OutageError: it cannot be reached, or cannot answer now.
        """
        for _ in range(min(_ASKED_AT_ONCE, len(self._waiting))):
            path = f"evidence/{self._waiting[0]}?witnesses=false"
            raw = None
            try:
                raw = await hub.fetch(path, RECEIPT_LENGTH_MAX)
            except PeerError as error:
                # Of what it refused it has none; and what it does not show is no lie.
                _LOG.debug("%s: %s", path, error)
            if raw is not None and not await self._compare(self._waiting[0], raw):
                return
            self.settle()

    def settle(self) -> None:
        """Ask no more for the transfer that was asked for last."""
        self._patience.end(_WRONG)
        self._waiting.popleft()

    async def _compare(self, transfer_id: str, raw: bytes) -> bool:
        """Compare what the hub shows with ours; gives whether it proves anything."""
        try:
            # Not its words for people: another release may word them otherwise.
            theirs = prove_receipt(read_receipt(raw), self._federation)
        except PeerError as error:
            # A cut answer is no lie; one that stays wrong is.
            _LOG.warning("the hub's evidence of %s: %s", transfer_id, error)
            if not self._patience.is_over(_WRONG):
                return False
            told = f"the hub does not prove its decision of {transfer_id}: {error}"
            ours = await self._prove(transfer_id)
            if ours is None:
                raise OwnProofError(f"{told}; nor is there proof here") from None
            shown = raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
            raise HistoryDiffersError(told, ours.text, shown) from None
        ours = await self._prove(transfer_id)
        if ours is not None:
            lie = find_contradiction(ours.proven, theirs)
            if lie is not None:
                raise HistoryDiffersError(lie, ours.text, raw.decode())
        return True

    async def _prove(self, transfer_id: str) -> OwnProof | None:
        async with self._database.readers.acquire() as connection:
            found = await transfer_store.read(connection, [transfer_id])
            if transfer_id not in found:
                return None
            try:
                return await self._evidence.prove(connection, found[transfer_id])
            except PeerError as error:
                told = f"what is kept of {transfer_id} does not prove it: {error}"
                raise OwnProofError(told) from None
