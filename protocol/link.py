"""Two numbered, chained streams between a node and the hub.

Each side numbers its items 1, 2, 3, ... without gaps and chains its envelopes.
At every start of either side both draw a line under what was (compare): nothing
is sealed or taken until each has named the other's life and has what the other
declared. The rules are the same for both ends; who runs them does not matter.
Nothing here signs, stores or sends: that is ``envelope``, ``peer.link_store``
and ``peer.courier``. The reasons stand in the protocol, section 5.

At a start, for each direction:

==================================================  ===========================
the receiver has taken all that the sender          go on
declares, and the heads are equal
it has less, and never acknowledged more            ordinary: the rest is sent
it has less than it once acknowledged               the receiver is behind
it has more than the sender declares                the sender is behind
the heads differ at the same number                 fork
==================================================  ===========================

Behind and fork freeze a link: it goes on taking covers and takes no item.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from protocol.envelope import CoverPayload, EnvelopePayload, Verified
from protocol.instant import Instant, read_instant
from protocol.messages import NOTHING_HASH

#: A cover's time may differ from ours by so much (protocol, section 4).
SKEW_MAX_MS = 5 * 60 * 1000
#: How many former lives of the peer are remembered, to notice one that returns.
LIVES_KEPT = 100


class Trouble(StrEnum):
    """Why a link is frozen; people are called."""

    WE_ARE_BEHIND = "we-are-behind"
    PEER_IS_BEHIND = "peer-is-behind"
    FORK = "fork"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One side's knowledge of a link.

    Attributes:
        peer: the other side's name.
        life: our own, drawn at this start.
        sent: highest item number we sealed.
        sent_head: hash of the last payload we sealed.
        acknowledged: highest of our items that the peer says it has taken.
        acknowledged_head: hash of the payload that carried it.
        taken: highest item we took.
        taken_head: hash of the payload that carried it.
        lives: the peer's lives that counted, oldest first.
        trouble: why the link is frozen, if it is.
        peer_life: the life in the peer's newest cover.
        peer_at: the time in the peer's newest cover.
        is_named: the peer has named our life in a cover of ``peer_life``.
        has_given: since then, the peer has said that it has all we sealed.
        declared: highest number the peer declared when it first named us.
        declared_head: and its head there.
    """

    peer: str
    life: str
    sent: int = 0
    sent_head: str = NOTHING_HASH
    acknowledged: int = 0
    acknowledged_head: str = NOTHING_HASH
    taken: int = 0
    taken_head: str = NOTHING_HASH
    lives: tuple[str, ...] = ()
    trouble: Trouble | None = None
    peer_life: str | None = None
    peer_at: Instant | None = None
    is_named: bool = False
    has_given: bool = False
    declared: int = 0
    declared_head: str = NOTHING_HASH

    @property
    def has_compared(self) -> bool:
        """Both sides know each other's life and lack nothing of the other's."""
        return (
            self.trouble is None
            and self.is_named
            and self.has_given
            and self.taken >= self.declared
        )

    @property
    def may_seal(self) -> bool:
        """One envelope is on its way at most: that is natural batching."""
        return self.has_compared and self.sent == self.acknowledged


class Taking(StrEnum):
    """What becomes of one envelope that arrived."""

    TAKEN = "taken"
    REPEATED = "repeated"
    GAP = "gap"
    DROPPED = "dropped"
    FORKED = "forked"


class Sealed(msgspec.Struct, frozen=True):
    """An envelope of the peer's that we took: its life and payload's hash."""

    life: str
    payload_hash: str


def start(link: Link, life: str) -> Link:
    """Begin anew after a start: what was taken stays, what was known does not."""
    return msgspec.structs.replace(
        link, life=life, peer_life=None, peer_at=None, **_UNCOMPARED
    )


_UNCOMPARED: dict[str, object] = {
    "is_named": False,
    "has_given": False,
    "declared": 0,
    "declared_head": NOTHING_HASH,
}


def is_stale(link: Link, at: Instant, now: Instant) -> bool:
    """Say whether a cover is too old, from a wrong clock, or overtaken."""
    return abs(at - now) > SKEW_MAX_MS or (
        link.peer_at is not None and at <= link.peer_at
    )


def take_cover(link: Link, cover: CoverPayload) -> Link:
    """Learn where the peer stands.

    A cover that does not name our life only tells us the peer's: it may be old,
    so nothing else in it counts.

    Args:
        link: what we know; the cover is not stale.
        cover: verified, from this peer.
    """
    link = msgspec.structs.replace(link, peer_at=read_instant(cover.at))
    if cover.life != link.peer_life:
        link = msgspec.structs.replace(link, peer_life=cover.life, **_UNCOMPARED)
    if cover.peer_life != link.life or link.trouble is not None:
        return link
    if cover.life in link.lives[:-1]:
        # Replaced once and back again: two servers hold one key.
        return freeze(link, Trouble.FORK)
    if not link.lives or cover.life != link.lives[-1]:
        lives = (*link.lives, cover.life)[-LIVES_KEPT:]
        link = msgspec.structs.replace(link, lives=lives)
    trouble = _trouble_with_ours(link, cover) or _trouble_with_theirs(link, cover)
    if trouble is not None:
        return freeze(link, trouble)
    return _believe(link, cover)


def _trouble_with_ours(link: Link, cover: CoverPayload) -> Trouble | None:
    """Compare what the peer acknowledges with what we sealed."""
    if cover.ack > link.sent:
        return Trouble.WE_ARE_BEHIND
    if cover.ack < link.acknowledged:
        return Trouble.PEER_IS_BEHIND
    heads = {
        link.acknowledged: link.acknowledged_head,
        link.sent: link.sent_head,
    }
    # One envelope is under way at most, so there is no third place to stand.
    if heads.get(cover.ack) != cover.ack_head:
        return Trouble.FORK
    return None


def _trouble_with_theirs(link: Link, cover: CoverPayload) -> Trouble | None:
    """Compare what the peer declares with what we took."""
    declared = cover.first - 1
    if link.taken > declared:
        return Trouble.PEER_IS_BEHIND
    if link.taken == declared and link.taken_head != cover.prev:
        return Trouble.FORK
    return None


def _believe(link: Link, cover: CoverPayload) -> Link:
    changes: dict[str, object] = {
        "acknowledged": cover.ack,
        "acknowledged_head": cover.ack_head,
    }
    if not link.is_named:
        changes["is_named"] = True
        changes["declared"] = cover.first - 1
        changes["declared_head"] = cover.prev
    if cover.ack == link.sent:
        changes["has_given"] = True
    return msgspec.structs.replace(link, **changes)


def freeze(link: Link, trouble: Trouble) -> Link:
    """Freeze a link; only people reopen it."""
    return msgspec.structs.replace(link, trouble=trouble, **_UNCOMPARED)


def take_run(
    link: Link, envelopes: Sequence[Verified], known: Mapping[int, Sealed]
) -> tuple[Link, list[Taking]]:
    """Say what becomes of the envelopes behind a cover, in their order.

    A run that was missing at the start is taken only whole, when it ends in the
    declared head; beyond that head only the declared life counts.

    Args:
        link: after its cover was taken.
        envelopes: verified, from this peer.
        known: by first number, envelopes we already took: at least those that
            carried the numbers which arrive again.

    Returns:
        The link after it, and one ``Taking`` for each envelope.
    """
    takings: list[Taking] = []
    taken, head = link.taken, link.taken_head
    for envelope in envelopes:
        payload = envelope.payload
        taking = _judge(link, envelope, taken, head, known)
        takings.append(taking)
        if taking is Taking.FORKED:
            return freeze(link, Trouble.FORK), [
                Taking.FORKED if other is Taking.FORKED else Taking.DROPPED
                for other in takings
            ] + [Taking.DROPPED] * (len(envelopes) - len(takings))
        if taking is Taking.TAKEN:
            taken = payload.first + payload.count - 1
            head = envelope.payload_hash
    if taken < link.declared:
        # The missing run does not reach the declared head: none of it counts yet.
        return link, [
            Taking.GAP if taking is Taking.TAKEN else taking for taking in takings
        ]
    return msgspec.structs.replace(link, taken=taken, taken_head=head), takings


def _judge(
    link: Link,
    envelope: Verified,
    taken: int,
    head: str,
    known: Mapping[int, Sealed],
) -> Taking:
    """Judge one envelope after ``taken`` items that end in ``head``."""
    payload = envelope.payload
    if not link.is_named or link.trouble is not None:
        return Taking.DROPPED
    if payload.first <= taken:
        return _judge_old(envelope, known)
    if payload.first > taken + 1:
        return Taking.GAP
    is_missing = taken < link.declared
    if not is_missing and (payload.life != link.peer_life or not link.has_given):
        return Taking.DROPPED
    if is_missing and envelope.last > link.declared:
        return Taking.DROPPED
    if payload.prev != head:
        return Taking.FORKED
    if envelope.last == link.declared and (envelope.payload_hash != link.declared_head):
        return Taking.FORKED
    return Taking.TAKEN


def _judge_old(envelope: Verified, known: Mapping[int, Sealed]) -> Taking:
    """Judge an envelope whose numbers we have already taken."""
    # The one that carried this number, which another may have cut differently.
    first = max((one for one in known if one <= envelope.payload.first), default=0)
    found = known.get(first)
    if found is not None and found.payload_hash == envelope.payload_hash:
        return Taking.REPEATED
    if found is not None and found.life == envelope.payload.life:
        return Taking.FORKED
    # Of a life that a comparison has closed: it was never part of the stream.
    return Taking.DROPPED


def after_sealing(link: Link, payload: EnvelopePayload, payload_hash: str) -> Link:
    """Note an envelope that we sealed."""
    assert link.may_seal and payload.first == link.sent + 1
    return msgspec.structs.replace(
        link, sent=payload.first + payload.count - 1, sent_head=payload_hash
    )
