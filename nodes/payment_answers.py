"""What is asked and answered about payments: shapes and words, nothing that acts.

Amounts are minor units with the unit beside them, or milliseconds; times are RFC
3339. What a payment does is in ``nodes.payments``.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from protocol import strict_json
from protocol.directory import GroupRecord
from protocol.errors import OrderRefusalCode, RefusalCode
from protocol.messages import IdField, line_hash
from protocol.peer.web.problems import Problem, ProblemAnswer
from protocol.peer.web.units import UnitAnswer
from protocol.transfer import State, Transfer
from protocol.unit import AMOUNT_MAX

AmountField = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]


class TransferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pay ``payee_amount`` minor units of the payee's unit to ``to``.

    ``payer_amount_max`` is the most that the payer agreed to, minor units. With
    ``refund_of`` it gives a payment back, wholly or in part: ``to`` is who paid it.
    """

    to: str
    payee_amount: AmountField
    payer_amount_max: AmountField
    memo: str = ""
    deliver: Literal["now", "when_reachable"] = "now"
    refund_of: IdField | None = None


class AmountsAnswer(msgspec.Struct, frozen=True):
    """One exact possibility: what she receives, the time, what I pay."""

    payee_amount: int
    milliseconds: int
    payer_amount: int


class QuoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment would be.

    ``nearest`` holds the two nearest exact amounts when the payer's own amount
    was given; ``balance_after`` is the payer's, in minor units.
    """

    to: str
    payee_amount: int
    milliseconds: int
    payer_amount: int
    payee_unit: UnitAnswer
    payer_unit: UnitAnswer
    nearest: list[AmountsAnswer]
    balance_after: int


class QuoteProblemAnswer(ProblemAnswer, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no quote; ``nearest`` when the amount is smaller than any is."""

    nearest: list[AmountsAnswer] = msgspec.field(default_factory=list)


class TransferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as one of its two members sees it; times are RFC 3339.

    ``amount`` is the member's own, minor units, signed; ``state`` is ordered,
    sent, accepted, cleared or refused; ``told`` says why, and what to do: of a
    refusal, and of a payment *now* that is not decided although its time is up.
    ``booked_by`` says who ordered it, when the payer did not do it herself.
    ``refund_of`` is the transfer that this one gives back. ``refunded`` is how much
    of this one is given back or on its way back: milliseconds, for they are exact.
    ``refundable`` is for the payee alone: the largest ``payee_amount`` that a refund
    by her may have, minor units of who paid; ``null`` where she cannot refund.
    """

    id: str
    state: str
    payer: str
    payee: str
    payee_amount: int | None
    payer_amount: int | None
    milliseconds: int
    amount: int
    unit: UnitAnswer
    memo: str | None
    deliver: str | None
    code: str | None
    told: str | None
    ordered_at: str
    decide_by: str
    decided_at: str | None
    refund_of: str | None
    refunded: int
    booked_by: Literal["treasurer"] | None
    refundable: int | None


StepName = Literal["ordered", "sent", "accepted", "decided", "booked"]


class StepAnswer(msgspec.Struct, frozen=True):
    """A step that a transfer took, and when (RFC 3339).

    ``decided`` is by the clock of whoever decides: the hub, or this node for what
    stays inside the group. All others are by this node's clock.
    """

    step: StepName
    at: str


class TransferStepsAnswer(TransferAnswer, frozen=True, kw_only=True):
    """A transfer with the steps that it took as this node saw them, in order.

    The payer's node sees ``ordered`` and ``sent``, the payee's ``accepted``.
    """

    steps: list[StepAnswer]


def as_ordered(transfer: Transfer) -> Transfer:
    """Give a transfer as it was when it was ordered.

    The same key gets the same answer each time, whatever has happened since. What
    stays inside the group has ended by then.
    """
    if transfer.payer_group == transfer.payee_group:
        return msgspec.structs.replace(transfer, refunded=0)
    return msgspec.structs.replace(
        transfer,
        state=State.ORDERED,
        decided_at=None,
        code=None,
        item_number=None,
        refunded=0,
    )


def body_hash(asked: TransferRequest, payer: str | None = None) -> str:
    """Hash what is meant: the same order in other white space is the same.

    ``payer`` is named where somebody else orders in her name.

    What is no refund is hashed without that field, as it was before there were any.
    """
    body = msgspec.structs.asdict(asked)
    if asked.refund_of is None:
        del body["refund_of"]
    if payer is not None:
        body["payer"] = payer
    return line_hash(strict_json.write(body))


def unit_answer(record: GroupRecord) -> UnitAnswer:
    """Give a group's unit as answers show it."""
    return UnitAnswer.of(record.entry.unit)


def refused(code: RefusalCode, **extra: object) -> Problem:
    """Say a lawful no: nothing was booked. ``extra``: more to say of it."""
    if code is RefusalCode.HUB_UNREACHABLE:
        detail = "The hub cannot be reached now; try again, or pay when reachable."
        return Problem(503, "refused", detail, code=code, headers={"Retry-After": "10"})
    told = f"Refused: {code}. Nothing was booked."
    return Problem(422, "refused", told, code=code, extra=extra)


def must_wait(wait_s: int) -> Problem:
    """Say that too much of a member's was refused elsewhere; nothing was booked."""
    code = OrderRefusalCode.TOO_MANY_REFUSED
    told = f"Refused: {code}; please wait {wait_s} seconds. Nothing was booked."
    return Problem(429, code, told, code=code, headers={"Retry-After": str(wait_s)})


def party(account: str | None, group: str | None) -> str:
    """Address a member; only the group once the content line is erased.

    Only her account in a payment of the past, which was inside the group.
    """
    if group is None:
        return account or ""
    return f"{account or ''}@{group or ''}"
