"""The part of groups' states in the hub's audit: who could begin what, when.

Between two decisions on a group its state is known. What was taken then and cleared
must have been lawful: nothing of a group that was frozen or had left, and of one that
was leaving only what brought its position towards zero and not past it. Holds carry no
number, so a moment decides, as the hub's clock had it; what falls into one millisecond
is read in the group's favour.
"""

from collections.abc import Iterable
from itertools import pairwise

from protocol.instant import Instant, read_instant, to_datetime
from protocol.messages import DirectoryDecision, read_item
from protocol.peer.audit_store import Check
from protocol.peer.database import queries

_SQL = queries(__file__)
#: Behind every moment that a server will ever see: the year 9999.
_FOR_EVER = Instant(253_402_300_799_000)


def check_of(lines: Iterable[bytes]) -> Check:
    """Give the check.

    Args:
        lines: all directory decisions, oldest first; what is none is looked at
            elsewhere, and left out here.
    """
    spans = [
        (group, state, to_datetime(since), to_datetime(until))
        for group, state, since, until in _spans(lines)
        if state != "active"
    ]
    columns = [list(column) for column in zip(*spans, strict=True)] or [[], [], [], []]
    return Check(
        "states_were_kept",
        "No group has begun what its state forbade when it began.",
        _SQL["states_were_kept"],
        tuple(columns),
    )


def _spans(lines: Iterable[bytes]) -> list[tuple[str, str, Instant, Instant]]:
    """Give each group's states, from when and until when they counted."""
    told: dict[str, list[tuple[str, Instant]]] = {}
    for line in lines:
        decision = read_item(line)
        if isinstance(decision, DirectoryDecision):
            at = read_instant(decision.at)
            told.setdefault(decision.group, []).append((decision.state, at))
    return [
        (group, state, since, until)
        for group, states in told.items()
        for (state, since), (_, until) in pairwise([*states, ("", _FOR_EVER)])
    ]
