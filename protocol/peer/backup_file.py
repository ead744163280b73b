"""A backup's file: frames of bytes, encrypted under a passphrase, in one order only.

What the frames hold is ``backup``'s business. The file is::

    line 1     interlets-backup 1
    line 2     {"kdf":"argon2id13","memory":...,"passes":...,"salt":"..."}
    24 bytes   header of libsodium's secretstream (XChaCha20-Poly1305)
    frames     4 bytes: length of what follows, big-endian; then a message of the
               stream: one byte that says what it is, and its content, encrypted

The key is Argon2id's of the passphrase, as line 2 says. The SHA-256 of lines 1 and 2
is associated data of every message, so each byte of the file is authenticated; the
stream refuses a message that changed, is missing, came twice or changed places, and
only its last message has the tag ``final``, so an end that was cut off is noticed.
Both sides hold one frame in memory, however large the file.
"""

import hashlib
import secrets
import unicodedata
from typing import Annotated, BinaryIO, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Meta
from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from protocol.base64url import read_base64url, write_base64url
from protocol.errors import MalformedMessageError, OutageError
from protocol.peer.command_line import DataError

#: Most content of one frame; a mebibyte and more would only cost memory.
CONTENT_LENGTH_MAX = 512 * 1024
PASSPHRASE_LENGTH_MIN = 12

_LINE_1 = b"interlets-backup 1\n"
_NAME = b"interlets-backup "
_LINE_LENGTH_MAX = 512
_LENGTH_BYTES = 4
_HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_OVERHEAD = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_MIB = 1024 * 1024


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Line 2: how the key comes from the passphrase.

    The bounds keep a stranger's file from taking all of this machine's memory.
    """

    kdf: Literal["argon2id13"] = "argon2id13"
    memory: Annotated[int, Meta(ge=8192, le=1024 * _MIB)] = 128 * _MIB
    passes: Annotated[int, Meta(ge=1, le=20)] = 4
    salt: str = ""


class Sink(Protocol):
    """Where a backup is written."""

    def write(self, content: bytes, /) -> object:
        """Write on."""


class Frame(NamedTuple):
    """One frame: what it is, by one letter, and its content."""

    kind: bytes
    content: bytes


class BackupWriter:
    """Writes frames; the file is whole only after ``close``.

    Args:
        file: where to write, at its beginning.
        passphrase: of the people who will restore it.
        cost: what each guess at the passphrase costs; its salt is drawn here.
    """

    def __init__(self, file: Sink, passphrase: str, cost: Cost | None = None) -> None:
        salt = secrets.token_bytes(argon2id.SALTBYTES)
        cost = msgspec.structs.replace(cost or Cost(), salt=write_base64url(salt))
        lines = _LINE_1 + msgspec.json.encode(cost) + b"\n"
        self._file = file
        self._bound = hashlib.sha256(lines).digest()
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        header = bindings.crypto_secretstream_xchacha20poly1305_init_push(
            self._state, _key(passphrase, cost)
        )
        file.write(lines + header)

    def write(self, kind: bytes, content: bytes) -> None:
        """Write a frame that is not the last."""
        self._push(Frame(kind, content), _MESSAGE)

    def close(self, kind: bytes, content: bytes) -> None:
        """Write the last frame."""
        self._push(Frame(kind, content), _FINAL)

    def _push(self, frame: Frame, tag: int) -> None:
        assert len(frame.kind) == 1 and len(frame.content) <= CONTENT_LENGTH_MAX
        message = bindings.crypto_secretstream_xchacha20poly1305_push(
            self._state, frame.kind + frame.content, self._bound, tag
        )
        self._file.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)


class BackupReader:
    """Reads frames, and believes none that is not as it was written.

    Args:
        file: at its beginning.
        name: of the file, for sentences.
        passphrase: it was written under.

    Raises:
        DataError: no backup, one of a newer program, or another passphrase's.
    """

    def __init__(self, file: BinaryIO, name: str, passphrase: str) -> None:
        self._file = file
        self._name = name
        line_1 = file.readline(_LINE_LENGTH_MAX)
        if line_1 != _LINE_1:
            raise DataError(f"{name}: {_what_instead(line_1)}")
        line_2 = file.readline(_LINE_LENGTH_MAX)
        self._bound = hashlib.sha256(line_1 + line_2).digest()
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        key = _key(passphrase, self._read_cost(line_2))
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(
            self._state, self._exactly(_HEADER_BYTES), key
        )
        self._is_first = True
        self._has_ended = False

    def read(self) -> Frame | None:
        """Give the next frame; ``None`` after the last one.

        Raises:
            DataError: the file was changed, cut off, or goes on after its end.
        """
        if self._has_ended:
            if self._some(1):
                raise DataError(f"{self._name}: goes on after its end; {_ANOTHER}")
            return None
        place = self._file.tell()
        length = int.from_bytes(self._exactly(_LENGTH_BYTES), "big")
        if not _OVERHEAD < length <= _OVERHEAD + 1 + CONTENT_LENGTH_MAX:
            raise DataError(self._changed(place))
        try:
            message, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                self._state, self._exactly(length), self._bound
            )
        except CryptoError:
            raise DataError(self._changed(place)) from None
        self._is_first, self._has_ended = False, tag == _FINAL
        return Frame(message[:1], message[1:])

    def place(self) -> int:
        """Say how many bytes have been read."""
        return self._file.tell()

    def _read_cost(self, line_2: bytes) -> Cost:
        try:
            cost = msgspec.json.decode(line_2, type=Cost)
            if len(read_base64url(cost.salt, "salt")) == argon2id.SALTBYTES:
                return cost
        except (msgspec.MsgspecError, MalformedMessageError, UnicodeDecodeError):
            pass
        raise DataError(f"{self._name}: line 2 was changed; {_ANOTHER}")

    def _exactly(self, length: int) -> bytes:
        read = self._some(length)
        if len(read) != length:
            raise DataError(f"{self._name}: its end is missing; {_ANOTHER}")
        return read

    def _some(self, length: int) -> bytes:
        try:
            return self._file.read(length)
        except OSError as error:
            told = f"{self._name}: cannot be read: {error.strerror}"
            raise DataError(told) from None

    def _changed(self, place: int) -> str:
        if self._is_first:
            return (
                f"{self._name}: the passphrase is not this backup's, or the file's"
                " beginning was changed; nothing was read"
            )
        return f"{self._name}: was changed behind byte {place}; {_ANOTHER}"


_ANOTHER = "take another copy of it, or an older backup"


def _what_instead(line_1: bytes) -> str:
    if line_1.startswith(_NAME):
        return "is a backup in another format; expected format 1: take a newer program"
    return "is no backup; expected a file that the verb backup has written"


def _key(passphrase: str, cost: Cost) -> bytes:
    # However the keyboard wrote an accent, it is the same passphrase.
    typed = unicodedata.normalize("NFC", passphrase).encode()
    salt = read_base64url(cost.salt, "salt")
    size = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
    try:
        return argon2id.kdf(
            size, typed, salt, opslimit=cost.passes, memlimit=cost.memory
        )
    except CryptoError:
        memory = cost.memory // _MIB
        raise OutageError(
            f"this machine has not the {memory} MiB free for it"
        ) from None
