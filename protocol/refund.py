"""Refunds: a new transfer the other way round, and how much of them there may be.

Nothing is ever edited: what a transfer moved has moved, and a refund moves some of
it back under an id of its own. Each server counts on the original (``refunded``) the
milliseconds of its refunds that are held or cleared there, so that two refunds of
one batch see each other. Only the hub sees them all in the order that counts; what
a node refuses by its own count spares a round trip (protocol, section 7).
"""

import msgspec

from protocol.effects import SaveTransfer, View
from protocol.errors import RefusalCode
from protocol.transfer import State, Transfer
from protocol.unit import AMOUNT_MAX, Amount, Milliseconds


def remaining(original: Transfer) -> Milliseconds:
    """Give the milliseconds of a transfer that no refund has given back."""
    return Milliseconds(original.milliseconds - original.refunded)


def first_refusal(
    original: Transfer | None, payer_group: str, payee_group: str, milliseconds: int
) -> RefusalCode | None:
    """Say why a transfer cannot be refunded so, or ``None`` when it can.

    Args:
        original: what ``refund_of`` names; ``None`` when it is not known here.
        payer_group: who pays the refund: the original's payee's group.
        payee_group: who receives it: the original's payer's group.
        milliseconds: of this refund.
    """
    if original is None or original.state is not State.CLEARED:
        return RefusalCode.REFUND_UNKNOWN
    if (original.payee_group, original.payer_group) != (payer_group, payee_group):
        return RefusalCode.REFUND_UNKNOWN
    if milliseconds > remaining(original):
        return RefusalCode.REFUND_TOO_LARGE
    return None


def largest(original: Transfer, payer_rate: int, payee_rate: int) -> Amount:
    """Give the most that one more refund may pay, in its payee's minor units.

    Rounded down: what is worth less than one minor unit cannot be given back.

    Args:
        original: a cleared transfer.
        payer_rate: milliseconds per minor unit of who refunds.
        payee_rate: milliseconds per minor unit of who gets it back.
    """
    # What she pays has a limit too, which a much lower rate of late could pass.
    payable = AMOUNT_MAX * payer_rate
    return Amount(min(min(remaining(original), payable) // payee_rate, AMOUNT_MAX))


def count(view: View, refund: Transfer) -> tuple[SaveTransfer, ...]:
    """Count a refund that is held, or booked at once, on its original."""
    return _change(view, refund, refund.milliseconds)


def give_back(view: View, refund: Transfer) -> tuple[SaveTransfer, ...]:
    """Give the share of a refund back, which was held and is refused."""
    return _change(view, refund, -refund.milliseconds)


def _change(view: View, refund: Transfer, by: int) -> tuple[SaveTransfer, ...]:
    if refund.refund_of is None:
        return ()
    original = view.transfers[refund.refund_of]
    refunded = original.refunded + by
    assert 0 <= refunded <= original.milliseconds, "counted before, and within it"
    return (SaveTransfer(msgspec.structs.replace(original, refunded=refunded)),)
