"""The stored envelopes, walked from the first: signed, chained, and not a bit changed.

SQL cannot verify a signature, so this part of the audit is in Python, with the same
functions by which anyone verifies an envelope. A few envelopes are in memory at a
time, however long a stream has become.
"""

from collections.abc import AsyncGenerator, Iterator
from typing import NamedTuple

from protocol.address import FederationId, Group
from protocol.envelope import EnvelopePayload, open_stored, root_of
from protocol.errors import PeerError
from protocol.keyring import Keyring
from protocol.messages import NOTHING_HASH
from protocol.peer.audit_store import (
    Finding,
    StoredEnvelope,
    Stream,
    finding,
    read_envelopes,
    read_streams,
)
from protocol.peer.database import AnyConnection

NAME = "streams_are_as_they_were_signed"
TOLD = "Every stored envelope is signed, chained to the one before, and unchanged."


class Parties(NamedTuple):
    """Who speaks on a server's links, and under which keys."""

    federation: FederationId
    own: Group
    keyring: Keyring


async def walk(
    connection: AnyConnection, parties: Parties
) -> AsyncGenerator[tuple[float, list[Finding]]]:
    """Walk every stream; gives how much is done (of 1) and what was found there."""
    streams = await read_streams(connection)
    of = sum(stream.many for stream in streams)
    done = 0
    for stream in streams:
        looking = _Walk(parties, stream)
        async for envelope in read_envelopes(connection, stream):
            done += 1
            yield done / of, list(looking.look_at(envelope))


class _Walk:
    """One stream, and where its next envelope must begin."""

    def __init__(self, parties: Parties, stream: Stream) -> None:
        self._parties = parties
        self._stream = stream
        peer = Group(stream.peer)
        ends = (peer, parties.own) if stream.direction == "in" else (parties.own, peer)
        self._sender, self._receiver = ends
        self._next = 1
        self._head = NOTHING_HASH

    def look_at(self, envelope: StoredEnvelope) -> Iterator[Finding]:
        """Give what is wrong with an envelope that follows those before it."""
        place = f"{self._stream.peer}, {self._stream.direction}, {envelope.first}"
        if envelope.first != self._next:
            yield _of_envelope(place, envelope.first, f"first {self._next}")
        self._next = envelope.first + envelope.count
        try:
            payload, payload_hash = open_stored(
                envelope.line_1.encode("ascii", "replace"),
                self._parties.keyring,
                self._parties.federation,
                self._receiver,
            )
        except PeerError as error:
            yield _of_envelope(place, error, f"line 1 as {self._sender} signed it")
            # One row is altered; the next is not to blame for it.
            self._head = envelope.payload_hash
            return
        for told, found, expected in self._pairs(envelope, payload, payload_hash):
            if found != expected:
                yield _of_envelope(place, f"{told} {found}", f"{told} {expected}")
        yield from _look_at_items(envelope, payload, place)
        self._head = payload_hash

    def _pairs(
        self, envelope: StoredEnvelope, payload: EnvelopePayload, payload_hash: str
    ) -> list[tuple[str, object, object]]:
        """Pair what the row says with what was signed, and that with what must be."""
        return [
            ("from", payload.from_, self._sender),
            ("prev", payload.prev, self._head),
            ("first", envelope.first, payload.first),
            ("count", envelope.count, payload.count),
            ("life", envelope.life, payload.life),
            ("payload_hash", envelope.payload_hash, payload_hash),
        ]


def _look_at_items(
    envelope: StoredEnvelope, payload: EnvelopePayload, place: str
) -> Iterator[Finding]:
    if len(envelope.lines) != payload.count:
        found = f"{len(envelope.lines)} items"
        yield finding(NAME, "item", place, found, f"{payload.count} items")
    elif (found := root_of(envelope.lines)) != payload.root:
        # Which of them it is, the root does not tell.
        key = f"{place} to {payload.first + payload.count - 1}"
        yield finding(NAME, "item", key, f"root {found}", f"root {payload.root}")


def _of_envelope(place: str, found: object, expected: object) -> Finding:
    return finding(NAME, "envelope", place, found, expected)
