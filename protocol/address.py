"""Names of groups and accounts, and the ids that both servers compute alike.

A name identifies; a display name never does. Nothing here knows whether a name
exists: that is ``nodes`` and ``clearing``.
"""

import hashlib
import re
import unicodedata
import uuid
from typing import NewType

from protocol.errors import MalformedMessageError

Group = NewType("Group", str)
AccountName = NewType("AccountName", str)
TransferId = NewType("TransferId", str)
FederationId = NewType("FederationId", str)

#: The hub's name in envelopes; no group may have it.
HUB = Group("hub")
#: The hub's common account, beside the groups' positions; no group may have its name.
RESERVE = Group("reserve")

GROUP_PATTERN = r"^[a-z][a-z0-9-]{1,31}$"
ACCOUNT_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,31}$"
ADDRESS_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,31}@[a-z][a-z0-9-]{1,31}$"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
# The last of 43 letters carries four bits, so only sixteen of them may stand there.
FEDERATION_PATTERN = r"^[a-z][a-z0-9-]{1,31}#[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"

DISPLAY_NAME_LENGTH_MAX = 80
MEMO_LENGTH_MAX = 500
MEMO_BYTES_MAX = 2000
IDEMPOTENCY_KEY_LENGTH_MAX = 200

#: Format characters that turn or hide text (Unicode Bidi_Control).
_BIDIRECTIONAL = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
#: Letters and marks that are drawn as nothing: those of Unicode's Default_Ignorable
#: that no category below names, and Braille without a dot.
_FILLERS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
) | {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}

# fullmatch everywhere: "$" alone would let a final newline pass.
_group = re.compile(GROUP_PATTERN[1:-1], re.ASCII)
_account = re.compile(ACCOUNT_PATTERN[1:-1], re.ASCII)
_federation = re.compile(FEDERATION_PATTERN[1:-1], re.ASCII)
#: A transfer's id as texts write it.
UUID = re.compile(UUID_PATTERN[1:-1], re.ASCII)
_idempotency_key = re.compile(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_LENGTH_MAX}}}")


def read_group(text: str) -> Group:
    """Read a group's name; raises ``MalformedMessageError``."""
    if not _group.fullmatch(text) or text == HUB:
        raise MalformedMessageError(
            "group", text, "2 to 32 of a-z, 0-9 and '-', a letter first, not 'hub'"
        )
    return Group(text)


def read_account(text: str) -> AccountName:
    """Read an account's name; raises ``MalformedMessageError``."""
    if not _account.fullmatch(text):
        raise MalformedMessageError(
            "account", text, "1 to 32 of a-z, 0-9, '.', '_' and '-', no sign first"
        )
    return AccountName(text)


def read_address(text: str) -> tuple[AccountName, Group]:
    """Read ``account@group``; raises ``MalformedMessageError``."""
    account, at, group = text.partition("@")
    if not at:
        raise MalformedMessageError("address", text, "account@group, as marie@mechelen")
    return read_account(account), read_group(group)


def write_address(account: AccountName, group: Group) -> str:
    """Write ``account@group``."""
    return f"{account}@{group}"


def read_federation(text: str) -> FederationId:
    """Read a federation's whole id; raises ``MalformedMessageError``."""
    if not _federation.fullmatch(text):
        raise MalformedMessageError(
            "federation", text, "the hub's name, '#' and 43 characters"
        )
    return FederationId(text)


def _hidden_character(text: str, *, allowed: str = "") -> str | None:
    """Name the first character that nobody sees, and its place; ``None``: none is."""
    for place, character in enumerate(text, 1):
        if character not in allowed and (
            unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
            or character in _BIDIRECTIONAL
        ):
            return f"U+{ord(character):04X} as character {place}"
    return None


def _is_invisible(character: str) -> bool:
    """Say whether a character shows nothing, or not the same thing everywhere."""
    return unicodedata.category(character) in {"Cf", "Co", "Cn"} or (
        character in _FILLERS
    )


def read_display_name(text: str) -> str:
    """Read a name for people: NFC, at most 80 characters, nothing hidden.

    Joiners and variation selectors are refused in emoji and Indic text as well: two
    names that look alike may not be two people.

    Raises:
        MalformedMessageError: empty, too long, not NFC, or with control,
            bidirectional, invisible or unknown characters.
    """
    if (
        not text.strip()
        or len(text) > DISPLAY_NAME_LENGTH_MAX
        or _hidden_character(text) is not None
        or any(map(_is_invisible, text))
        or not unicodedata.is_normalized("NFC", text)
    ):
        raise MalformedMessageError(
            "name", text, "1 to 80 visible characters (NFC), no control characters"
        )
    return text


def read_memo(text: str) -> str:
    """Read a memo: at most 500 characters and 2,000 bytes, nothing hidden.

    The text itself is never repeated in the error: it belongs to two people.
    """
    return _read_plain_text(text, "memo")


def read_reason(text: str) -> str:
    """Read why a treasurer booked something: as a memo, but never left out.

    Like a memo it is not repeated in the error.
    """
    if not text.strip():
        raise MalformedMessageError("reason", f"{len(text)} characters", "a reason")
    return _read_plain_text(text, "reason")


def _read_plain_text(text: str, field: str) -> str:
    found = f"{len(text)} characters"
    hidden = _hidden_character(text, allowed="\n")
    if hidden is not None or not unicodedata.is_normalized("NFC", text):
        # Where it stands, and nothing of what stands around it.
        raise MalformedMessageError(
            field, hidden or found, "plain text (NFC) without hidden marks"
        )
    if len(text) > MEMO_LENGTH_MAX or len(text.encode()) > MEMO_BYTES_MAX:
        raise MalformedMessageError(
            field, found, "at most 500 characters and 2000 bytes"
        )
    return text


def read_idempotency_key(text: str) -> str:
    """Read an Idempotency-Key: 1 to 200 visible ASCII characters."""
    if not _idempotency_key.fullmatch(text):
        raise MalformedMessageError(
            "Idempotency-Key", text, "1 to 200 visible ASCII characters"
        )
    return text


def federation_id(slug: Group, root_key_hash: str) -> FederationId:
    """Name a federation by its hub's slug and the hash of its root key.

    Args:
        slug: what people call it, in the form of a group's name.
        root_key_hash: unpadded base64url SHA-256 of the root key, 43 characters.
    """
    return read_federation(f"{slug}#{root_key_hash}")


def transfer_id(
    federation: FederationId, payer: str, idempotency_key: str
) -> TransferId:
    """Name a transfer so that a retry is the same transfer, even after a restore.

    A UUID of version 8 (RFC 9562, section 5.8) from SHA-256 over the three
    texts, each ended by a newline; none of them can hold one.

    Args:
        federation: the whole federation id.
        payer: address of the paying account.
        idempotency_key: as the member's program gave it.
    """
    digest = hashlib.sha256(f"{federation}\n{payer}\n{idempotency_key}\n".encode())
    number = int.from_bytes(digest.digest()[:16])
    number &= ~(0xF << 76) & ~(0x3 << 62)
    number |= (0x8 << 76) | (0x2 << 62)
    return TransferId(str(uuid.UUID(int=number)))
