"""A group leaves a real federation: wish, run-off, and what is left behind."""

from collections.abc import Awaitable, Callable

import pytest

from clearing.rules import DeclareLeft, Freeze, NotDecided, Stay
from nodes.house import NodeHouse
from nodes.rules import LeavingWish, Ordered, WishState, WishToLeave
from protocol.address import HUB, Group
from protocol.directory import GroupRecord
from protocol.errors import DirectoryRefusalCode, RefusalCode
from protocol.transfer import State
from tests.peer.audited import audited
from tests.peer.federation import Federation, federation
from tests.peer.test_directory_changes import pay, sound, state_of
from tests.protocol.makers import MECHELEN, OOSTENDE

NewDatabase = Callable[[], Awaitable[str]]
#: Three ketjes are one blusser, and both are this many milliseconds.
S = 180_000
WISH = WishToLeave(author="@treasurer", reason="our meeting of June")


def house(federated: Federation, group: Group) -> NodeHouse:
    found = federated.nodes[group].house
    assert isinstance(found, NodeHouse)
    return found


async def debtor(federated: Federation) -> None:
    """Oostende has been helped for one blusser, and wishes to leave."""
    await pay(federated, OOSTENDE, "help", 3)
    await federated.quiet()
    wish = await federated.nodes[OOSTENDE].clerk.take(WISH)
    assert isinstance(wish, LeavingWish)
    await federated.quiet()
    for group in (OOSTENDE, MECHELEN):
        assert house(federated, group).directory[OOSTENDE].state == "leaving"
    answered = house(federated, OOSTENDE).leaving_wish
    assert answered is not None
    assert (answered.number, answered.state) == (wish.number, WishState.BEGUN)


async def refused_by_hub(
    federated: Federation, payer: Group, key: str, amount: int
) -> RefusalCode | None:
    """Have a payment decided; gives why it was refused, if it was."""
    assert isinstance(await pay(federated, payer, key, amount), Ordered)
    assert await sound(federated) == []
    [(state, code)] = set(await state_of(federated, payer, key))  # type: ignore[misc]
    assert (state is State.CLEARED) == (code is None)
    return code and RefusalCode(code)


async def findings(federated: Federation) -> list[str]:
    """What the hub's own audit and a node's find."""
    found = []
    for name, server in ((HUB, federated.hub), *federated.nodes.items()):
        answer = await audited(name, server.url)
        found += [f"{name}: {one}" for one in answer.findings]
    return found


async def test_a_debtor_runs_off_to_zero_and_has_left(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await debtor(federated)
        # Its own node says it at once; that the others pay too much, the hub.
        refused = await pay(federated, OOSTENDE, "more help", 3)
        assert refused is RefusalCode.PAYER_GROUP_LEAVING
        code = await refused_by_hub(federated, MECHELEN, "too much", 2)
        assert code is RefusalCode.PAYEE_GROUP_LEAVING
        assert await refused_by_hub(federated, MECHELEN, "even", 1) is None
        assert await federated.hub.balances() == {}
        code = await refused_by_hub(federated, MECHELEN, "past zero", 1)
        assert code is RefusalCode.PAYEE_GROUP_LEAVING
        refused = await pay(federated, OOSTENDE, "at zero", 3)
        assert refused is RefusalCode.PAYER_GROUP_LEAVING

        left = await federated.hub.clerk.take(DeclareLeft(OOSTENDE, 0))
        assert isinstance(left, GroupRecord) and left.state == "left"
        await federated.quiet()
        for server in (federated.hub, *federated.nodes.values()):
            await server.restart()
        await federated.quiet()
        for payer in (OOSTENDE, MECHELEN):
            refused = await pay(federated, payer, "afterwards", 3)
            assert refused is RefusalCode.GROUP_LEFT
        assert await sound(federated) == []
        assert await findings(federated) == []


@pytest.mark.slow
async def test_a_creditor_only_pays_and_may_stay_after_all(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await pay(federated, MECHELEN, "helped", 1)
        await federated.quiet()
        await federated.nodes[OOSTENDE].clerk.take(WISH)
        await federated.quiet()
        code = await refused_by_hub(federated, MECHELEN, "more", 1)
        assert code is RefusalCode.PAYEE_GROUP_LEAVING
        code = await refused_by_hub(federated, OOSTENDE, "too much", 4)
        assert code is RefusalCode.PAYER_GROUP_LEAVING
        await federated.hub.clerk.take(Stay(OOSTENDE))
        await federated.quiet()
        assert await refused_by_hub(federated, OOSTENDE, "as before", 4) is None
        assert await findings(federated) == []


async def test_what_was_sealed_before_a_group_left_is_refused_and_given_back(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await debtor(federated)
        await refused_by_hub(federated, MECHELEN, "even", 1)
        # Ordered, and not yet heard of by the hub.
        await pay(federated, MECHELEN, "on its way", 1)
        left = await federated.hub.clerk.take(DeclareLeft(OOSTENDE, 0))
        assert isinstance(left, GroupRecord)
        assert await sound(federated) == []
        expected = {(State.REFUSED, RefusalCode.GROUP_LEFT)}
        assert await state_of(federated, MECHELEN, "on its way") == expected


async def test_a_group_may_leave_a_debt_behind_that_somebody_has_seen(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await debtor(federated)
        refused = await federated.hub.clerk.take(DeclareLeft(OOSTENDE, 0))
        code = DirectoryRefusalCode.POSITION_NOT_ZERO
        assert refused == NotDecided(code, OOSTENDE, None, -S)
        left = await federated.hub.clerk.take(DeclareLeft(OOSTENDE, -S))
        assert isinstance(left, GroupRecord) and left.state == "left"
        assert await sound(federated) == []
        assert await federated.hub.balances() == {OOSTENDE: -S, MECHELEN: S}
        assert await findings(federated) == []


@pytest.mark.slow
async def test_what_is_in_flight_holds_it_up_until_it_is_decided(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await debtor(federated)
        await pay(federated, MECHELEN, "even", 1)
        # The hub has offered it, and nobody has answered.
        await federated.exchange(MECHELEN)
        refused = await federated.hub.clerk.take(DeclareLeft(OOSTENDE, -S))
        assert refused == NotDecided(DirectoryRefusalCode.STILL_IN_FLIGHT, OOSTENDE)
        await federated.quiet()
        left = await federated.hub.clerk.take(DeclareLeft(OOSTENDE, 0))
        assert isinstance(left, GroupRecord)


async def test_a_frozen_group_s_wish_is_answered_and_may_come_again(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        wish = await federated.nodes[OOSTENDE].clerk.take(WISH)
        assert isinstance(wish, LeavingWish)
        again = await federated.nodes[OOSTENDE].clerk.take(WISH)
        assert again == wish
        await federated.hub.clerk.take(Freeze(OOSTENDE))
        await federated.quiet()
        await federated.nodes[OOSTENDE].restart()
        kept = house(federated, OOSTENDE).leaving_wish
        assert kept is not None and kept.state is WishState.REFUSED
        assert house(federated, OOSTENDE).directory[OOSTENDE].state == "frozen"
        alarms = "SELECT told FROM alarm"
        assert await federated.nodes[OOSTENDE].ask(alarms) == []


@pytest.mark.slow
async def test_the_audit_names_what_began_when_it_might_not(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await pay(federated, OOSTENDE, "before", 3)
        await debtor(federated)
        await refused_by_hub(federated, MECHELEN, "lawful", 1)
        assert await findings(federated) == []
        at = "(SELECT max(taken_at) FROM transfer)"
        for sql, found in (
            # A debtor's payment, as if it had begun while it was leaving.
            (
                f"UPDATE transfer SET taken_at = {at} + interval '1 ms'"
                " WHERE payer_group = 'oostende'",
                2,
            ),
            # What it received, as if it had stood at zero.
            (
                "UPDATE transfer SET taken_at = taken_at - interval '1 hour'"
                " WHERE payer_group = 'oostende'; UPDATE entry SET at ="
                " now() + interval '1 day' WHERE transfer_id IN"
                " (SELECT transfer_id FROM transfer WHERE payer_group = 'oostende')",
                1,
            ),
        ):
            await federated.hub.change("ALTER TABLE entry DISABLE TRIGGER USER")
            await federated.hub.change(sql)
            told = [one for one in await findings(federated) if "states_were" in one]
            assert len(told) == found, told
        with_left = [one for one in await findings(federated) if "leaving" in one]
        assert with_left
