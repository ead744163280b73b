"""What is foreseen for many is what is then done, and who did it is noted."""

import random
from typing import Any

import msgspec
import pytest

from nodes import rules
from nodes.rules import (
    AcceptKeys,
    Booked,
    Deed,
    Foreseen,
    HandEntry,
    KeysOutcome,
    LimitLine,
    LimitsChange,
    MemberChange,
    NewMember,
    NodeView,
    NotBooked,
    NoteAct,
    NoteStanding,
    OtherBody,
    TrustAgain,
    WrongLine,
)
from protocol.effects import Effects, PostEntry, SetLimits
from protocol.errors import TreasurerRefusalCode
from protocol.ledger import Posting
from protocol.steps import Step
from tests.nodes.makers import carried, member, node_view, order
from tests.peer.makers import NOW, of_kind
from tests.peer.tables import entry_id
from tests.protocol.makers import MECHELEN, OOSTENDE, hash_of

ANNA = "5a5a5a5a-5a5a-4a5a-8a5a-5a5a5a5a5a5a"
TAKEN = TreasurerRefusalCode.NAME_TAKEN


def group(**changes: Any) -> NodeView:
    """Oostende with Marie (-100 to 100) and Lies, who has no limits."""
    view = node_view(
        OOSTENDE,
        member("marie", **({"floor": -100, "ceiling": 100} | changes)),
        member("lies"),
    )
    view.names = {name: name.title() for name in view.accounts}
    return view


def line(account: str, row: int = 1, **limits: Any) -> LimitLine:
    return LimitLine(row=row, account_id=account, **limits)


def change_limits(view: NodeView, *lines: LimitLine) -> Effects:
    wish = LimitsChange(lines=lines, author=ANNA, reason="May")
    return carried(view, rules.decide_limits(view, wish))


# Limits.


def test_limits_of_many_are_set_together_with_author_and_reason() -> None:
    view = group()
    effects = change_limits(
        view, line("marie", floor=-7), line("lies", 2, ceiling=None), line("fund", 3)
    )
    assert effects.wanted == ()  # The fund is no member.
    effects = change_limits(view, line("marie", floor=-7), line("lies", ceiling=5))
    assert effects.step is Step.MEMBER
    assert of_kind(effects, SetLimits) == [
        SetLimits("marie", -7, 100, False, False),
        SetLimits("lies", None, 5, False, False),
    ]
    notes = of_kind(effects, NoteStanding)
    assert [(note.author, note.reason) for note in notes] == [(ANNA, "May")] * 2
    again = change_limits(view, line("marie", floor=-7), line("lies", ceiling=5))
    assert (again.step, list(again.wanted)) == (None, [])


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"floor": 100}, None),
        ({"floor": 101}, TreasurerRefusalCode.LIMITS_CROSSED),
        ({"ceiling": -100}, None),
        ({"ceiling": -101}, TreasurerRefusalCode.LIMITS_CROSSED),
        ({"floor": 101, "ceiling": None}, None),
    ],
)
def test_one_wrong_line_leaves_every_limit_as_it_is(
    limits: dict[str, Any], code: TreasurerRefusalCode | None
) -> None:
    view = group()
    effects = change_limits(view, line("lies", floor=-1), line("marie", 2, **limits))
    assert isinstance(effects.outcome, Foreseen)
    wrong = () if code is None else (WrongLine(2, "marie", code),)
    assert effects.outcome.wrong == wrong
    assert (view.accounts["lies"].floor is None) is (code is not None)


@pytest.mark.parametrize(
    ("balance", "is_outside"), [(-51, True), (-50, False), (50, False), (51, True)]
)
def test_who_stands_outside_is_told_and_not_refused(
    balance: int, *, is_outside: bool
) -> None:
    view = group(balance=balance)
    foreseen = rules.foresee_limits(
        view.accounts, [line("marie", floor=-50, ceiling=50)]
    )
    assert foreseen.wrong == ()
    assert [one.is_outside for one in foreseen.lines] == [is_outside]


# Entries.


@pytest.mark.parametrize("seed", range(60))
def test_what_is_foreseen_is_what_is_booked(seed: int) -> None:
    draw = random.Random(seed)
    view = group(
        balance=draw.randint(-100, 100),
        held_out=draw.randint(0, 9),
        frozen=draw.random() < 0.1,
    )
    names = draw.sample(["marie", "lies", "nobody", "clearing"], draw.randint(1, 3))
    postings = [Posting(name, draw.choice([-1, 1]) * 40) for name in names]
    total = sum(one.amount for one in postings)
    if total:
        postings.append(Posting("fund", -total))
    foreseen = rules.foresee_entry(view.accounts, postings)
    wish = HandEntry(
        entry_id=entry_id(1),
        postings=tuple(postings),
        reason="of 2026",
        caller=ANNA,
        key="k",
        body_hash=hash_of("b"),
    )
    outcome = carried(view, rules.decide_entry(view, wish, NOW)).outcome
    first = next((one for one in foreseen if one.code), None)
    if first is None:
        assert outcome == Booked(entry_id(1))
        after = {one.account_id: one.balance_after for one in foreseen}
        assert after == {name: view.accounts[name].balance for name in after}
    else:
        assert first.code is not None
        assert outcome == NotBooked(first.code, first.account_id)


# Admission under a key.


def test_the_same_key_admits_once() -> None:
    view = group()
    new = NewMember(
        account_id="an",
        name="An",
        floor=None,
        ceiling=None,
        author=ANNA,
        key="k",
        body_hash=hash_of("an"),
    )
    assert carried(view, rules.decide_member(view, new, NOW)).outcome is True
    assert rules.decide_member(view, new, NOW) == Effects(None, (), True)
    other = msgspec.structs.replace(new, body_hash=hash_of("bo"))
    assert rules.decide_member(view, other, NOW).outcome == OtherBody()
    later = msgspec.structs.replace(new, key="later")
    effects = carried(view, rules.decide_member(view, later, NOW))
    assert effects.outcome is False
    assert view.answers[ANNA, "later"].code == TAKEN
    assert rules.decide_member(view, later, NOW) == Effects(None, (), False)


# Closing into the fund.


@pytest.mark.parametrize("balance", [-400, -1, 1, 400])
def test_the_fund_takes_what_is_left_whatever_the_limits(balance: int) -> None:
    view = group(balance=balance, floor=-10, ceiling=10, frozen=True)
    wish = MemberChange(
        account_id="marie",
        author=ANNA,
        closed=True,
        reason="leaves",
        to_fund=entry_id(7),
    )
    effects = carried(view, rules.decide_change(view, wish, NOW))
    (post,) = of_kind(effects, PostEntry)
    assert post.entry.postings == (Posting("marie", -balance), Posting("fund", balance))
    assert (post.entry.author, post.entry.reason) == (ANNA, "leaves")
    marie = view.accounts["marie"]
    assert (marie.balance, marie.closed, view.accounts["fund"].balance) == (
        0,
        True,
        balance,
    )
    assert not of_kind(carried(view, rules.decide_change(view, wish, NOW)), PostEntry)


@pytest.mark.parametrize("held", [{"held_out": 1}, {"held_in": 1}])
def test_what_is_held_keeps_an_account_open(held: dict[str, int]) -> None:
    view = group(balance=5, **held)
    wish = MemberChange(
        account_id="marie", author=ANNA, closed=True, reason="x", to_fund=entry_id(7)
    )
    effects = rules.decide_change(view, wish, NOW)
    assert effects == Effects(None, (), TreasurerRefusalCode.STILL_HELD)


# Acts.


def noted(effects: Effects) -> list[NoteAct]:
    found: list[NoteAct] = of_kind(effects, NoteAct)
    return found


def test_what_changed_nothing_is_no_act() -> None:
    view = group()
    same = MemberChange(account_id="marie", author=ANNA, floor=-100)
    no = MemberChange(account_id="marie", author=ANNA, floor=101)
    for wish in (same, no):
        effects = rules.decide_change(view, wish, NOW)
        assert rules.with_act(wish, effects) == effects
    trust = TrustAgain(about="hub", author=ANNA, reason="looked")
    effects = rules.decide_trust(view, trust)
    assert rules.with_act(trust, effects) == effects
    # What a member orders herself is hers.
    own = order(payee="lies", payee_group=OOSTENDE, payer_amount_max=9)
    effects = rules.decide_order(view, own, NOW)
    assert rules.with_act(own, effects) == effects


def test_a_bulk_change_is_an_act_about_each_whom_it_changed() -> None:
    view = group()
    wish = LimitsChange(
        lines=(line("marie", floor=-7), line("lies")), author=ANNA, reason="May"
    )
    effects = rules.with_act(wish, rules.decide_limits(view, wish))
    assert noted(effects) == [
        NoteAct(
            ANNA, Deed.LIMITS_CHANGED, "marie", {"floor": -7, "ceiling": 100}, "May"
        )
    ]


def test_an_order_in_her_name_is_an_act_without_its_memo() -> None:
    view = group()
    wish = order(
        payee="lies",
        payee_group=OOSTENDE,
        payer_amount_max=9,
        author=ANNA,
        memo="between us",
    )
    (act,) = noted(rules.with_act(wish, rules.decide_order(view, wish, NOW)))
    assert (act.author, act.deed, act.about) == (ANNA, Deed.PAYMENT_ORDERED, "marie")
    assert "between us" not in str(act)
    refused = msgspec.structs.replace(wish, key="other", payee="nobody")
    assert not noted(rules.with_act(refused, rules.decide_order(view, refused, NOW)))


@pytest.mark.parametrize("outcome", KeysOutcome)
def test_accepting_keys_is_an_act_when_they_were_accepted(outcome: KeysOutcome) -> None:
    wish = AcceptKeys(group=MECHELEN, digits="1" * 12, author=ANNA, reason="called")
    acts = noted(rules.with_act(wish, Effects(None, (), outcome)))
    act = NoteAct(ANNA, Deed.KEYS_ACCEPTED, MECHELEN, {}, "called")
    assert acts == ([act] if outcome is KeysOutcome.ACCEPTED else [])
