"""A group's new keys: taken by its old key's word, or by its recovery key's.

Nobody is asked: who holds the keys speaks for the group. Everybody is told by a
decision of kind ``keys``, with the statement that vouches for them. The old key ends
with the item that named the new ones; after a recovery, with the last item that the
group has sealed under it, which may still be on its way (protocol, section 3).
"""

import msgspec

from clearing.rules.groups import NotDecided, decide_on, end_proposal, telling
from clearing.rules.view import HubView, ProposalState
from protocol.address import Group
from protocol.directory import ENTRY_LENGTH_MAX, GroupRecord, read_entry
from protocol.effects import ArrivedItem, Effect, Effects, refuse_item
from protocol.envelope import ITEMS_MAX
from protocol.errors import DirectoryRefusalCode, ItemRefusalCode, PeerError
from protocol.instant import Instant
from protocol.key_change import (
    check_same_but_keys,
    check_statement,
    has_key_change,
    key_text,
    leaves_room,
    may_fit,
)
from protocol.keyring import key_id
from protocol.messages import GroupEntry, KeyChangeItem, KeySpan
from protocol.steps import Step

#: From one change of keys to the next by an old key's word; a recovery never waits.
CHANGE_MS = 60 * 60 * 1000


class RecoverKeys(msgspec.Struct, frozen=True, kw_only=True):
    """A group's request for keys by its recovery key; its own signature was checked.

    Attributes:
        entry: the group's next entry.
        signed: the new signing key's JWS over it.
        statement: the recovery key's word for it.
        sent: the highest item number that the group sealed under its old keys.
    """

    entry: GroupEntry
    signed: str
    statement: str
    sent: int


def decide_key_change(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Take a group's new keys from its link; they count from the next item on."""
    item = arrived.item
    assert isinstance(item, KeyChangeItem)
    group = Group(arrived.peer)
    try:
        entry = read_entry(item.entry, view.federation)
    except PeerError:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.UNREADABLE),))
    if entry.group != group:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    changed = None
    record = view.directory[group]
    # What stood behind it would be signed by a key that has just ended.
    is_fit = arrived.is_last and has_key_change(item.statement)
    if is_fit and not telling(view, group) and _may_change(record, item.entry, now):
        changed = _renewed(view, record, entry, item.entry, item.statement)
        last = arrived.number
        if changed is not None and _vouches(item.statement, record, entry, last):
            effects = _decide(view, record, changed, item.statement, last, now)
            # The envelope's own outcome is what was taken of it.
            return msgspec.structs.replace(effects, outcome=None)
    return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_APPROVED),))


def _may_change(record: GroupRecord, signed: str, now: Instant) -> bool:
    """Say whether a group's signing key may name another now.

    Somebody may have stolen it: a freeze holds him, so does the hour between two
    changes, and he leaves the recovery key its room.
    """
    at = record.renewed_at
    is_soon = at is not None and 0 <= now - at < CHANGE_MS
    has_room = leaves_room(signed, len(record.former) + 1)
    return record.state != "frozen" and not is_soon and has_room


def decide_recovery(view: HubView, order: RecoverKeys, now: Instant) -> Effects:
    """Take a group's new keys by its recovery key's word.

    The outcome is the group's record, also when it is so already, or ``NotDecided``.
    """
    group = Group(order.entry.group)
    record, link = view.directory.get(group), view.links.get(group)
    if record is None or link is None:
        return _no(DirectoryRefusalCode.NO_SUCH_GROUP, group)
    if record.signed == order.signed:
        return Effects(None, (), record)
    # The group's own node cannot be asked: that the hub cannot hear it is the point.
    others = [other for other in telling(view, group) if other != group]
    if others:
        return _no(DirectoryRefusalCode.HUB_BEHIND, others[0])
    changed = _renewed(view, record, order.entry, order.signed, order.statement)
    is_vouched = not has_key_change(order.statement) and _vouches(
        order.statement, record, order.entry, None
    )
    if changed is None or not is_vouched or order.sent > link.taken + ITEMS_MAX:
        return _no(DirectoryRefusalCode.ENTRY_CHANGED, group)
    # What was sealed before is on its way, and is resent as it is.
    last = max(link.taken, order.sent, record.keys[-1].first - 1)
    return _decide(view, record, changed, order.statement, last, now)


def _no(code: DirectoryRefusalCode, group: Group) -> Effects:
    return Effects(None, (), NotDecided(code, group))


def _vouches(
    statement: str, record: GroupRecord, entry: GroupEntry, last: int | None
) -> bool:
    try:
        check_statement(statement, record.entry, entry, last)
    except PeerError:
        return False
    return True


def _renewed(
    view: HubView, record: GroupRecord, entry: GroupEntry, signed: str, statement: str
) -> GroupRecord | None:
    """Give the record with other keys; ``None`` where that can never be.

    All three may not stay, and the signing key must be new: a former one comes back
    to nobody.
    """
    used = view.own_keys.union(*(one.used for one in view.directory.values()))
    fresh = {key.key for key in entry.keys if key not in record.entry.keys}
    former = [*record.former, key_text(record.entry, "signing")]
    if key_text(entry, "signing") not in fresh or fresh & used:
        return None
    is_short = len(signed) <= ENTRY_LENGTH_MAX
    if not is_short or not may_fit(signed, statement, len(former)):
        return None
    try:
        check_same_but_keys(record.entry, entry)
    except PeerError:
        return None
    return msgspec.structs.replace(
        record, entry=entry, signed=signed, former=tuple(former)
    )


def _decide(
    view: HubView,
    record: GroupRecord,
    changed: GroupRecord,
    statement: str,
    last: int,
    now: Instant,
) -> Effects:
    """End the old key with an item, and tell everyone of the new ones."""
    *ended, open_span = record.keys
    kid = key_id(changed.key("signing"))
    spans = (
        *ended,
        msgspec.structs.replace(open_span, last=last),
        KeySpan(kid, last + 1, None),
    )
    changed = msgspec.structs.replace(changed, keys=spans)
    more: list[Effect] = []
    proposal = view.proposals.get(Group(record.entry.group))
    if proposal is not None and proposal.is_waiting:
        # Its version is taken now, and its signature is by a former key.
        more += end_proposal(proposal, ProposalState.REFUSED, now)
    return decide_on(view, changed, now, more, statement=statement, step=Step.KEYS)
