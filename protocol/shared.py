"""What a decision of kind ``shared`` says, and whether that is what the rule gives.

Whoever has the decision can compute it anew: what each group's part follows from
stands in it. The arithmetic is ``protocol.sharing``; who may decide what is
``clearing.rules``.
"""

from collections.abc import Mapping, Sequence

from protocol.address import FederationId
from protocol.cycle import named_uuid
from protocol.errors import MalformedMessageError
from protocol.messages import Share, SharedDecision
from protocol.sharing import (
    AveragePosition,
    ChargeRule,
    SharingRule,
    charges,
    is_beyond,
    share_debt,
)
from protocol.strict_json import INTEGER_MAX

#: States of groups that bear a part in what is shared, and are charged. To say that
#: one leaves takes nobody's consent, and can be said just before. Only having left, or
#: being frozen, ends a group's part: the regional admin decides on these.
BEARING = ("active", "leaving")


def debt_id(federation: FederationId, group: str, place: int) -> str:
    """Name a sharing of what a group leaves; ``place``: how many were told before."""
    return named_uuid(f"{federation}\nshared\n{group}\n{place}\n")


def charge_id(federation: FederationId, cycle: int) -> str:
    """Name the charge that is taken at a cycle's end."""
    return named_uuid(f"{federation}\ncharge\n{cycle}\n")


def share_left(
    position: int, rule: SharingRule, measures: Mapping[str, int]
) -> list[Share]:
    """Share what a group leaves behind: a debt, or what others owe it.

    Args:
        position: the group's, milliseconds, not zero. What it owes others take over;
            what it is owed becomes theirs.
        rule: what the groups agreed on.
        measures: of each group that stays, 1 for equal parts.

    Returns:
        In name order; the amounts sum to ``position``.

    Raises:
        MalformedMessageError: nobody has any weight.
    """
    sign = -1 if position < 0 else 1
    parts = share_debt(abs(position), rule, measures, measures)
    return [
        Share(group, measures[group], None, sign * part)
        for group, part in parts.items()
    ]


def share_charge(
    standings: Mapping[str, AveragePosition], rule: ChargeRule
) -> list[Share]:
    """Say what the charge takes from each group that stands beyond the threshold.

    Returns:
        In name order. Also those who pay nothing for less than half a millisecond:
        without them nobody could round the others anew.
    """
    found = charges(standings, rule)
    return [
        Share(group, one.average, _limit(one), -found.get(group, 0))
        for group, one in sorted(standings.items())
        if is_beyond(one, rule)
    ]


def _limit(one: AveragePosition) -> int:
    return max(0, one.ceiling if one.average > 0 else -one.floor)


def added(decision: SharedDecision) -> dict[str, int]:
    """Give what a decision adds to the position of each group that it moves."""
    found = {one.group: one.amount for one in decision.shares if one.amount}
    if decision.group is not None:
        found[decision.group] = -sum(one.amount for one in decision.shares)
    return found


def what_is_wrong(decision: SharedDecision) -> str | None:
    """Say what in a decision is not what its rule gives; ``None``: nothing."""
    names = [one.group for one in decision.shares]
    if names != sorted(set(names)) or decision.group in names:
        return "its groups are not each named once, in name order"
    wrong = _wrong_sums(decision)
    if wrong is not None:
        return wrong
    try:
        lawful = _debt(decision) if decision.why == "debt" else _charge(decision)
    except MalformedMessageError as error:
        return str(error)
    if lawful is None:
        return "it lacks what it is measured by"
    for ours, theirs in zip(lawful, decision.shares, strict=False):
        if ours != theirs:
            told = f"{theirs.amount} ms for {theirs.group}"
            return f"it has {told}, where its rule gives {ours.amount}"
    return None if len(lawful) == len(names) else "a group is in it that pays nothing"


def _wrong_sums(decision: SharedDecision) -> str | None:
    moved = added(decision)
    total = decision.reserve + sum(moved.values())
    if total:
        return f"its amounts sum to {total}, not to zero"
    for group, amount in moved.items():
        if abs(amount) > INTEGER_MAX:
            return f"it moves {group} by {amount} ms, more than anyone can state"
    return None


def _debt(decision: SharedDecision) -> Sequence[Share] | None:
    if decision.rule is None or decision.group is None or decision.plan is None:
        return None
    left = sum(one.amount for one in decision.shares)
    measures = {one.group: one.measure for one in decision.shares}
    if decision.rule == "equal" and set(measures.values()) - {1}:
        return None
    if left == 0 or decision.reserve:
        return None
    return share_left(left, SharingRule(decision.rule), measures)


def _charge(decision: SharedDecision) -> Sequence[Share] | None:
    if decision.rate is None or decision.threshold is None or decision.group:
        return None
    standings = {}
    for one in decision.shares:
        if one.limit is None:
            return None
        standings[one.group] = AveragePosition(
            average=one.measure, floor=-one.limit, ceiling=one.limit
        )
    rule = ChargeRule(rate=decision.rate, threshold=decision.threshold)
    return share_charge(standings, rule)
