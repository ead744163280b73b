"""Private keys on disk, and the recovery key on paper."""

import stat
from pathlib import Path

import pytest

from protocol.errors import MalformedMessageError
from protocol.peer.key_files import (
    KeyFileError,
    ensure_keys,
    load_keys,
    new_recovery_key,
    read_sheet,
    write_secret,
    write_sheet,
)
from protocol.peer.settings import SettingsError
from tests.protocol.makers import seed

SEED = seed("a recovery key")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
NAMES = ("signing.key", "sealing.key")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_reads_a_key(tmp_path: Path) -> None:
    ensure_keys(tmp_path / "keys")
    assert mode(tmp_path / "keys") == 0o700
    assert [mode(tmp_path / "keys" / name) for name in NAMES] == [0o600, 0o600]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(
    tmp_path: Path, name: str, wrong: int
) -> None:
    ensure_keys(tmp_path)
    (tmp_path / name).chmod(wrong)
    with pytest.raises(SettingsError, match="expected 0600"):
        load_keys(tmp_path)


def test_a_key_that_only_its_owner_may_read_is_taken(tmp_path: Path) -> None:
    made = ensure_keys(tmp_path)
    for name in NAMES:
        (tmp_path / name).chmod(0o400)
    assert load_keys(tmp_path).signing.public == made.signing.public


def test_keys_that_are_there_stay(tmp_path: Path) -> None:
    first = ensure_keys(tmp_path)
    again = ensure_keys(tmp_path)
    assert (first.signing.public, first.sealing.public) == (
        again.signing.public,
        again.sealing.public,
    )


def test_a_command_that_was_cut_off_makes_only_what_lacks(tmp_path: Path) -> None:
    first = ensure_keys(tmp_path)
    (tmp_path / "sealing.key").unlink()
    again = ensure_keys(tmp_path)
    assert first.signing.public == again.signing.public
    assert first.sealing.public != again.sealing.public


def test_two_servers_have_different_keys(tmp_path: Path) -> None:
    one, other = ensure_keys(tmp_path / "one"), ensure_keys(tmp_path / "other")
    assert one.signing.public != other.signing.public
    assert one.sealing.public != other.sealing.public


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_key_is_named(tmp_path: Path, name: str) -> None:
    ensure_keys(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(KeyFileError, match=f"{name}: no key there"):
        load_keys(tmp_path)


@pytest.mark.parametrize("content", ["not base64url!", "AAAA", "A" * 44, "ÿ"])
def test_a_file_that_is_no_key_is_named_and_not_shown(
    tmp_path: Path, content: str
) -> None:
    ensure_keys(tmp_path)
    (tmp_path / "signing.key").write_text(content, encoding="utf-8")
    with pytest.raises(KeyFileError, match=r"signing\.key: this is not") as refused:
        load_keys(tmp_path)
    assert content not in str(refused.value)


def test_a_secret_is_never_overwritten(tmp_path: Path) -> None:
    write_secret(tmp_path / "secret", "the first")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "secret", "the second")
    assert (tmp_path / "secret").read_text() == "the first\n"


# The sheet of paper.


def test_a_sheet_gives_its_key_back() -> None:
    key, sheet = new_recovery_key()
    assert len(read_sheet(sheet)) == 32
    assert write_sheet(read_sheet(sheet)) == sheet
    other, _ = new_recovery_key()
    assert key.public != other.public


def test_a_sheet_is_letters_in_groups_of_four() -> None:
    groups = write_sheet(SEED).split(" ")
    assert [len(group) for group in groups] == [4] * 14 + [2]
    assert set("".join(groups)) <= set(LETTERS)


@pytest.mark.parametrize(
    "spaced",
    [
        lambda sheet: sheet.lower(),
        lambda sheet: sheet.replace(" ", ""),
        lambda sheet: sheet.replace(" ", "-"),
        lambda sheet: f"\n{sheet[:30]}\n  {sheet[30:]}\t\n",
    ],
    ids=["small letters", "no spaces", "dashes", "two lines"],
)
def test_it_does_not_matter_how_a_sheet_is_spaced(spaced: object) -> None:
    assert callable(spaced)
    assert read_sheet(spaced(write_sheet(SEED))) == SEED


@pytest.mark.parametrize("place", range(58))
def test_no_single_wrong_letter_passes(place: int) -> None:
    sheet = write_sheet(SEED).replace(" ", "")
    for letter in set(LETTERS) - {sheet[place]}:
        wrong = sheet[:place] + letter + sheet[place + 1 :]
        with pytest.raises(MalformedMessageError):
            read_sheet(wrong)


@pytest.mark.parametrize(
    "text",
    ["", "A", write_sheet(SEED)[:-1], write_sheet(SEED) + "A", "0" * 58, "é" * 58],
)
def test_what_is_no_sheet_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(MalformedMessageError) as refused:
        read_sheet(text)
    assert "letters" in str(refused.value)
    assert not text or text not in str(refused.value) or len(text) == 1


def test_two_letters_that_changed_places_are_found() -> None:
    sheet = write_sheet(SEED).replace(" ", "")
    for place in range(57):
        swapped = sheet[:place] + sheet[place + 1] + sheet[place] + sheet[place + 2 :]
        if swapped != sheet:
            with pytest.raises(MalformedMessageError):
                read_sheet(swapped)
