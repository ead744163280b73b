"""The audit: every check on one consistent view of the database, while work goes on.

What is asked is in ``audit_store`` (in SQL), ``audit_streams`` (signatures, which SQL
cannot verify) and the house's own part of both. Here it is only run: one after
another, in one read-only database transaction, with bounded findings. It changes
nothing, and says what it found; people decide what follows.
"""

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from protocol.address import FederationId
from protocol.directory import Directory, fold
from protocol.effects import CallPeople
from protocol.errors import (
    InterletsError,
    LedgerBrokenError,
    OutageError,
    PeerError,
)
from protocol.instant import Instant, write_instant
from protocol.ledger import BALANCE_MAX
from protocol.messages import DirectoryDecision, read_item
from protocol.peer import audit_store, audit_streams, directory_store
from protocol.peer.audit_store import CHECKS, Check, Finding, StoredChange, Walk
from protocol.peer.audit_streams import Parties
from protocol.peer.clock import Clock
from protocol.peer.command_line import FoundError, Progress
from protocol.peer.database import AnyConnection, Database
from protocol.peer.log import where
from protocol.peer.metrics import Metrics
from protocol.peer.settings import Settings
from protocol.unit import HOUR

_LOG = logging.getLogger(__name__)

#: So many findings are told; how many there are is always told.
FINDINGS_MAX = 100
_DAY_MS = 24 * HOUR

#: Told how much is done, of 1, and what is looked at.
Listener = Callable[[float, str], None]


@dataclass(frozen=True)
class Plan:
    """What a house has audited beside what every server has.

    Attributes:
        parties: who speaks on its links.
        checks: in SQL.
        walks: in Python.
        worths: of conversion accounts, milliseconds by rate version.
        findings: what was met while this plan was made.
    """

    parties: Parties
    checks: Sequence[Check] = ()
    walks: Sequence[Walk] = ()
    worths: Mapping[int, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


#: Reads, in the audit's own view, what the house wants to have audited.
MakePlan = Callable[[AnyConnection], Awaitable[Plan]]


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that holds on a sound ledger, and how often it does not."""

    name: str
    told: str
    findings: int


class WorthAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a rate version's conversion accounts are worth: what rounding has left."""

    rate_version: int
    milliseconds: int


class AuditAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found.

    ``sums`` are what all postings come to, by unit, always 0; ``worths`` are 0 or
    more. ``findings`` are the first 100 of ``findings_in_all``.
    """

    at: str
    milliseconds: int
    is_sound: bool
    sums: dict[str, int]
    worths: list[WorthAnswer]
    checks: list[CheckAnswer]
    findings: list[Finding]
    findings_in_all: int


class AuditRunsError(InterletsError):
    """One audit at a time."""


def quietly(_done: float, _told: str) -> None:
    """Tell nobody how far it is."""


class _Notes:
    """What has been found so far: the first ones whole, the others counted."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.checks: list[CheckAnswer] = []
        self.many = 0

    def note(self, found: Finding) -> None:
        self.many += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(found)

    def close(self, name: str, told: str, since: int) -> None:
        """End a check that began when ``since`` findings had been noted."""
        many = self.many - since
        self.checks.append(CheckAnswer(name=name, told=told, findings=many))


async def audit(
    database: Database, make_plan: MakePlan, clock: Clock, progress: Listener = quietly
) -> AuditAnswer:
    """Audit a server's database as it is at this moment.

    Raises:
        OutageError: the database is not there for now.
    """
    async with database.snapshot() as connection:
        return await audit_on(connection, make_plan, clock, progress)


async def audit_on(
    connection: AnyConnection,
    make_plan: MakePlan,
    clock: Clock,
    progress: Listener = quietly,
) -> AuditAnswer:
    """Audit what one database transaction sees."""
    began, at = clock.monotonic_s(), clock.now()
    plan = await make_plan(connection)
    notes = await _look_at_all(connection, plan, progress)
    sums = await audit_store.read_sums(connection)
    return AuditAnswer(
        at=write_instant(at),
        milliseconds=round((clock.monotonic_s() - began) * 1000),
        is_sound=notes.many == 0,
        sums={unit: _writable(total) for unit, total in sums.items()},
        worths=[
            WorthAnswer(rate_version=version, milliseconds=_writable(worth))
            for version, worth in sorted(plan.worths.items())
        ],
        checks=notes.checks,
        findings=notes.findings,
        findings_in_all=notes.many,
    )


def _writable(amount: int) -> int:
    """Bound what altered rows may come to, so that it can still be told in JSON."""
    return max(-BALANCE_MAX, min(amount, BALANCE_MAX))


async def _look_at_all(
    connection: AnyConnection, plan: Plan, progress: Listener
) -> _Notes:
    notes = _Notes()
    for found in plan.findings:
        notes.note(found)
    notes.close(DIRECTORY_NAME, DIRECTORY_TOLD, 0)
    checks = (*CHECKS, *plan.checks)
    streams = Walk(
        audit_streams.NAME,
        audit_streams.TOLD,
        lambda connection: audit_streams.walk(connection, plan.parties),
    )
    walks = (streams, *plan.walks)
    of = len(checks) + len(walks)
    for place, check in enumerate(checks):
        progress(place / of, check.told)
        since = notes.many
        async for found in audit_store.look(connection, check):
            notes.note(found)
        notes.close(check.name, check.told, since)
    for place, walk in enumerate(walks, len(checks)):
        since = notes.many
        async for part, several in audit_store.look_along(connection, walk):
            progress((place + part) / of, walk.told)
            for found in several:
                notes.note(found)
        notes.close(walk.name, walk.told, since)
    progress(1.0, "")
    return notes


DIRECTORY_NAME = "directory_is_as_it_was_signed"
DIRECTORY_TOLD = "Every directory decision holds what its group signed, in order."


async def read_directory(
    connection: AnyConnection, federation: FederationId
) -> tuple[Directory, list[Finding]]:
    """Fold the directory from its first decision, leaving out what cannot be."""
    directory: Directory = {}
    findings = []
    for place, kept in enumerate(await audit_store.read_changes(connection), 1):
        line = kept.line
        told: object = "no directory decision"
        decision = read_item(line)
        if isinstance(decision, DirectoryDecision):
            findings += _misplaced(kept, place, decision)
            try:
                directory = fold(directory, decision, line, federation)
                continue
            except PeerError as error:
                told = error
        findings.append(
            audit_store.finding(
                DIRECTORY_NAME,
                "directory_change",
                kept.sequence,
                told,
                "an entry as its group signed it",
            )
        )
    return directory, findings


def _misplaced(
    kept: StoredChange, place: int, decision: DirectoryDecision
) -> list[Finding]:
    """Compare where a decision stands, and under whose name, with what it is."""
    found, expected = (kept.sequence, kept.group), (place, decision.group)
    if found == expected:
        return []
    one = audit_store.finding(
        DIRECTORY_NAME, "directory_change", kept.sequence, found, expected
    )
    return [one]


def newest_due(now: Instant, hour: int) -> Instant:
    """Give the newest moment, up to ``now``, at which it was ``hour`` o'clock UTC."""
    return Instant(now - (now - hour * HOUR) % _DAY_MS)


class Auditor:
    """Runs audits for a server, one at a time, and calls people about findings.

    Args:
        database: read, but for the note of when it was last audited, and alarms.
        make_plan: the house's part.
        clock: the wall clock.
        metrics: where findings are shown.
    """

    def __init__(
        self, database: Database, make_plan: MakePlan, clock: Clock, metrics: Metrics
    ) -> None:
        self._database = database
        self._make_plan = make_plan
        self._clock = clock
        self._metrics = metrics
        self._is_running = False
        self._newest: Instant | None = None

    async def run(self) -> AuditAnswer:
        """Audit now.

        Raises:
            AuditRunsError: one runs already.
            OutageError: the database is not there for now.
        """
        if self._is_running:
            raise AuditRunsError("an audit runs already; ask again when it is done")
        self._is_running = True
        try:
            answer = await audit(self._database, self._make_plan, self._clock)
        finally:
            self._is_running = False
        self._metrics.audit_findings.set(answer.findings_in_all)
        self._metrics.audit_at.set(self._clock.now() / 1000)
        self._metrics.audit_seconds.set(answer.milliseconds / 1000)
        return answer

    async def run_when_due(self, hour: int) -> None:
        """Audit once a day, at ``hour`` o'clock UTC or as soon after as we are there.

        What was due while nothing ran is made up for; a new server waits for its
        first night.
        """
        now = self._clock.now()
        if self._newest is None:
            await self._remember(now)
        assert self._newest is not None
        if self._newest >= newest_due(now, hour):
            return
        try:
            answer = await self.run()
            findings, calls = answer.findings_in_all, _calls(answer)
        except AuditRunsError:
            # Whoever asked for it is told; ours comes with the next look.
            return
        except (OutageError, LedgerBrokenError):
            raise
        except Exception as error:  # noqa: BLE001  a night has passed, and people hear
            findings, calls = 1, [_broken_off(error)]
            self._metrics.audit_findings.set(findings)
        async with (
            self._database.desk.acquire() as connection,
            connection.transaction(),
        ):
            await audit_store.write_newest(connection, now, findings)
            await directory_store.write_alarms(connection, calls, now)
        self._newest = now
        for call in calls:
            _LOG.error("for people: %s", call.text)

    async def _remember(self, now: Instant) -> None:
        """Take up what a former run of this server has noted."""
        async with self._database.desk.acquire() as connection:
            newest = await audit_store.read_newest(connection)
            if newest is None:
                newest = (now, 0)
                await audit_store.write_newest(connection, *newest)
            else:
                self._metrics.audit_findings.set(newest[1])
                self._metrics.audit_at.set(newest[0] / 1000)
        self._newest = newest[0]


def _calls(answer: AuditAnswer) -> list[CallPeople]:
    """Say in one sentence what was found, if anything."""
    if answer.is_sound:
        return []
    first = answer.findings[0]
    return [
        CallPeople(
            "audit",
            f"the audit found {answer.findings_in_all} rows that cannot be; first"
            f" {first.table} {first.key}: found {first.found}, expected"
            f" {first.expected}; all: run the verb audit",
        )
    ]


def _broken_off(error: Exception) -> CallPeople:
    """Say that an audit did not come to its end; a message may hold what is private."""
    told = f"the audit broke off with {where(error)}; run the verb audit"
    return CallPeople("audit", told)


async def audit_alone(
    settings: Settings, make_plan: Callable[[AnyConnection], Awaitable[MakePlan]]
) -> AuditAnswer:
    """Audit for a command, beside a server that runs or one that does not.

    Args:
        settings: the server's own.
        make_plan: reads who this server is, for its plan.

    Raises:
        OutageError: the database is not there for now.
    """
    database = await Database.open(settings.database)
    progress = Progress(sys.stderr)
    try:
        async with database.readers.acquire() as connection:
            plan = await make_plan(connection)
        clock = Clock(settings.test.clock_offset_ms)
        return await audit(database, plan, clock, progress.show)
    finally:
        progress.close()
        await database.close()


def told(answer: AuditAnswer, *, as_json: bool) -> Mapping[str, object]:
    """Word an audit for a command; raises ``FoundError`` when it is not sound."""
    words: dict[str, object]
    if as_json:
        words = msgspec.to_builtins(answer)
    else:
        words = {
            "audited": f"{answer.at}, in {answer.milliseconds / 1000:.1f} s",
            "sums": answer.sums,
        }
        for worth in answer.worths:
            hours = worth.milliseconds / HOUR
            words[f"conversion {worth.rate_version}"] = (
                f"worth {worth.milliseconds} ms ({hours:.2f} h)"
            )
        held = sum(check.findings == 0 for check in answer.checks)
        words["checks"] = f"{held} of {len(answer.checks)} hold"
        words["findings"] = answer.findings_in_all
        for place, one in enumerate(answer.findings, 1):
            words[f"{place}"] = (
                f"{one.table} {one.key}: found {one.found}; expected {one.expected}"
                f" ({one.check})"
            )
    if not answer.is_sound:
        raise FoundError(words)
    return words
