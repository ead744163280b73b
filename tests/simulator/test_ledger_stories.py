"""What treasurers do on their own ledgers, in the middle of all else; line by line.

Every story ends with the checker's look at all ledgers: what was told is there exactly
once, what was undone is undone exactly, and no no has left anything (``ledger_watch``).
"""

from collections.abc import Iterator

import pytest

from protocol.steps import Step
from tests.simulator import ledger_swarm, planted_ledger, replay, shrink
from tests.simulator.ledger_stories import LedgerStory
from tests.simulator.planted import planted
from tests.simulator.quick_keys import quick_keys

assert planted_ledger, "its import plants more bugs"


@pytest.fixture
def story() -> Iterator[LedgerStory]:
    with quick_keys():
        yield LedgerStory()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [Step.ENTRY, Step.CORRECTION])
def test_whoever_heard_nothing_asks_again_and_it_is_booked_once(
    story: LedgerStory, step: Step, when: str
) -> None:
    story.play(f"""
        oostende  crashes  {when} {step}
        oostende  books    marie -5 jan 5
        clock     +5 s
        oostende  repeats  hand-1
        oostende  undoes   hand-1
        clock     +5 s
        oostende  repeats  hand-2
        oostende  repeats  hand-2
    """)
    assert story.office_told() == ["done", "done"]
    assert story.world.faults[f"crash {when} a step"] == 1
    assert story.balances() == {}


def test_what_lies_three_times_in_an_inbox_is_booked_once(story: LedgerStory) -> None:
    story.world.rates.batch_max = 1
    story.play("""
        oostende  at_once  books marie -5 jan 5 / repeats hand-1 / repeats hand-1
        oostende  at_once  shuts jan to the fund / repeats hand-2
    """)
    assert story.office_told() == ["done", "done"]
    assert [story.errand(number).tries for number in (1, 2)] == [3, 2]
    assert story.balance("fund@oostende") == 5
    assert story.balances() == {"marie@oostende": -5}


def test_two_treasurers_undo_the_same_and_one_of_them_undoes_that(
    story: LedgerStory,
) -> None:
    story.play("""
        oostende  books    marie -5 jan 5
        oostende  at_once  undoes hand-1 / undoes hand-1
        oostende  undoes   hand-2
        oostende  undoes   hand-1
    """)
    assert story.office_told() == [
        "done",
        "done",
        "refused corrected-before",
        "done",
        "refused corrected-before",
    ]
    assert story.balances() == {"marie@oostende": -5, "jan@oostende": 5}


def test_what_she_spent_meanwhile_does_not_keep_a_mistake(story: LedgerStory) -> None:
    story.play("""
        oostende      books   marie -5 jan 5
        treasurer     limits  jan@oostende 0 .. 100
        jan@oostende  pays    bob@mechelen 5 blussers
        clock         +5 s
        oostende      undoes  hand-1
        oostende      books   jan -1 marie 1
    """)
    assert story.office_told() == ["done", "done", "refused member-floor"]
    assert story.balances() == {"jan@oostende": -5, "bob@mechelen": 15}


def test_nobody_is_shut_while_something_is_on_its_way(story: LedgerStory) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays     bob@mechelen 2 blussers when reachable
        oostende        shuts    marie to the fund
        mechelen        wakes
        clock           +1 min
        oostende        shuts    marie
        oostende        shuts    marie to the fund
        bob@mechelen    pays     marie@oostende 1 blusser
        clock           +5 s
    """)
    assert story.outcome(1) == "cleared"
    assert story.office_told() == [
        "refused still-held",
        "refused balance-not-zero",
        "done",
    ]
    assert story.outcome(2) == "refused unknown-account"
    story.play("""
        oostende        undoes   marie:key-1
        oostende        reopens  marie
        bob@mechelen    pays     marie@oostende 1 blusser
        clock           +5 s
    """)
    assert story.office_told()[3:] == ["refused between-groups", "done"]
    assert story.balance("fund@oostende") == -2
    assert story.balances() == {"bob@mechelen": 3, "marie@oostende": 1}


def test_what_was_undone_is_not_given_back_and_the_other_way_round(
    story: LedgerStory,
) -> None:
    story.play("""
        marie@oostende  pays    jan@oostende 3 blussers
        clock           +1 s
        oostende        undoes  marie:key-1
        jan@oostende    gives   back 1 blusser
        clock           +1 s
        marie@oostende  pays    jan@oostende 4 blussers
        clock           +1 s
        oostende        undoes  marie:key-2
    """)
    assert story.wish(2).code == "refund-too-large"
    assert story.office_told() == ["done", "done"]
    story.play("""
        marie@oostende  pays    jan@oostende 4 blussers
        clock           +1 s
    """)
    wish = story.wish(-1)
    story.people.pay("jan@oostende", "marie@oostende", 1, refund_of=wish.transfer_id)
    story.play("""
        clock           +1 s
        oostende        undoes  marie:key-3
        oostende        undoes  jan:key-2      # what gives back is not undone either
    """)
    assert story.office_told()[-2:] == ["refused refunded-before"] * 2
    assert story.balances() == {"marie@oostende": -3, "jan@oostende": 3}


def test_limits_of_many_are_all_set_or_none(story: LedgerStory) -> None:
    story.play("""
        oostende  bounds_many  marie -3 .. 3 jan 200 .. same
        oostende  books        marie -9 jan 9
        oostende  bounds_many  marie -3 .. same jan same .. 9
        oostende  books        jan 1 marie -1     # a new limit undoes nothing
        oostende  spreads      -1 to all
    """)
    assert story.office_told() == [
        "refused limits-crossed",
        "done",
        "done",
        "refused member-ceiling",
        "refused member-floor",
    ]
    assert story.errand().account == "marie"
    assert story.balances() == {"marie@oostende": -9, "jan@oostende": 9}


def test_a_server_that_was_put_back_books_nothing_before_it_has_compared(
    story: LedgerStory,
) -> None:
    story.play("""
        oostende  books     marie -5 jan 5
        oostende  backs     up
        hub       sleeps
        oostende  restores
        clock     +5 s
        oostende  books     marie -1 jan 1
        oostende  undoes    hand-1
        oostende  shuts     jan to the fund
        oostende  bounds    jan 0 .. 0
    """)
    assert story.office_told() == ["done", *["unknown"] * 4]
    assert story.balance("jan@oostende") == 5
    story.play("""
        hub       wakes
        clock     +1 min
        oostende  repeats   hand-2
    """)
    assert story.errand(2).told == "done"
    assert story.balances() == {"marie@oostende": -6, "jan@oostende": 6}


def test_a_seed_of_a_treasurers_mistakes_is_told_and_shrunk() -> None:
    bug = "undone-and-given-back"
    seeds = filter(ledger_swarm.draw_of, range(1, 31))
    with planted(bug):
        failed = next(seed for seed in seeds if replay.swarmed(seed).failure)
        failure, script = shrink.shrink(failed, lambda *_: None)
    assert " undoes " in failure and "given back" in failure
    assert script is not None and len(script.steps) < 8
    told = script.text()
    assert " undoes " in told and " pays " in told
    assert not replay.play(script).failure
    with planted(bug):
        assert replay.play(replay.read(told)).failure == failure
