"""What a treasurer does on her own ledger, rule by rule; no clerk, no database."""

import random
from typing import Any

import msgspec
import pytest

from nodes import rules
from nodes.rules import (
    Booked,
    Correction,
    HandEntry,
    KeepAnswer,
    MemberChange,
    NewMember,
    NodeView,
    NotBooked,
    NoteStanding,
    OtherBody,
    SaveMember,
    Standing,
)
from protocol.effects import Effects, PostEntry, SendItem, SetLimits
from protocol.errors import RefusalCode, TreasurerRefusalCode
from protocol.ledger import Account, Entry, Posting, may_credit, may_debit
from protocol.messages import TransferPrepare, line_hash, read_item
from protocol.steps import Step
from protocol.unit import Amount
from tests.nodes.makers import (
    answer_hash,
    answered,
    carried,
    content,
    decision,
    mechelen,
    member,
    node_view,
    offered,
    oostende,
    order,
    units_of,
)
from tests.peer.makers import NOW, of_kind, sums
from tests.peer.tables import entry_id
from tests.protocol.makers import ID, OOSTENDE, hash_of

ANNA = "5a5a5a5a-5a5a-4a5a-8a5a-5a5a5a5a5a5a"


def group(*members: Account) -> NodeView:
    """Oostende with Marie (-100 to 100) and Lies, who has no limits."""
    usual = (member("marie", floor=-100, ceiling=100), member("lies"))
    view = node_view(OOSTENDE, *(members or usual))
    view.names = {name: name.title() for name in view.accounts}
    return view


def by_hand(*postings: tuple[str, int], number: int = 1, **changes: Any) -> HandEntry:
    fields: dict[str, Any] = {
        "entry_id": entry_id(number),
        "postings": tuple(Posting(*posting) for posting in postings),
        "reason": "the market of June",
        "caller": ANNA,
        "key": f"key {number}",
        "body_hash": hash_of(str(postings)),
    }
    return HandEntry(**(fields | changes))


def correction(entry: Entry, *, number: int = 2, **changes: Any) -> Correction:
    fields: dict[str, Any] = {
        "entry_id": entry_id(number),
        "entry": entry,
        "reason": "booked on the wrong member",
        "caller": ANNA,
        "key": f"key {number}",
        "body_hash": hash_of(f"correct {entry.entry_id}"),
    }
    return Correction(**(fields | changes))


def change(account: str = "marie", **changes: Any) -> MemberChange:
    return MemberChange(account_id=account, author=ANNA, **changes)


def booked(view: NodeView, *postings: tuple[str, int], number: int = 1) -> Entry:
    """Let an entry by hand be taken."""
    effects = carried(
        view, rules.decide_entry(view, by_hand(*postings, number=number), NOW)
    )
    assert effects.outcome == Booked(entry_id(number))
    return entry_of(effects)


def entry_of(effects: Effects) -> Entry:
    (post,) = of_kind(effects, PostEntry)
    entry: Entry = post.entry
    return entry


def balances(view: NodeView) -> dict[str, int]:
    return {name: account.balance for name, account in view.accounts.items()}


# Members.


def test_an_admission_notes_who_admitted_her() -> None:
    view = group()
    new = NewMember(account_id="an", name="An", floor=-5, ceiling=None, author=ANNA)
    effects = carried(view, rules.decide_member(view, new, NOW))
    assert (effects.step, effects.outcome) == (Step.MEMBER, True)
    standing = Standing(name="An", floor=-5, ceiling=None)
    assert of_kind(effects, NoteStanding) == [NoteStanding("an", ANNA, standing)]
    assert of_kind(effects, SaveMember) == [SaveMember("an", "An")]
    # In the same batch she can be changed already.
    again = carried(view, rules.decide_change(view, change("an", frozen=True), NOW))
    assert again.outcome == msgspec.structs.replace(standing, frozen=True)


@pytest.mark.parametrize("name", ["marie", "fund", "clearing", "conversion.1"])
def test_a_name_is_never_given_again(name: str) -> None:
    view = group()
    carried(view, rules.decide_change(view, change(closed=True), NOW))
    new = NewMember(account_id=name, name="An", floor=None, ceiling=None)
    assert rules.decide_member(view, new, NOW) == Effects(None, (), False)


def test_what_is_not_said_stays_as_it_is() -> None:
    view = group()
    effects = carried(view, rules.decide_change(view, change(floor=-7), NOW))
    after = Standing(name="Marie", floor=-7, ceiling=100)
    assert (effects.step, effects.outcome) == (Step.MEMBER, after)
    assert list(effects.wanted) == [
        SetLimits("marie", -7, 100, False, False),
        NoteStanding("marie", ANNA, after),
    ]


def test_no_limit_is_another_thing_than_nothing_said() -> None:
    view = group()
    effects = carried(view, rules.decide_change(view, change(floor=None), NOW))
    assert effects.outcome == Standing(name="Marie", floor=None, ceiling=100)
    assert may_debit(view.accounts["marie"], 10**12) is None


def test_a_new_name_is_kept_and_noted() -> None:
    view = group()
    effects = carried(view, rules.decide_change(view, change(name="Marie V."), NOW))
    assert of_kind(effects, SaveMember) == [SaveMember("marie", "Marie V.")]
    assert view.names["marie"] == "Marie V."


def test_a_change_that_changes_nothing_is_not_noted() -> None:
    view = group()
    effects = rules.decide_change(view, change(floor=-100, frozen=False), NOW)
    assert effects == Effects(None, (), Standing(name="Marie", floor=-100, ceiling=100))


@pytest.mark.parametrize("name", ["nobody", "fund", "clearing", "conversion.1"])
def test_only_members_are_changed(name: str) -> None:
    assert rules.decide_change(group(), change(name, frozen=True), NOW) == Effects(
        None, ()
    )


@pytest.mark.parametrize(
    ("wished", "code"),
    [
        ({"floor": 100}, None),
        ({"floor": 101}, TreasurerRefusalCode.LIMITS_CROSSED),
        ({"ceiling": -100}, None),
        ({"ceiling": -101}, TreasurerRefusalCode.LIMITS_CROSSED),
        ({"floor": 200, "ceiling": 199}, TreasurerRefusalCode.LIMITS_CROSSED),
        ({"floor": 200, "ceiling": None}, None),
    ],
)
def test_a_floor_is_never_above_its_ceiling(
    wished: dict[str, Any], code: TreasurerRefusalCode | None
) -> None:
    effects = rules.decide_change(group(), change(**wished), NOW)
    assert (effects.outcome if code else None) is code
    assert bool(effects.wanted) is (code is None)


def test_limits_bound_only_what_is_new() -> None:
    view = group(member("marie", floor=-100, balance=-90, held_out=10), member("lies"))
    after = carried(view, rules.decide_change(view, change(floor=-5), NOW)).outcome
    assert isinstance(after, Standing)
    marie = view.accounts["marie"]
    assert (marie.balance, marie.held_out, marie.floor) == (-90, 10, -5)
    assert may_debit(marie, 1) is RefusalCode.PAYER_FLOOR


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ({}, None),
        ({"balance": 1}, TreasurerRefusalCode.BALANCE_NOT_ZERO),
        ({"balance": -1}, TreasurerRefusalCode.BALANCE_NOT_ZERO),
        ({"held_out": 1}, TreasurerRefusalCode.STILL_HELD),
        ({"held_in": 1}, TreasurerRefusalCode.STILL_HELD),
        ({"balance": 1, "held_out": 1}, TreasurerRefusalCode.STILL_HELD),
    ],
)
def test_only_an_empty_account_is_closed(
    account: dict[str, Any], code: TreasurerRefusalCode | None
) -> None:
    view = group(member("marie", **account))
    effects = carried(view, rules.decide_change(view, change(closed=True), NOW))
    assert (effects.outcome if code else None) is code
    assert view.accounts["marie"].closed is (code is None)


def test_a_closed_account_takes_part_in_nothing_until_it_is_opened() -> None:
    view = group()
    carried(view, rules.decide_change(view, change(closed=True), NOW))
    marie = view.accounts["marie"]
    assert may_debit(marie, 1) is RefusalCode.ACCOUNT_CLOSED
    assert not may_credit(marie, 1)
    paid = rules.decide_order(view, order(payee="lies", payee_group=OOSTENDE), NOW)
    assert paid.outcome is RefusalCode.ACCOUNT_CLOSED
    carried(view, rules.decide_change(view, change(closed=False), NOW))
    assert may_debit(marie, 1) is None
    assert may_credit(marie, 1)


@pytest.mark.parametrize(
    ("wished", "code"),
    [
        ({"closed": True}, RefusalCode.UNKNOWN_ACCOUNT),
        ({"frozen": True}, RefusalCode.PAYEE_CANNOT_RECEIVE),
        ({"frozen": True, "closed": True}, RefusalCode.UNKNOWN_ACCOUNT),
    ],
)
def test_other_groups_learn_nothing_of_who_has_left(
    wished: dict[str, Any], code: RefusalCode
) -> None:
    view = mechelen()
    view.names = {"bob": "Bob"}
    carried(view, rules.decide_change(view, change("bob", **wished), NOW))
    carried(view, rules.decide_offer(view, offered(view), NOW))
    assert view.transfers[ID].code == code
    # Inside the group it is the same.
    inside = order(payer="an", payee="bob", payee_group=view.group, key="other")
    view.accounts["an"] = member("an")
    inside = msgspec.structs.replace(
        inside, transfer_id=entry_id(9), payer_amount_max=3
    )
    assert rules.decide_order(view, inside, NOW).outcome is code


# Entries by hand.


def test_an_entry_by_hand_is_booked_with_its_author_and_reason() -> None:
    view = group()
    asked = by_hand(("fund", -30), ("marie", 20), ("lies", 10))
    effects = carried(view, rules.decide_entry(view, asked, NOW))
    assert (effects.step, effects.outcome) == (Step.ENTRY, Booked(entry_id(1)))
    assert entry_of(effects) == Entry(
        entry_id=entry_id(1),
        at=NOW,
        kind="by-hand",
        postings=asked.postings,
        author=ANNA,
        reason="the market of June",
    )
    assert view.accounts["fund"].balance == -30


@pytest.mark.parametrize(
    ("account", "changes", "amount", "code"),
    [
        ("marie", {}, -100, None),
        ("marie", {}, -101, TreasurerRefusalCode.MEMBER_FLOOR),
        ("marie", {"held_out": 1}, -100, TreasurerRefusalCode.MEMBER_FLOOR),
        ("marie", {}, 100, None),
        ("marie", {}, 101, TreasurerRefusalCode.MEMBER_CEILING),
        ("marie", {"held_in": 1}, 100, TreasurerRefusalCode.MEMBER_CEILING),
        ("marie", {"frozen": True}, 1, TreasurerRefusalCode.MEMBER_FROZEN),
        ("marie", {"frozen": True}, -1, TreasurerRefusalCode.MEMBER_FROZEN),
        ("marie", {"closed": True}, 1, TreasurerRefusalCode.MEMBER_CLOSED),
        ("nobody", {}, 1, TreasurerRefusalCode.NO_SUCH_ACCOUNT),
        ("clearing", {}, 1, TreasurerRefusalCode.NOT_FOR_PEOPLE),
        ("settlement", {}, 1, TreasurerRefusalCode.NOT_FOR_PEOPLE),
        ("conversion.1", {}, 1, TreasurerRefusalCode.NOT_FOR_PEOPLE),
        ("conversion.1.time", {}, 1, TreasurerRefusalCode.NOT_FOR_PEOPLE),
        ("fund", {}, -(10**12), None),
        ("suspense", {}, 10**12, None),
    ],
)
def test_limits_count_by_hand_as_they_do_for_a_payment(
    account: str,
    changes: dict[str, Any],
    amount: int,
    code: TreasurerRefusalCode | None,
) -> None:
    view = group(
        member("marie", **({"floor": -100, "ceiling": 100} | changes)), member("lies")
    )
    before = balances(view)
    asked = by_hand(("lies", -amount), (account, amount))
    effects = carried(view, rules.decide_entry(view, asked, NOW))
    if code is None:
        assert effects.outcome == Booked(entry_id(1))
        assert balances(view) == before | {"lies": -amount, account: amount}
        return
    assert effects.outcome == NotBooked(code, account)
    assert {type(effect) for effect in effects.wanted} == {KeepAnswer}
    assert balances(view) == before


def test_the_first_account_that_stands_in_the_way_is_named() -> None:
    view = group()
    asked = by_hand(("lies", -202), ("marie", 101), ("nobody", 101))
    found = rules.decide_entry(view, asked, NOW).outcome
    assert found == NotBooked(TreasurerRefusalCode.MEMBER_CEILING, "marie")


@pytest.mark.parametrize("amount", [100, 101])
def test_the_same_key_gets_the_same_answer(amount: int) -> None:
    view = group()
    asked = by_hand(("lies", -amount), ("marie", amount))
    first = carried(view, rules.decide_entry(view, asked, NOW))
    # Whatever has changed since.
    view.accounts["marie"].ceiling = None if amount > 100 else 0
    again = rules.decide_entry(
        view, msgspec.structs.replace(asked, entry_id=entry_id(7)), NOW
    )
    assert again == Effects(None, (), first.outcome)


def test_the_same_key_for_something_else_is_refused() -> None:
    view = group()
    entry = booked(view, ("lies", -1), ("marie", 1))
    other = by_hand(("lies", -2), ("marie", 2))
    assert rules.decide_entry(view, other, NOW) == Effects(None, (), OtherBody())
    wish = correction(entry, key="key 1")
    assert rules.decide_correction(view, wish, NOW) == Effects(None, (), OtherBody())


# Corrections.


def test_a_correction_is_the_exact_negation() -> None:
    view = group()
    before = balances(view)
    entry = booked(view, ("fund", -30), ("marie", 20), ("lies", 10))
    effects = carried(view, rules.decide_correction(view, correction(entry), NOW))
    assert (effects.step, effects.outcome) == (Step.CORRECTION, Booked(entry_id(2)))
    assert entry_of(effects) == Entry(
        entry_id=entry_id(2),
        at=NOW,
        kind="correction",
        postings=(Posting("fund", 30), Posting("marie", -20), Posting("lies", -10)),
        author=ANNA,
        reason="booked on the wrong member",
        corrects=entry_id(1),
    )
    assert balances(view) == before


def test_an_entry_is_corrected_once_and_a_correction_can_be_corrected() -> None:
    view = group()
    entry = booked(view, ("lies", -5), ("marie", 5))
    first = carried(view, rules.decide_correction(view, correction(entry), NOW))
    again = correction(entry, number=3)
    assert carried(view, rules.decide_correction(view, again, NOW)).outcome == (
        NotBooked(TreasurerRefusalCode.CORRECTED_BEFORE)
    )
    back = correction(entry_of(first), number=4)
    effects = carried(view, rules.decide_correction(view, back, NOW))
    assert effects.outcome == Booked(entry_id(4))
    assert view.accounts["marie"].balance == 5


def test_a_correction_from_the_database_is_known() -> None:
    view = group()
    entry = booked(view, ("lies", -5), ("marie", 5))
    view.corrected = {entry.entry_id}
    effects = rules.decide_correction(view, correction(entry), NOW)
    assert effects.outcome == NotBooked(TreasurerRefusalCode.CORRECTED_BEFORE)


def test_limits_and_freezes_do_not_stop_a_correction() -> None:
    view = group()
    entry = booked(view, ("lies", -50), ("marie", 50))
    view.accounts["marie"].balance -= 150
    view.accounts["lies"].ceiling = -50
    view.accounts["lies"].frozen = view.accounts["marie"].frozen = True
    effects = carried(view, rules.decide_correction(view, correction(entry), NOW))
    assert effects.outcome == Booked(entry_id(2))
    assert view.accounts["marie"].balance == -150


def test_a_closed_account_stays_empty() -> None:
    view = group()
    entry = booked(view, ("lies", -50), ("marie", 50))
    booked(view, ("lies", 50), ("marie", -50), number=5)
    carried(view, rules.decide_change(view, change(closed=True), NOW))
    effects = rules.decide_correction(view, correction(entry), NOW)
    assert effects.outcome == NotBooked(TreasurerRefusalCode.MEMBER_CLOSED, "marie")


def test_what_another_group_has_booked_too_is_not_corrected_here() -> None:
    view = group()
    entry = Entry(
        entry_id=ID,
        at=NOW,
        kind="transfer",
        postings=(
            Posting("marie", -1),
            Posting("conversion.1", 1),
            Posting("conversion.1.time", -180_000),
            Posting("clearing", 180_000),
        ),
    )
    effects = carried(view, rules.decide_correction(view, correction(entry), NOW))
    assert effects.outcome == NotBooked(TreasurerRefusalCode.BETWEEN_GROUPS)
    assert not of_kind(effects, PostEntry)


def test_a_payment_inside_the_group_is_corrected_for_both() -> None:
    view = group()
    asked = order(payee="lies", payee_group=OOSTENDE, payer_amount_max=3)
    entry = entry_of(carried(view, rules.decide_order(view, asked, NOW)))
    assert view.accounts["lies"].balance == 3
    effects = carried(view, rules.decide_correction(view, correction(entry), NOW))
    assert effects.outcome == Booked(entry_id(2))
    assert (view.accounts["lies"].balance, view.accounts["marie"].balance) == (0, 0)


def paid_inside(view: NodeView) -> Entry:
    """Marie has paid Lies 3 inside the group."""
    asked = order(payee="lies", payee_group=OOSTENDE, payer_amount_max=3)
    return entry_of(carried(view, rules.decide_order(view, asked, NOW)))


def refund_of(view: NodeView, amount: int) -> Effects:
    """Lies gives Marie so much back."""
    asked = order(
        transfer_id=entry_id(50),
        payer="lies",
        payee="marie",
        payee_group=OOSTENDE,
        payee_amount=Amount(amount),
        payer_amount_max=amount,
        caller="lies",
        key="a refund",
        refund_of=ID,
        original=content(payee="lies"),
    )
    return carried(view, rules.decide_order(view, asked, NOW))


def test_a_payment_that_was_corrected_is_not_refunded_on_top() -> None:
    view = group()
    entry = paid_inside(view)
    carried(view, rules.decide_correction(view, correction(entry), NOW))
    assert refund_of(view, 1).outcome is RefusalCode.REFUND_TOO_LARGE
    assert (view.accounts["lies"].balance, view.accounts["marie"].balance) == (0, 0)


@pytest.mark.parametrize("amount", [1, 3])
def test_a_payment_that_was_refunded_is_not_corrected_on_top(amount: int) -> None:
    view = group()
    entry = paid_inside(view)
    refund = entry_of(refund_of(view, amount))
    before = balances(view)
    for one in (entry, refund):
        wish = correction(one, number=int(one.entry_id[-2:], 16) + 60)
        effects = carried(view, rules.decide_correction(view, wish, NOW))
        assert effects.outcome == NotBooked(TreasurerRefusalCode.REFUNDED_BEFORE)
    assert balances(view) == before


# In a member's name.


def test_a_payment_in_her_name_says_who_ordered_it() -> None:
    view = group()
    asked = order(payee="lies", payee_group=OOSTENDE, payer_amount_max=3, author=ANNA)
    effects = carried(view, rules.decide_order(view, asked, NOW))
    assert entry_of(effects).author == view.transfers[ID].author == ANNA


def test_a_payment_to_another_group_says_it_when_it_has_cleared() -> None:
    view = oostende()
    asked = order(author=ANNA)
    (item,) = of_kind(carried(view, rules.decide_order(view, asked, NOW)), SendItem)
    assert ANNA.encode() not in item.line
    prepare = read_item(item.line)
    assert isinstance(prepare, TransferPrepare)
    answer = answered(prepare)
    carried(view, rules.decide_answer(view, answer))
    decided = decision(prepare=line_hash(item.line), answer=answer_hash(answer))
    effects = carried(view, rules.decide_decision(view, decided, NOW))
    assert entry_of(effects).author == ANNA


# Whatever a treasurer does.


class Years:
    """A group's years: a treasurer and its members do anything, in any order."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        limits = {"floor": -300, "ceiling": 300}
        self.names = ["an", "bo", "cis", "fund", "suspense"]
        self.view = group(*(member(name, **limits) for name in ("an", "bo", "cis")))
        self.entries: list[Entry] = []
        self.number = 0

    def step(self) -> None:
        self.number += 1
        deed = self.draw.choice([self.book, self.correct, self.change, self.pay])
        effects = carried(self.view, deed())
        self.entries += [post.entry for post in of_kind(effects, PostEntry)]

    def book(self) -> Effects:
        names = self.draw.sample(self.names, self.draw.randint(2, 5))
        amounts = [self.draw.choice([-1, 1]) * self.draw.randint(1, 99) for _ in names]
        amounts[-1] -= sum(amounts)
        if not amounts[-1]:
            return Effects(None, ())
        asked = by_hand(*zip(names, amounts, strict=True), number=self.number)
        return rules.decide_entry(self.view, asked, NOW)

    def correct(self) -> Effects:
        if not self.entries:
            return Effects(None, ())
        wish = correction(self.draw.choice(self.entries), number=self.number)
        return rules.decide_correction(self.view, wish, NOW)

    def change(self) -> Effects:
        wished = self.draw.choice(
            [
                {"frozen": self.draw.random() < 0.2},
                {"closed": self.draw.random() < 0.2},
                {"floor": -self.draw.randint(0, 400)},
                {"ceiling": self.draw.randint(0, 400)},
            ]
        )
        name = self.draw.choice(self.names[:3])
        if "closed" in wished and self.draw.random() < 0.5:
            wished |= {"to_fund": entry_id(self.number), "reason": "she leaves"}
        return rules.decide_change(self.view, change(name, **wished), NOW)

    def pay(self) -> Effects:
        payer, payee = self.draw.sample(self.names[:3], 2)
        asked = order(
            transfer_id=entry_id(self.number),
            payer=payer,
            payee=payee,
            payee_group=OOSTENDE,
            payee_amount=Amount(self.draw.randint(1, 200)),
            payer_amount_max=10**9,
            caller=payer,
            key=f"key {self.number}",
        )
        return rules.decide_order(self.view, asked, NOW)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_the_ledger_sums_to_zero(seed: int) -> None:
    years = Years(seed)
    for _ in range(120):
        years.step()
        view = years.view
        assert not any(sums(years.entries, units_of(view)).values())
        for name, account in view.accounts.items():
            booked_on = (
                posting.amount
                for entry in years.entries
                for posting in entry.postings
                if posting.account_id == name
            )
            assert account.balance == sum(booked_on)
            assert not (account.closed and account.balance)
    corrected = [entry.corrects for entry in years.entries if entry.corrects]
    assert len(corrected) == len(set(corrected))
    assert len(years.entries) > 10
    assert corrected


def tails(entries: list[Entry]) -> list[Entry]:
    """What still stands: ends of chains in which every second entry takes one back."""
    following = {entry.corrects: entry for entry in entries if entry.corrects}
    found = []
    for entry in entries:
        if entry.corrects is None:
            last, length = entry, 1
            while last.entry_id in following:
                last, length = following[last.entry_id], length + 1
            found += [last] * (length % 2)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_taking_back_all_that_stands_brings_every_account_to_zero(seed: int) -> None:
    years = Years(seed)
    for _ in range(100):
        years.step()
    view = years.view
    for account in view.accounts.values():
        account.closed = False
    standing = tails(years.entries)
    assert standing
    years.draw.shuffle(standing)
    for entry in standing:
        years.number += 1
        wish = correction(entry, number=years.number)
        effects = carried(view, rules.decide_correction(view, wish, NOW))
        assert isinstance(effects.outcome, Booked)
    assert not any(balances(view).values())
