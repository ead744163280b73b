"""What a command reads and writes: small texts in UTF-8, for people."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from protocol.peer.command_line import (
    GIVEN_LENGTH_MAX,
    DataError,
    read_given,
    show,
)

#: Gives bytes, and by what to read them.
Give = Callable[[bytes], str]


@pytest.fixture(params=["a file", "standard input"])
def given(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Give:
    """Give bytes to read, either way; gives what to read them by."""

    def give(data: bytes) -> str:
        if request.param == "standard input":
            stdin = SimpleNamespace(buffer=io.BytesIO(data))
            monkeypatch.setattr("sys.stdin", stdin)
            return "-"
        path = tmp_path / "list.csv"
        path.write_bytes(data)
        return str(path)

    return give


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_text_is_read_with_or_without_its_mark(given: Give, mark: bytes) -> None:
    assert read_given(given(mark + "account\nzoë\r\n\n".encode())) == "account\nzoë"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"account\nzo\xeb\n", "line 2: found byte 0xeb; expected text in UTF-8"),
        ("account\nan\n".encode("utf-16"), "found UTF-16 or no text; expected text in"),
        (b"account\n\0\n", "found UTF-16 or no text; expected text in UTF-8"),
        (b"a" * (GIVEN_LENGTH_MAX + 1), "found more than 8 MiB; expected at most 8"),
    ],
)
def test_what_is_no_such_text_is_refused(given: Give, data: bytes, told: str) -> None:
    with pytest.raises(DataError) as raised:
        read_given(given(data))
    assert told in str(raised.value)


def test_the_longest_text_is_read(given: Give) -> None:
    assert len(read_given(given(b"a" * GIVEN_LENGTH_MAX))) == GIVEN_LENGTH_MAX


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError) as raised:
            read_given(str(path))
        assert f"{path}: cannot be read" in str(raised.value)


def test_an_answer_is_written_as_people_write() -> None:
    told = io.StringIO()
    answer = {
        "is_new": True,
        "ceiling": None,
        "newest": ("PveuvD9vIDE", 16),
        "sign_ins": [{"kind": "once", "until": "Monday"}, {"kind": "token"}],
        "an": {"floor": -5, "ceiling": None, "sign_ins": []},
    }
    show(answer, told, as_json=False)
    assert told.getvalue().splitlines() == [
        "is new: yes",
        "ceiling: none",
        "newest: PveuvD9vIDE 16",
        "sign ins: kind once until Monday; kind token",
        "an: floor -5, ceiling none, sign ins none",
    ]
