"""A simulated server: the real clerk and house on a database in memory.

It has a clock that may be wrong, an inbox that becomes batches, and power that may
fail at every durable step. Nothing here decides anything of a transfer.
"""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from protocol.base64url import write_base64url
from protocol.errors import OutageError
from protocol.instant import Instant
from protocol.peer.batch import House, Work
from protocol.peer.clerk import Clerk
from protocol.peer.key_files import ServerKeys
from protocol.peer.settings import LimitSettings
from protocol.steps import Step
from tests.simulator.agenda import HOUR, IS_IDLE, Planned, call_off
from tests.simulator.memory_database import MemoryConnection, MemoryDatabase

if TYPE_CHECKING:
    from tests.simulator.world import World

_Result = TypeVar("_Result")
Answered = Callable[[object], None]
#: What a caller is told whose server lost its power before it answered.
UNKNOWN = OutageError("the outcome is unknown")
#: How often a sweeper looks, and how often where looking has brought nothing.
SWEEP_MS = 500
SWEEP_FAR_MS = 8 * HOUR


class Crash(BaseException):
    """The server's power fails here; what it had in memory is gone."""


def drive(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run what never waits to its end, without an event loop."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: _Result = ended.value
        return result
    raise AssertionError("a server in memory has nothing to wait for")


class Clock:
    """A server's clock: true time and how far it is off."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.offset_ms = 0

    def now(self) -> Instant:
        """Wall time, as this server sees it."""
        return Instant(self._world.now + self.offset_ms)

    def monotonic_s(self) -> float:
        """Seconds that never go backwards."""
        return self._world.now / 1000


class _Uncounted:
    """Metrics that nobody reads."""

    def labels(self, *_: object) -> "_Uncounted":
        return self

    def inc(self, *_: object) -> None:
        pass

    observe = set = set_link_state = inc

    def __getattr__(self, name: str) -> "_Uncounted":
        # Kept, so that asking for it again costs no call.
        setattr(self, name, self)
        return self


class _KillSwitch:
    """Asks the world whether power fails at a durable step."""

    def __init__(self, server: "Server") -> None:
        self._server = server

    def reach(self, step: Step, when: str) -> None:
        """Crash here, if that is drawn."""
        world = self._server.world
        world.steps.add((step, when))
        if world.may_crash(self._server, step, when):
            world.count(f"crash {when} a step")
            raise Crash(f"{when} {step}")


class SimulatedClerk(Clerk):
    """The clerk, asked by nobody but its own server."""

    def check_may(self, wanted: object) -> None:
        """Refuse what the clerk would not even put into its queue."""
        self.check_ready()
        self._check_restored(wanted)

    async def take(self, wanted: object) -> object:
        """Decide one input alone, at once."""
        self.check_may(wanted)
        work = Work(wanted)
        await self.carry_out([work])
        return work.outcome


class Server:
    """One server: a database that lasts, and everything else that does not.

    Attributes:
        name: ``hub``, or its group.
        database: outlives every crash.
        clerk: of this start; ``None`` while it is down.
        starts: how often it was started.
    """

    def __init__(
        self,
        world: "World",
        name: str,
        keys: ServerKeys,
        make_house: Callable[[], House],
    ) -> None:
        self.world = world
        self.name = name
        self.keys = keys
        self.database = MemoryDatabase()
        self.database.strike = self._strike
        self.clock = Clock(world)
        self.clerk: SimulatedClerk | None = None
        self.starts = 0
        #: When its sweeper looks next.
        self.swept_at = -1
        self._sweep_due: Planned | None = None
        self._sweep_ms = SWEEP_MS
        #: What a look of the sweeper's depends on, beside time.
        self._swept_standing: list[Any] = []
        self.after_batch: Callable[[], None] = lambda: None
        self._make_house = make_house
        #: Its process outlives what it loses: then its house must forget by itself.
        self.keeps_house = False
        self._kept: tuple[ServerKeys, House] | None = None
        self._inbox: list[tuple[object, Answered]] = []
        self._is_woken = False

    @property
    def is_up(self) -> bool:
        """Say whether it runs."""
        return self.clerk is not None

    @property
    def house(self) -> Any:
        """Its house; only while it runs."""
        assert self.clerk is not None
        return self.clerk.house

    def read(self, work: Callable[[Any], Coroutine[Any, Any, _Result]]) -> _Result:
        """Ask a store, as a reader would."""
        return drive(work(MemoryConnection(self.database)))

    def _a_house(self) -> House:
        """Give a new house, or the one of before, as where only the lock was lost."""
        if self._kept is not None and self._kept[0] is self.keys:
            return self._kept[1]
        house = self._make_house()
        self._kept = (self.keys, house) if self.keeps_house else None
        return house

    def has_new_settings(self) -> None:
        """Have the next start be that of a process that reads its settings."""
        self._kept = None

    def start(self) -> None:
        """Start it, with nothing but its database."""
        assert self.clerk is None
        world = self.world
        self.starts += 1
        life = write_base64url(world.draw.randbytes(8))
        clerk = SimulatedClerk(
            self._a_house(),
            None,  # type: ignore[arg-type]
            self.clock,  # type: ignore[arg-type]
            _Uncounted(),  # type: ignore[arg-type]
            LimitSettings(batch_max=world.batch_max),
            _KillSwitch(self),  # type: ignore[arg-type]
            ("", Path()),
        )
        world.tell("{} starts, life {}", self.name, life)
        self.clerk = clerk
        clerk.life = life
        world.started(self)
        try:
            drive(clerk.begin(MemoryConnection(self.database), life))  # type: ignore[arg-type]
        except Crash as crash:
            self.crash(str(crash))
            return
        self.after_batch()

    def crash(self, why: str) -> None:
        """Lose power: whoever waits for an answer learns nothing."""
        if self.clerk is None:
            return
        self.world.tell("{} crashes: {}", self.name, why)
        self.world.count("crash")
        self.clerk.is_ready = False
        self.clerk = None
        waiting, self._inbox = self._inbox, []
        self.world.crashed(self)
        for _, answer in waiting:
            answer(UNKNOWN)

    def submit(self, wanted: object, answer: Answered) -> None:
        """Hand something in; it is decided with whatever else waits by then."""
        try:
            if self.clerk is None:
                raise UNKNOWN
            self.clerk.check_may(wanted)
        except OutageError:
            answer(UNKNOWN)
            return
        self._inbox.append((wanted, answer))
        if not self._is_woken:
            self._is_woken = True
            self.world.later(self.world.batch_pause(), self._work)

    def _work(self) -> None:
        self._is_woken = False
        if self.clerk is None or not self._inbox:
            return
        size = self.world.batch_max
        batch, self._inbox = self._inbox[:size], self._inbox[size:]
        works = [Work(wanted) for wanted, _ in batch]
        if not self.carry_out(works):
            for _, answer in batch:
                answer(UNKNOWN)
            return
        for (_, answer), work in zip(batch, works, strict=True):
            answer(work.outcome)
        self.after_batch()
        if self._inbox and not self._is_woken:
            self._is_woken = True
            self.world.later(0, self._work)

    def carry_out(self, works: Sequence[Work]) -> bool:
        """Decide a batch; gives whether the server outlived it."""
        assert self.clerk is not None
        self.world.inputs += sum(1 + len(work.arrived) for work in works)
        try:
            drive(self.clerk.carry_out(works))
        except Crash as crash:
            self.crash(str(crash))
            return False
        return True

    def plan_sweep(self, wait_ms: int, *, is_idle: bool = False) -> None:
        """Let the sweeper look then, unless it will look earlier."""
        now, at = self.world.now, self.world.now + wait_ms
        if now <= self.swept_at <= at:
            return
        if self._sweep_due is not None:
            call_off(self._sweep_due)
        self.swept_at = at

        def look() -> None:
            self.swept_at, self._sweep_due = -1, None
            self.sweep()

        self._sweep_due = self.world.later(wait_ms, look, is_idle=is_idle)

    def jump(self, far_ms: int) -> None:
        """Let an idle look be as far away as before time jumped."""
        if self._sweep_due is not None and self._sweep_due[IS_IDLE]:
            self.swept_at += far_ms

    def look_more_often_at(self, standing: list[Any]) -> None:
        """Let the sweeper look soon again at what stands otherwise than before."""
        if standing != self._swept_standing:
            self._swept_standing, self._sweep_ms = standing, SWEEP_MS

    def look_more_seldom(self) -> None:
        """What waits for others need not be looked at twice a second."""
        self._sweep_ms = min(self._sweep_ms * 8, SWEEP_FAR_MS)

    def forget_sweep(self) -> None:
        """Let the sweeper not look before it is planned anew."""
        self.swept_at, self._swept_standing = -1, []
        if self._sweep_due is not None:
            call_off(self._sweep_due)
            self._sweep_due = None

    def sweep(self) -> None:
        """Look for what is due; each kind of server knows what."""

    def _strike(self) -> None:
        if self.world.may_tear(self):
            self.world.count("torn batch")
            raise Crash("between two writes")
