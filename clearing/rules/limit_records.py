"""What the regional admin has set about limits, who, when and why; and what is used.

Every change is one signed line that names the one before it, so that none can be left
out or put in later. What of a cap is used is counted in memory from what transfers do
and read from them at a start: no second figure is kept that could be another.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from protocol.effects import HouseEffect
from protocol.instant import Instant, write_instant
from protocol.limit_warning import WARN_PERCENT, Limit
from protocol.messages import NOTHING_HASH, DecisionName, line_hash, write_line

#: Payer's group and payee's group: a cap is for one direction.
Pair = tuple[str, str]
#: How the JWS over a change is typed.
CHANGE_TYP = "interlets-limit-change"

About = Literal["limits", "cap", "warning"]


class LimitChange(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """One change, as the hub signs it; amounts are milliseconds.

    Attributes:
        federation: the whole id.
        number: from 1, without gaps.
        former: hash of the line before; of nothing for the first.
        at: when, by the hub's clock.
        about: which of the groups of fields below is set.
        group: whose limits, or who pays under a cap.
        floor, ceiling: of ``limits``, with ``decision``, which tells them to everyone.
        payee: whom a cap lets be paid.
        month: most in a calendar month; ``None``: no cap any more.
        from_item: the first item for the payee's node that came under the cap.
        percent: of ``warning``: from which share of a limit on people are warned.
        author: who.
        reason: in her own words.
    """

    v: Literal[1] = 1
    federation: str
    number: int
    former: str
    at: str
    about: About
    group: str | None = None
    floor: int | None = None
    ceiling: int | None = None
    decision: DecisionName | None = None
    payee: str | None = None
    month: int | None = None
    from_item: int | None = None
    percent: int | None = None
    author: str
    reason: str


change_decoder = msgspec.json.Decoder(LimitChange)


class Cap(msgspec.Struct, frozen=True):
    """Most that members of one group may pay another's in a calendar month."""

    payer: str
    payee: str
    milliseconds: int
    at: str
    author: str
    reason: str


def cap_of(change: LimitChange) -> Cap | None:
    """Give the cap that a change sets; ``None``: it ends one."""
    assert change.about == "cap" and change.group and change.payee
    if change.month is None:
        return None
    return Cap(
        change.group,
        change.payee,
        change.month,
        change.at,
        change.author,
        change.reason,
    )


class KeepLimitChange(HouseEffect, frozen=True):
    """Sign and keep a change; it is so from here on."""

    change: LimitChange


class CountUse(HouseEffect, frozen=True):
    """Count what was held under a cap, or no longer is (below zero)."""

    pair: Pair
    month: str
    milliseconds: int


class KeepWarned(HouseEffect, frozen=True):
    """Remember of which limit of a group's people were called; ``None``: it is over."""

    group: str
    limit: Limit | None
    at: Instant


LimitEffect = KeepLimitChange | CountUse | KeepWarned


def month_of(at: Instant) -> str:
    """Name the calendar month of an instant, in UTC: ``2026-11``."""
    return write_instant(at)[:7]


class LimitBook:
    """Caps and what is used, threshold, who was warned: as known while deciding.

    Args:
        caps: by pair.
        used: cleared plus held, by pair and month, of pairs with a cap.
        percent: the threshold.
        newest: number of the newest change, and the hash of its line.
        warned: groups of whose limit people were called, and it still stands.
    """

    def __init__(
        self,
        caps: Mapping[Pair, Cap] | None = None,
        used: Mapping[tuple[Pair, str], int] | None = None,
        percent: int = WARN_PERCENT,
        newest: tuple[int, str] = (0, NOTHING_HASH),
        warned: Mapping[str, Limit] | None = None,
    ) -> None:
        self.caps: Mapping[Pair, Cap] = caps or {}
        self.percent = percent
        self.newest = newest
        self.warned: Mapping[str, Limit] = warned or {}
        #: Pairs that an order of this batch is to give a cap.
        self.wanted: set[Pair] = set()
        self._used: dict[tuple[Pair, str], int] = dict(used or {})
        self._counted: dict[tuple[Pair, str], int] = {}

    def open(self) -> "LimitBook":
        """Give one for a batch, which may fail: what it counts is kept apart."""
        opened = LimitBook(self.caps, None, self.percent, self.newest, self.warned)
        opened._used = self._used
        return opened

    def kept(self) -> "LimitBook":
        """Give it as it is once the batch is durable."""
        self._used.update(self._counted)
        if self.wanted:
            # Of pairs without a cap nothing more is counted.
            self._used = {
                key: used for key, used in self._used.items() if key[0] in self.caps
            }
        return self.open()

    def next(
        self, federation: str, now: Instant, about: About, why: tuple[str, str]
    ) -> LimitChange:
        """Begin the next change.

        Args:
            federation: the whole id.
            now: the hub's time.
            about: what it changes.
            why: who changes it, and her reason.
        """
        number, former = self.newest
        author, reason = why
        return LimitChange(
            federation=federation,
            number=number + 1,
            former=former,
            at=write_instant(now),
            about=about,
            author=author,
            reason=reason,
        )

    def is_counted(self, pair: Pair) -> bool:
        """Say whether what moves from one group to the other is counted."""
        return pair in self.caps or pair in self.wanted

    def used(self, pair: Pair, month: str) -> int:
        """Give what is cleared or held of what the hub took in a month."""
        key = pair, month
        return self._counted.get(key, self._used.get(key, 0))

    def read(self, used: Mapping[tuple[Pair, str], int]) -> None:
        """Know what is used of pairs that had no cap before."""
        self._counted.update(used)

    def apply(self, effect: LimitEffect) -> None:
        """Let the next decision see an effect."""
        match effect:
            case CountUse():
                used = self.used(effect.pair, effect.month) + effect.milliseconds
                assert used >= 0, "what is given back was counted"
                self._counted[effect.pair, effect.month] = used
            case KeepWarned():
                self.warned = {
                    **{k: v for k, v in self.warned.items() if k != effect.group},
                    **({} if effect.limit is None else {effect.group: effect.limit}),
                }
            case KeepLimitChange():
                self._change(effect.change)

    def _change(self, change: LimitChange) -> None:
        assert change.number == self.newest[0] + 1 and change.former == self.newest[1]
        self.newest = change.number, line_hash(write_line(change))
        match change.about:
            case "warning":
                assert change.percent is not None
                self.percent = change.percent
            case "cap":
                pair = change.group or "", change.payee or ""
                caps = {key: cap for key, cap in self.caps.items() if key != pair}
                cap = cap_of(change)
                self.caps = caps if cap is None else {**caps, pair: cap}
            case "limits":
                pass
