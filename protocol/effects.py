"""What a decision may ask for; the clerk writes it, nobody else does.

A decision is a pure function from what is known to a list of these. The ``View``
is what is known: the rows that a batch touches. Each effect is applied to the
view as soon as it is decided, so that the next decision of the batch sees it,
and written to the stores once, at the end (protocol, section 7; the clerk).
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from protocol.address import Group
from protocol.directory import Directory, GroupRecord
from protocol.errors import ItemRefusalCode
from protocol.ledger import Account, Entry, Hold, HoldState, is_balanced
from protocol.link import Link
from protocol.messages import (
    AnyItem,
    ItemProof,
    ItemRefused,
    TransferAccept,
    TransferAnswer,
    TransferCancel,
    TransferDecision,
    TransferOffer,
    TransferPrepare,
    TransferRefuse,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.transfer import Transfer


class PlaceHold(msgspec.Struct, frozen=True):
    """Set an amount aside on two accounts."""

    transfer_id: str
    debit_account: str
    credit_account: str
    amount: int


class EndHold(msgspec.Struct, frozen=True):
    """Post or void a hold: its amount is no longer set aside.

    What a posted hold becomes stands in the ``PostEntry`` beside it.
    """

    transfer_id: str
    state: HoldState


class PostEntry(msgspec.Struct, frozen=True):
    """Book an entry."""

    entry: Entry


class OpenAccount(msgspec.Struct, frozen=True):
    """Open an account with nothing on it."""

    account: Account


class OpenLink(msgspec.Struct, frozen=True):
    """Begin a link with a peer that was not known before."""

    peer: str


class SetLimits(msgspec.Struct, frozen=True):
    """Give an account its floor and ceiling; freeze or release, close or open it."""

    account_id: str
    floor: int | None
    ceiling: int | None
    frozen: bool
    closed: bool = False


class SaveTransfer(msgspec.Struct, frozen=True):
    """Keep a transfer as it now stands."""

    transfer: Transfer


class SaveContent(msgspec.Struct, frozen=True):
    """Keep a content line; its hash is its name."""

    content_id: str
    line: bytes


class SendItem(msgspec.Struct, frozen=True):
    """Number an item for a peer and put it in the outbox.

    ``box`` is the sealed content that travels behind it.
    """

    peer: str
    line: bytes
    box: str | None = None


class SaveGroup(msgspec.Struct, frozen=True):
    """Take a directory decision into the directory."""

    record: GroupRecord


class PeerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that a server gives itself because of what a peer has said.

    What people are told of it counts as that peer's.
    """

    peer: Group


class CallPeople(msgspec.Struct, frozen=True):
    """Tell the people who run this server what no program may decide."""

    about: str
    text: str


CommonEffect = (
    PlaceHold
    | EndHold
    | PostEntry
    | OpenAccount
    | OpenLink
    | SetLimits
    | SaveTransfer
    | SaveContent
    | SendItem
    | SaveGroup
    | CallPeople
)


class HouseEffect(msgspec.Struct, frozen=True):
    """What only one house knows how to keep; its own stores write it."""


Effect = CommonEffect | HouseEffect


class Effects(msgspec.Struct, frozen=True):
    """What one decision asks for, all of it or nothing.

    Attributes:
        step: the durable step this is, for trials that kill the process there.
        wanted: in the order in which they are applied.
        outcome: what the caller is told once it is durable.
    """

    step: Step | None
    wanted: Sequence[Effect]
    outcome: object = None


class View:
    """The rows a batch touches, as they stand after the decisions so far.

    Attributes:
        life: drawn when this server's clerk got its lock.
        accounts: by account id.
        holds: by transfer id.
        transfers: by transfer id.
        links: by peer, all of them.
        numbered: by peer, the highest number an item for it has.
        sent_lines: items of ours that a peer refused, by peer and number.
        directory: all groups.
    """

    def __init__(self, life: str) -> None:
        self.life = life
        self.accounts: dict[str, Account] = {}
        self.holds: dict[str, Hold] = {}
        self.transfers: dict[str, Transfer] = {}
        self.links: dict[str, Link] = {}
        self.numbered: dict[str, int] = {}
        self.sent_lines: dict[tuple[str, int], bytes] = {}
        self.directory: Directory = {}

    def next_number(self, peer: str) -> int:
        """Give the number that the next item for ``peer`` will have."""
        return self.numbered.get(peer, 0) + 1

    def apply(self, effect: Effect) -> None:
        """Let the next decision see ``effect``."""
        match effect:
            case PlaceHold() | EndHold() | PostEntry() | OpenAccount() | SetLimits():
                self._apply_to_ledger(effect)
            case SaveTransfer():
                self.transfers[effect.transfer.transfer_id] = effect.transfer
            case SendItem():
                self.numbered[effect.peer] = self.next_number(effect.peer)
            case OpenLink():
                link = Link(peer=effect.peer, life=self.life)
                self.links.setdefault(effect.peer, link)
            case SaveGroup():
                group = Group(effect.record.entry.group)
                self.directory = {**self.directory, group: effect.record}
            case _:
                self.apply_house(effect)

    def _apply_to_ledger(
        self, effect: PlaceHold | EndHold | PostEntry | OpenAccount | SetLimits
    ) -> None:
        match effect:
            case PlaceHold():
                self._place(effect)
            case EndHold():
                self._end(effect)
            case PostEntry():
                postings = effect.entry.postings
                assert is_balanced(postings, self.accounts), "a rule's entry is zero"
                for posting in postings:
                    self.accounts[posting.account_id].balance += posting.amount
            case OpenAccount():
                assert effect.account.account_id not in self.accounts
                self.accounts[effect.account.account_id] = effect.account
            case SetLimits():
                account = self.accounts[effect.account_id]
                account.floor, account.ceiling = effect.floor, effect.ceiling
                account.frozen, account.closed = effect.frozen, effect.closed
            case _:
                assert_never(effect)

    def apply_house(self, effect: Effect) -> None:
        """Let the next decision see an effect that only the house knows."""

    def _place(self, effect: PlaceHold) -> None:
        assert effect.transfer_id not in self.holds, "a transfer holds once"
        self.holds[effect.transfer_id] = Hold(
            effect.transfer_id,
            effect.debit_account,
            effect.credit_account,
            effect.amount,
        )
        self.accounts[effect.debit_account].held_out += effect.amount
        self.accounts[effect.credit_account].held_in += effect.amount

    def _end(self, effect: EndHold) -> None:
        hold = self.holds[effect.transfer_id]
        assert hold.state is HoldState.HELD, "a hold ends once"
        hold.state = effect.state
        self.accounts[hold.debit_account].held_out -= hold.amount
        self.accounts[hold.credit_account].held_in -= hold.amount


class Touched(msgspec.Struct):
    """What a batch needs to read before it can decide."""

    accounts: set[str] = msgspec.field(default_factory=set)
    transfers: set[str] = msgspec.field(default_factory=set)
    #: Items of ours that a peer refused, by peer and number.
    sent_items: set[tuple[str, int]] = msgspec.field(default_factory=set)


class ArrivedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a verified envelope, read and looked through.

    Attributes:
        peer: who sent it.
        number: its number in the peer's stream.
        line: its exact bytes.
        item: what it says, or why it cannot be read.
        box: the sealed content that came with it.
        content_line: what the box held, when it was for us and opened.
        proof: the item's portable proof, where a rule passes it on.
        is_last: nothing stands behind it in its envelope.
    """

    peer: str
    number: int
    line: bytes
    item: AnyItem | ItemRefusalCode
    box: str | None = None
    content_line: bytes | None = None
    proof: ItemProof | None = None
    is_last: bool = False


def refuse_item(arrived: ArrivedItem, code: ItemRefusalCode) -> SendItem:
    """Tell the sender that an item had no effect, and which."""
    refused = ItemRefused(
        number=arrived.number, hash=line_hash(arrived.line), code=code
    )
    return SendItem(arrived.peer, write_line(refused))


def refused_transfer(
    view: View, arrived: ArrivedItem, kind: type[TransferPrepare | TransferOffer]
) -> Transfer | None:
    """Give the transfer that an ``item.refused`` ends.

    Args:
        view: with the lines of ours that were refused.
        arrived: the ``item.refused``.
        kind: what kind of item of ours such a refusal may end.

    Returns:
        ``None`` when it names another kind, another line, or nothing of ours.
    """
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    line = view.sent_lines.get((arrived.peer, refused.number), b"")
    item = read_item(line)
    if not isinstance(item, kind) or line_hash(line) != refused.hash:
        return None
    return view.transfers.get(transfer_of(item) or "")


def transfers_of(item: AnyItem | ItemRefusalCode) -> set[str]:
    """Name the transfers that must be known to decide an item of any type.

    They are the one that it is about and, if it asks for a refund, the original.
    """
    match item:
        case TransferOffer() | TransferAnswer():
            return transfers_of(read_item(item.line.encode()))
        case TransferPrepare(refund_of=str() as original):
            return {item.id, original}
        case _:
            about = transfer_of(item)
            return set() if about is None else {about}


def transfer_of(item: AnyItem | ItemRefusalCode) -> str | None:
    """Say which transfer an item of any type is about, if any."""
    match item:
        case TransferOffer() | TransferAnswer():
            return transfer_of(read_item(item.line.encode()))
        case (
            TransferPrepare()
            | TransferAccept()
            | TransferRefuse()
            | TransferCancel()
            | TransferDecision()
        ):
            return item.id
        case _:
            return None
