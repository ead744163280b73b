"""The demo's groups bring files that eLAS and eLAND could have written."""

import itertools
import pathlib

import pytest

from nodes.imports import eland, elas, reading
from nodes.imports.elas import Given
from nodes.imports.outcome import Notes, OldBooks
from nodes.imports.plan import Choices, Draw, make_plan
from protocol.instant import read_instant

FILES = pathlib.Path(__file__).parents[2] / "deploy" / "demo-files"
NOW = read_instant("2026-12-01T00:00:00.000Z")
#: Whom the story is about, and her limits.
STORY: dict[str, dict[str, tuple[int | None, int | None]]] = {
    "oostende": {"marie": (-100, 400), "lies": (None, None), "jan": (-100, 400)},
    "mechelen": {"bob": (-200, 400), "an": (-200, 400)},
    "brussel": {"jef": (-750, 3000), "leila": (-750, 3000)},
}


def books(group: str, notes: Notes) -> OldBooks:
    if group == "oostende":
        users, past = (
            Given(path.name, reading.read_text(path.read_bytes(), path.name))
            for path in (
                FILES / "oostende-elas-users.csv",
                FILES / "oostende-elas-transactions.csv",
            )
        )
        return elas.read_books(users, past, None, 0, notes, lambda *_: None)
    data = (FILES / f"{group}-eland.zip").read_bytes()
    files = reading.read_zip(data, group, eland.TABLES)
    return eland.read_books(files, group, 0, notes, lambda *_: None)


@pytest.mark.parametrize("group", STORY)
def test_a_group_of_the_demo_can_move_in(group: str) -> None:
    notes, numbers = Notes(), itertools.count()
    draw = Draw(lambda: f"entry {next(numbers)}", lambda: "A" * 22)
    found = books(group, notes)
    plan = make_plan(found, Choices(), 0, "", draw, NOW, notes, lambda *_: None)
    assert notes.told() == ""
    assert plan.order is not None
    assert plan.fund == 0
    assert 20 <= len(plan.order.members) <= 40
    assert len(plan.lines) > len(plan.order.members), "some are skipped"
    limits = {
        one.account_id: (one.standing.floor, one.standing.ceiling)
        for one in plan.order.members
    }
    assert {account: limits[account] for account in STORY[group]} == STORY[group]
