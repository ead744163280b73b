"""A cycle as our own ledger has it, told with who paid whom; pure.

Amounts are milliseconds, signed as the group's position: above zero the others owe us.
So a member of ours who pays lowers it, as on an account at a bank. What is stored is
``cycle_store``; what the hub states of the same cycle is in its statement.
"""

from collections.abc import Iterator, Sequence

import msgspec

from nodes.rules import OwnCycle
from protocol.cycle import Figures, tally_of
from protocol.instant import Instant, write_instant
from protocol.messages import CycleMove
from protocol.peer.csv_text import Cell

#: Columns of a cycle's moves as CSV.
MOVE_COLUMNS = (
    *("place", "at", "kind", "payer", "payee", "text", "milliseconds"),
    *("position_after", "log", "number", "id"),
)
#: Columns of the hub's figures beside ours as CSV.
FIGURE_COLUMNS = ("figure", "hub", "own")


class ToldEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What our ledger tells of an entry.

    Attributes:
        at: when it was booked here.
        kind: transfer, settlement, or what else people have booked.
        payer: address of who paid, or the group that has made something good.
        payee: of who received.
        text: a member's memo, or why.
    """

    at: Instant
    kind: str
    payer: str | None
    payee: str | None
    text: str | None


class ToldMove(msgspec.Struct, frozen=True, kw_only=True):
    """A move of a cycle, with what our ledger tells of it.

    Attributes:
        place: in the cycle, counted from 1.
        move: what moved, by which decision.
        position_after: what it left, milliseconds.
        entry: what is told of it; ``None`` where our ledger has no such entry.
    """

    place: int
    move: CycleMove
    position_after: int
    entry: ToldEntry | None

    def row(self) -> list[Cell]:
        """Give its line of the CSV file, as ``MOVE_COLUMNS`` has it."""
        move, told = self.move, self.entry
        return [
            self.place,
            None if told is None else write_instant(told.at),
            None if told is None else told.kind,
            None if told is None else told.payer,
            None if told is None else told.payee,
            None if told is None else told.text,
            move.amount,
            self.position_after,
            move.log,
            move.number,
            move.id,
        ]


class CycleSheet(msgspec.Struct, frozen=True):
    """A cycle's moves by our own ledger, as it is now.

    Attributes:
        own: the cycle, and what we have said to it.
        since: when the cycle before ended, if we know.
        opening: the position before the first move.
        moves: in the order of their decisions.
        figures: what these come to.
    """

    own: OwnCycle
    since: Instant | None
    opening: int
    moves: Sequence[CycleMove]
    figures: Figures

    @classmethod
    def of(
        cls,
        own: OwnCycle,
        since: Instant | None,
        opening: int,
        moves: Sequence[CycleMove],
    ) -> "CycleSheet":
        """Add up moves after an opening position."""
        return cls(own, since, opening, moves, Figures.of(opening, tally_of(moves)))

    def placed(self, first: int, most: int) -> Iterator[tuple[int, CycleMove, int]]:
        """Give place, move and position after it, from a place on.

        Args:
            first: counted from 1.
            most: so many at most.
        """
        position = self.opening + sum(move.amount for move in self.moves[: first - 1])
        chosen = self.moves[first - 1 : first - 1 + most]
        for place, move in enumerate(chosen, start=first):
            position += move.amount
            yield place, move, position


def told_moves(
    sheet: CycleSheet, entries: dict[str, ToldEntry], first: int, most: int
) -> list[ToldMove]:
    """Put together moves and what is told of their entries, by id."""
    return [
        ToldMove(
            place=place, move=move, position_after=after, entry=entries.get(move.id)
        )
        for place, move, after in sheet.placed(first, most)
    ]


def figure_rows(hubs: Figures | None, owns: Figures) -> list[list[Cell]]:
    """Give the figures as lines, as ``FIGURE_COLUMNS`` has them."""
    return [
        [name, None if hubs is None else getattr(hubs, name), getattr(owns, name)]
        for name in Figures.__struct_fields__
    ]
