"""Every item that two servers exchange: one tagged struct each.

An item is one line of JSON in an envelope (protocol, section 6). Lines are read
strictly and kept as they came: hashes are over the exact bytes. What an item
does is decided elsewhere; here is only what it says. Later versions of the
protocol may add types; an unknown one is answered, never guessed at.
"""

import hashlib
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta

from protocol import strict_json
from protocol.base64url import write_base64url
from protocol.errors import ItemRefusalCode, MalformedMessageError, RefusalCode
from protocol.instant import INSTANT_PATTERN, read_instant
from protocol.unit import (
    AMOUNT_MAX,
    DECIMALS_MAX,
    MILLISECONDS_MAX,
    RATE_MAX,
    Rate,
    Unit,
)

PREPARE_LENGTH_MAX = 2 * 1024
OFFER_LENGTH_MAX = 12 * 1024
ITEM_LENGTH_MAX = 16 * 1024
SEALED_LINE_LENGTH_MAX = 6 * 1024
PATH_LENGTH_MAX = 10
#: Marks, or moves, in one list of a cycle's moves: either fits an item.
LIST_MARKS_MAX = 64
LIST_MOVES_MAX = 64
#: Spans of former hub keys in a statement: one for each log that such a key signed.
HUB_KEY_SPANS_MAX = 1000

_LAST = "[AEIMQUYcgkosw048]"  # the last letter of 8 or 32 bytes carries 4 bits
GroupField = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{1,31}\Z")]
AccountField = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}\Z")]
FederationField = Annotated[
    str, Meta(pattern=rf"^[a-z][a-z0-9-]{{1,31}}#[A-Za-z0-9_-]{{42}}{_LAST}\Z")
]
IdField = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"),
]
HashField = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_-]{{42}}{_LAST}\Z")]
LifeField = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_-]{{10}}{_LAST}\Z")]
SaltField = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{21}[AQgw]\Z")]
InstantField = Annotated[str, Meta(pattern=INSTANT_PATTERN)]
CountField = Annotated[int, Meta(ge=0, le=strict_json.INTEGER_MAX)]
NumberField = Annotated[int, Meta(ge=1, le=strict_json.INTEGER_MAX)]
SignedField = Annotated[
    int, Meta(ge=-strict_json.INTEGER_MAX, le=strict_json.INTEGER_MAX)
]
AmountField = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
MillisecondsField = Annotated[int, Meta(ge=1, le=MILLISECONDS_MAX)]
#: Base64url only: a box is passed on as it came, so nothing in it may be escaped.
BoxField = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]+\Z", max_length=SEALED_LINE_LENGTH_MAX)
]
PathField = Annotated[list[HashField], Meta(max_length=PATH_LENGTH_MAX)]


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which decision log, how many decisions, and their tree hash."""

    log: LifeField
    size: CountField
    root: HashField


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """One typed statement in an envelope."""


class TransferPrepare(Item, frozen=True, kw_only=True, tag="transfer.prepare"):
    """The payer's group asks for a transfer; the hub has not decided.

    ``decide_by`` is the hub's time. ``payer_rate`` and ``payee_rate`` are rate
    versions. ``content`` is the hash of the content line, which travels sealed.
    """

    id: IdField
    payer_group: GroupField
    payee_group: GroupField
    milliseconds: CountField
    payer_rate: NumberField
    payee_rate: NumberField
    decide_by: InstantField
    refund_of: IdField | None
    checkpoint: Checkpoint | None
    content: HashField


class ItemProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Portable proof that a group signed one item: line, place, path, line 1."""

    line: str
    index: CountField
    path: PathField
    envelope: str


class CarryingItem(Item, frozen=True, kw_only=True):
    """An item that carries another group's signed item: its portable proof."""

    line: str
    index: CountField
    path: PathField
    envelope: str

    @classmethod
    def of(cls, proof: ItemProof) -> Self:
        """Carry what a proof proves."""
        return cls(**msgspec.structs.asdict(proof))

    @property
    def proof(self) -> ItemProof:
        """The proof that is carried."""
        return ItemProof(
            line=self.line, index=self.index, path=self.path, envelope=self.envelope
        )


class TransferOffer(CarryingItem, frozen=True, kw_only=True, tag="transfer.offer"):
    """The hub offers the payee's node a prepare, with the payer's signature."""


class TransferAnswer(CarryingItem, frozen=True, kw_only=True, tag="transfer.answer"):
    """The hub shows the payer's node the accept that clears its transfer."""


class TransferAccept(Item, frozen=True, kw_only=True, tag="transfer.accept"):
    """The payee's node holds the units and waits for the decision."""

    id: IdField
    prepare: HashField


class TransferRefuse(Item, frozen=True, kw_only=True, tag="transfer.refuse"):
    """The payee's node may not take the transfer, and says why."""

    id: IdField
    prepare: HashField
    code: RefusalCode


class TransferCancel(Item, frozen=True, kw_only=True, tag="transfer.cancel"):
    """The payer's wish; it counts only while the hub has not decided."""

    id: IdField


class DecisionItem(Item, frozen=True, kw_only=True, tag="decision"):
    """What every decision of the hub says: its name (log, number) and kind."""

    log: LifeField
    number: CountField


class TransferDecision(DecisionItem, frozen=True, kw_only=True, tag="decision"):
    """Cleared or refused: first decision wins for ever.

    ``prepare`` and ``answer`` are hashes of lines; ``prepare`` is ``None`` only
    for an id that the hub does not know.
    """

    kind: Literal["transfer"] = "transfer"
    at: InstantField
    id: IdField
    prepare: HashField | None
    answer: HashField | None
    outcome: Literal["cleared", "refused"]
    code: RefusalCode | None


class KeySpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signing key's item numbers: the hub's part of a group's entry.

    A key that was replaced before it signed anything ends before it begins.
    """

    kid: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{16}\Z")]
    first: NumberField
    last: CountField | None


class DirectoryDecision(DecisionItem, frozen=True, kw_only=True, tag="decision"):
    """A group's entry as the group signed it, and beside it the hub's part.

    ``floor`` and ``ceiling`` bound the group's position, in milliseconds.
    """

    kind: Literal["directory", "keys"] = "directory"
    at: InstantField
    group: GroupField
    entry: str
    state: Literal["active", "leaving", "frozen", "left"]
    floor: SignedField
    ceiling: SignedField
    keys: list[KeySpan]


class KeysDecision(DirectoryDecision, frozen=True, kw_only=True, tag="decision"):
    """What a directory decision says of a group that has ever had other keys.

    ``former`` are the public keys of all spans but the last, so that old evidence
    verifies by this line alone. ``statement`` vouches for the keys that this very
    decision changes; it is ``None`` when none change, or the hub alone says so.
    """

    kind: Literal["directory", "keys"] = "keys"
    former: list[HashField]
    statement: str | None


class LogDecision(DecisionItem, frozen=True, kw_only=True, tag="decision"):
    """The first leaf of a log: the last checkpoint of the former one."""

    kind: Literal["log"] = "log"
    at: InstantField
    former: Checkpoint | None


class DecisionName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which decision: the log it was made in, and its number there."""

    log: LifeField
    number: CountField

    @classmethod
    def from_nullable(cls, log: str | None, number: int | None) -> Self | None:
        """Take a name from two columns that are null together."""
        return None if log is None or number is None else cls(log, number)


class CycleDecision(DecisionItem, frozen=True, kw_only=True, tag="decision"):
    """The end of a cycle: what is decided later belongs to the next one.

    ``former`` ended the cycle before, ``None`` for the first. ``groups`` is how many
    statements there are, and ``statements`` the tree hash of their lines in name
    order. ``reserve`` is the reserve's position: with the closing positions of all
    statements it makes zero.
    """

    kind: Literal["cycle"] = "cycle"
    at: InstantField
    cycle: NumberField
    former: DecisionName | None
    groups: CountField
    statements: HashField
    reserve: SignedField


class SettlementDecision(DecisionItem, frozen=True, kw_only=True, tag="decision"):
    """A leg is settled and moves two positions, or it is void and moves nothing.

    ``paid`` and ``received`` are hashes of the lines that say so; both are there in
    what is settled. ``code`` says why a leg is void, ``None`` when settled.
    """

    kind: Literal["settlement"] = "settlement"
    at: InstantField
    id: IdField
    cycle: NumberField
    debtor: GroupField
    creditor: GroupField
    milliseconds: MillisecondsField
    paid: HashField | None
    received: HashField | None
    outcome: Literal["settled", "void"]
    code: Literal["cancelled", "cycle-closed", "party-left"] | None


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group's part in what groups share (protocol, section 17).

    ``amount`` is what it adds to the group's position, milliseconds. ``measure`` is
    the group's weight, or, in a charge, its average position; ``limit`` is what that
    is held against, ``None`` where a debt is shared.
    """

    group: GroupField
    measure: SignedField
    limit: CountField | None
    amount: SignedField


class SharedPlan(Item, frozen=True, kw_only=True, tag="shared.plan"):
    """What each group would take over of what a group leaves behind; all get it.

    It moves nothing: that is done by a decision of kind ``shared`` that names it.
    ``cycle`` is the newest that had ended, whose turnover counts; 0: none had.
    """

    id: IdField
    at: InstantField
    cycle: CountField
    group: GroupField
    rule: Literal["equal", "turnover", "size"]
    shares: list[Share]


class SharedDecision(DecisionItem, frozen=True, kw_only=True, tag="decision"):
    """Moves several positions at once: a debt is shared, or the charge is taken.

    All amounts sum to zero: what ``shares`` add to positions, what that takes from
    the position of ``group``, which leaves it behind, and what ``reserve`` gains. In
    a debt ``plan`` is the hash of the line that all were told before; in a charge
    ``rate`` and ``threshold`` are millionths, and ``cycle`` is the one just ended.
    """

    kind: Literal["shared"] = "shared"
    at: InstantField
    id: IdField
    why: Literal["debt", "charge"]
    cycle: CountField
    group: GroupField | None
    rule: Literal["equal", "turnover", "size"] | None
    plan: HashField | None
    rate: CountField | None
    threshold: CountField | None
    reserve: CountField
    shares: list[Share]


class CycleStatement(Item, frozen=True, kw_only=True, tag="cycle.statement"):
    """How a group's position came to be in a cycle, as the hub has it.

    The cycle's moves are those decided after ``former`` (``None``: from the first
    decision on) and up to ``to``, which ended it. ``debits`` and ``credits`` are sums,
    ``count`` is of moves, ``digest`` chains them (``protocol.cycle``). What is held
    is shown and not agreed on. Amounts are milliseconds.
    """

    group: GroupField
    cycle: NumberField
    former: DecisionName | None
    to: DecisionName
    opening: SignedField
    debits: CountField
    credits: CountField
    count: CountField
    closing: SignedField
    digest: HashField
    held_out: CountField
    held_in: CountField


class CycleWord(Item, frozen=True, kw_only=True):
    """What is said to a statement; ``statement`` is the hash of its line."""

    cycle: NumberField
    statement: HashField


class CycleAgree(CycleWord, frozen=True, kw_only=True, tag="cycle.agree"):
    """The node's own ledger yields the same."""


class CycleDispute(CycleWord, frozen=True, kw_only=True, tag="cycle.dispute"):
    """The node's own ledger yields something else, and this is what.

    Signs are those of the position: the negative of what the node's clearing
    account shows.
    """

    opening: SignedField
    debits: CountField
    credits: CountField
    count: CountField
    closing: SignedField
    digest: HashField


class CycleMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digest after so many moves of a cycle."""

    count: NumberField
    digest: HashField


class CycleMove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One decision moved a group's position by so much, milliseconds.

    ``id`` is the transfer's, the leg's, or of what was shared. Without ``log`` and
    ``number``, a posting that no decision explains, which only a ledger in disorder
    has.
    """

    log: LifeField | None
    number: CountField | None
    id: IdField
    amount: SignedField


class CycleList(CycleWord, frozen=True, kw_only=True, tag="cycle.list"):
    """Where two lists of a cycle's moves differ is looked for with this.

    ``first`` and ``last`` count moves from 1; ``last`` is ``first`` - 1 for none.
    ``marks`` are of the sender's list within that run; ``moves`` are all of the
    sender's in it, once the run is short enough, else ``None``.
    """

    first: NumberField
    last: CountField
    marks: Annotated[list[CycleMark], Meta(max_length=LIST_MARKS_MAX)]
    moves: Annotated[list[CycleMove], Meta(max_length=LIST_MOVES_MAX)] | None


class SettlementLeg(Item, frozen=True, kw_only=True, tag="settlement.leg"):
    """What one group is to make good to another; both get this very line.

    It moves nothing: that is done by a decision of kind ``settlement``, when both
    have signed.
    """

    id: IdField
    cycle: NumberField
    at: InstantField
    debtor: GroupField
    creditor: GroupField
    milliseconds: MillisecondsField


class SettlementPaid(Item, frozen=True, kw_only=True, tag="settlement.paid"):
    """The debtor's group has paid; ``leg`` is the hash of the leg's line."""

    id: IdField
    leg: HashField


class SettlementReceived(Item, frozen=True, kw_only=True, tag="settlement.received"):
    """The creditor's group has received; ``leg`` is the hash of the leg's line."""

    id: IdField
    leg: HashField


class DirectoryLeave(Item, frozen=True, kw_only=True, tag="directory.leave"):
    """The group wishes to leave; from then on its position only runs off."""

    group: GroupField


class DirectoryPropose(Item, frozen=True, kw_only=True, tag="directory.propose"):
    """A group asks for a new version of its entry."""

    entry: str


class KeyChangeItem(Item, frozen=True, kw_only=True, tag="key.change"):
    """A group changes its keys: the last item of its envelope.

    ``entry`` is the next one, signed by the new signing key; ``statement`` the old
    one's word for it (JWS ``interlets-key-change``).
    """

    entry: str
    statement: str


class Mirror(Item, frozen=True, kw_only=True, tag="mirror"):
    """A node's clearing balance after the newest decision it has taken."""

    log: LifeField
    number: CountField
    balance: SignedField


class ItemRefused(Item, frozen=True, kw_only=True, tag="item.refused"):
    """One item had no effect; ``hash`` is of its line."""

    number: NumberField
    hash: HashField
    code: ItemRefusalCode


AnyItem = (
    TransferPrepare
    | TransferOffer
    | TransferAnswer
    | TransferAccept
    | TransferRefuse
    | TransferCancel
    | TransferDecision
    | DirectoryDecision
    | KeysDecision
    | LogDecision
    | CycleDecision
    | SettlementDecision
    | SharedDecision
    | SharedPlan
    | CycleStatement
    | CycleAgree
    | CycleDispute
    | CycleList
    | SettlementLeg
    | SettlementPaid
    | SettlementReceived
    | DirectoryLeave
    | DirectoryPropose
    | KeyChangeItem
    | Mirror
    | ItemRefused
)


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What only the two groups see of a transfer; the prepare holds its hash.

    ``payer`` and ``payee`` are accounts; the prepare names their groups.
    ``payee_amount`` is P and ``payer_amount`` Y, in minor units.
    """

    payer: AccountField
    payee: AccountField
    name: str
    memo: str
    payee_amount: AmountField
    payer_amount: AmountField
    salt: SaltField


class EntryKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public key in a group's entry, in base64url."""

    use: Literal["signing", "sealing", "recovery"]
    key: HashField


class EntryRate(Rate, frozen=True, forbid_unknown_fields=True):
    """A rate with its bounds, as an entry may hold it."""

    version: NumberField
    milliseconds: Annotated[int, Meta(ge=1, le=RATE_MAX)]


class EntryUnit(Unit, frozen=True, forbid_unknown_fields=True):
    """A unit with its bounds, as an entry may hold it."""

    decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)]


class GroupEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a group says of itself, signed by the group (JWS ``interlets-entry``)."""

    v: Literal[1]
    federation: FederationField
    group: GroupField
    version: NumberField
    name: str
    unit: EntryUnit
    rates: Annotated[list[EntryRate], Meta(min_length=1, max_length=1000)]
    keys: Annotated[list[EntryKey], Meta(min_length=3, max_length=3)]


class KeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group's old signing key names its new keys (JWS ``interlets-key-change``).

    ``version`` and ``keys`` are those of the entry that follows, which the new
    signing key signs. ``last`` is the last item number that the old one signs.
    """

    v: Literal[1]
    federation: FederationField
    group: GroupField
    version: NumberField
    keys: Annotated[list[EntryKey], Meta(min_length=3, max_length=3)]
    last: NumberField


class Recovery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group's recovery key names its new keys (JWS ``interlets-recovery``).

    ``version`` and ``keys`` are those of the entry that follows; ``reason`` is for
    people.
    """

    v: Literal[1]
    federation: FederationField
    group: GroupField
    version: NumberField
    keys: Annotated[list[EntryKey], Meta(min_length=3, max_length=3)]
    reason: str


class RecoveryRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A group asks the hub for keys without its old one's word.

    A JWS ``interlets-recovery-request`` by the new signing key. ``entry`` is the next
    one, ``statement`` the recovery key's word for it, ``sent`` the highest item number
    that the group has sealed under its old keys.
    """

    v: Literal[1]
    federation: FederationField
    entry: str
    statement: str
    sent: CountField


class HubKeySpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A former signing key of the hub's, and which checkpoints of a log it signed."""

    key: HashField
    log: LifeField
    first: CountField
    last: CountField


class HubStatement(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """The hub's keys, signed by the federation's root key (``interlets-hub``).

    ``former`` is a field from version 2 on; the first has no former keys.
    """

    v: Literal[1]
    federation: FederationField
    version: NumberField
    name: str
    keys: Annotated[list[EntryKey], Meta(min_length=2, max_length=3)]
    former: (
        Annotated[list[HubKeySpan], Meta(max_length=HUB_KEY_SPANS_MAX)]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class JoinRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A group's request to be admitted (JWS ``interlets-join``).

    ``entry`` is the group's signed entry; ``recovery`` the recovery key's JWS
    ``interlets-recovery-consent`` over the hash of that entry.
    """

    v: Literal[1]
    federation: FederationField
    code: str
    entry: str
    recovery: str


class RecoveryConsent(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """The recovery key's word that it belongs to this entry."""

    v: Literal[1]
    federation: FederationField
    group: GroupField
    entry: HashField


class SealedLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Content for the other group, behind the envelope of the item it is for."""

    for_: NumberField = msgspec.field(name="for")
    box: BoxField


class _Kind(msgspec.Struct):
    type: str
    kind: str = ""


_DECODERS: dict[tuple[str, str], msgspec.json.Decoder[AnyItem]] = {
    **{
        (str(struct.__struct_config__.tag), ""): msgspec.json.Decoder(struct)
        for struct in (
            TransferPrepare,
            TransferOffer,
            TransferAnswer,
            TransferAccept,
            TransferRefuse,
            TransferCancel,
            DirectoryLeave,
            DirectoryPropose,
            CycleStatement,
            CycleAgree,
            CycleDispute,
            CycleList,
            SettlementLeg,
            SettlementPaid,
            SettlementReceived,
            SharedPlan,
            KeyChangeItem,
            Mirror,
            ItemRefused,
        )
    },
    ("decision", "transfer"): msgspec.json.Decoder(TransferDecision),
    ("decision", "directory"): msgspec.json.Decoder(DirectoryDecision),
    ("decision", "keys"): msgspec.json.Decoder(KeysDecision),
    ("decision", "log"): msgspec.json.Decoder(LogDecision),
    ("decision", "cycle"): msgspec.json.Decoder(CycleDecision),
    ("decision", "settlement"): msgspec.json.Decoder(SettlementDecision),
    ("decision", "shared"): msgspec.json.Decoder(SharedDecision),
}
_LENGTHS_MAX = {
    "transfer.prepare": PREPARE_LENGTH_MAX,
    "transfer.accept": PREPARE_LENGTH_MAX,
    "transfer.offer": OFFER_LENGTH_MAX,
    "transfer.answer": OFFER_LENGTH_MAX,
}
#: Stands in where an item has no such field; the pattern cannot tell 30 February.
_SOME_INSTANT = "1970-01-01T00:00:00.000Z"
_kind_decoder = msgspec.json.Decoder(_Kind)


def line_hash(line: bytes) -> str:
    """Hash a line's exact bytes, without the newline (43 characters)."""
    return write_base64url(hashlib.sha256(line).digest())


NOTHING_HASH = line_hash(b"")


def write_line(value: msgspec.Struct) -> bytes:
    """Write an item or content as one line, without the newline."""
    line = strict_json.write(value)
    assert b"\n" not in line, "JSON escapes newlines"
    return line


def read_item(line: bytes) -> AnyItem | ItemRefusalCode:
    """Read one item; a bad one is a lawful answer, not an exception.

    One bad item must not block a link for ever: it has no effect, and its
    sender is told (protocol, section 5).
    """
    # JSON would take both for white space; a line of ours has none (section 4), not
    # even one that came inside a proof.
    if len(line) > ITEM_LENGTH_MAX or b"\r" in line or b"\n" in line:
        return ItemRefusalCode.UNREADABLE
    try:
        found = _kind_decoder.decode(line)
        has_kind = found.type == "decision"
        if has_kind and not found.kind:
            return ItemRefusalCode.UNREADABLE
        decoder = _DECODERS.get((found.type, found.kind if has_kind else ""))
        if decoder is None:
            strict_json.check(line, "item")
            return ItemRefusalCode.UNKNOWN_TYPE
        if len(line) > _LENGTHS_MAX.get(found.type, ITEM_LENGTH_MAX):
            return ItemRefusalCode.UNREADABLE
        item = strict_json.read(line, decoder, "item")
        for name in ("at", "decide_by"):
            read_instant(getattr(item, name, _SOME_INSTANT), name)
    except (msgspec.MsgspecError, MalformedMessageError, UnicodeError, RecursionError):
        return ItemRefusalCode.UNREADABLE
    return item


content_decoder = msgspec.json.Decoder(Content)
entry_decoder = msgspec.json.Decoder(GroupEntry)
key_change_decoder = msgspec.json.Decoder(KeyChange)
recovery_decoder = msgspec.json.Decoder(Recovery)
recovery_request_decoder = msgspec.json.Decoder(RecoveryRequest)
hub_statement_decoder = msgspec.json.Decoder(HubStatement)
join_decoder = msgspec.json.Decoder(JoinRequest)
recovery_consent_decoder = msgspec.json.Decoder(RecoveryConsent)
sealed_line_decoder = msgspec.json.Decoder(SealedLine)
