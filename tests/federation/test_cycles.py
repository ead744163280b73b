"""A cycle on real servers: closed, agreed to, settled, and closed no second time."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from protocol.cycle_file import verify_cycle_file
from protocol.messages import CycleAgree
from tests.federation.servers import wait_for
from tests.federation.world import Federation
from tests.nodes.test_camt053 import check as check_camt053
from tests.nodes.test_camt053 import shares

NO = 1


@pytest.fixture(autouse=True)
def compared(federation: Federation) -> None:
    federation.wait_compared()


def close(federation: Federation) -> dict[str, Any]:
    """End the open cycle, and wait until every group that is there has agreed."""
    opened = federation.hub.run("cycle", "list")["open"]
    closed = federation.hub.run("cycle", "close", str(opened))

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = federation.hub.run(
            "cycle", "show", str(closed["cycle"])
        )
        return found

    wait_for(lambda: shown()["agreed"] == shown()["groups"], "all to agree", 30)
    return shown()


def witnesses(federation: Federation, number: str, path: Path) -> set[str]:
    """Give the groups that have signed the log of a cycle's file, fetched anew."""
    path.unlink(missing_ok=True)
    federation.hub.run("cycle", "file", number, "--to", str(path))
    lines = verify_cycle_file(path.read_bytes(), None).lines
    return {group for group, line in lines.items() if line.is_witness}


def positions(federation: Federation) -> dict[str, int]:
    return {name: found["position"] for name, found in federation.groups().items()}


def see_wrong_exceptions_refused(
    federation: Federation, number: str, every: str
) -> None:
    for names, why in (("nobody", "cannot be an exception"), (every, "nobody owes")):
        command = federation.hub.command("cycle", "settle", number, "--except", names)
        assert (command.returncode, why in command.stderr) == (NO, True)


def see_settled(federation: Federation, number: str, before: dict[str, int]) -> None:
    """The cycle shows that every position of its vector came to its target."""
    shown = federation.hub.run("cycle", "show", number)
    assert (shown["is_settled"], shown["legs_late"]) == (True, 0)
    assert [plan["excepted"] for plan in shown["plans"]] == [[]]
    stands = {one["group"]: one for one in shown["positions"]}
    assert {name: stands[name]["closing"] for name in before} == before
    assert {one["now"] for one in stands.values()} == {0}
    assert {one["target"] for one in stands.values()} == {0}


def test_a_cycle_is_closed_agreed_to_and_settled_by_command(
    federation: Federation, tmp_path: Path
) -> None:
    # A cycle of its own, without what other tests have settled.
    close(federation)
    for payer, payee in (
        ("rik@oostende", "tom@mechelen"),
        ("tom@mechelen", "rik@oostende"),
        ("rik@oostende", "tom@mechelen"),
    ):
        federation.end_of(federation.pay(payer, payee, 2))
    before = positions(federation)
    told = close(federation)
    assert {one["group"]: one["closing"] for one in told["groups_stated"]} == before
    number = str(told["cycle"])
    again = federation.hub.command("cycle", "close", number)
    assert (again.returncode, "has ended already" in again.stderr) == (NO, True)
    node = federation.server("oostende")
    assert node.run("cycle", "show", number)["state"] == "agreed"
    # As a bank statement, it ends where the hub says that it does.
    proved = node.run("cycle", "proof", number)
    assert (proved["verdict"], proved["agreed"]) == ("proved", proved["groups"])
    proof = tmp_path / "proof.json"
    node.run("cycle", "proof", number, "--to", str(proof))
    found = verify_cycle_file(proof.read_bytes(), None)
    assert (str(found.decision.cycle), found.lines.keys()) == (number, before.keys())
    written = tmp_path / "cycle.xml"
    to = ("--to", str(written))
    node.run("cycle", "statement", number, "--format", "camt053", *to)
    nowhere = tmp_path / "none.csv"
    refused = node.command("cycle", "statement", "999999", "--to", str(nowhere))
    assert refused.returncode == NO and not nowhere.exists()
    assert written.stat().st_mode & 0o077 == 0
    root = ElementTree.parse(written).getroot()
    check_camt053(root)
    space = root.tag.removesuffix("Document")
    _, closing_balance = (shares(one) for one in root.iter(f"{space}Bal"))
    # A share is 36 ms, halves up.
    assert closing_balance == (before["oostende"] + 18) // 36
    assert len(list(root.iter(f"{space}Ntry"))) == 3
    # Anyone can check it with nothing but the file.
    path = tmp_path / "cycle.json"
    federation.hub.run("cycle", "file", number, "--to", str(path))
    proven = verify_cycle_file(path.read_bytes(), None)
    assert proven.decision.cycle == told["cycle"]
    closing = {name: proven.positions[name] for name in before}
    assert closing == before
    answers = {type(line.answer) for line in proven.lines.values()}
    assert answers == {CycleAgree}
    wait_for(
        lambda: witnesses(federation, number, path) == set(before),
        "every group to sign the log that has the cycle's end",
        30,
    )

    see_wrong_exceptions_refused(federation, number, ",".join(before))
    legs = federation.hub.run("cycle", "settle", number)["legs"]
    assert all(leg["lacks"] == [leg["debtor"], leg["creditor"]] for leg in legs)
    refused = federation.hub.command("cycle", "settle", number)
    assert (refused.returncode, "still wait" in refused.stderr) == (NO, True)
    for leg in legs:
        for party, word, other in (
            ("debtor", "paid", "received"),
            ("creditor", "received", "paid"),
        ):
            server, signed = federation.server(leg[party]), "by bank"

            def listed(server: Any = server, leg: Any = leg) -> bool:
                found = server.run("cycle", "legs")["legs"]
                return leg["id"] in {one["id"] for one in found}

            wait_for(listed, "the leg to arrive", 20)
            wrong = server.command("cycle", other, leg["id"], "--reason", signed)
            assert wrong.returncode == NO
            server.run("cycle", word, leg["id"], "--reason", signed)
            twice = server.command("cycle", word, leg["id"], "--reason", signed)
            assert twice.returncode == NO

    def is_settled() -> bool:
        found = federation.hub.run("cycle", "show", number)["legs"]
        return {leg["state"] for leg in found} == {"settled"}

    wait_for(is_settled, "the hub to decide", 20)
    see_settled(federation, number, before)
    assert set(positions(federation).values()) == {0}
    federation.audit()
    told = federation.server("oostende").run("position")
    assert (told["position"], told["by_decisions"], told["agrees"]) == (0, 0, True)

    status, text = federation.admin.ask("GET", f"/api/v1/cycles/{number}/statements")
    assert status == 200
    assert [one["group"] for one in text["statements"]] == sorted(before)
    netting = federation.admin.get(f"/api/v1/cycles/{number}/netting")
    assert netting["savings"]["gross"]["payments"] >= 3
    net = dict.fromkeys(before, 0)
    for flow in netting["flows"]:
        net[flow["payer_group"]] -= flow["milliseconds"]
        net[flow["payee_group"]] += flow["milliseconds"]
    stated = {one["group"]: one for one in text["statements"]}
    for group, gained in net.items():
        assert stated[group]["closing"] - stated[group]["opening"] == gained
    # The legs are moves of the next cycle, which all agree to as well.
    told = close(federation)
    assert {one["closing"] for one in told["groups_stated"]} == {0}
    # Who signed the log that has its end stays in its file, whatever was signed since.
    assert witnesses(federation, number, path) == set(before)
    told_of_all = federation.hub.run("cycle", "list")
    assert told_of_all["open"] == told["cycle"] + 1
    assert [one["cycle"] for one in told_of_all["cycles"]][:2] == [
        told["cycle"],
        int(number),
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/cycles/0", 404),
        ("GET", "/api/v1/cycles/01", 404),
        ("GET", "/api/v1/cycles/9007199254740992", 404),
        ("GET", "/api/v1/cycles/99999999999999999999", 404),
        ("GET", "/api/v1/cycles/x/statements", 404),
        ("GET", "/api/v1/cycles?page_size=0", 400),
        ("POST", "/api/v1/cycles/999999/close", 409),
        ("POST", "/api/v1/cycles/999999/settle", 409),
        ("GET", "/api/v1/cycles/999999/standing", 404),
        ("GET", "/api/v1/cycles/x/standing", 404),
        ("POST", "/api/v1/legs/none/cancel", 404),
        ("GET", "/api/v1/groups/oostende/shares", 400),
        ("GET", "/api/v1/groups/oostende/shares?rule=fair", 400),
        ("GET", "/api/v1/groups/oostende/shares?rule=equal", 409),
        ("GET", "/api/v1/groups/nobody/shares?rule=equal", 404),
        ("POST", "/api/v1/legs/2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10/cancel", 404),
    ],
)
def test_what_cannot_be_is_refused(
    federation: Federation, method: str, path: str, status: int
) -> None:
    assert federation.admin.ask(method, path)[0] == status


@pytest.mark.parametrize(
    "body",
    [
        *({"excepted": "gent"}, {"excepted": None}, {"excepted": [1]}, {"except": []}),
        *({"excepted": ["Gent"]}, {"excepted": [""]}, {"excepted": ["a" * 33]}),
        *([], "gent", {"excepted": [], "more": 1}, {"excepted": {"gent": 1}}),
    ],
)
def test_exceptions_that_are_no_names_are_refused(
    federation: Federation, body: object
) -> None:
    path = "/api/v1/cycles/1/settle"
    assert federation.admin.ask("POST", path, body)[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/group/cycles/999999", None, 404),
        ("GET", "/api/v1/group/cycles/x", None, 404),
        ("POST", "/api/v1/group/cycles/999999/check", {"reason": "so"}, 404),
        ("POST", "/api/v1/group/cycles/1/check", {"reason": " "}, 400),
        ("POST", "/api/v1/group/legs/x/paid", {"reason": "so"}, 404),
        (
            "POST",
            "/api/v1/group/legs/2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10/paid",
            {"reason": "so"},
            404,
        ),
        ("POST", "/api/v1/group/legs/x/received", {"reason": "so", "more": 1}, 404),
    ],
)
def test_what_cannot_be_is_refused_at_a_node(
    federation: Federation, method: str, path: str, body: object, status: int
) -> None:
    treasurer = federation.nodes["oostende"].treasurer
    assert treasurer is not None
    assert treasurer.ask(method, path, body)[0] == status
