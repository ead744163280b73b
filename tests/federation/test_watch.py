"""Nodes prove the hub's log as it runs, between processes, across its deaths."""

from functools import partial

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
    assert federation.hub.run("alarms")["alarms"] == []
    node = federation.nodes["mechelen"].server
    assert node.run("alarms", "--most", "5")["alarms"] == []
    assert node.run("doubts")["doubts"] == []
    # There is nobody to trust again.
    done = node.command("trust", "hub", "--reason", "we looked")
    assert done.returncode == 1
    assert "Nothing is doubted" in done.stderr
