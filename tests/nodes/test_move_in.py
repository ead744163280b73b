"""A group moves in by the command: first on paper, then all at once, and only once."""

import asyncio
import contextlib
import io
import random
import resource
import stat
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from nodes import app as node_app
from nodes import member_store
from nodes.__main__ import parser
from nodes.api.account import entry_answer
from protocol.peer import access_store, ledger_store
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.clock import Clock
from protocol.peer.command_line import run
from protocol.peer.database import Database
from protocol.peer.key_files import ensure_keys
from protocol.peer.migration_store import migrate
from protocol.peer.settings import DatabaseSettings
from tests.nodes.exporters import (
    PASSWORD_HASH,
    eland_tables,
    eland_user,
    elas_transactions,
    elas_user,
    elas_users,
    zipped,
)
from tests.nodes.test_audit_command import Terminal
from tests.nodes.test_commands import DATA, NO, TRY_AGAIN, settings_file
from tests.peer.audited import audited, membership
from tests.protocol.makers import OOSTENDE

NewDatabase = Callable[[], Awaitable[str]]
AT = "2020-02-03 04:05:06"


@dataclass
class Node:
    """A node that has joined and never served."""

    folder: Path
    url: str
    settings: Path

    async def run(self, *words: object) -> Any:
        """Give a command that must succeed; gives its answer."""
        code, out, errors = await self._command(*words, "--json")
        assert (code, errors) == (0, "")
        return msgspec.json.decode(out)

    async def refuse(self, code: int, told: str, *words: object) -> None:
        """Give a command that must fail with this sentence, and change nothing."""
        found, out, errors = await self._command(*words)
        assert (found, out) == (code, ""), errors
        assert told in errors

    async def watch(self, *words: object) -> str:
        """Give a command at a terminal; gives what a person sees meanwhile."""
        code, _, seen = await self._command(*words, errors=Terminal())
        assert code == 0, seen
        return seen

    async def _command(
        self, *words: object, errors: io.StringIO | None = None
    ) -> tuple[int, str, str]:
        """Carry a command out as its process would, without making one."""
        out, errors = io.StringIO(), errors or io.StringIO()
        arguments = [*map(str, words), "--config", str(self.settings)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = await asyncio.to_thread(run, parser(), arguments)
        assert PASSWORD_HASH not in out.getvalue() + errors.getvalue()
        return code, out.getvalue(), errors.getvalue()

    async def ask(self, sql: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    async def balances(self) -> dict[str, int]:
        rows = await self.ask("SELECT account_id, balance FROM account")
        return dict(rows)

    async def is_empty(self) -> bool:
        counted = [
            await self.ask(f"SELECT count(*) FROM {table}")
            for table in ("account", "entry", "posting", "content", "import_run")
        ]
        return counted == [[(0,)]] * len(counted)

    def file(self, name: str, data: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path


@pytest.fixture
async def node(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Node:
    # Where tests find PostgreSQL is no setting of this node.
    monkeypatch.delenv("INTERLETS_DATABASE_URL", raising=False)
    url = await new_database()
    connection = await asyncpg.connect(url)
    try:
        packages = [PEER_MIGRATIONS, node_app.MIGRATIONS]
        await migrate(connection, packages, Clock().now())
        await member_store.write_membership(connection, membership(OOSTENDE))
    finally:
        await connection.close()
    ensure_keys(tmp_path / "data" / "keys")
    return Node(tmp_path, url, settings_file(tmp_path, url))


def village(*, is_new: bool = False) -> bytes:
    """Marie has paid Bob 20 and Gent 10; eLAND's zip."""
    users = [
        eland_user(1, "MARIE", "Marie", saldo=-30),
        eland_user(2, "BOB", "Bob", saldo=20),
        eland_user(3, "GENT", "LETS Gent", accountrole="interlets", saldo=10),
        eland_user(4, "OUD", "Vertrokken", status=0),
    ]
    past = [(AT, 1, 2, 20, "eieren & brood"), (AT, 1, 3, 10, "naar Gent")]
    return zipped(eland_tables(users, past, is_new=is_new))


@pytest.mark.parametrize("is_new", [False, True])
async def test_a_group_comes_from_eland_with_its_past(
    node: Node, *, is_new: bool
) -> None:
    words = ("import", node.file("db.zip", village(is_new=is_new)))
    await node.refuse(DATA, "those of skipped accounts come to 10", *words)
    words = (*words, "--difference-to-fund")
    told = await node.run(*words)
    assert await node.is_empty()
    assert (told["members"], told["skipped"], told["transactions"]) == (3, 1, 2)
    assert (told["fund"], told["opening_balances"]) == ("10", 0)
    assert [row["told"].partition(":")[0] for row in told["rows"]] == [
        "imported as marie",
        "imported as bob",
        "skipped",
        "imported as oud",
    ]
    done = await node.run(*words, "--confirm")
    assert (done["imported"], done["members"], done["entries"]) == ("everything", 3, 2)
    [(deed, members)] = await node.ask(
        "SELECT deed, details::json ->> 'members' FROM act"
    )
    assert (deed, members) == ("moved-in", "3")
    assert await node.balances() == {"marie": -30, "bob": 20, "oud": 0, "fund": 10}
    entries = await node.ask(
        "SELECT sequence, kind, at::text, convert_from(line, 'UTF8')::json ->> 'memo'"
        "  FROM entry JOIN content USING (content_id) ORDER BY sequence"
    )
    at = "2020-02-03 04:05:06+00"
    assert entries == [
        (1, "history", at, "eieren & brood"),
        (2, "history", at, "GENT: naar Gent"),
    ]
    connection = await asyncpg.connect(node.url)
    try:
        lines = await ledger_store.read_page(
            connection, "marie", ledger_store.NEWEST, 10
        )
    finally:
        await connection.close()
    shown = [entry_answer(line) for line in lines]
    assert [
        (one.payer, one.payee, one.name, one.memo, one.amount) for one in shown
    ] == [
        ("marie", "fund", "Marie", "GENT: naar Gent", -10),
        ("marie", "bob", "Marie", "eieren & brood", -20),
    ]
    limits = await node.ask(
        "SELECT account_id, floor, ceiling, frozen, closed, author FROM member_limit"
        " ORDER BY number"
    )
    assert limits == [
        ("marie", -400, 400, False, False, None),
        ("bob", -400, 400, False, False, None),
        ("oud", -400, 400, False, True, None),
    ]
    answer = await audited(OOSTENDE, node.url)
    assert answer.is_sound, answer.findings


async def test_a_group_comes_from_elas_with_opening_balances(node: Node) -> None:
    users = elas_users([elas_user("A1", "An"), elas_user("B2", "Bo")])
    # Without an end of its last line, as an editor may leave it.
    saldi = node.file("saldi.csv", "letscode,saldo\nA1,-25\nB2,20")
    words = ("import", node.file("users.csv", users), "--balances", saldi, "--confirm")
    told = "users.csv: found balances of members that come to -5; expected 0"
    await node.refuse(DATA, told, *words)
    assert await node.is_empty()
    await node.run(*words, "--difference-to-fund")
    assert await node.balances() == {"a1": -25, "b2": 20, "fund": 5}
    assert await node.ask("SELECT sequence, kind, reason FROM entry") == [
        (1, "opening", None)
    ]
    assert (await audited(OOSTENDE, node.url)).is_sound


async def test_the_same_files_again_change_nothing_and_say_so(node: Node) -> None:
    users = elas_users([elas_user("A1", "An"), elas_user("B2", "Bo")])
    past = elas_transactions([(AT, "A1", "B2", 5, "x")])
    words = (
        *("import", node.file("users.csv", users)),
        *("--transactions", node.file("past.csv", past)),
    )
    await node.run(*words, "--confirm")
    before = await node.ask("SELECT * FROM posting ORDER BY account_id")
    for more in ((), ("--confirm",)):
        again = await node.run(*words, *more)
        assert again["imported"].startswith("nothing: a group was brought in here on 2")
        assert "2 members and 1 entries" in again["imported"]
    others = ("import", node.file("others.csv", users), "--without-balances")
    for more in ((), ("--confirm",)):
        await node.refuse(NO, "a group was brought in here on 2", *others, *more)
    assert await node.ask("SELECT * FROM posting ORDER BY account_id") == before


async def test_a_member_who_is_there_already_is_not_taken_for_another(
    node: Node,
) -> None:
    text = "account,name,password,floor,ceiling\na1,An Other,correct horse,,\n"
    await node.run("member", "import", node.file("members.csv", text))
    users = elas_users([elas_user("B2", "Bo"), elas_user("A1", "An")])
    words = ("import", node.file("users.csv", users), "--without-balances")
    for more in ((), ("--confirm",)):
        await node.refuse(NO, "the account a1 is there already", *words, *more)
    assert await node.balances() == {"a1": 0}


async def test_nobody_moves_in_to_a_ledger_that_has_entries(node: Node) -> None:
    users = elas_users([elas_user("A1", "An")])
    await node.ask(
        "INSERT INTO entry (sequence, entry_id, at, kind)"
        " VALUES (1, gen_random_uuid(), now(), 'by-hand')"
    )
    words = ("import", node.file("users.csv", users), "--without-balances")
    for more in ((), ("--confirm",)):
        await node.refuse(NO, "this ledger has entries already", *words, *more)
    assert await node.balances() == {}


async def test_one_wrong_row_of_many_imports_nothing(node: Node) -> None:
    users = [elas_user(f"M{n}", f"Member {n}") for n in range(200)]
    users[150]["status"] = "actief"
    file = node.file("users.csv", elas_users(users))
    words = ("import", file, "--without-balances", "--confirm")
    await node.refuse(DATA, "users.csv, line 152: found status 'actief'", *words)
    assert await node.is_empty()


async def test_members_get_links_in_a_file_that_only_the_treasurer_reads(
    node: Node,
) -> None:
    users = [
        elas_user("A1", "=HYPERLINK(1)"),
        elas_user("B2", "Bo"),
        elas_user("C3", "Gone", status=0),
    ]
    file = node.file("users.csv", elas_users(users))
    links = node.folder / "links.csv"
    words = ("import", file, "--without-balances", "--sign-ins", links)
    await node.run(*words)
    assert not links.exists()
    done = await node.run(*words, "--confirm")
    assert done["sign_ins"] == 2
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    # With the mark by which spreadsheets read names rightly, as in every export.
    header, an, bo = links.read_text(encoding="utf-8-sig").splitlines()
    assert links.read_bytes().startswith(b"\xef\xbb\xbf")
    assert "earlier_links" not in done
    assert header == "account,name,sign_in,until"
    assert an.startswith("a1,'=HYPERLINK(1),http://oostende.example/welcome#")
    code = bo.split(",")[2].partition("#")[2]
    connection = await asyncpg.connect(node.url)
    try:
        spent = await access_store.spend_once(connection, code, Clock().now())
        assert spent is not None
        person, scopes = spent
        assert scopes == {"pay", "read"}
        await access_store.new_token(connection, person, scopes, Clock().now())
    finally:
        await connection.close()
    # The file is never written over; who has signed in gets no other link.
    await node.refuse(DATA, "is there already", *words, "--confirm")
    await node.refuse(DATA, "cannot be made anew", "member", "sign-ins", links)
    again = await node.run("member", "sign-ins", node.folder / "again.csv")
    assert again["sign_ins"] == 1
    assert again["earlier_links"].startswith("1, made before")
    assert (node.folder / "again.csv").read_text().splitlines()[1].startswith("a1,")


async def test_whoever_watches_sees_how_far_it_is(node: Node) -> None:
    file = node.file("db.zip", village())
    words = ("import", file, "--difference-to-fund", "--confirm")
    seen = await node.watch(*words)
    told = [line[28:].strip() for line in seen.split("\r") if line.startswith("[")]
    assert told == [
        "reading transactions.csv",
        "comparing payments and balances",
        "booking",
        "writing",
    ]
    assert seen.endswith("\r"), "the line is given back"


async def test_while_the_node_serves_a_group_is_looked_at_and_not_brought_in(
    node: Node,
) -> None:
    users = elas_users([elas_user("A1", "An")])
    words = ("import", node.file("users.csv", users), "--without-balances")
    database = await Database.open(DatabaseSettings(url=node.url))
    serving = await database.become_clerk()
    try:
        told = await node.run(*words)
        assert told["imported"] == "nothing yet; for all of it add --confirm"
        await node.refuse(TRY_AGAIN, "stop it first", *words, "--confirm")
    finally:
        await serving.close()
        await database.close()
    assert await node.is_empty()
    assert (await node.run(*words, "--confirm"))["members"] == 1


@pytest.mark.slow
async def test_a_large_group_with_its_whole_past_moves_in_within_two_minutes(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    members, many = 10_000, 500_000
    draw = random.Random(1)
    balances = [0] * members
    past = []
    for number in range(many):
        payer, payee = draw.sample(range(members), 2)
        amount = draw.randint(1, 40)
        balances[payer] -= amount
        balances[payee] += amount
        at = f"{2010 + number * 15 // many}-{1 + number % 12:02}-07 10:11:12.345678"
        past.append((at, payer, payee, amount, f"dienst {number}"))
    users = [
        eland_user(
            n, f"L{n:05}", f"Lid {n}", saldo=balances[n], minlimit=None, maxlimit=None
        )
        for n in range(members)
    ]
    file = node.file("db.zip", zipped(eland_tables(users, past, is_new=True)))
    clock = Clock()
    began = clock.monotonic_s()
    words = ("-m", "nodes", "import", file, "--config", node.settings, "--confirm")
    process = await asyncio.create_subprocess_exec(sys.executable, *map(str, words))
    assert await process.wait() == 0
    took_s = clock.monotonic_s() - began
    mebibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    with capsys.disabled():
        print(
            f"\n{members:,} members and {many:,} transactions: {took_s:.1f} s, "
            f"at most {mebibytes} MiB"
        )
    expected = {f"l{n:05}": balance for n, balance in enumerate(balances)}
    assert await node.balances() == expected | {"fund": 0}
    answer = await audited(OOSTENDE, node.url)
    assert answer.is_sound, answer.findings[:3]
    assert took_s < 120
