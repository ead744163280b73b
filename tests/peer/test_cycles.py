"""A cycle ends, groups agree or dispute, and the move that differs is named by both."""

import json  # noqa: TID251 - as people read what is stored
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from clearing import rules
from clearing.cycle_watch import CycleWatch as HubWatch
from clearing.house import HubHouse
from clearing.leg_watch import LegWatch
from clearing.rules import (
    CancelLeg,
    CloseCycle,
    ClosedCycle,
    CycleRefused,
    Leg,
    LegState,
    Settle,
)
from clearing.settling import Settling
from nodes.rules import NotAnswered, Ordered, OwnLeg, SignLeg
from nodes.watch.cycle_watch import CycleWatch as NodeWatch
from nodes.watch.leg_watch import LegWatch as OwnLegWatch
from protocol import netting
from protocol.errors import CycleRefusalCode
from tests.peer.federation import Federation, NewDatabase, federation, order
from tests.protocol.makers import MECHELEN, OOSTENDE

S = 180_000


async def pay(all_: Federation, *keys: str) -> None:
    for key in keys:
        outcome = await all_.nodes[OOSTENDE].clerk.take(order(key))
        assert isinstance(outcome, Ordered)
    await all_.quiet()


async def close(all_: Federation, cycle: int) -> object:
    outcome = await all_.hub.clerk.take(CloseCycle(cycle))
    await all_.quiet()
    return outcome


async def look(all_: Federation) -> None:
    """Let every server look, and all that follows from it happen."""
    for _ in range(6):
        for node in all_.nodes.values():
            await NodeWatch(node.clerk, node.database).look()
        await all_.quiet()
        assert isinstance(all_.hub.house, HubHouse)
        await HubWatch(all_.hub.house, all_.hub.clerk, all_.hub.database).look()
        await all_.quiet()


async def states(all_: Federation, cycle: int) -> dict[str, str]:
    """What the hub has of a cycle, by group."""
    rows = await all_.hub.ask(
        "SELECT group_name, state FROM statement WHERE cycle = $1", cycle
    )
    return {row["group_name"]: row["state"] for row in rows}


async def stated(all_: Federation, cycle: int, group: str) -> dict[str, Any]:
    rows = await all_.hub.ask(
        "SELECT line FROM statement WHERE cycle = $1 AND group_name = $2", cycle, group
    )
    return dict(json.loads(rows[0]["line"]))


async def calls(server: Any, about: str = "cycle") -> list[str]:
    rows = await server.ask(f"SELECT told FROM alarm WHERE about = '{about}'")
    return [row["told"] for row in rows]


async def test_groups_agree_by_themselves(new_database: NewDatabase) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one", "two")
        closed = await close(all_, 1)
        assert isinstance(closed, ClosedCycle)
        # Trade goes on, and belongs to the next.
        await pay(all_, "three")
        await look(all_)
        assert await states(all_, 1) == {OOSTENDE: "agreed", MECHELEN: "agreed"}
        paid = await stated(all_, 1, OOSTENDE)
        assert (paid["opening"], paid["debits"], paid["credits"]) == (0, 2 * S, 0)
        assert (paid["count"], paid["closing"]) == (2, -2 * S)
        assert isinstance(await close(all_, 2), ClosedCycle)
        await look(all_)
        assert await states(all_, 2) == {OOSTENDE: "agreed", MECHELEN: "agreed"}
        received = await stated(all_, 2, MECHELEN)
        assert (received["opening"], received["closing"]) == (2 * S, 3 * S)
        assert received["count"] == 1
        assert received["former"] == paid["to"]


async def test_a_cycle_closes_once(new_database: NewDatabase) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one")
        for wrong in (0, 2):
            refused = await close(all_, wrong)
            assert refused == CycleRefused(CycleRefusalCode.CYCLE_NOT_OPEN, wrong)
        assert isinstance(await close(all_, 1), ClosedCycle)
        before = await all_.hub.ask("SELECT count(*) FROM decision")
        again = await close(all_, 1)
        assert again == CycleRefused(CycleRefusalCode.CYCLE_NOT_OPEN, 1)
        assert await all_.hub.ask("SELECT count(*) FROM decision") == before


async def test_tallies_outlive_restarts_of_all(new_database: NewDatabase) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one")
        await all_.hub.restart()
        await all_.quiet()
        await pay(all_, "two")
        assert isinstance(await close(all_, 1), ClosedCycle)
        await pay(all_, "three")
        for server in (all_.hub, *all_.nodes.values()):
            await server.restart()
        await all_.quiet()
        await pay(all_, "four")
        assert isinstance(await close(all_, 2), ClosedCycle)
        await look(all_)
        for cycle in (1, 2):
            assert set((await states(all_, cycle)).values()) == {"agreed"}
            assert (await stated(all_, cycle, OOSTENDE))["count"] == 2


async def test_tallies_are_written_now_and_then_and_can_be_made_anew(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearing.house._UNWRITTEN_MAX", 3)
    monkeypatch.setattr("clearing.cycle_store._RUN", 2)
    async with federation(new_database) as all_:
        await pay(all_, "one")
        assert await all_.hub.ask("SELECT FROM tallied") == []
        await pay(all_, "two", "three")
        [known] = await all_.hub.ask("SELECT sequence FROM tallied")
        assert known["sequence"] >= 2
        await all_.hub.restart()
        await all_.quiet()
        await pay(all_, "four")
        # As a hub of before there were cycles has none of them.
        await all_.hub.stop()
        await all_.hub.change("DELETE FROM tally; DELETE FROM tallied")
        await all_.hub.start()
        await all_.quiet()
        [known] = await all_.hub.ask("SELECT sequence FROM tallied")
        assert known["sequence"] == 4
        assert isinstance(await close(all_, 1), ClosedCycle)
        await look(all_)
        assert set((await states(all_, 1)).values()) == {"agreed"}
        assert (await stated(all_, 1, OOSTENDE))["count"] == 4


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_node_that_never_heard_of_the_former_cycle_agrees_to_the_next(
    new_database: NewDatabase, restarts: bool
) -> None:
    async with federation(new_database) as all_:
        if restarts:
            await all_.hub.restart()
            await all_.quiet()
        await pay(all_, "one")
        await close(all_, 1)
        await pay(all_, "two")
        # As a node that was of an older version when it ended.
        node = all_.nodes[OOSTENDE]
        await node.stop()
        await node.change(
            "ALTER TABLE cycle DISABLE TRIGGER USER; DELETE FROM cycle;"
            "ALTER TABLE cycle ENABLE TRIGGER USER"
        )
        await node.start()
        await all_.quiet()
        await close(all_, 2)
        await look(all_)
        assert set((await states(all_, 2)).values()) == {"agreed"}
        assert (await stated(all_, 2, OOSTENDE))["opening"] == -S


async def spoil(server: Any, sql: str, table: str = "posting") -> None:
    """Alter a ledger as nobody may."""
    await server.change(
        f"ALTER TABLE {table} DISABLE TRIGGER USER;"
        f"{sql}; ALTER TABLE {table} ENABLE TRIGGER USER"
    )


async def test_an_altered_ledger_is_named_by_both(new_database: NewDatabase) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one", "two", "three")
        node = all_.nodes[OOSTENDE]
        rows = await node.ask(
            "SELECT entry_id, sequence FROM entry JOIN posting USING (sequence)"
            " WHERE account_id = 'clearing' ORDER BY sequence"
        )
        second = rows[1]
        one = f"account_id = 'clearing' AND sequence = {second['sequence']}"
        await spoil(node, f"UPDATE posting SET amount = {S + 1} WHERE {one}")
        await close(all_, 1)
        await look(all_)
        assert await states(all_, 1) == {OOSTENDE: "disputed", MECHELEN: "agreed"}
        for server in (all_.hub, node):
            told = (await calls(server))[-1]
            assert "move 2 is the first that differs" in told
            assert str(second["entry_id"]) in told
            assert f"the hub has -{S} ms" in told
            assert f"the group's node has -{S + 1} ms" in told
        # Nothing more happens by itself, and nobody is called twice.
        before = [len(await calls(server)) for server in (all_.hub, node)]
        await look(all_)
        assert [len(await calls(server)) for server in (all_.hub, node)] == before
        # People mend it, and let the node look again.
        await spoil(node, f"UPDATE posting SET amount = {S} WHERE {one}")
        watch = NodeWatch(node.clerk, node.database)
        await watch.check(1, "@treasurer", "the disk was repaired")
        await all_.quiet()
        assert await states(all_, 1) == {OOSTENDE: "agreed", MECHELEN: "agreed"}
        acts = await node.ask("SELECT author, deed, about, reason FROM act")
        assert tuple(acts[-1]) == (
            *("@treasurer", "cycle-checked", "1", "the disk was repaired"),
        )


async def test_a_posting_that_nothing_explains_is_named(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one")
        node = all_.nodes[OOSTENDE]
        await node.change(
            "INSERT INTO entry (sequence, entry_id, at, kind) VALUES"
            " (1000, '00000000-0000-8000-8000-000000001000', now(), 'by-hand');"
            "INSERT INTO posting VALUES ('clearing', 1000, 5, 180005),"
            " ('settlement', 1000, -5, -5)"
        )
        await node.restart()
        await all_.quiet()
        await close(all_, 1)
        await look(all_)
        assert (await states(all_, 1))[OOSTENDE] == "disputed"
        for server in (all_.hub, node):
            told = (await calls(server))[-1]
            assert "move 2 is the first that differs; the hub has none" in told
            assert "-5 ms" in told and "no decision" in told


async def test_a_hub_whose_position_was_altered_closes_nothing(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one")
        await all_.hub.change(
            "UPDATE account SET balance = balance + 1 WHERE account_id = 'mechelen'"
        )
        refused = await close(all_, 1)
        code = CycleRefusalCode.LEDGER_DIFFERS
        assert refused == CycleRefused(code, 1, MECHELEN)
        rows = await all_.hub.ask("SELECT told FROM alarm WHERE about = 'ledger'")
        assert "mechelen" in rows[-1]["told"]
        assert not await all_.hub.ask("SELECT FROM cycle")


async def settle(all_: Federation, cycle: int, *excepted: str) -> list[Leg]:
    beside = Settling(all_.hub.clerk, all_.hub.database)
    legs = await beside.settle(cycle, excepted)
    assert isinstance(legs, list), legs
    await all_.quiet()
    return legs


async def sign(server: Any, leg: Leg, word: Any) -> object:
    return await server.clerk.take(
        SignLeg(leg_id=leg.leg_id, word=word, author="@treasurer", reason="by bank")
    )


async def ended(all_: Federation, leg: Leg) -> tuple[str, str | None]:
    rows = await all_.hub.ask(
        "SELECT state, code FROM leg WHERE leg_id = $1", leg.leg_id
    )
    return rows[0]["state"], rows[0]["code"]


@asynccontextmanager
async def settling(new_database: NewDatabase) -> AsyncIterator[tuple[Federation, Leg]]:
    """Oostende owes two blussers after cycle 1, and its one leg is made."""
    async with federation(new_database) as all_:
        await pay(all_, "one", "two")
        await close(all_, 1)
        await look(all_)
        [leg] = await settle(all_, 1)
        assert (leg.debtor, leg.creditor) == (OOSTENDE, MECHELEN)
        assert leg.milliseconds == 2 * S
        yield all_, leg


async def test_a_leg_moves_both_ledgers_when_both_have_signed(
    new_database: NewDatabase,
) -> None:
    async with settling(new_database) as (all_, leg):
        debtor, creditor = all_.nodes[OOSTENDE], all_.nodes[MECHELEN]
        before = await all_.hub.balances()
        for server, other, word in (
            (debtor, creditor, "paid"),
            (creditor, debtor, "received"),
        ):
            assert await all_.hub.balances() == before
            wrong = "received" if word == "paid" else "paid"
            code = CycleRefusalCode
            assert await sign(server, leg, wrong) == NotAnswered(code.LEG_NOT_YOURS)
            assert isinstance(await sign(server, leg, word), OwnLeg)
            # Booked by the decision alone, never by the word.
            assert "settlement" not in await server.balances()
            assert await sign(server, leg, word) == NotAnswered(code.LEG_SIGNED)
            # Whoever has not compared since is not decided about yet.
            await other.restart()
            await look(all_)
        assert await ended(all_, leg) == ("settled", None)
        assert await all_.hub.balances() == {}
        assert (await debtor.balances())["settlement"] == 2 * S
        assert (await creditor.balances())["settlement"] == -2 * S
        assert await all_.unsound() == []
        assert await sign(debtor, leg, "paid") == NotAnswered(
            CycleRefusalCode.LEG_ENDED
        )
        mirrors = await all_.hub.ask("SELECT group_name, differs FROM mirror")
        assert {row["differs"] for row in mirrors} == {False}
        # The leg is a move of the next cycle, and both yield the same for it.
        await pay(all_, "three")
        await all_.hub.restart()
        await all_.quiet()
        assert isinstance(await close(all_, 2), ClosedCycle)
        await look(all_)
        assert set((await states(all_, 2)).values()) == {"agreed"}
        figures = await stated(all_, 2, OOSTENDE)
        assert (figures["credits"], figures["debits"]) == (2 * S, S)


async def test_a_leg_that_lacks_a_word_is_void_when_the_next_cycle_ends(
    new_database: NewDatabase,
) -> None:
    async with settling(new_database) as (all_, leg):
        await sign(all_.nodes[OOSTENDE], leg, "paid")
        await all_.quiet()
        before = await all_.hub.balances()
        assert isinstance(await close(all_, 2), ClosedCycle)
        assert await ended(all_, leg) == ("void", "cycle-closed")
        assert await all_.hub.balances() == before
        refused = await sign(all_.nodes[MECHELEN], leg, "received")
        assert refused == NotAnswered(CycleRefusalCode.LEG_ENDED)
        # What is still owed can be settled with the next.
        [again] = await settle(all_, 2)
        assert again.milliseconds == leg.milliseconds and again.leg_id != leg.leg_id


async def test_a_dispute_ends_the_leg_of_who_has_not_signed(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one")
        node = all_.nodes[OOSTENDE]
        await close(all_, 1)
        [leg] = await settle(all_, 1)
        one = "account_id = 'clearing'"
        await spoil(node, f"UPDATE posting SET amount = {S + 1} WHERE {one}")
        await look(all_)
        assert (await states(all_, 1))[OOSTENDE] == "disputed"
        assert await ended(all_, leg) == ("void", "cancelled")
        assert await sign(node, leg, "paid") == NotAnswered(CycleRefusalCode.LEG_ENDED)


async def test_a_leg_is_cancelled_before_the_second_word_only(
    new_database: NewDatabase,
) -> None:
    async with settling(new_database) as (all_, leg):
        await sign(all_.nodes[MECHELEN], leg, "received")
        await all_.quiet()
        assert await all_.hub.clerk.take(Settle(1)) == CycleRefused(
            CycleRefusalCode.LEGS_OPEN, 1
        )
        cancelled = await all_.hub.clerk.take(CancelLeg(leg.leg_id))
        assert isinstance(cancelled, Leg) and cancelled.state is LegState.VOID
        # The word that crossed it on the way has no effect.
        await sign(all_.nodes[OOSTENDE], leg, "paid")
        await all_.quiet()
        assert await ended(all_, leg) == ("void", "cancelled")
        [again] = await settle(all_, 1)
        assert again.place == 1
        for group, word in ((OOSTENDE, "paid"), (MECHELEN, "received")):
            await sign(all_.nodes[group], again, word)
        await all_.quiet()
        refused = await all_.hub.clerk.take(CancelLeg(again.leg_id))
        assert refused == CycleRefused(CycleRefusalCode.LEG_ENDED, 1)
        unknown = CancelLeg("00000000-0000-8000-8000-000000000000")
        assert await all_.hub.clerk.take(unknown) == CycleRefused(
            CycleRefusalCode.NO_SUCH_LEG, 0
        )
        assert await all_.hub.balances() == {}
        assert await all_.unsound() == []
        assert await all_.hub.clerk.take(Settle(1)) == CycleRefused(
            CycleRefusalCode.NOTHING_TO_SETTLE, 1
        )


async def test_people_are_called_once_about_a_leg_that_is_late(
    new_database: NewDatabase,
) -> None:
    async with settling(new_database) as (all_, leg):
        servers = all_.hub, *all_.nodes.values()

        async def called() -> list[int]:
            hub, watches = all_.hub, []
            house = cast("HubHouse", hub.house)
            watches += [LegWatch(house, hub.clerk, hub.database, hub.clock)]
            watches += [
                OwnLegWatch(node.clerk, node.database, node.clock)
                for node in all_.nodes.values()
            ]
            for watch in watches * 2:
                await watch.look()
            return [len(await calls(server, "leg")) for server in servers]

        assert await called() == [0, 0, 0]
        for server in servers:
            early = "UPDATE leg SET at = at - interval '14 days'"
            await spoil(server, early, "leg")
        await all_.hub.restart()
        await all_.quiet()
        assert await called() == [1, 1, 1]
        for server in servers:
            await server.restart()
        await all_.quiet()
        assert await called() == [1, 1, 1]
        [told] = await calls(all_.hub, "leg")
        assert leg.leg_id in told and "oostende and mechelen" in told


class LateSettling(Settling):
    """Its first plan is not one for the positions as they are by then."""

    planned_in: list[bool]

    async def _plan(
        self, cycle: int, excepted: Sequence[str]
    ) -> tuple[netting.Leg, ...]:
        found = await super()._plan(cycle, excepted)
        self.planned_in.append(bool(found))
        return found if len(self.planned_in) > 1 else ()


async def test_a_plan_that_is_outdated_is_made_anew_beside_the_clerk(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one")
        beside = LateSettling(all_.hub.clerk, all_.hub.database)
        beside.planned_in = []
        code = CycleRefusalCode
        for cycle in (1, 2):
            refused = CycleRefused(code.NO_SUCH_CYCLE, cycle)
            assert await beside.settle(cycle) == refused
        await close(all_, 1)
        beside.planned_in = []
        threads, search = [], rules.Aim.plan

        def noted(aim: rules.Aim) -> tuple[netting.Leg, ...]:
            threads.append(threading.current_thread())
            return search(aim)

        monkeypatch.setattr(rules.Aim, "plan", noted)
        wrong = CycleRefused(code.EXCEPTION_WRONG, 1, "nobody")
        assert await beside.settle(1, ["nobody"]) == wrong
        beside.planned_in = []
        [leg] = cast("list[Leg]", await beside.settle(1))
        assert (leg.milliseconds, beside.planned_in) == (S, [True, True])
        assert threading.main_thread() not in threads
        assert await beside.settle(1) == CycleRefused(code.LEGS_OPEN, 1)


async def test_a_group_that_disputes_is_left_out_by_name_and_stays(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as all_:
        await pay(all_, "one")
        node = all_.nodes[OOSTENDE]
        one = "account_id = 'clearing'"
        await spoil(node, f"UPDATE posting SET amount = {S + 1} WHERE {one}")
        await close(all_, 1)
        await look(all_)
        beside = Settling(all_.hub.clerk, all_.hub.database)
        code = CycleRefusalCode
        disputed = CycleRefused(code.CYCLE_DISPUTED, 1, OOSTENDE)
        assert await beside.settle(1) == disputed
        assert await beside.settle(1, [MECHELEN]) == disputed
        # There are only two groups, so nobody is left to settle with.
        assert await beside.settle(1, [OOSTENDE]) == CycleRefused(
            code.NOTHING_TO_SETTLE, 1
        )
        assert not await all_.hub.ask("SELECT FROM settlement")


async def test_a_row_altered_while_a_leg_waits_settles_nothing(
    new_database: NewDatabase,
) -> None:
    async with settling(new_database) as (all_, leg):
        await sign(all_.nodes[OOSTENDE], leg, "paid")
        await all_.quiet()
        [word] = await all_.hub.ask("SELECT said, party, item FROM word")
        assert (word["said"], word["party"]) == ("paid", OOSTENDE)
        # As if the debtor had said so of another item of its stream.
        await spoil(all_.hub, "UPDATE word SET item = item - 1", "word")
        before = await all_.hub.balances()
        await sign(all_.nodes[MECHELEN], leg, "received")
        await look(all_)
        assert await ended(all_, leg) == ("open", None)
        assert await all_.hub.balances() == before
        told = await all_.hub.ask("SELECT told FROM alarm WHERE about = 'ledger'")
        assert [leg.leg_id in one["told"] for one in told] == [True]
        # Once people have put it right, it is settled by what both have signed.
        await spoil(
            all_.hub, "UPDATE word SET item = item + 1 WHERE said = 'paid'", "word"
        )
        await look(all_)
        assert await ended(all_, leg) == ("settled", None)
        assert await all_.hub.balances() == {}
