"""The demo's month of trade: the same each time, and nobody is taken too far."""

import importlib
import itertools
import pathlib
from typing import Any

import pytest

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
PEOPLE = {
    "oostende": ["an", "jan", "piet"],
    "mechelen": ["an", "els"],
    "brussel": ["ali", "eve", "max", "zoe"],
}


@pytest.fixture
def month(monkeypatch: pytest.MonkeyPatch) -> Any:
    # What stands in deploy/ finds its neighbours by their bare names.
    monkeypatch.syspath_prepend(str(DEPLOY))
    return importlib.import_module("month")


def test_one_seed_draws_the_same_month(month: Any) -> None:
    drawn = month.deeds_of(1, PEOPLE)
    assert len(drawn) == month.MONTH + month.AFTER
    assert drawn == month.deeds_of(1, PEOPLE)
    assert drawn != month.deeds_of(2, PEOPLE)


@pytest.mark.parametrize("seed", range(20))
def test_a_month_takes_nobody_too_far(month: Any, seed: int) -> None:
    drawn = month.deeds_of(seed, PEOPLE)
    for count in range(len(drawn) + 1):
        so_far = drawn[:count]
        members = dict.fromkeys(
            itertools.chain.from_iterable((d.payer, d.payee) for d in so_far), 0
        )
        groups = dict.fromkeys(PEOPLE, 0)
        for deed in so_far:
            assert deed.payer != deed.payee
            members[deed.payer] -= deed.minutes
            members[deed.payee] += deed.minutes
            groups[deed.payer[1]] -= deed.minutes
            groups[deed.payee[1]] += deed.minutes
        assert max(map(abs, members.values()), default=0) <= month.MEMBER_REACH
        assert max(map(abs, groups.values())) <= month.GROUP_REACH
    abroad = [deed for deed in drawn if deed.payer[1] != deed.payee[1]]
    assert len(abroad) == -(-len(drawn) // month.ABROAD_OF)


@pytest.mark.parametrize(
    "people", [{}, {"oostende": []}, {"oostende": ["an"]}, {"oostende": ["an", "jan"]}]
)
def test_few_people_come_to_few_deeds(month: Any, people: dict[str, list[str]]) -> None:
    """It ends, and draws only what can be."""
    drawn = month.deeds_of(month.SEED, people)
    assert all(deed.payer != deed.payee for deed in drawn)
    assert len(drawn) < month.MONTH
