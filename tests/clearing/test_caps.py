"""Most that one group may pay another in a month; pure, against a model."""

import itertools
import random
from typing import Any

import pytest

from clearing import rules
from clearing.rules import (
    Cap,
    HubView,
    KeepLimitChange,
    LimitStanding,
    NotDecided,
    NoteStandings,
    SetCap,
    SetWarning,
    month_of,
)
from protocol.address import Group
from protocol.effects import CallPeople, Effects
from protocol.errors import DirectoryRefusalCode, RefusalCode
from protocol.instant import Instant, read_instant, write_instant
from protocol.messages import NOTHING_HASH, TransferRefuse, line_hash, write_line
from protocol.steps import Step
from protocol.transfer import NOW_MS, State
from protocol.unit import MILLISECONDS_MAX
from tests.clearing.makers import S, accepted, apply, hub_view, prepared
from tests.peer.makers import NOW, arrival, of_kind
from tests.protocol.makers import MECHELEN, OOSTENDE

PAIR = OOSTENDE, MECHELEN
GENT = Group("gent")


def id_of(number: int) -> str:
    return f"1f0f0f0f-1e1e-8d2d-9c3c-{number:012d}"


def capped(milliseconds: int | None, view: HubView | None = None) -> HubView:
    """A hub that caps what Oostende pays Mechelen."""
    view = view or hub_view()
    set_cap(view, milliseconds)
    return view


def set_cap(view: HubView, milliseconds: int | None, **changes: Any) -> Effects:
    fields: dict[str, Any] = {
        "payer": OOSTENDE,
        "payee": MECHELEN,
        "milliseconds": milliseconds,
        "author": "@admin",
        "reason": "agreed on 3 May",
    }
    order = SetCap(**(fields | changes))
    view.limits.wanted.add(order.pair)
    return apply(view, rules.decide_cap(view, order, NOW))


def pay(
    view: HubView, number: int, milliseconds: int = S, now: Instant = NOW, **more: Any
) -> Any:
    """Take a prepare; gives it as it arrived."""
    decide_by = write_instant(Instant(now + NOW_MS))
    arrived = prepared(
        id=id_of(number), milliseconds=milliseconds, decide_by=decide_by, **more
    )
    apply(view, rules.decide_prepare(view, arrived, now))
    return arrived


def state(view: HubView, number: int) -> tuple[State, str | None]:
    transfer = view.transfers[id_of(number)]
    return transfer.state, transfer.code


OFFERED = State.OFFERED, None
REFUSED = State.REFUSED, RefusalCode.MONTH_CAP


@pytest.mark.parametrize(
    ("cap", "expected"), [(S, OFFERED), (S - 1, REFUSED), (0, REFUSED)]
)
def test_a_pair_may_reach_its_cap_and_no_further(cap: int, expected: Any) -> None:
    view = capped(cap)
    pay(view, 1)
    assert state(view, 1) == expected


def test_what_is_held_counts_and_what_is_refused_no_longer() -> None:
    view = capped(2 * S)
    first = pay(view, 1)
    pay(view, 2)
    pay(view, 3, 1)
    assert (state(view, 2), state(view, 3)) == (OFFERED, REFUSED)
    refuse = TransferRefuse(
        id=id_of(1),
        prepare=line_hash(first.line),
        code=RefusalCode.UNKNOWN_ACCOUNT,
    )
    apply(view, rules.decide_reply(view, arrival(MECHELEN, refuse, number=5), NOW))
    pay(view, 4)
    pay(view, 5, 1)
    assert (state(view, 4), state(view, 5)) == (OFFERED, REFUSED)


def test_what_expires_no_longer_counts() -> None:
    view = capped(S)
    pay(view, 1)
    late = Instant(NOW + NOW_MS)
    apply(view, rules.decide_due(view, view.transfers[id_of(1)], late))
    pay(view, 2, now=late)
    assert state(view, 2) == OFFERED


def test_what_is_cleared_counts_to_the_months_end_in_utc() -> None:
    view = capped(S)
    last = read_instant("2026-11-30T23:59:59.999Z")
    first = pay(view, 1, now=last)
    apply(view, rules.decide_reply(view, accepted(first, id=id_of(1)), last))
    assert state(view, 1) == (State.CLEARED, None)
    pay(view, 2, 1, now=last)
    assert state(view, 2) == REFUSED
    # It counts in the month in which it was taken, and the next one is empty.
    pay(view, 3, now=Instant(last + 1))
    assert state(view, 3) == OFFERED


def test_a_transfer_refused_in_the_next_month_frees_the_month_it_was_taken_in() -> None:
    view = capped(S)
    last = read_instant("2026-11-30T23:59:59.999Z")
    pay(view, 1, now=last)
    december = Instant(last + NOW_MS)
    pay(view, 2, now=december)
    apply(view, rules.decide_due(view, view.transfers[id_of(1)], december))
    pay(view, 3, 1, now=december)
    # A clock that is set back meets November as it is by now.
    pay(view, 4, now=last)
    assert (state(view, 3), state(view, 4)) == (REFUSED, OFFERED)


def test_a_repeat_is_answered_as_before_and_counts_once() -> None:
    view = capped(S)
    arrived = pay(view, 1)
    again = rules.decide_prepare(view, arrived, NOW)
    assert again == Effects(None, ())
    refused = pay(view, 2)
    set_cap(view, 9 * S)
    # The cap is wider by now; the answer stays.
    assert rules.decide_prepare(view, refused, NOW) == Effects(None, ())
    assert state(view, 2) == REFUSED
    pay(view, 3, 8 * S)
    assert state(view, 3) == OFFERED


def test_a_cap_is_for_one_direction() -> None:
    view = capped(0)
    back = {
        "peer": MECHELEN,
        "payer_group": MECHELEN,
        "payee_group": OOSTENDE,
        "payer_rate": 1,
        "payee_rate": 1,
    }
    pay(view, 1, **back)
    assert state(view, 1) == OFFERED


def test_a_limit_comes_before_a_cap() -> None:
    view = capped(0)
    view.accounts[OOSTENDE].floor = 0
    pay(view, 1)
    assert state(view, 1) == (State.REFUSED, RefusalCode.PAYER_GROUP_FLOOR)


def test_without_a_cap_nothing_is_counted() -> None:
    view = hub_view()
    pay(view, 1)
    kept = view.limits.kept()
    assert kept.used(PAIR, month_of(NOW)) == 0


def test_what_went_before_the_cap_in_this_month_counts_too() -> None:
    view = hub_view()
    # As the store reads it when a pair is to get its first cap.
    view.limits.wanted.add(PAIR)
    view.limits.read({(PAIR, month_of(NOW)): S})
    # A transfer of the same batch, before the order.
    pay(view, 1)
    set_cap(view, 3 * S)
    pay(view, 2, S + 1)
    pay(view, 3)
    assert (state(view, 2), state(view, 3)) == (REFUSED, OFFERED)


def test_a_batch_that_fails_leaves_no_trace() -> None:
    book = capped(2 * S).limits.kept()
    for _ in range(3):
        view = hub_view()
        view.limits = book.open()
        pay(view, 1)
        pay(view, 2)
        pay(view, 3)
        assert [state(view, number) for number in (1, 2, 3)] == [
            OFFERED,
            OFFERED,
            REFUSED,
        ]
    kept = view.limits.kept()
    assert kept.used(PAIR, month_of(NOW)) == 2 * S


class Trade:
    """Random trade under a cap that changes, beside a model that adds up."""

    def __init__(self, seed: int) -> None:
        self.draw, self.view = random.Random(seed), capped(5 * S)
        self.cap, self.now = 5 * S, NOW
        self.open: dict[int, Any] = {}
        self.used: dict[tuple[str, int], int] = {}
        self.numbers = itertools.count(1)

    def used_in(self, month: str) -> int:
        return sum(used for (one, _), used in self.used.items() if one == month)

    def pay(self) -> None:
        number, amount = next(self.numbers), self.draw.randrange(1, 2 * S)
        month = month_of(self.now)
        arrived = pay(self.view, number, amount, self.now)
        fits = self.used_in(month) + amount <= self.cap
        assert state(self.view, number) == (OFFERED if fits else REFUSED)
        if fits:
            self.open[number], self.used[month, number] = arrived, amount

    def end(self) -> None:
        if not self.open:
            return
        number = self.draw.choice(list(self.open))
        arrived = self.open.pop(number)
        reply = accepted(arrived, id=id_of(number))
        if self.draw.random() < 0.5:
            refuse = TransferRefuse(
                id=id_of(number),
                prepare=line_hash(arrived.line),
                code=RefusalCode.UNKNOWN_ACCOUNT,
            )
            reply = arrival(MECHELEN, refuse, number=5)
        apply(self.view, rules.decide_reply(self.view, reply, self.now))
        if state(self.view, number)[0] is State.REFUSED:
            self.used = {k: used for k, used in self.used.items() if k[1] != number}

    def change(self) -> None:
        self.cap = self.draw.randrange(0, 10 * S)
        set_cap(self.view, self.cap)

    def wait(self) -> None:
        self.now = Instant(self.now + self.draw.randrange(-3, 12) * 86_400_000)

    def commit(self) -> None:
        self.view.limits = self.view.limits.kept()


@pytest.mark.parametrize("seed", range(40))
def test_no_order_of_things_passes_a_cap(seed: int) -> None:
    trade = Trade(seed)
    steps = [trade.pay, trade.pay, trade.pay, trade.end, trade.change]
    for _ in range(60):
        trade.draw.choice([*steps, trade.wait, trade.commit])()
    for month in {one for one, _ in trade.used}:
        assert trade.view.limits.used(PAIR, month) == trade.used_in(month)


# Changes.


def test_a_change_is_numbered_and_names_the_one_before() -> None:
    view = hub_view()
    effects = [
        set_cap(view, S),
        apply(
            view,
            rules.decide_warning(
                view, SetWarning(percent=70, author="@admin", reason="so"), NOW
            ),
        ),
        set_cap(view, None, reason="no longer"),
    ]
    former = NOTHING_HASH
    for number, one in enumerate(effects, 1):
        assert one.step is Step.CAP
        (kept,) = of_kind(one, KeepLimitChange)
        change = kept.change
        assert (change.number, change.former) == (number, former)
        assert (change.at, change.author) == (write_instant(NOW), "@admin")
        former = line_hash(write_line(change))
    assert view.limits.newest == (3, former)
    assert (view.limits.percent, view.limits.caps) == (70, {})


def test_what_is_so_already_is_no_second_change() -> None:
    view = capped(S)
    cap = view.limits.caps[PAIR]
    again = set_cap(view, S, reason="again", author="@other")
    assert (again.step, again.wanted, again.outcome) == (None, (), cap)
    ended = set_cap(view, None)
    assert ended.outcome is True
    none = set_cap(view, None)
    assert (none.step, none.wanted, none.outcome) == (None, (), True)
    same = SetWarning(percent=80, author="@admin", reason="so")
    assert rules.decide_warning(view, same, NOW) == Effects(None, (), 80)


@pytest.mark.parametrize(
    ("changes", "code", "group"),
    [
        ({"payer": GENT}, DirectoryRefusalCode.NO_SUCH_GROUP, GENT),
        ({"payee": GENT}, DirectoryRefusalCode.NO_SUCH_GROUP, GENT),
        ({"payee": OOSTENDE}, DirectoryRefusalCode.SAME_GROUP, OOSTENDE),
    ],
)
def test_a_cap_is_between_two_groups_that_are_there(
    changes: dict[str, Any], code: DirectoryRefusalCode, group: Group
) -> None:
    view = hub_view()
    effects = set_cap(view, S, **changes)
    assert effects == Effects(None, (), NotDecided(code, group))
    assert view.limits.caps == {}


def test_the_largest_cap_is_no_cap_in_practice() -> None:
    view = capped(MILLISECONDS_MAX)
    pay(view, 1, 10**12)
    assert state(view, 1) == OFFERED
    assert isinstance(view.limits.caps[PAIR], Cap)


# People are called once.


def test_people_are_called_about_what_is_new_and_only_then() -> None:
    view = hub_view()
    low = LimitStanding(OOSTENDE, "floor", -81 * 3_600_000, -100 * 3_600_000)
    effects = apply(view, rules.decide_standings(view, NoteStandings((low,)), NOW))
    (call,) = of_kind(effects, CallPeople)
    assert call.about == "limit"
    assert call.text == (
        "oostende stands at -81.00 h; its lowest position is -100.00 h"
    )
    # A second look finds the same; the clerk has heard of it.
    again = rules.decide_standings(view, NoteStandings((low,)), NOW)
    assert not again.wanted
    over = LimitStanding(OOSTENDE, None, -60 * 3_600_000, None)
    effects = apply(view, rules.decide_standings(view, NoteStandings((over,)), NOW))
    assert not of_kind(effects, CallPeople) and view.limits.warned == {}
    effects = apply(view, rules.decide_standings(view, NoteStandings((low,)), NOW))
    assert of_kind(effects, CallPeople)
