"""What a decision that shares says is what its rule gives, or it is named."""

import random
from typing import Any

import msgspec
import pytest

from protocol.errors import MalformedMessageError
from protocol.messages import Share, SharedDecision, read_item, write_line
from protocol.shared import (
    added,
    charge_id,
    debt_id,
    share_charge,
    share_left,
    what_is_wrong,
)
from protocol.sharing import AveragePosition, ChargeRule, SharingRule, charges
from tests.protocol.makers import AT, FEDERATION, ID, hash_of

LOG = "g2_xhOe0Gx4"
HOUR = 3_600_000


def debt(position: int, measures: dict[str, int], **changes: Any) -> SharedDecision:
    rule = SharingRule.EQUAL if set(measures.values()) == {1} else SharingRule.SIZE
    fields: dict[str, Any] = {
        "log": LOG,
        "number": 7,
        "at": AT,
        "id": ID,
        "why": "debt",
        "cycle": 1,
        "group": "ieper",
        "rule": rule.value,
        "plan": hash_of("plan"),
        "rate": None,
        "threshold": None,
        "reserve": 0,
        "shares": share_left(position, rule, measures),
    }
    return SharedDecision(**(fields | changes))


def charge(standings: dict[str, AveragePosition], rule: ChargeRule) -> SharedDecision:
    shares = share_charge(standings, rule)
    return debt(
        -1,
        {"gent": 1},
        why="charge",
        group=None,
        rule=None,
        plan=None,
        rate=rule.rate,
        threshold=rule.threshold,
        reserve=-sum(one.amount for one in shares),
        shares=shares,
    )


@pytest.mark.parametrize("seed", range(50))
def test_whatever_a_group_leaves_its_parts_sum_to_it_and_follow_the_rule(
    seed: int,
) -> None:
    draw = random.Random(seed)
    groups = {f"g{number:02}": 1 for number in range(draw.randint(1, 20))}
    if draw.random() < 0.5:
        groups = {name: draw.randint(0, 50) for name in groups} | {"gent": 7}
    position = draw.choice([-1, 1]) * draw.randint(1, 10**12)
    decision = debt(position, groups)
    parts = {one.group: one.amount for one in decision.shares}
    assert sum(parts.values()) == position
    assert sum(added(decision).values()) == 0
    assert added(decision)["ieper"] == -position
    whole = sum(groups.values())
    for name, weight in groups.items():
        # Nobody is a millisecond off, and all bear what is of one sign.
        assert abs(parts[name] * whole - position * weight) < whole
        assert parts[name] * position >= 0
    assert what_is_wrong(decision) is None
    assert read_item(write_line(decision)) == decision


def test_the_largest_remainders_get_what_is_left_in_name_order() -> None:
    found = share_left(-200, SharingRule.SIZE, {"c": 1, "b": 1, "a": 1})
    assert [(one.group, one.amount) for one in found] == [
        ("a", -67),
        ("b", -67),
        ("c", -66),
    ]


def test_nobody_can_share_without_weight() -> None:
    for measures in ({}, {"gent": 0}):
        with pytest.raises(MalformedMessageError):
            share_left(-5, SharingRule.TURNOVER, measures)


def altered(shares: list[Share], place: int, **changes: Any) -> list[Share]:
    changed = msgspec.structs.replace(shares[place], **changes)
    return [*shares[:place], changed, *shares[place + 1 :]]


SHARES = debt(-100, {"aalst": 1, "brussel": 1, "gent": 1}).shares


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": altered(SHARES, 0, amount=-35)},
        {"shares": altered(altered(SHARES, 0, amount=-33), 1, amount=-34)},
        {"shares": altered(SHARES, 1, measure=2)},
        {"shares": altered(SHARES, 1, measure=-1), "rule": "size"},
        {"shares": altered(SHARES, 1, group="aalst")},
        {"shares": altered(SHARES, 1, group="ieper")},
        {"shares": SHARES[::-1]},
        {"shares": []},
        {"group": None},
        {"rule": None},
        {"plan": None},
        {"reserve": 5},
        {"why": "charge"},
    ],
)
def test_what_no_rule_gives_is_named(changes: Any) -> None:
    decision = debt(-100, {"aalst": 1, "brussel": 1, "gent": 1})
    assert what_is_wrong(decision) is None
    assert what_is_wrong(msgspec.structs.replace(decision, **changes))


@pytest.mark.parametrize("seed", range(30))
def test_a_charge_is_computed_anew_from_the_decision_alone(seed: int) -> None:
    draw = random.Random(seed)
    rule = ChargeRule(rate=draw.randint(0, 50_000), threshold=draw.randint(0, 900_000))
    standings = {
        f"g{number:02}": AveragePosition(
            average=draw.randint(-(10**9), 10**9),
            floor=-draw.randint(0, 10**9),
            ceiling=draw.randint(0, 10**9),
        )
        for number in range(draw.randint(1, 12))
    }
    decision = charge(standings, rule)
    assert what_is_wrong(decision) is None
    paid = {name: -part for name, part in charges(standings, rule).items()}
    assert added(decision) == paid
    assert decision.reserve == -sum(paid.values())
    for place, one in enumerate(decision.shares):
        shares = altered(decision.shares, place, amount=one.amount - 1)
        wrong = msgspec.structs.replace(
            decision, shares=shares, reserve=decision.reserve + 1
        )
        assert "where its rule gives" in (what_is_wrong(wrong) or "")


def test_ids_differ_by_what_they_name() -> None:
    ids = {
        debt_id(FEDERATION, "gent", 0),
        debt_id(FEDERATION, "gent", 1),
        debt_id(FEDERATION, "aalst", 0),
        charge_id(FEDERATION, 0),
        charge_id(FEDERATION, 1),
    }
    assert len(ids) == 5
