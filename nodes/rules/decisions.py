"""The hub has decided: post or void, whatever was limited since."""

import msgspec

from nodes.rules.own_keys import decide_refused_change, is_refused_change
from nodes.rules.proposals import decide_refused_proposal, is_refused_proposal
from nodes.rules.view import (
    CLEARING,
    NodeView,
    NoteDecision,
    conversion,
    conversion_time,
)
from protocol import refund
from protocol.address import Group
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effects,
    EndHold,
    PostEntry,
    SaveTransfer,
    refuse_item,
    refused_transfer,
)
from protocol.envelope import check_proof
from protocol.errors import (
    ItemRefusalCode,
    PeerError,
)
from protocol.instant import Instant, read_instant
from protocol.ledger import (
    Entry,
    HoldState,
    Posting,
)
from protocol.messages import (
    ItemRefused,
    TransferAccept,
    TransferAnswer,
    TransferDecision,
    TransferPrepare,
    line_hash,
    read_item,
)
from protocol.steps import Step
from protocol.transfer import (
    Contradiction,
    Event,
    Move,
    Role,
    State,
    Transfer,
    move,
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
    try:
        check_proof(
            answer.proof, view.keyring, view.federation, Group(transfer.payee_group)
        )
    except PeerError as error:
        return Effects(
            None, (_doubt(transfer, f"its answer does not verify: {error}"),)
        )
    if accept.prepare != transfer.prepare:
        return Effects(None, (_doubt(transfer, "its answer is to another prepare"),))
    verified = msgspec.structs.replace(
        transfer,
        answer=line_hash(answer.line.encode()),
        answer_number=arrived.number,
    )
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
                *refund.give_back(view, transfer),
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
        author=transfer.author,
    )


def decide_item_refused(view: NodeView, arrived: ArrivedItem, now: Instant) -> Effects:
    """End what the hub did not take, transfer or proposal; else call people."""
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    if is_refused_proposal(view, arrived):
        return decide_refused_proposal(view, arrived, now)
    if is_refused_change(view, arrived):
        return decide_refused_change(view, arrived, now)
    transfer = refused_transfer(view, arrived, TransferPrepare)
    if transfer is None:
        text = f"the hub refused our item {refused.number}: {refused.code}"
        return Effects(None, (CallPeople("item", text),))
    if move(Role.PAYER, transfer.state, Event.REFUSE) is not State.REFUSED:
        return Effects(None, ())
    ended = msgspec.structs.replace(
        transfer, state=State.REFUSED, code=refused.code.value
    )
    return Effects(
        Step.DECISION_REFUSED,
        (
            EndHold(transfer.transfer_id, HoldState.VOIDED),
            SaveTransfer(ended),
            *refund.give_back(view, transfer),
        ),
    )
