"""A member orders a payment: inside the group at once, else hold and ask the hub."""

import msgspec

from nodes.rules.content import about_prepare
from nodes.rules.view import Answer, KeepAnswer, NodeView, OtherBody, conversion
from protocol import refund, sealing
from protocol.address import Group
from protocol.directory import GroupRecord
from protocol.effects import (
    Effect,
    Effects,
    PlaceHold,
    PostEntry,
    SaveContent,
    SaveTransfer,
    SendItem,
)
from protocol.errors import (
    RefusalCode,
)
from protocol.instant import Instant, write_instant
from protocol.ledger import (
    Account,
    Entry,
    Posting,
    may_credit,
    may_debit,
)
from protocol.messages import (
    Content,
    EntryRate,
    TransferCancel,
    TransferPrepare,
    line_hash,
    write_line,
)
from protocol.quota import hour_ends
from protocol.steps import Step
from protocol.transfer import (
    NOW_MS,
    REACHABLE_MS,
    Event,
    Role,
    State,
    Transfer,
    move,
    transfer_of_prepare,
)
from protocol.unit import Amount, Quote, quote


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
        caller: with ``key``, the order's name for retries: the paying account, or
            the person who orders in its name.
        key: the idempotency key.
        body_hash: hash of the request, so that another one is noticed.
        refund_of: id of the transfer that this gives back, if it is a refund.
        original: what that transfer's content line says, while it is kept.
        author: the person who orders it in the payer's name; ``None``: the payer.
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
    refund_of: str | None = None
    original: Content | None = None
    author: str | None = None


class Ordered(msgspec.Struct, frozen=True):
    """An order's transfer as it now stands: new, or found again under its key.

    ``content`` is its content line when it is new.
    """

    transfer: Transfer
    content: bytes | None = None


class MustWait(msgspec.Struct, frozen=True):
    """Too much that this member ordered was refused elsewhere: nothing is held."""

    wait_s: int


class CancelWish(msgspec.Struct, frozen=True, kw_only=True):
    """The payer's wish to call a transfer off, or the node's own when it is late."""

    transfer_id: str


def decide_order(view: NodeView, order: Order, now: Instant) -> Effects:
    """Hold the payer's units and ask the hub, or refuse with the first reason.

    The outcome is ``Ordered``, a ``RefusalCode``, ``OtherBody`` when the key was
    used before for something else, or ``MustWait``.
    """
    again = _answer_again(view, order, now)
    if again is not None:
        return again
    own = view.directory.get(view.group)
    assert own is not None, "a node that has joined has its own entry"
    if order.payee_group == view.group:
        return _decide_inside(view, order, own, now)
    if view.quota.is_used_up(order.payer, now):
        # Not kept under the key: the same order may well succeed in the next hour.
        wait_ms = hour_ends(now) - now
        return Effects(None, (), MustWait(-(-wait_ms // 1000)))
    other = view.directory.get(order.payee_group)
    quoted = quote(order.payee_amount, own.rate, other.rate) if other else None
    code = _first_local_refusal(view, order, own, other, quoted)
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
    wanted: tuple[Effect, ...] = (
        hold,
        SaveTransfer(transfer),
        *refund.count(view, transfer),
        SaveContent(transfer.content, content),
        SendItem("hub", prepare, box),
        _keep(order, None, now),
    )
    return Effects(Step.ORDER, wanted, Ordered(transfer, content))


def _answer_again(view: NodeView, order: Order, now: Instant) -> Effects | None:
    """Answer an order whose key or id was used before; ``None``: it is new."""
    before = view.answers.get((order.caller, order.key))
    known = view.transfers.get(order.transfer_id)
    if before is not None and before.body_hash != order.body_hash:
        return Effects(None, (), OtherBody())
    if before is not None and before.code:
        # First of all: whatever stands under this id by now, she did not order.
        return Effects(None, (), RefusalCode(before.code))
    if known is None:
        assert before is None, "a key that was not refused is kept with its transfer"
        return None
    if (known.role, known.account) != (Role.PAYER, order.payer):
        # Another group has used this id, from a key that it could guess.
        return Effects(None, (), OtherBody())
    if before is not None:
        return Effects(None, (), Ordered(known))
    # The key was lost (a restore), the transfer was not: never a second one.
    return Effects(None, (_keep(order, None, now),), Ordered(known))


def _decide_inside(
    view: NodeView, order: Order, own: GroupRecord, now: Instant
) -> Effects:
    """Book a payment inside the group at once: no other server has a say in it.

    It is kept as a transfer too, cleared from the start, so that a member finds
    all her payments in one place.
    """
    rate = _rate_inside(view, order, own)
    quoted = quote(order.payee_amount, rate.milliseconds, rate.milliseconds)
    code = _first_refusal_inside(view, order, quoted)
    if code is not None:
        return Effects(Step.ORDER, (_keep(order, code, now),), code)
    assert quoted is not None
    content = _write_content(order, order.payee_amount)
    transfer = Transfer(
        transfer_id=order.transfer_id,
        role=Role.PAYER,
        state=State.CLEARED,
        payer_group=view.group,
        payee_group=view.group,
        milliseconds=quoted.milliseconds,
        payer_rate=rate.version,
        payee_rate=rate.version,
        decide_by=now,
        prepare="",
        content=line_hash(content),
        taken_at=now,
        account=order.payer,
        other=order.payee,
        amount=order.payee_amount,
        deliver=order.deliver,
        decided_at=now,
        refund_of=order.refund_of,
        author=order.author,
    )
    entry = Entry(
        entry_id=order.transfer_id,
        at=now,
        kind="local",
        postings=(
            Posting(order.payer, -order.payee_amount),
            Posting(order.payee, order.payee_amount),
        ),
        transfer_id=order.transfer_id,
        content_id=transfer.content,
        author=order.author,
    )
    wanted: tuple[Effect, ...] = (
        PostEntry(entry),
        SaveTransfer(transfer),
        *refund.count(view, transfer),
        SaveContent(transfer.content, content),
        _keep(order, None, now),
    )
    return Effects(Step.ORDER, wanted, Ordered(transfer, content))


def _rate_inside(view: NodeView, order: Order, own: GroupRecord) -> EntryRate:
    """Give the rate by which a payment inside the group is written in milliseconds.

    It moves no time. A refund is reckoned by the original's rate, so that exactly
    what was paid can be given back, whatever a unit is worth by now.
    """
    original = view.transfers.get(order.refund_of or "")
    if original is None or original.payer_group != original.payee_group:
        return own.entry.rates[-1]
    return own.entry.rates[original.payee_rate - 1]


def _refusal_of_refund(
    view: NodeView, order: Order, quoted: Quote
) -> RefusalCode | None:
    """Only who was paid gives back, and only to who paid her."""
    if order.refund_of is None:
        return None
    said = order.original
    if said is None or (said.payee, said.payer) != (order.payer, order.payee):
        return RefusalCode.REFUND_UNKNOWN
    return refund.first_refusal(
        view.transfers.get(order.refund_of),
        view.group,
        order.payee_group,
        quoted.milliseconds,
    )


def _first_refusal_inside(
    view: NodeView, order: Order, quoted: Quote | None
) -> RefusalCode | None:
    """Give the first reason, as ``_first_local_refusal`` does, or ``None``."""
    payer, payee = view.accounts[order.payer], view.find_payee(order.payee)
    if payer.closed:
        return RefusalCode.ACCOUNT_CLOSED
    if payer.frozen:
        return RefusalCode.ACCOUNT_FROZEN
    if order.payer == order.payee:
        return RefusalCode.SAME_ACCOUNT
    code = may_debit(payer, order.payee_amount)
    if code is not None:
        return code
    if quoted is None:
        return RefusalCode.AMOUNT_OUT_OF_RANGE
    if order.payee_amount > order.payer_amount_max:
        return RefusalCode.RATE_CHANGED
    code = _refusal_of_refund(view, order, quoted)
    return _refusal_by_payee(payee, order.payee_amount) if code is None else code


def _refusal_by_payee(payee: Account | None, amount: Amount) -> RefusalCode | None:
    if payee is None:
        return RefusalCode.UNKNOWN_ACCOUNT
    if not may_credit(payee, amount):
        return RefusalCode.PAYEE_CANNOT_RECEIVE
    return None


def _write_content(order: Order, payer_amount: int) -> bytes:
    return write_line(
        Content(
            payer=order.payer,
            payee=order.payee,
            name=order.name,
            memo=order.memo,
            payee_amount=order.payee_amount,
            payer_amount=payer_amount,
            salt=order.salt,
        )
    )


def _keep(order: Order, code: RefusalCode | None, now: Instant) -> KeepAnswer:
    transfer_id = order.transfer_id if code is None else None
    answer = Answer(
        body_hash=order.body_hash, transfer_id=transfer_id, code=code, at=now
    )
    return KeepAnswer(order.caller, order.key, answer)


def _first_local_refusal(
    view: NodeView,
    order: Order,
    own: GroupRecord,
    other: GroupRecord | None,
    quoted: Quote | None,
) -> RefusalCode | None:
    """Give the first reason, in ``RefusalCode`` order, or ``None``.

    Where there is no price, for the group is unknown or the amount is out of range,
    nothing can be compared with the floor: that reason is passed over.
    """
    payer = view.accounts[order.payer]
    if payer.closed:
        return RefusalCode.ACCOUNT_CLOSED
    if payer.frozen:
        return RefusalCode.ACCOUNT_FROZEN
    code = may_debit(payer, quoted.payer_amount) if quoted is not None else None
    if code is not None:
        return code
    is_cut_off = not order.is_hub_reachable or view.awaits_recovery
    if order.deliver == "now" and is_cut_off:
        return RefusalCode.HUB_UNREACHABLE
    code = _first_refusal_of_hub(view, order, own, other, quoted)
    if code is None and view.awaits_comparing(order.payee_group):
        # The content would be sealed for whoever has the new key.
        return RefusalCode.KEYS_NOT_ACCEPTED
    return code


def _first_refusal_of_hub(
    view: NodeView,
    order: Order,
    own: GroupRecord,
    other: GroupRecord | None,
    quoted: Quote | None,
) -> RefusalCode | None:
    """The hub would say these too; the member need not wait for it."""
    if other is None:
        return RefusalCode.UNKNOWN_GROUP
    if own.state != "active" or other.state != "active":
        return RefusalCode.GROUP_FROZEN
    if quoted is None:
        return RefusalCode.AMOUNT_OUT_OF_RANGE
    if quoted.payer_amount > order.payer_amount_max:
        return RefusalCode.RATE_CHANGED
    return _refusal_of_refund(view, order, quoted)


def _write_prepare(
    view: NodeView,
    order: Order,
    quoted: Quote,
    own: GroupRecord,
    other: GroupRecord,
    now: Instant,
) -> tuple[Transfer, bytes, bytes]:
    """Write the transfer, the prepare's line and the content line."""
    content = _write_content(order, quoted.payer_amount)
    within = NOW_MS if order.deliver == "now" else REACHABLE_MS
    prepare = TransferPrepare(
        id=order.transfer_id,
        payer_group=view.group,
        payee_group=order.payee_group,
        milliseconds=quoted.milliseconds,
        payer_rate=own.rate_version,
        payee_rate=other.rate_version,
        decide_by=write_instant(Instant(order.hub_now + within)),
        refund_of=order.refund_of,
        checkpoint=view.trust.checkpoint,
        content=line_hash(content),
    )
    line = write_line(prepare)
    state = move(Role.PAYER, None, Event.ORDER)
    assert isinstance(state, State)
    transfer = msgspec.structs.replace(
        transfer_of_prepare(prepare, line, Role.PAYER, state, now),
        item_number=view.next_number("hub"),
        account=order.payer,
        amount=quoted.payer_amount,
        deliver=order.deliver,
        author=order.author,
    )
    return transfer, line, content


def decide_cancel(view: NodeView, wish: CancelWish) -> Effects:
    """Ask the hub to call a transfer off; it counts only while it is undecided.

    The hold stays until the hub has answered: neither a member nor a timeout here
    moves it (protocol, section 7). The outcome is the transfer, or ``None``.
    """
    transfer = view.transfers.get(wish.transfer_id)
    if transfer is None or transfer.role is not Role.PAYER:
        return Effects(None, ())
    if transfer.state is not State.ORDERED or transfer.is_cancel_sent:
        return Effects(None, (), Ordered(transfer))
    asked = msgspec.structs.replace(transfer, is_cancel_sent=True)
    cancel = write_line(TransferCancel(id=transfer.transfer_id))
    wanted = (SaveTransfer(asked), SendItem("hub", cancel))
    return Effects(Step.CANCEL_WISH, wanted, Ordered(asked))
