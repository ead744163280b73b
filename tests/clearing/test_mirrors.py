"""The hub compares each mirror with the position at its decision, at once."""

import random
from bisect import bisect_right
from typing import Any

import msgspec
import pytest

from clearing import log_store
from clearing.house import HubHouse
from clearing.log_store import Position
from clearing.rules import HubView, MirrorState, Moved, Positions, decide_mirror
from protocol.effects import ArrivedItem, CallPeople, Effects
from protocol.instant import Instant
from protocol.messages import Mirror, write_line
from protocol.unit import HOUR
from tests.peer.federation import NewDatabase, federation, order, until
from tests.peer.makers import LOG
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE

NOW = Instant(1_000_000_000)


def decided(
    balance: int,
    position: int | None,
    *moved: Moved,
    before: MirrorState | None = None,
    now: Instant = NOW,
) -> tuple[Effects, MirrorState]:
    view = HubView(LOG, FEDERATION)
    mirror = Mirror(log=LOG, number=7, balance=balance)
    view.mirrored = {OOSTENDE: (mirror, position)}
    view.moved = {OOSTENDE: list(moved)}
    view.mirrors = {} if before is None else {OOSTENDE: before}
    arrived = ArrivedItem(peer=OOSTENDE, number=1, line=write_line(mirror), item=mirror)
    effects = decide_mirror(view, arrived, now)
    for effect in effects.wanted:
        view.apply(effect)
    return effects, view.mirrors[OOSTENDE]


def calls(effects: Effects) -> list[str]:
    return [one.text for one in effects.wanted if isinstance(one, CallPeople)]


def test_a_mirror_that_is_its_positions_is_kept_as_agreed() -> None:
    effects, state = decided(180, -180)
    assert calls(effects) == []
    assert state == MirrorState((LOG, 7), differs=False)


@pytest.mark.parametrize("position", [-179, -181, 180, 0, None])
def test_one_millisecond_off_calls_people(position: int | None) -> None:
    effects, state = decided(180, position)
    assert len(calls(effects)) == 1
    assert state.differs and state.agreed is None


def test_the_transfer_that_alone_explains_it_is_named() -> None:
    moved = (Moved("first", 10), Moved("second", -40), Moved("third", 70))
    # Its node has not booked the second: it was to pay 40 more.
    [told] = calls(decided(-70, 30, *moved)[0])
    assert "transfer second alone explains it" in told
    # It has booked the third twice.
    [told] = calls(decided(-110, 40, *moved)[0])
    assert "transfer third alone explains it" in told


def test_else_the_first_since_they_agreed_is_named() -> None:
    [told] = calls(decided(-1, 40, Moved("first", 10), Moved("second", 30))[0])
    assert "transfer first is the first since they agreed" in told
    [told] = calls(decided(-1, 40)[0])
    assert "no transfer has moved it" in told


def test_people_are_called_once_until_it_agrees_again() -> None:
    _, state = decided(1, 0)
    effects, state = decided(2, 0, before=state)
    assert calls(effects) == []
    effects, state = decided(0, 0, before=state)
    assert not state.differs
    later = Instant(NOW + HOUR)
    effects, _ = decided(1, 0, before=state, now=later)
    assert len(calls(effects)) == 1


def test_a_mirror_that_comes_and_goes_calls_once_an_hour() -> None:
    state, called = MirrorState(), 0
    for minute in range(120):
        effects, state = decided(
            minute % 2, 0, before=state, now=Instant(NOW + minute * HOUR // 60)
        )
        called += len(calls(effects))
    assert called == 2


@pytest.mark.parametrize("seed", range(20))
def test_positions_in_memory_are_those_after_the_last_move(seed: int) -> None:
    draw = random.Random(seed)
    positions, numbers, balances = Positions(), [], []
    for number in sorted(draw.sample(range(40_000), 20_000)):
        balance = draw.randint(-9, 9)
        positions.note(OOSTENDE, number, balance)
        numbers.append(number)
        balances.append(balance)
    for _ in range(1000):
        asked = draw.randrange(41_000)
        found = positions.at(OOSTENDE, asked)
        place = bisect_right(numbers, asked)
        # What is too old is not known here; what is known is right.
        assert found is None or found == balances[place - 1]
        assert found is not None or place < len(numbers) - 4096
    assert positions.at(MECHELEN, 7) is None


@pytest.mark.parametrize("seed", range(5))
def test_positions_of_all_groups_together_are_bounded(seed: int) -> None:
    draw, positions = random.Random(seed), Positions(most=100)
    newest: dict[str, tuple[int, int]] = {}
    for number in range(2000):
        group = f"groep-{int(draw.paretovariate(0.5)) % 40}"
        newest[group] = number, draw.randint(-(2**53), 2**53)
        positions.note(group, *newest[group])
        assert len(positions) <= 100
    # Each group's newest, which its next mirror most likely names, is always there.
    for group, (number, balance) in newest.items():
        assert positions.at(group, number) == balance


async def alarms(server: Any) -> list[str]:
    rows = await server.ask("SELECT told FROM alarm ORDER BY alarm_id")
    return [row["told"] for row in rows]


async def test_a_node_that_books_wrongly_is_noticed_at_its_next_envelope(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node, hub = federated.nodes[OOSTENDE], federated.hub

        async def pay(key: str) -> str:
            one = order(key)
            await node.clerk.take(one)
            await federated.quiet()
            return one.transfer_id

        for number in range(3):
            await pay(f"eggs {number}")
        # A new start of the hub: positions are read from the database again.
        before = hub.clerk.life
        await hub.end_clerks()
        await until(lambda: hub.clerk.life != before and hub.clerk.is_ready)
        await federated.quiet()
        assert await alarms(hub) == []
        # Somebody changes a balance by hand: as if one payment were not booked.
        await node.change(
            "UPDATE account SET balance = balance - 180000"
            " WHERE account_id = 'clearing'"
        )
        transfer_id = await pay("bread")
        await pay("more bread")
        [told] = await alarms(hub)
        assert OOSTENDE in told
        assert f"transfer {transfer_id} alone explains it" in told
        [row] = await hub.ask(
            "SELECT differs FROM mirror WHERE group_name = $1", OOSTENDE
        )
        assert row["differs"]
        await node.change(
            "UPDATE account SET balance = balance + 180000"
            " WHERE account_id = 'clearing'"
        )
        await pay("cheese")
        assert len(await alarms(hub)) == 1
        [row] = await hub.ask(
            "SELECT differs FROM mirror WHERE group_name = $1", OOSTENDE
        )
        assert not row["differs"]


async def test_a_mirror_of_a_decision_that_was_never_made_is_told(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        house: Any = federated.nodes[OOSTENDE].house
        await federated.nodes[OOSTENDE].clerk.take(order("eggs"))
        house._newest = (house._newest[0], 10**6)
        await federated.quiet()
        told = await alarms(federated.hub)
        assert any("has not made" in one for one in told)
        assert msgspec.json.encode(told)


async def test_a_mirror_of_an_older_decision_than_was_named_costs_nothing(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, int]] = []
    read_position_at = log_store.read_position_at

    async def count(connection: Any, group: str, log: str, number: int) -> int | None:
        read.append((log, number))
        return await read_position_at(connection, group, log, number)

    async with federation(new_database) as federated:
        hub, node = federated.hub, federated.nodes[OOSTENDE]
        house = hub.house
        assert isinstance(house, HubHouse)
        await node.clerk.take(order("eggs"))
        await federated.quiet()
        former = hub.clerk.life
        await hub.restart()
        house = hub.house
        assert isinstance(house, HubHouse)
        [(number, position)] = [
            (one.mirrored_at[1], one.at_mirror)
            for one in await positions_of(hub)
            if one.mirrored_at and one.account.account_id == OOSTENDE
        ]
        monkeypatch.setattr(log_store, "read_position_at", count)

        async def named(log: str, number: int) -> object:
            mirror = Mirror(log=log, number=number, balance=7)
            view = house.begin(hub.clerk.life)
            line = write_line(mirror)
            arrived = ArrivedItem(peer=OOSTENDE, number=1, line=line, item=mirror)
            house.touches(view, arrived)
            async with hub.database.desk.acquire() as connection:
                await house.read(connection, view, [])
            house.keep(view)
            effects = decide_mirror(view, arrived, NOW)
            assert bool(effects.wanted) == (OOSTENDE in view.mirrored)
            return view.mirrored.get(OOSTENDE, (None, "ignored"))[1]

        # Known from before the start; the very same decision is looked for once.
        assert await named(former, number - 1) == "ignored"
        assert read == []
        assert [await named(former, number) for _ in range(3)] == [position] * 3
        assert read == [(former, number)]
        # What was never made is told, and holds up none that comes after it.
        assert await named(former, 10**9) is None
        assert await named(hub.clerk.life, 0) == position
        # No way back into a former log.
        read.clear()
        assert await named(former, number) == "ignored"
        assert await named(former, 0) == "ignored"
        assert read == []


async def positions_of(server: Any) -> list[Position]:
    async with server.database.readers.acquire() as connection:
        return await log_store.read_positions(connection)
