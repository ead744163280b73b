"""Joins the log that the hub shows now to what this node believed of it before.

A start of the hub opens a new log, whose first decision names the last checkpoint of
the one before; so a node that was away follows the logs back to one that it knows. A
log only grows: what was believed must be in it, unchanged. And everybody must fold the
same directory (protocol, section 9).
"""

from typing import NamedTuple

import msgspec

from nodes import proof_store, trust_store
from nodes.house import NodeHouse
from nodes.rules import Belief, Believe
from nodes.watch.log_reader import LogReader
from nodes.watch.patience import Patience
from protocol.address import HUB
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree
from protocol.directory import Directory
from protocol.envelope import VerifiedCover
from protocol.errors import InterletsError, MalformedMessageError
from protocol.merkle import leaf_hash
from protocol.messages import Checkpoint, DecisionItem, read_item
from protocol.peer import directory_store
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database

#: Starts of the hub between two looks; one a minute for a week.
_LOGS_MAX = 10_000
#: Items of the hub's that are read together.
_PAGE = 250
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


class _Shown(NamedTuple):
    """A checkpoint as the hub signed it."""

    stated: SignedCheckpoint
    note: str


class _Folded(NamedTuple):
    """What a checkpoint says of the directory, or what we fold ourselves."""

    version: int
    groups: int
    root: str


class LogChain:
    """The hub's logs, as far as they are joined.

    Args:
        house: what this node knows and believes.
        clerk: makes durable what was proved.
        database: read, but for the notes of what was lost.
        patience: how long something has been missing.
    """

    def __init__(
        self, house: NodeHouse, clerk: Clerk, database: Database, patience: Patience
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._database = database
        self._patience = patience
        #: Something was learnt since it was last set to no.
        self.has_moved = False
        self.forget()

    def forget(self) -> None:
        """Begin where what is durable ends."""
        #: What was learnt of closed logs, so that a look may go on where one ended.
        self._formers: dict[Checkpoint, Checkpoint | None] = {}
        self._notes: dict[Checkpoint, str] = {}
        self._shown: _Shown | None = None
        self._same_directory: tuple[Directory, _Folded] | None = None
        #: Of what was compared up to an item, down to which it was looked for again
        #: in a log that has lost decisions.
        self._kept: tuple[tuple[Checkpoint, int], int] | None = None

    async def follow(self, reader: LogReader, cover: VerifiedCover) -> bool:
        """Believe what a cover names, once it continues what we believed.

        Returns:
            Whether the hub has lost decisions, which must be looked for again.
        """
        named, trust = cover.payload.checkpoint, self._house.trust
        if named is None or (named == trust.checkpoint and self._shown is not None):
            return False
        note, stated = await reader.note(named.log, named.size)
        if stated.short != named:
            told = f"its cover names another root of {name(named)} than it signed"
            raise HistoryDiffersError(told, note, cover.line_1.decode("ascii"))
        is_lost = False
        if named != trust.checkpoint:
            found = await self._continue(reader, named, note)
            await self.believe(found)
            is_lost = found.told is not None
        self._shown = _Shown(stated, note)
        return is_lost

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
            self.has_moved = True
        return self._formers[checkpoint]

    async def _note_of(self, reader: LogReader, checkpoint: Checkpoint) -> str:
        """Give the note of a checkpoint that the hub's next log began from."""
        if checkpoint not in self._notes:
            note, stated = await reader.note(checkpoint.log, checkpoint.size)
            if stated.short != checkpoint:
                told = f"a log began from another {name(checkpoint)} than was signed"
                raise HistoryDiffersError(told, note, _write(checkpoint))
            self._notes[checkpoint] = note
            self.has_moved = True
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
            await self._check_kept(reader, known, shown)
            return f"log {after.log} has {after.size} decisions and had {before.size}"
        if await reader.root_at(after, before.size) != before.root:
            told = f"log {after.log} is not a continuation of what it was"
            raise HistoryDiffersError(told, known.note, shown.note)
        return None

    async def _check_kept(
        self, reader: LogReader, known: Belief, shown: Belief
    ) -> None:
        """Check that a log that has lost decisions still holds all others.

        Nobody shows the leaves that were lost, so its old root cannot be compared:
        each decision that we found in it must stand where it stood. A look that ends
        on the way goes on where it has come to.
        """
        after = shown.checkpoint
        what = after, self._house.trust.compared
        if self._kept is None or self._kept[0] != what:
            self._kept = what, self._house.trust.compared
        while True:
            async with self._database.readers.acquire() as connection:
                items = await trust_store.read_items_back(
                    connection, self._kept[1], _PAGE
                )
            taken = [(read_item(line), line) for _, line in items]
            ours = [
                (item.number, leaf_hash(line))
                for item, line in taken
                if isinstance(item, DecisionItem)
                and item.log == after.log
                and item.number < after.size
            ]
            hashes = await reader.leaf_hashes(after, {number for number, _ in ours})
            for number, ours_hash in ours:
                if hashes[number] != ours_hash:
                    stood = f"decision {after.log}/{number} stood in the log"
                    told = f"{stood} and stands there no more, in {name(after)}"
                    raise HistoryDiffersError(told, known.note, shown.note)
            if len(items) < _PAGE:
                break
            self._kept = what, items[-1].number - 1
            self.has_moved = True
        # What is believed from now on takes the place of the note that is larger.
        async with self._database.desk.acquire() as connection:
            before = known.checkpoint
            await proof_store.keep_note(connection, before.log, before.size, known.note)
        self._kept = None

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

    async def believe(self, found: Believe) -> None:
        """Make durable what was proved."""
        await self._clerk.take(found)
        self.has_moved = True
        self._notes.clear()

    async def look_back(self, reader: LogReader, log: str) -> None:
        """Learn of logs older than those that we know, if this may be one.

        A log that is newer is in the hub's next cover, so not at first asking.
        """
        what = _log_of(log)
        trust = self._house.trust
        if log in trust.beliefs or trust.oldest is None:
            self.end_look_back(log)
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
            await self.believe(Believe(beliefs=[oldest], compared=compared))

    def end_look_back(self, log: str) -> None:
        """Forget that a log was asked for: nothing waits for it any more."""
        self._patience.end(_log_of(log))

    @property
    def is_directory_same(self) -> bool:
        """Whether we fold what the checkpoint looked at last says of the directory.

        While a decision is on its way to us, nothing of ours proves anything under it.
        """
        if self._shown is None or self._same_directory is None:
            return False
        directory, folded = self._same_directory
        stated = self._shown.stated
        return directory is self._house.directory and folded == _Folded(
            stated.version, stated.groups, stated.directory
        )

    async def check_directory(self, directory: Directory) -> None:
        """Check that everybody folds the same directory as we do."""
        if self._shown is None:
            return
        stated, note = self._shown
        theirs = _Folded(stated.version, stated.groups, stated.directory)
        same = self._same_directory
        if same and same[0] is directory and same[1] == theirs:
            return
        async with self._database.readers.acquire() as connection:
            version = await directory_store.read_version(connection)
        root = write_base64url(directory_tree(directory).root)
        own = _Folded(version, len(directory), root)
        if own == theirs:
            self._patience.end(_DIRECTORY)
            self._same_directory = directory, own
        elif self._patience.is_over(_DIRECTORY):
            # A decision on its way to us explains it for some seconds, no longer.
            told = f"directory version {stated.version} is not the one that we fold"
            ours = f"directory {own.version} {own.groups} {own.root}"
            raise HistoryDiffersError(told, ours, note)


def _log_of(log: str) -> tuple[str, str]:
    """Name the wait for a log that we do not know yet."""
    return "log", log


def _write(checkpoint: Checkpoint) -> str:
    return msgspec.json.encode(checkpoint).decode()


def name(checkpoint: Checkpoint) -> str:
    """Name a checkpoint for people."""
    return f"{checkpoint.log}/{checkpoint.size}"
