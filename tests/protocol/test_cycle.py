"""Tallies chain, and two lists find the first move that differs with few questions."""

import pathlib
import random
import re

import msgspec
import pytest

from protocol import cycle
from protocol.cycle import Figures, Moves, Tally, answer_at_hub, answer_at_node
from protocol.messages import (
    ITEM_LENGTH_MAX,
    LIST_MARKS_MAX,
    LIST_MOVES_MAX,
    CycleList,
    CycleMark,
    CycleMove,
    read_item,
    write_line,
)
from protocol.strict_json import INTEGER_MAX
from protocol.unit import MILLISECONDS_MAX
from tests.protocol.makers import FEDERATION, hash_of, life_of

LOG = life_of("log")
STATEMENT = hash_of("statement")


def move(number: int, amount: int = 1_000) -> CycleMove:
    id_ = f"00000000-0000-8000-8000-{number:012x}"
    return CycleMove(LOG, number, id_, amount)


def moves_of(count: int, draw: random.Random) -> list[CycleMove]:
    return [
        move(place, draw.choice([-1, 1]) * draw.randint(1, 10**9))
        for place in range(count)
    ]


def test_a_tally_knows_what_came_and_what_went() -> None:
    tally = cycle.tally_of([move(1, -5), move(2, 3), move(3, -1)])
    assert (tally.debits, tally.credits, tally.count, tally.net) == (6, 3, 3, -3)
    assert Figures.of(10, tally).closing == 7


@pytest.mark.parametrize("seed", range(20))
def test_any_other_list_has_another_digest(seed: int) -> None:
    draw = random.Random(seed)
    listed = moves_of(20, draw)
    digest = cycle.tally_of(listed).digest
    place = draw.randrange(19)
    left_out = listed[:place] + listed[place + 1 :]
    swapped = [*listed[:place], listed[place + 1], listed[place], *listed[place + 2 :]]
    for changes in ({"amount": 7}, {"number": 99}, {"log": life_of("other")}):
        changed = list(listed)
        changed[place] = msgspec.structs.replace(listed[place], **changes)
        assert cycle.tally_of(changed).digest != digest
    for other in (left_out, swapped, [*listed, move(20)]):
        assert cycle.tally_of(other).digest != digest
    assert cycle.tally_of(listed).digest == digest


def search(hubs: Moves, nodes: Moves) -> tuple[list[CycleList], list[CycleList]]:
    """Play a dispute to its end: what the hub sent, and what the node sent."""
    from_hub = [hubs.marks(1, STATEMENT, 1, len(hubs))]
    from_node: list[CycleList] = []
    while True:
        from_node.append(answer_at_node(nodes, from_hub[-1]))
        if from_node[-1].moves is not None:
            return from_hub, from_node
        from_hub.append(answer_at_hub(hubs, from_node[-1]))
        assert len(from_hub) < 8


def named(hubs: list[CycleMove], nodes: list[CycleMove]) -> tuple[object, object, int]:
    """What both sides name, each told as (place, hub's, node's), and the rounds."""
    at_hub, at_node = Moves(hubs), Moves(nodes)
    from_hub, from_node = search(at_hub, at_node)
    place, nodes_move, hubs_move = at_node.difference(from_hub[-1])
    assert from_hub[-1].moves is not None
    found = at_hub.difference(from_node[-1])
    for said in [*from_hub, *from_node]:
        assert len(said.marks) <= LIST_MARKS_MAX
        assert read_item(write_line(said)) == said
    return found, (place, hubs_move, nodes_move), len(from_hub)


@pytest.mark.parametrize("seed", range(60))
def test_both_name_the_first_move_that_differs(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.choice([1, 2, 63, 64, 65, 128, 129, 4_097, 9_000])
    hubs = moves_of(count, draw)
    place = draw.choice([0, count - 1, draw.randrange(count)])
    nodes = list(hubs)
    match draw.choice(["amount", "missing", "extra", "ended"]):
        case "amount":
            nodes[place] = msgspec.structs.replace(nodes[place], amount=7)
        case "missing":
            del nodes[place]
        case "extra":
            nodes.insert(place, move(count + 1))
        case "ended":
            del nodes[place:]
    at = next(
        (
            at
            for at, (one, other) in enumerate(zip(hubs, nodes, strict=False))
            if one != other
        ),
        min(len(hubs), len(nodes)),
    )
    expected = (
        at + 1,
        hubs[at] if at < len(hubs) else None,
        nodes[at] if at < len(nodes) else None,
    )
    at_hub, at_node, rounds = named(hubs, nodes)
    assert at_hub == expected
    assert at_node == expected
    assert rounds <= 5


def test_lists_that_are_the_same_name_no_move() -> None:
    listed = moves_of(200, random.Random(1))
    at_hub, at_node, _ = named(listed, listed)
    assert at_hub == at_node == (201, None, None)


def test_a_hub_without_moves_is_told_of_the_nodes_first() -> None:
    extra = move(1)
    at_hub, at_node, _ = named([], [extra])
    assert at_hub == at_node == (1, None, extra)


@pytest.mark.parametrize("seed", range(50))
def test_marks_that_lie_lead_to_a_lawful_answer(seed: int) -> None:
    draw = random.Random(seed)
    ours = Moves(moves_of(300, draw))
    lie = CycleList(
        cycle=1,
        statement=STATEMENT,
        first=draw.choice([1, 300, 301, 10**6, INTEGER_MAX]),
        last=draw.choice([0, 1, 299, 10**9, INTEGER_MAX]),
        marks=[
            CycleMark(draw.choice([1, 250, 301, INTEGER_MAX]), hash_of("lie"))
            for _ in range(3)
        ],
        moves=None,
    )
    for answer in (answer_at_hub(ours, lie), answer_at_node(ours, lie)):
        assert read_item(write_line(answer)) == answer


def test_the_longest_lists_fit_an_item() -> None:
    far = INTEGER_MAX - LIST_MOVES_MAX
    longest = [
        CycleMove(LOG, far + place, move(1).id, -MILLISECONDS_MAX)
        for place in range(LIST_MOVES_MAX)
    ]
    said = msgspec.structs.replace(
        Moves(longest).moves(INTEGER_MAX, STATEMENT, 1, 10**6),
        first=far,
        last=INTEGER_MAX,
    )
    assert len(said.moves or []) == LIST_MOVES_MAX
    assert len(write_line(said)) <= ITEM_LENGTH_MAX
    marks = [CycleMark(far + place, STATEMENT) for place in range(LIST_MARKS_MAX)]
    assert len(write_line(msgspec.structs.replace(said, moves=None, marks=marks))) <= (
        ITEM_LENGTH_MAX
    )


def test_a_leg_of_another_place_has_another_id() -> None:
    one = cycle.leg_id(FEDERATION, 1, 0, "oostende", "mechelen")
    others = {
        cycle.leg_id(FEDERATION, 2, 0, "oostende", "mechelen"),
        cycle.leg_id(FEDERATION, 1, 1, "oostende", "mechelen"),
        cycle.leg_id(FEDERATION, 1, 0, "mechelen", "oostende"),
    }
    assert len(others) == 3 and one not in others
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab].*", one)


def test_the_digests_of_the_document_are_these() -> None:
    text = (pathlib.Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    listed = next(
        item
        for line in re.findall(r"^\{.*cycle\.list.*\}$", text, re.MULTILINE)
        if isinstance(item := read_item(line.encode()), CycleList) and item.moves
    )
    tallies = [Tally()]
    for one in listed.moves or []:
        tallies.append(tallies[-1].after(one))
    rows = re.findall(r"^\| (?:nothing|move \d) \| `(.{43})` \|$", text, re.MULTILINE)
    assert rows == [tally.digest for tally in tallies]
