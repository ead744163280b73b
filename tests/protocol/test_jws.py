import pytest
from joserfc import jws as oracle
from joserfc.jwk import OKPKey

from protocol import jws
from protocol.base64url import write_base64url
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import SigningKey
from tests.protocol.makers import seed, signing_key

TYP = "interlets-envelope"
PAYLOAD = b'{"v":1}'


def oracle_key(label: str) -> OKPKey:
    key = signing_key(label)
    return OKPKey.import_key(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": write_base64url(key.public),
            "d": write_base64url(seed(f"signing key of {label}")),
        }
    )


def opened(text: str | bytes, key: SigningKey, typ: str = TYP) -> bytes:
    return jws.check(jws.split(text, typ), key.public)


def test_what_is_signed_is_read_back() -> None:
    key = signing_key("oostende")
    assert opened(jws.sign(PAYLOAD, key, TYP), key) == PAYLOAD


def test_another_hand_verifies_what_we_sign() -> None:
    text = jws.sign(PAYLOAD, signing_key("oostende"), TYP)
    found = oracle.deserialize_compact(
        text, oracle_key("oostende"), algorithms=["Ed25519"]
    )
    assert found.payload == PAYLOAD
    assert found.headers() == {
        "alg": "Ed25519",
        "kid": signing_key("oostende").kid,
        "typ": TYP,
    }


def test_we_verify_what_another_hand_signs_letter_for_letter() -> None:
    key = signing_key("oostende")
    head = {"alg": "Ed25519", "kid": key.kid, "typ": TYP}
    text = oracle.serialize_compact(
        head, PAYLOAD, oracle_key("oostende"), algorithms=["Ed25519"]
    )
    assert text == jws.sign(PAYLOAD, key, TYP)
    assert opened(text, key) == PAYLOAD


KID = signing_key("oostende").kid.encode()


@pytest.mark.parametrize(
    "head",
    [
        b'{"alg":"EdDSA","kid":"%s","typ":"interlets-envelope"}' % KID,
        b'{"alg":"none","kid":"%s","typ":"interlets-envelope"}' % KID,
        b'{"alg":"HS256","kid":"%s","typ":"interlets-envelope"}' % KID,
        b'{"alg":"ed25519","kid":"%s","typ":"interlets-envelope"}' % KID,
        b'{"kid":"%s","alg":"Ed25519","typ":"interlets-envelope"}' % KID,
        b'{"alg":"Ed25519","kid":"%s","typ":"interlets-envelope" }' % KID,
        b'{"alg": "Ed25519","kid":"%s","typ":"interlets-envelope"}' % KID,
        b'{"alg":"Ed25519","kid":"%s","typ":"interlets-entry"}' % KID,
        b'{"alg":"Ed25519","kid":"%s"}' % KID,
        b'{"alg":"Ed25519","kid":"%s","typ":"interlets-envelope","crit":[]}' % KID,
        b'{"alg":"Ed25519","kid":"%s","kid":"x","typ":"interlets-envelope"}' % KID,
        b'{"alg":"Ed25519","kid":"%s","typ":"interlets-envelope"}\n' % KID,
        b'{"alg":"Ed25519","kid":"%s","typ":"interlets-envelope"}' % KID[:15],
        b'{"alg":"Ed25519","kid":"%s=","typ":"interlets-envelope"}' % KID[:15],
        b'{"alg":"Ed25519","kid":"%sA","typ":"interlets-envelope"}' % KID,
        b"",
    ],
)
def test_a_header_that_is_not_ours_is_refused_though_rightly_signed(
    head: bytes,
) -> None:
    key = signing_key("oostende")
    signing_input = f"{write_base64url(head)}.{write_base64url(PAYLOAD)}"
    signature = write_base64url(key.sign(signing_input.encode()))
    with pytest.raises(MalformedMessageError):
        jws.split(f"{signing_input}.{signature}", TYP)


def test_one_kind_of_statement_is_never_taken_for_another() -> None:
    text = jws.sign(PAYLOAD, signing_key("oostende"), "interlets-entry")
    assert jws.split(text, "interlets-entry")
    with pytest.raises(MalformedMessageError):
        jws.split(text, TYP)


def test_another_key_did_not_sign_it() -> None:
    text = jws.sign(PAYLOAD, signing_key("oostende"), TYP)
    with pytest.raises(NotSignedError):
        opened(text, signing_key("mechelen"))


def test_every_changed_bit_is_refused() -> None:
    key = signing_key("oostende")
    text = jws.sign(PAYLOAD, key, TYP).encode()
    for bit in range(8 * len(text)):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((MalformedMessageError, NotSignedError)):
            opened(bytes(changed), key)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d", "....", "a b c"])
def test_what_has_not_three_parts_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        jws.split(text, TYP)


def test_padding_and_white_space_are_refused() -> None:
    text = jws.sign(PAYLOAD, signing_key("oostende"), TYP)
    for other in (text + "=", text + "==", text + "\n", " " + text, text + "."):
        with pytest.raises(MalformedMessageError):
            jws.split(other, TYP)
