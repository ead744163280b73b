"""What files have in common that prove a decision of the hub's to anyone.

Receipts, refusals and cycle files hold the hub's keys as the root key signed them, a
signed checkpoint, and the decision with its place in the log of that checkpoint
(protocol, section 9).
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from protocol import envelope, jws, merkle, strict_json
from protocol.address import FederationId
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import SignedCheckpoint, read_checkpoint_of
from protocol.directory import GroupRecord, entry_key, read_hub_statement
from protocol.errors import ItemRefusalCode, MalformedMessageError, NotSignedError
from protocol.keyring import key_id
from protocol.messages import (
    AnyItem,
    CountField,
    DecisionItem,
    FederationField,
    HashField,
    ItemProof,
    TransferDecision,
    read_item,
)

_TREE_PATH_MAX = 64


class LeafProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line, and its place and path in a tree of ``size`` leaves."""

    line: str
    index: CountField
    size: CountField
    path: Annotated[list[HashField], Meta(max_length=_TREE_PATH_MAX)]


class ProofFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What proves one decision.

    Attributes:
        told: what it proves, for people; recomputed when it is verified.
        v: version of the protocol.
        federation: the whole id.
        statement: the hub's keys, signed by the root key.
        checkpoint: the signed note.
        decision: the hub's decision, in the log of the checkpoint.
    """

    told: list[str]
    v: Literal[1] = 1
    federation: FederationField
    statement: str
    checkpoint: str
    decision: LeafProof


_File = TypeVar("_File", bound=ProofFile)


def write_file(file: ProofFile) -> bytes:
    """Write a file as it is kept: one line of JSON with its newline."""
    return strict_json.write(file) + b"\n"


def read_file(raw: bytes, decoder: "msgspec.json.Decoder[_File]", what: str) -> _File:
    """Read a file; every other spelling of it is refused.

    Args:
        raw: the file, of a length that was looked at.
        decoder: of its kind.
        what: that kind's name, for errors.

    Raises:
        MalformedMessageError: not such a file, or changed since it was written.
    """
    line = raw.removesuffix(b"\n")
    file = strict_json.read(line, decoder, what)
    if strict_json.write(file) != line:
        raise MalformedMessageError(what, "another spelling", "what was written")
    return file


def prove_checkpoint(
    file: ProofFile, federation: FederationId | None, what: str
) -> SignedCheckpoint:
    """Check whose file it is, the hub's keys, and the checkpoint under them.

    Args:
        file: any.
        federation: the federation that it must be of; ``None``: any.
        what: its kind's name, for errors.

    Raises:
        MalformedMessageError, NotSignedError, WeakKeyError: what does not hold.
    """
    own = FederationId(file.federation)
    if federation is not None and federation != own:
        raise NotSignedError(f"federation: the {what} is of {own}")
    statement = read_hub_statement(file.statement, own)
    return read_checkpoint_of(file.checkpoint, own, statement)


def prove_decision(
    proof: LeafProof,
    checkpoint: SignedCheckpoint,
    outcome: Literal["cleared", "refused"],
) -> TransferDecision:
    """Check that a decision stands in the log of a checkpoint, and how it ended.

    Raises:
        NotSignedError: it does not, or it is another decision.
    """
    decision = prove_leaf(proof, checkpoint)
    # What was refused has a code, what was cleared has none.
    if not isinstance(decision, TransferDecision) or (
        (decision.outcome, decision.code is None) != (outcome, outcome == "cleared")
    ):
        verb = "clears" if outcome == "cleared" else "refuses"
        raise NotSignedError(f"decision: not one that {verb} a transfer")
    check_place(decision, proof, checkpoint)
    return decision


def prove_leaf(
    proof: LeafProof, checkpoint: SignedCheckpoint
) -> AnyItem | ItemRefusalCode:
    """Check that a line stands in the log of a checkpoint, and read it.

    Raises:
        NotSignedError: it does not.
    """
    if proof.size != checkpoint.size:
        raise NotSignedError("decision: of another size than the checkpoint's")
    check_leaf(proof, checkpoint.root, "decision")
    return read_item(octets(proof.line))


def check_place(
    decision: DecisionItem, proof: LeafProof, checkpoint: SignedCheckpoint
) -> None:
    """Check that a decision is named by its place in the log.

    Raises:
        NotSignedError: by another.
    """
    if (decision.log, decision.number) != (checkpoint.log, proof.index):
        raise NotSignedError("decision: named otherwise than by its place in the log")


def check_leaf(proof: LeafProof, root: str, what: str) -> None:
    """Check that a leaf's path leads to a root.

    Raises:
        NotSignedError: it does not.
    """
    path = [read_base64url(step, f"{what} path") for step in proof.path]
    found = merkle.root_from_path(octets(proof.line), proof.index, proof.size, path)
    if found is None or write_base64url(found) != root:
        raise NotSignedError(f"{what}: its path does not lead to the signed root")


def octets(line: str) -> bytes:
    """Give a line's bytes; raises ``MalformedMessageError`` when it has none."""
    try:
        return line.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedMessageError("line", "a lone surrogate", "UTF-8 text") from None


def tell_former_key(proof: ItemProof, record: GroupRecord) -> list[str]:
    """Say so when a group's word is not by the key that its check digits are of."""
    kid = jws.split(proof.envelope, envelope.TYP).kid
    if kid == key_id(entry_key(record.entry.keys, "signing")):
        return []
    return [
        f"{record.entry.group} signed with a former key, {kid}: that it was the "
        "group's is the hub's word alone."
    ]


def write_hours(milliseconds: int) -> str:
    """Write an amount of time for people, to the millisecond."""
    sign = "-" if milliseconds < 0 else ""
    seconds, rest = divmod(abs(milliseconds), 1000)
    hours, left = divmod(seconds, 3600)
    return f"{sign}{hours}:{left // 60:02}:{left % 60:02}.{rest:03} hours"
