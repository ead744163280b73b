"""Inquiries between real clerks and databases, with every byte at the hub in sight."""

import asyncio
import base64
import re
from typing import Any

import asyncpg
import pytest

from nodes import payee_store
from nodes.inquiries import TooMany
from nodes.rules import NewMember
from protocol.address import HUB
from protocol.envelope import BODY_LENGTH_MAX
from protocol.errors import OutageError
from protocol.inquiry import KEPT_S, PER_MINUTE_MAX, Inquiry, Payee
from protocol.messages import write_line
from protocol.peer.waiting_lines import PER_PEER_MAX
from tests.peer.asking import (
    BOB,
    PATIENT_S,
    Asking,
    asking,
    by_account,
    by_name,
)
from tests.peer.federation import NewDatabase, federation, order
from tests.protocol.makers import MECHELEN, OOSTENDE, sealed_inquiry


async def test_both_groups_ask_at_once(new_database: NewDatabase) -> None:
    async with asking(new_database) as made:
        both = await asyncio.gather(
            *(
                made.nodes[group].ask(other, by_account(account))
                for group, other, account in (
                    (OOSTENDE, MECHELEN, "bob"),
                    (MECHELEN, OOSTENDE, "marie"),
                )
                for _ in range(20)
            )
        )
    marie = Payee(account="marie", name="Marie")
    assert both == [[BOB]] * 20 + [[marie]] * 20


def all_that_can_be_read(bodies: list[bytes]) -> bytes:
    """Bodies as they are, and everything in them that base64url may hide."""
    raw = b"".join(bodies)
    words = re.findall(rb"[A-Za-z0-9_-]{8,}", raw)
    return raw + b"".join(
        base64.urlsafe_b64decode(word + b"=" * (-len(word) % 4))
        for word in words
        if len(word) % 4 != 1
    )


async def test_the_hub_sees_neither_name_nor_account_nor_whether_anybody_is_found(
    new_database: NewDatabase,
) -> None:
    found = Payee(account="bartholomeus", name="Bartholomeus Appelboom")
    async with asking(new_database) as made:
        new = NewMember(
            account_id=found.account, name=found.name, floor=None, ceiling=None
        )
        await made.federated.nodes[MECHELEN].clerk.take(new)
        await made.set_found_by(MECHELEN, found.account, "name")
        lengths = []
        for asked, payees in (
            (by_account("bartholomeus"), [found]),
            (by_account("appelsien"), []),
            (by_name("appelboom"), [found]),
            (by_name("appelsien"), []),
        ):
            before = len(made.wire)
            assert await made.ask(asked) == payees
            lines = [
                line
                for body in made.wire[before:]
                for line in body.split(b"\n")
                if line.startswith(b"{")
            ]
            # The question and the answer, each to the hub and on.
            assert len(lines) == 4
            lengths.append(sorted(map(len, lines)))
        assert all(one == lengths[0] for one in lengths)
        seen = all_that_can_be_read(made.wire).lower()
    # What a cover's signed payload says is found where it is hidden, so this looks.
    assert b'"from":"mechelen"' in seen
    assert not re.search(b"bartholomeus|appel", seen)


async def rows_of(made: Asking) -> list[list[int]]:
    """How many rows each table has, at each server."""
    counted = []
    for server in (made.federated.hub, *made.federated.nodes.values()):
        tables = await server.ask(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace ORDER BY relname"
        )
        names = [table["relname"] for table in tables]
        assert {"link", "item", "envelope"} <= set(names)
        counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in names)
        [row] = await server.ask(f"SELECT {counts}")
        counted.append(list(row))
    return counted


async def test_nothing_of_an_inquiry_is_written_anywhere(
    new_database: NewDatabase,
) -> None:
    # All was quiet before the first exchange, so no row is on its way.
    async with asking(new_database) as made:
        before = await rows_of(made)
        assert await made.ask(by_account("bob")) == [BOB]
        assert await rows_of(made) == before
        # Had anything been written, it would have been seen: an order is.
        await made.federated.nodes[OOSTENDE].clerk.take(order("an order"))
        assert await rows_of(made) != before


async def test_who_hides_reads_as_who_is_not_there(new_database: NewDatabase) -> None:
    async with asking(new_database) as made:
        for found_by, by_address, by_her_name in (
            ("nothing", [], []),
            ("address", [BOB], []),
            ("name", [BOB], [BOB]),
        ):
            await made.set_found_by(MECHELEN, "bob", found_by)
            assert await made.ask(by_account("bob")) == by_address
            assert await made.ask(by_name("bob")) == by_her_name
            assert await made.ask(by_account("nobody")) == []


async def test_a_frozen_account_is_found_as_its_member_chose(
    new_database: NewDatabase,
) -> None:
    async with asking(new_database) as made:
        node = made.federated.nodes[MECHELEN]
        await node.change("UPDATE account SET frozen = true WHERE account_id = 'bob'")
        assert await made.ask(by_account("bob")) == [BOB]
        await made.set_found_by(MECHELEN, "bob", "nothing")
        assert await made.ask(by_account("bob")) == []


async def test_a_closed_account_is_found_by_nobody(new_database: NewDatabase) -> None:
    async with asking(new_database) as made:
        node = made.federated.nodes[MECHELEN]
        await made.set_found_by(MECHELEN, "bob", "name")
        for closed, found in (("true", []), ("false", [BOB])):
            await node.change(
                f"UPDATE account SET closed = {closed} WHERE account_id = 'bob'"
            )
            assert await made.ask(by_account("bob")) == found
            assert await made.ask(by_name("bob")) == found


async def test_a_node_without_an_answer_in_time_hears_nothing(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        # Nobody carries anything.
        made = Asking(federated, answer_s=0.2)
        assert await made.ask(by_account("bob")) is None
        # What came too late is dropped, and harms nobody.
        await made.exchange(OOSTENDE)


async def test_a_node_asks_no_more_than_the_hub_would_pass_on(
    new_database: NewDatabase,
) -> None:
    async with asking(new_database) as made:
        for _ in range(PER_MINUTE_MAX // 50):
            answers = await asyncio.gather(
                *(made.ask(by_account("bob")) for _ in range(50))
            )
            assert answers == [[BOB]] * 50
        # At once: it does not wait for what cannot come.
        async with asyncio.timeout(1):
            told = await made.ask(by_account("bob"))
        assert isinstance(told, TooMany)
        assert 0 < told.wait_s <= 61


async def test_a_flood_of_inquiries_leaves_room_for_envelopes(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        made = Asking(federated, PATIENT_S)
        node, hub = federated.nodes[OOSTENDE].clerk, federated.hub.clerk
        line = write_line(sealed_inquiry(box="A" * 6000))
        for clerk, peer in ((node, HUB), (hub, MECHELEN), (hub, OOSTENDE)):
            told = [
                clerk.say_aside(peer, line, KEPT_S) for _ in range(PER_PEER_MAX + 1)
            ]
            assert told == [True] * PER_PEER_MAX + [False]
        for number in range(300):
            await node.take(order(f"{number}", memo="m" * 500, payee_amount=3))
        for group in (OOSTENDE, MECHELEN) * 3:
            await made.exchange(group)
        # An envelope that takes most of a body goes first, whatever else waits.
        assert BODY_LENGTH_MAX * 0.9 < max(map(len, made.wire)) <= BODY_LENGTH_MAX
        await federated.quiet()
        assert await federated.unsound() == []
        cleared = await federated.nodes[MECHELEN].balances()
        assert cleared["bob"] == 900
        assert not node.has_news(HUB) and not hub.has_news(MECHELEN)


async def test_a_link_that_has_not_compared_carries_no_inquiry(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[OOSTENDE]
        node.clerk.say_aside(HUB, write_line(sealed_inquiry()), KEPT_S)
        assert node.clerk.has_news(HUB)
        link = node.clerk.links[HUB]
        node.clerk.links[HUB] = type(link)(peer=HUB, life=link.life)
        assert not node.clerk.has_news(HUB)
        assert b'"inquiry"' not in node.clerk.speak(HUB)
        node.clerk.links[HUB] = link
        assert b'"inquiry"' in node.clerk.speak(HUB)


async def test_a_question_in_a_name_that_is_not_the_senders_finds_nobody(
    new_database: NewDatabase,
) -> None:
    async with asking(new_database) as made:
        # The hub itself may lie: the box opens only if the group named made it.
        hub = made.federated.hub.clerk
        forged = sealed_inquiry(from_=OOSTENDE, box=sealed_inquiry().box[:-8] + "A" * 8)
        hub.say_aside(MECHELEN, write_line(forged), KEPT_S)
        assert await made.ask(by_account("bob")) == [BOB]
        told = made.federated.nodes[MECHELEN].metrics.render().decode()
        assert 'interlets_inquiries_total{outcome="unreadable"} 1.0' in told


PEOPLE = {
    "zoe": "Zoë Ångström",
    "eric": "Éric Dupont",
    "erica": "Erica 100% Peeters",
    "under": "Jan_Pieter",
    "hidden": "Erik Verborgen",
}


async def test_names_are_found_whatever_their_capitals_and_accents(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[MECHELEN]
        for account, name in PEOPLE.items():
            new = NewMember(account_id=account, name=name, floor=None, ceiling=None)
            assert await node.clerk.take(new) is True
        async with node.database.desk.acquire() as desk:
            for account in set(PEOPLE) - {"hidden"}:
                assert await payee_store.write_found_by(desk, account, "name")
            assert not await payee_store.write_found_by(desk, "nobody", "name")
        async with node.database.readers.acquire() as reader:

            async def found(part: str) -> list[str]:
                payees = await payee_store.read_payees(reader, by_name(part))
                return [payee.account for payee in payees]

            assert await found("zoe") == await found("ANGS") == ["zoe"]
            assert await found("ZOË") == await found("zoe\u0308") == ["zoe"]
            # The best match first: the earlier in the name, the better.
            assert await found("eri") == ["erica", "eric"]
            assert await found("pe") == ["erica"]
            assert await found("%%") == await found("__") == await found("n%p") == []
            assert await found("0% ") == ["erica"]
            assert await found("n_p") == ["under"]
            assert await found("ver") == []
            assert await payee_store.read_found_by(reader, "hidden") == "address"
            assert await payee_store.read_found_by(reader, "nobody") is None


async def test_ten_are_found_by_name_and_no_more(new_database: NewDatabase) -> None:
    async with federation(new_database) as federated:
        node = federated.nodes[MECHELEN]
        for number in range(11):
            new = NewMember(
                account_id=f"an{number:02}", name="An", floor=None, ceiling=None
            )
            await node.clerk.take(new)
        await node.change("UPDATE member SET found_by = 'name'")
        async with node.database.readers.acquire() as reader:
            payees = await payee_store.read_payees(reader, by_name("an"))
        assert [one.account for one in payees] == [f"an{n:02}" for n in range(10)]


async def test_a_node_whose_database_is_away_answers_when_it_is_back(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(new_database, answer_s=1.0) as made:
        read, failures = payee_store.read_payees, [OutageError("away"), OSError("cut")]

        async def read_or_fail(*words: object) -> list[Payee]:
            if failures:
                raise failures.pop()
            return await read(*words)  # type: ignore[arg-type]

        monkeypatch.setattr("nodes.payee_store.read_payees", read_or_fail)
        assert await made.ask(by_account("bob")) is None
        assert await made.ask(by_account("bob")) is None
        answers = [await made.ask(by_account("bob")) for _ in range(3)]
        # One of them may meet a slow disk.
        assert [BOB] in answers


async def test_a_question_that_the_database_cannot_answer_stops_no_other(
    new_database: NewDatabase,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with asking(new_database) as made:
        read = payee_store.read_payees

        async def read_or_fail(connection: Any, asked: Inquiry) -> list[Payee]:
            if asked.account == "nobody":
                raise asyncpg.FeatureNotSupportedError("not nobody, please")
            return await read(connection, asked)

        monkeypatch.setattr("nodes.payee_store.read_payees", read_or_fail)
        async with asyncio.timeout(PATIENT_S), asyncio.TaskGroup() as group:
            lost = group.create_task(made.ask(by_account("nobody")))
            while not (told := of_inquiries(caplog)):
                assert await made.ask(by_account("bob")) == [BOB]
            assert await made.ask(by_account("bob")) == [BOB]
            lost.cancel()
    # Not the database's words: they may hold whom somebody looked for.
    assert told == ["an inquiry could not be answered: FeatureNotSupportedError"]


def of_inquiries(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "nodes.inquiries"
    ]
