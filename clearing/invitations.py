"""Inviting a group: a code for its treasurer, good once and for some days.

What the clerk decides of it is ``clearing.rules.inviting``; here is what it never
sees: the code itself, and the link that carries it.
"""

import secrets

import msgspec

from clearing import log_store
from clearing.rules import RESERVE, Invitation, Invite, invitation_of
from protocol.address import HUB, FederationId, Group, read_group
from protocol.base64url import write_base64url
from protocol.errors import MalformedMessageError
from protocol.instant import Instant
from protocol.joining import InvitationLink, hash_code, write_invitation
from protocol.peer.database import AnyConnection

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


def new_code() -> str:
    """Draw a code that nobody can guess."""
    return write_base64url(secrets.token_bytes(_CODE_BYTES))


def hand_over(
    made: Invitation, code: str, public_url: str, federation: FederationId
) -> Invited:
    """Write an invitation, with its code, for a group's treasurer.

    Args:
        made: what is kept of it.
        code: whose hash is kept.
        public_url: where the group's node reaches this hub.
        federation: which it will join.
    """
    link = InvitationLink(public_url, code, Group(made.group), federation)
    return Invited(write_invitation(link), made.until)


async def invite(
    connection: AnyConnection,
    federation: FederationId,
    public_url: str,
    order: Invite,
    now: Instant,
) -> Invited:
    """Invite a group beside a server that may not run, on its own machine.

    That it is not there yet, and that nobody else need agree, the caller has seen.
    Earlier invitations of that name count no more.

    Args:
        connection: any.
        federation: which it will join.
        public_url: where its node reaches this hub.
        order: its name for ever, and its limits.
        now: the hub's time.
    """
    code = new_code()
    made = invitation_of(order, hash_code(code), now)
    async with connection.transaction():
        await log_store.end_invitations(connection, order.group, now)
        await log_store.write_invitation(connection, made)
    return hand_over(made, code, public_url, federation)
