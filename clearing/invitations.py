"""Inviting a group: a code for its treasurer, good once and for some days."""

import secrets

import msgspec

from clearing import log_store
from clearing.rules import RESERVE, Invitation
from protocol.address import HUB, FederationId, Group, read_group
from protocol.base64url import write_base64url
from protocol.errors import MalformedMessageError
from protocol.instant import Instant
from protocol.joining import InvitationLink, hash_code, write_invitation
from protocol.peer.database import AnyConnection

INVITATION_DAYS = 7
_DAY_MS = 86_400_000
_CODE_BYTES = 16


class Invited(msgspec.Struct, frozen=True):
    """An invitation as it is handed over; the code in it is kept nowhere."""

    link: str
    until: Instant


def read_new_group(text: str) -> Group:
    """Read the name of a group that may be invited.

    Raises:
        MalformedMessageError: no name, or one that the hub needs itself.
    """
    group = read_group(text)
    if group in (RESERVE, HUB):
        raise MalformedMessageError("group", group, "a name that the hub does not use")
    return group


async def invite(
    connection: AnyConnection,
    federation: FederationId,
    public_url: str,
    group: Group,
    limits: tuple[int, int],
    now: Instant,
) -> Invited:
    """Invite a group; that it is not there yet, the caller has seen.

    Earlier invitations of that name count no more: limits that were thought better
    of, or a form that was sent twice, leave no second way in.

    Args:
        connection: any.
        federation: which it will join.
        public_url: where its node reaches this hub.
        group: its name for ever.
        limits: lowest and highest position, milliseconds.
        now: the hub's time.
    """
    floor, ceiling = limits
    assert floor <= 0 <= ceiling, "callers parse limits"
    until = Instant(now + INVITATION_DAYS * _DAY_MS)
    code = write_base64url(secrets.token_bytes(_CODE_BYTES))
    invitation = Invitation(
        code_hash=hash_code(code),
        group=group,
        floor=floor,
        ceiling=ceiling,
        until=until,
        request_hash=None,
    )
    async with connection.transaction():
        await log_store.end_invitations(connection, group, now)
        await log_store.write_invitation(connection, invitation)
    link = InvitationLink(public_url, code, group, federation)
    return Invited(write_invitation(link), until)
