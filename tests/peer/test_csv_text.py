"""CSV that every program reads back, and no spreadsheet runs."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.peer.csv_text import Cell, Hours, read_cell, write_header, write_rows

NAMES = ["name", "amount"]


def written(*rows: tuple[Cell, ...]) -> list[list[str]]:
    text = (write_header(NAMES) + write_rows(rows)).decode("utf-8-sig")
    header, *found = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == NAMES
    return found


@pytest.mark.parametrize(
    "first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "'="]
)
def test_a_text_that_a_spreadsheet_would_run_has_an_apostrophe(first: str) -> None:
    text = f'{first}HYPERLINK("http://example.com")'
    assert written((text, 1)) == [[f"'{text}", "1"]]
    assert read_cell(f"'{text}") == text


@pytest.mark.parametrize(
    "text", ["", "An", "a=b", " =1", "'t Hoekje", "2026-11-23", "é"]
)
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert written((text, None)) == [[text, ""]]
    assert read_cell(text) == text


def test_numbers_stay_numbers_and_their_text_does_not() -> None:
    assert written((-5, True), ("-5", False)) == [["-5", "true"], ["'-5", "false"]]


def test_lines_end_as_rfc_4180_has_it_and_a_mark_says_utf_8() -> None:
    raw = write_header(NAMES) + write_rows([("a", 1), ('b "x", y\nz', 2)])
    assert raw == b'\xef\xbb\xbfname,amount\r\na,1\r\n"b ""x"", y\nz",2\r\n'


# What no database keeps, and half of a character.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(TEXTS, st.integers()), min_size=1))
def test_whatever_is_written_is_read_back(rows: list[tuple[str, int]]) -> None:
    found = [(read_cell(text), int(amount)) for text, amount in written(*rows)]
    assert found == rows
    assert not any(text[:1] in set("=+-@\t\r\n") for text, _ in written(*rows) if text)


def test_hours_below_zero_stay_a_number_and_a_name_beside_them_does_not_run() -> None:
    found = write_rows([["=1+1", Hours(-5_940_000), -5_940_000, None]])
    assert found == b"'=1+1,-1.65,-5940000,\r\n"
