"""What a group that is leaving may still do, on both sides of zero."""

import random

import pytest

from protocol.ledger import TIME_UNIT, Account, AccountKind, may_credit, may_debit
from protocol.run_off import run_off


def position(balance: int, held_out: int = 0, held_in: int = 0) -> Account:
    """A group's position; what was agreed with it would let it do anything."""
    return Account(
        "oostende",
        AccountKind.GROUP,
        TIME_UNIT,
        balance=balance,
        held_out=held_out,
        held_in=held_in,
        floor=-(10**12),
        ceiling=10**12,
    )


@pytest.mark.parametrize(
    ("stands", "out_max", "in_max"),
    [
        (position(-10), 0, 10),
        (position(-1), 0, 1),
        (position(0), 0, 0),
        (position(1), 1, 0),
        (position(10), 10, 0),
        # What is held already comes first, on the side to which it goes.
        (position(-10, held_in=4), 0, 6),
        (position(-10, held_out=4), 0, 10),
        (position(-10, held_in=10), 0, 0),
        (position(10, held_out=4), 6, 0),
        (position(10, held_in=4), 10, 0),
        (position(10, held_out=10), 0, 0),
        # Held from before it began to leave, and past zero: nothing more is.
        (position(10, held_out=11), 0, 0),
        (position(-10, held_in=11), 0, 0),
        (position(0, held_out=5, held_in=5), 0, 0),
    ],
)
def test_a_debtor_only_receives_and_a_creditor_only_pays_up_to_zero(
    stands: Account, out_max: int, in_max: int
) -> None:
    bounded = run_off(stands)
    if out_max:
        assert may_debit(bounded, out_max) is None
    assert may_debit(bounded, out_max + 1) is not None
    if in_max:
        assert may_credit(bounded, in_max)
    assert not may_credit(bounded, in_max + 1)
    assert (stands.floor, stands.ceiling) == (-(10**12), 10**12)


def test_what_a_leg_may_yet_move_counts_as_held() -> None:
    assert may_credit(run_off(position(-10), due_in=4), 6)
    assert not may_credit(run_off(position(-10), due_in=4), 7)
    assert may_debit(run_off(position(10), due_out=4), 6) is None
    assert may_debit(run_off(position(10), due_out=4), 7) is not None


@pytest.mark.parametrize("seed", range(20))
def test_however_holds_end_nothing_new_takes_it_past_zero(seed: int) -> None:
    draw = random.Random(seed)
    stands = position(draw.randint(-50, 50))
    began, held = stands.balance, list[int]()
    for _ in range(60):
        amount = draw.randint(1, 30)
        bounded = run_off(stands)
        if draw.random() < 0.5 and may_debit(bounded, amount) is None:
            stands.held_out += amount
            held.append(-amount)
        elif may_credit(bounded, amount):
            stands.held_in += amount
            held.append(amount)
        if held and draw.random() < 0.5:
            ended = held.pop(draw.randrange(len(held)))
            if ended < 0:
                stands.held_out += ended
            else:
                stands.held_in -= ended
            stands.balance += ended if draw.random() < 0.7 else 0
        assert abs(stands.balance) <= abs(began)
        assert stands.balance * began >= 0
