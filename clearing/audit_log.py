"""The log's part in the hub's audit: every tree hash that was ever published, anew.

Decisions are hashed once more, from their lines alone; what tiles, checkpoints and
the first leaves of logs say must be what comes out. Most of the time goes into the
checkpoints' signatures.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import NamedTuple

from clearing import audit_store
from clearing.audit_store import LogPage, LogRow, LogStatement
from protocol.address import FederationId
from protocol.base64url import write_base64url
from protocol.checkpoint import (
    SignedCheckpoint,
    directory_tree,
    is_checkpoint,
    read_checkpoint,
)
from protocol.directory import Directory, fold
from protocol.errors import PeerError
from protocol.merkle import Frontier
from protocol.messages import Checkpoint, DirectoryDecision, LogDecision, read_item
from protocol.peer.audit_pages import look_along, on_two_cores
from protocol.peer.audit_store import Finding, finding
from protocol.peer.database import AnyConnection
from protocol.tiles import HEIGHT, WIDTH, completed

NAME = "log_is_what_was_signed"
TOLD = "Checkpoints, tiles and first leaves are what the decisions come to."


class _Stated(NamedTuple):
    """A stored checkpoint, and what it must say."""

    key: str
    note: str
    root: str | None
    expected: SignedCheckpoint


class LogWalk:
    """Walks all logs once.

    Args:
        federation: the whole id.
        public: the hub's signing key.
    """

    def __init__(self, federation: FederationId, public: bytes) -> None:
        self._federation = federation
        self._public = public
        self._log = ""
        self._frontier = Frontier()
        self._directory: Directory = {}
        self._version = 0
        self._root = write_base64url(directory_tree({}).root)
        self._newest: Checkpoint | None = None

    async def walk(
        self, connection: AnyConnection
    ) -> AsyncGenerator[tuple[float, list[Finding]]]:
        """Give how much is done, of 1, and what was found there."""
        read = audit_store.LogPages(connection).read
        async for page, found in look_along(read, self._look_at):
            yield page.done, found

    async def _look_at(self, page: LogPage) -> list[Finding]:
        # In a thread, all of it is computing: groups are answered meanwhile.
        found, notes = await asyncio.to_thread(self._append, page.rows, page.stated)
        for several in await on_two_cores(self._compare, notes):
            found += several
        return found

    def _append(
        self,
        rows: Sequence[LogRow],
        stated: Mapping[tuple[str, int], LogStatement],
    ) -> tuple[list[Finding], list[_Stated]]:
        """Append decisions; gives what was found, and checkpoints to compare."""
        found: list[Finding] = []
        notes: list[_Stated] = []
        for row in rows:
            found += self._leaf(row, stated, notes)
        return found, notes

    def _leaf(
        self,
        row: LogRow,
        stated: Mapping[tuple[str, int], LogStatement],
        notes: list[_Stated],
    ) -> Iterator[Finding]:
        """Append one decision, and compare what was stated at that size."""
        key = f"{row.log}, {row.number}"
        decision = None if row.line is None else read_item(row.line)
        if row.log != self._log:
            self._log, self._frontier = row.log, Frontier()
            former = decision.former if isinstance(decision, LogDecision) else None
            if former != self._newest:
                yield finding(NAME, "decision", key, former, self._newest)
        ended = self._frontier.append(row.leaf)
        if row.line is not None and isinstance(decision, DirectoryDecision):
            yield from self._fold(key, decision, row.line)
        size = self._frontier.size
        said = stated.get((row.log, size))
        if size % WIDTH == 0:
            kept_hashes = {} if said is None else said.hashes
            yield from self._look_at_tiles(kept_hashes, ended)
        if said is not None and said.note is not None:
            one = self._expect(said.note, said.root)
            self._newest = one.expected.short
            notes.append(one)

    def _look_at_tiles(
        self, hashes: Mapping[tuple[int, int], bytes], ended: Sequence[bytes]
    ) -> Iterator[Finding]:
        for level, place in completed(self._frontier.size):
            kept, lawful = hashes.get((level, place)), ended[level * HEIGHT]
            if kept != lawful:
                where = f"{self._log}, {level}, {place}"
                found = None if kept is None else kept.hex()
                yield finding(NAME, "tile_hash", where, found, lawful.hex())

    def _fold(
        self, key: str, decision: DirectoryDecision, line: bytes
    ) -> Iterator[Finding]:
        self._version += 1
        try:
            self._directory = fold(self._directory, decision, line, self._federation)
        except PeerError as error:
            yield finding(NAME, "decision", key, error, "a lawful directory decision")
        self._root = write_base64url(directory_tree(self._directory).root)

    def _expect(self, note: str, root: str | None) -> _Stated:
        """Say what a checkpoint of the log as it is now must state."""
        expected = SignedCheckpoint(
            federation=self._federation,
            log=self._log,
            size=self._frontier.size,
            root=write_base64url(self._frontier.root),
            version=self._version,
            groups=len(self._directory),
            directory=self._root,
        )
        return _Stated(f"{self._log}, {self._frontier.size}", note, root, expected)

    def _compare(self, stated: _Stated) -> list[Finding]:
        """Verify one checkpoint; of two threads, so that nothing here is changed."""
        key, note, root, expected = stated
        if is_checkpoint(note, expected, self._public) and root == expected.root:
            return []
        try:
            found = read_checkpoint(note, self._federation, self._public)
        except PeerError as error:
            return [finding(NAME, "checkpoint", key, error, expected)]
        findings = []
        if found != expected:
            findings.append(finding(NAME, "checkpoint", key, found, expected))
        if root != found.root:
            told = f"root {root}", f"root {found.root}"
            findings.append(finding(NAME, "checkpoint", key, *told))
        return findings
