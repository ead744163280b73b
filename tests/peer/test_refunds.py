"""Refunds between clerks on real PostgreSQL, asked for as a member's program asks."""

import asyncio
from typing import Any

import pytest

from nodes import member_store
from nodes.payment_answers import TransferAnswer, TransferRequest, as_ordered
from nodes.payments import Payments
from nodes.rules import CancelWish, NewMember
from protocol.instant import read_instant
from protocol.peer import ledger_store
from protocol.peer.access_store import Caller
from protocol.peer.web.problems import Problem
from protocol.transfer import State, Transfer
from tests.peer.federation import (
    Federation,
    NewDatabase,
    Server,
    federation,
    order,
    until,
)
from tests.protocol.makers import MECHELEN, OOSTENDE

S = 180_000


class Reachable:
    """A courier that has just heard of the hub."""

    def is_reachable(self) -> bool:
        return True


class Member:
    """A member of a federation in this process, and her program."""

    def __init__(self, server: Server, account: str) -> None:
        self.server = server
        self.caller = Caller("a person", account, frozenset({"read", "pay"}))
        courier: Any = Reachable()
        house: Any = server.house
        self.payments = Payments(house, server.clerk, courier, server.database)

    async def order(self, key: str, to: str, amount: int, **more: Any) -> Transfer:
        fields: dict[str, Any] = {"payer_amount_max": 1000, "deliver": "when_reachable"}
        asked = TransferRequest(to=to, payee_amount=amount, **(fields | more))
        member = await self.payments.account(self.caller)
        return (await self.payments.order(member, key, asked)).transfer

    async def refused(self, key: str, to: str, amount: int, **more: Any) -> str | None:
        """Order what is refused at once; gives the code."""
        with pytest.raises(Problem) as caught:
            await self.order(key, to, amount, **more)
        return caught.value.code

    async def look(self, transfer_id: str) -> TransferAnswer:
        transfer = await self.payments.transfer(self.caller, transfer_id)
        return await self.payments.answer(self.caller, transfer, "en")

    async def steps(self, transfer_id: str) -> list[tuple[str, int]]:
        transfer = await self.payments.transfer(self.caller, transfer_id)
        found = await self.payments.steps(transfer)
        return [(one.step, read_instant(one.at)) for one in found]


def people(federated: Federation) -> tuple[Member, Member]:
    nodes = federated.nodes
    return Member(nodes[OOSTENDE], "marie"), Member(nodes[MECHELEN], "bob")


async def paid(federated: Federation, ketjes: int = 6, key: str = "eggs") -> str:
    """Let Marie pay Bob, 3 ketjes a blusser; gives the cleared transfer's id."""
    marie, _ = people(federated)
    transfer = await marie.order(key, "bob@mechelen", ketjes)
    await federated.quiet()
    assert (await marie.look(transfer.transfer_id)).state == "cleared"
    return transfer.transfer_id


async def counts(federated: Federation, transfer_id: str) -> set[int]:
    """What each of the three servers has counted as given back."""
    found = set()
    for server in (federated.hub, *federated.nodes.values()):
        transfer = await server.transfer(transfer_id)
        assert transfer is not None
        found.add(transfer.refunded)
    return found


async def forget_count(server: Server) -> None:
    """Let a node count wrongly, so that only the hub stands in the way."""
    await server.change("UPDATE transfer SET refunded = 0 WHERE refunded > 0")


async def start_again(server: Server) -> None:
    life = server.clerk.life
    await server.end_clerks()
    await until(lambda: server.clerk.life != life and server.clerk.is_ready)


async def test_a_payment_is_given_back_in_two_parts_and_no_more(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        marie, bob = people(federated)
        id_ = await paid(federated)
        assert (await bob.look(id_)).refundable == 2
        assert (await marie.look(id_)).refundable is None
        for key, left in (("first", 1), ("second", 0)):
            part = await bob.order(key, "marie@oostende", 1, refund_of=id_)
            await federated.quiet()
            for member in (marie, bob):
                seen = await member.look(part.transfer_id)
                assert (seen.state, seen.refund_of) == ("cleared", id_)
                assert (await member.look(id_)).refunded == (2 - left) * S
            assert (await bob.look(id_)).refundable == left
            assert await counts(federated, id_) == {(2 - left) * S}
        again = ("marie@oostende", 1)
        code = await bob.refused("third", *again, refund_of=id_)
        assert code == "refund-too-large"
        # The hub says so too, whatever a node thinks.
        await forget_count(federated.nodes[MECHELEN])
        fourth = await bob.order("fourth", *again, refund_of=id_)
        await federated.quiet()
        seen = await bob.look(fourth.transfer_id)
        assert (seen.state, seen.code) == ("refused", "refund-too-large")
        hub = await federated.hub.transfer(id_)
        assert hub is not None
        assert hub.refunded == 2 * S
        assert await federated.hub.balances() == {}
        for node in federated.nodes.values():
            assert set(await node.balances()) & {"marie", "bob"} == set()
        assert await federated.unsound() == []


async def test_a_history_tells_what_was_given_back(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        _, bob = people(federated)
        id_ = await paid(federated)
        await bob.order("back", "marie@oostende", 1, refund_of=id_)
        await federated.quiet()
        for node, name in zip(federated.nodes.values(), ("marie", "bob"), strict=True):
            async with node.database.readers.acquire() as connection:
                lines = await ledger_store.read_page(
                    connection, name, ledger_store.NEWEST, 10
                )
            assert [line.refund_of for line in lines] == [id_, None]


async def test_one_more_millisecond_than_a_unit_is_worth_is_too_much(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        _, bob = people(federated)
        # 5 ketjes are 300,000 ms, for which Marie paid 2 blussers of 180,000.
        id_ = await paid(federated, 5)
        assert (await bob.look(id_)).refundable == 1
        code = await bob.refused("two", "marie@oostende", 2, refund_of=id_)
        assert code == "refund-too-large"
        await bob.order("one", "marie@oostende", 1, refund_of=id_)
        await federated.quiet()
        assert await counts(federated, id_) == {S}
        assert (await bob.look(id_)).refundable == 0
        assert (await federated.nodes[OOSTENDE].balances())["marie"] == -1
        assert await federated.unsound() == []


async def test_nobody_else_refunds_and_nobody_else_is_refunded(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        mechelen, oostende = federated.nodes[MECHELEN], federated.nodes[OOSTENDE]
        for node, name in ((mechelen, "an"), (oostende, "lies")):
            new = NewMember(account_id=name, name=name, floor=-100, ceiling=100)
            await node.clerk.take(new)
        marie, bob = people(federated)
        id_ = await paid(federated)
        an = Member(mechelen, "an")
        tries = [
            (an, "marie@oostende", id_),
            (bob, "lies@oostende", id_),
            (bob, "an@mechelen", id_),
            (marie, "bob@mechelen", id_),
            (bob, "marie@oostende", order("no such").transfer_id),
        ]
        for number, (member, to, original) in enumerate(tries):
            code = await member.refused(f"try-{number}", to, 1, refund_of=original)
            assert code == "refund-unknown", (to, original)
        assert await counts(federated, id_) == {0}


async def test_the_same_key_gets_the_same_refund_and_the_same_answer(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        _, bob = people(federated)
        id_ = await paid(federated)
        first = await bob.order("back", "marie@oostende", 2, refund_of=id_)
        await federated.quiet()
        again = await bob.order("back", "marie@oostende", 2, refund_of=id_)
        told = [
            await bob.payments.answer(bob.caller, as_ordered(one), "en")
            for one in (first, again)
        ]
        assert told[0] == told[1]
        assert await counts(federated, id_) == {2 * S}
        with pytest.raises(Problem, match="another payment"):
            await bob.order("back", "marie@oostende", 2)


async def test_two_refunds_at_once_share_what_is_left(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        _, bob = people(federated)
        id_ = await paid(federated)
        outcomes = await asyncio.gather(
            *(
                bob.order(key, "marie@oostende", 1, refund_of=id_)
                for key in ("a", "b", "c")
            ),
            return_exceptions=True,
        )
        refused = [one for one in outcomes if isinstance(one, Problem)]
        assert [problem.code for problem in refused] == ["refund-too-large"]
        await federated.quiet()
        assert await counts(federated, id_) == {2 * S}
        assert await federated.unsound() == []


async def test_a_refund_in_flight_stands_in_the_way_of_another_until_it_ends(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        _, bob = people(federated)
        mechelen = federated.nodes[MECHELEN]
        id_ = await paid(federated)
        flying = await bob.order("first", "marie@oostende", 2, refund_of=id_)
        # The hub has offered it; Oostende does not ask for it.
        await federated.exchange(MECHELEN)
        await forget_count(mechelen)
        late = await bob.order("second", "marie@oostende", 1, refund_of=id_)
        await federated.exchange(MECHELEN)
        await federated.exchange(MECHELEN)
        seen = await bob.look(late.transfer_id)
        assert (seen.state, seen.code) == ("refused", "refund-too-large")
        await mechelen.change(
            f"UPDATE transfer SET refunded = {2 * S} WHERE transfer_id = '{id_}'"
        )
        await mechelen.clerk.take(CancelWish(transfer_id=flying.transfer_id))
        await federated.quiet()
        assert (await bob.look(flying.transfer_id)).code == "cancelled"
        # Its share is free again, on all three servers.
        assert await counts(federated, id_) == {0}
        await bob.order("third", "marie@oostende", 2, refund_of=id_)
        await federated.quiet()
        assert await counts(federated, id_) == {2 * S}
        assert await federated.unsound() == []


@pytest.mark.parametrize("when", ["before", "between"])
async def test_a_refund_counts_over_starts_of_all_servers(
    new_database: NewDatabase, when: str
) -> None:
    async with federation(new_database) as federated:
        _, bob = people(federated)
        id_ = await paid(federated)
        servers = [federated.hub, *federated.nodes.values()]
        if when == "before":
            for server in servers:
                await start_again(server)
        await bob.order("first", "marie@oostende", 1, refund_of=id_)
        await federated.exchange(MECHELEN)
        if when == "between":
            for server in servers:
                await start_again(server)
        await federated.quiet()
        await federated.sweep()
        await federated.quiet()
        assert await counts(federated, id_) == {S}
        code = await bob.refused("second", "marie@oostende", 2, refund_of=id_)
        assert code == "refund-too-large"
        await bob.order("third", "marie@oostende", 1, refund_of=id_)
        await federated.quiet()
        assert await counts(federated, id_) == {2 * S}
        assert await federated.unsound() == []


async def test_a_refund_that_the_payers_node_refuses_gives_its_share_back(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        _, bob = people(federated)
        id_ = await paid(federated)
        oostende = federated.nodes[OOSTENDE]
        await oostende.change("UPDATE account SET frozen = true WHERE kind = 'member'")
        back = await bob.order("back", "marie@oostende", 2, refund_of=id_)
        await federated.quiet()
        seen = await bob.look(back.transfer_id)
        assert (seen.state, seen.code) == ("refused", "payee-cannot-receive")
        assert await counts(federated, id_) == {0}
        assert await federated.unsound() == []


async def test_refunds_inside_a_group_are_counted_by_its_node_alone(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        new = NewMember(account_id="lies", name="Lies", floor=-100, ceiling=100)
        await node.clerk.take(new)
        marie, lies = people(federated)[0], Member(node, "lies")
        id_ = (await marie.order("soup", "lies@oostende", 5)).transfer_id
        assert (await lies.look(id_)).refundable == 5
        assert (await marie.look(id_)).refundable is None
        ask = {"refund_of": id_}
        assert await marie.refused("mine", "lies@oostende", 1, **ask) is not None
        first = await lies.order("a", "marie@oostende", 3, **ask)
        code = await lies.refused("b", "marie@oostende", 3, **ask)
        assert code == "refund-too-large"
        await lies.order("c", "marie@oostende", 2, **ask)
        seen = await marie.look(first.transfer_id)
        assert (seen.state, seen.refund_of, seen.amount) == ("cleared", id_, 3)
        whole = await lies.look(id_)
        assert (whole.refunded, whole.refundable) == (5 * S, 0)
        # The answer under the payment's own key stays what it was.
        again = await marie.order("soup", "lies@oostende", 5)
        assert as_ordered(again).refunded == 0
        assert set(await node.balances()) == set()
        steps = await marie.steps(id_)
        assert [step for step, _ in steps] == ["ordered", "decided", "booked"]


async def test_a_payment_tells_when_it_took_its_steps(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        marie, bob = people(federated)
        before = marie.server.clock.now()
        id_ = (await marie.order("eggs", "bob@mechelen", 3)).transfer_id
        # Sealed, but nobody knows yet whether the hub has it.
        assert [step for step, _ in await marie.steps(id_)] == ["ordered"]
        await federated.quiet()
        steps = await marie.steps(id_)
        names = [step for step, _ in steps]
        assert names == ["ordered", "sent", "decided", "booked"]
        seen = await bob.steps(id_)
        assert [step for step, _ in seen] == ["accepted", "decided", "booked"]
        assert dict(steps)["decided"] == dict(seen)["decided"]
        # One machine, so one clock: no step comes before the one before it.
        moments = [at for _, at in steps]
        assert before <= moments[0]
        assert moments == sorted(moments)
        rows = await marie.server.ask(
            "SELECT (SELECT at FROM entry WHERE entry_id::text = $1) AS booked,"
            " (SELECT at FROM envelope JOIN item USING (peer, direction)"
            "   WHERE direction = 'out' AND strpos(encode(line, 'escape'), $1) > 0"
            "     AND number BETWEEN first AND first + count - 1) AS sent",
            id_,
        )
        for name in ("booked", "sent"):
            assert rows[0][name].timestamp() * 1000 == dict(steps)[name]


async def test_what_was_refused_is_never_told_as_accepted_or_booked(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        marie, bob = people(federated)
        await bob.server.change(
            "UPDATE account SET frozen = true WHERE kind = 'member'"
        )
        id_ = (await marie.order("eggs", "bob@mechelen", 3)).transfer_id
        await federated.quiet()
        names = [step for step, _ in await marie.steps(id_)]
        assert names == ["ordered", "sent", "decided"]
        assert await bob.steps(id_) == []
        refused = await marie.payments.account(marie.caller)
        assert isinstance(refused, member_store.Member)
        assert refused.account.balance == 0
        seen = await bob.server.transfer(id_)
        assert seen is not None
        assert seen.state is State.REFUSED
