"""What a node does with what groups share: by rules alone."""

import random
from typing import Any

import msgspec
import pytest

from nodes import cycles, rules
from nodes.rules import CLEARING, SHARED, SHARED_APART, NodeView, is_reserved
from protocol.address import Group, read_address
from protocol.cycle import Figures, tally_of
from protocol.effects import CallPeople, Effects, PostEntry, SendItem
from protocol.errors import ItemRefusalCode, MalformedMessageError
from protocol.ledger import GROUP_UNIT, Account, AccountKind
from protocol.messages import (
    CycleMove,
    ItemRefused,
    Share,
    SharedDecision,
    SharedPlan,
    line_hash,
    read_item,
    write_line,
)
from protocol.shared import charge_id, share_charge, share_left, what_is_wrong
from protocol.sharing import AveragePosition, ChargeRule, SharingRule
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX
from tests.nodes.makers import know, oostende
from tests.nodes.test_cycles import waiting
from tests.peer.makers import LOG, arrival, carry_out, in_state, later, sent
from tests.protocol.makers import (
    AT,
    FEDERATION,
    ID,
    MECHELEN,
    OOSTENDE,
    life_of,
)

HOUR = 3_600_000


IEPER, GENT = Group("ieper"), Group("gent")


def with_ieper(view: NodeView | None = None, state: Any = "left") -> NodeView:
    """Ieper is in the directory too, and has left."""
    view = view or oostende()
    left = msgspec.structs.replace(view.directory[MECHELEN], state=state)
    know(view, {**view.directory, IEPER: left})
    return view


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
    view = with_ieper(view)
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
    assert view.newest == (item.log, item.number)
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
    view.directory = in_state(view.directory, OOSTENDE, "left")
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
    assert "never told" in assert_called(with_ieper(), decision(plan()))
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
    for others, ours, wrong in (
        (room, room, ""),
        (room, room + 1, "measures us"),
        # Limits stand in everybody's directory.
        (room + 1, room, "measures mechelen"),
    ):
        measures = {MECHELEN: others, OOSTENDE: ours}
        said = plan(rule="size", shares=share_left(-HOUR, SharingRule.SIZE, measures))
        if wrong:
            assert wrong in assert_called(told(said), decision(said))
        else:
            assert decide(told(said), decision(said)).step is Step.SHARED


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
    # Of a cycle that never stated anything to us nothing is believed either.
    said = plan(rule="turnover", cycle=7, shares=said.shares)
    assert "where we have 0" in assert_called(told(said), decision(said))


@pytest.mark.parametrize(
    ("state", "bears"),
    [("active", True), ("leaving", True), ("frozen", False), ("left", False)],
)
def test_nobody_is_left_out_who_has_to_bear_a_part(state: str, bears: bool) -> None:
    two, three = {MECHELEN: 1, OOSTENDE: 1}, {GENT: 1, MECHELEN: 1, OOSTENDE: 1}
    for measures, is_right in ((two, not bears), (three, bears)):
        said = plan(shares=share_left(-HOUR, SharingRule.EQUAL, measures))
        view = with_ieper()
        gent = msgspec.structs.replace(view.directory[MECHELEN], state=state)
        view.directory = {**view.directory, GENT: gent}
        told(said, view)
        if is_right:
            assert decide(view, decision(said)).step is Step.SHARED
        else:
            assert "who bear a part gent" in assert_called(view, decision(said))


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


def test_a_plan_that_is_none_is_refused_and_people_are_called() -> None:
    most = INTEGER_MAX
    for changes, told_of in (
        ({"group": "nobody"}, "nobody knows a group nobody"),
        ({"shares": [Share("no-group", 1, None, -1), OURS]}, "no-group"),
        ({"shares": [OURS, OURS]}, "not each named once"),
        ({"shares": [OURS, Share(MECHELEN, 1, None, -1)]}, "in name order"),
        ({"group": MECHELEN, "shares": [Share(MECHELEN, 1, None, -1), OURS]}, "once"),
        ({"shares": [Share(MECHELEN, 1, None, -most), OURS]}, "anyone can state"),
    ):
        view = with_ieper()
        effects = rules.decide_plan(view, arrival("hub", plan(**changes)))
        [(_, said)] = sent(effects)
        assert isinstance(said, ItemRefused)
        assert said.code is ItemRefusalCode.NOT_YOURS
        [call] = [one for one in effects.wanted if isinstance(one, CallPeople)]
        assert told_of in call.text
        assert not view.shared


OURS = Share(OOSTENDE, 1, None, -1)


def test_no_position_of_ours_passes_what_a_statement_says() -> None:
    for before, is_booked in ((-INTEGER_MAX + 1, True), (-INTEGER_MAX, False)):
        said = plan(-2)
        view = told(said)
        # Our position is the negative of it.
        view.accounts[CLEARING].balance = -before
        if is_booked:
            assert decide(view, decision(said)).step is Step.SHARED
        else:
            assert "anyone can state" in assert_called(view, decision(said))


def charge(average: int = -HOUR, **changes: Any) -> SharedDecision:
    rule = ChargeRule(rate=10_000, threshold=0)
    room = 10**12
    standing = AveragePosition(average=average, floor=-room, ceiling=room)
    shares = share_charge({OOSTENDE: standing}, rule)
    said: dict[str, Any] = {
        "why": "charge",
        "id": charge_id(FEDERATION, 1),
        "cycle": 1,
        "number": 10,
        "group": None,
        "rule": None,
        "plan": None,
    }
    paid = sum(one.amount for one in shares)
    return decision(
        plan(shares=shares),
        **said
        | {"rate": rule.rate, "threshold": rule.threshold, "reserve": -paid}
        | changes,
    )


def test_a_charge_is_booked_without_a_plan() -> None:
    view = waiting()
    assert decide(view, charge()).step is Step.SHARED
    assert balances(view) == (HOUR // 100, -HOUR // 100)
    assert "decided already" in assert_called(view, charge())
    wrong = msgspec.structs.replace(charge(), rate=20_000)
    assert "where its rule gives" in assert_called(waiting(), wrong)
    # A limit of the hub's own making would spare, or burden, whom it likes.
    held = msgspec.structs.replace(charge().shares[0], limit=HOUR)
    wrong = msgspec.structs.replace(charge(), shares=[held])
    assert "it holds us against" in assert_called(waiting(), wrong)


def test_a_charge_belongs_to_the_end_of_a_cycle_and_comes_once() -> None:
    for changes, told_of in (
        ({"id": ID}, "does not bear the name"),
        ({"cycle": 2}, "does not bear the name"),
        ({"cycle": 2, "id": charge_id(FEDERATION, 2)}, "no end of cycle 2"),
        ({"number": 11}, "does not follow"),
        ({"log": life_of("another")}, "does not follow"),
    ):
        assert told_of in assert_called(waiting(), charge(**changes))


def test_where_a_member_has_the_accounts_name_another_is_booked_on() -> None:
    assert is_reserved(SHARED) and is_reserved(SHARED_APART)
    with pytest.raises(MalformedMessageError):
        read_address(f"{SHARED_APART}@{OOSTENDE}")
    view = told(plan())
    member = Account(SHARED, AccountKind.MEMBER, GROUP_UNIT)
    view.accounts[SHARED] = member
    assert decide(view, decision(plan())).step is Step.SHARED
    ours = plan().shares[1].amount
    apart = view.accounts[SHARED_APART]
    assert (apart.balance, apart.kind) == (ours, AccountKind.SYSTEM)
    assert (view.accounts[CLEARING].balance, member.balance) == (-ours, 0)


def some_item(draw: random.Random, kept: list[SharedPlan]) -> Any:
    """Make a plan or a decision as a hub may send it that lies or has gone mad."""
    far = [0, 1, -1, -HOUR, HOUR, INTEGER_MAX, -INTEGER_MAX]
    names = [OOSTENDE, MECHELEN, GENT, IEPER, "nobody", "hub", "reserve"]
    new = f"00000000-0000-8000-8000-{draw.randrange(9):012}"
    if draw.random() < 0.2:
        return plan(draw.choice(far) or 5, id=new)
    if kept and draw.random() < 0.4:
        said = draw.choice(kept)
        item: Any = decision(said)
    else:
        chosen = draw.sample(names, draw.randint(0, 4))
        rule = draw.choice(list(SharingRule))
        shares = [
            Share(
                name, draw.choice(far), draw.choice([None, 0, HOUR]), draw.choice(far)
            )
            for name in chosen
        ]
        if draw.random() < 0.7:
            weights = {name: draw.choice([1, 1, HOUR]) for name in chosen or [OOSTENDE]}
            shares = share_left(draw.choice(far) or 5, rule, weights)
        item = plan(
            id=new,
            group=draw.choice(names),
            cycle=draw.choice([0, 1, 2, INTEGER_MAX]),
            rule=rule.value,
            shares=shares,
        )
        if draw.random() < 0.3:
            item = charge(shares=shares, rate=draw.choice([0, 1, 10**6, INTEGER_MAX]))
    if draw.random() < 0.3 and isinstance(item, SharedDecision):
        changes = {
            "why": draw.choice(["debt", "charge"]),
            "group": draw.choice([None, *names]),
            "reserve": draw.choice([0, 1, INTEGER_MAX]),
            "threshold": draw.choice([None, 0, INTEGER_MAX]),
            "cycle": draw.choice([0, 1, INTEGER_MAX]),
        }
        name = draw.choice(list(changes))
        item = msgspec.structs.replace(item, **{name: changes[name]})
    return item


def test_whatever_a_hub_sends_is_booked_lawfully_or_not_at_all() -> None:
    draw, view, booked, called = random.Random(22), with_ieper(waiting()), 0, 0
    kept: list[SharedPlan] = []
    for number in range(4000):
        if number % 40 == 0:
            view, kept = with_ieper(waiting()), []
        item = some_item(draw, kept)
        arrived = arrival("hub", read_item(write_line(item)))
        before = dict(view.shared), balances(view)
        cycles.touches(view, arrived)
        effects = carry_out(view, cycles.decide(view, arrived, later(1)))
        kinds = {type(one) for one in effects.wanted}
        called += CallPeople in kinds
        if isinstance(item, SharedPlan) and effects.step is Step.SHARES_TOLD:
            kept.append(item)
        if effects.step is Step.SHARED:
            assert what_is_wrong(item) is None
            booked += PostEntry in kinds
        else:
            assert balances(view) == before[1] and PostEntry not in kinds
        if effects.step is None:
            assert dict(view.shared) == before[0]
            # Nothing is passed over in silence.
            assert kinds & {CallPeople, SendItem}
        assert abs(view.accounts[CLEARING].balance) <= INTEGER_MAX
        assert sum(balances(view)) == 0
    assert booked > 20 and called > 500
