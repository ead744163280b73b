"""What stays promised where the hub lies, and that who is honest is not accused.

Of ``checker``, and like it without the product's code. Whatever a hub says: no ledger
moves what its group's member did not order or the other group did not accept; each
ledger's own sums are right; what a node has proof of is what it booked. What leaves
proof is found: once all have spoken again, a node that doubts nobody has compared
everything it took, and holds nothing that contradicts what the hub shows it. At each
look what it believes of a log goes on from what it believed; and what it took that
says of itself that it is wrong, it has told to people by its name.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from protocol.address import HUB
from tests.simulator.cycle_reckoning import tree_hash
from tests.simulator.federation import Federation, Node
from tests.simulator.hub_lies import HubLies, Line
from tests.simulator.lying_hub import LyingHub

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

#: What calls people, by lie: a word of what they are told. Who doubts has told enough.
_TOLD = {
    "states-otherwise": "cycle",
    "voids-settled": "taken but is not in the log",
    "plans-another-amount": "sharing",
}
#: What calls people about the very thing that it is about, also if the hub is doubted.
_NAMED = {
    "invents-accept": "transfer",
    "clears-alone": "transfer",
    "clears-refused": "transfer",
    "withholds-accept": "transfer",
    "settles-on-no-word": "leg",
    "settles-another-amount": "leg",
    "withholds-plan": "sharing",
    "shares-otherwise": "sharing",
    "charges-otherwise": "sharing",
    "charges-too-much": "sharing",
}
#: Lies in another group's name: whoever has compared them doubts.
_FORGED = ("invents-accept", "clears-alone")
#: People are called so often an hour about one kind of thing; more is only counted.
_CALLS_MAX = 20
#: What a decision on a leg says of it.
_OF_LEG = ("cycle", "debtor", "creditor", "milliseconds")
Row = dict[str, Any]


def said(node: Node, kind: str) -> set[str]:
    """Name the transfers about which a node has itself said something of a kind."""
    lines = node.database.table(("item", HUB, "out")).values()
    quoted = f'"{kind}"'.encode()
    items = [msgspec.json.decode(line) for line in lines if quoted in line]
    return {item["id"] for item in items if item["type"] == kind}


def see_no_harm(federation: Federation, *dishonest: str) -> None:
    """Nothing is booked that the groups concerned did not sign for each other."""
    nodes = federation.nodes
    asked = {name: said(node, "transfer.prepare") for name, node in nodes.items()}
    accepted = {name: said(node, "transfer.accept") for name, node in nodes.items()}
    for name, node in nodes.items():
        if name in dishonest:
            continue
        _see_sums(node)
        clearing = _settled(node) + _shared(node)
        for id_, row in node.database.table("transfer").items():
            payer, payee = row["payer_group"], row["payee_group"]
            if row["state"] != "cleared" or payer == payee:
                continue
            assert payer in dishonest or id_ in asked[payer], (
                f"{name}: nobody asked for {id_}"
            )
            assert payee in dishonest or id_ in accepted[payee], (
                f"{name}: nobody accepted {id_}"
            )
            clearing += (1 if row["role"] == "payer" else -1) * row["milliseconds"]
        balance = node.database.table("account")["clearing"]["balance"]
        assert balance == clearing, f"{name}'s clearing account is not {clearing}"
        _see_proofs(node)
        _see_legs(node)


def _id_of(line: Line) -> str:
    """Name the transfer, or the leg, that a line is about."""
    item = msgspec.json.decode(line.true)
    if item["type"] == "transfer.answer":
        item = msgspec.json.decode(item["line"])
    return str(item["id"])


def _see_sums(node: Node) -> None:
    sums: Counter[str] = Counter()
    for row in node.database.table("account").values():
        sums[row["unit"]] += row["balance"]
    assert not any(sums.values()), f"{node.name} sums to {dict(sums)}"


def _settled(node: Node) -> int:
    """Say what legs have moved on a node's clearing account."""
    return sum(
        -leg["milliseconds"] if leg["debtor"] == node.name else leg["milliseconds"]
        for leg in node.database.table("leg").values()
        if leg["state"] == "settled"
    )


def _shared(node: Node) -> int:
    account = node.database.table("account").get("shared")
    return -account["balance"] if account and account["kind"] == "system" else 0


def _see_proofs(node: Node) -> None:
    """What a node can prove of a transfer is how it stands there."""
    items = node.database.table(("item", HUB, "in"))
    for id_, (number, log, size, path) in node.database.table("proof").items():
        decision = msgspec.json.decode(items[number])
        told = f"{node.name}: what it has proof of, {id_},"
        state = node.database.table("transfer")[id_]["state"]
        assert decision["id"] == id_, f"{told} is of another"
        is_here = state in ("ordered", "accepted", decision["outcome"])
        assert is_here, f"{told} was {decision['outcome']}, and is {state}"
        assert node.database.table("proven checkpoint")[log, size], f"{told} {path}"


def _see_legs(node: Node) -> None:
    """A leg ends by a decision on that very leg, as this node was told of it."""
    taken = [
        one
        for line in node.database.table(("item", HUB, "in")).values()
        if b'"kind":"settlement"' in line and b'"type":"decision"' in line
        for one in [msgspec.json.decode(line)]
    ]
    for id_, leg in node.database.table("leg").items():
        if leg["state"] not in ("settled", "void"):
            continue
        ours = [leg[name] for name in ("log", "number", *_OF_LEG)]
        assert any(
            one["id"] == id_
            and one["outcome"] == leg["state"]
            and [one[name] for name in ("log", "number", *_OF_LEG)] == ours
            for one in taken
        ), f"{node.name}: leg {id_} is {leg['state']} by a decision on another"


class LieWatch:
    """Watches what nodes make of one simulated hub's log and words."""

    def __init__(self, checker: "Checker", liar: LyingHub, lies: HubLies) -> None:
        self._checker, self._liar, self._lies = checker, liar, lies
        self._nodes = checker.federation.nodes
        checker.lies = self
        self._doubted: Counter[str] = Counter()
        #: What each node believed of each log when it had looked before.
        self._believed: dict[tuple[str, str], Row] = {}
        liar.watchers.on_looked = self._on_looked

    def _demand(self, *, so: bool, told: str) -> None:
        self._checker.demand(so=so, told=told)

    # While it runs: nobody is accused who is honest.

    def _on_looked(self, node: Node) -> None:
        """Whoever is doubted gave reason."""
        doubts = list(node.database.table("doubt").values())
        new = doubts[self._doubted[node.name] :]
        self._doubted[node.name] = len(doubts)
        for about, told, ours, theirs in new:
            self._demand(
                so=self._has_reason(about, told),
                told=f"{node.name} doubts {about}, which is honest: {told}",
            )
            self._demand(
                so=bool(ours and theirs), told=f"{node.name} keeps no proof: {told}"
            )

        if node.name not in self._checker.doubted:
            for (_, log), row in node.database.table("belief").items():
                self._look_at_growth(node.name, log, row)

    def _look_at_growth(self, name: str, log: str, row: Row) -> None:
        """What is believed from now on goes on from what was believed."""
        before = self._believed.get((name, log))
        self._believed[name, log] = row
        if before is None or before == row or self._checker.is_restored:
            return
        lines = self._liar.lines(name, log)
        self._demand(
            so=row["size"] >= before["size"]
            and tree_hash(lines[: before["size"]]) == before["root"],
            told=f"{name} has believed log {log}/{before['size']}, and believes"
            f" {row['size']} now, which does not go on from it",
        )

    def _has_reason(self, about: str, told: str) -> bool:
        """A hub has lied, or forgot what it had said; a group's word is its own."""
        if self._lies.began:
            return True
        if not self._checker.is_restored:
            return about in self._checker.doubted
        return about != HUB or self._is_forgotten(told)

    def _is_forgotten(self, told: str) -> bool:
        """Say whether a decision that is missed is not in the log any more."""
        words = [word for word in told.split() if word.count("/") == 1]
        decisions = self._liar.hub.database.table("decision")
        names = [word.split("/") for word in words]
        return HUB in self._checker.doubted and any(
            number.isdecimal() and (log, int(number)) not in decisions
            for log, number in names
        )

    def may_wait(self, server: str, transfer_id: str) -> bool:
        """Say whether a transfer may wait for ever: the hub has lied about it."""
        return any(
            (transfer_id.encode() in line.true and server in (line.group, HUB))
            or (server == line.group and self._is_key_hidden(line, transfer_id))
            for line in self._lies.lines
        )

    def _is_key_hidden(self, line: Line, transfer_id: str) -> bool:
        """Say whether a lie kept from a node by whose key it was answered."""
        row = self._nodes[line.group].database.table("transfer").get(transfer_id)
        if row is None or b'"kind":"keys"' not in line.true:
            return False
        changed = msgspec.json.decode(line.true)["group"]
        return changed in (row["payer_group"], row["payee_group"])

    def may_differ(self, transfer_id: str) -> bool:
        """Say whether the hub has told two groups two things of a transfer."""
        return any(transfer_id.encode() in line.true for line in self._lies.lines)

    # Once everyone has spoken again.

    def at_the_end(self) -> None:
        """What leaves proof was found; nobody was harmed beyond what is said."""
        try:
            see_no_harm(self._checker.federation, *self._checker.doubted - {HUB})
        except AssertionError as error:
            self._demand(so=False, told=str(error))
        for node in self._nodes.values():
            if self._is_watching(node):
                self._look_at_belief(node)
        for group, word in sorted(self._lies.standing):
            if group in self._nodes:
                self._look_at_name(group, word)
        for line in self._lies.lines:
            self._look_at_line(line)

    def _is_watching(self, node: Node) -> bool:
        """Say whether a node, honest and never put back, still compares."""
        link = node.database.table("link")[HUB]
        is_clear = node.name not in self._checker.doubted and not link["trouble"]
        return is_clear and not self._doubts(node)

    def _doubts(self, node: Node) -> bool:
        return any(row[0] == HUB for row in node.database.table("doubt").values())

    def _look_at_belief(self, node: Node) -> None:
        name = node.name
        compared = node.database.table("compared item").get(True, 0)
        taken = node.database.table("link")[HUB]["taken"]
        self._demand(
            so=compared == taken,
            told=f"{name} has compared {compared} of {taken} items, and doubts nobody",
        )
        shown = {log: self._liar.lines(name, log) for log in self._logs(node)}
        beliefs = node.database.table("belief").items()
        for (_, log), row in beliefs:
            self._look_at_root(name, log, row, shown.get(log, []))
        newest = self._liar.hub.clerk.life  # type: ignore[union-attr]
        for decision, line in self._decisions(node):
            log, number = decision["log"], decision["number"]
            lines = shown.get(log, [])
            if log == newest or not self._checker.is_restored:
                self._demand(
                    so=number < len(lines) and lines[number] == line,
                    told=f"{name} was told decision {log}/{number}, is shown another,"
                    " and doubts nobody",
                )
        self._look_at_directory(node)

    def _logs(self, node: Node) -> set[str]:
        decisions = {decision["log"] for decision, _ in self._decisions(node)}
        return decisions | {log for _, log in node.database.table("belief")}

    def _decisions(self, node: Node) -> Iterator[tuple[Row, bytes]]:
        for line in node.database.table(("item", HUB, "in")).values():
            if line.startswith(b'{"type":"decision"'):
                yield msgspec.json.decode(line), line

    def _look_at_root(self, name: str, log: str, row: Row, lines: list[bytes]) -> None:
        if self._checker.is_restored:
            return
        size, root = row["size"], row["root"]
        self._demand(
            so=size <= len(lines) and tree_hash(lines[:size]) == root,
            told=f"{name} believes log {log}/{size}, is shown another,"
            " and doubts nobody",
        )

    def _look_at_directory(self, node: Node) -> None:
        told = [
            line
            for decision, line in self._decisions(node)
            if decision["kind"] in ("directory", "keys")
        ]
        decided = [
            line
            for _, line in self._liar.hub.database.table("decision").values()
            if b'"kind":"directory"' in line or b'"kind":"keys"' in line
        ]
        self._demand(
            so=self._checker.is_restored or told[-len(decided) :] == decided,
            told=f"{node.name} folds another directory, and doubts nobody",
        )

    def _look_at_name(self, group: str, word: str) -> None:
        """Who is shown covers that name what nobody signed has doubted, or stopped."""
        node = self._nodes[group]
        self._demand(
            so=word != "names-another" or not self._is_watching(node),
            told=f"covers name what nobody signed to {group}, which doubts nobody",
        )

    def _look_at_line(self, line: Line) -> None:
        """Who took a lie that says so of itself has called people, or stopped."""
        node = self._nodes[line.group]
        taken = set(node.database.table(("item", HUB, "in")).values())
        if node.name in self._checker.doubted or not taken.issuperset(line.sent):
            return
        told = f"the hub's lie {line.word} to {node.name} is not found"
        if line.word in _TOLD:
            self._demand(so=self._is_told(node, line), told=told)
        if line.word in _FORGED:
            self._demand(so=not self._is_watching(node), told=told)
        if line.word in _NAMED and self._is_wrong(node, line):
            self._demand(so=self._is_named(node, line), told=f"{told}: nobody is told")

    def _is_told(self, node: Node, line: Line) -> bool:
        if self._doubts(node) or node.database.table("link")[HUB]["trouble"]:
            return True
        alarms = node.database.table("alarm").values()
        return any(_TOLD[line.word] in str(told) for _, _, told in alarms)

    def _is_wrong(self, node: Node, line: Line) -> bool:
        """Say whether what was sent is wrong by what this node knows itself."""
        if line.word == "withholds-accept":
            return self._is_cleared_bare(node, line)
        if line.word == "withholds-plan":
            return self._is_decided(node, "shared", line)
        if line.word == "clears-refused":
            transfer = node.database.table("transfer").get(_id_of(line))
            return transfer is not None and transfer["role"] == "payer"
        return True

    def _is_named(self, node: Node, line: Line) -> bool:
        """Say whether people were told what is wrong, or had been told too much."""
        alarms = node.database.table("alarm").values()
        about = f"{_NAMED[line.word]} {_id_of(line)}: "
        kind = "transfer" if _NAMED[line.word] == "transfer" else "cycle"
        return (
            any(about in str(told) for _, _, told in alarms)
            or sum(one[1] == kind for one in alarms) >= _CALLS_MAX
        )

    def _is_decided(self, node: Node, kind: str, line: Line) -> bool:
        """Say whether a node was told a decision on what a line is about."""
        items = node.database.table(("item", HUB, "in")).values()
        words = f'"kind":"{kind}"'.encode(), f'"id":"{_id_of(line)}"'.encode()
        return any(all(word in one for word in words) for one in items)

    def _is_cleared_bare(self, node: Node, line: Line) -> bool:
        """Say whether a node took a clearance without the answer to its order."""
        id_ = _id_of(line)
        named = f'"id":"{id_}"'.encode()
        items = node.database.table(("item", HUB, "in")).values()
        has_answer = any(
            b'"transfer.answer"' in one and id_.encode() in one for one in items
        )
        return not has_answer and any(
            named in one and b'"outcome":"cleared"' in one for one in items
        )
