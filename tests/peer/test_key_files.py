"""Private keys on disk, and the recovery key on paper."""

import base64
import contextlib
import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from mnemonic import Mnemonic

from protocol.base64url import read_base64url
from protocol.errors import MalformedMessageError
from protocol.keyring import SigningKey
from protocol.peer.backup_source import KEY_NAME
from protocol.peer.command_line import lay_out
from protocol.peer.key_files import (
    KeyFileError,
    add_keys,
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


def test_new_keys_are_added_and_the_old_ones_stay(tmp_path: Path) -> None:
    old = ensure_keys(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    pairs = [add_keys(tmp_path) for _ in range(3)]
    keys = load_keys(tmp_path)
    assert keys.signing.kid == old.signing.kid
    assert set(keys.all_signing()) == {old.signing.kid, *(p.signing.kid for p in pairs)}
    assert set(keys.all_sealing()) == {old.sealing.kid, *(p.sealing.kid for p in pairs)}
    files = list(tmp_path.iterdir())
    assert {mode(path) for path in files} == {0o600}
    # A backup takes the files of this form, and no draft is left behind.
    assert all(KEY_NAME.fullmatch(path.name) for path in files)
    assert before.items() <= {path.name: path.read_bytes() for path in files}.items()


def test_a_server_that_lost_its_first_keys_goes_on_with_the_others(
    tmp_path: Path,
) -> None:
    ensure_keys(tmp_path)
    pair = add_keys(tmp_path)
    (tmp_path / "signing.key").unlink()
    (tmp_path / "sealing.key").unlink()
    keys = load_keys(tmp_path)
    assert (keys.signing.kid, keys.more_signing) == (pair.signing.kid, ())
    assert keys.sealing.public == pair.sealing.public


def test_a_later_file_that_is_no_key_is_passed_over_and_named(tmp_path: Path) -> None:
    first = ensure_keys(tmp_path)
    pairs = [add_keys(tmp_path) for _ in range(2)]
    [spoilt] = [
        path
        for path in tmp_path.glob("signing-*.key")
        if SigningKey(read_base64url(path.read_text().strip(), "key")).public
        == pairs[0].signing.public
    ]
    spoilt.write_text("half of a ke")
    keys = load_keys(tmp_path)
    assert set(keys.all_signing()) == {first.signing.kid, pairs[1].signing.kid}
    assert len(keys.all_sealing()) == 3
    assert list(keys.unread) == [spoilt.name]
    told = keys.why_unread("signing", pairs[0].signing.public)
    assert told is not None and str(spoilt) in told and "half" not in told
    assert keys.why_unread("signing", pairs[1].signing.public) is None
    assert keys.why_unread("sealing", pairs[0].sealing.public) is None


def test_a_folder_without_any_key_that_can_be_read_is_refused(tmp_path: Path) -> None:
    add_keys(tmp_path)
    [signing] = tmp_path.glob("signing-*.key")
    signing.chmod(0o640)
    with pytest.raises(KeyFileError, match=rf"{signing.name}: has mode 0640"):
        load_keys(tmp_path)


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

SHEET = write_sheet(SEED)


def old_sheet(key: bytes) -> str:
    """A sheet as it was written before there were words."""
    checked = key + hashlib.sha256(key).digest()[:4]
    text = base64.b32encode(checked).decode().rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def test_a_sheet_gives_its_key_back() -> None:
    key, sheet = new_recovery_key()
    assert SigningKey(read_sheet(sheet)).public == key.public
    assert write_sheet(read_sheet(sheet)) == sheet
    other, _ = new_recovery_key()
    assert key.public != other.public


def test_a_sheet_is_that_of_the_standard() -> None:
    # The first and the last example of 256 bits in BIP-39's own vectors.
    assert write_sheet(bytes(32)) == "abandon " * 23 + "art"
    examples = bytes.fromhex(
        "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f"
    )
    assert write_sheet(examples) == (
        "void come effort suffer camp survey warrior heavy shoot primary clutch crush"
        " open amazing screen patrol group space point ten exist slush involve unfold"
    )


@pytest.mark.parametrize("write", [write_sheet, old_sheet])
@pytest.mark.parametrize(
    "copied",
    [
        lambda sheet: sheet.upper(),
        lambda sheet: sheet.lower(),
        lambda sheet: sheet.replace(" ", "\n"),
        lambda sheet: f"\n{sheet[:30]}{sheet[30:].replace(' ', '   ')}\t\n",
    ],
    ids=["capitals", "small letters", "one a line", "many spaces"],
)
def test_it_does_not_matter_how_a_sheet_is_copied(
    write: Callable[[bytes], str], copied: Callable[[str], str]
) -> None:
    assert read_sheet(copied(write(SEED))) == SEED


def test_a_sheet_is_read_as_it_was_laid_out() -> None:
    told = lay_out(SHEET)
    assert len(told.splitlines()) == 6 and " 1 " in told and "24 " in told
    assert read_sheet(told) == SEED


def test_four_letters_of_a_word_are_enough() -> None:
    assert read_sheet(" ".join(word[:4] for word in SHEET.split())) == SEED
    with pytest.raises(MalformedMessageError):
        read_sheet(" ".join(word[:3] for word in SHEET.split()))


def test_a_sheet_of_letters_is_still_read() -> None:
    assert read_sheet(old_sheet(SEED).replace(" ", "")) == SEED
    assert read_sheet(old_sheet(SEED).replace(" ", "-")) == SEED


@pytest.mark.parametrize("place", range(24))
def test_a_word_that_is_none_is_named_by_its_place(place: int) -> None:
    words = SHEET.split()
    words[place] = "garnaal"
    with pytest.raises(MalformedMessageError, match=f"word {place + 1}'") as refused:
        read_sheet(" ".join(words))
    assert not any(word in str(refused.value) for word in [*SHEET.split(), "garnaal"])


def test_a_wrong_word_is_nearly_always_found() -> None:
    # One octet checks them: of 256 wrong words one passes, and `keys check` finds it.
    words, wrong = SHEET.split(), 0
    for other in Mnemonic("english").wordlist:
        if other != words[0]:
            with contextlib.suppress(MalformedMessageError):
                assert read_sheet(" ".join([other, *words[1:]])) != SEED
                wrong += 1
    assert wrong < 24


@pytest.mark.parametrize("place", range(58))
def test_no_single_wrong_letter_of_an_old_sheet_passes(place: int) -> None:
    sheet = old_sheet(SEED).replace(" ", "")
    for letter in set(LETTERS) - {sheet[place]}:
        wrong = sheet[:place] + letter + sheet[place + 1 :]
        with pytest.raises(MalformedMessageError):
            read_sheet(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        SHEET.rpartition(" ")[0],
        SHEET + " art",
        "abandon " * 24,
        old_sheet(SEED)[:-1],
        old_sheet(SEED) + "A",
        "0" * 58,
        "é" * 58,
    ],
)
def test_what_is_no_sheet_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(MalformedMessageError) as refused:
        read_sheet(text)
    told = str(refused.value)
    assert "words" in told
    assert not any(word in told for word in text.split() if len(word) > 3)


def test_two_letters_of_an_old_sheet_that_changed_places_are_found() -> None:
    sheet = old_sheet(SEED).replace(" ", "")
    for place in range(57):
        swapped = sheet[:place] + sheet[place + 1] + sheet[place] + sheet[place + 2 :]
        if swapped != sheet:
            with pytest.raises(MalformedMessageError):
                read_sheet(swapped)
