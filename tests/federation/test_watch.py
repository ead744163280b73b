"""Nodes prove the hub's log as it runs, between processes, across its deaths."""

import json
import pathlib
from functools import partial

import pytest

from protocol import __main__ as verifier
from tests.federation.servers import wait_for
from tests.federation.world import Federation


def has_proved(federation: Federation, group: str) -> bool:
    """Whether a node believes the log of the hub's present life."""
    treasurer = federation.nodes[group].treasurer
    assert treasurer is not None
    told = treasurer.get("/api/v1/group")
    assert told["doubted"] == []
    known = told["checkpoint"]
    newest = federation.hub.lives()[-1]
    return known is not None and known["log"] == newest


def test_the_log_is_proved_also_after_the_hub_was_killed(
    federation: Federation,
) -> None:
    for _ in range(2):
        federation.pay("marie@oostende", "bob@mechelen", 1)
        for group in ("oostende", "mechelen"):
            wait_for(partial(has_proved, federation, group), "a belief", 30)
        federation.hub.kill()
        federation.heal()
    # What tests of disputes altered by hand was called out, and stays in the list.
    alarms = federation.hub.run("alarms")["alarms"]
    assert {one["about"] for one in alarms} <= {"cycle", "limit"}
    node = federation.nodes["mechelen"].server
    alarms = node.run("alarms", "--most", "5")["alarms"]
    assert {one["about"] for one in alarms} <= {"limit"}
    assert node.run("doubts")["doubts"] == []
    # There is nobody to trust again.
    done = node.command("trust", "hub", "--reason", "we looked")
    assert done.returncode == 1
    assert "Nothing is doubted" in done.stderr


def test_payments_are_proved_while_the_hub_is_away(
    federation: Federation, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    paid = federation.pay("marie@oostende", "bob@mechelen", 1)
    assert federation.end_of(paid)["state"] == "cleared"
    refused = federation.pay("marie@oostende", "nobody@mechelen", 1)
    assert federation.end_of(refused)["state"] == "refused"
    kept = [f"/api/v1/transfers/{paid.transfer_id}/receipt"]
    kept.append(f"/api/v1/transfers/{refused.transfer_id}/refusal")
    # What came before it was checked by then, and a payee's node is no slower to.
    for member, path in (("marie@oostende", kept[1]), ("bob@mechelen", kept[0])):
        asked = federation.member(member).ask_surely("GET", path, within_s=30)
        assert asked.status == 200
    federation.hub.kill()
    try:
        for path in kept:
            answer = federation.member("marie@oostende").ask("GET", path)
            assert answer.status == 200
            file = tmp_path / "proof.json"
            told = json.dumps(answer.told, ensure_ascii=False, separators=(",", ":"))
            file.write_text(told, encoding="utf-8")
            assert verifier.main([str(file)]) == 0
            assert capsys.readouterr().out.startswith("Genuine.")
    finally:
        federation.heal()
