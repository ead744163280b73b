"""What a node says to a statement, and when it books a leg: by rules alone."""

from typing import Any

import msgspec
import pytest

from nodes import rules
from nodes.rules import (
    CLEARING,
    SETTLEMENT,
    AnswerStatement,
    CycleState,
    Deed,
    LegState,
    NodeView,
    NotAnswered,
    NoteAct,
    OwnCycle,
    OwnLeg,
    SignLeg,
    TellMoves,
)
from protocol.cycle import LATE_MS, Difference, Figures, tally_of, write_statement
from protocol.effects import CallPeople, Effects, PostEntry
from protocol.errors import CycleRefusalCode, ItemRefusalCode
from protocol.instant import Instant
from protocol.messages import (
    CycleAgree,
    CycleDecision,
    CycleDispute,
    CycleList,
    CycleMove,
    DecisionName,
    ItemRefused,
    SettlementDecision,
    SettlementLeg,
    SettlementPaid,
    SettlementReceived,
    line_hash,
    write_line,
)
from protocol.steps import Step
from tests.nodes.makers import oostende
from tests.peer.makers import LOG, NOW, arrival, carry_out, later, sent
from tests.protocol.makers import AT, ID, MECHELEN, OOSTENDE, hash_of

HOUR = 3_600_000
MOVE = CycleMove(LOG, 3, ID, -HOUR)
OURS = Figures.of(0, tally_of([MOVE]))


def ended(**changes: Any) -> CycleDecision:
    fields: dict[str, Any] = {
        "log": LOG,
        "number": 9,
        "at": AT,
        "cycle": 1,
        "former": None,
        "groups": 2,
        "statements": hash_of("statements"),
        "reserve": 0,
    }
    return CycleDecision(**(fields | changes))


def statement(figures: Figures = OURS, **changes: Any) -> Any:
    said = write_statement(OOSTENDE, 1, None, DecisionName(LOG, 9), figures, (0, 0))
    return msgspec.structs.replace(said, **changes)


def told() -> NodeView:
    """Cycle 1 has ended, and the statement is on its way."""
    view = oostende()
    assert carry_out(view, rules.decide_cycle(view, ended())).step is Step.CYCLE
    return view


def waiting(figures: Figures = OURS) -> NodeView:
    view = told()
    effects = rules.decide_statement(view, arrival("hub", statement(figures)))
    assert carry_out(view, effects).step is Step.STATEMENT
    return view


def answer(view: NodeView, figures: Figures = OURS, **changes: Any) -> Effects:
    found = AnswerStatement(cycle=1, figures=figures, **changes)
    return carry_out(view, rules.decide_answer_to_statement(view, found, later(1)))


def refused(effects: Effects) -> Any:
    [(to, item)] = sent(effects)
    assert to == "hub" and isinstance(item, ItemRefused)
    return item.code


def calls(effects: Effects) -> int:
    return sum(isinstance(one, CallPeople) for one in effects.wanted)


def test_the_same_figures_are_agreed_to_by_the_statements_hash() -> None:
    view = waiting()
    effects = answer(view)
    assert effects.step is Step.AGREE
    expected = CycleAgree(cycle=1, statement=line_hash(write_line(statement())))
    assert sent(effects) == [("hub", expected)]
    assert view.cycles[1].state is CycleState.AGREED
    # Whatever is found later: what was signed stays so.
    assert sent(answer(view, Figures.of(5, tally_of([])))) == []
    assert view.cycles[1].state is CycleState.AGREED


@pytest.mark.parametrize("name", Figures.__struct_fields__)
def test_any_other_figure_is_disputed_and_people_called(name: str) -> None:
    other: Any = hash_of("x") if name == "digest" else getattr(OURS, name) + 1
    found = msgspec.structs.replace(OURS, **{name: other})
    view = waiting()
    effects = answer(view, found)
    assert (effects.step, calls(effects)) == (Step.DISPUTE, 1)
    [(_, said)] = sent(effects)
    assert isinstance(said, CycleDispute) and getattr(said, name) == other
    # The same once more says nothing new; when it is mended, it agrees.
    assert answer(view, found).wanted == ()
    assert answer(view).step is Step.AGREE


def test_who_had_it_looked_at_again_is_noted() -> None:
    view = waiting()
    order = AnswerStatement(cycle=1, figures=OURS, author="@ann", reason="mended")
    effects = rules.decide_answer_to_statement(view, order, NOW)
    acts = [
        one for one in rules.with_act(order, effects).wanted if isinstance(one, NoteAct)
    ]
    assert acts == [
        NoteAct("@ann", Deed.CYCLE_CHECKED, "1", {"state": "agreed"}, "mended")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"group": MECHELEN},
        {"cycle": 2},
        {"to": DecisionName(LOG, 8)},
        {"former": DecisionName(LOG, 2)},
    ],
)
def test_a_statement_that_is_not_of_our_cycle_is_refused(changes: Any) -> None:
    view = told()
    arrived = arrival("hub", statement(**changes))
    found = refused(rules.decide_statement(view, arrived))
    assert found is ItemRefusalCode.NOT_YOURS
    assert view.cycles[1].state is CycleState.TOLD


def test_a_second_statement_changes_nothing_and_calls_people() -> None:
    view = waiting()
    again = rules.decide_statement(view, arrival("hub", statement()))
    assert again.wanted == ()
    altered = arrival("hub", statement(held_out=1))
    effects = rules.decide_statement(view, altered)
    assert (refused(effects), calls(effects)) == (ItemRefusalCode.ID_REUSED, 1)
    assert view.cycles[1].line == write_line(statement())


def test_a_cycle_that_ends_twice_or_leaves_a_gap_calls_people() -> None:
    view = told()
    for wrong in (ended(number=12), ended(cycle=2, number=12, former=None)):
        effects = carry_out(view, rules.decide_cycle(view, wrong))
        assert (effects.step, calls(effects)) == (None, 1)
    assert view.cycles[1].name == DecisionName(LOG, 9) and 2 not in view.cycles
    good = ended(cycle=2, number=12, former=DecisionName(LOG, 9))
    assert rules.decide_cycle(view, good).step is Step.CYCLE


def test_nothing_is_said_of_a_cycle_without_a_statement() -> None:
    code = CycleRefusalCode.NO_STATEMENT
    assert answer(told()).outcome == NotAnswered(code)
    assert answer(oostende()).outcome == NotAnswered(code)


def listed(view: NodeView, **changes: Any) -> CycleList:
    line = view.cycles[1].line
    assert line is not None
    fields: dict[str, Any] = {
        "cycle": 1,
        "statement": line_hash(line),
        "first": 1,
        "last": 1,
        "marks": [],
        "moves": [MOVE],
    }
    return CycleList(**(fields | changes))


def test_a_list_is_answered_only_while_we_dispute() -> None:
    view = waiting()
    arrived = arrival("hub", listed(view))
    assert rules.decide_list(view, arrived).wanted == ()
    other = arrival("hub", listed(view, statement=hash_of("x")))
    assert refused(rules.decide_list(view, other)) is ItemRefusalCode.NOT_YOURS
    answer(view, Figures.of(0, tally_of([])))
    carry_out(view, rules.decide_list(view, arrived))
    reply = write_line(listed(view, moves=[], last=0))
    difference = Difference(1, MOVE, None)
    found = TellMoves(
        cycle=1, unanswered=arrived.line, reply=reply, difference=difference
    )
    effects = carry_out(view, rules.decide_moves(view, found))
    assert (effects.step, calls(effects)) == (Step.MOVES, 1)
    assert view.cycles[1].difference == difference
    # It is answered once.
    assert rules.decide_moves(view, found).wanted == ()


# Legs.


def leg(**changes: Any) -> SettlementLeg:
    fields: dict[str, Any] = {
        "id": ID,
        "cycle": 1,
        "at": AT,
        "debtor": OOSTENDE,
        "creditor": MECHELEN,
        "milliseconds": HOUR,
    }
    return SettlementLeg(**(fields | changes))


def given(**changes: Any) -> NodeView:
    """A leg of ours is here: we owe, unless changed."""
    view = told()
    effects = rules.decide_leg(view, arrival("hub", leg(**changes)))
    assert carry_out(view, effects).step is Step.LEG
    return view


def sign(view: NodeView, word: Any = "paid", leg_id: str = ID) -> Effects:
    order = SignLeg(leg_id=leg_id, word=word, author="@ann", reason="by bank")
    return carry_out(view, rules.decide_sign(view, order, later(1)))


def decision(view: NodeView, **changes: Any) -> SettlementDecision:
    ours = line_hash(write_line(view.legs[ID].word(OOSTENDE)))
    fields: dict[str, Any] = {
        "log": LOG,
        "number": 20,
        "at": AT,
        "id": ID,
        "cycle": 1,
        "debtor": OOSTENDE,
        "creditor": MECHELEN,
        "milliseconds": HOUR,
        "paid": ours,
        "received": hash_of("received"),
        "outcome": "settled",
        "code": None,
    }
    return SettlementDecision(**(fields | changes))


def decide(view: NodeView, **changes: Any) -> Effects:
    item = decision(view, **changes)
    return carry_out(view, rules.decide_settlement(view, item, later(2)))


def test_a_debtor_books_when_the_decision_comes_and_never_before() -> None:
    view = given()
    effects = sign(view)
    assert effects.step is Step.SIGN
    [(_, said)] = sent(effects)
    assert said == SettlementPaid(id=ID, leg=line_hash(write_line(leg())))
    assert view.accounts[CLEARING].balance == 0
    assert decide(view).step is Step.LEG_SETTLED
    balances = {name: view.accounts[name].balance for name in (CLEARING, SETTLEMENT)}
    assert balances == {CLEARING: -HOUR, SETTLEMENT: HOUR}
    assert view.legs[ID].state is LegState.SETTLED


def test_a_creditor_books_the_other_way_round() -> None:
    parties: Any = {"debtor": MECHELEN, "creditor": OOSTENDE}
    view = given(**parties)
    effects = sign(view, "received")
    [(_, said)] = sent(effects)
    assert isinstance(said, SettlementReceived)
    ours = line_hash(write_line(said))
    decide(view, **parties, paid=hash_of("paid"), received=ours)
    balances = {name: view.accounts[name].balance for name in (CLEARING, SETTLEMENT)}
    assert balances == {CLEARING: HOUR, SETTLEMENT: -HOUR}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "00000000-0000-8000-8000-000000000000"},
        {"cycle": 2},
        {"milliseconds": HOUR + 1},
        {"debtor": MECHELEN, "creditor": OOSTENDE},
        {"paid": hash_of("another word")},
        {"received": None},
    ],
)
def test_what_we_were_not_given_or_did_not_sign_is_not_booked(changes: Any) -> None:
    view = given()
    sign(view)
    effects = decide(view, **changes)
    assert (effects.step, calls(effects)) == (None, 1)
    assert not any(isinstance(one, PostEntry) for one in effects.wanted)
    assert view.accounts[CLEARING].balance == 0
    # The mirror goes on from this decision all the same.
    assert view.newest == (LOG, 20)


def test_the_hub_alone_cannot_settle_for_us() -> None:
    view = given()
    effects = decide(view)
    assert (effects.step, calls(effects)) == (None, 1)
    assert view.accounts[CLEARING].balance == 0


def test_a_leg_ends_once() -> None:
    view = given()
    sign(view)
    none: Any = {"received": None, "outcome": "void", "code": "cancelled"}
    assert decide(view, **none).step is Step.LEG_VOID
    assert view.legs[ID].code == "cancelled"
    effects = decide(view)
    assert (effects.step, calls(effects)) == (None, 1)
    assert view.accounts[CLEARING].balance == 0


def test_each_word_is_said_once_and_only_if_it_is_ours() -> None:
    code = CycleRefusalCode
    view = given()
    assert sign(view, "received").outcome == NotAnswered(code.LEG_NOT_YOURS)
    found = sign(view, leg_id="00000000-0000-8000-8000-000000000000").outcome
    assert found == NotAnswered(code.NO_SUCH_LEG)
    assert isinstance(sign(view).outcome, OwnLeg)
    assert sign(view).outcome == NotAnswered(code.LEG_SIGNED)
    decide(view)
    assert sign(view).outcome == NotAnswered(code.LEG_ENDED)


@pytest.mark.parametrize(
    "changes",
    [{"debtor": MECHELEN, "creditor": "gent"}, {"creditor": OOSTENDE}, {"cycle": 7}],
)
def test_a_leg_that_is_none_of_ours_is_refused(changes: Any) -> None:
    view = told()
    arrived = arrival("hub", leg(**changes))
    assert refused(rules.decide_leg(view, arrived)) is ItemRefusalCode.NOT_YOURS
    assert view.legs == {}


def test_a_leg_that_is_known_is_not_taken_again() -> None:
    view = given()
    arrived = arrival("hub", leg(milliseconds=5))
    assert refused(rules.decide_leg(view, arrived)) is ItemRefusalCode.ID_REUSED
    assert view.legs[ID].milliseconds == HOUR
    assert isinstance(view.cycles[1], OwnCycle)


def test_the_treasurer_is_called_about_legs_that_are_late() -> None:
    view = given()
    order = rules.NoteLateLegs((ID, "00000000-0000-8000-8000-000000000000"))

    def called(at: Any) -> list[str]:
        wanted = rules.decide_late_legs(view, order, at).wanted
        assert {type(one) for one in wanted} <= {rules.KeepLateLeg, CallPeople}
        return [one.text for one in wanted if isinstance(one, CallPeople)]

    made = view.legs[ID].at
    assert called(Instant(made + LATE_MS - 1)) == []
    [text] = called(Instant(made + LATE_MS))
    assert text.endswith("our word has been awaited for 14 days")
    # Once it is signed, it is the other group's that is waited for.
    sign(view)
    signed = view.legs[ID].signed_at
    assert signed is not None
    assert called(Instant(signed + LATE_MS - 1)) == []
    [text] = called(Instant(signed + LATE_MS))
    assert "1.00 h to mechelen: the word of mechelen" in text
    decide(view)
    assert called(Instant(signed + LATE_MS)) == []
