"""A group leaves: what its own node and the others' decide, by rules alone."""

import pytest

from nodes import rules
from nodes.rules import (
    KeepLeavingWish,
    LeavingWish,
    NodeView,
    NoteAct,
    NotWished,
    Ordered,
    WishState,
    WishToLeave,
)
from protocol.effects import ArrivedItem, CallPeople, Effects
from protocol.errors import DirectoryRefusalCode, ItemRefusalCode, RefusalCode
from protocol.messages import (
    DirectoryLeave,
    ItemRefused,
    line_hash,
    write_line,
)
from protocol.steps import Step
from tests.nodes.makers import know, oostende, order
from tests.peer.makers import (
    NOW,
    arrival,
    carry_out,
    directory_decision,
    entry_of,
    in_state,
    of_kind,
    sent,
)
from tests.protocol.makers import MECHELEN, OOSTENDE

WISH = WishToLeave(author="@treasurer", reason="our meeting of June")


def wished(view: NodeView) -> LeavingWish:
    effects = carry_out(view, rules.decide_leaving_wish(view, WISH, NOW))
    assert isinstance(effects.outcome, LeavingWish)
    return effects.outcome


def told(view: NodeView, state: str) -> Effects:
    """The hub's decision on our group, as the node takes it."""
    found = directory_decision(entry_of(OOSTENDE), state=state)
    effects = rules.decide_directory(view, found, write_line(found), NOW)
    return carry_out(view, effects)


def refused(view: NodeView, number: int) -> ArrivedItem:
    """The hub's no to the item of that number."""
    line = write_line(DirectoryLeave(group=OOSTENDE))
    view.sent_lines["hub", number] = line
    code = ItemRefusalCode.NOT_APPROVED
    item = ItemRefused(number=number, hash=line_hash(line), code=code)
    return arrival("hub", item)


def test_a_wish_is_kept_and_sent_and_changes_nothing_yet() -> None:
    view = oostende()
    before = view.directory
    effects = carry_out(view, rules.decide_leaving_wish(view, WISH, NOW))
    assert effects.step is Step.LEAVE_WISH
    assert sent(effects) == [("hub", DirectoryLeave(group=OOSTENDE))]
    (kept,) = of_kind(effects, KeepLeavingWish)
    assert kept.wish == view.leaving_wish == effects.outcome
    assert (kept.wish.number, kept.wish.reason) == (1, WISH.reason)
    assert view.directory is before
    again = rules.decide_leaving_wish(view, WISH, NOW)
    assert (again.wanted, again.outcome) == ((), kept.wish)


def test_who_wished_it_is_noted_for_ever_and_once() -> None:
    view = oostende()
    decided = rules.decide_leaving_wish(view, WISH, NOW)
    (act,) = of_kind(rules.with_act(WISH, decided), NoteAct)
    assert (act.author, act.deed, act.reason) == (
        WISH.author,
        "leaving-asked",
        WISH.reason,
    )
    carry_out(view, decided)
    again = rules.with_act(WISH, rules.decide_leaving_wish(view, WISH, NOW))
    assert of_kind(again, NoteAct) == []


def test_the_hub_s_decision_answers_it() -> None:
    view = oostende()
    wished(view)
    assert told(view, "leaving").step is Step.OWN_ENTRY
    assert view.leaving_wish is not None
    assert view.leaving_wish.state is WishState.BEGUN
    # One that is leaving need not ask; taken back, it may.
    effects = rules.decide_leaving_wish(view, WISH, NOW)
    assert (effects.wanted, effects.outcome) == ((), None)
    told(view, "active")
    assert wished(view).is_waiting


def test_another_decision_on_the_group_leaves_it_waiting() -> None:
    view = oostende()
    wished(view)
    told(view, "frozen")
    assert view.leaving_wish is not None and view.leaving_wish.is_waiting


def test_the_hub_s_no_ends_it_and_calls_nobody() -> None:
    view = oostende()
    wish = wished(view)
    arrived = refused(view, wish.number)
    effects = carry_out(view, rules.decide_item_refused(view, arrived, NOW))
    assert effects.step is Step.LEAVE_REFUSED
    assert of_kind(effects, CallPeople) == []
    assert view.leaving_wish is not None
    assert view.leaving_wish.state is WishState.REFUSED
    # Late, and about nothing that waits: nothing happens.
    assert rules.decide_item_refused(view, arrived, NOW).wanted == ()
    assert wished(view).number == 2


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("frozen", DirectoryRefusalCode.RELEASE_FIRST),
        ("left", DirectoryRefusalCode.LEFT_FOR_EVER),
    ],
)
def test_a_group_that_is_not_active_is_told_why_not(
    state: str, code: DirectoryRefusalCode
) -> None:
    view = oostende()
    know(view, in_state(view.directory, OOSTENDE, state))
    effects = rules.decide_leaving_wish(view, WISH, NOW)
    assert (effects.wanted, effects.outcome) == ((), NotWished(code))


# What members meet.


@pytest.mark.parametrize(
    ("clearing", "code"),
    [
        # The clearing account is minus the position: a debtor, even, a creditor.
        (1, RefusalCode.PAYER_GROUP_LEAVING),
        (0, RefusalCode.PAYER_GROUP_LEAVING),
        (-1, None),
    ],
)
def test_members_of_a_leaving_group_pay_others_only_while_it_is_owed(
    clearing: int, code: RefusalCode | None
) -> None:
    view = oostende()
    know(view, in_state(view.directory, OOSTENDE, "leaving"))
    view.accounts[rules.CLEARING].balance = clearing
    effects = rules.decide_order(view, order(), NOW)
    if code is None:
        assert isinstance(effects.outcome, Ordered)
    else:
        assert effects.outcome is code


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_nobody_pays_from_or_to_a_group_that_has_left(group: str) -> None:
    view = oostende()
    known = MECHELEN if group == MECHELEN else OOSTENDE
    know(view, in_state(view.directory, known, "left"))
    assert rules.decide_order(view, order(), NOW).outcome is RefusalCode.GROUP_LEFT


def test_how_much_another_group_may_still_take_the_hub_says() -> None:
    view = oostende()
    know(view, in_state(view.directory, MECHELEN, "leaving"))
    assert isinstance(rules.decide_order(view, order(), NOW).outcome, Ordered)
