"""Compares what the hub and other groups have said on the link with the hub's log.

Each decision that was taken must be a leaf; each answer that was passed on must be
the payee's group's own; what the directory says of us we must have signed; and what a
payer's group says of the log in its prepare must be the log that we know. A claim is
its group's word alone, so only that group is doubted for it (protocol, section 9;
docs/decisions/0022).
"""

from collections import defaultdict
from collections.abc import Sequence, Set
from typing import NamedTuple

import msgspec

from nodes import proof_store, trust_store
from nodes.house import NodeHouse
from nodes.proof_store import Proof
from nodes.rules import Belief, Believe
from nodes.watch.log_chain import HistoryDiffersError, LogChain, name
from nodes.watch.log_reader import LogReader
from nodes.watch.patience import Patience
from nodes.watch.second_decisions import SecondDecisions
from protocol.address import Group
from protocol.directory import entry_key, read_entry
from protocol.envelope import VerifiedCover, check_proof
from protocol.errors import PeerError
from protocol.merkle import leaf_hash
from protocol.messages import (
    Checkpoint,
    DecisionItem,
    DirectoryDecision,
    TransferAccept,
    TransferAnswer,
    TransferDecision,
    TransferOffer,
    TransferPrepare,
    read_item,
)
from protocol.peer import transfer_store
from protocol.peer.database import Database
from protocol.transfer import Role

#: Items of the hub's that are compared together.
_PAGE = 250
#: Claims of one group that may wait at a time.
_CLAIMS_MAX = 100
#: Restated decisions stand at the beginning of a log.
_RESTATED_MAX = 1 << 14


class _Taken(NamedTuple):
    """A decision that this node took, and as which item."""

    item_number: int
    line: bytes
    decision: DecisionItem

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.decision.log}/{self.decision.number}"


class _Claim(NamedTuple):
    """What a group says of the log in a prepare, and which offer carried it."""

    item_number: int
    group: str


class Comparison:
    """What was taken, as far as it waits to be found in the log.

    Args:
        house: what this node knows and believes.
        database: read, but for what proves decisions.
        patience: how long something has been missing.
        chain: the hub's logs.
        second: is told which decisions can be proved now.
    """

    def __init__(
        self,
        house: NodeHouse,
        database: Database,
        patience: Patience,
        chain: LogChain,
        second: SecondDecisions,
    ) -> None:
        self._house = house
        self._database = database
        self._patience = patience
        self._chain = chain
        self._second = second
        self.forget()

    def forget(self) -> None:
        """Begin where what is durable ends."""
        #: Item up to which everything was read; what of it waits is below.
        self.read = self._house.trust.compared
        self._decisions: dict[int, _Taken] = {}
        self._claims: dict[Checkpoint, list[_Claim]] = {}
        #: What was found since it was last kept.
        self._proofs: list[Proof] = []

    async def compare(self, reader: LogReader, cover: VerifiedCover) -> None:
        """Compare all that was taken with the log, page by page.

        Raises:
            HistoryDiffersError: the first thing that is not so; all that was proved
                before it is durable.
        """
        while True:
            is_last = await self._read_page()
            await self._find_decisions(reader, cover)
            await self._join_claims(reader)
            waiting = [
                *self._decisions,
                *(one.item_number for some in self._claims.values() for one in some),
            ]
            compared = min(waiting, default=self.read + 1) - 1
            await self._keep_proofs()
            if compared > self._house.trust.compared:
                await self._chain.believe(Believe(beliefs=(), compared=compared))
            if is_last:
                return

    async def _read_page(self) -> bool:
        """Read on; gives whether there is no more."""
        async with self._database.readers.acquire() as connection:
            items = await trust_store.read_items(connection, self.read, _PAGE)
        for number, line in items:
            item = read_item(line)
            if isinstance(item, DecisionItem):
                self._decisions[number] = _Taken(number, line, item)
            elif isinstance(item, TransferOffer):
                self._note_claim(number, item)
            elif isinstance(item, TransferAnswer):
                await self._check_answer(number, item)
        if items:
            self.read = items[-1].number
        return len(items) < _PAGE

    async def _check_answer(self, number: int, answer: TransferAnswer) -> None:
        """Check that a payee's group truly said what the hub passed on."""
        accept, house = read_item(answer.line.encode()), self._house
        if not isinstance(accept, TransferAccept):
            return
        async with self._database.readers.acquire() as connection:
            found = await transfer_store.read(connection, [accept.id])
        transfer = found.get(accept.id)
        if transfer is None or transfer.role is not Role.PAYER:
            return
        group = Group(transfer.payee_group)
        try:
            check_proof(answer.proof, house.keyring, house.federation, group)
        except PeerError as error:
            told = f"the hub invented {group}'s accept of {accept.id}: {error}"
            theirs = await self._prove(number)
            raise HistoryDiffersError(
                told, house.directory[group].signed, theirs
            ) from None

    def _note_claim(self, number: int, offer: TransferOffer) -> None:
        prepare = read_item(offer.line.encode())
        if isinstance(prepare, TransferPrepare) and prepare.checkpoint is not None:
            claim = _Claim(number, prepare.payer_group)
            waiting = sum(
                any(one.group == claim.group for one in some)
                for some in self._claims.values()
            )
            # A group has a new checkpoint every few seconds; more is its own loss.
            if prepare.checkpoint in self._claims or waiting < _CLAIMS_MAX:
                self._claims.setdefault(prepare.checkpoint, []).append(claim)

    async def _find_decisions(self, reader: LogReader, cover: VerifiedCover) -> None:
        """Find each decision in its log, as far as that log is shown."""
        by_log: dict[str, list[_Taken]] = defaultdict(list)
        for taken in self._decisions.values():
            by_log[taken.decision.log].append(taken)
        for log, some in by_log.items():
            await self._chain.look_back(reader, log)
            known = self._house.trust.beliefs.get(log)
            size = 0 if known is None else known.checkpoint.size
            if known is not None:
                shown = [one for one in some if one.decision.number < size]
                await self._find_shown(reader, known, shown)
            late = [one for one in some if one.decision.number >= size]
            if late:
                await self._await_late(reader, late, known, cover)

    async def _find_shown(
        self, reader: LogReader, known: Belief, shown: Sequence[_Taken]
    ) -> None:
        numbers = {one.decision.number for one in shown}
        hashes = await reader.leaf_hashes(known.checkpoint, numbers)
        for one in shown:
            if hashes[one.decision.number] != leaf_hash(one.line):
                raise await self._not_there(one, known.note)
        paths = await reader.paths(known.checkpoint, numbers)
        for one in shown:
            await self._check_own_entry(one)
            self._note_proof(one, known, paths[one.decision.number])
            self._settle(one)

    def _note_proof(self, one: _Taken, known: Belief, path: Sequence[bytes]) -> None:
        """Remember where a transfer's decision stands, for its receipt."""
        if isinstance(one.decision, TransferDecision):
            log, size = known.checkpoint.log, known.checkpoint.size
            proof = Proof(one.decision.id, one.item_number, log, size, path, known.note)
            self._proofs.append(proof)

    async def _keep_proofs(self) -> None:
        """Make what was found durable, past the clerk: it holds up no payment.

        Before anything says that it was compared, for then it is not read again.
        """
        if self._proofs:
            async with self._database.desk.acquire() as connection:
                await proof_store.write(connection, self._proofs)
            self._second.note(one.transfer_id for one in self._proofs)
            self._proofs = []

    def _settle(self, one: _Taken) -> None:
        del self._decisions[one.item_number]
        self._patience.end(one.name)

    def _end_look_back(self, log: str) -> None:
        """Let a log be that nothing waits for any more."""
        is_waited_for = any(
            one.decision.log == log for one in self._decisions.values()
        ) or any(claimed.log == log for claimed in self._claims)
        if not is_waited_for:
            self._chain.end_look_back(log)

    async def _await_late(
        self,
        reader: LogReader,
        late: Sequence[_Taken],
        known: Belief | None,
        cover: VerifiedCover,
    ) -> None:
        """Wait for what its log does not hold yet, or lost: then a later one must."""
        restated = await self._restated_since(reader, known)
        for one in late:
            if leaf_hash(one.line) in restated:
                self._settle(one)
            elif self._patience.is_over(one.name):
                raise await self._not_there(one, cover.line_1.decode("ascii"))
        self._end_look_back(late[0].decision.log)

    async def _restated_since(
        self, reader: LogReader, known: Belief | None
    ) -> Set[bytes]:
        """Give the leaves with which logs after a closed one began."""
        trust = self._house.trust
        found: set[bytes] = set()
        if known is not None and known != trust.newest:
            for later in trust.beliefs.values():
                if later.place > known.place:
                    numbers = range(1, min(later.checkpoint.size, _RESTATED_MAX))
                    hashes = await reader.leaf_hashes(later.checkpoint, numbers)
                    found.update(hashes.values())
        return found

    async def _not_there(self, one: _Taken, theirs: str) -> HistoryDiffersError:
        """Say that a decision is not in the log, with the proof that it was made."""
        told = f"decision {one.name} was taken but is not in the log"
        return HistoryDiffersError(told, await self._prove(one.item_number), theirs)

    async def _prove(self, number: int) -> str:
        async with self._database.readers.acquire() as connection:
            proof = await trust_store.read_proof(connection, number)
        return msgspec.json.encode(proof).decode()

    async def _check_own_entry(self, one: _Taken) -> None:
        """Check that we signed what the directory says of us."""
        decision, house = one.decision, self._house
        if not isinstance(decision, DirectoryDecision) or decision.group != house.own:
            return
        entry = read_entry(decision.entry, house.federation)
        if not house.is_ours(entry_key(entry.keys, "signing")):
            told = f"directory decision {one.name} gives us a key that is not ours"
            theirs = await self._prove(one.item_number)
            raise HistoryDiffersError(told, house.own_entry, theirs)

    async def _join_claims(self, reader: LogReader) -> None:
        """Join what other groups say of the log to what we believe."""
        for claimed, claims in list(self._claims.items()):
            await self._chain.look_back(reader, claimed.log)
            known = self._house.trust.beliefs.get(claimed.log)
            if known is not None and claimed.size <= known.checkpoint.size:
                root = await reader.root_at(known.checkpoint, claimed.size)
                if root != claimed.root:
                    told = "was shown another history than ours"
                    await self._check_claims(claimed, claims, told)
            elif self._patience.is_over(claimed):
                told = "was shown what we were never shown"
                await self._check_claims(claimed, claims, told)
            else:
                continue
            self._patience.end(claimed)
            del self._claims[claimed]
            self._end_look_back(claimed.log)

    async def _check_claims(
        self, claimed: Checkpoint, claims: Sequence[_Claim], told: str
    ) -> None:
        """Raise for a group that truly says so; one that lies harms no other."""
        house = self._house
        for group in {one.group for one in claims} - house.trust.doubted:
            number = next(one.item_number for one in claims if one.group == group)
            async with self._database.readers.acquire() as connection:
                [(_, line)] = await trust_store.read_items(connection, number - 1, 1)
            offer = read_item(line)
            assert isinstance(offer, TransferOffer)
            try:
                check_proof(offer.proof, house.keyring, house.federation, Group(group))
            except PeerError:
                # Not the group's own word, and refused as such.
                continue
            newest = house.trust.beliefs.get(claimed.log) or house.trust.newest
            ours = "nothing yet" if newest is None else newest.note
            told = f"{group} {told}: {name(claimed)}"
            raise HistoryDiffersError(told, ours, line.decode(), group)
