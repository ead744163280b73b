"""The single writer: it takes what waits, decides it, commits once, answers.

Members' orders and peers' envelopes alike go through ``take``. Whatever waits
becomes one batch and one database transaction; only when that is durable are the
callers answered and the courier woken. There is no timer: a batch is what came
while the one before was written. What is decided is the house's business
(``clearing.rules``, ``nodes.rules``); how a batch is decided is ``batch``.

The clerk writes on the very connection that holds the advisory lock: connection
gone, lock gone, role gone. Then everything that waits fails as an outage, a new
lock brings a new life, and memory is read anew.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.base64url import write_base64url
from protocol.effects import CallPeople, SaveTransfer, Touched, transfer_of
from protocol.envelope import (
    BODY_LENGTH_MAX,
    NOTHING_ROOT,
    CoverPayload,
    seal,
)
from protocol.errors import OutageError, RestoredError
from protocol.inquiry import LINES_MAX
from protocol.instant import Instant, read_instant, write_instant
from protocol.link import SKEW_MAX_MS, Link
from protocol.messages import read_item
from protocol.peer import (
    backup_store,
    directory_store,
    ledger_store,
    link_store,
    transfer_store,
)
from protocol.peer.batch import (
    Arrival,
    Batch,
    Calls,
    House,
    MoreTime,
    OtherKey,
    PeerCalls,
    Stale,
    Work,
)
from protocol.peer.clock import Clock
from protocol.peer.database import AWAY, AnyConnection, Connection, Database
from protocol.peer.link_store import SealedEnvelope
from protocol.peer.metrics import Metrics
from protocol.peer.migration_store import migrate
from protocol.peer.settings import LimitSettings, SettingsError
from protocol.peer.steps import KillSwitch
from protocol.peer.waiting_lines import WaitingLines
from protocol.restored import Restored, may_name
from protocol.transfer import Transfer

_LOG = logging.getLogger(__name__)
#: What every server's database holds.
PEER_MIGRATIONS = ("peer", Path(__file__).parent / "migrations")
_LIFE_LENGTH = 8
_PAUSE_S = 0.5
#: After a crash the covers of the next life may be dated so far ahead of the clock.
_COVER_AHEAD_MS = 4_000
#: How many covers of a millisecond each may be written while the clock is behind them.
_COVERS_AHEAD = 1000
#: How long a command waits for a server's lock before it gives up.
_ALONE_S = 3.0


@dataclass
class _Waiting:
    wanted: object
    answer: "asyncio.Future[object]"


class Clerk:
    """One server's only writer.

    Args:
        house: who decides what.
        database: where to write.
        clock: the wall clock.
        metrics: what is counted.
        limits: how much may wait, how much is one batch.
        kill_switch: where a trial wants this process to die.
        migrations: the house's package name and folder.
    """

    def __init__(
        self,
        house: House,
        database: Database,
        clock: Clock,
        metrics: Metrics,
        limits: LimitSettings,
        kill_switch: KillSwitch,
        migrations: tuple[str, Path],
    ) -> None:
        self.house = house
        self.links: dict[str, Link] = {}
        self.life = ""
        self.is_ready = False
        #: This database was restored and has not compared since.
        self.restored: Restored | None = None
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._kill_switch = kill_switch
        self._migrations = migrations
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(limits.waiting_max)
        self._connection: Connection | None = None
        self._numbered: dict[str, int] = {}
        self._sequence = 0
        self._outbound: dict[str, list[SealedEnvelope]] = {}
        #: The alarms that peers have caused in this hour; a restart forgets them.
        self._calls = Calls()
        #: What goes behind the next cover, unsigned; never written anywhere.
        self._asides = WaitingLines()
        #: Newest cover by peer; above every cover of former lives.
        self._cover_at: dict[str, Instant] = {}
        self._cover_floor = Instant(0)
        #: Durable: no cover of this life is dated later.
        self._cover_limit = Instant(0)
        self._peer_offset_ms: dict[str, int] = {}
        self._news: dict[str, asyncio.Event] = {}

    # What others ask of the clerk.

    async def take(self, wanted: object) -> object:
        """Hand in an order or an arrival; gives its outcome once it is durable.

        Raises:
            OutageError: too much waits already, or the database went away; ask
                again under the same key, for what became of it is not known.
            RestoredError: this server was restored and has not compared yet.
        """
        self.check_ready()
        self._check_restored(wanted)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(wanted, answer))
        except asyncio.QueueFull:
            raise OutageError("too many wait for the ledger; try again") from None
        return await answer

    def check_ready(self) -> None:
        """Raise ``OutageError`` while this process is not the clerk."""
        if not self.is_ready:
            raise OutageError("the ledger is not open yet; try again in a moment")

    def _check_restored(self, wanted: object) -> None:
        """Let nothing but covers through until a restored server has compared."""
        if self.restored is None or isinstance(wanted, Arrival | MoreTime | PeerCalls):
            return
        if not self.house.is_for_restored(wanted):
            self.check_may_change()

    def check_may_change(self) -> None:
        """Raise ``RestoredError`` until a restored server has compared.

        Also for what the clerk does not book: whoever is invited, or gives away her
        name, on a database that may be thrown away would find nothing of it there.
        """
        if self.restored is not None:
            raise RestoredError(
                "this server was restored from the backup of "
                f"{write_instant(self.restored.backup_at)} and has not compared yet: "
                "look, but change nothing; the alarms say more"
            )

    def waits_for(self) -> dict[str, str]:
        """Say whom a restored server waits for, and how its link stands."""
        if self.restored is None:
            return {}
        missing = set(self.house.awaited()) - self.restored.proved
        troubled = {link.peer for link in self.links.values() if link.trouble}
        waited = missing | (troubled & set(self.house.awaited()))
        return {
            peer: link_state(self.links[peer]) if peer in self.links else "unknown"
            for peer in sorted(waited)
        }

    def link(self, peer: str) -> Link:
        """Give the link with a peer; raises ``OutageError`` when there is none yet."""
        self.check_ready()
        if peer not in self.links:
            raise OutageError(f"the link with {peer} is not open yet; try again")
        return self.links[peer]

    def speak(self, peer: str) -> bytes:
        """Write a request or an answer: a fresh cover, and what waits behind it.

        What was sealed is handed over only to a peer that has named our life:
        before that nobody could take it. Asides get the room that it leaves.
        """
        link = self.link(peer)
        cover = self._cover(link) + b"\n"
        room = BODY_LENGTH_MAX - len(cover)
        sealed = b""
        if link.is_named and self._may_name(link):
            for envelope in self._outbound.get(peer, ()):
                if len(sealed) + len(envelope.wire) > room:
                    break
                sealed += envelope.wire
        asides = b""
        if link.has_compared:
            asides = self._asides.take(
                peer, LINES_MAX, room - len(sealed), self._clock.monotonic_s()
            )
        return cover + asides + sealed

    def say_aside(self, peer: str, line: bytes, for_s: float) -> bool:
        """Let an unsigned line go with the next words to a peer; then ring.

        Returns:
            ``False`` when too much waits already: it is forgotten.
        """
        now_s = self._clock.monotonic_s()
        return self._asides.put(peer, line, now_s + for_s, now_s)

    def has_sealed(self, peer: str) -> bool:
        """Say whether something sealed waits for a peer that could take it."""
        return self.link(peer).is_named and bool(self._outbound.get(peer))

    def has_news(self, peer: str) -> bool:
        """Say whether anything waits for a peer that could take it."""
        if self.has_sealed(peer):
            return True
        now_s = self._clock.monotonic_s()
        return self.link(peer).has_compared and self._asides.has(peer, now_s)

    def news(self, peer: str) -> asyncio.Event:
        """Give the event that is set after the next batch that touches this link.

        Take it first, look whether there is anything to do, then wait for it.
        """
        return self._news.setdefault(peer, asyncio.Event())

    def ring(self, peer: str) -> None:
        """Wake whoever waits for news of this link, news or not."""
        self._news.pop(peer, asyncio.Event()).set()

    def peer_now(self, peer: str) -> Instant:
        """Give the time on the peer's clock, as its newest cover tells it."""
        return Instant(self._clock.now() + self._peer_offset_ms.get(peer, 0))

    def heard_at(self, peer: str) -> Instant | None:
        """Say when a peer's newest cover came, by our clock; not yet: ``None``."""
        peer_at = self.link(peer).peer_at
        if peer_at is None:
            return None
        return Instant(peer_at - self._peer_offset_ms.get(peer, 0))

    async def may_speak(self, peer: str) -> None:
        """Wait, if need be, until a cover for ``peer`` may be dated now.

        Raises:
            OutageError: this process is not the clerk, or the database is away.
        """
        if self._next_cover_at(peer) > self._cover_limit:
            await self.take(MoreTime())

    def _next_cover_at(self, peer: str) -> Instant:
        # Two covers of one millisecond would be one: the second must be later.
        before = self._cover_at.get(peer, self._cover_floor)
        now = self._clock.now()
        # No peer has taken a cover dated further ahead than this, so a clock that
        # leapt and was put right does not silence us until it gets there again.
        return Instant(max(now, min(before, now + SKEW_MAX_MS) + 1))

    def _cover(self, link: Link) -> bytes:
        at = self._next_cover_at(link.peer)
        if at > self._cover_limit:
            raise OutageError("no cover may be dated so late yet; ask may_speak first")
        self._cover_at[link.peer] = at
        may_name = self._may_name(link)
        payload = CoverPayload(
            federation=self.house.federation,
            from_=self.house.own,
            to=link.peer,
            life=self.life,
            first=link.sent + 1,
            root=NOTHING_ROOT,
            prev=link.sent_head,
            at=write_instant(at),
            ack=link.taken,
            ack_head=link.taken_head,
            peer_life=link.peer_life if may_name else None,
            peer_at=write_instant(link.peer_at) if may_name and link.peer_at else None,
            # A hub that may lack decisions would look like one that denies them.
            checkpoint=self.house.checkpoint if may_name else None,
        )
        line_1, _ = seal(payload, self.house.signing_key)
        return line_1

    def _may_name(self, link: Link) -> bool:
        return self.restored is None or may_name(
            self.links, self.house.awaited(), link.peer
        )

    # The clerk's own day.

    async def run(self) -> None:
        """Be the clerk for as long as the process lives.

        Raises:
            Exception: whatever is neither an outage nor a lawful no; then the
                server must stop and a person must look.
        """
        while True:
            try:
                await self._start()
                while True:
                    await self._work_once()
            except (OutageError, SettingsError, *AWAY) as error:
                if isinstance(error, SettingsError) and not self.life:
                    # At the first start nobody waits yet: say it and stop.
                    raise
                _LOG.warning("the database is away: %s", error)
                await self._lose_role()
                await asyncio.sleep(_PAUSE_S)

    async def carry_out_alone(self, orders: Sequence[object]) -> list[object]:
        """Be the clerk just for these orders: for commands beside no server.

        Raises:
            OutageError: a server holds the clerk's lock.
        """
        try:
            async with asyncio.timeout(_ALONE_S):
                await self._start()
        except TimeoutError:
            raise OutageError(
                "this server is running and keeps the ledger; stop it first"
            ) from None
        try:
            for order in orders:
                self._check_restored(order)
            works = [Work(order) for order in orders]
            await self.carry_out(works)
        finally:
            await self._lose_role()
        return [work.outcome for work in works]

    async def _start(self) -> None:
        """Get the lock, bring the tables up to date, begin a new life."""
        self._connection = connection = await self._database.become_clerk()
        connection.add_termination_listener(self._notice_loss)
        now = self._clock.now()
        packages = [PEER_MIGRATIONS, self._migrations]
        for name in await migrate(connection, packages, now):
            _LOG.info("migrated: %s", name)
        await self.begin(connection, write_base64url(secrets.token_bytes(_LIFE_LENGTH)))

    async def begin(self, connection: Connection, life: str) -> None:
        """Begin a life on the connection that holds the lock.

        Args:
            connection: its tables are up to date.
            life: drawn for this start.
        """
        self._connection, self.life = connection, life
        self.restored = await backup_store.read_restored(connection)
        if self.restored is not None:
            _LOG.warning("restored from a backup; nothing changes before it compares")
        await self.house.load(connection, life)
        self.links, self._numbered = await link_store.read_links(connection, self.life)
        self._sequence = await ledger_store.read_sequence(connection)
        self._outbound = {
            peer: await link_store.read_unacknowledged(connection, link)
            for peer, link in self.links.items()
        }
        limit = await link_store.read_cover_limit(connection)
        self._cover_at, self._cover_floor, self._cover_limit = {}, limit, limit
        first = [MoreTime(), *self.house.first_inputs()]
        await self.carry_out([Work(wanted) for wanted in first])
        self.is_ready = True
        for peer in self.links:
            self.ring(peer)
        _LOG.info("clerk of %s, life %s", self.house.own, self.life)

    def _notice_loss(self, connection: AnyConnection) -> None:
        """Fall silent at once when the lock is gone, though nobody asks anything.

        A standby may already speak: a former life after it would be a fork.
        """
        if connection is self._connection:
            self.is_ready = False
            # Wakes a clerk that waits for work, so that it sees its loss.
            answer: asyncio.Future[object] = asyncio.Future()
            answer.add_done_callback(asyncio.Future.exception)
            if not self._queue.full():
                self._queue.put_nowait(_Waiting(MoreTime(), answer))

    async def _lose_role(self) -> None:
        self.is_ready = False
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        while not self._queue.empty():
            waiting = self._queue.get_nowait()
            _fail(waiting, OutageError("the database went away; ask again"))

    async def _work_once(self) -> None:
        """Take what waits, up to a bound, as one batch."""
        batch = [await self._queue.get()]
        while len(batch) < self._limits.batch_max and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        self._metrics.waiting.set(self._queue.qsize())
        works = [Work(waiting.wanted) for waiting in batch]
        try:
            await self.carry_out(works)
        except BaseException as error:
            # Whoever asked does not know what became of it, and asks again
            # under the same key; a program's own mistake is not theirs to see.
            told = OutageError("the outcome is unknown; ask again under the same key")
            told.__cause__ = error
            for waiting in batch:
                _fail(waiting, told)
            raise
        for waiting, work in zip(batch, works, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(work.outcome)

    async def carry_out(self, works: Sequence[Work]) -> None:
        """Decide a batch, make it durable, then let it count.

        It waits for nothing but the database: on one in memory it runs to its end
        at once, and needs no event loop.
        """
        began = self._clock.monotonic_s()
        view = self.house.begin(self.life)
        view.links, view.numbered = dict(self.links), dict(self._numbered)
        batch = Batch(self.house, view, self._clock.now(), list(works))
        batch.calls, batch.restored = self._calls.copy(), self.restored
        await self._prepare(batch)
        batch.decide()
        await self._seal(batch)
        if self._is_worth_writing(batch):
            await self._write(batch)
            self._metrics.commits.inc()
            self._metrics.commit_seconds.observe(self._clock.monotonic_s() - began)
        self._metrics.batches.inc()
        self._metrics.batch_size.observe(len(works))
        self._keep(batch)

    async def _prepare(self, batch: Batch) -> None:
        """Read in bulk all that the batch touches."""
        connection = self._writer()
        known = {
            peer: await link_store.read_known(connection, peer, firsts)
            for peer, firsts in batch.old_firsts().items()
        }
        batch.take_arrivals(known)
        touched = batch.touched()
        await self._read_sent(batch, touched)
        view = batch.view
        if touched.transfers:
            view.transfers = await self._read_transfers(touched.transfers)
        held = await ledger_store.read(connection, view, set(view.transfers))
        if touched.accounts or held:
            accounts = await ledger_store.read_accounts(
                connection, touched.accounts | held
            )
            view.accounts = {account.account_id: account for account in accounts}
        orders = [work.wanted for work in batch.works]
        await self.house.read(connection, view, orders)

    async def _read_transfers(self, ids: set[str]) -> dict[str, Transfer]:
        """Read transfers and, where they are refunds, what they give back.

        Whatever is decided about a refund is counted on its original.
        """
        found = await transfer_store.read(self._writer(), ids)
        refunded = {transfer.refund_of for transfer in found.values()}
        originals = {id_ for id_ in refunded if id_ is not None and id_ not in found}
        if originals:
            found |= await transfer_store.read(self._writer(), originals)
        return found

    async def _read_sent(self, batch: Batch, touched: Touched) -> None:
        """Read the items of ours that a peer refused, and what they were about."""
        for peer, number in touched.sent_items:
            line = await link_store.read_sent_line(self._writer(), peer, number)
            if line is not None:
                batch.view.sent_lines[peer, number] = line
                about = transfer_of(read_item(line))
                touched.transfers |= {about} if about else set()

    async def _seal(self, batch: Batch) -> None:
        for peer in batch.sealable():
            waited = self._numbered.get(peer, 0) - batch.view.links[peer].sent
            stored = []
            if waited > 0:
                stored = await link_store.read_waiting(
                    self._writer(), peer, batch.view.links[peer].sent, 1000
                )
            batch.seal(peer, stored)

    def _changed_links(self, batch: Batch) -> list[Link]:
        return [
            link
            for peer, link in batch.view.links.items()
            if link_store.is_changed(self.links.get(peer), link)
        ]

    def _is_worth_writing(self, batch: Batch) -> bool:
        return bool(
            batch.effects
            or batch.taken
            or batch.sealed
            or self._changed_links(batch)
            or batch.has_ended_restored
            or any(isinstance(work.wanted, MoreTime) for work in batch.works)
        )

    async def _write(self, batch: Batch) -> None:
        """Write everything and commit once."""
        connection, view = self._writer(), batch.view
        async with connection.transaction():
            await link_store.write_links(connection, self._changed_links(batch))
            await link_store.write_taken(connection, batch.taken, batch.now)
            sequence = await ledger_store.write(
                connection, view, batch.effects, self._sequence
            )
            await transfer_store.write(connection, view, batch.effects)
            await directory_store.write(connection, batch.effects, batch.now)
            await link_store.write_outgoing(connection, batch.outgoing)
            await link_store.write_sealed(connection, batch.sealed)
            await self.house.write(connection, view, batch.effects, batch.now)
            if batch.has_ended_restored:
                await backup_store.end_restored(connection)
            limit = await self._write_cover_limit(connection, batch.now)
            for step in batch.steps:
                self._kill_switch.reach(step, "before")
        for step in batch.steps:
            self._kill_switch.reach(step, "after")
        self._sequence, self._cover_limit = sequence, limit

    async def _write_cover_limit(self, connection: Connection, now: Instant) -> Instant:
        """Move the limit ahead when half of it is used up; gives the limit."""
        newest = max(self._cover_at.values(), default=self._cover_floor)
        if (
            self._cover_limit - now > _COVER_AHEAD_MS // 2
            and self._cover_limit - newest > _COVERS_AHEAD // 2
        ):
            return self._cover_limit
        # Counted from the clock: reckoned from the former limit, every start in a
        # row of quick ones would date its covers further ahead, until they are
        # too far from the peers' clocks and no link opens any more.
        limit = Instant(max(now + _COVER_AHEAD_MS, newest + _COVERS_AHEAD))
        await link_store.write_cover_limit(connection, limit)
        return limit

    def _keep(self, batch: Batch) -> None:
        """Let memory follow what is now durable, and wake who waits for it."""
        touched = {
            peer
            for peer, link in batch.view.links.items()
            if self.links.get(peer) is not link
        }
        self.links, self._numbered = batch.view.links, batch.view.numbered
        self.house.keep(batch.view)
        self._calls, self.restored = batch.calls, batch.restored
        if batch.has_ended_restored:
            touched = set(self.links)
        for envelope in batch.sealed:
            self._outbound.setdefault(envelope.peer, []).append(envelope)
        for peer in touched:
            acknowledged = self.links[peer].acknowledged
            self._outbound[peer] = [
                envelope
                for envelope in self._outbound.get(peer, ())
                if envelope.first > acknowledged
            ]
            self._metrics.set_link_state(peer, link_state(self.links[peer]))
        self._note_peers(batch)
        self._note_effects(batch)
        for peer in touched:
            self.ring(peer)

    def _note_effects(self, batch: Batch) -> None:
        """Log and count what people must hear, and what was refused."""
        for effect in batch.effects:
            if isinstance(effect, CallPeople):
                _LOG.error("for people: %s", effect.text)
                self._metrics.alarms.labels(effect.about, "told").inc()
            elif isinstance(effect, SaveTransfer) and effect.transfer.code is not None:
                self._metrics.refusals.labels(effect.transfer.code).inc()
        for about in batch.left_out:
            self._metrics.alarms.labels(about, "left-out").inc()

    def _note_peers(self, batch: Batch) -> None:
        """Count what came, and learn the peers' clocks."""
        for work in batch.works:
            self._metrics.inputs.labels(type(work.wanted).__name__).inc()
            if isinstance(work.wanted, Arrival) and not isinstance(
                work.outcome, Stale | OtherKey
            ):
                at = read_instant(work.wanted.body.cover.payload.at)
                self._peer_offset_ms[work.wanted.peer] = at - batch.now
        self._metrics.envelopes.labels("taken").inc(len(batch.taken))
        self._metrics.envelopes.labels("sealed").inc(len(batch.sealed))

    def _writer(self) -> Connection:
        assert self._connection is not None, "only a clerk with the lock works"
        if self._connection.is_closed():
            raise OutageError("the connection that held the lock is gone")
        return self._connection


def link_state(link: Link) -> str:
    """Say in one word how a link stands."""
    if link.trouble is not None:
        return link.trouble.value
    return "compared" if link.has_compared else "comparing"


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
