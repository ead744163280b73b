import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocol.checkpoint import (
    SignedCheckpoint,
    is_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from protocol.errors import MalformedMessageError, NotSignedError
from tests.protocol.makers import FEDERATION, hash_of, life_of, signing_key


def checkpoint(**changes: object) -> SignedCheckpoint:
    fields: dict[str, object] = {
        "federation": FEDERATION,
        "log": life_of("log"),
        "size": 7,
        "root": hash_of("log of 7"),
        "version": 3,
        "groups": 2,
        "directory": hash_of("directory"),
    }
    return SignedCheckpoint(**(fields | changes))  # type: ignore[arg-type]


def read(note: str) -> SignedCheckpoint:
    return read_checkpoint(note, FEDERATION, signing_key("hub").public)


def states(note: str, **changes: object) -> bool:
    return is_checkpoint(note, checkpoint(**changes), signing_key("hub").public)


def note(**changes: object) -> str:
    return write_checkpoint(checkpoint(**changes), signing_key("hub"))


@pytest.mark.parametrize("size", [0, 1, 2**53 - 1])
def test_what_was_signed_is_read(size: int) -> None:
    assert read(note(size=size)) == checkpoint(size=size)
    assert states(note(size=size), size=size)


def test_it_verifies_by_the_words_of_c2sp_alone() -> None:
    # https://c2sp.org/signed-note: text, blank line, dash, name, key hash + signature.
    text, _, line = note().rpartition("\n\n")
    dash, name, told = line.rstrip("\n").split(" ")
    assert (dash, name) == ("\u2014", FEDERATION)
    public = signing_key("hub").public
    raw = base64.b64decode(told)
    assert raw[:4] == hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], f"{text}\n".encode())
    assert text.split("\n")[0] == f"{FEDERATION}/{life_of('log')}"


def test_every_changed_bit_is_found() -> None:
    raw = note().encode()
    for place in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises((MalformedMessageError, NotSignedError)):
            read(changed.decode("utf-8", "replace"))
        assert not states(changed.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("federation", "another#" + FEDERATION.partition("#")[2]),
        ("log", life_of("another log")),
        ("size", 8),
        ("root", hash_of("another root")),
        ("version", 4),
        ("groups", 3),
        ("directory", hash_of("another directory")),
    ],
)
def test_a_note_states_only_what_it_says(field: str, value: object) -> None:
    assert states(note())
    assert not states(note(), **{field: value})
    assert not states(note(**{field: value}))


@pytest.mark.parametrize(
    "changed",
    [
        note() + "\n",
        note()[:-1],
        "\n" + note(),
        note().replace("\n7\n", "\n07\n"),
        note() + note().rpartition("\n\n")[2],
        "",
        "x" * 1_000_000,
    ],
)
def test_another_spelling_is_no_checkpoint(changed: str) -> None:
    with pytest.raises((MalformedMessageError, NotSignedError)):
        read(changed)
    assert not states(changed)


def test_another_key_or_federation_is_not_ours() -> None:
    with pytest.raises(NotSignedError):
        read(write_checkpoint(checkpoint(), signing_key("mechelen")))
    assert not states(write_checkpoint(checkpoint(), signing_key("mechelen")))
    with pytest.raises(NotSignedError):
        read(note(federation="others" + FEDERATION[FEDERATION.index("#") :]))
