"""When the treasurer is called because her group nears one of its limits."""

import msgspec

from nodes.rules.view import KeepWarned, NodeView
from protocol.effects import CallPeople, Effect, Effects
from protocol.instant import Instant
from protocol.limit_warning import WARN_PERCENT, standing
from protocol.unit import HOUR


class LookAtLimits(msgspec.Struct, frozen=True):
    """The node's own wish: see whether the threshold was passed, or that is over."""


def decide_limits_look(view: NodeView, now: Instant) -> Effects:
    """Call the treasurer once, when the group has newly passed the threshold."""
    own = view.directory.get(view.group)
    if own is None:
        return Effects(None, ())
    position = -view.clearing_balance
    limit = standing(view.warned, position, own.floor, own.ceiling, WARN_PERCENT)
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
