"""The demo's story, clicked through as members do it."""

import itertools
import re
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from protocol.peer.web.words import LANGUAGES, Language, sentences
from tests.browser.conftest import SIZES, Window, Windows
from tests.federation.world import PASSWORD, Federation

EN = sentences("en")
#: Whoever looks for people too often must wait; so each round has another payer.
PAYERS = ("marie", "jan", "lies", "rik")


CLOSELY = (
    ("nl", "phone", "light"),
    ("fr", "desktop", "dark"),
    ("en", "phone", "dark"),
    ("en", "desktop", "light"),
)


def every(*first: tuple[Any, ...], others: Iterable[tuple[Any, ...]]) -> list[Any]:
    """These in each run, which have every value of each kind; all with ``-m slow``."""
    more = (one for one in others if one not in first)
    return [*first, *(pytest.param(*one, marks=pytest.mark.slow) for one in more)]


def balance(town: Federation, address: str) -> int:
    found: int = town.member(address).account()["balance"]
    return found


def confirm(window: Window, to: str, amount: str, memo: str = "") -> None:
    """Walk to the page that asks whether this is right."""
    window.go("/pay")
    window.page.fill("#to", to)
    window.press("/pay/amount")
    window.page.fill("#amount", amount)
    window.page.fill("#memo", memo)
    window.press("/pay/confirm")


@pytest.mark.parametrize(
    ("language", "size", "scripts"),
    every(
        ("nl", "phone", True),
        ("fr", "desktop", False),
        ("en", "phone", False),
        ("en", "desktop", True),
        others=itertools.product(LANGUAGES, SIZES, (True, False)),
    ),
)
def test_a_member_pays_another_group(
    windows: Windows, town: Federation, language: Language, size: str, scripts: bool
) -> None:
    said = sentences(language)
    payer = PAYERS[[*LANGUAGES].index(language) + (0 if scripts else 1)]
    before = balance(town, "bob@mechelen")
    window = windows.open(
        "oostende", member=payer, size=size, language=language, scripts=scripts
    )
    confirm(window, "Bob@Mechelen", "3", "Twee broden 🍞")
    if scripts:
        window.look("confirm")
    # A blusser is five minutes and a garnaal three.
    for told in ("Bob", "3 blusser", "15 min", "5 garnaal", "Twee broden 🍞"):
        assert told in window.text
    window.press("/payments")
    window.page.get_by_text(said["payment.cleared"]).wait_for()
    if scripts:
        window.look("payment")
    window.go("/history?text=broden")
    assert "Twee broden 🍞" in window.text
    assert balance(town, "bob@mechelen") == before + 3


@pytest.mark.parametrize(
    ("language", "size", "colours"),
    every(*CLOSELY, others=itertools.product(LANGUAGES, SIZES, ("light", "dark"))),
)
def test_every_page_fits_and_serves_everyone(
    windows: Windows, language: Language, size: str, colours: str
) -> None:
    window = windows.open(
        "oostende", member="marie", size=size, language=language, color_scheme=colours
    )
    # What everyone can use depends little on the language, and looking takes long.
    closely = (language, size, colours) in CLOSELY
    for path in (
        "/",
        "/pay",
        "/pay-me",
        "/history",
        "/profile",
        "/our-group",
        "/ask",
        "/nowhere",
    ):
        window.go(path)
        assert window.page.get_attribute("html", "lang") == language
        window.look(path, closely=closely)
    window.go("/pay/amount?to=jan&amount=2,5")
    window.press("/pay/confirm")
    assert window.page.get_attribute("#amount", "aria-invalid") == "true"
    window.look("an amount that is none", closely=closely)
    window.go("/pay-me?show=yes&amount=5&memo=Fietsband")
    window.look("a link that asks", closely=closely)
    stranger = windows.open(
        "oostende", size=size, language=language, color_scheme=colours
    )
    for path in ("/sign-in", "/welcome"):
        stranger.go(path)
        stranger.look(path, closely=closely)


def test_a_page_prints_without_what_is_only_to_click(windows: Windows) -> None:
    window = windows.open("oostende", member="marie")
    window.go("/")
    window.page.emulate_media(media="print")
    assert not window.page.locator("nav").is_visible()
    assert not window.page.locator("footer").is_visible()
    assert window.page.locator(".big").is_visible()


def test_who_is_paid_sees_it_within_a_second_without_touching_anything(
    windows: Windows, town: Federation
) -> None:
    bob = windows.open("mechelen", member="bob", size="desktop")
    bob.go("/")
    marie = windows.open("oostende", member="marie")
    confirm(marie, "bob@mechelen", "3", "Zie je dit?")
    marie.page.locator('form[action="/payments"] button').click()
    began = time.monotonic()
    bob.page.get_by_text("Zie je dit?").wait_for()
    assert time.monotonic() - began < 1.0
    shown = bob.page.locator(".big").inner_text()
    assert str(balance(town, "bob@mechelen")) in shown
    assert bob.complaints == []


def test_a_payment_page_tells_the_end_by_itself(
    windows: Windows, town: Federation
) -> None:
    mechelen = town.server("mechelen")
    marie = windows.open("oostende", member="marie")
    confirm(marie, "bob@mechelen", "3")
    mechelen.freeze()
    try:
        marie.press("/payments")
        assert EN["payment.under-way"] in marie.text
        assert EN["step.waiting"] in marie.text
    finally:
        mechelen.thaw()
    marie.page.get_by_text(EN["payment.cleared"]).wait_for()
    assert EN["payment.cancel"] not in marie.text


def test_without_scripts_a_payment_page_looks_again_by_itself(
    windows: Windows, town: Federation
) -> None:
    mechelen = town.server("mechelen")
    lies = windows.open("oostende", member="lies", scripts=False)
    confirm(lies, "bob@mechelen", "3")
    mechelen.freeze()
    try:
        lies.press("/payments")
        assert EN["payment.under-way"] in lies.text
    finally:
        mechelen.thaw()
    lies.page.get_by_text(EN["payment.cleared"]).wait_for()


def test_a_payment_is_called_off_while_the_other_group_is_away(
    windows: Windows, town: Federation
) -> None:
    mechelen = town.server("mechelen")
    before = balance(town, "rik@oostende")
    rik = windows.open("oostende", member="rik")
    confirm(rik, "bob@mechelen", "3")
    mechelen.freeze()
    try:
        rik.press("/payments")
        rik.page.get_by_role("button", name=EN["payment.cancel"]).click()
        rik.page.get_by_text(EN["payment.refused"]).wait_for()
    finally:
        mechelen.thaw()
    assert balance(town, "rik@oostende") == before


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_double_click_pays_once(
    windows: Windows, town: Federation, scripts: bool
) -> None:
    before = balance(town, "an@mechelen")
    jan = windows.open("oostende", member="jan", scripts=scripts)
    confirm(jan, "an@mechelen", "3")
    jan.page.locator('form[action="/payments"] button').dblclick()
    jan.page.wait_for_url(re.compile("/payments/"))
    jan.page.get_by_text(EN["payment.cleared"]).wait_for()
    jan.go("/")
    assert balance(town, "an@mechelen") == before + 3


def test_going_back_keeps_what_was_typed_and_pays_nothing_again(
    windows: Windows, town: Federation
) -> None:
    lies = windows.open("oostende", member="lies")
    confirm(lies, "an@mechelen", "3", "Kaas")
    lies.page.go_back()
    assert lies.page.input_value("#amount") == "3"
    assert lies.page.input_value("#memo") == "Kaas"
    lies.page.fill("#amount", "6")
    lies.press("/pay/confirm")
    assert "6 blusser" in lies.text and "Kaas" in lies.text
    before = balance(town, "an@mechelen")
    lies.press("/payments")
    lies.page.get_by_text(EN["payment.cleared"]).wait_for()
    lies.page.go_back()
    assert EN["confirm.paid-before"] in lies.text
    assert lies.page.locator('form[action="/payments"]').count() == 0
    assert balance(town, "an@mechelen") == before + 6


def test_a_session_that_ends_in_mid_form_loses_nothing(
    windows: Windows, town: Federation
) -> None:
    before = balance(town, "an@mechelen")
    rik = windows.open("oostende", member="rik")
    confirm(rik, "an@mechelen", "3", "Na de pauze")
    rik.page.context.clear_cookies()
    rik.press("/payments")
    assert EN["sign-in.interrupted"] in rik.text
    rik.page.fill("#name", "rik")
    rik.page.fill("#password", PASSWORD)
    rik.press("/sign-in")
    assert "Na de pauze" in rik.text
    rik.press("/payments")
    rik.page.get_by_text(EN["payment.cleared"]).wait_for()
    assert balance(town, "an@mechelen") == before + 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_member_signs_in_with_the_keyboard_alone(
    windows: Windows, language: Language
) -> None:
    window = windows.open("mechelen", language=language)
    window.go("/history")
    assert parse_qs(urlsplit(window.page.url).query)["next"] == ["/history"]
    keyboard = window.page.keyboard
    window.page.locator("#name").focus()
    keyboard.type("tom")
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    with window.page.expect_navigation():
        keyboard.press("Enter")
    assert sentences(language)["history.title"] in window.text
    # The first thing that the keyboard meets leads past the menu.
    keyboard.press("Tab")
    focused = window.page.evaluate("document.activeElement.textContent")
    assert focused == sentences(language)["kit.skip"]


def test_a_link_that_asks_is_opened_at_the_payers_own_group(windows: Windows) -> None:
    bob = windows.open("mechelen", member="bob")
    bob.go("/pay-me?show=yes&amount=3&memo=Fietsband")
    link = bob.page.input_value("#link")
    assert bob.page.locator(".qr svg").is_visible()
    # Whoever follows it comes to Bob's group, and is told to take it home.
    stranger = windows.open("mechelen")
    stranger.page.goto(link)
    assert stranger.page.input_value("#ask") == link
    marie = windows.open("oostende", member="marie")
    marie.go("/pay")
    marie.page.fill("#to", link)
    marie.press("/pay/amount")
    assert "Bob" in marie.text and "Fietsband" in marie.text
    marie.press("/payments")
    marie.page.get_by_text(EN["payment.cleared"]).wait_for()
    with marie.page.expect_download() as receipt:
        marie.page.get_by_text(EN["payment.receipt"]).click()
    assert receipt.value.suggested_filename.startswith("interlets-")
    # A member of Bob's own group pays where she is.
    tom = windows.open("mechelen", member="tom")
    tom.page.goto(link)
    tom.press("/asks/open")
    assert "3 blusser" in tom.text and "Fietsband" in tom.text


def test_a_first_visit_is_small(windows: Windows) -> None:
    window = windows.open("oostende")
    sizes: list[int] = []
    window.page.on(
        "requestfinished",
        lambda request: sizes.append(sum(request.sizes().values())),
    )
    window.go("/sign-in")
    window.page.wait_for_load_state("networkidle")
    assert len(sizes) >= 5
    assert sum(sizes) < 60_000


def test_finding_something_needs_no_button(windows: Windows) -> None:
    window = windows.open("oostende", member="marie")
    confirm(window, "jan", "1", "Onvindbaar woord")
    window.press("/payments")
    window.go("/history")
    window.page.locator("#text").press_sequentially("onvindbaar", delay=20)
    window.page.wait_for_url(re.compile("text=onvindbaar"))
    assert window.page.locator("#found li").count() == 1
    assert window.complaints == []


def test_the_longest_names_fit_on_the_smallest_phone(
    windows: Windows, town: Federation
) -> None:
    account, name = "w" * 32, "W" * 80
    server = town.server("oostende")
    server.run("member", "add", account, "--name", name, "--floor=-10", "--ceiling=90")
    window = windows.open("oostende", member="marie")
    window.go(f"/pay/amount?to={account}")
    window.look("whom", closely=False)
    window.page.fill("#amount", "1")
    window.page.fill("#memo", "m" * 500)
    window.press("/pay/confirm")
    assert name in window.text
    window.look("confirm", closely=False)
    window.press("/payments")
    window.look("payment", closely=False)
    for path in ("/", "/history"):
        window.go(path)
        window.look(path, closely=False)
    link = server.run("member", "sign-in", account)["sign_in"]
    theirs = windows.open("oostende")
    theirs.page.goto(link)
    theirs.press("/welcome")
    assert name in theirs.text
    for path in ("/", "/profile", "/history"):
        theirs.go(path)
        theirs.look(path, closely=False)
