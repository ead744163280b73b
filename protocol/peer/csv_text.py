"""CSV as spreadsheets and programs both read it: RFC 4180, UTF-8, nothing that runs.

A file begins with the byte order mark, since without it the most used spreadsheet
reads UTF-8 as something else. A spreadsheet takes a cell that begins with ``=``, ``+``,
``-``, ``@``, a tab or a line's end for a formula, whoever wrote it into her name or
memo; so such a text gets an apostrophe before it (OWASP, "CSV Injection"). Numbers are
written by us and stay numbers, also below zero.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

import msgspec


class Hours(msgspec.Struct, frozen=True):
    """Time that is written as hours, for people who add up in a spreadsheet.

    With seven decimals, which tell each millisecond from the next. Quarters of an hour
    are exact, and threes of minutes; whoever wants a third of an hour exact takes the
    milliseconds beside it.
    """

    milliseconds: int

    def written(self) -> str:
        """Write it."""
        # An hour has 3,600,000 milliseconds: 25 / 9 ten-millionths each, halves up.
        scaled, rest = divmod(abs(self.milliseconds) * 25, 9)
        whole, part = divmod(scaled + (rest * 2 >= 9), 10**7)
        text = f"{whole}.{part:07}".rstrip("0").rstrip(".")
        return f"-{text}" if self.milliseconds < 0 else text


Cell = str | int | bool | Hours | None

BYTE_ORDER_MARK = "\ufeff"
#: Also the wide forms, which some spreadsheets take for the same. Apostrophes before
#: them count too, or nobody could tell ours from those that were there.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def write_header(names: Sequence[str]) -> bytes:
    """Write the byte order mark and the first line."""
    return (BYTE_ORDER_MARK + _write([names])).encode()


def write_rows(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Write lines, each ended by CR LF."""
    return _write([_cell(value) for value in row] for row in rows).encode()


def _write(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _cell(value: Cell) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Hours():
            return value.written()
        case int():
            return str(value)
        case str():
            return f"'{value}" if _FORMULA.match(value) else value


def read_cell(text: str) -> str:
    """Give back the text of a cell that ``write_rows`` has written."""
    is_ours = text.startswith("'") and _FORMULA.match(text) is not None
    return text[1:] if is_ours else text
