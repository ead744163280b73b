"""The hub offers a transfer to one of our members: hold, or refuse."""

import msgspec

from nodes.rules.content import read_content
from nodes.rules.view import NodeView, conversion
from protocol import refund
from protocol.address import Group
from protocol.effects import (
    ArrivedItem,
    Effects,
    PlaceHold,
    SaveContent,
    SaveTransfer,
    SendItem,
    refuse_item,
)
from protocol.envelope import check_proof
from protocol.errors import (
    ItemRefusalCode,
    PeerError,
    RefusalCode,
)
from protocol.instant import Instant
from protocol.ledger import may_credit
from protocol.messages import (
    Content,
    TransferAccept,
    TransferOffer,
    TransferPrepare,
    TransferRefuse,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.transfer import (
    Event,
    Role,
    State,
    move,
    transfer_of_prepare,
)
from protocol.unit import Amount, quote


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
    state = State.REFUSED if code else State.ACCEPTED
    # Kept with nobody where nobody is: else whoever is admitted under that name
    # later would read what was meant for another.
    payee = view.find_payee(content.payee) if content else None
    transfer = msgspec.structs.replace(
        transfer_of_prepare(prepare, offer.line.encode(), Role.PAYEE, state, now),
        account=payee.account_id if payee else "",
        amount=content.payee_amount if content else 0,
        code=code,
        item_number=arrived.number,
        answer_number=view.next_number("hub"),
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
            *refund.count(view, transfer),
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
    code = _refusal_of_group(view, offer, Group(prepare.payer_group))
    if code is not None:
        return code
    if content is None:
        return RefusalCode.CONTENT_UNREADABLE
    if not _amounts_agree(view, prepare, content):
        return RefusalCode.AMOUNT_MISMATCH
    code = _refusal_of_refund(view, prepare, content)
    if code is not None:
        return code
    payee = view.find_payee(content.payee)
    if payee is None:
        return RefusalCode.UNKNOWN_ACCOUNT
    if not may_credit(payee, content.payee_amount):
        return RefusalCode.PAYEE_CANNOT_RECEIVE
    return None


def _refusal_of_group(
    view: NodeView, offer: TransferOffer, group: Group
) -> RefusalCode | None:
    """Say why a group's word does not count here, if it does not."""
    if view.awaits_comparing(group):
        return RefusalCode.KEYS_NOT_ACCEPTED
    try:
        check_proof(offer.proof, view.keyring, view.federation, group)
    except PeerError:
        return RefusalCode.NOT_SIGNED_BY_PAYER_GROUP
    return None if view.trust.may_offer(group) else RefusalCode.HISTORY_DIFFERS


def _refusal_of_refund(
    view: NodeView, prepare: TransferPrepare, content: Content
) -> RefusalCode | None:
    """Only a member who paid gets something back, and the hub must count rightly."""
    if prepare.refund_of is None:
        return None
    original = view.transfers.get(prepare.refund_of)
    code = refund.first_refusal(
        original, prepare.payer_group, prepare.payee_group, prepare.milliseconds
    )
    if code is RefusalCode.REFUND_TOO_LARGE:
        # Both codes of refunds are the hub's to say, and it did not.
        return RefusalCode.AMOUNT_MISMATCH
    if code is not None or original is None or original.account != content.payee:
        return RefusalCode.UNKNOWN_ACCOUNT
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
