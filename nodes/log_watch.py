"""Watches the hub's decision log, so that nobody here has to trust the hub.

Every few seconds it looks whether the checkpoint in the hub's newest cover continues
what this node believed, across starts of the hub too; whether every decision that
the node took is a leaf of that log; whether the directory that everybody folds is
ours, and our entry in it is what we signed; and whether what other groups' prepares
say of the log joins it. The first thing that is not so is kept as proof and people
are called (protocol, section 9).

It only reads, and never holds up the clerk; what it finds goes through the clerk. An
unreachable hub is no liar: what is missing is waited for (``nodes.patience``).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence, Set
from typing import NamedTuple

import msgspec

from nodes import trust_store
from nodes.house import NodeHouse
from nodes.hub_reader import HubReader
from nodes.log_reader import LogReader
from nodes.patience import Patience
from nodes.rules import Belief, Believe, Distrust, TellPeople, Trust
from protocol.address import HUB, Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree
from protocol.directory import Directory, entry_key, read_entry
from protocol.envelope import VerifiedCover, check_proof
from protocol.errors import (
    InterletsError,
    MalformedMessageError,
    OutageError,
    PeerError,
)
from protocol.merkle import leaf_hash
from protocol.messages import (
    Checkpoint,
    DecisionItem,
    DirectoryDecision,
    TransferAccept,
    TransferAnswer,
    TransferOffer,
    TransferPrepare,
    read_item,
)
from protocol.peer import transfer_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.transfer import Role

_LOG = logging.getLogger(__name__)
#: A hub that has nothing to say still answers a poll in this time.
_LINK_UP_S = 45.0
#: One look ends by then; the next goes on where it has come to.
_LOOK_S = 15.0
#: Items of the hub's that are compared together.
_PAGE = 250
#: Starts of the hub between two looks; one a minute for a week.
_LOGS_MAX = 10_000
#: Claims of one group that may wait at a time.
_CLAIMS_MAX = 100
#: Restated decisions stand at the beginning of a log.
_RESTATED_MAX = 1 << 14
_WITHHELD = "the hub's log"
_WRONG = "what proves the hub's log"
_DIRECTORY = "the directory"


class HistoryDiffersError(InterletsError):
    """Statements contradict each other.

    Args:
        told: what differs, for people.
        ours: what we believed, as it was signed.
        theirs: what contradicts it, as it was signed.
        about: who made the statement: ``hub``, or a group.
    """

    def __init__(self, told: str, ours: str, theirs: str, about: str = HUB) -> None:
        super().__init__(told)
        self.ours = ours
        self.theirs = theirs
        self.about = about


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


class LogWatch:
    """Follows the hub's log.

    Args:
        house: what this node knows and believes.
        clerk: makes durable what was found.
        database: read only here.
        clock: to know how long something has been missing.
        hub_url: where the hub publishes its log.
    """

    def __init__(
        self,
        house: NodeHouse,
        clerk: Clerk,
        database: Database,
        clock: Clock,
        hub_url: str,
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._clock = clock
        self._hub_url = hub_url
        self._patience = Patience()
        self._cover: VerifiedCover | None = None
        self._heard_s = float("-inf")
        self._is_told = False
        self._has_moved = False
        self._forget(Trust())

    def _forget(self, trust: Trust) -> None:
        """Begin where what is durable ends."""
        self._era = trust.era
        #: Item up to which everything was read; what of it waits is below.
        self._read = trust.compared
        self._decisions: dict[int, _Taken] = {}
        self._claims: dict[Checkpoint, list[_Claim]] = {}
        #: What was learnt of closed logs, so that a look may go on where one ended.
        self._formers: dict[Checkpoint, Checkpoint | None] = {}
        self._notes: dict[Checkpoint, str] = {}
        self._stated: SignedCheckpoint | None = None
        self._note = ""
        self._same_directory: tuple[Directory, str] | None = None

    def note_cover(self, cover: VerifiedCover) -> None:
        """Learn which checkpoint the hub's newest cover names."""
        if self._cover is None or self._cover.payload.at < cover.payload.at:
            self._cover = cover
            self._heard_s = self._clock.monotonic_s()

    # One look, and what may come of it.

    async def look(self) -> None:
        """Look once; what differs is made durable and told to people."""
        trust = self._house.trust
        if trust.era != self._era or self._read < trust.compared:
            self._forget(trust)
        now_s = self._clock.monotonic_s()
        is_link_up = now_s - self._heard_s < _LINK_UP_S
        self._patience.begin_look(now_s, is_link_up=is_link_up)
        if HUB in trust.doubted or self._cover is None:
            return
        self._has_moved = False
        try:
            await self._visit(self._cover, self._house.directory)
        except HistoryDiffersError as error:
            await self._doubt(error)
        except (OutageError, TimeoutError) as error:
            _LOG.info("the hub's log: %s: %s", type(error).__name__, error)
            await self._note_outage()
        except PeerError as error:
            # A cut answer is no lie; one that stays wrong is.
            _LOG.warning("the hub's log: %s", error)
            await self._note_wrong(self._cover, error)
        except Exception:  # noqa: BLE001  whatever it is, the ledger goes on
            _LOG.exception("the hub's log")
            await self._note_outage()
        else:
            self._patience.end(_WRONG)
            await self._note_shown()

    async def _visit(self, cover: VerifiedCover, directory: Directory) -> None:
        async with asyncio.timeout(_LOOK_S), HubReader(self._hub_url) as hub:
            house = self._house
            reader = LogReader(hub, house.federation, house.hub_public)
            await self._follow(reader, cover)
            await self._check_directory(directory)
            await self._compare(reader, cover)

    async def _doubt(self, error: HistoryDiffersError) -> None:
        told = str(error)
        _LOG.error("doubt about %s: %s", error.about, told)
        await self._clerk.take(
            Distrust(about=error.about, told=told, ours=error.ours, theirs=error.theirs)
        )

    async def _note_wrong(self, cover: VerifiedCover, error: PeerError) -> None:
        if self._patience.is_over(_WRONG):
            told = f"the hub does not prove its log: {error}"
            cover_line = cover.line_1.decode("ascii")
            await self._doubt(HistoryDiffersError(told, cover_line, str(error)))

    async def _note_outage(self) -> None:
        """Take no offers while the hub talks to us but does not show its log.

        Nothing is proved of anybody, so this ends by itself.
        """
        if self._has_moved:
            self._patience.end(_WITHHELD)
        elif self._patience.is_over(_WITHHELD):
            self._house.is_log_withheld = True
            if not self._is_told:
                self._is_told = True
                told = "the hub has not shown its log for a minute; no offers are taken"
                await self._clerk.take(TellPeople(told))

    async def _note_shown(self) -> None:
        self._patience.end(_WITHHELD)
        self._house.is_log_withheld = False
        if self._is_told:
            self._is_told = False
            await self._clerk.take(TellPeople("the hub shows its log again"))

    # The checkpoint that the hub's newest cover names.

    async def _follow(self, reader: LogReader, cover: VerifiedCover) -> None:
        """Believe what the hub now names, once it continues what we believed."""
        named, trust = cover.payload.checkpoint, self._house.trust
        if named is None or (named == trust.checkpoint and self._stated is not None):
            return
        note, stated = await reader.note(named.log, named.size)
        if stated.short != named:
            told = f"its cover names another root of {_name(named)} than it signed"
            raise HistoryDiffersError(told, note, cover.line_1.decode("ascii"))
        if named != trust.checkpoint:
            await self._believe(await self._continue(reader, named, note))
        self._stated, self._note = stated, note

    async def _continue(
        self, reader: LogReader, named: Checkpoint, note: str
    ) -> Believe:
        """Join a checkpoint to what we believe; gives what is to be believed."""
        trust = self._house.trust
        if trust.newest is None:
            # First sight, after joining or when people trust it again.
            beliefs = [Belief(0, named, note)]
            return Believe(beliefs=beliefs, compared=trust.compared)
        self._notes[named] = note
        chain = await self._chain(reader, named, note)
        known = trust.beliefs[chain[0].log]
        shown = Belief(known.place, chain[0], await self._note_of(reader, chain[0]))
        lost = await self._check_growth(reader, known, shown)
        if known.place != trust.newest.place:
            lost = f"the hub went on from log {known.checkpoint.log}, not the last"
        if lost is not None and len(chain) == 1:
            # The very log that runs: no start of the hub explains it.
            raise HistoryDiffersError(lost, trust.newest.note, note)
        beliefs = [shown]
        for place, one in enumerate(chain[1:], trust.newest.place + 1):
            beliefs.append(Belief(place, one, await self._note_of(reader, one)))
        compared = trust.compared
        if lost is not None:
            compared = await self._last_kept(chain[0])
        return Believe(beliefs=beliefs, compared=compared, told=lost)

    async def _chain(
        self, reader: LogReader, named: Checkpoint, note: str
    ) -> list[Checkpoint]:
        """Follow the logs back to one that we know; gives it and those since."""
        trust = self._house.trust
        chain = [named]
        while chain[0].log not in trust.beliefs:
            former = await self._former(reader, chain[0])
            if former is None:
                newest = trust.newest
                assert newest is not None, "first sight has no chain"
                told = f"log {named.log} does not continue what we know"
                raise HistoryDiffersError(told, newest.note, note)
            if len(chain) > _LOGS_MAX:
                raise MalformedMessageError("log", named.log, "a log with a beginning")
            chain.insert(0, former)
        return chain

    async def _former(
        self, reader: LogReader, checkpoint: Checkpoint
    ) -> Checkpoint | None:
        if checkpoint not in self._formers:
            self._formers[checkpoint] = await reader.former(checkpoint)
            self._has_moved = True
        return self._formers[checkpoint]

    async def _note_of(self, reader: LogReader, checkpoint: Checkpoint) -> str:
        """Give the note of a checkpoint that the hub's next log began from."""
        if checkpoint not in self._notes:
            note, stated = await reader.note(checkpoint.log, checkpoint.size)
            if stated.short != checkpoint:
                told = f"a log began from another {_name(checkpoint)} than was signed"
                raise HistoryDiffersError(told, note, _write(checkpoint))
            self._notes[checkpoint] = note
            self._has_moved = True
        return self._notes[checkpoint]

    async def _check_growth(
        self, reader: LogReader, known: Belief, shown: Belief
    ) -> str | None:
        """Check that a log holds all that we believed of it, unchanged.

        Returns:
            What people must know, if it lacks some of it.
        """
        before, after = known.checkpoint, shown.checkpoint
        if after.size < before.size:
            return f"log {after.log} has {after.size} decisions and had {before.size}"
        if await reader.root_at(after, before.size) != before.root:
            told = f"log {after.log} is not a continuation of what it was"
            raise HistoryDiffersError(told, known.note, shown.note)
        return None

    async def _last_kept(self, last: Checkpoint) -> int:
        """Say up to which item no decision was lost behind a log's last checkpoint.

        What was taken beyond must be restated, so it is compared again.
        """
        up_to, kept = self._house.trust.compared, self._house.trust.compared
        while True:
            async with self._database.readers.acquire() as connection:
                items = await trust_store.read_items_back(connection, up_to, _PAGE)
            for number, line in items:
                item = read_item(line)
                if not isinstance(item, DecisionItem):
                    continue
                if item.log == last.log and item.number < last.size:
                    return kept
                kept = number - 1
            if len(items) < _PAGE:
                return kept
            up_to = items[-1].number - 1

    async def _believe(self, found: Believe) -> None:
        """Make durable what was proved."""
        await self._clerk.take(found)
        self._has_moved = True
        self._notes.clear()
        if found.compared < self._read and found.told is not None:
            # Decisions that were compared before must be found again.
            self._forget(self._house.trust)

    async def _check_directory(self, directory: Directory) -> None:
        """Check that everybody folds the same directory as we do."""
        stated = self._stated
        if stated is None:
            return
        same = self._same_directory
        if same and same[0] is directory and same[1] == stated.directory:
            return
        own = write_base64url(directory_tree(directory).root)
        if own == stated.directory:
            self._patience.end(_DIRECTORY)
            self._same_directory = directory, own
        elif self._patience.is_over(_DIRECTORY):
            # A decision on its way to us explains it for some seconds, no longer.
            told = f"directory version {stated.version} is not the one that we fold"
            raise HistoryDiffersError(told, f"directory {own}", self._note)

    # What the hub has said on the link, and other groups in prepares.

    async def _compare(self, reader: LogReader, cover: VerifiedCover) -> None:
        """Compare all that was taken with the log, page by page."""
        while True:
            is_last = await self._read_page()
            await self._find_decisions(reader, cover)
            await self._join_claims(reader)
            waiting = [
                *self._decisions,
                *(one.item_number for some in self._claims.values() for one in some),
            ]
            compared = min(waiting, default=self._read + 1) - 1
            if compared > self._house.trust.compared:
                await self._believe(Believe(beliefs=(), compared=compared))
            if is_last:
                return

    async def _read_page(self) -> bool:
        """Read on; gives whether there is no more."""
        async with self._database.readers.acquire() as connection:
            items = await trust_store.read_items(connection, self._read, _PAGE)
        for number, line in items:
            item = read_item(line)
            if isinstance(item, DecisionItem):
                self._decisions[number] = _Taken(number, line, item)
            elif isinstance(item, TransferOffer):
                self._note_claim(number, item)
            elif isinstance(item, TransferAnswer):
                await self._check_answer(number, item)
        if items:
            self._read = items[-1].number
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
            await self._look_back(reader, log)
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
            await self._check_own_entry(one)
            self._settle(one)

    def _settle(self, one: _Taken) -> None:
        del self._decisions[one.item_number]
        self._patience.end(one.name)

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
        if entry_key(entry.keys, "signing") != house.signing_key.public:
            told = f"directory decision {one.name} gives us a key that is not ours"
            theirs = await self._prove(one.item_number)
            raise HistoryDiffersError(told, house.own_entry, theirs)

    async def _look_back(self, reader: LogReader, log: str) -> None:
        """Learn of logs older than those that we know, if this may be one.

        A log that is newer is in the hub's next cover, so not at first asking.
        """
        what = f"log {log}"
        trust = self._house.trust
        if log in trust.beliefs or trust.oldest is None:
            self._patience.end(what)
            return
        is_known = self._patience.is_known(what)
        self._patience.is_over(what)
        oldest = trust.oldest
        while is_known and log != oldest.checkpoint.log:
            former = await self._former(reader, oldest.checkpoint)
            beliefs = self._house.trust.beliefs
            if former is None or former.log in beliefs or len(beliefs) > _LOGS_MAX:
                return
            note = await self._note_of(reader, former)
            oldest = Belief(oldest.place - 1, former, note)
            compared = self._house.trust.compared
            await self._believe(Believe(beliefs=[oldest], compared=compared))

    async def _join_claims(self, reader: LogReader) -> None:
        """Join what other groups say of the log to what we believe."""
        for claimed, claims in list(self._claims.items()):
            await self._look_back(reader, claimed.log)
            known = self._house.trust.beliefs.get(claimed.log)
            if known is not None and claimed.size <= known.checkpoint.size:
                root = await reader.root_at(known.checkpoint, claimed.size)
                if root != claimed.root:
                    told = "was shown another history than ours"
                    await self._doubt_claims(claimed, claims, told)
            elif self._patience.is_over(claimed):
                told = "was shown what we were never shown"
                await self._doubt_claims(claimed, claims, told)
            else:
                continue
            self._patience.end(claimed)
            del self._claims[claimed]

    async def _doubt_claims(
        self, claimed: Checkpoint, claims: Sequence[_Claim], told: str
    ) -> None:
        """Doubt the groups that truly say so; one that lies harms no other."""
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
            await self._doubt(
                HistoryDiffersError(
                    f"{group} {told}: {_name(claimed)}", ours, line.decode(), group
                )
            )


def _write(checkpoint: Checkpoint) -> str:
    return msgspec.json.encode(checkpoint).decode()


def _name(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.log}/{checkpoint.size}"
