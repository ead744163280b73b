"""A regional admin closes a cycle in a browser, groups agree and sign, all is zero."""

from typing import Any

from protocol.peer.web.words import sentences
from tests.browser.conftest import SIZES, Window, Windows
from tests.browser.test_regional_admin import signed_in
from tests.federation.servers import wait_for
from tests.federation.world import Federation

EN = sentences("en")


def paid(town: Federation) -> None:
    """Let two groups' members pay each other, not quite the same."""
    for payer, payee, amount in (
        ("marie@oostende", "bob@mechelen", 4),
        ("bob@mechelen", "marie@oostende", 1),
    ):
        town.end_of(town.pay(payer, payee, amount))


def press_at(window: Window, path: str) -> None:
    """Press the one button of a page that asks, and see where it leads."""
    window.go(path)
    window.look(path)
    window.press(path)


def signed(town: Federation, leg: dict[str, Any]) -> None:
    """Let both groups sign a leg, each at its own node."""
    for party, word in (("debtor", "paid"), ("creditor", "received")):
        server = town.server(leg[party])

        def is_here(server: Any = server) -> bool:
            found = server.run("cycle", "legs")["legs"]
            return leg["id"] in {one["id"] for one in found}

        wait_for(is_here, "the leg to arrive", 20)
        server.run("cycle", word, leg["id"], "--reason", "by bank")


def test_a_cycle_is_closed_and_settled_to_zero(
    windows: Windows, town: Federation
) -> None:
    town.wait_compared()
    paid(town)
    window = signed_in(windows, town, color_scheme="dark", language="en")
    window.go("/cycles")
    window.look("cycles")
    number = town.hub.run("cycle", "list")["open"]
    press_at(window, f"/cycles/{number}/close")
    assert EN["cycle.saved-closed"] in window.text

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = town.hub.run("cycle", "show", str(number))
        return found

    wait_for(lambda: shown()["agreed"] == shown()["groups"], "all to agree", 30)
    window.go(f"/cycles/{number}")
    window.look("agreed")
    assert EN["netting.novation-told"] in window.text
    press_at(window, f"/cycles/{number}/settle")
    assert EN["cycle.saved-settled"] in window.text
    window.look("legs")
    legs = shown()["legs"]
    window.go(f"/legs/{legs[0]['id']}/cancel")
    window.look("cancel")
    for leg in legs:
        signed(town, leg)
    wait_for(
        lambda: {one["state"] for one in shown()["legs"]} == {"settled"},
        "the hub to decide",
        20,
    )
    window.go(f"/cycles/{number}")
    assert EN["settle.arrived"] in window.text
    window.look("settled")
    # The same on a desk and by day; no other page has more in it.
    window.page.emulate_media(color_scheme="light")
    window.page.set_viewport_size(SIZES["desktop"])  # type: ignore[arg-type]
    window.look("settled on a desk")
    assert {one["position"] for one in town.groups().values()} == {0}
    with window.page.expect_download() as saved:
        window.page.click(f'a[href="/cycles/{number}/file"]')
    assert saved.value.suggested_filename == f"cycle-{number}.json"


def test_a_cycle_is_closed_without_scripts(windows: Windows, town: Federation) -> None:
    town.wait_compared()
    window = windows.open("hub", scripts=False)
    window.go("/sign-in?next=/cycles")
    window.page.fill("#code", town.server("hub").run("sign-in")["sign_in"])
    window.press("/welcome")
    window.page.click('a[href$="/close"]')
    number = int(window.page.url.split("/")[-2])
    window.press(f"/cycles/{number}/close")
    assert EN["cycle.saved-closed"] in window.text
    assert town.hub.run("cycle", "list")["open"] == number + 1
    window.look("closed", closely=False)
