"""How the hub settles with named exceptions, by words that it reads again."""

import random
from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    RESERVE,
    CloseCycle,
    CycleRefused,
    HubView,
    KeepSettlement,
    Leg,
    Settle,
    Settlement,
    Word,
    standing_of,
)
from protocol import netting
from protocol.address import Group
from protocol.cycle import LATE_MS
from protocol.effects import CallPeople, Effects, PostEntry
from protocol.errors import CycleRefusalCode, MalformedMessageError, RefusalCode
from protocol.instant import Instant
from protocol.messages import (
    SettlementPaid,
    SettlementReceived,
    line_hash,
    write_line,
)
from protocol.sharing import SharingRule
from protocol.steps import Step
from protocol.unit import MILLISECONDS_MAX
from tests.clearing.makers import S, apply, decisions, prepared
from tests.clearing.test_cycles import (
    GENT,
    HOUR,
    closed,
    disputing,
    hear,
    moved,
    owing,
    view_of,
    word,
)
from tests.peer.makers import NOW, compared, in_state, later, not_compared
from tests.protocol.makers import MECHELEN, OOSTENDE

AALST = Group("aalst")
CODE = CycleRefusalCode


def settle(view: HubView, *excepted: str, cycle: int = 1, **changes: Any) -> Any:
    order = Settle(cycle, excepted, **changes)
    return apply(view, rules.decide_settle(view, order, NOW)).outcome


def kept_of(effects: Effects) -> list[Settlement]:
    return [one.settlement for one in effects.wanted if isinstance(one, KeepSettlement)]


def traded(draw: random.Random, *groups: Group) -> HubView:
    """A cycle in which groups paid each other, and the reserve has something."""
    view = view_of(*(group for group in groups if group not in (OOSTENDE, MECHELEN)))
    for place in range(draw.randrange(3, 20)):
        payer, payee = draw.sample(groups, 2)
        moved(view, place, payer, payee, draw.randint(1, 9 * HOUR))
    # As if a charge had been taken from one of them.
    charged, held = draw.choice(groups), draw.choice([0, 1, -HOUR, 2 * HOUR])
    view.accounts[RESERVE].balance += held
    view.accounts[charged].balance -= held
    running = view.open_cycle.running(charged)
    view.open_cycle.changed[charged] = msgspec.structs.replace(
        running, opening=running.opening - held
    )
    closed(view)
    return view


GROUPS = [OOSTENDE, MECHELEN, GENT, AALST, Group("brussel")]


@pytest.mark.parametrize("seed", range(40))
def test_after_the_last_leg_all_others_stand_at_their_targets(seed: int) -> None:
    draw = random.Random(seed)
    view = traded(draw, *GROUPS)
    at_close = {group: view.accounts[group].balance for group in [*GROUPS, RESERVE]}
    excepted = draw.sample(GROUPS, draw.randrange(len(GROUPS) + 1))
    effects = rules.decide_settle(view, Settle(1, tuple(excepted)), NOW)
    targets = netting.default_targets(at_close, excepted)
    if effects.step is None:
        assert effects.outcome == CycleRefused(CODE.NOTHING_TO_SETTLE, 1)
        assert targets == at_close
        return
    [kept] = kept_of(effects)
    assert (kept.excepted, kept.place) == (tuple(sorted(excepted)), 0)
    apply(view, effects)
    legs: Any = effects.outcome
    words = [(leg, said) for leg in legs for said in ("paid", "received")]
    draw.shuffle(words)
    for leg, said in words:
        assert not {leg.debtor, leg.creditor} & {*excepted, RESERVE}
        word(view, leg, said)
    now = {group: view.accounts[group].balance for group in at_close}
    assert now == targets
    settled = view.open_cycle.settled.values()
    former = view.open_cycle.former
    assert former is not None
    statements = view.open_cycle.statements.values()
    standing = standing_of(former, statements, settled, kept)
    assert (standing.closing, standing.positions) == (at_close, now)
    assert standing.targets == targets and standing.is_settled
    # Without the last leg it is not.
    lacking = standing_of(former, statements, list(settled)[:-1], kept)
    assert not lacking.is_settled and lacking.targets == targets


@pytest.mark.parametrize("seed", range(40))
def test_no_plan_leads_a_position_away_from_zero_whatever_was_settled(
    seed: int,
) -> None:
    draw = random.Random(seed)
    view = traded(draw, *GROUPS)
    start = {group: view.accounts[group].balance for group in GROUPS}
    for _ in range(4):
        excepted = draw.sample(GROUPS, draw.randrange(3))
        legs = settle(view, *excepted)
        if isinstance(legs, CycleRefused):
            assert legs.code is CODE.NOTHING_TO_SETTLE
            continue
        for leg in legs:
            if draw.random() < 0.5:
                word(view, leg, "paid")
                word(view, leg, "received")
            else:
                order = rules.CancelLeg(leg.leg_id)
                apply(view, rules.decide_cancel(view, order, NOW))
        for group in GROUPS:
            now, then = view.accounts[group].balance, start[group]
            assert 0 <= now <= then or then <= now <= 0
            start[group] = now


def test_a_second_plan_with_the_same_exceptions_has_the_targets_of_the_first() -> None:
    view = view_of(GENT, AALST)
    moved(view, 1, OOSTENDE, GENT, 10)
    moved(view, 2, MECHELEN, GENT, 11)
    moved(view, 3, AALST, GENT, 1)
    closed(view)
    # Gent stays at 22 above zero, but for what Aalst, which stays too, has below.
    first = settle(view, AALST)
    assert sum(leg.milliseconds for leg in first) == 21
    word(view, first[0], "paid")
    word(view, first[0], "received")
    apply(view, rules.decide_cancel(view, rules.CancelLeg(first[1].leg_id), NOW))
    [again] = settle(view, AALST)
    assert (again.debtor, again.creditor, again.milliseconds) == (
        first[1].debtor,
        first[1].creditor,
        first[1].milliseconds,
    )


def test_what_an_exception_has_settled_before_it_keeps() -> None:
    view = view_of(GENT, AALST)
    moved(view, 1, OOSTENDE, MECHELEN, 10)
    moved(view, 2, GENT, MECHELEN, 10)
    moved(view, 3, AALST, MECHELEN, 10)
    closed(view)
    legs = {leg.debtor: leg for leg in settle(view)}
    word(view, legs[OOSTENDE], "paid")
    word(view, legs[OOSTENDE], "received")
    for group in (GENT, AALST):
        order = rules.CancelLeg(legs[group].leg_id)
        apply(view, rules.decide_cancel(view, order, NOW))
    # Mechelen, at 20 of 30 now, stays there; so nobody has anybody to settle with.
    assert settle(view, MECHELEN) == CycleRefused(CODE.NOTHING_TO_SETTLE, 1)
    [leg] = settle(view, GENT)
    assert (leg.debtor, leg.creditor, leg.milliseconds) == (AALST, MECHELEN, 10)


def test_a_dispute_stops_a_plan_unless_the_group_is_excepted() -> None:
    view = view_of(GENT)
    moved(view, 1, OOSTENDE, MECHELEN, 5 * HOUR)
    moved(view, 2, GENT, MECHELEN, HOUR)
    closed(view)
    hear(view, disputing(view))
    for excepted in ((), (GENT,), (MECHELEN, GENT)):
        found = settle(view, *excepted)
        assert found == CycleRefused(CODE.CYCLE_DISPUTED, 1, OOSTENDE)
    [leg] = settle(view, OOSTENDE)
    assert (leg.debtor, leg.creditor, leg.milliseconds) == (GENT, MECHELEN, HOUR)


@pytest.mark.parametrize(
    ("excepted", "named"),
    [
        (("nobody",), "nobody"),
        ((RESERVE,), RESERVE),
        ((OOSTENDE, OOSTENDE), OOSTENDE),
        ((MECHELEN, OOSTENDE, MECHELEN), MECHELEN),
        (("",), ""),
    ],
)
def test_an_exception_that_is_none_is_named(
    excepted: tuple[str, ...], named: str
) -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, HOUR)
    closed(view)
    before = dict(view.open_cycle.legs)
    assert settle(view, *excepted) == CycleRefused(CODE.EXCEPTION_WRONG, 1, named)
    assert view.open_cycle.legs == before
    with pytest.raises(MalformedMessageError):
        netting.default_targets({OOSTENDE: -5, MECHELEN: 5, RESERVE: 0}, excepted)


@pytest.mark.parametrize(
    "excepted", [(OOSTENDE, MECHELEN), (MECHELEN, OOSTENDE), (OOSTENDE,), (MECHELEN,)]
)
def test_with_all_groups_or_all_but_one_excepted_nothing_is_settled(
    excepted: tuple[str, ...],
) -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, HOUR)
    closed(view)
    assert settle(view, *excepted) == CycleRefused(CODE.NOTHING_TO_SETTLE, 1)


def test_the_order_of_exceptions_does_not_matter() -> None:
    plans = []
    for excepted in ((GENT, AALST), (AALST, GENT)):
        view = traded(random.Random(3), *GROUPS)
        plans.append(settle(view, *excepted))
    assert plans[0] == plans[1] != []


def test_a_plan_that_is_brought_along_is_checked_against_what_is_now() -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, 5 * HOUR)
    closed(view)
    right = netting.Leg(OOSTENDE, MECHELEN, 5 * HOUR)
    for legs in (
        (),
        (right, right),
        (netting.Leg(OOSTENDE, MECHELEN, 5 * HOUR - 1),),
        (netting.Leg(MECHELEN, OOSTENDE, 5 * HOUR),),
        (netting.Leg(OOSTENDE, RESERVE, 5 * HOUR),),
        (netting.Leg(OOSTENDE, "nobody", 5 * HOUR),),
        (netting.Leg(OOSTENDE, MECHELEN, -5 * HOUR),),
        (right, netting.Leg(OOSTENDE, MECHELEN, 0)),
    ):
        found = settle(view, legs=legs)
        assert found == CycleRefused(CODE.PLAN_OUTDATED, 1), legs
    assert view.open_cycle.open_legs == []
    [leg] = settle(view, legs=(right,))
    word(view, leg, "paid")
    word(view, leg, "received")
    # It was right then, and is not any more.
    assert settle(view, legs=(right,)) == CycleRefused(CODE.NOTHING_TO_SETTLE, 1)


def test_a_plan_for_other_exceptions_is_outdated() -> None:
    view = traded(random.Random(3), *GROUPS)
    for_all = settle(traded(random.Random(3), *GROUPS))
    legs = tuple(
        netting.Leg(leg.debtor, leg.creditor, leg.milliseconds) for leg in for_all
    )
    found = settle(view, for_all[0].debtor, legs=legs)
    assert found == CycleRefused(CODE.PLAN_OUTDATED, 1)
    assert len(settle(view, legs=legs)) == len(legs)


def test_a_frozen_group_has_its_part_and_one_that_has_left_has_none() -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, HOUR)
    closed(view)
    active = view.directory
    view.directory = in_state(active, MECHELEN, "left")
    assert settle(view) == CycleRefused(CODE.PARTY_LEFT, 1, MECHELEN)
    assert settle(view, MECHELEN) == CycleRefused(CODE.NOTHING_TO_SETTLE, 1)
    view.directory = in_state(active, MECHELEN, "frozen")
    [leg] = settle(view)
    assert (leg.debtor, leg.creditor) == (OOSTENDE, MECHELEN)


def test_nothing_is_settled_of_positions_that_were_shared_since() -> None:
    view = view_of(GENT)
    view.agreed = rules.Agreed(SharingRule.EQUAL)
    moved(view, 1, OOSTENDE, MECHELEN, 2 * HOUR)
    closed(view)
    # Its server is gone for good: the two others take over an hour each.
    view.directory = in_state(view.directory, OOSTENDE, "frozen")
    order = rules.TellShares(OOSTENDE, SharingRule.EQUAL)
    told: Any = apply(view, rules.decide_tell(view, order, NOW)).outcome
    [leg] = settle(view)
    apply(view, rules.decide_cancel(view, rules.CancelLeg(leg.leg_id), NOW))
    decide = rules.ShareDebt(OOSTENDE, told.shared_id)
    shared: Any = apply(view, rules.decide_share(view, decide, NOW)).outcome
    assert shared.state is rules.SharedState.DECIDED
    for excepted in ((), (OOSTENDE,), (MECHELEN, GENT)):
        found = settle(view, *excepted)
        assert found == CycleRefused(CODE.DEBT_SHARED, 1, OOSTENDE)
    # Whoever is named wrongly is told so first.
    assert settle(view, "nobody").code is CODE.EXCEPTION_WRONG
    # The next cycle's statements say what each group owes now.
    closed(view, 2)
    [leg] = settle(view, cycle=2)
    assert (leg.debtor, leg.creditor, leg.milliseconds) == (GENT, MECHELEN, HOUR)


@pytest.mark.parametrize(
    ("owed", "legs"),
    [
        (MILLISECONDS_MAX, [MILLISECONDS_MAX]),
        (MILLISECONDS_MAX + 1, [MILLISECONDS_MAX, 1]),
        (3 * MILLISECONDS_MAX, [MILLISECONDS_MAX] * 3),
    ],
)
def test_what_no_leg_can_carry_is_split(owed: int, legs: list[int]) -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, owed)
    closed(view)
    found = settle(view)
    assert [leg.milliseconds for leg in found] == legs
    assert len({leg.leg_id for leg in found}) == len(legs)
    for leg in found:
        assert write_line(leg.item)
        word(view, leg, "paid")
        word(view, leg, "received")
    assert view.accounts[OOSTENDE].balance == 0


# Words.


def signed_by(view: HubView, leg: Leg, **changes: Any) -> Word:
    """The debtor's word as it is kept, but for what a test changes."""
    kept = view.open_cycle.words[leg.leg_id, "paid"]
    word = msgspec.structs.replace(kept, **changes)
    view.open_cycle.words[leg.leg_id, "paid"] = word
    return word


def said(kind: Any, leg: Leg, /, **changes: Any) -> bytes:
    fields = {"id": leg.leg_id, "leg": line_hash(write_line(leg.item))} | changes
    return write_line(kind(**fields))


OTHER = "00000000-0000-8000-8000-000000000000"


@pytest.mark.parametrize(
    "make",
    [
        lambda leg: said(SettlementPaid, leg, leg=line_hash(b"another leg")),
        lambda leg: said(SettlementPaid, leg, id=OTHER),
        lambda leg: said(SettlementReceived, leg),
        lambda leg: write_line(leg.item),
        lambda _: b"nothing",
    ],
)
def test_a_row_that_says_what_no_item_says_settles_nothing(make: Any) -> None:
    view, leg = owing()
    word(view, leg, "paid")
    line = make(leg)
    # The row fits the item, which is about something else.
    signed_by(view, leg, line=line)
    altered = msgspec.structs.replace(
        view.open_cycle.legs[leg.leg_id], paid=line_hash(line)
    )
    view.open_cycle.legs[leg.leg_id] = altered
    effects = word(view, leg, "received")
    assert effects.step is Step.SIGNED
    assert not any(isinstance(one, PostEntry) for one in effects.wanted)
    [call] = [one for one in effects.wanted if isinstance(one, CallPeople)]
    assert leg.leg_id in call.text and OOSTENDE in call.text
    # Nor later, and nobody is called each second.
    assert list(rules.decide_due_legs(view, NOW)) == []
    assert view.accounts[OOSTENDE].balance == -5 * HOUR
    # It would hold up every plan for ever: the regional admin calls it off.
    assert settle(view) == CycleRefused(CODE.LEGS_OPEN, 1)
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    assert cancel(view, leg).outcome == CycleRefused(CODE.LEG_WAITS, 1, OOSTENDE)
    view.links[OOSTENDE] = compared(OOSTENDE)
    ended: Any = cancel(view, leg).outcome
    assert (ended.state, ended.code) == (rules.LegState.VOID, "cancelled")
    assert cancel(view, leg).outcome == CycleRefused(CODE.LEG_ENDED, 1)
    assert view.accounts[OOSTENDE].balance == -5 * HOUR
    [again] = settle(view)
    assert again.milliseconds == leg.milliseconds


def test_a_leg_with_two_sound_words_is_called_off_no_more() -> None:
    view, leg = owing()
    word(view, leg, "paid")
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    word(view, leg, "received")
    view.links[OOSTENDE] = compared(OOSTENDE)
    assert cancel(view, leg).outcome == CycleRefused(CODE.LEG_ENDED, 1)
    assert view.open_cycle.legs[leg.leg_id].state is rules.LegState.OPEN


def cancel(view: HubView, leg: Leg) -> Effects:
    order = rules.CancelLeg(leg.leg_id)
    return apply(view, rules.decide_cancel(view, order, NOW))


@pytest.mark.parametrize("change", ["hash", "party", "none", "milliseconds"])
def test_a_row_altered_by_hand_settles_nothing(change: str) -> None:
    view, leg = owing()
    word(view, leg, "paid")
    row = view.open_cycle.legs[leg.leg_id]
    match change:
        case "hash":
            row = msgspec.structs.replace(row, paid=line_hash(b"another"))
        case "party":
            signed_by(view, leg, party=MECHELEN)
        case "none":
            del view.open_cycle.words[leg.leg_id, "paid"]
        case _:
            row = msgspec.structs.replace(row, milliseconds=row.milliseconds + 1)
    view.open_cycle.legs[leg.leg_id] = row
    # Mechelen signs what it finds in the row.
    assert word(view, row, "received").step is Step.SIGNED
    assert {one.balance for one in view.accounts.values()} == {0, 5 * HOUR, -5 * HOUR}


def test_what_waited_is_settled_by_the_words_that_are_read_again() -> None:
    view, leg = owing()
    word(view, leg, "paid")
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    word(view, leg, "received")
    view.links[OOSTENDE] = compared(OOSTENDE)
    words, view.open_cycle.words = view.open_cycle.words, {}
    assert list(rules.decide_due_legs(view, NOW)) == []
    view.open_cycle.words = words
    [effects] = rules.decide_due_legs(view, NOW)
    assert effects.step is Step.SETTLED


# Age, and cycles that are full.


def test_a_leg_is_late_when_a_word_is_waited_for_two_weeks() -> None:
    _, leg = owing()
    assert (leg.lacks, leg.waited_ms(NOW)) == ([OOSTENDE, MECHELEN], 0)
    assert not leg.is_late(later(LATE_MS - 1))
    assert leg.is_late(later(LATE_MS))
    paid = msgspec.structs.replace(leg, paid="x", paid_at=later(HOUR))
    assert paid.lacks == [MECHELEN]
    assert not paid.is_late(later(HOUR + LATE_MS - 1))
    assert paid.is_late(later(HOUR + LATE_MS))
    both = msgspec.structs.replace(paid, received="y", received_at=later(HOUR))
    assert (both.lacks, both.waited_ms(later(2 * LATE_MS))) == ([], 0)
    void = msgspec.structs.replace(leg, state=rules.LegState.VOID)
    assert not void.is_late(later(2 * LATE_MS))
    # A clock set back tells no age below zero.
    assert leg.waited_ms(later(-5)) == 0


def test_people_are_called_about_legs_that_are_late_and_of_no_others() -> None:
    view, leg = owing()
    word(view, leg, "paid")
    order = rules.NoteLate((leg.leg_id, "00000000-0000-8000-8000-000000000000"))
    paid_at = view.open_cycle.legs[leg.leg_id].paid_at
    assert paid_at is not None
    at = Instant(paid_at + LATE_MS)
    assert not rules.decide_late(view, order, Instant(at - 1)).wanted
    effects = rules.decide_late(view, order, at)
    kept, call = effects.wanted
    assert kept == rules.KeepLate(leg.leg_id, at)
    assert isinstance(call, CallPeople) and call.about == "leg"
    assert call.text == (
        f"leg {leg.leg_id} of cycle 1: oostende is to make good 5.00 h to mechelen;"
        " the word of mechelen has been awaited for 14 days"
    )
    # A word came between the look and the order.
    word(view, leg, "received")
    assert not rules.decide_late(view, order, at).wanted


def decided(view: HubView) -> RefusalCode | None:
    effects = rules.decide_prepare(view, prepared(), NOW)
    told = decisions(effects)
    return told[0][1].code if told else None


@pytest.mark.parametrize("way", ["paid", "received"])
def test_a_cycle_never_holds_more_than_its_statements_can_say(way: str) -> None:
    view = view_of()
    there, back = (OOSTENDE, MECHELEN) if way == "paid" else (GENT, MECHELEN)
    view = view_of(GENT)
    room = rules.TURNOVER_MAX - S
    moved(view, 1, there, back, room)
    moved(view, 2, back, there, room)
    if way == "received":
        # Only what Mechelen receives is near the limit.
        assert view.open_cycle.running(OOSTENDE).tally.debits == 0
    assert decided(view) is None
    moved(view, 3, there, back, 1)
    code = RefusalCode
    expected = code.PAYER_GROUP_FLOOR if way == "paid" else code.PAYEE_GROUP_CEILING
    assert decided(view) is expected
    # The next cycle has room again.
    [effects] = rules.decide_close(view, CloseCycle(1), NOW)
    apply(view, effects)
    assert effects.step is Step.CLOSE
    assert decided(view) is None


def test_a_cycle_is_full_long_before() -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, rules.TURNOVER_MAX // 2)
    assert not view.open_cycle.running(OOSTENDE).is_full
    moved(view, 2, MECHELEN, OOSTENDE, rules.TURNOVER_MAX // 2)
    assert not view.open_cycle.running(MECHELEN).is_full
    moved(view, 3, MECHELEN, OOSTENDE, 1)
    assert view.open_cycle.running(MECHELEN).is_full
