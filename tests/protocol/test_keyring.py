import importlib.resources
import json  # noqa: TID251 - another reader than ours

import pytest

from protocol.address import HUB, Group
from protocol.errors import NotSignedError, WeakKeyError
from protocol.keyring import (
    KeyPeriod,
    Keyring,
    SigningKey,
    check_may_cover,
    check_sealing_key,
    check_signing_key,
    key_hash,
    key_id,
    may_sign,
    verify,
)
from tests.protocol.makers import others, sealing_key, signing_key
from tests.vectors import make

P = 2**255 - 19
SIGN = 1 << 255

#: The y of the points of order 8 (RFC 8032's curve): roots of d y^4 + 2 y^2 = 1.
Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7


def encode(number: int) -> bytes:
    return number.to_bytes(32, "little")


#: All eight points: order 1, 2, twice 4 and four times 8.
SMALL_ORDER = {
    "order 1": encode(1),
    "order 2": encode(P - 1),
    "order 4": encode(0),
    "order 4, other sign": encode(0 | SIGN),
    "order 8, first": encode(Y8),
    "order 8, second": encode(Y8 | SIGN),
    "order 8, third": encode(P - Y8),
    "order 8, fourth": encode((P - Y8) | SIGN),
}
#: The same points spelled another way: y + p, or a sign where x is zero.
SMALL_ORDER_OTHERWISE = {
    "order 1, sign": encode(1 | SIGN),
    "order 1, plus p": encode(P + 1),
    "order 1, plus p, sign": encode((P + 1) | SIGN),
    "order 2, sign": encode((P - 1) | SIGN),
    "order 4, plus p": encode(P),
    "order 4, plus p, sign": encode(P | SIGN),
}


def test_the_list_of_small_points_is_right() -> None:
    d = -121665 * pow(121666, -1, P) % P
    for text in SMALL_ORDER.values():
        y = int.from_bytes(text, "little") & (SIGN - 1)
        xx = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        # Order 1, 2: x = 0; order 4: y = 0; order 8: doubling gives y = 0.
        assert xx == 0 or y == 0 or (y * y + xx) % P == 0


@pytest.mark.parametrize("name", [*SMALL_ORDER, *SMALL_ORDER_OTHERWISE])
def test_a_signing_key_of_small_order_is_refused(name: str) -> None:
    public = (SMALL_ORDER | SMALL_ORDER_OTHERWISE)[name]
    with pytest.raises(WeakKeyError):
        check_signing_key(public)


@pytest.mark.parametrize("name", [*SMALL_ORDER, *SMALL_ORDER_OTHERWISE])
def test_nothing_is_signed_by_a_key_of_small_order(name: str) -> None:
    # R = A and s = 0 verifies under every message for naive verifiers.
    public = (SMALL_ORDER | SMALL_ORDER_OTHERWISE)[name]
    for r in (public, encode(1)):
        assert not verify(public, b"pay me", r + bytes(32))


def test_a_point_with_a_small_part_is_refused() -> None:
    """A full point plus one of order 8 still verifies some forgeries elsewhere."""
    import nacl.bindings

    mixed = nacl.bindings.crypto_core_ed25519_add(
        signing_key("oostende").public, SMALL_ORDER["order 8, first"]
    )
    with pytest.raises(WeakKeyError):
        check_signing_key(mixed)


@pytest.mark.parametrize(
    "public",
    [bytes(32), b"\xff" * 32, encode(2), encode(P + 3), encode(P - 2 | SIGN)],
    ids=["zero", "ones", "not on the curve", "not canonical", "off the curve"],
)
def test_what_is_no_point_is_refused(public: bytes) -> None:
    with pytest.raises(WeakKeyError):
        check_signing_key(public)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(WeakKeyError):
        check_signing_key(b"\x09" * length)
    with pytest.raises(WeakKeyError):
        check_sealing_key(b"\x09" * length)


#: RFC 8032, section 7.1: the private halves, as printed there.
RFC_8032_SECRETS = (
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
    "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
)


@pytest.mark.parametrize("secret", RFC_8032_SECRETS)
def test_a_key_whose_secret_is_printed_in_the_rfc_is_refused(secret: str) -> None:
    with pytest.raises(WeakKeyError, match="RFC 8032"):
        check_signing_key(SigningKey(bytes.fromhex(secret)).public)


def test_good_keys_are_welcome() -> None:
    for label in ("hub", "oostende", "mechelen"):
        check_signing_key(signing_key(label).public)
        check_sealing_key(sealing_key(label).public)


#: X25519 points of small order on the curve and its twist (libsodium's list).
X25519_SMALL_ORDER = {
    "0": encode(0),
    "1": encode(1),
    "order 8, first": bytes.fromhex(
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
    ),
    "order 8, second": bytes.fromhex(
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
    ),
    "p - 1": encode(P - 1),
    "p": encode(P),
    "p + 1": encode(P + 1),
}


@pytest.mark.parametrize("name", X25519_SMALL_ORDER)
@pytest.mark.parametrize("top", [0, SIGN], ids=["", "top bit"])
def test_a_sealing_key_of_small_order_is_refused(name: str, top: int) -> None:
    number = int.from_bytes(X25519_SMALL_ORDER[name], "little")
    with pytest.raises(WeakKeyError):
        check_sealing_key(encode(number | top))


def test_a_sealing_key_has_one_spelling() -> None:
    check_sealing_key(encode(9))
    for other in (encode(9 | SIGN), encode(P + 9)):
        with pytest.raises(WeakKeyError, match="canonical"):
            check_sealing_key(other)


def test_a_key_is_known_by_the_hash_of_its_bytes() -> None:
    public = signing_key("oostende").public
    assert len(key_hash(public)) == 43
    assert key_id(public) == key_hash(public)[:16]
    # SHA-256 of nothing, in base64url.
    assert key_hash(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


def test_a_key_signs_from_its_first_to_its_last_item() -> None:
    period = KeyPeriod(Group("oostende"), signing_key("oostende").public, 5, 9)
    found = [number for number in range(1, 20) if may_sign(period, number)]
    assert found == [5, 6, 7, 8, 9]


def test_a_key_in_force_has_no_last_item() -> None:
    period = KeyPeriod(HUB, signing_key("hub").public, 5)
    assert not may_sign(period, 4)
    assert may_sign(period, 5)
    assert may_sign(period, 2**53 - 1)


def test_a_key_that_nobody_has_speaks_for_nobody() -> None:
    ring = Keyring([KeyPeriod(HUB, signing_key("hub").public)])
    assert ring.is_known(signing_key("hub").public)
    assert not ring.is_known(signing_key("oostende").public)
    with pytest.raises(NotSignedError):
        ring.period(signing_key("oostende").kid)


def test_every_changed_bit_of_a_signature_is_refused() -> None:
    key = signing_key("oostende")
    signature = key.sign(b"two blussers")
    assert verify(key.public, b"two blussers", signature)
    for bit in range(8 * 64):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify(key.public, b"two blussers", bytes(changed))


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    key = signing_key("oostende")
    signature = (key.sign(b"") * 2)[:length]
    assert not verify(key.public, b"", signature)


def test_a_signature_with_a_larger_s_is_refused() -> None:
    # RFC 8032, section 5.1.7: s is below the group's order, else it has two spellings.
    order = 2**252 + 27742317777372353535851937790883648493
    key = signing_key("oostende")
    signature = key.sign(b"two blussers")
    larger = int.from_bytes(signature[32:], "little") + order
    assert not verify(key.public, b"two blussers", signature[:32] + encode(larger))


def test_wycheproof_agrees_with_every_answer() -> None:
    vectors = json.loads(others("wycheproof_ed25519.json").read_text())
    seen = 0
    for group in vectors["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            found = verify(
                public, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            )
            assert found is (test["result"] == "valid"), test["tcId"]
            seen += 1
    assert seen == vectors["numberOfTests"] == 151


def test_the_odd_signatures_that_we_accept_are_always_the_same() -> None:
    # The edge cases on which libraries differ: node, hub and offline checker must
    # not. Another answer than the frozen one would split a federation.
    others("cctv_ed25519.json")
    frozen = json.loads((make.FOLDER / "accepted_signatures.json").read_text())
    assert make.accepted_signatures() == frozen
    # A part of small order in a key is refused when the key is registered.
    assert not {"low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R"} & {
        *frozen["flags"]
    }


def test_the_examples_of_ed25519s_authors_verify_and_are_signed_alike() -> None:
    vectors = pytest.importorskip(
        "cryptography_vectors",
        reason="the package cryptography-vectors is not installed",
    )
    folder = importlib.resources.files(vectors) / "asymmetric" / "Ed25519"
    lines = (folder / "sign.input").read_text().splitlines()
    for line in lines:
        secret, public, message, signed = map(bytes.fromhex, line.split(":")[:4])
        key = SigningKey(secret[:32])
        assert key.public == public
        assert key.sign(message) == signed[:64]
        assert verify(public, message, signed[:64])
        assert not verify(public, message + b"\0", signed[:64])
    assert len(lines) == 1024


@pytest.mark.parametrize(
    ("first", "last", "declares", "is_good"),
    [
        *((5, 9, 4, False), (5, 9, 5, True), (5, 9, 9, True)),
        *((5, 9, 10, True), (5, 9, 11, False), (5, None, 10**9, True)),
        # A key that signed no item may yet have signed covers.
        *((5, 4, 5, True), (5, 4, 4, False), (5, 4, 6, False)),
    ],
)
def test_a_cover_may_declare_the_change_that_ends_its_key(
    first: int, last: int | None, declares: int, is_good: bool
) -> None:
    period = KeyPeriod(Group("oostende"), signing_key("oostende").public, first, last)
    if is_good:
        check_may_cover(period, declares)
    else:
        with pytest.raises(NotSignedError):
            check_may_cover(period, declares)
