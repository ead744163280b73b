"""Signatures that cost a microsecond: a hash in Ed25519's place.

In most seeds what matters is who signed what, not by which mathematics: a quick
signature is the hash of public key and message. Nobody here forges one that was not
made with ``sign``, for liars sign with their own keys only. A part of all seeds runs
with real Ed25519, so that quick keys hide nothing (see ``swarm``).
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import nacl.bindings
import nacl.exceptions

from protocol import keyring


class _Bindings:
    """As much of libsodium as ``protocol.keyring`` asks for signatures."""

    crypto_core_ed25519_is_valid_point = staticmethod(lambda public: True)
    #: Real, but each sealing key is looked at once, and not at every start again.
    crypto_scalarmult = staticmethod(lru_cache(1024)(nacl.bindings.crypto_scalarmult))

    @staticmethod
    def crypto_sign_seed_keypair(seed: bytes) -> tuple[bytes, bytes]:
        public = hashlib.blake2b(seed, digest_size=32).digest()
        return public, public

    @staticmethod
    def crypto_sign(message: bytes, secret: bytes) -> bytes:
        return hashlib.blake2b(message, key=secret).digest() + message

    @staticmethod
    def crypto_sign_open(signed: bytes, public: bytes) -> bytes:
        message = signed[64:]
        if hashlib.blake2b(message, key=public).digest() != signed[:64]:
            raise nacl.exceptions.BadSignatureError("not signed so")
        return message


class _QuickNacl:
    bindings = _Bindings
    exceptions = nacl.exceptions


@contextmanager
def quick_keys(*, are_quick: bool = True) -> Iterator[None]:
    """Sign and verify quickly while this lasts; keys must be made inside."""
    real = keyring.nacl  # type: ignore[attr-defined]
    if are_quick:
        keyring.nacl = _QuickNacl  # type: ignore[assignment, attr-defined]
    try:
        yield
    finally:
        keyring.nacl = real  # type: ignore[attr-defined]
