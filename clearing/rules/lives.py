"""How a group came to be what it is: each turn of its life, from the decisions.

Nothing else is kept of it: the lines are those that every node has, too.
"""

from collections.abc import Iterable, Iterator

import msgspec

from protocol.messages import DirectoryDecision, read_item


class Turn(msgspec.Struct, frozen=True):
    """From when on a group was active, leaving, frozen or gone."""

    state: str
    at: str


def life_of(lines: Iterable[bytes], group: str) -> list[Turn]:
    """Give the turns of a group's life, oldest first.

    Args:
        lines: of all decisions about groups, oldest first.
        group: whose life it is.
    """
    found: list[Turn] = []
    for decision in decisions_about(lines, group):
        if not found or found[-1].state != decision.state:
            found.append(Turn(decision.state, decision.at))
    return found


def decisions_about(lines: Iterable[bytes], group: str) -> Iterator[DirectoryDecision]:
    """Read those of the lines about all groups that are about one, in their order."""
    named = f'"{group}"'.encode()
    for line in lines:
        # A line that does not even have the name is not worth being read.
        decision = read_item(line) if named in line else None
        if isinstance(decision, DirectoryDecision) and decision.group == group:
            yield decision
