"""Receipts: what holds is told, and anything changed is not genuine."""

import pathlib
import subprocess
import sys

import msgspec
import pytest

from protocol import __main__ as program
from protocol.address import FederationId
from protocol.checkpoint import write_checkpoint
from protocol.errors import (
    MalformedMessageError,
    NotSignedError,
    PeerError,
    WeakKeyError,
)
from protocol.receipt import Receipt, verify_receipt, with_words, write_receipt
from tests.peer.receipts import (
    CONTENT,
    Evidence,
    hub_span,
    later_statement,
    statement,
)
from tests.peer.wrong_receipts import WRONG
from tests.protocol.makers import FEDERATION, OOSTENDE, signing_key


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence()


@pytest.fixture(scope="module")
def raw(evidence: Evidence) -> bytes:
    return write_receipt(evidence.receipt())


def test_a_receipt_tells_who_what_when_and_whose_word_it_took(raw: bytes) -> None:
    proven = verify_receipt(raw, FEDERATION)
    assert proven.content == CONTENT
    told = " ".join(msgspec.json.decode(raw, type=Receipt).told)
    for part in (
        'marie@oostende ("Marie") paid bob@mechelen 3 "ke" for 1 "bl"; memo: "two',
        "Keys as the hub gave them; check digits: oostende ",
        "0:03:00.000 hours",
        "Signed by oostende (order), mechelen (accepted) and the hub",
        "Shown the same log: brussel",
    ):
        assert part in told
    assert raw.startswith(b'{"told":["Interlets receipt')


def test_without_its_content_a_receipt_names_nobody(evidence: Evidence) -> None:
    raw = write_receipt(evidence.receipt(content=None, witnesses=[]))
    assert verify_receipt(raw, FEDERATION).content is None
    assert b"marie" not in raw and b"garden" not in raw


def test_every_changed_bit_is_not_genuine(raw: bytes) -> None:
    # Every bit of every byte is 60,000 verifications: one bit of each, drawn.
    for place in range(len(raw)):
        bad = bytearray(raw)
        bad[place] ^= 1 << (place * 7 % 8)
        with pytest.raises(PeerError):
            verify_receipt(bytes(bad), FEDERATION)


@pytest.mark.slow
@pytest.mark.parametrize("bit", range(8))
def test_every_changed_bit_whatsoever_is_not_genuine(raw: bytes, bit: int) -> None:
    for place in range(len(raw)):
        bad = bytearray(raw)
        bad[place] ^= 1 << bit
        with pytest.raises(PeerError):
            verify_receipt(bytes(bad), FEDERATION)


def test_a_cut_receipt_is_not_genuine(raw: bytes) -> None:
    for end in range(0, len(raw) - 1, 97):
        with pytest.raises(PeerError):
            verify_receipt(raw[:end], FEDERATION)


def test_another_federations_receipt_is_not_ours(raw: bytes) -> None:
    other = FederationId("others" + FEDERATION[FEDERATION.index("#") :])
    with pytest.raises(NotSignedError, match="federation"):
        verify_receipt(raw, other)


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_hold_is_named(evidence: Evidence, name: str) -> None:
    wrong = WRONG[name](evidence)
    with pytest.raises((NotSignedError, MalformedMessageError, WeakKeyError)):
        verify_receipt(write_receipt(wrong), FEDERATION)
    if wrong.told == []:
        with pytest.raises((NotSignedError, MalformedMessageError, WeakKeyError)):
            with_words(wrong)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "protocol", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_says_genuine_and_exits_0(
    raw: bytes, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(raw)
    done = run(str(file), "--federation", FEDERATION)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Genuine.\nInterlets receipt")
    assert "You did not say which federation" in run(str(file)).stdout


def test_the_program_names_the_reason_and_exits_1(
    raw: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "receipt.json"
    for bad in (b"", b"{}", raw[:-100], raw.replace(b"cleared", b"Cleared"), b"\xff"):
        file.write_bytes(bad)
        assert program.main([str(file), "--federation", FEDERATION]) == 1
        assert capsys.readouterr().err.startswith("NOT genuine: ")
    with file.open("wb") as hole:
        hole.truncate(100_000_000)
    assert program.main([str(file), "--federation", FEDERATION]) == 1
    assert program.main([str(tmp_path / "nothing")]) == 1
    assert program.main([str(file), "--federation", "nonsense"]) == 2


def test_a_revoked_key_is_not_genuine_and_the_program_says_why(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "receipt.json"
    # The prepare is item 2: the old key's last, or the first that it may not sign.
    for last, code in ((2, 0), (1, 1)):
        made = Evidence()
        made.change_keys(last)
        receipt = made.receipt() if code == 0 else made.bare(told=["anything"])
        file.write_bytes(write_receipt(receipt))
        assert program.main([str(file), "--federation", FEDERATION]) == code
    told = "NOT genuine: kid: revoked: not in force after item 1; this is 2\n"
    assert capsys.readouterr().err == told


def test_the_program_looks_the_hubs_key_up_by_log_and_size(
    evidence: Evidence, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note, hub = tmp_path / "checkpoint", tmp_path / "hub.jws"
    note.write_text(write_checkpoint(evidence.checkpoint(), signing_key("hub")))
    given = [str(note), "--federation", FEDERATION, "--hub", str(hub)]
    for last, code in ((5, 0), (4, 1)):
        hub.write_text(later_statement(hub_span(last)))
        assert program.main(given) == code
    assert capsys.readouterr().err.startswith("NOT genuine: checkpoint: revoked:")


def test_the_program_checks_a_checkpoint(
    evidence: Evidence, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note, hub = tmp_path / "checkpoint", tmp_path / "hub.jws"
    note.write_text(write_checkpoint(evidence.checkpoint(), signing_key("hub")))
    hub.write_text(statement() + "\n")
    given = [str(note), "--federation", FEDERATION, "--hub", str(hub)]
    assert program.main(given) == 0
    assert "5 decisions" in capsys.readouterr().out
    note.write_text(write_checkpoint(evidence.checkpoint(), signing_key(OOSTENDE)))
    assert program.main(given) == 1
