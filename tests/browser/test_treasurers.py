"""A treasurer follows her one-time link, looks at her group, and acts."""

import pytest

from protocol.peer.web.words import sentences
from tests.browser.conftest import Window, Windows
from tests.federation.world import Federation

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
)


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
