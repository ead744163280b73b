"""kill -9 around every step by which a cycle ends, is agreed to, disputed and settled.

The steps and the table of kills are those of ``test_kill``, which also says that each
step is tried. One cycle leads through several steps, so that a run stays short.
"""

from typing import Any

import asyncpg
import pytest

from protocol.steps import Step
from tests.federation import kills
from tests.federation.conftest import Databases
from tests.federation.kills import AFTER, BEFORE_AND_AFTER
from tests.federation.servers import Server, wait_for
from tests.federation.world import Federation

#: Who dies at which step here.
TRIED = [
    *((Step.CLOSE, "hub"), (Step.CYCLE, "oostende"), (Step.STATEMENT, "oostende")),
    *((Step.AGREE, "oostende"), (Step.AGREED, "hub"), (Step.SETTLE, "hub")),
    *((Step.LEG, "group's node"), (Step.SIGN, "group's node"), (Step.SIGNED, "hub")),
    *((Step.SETTLED, "hub"), (Step.LEG_SETTLED, "group's node"), (Step.VOID, "hub")),
    *((Step.LEG_VOID, "group's node"), (Step.DISPUTE, "oostende")),
    *((Step.DISPUTED, "hub"), (Step.MOVES, "hub"), (Step.MOVES, "oostende")),
    *((Step.TELL_SHARES, "hub"), (Step.SHARES_TOLD, "group's node")),
    *((Step.SHARE, "hub"), (Step.SHARED, "group's node")),
]
AGAIN = 75


@pytest.fixture(autouse=True)
def audited(federation: Federation) -> None:
    federation.wait_compared()


def wait_killed(server: Server, step: Step, when: str) -> None:
    """Wait until a server has died at its step, and let it lie."""
    assert server.kill_at == f"{step}:{when}"
    server.wait_killed(within_s=40)
    kills.note(step, when, "hub" if server.name == "hub" else "group's node")


def see_killed(server: Server, step: Step, when: str, *, kill_at: str = "") -> None:
    """Wait until a server has died at its step; start it, perhaps for the next."""
    wait_killed(server, step, when)
    server.start(kill_at=kill_at)


def command(server: Server, step: Step, when: str, *words: str) -> None:
    """Order what a server dies of; it is ordered again if nothing came of it."""
    assert server.command(*words).returncode == AGAIN
    see_killed(server, step, when)
    server.wait_ready()
    if when == "before":
        server.run(*words)


def shown(federation: Federation, cycle: int) -> dict[str, Any]:
    told: dict[str, Any] = federation.hub.run("cycle", "show", str(cycle))
    return told


def wait_agreed(federation: Federation, cycle: int) -> dict[str, Any]:
    """Wait until every group has agreed, and give the cycle as it is shown."""

    def have_agreed() -> bool:
        told = shown(federation, cycle)
        return bool(told["agreed"] == told["groups"])

    federation.wait_compared()
    wait_for(have_agreed, "all to agree", 30)
    return shown(federation, cycle)


def pay(federation: Federation) -> None:
    """Let someone pay, so that positions are not all zero."""
    ended = federation.end_of(federation.pay("rik@oostende", "tom@mechelen", 2))
    assert ended["state"] == "cleared"
    federation.wait_quiet()


def open_cycle(federation: Federation) -> int:
    found: int = federation.hub.run("cycle", "list")["open"]
    return found


@BEFORE_AND_AFTER
@pytest.mark.parametrize("step", [Step.CYCLE, Step.STATEMENT])
def test_killed_while_a_cycle_ends(
    federation: Federation, step: Step, when: str
) -> None:
    pay(federation)
    hub, oostende = federation.hub, federation.server("oostende")
    cycle = open_cycle(federation)
    # No cycle ends before every group has compared.
    oostende.restart(kill_at=f"{step}:{when}")
    hub.restart(kill_at=f"{Step.CLOSE}:{when}")
    federation.wait_compared()
    assert hub.command("cycle", "close", str(cycle)).returncode == AGAIN
    see_killed(hub, Step.CLOSE, when)
    if when == "before":
        federation.wait_compared()
        hub.run("cycle", "close", str(cycle))
    see_killed(oostende, step, when, kill_at=f"{Step.AGREE}:{when}")
    wait_killed(oostende, Step.AGREE, when)
    # Whoever else has agreed by now: Oostende's word is still to come.
    hub.restart(kill_at=f"{Step.AGREED}:{when}")
    oostende.start()
    see_killed(hub, Step.AGREED, when)
    wait_agreed(federation, cycle)
    federation.audit()


def closed(federation: Federation) -> tuple[int, str]:
    """End a cycle that all agree to; gives it, and who owes most."""
    pay(federation)
    cycle = open_cycle(federation)
    federation.hub.run("cycle", "close", str(cycle))
    told = wait_agreed(federation, cycle)
    least = min(told["groups_stated"], key=lambda one: one["closing"])
    assert least["closing"] < 0
    return cycle, least["group"]


def leg_of(federation: Federation, cycle: int, group: str) -> dict[str, Any]:
    legs: list[dict[str, Any]] = shown(federation, cycle)["legs"]
    return next(
        leg for leg in legs if leg["state"] == "open" and leg["debtor"] == group
    )


def wait_known(server: Server, leg: str) -> None:
    def is_known() -> bool:
        legs = server.run("cycle", "legs")["legs"]
        return leg in {one["id"] for one in legs}

    wait_for(is_known, "the leg to arrive", 20)


@BEFORE_AND_AFTER
def test_killed_while_a_leg_is_settled(federation: Federation, when: str) -> None:
    cycle, group = closed(federation)
    hub, debtor = federation.hub, federation.server(group)
    debtor.kill()
    hub.restart(kill_at=f"{Step.SETTLE}:{when}")
    hub.wait_ready()
    command(hub, Step.SETTLE, when, "cycle", "settle", str(cycle))
    leg = leg_of(federation, cycle, group)
    creditor, reason = federation.server(leg["creditor"]), ("--reason", "by bank")
    debtor.start(kill_at=f"{Step.LEG}:{when}")
    see_killed(debtor, Step.LEG, when)
    debtor.wait_ready()
    wait_known(debtor, leg["id"])
    debtor.restart(kill_at=f"{Step.SIGN}:{when}")
    debtor.wait_ready()
    hub.kill()
    command(debtor, Step.SIGN, when, "cycle", "paid", leg["id"], *reason)
    hub.start(kill_at=f"{Step.SIGNED}:{when}")
    see_killed(hub, Step.SIGNED, when, kill_at=f"{Step.SETTLED}:{when}")
    hub.wait_ready()
    federation.wait_compared()
    wait_known(creditor, leg["id"])
    creditor.run("cycle", "received", leg["id"], *reason)
    hub.wait_killed()
    creditor.restart(kill_at=f"{Step.LEG_SETTLED}:{when}")
    see_killed(hub, Step.SETTLED, when)
    see_killed(creditor, Step.LEG_SETTLED, when)
    federation.wait_compared()
    for other in shown(federation, cycle)["legs"]:
        if other["state"] == "open":
            hub.run("cycle", "cancel", other["id"])
    federation.audit()
    [ended] = [
        one for one in shown(federation, cycle)["legs"] if one["id"] == leg["id"]
    ]
    assert ended["state"] == "settled"


@AFTER
def test_killed_while_a_leg_is_called_off(federation: Federation, when: str) -> None:
    cycle, group = closed(federation)
    hub, debtor = federation.hub, federation.server(group)
    federation.hub.run("cycle", "settle", str(cycle))
    leg = leg_of(federation, cycle, group)
    wait_known(debtor, leg["id"])
    # No leg is called off before both its groups have compared.
    debtor.restart(kill_at=f"{Step.LEG_VOID}:{when}")
    hub.restart(kill_at=f"{Step.VOID}:{when}")
    federation.wait_compared()
    assert hub.command("cycle", "cancel", leg["id"]).returncode == AGAIN
    see_killed(hub, Step.VOID, when)
    if when == "before":
        federation.wait_compared()
        hub.run("cycle", "cancel", leg["id"])
    see_killed(debtor, Step.LEG_VOID, when)
    federation.wait_compared()
    for other in shown(federation, cycle)["legs"]:
        if other["state"] == "open":
            hub.run("cycle", "cancel", other["id"])
    federation.audit()


def position(federation: Federation, group: str) -> int:
    found: int = federation.groups()[group]["position"]
    return found


@AFTER
def test_killed_while_a_debt_is_shared(federation: Federation, when: str) -> None:
    pay(federation)
    if position(federation, "oostende") == 0:
        pay(federation)
    left = position(federation, "oostende")
    hub, node = federation.hub, federation.server("mechelen")
    before = position(federation, "mechelen"), position(federation, "aalst")
    hub.run("group", "freeze", "oostende")
    hub.restart(kill_at=f"{Step.TELL_SHARES}:{when}")
    node.restart(kill_at=f"{Step.SHARES_TOLD}:{when}")
    federation.wait_compared()
    words = ("group", "share-debt", "oostende")
    assert hub.command(*words, "--tell").returncode == AGAIN
    see_killed(hub, Step.TELL_SHARES, when)
    if when == "before":
        federation.wait_compared()
        hub.run(*words, "--tell")
    see_killed(node, Step.SHARES_TOLD, when)
    federation.wait_compared()
    told = hub.run("group", "sharing")["shared"][0]
    assert (told["state"], told["position"]) == ("told", left)
    assert (position(federation, "mechelen"), position(federation, "aalst")) == before

    def is_known() -> bool:
        shown = node.run("cycle", "shares")
        assert shown["agreed"]["rule"] == "equal"
        return bool(shown["shared"] and shown["shared"][0]["id"] == told["id"])

    wait_for(is_known, "the plan to arrive", 20)
    hub.restart(kill_at=f"{Step.SHARE}:{when}")
    node.restart(kill_at=f"{Step.SHARED}:{when}")
    federation.wait_compared()
    decide = (*words, "--decide", told["id"])
    # Two must agree on it: one admin's word alone moves nothing.
    hub.run("admin", "add", "@ann")
    asked = hub.run(*decide)
    assert (asked["state"], position(federation, "oostende")) == ("told", left)
    give = ("consent", "give", "--as", "@ann", str(asked["asked"]))
    assert hub.command(*give).returncode == AGAIN
    see_killed(hub, Step.SHARE, when)
    if when == "before":
        federation.wait_compared()
        hub.run(*give)
    hub.run("admin", "remove", "@ann")
    see_killed(node, Step.SHARED, when)
    federation.wait_compared()
    again = hub.command(*decide)
    assert (again.returncode, "decided already" in again.stderr) == (1, True)
    after = position(federation, "mechelen"), position(federation, "aalst")
    gained = [new - old for new, old in zip(after, before, strict=True)]
    assert (position(federation, "oostende"), sum(gained)) == (0, left)
    assert abs(gained[0] - gained[1]) <= 1
    hub.run("group", "release", "oostende")
    federation.audit()


async def _alter(connection: "asyncpg.Connection[Any]", more: int) -> None:
    """Let the newest posting on the clearing account say something else."""
    await connection.execute(
        "ALTER TABLE posting DISABLE TRIGGER USER;"
        f"UPDATE posting SET amount = amount + {more} WHERE account_id = 'clearing'"
        " AND sequence = (SELECT max(sequence) FROM posting"
        " WHERE account_id = 'clearing');"
        "ALTER TABLE posting ENABLE TRIGGER USER"
    )


@AFTER
def test_killed_while_a_cycle_is_disputed(
    federation: Federation, databases: Databases, when: str
) -> None:
    pay(federation)
    hub, oostende = federation.hub, federation.server("oostende")
    databases.run("oostende", _alter, 1)
    cycle = open_cycle(federation)
    hub.restart(kill_at=f"{Step.DISPUTED}:{when}")
    oostende.restart(kill_at=f"{Step.DISPUTE}:{when}")
    federation.wait_compared()
    hub.run("cycle", "close", str(cycle))
    see_killed(oostende, Step.DISPUTE, when, kill_at=f"{Step.MOVES}:{when}")
    see_killed(hub, Step.DISPUTED, when, kill_at=f"{Step.MOVES}:{when}")
    see_killed(hub, Step.MOVES, when)
    see_killed(oostende, Step.MOVES, when)
    federation.wait_compared()

    def is_named(server: Server) -> bool:
        told = server.run("cycle", "show", str(cycle))
        stated = told.get("groups_stated", [told])
        return any(one["difference"] for one in stated)

    wait_for(lambda: is_named(hub), "the hub to name the move", 30)
    wait_for(lambda: is_named(oostende), "the node to name the move", 30)
    [stated] = [
        one for one in shown(federation, cycle)["groups_stated"] if one["difference"]
    ]
    assert (stated["group"], stated["state"]) == ("oostende", "disputed")
    difference = stated["difference"]
    assert difference["nodes"]["amount"] == difference["hubs"]["amount"] - 1
    databases.run("oostende", _alter, -1)
    told = oostende.run("cycle", "check", str(cycle), "--reason", "put right")
    assert told["state"] == "agreed"
    wait_agreed(federation, cycle)
    forget_calls(federation)
    federation.audit()


def forget_calls(federation: Federation) -> None:
    """People were called, and rightly so: these lines are no surprise."""
    for server in federation.servers:
        if server.name in ("hub", "oostende"):
            federation._scanned[server.name] = len(server.log_lines())
