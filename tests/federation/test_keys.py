"""A group changes its keys and loses them, beside real servers that go on."""

import json
import pathlib
from typing import Any

import pytest

from protocol import __main__ as verifier
from tests.federation.servers import wait_for
from tests.federation.world import Federation

NO = 1


@pytest.fixture(autouse=True)
def compared(federation: Federation) -> None:
    federation.wait_compared()


def keys(federation: Federation, version: int) -> dict[str, Any]:
    """Aalst's keys, as soon as its entry has a version."""
    server = federation.server("aalst")
    desk = federation.nodes["aalst"].treasurer
    assert desk is not None

    def is_so() -> bool:
        told = desk.ask_surely("GET", "/api/v1/group/own-keys").told
        return bool(told["version"] == version)

    wait_for(is_so, f"version {version} of the entry", 60)
    return server.run("keys", "show")


def test_a_treasurer_changes_the_keys_and_later_loses_them(
    federation: Federation,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, desk = federation.server("aalst"), federation.nodes["aalst"].treasurer
    assert desk is not None
    version = desk.get("/api/v1/group/own-keys")["version"]
    first = server.run("keys", "show")
    before = federation.pay("els@aalst", "tom@mechelen", 3)
    assert federation.end_of(before)["state"] == "cleared"
    told = server.run("keys", "change", "--reason", "Jan looks after it no more")
    assert (told["state"], told["signing_now"]) == ("waiting", first["signing"])
    second = keys(federation, version + 1)
    assert second["signing"] == told["signing_new"] != first["signing"]
    assert second["files"] == "the same keys"
    assert second["digits"] != first["digits"]
    between = federation.pay("rik@oostende", "els@aalst", 3)
    assert federation.end_of(between)["state"] == "cleared"

    # Beside a running server nobody types a sheet.
    words = ("keys", "recover", "--reason", "the disk broke")
    sheet = federation.nodes["aalst"].sheet
    running = server.command(*words, given=sheet)
    assert running.returncode != 0 and "stop it first" in running.stderr
    server.stop()
    for file in (server.config.parent / "data" / "keys").glob("*.key"):
        file.unlink()
    other = federation.nodes["mechelen"].sheet
    wrong = server.command(*words, given=other)
    assert wrong.returncode == NO and "not the recovery sheet" in wrong.stderr
    assert server.run(*words, given=sheet)["state"] == "waiting"
    server.start()
    server.wait_ready()
    third = keys(federation, version + 2)
    assert third["signing"] not in (first["signing"], second["signing"])
    federation.wait_compared()
    after = federation.pay("els@aalst", "tom@mechelen", 3)
    assert federation.end_of(after)["state"] == "cleared"
    for ordered in (before, between, after):
        path = f"/api/v1/transfers/{ordered.transfer_id}/receipt"
        receipt = ordered.payer.ask_surely("GET", path, within_s=30)
        assert receipt.status == 200, receipt
        file = tmp_path / "receipt.json"
        told_of = json.dumps(receipt.told, ensure_ascii=False, separators=(",", ":"))
        file.write_text(told_of, encoding="utf-8")
        assert verifier.main([str(file)]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("Genuine."), shown
        # By now two keys of the three have been replaced.
        assert ("former key" in shown) is (ordered is not after), shown
    server.run("audit")
    federation.audit()


def test_a_frozen_group_types_its_sheet_and_a_spoilt_file_is_named(
    federation: Federation,
) -> None:
    server, node = federation.server("aalst"), federation.nodes["aalst"]
    assert node.treasurer is not None
    version = node.treasurer.get("/api/v1/group/own-keys")["version"]
    checked = server.run("keys", "check", given=node.sheet)
    assert checked["sheet"].startswith("yes")
    folder = server.config.parent / "data" / "keys"
    words = ("keys", "recover", "--reason", "somebody copied the disk")
    assert federation.hub.run("group", "freeze", "aalst")["state"] == "frozen"
    server.stop()
    before = set(folder.glob("signing-*.key"))
    assert server.run(*words, given=node.sheet)["version"] == version + 1
    [file] = set(folder.glob("signing-*.key")) - before
    server.start()
    first = keys(federation, version + 1)
    # A file that a key of today stands in stops the start, and is named.
    server.stop()
    file.write_text("half of a k")
    refused = server.command("serve")
    assert refused.returncode == NO
    assert file.name in refused.stderr and "keys recover" in refused.stderr
    assert server.run(*words, given=node.sheet)["version"] == version + 2
    server.start()
    second = keys(federation, version + 2)
    assert second["files"] == first["files"] == "the same keys"
    assert second["signing"] != first["signing"]
    # By now it is a former key's: it is passed over.
    server.restart()
    server.wait_ready()
    told = [line for line in server.log_lines() if file.name in line]
    assert told and "former key" in told[-1]
    assert federation.hub.run("group", "release", "aalst")["state"] == "active"
    federation.wait_compared()
    paid = federation.pay("els@aalst", "tom@mechelen", 3)
    assert federation.end_of(paid)["state"] == "cleared"
    file.unlink()
    federation.audit()
