"""Ribbons across a circle say what the matrix says, whoever paid whom how much."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing.api.transfers import FlowAnswer
from clearing.pages.chord import INNER, OUTER, Chord, Point, Span, chord
from clearing.pages.pictures import matrix
from protocol.unit import HOUR, MILLISECONDS_MAX

ALL = 10_000
NAMES = [f"group-{number:02}" for number in range(40)]


def flow(payer: str, payee: str, milliseconds: int, transfers: int = 1) -> FlowAnswer:
    return FlowAnswer(
        payer_group=payer,
        payee_group=payee,
        transfers=transfers,
        milliseconds=milliseconds,
    )


def flows_of(groups: int) -> st.SearchStrategy[list[FlowAnswer]]:
    """Flows between so many groups, one for each payer and payee at most."""
    names = st.sampled_from(NAMES[:groups])
    lengths = st.integers(1, MILLISECONDS_MAX) | st.integers(1, 10)
    pairs = st.dictionaries(st.tuples(names, names), lengths, min_size=1, max_size=60)
    return pairs.map(lambda found: [flow(*pair, ms) for pair, ms in found.items()])


FLOWS = st.sampled_from([1, 2, 3, 12, 40]).flatmap(flows_of)


def drawn(flows: list[FlowAnswer], ribbons_max: int = ALL) -> Chord:
    found = chord(flows, ribbons_max)
    assert found is not None
    return found


@settings(max_examples=40)
@given(FLOWS)
def test_ribbons_sum_to_the_matrix(flows: list[FlowAnswer]) -> None:
    found = drawn(flows)
    _, cells = matrix(flows)
    ribbons = {
        (one.flow.payer_group, one.flow.payee_group): one.source.length
        for one in found.ribbons
    }
    assert ribbons == {pair: cell.milliseconds for pair, cell in cells.items()}
    assert all(one.source.length == one.target.length for one in found.ribbons)
    assert found.left_out == 0


@settings(max_examples=40)
@given(FLOWS, st.integers(0, 20))
def test_what_is_not_drawn_is_the_smallest_and_is_told(
    flows: list[FlowAnswer], most: int
) -> None:
    found = drawn(flows, most)
    shown = [one.flow.milliseconds for one in found.ribbons]
    assert len(shown) == min(most, len(flows))
    assert sum(shown) + found.left_out == sum(one.milliseconds for one in flows)
    assert shown == sorted((one.milliseconds for one in flows), reverse=True)[:most]
    # The arcs are as long as ever.
    assert found.arcs == drawn(flows).arcs


@settings(max_examples=40)
@given(FLOWS)
def test_an_arc_is_as_long_as_all_that_its_group_paid_and_received(
    flows: list[FlowAnswer],
) -> None:
    found = drawn(flows)
    for arc in found.arcs:
        paid = [one.milliseconds for one in flows if one.payer_group == arc.group]
        received = [one.milliseconds for one in flows if one.payee_group == arc.group]
        assert (arc.paid, arc.received) == (sum(paid), sum(received))
        assert arc.span.length == arc.paid + arc.received
    assert sum(arc.paid for arc in found.arcs) == sum(
        one.received for one in found.arcs
    )


@settings(max_examples=40)
@given(FLOWS)
def test_nothing_lies_over_anything_else_on_the_circle(
    flows: list[FlowAnswer],
) -> None:
    found = drawn(flows)
    arcs = [arc.span for arc in found.arcs]
    assert arcs[0].begin >= 0 and arcs[-1].end < found.turn
    assert all(one.end < other.begin for one, other in pairwise(arcs))
    for arc in found.arcs:
        ends = [
            one.source for one in found.ribbons if one.flow.payer_group == arc.group
        ]
        ends += [
            one.target for one in found.ribbons if one.flow.payee_group == arc.group
        ]
        ends.sort(key=lambda one: one.begin)
        # End to end, from the arc's beginning to its end.
        assert [arc.span.begin, *(one.end for one in ends)] == [
            *(one.begin for one in ends),
            arc.span.end,
        ]


@settings(max_examples=40)
@given(FLOWS, st.randoms())
def test_the_order_in_which_flows_are_told_changes_nothing(
    flows: list[FlowAnswer], draw: random.Random
) -> None:
    other = flows.copy()
    draw.shuffle(other)
    assert drawn(other) == drawn(flows)


def crosses(one: tuple[Span, Span], other: tuple[Span, Span]) -> bool:
    """Say whether two ribbons cross: one end of the other lies between ends of one."""
    low, high = sorted(end.middle for end in one)
    return len([end for end in other if low < end.middle < high]) == 1


@settings(max_examples=40)
@given(FLOWS)
def test_ribbons_of_one_group_cross_no_other_of_it(flows: list[FlowAnswer]) -> None:
    # One millisecond among many has its middle where its end is.
    found = drawn([flow(one.payer_group, one.payee_group, 1000) for one in flows])
    for one in found.ribbons:
        for other in found.ribbons:
            groups = {one.flow.payer_group, one.flow.payee_group}
            others = {other.flow.payer_group, other.flow.payee_group}
            if one is not other and groups & others and len(groups) == len(others) == 2:
                ends = (one.source, one.target), (other.source, other.target)
                assert not crosses(*ends), (one.flow, other.flow)


@settings(max_examples=40)
@given(FLOWS)
def test_all_points_are_inside_of_the_picture(flows: list[FlowAnswer]) -> None:
    found = drawn(flows)
    for arc in found.arcs:
        for point, radius in zip(
            arc.corners, (OUTER, OUTER, INNER, INNER), strict=True
        ):
            assert abs(length(point) - radius) <= 1
        assert arc.label is None or length(arc.label) < 480
    for one in found.ribbons:
        for point in (*one.start, *one.foot, *one.tip):
            assert length(point) <= INNER + 1


def length(point: Point) -> float:
    return float((point.x**2 + point.y**2) ** 0.5)


@pytest.mark.parametrize(
    ("milliseconds", "hours"),
    [(1, 0), (HOUR // 2 - 1, 0), (HOUR // 2, 1), (HOUR, 1), (3 * HOUR // 2, 2)],
)
def test_a_matrix_without_room_has_whole_hours(milliseconds: int, hours: int) -> None:
    flows = [flow("b", "a", milliseconds), flow("c", "b", 9 * HOUR)]
    names, cells = matrix(flows)
    assert cells["b", "a"].hours == hours
    # A column's number is the one that stands beside the arc.
    assert names == [arc.group for arc in drawn(flows).arcs]


def test_numbers_stand_apart() -> None:
    # 30 groups that paid a little beside ten that paid much.
    flows = [
        flow(name, NAMES[0], 10**9 if place % 4 == 0 else 1)
        for place, name in enumerate(NAMES[1:], 1)
    ]
    labels = [arc.label for arc in drawn(flows).arcs if arc.label]
    assert 10 <= len(labels) < 40
    for place, one in enumerate(labels):
        for other in labels[place + 1 :]:
            assert (one.x - other.x) ** 2 + (one.y - other.y) ** 2 > 45**2
    # The numbers themselves are always counted through.
    assert [arc.number for arc in drawn(flows).arcs] == list(range(1, 41))


def test_one_group_two_groups_and_none() -> None:
    assert chord([], ALL) is None
    assert chord([flow("a", "b", 0)], ALL) is None
    [alone] = drawn([flow("a", "a", 5)]).arcs
    assert alone.is_large and alone.span.length == 10
    first, second = drawn([flow("b", "a", 3000)]).arcs
    assert (first.group, second.group) == ("a", "b")
    assert (first.paid, first.received) == (0, 3000) == (second.received, second.paid)
    assert not first.is_large and not second.is_large
    # The circle begins at its top: the first group is to the right of it.
    assert first.corners[0].x > 0 and first.corners[0].y < 0


@pytest.mark.parametrize("ribbons_max", [0, 1])
def test_a_flow_of_nothing_is_no_ribbon(ribbons_max: int) -> None:
    found = drawn([flow("a", "b", 0), flow("b", "c", 7)], ribbons_max)
    assert [arc.span.length for arc in found.arcs] == [0, 7, 7]
    assert len(found.ribbons) == ribbons_max
