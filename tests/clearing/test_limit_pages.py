"""The hub's pages about caps, the threshold, sharing, the charge and late legs."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from clearing.consents import Consents
from clearing.house import HubHouse
from clearing.rules import Agreed, CloseCycle, Consent, Freeze, Settle, life_of
from protocol.address import Group
from protocol.cycle import LATE_MS
from protocol.instant import Instant
from protocol.peer.web.words import LANGUAGES, sentences
from protocol.sharing import ChargeRule, SharingRule
from tests.clearing.browsing import Desk, desk, pay
from tests.clearing.test_cycle_pages import table
from tests.clearing.test_pages_lives import admin as second_admin
from tests.nodes.browsing import Browser, Page
from tests.peer.federation import NewDatabase
from tests.protocol.makers import MECHELEN, OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
EN = sentences("en")
CAP = {
    "payer": "oostende",
    "payee": "mechelen",
    "hours": "2.5",
    "cap_reason": "a <b>try</b>",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Desk]:
    async with desk(shared_database) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(shared_database: NewDatabase) -> AsyncIterator[Desk]:
    async with desk(shared_database) as found:
        yield found


def house_of(desk: Desk) -> HubHouse:
    house = desk.federated.hub.house
    assert isinstance(house, HubHouse)
    return house


async def changes(desk: Desk) -> int:
    [(count,)] = await desk.federated.hub.ask("SELECT count(*) FROM limit_change")
    return int(count)


# Caps and the threshold.


async def test_a_cap_is_set_changed_and_ended_with_who_and_why(shown: Desk) -> None:
    admin = await shown.admin()
    page = await admin.get("/limits")
    assert EN["caps.no-caps"] in page.text and EN["caps.no-changes"] in page.text
    page = await admin.send(page, "/limits/caps", **CAP)
    assert EN["caps.saved-cap"] in page.text
    assert "0 h of 2 h 30 min used this month" in page.text.replace(
        "0 min of", "0 h of"
    )
    # Sent twice it is done once.
    await admin.post("/limits/caps", CAP)
    assert await changes(shown) == 1
    [change] = [one for one in page.links if one.startswith("/limits?payer")]
    filled = (await admin.get(change)).form("/limits/caps").fields
    assert (filled["payer"], filled["hours"]) == ("oostende", "2.50")
    wider = CAP | {"hours": "4", "cap_reason": "went well"}
    page = await admin.send(await admin.get(change), "/limits/caps", **wider)
    assert "of 4 h used this month" in page.text
    [row] = await table(admin, "/limits/caps.csv")
    assert row["payer_group"] == "oostende" and row["milliseconds"] == "14400000"
    assert row["author"] == "'@admin" and row["reason"] == "went well"
    end = "/caps/oostende/mechelen/end"
    assert end in page.links
    asked = await admin.get(end)
    wrong = await admin.send(asked, end, reason=" ")
    assert (wrong.status, wrong.wrong) == (422, ["reason"])
    page = await admin.send(asked, end, reason="over")
    assert EN["caps.saved-ended"] in page.text and EN["caps.no-caps"] in page.text
    assert EN["caps.none-of"].format(payer="oostende", payee="mechelen") in (
        (await admin.get(end)).text
    )
    await admin.post(end, {"reason": "over"})
    assert await changes(shown) == 3
    page = await admin.get("/limits/changes")
    assert "a <b>try</b>" in page.text and "<b>try" not in page.raw
    assert page.text.count(EN["caps.genuine"]) >= 3
    rows = await table(admin, "/limits/changes.csv")
    assert [one["number"] for one in rows] == ["3", "2", "1"]
    assert {one["is_genuine"].lower() for one in rows} == {"true"}
    assert [one["milliseconds"] for one in rows] == ["", "14400000", "9000000"]


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"payer": "atlantis"}, ["payer"]),
        ({"payee": ""}, ["payee"]),
        ({"payee": "Oostende "}, ["payee"]),
        ({"hours": "0,5,5"}, ["hours"]),
        ({"hours": ""}, ["hours"]),
        ({"cap_reason": "x" * 501}, ["cap_reason"]),
        (
            {"payer": "x", "hours": "-", "cap_reason": ""},
            ["payer", "hours", "cap_reason"],
        ),
    ],
)
async def test_what_is_wrong_with_a_cap_stands_at_its_field_and_is_kept(
    shown: Desk, typed: dict[str, str], wrong: list[str]
) -> None:
    admin, before = await shown.admin(), await changes(shown)
    page = await admin.post("/limits/caps", CAP | typed)
    assert (page.status, page.wrong) == (422, wrong)
    assert page.form("/limits/caps").fields == CAP | typed
    assert await changes(shown) == before


@pytest.mark.parametrize("percent", ["0", "101", "", "x", "-5", "8.5", "\u0661"])
async def test_a_share_that_is_none_changes_nothing(shown: Desk, percent: str) -> None:
    admin, before = await shown.admin(), await changes(shown)
    fields = {"percent": percent, "warning_reason": "why not"}
    page = await admin.post("/limits/warning", fields)
    assert (page.status, page.wrong) == (422, ["percent"])
    kept = page.form("/limits/warning").fields
    assert kept["warning_reason"] == "why not" and kept["percent"] == (percent or "80")
    assert await changes(shown) == before


async def test_from_where_people_are_warned_is_set_with_a_reason(shown: Desk) -> None:
    admin = await shown.admin()
    page = await admin.send(await admin.get("/limits"), "/limits/warning", percent="1")
    assert page.wrong == ["warning_reason"]
    for percent in ("100", "1 %"):
        fields = {"percent": percent, "warning_reason": "agreed in May"}
        page = await admin.send(page, "/limits/warning", **fields)
        assert EN["caps.saved-warning"] in page.text, page.text
    assert house_of(shown).limits.percent == 1
    told = EN["caps.warned-from"].format(percent=1).replace("\u00a0", " ")
    assert told in page.text and "agreed in May" in page.text


async def test_a_change_that_was_altered_is_named(shown: Desk) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    await admin.post("/limits/caps", CAP)
    assert EN["caps.chain-broken"] not in (await admin.get("/limits/changes")).text
    off, on = (
        f"ALTER TABLE limit_change {word} TRIGGER USER"
        for word in ("DISABLE", "ENABLE")
    )
    newest = "(SELECT max(number) FROM limit_change)"
    kept = await hub.ask(f"SELECT signed FROM limit_change WHERE number = {newest}")
    await hub.change(
        f"{off}; UPDATE limit_change SET signed = (SELECT signed FROM limit_change"
        f" WHERE number = 1) WHERE number = {newest}; {on}"
    )
    page = await admin.get("/limits/changes")
    assert EN["caps.chain-broken"] in page.text
    assert page.text.count(EN["caps.not-genuine"]) == 1
    await hub.change(
        f"{off}; UPDATE limit_change SET signed = '{kept[0][0]}'"
        f" WHERE number = {newest}; {on}"
    )


@pytest.mark.parametrize("before", ["0", "-1", "x", "9" * 30, "1.5"])
async def test_a_place_in_the_chain_that_is_none_is_refused(
    shown: Desk, before: str
) -> None:
    admin = await shown.admin()
    assert (await admin.get(f"/limits/changes?before={before}")).status == 400


# What a group leaves behind.


async def left_behind(desk: Desk, rule: SharingRule | None) -> None:
    """Let Oostende owe something and be put on hold."""
    house_of(desk).agreed = Agreed(rule)
    if house_of(desk).directory[OOSTENDE].state != "frozen":
        await pay(desk, "left behind")
        await desk.federated.hub.clerk.take(Freeze(OOSTENDE))


async def test_nothing_is_shared_without_a_rule(shared: Desk) -> None:
    admin = await shared.admin()
    await left_behind(shared, None)
    page = await admin.get("/groups/oostende")
    assert "/groups/oostende/sharing" in page.links and "-3 min" in page.text
    page = await admin.get("/groups/oostende/sharing")
    assert EN["sharing.no-rule"] in page.text
    assert not [one for one in page.forms if "sharing" in one.action]
    page = await admin.post("/groups/oostende/sharing/tell", {"told": "0"})
    assert page.status == 409 and EN["sharing.no-rule"] in page.text
    assert "/groups/oostende/sharing" in (await admin.get("/sharing")).links


async def told(admin: Browser, place: str) -> Page:
    page = await admin.get(place)
    assert EN["sharing.nobody-told"] in page.text
    return await admin.send(page, f"{place}/tell")


async def test_what_is_left_is_looked_at_told_and_decided_once(
    shared: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, place = await shared.admin(), "/groups/oostende/sharing"
    await left_behind(shared, SharingRule.EQUAL)
    before = await shared.federated.hub.balances()
    # A group that is there leaves nothing, and says why not.
    page = await admin.get("/groups/mechelen/sharing")
    assert page.status == 200 and "neither left nor is it frozen" in page.text
    page = await told(admin, place)
    assert EN["sharing.saved-told"] in page.text and EN["sharing.still-so"] in page.text
    assert "mechelen1-3 min3 min0 min" in page.text
    # The second click of two tells nobody again.
    await admin.post(f"{place}/tell", {"told": "0"})
    assert len(await table(admin, "/sharing.csv")) == 1
    assert await shared.federated.hub.balances() == before
    for plan in ("", "x", "%00"):
        assert (await admin.post(f"{place}/decide", {"plan": plan})).status == 400
    unknown = {"plan": "00000000-0000-8000-8000-000000000000"}
    assert (await admin.post(f"{place}/decide", unknown)).status == 404
    kept = Consent(number=1, act="{}", asked_by="@ann", asked_at=Instant(0))

    async def ask(*_asked: Any) -> Consent:
        return kept

    with monkeypatch.context() as waiting:
        waiting.setattr(Consents, "take", ask)
        asked = await admin.send(page, f"{place}/decide")
        assert EN["group.asked"] in asked.text
        assert await shared.federated.hub.balances() == before
    fields = page.form(f"{place}/decide").fields
    page = await admin.send(page, f"{place}/decide")
    assert EN["sharing.saved-decided"] in page.text, page.text
    assert before and not any((await shared.federated.hub.balances()).values())
    # Pressed once more, it is as it was.
    page = await admin.post(f"{place}/decide", fields)
    assert page.status == 200 and page.place.endswith("saved=decided")
    [row] = await table(admin, "/sharing.csv")
    assert (row["state"], row["left_by"], row["amount_milliseconds"]) == (
        "decided",
        "oostende",
        "-180000",
    )
    page = await admin.get(f"/sharing/{row['id']}")
    assert page.status == 200 and EN["sharing.rule-equal"] in page.text
    assert f"/sharing/{row['id']}" in (await admin.get("/sharing")).links


@pytest.mark.parametrize("count", ["", "x", "-1", "9" * 30, "\u0661"])
async def test_a_count_that_is_none_tells_nobody(shared: Desk, count: str) -> None:
    admin = await shared.admin()
    page = await admin.post("/groups/mechelen/sharing/tell", {"told": count})
    assert page.status == 400


# The charge, a group's life, and legs that wait too long.


async def test_the_charge_is_shown_as_it_would_be_and_as_it_was(shown: Desk) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    house = house_of(shown)
    assert EN["charge.off"] in (await admin.get("/cycles")).text
    house.agreed = Agreed(charge=ChargeRule(rate=1_000_000, threshold=0))
    await pay(shown, "before the charge")
    page = await admin.get("/cycles")
    assert EN["charge.first-none"] in page.text
    await hub.clerk.take(CloseCycle(1))
    assert EN["charge.none"] in (await admin.get("/cycles/1")).text
    assert await table(admin, "/cycles/1/charge.csv") == []
    # Positions stand as they are for a moment of the second cycle.
    page = await admin.get("/cycles")
    assert "100.00 %" in page.text and EN["charge.foreseen"] in page.text
    await hub.clerk.take(CloseCycle(2))
    page = await admin.get("/cycles/2")
    assert EN["charge.caption"] in page.text
    rows = await table(admin, "/cycles/2/charge.csv")
    assert {one["group"] for one in rows} == {"oostende", "mechelen"}
    assert all(int(one["amount_milliseconds"]) < 0 for one in rows)
    [there] = [one for one in page.links if one.startswith("/sharing/")]
    assert EN["charge.to-reserve"] in (await admin.get(there)).text
    house.agreed = Agreed()


async def test_a_leg_that_waits_too_long_stands_out(shown: Desk) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    house = house_of(shown)
    newest = house.closed
    assert newest is not None
    await hub.clerk.take(Settle(newest.cycle))
    assert house.legs
    late = EN["settle.late"].split("{")[0]
    for path in ("/", "/cycles", f"/cycles/{newest.cycle}", "/groups/oostende"):
        assert late not in (await admin.get(path)).text, path
    leg_id, leg = next(iter(house.legs.items()))
    old = msgspec.structs.replace(leg, at=Instant(hub.clock.now() - LATE_MS))
    house.legs[leg_id] = old
    for path in ("/", "/cycles", f"/groups/{leg.debtor}"):
        page = await admin.get(path)
        assert late in page.text and "14 days" in page.text, path
        assert f"/cycles/{leg.cycle}#leg-{leg_id}" in page.links, path
    assert late in (await admin.get(f"/cycles/{newest.cycle}")).text
    assert EN["cycles.legs-late-one"] in (await admin.get("/cycles")).text
    house.legs[leg_id] = leg


async def test_a_groups_page_tells_its_life(shown: Desk) -> None:
    admin = await second_admin(shown, "@ann")
    place = "/groups/mechelen"
    page = await admin.get(place)
    assert EN["life.active"] in page.text and EN["life.leaving"] not in page.text
    page = await admin.send(page, f"{place}/leaving")
    assert EN["life.leaving"] in page.text and EN["group.stay-told"] in page.text
    page = await admin.send(page, f"{place}/stay")
    assert page.text.count(EN["life.active"]) == 2
    turns = life_of(house_of(shown).directory_lines, "mechelen")
    assert [one.state for one in turns] == ["active", "leaving", "active"]
    assert life_of(house_of(shown).directory_lines, "mechelen-zuid") == []
    record = house_of(shown).directory[Group(MECHELEN)]
    # The same state once more is no turn.
    assert life_of([record.line, record.line], "mechelen") == turns[-1:]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_these_pages_speak_her_language(shown: Desk, language: Any) -> None:
    admin, said = await shown.admin(language), sentences(language)
    for path, key in (
        ("/limits", "caps.threshold"),
        ("/limits/changes", "caps.chain-told"),
        ("/sharing", "sharing.rule-title"),
        ("/groups/oostende/sharing", "sharing.no-rule"),
        ("/caps/mechelen/oostende/end", "caps.end-title"),
        ("/groups/oostende", "group.life"),
    ):
        page = await admin.get(path)
        plain = page.text.replace("\u00a0", " ")
        assert page.status == 200 and said[key].replace("\u00a0", " ") in plain, path
