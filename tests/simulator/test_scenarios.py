"""What may happen to a payment, told line by line; and how it ends.

Every story ends with the checker's look at all ledgers, at what was told to whom, and
at both streams of every link (``Story.balances``).
"""

from collections.abc import Iterator

import pytest

from tests.simulator.checker import BrokenPromiseError
from tests.simulator.planted import planted
from tests.simulator.quick_keys import quick_keys
from tests.simulator.scenario import Story

#: 2 blussers of three minutes are 6 ketjes of one minute.
PAID = {"marie@oostende": -2, "bob@mechelen": 6}


@pytest.fixture
def story() -> Iterator[Story]:
    with quick_keys():
        made = Story()
        yield made


def test_a_payment_reaches_another_group(story: Story) -> None:
    story.play("""
        marie@oostende  pays  bob@mechelen  2 blussers
        clock           +2 s
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_payment_inside_a_group_needs_no_hub(story: Story) -> None:
    story.play("""
        hub             sleeps
        marie@oostende  pays  jan@oostende  5 blussers
        clock           +1 s
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == {"marie@oostende": -5, "jan@oostende": 5}


def test_a_lost_decision_is_sent_again(story: Story) -> None:
    story.play("""
        marie@oostende  pays   bob@mechelen  2 blussers
        hub             loses  decision      to oostende
        clock           +90 s
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_an_accept_that_the_payees_node_cannot_bring_expires(story: Story) -> None:
    story.play("""
        mechelen        speaks into the void
        marie@oostende  pays  bob@mechelen  2 blussers
        clock           +5 min
    """)
    assert story.outcome() == "refused payee-unreachable"
    assert story.balances() == {}


def test_a_payment_when_reachable_waits_for_a_group_that_sleeps(story: Story) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays  bob@mechelen  2 blussers  when reachable
        clock           +1 d
    """)
    assert story.outcome() == "ordered"
    story.play("""
        mechelen        wakes
        clock           +2 min
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_payment_when_reachable_ends_after_three_days(story: Story) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays  bob@mechelen  2 blussers  when reachable
        clock           +73 h
    """)
    assert story.outcome() == "refused payee-unreachable"
    assert story.balances() == {}


def test_after_a_restart_the_hub_waits_for_a_group_that_sleeps(story: Story) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays  bob@mechelen  2 blussers  when reachable
        clock           +1 h
        hub             crashes
        clock           +7 d     # long past its 72 hours
    """)
    assert story.outcome() == "ordered", "refusing, too, waits for both to compare"
    story.play("""
        mechelen        wakes
        clock           +1 min
    """)
    assert story.outcome() == "refused payee-unreachable"
    assert story.balances() == {}


def test_a_hub_that_is_away_for_a_week_delivers_what_waits(story: Story) -> None:
    story.play("""
        hub             sleeps
        marie@oostende  pays  bob@mechelen  2 blussers  when reachable
        clock           +7 d
        hub             wakes
        clock           +1 h
    """)
    assert story.outcome().startswith("refused"), "its 72 hours were over"
    story.play("""
        marie@oostende  pays  bob@mechelen  2 blussers
        clock           +10 s
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_payment_now_is_refused_while_the_hub_does_not_answer(story: Story) -> None:
    story.play("""
        oostende        hears nothing
        jan@oostende    pays  bob@mechelen  1 blusser   # finds it out
        clock           +40 s
        marie@oostende  pays  bob@mechelen  2 blussers
        clock           +1 s
    """)
    assert story.told() == "refused"
    assert story.balances() in ({}, {"jan@oostende": -1, "bob@mechelen": 3})


def test_a_late_payment_now_is_followed_by_its_cancel(story: Story) -> None:
    story.play("""
        oostende        speaks into the void
        marie@oostende  pays  bob@mechelen  2 blussers
        clock           +5 min
        oostende        reconnects
        clock           +2 min
    """)
    assert story.outcome().startswith("refused")
    assert story.balances() == {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("server", "step"),
    [
        ("oostende", "order"),
        ("oostende", "seal"),
        ("oostende", "send"),
        ("hub", "prepare"),
        ("mechelen", "offer"),
        ("hub", "accept"),
        ("oostende", "decision-cleared"),
        ("mechelen", "decision-cleared"),
    ],
)
def test_power_fails_once_at_a_durable_step(
    story: Story, server: str, step: str, when: str
) -> None:
    story.play(f"""
        {server}        crashes  {when} {step}
        marie@oostende  pays     bob@mechelen  2 blussers
        clock           +5 s
        marie@oostende  asks     again
        clock           +1 min
    """)
    assert story.outcome() == "cleared", "asked again under its key, it is there once"
    assert story.balances() == PAID


def test_an_answer_that_got_lost_is_given_again_under_the_same_key(
    story: Story,
) -> None:
    story.play("""
        oostende        crashes  after order
        marie@oostende  pays     bob@mechelen  2 blussers
    """)
    assert story.told() == "unknown"
    story.play("""
        clock           +10 s
        marie@oostende  asks     again
        clock           +1 s
    """)
    assert story.told() == "ok"
    assert len(story.people.wishes) == 1
    assert story.balances() == PAID


def test_a_batch_that_is_torn_leaves_nothing_half_done(story: Story) -> None:
    story.play("""
        hub             tears    a batch
        marie@oostende  pays     bob@mechelen  2 blussers
        clock           +2 min
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_member_may_go_to_her_floor_and_not_one_unit_further(story: Story) -> None:
    story.play("""
        treasurer       limits  marie@oostende  -2 .. 100
        marie@oostende  pays    bob@mechelen    2 blussers
        clock           +1 s
        marie@oostende  pays    jan@oostende    1 blusser
        clock           +1 s
    """)
    assert story.outcome(1) == "cleared"
    assert story.told(2) == "refused"
    assert story.balances() == PAID


def test_what_is_held_cannot_be_spent_again(story: Story) -> None:
    story.play("""
        treasurer       limits  marie@oostende  -2 .. 100
        mechelen        sleeps
        marie@oostende  pays    bob@mechelen    2 blussers  when reachable
        clock           +1 min
        marie@oostende  pays    jan@oostende    1 blusser
        clock           +1 s
    """)
    assert story.told(2) == "refused"
    assert story.balances() == PAID


def test_what_may_yet_come_in_cannot_be_spent(story: Story) -> None:
    story.play("""
        treasurer       limits  bob@mechelen    0 .. 100
        mechelen        loses   accept to hub 9     # stays held for a while
        marie@oostende  pays    bob@mechelen    2 blussers
        clock           +3 s
        bob@mechelen    pays    an@brussel      1 zinneke
        clock           +1 s
    """)
    assert story.told(2) == "refused"
    story.rest()


def test_a_payee_at_her_ceiling_receives_nothing(story: Story) -> None:
    story.play("""
        treasurer       limits  bob@mechelen    -100 .. 5
        marie@oostende  pays    bob@mechelen    2 blussers
        clock           +5 s
    """)
    assert story.outcome() == "refused payee-cannot-receive"
    assert story.balances() == {}


def test_a_cleared_transfer_posts_though_its_payee_was_frozen_since(
    story: Story,
) -> None:
    story.play("""
        hub             loses     decision  to mechelen
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +1 s
        treasurer       freezes   bob@mechelen
        clock           +2 min
    """)
    assert story.balances() == PAID


def test_a_frozen_group_begins_nothing_new(story: Story) -> None:
    story.play("""
        admin           freezes  mechelen
        clock           +1 s
        marie@oostende  pays     bob@mechelen  2 blussers
        clock           +1 s
    """)
    assert story.told() == "refused"
    story.play("""
        admin           releases  mechelen
        clock           +1 s
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +5 s
    """)
    assert story.balances() == PAID


def test_what_is_in_flight_clears_though_its_group_is_frozen(story: Story) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays     bob@mechelen  2 blussers  when reachable
        clock           +1 min
        admin           freezes  oostende
        mechelen        wakes
        clock           +1 min
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_group_may_go_to_its_floor_and_not_further(story: Story) -> None:
    story.play("""
        admin           limits   oostende  -6 .. 600   # minutes
        marie@oostende  pays     bob@mechelen  2 blussers
        clock           +5 s
        marie@oostende  pays     bob@mechelen  1 ketje
        clock           +5 s
    """)
    assert story.outcome(1) == "cleared"
    assert story.outcome(2) == "refused payer-group-floor"
    assert story.balances() == PAID


CAPPED = """
        admin           caps     oostende  mechelen  8   # minutes
        marie@oostende  pays     bob@mechelen  2 blussers
        jan@oostende    pays     bob@mechelen  1 blusser
        clock           +5 s
        hub             crashes
        clock           +1 min
        marie@oostende  pays     bob@mechelen  2 ketjes
        clock           +5 s
"""


def test_a_pair_may_go_to_its_cap_and_not_further(story: Story) -> None:
    story.play(CAPPED)
    assert story.outcome(1) == "cleared"
    assert story.outcome(2) == "refused month-cap"
    # Two of its eight minutes are left, as a hub that starts anew counts too.
    assert story.outcome(3) == "cleared"


def test_a_cap_that_forgets_what_is_held_is_found(story: Story) -> None:
    with planted("cap-forgets-held"), pytest.raises(BrokenPromiseError, match="cap"):
        story.play(CAPPED)


def test_a_price_at_a_rate_of_yesterday_is_refused(story: Story) -> None:
    story.play("""
        mechelen        wants     rate 120000
        oostende        hears     nothing
        admin           approves  mechelen
        clock           +1 s
        marie@oostende  pays      bob@mechelen  2 ketjes  when reachable
        clock           +1 min
        oostende        reconnects
        clock           +2 min
    """)
    assert story.outcome() == "refused rate-changed"
    assert story.balances() == {}


def test_what_the_hub_took_before_a_change_of_rate_clears_as_fixed(
    story: Story,
) -> None:
    story.play("""
        mechelen        wants     rate 120000
        mechelen        sleeps
        marie@oostende  pays      bob@mechelen  2 blussers  when reachable
        clock           +1 min
        admin           approves  mechelen
        clock           +1 min
        mechelen        wakes
        clock           +1 min
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_member_cancels_what_is_not_decided_yet(story: Story) -> None:
    story.play("""
        mechelen        sleeps
        marie@oostende  pays     bob@mechelen  2 blussers  when reachable
        clock           +1 min
        marie@oostende  cancels
        clock           +1 min
        mechelen        wakes
        clock           +1 min
    """)
    assert story.outcome() == "refused cancelled"
    assert story.balances() == {}


def test_a_cancel_that_comes_too_late_changes_nothing(story: Story) -> None:
    story.play("""
        hub             loses    decision  to oostende
        marie@oostende  pays     bob@mechelen  2 blussers
        clock           +1 s
        marie@oostende  cancels
        clock           +2 min
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_refund_gives_back_a_part_and_no_more_than_was_paid(story: Story) -> None:
    story.play("""
        marie@oostende  pays   bob@mechelen  2 blussers
        clock           +5 s
        bob@mechelen    gives  back  1 blusser
        clock           +5 s
        bob@mechelen    gives  back  2 blussers
        clock           +5 s
    """)
    assert story.outcome(2) == "cleared"
    assert story.told(3) == "refused"
    assert story.balances() == {"marie@oostende": -1, "bob@mechelen": 3}


def test_nobody_gains_by_paying_what_does_not_divide(story: Story) -> None:
    story.play("""
        an@brussel      pays   bob@mechelen  1 ketje   # costs a whole zinneke
        clock           +5 s
    """)
    assert story.balances() == {"an@brussel": -1, "bob@mechelen": 1}


def test_a_clock_that_is_far_off_stops_a_link_until_it_is_put_right(
    story: Story,
) -> None:
    story.play("""
        oostende        clock  +600 s
        marie@oostende  pays   bob@mechelen  2 blussers  when reachable
        clock           +10 min
    """)
    assert story.outcome() == "ordered"
    story.play("""
        oostende        clock  +0 s
        clock           +1 h
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_a_clock_set_back_at_the_hub_refuses_and_never_doubles(story: Story) -> None:
    story.play("""
        mechelen        loses  accept to hub 2    # its push and its poll
        marie@oostende  pays   bob@mechelen  2 blussers
        clock           +1 s
        hub             clock  -100 s
        clock           +10 min
    """)
    assert story.outcome() == "refused payee-unreachable"
    assert story.balances() == {}


def test_everybody_crashes_at_once_in_the_middle_of_a_payment(story: Story) -> None:
    story.play("""
        marie@oostende  pays   bob@mechelen  2 blussers  when reachable
        clock           +100 ms
        hub             crashes
        oostende        crashes
        mechelen        crashes
        clock           +5 min
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == PAID


def test_both_groups_pay_each_other_at_the_same_time(story: Story) -> None:
    story.play("""
        marie@oostende  pays   bob@mechelen    2 blussers
        bob@mechelen    pays   jan@oostende    1 blusser
        an@brussel      pays   bob@mechelen    9 ketjes
        clock           +10 s
    """)
    assert story.balances() == {
        "marie@oostende": -2,
        "jan@oostende": 1,
        "bob@mechelen": 6 - 3 + 9,
        "an@brussel": -2,
    }


def test_a_node_from_an_old_backup_waits_and_says_that_it_is_behind(
    story: Story,
) -> None:
    story.play("""
        mechelen        backs     up
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +5 s
        mechelen        restores  unnoticed
        clock           +2 min
    """)
    assert story.trouble("mechelen", "hub") == "we-are-behind"
    assert story.trouble("hub", "mechelen") == "peer-is-behind"
    story.play("""
        marie@oostende  pays      an@brussel  1 zinneke   # others go on
        clock           +5 s
    """)
    assert story.outcome() == "cleared"
    story.rest()


@pytest.mark.parametrize("how", ["", "unnoticed"])
def test_a_hub_from_an_old_backup_decides_nothing_a_second_time(
    story: Story, how: str
) -> None:
    story.play(f"""
        mechelen        loses     accept to hub 2
        marie@oostende  pays      bob@mechelen  2 blussers  when reachable
        clock           +1 s
        hub             backs     up           # the transfer is offered
        clock           +1 min                 # it is cleared, and both know
        hub             restores  {how}
        clock           +80 h
    """)
    assert story.outcome() == "cleared"
    hub = story.federation.hub.database.table("transfer")
    assert [row["state"] for row in hub.values()] == ["offered"], "it waits"
    story.rest()


def test_a_restored_server_that_lacks_nothing_goes_on_by_itself(story: Story) -> None:
    story.play("""
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +1 min
        mechelen        backs     up
        clock           +1 d
        mechelen        restores
        clock           +2 min
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +10 s
    """)
    assert story.outcome() == "cleared"
    assert story.trouble("hub", "mechelen") is None
    assert story.balances() == {"marie@oostende": -4, "bob@mechelen": 12}


def test_a_payer_who_starts_anew_and_hears_nothing_lets_an_accept_run_out() -> None:
    """Seed 200275 of old: the checker took the first comparing for the last one.

    Brussel accepts in time. But Oostende's node has begun a new life meanwhile, and
    hears nothing: until both have compared anew the hub decides nothing, and then it
    is too late. Refusing is always safe.
    """
    story = Story().play("""
        brussel         hears   nothing
        marie@oostende  pays    an@brussel  1 zinneke  when reachable
        clock           +1 s
        oostende        sleeps
        oostende        hears   nothing
        oostende        wakes
        brussel         reconnects
        clock           +4 d
        oostende        reconnects
    """)
    assert story.balances() == {}
    assert story.outcome() == "refused payee-unreachable"


def test_a_server_put_back_at_once_may_date_its_covers_as_before() -> None:
    """Seed 200393 of old: an old backup knows an old limit of its covers, too.

    After a crash covers are dated up to four seconds ahead. Who is put back within
    these dates some of them again; the hub drops those as stale, and nothing is lost.
    """
    story = Story().play("""
        clock           +1 min
        oostende        crashes
        clock           +1020 ms
        oostende        backs     up
        oostende        crashes
        clock           +1020 ms               # its covers are ahead of its clock
        oostende        restores  unnoticed
        clock           +1 min
        marie@oostende  pays      bob@mechelen  2 blussers
        clock           +10 s
    """)
    assert story.outcome() == "cleared"
    assert story.balances() == {"marie@oostende": -2, "bob@mechelen": 6}
