"""A server's private keys, each in a file of its own, readable by nobody else.

The recovery key is not among them: it is shown once, as a sheet to keep on
paper, and lies on the server only until then (protocol, section 3).
"""

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from mnemonic import Mnemonic

from protocol.base64url import read_base64url, write_base64url
from protocol.errors import InterletsError, MalformedMessageError
from protocol.keyring import KEY_LENGTH, SigningKey
from protocol.peer.command_line import CannotCreateError
from protocol.peer.settings import SettingsError, read_secret
from protocol.sealing import SealingKey

_CHECKSUM_LENGTH = 4
#: Words on a sheet; four letters are enough to know one.
WORDS = 24
_PREFIX_LENGTH = 4
_SHEET = "recovery-sheet.txt"
_FILE_ID_LENGTH = 16


class KeyFileError(InterletsError):
    """A key file is not there, or is not one."""


class ServerKeys(msgspec.Struct, frozen=True):
    """The keys that a running server needs.

    Attributes:
        signing: the oldest that is there.
        sealing: likewise.
        more_signing: all others; which of them counts, the directory tells.
        more_sealing: all others; each opens what was sealed for it.
        unread: by name, files that were passed over, and what is wrong with each.
    """

    signing: SigningKey
    sealing: SealingKey
    more_signing: tuple[SigningKey, ...] = ()
    more_sealing: tuple[SealingKey, ...] = ()
    unread: Mapping[str, str] = {}

    def all_signing(self) -> dict[str, SigningKey]:
        """Give the signing keys by id."""
        return {key.kid: key for key in (self.signing, *self.more_signing)}

    def all_sealing(self) -> dict[str, SealingKey]:
        """Give the sealing keys by id."""
        return {key.kid: key for key in (self.sealing, *self.more_sealing)}

    def why_unread(self, use: str, public: bytes) -> str | None:
        """Say what is wrong with the file of a key; ``None``: nothing that we know."""
        return self.unread.get(f"{use}-{_file_id(public)}.key")

    def with_pair(self, pair: "KeyPair") -> "ServerKeys":
        """Give these keys and a new pair."""
        return msgspec.structs.replace(
            self,
            more_signing=(*self.more_signing, pair.signing),
            more_sealing=(*self.more_sealing, pair.sealing),
        )


class KeyPair(msgspec.Struct, frozen=True):
    """New keys, before anybody has heard of them."""

    signing: SigningKey
    sealing: SealingKey


def ensure_keys(folder: Path) -> ServerKeys:
    """Make the keys that ``folder`` lacks; one that is there stays as it is.

    So a command that was cut off half-way can be given again.

    Raises:
        KeyFileError: a file that is there cannot be a key.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("signing.key", "sealing.key"):
        if not (folder / name).exists():
            secret = write_base64url(secrets.token_bytes(KEY_LENGTH))
            write_secret(folder / name, secret)
    return load_keys(folder)


def load_keys(folder: Path) -> ServerKeys:
    """Read all keys, the oldest first.

    A later file that is no key is passed over: whether it is needed, the directory
    tells.

    Raises:
        KeyFileError: one of the first is missing, or no file of a use is a key.
        SettingsError: others can reach one of the first.
    """
    unread: dict[str, str] = {}
    signing = [SigningKey(seed) for seed in _read_all(folder, "signing", unread)]
    sealing = [SealingKey(seed) for seed in _read_all(folder, "sealing", unread)]
    more = tuple(signing[1:]), tuple(sealing[1:])
    return ServerKeys(signing[0], sealing[0], *more, unread)


def _read_all(folder: Path, use: str, unread: dict[str, str]) -> list[bytes]:
    """Read the keys of one use, and note what was passed over."""
    found = []
    for path in _paths(folder, use):
        try:
            found.append(_read_key(path))
        except (KeyFileError, SettingsError) as error:
            # Only the name of a later file tells whose key it should be.
            if path.name == f"{use}.key":
                raise
            unread[path.name] = str(error)
    if not found:
        raise KeyFileError(" ".join(unread.values()))
    return found


def _paths(folder: Path, use: str) -> list[Path]:
    """List the files of one use; where a server lost its first, others may do."""
    later = sorted(folder.glob(f"{use}-*.key"))
    first = folder / f"{use}.key"
    return [first, *later] if first.exists() or not later else later


def find_keys(folder: Path, pair: KeyPair) -> ServerKeys:
    """Read all keys, or give those of a pair alone where either kind is lost.

    No file is missed here that cannot be read: the pair takes its place.

    Raises:
        KeyFileError: one of the first cannot be a key.
        SettingsError: others can reach one of the first.
    """
    uses = ("signing", "sealing")
    if all(path.exists() for use in uses for path in _paths(folder, use)):
        return msgspec.structs.replace(load_keys(folder), unread={})
    return ServerKeys(pair.signing, pair.sealing)


def new_seeds() -> tuple[bytes, bytes]:
    """Draw what a new pair of keys is made of."""
    return secrets.token_bytes(KEY_LENGTH), secrets.token_bytes(KEY_LENGTH)


def pair_of(seeds: tuple[bytes, bytes]) -> KeyPair:
    """Make a pair of keys of its seeds."""
    return KeyPair(SigningKey(seeds[0]), SealingKey(seeds[1]))


def add_keys(folder: Path, seeds: tuple[bytes, bytes] | None = None) -> KeyPair:
    """Make a new pair of keys, durable before anybody hears of it.

    Files are only ever added: whichever counts, a server that was stopped at any
    place finds it, and former keys still open and prove what is old.

    Raises:
        CannotCreateError: the folder does not let us.
    """
    seeds = seeds or new_seeds()
    pair = pair_of(seeds)
    texts = {
        f"signing-{_file_id(pair.signing.public)}.key": write_base64url(seeds[0]),
        f"sealing-{_file_id(pair.sealing.public)}.key": write_base64url(seeds[1]),
    }
    write_files(folder, texts)
    return pair


def _file_id(public: bytes) -> str:
    """Name a key in small letters: its kid has capitals, which not every disk keeps."""
    return hashlib.sha256(public).hexdigest()[:_FILE_ID_LENGTH]


def _read_key(path: Path) -> bytes:
    if not path.exists():
        raise KeyFileError(f"{path}: no key there; run init or join first.")
    try:
        key = read_base64url(read_secret(path), "key")
    except MalformedMessageError:
        key = b""
    if len(key) != KEY_LENGTH:
        raise KeyFileError(f"{path}: this is not a key of 32 bytes in base64url.")
    return key


def write_secret(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Raises:
        FileExistsError: there is one already, and it is not to be replaced.
    """
    if path.exists() and not replace:
        raise FileExistsError(path)
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    # The name too must outlive a power failure, not only what stands under it.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_files(folder: Path, name: re.Pattern[str]) -> dict[str, str]:
    """Give the texts of the private files of these names, by name.

    Raises:
        SettingsError: others can reach one of them.
    """
    if not folder.is_dir():
        return {}
    names = sorted(path.name for path in folder.iterdir() if name.fullmatch(path.name))
    return {name: read_secret(folder / name) for name in names}


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write private files; one that is there already stays as it is.

    Raises:
        CannotCreateError: the folder does not let us.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in texts.items():
            if not (folder / name).exists():
                write_secret(folder / name, text)
    except OSError as error:
        told = f"{folder}: cannot be written: {error.strerror}"
        raise CannotCreateError(told) from None


def new_recovery_key() -> tuple[SigningKey, str]:
    """Make a recovery key; gives it and the text for its sheet of paper."""
    seed = secrets.token_bytes(KEY_LENGTH)
    return SigningKey(seed), write_sheet(seed)


def keep_sheet(folder: Path, sheet: str) -> None:
    """Keep a sheet until it has been shown: a command may be cut off before that."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(folder / _SHEET, sheet, replace=True)


def take_sheet(folder: Path) -> str | None:
    """Give the sheet that has not been shown yet, and keep it no longer."""
    if not (folder / _SHEET).exists():
        return None
    sheet = read_secret(folder / _SHEET)
    (folder / _SHEET).unlink()
    return sheet


def write_sheet(seed: bytes) -> str:
    """Write a key as people copy it: 24 words, the last of which checks the others.

    The words are BIP-39's, in English: the first four letters of each are its own.
    """
    return _words().to_mnemonic(seed)


def read_sheet(text: str) -> bytes:
    """Read a key back from its sheet, however it was spaced, numbered or capitalised.

    The first four letters of a word are enough. A sheet of letters, as it was written
    before there were words, is read too.

    Raises:
        MalformedMessageError: something is wrong or missing; it is not shown.
    """
    typed = re.findall(r"[^\W\d_]+", text.lower())
    if len(typed) != WORDS or any(len(word) < _PREFIX_LENGTH - 1 for word in typed):
        return _read_letters(text)
    words = [_words().expand_word(word) for word in typed]
    known = set(_words().wordlist)
    for number, word in enumerate(words, 1):
        if word not in known:
            raise MalformedMessageError(
                "sheet", f"word {number}", "a word of the list, copied exactly"
            )
    try:
        return bytes(_words().to_entropy(words))
    except ValueError:
        raise MalformedMessageError(
            "sheet", f"{WORDS} words", "the sheet's words: one is wrong, or two swapped"
        ) from None


@cache
def _words() -> Mnemonic:
    return Mnemonic("english")


def _read_letters(text: str) -> bytes:
    """Read a sheet of letters: base32 of the key and four bytes of its SHA-256."""
    letters = "".join(text.split()).replace("-", "").upper()
    try:
        octets = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError:
        octets = b""
    seed = octets[:KEY_LENGTH]
    checked = seed + hashlib.sha256(seed).digest()[:_CHECKSUM_LENGTH]
    # Written anew, since the last letter holds two bits that no octet has.
    expected = base64.b32encode(checked).decode("ascii").rstrip("=")
    if len(seed) != KEY_LENGTH or not secrets.compare_digest(
        letters.encode(), expected.encode()
    ):
        found = f"{len(text.split())} words, {len(letters)} letters"
        raise MalformedMessageError(
            "sheet", found, f"the sheet's {WORDS} words, or all letters of an old one"
        )
    return seed
