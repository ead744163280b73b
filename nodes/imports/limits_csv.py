"""Limits of many members from a small CSV file; every line that is wrong is told.

First line: ``account,floor,ceiling``, or one of both limits. Limits are whole minor
units; ``none`` means no limit, and an empty one stays as it is.
"""

import csv
import io

import msgspec

from nodes.rules import LimitLine
from protocol.address import read_account
from protocol.errors import MalformedMessageError
from protocol.unit import AMOUNT_MAX

#: What a limit is called when there is none.
NO_LIMIT = "none"
_HEADERS = (
    ["account", "floor", "ceiling"],
    ["account", "floor"],
    ["account", "ceiling"],
)
_DIGITS_MAX = 13
_BYTE_ORDER_MARK = "\ufeff"


class UnreadLine(msgspec.Struct, frozen=True):
    """A line that cannot be read: what was found, and what was expected."""

    row: int
    account_id: str
    told: str


def read_limits(text: str) -> tuple[list[LimitLine], list[UnreadLine]]:
    """Read the whole text; gives good lines, and those that cannot be read.

    Raises:
        MalformedMessageError: the first line is another, or it is no CSV at all.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    good: list[LimitLine] = []
    wrong: list[UnreadLine] = []
    try:
        header = next(rows, [])
        if header not in _HEADERS:
            expected = "account,floor,ceiling in line 1"
            raise MalformedMessageError("csv", ",".join(header), expected)
        for row in rows:
            if not any(row):
                # Spreadsheets end a table with such lines, with or without commas.
                continue
            try:
                good.append(_read_line(header, row, rows.line_num))
            except MalformedMessageError as error:
                account = row[0] if row else ""
                wrong.append(UnreadLine(rows.line_num, account[:32], str(error)))
    except csv.Error as error:
        found = f"line {rows.line_num}: {error}"
        raise MalformedMessageError("csv", found, "CSV as RFC 4180 has it") from None
    return good, wrong


def _read_line(header: list[str], row: list[str], number: int) -> LimitLine:
    if len(row) != len(header):
        raise MalformedMessageError(
            "line", f"{len(row)} columns", f"{len(header)}: {','.join(header)}"
        )
    told = dict(zip(header, row, strict=True))
    return LimitLine(
        row=number,
        account_id=read_account(told["account"]),
        floor=_read_limit("floor", told.get("floor", "")),
        ceiling=_read_limit("ceiling", told.get("ceiling", "")),
    )


def _read_limit(field: str, text: str) -> int | msgspec.UnsetType | None:
    if text == "":
        return msgspec.UNSET
    if text == NO_LIMIT:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS_MAX):
        expected = f"whole minor units, {NO_LIMIT!r}, or nothing"
        raise MalformedMessageError(field, text, expected)
    if int(digits) > AMOUNT_MAX:
        raise MalformedMessageError(field, text, "at most 10^12")
    return int(text)
