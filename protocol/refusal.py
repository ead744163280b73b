"""A refusal: one file that proves to anyone, offline, that the hub refused a transfer.

It holds the hub's decision with its place in the log, the signed checkpoint of that
log and the hub's keys. It names neither members nor groups: the decision does not.
Together with a receipt of the same transfer it proves that the hub decided twice
(``protocol.contradiction``).
"""

import msgspec

from protocol.address import FederationId
from protocol.checkpoint import SignedCheckpoint
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.messages import TransferDecision
from protocol.proof_file import (
    ProofFile,
    prove_checkpoint,
    prove_decision,
    read_file,
    write_file,
)

MEDIA_TYPE = "application/interlets-refusal+json"
REFUSAL_LENGTH_MAX = 64 * 1024


class Refusal(ProofFile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that proves that a transfer was refused."""


class ProvenRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a refusal proves, once everything in it holds."""

    federation: FederationId
    checkpoint: SignedCheckpoint
    decision: TransferDecision


_decoder = msgspec.json.Decoder(Refusal)


def write_refusal(refusal: Refusal) -> bytes:
    """Write a refusal as it is kept: one line of JSON with its newline."""
    return write_file(refusal)


def with_refusal_words(refusal: Refusal) -> Refusal:
    """Write into a refusal what it proves; raises as ``verify_refusal``."""
    proven = prove_refusal(refusal, None)
    return msgspec.structs.replace(refusal, told=describe_refusal(proven))


def read_refusal(raw: bytes) -> Refusal:
    """Read a refusal; what it says is not yet proved.

    Raises:
        MalformedMessageError: not one, or not spelt as one is written.
    """
    if len(raw) > REFUSAL_LENGTH_MAX:
        raise MalformedMessageError("refusal", f"{len(raw)} bytes", "at most 64 KiB")
    return read_file(raw, _decoder, "refusal")


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
    proven = prove_refusal(refusal, federation)
    if refusal.told != describe_refusal(proven):
        raise NotSignedError("told: the words do not say what the proofs prove")
    return proven


def prove_refusal(refusal: Refusal, federation: FederationId | None) -> ProvenRefusal:
    """Do as ``verify_refusal``, but for the words."""
    checkpoint = prove_checkpoint(refusal, federation, "refusal")
    decision = prove_decision(refusal.decision, checkpoint, "refused")
    return ProvenRefusal(
        federation=FederationId(refusal.federation),
        checkpoint=checkpoint,
        decision=decision,
    )


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
