"""A close costs the same whatever was traded; the number of groups is what counts."""

import time

import pytest

from clearing import rules
from clearing.rules import RESERVE, CloseCycle, OpenCycle, Running
from protocol.address import Group
from protocol.cycle import Tally
from protocol.ledger import TIME_UNIT, Account, AccountKind
from tests.clearing.makers import hub_view, position
from tests.peer.makers import NOW, compared
from tests.protocol.makers import MECHELEN, hash_of

GROUPS = 10_000


@pytest.mark.slow
def test_ten_thousand_groups_and_a_million_moves_close_within_ten_seconds() -> None:
    view = hub_view()
    view.accounts[RESERVE] = Account(RESERVE, AccountKind.SYSTEM, TIME_UNIT)
    like = view.directory[MECHELEN]
    names = [Group(f"group-{place:05}") for place in range(GROUPS)]
    view.directory = dict.fromkeys(names, like)
    running = {}
    for place, name in enumerate(names):
        # A hundred moves each, a million in all, already folded as they came.
        amount = (place - GROUPS // 2) if place else GROUPS // 2
        tally = Tally(max(-amount, 0), max(amount, 0), 100, hash_of(name))
        running[name] = Running(0, tally)
        view.accounts[name] = position(name, balance=amount)
        view.links[name] = compared(name)
    missing = -sum(one.tally.net for one in running.values())
    view.accounts[RESERVE].balance = missing
    view.open_cycle = OpenCycle(None, running, {})
    began = time.process_time()
    [effects] = rules.decide_close(view, CloseCycle(1), NOW)
    for effect in effects.wanted:
        view.apply(effect)
    took = time.process_time() - began
    assert len(effects.wanted) == 2 + 3 * GROUPS
    assert took < 10, f"{took:.1f} s"
