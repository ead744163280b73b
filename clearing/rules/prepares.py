"""A payer's node asks for a transfer: hold both positions and offer it, or refuse."""

import msgspec

from clearing.rules import caps
from clearing.rules.cycle_records import TURNOVER_MAX
from clearing.rules.decisions import refuse_or_wait
from clearing.rules.view import HubView
from protocol import refund
from protocol.address import Group
from protocol.directory import GroupRecord
from protocol.effects import (
    ArrivedItem,
    Effect,
    Effects,
    PlaceHold,
    SaveTransfer,
    SendItem,
    refuse_item,
)
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.instant import Instant, read_instant
from protocol.ledger import (
    may_credit,
    may_debit,
)
from protocol.messages import (
    ItemProof,
    TransferOffer,
    TransferPrepare,
    line_hash,
    write_line,
)
from protocol.steps import Step
from protocol.transfer import (
    DEADLINE_SLACK_MS,
    REACHABLE_MS,
    Event,
    Role,
    State,
    Transfer,
    move,
    transfer_of_prepare,
)
from protocol.unit import MILLISECONDS_MAX


def decide_prepare(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Hold both positions and offer it, or refuse with the first reason."""
    prepare = arrived.item
    assert isinstance(prepare, TransferPrepare) and arrived.proof is not None
    if prepare.payer_group != arrived.peer:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    prepare_hash = line_hash(arrived.line)
    known = view.transfers.get(prepare.id)
    if known is not None and not known.prepare:
        # Only a group's own word about an id that nobody knew binds it.
        groups = (prepare.payer_group, prepare.payee_group)
        known = known if known.payer_group in groups else None
    if known is not None:
        if known.prepare == prepare_hash:
            return Effects(None, ())
        # Kept as proof in the stream; never a second decision.
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    transfer = transfer_of_prepare(prepare, arrived.line, Role.HUB, State.TAKEN, now)
    code = _first_refusal(view, prepare, now)
    if code is None:
        return _offer(view, transfer, arrived.proof, arrived.box)
    return refuse_or_wait(view, transfer, None, code, Step.PREPARE_REFUSED, now)


def _offer(
    view: HubView, transfer: Transfer, proof: ItemProof, box: str | None
) -> Effects:
    state = move(Role.HUB, None, Event.HOLD)
    assert state is State.OFFERED
    offered = msgspec.structs.replace(
        transfer, state=state, item_number=view.next_number(transfer.payee_group)
    )
    hold = PlaceHold(
        transfer.transfer_id,
        transfer.payer_group,
        transfer.payee_group,
        transfer.milliseconds,
    )
    offer = write_line(TransferOffer.of(proof))
    wanted: tuple[Effect, ...] = (
        hold,
        SaveTransfer(offered),
        *refund.count(view, offered),
        *caps.count(view, offered),
        SendItem(transfer.payee_group, offer, box),
    )
    return Effects(Step.PREPARE, wanted)


def _first_refusal(
    view: HubView, prepare: TransferPrepare, now: Instant
) -> RefusalCode | None:
    """Give the first reason, in ``RefusalCode`` order, or ``None``."""
    payer = view.directory.get(Group(prepare.payer_group))
    payee = view.directory.get(Group(prepare.payee_group))
    if payer is None or payee is None or payer is payee:
        return RefusalCode.UNKNOWN_GROUP
    if not _may_trade(view, payer) or not _may_trade(view, payee):
        return RefusalCode.GROUP_FROZEN
    if not 1 <= prepare.milliseconds <= MILLISECONDS_MAX:
        return RefusalCode.AMOUNT_OUT_OF_RANGE
    latest = now + REACHABLE_MS + DEADLINE_SLACK_MS
    if not now < read_instant(prepare.decide_by) <= latest:
        return RefusalCode.DEADLINE_OUT_OF_RANGE
    versions = (payer.rate_version, payee.rate_version)
    if (prepare.payer_rate, prepare.payee_rate) != versions:
        return RefusalCode.RATE_CHANGED
    code = _refusal_of_refund(view, prepare)
    return _refusal_by_limits(view, prepare, now) if code is None else code


def _refusal_of_refund(view: HubView, prepare: TransferPrepare) -> RefusalCode | None:
    if prepare.refund_of is None:
        return None
    return refund.first_refusal(
        view.transfers.get(prepare.refund_of),
        prepare.payer_group,
        prepare.payee_group,
        prepare.milliseconds,
    )


def _refusal_by_limits(
    view: HubView, prepare: TransferPrepare, now: Instant
) -> RefusalCode | None:
    amount = prepare.milliseconds
    if may_debit(view.accounts[prepare.payer_group], amount) is not None:
        return RefusalCode.PAYER_GROUP_FLOOR
    if not may_credit(view.accounts[prepare.payee_group], amount):
        return RefusalCode.PAYEE_GROUP_CEILING
    payer, payee = prepare.payer_group, prepare.payee_group
    if caps.is_beyond_cap(view, payer, payee, amount, now):
        return RefusalCode.MONTH_CAP
    return _refusal_by_turnover(view, prepare)


def _refusal_by_turnover(view: HubView, prepare: TransferPrepare) -> RefusalCode | None:
    """Keep every cycle within what its statements can say.

    Nobody gets here: the hub ends a cycle long before, unless a link stands still.
    """
    payer, payee = prepare.payer_group, prepare.payee_group
    paid = view.open_cycle.running(payer).tally.debits + view.accounts[payer].held_out
    if paid + prepare.milliseconds > TURNOVER_MAX:
        return RefusalCode.PAYER_GROUP_FLOOR
    tally = view.open_cycle.running(payee).tally
    received = tally.credits + view.accounts[payee].held_in
    if received + prepare.milliseconds > TURNOVER_MAX:
        return RefusalCode.PAYEE_GROUP_CEILING
    return None


def _may_trade(view: HubView, record: GroupRecord) -> bool:
    """A group whose link has forked counts as frozen (protocol, section 5)."""
    link = view.links.get(record.entry.group)
    is_frozen_link = link is not None and link.trouble is not None
    return record.state == "active" and not is_frozen_link
