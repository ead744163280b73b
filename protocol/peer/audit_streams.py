"""The stored envelopes, walked from the first: signed, chained, and not a bit changed.

SQL cannot verify a signature, so this part of the audit is in Python, with the same
functions by which anyone verifies an envelope. A few envelopes are in memory at a
time, however long a stream has become; of their items only the hashes.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import NamedTuple

from protocol.address import FederationId, Group
from protocol.base64url import write_base64url
from protocol.envelope import EnvelopePayload, open_stored
from protocol.errors import PeerError
from protocol.keyring import Keyring
from protocol.merkle import Frontier
from protocol.messages import NOTHING_HASH
from protocol.peer.audit_pages import look_in_pages, on_two_cores
from protocol.peer.audit_store import (
    READ_ENVELOPES,
    Finding,
    StoredEnvelope,
    Stream,
    finding,
    read_streams,
)
from protocol.peer.database import AnyConnection

NAME = "streams_are_as_they_were_signed"
TOLD = "Every stored envelope is signed, chained to the one before, and unchanged."
#: Each has up to 1,000 items, of 32 bytes each here.
_ENVELOPES_AT_ONCE = 100


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
    before = 0
    for stream in streams:
        looking = _Walk(parties, stream)
        values = stream.peer, stream.direction
        async for done, found in look_in_pages(
            connection,
            READ_ENVELOPES,
            values,
            _ENVELOPES_AT_ONCE,
            StoredEnvelope,
            looking.look_at,
        ):
            yield (before + done) / of, found
        before += stream.many


class _Opened(NamedTuple):
    """What is in an envelope, once its signature verifies."""

    payload: EnvelopePayload
    payload_hash: str
    root: str


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

    async def look_at(self, page: list[StoredEnvelope]) -> list[Finding]:
        """Give what is wrong with envelopes that follow those before them."""
        found: list[Finding] = []
        opened = await on_two_cores(self._open, page)
        for envelope, one in zip(page, opened, strict=True):
            found += self._compare(envelope, one)
        return found

    def _open(self, envelope: StoredEnvelope) -> _Opened | PeerError:
        try:
            payload, payload_hash = open_stored(
                envelope.line_1.encode("ascii", "replace"),
                self._parties.keyring,
                self._parties.federation,
                self._receiver,
            )
        except PeerError as error:
            return error
        return _Opened(payload, payload_hash, _root_of(envelope.leaves))

    def _compare(
        self, envelope: StoredEnvelope, opened: _Opened | PeerError
    ) -> Iterator[Finding]:
        place = f"{self._stream.peer}, {self._stream.direction}, {envelope.first}"
        if envelope.first != self._next:
            yield _of_envelope(place, envelope.first, f"first {self._next}")
        self._next = envelope.first + envelope.count
        if isinstance(opened, PeerError):
            yield _of_envelope(place, opened, f"line 1 as {self._sender} signed it")
            # One row is altered; the next is not to blame for it.
            self._head = envelope.payload_hash
            return
        for told, found, expected in self._pairs(envelope, opened):
            if found != expected:
                yield _of_envelope(place, f"{told} {found}", f"{told} {expected}")
        yield from _look_at_items(envelope, opened, place)
        self._head = opened.payload_hash

    def _pairs(
        self, envelope: StoredEnvelope, opened: _Opened
    ) -> list[tuple[str, object, object]]:
        """Pair what the row says with what was signed, and that with what must be."""
        payload = opened.payload
        return [
            ("from", payload.from_, self._sender),
            ("prev", payload.prev, self._head),
            ("first", envelope.first, payload.first),
            ("count", envelope.count, payload.count),
            ("life", envelope.life, payload.life),
            ("payload_hash", envelope.payload_hash, opened.payload_hash),
        ]


def _root_of(leaves: Sequence[bytes]) -> str:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return write_base64url(frontier.root)


def _look_at_items(
    envelope: StoredEnvelope, opened: _Opened, place: str
) -> Iterator[Finding]:
    payload = opened.payload
    if len(envelope.leaves) != payload.count:
        found = f"{len(envelope.leaves)} items"
        yield finding(NAME, "item", place, found, f"{payload.count} items")
    elif opened.root != payload.root:
        # Which of them it is, the root does not tell.
        key = f"{place} to {payload.first + payload.count - 1}"
        found, expected = f"root {opened.root}", f"root {payload.root}"
        yield finding(NAME, "item", key, found, expected)


def _of_envelope(place: str, found: object, expected: object) -> Finding:
    return finding(NAME, "envelope", place, found, expected)
