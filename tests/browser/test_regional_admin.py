"""A regional admin follows her one-time link, looks at everything, and decides."""

import pytest

from protocol.peer.web.words import sentences
from tests.browser.conftest import Window, Windows
from tests.federation.world import Federation

#: One of each is enough: these pages are made of the same pieces as members'.
LOOKS = (("nl", "phone", "dark"), ("fr", "phone", "light"), ("en", "desktop", "light"))
PAGES = (
    *("/flows?days=36500", "/transfers", "/links", "/alarms"),
    *("/invite", "/consents", "/profile"),
)


def signed_in(windows: Windows, town: Federation, **look: object) -> Window:
    """Follow the link that the command makes, with the keyboard alone."""
    window = windows.open("hub", **look)  # type: ignore[arg-type]
    window.page.goto(town.server("hub").run("sign-in")["sign_in"])
    # Past the menu, over the code that has filled itself in, to the button.
    for key in ("Tab", "Enter", "Tab", "Tab"):
        window.page.keyboard.press(key)
    window.page.keyboard.press("Enter")
    # Not any navigation: moving along one page, as the first link does, is one too.
    window.page.wait_for_selector('form[action="/sign-out"]')
    return window


def paid(town: Federation) -> str:
    """Let Marie of Oostende pay Bob of Mechelen, and wait until it is through."""
    ordered = town.pay("marie@oostende", "bob@mechelen", 3)
    town.end_of(ordered)
    assert ordered.transfer_id is not None
    return ordered.transfer_id


@pytest.mark.parametrize(("language", "size", "colours"), LOOKS)
def test_the_regional_admin_sees_that_all_sums_to_zero(
    windows: Windows, town: Federation, language: str, size: str, colours: str
) -> None:
    said = sentences(language)  # type: ignore[arg-type]
    transfer_id = paid(town)
    window = signed_in(
        windows, town, size=size, language=language, color_scheme=colours
    )
    assert said["positions.sums-good"] in window.text
    window.look("positions")
    for path in (*PAGES, "/groups/oostende", f"/transfers/{transfer_id}"):
        window.go(path)
        window.look(path)
    assert window.text.count(said["transfer.signature-good"]) == 6


def test_what_is_decided_without_scripts(windows: Windows, town: Federation) -> None:
    said = sentences("en")
    window = windows.open("hub", scripts=False)
    link = town.server("hub").run("sign-in")["sign_in"]
    window.go("/sign-in")
    window.page.fill("#code", link)
    window.press("/welcome")
    window.go("/groups/mechelen")
    window.page.fill("#floor", "0,5,5")
    window.page.fill("#reason", "agreed on 3 May")
    window.press("/groups/mechelen/limits")
    assert said["group.hours-no-number"] in window.text
    assert window.page.input_value("#floor") == "0,5,5"
    # She is led to it, however far down it stands.
    assert window.page.locator("#floor:focus").is_visible()
    window.page.fill("#floor", "500")
    window.press("/groups/mechelen/limits")
    assert said["group.saved"] in window.text
    window.page.click("summary")
    window.press("/groups/mechelen/freeze")
    assert said["group.frozen"] in window.text
    window.press("/groups/mechelen/release")
    assert said["group.frozen"] not in window.text
    window.go("/invite")
    window.page.fill("#group", "veere")
    window.press("/invite")
    assert "veere" in window.page.input_value("#link")
    window.look("invited", closely=False)
    town.wait_compared()
