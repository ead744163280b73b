"""How a group leaves, and what becomes of what it leaves; told line by line.

Every story ends with the checker's look at all ledgers: windows, states, parts and
charges are reckoned again from the lines of the log (``life_watch``, ``share_watch``).
"""

from collections.abc import Iterator

import pytest

from tests.simulator import replay
from tests.simulator.life_stories import SOON, LifeStory
from tests.simulator.quick_keys import quick_keys

#: Minutes.
_ROUGHLY = 0.001


@pytest.fixture
def story() -> Iterator[LifeStory]:
    with quick_keys():
        yield LifeStory()


def owing(story: LifeStory) -> LifeStory:
    """Let Oostende owe Mechelen six minutes, and wish to leave."""
    return story.play("""
        groups          agree     on equal parts
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +5 s
        oostende        wishes    to leave
        clock           +5 s
    """)


def gone(story: LifeStory) -> LifeStory:
    """Let it be declared left with these six minutes."""
    return owing(story).play("""
        admin           declares  oostende left -6
        clock           +5 s
    """)


def test_a_debtor_that_leaves_only_receives_and_never_past_zero(
    story: LifeStory,
) -> None:
    owing(story)
    assert story.state("oostende") == story.state("oostende", "brussel") == "leaving"
    story.play("""
        marie@oostende  pays      bob@mechelen  1 blusser
        clock           +1 s
    """)
    assert (story.told(), story.wish(-1).code) == ("refused", "payer-group-leaving")
    story.play("""
        bob@mechelen    pays      marie@oostende  3 blussers   # nine minutes
        clock           +5 s
    """)
    assert story.outcome() == "refused payee-group-leaving"
    story.play("""
        bob@mechelen    pays      marie@oostende  2 blussers
        clock           +5 s
    """)
    assert story.outcome() == "cleared"
    assert story.minutes() == {}
    story.rest(SOON)


def test_what_is_on_its_way_when_a_group_begins_to_leave_still_clears(
    story: LifeStory,
) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays      bob@mechelen  2 blussers  when reachable
        clock           +5 s
        oostende        wishes    to leave
        clock           +5 s
        admin           declares  oostende left 0
    """)
    assert story.heard == "still-in-flight"
    story.play("""
        mechelen        wakes
        clock           +2 min
    """)
    assert story.outcome() == "cleared"
    assert story.minutes() == {"oostende": -6, "mechelen": 6}
    story.rest(SOON)


def test_two_payments_at_once_do_not_run_off_the_same_minutes(story: LifeStory) -> None:
    owing(story).play("""
        oostende        sleeps
        bob@mechelen    pays      marie@oostende  1 blusser  when reachable
        clock           +2 s
        an@brussel      pays      marie@oostende  2 blussers  when reachable
        clock           +2 s
        oostende        wakes
        clock           +2 min
    """)
    assert story.outcome(2) == "cleared"
    assert story.outcome(3) == "refused payee-group-leaving"
    story.rest(SOON)


def test_a_wish_that_crosses_a_crash_is_carried_out_once(story: LifeStory) -> None:
    story.play("""
        oostende        crashes   before send
        hub             crashes   after directory
        oostende        wishes    to leave
        clock           +2 min
        oostende        wishes    to leave
        clock           +5 s
    """)
    assert story.heard == "done", "it is leaving already"
    turns = [
        row
        for row in story.federation.hub.database.table("directory").values()
        if row[0] == "oostende"
    ]
    assert story.state("oostende") == "leaving"
    assert len(turns) == 2, "admitted, and leaving"
    story.rest(SOON)


def test_a_frozen_group_asks_in_vain_and_is_released_to_what_it_was(
    story: LifeStory,
) -> None:
    owing(story).play("""
        admin           freezes   oostende
        clock           +5 s
        admin           stays     oostende
    """)
    assert story.heard == "release-first"
    story.play("""
        oostende        wishes    to leave
    """)
    assert story.heard == "release-first"
    story.play("""
        admin           releases  oostende
        clock           +5 s
    """)
    assert story.state("oostende") == "leaving"
    story.play("""
        admin           stays     oostende
        clock           +5 s
        marie@oostende  pays      bob@mechelen  1 blusser
        clock           +5 s
    """)
    assert story.outcome() == "cleared", "it has its limits back"
    story.rest(SOON)


def test_a_debt_must_be_named_and_then_nothing_moves_it_but_sharing(
    story: LifeStory,
) -> None:
    owing(story).play("admin declares oostende left 0")
    assert story.heard == "position-not-zero"
    story.play("admin declares oostende left -7")
    assert story.heard == "position-changed"
    story.play("""
        admin           declares  oostende left -6
        clock           +5 s
        bob@mechelen    pays      marie@oostende  1 blusser
        clock           +5 s
    """)
    assert story.told() == "refused"
    assert story.wish(-1).code == "group-left"
    story.play("admin begins oostende to leave")
    assert story.heard == "left-for-ever"
    assert story.minutes() == {"oostende": -6, "mechelen": 6}
    story.rest(SOON)


def test_an_open_leg_is_void_when_its_party_has_left(story: LifeStory) -> None:
    owing(story).play("""
        admin           closes    cycle 1
        clock           +5 s
        admin           settles   cycle 1
        clock           +5 s
        oostende        signs     paid  to mechelen
        clock           +5 s
        admin           declares  oostende left -6
    """)
    assert story.heard == "leg-may-settle", "somebody says that it was made good"
    story.play("""
        admin           voids     oostende to mechelen
        clock           +5 s
        admin           settles   cycle 1
        clock           +5 s
        admin           declares  oostende left -6
        clock           +5 s
    """)
    assert story.leg("mechelen", "oostende", "mechelen") == "void party-left"
    story.play("admin settles cycle 1")
    assert story.heard == "party-left"
    story.rest(SOON)


def test_what_is_left_is_told_first_and_booked_by_each_when_decided(
    story: LifeStory,
) -> None:
    gone(story).play("""
        admin           tells     oostende by equal parts
        clock           +5 s
    """)
    assert story.part("brussel") == story.part("mechelen") == (-3.0, False)
    assert story.minutes() == {"oostende": -6, "mechelen": 6}
    story.play("""
        admin           shares    oostende
        clock           +5 s
    """)
    assert story.part("brussel") == story.part("mechelen") == (-3.0, True)
    assert story.part("oostende") == (6.0, True)
    assert story.minutes() == {"brussel": -3, "mechelen": 3}
    story.play("admin shares oostende")
    assert story.heard == "plan-ended"
    story.rest(SOON)


def test_who_sleeps_books_its_part_when_it_wakes_and_crashes_cost_nothing(
    story: LifeStory,
) -> None:
    gone(story).play("""
        brussel         sleeps
        mechelen        crashes   after shares-told
        admin           tells     oostende by equal parts
        clock           +5 s
        hub             crashes   after share
        mechelen        crashes   before shared
        admin           shares    oostende
        clock           +5 s
        brussel         wakes
        clock           +2 min
    """)
    assert not story.world.planned, "power has failed there"
    assert story.part("brussel") == story.part("mechelen") == (-3.0, True)
    assert story.minutes() == {"brussel": -3, "mechelen": 3}
    story.rest(SOON)


def test_what_was_told_is_not_decided_when_its_measures_have_changed(
    story: LifeStory,
) -> None:
    gone(story).play("""
        groups          agree     on size of limits
        admin           tells     oostende by size
        clock           +5 s
        admin           limits    brussel  -60 .. 60
        clock           +5 s
        admin           shares    oostende
    """)
    assert story.heard == "shares-outdated"
    story.play("""
        admin           tells     oostende by size
        clock           +5 s
        admin           shares    oostende
        clock           +5 s
    """)
    assert story.heard == "done"
    assert story.parts("brussel") == 2, "the first is kept, and never booked"
    assert abs(story.minutes()["mechelen"]) < _ROUGHLY, "it has nearly all the room"
    story.rest(SOON)


def test_a_frozen_groups_server_is_gone_and_what_it_owes_is_shared(
    story: LifeStory,
) -> None:
    story.play("""
        groups          agree     on equal parts
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +5 s
        admin           tells     oostende by equal parts
    """)
    assert story.heard == "group-not-gone"
    story.play("""
        oostende        sleeps
        admin           freezes   oostende
        hub             crashes
        clock           +1 min
        admin           tells     oostende by equal parts
        clock           +5 s
        admin           shares    oostende
        clock           +5 s
    """)
    assert story.minutes() == {"brussel": -3, "mechelen": 3}
    story.rest(SOON)
    assert story.part("oostende") == (6.0, True), "it comes back after all"


def test_the_charge_follows_the_close_and_is_booked_once(story: LifeStory) -> None:
    story.play("""
        groups          charge    50 percent beyond 0
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +5 s
        admin           closes    cycle 1
        clock           +1 d
    """)
    assert story.minutes() == {"oostende": -6, "mechelen": 6}, "the first is free"
    story.play("""
        hub             crashes   before share
        admin           closes    cycle 2
        clock           +1 min
        admin           closes    cycle 2
        clock           +1 min
        admin           closes    cycle 2
    """)
    assert story.heard == "cycle-not-open"
    assert story.minutes() == {"oostende": -9, "mechelen": 3, "reserve": 6}
    assert story.part("oostende") == story.part("mechelen") == (-3.0, True)
    assert story.part("brussel") == (0.0, True), "it is told, and pays nothing"
    story.rest(SOON)


def test_who_leaves_pays_the_charge_too(story: LifeStory) -> None:
    owing(story).play("""
        groups          charge    50 percent beyond 0
        admin           closes    cycle 1
        clock           +1 d
        admin           closes    cycle 2
        clock           +5 s
    """)
    assert story.minutes() == {"oostende": -9, "mechelen": 3, "reserve": 6}
    story.rest(SOON)


def test_two_admins_agree_before_a_group_has_left(story: LifeStory) -> None:
    owing(story).play("""
        ann             asks_for  oostende left -6
        ann             grants    1
    """)
    assert (story.heard, story.state("oostende")) == ("same-person", "leaving")
    story.play("""
        ann             drops     1
        bea             grants    1
    """)
    assert story.heard == "consent-ended"
    story.play("""
        ann             asks_for  oostende left -6
        clock           +7 d
        bea             grants    2
    """)
    assert story.heard == "consent-ended", "a week is too long"
    story.play("""
        bea             asks_for  oostende left -6
        hub             crashes
        clock           +1 min
        ann             grants    3
        clock           +5 s
    """)
    assert story.state("oostende", "mechelen") == "left"
    story.rest(SOON)


def test_a_story_of_leaving_is_a_script_that_can_be_played_again() -> None:
    text = """
        seed            1
        group           oostende rate 180000 decimals 0 span 21600000 members 1 reach 99
        group           mechelen rate 60000 decimals 0 span 21600000 members 1 reach 99
        group           brussel rate 60000 decimals 0 span 21600000 members 1 reach 99
        admin           agrees size 500000 0
        clock           +1 min
        marie@oostende  pays marie@mechelen 6 units as key-1
        clock           +1 min
        oostende        wishes leaving
        clock           +10 s
        ann             requests left oostende -360000
        clock           +10 s
        bea             consents 1
        clock           +10 s
        admin           tells oostende size
        clock           +10 s
        admin           shares oostende
        clock           +10 s
    """
    played = replay.play(replay.read(text), is_told=True)
    assert not played.failure
    assert any("Shared(" in line and "decided" in line for line in played.lines)
