"""Real servers backed up while people pay, stopped, and restored on new databases.

This federation is its own, since a server that was restored from an old backup stays
as it is: nobody else could go on with it.
"""

import contextlib
import itertools
import json
import pathlib
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from protocol.steps import Step
from tests.federation import kills
from tests.federation.callers import AwayError, Caller
from tests.federation.conftest import Databases
from tests.federation.servers import Server, wait_for
from tests.federation.world import Federation, Node

numbers = itertools.count()
PASSPHRASE = "een lange zin van mij"


@pytest.fixture(scope="module")
def own(postgres_server: str) -> Iterator[tuple[Federation, Databases, pathlib.Path]]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="interlets-backup-"))
    databases = Databases(postgres_server, folder)
    (folder / "servers").mkdir()
    federation = Federation(folder / "servers", databases)
    try:
        federation.found()
        yield federation, databases, folder
    finally:
        federation.close()
        databases.drop()
        shutil.rmtree(folder, ignore_errors=True)


def back_up(server: Server, path: pathlib.Path) -> dict[str, Any]:
    told = server.run("backup", str(path), "--passphrase-file", "-", given=PASSPHRASE)
    assert told["proved"].startswith("restored and audited, ")
    return told


def restore(server: Server, path: pathlib.Path) -> dict[str, Any]:
    return server.run("restore", str(path), "--passphrase-file", "-", given=PASSPHRASE)


def move(
    server: Server, database: tuple[str, pathlib.Path], data: pathlib.Path
) -> None:
    """Let a server's settings name another database and folder."""
    url, password_file = database
    text = server.config.read_text()
    for name, value in (("url", url), ("password_file", password_file), ("data", data)):
        line = f"{name} = {json.dumps(str(value))}"
        text = re.sub(rf"(?m)^{name} = .*$", line, text)
    server.config.write_text(text)


def sign_in_anew(federation: Federation, node: Node) -> None:
    federation.sign_in(node, node.group.members)
    link = node.server.run("sign-in")["sign_in"]
    answer = Caller(node.server.port).ask(
        "POST", "/api/v1/tokens", {"code": link.partition("#")[2]}
    )
    assert answer.status == 201
    node.treasurer = Caller(node.server.port, answer.told["token"])


def compare_all(federation: Federation) -> None:
    federation.wait_quiet()
    federation._compare_histories()
    federation._hear_auditors()


def test_a_server_moves_while_people_pay(
    own: tuple[Federation, Databases, pathlib.Path],
) -> None:
    federation, databases, folder = own
    node = federation.nodes["oostende"]
    stop = threading.Event()

    def pay_on() -> None:
        while not stop.is_set():
            federation.pay("rik@oostende", "tom@mechelen", 1)
            federation.pay("tom@mechelen", "rik@oostende", 1)

    paying = threading.Thread(target=pay_on)
    paying.start()
    try:
        old = back_up(node.server, folder / "old.backup")
        assert old["server"] == "oostende"
    finally:
        stop.set()
        paying.join()
    for ordered in federation.history:
        federation.end_of(ordered)
    compare_all(federation)

    node.server.stop()
    newest = back_up(node.server, folder / "newest.backup")
    assert newest["rows"] > old["rows"]
    second = (databases["oostende second"], folder / "second")
    move(node.server, *second)
    restored = restore(node.server, folder / "newest.backup")
    assert restored["rows"] == newest["rows"]
    node.server.start()
    federation.wait_ready()
    assert node.members["rik"].ask("GET", "/api/v1/account").status == 401
    sign_in_anew(federation, node)
    federation.wait_compared()
    ordered = federation.pay("rik@oostende", "tom@mechelen", 2)
    assert federation.end_of(ordered)["state"] == "cleared"
    compare_all(federation)

    # Back to an older state: nobody is paid, and nothing is lost by it.
    node.server.stop()
    move(node.server, databases["oostende third"], folder / "third")
    restore(node.server, folder / "old.backup")
    node.server.start()
    wait_for(lambda: is_behind(node.server), "the node to find out", 20)
    federation.sign_in(node, ["rik"])
    rik = node.members["rik"]
    assert rik.ask("GET", "/api/v1/account").status == 200
    for to in ("tom@mechelen", "marie@oostende"):
        answer = rik.ask(
            "POST",
            "/api/v1/transfers",
            {"to": to, "payee_amount": 1, "payer_amount_max": 9, "memo": ""},
            headers={"Idempotency-Key": f"to-{to}", "Accept-Language": "nl"},
        )
        assert answer.status == 503, answer
        assert answer.told["code"] == "server-restored"
        assert "reservekopie" in answer.told["detail"]
    others = federation.pay("tom@mechelen", "leo@aalst", 1)
    assert federation.end_of(others)["state"] == "cleared"
    assert is_behind(node.server)
    position = node.server.run("position")
    assert (position["agrees"], position["waits_for"]) == (
        None,
        {"hub": "we-are-behind"},
    )
    # The hub says so where its admin looks, and whoever pays now hears it at once.
    groups = federation.hub.run("group", "list")
    assert groups["oostende"]["link"] == "frozen: peer-is-behind"
    assert "link" not in groups["mechelen"]
    to_them = federation.pay("tom@mechelen", "rik@oostende", 1)
    assert federation.end_of(to_them, within_s=5)["code"] == "group-frozen"

    # The newer database is found: back to it, as docs/operating.md says.
    node.server.stop()
    federation.hub.stop()
    databases.run("hub", forget_trouble)
    move(node.server, *second)
    federation.hub.start()
    node.server.start()
    federation.wait_compared()
    sign_in_anew(federation, node)
    compare_all(federation)


async def forget_trouble(connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE link SET trouble = NULL WHERE peer = 'oostende'")


def waits_for(server: Server) -> dict[str, str]:
    """Whom a restored server waits for; nobody, while it does not listen yet."""
    assert server.is_running, server.log_lines()[-5:]
    with contextlib.suppress(AwayError):
        told: dict[str, str] = (
            Caller(server.port).ask("GET", "/readyz").told.get("waits_for", {})
        )
        return told
    return {}


def is_behind(server: Server) -> bool:
    return waits_for(server) == {"hub": "we-are-behind"}


def test_the_hub_moves_and_payments_go_on(
    own: tuple[Federation, Databases, pathlib.Path],
) -> None:
    federation, databases, folder = own
    hub = federation.hub
    hub.stop()
    back_up(hub, folder / "hub.backup")
    move(hub, databases["hub second"], folder / "hub second")
    restore(hub, folder / "hub.backup")
    hub.start()
    federation.wait_ready()
    link = hub.run("sign-in")["sign_in"]
    answer = Caller(hub.port).ask(
        "POST", "/api/v1/tokens", {"code": link.partition("#")[2]}
    )
    federation.admin = Caller(hub.port, answer.told["token"])
    federation.wait_compared()
    ordered = federation.pay("rik@oostende", "tom@mechelen", 3)
    assert federation.end_of(ordered)["state"] == "cleared"
    compare_all(federation)
    told = federation.admin.get("/api/v1/alarms")["alarms"]
    assert "has compared with aalst, mechelen, oostende" in told[0]["told"]
    assert told[0]["about"] == "restored"
    assert told[0]["advice"]


def test_a_hub_from_an_old_backup_stands_still_until_the_newer_one_is_found(
    own: tuple[Federation, Databases, pathlib.Path],
) -> None:
    federation, databases, folder = own
    hub, before = federation.hub, len(federation.history)
    newest = hub.config.read_text()
    hub.stop()
    move(hub, databases["hub third"], folder / "hub third")
    restore(hub, folder / "hub.backup")
    hub.start()
    wait_for(lambda: "we-are-behind" in waits_for(hub).values(), "it to find out", 30)
    rik = federation.member("rik@oostende")
    body = {"to": "tom@mechelen", "payee_amount": 1, "payer_amount_max": 9, "memo": ""}

    def is_refused() -> bool:
        key = {"Idempotency-Key": f"now-{next(numbers)}"}
        answer = rik.ask("POST", "/api/v1/transfers", body, headers=key)
        federation.note_taken("rik@oostende", answer.told)
        return answer.told.get("code") == "hub-unreachable"

    # Ten seconds are overdue; what was ordered before is decided by the newer one.
    wait_for(is_refused, "payments now to be refused", 20)
    hub.stop()
    hub.config.write_text(newest)
    hub.start()
    federation.wait_compared()
    ordered = federation.pay("tom@mechelen", "rik@oostende", 2)
    assert federation.end_of(ordered)["state"] == "cleared"
    for one in federation.history[before:]:
        federation.end_of(one, within_s=60)
    compare_all(federation)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_restores_and_while_it_goes_on(
    own: tuple[Federation, Databases, pathlib.Path], when: str
) -> None:
    federation, databases, folder = own
    node = federation.nodes["oostende"]
    file = folder / f"killed {when}.backup"
    node.server.stop()
    back_up(node.server, file)
    move(node.server, databases[f"killed {when}"], folder / f"killed {when}")
    words = ("restore", str(file), "--passphrase-file", "-")
    done = node.server.command(*words, given=PASSPHRASE, kill_at=f"restore:{when}")
    assert done.returncode == -signal.SIGKILL
    kills.note(Step.RESTORE, when, "command")
    again = node.server.command(*words, given=PASSPHRASE)
    # Killed after it, there is nothing left to do.
    assert again.returncode == (0 if when == "before" else 1), again.stderr
    node.server.start(kill_at=f"go-on:{when}")
    node.server.wait_killed()
    kills.note(Step.GO_ON, when, "payer's node")
    node.server.start()
    federation.wait_ready()
    sign_in_anew(federation, node)
    federation.wait_compared()
    ordered = federation.pay("rik@oostende", "tom@mechelen", 1)
    assert federation.end_of(ordered)["state"] == "cleared"
    compare_all(federation)


@pytest.mark.parametrize(
    ("words", "given", "code", "told"),
    [
        (("backup", "new"), "short", 65, "expected 12 or more"),
        (("backup", "there"), PASSPHRASE, 73, "is there already"),
        (("backup", "no/where"), PASSPHRASE, 73, "cannot be written"),
        (("restore", "nowhere"), PASSPHRASE, 65, "cannot be read"),
        (("restore", "there"), PASSPHRASE, 65, "is no backup"),
        (("restore", "hub.backup"), PASSPHRASE, 65, "made by clearing"),
        (("restore", "old.backup"), "another passphrase", 65, "passphrase is not"),
        (("restore", "old.backup"), PASSPHRASE, 75, "a server runs on this database"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    own: tuple[Federation, Databases, pathlib.Path],
    words: tuple[str, str],
    given: str,
    code: int,
    told: str,
) -> None:
    federation, _, folder = own
    (folder / "there").write_text("dear diary")
    verb, name = words
    done = federation.nodes["oostende"].server.command(
        verb, str(folder / name), "--passphrase-file", "-", given=given
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "new").exists()
