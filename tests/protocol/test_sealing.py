import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address import FederationId, Group
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import key_id
from protocol.sealing import (
    PADDED_LENGTHS,
    Channel,
    box_kids,
    incoming,
    outgoing,
)
from tests.protocol.makers import (
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    sealing_key,
    seed,
)
from tests.protocol.test_keyring import X25519_SMALL_ORDER

NONCE = seed("nonce")[:24]
ABOUT = "transfer.prepare 0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"
OURS, THEIRS = sealing_key("oostende"), sealing_key("mechelen")


def sender() -> Channel:
    return outgoing(OURS, THEIRS.public, FEDERATION, OOSTENDE, MECHELEN)


def receiver() -> Channel:
    return incoming(THEIRS, OURS.public, FEDERATION, OOSTENDE, MECHELEN)


def sealed_length(box: str) -> int:
    return len(base64.urlsafe_b64decode(box + "=" * (-len(box) % 4)))


#: Both kids, the nonce and the tag around the padded content.
AROUND = 12 + 12 + 24 + 16


@pytest.mark.parametrize(
    ("length", "padded"),
    [
        (0, 512),
        (1, 512),
        (511, 512),
        (512, 1024),
        (1023, 1024),
        (1024, 2048),
        (2047, 2048),
        (2048, 4096),
        (4095, 4096),
    ],
)
def test_the_hub_sees_one_of_four_lengths(length: int, padded: int) -> None:
    content = b"x" * length
    box = sender().seal(content, NONCE, ABOUT)
    assert sealed_length(box) == AROUND + padded
    assert padded in PADDED_LENGTHS
    assert receiver().open(box, ABOUT) == content


def test_content_has_at_most_4095_bytes() -> None:
    with pytest.raises(MalformedMessageError):
        sender().seal(b"x" * 4096, NONCE, ABOUT)


@given(st.binary(max_size=4095))
def test_any_content_comes_back(content: bytes) -> None:
    assert receiver().open(sender().seal(content, NONCE, ABOUT), ABOUT) == content


@pytest.mark.parametrize("tail", [b"\0", b"\x80", b"\x80\0\0", b"\0\x80"])
def test_content_that_ends_like_padding_comes_back(tail: bytes) -> None:
    box = sender().seal(b"memo" + tail, NONCE, ABOUT)
    assert receiver().open(box, ABOUT) == b"memo" + tail


def test_a_box_names_the_two_keys_that_it_is_between() -> None:
    box = sender().seal(b"memo", NONCE, ABOUT)
    assert box_kids(box) == (key_id(OURS.public), key_id(THEIRS.public))


def test_a_box_too_short_for_two_keys_is_no_box() -> None:
    with pytest.raises(MalformedMessageError):
        box_kids("A" * 80)


def test_the_sender_cannot_open_its_box_as_if_it_were_an_answer() -> None:
    # The two directions have different keys though the shared secret is one.
    box = sender().seal(b"memo", NONCE, ABOUT)
    back = incoming(OURS, THEIRS.public, FEDERATION, MECHELEN, OOSTENDE)
    with pytest.raises(NotSignedError):
        back.open(box, ABOUT)


def test_the_two_directions_have_different_keys() -> None:
    # Here even the kids are made to fit, so that only the key can tell.
    there = sender().seal(b"memo", NONCE, ABOUT)
    back = outgoing(THEIRS, OURS.public, FEDERATION, MECHELEN, OOSTENDE)
    here = back.seal(b"memo", NONCE, ABOUT)
    assert there[32:] != here[32:]  # the kids are the first 32 letters
    with pytest.raises(NotSignedError, match="does not open"):
        receiver().open(there[:32] + here[32:], ABOUT)


def test_a_box_opens_only_for_the_item_that_it_is_about() -> None:
    box = sender().seal(b"memo", NONCE, ABOUT)
    for other in ("", ABOUT[:-1], ABOUT + "c", ABOUT.replace("prepare", "offer")):
        with pytest.raises(NotSignedError):
            receiver().open(box, other)


OTHER_FEDERATION = FederationId("lets-france" + FEDERATION[FEDERATION.index("#") :])


@pytest.mark.parametrize(
    ("federation", "payer", "payee"),
    [
        (OTHER_FEDERATION, OOSTENDE, MECHELEN),
        (FEDERATION, Group("brussel"), MECHELEN),
        (FEDERATION, OOSTENDE, Group("brussel")),
    ],
    ids=["federation", "sender", "receiver"],
)
def test_a_box_opens_only_in_its_federation_and_between_its_groups(
    federation: FederationId, payer: Group, payee: Group
) -> None:
    box = sender().seal(b"memo", NONCE, ABOUT)
    other = incoming(THEIRS, OURS.public, federation, payer, payee)
    with pytest.raises(NotSignedError, match="does not open"):
        other.open(box, ABOUT)


def test_nobody_else_opens_a_box() -> None:
    box = sender().seal(b"memo", NONCE, ABOUT)
    hub = incoming(sealing_key("hub"), OURS.public, FEDERATION, OOSTENDE, MECHELEN)
    with pytest.raises(NotSignedError):
        hub.open(box, ABOUT)


@pytest.mark.parametrize("length", [0, 4095])
def test_every_changed_bit_of_a_box_is_refused(length: int) -> None:
    box = sender().seal(b"x" * length, NONCE, ABOUT).encode()
    channel = receiver()
    for bit in range(8 * len(box)):
        changed = bytearray(box)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((NotSignedError, MalformedMessageError)):
            channel.open(changed.decode("latin-1"), ABOUT)


@pytest.mark.parametrize("cut", [1, 2, 16, 512, 700])
def test_a_box_cut_short_or_made_longer_is_refused(cut: int) -> None:
    box = sender().seal(b"memo", NONCE, ABOUT)
    for other in (box[:-cut], box + "A" * cut, ""):
        with pytest.raises((NotSignedError, MalformedMessageError)):
            receiver().open(other, ABOUT)


@pytest.mark.parametrize("name", X25519_SMALL_ORDER)
def test_nothing_is_sealed_for_a_key_of_small_order(name: str) -> None:
    with pytest.raises(NotSignedError):
        outgoing(OURS, X25519_SMALL_ORDER[name], FEDERATION, OOSTENDE, MECHELEN)
