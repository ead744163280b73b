"""How ``backup`` and ``restore`` are told their passphrase."""

import io
from pathlib import Path

import pytest

from protocol.peer.backup_commands import check_passphrase, read_passphrase
from protocol.peer.command_line import DataError
from protocol.peer.settings import SettingsError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def type_at(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    """Somebody types at the prompts, one after the other."""
    waiting = list(typed)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda _: waiting.pop(0))


def test_a_new_passphrase_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    type_at(monkeypatch, "een lange zin", "een lange zin")
    assert read_passphrase(None, is_new=True) == "een lange zin"
    type_at(monkeypatch, "een lange zin", "een lange zon")
    with pytest.raises(DataError, match="not the same"):
        read_passphrase(None, is_new=True)


def test_an_old_passphrase_is_typed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    type_at(monkeypatch, "een lange zin")
    assert read_passphrase(None, is_new=False) == "een lange zin"


def test_a_timer_without_a_file_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("een lange zin\n"))
    with pytest.raises(DataError, match="--passphrase-file"):
        read_passphrase(None, is_new=True)


def test_standard_input_may_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" een lange zin \r\n"))
    assert read_passphrase("-", is_new=True) == " een lange zin "


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "passphrase"
    file.write_text("een lange zin\n")
    file.chmod(0o600)
    assert read_passphrase(str(file), is_new=False) == "een lange zin"
    file.chmod(mode)
    with pytest.raises(SettingsError, match="expected 0600") as refused:
        read_passphrase(str(file), is_new=False)
    assert "een lange" not in str(refused.value)


def test_a_short_passphrase_is_refused() -> None:
    check_passphrase("x" * 12)
    with pytest.raises(DataError, match="found 11 characters"):
        check_passphrase("x" * 11)
