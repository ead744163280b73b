"""The log as anyone reads it: checkpoints, tiles and evidence of a real hub."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clearing.api.log import LogApi
from clearing.api.turns import Turns, shares
from clearing.evidence import Evidence
from clearing.house import HubHouse
from protocol import directory, envelope, merkle
from protocol.address import HUB, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.checkpoint import SignedCheckpoint, read_checkpoint
from protocol.envelope import VerifiedCover
from protocol.keyring import KeyPeriod
from protocol.messages import Checkpoint, LogDecision, TransferDecision, read_item
from protocol.peer.directory_history import DirectoryHistory
from protocol.peer.metrics import Metrics
from protocol.peer.recent import Recent
from protocol.peer.web import problems
from protocol.receipt import WITNESSES_MAX, Receipt, verify_receipt, with_words
from protocol.tiles import TileTree, write_path
from tests.peer.federation import (
    Federation,
    NewDatabase,
    admit,
    federation,
    identity,
    order,
    until,
)
from tests.protocol.makers import FEDERATION, OOSTENDE, cover_payload, signing_key

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def published(federated: Federation) -> AsyncIterator[tuple[Client, Evidence]]:
    """The hub's log over HTTP, as ``clearing.app`` puts it together."""
    hub = federated.hub
    house = hub.house
    assert isinstance(house, HubHouse)
    evidence = Evidence(identity())
    application = web.Application(middlewares=[problems.middleware(Metrics())])
    application.add_routes(LogApi(house, hub.clerk, hub.database, evidence).routes())
    async with TestClient(TestServer(application)) as client:
        yield client, evidence


async def newest(client: Client, log: str = "") -> SignedCheckpoint:
    path = f"/federation/v1/log/{log}/checkpoint" if log else "checkpoint"
    answer = await client.get(path if log else "/federation/v1/log/checkpoint")
    assert answer.status == 200
    return read_checkpoint(await answer.text(), FEDERATION, signing_key("hub").public)


async def leaves(federated: Federation, log: str) -> list[bytes]:
    rows = await federated.hub.ask(
        "SELECT line FROM decision WHERE log = $1 ORDER BY number", log
    )
    return [row["line"] for row in rows]


async def know(client: Client, tree: TileTree, log: str, size: int) -> None:
    """Fetch what computes the root of ``size`` and every leaf below it."""
    nodes = [*merkle.complete_nodes(0, size), *((0, place) for place in range(size))]
    fetched = {}
    for tile in tree.lacks(nodes):
        answer = await client.get(f"/federation/v1/log/{log}/{write_path(tile)}")
        assert answer.status == 200
        fetched[tile] = await answer.read()
    tree.add(fetched)


async def pay(federated: Federation, count: int, prefix: str) -> list[str]:
    orders = [order(f"{prefix} {number}") for number in range(count)]
    for one in orders:
        await federated.nodes[OOSTENDE].clerk.take(one)
    await federated.quiet()
    return [one.transfer_id for one in orders]


async def test_checkpoints_and_tiles_agree_with_every_decision(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        before = await newest(client)
        await pay(federated, 300, "eggs")
        after = await newest(client)
        assert after.size >= before.size + 300
        lines = await leaves(federated, after.log)
        assert len(lines) == after.size
        tree = TileTree(after.size, read_base64url(after.root, "root"))
        await know(client, tree, after.log, after.size)
        assert tree.root == merkle.Tree(lines).root
        for place in (0, 255, 256, after.size - 1):
            assert tree.node(0, place) == merkle.leaf_hash(lines[place])
        # The log only grew: what was signed before is what it was then.
        assert tree.root_at(before.size) == read_base64url(before.root, "root")
        # And the older note is still there to be had.
        path = f"/federation/v1/log/{before.log}/checkpoint?size={before.size}"
        answer = await client.get(path)
        assert answer.status == 200


async def test_a_new_log_begins_with_the_last_checkpoint_of_the_former(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        async with published(federated) as (client, _):
            await pay(federated, 2, "eggs")
            former = await newest(client)
        hub = federated.hub
        before = hub.clerk.life
        await hub.end_clerks()
        await until(lambda: hub.clerk.life != before and hub.clerk.is_ready)
        async with published(federated) as (client, _):
            lines = await leaves(federated, hub.clerk.life)
            answer = await client.get(f"/federation/v1/log/{hub.clerk.life}/first")
            assert await answer.read() == lines[0]
            first = read_item(lines[0])
            assert isinstance(first, LogDecision)
            assert first.former == former.short
            assert (await newest(client)).log == hub.clerk.life
            assert await newest(client, former.log) == former


async def test_covers_name_the_checkpoint_that_is_durable(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        await pay(federated, 3, "eggs")
        body = envelope.open_body(
            federated.hub.clerk.speak(OOSTENDE),
            federated.nodes[OOSTENDE].house.keyring,
            FEDERATION,
            OOSTENDE,
        )
        assert body.cover.payload.from_ == HUB
        assert body.cover.payload.checkpoint == (await newest(client)).short


async def test_evidence_is_a_receipt_that_names_nobody(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        ids = await pay(federated, 3, "eggs")
        for transfer_id in ids:
            answer = await client.get(f"/federation/v1/evidence/{transfer_id}")
            assert answer.status == 200
            raw = await answer.read()
            proven = verify_receipt(raw, FEDERATION)
            assert isinstance(proven.decision, TransferDecision)
            assert proven.decision.id == transfer_id
            assert proven.content is None
            for name in (b"marie", b"Marie", b"bob", b"eggs"):
                assert name not in raw


@pytest.mark.parametrize("readers", range(1, 17))
def test_what_anyone_may_ask_never_takes_the_last_reader(readers: int) -> None:
    evidence, log = shares(readers)
    assert 1 <= evidence <= 2 and 1 <= log <= 2
    assert evidence + log < readers or readers < 3


async def test_whoever_comes_when_too_many_wait_is_sent_away_at_once() -> None:
    turns, are_done, served = Turns(2, 16), asyncio.Event(), []

    async def ask(number: int) -> None:
        async with turns.take():
            await are_done.wait()
            served.append(number)

    loop = asyncio.get_running_loop()
    asked = [loop.create_task(ask(number)) for number in range(18)]
    await asyncio.sleep(0)
    with pytest.raises(problems.Problem) as raised:
        async with turns.take():
            pass
    assert raised.value.status == 503 and "Retry-After" in raised.value.headers
    # One that goes away makes room for another.
    asked.pop().cancel()
    await asyncio.sleep(0)
    asked.append(loop.create_task(ask(18)))
    await asyncio.sleep(0)
    are_done.set()
    await asyncio.gather(*asked)
    assert sorted(served) == [*range(17), 18]


def test_what_was_asked_for_last_is_kept() -> None:
    recent: Recent[int, str] = Recent(2)
    recent.keep(1, "one")
    recent.keep(2, "two")
    assert recent.find(1) == "one"
    recent.keep(3, "three")
    assert (recent.find(1), recent.find(2), recent.find(3)) == ("one", None, "three")


async def test_what_cleared_before_there_were_checkpoints_has_no_receipt(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        [transfer_id] = await pay(federated, 1, "eggs")
        async with federated.hub.database.desk.acquire() as connection:
            # As a database of the first version comes out of the migrations.
            await connection.execute("UPDATE transfer SET answer_number = NULL")
        async with published(federated) as (client, _):
            answer = await client.get(f"/federation/v1/evidence/{transfer_id}")
            assert answer.status == 404


async def test_a_flood_for_evidence_leaves_the_log_to_be_read(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        [transfer_id] = await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            are_done, find = asyncio.Event(), evidence.find

            async def slow(*asked: Any, **how: Any) -> Any:
                await are_done.wait()
                return await find(*asked, **how)

            evidence.find = slow  # type: ignore[method-assign]
            path = f"/federation/v1/evidence/{transfer_id}"
            loop = asyncio.get_running_loop()
            flood = [loop.create_task(client.get(path)) for _ in range(40)]
            for answered in itertools.islice(asyncio.as_completed(flood), 40 - 2 - 16):
                answer = await answered
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            stated = await newest(client)
            # An older note and a tile are read from the database.
            for what in ("checkpoint?size=1", "first", "tile/0/000.p/1"):
                path = f"/federation/v1/log/{stated.log}/{what}"
                async with asyncio.timeout(5):
                    assert (await client.get(path)).status == 200
            are_done.set()
            served = [(await task).status for task in flood]
            assert served.count(200) == 18


async def test_whole_tiles_and_the_newest_note_are_given_from_memory(
    new_database: NewDatabase,
) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (client, _),
    ):
        await pay(federated, 300, "eggs")
        stated = await newest(client)
        base = f"/federation/v1/log/{stated.log}"
        paths = [f"{base}/tile/0/000", f"{base}/checkpoint?size={stated.size}"]
        first = [await (await client.get(path)).read() for path in paths]
        await federated.hub.change("ALTER TABLE decision RENAME TO decision_away")
        await federated.hub.change("ALTER TABLE checkpoint RENAME TO checkpoint_away")
        assert [await (await client.get(path)).read() for path in paths] == first
        # What is part of a whole tile is too.
        answer = await client.get(f"{base}/tile/0/000.p/7")
        assert await answer.read() == first[0][: 7 * 32]


def cover(group: Group, named: Checkpoint, keys_of: str | None = None) -> VerifiedCover:
    """A group's cover that names a checkpoint."""
    payload = cover_payload(from_=group, checkpoint=named)
    key = signing_key(keys_of or group)
    line_1, _ = envelope.seal(payload, key)
    period = KeyPeriod(group, key.public, 1, None)
    return VerifiedCover(payload=payload, period=period, line_1=line_1)


async def receipt_of(client: Client, transfer_id: str) -> tuple[bytes, list[Group]]:
    answer = await client.get(f"/federation/v1/evidence/{transfer_id}")
    assert answer.status == 200
    raw = await answer.read()
    return raw, verify_receipt(raw, FEDERATION).witnesses


async def test_more_witnesses_than_a_receipt_may_carry_are_cut_in_name_order(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [Group(f"groep-{number:03}") for number in range(WITNESSES_MAX + 1)]
    async with federation(new_database) as federated:
        for name in reversed(names):
            await admit(federated.hub, name)
        [transfer_id] = await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            stated = await newest(client)
            for place, name in enumerate(reversed(names), 1):
                evidence.note_cover(cover(name, stated.short))
                if place == WITNESSES_MAX:
                    _, witnesses = await receipt_of(client, transfer_id)
                    assert witnesses == names[1:]
            _, witnesses = await receipt_of(client, transfer_id)
            assert witnesses == names[:-1]
            # However long entries are, the receipt can be read.
            up_to = 50_000
            monkeypatch.setattr("clearing.evidence._WITNESSES_UP_TO", up_to)
            raw, witnesses = await receipt_of(client, transfer_id)
            assert witnesses == names[: len(witnesses)]
            assert 0 < len(witnesses) < WITNESSES_MAX
            told = msgspec.json.encode(msgspec.json.decode(raw)["told"])
            assert up_to - 4000 < len(raw) - len(told) <= up_to


@pytest.mark.parametrize("root_too", [True, False])
async def test_a_size_that_was_never_signed_costs_no_witness(
    new_database: NewDatabase, *, root_too: bool
) -> None:
    async with federation(new_database) as federated:
        for name in ("gent", "brugge", "leuven", "hasselt"):
            await admit(federated.hub, Group(name))
        [transfer_id] = await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            stated = await newest(client)
            evidence.note_cover(cover(Group("gent"), stated.short))
            await pay(federated, 1, "bread")
            bogus = Checkpoint(
                log=stated.log,
                size=10**9 if root_too else (await newest(client)).size,
                root=write_base64url(bytes(32)),
            )
            for name in ("brugge", "leuven", "hasselt"):
                evidence.note_cover(cover(Group(name), bogus))
            _, witnesses = await receipt_of(client, transfer_id)
            assert witnesses == ["gent"]


async def test_a_cover_under_keys_of_later_spoils_no_receipt(
    new_database: NewDatabase,
) -> None:
    """A group that has changed its keys still names the checkpoint of before."""
    async with federation(new_database) as federated:
        for name in ("gent", "brugge"):
            await admit(federated.hub, Group(name))
        [transfer_id] = await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            stated = await newest(client)
            evidence.note_cover(cover(Group("gent"), stated.short))
            renewed = cover(Group("brugge"), stated.short, keys_of="brugge later")
            evidence.note_cover(renewed)
            _, witnesses = await receipt_of(client, transfer_id)
            assert witnesses == ["gent"]
            await evidence.keep_newest(federated.hub.database)
        assert await witness_rows(federated) == [(stated.size, "gent")]


async def witness_rows(federated: Federation) -> list[tuple[int, str]]:
    rows = await federated.hub.ask("SELECT size, group_name FROM witness ORDER BY 1, 2")
    return [(row["size"], row["group_name"]) for row in rows]


@pytest.mark.parametrize("log", ["ours", "another"])
async def test_a_size_that_was_never_signed_keeps_no_witness_out(
    new_database: NewDatabase, log: str
) -> None:
    async with federation(new_database) as federated:
        for name in ("gent", "brugge"):
            await admit(federated.hub, Group(name))
        await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            stated = await newest(client)
            evidence.note_cover(cover(Group("gent"), stated.short))
            bogus = Checkpoint(
                log=stated.log if log == "ours" else "AAAAAAAAAAA",
                size=2**53 - 1,
                root=write_base64url(bytes(32)),
            )
            evidence.note_cover(cover(Group("brugge"), bogus))
            await evidence.keep_newest(federated.hub.database)
        assert await witness_rows(federated) == [(stated.size, "gent")]


async def test_groups_are_answered_while_a_receipt_is_proved(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    proving, go_on = threading.Event(), threading.Event()

    def slow(receipt: Receipt) -> Receipt:
        proving.set()
        assert go_on.wait(10), "nobody else had a turn"
        return with_words(receipt)

    monkeypatch.setattr("clearing.evidence.with_words", slow)
    async with federation(new_database) as federated:
        [transfer_id] = await pay(federated, 1, "eggs")
        async with (
            published(federated) as (client, _),
            asyncio.TaskGroup() as group,
        ):
            asked = group.create_task(receipt_of(client, transfer_id))
            await until(proving.is_set)
            await newest(client)
            assert not asked.done()
            go_on.set()


async def restart(federated: Federation) -> None:
    hub = federated.hub
    before = hub.clerk.life
    await hub.end_clerks()
    await until(lambda: hub.clerk.life != before and hub.clerk.is_ready)


@pytest.mark.parametrize("is_asked_before", [True, False])
async def test_a_start_of_the_hub_forgets_no_witness(
    new_database: NewDatabase, *, is_asked_before: bool
) -> None:
    async with federation(new_database) as federated:
        await admit(federated.hub, Group("gent"))
        [transfer_id] = await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            stated = await newest(client)
            evidence.note_cover(cover(Group("gent"), stated.short))
            evidence.note_cover(cover(OOSTENDE, stated.short))
            if is_asked_before:
                before, _ = await receipt_of(client, transfer_id)
            else:
                # As when the hub is told to stop.
                await evidence.keep_newest(federated.hub.database)
        await restart(federated)
        async with published(federated) as (client, _):
            raw, witnesses = await receipt_of(client, transfer_id)
            assert witnesses == ["gent"]
            assert not is_asked_before or raw == before
        assert await witness_rows(federated) == [
            (stated.size, "gent"),
            (stated.size, "oostende"),
        ]


async def test_only_a_receipt_has_a_cover_written_and_once(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        for name in ("gent", "brugge"):
            await admit(federated.hub, Group(name))
        [first] = await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            before = await newest(client)
            evidence.note_cover(cover(Group("gent"), before.short))
            _, witnesses = await receipt_of(client, f"{first}?witnesses=false")
            assert witnesses == []
            assert await witness_rows(federated) == []
            await receipt_of(client, first)
            await pay(federated, 1, "bread")
            after = await newest(client)
            evidence.note_cover(cover(Group("gent"), after.short))
            # As many were shown the older one, and that is kept already.
            for _ in range(2):
                _, witnesses = await receipt_of(client, first)
                assert witnesses == ["gent"]
                assert await witness_rows(federated) == [(before.size, "gent")]
            # More have been shown the newer one: it is the better proof.
            evidence.note_cover(cover(Group("brugge"), after.short))
            _, witnesses = await receipt_of(client, first)
            assert witnesses == ["brugge", "gent"]
            assert await witness_rows(federated) == [
                (before.size, "gent"),
                (after.size, "brugge"),
                (after.size, "gent"),
            ]


async def test_a_receipt_is_given_though_nothing_can_be_kept(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await admit(federated.hub, Group("gent"))
        [transfer_id] = await pay(federated, 1, "eggs")
        async with published(federated) as (client, evidence):
            stated = await newest(client)
            evidence.note_cover(cover(Group("gent"), stated.short))
            await federated.hub.database.desk.close()
            _, witnesses = await receipt_of(client, transfer_id)
            assert witnesses == ["gent"]


async def test_a_directory_is_folded_on_from_the_nearest_that_is_known(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded: list[str] = []
    fold = directory.fold

    def count(before: Any, decision: Any, *rest: Any) -> Any:
        folded.append(decision.group)
        return fold(before, decision, *rest)

    monkeypatch.setattr("protocol.peer.directory_history.fold", count)
    async with federation(new_database) as federated:
        for number in range(8):
            await admit(federated.hub, Group(f"groep-{number}"))
        history = DirectoryHistory(FEDERATION)
        steps = {}
        async with federated.hub.database.readers.acquire() as connection:
            for version in (4, 10, 4, 7, 10, 7, 2):
                before = len(folded)
                found = await history.at(connection, version)
                assert len(found.directory) == version
                steps.setdefault(version, []).append(len(folded) - before)
        assert steps == {4: [4, 0], 10: [6, 0], 7: [3, 0], 2: [2]}


WRONG = {
    "evidence/0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b": 404,
    "evidence/nonsense": 404,
    "evidence/0f0f0f0f-1e1e-8d2d-9c3c-4b4b4b4b4b4b?witnesses=no": 400,
    "log/AAAAAAAAAAA/checkpoint": 404,
    "log/AAAAAAAAAAA/checkpoint?size=-1": 400,
    "log/AAAAAAAAAAA/checkpoint?size=%00": 400,
    "log/AAAAAAAAAAA/tile/0/000": 404,
    "log/AAAAAAAAAAA/tile/0/000.p/0": 400,
    "log/AAAAAAAAAAA/tile/0/000.p/256": 400,
    "log/AAAAAAAAAAA/tile/0/000.p/257": 400,
    "log/AAAAAAAAAAA/tile/9/000": 400,
    "log/AAAAAAAAAAA/tile/0/999": 404,
    "log/AAAAAAAAAAA/tile/0/x999/x999/x999/999": 404,
    "log/AAAAAAAAAAA/tile/0/x999/x999/x999/x999/999": 400,
    "log/AAAAAAAAAAA/tile/0/x999/x999/x999/x999/x999/999": 400,
    "log/AAAAAAAAAAA/tile/0/../../checkpoint": 404,
    "log/nonsense/checkpoint": 404,
    "log/AAAAAAAAAAA/first": 404,
    "log/nonsense/first": 404,
}


async def test_what_is_not_there_is_a_clear_answer(new_database: NewDatabase) -> None:
    async with (
        federation(new_database) as federated,
        published(federated) as (
            client,
            _,
        ),
    ):
        found = {}
        for path in WRONG:
            answer = await client.get(f"/federation/v1/{path}")
            found[path] = answer.status
        assert found == WRONG
