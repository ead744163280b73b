"""One batch of the clerk: what waited, what it touches, what it leads to.

The pure middle of ``clerk``: arrivals pass the link's rules, items and orders
pass the house's, outgoing items are numbered and sealed. It reads no database;
the clerk hands it the rows that it asks for, and writes what it leaves behind.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from protocol.address import FederationId, Group
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    PeerOrder,
    SendItem,
    Touched,
    View,
)
from protocol.envelope import (
    BODY_LENGTH_MAX,
    ITEMS_MAX,
    LINE_1_LENGTH_MAX,
    Body,
    EnvelopePayload,
    Verified,
    root_of,
    seal,
)
from protocol.instant import Instant, read_instant, write_instant
from protocol.keyring import Keyring, SigningKey
from protocol.link import (
    Link,
    Sealed,
    Taking,
    after_sealing,
    is_stale,
    take_cover,
    take_run,
)
from protocol.messages import (
    SEALED_LINE_LENGTH_MAX,
    Checkpoint,
    KeyChangeItem,
    read_item,
)
from protocol.peer.database import Connection
from protocol.peer.link_store import OutgoingItem, SealedEnvelope, wire_of
from protocol.quota import Quota
from protocol.restored import Restored, look_only, may_go_on
from protocol.steps import Step

#: Room for a cover and line 1 beside the items of one envelope.
_ITEMS_LENGTH_MAX = BODY_LENGTH_MAX - 4 * LINE_1_LENGTH_MAX
#: Alarms about one kind of thing that one peer may cause in an hour: each of them
#: may be about something else that people must see.
_CALLS_MAX = 20
#: Kinds of which a second alarm tells nothing more.
_CALLED_ONCE = ("item", "own-keys", "quota")


@dataclass(frozen=True)
class Arrival:
    """A verified request or answer of a peer's."""

    peer: Group
    body: Body


@dataclass(frozen=True)
class Stale:
    """A cover that is too old, or overtaken: nothing of it was taken."""

    now: Instant


@dataclass(frozen=True)
class OtherKey:
    """A cover under a key that counts no more, or not yet: nothing of it was taken."""


@dataclass(frozen=True)
class Sealing:
    """Which key signs an item, and up to which number; ``None``: without end."""

    key: SigningKey
    last: int | None = None


@dataclass(frozen=True)
class MoreTime:
    """The clerk's own wish: let covers be dated a little further ahead."""


@dataclass(frozen=True)
class PeerCalls:
    """What a peer has said outside of its envelopes, and people must know."""

    peer: Group
    call: CallPeople


class Calls:
    """Bounds the alarms that a peer can cause: a flood would hide the others."""

    def __init__(self) -> None:
        self._once = Quota(1)
        self._more = Quota(_CALLS_MAX)

    def copy(self) -> "Calls":
        """Give one that counts on from here, for a batch that may yet fail."""
        copied = Calls()
        copied._once, copied._more = self._once.copy(), self._more.copy()
        return copied

    def may_call(self, peer: Group, call: CallPeople, now: Instant) -> bool:
        """Say whether people are to hear of it; what is not said is counted."""
        quota = self._once if call.about in _CALLED_ONCE else self._more
        if quota.is_used_up((peer, call.about), now):
            return False
        quota.note((peer, call.about), now)
        return True


class House(Protocol):
    """What hub and node each know; the clerk only knows when to ask them."""

    own: Group

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest that is durable here and believed: for covers and prepares."""

    @property
    def federation(self) -> FederationId:
        """The federation's whole id."""

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs our covers now."""

    def not_heard(self, kid: str) -> bool:
        """Note that a peer did not take our cover under a key; sign with the next.

        Returns:
            Whether every key that we have has been tried, and none is on its way.
        """

    def sealing(self, view: View, number: int) -> Sealing | None:
        """Say which key signs our item of a number; ``None``: none may be sealed."""

    @property
    def keyring(self) -> Keyring:
        """Keys of everyone who may speak to us, or whose word we pass on."""

    def awaited(self) -> Collection[str]:
        """Name the peers that must compare before a restored server goes on."""

    def is_for_restored(self, wanted: object) -> bool:
        """Say whether a restored server does this before it has compared."""

    async def load(self, connection: Connection, life: str) -> None:
        """Read into memory what every batch needs; forget what was there."""

    def first_inputs(self) -> Sequence[object]:
        """Give what must be decided first after a start."""

    def begin(self, life: str) -> View:
        """Make the view of a batch, without rows."""

    def look(self, view: View, peer: Group, envelope: Verified) -> list[ArrivedItem]:
        """Read the items of an envelope that will be taken."""

    def touches(self, view: View, wanted: object) -> Touched:
        """Say what must be read before an item or an order can be decided."""

    async def read(
        self, connection: Connection, view: View, orders: Sequence[object]
    ) -> None:
        """Read what only the house knows and its orders touch."""

    def decide(self, view: View, wanted: object, now: Instant) -> Iterable[Effects]:
        """Decide an item or an order; each part is applied before the next."""

    def before_sealing(self, view: View, peer: str) -> Effects | None:
        """Give what an envelope for ``peer`` should end with, if anything."""

    async def write(
        self,
        connection: Connection,
        view: View,
        effects: Sequence[Effect],
        now: Instant,
    ) -> None:
        """Write the effects that only the house knows."""

    def keep(self, view: View) -> None:
        """Remember what the batch, now durable, has changed."""


@dataclass
class Work:
    """One input, what it looks like inside, and what came of it."""

    wanted: object
    arrived: list[ArrivedItem] = field(default_factory=list)
    outcome: object = None

    def for_house(self) -> Sequence[object]:
        """Give what the house must decide of it."""
        if isinstance(self.wanted, Arrival):
            return self.arrived
        is_clerks = isinstance(self.wanted, MoreTime | PeerCalls)
        return () if is_clerks else (self.wanted,)

    @property
    def peer(self) -> Group | None:
        """The peer that caused it; ``None``: somebody on our own side."""
        if isinstance(self.wanted, Arrival | PeerCalls | PeerOrder):
            return self.wanted.peer
        return None


@dataclass
class Batch:
    """A batch while it is decided, and then what is to be written."""

    house: House
    view: View
    now: Instant
    works: list[Work]
    effects: list[Effect] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    taken: list[tuple[str, Verified]] = field(default_factory=list)
    outgoing: list[OutgoingItem] = field(default_factory=list)
    sealed: list[SealedEnvelope] = field(default_factory=list)
    calls: Calls = field(default_factory=Calls)
    #: Kinds of the alarms that were one too many.
    left_out: list[str] = field(default_factory=list)
    #: This server was restored and has not compared; ``None`` from when it may go on.
    restored: Restored | None = None
    #: It was so when this batch began, and is no more.
    has_ended_restored: bool = False
    #: Peers of whom this batch takes new keys, which do not count before it ends.
    renewed: set[Group] = field(default_factory=set)

    def old_firsts(self) -> dict[str, list[int]]:
        """Say which envelopes may be ones that we have already taken."""
        firsts: dict[str, list[int]] = {}
        for arrival in self._arrivals():
            link = self.view.links[arrival.peer]
            firsts.setdefault(arrival.peer, []).extend(
                envelope.payload.first
                for envelope in arrival.body.envelopes
                if envelope.payload.first <= link.taken
            )
        return {peer: numbers for peer, numbers in firsts.items() if numbers}

    def _arrivals(self) -> Iterator[Arrival]:
        for work in self.works:
            if isinstance(work.wanted, Arrival):
                yield work.wanted

    def take_arrivals(self, known: Mapping[str, Mapping[int, Sealed]]) -> None:
        """Pass every arrival through the link's rules."""
        # Two requests of one batch may carry the same envelope.
        seen = {peer: dict(envelopes) for peer, envelopes in known.items()}
        for work in self.works:
            if isinstance(work.wanted, Arrival):
                self._take(work, work.wanted, seen.setdefault(work.wanted.peer, {}))
        self._look_whether_to_go_on()

    def _take(self, work: Work, arrival: Arrival, known: dict[int, Sealed]) -> None:
        cover = arrival.body.cover.payload
        link = self.view.links[arrival.peer]
        work.outcome = self._no_to_cover(link, arrival)
        if work.outcome is not None:
            return
        before = link
        link = take_cover(link, cover)
        if self.restored is None:
            run = _up_to_new_keys(arrival.body.envelopes, link.taken)
            link, takings = take_run(link, run, known)
            takings += [Taking.DROPPED] * (len(arrival.body.envelopes) - len(run))
        else:
            link, takings = self._look_only(link, arrival, known)
        self.view.links[arrival.peer] = link
        work.outcome = takings
        if link.lives != before.lives:
            self.steps.append(Step.COMPARE)
        if link.trouble is not None and before.trouble is None:
            text = f"the link with {link.peer} is frozen: {link.trouble}"
            self.effects.append(CallPeople("link", text))
        for envelope, taking in zip(arrival.body.envelopes, takings, strict=True):
            if taking is Taking.TAKEN:
                self.taken.append((arrival.peer, envelope))
                known[envelope.payload.first] = Sealed(
                    envelope.payload.life, envelope.payload_hash
                )
                arrived = self.house.look(self.view, arrival.peer, envelope)
                work.arrived += arrived
                if any(isinstance(one.item, KeyChangeItem) for one in arrived):
                    self.renewed.add(arrival.peer)

    def _no_to_cover(self, link: Link, arrival: Arrival) -> OtherKey | Stale | None:
        """Say why a cover does not count, and so nothing behind it."""
        if not self._is_current(arrival):
            return OtherKey()
        at = read_instant(arrival.body.cover.payload.at)
        return Stale(self.now) if is_stale(link, at, self.now) else None

    def _is_current(self, arrival: Arrival) -> bool:
        """Say whether a cover is signed by the key in force after the last item taken.

        Its sender's keys may have changed since it was opened. Where they have not,
        the envelopes behind it too are signed as they were when they were opened.
        """
        period = arrival.body.cover.period
        is_open = period.last is None and self.house.keyring.knows(period)
        return is_open and arrival.peer not in self.renewed

    def _look_only(
        self, link: Link, arrival: Arrival, known: Mapping[int, Sealed]
    ) -> tuple[Link, list[Taking]]:
        """Learn from what a peer offers whether anything is missing here."""
        assert self.restored is not None
        link, is_proved = look_only(link, arrival.body.envelopes, known)
        if is_proved:
            proved = self.restored.proved | {link.peer}
            self.restored = msgspec.structs.replace(self.restored, proved=proved)
        return link, [Taking.DROPPED] * len(arrival.body.envelopes)

    def _look_whether_to_go_on(self) -> None:
        """End the wait of a restored server, when nothing is missing."""
        restored = self.restored
        if restored is None:
            return
        if may_go_on(restored, self.view.links, self.house.awaited()):
            self.restored, self.has_ended_restored = None, True
            self.steps.append(Step.GO_ON)
            self.effects.append(CallPeople("restored", _told_at_end(restored)))

    def touched(self) -> Touched:
        """Say what must be read before this batch can be decided."""
        touched = Touched()
        for work in self.works:
            for wanted in work.for_house():
                more = self.house.touches(self.view, wanted)
                touched.accounts |= more.accounts
                touched.transfers |= more.transfers
                touched.sent_items |= more.sent_items
        return touched

    def decide(self) -> None:
        """Decide everything in order, each decision on what those before it left."""
        for work in self.works:
            if isinstance(work.wanted, PeerCalls):
                self._apply(Effects(None, (work.wanted.call,)), work.peer)
            for wanted in work.for_house():
                self._decide(work, wanted)

    def _decide(self, work: Work, wanted: object) -> None:
        for effects in self.house.decide(self.view, wanted, self.now):
            self._apply(effects, work.peer)
            if effects.outcome is not None:
                work.outcome = effects.outcome

    def _apply(self, effects: Effects, peer: Group | None = None) -> None:
        if effects.step is not None:
            self.steps.append(effects.step)
        for effect in effects.wanted:
            if isinstance(effect, CallPeople) and not self._may_call(peer, effect):
                self.left_out.append(effect.about)
                continue
            if isinstance(effect, SendItem):
                number = self.view.next_number(effect.peer)
                self.outgoing.append(
                    OutgoingItem(effect.peer, number, effect.line, effect.box)
                )
            self.view.apply(effect)
            self.effects.append(effect)

    def _may_call(self, peer: Group | None, call: CallPeople) -> bool:
        return peer is None or self.calls.may_call(peer, call, self.now)

    def sealable(self) -> list[str]:
        """Say which links may seal an envelope now."""
        if self.restored is not None:
            return []
        return [peer for peer, link in self.view.links.items() if link.may_seal]

    def seal(self, peer: str, stored: Sequence[OutgoingItem]) -> None:
        """Seal what waits for a peer into one envelope, if anything does.

        Args:
            peer: whose link may seal.
            stored: items that waited already before this batch, oldest first.
        """
        link = self.view.links[peer]
        sealing = self.house.sealing(self.view, link.sent + 1)
        if sealing is None:
            return
        own = [item for item in self.outgoing if item.peer == peer]
        # What could not be sealed with the rest would pile up, one item a batch.
        has_key = sealing.last is None or self.view.next_number(peer) <= sealing.last
        if has_key and len(stored) + len(own) < ITEMS_MAX:
            last = self.house.before_sealing(self.view, peer)
            if last is not None:
                self._apply(last)
                own = [item for item in self.outgoing if item.peer == peer]
        items = _fitting([*stored, *own])
        if not items:
            return
        if sealing.last is not None:
            # A change of keys is the last item of its envelope.
            items = [item for item in items if item.number <= sealing.last]
        assert items[0].number == link.sent + 1
        payload = EnvelopePayload(
            federation=self.house.federation,
            from_=self.house.own,
            to=peer,
            life=link.life,
            first=items[0].number,
            count=len(items),
            root=root_of([item.line for item in items]),
            prev=link.sent_head,
            at=write_instant(self.now),
        )
        line_1, payload_hash = seal(payload, sealing.key)
        wire = wire_of(line_1, items)
        assert len(wire) <= _ITEMS_LENGTH_MAX + LINE_1_LENGTH_MAX, "it must fit a body"
        self.view.links[peer] = after_sealing(link, payload, payload_hash)
        self.steps.append(Step.SEAL)
        self.sealed.append(
            SealedEnvelope(
                peer=peer,
                first=payload.first,
                count=payload.count,
                line_1=line_1.decode("ascii"),
                payload_hash=payload_hash,
                life=link.life,
                at=self.now,
                wire=wire,
            )
        )


def _up_to_new_keys(envelopes: Sequence[Verified], taken: int) -> Sequence[Verified]:
    """Cut a run behind a change of keys that is new.

    Who sent it seals nothing until the answer; what stands behind it was signed by a
    key that may have ended with it. Only the last needs no look.
    """
    for index, envelope in enumerate(envelopes[:-1]):
        is_new = envelope.payload.first > taken
        if is_new and any(
            isinstance(read_item(line), KeyChangeItem) for line in envelope.lines
        ):
            return envelopes[: index + 1]
    return envelopes


def _told_at_end(restored: Restored) -> str:
    return (
        f"this server, restored on {write_instant(restored.at)} from the backup of"
        f" {write_instant(restored.backup_at)}, has compared with"
        f" {', '.join(sorted(restored.proved))}: nothing that crossed a link is"
        " missing; what was booked or changed only here after that backup is"
    )


def _fitting(items: Sequence[OutgoingItem]) -> list[OutgoingItem]:
    """Take as many items, oldest first, as one envelope may hold."""
    fitting, length = [], 0
    for item in items[:ITEMS_MAX]:
        length += len(item.line) + 1
        if item.box is not None:
            length += min(len(item.box) + 40, SEALED_LINE_LENGTH_MAX)
        if length > _ITEMS_LENGTH_MAX:
            break
        fitting.append(item)
    return fitting
