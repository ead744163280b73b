"""A whole federation on this machine: hub, groups, members, PostgreSQL.

Plays one story (``story``), checks every ledger, and then serves until Ctrl-C;
started again it continues with the same data. It stands outside: it starts the
servers' own commands and speaks HTTP, and opens no database.
"""

import argparse
import csv
import io
import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seen import say
from servers import (
    CLONE,
    Api,
    DemoError,
    Postgres,
    Server,
    State,
    choose_port,
    data_folder,
    new_password,
    only_one,
    wait_for,
    write_secret,
)
from story import Story

FILES = CLONE / "deploy" / "demo-files"
HUB_NAME = "vlaanderen"
#: Group, its name for people, unit, plural, units per hour, floor and ceiling in hours.
GROUPS = {
    "oostende": ("LETS Oostende", "garnaal", "garnalen", 20, -10, 40),
    "mechelen": ("LETS Mechelen", "blusser", "blussers", 20, -40, 40),
    "brussel": ("LETS Brussel", "ketje", "ketjes", 60, -40, 40),
}
#: What each group brings: files as eLAS (Oostende) and eLAND (the others) write them.
BROUGHT = {
    "oostende": (
        "oostende-elas-users.csv",
        *("--transactions", "oostende-elas-transactions.csv"),
    ),
    "mechelen": ("mechelen-eland.zip",),
    "brussel": ("brussel-eland.zip", "--without-history"),
}
FIRST_PORT = 8400


class Federation:
    """The servers of the demo and the people who sign in."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.state = State(data)
        self.postgres = Postgres(data)
        self.hub = self._server("clearing", "hub", 0)
        self.nodes = {
            group: self._server("nodes", group, place)
            for place, group in enumerate(GROUPS, 1)
        }
        self._tokens: dict[str, str] = {}

    def _server(self, module: str, name: str, place: int) -> Server:
        port = self.state.get("ports", name)
        if port is None:
            port = self.state.put(choose_port(FIRST_PORT + place), "ports", name)
        return Server(module, name, self.data / name, port)

    @property
    def servers(self) -> list[Server]:
        """The hub and all nodes."""
        return [self.hub, *self.nodes.values()]

    def start(self) -> None:
        """Start everything, making first what is not there yet."""
        self.postgres.start()
        with ThreadPoolExecutor() as together:
            list(together.map(self._make, self.servers))
            self.hub.start()
            self.hub.wait_ready()
            list(together.map(self._join, self.nodes.values()))
            for node in self.nodes.values():
                node.start()
            list(together.map(Server.wait_ready, self.nodes.values()))
        self._sign_everyone_in()
        for group, node in self.nodes.items():
            member = self.member(next(iter(self.state.get("people", group))), group)
            wait_for(
                lambda member=member: member.ask("GET", "/api/v1/account")[0] == 200,
                f"{node.name} to know its own entry",
                30,
            )

    def _make(self, server: Server) -> None:
        """Give a server its database and settings and, once, its first sign-in."""
        server.write_config(self.postgres.create(server.name))
        if self.state.get("made", server.name):
            return
        arguments = (HUB_NAME,) if server is self.hub else ()
        made = server.run("init", *arguments)
        if "recovery_sheet" in made:
            self._keep_sheet(server.name, made["recovery_sheet"])
        self.state.put(made["sign_in"].partition("#")[2], "codes", server.name)
        self.state.put(True, "made", server.name)

    def _keep_sheet(self, name: str, sheet: str) -> None:
        # A demo has nobody to hand the sheet to; real ones never lie on the server.
        path = self.data / f"recovery-sheet-of-{name}.txt"
        write_secret(path, sheet + "\n")

    def _join(self, node: Server) -> None:
        """Invite a group, let its node join, bring its members in; once."""
        group = node.name
        name, unit, plural, per_hour, floor, ceiling = GROUPS[group]
        if not self.state.get("joined", group):
            invited = self.hub.run(
                "invite", group, f"--floor={floor}", f"--ceiling={ceiling}"
            )
            profile = ("--name", name, "--unit", unit, "--plural", plural)
            rate = ("--per-hour", str(per_hour))
            joined = node.run("join", "-", *profile, *rate, given=invited["invitation"])
            if "recovery_sheet" in joined:
                self._keep_sheet(group, joined["recovery_sheet"])
            self.state.put(joined["digits"], "joined", group)
        if not self.state.get("people", group):
            self._bring_in(node)

    def _bring_in(self, node: Server) -> None:
        """Bring a group in from its old program, and give its members passwords."""
        words = [
            FILES / word if (FILES / word).is_file() else word
            for word in BROUGHT[node.name]
        ]
        # A treasurer looks first what it would do: the same without the last word.
        done = node.run("import", *map(str, words), "--confirm")
        members = node.run("member", "list")
        people, text = passwords_for(members)
        node.run("member", "import", "-", given=text)
        balances = {account: one["balance"] for account, one in members.items()}
        self.state.put(balances, "opening", node.name)
        self.state.put(people, "people", node.name)
        if sum(balances.values()):
            raise DemoError(f"{node.name} moved in with {balances}")
        brought = f"{len(members)} members, {done.get('entries', 'its')} entries"
        say(f"{GROUPS[node.name][0]} moves in: {brought}, balances come to 0")

    def _sign_everyone_in(self) -> None:
        for server in self.servers:
            token = self.state.get("tokens", server.name)
            if token is None:
                code = self.state.get("codes", server.name)
                token = self._token(server, {"code": code})
                self.state.put(token, "tokens", server.name)
            self._tokens[server.name] = token
        lines = []
        for group, people in self.state.get("people").items():
            for account, password in people.items():
                lines.append(
                    f"{account}@{group}  {self.nodes[group].url}  {password}\n"
                )
        write_secret(self.data / "sign-ins.txt", "".join(lines))

    def _token(self, server: Server, told: dict) -> str:
        status, answer = Api(server.url).ask("POST", "/api/v1/tokens", told)
        if status != 201:
            raise DemoError(f"signing in at {server.name}: {status} {answer}")
        return answer["token"]

    def member(self, account: str, group: str) -> Api:
        """Give the API as a member sees it."""
        address = f"{account}@{group}"
        if address not in self._tokens:
            password = self.state.get("people", group, account)
            told = {"name": account, "password": password}
            self._tokens[address] = self._token(self.nodes[group], told)
        return Api(self.nodes[group].url, self._tokens[address])

    def staff(self, server: Server) -> Api:
        """Give the API as a treasurer or the regional admin sees it."""
        return Api(server.url, self._tokens[server.name])

    def position(self, group: str) -> dict:
        """Give a group's position at the hub."""
        groups = self.staff(self.hub).get("/api/v1/groups")["groups"]
        return next(one for one in groups if one["group"] == group)

    def stop(self) -> None:
        """Stop everything, PostgreSQL last."""
        for server in reversed(self.servers):
            server.stop()
        self.postgres.stop()


def passwords_for(members: dict) -> tuple[dict[str, str], str]:
    """Draw passwords for members; gives them, and a file that gives them to a node.

    Real members get one-time links instead: nobody knows a password but its owner.
    """
    people = {}
    filled = io.StringIO()
    writer = csv.writer(filled, lineterminator="\n")
    writer.writerow(["account", "name", "password", "floor", "ceiling"])
    for account, one in members.items():
        if one["state"] == "active":
            people[account] = new_password()
            writer.writerow([account, one["name"], people[account], "", ""])
    return people, filled.getvalue()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="deploy/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="play the story and stop")
    parser.add_argument("--reset", action="store_true", help="begin with no data")
    parser.add_argument("--data", type=Path, help="where to keep the data")
    return parser.parse_args()


def check_folder(data: Path) -> None:
    """Refuse to empty a folder that no demo made."""
    if data.exists() and any(data.iterdir()) and not (data / "demo.lock").exists():
        raise DemoError(f"{data} is not a demo's folder; I leave it alone")


def reset(data: Path) -> None:
    """Forget an earlier demo; its lock, which we hold, stays."""
    if (data / "postgres").exists():
        Postgres(data).stop()
    for path in data.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "demo.lock":
            path.unlink()


def serve(federation: Federation) -> None:
    """Tell where everything is, then wait for Ctrl-C or SIGTERM."""
    print("\nServing until Ctrl-C:")
    print(f"  hub {HUB_NAME}: {federation.hub.url}")
    for group, node in federation.nodes.items():
        print(f"  {GROUPS[group][0]}: {node.url}")
    print(f"  members sign in there with: {federation.data / 'sign-ins.txt'}")
    settings = federation.nodes["oostende"].config
    print("  every server's API is described at /api/openapi.json")
    link = federation.hub.run("sign-in")["sign_in"]
    print(f"  the regional admin signs in at the hub, once, with: {link}")
    told = f"interlets-node sign-in --config {settings}"
    print(f"  a code for the treasurer of Oostende: .venv/bin/{told}", flush=True)
    while all(server.process.poll() is None for server in federation.servers):
        time.sleep(0.5)
    raise DemoError("a server has stopped; see server.log in its folder")


def main() -> int:
    """Play, and say how it went."""
    chosen = arguments()
    # A shell that starts us with "&" has made SIGINT ignored: SIGTERM must do too.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    data = data_folder(chosen.data)
    federation = None
    try:
        if chosen.reset:
            check_folder(data)
        with only_one(data):
            if chosen.reset:
                reset(data)
            began = time.monotonic()
            print(f"Interlets demo, data in {data}", flush=True)
            try:
                federation = Federation(data)
                federation.start()
                say(f"everything is up after {time.monotonic() - began:.1f} s")
                story = Story(federation)
                story.play()
                story.audit()
                print(f"All was seen to happen, in {time.monotonic() - began:.1f} s.")
                if not chosen.once:
                    serve(federation)
            finally:
                if federation is not None:
                    federation.stop()
    except DemoError as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
        return 0 if not chosen.once else 1
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
