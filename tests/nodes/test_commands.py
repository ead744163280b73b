"""The command line as an operator meets it: real processes and their exit codes."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest

from protocol.peer.settings import environment

NewDatabase = Callable[[], Awaitable[str]]

NO, USAGE, DATA, TRY_AGAIN, SETTINGS = 1, 2, 65, 75, 78
#: Nobody listens there.
NOWHERE = "postgresql://nobody@127.0.0.1:9/nowhere"
ROOT = Path(__file__).parent.parent.parent
PASSWORD = "correct horse battery"
HEADER = "account,name,password,floor,ceiling"
INVITATION = f"http://hub.example/join#{'A' * 22}.gent.belgium.{'A' * 43}"


def settings_file(folder: Path, url: str = NOWHERE, more: str = "") -> Path:
    """Write settings; a password in the address goes into a file of its own."""
    parts = urlsplit(url)
    given = ""
    if parts.password:
        secret = folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(parts.password)
        url = urlunsplit(
            parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@"))
        )
        given = 'password_file = "password"'
    file = folder / "server.toml"
    file.write_text(
        f"""
[server]
public_url = "http://oostende.example"
data = "data"
{more}

[database]
url = "{url}"
{given}
""",
        encoding="utf-8",
    )
    return file


async def command(
    package: str, *words: object, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m nodes ...`` or ``clearing``, with no setting from outside."""
    plain = {
        name: value
        for name, value in environment().items()
        if not name.startswith("INTERLETS_")
    }
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", package, *map(str, words)],
        cwd=ROOT,
        env=plain,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )


def check_failed(done: subprocess.CompletedProcess[str], code: int, told: str) -> None:
    """One sentence on the error stream, never a traceback, nothing as an answer."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('listen = "8401"', "server.listen is '8401'; expected HOST:PORT"),
        ('colour = "red"', "server.colour is not a setting"),
        ("[colours]", "colours is not a section"),
        ("listen = ", "is not TOML"),
    ],
)
async def test_wrong_settings_end_with_78(tmp_path: Path, more: str, told: str) -> None:
    file = settings_file(tmp_path, more=more)
    check_failed(await command("nodes", "serve", "--config", file), SETTINGS, told)


async def test_missing_settings_end_with_78(tmp_path: Path) -> None:
    done = await command("nodes", "serve", "--config", tmp_path / "none.toml")
    check_failed(done, SETTINGS, "none.toml: cannot be read")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("sing",),
        ("serve",),
        ("member",),
        ("member", "import", "--config", "x"),
        (
            "join",
            "x",
            "--name",
            "n",
            "--unit",
            "u",
            "--per-hour",
            "ten",
            "--config",
            "x",
        ),
    ],
    ids=lambda words: " ".join(words) or "nothing",
)
async def test_a_command_that_cannot_be_understood_ends_with_2(
    words: tuple[str, ...],
) -> None:
    check_failed(await command("nodes", *words), USAGE, "usage: interlets-node")


async def test_a_word_in_another_encoding_ends_with_65(tmp_path: Path) -> None:
    file = settings_file(tmp_path)
    name = b"Zo\xeb".decode(errors="surrogateescape")
    done = await command(
        "nodes", "member", "rename", "an", "--name", name, "--config", file
    )
    check_failed(done, DATA, r"name: 'Zo\udceb' is no text in UTF-8")


async def test_a_missing_file_of_members_ends_with_65(tmp_path: Path) -> None:
    file = settings_file(tmp_path)
    done = await command(
        "nodes", "member", "import", tmp_path / "none.csv", "--config", file
    )
    check_failed(done, DATA, "none.csv: cannot be read")


@pytest.mark.parametrize("by_standard_input", [False, True])
async def test_a_wrong_line_of_members_ends_with_65(
    tmp_path: Path, *, by_standard_input: bool
) -> None:
    text = f"{HEADER}\nmarie,Marie,{PASSWORD},1.5,\n"
    (tmp_path / "members.csv").write_text(text)
    done = await command(
        "nodes",
        "member",
        "import",
        "-" if by_standard_input else tmp_path / "members.csv",
        "--config",
        settings_file(tmp_path),
        given=text,
    )
    check_failed(done, DATA, "line 2: floor: cannot read '1.5'")


@pytest.mark.parametrize(
    ("invitation", "more", "told"),
    [
        ("http://hub.example/join", (), "invitation: cannot read"),
        ("none.txt", (), "none.txt: cannot be read"),
        (INVITATION, ("--per-hour", "0"), "found 0; expected 1 to 100000"),
        (INVITATION, ("--per-hour", "100001"), "found 100001; expected 1 to 100000"),
        (INVITATION, ("--decimals", "3"), "--decimals: found 3"),
    ],
)
async def test_what_cannot_be_joined_with_ends_with_65(
    tmp_path: Path, invitation: str, more: tuple[str, ...], told: str
) -> None:
    done = await command(
        "nodes",
        "join",
        invitation,
        *("--name", "LETS Gent", "--unit", "uur", "--per-hour", "1"),
        *more,
        *("--config", settings_file(tmp_path)),
    )
    check_failed(done, DATA, told)


async def test_a_database_that_is_away_ends_with_75(tmp_path: Path) -> None:
    done = await command("nodes", "init", "--config", settings_file(tmp_path))
    check_failed(done, TRY_AGAIN, "The database is away")


async def test_a_node_that_has_not_joined_cannot_serve(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    file = settings_file(tmp_path, await new_database())
    for words in (("serve",), ("member", "list")):
        early = await command("nodes", *words, "--config", file)
        check_failed(early, NO, "has joined no federation yet")
    made = await command("nodes", "init", "--config", file, "--json")
    assert made.returncode == 0
    link = msgspec.json.decode(made.stdout)["sign_in"]
    assert link.startswith("http://oostende.example/welcome#")
    again = await command("nodes", "init", "--config", file)
    check_failed(again, NO, "has its first treasurer already")
    serving = await command("nodes", "serve", "--config", file)
    check_failed(serving, NO, "has joined no federation yet")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("invite", "reserve"), "group: cannot read 'reserve'"),
        (("invite", "hub"), "group: cannot read 'hub'"),
        (("invite", "Gent"), "group: cannot read 'Gent'"),
        (("invite", "gent", "--floor", "1"), "found 1 and 100 hours"),
        (("invite", "gent", "--ceiling", "-1"), "found -100 and -1 hours"),
        (("invite", "gent", "--floor", "-27777778"), "more than any group"),
        (("init", "Belgium"), "group: cannot read 'Belgium'"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
async def test_the_hub_does_not_give_such_a_name_or_limit(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = await command("clearing", *words, "--config", settings_file(tmp_path))
    check_failed(done, DATA, told)


async def test_a_hub_is_made_once_and_then_invites(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    file = settings_file(tmp_path, await new_database())
    early = await command("clearing", "invite", "gent", "--config", file)
    check_failed(early, NO, "has no federation yet")
    made = await command("clearing", "init", "belgium", "--config", file, "--json")
    assert made.returncode == 0, made.stderr
    answer = msgspec.json.decode(made.stdout)
    assert answer["federation"].startswith("belgium#")
    again = await command("clearing", "init", "belgium", "--config", file)
    check_failed(again, NO, "has its federation already")
    invited = await command("clearing", "invite", "gent", "--config", file, "--json")
    link = msgspec.json.decode(invited.stdout)["invitation"]
    assert link.startswith("http://oostende.example/join#")
    assert answer["federation"].replace("#", ".") in link
    stored = [path.read_bytes() for path in (tmp_path / "data").rglob("*.key")]
    assert len(stored) == 2
