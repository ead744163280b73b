"""What a group's node decides: orders of its members, offers and decisions.

Pure: what is known (``NodeView``) and what arrived go in, effects come out. Who
may pay whom at what price is decided here and nowhere else; *when* it is
decided is the clerk's business (protocol, sections 7 and 8).
"""

import msgspec

from protocol import sealing
from protocol.address import FederationId, Group, read_display_name, read_memo
from protocol.directory import GroupRecord, fold
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    EndHold,
    HouseEffect,
    OpenAccount,
    PlaceHold,
    PostEntry,
    SaveContent,
    SaveGroup,
    SaveTransfer,
    SendItem,
    View,
    refuse_item,
    transfer_of,
)
from protocol.envelope import check_proof
from protocol.errors import (
    ItemRefusalCode,
    MalformedMessageError,
    PeerError,
    RefusalCode,
)
from protocol.instant import Instant, read_instant, write_instant
from protocol.keyring import Keyring
from protocol.ledger import (
    GROUP_UNIT,
    TIME_UNIT,
    Account,
    AccountKind,
    Entry,
    HoldState,
    Posting,
    may_credit,
    may_debit,
)
from protocol.messages import (
    Content,
    DirectoryDecision,
    ItemProof,
    ItemRefused,
    LogDecision,
    Mirror,
    TransferAccept,
    TransferAnswer,
    TransferDecision,
    TransferOffer,
    TransferPrepare,
    TransferRefuse,
    content_decoder,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.strict_json import read as read_strictly
from protocol.transfer import (
    NOW_MS,
    REACHABLE_MS,
    Contradiction,
    Event,
    Move,
    Role,
    State,
    Transfer,
    move,
)
from protocol.unit import Amount, Quote, quote

CLEARING = "clearing"
SETTLEMENT = "settlement"
SUSPENSE = "suspense"
FUND = "fund"
#: The node's own accounts; conversion accounts come with each rate version.
_FIXED_ACCOUNTS = {
    CLEARING: TIME_UNIT,
    SETTLEMENT: TIME_UNIT,
    SUSPENSE: GROUP_UNIT,
    FUND: GROUP_UNIT,
}


def conversion(version: int) -> str:
    """Name the conversion account of a rate version, in the group's unit."""
    return f"conversion.{version}"


def conversion_time(version: int) -> str:
    """Name the conversion account of a rate version, in milliseconds."""
    return f"conversion.{version}.time"


def is_reserved(account: str) -> bool:
    """Say whether an account name is the node's own, not for a member."""
    return account in _FIXED_ACCOUNTS or account.startswith("conversion.")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A member's instruction to pay someone in another group.

    Attributes:
        transfer_id: from federation, payer and idempotency key.
        payer: the paying member's account.
        name: the payer's display name, for the payee.
        payee: the receiving member's account.
        payee_group: and her group.
        payee_amount: P, minor units of the payee's unit.
        payer_amount_max: the most that the member agreed to pay, minor units.
        memo: for both members.
        deliver: ``now`` or ``when_reachable``.
        salt: 16 bytes of chance in base64url.
        nonce: 24 bytes of chance for the box.
        hub_now: the hub's time, as its covers tell it.
        is_hub_reachable: no answer of the link is overdue.
        caller: with ``key``, the order's name for retries: the paying account.
        key: the idempotency key.
        body_hash: hash of the request, so that another one is noticed.
    """

    transfer_id: str
    payer: str
    name: str
    payee: str
    payee_group: Group
    payee_amount: Amount
    payer_amount_max: int
    memo: str
    deliver: str
    salt: str
    nonce: bytes
    hub_now: Instant
    is_hub_reachable: bool
    caller: str
    key: str
    body_hash: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an order was answered, kept for ever under its caller and key."""

    body_hash: str
    transfer_id: str | None
    code: RefusalCode | None
    at: Instant


class KeepAnswer(HouseEffect, frozen=True):
    """Remember for ever how an order under this key was answered."""

    caller: str
    key: str
    answer: Answer


class Ordered(msgspec.Struct, frozen=True):
    """An order's transfer as it now stands: new, or found again under its key."""

    transfer: Transfer


class OtherBody(msgspec.Struct, frozen=True):
    """The key was used before, for another order."""


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to open a member's account.

    ``floor`` and ``ceiling`` are minor units; ``None``: no limit.
    """

    account_id: str
    name: str
    floor: int | None
    ceiling: int | None


class SaveMember(HouseEffect, frozen=True):
    """Keep who an account belongs to."""

    account_id: str
    name: str


class NoteDecision(HouseEffect, frozen=True):
    """Remember the newest decision taken, for the mirror."""

    log: str
    number: int


class NodeView(View):
    """What a node knows while it decides a batch.

    Attributes:
        federation: the federation's whole id.
        group: our own name.
        keyring: keys of the hub and of all groups.
        sealing_key: ours.
        answers: by caller and key, how orders were answered.
        clearing: the clearing account's balance when the batch began.
        newest: log and number of the newest decision taken.
        mirrored: the newest that a mirror item told the hub.
    """

    def __init__(
        self,
        life: str,
        federation: FederationId,
        group: Group,
        sealing_key: sealing.SealingKey,
    ) -> None:
        super().__init__(life)
        self.federation = federation
        self.group = group
        self.sealing_key = sealing_key
        self.keyring = Keyring()
        self.answers: dict[tuple[str, str], Answer] = {}
        self.clearing = 0
        self.newest: tuple[str, int] | None = None
        self.mirrored: tuple[str, int] | None = None

    def apply_house(self, effect: Effect) -> None:
        """Let the next decision see what only nodes know."""
        match effect:
            case NoteDecision():
                self.newest = (effect.log, effect.number)
            case KeepAnswer():
                self.answers[effect.caller, effect.key] = effect.answer

    @property
    def clearing_balance(self) -> int:
        """Balance of the clearing account, milliseconds, as it stands now."""
        account = self.accounts.get(CLEARING)
        return self.clearing if account is None else account.balance


def decide_order(view: NodeView, order: Order, now: Instant) -> Effects:
    """Hold the payer's units and ask the hub, or refuse with the first reason.

    The outcome is ``Ordered``, a ``RefusalCode``, or ``OtherBody`` when the key
    was used before for something else.
    """
    before = view.answers.get((order.caller, order.key))
    known = view.transfers.get(order.transfer_id)
    if before is not None:
        if before.body_hash != order.body_hash:
            return Effects(None, (), OtherBody())
        return Effects(None, (), Ordered(known) if known else before.code)
    if known is not None:
        # The key was lost (a restore), the transfer was not: never a second one.
        return Effects(None, (_keep(order, None, now),), Ordered(known))
    own = view.directory.get(view.group)
    other = view.directory.get(order.payee_group)
    assert own is not None, "a node that has joined has its own entry"
    quoted = quote(order.payee_amount, own.rate, other.rate) if other else None
    payer = view.accounts[order.payer]
    code = _first_local_refusal(payer, order, own, other, quoted)
    if code is RefusalCode.HUB_UNREACHABLE:
        # Not kept under the key: the same order may well succeed in a minute.
        return Effects(None, (), code)
    if code is not None:
        return Effects(Step.ORDER, (_keep(order, code, now),), code)
    assert quoted is not None and other is not None
    transfer, prepare, content = _write_prepare(view, order, quoted, own, other, now)
    box = sealing.outgoing(
        view.sealing_key,
        other.key("sealing"),
        view.federation,
        view.group,
        order.payee_group,
    ).seal(content, order.nonce, about_prepare(order.transfer_id))
    hold = PlaceHold(
        order.transfer_id,
        order.payer,
        conversion(own.rate_version),
        quoted.payer_amount,
    )
    wanted = (
        hold,
        SaveTransfer(transfer),
        SaveContent(transfer.content, content),
        SendItem("hub", prepare, box),
        _keep(order, None, now),
    )
    return Effects(Step.ORDER, wanted, Ordered(transfer))


def _keep(order: Order, code: RefusalCode | None, now: Instant) -> KeepAnswer:
    transfer_id = order.transfer_id if code is None else None
    answer = Answer(
        body_hash=order.body_hash, transfer_id=transfer_id, code=code, at=now
    )
    return KeepAnswer(order.caller, order.key, answer)


def about_prepare(transfer_id: str) -> str:
    """Say what a prepare's box is bound to: item type and id."""
    return f"transfer.prepare {transfer_id}"


def _first_local_refusal(
    payer: Account,
    order: Order,
    own: GroupRecord,
    other: GroupRecord | None,
    quoted: Quote | None,
) -> RefusalCode | None:
    if payer.frozen:
        return RefusalCode.ACCOUNT_FROZEN
    if other is None or other is own:
        return RefusalCode.UNKNOWN_GROUP
    if quoted is None:
        return RefusalCode.AMOUNT_OUT_OF_RANGE
    code = may_debit(payer, quoted.payer_amount)
    if code is None and order.deliver == "now" and not order.is_hub_reachable:
        return RefusalCode.HUB_UNREACHABLE
    if code is None and quoted.payer_amount > order.payer_amount_max:
        return RefusalCode.RATE_CHANGED
    return code


def _write_prepare(
    view: NodeView,
    order: Order,
    quoted: Quote,
    own: GroupRecord,
    other: GroupRecord,
    now: Instant,
) -> tuple[Transfer, bytes, bytes]:
    """Write the transfer, the prepare's line and the content line."""
    content = write_line(
        Content(
            payer=order.payer,
            payee=order.payee,
            name=order.name,
            memo=order.memo,
            payee_amount=quoted.payee_amount,
            payer_amount=quoted.payer_amount,
            salt=order.salt,
        )
    )
    within = NOW_MS if order.deliver == "now" else REACHABLE_MS
    decide_by = Instant(order.hub_now + within)
    prepare = write_line(
        TransferPrepare(
            id=order.transfer_id,
            payer_group=view.group,
            payee_group=order.payee_group,
            milliseconds=quoted.milliseconds,
            payer_rate=own.rate_version,
            payee_rate=other.rate_version,
            decide_by=write_instant(decide_by),
            refund_of=None,
            checkpoint=None,
            content=line_hash(content),
        )
    )
    state = move(Role.PAYER, None, Event.ORDER)
    assert isinstance(state, State)
    transfer = Transfer(
        transfer_id=order.transfer_id,
        role=Role.PAYER,
        state=state,
        payer_group=view.group,
        payee_group=order.payee_group,
        milliseconds=quoted.milliseconds,
        payer_rate=own.rate_version,
        payee_rate=other.rate_version,
        decide_by=decide_by,
        prepare=line_hash(prepare),
        item_number=view.next_number("hub"),
        content=line_hash(content),
        taken_at=now,
        account=order.payer,
        amount=quoted.payer_amount,
        deliver=order.deliver,
    )
    return transfer, prepare, content


def open_content(
    view: NodeView, prepare: TransferPrepare, box: str | None
) -> bytes | None:
    """Open the box of an offered prepare; ``None`` when it is not readable."""
    payer = view.directory.get(Group(prepare.payer_group))
    if box is None or payer is None:
        return None
    channel = sealing.incoming(
        view.sealing_key,
        payer.key("sealing"),
        view.federation,
        Group(prepare.payer_group),
        view.group,
    )
    try:
        line = channel.open(box, about_prepare(prepare.id))
    except PeerError:
        return None
    return line if line_hash(line) == prepare.content else None


def read_content(line: bytes | None) -> Content | None:
    """Read a content line; ``None`` when it is not one that people may see."""
    if line is None:
        return None
    try:
        content = read_strictly(line, content_decoder, "content")
        read_display_name(content.name)
        read_memo(content.memo)
    except MalformedMessageError:
        return None
    return content


def decide_offer(view: NodeView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Hold the payee's credit, or refuse with the first reason that applies."""
    offer = arrived.item
    assert isinstance(offer, TransferOffer)
    prepare = read_item(offer.line.encode())
    if not isinstance(prepare, TransferPrepare):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.UNREADABLE),))
    if prepare.payee_group != view.group:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    prepare_hash = line_hash(offer.line.encode())
    known = view.transfers.get(prepare.id)
    if known is not None:
        if known.prepare == prepare_hash:
            return Effects(None, ())
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    content = read_content(arrived.content_line)
    code = _first_payee_refusal(view, offer, prepare, content)
    transfer = Transfer(
        transfer_id=prepare.id,
        role=Role.PAYEE,
        state=State.REFUSED if code else State.ACCEPTED,
        payer_group=prepare.payer_group,
        payee_group=prepare.payee_group,
        milliseconds=prepare.milliseconds,
        payer_rate=prepare.payer_rate,
        payee_rate=prepare.payee_rate,
        decide_by=read_instant(prepare.decide_by),
        prepare=prepare_hash,
        content=prepare.content,
        taken_at=now,
        account=content.payee if content else "",
        amount=content.payee_amount if content else 0,
        code=code,
    )
    if code is not None:
        refuse = TransferRefuse(id=prepare.id, prepare=prepare_hash, code=code)
        return Effects(
            Step.OFFER_REFUSED,
            (SaveTransfer(transfer), SendItem("hub", write_line(refuse))),
        )
    assert content is not None and arrived.content_line is not None
    assert move(Role.PAYEE, None, Event.HOLD) is State.ACCEPTED
    accept = TransferAccept(id=prepare.id, prepare=prepare_hash)
    return Effects(
        Step.OFFER,
        (
            PlaceHold(
                prepare.id,
                conversion(prepare.payee_rate),
                content.payee,
                content.payee_amount,
            ),
            SaveTransfer(transfer),
            SaveContent(prepare.content, arrived.content_line),
            SendItem("hub", write_line(accept)),
        ),
    )


def _first_payee_refusal(
    view: NodeView,
    offer: TransferOffer,
    prepare: TransferPrepare,
    content: Content | None,
) -> RefusalCode | None:
    proof = ItemProof(
        line=offer.line, index=offer.index, path=offer.path, envelope=offer.envelope
    )
    try:
        check_proof(proof, view.keyring, view.federation, Group(prepare.payer_group))
    except PeerError:
        return RefusalCode.NOT_SIGNED_BY_PAYER_GROUP
    if content is None:
        return RefusalCode.CONTENT_UNREADABLE
    if not _amounts_agree(view, prepare, content):
        return RefusalCode.AMOUNT_MISMATCH
    payee = view.accounts.get(content.payee)
    if payee is None or payee.kind is not AccountKind.MEMBER:
        return RefusalCode.UNKNOWN_ACCOUNT
    if not may_credit(payee, content.payee_amount):
        return RefusalCode.PAYEE_CANNOT_RECEIVE
    return None


def _amounts_agree(view: NodeView, prepare: TransferPrepare, content: Content) -> bool:
    """Say whether P, S and Y belong together under both rate versions."""
    rates = []
    for group, version in (
        (prepare.payer_group, prepare.payer_rate),
        (prepare.payee_group, prepare.payee_rate),
    ):
        record = view.directory.get(Group(group))
        if record is None or version > len(record.entry.rates):
            return False
        rates.append(record.entry.rates[version - 1].milliseconds)
    quoted = quote(Amount(content.payee_amount), rates[0], rates[1])
    return (
        quoted is not None
        and quoted.milliseconds == prepare.milliseconds
        and quoted.payer_amount == content.payer_amount
    )


def decide_answer(view: NodeView, arrived: ArrivedItem) -> Effects:
    """Keep the payee's signed accept, so that a cleared decision may post."""
    answer = arrived.item
    assert isinstance(answer, TransferAnswer)
    accept = read_item(answer.line.encode())
    if not isinstance(accept, TransferAccept):
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.UNREADABLE),))
    transfer = view.transfers.get(accept.id)
    if transfer is None or transfer.role is not Role.PAYER:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    proof = ItemProof(
        line=answer.line, index=answer.index, path=answer.path, envelope=answer.envelope
    )
    try:
        check_proof(proof, view.keyring, view.federation, Group(transfer.payee_group))
    except PeerError as error:
        return Effects(
            None, (_doubt(transfer, f"its answer does not verify: {error}"),)
        )
    if accept.prepare != transfer.prepare:
        return Effects(None, (_doubt(transfer, "its answer is to another prepare"),))
    verified = msgspec.structs.replace(transfer, answer=line_hash(answer.line.encode()))
    return Effects(None, (SaveTransfer(verified),))


def _doubt(transfer: Transfer, text: str) -> CallPeople:
    return CallPeople("transfer", f"transfer {transfer.transfer_id}: {text}")


def decide_decision(
    view: NodeView, decision: TransferDecision, now: Instant
) -> Effects:
    """Post or void what the hub decided, whatever was limited since."""
    note = NoteDecision(decision.log, decision.number)
    transfer = view.transfers.get(decision.id)
    role = transfer.role if transfer else Role.PAYEE
    state = transfer.state if transfer else None
    event = Event.CLEAR if decision.outcome == "cleared" else Event.REFUSE
    target = move(role, state, event)
    if target is Move.KEEP:
        return Effects(None, (note,))
    if isinstance(target, Contradiction) or transfer is None:
        text = f"transfer {decision.id}: decided {decision.outcome}, but here {state}"
        return Effects(None, (note, CallPeople("transfer", text)))
    # A refusal may name no prepare: the hub does not know the id, and never will.
    is_forgotten = event is Event.REFUSE and decision.prepare is None
    if decision.prepare != transfer.prepare and not is_forgotten:
        return Effects(None, (note, _doubt(transfer, "decided for another prepare")))
    assert isinstance(target, State)
    if event is Event.CLEAR and not _is_answered(transfer, decision):
        # The hub alone cannot spend a member's hours: the hold stays.
        return Effects(None, (note, _doubt(transfer, "cleared without its answer")))
    decided = msgspec.structs.replace(
        transfer,
        state=target,
        decided_at=read_instant(decision.at),
        log=decision.log,
        number=decision.number,
        code=decision.code,
        answer=decision.answer or transfer.answer,
    )
    if event is Event.REFUSE:
        return Effects(
            Step.DECISION_REFUSED,
            (
                note,
                EndHold(transfer.transfer_id, HoldState.VOIDED),
                SaveTransfer(decided),
            ),
        )
    return Effects(
        Step.DECISION_CLEARED,
        (
            note,
            EndHold(transfer.transfer_id, HoldState.POSTED),
            PostEntry(_entry_of(decided, now)),
            SaveTransfer(decided),
        ),
    )


def _is_answered(transfer: Transfer, decision: TransferDecision) -> bool:
    if transfer.role is Role.PAYEE:
        return True
    return transfer.answer is not None and transfer.answer == decision.answer


def _entry_of(transfer: Transfer, now: Instant) -> Entry:
    """Write a cleared transfer's entry (protocol, section 8)."""
    if transfer.role is Role.PAYER:
        version, sign = transfer.payer_rate, -1
    else:
        version, sign = transfer.payee_rate, 1
    amount, milliseconds = sign * transfer.amount, sign * transfer.milliseconds
    return Entry(
        entry_id=transfer.transfer_id,
        at=now,
        kind="transfer",
        postings=(
            Posting(transfer.account, amount),
            Posting(conversion(version), -amount),
            Posting(conversion_time(version), milliseconds),
            Posting(CLEARING, -milliseconds),
        ),
        transfer_id=transfer.transfer_id,
        content_id=transfer.content,
    )


def decide_item_refused(view: NodeView, arrived: ArrivedItem) -> Effects:
    """End a transfer whose prepare the hub could not take; else call people."""
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    line = view.sent_lines.get((arrived.peer, refused.number), b"")
    transfer = view.transfers.get(transfer_of(read_item(line)) or "")
    is_prepare = isinstance(read_item(line), TransferPrepare)
    if not is_prepare or transfer is None or line_hash(line) != refused.hash:
        text = f"the hub refused our item {refused.number}: {refused.code}"
        return Effects(None, (CallPeople("item", text),))
    if move(Role.PAYER, transfer.state, Event.REFUSE) is not State.REFUSED:
        return Effects(None, ())
    ended = msgspec.structs.replace(
        transfer, state=State.REFUSED, code=refused.code.value
    )
    return Effects(
        Step.DECISION_REFUSED,
        (EndHold(transfer.transfer_id, HoldState.VOIDED), SaveTransfer(ended)),
    )


def decide_directory(
    view: NodeView, decision: DirectoryDecision, line: bytes
) -> Effects:
    """Take a group's entry; our own brings the accounts of its rates."""
    note = NoteDecision(decision.log, decision.number)
    try:
        directory = fold(view.directory, decision, line, view.federation)
    except PeerError as error:
        text = f"directory decision {decision.log}/{decision.number}: {error}"
        return Effects(None, (note, CallPeople("directory", text)))
    record = directory[Group(decision.group)]
    opened: list[Effect] = []
    if decision.group == view.group:
        opened = [
            OpenAccount(account)
            for account in accounts_of(record)
            if account.account_id not in view.accounts
        ]
    return Effects(None, (note, SaveGroup(record), *opened))


def accounts_of(record: GroupRecord) -> list[Account]:
    """List the node's own accounts under an entry of ours."""
    named = dict(_FIXED_ACCOUNTS)
    for rate in record.entry.rates:
        named[conversion(rate.version)] = GROUP_UNIT
        named[conversion_time(rate.version)] = TIME_UNIT
    return [
        Account(account_id=name, kind=AccountKind.SYSTEM, unit=unit)
        for name, unit in named.items()
    ]


def decide_log(decision: LogDecision) -> Effects:
    """Note that the hub began a new log."""
    return Effects(None, (NoteDecision(decision.log, decision.number),))


def decide_mirror(view: NodeView) -> Effects:
    """Tell the hub our clearing balance after the newest decision taken."""
    if view.newest is None or view.newest == view.mirrored:
        return Effects(None, ())
    log, number = view.newest
    view.mirrored = view.newest
    mirror = Mirror(log=log, number=number, balance=view.clearing_balance)
    return Effects(None, (SendItem("hub", write_line(mirror)),))


def decide_member(view: NodeView, member: NewMember) -> Effects:
    """Open a member's account; one that is there already stays as it is.

    The outcome says whether the account is new.
    """
    if member.account_id in view.accounts:
        return Effects(None, (), False)
    account = Account(
        account_id=member.account_id,
        kind=AccountKind.MEMBER,
        unit=GROUP_UNIT,
        floor=member.floor,
        ceiling=member.ceiling,
    )
    saved = SaveMember(member.account_id, member.name)
    return Effects(Step.MEMBER, (OpenAccount(account), saved), True)
