"""Two verifiers by two hands say the same of every receipt, whatever was done to it."""

import hashlib
import itertools
import json  # noqa: TID251 - another reader than ours
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from protocol import __main__ as program
from protocol import keyring, merkle
from protocol.address import FederationId, Group
from protocol.base64url import write_base64url
from protocol.checkpoint import read_checkpoint, write_checkpoint
from protocol.errors import PeerError, WeakKeyError
from protocol.merkle import Tree
from protocol.receipt import (
    describe,
    prove_receipt,
    read_receipt,
    verify_receipt,
    write_receipt,
)
from tests import second_verifier
from tests.peer.forge import Forge, ForgeOfOldKeys, dumps, edits, note_edits
from tests.peer.makers import entry_of, proof_of
from tests.peer.receipts import (
    BRUSSEL,
    Evidence,
    changed,
    hub_span,
    later_statement,
    leaf_proof,
)
from tests.peer.wrong_receipts import OTHERS
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    hash_of,
    others,
    signing_key,
)
from tests.vectors import make

VECTORS = json.loads((make.FOLDER / "receipts.json").read_text(encoding="utf-8"))
GENUINE: dict[str, str] = VECTORS["genuine"]
#: Building and reading every edit takes minutes; each run tries one of so many.
STRIDE = 23


def first(raw: bytes, federation: str = FEDERATION) -> list[str] | None:
    try:
        return describe(verify_receipt(raw, FederationId(federation)))
    except PeerError:
        return None


def second(raw: bytes, federation: str = FEDERATION) -> list[str] | None:
    try:
        return second_verifier.verify(raw, federation)
    except second_verifier.NotGenuineError:
        return None


def agreed(raw: bytes, federation: str = FEDERATION) -> bool:
    """Whether both say that a receipt is genuine; they must not differ."""
    told = first(raw, federation)
    assert told == second(raw, federation)
    return told is not None


def proofs_agreed(document: Any) -> bool:
    """The same without the words, which would hide that the proofs differ."""
    raw = dumps(document).encode("utf-8", "surrogatepass")
    try:
        told = describe(prove_receipt(read_receipt(raw), FEDERATION))
    except PeerError:
        told = None
    try:
        other = second_verifier.prove(second_verifier.open_file(raw), FEDERATION)
    except second_verifier.NotGenuineError:
        other = None
    assert told == other
    return told is not None


def test_the_second_verifier_shares_nothing_with_the_first() -> None:
    source = pathlib.Path(second_verifier.__file__).read_text(encoding="utf-8")
    assert "protocol import" not in source
    assert "import protocol" not in source
    assert "nacl" not in source
    assert "cryptography" not in source


@pytest.mark.parametrize("name", GENUINE)
def test_both_find_the_genuine_vectors_genuine(
    name: str, tmp_path: pathlib.Path
) -> None:
    raw = GENUINE[name].encode()
    assert agreed(raw)
    assert agreed(raw.removesuffix(b"\n"))
    assert not agreed(raw, OTHERS)
    file = tmp_path / "receipt.json"
    file.write_bytes(raw)
    assert program.main([str(file), "--federation", VECTORS["federation"]]) == 0


@pytest.mark.parametrize("case", VECTORS["not_genuine"], ids=lambda case: case["told"])
def test_both_find_the_other_vectors_not_genuine(
    case: Any, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = json.loads(GENUINE[VECTORS["not_genuine_of"]])
    raw = dumps(whole | case["replace"]).encode()
    assert not agreed(raw)
    file = tmp_path / "receipt.json"
    file.write_bytes(raw)
    assert program.main([str(file), "--federation", VECTORS["federation"]]) == 1
    assert capsys.readouterr().err.startswith(f"NOT genuine: {case['reason']}:")


def test_they_agree_on_changed_bits() -> None:
    raw = GENUINE["with content and a witness"].encode()
    for place in range(0, len(raw), 7):
        bad = bytearray(raw)
        bad[place] ^= 1 << (place * 5 % 8)
        assert not agreed(bytes(bad))
    assert not any(agreed(raw[:end]) for end in range(0, len(raw) - 1, 211))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every text and number of a document stands."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, member in pairs:
            yield from places(member, (*path, name))
    else:
        yield path


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        document = document[name]
    return document


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    at(document, path[:-1])[path[-1]] = value


def test_no_two_fields_can_change_places() -> None:
    text = GENUINE["with content and a witness"]
    whole = json.loads(text)
    for one, other in itertools.combinations(places(whole), 2):
        left, right = at(whole, one), at(whole, other)
        if type(left) is type(right) and left != right:
            swapped = json.loads(text)
            put(swapped, one, right)
            put(swapped, other, left)
            assert not agreed(dumps(swapped).encode())


def test_no_two_parts_can_change_places() -> None:
    whole = json.loads(GENUINE["with content and a witness"])
    for one, other in itertools.combinations(whole, 2):
        swapped = whole | {one: whole[other], other: whole[one]}
        assert not agreed(dumps(swapped).encode())
    for part in whole:
        evidence = json.loads(GENUINE["of a refund"])
        if evidence[part] != whole[part]:
            assert not agreed(dumps(whole | {part: evidence[part]}).encode())


def edited_file(stride: int) -> None:
    whole = json.loads(GENUINE["with content and a witness"])
    lawful = {"a newline behind"}
    for told, text in itertools.islice(edits(whole), 0, None, stride):
        genuine = agreed(text.encode("utf-8", "surrogatepass"))
        assert genuine == (told in lawful), told


def edited_documents(stride: int, make: type[Forge] = Forge) -> dict[str, bool]:
    """Edit each signed or hashed document, and make all around it fit."""
    documents = make()
    assert proofs_agreed(documents.receipt())
    cases = [
        (what, told, text)
        for what, raw in documents.documents.items()
        for told, text in (
            note_edits(raw.decode()) if what == "note" else edits(json.loads(raw))
        )
    ]
    found = {}
    for what, told, text in cases[::stride]:
        raw = text.encode("utf-8", "surrogatepass")
        receipt = make(lambda name, was, w=what, r=raw: r if name == w else was)  # type: ignore[misc]
        found[f"{what}: {told}"] = proofs_agreed(receipt.receipt())
    return found


def test_they_agree_on_edited_files() -> None:
    edited_file(STRIDE)


def test_they_agree_on_edited_documents_that_are_signed_again() -> None:
    found = edited_documents(STRIDE)
    assert 20 < sum(found.values()) < len(found) - 100


def test_they_agree_on_edited_documents_that_tell_of_former_keys() -> None:
    found = edited_documents(STRIDE, ForgeOfOldKeys)
    assert 20 < sum(found.values()) < len(found) - 100


@pytest.mark.slow
def test_they_agree_on_every_edited_document_that_tells_of_former_keys() -> None:
    found = edited_documents(1, ForgeOfOldKeys)
    assert not any(ok for told, ok in found.items() if told.startswith("note: "))


@pytest.mark.slow
def test_they_agree_on_every_edited_file() -> None:
    edited_file(1)


@pytest.mark.slow
def test_they_agree_on_every_edited_document_that_is_signed_again() -> None:
    found = edited_documents(1)
    assert found["prepare: $: other order"]
    assert not found["prepare: a newline behind"]
    assert not any(ok for told, ok in found.items() if told.startswith("note: "))


@pytest.mark.parametrize(
    "name", ["hub", "the root", BRUSSEL, MECHELEN, OOSTENDE], ids=str
)
def test_another_key_signs_for_nobody(name: str) -> None:
    assert not proofs_agreed(Forge(**{name: signing_key("a stranger")}).receipt())


def lawful_receipts() -> Iterator[tuple[str, Evidence]]:
    """What is unusual and still genuine."""
    made = Evidence()
    made.add_group(entry_of(OOSTENDE), state="frozen")
    made.add_group(entry_of(MECHELEN), state="left")
    made.leaves.append(made.decision())
    yield "groups that have left since", made
    made = Evidence(content={"memo": 'two "hours"\n\\ in the\u00a0garden \U0001f331'})
    yield "a memo with quotes and a newline", made
    made = Evidence(content={"memo": "", "name": "\u2801\u0410\u00e9"})
    yield "an empty memo and an odd name", made
    made = Evidence(oostende=entry_of(OOSTENDE, 180_000, 90_000))
    yield "a group that has changed its rate since", made
    made = Evidence()
    made.change_keys(2)
    yield "a key that was replaced right behind the prepare", made
    made = Evidence()
    made.change_keys(2, statement="not for a receipt to judge")
    yield "a statement that is nobody's", made
    for decimals in (1, 2):
        unit = entry_of(OOSTENDE).unit
        yield f"{decimals} decimals", Evidence(oostende=changed_unit(unit, decimals))
    for count in (1, 2, 5, 12):
        many = Evidence()
        for number in range(count):
            many.add_group(entry_of(Group(f"group-{number:02}")))
        many.leaves.append(many.decision())
        yield f"{count} groups more", many


def changed_unit(unit: Any, decimals: int) -> Any:
    other = type(unit)(unit.name, unit.plural, 'b"l', decimals)
    return entry_of(OOSTENDE, unit=other, name="LETS \\ Oostende")


def test_both_find_what_is_unusual_genuine() -> None:
    for told, made in lawful_receipts():
        assert agreed(write_receipt(made.receipt())), told


def test_former_keys_of_the_hub_signed_what_the_root_key_says() -> None:
    made = Evidence()
    anew = write_checkpoint(made.checkpoint(), signing_key("hub anew"))
    for spans, note in (
        ([hub_span(5)], None),
        ([hub_span(2), hub_span(9, first=5)], None),
        ([hub_span(4)], anew),
        ([hub_span(4), hub_span(9, first=6)], anew),
        ([hub_span(9, log="AAAAAAAAAAA")], anew),
        ([], anew),
    ):
        changes = {} if note is None else {"checkpoint": note}
        receipt = made.receipt(statement=later_statement(*spans), **changes)
        assert agreed(write_receipt(receipt))


def test_a_decision_anywhere_in_a_log_of_any_size() -> None:
    for before, behind in itertools.product(range(6), range(6)):
        made = Evidence()
        made.leaves = [*made.leaves[:-1], *[b"{}"] * before]
        number = len(made.leaves)
        made.leaves += [made.decision(), *[b"{}"] * behind]
        proof = leaf_proof(Tree(made.leaves), made.leaves, number)
        assert agreed(write_receipt(made.receipt(decision=proof)))


def test_words_of_the_same_line_in_another_envelope_are_words_too() -> None:
    made = Evidence()
    again = proof_of(made.accept, MECHELEN, first=77)
    assert agreed(write_receipt(made.receipt(accept=again)))


def test_many_witnesses_stand_in_name_order() -> None:
    made = Evidence()
    names = [Group(f"group-{number:02}") for number in range(4)]
    for name in names:
        made.add_group(entry_of(name))
    made.leaves.append(made.decision())
    witnesses = [made.witness(name) for name in (BRUSSEL, *names)]
    assert agreed(write_receipt(made.receipt(witnesses=witnesses)))
    assert agreed(write_receipt(made.receipt(witnesses=witnesses[1:3])))
    turned = changed(made.receipt(witnesses=witnesses), witnesses=witnesses[::-1])
    assert not agreed(write_receipt(turned))
    assert not agreed(write_receipt(made.bare(witnesses=witnesses[::-1])))


@pytest.mark.parametrize("lie", ["log", "size", "root"])
def test_a_witness_of_anything_else_is_none(lie: str) -> None:
    made = Evidence()
    named = made.checkpoint().short
    other = {"log": "AAAAAAAAAAA", "size": named.size + 1, "root": hash_of("other")}
    lied = msgspec.structs.replace(named, **{lie: other[lie]})
    assert not agreed(
        write_receipt(made.bare(witnesses=[made.witness(checkpoint=lied)]))
    )


def test_both_read_the_vector_of_a_checkpoint() -> None:
    found = json.loads((make.FOLDER / "checkpoint.json").read_text(encoding="utf-8"))
    statement = second_verifier.hub_statement(found["statement"], FEDERATION)
    says = read_checkpoint(found["note"], FEDERATION, signing_key("hub").public)
    assert msgspec.to_builtins(says) == found["says"]
    read = second_verifier.read_note(found["note"], FEDERATION, statement)
    assert read.items() <= found["says"].items()
    assert found["note"].startswith(found["signed_text"] + "\n\u2014 ")


def test_the_vectors_of_a_log_prove() -> None:
    found = json.loads((make.FOLDER / "log_proofs.json").read_text(encoding="utf-8"))
    roots = [bytes.fromhex(root) for root in found["roots"]]
    for one in found["inclusion"]:
        path = [write_base64url(bytes.fromhex(step)) for step in one["path"]]
        leaf = b"leaf %d" % one["index"]
        root = second_verifier.root_of(leaf, one["index"], one["size"], path)
        assert root == write_base64url(roots[one["size"]])
    for one in found["consistency"]:
        path = [bytes.fromhex(step) for step in one["path"]]
        grown = (one["former"], roots[one["former"]], one["size"], roots[one["size"]])
        assert merkle.is_consistent(*grown, path)
        other = (one["former"], roots[one["former"] - 1], *grown[2:])
        assert not merkle.is_consistent(*other, path)


def test_the_vector_of_tiles_holds_the_hashes_that_it_says() -> None:
    # From the words of the page alone: level by level, 256 hashes a tile.
    found = json.loads((make.FOLDER / "log_tiles.json").read_text(encoding="utf-8"))
    level = [
        hashlib.sha256(b"\0leaf %d" % index).digest() for index in range(found["size"])
    ]
    levels = [level]
    while len(level) >= 256:
        for _ in range(8):
            level = [
                hashlib.sha256(b"\1" + left + right).digest()
                for left, right in zip(level[::2], level[1::2], strict=False)
            ]
        levels.append(level)
    for one in found["tiles"]:
        start = one["index"] * 256
        hashes = levels[one["level"]][start : start + 256]
        assert len(hashes) == one["width"]
        assert hashlib.sha256(b"".join(hashes)).hexdigest() == one["sha256"]
        tail = "" if one["width"] == 256 else f".p/{one['width']}"
        assert one["path"] == f"tile/{one['level']}/{one['index']:03}{tail}"


def test_the_vector_of_a_directory_is_what_receipts_stand_on() -> None:
    found = json.loads((make.FOLDER / "directory.json").read_text(encoding="utf-8"))
    whole = json.loads(GENUINE["with content and a witness"])
    assert found["proofs"][found["groups"].index("oostende")] == whole["payer"]
    for proof, line in zip(found["proofs"], found["lines"], strict=True):
        assert proof["line"] == line
        place = (proof["index"], proof["size"], proof["path"])
        assert second_verifier.root_of(line.encode(), *place) == found["root"]


def is_fit(check: Callable[[bytes], None], raw: bytes) -> bool:
    try:
        check(raw)
    except WeakKeyError:
        return False
    return True


def test_they_agree_on_signatures_and_keys_on_which_libraries_differ() -> None:
    keys = set()
    accepted = 0
    for case in json.loads(others("cctv_ed25519.json").read_text()):
        public, signature = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"])
        keys.add(public)
        if second_verifier.is_fit_for_signing(public):
            ours = keyring.verify(public, case["msg"].encode(), signature)
            theirs = (public, case["msg"].encode(), signature)
            assert ours == second_verifier.is_signed(*theirs), case["number"]
            accepted += ours
    # Those that must not be registered, and the same with every bit changed.
    for public in sorted(keys)[::5]:
        for bit in (None, 0, 7, 100, 254, 255):
            raw = bytearray(public)
            if bit is not None:
                raw[bit // 8] ^= 1 << bit % 8
            fit = second_verifier.is_fit_for_signing(bytes(raw))
            assert fit == is_fit(keyring.check_signing_key, bytes(raw))
    assert accepted


def test_they_agree_on_sealing_keys_that_must_not_be_registered() -> None:
    prime = 2**255 - 19
    odd = 0xEB7A7C3B41B8AE1656E3FAF19FC46ADA098DEB9C32B1FD866205165F49B800
    for number in (0, 1, 2, 9, odd, prime - 1, prime, prime + 1, 2**255, 2**256 - 1):
        raw = number.to_bytes(32, "little")
        fit = second_verifier.is_fit_for_sealing(raw)
        assert fit == is_fit(keyring.check_sealing_key, raw)
    for number in range(50):
        raw = hashlib.sha256(b"%d" % number).digest()
        fit = second_verifier.is_fit_for_sealing(raw)
        assert fit == is_fit(keyring.check_sealing_key, raw)
