"""A treasurer follows her one-time link, looks at her group, and acts."""

from typing import Any
from xml.etree import ElementTree

import pytest

from protocol.peer.web.words import sentences
from tests.browser.conftest import Window, Windows
from tests.federation.servers import wait_for
from tests.federation.world import Federation
from tests.nodes.test_camt053 import check as check_camt053

EN = sentences("en")
#: The same pieces as members' pages, so one of each is enough.
LOOKS = (("nl", "phone", "light"), ("fr", "desktop", "dark"), ("en", "phone", "dark"))
DESK = "/treasurer"
WHO = "name=Ann+Peeters&account=annp&floor=100&ceiling="
HOW_MUCH = "giver=rik&taker=fund&amount=3&reason=Soep"
PAGES = (
    *("/members", "/members/marie", "/members/rik/close", "/ledger"),
    *("/new-member", f"/new-member/confirm?{WHO}400", f"/new-member/confirm?{WHO}x"),
    *("/by-hand", f"/by-hand/confirm?{HOW_MUCH}", "/by-hand/confirm?giver=-"),
    *("/unit", "/unit/confirm?per_hour=30&unit=garnaal", "/people", "/acts"),
    *("/cycles", "/legs", "/shares", "/warning", "/leaving", "/keys"),
    *("/leaving/confirm?reason=so", "/keys/confirm?reason=so"),
)
WHY = "Cash, at the market"


def signed_in(windows: Windows, town: Federation, **look: object) -> Window:
    """Follow the link that the command makes."""
    window = windows.open("oostende", **look)  # type: ignore[arg-type]
    window.page.goto(town.server("oostende").run("sign-in")["sign_in"])
    window.press("/welcome")
    return window


@pytest.mark.parametrize(("language", "size", "colours"), LOOKS)
def test_a_treasurer_sees_that_all_sums_to_zero(
    windows: Windows, town: Federation, language: str, size: str, colours: str
) -> None:
    said = sentences(language)  # type: ignore[arg-type]
    link = town.server("oostende").run("sign-in")["sign_in"]
    window = windows.open(
        "oostende", size=size, language=language, color_scheme=colours
    )
    window.page.goto(link)
    # The code behind the "#" fills itself in, and stays in no history.
    assert link.endswith(window.page.input_value("#code"))
    assert "#" not in window.page.url
    window.press("/welcome")
    assert said["treasurer.sums-good"] in window.text
    window.look("treasurer")
    for path in (*(DESK + path for path in PAGES), "/profile"):
        window.go(path)
        # What everyone can use depends little on the language, and looking takes long.
        window.look(path, closely=language == "nl")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_new_member_comes_in_by_the_link_that_she_is_handed(
    windows: Windows, town: Federation, scripts: bool
) -> None:
    account = "zoe" if scripts else "zita"
    window = windows.open("oostende", scripts=scripts)
    link = town.server("oostende").run("sign-in")["sign_in"]
    window.go("/welcome")
    window.page.fill("#code", link)
    window.press("/welcome")
    window.go(f"{DESK}/new-member")
    window.page.fill("#name", "Zoë Maes")
    window.page.fill("#account", account)
    window.page.fill("#floor", "100")
    window.page.fill("#ceiling", "400")
    window.press(f"{DESK}/new-member/confirm")
    assert f"{account}@oostende" in window.text
    window.page.locator(f'form[action="{DESK}/new-member"] button').dblclick()
    window.page.locator("textarea#link").wait_for()
    if scripts:
        window.look("handover")
    theirs = windows.open("oostende", scripts=scripts)
    theirs.go("/welcome")
    theirs.page.fill("#code", window.page.input_value("#link"))
    theirs.press("/welcome")
    assert "Zoë Maes" in theirs.text
    # Double, and yet there is one of her, by one act.
    window.go(f"{DESK}/members/{account}")
    assert window.page.locator("h2 + .lines li").count() == 1


def test_an_entry_is_booked_and_taken_back_with_the_keyboard_alone(
    windows: Windows, town: Federation
) -> None:
    window = signed_in(windows, town)
    before = town.member("rik@oostende").account()["balance"]
    window.go(f"{DESK}/by-hand")
    keyboard = window.page.keyboard
    window.page.locator("#giver").focus()
    for typed in ("rik", "fund", "7", "Soep op het feest"):
        keyboard.type(typed)
        keyboard.press("Tab")
    with window.page.expect_navigation():
        keyboard.press("Enter")
    window.press(f"{DESK}/by-hand")
    window.look("entry")
    assert town.member("rik@oostende").account()["balance"] == before - 7
    with window.page.expect_navigation():
        window.page.get_by_role("button", name=EN["entry.correct"]).click()
    window.look("correct")
    window.page.fill("#reason", "Verkeerd lid")
    with window.page.expect_navigation():
        window.page.get_by_role("button", name=EN["entry.correct-now"]).click()
    assert EN["entry.saved"] in window.text
    assert town.member("rik@oostende").account()["balance"] == before


def closed(town: Federation) -> int:
    """End the open cycle after one payment, and wait until all have agreed."""
    town.wait_compared()
    town.end_of(town.pay("rik@oostende", "tom@mechelen", 2))
    cycle: int = town.admin.get("/api/v1/cycles")["open"]
    assert town.admin.ask("POST", f"/api/v1/cycles/{cycle}/close")[0] == 200

    def have_agreed() -> bool:
        told = town.admin.get(f"/api/v1/cycles/{cycle}")
        return bool(told["agreed"] == told["groups"])

    wait_for(have_agreed, "all to agree", 30)
    return cycle


def sign(town: Federation, group: str, leg: dict[str, Any]) -> None:
    """Let a group's treasurer sign by a program, once the leg is there."""
    treasurer = town.nodes[group].treasurer
    assert treasurer is not None
    word = "paid" if leg["debtor"] == group else "received"
    path = f"/api/v1/group/legs/{leg['id']}/{word}"

    def is_signed() -> bool:
        return bool(treasurer.ask("POST", path, {"reason": WHY})[0] == 200)

    wait_for(is_signed, "the leg to be signed", 20)


def test_a_cycle_agrees_by_itself_and_its_leg_is_signed_on_the_page(
    windows: Windows, town: Federation
) -> None:
    cycle = closed(town)
    window = signed_in(windows, town)
    with window.page.expect_navigation():
        window.page.get_by_role("link", name=EN["own-cycles.title"]).click()
    with window.page.expect_navigation():
        named = EN["own-cycles.one"].format(cycle=cycle)
        window.page.get_by_role("link", name=named).first.click()
    assert "exactly the same" in window.text
    assert "rik@oostende → tom@mechelen" in window.text
    window.look("an agreed cycle")
    window.go(f"{DESK}/cycles/{cycle}/proof")
    assert EN["proof.proved"] in window.text
    window.look("a proof")
    window.go(f"{DESK}/cycles/{cycle}")
    with window.page.expect_download() as fetched:
        window.page.get_by_role("link", name="camt.053").click()
    check_camt053(ElementTree.parse(fetched.value.path()).getroot())

    status, made = town.admin.ask("POST", f"/api/v1/cycles/{cycle}/settle")
    assert status == 200
    [leg, *others] = sorted(
        made["legs"],
        key=lambda one: "oostende" not in (one["debtor"], one["creditor"]),
    )
    for one in others:
        sign(town, one["debtor"], one)
        sign(town, one["creditor"], one)
    at = f"{DESK}/legs/{leg['id']}"

    def is_here() -> bool:
        window.go(DESK)
        return window.page.locator(f'a[href="{at}"]').count() == 1

    wait_for(is_here, "the leg to wait on her first page", 20)
    window.look("what waits")
    with window.page.expect_navigation():
        window.page.locator(f'a[href="{at}"]').click()
    window.look("a leg")
    window.page.fill("#reason", WHY)
    window.press(f"{at}/confirm")
    assert EN["own-legs.for-ever"] in window.text
    window.look("before signing")
    with window.page.expect_navigation():
        window.page.locator(f'form[action="{at}"] button').dblclick()
    window.page.get_by_text(EN["own-legs.saved"]).wait_for()
    window.look("signed")
    [other] = {leg["debtor"], leg["creditor"]} - {"oostende"}
    sign(town, other, leg)

    def is_settled() -> bool:
        window.go(at)
        return EN["own-legs.theirs-there"] in window.text

    wait_for(is_settled, "the leg to be settled", 20)
    window.look("a settled leg")
    assert town.groups()["oostende"]["position"] == 0


def test_the_longest_names_fit_on_the_desk_of_the_smallest_phone(
    windows: Windows, town: Federation
) -> None:
    account, name = "v" * 32, "W" * 80
    server = town.server("oostende")
    server.run("member", "add", account, "--name", name, "--floor=-10", "--ceiling=90")
    server.run("person", "invite", f"@{'w' * 31}", "--role", "reader")
    window = signed_in(windows, town)
    at = f"/members/{account}"
    booking = f"giver={account}&taker=rik&amount=1&reason={'r' * 500}"
    for path in (f"{at}", f"{at}/close", f"/by-hand/confirm?{booking}", "/people"):
        window.go(DESK + path)
        for more in window.page.locator("details summary").all():
            more.click()
        window.look(path, closely=False)
    window.go(DESK + at)
    window.press(f"{DESK}{at}/freeze")
    assert EN["members.is-frozen"] in window.text
    window.look("on hold", closely=False)
    window.go("/treasurer/members?text=vvv")
    window.look("found", closely=False)
