"""What only the hub's audit asks: positions, mirrors, and every decision.

The form is that of ``protocol.peer.audit_store``, which has what every server asks.
"""

from collections.abc import AsyncGenerator, Iterator
from typing import NamedTuple

from protocol.directory import Directory
from protocol.messages import (
    DecisionItem,
    TransferDecision,
    read_item,
)
from protocol.peer.audit_store import Check, Finding, finding
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
_ROWS_AT_ONCE = 200
_LEAVES_AT_ONCE = 2000

_CHECKS = (
    Check(
        "cleared_transfers_are_booked",
        "Every cleared transfer has moved both positions, and nothing else has.",
        _SQL["cleared_transfers_are_booked"],
    ),
    Check(
        "holds_are_what_was_asked",
        "Every hold is of its transfer's time, on its two groups.",
        _SQL["holds_are_what_was_asked"],
    ),
    Check(
        "decisions_have_no_gaps",
        "Decisions are numbered without gaps, in all and in each log.",
        _SQL["decisions_have_no_gaps"],
    ),
    Check(
        "transfers_have_decisions",
        "Every transfer that has ended was decided, and no other.",
        _SQL["transfers_have_decisions"],
    ),
    Check(
        "mirrors_are_positions",
        "Every node's clearing balance is minus its group's position.",
        _SQL["mirrors_are_positions"],
    ),
    Check(
        "directory_was_decided",
        "Every directory change is a decision of the log.",
        _SQL["directory_was_decided"],
    ),
    Check(
        "transfers_number_their_items",
        "Every transfer that was offered names its offer, if cleared its answer.",
        _SQL["transfers_number_their_items"],
    ),
    Check(
        "logs_are_stated_to_their_ends",
        "Every log has a checkpoint at its end, and nothing is stated beyond.",
        _SQL["logs_are_stated_to_their_ends"],
    ),
)


def checks(directory: Directory) -> list[Check]:
    """Give the hub's checks.

    Args:
        directory: folded from its first decision.
    """
    columns = (
        list(directory),
        [record.floor for record in directory.values()],
        [record.ceiling for record in directory.values()],
    )
    return [
        *_CHECKS,
        Check(
            "groups_are_as_decided",
            "Every group's limits are those of the newest decision about it.",
            _SQL["groups_are_as_decided"],
            columns,
        ),
    ]


DECISIONS_NAME = "decisions_are_carried_out"
DECISIONS_TOLD = "Every decision says what became of its transfer, which is booked so."


#: What a decision says of its transfer, and the transfer of itself.
_DECIDED = ("id", "state", "prepare", "answer", "code", "entries", "decided_at")


class _Decided(NamedTuple):
    """A decision's row, and the transfer that says it was decided by it."""

    sequence: int
    log: str
    number: int
    line: bytes
    id: str | None
    state: str | None
    prepare: str | None
    answer: str | None
    code: str | None
    entries: int
    decided_at: str | None


async def walk_decisions(
    connection: AnyConnection,
) -> AsyncGenerator[tuple[float, list[Finding]]]:
    """Walk all decisions; gives how much is done (of 1) and what was found there.

    What is not plainly right is read here, because a line that somebody altered may be
    no JSON any more, on which SQL would only break off.
    """
    of = await connection.fetchval(_SQL["read_size"])
    async for row in connection.cursor(_SQL["read_decisions"], prefetch=_ROWS_AT_ONCE):
        decided = _Decided(*row)
        if found := list(_look_at(decided)):
            yield max(0.0, min(decided.sequence / of, 1.0)), found


#: For ``audit_pages``; rows are ``AskedTransfer`` or ``AnsweredTransfer``.
READ_OFFERED = _SQL["read_offered"]
READ_UNOFFERED = _SQL["read_unoffered"]
READ_ANSWERED = _SQL["read_answered"]


class AskedTransfer(NamedTuple):
    """What a transfer says of what was asked, and a line: its offer, or prepare."""

    id: str
    payer_group: str
    payee_group: str
    milliseconds: int
    payer_rate: int
    payee_rate: int
    decide_by: str
    refund_of: str | None
    content: str
    prepare: str
    item_number: int | None
    line: bytes | None


class AnsweredTransfer(NamedTuple):
    """What a transfer says of its answer, and the line of the item that it names."""

    id: str
    prepare: str
    answer: str | None
    answer_number: int
    line: bytes | None


async def count_transfers(connection: AnyConnection) -> int:
    """Say how many transfers there are."""
    many: int = await connection.fetchval(_SQL["read_many"])
    return many


class LogRow(NamedTuple):
    """A decision as a leaf."""

    log: str
    number: int
    leaf: bytes
    line: bytes | None


class LogStatement(NamedTuple):
    """What is kept of a log at one size: a checkpoint, and what tiles got by it."""

    note: str | None
    root: str | None
    hashes: dict[tuple[int, int], bytes]


class LogPage(NamedTuple):
    """Leaves of one or more logs, and what is kept of those at the sizes they reach.

    Attributes:
        done: how much of all logs has been read with it, of 1.
        rows: at least one.
        stated: by log and size.
    """

    done: float
    rows: list[LogRow]
    stated: dict[tuple[str, int], LogStatement]


class LogPages:
    """Reads all logs from their first leaf, a page at a time."""

    def __init__(self, connection: AnyConnection) -> None:
        self._connection = connection
        self._of: int | None = None
        self._done = 0

    async def read(self) -> LogPage | None:
        """Give the next page; ``None``: that was all."""
        connection = self._connection
        if self._of is None:
            self._of = await connection.fetchval(_SQL["read_size"]) or 0
        if self._done >= self._of:
            return None
        found = await connection.fetch(_SQL["read_leaves"], self._done, _LEAVES_AT_ONCE)
        if not found:
            return None
        rows = [LogRow(*row) for row in found]
        self._done += len(rows)
        return LogPage(self._done / self._of, rows, await self._read_stated(rows))

    async def _read_stated(
        self, rows: list[LogRow]
    ) -> dict[tuple[str, int], LogStatement]:
        stated: dict[tuple[str, int], LogStatement] = {}
        ranges = {row.log: row.number for row in reversed(rows)}
        for log, first in ranges.items():
            span = log, first, first + len(rows)
            for note in await self._connection.fetch(_SQL["read_notes"], *span):
                stated[log, note["size"]] = LogStatement(note["note"], note["root"], {})
            for kept in await self._connection.fetch(_SQL["read_hashes"], *span):
                at = log, kept["size"]
                found = stated.setdefault(at, LogStatement(None, None, {}))
                found.hashes[kept["level"], kept["index"]] = kept["hash"]
        return stated


def _look_at(row: _Decided) -> Iterator[Finding]:
    key = f"{row.log}, {row.number}"
    decision = read_item(row.line)
    if not isinstance(decision, DecisionItem):
        yield finding(DECISIONS_NAME, "decision", key, row.line, "a decision")
        return
    if (decision.log, decision.number) != (row.log, row.number):
        found = f"a line of {decision.log}, {decision.number}"
        yield finding(DECISIONS_NAME, "decision", key, found, "its own line")
    if not isinstance(decision, TransferDecision):
        if row.id is not None:
            told = f"decided by {key}"
            yield finding(DECISIONS_NAME, "transfer", row.id, told, "a transfer's")
        return
    if row.id is None:
        expected = f"a transfer {decision.id} that it decided"
        yield finding(DECISIONS_NAME, "decision", key, "no transfer", expected)
        return
    yield from _compare(row, decision)


def _compare(row: _Decided, decision: TransferDecision) -> Iterator[Finding]:
    """Compare what a decision says with the transfer that it decided."""
    decided = (
        decision.id,
        decision.outcome,
        decision.prepare,
        decision.answer,
        decision.code,
        1 if decision.outcome == "cleared" else 0,
        decision.at,
    )
    kept = (
        row.id,
        row.state,
        row.prepare or None,
        row.answer,
        row.code,
        row.entries,
        row.decided_at,
    )
    for name, one, other in zip(_DECIDED, kept, decided, strict=True):
        if one != other:
            found, expected = f"{name} {one}", f"{name} {other}"
            yield finding(DECISIONS_NAME, "transfer", row.id, found, expected)
