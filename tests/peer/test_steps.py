import signal
import subprocess
import sys

import pytest

from protocol.peer.settings import SettingsError
from protocol.peer.steps import KillSwitch
from protocol.steps import Step

STORY = """
import sys
from protocol.peer.steps import KillSwitch
from protocol.steps import Step

switch = KillSwitch(sys.argv[1])
for step in (Step.PREPARE, Step.OFFER):
    switch.reach(step, "before")
    print(step, flush=True)
    switch.reach(step, "after")
print("lived", flush=True)
"""


def play(kill_at: str) -> tuple[int, list[str]]:
    """Exit code and what was done by a process that has this setting."""
    ended = subprocess.run(
        [sys.executable, "-c", STORY, kill_at], capture_output=True, text=True
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.split()


def test_a_server_without_the_setting_lives() -> None:
    assert play("") == (0, ["prepare", "offer", "lived"])


def test_a_server_dies_before_the_step() -> None:
    assert play("offer:before") == (-signal.SIGKILL, ["prepare"])


def test_a_server_dies_after_the_step() -> None:
    assert play("offer:after") == (-signal.SIGKILL, ["prepare", "offer"])


def test_a_step_that_is_never_reached_kills_nobody() -> None:
    assert play("admit:after") == (0, ["prepare", "offer", "lived"])


@pytest.mark.parametrize("step", Step)
def test_every_step_may_be_named(step: Step) -> None:
    KillSwitch(f"{step}:before")
    KillSwitch(f"{step}:after")


@pytest.mark.parametrize(
    "setting", ["offer", "offer:", "offer:during", "Offer:before", "pay:after", " "]
)
def test_a_wrong_place_is_refused_and_the_known_names_are_told(setting: str) -> None:
    with pytest.raises(
        SettingsError, match="a NAME of order, cancel-wish, "
    ) as refused:
        KillSwitch(setting)
    assert repr(setting) in str(refused.value)
