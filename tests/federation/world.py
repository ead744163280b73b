"""A real federation: a hub, groups with members, each server its own process.

``Federation.audit`` compares what the servers tell over HTTP with the history
that its members' programs kept: every order that was answered is there exactly
once, every ledger sums to zero, every mirror equals its position, nothing is held.
"""

import contextlib
import csv
import io
import itertools
import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.federation.callers import ENDED, Answer, AwayError, Caller, Member, Order
from tests.federation.servers import Server, Undertaker, wait_for

PASSWORD = "correct horse battery"
QUIET_S = 30.0
numbers = itertools.count(1)


@dataclass(frozen=True)
class Group:
    """What a group is founded with: limits of members are minor units, or none."""

    name: str
    unit: str
    per_hour: int
    floor_hours: int
    ceiling_hours: int
    members: dict[str, tuple[int | None, int | None]]


GROUPS = (
    Group(
        name="oostende",
        unit="garnaal",
        per_hour=20,
        floor_hours=-1000,
        ceiling_hours=1000,
        # Marie is for the story alone, so that her figures can be foretold.
        members={
            "marie": (-100, 400),
            "jan": (-100, 400),
            "lies": (None, None),
            "rik": (-1000, 1000),
        },
    ),
    Group(
        name="mechelen",
        unit="blusser",
        per_hour=12,
        floor_hours=-1000,
        ceiling_hours=1000,
        members={
            "bob": (-100, 400),
            "an": (-100, 400),
            "mia": (None, None),
            "tom": (-1000, 1000),
        },
    ),
    # Seven an hour divides nothing, and its limits are near enough to be reached.
    Group(
        name="aalst",
        unit="ajuin",
        per_hour=7,
        floor_hours=-50,
        ceiling_hours=50,
        members={"els": (None, None), "leo": (-100, 400)},
    ),
)


@dataclass
class Node:
    """A group's node with those who use it."""

    group: Group
    server: Server
    treasurer: Caller | None = None
    members: dict[str, Member] = field(default_factory=dict)
    #: As it was shown once, when the group joined.
    sheet: str = ""


@dataclass(frozen=True)
class Ordered:
    """An order of the history, and how it was answered."""

    payer: Member
    order: Order
    answer: Answer

    @property
    def transfer_id(self) -> str | None:
        return self.answer.told["id"] if self.answer.status == 201 else None


class Federation:
    """Hub and nodes, their people, and the history of all that was ordered.

    Args:
        folder: where the servers may write.
        databases: gives each server a database of its own, by name.
    """

    def __init__(
        self, folder: pathlib.Path, databases: dict[str, tuple[str, pathlib.Path]]
    ) -> None:
        pids = folder / "pids"
        pids.mkdir()
        self._folder = folder
        self._databases = databases
        self._undertaker = Undertaker(pids)
        self._scanned: Counter[str] = Counter()
        self._ended: dict[str, dict[str, Any]] = {}
        self.hub = self._server("clearing", "hub")
        with self.hub.config.open("a") as file:
            file.write('[sharing]\nrule = "equal"\n')
        self.admin = Caller(self.hub.port)
        self.nodes: dict[str, Node] = {}
        self.history: list[Ordered] = []

    def _server(self, module: str, name: str) -> Server:
        database = self._databases[name]
        return Server(module, name, self._folder / name, database, self._undertaker)

    # Founding.

    def found(self, groups: Sequence[Group] = GROUPS) -> None:
        """Make and start everything."""
        made = self.hub.run("init", "vlaanderen")
        self.hub.start()
        self.hub.wait_ready()
        self.admin = Caller(self.hub.port, self._token(self.hub, code=_code(made)))
        with ThreadPoolExecutor() as together:
            nodes = list(together.map(self.new_node, groups))
            together.map(self.join, nodes)
        with ThreadPoolExecutor() as together:
            list(together.map(self.open, nodes))
        self.wait_compared()

    def new_node(self, group: Group) -> Node:
        """Make a node that has joined nothing yet."""
        node = Node(group, self._server("nodes", group.name))
        made = node.server.run("init")
        # The code is spent at the first sign-in, once the node serves.
        node.treasurer = Caller(node.server.port, _code(made))
        return node

    def invite(self, group: Group) -> str:
        """Give a new invitation for a group."""
        limits = f"--floor={group.floor_hours}", f"--ceiling={group.ceiling_hours}"
        invitation: str = self.hub.run("invite", group.name, *limits)["invitation"]
        return invitation

    def joining(self, group: Group) -> tuple[str, ...]:
        """The words of the command by which a group joins."""
        profile = ("--name", f"LETS {group.name.title()}", "--unit", group.unit)
        return ("join", "-", *profile, "--per-hour", str(group.per_hour))

    def members_file(self, group: Group) -> str:
        """The file that a treasurer imports."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["account", "name", "password", "floor", "ceiling"])
        for account, (floor, ceiling) in group.members.items():
            writer.writerow([account, account.title(), PASSWORD, floor, ceiling])
        return text.getvalue()

    def join(self, node: Node) -> None:
        invitation = self.invite(node.group)
        joined = node.server.run(*self.joining(node.group), given=invitation)
        node.sheet = joined["recovery_sheet"]
        node.server.run("member", "import", "-", given=self.members_file(node.group))

    def open(self, node: Node) -> None:
        """Start a node that has joined and sign its people in."""
        server = node.server
        server.start()
        server.wait_ready()
        assert node.treasurer is not None and node.treasurer.token is not None
        token = self._token(server, code=node.treasurer.token)
        node.treasurer = Caller(server.port, token)
        self.sign_in(node, node.group.members)
        self.nodes[node.group.name] = node

    def sign_in(self, node: Node, accounts: Iterable[str]) -> None:
        server = node.server
        for account in accounts:
            token = self._token(server, name=account, password=PASSWORD)
            address = f"{account}@{node.group.name}"
            node.members[account] = Member(server.port, token, address)

    def _token(self, server: Server, **told: str) -> str:
        status, answer = Caller(server.port).ask("POST", "/api/v1/tokens", told)
        assert status == 201, f"signing in at {server.name}: {status} {answer}"
        token: str = answer["token"]
        return token

    def close(self) -> None:
        """End every process."""
        for server in self.servers:
            server.kill()
        self._undertaker.close()

    # Everyday life.

    @property
    def servers(self) -> list[Server]:
        return [self.hub, *(node.server for node in self.nodes.values())]

    def server(self, name: str) -> Server:
        return self.hub if name == "hub" else self.nodes[name].server

    def member(self, address: str) -> Member:
        account, _, group = address.partition("@")
        return self.nodes[group].members[account]

    def order(self, to: str, payee_amount: int, **fields: Any) -> Order:
        """Make an order with a key of its own."""
        fields.setdefault("key", f"order-{next(numbers)}")
        return Order(to=to, payee_amount=payee_amount, **fields)

    def pay(self, payer: str, to: str, payee_amount: int, **fields: Any) -> Ordered:
        """Have a member pay, as stubbornly as needed, and note it in the history."""
        return self.carry_out(payer, self.order(to, payee_amount, **fields))

    def carry_out(self, payer: str, order: Order) -> Ordered:
        member = self.member(payer)
        return self.note(member, order, member.pay_surely(order))

    def note(self, payer: Member, order: Order, answer: Answer) -> Ordered:
        """Note an answered order in the history."""
        ordered = Ordered(payer, order, answer)
        self.history.append(ordered)
        return ordered

    def note_taken(self, payer: str, told: dict[str, Any]) -> None:
        """Note an order that a test gave in its own way, if it was taken."""
        if "payee_amount" in told and "id" in told:
            order = Order("", told["payee"], told["payee_amount"])
            self.note(self.member(payer), order, Answer(201, told))

    def end_of(self, ordered: Ordered, *, within_s: float = 30) -> dict[str, Any]:
        """Wait for the end of an order that was taken; gives the transfer."""
        assert ordered.transfer_id is not None, ordered
        ended = ordered.payer.wait_end(ordered.transfer_id, within_s=within_s)
        # The first decision stands for ever, whatever died since; what is given back
        # of it later is counted beside it.
        first = self._ended.setdefault(ordered.transfer_id, ended)
        counted = ("refunded", "refundable")
        assert first | {name: ended[name] for name in counted} == ended
        return ended

    def groups(self) -> dict[str, dict[str, Any]]:
        """Give the hub's view of every group, by name."""
        told = self.admin.get("/api/v1/groups")
        return {group["group"]: group for group in told["groups"]}

    def wait_compared(self, *names: str) -> None:
        """Wait until nodes (all, if none is named) and hub have compared."""
        nodes = [self.nodes[name] for name in names or self.nodes]
        for server in (self.hub, *(node.server for node in nodes)):
            server.wait_ready()

        def have_compared() -> bool:
            with contextlib.suppress(AwayError):
                groups = self.groups()
                return all(
                    groups[node.group.name]["link"] == "compared"
                    and _ledger(node)["link"] == "compared"
                    for node in nodes
                )
            return False

        wait_for(have_compared, "links to compare", QUIET_S)

    def heal(self) -> None:
        """Start what a test that failed has left dead, frozen or doomed."""
        for server in self.servers:
            if server.is_frozen:
                server.thaw()
            if not server.is_running or server.kill_at:
                server.kill()
                server.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until every server serves."""
        for server in self.servers:
            server.wait_ready()

    # Audit.

    def audit(self) -> None:
        """Wait until everything is quiet, and compare everything with everything."""
        ended = [
            self.end_of(ordered)
            for ordered in self.history
            if ordered.transfer_id not in (None, *self._ended)
        ]
        assert all(transfer["state"] in ENDED for transfer in ended)
        self.wait_quiet()
        self._compare_histories()
        self._hear_auditors()
        self._read_logs()

    def wait_quiet(self) -> None:
        """Wait until nothing is held or under way, and every mirror is right."""
        found: list[str] = []

        def is_quiet() -> bool:
            found[:] = self._unquiet()
            return not found

        try:
            wait_for(is_quiet, "every server to be quiet", QUIET_S)
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}") from None

    def _hear_auditors(self) -> None:
        """Every server finds nothing wrong with itself."""
        staff = {"hub": self.admin}
        for name, node in self.nodes.items():
            assert node.treasurer is not None
            staff[name] = node.treasurer
        for name, caller in staff.items():
            answer = caller.get("/api/v1/audit")
            assert answer["is_sound"], f"{name}: {answer['findings'][:3]}"
            assert all(worth["milliseconds"] >= 0 for worth in answer["worths"])

    def _unquiet(self) -> list[str]:
        """Say what still moves; what may not even happen for a moment fails."""
        told = self.admin.get("/api/v1/groups")
        assert told["sum"] == 0
        found = [f"hub: {told['undecided']} undecided"] if told["undecided"] else []
        groups = {group["group"]: group for group in told["groups"]}
        for node in self.nodes.values():
            group, ledger = groups[node.group.name], _ledger(node)
            assert (ledger["unit_sum"], ledger["time_sum"]) == (0, 0), ledger
            is_still = (
                group["is_mirrored"]
                and group["link"] == ledger["link"] == "compared"
                and group["held_out"] == group["held_in"] == 0
                and ledger["undecided"] == 0
                and ledger["clearing"] == -group["position"]
            )
            if not is_still:
                found.append(f"{group} but {ledger}")
        return found

    def _compare_histories(self) -> None:
        """Every member's account is what her group's answered orders make it."""
        expected: dict[str, Counter[tuple[str, int]]] = {}
        for transfer in self._ended.values():
            if transfer["state"] == "cleared":
                paid = (transfer["id"], -transfer["payer_amount"])
                got = (transfer["id"], transfer["payee_amount"])
                expected.setdefault(transfer["payer"], Counter())[paid] += 1
                expected.setdefault(transfer["payee"], Counter())[got] += 1
        for node in self.nodes.values():
            for member in node.members.values():
                account = member.account()
                lines = Counter(
                    (entry["transfer"], entry["amount"]) for entry in member.entries()
                )
                assert lines == expected.get(member.address, Counter())
                assert account["held"] == account["held_in"] == 0
                assert account["balance"] == sum(amount for _, amount in lines)

    def _read_logs(self) -> None:
        """Nothing broke, and nothing was left for people to find out."""
        for server in self.servers:
            lines = server.log_lines()
            fresh = lines[self._scanned[server.name] :]
            self._scanned[server.name] = len(lines)
            bad = [line for line in fresh if '"ERROR"' in line or "Traceback" in line]
            # That a group nears its limit is no fault; tests bring it there.
            bad = [line for line in bad if " stands at " not in line]
            assert not bad, f"{server.name}: {bad[:3]}"


def _ledger(node: Node) -> dict[str, Any]:
    assert node.treasurer is not None
    return node.treasurer.get("/api/v1/group")


def _code(made: dict[str, Any]) -> str:
    """Take the one-time code out of the link that ``init`` prints."""
    sign_in: str = made["sign_in"]
    return sign_in.partition("#")[2]


def as_posted(ended: dict[str, Any]) -> dict[str, Any]:
    """A transfer as ``POST`` answers with it: without the steps that ``GET`` adds."""
    return {name: value for name, value in ended.items() if name != "steps"}
