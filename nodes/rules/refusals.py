"""What counts against a member's own quota: orders that are refused elsewhere.

The hub counts what it refuses by group. Without this, one member could have her
whole group made to wait (protocol, section 10; docs/decisions/0023).
"""

from nodes.rules.view import NodeView
from protocol.effects import Effects, SaveTransfer
from protocol.errors import RefusalCode
from protocol.instant import Instant
from protocol.steps import Step
from protocol.transfer import Role, State, Transfer

#: Nobody asked for what cannot be: she thought better of it, or a server was away.
_NOT_COUNTED = (RefusalCode.CANCELLED, RefusalCode.PAYEE_UNREACHABLE)


def count_refusal(view: NodeView, decided: Effects, now: Instant) -> None:
    """Count what was decided on an order of a member's, if it was refused elsewhere."""
    if decided.step is not Step.DECISION_REFUSED:
        return
    for effect in decided.wanted:
        if isinstance(effect, SaveTransfer) and _counts(effect.transfer):
            view.quota.note(effect.transfer.account, now)


def _counts(transfer: Transfer) -> bool:
    return (
        transfer.role is Role.PAYER
        and transfer.state is State.REFUSED
        and transfer.code not in _NOT_COUNTED
    )
