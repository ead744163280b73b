"""Looks at what people see: it is durable, it adds up, and it never goes back.

A member sees her history with a balance after each line, a treasurer that new limits
hold, and whoever waits for a payment what the newest batch has left in memory. None of
that may be shown before it is written, nor be otherwise later.
"""

from itertools import islice
from typing import TYPE_CHECKING, Any

from tests.simulator.reasons import Before
from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

_OPEN = ("ordered", "taken", "offered", "accepted")
#: How many of the newest are looked at in each batch: more cannot be told too early.
_NEWEST = 3


class Views:
    """Watches what the servers of one simulated federation show."""

    def __init__(self, checker: "Checker") -> None:
        self._checker = checker
        #: By server and account: the newest line of its history, and its balance.
        self._lines: dict[tuple[str, str], tuple[int, int]] = {}
        #: Servers in whose open batch was already looked.
        self._looked: set[str] = set()
        checker.people.on_changed = self.on_changed
        for server in checker.federation.servers:
            self._watch(server)

    def _watch(self, server: Server) -> None:
        strike = server.database.strike

        def look_and_strike() -> None:
            if server.name not in self._looked:
                self._looked.add(server.name)
                self._look_at_memory(server)
            strike()

        server.database.strike = look_and_strike

    def on_start(self, server: Server) -> None:
        """Begin anew with a server that lost its power in the middle of a batch."""
        self._looked.discard(server.name)

    def _look_at_memory(self, server: Server) -> None:
        """While a batch is not durable nobody may see what it decides."""
        recent = getattr(server.house, "_recent", None) if server.is_up else None
        if recent is None:
            return
        rows = server.database.table("transfer")
        for id_ in islice(reversed(recent._kept), _NEWEST):
            seen, row = recent._kept[id_], rows.get(id_)
            self._checker.demand(
                so=row is not None and row["state"] == seen.state,
                told=f"{server.name} shows {id_} as {seen.state} before it is durable",
            )

    def look(self, server: Server, first: Before) -> None:
        """Look at the lines that a batch has added to histories."""
        self._looked.discard(server.name)
        if server.name in self._checker.doubted:
            return
        added: dict[str, list[int]] = {}
        for (name, key), before in first.items():
            if isinstance(name, tuple) and name[0] == "posting":
                self._checker.demand(
                    so=before is None,
                    told=f"{server.name} rewrites the history of {name[1]}",
                )
                added.setdefault(name[1], []).append(key)
        for account, sequences in added.items():
            self._look_at_lines(server, account, sorted(sequences))

    def _look_at_lines(
        self, server: Server, account: str, sequences: list[int]
    ) -> None:
        newest, balance = self._lines.get((server.name, account), (0, 0))
        told = f"{server.name}: {account}'s history"
        self._checker.demand(
            so=sequences[0] > newest, told=f"{told} grows in the middle"
        )
        postings = server.database.table(("posting", account))
        for sequence in sequences:
            amount, after = postings[sequence]
            balance += amount
            self._checker.demand(
                so=after == balance,
                told=f"{told} shows {after} where {balance} is right",
            )
        self._lines[server.name, account] = sequences[-1], balance

    def on_changed(self, group: str, member: str, changes: dict[str, Any]) -> None:
        """What a treasurer was told of an account is so."""
        if group in self._checker.doubted:
            return
        row = self._checker.federation.nodes[group].database.table("account")[member]
        kept = {name: row[name] for name in changes}
        self._checker.demand(
            so=kept == changes, told=f"{member}@{group} has {kept} and not {changes}"
        )

    def at_the_end(self) -> None:
        """Every payment has ended for whoever looks at it."""
        for server in self._checker.federation.servers:
            is_open = [
                id_
                for id_, row in server.database.table("transfer").items()
                if row["state"] in _OPEN and not self._checker.may_wait(server, id_)
            ]
            self._checker.demand(
                so=not is_open, told=f"{server.name} shows {is_open} as open"
            )
