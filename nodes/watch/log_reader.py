"""Reads the hub's log as it publishes it; what does not prove itself is an error.

A checkpoint counts by its signature, a tile by the root of its checkpoint, a log's
first decision by its leaf. Whether what the hub has signed contradicts what it
signed before is looked at elsewhere (``nodes.watch.log_watch``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from nodes.hub_reader import HubReader
from protocol import merkle
from protocol.address import FederationId
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import NOTE_LENGTH_MAX, SignedCheckpoint, read_checkpoint
from protocol.errors import (
    MalformedMessageError,
    NotSignedError,
    OutageError,
    PeerError,
)
from protocol.merkle import HASH_LENGTH, leaf_hash
from protocol.messages import ITEM_LENGTH_MAX, Checkpoint, LogDecision, read_item
from protocol.tiles import WIDTH, Tile, TileTree, nodes_of_path, write_path

_LOG = logging.getLogger(__name__)
_Found = TypeVar("_Found")
_TRIES = 3
#: At once from one hub: politeness, and bounded memory.
_AT_ONCE = 4
#: Tiles kept of one tree before it is begun anew: 8 KiB each on the wire.
_TILES_KEPT = 512


class LogReader:
    """One visit to what the hub publishes of its log.

    Args:
        hub: open.
        federation: the whole id.
        public: the hub's signing key.
    """

    def __init__(self, hub: HubReader, federation: FederationId, public: bytes) -> None:
        self._hub = hub
        self._federation = federation
        self._public = public
        self._trees: dict[Checkpoint, TileTree] = {}
        self._tiles = 0

    async def note(self, log: str, size: int) -> tuple[str, SignedCheckpoint]:
        """Give the checkpoint that the hub signed over so many decisions of a log."""
        return await _retry(lambda: self._read_note(log, size))

    async def _read_note(self, log: str, size: int) -> tuple[str, SignedCheckpoint]:
        path = f"log/{log}/checkpoint?size={size}"
        raw = await self._hub.fetch(path, NOTE_LENGTH_MAX)
        try:
            note = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedMessageError(path, raw, "a signed checkpoint") from None
        stated = read_checkpoint(note, self._federation, self._public)
        if (stated.log, stated.size) != (log, size):
            found = f"{stated.log}/{stated.size}"
            raise MalformedMessageError(path, found, f"{log}/{size}")
        return note, stated

    async def leaf_hashes(
        self, checkpoint: Checkpoint, numbers: Iterable[int]
    ) -> dict[int, bytes]:
        """Give the hashes of some decisions of a log, by number."""
        wanted = list(numbers)
        tree = await self._know(checkpoint, [(0, number) for number in wanted])
        return {number: tree.node(0, number) for number in wanted}

    async def paths(
        self, checkpoint: Checkpoint, numbers: Iterable[int]
    ) -> dict[int, list[bytes]]:
        """Give what leads from some decisions of a log to its root, by number."""
        wanted = list(numbers)
        nodes = {node for one in wanted for node in nodes_of_path(one, checkpoint.size)}
        tree = await self._know(checkpoint, nodes)
        return {number: tree.path(number) for number in wanted}

    async def root_at(self, checkpoint: Checkpoint, size: int) -> str:
        """Give the tree hash that a log had when it had ``size`` decisions."""
        if size == checkpoint.size:
            return checkpoint.root
        tree = await self._know(checkpoint, merkle.complete_nodes(0, size))
        return write_base64url(tree.root_at(size))

    async def former(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """Say from what a log was continued, as its first decision says.

        Returns:
            The last checkpoint of the log before; ``None``: it is the first log.
        """
        if checkpoint.size == 0:
            raise MalformedMessageError("log", 0, "one that has begun")
        found = await self.leaf_hashes(checkpoint, [0])
        return await _retry(lambda: self._read_former(checkpoint, found[0]))

    async def _read_former(
        self, checkpoint: Checkpoint, first: bytes
    ) -> Checkpoint | None:
        path = f"log/{checkpoint.log}/first"
        line = await self._hub.fetch(path, ITEM_LENGTH_MAX)
        if leaf_hash(line) != first:
            raise NotSignedError(f"{path}: not the leaf that was signed")
        item = read_item(line)
        if not isinstance(item, LogDecision) or (item.log, item.number) != (
            checkpoint.log,
            0,
        ):
            raise MalformedMessageError(path, line, "the decision that began it")
        return item.former

    async def _know(
        self, checkpoint: Checkpoint, nodes: Iterable[tuple[int, int]]
    ) -> TileTree:
        """Give a log's tree in which these nodes are known."""
        if self._tiles > _TILES_KEPT:
            self._trees.clear()
            self._tiles = 0
        tree = self._trees.get(checkpoint)
        if tree is None:
            root = read_base64url(checkpoint.root, "root")
            tree = self._trees[checkpoint] = TileTree(checkpoint.size, root)
        wanted = tree.lacks(nodes)
        if wanted:
            await _retry(lambda: self._add(tree, checkpoint.log, wanted))
            self._tiles += len(wanted)
        return tree

    async def _add(self, tree: TileTree, log: str, wanted: list[Tile]) -> None:
        tree.add(await self._fetch(log, wanted))

    async def _fetch(self, log: str, wanted: list[Tile]) -> dict[Tile, bytes]:
        found: dict[Tile, bytes] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            raws = await asyncio.gather(
                *(self._fetch_tile(log, tile) for tile in some),
                # None may outlive this visit: wait for all, then tell of the first.
                return_exceptions=True,
            )
            for tile, raw in zip(some, raws, strict=True):
                if isinstance(raw, BaseException):
                    raise raw
                found[tile] = raw
        return found

    async def _fetch_tile(self, log: str, tile: Tile) -> bytes:
        path = f"log/{log}/{write_path(tile)}"
        return await self._hub.fetch(path, WIDTH * HASH_LENGTH)


async def _retry(attempt: Callable[[], Awaitable[_Found]]) -> _Found:
    """Ask again at once when an answer was cut off or refused, but not for long."""
    for _ in range(_TRIES - 1):
        try:
            return await attempt()
        except (PeerError, OutageError) as error:
            _LOG.debug("asking again: %s", error)
    return await attempt()
