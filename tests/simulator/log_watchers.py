"""The watch that each node keeps on the hub's log: the real ``nodes.watch.LogWatch``.

Only what fetches over HTTP is another, and what waits: nothing in memory ever does, so
that no event loop is needed. A watch looks five seconds after the hub was heard with
something new, and goes on looking while something is missing and the hub is heard. One
that looked every five seconds, as in earnest, would find the same; years would cost.

What it swallows so that the ledger goes on is told here: a promise that broke while it
looked, or a fault of its own.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from clearing import evidence as hub_evidence
from nodes import evidence as node_evidence
from nodes.hub_reader import HubReader
from nodes.watch import log_reader, log_watch
from nodes.watch.log_watch import LogWatch
from protocol.address import HUB, Group
from protocol.envelope import Body
from protocol.errors import OutageError
from protocol.peer import directory_history
from tests.simulator import memory_watch
from tests.simulator.agenda import SECOND
from tests.simulator.federation import Federation, Node
from tests.simulator.memory_database import MemoryConnection, MemoryDatabase
from tests.simulator.servers import Crash, Server, drive

assert memory_watch, "its import lets queries be answered"
LOOK_MS = 5 * SECOND
#: Whoever has not heard the hub for so long only waits.
_HEARD_MS = 45 * SECOND
#: What waits, or begins threads, in earnest.
_WAITING: tuple[Any, ...] = (
    log_watch,
    log_reader,
    node_evidence,
    hub_evidence,
    directory_history,
)
#: What the hub publishes: to which group, under which path.
Publish = Callable[[str, str], Awaitable[bytes]]


class _NoWaiting:
    """As much of ``asyncio`` as watches use."""

    @staticmethod
    @asynccontextmanager
    async def timeout(_delay_s: float) -> Any:
        yield

    @staticmethod
    async def to_thread(work: Callable[..., Any], *values: Any) -> Any:
        return work(*values)

    @staticmethod
    async def sleep(_delay_s: float) -> None:
        pass

    @staticmethod
    async def gather(*works: Awaitable[Any], return_exceptions: bool) -> list[Any]:
        assert return_exceptions
        found: list[Any] = []
        for work in works:
            try:
                found.append(await work)
            except Exception as error:  # noqa: BLE001  as ``gather`` gives them
                found.append(error)
        return found


class _Faults:
    """A watch's log: keeps what it would only write down."""

    def __init__(self) -> None:
        self.found: BaseException | None = None
        #: The hub could not be asked.
        self.is_away = False

    def exception(self, *_: object) -> None:
        self.found = self.found or sys.exc_info()[1]

    def info(self, *_: object) -> None:
        self.is_away = True

    def warning(self, *_: object) -> None:
        pass

    error = debug = warning


class _Pool:
    """As much of a pool of connections as readers use."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    @asynccontextmanager
    async def acquire(self) -> Any:
        yield MemoryConnection(self._database)


class Pools:
    """What a watch calls its database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.readers = self.desk = _Pool(database)


class LogWatchers:
    """The watches of one federation's nodes.

    Args:
        federation: not yet open, or at work.
        publish: what the hub answers to a watch.
    """

    def __init__(self, federation: Federation, publish: Publish) -> None:
        self.federation, self._publish = federation, publish
        self.watches: dict[str, LogWatch] = {}
        #: Told of each node that has looked.
        self.on_looked: Callable[[Node], None] = lambda _: None
        self._faults = _Faults()
        self._heard_at: dict[str, int] = {}
        self._planned: dict[str, LogWatch] = {}
        #: What there was to see at the last look.
        self._seen: dict[str, object] = {}
        world = federation.world
        self._on_start = world.on_start
        world.on_start = self._started
        for node in federation.nodes.values():
            node.hear = lambda body, node=node: self._note(node, body)  # type: ignore[misc]
            if node.is_up:
                self._watch(node)

    def _started(self, server: Server) -> None:
        self._on_start(server)
        if isinstance(server, Node):
            self._watch(server)

    def _watch(self, node: Node) -> None:
        assert node.clerk is not None
        database: Any = Pools(node.database)
        clock: Any = node.clock
        evidence = node_evidence.NodeEvidence(node.house)
        self._seen.pop(node.name, None)
        self.watches[node.name] = LogWatch(
            node.house, node.clerk, database, clock, node.name, evidence
        )

    def _note(self, node: Node, body: Body) -> None:
        self.watches[node.name].note_cover(body.cover)
        self._heard_at[node.name] = self.federation.world.now
        self._plan(node)

    # When it looks.

    def _plan(self, node: Node) -> None:
        watch = self.watches[node.name]
        if self._planned.get(node.name) is watch:
            return
        self._planned[node.name] = watch

        def look() -> None:
            if self._planned.get(node.name) is watch:
                del self._planned[node.name]
            if self.watches[node.name] is watch and node.is_up:
                self._look(node, watch)

        self.federation.world.later(LOOK_MS, look)

    def _standing(self, node: Node, watch: LogWatch) -> object:
        cover = watch._cover
        named = None if cover is None else cover.payload.checkpoint
        link, directory = node.clerk.links[HUB], node.house.directory  # type: ignore[union-attr]
        return named, link.taken, id(directory), node.house.trust.era

    def _look(self, node: Node, watch: LogWatch) -> None:
        standing = self._standing(node, watch)
        # Without a cover nobody's patience ends.
        is_new = watch._heard_s > watch._patience._before_s
        # Whoever has just doubted one group has yet to read what others say.
        waits = bool(watch._patience._missing or watch._comparison._claims) and is_new
        waits = waits or watch._second.is_waiting
        if standing == self._seen.get(node.name) and not waits:
            return
        try:
            with self._reading():
                drive(watch.look())
        except Crash as crash:
            node.crash(str(crash))
            return
        except OutageError:
            # Its own clerk takes nothing: it was put back, or begins anew.
            self._faults.is_away = True
        self._tell_fault()
        self.on_looked(node)
        is_away, self._faults.is_away = self._faults.is_away, False
        if not is_away:
            self._seen[node.name] = self._standing(node, watch)
        node.after_batch()
        is_heard = self.federation.world.now - self._heard_at[node.name] < _HEARD_MS
        if node.is_up and is_heard and (is_away or watch._second.is_waiting):
            self._plan(node)

    def _tell_fault(self) -> None:
        fault, self._faults.found = self._faults.found, None
        if fault is not None:
            raise fault

    # What it reads.

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Let watches read what this hub publishes, while this lasts."""
        before = [one.asyncio for one in _WAITING]
        reader, log = log_watch.HubReader, log_watch._LOG  # type: ignore[attr-defined]
        for one in _WAITING:
            one.asyncio = _NoWaiting
        log_watch.HubReader = self._reader  # type: ignore[assignment, attr-defined, misc]
        log_watch._LOG = self._faults  # type: ignore[assignment]
        try:
            yield
        finally:
            log_watch.HubReader = reader  # type: ignore[attr-defined, misc]
            log_watch._LOG = log
            for one, was in zip(_WAITING, before, strict=True):
                one.asyncio = was

    def _reader(self, group: str) -> AbstractAsyncContextManager[HubReader]:
        return _Reader(self._publish, group)


class _Reader(HubReader):
    """Asks the hub in memory; its address is the name of who asks."""

    def __init__(self, publish: Publish, group: str) -> None:
        self._publish, self._group = publish, Group(group)

    async def __aenter__(self) -> "_Reader":
        return self

    async def __aexit__(self, *_raised: object) -> None:
        pass

    async def fetch(self, path: str, length_max: int) -> bytes:
        raw = await self._publish(self._group, path)
        assert len(raw) <= length_max
        return raw
