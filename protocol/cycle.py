"""What a cycle's statement is made of, and how two lists of moves are compared.

A move is one decision that moved a group's position. A tally runs over the moves of
a cycle and chains them in a digest, one SHA-256 a move, so that closing a cycle costs
the same whatever was traded. Two lists whose digests agree after so many moves are
the same so far; so the first difference is found with a few marks of each. Nothing
here is stored: see ``clearing.cycle_store`` and ``nodes.cycle_store``.
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence

import msgspec

from protocol.address import FederationId
from protocol.base64url import write_base64url
from protocol.messages import (
    LIST_MARKS_MAX,
    LIST_MOVES_MAX,
    NOTHING_HASH,
    CycleList,
    CycleMark,
    CycleMove,
    CycleStatement,
    DecisionName,
)

#: A leg that waits longer than this for a word is late: two weeks.
LATE_MS = 14 * 24 * 3_600_000
_encoder = msgspec.json.Encoder()


class Tally(msgspec.Struct, frozen=True):
    """Sums of so many moves, and the digest that chains them."""

    debits: int = 0
    credits: int = 0
    count: int = 0
    digest: str = NOTHING_HASH

    @property
    def net(self) -> int:
        """What the moves add to the position."""
        return self.credits - self.debits

    def after(self, move: CycleMove) -> "Tally":
        """Give the tally after one more move."""
        amount = move.amount
        return Tally(
            self.debits + max(-amount, 0),
            self.credits + max(amount, 0),
            self.count + 1,
            chain(self.digest, move),
        )


def chain(digest: str, move: CycleMove) -> str:
    """Chain a move to the digest of those before it (protocol, section 17)."""
    line = digest.encode() + b"\n" + _encoder.encode(move)
    return write_base64url(hashlib.sha256(line).digest())


def tally_of(moves: Iterable[CycleMove]) -> Tally:
    """Tally moves in their order."""
    tally = Tally()
    for move in moves:
        tally = tally.after(move)
    return tally


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What group and hub must agree on: how the position went, by the same moves."""

    opening: int
    debits: int
    credits: int
    count: int
    closing: int
    digest: str

    @classmethod
    def of(cls, opening: int, tally: Tally) -> "Figures":
        """Give the figures of moves after an opening position."""
        return cls(
            opening=opening,
            debits=tally.debits,
            credits=tally.credits,
            count=tally.count,
            closing=opening + tally.net,
            digest=tally.digest,
        )


def figures_of(said: msgspec.Struct) -> Figures:
    """Read the figures of a statement or a dispute."""
    return msgspec.convert(
        {name: getattr(said, name) for name in Figures.__struct_fields__}, Figures
    )


def write_statement(
    group: str,
    cycle: int,
    former: DecisionName | None,
    to: DecisionName,
    figures: Figures,
    held: tuple[int, int],
) -> CycleStatement:
    """State how a group's position came to be; ``held`` is out and in."""
    return CycleStatement(
        group=group,
        cycle=cycle,
        former=former,
        to=to,
        **msgspec.structs.asdict(figures),
        held_out=held[0],
        held_in=held[1],
    )


def leg_id(
    federation: FederationId, cycle: int, place: int, debtor: str, creditor: str
) -> str:
    """Name a leg: a UUID of version 8, as a transfer's (``protocol.address``).

    Args:
        federation: the whole federation id.
        cycle: whose positions it settles.
        place: how many legs of this cycle were made before it.
        debtor: the group that pays.
        creditor: the group that receives.
    """
    return named_uuid(f"{federation}\nleg\n{cycle}\n{place}\n{debtor}\n{creditor}\n")


def named_uuid(text: str) -> str:
    """Give the UUID of version 8 that a text names (RFC 9562)."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
    number &= ~(0xF << 76) & ~(0x3 << 62)
    number |= (0x8 << 76) | (0x2 << 62)
    return str(uuid.UUID(int=number))


class Difference(msgspec.Struct, frozen=True):
    """The first place, counted from 1, where two lists of a cycle's moves part.

    ``None`` stands where a list has ended by then; where both have, no move differs.
    """

    place: int
    hubs: CycleMove | None
    nodes: CycleMove | None

    def told(self, group: str, cycle: int) -> str:
        """Name it for people, with both versions."""
        if self.hubs is None and self.nodes is None:
            return f"cycle {cycle}, {group}: no move differs, only the opening position"
        hubs, nodes = (_told(move) for move in (self.hubs, self.nodes))
        return (
            f"cycle {cycle}, {group}: move {self.place} is the first that differs;"
            f" the hub has {hubs}, the group's node has {nodes}"
        )


def _told(move: CycleMove | None) -> str:
    if move is None:
        return "none"
    name = "no decision" if move.log is None else f"decision {move.log}/{move.number}"
    return f"{move.amount} ms ({move.id}, {name})"


class Moves:
    """One side's moves of a cycle, with the digest after each.

    Args:
        moves: in the order of their decisions.
    """

    def __init__(self, moves: Sequence[CycleMove]) -> None:
        self._moves = moves
        self._digests = [NOTHING_HASH]
        for move in moves:
            self._digests.append(chain(self._digests[-1], move))

    def __len__(self) -> int:
        """Say how many moves there are."""
        return len(self._moves)

    def marks(self, cycle: int, statement: str, first: int, last: int) -> CycleList:
        """Tell of a run of ours with marks spread evenly, the last at its end.

        Args:
            cycle: which.
            statement: hash of the statement's line.
            first: of the run, counted from 1.
            last: of the run; beyond our end it is our end.
        """
        first, last = self._within(first, last)
        length = last - first + 1
        counts = {
            first - 1 + length * place // LIST_MARKS_MAX
            for place in range(1, LIST_MARKS_MAX + 1)
        }
        marks = [
            CycleMark(count, self._digests[count])
            for count in sorted(counts)
            if count >= first
        ]
        return CycleList(
            cycle=cycle,
            statement=statement,
            first=first,
            last=last,
            marks=marks,
            moves=None,
        )

    def moves(self, cycle: int, statement: str, first: int, last: int) -> CycleList:
        """Tell of a run of ours move by move, as many as one list may hold."""
        first, last = self._within(first, min(last, first + LIST_MOVES_MAX - 1))
        return CycleList(
            cycle=cycle,
            statement=statement,
            first=first,
            last=last,
            marks=[],
            moves=list(self._moves[first - 1 : last]),
        )

    def _within(self, first: int, last: int) -> tuple[int, int]:
        first = min(first, len(self) + 1)
        return first, max(first - 1, min(last, len(self)))

    def narrow(self, theirs: CycleList) -> tuple[int, int]:
        """Say between which places, both counted in, the first difference lies.

        Where all marks are ours too, a list ends behind the last. Marks that are no
        marks of the run count for nothing; so nobody can lead us astray, only waste
        a question.
        """
        equal = theirs.first - 1
        for mark in theirs.marks:
            if not equal < mark.count <= theirs.last:
                continue
            if mark.count > len(self) or self._digests[mark.count] != mark.digest:
                return equal + 1, mark.count
            equal = mark.count
        return equal + 1, equal + 1

    def difference(
        self, theirs: CycleList
    ) -> tuple[int, CycleMove | None, CycleMove | None]:
        """Find where a run of their moves parts from ours: place, ours, theirs.

        ``None`` stands where a list has ended; for both, no move differs.
        """
        said = theirs.moves or []
        for place, move in enumerate(said, start=theirs.first):
            if self.at(place) != move:
                return place, self.at(place), move
        place = theirs.first + len(said)
        return place, self.at(place), None

    def at(self, place: int) -> CycleMove | None:
        """Give the move at a place; ``None`` beyond the end."""
        return self._moves[place - 1] if 1 <= place <= len(self) else None


def answer_at_hub(ours: Moves, theirs: CycleList) -> CycleList:
    """Answer a node's marks: the moves once they are few, else marks again."""
    first, last = ours.narrow(theirs)
    if last - first < LIST_MOVES_MAX:
        return ours.moves(theirs.cycle, theirs.statement, first, last)
    return ours.marks(theirs.cycle, theirs.statement, first, last)


def answer_at_node(ours: Moves, theirs: CycleList) -> CycleList:
    """Answer the hub's list: marks with marks, moves with ours from where they part."""
    if theirs.moves is None:
        return ours.marks(theirs.cycle, theirs.statement, *ours.narrow(theirs))
    place, _, _ = ours.difference(theirs)
    last = place + LIST_MOVES_MAX - 1
    return ours.moves(theirs.cycle, theirs.statement, place, last)
