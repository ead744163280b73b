"""Positions from a cycle's opening to its closing, and the targets that legs aim at.

Positive is credit: the group is owed. Groups and the hub's reserve sum to zero after
every decision; ``reserve`` is the reserve's name among them.
"""

from collections.abc import Iterable, Mapping

from protocol import strict_json
from protocol.address import RESERVE
from protocol.errors import LedgerBrokenError, MalformedMessageError
from protocol.netting.plan import Leg
from protocol.sharing import share

#: What JSON may hold, either way; 285,000 years.
POSITION_MAX = strict_json.INTEGER_MAX


def close_positions(
    opening: Mapping[str, int], *gains: Mapping[str, int]
) -> dict[str, int]:
    """Give every closing position, in name order.

    Args:
        opening: positions at the cycle's begin, the reserve's too. Whoever is not
            among them came since and begins at zero.
        gains: what transfers (``Flows.net``), and by their own sums legs, charges and
            shared losses, have moved since.

    Raises:
        MalformedMessageError: a position passes 2^53 - 1.
        LedgerBrokenError: opening or gains do not sum to zero.
    """
    for name, part in (("opening", opening), *(("gains", gain) for gain in gains)):
        if sum(part.values()) != 0:
            raise LedgerBrokenError(f"{name}: sum to {sum(part.values())}, not to zero")
    closing = dict(opening)
    for gain in gains:
        for group, gained in gain.items():
            closing[group] = closing.get(group, 0) + gained
    check_positions(closing)
    return {group: closing[group] for group in sorted(closing)}


def check_positions(positions: Mapping[str, int]) -> None:
    """Check that each position can be, and that all sum to zero.

    Raises:
        MalformedMessageError: a position passes 2^53 - 1.
        LedgerBrokenError: they do not sum to zero.
    """
    for group, position in positions.items():
        if abs(position) > POSITION_MAX or type(position) is not int:
            expected = f"a whole number within {POSITION_MAX} either way"
            raise MalformedMessageError(f"position of {group}", position, expected)
    if sum(positions.values()) != 0:
        total = sum(positions.values())
        raise LedgerBrokenError(f"positions: sum to {total}, not to zero")


def default_targets(positions: Mapping[str, int]) -> dict[str, int]:
    """Give each position's target: zero, and the reserve's where it stands.

    What the reserve holds, others lack, so that not all of them can come to zero. The
    groups on the other side of zero than the reserve keep it between them, each in
    proportion to its position (``sharing``). So no target lies beyond its position or
    across zero.

    Raises:
        MalformedMessageError, LedgerBrokenError: as ``check_positions``.
    """
    check_positions(positions)
    held = positions.get(RESERVE, 0)
    sign = -1 if held > 0 else 1
    sizes = {
        group: sign * position
        for group, position in positions.items()
        if group != RESERVE and sign * position > 0
    }
    kept = share(abs(held), sizes) if held else {}
    return {
        group: held if group == RESERVE else sign * kept.get(group, 0)
        for group in sorted(positions)
    }


def settle(positions: Mapping[str, int], legs: Iterable[Leg]) -> dict[str, int]:
    """Give the positions once legs are decided: the debtor's up, the creditor's down.

    A leg says that the debtor group has paid outside this ledger, so it moves positions
    the other way round than a transfer from debtor to creditor would.
    """
    settled = dict(positions)
    for leg in legs:
        settled[leg.debtor] += leg.milliseconds
        settled[leg.creditor] -= leg.milliseconds
    check_positions(settled)
    return {group: settled[group] for group in sorted(settled)}
