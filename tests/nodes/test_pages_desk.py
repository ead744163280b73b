"""What treasurers do on their pages, and what readers cannot, without scripts."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from nodes.rules import Deed
from protocol.peer.web.routes import READER, TREASURER, Route
from protocol.peer.web.words import LANGUAGES, Language, refusal, sentences
from tests.nodes.browsing import Browser, Page, Town, admit, let_in, town
from tests.peer.federation import NewDatabase
from tests.protocol.makers import OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
EN = sentences("en")
NOBODYS = "00000000-0000-8000-8000-000000000000"
NEW = "/treasurer/new-member"
BY_HAND = "/treasurer/by-hand"
WHY = "Soup at the party"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Town]:
    async with town(shared_database) as found:
        yield found


async def balance(shown: Town, account: str) -> int:
    return (await shown.node().balances()).get(account, 0)


async def acts(shown: Town) -> list[tuple[str, str]]:
    rows = await shown.node().ask("SELECT deed, about FROM act ORDER BY number")
    return [(row["deed"], row["about"]) for row in rows]


def link_on(page: Page) -> str:
    [code] = re.findall(r"http://oostende\.example\.org/welcome#([\w-]+)", page.raw)
    found: str = code
    return found


async def admitted(browser: Browser, **typed: str) -> Page:
    """Walk from the form to the page that asks whether this is right."""
    fields = {"name": "Ann", "account": "ann", "floor": "100", "ceiling": "400"}
    return await browser.send(
        await browser.get(NEW), f"{NEW}/confirm", **fields | typed
    )


# Members.


async def test_a_member_comes_in_by_the_link_that_is_handed_on(shown: Town) -> None:
    tine = await let_in(shown)
    page = await admitted(tine, name="Zoë Maes", account=" Zoe ")
    # Nothing is done yet; a ketje is a minute, a blusser three.
    assert "zoe@oostende" in page.text and "-100 blussers -5 h" in page.text
    assert ("member-admitted", "zoe") not in await acts(shown)
    page = await tine.send(page, NEW)
    assert EN["handover.title"].format(name="Zoë Maes") in page.text
    assert "<svg" in page.raw
    zoe = await shown.browser()
    welcome = await zoe.get("/welcome")
    first = await zoe.send(welcome, "/welcome", code=link_on(page))
    assert "Zoë Maes" in first.text and first.place == "/"
    # The next new member is offered the limits of the last one.
    fields = (await tine.get(NEW)).form(f"{NEW}/confirm").fields
    assert (fields["floor"], fields["ceiling"]) == ("100", "400")


async def test_two_clicks_admit_one_member_with_one_link(shown: Town) -> None:
    tine = await let_in(shown)
    page = await admitted(tine, account="bea")
    pages = await asyncio.gather(*(tine.send(page, NEW) for _ in range(2)))
    assert len({link_on(one) for one in pages}) == 1
    about = [deed for deed, whom in await acts(shown) if whom == "bea"]
    assert about == ["member-admitted", "sign-in-made"]
    # Back on the page that asks, she is told, and has no button.
    again = await tine.get(page.place)
    assert EN["members.done-before"] in again.text
    assert NEW not in {form.action for form in again.forms}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("account", "Anna Maria", "members.no-account"),
        ("account", "", "members.no-account"),
        ("account", "a" * 33, "members.no-account"),
        ("name", "An\u202en", "members.no-name"),
        ("name", "n" * 81, "members.no-name"),
        ("floor", "2,5", "treasurer.amount-no-parts"),
        ("floor", "veel", "treasurer.amount-no-number"),
        ("ceiling", "1" + "0" * 13, "treasurer.amount-too-large"),
        ("ceiling", "--3", "treasurer.amount-not-positive"),
    ],
)
async def test_what_cannot_be_has_its_sentence_beside_it_and_stays(
    shown: Town, language: Language, field: str, typed: str, told: str
) -> None:
    tine = await let_in(shown, language=language)
    page = await admitted(tine, **{field: typed})
    assert (page.status, page.wrong) == (200, [field])
    assert sentences(language)[told].format(unit="blussers") in page.text
    fields = page.form(f"{NEW}/confirm").fields
    assert fields[field] == typed
    assert fields["ceiling" if field != "ceiling" else "floor"] in ("100", "400")


async def test_a_name_that_somebody_has_is_told_beside_it(shown: Town) -> None:
    tine = await let_in(shown)
    for account in ("marie", "fund", "conversion.1"):
        page = await tine.send(await admitted(tine, account=account), NEW)
        assert page.wrong == ["account"]
        assert page.form(f"{NEW}/confirm").fields["account"] == account
    # What is put right goes on from there, under another key.
    page = await tine.send(page, f"{NEW}/confirm", account="cas")
    page = await tine.send(page, NEW)
    assert link_on(page)


async def test_name_and_limits_are_changed_and_the_rest_stays(shown: Town) -> None:
    await admit(shown.node(), "dirk", floor=-50, ceiling=70)
    tine, other = await let_in(shown), await let_in(shown, "@tom")
    at = "/treasurer/members/dirk"
    stale = await other.get(at)
    page = await tine.send(await tine.get(at), f"{at}/change", floor="", reason=WHY)
    assert EN["members.saved"] in page.text and WHY in page.text
    assert "no limit … 70" in page.text
    # Who has seen her as she was before changes nothing but what he typed.
    page = await other.send(stale, f"{at}/change", name="Dirk Maes", ceiling="0")
    assert "no limit … 0" in page.text and "Dirk Maes" in page.text
    # "-30" below zero is 30 below zero.
    page = await tine.send(await tine.get(at), f"{at}/change", floor="-30")
    assert "-30 … 0" in page.text
    before = await acts(shown)
    page = await tine.send(page, f"{at}/change")
    assert page.place == at and await acts(shown) == before


@pytest.mark.parametrize(
    ("field", "typed"), [("name", " "), ("floor", "x"), ("reason", "w" * 501)]
)
async def test_a_change_that_cannot_be_changes_nothing_and_stays(
    shown: Town, field: str, typed: str
) -> None:
    tine = await let_in(shown)
    at, before = "/treasurer/members/jan", await acts(shown)
    typed_all = {"ceiling": "77", field: typed}
    page = await tine.send(await tine.get(at), f"{at}/change", **typed_all)
    assert page.wrong == [field]
    fields = page.form(f"{at}/change").fields
    assert fields["ceiling"] == "77" and fields[field] == typed
    assert await acts(shown) == before


async def test_limits_that_cross_are_told(shown: Town) -> None:
    tine = await let_in(shown)
    await admit(shown.node(), "ferre", floor=10, ceiling=20)
    at = "/treasurer/members/ferre"
    page = await tine.send(await tine.get(at), f"{at}/change", ceiling="0")
    assert refusal("limits-crossed", "en", {"account": "ferre"}) in page.text


async def test_an_account_is_put_on_hold_and_released(shown: Town) -> None:
    await admit(shown.node(), "gust")
    tine, gust = await let_in(shown), await shown.signed_in("gust")
    at = "/treasurer/members/gust"
    page = await tine.send(await tine.get(at), f"{at}/freeze", reason="Away")
    assert EN["members.is-frozen"] in page.text and "Away" in page.text
    assert EN["account.frozen"] in (await gust.get("/")).text
    page = await tine.send(page, f"{at}/release")
    assert EN["members.freeze"] in page.text
    deeds = [deed for deed, whom in await acts(shown) if whom == "gust"]
    assert deeds.count("member-changed") == 2


async def test_an_account_at_zero_is_closed_and_opened_again(shown: Town) -> None:
    await admit(shown.node(), "hilde")
    tine, at = await let_in(shown), "/treasurer/members/hilde"
    page = await tine.get(f"{at}/close")
    page = await tine.send(page, f"{at}/close")
    assert page.place == f"{at}?saved=close" and EN["members.is-closed"] in page.text
    page = await tine.send(page, f"{at}/open")
    assert EN["members.freeze"] in page.text


async def test_what_stands_on_a_closed_account_goes_to_the_fund_once(
    shown: Town,
) -> None:
    await admit(shown.node(), "ivo")
    tine, at = await let_in(shown), "/treasurer/members/ivo"
    await booked(tine, giver="ivo", taker="fund", amount="40")
    fund = await balance(shown, "fund")
    asked = await tine.get(f"{at}/close")
    assert EN["members.close-debt"].format(amount="40 blussers") in asked.text
    page = await tine.send(asked, f"{at}/close")
    assert page.wrong == ["reason"] and await balance(shown, "ivo") == -40
    for _ in range(2):
        page = await tine.send(asked, f"{at}/close", reason=WHY)
        assert EN["members.is-closed"] in page.text
    assert (await balance(shown, "ivo"), await balance(shown, "fund")) == (0, fund - 40)


async def test_who_closes_what_has_moved_meanwhile_is_asked_again(
    shown: Town,
) -> None:
    await admit(shown.node(), "joke")
    tine, at = await let_in(shown), "/treasurer/members/joke"
    asked = await tine.get(f"{at}/close")
    await booked(tine, giver="joke", taker="fund", amount="7")
    page = await tine.send(asked, f"{at}/close", reason=WHY)
    assert EN["members.balance-moved"] in page.text
    assert page.form(f"{at}/close").fields == {"balance": "-7", "reason": WHY}
    assert await balance(shown, "joke") == -7


async def test_a_new_link_ends_the_one_before(shown: Town) -> None:
    await admit(shown.node(), "karel")
    tine, at = await let_in(shown), "/treasurer/members/karel"
    links = []
    for _ in range(2):
        page = await tine.send(await tine.get(at), f"{at}/sign-in")
        links.append(link_on(page))
    stranger = await shown.browser()
    welcome = await stranger.get("/welcome")
    assert (await stranger.send(welcome, "/welcome", code=links[0])).wrong == ["code"]
    assert (await stranger.send(welcome, "/welcome", code=links[1])).place == "/"


async def test_a_member_is_signed_out_everywhere(shown: Town) -> None:
    await admit(shown.node(), "lode")
    tine, lode = await let_in(shown), await shown.signed_in("lode")
    at = "/treasurer/members/lode"
    asked = await tine.get(at)
    for _ in range(2):
        page = await tine.send(asked, f"{at}/shut-out")
        assert EN["members.saved"] in page.text
    assert (await lode.get("/")).place.startswith("/sign-in")
    assert (await (await shown.browser()).sign_in("lode")).status == 401
    assert (await acts(shown)).count(("sign-ins-ended", "lode")) == 1


# Entries.


async def asked_by_hand(browser: Browser, **typed: str) -> Page:
    fields = {"giver": "marie", "taker": "jan", "amount": "3", "reason": WHY} | typed
    form = await browser.get(BY_HAND)
    return await browser.send(form, f"{BY_HAND}/confirm", **fields)


async def booked(browser: Browser, **typed: str) -> Page:
    page = await browser.send(await asked_by_hand(browser, **typed), BY_HAND)
    assert EN["entry.saved"] in page.text, page.text
    return page


async def test_an_entry_by_hand_is_looked_at_and_booked_once(shown: Town) -> None:
    tine = await let_in(shown)
    before = await balance(shown, "jan")
    page = await asked_by_hand(tine, giver=" Marie ", amount="3")
    told = EN["by-hand.balances"].format(before=before, after=before + 3)
    assert told in page.text and "Jan" in page.text and WHY in page.text
    assert await balance(shown, "jan") == before
    places = {(await tine.send(page, BY_HAND)).place for _ in range(3)}
    assert len(places) == 1 and await balance(shown, "jan") == before + 3
    again = await tine.get(page.place)
    assert EN["by-hand.done-before"] in again.text
    assert BY_HAND not in {form.action for form in again.forms}
    jan = await shown.signed_in("jan")
    assert WHY in (await jan.get("/history")).text


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"giver": "nobody"}, "giver"),
        ({"giver": "clearing"}, "giver"),
        ({"taker": "jan@mechelen"}, "taker"),
        ({"taker": "marie"}, "taker"),
        ({"amount": "2,5"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"reason": " "}, "reason"),
        ({"reason": "w" * 501}, "reason"),
    ],
)
async def test_an_entry_that_cannot_be_is_told_beside_the_field(
    shown: Town, typed: dict[str, str], field: str
) -> None:
    tine = await let_in(shown)
    page = await asked_by_hand(tine, **typed)
    assert (page.status, page.wrong) == (200, [field])
    fields = page.form(f"{BY_HAND}/confirm").fields
    assert fields[field] == typed[field]
    assert fields["giver"] == typed.get("giver", "marie")


async def test_an_entry_beyond_a_floor_has_no_button_and_is_refused(
    shown: Town,
) -> None:
    await admit(shown.node(), "leo", floor=-10)
    tine = await let_in(shown)
    page = await asked_by_hand(tine, giver="leo", amount="11")
    told = refusal("member-floor", "en", {"account": "leo"})
    assert told in page.text and BY_HAND not in {form.action for form in page.forms}
    # It had room when it was looked at.
    page = await asked_by_hand(tine, giver="leo", amount="10")
    await booked(tine, giver="leo", amount="1")
    page = await tine.send(page, BY_HAND)
    assert page.wrong == ["giver"] and told in page.text
    assert await balance(shown, "leo") == -1
    # Another try from there is another wish.
    page = await tine.send(page, f"{BY_HAND}/confirm", amount="9")
    page = await tine.send(page, BY_HAND)
    assert await balance(shown, "leo") == -10


async def test_an_entry_is_taken_back_once_and_says_why(shown: Town) -> None:
    tine = await let_in(shown)
    before = await balance(shown, "jan")
    entry = await booked(tine, amount="5")
    at = entry.place.partition("?")[0] + "/correct"
    page = await tine.get(at)
    assert "jan -5" in page.text and "marie +5" in page.text
    page = await tine.send(page, at, reason="")
    assert page.wrong == ["reason"] and await balance(shown, "jan") == before + 5
    places = {(await tine.send(page, at, reason="Twice")).place for _ in range(2)}
    assert len(places) == 1 and await balance(shown, "jan") == before
    again = await tine.get(at)
    assert refusal("corrected-before", "en") in again.text
    assert at not in {form.action for form in again.forms}
    ledger = await tine.get("/treasurer/ledger?text=Twice")
    assert EN["entry.correction"] in ledger.text


async def test_what_another_group_has_booked_too_is_not_taken_back(
    shown: Town,
) -> None:
    marie, tine = await shown.signed_in(), await let_in(shown)
    page = await marie.get("/pay/confirm?to=bob%40mechelen&amount=3&side=payee")
    await marie.send(page, "/payments")
    ledger = await tine.get("/treasurer/ledger")
    at = next(one for one in ledger.links if one.startswith("/treasurer/entries/"))
    page = await tine.get(f"{at}/correct")
    told = refusal("between-groups", "en")
    assert told in page.text
    assert f"{at}/correct" not in {form.action for form in page.forms}
    # Whoever sends it all the same is told so by the rule itself.
    page = await tine.post(f"{at}/correct", {"reason": WHY, "key": "all-the-same"})
    assert told in page.text and EN["entry.saved"] not in page.text


async def test_a_member_is_found_by_a_part_of_her_name(shown: Town) -> None:
    tine = await let_in(shown)
    await admit(shown.node(), "m77")
    page = await tine.get("/treasurer/members?text=M7")
    assert "M77" in page.text and "Marie" not in page.text
    page = await tine.get("/treasurer/members?text=nobody-at-all")
    assert EN["history.nothing"] in page.text


# The unit.


async def test_another_rate_is_asked_for_once(shown: Town) -> None:
    tine = await let_in(shown)
    at = "/treasurer/unit"
    form = await tine.get(at)
    page = await tine.send(form, f"{at}/confirm")
    assert EN["unit.so-already"] in page.text
    page = await tine.send(form, f"{at}/confirm", per_hour="30", symbol="B")
    assert "3 min → 2 min" in page.text and "(B)" in page.text
    for _ in range(2):
        told = await tine.send(page, at)
        assert EN["unit.asked"] in told.text and EN["unit.waiting"] in told.text
    (row,) = await shown.node().ask("SELECT count(*) AS n FROM proposal")
    assert row["n"] == 1


@pytest.mark.parametrize("typed", ["0", "2,5", "", "x", "100001", "-3"])
async def test_a_rate_that_cannot_be_is_told_beside_it(shown: Town, typed: str) -> None:
    tine = await let_in(shown)
    form = await tine.get("/treasurer/unit")
    page = await tine.send(
        form, "/treasurer/unit/confirm", per_hour=typed, unit="broodje"
    )
    assert page.wrong == ["per_hour"]
    fields = page.form("/treasurer/unit/confirm").fields
    assert (fields["per_hour"], fields["unit"]) == (typed, "broodje")


# Who runs the group.


async def test_a_reader_is_invited_and_can_only_look(shown: Town) -> None:
    tine = await let_in(shown)
    form = await tine.get("/treasurer/people")
    forms = [one for one in form.forms if one.action == "/treasurer/people"]
    fields = {**forms[-1].fields, "name": "Ria", "role": READER}
    page = await tine.post("/treasurer/people", fields)
    ria = await shown.browser()
    welcome = await ria.get("/welcome")
    home = await ria.send(welcome, "/welcome", code=link_on(page))
    assert EN["treasurer.only-looking"] in home.text
    buttons = {"/language", "/sign-out"}
    for path in (
        "",
        "/members",
        "/members/marie",
        "/ledger",
        "/unit",
        "/people",
        "/acts",
    ):
        page = await ria.get(f"/treasurer{path}")
        assert page.status == 200
        posts = {one.action for one in page.forms if one.method == "post"}
        assert posts == buttons, path
        assert not [one for one in page.links if "new-" in one or "by-hand" in one]
    assert "/profile" in page.links
    another = await let_in(shown, "@ria", "reader")
    page = await another.get("/profile")
    posts = {one.action for one in page.forms if one.method == "post"}
    assert page.status == 200 and "/sessions/end" not in posts
    # She is let go, and is gone.
    page = await tine.send(
        await tine.get("/treasurer/people"), "/treasurer/people/@ria/remove"
    )
    assert EN["people.former"] in page.text
    assert (await ria.get("/treasurer")).place.startswith("/sign-in")


@pytest.mark.parametrize("name", ["", "Ria Maes", "r" * 32, "@"])
async def test_a_name_that_cannot_be_invites_nobody(shown: Town, name: str) -> None:
    tine = await let_in(shown)
    before = await acts(shown)
    fields = {"name": name, "role": READER, "key": "k"}
    page = await tine.post("/treasurer/people", fields)
    assert page.wrong == ["name"] and EN["people.no-name"] in page.text
    page = await tine.post("/treasurer/people", fields | {"name": "x", "role": "boss"})
    assert page.wrong == ["name"]
    assert await acts(shown) == before


async def test_the_last_treasurer_stays(shown: Town) -> None:
    tine, tom = await let_in(shown), await let_in(shown, "@tom")
    page = await tine.get("/treasurer/people")
    page = await tine.send(page, "/treasurer/people/@tom/end")
    assert EN["members.saved"] in page.text
    assert (await tom.get("/treasurer")).place.startswith("/sign-in")
    others = {
        one.action
        for one in page.forms
        if one.action.endswith("/remove") and "@tine" not in one.action
    }
    for action in others:
        page = await tine.send(page, action)
    page = await tine.send(page, "/treasurer/people/@tine/remove")
    assert refusal("last-treasurer", "en", {"person": "@tine"}) in page.text
    assert (await tine.get("/treasurer")).place == "/treasurer"


async def test_who_did_what_is_there_to_read(shown: Town) -> None:
    tine = await let_in(shown, "@thea")
    await admit(shown.node(), "nora")
    at = "/treasurer/members/nora"
    await tine.send(await tine.get(at), f"{at}/freeze", reason="<b>Away</b>")
    page = await tine.get("/treasurer/acts?about=nora")
    assert "Member changed: nora" in page.text and "@thea · <b>Away</b>" in page.text
    assert at in page.links
    await booked(tine)
    page = await tine.get("/treasurer/acts?author=%40thea")
    assert EN["acts.entry-booked"] in page.text and WHY in page.text
    for query in ("cursor=x", f"about={'a' * 101}", "author=%00"):
        assert (await tine.get(f"/treasurer/acts?{query}")).status in (200, 400)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_each_deed_has_its_words(language: Language) -> None:
    assert {f"acts.{deed}" for deed in Deed} <= set(sentences(language))


# Every page of theirs, from the table itself.


def desk_pages(shown: Town, method: str) -> list[Route]:
    found = [
        one
        for one in shown.tables[OOSTENDE]
        if one.is_page and one.scope == TREASURER and one.method == method
    ]
    assert len(found) > 10
    return found


NAMES = {"account": "marie", "id": NOBODYS, "person": "@nobody", "cycle": "7"}


async def changed(shown: Town) -> list[object]:
    node = shown.node()
    tables = ("act", "member_limit", "entry", "proposal", "access", "person")
    return [
        await node.balances(),
        *[(await node.ask(f"SELECT count(*) FROM {name}"))[0] for name in tables],
    ]


async def test_each_page_by_role(shown: Town) -> None:
    browsers = {
        "nobody": await shown.browser(),
        "member": await shown.signed_in("jan"),
        READER: await let_in(shown, "@rob", "reader"),
    }
    before = await changed(shown)
    acting = set()
    for route in desk_pages(shown, "GET"):
        path = route.path.format_map(NAMES)
        assert (await browsers["nobody"].get(path)).place.startswith("/sign-in")
        assert (await browsers["member"].get(path)).status == 403
        page = await browsers[READER].get(path)
        if page.status == 403:
            acting.add(route.path)
        else:
            # Whether there is such a cycle's proof only the hub knows, and it is away.
            is_known = not route.path.endswith(("/proof", "/file.json"))
            is_nothing = NOBODYS in path or ("{cycle}" in route.path and is_known)
            assert page.status == (404 if is_nothing else 200), path
    # What only leads to a button is not for her.
    assert acting == {
        NEW,
        f"{NEW}/confirm",
        BY_HAND,
        f"{BY_HAND}/confirm",
        "/treasurer/members/{account}/close",
        "/treasurer/entries/{id}/correct",
        "/treasurer/unit/confirm",
        "/treasurer/legs/{id}/confirm",
        "/treasurer/keys/confirm",
        "/treasurer/leaving/confirm",
    }
    for route in desk_pages(shown, "POST"):
        path = route.path.format_map(NAMES)
        statuses = {
            role: (await browser.post(path, {"key": "k", "reason": WHY})).status
            for role, browser in browsers.items()
        }
        assert statuses == {"nobody": 401, "member": 403, READER: 403}, path
    assert await changed(shown) == before


@pytest.mark.parametrize("name", ["nobody", "fund", "clearing", "x" * 40, "%00", "é"])
async def test_who_is_no_member_is_not_there(shown: Town, name: str) -> None:
    tine = await let_in(shown)
    before = await changed(shown)
    tried = 0
    for route in (*desk_pages(shown, "GET"), *desk_pages(shown, "POST")):
        if "{" not in route.path:
            continue
        tried += 1
        path = route.path.format_map(dict.fromkeys(NAMES, name))
        if route.method == "GET":
            page = await tine.get(path)
        else:
            page = await tine.post(path, {"key": "k", "reason": WHY})
        assert page.status in (400, 404), (path, page.status)
    assert tried > 10 and await changed(shown) == before


async def test_a_session_that_ends_in_mid_form_loses_nothing(shown: Town) -> None:
    tine = await let_in(shown)
    before = await balance(shown, "jan")
    asked = await asked_by_hand(tine, amount="4")
    await tine.post("/sign-out", {})
    page = await tine.send(asked, BY_HAND)
    assert page.status == 401 and EN["sign-in.interrupted"] in page.text
    place = page.form("/sign-in").fields["next"]
    assert (
        place.startswith(f"{BY_HAND}/confirm?")
        and await balance(shown, "jan") == before
    )
    tine = await let_in(shown)
    back = await tine.get(place)
    await tine.send(back, BY_HAND)
    await tine.send(asked, BY_HAND)
    assert await balance(shown, "jan") == before + 4
    # A member's changes come back as they were typed.
    await tine.post("/sign-out", {})
    at = "/treasurer/members/jan"
    fields = {"name": "Jan D.", "was_name": "Jan", "floor": "5", "was_floor": "9"}
    page = await tine.post(f"{at}/change", fields)
    tine = await let_in(shown)
    back = await tine.get(page.form("/sign-in").fields["next"])
    assert back.form(f"{at}/change").fields["name"] == "Jan D."
    assert back.form(f"{at}/change").fields["was_floor"] == "9"


async def test_names_and_reasons_are_text_and_nothing_else(shown: Town) -> None:
    script = "<script>alert(1)</script>"
    tine = await let_in(shown)
    page = await admitted(tine, account="mies", name=script)
    assert script not in page.raw and script in page.text
    page = await tine.send(page, NEW)
    assert script not in page.raw and script in page.text
    await booked(tine, giver="mies", reason=f"{script} mies")
    at = "/treasurer/members/mies"
    for path in (at, f"{at}/close", "/treasurer/ledger?text=mies", BY_HAND):
        page = await tine.get(path)
        assert script not in page.raw and script in page.text, path
