import base64
import hashlib
import json  # noqa: TID251 - another reader than ours
from collections.abc import Sequence

import pytest

from protocol.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    complete_nodes,
    consistency_ranges,
    fold,
    inclusion_ranges,
    is_consistent,
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


def test_the_public_consistency_vectors_come_out_as_they_say() -> None:
    folder = others("rfc9162") / "consistency"
    seen = 0
    for path in sorted(folder.rglob("*.json")):
        vector = json.loads(path.read_text())
        right = is_consistent(
            vector["size1"],
            base64.b64decode(vector["root1"]),
            vector["size2"],
            base64.b64decode(vector["root2"]),
            [base64.b64decode(step) for step in vector["proof"] or []],
        )
        assert right is not vector["wantErr"], path.name
        seen += 1
    assert seen == 98


def naive_consistency(former: int, entries: Sequence[bytes]) -> list[bytes]:
    """RFC 9162, section 2.1.4.1, word for word."""

    def subproof(
        count: int, part: Sequence[bytes], *, is_original: bool
    ) -> list[bytes]:
        if count == len(part):
            return [] if is_original else [naive_root(part)]
        split = 1
        while split * 2 < len(part):
            split *= 2
        if count <= split:
            rest = subproof(count, part[:split], is_original=is_original)
            return [*rest, naive_root(part[split:])]
        rest = subproof(count - split, part[split:], is_original=False)
        return [*rest, naive_root(part[:split])]

    return subproof(former, entries, is_original=True)


def hash_of(start: int, end: int, entries: Sequence[bytes]) -> bytes:
    nodes = complete_nodes(start, end)
    return fold(
        [
            naive_root(entries[place << height : (place + 1) << height])
            for height, place in nodes
        ]
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_ranges_of_proofs_are_those_of_the_rfc(size: int) -> None:
    entries = leaves(size)
    for index in range(size):
        ranges = inclusion_ranges(index, size)
        found = [hash_of(start, end, entries) for start, end in ranges]
        assert found == naive_path(index, entries)
    for former in range(1, size + 1):
        ranges = consistency_ranges(former, size)
        found = [hash_of(start, end, entries) for start, end in ranges]
        assert found == naive_consistency(former, entries)
        assert is_consistent(
            former, naive_root(entries[:former]), size, naive_root(entries), found
        )


@pytest.mark.parametrize("size", SIZES)
def test_a_wrong_consistency_proof_shows_nothing(size: int) -> None:
    entries = leaves(size)
    root = naive_root(entries)
    for former in range(1, size + 1):
        path = naive_consistency(former, entries)
        before = naive_root(entries[:former])
        other = naive_root([b"another", *entries[1:former]])
        assert not is_consistent(former, other, size, root, path)
        assert not is_consistent(former, before, size, before[::-1], path)
        assert not is_consistent(former, before, size, root, [*path, root])
        for place in range(len(path)):
            changed = [*path]
            changed[place] = bytes([changed[place][0] ^ 1, *changed[place][1:]])
            assert not is_consistent(former, before, size, root, changed)
            assert not is_consistent(
                former, before, size, root, path[:place] + path[place + 1 :]
            )


def test_nothing_is_consistent_with_the_tree_of_nothing() -> None:
    assert not is_consistent(0, EMPTY_ROOT, 1, naive_root([b"a"]), [])


def test_a_frontier_has_the_root_at_every_size() -> None:
    frontier = Frontier()
    assert frontier.root == EMPTY_ROOT
    entries = leaves(max(SIZES))
    for size, entry in enumerate(entries, 1):
        former = frontier.copy()
        frontier.append(leaf_hash(entry))
        assert frontier.root == naive_root(entries[:size])
        assert former.root == naive_root(entries[: size - 1])
