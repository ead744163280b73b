"""More planted bugs, made when the simulator was read by somebody else.

They are of other kinds than those of ``planted``: too strict instead of too lax, late
or early by a little, told before it is so, kept for the wrong one. All but one hid when
they were made; what finds them since is in ``reasons``, ``views`` and ``members``.
"""

from typing import Any

import msgspec

from clearing.rules.decisions import refuse_or_wait
from nodes.rules import Ordered
from protocol.effects import Effects, SaveTransfer, SendItem, SetLimits
from protocol.errors import RefusalCode
from protocol.messages import TransferCancel, write_line
from protocol.steps import Step
from tests.simulator.planted import _CREDIT as CREDIT
from tests.simulator.planted import _DEBIT as DEBIT
from tests.simulator.planted import _bug as bug
from tests.simulator.planted import _without as without

_replace = msgspec.structs.replace
_THREE_DAYS_MS = 72 * 3_600_000
_EARLY_MS = 5_000


@bug("floor-too-early", "A member may go to one unit before her floor.", *DEBIT)
def _floor_too_early(right: Any) -> Any:
    return lambda account, amount: right(account, amount + 1)


@bug("ceiling-too-early", "An account takes one unit less than it may.", *CREDIT)
def _ceiling_too_early(right: Any) -> Any:
    return lambda account, amount: right(account, amount + 1)


@bug(
    "now-lasts-days",
    "A payment *now* may be decided for three days.",
    "nodes.rules.orders:NOW_MS",
)
def _now_lasts(_right: Any) -> Any:
    return _THREE_DAYS_MS


@bug(
    "expires-early",
    "The hub lets a transfer expire five seconds before its time.",
    "clearing.house:rules.decide_due",
    "protocol.peer.transfer_store:read_due",
)
def _expires_early(right: Any) -> Any:
    if right.__name__ == "decide_due":
        return lambda view, transfer, now: right(view, transfer, now + _EARLY_MS)
    return lambda connection, now, *rest: right(connection, now + _EARLY_MS, *rest)


@bug(
    "key-of-anybody",
    "A key that one member used is another's, too.",
    "nodes.house:member_store.read_answers",
)
def _key_of_anybody(right: Any) -> Any:
    #: A cache that somebody added, and in which the caller was forgotten.
    seen: dict[str, Any] = {}

    async def wrong(connection: Any, keyed: Any) -> Any:
        found = await right(connection, keyed)
        seen.update({key: answer for (_, key), answer in found.items()})
        return {named: seen[named[1]] for named in keyed if named[1] in seen}

    return wrong


@bug(
    "limits-forgotten",
    "A treasurer's new limits are answered with yes, and not kept.",
    "nodes.house:rules.decide_change",
)
def _limits_forgotten(right: Any) -> Any:
    return without(SetLimits)(right)


@bug(
    "told-before-durable",
    "Whoever reads sees what a batch has decided before it is written.",
    "protocol.peer.clerk:Clerk._write",
)
def _told_before(right: Any) -> Any:
    async def wrong(clerk: Any, batch: Any) -> None:
        for transfer_id, transfer in batch.view.transfers.items():
            recent = getattr(clerk.house, "_recent", None)
            if recent is not None:
                recent.keep(transfer_id, transfer)
        await right(clerk, batch)

    return wrong


class _Unwalked:
    """A connection that writes each posting with the balance after the whole batch."""

    def __init__(self, connection: Any, view: Any) -> None:
        self._connection = connection
        self._view = view

    async def execute(self, sql: str, names: Any, *rest: Any) -> Any:
        after = [self._view.accounts[name].balance for name in names]
        return await self._connection.execute(sql, names, *rest[:-1], after)


@bug(
    "balance-after-of-the-batch",
    "History shows with each posting the balance after its whole batch.",
    "protocol.peer.ledger_store:_write_postings",
)
def _balance_after(right: Any) -> Any:
    async def wrong(connection: Any, view: Any, bookings: Any) -> None:
        await right(_Unwalked(connection, view), view, bookings)

    return wrong


@bug(
    "overtaken-cover-counts",
    "A cover that another has overtaken is believed.",
    "protocol.peer.batch:is_stale",
)
def _overtaken(right: Any) -> Any:
    return lambda link, at, now: right(_replace(link, peer_at=None), at, now)


@bug(
    "refusal-without-reason",
    "A payee's node cannot read an offer that names an odd number of units.",
    "nodes.house:rules.decide_offer",
)
def _no_reason(right: Any) -> Any:
    def wrong(view: Any, arrived: Any, now: Any) -> Any:
        said = arrived.content_line
        if said and msgspec.json.decode(said)["payee_amount"] % 2:
            arrived = _replace(arrived, content_line=None)
        return right(view, arrived, now)

    return wrong


@bug(
    "cancels-what-waits",
    "The payer's node calls off a payment that its member let wait.",
    "nodes.house:rules.decide_order",
)
def _cancels(right: Any) -> Any:
    def wrong(view: Any, order: Any, now: Any) -> Any:
        effects = right(view, order, now)
        outcome = effects.outcome
        if order.deliver == "now" or not isinstance(outcome, Ordered):
            return effects
        if not any(isinstance(one, SendItem) for one in effects.wanted):
            return effects
        asked = _replace(outcome.transfer, is_cancel_sent=True)
        cancel = write_line(TransferCancel(id=asked.transfer_id))
        wanted = (*effects.wanted, SaveTransfer(asked), SendItem("hub", cancel))
        return Effects(effects.step, wanted, outcome)

    return wrong


@bug(
    "freeze-stops-what-flies",
    "The hub refuses at the end what was offered before its payer was frozen.",
    "clearing.rules.decisions:_decide_accept",
)
def _freeze_stops(right: Any) -> Any:
    def wrong(view: Any, transfer: Any, arrived: Any, now: Any) -> Any:
        record = view.directory.get(transfer.payer_group)
        if record is None or record.state == "active" or transfer.state != "offered":
            return right(view, transfer, arrived, now)
        code = RefusalCode.GROUP_FROZEN
        return refuse_or_wait(view, transfer, None, code, Step.REFUSE, now)

    return wrong


@bug(
    "cancel-of-anybody",
    "The hub calls a transfer off whichever group asks it.",
    "clearing.rules:decide_reply",
)
def _cancel_of_anybody(right: Any) -> Any:
    def wrong(view: Any, arrived: Any, now: Any) -> Any:
        transfer = view.transfers.get(arrived.item.id)
        if transfer is not None and isinstance(arrived.item, TransferCancel):
            arrived = _replace(arrived, peer=transfer.payer_group)
        return right(view, arrived, now)

    return wrong


@bug(
    "booked-at-todays-rate",
    "What was fixed at an old rate is booked on the conversion account of the new.",
    "nodes.rules.decisions:_entry_of",
)
def _todays_rate(right: Any) -> Any:
    newest: dict[str, int] = {}

    def wrong(transfer: Any, now: Any) -> Any:
        entry = right(transfer, now)
        is_payer = transfer.role == "payer"
        group = transfer.payer_group if is_payer else transfer.payee_group
        version = transfer.payer_rate if is_payer else transfer.payee_rate
        newest[group] = max(newest.get(group, 1), version)
        old, new = f"conversion.{version}", f"conversion.{newest[group]}"
        postings = [
            _replace(one, account_id=one.account_id.replace(old, new))
            for one in entry.postings
        ]
        return _replace(entry, postings=tuple(postings))

    return wrong
