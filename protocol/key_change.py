"""Who may give a group new keys: its old signing key, or its recovery key.

A hub could otherwise slip in a key of its own. So a change of keys comes with a
statement that names the new entry's version and all of its keys; the new entry itself
is signed by the new signing key. Here is the law by which everybody judges such a
statement. Who makes one, and when, is ``nodes.rules.own_keys``; how the hub decides on
it ``clearing.rules.keys``. Whose word counts when nobody vouches is the business of
``protocol.directory``.
"""

from collections.abc import Sequence

import msgspec

from protocol import jws, strict_json
from protocol.address import FederationId, read_reason
from protocol.base64url import read_base64url
from protocol.errors import MalformedMessageError, NotSignedError
from protocol.keyring import SigningKey, check_signing_key, key_id
from protocol.messages import (
    ITEM_LENGTH_MAX,
    DirectoryDecision,
    GroupEntry,
    KeyChange,
    KeysDecision,
    KeySpan,
    Recovery,
    RecoveryRequest,
    key_change_decoder,
    recovery_decoder,
    recovery_request_decoder,
)

KEY_CHANGE_TYP = "interlets-key-change"
RECOVERY_TYP = "interlets-recovery"
RECOVERY_REQUEST_TYP = "interlets-recovery-request"
#: What a decision holds beside the entry, its statement and former keys, in letters.
_DECISION_LENGTH = 400
#: A former key with its span, in letters; numbers have at most 16.
_FORMER_LENGTH = 130
#: So many recoveries must still fit beside an entry, each one letter longer.
_RECOVERIES = 16
#: The longest that a recovery key signs: a reason of 2000 bytes, and three keys.
STATEMENT_LENGTH_MAX = 4000


def sign_key_change(change: KeyChange, old: SigningKey) -> str:
    """Sign new keys with the old signing key."""
    return jws.sign(strict_json.write(change), old, KEY_CHANGE_TYP)


def sign_recovery(recovery: Recovery, key: SigningKey) -> str:
    """Sign new keys with the recovery key."""
    return jws.sign(strict_json.write(recovery), key, RECOVERY_TYP)


def check_statement(
    signed: str, before: GroupEntry, entry: GroupEntry, last: int | None
) -> None:
    """Check that a statement vouches for the keys of the entry that follows.

    Args:
        signed: the statement.
        before: the entry whose signing or recovery key must have signed it.
        entry: the one that follows; its own signature was checked.
        last: last item number of the old signing key as the hub tells it; ``None``
            when that key stays.

    Raises:
        MalformedMessageError: not such a statement.
        NotSignedError: by another key, or about something else.
    """
    try:
        parts = jws.split(signed, KEY_CHANGE_TYP)
    except MalformedMessageError:
        _check_recovery(jws.split(signed, RECOVERY_TYP), before, entry)
    else:
        _check_key_change(parts, before, entry, last)


def has_key_change(signed: str) -> bool:
    """Say whether a statement claims to be the old signing key's, and no other's."""
    try:
        jws.split(signed, KEY_CHANGE_TYP)
    except MalformedMessageError:
        return False
    return True


def may_fit(entry: str, statement: str | None, former: int) -> bool:
    """Say whether a decision on an entry fits an item, with so many former keys."""
    length = len(entry) + len(statement or "") + former * _FORMER_LENGTH
    return length + _DECISION_LENGTH <= ITEM_LENGTH_MAX


def leaves_room(entry: str, former: int) -> bool:
    """Say whether recoveries will still fit behind an entry with former keys.

    What only the recovery key may use: who holds the signing key alone could else
    fill a group's decisions with keys, until no recovery fits.
    """
    longest = STATEMENT_LENGTH_MAX + _RECOVERIES * (_FORMER_LENGTH + 1)
    length = len(entry) + former * _FORMER_LENGTH + longest
    return length + _DECISION_LENGTH <= ITEM_LENGTH_MAX


def write_recovery_request(request: RecoveryRequest, key: SigningKey) -> str:
    """Write what a group sends the hub with its recovery key's word."""
    return jws.sign(strict_json.write(request), key, RECOVERY_REQUEST_TYP)


def read_recovery_request(
    raw: bytes, federation: FederationId
) -> tuple[RecoveryRequest, jws.Jws]:
    """Read such a request; that the entry's key has signed it, the caller checks.

    Raises:
        MalformedMessageError: not such a request.
        NotSignedError: for another federation.
    """
    parts = jws.split(raw, RECOVERY_REQUEST_TYP)
    request = strict_json.read(parts.payload, recovery_request_decoder, parts.typ)
    if request.federation != federation:
        raise NotSignedError("recovery request: for another federation")
    return request, parts


def _check_key_change(
    parts: jws.Jws, before: GroupEntry, entry: GroupEntry, last: int | None
) -> None:
    payload = _check_signature(parts, before, "signing")
    change = strict_json.read(payload, key_change_decoder, KEY_CHANGE_TYP)
    _check_about(change, entry)
    if last is not None and change.last != last:
        raise NotSignedError(f"key change: signs up to item {change.last}, not {last}")
    # Who holds the signing key alone could otherwise shut its group out for ever.
    if key_text(before, "recovery") != key_text(entry, "recovery"):
        raise NotSignedError("key change: only the recovery key replaces itself")


def _check_recovery(parts: jws.Jws, before: GroupEntry, entry: GroupEntry) -> None:
    payload = _check_signature(parts, before, "recovery")
    recovery = strict_json.read(payload, recovery_decoder, RECOVERY_TYP)
    _check_about(recovery, entry)
    read_reason(recovery.reason)


def _check_signature(parts: jws.Jws, before: GroupEntry, use: str) -> bytes:
    public = read_base64url(key_text(before, use), f"{use} key")
    if parts.kid != key_id(public):
        raise NotSignedError(f"{parts.typ}: not signed by the group's {use} key")
    return jws.check(parts, public)


def _check_about(statement: KeyChange | Recovery, entry: GroupEntry) -> None:
    said = (statement.federation, statement.group, statement.version, statement.keys)
    if said != (entry.federation, entry.group, entry.version, entry.keys):
        raise NotSignedError("keys: the statement is about another entry")


def key_text(entry: GroupEntry, use: str) -> str:
    """Give a key of an entry that was checked, as it is written there."""
    return next(key.key for key in entry.keys if key.use == use)


def check_same_but_keys(old: GroupEntry, entry: GroupEntry) -> None:
    """Check that an entry is the next version, and other in its keys alone.

    Raises:
        MalformedMessageError: a version used before, or something else is new too.
    """
    if entry.version != old.version + 1:
        expected = f"version {old.version + 1}, for the keys are new"
        raise MalformedMessageError("entry version", entry.version, expected)
    if msgspec.structs.replace(entry, version=old.version, keys=old.keys) != old:
        raise MalformedMessageError("entry", "more than keys", "nothing new but keys")


def former_keys(decision: DirectoryDecision) -> list[str]:
    """Give the public keys that a group signed with before, oldest first."""
    return decision.former if isinstance(decision, KeysDecision) else []


def check_spans(decision: DirectoryDecision, entry: GroupEntry) -> None:
    """Check that the former keys are named, and that no item has two keys or none.

    A decision of kind ``directory`` tells of no former keys; its one span is read
    where the key is looked up.

    Raises:
        MalformedMessageError: keys and item numbers that do not belong together.
        WeakKeyError: a former key that could never have been registered.
    """
    if not isinstance(decision, KeysDecision):
        return
    texts = [*decision.former, key_text(entry, "signing")]
    publics = [read_base64url(text, "former key") for text in texts]
    kids = [key_id(public) for public in publics]
    if [span.kid for span in decision.keys] != kids or len(set(kids)) != len(kids):
        raise MalformedMessageError("keys", kids, "one span for each signing key")
    for public in publics[:-1]:
        check_signing_key(public)
    if not _is_gapless(decision.keys):
        raise MalformedMessageError("keys", "item numbers", "one key for each item")


def _is_gapless(spans: Sequence[KeySpan]) -> bool:
    """Say whether each span begins behind the one before; the last may be open.

    One may be empty: its key was replaced before it signed an item.
    """
    firsts = [1] + [0 if span.last is None else span.last + 1 for span in spans]
    return all(
        span.first == first and (span.last is None or span.last >= span.first - 1)
        for span, first in zip(spans, firsts, strict=False)
    )


def check_spans_follow(
    before: Sequence[KeySpan], decision: DirectoryDecision
) -> int | None:
    """Check that a decision keeps what was told of former keys.

    Returns:
        The last item number of the key that was replaced; ``None`` when the signing
        key is as it was.

    Raises:
        MalformedMessageError: another past than was told before.
    """
    spans = decision.keys
    is_kept = list(spans[: len(before) - 1]) == list(before[:-1])
    if not is_kept or len(spans) - len(before) not in (0, 1):
        raise MalformedMessageError("keys", "former item numbers", "what they were")
    last, now = before[-1], spans[len(before) - 1]
    if (now.kid, now.first) != (last.kid, last.first):
        raise MalformedMessageError("keys", now.kid, f"{last.kid} from {last.first}")
    return now.last if len(spans) > len(before) else None
