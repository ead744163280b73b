"""How a member's search is answered, and how often she may ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from nodes.api.payees import PayeeApi, Privacy
from nodes.payees import PER_MINUTE_MAX, Payees
from protocol.address import AccountName, Group
from protocol.errors import RestoredError
from protocol.instant import Instant
from protocol.peer.access_store import Caller
from protocol.peer.clock import Clock
from protocol.peer.web.problems import Problem
from protocol.restored import Restored
from tests.peer.asking import Asking, asking
from tests.peer.federation import NewDatabase
from tests.peer.makers import in_state
from tests.protocol.makers import MECHELEN, OOSTENDE

MARIE = Caller("person marie", "marie", frozenset({"read"}))
JAN = Caller("person jan", "jan", frozenset({"read"}))
BOB = AccountName("bob")


class HandClock(Clock):
    """A clock that stands still until a test moves it."""

    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


@dataclass
class Courier:
    """Says of the hub what the test wants."""

    reachable: bool = True

    def is_reachable(self) -> bool:
        return self.reachable


@dataclass
class Oostende:
    """Oostende's search for payees, its clock and its courier."""

    made: Asking
    clock: HandClock
    courier: Courier
    payees: Payees

    def let_mechelen_be(self, state: str) -> None:
        house: Any = self.made.federated.nodes[OOSTENDE].house
        house.directory = in_state(house.directory, MECHELEN, state)


@asynccontextmanager
async def oostende(new_database: NewDatabase) -> AsyncIterator[Oostende]:
    async with asking(new_database) as made:
        node, clock, courier = made.federated.nodes[OOSTENDE], HandClock(), Courier()
        house: Any = node.house
        away: Any = courier
        yield Oostende(
            made,
            clock,
            courier,
            Payees(house, node.clerk, away, made.nodes[OOSTENDE], node.database, clock),
        )


async def refused(found: Any) -> Problem:
    with pytest.raises(Problem) as raised:
        await found
    return raised.value


async def test_thirty_searches_a_minute_and_no_more(new_database: NewDatabase) -> None:
    async with oostende(new_database) as ours:
        for _ in range(PER_MINUTE_MAX):
            assert await ours.payees.find_account(MARIE, BOB, MECHELEN)
        for search in (
            ours.payees.find_account(MARIE, BOB, MECHELEN),
            ours.payees.find_account(MARIE, AccountName("marie"), OOSTENDE),
            ours.payees.find_name(MARIE, "bob", MECHELEN),
            ours.payees.find_account(MARIE, BOB, Group("atlantis")),
        ):
            problem = await refused(search)
            assert (problem.status, problem.code) == (429, "too-many-inquiries")
            assert problem.headers == {"Retry-After": "61"}
        # Her neighbour has a pace of his own, and hers is over in a minute.
        assert await ours.payees.find_account(JAN, BOB, MECHELEN)
        ours.clock.now_s += 60.1
        assert await ours.payees.find_account(MARIE, BOB, MECHELEN)


async def test_what_the_group_has_asked_in_a_minute_is_told_as_too_many(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.inquiries.PER_MINUTE_MAX", 2)
    async with oostende(new_database) as ours:
        for caller in (MARIE, JAN):
            assert await ours.payees.find_account(caller, BOB, MECHELEN)
        problem = await refused(ours.payees.find_account(JAN, BOB, MECHELEN))
        assert (problem.status, problem.code) == (429, "too-many-inquiries")
        assert 0 < int(problem.headers["Retry-After"]) <= 61
        # The own group is asked without the hub.
        assert await ours.payees.find_account(JAN, AccountName("marie"), OOSTENDE)


async def test_a_hub_out_of_reach_is_told_at_once(new_database: NewDatabase) -> None:
    async with oostende(new_database) as ours:
        ours.courier.reachable = False
        problem = await refused(ours.payees.find_account(MARIE, BOB, MECHELEN))
        assert (problem.status, problem.code) == (503, "payee-unreachable")
        assert problem.headers == {"Retry-After": "5"}
        # The own group needs no hub.
        found = await ours.payees.find_account(MARIE, AccountName("marie"), OOSTENDE)
        assert (found.address, found.name) == ("marie@oostende", "Marie")


@pytest.mark.parametrize("state", ["frozen", "left"])
async def test_nobody_waits_for_a_group_that_cannot_be_paid(
    new_database: NewDatabase, state: str
) -> None:
    async with oostende(new_database) as ours:
        ours.let_mechelen_be(state)
        problem = await refused(ours.payees.find_account(MARIE, BOB, MECHELEN))
        assert (problem.status, problem.code) == (404, f"group-{state}")
        ours.let_mechelen_be("leaving")
        assert await ours.payees.find_account(MARIE, BOB, MECHELEN)


async def test_nobody_found_by_name_is_an_empty_list(new_database: NewDatabase) -> None:
    async with oostende(new_database) as ours:
        for group in (MECHELEN, OOSTENDE):
            assert await ours.payees.find_name(MARIE, "bob", group) == []
        await ours.made.set_found_by(MECHELEN, "bob", "name")
        [found] = await ours.payees.find_name(MARIE, "BOB", MECHELEN)
        assert (found.address, found.group_name) == ("bob@mechelen", "LETS Mechelen")
        assert found.unit.name == "ketje"


async def test_a_closed_account_of_the_own_group_is_found_by_nobody(
    new_database: NewDatabase,
) -> None:
    async with oostende(new_database) as ours:
        await ours.made.set_found_by(OOSTENDE, "marie", "name")
        [found] = await ours.payees.find_name(JAN, "mari", OOSTENDE)
        assert found.account == "marie"
        await ours.made.federated.nodes[OOSTENDE].change(
            "UPDATE account SET closed = true WHERE account_id = 'marie'"
        )
        assert await ours.payees.find_name(JAN, "mari", OOSTENDE) == []
        problem = await refused(
            ours.payees.find_account(JAN, AccountName("marie"), OOSTENDE)
        )
        assert (problem.status, problem.code) == (404, "unknown-account")


async def test_a_restored_server_keeps_by_what_members_are_found(
    new_database: NewDatabase,
) -> None:
    async with oostende(new_database) as ours:
        node = ours.made.federated.nodes[OOSTENDE]
        api = PayeeApi(ours.payees, node.database)
        before = await api.privacy(MARIE)
        changed = Privacy("nothing" if before.found_by != "nothing" else "name")
        node.clerk.restored = Restored(at=Instant(1), backup_at=Instant(0))
        with pytest.raises(RestoredError):
            await api.keep_privacy(MARIE, changed)
        assert await api.privacy(MARIE) == before
        node.clerk.restored = None
        await api.keep_privacy(MARIE, changed)
        assert await api.privacy(MARIE) == changed
