"""A checkpoint: the hub's signed word on how its decision log and directory stand.

The form is C2SP's ``tlog-checkpoint``, a signed note that other tools read too:

    <federation>/<log>
    <number of decisions>
    <root, base64>
    directory <version> <number of groups> <root, base64>

    — <federation> <base64 of key hash and signature>

The directory's tree has one leaf a group, the line of the group's newest directory
decision, in name order; its version is the number of directory decisions so far
(protocol, section 9). The number of groups is signed because a root alone does not
say of how many leaves it is: a path's place could be told in more than one way.
"""

import base64
import binascii
import hashlib
import re

import msgspec

from protocol import merkle
from protocol.base64url import read_base64url, write_base64url
from protocol.directory import Directory, entry_key, hub_key, hub_key_spans
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import SigningKey, verify
from protocol.messages import Checkpoint, HubStatement

NOTE_LENGTH_MAX = 2 * 1024
#: Of the note's kind Ed25519 (C2SP ``signed-note``).
_ED25519 = b"\x01"
_KEY_HASH_LENGTH = 4
_NOTE = re.compile(
    r"(?P<federation>[a-z][a-z0-9-]{1,31}#[A-Za-z0-9_-]{43})/(?P<log>[A-Za-z0-9_-]{11})\n"
    r"(?P<size>0|[1-9][0-9]{0,15})\n"
    r"(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"directory (?P<version>0|[1-9][0-9]{0,15}) (?P<groups>0|[1-9][0-9]{0,15}) "
    r"(?P<directory>[A-Za-z0-9+/]{43}=)\n"
    r"\n"
    r"\u2014 (?P<name>[^ \n]+) (?P<signature>[A-Za-z0-9+/]{91}=)\n"
)


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says.

    Attributes:
        federation: the whole id.
        log: named by the hub's life.
        size: how many decisions are in it.
        root: their tree hash, base64url.
        version: how many directory decisions there are, in all logs.
        groups: how many groups the directory has.
        directory: tree hash of the directory, base64url.
    """

    federation: str
    log: str
    size: int
    root: str
    version: int
    groups: int
    directory: str

    @property
    def short(self) -> Checkpoint:
        """The part that covers and prepares name."""
        return Checkpoint(self.log, self.size, self.root)


def write_checkpoint(stated: SignedCheckpoint, key: SigningKey) -> str:
    """Sign a checkpoint as a note."""
    text = _text_of(stated)
    found = _key_hash(stated.federation, key.public) + key.sign(text.encode())
    signature = base64.b64encode(found).decode("ascii")
    return f"{text}\n\u2014 {stated.federation} {signature}\n"


def is_checkpoint(note: str, stated: SignedCheckpoint, public: bytes) -> bool:
    """Say whether a note states just this, under this key's signature.

    It says what ``read_checkpoint`` would, for whoever knows already what a note must
    state and has very many of them.
    """
    text = _text_of(stated)
    head = f"{text}\n\u2014 {stated.federation} "
    if not note.startswith(head) or not note.endswith("\n"):
        return False
    try:
        signed = _read_base64(note[len(head) : -1])
    except (MalformedMessageError, ValueError):
        return False
    key_hash = _key_hash(stated.federation, public)
    return signed[:_KEY_HASH_LENGTH] == key_hash and verify(
        public, text.encode(), signed[_KEY_HASH_LENGTH:]
    )


def read_checkpoint(note: str, federation: str, public: bytes) -> SignedCheckpoint:
    """Read a checkpoint, once its signature verifies.

    Args:
        note: the whole text, with the newline at its end.
        federation: the federation that it must be of.
        public: the hub's signing key.

    Raises:
        MalformedMessageError: not such a note, or another spelling of one.
        NotSignedError: of another federation, or not by that key.
    """
    found = _split(note)
    if not found["federation"] == found["name"] == federation:
        told = f"checkpoint: of {found['federation']}, which is not ours"
        raise NotSignedError(told)
    signed = _read_base64(found["signature"])
    text = note[: found.end("directory") + 1].encode()
    if signed[:_KEY_HASH_LENGTH] != _key_hash(federation, public) or not verify(
        public, text, signed[_KEY_HASH_LENGTH:]
    ):
        raise NotSignedError("checkpoint: the signature does not verify")
    return SignedCheckpoint(
        federation=federation,
        log=found["log"],
        size=int(found["size"]),
        root=write_base64url(_read_base64(found["root"])),
        version=int(found["version"]),
        groups=int(found["groups"]),
        directory=write_base64url(_read_base64(found["directory"])),
    )


def _text_of(stated: SignedCheckpoint) -> str:
    """Write what the signature is over."""
    return (
        f"{stated.federation}/{stated.log}\n{stated.size}\n{_padded(stated.root)}\n"
        f"directory {stated.version} {stated.groups} {_padded(stated.directory)}\n"
    )


def read_checkpoint_of(
    note: str, federation: str, statement: HubStatement
) -> SignedCheckpoint:
    """Read a checkpoint under the key that the hub had at its log and size.

    Raises:
        MalformedMessageError: not such a note, or another spelling of one.
        NotSignedError: of another federation, or by a key that was not in force.
    """
    found = _split(note)
    log, size = found["log"], int(found["size"])
    public = hub_key(statement, log, size)
    others = [read_base64url(span.key, "key") for span in hub_key_spans(statement)]
    others.append(entry_key(statement.keys, "signing"))
    named = _read_base64(found["signature"])[:_KEY_HASH_LENGTH]
    by_name = {_key_hash(federation, other): other for other in others}
    if by_name.get(named, public) != public:
        told = f"checkpoint: revoked: a key of the hub's that is not for {log}/{size}"
        raise NotSignedError(told)
    return read_checkpoint(note, federation, public)


def _split(note: str) -> re.Match[str]:
    found = _NOTE.fullmatch(note) if len(note) <= NOTE_LENGTH_MAX else None
    if found is None:
        raise MalformedMessageError("checkpoint", note, "a signed checkpoint")
    return found


def directory_tree(directory: Directory) -> merkle.Tree:
    """Build the directory's tree: one leaf a group, in name order."""
    return merkle.Tree([directory[group].line for group in sorted(directory)])


def _key_hash(name: str, public: bytes) -> bytes:
    """Name a key as signed notes do: four bytes over name, kind and key."""
    told = name.encode() + b"\n" + _ED25519 + public
    return hashlib.sha256(told).digest()[:_KEY_HASH_LENGTH]


def _padded(text: str) -> str:
    """Write base64url's bytes as signed notes do, in base64 with padding."""
    return base64.b64encode(read_base64url(text, "root")).decode("ascii")


def _read_base64(text: str) -> bytes:
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error:
        octets = b""
    if base64.b64encode(octets).decode("ascii") != text:
        raise MalformedMessageError("checkpoint", text, "base64 with padding")
    return octets
