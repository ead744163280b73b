"""Tiles: every node, path and former root of a log, from hashes that are proved."""

import random

import pytest

from protocol import merkle
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.merkle import leaf_hash
from protocol.tiles import Tile, TileTree, nodes_of_path, tile_of, write_path

SIZES = [1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 1000, 65_535, 65_536, 66_000]


class Server:
    """Gives the tiles of a log, as a hub would."""

    def __init__(self, size: int) -> None:
        self.level_0 = [leaf_hash(b"leaf %d" % index) for index in range(size)]
        self.levels = [self.level_0]
        while len(self.levels[-1]) >= 256:
            below = self.levels[-1]
            self.levels.append(
                [
                    merkle.fold_complete(below[start : start + 256])
                    for start in range(0, len(below) // 256 * 256, 256)
                ]
            )
        frontier = merkle.Frontier()
        for found in self.level_0:
            frontier.append(found)
        self.root = frontier.root
        self.given = 0

    def tile(self, tile: Tile) -> bytes:
        self.given += 1
        start = tile.index * 256
        found = self.levels[tile.level][start : start + tile.width]
        assert len(found) == tile.width
        return b"".join(found)

    def know(self, tree: TileTree, nodes: list[tuple[int, int]]) -> None:
        tree.add({tile: self.tile(tile) for tile in tree.lacks(nodes)})


@pytest.mark.parametrize("size", SIZES)
def test_a_leafs_path_leads_to_the_root(size: int) -> None:
    server = Server(size)
    tree = TileTree(size, server.root)
    draw = random.Random(size)
    for index in {0, size - 1, size // 2, *(draw.randrange(size) for _ in range(20))}:
        server.know(tree, nodes_of_path(index, size))
        found = merkle.root_from_leaf_hash(
            server.level_0[index], index, size, tree.path(index)
        )
        assert found == server.root
    assert server.given <= 3 + 23, "a tile is fetched once"


@pytest.mark.parametrize("size", SIZES)
def test_former_roots_are_those_of_the_log_when_it_was_smaller(size: int) -> None:
    server = Server(size)
    tree = TileTree(size, server.root)
    for former in {1, size // 3 + 1, max(1, size - 1), size}:
        server.know(tree, merkle.complete_nodes(0, former))
        frontier = merkle.Frontier()
        for found in server.level_0[:former]:
            frontier.append(found)
        assert tree.root_at(former) == frontier.root


@pytest.mark.parametrize("size", [1, 200, 257, 700, 66_000])
def test_a_changed_hash_in_any_tile_is_found(size: int) -> None:
    server = Server(size)
    draw = random.Random(size)
    for _ in range(20):
        tree = TileTree(size, server.root)
        wanted = tree.lacks(nodes_of_path(draw.randrange(size), size))
        fetched = {tile: server.tile(tile) for tile in wanted}
        chosen = draw.choice(wanted)
        raw = bytearray(fetched[chosen])
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        with pytest.raises(NotSignedError):
            tree.add({**fetched, chosen: bytes(raw)})
        # Nothing of it is kept: the right ones are asked for again.
        assert tree.lacks([(0, 0)])
        tree.add(fetched)


def test_a_tile_of_another_length_is_malformed() -> None:
    server = Server(3)
    tree = TileTree(3, server.root)
    (tile,) = tree.lacks([(0, 1)])
    with pytest.raises(MalformedMessageError):
        tree.add({tile: server.tile(tile)[:-1]})


def test_paths_are_written_as_c2sp_has_them() -> None:
    assert write_path(Tile(0, 0, 256)) == "tile/0/000"
    assert write_path(Tile(1, 5, 20)) == "tile/1/005.p/20"
    assert write_path(Tile(0, 1_234_067, 256)) == "tile/0/x001/x234/067"


def test_a_node_stands_in_the_tile_that_covers_it() -> None:
    assert tile_of(0, 300, 1000) == Tile(0, 1, 256)
    assert tile_of(3, 63, 1000) == Tile(0, 1, 256)
    assert tile_of(8, 2, 1000) == Tile(1, 0, 3)
    assert tile_of(0, 999, 1000) == Tile(0, 3, 232)
