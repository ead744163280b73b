"""Moves, tallies and digests of a cycle, the lists of a dispute, and a leg's id."""

import json  # noqa: TID251 - another reader than ours

import msgspec

from protocol import cycle, messages
from protocol.messages import CycleMove, DecisionName
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE, life_of


def _moves(count: int) -> list[CycleMove]:
    return [
        CycleMove(
            life_of("log"),
            3 * place,
            f"00000000-0000-8000-8000-{place:012d}",
            60_000 * (place if place % 3 else -place),
        )
        for place in range(1, count + 1)
    ]


def cycle_moves() -> object:
    """A hub's list, a node's that lacks one move, and what they say to each other."""
    hubs = _moves(200)
    nodes = [*hubs[:117], *hubs[118:]]
    name = DecisionName(life_of("log"), 700)
    figures = cycle.Figures.of(-60_000, cycle.tally_of(hubs))
    stated = cycle.write_statement(OOSTENDE, 3, None, name, figures, (0, 60_000))
    line = messages.write_line(stated)
    at_hub, at_node = cycle.Moves(hubs), cycle.Moves(nodes)
    statement = messages.line_hash(line)
    said = [("hub", at_hub.marks(3, statement, 1, len(hubs)))]
    while said[-1][1].moves is None or said[-1][0] == "hub":
        by, listed = said[-1]
        if by == "hub":
            said.append(("node", cycle.answer_at_node(at_node, listed)))
        else:
            said.append(("hub", cycle.answer_at_hub(at_hub, listed)))
    first = []
    tally = cycle.Tally()
    for move in hubs[:3]:
        tally = tally.after(move)
        first.append({"move": _plain(move), "digest": tally.digest})
    return {
        "moves": "number 3 x place in log, amount 60000 x place, every third negative",
        "first": first,
        "statement": line.decode(),
        "nodes_figures": _plain(cycle.Figures.of(-60_000, cycle.tally_of(nodes))),
        "missing": 118,
        "dispute": [
            {"by": by, "line": messages.write_line(listed).decode()}
            for by, listed in said
        ],
        "leg_ids": [
            {
                "cycle": number,
                "place": place,
                "debtor": OOSTENDE,
                "creditor": MECHELEN,
                "id": cycle.leg_id(FEDERATION, number, place, OOSTENDE, MECHELEN),
            }
            for number, place in ((1, 0), (1, 1), (12, 0))
        ],
    }


def _plain(said: msgspec.Struct) -> object:
    return json.loads(msgspec.json.encode(said))
