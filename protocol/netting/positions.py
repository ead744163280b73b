"""Positions from a cycle's opening to its closing, and the targets that legs aim at.

Positive is credit: the group is owed. Groups and the hub's reserve sum to zero after
every decision; ``reserve`` is the reserve's name among them.
"""

from collections.abc import Collection, Iterable, Mapping

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


def default_targets(
    positions: Mapping[str, int], excepted: Collection[str] = ()
) -> dict[str, int]:
    """Give each position's target: zero, and the reserve's where it stands.

    Groups that are excepted stand where they are too. What these and the reserve have
    together, the others lack, so that not all of them can come to zero. Those on the
    other side of zero keep it between them, each in proportion to its position
    (``sharing``). So no target lies beyond its position or across zero, and together
    the others come as near to zero as their sum allows.

    Args:
        positions: milliseconds, the reserve's too.
        excepted: groups that carry their positions forward.

    Raises:
        MalformedMessageError, LedgerBrokenError: as ``check_positions`` and
            ``check_excepted``.
    """
    check_positions(positions)
    check_excepted(positions, excepted)
    still = {RESERVE, *excepted}
    held = sum(positions.get(name, 0) for name in still)
    sign = -1 if held > 0 else 1
    sizes = {
        group: sign * position
        for group, position in positions.items()
        if group not in still and sign * position > 0
    }
    kept = share(abs(held), sizes) if held else {}
    return {
        group: positions[group] if group in still else sign * kept.get(group, 0)
        for group in sorted(positions)
    }


def check_excepted(positions: Mapping[str, int], excepted: Collection[str]) -> None:
    """Check that exceptions are groups that have a position, each named once.

    Raises:
        MalformedMessageError: the first name that is none.
    """
    wrong = wrong_exception(positions, excepted)
    if wrong is not None:
        expected = "groups that have a position, each once"
        raise MalformedMessageError("excepted", wrong, expected)


def wrong_exception(
    positions: Collection[str], excepted: Collection[str]
) -> str | None:
    """Give the first name that no exception can be: unknown, or there twice."""
    seen: set[str] = {RESERVE}
    for name in excepted:
        if name in seen or name not in positions:
            return name
        seen.add(name)
    return None


def towards_targets(
    closing: Mapping[str, int], legs: Iterable[Leg], excepted: Collection[str] = ()
) -> tuple[dict[str, int], dict[str, int]]:
    """Say from where to where a plan of a cycle leads.

    Targets follow from the closing positions alone, so that a second plan has those of
    the first. But where a leg that was settled since has taken a position off the way
    to such a target (it was made for other exceptions, or for a former cycle), they
    follow from the positions after those legs.

    Args:
        closing: positions at the cycle's end, the reserve's too.
        legs: those that were settled since, of whatever cycle.
        excepted: groups that carry their positions forward.

    Returns:
        Positions after these legs, and their targets: each between position and zero.

    Raises:
        MalformedMessageError, LedgerBrokenError: as ``default_targets``.
    """
    now = settle(closing, legs)
    targets = default_targets(closing, excepted)
    is_on_its_way = all(
        min(closing[group], target) <= now[group] <= max(closing[group], target)
        for group, target in targets.items()
    )
    return now, targets if is_on_its_way else default_targets(now, excepted)


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
