"""``audit`` as an operator meets it: exit codes, and every finding named."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from protocol.address import HUB
from protocol.peer.audit import AuditAnswer
from protocol.peer.command_line import Progress
from tests.nodes.test_commands import (
    NO,
    NOWHERE,
    TRY_AGAIN,
    NewDatabase,
    check_failed,
    command,
    settings_file,
)
from tests.peer.audited import Past, past
from tests.protocol.makers import OOSTENDE


@pytest.fixture(scope="module")
def kept(postgres_server: str) -> Iterator[Past]:
    made = past(postgres_server)
    yield made
    asyncio.run(made.drop())


@pytest.mark.parametrize(("package", "name"), [("nodes", OOSTENDE), ("clearing", HUB)])
async def test_a_sound_ledger_ends_with_0(
    kept: Past, tmp_path: Path, package: str, name: str
) -> None:
    file = settings_file(tmp_path, kept.urls[name])
    done = await command(package, "audit", "--config", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "findings: 0\n" in done.stdout
    assert "sums: time 0" in done.stdout
    assert ("conversion 1: worth" in done.stdout) == (package == "nodes")


@pytest.mark.parametrize(("package", "name"), [("nodes", OOSTENDE), ("clearing", HUB)])
async def test_a_changed_ledger_ends_with_1_and_says_where(
    kept: Past, tmp_path: Path, package: str, name: str
) -> None:
    async with kept.copy(name) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("UPDATE account SET balance = balance + 1")
        await connection.close()
        file = settings_file(tmp_path, url)
        for_people = await command(package, "audit", "--config", file)
        for_programs = await command(package, "audit", "--json", "--config", file)
    assert for_people.returncode == for_programs.returncode == NO
    account = "marie" if name == OOSTENDE else OOSTENDE
    assert f"account {account}: found" in for_people.stdout
    answer = msgspec.json.decode(for_programs.stdout, type=AuditAnswer)
    assert not answer.is_sound
    assert account in {finding.key for finding in answer.findings}


async def test_an_audit_of_nothing_ends_with_1(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    file = settings_file(tmp_path, await new_database())
    check_failed(await command("nodes", "audit", "--config", file), NO, "joined no")
    check_failed(await command("clearing", "audit", "--config", file), NO, "init")


async def test_an_audit_without_a_database_ends_with_75(tmp_path: Path) -> None:
    file = settings_file(tmp_path, NOWHERE)
    check_failed(await command("nodes", "audit", "--config", file), TRY_AGAIN, "away")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_to_whoever_watches() -> None:
    terminal, file = Terminal(), io.StringIO()
    for to in (terminal, file):
        progress = Progress(to)
        progress.show(0.25, "Every balance " + "x" * 100)
        progress.show(1.0, "")
        progress.close()
    assert file.getvalue() == ""
    first, last, end = terminal.getvalue().split("\r")[1:4]
    assert first.startswith("[#####               ]  25% Every balance")
    assert last.startswith("[####################] 100%")
    assert len(first) == len(last) == len(end) == 79
