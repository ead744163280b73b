"""A treasurer's pages about the group among others: leaving, sharing, proofs, keys."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from clearing.api.cycle_requests import PER_MINUTE_MAX, CycleRequests
from clearing.api.cycles import CyclesApi
from clearing.cycle_files import CycleFiles
from clearing.evidence import Evidence
from nodes import limit_store
from nodes.cycle_proofs import CycleProof, CycleProofs
from nodes.house import NodeHouse
from nodes.hub_reader import HubReader
from protocol.cycle_file import verify_cycle_file
from protocol.cycle_request import CycleRequest, write_cycle_request
from protocol.instant import write_instant
from protocol.messages import Share, SharedPlan, write_line
from protocol.peer.web import problems
from protocol.peer.web.words import LANGUAGES, Language, sentences
from tests.nodes.browsing import Town, let_in, town
from tests.nodes.test_pages_cycles import close, pay, until
from tests.peer.federation import NewDatabase, identity
from tests.protocol.makers import FEDERATION, MECHELEN, OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
EN = sentences("en")
DESK = "/treasurer"
PAGES = ("/shares", "/warning", "/keys", "/leaving", "/cycles/1/proof")
HOUR = 3_600_000
#: What a proof's hub may send instead of a file, and how that is told.
LIES = {
    "nothing": b"",
    "a page": b"<html>down</html>",
    "another file": b'{"told":["Interlets receipt"]}\n',
    "no end": b'{"told":["Interlets cycle',
    "too much": b"x" * (1 << 20),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Town]:
    async with town(shared_database) as found:
        yield found


def at_hub(shown: Town) -> web.Application:
    """Answer as the hub does to who asks for a cycle file."""
    hub: Any = shown.made.federated.hub
    files = CycleFiles(identity(), Evidence(identity()))
    cycles = CyclesApi(hub.house, hub.clerk, hub.database, hub.clock, files)
    application = web.Application(middlewares=[problems.middleware(hub.metrics)])
    requests = CycleRequests(hub.house, hub.clerk, hub.clock, cycles)
    application.add_routes(requests.routes())
    return application


def proofs(shown: Town, url: str, answer_s: float = 20.0) -> CycleProofs:
    node = shown.node()
    assert isinstance(node.house, NodeHouse)
    return CycleProofs(node.house, node.clerk, node.database, url, answer_s)


async def from_hub(shown: Town, answer: Any, answer_s: float = 20.0) -> CycleProof:
    """Fetch from a hub that answers as it likes."""
    application = web.Application()
    application.router.add_post("/federation/v1/cycle-file", answer)
    async with TestServer(application) as hub:
        return await proofs(shown, str(hub.make_url("")).rstrip("/"), answer_s).fetch(1)


async def test_a_reader_sees_all_and_is_asked_nothing(shown: Town) -> None:
    piet = await let_in(shown, "@piet", "reader")
    for path in PAGES:
        page = await piet.get(DESK + path)
        assert page.status == 200, path
        ours = [one.action for one in page.forms if one.action.startswith(DESK)]
        assert ours == [], path
    for path in ("/leaving", "/keys"):
        assert (await piet.get(f"{DESK}{path}/confirm?reason=x")).status == 403
    for path in ("/leaving", "/keys", "/warning"):
        assert (await piet.post(DESK + path, {"reason": "x"})).status == 403


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_speaks_her_language(shown: Town, language: Language) -> None:
    said = sentences(language)
    tine = await let_in(shown, f"@tine-{language}", language=language)
    for path, key in zip(
        PAGES[:4],
        ("own-shares.told", "warning.told", "own-keys.told", "own-leaving.is-active"),
        strict=True,
    ):
        page = await tine.get(DESK + path)
        assert said[key] in page.text.replace("\u00a0", " "), path
        assert any(one == DESK for one in page.links)


async def test_she_sets_from_when_on_she_is_warned(shown: Town) -> None:
    tine, at = await let_in(shown), f"{DESK}/warning"
    node = shown.node()
    assert isinstance(node.house, NodeHouse)
    for typed in ("0", "101", "-5", "7.5", "x", ""):
        page = await tine.send(await tine.get(at), at, percent=typed)
        assert page.wrong == ["percent"], typed
        assert node.house.warn_percent == 80
    for typed, percent in (("1", 1), ("100 %", 100), ("60", 60), ("60", 60)):
        page = await tine.send(await tine.get(at), at, percent=typed)
        assert f"from {percent} %" in page.text
        assert node.house.warn_percent == percent
    rows = await node.ask("SELECT FROM act WHERE deed = 'warning-set'")
    assert len(rows) == 3
    # After a restart it is read from there.
    async with node.database.readers.acquire() as connection:
        assert await limit_store.read_percent(connection) == 60


async def test_what_a_plan_would_cost_is_shown_before_it_is_decided(
    shown: Town,
) -> None:
    plan = SharedPlan(
        id="2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10",
        at="2026-06-01T00:00:00.000Z",
        cycle=0,
        group="brussel",
        rule="size",
        shares=[
            Share(MECHELEN, 3 * HOUR, None, -3 * HOUR),
            Share(OOSTENDE, HOUR, None, -HOUR),
        ],
    )
    await shown.node().change(
        "INSERT INTO shared (shared_id, why, group_name, item, line, amount) VALUES"
        f" ('{plan.id}', 'debt', 'brussel', 900, '\\x{write_line(plan).hex()}',"
        f" {-HOUR})"
    )
    tine = await let_in(shown)
    page = await tine.get(f"{DESK}/shares")
    assert EN["own-shares.waiting"] in page.text
    assert f"{DESK}/shares/{plan.id}" in page.links
    page = await tine.get(f"{DESK}/shares/{plan.id}")
    assert EN["own-shares.is-told"] in page.text
    for part in ("-4 h", "-3 h", "-1 h"):
        assert part in page.text.replace("\u00a0", " ").replace("\u2212", "-"), part
    for nobodys in ("00000000-0000-8000-8000-000000000000", "x", "%00"):
        assert (await tine.get(f"{DESK}/shares/{nobodys}")).status == 404


async def test_the_hubs_file_is_fetched_and_verified(
    shown: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    tine = await let_in(shown)
    page = await tine.get(f"{DESK}/cycles/1/proof")
    assert (page.status, EN["proof.away"] in page.text) == (200, True)
    page = await tine.get(f"{DESK}/cycles/1/file.json")
    assert page.place == f"{DESK}/cycles/1/proof"
    await pay(shown)
    cycle = await close(shown)
    async with TestServer(at_hub(shown)) as hub:
        url = str(hub.make_url("")).rstrip("/")
        monkeypatch.setattr(
            "nodes.cycle_proofs.HubReader", lambda _, answer_s: HubReader(url, answer_s)
        )
        page = await tine.get(f"{DESK}/cycles/{cycle}/proof")
        assert EN["proof.proved"] in page.text, page.text
        page = await tine.get(f"{DESK}/cycles/{cycle}/file.json")
        proven = verify_cycle_file(page.raw.encode(), FEDERATION)
        assert proven.decision.cycle == cycle
        # None of this number has ended.
        page = await tine.get(f"{DESK}/cycles/{cycle + 1}/proof")
        assert EN["proof.wrong"] in page.text
        # The hub tells another end of the cycle than it told us.
        await shown.node().change("UPDATE cycle SET number = number + 1000000")
        page = await tine.get(f"{DESK}/cycles/{cycle}/proof")
        assert EN["proof.wrong"] in page.text and "decision:" in page.text
        await shown.node().change("UPDATE cycle SET number = number - 1000000")
        for _ in range(PER_MINUTE_MAX - 4):
            await tine.get(f"{DESK}/cycles/{cycle}/proof")
        page = await tine.get(f"{DESK}/cycles/{cycle}/proof")
        assert (page.status, EN["proof.away"] in page.text) == (200, True)


@pytest.mark.parametrize("case", LIES)
async def test_what_proves_nothing_is_not_believed(shown: Town, case: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=LIES[case])

    proof = await from_hub(shown, answer)
    assert (proof.raw, proof.proven, proof.is_away) == (b"", None, False)
    assert proof.why


async def test_a_slow_or_broken_hub_is_away(shown: Town) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def broken(_request: web.Request) -> web.Response:
        return web.Response(status=500)

    assert (await from_hub(shown, never, 0.2)).is_away
    assert (await from_hub(shown, broken)).is_away


@pytest.mark.parametrize("case", ["nobody", "another key", "old", "federation", "none"])
async def test_the_hub_gives_its_file_to_groups_alone(shown: Town, case: str) -> None:
    house: Any = shown.node().house
    now = shown.made.federated.hub.clock.now()
    fields: dict[str, Any] = {
        "federation": house.federation,
        "group": "nobody" if case == "nobody" else OOSTENDE,
        "at": write_instant(now - (700_000 if case == "old" else 0)),
    }
    if case == "federation":
        fields["federation"] = "other#" + "A" * 43
    key = house.own_key
    if case == "another key":
        key = shown.node(MECHELEN).house.own_key  # type: ignore[attr-defined]
    signed = write_cycle_request(CycleRequest(v=1, cycle=1, **fields), key)
    raw = b"" if case == "none" else signed.encode()
    async with (
        TestServer(at_hub(shown)) as hub,
        ClientSession() as session,
        session.post(hub.make_url("/federation/v1/cycle-file"), data=raw) as answer,
    ):
        assert answer.status in (400, 401), await answer.text()


async def test_keys_are_shown_and_asked_about(shown: Town) -> None:
    tine, at = await let_in(shown), f"{DESK}/keys"
    house: Any = shown.node().house
    page = await tine.get(at)
    assert house.own_key.kid in page.text
    page = await tine.send(page, f"{at}/confirm", reason=" ")
    assert page.wrong == ["reason"]
    page = await tine.send(page, f"{at}/confirm", reason="the old laptop is gone")
    fields = page.form(at).fields
    assert fields["version"] == str(house.own_record().entry.version)
    # A version that counts no more changes nothing.
    page = await tine.post(at, fields | {"version": "77"})
    assert page.status == 200 and 'role="alert"' in page.raw
    for wrong in ("", "0", "x", "1" * 30):
        assert (await tine.post(at, fields | {"version": wrong})).status == 400
    assert house.renewal is None


async def test_the_group_says_goodbye_once(shown: Town) -> None:
    tine, at = await let_in(shown), f"{DESK}/leaving"
    house: Any = shown.node().house
    page = await tine.send(await tine.get(at), f"{at}/confirm", reason="")
    assert page.wrong == ["reason"]
    page = await tine.send(page, f"{at}/confirm", reason="decided <b>in June</b>")
    assert EN["own-leaving.at-once"] in page.text and "<b>in" not in page.raw
    fields = page.form(at).fields
    for _ in range(2):
        page = await tine.post(at, fields)
        assert page.place.startswith(at)

    async def is_leaving() -> bool:
        return bool(house.own_record().state == "leaving")

    await until(is_leaving)
    rows = await shown.node().ask("SELECT FROM leaving_wish")
    assert len(rows) == 1
    page = await tine.get(at)
    assert EN["own-leaving.is-leaving"] in page.text
    assert EN["own-leaving.stay"] in page.text
    assert not [one for one in page.forms if one.action.startswith(at)]
    page = await tine.get(f"{at}/confirm?reason=again")
    assert page.place == at
