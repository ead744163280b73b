"""A federation for a real browser, and the browser: skipped where there is none."""

import contextlib
import http.client
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.federation.conftest import Databases
from tests.federation.world import PASSWORD, Federation

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FOLDER = pathlib.Path(__file__).parent
AXE = (FOLDER / "vendor" / "axe.min.js").read_text()
SIZES = {
    "phone": {"width": 360, "height": 740},
    "desktop": {"width": 1280, "height": 800},
}
_PATIENCE_MS = 10_000
#: Where somebody must sign in, and what is not there.
_LAWFUL_AT_NODES = ("401", "404")


def find_chromium() -> str | None:
    """Say where the system's Chromium is, if it has one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="package")
def chromium_path() -> str:
    """Where the system's Chromium is."""
    pytest.importorskip(
        "playwright.sync_api",
        reason="Playwright is not installed; sh deploy/browser does that",
    )
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    return path


@pytest.fixture(scope="package")
def town(chromium_path: str, postgres_server: str) -> Iterator[Federation]:
    """A federation of processes, founded only where there is a browser for it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interlets-browser-"))
    databases = Databases(postgres_server, folder)
    servers = folder / "servers"
    servers.mkdir()
    federation = Federation(servers, databases)
    try:
        federation.found()
        yield federation
        for server in federation.servers:
            bad = [line for line in server.log_lines() if "Traceback" in line]
            assert not bad, f"{server.name}: {bad[:3]}"
    finally:
        federation.close()
        databases.drop()
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


# It comes after the federation and goes before it: while it is there, its own event
# loop runs in this thread, and nobody else's can. A module's, since a process that
# shares a run's files with others does not know when a package has ended.
@pytest.fixture(scope="module")
def chromium(chromium_path: str, town: Federation) -> "Iterator[Browser]":
    """The system's Chromium, driven."""
    with driven(chromium_path) as browser:
        yield browser


@contextlib.contextmanager
def driven(chromium_path: str) -> "Iterator[Browser]":
    """Start the system's Chromium, and end it again."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        # Of our own pages alone, on a machine for tests: root may not have a sandbox.
        browser = started.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


_AT_REST = """() => Promise.all(
    document.getAnimations()
        .filter(one => one.effect.getComputedTiming().endTime !== Infinity)
        .map(one => one.finished.catch(() => null)))
    .then(() => null)"""


class Window(NamedTuple):
    """A browser's window at one group's pages, and what it complained about."""

    page: "Page"
    url: str
    complaints: list[str]

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def press(self, action: str) -> None:
        """Press the button of a form; waits for the page that it leads to."""
        form = self.page.locator(f'form[action="{action}"]')
        # A page comes whole: what is not on it now is on it after no patience.
        assert form.count(), f"no form for {action} at {self.page.url}: {self.text}"
        with self.page.expect_navigation():
            form.locator("button").first.click()

    def look(self, name: str, *, closely: bool = True) -> None:
        """Whatever page this is, it fits, everyone can use it, and nothing is wrong."""
        page = self.page
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.viewport_size["width"], f"{name} scrolls sideways"
        assert self.complaints == [], name
        if not closely:
            return
        page.evaluate(AXE)
        # A colour that is still fading into another one is not what people read.
        page.evaluate(_AT_REST)
        found = page.evaluate("axe.run()")
        assert [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found["violations"]
        ] == [], name

    @property
    def text(self) -> str:
        return " ".join(self.page.inner_text("body").split())


def open_window(
    chromium: "Browser",
    url: str,
    cookie: tuple[str, str] | None = None,
    *,
    size: str = "phone",
    language: str = "en",
    scripts: bool = True,
    lawful: tuple[str, ...] = ("4",),
    **more: Any,
) -> Window:
    """Open a window with cookies of its own; closing its context closes it.

    Args:
        chromium: the browser.
        url: of the server whose pages are looked at.
        cookie: name and value of a session's, if somebody has signed in.
        size: of ``SIZES``.
        language: that the browser asks for.
        scripts: they run.
        lawful: how statuses begin that a page of this server may have.
        more: what else Playwright may be told, as ``color_scheme``.
    """
    context = chromium.new_context(
        viewport=SIZES[size],  # type: ignore[arg-type]
        locale=language,
        java_script_enabled=scripts,
        **more,
    )
    context.set_default_timeout(_PATIENCE_MS)
    if cookie is not None:
        context.add_cookies([{"name": cookie[0], "value": cookie[1], "url": url}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: _note(message, complaints, lawful))
    return Window(page, url, complaints)


def _note(message: Any, complaints: list[str], lawful: tuple[str, ...]) -> None:
    # Chromium calls every page with another status than 200 a resource that failed.
    is_lawful = any(f"status of {one}" in message.text for one in lawful)
    if message.type in ("error", "warning") and not is_lawful:
        complaints.append(message.text)


class Windows:
    """Opens windows at the servers of a federation."""

    def __init__(
        self, chromium: "Browser", town: Federation, cookies: dict[str, str]
    ) -> None:
        self._chromium = chromium
        self._town = town
        self._cookies = cookies
        self._open: list[BrowserContext] = []

    def open(self, group: str, *, member: str | None = None, **look: Any) -> Window:
        """Open a window at a group's pages, or the hub's, as ``open_window`` does."""
        port = self._town.server(group).port
        cookie = None if member is None else (group, self._cookie(group, member, port))
        if group != "hub":
            look["lawful"] = _LAWFUL_AT_NODES
        window = open_window(self._chromium, f"http://127.0.0.1:{port}", cookie, **look)
        self._open.append(window.page.context)
        return window

    def _cookie(self, group: str, member: str, port: int) -> str:
        """Sign somebody in, once for all windows: her tries are counted."""
        whose = f"{member}@{group}"
        if whose not in self._cookies:
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            line.request(
                "POST",
                "/sign-in",
                urlencode({"name": member, "password": PASSWORD}),
                {
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Origin": f"http://127.0.0.1:{port}",
                },
            )
            kept = line.getresponse().getheader("Set-Cookie") or ""
            line.close()
            self._cookies[whose] = kept.partition("=")[2].partition(";")[0]
        return self._cookies[whose]

    def close(self) -> None:
        for context in self._open:
            context.close()


@pytest.fixture(scope="package")
def cookies() -> dict[str, str]:
    """Sessions of members, by address, begun once for all windows."""
    return {}


@pytest.fixture
def windows(
    chromium: "Browser", town: Federation, cookies: dict[str, str]
) -> Iterator[Windows]:
    made = Windows(chromium, town, cookies)
    yield made
    made.close()
