"""The clerk on real PostgreSQL: what was told is done, whatever breaks meanwhile."""

import asyncio
import contextlib
import itertools
import random

import asyncpg
import pytest

from nodes.rules import NewMember, Ordered, OtherBody
from protocol import envelope
from protocol.address import HUB
from protocol.errors import OutageError, RefusalCode
from protocol.instant import read_instant
from protocol.peer.batch import Arrival, Stale
from protocol.transfer import State
from tests.peer.federation import (
    Federation,
    NewDatabase,
    Server,
    federation,
    order,
    until,
)
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE, hash_of

S = 180_000
#: Who is there already: an order that reads and changes nothing.
MARIE = NewMember(account_id="marie", name="Marie", floor=0, ceiling=0)


async def pay(federated: Federation, *keys: str) -> list[object]:
    """Let Marie order under each key, all at once."""
    clerk = federated.nodes[OOSTENDE].clerk
    return await asyncio.gather(*(clerk.take(order(key)) for key in keys))


async def states(server: Server, *keys: str) -> set[str]:
    found = [await server.transfer(order(key).transfer_id) for key in keys]
    return {transfer.state if transfer else "unknown" for transfer in found}


async def test_payments_clear_in_all_three_ledgers(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        outcomes = await pay(federated, "a", "b", "c")
        assert all(isinstance(outcome, Ordered) for outcome in outcomes)
        await federated.quiet()
        for server in (federated.hub, *federated.nodes.values()):
            assert await states(server, "a", "b", "c") == {State.CLEARED}
        assert await federated.hub.balances() == {OOSTENDE: -3 * S, MECHELEN: 3 * S}
        assert (await federated.nodes[OOSTENDE].balances())["marie"] == -3
        assert (await federated.nodes[MECHELEN].balances())["bob"] == 9
        assert await federated.unsound() == []


async def test_a_refused_payment_gives_everything_back(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        clerk = federated.nodes[OOSTENDE].clerk
        await clerk.take(order("a", payee="nobody"))
        await federated.quiet()
        for server in (federated.hub, federated.nodes[OOSTENDE]):
            transfer = await server.transfer(order("a").transfer_id)
            assert transfer is not None
            assert transfer.code == RefusalCode.UNKNOWN_ACCOUNT
        assert await federated.hub.balances() == {}
        assert await federated.unsound() == []


async def test_a_payment_that_nobody_fetches_expires(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        # Due in half a second: a payment now, dated back on the hub's clock.
        soon = order("a", deliver="now", hub_now=node.clock.now() - 29_500)
        await node.clerk.take(soon)
        await federated.exchange(OOSTENDE)
        assert (await federated.hub.undecided()) == 1
        await asyncio.sleep(0.6)
        await federated.sweep()
        await federated.quiet()
        transfer = await node.transfer(soon.transfer_id)
        assert transfer is not None
        assert transfer.code == RefusalCode.PAYEE_UNREACHABLE
        assert await federated.unsound() == []


async def test_two_hundred_orders_share_their_commits(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        keys = [f"order {number}" for number in range(200)]
        servers = [federated.hub, *federated.nodes.values()]
        before = [server.commits() for server in servers]
        await pay(federated, *keys)
        await federated.quiet()
        used = [server.commits() for server in servers]
        for start, end in zip(before, used, strict=True):
            assert (end - start) / len(keys) < 0.5
        assert await states(federated.nodes[OOSTENDE], *keys) == {State.CLEARED}
        assert (await federated.nodes[MECHELEN].balances())["bob"] == 600
        assert await federated.unsound() == []


async def test_an_order_given_twice_at_once_is_booked_once(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        first, second = await pay(federated, "the key", "the key")
        assert isinstance(first, Ordered)
        assert isinstance(second, Ordered)
        assert first.transfer == second.transfer
        assert await federated.nodes[OOSTENDE].held() == 1 + 2  # the hold, both sums
        await federated.quiet()
        (third,) = await pay(federated, "the key")
        assert isinstance(third, Ordered)
        assert third.transfer.state is State.CLEARED
        assert (await federated.nodes[OOSTENDE].balances())["marie"] == -1


async def test_a_key_used_for_another_order_books_nothing(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        clerk = federated.nodes[OOSTENDE].clerk
        outcomes = await asyncio.gather(
            clerk.take(order("a")), clerk.take(order("a", body_hash=hash_of("other")))
        )
        assert [type(outcome) for outcome in outcomes] == [Ordered, OtherBody]
        assert await federated.nodes[OOSTENDE].held() == 1 + 2


async def test_members_may_not_overdraw_together(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        await node.change("UPDATE account SET floor = -7 WHERE account_id = 'marie'")
        outcomes = await pay(federated, *(f"order {n}" for n in range(20)))
        ordered = [one for one in outcomes if isinstance(one, Ordered)]
        refused = [one for one in outcomes if one is RefusalCode.PAYER_FLOOR]
        assert (len(ordered), len(refused)) == (7, 13)
        await federated.quiet()
        assert (await node.balances())["marie"] == -7


# The link.


async def test_an_arrival_given_twice_is_taken_once(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        await pay(federated, "a")
        node, hub = federated.nodes[OOSTENDE], federated.hub
        said = [node.clerk.speak(HUB) for _ in range(3)]
        bodies = [
            envelope.open_body(raw, hub.house.keyring, FEDERATION, HUB) for raw in said
        ]
        await asyncio.gather(
            *(hub.clerk.take(Arrival(OOSTENDE, body)) for body in bodies)
        )
        assert (await hub.ask("SELECT count(*) AS many FROM hold"))[0]["many"] == 1
        # An older cover comes last: nothing of it counts.
        stale = await hub.clerk.take(Arrival(OOSTENDE, bodies[0]))
        assert isinstance(stale, Stale)
        await federated.quiet()
        assert await federated.unsound() == []


async def test_covers_of_one_millisecond_still_rise(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        node, hub = federated.nodes[OOSTENDE], federated.hub
        times = []
        for _ in range(200):
            raw = node.clerk.speak(HUB)
            body = envelope.open_body(raw, hub.house.keyring, FEDERATION, HUB)
            times.append(read_instant(body.cover.payload.at))
        assert all(early < late for early, late in itertools.pairwise(times))


async def test_a_resend_is_what_was_sealed_also_after_a_start(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await pay(federated, "a", "b")
        node = federated.nodes[OOSTENDE]
        before = node.clerk.speak(HUB).split(b"\n", 1)[1]
        assert before.count(b"transfer.prepare") == 2
        assert before.count(b'"box"') == 2
        await lose_role(node)
        # Only a hub that has named the new life could take it.
        assert node.clerk.speak(HUB).split(b"\n", 1)[1] == b""
        await federated.exchange(OOSTENDE)
        after = node.clerk.speak(HUB).split(b"\n", 1)[1]
        assert after == before
        await federated.quiet()
        assert await states(federated.hub, "a", "b") == {State.CLEARED}


# Accidents.


async def lose_role(server: Server) -> None:
    """End the clerk's connection and wait until it is the clerk again."""
    life = server.clerk.life
    await server.end_clerks()
    async with asyncio.timeout(20):
        while server.clerk.life == life or not server.clerk.is_ready:
            with contextlib.suppress(OutageError):
                await server.clerk.take(MARIE)
            await asyncio.sleep(0.05)


async def end_idly(server: Server) -> None:
    """End the clerk's connection while nobody asks anything of it."""
    life = server.clerk.life
    await server.end_clerks()
    await until(lambda: server.clerk.life != life and server.clerk.is_ready, 5)


async def test_a_clerk_that_loses_its_connection_says_so_and_starts_anew(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        await pay(federated, "before")
        life = node.clerk.life
        await node.end_clerks()
        with pytest.raises(OutageError):
            await node.clerk.take(order("during"))
        await node.until_ready()
        assert node.clerk.life != life
        assert not node.clerk.links[HUB].has_compared
        # Asked again under the same key, as the sentence said.
        (again,) = await pay(federated, "during")
        assert isinstance(again, Ordered)
        await federated.quiet()
        assert node.clerk.links[HUB].has_compared
        assert await states(node, "before", "during") == {State.CLEARED}
        assert (await node.balances())["marie"] == -2
        assert await federated.unsound() == []


async def test_a_clerk_notices_a_lost_connection_while_nobody_asks(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        # Else a standby takes over, and two lives of one server speak in turn: a fork.
        await end_idly(federated.nodes[OOSTENDE])
        await federated.quiet()
        assert await federated.unsound() == []


@pytest.mark.parametrize("seed", range(2))
async def test_payments_survive_clerks_that_lose_their_connections(
    new_database: NewDatabase, seed: int
) -> None:
    draw = random.Random(seed)
    async with federation(new_database) as federated:
        servers = [federated.hub, *federated.nodes.values()]
        keys = [f"order {number}" for number in range(30)]
        left = list(keys)
        async with asyncio.timeout(40):
            while left:
                some, left = left[:10], left[10:]
                try:
                    await pay(federated, *some)
                except OutageError:
                    left += some
                await exchange_some(federated, draw)
                if len(left) % 20 == 10:
                    await draw.choice(servers).end_clerks()
        await settle(federated)
        for server in servers:
            assert await states(server, *keys) == {State.CLEARED}
        assert (await federated.nodes[OOSTENDE].balances())["marie"] == -30
        assert await federated.unsound() == []


async def exchange_some(federated: Federation, draw: random.Random) -> None:
    for _ in range(draw.randint(0, 4)):
        try:
            await federated.exchange(draw.choice([OOSTENDE, MECHELEN]))
        except OutageError:
            await asyncio.sleep(0.1)


async def settle(federated: Federation) -> None:
    """Exchange until quiet, however often a clerk is away."""
    async with asyncio.timeout(20):
        while True:
            try:
                await federated.quiet()
                await federated.sweep()
                await federated.quiet()
            except OutageError:
                await asyncio.sleep(0.1)
            else:
                return


BROKEN = """
CREATE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the disk has a bad day'; END $$;
CREATE TRIGGER bad_day BEFORE INSERT ON hold
    FOR EACH STATEMENT EXECUTE FUNCTION break_it();
"""


async def test_what_nobody_expected_stops_the_server_and_books_nothing(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        await node.change(BROKEN)
        answers = await asyncio.gather(
            *(node.clerk.take(order(key)) for key in "abc"), return_exceptions=True
        )
        # Whoever asked is told to ask again, and nothing about our own mistakes.
        assert {type(answer) for answer in answers} == {OutageError}
        assert "bad day" not in str(answers)
        with pytest.raises(asyncpg.RaiseError, match="bad day"):
            await node.task
        assert await node.held() == 0
        assert (
            await node.ask(
                "SELECT * FROM item WHERE direction = 'out'"
                " AND convert_from(line, 'UTF8') LIKE '%prepare%'"
            )
            == []
        )
        # A person mends it and starts the server again: the same keys book once.
        await node.change("DROP TRIGGER bad_day ON hold")
        await node.stop()
        await node.start()
        await pay(federated, *"abc")
        await federated.quiet()
        assert await states(node, *"abc") == {State.CLEARED}
        assert (await node.balances())["marie"] == -3
        assert await federated.unsound() == []


async def test_a_failed_batch_leaves_nothing_in_memory(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        links, numbered = dict(node.clerk.links), dict(node.clerk._numbered)
        said = node.clerk.has_news(HUB)
        await node.change(BROKEN)
        with pytest.raises(OutageError):
            await node.clerk.take(order("a"))
        assert node.clerk.links == links
        assert node.clerk._numbered == numbered
        assert node.clerk.has_news(HUB) is said


async def test_a_full_queue_is_an_outage(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        await node.change("UPDATE account SET floor = -9999 WHERE kind = 'member'")
        most = 4096
        answers = await asyncio.gather(
            *(node.clerk.take(order("one")) for _ in range(most + 1)),
            return_exceptions=True,
        )
        refused = [one for one in answers if isinstance(one, OutageError)]
        assert len(refused) == 1
        assert "too many" in str(refused[0])


async def test_the_second_clerk_of_a_database_waits_for_the_first(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        first = node.clerk
        second = node.new_clerk(node.make_house())
        waiting = asyncio.get_running_loop().create_task(second.run())
        try:
            await asyncio.sleep(0.7)
            assert not second.is_ready
            with pytest.raises(OutageError):
                await second.take(order("a"))
            await pay(federated, "a")
            node.task.cancel()
            await node.end_clerks()
            await until(lambda: second.is_ready)
            assert second.life != first.life
            node.clerk, node.task = second, waiting
            await federated.quiet()
            assert await states(node, "a") == {State.CLEARED}
            assert await federated.unsound() == []
        finally:
            waiting.cancel()


async def test_a_command_beside_a_running_server_is_told_so(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        with pytest.raises(OutageError, match="stop it first"):
            await node.new_clerk(node.make_house()).carry_out_alone([])
