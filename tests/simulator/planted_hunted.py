"""Planted bugs by somebody who read the rules, and none of the other planted ones.

A slip is what a hand does to a line: another sign, another name, a word left out. It
names the line as it stands, so that a line that was changed since is noticed. All
of these hid from every seed when they were made; what finds them since is in
``papers``, ``nasty`` and ``reasons``.
"""

import inspect
import sys
import textwrap
from types import FunctionType
from typing import Any

from tests.simulator import swarm
from tests.simulator.planted import _bug as bug
from tests.simulator.planted import _find as find

assert swarm, "its import loads whatever binds a name that is changed here"
_PRODUCT = ("clearing", "nodes", "protocol")
#: Where a rule stands that many of these are about.
_PREPARES = "clearing.rules.prepares"
_DECISIONS = "clearing.rules.decisions"
_CAPS = "clearing.rules.caps"
_GROUPS = "clearing.rules.groups"
_ORDERS = "nodes.rules.orders"


def _places(place: str) -> tuple[str, ...]:
    """Give every module that binds the same function, wherever it was imported to."""
    owner, name = find(place)
    right = owner.__dict__[name]
    others = [
        f"{module}:{name}"
        for module, one in sorted(sys.modules.items())
        if module.partition(".")[0] in _PRODUCT and vars(one).get(name) is right
    ]
    return (place, *(one for one in others if one != place))


def _mistyped(right: Any, old: str, new: str) -> Any:
    """Write a function again with one slip in it."""
    if isinstance(right, property):
        return property(_mistyped(right.fget, old, new))
    assert isinstance(right, FunctionType)
    lines = textwrap.dedent(inspect.getsource(right)).splitlines()
    while lines[0].startswith("@"):
        lines.pop(0)
    text = "\n".join(lines)
    assert text.count(old) == 1, f"{right.__qualname__} has no longer one {old!r}"
    found: dict[str, Any] = {}
    # The product's own text, and a line of this file.
    exec(text.replace(old, new), right.__globals__, found)
    return found[right.__name__]


def _slip(name: str, told: str, place: str, old: str, new: str) -> None:
    bug(name, told, *_places(place))(lambda right: _mistyped(right, old, new))


# Caps.

_slip(
    "cap-by-one",
    "What just fills a cap is refused.",
    f"{_CAPS}:is_beyond_cap",
    "used + amount > cap",
    "used + amount >= cap",
)
_slip(
    "cap-late-by-one",
    "A pair may pass its cap by one millisecond.",
    f"{_CAPS}:is_beyond_cap",
    "> cap.milliseconds",
    "> cap.milliseconds + 1",
)
_slip(
    "cap-of-amount-alone",
    "A cap binds each transfer by itself, whatever was used before.",
    f"{_CAPS}:is_beyond_cap",
    "used + amount",
    "amount",
)
_slip(
    "cap-kept-when-refused",
    "What was refused still counts under its cap.",
    f"{_CAPS}:give_back",
    "-refused.milliseconds",
    "0",
)
_slip(
    "cap-counts-not-in-its-batch",
    "What is held in the batch that sets a cap does not count.",
    "clearing.rules.limit_records:LimitBook.is_counted",
    "pair in self.caps or pair in self.wanted",
    "pair in self.caps",
)

# What the hub refuses, and what it writes of it.

_slip(
    "versions-swapped",
    "The hub holds a prepare's rates against the other group's.",
    f"{_PREPARES}:_first_refusal",
    "(payer.rate_version, payee.rate_version)",
    "(payee.rate_version, payer.rate_version)",
)
_slip(
    "refund-groups-swapped",
    "The hub lets only those give back who have paid.",
    f"{_PREPARES}:_refusal_of_refund",
    "prepare.payer_group,\n        prepare.payee_group,",
    "prepare.payee_group,\n        prepare.payer_group,",
)
_slip(
    "offer-number-of-payer",
    "The hub notes an offer under a number of the payer's stream.",
    f"{_PREPARES}:_offer",
    "view.next_number(transfer.payee_group)",
    "view.next_number(transfer.payer_group)",
)
_slip(
    "later-reason-wins",
    "A reason that waits for a group to compare gives way to a later one.",
    f"{_DECISIONS}:refuse_or_wait",
    "if transfer.waiting_code is not None:",
    "if False:",
)
_slip(
    "payee-told-of-what-never-was",
    "A payee's group is told that what was never offered to it is refused.",
    f"{_DECISIONS}:_decide",
    "if is_held:\n        # Before",
    "if True:\n        # Before",
)
_slip(
    "decided-at-taken",
    "The hub keeps as the time of a decision when it took the prepare.",
    f"{_DECISIONS}:_decide",
    "decided_at=now,",
    "decided_at=transfer.taken_at,",
)
_slip(
    "decision-dated-at-deadline",
    "A decision bears the time until which it might have been made.",
    f"{_DECISIONS}:_decide",
    "at=write_instant(now),",
    "at=write_instant(transfer.decide_by),",
)
