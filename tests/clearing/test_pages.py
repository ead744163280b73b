"""The hub's pages without scripts: what the regional admin sees, and enemies get."""

import gzip
import re
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from clearing.api.links import LinkAnswer
from clearing.pages.limits import read_hours
from clearing.pages.link_words import link_words
from clearing.pages.pictures import bar
from protocol.peer.web.figures import AmountFault
from protocol.peer.web.words import LANGUAGES, sentences
from protocol.unit import HOUR
from tests.clearing.browsing import Desk, admin_token, changed, desk, pay
from tests.clearing.makers import position_answer
from tests.clearing.scenes import crowd
from tests.nodes.browsing import Browser, Page
from tests.peer.federation import NewDatabase, order
from tests.protocol.makers import OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
EN = sentences("en")
NOBODYS = "00000000-0000-8000-8000-000000000000"
EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
GROUP = "/groups/oostende"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Desk]:
    async with desk(shared_database) as found:
        yield found


# What she sees.


async def test_all_positions_sum_to_zero_on_one_page(shown: Desk) -> None:
    await pay(shown, "sum")
    balances = await shown.federated.hub.balances()
    assert balances["oostende"] == -balances["mechelen"] != 0
    admin = await shown.admin()
    page = await admin.get("/")
    assert EN["positions.sums-good"] in page.text
    assert "LETS Oostende" in page.text and "LETS Mechelen" in page.text
    minutes = balances["mechelen"] // 60_000
    assert f" {minutes} min" in page.text and f"-{minutes} min" in page.text
    # One bar for each group, and each is drawn beside its number.
    assert page.raw.count('href="#frame"') == 2


async def test_a_sum_that_is_not_zero_calls_people(shown: Desk) -> None:
    hub = shown.federated.hub
    admin = await shown.admin()
    await hub.change(
        "UPDATE account SET balance = balance + 60000 WHERE account_id = 'reserve'"
    )
    try:
        page = await admin.get("/")
        assert page.status == 200
        assert EN["positions.sums-bad"] in page.text
        assert EN["positions.sums-good"] not in page.text
    finally:
        await hub.change(
            "UPDATE account SET balance = balance - 60000 WHERE account_id = 'reserve'"
        )


async def test_flows_are_told_as_a_matrix_and_as_a_list(shown: Desk) -> None:
    await pay(shown, "flow")
    admin = await shown.admin()
    page = await admin.get("/flows")
    assert "oostende → mechelen" in page.text
    assert '<table class="matrix">' in page.raw
    # The same numbers as ribbons, told in words to whoever does not see them.
    assert 'role="img" aria-labelledby="chord-title chord-told"' in page.raw
    assert re.search(
        r'<desc id="chord-told">2 groups .* oostende to mechelen', page.raw
    )
    assert page.raw.count("<title>oostende → mechelen: ") == 1
    assert "LETS" not in page.raw
    for days in ("7", "365", "36500", "0", "x", "9" * 30):
        page = await admin.get(f"/flows?days={days}")
        assert page.status == 200 and "oostende → mechelen" in page.text, days


async def test_what_cleared_long_ago_is_in_no_flow_of_this_week(shown: Desk) -> None:
    transfer_id = await pay(shown, "long ago")
    hub, admin = shown.federated.hub, await shown.admin()
    [before] = await hub.ask("SELECT count(*) FROM transfer WHERE state = 'cleared'")
    await hub.change(
        "UPDATE transfer SET decided_at = decided_at - interval '8 days'"
        f" WHERE transfer_id = '{transfer_id}'"
    )

    def told(count: int) -> str:
        return EN["flows.payments" if count > 1 else "flows.payment"].format(
            count=count
        )

    if before[0] > 1:
        assert told(before[0] - 1) in (await admin.get("/flows?days=7")).text
    assert told(before[0]) in (await admin.get("/flows?days=30")).text


async def test_one_transfer_shows_who_said_what_and_that_they_signed_it(
    shown: Desk,
) -> None:
    transfer_id = await pay(shown, "trail")
    admin = await shown.admin()
    page = await admin.send(await admin.get("/transfers"), "/transfers", id=transfer_id)
    assert page.place == f"/transfers/{transfer_id}"
    said = [
        re.sub(r"\s+", " ", one)
        for one in re.findall(r"<strong>([^<]+)</strong>\s*<small>([^<]+)", page.raw)
        for one in [" ".join(one)]
    ]
    assert said == [
        f"{EN['transfer.item-prepare']} oostende → hub",
        f"{EN['transfer.item-offer']} hub → mechelen",
        f"{EN['transfer.item-accept']} mechelen → hub",
        f"{EN['transfer.item-answer']} hub → oostende",
        f"{EN['transfer.item-decision']} hub → oostende",
        f"{EN['transfer.item-decision']} hub → mechelen",
    ]
    assert page.text.count(EN["transfer.signature-good"]) == 6
    # What was paid for is sealed, and nowhere here.
    assert "eggs" not in page.raw and "marie" not in page.raw
    assert f"/federation/v1/evidence/{transfer_id}" in page.links


async def test_a_line_that_was_changed_later_is_no_longer_signed(shown: Desk) -> None:
    transfer_id = await pay(shown, "forged")
    hub, admin = shown.federated.hub, await shown.admin()

    async def forge(old: str, new: str) -> None:
        await hub.change(
            "ALTER TABLE item DISABLE TRIGGER USER;"
            "UPDATE item SET line = convert_to(replace(convert_from(line, 'UTF8'),"
            f" '\"payer_rate\":{old}', '\"payer_rate\":{new}'), 'UTF8')"
            f" WHERE position('{transfer_id}' in convert_from(line, 'UTF8')) > 0"
            " AND direction = 'in' AND peer = 'oostende';"
            "ALTER TABLE item ENABLE TRIGGER USER"
        )

    await forge("1", "2")
    page = await admin.get(f"/transfers/{transfer_id}")
    assert page.text.count(EN["transfer.signature-wrong"]) == 1
    await forge("2", "1")
    page = await admin.get(f"/transfers/{transfer_id}")
    assert EN["transfer.signature-wrong"] not in page.text


def ages(page: Page) -> list[str]:
    """How many are under way, by age."""
    return re.findall(r'<td class="figure">([0-9]+)</td>', page.raw)


async def test_what_waits_is_counted_by_its_age(shown: Desk) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    one = order("waits")
    node = shown.federated.nodes[OOSTENDE]
    await node.clerk.take(one)
    # Oostende's order reaches the hub; Mechelen hears nothing yet.
    while not await hub.undecided():
        await shown.federated.exchange(OOSTENDE)
    page = await admin.get("/transfers")
    assert ages(page) == ["1", "0", "0", "0"]
    assert f"/transfers/{one.transfer_id}" in page.links
    page = await admin.get(f"/transfers/{one.transfer_id}")
    assert EN["transfer.offered"] in page.text
    assert page.text.count(EN["transfer.item-offer"]) == 1
    await hub.change(
        "UPDATE transfer SET taken_at = taken_at - interval '2 hours'"
        " WHERE state = 'offered'"
    )
    page = await admin.get("/transfers")
    assert ages(page) == ["0", "0", "1", "0"]
    await shown.federated.quiet()
    assert EN["transfers.nothing"] in (await admin.get("/transfers")).text


async def test_links_tell_who_was_heard(shown: Desk) -> None:
    await shown.federated.quiet()
    admin = await shown.admin()
    page = await admin.get("/links")
    assert page.text.count(EN["links.compared"]) == 2
    assert EN["links.never"] not in page.text and EN["links.silent"] not in page.text


async def test_a_group_that_says_nothing_for_two_minutes_is_silent(
    shown: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await shown.admin()
    monkeypatch.setattr("clearing.api.links.SILENT_MS", -1)
    assert (await admin.get("/links")).text.count(EN["links.silent"]) == 2
    assert EN["links.silent"] in (await admin.get("/")).text


def link(**changes: object) -> LinkAnswer:
    fields: dict[str, object] = {"group": "gent", "name": "LETS Gent", "heard": "now"}
    fields |= {"state": "compared", "taken": "", "is_silent": False}
    fields |= {"is_lagging": False, "items_taken": 1, "waiting": 0}
    fields |= {"waiting_since": ""}
    return msgspec.convert(fields | changes, LinkAnswer)


@pytest.mark.parametrize(
    ("state", "is_silent", "is_lagging", "word"),
    [
        ("compared", False, False, "compared"),
        ("compared", False, True, "lagging"),
        ("compared", True, False, "silent"),
        ("comparing", False, False, "comparing"),
        ("comparing", True, False, "silent"),
        ("fork", True, False, "fork"),
        ("peer-is-behind", False, True, "peer-is-behind"),
    ],
)
async def test_a_link_is_told_in_the_word_that_matters_most(
    state: str, is_silent: bool, is_lagging: bool, word: str
) -> None:
    one = link(state=state, is_silent=is_silent, is_lagging=is_lagging)
    assert link_words([one]) == {"gent": word}
    assert f"links.{word}" in EN


async def test_who_is_heard_and_takes_nothing_for_two_minutes_lags_behind(
    shown: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    await shown.federated.quiet()
    await admin.post(
        "/groups/mechelen/limits", {"floor": "3000", "ceiling": "3000", "reason": "so"}
    )
    # The hub has sealed what it decided, and nobody has fetched it yet.
    await hub.clerk.may_speak(OOSTENDE)
    hub.clerk.speak(OOSTENDE)
    assert EN["links.lagging"] not in (await admin.get("/links")).text
    monkeypatch.setattr("clearing.api.links.LAGGING_MS", -1)
    for path in ("/links", "/"):
        assert EN["links.lagging"] in (await admin.get(path)).text, path
    await shown.federated.quiet()
    assert EN["links.lagging"] not in (await admin.get("/links")).text


async def test_alarms_are_told_with_what_to_do(shown: Desk) -> None:
    hub, admin = shown.federated.hub, await shown.admin()
    assert EN["alarms.nothing"] in (await admin.get("/alarms")).text
    await hub.change(
        "INSERT INTO alarm (at, about, told) SELECT now(), 'mirror',"
        " 'alarm ' || n || ' <script>' FROM generate_series(1, 25) AS n"
    )
    try:
        page = await admin.get("/alarms")
        assert "alarm 25 <script>" in page.text and "<script>alarm" not in page.raw
        assert "alarm 5 " not in page.text
        [older] = [one for one in page.links if "cursor" in one]
        assert "alarm 5 " in (await admin.get(older)).text
        assert "alarm 25 " in (await admin.get("/")).text
        assert (await admin.get("/alarms?cursor=x")).status == 400
    finally:
        await hub.change("DELETE FROM alarm")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_speaks_her_language(shown: Desk, language: str) -> None:
    said = sentences(language)  # type: ignore[arg-type]
    admin = await shown.admin(language)
    for path, key in (
        ("/", "positions.title"),
        ("/flows", "flows.title"),
        ("/transfers", "transfers.title"),
        ("/links", "links.title"),
        ("/alarms", "alarms.title"),
        ("/invite", "invite.title"),
        ("/profile", "profile.title"),
        (GROUP, "group.limits"),
    ):
        page = await admin.get(path)
        assert page.status == 200, path
        assert f'<html lang="{language}">' in page.raw
        assert said[key] in page.text, path


async def test_a_hub_without_groups_says_what_to_do_and_one_of_forty_what_first(
    shared_database: NewDatabase,
) -> None:
    async with desk(shared_database, is_empty=True) as found:
        admin = await found.admin()
        for path, key in (
            ("/", "positions.nobody"),
            ("/links", "positions.nobody"),
            ("/flows", "flows.nothing"),
            ("/transfers", "transfers.nothing"),
            ("/alarms", "alarms.nothing"),
        ):
            page = await admin.get(path)
            assert page.status == 200 and EN[key] in page.text, path
        assert "/invite" in (await admin.get("/")).links
        assert "<svg" not in (await admin.get("/flows")).raw
        await look_at_forty(found, admin)


async def look_at_forty(found: Desk, admin: Browser) -> None:
    """Of many groups, a few are named first, and none of the others is lost."""
    names = await crowd(found)
    page = await admin.get("/")
    assert EN["positions.sums-good"] in page.text
    assert page.raw.count('href="#frame"') == len(names) == 40
    # Four that are near a limit are named, and how many more there are.
    told = page.text.partition(EN["positions.caption"])[0]
    near = [EN["positions.near-floor"], EN["positions.near-ceiling"]]
    assert sum(map(told.count, near)) == 4
    assert re.search(r"And [0-9]+ others\.", told)
    for key in ("fork", "peer-is-behind", "silent", "lagging"):
        assert EN[f"links.{key}"] in told, key
    assert EN["group.frozen"] in page.text and EN["positions.asks"] in told
    links = (await admin.get("/links")).text
    assert links.index(EN["links.lagging"]) < links.index(EN["links.compared"])
    flows = await admin.get("/flows?days=36500")
    assert flows.raw.count("<title>") == 1 + 100 + flows.raw.count('class="arc')
    # However many trade, a page stays small on its way.
    assert len(gzip.compress(flows.raw.encode())) < 20_000
    assert len(flows.raw.encode()) < 60_000


# What she decides.


async def limits(shown: Desk) -> tuple[int, int]:
    [row] = await shown.federated.hub.ask(
        "SELECT floor, ceiling FROM account WHERE account_id = 'oostende'"
    )
    return row["floor"], row["ceiling"]


async def test_limits_are_set_in_hours_and_what_is_wrong_stays_typed(
    shown: Desk,
) -> None:
    admin = await shown.admin("nl")
    page = await admin.get(GROUP)
    page = await admin.send(
        page, f"{GROUP}/limits", floor="62,5", ceiling="1 000", reason="so"
    )
    assert page.place == f"{GROUP}?saved=limits"
    assert await limits(shown) == (-62 * HOUR - HOUR // 2, 1000 * HOUR)
    page = await admin.get(GROUP)
    assert page.form(f"{GROUP}/limits").fields == {
        "floor": "62,50",
        "ceiling": "1000",
        "reason": "",
    }
    before = await changed(shown)
    page = await admin.send(
        page, f"{GROUP}/limits", floor="veel", ceiling="10", reason="so"
    )
    assert (page.status, page.wrong) == (422, ["floor"])
    assert page.form(f"{GROUP}/limits").fields == {
        "floor": "veel",
        "ceiling": "10",
        "reason": "so",
    }
    assert await changed(shown) == before


async def test_who_set_limits_and_why_stands_on_the_groups_page(shown: Desk) -> None:
    admin = await shown.admin()
    before = await limits(shown)
    page = await admin.send(
        await admin.get(GROUP), f"{GROUP}/limits", floor="5", ceiling="6", reason=" "
    )
    assert (page.status, page.wrong) == (422, ["reason"])
    assert EN["limits.no-reason"] in page.text and await limits(shown) == before
    wide = {"floor": "3001", "ceiling": "3001", "reason": "agreed <b>on 3 May</b>"}
    page = await admin.post(f"{GROUP}/limits", wide)
    assert page.place == f"{GROUP}?saved=limits"
    page = await admin.get(GROUP)
    assert EN["limits.history"] in page.text
    assert "@admin · agreed <b>on 3 May</b>" in page.text and "<b>on 3" not in page.raw
    # One millisecond of help received, and no more may be: it stands outside of that.
    [row] = await shown.federated.hub.ask(
        "SELECT balance FROM account WHERE account_id = 'oostende'"
    )
    none = {"floor": "0", "ceiling": "0", "reason": "a slip"}
    if row["balance"]:
        page = await admin.post(f"{GROUP}/limits", none)
        assert page.status == 409 and EN["limits.even-outside"] in page.text
        page = await admin.post(f"{GROUP}/limits", {**none, "even_outside": "yes"})
    page = await admin.post(f"{GROUP}/limits", none)
    side = "floor" if row["balance"] < 0 else "ceiling"
    page = await admin.get(GROUP)
    assert (EN[f"limits.reached-{side}"] in page.text) == bool(row["balance"])
    await admin.post(f"{GROUP}/limits", wide)


@pytest.mark.parametrize(
    ("language", "typed", "hours"),
    [
        ("nl", "2,5", 2.5),
        ("fr", "2.5", 2.5),
        ("en", "1 000", 1000),
        ("fr", "1\u202f000", 1000),
        ("nl", "1.000", 1000),
        ("en", "1,000", 1000),
        ("nl", " -7 ", 7),
        ("en", "0", 0),
    ],
)
async def test_hours_are_taken_as_each_language_writes_them(
    shown: Desk, language: str, typed: str, hours: float
) -> None:
    admin = await shown.admin(language)
    page = await admin.post(
        f"{GROUP}/limits",
        {"floor": typed, "ceiling": "2000", "reason": "so", "even_outside": "yes"},
    )
    assert page.place == f"{GROUP}?saved=limits"
    assert await limits(shown) == (-int(hours * HOUR), 2000 * HOUR)


@pytest.mark.parametrize(
    ("language", "typed", "key"),
    [
        ("en", "", "missing"),
        ("en", "1.000", "two-ways"),
        ("nl", "1,000", "two-ways"),
        ("fr", "0,125", "two-ways"),
        ("fr", "1,2345", "too-fine"),
        ("nl", "--5", "not-positive"),
        ("en", "veel", "no-number"),
        ("en", "1 00", "no-number"),
        ("nl", "1e9", "no-number"),
        ("fr", "9" * 30, "too-large"),
        ("en", "x" * 10_000, "no-number"),
        ("en", "\u0661", "no-number"),
    ],
)
async def test_hours_that_are_none_change_nothing_and_say_why(
    shown: Desk, language: str, typed: str, key: str
) -> None:
    admin, before = await shown.admin(language), await changed(shown)
    told = sentences(language)[f"group.hours-{key}"]  # type: ignore[arg-type]
    sent = {"floor": typed, "ceiling": "12,5", "group": "veurne", "reason": "so"}
    for path in (f"{GROUP}/limits", "/invite"):
        page = await admin.post(path, sent)
        assert (page.status, page.wrong) == (422, ["floor"]), path
        assert page.text.count(told) == 1
        fields = page.form(path).fields
        assert (fields["floor"], fields["ceiling"]) == (typed, "12,5")
    assert await changed(shown) == before


async def test_all_that_is_wrong_with_a_form_is_said_at_once(shown: Desk) -> None:
    admin = await shown.admin()
    sent = {"group": "Sint Niklaas!", "floor": "1 0", "ceiling": ""}
    page = await admin.post("/invite", sent)
    assert (page.status, page.wrong) == (422, ["group", "floor", "ceiling"])
    assert page.form("/invite").fields == sent
    for key in ("invite.no-name", "group.hours-no-number", "group.hours-missing"):
        assert EN[key] in page.text, key


async def test_a_form_sent_twice_is_done_once(shown: Desk) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    await admin.post(f"{GROUP}/release", {})
    for path, fields, decisions in (
        (f"{GROUP}/limits", {"floor": "11", "ceiling": "12", "reason": "so"}, 1),
        (f"{GROUP}/freeze", {}, 1),
        (f"{GROUP}/release", {}, 1),
    ):
        before = await decided(shown)
        for _ in range(2):
            page = await admin.post(path, fields)
            assert (page.status, page.place.partition("?")[0]) == (200, GROUP)
        assert await decided(shown) == before + decisions, path
    assert await limits(shown) == (-11 * HOUR, 12 * HOUR)
    for hours in ("1", "2"):
        await admin.post(
            "/invite", {"group": "wetteren", "floor": hours, "ceiling": "5"}
        )
    # The newer invitation has taken the place of the older one.
    rows = await hub.ask(
        "SELECT floor FROM invitation WHERE group_name = 'wetteren' AND until > now()"
    )
    assert [row["floor"] for row in rows] == [-2 * HOUR]
    assert (await admin.get("/invite")).raw.count(">wetteren<") == 1


async def decided(shown: Desk) -> int:
    [row] = await shown.federated.hub.ask("SELECT count(*) FROM decision")
    return int(row["count"])


async def test_limits_finer_than_what_is_shown_are_left_alone(shown: Desk) -> None:
    admin = await shown.admin()
    token = await admin_token(shown)
    answer = await admin.client.post(
        "/api/v1/groups/oostende/limits",
        json={"floor": -HOUR - 1, "ceiling": HOUR + 1, "reason": "so"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status == 200
    page = await admin.get(GROUP)
    page = await admin.send(page, f"{GROUP}/limits", ceiling="2000", reason="so")
    assert await limits(shown) == (-HOUR - 1, 2000 * HOUR)


async def test_a_group_is_frozen_and_released(shown: Desk) -> None:
    admin = await shown.admin()
    page = await admin.send(await admin.get(GROUP), f"{GROUP}/freeze")
    assert page.place == f"{GROUP}?saved=freeze"
    assert EN["group.saved"] in page.text and EN["group.frozen"] in page.text
    assert EN["group.frozen"] in (await admin.get("/")).text
    # The same button on a page that was left open does no harm.
    page = await admin.post(f"{GROUP}/freeze", {})
    assert page.place == f"{GROUP}?saved=freeze"
    page = await admin.send(page, f"{GROUP}/release")
    assert EN["group.frozen"] not in page.text
    await shown.federated.quiet()


async def test_a_proposal_that_does_not_wait_is_told_on_the_groups_page(
    shown: Desk,
) -> None:
    admin = await shown.admin()
    for verb in ("approve", "refuse"):
        page = await admin.post(f"{GROUP}/{verb}", {"proposal": "7"})
        assert page.status == 409
        told = "Proposal 7 of oostende does not wait."
        assert told in page.text and page.form(f"{GROUP}/limits")
    for wrong in ("", "0", "-1", "x", "9" * 40, "\u0661"):
        page = await admin.post(f"{GROUP}/approve", {"proposal": wrong})
        assert page.status == 400, wrong


async def test_an_invitation_is_shown_once_and_only_its_hash_is_kept(
    shown: Desk,
) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    page = await admin.send(
        await admin.get("/invite"), "/invite", group=" Veere ", floor="50", ceiling="60"
    )
    [link] = re.findall(r"<textarea[^>]*>([^<]+)</textarea>", page.raw)
    assert "veere" in link
    rows = await hub.ask("SELECT * FROM invitation WHERE group_name = 'veere'")
    assert [(row["floor"], row["ceiling"]) for row in rows] == [(-50 * HOUR, 60 * HOUR)]
    page = await admin.get("/invite")
    assert "veere" in page.text and link not in page.raw
    for name, key in (
        ("oostende", "invite.group-there"),
        ("hub", "invite.no-name"),
        ("reserve", "invite.no-name"),
        ("Één", "invite.no-name"),
        ("", "invite.no-name"),
        ("x" * 5000, "invite.no-name"),
    ):
        page = await admin.post(
            "/invite", {"group": name, "floor": "1", "ceiling": "1"}
        )
        assert (page.status, page.wrong) == (422, ["group"]), name
        assert EN[key] in page.text


# Signing in.


async def test_a_link_is_good_once_and_leads_where_she_was_going(shown: Desk) -> None:
    browser, code = await shown.browser(), await shown.code()
    page = await browser.get("/flows?days=7")
    assert page.place.startswith("/sign-in")
    page = await browser.send(page, "/welcome", code="x")
    assert (page.status, page.wrong) == (401, ["code"])
    page = await browser.send(page, "/welcome", code=f"http://hub/welcome#{code}")
    assert page.place == "/flows?days=7"
    other = await shown.browser()
    page = await other.send(await other.get("/sign-in"), "/welcome", code=code)
    assert page.status == 401


@pytest.mark.parametrize("place", ["//evil.example", "https://evil.example", "/\\x"])
async def test_signing_in_leads_to_no_other_server(shown: Desk, place: str) -> None:
    browser = await shown.browser()
    fields = {"code": await shown.code(), "next": place}
    page = await browser.post("/welcome", fields)
    assert page.place == "/"


LIMITS = {"floor": "77", "ceiling": "88", "reason": "agreed"}


async def test_a_session_that_ended_in_mid_form_loses_nothing(shown: Desk) -> None:
    admin = await shown.admin()
    await admin.get(GROUP)
    await admin.post("/sign-out", {})
    before = await changed(shown)
    page = await admin.post(f"{GROUP}/limits", LIMITS)
    assert page.status == 401 and await changed(shown) == before
    page = await admin.send(page, "/welcome", code=await shown.code())
    assert page.form(f"{GROUP}/limits").fields == LIMITS


# The API beside them.


async def test_programs_are_told_the_same(shown: Desk) -> None:
    transfer_id = await pay(shown, "program")
    token = await admin_token(shown)
    browser = await shown.browser()

    async def ask(path: str) -> dict[str, object]:
        answer = await browser.client.get(
            f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status == 200, path
        told: dict[str, object] = await answer.json()
        return told

    told = await ask(f"transfers/{transfer_id}")
    items = told["items"]
    assert isinstance(items, list)
    assert [one["signature"] for one in items] == ["good"] * 6
    assert items[0]["from"] == "oostende"
    [flow] = (await ask("flows"))["flows"]  # type: ignore[misc]
    assert (flow["payer_group"], flow["payee_group"]) == ("oostende", "mechelen")
    links = (await ask("links"))["links"]
    assert [one["waiting"] for one in links] == [0, 0]  # type: ignore[attr-defined]
    assert (await ask("transfers"))["oldest"] == []
    for path in ("flows?days=0", "flows?days=x", "flows?day=1", "transfers/x"):
        answer = await browser.client.get(
            f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status in (400, 404), path
        answer = await browser.client.get(f"/api/v1/{path}")
        assert answer.status == 401


# Pure.


@pytest.mark.parametrize(
    ("typed", "milliseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("100", 100 * HOUR),
        ("-100", 100 * HOUR),
        ("0,01", HOUR // 100),
        ("27777777", 27777777 * HOUR),
        ("27777778", AmountFault.TOO_LARGE),
        ("0,125", AmountFault.TWO_WAYS),
        ("0,1234", AmountFault.TOO_FINE),
        ("", AmountFault.MISSING),
        ("--1", AmountFault.NOT_POSITIVE),
        ("1.000.000.000.000.000", AmountFault.TOO_LARGE),
    ],
)
async def test_hours_are_read_as_people_type_them(
    typed: str, milliseconds: int | AmountFault
) -> None:
    assert read_hours(typed, "nl") == milliseconds


@pytest.mark.parametrize(
    ("position", "drawn"),
    [
        (0, (500, 0, False)),
        (25, (500, 250, False)),
        (50, (500, 500, False)),
        (51, (500, 500, False)),
        (1, (500, 10, False)),
        (-50, (250, 250, True)),
        (-100, (0, 500, True)),
        (-999, (0, 500, True)),
    ],
)
async def test_a_bar_reaches_as_far_as_the_room_is_used(
    position: int, drawn: tuple[int, int, bool]
) -> None:
    found = bar(position_answer(position=position, floor=-100, ceiling=50))
    assert (found.left, found.length, found.is_below) == drawn


@pytest.mark.parametrize("limit", [None, 0, 10**14])
async def test_a_bar_without_room_or_with_all_of_it_is_drawn_too(
    limit: int | None,
) -> None:
    ends = {"floor": None if limit is None else -limit, "ceiling": limit}
    for position in (-1, 1):
        found = bar(position_answer(position=position, **ends))
        assert found.length == (500 if limit == 0 else 6)
