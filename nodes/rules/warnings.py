"""When the treasurer is called because her group nears one of its limits.

From which share of a limit on, she sets herself; the hub's admin has another.
"""

import msgspec

from nodes.rules.view import KeepWarned, KeepWarnPercent, NodeView
from protocol.effects import CallPeople, Effect, Effects
from protocol.instant import Instant
from protocol.limit_warning import standing
from protocol.unit import HOUR


class LookAtLimits(msgspec.Struct, frozen=True):
    """The node's own wish: see whether the threshold was passed, or that is over."""


class SetWarnPercent(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to be warned from another share of a limit on, percent."""

    author: str
    percent: int


def decide_warn_percent(view: NodeView, order: SetWarnPercent, now: Instant) -> Effects:
    """Keep it; the outcome is whether it is another than before.

    Whether the treasurer is to be called by it, the next look at the limits sees.
    """
    assert 1 <= order.percent <= 100, "callers read a share"
    if order.percent == view.warn_percent:
        return Effects(None, (), False)
    return Effects(None, (KeepWarnPercent(order.percent, now),), True)


def decide_limits_look(view: NodeView, now: Instant) -> Effects:
    """Call the treasurer once, when the group has newly passed the threshold."""
    own = view.directory.get(view.group)
    if own is None:
        return Effects(None, ())
    position = -view.clearing_balance
    limit = standing(view.warned, position, own.floor, own.ceiling, view.warn_percent)
    if limit == view.warned:
        return Effects(None, ())
    wanted: list[Effect] = [KeepWarned(limit, now)]
    if limit is not None:
        side, bound = ("lowest", own.floor)
        if limit == "ceiling":
            side, bound = ("highest", own.ceiling)
        text = (
            f"the group stands at {position / HOUR:+.2f} h; its {side} position is"
            f" {bound / HOUR:+.2f} h"
        )
        wanted.append(CallPeople("limit", text))
    return Effects(None, wanted)
