"""Members are told live what happens to them: once, in order, and nothing else."""

import asyncio
import contextlib
import random
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from nodes.api import events
from nodes.rules import Booked, HandEntry, NewMember
from protocol.effects import SaveTransfer, View
from protocol.ledger import Posting
from protocol.peer import access_store, transfer_store
from protocol.peer.clock import Clock
from protocol.unit import Amount
from tests.nodes.streams import Event, Site, Stream, site
from tests.peer.federation import (
    Federation,
    NewDatabase,
    Server,
    federation,
    order,
    until,
)
from tests.peer.tables import entry_id
from tests.protocol.makers import MECHELEN, OOSTENDE, hash_of

MEMBERS = ("lies", "rik")
now_s = Clock().monotonic_s


async def with_members(federated: Federation) -> Server:
    """Marie's node, where Lies and Rik have accounts too."""
    node = federated.nodes[OOSTENDE]
    for name in MEMBERS:
        member = NewMember(account_id=name, name=name, floor=-1000, ceiling=3000)
        await node.clerk.take(member)
    return node


def inside(key: str, payer: str = "marie", payee: str = "lies", amount: int = 5) -> Any:
    return order(
        key,
        payer=payer,
        caller=payer,
        name=payer.capitalize(),
        payee=payee,
        payee_group=OOSTENDE,
        payee_amount=Amount(amount),
        payer_amount_max=amount,
    )


async def test_a_payee_hears_of_a_payment_within_a_second(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        payer, payee = federated.nodes[OOSTENDE], federated.nodes[MECHELEN]
        async with site(payee) as mechelen, mechelen.listen("bob") as bob:
            (start,) = await bob.until_account()
            assert (start.told["account"], start.told["balance"]) == ("bob", 0)
            await payer.clerk.take(order("a"))
            await federated.exchange(OOSTENDE)
            await federated.exchange(MECHELEN)
            accepted = await bob.of("payment", 1)
            assert accepted.told["state"] == "accepted"
            figures = await bob.of("account", 1)
            assert (figures.told["balance"], figures.told["held_in"]) == (0, 3)
            # His node says yes, and its hub's next answer brings the decision.
            await federated.exchange(MECHELEN)
            await federated.exchange(MECHELEN)
            decided = now_s()
            cleared = await bob.of("payment", 1)
            figures = await bob.of("account", 1)
            assert now_s() - decided < 1
            assert cleared.transfer == (order("a").transfer_id, "cleared")
            assert (cleared.told["amount"], cleared.told["unit"]["name"]) == (
                3,
                "ketje",
            )
            assert cleared.told["payer"] == "marie@oostende"
            assert cleared.told["memo"] == "eggs for a"
            assert (figures.told["balance"], figures.told["held_in"]) == (3, 0)


async def test_a_payer_is_told_of_a_refusal_in_her_language(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        async with (
            site(node) as oostende,
            oostende.listen("marie", language="nl") as me,
        ):
            await me.until_account()
            await node.clerk.take(order("a", payee="nobody"))
            ordered = await me.of("payment")
            assert (ordered.told["state"], ordered.told["told"]) == ("ordered", None)
            assert (await me.of("account")).told["held"] == 1
            await federated.quiet()
            refused = await me.of("payment")
            assert refused.transfer == (order("a").transfer_id, "refused")
            assert refused.told["code"] == "unknown-account"
            assert refused.told["told"].startswith("Niemand")
            assert (await me.of("account")).told["held"] == 0


async def test_a_payment_inside_a_group_is_told_to_both_and_nobody_else(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated, AsyncExitStack() as stack:
        node = await with_members(federated)
        oostende = await stack.enter_async_context(site(node))
        marie, lies, rik = [
            await stack.enter_async_context(oostende.listen(name))
            for name in ("marie", "lies", "rik")
        ]
        for stream in (marie, lies, rik):
            await stream.until_account()
        await node.clerk.take(inside("a"))
        told = [await one.until_account() for one in (marie, lies)]
        for (payment, figures), amount in zip(told, (-5, 5), strict=True):
            assert payment.transfer == (inside("a").transfer_id, "cleared")
            assert payment.told["amount"] == amount
            assert figures.told["balance"] == amount
        # The first that Rik hears of is his own payment.
        await node.clerk.take(inside("b", payer="rik", payee="marie"))
        payment, _ = await rik.until_account()
        assert payment.transfer[0] == inside("b", payer="rik").transfer_id
        assert (await marie.of("payment")).told["amount"] == 5


async def test_nobodys_story_is_told_to_another_whatever_she_says_she_knows(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = await with_members(federated)
        for number in range(3):
            await node.clerk.take(inside(f"{number}"))
        async with site(node) as oostende:
            for name, count in (("marie", 3), ("lies", 3), ("rik", 0)):
                async with oostende.listen(name, "0.0") as stream:
                    found = await stream.until_account()
                    assert [one.name for one in found] == [
                        *(["payment"] * count + ["account"])
                    ]


class Reader:
    """A program of Marie's that goes away and comes back, and keeps what it heard."""

    def __init__(self, marie: str = "marie") -> None:
        self.member = marie
        self.heard: list[Event] = []
        self.known: list[str] = []

    def note(self, event: Event) -> None:
        self.known = [event.id]
        if event.name == "payment":
            self.heard.append(event)

    async def listen(self, oostende: Site, events_max: int) -> None:
        """Listen to so many events at most, then hang up."""
        async with oostende.listen(self.member, *self.known) as stream:
            for _ in range(events_max):
                event = await stream.next()
                assert event is not None
                self.note(event)
                if event.name == "account":
                    return


@pytest.mark.parametrize(
    "seed",
    [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))],
)
async def test_over_reconnects_and_restarts_all_is_told_and_nothing_twice(
    new_database: NewDatabase, seed: int
) -> None:
    draw = random.Random(seed)
    async with federation(new_database) as federated:
        node = await with_members(federated)
        reader, keys = Reader(), iter(range(1000))
        ordered: set[str] = set()
        for round_ in range(4):
            async with site(node) as oostende:
                await reader.listen(oostende, 1 if round_ == 0 else 100)
                for _ in range(6):
                    wanted = [
                        _some_order(draw, next(keys)) for _ in range(draw.randint(0, 3))
                    ]
                    await asyncio.gather(*(node.clerk.take(one) for one in wanted))
                    ordered |= {one.transfer_id for one in wanted}
                    if draw.random() < 0.5:
                        await federated.exchange(OOSTENDE)
                    await reader.listen(oostende, draw.randint(1, 4))
            await node.stop()
            node.house = node.make_house()
            await node.start()
        await federated.quiet()
        async with site(node) as oostende:
            await reader.listen(oostende, 1000)
        told = [event.transfer for event in reader.heard]
        assert len(told) == len(set(told)), "nothing is told twice"
        ended = [one for one, state in told if state in ("cleared", "refused")]
        assert sorted(ended) == sorted(ordered), "nothing is missed"
        places = [tuple(map(int, event.id.split("."))) for event in reader.heard]
        assert places == sorted(places), "oldest first"


def _some_order(draw: random.Random, number: int) -> Any:
    if draw.random() < 0.5:
        return inside(f"key-{number}", amount=1)
    return order(f"key-{number}", payee=draw.choice(["bob", "nobody"]))


async def test_a_long_absence_is_told_page_by_page(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        node = await with_members(federated)
        orders = [inside(f"{number}", amount=1) for number in range(120)]
        await asyncio.gather(*(node.clerk.take(one) for one in orders))
        async with site(node) as oostende, oostende.listen("lies", "0.0") as stream:
            *payments, figures = await stream.until_account()
            assert [one.transfer[0] for one in payments] == [
                one.transfer_id for one in orders
            ]
            assert figures.told["balance"] == 120
            middle = payments[59].id
        async with site(node) as oostende, oostende.listen("lies", middle) as stream:
            assert len(await stream.until_account()) == 61


async def test_an_entry_that_no_payment_caused_is_told_to_whom_it_concerns(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = await with_members(federated)
        by_hand = HandEntry(
            entry_id=entry_id(1),
            postings=(Posting("lies", 7), Posting("rik", -7)),
            reason="lost slip",
            caller=entry_id(2),
            key="a key",
            body_hash=hash_of("body"),
        )
        async with site(node) as oostende:
            async with oostende.listen("lies") as stream:
                (start,) = await stream.until_account()
                await node.clerk.take(inside("a"))
                await stream.of("account")
                assert isinstance(await node.clerk.take(by_hand), Booked)
                entry, figures = await stream.until_account()
                assert (entry.name, entry.told["amount"]) == ("entry", 7)
                assert entry.told["reason"] == "lost slip"
                assert figures.told["balance"] == 12
            async with oostende.listen("lies", start.id) as stream:
                found = await stream.until_account()
                assert [one.name for one in found] == ["payment", "entry", "account"]
                assert found[1].told == entry.told
            async with oostende.listen("lies", entry.id) as stream:
                assert len(await stream.until_account()) == 1
            async with oostende.listen("marie", "0.0") as stream:
                found = await stream.until_account()
                assert [one.name for one in found] == ["payment", "account"]


@pytest.mark.parametrize("known", [("x",), ("",), ("1.2.3",), ("1.1", "1.2")])
async def test_what_is_no_id_of_an_event_is_refused(
    new_database: NewDatabase, known: tuple[str, ...]
) -> None:
    async with (
        federation(new_database) as federated,
        site(federated.nodes[OOSTENDE]) as oostende,
    ):
        response = await oostende.ask("marie", *known)
        assert response.status == 400
        told = await response.json()
        assert "Last-Event-ID" in told["detail"]
        assert len(oostende.listeners) == 0


@pytest.mark.parametrize("column", ["changed", "sequence"])
async def test_who_knows_more_than_there_is_begins_anew(
    new_database: NewDatabase, column: str
) -> None:
    """So it looks to her when the database was restored from a backup."""
    async with federation(new_database) as federated:
        node = await with_members(federated)
        await node.clerk.take(inside("a"))
        async with site(node) as oostende:
            async with oostende.listen("lies") as stream:
                (start,) = await stream.until_account()
            changed, sequence = map(int, start.id.split("."))
            ahead = {
                "changed": f"{changed + 1}.{sequence}",
                "sequence": f"0.{sequence + 1}",
            }
            async with oostende.listen("lies", ahead[column]) as stream:
                assert await stream.until_account() == [start]


async def test_a_stream_says_what_proxies_and_browsers_need(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        site(federated.nodes[OOSTENDE], 0.05) as oostende,
    ):
        response = await oostende.ask("marie")
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        lines = [await response.content.readline() for _ in range(9)]
        assert lines[0] == b"retry: 3000\n"
        assert b":\n" in lines[6:], "a sign of life"
        response.close()
        head = await oostende.ask("marie", method="HEAD")
        assert (head.status, await head.read()) == (200, b"")
        assert head.content_type == "text/event-stream"


async def test_a_treasurer_without_an_account_has_nothing_to_hear(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        site(federated.nodes[OOSTENDE]) as oostende,
    ):
        await oostende.token("marie", "treasurer")
        assert (await oostende.ask("marie")).status == 403


async def test_a_stream_ends_when_its_token_counts_no_more(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        async with site(node, 0.05) as oostende, oostende.listen("marie") as stream:
            await stream.until_account()
            async with node.database.desk.acquire() as connection:
                token = await oostende.token("marie")
                await access_store.end_token(connection, token)
            assert await stream.ended()
            assert len(oostende.listeners) == 0
            assert (await oostende.ask("marie")).status == 401


async def test_a_busy_stream_is_checked_too(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_PACE_S", 0.0)
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        async with site(node, 0.05) as oostende, oostende.listen("marie") as stream:
            await stream.until_account()
            busy = asyncio.get_running_loop().create_task(_always_wake(oostende))
            try:
                async with node.database.desk.acquire() as connection:
                    token = await oostende.token("marie")
                    await access_store.end_token(connection, token)
                assert await stream.ended()
            finally:
                busy.cancel()


async def _always_wake(oostende: Site) -> None:
    while True:
        oostende.listeners.wake_all()
        await asyncio.sleep(0)


async def test_a_stream_ends_when_its_node_is_the_clerk_no_more(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        async with site(node, 0.05) as oostende, oostende.listen("marie") as stream:
            await stream.until_account()
            node.clerk.is_ready = False
            assert await stream.ended()
            assert (await oostende.ask("marie")).status == 503
            node.clerk.is_ready = True


async def test_what_another_clerk_has_written_is_told_too(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = await with_members(federated)
        async with site(node) as oostende, oostende.listen("lies") as stream:
            (start,) = await stream.until_account()
            await node.change("UPDATE account SET floor = -5 WHERE account_id = 'lies'")
            await node.end_clerks()
            (again,) = await stream.until_account()
            assert (start.told["floor"], again.told["floor"]) == (-1000, -5)


async def test_a_ninth_stream_sends_ones_own_oldest_home(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated, AsyncExitStack() as stack:
        node = await with_members(federated)
        oostende = await stack.enter_async_context(site(node))
        lies = await stack.enter_async_context(oostende.listen("lies"))
        streams: list[Stream] = []
        for _ in range(9):
            stream = await stack.enter_async_context(oostende.listen("marie"))
            await stream.until_account()
            streams.append(stream)
        assert await streams[0].ended()
        assert len(oostende.listeners) == 9
        await lies.until_account()
        await node.clerk.take(inside("a"))
        for stream in (*streams[1:], lies):
            assert (await stream.of("payment")).told["memo"] == "eggs for a"


async def test_when_too_many_listen_one_is_asked_to_come_back(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = await with_members(federated)
        async with (
            site(node, most=2) as oostende,
            oostende.listen("marie"),
            oostende.listen("lies"),
        ):
            response = await oostende.ask("rik")
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            told = await response.json()
            assert told["type"] == "urn:interlets:problem:too-many-streams"


async def test_streams_that_were_closed_leave_nothing_behind(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        site(await with_members(federated), 0.05) as oostende,
    ):
        before = len(asyncio.all_tasks())
        async with AsyncExitStack() as stack:
            for number in range(21):
                name = ("marie", "lies", "rik")[number % 3]
                stream = await stack.enter_async_context(oostende.listen(name))
                await stream.until_account()
            assert len(oostende.listeners) == 21
        await until(lambda: len(oostende.listeners) == 0)
        await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_server_that_stops_sends_every_stream_home(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        async with AsyncExitStack() as stack, site(node) as oostende:
            streams = [
                await stack.enter_async_context(oostende.listen("marie"))
                for _ in range(8)
            ]
            for stream in streams:
                await stream.until_account()
            began = now_s()
            await oostende.client.server.close()
            assert now_s() - began < 2
            for stream in streams:
                assert await stream.ended()
            assert len(oostende.listeners) == 0


async def test_who_reads_nothing_is_cut_off_and_costs_a_bounded_memory(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_WRITE_S_MAX", 0.2)
    async with federation(new_database) as federated:
        node = await with_members(federated)
        await node.clerk.take(inside("a"))
        # Her story is far longer than what may wait for a slow reader.
        await _copy(node, inside("a").transfer_id, 3000)
        async with site(node) as oostende:
            host, port = oostende.client.host, oostende.client.port
            reader, writer = await asyncio.open_connection(host, port, limit=1024)
            token = await oostende.token("lies")
            writer.write(
                b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 0.0\r\n"
                + f"Authorization: Bearer {token}\r\n\r\n".encode()
            )
            await until(lambda: len(oostende.listeners) == 1)
            await until(lambda: len(oostende.listeners) == 0)
            taken = 0
            with contextlib.suppress(ConnectionResetError):
                while chunk := await reader.read(65536):
                    taken += len(chunk)
            assert taken < 1_500_000, "the rest of her 2.5 MB was never read"
            writer.close()
            # Another who reads is not held up.
            async with oostende.listen("lies", "0.0") as stream:
                assert len(await stream.until_account()) == 3002


async def _copy(node: Server, transfer_id: str, count: int) -> None:
    """Keep a transfer again and again, as so many others of the same members."""
    transfer = await node.transfer(transfer_id)
    assert transfer is not None
    view = View("a life")
    saved = [
        SaveTransfer(msgspec.structs.replace(transfer, transfer_id=entry_id(number)))
        for number in range(count)
    ]
    for effect in saved:
        view.apply(effect)
    async with node.database.desk.acquire() as connection:
        await transfer_store.write(connection, view, saved)
