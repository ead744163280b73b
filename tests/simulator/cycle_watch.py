"""Looks at every commit for what must never be of cycles and legs.

Of ``checker``, and like it without the product's code: cycles, statements and legs are
followed from the lines of the log, reckoned again (``cycle_reckoning``), and compared
with what hub and nodes keep. Where the hub was put back to an older day its tables are
not looked at any more; what nodes keep is, always.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from clearing.rules import CloseCycle, CycleRefused, Settle
from tests.simulator.agenda import HOUR
from tests.simulator.cycle_own import OwnCycles
from tests.simulator.cycle_reckoning import (
    FIGURES,
    Log,
    hash_of_line,
    targets,
    tree_hash,
)
from tests.simulator.reasons import Before
from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

#: What of a leg never changes; and what of it only comes once.
_LEG_FIXED = ("cycle", "place", "at", "debtor", "creditor", "milliseconds")
_LEG_ONCE = ("paid", "received", "log", "number", "code")
#: Refusals that no order of an honest federation meets.
_NEVER = ("ledger-differs", "cycle-too-large")
Row = dict[str, Any]


class CycleWatch:
    """Watches the cycles of one simulated federation.

    Attributes:
        log: what was decided, as the lines say.
        waiting: at the quiet end, who has yet to sign which leg.
    """

    def __init__(self, checker: "Checker") -> None:
        self.checker = checker
        self.people = checker.people.cycles
        self.people.on_told = self.on_told
        self.log = Log()
        self.waiting: list[str] = []
        self._own = OwnCycles(self)
        self._newest: Row | None = None
        #: By cycle, to where its newest plan leads.
        self._targets: dict[int, dict[str, int]] = {}

    def demand(self, *, so: bool, told: str) -> None:
        """Fail when something is not so."""
        self.checker.demand(so=so, told=told)

    def is_clear(self, *names: str) -> bool:
        """Say whether nobody among these lies or was put back."""
        return not self.checker.doubted.intersection(names)

    def look(self, server: Server, first: Before) -> None:
        """Look at what a batch has changed."""
        is_hub = server is self.checker.federation.hub
        if is_hub and self.is_clear("hub"):
            made = [
                server.database.table("leg")[key]
                for (name, key), before in first.items()
                if name == "leg" and before is None
            ]
            for cycle in sorted({leg["cycle"] for leg in made}):
                legs = [leg for leg in made if leg["cycle"] == cycle]
                self._look_at_plan(server, first, legs)
        looks: Mapping[str, Any] = _AT_HUB if is_hub else self._own.looks
        for (name, key), before in first.items():
            if name in looks:
                now = server.database.tables[name].get(key)
                self._look_at_mark(server, name)
                looks[name](self if is_hub else self._own, server, before, now)

    def _look_at_mark(self, server: Server, name: str) -> None:
        """Who was put back, and knows it, says nothing of cycles before comparing."""
        self.demand(
            so=name == "account" or not server.database.table("restored"),
            told=f"{server.name} was put back, has not compared, and changes a {name}",
        )

    # The log.

    def on_decision(self, hub: Server, decision: Row, place: int) -> None:
        """Follow the log, decision by decision."""
        self.log.note(decision)
        match decision["kind"]:
            case "transfer" if decision["outcome"] == "cleared":
                row = hub.database.table("transfer")[decision["id"]]
                amount = row["milliseconds"]
                self.log.move(row["payer_group"], decision, -amount)
                self.log.move(row["payee_group"], decision, amount)
            case "settlement":
                self._on_settlement(hub, decision, place)
            case "shared":
                self._on_shared(decision)
            case "cycle" if self.is_clear("hub"):
                self._on_cycle(hub, decision)
            case _:
                pass

    def _on_shared(self, decision: Row) -> None:
        """What is shared moves every group that has a part; see ``share_watch``."""
        moved = {one["group"]: one["amount"] for one in decision["shares"]}
        if decision["group"] is not None:
            moved[decision["group"]] = -sum(moved.values())
        for group, amount in moved.items():
            if amount:
                self.log.move(group, decision, amount)

    def _on_settlement(self, hub: Server, decision: Row, place: int) -> None:
        leg_id, outcome = decision["id"], decision["outcome"]
        leg = hub.database.table("leg")[leg_id]
        told = f"leg {leg_id}: decided {outcome}"
        amount = decision["milliseconds"]
        moves = {decision["debtor"]: amount, decision["creditor"]: -amount}
        if outcome == "settled":
            for group, moved in moves.items():
                self.log.move(group, decision, moved)
                self.checker.settled[group, moved > 0] += amount
            self.checker.move(place, moves)
        if not self.is_clear("hub"):
            return
        self.demand(so=len(self.log.legs[leg_id]) == 1, told=f"{told} a second time")
        fields = ("cycle", "debtor", "creditor", "milliseconds", "paid", "received")
        self.demand(
            so=leg["state"] == outcome
            and all(decision[one] == leg[one] for one in (*fields, "code")),
            told=f"{told}, and the hub keeps {leg}",
        )
        is_signed = bool(decision["paid"] and decision["received"])
        self.demand(
            so=is_signed == (outcome == "settled"), told=f"{told}: signed {is_signed}"
        )
        booked = self.checker.amounts(hub, leg_id)
        self.demand(
            so=booked == (moves if outcome == "settled" else {}),
            told=f"{told} moved {booked}",
        )
        self._look_at_code(hub, decision, told)
        for group in moves:
            link = hub.database.table("link")[group]
            self.demand(
                so=bool(link["trouble"])
                or not self.is_clear(group)
                or self.checker.has_compared(hub, group, decision["log"]),
                told=f"{told} before {group} compared",
            )

    def _look_at_code(self, hub: Server, decision: Row, told: str) -> None:
        """A leg is void for a reason that is true."""
        code, parties = decision["code"], (decision["debtor"], decision["creditor"])
        disputed = self.checker.doubted | self.people.ever_altered
        is_true = {
            None: decision["outcome"] == "settled",
            "cancelled": decision["id"] in self.people.voided
            or bool(disputed.intersection(parties)),
            "party-left": self.checker.lives.is_declared(*parties),
            "cycle-closed": max(hub.database.table("cycle"), default=0)
            > decision["cycle"],
        }
        self.demand(so=is_true.get(code, False), told=f"{told} as {code}, untruly")

    def _on_cycle(self, hub: Server, decision: Row) -> None:
        """A cycle ends where it is said, with a statement for each group."""
        cycle, newest = decision["cycle"], self._newest
        told = f"cycle {cycle}"
        self.demand(so=cycle in self.people.closed, told=f"{told} ends by itself")
        former = newest and {"log": newest["log"], "number": newest["number"]}
        self.demand(
            so=cycle == (newest["cycle"] if newest else 0) + 1
            and decision["former"] == former,
            told=f"{told} does not follow on {newest and newest['cycle']}",
        )
        self._newest = decision
        states = self.checker.states
        if not self.checker.doubted:
            missing = [
                group
                for group, state in states.items()
                if state not in ("frozen", "left")
                and not self.checker.has_compared(hub, group, decision["log"])
            ]
            self.demand(so=not missing, told=f"{told} ends before {missing} compared")
        lines, total = [], decision["reserve"]
        for group in sorted(states):
            row = hub.database.table("statement").get((cycle, group))
            self.demand(so=row is not None, told=f"{told}: {group} gets no statement")
            assert row is not None
            stated = self._look_at_line(row, decision, group)
            lines.append(row["line"])
            total += stated["closing"]
        self.demand(
            so=(decision["groups"], decision["statements"])
            == (len(lines), tree_hash(lines)),
            told=f"{told}: its statements are not those of its decision",
        )
        self.demand(so=total == 0, told=f"{told} sums to {total}")

    def _look_at_line(self, row: Row, decision: Row, group: str) -> Row:
        stated: Row = msgspec.json.decode(row["line"])
        reckoned = self.log.figures(group, decision)
        said = {name: stated[name] for name in FIGURES}
        told = f"cycle {decision['cycle']} of {group}"
        self.demand(so=said == reckoned, told=f"{told}: {said} and not {reckoned}")
        name = {"log": decision["log"], "number": decision["number"]}
        about = (stated["group"], stated["cycle"], stated["former"], stated["to"])
        self.demand(
            so=about == (group, decision["cycle"], decision["former"], name),
            told=f"{told}: stated as {about}",
        )
        return stated

    # What the hub keeps.

    def _look_at_ended(self, _hub: Server, before: Row | None, now: Row) -> None:
        """What has ended never changes."""
        told = f"cycle {now['cycle']} changes after its end"
        self.demand(so=before is None or before == now, told=told)

    def _look_at_statement(self, hub: Server, before: Row | None, now: Row) -> None:
        cycle, group, state = now["cycle"], now["group_name"], now["state"]
        told = f"cycle {cycle} of {group}"
        if before is None:
            self.demand(
                so=state == "waiting", told=f"{told} is {state} before it is told"
            )
            return
        self.demand(
            so=before["line"] == now["line"], told=f"{told} is stated otherwise"
        )
        was = before["state"]
        self.demand(
            so=was != "agreed" or (state, now["answer"]) == (was, before["answer"]),
            told=f"{told} was agreed to, and is {state}",
        )
        if not self.is_clear("hub", group):
            return
        if state != was or now["answer"] != before["answer"]:
            self._look_at_answer(hub, now, told)
        if now["difference"] != before["difference"] and now["difference"] is not None:
            self._look_at_difference(now, told)

    def _look_at_answer(self, hub: Server, now: Row, told: str) -> None:
        """What counts as a group's word is one that its node has said."""
        group, state = now["group_name"], now["state"]
        line = hub.database.table(("item", group, "in"))[now["answer"]]
        said = msgspec.json.decode(line)
        kind = {"agreed": "cycle.agree", "disputed": "cycle.dispute"}.get(state)
        self.demand(
            so=(said["type"], said["statement"]) == (kind, hash_of_line(now["line"])),
            told=f"{told} is {state} by {said['type']}",
        )

    def _look_at_difference(self, now: Row, told: str) -> None:
        """What is named to people is what somebody has changed."""
        found = msgspec.json.decode(now["difference"])
        named = found["hubs"] and found["hubs"]["id"]
        group = now["group_name"]
        changed = self.people.changed[group]
        if named is None and group in self.people.mended:
            # It was put back while the lists were compared.
            return
        self.demand(
            so=named in changed, told=f"{told} differs in {named}, and not in {changed}"
        )

    def _look_at_plan(self, hub: Server, first: Before, made: list[Row]) -> None:
        """With these legs every position comes to its target: zero, or near it."""
        number = made[0]["cycle"]
        told = f"the plan of cycle {number}"
        # The very batch that made it may have ended the next cycle, too.
        later = [one for one in hub.database.table("cycle") if one > number]
        self.demand(
            so=all(first.get(("cycle", one), one) is None for one in later),
            told=f"{told} is not the newest cycle's",
        )
        newest = next(one for one in self.log.cycles.values() if one["cycle"] == number)
        rows = hub.database.table("leg").values()
        others = [leg for leg in rows if leg["state"] == "open" and leg not in made]
        self.demand(so=not others, told=f"{told} is made while {others} are open")
        excepted = self._look_at_settlement(hub, made, told)
        disputed = [
            key
            for key, row in hub.database.table("statement").items()
            if key[0] == newest["cycle"]
            and row["state"] == "disputed"
            and key[1] not in excepted
        ]
        was_so = [key for key in disputed if ("statement", key) not in first]
        self.demand(so=not was_so, told=f"{told} is made while {was_so} is disputed")
        needs = self.needs(newest, excepted)
        stands = self.positions(newest)
        self._targets[newest["cycle"]] = {
            group: stands[group] - need for group, need in needs.items()
        }
        for leg in made:
            debtor, creditor = leg["debtor"], leg["creditor"]
            self.demand(
                so=leg["milliseconds"] > 0 and needs[debtor] < 0 < needs[creditor],
                told=f"{told}: {debtor} pays {creditor} without a need: {needs}",
            )
            needs[debtor] += leg["milliseconds"]
            needs[creditor] -= leg["milliseconds"]
        self.demand(so=not any(needs.values()), told=f"{told} leaves {needs}")

    def _look_at_settlement(
        self, hub: Server, made: list[Row], told: str
    ) -> Sequence[str]:
        """A plan is kept with whom it leaves out; gives these, as people named them."""
        cycle, place = made[0]["cycle"], min(leg["place"] for leg in made)
        kept = hub.database.table("settlement").get((cycle, place))
        self.demand(
            so=kept is not None and kept["legs"] == len(made),
            told=f"{told} is kept as {kept}",
        )
        assert kept is not None
        excepted: Sequence[str] = kept["excepted"]
        self.demand(
            so=(cycle, tuple(excepted)) in self.people.planned,
            told=f"{told} leaves out {excepted}, whom nobody named",
        )
        return excepted

    def needs(self, cycle: Row, excepted: Sequence[str] = ()) -> dict[str, int]:
        """Give by how much each group stands beyond its target."""
        stands = self.positions(cycle)
        aims = targets(self.closings(cycle), stands, excepted)
        return {group: stands[group] - aims[group] for group in stands}

    def closings(self, cycle: Row) -> dict[str, int]:
        """Give each position at a cycle's end."""
        return {group: self.log.closing(group, cycle) for group in self.checker.states}

    def positions(self, cycle: Row) -> dict[str, int]:
        """Give each position at a cycle's end, with what was settled since."""
        found = self.closings(cycle)
        for decision in self.log.settled_since(cycle):
            found[decision["debtor"]] += decision["milliseconds"]
            found[decision["creditor"]] -= decision["milliseconds"]
        return found

    def _look_at_leg(self, hub: Server, before: Row | None, now: Row) -> None:
        told = f"leg {now['leg_id']}"
        old = before or now | dict.fromkeys(_LEG_ONCE) | {"state": "open"}
        self.demand(
            so=all(old[name] == now[name] for name in _LEG_FIXED),
            told=f"{told} changes",
        )
        if not self.is_clear("hub"):
            return
        self.demand(
            so=all(old[name] in (None, now[name]) for name in _LEG_ONCE),
            told=f"{told} is signed or decided otherwise",
        )
        self.demand(
            so=old["state"] in ("open", now["state"]),
            told=f"{told} goes from {old['state']} to {now['state']}",
        )
        for word, party in (("paid", "debtor"), ("received", "creditor")):
            if now[word] is not None and old[word] is None:
                self._look_at_word(hub, now, word, now[party])
        if now["state"] != "open":
            names = [(d["log"], d["number"]) for d in self.log.legs[now["leg_id"]]]
            self.demand(
                so=names == [(now["log"], now["number"])],
                told=f"{told} is {now['state']} by {names}",
            )
        if now["state"] == "settled" != old["state"]:
            self._look_at_last(hub, now)

    def _look_at_word(self, hub: Server, leg: Row, word: str, party: str) -> None:
        """A word counts that this party's treasurer gave and its node has signed."""
        told = f"leg {leg['leg_id']}: {party} has {word}"
        said = [
            msgspec.json.decode(line)
            for line in hub.database.table(("item", party, "in")).values()
            if hash_of_line(line) == leg[word]
        ]
        self.demand(
            so=any(
                (one["type"], one["id"]) == (f"settlement.{word}", leg["leg_id"])
                for one in said
            ),
            told=f"{told}, which its node has not said",
        )
        kept = hub.database.table("word").get((leg["leg_id"], word))
        line = kept and hub.database.table(("item", party, "in")).get(kept[1])
        self.demand(
            so=bool(line) and kept[0] == party and hash_of_line(line) == leg[word],
            told=f"{told}, and the word is kept as {kept}",
        )
        if self.is_clear(party):
            self.demand(
                so=(party, leg["leg_id"], word) in self.people.signed,
                told=f"{told}, which its treasurer has not said",
            )

    def _look_at_last(self, hub: Server, leg: Row) -> None:
        """After the last leg of a plan every position stands at its target."""
        rows = hub.database.table("leg").values()
        of_cycle = [one for one in rows if one["cycle"] == leg["cycle"]]
        if any(one["state"] != "settled" for one in of_cycle):
            return
        cycle = next(
            one for one in self.log.cycles.values() if one["cycle"] == leg["cycle"]
        )
        stands, aims = self.positions(cycle), self._targets[leg["cycle"]]
        left = {group: stands[group] - aims[group] for group in stands}
        later = [one for one in rows if one["cycle"] > leg["cycle"]]
        self.demand(
            so=bool(later) or not any(left.values()),
            told=f"cycle {leg['cycle']} is settled, and leaves {left}",
        )

    # What the regional admin is told.

    def on_told(self, order: object, outcome: object) -> None:
        """A refusal is true."""
        if self.checker.doubted:
            return
        match order, outcome:
            case CloseCycle(), CycleRefused(code=code):
                since = self.checker.federation.world.quiet_since
                is_quiet = since is not None and since < self._now - HOUR
                is_untrue = code in _NEVER or (code == "link-behind" and is_quiet)
                self.demand(
                    so=not is_untrue, told=f"cycle {order.cycle} stays open: {code}"
                )
            case Settle(), CycleRefused():
                self._on_no_plan(order, outcome)
            case _:
                self._own.on_told(order, outcome)

    def _on_no_plan(self, order: Settle, refused: CycleRefused) -> None:
        hub, states = self.checker.federation.hub, self.checker.states
        told = f"cycle {order.cycle} is not settled: {refused}"
        match refused.code:
            case "nothing-to-settle":
                assert self._newest is not None
                needs = self.needs(self._newest, order.excepted)
                self.demand(so=not any(needs.values()), told=f"{told}, untruly {needs}")
            case "exception-wrong":
                named = [one for one in order.excepted if one in states]
                is_true = len(set(named)) != len(order.excepted)
                self.demand(so=is_true, told=f"{told}, untruly")
            case "cycle-disputed":
                kept = hub.database.table("statement")[order.cycle, refused.group]
                is_true = kept["dispute"] is not None
                is_true = is_true and refused.group not in order.excepted
                self.demand(so=is_true, told=f"{told}, untruly")
            case "plan-outdated":
                # It was made three times, and nothing is settled so often meanwhile.
                self.demand(so=False, told=told)
            case _:
                pass

    @property
    def _now(self) -> int:
        return self.checker.federation.world.now

    def may_call(self, server: Server, alarm: Any) -> bool:
        """Say whether people are rightly called about a cycle."""
        _, about, told = alarm
        if about == "cycle":
            altered = self.people.ever_altered
            return server.name in altered or any(group in told for group in altered)
        return about == "item" and self._own.is_late_word(server, told)

    # At the quiet end.

    def at_the_end(self) -> None:
        """Where nobody lies all agreed, and each leg ended or waits for a person."""
        self._own.at_the_end()
        if self.checker.doubted:
            return
        hub = self.checker.federation.hub
        for (cycle, group), row in hub.database.table("statement").items():
            is_mended = group not in self.people.altered
            self.demand(
                so=row["state"] == "agreed" or not is_mended,
                told=f"cycle {cycle} of {group} is {row['state']} at the end",
            )
            self.demand(
                so=row["unanswered"] is None,
                told=f"cycle {cycle}: {group} asks in vain",
            )
        newest = self._newest
        for leg in hub.database.table("leg").values():
            if leg["state"] == "open":
                assert newest is not None
                self._look_at_open(leg, newest["cycle"])

    def _look_at_open(self, leg: Row, newest: int) -> None:
        """A leg that is open lacks the word of a person who never gave it."""
        told = f"leg {leg['leg_id']} of cycle {leg['cycle']}"
        parties = {"paid": leg["debtor"], "received": leg["creditor"]}
        missing = [word for word in parties if leg[word] is None]
        self.demand(so=bool(missing), told=f"{told} has both words, and is open")
        self.demand(so=leg["cycle"] == newest, told=f"{told} outlives cycle {newest}")
        for word in missing:
            party = parties[word]
            row = self.checker.federation.nodes[party].database.table("leg")
            state = row[leg["leg_id"]]["state"]
            self.demand(so=state == "open", told=f"{told} is {state} at {party}")
            self.waiting.append(f"{told} waits for {party} to say {word}")
        self.checker.federation.world.tell("{}", self.waiting[-1])


#: By table, what looks at each of the hub's rows that a batch has changed.
_AT_HUB = {
    "cycle": CycleWatch._look_at_ended,
    "statement": CycleWatch._look_at_statement,
    "leg": CycleWatch._look_at_leg,
}
