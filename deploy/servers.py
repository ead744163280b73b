"""Starting PostgreSQL, a hub and nodes as a person would: by their commands.

For ``demo`` and ``story``, with the standard library only. Nothing of the product is
imported and no database is opened: processes are started, and asked over HTTP.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
READY_S = 30
COMMAND_S = 120


class DemoError(Exception):
    """Something did not happen that should have; the text says what."""


def data_folder(given: Path | None) -> Path:
    """Choose where the demo keeps its data; as root PostgreSQL must reach it."""
    if given is not None:
        return given.resolve()
    if os.geteuid() == 0:
        mark = hashlib.sha256(str(CLONE).encode()).hexdigest()[:12]
        return Path("/var/lib/interlets") / mark
    return CLONE / ".interlets"


@contextlib.contextmanager
def only_one(data: Path):
    """Keep a second demo out of the same folder."""
    try:
        data.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = (data / "demo.lock").open("w")
    except OSError as error:
        raise DemoError(f"{data} cannot hold the demo's data: {error}") from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"another demo is running in {data}") from None
        yield


def command(*arguments: str, given: str | None = None) -> dict:
    """Run one of the product's commands to its end; gives its JSON answer."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=CLONE,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"{arguments[0]} {arguments[1]}: {done.stderr.strip()}")
    return json.loads(done.stdout or "{}")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)


class State:
    """What the demo must remember between runs; holds sign-ins, so mode 0600."""

    def __init__(self, data: Path) -> None:
        self._path = data / "demo.json"
        self.known: dict = {}
        if self._path.exists():
            self.known = json.loads(self._path.read_text())

    def get(self, *names: str):
        """Give what is remembered under a path of names, or ``None``."""
        found = self.known
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def put(self, value, *names: str):
        """Remember a value under a path of names, at once."""
        where = self.known
        for name in names[:-1]:
            where = where.setdefault(name, {})
        where[names[-1]] = value
        write_secret(self._path, json.dumps(self.known, indent=1))
        return value


def is_free(port: int) -> bool:
    """Say whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(usual: int) -> int:
    """Give the usual port, or a free one when it is taken."""
    if is_free(usual):
        return usual
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_json(raw: bytes) -> dict:
    """Read an answer; one that is no JSON is kept as text, to be shown."""
    try:
        return json.loads(raw or b"{}")
    except ValueError:
        return {"text": raw[:300].decode(errors="replace")}


class Api:
    """One caller of one server's HTTP API."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self._token = token
        # No proxy of the environment may stand between us and this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(
        self, method: str, path: str, body=None, **headers: str
    ) -> tuple[int, dict]:
        """Ask; gives status and JSON, whatever the status."""
        request = urllib.request.Request(self.url + path, method=method)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, data, timeout=60) as answer:
                return answer.status, read_json(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, read_json(error.read())

    def text(self, path: str) -> str:
        """Get a text that must be there."""
        request = urllib.request.Request(self.url + path)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with self._opener.open(request, timeout=60) as answer:
            return answer.read().decode()

    def events(self, known: str | None = None):
        """Listen: gives id, name and JSON of each event as it comes."""
        request = urllib.request.Request(self.url + "/api/v1/events")
        request.add_header("Authorization", f"Bearer {self._token}")
        if known is not None:
            request.add_header("Last-Event-ID", known)
        with self._opener.open(request, timeout=60) as answer:
            told: dict[str, str] = {}
            for raw in answer:
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if name:
                    told[name] = value
                elif "data" in told:
                    yield told["id"], told["event"], json.loads(told["data"])
                    told = {}

    def get(self, path: str, **headers: str) -> dict:
        """Get what must be there."""
        status, answer = self.ask("GET", path, **headers)
        if status != 200:
            raise DemoError(f"GET {self.url}{path}: {status} {answer}")
        return answer


class Server:
    """A hub or a node: its settings file, its process, its address."""

    def __init__(self, module: str, name: str, folder: Path, port: int) -> None:
        self.module = module
        self.name = name
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.config = folder / f"{name}.toml"
        self.process: subprocess.Popen | None = None

    def write_config(self, database: dict) -> None:
        """Write its settings; PostgreSQL may have moved to another port."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        quoted = json.dumps  # TOML's basic strings are JSON's
        self.config.write_text(
            "[server]\n"
            f'listen = "127.0.0.1:{self.port}"\n'
            f'public_url = "{self.url}"\n'
            f"data = {quoted(str(self.folder / 'data'))}\n\n"
            "[database]\n"
            f"url = {quoted(database['url'])}\n"
            f"password_file = {quoted(str(database['password_file']))}\n"
        )

    def run(self, *arguments: str, given: str | None = None) -> dict:
        """Run one of its verbs."""
        return command(
            self.module,
            *arguments,
            "--config",
            str(self.config),
            "--json",
            given=given,
        )

    def start(self) -> None:
        """Start it as a process of its own, in a session of its own."""
        self._stop_left_over()
        if not is_free(self.port):
            raise DemoError(
                f"port {self.port} of {self.name} is taken by another program; "
                "stop that, or begin anew with --reset"
            )
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "serve", "--config", self.config],
                cwd=CLONE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(str(self.process.pid))

    def _stop_left_over(self) -> None:
        """Stop a server that an earlier demo, killed itself, has left running."""
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            pid = int((self.folder / "pid").read_text())
            shown = subprocess.run(
                ["ps", "-p", str(pid), "-o", "args="],
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            if str(self.config) in shown:
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: is_free(self.port), "an old server to go", 10)

    def wait_ready(self) -> None:
        """Wait until it is ready."""

        def is_ready() -> bool:
            if self.process is not None and self.process.poll() is not None:
                log = (self.folder / "server.log").read_text().splitlines()
                raise DemoError(f"{self.name} has stopped: {' / '.join(log[-3:])}")
            with contextlib.suppress(OSError):
                return Api(self.url).ask("GET", "/readyz")[0] == 200
            return False

        wait_for(is_ready, f"{self.name} to be ready", READY_S)

    def signal(self, number: int) -> None:
        """Send its process a signal; after a kill, wait for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def stop(self) -> None:
        """Stop it politely, then firmly."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def wait_for(is_so, what: str, seconds: float) -> None:
    """Wait until something is so; says what did not come."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise DemoError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.03)


class Postgres:
    """The databases: on the server named by INTERLETS_DATABASE_URL, else our own.

    That address is a role's that may create roles and databases; its password
    comes from libpq's password file.
    """

    def __init__(self, data: Path) -> None:
        self._data = str(data / "postgres")
        # Taken out, because each server would take it for its own database.
        self._given = os.environ.pop("INTERLETS_DATABASE_URL", None)
        self._started: dict = {}

    def _run(self, verb: str, *more: str) -> dict:
        return command("protocol.peer.postgres", verb, "--data", self._data, *more)

    def start(self) -> None:
        """Start it, or find it running."""
        if self._given is None:
            self._started = self._run("start")
        else:
            Path(self._data).mkdir(mode=0o755, exist_ok=True)

    def programs(self) -> Path:
        """Say where the programs of our own server are."""
        if self._given is not None:
            raise DemoError("this needs a PostgreSQL of its own; unset the address")
        return Path(self._started["bin"])

    def create(self, name: str) -> dict:
        """Make a role with a database of its own, when they are not there."""
        server = [] if self._given is None else ["--server", self._given]
        return self._run("create", f"interlets_{name}", *server)

    def stop(self) -> None:
        """Stop it, if it is ours."""
        if self._given is None:
            self._run("stop")


def new_password() -> str:
    """Draw a password that can be read out loud."""
    return "-".join(secrets.token_hex(2) for _ in range(4))
