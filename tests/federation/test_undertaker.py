"""A test run that is itself killed leaves no server behind."""

import pathlib
import subprocess
import sys

from tests.federation.servers import CLONE, wait_for

KILLED_RUN = """
import os, pathlib, signal, subprocess, sys
from tests.federation.servers import Undertaker
undertaker = Undertaker(pathlib.Path(sys.argv[1]))
server = subprocess.Popen(["sleep", "60"], start_new_session=True)
undertaker.note(server.pid)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_has_started_is_ended(tmp_path: pathlib.Path) -> None:
    program = [sys.executable, "-c", KILLED_RUN, str(tmp_path)]
    killed = subprocess.run(program, cwd=CLONE, check=False)
    assert killed.returncode == -9
    (pid,) = [int(file.name) for file in tmp_path.iterdir()]
    stat = pathlib.Path(f"/proc/{pid}/stat")

    def is_gone() -> bool:
        # Where nobody reaps orphans, what was killed stays as a zombie.
        return (
            not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"
        )

    wait_for(is_gone, "the left server to be ended", 5)
