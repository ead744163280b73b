"""A group may join: what of an invitation the clerk decides.

Whoever is invited is admitted at once, with these limits, so that where there are two
admins an invitation is a dangerous act of its own (docs/decisions/0060). The code in
the link is made by whoever asks, and is kept nowhere; here only its hash is seen.
"""

import msgspec

from clearing.rules.groups import no
from clearing.rules.view import HubView, Invitation, KeepInvitation
from protocol.address import Group
from protocol.effects import Effects
from protocol.errors import DirectoryRefusalCode
from protocol.instant import Instant
from protocol.steps import Step

INVITATION_DAYS = 7
INVITATION_MS = INVITATION_DAYS * 86_400_000


class Invite(msgspec.Struct, frozen=True):
    """The regional admin invites a group, with limits in milliseconds."""

    group: Group
    floor: int
    ceiling: int


def decide_invite(
    view: HubView, order: Invite, code_hash: str, now: Instant
) -> Effects:
    """Keep an invitation; earlier ones of that name count no more.

    The outcome is the ``Invitation``, or ``NotDecided``.
    """
    if order.group in view.directory:
        return no(DirectoryRefusalCode.GROUP_THERE, order.group)
    made = invitation_of(order, code_hash, now)
    return Effects(Step.INVITE, (KeepInvitation(made, now),), made)


def invitation_of(order: Invite, code_hash: str, now: Instant) -> Invitation:
    """Write the invitation that an order makes."""
    assert order.floor <= 0 <= order.ceiling, "callers parse limits"
    assert code_hash, "whoever asks makes a code"
    return Invitation(
        code_hash=code_hash,
        group=order.group,
        floor=order.floor,
        ceiling=order.ceiling,
        until=Instant(now + INVITATION_MS),
        request_hash=None,
    )
