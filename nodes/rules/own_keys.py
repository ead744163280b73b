"""The group's own new keys: asking for them, and which key signs what meanwhile.

Either the old signing key names the new ones, in an item ``key.change``; or, where it
is lost or somebody else has it, the recovery key does, past the link. The new ones
count from the hub's numbered decision. Until it answers nothing is sealed behind the
change: what is sealed under the wrong key could never be taken, and would close the
link for ever (protocol, section 3).
"""

from collections.abc import Callable, Sequence

import msgspec

from nodes.rules.view import KeepRenewal, NodeView, ProposalState, Renewal
from protocol.address import HUB
from protocol.directory import ENTRY_LENGTH_MAX, GroupRecord, entry_key
from protocol.effects import ArrivedItem, CallPeople, Effect, Effects, SendItem
from protocol.errors import DirectoryRefusalCode, PeerError
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
from protocol.messages import (
    EntryKey,
    GroupEntry,
    ItemRefused,
    KeyChange,
    KeyChangeItem,
    KeySpan,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step


class ChangeKeys(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to change keys; the new ones are durable by now.

    Attributes:
        entry: the group's next entry.
        signed: the new signing key's JWS over it.
        author: the person who orders it.
        reason: in her words, if she gave any.
    """

    entry: GroupEntry
    signed: str
    author: str | None = None
    reason: str | None = None


class RecoverKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The recovery key names new keys; they are durable by now.

    Attributes:
        base: the group's newest entry, as the hub tells it: who has lost the keys may
            not have heard of it.
        entry: the one that follows.
        signed: the new signing key's JWS over it.
        statement: the recovery key's word for it.
        reason: as it stands in the statement.
    """

    base: GroupEntry
    entry: GroupEntry
    signed: str
    statement: str
    reason: str


class NotRenewed(msgspec.Struct, frozen=True):
    """Why no new keys were asked for."""

    code: DirectoryRefusalCode


#: Signs a statement with the old key.
SignChange = Callable[[KeyChange], str]


def next_keys(old: GroupEntry, keys: Sequence[EntryKey]) -> GroupEntry:
    """Write the entry that follows with other keys."""
    return msgspec.structs.replace(old, version=old.version + 1, keys=list(keys))


def signing_kid(entry: GroupEntry) -> str:
    """Give the id of an entry's signing key."""
    return key_id(entry_key(entry.keys, "signing"))


def decide_change_keys(
    view: NodeView, order: ChangeKeys, sign: SignChange, now: Instant
) -> Effects:
    """Name the new keys with the old one, as the last item of an envelope.

    The outcome is the ``Renewal``, or ``NotRenewed``.
    """
    if view.renewal is not None and view.renewal.is_waiting:
        return _no(DirectoryRefusalCode.KEYS_WAIT)
    own = view.trusted[view.group]
    number = view.next_number(HUB)
    entry = order.entry
    statement = sign(
        KeyChange(
            v=1,
            federation=entry.federation,
            group=entry.group,
            version=entry.version,
            keys=entry.keys,
            last=number,
        )
    )
    former = len(own.former) + 1
    code = _why_not(own.entry, former, entry, order.signed, statement, number)
    if not leaves_room(order.signed, former):
        code = DirectoryRefusalCode.ENTRY_TOO_LONG
    if code is not None:
        return _no(code)
    renewal = Renewal(
        number=number, entry=entry, signed=order.signed, statement=statement, at=now
    )
    line = write_line(KeyChangeItem(entry=order.signed, statement=statement))
    return Effects(
        Step.KEY_CHANGE, (KeepRenewal(renewal), SendItem(HUB, line)), renewal
    )


def decide_recover_keys(
    view: NodeView, order: RecoverKeys, first: GroupEntry, now: Instant
) -> Effects:
    """Keep what the recovery key has signed until the hub has decided on it.

    It takes the place of a change that waits: that one may be what the thief asked.

    Args:
        view: what the node knows.
        order: what was signed.
        first: the entry with which we joined, for before the hub's first decision.
        now: the node's time.
    """
    own = view.trusted.get(view.group)
    known, past = (first, ()) if own is None else (own.entry, own.former)
    # What we have not heard of may have brought former keys, one for each version.
    unheard = order.base.version - known.version
    is_ours = key_text(order.base, "recovery") == key_text(known, "recovery")
    if unheard < 0 or not is_ours or has_key_change(order.statement):
        return _no(DirectoryRefusalCode.ENTRY_CHANGED)
    count = len(past) + unheard + 1
    code = _why_not(order.base, count, order.entry, order.signed, order.statement, None)
    if code is not None:
        return _no(code)
    renewal = Renewal(
        number=view.links[HUB].sent,
        entry=order.entry,
        signed=order.signed,
        statement=order.statement,
        at=now,
        is_recovery=True,
    )
    wanted: list[Effect] = [KeepRenewal(renewal)]
    former = view.renewal
    if former is not None and former.is_waiting:
        wanted.insert(0, _answered(former, ProposalState.REPLACED, now))
    return Effects(Step.RECOVERY, wanted, renewal)


def _no(code: DirectoryRefusalCode) -> Effects:
    return Effects(None, (), NotRenewed(code))


def _why_not(
    base: GroupEntry,
    former: int,
    entry: GroupEntry,
    signed: str,
    statement: str,
    last: int | None,
) -> DirectoryRefusalCode | None:
    if len(signed) > ENTRY_LENGTH_MAX or not may_fit(signed, statement, former):
        return DirectoryRefusalCode.ENTRY_TOO_LONG
    try:
        check_same_but_keys(base, entry)
        check_statement(statement, base, entry, last)
    except PeerError:
        # It followed the entry that counted when it was signed, a moment ago.
        return DirectoryRefusalCode.ENTRY_CHANGED
    return None


def _answered(renewal: Renewal, state: ProposalState, now: Instant) -> KeepRenewal:
    return KeepRenewal(msgspec.structs.replace(renewal, state=state, answered_at=now))


def answers_about_keys(
    view: NodeView, record: GroupRecord, now: Instant
) -> Sequence[Effect]:
    """Say what a decision on our own group means for the keys that we asked for.

    Another entry of that version leaves no room for them: the hub says no, or will.
    """
    answers: list[Effect] = []
    waiting = view.renewal
    if (
        waiting is not None
        and waiting.is_waiting
        and waiting.signed != record.signed
        and waiting.entry.version <= record.entry.version
    ):
        answers.append(_answered(waiting, ProposalState.REFUSED, now))
    asked = view.renewed.get(record.signed)
    if asked is not None and asked.state is not ProposalState.APPROVED:
        answers.append(_answered(asked, ProposalState.APPROVED, now))
    return answers


def is_refused_change(view: NodeView, arrived: ArrivedItem) -> bool:
    """Say whether an ``item.refused`` is the hub's no to a change of keys."""
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    line = view.sent_lines.get((arrived.peer, refused.number), b"")
    is_ours = isinstance(read_item(line), KeyChangeItem)
    return is_ours and line_hash(line) == refused.hash


def decide_refused_change(
    view: NodeView, arrived: ArrivedItem, now: Instant
) -> Effects:
    """Take the hub's no: the old keys stay, and people are told."""
    refused, renewal = arrived.item, view.renewal
    assert isinstance(refused, ItemRefused)
    text = (
        "the hub did not take the group's new keys; the old ones stay in force (it"
        " takes one change an hour, and none while a group is frozen)"
    )
    call = CallPeople("own-keys", text)
    if (
        renewal is None
        or renewal.is_recovery
        or not renewal.is_waiting
        or renewal.number != refused.number
    ):
        return Effects(None, ())
    ended = _answered(renewal, ProposalState.REFUSED, now)
    return Effects(Step.PROPOSAL_ANSWERED, (ended, call))


def span_at(
    record: GroupRecord | None, first: GroupEntry, number: int
) -> KeySpan | None:
    """Find which key signs our item of a number.

    Args:
        record: our own, as far as we trust it; ``None``: the hub has yet to send it.
        first: the entry with which we joined.
        number: of the item in our stream.
    """
    spans = [KeySpan(signing_kid(first), 1, None)] if record is None else record.keys
    for span in spans:
        if span.first <= number and (span.last is None or number <= span.last):
            return span
    return None


def sealable_to(renewal: Renewal | None, number: int) -> int | None:
    """Say up to which item may be sealed while new keys wait; 0: not even this one.

    ``None``: nothing waits.
    """
    if renewal is None or not renewal.is_waiting:
        return None
    return renewal.number if number <= renewal.number else 0


def cover_kids(
    record: GroupRecord | None,
    first: GroupEntry,
    renewal: Renewal | None,
    acknowledged: int,
) -> list[str]:
    """Say which key most likely counts for a cover now, the likeliest first.

    The hub may know more than we do, or less: whoever is not heard tries the next.

    Args:
        record: our own, as far as we trust it.
        first: the entry with which we joined.
        renewal: the newest keys that we asked for.
        acknowledged: highest of our items that the hub says it has taken.
    """
    current = signing_kid(first if record is None else record.entry)
    if renewal is None or not renewal.is_waiting:
        return [current]
    likely = [current, signing_kid(renewal.entry)]
    if renewal.is_recovery or acknowledged >= renewal.number:
        likely.reverse()
    return likely
