"""A treasurer follows her one-time link, and looks at her group."""

import pytest

from protocol.peer.web.words import sentences
from tests.browser.conftest import Windows
from tests.federation.world import Federation

#: The same pages as for members, so one of each is enough.
LOOKS = (("nl", "phone", "light"), ("fr", "desktop", "dark"), ("en", "phone", "dark"))


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
    for path in ("/treasurer/members", "/treasurer/ledger", "/profile"):
        window.go(path)
        window.look(path)
