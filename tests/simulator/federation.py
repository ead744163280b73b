"""A simulated federation: hub, nodes, and what travels between them.

Here is what ``courier`` and ``endpoint`` do around HTTP, without HTTP: two requests a
link, patience after failures, an answer that is held back until there is news. The
clerks, houses, rules, stores and every byte of every envelope are the real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from clearing import app as hub_app
from clearing import log_store
from clearing.house import Due, HubHouse
from clearing.log_store import Identity
from clearing.rules import Admission, Agreed, Invitation
from nodes import member_store
from nodes.house import NodeHouse
from nodes.member_store import Membership
from nodes.rules import CancelWish, NewMember
from protocol import envelope
from protocol.address import HUB, FederationId, Group, federation_id
from protocol.directory import (
    GroupRecord,
    public_keys,
    sign_entry,
    sign_hub_statement,
)
from protocol.envelope import Body
from protocol.errors import NotSignedError, OutageError, PeerError
from protocol.instant import Instant, from_datetime
from protocol.keyring import key_hash
from protocol.link import SKEW_MAX_MS
from protocol.messages import EntryRate, EntryUnit, GroupEntry, HubStatement
from protocol.peer import transfer_store
from protocol.peer.batch import Arrival, OtherKey, Stale, Work
from protocol.peer.key_files import ServerKeys
from protocol.steps import Step
from tests.protocol.makers import hash_of, sealing_key, signing_key
from tests.simulator.agenda import HOUR, MINUTE, SECOND, Planned, call_off
from tests.simulator.cycle_looks import watch_cycles
from tests.simulator.servers import (
    SWEEP_FAR_MS,
    SWEEP_MS,
    UNKNOWN,
    Crash,
    Server,
    drive,
)
from tests.simulator.world import World

if TYPE_CHECKING:
    from tests.simulator.cycle_lies import CycleLies

_ANSWER_MS = 15 * SECOND
_POLL_MS = 25 * SECOND
_PAUSE_MIN_MS = 200
_PAUSE_MAX_MS = 30 * SECOND
#: In an outage that lasts: half a minute would cost events, and find nothing more.
_PAUSE_FAR_MS = 8 * HOUR
_OVERDUE_MS = 10 * SECOND
_HASTY_MS = 500
_SWEEP_MOST = 100
#: What the hub answers to whom it does not hear under this key.
NOT_HEARD = b""
#: An answer is bytes, or ``None`` for whatever says that nothing was taken.
Respond = Callable[[bytes | None], None]


@dataclass
class Home:
    """What a group is before it joins."""

    name: str
    rate: int = 3_600_000
    decimals: int = 0
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    floor: int = -(10**12)
    ceiling: int = 10**12


class _Parked(NamedTuple):
    """A request that the hub answers later.

    Attributes:
        token: of the lane that sent it.
        timer: when it is answered at the latest.
    """

    token: object
    respond: Respond
    timer: Planned


class _Lane:
    """One of a courier's two requests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.token: object | None = None
        self.pause_ms = _PAUSE_MIN_MS
        self.is_pausing = False
        self.began = 0
        self.due = 0
        self.timer: Planned | None = None

    def end(self) -> None:
        """Wait for this answer no longer."""
        self.token = None
        if self.timer is not None:
            call_off(self.timer)
            self.timer = None


class Node(Server):
    """A group's server with its courier."""

    def __init__(self, world: World, home: Home, hub: "Hub", keys: ServerKeys) -> None:
        group = Group(home.name)
        self.hub = hub
        self.home = home
        entry = GroupEntry(
            v=1,
            federation=hub.federation,
            group=group,
            version=1,
            name=f"LETS {group}",
            unit=EntryUnit(f"{group} unit", "units", "u", home.decimals),
            rates=[EntryRate(1, home.rate)],
            keys=public_keys(
                keys.signing.public,
                keys.sealing.public,
                signing_key(f"{group} recovery").public,
            ),
        )
        self.entry = entry
        self.membership = Membership(
            hub.federation,
            group,
            "https://hub.example",
            hub.identity.statement,
            sign_entry(entry, keys.signing),
        )
        #: How often a liar will still lie: each lie begets answers, and more of them.
        self.lies_left = 40
        #: What it lies about cycles, in a seed that has some.
        self.cycle_lies: CycleLies | None = None
        #: Told of each answer of the hub's that counted.
        self.hear: Callable[[Body], None] = lambda _: None
        #: Its house; a liar's is another.
        self.house_of: Callable[[ServerKeys, Membership], NodeHouse] = NodeHouse
        super().__init__(
            world, group, keys, lambda: self.house_of(self.keys, self.membership)
        )
        self.lanes = (_Lane("push"), _Lane("poll"))
        self.after_batch = self.look
        self._forget()

    def _forget(self) -> None:
        self.told = -1
        self.greeted = ""
        self.failing_since: int | None = None
        self.stuck_since: int | None = None
        self.forget_sweep()
        self.poll_ms = _POLL_MS
        for lane in self.lanes:
            lane.end()
            lane.is_pausing = False
            lane.pause_ms = _PAUSE_MIN_MS

    def crash(self, why: str) -> None:
        """Lose power, and every request that is open."""
        self._forget()
        super().crash(why)

    def is_reachable(self) -> bool:
        """Say whether no answer of the hub is overdue."""
        if self.clerk is None:
            return False
        link = self.clerk.links[HUB]
        since = [lane.due for lane in self.lanes if lane.token is not None]
        since += [one for one in (self.failing_since, self.stuck_since) if one]
        now = self.world.now
        return link.trouble is None and all(now - one < _OVERDUE_MS for one in since)

    # What the courier does.

    def look(self) -> None:
        """See what the courier has to do now, after a batch or a start."""
        if self.clerk is None:
            return
        push, poll = self.lanes
        if push.token is None and not push.is_pausing and self._has_something_to_say():
            self._send(push, 0)
        if poll.token is None and not poll.is_pausing and self.clerk is not None:
            self._send(poll, self.poll_ms)
        self._plan_sweep()

    def _has_something_to_say(self) -> bool:
        clerk = self.clerk
        if clerk is None or not clerk.is_ready:
            return False
        link = clerk.links[HUB]
        return (
            self.greeted != clerk.life
            or clerk.has_sealed(HUB)
            or (link.has_compared and link.taken > self.told)
        )

    def _standing(self) -> tuple[object, ...]:
        assert self.clerk is not None
        link = self.clerk.links[HUB]
        return (link.taken, link.acknowledged, link.peer_life, link.has_compared)

    def _send(self, lane: _Lane, wait_ms: int) -> None:
        clerk = self.clerk
        assert clerk is not None
        token = lane.token = object()
        lane.began, lane.due = self.world.now, self.world.now + wait_ms
        carries = clerk.has_sealed(HUB)
        try:
            drive(clerk.may_speak(HUB))
            told = clerk.link(HUB).taken
            kid = self.house.signing_key.kid
            request = clerk.speak(HUB)
            self.world.spoken(self, HUB, request)
            if carries:
                clerk._kill_switch.reach(Step.SEND, "before")
        except Crash as crash:
            self.crash(str(crash))
            return
        self.greeted = clerk.life
        self.told = max(self.told, told)
        before = self._standing()

        def respond(answer: bytes | None) -> None:
            if lane.token is token and self.clerk is clerk:
                self._take(lane, answer, before, carries=carries, kid=kid)

        def time_out() -> None:
            if lane.token is token and self.clerk is clerk:
                self.world.tell("{}: no answer to its {}", self.name, lane.name)
                self._fail(lane)

        far = wait_ms + _ANSWER_MS
        lane.timer = self.world.later(far, time_out, is_idle=lane.name == "poll")
        words = self.world.words_of(request)
        self.world.carry(
            self.name,
            HUB,
            lambda: self.hub.receive(self, request, wait_ms, respond, token),
            f"{lane.name} ({words})",
        )

    def _take(
        self,
        lane: _Lane,
        answer: bytes | None,
        before: tuple[object, ...],
        *,
        carries: bool,
        kid: str,
    ) -> None:
        clerk = self.clerk
        assert clerk is not None
        if carries:
            try:
                clerk._kill_switch.reach(Step.SEND, "after")
            except Crash as crash:
                self.crash(str(crash))
                return
        body = self._open(answer, kid)
        if body is None:
            self._fail(lane)
            return

        def done(outcome: object) -> None:
            if self.clerk is not clerk or lane.token is None:
                return
            if outcome is UNKNOWN or isinstance(outcome, Stale | OtherKey):
                self._fail(lane)
                return
            self.hear(body)
            self._finish(lane, before)

        self.world.heard(self, HUB, body)
        self.submit(Arrival(Group(HUB), body), done)

    def _open(self, answer: bytes | None, kid: str) -> Body | None:
        """Verify an answer of the hub's; to one that is none, try another key."""
        house = self.house
        if answer == NOT_HEARD:
            house.not_heard(kid)
        if not answer:
            return None
        try:
            body = envelope.open_body(
                answer, house.keyring, house.federation, house.own
            )
        except PeerError as error:
            self.world.tell("{} does not take it: {}", self.name, error)
            return None
        return body if body.cover.payload.from_ == HUB else None

    def _finish(self, lane: _Lane, before: tuple[object, ...]) -> None:
        lane.end()
        self.failing_since = None
        moved = self._standing() != before
        if lane.name == "push":
            assert self.clerk is not None
            link = self.clerk.links[HUB]
            is_fine = link.acknowledged > before[1] or not self._has_something_to_say()  # type: ignore[operator]
            self.stuck_since = None if is_fine else self.stuck_since or self.world.now
        else:
            assert self.clerk is not None
            was_held = self.world.now - lane.began > _HASTY_MS
            is_fine = moved or (was_held and self.clerk.links[HUB].has_compared)
            # Nor silence in half minutes: each poll that brings nothing waits longer.
            longer = min(self.poll_ms * 8, self.world.rates.poll_ms)
            self.poll_ms = _POLL_MS if moved else max(_POLL_MS, longer)
        self._pause(lane, is_fine=is_fine)

    def _fail(self, lane: _Lane) -> None:
        lane.end()
        self.told = -1
        self.failing_since = self.failing_since or lane.began
        self._pause(lane, is_fine=False)

    def _pause(self, lane: _Lane, *, is_fine: bool) -> None:
        if is_fine:
            lane.pause_ms = _PAUSE_MIN_MS
            self.world.later(0, self.look)
            return
        lane.is_pausing = True
        self._go_on_after(lane, lane.pause_ms)
        # An outage of days need not be counted out in half minutes.
        if lane.pause_ms < _PAUSE_MAX_MS:
            lane.pause_ms = min(lane.pause_ms * 2, _PAUSE_MAX_MS)
        else:
            lane.pause_ms = min(lane.pause_ms * 4, _PAUSE_FAR_MS)

    def _go_on_after(self, lane: _Lane, pause_ms: int) -> None:
        clerk = self.clerk

        def go_on() -> None:
            if self.clerk is clerk and lane.is_pausing:
                lane.is_pausing = False
                self.look()

        pause = pause_ms * self.world.draw.uniform(0.5, 1.0)
        self.world.later(pause, go_on, is_idle=pause_ms == _PAUSE_FAR_MS)

    def rests(self) -> bool:
        """Say whether all it does is to wait for news that the hub does not have."""
        clerk, (push, poll) = self.clerk, self.lanes
        if clerk is None or self._tries_in_vain():
            return True
        parked = self.hub.parked.get(self.name)
        return (
            push.token is None
            and parked is not None
            and parked.token is poll.token
            and clerk.links[HUB].has_compared
            and not self._has_something_to_say()
            and self.hub.clerk is not None
            and not self.hub.clerk.has_news(self.name)
        )

    def _tries_in_vain(self) -> bool:
        """Say whether it tries seldom by now, and nothing will come of any try.

        Seldom means that it has failed half a dozen times since the hub last started
        or a line was mended, for then it hurries.
        """
        push, poll = self.lanes
        far = [
            lane.is_pausing and lane.pause_ms == _PAUSE_FAR_MS for lane in self.lanes
        ]
        is_push_idle = push.token is None and not push.is_pausing
        if poll.token is not None or not far[1] or not (far[0] or is_push_idle):
            return False
        hub, cut = self.hub, self.world.cut
        if hub.clerk is None or cut[self.name, HUB] or cut[HUB, self.name]:
            return True
        assert self.clerk is not None
        link, other = self.clerk.links[HUB], hub.clerk.links[self.name]
        gap = abs(self.clock.offset_ms - hub.clock.offset_ms)
        waits = hub.clerk.restored is not None
        return bool(link.trouble or other.trouble) or gap > SKEW_MAX_MS or waits

    def jump(self, far_ms: int) -> None:
        """Let what is waited for be as far away as before time jumped."""
        super().jump(far_ms)
        for lane in self.lanes:
            lane.began += far_ms
            lane.due += far_ms

    def hurry(self) -> None:
        """Try again as soon as a courier would: the outage is over."""
        for lane in self.lanes:
            if lane.is_pausing and lane.pause_ms > _PAUSE_MAX_MS:
                lane.pause_ms = _PAUSE_MAX_MS
                self._go_on_after(lane, _PAUSE_MAX_MS)
            elif lane.token is not None and lane.due > self.world.now + _POLL_MS:
                self._miss(lane, lane.token)

    def _miss(self, lane: _Lane, token: object) -> None:
        """Give up on a long poll that got lost, as one of 25 s would have been."""
        clerk = self.clerk

        def give_up() -> None:
            is_lost = self.name not in self.hub.parked
            if is_lost and lane.token is token and self.clerk is clerk:
                self._fail(lane)

        self.world.later(_POLL_MS + _ANSWER_MS, give_up)

    # What the sweeper does.

    def _plan_sweep(self) -> None:
        """Look at the next payment *now* when it may be late."""
        if self.clerk is None:
            return
        rows = self.database.table("transfer")
        due = [
            (rows[id_]["decide_by"], id_)
            for id_ in self.database.table("undecided")
            if rows[id_]["state"] == "ordered"
            and rows[id_]["deliver"] == "now"
            and not rows[id_]["is_cancel_sent"]
        ]
        if due:
            self.look_more_often_at([due, self.clerk.links[HUB].acknowledged])
            now = self.clerk.peer_now(HUB)
            wait, is_idle = _wait_for(min(due)[0], now, self._sweep_ms)
            self.plan_sweep(wait, is_idle=is_idle)

    def sweep(self) -> None:
        clerk = self.clerk
        if clerk is None:
            return
        late = self.read(
            lambda connection: transfer_store.read_late(
                connection,
                clerk.peer_now(HUB),
                clerk.link(HUB).acknowledged,
                _SWEEP_MOST,
            )
        )
        for transfer_id in late:
            self.submit(CancelWish(transfer_id=transfer_id), lambda _: None)
        if not late:
            self.look_more_seldom()
            self._plan_sweep()


def _wait_for(due: Any, now: Instant, pause_ms: int) -> tuple[int, bool]:
    """Say when a sweeper finds something, or looks again at what is overdue.

    What was overdue and could not be ended so often is not ended by time alone:
    then looking is idle.
    """
    left = from_datetime(due) - now
    if left > 0:
        return max(SWEEP_MS, left), False
    return pause_ms, pause_ms == SWEEP_FAR_MS


class Hub(Server):
    """The hub with its end of the links.

    Attributes:
        parked: by group, what waits for an answer.
    """

    def __init__(self, world: World) -> None:
        self.root = signing_key("the root")
        keys = ServerKeys(signing_key("hub"), sealing_key("hub"))
        self.federation: FederationId = federation_id(
            Group("lets-belgium"), key_hash(self.root.public)
        )
        statement = HubStatement(
            v=1,
            federation=self.federation,
            version=1,
            name="lets-belgium",
            keys=public_keys(
                keys.signing.public, keys.sealing.public, self.root.public
            ),
        )
        self.identity = Identity(
            self.federation, sign_hub_statement(statement, self.root)
        )
        #: By what rules groups share; read anew at each start, as settings are.
        self.agreed = Agreed()
        super().__init__(
            world, HUB, keys, lambda: HubHouse(self.keys, self.identity, self.agreed)
        )
        self.parked: dict[str, _Parked] = {}
        self.after_batch = self.look
        self.nodes: dict[str, Node] = {}
        #: What somebody on the line makes of a node's request.
        self.tamper: Callable[[Node, bytes], bytes] | None = None

    def start(self) -> None:
        """Start, and be found by every node that tries."""
        super().start()
        for node in self.nodes.values():
            node.hurry()

    def crash(self, why: str) -> None:
        """Lose power: whoever waits hears that the connection is gone, or nothing."""
        parked, self.parked = self.parked, {}
        self.forget_sweep()
        super().crash(why)
        for group, one in parked.items():
            call_off(one.timer)
            self._hang_up(group, one.respond)

    def _hang_up(self, group: str, respond: Respond) -> None:
        if not self.world.is_drawn(self.world.rates.silent_loss):
            self.world.carry(HUB, group, lambda: respond(None), "a broken connection")

    def receive(
        self, node: Node, raw: bytes, wait_ms: int, respond: Respond, token: object
    ) -> None:
        """Take a node's request; the token is that of its lane."""

        def answer(raw: bytes | None) -> None:
            words = self.world.words_of(raw) if raw else "no"
            self.world.carry(
                HUB, node.name, lambda: respond(raw), f"an answer ({words})"
            )

        clerk = self.clerk
        if clerk is None:
            self._hang_up(node.name, respond)
            return
        house = self.house
        try:
            body = self._open(node, raw)
            peer = Group(body.cover.payload.from_)
            clerk.link(peer)
        except (PeerError, OutageError) as error:
            self.world.tell("hub does not take it: {}", error)
            answer(NOT_HEARD if isinstance(error, NotSignedError) else None)
            return
        self.world.heard(self, peer, body)
        if body.envelopes and house.must_wait(peer, self.clock.now()):
            self._answer(peer, answer)
            return

        def done(outcome: object) -> None:
            if self.clerk is not clerk or outcome is UNKNOWN:
                self._hang_up(peer, respond)
            elif isinstance(outcome, Stale | OtherKey):
                self.world.tell("hub: {} of {}", type(outcome).__name__, peer)
                answer(None if isinstance(outcome, Stale) else NOT_HEARD)
            else:
                self._park(peer, answer, wait_ms, token)

        self.submit(Arrival(peer, body), done)

    def _open(self, node: Node, raw: bytes) -> Body:
        """Verify a node's request, after whoever is on the line has had it."""
        if self.tamper is not None:
            raw = self.tamper(node, raw)
        house = self.house
        return envelope.open_body(raw, house.keyring, house.federation, house.own)

    def _park(self, peer: Group, answer: Respond, wait_ms: int, token: object) -> None:
        clerk = self.clerk
        assert clerk is not None
        if not wait_ms or clerk.has_news(peer) or not clerk.link(peer).has_compared:
            self._answer(peer, answer)
            return
        self._answer_parked(peer)
        if self.clerk is not clerk:
            return
        timer = self.world.later(
            wait_ms, lambda: self._answer_parked(peer), is_idle=True
        )
        self.parked[peer] = _Parked(token, answer, timer)

    def _answer_parked(self, peer: Group) -> None:
        """Answer the request of a group that waits, if one does."""
        one = self.parked.pop(peer, None)
        if one is not None:
            call_off(one.timer)
            self._answer(peer, one.respond)

    def look(self) -> None:
        """Answer who waits and has news; plan what is due."""
        for peer in list(self.parked):
            clerk = self.clerk
            if clerk is None:
                return
            if clerk.has_news(peer) or not clerk.link(peer).has_compared:
                self._answer_parked(Group(peer))
        self._plan_sweep()

    def _answer(self, peer: Group, answer: Respond) -> None:
        clerk = self.clerk
        if clerk is None:
            return
        try:
            drive(clerk.may_speak(peer))
            words = clerk.speak(peer)
        except Crash as crash:
            self.crash(str(crash))
            return
        self.world.spoken(self, peer, words)
        answer(words)

    # What the sweeper does.

    def _plan_sweep(self) -> None:
        ids = self.database.table("undecided")
        if not ids or self.clerk is None:
            return
        rows = self.database.table("transfer")
        undecided = [rows[id_] for id_ in ids]
        links = self.clerk.links.values()
        standing = [
            [(row["transfer_id"], row["waiting"]) for row in undecided],
            hub_app.silent_groups(links),
            hub_app.groups_ahead(links),
        ]
        self.look_more_often_at(standing)
        due = min(row["decide_by"] for row in undecided)
        wait, is_idle = _wait_for(due, self.clock.now(), self._sweep_ms)
        if any(row["waiting"] or row["waiting_code"] for row in undecided):
            wait, is_idle = self._sweep_ms, self._sweep_ms == SWEEP_FAR_MS
        self.plan_sweep(wait, is_idle=is_idle)

    def sweep(self) -> None:
        clerk = self.clerk
        if clerk is None:
            return
        links = clerk.links.values()
        due = self.read(
            lambda connection: transfer_store.read_due(
                connection,
                self.clock.now(),
                _SWEEP_MOST,
                hub_app.silent_groups(links),
                hub_app.groups_ahead(links),
            )
        )
        if due:
            self.submit(Due(due), lambda _: None)
        else:
            self.look_more_seldom()
            self._plan_sweep()

    def admit(self, node: Node) -> None:
        """Admit a group, as the join of its node would."""
        code = hash_of(f"code of {node.name}")
        invited = Invitation(
            code_hash=code,
            group=node.name,
            floor=node.home.floor,
            ceiling=node.home.ceiling,
            until=Instant(self.clock.now() + HOUR),
            request_hash=None,
        )
        self.read(lambda connection: log_store.write_invitation(connection, invited))
        work = Work(
            Admission(
                entry=node.entry,
                signed=node.membership.entry,
                code_hash=code,
                request_hash=hash_of(f"request of {node.name}"),
            )
        )
        self.carry_out([work])
        assert isinstance(work.outcome, GroupRecord), work.outcome


class Federation:
    """Hub and nodes, joined and started; nothing has gone wrong yet."""

    def __init__(self, world: World, homes: list[Home]) -> None:
        self.world = world
        self.hub = Hub(world)
        self.nodes = self.hub.nodes
        for home in homes:
            keys = ServerKeys(signing_key(home.name), sealing_key(home.name))
            self.nodes[home.name] = Node(world, home, self.hub, keys)
        watch_cycles(self.hub, list(self.nodes.values()))

        world.rests = self.rests
        world.on_jump = self._jump

    def rests(self) -> bool:
        """Say whether nobody does anything but wait, for as long as nobody asks.

        A server that is down waits, too; that it comes back is planned. So is what
        is on its way, and every second try: only waits that bring nothing are idle.
        """
        return all(node.rests() for node in self.nodes.values())

    def _jump(self, far_ms: int) -> None:
        for server in self.servers:
            server.jump(far_ms)

    @property
    def servers(self) -> list[Server]:
        """All of them, hub first."""
        return [self.hub, *self.nodes.values()]

    def hurry(self) -> None:
        """Let nobody sit out an outage that is over."""
        for node in self.nodes.values():
            node.hurry()

    def open(self) -> None:
        """Let every group join, and every treasurer admit her members."""
        with self.world.calm():
            self.hub.start()
            for node in self.nodes.values():
                self.hub.admit(node)
                node.read(
                    lambda connection, joined=node.membership: (
                        member_store.write_membership(connection, joined)
                    )
                )
                node.start()
                for name, (floor, ceiling) in node.home.members.items():
                    member = NewMember(
                        account_id=name, name=name.title(), floor=floor, ceiling=ceiling
                    )
                    node.carry_out([Work(member)])
            self.world.run(self.world.now + 2 * MINUTE)
        for node in self.nodes.values():
            assert node.clerk is not None and node.clerk.links[HUB].has_compared
            assert node.name in node.house.directory
