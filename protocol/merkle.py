"""Merkle tree hash and inclusion proofs (RFC 9162, section 2.1).

Leaves are bytes; a path goes from the leaf up. Level by level with an odd last
node carried up unchanged, which gives the very tree that the RFC defines by
splitting at the largest power of two.
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
