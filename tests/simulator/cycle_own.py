"""Looks at what nodes keep of cycles and legs; see ``cycle_watch``.

A node agrees only with what its own ledger says, signs only what its treasurer said,
and books a leg once, by a decision, and never by a word.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nodes.rules import NotAnswered, SignLeg
from tests.simulator.cycle_reckoning import FIGURES, Move, figures
from tests.simulator.memory_cycles import mover
from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.cycle_watch import CycleWatch

_CYCLE_FIXED = ("cycle", "log", "number", "former_log", "former_number", "at")
_LEG_FIXED = ("cycle", "item", "line", "at", "debtor", "creditor", "milliseconds")
#: From which state what a node has said may go to which.
_SAID = {
    "told": {"told", "waiting"},
    "waiting": {"waiting", "agreed", "disputed"},
    "disputed": {"disputed", "agreed"},
    "agreed": {"agreed"},
}
_LEG = {
    "open": {"open", "signed", "void"},
    "signed": {"signed", "settled", "void"},
    "settled": {"settled"},
    "void": {"void"},
}
_WORDS = ("settlement.paid", "settlement.received")
Row = dict[str, Any]


class OwnCycles:
    """Watches the nodes of one simulated federation."""

    def __init__(self, watch: "CycleWatch") -> None:
        self._watch = watch
        #: By table, what looks at each of a node's rows that a batch has changed.
        self.looks: Mapping[str, Any] = {
            "account": OwnCycles._look_at_account,
            "cycle": OwnCycles._look_at_cycle,
            "leg": OwnCycles._look_at_leg,
        }

    # Cycles.

    def _look_at_cycle(self, node: Server, before: Row | None, now: Row) -> None:
        watch, told = self._watch, f"cycle {now['cycle']} at {node.name}"
        ended = watch.log.cycles.get((now["log"], now["number"]))
        watch.demand(
            so=ended is not None and ended["cycle"] == now["cycle"],
            told=f"{told} was not ended by the hub",
        )
        old = before or now | {"state": "told", "line": None}
        watch.demand(
            so=all(old[name] == now[name] for name in _CYCLE_FIXED)
            and old["line"] in (None, now["line"]),
            told=f"{told} changes after its end",
        )
        was, state = old["state"], now["state"]
        watch.demand(so=state in _SAID[was], told=f"{told} goes from {was} to {state}")
        if not watch.is_clear(node.name):
            return
        assert ended is not None
        if state != was and state in ("agreed", "disputed"):
            self._look_at_word(node, now, ended, told)

    def _look_at_word(self, node: Server, now: Row, ended: Row, told: str) -> None:
        """It agrees with what its own ledger says, and disputes nothing else."""
        watch = self._watch
        stated = msgspec.json.decode(now["line"])
        said = {name: stated[name] for name in FIGURES}
        own = self._figures(node, ended)
        if now["state"] == "agreed":
            watch.demand(
                so=said == own, told=f"{told} is agreed to, {said}, and is {own}"
            )
        elif watch.is_clear("hub"):
            is_altered = node.name in watch.people.ever_altered
            watch.demand(
                so=is_altered, told=f"{told} is disputed: {said}, and is {own}"
            )

    def _figures(self, node: Server, ended: Row) -> dict[str, Any]:
        """Reckon a cycle from a node's own postings."""
        log, (first, last) = self._watch.log, self._watch.log.span(ended)
        changed = self._watch.people.altered.get(node.name)
        database, opening, moves = node.database, 0, []
        for sequence, (amount, _) in database.table(("posting", "clearing")).items():
            entry = database.table("entry")[sequence]
            made = mover(database, entry)
            order = log.order(made["log"], made["number"])
            if order <= first:
                # An opening is read from the balances, which nobody has touched.
                is_changed = changed is not None and changed[0] == sequence
                opening -= changed[1][0] if is_changed else amount  # type: ignore[index]
            elif order <= last:
                name = made["log"], made["number"]
                moves.append(Move(order, *name, entry["entry_id"], -amount))
        return figures(opening, sorted(moves))

    # Legs.

    def _look_at_leg(self, node: Server, before: Row | None, now: Row) -> None:
        watch, group, state = self._watch, node.name, now["state"]
        told = f"leg {now['leg_id']} at {group}"
        old = before or now | {"state": "open"}
        watch.demand(
            so=all(old[name] == now[name] for name in _LEG_FIXED),
            told=f"{told} changes",
        )
        was = old["state"]
        watch.demand(so=state in _LEG[was], told=f"{told} goes from {was} to {state}")
        line = node.database.table(("item", "hub", "in")).get(now["item"])
        watch.demand(
            so=line == now["line"] and group in (now["debtor"], now["creditor"]),
            told=f"{told} was not given to it",
        )
        sign = 1 if now["debtor"] == group else -1
        if state == "signed" and watch.is_clear(group):
            word = "paid" if sign > 0 else "received"
            watch.demand(
                so=(group, now["leg_id"], word) in watch.people.signed,
                told=f"{told} is signed by no treasurer",
            )
        if state in ("settled", "void"):
            self._look_at_end(now, told)
        amount = sign * now["milliseconds"]
        booked = watch.checker.amounts(node, now["leg_id"])
        due = {"clearing": -amount, "settlement": amount} if state == "settled" else {}
        watch.demand(so=booked == due, told=f"{told} is {state}, and moved {booked}")

    def _look_at_end(self, now: Row, told: str) -> None:
        """It ended by a decision of the hub's, which says just that."""
        name, state = (now["log"], now["number"]), now["state"]
        decisions = self._watch.log.legs[now["leg_id"]]
        lies = self._watch.checker.lies
        if state == "void" and lies is not None and lies.may_differ(now["leg_id"]):
            # Nothing was moved by it, and people are called (``lie_watch``).
            return
        self._watch.demand(
            so=any(
                (one["log"], one["number"]) == name
                and one["outcome"] == state
                and one["code"] == now["code"]
                for one in decisions
            ),
            told=f"{told} is {state} by {name}, and was decided {decisions}",
        )

    def _look_at_account(self, node: Server, before: Row | None, now: Row) -> None:
        """What stands on the settlement account is what settled legs come to."""
        if now["account_id"] != "settlement" or before is None:
            return
        due = sum(
            leg["milliseconds"] if leg["debtor"] == node.name else -leg["milliseconds"]
            for leg in node.database.table("leg").values()
            if leg["state"] == "settled"
        )
        self._watch.demand(
            so=now["balance"] == due,
            told=f"{node.name} has settled {due}, and shows {now['balance']}",
        )

    # What treasurers are told.

    def on_told(self, order: object, outcome: object) -> None:
        """A "no" is true."""
        if not isinstance(order, SignLeg) or not isinstance(outcome, NotAnswered):
            return
        watch = self._watch
        nodes = watch.checker.federation.nodes
        legs = [
            (group, node.database.table("leg")[order.leg_id])
            for group, node in nodes.items()
            if order.leg_id in node.database.table("leg")
        ]
        is_true = {
            "leg-signed": any(leg["state"] != "open" for _, leg in legs),
            "leg-ended": any(leg["state"] in ("settled", "void") for _, leg in legs),
            "leg-not-yours": bool(legs),
        }
        told = f"leg {order.leg_id} is not {order.word}: {outcome.code}"
        watch.demand(so=is_true.get(outcome.code, False), told=f"{told}, untruly")

    def is_late_word(self, node: Server, told: str) -> bool:
        """Say whether a node's word was refused that came when its leg had ended."""
        found = [word for word in told.replace(":", " ").split() if word.isdecimal()]
        sent = node.database.table(("item", "hub", "out"))
        line = sent.get(int(found[0])) if found else None
        said = msgspec.json.decode(line) if line else {}
        if said.get("type") not in _WORDS:
            return False
        hub = self._watch.checker.federation.hub.database
        leg = hub.table("leg")[said["id"]]
        newest = max(hub.table("cycle"), default=0)
        statement = hub.table("statement").get((leg["cycle"], node.name), {})
        is_disputed = statement.get("dispute") is not None
        return leg["state"] == "void" or leg["cycle"] < newest or is_disputed

    # At the quiet end.

    def at_the_end(self) -> None:
        """No leg is settled for one group and void for the other."""
        watch = self._watch
        ends: dict[str, set[str]] = {}
        nodes = watch.checker.federation.nodes
        for node in nodes.values():
            for leg_id, leg in node.database.table("leg").items():
                if leg["state"] in ("settled", "void"):
                    ends.setdefault(leg_id, set()).add(leg["state"])
        lies = watch.checker.lies
        for leg_id, states in ends.items():
            is_lied_about = lies is not None and lies.may_differ(leg_id)
            is_one = len(states) == 1 or is_lied_about
            watch.demand(so=is_one, told=f"leg {leg_id} ends in two ways")
        if not watch.checker.doubted:
            for node in nodes.values():
                self._compare(node)

    def _compare(self, node: Server) -> None:
        """A node knows every cycle and every leg of its group's as the hub does."""
        watch, group = self._watch, node.name
        hub = watch.checker.federation.hub.database
        stated = {
            cycle: row["line"]
            for (cycle, name), row in hub.table("statement").items()
            if name == group
        }
        own = {
            cycle: row["line"] for cycle, row in node.database.table("cycle").items()
        }
        watch.demand(so=own == stated, told=f"{group} has not all of its cycles")
        for row in hub.table("leg").values():
            if group not in (row["debtor"], row["creditor"]):
                continue
            leg = node.database.table("leg").get(row["leg_id"])
            told = f"leg {row['leg_id']}"
            watch.demand(so=leg is not None, told=f"{told} never came to {group}")
            assert leg is not None
            is_signed = row["paid" if row["debtor"] == group else "received"]
            due = row["state"]
            if due == "open" and is_signed:
                due = "signed"
            watch.demand(
                so=leg["state"] == due, told=f"{told} is {leg['state']} at {group}"
            )
