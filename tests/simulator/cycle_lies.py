"""What a lying node says of cycles and legs: see ``liars``.

It agrees with what it has not looked at, disputes what is right, says words for legs of
others, or the other party's, twice, or of another line, sends lists that mean nothing,
and decisions, which are not a node's to make. It may harm its own group, and no other.
"""

import random
from typing import Any

from protocol.instant import Instant, write_instant
from protocol.messages import (
    CycleAgree,
    CycleDispute,
    CycleList,
    CycleMark,
    CycleMove,
    SettlementDecision,
    SettlementPaid,
    SettlementReceived,
    line_hash,
    write_line,
)
from tests.simulator.federation import Federation

_LIES_MAX = 30
_NOBODYS = "0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"


class CycleLies:
    """Draws lies about the cycles of one federation, with chance of their own."""

    def __init__(self, federation: Federation, draw: random.Random) -> None:
        self._hub = federation.hub.database
        self._world = federation.world
        self._draw = draw
        #: Each lie begets answers, and more of them.
        self._left = _LIES_MAX

    def lie(self, group: str) -> bytes | None:
        """Give a line to lie with, if there is anything to lie about."""
        draw, line = self._draw, None
        if not self._left or draw.random() < 0.5:
            return None
        legs = list(self._hub.table("leg").values())
        is_open = [leg for leg in legs if leg["state"] == "open"]
        statements = self._hub.table("statement")
        if legs and draw.random() < 0.7:
            line = self._about_leg(draw.choice(is_open or legs))
        elif statements:
            key = draw.choice(list(statements))
            own = key[0], group
            line = self._about_statement(statements[draw.choice((own, own, key))])
        if line is not None:
            self._left -= 1
            self._world.count("lie about a cycle")
            self._world.tell("{} lies: {}", group, line[:70])
        return line

    def _about_statement(self, row: dict[str, Any]) -> bytes:
        draw, cycle, statement = self._draw, row["cycle"], line_hash(row["line"])
        hash_ = line_hash(b"a lie")
        match draw.randint(0, 3):
            case 0:
                return write_line(CycleAgree(cycle=cycle, statement=statement))
            case 1:
                said = CycleDispute(
                    cycle=cycle,
                    statement=statement,
                    opening=draw.choice((0, 1)),
                    debits=0,
                    credits=1,
                    count=draw.choice((1, 10**9)),
                    closing=2,
                    digest=hash_,
                )
                return write_line(said)
            case 2:
                marks = [CycleMark(draw.choice((1, 7, 10**6)), hash_)]
                moves = None
            case _:
                marks, moves = [], [CycleMove(None, None, _NOBODYS, -1)]
        first = draw.choice((1, 2, 10**6))
        said_list = CycleList(
            cycle=cycle,
            statement=statement,
            first=first,
            last=first + draw.randint(0, 3),
            marks=marks,
            moves=moves,
        )
        return write_line(said_list)

    def _about_leg(self, leg: dict[str, Any]) -> bytes:
        draw, id_ = self._draw, leg["leg_id"]
        said = self._line_of(leg) or b"a lie"
        name = line_hash(said if draw.random() < 0.8 else b"another line")
        match draw.randint(0, 4):
            case 0 | 1:
                return write_line(SettlementPaid(id=id_, leg=name))
            case 2 | 3:
                return write_line(SettlementReceived(id=id_, leg=name))
            case _:
                decision = SettlementDecision(
                    log=line_hash(b"no log")[:11],
                    number=0,
                    at=write_instant(Instant(self._world.now)),
                    id=id_,
                    cycle=leg["cycle"],
                    debtor=leg["debtor"],
                    creditor=leg["creditor"],
                    milliseconds=leg["milliseconds"],
                    paid=name,
                    received=name,
                    outcome="settled",
                    code=None,
                )
                return write_line(decision)

    def _line_of(self, leg: dict[str, Any]) -> bytes | None:
        """Give the leg's own line, as its debtor was told it."""
        sent = self._hub.table(("item", leg["debtor"], "out")).values()
        named = leg["leg_id"].encode()
        found = (line for line in sent if named in line and b'"settlement.leg"' in line)
        return next(found, None)
