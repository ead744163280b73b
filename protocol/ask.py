"""Asking for a payment: a signed link that anyone in the federation can open.

The asking member's group signs it with its signing key; the payer's node opens it
with the directory alone, so nobody stores anything and no server is asked. It moves
nothing: paying it is an ordinary order (protocol, section 16).
"""

import re
from typing import Literal

import msgspec

from protocol import jws, strict_json
from protocol.address import FederationId, Group, read_display_name, read_memo
from protocol.directory import Directory, GroupRecord
from protocol.errors import AskRefusalCode, MalformedMessageError, NotSignedError
from protocol.instant import Instant, read_instant
from protocol.keyring import SigningKey, key_id
from protocol.messages import (
    AccountField,
    AmountField,
    FederationField,
    GroupField,
    IdField,
    InstantField,
    NumberField,
)

ASK_TYP = "interlets-ask"
#: Of the signed text, bytes: whatever is longer, no node of ours has written.
ASK_LENGTH_MAX = 2048
#: Shorter than a payment's memo, so that the QR code stays one that phones read.
ASK_MEMO_LENGTH_MAX = 200
ASK_MEMO_BYTES_MAX = 600
ASK_DAYS_MAX = 90

#: How far the asking node's clock may run before the reader's.
ASK_EARLY_MS_MAX = 300_000

_DAY_MS = 86_400_000
_LINK = re.compile(r"https?://[^/?#\s]+/ask#")


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member asks for a payment (JWS ``interlets-ask``).

    ``amount`` is minor units of her group's unit as they are under rate version
    ``rate``; ``None`` when the payer chooses. It counts until ``until``.
    """

    v: Literal[1]
    federation: FederationField
    id: IdField
    group: GroupField
    account: AccountField
    name: str
    amount: AmountField | None
    rate: NumberField
    memo: str
    at: InstantField
    until: InstantField


_decoder = msgspec.json.Decoder(Ask)


def write_ask(ask: Ask, key: SigningKey) -> str:
    """Sign an ask with the asking member's group's signing key.

    Raises:
        MalformedMessageError: a name, memo or time that no ask may hold.
    """
    check_ask(ask)
    signed = jws.sign(strict_json.write(ask), key, ASK_TYP)
    assert len(signed) <= ASK_LENGTH_MAX, "every field has its limit"
    return signed


def write_link(public_url: str, signed: str) -> str:
    """Write an ask as a link; no server's log sees what stands behind the ``#``."""
    return f"{public_url}/ask#{signed}"


def check_ask(ask: Ask) -> None:
    """Check what types cannot: name, memo, and how long it counts."""
    read_display_name(ask.name)
    read_ask_memo(ask.memo)
    lasts_ms = read_instant(ask.until, "until") - read_instant(ask.at, "at")
    if not 0 < lasts_ms <= ASK_DAYS_MAX * _DAY_MS:
        raise MalformedMessageError(
            "until", ask.until, f"later than {ask.at} by at most {ASK_DAYS_MAX} days"
        )


def read_ask_memo(text: str) -> str:
    """Read an ask's memo: a memo of at most 200 characters and 600 bytes.

    The text itself is never repeated in the error: it belongs to two people.
    """
    read_memo(text)
    if len(text) > ASK_MEMO_LENGTH_MAX or len(text.encode()) > ASK_MEMO_BYTES_MAX:
        raise MalformedMessageError(
            "memo", f"{len(text)} characters", "at most 200 characters and 600 bytes"
        )
    return text


def read_ask(
    text: str, federation: FederationId, directory: Directory, now: Instant
) -> Ask | AskRefusalCode:
    """Open an ask; one that does not count is a lawful answer, not an exception.

    Args:
        text: the link, or the signed text behind its ``#``.
        federation: ours.
        directory: says which signing key is the group's now. An ask under an
            earlier key does not count: that key may have been lost.
        now: the reader's clock.

    Returns:
        The ask, or the first reason that applies, in the order of the codes.
    """
    text = text.strip()
    found = _LINK.match(text)
    signed = text[found.end() :] if found else text
    if len(signed) > ASK_LENGTH_MAX:
        return AskRefusalCode.TOO_LONG
    try:
        parts = jws.split(signed, ASK_TYP)
        # The group stands inside, so this reading is believed only once it verifies.
        ask = strict_json.read(parts.payload, _decoder, "ask")
        check_ask(ask)
    except MalformedMessageError:
        return AskRefusalCode.UNREADABLE
    # Made ahead, it would outlive what its group may let it.
    if read_instant(ask.at) > now + ASK_EARLY_MS_MAX:
        return AskRefusalCode.UNREADABLE
    if ask.federation != federation:
        return AskRefusalCode.OTHER_FEDERATION
    record = directory.get(Group(ask.group))
    if record is None:
        return AskRefusalCode.UNKNOWN_GROUP
    if not _is_signed(parts, record):
        return AskRefusalCode.NOT_SIGNED
    return _outlived(ask, record, now) or ask


def _is_signed(parts: jws.Jws, record: GroupRecord) -> bool:
    public = record.key("signing")
    if parts.kid != key_id(public):
        return False
    try:
        jws.check(parts, public)
    except NotSignedError:
        return False
    return True


def _outlived(ask: Ask, record: GroupRecord, now: Instant) -> AskRefusalCode | None:
    if now >= read_instant(ask.until):
        return AskRefusalCode.EXPIRED
    # Under another rate the same number may be other hours, or other decimals.
    if ask.amount is not None and ask.rate != record.rate_version:
        return AskRefusalCode.OUTDATED
    return None
