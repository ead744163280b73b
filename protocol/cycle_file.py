"""A cycle file: one file that proves to anyone, offline, how a cycle was closed.

It holds the hub's decision that ended the cycle, with its place in the log, the signed
checkpoint of that log, the hub's keys, the whole directory of that checkpoint, and
every group's line: how its position came to be, with the group's own signature under
it, or openly without. The lines and the reserve sum to zero; so nobody can balance the
books with a group that did not sign. From the positions follow targets and a plan
of legs, which whoever reads the file computes anew (``protocol.netting``).

What a group traded stays its own: the file has sums and a digest. How the file is put
together from stored rows is the business of the hub.
"""

import itertools
from collections.abc import Mapping, Sequence

import msgspec

from protocol import merkle
from protocol.address import RESERVE, FederationId, Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint
from protocol.directory import GroupRecord, check_digits, keyring, read_record
from protocol.envelope import check_cover, check_proof
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import Keyring
from protocol.messages import (
    NOTHING_HASH,
    CountField,
    CycleAgree,
    CycleDecision,
    CycleDispute,
    CycleStatement,
    DecisionName,
    DirectoryDecision,
    GroupField,
    ItemProof,
    SignedField,
    line_hash,
    read_item,
)
from protocol.netting import (
    Leg,
    Plan,
    default_targets,
    make_plan,
    wrong_exception,
)
from protocol.proof_file import (
    ProofFile,
    check_place,
    octets,
    prove_checkpoint,
    prove_leaf,
    read_file,
    tell_former_key,
    write_file,
    write_hours,
)

MEDIA_TYPE = "application/interlets-cycle+json"
#: 10,000 groups have room for 6 kB each.
CYCLE_LENGTH_MAX = 64 * 1024 * 1024
#: How such a file begins: words come first, and are verified as all else.
CYCLE_BEGINS = b'{"told":["Interlets cycle'


class CycleLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One group of the directory, and what it signed of the cycle.

    Attributes:
        entry: the line of its newest directory decision.
        statement: its ``cycle.statement``; ``None``: it has none in this cycle.
        answer: its signed agreement or dispute; ``None``: there is none here.
        cover: line 1 of a cover of its that names the checkpoint, if there is one.
    """

    entry: str
    statement: str | None
    answer: ItemProof | None
    cover: str | None


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a position should come to stand by legs."""

    group: GroupField
    milliseconds: SignedField


class CycleFile(ProofFile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that proves how one cycle was closed.

    Attributes:
        groups: every group of the directory of the checkpoint, in name order.
        excepted: those that the newest plan left out, in name order; nobody signs that.
        targets: of every group that has a statement and of the reserve, in name order.
        legs: the plan that brings positions to targets.
        bound: no plan has fewer legs.
    """

    groups: list[CycleLine]
    excepted: list[GroupField]
    targets: list[Target]
    legs: list[Leg]
    bound: CountField


class ProvenLine(msgspec.Struct, frozen=True, kw_only=True):
    """One group's line, once all that is in it holds.

    Attributes:
        record: the group, as the directory has it.
        statement: how its position came to be, by the hub.
        answer: what the group signed about it; ``None``: nothing that is here.
        is_witness: the group has signed that it was shown the same log.
        former: said where it signed with a former key.
    """

    record: GroupRecord
    statement: CycleStatement | None
    answer: CycleAgree | CycleDispute | None
    is_witness: bool
    former: list[str]


class ProvenCycle(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle file proves, once everything in it holds."""

    federation: FederationId
    checkpoint: SignedCheckpoint
    decision: CycleDecision
    lines: Mapping[Group, ProvenLine]
    positions: Mapping[str, int]
    excepted: Sequence[str]
    targets: Mapping[str, int]
    plan: Plan


_decoder = msgspec.json.Decoder(CycleFile)


def write_cycle_file(file: CycleFile) -> bytes:
    """Write a cycle file as it is kept: one line of JSON with its newline."""
    return write_file(file)


def complete_cycle_file(file: CycleFile) -> CycleFile:
    """Compute targets, plan and words for what a file's proofs hold.

    Raises:
        as ``verify_cycle_file``.
    """
    proven = _prove(file, None)
    return msgspec.structs.replace(
        file, told=describe_cycle(proven), **_settlement_of(proven)
    )


def read_cycle_file(raw: bytes) -> CycleFile:
    """Read a cycle file; every other spelling of one is refused.

    Raises:
        MalformedMessageError: not a cycle file, or changed since it was written.
    """
    if len(raw) > CYCLE_LENGTH_MAX:
        told = f"{len(raw)} bytes"
        raise MalformedMessageError("cycle file", told, "at most 64 MiB")
    return read_file(raw, _decoder, "cycle file")


def verify_cycle_file(raw: bytes, federation: FederationId | None) -> ProvenCycle:
    """Verify a cycle file from itself alone.

    Args:
        raw: the file.
        federation: the federation that it must be of; ``None``: of the one that
            it names, whoever that may be.

    Raises:
        MalformedMessageError, NotSignedError, WeakKeyError: the first thing that
            does not hold.
    """
    file = read_cycle_file(raw)
    proven = _prove(file, federation)
    for name, computed in _settlement_of(proven).items():
        if getattr(file, name) != computed:
            raise NotSignedError(f"{name}: not those that follow from the positions")
    if file.told != describe_cycle(proven):
        raise NotSignedError("told: the words do not say what the proofs prove")
    return proven


def _prove(file: CycleFile, federation: FederationId | None) -> ProvenCycle:
    own = FederationId(file.federation)
    checkpoint = prove_checkpoint(file, federation, "cycle file")
    decision = prove_leaf(file.decision, checkpoint)
    if not isinstance(decision, CycleDecision):
        raise NotSignedError("decision: not one that ends a cycle")
    check_place(decision, file.decision, checkpoint)
    _check_former(decision)
    records = _records_of(file.groups, checkpoint, own)
    keys = keyring(records)
    lines = {
        group: _prove_line(line, record, keys, own, decision, checkpoint)
        for line, (group, record) in zip(file.groups, records.items(), strict=True)
    }
    positions = _positions_of(file.groups, lines, decision)
    _check_excepted(file.excepted, positions)
    targets = default_targets(positions, file.excepted)
    return ProvenCycle(
        federation=own,
        checkpoint=checkpoint,
        decision=decision,
        lines=lines,
        positions=positions,
        excepted=file.excepted,
        targets=targets,
        plan=make_plan(positions, targets),
    )


def _check_former(decision: CycleDecision) -> None:
    """Only the first cycle has none before it."""
    if (decision.cycle == 1) != (decision.former is None):
        told = "none" if decision.former is None else "one"
        raise NotSignedError(f"former: {told} before cycle {decision.cycle}")


def _records_of(
    lines: Sequence[CycleLine], checkpoint: SignedCheckpoint, federation: FederationId
) -> dict[Group, GroupRecord]:
    """Read the whole directory of the checkpoint, in name order."""
    entries = [octets(line.entry) for line in lines]
    if len(entries) != checkpoint.groups:
        told = f"{len(entries)}, and {checkpoint.groups} in the directory"
        raise NotSignedError(f"groups: {told}")
    _check_root(entries, checkpoint.directory, "groups: not the directory's")
    records = {}
    used: set[str] = set()
    for entry in entries:
        decision = read_item(entry)
        if not isinstance(decision, DirectoryDecision):
            raise NotSignedError("directory entry: not a decision about a group")
        record = read_record(decision, entry, federation)
        if used & record.used:
            raise NotSignedError("kid: one key for two groups")
        used |= record.used
        records[Group(decision.group)] = record
    if [*records] != sorted(records) or len(records) != len(entries):
        raise NotSignedError("groups: not each once, in name order")
    if RESERVE in records:
        raise NotSignedError(f"groups: {RESERVE} is no group")
    return records


def _check_root(lines: Sequence[bytes], root: str, told: str) -> None:
    if write_base64url(merkle.Tree(lines).root) != root:
        raise NotSignedError(told)


def _prove_line(
    line: CycleLine,
    record: GroupRecord,
    keys: Keyring,
    federation: FederationId,
    decision: CycleDecision,
    checkpoint: SignedCheckpoint,
) -> ProvenLine:
    group = Group(record.entry.group)
    if line.cover is not None:
        cover = check_cover(line.cover, keys, federation, group)
        if cover.checkpoint != checkpoint.short:
            raise NotSignedError(f"cover: {group} names another checkpoint")
    statement, answer = None, None
    if line.statement is not None:
        statement = _read_statement(octets(line.statement), group, decision)
    if line.answer is not None:
        check_proof(line.answer, keys, federation, group)
        answer = _read_answer(line, group, decision)
    return ProvenLine(
        record=record,
        statement=statement,
        answer=answer,
        is_witness=line.cover is not None,
        former=[] if line.answer is None else tell_former_key(line.answer, record),
    )


def _read_statement(
    line: bytes, group: Group, decision: CycleDecision
) -> CycleStatement:
    statement = read_item(line)
    if not isinstance(statement, CycleStatement) or statement.group != group:
        raise NotSignedError(f"statement: not one to {group}")
    found = (statement.cycle, statement.former, statement.to)
    ended = DecisionName(decision.log, decision.number)
    if found != (decision.cycle, decision.former, ended):
        raise NotSignedError(f"statement: to {group}, of another cycle")
    _check_figures(statement)
    return statement


def _check_figures(said: CycleStatement) -> None:
    """See whether moves can have made these figures.

    All groups begin at zero. A move has an amount, at least a millisecond, one way.
    """
    if said.former is None and said.opening != 0:
        expected = "0, in the first cycle"
        raise MalformedMessageError(f"opening of {said.group}", said.opening, expected)
    closing = said.opening + said.credits - said.debits
    if said.closing != closing:
        expected = f"{closing}, opening + credits - debits"
        raise MalformedMessageError(f"closing of {said.group}", said.closing, expected)
    least = (said.debits > 0) + (said.credits > 0)
    most = said.debits + said.credits
    if not least <= said.count <= most:
        expected = f"from {least} to {most}"
        raise MalformedMessageError(f"count of {said.group}", said.count, expected)
    is_nothing = said.digest == NOTHING_HASH
    if is_nothing != (said.count == 0):
        told = "that of nothing" if is_nothing else "not that of nothing"
        raise NotSignedError(
            f"digest of {said.group}: {told}, after {said.count} moves"
        )


def _read_answer(
    line: CycleLine, group: Group, decision: CycleDecision
) -> CycleAgree | CycleDispute:
    """Read a group's word, which its signature was found right for."""
    if line.answer is None or line.statement is None:
        raise NotSignedError(f"answer: of {group}, to nothing")
    answer = read_item(octets(line.answer.line))
    if not isinstance(answer, CycleAgree | CycleDispute):
        raise NotSignedError(f"answer: {group} signed something else")
    named = line_hash(octets(line.statement))
    if (answer.cycle, answer.statement) != (decision.cycle, named):
        raise NotSignedError(f"answer: of {group}, to another statement")
    return answer


def _positions_of(
    groups: Sequence[CycleLine],
    lines: Mapping[Group, ProvenLine],
    decision: CycleDecision,
) -> dict[str, int]:
    """Give the closing positions, once they are all that the hub decided on."""
    stated = [octets(line.statement) for line in groups if line.statement is not None]
    if len(stated) != decision.groups:
        told = f"{len(stated)}, and {decision.groups} in the decision"
        raise NotSignedError(f"statements: {told}")
    _check_root(stated, decision.statements, "statements: not those decided on")
    positions: dict[str, int] = {
        group: line.statement.closing
        for group, line in lines.items()
        if line.statement is not None
    }
    positions[RESERVE] = decision.reserve
    total = sum(positions.values())
    if total != 0:
        raise MalformedMessageError("positions", total, "a sum of zero")
    return {group: positions[group] for group in sorted(positions)}


def _check_excepted(excepted: Sequence[str], positions: Mapping[str, int]) -> None:
    """Check that who is left out has a line; all else follows from the names."""
    wrong = wrong_exception(positions, excepted)
    if wrong is not None:
        raise NotSignedError(f"excepted: {wrong} has no line, or is there twice")
    if list(excepted) != sorted(excepted):
        raise NotSignedError("excepted: not in name order")


def _settlement_of(
    proven: ProvenCycle,
) -> dict[str, int | list[Target] | list[Leg]]:
    """Give the members of a file that follow from its positions and exceptions."""
    return {
        "targets": [Target(group, aim) for group, aim in proven.targets.items()],
        "legs": list(proven.plan.legs),
        "bound": proven.plan.bound,
    }


def describe_cycle(proven: ProvenCycle) -> list[str]:
    """Say in plain English what a cycle file proves, whose word it took, what not."""
    decision, checkpoint = proven.decision, proven.checkpoint
    agreed = [
        group
        for group, line in proven.lines.items()
        if isinstance(line.answer, CycleAgree)
    ]
    witnesses = [group for group, line in proven.lines.items() if line.is_witness]
    return [
        f"Interlets cycle: cycle {decision.cycle} was closed.",
        f"Closed {decision.at} by the hub's clock.",
        f"Federation {proven.federation}.",
        f"Signed by the hub (number {decision.number} of {checkpoint.size} in log "
        f"{decision.log}).",
        f"Signed in this file by {len(agreed)} of the {decision.groups} groups that "
        "have a line.",
        *itertools.chain.from_iterable(
            _tell_line(group, line, proven) for group, line in proven.lines.items()
        ),
        f"The reserve stands at {write_hours(decision.reserve)}. All positions sum to "
        "zero.",
        *_tell_plan(proven),
        f"Shown the same log: {', '.join(witnesses) or 'no group'}; "
        f"{len(witnesses)} of {len(proven.lines)}.",
        "Not proved: that these keys are the groups' own (compare the check digits), "
        "that the hub showed this log to everyone, what the groups traded, whether "
        "any leg was paid, and whether groups have signed more than is in this file.",
    ]


def _tell_line(group: Group, line: ProvenLine, proven: ProvenCycle) -> list[str]:
    digits = check_digits(proven.federation, line.record.entry)
    head = f"{group} (check digits {digits})"
    statement = line.statement
    if statement is None:
        return [f"{head} has no line in this cycle."]
    told = (
        f"{head}: from {write_hours(statement.opening)}, "
        f"paid {write_hours(statement.debits)}, "
        f"received {write_hours(statement.credits)}, to "
        f"{write_hours(statement.closing)}; {_tell_answer(line)}."
    )
    return [told, *line.former]


def _tell_answer(line: ProvenLine) -> str:
    if line.answer is None:
        return "NOT signed: no answer of it is in this file"
    if isinstance(line.answer, CycleDispute):
        closing = write_hours(line.answer.closing)
        return (
            "NOT agreed: in this file it signed that by its own ledger it stands at "
            f"{closing}; it may have agreed since"
        )
    return "signed by the group"


def _tell_plan(proven: ProvenCycle) -> list[str]:
    plan, excepted = proven.plan, proven.excepted
    every, whose = "every group", "the reserve has"
    told = []
    if excepted:
        every, whose = "every other group", "the reserve and these groups have"
        told.append(
            f"Left out of the plan, by the regional admin's word alone: "
            f"{', '.join(excepted)}. They stay where they are."
        )
    if not plan.legs:
        return [*told, "There is nothing to settle."]
    least = "and no plan has fewer"
    if plan.bound < len(plan.legs):
        least = f"and no plan has fewer than {plan.bound}"
    kept = [
        f"{group} {write_hours(aim)}"
        for group, aim in proven.targets.items()
        if aim and group != RESERVE and group not in excepted
    ]
    but = f", but for what {whose}: {', '.join(kept)}" if kept else ""
    return [
        *told,
        f"Legs of a plan that settles this: {len(plan.legs)}, {least}; "
        f"{write_hours(plan.milliseconds)} in all.",
        *(
            f"Leg: {leg.debtor} to {leg.creditor}, {write_hours(leg.milliseconds)}."
            for leg in plan.legs
        ),
        f"With these legs {every} stands at zero{but}.",
    ]
