"""The trust's part in a node's audit: what is believed of the hub is what it signed."""

from collections.abc import AsyncGenerator, Iterator

from nodes import audit_store
from nodes.audit_store import StoredBelief
from protocol.address import FederationId
from protocol.checkpoint import read_checkpoint
from protocol.errors import PeerError
from protocol.peer.audit_store import Finding, Walk, finding
from protocol.peer.database import AnyConnection

NAME = "beliefs_are_as_they_were_signed"
TOLD = "Every checkpoint that is believed is signed by the hub, and says what is kept."


def walk_of(federation: FederationId, public: bytes) -> Walk:
    """Give the walk over all beliefs.

    Args:
        federation: the whole id.
        public: the hub's signing key.
    """

    async def walk(
        connection: AnyConnection,
    ) -> AsyncGenerator[tuple[float, list[Finding]]]:
        found: list[Finding] = []
        for belief in await audit_store.read_beliefs(connection):
            found += _look_at(belief, federation, public)
        yield 1.0, found

    return Walk(NAME, TOLD, walk)


def _look_at(
    belief: StoredBelief, federation: FederationId, public: bytes
) -> Iterator[Finding]:
    key = f"{belief.era}, {belief.log}"
    try:
        signed = read_checkpoint(belief.note, federation, public)
    except PeerError as error:
        yield finding(NAME, "belief", key, error, "a checkpoint as the hub signed it")
        return
    for name in ("log", "size", "root"):
        kept, lawful = getattr(belief, name), getattr(signed, name)
        if kept != lawful:
            yield finding(NAME, "belief", key, f"{name} {kept}", f"{name} {lawful}")
