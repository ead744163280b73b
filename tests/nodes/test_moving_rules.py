"""A group that moves in, as one decision: all of it or nothing, and only once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodes import rules
from nodes.rules import (
    FUND,
    HISTORY,
    OPENING,
    ImportRun,
    KeepImportRun,
    MoveIn,
    MoveInRefusal,
    NodeView,
    NotMovedIn,
    OldMember,
    PastPayment,
    SaveMember,
    Standing,
)
from protocol.effects import Effect, Effects, OpenAccount, PostEntry, SaveContent
from protocol.instant import Instant
from protocol.ledger import Posting
from protocol.messages import line_hash
from protocol.steps import Step
from tests.nodes.makers import SALT, carried, member, oostende
from tests.peer.makers import NOW
from tests.peer.tables import entry_id
from tests.protocol.makers import OOSTENDE

LONG_AGO = Instant(NOW - 10**11)


def empty(**changes: Any) -> NodeView:
    """A node that has joined and knows nobody."""
    view = oostende()
    del view.accounts["marie"]
    for name, value in changes.items():
        setattr(view, name, value)
    return view


def old(account: str, **changes: Any) -> OldMember:
    fields: dict[str, Any] = {"name": account.title(), "floor": -100, "ceiling": 100}
    return OldMember(account_id=account, standing=Standing(**(fields | changes)))


def past(payer: str, payee: str, amount: int, number: int = 1) -> PastPayment:
    name = payer.title()
    id_ = entry_id(number)
    return PastPayment(id_, LONG_AGO, payer, payee, name, amount, "eggs", SALT)


def move(**changes: Any) -> MoveIn:
    """Marie had 5 and paid Bob 3 of them; Bob owed 5."""
    fields: dict[str, Any] = {
        "digest": "of the files",
        "members": [old("marie"), old("bob")],
        "opening_id": entry_id(0),
        "opening": [Posting("marie", 5), Posting("bob", -5)],
        "past": [past("marie", "bob", 3)],
    }
    return MoveIn(**(fields | changes))


def decided(view: NodeView, order: MoveIn) -> list[Effects]:
    """Let a move be decided, each part on what those before it left."""
    return [carried(view, part) for _, part in rules.decide_move_in(view, order, NOW)]


def wanted(parts: list[Effects], kind: type[Effect]) -> list[Any]:
    return [
        effect for part in parts for effect in part.wanted if isinstance(effect, kind)
    ]


def test_members_come_with_what_they_had_and_what_they_did() -> None:
    view = empty()
    parts = decided(view, move())
    run = ImportRun("of the files", NOW, members=2, entries=2)
    assert (parts[-1].step, parts[-1].outcome) == (Step.MOVE_IN, run)
    assert [part.outcome for part in parts[:-1]] == [None] * (len(parts) - 1)
    assert wanted(parts, KeepImportRun) == [KeepImportRun(run)]
    assert wanted(parts, SaveMember) == [
        SaveMember("marie", "Marie"),
        SaveMember("bob", "Bob"),
    ]
    assert view.accounts["marie"].balance == 2
    assert view.accounts["bob"].balance == -2
    first, second = (post.entry for post in wanted(parts, PostEntry))
    assert (first.kind, first.at, first.author) == (OPENING, NOW, None)
    assert (second.kind, second.at) == (HISTORY, LONG_AGO)
    (content,) = wanted(parts, SaveContent)
    assert second.content_id == content.content_id == line_hash(content.line)
    told = rules.read_content(content.line)
    assert told is not None
    assert (told.payer, told.payee, told.name, told.memo) == (
        *("marie", "bob"),
        *("Marie", "eggs"),
    )


def test_the_fund_is_opened_when_the_hub_has_not_answered_yet() -> None:
    view = empty()
    assert not [
        one
        for one in wanted(decided(view, move()), OpenAccount)
        if one.account.account_id == FUND
    ]
    young = empty(accounts={})
    (opened,) = [
        one.account
        for one in wanted(decided(young, move()), OpenAccount)
        if one.account.account_id == FUND
    ]
    own = rules.accounts_of(young.directory[OOSTENDE])
    assert opened in own


def test_a_group_moves_in_once() -> None:
    view = empty()
    run = decided(view, move())[-1].outcome
    assert isinstance(run, ImportRun)
    (again,) = decided(view, move())
    refusal = NotMovedIn(MoveInRefusal.MOVED_IN_BEFORE, run)
    assert again == Effects(None, (), refusal)


def test_nobody_moves_in_beside_entries() -> None:
    (part,) = decided(empty(has_entries=True), move())
    refusal = NotMovedIn(MoveInRefusal.LEDGER_HAS_ENTRIES)
    assert part == Effects(None, (), refusal)


def test_an_account_that_is_there_is_nobody_elses() -> None:
    view = empty()
    view.accounts["bob"] = member("bob")
    (part,) = decided(view, move())
    refusal = NotMovedIn(MoveInRefusal.NAME_TAKEN, account_id="bob")
    assert part == Effects(None, (), refusal)


def test_who_has_left_stands_still() -> None:
    view = empty()
    members = [old("marie"), old("bob", frozen=True), old("an", closed=True)]
    decided(view, move(members=members))
    assert view.accounts["bob"].frozen
    assert view.accounts["an"].closed
    assert not view.accounts["marie"].frozen


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 50))))
def test_any_past_leaves_a_ledger_that_sums_to_zero(
    payments: list[tuple[int, int, int]],
) -> None:
    names = [f"m{n}" for n in range(5)]
    expected = dict.fromkeys(names, 0)
    booked = []
    for number, (payer, step, amount) in enumerate(payments, 1):
        payee = (payer + step % 4 + 1) % 5
        booked.append(past(names[payer], names[payee], amount, number))
        expected[names[payer]] -= amount
        expected[names[payee]] += amount
    view = empty()
    members = [old(name) for name in names]
    parts = decided(view, move(members=members, opening=[], past=booked))
    assert {name: view.accounts[name].balance for name in names} == expected
    assert [post.entry.entry_id for post in wanted(parts, PostEntry)] == [
        one.entry_id for one in booked
    ]
