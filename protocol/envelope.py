"""Items to envelope, envelope to verified items: the exact bytes on the wire.

An envelope is lines: a JWS, its items, and sealed lines that the signature does
not cover. A cover is an envelope without items that says where its sender
stands now (protocol, section 4). Everything is verified over the received bytes
before it is parsed; nothing is ever written anew to verify it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from protocol import jws, merkle, strict_json
from protocol.address import HUB, FederationId, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.inquiry import InquiryLine, read_lines
from protocol.instant import read_instant
from protocol.keyring import (
    KeyPeriod,
    Keyring,
    SigningKey,
    check_in_force,
    check_may_cover,
)
from protocol.messages import (
    NOTHING_HASH,
    SEALED_LINE_LENGTH_MAX,
    Checkpoint,
    CountField,
    FederationField,
    GroupField,
    HashField,
    InstantField,
    ItemProof,
    LifeField,
    NumberField,
    line_hash,
    sealed_line_decoder,
)

MEDIA_TYPE = "application/interlets-envelope"
TYP = "interlets-envelope"
LINE_1_LENGTH_MAX = 2 * 1024
BODY_LENGTH_MAX = 1024 * 1024
#: Line 1s that proofs named last: an envelope of offers has one of each payer.
_PROVEN_KEPT = 256
ITEMS_MAX = 1000
NOTHING_ROOT = NOTHING_HASH


class EnvelopePayload(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """What line 1 of an envelope with items signs."""

    v: Literal[1] = 1
    federation: FederationField
    from_: GroupField = msgspec.field(name="from")
    to: GroupField
    life: LifeField
    first: NumberField
    count: Annotated[int, Meta(ge=1, le=ITEMS_MAX)]
    root: HashField
    prev: HashField
    at: InstantField


class CoverPayload(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """What a cover signs: an envelope's fields with count 0, and the rest.

    ``ack`` is the highest item taken from the other side and ``ack_head`` the
    hash of the payload that carried it; ``peer_life`` and ``peer_at`` are the
    other's, from its newest cover.
    """

    v: Literal[1] = 1
    federation: FederationField
    from_: GroupField = msgspec.field(name="from")
    to: GroupField
    life: LifeField
    first: NumberField
    count: Literal[0] = 0
    root: HashField
    prev: HashField
    at: InstantField
    ack: CountField
    ack_head: HashField
    peer_life: LifeField | None
    peer_at: InstantField | None
    checkpoint: Checkpoint | None


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope whose signature, sender, receiver and root are right.

    Attributes:
        payload: what line 1 signs.
        payload_hash: its SHA-256, the envelope's identity.
        line_1: as received.
        lines: the items, as received, without newlines.
        boxes: sealed boxes by item number, outside the signature.
    """

    payload: EnvelopePayload
    payload_hash: str
    line_1: bytes
    lines: tuple[bytes, ...]
    boxes: dict[int, str]

    @property
    def last(self) -> int:
        """Number of the last item."""
        return self.payload.first + self.payload.count - 1


class VerifiedCover(msgspec.Struct, frozen=True, kw_only=True):
    """A cover signed by its sender."""

    payload: CoverPayload
    period: KeyPeriod
    line_1: bytes


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A whole request or answer: one cover, then stored envelopes.

    Attributes:
        cover: where the sender stands.
        inquiries: what could be read of the lines behind the cover. Nobody has
            signed them.
        left_out: how many of those lines could not be read, or were too many.
        envelopes: oldest first.
    """

    cover: VerifiedCover
    inquiries: tuple[InquiryLine, ...]
    left_out: int
    envelopes: tuple[Verified, ...]


_Payload = TypeVar("_Payload", EnvelopePayload, CoverPayload)

_envelope_decoder = msgspec.json.Decoder(EnvelopePayload)
_cover_decoder = msgspec.json.Decoder(CoverPayload)


def seal(payload: EnvelopePayload | CoverPayload, key: SigningKey) -> tuple[bytes, str]:
    """Sign a payload; gives line 1 and the payload's hash."""
    raw = strict_json.write(payload)
    line_1 = jws.sign(raw, key, TYP).encode()
    assert len(line_1) <= LINE_1_LENGTH_MAX
    return line_1, line_hash(raw)


def root_of(lines: Sequence[bytes]) -> str:
    """Give the tree hash of item lines, as payloads hold it."""
    return write_base64url(merkle.Tree(lines).root)


def write_sealed_line(number: int, box: str) -> bytes:
    """Write the line that carries item ``number``'s box."""
    return b'{"for":%d,"box":"%s"}' % (number, box.encode())


def open_body(
    raw: bytes, keyring: Keyring, federation: FederationId, own: Group
) -> Body:
    """Verify and take apart a request or an answer.

    Args:
        raw: the bytes received, at most 1 MiB.
        keyring: keys of whoever may speak to us.
        federation: our federation.
        own: our name in it.

    Raises:
        MalformedMessageError: not a body, or its lines contradict line 1.
        NotSignedError: not signed by a key of the sender that it names, or not
            meant for us.
    """
    if len(raw) > BODY_LENGTH_MAX:
        raise MalformedMessageError("body", f"{len(raw)} bytes", "at most 1 MiB")
    # Only 0x0A ends a line: str.splitlines would also split at U+2028 and U+0085.
    lines = raw.split(b"\n")
    if lines.pop() != b"":
        raise MalformedMessageError("body", raw[-20:], "a newline at the end")
    reader = _Reader(lines)
    line_1 = reader.take("cover")
    cover, period = _open_line_1(line_1, _cover_decoder, keyring)
    _check_parties(cover, period, federation, own)
    _check_cover_fields(cover)
    # Unsigned like sealed lines, so a bad one is only left out: it must not block
    # the envelopes behind it.
    inquiries, left_out = read_lines(reader.take_unsigned())
    envelopes = []
    while reader.has_more():
        envelope = _open_envelope(reader, keyring, federation, own)
        if envelope.payload.from_ != cover.from_:
            raise NotSignedError("envelope: another sender than the cover's")
        envelopes.append(envelope)
    return Body(
        cover=VerifiedCover(payload=cover, period=period, line_1=line_1),
        inquiries=inquiries,
        left_out=left_out,
        envelopes=tuple(envelopes),
    )


def _check_cover_fields(cover: CoverPayload) -> None:
    """Check what types cannot."""
    if cover.root != NOTHING_ROOT:
        raise MalformedMessageError("cover root", cover.root, "the root of nothing")
    if cover.peer_at is not None:
        read_instant(cover.peer_at, "peer_at")


class _Reader:
    """Lines of a body, taken one after another."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._next = 0

    def has_more(self) -> bool:
        return self._next < len(self._lines)

    def take(self, what: str) -> bytes:
        if not self.has_more():
            raise MalformedMessageError(what, b"", "one more line")
        self._next += 1
        return self._lines[self._next - 1]

    def take_unsigned(self) -> Iterator[bytes]:
        """Take lines up to the next line 1, which never starts with a brace."""
        while self.has_more() and self._lines[self._next].startswith(b"{"):
            yield self.take("line")


def _open_line_1(
    line_1: bytes, decoder: msgspec.json.Decoder[_Payload], keyring: Keyring
) -> tuple[_Payload, KeyPeriod]:
    """Verify line 1 under the key that it names, then read its payload."""
    if len(line_1) > LINE_1_LENGTH_MAX:
        raise MalformedMessageError("line 1", f"{len(line_1)} bytes", "at most 2 KiB")
    parts = jws.split(line_1, TYP)
    period = keyring.period(parts.kid)
    raw = jws.check(parts, period.public)
    payload = strict_json.read(raw, decoder, TYP)
    # ``v`` and ``count`` have defaults for whoever writes; a reader must find them.
    if strict_json.write(payload) != raw and (
        msgspec.to_builtins(payload) != strict_json.check(raw, TYP)
    ):
        raise MalformedMessageError(TYP, parts.kid, "every field of the payload")
    read_instant(payload.at, "at")
    return payload, period


def _check_parties(
    payload: EnvelopePayload | CoverPayload,
    period: KeyPeriod,
    federation: FederationId,
    own: Group,
) -> None:
    if payload.federation != federation:
        raise NotSignedError(f"federation: {payload.federation} is not ours")
    if payload.from_ != period.sender:
        raise NotSignedError(f"from: the key does not speak for {payload.from_}")
    if payload.to != own:
        raise NotSignedError(f"to: meant for {payload.to}, not for {own}")


def _open_envelope(
    reader: _Reader, keyring: Keyring, federation: FederationId, own: Group
) -> Verified:
    line_1 = reader.take("envelope")
    payload, payload_hash = open_stored(line_1, keyring, federation, own)
    lines = tuple(reader.take("item") for _ in range(payload.count))
    if root_of(lines) != payload.root:
        raise NotSignedError("root: the items are not those that were signed")
    return Verified(
        payload=payload,
        payload_hash=payload_hash,
        line_1=line_1,
        lines=lines,
        boxes=_read_boxes(reader.take_unsigned()),
    )


def open_stored(
    line_1: bytes, keyring: Keyring, federation: FederationId, receiver: Group
) -> tuple[EnvelopePayload, str]:
    """Verify line 1 of an envelope; its items are the caller's to compare.

    Args:
        line_1: as received or sealed.
        keyring: keys of whoever may have sealed it.
        federation: our federation.
        receiver: whom it is meant for.

    Returns:
        What it signs, and the hash of that.

    Raises:
        MalformedMessageError: not line 1 of an envelope.
        NotSignedError: not signed by a key that its sender had at these items, or
            not meant for that receiver.
    """
    payload, period = _open_line_1(line_1, _envelope_decoder, keyring)
    _check_parties(payload, period, federation, receiver)
    check_in_force(period, payload.first)
    check_in_force(period, payload.first + payload.count - 1)
    return payload, line_hash(jws.split(line_1, TYP).payload)


def _read_boxes(lines: Iterator[bytes]) -> dict[int, str]:
    """Read sealed lines; they are unsigned, so a bad one is only left out."""
    boxes = {}
    for line in lines:
        if len(line) > SEALED_LINE_LENGTH_MAX or b"\r" in line:
            continue
        try:
            sealed = strict_json.read(line, sealed_line_decoder, "sealed line")
        except MalformedMessageError:
            continue
        boxes[sealed.for_] = sealed.box
    return boxes


def prove(
    line_1: bytes | str, lines: Sequence[bytes], wanted: Sequence[int]
) -> list[ItemProof]:
    """Give portable proofs of some items of one envelope.

    Args:
        line_1: of the envelope.
        lines: all its items.
        wanted: their indices in the envelope, from 0.
    """
    tree = merkle.Tree(lines)
    text = line_1 if isinstance(line_1, str) else line_1.decode("ascii")
    return [
        ItemProof(
            line=lines[index].decode("utf-8"),
            index=index,
            path=[write_base64url(step) for step in tree.path(index)],
            envelope=text,
        )
        for index in wanted
    ]


@lru_cache(_PROVEN_KEPT)
def _open_proven(text: str, keyring: Keyring) -> tuple[EnvelopePayload, KeyPeriod]:
    """Open the line 1 of a proof; the items of one envelope share it.

    A keyring never changes, and what does not verify is not remembered.
    """
    line_1 = text.encode("ascii", "replace")
    return _open_line_1(line_1, _envelope_decoder, keyring)


def check_proof(
    proof: ItemProof, keyring: Keyring, federation: FederationId, signer: Group
) -> EnvelopePayload:
    """Verify that ``signer`` signed an item, from its portable proof alone.

    The item's number is the payload's ``first`` plus the proof's ``index``; it
    selects the key too.

    Raises:
        MalformedMessageError: not a proof.
        NotSignedError: it proves nothing, or another signer's word.
    """
    payload, period = _open_proven(proof.envelope, keyring)
    _check_parties(payload, period, federation, HUB)
    if payload.from_ != signer:
        raise NotSignedError(f"proof: signed by {payload.from_}, not by {signer}")
    try:
        line = proof.line.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedMessageError("line", proof.line, "UTF-8 text") from None
    root = merkle.root_from_path(
        line,
        proof.index,
        payload.count,
        [read_base64url(step, "path") for step in proof.path],
    )
    if root is None or write_base64url(root) != payload.root:
        raise NotSignedError("proof: the path does not lead to the signed root")
    check_in_force(period, payload.first + proof.index)
    return payload


def check_cover(
    line_1: str, keyring: Keyring, federation: FederationId, signer: Group
) -> CoverPayload:
    """Verify that ``signer`` signed a cover to the hub, from its line 1 alone.

    Raises:
        MalformedMessageError: not a cover.
        NotSignedError: not that group's, or not under its key in force then.
    """
    raw = line_1.encode("ascii", "replace")
    payload, period = _open_line_1(raw, _cover_decoder, keyring)
    _check_parties(payload, period, federation, HUB)
    _check_cover_fields(payload)
    if payload.from_ != signer:
        raise NotSignedError(f"cover: signed by {payload.from_}, not by {signer}")
    check_may_cover(period, payload.first)
    return payload
