"""The log's part in the hub's audit: every tree hash that was ever published, anew.

Decisions are hashed once more, from their lines alone; what tiles, checkpoints and
the first leaves of logs say must be what comes out.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator

from clearing import audit_store
from clearing.audit_store import LogRow, LogStatement
from protocol.address import FederationId
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree, read_checkpoint
from protocol.directory import Directory, fold
from protocol.errors import PeerError
from protocol.merkle import Frontier, leaf_hash
from protocol.messages import Checkpoint, DirectoryDecision, LogDecision, read_item
from protocol.peer.audit_store import Finding, finding
from protocol.peer.database import AnyConnection
from protocol.tiles import HEIGHT, completed

NAME = "log_is_what_was_signed"
TOLD = "Checkpoints, tiles and first leaves are what the decisions come to."
#: Hashed together; a server that audits itself answers nobody meanwhile.
_LEAVES_AT_ONCE = 100


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
        async for done, rows, stated in audit_store.walk_log(connection):
            found: list[Finding] = []
            for place, row in enumerate(rows, 1):
                found += self._leaf(row, stated)
                if place % _LEAVES_AT_ONCE == 0:
                    # All of it is computing: groups are answered in between.
                    await asyncio.sleep(0)
            yield done, found

    def _leaf(
        self, row: LogRow, stated: dict[tuple[str, int], LogStatement]
    ) -> Iterator[Finding]:
        """Append one decision, and compare what was stated at that size."""
        key = f"{row.log}, {row.number}"
        decision = read_item(row.line)
        if row.log != self._log:
            self._log, self._frontier = row.log, Frontier()
            former = decision.former if isinstance(decision, LogDecision) else None
            if former != self._newest:
                yield finding(NAME, "decision", key, former, self._newest)
        ended = self._frontier.append(leaf_hash(row.line))
        if isinstance(decision, DirectoryDecision):
            yield from self._fold(key, decision, row.line)
        said = stated.get((row.log, self._frontier.size), LogStatement(None, None, {}))
        for level, place in completed(self._frontier.size):
            kept = said.hashes.get((level, place))
            if kept != ended[level * HEIGHT]:
                where = f"{row.log}, {level}, {place}"
                found = None if kept is None else kept.hex()
                expected = ended[level * HEIGHT].hex()
                yield finding(NAME, "tile_hash", where, found, expected)
        if said.note is not None:
            yield from self._compare(said.note, said.root)

    def _fold(
        self, key: str, decision: DirectoryDecision, line: bytes
    ) -> Iterator[Finding]:
        self._version += 1
        try:
            self._directory = fold(self._directory, decision, line, self._federation)
        except PeerError as error:
            yield finding(NAME, "decision", key, error, "a lawful directory decision")
        self._root = write_base64url(directory_tree(self._directory).root)

    def _compare(self, note: str, root: str | None) -> Iterator[Finding]:
        key = f"{self._log}, {self._frontier.size}"
        expected = SignedCheckpoint(
            federation=self._federation,
            log=self._log,
            size=self._frontier.size,
            root=write_base64url(self._frontier.root),
            version=self._version,
            groups=len(self._directory),
            directory=self._root,
        )
        try:
            found = read_checkpoint(note, self._federation, self._public)
        except PeerError as error:
            yield finding(NAME, "checkpoint", key, error, expected)
            return
        self._newest = found.short
        if found != expected:
            yield finding(NAME, "checkpoint", key, found, expected)
        if root != found.root:
            yield finding(NAME, "checkpoint", key, f"root {root}", f"root {found.root}")
