"""What a node does with what groups share: by rules alone."""

from typing import Any

import msgspec
import pytest

from nodes import rules
from nodes.rules import CLEARING, SHARED, NodeView, is_reserved
from protocol.cycle import Figures, tally_of
from protocol.effects import CallPeople, Effects, PostEntry
from protocol.errors import ItemRefusalCode
from protocol.ledger import GROUP_UNIT, Account, AccountKind
from protocol.messages import (
    CycleMove,
    ItemRefused,
    Share,
    SharedDecision,
    SharedPlan,
    line_hash,
    write_line,
)
from protocol.shared import share_charge, share_left
from protocol.sharing import AveragePosition, ChargeRule, SharingRule
from protocol.steps import Step
from tests.nodes.makers import oostende
from tests.nodes.test_cycles import waiting
from tests.peer.makers import LOG, arrival, carry_out, later, sent
from tests.protocol.makers import AT, ID, MECHELEN, OOSTENDE

HOUR = 3_600_000


def plan(position: int = -HOUR, **changes: Any) -> SharedPlan:
    """Ieper leaves a debt, that Mechelen and Oostende take over."""
    fields: dict[str, Any] = {
        "id": ID,
        "at": AT,
        "cycle": 0,
        "group": "ieper",
        "rule": "equal",
        "shares": share_left(position, SharingRule.EQUAL, {MECHELEN: 1, OOSTENDE: 1}),
    }
    return SharedPlan(**(fields | changes))


def told(said: SharedPlan, view: NodeView | None = None) -> NodeView:
    view = view or oostende()
    effects = rules.decide_plan(view, arrival("hub", said))
    assert carry_out(view, effects).step is Step.SHARES_TOLD
    return view


def decision(said: SharedPlan, **changes: Any) -> SharedDecision:
    fields: dict[str, Any] = {
        "log": LOG,
        "number": 20,
        "at": AT,
        "id": said.id,
        "why": "debt",
        "cycle": said.cycle,
        "group": said.group,
        "rule": said.rule,
        "plan": line_hash(write_line(said)),
        "rate": None,
        "threshold": None,
        "reserve": 0,
        "shares": said.shares,
    }
    return SharedDecision(**(fields | changes))


def decide(view: NodeView, item: SharedDecision) -> Effects:
    return carry_out(view, rules.decide_shared(view, item, later(1)))


def balances(view: NodeView) -> tuple[int, int]:
    shared = view.accounts.get(SHARED)
    return view.accounts[CLEARING].balance, shared.balance if shared else 0


def assert_called(view: NodeView, item: SharedDecision) -> str:
    """Nothing is booked, people are called, and the mirror goes on from there."""
    before = balances(view)
    effects = decide(view, item)
    assert effects.step is None
    assert not any(isinstance(one, PostEntry) for one in effects.wanted)
    assert balances(view) == before
    assert view.newest == (LOG, 20)
    [call] = [one for one in effects.wanted if isinstance(one, CallPeople)]
    return call.text


@pytest.mark.parametrize("position", [-HOUR, HOUR, -1])
def test_our_part_is_booked_by_the_decision_and_never_before(position: int) -> None:
    said = plan(position)
    view = told(said)
    ours = next(one.amount for one in said.shares if one.group == OOSTENDE)
    assert view.shared[ID].amount == ours
    assert balances(view) == (0, 0)
    assert decide(view, decision(said)).step is Step.SHARED
    assert balances(view) == (-ours, ours)
    # A debt that is taken over leaves the group owing more to the others.
    assert (balances(view)[0] > 0) == (ours < 0)
    assert "decided already" in assert_called(view, decision(said))


def test_who_leaves_something_behind_books_it_away() -> None:
    said = plan(
        group=OOSTENDE, shares=share_left(-HOUR, SharingRule.EQUAL, {MECHELEN: 1})
    )
    view = told(said)
    assert decide(view, decision(said)).step is Step.SHARED
    assert balances(view) == (-HOUR, HOUR)


def test_a_part_of_nothing_is_taken_and_books_nothing() -> None:
    shares = share_left(-1, SharingRule.EQUAL, {MECHELEN: 1, OOSTENDE: 1})
    assert shares[1].amount == 0
    view = told(plan(shares=shares))
    effects = decide(view, decision(plan(shares=shares)))
    assert effects.step is Step.SHARED
    assert not any(isinstance(one, PostEntry) for one in effects.wanted)


def test_what_we_were_not_told_before_is_not_booked() -> None:
    assert "never told" in assert_called(oostende(), decision(plan()))
    other = plan(-2 * HOUR)
    view = told(plan())
    assert "were told before" in assert_called(view, decision(other))
    # Not even under the hash of what we were told.
    same = decision(other, plan=decision(plan()).plan)
    assert "were told before" in assert_called(view, same)


def test_what_the_rule_does_not_give_is_not_booked() -> None:
    unfair = [
        Share(MECHELEN, 1, None, -1),
        Share(OOSTENDE, 1, None, 1 - HOUR),
    ]
    said = plan(shares=unfair)
    found = assert_called(told(said), decision(said))
    assert "where its rule gives" in found


def test_what_we_are_measured_by_is_compared_with_what_we_know() -> None:
    record = oostende().directory[OOSTENDE]
    room = record.ceiling - record.floor
    for measure, is_booked in ((room, True), (room + 1, False)):
        shares = share_left(
            -HOUR, SharingRule.SIZE, {MECHELEN: 5 * room, OOSTENDE: measure}
        )
        said = plan(rule="size", shares=shares)
        if is_booked:
            assert decide(told(said), decision(said)).step is Step.SHARED
        else:
            assert "measures us" in assert_called(told(said), decision(said))


def test_turnover_is_compared_with_our_statement() -> None:
    moves = [CycleMove(LOG, 3, ID, -HOUR), CycleMove(LOG, 4, ID, 2 * HOUR)]
    for measure, is_booked in ((3 * HOUR, True), (HOUR, False)):
        shares = share_left(
            -HOUR, SharingRule.TURNOVER, {MECHELEN: HOUR, OOSTENDE: measure}
        )
        said = plan(rule="turnover", cycle=1, shares=shares)
        view = told(said, waiting(Figures.of(0, tally_of(moves))))
        if is_booked:
            assert decide(view, decision(said)).step is Step.SHARED
        else:
            assert "measures us" in assert_called(view, decision(said))


def refused(view: NodeView, item: SharedPlan) -> Any:
    effects = rules.decide_plan(view, arrival("hub", item))
    [(to, said)] = sent(effects)
    assert to == "hub" and isinstance(said, ItemRefused)
    return said.code


def test_a_plan_that_is_not_ours_or_comes_twice_is_refused() -> None:
    others = share_left(-HOUR, SharingRule.EQUAL, {MECHELEN: 1})
    code = ItemRefusalCode
    assert refused(oostende(), plan(shares=others)) is code.NOT_YOURS
    assert refused(told(plan()), plan(-2 * HOUR)) is code.ID_REUSED


def charge(average: int = -HOUR, **changes: Any) -> SharedDecision:
    rule = ChargeRule(rate=10_000, threshold=0)
    room = 10**12
    standing = AveragePosition(average=average, floor=-room, ceiling=room)
    shares = share_charge({OOSTENDE: standing}, rule)
    said: dict[str, Any] = {"why": "charge", "group": None, "rule": None, "plan": None}
    paid = sum(one.amount for one in shares)
    return decision(
        plan(shares=shares),
        **said
        | {"rate": rule.rate, "threshold": rule.threshold, "reserve": -paid}
        | changes,
    )


def test_a_charge_is_booked_without_a_plan() -> None:
    view = oostende()
    assert decide(view, charge()).step is Step.SHARED
    assert balances(view) == (HOUR // 100, -HOUR // 100)
    wrong = msgspec.structs.replace(charge(), rate=20_000)
    assert "where its rule gives" in assert_called(oostende(), wrong)
    # A limit of the hub's own making would spare, or burden, whom it likes.
    held = msgspec.structs.replace(charge().shares[0], limit=HOUR)
    wrong = msgspec.structs.replace(charge(), shares=[held])
    assert "it holds us against" in assert_called(oostende(), wrong)


def test_a_member_who_has_the_accounts_name_is_not_booked_on() -> None:
    assert is_reserved(SHARED)
    view = told(plan())
    member = Account(SHARED, AccountKind.MEMBER, GROUP_UNIT)
    view.accounts[SHARED] = member
    assert "a member has the account" in assert_called(view, decision(plan()))
