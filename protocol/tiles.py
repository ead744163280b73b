"""A log's hashes in tiles, believed only under a known root (C2SP ``tlog-tiles``).

A tile holds up to 256 hashes that stand beside each other at one level: level 0
are the leaves' hashes, each level above stands eight heights higher. Whoever knows
a log's size and root can fetch tiles from anyone: those at the right edge must
lead to the root, every other must be what its parent tile says. Then any leaf, any
proof and any former root of that log can be computed. Nothing here fetches.
"""

from collections.abc import Iterable, Mapping

import msgspec

from protocol import merkle
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.merkle import HASH_LENGTH

HEIGHT = 8
WIDTH = 1 << HEIGHT


class Tile(msgspec.Struct, frozen=True, order=True):
    """Which hashes: ``width`` of them at ``level``, from ``index`` x 256 on."""

    level: int
    index: int
    width: int


def tile_of(height: int, place: int, size: int) -> Tile:
    """Say in which tile of a log of ``size`` a node's hash is found."""
    level, above = divmod(height, HEIGHT)
    index = (place << above) >> HEIGHT
    return Tile(level, index, min(WIDTH, (size >> (level * HEIGHT)) - index * WIDTH))


def completed(size: int) -> Iterable[tuple[int, int]]:
    """Say which entries above level 0 a log gets by its ``size``-th leaf.

    Returns:
        Level and place; each is the hash of the subtree of its height that ends
        with this leaf.
    """
    level = 1
    while size % (1 << (level * HEIGHT)) == 0:
        yield level, (size >> (level * HEIGHT)) - 1
        level += 1


def write_path(tile: Tile) -> str:
    """Write a tile's path, as ``tile/0/x001/234.p/56``."""
    parts = [f"{tile.index % 1000:03d}"]
    above = tile.index // 1000
    while above:
        parts.insert(0, f"x{above % 1000:03d}")
        above //= 1000
    partial = "" if tile.width == WIDTH else f".p/{tile.width}"
    return f"tile/{tile.level}/{'/'.join(parts)}{partial}"


class TileTree:
    """A log as far as its tiles are known and proved.

    Args:
        size: number of leaves.
        root: its tree hash, as a signed checkpoint says.
    """

    def __init__(self, size: int, root: bytes) -> None:
        self.size = size
        self.root = root
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        #: Nodes inside tiles: paths of many leaves share them.
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._is_edge_known = size == 0

    def lacks(self, nodes: Iterable[tuple[int, int]]) -> list[Tile]:
        """Say which tiles must be fetched before these nodes can be told.

        Args:
            nodes: height and place of complete subtrees.

        Returns:
            Tiles from the highest level down, none twice; none that are known.
        """
        wanted = set() if self._is_edge_known else set(self._edge())
        for height, place in nodes:
            tile = tile_of(height, place, self.size)
            while tile not in wanted and (tile.level, tile.index) not in self._tiles:
                wanted.add(tile)
                if tile.width < WIDTH:
                    # At the right edge: the root itself vouches for it.
                    break
                tile = self._above(tile)
        return sorted(wanted, key=lambda tile: (-tile.level, tile.index))

    def _edge(self) -> Iterable[Tile]:
        for height, place in merkle.complete_nodes(0, self.size):
            yield tile_of(height, place, self.size)

    def _above(self, tile: Tile) -> Tile:
        return tile_of((tile.level + 1) * HEIGHT, tile.index, self.size)

    def add(self, fetched: Mapping[Tile, bytes]) -> None:
        """Take tiles, once they are proved; those of ``lacks``, all at once.

        Raises:
            MalformedMessageError: not so many hashes.
            NotSignedError: they do not belong to this log.
        """
        before = dict(self._tiles)
        for tile, raw in fetched.items():
            if len(raw) != tile.width * HASH_LENGTH:
                expected = f"{tile.width} hashes of {HASH_LENGTH} bytes"
                raise MalformedMessageError("tile", f"{len(raw)} bytes", expected)
            self._tiles[tile.level, tile.index] = [
                raw[start : start + HASH_LENGTH]
                for start in range(0, len(raw), HASH_LENGTH)
            ]
        try:
            self._check(fetched)
        except (NotSignedError, KeyError):
            self._tiles = before
            self._nodes.clear()
            raise NotSignedError("tile: not of the log that was signed") from None
        self._is_edge_known = True

    def _check(self, fetched: Iterable[Tile]) -> None:
        if self.root_at(self.size) != self.root:
            raise NotSignedError("tile: does not lead to the signed root")
        edge = set(self._edge())
        for tile in fetched:
            if tile in edge:
                continue
            here = merkle.fold_complete(self._tiles[tile.level, tile.index])
            if here != self.node((tile.level + 1) * HEIGHT, tile.index):
                raise NotSignedError("tile: is not what its parent says")

    def node(self, height: int, place: int) -> bytes:
        """Give a complete subtree's hash; its tile must be known (``KeyError``)."""
        level, above = divmod(height, HEIGHT)
        if above == 0:
            return self._tiles[level, place >> HEIGHT][place % WIDTH]
        found = self._nodes.get((height, place))
        if found is None:
            left = self.node(height - 1, 2 * place)
            found = merkle.node_hash(left, self.node(height - 1, 2 * place + 1))
            self._nodes[height, place] = found
        return found

    def root_at(self, size: int) -> bytes:
        """Give the tree hash that this log had when it had ``size`` leaves."""
        return self._hash_of(0, size)

    def _hash_of(self, start: int, end: int) -> bytes:
        nodes = merkle.complete_nodes(start, end)
        return merkle.fold([self.node(height, place) for height, place in nodes])

    def path(self, index: int) -> list[bytes]:
        """Give the inclusion path of a leaf, from the leaf up."""
        ranges = merkle.inclusion_ranges(index, self.size)
        return [self._hash_of(start, end) for start, end in ranges]


def nodes_of_path(index: int, size: int) -> list[tuple[int, int]]:
    """Say which nodes a leaf and its inclusion path need."""
    ranges = merkle.inclusion_ranges(index, size)
    nodes = [(0, index)]
    for start, end in ranges:
        nodes += merkle.complete_nodes(start, end)
    return nodes
