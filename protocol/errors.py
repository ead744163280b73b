"""Whose fault it is, and every lawful "no".

An exception is for what a peer, a network or a disk did; its class names the
guilty party. A refusal is a value (``RefusalCode``), because "no" is a normal
answer. Messages hold the field and the value found; never a key, a password or
a memo.
"""

from enum import StrEnum

#: Longest piece of a found value that a message repeats, in characters.
_FOUND_LENGTH_MAX = 80


class InterletsError(Exception):
    """Anything that this project raises on purpose."""


class PeerError(InterletsError):
    """The other side broke the protocol: answer 4xx, count it, go on."""


class OutageError(InterletsError):
    """Something is away for now: try later, under the same key."""


class RestoredError(OutageError):
    """This server was restored and has not compared yet: look, but change nothing."""


class LedgerBrokenError(InterletsError):
    """The books contradict themselves: stop and call a person."""


class MalformedMessageError(PeerError):
    """A field cannot be what it claims to be.

    Args:
        field: path of the field, as the reader knows it.
        found: what stood there; shortened, and made printable.
        expected: what should have stood there, as a short phrase.
    """

    def __init__(self, field: str, found: object, expected: str | None = None) -> None:
        self.field = field
        shown = ascii(found) if isinstance(found, bytes) else repr(found)
        if len(shown) > _FOUND_LENGTH_MAX:
            shown = shown[:_FOUND_LENGTH_MAX] + "..."
        tail = f"; expected {expected}" if expected else ""
        super().__init__(f"{field}: cannot read {shown}{tail}")


class NotSignedError(PeerError):
    """Not signed by a key that speaks for the claimed sender."""


class WeakKeyError(PeerError):
    """A public key that must never be registered (protocol, section 3)."""


class RefusalCode(StrEnum):
    """Why a transfer is refused, in order of precedence (protocol, section 7).

    The first group is said by the payer's node, the second by the hub, the
    third by the payee's node.
    """

    ACCOUNT_CLOSED = "account-closed"
    ACCOUNT_FROZEN = "account-frozen"
    SAME_ACCOUNT = "same-account"
    AMOUNT_TOO_SMALL = "amount-too-small"
    PAYER_FLOOR = "payer-floor"
    HUB_UNREACHABLE = "hub-unreachable"

    UNKNOWN_GROUP = "unknown-group"
    GROUP_LEFT = "group-left"
    GROUP_FROZEN = "group-frozen"
    AMOUNT_OUT_OF_RANGE = "amount-out-of-range"
    DEADLINE_OUT_OF_RANGE = "deadline-out-of-range"
    RATE_CHANGED = "rate-changed"
    REFUND_UNKNOWN = "refund-unknown"
    REFUND_TOO_LARGE = "refund-too-large"
    PAYER_GROUP_LEAVING = "payer-group-leaving"
    PAYER_GROUP_FLOOR = "payer-group-floor"
    PAYEE_GROUP_LEAVING = "payee-group-leaving"
    PAYEE_GROUP_CEILING = "payee-group-ceiling"
    MONTH_CAP = "month-cap"
    PAYEE_UNREACHABLE = "payee-unreachable"
    CANCELLED = "cancelled"
    UNKNOWN_TRANSFER = "unknown-transfer"

    KEYS_NOT_ACCEPTED = "keys-not-accepted"
    NOT_SIGNED_BY_PAYER_GROUP = "not-signed-by-payer-group"
    HISTORY_DIFFERS = "history-differs"
    CONTENT_UNREADABLE = "content-unreadable"
    AMOUNT_MISMATCH = "amount-mismatch"
    UNKNOWN_ACCOUNT = "unknown-account"
    PAYEE_CANNOT_RECEIVE = "payee-cannot-receive"


#: What a payee's node may say no with; the other codes are not its to say.
PAYEE_CODES = frozenset(
    {
        RefusalCode.KEYS_NOT_ACCEPTED,
        RefusalCode.NOT_SIGNED_BY_PAYER_GROUP,
        RefusalCode.HISTORY_DIFFERS,
        RefusalCode.CONTENT_UNREADABLE,
        RefusalCode.AMOUNT_MISMATCH,
        RefusalCode.UNKNOWN_ACCOUNT,
        RefusalCode.PAYEE_CANNOT_RECEIVE,
    }
)


class TreasurerRefusalCode(StrEnum):
    """Why a treasurer's wish about her own ledger is refused; nothing was changed.

    They concern one group alone, so no other server ever hears of them.
    """

    NAME_TAKEN = "name-taken"
    NAME_RESERVED = "name-reserved"
    LIMITS_CROSSED = "limits-crossed"
    LIMITS_NOT_AROUND_ZERO = "limits-not-around-zero"
    BALANCE_NOT_ZERO = "balance-not-zero"
    STILL_HELD = "still-held"
    ACCOUNT_TWICE = "account-twice"
    ROWS_WRONG = "rows-wrong"

    NO_SUCH_ACCOUNT = "no-such-account"
    NOT_FOR_PEOPLE = "not-for-people"
    MEMBER_CLOSED = "member-closed"
    MEMBER_FROZEN = "member-frozen"
    MEMBER_FLOOR = "member-floor"
    MEMBER_CEILING = "member-ceiling"

    BETWEEN_GROUPS = "between-groups"
    CORRECTED_BEFORE = "corrected-before"
    REFUNDED_BEFORE = "refunded-before"

    LAST_TREASURER = "last-treasurer"


class OrderRefusalCode(StrEnum):
    """Why a node does not even look at an order; nothing is kept under its key."""

    TOO_MANY_REFUSED = "too-many-refused"


class ItemRefusalCode(StrEnum):
    """Why one item of a good envelope has no effect (protocol, section 6)."""

    UNREADABLE = "unreadable"
    UNKNOWN_TYPE = "unknown-type"
    NOT_YOURS = "not-yours"
    ID_REUSED = "id-reused"
    NOT_APPROVED = "not-approved"


class DirectoryRefusalCode(StrEnum):
    """Why nothing about a group's entry, state or limits is asked or decided.

    The first group is said by the hub to the regional admin, the second by a node
    to its treasurer; no other server ever hears of them.
    """

    NO_SUCH_GROUP = "no-such-group"
    NO_SUCH_PROPOSAL = "no-such-proposal"
    PROPOSAL_ENDED = "proposal-ended"
    PROPOSAL_OUTDATED = "proposal-outdated"
    GROUP_LEAVING = "group-leaving"
    GROUP_NOT_LEAVING = "group-not-leaving"
    LEFT_FOR_EVER = "left-for-ever"
    RELEASE_FIRST = "release-first"
    STILL_IN_FLIGHT = "still-in-flight"
    LEG_MAY_SETTLE = "leg-may-settle"
    POSITION_NOT_ZERO = "position-not-zero"
    POSITION_CHANGED = "position-changed"
    GROUP_NOT_COMPARED = "group-not-compared"
    HUB_BEHIND = "hub-behind"
    POSITION_OUTSIDE = "position-outside"
    SAME_GROUP = "same-group"
    GROUP_THERE = "group-there"

    ENTRY_CHANGED = "entry-changed"
    ENTRY_TOO_LONG = "entry-too-long"
    KEYS_WAIT = "keys-wait"
    KEY_MISSING = "key-missing"


class ConsentRefusalCode(StrEnum):
    """Why a word on a dangerous act is not taken; said to a regional admin alone."""

    NO_SUCH_CONSENT = "no-such-consent"
    CONSENT_ENDED = "consent-ended"
    SAME_PERSON = "same-person"
    NOT_AN_ADMIN = "not-an-admin"
    CONSENT_OUTDATED = "consent-outdated"


class CycleRefusalCode(StrEnum):
    """Why nothing about a cycle or a leg is done (protocol, section 17).

    The first group is said by the hub to the regional admin, the second by a node to
    its treasurer; no other server ever hears of them.
    """

    NO_SUCH_CYCLE = "no-such-cycle"
    CYCLE_NOT_OPEN = "cycle-not-open"
    CYCLE_TOO_LARGE = "cycle-too-large"
    LEDGER_DIFFERS = "ledger-differs"
    CYCLE_NOT_NEWEST = "cycle-not-newest"
    CYCLE_DISPUTED = "cycle-disputed"
    LEGS_OPEN = "legs-open"
    DEBT_SHARED = "debt-shared"
    EXCEPTION_WRONG = "exception-wrong"
    PARTY_LEFT = "party-left"
    PLAN_OUTDATED = "plan-outdated"
    NOTHING_TO_SETTLE = "nothing-to-settle"
    NO_SUCH_LEG = "no-such-leg"
    LEG_ENDED = "leg-ended"
    LEG_WAITS = "leg-waits"
    LINK_BEHIND = "link-behind"

    NO_STATEMENT = "no-statement"
    LEG_NOT_YOURS = "leg-not-yours"
    LEG_SIGNED = "leg-signed"


class SharingRefusalCode(StrEnum):
    """Why nothing is shared of what a group leaves behind (protocol, section 17)."""

    RULE_NOT_AGREED = "rule-not-agreed"
    GROUP_NOT_GONE = "group-not-gone"
    NOTHING_LEFT = "nothing-left"
    STILL_IN_FLIGHT = "still-in-flight"
    LEG_OF_GROUP_OPEN = "leg-of-group-open"
    SHARING_WAITS = "sharing-waits"
    NOBODY_SHARES = "nobody-shares"
    TOO_MANY_SHARES = "too-many-shares"
    SHARE_TOO_LARGE = "share-too-large"
    NO_SUCH_PLAN = "no-such-plan"
    PLAN_ENDED = "plan-ended"
    SHARES_OUTDATED = "shares-outdated"


class ServerRefusalCode(StrEnum):
    """Why a server does nothing of what is asked of it, whatever it is."""

    RESTORED = "server-restored"


class InquiryRefusalCode(StrEnum):
    """Why an inquiry is not even asked; no transfer is refused with it."""

    TOO_MANY_INQUIRIES = "too-many-inquiries"


class AskRefusalCode(StrEnum):
    """Why an ask cannot be paid, in order of precedence (protocol, section 16)."""

    TOO_LONG = "ask-too-long"
    UNREADABLE = "ask-unreadable"
    OTHER_FEDERATION = "ask-of-another-federation"
    UNKNOWN_GROUP = "ask-of-unknown-group"
    NOT_SIGNED = "ask-not-signed"
    EXPIRED = "ask-expired"
    OUTDATED = "ask-outdated"
