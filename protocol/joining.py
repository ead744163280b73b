"""Joining a federation: invitation and request, the same on both sides.

The invitation is a link with a one-time code and the federation's whole id, so
that the node knows whose root key to expect before it trusts any answer
(protocol, section 3).
"""

import hashlib
import re

import msgspec

from protocol import jws, strict_json
from protocol.address import FederationId, Group, read_federation, read_group
from protocol.base64url import write_base64url
from protocol.directory import entry_key, read_entry, sign_entry
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import SigningKey, key_id
from protocol.messages import (
    GroupEntry,
    JoinRequest,
    RecoveryConsent,
    join_decoder,
    line_hash,
    recovery_consent_decoder,
)

JOIN_TYP = "interlets-join"
CONSENT_TYP = "interlets-recovery-consent"
#: 128 bits in base64url.
CODE_LENGTH = 22

_LINK = re.compile(
    r"(?P<hub>https?://[^/?#\s]+)/join#(?P<code>[A-Za-z0-9_-]{22})"
    r"\.(?P<group>[a-z0-9-]+)\.(?P<federation>[a-z0-9-]+\.[A-Za-z0-9_-]{43})"
)


class InvitationLink(msgspec.Struct, frozen=True):
    """What an invitation's link holds.

    Attributes:
        hub_url: where the hub is reached.
        code: the one-time code, 128 bits.
        group: the name that the group will have.
        federation: the whole federation id.
    """

    hub_url: str
    code: str
    group: Group
    federation: FederationId


class JoinStatement(msgspec.Struct, frozen=True):
    """A request to join whose signatures have been checked."""

    entry: GroupEntry
    signed: str
    code_hash: str
    request_hash: str


def write_invitation(link: InvitationLink) -> str:
    """Write an invitation as a link."""
    federation = link.federation.replace("#", ".")
    return f"{link.hub_url}/join#{link.code}.{link.group}.{federation}"


def read_invitation(text: str) -> InvitationLink:
    """Read an invitation; raises ``MalformedMessageError`` without repeating it."""
    found = _LINK.fullmatch(text.strip())
    if found is None:
        raise MalformedMessageError(
            "invitation", f"{len(text)} characters", "the link that the hub gave"
        )
    slug, _, root = found["federation"].partition(".")
    return InvitationLink(
        found["hub"],
        found["code"],
        read_group(found["group"]),
        read_federation(f"{slug}#{root}"),
    )


def hash_code(code: str) -> str:
    """Hash a one-time code; only that is kept."""
    return write_base64url(hashlib.sha256(code.encode()).digest())


def write_request(
    entry: GroupEntry, code: str, signing: SigningKey, recovery: SigningKey
) -> str:
    """Write a group's request to join, signed by its new keys."""
    signed = sign_entry(entry, signing)
    consent = RecoveryConsent(
        v=1,
        federation=entry.federation,
        group=entry.group,
        entry=line_hash(signed.encode()),
    )
    request = JoinRequest(
        v=1,
        federation=entry.federation,
        code=code,
        entry=signed,
        recovery=jws.sign(strict_json.write(consent), recovery, CONSENT_TYP),
    )
    return jws.sign(strict_json.write(request), signing, JOIN_TYP)


def read_request(raw: bytes, federation: FederationId) -> JoinStatement:
    """Read a request to join and check every signature in it.

    Raises:
        MalformedMessageError: not such a request.
        NotSignedError: a signature is not by the key that the entry names, or
            it is meant for another federation.
        WeakKeyError: a key that must not be registered.
    """
    parts = jws.split(raw, JOIN_TYP)
    # The entry inside names the key that must have signed around it.
    request = strict_json.read(parts.payload, join_decoder, "join request")
    if request.federation != federation:
        raise NotSignedError("join request: for another federation")
    entry = read_entry(request.entry, federation)
    signing = entry_key(entry.keys, "signing")
    if parts.kid != key_id(signing):
        raise NotSignedError("join request: not signed by the entry's signing key")
    jws.check(parts, signing)
    _check_consent(request, entry)
    return JoinStatement(entry, request.entry, hash_code(request.code), line_hash(raw))


def _check_consent(request: JoinRequest, entry: GroupEntry) -> None:
    parts = jws.split(request.recovery, CONSENT_TYP)
    recovery = entry_key(entry.keys, "recovery")
    if parts.kid != key_id(recovery):
        raise NotSignedError("recovery consent: not signed by the recovery key")
    payload = jws.check(parts, recovery)
    consent = strict_json.read(payload, recovery_consent_decoder, "recovery consent")
    expected = (entry.federation, entry.group, line_hash(request.entry.encode()))
    if (consent.federation, consent.group, consent.entry) != expected:
        raise NotSignedError("recovery consent: for another entry")
