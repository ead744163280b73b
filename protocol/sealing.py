"""Content for the other group only: the hub carries it and cannot read it.

XChaCha20-Poly1305; the key comes from X25519 and HKDF-SHA-256 (RFC 5869) for one
direction between two sealing keys. ``box`` = the sender's and the receiver's
sealing ``kid`` (12 bytes each), 24 bytes of nonce, ciphertext. Chance is the
caller's to give: nothing here draws any.
"""

from functools import lru_cache

import nacl.bindings
import nacl.exceptions
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.address import FederationId, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import KEY_LENGTH, key_id

NONCE_LENGTH = 24
SALT_LENGTH = 16
#: Lengths that the hub can see; the content's own length it cannot.
PADDED_LENGTHS = (512, 1024, 2048, 4096)
_KID_BYTES = 12
_TAG_LENGTH = 16
#: Deriving a channel costs more than a box; the same keys always give the same one.
_CHANNELS_KEPT = 4096
#: ISO/IEC 7816-4 padding: one such byte, then zeros.
_PADDING_MARK = b"\x80"


class SealingKey:
    """An X25519 private key; never shown."""

    __slots__ = ("_secret", "kid", "public")

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == KEY_LENGTH
        self._secret = secret
        self.public = nacl.bindings.crypto_scalarmult_base(secret)
        self.kid = key_id(self.public)

    def shared(self, public: bytes) -> bytes:
        """Give the X25519 secret shared with ``public``.

        Raises:
            NotSignedError: it is all-zero (RFC 7748, section 6.1).
        """
        try:
            return nacl.bindings.crypto_scalarmult(self._secret, public)
        except (RuntimeError, nacl.exceptions.CryptoError):
            raise NotSignedError("sealing key: of small order") from None


class Channel:
    """One direction between two groups: derived once, used for many boxes."""

    __slots__ = ("_key", "_kids")

    def __init__(self, key: bytes, sender_kid: str, receiver_kid: str) -> None:
        self._key = key
        self._kids = read_base64url(sender_kid, "kid") + read_base64url(
            receiver_kid, "kid"
        )

    def seal(
        self,
        content: bytes,
        nonce: bytes,
        about: str,
        padded_min: int = PADDED_LENGTHS[0],
    ) -> str:
        """Seal one content line.

        Args:
            content: the line, at most 4,095 bytes.
            nonce: 24 bytes of chance, never used before.
            about: item type and id, bound to the box.
            padded_min: one of ``PADDED_LENGTHS``, where even the rough length of
                the content would tell something.
        """
        assert len(nonce) == NONCE_LENGTH
        sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            _pad(content, padded_min), about.encode(), nonce, self._key
        )
        return write_base64url(self._kids + nonce + sealed)

    def open(self, box: str, about: str) -> bytes:
        """Open a box; raises ``NotSignedError`` when it is not for us, so."""
        raw = read_base64url(box, "box")
        start = len(self._kids)
        if raw[:start] != self._kids:
            raise NotSignedError("box: sealed between other keys")
        nonce, sealed = raw[start : start + NONCE_LENGTH], raw[start + NONCE_LENGTH :]
        if len(sealed) - _TAG_LENGTH not in PADDED_LENGTHS:
            raise MalformedMessageError("box", f"{len(raw)} bytes", "a padded length")
        try:
            padded = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed, about.encode(), nonce, self._key
            )
        except nacl.exceptions.CryptoError:
            raise NotSignedError("box: it does not open") from None
        return _unpad(padded)


@lru_cache(maxsize=_CHANNELS_KEPT)
def outgoing(
    own: SealingKey, other: bytes, federation: FederationId, sender: Group, to: Group
) -> Channel:
    """Derive the channel on which ``sender`` (us) seals for ``to``."""
    receiver_kid = key_id(other)
    key = _derive(own.shared(other), federation, sender, to, own.kid, receiver_kid)
    return Channel(key, own.kid, receiver_kid)


@lru_cache(maxsize=_CHANNELS_KEPT)
def incoming(
    own: SealingKey, other: bytes, federation: FederationId, sender: Group, to: Group
) -> Channel:
    """Derive the channel on which ``sender`` sealed for ``to`` (us)."""
    sender_kid = key_id(other)
    key = _derive(own.shared(other), federation, sender, to, sender_kid, own.kid)
    return Channel(key, sender_kid, own.kid)


def box_kids(box: str) -> tuple[str, str]:
    """Read which sealing keys a box says it is between, sender's first."""
    raw = read_base64url(box, "box")
    if len(raw) < 2 * _KID_BYTES + NONCE_LENGTH + _TAG_LENGTH:
        raise MalformedMessageError("box", f"{len(raw)} bytes", "a sealed line's box")
    return (
        write_base64url(raw[:_KID_BYTES]),
        write_base64url(raw[_KID_BYTES : 2 * _KID_BYTES]),
    )


def _derive(
    shared: bytes,
    federation: FederationId,
    sender: Group,
    to: Group,
    sender_kid: str,
    receiver_kid: str,
) -> bytes:
    # The direction stands in the info, so the two directions never share a key.
    parts = ("interlets-box-1", federation, sender, to, sender_kid, receiver_kid)
    told = "\n".join(parts).encode()
    return HKDF(SHA256(), KEY_LENGTH, salt=None, info=told).derive(shared)


def _pad(content: bytes, padded_min: int) -> bytes:
    for length in PADDED_LENGTHS:
        if length >= padded_min and len(content) < length:
            return (content + _PADDING_MARK).ljust(length, b"\x00")
    raise MalformedMessageError(
        "content", f"{len(content)} bytes", f"fewer than {PADDED_LENGTHS[-1]}"
    )


def _unpad(padded: bytes) -> bytes:
    content = padded.rstrip(b"\x00")
    if not content.endswith(_PADDING_MARK):
        raise MalformedMessageError("content", f"{len(padded)} bytes", "padding")
    return content[:-1]
