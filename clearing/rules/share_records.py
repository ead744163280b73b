"""What the hub keeps of what groups share, and the effects that keep it."""

from enum import StrEnum
from typing import Literal

import msgspec

from protocol.effects import HouseEffect
from protocol.instant import Instant
from protocol.messages import DecisionName, SharedPlan, read_item
from protocol.sharing import ChargeRule, SharingRule


class Agreed(msgspec.Struct, frozen=True):
    """What the groups agreed on beforehand, published to all of them.

    Attributes:
        rule: how what a group leaves behind is shared; ``None``: it is not.
        charge: the symmetric charge of a cycle.
    """

    rule: SharingRule | None = None
    charge: ChargeRule = ChargeRule()


class SharedState(StrEnum):
    """What became of a sharing."""

    TOLD = "told"
    """All groups were told their parts; nothing has moved."""

    DECIDED = "decided"
    REPLACED = "replaced"


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What is shared: told and then decided, or, if it is a charge, decided at once.

    Attributes:
        shared_id: a UUID (``protocol.shared``).
        why: what it is.
        group: which leaves a debt or credit behind; ``None`` for a charge.
        place: how many of this group were told before.
        line: of the ``shared.plan``; its hash names it. ``None`` for a charge.
        told_at: when all were told.
        state: only one of a group is ever told and not decided: its newest.
        name: the decision.
        decided_at: when that was.
    """

    shared_id: str
    why: Literal["debt", "charge"]
    group: str | None = None
    place: int = 0
    line: bytes | None = None
    told_at: Instant | None = None
    state: SharedState = SharedState.TOLD
    name: DecisionName | None = None
    decided_at: Instant | None = None

    @property
    def plan(self) -> SharedPlan:
        """What all were told."""
        plan = read_item(self.line or b"")
        assert isinstance(plan, SharedPlan), "what we wrote we can read"
        return plan


class KeepShared(HouseEffect, frozen=True):
    """Keep a sharing as it now stands."""

    shared: Shared
