"""Take the pictures of docs/regional-admin.md, from a demo that is running.

The regional admin closes the open cycle, and before that one move of Oostende's is
altered by hand in its database, so that there is a dispute to see. It is put right
again; what stays is a cycle that all have agreed to, and that is not settled yet.
"""

import asyncio
import json
import subprocess
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
from playwright.sync_api import Browser, Page

_BIN = Path(__file__).parents[1] / ".venv" / "bin"
_GROUP = "oostende"
#: Of a window on a desk; what stands further down does not matter here.
_SIZE = (800, 960)
_PATIENCE_S = 60
_ALTER = """
    ALTER TABLE posting DISABLE TRIGGER USER;
    UPDATE posting SET amount = amount + {more} WHERE account_id = 'clearing'
       AND sequence = (SELECT max(sequence) FROM posting
                        WHERE account_id = 'clearing');
    ALTER TABLE posting ENABLE TRIGGER USER
"""


class Desk:
    """The regional admin of a demo, at her desk.

    Args:
        data: the demo's folder.
        page: a window of hers.
    """

    def __init__(self, data: Path, page: Page) -> None:
        self._data = data
        self._page = page
        self._url = ""

    def sign_in(self) -> None:
        """Follow a link that the hub's own command makes."""
        self._page.goto(self._run("hub", "sign-in")["sign_in"])
        self._press("/welcome")
        self._url = self._page.url.rstrip("/")

    def look(self, path: str) -> bytes:
        """Give what a page looks like."""
        self._page.goto(self._url + path)
        return self._page.screenshot()

    def close_with_a_dispute(self) -> int:
        """Close the open cycle while one move of Oostende's is wrong."""
        number = int(self._run("hub", "cycle", "list")["open"])
        self._alter(90_000)
        self._page.goto(f"{self._url}/cycles/{number}/close")
        self._press(f"/cycles/{number}/close")
        self._wait(number, lambda one: one["difference"] is not None)
        return number

    def put_right(self, number: int) -> None:
        """Undo that, and let Oostende's node look again."""
        self._alter(-90_000)
        reason = ("--reason", "an entry was altered by hand, and is put right")
        self._run(_GROUP, "cycle", "check", str(number), *reason)
        self._wait(number, lambda one: one["state"] == "agreed")

    def _wait(self, number: int, is_so: Callable[[dict], bool]) -> None:
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            stated = self._run("hub", "cycle", "show", str(number))["groups_stated"]
            if any(one["group"] == _GROUP and is_so(one) for one in stated):
                return
            time.sleep(0.5)
        raise SystemExit(f"pictures: {_GROUP} has not answered in {_PATIENCE_S} s")

    def _press(self, action: str) -> None:
        with self._page.expect_navigation():
            self._page.locator(f'form[action="{action}"] button').click()

    def _config(self, server: str) -> Path:
        return self._data / server / f"{server}.toml"

    def _run(self, server: str, *verbs: str) -> dict:
        program = "interlets-hub" if server == "hub" else "interlets-node"
        command = [_BIN / program, *verbs, "--json", "--config", self._config(server)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def _alter(self, more: int) -> None:
        """Change by hand what the group's newest payment abroad has moved."""
        settings = tomllib.loads(self._config(_GROUP).read_text())["database"]
        secret = Path(settings["password_file"]).read_text().strip()

        async def alter() -> None:
            connection = await asyncpg.connect(settings["url"], password=secret)
            await connection.execute(_ALTER.format(more=more))
            await connection.close()

        # In a thread: this one has the browser's own loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, alter()).result()


def take(browser: Browser, data: Path) -> dict[str, bytes]:
    """Take them, by the names of their files."""
    width, height = _SIZE
    page = browser.new_page(
        viewport={"width": width, "height": height}, locale="en", color_scheme="light"
    )
    desk = Desk(data, page)
    desk.sign_in()
    taken = {"cycles": desk.look("/cycles")}
    number = desk.close_with_a_dispute()
    taken["dispute"] = desk.look(f"/cycles/{number}/disputes/{_GROUP}")
    desk.put_right(number)
    taken["cycle"] = desk.look(f"/cycles/{number}")
    taken["settlement"] = desk.look(f"/cycles/{number}/settle")
    page.close()
    return taken
