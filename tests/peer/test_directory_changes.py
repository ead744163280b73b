"""New rates, freezes and limits with payments under way, on real ledgers.

Whatever the hub took before a change clears as it was fixed; what it had not taken
is refused. A conversion account is never worth less than nothing, under any rate,
after any entry: its whole history is read for that.
"""

import asyncio
import itertools
import random
from collections import defaultdict
from typing import Any

import pytest

from clearing import proposal_store as hub_proposals
from clearing.house import HubHouse
from clearing.rules import (
    Approve,
    Disapprove,
    Freeze,
    Limit,
    NotDecided,
    Release,
)
from clearing.rules import (
    ProposalState as HubState,
)
from nodes.house import NodeHouse
from nodes.proposals import Proposals
from nodes.rules import Ordered, ProposalState, Wish, conversion, conversion_time
from protocol import address
from protocol.address import HUB, AccountName, Group
from protocol.directory import GroupRecord
from protocol.errors import RefusalCode
from protocol.transfer import State
from protocol.unit import Amount, quote
from tests.peer.federation import Federation, NewDatabase, Server, federation, order
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE, hash_of, residue

S = 180_000
MEMBERS = {OOSTENDE: "marie", MECHELEN: "bob"}
OTHER = {OOSTENDE: MECHELEN, MECHELEN: OOSTENDE}
BOTH = pytest.mark.parametrize("changing", [OOSTENDE, MECHELEN])


def node_house(server: Server) -> NodeHouse:
    assert isinstance(server.house, NodeHouse)
    return server.house


def hub_house(federated: Federation) -> HubHouse:
    house = federated.hub.house
    assert isinstance(house, HubHouse)
    return house


def order_of(payer: Group, key: str, amount: int, most: int = 10**9) -> Any:
    """The one member of a group pays the one of the other."""
    account, payee = MEMBERS[payer], OTHER[payer]
    name = address.write_address(AccountName(account), payer)
    return order(
        key,
        transfer_id=address.transfer_id(FEDERATION, name, key),
        payer=account,
        payee=MEMBERS[payee],
        payee_group=payee,
        payee_amount=Amount(amount),
        payer_amount_max=most,
        caller=account,
        body_hash=hash_of(f"{key} {amount}"),
    )


async def pay(
    federated: Federation, payer: Group, key: str, amount: int, most: int = 10**9
) -> object:
    ordered = order_of(payer, key, amount, most)
    return await federated.nodes[payer].clerk.take(ordered)


async def ask(federated: Federation, group: Group, per_hour: int) -> int:
    """Have a treasurer ask for a rate; gives the proposal's number at the hub."""
    server = federated.nodes[group]
    # It must have heard what became of its last one.
    await federated.quiet()
    asked = await Proposals(node_house(server), server.clerk).ask(
        Wish(per_hour=per_hour)
    )
    assert asked is not None
    await federated.quiet()
    found = hub_house(federated).proposals[group]
    assert found.number == asked.number and found.is_waiting
    return found.number


async def approve(federated: Federation, group: Group, number: int) -> GroupRecord:
    outcome = await federated.hub.clerk.take(Approve(group, number))
    assert isinstance(outcome, GroupRecord), outcome
    return outcome


async def state_of(federated: Federation, payer: Group, key: str) -> set[object]:
    """State and code of a transfer at all servers that know it."""
    id_ = order_of(payer, key, 1).transfer_id
    servers = (federated.hub, *federated.nodes.values())
    found = [await server.transfer(id_) for server in servers]
    return {(one.state, one.code) for one in found if one is not None}


async def worths(server: Server) -> dict[int, int]:
    """What each rate's conversion accounts are worth, milliseconds.

    Fails if they ever were worth less than nothing, after any entry at all.
    """
    rates = server.house.directory[node_house(server).own].entry.rates  # type: ignore[attr-defined]
    rows = await server.ask(
        "SELECT sequence, account_id, amount FROM posting"
        " WHERE account_id LIKE 'conversion.%' ORDER BY sequence"
    )
    balances: dict[str, int] = defaultdict(int)
    for _, postings in itertools.groupby(rows, key=lambda row: row["sequence"]):
        for row in postings:
            balances[row["account_id"]] += row["amount"]
        for rate in rates:
            assert _worth(balances, rate.version, rate.milliseconds) >= 0
    return {
        rate.version: _worth(balances, rate.version, rate.milliseconds)
        for rate in rates
    }


def _worth(balances: dict[str, int], version: int, milliseconds: int) -> int:
    local = balances[conversion(version)] * milliseconds
    return local + balances[conversion_time(version)]


async def sound(federated: Federation) -> list[str]:
    """Everything quiet, and every conversion account worth nothing or more."""
    await federated.quiet()
    for server in federated.nodes.values():
        assert min((await worths(server)).values()) >= 0
    return await federated.unsound()


# A new rate, from the treasurer to every node.


@BOTH
async def test_a_rate_is_asked_for_approved_and_known_to_all(
    new_database: NewDatabase, changing: Group
) -> None:
    async with federation(new_database) as federated:
        number = await ask(federated, changing, 30)
        for server in (federated.hub, *federated.nodes.values()):
            assert server.house.directory[changing].rate_version == 1  # type: ignore[attr-defined]
        await approve(federated, changing, number)
        await federated.quiet()
        for server in (federated.hub, *federated.nodes.values()):
            record = server.house.directory[changing]  # type: ignore[attr-defined]
            assert (record.rate, record.rate_version) == (120_000, 2)
        proposal = node_house(federated.nodes[changing]).proposal
        assert proposal is not None and proposal.state is ProposalState.APPROVED
        rows = await federated.nodes[changing].ask(
            "SELECT account_id FROM account WHERE account_id LIKE 'conversion.2%'"
        )
        assert len(rows) == 2
        assert await sound(federated) == []


async def test_a_refusal_comes_back_and_the_group_may_ask_again(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        number = await ask(federated, OOSTENDE, 30)
        await federated.hub.clerk.take(Disapprove(OOSTENDE, number))
        await federated.quiet()
        proposal = node_house(node).proposal
        assert proposal is not None and proposal.state is ProposalState.REFUSED
        again = await ask(federated, OOSTENDE, 30)
        assert again > number
        await approve(federated, OOSTENDE, again)
        assert await sound(federated) == []
        rows = await federated.hub.ask("SELECT number, state FROM proposal ORDER BY 1")
        assert [tuple(row) for row in rows] == [
            (number, "refused"),
            (again, "approved"),
        ]


async def became(server: Server) -> list[str]:
    """What became of each proposal of Oostende's, in the order of asking."""
    rows = await server.ask("SELECT state FROM proposal ORDER BY number")
    return [row["state"] for row in rows]


async def alarms(server: Server) -> list[str]:
    return [row["told"] for row in await server.ask("SELECT told FROM alarm")]


async def test_a_second_wish_takes_the_place_of_the_first(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        hub, node = federated.hub, federated.nodes[OOSTENDE]
        desk = Proposals(node_house(node), node.clerk)
        first = await desk.ask(Wish(per_hour=30))
        assert await desk.ask(Wish(per_hour=30)) == first
        # What is so already is nothing to ask for, whether one waits or not.
        assert await desk.ask(Wish(per_hour=20)) is None
        await federated.quiet()
        second = await desk.ask(Wish(per_hour=40))
        assert first is not None and second is not None
        assert second.number > first.number
        assert await became(node) == ["replaced", "waiting"]
        await node.restart()
        await federated.quiet()
        assert await became(hub) == await became(node) == ["replaced", "waiting"]
        early = await hub.clerk.take(Approve(OOSTENDE, first.number))
        assert isinstance(early, NotDecided)
        record = await approve(federated, OOSTENDE, second.number)
        assert record.rate == 90_000
        assert await sound(federated) == []
        assert await became(hub) == await became(node) == ["replaced", "approved"]
        assert await alarms(node) == await alarms(hub) == []


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_wish_that_crosses_the_approval_of_an_older_one_is_refused(
    new_database: NewDatabase, restarts: bool
) -> None:
    async with federation(new_database) as federated:
        hub, node = federated.hub, federated.nodes[OOSTENDE]
        number = await ask(federated, OOSTENDE, 30)
        desk = Proposals(node_house(node), node.clerk)
        await desk.ask(Wish(per_hour=40))
        await approve(federated, OOSTENDE, number)
        if restarts:
            # What was replaced is known from the table alone.
            await node.restart()
        assert await sound(federated) == []
        assert await became(node) == ["approved", "refused"]
        assert await became(hub) == ["approved"]
        record = node_house(node).directory[OOSTENDE]
        assert (record.rate, record.rate_version) == (120_000, 2)
        assert await alarms(node) == await alarms(hub) == []
        # Nothing stands in the way of the next wish.
        await approve(federated, OOSTENDE, await ask(federated, OOSTENDE, 40))
        await federated.quiet()
        assert node_house(node).directory[OOSTENDE].rate == 90_000


async def test_wishes_of_one_batch_replace_each_other(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        desk = Proposals(node_house(node), node.clerk)
        rates = (30, 40, 30, 45)
        asked = await asyncio.gather(*(desk.ask(Wish(per_hour=n)) for n in rates))
        assert len({one.number for one in asked if one is not None}) == 4
        await federated.quiet()
        newest = node_house(node).proposal
        assert newest is not None
        await approve(federated, OOSTENDE, newest.number)
        await federated.quiet()
        expected = ["replaced"] * 3 + ["approved"]
        assert await became(node) == await became(federated.hub) == expected
        assert await alarms(node) == []


async def test_a_hub_that_restarts_still_knows_what_waits(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        number = await ask(federated, OOSTENDE, 30)
        await federated.hub.restart()
        assert hub_house(federated).proposals[OOSTENDE].is_waiting
        early = await federated.hub.clerk.take(Approve(OOSTENDE, number))
        assert isinstance(early, NotDecided)
        await federated.quiet()
        await approve(federated, OOSTENDE, number)
        await federated.hub.restart()
        # And it still knows that it has decided: the same wish is no second one.
        record = await approve(federated, OOSTENDE, number)
        assert record.rate_version == 2
        rows = await federated.hub.ask(
            "SELECT count(*) FROM directory_change WHERE group_name = 'oostende'"
        )
        assert rows[0][0] == 2
        assert await sound(federated) == []


async def test_a_node_that_restarts_still_knows_what_it_asked(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        number = await ask(federated, OOSTENDE, 30)
        await node.restart()
        desk = Proposals(node_house(node), node.clerk)
        again = await desk.ask(Wish(per_hour=30))
        assert again is not None and (again.number, again.is_waiting) == (number, True)
        await federated.quiet()
        async with federated.hub.database.readers.acquire() as connection:
            found = await hub_proposals.read_newest(connection, FEDERATION)
        assert (found[OOSTENDE].number, found[OOSTENDE].state) == (
            number,
            HubState.WAITING,
        )
        await approve(federated, OOSTENDE, number)
        await federated.quiet()
        await node.restart()
        newest = node_house(node).proposal
        assert newest is not None and newest.state is ProposalState.APPROVED
        assert await sound(federated) == []


async def test_a_proposal_that_was_lost_on_its_way_comes_again_by_itself(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        desk = Proposals(node_house(node), node.clerk)
        asked = await desk.ask(Wish(per_hour=30))
        node.clerk.speak(HUB)  # Said, and heard by nobody.
        await node.restart()
        await federated.quiet()
        assert asked is not None
        assert hub_house(federated).proposals[OOSTENDE].number == asked.number


# A new rate while a payment is under way.


async def until_taken(federated: Federation, payer: Group, key: str) -> None:
    """Order and let the hub take the prepare; the offer has not left it."""
    await pay(federated, payer, key, 3)
    await federated.exchange(payer)
    assert await federated.hub.undecided() == 1


async def until_offered(federated: Federation, payer: Group, key: str) -> None:
    """And let the payee's node take the offer; its accept has not left it."""
    await until_taken(federated, payer, key)
    await federated.exchange(OTHER[payer])
    assert await federated.nodes[OTHER[payer]].undecided() == 1


async def until_cleared(federated: Federation, payer: Group, key: str) -> None:
    """And let the hub clear; the payer's node has not heard of it."""
    await until_offered(federated, payer, key)
    await federated.exchange(OTHER[payer])
    assert await federated.hub.undecided() == 0
    assert await federated.nodes[payer].undecided() == 1


@BOTH
@pytest.mark.parametrize("point", [until_taken, until_offered, until_cleared])
async def test_what_was_taken_before_a_new_rate_clears_as_it_was_fixed(
    new_database: NewDatabase, changing: Group, point: Any
) -> None:
    async with federation(new_database) as federated:
        for payer, per_hour in ((OOSTENDE, 13), (MECHELEN, 17)):
            directory = hub_house(federated).directory
            own, other = directory[payer], directory[OTHER[payer]]
            fixed = quote(Amount(3), own.rate, other.rate)
            assert fixed is not None
            before = await members(federated)
            number = await ask(federated, changing, per_hour)
            await point(federated, payer, "a")
            await approve(federated, changing, number)
            assert await sound(federated) == []
            assert await state_of(federated, payer, "a") == {(State.CLEARED, None)}
            after = await members(federated)
            assert after[payer] - before[payer] == -fixed.payer_amount
            assert after[OTHER[payer]] - before[OTHER[payer]] == 3
            # Nothing stands under the new rate yet; the next payment does.
            newest = hub_house(federated).directory[changing].rate_version
            balances = await federated.nodes[changing].balances()
            assert conversion(newest) not in balances
            await pay(federated, payer, "b", 3)
            assert await sound(federated) == []
            assert await state_of(federated, payer, "b") == {(State.CLEARED, None)}
            balances = await federated.nodes[changing].balances()
            assert conversion(newest) in balances


async def members(federated: Federation) -> dict[Group, int]:
    """The balance of each group's one member."""
    return {
        group: (await server.balances()).get(MEMBERS[group], 0)
        for group, server in federated.nodes.items()
    }


@BOTH
async def test_what_the_hub_had_not_taken_is_refused_and_given_back(
    new_database: NewDatabase, changing: Group
) -> None:
    async with federation(new_database) as federated:
        number = await ask(federated, changing, 13)
        for payer in (OOSTENDE, MECHELEN):
            await pay(federated, payer, "a", 3)
        await approve(federated, changing, number)
        assert await sound(federated) == []
        expected = {(State.REFUSED, RefusalCode.RATE_CHANGED)}
        for payer, server in federated.nodes.items():
            assert await state_of(federated, payer, "a") == expected
            assert await server.balances() == {}


@BOTH
async def test_a_price_that_rose_is_refused_before_it_leaves_the_node(
    new_database: NewDatabase, changing: Group
) -> None:
    async with federation(new_database) as federated:
        # A blusser becomes worth a ketje, or a ketje worth a blusser.
        number = await ask(federated, changing, {OOSTENDE: 60, MECHELEN: 20}[changing])
        await approve(federated, changing, number)
        await federated.quiet()
        outcome = await pay(federated, OOSTENDE, "a", 3, most=2)
        assert outcome is RefusalCode.RATE_CHANGED
        assert isinstance(await pay(federated, OOSTENDE, "b", 3, most=3), Ordered)
        assert await sound(federated) == []
        assert (await federated.nodes[OOSTENDE].balances())["marie"] == -3


@pytest.mark.parametrize(
    "seed",
    [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 3))],
)
async def test_rates_that_change_all_the_time_leave_every_ledger_right(
    new_database: NewDatabase, seed: int
) -> None:
    draw = random.Random(seed)
    # 30 an hour without decimals, and 20 an hour with two.
    async with federation(new_database, (120_000, 0), (1_800, 2)) as federated:
        numbers: dict[Group, int] = {}
        for turn in range(24):
            group = draw.choice([OOSTENDE, MECHELEN])
            if draw.random() < 0.3 and group in numbers:
                await approve(federated, group, numbers.pop(group))
            elif draw.random() < 0.2 and group not in numbers:
                numbers[group] = await ask(federated, group, draw.randint(7, 97))
            else:
                await pay(federated, group, f"{turn}", draw.randint(1, 40))
            for _ in range(draw.randint(0, 3)):
                await federated.exchange(draw.choice([OOSTENDE, MECHELEN]))
        assert await sound(federated) == []
        positions = await federated.hub.balances()
        assert sum(positions.values()) == 0


async def test_a_unit_of_30_an_hour_and_one_with_cents_convert_as_the_law_says(
    new_database: NewDatabase,
) -> None:
    rates = {OOSTENDE: 120_000, MECHELEN: 1_800}
    async with federation(new_database, (120_000, 0), (1_800, 2)) as federated:
        expected = dict.fromkeys(MEMBERS, 0)
        residues = dict.fromkeys(rates, 0)
        amounts = {OOSTENDE: [1, 2, 66, 67, 334], MECHELEN: [1, 2, 7]}
        for payer, amount in [(of, n) for of, some in amounts.items() for n in some]:
            outcome = await pay(federated, payer, f"{payer} {amount}", amount)
            assert isinstance(outcome, Ordered)
            quoted = quote(Amount(amount), rates[payer], rates[OTHER[payer]])
            assert quoted is not None
            expected[payer] -= quoted.payer_amount
            expected[OTHER[payer]] += amount
            residues[payer] += residue(quoted, rates[payer])
        assert await sound(federated) == []
        assert await members(federated) == expected
        for group, node in federated.nodes.items():
            assert await worths(node) == {1: residues[group]}


# A freeze, and limits.


@BOTH
@pytest.mark.parametrize("point", [until_taken, until_offered, until_cleared])
async def test_what_was_taken_before_a_freeze_clears(
    new_database: NewDatabase, changing: Group, point: Any
) -> None:
    async with federation(new_database) as federated:
        await point(federated, OOSTENDE, "a")
        await federated.hub.clerk.take(Freeze(changing))
        assert await sound(federated) == []
        assert await state_of(federated, OOSTENDE, "a") == {(State.CLEARED, None)}
        # Both nodes know by now, and say so themselves.
        for payer in (OOSTENDE, MECHELEN):
            refused = await pay(federated, payer, "b", 3)
            assert refused is RefusalCode.GROUP_FROZEN
        await federated.hub.clerk.take(Release(changing))
        await federated.quiet()
        for payer in (OOSTENDE, MECHELEN):
            assert isinstance(await pay(federated, payer, "c", 1), Ordered)
        assert await sound(federated) == []


@BOTH
async def test_the_hub_refuses_what_a_node_sent_before_it_knew_of_a_freeze(
    new_database: NewDatabase, changing: Group
) -> None:
    async with federation(new_database) as federated:
        await pay(federated, OOSTENDE, "a", 3)
        await federated.hub.clerk.take(Freeze(changing))
        assert await sound(federated) == []
        expected = {(State.REFUSED, RefusalCode.GROUP_FROZEN)}
        assert await state_of(federated, OOSTENDE, "a") == expected


async def test_a_frozen_group_stays_frozen_over_a_restart_of_everyone(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await federated.hub.clerk.take(Freeze(MECHELEN))
        await federated.quiet()
        for server in (federated.hub, *federated.nodes.values()):
            await server.restart()
        await federated.quiet()
        for payer in (OOSTENDE, MECHELEN):
            assert await pay(federated, payer, "a", 3) is RefusalCode.GROUP_FROZEN


async def test_limits_below_the_position_bind_only_what_is_new(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await pay(federated, OOSTENDE, "a", 3)
        await federated.quiet()
        limit = Limit(OOSTENDE, -S + 1, S, even_outside=True)
        await federated.hub.clerk.take(limit)
        await federated.hub.restart()
        await federated.quiet()
        await pay(federated, OOSTENDE, "b", 3)
        assert await sound(federated) == []
        expected = {(State.REFUSED, RefusalCode.PAYER_GROUP_FLOOR)}
        assert await state_of(federated, OOSTENDE, "b") == expected
        rows = await federated.hub.ask(
            "SELECT floor, ceiling, balance FROM account WHERE account_id = 'oostende'"
        )
        assert tuple(rows[0]) == (-S + 1, S, -S)
        # The way back is open, up to the new ceiling and no further.
        await pay(federated, MECHELEN, "c", 2)
        await pay(federated, MECHELEN, "d", 1)
        assert await sound(federated) == []
        assert await state_of(federated, MECHELEN, "c") == {(State.CLEARED, None)}
        expected = {(State.REFUSED, RefusalCode.PAYEE_GROUP_CEILING)}
        assert await state_of(federated, MECHELEN, "d") == expected
