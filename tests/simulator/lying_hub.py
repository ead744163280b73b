"""A hub that lies, and nodes that watch its log as real ones do (``log_watchers``).

Until it is told to, the hub does not lie. It lies on the link (``send``: other items
than its rules decided), about its log (``leaves``: each group may be shown another,
signed all the same), and in its covers (``named``: another checkpoint, ``signs``:
another key). Its rules are the real ones, so that the lie stands alone. What it may
lie about in seeds, by the words of scripts, is in ``hub_lies``.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from clearing import log_store
from clearing.evidence import Evidence
from clearing.house import HubHouse
from protocol.address import HUB
from protocol.base64url import write_base64url
from protocol.checkpoint import (
    SignedCheckpoint,
    directory_tree,
    write_checkpoint,
)
from protocol.effects import Effects, SendItem, View
from protocol.errors import MalformedMessageError, OutageError
from protocol.instant import Instant
from protocol.keyring import SigningKey
from protocol.merkle import Tree
from protocol.messages import Checkpoint
from protocol.receipt import write_receipt
from protocol.tiles import HEIGHT, WIDTH
from tests.simulator.federation import Federation
from tests.simulator.log_watchers import LogWatchers
from tests.simulator.memory_database import MemoryConnection
from tests.simulator.servers import Server
from tests.simulator.world import World

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

#: Other leaves of a log than it has.
Leaves = Callable[[list[bytes]], list[bytes]]
LeavesOf = Callable[[str, list[bytes]], list[bytes]]
#: Other items than the hub decided to send, or none.
Send = Callable[[SendItem], list[SendItem]]


class Scene(Protocol):
    """What a lying hub is part of: a story, a seed, a script that is played."""

    world: World
    federation: Federation
    checker: "Checker"


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


class LyingHub:
    """A hub that may lie, and a watch at each of its nodes.

    Args:
        scene: if it is open, its hub starts again, ready to lie.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.checker = scene.checker
        self.hub = scene.federation.hub
        self.send: Send | None = None
        self.leaves: dict[str, LeavesOf] = {}
        self.named: dict[str, Callable[[Checkpoint], Checkpoint | None]] = {}
        self.signs: SigningKey | None = None
        self._evidence = Evidence(self.hub.identity)
        self.watchers = LogWatchers(scene.federation, self.publish)
        world = scene.world
        self._on_start = world.on_start
        world.on_start = self._started
        self.hub._make_house = self._make_house
        self.hub.crash("to come back as one that may lie")

    def _make_house(self) -> HubHouse:
        house = _LyingHouse(self.hub.keys, self.hub.identity, self.hub.agreed)
        house.liar = self
        return house

    def _started(self, server: Server) -> None:
        self._on_start(server)
        if server is self.hub:
            self._evidence = Evidence(self.hub.identity)
            self._teach_to_lie(server)

    # What nodes do about it.

    def doubts(self, group: str) -> list[str]:
        """Give what a node doubts, in its own words; each with proof of both sides."""
        nodes = self.scene.federation.nodes
        rows = nodes[group].database.table("doubt").values()
        found = []
        for _about, told, ours, theirs in rows:
            assert ours and theirs, f"{group} keeps no proof: {told}"
            found.append(str(told))
        return found

    def alarms(self, group: str) -> list[str]:
        """Give what a node has told its people."""
        nodes = self.scene.federation.nodes
        return [str(row[2]) for row in nodes[group].database.table("alarm").values()]

    # What the hub says.

    def _teach_to_lie(self, server: Server) -> None:
        clerk: Any = server.clerk
        speak = clerk.speak

        def lie(peer: str) -> bytes:
            house = clerk.house
            true, keys = house.checkpoint, house._keys
            house.checkpoint = self.shown_to(peer, true)
            if self.signs is not None:
                house._keys = msgspec.structs.replace(keys, signing=self.signs)
            try:
                spoken: bytes = speak(peer)
            finally:
                house.checkpoint, house._keys = true, keys
            return spoken

        clerk.speak = lie

    def shown_to(self, peer: str, true: Checkpoint | None) -> Checkpoint | None:
        """Give the checkpoint that a group is shown in covers."""
        if true is None:
            return None
        if self._is_altered(peer, true.log):
            true = self._stated(peer, true.log, 0).short
        return self.named[peer](true) if peer in self.named else true

    def lines(self, group: str, log: str) -> list[bytes]:
        """Give the lines of a log, as a group is shown them."""
        shown = self.leaves.get(group)
        true = self._true_lines(log)
        return true if shown is None else shown(log, true)

    def _true_lines(self, log: str) -> list[bytes]:
        return self.hub.read(
            lambda connection: log_store.read_leaves(connection, log, 0, 10**9)
        )

    def _is_altered(self, group: str, log: str) -> bool:
        true = self._true_lines(log) if group in self.leaves else []
        return group in self.leaves and self.leaves[group](log, true) != true

    def _stated(self, group: str, log: str, size: int) -> SignedCheckpoint:
        lines = self.lines(group, log)
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
        is_cut = self.scene.world.cut
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
            if what.startswith("checkpoint"):
                return self._note_of(group, log, int(what.partition("=")[2]))
            lines = self.lines(group, log)
            if what == "first":
                return lines[0] if lines else None
            return _tile(lines, what)

        return answer

    def _note_of(self, group: str, log: str, size: int) -> bytes | None:
        if self._is_altered(group, log):
            stated = self._stated(group, log, size)
            return write_checkpoint(stated, self.hub.keys.signing).encode()
        found = self.hub.read(lambda one: log_store.read_note(one, log, size))
        return None if found is None else found.encode()


def _tile(lines: list[bytes], path: str) -> bytes:
    """Give a tile's hashes, one after another: ``tile/0/003.p/17``."""
    _, level, index, *partial = path.replace(".p", "").split("/")
    width = int(partial[0]) if partial else WIDTH
    span = 1 << (int(level) * HEIGHT)
    first = int(index) * WIDTH
    return b"".join(
        Tree(lines[place * span : (place + 1) * span]).root
        for place in range(first, first + width)
    )
