import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.effects import PostEntry, View
from protocol.errors import RefusalCode
from protocol.instant import Instant
from protocol.ledger import (
    GROUP_UNIT,
    TIME_UNIT,
    Account,
    AccountKind,
    Entry,
    Posting,
    available,
    is_balanced,
    may_credit,
    may_debit,
)


def alice(
    balance: int = 0,
    held_out: int = 0,
    held_in: int = 0,
    floor: int | None = -10_000,
    ceiling: int | None = 10_000,
    frozen: bool = False,
    closed: bool = False,
) -> Account:
    return Account(
        "alice",
        AccountKind.MEMBER,
        GROUP_UNIT,
        balance,
        held_out,
        held_in,
        floor,
        ceiling,
        frozen,
        closed,
    )


def test_a_member_may_go_to_her_floor_and_not_one_unit_past_it() -> None:
    assert may_debit(alice(), 10_000) is None
    assert may_debit(alice(), 10_001) is RefusalCode.PAYER_FLOOR


def test_a_member_may_go_to_her_ceiling_and_not_one_unit_past_it() -> None:
    assert may_credit(alice(), 10_000)
    assert not may_credit(alice(), 10_001)


def test_what_is_held_to_go_out_counts_as_gone() -> None:
    assert may_debit(alice(held_out=4_000), 6_000) is None
    assert may_debit(alice(held_out=4_000), 6_001) is RefusalCode.PAYER_FLOOR


def test_what_is_held_to_come_in_counts_as_come() -> None:
    assert may_credit(alice(held_in=4_000), 6_000)
    assert not may_credit(alice(held_in=4_000), 6_001)


def test_what_may_come_in_pays_for_nothing_until_it_has_posted() -> None:
    assert may_debit(alice(balance=-3, floor=-3, held_in=1), 1) is (
        RefusalCode.PAYER_FLOOR
    )
    assert may_debit(alice(balance=-2, floor=-3), 1) is None


def test_what_may_go_out_makes_no_room_until_it_has_posted() -> None:
    assert not may_credit(alice(balance=3, ceiling=3, held_out=1), 1)
    assert may_credit(alice(balance=2, ceiling=3), 1)


def test_a_frozen_account_takes_part_in_nothing_new() -> None:
    assert may_debit(alice(frozen=True), 1) is RefusalCode.ACCOUNT_FROZEN
    assert not may_credit(alice(frozen=True), 1)


def test_closed_is_said_before_frozen() -> None:
    assert may_debit(alice(closed=True), 1) is RefusalCode.ACCOUNT_CLOSED
    both = alice(closed=True, frozen=True)
    assert may_debit(both, 1) is RefusalCode.ACCOUNT_CLOSED


def test_frozen_is_said_before_the_floor() -> None:
    assert may_debit(alice(frozen=True), 10_001) is RefusalCode.ACCOUNT_FROZEN


def test_an_account_without_limits_has_none() -> None:
    assert may_debit(alice(floor=None), 10**15) is None
    assert may_credit(alice(ceiling=None), 10**15)
    assert available(alice(floor=None)) is None


@given(
    st.integers(-100, 100), st.integers(0, 50), st.integers(0, 50), st.integers(-99, 0)
)
def test_what_is_available_is_the_most_that_may_leave(
    balance: int, held_out: int, held_in: int, floor: int
) -> None:
    account = alice(balance, held_out, held_in, floor)
    most = available(account)
    assert most is not None
    assert most == 0 or may_debit(account, most) is None
    assert may_debit(account, most + 1) is RefusalCode.PAYER_FLOOR


def test_nothing_is_available_below_the_floor() -> None:
    assert available(alice(balance=-10_001)) == 0


ACCOUNTS = {
    name: Account(name, AccountKind.SYSTEM, unit)
    for name, unit in (
        ("alice", GROUP_UNIT),
        ("conversion.1", GROUP_UNIT),
        ("conversion.1.time", TIME_UNIT),
        ("clearing", TIME_UNIT),
    )
}


def paid(unit: int = 3, time: int = 180_000) -> list[Posting]:
    return [
        Posting("alice", -3),
        Posting("conversion.1", unit),
        Posting("conversion.1.time", -180_000),
        Posting("clearing", time),
    ]


def test_an_entry_balances_in_every_unit() -> None:
    assert is_balanced(paid(), ACCOUNTS)


@pytest.mark.parametrize("off", [-1, 1])
def test_an_entry_off_by_one_does_not_balance(off: int) -> None:
    assert not is_balanced(paid(unit=3 + off), ACCOUNTS)
    assert not is_balanced(paid(time=180_000 + off), ACCOUNTS)


def test_time_never_makes_up_for_units() -> None:
    # Off by one up and by one down: the sum over all postings is zero.
    assert not is_balanced(paid(unit=4, time=179_999), ACCOUNTS)


@pytest.mark.parametrize("off", [-1, 1])
def test_no_rule_may_post_what_does_not_balance(off: int) -> None:
    view = View("a life")
    view.accounts = {name: msgspec.structs.replace(a) for name, a in ACCOUNTS.items()}
    view.apply(PostEntry(Entry("an id", Instant(0), "transfer", tuple(paid()))))
    before = {name: account.balance for name, account in view.accounts.items()}
    assert before == {one.account_id: one.amount for one in paid()}
    wrong = Entry("another", Instant(0), "transfer", tuple(paid(unit=3 + off)))
    with pytest.raises(AssertionError, match="zero"):
        view.apply(PostEntry(wrong))
    assert before == {name: one.balance for name, one in view.accounts.items()}
