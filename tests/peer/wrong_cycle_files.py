"""Cycle files that are not genuine, each by one lie, with the reason that is given."""

from collections.abc import Callable
from typing import Any

from protocol.address import RESERVE, Group
from protocol.cycle_file import CycleLine, Target, write_cycle_file
from protocol.messages import NOTHING_HASH, DecisionName, write_line
from protocol.netting import Leg
from tests.peer.cycle_files import FIRST, HOUR, MOVED, ClosedCycle, first_cycle, forged
from tests.peer.makers import LOG, entry_of, proof_of
from tests.peer.receipts import BRUSSEL
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE, hash_of, life_of

DEINZE = Group("deinze")


def with_lines(made: ClosedCycle, *lines: CycleLine) -> bytes:
    return write_cycle_file(made.bare_file(groups=list(lines)))


def one_hour_more(made: ClosedCycle) -> dict[str, Any]:
    """The hub tells Mechelen's line anew, an hour better, behind its signature."""
    better = made.statement(MECHELEN, (-1, 2, 6))
    return {MECHELEN: {"statement": write_line(better).decode()}}


def all_lines(made: ClosedCycle) -> list[CycleLine]:
    return [made.line(group) for group in made.names]


def another_item(made: ClosedCycle) -> Any:
    line = write_line(made.statement(MECHELEN, MOVED[MECHELEN]))
    return {MECHELEN: {"answer": proof_of(line, MECHELEN)}}


def counted(figures: tuple[int, int, int], **changes: Any) -> bytes:
    """Mechelen's line has figures that no moves make, and no sum tells it."""
    opening, debits, credits = figures
    rest = -HOUR - (opening - debits + credits) * HOUR
    made = ClosedCycle(
        moved={MECHELEN: figures, OOSTENDE: (rest // HOUR, 0, 0)},
        stated={MECHELEN: changes},
    )
    return write_cycle_file(made.bare_file())


def as_reserve() -> ClosedCycle:
    """A hub that lets a group be called as its reserve is."""
    made = ClosedCycle()
    made.add_group(entry_of(RESERVE))
    return made


WRONG: dict[str, tuple[str, Callable[[ClosedCycle], bytes]]] = {
    "a group's line is another than decided on": (
        "answer: of mechelen, to another statement",
        lambda e: write_cycle_file(e.bare_file(one_hour_more(e))),
    ),
    "another line that nobody has signed": (
        "statements: not those decided on",
        lambda e: write_cycle_file(
            e.bare_file({MECHELEN: one_hour_more(e)[MECHELEN] | {"answer": None}})
        ),
    ),
    "a line left out": (
        "statements: 2, and 3 in the decision",
        lambda e: write_cycle_file(e.bare_file({BRUSSEL: {"statement": None}})),
    ),
    "a group left out": (
        "groups: 2, and 3 in the directory",
        lambda e: with_lines(e, *all_lines(e)[1:]),
    ),
    "a group twice": (
        "groups: not the directory's",
        lambda e: with_lines(e, *all_lines(e)[:2], all_lines(e)[1]),
    ),
    "groups in another order": (
        "groups: not the directory's",
        lambda e: with_lines(e, *reversed(all_lines(e))),
    ),
    "positions that do not sum to zero": (
        "positions: cannot read -3600000; expected a sum of zero",
        lambda _: write_cycle_file(ClosedCycle(reserve=0).bare_file()),
    ),
    "a line that does not add up": (
        "closing of mechelen",
        lambda _: write_cycle_file(
            ClosedCycle(stated={MECHELEN: {"closing": 3 * HOUR}}).bare_file()
        ),
    ),
    "a first cycle that does not begin at zero": (
        "opening of mechelen: cannot read -3600000; expected 0, in the first cycle",
        lambda _: write_cycle_file(first_cycle(moved=MOVED).bare_file()),
    ),
    "a first cycle whose debits are not its credits and what the reserve has": (
        "positions: cannot read -3600000; expected a sum of zero",
        lambda _: write_cycle_file(first_cycle(reserve=0).bare_file()),
    ),
    "a third cycle that has none before it": (
        "former: none before cycle 3",
        lambda _: write_cycle_file(ClosedCycle(former=None, moved=FIRST).bare_file()),
    ),
    "a first cycle that has one before it": (
        "former: one before cycle 1",
        lambda _: write_cycle_file(ClosedCycle(cycle=1, moved=FIRST).bare_file()),
    ),
    "amounts without a move": (
        "count of mechelen: cannot read 0; expected from 2 to 25200000",
        lambda _: counted(MOVED[MECHELEN], count=0, digest=NOTHING_HASH),
    ),
    "one move both ways": (
        "count of mechelen: cannot read 1; expected from 2 to 25200000",
        lambda _: counted(MOVED[MECHELEN], count=1),
    ),
    "a move without an amount": (
        "count of mechelen: cannot read 1; expected from 0 to 0",
        lambda _: counted((1, 0, 0), count=1, digest=hash_of("moves of mechelen")),
    ),
    "more moves than milliseconds": (
        "count of mechelen: cannot read 3600001; expected from 1 to 3600000",
        lambda _: counted((0, 0, 1), count=HOUR + 1),
    ),
    "a digest of moves where there is none": (
        "digest of mechelen: not that of nothing, after 0 moves",
        lambda _: counted((1, 0, 0), digest=hash_of("moves of mechelen")),
    ),
    "a digest of nothing after moves": (
        "digest of mechelen: that of nothing, after 4 moves",
        lambda _: counted(MOVED[MECHELEN], digest=NOTHING_HASH),
    ),
    "a line of another cycle": (
        "statement: to mechelen, of another cycle",
        lambda _: write_cycle_file(
            ClosedCycle(stated={MECHELEN: {"cycle": 2}}).bare_file()
        ),
    ),
    "a line up to another decision": (
        "statement: to mechelen, of another cycle",
        lambda _: write_cycle_file(
            ClosedCycle(stated={MECHELEN: {"to": DecisionName(LOG, 1)}}).bare_file()
        ),
    ),
    "a line from another decision": (
        "statement: to mechelen, of another cycle",
        lambda _: write_cycle_file(
            ClosedCycle(stated={MECHELEN: {"former": None}}).bare_file()
        ),
    ),
    "a line to another group": (
        "statement: not one to mechelen",
        lambda _: write_cycle_file(
            ClosedCycle(stated={MECHELEN: {"group": DEINZE}}).bare_file()
        ),
    ),
    "an answer by another group's key": (
        "from: the key does not speak for mechelen",
        lambda e: write_cycle_file(
            e.bare_file({MECHELEN: {"answer": e.agree(MECHELEN, key_of=OOSTENDE)}})
        ),
    ),
    "an answer of another group": (
        "proof: signed by oostende, not by mechelen",
        lambda e: write_cycle_file(
            e.bare_file({MECHELEN: {"answer": e.agree(OOSTENDE)}})
        ),
    ),
    "an answer by a key that nobody has": (
        "kid: nobody here has",
        lambda e: write_cycle_file(
            e.bare_file({MECHELEN: {"answer": e.agree(MECHELEN, key_of="nobody")}})
        ),
    ),
    "an answer about another cycle": (
        "answer: of mechelen, to another statement",
        lambda e: write_cycle_file(
            e.bare_file({MECHELEN: {"answer": e.agree(MECHELEN, cycle=2)}})
        ),
    ),
    "an answer that is none": (
        "answer: mechelen signed something else",
        lambda e: write_cycle_file(e.bare_file(another_item(e))),
    ),
    "an answer to nothing": (
        "answer: of mechelen, to nothing",
        lambda e: write_cycle_file(e.bare_file({MECHELEN: {"statement": None}})),
    ),
    "a cover that names another checkpoint": (
        "cover: brussel names another checkpoint",
        lambda e: write_cycle_file(
            e.bare_file({BRUSSEL: {"cover": e.cover(BRUSSEL, checkpoint=None)}})
        ),
    ),
    "a cover of another group": (
        "cover: signed by mechelen, not by brussel",
        lambda e: write_cycle_file(
            e.bare_file({BRUSSEL: {"cover": e.cover(MECHELEN)}})
        ),
    ),
    "a decision of another kind": (
        "decision: not one that ends a cycle",
        lambda e: write_cycle_file(e.bare_file(decision=e.bare().decision)),
    ),
    "a decision under another number": (
        "decision: named otherwise",
        lambda _: write_cycle_file(ClosedCycle(number=1).bare_file()),
    ),
    "a decision of another log": (
        "decision: named otherwise",
        lambda _: write_cycle_file(ClosedCycle(log=life_of("another")).bare_file()),
    ),
    "a root of other statements": (
        "statements: not those decided on",
        lambda _: write_cycle_file(ClosedCycle(statements=hash_of("no")).bare_file()),
    ),
    "another number of groups": (
        "statements: 3, and 4 in the decision",
        lambda _: write_cycle_file(ClosedCycle(groups=4).bare_file()),
    ),
    "a group named as the reserve": (
        "groups: reserve is no group",
        lambda _: write_cycle_file(as_reserve().bare_file()),
    ),
    "words that say more": (
        "told: the words do not say",
        lambda e: forged(e, told=["Interlets cycle: all is well."]),
    ),
    "another leg": (
        "legs: not those that follow",
        lambda e: forged(e, legs=[Leg(OOSTENDE, BRUSSEL, 4 * HOUR)]),
    ),
    "no leg": ("legs: not those that follow", lambda e: forged(e, legs=[])),
    "legs in another order": (
        "legs: not those that follow",
        lambda e: forged(e, legs=e.file().legs[::-1]),
    ),
    "another target": (
        "targets: not those that follow",
        lambda e: forged(e, targets=[Target(OOSTENDE, 0), *e.file().targets[1:]]),
    ),
    "targets in another order": (
        "targets: not those that follow",
        lambda e: forged(e, targets=e.file().targets[::-1]),
    ),
    "a group left out that the words do not name": (
        "targets: not those that follow",
        lambda e: forged(e, excepted=[BRUSSEL]),
    ),
    "a group left out that has no line": (
        "excepted: deinze has no line, or is there twice",
        lambda e: forged(e, excepted=[DEINZE]),
    ),
    "a group left out twice": (
        "excepted: oostende has no line, or is there twice",
        lambda e: forged(e, excepted=[OOSTENDE, OOSTENDE]),
    ),
    "groups left out in another order": (
        "excepted: not in name order",
        lambda e: forged(e, excepted=[OOSTENDE, MECHELEN]),
    ),
    "the reserve left out": (
        "excepted: reserve has no line, or is there twice",
        lambda e: forged(e, excepted=[RESERVE]),
    ),
    "another bound": ("bound: not those that follow", lambda e: forged(e, bound=1)),
    "another federation": (
        "federation: the cycle file is of",
        lambda e: forged(e, federation="others" + FEDERATION[FEDERATION.index("#") :]),
    ),
}
