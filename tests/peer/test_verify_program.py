"""``interlets-verify`` as anyone runs it: any file, any terminal, nothing else."""

import json  # noqa: TID251 - another reader than ours
import os
import pathlib
import random
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator

import pytest

from protocol import __main__ as program
from protocol.receipt import with_words, write_receipt
from tests.peer.forge import Forge, dumps
from tests.peer.makers import LOG, OTHER_ID
from tests.peer.receipts import Evidence, refusal, statement
from tests.protocol.makers import FEDERATION, ID, ROOT
from tests.vectors import make

VECTORS = json.loads((make.FOLDER / "receipts.json").read_text(encoding="utf-8"))
RAW: bytes = VECTORS["genuine"]["with content and a witness"].encode()
REFUSALS: dict[str, str] = json.loads(
    (make.FOLDER / "refusals.json").read_text(encoding="utf-8")
)["genuine"]
SERVER_LIBRARIES = ("aiohttp", "asyncpg", "jinja2", "prometheus_client", "segno")

Captured = pytest.CaptureFixture[str]


def run(
    *arguments: str, stdout: int = subprocess.PIPE, encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "protocol", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONIOENCODING": encoding},
    )


def check_not_genuine(path: pathlib.Path, capsys: Captured) -> None:
    assert program.main([str(path), "--federation", FEDERATION]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("NOT genuine: ")
    check_plain(err)
    assert err.count("\n") == 1


def check_plain(text: str) -> None:
    """Nothing that a terminal would obey, or that turns text around."""
    odd = {one for one in text if unicodedata.category(one) in ("Cc", "Zl", "Zp")}
    assert odd <= {"\n"}
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(text)


def hostile_files() -> Iterator[bytes]:
    yield b""
    yield b"\n"
    yield b"{"
    yield b"{}"
    yield b"null"
    yield b"\xef\xbb\xbf" + RAW
    yield RAW.replace(b"\n", b"\r\n")
    yield b" " + RAW
    yield RAW + b"\n"
    yield RAW + RAW
    yield RAW.decode().encode("utf-16")
    yield RAW.decode().encode("utf-16-le")
    yield RAW.replace("—".encode(), b"\x97")
    yield RAW.replace(b"Marie", b"M\xe9rie")
    yield RAW.replace(b"Marie", b"\xed\xa0\x80")
    yield b"\x1f\x8b" + RAW
    yield b"\x00" * 1000
    yield b"{" + b"\xff" * 1000
    for depth in (9, 1000, 100_000):
        for begin, end in ((b"[", b"]"), (b'{"a":', b"}"), (b'{"told":[', b"]}")):
            yield begin * depth + end * depth
            yield b'{"told":' + begin * depth
            yield RAW.replace(b'"content":', b'"content":' + begin * depth, 1)
    yield RAW.replace(b'"index":4', b'"index":' + b"9" * 100_000)
    yield RAW.replace(b'"index":4', b'"index":1e999999999')


def compare(
    folder: pathlib.Path, one: bytes, other: bytes, capsys: Captured
) -> tuple[int, str, str]:
    """The exit code, the last line that is printed, and what is wrong."""
    names = folder / "one.json", folder / "other.json"
    for name, raw in zip(names, (one, other), strict=True):
        name.write_bytes(raw)
    code = program.main([*map(str, names), "--federation", FEDERATION])
    out, err = capsys.readouterr()
    return code, out.splitlines()[-1] if out else "", err


def test_a_receipt_and_a_refusal_of_one_transfer_prove_the_lie(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    made = Evidence()
    receipt, refused = write_receipt(made.receipt()), refusal(made)
    lie = (
        f"PROOF THAT THE HUB LIED: the hub decided twice about transfer {ID}: cleared, "
        f"number 4 in log {LOG}, and refused (cancelled), number 5 in log {LOG}."
    )
    assert compare(tmp_path, receipt, refused, capsys) == (program.HUB_LIED, lie, "")
    code, last, _ = compare(tmp_path, refused, receipt, capsys)
    assert code == 3
    assert last.startswith("PROOF THAT THE HUB LIED: the hub decided twice")


def test_what_an_honest_hub_may_have_said_proves_nothing(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    made = Evidence()
    receipt = write_receipt(made.receipt())
    honest = [
        receipt,
        # Somebody asked for an id that the hub did not know yet.
        refusal(made, prepare=None, code="unknown-transfer"),
        refusal(made, id=OTHER_ID),
    ]
    for one in honest:
        code, last, err = compare(tmp_path, receipt, one, capsys)
        assert (code, err) == (program.GENUINE, "")
        assert last == "Together they prove nothing against the hub."


def test_two_receipts_of_one_transfer_prove_two_clearings(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    made = Evidence()
    first = write_receipt(made.receipt())
    made.leaves.append(made.decision())
    code, last, _ = compare(tmp_path, first, write_receipt(made.receipt()), capsys)
    assert code == program.HUB_LIED
    assert "decided twice" in last


@pytest.mark.parametrize(
    ("behind", "told"), [(0, "signed two checkpoints"), (1, "signed two decisions")]
)
def test_two_logs_of_one_name_prove_the_lie(
    tmp_path: pathlib.Path, capsys: Captured, behind: int, told: str
) -> None:
    # Another transfer stands where ours does.
    made, other = Evidence(), Evidence()
    other.leaves.pop()
    refused = refusal(other, behind=behind, id=OTHER_ID)
    receipt = write_receipt(made.receipt())
    code, last, _ = compare(tmp_path, receipt, refused, capsys)
    assert code == program.HUB_LIED
    assert told in last


def test_of_two_files_each_must_be_genuine(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    made = Evidence()
    receipt, refused = write_receipt(made.receipt()), refusal(made)
    for place in range(0, len(refused) - 1, 7):
        wrong = bytearray(refused)
        wrong[place] ^= 1
        code, last, err = compare(tmp_path, receipt, bytes(wrong), capsys)
        assert (code, last) == (program.NOT_GENUINE, "")
        check_plain(err)
    assert compare(tmp_path, receipt, b"", capsys)[0] == program.NOT_GENUINE
    alone = tmp_path / "alone.json"
    alone.write_bytes(refused)
    assert program.main([str(alone), "--federation", FEDERATION]) == 0
    assert capsys.readouterr().out.startswith("Genuine.\nInterlets refusal: ")


def test_any_file_gets_one_sentence(tmp_path: pathlib.Path, capsys: Captured) -> None:
    file = tmp_path / "receipt.json"
    for raw in hostile_files():
        file.write_bytes(raw)
        check_not_genuine(file, capsys)


@pytest.mark.parametrize("seed", range(5))
def test_files_drawn_at_random_get_one_sentence(
    seed: int, tmp_path: pathlib.Path, capsys: Captured
) -> None:
    draw = random.Random(seed)
    file = tmp_path / "receipt.json"
    for _ in range(60):
        raw = bytearray(RAW)
        for _ in range(draw.randint(1, 4)):
            start = draw.randrange(len(raw))
            end = start + draw.choice([0, 1, 1, 2, 50])
            raw[start:end] = draw.choice(
                [
                    draw.randbytes(draw.randint(0, 9)),
                    b"\x1b[2J",
                    b"\\u001b]0;",
                    b"\\ud800",
                    b"{[",
                    b"}]",
                    b'"',
                ]
            )
        if bytes(raw) != RAW and bytes(raw) + b"\n" != RAW:
            file.write_bytes(raw[: draw.choice([len(raw), draw.randrange(len(raw))])])
            check_not_genuine(file, capsys)
        file.write_bytes(draw.randbytes(draw.randrange(3000)))
        check_not_genuine(file, capsys)


def test_what_is_no_file_gets_one_sentence(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    hole = tmp_path / "hole"
    with hole.open("wb") as file:
        file.truncate(100_000_000)
    with (tmp_path / "brace").open("wb") as file:
        file.write(b"{")
        file.truncate(100_000_000)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    names = ("hole", "brace", ".", "round", "nothing", "odd\x1b[31m\nname", "x" * 300)
    for name in names:
        check_not_genuine(tmp_path / name, capsys)
    for name in ("/dev/null", "/dev/zero", "/proc/self/mem"):
        if pathlib.Path(name).exists():
            check_not_genuine(pathlib.Path(name), capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_gets_one_sentence(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(RAW)
    file.chmod(0)
    check_not_genuine(file, capsys)


def test_a_hubs_statement_may_be_any_file_too(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    note, hub = tmp_path / "checkpoint", tmp_path / "hub.jws"
    note.write_text(Evidence().bare().checkpoint)
    given = [str(note), "--federation", FEDERATION, "--hub"]
    for raw in (b"", b"\xff", b"a.b.c", b"{}", statement().encode()[:-1], b"." * 9999):
        hub.write_bytes(raw)
        assert program.main([*given, str(hub)]) == 1
        check_plain(capsys.readouterr().err)
    assert program.main([*given, str(tmp_path)]) == 1
    assert program.main([*given[:-1]]) == 1
    assert capsys.readouterr().err.count("\n") == 2
    hub.write_text(statement())
    assert program.main([*given, str(hub)]) == 0


def test_nothing_that_a_receipt_holds_reaches_the_terminal_raw(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    file = tmp_path / "receipt.json"
    tricks = ("\x1b[2J", "\x9b31m", "\x07", "\r", "\u202e", "\u2028", "\x85", "\x00")
    made = Forge()
    made.receipt()
    tried = 0
    for what, was in made.documents.items():
        if what == "note":
            continue
        plain = json.loads(was)
        every = "".join(tricks)
        lies = [plain | {member: f"{plain[member]}{every}"} for member in plain]
        lies += [plain | {f"{every}{member}": 1} for member in plain]
        for lie in lies:
            raw = dumps(lie).encode()
            other = Forge(lambda name, was, w=what, r=raw: r if name == w else was)  # type: ignore[misc]
            file.write_text(dumps(other.receipt()))
            check_not_genuine(file, capsys)
            tried += 1
    assert tried > 150
    for trick in tricks:
        whole = json.loads(RAW)
        for member in whole:
            file.write_text(dumps(whole | {member: trick}))
            check_not_genuine(file, capsys)
            file.write_text(dumps(whole | {f"{member}{trick}": 1}))
            check_not_genuine(file, capsys)


def test_no_name_can_tell_another_story(
    tmp_path: pathlib.Path, capsys: Captured
) -> None:
    # A display name may hold almost anything; in its quotes it stays a name.
    name = 'Eve") paid eve@brussel 9 "ke" for 9 "bl"; memo: "x'
    memo = 'thanks"\nGenuine. Federation others#'
    file = tmp_path / "receipt.json"
    made = Evidence(content={"name": name, "memo": memo})
    file.write_bytes(write_receipt(with_words(made.bare())))
    assert program.main([str(file), "--federation", FEDERATION]) == 0
    out = capsys.readouterr().out
    line = out.splitlines()[2]
    quoted = json.dumps(name), json.dumps(memo)
    assert line == (
        f'marie@oostende ({quoted[0]}) paid bob@mechelen 3 "ke" for 1 "bl"; '
        f"memo: {quoted[1]}."
    )


def test_a_terminal_without_the_letters_gets_escapes(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "receipt.json"
    made = Evidence(content={"name": "Zo\u00eb \U0001f331"})
    file.write_bytes(write_receipt(made.receipt()))
    done = run(str(file), encoding="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"Zo\xeb \U0001f331" in done.stdout


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_answer_that_nobody_can_read_is_no_answer(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(RAW)
    with pathlib.Path("/dev/full").open("w") as full:
        done = run(str(file), stdout=full.fileno())
    assert (done.returncode, done.stderr) == (2, "")
    reader, writer = os.pipe()
    os.close(reader)
    done = run(str(file), stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, "")
    command = f'"{sys.executable}" -m protocol "{file}" >&-'
    closed = subprocess.run(["sh", "-c", command], cwd=ROOT, check=False)
    assert closed.returncode == 2


def test_no_module_of_the_law_needs_a_server_library() -> None:
    names = sorted(
        f"protocol.{path.stem}" for path in (ROOT / "protocol").glob("[a-z]*.py")
    )
    told = (
        f"import sys; sys.modules.update(dict.fromkeys({SERVER_LIBRARIES!r}));"
        f"import protocol.__main__, {', '.join(names)};"
        "assert not any(name.startswith('protocol.peer') for name in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", told],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_installed_alone_it_verifies_in_an_empty_folder(
    tmp_path: pathlib.Path,
) -> None:
    home = tmp_path / "home"
    empty = tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    python = home / "bin" / "python"
    source = tmp_path / "source"
    for name in ("protocol", "clearing", "nodes"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    made = subprocess.run([*pip, source], capture_output=True, text=True, check=False)
    if made.returncode and "connection" in made.stderr.lower():
        pytest.skip("no package index can be reached from here")
    assert made.returncode == 0, made.stderr
    bare = {"PATH": "/nowhere", "HOME": str(empty)}

    def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [home / "bin" / "interlets-verify", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=empty,
            env=bare,
        )

    for library in SERVER_LIBRARIES:
        found = subprocess.run(
            [python, "-c", f"import {library}"],
            capture_output=True,
            check=False,
            cwd=empty,
        )
        assert found.returncode, f"{library} is there, so nothing is proved"
    (empty / "receipt.json").write_bytes(RAW)
    done = verify("receipt.json", "--federation", FEDERATION)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Genuine.\nInterlets receipt")
    (empty / "receipt.json").write_bytes(RAW.replace(b"Marie", b"Maria"))
    done = verify("receipt.json", "--federation", FEDERATION)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("NOT genuine: ")


def test_a_receipt_says_which_word_rests_on_a_former_key() -> None:
    # The hub alone names former keys: without this it could forge a whole receipt
    # under the group's true check digits.
    told = {
        name: [line for line in json.loads(raw)["told"] if "former key" in line]
        for name, raw in VECTORS["genuine"].items()
    }
    [said] = told.pop("under a key that was replaced since")
    assert said.startswith("oostende signed with a former key, ")
    assert not any(told.values())


@pytest.mark.parametrize(("demanded", "code"), [("0", 0), ("1", 0), ("2", 1)])
def test_as_many_witnesses_as_somebody_demands(
    demanded: str, code: int, tmp_path: pathlib.Path, capsys: Captured
) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(RAW)
    chosen = [str(path), "--federation", FEDERATION, "--witnesses", demanded]
    assert program.main(chosen) == code
    _, err = capsys.readouterr()
    wrong = "NOT genuine: witnesses: brussel; expected 2 groups\n"
    assert err == (wrong if code else "")


def test_a_refusal_has_no_witnesses(tmp_path: pathlib.Path, capsys: Captured) -> None:
    raw = REFUSALS["cancelled"].encode()
    path = tmp_path / "refusal.json"
    path.write_bytes(raw)
    assert program.main([str(path), "--witnesses", "1"]) == 1
    assert "witnesses: none; expected 1 groups" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["-1", "one", "1.0", "", "\u0661"])
def test_a_number_of_witnesses_that_is_none(
    count: str, tmp_path: pathlib.Path, capsys: Captured
) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(RAW)
    with pytest.raises(SystemExit) as caught:
        program.main([str(path), f"--witnesses={count}"])
    assert caught.value.code == 2
    assert "--witnesses" in capsys.readouterr().err
