"""Flows, savings and positions: nothing is lost, and no way clears more than ours."""

import random
import time

import msgspec
import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address import RESERVE
from protocol.errors import LedgerBrokenError, MalformedMessageError
from protocol.netting import (
    GROUPS_MAX,
    PAIRS_MAX,
    POSITION_MAX,
    Circulation,
    Flows,
    Left,
    Leg,
    check_circulation,
    close_positions,
    compute_savings,
    default_targets,
    gather,
    largest_circulation,
    make_plan,
    settle,
    split_legs,
    towards_targets,
)
from protocol.netting import circulation as circulation_module
from protocol.netting import savings as savings_module
from protocol.unit import MILLISECONDS_MAX
from tests.protocol.trade import skewed

names = st.sampled_from(["aalst", "brussel", "deinze", "gent", "ieper", "kortrijk"])
transfers = st.lists(
    st.tuples(
        names, names, st.one_of(st.integers(1, 9), st.integers(1, 10**14))
    ).filter(lambda one: one[0] != one[1]),
    max_size=40,
)


def hours(*told: tuple[str, str, int]) -> Flows:
    return gather(told)


def left(milliseconds: int, payments: int) -> Left:
    return Left(milliseconds=milliseconds, payments=payments)


def test_three_groups_in_a_circle_owe_nothing() -> None:
    savings = compute_savings(
        hours(("aalst", "brussel", 5), ("brussel", "gent", 5), ("gent", "aalst", 5))
    )
    assert savings.gross == savings.bilateral == left(15, 3)
    assert savings.multilateral == savings.novation == left(0, 0)
    assert (savings.cleared, savings.payments_saved) == (15, 3)


def test_a_chain_clears_by_novation_alone() -> None:
    savings = compute_savings(hours(("aalst", "brussel", 5), ("brussel", "gent", 5)))
    assert savings.gross == savings.bilateral == savings.multilateral == left(10, 2)
    assert savings.novation == left(5, 2)


def test_two_groups_net_what_they_owe_each_other() -> None:
    flows = hours(("aalst", "gent", 5), ("aalst", "gent", 2), ("gent", "aalst", 3))
    savings = compute_savings(flows)
    assert savings.gross == left(10, 3)
    assert savings.bilateral == savings.multilateral == left(4, 1)
    assert savings.novation == left(4, 2)


def test_two_groups_that_owe_each_other_the_same_need_not_pay() -> None:
    savings = compute_savings(hours(("aalst", "gent", 5), ("gent", "aalst", 5)))
    assert savings.gross == left(10, 2)
    assert savings.bilateral == savings.multilateral == savings.novation == left(0, 0)


def test_a_cycle_without_trade_has_nothing_to_net() -> None:
    savings = compute_savings(gather([]))
    assert {savings.gross, savings.bilateral, savings.novation} == {left(0, 0)}


@pytest.mark.parametrize("amount", [0, -1, MILLISECONDS_MAX + 1, 1.0, True])
def test_what_no_transfer_moves_is_refused(amount: int) -> None:
    with pytest.raises(MalformedMessageError, match="milliseconds"):
        gather([("aalst", "gent", 1), ("aalst", "gent", amount)])


def test_a_group_cannot_pay_itself() -> None:
    with pytest.raises(MalformedMessageError, match="payee group"):
        gather([("gent", "gent", 1)])


@given(transfers, st.randoms())
def test_gross_flows_are_conserved_in_any_order(
    made: list[tuple[str, str, int]], draw: random.Random
) -> None:
    flows = gather(iter(made))
    assert flows.gross == sum(amount for *_, amount in made)
    assert sum(flows.net().values()) == 0
    again = list(made)
    draw.shuffle(again)
    assert gather(again).net() == flows.net()
    assert compute_savings(gather(again)) == compute_savings(flows)


@given(transfers)
def test_each_way_clears_at_least_what_the_one_before_it_does(
    made: list[tuple[str, str, int]],
) -> None:
    savings = compute_savings(gather(made))
    assert savings.multilateral is not None
    values = [
        one.milliseconds
        for one in (
            savings.novation,
            savings.multilateral,
            savings.bilateral,
            savings.gross,
        )
    ]
    assert values == sorted(values)


def cleared_by_networkx(flows: Flows) -> int:
    graph = networkx.DiGraph()
    for payer, row in flows.paid.items():
        for payee, most in row.items():
            graph.add_edge(payer, payee, capacity=most, weight=-1)
    if not graph:
        return 0
    cost, _ = networkx.network_simplex(graph)
    return -int(cost)


@given(transfers)
def test_no_circulation_clears_more_says_networkx(
    made: list[tuple[str, str, int]],
) -> None:
    flows = gather(made)
    found = largest_circulation(flows)
    check_circulation(flows, found)
    assert flows.gross - found.value == cleared_by_networkx(flows)


@pytest.mark.parametrize(
    ("groups", "many"), [(20, 2_000), (60, 700), (200, 600), (100, 4_000)]
)
@pytest.mark.parametrize("seed", range(2))
def test_skewed_trade_nets_as_networkx_says(groups: int, many: int, seed: int) -> None:
    flows = gather(skewed(groups, many, seed))
    found = largest_circulation(flows)
    assert flows.gross - found.value == cleared_by_networkx(flows)


@given(transfers)
def test_what_stays_of_a_circulation_clears_no_further(
    made: list[tuple[str, str, int]],
) -> None:
    flows = gather(made)
    once = largest_circulation(flows)
    again = largest_circulation(Flows(once.left, once.payments))
    assert again.left == once.left
    assert Flows(once.left, 0).net() == {
        group: gained
        for group, gained in flows.net().items()
        if any(group in (payer, *row) for payer, row in once.left.items())
    }


RING = gather(
    [
        ("aalst", "gent", 5),
        ("gent", "ieper", 4),
        ("ieper", "aalst", 4),
        ("aalst", "deinze", 2),
    ]
)


def ring(cleared: int) -> dict[str, dict[str, int]]:
    """What stays when so much has gone round; 4 can."""
    return {
        "aalst": {"gent": 5 - cleared, "deinze": 2},
        "gent": {"ieper": 4 - cleared},
        "ieper": {"aalst": 4 - cleared},
    }


@pytest.mark.parametrize("cleared", [0, 3])
def test_a_circulation_that_could_be_larger_is_seen_through(cleared: int) -> None:
    prices = largest_circulation(RING).prices
    with pytest.raises(LedgerBrokenError, match="not optimal"):
        check_circulation(RING, Circulation(ring(cleared), prices))


@pytest.mark.parametrize(
    ("stays", "told"),
    [
        ({"aalst": {"gent": 1}}, "changes what a group has gained"),
        ({"aalst": {"gent": 6, "deinze": 2}}, "aalst to gent: 6"),
        ({"aalst": {"gent": 0, "deinze": 2}}, "aalst to gent: 0"),
        ({"gent": {"aalst": 1}}, "gent to aalst: 1"),
    ],
)
def test_a_circulation_that_is_none_is_seen_through(
    stays: dict[str, dict[str, int]], told: str
) -> None:
    prices = largest_circulation(RING).prices
    with pytest.raises(LedgerBrokenError, match=told):
        check_circulation(RING, Circulation(stays, prices))


def test_no_prices_prove_another_circulation() -> None:
    # Whatever the prices: what is not optimal has none that fit.
    draw = random.Random(1)
    for _ in range(500):
        prices = {group: draw.randrange(-3, 4) for group in RING.net()}
        with pytest.raises(LedgerBrokenError, match="not optimal"):
            check_circulation(RING, Circulation(ring(3), prices))


@pytest.mark.parametrize("bound", ["GROUPS_MAX", "PAIRS_MAX"])
def test_a_circulation_is_left_out_just_beyond_its_bounds(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    size = {"GROUPS_MAX": 4, "PAIRS_MAX": 4}[bound]
    assert len(RING.net()) == RING.pairs == size
    monkeypatch.setattr(savings_module, bound, size)
    assert compute_savings(RING).multilateral is not None
    monkeypatch.setattr(savings_module, bound, size - 1)
    savings = compute_savings(RING)
    assert savings.multilateral is None
    assert savings.novation == left(3, 3)


def test_a_search_that_takes_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One look at the four flows, both ways, and at what each of three groups nets.
    looks = 4 * (4 + 3)
    monkeypatch.setattr(circulation_module, "LOOKS_MAX", looks)
    assert compute_savings(RING).multilateral == left(3, 2)
    monkeypatch.setattr(circulation_module, "LOOKS_MAX", looks - 1)
    assert compute_savings(RING).multilateral is None


@pytest.mark.parametrize(
    ("groups", "many", "apart"), [(20, 2_000, 15), (50, 1_000, 25), (100, 12_000, 20)]
)
def test_groups_gain_by_novation_what_the_notes_have_measured(
    groups: int, many: int, apart: int
) -> None:
    # On published obligation networks of 20 to 100 groups: circulation 2 to 15 points
    # below novation, and bilateral netting far below both.
    savings = compute_savings(gather(skewed(groups, many, 7)))
    assert savings.multilateral is not None
    shares = [
        100
        * (savings.gross.milliseconds - one.milliseconds)
        // savings.gross.milliseconds
        for one in (savings.bilateral, savings.multilateral, savings.novation)
    ]
    assert shares[0] < shares[1] < shares[2] < shares[1] + apart


def test_positions_go_from_opening_to_closing() -> None:
    opening = {"aalst": 10, "gent": -12, RESERVE: 2}
    charged = {"aalst": -1, "gent": -1, RESERVE: 2}
    flows = hours(("gent", "aalst", 5), ("gent", "ieper", 1))
    closing = close_positions(opening, flows.net(), charged)
    assert closing == {"aalst": 14, "gent": -19, "ieper": 1, RESERVE: 4}
    assert list(closing) == sorted(closing)


@given(transfers)
def test_closing_positions_sum_to_zero(made: list[tuple[str, str, int]]) -> None:
    flows = gather(made)
    assert sum(close_positions({}, flows.net()).values()) == 0


def test_positions_that_do_not_sum_to_zero_stop_the_close() -> None:
    with pytest.raises(LedgerBrokenError, match="opening: sum to 1"):
        close_positions({"aalst": 1})
    with pytest.raises(LedgerBrokenError, match="gains: sum to -1"):
        close_positions({}, {"aalst": -1})


def test_a_position_may_reach_what_json_holds_and_no_more() -> None:
    opening = {"aalst": POSITION_MAX - 1, "gent": 1 - POSITION_MAX}
    one = hours(("gent", "aalst", 1)).net()
    assert close_positions(opening, one)["aalst"] == 2**53 - 1
    with pytest.raises(MalformedMessageError, match="position of"):
        close_positions(opening, one, one)


def test_targets_are_zero_while_the_reserve_has_nothing() -> None:
    targets = default_targets({"gent": 5, "aalst": -5, RESERVE: 0})
    assert targets == {"aalst": 0, "gent": 0, RESERVE: 0}
    assert default_targets({}) == {}


def test_debtors_keep_what_the_reserve_is_owed() -> None:
    positions = {"aalst": -10, "brussel": -5, "gent": 12, RESERVE: 3}
    targets = default_targets(positions)
    assert targets == {"aalst": -2, "brussel": -1, "gent": 0, RESERVE: 3}


def test_creditors_keep_what_the_reserve_owes() -> None:
    positions = {"aalst": 10, "brussel": 5, "gent": -12, RESERVE: -3}
    targets = default_targets(positions)
    assert targets == {"aalst": 2, "brussel": 1, "gent": 0, RESERVE: -3}


@given(
    st.dictionaries(names, st.integers(-50, 50), min_size=1),
    st.sampled_from([1, 10**13]),
)
def test_targets_lie_between_position_and_zero_and_legs_reach_them(
    groups: dict[str, int], scale: int
) -> None:
    positions = {group: scale * one for group, one in groups.items()}
    positions[RESERVE] = -sum(positions.values())
    targets = default_targets(positions)
    assert sum(targets.values()) == 0
    assert targets[RESERVE] == positions[RESERVE]
    for group, target in targets.items():
        assert min(0, positions[group]) <= target <= max(0, positions[group])
    plan = make_plan(positions, targets)
    assert settle(positions, plan.legs) == targets
    assert make_plan(targets, targets).legs == ()


def test_who_is_excepted_stays_and_the_others_keep_what_that_leaves() -> None:
    positions = {"aalst": -10, "brussel": -5, "gent": 12, "ieper": 3, RESERVE: 0}
    targets = default_targets(positions, ["ieper"])
    assert targets == {"aalst": -2, "brussel": -1, "gent": 0, "ieper": 3, RESERVE: 0}
    targets = default_targets(positions, ["aalst", "ieper"])
    assert targets == {"aalst": -10, "brussel": 0, "gent": 7, "ieper": 3, RESERVE: 0}
    assert default_targets(positions, list(positions)[:-1]) == positions


@given(
    st.dictionaries(names, st.integers(-50, 50), min_size=1),
    st.data(),
    st.sampled_from([1, 10**13]),
)
def test_with_exceptions_all_others_come_as_near_to_zero_as_can_be(
    groups: dict[str, int], data: st.DataObject, scale: int
) -> None:
    positions = {group: scale * one for group, one in groups.items()}
    positions[RESERVE] = -sum(positions.values())
    excepted = data.draw(st.lists(st.sampled_from(sorted(groups)), unique=True))
    targets = default_targets(positions, excepted)
    others = [group for group in groups if group not in excepted]
    for group in (*excepted, RESERVE):
        assert targets[group] == positions[group]
    # No targets of the others, with the sum that they must have, are nearer to zero.
    held = sum(positions[group] for group in (*excepted, RESERVE))
    assert sum(targets[group] for group in others) == -held
    assert sum(abs(targets[group]) for group in others) == abs(held)
    sizes = sum(
        abs(positions[group]) for group in others if positions[group] * held < 0
    )
    for group in others:
        assert min(0, positions[group]) <= targets[group] <= max(0, positions[group])
        if targets[group]:
            exact = abs(held) * abs(positions[group])
            assert abs(abs(targets[group]) * sizes - exact) < sizes
    plan = make_plan(positions, targets)
    assert settle(positions, plan.legs) == targets
    assert not {one.debtor for one in plan.legs} & {*excepted, RESERVE}
    assert not {one.creditor for one in plan.legs} & {*excepted, RESERVE}
    assert default_targets(positions, excepted[::-1]) == targets
    assert towards_targets(positions, [], excepted) == (
        {group: positions[group] for group in sorted(positions)},
        targets,
    )


@given(
    st.dictionaries(names, st.integers(-50, 50), min_size=2),
    st.data(),
)
def test_whatever_was_settled_since_a_plan_leads_towards_zero(
    groups: dict[str, int], data: st.DataObject
) -> None:
    closing = dict(groups)
    closing[RESERVE] = -sum(closing.values())
    some = st.lists(st.sampled_from(sorted(groups)), unique=True, max_size=3)
    settled: list[Leg] = []
    before = closing
    for _ in range(3):
        now, targets = towards_targets(closing, settled, data.draw(some))
        assert now == settle(closing, settled)
        for group in groups:
            least, most = sorted((0, now[group]))
            assert least <= targets[group] <= most
            least, most = sorted((0, before[group]))
            assert least <= now[group] <= most
        before = now
        legs = make_plan(now, targets).legs
        settled += [leg for leg in legs if data.draw(st.booleans())]


def test_what_one_leg_cannot_carry_goes_in_several() -> None:
    legs = [Leg("aalst", "gent", 7), Leg("brussel", "gent", 3)]
    assert split_legs(legs, 3) == [
        Leg("aalst", "gent", 3),
        Leg("aalst", "gent", 3),
        Leg("aalst", "gent", 1),
        Leg("brussel", "gent", 3),
    ]


def test_a_leg_moves_the_debtor_up_and_the_creditor_down() -> None:
    assert settle({"aalst": -5, "gent": 5}, [Leg("aalst", "gent", 5)]) == {
        "aalst": 0,
        "gent": 0,
    }


@pytest.mark.slow
def test_ten_thousand_groups_and_a_million_transfers_close_within_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = list(skewed(10_000, 1_010_000, 1))[:1_000_000]
    before = time.process_time()
    flows = gather(made)
    savings = compute_savings(flows)
    closing = close_positions({RESERVE: 0}, flows.net())
    plan = make_plan(closing, default_targets(closing))
    took = time.process_time() - before
    with capsys.disabled():
        told = f"{flows.transfers:,} transfers, {flows.pairs:,} pairs, {len(closing):,}"
        print(f"\n{told} positions, {len(plan.legs):,} legs: {took:.1f} s of computing")
    assert flows.transfers == 1_000_000
    assert plan.milliseconds == savings.novation.milliseconds
    assert took < 10


@pytest.mark.slow
def test_a_circulation_at_its_bounds_takes_seconds_and_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flows = gather(skewed(GROUPS_MAX, 72_000, 1))
    before = time.process_time()
    savings = compute_savings(flows)
    took = time.process_time() - before
    with capsys.disabled():
        print(f"\ncirculation among {flows.pairs:,} pairs: {took:.1f} s of computing")
    assert PAIRS_MAX * 0.9 < flows.pairs <= PAIRS_MAX
    assert savings.multilateral is not None
    assert took < 10


def test_figures_are_written_as_anyone_would() -> None:
    written = msgspec.json.encode(compute_savings(RING))
    assert written == (
        b'{"gross":{"milliseconds":15,"payments":4},'
        b'"bilateral":{"milliseconds":15,"payments":4},'
        b'"multilateral":{"milliseconds":3,"payments":2},'
        b'"novation":{"milliseconds":3,"payments":3}}'
    )
