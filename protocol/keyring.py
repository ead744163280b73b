"""Which key speaks for whom, from when to when; and the one ``verify``.

Every server has an Ed25519 signing key, an X25519 sealing key and an Ed25519
recovery key that never stays on it. A signing key's period is in item numbers
of its sender's stream (protocol, section 3). Everyone verifies with libsodium:
other libraries accept forged signatures under keys of small order.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import msgspec
import nacl.bindings
import nacl.exceptions

from protocol.address import Group
from protocol.base64url import write_base64url
from protocol.errors import NotSignedError, WeakKeyError

KEY_LENGTH = 32
SIGNATURE_LENGTH = 64
KID_LENGTH = 16
#: Each cover and each batch names the same few keys. A dishonest peer can only make
#: this forget, which costs two microseconds.
_NAMED_KEPT = 1024

#: RFC 8032, section 7.1: their private halves stand in the RFC.
_PUBLISHED = frozenset(
    bytes.fromhex(text)
    for text in (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    )
)
#: 2^255 - 19, the field's prime; an X25519 key at or above it has a second spelling.
_PRIME = 2**255 - 19


class SigningKey:
    """An Ed25519 private key, ready to sign; never shown."""

    __slots__ = ("_secret", "kid", "public")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == KEY_LENGTH
        self.public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.kid = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Sign with Ed25519 (RFC 8032); 64 bytes, the same each time."""
        return nacl.bindings.crypto_sign(message, self._secret)[:SIGNATURE_LENGTH]


@lru_cache(_NAMED_KEPT)
def key_id(public: bytes) -> str:
    """Give a key's ``kid``: 16 characters of its base64url SHA-256."""
    return key_hash(public)[:KID_LENGTH]


def key_hash(public: bytes) -> str:
    """Give a key's whole SHA-256 in base64url, 43 characters."""
    return write_base64url(hashlib.sha256(public).digest())


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether ``signature`` is ``public``'s over ``message``.

    The one function in this project that verifies a signature.
    """
    if len(signature) != SIGNATURE_LENGTH or len(public) != KEY_LENGTH:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False
    return True


def check_signing_key(public: bytes) -> None:
    """Refuse a signing or recovery key that must not be registered.

    Raises:
        WeakKeyError: all-zero, of small order, not canonical, not on the curve,
            or one of RFC 8032's examples (protocol, section 3).
    """
    if len(public) != KEY_LENGTH:
        raise WeakKeyError(f"key: found {len(public)} bytes; expected {KEY_LENGTH}")
    if public in _PUBLISHED:
        raise WeakKeyError("key: it is an example of RFC 8032, known to everyone")
    if not nacl.bindings.crypto_core_ed25519_is_valid_point(public):
        raise WeakKeyError("key: not a canonical point of full order on Ed25519")


def check_sealing_key(public: bytes) -> None:
    """Refuse an X25519 key that must not be registered.

    Raises:
        WeakKeyError: wrong length, a second spelling, or of small order, so
            that every shared secret with it would be all-zero (RFC 7748, 6.1).
    """
    if len(public) != KEY_LENGTH:
        raise WeakKeyError(f"key: found {len(public)} bytes; expected {KEY_LENGTH}")
    if int.from_bytes(public, "little") >= _PRIME:
        raise WeakKeyError("key: not the canonical spelling of an X25519 key")
    try:
        nacl.bindings.crypto_scalarmult(b"\x01" * KEY_LENGTH, public)
    except (RuntimeError, nacl.exceptions.CryptoError):
        raise WeakKeyError("key: an X25519 key of small order") from None


class KeyPeriod(msgspec.Struct, frozen=True):
    """One signing key and the item numbers it may sign.

    Attributes:
        sender: whom it speaks for.
        public: 32 bytes.
        first: first item number of the sender's stream that it may sign.
        last: last one; ``None`` while it is in force.
    """

    sender: Group
    public: bytes
    first: int = 1
    last: int | None = None

    @property
    def kid(self) -> str:
        """The key's id."""
        return key_id(self.public)


class Keyring:
    """Keys of peers by ``kid``; old ones stay, so old evidence verifies."""

    __slots__ = ("_periods",)

    def __init__(self, periods: Iterable[KeyPeriod] = ()) -> None:
        self._periods = {period.kid: period for period in periods}

    def period(self, kid: str) -> KeyPeriod:
        """Find a key; raises ``NotSignedError`` when nobody here knows it."""
        try:
            return self._periods[kid]
        except KeyError:
            raise NotSignedError(f"kid: nobody here has the key {kid!r}") from None

    def knows(self, period: KeyPeriod) -> bool:
        """Say whether a key still counts for just these items."""
        return self._periods.get(period.kid) == period

    def is_known(self, public: bytes) -> bool:
        """Say whether anyone has used this key."""
        return key_id(public) in self._periods


def check_in_force(period: KeyPeriod, number: int) -> None:
    """Check that a key was in force at an item number, and say how it was not.

    Raises:
        NotSignedError: too early, or revoked before.
    """
    if number < period.first:
        told = f"not in force before item {period.first}; this is {number}"
        raise NotSignedError(f"kid: {told}")
    if not may_sign(period, number):
        told = f"not in force after item {period.last}; this is {number}"
        raise NotSignedError(f"kid: revoked: {told}")


def check_may_cover(period: KeyPeriod, first: int) -> None:
    """Check that a key may have signed a cover that declares items below ``first``.

    Whoever has sealed a change of keys, and does not know yet that it was taken,
    still signs with the old key: its cover declares everything up to the change.

    Raises:
        NotSignedError: too early, or revoked before.
    """
    if period.last is None or first != period.last + 1:
        check_in_force(period, first)


def may_sign(period: KeyPeriod, number: int) -> bool:
    """Say whether a key was in force at an item number."""
    return period.first <= number and (period.last is None or number <= period.last)
