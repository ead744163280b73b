"""A closed cycle that is right until a test says otherwise: three groups, signed lines.

Oostende has paid five hours more than it received. Mechelen agrees like Oostende;
Brussel has not answered unless a test lets it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from protocol import envelope
from protocol.address import Group
from protocol.base64url import write_base64url
from protocol.checkpoint import write_checkpoint
from protocol.cycle_file import (
    CycleFile,
    CycleLine,
    complete_cycle_file,
    write_cycle_file,
)
from protocol.merkle import Tree
from protocol.messages import (
    NOTHING_HASH,
    CycleAgree,
    CycleDecision,
    CycleDispute,
    CycleStatement,
    DecisionName,
    ItemProof,
    line_hash,
    write_line,
)
from tests.peer.makers import LOG, proof_of
from tests.peer.receipts import BRUSSEL, Evidence, leaf_proof, statement
from tests.protocol.makers import (
    AT,
    FEDERATION,
    MECHELEN,
    OOSTENDE,
    cover_payload,
    hash_of,
    signing_key,
)

HOUR = 3_600_000
#: Opening, debits, credits, in hours.
MOVED = {
    BRUSSEL: (0, 1, 3),
    MECHELEN: (-1, 2, 5),
    OOSTENDE: (0, 9, 4),
}
#: The same for a first cycle, in which an hour came to the reserve.
FIRST = {
    BRUSSEL: (0, 1, 3),
    MECHELEN: (0, 2, 4),
    OOSTENDE: (0, 9, 4),
}
#: What ended the cycle before.
FORMER = DecisionName(LOG, 2)


class ClosedCycle(Evidence):
    """All that hub and groups signed about one cycle, to be changed by tests."""

    def __init__(
        self,
        *,
        moved: Mapping[Group, tuple[int, int, int]] | None = None,
        stated: Mapping[Group, dict[str, Any]] | None = None,
        reserve: int = HOUR,
        raw: Mapping[str, bytes] | None = None,
        before: Sequence[bytes] = (),
        cycle: int = 3,
        former: DecisionName | None = FORMER,
        **changes: Any,
    ) -> None:
        """Close a cycle.

        ``raw`` has bytes in place of a group's statement or of the ``close``;
        ``before`` are leaves that the log has already.
        """
        super().__init__()
        self.leaves = [*before] or self.leaves
        self.cycle, self.former = cycle, former
        self.ended = DecisionName(LOG, len(self.leaves))
        self.statements = {
            group: write_line(self.statement(group, figures, (stated or {}).get(group)))
            for group, figures in sorted((MOVED if moved is None else moved).items())
        }
        given = dict(raw or {})
        close = given.pop("close", None)
        self.statements |= {Group(name): line for name, line in given.items()}
        fields: dict[str, Any] = {
            "log": LOG,
            "number": self.ended.number,
            "at": AT,
            "cycle": cycle,
            "former": former,
            "groups": len(self.statements),
            "statements": write_base64url(Tree(list(self.statements.values())).root),
            "reserve": reserve,
        }
        self.leaves.append(close or write_line(CycleDecision(**(fields | changes))))
        # The log went on since.
        self.leaves.append(self.decision(number=len(self.leaves)))

    def statement(
        self,
        group: Group,
        figures: tuple[int, int, int],
        changes: dict[str, Any] | None = None,
    ) -> CycleStatement:
        opening, debits, credits = figures
        has_moved = bool(debits or credits)
        fields: dict[str, Any] = {
            "group": group,
            "cycle": self.cycle,
            "former": self.former,
            "to": self.ended,
            "opening": opening * HOUR,
            "debits": debits * HOUR,
            "credits": credits * HOUR,
            "count": 4 if has_moved else 0,
            "closing": (opening - debits + credits) * HOUR,
            "digest": hash_of(f"moves of {group}") if has_moved else NOTHING_HASH,
            "held_out": 0,
            "held_in": 60_000,
        }
        return CycleStatement(**(fields | (changes or {})))

    def agree(
        self, group: Group, *, key_of: str | None = None, **changes: Any
    ) -> ItemProof:
        fields = {"cycle": self.cycle, "statement": line_hash(self.statements[group])}
        line = write_line(CycleAgree(**(fields | changes)))
        return proof_of(line, group, key_of=key_of)

    def dispute(self, group: Group, closing: int, **changes: Any) -> ItemProof:
        fields: dict[str, Any] = {
            "cycle": self.cycle,
            "statement": line_hash(self.statements[group]),
            "opening": 0,
            "debits": 0,
            "credits": 0,
            "count": 1,
            "closing": closing,
            "digest": hash_of("other moves"),
        }
        return proof_of(write_line(CycleDispute(**(fields | changes))), group)

    def cover(self, group: Group, *, key_of: str | None = None, **changes: Any) -> str:
        named = {"from_": group, "checkpoint": self.checkpoint().short} | changes
        line_1, _ = envelope.seal(cover_payload(**named), signing_key(key_of or group))
        return line_1.decode()

    def line(self, group: Group, **changes: Any) -> CycleLine:
        is_silent = group == BRUSSEL or group not in self.statements
        said = self.statements.get(group)
        fields: dict[str, Any] = {
            "entry": self.directory[group].line.decode(),
            "statement": None if said is None else said.decode(),
            "answer": None if is_silent else self.agree(group),
            "cover": None if group == OOSTENDE else self.cover(group),
        }
        return CycleLine(**(fields | changes))

    def bare_file(
        self, lines: Mapping[Group, dict[str, Any]] | None = None, **changes: Any
    ) -> CycleFile:
        fields: dict[str, Any] = {
            "told": [],
            "federation": FEDERATION,
            "statement": statement(),
            "checkpoint": write_checkpoint(self.checkpoint(), signing_key("hub")),
            "decision": leaf_proof(Tree(self.leaves), self.leaves, self.ended.number),
            "groups": [
                self.line(group, **(lines or {}).get(group, {})) for group in self.names
            ],
            "excepted": [],
            "targets": [],
            "legs": [],
            "bound": 0,
        }
        return CycleFile(**(fields | changes))

    def file(self, *given: Any, **changes: Any) -> CycleFile:
        return complete_cycle_file(self.bare_file(*given, **changes))

    def next_cycle(
        self, moved: Mapping[Group, tuple[int, int, int]], **changes: Any
    ) -> "ClosedCycle":
        """The cycle after this one, which nobody pays anything in."""
        fields: dict[str, Any] = {"cycle": self.cycle + 1, "former": self.ended}
        return ClosedCycle(moved=moved, before=self.leaves, **(fields | changes))


def first_cycle(**changes: Any) -> ClosedCycle:
    """A cycle that has none before it."""
    fields: dict[str, Any] = {"cycle": 1, "former": None, "moved": FIRST}
    return ClosedCycle(**(fields | changes))


def cycle_file(made: ClosedCycle | None = None, *given: Any, **changes: Any) -> bytes:
    return write_cycle_file((made or ClosedCycle()).file(*given, **changes))


def forged(made: ClosedCycle, *given: Any, **changes: Any) -> bytes:
    """A file with everything computed, then changed."""
    file = msgspec.structs.replace(made.file(*given), **changes)
    return write_cycle_file(file)
