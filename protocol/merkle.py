"""Merkle tree hash, inclusion and consistency proofs (RFC 9162, section 2.1).

Leaves are bytes; a path goes from the leaf up. Level by level with an odd last
node carried up unchanged, which gives the very tree that the RFC defines by
splitting at the largest power of two. ``Tree`` holds all of a small tree,
``Frontier`` the edge of one that only grows; for one too large to hold, the
``*_ranges`` say which parts a proof needs, and ``complete_nodes`` of which stored
nodes each part is made.
"""

import hashlib
from collections.abc import Sequence

HASH_LENGTH = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf: SHA-256 of 0x00 and the leaf (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children: SHA-256 of 0x01, left, right (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """All levels over some leaves, so that many paths cost one building."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        level = [leaf_hash(leaf) for leaf in leaves]
        self._levels = [level]
        while len(level) > 1:
            above = [
                node_hash(level[index], level[index + 1])
                for index in range(0, len(level) - 1, 2)
            ]
            if len(level) % 2:
                above.append(level[-1])
            self._levels.append(above)
            level = above

    @property
    def root(self) -> bytes:
        """The tree hash; of no leaves, the SHA-256 of nothing."""
        top = self._levels[-1]
        return top[0] if top else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """Give the inclusion path of leaf ``index``, from the leaf up."""
        assert 0 <= index < len(self._levels[0])
        path = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index >>= 1
        return path


def root_from_path(
    leaf: bytes, index: int, size: int, path: Sequence[bytes]
) -> bytes | None:
    """Compute the root that a path leads to (RFC 9162, section 2.1.3.2).

    Args:
        leaf: the leaf's own bytes.
        index: the leaf's place, from 0.
        size: number of leaves in the tree.
        path: sibling hashes from the leaf up, 32 bytes each.

    Returns:
        ``None`` when the path cannot belong to that place in such a tree.
    """
    return root_from_leaf_hash(leaf_hash(leaf), index, size, path)


def root_from_leaf_hash(
    found: bytes, index: int, size: int, path: Sequence[bytes]
) -> bytes | None:
    """Do as ``root_from_path``, from the leaf's hash (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or len(found) != HASH_LENGTH:
        return None
    last = size - 1
    for sibling in path:
        if len(sibling) != HASH_LENGTH or last == 0:
            return None
        if index & 1 or index == last:
            found = node_hash(sibling, found)
            # An odd last node was carried up: skip the levels without a sibling.
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        index >>= 1
        last >>= 1
    return found if last == 0 else None


class Frontier:
    """The right edge of a tree that only grows: all that its root needs.

    A leaf costs two hashes on average, whatever the size.
    """

    def __init__(self) -> None:
        self.size = 0
        #: Complete subtrees from left to right, each smaller than the one before.
        self._edge: list[bytes] = []

    def append(self, found: bytes) -> list[bytes]:
        """Add the hash of the next leaf.

        Returns:
            The hashes of all complete subtrees that end with it, by height.
        """
        size, ended = self.size, [found]
        while size & 1:
            found = node_hash(self._edge.pop(), found)
            ended.append(found)
            size >>= 1
        self._edge.append(found)
        self.size += 1
        return ended

    @property
    def root(self) -> bytes:
        """The tree hash of what was added so far."""
        return fold(self._edge)

    def copy(self) -> "Frontier":
        """Give another frontier that stands where this one stands."""
        other = Frontier()
        other.size, other._edge = self.size, list(self._edge)
        return other


def fold(hashes: Sequence[bytes]) -> bytes:
    """Hash complete subtrees, from left to right, into the tree above them."""
    if not hashes:
        return EMPTY_ROOT
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found


def fold_complete(hashes: Sequence[bytes]) -> bytes:
    """Hash the 1, 2, 4, 8, ... nodes of one height into the one above them all."""
    level = list(hashes)
    while len(level) > 1:
        level = [
            node_hash(level[index], level[index + 1])
            for index in range(0, len(level), 2)
        ]
    return level[0]


def complete_nodes(start: int, end: int) -> list[tuple[int, int]]:
    """Say of which complete subtrees a range of leaves is made.

    Args:
        start: first leaf of a subtree of RFC 9162, or 0.
        end: the leaf behind its last.

    Returns:
        Height and place of each among those of its height, from left to right;
        ``fold`` of their hashes is the range's.
    """
    nodes = []
    while start < end:
        height = (end - start).bit_length() - 1
        assert start % (1 << height) == 0, "a subtree starts at a multiple of its size"
        nodes.append((height, start >> height))
        start += 1 << height
    return nodes


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Say whose hashes prove a leaf, from the leaf up (RFC 9162, 2.1.3.1).

    Args:
        index: the leaf's place, from 0.
        size: number of leaves in the tree.
    """
    assert 0 <= index < size
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(former: int, size: int) -> list[tuple[int, int]]:
    """Say whose hashes prove that a tree only grew (RFC 9162, 2.1.4.1).

    Args:
        former: number of leaves it had, at least 1.
        size: number of leaves it has.
    """
    assert 0 < former <= size
    start, end = 0, size
    path = []
    while former != end:
        middle = start + _split(end - start)
        if former <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    # A former tree that is whole in the new one is known to whoever asks.
    if start > 0:
        path.append((start, end))
    return path[::-1]


def _split(size: int) -> int:
    """Give the largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def is_consistent(
    former: int, former_root: bytes, size: int, root: bytes, path: Sequence[bytes]
) -> bool:
    """Say whether a proof shows that a tree only grew (RFC 9162, 2.1.4.2).

    Args:
        former: number of leaves it had, at least 1.
        former_root: its tree hash then.
        size: number of leaves it has.
        root: its tree hash now.
        path: the proof's hashes.
    """
    if not 0 < former <= size or any(len(one) != HASH_LENGTH for one in path):
        return False
    if former == size:
        return not path and former_root == root
    # A former tree that is whole in the new one is not repeated in its proof.
    hashes = [former_root, *path] if former & (former - 1) == 0 else list(path)
    return _roots_of(former, size, hashes) == (former_root, root)


def _roots_of(
    former: int, size: int, hashes: Sequence[bytes]
) -> tuple[bytes, bytes] | None:
    """Compute the former and the present root that a proof leads to."""
    if not hashes:
        return None
    place, last = former - 1, size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        place >>= 1
        last >>= 1
    return (old, new) if last == 0 else None
