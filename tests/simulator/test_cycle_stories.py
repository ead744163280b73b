"""What may happen to a cycle and its legs, told line by line; and how it ends.

Every story ends with the checker's look at all ledgers, statements and legs
(``Story.balances``): statements reckoned again, each leg booked once or never.
"""

from collections.abc import Iterator

import pytest

from tests.simulator.quick_keys import quick_keys
from tests.simulator.scenario import Story

AGREED = {"oostende": "agreed", "mechelen": "agreed", "brussel": "agreed"}
_MINUTE = 60_000
#: Where no payment waits for its three days, all rests in minutes.
SOON = 5 * _MINUTE
#: Two blussers: six minutes.
OWED = 6 * _MINUTE


@pytest.fixture
def story() -> Iterator[Story]:
    with quick_keys():
        yield Story()


def paid(story: Story) -> Story:
    """Let Oostende owe Mechelen six minutes."""
    return story.play("""
        marie@oostende  pays  bob@mechelen  2 blussers
        clock           +2 s
    """)


def settling(story: Story) -> Story:
    """And have a leg made for it."""
    return paid(story).play("""
        admin           closes   cycle 1
        clock           +5 s
        admin           settles  cycle 1
        clock           +5 s
    """)


def test_a_cycle_is_closed_agreed_to_and_settled(story: Story) -> None:
    settling(story)
    assert story.answers(1) == AGREED
    assert story.legs() == {("oostende", "mechelen"): OWED}
    assert story.positions() == {"oostende": -OWED, "mechelen": OWED}
    story.play("""
        mechelen        signs  received  from oostende
        clock           +5 s
    """)
    assert story.leg("hub", "oostende", "mechelen") == "open", "one word moves nothing"
    story.play("""
        oostende        signs  paid  to mechelen
        clock           +5 s
    """)
    assert story.leg("hub", "oostende", "mechelen") == "settled"
    assert story.leg("mechelen", "oostende", "mechelen") == "settled"
    assert story.positions() == {}
    story.rest(SOON)


def test_a_close_while_payments_fly_leaves_each_in_one_cycle(story: Story) -> None:
    story.play("""
        marie@oostende  pays    bob@mechelen  2 blussers
        clock           +1 s
        mechelen        sleeps
        marie@oostende  pays    bob@mechelen  1 blusser   when reachable
        an@brussel      pays    marie@oostende  3 blussers
        admin           closes  cycle 1                   # both are on their way
        clock           +5 s
        mechelen        wakes
        clock           +2 min
        admin           closes  cycle 2
        clock           +5 s
    """)
    first, second = (story.statement("mechelen", cycle) for cycle in (1, 2))
    assert (first["count"], first["closing"]) == (1, OWED)
    assert (second["opening"], second["count"]) == (OWED, 1)
    both = [story.statement("oostende", cycle)["count"] for cycle in (1, 2)]
    assert sum(both) == 3, "each of them counts once, wherever it is"
    assert story.answers(1) == story.answers(2) == AGREED
    story.rest(SOON)


def test_a_group_that_sleeps_agrees_when_it_wakes(story: Story) -> None:
    paid(story).play("""
        mechelen        sleeps
        admin           closes  cycle 1
        clock           +20 d
    """)
    assert story.answers(1) == AGREED | {"mechelen": "waiting"}
    story.play("""
        mechelen        wakes
        clock           +1 min
    """)
    assert story.answers(1) == AGREED
    story.rest(SOON)


def test_a_hub_that_restarts_closes_when_all_have_compared(story: Story) -> None:
    paid(story).play("""
        mechelen        sleeps
        hub             crashes
        clock           +1 min
        admin           closes  cycle 1
    """)
    assert story.heard == "link-behind"
    story.play("""
        mechelen        wakes
        clock           +1 min
        admin           closes  cycle 1
        clock           +1 min
        admin           closes  cycle 1
    """)
    assert story.heard == "cycle-not-open", "nobody closes it twice"
    assert story.answers(1) == AGREED
    story.rest(SOON)


def test_a_second_word_that_comes_after_a_crash_settles_the_leg(story: Story) -> None:
    settling(story).play("""
        mechelen        signs    received  from oostende
        clock           +5 s
        hub             crashes  before settled
        oostende        signs    paid      to mechelen
    """)
    assert story.leg("hub", "oostende", "mechelen") == "open"
    story.play("clock +1 min")
    assert story.leg("oostende", "oostende", "mechelen") == "settled"
    assert story.positions() == {}
    story.rest(SOON)


def test_both_words_wait_for_a_group_that_has_yet_to_compare(story: Story) -> None:
    settling(story).play("""
        mechelen        signs    received  from oostende
        clock           +5 s
        mechelen        sleeps
        hub             crashes                        # it may have forgotten something
        clock           +5 s
        oostende        signs    paid      to mechelen
        clock           +1 d
    """)
    assert story.leg("hub", "oostende", "mechelen") == "open"
    assert story.positions() == {"oostende": -OWED, "mechelen": OWED}
    story.play("""
        mechelen        wakes
        clock           +1 min
    """)
    assert story.leg("mechelen", "oostende", "mechelen") == "settled"
    story.rest(SOON)


def test_what_was_made_good_counts_though_its_debtor_is_frozen(story: Story) -> None:
    settling(story).play("""
        oostende        signs    paid      to mechelen
        clock           +5 s
        admin           freezes  oostende
        mechelen        signs    received  from oostende
        clock           +5 s
        marie@oostende  pays     bob@mechelen  1 blusser
        clock           +5 s
    """)
    assert story.told() == "refused", "it takes part in nothing new"
    assert story.leg("oostende", "oostende", "mechelen") == "settled"
    assert story.positions() == {}
    story.rest(SOON)


def test_a_leg_without_both_words_is_void_at_the_next_close(story: Story) -> None:
    settling(story).play("""
        oostende        signs   paid      to mechelen
        clock           +5 s
        admin           closes  cycle 2
        clock           +5 s
    """)
    assert story.leg("hub", "oostende", "mechelen") == "void cycle-closed"
    assert story.leg("oostende", "oostende", "mechelen") == "void cycle-closed"
    story.play("""
        mechelen        signs   received  from oostende
    """)
    assert story.heard == "leg-ended"
    assert story.positions() == {"oostende": -OWED, "mechelen": OWED}
    story.play("""
        admin           settles  cycle 2                  # what is owed is still owed
        clock           +5 s
        oostende        signs    paid      to mechelen
        mechelen        signs    received  from oostende
        clock           +5 s
    """)
    assert story.leg("hub", "oostende", "mechelen") == "settled"
    assert story.positions() == {}
    story.rest(SOON)


def test_a_word_that_crosses_the_close_comes_too_late(story: Story) -> None:
    settling(story).play("""
        mechelen        signs   received  from oostende
        clock           +5 s
        oostende        speaks  into the void
        oostende        signs   paid      to mechelen
        admin           closes  cycle 2
        clock           +5 s
        oostende        reconnects
        clock           +1 min
    """)
    assert story.leg("oostende", "oostende", "mechelen") == "void cycle-closed"
    assert story.positions() == {"oostende": -OWED, "mechelen": OWED}
    story.rest(SOON)


def test_the_regional_admin_calls_a_leg_off_until_both_have_signed(
    story: Story,
) -> None:
    settling(story).play("""
        oostende        signs  paid  to mechelen
        clock           +5 s
        admin           voids  oostende to mechelen
        clock           +5 s
    """)
    assert story.leg("mechelen", "oostende", "mechelen") == "void cancelled"
    story.play("""
        admin           settles  cycle 1
        clock           +5 s
        oostende        signs    paid      to mechelen
        mechelen        signs    received  from oostende
        clock           +5 s
        admin           voids    oostende to mechelen
    """)
    assert story.heard == "leg-ended"
    assert story.positions() == {}
    story.rest(SOON)


def test_a_group_left_out_carries_its_position_forward(story: Story) -> None:
    paid(story).play("""
        an@brussel      pays     bob@mechelen  4 ketjes
        clock           +2 s
        admin           closes   cycle 1
        clock           +5 s
        admin           settles  cycle 1 without antwerpen
    """)
    assert story.heard == "exception-wrong"
    stood = story.positions()
    story.play("""
        admin           settles  cycle 1 without brussel
        clock           +5 s
        oostende        signs    paid      to mechelen
        mechelen        signs    received  from oostende
        clock           +5 s
        admin           settles  cycle 1 without brussel
    """)
    assert story.heard == "nothing-to-settle"
    left = stood["brussel"]
    assert story.positions() == {"brussel": left, "mechelen": -left}
    story.play("""
        admin           settles  cycle 1
        clock           +5 s
    """)
    assert story.legs()["brussel", "mechelen"] == -left
    story.rest(SOON)


def test_each_signs_its_own_word_and_once(story: Story) -> None:
    settling(story).play("""
        oostende        signs  received  from mechelen
    """)
    assert story.heard == "leg-not-yours"
    story.play("""
        oostende        signs  paid  to mechelen
        clock           +5 s
        oostende        signs  paid  to mechelen
    """)
    assert story.heard == "leg-signed"
    assert story.leg("hub", "oostende", "mechelen") == "open"
    story.rest(SOON)


def test_a_ledger_altered_by_hand_is_named_and_once_mended_agreed_to(
    story: Story,
) -> None:
    paid(story).play("""
        an@brussel      pays    bob@mechelen    4 ketjes
        clock           +2 s
        somebody        alters  mechelen
        marie@oostende  pays    bob@mechelen    1 blusser
        clock           +2 s
        admin           closes  cycle 1
        clock           +10 s
    """)
    assert story.answers(1) == AGREED | {"mechelen": "disputed"}
    altered = story.wish(2).transfer_id
    assert altered in str(story.statement("mechelen", 1)["difference"])
    for server in ("hub", "mechelen"):
        assert altered in story.alarms(server)[-1], "people are told which it is"
    story.play("admin  settles  cycle 1")
    assert story.heard == "cycle-disputed", "nobody makes good what she says is wrong"
    story.play("""
        somebody        mends   mechelen
        clock           +1 d
    """)
    assert story.answers(1)["mechelen"] == "disputed", "only people end a dispute"
    story.play("""
        mechelen        checks  cycle 1
        clock           +5 s
    """)
    assert story.answers(1) == AGREED
    story.rest(SOON)


def test_a_hub_restored_to_before_the_close_neither_closes_nor_forgets(
    story: Story,
) -> None:
    paid(story).play("""
        hub             backs     up
        clock           +1 s
        admin           closes    cycle 1
        clock           +5 s
        hub             restores
        clock           +1 min
    """)
    assert story.trouble("hub", "oostende") == "we-are-behind"
    story.play("admin  closes  cycle 1")
    assert story.heard == "unknown", "it bears the mark, and changes nothing"
    own = story.federation.nodes["oostende"].database.table("cycle")
    assert own[1]["state"] == "agreed", "what was agreed to stays so"
    story.rest(SOON)


def test_a_hub_put_back_unnoticed_closes_nothing_that_a_group_knows(
    story: Story,
) -> None:
    paid(story).play("""
        hub             backs     up
        admin           closes    cycle 1
        clock           +5 s
        hub             restores  unnoticed
        clock           +1 min
        admin           closes    cycle 1
    """)
    assert story.heard == "link-behind"
    assert story.trouble("hub", "mechelen") == "we-are-behind"
    story.rest(SOON)


def test_a_hub_that_has_forgotten_a_leg_settles_it_no_second_time(
    story: Story,
) -> None:
    settling(story).play("""
        oostende        signs     paid      to mechelen
        clock           +5 s
        hub             backs     up
        mechelen        signs     received  from oostende
        clock           +5 s
        hub             restores  unnoticed
        clock           +1 min
        admin           voids     oostende to mechelen
    """)
    assert story.heard == "leg-waits"
    for group in ("oostende", "mechelen"):
        assert story.leg(group, "oostende", "mechelen") == "settled"
    story.rest(SOON)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("server", "step"),
    [
        *(("hub", one) for one in ("close", "agreed", "settle", "signed", "settled")),
        *(
            ("oostende", one)
            for one in ("cycle", "statement", "agree", "leg", "sign", "leg-settled")
        ),
        ("mechelen", "leg-settled"),
    ],
)
def test_power_fails_at_each_step_and_nothing_is_lost_or_done_twice(
    story: Story, server: str, step: str, when: str
) -> None:
    paid(story).play(f"""
        {server}        crashes  {when} {step}
        admin           closes   cycle 1
        clock           +30 s
        admin           closes   cycle 1      # if she heard nothing, she asks again
        clock           +30 s
        admin           settles  cycle 1
        clock           +30 s
        admin           settles  cycle 1
        clock           +30 s
        oostende        signs    paid      to mechelen
        clock           +30 s
        oostende        signs    paid      to mechelen
        mechelen        signs    received  from oostende
        clock           +30 s
    """)
    assert not story.world.planned, "power has failed there"
    assert story.answers(1) == AGREED
    assert story.leg("hub", "oostende", "mechelen") == "settled"
    assert story.positions() == {}
    story.rest(SOON)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("server", "step"),
    [
        ("hub", "disputed"),
        ("hub", "moves"),
        ("hub", "void"),
        ("mechelen", "dispute"),
        ("mechelen", "moves"),
        ("mechelen", "leg-void"),
    ],
)
def test_power_fails_in_a_dispute_and_it_is_mended_all_the_same(
    story: Story, server: str, step: str, when: str
) -> None:
    paid(story).play(f"""
        {server}        crashes  {when} {step}
        somebody        alters   mechelen
        admin           closes   cycle 1
        clock           +30 s
        somebody        mends    mechelen
        mechelen        checks   cycle 1
        clock           +30 s
        mechelen        checks   cycle 1
        clock           +30 s
        admin           settles  cycle 1
        clock           +30 s
        admin           closes   cycle 2
        clock           +30 s
        admin           closes   cycle 2
        clock           +30 s
    """)
    assert not story.world.planned, "power has failed there"
    assert story.answers(1) == story.answers(2) == AGREED
    assert story.leg("mechelen", "oostende", "mechelen") == "void cycle-closed"
    story.rest(SOON)
