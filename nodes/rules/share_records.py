"""What a node keeps of what groups share, and the effects that keep it."""

from typing import Literal

import msgspec

from protocol.effects import HouseEffect
from protocol.instant import Instant
from protocol.messages import DecisionName


class OwnShared(msgspec.Struct, frozen=True, kw_only=True):
    """What our group bears together with others, or was told that it would.

    Attributes:
        shared_id: a UUID, given by the hub.
        why: what a group leaves behind, or a charge.
        group: which leaves it behind; ``None`` for a charge.
        item: number of the hub's item that told of it beforehand.
        line: of that item; its hash names it.
        amount: what it adds to our position, milliseconds.
        name: the decision, once it was made.
        decided_at: when, by the hub's clock.
    """

    shared_id: str
    why: Literal["debt", "charge"]
    group: str | None
    item: int | None
    line: bytes | None
    amount: int
    name: DecisionName | None = None
    decided_at: Instant | None = None


class KeepOwnShared(HouseEffect, frozen=True):
    """Keep a sharing as it now stands."""

    shared: OwnShared
