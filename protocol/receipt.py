"""A receipt: one file that proves a cleared transfer to anyone, offline.

It holds both groups' signed words, the hub's decision with its place in the log,
the signed checkpoint of that log, the hub's keys as the root key signed them, and
both groups' directory entries with their place in the directory. Whoever knows the
federation's id needs nothing else (protocol, section 9). What it cannot prove, it
says. How it is put together from stored rows is the business of hub and node.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from protocol import strict_json
from protocol.address import FederationId, Group, read_display_name, read_memo
from protocol.checkpoint import SignedCheckpoint
from protocol.directory import (
    GroupRecord,
    check_digits,
    keyring,
    read_record,
)
from protocol.envelope import check_cover, check_proof
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.messages import (
    Content,
    DirectoryDecision,
    ItemProof,
    TransferAccept,
    TransferDecision,
    TransferPrepare,
    content_decoder,
    line_hash,
    read_item,
)
from protocol.proof_file import (
    LeafProof,
    ProofFile,
    check_leaf,
    octets,
    prove_checkpoint,
    prove_decision,
    read_file,
    tell_former_key,
    write_file,
    write_hours,
)
from protocol.unit import Amount, quote, write_amount

MEDIA_TYPE = "application/interlets-receipt+json"
RECEIPT_LENGTH_MAX = 1024 * 1024
#: Covers of other groups that a receipt may carry.
WITNESSES_MAX = 100


class Witness(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another group's cover that names the same checkpoint, with its entry."""

    entry: LeafProof
    cover: str


class Receipt(ProofFile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that proves one cleared transfer.

    Attributes:
        prepare: the payer's group's word.
        accept: the payee's group's word.
        payer: the payer's group's entry, in the directory of the checkpoint.
        payee: the payee's group's.
        witnesses: other groups that were shown the same log.
        content: who and why, when the member shows it.
    """

    prepare: ItemProof
    accept: ItemProof
    payer: LeafProof
    payee: LeafProof
    witnesses: Annotated[list[Witness], Meta(max_length=WITNESSES_MAX)]
    content: str | None


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt proves, once everything in it holds."""

    federation: FederationId
    checkpoint: SignedCheckpoint
    decision: TransferDecision
    prepare: TransferPrepare
    payer: GroupRecord
    payee: GroupRecord
    witnesses: list[Group]
    former: list[str]
    content: Content | None


_decoder = msgspec.json.Decoder(Receipt)


def write_receipt(receipt: Receipt) -> bytes:
    """Write a receipt as it is kept: one line of JSON with its newline."""
    return write_file(receipt)


def with_words(receipt: Receipt) -> Receipt:
    """Give a receipt the words for people that its proofs allow."""
    told = describe(prove_receipt(receipt, None))
    return msgspec.structs.replace(receipt, told=told)


def read_receipt(raw: bytes) -> Receipt:
    """Read a receipt; every other spelling of one is refused.

    Raises:
        MalformedMessageError: not a receipt, or changed since it was written.
    """
    if len(raw) > RECEIPT_LENGTH_MAX:
        raise MalformedMessageError("receipt", f"{len(raw)} bytes", "at most 1 MiB")
    return read_file(raw, _decoder, "receipt")


def verify_receipt(raw: bytes, federation: FederationId | None) -> Proven:
    """Verify a receipt from its file alone.

    Args:
        raw: the file.
        federation: the federation that it must be of; ``None``: of the one that
            it names, whoever that may be.

    Raises:
        MalformedMessageError, NotSignedError, WeakKeyError: the first thing that
            does not hold.
    """
    receipt = read_receipt(raw)
    proven = prove_receipt(receipt, federation)
    if receipt.told != describe(proven):
        raise NotSignedError("told: the words do not say what the proofs prove")
    return proven


def prove_receipt(receipt: Receipt, federation: FederationId | None) -> Proven:
    """Do as ``verify_receipt``, but for the words."""
    own = FederationId(receipt.federation)
    checkpoint = prove_checkpoint(receipt, federation, "receipt")
    decision = prove_decision(receipt.decision, checkpoint, "cleared")
    payer = _record_of(receipt.payer, checkpoint, own)
    payee = _record_of(receipt.payee, checkpoint, own)
    prepare = _prepare_of(receipt, decision, payer, payee)
    witnesses = [_witness_of(one, checkpoint, own) for one in receipt.witnesses]
    _check_places(
        receipt, [Group(payer.entry.group), Group(payee.entry.group)], witnesses
    )
    return Proven(
        federation=own,
        checkpoint=checkpoint,
        decision=decision,
        prepare=prepare,
        payer=payer,
        payee=payee,
        witnesses=witnesses,
        former=[
            *tell_former_key(receipt.prepare, payer),
            *tell_former_key(receipt.accept, payee),
        ],
        content=_content_of(receipt.content, prepare, payer, payee),
    )


def _record_of(
    proof: LeafProof, checkpoint: SignedCheckpoint, federation: FederationId
) -> GroupRecord:
    if proof.size != checkpoint.groups:
        raise NotSignedError("directory entry: of another size than the directory's")
    check_leaf(proof, checkpoint.directory, "directory entry")
    decision = read_item(octets(proof.line))
    if not isinstance(decision, DirectoryDecision):
        raise NotSignedError("directory entry: not a decision about a group")
    return read_record(decision, octets(proof.line), federation)


def _prepare_of(
    receipt: Receipt,
    decision: TransferDecision,
    payer: GroupRecord,
    payee: GroupRecord,
) -> TransferPrepare:
    """Check both groups' words: that they signed them, and about this transfer."""
    groups = Group(payer.entry.group), Group(payee.entry.group)
    if groups[0] != groups[1] and payer.used & payee.used:
        raise NotSignedError("kid: one key for two groups")
    keys = keyring({groups[0]: payer, groups[1]: payee})
    own = FederationId(receipt.federation)
    check_proof(receipt.prepare, keys, own, groups[0])
    check_proof(receipt.accept, keys, own, groups[1])
    prepare = read_item(octets(receipt.prepare.line))
    accept = read_item(octets(receipt.accept.line))
    if not isinstance(prepare, TransferPrepare):
        raise NotSignedError("prepare: the payer's group signed something else")
    if not isinstance(accept, TransferAccept):
        raise NotSignedError("accept: the payee's group signed something else")
    if groups[0] == groups[1] or (prepare.payer_group, prepare.payee_group) != groups:
        raise NotSignedError("prepare: between other groups")
    named = line_hash(octets(receipt.prepare.line))
    if not decision.prepare == accept.prepare == named:
        raise NotSignedError("prepare: not the one that was accepted and decided")
    if decision.answer != line_hash(octets(receipt.accept.line)):
        raise NotSignedError("accept: not the one that was decided on")
    if not decision.id == accept.id == prepare.id:
        raise NotSignedError("id: of different transfers")
    return prepare


def _witness_of(
    witness: Witness, checkpoint: SignedCheckpoint, federation: FederationId
) -> Group:
    record = _record_of(witness.entry, checkpoint, federation)
    group = Group(record.entry.group)
    cover = check_cover(witness.cover, keyring({group: record}), federation, group)
    if cover.checkpoint != checkpoint.short:
        raise NotSignedError(f"witness: {group} names another checkpoint")
    return group


def _check_places(
    receipt: Receipt, parties: list[Group], witnesses: list[Group]
) -> None:
    """Check that each group stands once here and in the directory, in name order."""
    if witnesses != sorted(witnesses):
        raise NotSignedError("witness: not in name order")
    entries = [receipt.payer, receipt.payee, *(one.entry for one in receipt.witnesses)]
    groups = [*parties, *witnesses]
    if len(set(groups)) != len(groups):
        raise NotSignedError("witness: one group twice, or a group that is concerned")
    by_name = sorted(zip(groups, entries, strict=True), key=lambda pair: pair[0])
    places = [entry.index for _, entry in by_name]
    if places != sorted(set(places)):
        raise NotSignedError("directory entry: the directory is not in name order")


def _content_of(
    line: str | None, prepare: TransferPrepare, payer: GroupRecord, payee: GroupRecord
) -> Content | None:
    if line is None:
        return None
    if line_hash(octets(line)) != prepare.content:
        raise NotSignedError("content: not what the payer's group signed")
    content = strict_json.read(octets(line), content_decoder, "content")
    read_display_name(content.name)
    read_memo(content.memo)
    rates = [
        next((one for one in record.entry.rates if one.version == version), None)
        for record, version in (
            (payer, prepare.payer_rate),
            (payee, prepare.payee_rate),
        )
    ]
    if rates[0] is None or rates[1] is None:
        raise NotSignedError("content: a rate that the group never had")
    quoted = quote(
        Amount(content.payee_amount), rates[0].milliseconds, rates[1].milliseconds
    )
    if quoted is None or (quoted.milliseconds, quoted.payer_amount) != (
        prepare.milliseconds,
        content.payer_amount,
    ):
        raise NotSignedError("content: its amounts do not belong together")
    return content


def describe(proven: Proven) -> list[str]:
    """Say in plain English what a receipt proves, whose word it took, and what not.

    Words that somebody chose stand in quotes, written as JSON: a name could
    otherwise say that another has paid. Every server must write the same, whatever
    its version of Unicode (docs/verify.md gives the sentences).
    """
    prepare, decision = proven.prepare, proven.decision
    told = [
        "Interlets receipt: this transfer was cleared.",
        _who(proven),
        f"Time moved from {prepare.payer_group} to {prepare.payee_group}: "
        f"{write_hours(prepare.milliseconds)}.",
    ]
    if prepare.refund_of is not None:
        told.append(f"It gives back transfer {prepare.refund_of}, wholly or in part.")
    return [
        *told,
        f"Decided {decision.at} by the hub's clock; transfer {prepare.id}.",
        f"Federation {proven.federation}.",
        f"Signed by {prepare.payer_group} (order), {prepare.payee_group} (accepted) "
        f"and the hub (decided; number {decision.number} of {proven.checkpoint.size} "
        f"in log {decision.log}).",
        f"Shown the same log: {', '.join(proven.witnesses) or 'no other group'}.",
        f"Keys as the hub gave them; check digits: {_digits(proven, proven.payer)}, "
        f"{_digits(proven, proven.payee)}.",
        *proven.former,
        "Not proved: that these keys are the groups' own, that the hub showed this "
        "log to everyone, that nothing was given back since, and what a member "
        "received for it.",
    ]


def _who(proven: Proven) -> str:
    payer, payee, content = proven.payer.entry, proven.payee.entry, proven.content
    if content is None:
        return (
            f"A member of {payer.group} ({_quoted(payer.name)}) paid a member of "
            f"{payee.group} ({_quoted(payee.name)}); who, and for what, this receipt "
            "does not show."
        )
    amount = write_amount(content.payee_amount, payee.unit.decimals)
    price = write_amount(content.payer_amount, payer.unit.decimals)
    return (
        f"{content.payer}@{payer.group} ({_quoted(content.name)}) paid "
        f"{content.payee}@{payee.group} {amount} {_quoted(payee.unit.symbol)} for "
        f"{price} {_quoted(payer.unit.symbol)}; memo: {_quoted(content.memo)}."
    )


def _quoted(text: str) -> str:
    return strict_json.write(text).decode()


def _digits(proven: Proven, record: GroupRecord) -> str:
    digits = check_digits(proven.federation, record.entry)
    return f"{record.entry.group} {digits}"
