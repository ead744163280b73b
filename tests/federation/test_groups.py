"""Treasurer and regional admin at the command line, beside servers that run."""

import pytest

from tests.federation.servers import wait_for
from tests.federation.world import Federation

HOUR = 3_600_000
NO, DATA = 1, 65


@pytest.fixture(autouse=True)
def compared(federation: Federation) -> None:
    federation.wait_compared()


def test_a_group_is_frozen_released_and_limited_by_command(
    federation: Federation,
) -> None:
    hub = federation.hub
    before = hub.run("group", "show", "mechelen")
    assert (before["state"], before["proposal"]) == ("active", "none")
    assert before["rate"]["units_per_hour"] == "12"
    try:
        assert hub.run("group", "freeze", "mechelen")["state"] == "frozen"
        assert hub.run("group", "freeze", "mechelen")["state"] == "frozen"
        wait_for(
            lambda: _outcome(federation) == "group-frozen", "the nodes to know", 20
        )
    finally:
        assert hub.run("group", "release", "mechelen")["state"] == "active"
    wait_for(lambda: _outcome(federation) is None, "the nodes to know", 20)
    why = ("--reason", "agreed on 3 May", "--even-outside")
    told = hub.run("group", "limits", "mechelen", "--floor=-7", "--ceiling", "9", *why)
    assert (told["floor"], told["ceiling"]) == (-7 * HOUR, 9 * HOUR)
    assert hub.run("group", "list")["mechelen"]["ceiling_hours"] == 9
    hours = (before["floor"] // HOUR, before["ceiling"] // HOUR)
    limits = f"--floor={hours[0]}", f"--ceiling={hours[1]}", *why
    told = hub.run("group", "limits", "mechelen", *limits)
    assert (told["floor"], told["ceiling"]) == (before["floor"], before["ceiling"])
    federation.audit()


def test_a_group_that_is_there_is_not_invited_again(federation: Federation) -> None:
    again = federation.hub.command("invite", "mechelen")
    assert again.returncode == NO
    assert "a group mechelen is there already" in again.stderr


def _outcome(federation: Federation) -> str | None:
    """The code of an order of nothing that matters, or none when it was taken."""
    ordered = federation.pay("rik@oostende", "tom@mechelen", 1)
    is_taken = ordered.transfer_id is not None
    told = federation.end_of(ordered) if is_taken else ordered.answer.told
    code: str | None = told["code"]
    return code


def test_a_treasurer_asks_by_command_and_the_admin_sees_old_beside_new(
    federation: Federation,
) -> None:
    hub, node = federation.hub, federation.server("oostende")
    before = node.run("unit", "show")
    asked = node.run("unit", "change", "--per-hour", "24")
    assert asked["proposal"]["state"] == "waiting"
    assert node.run("unit", "change", "--per-hour", "24") == asked
    asked = node.run("unit", "change", "--per-hour", "25")
    assert asked["proposal"]["state"] == "waiting"

    def waiting() -> bool:
        found = hub.run("group", "show", "oostende")["proposal"]
        return found != "none" and found["number"] == asked["proposal"]["number"]

    wait_for(waiting, "the proposal to arrive", 20)
    listed = hub.run("group", "list")["oostende"]
    assert (listed["units_per_hour"], listed["asks_per_hour"]) == ("20", "25")
    proposal = hub.run("group", "show", "oostende")["proposal"]
    assert (proposal["units_per_hour"], proposal["instead_of"]) == ("25", "20")
    number = proposal["number"]
    wrong = hub.command("group", "approve", "oostende", str(number + 1))
    assert (wrong.returncode, "does not wait" in wrong.stderr) == (NO, True)
    # Not approved, for the story counts on the rate.
    assert hub.run("group", "refuse", "oostende", str(number))["proposal"] == "none"
    wait_for(
        lambda: node.run("unit", "show")["proposal"]["state"] == "refused",
        "the node to hear it",
        20,
    )
    assert node.run("unit", "show")["rate"] == before["rate"]
    federation.audit()


def test_what_cannot_be_meant_ends_with_a_sentence(federation: Federation) -> None:
    hub, node = federation.hub, federation.server("oostende")
    unknown = hub.command("group", "freeze", "gouda")
    assert (unknown.returncode, "no group" in unknown.stderr) == (NO, True)
    floor = hub.command("group", "limits", "oostende", "--floor", "1", "--ceiling", "2")
    assert (floor.returncode, "expected a floor of 0" in floor.stderr) == (DATA, True)
    unit = node.command("unit", "change", "--per-hour", "0")
    assert (unit.returncode, "per_hour" in unit.stderr) == (NO, True)
