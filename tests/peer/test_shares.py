"""What a group leaves behind is shared: real clerks, and both sides compare equal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from clearing.api.settlement import SettlementApi
from clearing.house import HubHouse
from clearing.rules import (
    Agreed,
    BeginLeaving,
    CloseCycle,
    ClosedCycle,
    CycleRefused,
    DeclareLeft,
    Freeze,
    NotShared,
    Release,
    Settle,
    Shared,
    ShareDebt,
    TellShares,
)
from clearing.settling import Settling
from protocol.address import HUB, Group
from protocol.directory import GroupRecord
from protocol.errors import CycleRefusalCode, SharingRefusalCode
from protocol.messages import SharedDecision, read_item
from protocol.peer.batch import House
from protocol.sharing import ChargeRule, SharingRule
from tests.peer.audited import audited
from tests.peer.federation import (
    Federation,
    NewDatabase,
    admit,
    federation,
    identity,
    keys_of,
    start_node,
)
from tests.peer.test_cycles import calls, close, look, pay, stated, states
from tests.protocol.makers import MECHELEN, OOSTENDE

S = 180_000
GENT = Group("gent")


def sharing_hub() -> House:
    return HubHouse(keys_of("hub"), identity(), Agreed(SharingRule.EQUAL))


@asynccontextmanager
async def owing(new_database: NewDatabase) -> AsyncIterator[Federation]:
    """Oostende owes three blussers and is gone; Mechelen and Gent stay."""
    async with federation(new_database, make_hub=sharing_hub) as all_:
        await admit(all_.hub, GENT)
        all_.nodes[GENT] = await start_node(new_database, GENT, [])
        try:
            await all_.quiet()
            await pay(all_, "one", "two", "three")
            await all_.hub.clerk.take(Freeze(OOSTENDE))
            await all_.quiet()
            yield all_
        finally:
            await all_.nodes[GENT].stop()


async def tell(all_: Federation) -> Shared:
    told = await all_.hub.clerk.take(TellShares(OOSTENDE, SharingRule.EQUAL))
    assert isinstance(told, Shared), told
    return told


async def decide(all_: Federation, told: Shared) -> object:
    return await all_.hub.clerk.take(ShareDebt(OOSTENDE, told.shared_id))


async def foreseen(
    all_: Federation, cycle: int, *excepted: str
) -> tuple[str | None, str, int]:
    """Say why a cycle would not be settled, because of whom, else by how many legs."""
    api = SettlementApi(cast("HubHouse", all_.hub.house), all_.hub.database)
    found = await api.settlement(cycle, excepted)
    return found.code, found.group, len(found.plan)


async def shared_at(server: Any) -> list[Any]:
    return list(
        await server.ask("SELECT group_name, amount, log IS NOT NULL FROM shared")
    )


async def test_a_debt_is_told_decided_booked_and_agreed_to(
    new_database: NewDatabase,
) -> None:
    async with owing(new_database) as all_:
        balances = await all_.hub.balances()
        told = await tell(all_)
        await all_.quiet()
        parts = {OOSTENDE: 3 * S, MECHELEN: -3 * S // 2, GENT: -3 * S // 2}
        for group, node in all_.nodes.items():
            # Every treasurer sees it before anything moves.
            assert [tuple(row) for row in await shared_at(node)] == [
                (OOSTENDE, parts[group], False)
            ]
        assert await all_.hub.balances() == balances
        assert isinstance(await decide(all_, told), Shared)
        await all_.quiet()
        assert await all_.hub.balances() == {
            MECHELEN: 3 * S - 3 * S // 2,
            GENT: -3 * S // 2,
        }
        for group, node in all_.nodes.items():
            assert (await node.balances())["shared"] == parts[group]
        assert await all_.unsound() == []
        mirrors = await all_.hub.ask("SELECT differs FROM mirror")
        assert {row["differs"] for row in mirrors} == {False}
        # It is decided once, whatever is asked, also of a hub that began anew.
        before = await all_.hub.ask("SELECT count(*) FROM decision")
        for code, wanted in (
            (SharingRefusalCode.PLAN_ENDED, ShareDebt(OOSTENDE, told.shared_id)),
            (SharingRefusalCode.NOTHING_LEFT, TellShares(OOSTENDE, SharingRule.EQUAL)),
            (
                SharingRefusalCode.RULE_NOT_AGREED,
                TellShares(OOSTENDE, SharingRule.SIZE),
            ),
        ):
            assert await all_.hub.clerk.take(wanted) == NotShared(code, OOSTENDE)
        assert await all_.hub.ask("SELECT count(*) FROM decision") == before
        # It is a move of the cycle like any other, also after restarts.
        await all_.hub.clerk.take(Release(OOSTENDE))
        await all_.quiet()
        await pay(all_, "four")
        for server in (all_.hub, *all_.nodes.values()):
            await server.restart()
        await all_.quiet()
        assert isinstance(await close(all_, 1), ClosedCycle)
        await look(all_)
        assert set((await states(all_, 1)).values()) == {"agreed"}
        figures = await stated(all_, 1, OOSTENDE)
        assert (figures["credits"], figures["debits"]) == (3 * S, 4 * S)
        assert figures["count"] == 5
        assert await calls(all_.hub) == []


#: Of before that name was the node's own.
MEMBER_NAMED_SHARED = """
INSERT INTO account SELECT (jsonb_populate_record(
    bob, '{"account_id": "shared", "balance": 0}')).* FROM account AS bob
 WHERE account_id = 'bob';
INSERT INTO member SELECT (jsonb_populate_record(
    bob, '{"account_id": "shared"}')).* FROM member AS bob WHERE account_id = 'bob';
INSERT INTO member_limit (account_id, at, name, floor, ceiling, frozen, closed)
SELECT account_id, since, name, floor, ceiling, frozen, closed
  FROM member JOIN account USING (account_id) WHERE account_id = 'shared';
"""


async def test_a_group_leaves_with_a_debt_and_the_others_bear_it(
    new_database: NewDatabase,
) -> None:
    async with owing(new_database) as all_:
        hub = all_.hub.clerk
        await all_.nodes[MECHELEN].change(MEMBER_NAMED_SHARED)
        await hub.take(Release(OOSTENDE))
        await all_.quiet()
        begun = await hub.take(BeginLeaving(OOSTENDE))
        assert isinstance(begun, GroupRecord) and begun.state == "leaving"
        await all_.quiet()
        early = await hub.take(TellShares(OOSTENDE, SharingRule.EQUAL))
        assert early == NotShared(SharingRefusalCode.GROUP_NOT_GONE, OOSTENDE)
        left = await hub.take(DeclareLeft(OOSTENDE, -3 * S))
        assert isinstance(left, GroupRecord) and left.state == "left"
        await all_.quiet()
        assert await all_.hub.balances() == {OOSTENDE: -3 * S, MECHELEN: 3 * S}
        assert isinstance(await close(all_, 1), ClosedCycle)
        # A plan would give it a leg that is void at once: the page says so beforehand.
        refused = CycleRefused(CycleRefusalCode.PARTY_LEFT, 1, OOSTENDE)
        assert await foreseen(all_, 1) == (refused.code, refused.group, 0)
        assert await hub.take(Settle(1)) == refused
        told = await tell(all_)
        await all_.quiet()
        assert isinstance(await decide(all_, told), Shared)
        await all_.quiet()
        # What it owed when the cycle ended, others owe now.
        refused = CycleRefused(CycleRefusalCode.DEBT_SHARED, 1, OOSTENDE)
        assert await foreseen(all_, 1) == (refused.code, refused.group, 0)
        assert await foreseen(all_, 1, OOSTENDE) == (refused.code, refused.group, 0)
        assert await Settling(hub, all_.hub.database).settle(1) == refused
        for server in (all_.hub, *all_.nodes.values()):
            await server.restart()
        await all_.quiet()
        # No reserve took part, and the group that left is even, on both sides.
        assert await all_.hub.balances() == {
            MECHELEN: 3 * S - 3 * S // 2,
            GENT: -3 * S // 2,
        }
        assert (await all_.nodes[OOSTENDE].balances())["shared"] == 3 * S
        balances = await all_.nodes[MECHELEN].balances()
        assert "shared" not in balances
        assert balances[".shared"] == -3 * S // 2
        assert await all_.unsound() == []
        mirrors = await all_.hub.ask("SELECT differs FROM mirror")
        assert {row["differs"] for row in mirrors} == {False}
        assert isinstance(await close(all_, 2), ClosedCycle)
        await look(all_)
        assert set((await states(all_, 2)).values()) == {"agreed"}
        assert await foreseen(all_, 2) == (None, "", 1)
        for name, server in ((HUB, all_.hub), *all_.nodes.items()):
            assert (await audited(name, server.url)).findings == []


async def test_a_node_that_is_away_books_it_later_and_an_altered_part_is_named(
    new_database: NewDatabase,
) -> None:
    async with owing(new_database) as all_:
        told = await tell(all_)
        await all_.hub.restart()
        refused = NotShared(SharingRefusalCode.SHARING_WAITS, GENT)
        assert await decide(all_, told) == refused
        await all_.quiet()
        away = all_.nodes.pop(GENT)
        try:
            assert isinstance(await decide(all_, told), Shared)
            await all_.quiet()
            assert [row[2] for row in await shared_at(away)] == [False]
            # A cycle that ends meanwhile has it in its statement all the same.
            node = all_.nodes[MECHELEN]
            await node.change(
                "ALTER TABLE posting DISABLE TRIGGER USER;"
                "UPDATE posting SET amount = amount + 1 WHERE account_id = 'clearing'"
                " AND sequence = (SELECT sequence FROM entry WHERE kind = 'shared')"
            )
            assert isinstance(await all_.hub.clerk.take(CloseCycle(1)), ClosedCycle)
            await away.restart()
        finally:
            all_.nodes[GENT] = away
        await all_.quiet()
        await look(all_)
        assert [tuple(row) for row in await shared_at(away)] == [
            (OOSTENDE, -3 * S // 2, True)
        ]
        assert await states(all_, 1) == {
            OOSTENDE: "agreed",
            GENT: "agreed",
            MECHELEN: "disputed",
        }
        for server in (all_.hub, node):
            named = (await calls(server))[-1]
            assert "move 4 is the first that differs" in named
            assert told.shared_id in named


def charging_hub() -> House:
    charge = ChargeRule(rate=500_000, threshold=0)
    return HubHouse(keys_of("hub"), identity(), Agreed(None, charge))


async def test_a_charge_is_booked_by_all_and_agreed_to(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database, make_hub=charging_hub) as all_:
        await pay(all_, "one")
        await close(all_, 1)
        assert await all_.hub.ask("SELECT FROM shared") == []
        await pay(all_, "two")
        running = open_cycle(all_.hub)
        # Averages outlive a start, also of a hub that had none of them before.
        for lost in ("SELECT 1", "UPDATE tally SET area = 0, since = NULL"):
            await all_.hub.stop()
            await all_.hub.change(lost)
            await all_.hub.start()
            await all_.quiet()
            assert open_cycle(all_.hub) == running
        assert isinstance(await close(all_, 2), ClosedCycle)
        [row] = await all_.hub.ask(
            "SELECT decision.line FROM decision JOIN shared USING (log, number)"
        )
        decision = read_item(row["line"])
        assert isinstance(decision, SharedDecision)
        paid = {one.group: -one.amount for one in decision.shares}
        # Both stood equally far from zero, between one payment and two.
        assert 0 <= paid[MECHELEN] - paid[OOSTENDE] <= 1
        assert S / 2 <= paid[OOSTENDE] <= S
        balances = await all_.hub.balances()
        assert balances["reserve"] == decision.reserve == sum(paid.values())
        for group, node in all_.nodes.items():
            assert (await node.balances())["shared"] == -paid[group]
        assert await all_.unsound() == []
        assert isinstance(await close(all_, 3), ClosedCycle)
        await look(all_)
        for cycle in (2, 3):
            assert set((await states(all_, cycle)).values()) == {"agreed"}
        assert (await stated(all_, 3, OOSTENDE))["debits"] == paid[OOSTENDE]
        assert await calls(all_.hub) == []


def open_cycle(hub: Any) -> dict[str, tuple[int, int | None]]:
    """How the hub sums up positions over time."""
    house = hub.house
    assert isinstance(house, HubHouse)
    return {name: (one.area, one.since) for name, one in house._running.items()}
