"""A backup's bytes: whatever was changed, cut off, repeated or moved is noticed."""

import io
import unicodedata

import msgspec
import pytest

from protocol.peer.backup_file import (
    CONTENT_LENGTH_MAX,
    BackupReader,
    BackupWriter,
    Cost,
    Frame,
)
from protocol.peer.command_line import DataError
from tests.peer.backups import CHEAP

PASSPHRASE = "een lange zin van mij"
FRAMES = [
    Frame(b"M", b"who"),
    Frame(b"D", b""),
    Frame(b"D", b"x" * 40),
    Frame(b"F", b"{}"),
]


def write(frames: list[Frame] = FRAMES, passphrase: str = PASSPHRASE) -> bytes:
    file = io.BytesIO()
    writer = BackupWriter(file, passphrase, CHEAP)
    for frame in frames[:-1]:
        writer.write(*frame)
    writer.close(*frames[-1])
    return file.getvalue()


def read(raw: bytes, passphrase: str = PASSPHRASE) -> list[Frame]:
    reader = BackupReader(io.BytesIO(raw), "monday", passphrase)
    found = []
    while (frame := reader.read()) is not None:
        found.append(frame)
    return found


def refusal(raw: bytes, passphrase: str = PASSPHRASE) -> str:
    with pytest.raises(DataError) as refused:
        read(raw, passphrase)
    return str(refused.value)


def split(raw: bytes) -> tuple[bytes, list[bytes]]:
    """Split a file into its head and its frames."""
    start = raw.index(b"}\n") + 2 + 24
    head, rest, frames = raw[:start], raw[start:], []
    while rest:
        length = 4 + int.from_bytes(rest[:4], "big")
        frames.append(rest[:length])
        rest = rest[length:]
    return head, frames


def test_what_was_written_is_read() -> None:
    assert read(write()) == FRAMES


def test_the_largest_frame_is_read_and_a_larger_one_is_never_written() -> None:
    largest = Frame(b"D", b"x" * CONTENT_LENGTH_MAX)
    assert read(write([largest, FRAMES[-1]]))[0] == largest
    with pytest.raises(AssertionError):
        write([Frame(b"D", largest.content + b"x"), FRAMES[-1]])


def test_nothing_of_it_can_be_read_without_the_passphrase() -> None:
    raw = write()
    assert b"who" not in raw and b"x" * 8 not in raw
    assert write() != raw


def test_every_changed_bit_is_noticed() -> None:
    raw = write()
    for place in range(len(raw)):
        for bit in (0, 7):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            assert refusal(bytes(changed)), place


def test_an_end_that_was_cut_off_is_noticed_wherever_it_is() -> None:
    raw = write()
    for length in range(len(raw)):
        assert refusal(raw[:length]), length


def test_frames_that_are_missing_repeated_or_moved_are_noticed() -> None:
    head, frames = split(write())
    first, second, third, last = frames
    for others in (
        [first, third, last],
        [second, third, last],
        [first, first, second, third, last],
        [first, third, second, last],
        [last],
        [first, second, third, last, last],
        [first, second, third],
        [],
    ):
        assert refusal(head + b"".join(others))


def test_frames_of_another_backup_under_the_same_passphrase_are_noticed() -> None:
    head, frames = split(write())
    _, others = split(write())
    assert refusal(head + b"".join([frames[0], *others[1:]]))


def test_what_stands_behind_the_end_is_noticed() -> None:
    assert "goes on after its end" in refusal(write() + b"\0")


def test_another_passphrase_reads_nothing() -> None:
    assert "passphrase is not this backup's" in refusal(write(), PASSPHRASE + " ")


def test_it_does_not_matter_how_a_keyboard_writes_an_accent() -> None:
    typed = "zoë heeft één poes"
    raw = write(passphrase=unicodedata.normalize("NFD", typed))
    assert read(raw, unicodedata.normalize("NFC", typed)) == FRAMES


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "is no backup"),
        (b"\x89PNG\r\n\x1a\n", "is no backup"),
        (b"interlets-backup 2\n", "another format"),
        (b"interlets-backup 1\r\n{}", "another format"),
        (b"interlets-backup 1\n", "line 2 was changed"),
        (b"interlets-backup 1\n{}\n", "line 2 was changed"),
        (b"interlets-backup 1\n" + b"{" * 100_000, "line 2 was changed"),
    ],
)
def test_what_is_no_backup_is_named(raw: bytes, told: str) -> None:
    assert refusal(raw).startswith("monday: ")
    assert told in refusal(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"memory": 2**30 + 1},
        {"memory": 8191},
        {"passes": 21},
        {"passes": 0},
        {"kdf": "none"},
        {"salt": ""},
        {"salt": "AAAA"},
        {"more": 1},
    ],
)
def test_a_strangers_file_does_not_choose_what_this_machine_spends(
    change: dict[str, object],
) -> None:
    line = {**msgspec.to_builtins(Cost(salt="A" * 22)), **change}
    assert "line 2 was changed" in refusal(
        b"interlets-backup 1\n" + msgspec.json.encode(line) + b"\n"
    )
