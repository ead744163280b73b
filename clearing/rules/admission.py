"""A group is admitted by its invitation."""

import msgspec

from clearing.rules.view import (
    RESERVE,
    AppendDecision,
    HubView,
    Invitation,
    SpendInvitation,
)
from protocol.address import HUB, Group
from protocol.directory import ENTRY_LENGTH_MAX, entry_key, fold
from protocol.effects import (
    Effect,
    Effects,
    OpenAccount,
    OpenLink,
    SaveGroup,
    SendItem,
)
from protocol.instant import Instant, write_instant
from protocol.keyring import key_id
from protocol.ledger import (
    TIME_UNIT,
    Account,
    AccountKind,
)
from protocol.messages import (
    DirectoryDecision,
    GroupEntry,
    KeySpan,
    write_line,
)
from protocol.steps import Step


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """A group's request to be admitted; its signatures were checked."""

    entry: GroupEntry
    signed: str
    code_hash: str
    request_hash: str


class AdmissionRefused(msgspec.Struct, frozen=True):
    """Why a group was not admitted, in a sentence for its treasurer."""

    told: str


def decide_admission(view: HubView, admission: Admission, now: Instant) -> Effects:
    """Admit a group: an account, a decision to all, the directory for itself.

    The outcome is the group's record, or ``AdmissionRefused``. The same request
    again gets the same answer.
    """
    group = Group(admission.entry.group)
    invitation = view.invitations.get(admission.code_hash)
    if invitation is not None and invitation.request_hash == admission.request_hash:
        return Effects(None, (), view.directory[group])
    told = _why_not(view, admission, invitation, now)
    if told is None and len(admission.signed) > ENTRY_LENGTH_MAX:
        told = "The group's entry is too long."
    if told is not None or invitation is None:
        return Effects(None, (), AdmissionRefused(told or ""))
    decision = DirectoryDecision(
        log=view.log,
        number=view.size,
        at=write_instant(now),
        group=group,
        entry=admission.signed,
        state="active",
        floor=invitation.floor,
        ceiling=invitation.ceiling,
        keys=[KeySpan(_signing_kid(admission.entry), 1, None)],
    )
    line = write_line(decision)
    directory = fold(view.directory, decision, line, view.federation)
    position = Account(
        account_id=group,
        kind=AccountKind.GROUP,
        unit=TIME_UNIT,
        floor=invitation.floor,
        ceiling=invitation.ceiling,
    )
    wanted: list[Effect] = [
        SpendInvitation(admission.code_hash, admission.request_hash, now),
        OpenAccount(position),
        OpenLink(group),
        AppendDecision(view.log, view.size, line),
        SaveGroup(directory[group]),
    ]
    # A new node folds the directory from its first decision on.
    wanted += [SendItem(group, former) for former in view.history]
    wanted += [SendItem(other, line) for other in sorted(directory)]
    return Effects(Step.ADMIT, wanted, directory[group])


def _why_not(
    view: HubView,
    admission: Admission,
    invitation: Invitation | None,
    now: Instant,
) -> str | None:
    """Say why a group cannot be admitted, or ``None``."""
    entry = admission.entry
    if invitation is None or invitation.group != entry.group:
        return f"This invitation is not one of ours for {entry.group!r}."
    if invitation.request_hash is not None:
        return "This invitation has been used; ask the regional admin for another."
    if now >= invitation.until:
        return "This invitation has expired; ask the regional admin for another."
    if entry.group in (HUB, RESERVE):
        return f"{entry.group!r} is a name of the hub's own."
    if Group(entry.group) in view.directory:
        return f"A group {entry.group!r} is already there; names are given once."
    if entry.version != 1 or len(entry.rates) != 1:
        return "A new group's entry has version 1 and one rate."
    used = {key.key for record in view.directory.values() for key in record.entry.keys}
    used |= view.own_keys
    if any(key.key in used for key in entry.keys):
        return "One of these keys is already in use; make new ones."
    return None


def _signing_kid(entry: GroupEntry) -> str:
    return key_id(entry_key(entry.keys, "signing"))
