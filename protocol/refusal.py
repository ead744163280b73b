"""A refusal: one file that proves to anyone, offline, that the hub refused a transfer.

It holds the hub's decision with its place in the log, the signed checkpoint of that
log and the hub's keys. It names neither members nor groups: the decision does not.
Together with a receipt of the same transfer it proves that the hub decided twice
(``protocol.contradiction``).
"""

from typing import Literal

import msgspec

from protocol import strict_json
from protocol.address import FederationId
from protocol.checkpoint import SignedCheckpoint, read_checkpoint_of
from protocol.directory import read_hub_statement
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.messages import FederationField, TransferDecision, read_item
from protocol.receipt import LeafProof, check_leaf

MEDIA_TYPE = "application/interlets-refusal+json"
REFUSAL_LENGTH_MAX = 64 * 1024


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that proves that a transfer was refused.

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


class ProvenRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a refusal proves, once everything in it holds."""

    federation: FederationId
    checkpoint: SignedCheckpoint
    decision: TransferDecision


_decoder = msgspec.json.Decoder(Refusal)


def write_refusal(refusal: Refusal) -> bytes:
    """Write a refusal as it is kept: one line of JSON with its newline."""
    return strict_json.write(refusal) + b"\n"


def with_refusal_words(refusal: Refusal) -> Refusal:
    """Write into a refusal what it proves; raises as ``verify_refusal``."""
    proven = _prove(refusal, None)
    return msgspec.structs.replace(refusal, told=describe_refusal(proven))


def read_refusal(raw: bytes) -> Refusal:
    """Read a refusal; what it says is not yet proved.

    Raises:
        MalformedMessageError: not one, or not spelt as one is written.
    """
    if len(raw) > REFUSAL_LENGTH_MAX:
        raise MalformedMessageError("refusal", f"{len(raw)} bytes", "at most 64 KiB")
    line = raw.removesuffix(b"\n")
    refusal = strict_json.read(line, _decoder, "refusal")
    if strict_json.write(refusal) != line:
        raise MalformedMessageError("refusal", "another spelling", "what was written")
    return refusal


def verify_refusal(raw: bytes, federation: FederationId | None) -> ProvenRefusal:
    """Verify a refusal from its file alone.

    Args:
        raw: the file.
        federation: the federation that it must be of; ``None``: of the one that
            it names, whoever that may be.

    Raises:
        MalformedMessageError, NotSignedError: the first thing that does not hold.
    """
    refusal = read_refusal(raw)
    proven = _prove(refusal, federation)
    if refusal.told != describe_refusal(proven):
        raise NotSignedError("told: the words do not say what the proofs prove")
    return proven


def _prove(refusal: Refusal, federation: FederationId | None) -> ProvenRefusal:
    own = FederationId(refusal.federation)
    if federation is not None and federation != own:
        raise NotSignedError(f"federation: the refusal is of {own}")
    statement = read_hub_statement(refusal.statement, own)
    checkpoint = read_checkpoint_of(refusal.checkpoint, own, statement)
    proof = refusal.decision
    if proof.size != checkpoint.size:
        raise NotSignedError("decision: of another size than the checkpoint's")
    check_leaf(proof, checkpoint.root, "decision")
    decision = read_item(proof.line.encode())
    if (
        not isinstance(decision, TransferDecision)
        or decision.outcome != "refused"
        or decision.code is None
    ):
        raise NotSignedError("decision: not one that refuses a transfer")
    if (decision.log, decision.number) != (checkpoint.log, proof.index):
        raise NotSignedError("decision: named otherwise than by its place in the log")
    return ProvenRefusal(federation=own, checkpoint=checkpoint, decision=decision)


def describe_refusal(proven: ProvenRefusal) -> list[str]:
    """Say in plain English what a refusal proves, and what not."""
    decision, checkpoint = proven.decision, proven.checkpoint
    return [
        "Interlets refusal: this transfer was refused.",
        f"The hub's reason: {decision.code}.",
        f"Decided {decision.at} by the hub's clock; transfer {decision.id}.",
        f"Federation {proven.federation}.",
        f"Signed by the hub (number {decision.number} of {checkpoint.size} in log "
        f"{decision.log}).",
        "Not proved: that the hub showed this log to everyone, and who would have "
        "paid whom.",
    ]
