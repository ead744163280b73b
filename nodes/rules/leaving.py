"""The group wishes to leave: a word signed by its node, that nobody need grant.

The hub answers with its decision on the group, or with a no while the group is frozen
or the hub may have forgotten something; then the treasurer asks again. Only the
regional admin takes a leaving back (protocol, section 19).
"""

from collections.abc import Sequence

import msgspec

from nodes.rules.view import KeepLeavingWish, LeavingWish, NodeView, WishState
from protocol.directory import GroupRecord
from protocol.effects import ArrivedItem, Effect, Effects, SendItem
from protocol.errors import DirectoryRefusalCode
from protocol.instant import Instant
from protocol.messages import (
    DirectoryLeave,
    ItemRefused,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step


class WishToLeave(msgspec.Struct, frozen=True, kw_only=True):
    """A treasurer's order to tell the hub that the group wishes to leave.

    ``author`` is the person, ``reason`` what she gives as one, for ever.
    """

    author: str
    reason: str


class NotWished(msgspec.Struct, frozen=True):
    """Why the hub was told nothing."""

    code: DirectoryRefusalCode


def decide_leaving_wish(view: NodeView, order: WishToLeave, now: Instant) -> Effects:
    """Tell the hub once; the outcome is the wish that waits, or ``NotWished``.

    A group that is leaving already needs no other wish: the outcome is ``None``.
    """
    own, former = view.directory.get(view.group), view.leaving_wish
    assert own is not None, "a node that has joined has its own entry"
    if own.state == "leaving":
        return Effects(None, ())
    if own.state != "active":
        is_over = own.state == "left"
        code = DirectoryRefusalCode
        return Effects(
            None, (), NotWished(code.LEFT_FOR_EVER if is_over else code.RELEASE_FIRST)
        )
    if former is not None and former.is_waiting:
        return Effects(None, (), former)
    wish = LeavingWish(
        number=view.next_number("hub"),
        at=now,
        author=order.author,
        reason=order.reason,
    )
    line = write_line(DirectoryLeave(group=view.group))
    wanted = (KeepLeavingWish(wish), SendItem("hub", line))
    return Effects(Step.LEAVE_WISH, wanted, wish)


def answers_to_wish(
    view: NodeView, record: GroupRecord, now: Instant
) -> Sequence[Effect]:
    """Say what a decision on our own group means for the wish that waits, if any."""
    wish = view.leaving_wish
    if wish is None or not wish.is_waiting or record.state not in ("leaving", "left"):
        return ()
    return (KeepLeavingWish(_answered(wish, WishState.BEGUN, now)),)


def is_refused_wish(view: NodeView, arrived: ArrivedItem) -> bool:
    """Say whether an ``item.refused`` is the hub's no to a wish of ours."""
    refused = arrived.item
    assert isinstance(refused, ItemRefused)
    line = view.sent_lines.get((arrived.peer, refused.number), b"")
    is_ours = isinstance(read_item(line), DirectoryLeave)
    return is_ours and line_hash(line) == refused.hash


def decide_refused_wish(view: NodeView, arrived: ArrivedItem, now: Instant) -> Effects:
    """Take the hub's no; the treasurer may ask again."""
    refused, wish = arrived.item, view.leaving_wish
    assert isinstance(refused, ItemRefused)
    if wish is None or not wish.is_waiting or wish.number != refused.number:
        return Effects(None, ())
    ended = _answered(wish, WishState.REFUSED, now)
    return Effects(Step.LEAVE_REFUSED, (KeepLeavingWish(ended),))


def _answered(wish: LeavingWish, state: WishState, now: Instant) -> LeavingWish:
    return msgspec.structs.replace(wish, state=state, answered_at=now)
