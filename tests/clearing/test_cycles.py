"""How the hub ends cycles and legs: by rules alone, without a database."""

import random
from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    RESERVE,
    AppendDecision,
    CancelLeg,
    CloseCycle,
    ClosedCycle,
    CycleRefused,
    HubView,
    KeepStatement,
    Leg,
    LegState,
    Settle,
    Statement,
    StatementState,
    TellMoves,
)
from protocol.address import Group
from protocol.cycle import Difference, Figures, figures_of, tally_of
from protocol.directory import GroupRecord
from protocol.effects import CallPeople, Effects, PostEntry
from protocol.envelope import root_of
from protocol.errors import CycleRefusalCode, ItemRefusalCode
from protocol.ledger import TIME_UNIT, Account, AccountKind, Entry, Posting
from protocol.link import Trouble
from protocol.messages import (
    CycleAgree,
    CycleDecision,
    CycleDispute,
    CycleList,
    CycleMove,
    CycleStatement,
    ItemRefused,
    SettlementDecision,
    SettlementLeg,
    SettlementPaid,
    SettlementReceived,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.strict_json import INTEGER_MAX
from tests.clearing.makers import apply, hub_view
from tests.peer.makers import (
    NOW,
    arrival,
    compared,
    in_state,
    later,
    not_compared,
    sent,
)
from tests.protocol.makers import MECHELEN, OOSTENDE, hash_of

GENT = Group("gent")
HOUR = 3_600_000


def view_of(*more: Group) -> HubView:
    """Both groups, and more that are like Mechelen; nothing has moved."""
    view = hub_view()
    view.accounts[RESERVE] = Account(RESERVE, AccountKind.SYSTEM, TIME_UNIT)
    for group in more:
        view.directory = {**view.directory, group: view.directory[MECHELEN]}
        view.links[group] = compared(group)
        view.accounts[group] = msgspec.structs.replace(view.accounts[MECHELEN])
        view.accounts[group].account_id = group
    return view


def moved(view: HubView, place: int, payer: Group, payee: Group, amount: int) -> None:
    """Let a decision move two positions, as a cleared transfer does."""
    id_ = f"00000000-0000-8000-8000-{place:012x}"
    postings = (Posting(payer, -amount), Posting(payee, amount))
    entry = Entry(entry_id=id_, at=NOW, kind="transfer", postings=postings)
    line = f"decision {view.size}".encode()
    wanted = (AppendDecision(view.log, view.size, line), PostEntry(entry))
    apply(view, Effects(None, wanted))


def closed(view: HubView, cycle: int = 1) -> list[Effects]:
    """End a cycle; every part is applied before the next."""
    found = []
    for effects in rules.decide_close(view, CloseCycle(cycle), NOW):
        apply(view, effects)
        found.append(effects)
    return found


def refused(effects: Effects) -> Any:
    """The one item that says no."""
    [(_, item)] = sent(effects)
    assert isinstance(item, ItemRefused)
    return item.code


def statements(effects: Effects) -> dict[str, CycleStatement]:
    return {to: item for to, item in sent(effects) if isinstance(item, CycleStatement)}


@pytest.mark.parametrize("seed", range(30))
def test_whatever_was_traded_statements_add_up_and_chain(seed: int) -> None:
    draw = random.Random(seed)
    view = view_of(GENT)
    groups, log = [OOSTENDE, MECHELEN, GENT], []
    openings = dict.fromkeys(groups, 0)
    former = None
    for cycle in range(1, 4):
        listed: dict[str, list[CycleMove]] = {group: [] for group in groups}
        for _ in range(draw.randrange(12)):
            payer, payee = draw.sample(groups, 2)
            amount, place = draw.randint(1, 5 * HOUR), len(log)
            log.append(place)
            name = view.log, view.size
            moved(view, place, payer, payee, amount)
            id_ = f"00000000-0000-8000-8000-{place:012x}"
            listed[payer].append(CycleMove(*name, id_, -amount))
            listed[payee].append(CycleMove(*name, id_, amount))
        [effects] = closed(view, cycle)
        assert effects.step is Step.CLOSE
        [decision] = {
            item for _, item in sent(effects) if isinstance(item, CycleDecision)
        }
        told = statements(effects)
        lines = [write_line(told[group]) for group in sorted(groups)]
        assert decision.statements == root_of(lines)
        assert (decision.groups, decision.former) == (3, former)
        assert sum(one.closing for one in told.values()) + decision.reserve == 0
        for group in groups:
            found = figures_of(told[group])
            tally = tally_of(listed[group])
            assert found == Figures.of(openings[group], tally)
            assert found.closing == view.accounts[group].balance
            openings[group] = found.closing
        former = told[OOSTENDE].to
        assert former is not None
        assert (former.log, former.number) == (decision.log, decision.number)


def test_everyone_is_told_the_decision_before_the_statement() -> None:
    view = view_of()
    [effects] = closed(view)
    kinds = [(to, type(item)) for to, item in sent(effects)]
    assert kinds == [
        (MECHELEN, CycleDecision),
        (MECHELEN, CycleStatement),
        (OOSTENDE, CycleDecision),
        (OOSTENDE, CycleStatement),
    ]


@pytest.mark.parametrize("cycle", [0, 2, 10**15])
def test_only_the_open_cycle_is_closed(cycle: int) -> None:
    view = view_of()
    [effects] = closed(view, cycle)
    code = CycleRefusalCode.CYCLE_NOT_OPEN
    assert (list(effects.wanted), effects.outcome) == ([], CycleRefused(code, cycle))
    assert isinstance(closed(view)[0].outcome, ClosedCycle)
    [again] = closed(view)
    assert (list(again.wanted), again.outcome) == ([], CycleRefused(code, 1))


@pytest.mark.parametrize("trouble", [Trouble.WE_ARE_BEHIND, Trouble.PEER_IS_BEHIND])
def test_a_link_that_is_behind_stops_the_close(trouble: Trouble) -> None:
    view = view_of()
    view.links[MECHELEN] = msgspec.structs.replace(
        view.links[MECHELEN], trouble=trouble
    )
    [effects] = closed(view)
    code = CycleRefusalCode.LINK_BEHIND
    assert (list(effects.wanted), effects.outcome) == (
        [],
        CycleRefused(code, 1, MECHELEN),
    )
    # Its server may be gone for good; and who has left stops nobody.
    active = view.directory
    for cycle, state in enumerate(("frozen", "left"), 1):
        view.directory = in_state(active, MECHELEN, state)
        assert isinstance(closed(view, cycle)[0].outcome, ClosedCycle)


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_no_cycle_ends_before_every_group_has_compared(group: Group) -> None:
    view = view_of()
    view.links[group] = not_compared(group)
    [effects] = closed(view)
    refused = CycleRefused(CycleRefusalCode.LINK_BEHIND, 1, group)
    assert (list(effects.wanted), effects.outcome) == ([], refused)
    active = view.directory
    for state in ("frozen", "left"):
        view.directory = in_state(active, group, state)
        cycle = view.open_cycle.number
        assert isinstance(closed(view, cycle)[-1].outcome, ClosedCycle)
    # A fork is no lack: what that node says is not waited for.
    view.directory = active
    forked = msgspec.structs.replace(view.links[group], trouble=Trouble.FORK)
    view.links[group] = forked
    assert isinstance(closed(view, 3)[-1].outcome, ClosedCycle)


def test_one_millisecond_that_no_decision_explains_stops_the_close() -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, 5)
    view.accounts[OOSTENDE].balance += 1
    [effects] = closed(view)
    code = CycleRefusalCode.LEDGER_DIFFERS
    assert effects.outcome == CycleRefused(code, 1, OOSTENDE)
    assert [type(one) for one in effects.wanted] == [CallPeople]
    view.accounts[OOSTENDE].balance -= 1
    view.accounts[RESERVE].balance += 1
    assert closed(view)[0].outcome == CycleRefused(code, 1, RESERVE)


def test_more_than_a_statement_can_say_stops_the_close() -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, INTEGER_MAX)
    moved(view, 2, MECHELEN, OOSTENDE, INTEGER_MAX)
    assert isinstance(closed(view)[0].outcome, ClosedCycle)
    moved(view, 3, OOSTENDE, MECHELEN, INTEGER_MAX)
    moved(view, 4, MECHELEN, OOSTENDE, 1)
    moved(view, 5, OOSTENDE, MECHELEN, 1)
    moved(view, 6, MECHELEN, OOSTENDE, INTEGER_MAX)
    code = CycleRefusalCode.CYCLE_TOO_LARGE
    assert closed(view, 2)[0].outcome == CycleRefused(code, 2, MECHELEN)


def stated(view: HubView, group: Group = OOSTENDE, cycle: int = 1) -> Statement:
    return view.open_cycle.statements[cycle, group]


def hash_in(view: HubView, group: Group = OOSTENDE) -> str:
    return line_hash(stated(view, group).line)


def disputing(view: HubView, **changes: Any) -> CycleDispute:
    found = read_item(stated(view).line)
    assert isinstance(found, CycleStatement)
    fields = msgspec.structs.asdict(figures_of(found))
    said = {"closing": fields["closing"] + 1} | changes
    return CycleDispute(cycle=1, statement=hash_in(view), **(fields | said))


def hear(view: HubView, item: Any, peer: Group = OOSTENDE, number: int = 9) -> Effects:
    arrived = arrival(peer, item, number=number)
    return apply(view, rules.decide_cycle_word(view, arrived, later(1)))


def test_the_first_agreement_is_kept_for_ever() -> None:
    view = view_of()
    closed(view)
    effects = hear(view, CycleAgree(cycle=1, statement=hash_in(view)))
    assert effects.step is Step.AGREED
    kept = stated(view)
    assert (kept.state, kept.answer) == (StatementState.AGREED, 9)
    assert hear(view, CycleAgree(cycle=1, statement=hash_in(view))).wanted == ()
    assert refused(hear(view, disputing(view))) is ItemRefusalCode.ID_REUSED
    assert stated(view) == kept


def test_nobody_speaks_for_another_group_or_of_another_statement() -> None:
    view = view_of()
    closed(view)
    wrong = hash_in(view, MECHELEN)
    code = ItemRefusalCode
    assert refused(hear(view, CycleAgree(cycle=1, statement=wrong))) is code.ID_REUSED
    assert refused(hear(view, CycleAgree(cycle=2, statement=wrong))) is code.NOT_YOURS
    altered = line_hash(stated(view).line + b" ")
    said = CycleAgree(cycle=1, statement=altered)
    assert refused(hear(view, said)) is code.ID_REUSED
    assert stated(view).state is StatementState.WAITING


def test_a_dispute_calls_people_once_and_waits_for_a_list() -> None:
    view = view_of()
    closed(view)
    effects = hear(view, disputing(view))
    assert effects.step is Step.DISPUTED
    assert [type(one) for one in effects.wanted] == [KeepStatement, CallPeople]
    assert stated(view).unanswered == b""
    again = hear(view, disputing(view))
    assert [type(one) for one in again.wanted] == [KeepStatement]
    # A dispute about nothing is none.
    said = disputing(view, closing=0)
    assert refused(hear(view, said)) is ItemRefusalCode.ID_REUSED
    # And people may mend it: then the node agrees.
    hear(view, CycleAgree(cycle=1, statement=hash_in(view)))
    assert stated(view).state is StatementState.AGREED
    assert stated(view).unanswered is None


def test_what_was_found_for_an_older_list_is_not_sent() -> None:
    view = view_of()
    closed(view)
    hear(view, disputing(view))
    listed = CycleList(
        cycle=1, statement=hash_in(view), first=1, last=0, marks=[], moves=None
    )
    found: dict[str, Any] = {"cycle": 1, "peer": OOSTENDE, "reply": b"{}"}
    told = TellMoves(**found, unanswered=b"", difference=None)
    hear(view, listed)
    assert rules.decide_moves(view, told).wanted == ()
    difference = Difference(1, None, CycleMove(None, None, hash_of("x"), 5))
    now = TellMoves(**found, unanswered=write_line(listed), difference=difference)
    effects = apply(view, rules.decide_moves(view, now))
    assert effects.step is Step.MOVES
    assert stated(view).difference == difference
    assert any(isinstance(one, CallPeople) for one in effects.wanted)


def test_a_group_has_so_many_rounds_an_hour_about_a_statement() -> None:
    view = view_of()
    closed(view)
    listed = CycleList(
        cycle=1, statement=hash_in(view), first=1, last=0, marks=[], moves=None
    )
    said = [disputing(view), listed] * (rules.ROUNDS_MAX // 2)
    for item in said:
        assert not any(
            isinstance(one, ItemRefused) for _, one in sent(hear(view, item))
        )
    for item in said[:2]:
        assert refused(hear(view, item)) is ItemRefusalCode.NOT_YOURS
    # Others have theirs, and who agrees is heard.
    other = msgspec.structs.replace(disputing(view), statement=hash_in(view, MECHELEN))
    assert hear(view, other, MECHELEN).step is Step.DISPUTED
    hear(view, CycleAgree(cycle=1, statement=hash_in(view)))
    assert stated(view).state is StatementState.AGREED


def test_the_next_hour_has_rounds_of_its_own() -> None:
    view = view_of()
    closed(view)
    arrived = arrival(OOSTENDE, disputing(view), number=9)
    for hour in (0, 1):
        for _ in range(rules.ROUNDS_MAX):
            at = later(hour * HOUR)
            effects = apply(view, rules.decide_cycle_word(view, arrived, at))
            assert effects.step is Step.DISPUTED


def test_a_new_dispute_keeps_the_difference_until_another_is_found() -> None:
    view = view_of()
    closed(view)
    hear(view, disputing(view))
    difference = Difference(1, None, CycleMove(None, None, hash_of("x"), 5))
    found = TellMoves(
        cycle=1, peer=OOSTENDE, unanswered=b"", reply=None, difference=difference
    )
    told = apply(view, rules.decide_moves(view, found))
    assert [one for one in told.wanted if isinstance(one, CallPeople)]
    hear(view, disputing(view, closing=7))
    assert stated(view).difference == difference
    again = apply(view, rules.decide_moves(view, found))
    assert not [one for one in again.wanted if isinstance(one, CallPeople)]


def test_a_list_without_a_dispute_is_refused() -> None:
    view = view_of()
    closed(view)
    listed = CycleList(
        cycle=1, statement=hash_in(view), first=1, last=0, marks=[], moves=None
    )
    assert refused(hear(view, listed)) is ItemRefusalCode.NOT_YOURS


# Legs.


def settled(view: HubView, cycle: int = 1) -> list[Leg]:
    effects = apply(view, rules.decide_settle(view, Settle(cycle), NOW))
    assert isinstance(effects.outcome, list), effects.outcome
    for leg in effects.outcome:
        told = [to for to, item in sent(effects) if item == leg.item]
        assert sorted(told) == sorted([leg.debtor, leg.creditor])
    return effects.outcome


def word(view: HubView, leg: Leg, said: str, peer: str | None = None) -> Effects:
    kind = SettlementPaid if said == "paid" else SettlementReceived
    party = leg.debtor if said == "paid" else leg.creditor
    item = kind(id=leg.leg_id, leg=line_hash(write_line(leg.item)))
    arrived = arrival(Group(peer or party), item, number=5)
    return apply(view, rules.decide_leg_word(view, arrived, later(2)))


def owing() -> tuple[HubView, Leg]:
    """Oostende owes Mechelen five hours after cycle 1, and there is a leg."""
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, 5 * HOUR)
    closed(view)
    [leg] = settled(view)
    return view, leg


@pytest.mark.parametrize("seed", range(30))
def test_after_the_last_leg_every_position_is_at_its_target(seed: int) -> None:
    draw = random.Random(seed)
    groups = [OOSTENDE, MECHELEN, GENT, Group("brussel")]
    view = view_of(*groups[2:])
    for place in range(draw.randrange(1, 20)):
        payer, payee = draw.sample(groups, 2)
        moved(view, place, payer, payee, draw.randint(1, 9 * HOUR))
    closed(view)
    at_close = {group: view.accounts[group].balance for group in groups}
    effects = rules.decide_settle(view, Settle(1), NOW)
    if not any(at_close.values()):
        assert effects.outcome == CycleRefused(CycleRefusalCode.NOTHING_TO_SETTLE, 1)
        return
    legs = settled(view)
    words = [(leg, said) for leg in legs for said in ("paid", "received")]
    draw.shuffle(words)
    traded = dict.fromkeys(groups, 0)
    for place, (leg, said) in enumerate(words, start=100):
        before = {group: abs(view.accounts[group].balance) for group in groups}
        if draw.random() < 0.3:
            payer, payee = draw.sample(groups, 2)
            moved(view, place, payer, payee, HOUR)
            traded[payer] -= HOUR
            traded[payee] += HOUR
            before = {}
        has_both = view.open_cycle.legs[leg.leg_id].paid or (
            view.open_cycle.legs[leg.leg_id].received
        )
        effects = word(view, leg, said)
        posts = [one for one in effects.wanted if isinstance(one, PostEntry)]
        assert len(posts) == (1 if has_both else 0)
        if before and posts and not any(traded.values()):
            # Towards the target only.
            for group in (leg.debtor, leg.creditor):
                assert abs(view.accounts[group].balance) < before[Group(group)]
    assert {group: view.accounts[group].balance for group in groups} == traded
    assert {leg.state for leg in view.open_cycle.legs.values()} == {LegState.SETTLED}
    # And what the legs moved is in the next cycle's statements.
    assert isinstance(closed(view, 2)[-1].outcome, ClosedCycle)


def test_a_leg_is_decided_with_both_words_and_never_twice() -> None:
    view, leg = owing()
    assert word(view, leg, "received").step is Step.SIGNED
    assert view.accounts[OOSTENDE].balance == -5 * HOUR
    effects = word(view, leg, "paid")
    assert effects.step is Step.SETTLED
    told = [item for _, item in sent(effects)]
    assert len(told) == 2 and told[0] == told[1]
    decision = told[0]
    assert isinstance(decision, SettlementDecision)
    assert (decision.outcome, decision.code) == ("settled", None)
    assert decision.paid and decision.received
    assert view.accounts[OOSTENDE].balance == view.accounts[MECHELEN].balance == 0
    for said in ("paid", "received"):
        assert refused(word(view, leg, said)) is ItemRefusalCode.NOT_YOURS


def test_a_word_counts_once_and_only_from_its_party() -> None:
    view, leg = owing()
    assert refused(word(view, leg, "paid", MECHELEN)) is ItemRefusalCode.NOT_YOURS
    assert refused(word(view, leg, "received", OOSTENDE)) is ItemRefusalCode.NOT_YOURS
    word(view, leg, "paid")
    assert refused(word(view, leg, "paid")) is ItemRefusalCode.ID_REUSED
    other = msgspec.structs.replace(leg, milliseconds=leg.milliseconds + 1)
    assert refused(word(view, other, "received")) is ItemRefusalCode.ID_REUSED
    unknown = msgspec.structs.replace(leg, leg_id=hash_of("x"))
    assert view.open_cycle.legs[leg.leg_id].received is None
    assert unknown.leg_id not in view.open_cycle.legs
    item = SettlementReceived(
        id="00000000-0000-8000-8000-000000000000", leg=hash_of("x")
    )
    arrived = arrival(MECHELEN, item, number=6)
    effects = rules.decide_leg_word(view, arrived, NOW)
    assert refused(effects) is ItemRefusalCode.NOT_YOURS


def test_a_frozen_group_still_signs_and_its_leg_is_settled() -> None:
    view, leg = owing()
    word(view, leg, "paid")
    view.directory = in_state(view.directory, MECHELEN, "frozen")
    assert word(view, leg, "received").step is Step.SETTLED


def test_a_leg_waits_for_a_party_that_has_not_compared() -> None:
    view, leg = owing()
    word(view, leg, "paid")
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    assert word(view, leg, "received").step is Step.SIGNED
    assert list(rules.decide_due_legs(view, NOW)) == []
    # What both have signed is neither called off nor void.
    found = rules.decide_cancel(view, CancelLeg(leg.leg_id), NOW).outcome
    assert found == CycleRefused(CycleRefusalCode.LEG_ENDED, 1)
    active = view.directory
    view.directory = in_state(active, OOSTENDE, "frozen")
    assert [one.step for one in closed(view, 2)] == [Step.CLOSE]
    view.directory = active
    view.links[OOSTENDE] = compared(OOSTENDE)
    [effects] = rules.decide_due_legs(view, NOW)
    assert effects.step is Step.SETTLED


def test_what_lacks_a_word_is_void_with_the_next_close() -> None:
    view, leg = owing()
    word(view, leg, "paid")
    void, close = closed(view, 2)
    assert (void.step, close.step) == (Step.VOID, Step.CLOSE)
    assert isinstance(void.outcome, Leg) and void.outcome.code == "cycle-closed"
    assert not any(isinstance(one, PostEntry) for one in void.wanted)
    assert refused(word(view, leg, "received")) is ItemRefusalCode.NOT_YOURS


def test_a_leg_that_cannot_be_decided_at_the_close_is_void_later() -> None:
    view, leg = owing()
    view.links[MECHELEN] = not_compared(MECHELEN)
    active = view.directory
    view.directory = in_state(active, MECHELEN, "frozen")
    assert [one.step for one in closed(view, 2)] == [Step.CLOSE]
    view.directory = active
    word(view, leg, "paid")
    view.links[MECHELEN] = compared(MECHELEN)
    assert refused(word(view, leg, "received")) is ItemRefusalCode.NOT_YOURS
    [effects] = rules.decide_due_legs(view, NOW)
    assert isinstance(effects.outcome, Leg)
    assert effects.outcome.code == "cycle-closed"


@pytest.mark.parametrize("said", [None, "received", "paid"])
def test_who_disputes_is_asked_for_nothing(said: str | None) -> None:
    view, leg = owing()
    if said is not None:
        word(view, leg, said)
    assert hear(view, disputing(view)).step is Step.DISPUTED
    assert said == "paid" or refused(word(view, leg, "paid")) is (
        ItemRefusalCode.NOT_YOURS
    )
    found = list(rules.void_disputed(view, 1, OOSTENDE, NOW))
    if said == "paid":
        # It has said that it paid, and so the other may say that it received.
        assert found == []
        assert word(view, leg, "received").step is Step.SETTLED
        return
    [effects] = found
    assert isinstance(effects.outcome, Leg) and effects.outcome.code == "cancelled"
    assert view.accounts[OOSTENDE].balance == -5 * HOUR


def test_legs_of_others_and_of_other_cycles_outlive_a_dispute() -> None:
    view, _ = owing()
    assert list(rules.void_disputed(view, 1, GENT, NOW)) == []
    assert list(rules.void_disputed(view, 2, OOSTENDE, NOW)) == []
    view.links[MECHELEN] = not_compared(MECHELEN)
    assert list(rules.void_disputed(view, 1, OOSTENDE, NOW)) == []


def test_a_leg_of_a_group_that_has_left_is_void() -> None:
    view, leg = owing()
    assert list(rules.decide_due_legs(view, NOW)) == []
    view.directory = in_state(view.directory, MECHELEN, "left")
    [effects] = rules.decide_due_legs(view, NOW)
    assert isinstance(effects.outcome, Leg) and effects.outcome.code == "party-left"
    assert leg.leg_id == effects.outcome.leg_id


def test_no_plan_is_made_while_a_group_disputes_or_legs_are_open() -> None:
    code = CycleRefusalCode
    view = view_of()
    found = rules.decide_settle(view, Settle(1), NOW).outcome
    assert found == CycleRefused(code.NO_SUCH_CYCLE, 1)
    moved(view, 1, OOSTENDE, MECHELEN, HOUR)
    closed(view)
    hear(view, disputing(view))
    found = rules.decide_settle(view, Settle(1), NOW).outcome
    assert found == CycleRefused(code.CYCLE_DISPUTED, 1, OOSTENDE)
    hear(view, CycleAgree(cycle=1, statement=hash_in(view)))
    settled(view)
    found = rules.decide_settle(view, Settle(1), NOW).outcome
    assert found == CycleRefused(code.LEGS_OPEN, 1)
    closed(view, 2)
    found = rules.decide_settle(view, Settle(1), NOW).outcome
    assert found == CycleRefused(code.CYCLE_NOT_NEWEST, 1)


def test_the_same_positions_give_the_same_legs() -> None:
    one, other = owing(), owing()
    assert one[1] == other[1]
    assert isinstance(read_item(write_line(one[1].item)), SettlementLeg)
    assert isinstance(one[0].directory[OOSTENDE], GroupRecord)


def waiting_over_a_close() -> tuple[HubView, Leg]:
    """A leg of cycle 1 that both have signed waits for Oostende; cycle 2 has ended."""
    view, leg = owing()
    word(view, leg, "paid")
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    # Frozen, so that it holds no close up.
    active = view.directory
    view.directory = in_state(active, OOSTENDE, "frozen")
    assert word(view, leg, "received").step is Step.SIGNED
    assert [one.step for one in closed(view, 2)] == [Step.CLOSE]
    view.directory = active
    return view, leg


def forget_ended(view: HubView) -> None:
    """Let the next batch begin with what is read for it."""
    newest = view.open_cycle.number - 1
    view.open_cycle.legs = {
        leg.leg_id: leg
        for leg in view.open_cycle.legs.values()
        if leg.state is LegState.OPEN or leg.cycle == newest
    }


def test_no_plan_is_made_while_a_leg_of_a_former_cycle_may_yet_settle() -> None:
    view, leg = waiting_over_a_close()
    found = rules.decide_settle(view, Settle(2), NOW).outcome
    assert found == CycleRefused(CycleRefusalCode.LEGS_OPEN, 2)
    assert view.open_cycle.legs[leg.leg_id].state is LegState.OPEN


def test_what_a_former_cycles_leg_settled_since_is_not_settled_again() -> None:
    view, _ = waiting_over_a_close()
    view.links[OOSTENDE] = compared(OOSTENDE)
    for effects in rules.decide_due_legs(view, NOW):
        apply(view, effects)
    forget_ended(view)
    found = rules.decide_settle(view, Settle(2), NOW).outcome
    assert found == CycleRefused(CycleRefusalCode.NOTHING_TO_SETTLE, 2)
    # The cycle that it belongs to has it in its figures.
    closed(view, 3)
    found = rules.decide_settle(view, Settle(3), NOW).outcome
    assert found == CycleRefused(CycleRefusalCode.NOTHING_TO_SETTLE, 3)


def some_order(view: HubView, draw: random.Random) -> Any:
    """Make one of all that may be asked or said, lawful or not."""
    legs = list(view.open_cycle.legs.values())
    chosen = draw.randrange(8 if legs else 4)
    if chosen == 0:
        cycle = view.open_cycle.number
        return list(rules.decide_close(view, CloseCycle(cycle), NOW))[-1:]
    if chosen == 1:
        cycle = view.open_cycle.number - 1
        return [rules.decide_settle(view, Settle(cycle), NOW)]
    if chosen == 2:
        group = draw.choice(list(view.links))
        change = draw.choice([compared, not_compared])
        state = draw.choice(["active", "frozen"])
        view.links[group] = change(group)
        view.directory = in_state(view.directory, Group(group), state)
        return []
    if chosen == 3:
        return list(rules.decide_due_legs(view, NOW))[:1]
    leg = draw.choice(legs)
    if chosen == 4:
        return [rules.decide_cancel(view, CancelLeg(leg.leg_id), NOW)]
    kind, party = draw.choice(
        [(SettlementPaid, leg.debtor), (SettlementReceived, leg.creditor)]
    )
    said = kind(id=leg.leg_id, leg=line_hash(write_line(leg.item)))
    return [rules.decide_leg_word(view, arrival(Group(party), said, number=5), NOW)]


def test_no_leg_ever_moves_a_position_past_its_target() -> None:
    assert sum(legs_settled_in_any_order(seed) for seed in range(60)) > 30


def legs_settled_in_any_order(seed: int) -> int:
    """Try orders and words without trade; gives how many legs were settled."""
    draw, posted = random.Random(seed), 0
    groups = [OOSTENDE, MECHELEN, GENT]
    view = view_of(GENT)
    for place in range(4):
        payer, payee = draw.sample(groups, 2)
        moved(view, place, payer, payee, draw.randint(1, 9 * HOUR))
    for _ in range(120):
        before = {group: view.accounts[group].balance for group in groups}
        for effects in some_order(view, draw):
            apply(view, effects)
            posted += sum(isinstance(one, PostEntry) for one in effects.wanted)
        for group in groups:
            now, then = view.accounts[group].balance, before[group]
            assert 0 <= now <= then or then <= now <= 0, seed
        if draw.random() < 0.3:
            forget_ended(view)
    return posted


def test_a_second_plan_has_the_targets_of_the_first() -> None:
    brussel = Group("brussel")
    view = view_of(GENT, brussel)
    view.accounts[RESERVE].balance = 3
    for payer, amount in ((OOSTENDE, 10), (MECHELEN, 10)):
        moved(view, amount + len(payer), payer, GENT, amount)
    # As if a charge had brought the reserve its three.
    moved(view, 99, GENT, brussel, 3)
    view.accounts[brussel].balance = 0
    view.open_cycle.changed[brussel] = rules.Running()
    closed(view)
    first = settled(view)
    done = next(leg for leg in first if leg.debtor == OOSTENDE)
    word(view, done, "paid")
    word(view, done, "received")
    for leg in first:
        if leg.leg_id != done.leg_id:
            apply(view, rules.decide_cancel(view, CancelLeg(leg.leg_id), NOW))
    again = settled(view)
    told = [(one.debtor, one.creditor, one.milliseconds) for one in again]
    wanted = {(one.debtor, one.creditor, one.milliseconds) for one in first}
    assert set(told) == wanted - {(done.debtor, done.creditor, done.milliseconds)}
