"""Watches the hub's decision log, so that nobody here has to trust the hub.

Whatever the hub's newest cover names must continue what this node believed before,
and must hold, within a minute, every decision that this node took; the directory
must be the one that this node folds itself; and what other groups say of the log in
their orders must be the same log. The first thing that is not so is kept as proof
and people are called (protocol, section 9). It only reads; what it finds goes
through the clerk.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nodes import trust_store
from nodes.house import NodeHouse
from nodes.hub_reader import HubReader
from nodes.rules import Believe, Distrust
from protocol import merkle
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import (
    NOTE_LENGTH_MAX,
    SignedCheckpoint,
    directory_tree,
    read_checkpoint,
)
from protocol.envelope import VerifiedCover
from protocol.errors import (
    InterletsError,
    MalformedMessageError,
    OutageError,
    PeerError,
)
from protocol.instant import Instant
from protocol.merkle import HASH_LENGTH, leaf_hash
from protocol.messages import Checkpoint, DecisionItem, LogDecision, read_item
from protocol.peer import directory_store
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.tiles import WIDTH, Tile, TileTree, write_path

_LOG = logging.getLogger(__name__)
#: What the hub has not shown by then, it does not show (protocol, section 9).
PATIENCE_MS = 60_000
_PAGE = 1000
_KEPT_TREES = 8


class HistoryDiffersError(InterletsError):
    """Two signed statements contradict each other.

    Args:
        told: what differs, for people.
        ours: what we believed.
        theirs: what contradicts it.
    """

    def __init__(self, told: str, ours: str, theirs: str) -> None:
        super().__init__(told)
        self.ours = ours
        self.theirs = theirs


class _Taken(NamedTuple):
    """A decision that this node took."""

    item_number: int
    line: bytes
    decision: DecisionItem
    at: Instant


class LogWatch:
    """Follows the hub's log.

    Args:
        house: what this node knows and believes.
        clerk: makes durable what was found.
        database: read only here.
        clock: the wall clock.
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
        self._hub = HubReader(hub_url)
        self._named: Checkpoint | None = None
        #: Trees of the logs that were looked at last, by checkpoint.
        self._trees: dict[Checkpoint, TileTree] = {}
        #: Since when something has been missing or wrong, by what it is.
        self._missing: dict[str, Instant] = {}
        self._directory: tuple[int, str] | None = None

    def note_cover(self, cover: VerifiedCover) -> None:
        """Learn which checkpoint the hub's newest cover names."""
        self._named = cover.payload.checkpoint

    async def look(self) -> None:
        """Look once; what differs is made durable and told to people."""
        named = self._named
        if named is None or self._house.is_history_doubted:
            return
        try:
            async with self._hub:
                await self._follow(named)
                await self._compare_claims()
            self._found("the hub's log")
        except HistoryDiffersError as error:
            await self._doubt(error)
        except OutageError as error:
            _LOG.info("the hub's log: %s", error)
        except PeerError as error:
            # A cut answer is no lie; one that stays wrong is.
            _LOG.warning("the hub's log: %s", error)
            await self._doubt_in_time(str(error), named)

    async def _doubt_in_time(self, told: str, named: Checkpoint) -> None:
        try:
            self._miss("the hub's log", told, named)
        except HistoryDiffersError as error:
            await self._doubt(error)

    async def _doubt(self, error: HistoryDiffersError) -> None:
        await self._clerk.take(
            Distrust(told=str(error), ours=error.ours, theirs=error.theirs)
        )

    def _miss(self, what: str, told: str, named: Checkpoint) -> None:
        """Be patient for a minute with what is missing or wrong."""
        since = self._missing.setdefault(what, self._clock.now())
        if self._clock.now() - since > PATIENCE_MS:
            raise_on = f"{what}: {told}"
            raise HistoryDiffersError(
                raise_on, _write(self._house.checkpoint), _write(named)
            )

    def _found(self, what: str) -> None:
        self._missing.pop(what, None)

    async def _follow(self, named: Checkpoint) -> None:
        """Check every decision taken since, and believe what the hub now names."""
        while True:
            last, decisions = await self._read_page()
            by_log: dict[str, list[_Taken]] = defaultdict(list)
            for taken in decisions:
                by_log[taken.decision.log].append(taken)
            # Closed logs first: what is believed last is the running one.
            running = by_log.pop(named.log, [])
            for log, some in by_log.items():
                await self._check_closed(log, some)
            if await self._check_running(running, named, last) or last is None:
                return

    async def _read_page(self) -> tuple[int | None, list[_Taken]]:
        """Give the last item of a page, if it is full, and the decisions on it."""
        async with self._database.readers.acquire() as connection:
            items = await trust_store.read_items(connection, self._house.checked, _PAGE)
        decisions = []
        for number, line, at in items:
            item = read_item(line)
            if isinstance(item, DecisionItem):
                decisions.append(_Taken(number, line, item, at))
        return items[-1].number if len(items) == _PAGE else None, decisions

    async def _check_closed(self, log: str, taken: Sequence[_Taken]) -> None:
        """Check decisions of a log that the hub has closed."""
        note, stated = await self._fetch_note(log, 0)
        late = await self._check_log(taken, stated, note)
        if late:
            raise self._not_there(late[0], note)
        await self._clerk.take(
            Believe(checkpoint=stated.short, note=note, checked=None)
        )

    async def _check_running(
        self, taken: Sequence[_Taken], named: Checkpoint, last: int | None
    ) -> bool:
        """Check decisions of the running log; gives whether some must wait."""
        if not taken and last is None and named == self._house.checkpoint:
            return False
        note, stated = await self._fetch_note(named.log, named.size)
        if stated.short != named:
            told = "its cover names another checkpoint than it has signed"
            raise HistoryDiffersError(told, _write(named), note)
        late = await self._check_log(taken, stated, note)
        if late and self._clock.now() - late[0].at > PATIENCE_MS:
            raise self._not_there(late[0], note)
        await self._check_directory(stated, note)
        checked = max(
            [self._house.checked, *(one.item_number for one in taken)],
        )
        if late:
            checked = late[0].item_number - 1
        elif last is not None:
            checked = last
        if named != self._house.checkpoint or checked > self._house.checked:
            await self._clerk.take(
                Believe(checkpoint=named, note=note, checked=checked)
            )
        return bool(late)

    def _not_there(self, late: _Taken, note: str) -> HistoryDiffersError:
        named = f"{late.decision.log}/{late.decision.number}"
        told = f"decision {named} was taken but is not in the log"
        return HistoryDiffersError(told, late.line.decode(), note)

    async def _check_log(
        self, taken: Sequence[_Taken], stated: SignedCheckpoint, note: str
    ) -> list[_Taken]:
        """Check decisions against their log; gives those that it does not reach."""
        covered = [one for one in taken if one.decision.number < stated.size]
        tree = await self._know(stated.short, [one.decision.number for one in covered])
        await self._check_growth(tree, stated, note)
        for one in covered:
            if tree.node(0, one.decision.number) != leaf_hash(one.line):
                raise self._not_there(one, note)
            await self._check_start(one)
        return [one for one in taken if one.decision.number >= stated.size]

    async def _check_growth(
        self, tree: TileTree, stated: SignedCheckpoint, note: str
    ) -> None:
        """Check that a log holds all that we believed of it, unchanged."""
        async with self._database.readers.acquire() as connection:
            before = await trust_store.read_note(connection, stated.log)
        if before is None:
            return
        believed, our_note = before
        if believed.size > stated.size:
            told = f"log {stated.log} lost decisions: {stated.size} of {believed.size}"
            raise HistoryDiffersError(told, our_note, note)
        await self._add(tree, stated.log, merkle.complete_nodes(0, believed.size))
        if write_base64url(tree.root_at(believed.size)) != believed.root:
            told = f"log {stated.log} is not a continuation of what it was"
            raise HistoryDiffersError(told, our_note, note)

    async def _check_start(self, taken: _Taken) -> None:
        """Check what the first leaf of a log says of the log before it."""
        start = taken.decision
        if not isinstance(start, LogDecision) or start.former is None:
            return
        former = start.former
        async with self._database.readers.acquire() as connection:
            before = await trust_store.read_note(connection, former.log)
        if before is None:
            return
        believed, our_note = before
        if former.size < believed.size:
            told = (
                f"the hub began log {start.log} from {former.size} decisions of log "
                f"{former.log}, of which we had seen {believed.size}"
            )
            raise HistoryDiffersError(told, our_note, taken.line.decode())
        tree = await self._know(former, [])
        await self._add(tree, former.log, merkle.complete_nodes(0, believed.size))
        if write_base64url(tree.root_at(believed.size)) != believed.root:
            told = f"log {start.log} began from another log {former.log} than ours"
            raise HistoryDiffersError(told, our_note, taken.line.decode())

    async def _check_directory(self, stated: SignedCheckpoint, note: str) -> None:
        """Check that everybody folds the same directory as we do."""
        if self._directory == (stated.version, stated.directory):
            return
        async with self._database.readers.acquire() as connection:
            version = len(await directory_store.read_lines(connection))
        if version != stated.version:
            # Directory decisions are on their way, or newer than this checkpoint.
            told = f"{version} decisions here, {stated.version} there"
            self._miss("the directory", told, stated.short)
            return
        own = directory_tree(self._house.directory).root
        if write_base64url(own) != stated.directory:
            told = f"directory version {version} is not the one that we fold"
            raise HistoryDiffersError(told, write_base64url(own), note)
        self._found("the directory")
        self._directory = (stated.version, stated.directory)

    async def _compare_claims(self) -> None:
        """Join what other groups say of the log to what we believe."""
        for claim, group in list(self._house.claims.items()):
            what = f"what {group} was shown ({claim.log}/{claim.size})"
            known = await self._newest_of(claim.log)
            if known is None or known.size < claim.size:
                self._miss(what, "we were never shown so much of it", claim)
                continue
            tree = await self._know(known, [])
            await self._add(tree, claim.log, merkle.complete_nodes(0, claim.size))
            if write_base64url(tree.root_at(claim.size)) != claim.root:
                told = f"{what} is another history than ours"
                raise HistoryDiffersError(told, _write(known), _write(claim))
            self._found(what)
            self._house.claims.pop(claim, None)

    async def _newest_of(self, log: str) -> Checkpoint | None:
        """Give the newest checkpoint of a log that we believe."""
        if self._house.checkpoint is not None and self._house.checkpoint.log == log:
            return self._house.checkpoint
        async with self._database.readers.acquire() as connection:
            before = await trust_store.read_note(connection, log)
        return None if before is None else before[0]

    # What the hub publishes.

    async def _fetch_note(self, log: str, size: int) -> tuple[str, SignedCheckpoint]:
        path = f"log/{log}/checkpoint?size={size}"
        raw = await self._hub.fetch(path, NOTE_LENGTH_MAX)
        try:
            note = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedMessageError("checkpoint", raw[:40], "UTF-8 text") from None
        federation, public = self._house.federation, self._house.hub_public
        stated = read_checkpoint(note, federation, public)
        if stated.log != log:
            raise MalformedMessageError("checkpoint log", stated.log, log)
        return note, stated

    async def _know(self, checkpoint: Checkpoint, leaves: Iterable[int]) -> TileTree:
        """Give a log's tree with these leaves known."""
        tree = self._trees.pop(checkpoint, None)
        if tree is None:
            tree = TileTree(checkpoint.size, read_base64url(checkpoint.root, "root"))
        self._trees[checkpoint] = tree
        for kept in list(self._trees)[: max(0, len(self._trees) - _KEPT_TREES)]:
            del self._trees[kept]
        await self._add(tree, checkpoint.log, [(0, number) for number in leaves])
        return tree

    async def _add(
        self, tree: TileTree, log: str, nodes: Iterable[tuple[int, int]]
    ) -> None:
        wanted = tree.lacks(nodes)
        if wanted:
            tree.add({tile: await self._fetch_tile(log, tile) for tile in wanted})

    async def _fetch_tile(self, log: str, tile: Tile) -> bytes:
        return await self._hub.fetch(
            f"log/{log}/{write_path(tile)}", WIDTH * HASH_LENGTH
        )


def _write(checkpoint: Checkpoint | None) -> str:
    """Name a checkpoint for people and for the proof that is kept."""
    if checkpoint is None:
        return "nothing yet"
    return f"{checkpoint.log}/{checkpoint.size} {checkpoint.root}"
