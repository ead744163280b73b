"""What a group signs to get a cycle file from its hub.

The file says how much each group traded, so it is for the groups and not for
everybody. Whoever hears such a request can ask the same once more for as long as it
counts, and learns what the request's group may hand on anyway.
"""

from typing import Literal

import msgspec

from protocol import jws, strict_json
from protocol.address import FederationId
from protocol.errors import NotSignedError
from protocol.instant import Instant, read_instant
from protocol.keyring import SigningKey, key_id
from protocol.messages import CountField, GroupField, InstantField

CYCLE_REQUEST_TYP = "interlets-cycle-request"
#: A request is some 400 bytes.
REQUEST_LENGTH_MAX = 4096
#: So far may it be from the hub's time, which its sender knows from covers.
REQUEST_AGE_MS = 600_000


class CycleRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A group asks for the file of a cycle that has ended."""

    v: Literal[1]
    federation: str
    group: GroupField
    cycle: CountField
    at: InstantField


_decoder = msgspec.json.Decoder(CycleRequest)


def write_cycle_request(request: CycleRequest, key: SigningKey) -> str:
    """Sign a request with the group's signing key."""
    return jws.sign(strict_json.write(request), key, CYCLE_REQUEST_TYP)


def read_cycle_request(
    raw: bytes, federation: FederationId
) -> tuple[CycleRequest, jws.Jws]:
    """Read a request; that its group's key has signed it, ``check_cycle_request`` sees.

    Raises:
        MalformedMessageError: not such a request.
        NotSignedError: for another federation.
    """
    parts = jws.split(raw, CYCLE_REQUEST_TYP)
    request = strict_json.read(parts.payload, _decoder, parts.typ)
    if request.federation != federation:
        raise NotSignedError("cycle request: for another federation")
    return request, parts


def check_cycle_request(
    request: CycleRequest, parts: jws.Jws, public: bytes, now: Instant
) -> None:
    """Check that the group's key has signed a request, and not long ago.

    Args:
        request: as it was read.
        parts: of which it was read.
        public: the group's signing key.
        now: the hub's time.

    Raises:
        NotSignedError: by another key, or of another time.
    """
    if parts.kid != key_id(public):
        raise NotSignedError("cycle request: not signed by the group's key")
    jws.check(parts, public)
    if abs(read_instant(request.at) - now) > REQUEST_AGE_MS:
        raise NotSignedError(f"cycle request: signed at {request.at}, not just now")
