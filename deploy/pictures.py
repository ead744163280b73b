"""Take the README's pictures of a member's pages, from a demo that is running.

Marie pays Bob three times on the way, in Dutch and on a telephone; then the regional
admin closes a cycle (``desk_pictures``). The pictures get 256 colours at most: what has
so few is a third of what a browser writes.
"""

import argparse
import shutil
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import desk_pictures
from playwright.sync_api import Page, sync_playwright

_FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS_MAX = 256
_SCALE = 1.5
#: Width and height of a small telephone.
_SIZE = (360, 740)
_LENGTH_MAX = 60_000
#: How much Marie pays for what; the last one is in the pictures.
_PAID = (("20", "Een uur in de tuin"), ("3", "Twee broden"), ("4", "Fietsband plakken"))
Colour = tuple[int, int, int]


def main() -> int:
    """Take them; 1 when the demo is not there or a picture became too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the demo's data")
    parser.add_argument("--to", type=Path, default=_FOLDER, help="where to put them")
    asked = parser.parse_args()
    url, password = _sign_in_of("marie@oostende", asked.data / "sign-ins.txt")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        width, height = _SIZE
        context = browser.new_context(
            viewport={"width": width, "height": height},
            locale="nl-BE",
            device_scale_factor=_SCALE,
            color_scheme="light",
        )
        taken = _take(context.new_page(), url, password)
        taken |= desk_pictures.take(browser, asked.data)
        browser.close()
    asked.to.mkdir(exist_ok=True)
    for name, raw in taken.items():
        small = with_few_colours(raw)
        (asked.to / f"{name}.png").write_bytes(small)
        print(f"{name}.png: {len(small)} bytes")
        if len(small) >= _LENGTH_MAX:
            print(f"that is more than {_LENGTH_MAX}", file=sys.stderr)
            return 1
    return 0


def _sign_in_of(address: str, file: Path) -> tuple[str, str]:
    """Give where a member of the demo signs in, and her password."""
    for line in file.read_text().splitlines():
        found = line.split()
        if found[:1] == [address]:
            return found[1], found[2]
    sys.exit(f"pictures: {file} has no {address}; is this the data of a demo?")


def _take(page: Page, url: str, password: str) -> dict[str, bytes]:
    page.goto(f"{url}/sign-in")
    page.fill("#name", "marie")
    page.fill("#password", password)
    _press(page, "/sign-in")
    taken = {}
    for amount, memo in _PAID:
        page.goto(f"{url}/pay")
        page.fill("#to", "bob@mechelen")
        _press(page, "/pay/amount")
        page.fill("#amount", amount)
        page.fill("#memo", memo)
        _press(page, "/pay/confirm")
        taken["confirm"] = page.screenshot()
        _press(page, "/payments")
        page.locator(".alert.good").wait_for()
    taken["payment"] = page.screenshot()
    page.goto(url)
    taken["account"] = page.screenshot()
    return taken


def _press(page: Page, action: str) -> None:
    with page.expect_navigation():
        page.locator(f'form[action="{action}"] button').first.click()


# PNG (W3C, third edition), as much of it as browsers write and README files need.


def with_few_colours(raw: bytes) -> bytes:
    """Write a picture of 8-bit red, green and blue with a palette.

    The most frequent colours stay as they are; each other one becomes the nearest of
    them, which among shades of smoothed letters nobody sees.
    """
    width, height, rows = _read(raw)
    pixels = [
        (row[at], row[at + 1], row[at + 2])
        for row in rows
        for at in range(0, width * 3, 3)
    ]
    palette = [colour for colour, _ in Counter(pixels).most_common(_COLOURS_MAX)]
    places = {colour: place for place, colour in enumerate(palette)}
    for colour in set(pixels) - set(places):
        places[colour] = min(
            range(len(palette)), key=lambda place: _distance(colour, palette[place])
        )
    drawn = b"".join(
        b"\0" + bytes(places[pixel] for pixel in pixels[top : top + width])
        for top in range(0, width * height, width)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", b"".join(map(bytes, palette))),
            _chunk(b"IDAT", zlib.compress(drawn, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _distance(one: Colour, other: Colour) -> int:
    return sum((mine - theirs) ** 2 for mine, theirs in zip(one, other, strict=True))


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _read(raw: bytes) -> tuple[int, int, list[bytearray]]:
    """Give width, height, and rows of red, green and blue."""
    parts = list(_chunks(raw))
    width, height, depth, kind, *_, is_woven = struct.unpack(">IIBBBBB", parts[0][1])
    if (depth, kind, is_woven) != (8, 2, 0):
        sys.exit("pictures: the browser wrote another kind of picture than expected")
    packed = b"".join(content for name, content in parts if name == b"IDAT")
    return width, height, _unfiltered(zlib.decompress(packed), width * 3)


def _chunks(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(raw):
        (length,) = struct.unpack_from(">I", raw, at)
        yield raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length]
        at += length + 12


def _unfiltered(drawn: bytes, length: int) -> list[bytearray]:
    """Undo what was done to rows so that they pack well (section 9.2)."""
    rows: list[bytearray] = []
    above = bytearray(length)
    for top in range(0, len(drawn), length + 1):
        kind, row = drawn[top], bytearray(drawn[top + 1 : top + 1 + length])
        for at in range(length):
            left = row[at - 3] if at >= 3 else 0
            corner = above[at - 3] if at >= 3 else 0
            row[at] = (row[at] + _foretold(kind, left, above[at], corner)) & 0xFF
        rows.append(row)
        above = row
    return rows


def _foretold(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda one: abs(guess - one))
    return (0, left, up, (left + up) // 2)[kind]


if __name__ == "__main__":
    sys.exit(main())
