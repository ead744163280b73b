"""What a cycle's netting saves, and how its positions are settled; pure.

Every transfer was novated to the hub when it was decided, so a group has one position
and no debts to other groups. Anyone who has a cycle's decisions recomputes here what
the hub publishes when it closes: gross flows, what each way of netting would have left,
the closing positions, their targets, and the plan of legs between debtor and creditor
groups (protocol, section 10). Integers only; names order everything, so that the same
cycle gives the same bytes whoever computes and in whatever order the input comes.
"""

from protocol.netting.circulation import (
    LOOKS_MAX,
    Circulation,
    check_circulation,
    largest_circulation,
)
from protocol.netting.flows import Flows, gather
from protocol.netting.plan import (
    EXACT_MAX,
    TRIPLES_MAX,
    Leg,
    Plan,
    check_legs,
    make_plan,
    split_legs,
)
from protocol.netting.positions import (
    POSITION_MAX,
    check_excepted,
    check_positions,
    close_positions,
    default_targets,
    settle,
    towards_targets,
    wrong_exception,
)
from protocol.netting.savings import (
    GROUPS_MAX,
    PAIRS_MAX,
    Left,
    Savings,
    compute_savings,
)

__all__ = [
    "EXACT_MAX",
    "GROUPS_MAX",
    "LOOKS_MAX",
    "PAIRS_MAX",
    "POSITION_MAX",
    "TRIPLES_MAX",
    "Circulation",
    "Flows",
    "Left",
    "Leg",
    "Plan",
    "Savings",
    "check_circulation",
    "check_excepted",
    "check_legs",
    "check_positions",
    "close_positions",
    "compute_savings",
    "default_targets",
    "gather",
    "largest_circulation",
    "make_plan",
    "settle",
    "split_legs",
    "towards_targets",
    "wrong_exception",
]
