"""What counts against a group's quota: refusals of what never became an offer.

Each stays in streams and log for ever, and costs its sender nothing: a node that
asks on and on for what cannot be would fill the disk (protocol, section 14).
"""

from clearing.rules.view import HubView
from protocol.effects import (
    ArrivedItem,
    CallPeople,
    Effect,
    Effects,
    SaveTransfer,
    SendItem,
)
from protocol.instant import Instant, write_instant
from protocol.messages import ItemRefused, read_item
from protocol.quota import hour_ends
from protocol.steps import Step
from protocol.transfer import REFUSED_PREPARES_MAX


def count_refusal(
    view: HubView, arrived: ArrivedItem, decided: Effects, now: Instant
) -> Effects | None:
    """Count what an item led to; when that uses up the quota, call people once.

    Args:
        view: with the quotas.
        arrived: the item.
        decided: what was decided on it.
        now: the hub's time.
    """
    if not _is_refused_unoffered(decided):
        return None
    if not view.quota.note(arrived.peer, now):
        return None
    text = (
        f"{arrived.peer} has had {REFUSED_PREPARES_MAX} items refused in this hour;"
        f" nothing more is taken from it before {write_instant(hour_ends(now))}"
    )
    return Effects(None, (CallPeople("quota", text),))


def _is_refused_unoffered(decided: Effects) -> bool:
    if decided.step is Step.PREPARE_REFUSED:
        return True
    return any(_is_refusal(effect, decided.step) for effect in decided.wanted)


def _is_refusal(effect: Effect, step: Step | None) -> bool:
    match effect:
        case SaveTransfer(transfer=transfer):
            # Refused as soon as may be; or an id that nobody had asked under.
            is_new = transfer.item_number is None and transfer.waiting_code is not None
            return is_new or not transfer.prepare
        case SendItem(line=line):
            # No durable step answers an item with ``item.refused``.
            return step is None and isinstance(read_item(line), ItemRefused)
        case _:
            return False
