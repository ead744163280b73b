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

from nodes.evidence import NodeEvidence
from nodes.hub_reader import HubReader
from nodes.watch.log_chain import HistoryDiffersError
from protocol.address import FederationId
from protocol.contradiction import find_contradiction
from protocol.errors import PeerError
from protocol.peer import transfer_store
from protocol.peer.database import Database
from protocol.receipt import RECEIPT_LENGTH_MAX, verify_receipt

_LOG = logging.getLogger(__name__)
#: In a group as they are every decision is asked for; in a rush the newest are.
_WAITING_MAX = 100
#: At each look: what this costs the hub does not grow with payments.
_ASKED_AT_ONCE = 2


class SecondDecisions:
    """Decisions that the hub is still to be asked for.

    Args:
        evidence: what we can prove ourselves.
        database: read only here.
        federation: the whole id.
    """

    def __init__(
        self, evidence: NodeEvidence, database: Database, federation: FederationId
    ) -> None:
        self._evidence = evidence
        self._database = database
        self._federation = federation
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
            HistoryDiffersError: the hub proves another decision than it told us.
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
            transfer_id = self._waiting.popleft()
            if raw is not None:
                await self._compare(transfer_id, raw)

    async def _compare(self, transfer_id: str, raw: bytes) -> None:
        try:
            theirs = verify_receipt(raw, self._federation)
        except PeerError as error:
            _LOG.warning("the hub's evidence of %s: %s", transfer_id, error)
            return
        async with self._database.readers.acquire() as connection:
            found = await transfer_store.read(connection, [transfer_id])
            if transfer_id not in found:
                return
            ours = await self._evidence.prove(connection, found[transfer_id])
        if ours is None:
            return
        lie = find_contradiction(ours.proven, theirs)
        if lie is not None:
            raise HistoryDiffersError(lie, ours.text, raw.decode())
