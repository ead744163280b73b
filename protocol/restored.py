"""A server that was restored from a backup, until it knows that nothing is missing.

Each link is guarded by its own comparison (``link``). That is not enough for a server
with several: behind on one of them, it must do nothing on the others either
(protocol, section 11). So a restored server takes covers alone. It

- names a peer's life only when every *other* peer has named ours and claims nothing
  that we lack: who is not named compares nothing, and seals and freezes nothing,
- names no checkpoint to whom it does not name: what it lacks would look denied,
- takes and seals nothing, while what it once sealed may still be fetched,
- looks at what a peer wants to send. A peer that offers all that we lack of its
  envelopes holds that we never acknowledged them: that one has proved that we are not
  behind. A peer that holds that we are behind freezes its end, and offers nothing.

When all have proved it, the server is one like any other after a start. Nothing here
knows who must prove it, or stores anything: that is the house's and the clerk's.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from protocol.envelope import Verified
from protocol.instant import Instant
from protocol.link import Link, Sealed, take_run


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restored server knows of its restore.

    Attributes:
        at: when it was restored.
        backup_at: when its backup was made.
        proved: peers that have proved, since this start, that nothing of theirs or
            for them is missing here.
    """

    at: Instant
    backup_at: Instant
    proved: frozenset[str] = frozenset()


def may_name(links: Mapping[str, Link], awaited: Collection[str], peer: str) -> bool:
    """Say whether a restored server may name this peer's life in its covers."""
    others = (links.get(other) for other in awaited if other != peer)
    return all(
        link is not None and link.is_named and link.trouble is None for link in others
    )


def look_only(
    link: Link, envelopes: Sequence[Verified], known: Mapping[int, Sealed]
) -> tuple[Link, bool]:
    """Look at what a peer offers, and take none of it.

    Args:
        link: after the peer's cover was taken.
        envelopes: behind that cover.
        known: as for ``take_run``.

    Returns:
        The link, frozen if the envelopes contradict it; and whether nothing but these
        envelopes is missing.
    """
    after, _ = take_run(link, envelopes, known)
    if after.trouble is not None:
        return after, False
    return link, after.has_compared


def may_go_on(
    restored: Restored, links: Mapping[str, Link], awaited: Collection[str]
) -> bool:
    """Say whether a restored server is now one like any other.

    Without a single peer that has compared nobody can tell what is missing.
    """
    return (
        bool(restored.proved)
        and restored.proved.issuperset(awaited)
        and all(links[peer].trouble is None for peer in awaited)
    )
