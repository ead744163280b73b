"""Random runs of a link: what must hold whatever the network and the servers do.

A failing seed names itself; make it a named test in ``test_link``.
"""

import random

import pytest

from protocol import link
from protocol.instant import Instant
from tests.protocol.two_ends import DAY, Durable, End, World, sealed_lines

CHUNK = 50
#: Exchanges without faults after which nothing may be outstanding any more.
EXCHANGES_MAX = 5


def check_streams(world: World) -> None:
    """Each item once, in order, and nothing that was not sealed."""
    for sender, receiver in (world.ends, world.ends[::-1]):
        sealed = sealed_lines(sender)
        delivered = receiver.state.delivered
        assert delivered == sealed[: len(delivered)]
        assert len(delivered) == receiver.link.taken
        assert len(set(sealed)) == len(sealed) == sender.link.sent
        assert sender.link.acknowledged <= receiver.link.taken


def check_no_trouble(world: World) -> None:
    for end in world.ends:
        assert end.link.trouble is None


def play(seed: int, *, signs: bool = False, steps: int = 120) -> World:
    world = World(seed, signs=signs)
    for _ in range(steps):
        world.step()
        check_no_trouble(world)
        check_streams(world)
    made = [end.state.made for end in world.ends]
    world.now = Instant(world.now + world.draw.choice([0, 10_000, DAY]))
    world.settle(EXCHANGES_MAX)
    assert world.is_quiet()
    check_no_trouble(world)
    check_streams(world)
    assert [end.link.taken for end in world.ends] == made[::-1]
    # What is still under way arrives at last and changes nothing.
    for _, _, wire in world.network.under_way:
        world.now = Instant(world.now + world.draw.choice([1, DAY]))
        world.end(wire.to).receive(wire, world.now)
    check_no_trouble(world)
    check_streams(world)
    assert [end.link.taken for end in world.ends] == made[::-1]
    return world


@pytest.mark.parametrize("chunk", range(40))
def test_every_item_arrives_once_and_in_order(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        try:
            play(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("seed", range(20))
def test_signed_bytes_on_the_wire_behave_alike(seed: int) -> None:
    play(seed, signs=True, steps=40)


def test_the_runs_are_not_dull() -> None:
    restarts = taken = stale = 0
    for seed in range(40):
        world = play(seed)
        restarts += sum(len(end.link.lives) - 1 for end in world.ends)
        taken += sum(end.link.taken for end in world.ends)
        stale += len(world.network.under_way)
    assert restarts > 40
    assert taken > 400
    assert stale > 100


def lacks(restored: End, other: End) -> tuple[bool, bool]:
    """Say what a restored end no longer has: of its own stream, of the other's."""
    of_its_own = other.link.taken > restored.link.sent
    of_the_others = other.link.acknowledged > restored.link.taken
    return of_its_own, of_the_others


def play_restored(seed: int) -> tuple[bool, bool]:
    """Run, restore one end from an older backup, and see who notices what."""
    world = World(seed)
    # Behind a new life's covers, envelopes of a lost life would look like a fork.
    world.network.mixes = 0.0
    for end in world.ends:
        # An end that forgets at a restart what was acknowledged cannot miss it later.
        end.is_lazy = False
    draw = random.Random(f"restore {seed}")
    restored = draw.choice(world.ends)
    other = world.ends[restored is world.node]
    backups: list[Durable] = []
    for _ in range(60):
        world.step()
        backups.append(restored.saved.copied())
    restored.restart(draw.choice(backups[-draw.choice([3, 10, 60]) :]))
    other_had = list(other.state.delivered)
    is_silent = draw.random() < 0.5
    if is_silent:
        world.network.under_way.clear()
    lacking = lacks(restored, other)
    world.run(20)
    world.settle(EXCHANGES_MAX)
    if not is_silent:
        # What the former life had sent may have arrived, until the new one spoke.
        lacking = lacks(restored, other)
    if any(lacking):
        check_found_behind(restored, other, of_its_own=lacking[0])
        assert other.state.delivered == other_had or not is_silent
    else:
        check_no_trouble(world)
        assert world.is_quiet()
        assert sealed_lines(restored) == other.state.delivered
    for end in world.ends:
        assert len(set(end.state.delivered)) == len(end.state.delivered)
        assert end.link.taken == len(end.state.delivered)
    # What the restored end has of the other's stream is still that stream.
    had = restored.state.delivered
    assert had == sealed_lines(other)[: len(had)]
    return lacking


def check_found_behind(restored: End, other: End, *, of_its_own: bool) -> None:
    """The other always sees it; the restored end itself when its own is missing."""
    assert other.link.trouble is link.Trouble.PEER_IS_BEHIND
    assert not restored.link.has_compared
    seen = link.Trouble.WE_ARE_BEHIND if of_its_own else None
    assert restored.link.trouble is seen


@pytest.mark.parametrize("chunk", range(10))
def test_an_end_restored_from_an_older_backup_is_found_behind(chunk: int) -> None:
    seen = set()
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        try:
            seen.add(play_restored(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert {(False, False), (True, True)} <= seen


@pytest.mark.parametrize("seed", range(200))
def test_two_servers_with_one_key_are_found_out(seed: int) -> None:
    world = World(seed)
    world.run(30)
    world.settle(EXCHANGES_MAX)
    original = world.node
    twin = End(original.own, original.peer, world.draw)
    twin.restart(original.saved)
    twin.skew = original.skew
    twin.produce(2)
    original.produce(2)
    for _ in range(10):
        for end in (original, twin):
            world.node = end
            world.exchange()
            world.now = Instant(world.now + world.draw.choice([1, 5_000]))
    assert world.hub.link.trouble is not None
    # Whatever it took before it froze is one of the two streams, whole.
    delivered = world.hub.state.delivered
    streams = [sealed_lines(end)[: len(delivered)] for end in (original, twin)]
    assert delivered in streams
