"""A treasurer's pages of cycles: statements, a dispute, legs to sign, and files."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from clearing.cycle_watch import CycleWatch as HubWatch
from clearing.house import HubHouse
from clearing.rules import CancelLeg, CloseCycle, ClosedCycle, Leg, Settle
from nodes.rules import SignLeg
from nodes.watch.cycle_watch import CycleWatch as NodeWatch
from protocol.peer.web.routes import READER
from protocol.peer.web.words import LANGUAGES, Language, refusal, sentences
from tests.nodes.browsing import Browser, Page, Town, let_in, town
from tests.nodes.test_camt053 import check, shares
from tests.peer.federation import NewDatabase
from tests.protocol.makers import MECHELEN, OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
EN = sentences("en")
CYCLES, LEGS = "/treasurer/cycles", "/treasurer/legs"
WHY = "by bank on Monday"
SCRIPT = "<script>alert(1)</script>"
#: What a ketje of Bob's is worth; three of them are one blusser.
S = 60_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Town]:
    async with town(shared_database) as found:
        yield found


async def pay(shown: Town, amount: int = 3, memo: str = "eggs") -> str:
    """Let Marie pay Bob so many ketjes; gives the payment."""
    marie = await shown.signed_in()
    at = f"/pay/confirm?to=bob%40mechelen&amount={amount}&side=payee&memo={memo}"
    page = await marie.send(await marie.get(at), "/payments")
    paid = page.place.removeprefix("/payments/").partition("?")[0]

    async def is_cleared() -> bool:
        transfer = await shown.node().transfer(paid)
        return transfer is not None and transfer.state == "cleared"

    await until(is_cleared)
    return paid


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the courier, which never rests here, brings."""
    async with asyncio.timeout(20):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def look(shown: Town) -> None:
    """Let every server look once at what waits for it."""
    federated = shown.made.federated
    for node in federated.nodes.values():
        await NodeWatch(node.clerk, node.database).look()
    hub = federated.hub
    assert isinstance(hub.house, HubHouse)
    await HubWatch(hub.house, hub.clerk, hub.database).look()


async def state(shown: Town, cycle: int) -> str:
    rows = await shown.node().ask(
        "SELECT state, difference FROM cycle WHERE cycle = $1", cycle
    )
    return rows[0]["state"] if rows else ""


async def close(shown: Town, *, ends_in: str = "agreed") -> int:
    """End the open cycle, and wait until Oostende has said what it says to it."""
    hub = shown.made.federated.hub
    [row] = await hub.ask("SELECT coalesce(max(cycle), 0) + 1 AS open FROM cycle")
    closed = await hub.clerk.take(CloseCycle(row["open"]))
    assert isinstance(closed, ClosedCycle), closed
    cycle: int = row["open"]

    async def is_said() -> bool:
        await look(shown)
        return await state(shown, cycle) == ends_in

    await until(is_said)
    return cycle


async def settle(shown: Town, cycle: int) -> Leg:
    """Make the one leg of a cycle, and wait until Oostende has it."""
    hub = shown.made.federated.hub
    legs: Any = []

    async def are_made() -> bool:
        nonlocal legs
        await look(shown)
        legs = await hub.clerk.take(Settle(cycle))
        return isinstance(legs, list)

    await until(are_made)
    [leg] = legs

    async def is_here() -> bool:
        rows = await shown.node().ask("SELECT FROM leg WHERE leg_id = $1", leg.leg_id)
        return bool(rows)

    await until(is_here)
    assert isinstance(leg, Leg)
    return leg


async def leg_state(shown: Town, leg: Leg) -> str:
    [row] = await shown.node().ask(
        "SELECT state FROM leg WHERE leg_id = $1", leg.leg_id
    )
    found: str = row["state"]
    return found


async def rows_of(browser: Browser, path: str) -> list[dict[str, str]]:
    page = await browser.get(path)
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in page.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(page.raw.removeprefix("\ufeff"))))


async def test_what_agrees_asks_nothing_of_anybody(shown: Town) -> None:
    tine = await let_in(shown)
    await pay(shown, 3)
    paid = await pay(shown, 6, memo="soup")
    cycle = await close(shown)
    page = await tine.get(CYCLES)
    assert EN["own-cycles.one"].format(cycle=cycle) in page.text
    assert EN["own-cycles.waits"] not in page.text
    page = await tine.get(f"{CYCLES}/{cycle}")
    assert "Nothing for you to do" in page.text and "soup" in page.text
    assert "marie@oostende → bob@mechelen" in page.text
    assert EN["own-cycles.differs"] not in page.text
    assert f"/treasurer/entries/{paid}" in page.links
    assert [form.action for form in page.forms if "check" in form.action] == []
    # The same on paper: a line for each, and figures on which both agree.
    moves = await rows_of(tine, f"{CYCLES}/{cycle}/statement.csv")
    assert moves[-1]["id"] == paid and moves[-1]["text"] == "soup"
    assert int(moves[-1]["milliseconds"]) == -6 * S
    figures = await rows_of(tine, f"{CYCLES}/{cycle}/figures.csv")
    assert all(one["hub"] == one["own"] for one in figures)
    closing = {one["figure"]: one["own"] for one in figures}["closing"]
    assert moves[-1]["position_after"] == closing
    listed = await rows_of(tine, f"{CYCLES}.csv")
    assert (listed[0]["cycle"], listed[0]["closing"]) == (str(cycle), closing)


async def test_a_cycle_is_a_bank_statement_too(shown: Town) -> None:
    tine = await let_in(shown)
    paid = await pay(shown, 6, memo="tea+%26+%3Ccake%3E")
    cycle = await close(shown)
    page = await tine.get(f"{CYCLES}/{cycle}/camt053.xml")
    assert page.headers["Content-Type"] == "application/xml; charset=utf-8"
    name = f"oostende-camt053-{cycle}.xml"
    assert name in page.headers["Content-Disposition"]
    root = ElementTree.fromstring(page.raw)
    check(root)
    space = root.tag.removesuffix("Document")
    opening, closing = (shares(one) for one in root.iter(f"{space}Bal"))
    entries = [shares(one) for one in root.iter(f"{space}Ntry")]
    assert entries == [-10_000] and opening - 10_000 == closing
    assert paid.replace("-", "") in page.raw
    assert "tea &amp; &lt;cake&gt;" in page.raw


async def test_moves_are_read_page_by_page(
    shown: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.pages.cycles._MOVES_SIZE", 2)
    tine = await let_in(shown)
    memos = ["one", "two", "three"]
    for memo in memos:
        await pay(shown, memo=memo)
    cycle = await close(shown)
    page = await tine.get(f"{CYCLES}/{cycle}")
    assert "two" in page.text and "three" not in page.text
    [later] = [one for one in page.links if "first=" in one]
    page = await tine.get(later.partition("#")[0])
    assert "three" in page.text and "two" not in page.text
    whole = [
        row["position_after"]
        for row in await rows_of(tine, f"{CYCLES}/{cycle}/statement.csv")
    ]
    sums = [int(one) for one in whole]
    assert sums[2] - sums[1] == sums[1] - sums[0] == -3 * S
    for wrong in ("x", "-1", "1" * 16, "\u0661"):
        assert (await tine.get(f"{CYCLES}/{cycle}?first={wrong}")).status == 400
    beyond = await tine.get(f"{CYCLES}/{cycle}?first=999")
    assert EN["own-cycles.no-moves"] in beyond.text


async def spoil(shown: Town, entry_id: str, amount: int) -> None:
    """Alter our ledger as nobody may."""
    await shown.node().change(
        "ALTER TABLE posting DISABLE TRIGGER USER;"
        f"UPDATE posting SET amount = {amount} WHERE account_id = 'clearing' AND"
        f" sequence = (SELECT sequence FROM entry WHERE entry_id = '{entry_id}');"
        "ALTER TABLE posting ENABLE TRIGGER USER"
    )


@pytest_asyncio.fixture(loop_scope="module")
async def disputed(shown: Town) -> AsyncIterator[tuple[int, str]]:
    """A cycle in which our ledger was altered, and the payment; mended afterwards."""
    paid = await pay(shown, 6, memo="altered")
    await spoil(shown, paid, 7 * S)
    cycle = await close(shown, ends_in="disputed")

    async def is_found() -> bool:
        await look(shown)
        rows = await shown.node().ask(
            "SELECT FROM cycle WHERE cycle = $1 AND difference IS NOT NULL", cycle
        )
        return bool(rows)

    await until(is_found)
    yield cycle, paid
    await spoil(shown, paid, 6 * S)
    node = shown.node()
    await NodeWatch(node.clerk, node.database).check(cycle, "@tine", "mended")


async def test_a_dispute_names_both_versions_until_it_is_mended(
    shown: Town, disputed: tuple[int, str]
) -> None:
    cycle, paid = disputed
    tine, at = await let_in(shown), f"{CYCLES}/{cycle}"
    desk = await tine.get("/treasurer")
    assert EN["own-cycles.wait-differs"].format(cycle=cycle) in desk.text
    assert at in desk.links
    page = await tine.get(at)
    assert EN["own-cycles.is-disputed"] in page.text
    hubs = f"{EN['own-cycles.version-hub']} -6 min"
    owns = f"{EN['own-cycles.version-own']} -7 min"
    assert hubs in page.text and owns in page.text and paid in page.text
    assert page.links.count(f"/treasurer/entries/{paid}") >= 2
    # Nothing was mended yet; two clicks are one look.
    asked = page
    pages = await asyncio.gather(
        *(tine.send(asked, f"{at}/check", reason="a try") for _ in range(2))
    )
    assert all(EN["own-cycles.still-differs"] in one.text for one in pages)
    assert await looks(shown, cycle) == 1
    for wrong in (" ", "w" * 501):
        page = await tine.send(asked, f"{at}/check", reason=wrong)
        assert page.wrong == ["reason"]
        assert page.form(f"{at}/check").fields["reason"] == wrong
    assert await looks(shown, cycle) == 1
    # A difference too small to be read in minutes is told in milliseconds.
    await spoil(shown, paid, 6 * S + 1)
    page = await tine.get(at)
    assert "360,000 ms" in page.text and "360,001 ms" in page.text
    await spoil(shown, paid, 6 * S)
    assert EN["own-cycles.now-same"] in (await tine.get(at)).text
    page = await tine.send(await tine.get(at), f"{at}/check", reason="the disk")
    assert page.place == f"{at}?saved=agreed" and "exactly the same" in page.text
    # What changes after that is no dispute any more, but nobody is told all is well.
    await spoil(shown, paid, 5 * S)
    page = await tine.get(at)
    assert "no longer says the same" in page.text
    assert "exactly the same" not in page.text
    await spoil(shown, paid, 6 * S)
    assert EN["own-cycles.waits"] not in (await tine.get("/treasurer")).text


async def test_moves_that_differ_under_the_same_figures_are_told(shown: Town) -> None:
    tine = await let_in(shown)
    one, other = await pay(shown, 3), await pay(shown, 6)
    await spoil(shown, one, 6 * S)
    await spoil(shown, other, 3 * S)
    cycle = await close(shown, ends_in="disputed")
    page = await tine.get(f"{CYCLES}/{cycle}")
    assert EN["own-cycles.moves-differ"] in page.text
    assert f"<strong>{EN['own-cycles.differs']}</strong>" not in page.raw
    await spoil(shown, one, 3 * S)
    await spoil(shown, other, 6 * S)
    page = await tine.send(page, f"{CYCLES}/{cycle}/check", reason="swapped back")
    assert page.place.endswith("saved=agreed")


async def looks(shown: Town, cycle: int) -> int:
    rows = await shown.node().ask(
        "SELECT FROM act WHERE deed = 'cycle-checked' AND about = $1", str(cycle)
    )
    return len(rows)


async def test_a_reader_sees_a_dispute_and_has_no_button(
    shown: Town, disputed: tuple[int, str]
) -> None:
    cycle, _ = disputed
    rob = await let_in(shown, "@rob", "reader")
    page = await rob.get(f"{CYCLES}/{cycle}")
    assert EN["own-cycles.first-differs"][:6] in page.text
    assert f"{CYCLES}/{cycle}/check" not in {form.action for form in page.forms}
    sent = await rob.post(f"{CYCLES}/{cycle}/check", {"reason": WHY, "key": "k"})
    assert sent.status == 403 and await looks(shown, cycle) == 0


async def test_nobody_looks_again_at_what_was_never_stated(shown: Town) -> None:
    tine = await let_in(shown)
    for number in ("0", "999", "x", "01", "9" * 20):
        path = f"{CYCLES}/{number}/check"
        page = await tine.post(path, {"reason": WHY, "key": "k"})
        assert page.status == 404, number


# Legs.


async def test_a_leg_is_signed_on_the_page_and_settles(shown: Town) -> None:
    await pay(shown)
    cycle = await close(shown)
    leg = await settle(shown, cycle)
    assert (leg.debtor, leg.creditor) == (OOSTENDE, MECHELEN)
    at = f"{LEGS}/{leg.leg_id}"
    tine = await let_in(shown)
    desk = await tine.get("/treasurer")
    assert at in desk.links
    rob = await let_in(shown, "@rob", "reader")
    assert EN["own-cycles.waits-for-others"] in (await rob.get("/treasurer")).text
    page = await rob.get(at)
    assert EN["own-legs.not-said"] in page.text and f"{at}/confirm" not in page.raw
    assert (await rob.get(f"{at}/confirm?reason=x")).status == 403
    assert (await rob.post(at, {"reason": WHY, "key": "k"})).status == 403

    page = await tine.get(at)
    for wrong in ("", "w" * 501):
        back = await tine.send(page, f"{at}/confirm", reason=wrong)
        assert back.wrong == ["reason"]
    asked = await tine.send(page, f"{at}/confirm", reason=WHY)
    assert EN["own-legs.for-ever"] in asked.text and WHY in asked.text
    assert await leg_state(shown, leg) == "open"
    pages = await asyncio.gather(*(tine.send(asked, at) for _ in range(2)))
    for found in pages:
        assert found.place == f"{at}?saved=signed"
        assert EN["own-legs.saved"] in found.text and "tine" in found.text
    assert await leg_state(shown, leg) == "signed"
    rows = await shown.node().ask(
        "SELECT reason FROM act WHERE deed = 'leg-paid' AND about = $1", leg.leg_id
    )
    assert [row["reason"] for row in rows] == [WHY]
    # Another page, another key: the law says no, and says why.
    again = await tine.post(at, {"reason": WHY, "key": "another"})
    assert refusal("leg-signed", "en") in again.text
    gone = await tine.get(f"{at}/confirm?reason=x")
    assert gone.place == at and f"{at}/confirm" not in gone.raw

    other = shown.node(MECHELEN)
    await until(lambda: has_leg(shown, leg))
    order = SignLeg(
        leg_id=leg.leg_id, word="received", author="@bert", reason="it is here"
    )
    await other.clerk.take(order)

    async def is_settled() -> bool:
        await look(shown)
        return await leg_state(shown, leg) == "settled"

    await until(is_settled)
    page = await tine.get(at)
    assert EN["own-legs.theirs-there"] in page.text
    assert f"/treasurer/entries/{leg.leg_id}" in page.links
    entry = await tine.get(f"/treasurer/entries/{leg.leg_id}")
    assert EN["own-legs.entry"] in entry.text and at in entry.links
    assert (await shown.node().balances())["settlement"] == leg.milliseconds
    assert EN["own-cycles.waits"] not in (await tine.get("/treasurer")).text
    listed = await rows_of(tine, f"{LEGS}.csv")
    assert listed[0]["id"] == leg.leg_id and listed[0]["state"] == "settled"
    # It is a move of the next cycle, told by the groups' names.
    cycle = await close(shown)
    page = await tine.get(f"{CYCLES}/{cycle}")
    assert "oostende → mechelen" in page.text
    assert EN["own-legs.made-good"] in page.text


async def has_leg(shown: Town, leg: Leg) -> bool:
    rows = await shown.node(MECHELEN).ask(
        "SELECT FROM leg WHERE leg_id = $1", leg.leg_id
    )
    return bool(rows)


async def test_a_leg_that_was_called_off_says_why(shown: Town) -> None:
    await pay(shown)
    cycle = await close(shown)
    leg = await settle(shown, cycle)
    at, tine = f"{LEGS}/{leg.leg_id}", await let_in(shown)
    asked = await tine.get(f"{at}/confirm?reason=x")
    day = "UPDATE leg SET at = at - interval '1 day' WHERE state = 'open'"
    for told in ("one-day", "days"):
        await shown.node().change(day)
        aged = EN[f"own-legs.{told}"].format(days=2)
        assert aged in (await tine.get(at)).text
    await shown.made.federated.hub.clerk.take(CancelLeg(leg.leg_id))

    async def is_void() -> bool:
        return await leg_state(shown, leg) == "void"

    await until(is_void)
    page = await tine.send(asked, at)
    assert refusal("leg-ended", "en") in page.text
    assert EN["own-legs.void-cancelled"] in page.text
    assert f"{at}/confirm" not in {form.action for form in page.forms}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_whatever_is_written_is_text_in_every_language(
    shown: Town, language: Language
) -> None:
    tine = await let_in(shown, language=language)
    await pay(shown, memo="%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    cycle = await close(shown)
    leg = await settle(shown, cycle)
    at = f"{LEGS}/{leg.leg_id}"
    asked = await tine.send(await tine.get(at), f"{at}/confirm", reason=SCRIPT)
    assert asked.form(at).fields["reason"] == SCRIPT
    signed = await tine.send(asked, at)
    pages: list[Page] = [asked, signed]
    for path in (CYCLES, f"{CYCLES}/{cycle}", LEGS, at, "/treasurer"):
        pages.append(await tine.get(path))
    for page in pages:
        assert page.status == 200 and SCRIPT not in page.raw
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=", page.raw)
    assert SCRIPT in signed.text and SCRIPT in pages[3].text


async def test_each_page_and_file_by_role(shown: Town) -> None:
    await pay(shown)
    cycle = await close(shown)
    browsers = {
        "nobody": await shown.browser(),
        "member": await shown.signed_in("jan"),
        READER: await let_in(shown, "@rob", "reader"),
    }
    files = ("statement.csv", "figures.csv", "camt053.xml")
    for path in (
        *(CYCLES, f"{CYCLES}.csv", LEGS, f"{LEGS}.csv", f"{CYCLES}/{cycle}"),
        *(f"{CYCLES}/{cycle}/{name}" for name in files),
    ):
        assert (await browsers["nobody"].get(path)).place.startswith("/sign-in")
        assert (await browsers["member"].get(path)).status == 403
        page = await browsers[READER].get(path)
        assert page.status == 200, path
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
