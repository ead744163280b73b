"""What receipts and refusals have in common: files that prove a decision of the hub's.

Both hold the hub's keys as the root key signed them, a signed checkpoint, and the
decision with its place in the log of that checkpoint (protocol, section 9).
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from protocol import merkle, strict_json
from protocol.address import FederationId
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import SignedCheckpoint, read_checkpoint_of
from protocol.directory import read_hub_statement
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.messages import (
    CountField,
    FederationField,
    HashField,
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
    if proof.size != checkpoint.size:
        raise NotSignedError("decision: of another size than the checkpoint's")
    check_leaf(proof, checkpoint.root, "decision")
    decision = read_item(proof.line.encode())
    # What was refused has a code, what was cleared has none.
    if not isinstance(decision, TransferDecision) or (
        (decision.outcome, decision.code is None) != (outcome, outcome == "cleared")
    ):
        verb = "clears" if outcome == "cleared" else "refuses"
        raise NotSignedError(f"decision: not one that {verb} a transfer")
    if (decision.log, decision.number) != (checkpoint.log, proof.index):
        raise NotSignedError("decision: named otherwise than by its place in the log")
    return decision


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
