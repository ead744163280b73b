"""A server restored from a backup changes nothing until it has compared."""

import asyncio
from pathlib import Path

import pytest

from clearing.rules import Freeze, Release
from nodes.rules import NewMember, Ordered
from protocol.address import HUB
from protocol.errors import RestoredError
from protocol.link import Trouble
from protocol.transfer import State
from tests.peer.audited import audited
from tests.peer.backups import founded, is_restored, machine_of, replace
from tests.peer.federation import Federation, NewDatabase, order
from tests.protocol.makers import MECHELEN, OOSTENDE

AN = NewMember(account_id="an", name="An", floor=0, ceiling=0)


async def pay(federated: Federation, key: str) -> None:
    outcome = await federated.nodes[OOSTENDE].clerk.take(order(key))
    assert isinstance(outcome, Ordered)
    await federated.quiet()


async def state(federated: Federation, key: str) -> State:
    found = await federated.nodes[OOSTENDE].transfer(order(key).transfer_id)
    assert found is not None
    return found.state


async def alarms(federated: Federation, name: str) -> list[str]:
    server = federated.hub if name == HUB else federated.nodes[name]  # type: ignore[index]
    rows = await server.ask("SELECT told FROM alarm ORDER BY alarm_id")
    return [row["told"] for row in rows]


async def bring_back(federated: Federation, url: str) -> None:
    """Let the hub go on with its newer database, and wait until all believe it."""
    hub = federated.hub
    await hub.stop()
    hub.url, hub.house = url, hub.make_house()
    await hub.start()
    async with asyncio.timeout(20):
        # The restored one may have dated its covers a few seconds ahead.
        while not all(  # noqa: ASYNC110
            [await federated.exchange(group) for group in federated.nodes]
        ):
            await asyncio.sleep(0.1)
    await federated.quiet()


# A node.


async def test_a_node_restored_to_its_newest_state_goes_on(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        await pay(federated, "a")
        node = federated.nodes[OOSTENDE]
        await machine_of(node, tmp_path).back_up(tmp_path / "b")
        await replace(node, tmp_path / "b", tmp_path / "new", new_database)
        assert is_restored(node)
        with pytest.raises(RestoredError):
            await node.clerk.take(order("b"))
        await federated.quiet()
        assert not is_restored(node)
        await pay(federated, "b")
        assert await state(federated, "b") is State.CLEARED
        assert await federated.unsound() == []
        assert (await audited(OOSTENDE, node.url)).is_sound
        assert any(
            "has compared with hub" in told
            for told in await alarms(federated, OOSTENDE)
        )
        await node.restart()
        assert not is_restored(node)


async def test_a_node_that_lacks_a_payment_changes_nothing(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        await machine_of(node, tmp_path).back_up(tmp_path / "b")
        await pay(federated, "a")
        sent = federated.hub.clerk.links[OOSTENDE].taken
        await replace(node, tmp_path / "b", tmp_path / "new", new_database)
        await federated.quiet()
        assert is_restored(node)
        assert node.clerk.links[HUB].trouble is Trouble.WE_ARE_BEHIND
        for wanted in (order("b"), order("a"), AN):
            with pytest.raises(RestoredError):
                await node.clerk.take(wanted)
        await node.restart()
        assert is_restored(node)
        assert federated.hub.clerk.links[OOSTENDE].taken == sent
        assert node.clerk.waits_for() == {HUB: "we-are-behind"}


async def test_a_node_that_lacks_only_what_came_to_it_changes_nothing(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """It sealed nothing since: only the hub can know that it is behind."""
    async with founded(new_database) as federated:
        node = federated.nodes[MECHELEN]
        await machine_of(node, tmp_path).back_up(tmp_path / "b")
        sent = node.clerk.links[HUB].sent
        # A freeze of the other group is told to all, and nobody answers it.
        await federated.hub.clerk.take(Freeze(group=OOSTENDE))
        await federated.hub.clerk.take(Release(group=OOSTENDE))
        await federated.quiet()
        taken = node.clerk.links[HUB].taken
        assert federated.hub.clerk.links[MECHELEN].acknowledged == taken
        await replace(node, tmp_path / "b", tmp_path / "new", new_database)
        assert node.clerk.links[HUB].taken < taken
        if node.clerk.links[HUB].sent != sent:
            pytest.fail("this test is about a node that sealed nothing")
        await federated.quiet()
        assert is_restored(node)


async def test_what_the_hub_never_acknowledged_is_sent_again(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        await node.clerk.take(order("a"))
        assert node.clerk.has_sealed(HUB)
        await machine_of(node, tmp_path).back_up(tmp_path / "b")
        await replace(node, tmp_path / "b", tmp_path / "new", new_database)
        assert is_restored(node)
        await federated.quiet()
        assert not is_restored(node)
        assert await state(federated, "a") is State.CLEARED
        assert await federated.unsound() == []


# The hub.


async def test_a_hub_restored_to_its_newest_state_goes_on(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        await pay(federated, "a")
        hub = federated.hub
        await machine_of(hub, tmp_path).back_up(tmp_path / "b")
        await replace(hub, tmp_path / "b", tmp_path / "new", new_database)
        assert is_restored(hub)
        await federated.exchange(OOSTENDE)
        await federated.exchange(OOSTENDE)
        assert is_restored(hub), "the other group may know of more"
        await federated.quiet()
        assert not is_restored(hub)
        await pay(federated, "b")
        assert await state(federated, "b") is State.CLEARED
        assert await federated.unsound() == []
        assert (await audited(HUB, hub.url)).is_sound


async def test_a_payment_sealed_while_the_hub_was_away_does_not_stop_it(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        hub, node = federated.hub, federated.nodes[OOSTENDE]
        await machine_of(hub, tmp_path).back_up(tmp_path / "b")
        await node.clerk.take(order("a"))
        assert node.clerk.has_sealed(HUB)
        await replace(hub, tmp_path / "b", tmp_path / "new", new_database)
        await federated.quiet()
        assert not is_restored(hub)
        assert await state(federated, "a") is State.CLEARED
        assert await federated.unsound() == []


async def test_a_hub_that_lacks_a_decision_decides_nothing(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        hub = federated.hub
        await machine_of(hub, tmp_path).back_up(tmp_path / "b")
        newest = hub.url
        await pay(federated, "a")
        await federated.nodes[OOSTENDE].clerk.take(order("b"))
        covers = []
        federated.note_cover = lambda _, cover: covers.append(cover.payload)
        await replace(hub, tmp_path / "b", tmp_path / "new", new_database)
        await federated.quiet()
        assert is_restored(hub)
        assert {(one.peer_life, one.checkpoint) for one in covers} == {(None, None)}
        assert set(hub.clerk.waits_for().values()) == {"we-are-behind"}
        with pytest.raises(RestoredError):
            await hub.clerk.take(Release(group=OOSTENDE))
        # Nobody else froze anything, so the newer database goes on as it was.
        for node in federated.nodes.values():
            assert node.clerk.links[HUB].trouble is None
        await bring_back(federated, newest)
        assert await state(federated, "b") is State.CLEARED
        assert await federated.unsound() == []


async def test_a_hub_behind_with_one_group_takes_nothing_of_the_others(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """A payer's own refusal goes to her group alone: the other group knows nothing."""
    async with founded(new_database) as federated:
        hub, other = federated.hub, federated.nodes[MECHELEN]
        await machine_of(hub, tmp_path).back_up(tmp_path / "b")
        await hub.change("UPDATE account SET floor = 0 WHERE account_id = 'oostende'")
        await federated.nodes[OOSTENDE].clerk.take(order("a"))
        await federated.exchange(OOSTENDE)
        await federated.exchange(OOSTENDE)
        assert await state(federated, "a") is State.REFUSED
        await replace(hub, tmp_path / "b", tmp_path / "new", new_database)
        taken = hub.clerk.links[MECHELEN].taken
        await federated.quiet()
        assert is_restored(hub)
        assert hub.clerk.links[MECHELEN].taken == taken
        assert not other.clerk.links[HUB].has_compared


async def test_a_group_that_stays_away_is_frozen_and_the_hub_goes_on(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        hub = federated.hub
        await machine_of(hub, tmp_path).back_up(tmp_path / "b")
        await replace(hub, tmp_path / "b", tmp_path / "new", new_database)
        for _ in range(4):
            await federated.exchange(OOSTENDE)
        assert is_restored(hub)
        assert hub.clerk.waits_for() == {MECHELEN: "comparing"}
        await hub.clerk.take(Freeze(group=MECHELEN))
        for _ in range(4):
            await federated.exchange(OOSTENDE)
        assert not is_restored(hub)
        await federated.quiet()
        assert await federated.unsound() == []


async def test_a_hub_without_groups_never_goes_on_by_itself(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        hub = federated.hub
        await machine_of(hub, tmp_path).back_up(tmp_path / "b")
        await replace(hub, tmp_path / "b", tmp_path / "new", new_database)
        for group in (OOSTENDE, MECHELEN):
            await hub.clerk.take(Freeze(group=group))
        await hub.restart()
        assert is_restored(hub)


# Both at once.


async def test_hub_and_node_restored_together_find_each_other(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with founded(new_database) as federated:
        await pay(federated, "a")
        servers = [federated.hub, *federated.nodes.values()]
        for server in servers:
            name = str(server.house.own)
            await machine_of(server, tmp_path).back_up(tmp_path / name)
        for server in servers:
            name = str(server.house.own)
            folder = tmp_path / f"new {name}"
            await replace(server, tmp_path / name, folder, new_database)
        await federated.quiet()
        assert not any(is_restored(server) for server in servers)
        await pay(federated, "b")
        assert await state(federated, "b") is State.CLEARED
        assert await federated.unsound() == []


@pytest.mark.parametrize("at", range(8))
async def test_whatever_the_backup_lacks_nothing_is_ever_forked(
    new_database: NewDatabase, tmp_path: Path, at: int
) -> None:
    """The hub's backup is made after so many exchanges of a payment's way."""
    async with founded(new_database) as federated:
        hub = federated.hub
        await federated.nodes[OOSTENDE].clerk.take(order("a"))
        groups = (OOSTENDE, MECHELEN)
        for step in range(at):
            await federated.exchange(groups[step % 2])
        await machine_of(hub, tmp_path).back_up(tmp_path / "b")
        newest = hub.url
        await federated.quiet()
        before = await state(federated, "a")
        await replace(hub, tmp_path / "b", tmp_path / "new", new_database)
        await federated.quiet()
        for node in federated.nodes.values():
            assert node.clerk.links[HUB].trouble is not Trouble.FORK
        if is_restored(hub):
            for node in federated.nodes.values():
                # What an operator does by hand today.
                await node.stop()
                await node.change("UPDATE link SET trouble = NULL")
                await node.start()
            await bring_back(federated, newest)
        assert await state(federated, "a") is before is State.CLEARED
        assert await federated.unsound() == []
