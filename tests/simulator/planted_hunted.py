"""Planted bugs by somebody who read the rules, and none of the other planted ones.

A slip is what a hand does to a line: another sign, another name, a word left out. It
names the line as it stands, so that a line that was changed since is noticed. Most of
these hid when they were made; what finds them since is in ``papers``, ``nasty`` and
``reasons``.
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
_slip(
    "log-without-former",
    "A log does not name the one before.",
    "clearing.rules.log:open_log",
    "former=view.former",
    "former=None",
)
_slip(
    "former-of-first-log",
    "A hub that goes on after its database was away names the log before the last.",
    "clearing.house:HubHouse.load",
    "self._former = await",
    "self._former = self._former or await",
)
_slip(
    "directory-root-stale",
    "Checkpoints state the directory as it was at first.",
    "clearing.house:HubHouse._know",
    "self._directory_root = write",
    "self._directory_root = self._directory_root or write",
)
_slip(
    "root-of-before",
    "A checkpoint states the tree before its batch.",
    "clearing.house:HubHouse._state",
    "view.frontier.root",
    "self._frontier.root",
)

# Groups.

_slip(
    "release-does-nothing",
    "A group that is released stays frozen.",
    f"{_GROUPS}:_release",
    "state=_state_before(view, group)",
    "state='frozen'",
)
_slip(
    "limits-not-told",
    "New limits bind a group, and it is told the old ones.",
    f"{_GROUPS}:_change_limits",
    "changed = msgspec.structs.replace(record, floor=order.floor, "
    "ceiling=order.ceiling)",
    "changed = record",
)
_slip(
    "approved-still-waits",
    "A proposal that was approved waits for ever.",
    f"{_GROUPS}:_approve",
    "[KeepProposal(approved)]",
    "[]",
)
_slip(
    "replaced-not-told",
    "A proposal that a newer one replaced waits for ever.",
    f"{_GROUPS}:decide_proposal",
    "wanted += end_proposal(former, ProposalState.REPLACED, now)",
    "pass",
)
_slip(
    "frozen-not-told",
    "Groups that are frozen hear no more of others.",
    f"{_GROUPS}:decide_on",
    "for other in sorted(directory))",
    "for other in sorted(directory) if directory[other].state != 'frozen')",
)

# What nodes write, and refuse.

_slip(
    "unreachable-whenever",
    "What may wait for days is refused while the hub is away.",
    f"{_ORDERS}:_first_local_refusal",
    'if order.deliver == "now" and is_cut_off:',
    "if is_cut_off:",
)
_slip(
    "unreachable-kept",
    "Who was once told that the hub is away is told so for ever.",
    f"{_ORDERS}:decide_order",
    "if code is RefusalCode.HUB_UNREACHABLE:",
    "if False:",
)
_slip(
    "pays-herself",
    "A member may pay herself.",
    f"{_ORDERS}:_first_refusal_inside",
    "if order.payer == order.payee:",
    "if False:",
)
_slip(
    "price-bound-forgotten",
    "A member pays more than she agreed to, where the price rose.",
    f"{_ORDERS}:_first_refusal_of_hub",
    "if quoted.payer_amount > order.payer_amount_max:",
    "if False:",
)
_slip(
    "versions-of-first",
    "A node asks at the rate with which it joined.",
    f"{_ORDERS}:_write_prepare",
    "payer_rate=own.rate_version",
    "payer_rate=1",
)
_slip(
    "deadline-by-own-clock",
    "A node writes deadlines by its own clock.",
    f"{_ORDERS}:_write_prepare",
    "order.hub_now + within",
    "now + within",
)
_slip(
    "memo-of-the-payer",
    "The payee reads the payer's name where her words were.",
    f"{_ORDERS}:_write_content",
    "memo=order.memo",
    "memo=order.name",
)
_slip(
    "content-not-kept",
    "The payer's node forgets what it sealed for the payee.",
    f"{_ORDERS}:decide_order",
    "SaveContent(transfer.content, content),",
    "",
)
_slip(
    "inside-refund-at-todays-rate",
    "What was paid inside a group is given back at today's rate.",
    f"{_ORDERS}:_rate_inside",
    "return own.entry.rates[original.payee_rate - 1]",
    "return own.entry.rates[-1]",
)
_slip(
    "refund-to-a-third",
    "A member may give back to somebody who has not paid her.",
    f"{_ORDERS}:_refusal_of_refund",
    "(said.payee, said.payer) != (order.payer, order.payee)",
    "said.payee != order.payer",
)
_slip(
    "refund-of-all-too-large",
    "A payment cannot be given back as a whole.",
    "protocol.refund:first_refusal",
    "milliseconds > remaining(original)",
    "milliseconds >= remaining(original)",
)
_slip(
    "frozen-is-unknown",
    "Who pays a frozen member is told that there is nobody.",
    "nodes.rules.view:NodeView.find_payee",
    "or account.closed:",
    "or account.closed or account.frozen:",
)
_slip(
    "payee-at-first-rate",
    "The payee's node holds on the conversion account of its first rate.",
    "nodes.rules.offers:decide_offer",
    "conversion(prepare.payee_rate)",
    "conversion(1)",
)
_slip(
    "decided-at-own-clock",
    "A node keeps as the time of a decision when it took it.",
    "nodes.rules.decisions:decide_decision",
    "decided_at=read_instant(decision.at)",
    "decided_at=now",
)
_slip(
    "code-not-told",
    "A node forgets why the hub refused.",
    "nodes.rules.decisions:decide_decision",
    "code=decision.code",
    "code=None",
)
_slip(
    "thaws-by-limit",
    "A member who was frozen is released by a change of her limits.",
    "nodes.rules.members:decide_change",
    "after.floor, after.ceiling, after.frozen, after.closed",
    "after.floor, after.ceiling, False, after.closed",
)
