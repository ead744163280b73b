"""The link's rules one by one; random runs are in ``test_link_runs``."""

from typing import Any

import pytest

from protocol import envelope, link, messages
from protocol.address import HUB
from protocol.instant import Instant, read_instant, write_instant
from protocol.link import Taking, Trouble
from tests.protocol.makers import (
    AT,
    cover_payload,
    envelope_payload,
    hash_of,
    life_of,
)
from tests.protocol.two_ends import MINUTE, End, Wire, World, sealed_lines

OURS = life_of("our life")
THEIRS = life_of("their life")
THEIR_NEXT = life_of("their next life")
NOW = read_instant(AT)


def hub_link(**changes: Any) -> link.Link:
    """The hub's side: it sealed 5 items, all acknowledged, and took 3."""
    fields: dict[str, Any] = {
        "peer": "oostende",
        "life": OURS,
        "sent": 5,
        "sent_head": hash_of("ours at 5"),
        "acknowledged": 5,
        "acknowledged_head": hash_of("ours at 5"),
        "taken": 3,
        "taken_head": hash_of("theirs at 3"),
        "lives": (THEIRS,),
    }
    return link.Link(**(fields | changes))


def their_cover(**changes: Any) -> envelope.CoverPayload:
    """Oostende's cover that fits ``hub_link`` in every number and head."""
    fields: dict[str, Any] = {
        "life": THEIRS,
        "first": 4,
        "prev": hash_of("theirs at 3"),
        "ack": 5,
        "ack_head": hash_of("ours at 5"),
        "peer_life": OURS,
        "peer_at": AT,
        "at": AT,
    }
    return cover_payload(**(fields | changes))


def their_envelope(first: int = 4, count: int = 2, **changes: Any) -> envelope.Verified:
    lines = tuple(b"item %d" % number for number in range(first, first + count))
    fields: dict[str, Any] = {
        "first": first,
        "life": THEIRS,
        "prev": hash_of("theirs at 3"),
    }
    payload = envelope_payload(lines, **(fields | changes))
    return envelope.Verified(
        payload=payload,
        payload_hash=messages.line_hash(messages.write_line(payload)),
        line_1=b"",
        lines=lines,
        boxes={},
    )


def compared(**changes: Any) -> link.Link:
    found = link.take_cover(hub_link(**changes), their_cover())
    assert found.has_compared
    return found


# The table of protocol.md 5, row by row; both lives, the same and a new one.


@pytest.mark.parametrize("life", [THEIRS, THEIR_NEXT])
def test_equal_heads_go_on_with_the_life_declared(life: str) -> None:
    found = link.take_cover(hub_link(), their_cover(life=life))
    assert found.has_compared
    assert found.may_seal
    assert found.lives[-1] == found.peer_life == life


@pytest.mark.parametrize("life", [THEIRS, THEIR_NEXT])
def test_a_receiver_with_less_than_declared_waits_for_the_rest(life: str) -> None:
    rest = their_envelope(4, 2)
    cover = their_cover(life=life, first=6, prev=rest.payload_hash)
    found = link.take_cover(hub_link(), cover)
    assert found.trouble is None
    assert not found.has_compared
    found, takings = link.take_run(found, [rest], {})
    assert takings == [Taking.TAKEN]
    assert found.has_compared
    assert (found.taken, found.taken_head) == (5, rest.payload_hash)


def test_a_peer_with_less_than_sealed_and_never_more_is_ordinary() -> None:
    ours = hub_link(acknowledged=4, acknowledged_head=hash_of("ours at 4"))
    cover = their_cover(ack=4, ack_head=hash_of("ours at 4"))
    found = link.take_cover(ours, cover)
    assert found.trouble is None
    assert not found.has_compared
    assert not found.may_seal
    assert link.take_cover(found, their_cover()).may_seal


def test_a_peer_with_less_than_it_once_acknowledged_is_behind() -> None:
    cover = their_cover(ack=4, ack_head=hash_of("ours at 4"))
    assert link.take_cover(hub_link(), cover).trouble is Trouble.PEER_IS_BEHIND


def test_a_peer_that_declares_less_than_we_took_is_behind() -> None:
    cover = their_cover(first=3, prev=hash_of("theirs at 2"))
    assert link.take_cover(hub_link(), cover).trouble is Trouble.PEER_IS_BEHIND


def test_a_peer_that_took_more_than_we_sealed_shows_that_we_are_behind() -> None:
    cover = their_cover(ack=6, ack_head=hash_of("ours at 6"))
    assert link.take_cover(hub_link(), cover).trouble is Trouble.WE_ARE_BEHIND


def test_another_head_at_the_same_number_of_theirs_is_a_fork() -> None:
    cover = their_cover(prev=hash_of("another at 3"))
    assert link.take_cover(hub_link(), cover).trouble is Trouble.FORK


def test_another_head_at_the_same_number_of_ours_is_a_fork() -> None:
    cover = their_cover(ack_head=hash_of("another at 5"))
    assert link.take_cover(hub_link(), cover).trouble is Trouble.FORK


def test_an_acknowledgement_in_the_middle_of_an_envelope_is_a_fork() -> None:
    ours = hub_link(
        sent=8,
        sent_head=hash_of("ours at 8"),
    )
    cover = their_cover(ack=6, ack_head=hash_of("ours at 6"))
    assert link.take_cover(ours, cover).trouble is Trouble.FORK


# Comparing.


def test_a_link_begins_with_nothing_on_either_side() -> None:
    ours = link.start(link.Link(peer="oostende", life=""), OURS)
    first = cover_payload(
        first=1,
        prev=messages.NOTHING_HASH,
        ack=0,
        ack_head=messages.NOTHING_HASH,
        peer_life=OURS,
    )
    assert link.take_cover(ours, first).may_seal


def test_nothing_is_sealed_before_the_peer_names_our_life() -> None:
    for peer_life in (None, life_of("our former life")):
        found = link.take_cover(hub_link(), their_cover(peer_life=peer_life))
        assert not found.may_seal
        assert found.peer_life == THEIRS


def test_a_cover_that_does_not_name_our_life_tells_only_its_own() -> None:
    # It may be from before our start: what it says was true once.
    old = their_cover(
        peer_life=life_of("our former life"), first=1, ack=0, prev=hash_of("x")
    )
    found = link.take_cover(hub_link(), old)
    assert found.trouble is None
    assert found.acknowledged == 5
    assert found.lives == (THEIRS,)
    assert not found.is_named


def test_nothing_is_taken_before_the_peer_names_our_life() -> None:
    found = link.take_cover(hub_link(), their_cover(peer_life=None))
    after, takings = link.take_run(found, [their_envelope()], {})
    assert takings == [Taking.DROPPED]
    assert after == found


def test_nothing_new_is_taken_before_the_peer_has_all_of_ours() -> None:
    ours = hub_link(acknowledged=4, acknowledged_head=hash_of("ours at 4"))
    cover = their_cover(ack=4, ack_head=hash_of("ours at 4"))
    found = link.take_cover(ours, cover)
    assert link.take_run(found, [their_envelope()], {})[1] == [Taking.DROPPED]
    found = link.take_cover(found, their_cover())
    assert link.take_run(found, [their_envelope()], {})[1] == [Taking.TAKEN]


def test_our_start_forgets_what_was_compared() -> None:
    found = link.start(compared(), life_of("our next life"))
    assert not found.has_compared
    assert found.peer_life is None
    assert (found.sent, found.acknowledged, found.taken) == (5, 5, 3)
    assert not link.take_cover(found, their_cover()).has_compared


def test_a_start_of_the_peer_is_seen_from_its_cover() -> None:
    found = link.take_cover(compared(), their_cover(life=THEIR_NEXT, peer_life=None))
    assert not found.has_compared
    assert link.take_run(found, [their_envelope()], {})[1] == [Taking.DROPPED]


def test_a_start_does_not_thaw_a_frozen_link() -> None:
    frozen = link.freeze(compared(), Trouble.FORK)
    found = link.take_cover(link.start(frozen, OURS), their_cover())
    assert found.trouble is Trouble.FORK
    assert not found.may_seal


def test_a_frozen_link_takes_covers_and_no_items() -> None:
    frozen = link.freeze(compared(), Trouble.FORK)
    later = write_instant(Instant(NOW + 1))
    found = link.take_cover(frozen, their_cover(at=later))
    assert found.peer_at == NOW + 1
    assert link.take_run(found, [their_envelope()], {})[1] == [Taking.DROPPED]


def test_a_frozen_link_believes_no_acknowledgement() -> None:
    # What it delivers lies above ``acknowledged``: a peer that was restored and now
    # acknowledges less must not be fed as if nothing had happened.
    frozen = link.take_cover(
        hub_link(), their_cover(ack=4, ack_head=hash_of("ours at 4"))
    )
    assert frozen.trouble is Trouble.PEER_IS_BEHIND
    assert frozen.acknowledged == 5


def test_a_frozen_link_keeps_its_first_trouble_and_learns_nothing_more() -> None:
    frozen = link.freeze(compared(), Trouble.FORK)
    for cover in (
        their_cover(),
        their_cover(ack=4, ack_head=hash_of("ours at 4")),
        their_cover(ack=6, ack_head=hash_of("ours at 6")),
    ):
        found = link.take_cover(frozen, cover)
        assert found.trouble is Trouble.FORK
        assert found.acknowledged == 5
        assert not found.is_named


def test_what_the_peer_seals_later_does_not_undo_the_comparison() -> None:
    # Its declaration counts when it first names us; else we could never both speak.
    found = link.take_cover(
        compared(), their_cover(first=6, prev=hash_of("theirs at 5"))
    )
    assert found.has_compared
    assert found.may_seal
    assert found.declared == 3


def test_one_envelope_is_on_its_way_at_most() -> None:
    found = compared()
    payload = envelope_payload([b"x"], first=6, life=OURS, prev=found.sent_head)
    found = link.after_sealing(found, payload, hash_of("ours at 6"))
    assert found.has_compared
    assert not found.may_seal
    cover = their_cover(ack=6, ack_head=hash_of("ours at 6"))
    assert link.take_cover(found, cover).may_seal


# Taking.


def test_the_next_envelope_is_taken() -> None:
    following = their_envelope()
    found, takings = link.take_run(compared(), [following], {})
    assert takings == [Taking.TAKEN]
    assert (found.taken, found.taken_head) == (5, following.payload_hash)


def test_a_gap_takes_nothing() -> None:
    found = compared()
    assert link.take_run(found, [their_envelope(5)], {}) == (found, [Taking.GAP])


def test_what_was_taken_before_is_repeated_and_changes_nothing() -> None:
    # A resend is no sign of a peer that lost something.
    old = their_envelope(2, 2)
    known = {2: link.Sealed(THEIRS, old.payload_hash)}
    found = compared()
    assert link.take_run(found, [old], known) == (found, [Taking.REPEATED])


def test_a_resend_before_the_next_is_passed_over() -> None:
    old = their_envelope(2, 2)
    known = {2: link.Sealed(THEIRS, old.payload_hash)}
    found, takings = link.take_run(compared(), [old, their_envelope()], known)
    assert takings == [Taking.REPEATED, Taking.TAKEN]
    assert found.taken == 5


def test_another_envelope_of_one_life_at_a_taken_number_is_a_fork() -> None:
    other = their_envelope(2, 2, at="2026-11-23T02:59:01.124Z")
    known = {2: link.Sealed(THEIRS, their_envelope(2, 2).payload_hash)}
    found, takings = link.take_run(compared(), [other], known)
    assert takings == [Taking.FORKED]
    assert found.trouble is Trouble.FORK
    assert found.taken == 3


def test_another_envelope_of_a_former_life_at_a_taken_number_is_dropped() -> None:
    other = their_envelope(2, 2, life=life_of("their former life"))
    known = {2: link.Sealed(THEIRS, their_envelope(2, 2).payload_hash)}
    found = compared()
    assert link.take_run(found, [other], known) == (found, [Taking.DROPPED])


@pytest.mark.parametrize(("first", "count"), [(2, 1), (3, 1), (3, 2), (2, 5)])
def test_one_life_with_other_borders_at_a_taken_number_is_a_fork(
    first: int, count: int
) -> None:
    known = {1: link.Sealed(THEIRS, hash_of("theirs at 3"))}
    _, takings = link.take_run(compared(), [their_envelope(first, count)], known)
    assert takings == [Taking.FORKED]


def test_the_next_number_after_another_head_is_a_fork() -> None:
    other = their_envelope(prev=hash_of("another at 3"))
    found, takings = link.take_run(compared(), [other], {})
    assert takings == [Taking.FORKED]
    assert found.trouble is Trouble.FORK
    assert found.taken == 3


def test_nothing_of_a_run_with_a_fork_is_taken() -> None:
    run = [
        their_envelope(4, 1),
        their_envelope(5, 1, prev=hash_of("another")),
        their_envelope(6, 1),
    ]
    found, takings = link.take_run(compared(), run, {})
    assert takings == [Taking.DROPPED, Taking.FORKED, Taking.DROPPED]
    assert (found.taken, found.taken_head) == (3, hash_of("theirs at 3"))


def test_an_envelope_of_a_former_life_beyond_the_declared_head_is_dropped() -> None:
    # It was sealed before the peer's start, and the peer no longer has it.
    found = link.take_cover(hub_link(), their_cover(life=THEIR_NEXT))
    former = their_envelope(life=THEIRS)
    assert link.take_run(found, [former], {}) == (found, [Taking.DROPPED])
    assert link.take_run(found, [their_envelope(life=THEIR_NEXT)], {})[1] == [
        Taking.TAKEN
    ]


def test_a_former_life_below_the_declared_head_still_counts() -> None:
    former = their_envelope(4, 2, life=THEIRS)
    cover = their_cover(life=THEIR_NEXT, first=6, prev=former.payload_hash)
    found = link.take_cover(hub_link(), cover)
    assert link.take_run(found, [former], {})[1] == [Taking.TAKEN]


def two_missing() -> tuple[link.Link, list[envelope.Verified]]:
    one = their_envelope(4, 2)
    two = their_envelope(6, 2, prev=one.payload_hash)
    cover = their_cover(life=THEIR_NEXT, first=8, prev=two.payload_hash)
    return link.take_cover(hub_link(), cover), [one, two]


def test_a_missing_run_is_taken_whole() -> None:
    found, run = two_missing()
    after, takings = link.take_run(found, run, {})
    assert takings == [Taking.TAKEN, Taking.TAKEN]
    assert after.taken == 7
    assert after.has_compared


def test_half_a_missing_run_is_not_taken() -> None:
    found, run = two_missing()
    assert link.take_run(found, run[:1], {}) == (found, [Taking.GAP])


def test_a_missing_run_that_ends_in_another_head_is_a_fork() -> None:
    found, run = two_missing()
    other = their_envelope(
        6, 2, prev=run[0].payload_hash, at="2026-11-23T02:59:01.124Z"
    )
    after, takings = link.take_run(found, [run[0], other], {})
    assert takings == [Taking.DROPPED, Taking.FORKED]
    assert after.taken == 3


def test_a_missing_run_never_reaches_beyond_the_declared_head() -> None:
    found, run = two_missing()
    longer = their_envelope(6, 3, prev=run[0].payload_hash)
    after, takings = link.take_run(found, [run[0], longer], {})
    assert Taking.TAKEN not in takings
    assert after == found


def test_new_items_behind_a_missing_run_are_taken_with_it() -> None:
    found, run = two_missing()
    new = their_envelope(8, 1, life=THEIR_NEXT, prev=run[1].payload_hash)
    after, takings = link.take_run(found, [*run, new], {})
    assert takings == [Taking.TAKEN] * 3
    assert after.taken == 8


# Covers and time.


def test_a_cover_may_be_five_minutes_off_and_no_more() -> None:
    for sign in (-1, 1):
        assert not link.is_stale(hub_link(), Instant(NOW + sign * 300_000), NOW)
        assert link.is_stale(hub_link(), Instant(NOW + sign * 300_001), NOW)


def test_a_cover_must_be_later_than_every_cover_before() -> None:
    found = link.take_cover(hub_link(), their_cover())
    assert link.is_stale(found, Instant(NOW - 1), NOW)
    assert link.is_stale(found, NOW, NOW)
    assert not link.is_stale(found, Instant(NOW + 1), NOW)


def test_only_covers_acknowledge() -> None:
    ours = hub_link(acknowledged=4, acknowledged_head=hash_of("ours at 4"))
    cover = their_cover(ack=4, ack_head=hash_of("ours at 4"))
    found = link.take_cover(ours, cover)
    after, _ = link.take_run(found, [their_envelope()], {})
    assert after.acknowledged == 4


def test_a_life_that_returns_after_it_was_replaced_is_a_fork() -> None:
    found = link.take_cover(compared(), their_cover(life=THEIR_NEXT))
    assert found.lives == (THEIRS, THEIR_NEXT)
    assert found.has_compared
    assert link.take_cover(found, their_cover()).trouble is Trouble.FORK


# Stories of two whole ends.


def quiet_world(**ends: Any) -> World:
    """Two ends on a perfect network that have compared and lack nothing."""
    world = World(0)
    for end in world.ends:
        end.skew = 0
        end.is_lazy = False
    world.settle(5)
    assert world.is_quiet()
    return world


def from_node(world: World) -> Wire:
    world.now = Instant(world.now + 1_000)
    world.node.seal(world.now, envelope.ITEMS_MAX)
    return world.node.send(world.now)


def test_a_lost_answer_costs_nothing() -> None:
    world = quiet_world()
    world.node.produce(3)
    world.hub.receive(from_node(world), world.now)
    assert world.node.link.acknowledged == 0
    world.settle(2)
    assert world.node.link.acknowledged == 3
    assert world.hub.state.delivered == sealed_lines(world.node)


def test_a_body_that_comes_twice_counts_once() -> None:
    world = quiet_world()
    world.node.produce(3)
    body = from_node(world)
    assert world.hub.receive(body, world.now)
    assert not world.hub.receive(body, world.now)
    assert len(world.hub.state.delivered) == 3


def test_a_body_that_comes_after_five_minutes_is_not_taken() -> None:
    world = quiet_world()
    world.node.produce(3)
    body = from_node(world)
    assert not world.hub.receive(body, world.now + 5 * MINUTE + 1)
    assert world.hub.receive(body, world.now + 5 * MINUTE)


def test_a_body_for_our_former_life_delivers_nothing() -> None:
    world = quiet_world()
    world.node.produce(3)
    body = from_node(world)
    world.hub.restart()
    assert world.hub.receive(body, world.now)
    assert world.hub.state.delivered == []
    world.settle(5)
    assert len(world.hub.state.delivered) == 3


def test_a_stop_before_the_commit_is_a_body_that_never_came() -> None:
    world = quiet_world()
    world.node.produce(3)
    world.hub.receive(from_node(world), world.now, crashes=True)
    assert world.hub.state.delivered == []
    world.settle(5)
    assert world.hub.state.delivered == sealed_lines(world.node)


def test_what_a_lost_life_had_under_way_never_joins_the_stream() -> None:
    world = quiet_world()
    backup = world.node.saved.copied()
    world.node.produce(2)
    lost = from_node(world)
    world.node.restart(backup)
    world.node.produce(1)
    world.settle(5)
    world.hub.receive(lost, world.now)
    assert world.hub.link.trouble is None
    assert world.hub.state.delivered == sealed_lines(world.node)
    assert len(world.hub.state.delivered) == 1


def test_a_node_restored_to_before_what_the_hub_took_is_behind() -> None:
    world = quiet_world()
    backup = world.node.saved.copied()
    world.node.produce(2)
    world.settle(5)
    world.node.restart(backup)
    world.node.produce(1)
    for _ in range(4):
        world.exchange()
    assert world.node.link.trouble is Trouble.WE_ARE_BEHIND
    assert world.hub.link.trouble is Trouble.PEER_IS_BEHIND
    assert world.node.link.sent == 0
    assert len(world.hub.state.delivered) == 2


def test_a_node_restored_to_before_what_it_acknowledged_is_fed_nothing() -> None:
    world = quiet_world()
    backup = world.node.saved.copied()
    world.hub.produce(2)
    world.settle(5)
    world.node.restart(backup)
    world.node.produce(1)
    for _ in range(4):
        world.exchange()
    assert world.hub.link.trouble is Trouble.PEER_IS_BEHIND
    # It cannot know by itself; it only never finishes comparing, so it seals nothing.
    assert world.node.link.trouble is None
    assert not world.node.link.may_seal
    assert world.node.state.delivered == []


def test_a_node_restored_to_before_what_it_never_acknowledged_goes_on() -> None:
    world = quiet_world()
    backup = world.node.saved.copied()
    world.hub.produce(2)
    world.hub.seal(world.now, 2)
    world.node.receive(world.hub.send(world.now), world.now)
    assert len(world.node.state.delivered) == 2
    world.node.restart(backup)
    world.settle(5)
    assert world.is_quiet()
    assert world.node.state.delivered == sealed_lines(world.hub)


def test_two_servers_with_one_key_and_nothing_to_say_are_a_fork() -> None:
    world = quiet_world()
    twin = End(world.node.own, HUB, world.draw)
    twin.restart(world.node.saved)
    original = world.node
    for end in (original, twin, original, twin, original):
        world.now = Instant(world.now + MINUTE)
        world.node = end
        world.exchange()
        world.exchange()
    assert world.hub.link.trouble is Trouble.FORK


def test_a_standby_with_a_slower_clock_is_not_taken_for_a_second_server() -> None:
    # The node stops with a cover under way; its standby's clock is 5 s behind.
    world = quiet_world()
    world.now = Instant(world.now + MINUTE)
    late = from_node(world)
    standby = End(world.node.own, HUB, world.draw)
    standby.restart(world.node.saved)
    standby.skew = -5_000
    world.node = standby
    world.exchange()
    world.exchange()
    world.hub.receive(late, world.now)
    assert world.hub.link.trouble is None
