"""Statements reckoned again from decisions, in code of its own.

What the hub tallies as it goes, and a node reads out of its postings, is here reckoned
a third time: from the lines of the log in their order, and with nothing of
``protocol.cycle``.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

#: What is agreed on.
FIGURES = ("opening", "debits", "credits", "count", "closing", "digest")
Name = tuple[str, int]


class Move(NamedTuple):
    """A decision that moved a position.

    Attributes:
        order: of the decision among all that were ever made.
        id: of the transfer or leg.
    """

    order: int
    log: str | None
    number: int | None
    id: str
    amount: int


def hash_of_line(line: bytes) -> str:
    """Name a line."""
    return _letters(hashlib.sha256(line).digest())


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _digest(moves: Iterable[Move]) -> str:
    digest = hash_of_line(b"")
    for move in moves:
        told = {
            "log": move.log,
            "number": move.number,
            "id": move.id,
            "amount": move.amount,
        }
        digest = hash_of_line(digest.encode() + b"\n" + msgspec.json.encode(told))
    return digest


def targets(
    closing: Mapping[str, int], stands: Mapping[str, int], excepted: Sequence[str]
) -> dict[str, int]:
    """Reckon where a plan must lead, from positions at a cycle's end and since legs.

    Whoever has a leg behind a plan of other exceptions may be off the way to the
    targets of the cycle's end; then all begin anew from where they stand.
    """
    found = _shares(closing, excepted)
    is_on_the_way = all(
        sorted((found[one], stands[one], closing[one]))[1] == stands[one]
        for one in closing
    )
    return found if is_on_the_way else _shares(stands, excepted)


def _shares(positions: Mapping[str, int], excepted: Sequence[str]) -> dict[str, int]:
    """Let those opposite share what the excepted and the reserve keep; others: zero."""
    # All sum to zero with the reserve.
    held = sum(positions[one] for one in excepted) - sum(positions.values())
    others = {
        group: abs(position)
        for group, position in positions.items()
        if group not in excepted and position * held < 0
    }
    whole = sum(others.values())
    exact = {group: Fraction(abs(held) * one, whole) for group, one in others.items()}
    found = {group: int(one) for group, one in exact.items()}
    rest = min(abs(held), whole) - sum(found.values())
    for group in sorted(others, key=lambda one: (found[one] - exact[one], one))[:rest]:
        found[group] += 1
    return {
        group: position
        if group in excepted
        else (found.get(group, 0) if position > 0 else -found.get(group, 0))
        for group, position in positions.items()
    }


def figures(opening: int, moves: Sequence[Move]) -> dict[str, Any]:
    """Reckon what a statement must say."""
    amounts = [move.amount for move in moves]
    return {
        "opening": opening,
        "debits": -sum(amount for amount in amounts if amount < 0),
        "credits": sum(amount for amount in amounts if amount > 0),
        "count": len(amounts),
        "closing": opening + sum(amounts),
        "digest": _digest(moves),
    }


def tree_hash(lines: Sequence[bytes]) -> str:
    """Reckon the hash of RFC 9162's tree."""
    return _letters(_tree(list(lines)))


def _tree(lines: list[bytes]) -> bytes:
    if not lines:
        return hashlib.sha256(b"").digest()
    if len(lines) == 1:
        return hashlib.sha256(b"\0" + lines[0]).digest()
    split = 1 << (len(lines) - 1).bit_length() - 1
    both = _tree(lines[:split]) + _tree(lines[split:])
    return hashlib.sha256(b"\1" + both).digest()


class Log:
    """All decisions that were ever made, in their order; a hub that was put back too.

    Attributes:
        cycles: decisions that ended cycles.
        legs: by leg, the decisions that ended it; more than one only where a hub has
            forgotten the first.
    """

    def __init__(self) -> None:
        self.cycles: dict[Name, dict[str, Any]] = {}
        self.legs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._orders: dict[Name, int] = {}
        self._moves: dict[str, list[Move]] = defaultdict(list)

    def note(self, decision: dict[str, Any]) -> None:
        """Add a decision."""
        name = decision["log"], decision["number"]
        self._orders[name] = len(self._orders) + 1
        if decision["kind"] == "cycle":
            self.cycles[name] = decision
        elif decision["kind"] == "settlement":
            self.legs[decision["id"]].append(decision)

    def move(self, group: str, decision: dict[str, Any], amount: int) -> None:
        """Add what a decision has moved."""
        log, number = decision["log"], decision["number"]
        order = self._orders[log, number]
        move = Move(order, log, number, decision["id"], amount)
        self._moves[group].append(move)

    def order(self, log: str | None, number: int | None) -> int:
        """Give the order of a decision; 0: none was made under this name."""
        return (
            0 if log is None or number is None else self._orders.get((log, number), 0)
        )

    def span(self, cycle: dict[str, Any]) -> tuple[int, int]:
        """Say behind which decision a cycle begins, and with which it ends."""
        former = cycle["former"]
        first = self.order(former["log"], former["number"]) if former else 0
        return first, self.order(cycle["log"], cycle["number"])

    def figures(self, group: str, cycle: dict[str, Any]) -> dict[str, Any]:
        """Reckon a group's statement from the decisions alone."""
        first, last = self.span(cycle)
        moves = self._moves[group]
        opening = sum(move.amount for move in moves if move.order <= first)
        return figures(opening, [one for one in moves if first < one.order <= last])

    def closing(self, group: str, cycle: dict[str, Any]) -> int:
        """Give a group's position at a cycle's end."""
        _, last = self.span(cycle)
        return sum(one.amount for one in self._moves[group] if one.order <= last)

    def settled_since(self, cycle: dict[str, Any]) -> list[dict[str, Any]]:
        """Give the decisions that settled a leg since a cycle's end."""
        _, last = self.span(cycle)
        return [
            decision
            for decisions in self.legs.values()
            for decision in decisions
            if decision["outcome"] == "settled"
            and self.order(decision["log"], decision["number"]) > last
        ]
