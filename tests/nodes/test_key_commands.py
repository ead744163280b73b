"""``keys`` as an operator meets it, at hub and node."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.address import HUB
from protocol.base64url import write_base64url
from protocol.keyring import key_id
from protocol.peer.key_files import write_secret, write_sheet
from tests.nodes.test_commands import DATA, NO, check_failed, command, settings_file
from tests.peer.audited import Past, past
from tests.protocol.makers import OOSTENDE, sealing_key, seed, signing_key

SERVERS = pytest.mark.parametrize(
    ("package", "name"), [("nodes", OOSTENDE), ("clearing", HUB)]
)


@pytest.fixture(scope="module")
def kept(postgres_server: str) -> Iterator[Past]:
    made = past(postgres_server)
    yield made
    asyncio.run(made.drop())


def recovery(name: str) -> str:
    return "the root" if name == HUB else f"{name} recovery"


def sheet_of(name: str) -> str:
    return write_sheet(seed(f"signing key of {recovery(name)}"))


def write_keys(folder: Path, name: str) -> None:
    (folder / "data" / "keys").mkdir(parents=True)
    for use in ("signing", "sealing"):
        secret = write_base64url(seed(f"{use} key of {name}"))
        write_secret(folder / "data" / "keys" / f"{use}.key", secret)


@SERVERS
async def test_keys_are_shown_by_their_ids(
    kept: Past, tmp_path: Path, package: str, name: str
) -> None:
    file = settings_file(tmp_path, kept.urls[name])
    write_keys(tmp_path, name)
    done = await command(package, "keys", "show", "--config", file)
    assert (done.returncode, done.stderr) == (0, "")
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert told["server"] == name
    assert told["signing"] == signing_key(name).kid
    assert told["sealing"] == key_id(sealing_key(name).public)
    assert told["recovery"] == signing_key(recovery(name)).kid
    assert told["files"] == "the same keys"
    assert ("digits" in told) == (name == OOSTENDE)


@SERVERS
async def test_files_with_other_keys_are_told(
    kept: Past, tmp_path: Path, package: str, name: str
) -> None:
    file = settings_file(tmp_path, kept.urls[name])
    write_keys(tmp_path, "another")
    done = await command(package, "keys", "show", "--config", file)
    assert done.returncode == NO
    assert f"other keys: signing {signing_key('another').kid}" in done.stdout


@SERVERS
async def test_the_sheet_is_known_again_and_kept_nowhere(
    kept: Past, tmp_path: Path, package: str, name: str
) -> None:
    file = settings_file(tmp_path, kept.urls[name])
    done = await command(
        package, "keys", "check", "--config", file, given=sheet_of(name) + "\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "sheet: yes" in done.stdout
    words = sheet_of(name).split()
    assert sum(word in done.stdout.split() for word in words) < 3
    assert sorted(os.listdir(tmp_path)) == ["password", "server.toml"]  # noqa: PTH208


@SERVERS
async def test_another_servers_sheet_is_told(
    kept: Past, tmp_path: Path, package: str, name: str
) -> None:
    file = settings_file(tmp_path, kept.urls[name])
    done = await command(
        package, "keys", "check", "--config", file, given=sheet_of("another")
    )
    assert done.returncode == NO
    assert "sheet: no: it is" in done.stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "the sheet's 24 words"),
        ("abandon " * 23 + "garnaal", "word 24"),
        ("abandon " * 24, "one is wrong, or two swapped"),
    ],
)
async def test_what_is_no_sheet_ends_with_65(
    kept: Past, tmp_path: Path, given: str, told: str
) -> None:
    file = settings_file(tmp_path, kept.urls[OOSTENDE])
    done = await command("nodes", "keys", "check", "--config", file, given=given)
    check_failed(done, DATA, told)
