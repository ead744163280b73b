"""Stories of keys: changed, lost, stolen, and put back to an older day."""

from collections.abc import Iterator

import pytest

from tests.simulator import planted_keys
from tests.simulator.checker import BrokenPromiseError
from tests.simulator.key_stories import KeyStory
from tests.simulator.planted import planted
from tests.simulator.quick_keys import quick_keys

assert planted_keys, "its import plants more bugs"

PAID = {"marie@oostende": -1, "bob@mechelen": 3}


@pytest.fixture
def story() -> Iterator[KeyStory]:
    with quick_keys():
        yield KeyStory()


def test_a_group_changes_its_keys_and_trades_on(story: KeyStory) -> None:
    story.play("""
        oostende        renews  its keys
        marie@oostende  pays    bob@mechelen  3 ketjes
        clock           +1 min
        bob@mechelen    pays    marie@oostende  1 blusser
        mechelen        renews  its keys
        clock           +1 min
    """)
    assert (story.version("oostende"), story.version("mechelen")) == (2, 2)
    assert story.balances() == {}


def test_what_is_under_way_when_keys_change_arrives(story: KeyStory) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays    bob@mechelen  3 ketjes  when reachable
        clock           +1 min
        oostende        renews  its keys
        clock           +1 min
        mechelen        wakes
        mechelen        renews  its keys
        clock           +1 min
    """)
    assert story.outcome() == "cleared", "its box is between two former sealing keys"
    assert story.balances() == PAID


def test_keys_change_again_and_again(story: KeyStory) -> None:
    for _ in range(5):
        story.play("""
            oostende        renews  its keys
            oostende        renews  its keys      # one waits: nothing happens
            clock           +61 min               # the hub takes one an hour
        """)
    story.play("marie@oostende  pays  bob@mechelen  3 ketjes")
    assert story.balances() == PAID
    assert story.version("oostende") == 6


@pytest.mark.parametrize(
    "crash",
    [
        *("oostende crashes before new-keys", "oostende crashes after new-keys"),
        *("oostende crashes before key-change", "oostende crashes after key-change"),
        *("oostende crashes before seal", "oostende crashes after seal"),
        *("oostende crashes before send", "oostende crashes after send"),
        *("hub crashes before keys", "hub crashes after keys"),
        *("oostende crashes before own-entry", "oostende crashes after own-entry"),
        "oostende tears a batch",
        "hub tears a batch",
    ],
)
def test_a_crash_at_any_step_leaves_a_group_that_trades(
    story: KeyStory, crash: str
) -> None:
    story.play(f"""
        {crash}
        oostende        renews  its keys
        clock           +5 min
        marie@oostende  pays    bob@mechelen  3 ketjes
        clock           +5 min
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_whose_change_was_taken_and_the_answer_lost_tries_its_keys(
    story: KeyStory,
) -> None:
    story.play("""
        oostende        hears   nothing
        oostende        renews  its keys
        clock           +1 min
        oostende        crashes
        clock           +1 min
        oostende        reconnects
        clock           +1 min
        marie@oostende  pays    bob@mechelen  3 ketjes
        clock           +1 min
    """)
    assert story.version("oostende") == 2
    assert story.balances() == PAID


def test_a_change_that_another_entry_overtook_is_refused(story: KeyStory) -> None:
    story.play("""
        oostende        wants     rate 120000
        clock           +1 min
        oostende        speaks    into the void
        oostende        hears     nothing
        oostende        renews    its keys
        admin           approves  oostende
        clock           +1 min
        oostende        reconnects
        clock           +5 min
        marie@oostende  pays      bob@mechelen  2 ketjes
        clock           +1 min
    """)
    assert story.renewal("oostende") == "refused"
    assert story.balances() == {"marie@oostende": -1, "bob@mechelen": 2}


def test_who_has_lost_all_keys_types_the_sheet(story: KeyStory) -> None:
    story.play("""
        oostende        speaks  into the void
        marie@oostende  pays    bob@mechelen  3 ketjes  when reachable
        clock           +10 s
        oostende        burns             # what it sealed under the old key waits
        oostende        reconnects
        clock           +3 h              # she waited for the hub's word of its entry
    """)
    assert story.renewal("oostende") == "approved"
    assert story.outcome() == "cleared", "the old key's envelope is resent as it is"
    assert story.balances() == PAID


def test_keys_that_nobody_has_heard_of_are_lost_too(story: KeyStory) -> None:
    story.play("""
        oostende        hears   nothing
        oostende        renews  its keys
        clock           +1 min
        oostende        burns             # with the keys that the hub has just taken
        oostende        reconnects
        clock           +1 h
        marie@oostende  pays    bob@mechelen  3 ketjes
        clock           +1 min
    """)
    assert story.version("oostende") == 3
    assert story.balances() == PAID


def test_a_thief_with_a_former_key_is_not_heard(story: KeyStory) -> None:
    text = """
        oostende        renews  its keys
        clock           +1 min
        thief           forges  oostende
        clock           +2 min
        marie@oostende  pays    bob@mechelen  3 ketjes
        clock           +1 min
    """
    story.play(text)
    assert story.balances() == PAID
    with quick_keys(), planted("key-by-kid-only"), pytest.raises(BrokenPromiseError):
        KeyStory().play(text).balances()


def test_a_thief_signs_nothing_behind_the_end_of_a_key(story: KeyStory) -> None:
    text = """
        thief           forges  oostende          # behind its change, in one body
        oostende        renews  its keys
        clock           +2 min
        marie@oostende  pays    bob@mechelen  3 ketjes
        clock           +1 min
    """
    story.play(text)
    assert story.balances() == PAID
    bug = planted("old-key-behind-its-end")
    with quick_keys(), bug, pytest.raises(BrokenPromiseError):
        KeyStory().play(text).balances()


def test_a_hub_that_takes_changes_at_will_is_found_out(story: KeyStory) -> None:
    text = """
        oostende        renews  its keys
        clock           +10 min
        oostende        renews  its keys
        clock           +10 min
    """
    story.play(text)
    assert (story.version("oostende"), story.renewal("oostende")) == (2, "refused")
    bug = planted("keys-change-at-will")
    with quick_keys(), bug, pytest.raises(BrokenPromiseError):
        KeyStory().play(text).balances()


def test_a_hub_put_back_to_before_a_change_says_so(story: KeyStory) -> None:
    story.play("""
        hub             backs     up
        oostende        renews    its keys
        clock           +1 min
        hub             restores  unnoticed
        clock           +10 min
    """)
    assert story.are_heard("oostende"), "it tries its former key"
    assert story.trouble("hub", "oostende") == "we-are-behind"


def test_a_node_put_back_to_before_its_change_says_so(story: KeyStory) -> None:
    story.play("""
        oostende        backs     up
        oostende        renews    its keys
        clock           +1 min
        oostende        restores  unnoticed
        clock           +10 min
    """)
    assert story.are_heard("oostende"), "its newer key is on its disk"
    assert story.trouble("oostende", "hub") == "we-are-behind"


def test_a_node_put_back_with_its_files_needs_the_sheet(story: KeyStory) -> None:
    story.play("""
        oostende        backs     up
        oostende        renews    its keys
        clock           +1 min
        oostende        restores  unnoticed with its files
        clock           +10 min
    """)
    assert not story.are_heard("oostende")
    story.play("""
        oostende        types     the sheet
        clock           +1 h
    """)
    assert story.are_heard("oostende")
    assert story.trouble("hub", "oostende") == "peer-is-behind"


def test_a_change_that_a_hub_forgot_before_anyone_heard_is_made_again(
    story: KeyStory,
) -> None:
    story.play("""
        oostende        hears     nothing
        hub             backs     up
        oostende        renews    its keys
        mechelen        sleeps
        brussel         sleeps
        clock           +1 min
        hub             restores  unnoticed
        oostende        reconnects
        mechelen        wakes
        brussel         wakes
        clock           +10 min
        marie@oostende  pays      bob@mechelen  3 ketjes
        clock           +1 min
    """)
    assert story.renewal("oostende") == "approved"
    assert story.balances() == PAID
