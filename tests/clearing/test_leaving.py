"""A group leaves: what the hub decides, by rules alone."""

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    Approve,
    BeginLeaving,
    CycleRefused,
    DeclareLeft,
    Freeze,
    GroupOrder,
    HubView,
    LeavingOrder,
    Leg,
    LegState,
    Limit,
    NotDecided,
    Release,
    Settle,
    Stay,
)
from protocol.address import Group
from protocol.effects import Effects
from protocol.errors import (
    CycleRefusalCode,
    DirectoryRefusalCode,
    ItemRefusalCode,
    RefusalCode,
)
from protocol.messages import (
    DirectoryDecision,
    DirectoryLeave,
    ItemRefused,
    SettlementDecision,
    TransferOffer,
)
from protocol.steps import Step
from protocol.transfer import State
from tests.clearing.makers import (
    S,
    accepted,
    apply,
    decisions,
    hub_view,
    prepared,
    transfer_in,
)
from tests.clearing.test_cycles import closed, moved, view_of
from tests.peer.makers import NOW, arrival, in_state, not_compared, sent
from tests.protocol.makers import ID, MECHELEN, OOSTENDE, hash_of

NEXT_ID = "1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b"
CODE = DirectoryRefusalCode


def decide(view: HubView, order: LeavingOrder) -> list[Effects]:
    """Decide on an order; every part is applied before the next."""
    return [apply(view, one) for one in rules.decide_leaving(view, order, NOW)]


def outcome(view: HubView, order: LeavingOrder) -> object:
    return decide(view, order)[-1].outcome


def state(view: HubView, group: Group = OOSTENDE) -> str:
    return view.directory[group].state


def leaving(position: int = 0, **changes: int) -> HubView:
    """Oostende is leaving, and stands there; Mechelen stands at minus that."""
    view = view_of()
    view.accounts[OOSTENDE].balance = position
    view.accounts[MECHELEN].balance = -position
    for name, value in changes.items():
        setattr(view.accounts[OOSTENDE], name, value)
    decide(view, BeginLeaving(OOSTENDE))
    assert state(view) == "leaving"
    return view


def no(code: DirectoryRefusalCode, position: int | None = None) -> NotDecided:
    return NotDecided(code, OOSTENDE, None, position)


def code_of(view: HubView, **changes: object) -> RefusalCode | None:
    """Have a prepare decided; gives why it was refused, if it was."""
    effects = apply(view, rules.decide_prepare(view, prepared(**changes), NOW))
    found = [item for _, item in decisions(effects)]
    if not found:
        assert [type(item) for _, item in sent(effects)] == [TransferOffer]
        return None
    return found[0].code


def to_oostende(milliseconds: int, id_: str = ID) -> dict[str, object]:
    """What changes where Mechelen pays Oostende."""
    return {
        "peer": MECHELEN,
        "id": id_,
        "payer_group": MECHELEN,
        "payee_group": OOSTENDE,
        "milliseconds": milliseconds,
    }


# It begins, and is taken back.


def test_leaving_is_a_decision_that_all_are_told_and_limits_stay_as_agreed() -> None:
    view = hub_view()
    before = view.directory[OOSTENDE]
    (effects,) = decide(view, BeginLeaving(OOSTENDE))
    assert effects.step is Step.DIRECTORY
    told = dict(sent(effects))
    assert set(told) == {OOSTENDE, MECHELEN}
    decision = told[MECHELEN]
    assert isinstance(decision, DirectoryDecision)
    assert (decision.group, decision.state) == (OOSTENDE, "leaving")
    assert (decision.floor, decision.ceiling) == (before.floor, before.ceiling)
    assert decide(view, BeginLeaving(OOSTENDE))[0].wanted == ()


def test_a_group_s_own_word_begins_it_and_once_more_changes_nothing() -> None:
    view = hub_view()
    wish = arrival(OOSTENDE, DirectoryLeave(group=OOSTENDE), number=7)
    effects = apply(view, rules.decide_leave_wish(view, wish, NOW))
    assert (effects.step, state(view)) == (Step.DIRECTORY, "leaving")
    # What the link is told of an arrival is not this rule's to say.
    assert effects.outcome is None
    for then in ("leaving", "left"):
        view.directory = in_state(view.directory, OOSTENDE, then)
        assert rules.decide_leave_wish(view, wish, NOW).wanted == ()


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("another's", ItemRefusalCode.NOT_YOURS),
        ("frozen", ItemRefusalCode.NOT_APPROVED),
        ("not compared", ItemRefusalCode.NOT_APPROVED),
    ],
)
def test_a_wish_that_cannot_be_is_answered_and_changes_nothing(
    case: str, code: ItemRefusalCode
) -> None:
    view = hub_view()
    wish = arrival(OOSTENDE, DirectoryLeave(group=OOSTENDE), number=7)
    if case == "another's":
        wish = arrival(OOSTENDE, DirectoryLeave(group=MECHELEN), number=7)
    elif case == "frozen":
        view.directory = in_state(view.directory, OOSTENDE, "frozen")
    else:
        view.links[OOSTENDE] = not_compared(OOSTENDE)
    before = view.directory
    effects = apply(view, rules.decide_leave_wish(view, wish, NOW))
    [(to, refused)] = sent(effects)
    assert isinstance(refused, ItemRefused)
    assert (to, refused.number, refused.code) == (OOSTENDE, 7, code)
    assert view.directory is before


def test_only_while_it_has_not_left_it_may_stay_after_all() -> None:
    view = leaving()
    decide(view, Stay(OOSTENDE))
    assert state(view) == "active"
    assert decide(view, Stay(OOSTENDE))[0].wanted == ()
    assert code_of(view) is None
    gone = leaving()
    decide(gone, DeclareLeft(OOSTENDE, 0))
    assert outcome(gone, Stay(OOSTENDE)) == no(CODE.LEFT_FOR_EVER)
    assert outcome(gone, BeginLeaving(OOSTENDE)) == no(CODE.LEFT_FOR_EVER)
    assert state(gone) == "left"


def test_a_freeze_ends_no_leaving() -> None:
    view = leaving()
    apply(view, rules.decide_group(view, Freeze(OOSTENDE), NOW))
    assert state(view) == "frozen"
    for order in (BeginLeaving(OOSTENDE), Stay(OOSTENDE)):
        assert outcome(view, order) == no(CODE.RELEASE_FIRST)
    apply(view, rules.decide_group(view, Release(OOSTENDE), NOW))
    assert state(view) == "leaving"
    effects = rules.decide_group(view, Release(OOSTENDE), NOW)
    assert effects.outcome == no(CODE.GROUP_LEAVING)


@pytest.mark.parametrize("order", [BeginLeaving(OOSTENDE), Stay(OOSTENDE)], ids=str)
def test_a_hub_that_may_have_forgotten_waits(order: LeavingOrder) -> None:
    view = leaving() if isinstance(order, Stay) else hub_view()
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    assert outcome(view, order) == no(CODE.GROUP_NOT_COMPARED)


def test_a_group_that_is_not_there_does_not_leave() -> None:
    view, gent = hub_view(), Group("gent")
    for order in (BeginLeaving(gent), Stay(gent), DeclareLeft(gent, 0)):
        assert outcome(view, order) == NotDecided(CODE.NO_SUCH_GROUP, gent)


# What it may still do.


@pytest.mark.parametrize(
    ("position", "pays", "is_paid"),
    [
        (-S, False, True),
        (-S + 1, False, False),
        (0, False, False),
        (S - 1, False, False),
        (S, True, False),
    ],
)
def test_a_leaving_debtor_receives_and_a_creditor_pays_never_past_zero(
    position: int, *, pays: bool, is_paid: bool
) -> None:
    expected = None if pays else RefusalCode.PAYER_GROUP_LEAVING
    assert code_of(leaving(position)) is expected
    expected = None if is_paid else RefusalCode.PAYEE_GROUP_LEAVING
    assert code_of(leaving(position), **to_oostende(S)) is expected


def test_the_window_shrinks_as_the_position_moves_and_as_things_are_held() -> None:
    view = leaving(-2 * S)
    assert code_of(view, **to_oostende(S + 1)) is None
    # Held, and not yet booked: no more than what is left up to zero.
    refused = code_of(view, **to_oostende(S, NEXT_ID))
    assert refused is RefusalCode.PAYEE_GROUP_LEAVING
    assert transfer_in(view).state is State.OFFERED
    apply(view, rules.decide_prepare(view, prepared(**to_oostende(S - 1)), NOW))


def test_what_was_held_before_clears_whatever_its_side() -> None:
    view = hub_view()
    arrived = prepared()
    apply(view, rules.decide_prepare(view, arrived, NOW))
    decide(view, BeginLeaving(OOSTENDE))
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    assert transfer_in(view).state is State.CLEARED
    assert view.accounts[OOSTENDE].balance == -S
    # Now a debtor of just so much: it may be paid that, and no more.
    assert code_of(view, **to_oostende(S + 1, NEXT_ID)) is not None


def leg(**changes: object) -> Leg:
    fields: dict[str, object] = {
        "leg_id": "00000000-0000-8000-8000-000000000001",
        "cycle": 1,
        "place": 0,
        "at": NOW,
        "debtor": OOSTENDE,
        "creditor": MECHELEN,
        "milliseconds": S,
    }
    return Leg(**(fields | changes))  # type: ignore[arg-type]


def test_what_an_open_leg_will_bring_is_not_brought_twice() -> None:
    view = leaving(-2 * S)
    view.open_cycle.legs[leg().leg_id] = leg()
    refused = code_of(view, **to_oostende(S + 1))
    assert refused is RefusalCode.PAYEE_GROUP_LEAVING
    assert code_of(view, **to_oostende(S, NEXT_ID)) is None


# It has left.


def test_a_group_that_is_even_has_left_at_the_admin_s_word() -> None:
    view = leaving()
    (effects,) = decide(view, DeclareLeft(OOSTENDE, 0))
    assert (effects.step, state(view)) == (Step.DIRECTORY, "left")
    assert decide(view, DeclareLeft(OOSTENDE, 0))[0].wanted == ()
    assert code_of(view) is RefusalCode.GROUP_LEFT
    assert code_of(view, **to_oostende(1, NEXT_ID)) is RefusalCode.GROUP_LEFT


@pytest.mark.parametrize("position", [-S, -1, 1, S])
def test_what_it_leaves_behind_must_be_named_exactly(position: int) -> None:
    view = leaving(position)
    for seen, code in (
        (0, CODE.POSITION_NOT_ZERO),
        (position + 2, CODE.POSITION_CHANGED),
        (-position, CODE.POSITION_CHANGED),
    ):
        found = outcome(view, DeclareLeft(OOSTENDE, seen))
        assert found == no(code, position), seen
    assert state(view) == "leaving"
    decide(view, DeclareLeft(OOSTENDE, position))
    assert state(view) == "left"
    # It moved nothing: who shares it is another decision.
    assert view.accounts[OOSTENDE].balance == position


@pytest.mark.parametrize("held", ["held_out", "held_in"])
def test_nothing_may_be_in_flight(held: str) -> None:
    view = leaving(**{held: 1})
    assert outcome(view, DeclareLeft(OOSTENDE, 0)) == no(CODE.STILL_IN_FLIGHT)
    setattr(view.accounts[OOSTENDE], held, 0)
    decide(view, DeclareLeft(OOSTENDE, 0))
    assert state(view) == "left"


def test_a_group_that_is_active_leaves_first() -> None:
    view = hub_view()
    assert outcome(view, DeclareLeft(OOSTENDE, 0)) == no(CODE.GROUP_NOT_LEAVING)


def test_a_frozen_group_s_server_may_be_gone_for_good() -> None:
    view = hub_view()
    view.directory = in_state(view.directory, OOSTENDE, "frozen")
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    decide(view, DeclareLeft(OOSTENDE, 0))
    assert state(view) == "left"


def test_a_leg_that_nobody_signed_is_void_and_one_with_a_word_holds_it_up() -> None:
    view = leaving(-S)
    open_leg = leg()
    view.open_cycle.legs[open_leg.leg_id] = open_leg
    void, left = decide(view, DeclareLeft(OOSTENDE, -S))
    [(_, decision), _] = sent(void)
    assert isinstance(decision, SettlementDecision)
    assert (decision.outcome, decision.code) == ("void", "party-left")
    assert (void.step, left.step) == (Step.VOID, Step.DIRECTORY)
    assert view.open_cycle.legs[open_leg.leg_id].state is LegState.VOID
    for word in ("paid", "received"):
        signed = leaving(-S)
        signed.open_cycle.legs[open_leg.leg_id] = leg(**{word: hash_of("word")})
        found = outcome(signed, DeclareLeft(OOSTENDE, -S))
        assert found == no(CODE.LEG_MAY_SETTLE)
    silent = leaving(-S)
    silent.open_cycle.legs[open_leg.leg_id] = open_leg
    silent.links[MECHELEN] = not_compared(MECHELEN)
    found = outcome(silent, DeclareLeft(OOSTENDE, -S))
    assert found == no(CODE.LEG_MAY_SETTLE)


@pytest.mark.parametrize(
    "order", [Freeze(OOSTENDE), Release(OOSTENDE), Limit(OOSTENDE, 0, 0)], ids=str
)
def test_nothing_else_is_decided_on_a_group_that_has_left(order: GroupOrder) -> None:
    view = hub_view()
    view.directory = in_state(view.directory, OOSTENDE, "left")
    effects = rules.decide_group(view, order, NOW)
    assert (effects.outcome, effects.wanted) == (no(CODE.LEFT_FOR_EVER), ())
    found = rules.decide_group(view, Approve(OOSTENDE, 1), NOW).outcome
    assert found == NotDecided(CODE.NO_SUCH_PROPOSAL, OOSTENDE, 1)


def test_what_a_group_left_behind_is_shared_before_anything_is_settled() -> None:
    view = view_of()
    moved(view, 1, OOSTENDE, MECHELEN, S)
    decide(view, BeginLeaving(OOSTENDE))
    closed(view)
    view.open_cycle.statements = {
        key: msgspec.structs.replace(kept)
        for key, kept in view.open_cycle.statements.items()
    }
    decide(view, DeclareLeft(OOSTENDE, -S))
    effects = rules.decide_settle(view, Settle(1), NOW)
    expected = CycleRefused(CycleRefusalCode.PARTY_LEFT, 1, OOSTENDE)
    assert (effects.outcome, effects.wanted) == (expected, ())
