import base64
import hashlib
import json  # noqa: TID251 - another reader than ours
from collections.abc import Sequence

import pytest

from protocol.merkle import (
    EMPTY_ROOT,
    Tree,
    leaf_hash,
    root_from_leaf_hash,
    root_from_path,
)
from tests.protocol.makers import others

SIZES = range(1, 71)


def leaves(size: int) -> list[bytes]:
    return [b"leaf %d" % index for index in range(size)]


def naive_root(entries: Sequence[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    left, right = naive_root(entries[:split]), naive_root(entries[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def naive_path(index: int, entries: Sequence[bytes]) -> list[bytes]:
    """RFC 9162, section 2.1.3.1, word for word."""
    if len(entries) == 1:
        return []
    split = 1
    while split * 2 < len(entries):
        split *= 2
    if index < split:
        return [*naive_path(index, entries[:split]), naive_root(entries[split:])]
    return [*naive_path(index - split, entries[split:]), naive_root(entries[:split])]


def test_the_tree_of_nothing_is_the_hash_of_nothing() -> None:
    assert Tree([]).root == EMPTY_ROOT == naive_root([])


@pytest.mark.parametrize("size", SIZES)
def test_the_tree_is_the_one_of_the_rfc(size: int) -> None:
    entries = leaves(size)
    tree = Tree(entries)
    assert tree.root == naive_root(entries)
    for index in range(size):
        assert tree.path(index) == naive_path(index, entries)


@pytest.mark.parametrize("size", SIZES)
def test_a_path_leads_to_the_root_from_its_own_place_only(size: int) -> None:
    entries = leaves(size)
    tree = Tree(entries)
    for index, leaf in enumerate(entries):
        path = tree.path(index)
        assert root_from_path(leaf, index, size, path) == tree.root
        for other in range(size):
            if other != index:
                assert root_from_path(leaf, other, size, path) != tree.root
        assert root_from_path(b"another", index, size, path) != tree.root


@pytest.mark.parametrize("size", SIZES)
def test_a_path_shortened_or_lengthened_leads_nowhere(size: int) -> None:
    entries = leaves(size)
    tree = Tree(entries)
    for index, leaf in enumerate(entries):
        path = tree.path(index)
        assert root_from_path(leaf, index, size, [*path, EMPTY_ROOT]) is None
        if path:
            assert root_from_path(leaf, index, size, path[:-1]) is None
            changed = [EMPTY_ROOT, *path[1:]]
            assert root_from_path(leaf, index, size, changed) != tree.root


@pytest.mark.parametrize("size", SIZES)
def test_a_path_fits_no_tree_of_another_height_at_its_place(size: int) -> None:
    # RFC 9162 lets trees of like shape share a path (leaf 0 of 3 and of 4), which is
    # why every payload signs the count beside the root.
    tree = Tree(leaves(size))
    for index in range(size):
        path = tree.path(index)
        for other in SIZES:
            if index < other and len(path) != steps(index, other):
                assert root_from_path(b"leaf", index, other, path) is None


def steps(index: int, size: int) -> int:
    """Count the steps of a path (RFC 9162, 2.1.3.1), without a tree."""
    if size == 1:
        return 0
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return 1 + steps(index, split)
    return 1 + steps(index - split, size - split)


def test_a_hash_of_another_length_is_no_leaf() -> None:
    assert root_from_leaf_hash(b"", 0, 1, []) is None
    assert root_from_leaf_hash(b"x" * 31, 0, 1, []) is None
    assert root_from_leaf_hash(b"x" * 32, 0, 1, []) == b"x" * 32


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_a_place_outside_the_tree_leads_nowhere(index: int) -> None:
    assert root_from_path(b"leaf 0", index, 3, Tree(leaves(3)).path(0)) is None


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_path_of_other_lengths_leads_nowhere(length: int) -> None:
    assert root_from_path(b"leaf 0", 0, 2, [b"x" * length]) is None


def test_a_node_is_never_taken_for_a_leaf() -> None:
    tree = Tree(leaves(2))
    inner = leaf_hash(b"leaf 0") + leaf_hash(b"leaf 1")
    assert root_from_path(inner, 0, 1, []) != tree.root


def test_the_public_inclusion_vectors_come_out_as_they_say() -> None:
    folder = others("rfc9162") / "inclusion"
    seen = 0
    for path in sorted(folder.rglob("*.json")):
        vector = json.loads(path.read_text())
        found = root_from_leaf_hash(
            base64.b64decode(vector["leafHash"]),
            vector["leafIdx"],
            vector["treeSize"],
            [base64.b64decode(step) for step in vector["proof"] or []],
        )
        right = found == base64.b64decode(vector["root"])
        assert right is not vector["wantErr"], path.name
        seen += 1
    assert seen == 98
