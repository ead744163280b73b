"""How the hub shares what a group leaves behind: by rules alone, without a database."""

import random
from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    Agreed,
    ForeseeShares,
    HubView,
    NotShared,
    Shared,
    ShareDebt,
    SharedState,
    TellShares,
)
from protocol.address import Group
from protocol.effects import Effects, PostEntry
from protocol.errors import SharingRefusalCode
from protocol.messages import (
    ITEM_LENGTH_MAX,
    SharedDecision,
    SharedPlan,
    line_hash,
    write_line,
)
from protocol.shared import what_is_wrong
from protocol.sharing import SharingRule
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX
from tests.clearing.makers import apply, position
from tests.clearing.test_cycles import GENT, HOUR, closed, moved, settled, view_of
from tests.peer.makers import NOW, compared, in_state, not_compared, sent
from tests.protocol.makers import MECHELEN, OOSTENDE

CODE = SharingRefusalCode
EQUAL = SharingRule.EQUAL


def leaving(amount: int = 5 * HOUR + 1, state: str = "left") -> HubView:
    """Oostende owes so much and is gone; Mechelen and Gent stay."""
    view = view_of(GENT)
    view.agreed = Agreed(EQUAL)
    moved(view, 1, OOSTENDE, MECHELEN, amount)
    return gone(view, OOSTENDE, state)


def gone(view: HubView, group: Group, state: str = "left") -> HubView:
    view.directory = in_state(view.directory, group, state)
    return view


def tell(view: HubView, rule: SharingRule = EQUAL) -> Shared:
    effects = apply(view, rules.decide_tell(view, TellShares(OOSTENDE, rule), NOW))
    assert isinstance(effects.outcome, Shared), effects.outcome
    return effects.outcome


def decide(view: HubView, plan: str, group: Group = OOSTENDE) -> Effects:
    return apply(view, rules.decide_share(view, ShareDebt(group, plan), NOW))


def positions(view: HubView) -> dict[str, int]:
    return {name: view.accounts[name].balance for name in view.accounts}


def refused(view: HubView, rule: SharingRule = EQUAL) -> Any:
    """Why it cannot even be foreseen; nothing is ever changed by asking."""
    effects = rules.decide_foresee(view, ForeseeShares(OOSTENDE, rule), NOW)
    assert not effects.wanted
    told = rules.decide_tell(view, TellShares(OOSTENDE, rule), NOW)
    assert (told.wanted, told.outcome) == ((), effects.outcome)
    return effects.outcome


def test_what_is_foreseen_is_told_and_then_decided() -> None:
    view = leaving()
    before = positions(view)
    foreseen = rules.decide_foresee(view, ForeseeShares(OOSTENDE, EQUAL), NOW).outcome
    assert isinstance(foreseen, SharedPlan)
    parts = {one.group: one.amount for one in foreseen.shares}
    assert parts == {GENT: -(5 * HOUR // 2) - 1, MECHELEN: -(5 * HOUR // 2)}
    effects = rules.decide_tell(view, TellShares(OOSTENDE, EQUAL), NOW)
    assert effects.step is Step.TELL_SHARES
    apply(view, effects)
    assert [to for to, _ in sent(effects)] == [GENT, MECHELEN, OOSTENDE]
    assert {item for _, item in map(hashable, sent(effects))} == {write_line(foreseen)}
    # Telling moves nothing.
    assert positions(view) == before
    told = view.shared[foreseen.id]
    done = decide(view, told.shared_id)
    assert done.step is Step.SHARE
    assert positions(view) == before | {
        OOSTENDE: 0,
        MECHELEN: before[MECHELEN] + parts[MECHELEN],
        GENT: parts[GENT],
    }
    [line] = {item for _, item in map(hashable, sent(done))}
    decision = next(item for _, item in sent(done))
    assert isinstance(decision, SharedDecision)
    assert decision.plan == line_hash(told.line or b"")
    assert what_is_wrong(decision) is None
    # It is one move of each group in the cycle that is open, and chained as such.
    assert view.open_cycle.running(GENT).tally.debits == -parts[GENT]
    assert view.open_cycle.running(OOSTENDE).tally.credits == 5 * HOUR + 1
    assert view.size == decision.number + 1 and line


def hashable(one: tuple[str, Any]) -> tuple[str, bytes]:
    return one[0], write_line(one[1])


@pytest.mark.parametrize("seed", range(40))
def test_positions_sum_to_zero_whatever_is_left_to_whom(seed: int) -> None:
    draw = random.Random(seed)
    others = [Group(f"g{number:02}") for number in range(draw.randint(0, 8))]
    view = view_of(GENT, *others)
    groups = [OOSTENDE, MECHELEN, GENT, *others]
    for place in range(draw.randint(1, 20)):
        payer, payee = draw.sample(groups, 2)
        moved(view, place, payer, payee, draw.randint(1, 9 * HOUR))
    rule = draw.choice(list(SharingRule))
    view.agreed = Agreed(rule)
    closed(view)
    gone(view, OOSTENDE, draw.choice(["left", "frozen"]))
    before = positions(view)
    effects = rules.decide_tell(view, TellShares(OOSTENDE, rule), NOW)
    if isinstance(effects.outcome, NotShared):
        nothing = before[OOSTENDE] == 0
        code = CODE.NOTHING_LEFT if nothing else CODE.NOBODY_SHARES
        assert effects.outcome == NotShared(code, OOSTENDE)
        return
    apply(view, effects)
    assert isinstance(effects.outcome, Shared)
    decide(view, effects.outcome.shared_id)
    after = positions(view)
    assert after[OOSTENDE] == 0
    assert sum(after.values()) == sum(before.values()) == 0
    # Both the cycle that is open and the one after add up with it.
    closed(view, 2)
    gained = {name: after[name] - before[name] for name in groups if name != OOSTENDE}
    assert sum(gained.values()) == before[OOSTENDE]
    assert all(gain * before[OOSTENDE] >= 0 for gain in gained.values())


def test_turnover_is_that_of_the_newest_cycle_that_has_ended() -> None:
    view = view_of(GENT)
    view.agreed = Agreed(SharingRule.TURNOVER)
    moved(view, 1, OOSTENDE, MECHELEN, 3 * HOUR)
    moved(view, 2, GENT, MECHELEN, HOUR)
    gone(view, OOSTENDE)
    no = refused(view, SharingRule.TURNOVER)
    assert no == NotShared(CODE.NOBODY_SHARES, OOSTENDE)
    closed(view)
    moved(view, 3, GENT, MECHELEN, 100 * HOUR)
    told = tell(view, SharingRule.TURNOVER)
    found = {one.group: (one.measure, one.amount) for one in told.plan.shares}
    assert told.plan.cycle == 1
    assert found == {
        GENT: (HOUR, -3 * HOUR // 5),
        MECHELEN: (4 * HOUR, -12 * HOUR // 5),
    }


def test_size_is_the_room_between_limits() -> None:
    view = leaving()
    view.agreed = Agreed(SharingRule.SIZE)
    wide = msgspec.structs.replace(view.directory[GENT], floor=-HOUR, ceiling=2 * HOUR)
    flat = msgspec.structs.replace(view.directory[MECHELEN], floor=0, ceiling=HOUR)
    view.directory = {**view.directory, GENT: wide, MECHELEN: flat}
    found = {one.group: one.measure for one in tell(view, SharingRule.SIZE).plan.shares}
    assert found == {GENT: 3 * HOUR, MECHELEN: HOUR}


def test_a_credit_that_is_left_becomes_the_others() -> None:
    view = view_of(GENT)
    view.agreed = Agreed(EQUAL)
    moved(view, 1, MECHELEN, OOSTENDE, 4 * HOUR)
    gone(view, OOSTENDE)
    decide(view, tell(view).shared_id)
    assert positions(view)[GENT] == 2 * HOUR
    assert positions(view)[MECHELEN] == -2 * HOUR


def test_only_groups_that_are_here_bear_a_part() -> None:
    for state in ("frozen", "left"):
        view = gone(leaving(), GENT, state)
        assert [one.group for one in tell(view).plan.shares] == [MECHELEN]
    view = gone(gone(leaving(), GENT), MECHELEN, "frozen")
    assert refused(view) == NotShared(CODE.NOBODY_SHARES, OOSTENDE)


def test_nobody_escapes_her_part_by_saying_that_she_leaves() -> None:
    view = gone(leaving(), GENT, "leaving")
    told = tell(view)
    assert [one.group for one in told.plan.shares] == [GENT, MECHELEN]
    # Nor after all were told: the plan stays what it was, and is decided.
    gone(view, MECHELEN, "leaving")
    before = positions(view)
    assert decide(view, told.shared_id).step is Step.SHARE
    assert positions(view)[GENT] < before[GENT]
    assert positions(view)[MECHELEN] < before[MECHELEN]


def test_it_is_shared_by_the_agreed_rule_alone() -> None:
    view = leaving()
    assert refused(view, SharingRule.SIZE) == NotShared(CODE.RULE_NOT_AGREED, OOSTENDE)
    view.agreed = Agreed()
    for rule in SharingRule:
        assert refused(view, rule) == NotShared(CODE.RULE_NOT_AGREED, OOSTENDE)


@pytest.mark.parametrize("state", ["active", "leaving"])
def test_a_group_that_is_here_keeps_what_it_owes(state: str) -> None:
    assert refused(leaving(state=state)) == NotShared(CODE.GROUP_NOT_GONE, OOSTENDE)


def test_nothing_is_shared_while_something_may_yet_move_it() -> None:
    view = leaving()
    view.accounts[OOSTENDE].held_in = 1
    assert refused(view) == NotShared(CODE.STILL_IN_FLIGHT, OOSTENDE)
    view = leaving(state="active")
    closed(view)
    settled(view)
    gone(view, OOSTENDE, "frozen")
    assert refused(view) == NotShared(CODE.LEG_OF_GROUP_OPEN, OOSTENDE)


def test_nothing_is_shared_before_all_have_compared() -> None:
    view = leaving()
    view.links[GENT] = not_compared(GENT)
    assert refused(view) == NotShared(CODE.SHARING_WAITS, GENT)
    # Whoever is gone holds nobody up, nor does one that is frozen.
    view.links[GENT], view.links[OOSTENDE] = compared(GENT), not_compared(OOSTENDE)
    assert isinstance(tell(view), Shared)


def test_who_owes_nothing_leaves_nothing() -> None:
    view = gone(view_of(GENT), OOSTENDE)
    view.agreed = Agreed(EQUAL)
    assert refused(view) == NotShared(CODE.NOTHING_LEFT, OOSTENDE)


def test_no_position_grows_beyond_what_a_statement_says() -> None:
    view = leaving(10)
    view.accounts[GENT].balance = -INTEGER_MAX + 5
    assert isinstance(tell(view), Shared)
    view.accounts[GENT].balance = -INTEGER_MAX + 4
    assert refused(view) == NotShared(CODE.SHARE_TOO_LARGE, GENT)


def test_more_groups_than_one_decision_holds_are_refused() -> None:
    def with_groups(many: int) -> HubView:
        view = leaving(10**14)
        for number in range(many):
            name = Group(f"group-with-a-long-name-{number:09}")
            view.directory = {**view.directory, name: view.directory[GENT]}
            view.accounts[name] = position(name)
            view.links[name] = compared(name)
        return view

    told = tell(with_groups(150))
    assert len(told.line or b"") < ITEM_LENGTH_MAX
    no = refused(with_groups(180))
    assert no == NotShared(CODE.TOO_MANY_SHARES, OOSTENDE)


def test_nothing_is_decided_twice_or_otherwise_than_told() -> None:
    view = leaving()
    unknown = "00000000-0000-8000-8000-000000000000"
    assert decide(view, unknown).outcome == NotShared(CODE.NO_SUCH_PLAN, OOSTENDE)
    first = tell(view)
    assert decide(view, first.shared_id, GENT).outcome == NotShared(
        CODE.NO_SUCH_PLAN, GENT
    )
    second = tell(view)
    assert second.shared_id != first.shared_id
    assert view.shared[first.shared_id].state is SharedState.REPLACED
    no = NotShared(CODE.SHARES_OUTDATED, OOSTENDE)
    assert decide(view, first.shared_id).outcome == no
    # Somebody was admitted since, and would bear a part: all are told again.
    joined = Group("ieper")
    view.directory = {**view.directory, joined: view.directory[GENT]}
    view.accounts[joined], view.links[joined] = position(joined), compared(joined)
    assert decide(view, second.shared_id).outcome == no
    third = tell(view)
    assert isinstance(decide(view, third.shared_id).outcome, Shared)
    before = positions(view)
    again = decide(view, third.shared_id)
    assert (again.wanted, again.outcome) == ((), NotShared(CODE.PLAN_ENDED, OOSTENDE))
    assert positions(view) == before
    assert refused(view) == NotShared(CODE.NOTHING_LEFT, OOSTENDE)


def test_limits_bind_holds_and_not_what_is_shared() -> None:
    view = leaving()
    view.accounts[GENT].floor = 0
    effects = decide(view, tell(view).shared_id)
    assert any(isinstance(one, PostEntry) for one in effects.wanted)
    assert view.accounts[GENT].balance < 0
