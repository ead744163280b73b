"""Hub and nodes as processes: started, killed with -9, frozen and started again.

Each has a session and process group of its own. ``Undertaker`` outlives even a
killed pytest, and then ends whatever still runs.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.federation.callers import AwayError, Caller

CLONE = pathlib.Path(__file__).resolve().parent.parent.parent
READY_S = 20.0
#: Below the ports that systems give to outgoing connections: a server that is
#: down must find its own port free again.
_PORTS = range(20_000, 32_000)
_COMMAND_S = 60


def wait_for(is_so: Callable[[], object], what: str, within_s: float) -> None:
    """Wait until something is so; fails with what did not come."""
    until, pause_s = time.monotonic() + within_s, 0.02
    while not is_so():
        assert time.monotonic() < until, f"waited {within_s:.0f} s for {what}"
        time.sleep(pause_s)
        # Looking asks every server something: what takes long must not be slowed by it.
        pause_s = min(1.5 * pause_s, 0.25)


def free_port() -> int:
    """Find a port of this machine on which nobody listens."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _environment(**settings: str) -> dict[str, str]:
    """This process's environment, but no setting that is not the test's own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INTERLETS_", "PYTHON"))
    }
    return {**kept, **{f"INTERLETS_{name}": value for name, value in settings.items()}}


class Undertaker:
    """Ends every process group named in a folder once this process is gone."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        script = 'cd "$1"; read _; for f in *; do kill -9 "-$f"; done 2>/dev/null'
        self._process = subprocess.Popen(
            [shutil.which("sh") or "/bin/sh", "-c", script, "sh", str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def note(self, pid: int) -> None:
        (self._folder / str(pid)).touch()

    def forget(self, pid: int) -> None:
        (self._folder / str(pid)).unlink(missing_ok=True)

    def close(self) -> None:
        """Have it do its work now."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Server:
    """One server: its folder and settings, and the process when it runs.

    Args:
        module: ``clearing`` or ``nodes``.
        name: for people, and of its folder.
        folder: where it may write.
        database: its database's URL and the file with the password.
        undertaker: is told of every process.
    """

    def __init__(
        self,
        module: str,
        name: str,
        folder: pathlib.Path,
        database: tuple[str, pathlib.Path],
        undertaker: Undertaker,
    ) -> None:
        self.name = name
        self.port = free_port()
        #: Added to its clock at each start; only ever raised, as clocks go.
        self.clock_offset_ms = 0
        self.kill_at = ""
        self.is_frozen = False
        self._program = (sys.executable, "-m", module)
        self._undertaker = undertaker
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700)
        self._log = folder / "server.log"
        self.config = folder / "server.toml"
        url, password_file = database
        self.config.write_text(
            "[server]\n"
            f'listen = "127.0.0.1:{self.port}"\n'
            f'public_url = "http://127.0.0.1:{self.port}"\n'
            f"data = {json.dumps(str(folder / 'data'))}\n"
            "[database]\n"
            f"url = {json.dumps(url)}\n"
            f"password_file = {json.dumps(str(password_file))}\n"
        )

    def command(
        self, *words: str, given: str = "", kill_at: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its verbs to its end, whatever that is."""
        # Every command is the product's own, and there is no shell.
        return subprocess.run(
            [*self._program, *words, "--config", str(self.config), "--json"],
            cwd=CLONE,
            # Beside a server whose clock was put forward, a command has that clock.
            env=_environment(
                TEST_CLOCK_OFFSET_MS=str(self.clock_offset_ms),
                **({"TEST_KILL_AT": kill_at} if kill_at else {}),
            ),
            input=given,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )

    def run(self, *words: str, given: str = "") -> dict[str, Any]:
        """Run one of its verbs, which must succeed; gives its answer."""
        done = self.command(*words, given=given)
        assert done.returncode == 0, f"{self.name} {words[0]}: {done.stderr}"
        answer: dict[str, Any] = json.loads(done.stdout or "{}")
        return answer

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, kill_at: str = "") -> None:
        """Start it, to die at a durable step if one is named; does not wait."""
        assert not self.is_running
        settings = {"TEST_CLOCK_OFFSET_MS": str(self.clock_offset_ms)}
        if kill_at:
            settings["TEST_KILL_AT"] = kill_at
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "serve", "--config", str(self.config)],
                cwd=CLONE,
                env=_environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._undertaker.note(self.pid)
        self.kill_at = kill_at

    def wait_ready(self, *, or_killed: bool = False) -> None:
        """Wait until it serves and holds its clerk's lock, or has died at its step."""
        anyone = Caller(self.port)

        def is_ready() -> bool:
            assert self._process is not None
            if or_killed and self._process.poll() == -signal.SIGKILL:
                return True
            assert self.is_running, f"{self.name} stopped: {self.log_lines()[-5:]}"
            with contextlib.suppress(AwayError):
                return anyone.ask("GET", "/readyz").status == 200
            return False

        wait_for(is_ready, f"{self.name} to be ready", READY_S)

    def kill(self) -> None:
        """End it as a power failure would: SIGKILL, no farewell."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._undertaker.forget(self.pid)
        self.is_frozen = False

    def stop(self, within_s: float = 10) -> None:
        """Ask it to stop, as a service manager does, and wait until it has."""
        self._signal(signal.SIGTERM)
        assert self._process is not None
        assert self._process.wait(within_s) == 0, self.log_lines()[-5:]
        self._undertaker.forget(self.pid)

    def restart(self, *, kill_at: str = "") -> None:
        """Kill it and start it again; waits until it is ready.

        What it is to die of may be on its way already, said again by another server as
        soon as this one listens: then it may die before anybody saw it ready. That it
        died is for ``wait_killed`` to see.
        """
        self.kill()
        self.start(kill_at=kill_at)
        self.wait_ready(or_killed=bool(kill_at))

    def wait_killed(self, within_s: float = 20) -> None:
        """Wait until it has died at the step it was started with, by SIGKILL."""
        assert self._process is not None and self.kill_at
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} never came to {self.kill_at}: {self.log_lines()[-5:]}"
            ) from None
        # A test must not pass without the kill, nor because of another end.
        assert code == -signal.SIGKILL, f"{self.name}: {code} {self.log_lines()[-5:]}"
        self._undertaker.forget(self.pid)

    def freeze(self) -> None:
        """Stop its process in mid-sentence; nobody notices at once."""
        self._signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def log_lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def lives(self) -> list[str]:
        """Every life that its clerk has begun, as its log tells."""
        return [
            line.partition(", life ")[2].partition('"')[0]
            for line in self.log_lines()
            if ", life " in line
        ]
