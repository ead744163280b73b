"""Signed text: a compact JWS (RFC 7515) with Ed25519 (RFC 9864), nothing else.

The header is compared as bytes with the one we would write, so there is no
algorithm to choose and no header field to misread. Verify first, parse after.
"""

import re
from functools import lru_cache

import msgspec

from protocol.base64url import read_base64url, write_base64url
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import KID_LENGTH, SigningKey, verify

_HEADER = re.compile(
    rb'\{"alg":"Ed25519","kid":"([A-Za-z0-9_-]{%d})","typ":"([a-z-]+)"\}' % KID_LENGTH
)
#: One key writes the same header each time. Whoever sends many other ones can only
#: make this forget, which costs two microseconds.
_HEADERS_KEPT = 1024


class Jws(msgspec.Struct, frozen=True):
    """A compact JWS taken apart, not yet verified.

    Attributes:
        kid: the key that it says signed it.
        typ: what kind of statement it says it is.
        payload: the signed bytes.
        signing_input: what the signature is over.
        signature: 64 bytes.
    """

    kid: str
    typ: str
    payload: bytes
    signing_input: bytes
    signature: bytes


def header(kid: str, typ: str) -> bytes:
    """Write the one header there is."""
    return b'{"alg":"Ed25519","kid":"%s","typ":"%s"}' % (kid.encode(), typ.encode())


def sign(payload: bytes, key: SigningKey, typ: str) -> str:
    """Sign ``payload`` as a compact JWS."""
    head = _written_header(key.kid, typ)
    signing_input = f"{head}.{write_base64url(payload)}"
    return f"{signing_input}.{write_base64url(key.sign(signing_input.encode()))}"


def split(text: str | bytes, typ: str) -> Jws:
    """Take a compact JWS apart without believing it.

    Args:
        text: the compact form.
        typ: the kind of statement that is expected.

    Raises:
        MalformedMessageError: not three parts of strict base64url, or another
            header than ours.
    """
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    parts = raw.split(b".")
    if len(parts) != 3:
        raise MalformedMessageError(typ, raw, "three parts with a '.' between")
    return Jws(
        kid=_read_kid(parts[0], typ),
        typ=typ,
        payload=read_base64url(parts[1], f"{typ} payload"),
        signing_input=parts[0] + b"." + parts[1],
        signature=read_base64url(parts[2], f"{typ} signature"),
    )


@lru_cache(_HEADERS_KEPT)
def _written_header(kid: str, typ: str) -> str:
    return write_base64url(header(kid, typ))


@lru_cache(_HEADERS_KEPT)
def _read_kid(part: bytes, typ: str) -> str:
    """Read the key's id in the one header there is; another is not remembered."""
    head = read_base64url(part, f"{typ} header")
    found = _HEADER.fullmatch(head)
    if not found or found[2] != typ.encode():
        raise MalformedMessageError(
            f"{typ} header", head, header("...", typ).decode("ascii")
        )
    return found[1].decode("ascii")


def check(jws: Jws, public: bytes) -> bytes:
    """Verify, and only then hand out the payload.

    Raises:
        NotSignedError: the signature is not ``public``'s.
    """
    if not verify(public, jws.signing_input, jws.signature):
        raise NotSignedError(f"{jws.typ}: the signature does not verify")
    return jws.payload
