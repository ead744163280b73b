"""Looks at what is written down beside the ledgers: log, checkpoints, dates, texts.

Sums may be right and yet a checkpoint state another tree, a decision bear another time,
a member read another's words, or a group be told other limits than those that bind it.
All is reckoned here from the decisions' lines, by code of its own.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from clearing.rules import Freeze, Limit, Release
from protocol.directory import GroupRecord
from protocol.instant import from_datetime, read_instant
from tests.simulator.agenda import HOUR, SECOND
from tests.simulator.members import Wish
from tests.simulator.reasons import Before
from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

_ENDED = ("cleared", "refused")
Named = tuple[str, int]
Looks = Mapping[str, Callable[[Server, Before, Any, Any], None]]


class Leaves:
    """A tree of RFC 9162 as far as its root needs it: its right edge."""

    def __init__(self) -> None:
        self._edge: list[tuple[int, bytes]] = []

    def add(self, line: bytes) -> None:
        """Add a leaf."""
        height, found = 0, hashlib.sha256(b"\0" + line).digest()
        while self._edge and self._edge[-1][0] == height:
            found = hashlib.sha256(b"\1" + self._edge.pop()[1] + found).digest()
            height += 1
        self._edge.append((height, found))

    @property
    def root(self) -> str:
        """The tree hash so far, as checkpoints write it."""
        found = hashlib.sha256().digest()
        for place, (_, left) in enumerate(reversed(self._edge)):
            joined = b"\1" + left + found
            found = hashlib.sha256(joined).digest() if place else left
        return base64.b64encode(found).decode()


class Papers:
    """Watches what the servers of one simulated federation write down."""

    def __init__(self, checker: "Checker") -> None:
        self._checker = checker
        self._people = checker.people
        self._people.on_decided = self._look_at_word
        self._logs: dict[str, Leaves] = defaultdict(Leaves)
        #: By log and size, the tree that was reached there.
        self._roots: dict[Named, str] = {}
        self._decisions: dict[Named, dict[str, Any]] = {}
        #: By table, what looks at each of its rows that a batch has changed.
        self._looks_at_hub: Looks = {
            "transfer": self._look_at_reason,
            "hold": self._look_at_hold,
        }
        self._looks_at_node: Looks = {
            "transfer": self._look_at_transfer,
            "hold": self._look_at_hold,
            "account": self._look_at_freeze,
        }
        #: How many directory decisions there were, and what their tree hash was then.
        self._directory = (-1, "")

    def _demand(self, *, so: bool, told: str) -> None:
        self._checker.demand(so=so, told=told)

    def _is_clear(self, *names: str) -> bool:
        return self._checker.doubted.isdisjoint(names)

    # While it runs.

    def look(self, server: Server, first: Before) -> None:
        """Look at what a batch has written."""
        is_hub = server is self._checker.federation.hub
        looks = self._looks_at_hub if is_hub else self._looks_at_node
        for (name, key), before in first.items():
            if is_hub and name == "decision":
                self._look_at_decision(server, key)
            elif is_hub and name == "checkpoint":
                self._look_at_checkpoint(server, key)
            elif name in looks:
                row = server.database.table(name)[key]
                looks[name](server, first, before, row)

    def _look_at_decision(self, hub: Server, named: Named) -> None:
        """Each decision bears the time when it was made, and so do the hub's rows."""
        line = hub.database.table("decision")[named][1]
        decision = self._decisions[named] = msgspec.json.decode(line)
        log, number = named
        tree = self._logs[log]
        tree.add(line)
        self._roots[log, number + 1] = tree.root
        told = f"decision {log}/{number}"
        self._demand(
            so=read_instant(decision["at"]) == hub.clock.now(),
            told=f"{told} bears another time than the one when it was made",
        )
        if decision["kind"] == "log":
            self._look_at_beginning(hub, decision, told)
        elif decision["kind"] == "transfer":
            row = hub.database.table("transfer")[decision["id"]]
            self._compare(row, decision, f"the hub's row of {decision['id']}")

    def _look_at_beginning(self, hub: Server, decision: Any, told: str) -> None:
        """A log begins with the last checkpoint of the one before."""
        logs = [log for log, _ in hub.database.table("decision")]
        before = next((one for one in reversed(logs) if one != decision["log"]), None)
        known = [
            (log, size, root)
            for (log, size), (root, _) in hub.database.table("checkpoint").items()
            if log == before
        ]
        former = decision["former"]
        named = former and (former["log"], former["size"], former["root"])
        self._demand(
            so=named == (known[-1] if known else None),
            told=f"{told} begins behind {former}, and the log before ended elsewhere",
        )

    def _look_at_checkpoint(self, hub: Server, named: Named) -> None:
        """A checkpoint states the very trees of the log and of the directory."""
        _, note = hub.database.table("checkpoint")[named]
        _, size, root, directory, *_ = note.split("\n")
        told = f"checkpoint {named[0]}/{named[1]}"
        is_log = (int(size), root) == (named[1], self._roots.get(named))
        self._demand(so=is_log, told=f"{told} states another tree than the log's")
        rows = hub.database.table("directory")
        if self._directory[0] != len(rows):
            newest = dict(rows.values())
            tree = Leaves()
            for group in sorted(newest):
                tree.add(newest[group])
            stated = f"directory {len(rows)} {len(newest)} {tree.root}"
            self._directory = len(rows), stated
        self._demand(
            so=directory == self._directory[1],
            told=f"{told} states another directory than the decisions'",
        )

    def _look_at_reason(
        self, _hub: Server, _first: Before, before: Any, row: Any
    ) -> None:
        """A "no" that waits for a group to compare stays what it is."""
        waits = before and before["waiting_code"]
        said = row["waiting_code"] or row["code"]
        self._demand(
            so=not waits or said == waits,
            told=f"the hub was to refuse {row['transfer_id']} ({waits}); now: {said}",
        )

    def _look_at_transfer(
        self, node: Server, first: Before, before: Any, row: Any
    ) -> None:
        self._look_at_end(node, row)
        if before is None and row["role"] == "payer":
            self._look_at_order(node, first, row)

    def _look_at_order(self, node: Server, first: Before, row: Any) -> None:
        """A node asks at its newest rate, with a deadline by the hub's time."""
        if row["payee_group"] == node.name or any(
            name == "directory" for name, _ in first
        ):
            return
        line = dict(node.database.table("directory").values())[node.name]
        signed = msgspec.json.decode(line)["entry"].split(".")[1]
        entry = base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4))
        rates = msgspec.json.decode(entry)["rates"]
        told = f"{node.name} orders {row['transfer_id']}"
        self._demand(
            so=row["payer_rate"] == len(rates), told=f"{told} at a rate of old"
        )
        reckoned = {
            at + (30 * SECOND if wish.deliver == "now" else 72 * HOUR)
            for wish in self._people.wishes
            if wish.transfer_id == row["transfer_id"]
            for at in wish.asked_at
        }
        self._demand(
            so=from_datetime(row["decide_by"]) in reckoned,
            told=f"{told} with another deadline than by the hub's clock",
        )

    def _look_at_end(self, node: Server, row: Any) -> None:
        """A node keeps of a decision what the hub decided."""
        named = row["log"], row["number"]
        if row["state"] not in _ENDED or row["log"] is None:
            return
        if self._is_clear(node.name, "hub"):
            decision = self._decisions.get(named, {"id": None})
            told = f"{node.name}'s row of {row['transfer_id']}"
            is_its = decision["id"] == row["transfer_id"]
            self._demand(so=is_its, told=f"{told} names another's decision")
            self._compare(row, decision, told)

    def _compare(self, row: Any, decision: Any, told: str) -> None:
        at = row["decided_at"] and from_datetime(row["decided_at"])
        kept = (row["log"], row["number"], at, row["code"])
        said = (
            decision["log"],
            decision["number"],
            read_instant(decision["at"]),
            decision["code"],
        )
        self._demand(so=kept == said, told=f"{told} says {kept}, decided was {said}")

    def _look_at_hold(
        self, server: Server, _first: Before, before: Any, hold: Any
    ) -> None:
        """A hold is of the transfer's own accounts, by the rate that it fixes."""
        if before is not None:
            return
        row = server.database.table("transfer")[hold["transfer_id"]]
        of = {
            "hub": (row["payer_group"], row["payee_group"], row["milliseconds"]),
            "payer": (row["account"], f"conversion.{row['payer_rate']}", row["amount"]),
            "payee": (f"conversion.{row['payee_rate']}", row["account"], row["amount"]),
        }[row["role"]]
        held = hold["debit_account"], hold["credit_account"], hold["amount"]
        self._demand(so=held == of, told=f"{server.name} holds {held} and not {of}")

    def _look_at_freeze(
        self, server: Server, _first: Before, before: Any, now: Any
    ) -> None:
        """An account is frozen, or released, because somebody wished it."""
        if before is None:
            return
        name = now["account_id"]
        is_new = before["frozen"] != now["frozen"] and now["kind"] == "member"
        wished = (server.name, name, now["frozen"]) in self._people.freezes
        self._demand(
            so=not is_new or wished or not self._is_clear(server.name),
            told=f"{name}@{server.name} is frozen: {now['frozen']}; nobody wished it",
        )

    def _look_at_word(self, order: object, outcome: object) -> None:
        """What the regional admin is told of a group is what she wished."""
        if not isinstance(outcome, GroupRecord):
            return
        match order:
            case Freeze():
                is_so = outcome.state == "frozen"
            case Release():
                is_so = outcome.state != "frozen"
            case Limit(floor=floor, ceiling=ceiling):
                is_so = (outcome.floor, outcome.ceiling) == (floor, ceiling)
            case _:
                return
        self._demand(so=is_so, told=f"the admin is told yes to {order}; it is not so")

    # At the quiet end.

    def at_the_end(self) -> None:
        """All know the same of every group, and each payment's words are kept."""
        self._look_at_directories()
        self._look_at_numbers()
        wishes: dict[str, list[Wish]] = defaultdict(list)
        for wish in self._people.wishes:
            wishes[wish.transfer_id].append(wish)
        for node in self._checker.federation.nodes.values():
            for id_, row in node.database.table("transfer").items():
                groups = row["payer_group"], row["payee_group"]
                if self._is_clear("hub", *groups) and row["state"] == "cleared":
                    self._look_at_content(node, row, wishes[id_])
        if not self._checker.doubted:
            self._look_at_refunds(wishes)
            self._look_at_proposals()

    def _look_at_directories(self) -> None:
        hub = self._checker.federation.hub
        known = dict(hub.database.table("directory").values())
        for group, line in known.items():
            told, row = msgspec.json.decode(line), hub.database.table("account")[group]
            binds = row["floor"], row["ceiling"]
            self._demand(
                so=binds == (told["floor"], told["ceiling"]) or "hub" in self._doubted,
                told=f"{group} is told other limits than {binds}, which bind it",
            )
        for node in self._checker.federation.nodes.values():
            if self._is_clear("hub", node.name):
                own = dict(node.database.table("directory").values())
                self._demand(
                    so=own == known, told=f"{node.name} knows another directory"
                )

    def _look_at_numbers(self) -> None:
        """A transfer names the items that are about it; only who was asked is told."""
        hub = self._checker.federation.hub
        for id_, row in hub.database.table("transfer").items():
            payer, payee = row["payer_group"], row["payee_group"]
            if not self._is_clear("hub", payer, payee) or not row["prepare"]:
                continue
            asked = ((payee, row["item_number"]), (payer, row["answer_number"]))
            for group, number in asked:
                line = hub.database.table(("item", group, "out")).get(number, b"")
                self._demand(
                    so=number is None or id_.encode() in line,
                    told=f"the hub's item {number} for {group} is not about {id_}",
                )
        for group in self._checker.federation.nodes:
            self._look_at_told(hub, group)

    def _look_at_told(self, hub: Server, group: str) -> None:
        rows = hub.database.table("transfer")
        for line in hub.database.table(("item", group, "out")).values():
            if b'"kind":"transfer"' not in line:
                continue
            id_ = msgspec.json.decode(line)["id"]
            # A hub that lies decides on what nobody ordered, too.
            row = rows.get(id_)
            is_its = row is not None and (
                row["payer_group"] == group or row["item_number"] is not None
            )
            self._demand(
                so=is_its or not self._is_clear("hub", group),
                told=f"{group} is told of {id_}, never offered to it",
            )

    @property
    def _doubted(self) -> set[str]:
        return self._checker.doubted

    def _look_at_content(self, node: Server, row: Any, wishes: list[Wish]) -> None:
        """Both members read what was ordered."""
        told = f"{node.name}: the content of {row['transfer_id']}"
        line = node.database.table("content").get(row["content"])
        self._demand(so=line is not None, told=f"{told} is not kept")
        said = msgspec.json.decode(line)
        read = [said[one] for one in ("payer", "payee", "payee_amount", "name", "memo")]
        ordered = [
            [
                wish.member,
                wish.payee,
                wish.payee_amount,
                wish.member.title(),
                f"for {wish.key}",
            ]
            for wish in wishes
        ]
        self._demand(so=read in ordered, told=f"{told} says {read}, not {ordered}")

    def _look_at_refunds(self, wishes: dict[str, list[Wish]]) -> None:
        """Who was paid gives back, to who paid her."""
        for (wish,) in (found for found in wishes.values() if len(found) == 1):
            if wish.refund_of is None:
                continue
            node = self._checker.federation.nodes[wish.group]
            row = node.database.table("transfer").get(wish.transfer_id)
            if row is None or row["state"] != "cleared":
                continue
            pairs = [
                ((one.group, one.member), (one.payee_group, one.payee))
                for one in wishes[wish.refund_of]
            ]
            back = (wish.payee_group, wish.payee), (wish.group, wish.member)
            self._demand(
                so=back in pairs, told=f"{wish.transfer_id} gives back to another"
            )

    def _look_at_proposals(self) -> None:
        """Hub and node say the same of what a group has asked for."""
        asked = self._checker.federation.hub.database.table("proposal")
        for node in self._checker.federation.nodes.values():
            own = node.database.table("proposal")
            for (group, number), row in asked.items():
                if group == node.name:
                    here = (own.get(number) or {"state": "unknown"})["state"]
                    is_so = here == row["state"] or (
                        here == "replaced" and self._has_crossed(row, own)
                    )
                    self._demand(
                        so=is_so,
                        told=f"{group}'s proposal {number} is {row['state']} at the"
                        f" hub and {here} at its node",
                    )

    def _has_crossed(self, row: Any, own: Any) -> bool:
        """Say whether the hub answered what its node had replaced meanwhile.

        A newer one takes an older one's place at its node at once, and at the hub when
        it arrives (decision 15). Before that, new keys may have ended the older one, or
        the admin has approved it: then the same entry, asked for again, is approved.
        """
        if row["state"] == "approved":
            again = [
                one
                for number, one in own.items()
                if number > row["number"] and one["entry"] == row["entry"]
            ]
            return any(one["state"] == "approved" for one in again)
        is_newer = max(own) > row["number"]
        return row["state"] == "refused" and is_newer and self._is_ended_by_keys(row)

    def _is_ended_by_keys(self, row: Any) -> bool:
        """Say whether a no stands right before the decision on its group's new keys."""
        group = row["group_name"]
        items = self._checker.federation.hub.database.table(("item", group, "out"))
        said = {number: msgspec.json.decode(line) for number, line in items.items()}
        return any(
            one["type"] == "item.refused"
            and (one["number"], one["hash"]) == (row["number"], row["line_hash"])
            and said.get(number + 1, {}).get("kind") == "keys"
            and said[number + 1]["group"] == group
            for number, one in said.items()
        )
