"""Two verifiers by two hands agree on refusals, and on two files side by side."""

import itertools
import json  # noqa: TID251 - another reader than ours
from typing import Any

import pytest

from protocol.address import FederationId
from protocol.contradiction import find_contradiction
from protocol.errors import PeerError
from protocol.receipt import Proven, verify_receipt
from protocol.refusal import (
    ProvenRefusal,
    describe_refusal,
    verify_refusal,
    with_refusal_words,
    write_refusal,
)
from tests import second_verifier
from tests.peer.forge import edits
from tests.peer.receipts import Evidence, bare_refusal
from tests.peer.wrong_receipts import OTHERS
from tests.protocol.makers import FEDERATION, hash_of
from tests.vectors import make

VECTORS = json.loads((make.FOLDER / "refusals.json").read_text(encoding="utf-8"))
FILES: dict[str, str] = VECTORS["genuine"]
REFUSALS = [name for name in FILES if name != "cleared"]


def agreed(raw: bytes, federation: str = FEDERATION) -> bool:
    """Whether both say that a refusal is genuine; they must not differ."""
    try:
        first = describe_refusal(verify_refusal(raw, FederationId(federation)))
    except PeerError:
        first = None
    try:
        second = second_verifier.verify_refusal(raw, federation)
    except second_verifier.NotGenuineError:
        second = None
    assert first == second
    return first is not None


def proven(raw: bytes) -> Proven | ProvenRefusal:
    is_refusal = "prepare" not in json.loads(raw)
    return (verify_refusal if is_refusal else verify_receipt)(raw, FEDERATION)


@pytest.mark.parametrize("name", REFUSALS)
def test_both_find_the_genuine_vectors_genuine(name: str) -> None:
    raw = FILES[name].encode()
    assert agreed(raw)
    assert agreed(raw.removesuffix(b"\n"))
    assert not agreed(raw, OTHERS)


def test_a_receipt_is_no_refusal() -> None:
    assert not agreed(FILES["cleared"].encode())


def test_they_agree_on_every_changed_byte() -> None:
    raw = FILES["cancelled"].encode()
    for place in range(len(raw)):
        bad = bytearray(raw)
        bad[place] ^= 1 << (place * 5 % 8)
        assert not agreed(bytes(bad)), place
    assert not any(agreed(raw[:end]) for end in range(0, len(raw) - 1, 13))


def test_they_agree_on_edited_files() -> None:
    for told, text in edits(json.loads(FILES["cancelled"])):
        genuine = agreed(text.encode("utf-8", "surrogatepass"))
        assert genuine == (told == "a newline behind"), told


@pytest.mark.parametrize(
    ("changes", "is_genuine"),
    [
        ({"answer": hash_of("a refuse")}, True),
        ({"prepare": None}, True),
        ({"code": "payer-floor"}, True),
        ({"code": "payer-flour"}, False),
        ({"code": None}, False),
        ({"outcome": "cleared"}, False),
        ({"number": 77}, False),
    ],
    ids=str,
)
def test_what_a_refusal_may_say(changes: dict[str, Any], is_genuine: bool) -> None:
    bare = bare_refusal(Evidence(), **changes)
    try:
        told = with_refusal_words(bare).told
    except PeerError:
        told = None
    file = second_verifier.open_file(write_refusal(bare), second_verifier.REFUSAL)
    try:
        other = second_verifier.prove_refusal(file, FEDERATION)
    except second_verifier.NotGenuineError:
        other = None
    assert told == other
    assert (told is not None) == is_genuine


@pytest.mark.parametrize(
    ("one", "other"), [*itertools.combinations(FILES, 2), ("cleared", "cleared")]
)
def test_both_say_the_same_of_two_files(one: str, other: str) -> None:
    first, second = (FILES[name].encode() for name in (one, other))
    lie = find_contradiction(proven(first), proven(second))
    is_contradiction = second_verifier.is_contradiction
    assert is_contradiction(first, second, FEDERATION) == (lie is not None)
    assert is_contradiction(second, first, FEDERATION) == (lie is not None)


def test_some_pairs_prove_a_lie_and_some_do_not() -> None:
    found = {(pair["one"], pair["other"]): pair["lie"] for pair in VECTORS["pairs"]}
    assert found["cleared", "cancelled"].startswith("the hub decided twice")
    assert None in found.values()
