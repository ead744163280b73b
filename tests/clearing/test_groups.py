"""What the regional admin decides on a group, and what groups may ask; pure."""

from typing import Any

import msgspec
import pytest

from clearing import rules
from clearing.rules import (
    AppendDecision,
    Approve,
    Disapprove,
    Freeze,
    GroupOrder,
    HubView,
    Limit,
    NotDecided,
    ProposalState,
    Release,
)
from protocol.address import Group, federation_id
from protocol.directory import ENTRY_LENGTH_MAX, GroupRecord
from protocol.effects import ArrivedItem, Effects, SetLimits
from protocol.errors import DirectoryRefusalCode, ItemRefusalCode, RefusalCode
from protocol.key_change import leaves_room
from protocol.ledger import may_credit, may_debit
from protocol.link import Trouble
from protocol.messages import (
    ITEM_LENGTH_MAX,
    DirectoryDecision,
    DirectoryPropose,
    GroupEntry,
    ItemRefused,
    TransferOffer,
    line_hash,
    read_item,
    write_line,
)
from protocol.steps import Step
from protocol.transfer import State
from protocol.unit import MILLISECONDS_MAX
from tests.clearing.makers import (
    S,
    accepted,
    apply,
    decisions,
    hub_view,
    prepared,
    transfer_in,
)
from tests.peer.makers import (
    NOW,
    arrival,
    compared,
    entry_of,
    flip,
    later,
    not_compared,
    of_kind,
    sent,
    signed,
)
from tests.protocol.makers import MECHELEN, OOSTENDE
from tests.protocol.test_directory import GOOD, WRONG, asked

GENT = Group("gent")
FASTER = 120_000
ORDERS: list[GroupOrder] = [
    Approve(OOSTENDE, 17),
    Freeze(OOSTENDE),
    Limit(OOSTENDE, -S, S),
]


def proposing(
    entry: GroupEntry | None = None,
    *,
    number: int = 17,
    peer: Group = OOSTENDE,
    text: str | None = None,
) -> ArrivedItem:
    """Oostende's proposal of a new rate, as it arrives."""
    told = signed(entry or asked()) if text is None else text
    return arrival(peer, DirectoryPropose(entry=told), number=number)


def waiting(view: HubView, **changes: Any) -> ArrivedItem:
    """Let the proposal wait for the regional admin."""
    arrived = proposing(**changes)
    apply(view, rules.decide_proposal(view, arrived, NOW))
    assert view.proposals[OOSTENDE].is_waiting
    return arrived


def order(view: HubView, wish: GroupOrder) -> Effects:
    return apply(view, rules.decide_group(view, wish, NOW))


def flip_last(text: str) -> str:
    """Spoil the signature at the end of a JWS."""
    head, _, signature = text.rpartition(".")
    return f"{head}.{flip(signature)}"


def no(
    code: DirectoryRefusalCode, group: Group = OOSTENDE, proposal: int | None = None
) -> NotDecided:
    """The hub's no to the regional admin, with what she must know of it."""
    return NotDecided(code, group, proposal)


def refusals(effects: Effects) -> list[tuple[str, ItemRefused]]:
    return [(to, item) for to, item in sent(effects) if isinstance(item, ItemRefused)]


# What groups ask.


@pytest.mark.parametrize("entry", GOOD.values(), ids=GOOD.keys())
def test_a_good_proposal_waits_and_changes_nothing(entry: GroupEntry) -> None:
    view = hub_view()
    before = dict(view.directory)
    effects = apply(view, rules.decide_proposal(view, proposing(entry), NOW))
    assert effects.step is Step.PROPOSAL
    kept = view.proposals[OOSTENDE]
    assert (kept.number, kept.entry, kept.state) == (17, entry, ProposalState.WAITING)
    assert sent(effects) == []
    assert view.directory == before and view.size == 0


@pytest.mark.parametrize("entry", WRONG.values(), ids=WRONG.keys())
def test_what_can_never_be_approved_is_answered_at_once(entry: GroupEntry) -> None:
    view = hub_view()
    keys_of = "an impostor" if entry.keys != asked().keys else None
    arrived = proposing(text=signed(entry, keys_of))
    effects = apply(view, rules.decide_proposal(view, arrived, NOW))
    ((to, refused),) = refusals(effects)
    assert (to, refused.number) == (OOSTENDE, 17)
    assert refused.hash == line_hash(arrived.line)
    assert refused.code is ItemRefusalCode.NOT_APPROVED
    assert view.proposals == {}


ELSEWHERE = federation_id(Group("elsewhere"), "A" * 43)
UNREADABLE = {
    "no signature": "nothing signed",
    "another key's signature": signed(asked(), "an impostor"),
    "spoiled": flip_last(signed(asked())),
    "for another federation": signed(asked(federation=ELSEWHERE)),
    "an entry against the rules": signed(asked(name="")),
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_the_group_has_not_signed_is_unreadable(text: str) -> None:
    view = hub_view()
    effects = apply(view, rules.decide_proposal(view, proposing(text=text), NOW))
    ((_, refused),) = refusals(effects)
    assert refused.code is ItemRefusalCode.UNREADABLE
    assert view.proposals == {}


def test_nobody_proposes_for_another_group() -> None:
    view = hub_view()
    arrived = proposing(peer=MECHELEN)
    effects = apply(view, rules.decide_proposal(view, arrived, NOW))
    ((to, refused),) = refusals(effects)
    assert (to, refused.code) == (MECHELEN, ItemRefusalCode.NOT_YOURS)
    assert view.proposals == {}


def test_an_entry_may_be_so_long_and_no_longer() -> None:
    view = hub_view()
    rates = [180_000]
    while leaves_room(signed(asked(*rates, len(rates), version=2)), 0):
        rates.append(len(rates))
    view.directory = _with_rates(view, rates[:-1])
    fits = proposing(asked(*rates, version=2))
    assert apply(view, rules.decide_proposal(view, fits, NOW)).step is Step.PROPOSAL
    assert len(order(view, Approve(OOSTENDE, 17)).wanted) > 1
    view.directory = _with_rates(view, rates)
    beyond = proposing(asked(*rates, len(rates), version=2), number=18)
    effects = apply(view, rules.decide_proposal(view, beyond, NOW))
    assert [refused.code for _, refused in refusals(effects)] == ["not-approved"]


def _with_rates(view: HubView, rates: list[int]) -> dict[Group, GroupRecord]:
    entry = asked(*rates, version=1)
    record = msgspec.structs.replace(view.directory[OOSTENDE], entry=entry)
    return {**view.directory, OOSTENDE: record}


def test_the_longest_decision_still_fits_an_item() -> None:
    most = "x" * ENTRY_LENGTH_MAX
    decision = DirectoryDecision(
        log=hub_view().log,
        number=2**53 - 1,
        at="2026-11-23T02:59:01.123Z",
        group="g" * 32,
        entry=most,
        state="leaving",
        floor=-MILLISECONDS_MAX,
        ceiling=MILLISECONDS_MAX,
        keys=list(hub_view().directory[OOSTENDE].keys),
    )
    assert len(write_line(decision)) < ITEM_LENGTH_MAX - 512


def test_a_newer_proposal_takes_the_place_of_the_one_that_waits() -> None:
    view = hub_view()
    first = waiting(view)
    newer = proposing(asked(180_000, 90_000), number=18)
    effects = apply(view, rules.decide_proposal(view, newer, NOW))
    ((to, refused),) = refusals(effects)
    assert (to, refused.number, refused.code) == (OOSTENDE, 17, "not-approved")
    assert refused.hash == line_hash(first.line)
    states = [kept.proposal.state for kept in of_kind(effects, rules.KeepProposal)]
    assert states == [ProposalState.REPLACED, ProposalState.WAITING]
    # The one that was seen is not the one that waits now.
    expected = no(DirectoryRefusalCode.NO_SUCH_PROPOSAL, proposal=17)
    for wish in (Approve(OOSTENDE, 17), Disapprove(OOSTENDE, 17)):
        assert order(view, wish).outcome == expected
    assert view.proposals[OOSTENDE].is_waiting
    order(view, Approve(OOSTENDE, 18))
    assert view.directory[OOSTENDE].rate == 90_000


def test_what_waits_ends_though_the_newer_one_can_never_be() -> None:
    view = hub_view()
    waiting(view)
    record = msgspec.structs.replace(view.directory[OOSTENDE], state="left")
    view.directory = {**view.directory, OOSTENDE: record}
    newer = proposing(asked(180_000, 90_000), number=18)
    effects = apply(view, rules.decide_proposal(view, newer, NOW))
    # Its node has put the newer one in its place; so nothing waits on either side.
    assert [one.number for _, one in refusals(effects)] == [17, newer.number]
    assert view.proposals[OOSTENDE].state is ProposalState.REPLACED


# What the regional admin decides.


@pytest.mark.parametrize("wish", ORDERS, ids=lambda wish: type(wish).__name__)
def test_each_decision_is_one_leaf_told_to_every_group(wish: GroupOrder) -> None:
    view = hub_view()
    waiting(view)
    effects = order(view, wish)
    assert effects.step is Step.DIRECTORY
    (leaf,) = of_kind(effects, AppendDecision)
    decision = read_item(leaf.line)
    assert isinstance(decision, DirectoryDecision)
    assert (leaf.number, decision.number, decision.group) == (0, 0, OOSTENDE)
    assert sent(effects) == [(MECHELEN, decision), (OOSTENDE, decision)]
    assert view.history[-1] == leaf.line
    assert view.size == 1


@pytest.mark.parametrize(
    "wish",
    [*ORDERS, Disapprove(OOSTENDE, 17), Release(OOSTENDE)],
    ids=lambda wish: type(wish).__name__,
)
def test_the_same_wish_again_is_no_second_decision(wish: GroupOrder) -> None:
    view = hub_view()
    waiting(view)
    if isinstance(wish, Release):
        order(view, Freeze(OOSTENDE))
    first = order(view, wish)
    again = order(view, wish)
    assert again.wanted == ()
    assert again.outcome == view.directory[OOSTENDE]
    assert first.outcome == again.outcome


def test_an_approved_rate_counts_from_its_decision() -> None:
    view = hub_view()
    waiting(view)
    order(view, Approve(OOSTENDE, 17))
    record = view.directory[OOSTENDE]
    assert (record.rate, record.rate_version) == (FASTER, 2)
    assert view.proposals[OOSTENDE].state is ProposalState.APPROVED
    # No other field of the hub's part has moved.
    before = hub_view().directory[OOSTENDE]
    assert (record.state, record.floor, record.ceiling, record.keys) == (
        before.state,
        before.floor,
        before.ceiling,
        before.keys,
    )


def test_a_proposal_that_is_refused_is_answered_and_gone() -> None:
    view = hub_view()
    arrived = waiting(view)
    effects = order(view, Disapprove(OOSTENDE, 17))
    ((to, refused),) = refusals(effects)
    assert (to, refused.number, refused.code) == (OOSTENDE, 17, "not-approved")
    assert refused.hash == line_hash(arrived.line)
    assert effects.step is Step.PROPOSAL_REFUSED
    assert view.size == 0
    expected = no(DirectoryRefusalCode.PROPOSAL_ENDED, proposal=17)
    assert order(view, Approve(OOSTENDE, 17)).outcome == expected
    assert view.directory[OOSTENDE].rate_version == 1


def test_what_was_approved_cannot_be_refused_afterwards() -> None:
    view = hub_view()
    waiting(view)
    order(view, Approve(OOSTENDE, 17))
    effects = order(view, Disapprove(OOSTENDE, 17))
    assert effects.outcome == no(DirectoryRefusalCode.PROPOSAL_ENDED, proposal=17)
    assert effects.wanted == ()


def test_a_group_may_ask_again_after_a_no() -> None:
    view = hub_view()
    waiting(view)
    order(view, Disapprove(OOSTENDE, 17))
    again = proposing(number=18)
    apply(view, rules.decide_proposal(view, again, NOW))
    order(view, Approve(OOSTENDE, 18))
    assert view.directory[OOSTENDE].rate == FASTER


COMPARED_FIRST: list[GroupOrder] = [
    Approve(OOSTENDE, 17),
    Release(OOSTENDE),
    Limit(OOSTENDE, -S, S),
]
WITH_AN_OLD_ENTRY = pytest.mark.parametrize(
    "wish", COMPARED_FIRST, ids=lambda wish: type(wish).__name__
)


def before_wish(wish: GroupOrder) -> HubView:
    """What the hub knows before it is to decide: a proposal, or a freeze."""
    view = hub_view()
    waiting(view)
    if isinstance(wish, Release):
        order(view, Freeze(OOSTENDE))
    return view


def behind(view: HubView, group: Group) -> None:
    """Let a group's node say that it has more of the hub's than the hub knows."""
    view.links[group] = compared(group, trouble=Trouble.WE_ARE_BEHIND)


@WITH_AN_OLD_ENTRY
def test_nothing_is_decided_on_a_group_that_has_not_compared(wish: GroupOrder) -> None:
    view = before_wish(wish)
    view.links[OOSTENDE] = not_compared(OOSTENDE)
    effects = order(view, wish)
    assert effects.outcome == no(DirectoryRefusalCode.GROUP_NOT_COMPARED)
    assert effects.wanted == ()
    assert view.proposals[OOSTENDE].is_waiting
    view.links[OOSTENDE] = compared(OOSTENDE)
    assert isinstance(order(view, wish).outcome, GroupRecord)


@WITH_AN_OLD_ENTRY
@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_a_hub_that_any_group_says_is_behind_signs_no_old_entry(
    wish: GroupOrder, group: Group
) -> None:
    view = before_wish(wish)
    behind(view, group)
    effects = order(view, wish)
    assert effects.outcome == no(DirectoryRefusalCode.HUB_BEHIND, group)
    assert effects.wanted == ()


@WITH_AN_OLD_ENTRY
@pytest.mark.parametrize("trouble", [None, Trouble.FORK, Trouble.PEER_IS_BEHIND])
def test_another_group_that_is_only_away_or_wrong_itself_holds_nobody_up(
    wish: GroupOrder, trouble: Trouble | None
) -> None:
    view = before_wish(wish)
    view.links[MECHELEN] = msgspec.structs.replace(
        not_compared(MECHELEN), trouble=trouble
    )
    assert isinstance(order(view, wish).outcome, GroupRecord)


@WITH_AN_OLD_ENTRY
def test_a_freeze_ends_the_say_of_a_group_that_calls_the_hub_behind(
    wish: GroupOrder,
) -> None:
    view = before_wish(wish)
    behind(view, MECHELEN)
    assert isinstance(order(view, Freeze(MECHELEN)).outcome, GroupRecord)
    assert isinstance(order(view, wish).outcome, GroupRecord)
    # And it is itself released only when its link agrees again.
    expected = no(DirectoryRefusalCode.HUB_BEHIND, MECHELEN)
    assert order(view, Release(MECHELEN)).outcome == expected


@pytest.mark.parametrize("trouble", [None, Trouble.WE_ARE_BEHIND])
def test_a_freeze_and_a_no_wait_for_nobody(trouble: Trouble | None) -> None:
    view = hub_view()
    waiting(view)
    for group in (OOSTENDE, MECHELEN):
        link = msgspec.structs.replace(not_compared(group), trouble=trouble)
        view.links[group] = link
    for wish in (Freeze(OOSTENDE), Disapprove(OOSTENDE, 17)):
        assert order(view, wish).outcome == view.directory[OOSTENDE]
    # Nor does the wish for what is so already: it is no decision.
    limits = view.directory[OOSTENDE]
    assert limits.floor is not None and limits.ceiling is not None
    for wish in (Freeze(OOSTENDE), Limit(OOSTENDE, limits.floor, limits.ceiling)):
        assert order(view, wish).outcome == view.directory[OOSTENDE]


def test_a_proposal_that_no_longer_fits_is_not_approved() -> None:
    view = hub_view()
    waiting(view)
    entry = asked(180_000, 90_000)
    moved = msgspec.structs.replace(view.directory[OOSTENDE], entry=entry)
    view.directory = {**view.directory, OOSTENDE: moved}
    effects = order(view, Approve(OOSTENDE, 17))
    assert effects.outcome == no(DirectoryRefusalCode.PROPOSAL_OUTDATED, proposal=17)


@pytest.mark.parametrize(
    "wish",
    [
        Approve(GENT, 1),
        Disapprove(GENT, 1),
        Freeze(GENT),
        Release(GENT),
        Limit(GENT, 0, 0),
    ],
    ids=str,
)
def test_a_group_that_is_not_there_is_not_decided_on(wish: GroupOrder) -> None:
    view = hub_view()
    effects = order(view, wish)
    assert effects.outcome == no(DirectoryRefusalCode.NO_SUCH_GROUP, GENT)
    assert effects.wanted == ()


@pytest.mark.parametrize(
    "wish", [Approve(OOSTENDE, 16), Disapprove(OOSTENDE, 18), Disapprove(MECHELEN, 17)]
)
def test_a_proposal_that_does_not_wait_is_not_decided_on(
    wish: Approve | Disapprove,
) -> None:
    view = hub_view()
    waiting(view)
    effects = order(view, wish)
    code = DirectoryRefusalCode.NO_SUCH_PROPOSAL
    assert effects.outcome == no(code, wish.group, wish.proposal)
    assert effects.wanted == ()


# What is in flight.


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_what_was_taken_before_a_freeze_clears_and_nothing_new_is_taken(
    group: Group,
) -> None:
    view = hub_view()
    arrived = prepared()
    apply(view, rules.decide_prepare(view, arrived, NOW))
    order(view, Freeze(group))
    later_one = prepared(id="1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b")
    effects = apply(view, rules.decide_prepare(view, later_one, NOW))
    ((_, refused),) = decisions(effects)
    assert refused.code is RefusalCode.GROUP_FROZEN
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    assert transfer_in(view).state is State.CLEARED
    assert view.accounts[OOSTENDE].balance == -S
    order(view, Release(group))
    again = prepared(id="2f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b")
    effects = apply(view, rules.decide_prepare(view, again, NOW))
    assert [type(item) for _, item in sent(effects)] == [TransferOffer]


@pytest.mark.parametrize("group", [OOSTENDE, MECHELEN])
def test_what_was_taken_before_a_new_rate_clears_as_fixed(group: Group) -> None:
    view = hub_view()
    arrived = prepared()
    apply(view, rules.decide_prepare(view, arrived, NOW))
    entry = entry_of(group, 180_000 if group == OOSTENDE else 60_000, FASTER)
    proposal = proposing(entry, peer=group)
    apply(view, rules.decide_proposal(view, proposal, NOW))
    order(view, Approve(group, 17))
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    cleared = transfer_in(view)
    assert (cleared.state, cleared.milliseconds) == (State.CLEARED, S)
    assert (cleared.payer_rate, cleared.payee_rate) == (1, 1)
    old = prepared(id="1f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b")
    effects = apply(view, rules.decide_prepare(view, old, NOW))
    ((_, refused),) = decisions(effects)
    assert refused.code is RefusalCode.RATE_CHANGED
    versions = {"payer_rate": 2} if group == OOSTENDE else {"payee_rate": 2}
    new = prepared(id="2f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b", **versions)
    effects = apply(view, rules.decide_prepare(view, new, NOW))
    assert [type(item) for _, item in sent(effects)] == [TransferOffer]


# Limits.


def test_limits_bind_the_next_hold_and_neither_balance_nor_what_is_held() -> None:
    view = hub_view()
    arrived = prepared()
    apply(view, rules.decide_prepare(view, arrived, NOW))
    effects = order(view, Limit(OOSTENDE, 0, 0))
    assert of_kind(effects, SetLimits) == [SetLimits(OOSTENDE, 0, 0, False)]
    record = view.directory[OOSTENDE]
    assert (record.floor, record.ceiling) == (0, 0)
    apply(view, rules.decide_reply(view, accepted(arrived), NOW))
    position = view.accounts[OOSTENDE]
    assert position.balance == -S
    assert may_debit(position, 1) is not None
    # What helps it back is never refused.
    assert may_credit(position, S)
    assert not may_credit(position, S + 1)


@pytest.mark.parametrize(
    ("floor", "code"), [(-S, None), (-S + 1, RefusalCode.PAYER_GROUP_FLOOR)]
)
def test_a_new_floor_is_met_exactly(floor: int, code: RefusalCode | None) -> None:
    view = hub_view()
    order(view, Limit(OOSTENDE, floor, 0))
    effects = apply(view, rules.decide_prepare(view, prepared(), NOW))
    assert [found.code for _, found in decisions(effects)] == ([code] if code else [])


@pytest.mark.parametrize(
    ("ceiling", "code"), [(S, None), (S - 1, RefusalCode.PAYEE_GROUP_CEILING)]
)
def test_a_new_ceiling_is_met_exactly(ceiling: int, code: RefusalCode | None) -> None:
    view = hub_view()
    order(view, Limit(MECHELEN, 0, ceiling))
    effects = apply(view, rules.decide_prepare(view, prepared(), NOW))
    assert [found.code for _, found in decisions(effects)] == ([code] if code else [])


def test_a_decision_is_dated_by_the_hub() -> None:
    view = hub_view()
    effects = rules.decide_group(view, Freeze(OOSTENDE), later(5))
    ((_, told), _) = sent(effects)
    assert isinstance(told, DirectoryDecision)
    assert told.at.endswith(".128Z")
