"""The hub's pages about cycles, without scripts: how one is closed and settled."""

import csv
import io
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import pytest_asyncio
from yarl import URL

from clearing.cycle_watch import CycleWatch as HubWatch
from clearing.house import HubHouse
from nodes.rules import SignLeg
from nodes.watch.cycle_watch import CycleWatch
from protocol.address import Group
from protocol.cycle_file import verify_cycle_file
from protocol.peer.access_store import hash_secret
from protocol.peer.csv_text import BYTE_ORDER_MARK, Hours
from protocol.peer.web.routes import ADMIN, READER
from protocol.peer.web.words import LANGUAGES, sentences
from protocol.unit import HOUR
from tests.clearing.browsing import (
    NOBODYS,
    Desk,
    admin_token,
    cookie_of,
    desk,
    pages_of,
    pay,
)
from tests.nodes.browsing import Browser, Page
from tests.peer.federation import NewDatabase
from tests.protocol.makers import MECHELEN, OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
EN = sentences("en")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Desk]:
    async with desk(shared_database) as found:
        yield found


async def agree(desk: Desk, rounds: int = 1) -> None:
    """Let everyone look at what was said; of a dispute there is more to say."""
    hub = desk.federated.hub
    assert isinstance(hub.house, HubHouse)
    watch = HubWatch(hub.house, hub.clerk, hub.database)
    for _ in range(rounds):
        await desk.federated.quiet()
        for node in desk.federated.nodes.values():
            await CycleWatch(node.clerk, node.database).look()
        await watch.look()
    await desk.federated.quiet()


async def close(desk: Desk, admin: Browser) -> int:
    """Close the open cycle by its buttons; gives its number."""
    page = await admin.get("/cycles")
    [place] = [one for one in page.links if one.endswith("/close")]
    page = await admin.send(await admin.get(place), place)
    assert page.status == 200, page.text
    assert EN["cycle.saved-closed"] in page.text
    return int(page.place.split("/")[2].partition("?")[0])


async def ended(desk: Desk, admin: Browser, key: str) -> int:
    """A cycle with a payment, that both groups have agreed to."""
    await pay(desk, key)
    number = await close(desk, admin)
    await agree(desk)
    return number


async def sign(desk: Desk, group: str, leg_id: str, word: str) -> None:
    told: Any = {"leg_id": leg_id, "word": word, "reason": "by bank"}
    wanted = SignLeg(**told, author="@treasurer")
    assert await desk.federated.nodes[Group(group)].clerk.take(wanted)
    await desk.federated.quiet()


async def settled(desk: Desk, admin: Browser, number: int) -> Page:
    """Make the plan's one leg, let both sign, and give the cycle's page."""
    page = await admin.get(f"/cycles/{number}/settle")
    page = await admin.send(page, f"/cycles/{number}/settle")
    assert EN["cycle.saved-settled"] in page.text
    await desk.federated.quiet()
    [cancel] = [one for one in page.links if one.endswith("/cancel")]
    leg_id = cancel.split("/")[2]
    positions = await desk.federated.hub.balances()
    debtor = next(name for name, position in positions.items() if position < 0)
    creditor = next(name for name, position in positions.items() if position > 0)
    await sign(desk, debtor, leg_id, "paid")
    page = await admin.get(f"/cycles/{number}")
    assert f"{debtor} signed “paid” on" in page.text
    assert f"{creditor} has not signed “received” yet" in page.text
    await sign(desk, creditor, leg_id, "received")
    return await admin.get(f"/cycles/{number}")


async def table(browser: Browser, path: str) -> list[dict[str, str]]:
    """Read a file as a spreadsheet does."""
    answer = await browser.client.get(path)
    assert answer.status == 200, path
    assert answer.content_type == "text/csv"
    raw = await answer.read()
    text = raw.decode("utf-8")
    assert text.startswith(BYTE_ORDER_MARK) and text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


def check_policy(page: Page) -> None:
    """It is a page like all others, which ``test_pages_enemies`` looks at."""
    assert page.status == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=", page.raw)


# A whole cycle.


async def test_a_cycle_is_closed_agreed_to_and_settled_on_pages(shown: Desk) -> None:
    admin = await shown.admin()
    page = await admin.get("/cycles")
    assert EN["cycles.none"] in page.text and EN["cycles.no-moves"] in page.text
    await pay(shown, "first")
    page = await admin.get("/cycles")
    assert EN["positions.sums-good"] in page.text
    page = await admin.get("/cycles/1/close")
    assert EN["close.goes-on"] in page.text and EN["close.holds-up"] not in page.text
    assert await close(shown, admin) == 1
    page = await admin.get("/cycles/1")
    # Nobody has answered yet; both are named.
    assert page.text.count(EN["cycle.said-waiting"]) >= 2
    assert EN["cycle.sums-good"] in page.text
    await agree(shown)
    page = await admin.get("/cycles/1")
    assert page.text.count(EN["cycle.said-agreed"]) == 2
    assert EN["positions.look-at"] not in page.text
    balances = await shown.federated.hub.balances()
    minutes = balances["mechelen"] // 60_000
    for told in (f"-{minutes} min", f" {minutes} min"):
        assert told in page.text
    assert EN["netting.novation-told"] in page.text
    listed = await admin.get("/cycles")
    assert EN["cycles.agreed-all"] in listed.text
    assert EN["cycles.not-settled"] in listed.text

    page = await admin.get("/cycles/1/settle")
    assert "oostende→ mechelen3 min" in page.text.replace(" →", "→")
    assert EN["settle.least"] in page.text
    assert EN["settle.remaining"] not in page.text
    # The file has the plan that the page shows.
    assert len(await table(admin, "/cycles/1/plan.csv")) == 1
    assert await table(admin, "/cycles/1/plan.csv?excepted=oostende") == []
    page = await settled(shown, admin, 1)
    assert EN["settle.arrived"] in page.text
    assert EN["settle.state-settled"] in page.text
    assert await shown.federated.hub.balances() == {}
    assert not [one for one in page.links if one.endswith(("/cancel", "/settle"))]
    assert EN["cycles.settled"] in (await admin.get("/cycles")).text
    # What is over cannot be planned again, and says so.
    page = await admin.get("/cycles/1/settle")
    assert "nobody owes anything" in page.text and page.forms[:-2] == []


async def test_the_file_is_the_one_that_verifies(shown: Desk) -> None:
    admin = await shown.admin()
    number = await ended(shown, admin, "file")
    answer = await admin.client.get(f"/cycles/{number}/file")
    told = f'attachment; filename="cycle-{number}.json"'
    assert answer.headers["Content-Disposition"] == told
    proven = verify_cycle_file(await answer.read(), None)
    assert proven.decision.cycle == number
    page = await admin.get(f"/cycles/{number}")
    assert f"interlets-verify cycle-{number}.json --federation '" in page.text
    assert proven.federation in page.text


# Buttons act once.


async def test_a_button_that_is_pressed_twice_acts_once(shown: Desk) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    await pay(shown, "twice")
    [place] = [one for one in (await admin.get("/cycles")).links if "/close" in one]
    seen = await admin.get(place)
    for _ in range(2):
        page = await admin.send(seen, place)
        assert page.status == 200 and page.place.startswith("/cycles/")
    number = int(place.split("/")[2])
    [(newest,)] = await hub.ask("SELECT max(cycle) FROM cycle")
    assert newest == number
    await agree(shown)

    place = f"/cycles/{number}/settle"
    seen = await admin.get(place)
    for _ in range(2):
        page = await admin.send(seen, place)
        assert EN["cycle.saved-settled"] in page.text
    legs = await hub.ask(f"SELECT leg_id FROM leg WHERE cycle = {number}")
    assert len(legs) == 1

    place = f"/legs/{legs[0][0]}/cancel"
    seen = await admin.get(place)
    check_policy(seen)
    assert EN["settle.cancel-half"] not in seen.text
    for _ in range(2):
        page = await admin.send(seen, place)
        assert EN["cycle.saved-cancelled"] in page.text
        assert EN["settle.state-cancelled"] in page.text
    page = await admin.get(place)
    assert EN["settle.cancel-never"] in page.text
    assert place not in [one.action for one in page.forms]
    # A leg that was called off leaves what is owed, and is planned anew.
    page = await admin.get(f"/cycles/{number}")
    assert f"/cycles/{number}/settle" in page.links


async def test_a_leg_with_both_words_is_called_off_no_more(shown: Desk) -> None:
    admin = await shown.admin()
    number = await ended(shown, admin, "both words")
    await settled(shown, admin, number)
    rows = await shown.federated.hub.ask(
        f"SELECT leg_id FROM leg WHERE cycle = {number} AND state = 'settled'"
    )
    page = await admin.post(f"/legs/{rows[0][0]}/cancel", {})
    assert page.status == 409 and "both words" in page.text
    assert EN["settle.cancel-now"] not in page.text


async def test_who_was_signed_out_comes_back_to_the_question(shown: Desk) -> None:
    admin = await shown.admin()
    [place] = [one for one in (await admin.get("/cycles")).links if "/close" in one]
    await admin.post("/sign-out", {})
    page = await admin.post(place, {})
    assert page.status == 401
    page = await admin.send(page, "/welcome", code=await shown.code())
    assert page.place == place and page.form(place).method == "post"


async def test_what_holds_a_close_up_is_named_and_no_button_is_there(
    shown: Desk,
) -> None:
    admin, clerk = await shown.admin(), shown.federated.hub.clerk
    [place] = [one for one in (await admin.get("/cycles")).links if "/close" in one]
    known = clerk.links[MECHELEN]
    away = msgspec.structs.replace(known, is_named=False, has_given=False)
    clerk.links[MECHELEN] = away
    assert not away.has_compared
    try:
        page = await admin.get(place)
        assert EN["close.holds-up"] in page.text and "mechelen" in page.text
        assert place not in [one.action for one in page.forms]
        page = await admin.post(place, {})
        assert page.status == 409 and "compared with mechelen" in page.text
    finally:
        clerk.links[MECHELEN] = known


# A dispute.


async def alter(desk: Desk, amount: int) -> str:
    """Change by hand what Oostende's newest payment moved; gives its number."""
    node = desk.federated.nodes[OOSTENDE]
    [(entry,)] = await node.ask(
        "SELECT entry_id FROM entry JOIN posting USING (sequence)"
        " WHERE account_id = 'clearing' ORDER BY sequence DESC LIMIT 1"
    )
    await node.change(
        "ALTER TABLE posting DISABLE TRIGGER USER;"
        f"UPDATE posting SET amount = amount + {amount} WHERE account_id = 'clearing'"
        f" AND sequence = (SELECT sequence FROM entry WHERE entry_id = '{entry}');"
        "ALTER TABLE posting ENABLE TRIGGER USER"
    )
    return str(entry)


async def test_a_dispute_names_the_move_in_both_versions_and_the_way_back(
    shown: Desk,
) -> None:
    admin = await shown.admin()
    transfer_id = await pay(shown, "disputed")
    assert await alter(shown, 1000) == transfer_id
    number = await close(shown, admin)
    await agree(shown, 8)
    place = f"/cycles/{number}/disputes/oostende"
    page = await admin.get(f"/cycles/{number}")
    assert place in page.links and EN["cycle.disputes-look"] in page.text
    assert EN["cycles.disputed-one"] in (await admin.get("/cycles")).text
    # Nobody is asked to settle what somebody says is wrong.
    assert f"/cycles/{number}/settle" not in page.links
    assert "Find out together" in page.text
    page = await admin.get(f"/cycles/{number}/settle")
    assert "Find out together" in page.text and EN["settle.then"] not in page.text
    page = await admin.post(f"/cycles/{number}/settle", {"legs": "0"})
    assert page.status == 409 and "Find out together" in page.text
    # But without who disputes; then nobody else has anything to make good.
    page = await admin.get(f"/cycles/{number}")
    without = f"/cycles/{number}/settle?excepted=oostende"
    assert without in page.links
    page = await admin.get(without)
    check_policy(page)
    assert EN["settle.plan-anew"] in page.text and "Find out together" not in page.text
    for typed, told in (
        ("nobody", "cannot be an exception"),
        ("Oostende oostende", "named it twice"),
        ("<b>", "<b> cannot be an exception"),
    ):
        page = await admin.get(
            f"/cycles/{number}/settle?{urlencode({'excepted': typed})}"
        )
        assert page.status == 422 and told in page.text, typed
        fields = {"legs": "0", "excepted": typed}
        page = await admin.post(f"/cycles/{number}/settle", fields)
        assert page.status == 422 and told in page.text, typed
        # What was typed stays, with what is wrong beneath it.
        assert page.wrong == ["excepted"]
    page = await admin.post(
        f"/cycles/{number}/settle", {"legs": "0", "excepted": ",".join(["a"] * 101)}
    )
    assert page.status == 400

    page = await admin.get(place)
    check_policy(page)
    assert page.links.count(f"/transfers/{transfer_id}") == 2
    assert "-3 min" in page.text and "-3 min 1 s" in page.text
    assert "-180,000 ms" in page.text and "-181,000 ms" in page.text
    assert EN["dispute.differs"] in page.text
    assert f"interlets-node cycle check {number}" in page.text
    assert (await admin.get(f"/cycles/{number}/disputes/mechelen")).status == 404

    await alter(shown, -1000)
    node = shown.federated.nodes[OOSTENDE]
    await CycleWatch(node.clerk, node.database).check(number, "@treasurer", "put right")
    await agree(shown)
    page = await admin.get(place)
    assert "has agreed since" in page.text and EN["dispute.way-back"] not in page.text
    page = await admin.get(f"/cycles/{number}")
    assert EN["cycle.said-mended"] in page.text and place in page.links


# Files.

TABLES = (
    *("/positions.csv", "/flows.csv?days=36500", "/links.csv", "/cycles.csv"),
    *("/cycles/open.csv", "/cycles/1/statements.csv", "/cycles/1/netting.csv"),
    *("/cycles/1/flows.csv", "/cycles/1/legs.csv", "/cycles/1/targets.csv"),
)


async def test_every_table_is_a_file_whose_hours_are_its_milliseconds(
    shown: Desk,
) -> None:
    admin = await shown.admin()
    for path in TABLES:
        rows = await table(admin, path)
        assert rows, path
        times = [one for one in rows[0] if one.endswith("hours")]
        for row in rows:
            assert None not in row and None not in row.values(), path
            for name in times:
                told = row[name.removesuffix("hours") + "milliseconds"]
                assert row[name] == (Hours(int(told)).written() if told else "")
    stated = await table(admin, "/cycles/1/statements.csv")
    assert sum(int(one["closing_milliseconds"]) for one in stated) == 0
    assert [one["group"] for one in stated] == ["mechelen", "oostende"]
    netting = {one["way"]: one for one in await table(admin, "/cycles/1/netting.csv")}
    assert set(netting) == {"gross", "bilateral", "multilateral", "novation"}
    # Empty ones have their columns all the same.
    assert await table(admin, "/transfers.csv") == []
    assert await table(admin, "/cycles/1/plan.csv") == []
    [newest, *_] = await table(admin, "/cycles.csv")
    assert int(newest["cycle"]) > 1


async def test_the_list_of_cycles_goes_on_where_a_page_ends(
    shown: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await shown.admin()
    monkeypatch.setattr("clearing.pages.cycles._CYCLES", 1)
    monkeypatch.setattr("clearing.pages.cycles._STATEMENTS", 1)
    monkeypatch.setattr("clearing.pages.tables._ROWS", 1)
    page, seen = await admin.get("/cycles"), list[str]()
    while True:
        seen += re.findall(r'id="cycle-(\d+)"', page.raw)
        older = [one for one in page.links if one.startswith("/cycles?before=")]
        if not older:
            break
        page = await admin.get(older[0])
    [(count,)] = await shown.federated.hub.ask("SELECT count(*) FROM cycle")
    assert seen == [str(number) for number in range(count, 0, -1)]
    assert len(await table(admin, "/cycles.csv")) == count
    page = await admin.get("/cycles/1")
    assert EN["cycle.together-all"] in page.text
    [more] = [one for one in page.links if "?after=" in one]
    page = await admin.get(more)
    assert "/groups/oostende" in page.links and "/groups/mechelen" not in page.links
    assert len(await table(admin, "/cycles/1/statements.csv")) == 2
    for wrong in ("x", "0", "-1", "9" * 30, "%C2%B2"):
        assert (await admin.get(f"/cycles?before={wrong}")).status == 400, wrong


# Who may what.


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_of_cycles_speaks_her_language(
    shown: Desk, language: str
) -> None:
    said = sentences(language)  # type: ignore[arg-type]
    admin = await shown.admin(language)
    [(opened,)] = await shown.federated.hub.ask("SELECT max(cycle) + 1 FROM cycle")
    for path, key in (
        ("/cycles", "cycles.told"),
        ("/cycles/1", "cycle.statements-told"),
        ("/cycles/1", "netting.gross-told"),
        ("/cycles/1/settle", "settle.not-now"),
        (f"/cycles/{opened}/close", "close.silence"),
    ):
        page = await admin.get(path)
        assert page.status == 200, path
        assert f'<html lang="{language}">' in page.raw
        assert said[key].replace(" ", "") in page.text.replace("\u00a0", "").replace(
            " ", ""
        ), path


async def test_a_reader_sees_it_all_and_has_no_buttons(shown: Desk) -> None:
    reader, hub = await shown.admin(), shown.federated.hub
    await hub.change(
        f"UPDATE access SET scopes = ARRAY['{READER}']"
        f" WHERE secret_hash = '{hash_secret(cookie_of(reader))}'"
    )
    tried = 0
    for route in pages_of(shown, "GET", "POST"):
        if route.scope != ADMIN or re.search("disputes|{id}", route.path):
            continue
        tried += 1
        names = {"cycle": "1", "group": "oostende", "number": "1"}
        names |= {"payer": "oostende", "payee": "mechelen"}
        path = route.path.format_map(names)
        if route.method == "POST":
            page = await reader.post(path, {"legs": "0", "proposal": "1"})
            assert page.status == 403, path
            continue
        page = await reader.get(path)
        asks = path.endswith(("/close", "/settle", "/invite", "/end"))
        assert page.status == (403 if asks else 200), path
        # Nothing but her language, and leaving.
        if "text/html" in page.headers["Content-Type"]:
            acting = [one.action for one in page.forms if one.method == "post"]
            assert acting == ["/language", "/sign-out"], path
        assert not [one for one in page.links if one.endswith(("/close", "/invite"))]
    assert tried > 25
    opened = await hub.ask("SELECT max(cycle) + 1 FROM cycle")
    assert (await reader.get(f"/cycles/{opened[0][0]}/close")).status == 403
    [(leg_id,)] = await hub.ask("SELECT leg_id FROM leg ORDER BY 1 LIMIT 1")
    assert (await reader.get(f"/legs/{leg_id}/cancel")).status == 403
    assert (await reader.post(f"/legs/{leg_id}/cancel", {})).status == 403


@pytest.mark.parametrize("number", ["0", "01", "x", "999999", "9" * 20, "%00", "-1"])
async def test_a_cycle_that_is_none_is_not_there(shown: Desk, number: str) -> None:
    admin = await shown.admin()
    for rest in ("", "/close", "/settle", "/file", "/legs.csv", "/disputes/oostende"):
        page = await admin.get(f"/cycles/{number}{rest}")
        assert page.status == 404, (number, rest)
    for wrong in (NOBODYS, "x", "%00"):
        assert (await admin.get(f"/legs/{wrong}/cancel")).status == 404


@pytest.mark.parametrize("legs", ["", "x", "-1", "9" * 30, "\u0661"])
async def test_a_count_that_is_none_settles_nothing(shown: Desk, legs: str) -> None:
    admin = await shown.admin()
    assert (await admin.post("/cycles/1/settle", {"legs": legs})).status == 400


async def test_programs_are_told_what_pages_show(shown: Desk) -> None:
    token, browser = await admin_token(shown), await shown.browser()

    async def ask(path: str) -> Any:
        answer = await browser.client.get(
            URL(f"/api/v1/cycles/{path}"), headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status == 200, path
        return msgspec.json.decode(await answer.read())

    opened = await ask("open")
    assert (opened["sum"], opened["holds_up"], opened["lapsing"]) == (0, [], [])
    for one in opened["groups"]:
        net = one["credits"] - one["debits"]
        assert one["position"] == one["opening"] + net
    told = await ask("1/settlement")
    assert told["code"] == "cycle-not-newest" and told["plan"] == []
    assert all(one["now"] == one["target"] == 0 for one in told["groups"])
    stated = await ask("1/statements")
    assert [one["theirs"] for one in stated["statements"]] == [None, None]


# Pure.


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (0, "0"),
        (HOUR, "1"),
        (-HOUR, "-1"),
        (180_000, "0.05"),
        (-5_940_000, "-1.65"),
        (1, "0.0000003"),
        (-1, "-0.0000003"),
        (9, "0.0000025"),
        (1_200_000, "0.3333333"),
        (2_400_000, "0.6666667"),
        (HOUR - 1, "0.9999997"),
        (1_000_000 * HOUR, "1000000"),
    ],
)
async def test_hours_are_written_as_spreadsheets_read_them(
    milliseconds: int, told: str
) -> None:
    assert Hours(milliseconds).written() == told


async def test_each_millisecond_has_hours_of_its_own() -> None:
    for first in (0, HOUR - 500, 123 * HOUR, 7_199_999_000):
        for milliseconds in range(first, first + 1000):
            whole, _, part = Hours(milliseconds).written().partition(".")
            scaled = int(whole) * 10**7 + int(part.ljust(7, "0"))
            # Back again: nine milliseconds are 25 ten-millionths of an hour.
            assert (scaled * 9 * 2 + 25) // 50 == milliseconds
