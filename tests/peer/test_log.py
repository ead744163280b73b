import logging
from collections.abc import Iterator

import msgspec
import pytest

from protocol.instant import read_instant
from protocol.peer.log import configure
from protocol.peer.settings import LogSettings

LOG = logging.getLogger("interlets.test")

# Everything that some reader of lines, or a terminal, obeys.
BREAKERS = "\n\r\t\v\f\x00\x1b[2J\x1c\x1d\x1e\x7f\x85\x9b\u2028\u2029"


@pytest.fixture(autouse=True)
def _same_root_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def as_json(line: str) -> dict[str, object]:
    return msgspec.json.decode(line, type=dict[str, object])


def test_a_record_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(json=True), "mechelen")
    LOG.info("took %d items", 3, extra={"peer": "hub", "items": 3, "is_new": True})
    told = as_json(capsys.readouterr().err)
    assert read_instant(str(told.pop("time"))) > 0
    assert told == {
        "level": "INFO",
        "server": "mechelen",
        "logger": "interlets.test",
        "message": "took 3 items",
        "peer": "hub",
        "items": 3,
        "is_new": True,
    }


@pytest.mark.parametrize("is_json", [True, False])
def test_nothing_that_a_peer_wrote_begins_a_line(
    capsys: pytest.CaptureFixture[str], *, is_json: bool
) -> None:
    configure(LogSettings(json=is_json), "mechelen")
    LOG.warning("found %s", BREAKERS, extra={"memo": BREAKERS})
    told = capsys.readouterr().err
    assert told.endswith("\n")
    assert len(told.splitlines()) == 1
    assert told[:-1].isprintable()


def test_what_a_peer_wrote_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(json=True), "mechelen")
    LOG.warning(BREAKERS, extra={"memo": "café \ud800"})
    told = as_json(capsys.readouterr().err)
    assert told["message"] == BREAKERS
    assert told["memo"] == "café \\ud800"


def test_a_failure_stays_on_the_line_of_its_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogSettings(json=True), "mechelen")
    try:
        raise ValueError(BREAKERS)
    except ValueError:
        LOG.exception("stopped")
    line = capsys.readouterr().err
    assert len(line.splitlines()) == 1
    assert "ValueError" in str(as_json(line)["exception"])


def test_a_person_sees_a_traceback_indented(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(json=False), "mechelen")
    try:
        raise ValueError("a\n2026-11-23T02:59:01.123Z INFO forged: all is well")
    except ValueError:
        LOG.exception("stopped")
    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR interlets.test: stopped")
    assert others
    assert all(line.startswith("  ") for line in others)


def test_an_extra_field_cannot_pose_as_the_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogSettings(json=True), "mechelen")
    LOG.warning("x", extra={"level": "DEBUG", "time": "never", "path": LOG})
    told = as_json(capsys.readouterr().err)
    assert told["level"] == "WARNING"
    assert told["time"] != "never"
    assert told["path"] == str(LOG)


def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(level="WARNING", json=True), "mechelen")
    LOG.info("quiet")
    assert capsys.readouterr().err == ""


def test_without_a_terminal_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), "mechelen")
    LOG.info("hello")
    assert as_json(capsys.readouterr().err)["message"] == "hello"
