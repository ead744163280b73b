"""A hub of forty groups and one of none, in a real browser."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from protocol.peer.web.words import Language, sentences
from tests.browser.conftest import Window, driven, open_window
from tests.clearing.browsing import cookie_of, desk
from tests.clearing.scenes import crowd
from tests.conftest import database_maker

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EN = sentences("en")
PATHS = (
    *("/", "/flows?days=36500", "/transfers", "/links", "/alarms", "/invite"),
    *("/cycles", "/limits", "/limits/changes", "/sharing"),
)


#: Looking closely takes long, and the others are made of the same pieces.
CLOSELY = ("/", "/flows?days=36500", "/links", "/cycles", "/limits", "/limits/changes")


class Hub(NamedTuple):
    """Where a hub's pages are, what signs the regional admin in, and its groups."""

    url: str
    secret: str
    groups: list[str]


async def serve(
    postgres_server: str, served: "Future[dict[str, Hub]]", stop: "Future[None]"
) -> None:
    """Serve both hubs until told to stop."""
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(database_maker(postgres_server))
        hubs = {}
        for name in ("crowded", "empty"):
            found = await stack.enter_async_context(desk(make, is_empty=True))
            groups = [] if name == "empty" else await crowd(found)
            url = str(found.server.make_url("/")).rstrip("/")
            hubs[name] = Hub(url, cookie_of(await found.admin()), groups)
        served.set_result(hubs)
        await asyncio.wrap_future(stop)


@pytest.fixture(scope="module")
def hubs(chromium_path: str, postgres_server: str) -> Iterator[dict[str, Hub]]:
    """Both hubs, served by a thread of their own: the browser has this one."""
    served, stop = Future[dict[str, Hub]](), Future[None]()

    def run() -> None:
        try:
            asyncio.run(serve(postgres_server, served, stop))
        except BaseException as error:
            if served.done():
                raise
            served.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield served.result(timeout=120)
    finally:
        stop.set_result(None)
        thread.join()


@pytest.fixture(scope="module")
def chromium(chromium_path: str, hubs: dict[str, Hub]) -> "Iterator[Browser]":
    with driven(chromium_path) as browser:
        yield browser


class Desks:
    """Opens windows at these hubs, signed in, and closes them."""

    def __init__(self, chromium: "Browser", hubs: dict[str, Hub]) -> None:
        self._chromium = chromium
        self._hubs = hubs
        self._open: list[Window] = []

    def open(self, name: str, **look: Any) -> Window:
        hub = self._hubs[name]
        window = open_window(self._chromium, hub.url, ("hub", hub.secret), **look)
        self._open.append(window)
        return window

    def close(self) -> None:
        for window in self._open:
            window.page.context.close()


@pytest.fixture
def desks(chromium: "Browser", hubs: dict[str, Hub]) -> Iterator[Desks]:
    made = Desks(chromium, hubs)
    yield made
    made.close()


#: Each runs now and then; the first one always.
LOOKS = [
    ("nl", "phone", "dark"),
    pytest.param("fr", "phone", "light", marks=pytest.mark.slow),
    pytest.param("en", "desktop", "dark", marks=pytest.mark.slow),
    pytest.param("fr", "desktop", "light", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("language", "size", "colours"), LOOKS)
def test_forty_groups_fit_and_everyone_can_use_them(
    desks: Desks,
    hubs: dict[str, Hub],
    language: Language,
    size: str,
    colours: str,
) -> None:
    hub, said = hubs["crowded"], sentences(language)
    look = {"size": size, "language": language, "color_scheme": colours}
    window = desks.open("crowded", **look)
    frozen, asking, longest = hub.groups[12], hub.groups[14], hub.groups[2]
    groups = [f"/groups/{name}" for name in (frozen, asking, longest)]
    others = (f"{groups[0]}/sharing", f"/caps/{hub.groups[0]}/{hub.groups[1]}/end")
    for path in (*PATHS, *groups, *others, "/profile"):
        window.go(path)
        window.look(path, closely=path in (*CLOSELY, groups[1], others[0]))
        # Nor does a table scroll inside of a page that fits.
        assert not window.page.evaluate(
            "[...document.querySelectorAll('.table-scroll')]"
            ".some(one => one.scrollWidth > one.clientWidth)"
        ), path
    window.go(f"/groups/{frozen}")
    assert said["group.release"] in window.text
    window.go("/")
    for key in ("fork", "silent", "lagging"):
        assert said[f"links.{key}"] in window.text


def test_a_hub_without_groups_fits_too(desks: Desks) -> None:
    window = desks.open("empty", language="fr")
    for path in PATHS:
        window.go(path)
        window.look(path, closely=path in ("/", "/flows"))


def test_flows_print_as_a_picture_with_its_numbers(desks: Desks) -> None:
    window = desks.open("crowded", size="desktop", color_scheme="dark")
    window.go("/flows?days=36500")
    window.page.emulate_media(media="print")
    assert not window.page.locator("nav").first.is_visible()
    box = window.page.locator("svg.chord").bounding_box()
    assert box is not None and box["width"] > 250
    assert window.page.locator("table.parts tbody tr").count() == 40
    paper = "getComputedStyle(document.documentElement).colorScheme"
    assert window.page.evaluate(paper) == "light"


#: What has the keyboard: where it is, whether it is seen, and whether that it has.
FOCUSED = """() => {
  const look = (one) => {
    const style = getComputedStyle(one);
    return style.outline + style.boxShadow + style.backgroundColor + style.borderColor;
  };
  const one = document.activeElement, focused = look(one);
  one.blur();
  const marked = look(one) !== focused;
  one.focus();
  const box = one.getBoundingClientRect();
  return {
    place: [...document.querySelectorAll("*")].indexOf(one),
    inside: document.querySelector("main").contains(one),
    text: one.textContent.trim(),
    seen: box.width > 0 && box.left >= 0 && box.top < innerHeight && box.bottom > 0,
    marked,
  };
}"""


@pytest.mark.parametrize("path", ["/", "/groups/mechelen", "/limits", "/flows"])
def test_the_keyboard_reaches_everything_in_order_and_is_seen(
    desks: Desks, path: str
) -> None:
    window = desks.open("crowded")
    # A mark that fades in is not there yet at once.
    window.page.emulate_media(reduced_motion="reduce")
    window.go(path)
    focusable = "a[href], button, input:not([type=hidden]), summary, [tabindex='0']"
    wanted = window.page.locator(focusable).filter(visible=True).count()
    places, keyboard = [], window.page.keyboard
    for _ in range(min(wanted, 25)):
        keyboard.press("Tab")
        found = window.page.evaluate(FOCUSED)
        assert found["seen"] and found["marked"], (path, found)
        places.append(found["place"])
    assert places == sorted(set(places)), path
    # The first thing that the keyboard meets leads past the menu.
    window.go(path)
    keyboard.press("Tab")
    assert window.page.evaluate(FOCUSED)["text"] == EN["kit.skip"]
    keyboard.press("Enter")
    keyboard.press("Tab")
    assert window.page.evaluate(FOCUSED)["inside"], path


def test_a_first_visit_is_small(desks: Desks) -> None:
    window = desks.open("crowded")
    sizes: list[int] = []
    window.page.on(
        "requestfinished",
        lambda request: sizes.append(sum(request.sizes().values())),
    )
    window.go("/")
    window.page.wait_for_load_state("networkidle")
    assert len(sizes) >= 5
    # Of forty groups, with all that comes with a page and is kept.
    assert sum(sizes) < 60_000, sizes
