"""A hub that lies, and nodes that watch its log as real ones do.

The watch is the real ``nodes.watch.LogWatch``, with its database in memory; only what
fetches over HTTP is another. It looks every five seconds, and needs an event loop for
that, though nothing in it ever waits; so it runs where it matters and not in all seeds.

Until it is told to, the hub does not lie. It lies on the link (``send``: other items
than its rules decided), about its log (``leaves``: each group may be shown another,
signed all the same), and in its covers (``named``: another checkpoint, ``signs``:
another key). Its rules are the real ones, so that the lie stands alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec

from clearing import log_store
from clearing.evidence import Evidence
from clearing.house import HubHouse
from nodes.evidence import NodeEvidence
from nodes.hub_reader import HubReader
from nodes.watch import log_watch
from nodes.watch.log_watch import LogWatch
from protocol.address import HUB, Group
from protocol.base64url import write_base64url
from protocol.checkpoint import (
    SignedCheckpoint,
    directory_tree,
    write_checkpoint,
)
from protocol.effects import Effects, SendItem, View
from protocol.envelope import Body
from protocol.errors import MalformedMessageError, OutageError
from protocol.instant import Instant
from protocol.keyring import SigningKey
from protocol.merkle import Tree, leaf_hash
from protocol.messages import Checkpoint
from protocol.receipt import write_receipt
from tests.simulator import memory_watch
from tests.simulator.agenda import MINUTE, SECOND
from tests.simulator.federation import Node
from tests.simulator.memory_database import MemoryConnection, MemoryDatabase
from tests.simulator.scenario import Story
from tests.simulator.servers import Crash, Server

assert memory_watch, "its import lets queries be answered"
_LOOK_MS = 5 * SECOND
#: Other leaves than the log has.
Leaves = Callable[[list[bytes]], list[bytes]]
#: Other items than the hub decided to send, or none.
Send = Callable[[SendItem], list[SendItem]]


class _LyingHouse(HubHouse):
    """The hub's own rules, but for what it sends."""

    liar: "LyingHub"

    def decide(self, view: View, wanted: object, now: Instant) -> Iterator[Effects]:
        for effects in super().decide(view, wanted, now):
            sent: list[Any] = []
            for effect in effects.wanted:
                is_sent = isinstance(effect, SendItem) and self.liar.send is not None
                sent += self.liar.send(effect) if is_sent else [effect]  # type: ignore[misc, arg-type]
            yield msgspec.structs.replace(effects, wanted=sent)


class _Pool:
    """As much of a pool of connections as readers use."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    @asynccontextmanager
    async def acquire(self) -> Any:
        yield MemoryConnection(self._database)


class _Database:
    """What a watch calls its database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.readers = self.desk = _Pool(database)


class LyingHub:
    """A story's hub that may lie, and a watch at each of its nodes.

    Args:
        story: open; its hub starts again, ready to lie.
    """

    def __init__(self, story: Story) -> None:
        self.story = story
        self.hub = story.federation.hub
        self.send: Send | None = None
        self.leaves: dict[str, Leaves] = {}
        self.named: dict[str, Callable[[Checkpoint], Checkpoint | None]] = {}
        self.signs: SigningKey | None = None
        self.watches: dict[str, LogWatch] = {}
        #: How long the nodes may take to find out, in this world.
        self.within_ms = MINUTE
        self._evidence = Evidence(self.hub.identity)
        self._loop = asyncio.new_event_loop()
        story.checker.doubted.add(HUB)
        world = story.world
        self._on_start, self._heard = world.on_start, world.heard
        world.on_start, world.heard = self._started, self._note
        self.hub._make_house = self._make_house
        self.hub.crash("to come back as one that may lie")
        for node in story.federation.nodes.values():
            self._watch(node)
        world.later(_LOOK_MS, self._look)

    def close(self) -> None:
        """End the event loop."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _make_house(self) -> HubHouse:
        house = _LyingHouse(self.hub.keys, self.hub.identity, self.hub.agreed)
        house.liar = self
        return house

    def _started(self, server: Server) -> None:
        self._on_start(server)
        if server is self.hub:
            self._teach_to_lie(server)
        elif isinstance(server, Node):
            self._watch(server)

    def _note(self, server: Server, peer: str, body: Body) -> None:
        self._heard(server, peer, body)
        if peer == HUB:
            self.watches[server.name].note_cover(body.cover)

    # What nodes do about it.

    def _watch(self, node: Node) -> None:
        assert node.clerk is not None
        database: Any = _Database(node.database)
        clock: Any = node.clock
        self.watches[node.name] = LogWatch(
            node.house,
            node.clerk,
            database,
            clock,
            node.name,
            NodeEvidence(node.house),
        )

    def _look(self) -> None:
        for node in self.story.federation.nodes.values():
            if node.is_up:
                try:
                    with _published(self):
                        looking = self.watches[node.name].look()
                        self._loop.run_until_complete(looking)
                except Crash as crash:
                    node.crash(str(crash))
                    continue
                node.after_batch()
        self.story.world.later(_LOOK_MS, self._look)

    def doubts(self, group: str) -> list[str]:
        """Give what a node doubts, in its own words; each with proof of both sides."""
        rows = self.story.federation.nodes[group].database.table("doubt").values()
        found = []
        for _about, told, ours, theirs in rows:
            assert ours and theirs, f"{group} keeps no proof: {told}"
            found.append(str(told))
        return found

    def alarms(self, group: str) -> list[str]:
        """Give what a node has told its people."""
        rows = self.story.federation.nodes[group].database.table("alarm").values()
        return [str(row[2]) for row in rows]

    # What the hub says.

    def _teach_to_lie(self, server: Server) -> None:
        clerk: Any = server.clerk
        speak = clerk.speak

        def lie(peer: str) -> bytes:
            house = clerk.house
            true, keys = house.checkpoint, house._keys
            house.checkpoint = self._shown_to(peer, true)
            if self.signs is not None:
                house._keys = msgspec.structs.replace(keys, signing=self.signs)
            try:
                spoken: bytes = speak(peer)
            finally:
                house.checkpoint, house._keys = true, keys
            return spoken

        clerk.speak = lie

    def _shown_to(self, peer: str, true: Checkpoint | None) -> Checkpoint | None:
        if true is None:
            return None
        if peer in self.leaves:
            true = self._stated(peer, true.log, 0).short
        return self.named[peer](true) if peer in self.named else true

    def _lines(self, group: str, log: str) -> list[bytes]:
        true = self.hub.read(
            lambda connection: log_store.read_leaves(connection, log, 0, 10**9)
        )
        return self.leaves.get(group, list)(true)

    def _stated(self, group: str, log: str, size: int) -> SignedCheckpoint:
        lines = self._lines(group, log)
        lines = lines[: size or len(lines)]
        house = self.hub.house
        return SignedCheckpoint(
            federation=house.federation,
            log=log,
            size=len(lines),
            root=write_base64url(Tree(lines).root),
            version=len(house._history),
            groups=len(house.directory),
            directory=write_base64url(directory_tree(house.directory).root),
        )

    # What it publishes.

    async def publish(self, group: str, path: str) -> bytes:
        """Answer what a node's watch asks for, true or not."""
        is_cut = self.story.world.cut
        if not self.hub.is_up or is_cut[group, HUB] or is_cut[HUB, group]:
            raise OutageError("the hub cannot be reached")
        kind, _, rest = path.partition("/")
        answer = self._evidence_of if kind == "evidence" else self._log_for(group)
        found = await answer(rest)
        if found is None:
            raise MalformedMessageError(path, "status 404", "200")
        return found

    async def _evidence_of(self, rest: str) -> bytes | None:
        connection: Any = MemoryConnection(self.hub.database)
        id_ = rest.partition("?")[0]
        try:
            receipt = await self._evidence.find(connection, id_, has_witnesses=False)
        except AssertionError:
            # Its own code cannot prove what a lie has taken out of its streams.
            raise OutageError("the hub answered 500") from None
        return None if receipt is None else write_receipt(receipt)

    def _log_for(self, group: str) -> Callable[[str], Awaitable[bytes | None]]:
        async def answer(rest: str) -> bytes | None:
            log, _, what = rest.partition("/")
            lines = self._lines(group, log)
            if what.startswith("checkpoint"):
                return self._note_of(group, log, int(what.partition("=")[2]))
            if what == "first":
                return lines[0] if lines else None
            assert what.startswith("tile/0/000.p/"), "a small log"
            width = int(what.rpartition("/")[2])
            return b"".join(leaf_hash(line) for line in lines[:width])

        return answer

    def _note_of(self, group: str, log: str, size: int) -> bytes | None:
        if group in self.leaves:
            stated = self._stated(group, log, size)
            return write_checkpoint(stated, self.hub.keys.signing).encode()
        found = self.hub.read(lambda one: log_store.read_note(one, log, size))
        return None if found is None else found.encode()


@contextmanager
def _published(liar: LyingHub) -> Iterator[None]:
    """Let watches read what this hub publishes while this lasts."""

    class Reader(HubReader):
        def __init__(self, group: str) -> None:
            self._group = Group(group)

        async def __aenter__(self) -> "Reader":
            return self

        async def __aexit__(self, *_raised: object) -> None:
            pass

        async def fetch(self, path: str, length_max: int) -> bytes:
            raw = await liar.publish(self._group, path)
            assert len(raw) <= length_max
            return raw

    real = log_watch.HubReader
    log_watch.HubReader = Reader  # type: ignore[misc]
    try:
        yield
    finally:
        log_watch.HubReader = real  # type: ignore[misc]
