"""Our own vectors: the bytes that version 1 fixed, and that a stranger can remake."""

import hashlib
import json  # noqa: TID251 - another reader than ours
from typing import Any

import msgspec
import nacl.bindings
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol import (
    ask,
    cycle_file,
    directory,
    envelope,
    key_change,
    messages,
    strict_json,
)
from protocol.address import HUB
from protocol.base64url import read_base64url, write_base64url
from protocol.errors import AskRefusalCode, PeerError
from protocol.instant import read_instant
from tests.peer.makers import directory_of
from tests.protocol.makers import FEDERATION, OOSTENDE, keyring, seed
from tests.vectors import make


def vector(topic: str) -> Any:
    return json.loads((make.FOLDER / f"{topic}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("topic", make.TOPICS)
def test_what_the_code_makes_is_what_was_written_down(topic: str) -> None:
    text = (make.FOLDER / f"{topic}.json").read_text(encoding="utf-8")
    assert make.written(make.TOPICS[topic]()) == text


def test_every_file_has_its_maker() -> None:
    topics = {path.stem for path in make.FOLDER.glob("*.json")}
    assert topics == {*make.TOPICS, "accepted_signatures"}


def test_the_body_that_was_written_down_is_opened() -> None:
    found = vector("bodies")
    lines = [found["cover"], found["line_1"], *found["items"]]
    raw = "".join(line + "\n" for line in lines).encode()
    assert hashlib.sha256(raw).hexdigest() == found["body_sha256"]
    body = envelope.open_body(raw, keyring(), FEDERATION, HUB)
    assert body.envelopes[0].payload_hash == found["envelope_payload_hash"]


def test_the_proofs_that_were_written_down_prove() -> None:
    found = vector("proofs")
    for index, fields in enumerate(found["proofs"]):
        payload = envelope.check_proof(
            messages.ItemProof(**fields), keyring(), FEDERATION, OOSTENDE
        )
        assert payload.first + fields["index"] == found["first"] + index


def test_the_key_changes_that_were_written_down_vouch_or_do_not() -> None:
    found = vector("key_changes")
    before, entry = (
        msgspec.json.decode(json.dumps(found[name]), type=messages.GroupEntry)
        for name in ("before", "entry")
    )
    for name in ("key_change", "recovery"):
        key_change.check_statement(found[name], before, entry, found["last"])
    assert len(found["refused"]) == 9
    for statement in found["refused"].values():
        with pytest.raises(PeerError):
            key_change.check_statement(statement, before, entry, found["last"])


def test_the_asks_that_were_written_down_open_or_are_refused() -> None:
    found = vector("asks")
    now = read_instant(found["read_at"])
    entries = (directory.read_entry(text, FEDERATION) for text in found["entries"])
    known = directory_of(*entries)
    opened = ask.read_ask(found["link"], FEDERATION, known, now)
    assert messages.write_line(opened).decode() == found["ask"]
    assert list(found["refused"]) == list(AskRefusalCode)
    for code, text in found["refused"].items():
        assert ask.read_ask(text, FEDERATION, known, now) == code


def test_a_sealed_line_opens_by_the_words_of_the_protocol_alone() -> None:
    # A second reader made of libraries only, from section 6 and the details.
    found = vector("sealed_content")
    secret = seed("sealing key of mechelen")
    box = read_base64url(json.loads(found["sealed_line"])["box"], "box")
    ours, theirs, nonce, sealed = box[:12], box[12:24], box[24:48], box[48:]
    shared = nacl.bindings.crypto_scalarmult(secret, bytes.fromhex(found["sender_key"]))
    kids = [hashlib.sha256(bytes.fromhex(found[name])).digest()[:12]
            for name in ("sender_key", "receiver_key")]  # fmt: skip
    assert [ours, theirs] == kids
    texts = [write_base64url(kid) for kid in kids]
    told = "\n".join(
        ("interlets-box-1", found["federation"], "oostende", "mechelen", *texts)
    )
    key = HKDF(SHA256(), 32, salt=None, info=told.encode()).derive(shared)
    opened = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
        sealed, found["associated_data"].encode(), nonce, key
    )
    assert len(opened) == 512
    assert opened.rstrip(b"\0") == found["content"].encode() + b"\x80"


def test_a_transfer_id_is_made_by_the_words_of_the_protocol_alone() -> None:
    found = vector("names")["transfer_id"]
    text = f"{found['federation']}\n{found['payer']}\n{found['idempotency_key']}\n"
    octets = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    assert octets.hex() == found["id"].replace("-", "")


@pytest.mark.parametrize(
    ("kind", "sender", "receiver", "length"),
    [
        ("inquiry", "oostende", "mechelen", 512),
        ("answer", "mechelen", "oostende", 4096),
    ],
)
def test_an_inquiry_opens_by_the_words_of_the_protocol_alone(
    kind: str, sender: str, receiver: str, length: int
) -> None:
    found = vector("inquiries")
    line = json.loads(found[f"{kind}_line"])
    assert (line["from"], line["to"]) == (sender, receiver)
    assert found[f"{kind}_about"] == f"{kind} {line[kind]}"
    box = read_base64url(line["box"], "box")
    shared = nacl.bindings.crypto_scalarmult(
        seed(f"sealing key of {receiver}"), bytes.fromhex(found[sender])
    )
    kids = [hashlib.sha256(bytes.fromhex(found[name])).digest()[:12]
            for name in (sender, receiver)]  # fmt: skip
    assert box[:24] == b"".join(kids)
    texts = [write_base64url(kid) for kid in kids]
    told = "\n".join(("interlets-box-1", found["federation"], sender, receiver, *texts))
    key = HKDF(SHA256(), 32, salt=None, info=told.encode()).derive(shared)
    opened = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
        box[48:], found[f"{kind}_about"].encode(), box[24:48], key
    )
    assert len(opened) == length
    assert opened.rstrip(b"\0") == found[kind].encode() + b"\x80"


def test_the_plans_that_were_written_down_settle() -> None:
    found = vector("netting")
    for case in (found["example"], found["with a reserve"], *found["drawn"]):
        settled = dict(case["closing"])
        for debtor, creditor, milliseconds in case["legs"]:
            settled[debtor] += milliseconds
            settled[creditor] -= milliseconds
        assert settled == case["targets"]
        assert case["bound"] <= len(case["legs"]) < len(settled)


def test_the_drawn_transfers_can_be_drawn_by_a_stranger() -> None:
    case = vector("netting")["drawn"][-1]
    closing: dict[str, int] = {"reserve": 0}
    for place in range(case["transfers"]):
        label = f"transfer {place} between {case['groups']}"
        raw = hashlib.sha256(label.encode()).digest()
        names = [f"g{raw[at] * raw[at + 1] % case['groups']:03}" for at in (0, 2)]
        if names[0] != names[1]:
            amount = 1 + int.from_bytes(raw[4:8])
            closing[names[0]] = closing.get(names[0], 0) - amount
            closing[names[1]] = closing.get(names[1], 0) + amount
    assert closing == case["closing"]


def test_the_cycle_files_that_were_written_down_are_genuine_or_not() -> None:
    found = vector("cycles")
    for raw in found["genuine"].values():
        cycle_file.verify_cycle_file(raw.encode(), found["federation"])
    whole = json.loads(found["genuine"][found["not_genuine_of"]])
    assert len(found["not_genuine"]) > 30
    for wrong in found["not_genuine"]:
        with pytest.raises(PeerError):
            cycle_file.verify_cycle_file(
                strict_json.write(whole | wrong["replace"]), found["federation"]
            )
