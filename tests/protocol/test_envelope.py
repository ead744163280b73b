import base64
import json  # noqa: TID251 - another reader than ours
from typing import Any

import msgspec
import pytest

from protocol import envelope, jws, messages, sealing
from protocol.address import HUB, FederationId, Group
from protocol.envelope import Body, check_proof, open_body, prove
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import Keyring
from tests.protocol.makers import (
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    cover_payload,
    envelope_payload,
    hash_of,
    keyring,
    prepare,
    sealed_inquiry,
    sealing_key,
    seed,
    signing_key,
    three_lines,
    wire,
)

REFUSED = (MalformedMessageError, NotSignedError)
RING = keyring()


def opened(raw: bytes, ring: Keyring = RING, own: Group = HUB) -> Body:
    return open_body(raw, ring, FEDERATION, own)


def sealed_line(number: int = 1) -> bytes:
    channel = sealing.outgoing(
        sealing_key("oostende"),
        sealing_key("mechelen").public,
        FEDERATION,
        OOSTENDE,
        MECHELEN,
    )
    box = channel.seal(b"two loaves", seed("nonce")[:24], f"transfer.prepare {ID}")
    return envelope.write_sealed_line(number, box)


def test_what_is_sealed_is_opened() -> None:
    body = opened(wire(three_lines(), sealed_lines=[sealed_line()]))
    assert body.cover.payload == cover_payload()
    assert body.cover.period.sender == OOSTENDE
    [found] = body.envelopes
    assert list(found.lines) == three_lines()
    assert found.payload == envelope_payload(three_lines())
    assert (found.payload.first, found.last) == (1, 3)
    assert list(found.boxes) == [1]
    assert found.payload_hash == messages.line_hash(
        jws.split(found.line_1, envelope.TYP).payload
    )


def test_a_cover_may_stand_alone() -> None:
    body = opened(wire([]))
    assert (body.envelopes, body.inquiries, body.left_out) == ((), (), 0)


def test_several_envelopes_follow_one_cover() -> None:
    raw = wire(three_lines())
    second = envelope.seal(envelope_payload([b"{}"], first=4), signing_key("oostende"))[
        0
    ]
    body = opened(raw + second + b"\n{}\n")
    assert [found.payload.first for found in body.envelopes] == [1, 4]


def test_inquiries_stand_directly_behind_the_cover() -> None:
    lines = (messages.write_line(sealed_inquiry()), b"{nonsense")
    body = opened(wire(three_lines(), behind_cover=lines))
    assert body.inquiries == (sealed_inquiry(),)
    assert body.left_out == 1
    assert len(body.envelopes) == 1


def test_an_inquiry_behind_an_envelope_is_left_out() -> None:
    line = messages.write_line(sealed_inquiry())
    body = opened(wire(three_lines(), sealed_lines=[line]))
    assert (body.inquiries, body.envelopes[0].boxes) == ((), {})


@pytest.mark.parametrize("many", [100, 101])
def test_a_body_brings_at_most_a_hundred_inquiries(many: int) -> None:
    lines = [messages.write_line(sealed_inquiry())] * many
    body = opened(wire(three_lines(), behind_cover=lines))
    assert len(body.inquiries) == 100
    assert body.left_out == many - 100
    assert len(body.envelopes) == 1


# Every bit of a whole body.


def spans(raw: bytes) -> list[tuple[int, int, bool]]:
    """Where each line of the body below starts and ends, and whether it is signed."""
    found, start = [], 0
    for index, line in enumerate(raw.split(b"\n")[:-1]):
        is_signed = index not in (1, 6)
        found.append((start, start + len(line) + 1, is_signed))
        start += len(line) + 1
    return found


def test_every_changed_bit_of_a_body_is_refused_or_was_never_signed() -> None:
    raw = wire(
        three_lines(),
        behind_cover=[messages.write_line(sealed_inquiry())],
        sealed_lines=[sealed_line()],
    )
    good = opened(raw)
    survivors = 0
    for start, end, is_signed in spans(raw):
        for bit in range(8 * start, 8 * end):
            changed = bytearray(raw)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                body = opened(bytes(changed))
            except REFUSED:
                continue
            assert not is_signed, (bit, raw[start:end])
            survivors += 1
            assert body.cover.payload == good.cover.payload
            # A line feed lost behind the cover may hide an envelope, as the network
            # could; what is there is what was signed.
            for found in body.envelopes:
                assert found.lines == good.envelopes[0].lines
                assert found.payload == good.envelopes[0].payload
    assert survivors > 0


def test_an_unsigned_line_that_is_spoiled_is_left_out() -> None:
    for spoiled in (
        b"{",
        b'{"for":1,"box":7}',
        b'{"for":0,"box":"AA"}',
        b'{"for":1,"for":1,"box":"AA"}',
        b'{"for":1,"box":"AA"}\r',
        b'{"for":1,"box":"' + b"A" * 6 * 1024 + b'"}',
    ):
        [found] = opened(wire(three_lines(), sealed_lines=[spoiled])).envelopes
        assert found.boxes == {}
        assert list(found.lines) == three_lines()


def test_a_sealed_line_has_at_most_6_kib() -> None:
    around = len(b'{"for":1,"box":""}')
    for over, boxes in ((0, 1), (1, 0)):
        box = b"A" * (6 * 1024 - around + over)
        line = b'{"for":1,"box":"%s"}' % box
        assert len(line) == 6 * 1024 + over
        [found] = opened(wire(three_lines(), sealed_lines=[line])).envelopes
        assert len(found.boxes) == boxes


def test_erasing_a_sealed_line_leaves_every_signature() -> None:
    with_line = opened(wire(three_lines(), sealed_lines=[sealed_line()]))
    without = opened(wire(three_lines()))
    assert with_line.envelopes[0].payload_hash == without.envelopes[0].payload_hash


# What a payload may say.


def signed_raw(payload: bytes, key_of: str = "oostende") -> bytes:
    return jws.sign(payload, signing_key(key_of), envelope.TYP).encode() + b"\n"


def payload_fields(payload: msgspec.Struct, **changes: Any) -> bytes:
    fields = json.loads(messages.write_line(payload)) | changes
    kept = {name: value for name, value in fields.items() if value is not ...}
    return json.dumps(kept, separators=(",", ":")).encode()


def test_a_payload_in_another_order_and_with_spaces_is_accepted() -> None:
    # The bytes received are verified; nobody writes them anew.
    fields = json.loads(messages.write_line(cover_payload()))
    turned = json.dumps(dict(reversed(fields.items())), indent=1).encode()
    assert opened(signed_raw(turned)).cover.payload == cover_payload()
    lines = three_lines()
    fields = json.loads(messages.write_line(envelope_payload(lines)))
    turned = json.dumps(dict(reversed(fields.items()))).encode()
    raw = wire([]) + signed_raw(turned) + b"\n".join(lines) + b"\n"
    [found] = opened(raw).envelopes
    assert found.payload == envelope_payload(lines)
    assert found.payload_hash == messages.line_hash(turned)


@pytest.mark.parametrize("name", json.loads(messages.write_line(cover_payload())))
def test_a_cover_says_every_field(name: str) -> None:
    assert opened(signed_raw(payload_fields(cover_payload())))
    with pytest.raises(MalformedMessageError):
        opened(signed_raw(payload_fields(cover_payload(), **{name: ...})))


@pytest.mark.parametrize(
    "name", json.loads(messages.write_line(envelope_payload(three_lines())))
)
def test_an_envelope_says_every_field(name: str) -> None:
    lines = three_lines()
    behind = b"\n".join(lines) + b"\n"
    payload = envelope_payload(lines)
    assert opened(wire([]) + signed_raw(payload_fields(payload)) + behind)
    with pytest.raises(MalformedMessageError):
        opened(wire([]) + signed_raw(payload_fields(payload, **{name: ...})) + behind)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": 1.0},
        {"v": True},
        {"count": 1},
        {"count": -1},
        {"first": 0},
        {"ack": -1},
        {"ack": 2**53},
        {"root": hash_of("something")},
        {"life": "AAAA"},
        {"at": "2026-11-23T02:59:01Z"},
        {"at": "2026-02-30T02:59:01.123Z"},
        {"peer_at": "2026-02-30T02:59:01.123Z"},
        {"more": 1},
        {"prev": None},
        {"from": "Oostende"},
    ],
)
def test_a_cover_that_says_something_else_is_malformed(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(MalformedMessageError):
        opened(signed_raw(payload_fields(cover_payload(), **changes)))


def test_a_field_said_twice_is_malformed() -> None:
    raw = messages.write_line(cover_payload())
    with pytest.raises(MalformedMessageError):
        opened(signed_raw(raw[:-1] + b',"ack":2}'))


@pytest.mark.parametrize("count", [0, 2, 4, 1001])
def test_the_count_is_that_of_the_lines(count: int) -> None:
    with pytest.raises(REFUSED):
        opened(wire(three_lines(), count=count))


def test_an_envelope_has_at_most_1000_items() -> None:
    many = [b'{"n":%d}' % number for number in range(1000)]
    assert opened(wire(many)).envelopes[0].last == 1000
    with pytest.raises(MalformedMessageError):
        opened(wire([*many, b"{}"]))


@pytest.mark.parametrize(
    "lines",
    [
        lambda a, b, c: [a, c, b],
        lambda a, b, c: [a, b],
        lambda a, b, c: [a, b, b],
        lambda a, b, c: [a, b, c + b" "],
        lambda a, b, c: [a, b, c + b"\r"],
        lambda a, b, c: [b"\xef\xbb\xbf" + a, b, c],
    ],
)
def test_items_that_were_not_signed_are_refused(lines: Any) -> None:
    root = envelope.root_of(three_lines())
    with pytest.raises(NotSignedError):
        opened(wire(lines(*three_lines()), root=root))


# For whom, from whom, and under which key.


@pytest.mark.parametrize("where", ["cover", "envelope"])
@pytest.mark.parametrize(
    "changes",
    [
        {"federation": FederationId("lets-france#" + FEDERATION.split("#")[1])},
        {"federation": FederationId("lets-belgium#" + hash_of("another root"))},
        {"from_": MECHELEN},
        {"from_": HUB},
        {"to": MECHELEN},
        {"to": OOSTENDE},
    ],
    ids=str,
)
def test_a_word_meant_for_another_place_is_refused(
    where: str, changes: dict[str, Any]
) -> None:
    cover, rest = (changes, {}) if where == "cover" else ({}, changes)
    with pytest.raises(NotSignedError):
        opened(wire(three_lines(), cover=cover, **rest))


def test_what_the_hub_said_to_one_node_is_no_word_to_another() -> None:
    key = signing_key("hub")
    changes = {"from_": HUB, "to": OOSTENDE}
    raw = wire(three_lines(), key=key, cover=changes, **changes)
    assert opened(raw, own=OOSTENDE)
    with pytest.raises(NotSignedError):
        opened(raw, own=MECHELEN)


@pytest.mark.parametrize("label", ["mechelen", "hub", "nobody we know"])
def test_another_key_does_not_speak_for_the_sender(label: str) -> None:
    with pytest.raises(NotSignedError):
        opened(wire(three_lines(), key=signing_key(label)))


def test_an_envelope_of_another_sender_behind_a_cover_is_refused() -> None:
    other = wire(
        three_lines(),
        key=signing_key("mechelen"),
        cover={"from_": MECHELEN},
        from_=MECHELEN,
    )
    assert opened(other)
    behind = other.split(b"\n", 1)[1]
    with pytest.raises(NotSignedError):
        opened(wire([]) + behind)


@pytest.mark.parametrize(
    ("first", "last", "is_good"),
    [(1, None, True), (5, 7, True), (6, None, False), (5, 6, False), (8, 9, False)],
)
def test_a_key_signs_from_its_first_item_to_its_last(
    first: int, last: int | None, is_good: bool
) -> None:
    raw = wire(three_lines(), first=5)  # items 5, 6 and 7
    if is_good:
        assert opened(raw, keyring(first, last)).envelopes
    else:
        with pytest.raises(NotSignedError, match="not in force"):
            opened(raw, keyring(first, last))


def test_a_cover_tells_which_key_signed_it() -> None:
    # Whether that key is in force is the link's to say: a cover takes no number.
    body = opened(wire([]), keyring(5, 6))
    assert (body.cover.period.first, body.cover.period.last) == (5, 6)


# Bytes and lines.


def test_nothing_is_no_body() -> None:
    for raw in (b"", b"\n", b"\n\n", b"{}\n"):
        with pytest.raises(MalformedMessageError):
            opened(raw)


def test_a_body_ends_with_a_newline() -> None:
    for lines in ([], three_lines()):
        with pytest.raises(MalformedMessageError):
            opened(wire(lines)[:-1])
        with pytest.raises(MalformedMessageError):
            opened(wire(lines) + b"\n")


def test_a_body_with_carriage_returns_is_refused() -> None:
    with pytest.raises(REFUSED):
        opened(wire(three_lines()).replace(b"\n", b"\r\n"))


def test_a_body_with_a_mark_is_refused() -> None:
    with pytest.raises(REFUSED):
        opened(b"\xef\xbb\xbf" + wire(three_lines()))


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_0x0a_ends_a_line(mark: str) -> None:
    # str.splitlines would see two lines.
    line = f'{{"type":"later","a":"x{mark}y"}}'.encode()
    [found] = opened(wire([line, line])).envelopes
    assert found.lines == (line, line)


def test_an_item_that_cannot_be_read_does_not_block_its_envelope() -> None:
    for line in (b"", b"not json", b"\xff\xfe", b"a.b.c", b'{"type":"later"}'):
        [found] = opened(wire([line, three_lines()[0]])).envelopes
        assert found.lines[0] == line


def test_a_body_has_at_most_1_mib() -> None:
    bare = len(wire([b"x" * 1000]))
    room = 1024 * 1024 - bare + 1000
    # The count and the digest have the same length whatever the line is.
    assert len(wire([b"x" * room])) == 1024 * 1024
    assert opened(wire([b"x" * room])).envelopes
    with pytest.raises(MalformedMessageError, match="1 MiB"):
        opened(wire([b"x" * (room + 1)]))


def test_line_1_has_at_most_2_kib() -> None:
    # White space in the payload is legal JSON; the length of the line is not.
    raw = messages.write_line(cover_payload())
    for spaces in range(4):
        line = signed_raw(raw + b" " * (1010 - len(raw) + spaces))
        assert len(line) < 2 * 1024
        assert opened(line)
    with pytest.raises(MalformedMessageError):
        opened(signed_raw(raw + b" " * 1200))


def test_one_envelope_has_one_name_whatever_its_line_1() -> None:
    # A signature could have several spellings; sameness is judged on the payload.
    found = opened(wire(three_lines())).envelopes[0]
    payload = jws.split(found.line_1, envelope.TYP).payload
    assert found.payload_hash == messages.line_hash(payload)
    assert found.payload_hash != messages.line_hash(found.line_1)


# Portable proofs.


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_any_item_is_proved_alone(size: int) -> None:
    lines = [messages.write_line(prepare(milliseconds=n + 1)) for n in range(size)]
    line_1 = opened(wire(lines, first=5)).envelopes[0].line_1
    indices = range(size) if size < 100 else [0, 1, 511, 512, 998, 999]
    for index, proof in zip(indices, prove(line_1, lines, indices), strict=True):
        payload = check_proof(proof, RING, FEDERATION, OOSTENDE)
        assert payload.first + proof.index == 5 + index
        assert proof.line.encode() == lines[index]
        assert len(proof.path) <= messages.PATH_LENGTH_MAX


def good_proof() -> messages.ItemProof:
    lines = three_lines()
    return prove(opened(wire(lines, first=5)).envelopes[0].line_1, lines, [1])[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"line": good_proof().line + " "},
        {"line": three_lines()[0].decode()},
        {"index": 0},
        {"index": 2},
        {"index": 3},
        {"index": 2**53 - 1},
        {"path": []},
        {"path": good_proof().path[:1]},
        {"path": good_proof().path[::-1]},
        {"path": [*good_proof().path, hash_of("x")]},
        {"path": [hash_of("x"), good_proof().path[1]]},
        {"path": [good_proof().path[0][:-1], good_proof().path[1]]},
        {"envelope": good_proof().envelope[:-1]},
        {"envelope": ""},
        {"envelope": "é"},
        {"envelope": wire([])[:-1].decode()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_proof_that_was_changed_proves_nothing(changes: dict[str, Any]) -> None:
    proof = msgspec.structs.replace(good_proof(), **changes)
    with pytest.raises(REFUSED):
        check_proof(proof, RING, FEDERATION, OOSTENDE)


def test_every_changed_bit_of_a_proved_line_is_refused() -> None:
    proof = good_proof()
    for bit in range(7 * len(proof.line)):
        place, mask = bit // 7, 1 << bit % 7
        letter = chr(ord(proof.line[place]) ^ mask)
        line = proof.line[:place] + letter + proof.line[place + 1 :]
        with pytest.raises(NotSignedError):
            check_proof(
                msgspec.structs.replace(proof, line=line), RING, FEDERATION, OOSTENDE
            )


def test_a_proof_is_of_one_signer_and_one_federation() -> None:
    proof = good_proof()
    with pytest.raises(NotSignedError):
        check_proof(proof, RING, FEDERATION, MECHELEN)
    other = FederationId("lets-france#" + FEDERATION.split("#")[1])
    with pytest.raises(NotSignedError):
        check_proof(proof, RING, other, OOSTENDE)
    with pytest.raises(NotSignedError):
        check_proof(proof, Keyring(), FEDERATION, OOSTENDE)


def test_a_proofs_number_selects_the_key() -> None:
    proof = good_proof()  # item 6
    for first, last, is_good in ((6, 6, True), (7, None, False), (1, 5, False)):
        ring = keyring(first, last)
        if is_good:
            assert check_proof(proof, ring, FEDERATION, OOSTENDE)
        else:
            with pytest.raises(NotSignedError):
                check_proof(proof, ring, FEDERATION, OOSTENDE)


def test_the_hubs_word_is_no_proof_of_a_groups() -> None:
    lines = three_lines()
    raw = wire(
        lines,
        key=signing_key("hub"),
        cover={"from_": HUB, "to": OOSTENDE},
        from_=HUB,
        to=OOSTENDE,
    )
    line_1 = opened(raw, own=OOSTENDE).envelopes[0].line_1
    with pytest.raises(NotSignedError):
        check_proof(prove(line_1, lines, [0])[0], RING, FEDERATION, OOSTENDE)


def test_a_proof_with_a_lone_surrogate_is_no_crash() -> None:
    proof = msgspec.structs.replace(good_proof(), line="\ud800")
    with pytest.raises(REFUSED):
        check_proof(proof, RING, FEDERATION, OOSTENDE)


def test_base64_of_a_body_is_never_lenient() -> None:
    line_1 = wire([])[:-1]
    head, payload, signature = line_1.split(b".")
    padded = signature + b"=" * (-len(signature) % 4)
    for other in (padded, signature + b"\r", b" " + signature):
        with pytest.raises(MalformedMessageError):
            opened(b".".join((head, payload, other)) + b"\n")
    assert base64.urlsafe_b64decode(padded)
