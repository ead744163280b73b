"""What servers do about cycles beside their clerks: the real watches and calendar.

A watch reads what waits, and hands its clerk what it found; between the two anything
may happen, as in earnest. It is real code, run step by step: where it waits for its
clerk it stands still until a batch has answered. It looks a second after a batch has
left it something new to do, and no oftener, so that silence stays cheap.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from types import coroutine
from typing import Any

from clearing import cycle_store as hub_store
from clearing import cycle_watch as hub_watch
from clearing import settling
from nodes import cycle_store as node_store
from nodes.watch import cycle_watch as node_watch
from protocol.errors import OutageError
from tests.simulator.agenda import SECOND
from tests.simulator.memory_database import MemoryConnection, MemoryDatabase
from tests.simulator.servers import UNKNOWN, Server

_THREADED: tuple[Any, ...] = (hub_store, hub_watch, settling, node_store, node_watch)
Answered = Callable[[object], None]


class _NoThreads:
    """As much of ``asyncio`` as watches use; nothing here is too long for a turn."""

    @staticmethod
    async def to_thread(work: Callable[..., Any], *values: Any) -> Any:
        return work(*values)


@contextmanager
def _without_threads() -> Iterator[None]:
    real = [one.asyncio for one in _THREADED]
    for one in _THREADED:
        one.asyncio = _NoThreads
    try:
        yield
    finally:
        for one, before in zip(_THREADED, real, strict=True):
            one.asyncio = before


class _ReadingConnection(MemoryConnection):
    """A reader's connection: what it sees does not change in one turn."""

    def transaction(self, **_isolation: str) -> Any:
        return nullcontext()


class _Readers:
    """What a watch calls its database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.readers = self
        self._database = database

    @asynccontextmanager
    async def acquire(self) -> Any:
        yield _ReadingConnection(self._database)


@coroutine
def _asked(wanted: object) -> Generator[object, object, object]:
    """Stand still until the clerk has answered."""
    return (yield wanted)


class _Queue:
    """A clerk as those see it who wait in its queue."""

    async def take(self, wanted: object) -> object:
        return await _asked(wanted)


#: How product code beside the clerk is begun: with clerk and database.
Begin = Callable[[Any, Any], Coroutine[Any, Any, Any]]


def beside_the_clerk(server: Server, begin: Begin, answer: Answered) -> None:
    """Run what reads beside the clerk, and hands it what it found.

    Args:
        server: if it is down, or loses its power meanwhile, the answer is ``UNKNOWN``.
        begin: gives the work; it waits for nothing but the clerk.
        answer: told what the work gave.
    """
    if not server.is_up:
        answer(UNKNOWN)
        return
    work = begin(_Queue(), _Readers(server.database))

    def go_on(answered: object) -> None:
        if answered is UNKNOWN:
            work.close()
            answer(UNKNOWN)
            return
        try:
            with _without_threads():
                wanted = work.send(answered)
        except StopIteration as ended:
            answer(ended.value)
        except OutageError:
            answer(UNKNOWN)
        else:
            server.submit(wanted, go_on)

    go_on(None)


class _Looks(ABC):
    """A server's watch, and when it looks."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._clerk: object = None
        self._watch: Any = None
        #: What there was to do when it looked last.
        self._seen: object = None
        self._is_planned = False
        before = server.after_batch

        def after_batch() -> None:
            before()
            self.plan()

        server.after_batch = after_batch

    def plan(self) -> None:
        """Look in a second, if there is something new to do."""
        server = self.server
        if server.clerk is not self._clerk:
            self._clerk, self._watch, self._seen = server.clerk, None, None
            self._is_planned = False
        if server.clerk is None or self._is_planned:
            return
        waits = self._waits()
        if not waits or self._standing(waits) == self._seen:
            return
        self._is_planned = True
        clerk = server.clerk

        def look() -> None:
            if server.clerk is clerk:
                self._seen = self._standing(self._waits())
                beside_the_clerk(server, self._look, end)

        def end(_: object) -> None:
            if server.clerk is clerk:
                self._is_planned = False
                self.plan()

        server.world.later(SECOND, look)

    def _standing(self, waits: list[Any]) -> object:
        clerk: Any = self.server.clerk
        return waits, clerk.is_ready, clerk.restored is None

    def _look(self, clerk: Any, database: Any) -> Coroutine[Any, Any, Any]:
        if self._watch is None:
            self._watch = self._make(clerk, database)
        watch: Any = self._watch
        work: Coroutine[Any, Any, Any] = watch.look()
        return work

    @abstractmethod
    def _make(self, clerk: Any, database: Any) -> Any:
        """Make the server's real watch."""

    @abstractmethod
    def _waits(self) -> list[Any]:
        """Say what waits for it."""


class _NodeLooks(_Looks):
    """Statements that wait for its word, and lists for an answer."""

    def _make(self, clerk: Any, database: Any) -> Any:
        return node_watch.CycleWatch(clerk, database)

    def _waits(self) -> list[Any]:
        return [
            (row["cycle"], row["state"], row["unanswered"])
            for row in self.server.database.table("cycle").values()
            if row["state"] == "waiting" or row["unanswered"] is not None
        ]


class _HubLooks(_Looks):
    """Disputes that wait for a list, and legs for a decision."""

    def _make(self, clerk: Any, database: Any) -> Any:
        return hub_watch.CycleWatch(self.server.house, clerk, database)

    def _waits(self) -> list[Any]:
        database = self.server.database
        found: list[Any] = [
            (key, row["unanswered"])
            for key, row in database.table("unanswered").items()
        ]
        newest = max(database.table("cycle"), default=0)
        for leg in self.server.house.legs.values():
            parties = (leg.debtor, leg.creditor)
            is_left = "left" in [self._state(group) for group in parties]
            if leg.is_signed or leg.cycle < newest or is_left:
                links = [self._link(group) for group in parties]
                found.append((leg.leg_id, leg.is_signed, is_left, links))
        return found

    def _state(self, group: Any) -> str:
        state: str = self.server.house.directory[group].state
        return state

    def _link(self, group: str) -> tuple[bool, str | None]:
        clerk: Any = self.server.clerk
        link = clerk.links[group]
        return link.has_compared, link.trouble


def watch_cycles(hub: Server, nodes: list[Server]) -> None:
    """Let every server look after its cycles."""
    _HubLooks(hub)
    for node in nodes:
        _NodeLooks(node)
