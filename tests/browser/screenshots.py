"""Takes the pictures of docs/pictures from a demo that it starts and plays.

    .venv/bin/python -m tests.browser.screenshots hub

What is on a picture, its function in ``PICTURES`` says; without a name, all are taken.
"""

import base64
import contextlib
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from tests.browser.conftest import driven, find_chromium
from tests.conftest import reachable_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CLONE = pathlib.Path(__file__).parents[2]
FOLDER = CLONE / "docs" / "pictures"
#: Of each page on a picture: a phone's, as members see them too.
_WIDTH, _HEIGHT = 360, 560
_BYTES_MAX = 80_000


class Demo(NamedTuple):
    """A demo that has played its story and serves.

    Attributes:
        data: its folder, with ``sign-ins.txt``.
        admin: the regional admin's one-time link.
    """

    data: pathlib.Path
    admin: str


@contextlib.contextmanager
def demo() -> Iterator[Demo]:
    """Play the demo's story in a folder of its own, and stop it afterwards."""
    with reachable_folder() as folder:
        playing = subprocess.Popen(
            ["sh", str(CLONE / "deploy" / "demo"), "--data", str(folder / "demo")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert playing.stdout is not None
        try:
            for line in playing.stdout:
                if found := re.search(r"with: (\S+/welcome#\S+)", line):
                    yield Demo(folder / "demo", found[1])
                    break
            else:
                raise SystemExit("the demo has stopped")
        finally:
            playing.send_signal(signal.SIGTERM)
            playing.stdout.read()
            playing.wait()


def beside(browser: "Browser", pictures: list[bytes]) -> bytes:
    """Put pictures beside each other, with some room around them."""
    page = browser.new_page(
        viewport={"width": (_WIDTH + 16) * len(pictures), "height": 1}
    )
    shown = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(one).decode()}">'
        for one in pictures
    )
    page.set_content(
        "<style>body{margin:0;display:flex;align-items:start;background:#d8dee4}"
        f"img{{margin:8px;display:block}}</style>{shown}"
    )
    taken = page.screenshot(full_page=True)
    page.close()
    return taken


def hub(browser: "Browser", played: Demo) -> bytes:
    """Take all groups' positions, and what they paid each other."""
    context = browser.new_context(
        viewport={"width": _WIDTH, "height": _HEIGHT}, locale="en"
    )
    page = context.new_page()
    page.goto(played.admin)
    with page.expect_navigation():
        page.locator('form[action="/welcome"] button').click()
    taken, url = [], page.url.rstrip("/")
    for path in ("/", "/flows"):
        page.goto(url + path)
        taken.append(page.screenshot())
    context.close()
    return beside(browser, taken)


#: By the name of their file.
PICTURES: dict[str, Callable[["Browser", Demo], bytes]] = {"hub": hub}


def main(names: list[str]) -> None:
    """Take these pictures, or all."""
    path = find_chromium()
    if path is None:
        raise SystemExit("there is no Chromium on this machine")
    with demo() as played, driven(path) as browser:
        for name in names or PICTURES:
            taken = PICTURES[name](browser, played)
            assert len(taken) < _BYTES_MAX, f"{name}: {len(taken)} bytes"
            (FOLDER / f"{name}.png").write_bytes(taken)
            print(f"docs/pictures/{name}.png, {len(taken)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
