"""How the hub charges what stands far from zero: by rules alone, without a database."""

import random
from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    RESERVE,
    Agreed,
    AppendDecision,
    CloseCycle,
    ClosedCycle,
    ForeseeCharge,
    HubView,
    Running,
)
from protocol.address import Group
from protocol.effects import CallPeople, Effects, PostEntry
from protocol.instant import Instant
from protocol.ledger import Entry, Posting
from protocol.messages import CycleMove, SharedDecision
from protocol.shared import what_is_wrong
from protocol.sharing import ChargeRule, average_position
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX
from tests.clearing.makers import apply
from tests.clearing.test_cycles import GENT, HOUR, closed, view_of
from tests.peer.makers import NOW, in_state, later, sent
from tests.protocol.makers import ID, MECHELEN, OOSTENDE

DAY = 24 * HOUR
HALF = ChargeRule(rate=500_000, threshold=0)


def moved(view: HubView, payer: Group, payee: Group, amount: int, at: Instant) -> None:
    """Let a decision move two positions at some time."""
    postings = (Posting(payer, -amount), Posting(payee, amount))
    entry = Entry(entry_id=ID, at=at, kind="transfer", postings=postings)
    line = f"decision {view.size}".encode()
    wanted = (AppendDecision(view.log, view.size, line), PostEntry(entry))
    apply(view, Effects(None, wanted))


def charging(rule: ChargeRule = HALF) -> HubView:
    """The first cycle ended just now, and nothing has moved since."""
    view = view_of(GENT)
    closed(view)
    view.agreed = Agreed(None, rule)
    return view


def end(view: HubView, at: Instant) -> list[Effects]:
    order = CloseCycle(view.open_cycle.number)
    found = []
    for effects in rules.decide_close_and_charge(view, order, at):
        apply(view, effects)
        found.append(effects)
    return found


def charge_in(effects: Effects) -> SharedDecision:
    assert effects.step is Step.SHARE
    return next(item for _, item in sent(effects) if isinstance(item, SharedDecision))


@pytest.mark.parametrize("seed", range(40))
def test_a_running_average_is_what_all_moves_come_to(seed: int) -> None:
    draw = random.Random(seed)
    opening, begin, gains = draw.randint(-(10**12), 10**12), NOW, []
    running, at = Running(opening, since=begin), begin
    for _ in range(draw.randint(0, 30)):
        # A clock is set back now and then.
        at = Instant(max(begin, at + draw.randint(-DAY // 4, DAY)))
        gains.append((at, draw.randint(-(10**12), 10**12)))
        running = running.after(CycleMove(None, None, ID, gains[-1][1]), at)
    end_at = Instant(at + draw.randint(-HOUR, DAY))
    latest = max([end_at, *(when for when, _ in gains)])
    if latest <= begin:
        assert running.average(begin, end_at) is None
        return
    expected = average_position(opening, gains, begin, latest)
    assert running.average(begin, end_at) == expected


def test_both_sides_of_zero_pay_by_how_long_they_stood_there() -> None:
    view = charging()
    # Half of the cycle they stand two hours from zero: one hour on average.
    moved(view, OOSTENDE, MECHELEN, 2 * HOUR, later(DAY))
    foreseen = rules.decide_foresee_charge(view, ForeseeCharge(2), later(2 * DAY))
    assert not foreseen.wanted and foreseen.step is None
    ended, charged = end(view, later(2 * DAY))
    assert isinstance(ended.outcome, ClosedCycle) and charged.outcome is None
    decision = charge_in(charged)
    assert foreseen.outcome == msgspec.structs.replace(
        decision, number=decision.number - 1
    )
    found = {one.group: (one.measure, one.amount) for one in decision.shares}
    assert found == {MECHELEN: (HOUR, -HOUR // 2), OOSTENDE: (-HOUR, -HOUR // 2)}
    assert (decision.reserve, decision.cycle) == (HOUR, 2)
    assert what_is_wrong(decision) is None
    assert view.accounts[RESERVE].balance == HOUR
    assert sum(account.balance for account in view.accounts.values()) == 0
    # Everybody is told, and it is the first move of the next cycle.
    assert {to for to, _ in sent(charged)} == {OOSTENDE, MECHELEN, GENT}
    running = view.open_cycle.running(OOSTENDE)
    assert (running.opening, running.tally.debits) == (-2 * HOUR, HOUR // 2)
    assert len(end(view, later(3 * DAY))) == 2


def test_only_what_lies_beyond_the_threshold_is_charged() -> None:
    rule = ChargeRule(rate=1_000_000, threshold=500_000)
    for amount, paid in ((HOUR, 0), (HOUR + 1, 1)):
        view = charging(rule)
        for group in (OOSTENDE, MECHELEN):
            wide = msgspec.structs.replace(
                view.directory[group], floor=-2 * HOUR, ceiling=2 * HOUR
            )
            view.directory = {**view.directory, group: wide}
        moved(view, OOSTENDE, MECHELEN, amount, NOW)
        found = end(view, later(DAY))
        assert len(found) == (2 if paid else 1)
        assert view.accounts[RESERVE].balance == 2 * paid


def without_charge(view: HubView, at: Instant) -> None:
    [ended] = end(view, at)
    assert ended.step is Step.CLOSE
    assert view.accounts[RESERVE].balance == 0


def test_nothing_is_charged_while_it_is_off_or_for_the_first_cycle() -> None:
    view = charging(ChargeRule())
    moved(view, OOSTENDE, MECHELEN, HOUR, NOW)
    without_charge(view, later(DAY))
    view = view_of(GENT)
    view.agreed = Agreed(None, HALF)
    moved(view, OOSTENDE, MECHELEN, HOUR, NOW)
    without_charge(view, later(DAY))
    view = charging()
    moved(view, OOSTENDE, MECHELEN, HOUR, NOW)
    # No time went by.
    without_charge(view, NOW)


@pytest.mark.parametrize(
    ("state", "charged"),
    [
        # Nobody escapes by saying, just before a close, that her group leaves.
        ("leaving", [MECHELEN, OOSTENDE]),
        ("frozen", [MECHELEN]),
        ("left", [MECHELEN]),
    ],
)
def test_groups_that_are_here_are_charged(state: str, charged: list[Group]) -> None:
    view = charging()
    moved(view, OOSTENDE, MECHELEN, HOUR, NOW)
    view.directory = in_state(view.directory, OOSTENDE, state)
    _, effects = end(view, later(DAY))
    assert [one.group for one in charge_in(effects).shares] == charged


def test_what_cannot_be_stated_is_not_charged_and_people_are_called() -> None:
    view = charging()
    moved(view, OOSTENDE, MECHELEN, HOUR, NOW)
    view.accounts[RESERVE].balance = INTEGER_MAX
    view.accounts[MECHELEN].balance -= INTEGER_MAX
    opened: Any = view.open_cycle
    before = opened.running(MECHELEN)
    opened.changed[MECHELEN] = msgspec.structs.replace(
        before, opening=before.opening - INTEGER_MAX
    )
    ended, called = end(view, later(DAY))
    assert ended.step is Step.CLOSE
    [call] = called.wanted
    assert isinstance(call, CallPeople) and "nothing was charged" in call.text


def test_a_refused_close_charges_nothing() -> None:
    view = charging()
    moved(view, OOSTENDE, MECHELEN, HOUR, NOW)
    found = list(rules.decide_close_and_charge(view, CloseCycle(1), later(DAY)))
    assert [effects.step for effects in found] == [None]
