"""A federation whose hub may lie, with its real keys, and a watch at each node.

Until a test says otherwise the hub is honest. It can lie on the link (``send``:
other items than it decided) and about its log (``leaves``: another log than it has,
signed all the same; ``answer``: whatever it likes). Each group has its own address
of the hub, so it can be shown something of its own.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from clearing import log_store
from clearing.api.log import LogApi
from clearing.evidence import Evidence
from clearing.house import HubHouse
from clearing.rules.view import AppendDecision
from nodes.evidence import NodeEvidence
from nodes.house import NodeHouse
from nodes.watch.log_watch import LogWatch
from protocol import envelope
from protocol.address import Group
from protocol.base64url import write_base64url
from protocol.checkpoint import SignedCheckpoint, directory_tree, write_checkpoint
from protocol.directory import fold
from protocol.effects import Effect, Effects, SaveGroup, SendItem, View
from protocol.envelope import VerifiedCover
from protocol.instant import Instant
from protocol.merkle import Tree, leaf_hash
from protocol.messages import Checkpoint, DirectoryDecision, read_item
from protocol.peer.clock import Clock
from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from tests.peer.federation import (
    Federation,
    NewDatabase,
    federation,
    identity,
    keys_of,
    order,
    until,
)
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE, signing_key

#: Other leaves than the log has.
Leaves = Callable[[list[bytes]], list[bytes]]
#: Another item than the hub decided, or none.
Send = Callable[[SendItem], list[SendItem]]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class MovingClock(Clock):
    """A clock that a test moves."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


class LyingHouse(HubHouse):
    """The hub's own rules, but for what it sends, or decides about groups."""

    send: Send | None = None
    #: Another line than the rules decided: told to all, and in the log.
    decided: Callable[[bytes], bytes] | None = None

    def _lie(self, effect: Effect) -> Effect:
        if self.decided is None:
            return effect
        if isinstance(effect, AppendDecision | SendItem):
            return msgspec.structs.replace(effect, line=self.decided(effect.line))
        if isinstance(effect, SaveGroup):
            line = self.decided(effect.record.line)
            decision = read_item(line)
            assert isinstance(decision, DirectoryDecision)
            folded = fold(self.directory, decision, line, FEDERATION)
            return SaveGroup(folded[Group(decision.group)])
        return effect

    def decide(self, view: View, wanted: object, now: Instant) -> Iterator[Effects]:
        for effects in super().decide(view, wanted, now):
            sent: list[Effect] = []
            for effect in map(self._lie, effects.wanted):
                if self.send is not None and isinstance(effect, SendItem):
                    sent += self.send(effect)
                else:
                    sent.append(effect)
            yield msgspec.structs.replace(effects, wanted=sent)


class Hub:
    """What the hub publishes, to each group at an address of its own."""

    def __init__(self, federated: Federation) -> None:
        self.server = federated.hub
        self.nodes = federated.nodes
        self.key = signing_key("hub")
        self.leaves: dict[Group, Leaves] = {}
        self.answer: dict[Group, Answer] = {}
        self.asked = 0

    @property
    def house(self) -> LyingHouse:
        house: Any = self.server.house
        assert isinstance(house, LyingHouse)
        return house

    async def shown(self, group: Group, log: str) -> list[bytes]:
        async with self.server.database.readers.acquire() as connection:
            true = await log_store.read_leaves(connection, log, 0, 10**9)
        return self.leaves[group](true)

    async def state(self, group: Group, log: str, size: int = 0) -> SignedCheckpoint:
        lines = await self.shown(group, log)
        lines = lines[: size or len(lines)]
        return SignedCheckpoint(
            federation=FEDERATION,
            log=log,
            size=len(lines),
            root=write_base64url(Tree(lines).root),
            version=len(self.house._history),
            groups=len(self.house.directory),
            directory=write_base64url(directory_tree(self.house.directory).root),
        )

    async def cover(self, group: Group) -> VerifiedCover:
        """The cover with which the hub would speak to a group now."""
        await self.server.clerk.may_speak(group)
        raw = self.server.clerk.speak(group)
        keyring = self.nodes[group].house.keyring
        body = envelope.open_body(raw, keyring, FEDERATION, group)
        if group not in self.leaves:
            return body.cover
        named = (await self.state(group, self.server.clerk.life)).short
        return self.resign(body.cover, named)

    def resign(self, cover: VerifiedCover, named: Checkpoint | None) -> VerifiedCover:
        """The same cover, but for the checkpoint that it names."""
        payload = msgspec.structs.replace(cover.payload, checkpoint=named)
        line_1, _ = envelope.seal(payload, self.key)
        return msgspec.structs.replace(cover, payload=payload, line_1=line_1)

    def application(self, group: Group) -> web.Application:
        api = LogApi(
            self.house, self.server.clerk, self.server.database, Evidence(identity())
        )

        @web.middleware
        async def lie(request: web.Request, handler: Any) -> web.StreamResponse:
            self.asked += 1
            if group in self.answer:
                answered = await self.answer[group](request)
                if answered is not None:
                    return answered
            if group in self.leaves and "log" in request.match_info:
                return await self._show(group, request)
            response: web.StreamResponse = await handler(request)
            return response

        application = web.Application(middlewares=[problems.middleware(Metrics()), lie])
        application.add_routes(api.routes())
        return application

    async def _show(self, group: Group, request: web.Request) -> web.Response:
        """Answer as the log would be if these were its leaves."""
        log = request.match_info["log"]
        lines = await self.shown(group, log)
        if request.path.endswith("/checkpoint"):
            size = int(request.query.get("size", "0"))
            stated = await self.state(group, log, size)
            return web.Response(text=write_checkpoint(stated, self.key))
        if request.path.endswith("/first"):
            return web.Response(body=lines[0])
        assert request.match_info["level"] == "0" and len(lines) < 256, "a small log"
        width = int(request.match_info["place"].rpartition("/")[2])
        return web.Response(body=b"".join(leaf_hash(line) for line in lines[:width]))


class Watched:
    """The federation, its hub, and each node's watch."""

    def __init__(self, federated: Federation, hub: Hub, url: str) -> None:
        self.federated = federated
        self.hub = hub
        self.clock = MovingClock()
        self.watches = {
            group: LogWatch(
                self.house(group),
                node.clerk,
                node.database,
                self.clock,
                f"{url}/{group}",
                NodeEvidence(self.house(group)),
            )
            for group, node in federated.nodes.items()
        }
        federated.note_cover = self.note_cover

    def note_cover(self, group: Group, cover: VerifiedCover) -> None:
        """As the courier does; a lying cover is made anew where a test looks."""
        if group not in self.hub.leaves:
            self.watches[group].note_cover(cover)

    def house(self, group: Group) -> NodeHouse:
        house: Any = self.federated.nodes[group].house
        assert isinstance(house, NodeHouse)
        return house

    async def pay(self, count: int, prefix: str, **changes: Any) -> list[str]:
        orders = [order(f"{prefix} {number}", **changes) for number in range(count)]
        for one in orders:
            await self.federated.nodes[OOSTENDE].clerk.take(one)
        await self.federated.quiet()
        return [one.transfer_id for one in orders]

    async def refused_alone(self, prefix: str) -> str:
        """A decision that only Oostende hears of: its deadline is out of range."""
        far = Clock().now() + 10 * 86_400_000
        [transfer_id] = await self.pay(1, prefix, hub_now=far)
        return transfer_id

    async def look(self, *groups: Group, cover: VerifiedCover | None = None) -> None:
        for group in groups or (OOSTENDE, MECHELEN):
            found = await self.hub.cover(group) if cover is None else cover
            self.watches[group].note_cover(found)
            await self.watches[group].look()

    async def wait(self, seconds: int, *groups: Group) -> None:
        """Let time pass as it does: a look every five seconds, and covers."""
        for _ in range(seconds // 5):
            self.clock.ahead_s += 5
            await self.look(*groups)

    async def restart_hub(self) -> None:
        hub = self.federated.hub
        before = hub.clerk.life
        await hub.end_clerks()
        await until(lambda: hub.clerk.life != before and hub.clerk.is_ready)
        await self.federated.quiet()

    async def doubts(self, group: Group) -> list[Any]:
        return await self.federated.nodes[group].ask(
            "SELECT about, told, ours, theirs FROM doubt ORDER BY doubt_id"
        )

    async def alarms(self, group: Group) -> list[str]:
        rows = await self.federated.nodes[group].ask(
            "SELECT told FROM alarm ORDER BY alarm_id"
        )
        return [row["told"] for row in rows]

    async def code_of_next(self, key: str) -> str | None:
        """Why the next payment from Oostende to Mechelen is refused, if it is."""
        [transfer_id] = await self.pay(1, key)
        transfer = await self.federated.nodes[OOSTENDE].transfer(transfer_id)
        assert transfer is not None
        return transfer.code


@asynccontextmanager
async def watched(new_database: NewDatabase) -> AsyncIterator[Watched]:
    def make() -> LyingHouse:
        return LyingHouse(keys_of("hub"), identity())

    async with federation(new_database, make_hub=make) as federated:
        hub = Hub(federated)
        application = web.Application()
        for group in (OOSTENDE, MECHELEN):
            application.add_subapp(f"/{group}", hub.application(group))
        async with TestServer(application) as server:
            yield Watched(federated, hub, str(server.make_url("")).rstrip("/"))
