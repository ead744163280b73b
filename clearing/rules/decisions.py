"""The hub decides: cleared or refused, once and for ever."""

from typing import Literal

import msgspec

from clearing.rules import caps
from clearing.rules.view import AppendDecision, HubView
from protocol import refund
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    EndHold,
    PostEntry,
    SaveTransfer,
    SendItem,
    refuse_item,
    refused_transfer,
)
from protocol.errors import PAYEE_CODES, ItemRefusalCode, RefusalCode
from protocol.instant import Instant, write_instant
from protocol.ledger import (
    Entry,
    HoldState,
    Posting,
)
from protocol.messages import (
    ItemRefused,
    TransferAccept,
    TransferAnswer,
    TransferCancel,
    TransferDecision,
    TransferOffer,
    TransferRefuse,
    line_hash,
    write_line,
)
from protocol.steps import Step
from protocol.transfer import (
    Event,
    Move,
    Role,
    State,
    Transfer,
    move,
)


def decide_reply(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Decide on the payee's accept or refuse, or on the payer's cancel."""
    reply = arrived.item
    assert isinstance(reply, TransferAccept | TransferRefuse | TransferCancel)
    transfer = view.transfers.get(reply.id)
    if transfer is None:
        return _refuse_unknown(view, arrived.peer, reply.id, now)
    if not transfer.prepare:
        return Effects(None, ())
    is_cancel = isinstance(reply, TransferCancel)
    party = transfer.payer_group if is_cancel else transfer.payee_group
    if party != arrived.peer:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    if not isinstance(reply, TransferCancel) and reply.prepare != transfer.prepare:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.ID_REUSED),))
    if isinstance(reply, TransferAccept):
        return _decide_accept(view, transfer, arrived, now)
    if isinstance(reply, TransferCancel):
        code = RefusalCode.CANCELLED
        return refuse_or_wait(view, transfer, None, code, Step.CANCEL, now)
    if reply.code not in PAYEE_CODES:
        return Effects(None, (refuse_item(arrived, ItemRefusalCode.NOT_YOURS),))
    answer = line_hash(arrived.line)
    return refuse_or_wait(view, transfer, answer, reply.code, Step.REFUSE, now)


def _decide_accept(
    view: HubView, transfer: Transfer, arrived: ArrivedItem, now: Instant
) -> Effects:
    if move(Role.HUB, transfer.state, Event.CLEAR) is Move.KEEP:
        return Effects(None, ())
    assert arrived.proof is not None
    answer = TransferAnswer.of(arrived.proof)
    waiting = msgspec.structs.replace(
        transfer,
        answer=line_hash(arrived.line),
        waiting=write_line(answer).decode(),
    )
    if not view.may_decide_on(transfer):
        return Effects(None, (SaveTransfer(waiting),))
    return decide_due(view, waiting, now)


def _refuse_unknown(view: HubView, peer: str, id_: str, now: Instant) -> Effects:
    """Answer an id that the hub does not know with a refusal to its sender.

    It is kept as a transfer without a prepare, so that no prepare of that group
    can ever clear under an id that was once refused.
    """
    unknown = Transfer(
        transfer_id=id_,
        role=Role.HUB,
        state=State.TAKEN,
        payer_group=peer,
        payee_group=peer,
        milliseconds=0,
        payer_rate=0,
        payee_rate=0,
        decide_by=now,
        prepare="",
        content="",
        taken_at=now,
    )
    code = RefusalCode.UNKNOWN_TRANSFER
    return refuse_or_wait(view, unknown, None, code, Step.REFUSE, now)


def refuse_or_wait(
    view: HubView,
    transfer: Transfer,
    answer: str | None,
    code: RefusalCode,
    step: Step,
    now: Instant,
) -> Effects:
    """Refuse now, or keep the reason until both groups have compared."""
    if transfer.waiting_code is not None:
        # The first reason stays, whatever came since.
        return decide_due(view, transfer, now)
    is_new = transfer.transfer_id not in view.transfers
    state = None if is_new else transfer.state
    if move(Role.HUB, state, Event.REFUSE) is Move.KEEP:
        return Effects(None, ())
    if view.may_decide_on(transfer):
        return _decide(view, transfer, "refused", answer, code, step, now)
    target = move(Role.HUB, state, Event.WAIT)
    assert isinstance(target, State) or target is Move.KEEP
    kept = msgspec.structs.replace(
        transfer,
        state=target if isinstance(target, State) else transfer.state,
        answer=answer,
        waiting_code=code.value,
    )
    return Effects(None, (SaveTransfer(kept),))


def decide_due(view: HubView, transfer: Transfer, now: Instant) -> Effects:
    """Decide an undecided transfer: its answer came, or its time is up.

    Expiry is compared here only, on the hub's clock: at or past ``decide_by``,
    or earlier than when the prepare was taken (a clock set back). Refusing is
    always safe.
    """
    is_undecided = transfer.state in (State.TAKEN, State.OFFERED)
    if not is_undecided or not view.may_decide_on(transfer):
        return Effects(None, ())
    if transfer.waiting_code is not None:
        code = RefusalCode(transfer.waiting_code)
        return _decide(
            view, transfer, "refused", transfer.answer, code, Step.REFUSE, now
        )
    if now >= transfer.decide_by or now < transfer.taken_at:
        code = RefusalCode.PAYEE_UNREACHABLE
        return _decide(view, transfer, "refused", None, code, Step.EXPIRE, now)
    if transfer.waiting is not None:
        return _decide(
            view, transfer, "cleared", transfer.answer, None, Step.ACCEPT, now
        )
    return Effects(None, ())


def _decide(
    view: HubView,
    transfer: Transfer,
    outcome: Literal["cleared", "refused"],
    answer: str | None,
    code: RefusalCode | None,
    step: Step,
    now: Instant,
) -> Effects:
    """Write the one decision, and all that hangs on it."""
    decision = TransferDecision(
        log=view.log,
        number=view.size,
        at=write_instant(now),
        id=transfer.transfer_id,
        prepare=transfer.prepare or None,
        answer=answer,
        outcome=outcome,
        code=code,
    )
    line = write_line(decision)
    cleared = outcome == "cleared"
    decided = msgspec.structs.replace(
        transfer,
        state=State.CLEARED if cleared else State.REFUSED,
        decided_at=now,
        log=view.log,
        number=view.size,
        code=code.value if code else None,
        answer=answer,
        answer_number=view.next_number(transfer.payer_group) if cleared else None,
        waiting=None,
        waiting_code=None,
    )
    wanted: list[Effect] = [AppendDecision(view.log, view.size, line)]
    is_held = transfer.transfer_id in view.holds
    if is_held:
        state = HoldState.POSTED if cleared else HoldState.VOIDED
        wanted.append(EndHold(transfer.transfer_id, state))
    if is_held and not cleared:
        wanted += refund.give_back(view, transfer)
        wanted += caps.give_back(view, transfer)
    if cleared:
        assert is_held and transfer.waiting is not None
        wanted.append(PostEntry(_entry_of(transfer, now)))
        wanted.append(SendItem(transfer.payer_group, transfer.waiting.encode()))
    wanted.append(SaveTransfer(decided))
    wanted.append(SendItem(transfer.payer_group, line))
    if is_held:
        # Before an offer the payee's node knows nothing, and is told nothing.
        wanted.append(SendItem(transfer.payee_group, line))
    return Effects(step, wanted)


def _entry_of(transfer: Transfer, now: Instant) -> Entry:
    return Entry(
        entry_id=transfer.transfer_id,
        at=now,
        kind="transfer",
        postings=(
            Posting(transfer.payer_group, -transfer.milliseconds),
            Posting(transfer.payee_group, transfer.milliseconds),
        ),
        transfer_id=transfer.transfer_id,
        content_id=transfer.content,
    )


def decide_item_refused(view: HubView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Refuse a transfer whose offer the payee's node could not take."""
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    transfer = refused_transfer(view, arrived, TransferOffer)
    if transfer is None:
        text = f"{arrived.peer} refused our item {refused.number}: {refused.code}"
        return Effects(None, (CallPeople("item", text),))
    code = RefusalCode.PAYEE_UNREACHABLE
    return refuse_or_wait(view, transfer, None, code, Step.REFUSE, now)
