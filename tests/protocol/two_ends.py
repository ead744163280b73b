"""Two ends of a link in memory, and a network that spoils what it can.

The rules are ``protocol.link``'s own; this file only plays clerk, store and
courier in the smallest way: every body is a fresh cover and all stored envelopes
above what the peer acknowledged. What is durable is copied at each commit; a
restart begins from that copy with a fresh life. Nothing here judges: the tests do.
"""

import copy
import random
from collections.abc import Iterable
from typing import NamedTuple

from protocol import envelope, link, messages
from protocol.address import HUB, Group
from protocol.base64url import write_base64url
from protocol.instant import Instant, read_instant, write_instant
from protocol.keyring import SigningKey
from tests.protocol.makers import FEDERATION, OOSTENDE, keyring, signing_key

START = read_instant("2026-11-23T00:00:00.000Z")
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


class Wire(NamedTuple):
    """A body on its way: as bytes, or taken apart to save the signatures."""

    to: str
    cover: envelope.CoverPayload
    envelopes: tuple[envelope.Verified, ...]
    raw: bytes | None


class Durable:
    """What one commit leaves behind: all that a backup holds."""

    def __init__(self, own: Group, peer: Group) -> None:
        self.link = link.Link(peer=peer, life="")
        self.stored: list[envelope.Verified] = []
        self.known: dict[int, link.Sealed] = {}
        self.delivered: list[bytes] = []
        self.waiting: list[bytes] = []
        self.made = 0
        self.cover_limit = 0
        self.own = own

    def copied(self) -> "Durable":
        twin = copy.copy(self)
        twin.stored = list(self.stored)
        twin.known = dict(self.known)
        twin.delivered = list(self.delivered)
        twin.waiting = list(self.waiting)
        return twin


class End:
    """A server at one end of a link."""

    def __init__(
        self, own: Group, peer: Group, draw: random.Random, *, signs: bool = False
    ) -> None:
        self.own = own
        self.peer = peer
        self.draw = draw
        self.signs = signs
        self.key: SigningKey = signing_key(own)
        self.skew = 0
        self.last_at = 0
        self.state = Durable(own, peer)
        self.saved = self.state.copied()
        self.is_lazy = False
        self.restart()

    @property
    def link(self) -> link.Link:
        return self.state.link

    def restart(self, backup: Durable | None = None) -> None:
        """Start from what was stored, or from an older backup of it."""
        self.state = (backup or self.saved).copied()
        life = write_base64url(self.draw.randbytes(8))
        self.state.link = link.start(self.state.link, life)
        # A sender's time rises across its restarts too, whatever its clock says.
        self.last_at = self.state.cover_limit
        self.commit()

    def commit(self) -> None:
        self.saved = self.state.copied()

    def produce(self, count: int = 1) -> None:
        """Put items into the outbox; they wait there unsealed."""
        for _ in range(count):
            self.state.made += 1
            text = f"{self.own} {self.state.made} of {self.link.life}"
            self.state.waiting.append(text.encode())
        self.commit()

    def seal(self, now: int, most: int | None = None) -> None:
        """Seal some of what waits (or ``most`` of it), if the link's rules let us."""
        state = self.state
        if not state.waiting or not state.link.may_seal:
            return
        count = min(most or self.draw.randint(1, 9), len(state.waiting))
        lines, state.waiting = tuple(state.waiting[:count]), state.waiting[count:]
        payload = envelope.EnvelopePayload(
            federation=FEDERATION,
            from_=self.own,
            to=self.peer,
            life=state.link.life,
            first=state.link.sent + 1,
            count=count,
            root=envelope.root_of(lines) if self.signs else envelope.NOTHING_ROOT,
            prev=state.link.sent_head,
            at=write_instant(Instant(now + self.skew)),
        )
        line_1, payload_hash = self._line_1(payload)
        state.stored.append(
            envelope.Verified(
                payload=payload,
                payload_hash=payload_hash,
                line_1=line_1,
                lines=lines,
                boxes={},
            )
        )
        state.link = link.after_sealing(state.link, payload, payload_hash)
        self.commit()

    def _line_1(
        self, payload: envelope.EnvelopePayload | envelope.CoverPayload
    ) -> tuple[bytes, str]:
        if self.signs:
            return envelope.seal(payload, self.key)
        return b"", messages.line_hash(messages.write_line(payload))

    def send(self, now: int) -> Wire:
        """Write a fresh cover and all that the peer has not acknowledged."""
        known = self.link
        self.last_at = max(self.last_at + 1, now + self.skew)
        if self.last_at > self.state.cover_limit:
            # Only this is written: the rest of the state may still be undone.
            self.state.cover_limit = self.saved.cover_limit = self.last_at + 20_000
        cover = envelope.CoverPayload(
            federation=FEDERATION,
            from_=self.own,
            to=self.peer,
            life=known.life,
            first=known.sent + 1,
            root=envelope.NOTHING_ROOT,
            prev=known.sent_head,
            at=write_instant(Instant(self.last_at)),
            ack=known.taken,
            ack_head=known.taken_head,
            peer_life=known.peer_life,
            peer_at=None if known.peer_at is None else write_instant(known.peer_at),
            checkpoint=None,
        )
        out = tuple(
            stored
            for stored in reversed(self.state.stored)
            if stored.payload.first > known.acknowledged
        )[::-1]
        raw = None
        if self.signs:
            lines = [self._line_1(cover)[0]]
            for stored in out:
                lines += [stored.line_1, *stored.lines]
            raw = b"".join(line + b"\n" for line in lines)
        return Wire(self.peer, cover, out, raw)

    def receive(self, wire: Wire, now: int, *, crashes: bool = False) -> bool:
        """Take a body as one database transaction; says whether it counted.

        Args:
            wire: as the network gives it.
            now: the true time.
            crashes: the server stops before the commit, so nothing was taken.
        """
        cover, envelopes = wire.cover, wire.envelopes
        if wire.raw is not None:
            body = envelope.open_body(wire.raw, keyring(), FEDERATION, self.own)
            cover, envelopes = body.cover.payload, body.envelopes
        at = read_instant(cover.at)
        if link.is_stale(self.link, at, Instant(now + self.skew)):
            return False
        before = self.state.link
        after = link.take_cover(before, cover)
        after, takings = link.take_run(after, envelopes, self.state.known)
        for found, taking in zip(envelopes, takings, strict=True):
            if taking is link.Taking.TAKEN:
                self.state.delivered.extend(found.lines)
                self.state.known[found.payload.first] = link.Sealed(
                    found.payload.life, found.payload_hash
                )
        self.state.link = after
        if crashes:
            self.restart()
            return True
        # A clerk may leave what a mere cover told for the next commit.
        if not self.is_lazy or after.taken != before.taken or after.trouble:
            self.commit()
        return True


class Network:
    """Bodies on their way; it may lose, repeat, delay and so reorder them.

    No signature covers a whole body, so whoever stands between may also put
    envelopes of one body behind the cover of another.
    """

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.under_way: list[tuple[int, int, Wire]] = []
        self.count = 0
        self.loss = draw.choice([0.0, 0.1, 0.4])
        self.repeat = draw.choice([0.0, 0.1, 0.3])
        self.longest = draw.choice([50, 20_000, 4 * MINUTE, 3 * DAY])
        self.mixes = draw.choice([0.0, 0.0, 0.2])
        self.seen: list[Wire] = []

    def mixed(self, wire: Wire) -> Wire:
        """Put another body's envelopes behind this one's cover."""
        other = self.draw.choice(self.seen[-30:])
        if other.to != wire.to:
            return wire
        raw = wire.raw
        if raw is not None and other.raw is not None:
            raw = raw.split(b"\n")[0] + b"\n" + other.raw.split(b"\n", 1)[1]
        return wire._replace(envelopes=other.envelopes, raw=raw)

    def carry(self, wire: Wire, now: int) -> None:
        self.seen.append(wire)
        if self.draw.random() < self.mixes:
            wire = self.mixed(wire)
        copies = 1 + (self.draw.random() < self.repeat)
        for _ in range(copies):
            if self.draw.random() >= self.loss:
                delay = int(self.longest * self.draw.random() ** 4) + 1
                self.count += 1
                self.under_way.append((now + delay, self.count, wire))

    def arrived(self, now: int) -> Iterable[Wire]:
        due = sorted(entry[:2] for entry in self.under_way if entry[0] <= now)
        if not due:
            return []
        found = {entry[:2]: entry[2] for entry in self.under_way}
        self.under_way = [entry for entry in self.under_way if entry[0] > now]
        return [found[key] for key in due]


class World:
    """A node, its hub, the network between them and one true clock."""

    def __init__(self, seed: int, *, signs: bool = False) -> None:
        self.draw = draw = random.Random(seed)
        self.now = START
        self.node = End(OOSTENDE, HUB, draw, signs=signs)
        self.hub = End(HUB, OOSTENDE, draw, signs=signs)
        self.network = Network(draw)
        self.node.skew = draw.choice([0, 0, 2 * MINUTE, -2 * MINUTE])
        self.hub.skew = draw.choice([0, 0, 2 * MINUTE, -2 * MINUTE])
        self.stops = draw.choice([0.0, 0.02, 0.1])
        self.crashes = draw.choice([0.0, 0.02])
        for end in (self.node, self.hub):
            end.is_lazy = draw.random() < 0.5

    @property
    def ends(self) -> tuple[End, End]:
        return self.node, self.hub

    def end(self, name: str) -> End:
        return self.node if name == self.node.own else self.hub

    def step(self) -> None:
        """Let one thing happen, and whatever is due arrive."""
        draw = self.draw
        self.now = Instant(self.now + draw.choice([1, 40, 2_000, 2_000, 90_000]))
        end = draw.choice(self.ends)
        chance = draw.random()
        if chance < 0.2:
            end.produce(draw.randint(1, 3))
        if chance > 1 - self.stops:
            end.restart()
        end.seal(self.now)
        self.network.carry(end.send(self.now), self.now)
        for wire in self.network.arrived(self.now):
            self.deliver(wire)

    def deliver(self, wire: Wire) -> None:
        receiver = self.end(wire.to)
        crashes = self.draw.random() < self.crashes
        if (
            receiver.receive(wire, self.now, crashes=crashes)
            and self.draw.random() < 0.7
        ):
            receiver.seal(self.now)
            self.network.carry(receiver.send(self.now), self.now)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def exchange(self) -> None:
        """The node asks and the hub answers, without any fault."""
        self.now = Instant(self.now + 1_000)
        self.node.seal(self.now, envelope.ITEMS_MAX)
        self.hub.receive(self.node.send(self.now), self.now)
        self.hub.seal(self.now, envelope.ITEMS_MAX)
        self.node.receive(self.hub.send(self.now), self.now)

    def settle(self, most: int) -> int:
        """Exchange until nothing waits; gives how many exchanges it took."""
        for count in range(most):
            if self.is_quiet():
                return count
            self.exchange()
        return most

    def is_quiet(self) -> bool:
        return all(
            not end.state.waiting
            and end.link.has_compared
            and end.link.sent == end.link.acknowledged
            for end in self.ends
        )


def sealed_lines(end: End) -> list[bytes]:
    """All that an end has sealed, in order."""
    return [line for stored in end.state.stored for line in stored.lines]
