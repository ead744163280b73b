"""Looks at what groups share: a debt that one left behind, and the symmetric charge.

Of ``life_watch``. Each decision is reckoned again (``share_reckoning``) from what the
lines before it say; each node books its own part once, and was told of a debt before.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from clearing.rules import NotShared, ShareDebt, TellShares
from protocol.instant import read_instant
from tests.simulator.cycle_reckoning import hash_of_line
from tests.simulator.reasons import Before
from tests.simulator.servers import Server
from tests.simulator.share_reckoning import (
    Charge,
    average,
    charges,
    parts,
    who_bears,
    who_pays,
)

if TYPE_CHECKING:
    from tests.simulator.life_watch import LifeWatch

Row = dict[str, Any]
#: What a hub's row of a sharing keeps from its first day, and a node's.
_FIXED = ("why", "group_name", "place", "line", "told_at")
_OWN_FIXED = ("why", "group_name", "item", "line")
_GONE = ("left", "frozen")


class ShareWatch:
    """Watches what is shared in one simulated federation.

    Attributes:
        decided: by id, the decisions that shared something; one, but where a hub has
            forgotten the first.
    """

    def __init__(self, watch: "LifeWatch") -> None:
        self._watch = watch
        self.decided: dict[str, list[Row]] = {}
        #: By place, when a decision was made.
        self._at: dict[int, int] = {}
        #: The decision that ended the newest cycle, and its place.
        self._newest: tuple[Row, int] | None = None
        #: What must be charged by the very next decision.
        self._due: list[Charge] | None = None
        #: Decided in this batch.
        self._new: list[Row] = []

    def _demand(self, *, so: bool, told: str) -> None:
        self._watch.demand(so=so, told=told)

    @property
    def _hub(self) -> Server:
        return self._watch.hub

    @property
    def _states(self) -> Mapping[str, str]:
        return self._watch.checker.states

    # The log.

    def on_decision(self, decision: Row, place: int) -> None:
        """Follow the log; what came before this decision is already known."""
        self._at[place] = read_instant(decision["at"])
        due, self._due = self._due, None
        is_charge = decision["kind"] == "shared" and decision["why"] == "charge"
        if self._watch.is_clear("hub"):
            self._demand(
                so=is_charge or not due,
                told=f"a cycle ends without its charge: {due}",
            )
        if decision["kind"] == "cycle":
            self._on_cycle(decision, place)
        elif decision["kind"] == "shared":
            self.decided.setdefault(decision["id"], []).append(decision)
            self._new.append(decision)
            if self._watch.is_clear("hub"):
                self._on_shared(decision, due)

    def _on_cycle(self, decision: Row, place: int) -> None:
        former, self._newest = self._newest, (decision, place)
        rule = self._hub.agreed.charge  # type: ignore[attr-defined]
        if former is None or not self._watch.is_clear("hub"):
            return
        found = {}
        for group in who_pays(self._states):
            mean = self._average(group, former, decision)
            if mean is not None:
                found[group] = mean
        self._due = charges(found, self._watch.spans, rule.rate, rule.threshold)

    def _average(self, group: str, former: tuple[Row, int], ends: Row) -> int | None:
        """Reckon where a group stood in a cycle, from what the decisions moved."""
        begin, since = read_instant(former[0]["at"]), former[1]
        opening, before, moves = 0, 0, []
        for place, position in self._watch.checker.moves(group):
            if place <= since:
                opening = position
            else:
                moves.append((self._at[place], position - before))
            before = position
        return average(opening, moves, begin, read_instant(ends["at"]))

    def _on_shared(self, decision: Row, due: list[Charge] | None) -> None:
        told = f"{decision['why']} {decision['id']}"
        again = len(self.decided[decision["id"]]) > 1
        self._demand(so=not again, told=f"{told} is decided a second time")
        if decision["why"] == "charge":
            self._on_charge(decision, due, told)
        else:
            self._on_debt(decision, told)

    def _on_charge(self, decision: Row, due: list[Charge] | None, told: str) -> None:
        """It follows from the cycle just ended, and stands right behind its end."""
        self._demand(so=bool(due), told=f"{told}: nobody was to be charged")
        assert due is not None and self._newest is not None
        said = [Charge(*_fields(one)) for one in decision["shares"]]
        self._demand(so=said == due, told=f"{told}: charges {said}, and {due} is due")
        self._demand(
            so=decision["cycle"] == self._newest[0]["cycle"]
            and decision["reserve"] == -sum(one.amount for one in due),
            told=f"{told} is of another cycle, or leaves a rest: {decision}",
        )

    def _on_debt(self, decision: Row, told: str) -> None:
        """It shares what a group leaves, as all agreed, to the last millisecond."""
        group, watch = decision["group"], self._watch
        state, position = self._states[group], watch.position(group)
        self._demand(
            so=state in _GONE and position != 0,
            told=f"{told}: {group} is {state} and leaves {position}",
        )
        rule = self._hub.agreed.rule  # type: ignore[attr-defined]
        said = {one["group"]: one["amount"] for one in decision["shares"]}
        due = self.parts(group, rule, position)
        self._demand(
            so=rule == decision["rule"] and said == due,
            told=f"{told}: {decision['rule']} gives {said}, and {due} is due by {rule}",
        )
        measures = {one["group"]: one["measure"] for one in decision["shares"]}
        lawful = self._measures(group, rule)
        self._demand(so=measures == lawful, told=f"{told} measures by {measures}")
        missing = [
            one
            for one, state in self._states.items()
            if state not in _GONE
            and not watch.checker.doubted
            and not watch.checker.has_compared(self._hub, one, decision["log"])
        ]
        self._demand(so=not missing, told=f"{told} before {missing} have compared")

    def parts(self, group: str, rule: str | None, position: int) -> Any:
        """Reckon what each must take over; ``None``: nobody can."""
        return None if rule is None else parts(position, self._measures(group, rule))

    def _measures(self, gone: str, rule: str) -> dict[str, int]:
        watch, newest = self._watch, self._newest
        bearing = who_bears(self._states, gone)
        if rule == "size":
            return {one: watch.spans[one].room for one in bearing}
        if rule == "equal":
            return dict.fromkeys(bearing, 1)
        if newest is None:
            return dict.fromkeys(bearing, 0)
        log = watch.checker.cycles.log
        found = {}
        for one in bearing:
            stated = log.figures(one, newest[0])
            found[one] = stated["debits"] + stated["credits"]
        return found

    # What a batch has changed.

    def look(self, server: Server, first: Before) -> None:
        """Look at what a batch has changed."""
        if server is self._hub:
            new, self._new = self._new, []
            if self._watch.is_clear("hub"):
                self._look_at_hub(first, new)
            return
        for (name, key), before in first.items():
            if name == "shared":
                now = server.database.table(name)[key]
                self._look_at_own(server, before, now)
            elif name == "account" and key == "shared":
                self._look_at_account(server)

    def _look_at_hub(self, first: Before, new: list[Row]) -> None:
        told = f"a batch ends a cycle and not its charge: {self._due}"
        self._demand(so=not self._due, told=told)
        for (name, key), before in first.items():
            if name == "shared":
                self._look_at_kept(before, self._hub.database.table(name)[key])
        for decision in new:
            self._look_at_booked(decision)

    def _look_at_kept(self, before: Row | None, now: Row) -> None:
        told = f"{now['why']} {now['shared_id']}"
        old = before or now | {"state": "told", "log": None}
        self._demand(
            so=all(old[name] == now[name] for name in _FIXED)
            and (old["state"] == "told" or old == now),
            told=f"{told} changes",
        )
        named = [(one["log"], one["number"]) for one in self._of(now["shared_id"])]
        own = [] if now["log"] is None else [(now["log"], now["number"])]
        self._demand(so=named == own, told=f"{told} is decided by {named}, says {own}")
        if before is None and now["why"] == "debt":
            self._demand(
                so=now["group_name"] in self._watch.people.told,
                told=f"{told} is told, which nobody wished",
            )
            rows = self._hub.database.table("shared").values()
            waiting = [
                one["shared_id"]
                for one in rows
                if (one["group_name"], one["state"]) == (now["group_name"], "told")
            ]
            self._demand(so=len(waiting) < 2, told=f"two plans wait: {waiting}")

    def _of(self, shared_id: str) -> Sequence[Row]:
        return self.decided.get(shared_id, ())

    def _look_at_booked(self, decision: Row) -> None:
        """The hub moves what it has decided, once; of a debt all were told before."""
        told = f"{decision['why']} {decision['id']}"
        due = _moved(decision)
        if decision["reserve"]:
            due["reserve"] = decision["reserve"]
        booked = self._watch.checker.amounts(self._hub, decision["id"])
        self._demand(so=booked == due, told=f"{told} moved {booked} and not {due}")
        if decision["why"] == "charge":
            self._tell_all(decision, list(self._states), told)
            return
        group = decision["group"]
        row = self._hub.database.table("account")[group]
        self._demand(
            so=not row["held_out"] and not row["held_in"],
            told=f"{told}: {group} still holds something",
        )
        self._demand(
            so=not self._watch.has_open_leg(group),
            told=f"{told}: {group} still has a leg",
        )
        concerned = [group, *(one["group"] for one in decision["shares"])]
        self._tell_all(decision, concerned, told)

    def _tell_all(self, decision: Row, concerned: list[str], told: str) -> None:
        """The decision is on every stream that it belongs on; a debt's plan before."""
        name = decision["log"], decision["number"]
        for group in concerned:
            plan_at = decided_at = None
            lines = self._hub.database.table(("item", group, "out"))
            for number, line in lines.items():
                if decision["id"].encode() not in line:
                    continue
                if decision["plan"] and hash_of_line(line) == decision["plan"]:
                    plan_at = number
                said = msgspec.json.decode(line)
                if (said.get("log"), said.get("number")) == name:
                    decided_at = number
            self._demand(
                so=decided_at is not None, told=f"{told}: {group} is not told of it"
            )
            is_before = plan_at is not None and plan_at < (decided_at or 0)
            self._demand(
                so=decision["why"] == "charge" or is_before,
                told=f"{told}: {group} was not told before",
            )

    # What nodes book.

    def _look_at_own(self, node: Server, before: Row | None, now: Row) -> None:
        """What a node was told never changes; it books just its part, just once."""
        told = f"{now['why']} {now['shared_id']} at {node.name}"
        old = before or now | {"log": None, "number": None}
        self._demand(
            so=all(old[name] == now[name] for name in _OWN_FIXED)
            and (old["log"] is None or old == now),
            told=f"{told} changes",
        )
        if now["item"] is not None:
            line = node.database.table(("item", "hub", "in")).get(now["item"])
            self._demand(so=line == now["line"], told=f"{told} was not told so")
        self._look_at_part(node, now, told)

    def _look_at_part(self, node: Server, now: Row, told: str) -> None:
        booked = self._watch.checker.amounts(node, now["shared_id"])
        due: dict[str, int] = {}
        if now["log"] is not None:
            found = [
                one
                for one in self._of(now["shared_id"])
                if (one["log"], one["number"]) == (now["log"], now["number"])
            ]
            self._demand(so=len(found) == 1, told=f"{told} was never decided")
            amount = _moved(found[0]).get(node.name, 0)
            is_told = found[0]["why"] == "charge" or (
                now["line"] is not None
                and hash_of_line(now["line"]) == found[0]["plan"]
            )
            self._demand(so=is_told, told=f"{told} is booked, and was not told before")
            self._demand(
                so=now["amount"] == amount,
                told=f"{told} is {now['amount']}, and was decided {amount}",
            )
            due = {"clearing": -amount, "shared": amount} if amount else {}
        self._demand(so=booked == due, told=f"{told} moved {booked} and not {due}")

    def _look_at_account(self, node: Server) -> None:
        """What stands there is what was decided comes to."""
        row = node.database.table("account")["shared"]
        if row["kind"] != "system":
            return
        due = sum(
            one["amount"]
            for one in node.database.table("shared").values()
            if one["log"] is not None
        )
        self._demand(
            so=row["balance"] == due,
            told=f"{node.name} bears {due}, and shows {row['balance']}",
        )

    # What the regional admin is told.

    def on_told(self, order: object, outcome: object) -> None:
        """A refusal is true."""
        if not isinstance(outcome, NotShared):
            return
        if isinstance(order, TellShares):
            rule = order.rule.value
        elif isinstance(order, ShareDebt):
            row = self._hub.database.table("shared").get(order.plan)
            if row is None or row["line"] is None:
                return
            told = msgspec.json.decode(row["line"])
            rule = told["rule"]
            if self._is_true_of_plan(outcome, row, told):
                return
        else:
            return
        group = order.group
        is_true = self._is_true(outcome, str(group), rule)
        told_so = f"what {group} leaves is not shared: {outcome.code}, {outcome.group}"
        self._demand(so=is_true, told=f"{told_so}, untruly")

    def _is_true_of_plan(self, no: NotShared, row: Row, told: Row) -> bool:
        position = self._watch.position(row["group_name"])
        due = self.parts(row["group_name"], told["rule"], position)
        said = {one["group"]: one["amount"] for one in told["shares"]}
        measures = {one["group"]: one["measure"] for one in told["shares"]}
        newest = 0 if self._newest is None else self._newest[0]["cycle"]
        is_other = (
            row["state"] == "replaced"
            or said != due
            or newest != told["cycle"]
            or measures != self._measures(row["group_name"], told["rule"])
        )
        is_true = {
            "shares-outdated": is_other,
            "plan-ended": row["state"] == "decided",
        }
        return is_true.get(str(no.code), False)

    def _is_true(self, no: NotShared, group: str, rule: str) -> bool:
        row = self._hub.database.table("account")[group]
        agreed = self._hub.agreed.rule  # type: ignore[attr-defined]
        is_true = {
            "rule-not-agreed": agreed is None or agreed.value != rule,
            "group-not-gone": self._states[group] not in _GONE,
            "nothing-left": row["balance"] == 0,
            "still-in-flight": bool(row["held_out"] or row["held_in"]),
            "leg-of-group-open": self._watch.has_open_leg(group),
            "sharing-waits": not self._watch.is_quiet,
            "nobody-shares": self.parts(group, rule, row["balance"] or 1) is None,
        }
        return is_true.get(str(no.code), False)

    # At the quiet end.

    def at_the_end(self) -> None:
        """Every group has booked every part of its own."""
        checker = self._watch.checker
        if checker.doubted:
            return
        for shared_id, (decision, *_) in self.decided.items():
            concerned = {one["group"] for one in decision["shares"]} | {
                decision["group"]
            }
            if decision["why"] == "charge":
                concerned = set(self._states)
            for group in concerned:
                node = checker.federation.nodes[group]
                row = node.database.table("shared").get(shared_id)
                self._demand(
                    so=row is not None and row["log"] == decision["log"],
                    told=f"{decision['why']} {shared_id} never came to {group}",
                )


def _fields(share: Row) -> tuple[Any, ...]:
    return share["group"], share["measure"], share["limit"], share["amount"]


def _moved(decision: Row) -> dict[str, int]:
    """Give what a decision adds to the position of each group that it moves."""
    found = {one["group"]: one["amount"] for one in decision["shares"]}
    if decision["group"] is not None:
        found[decision["group"]] = -sum(found.values())
    return {group: amount for group, amount in found.items() if amount}
