"""Looks at groups that leave: how they run off, that who left stays away, who agreed.

Of ``checker``, and like it without the product's code: states follow from the lines of
the log, windows from the hub's rows. Sharing and charges are in ``share_watch``.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from clearing.rules import DeclareLeft, GiveConsent, NotConsented, NotDecided
from protocol.address import Group
from protocol.instant import from_datetime
from protocol.messages import line_hash
from tests.simulator.agenda import DAY, HOUR
from tests.simulator.reasons import Before
from tests.simulator.servers import Server
from tests.simulator.share_reckoning import Span
from tests.simulator.share_watch import ShareWatch

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

Row = dict[str, Any]
#: From which state a group may come to which; a release gives back what was before.
_TURNS = {
    "active": {"active", "leaving", "frozen"},
    "leaving": {"leaving", "active", "frozen", "left"},
    "frozen": {"frozen", "active", "leaving", "left"},
    "left": {"left"},
}
#: So long another admin may give her word.
_WORD_MS = 7 * DAY


class LifeWatch:
    """Watches the lives of the groups of one simulated federation.

    Attributes:
        spans: by group, its limits as the newest decision has them.
        ever: by state, every group that was ever in it.
        shares: what watches what groups share.
    """

    def __init__(self, checker: "Checker") -> None:
        self.checker = checker
        self.people = checker.people.lives
        self.people.on_told = self.on_told
        self.spans: dict[str, Span] = {}
        self.ever: dict[str, set[str]] = defaultdict(set)
        self.shares = ShareWatch(self)
        #: By group, how it was before it was frozen.
        self._unfrozen: dict[str, str] = {}
        #: States when the batch began.
        self._before: dict[str, str] = {}
        #: Declared left in this batch.
        self._left: dict[str, int] = {}
        #: Parties of legs that this batch has voided since one has left.
        self._void: list[tuple[str, str]] = []

    def demand(self, *, so: bool, told: str) -> None:
        """Fail when something is not so."""
        self.checker.demand(so=so, told=told)

    def is_clear(self, *names: str) -> bool:
        """Say whether nobody among these lies or was put back."""
        return not self.checker.doubted.intersection(names)

    @property
    def hub(self) -> Server:
        """The hub."""
        return self.checker.federation.hub

    def position(self, group: str) -> int:
        """Give where a group stands, as the log's decisions come to."""
        return self.checker.position_now(group)

    # The log.

    def on_decision(self, decision: Row, place: int) -> None:
        """Follow the log; what came before this decision is already known."""
        if decision["kind"] in ("directory", "keys"):
            self._on_directory(decision)
        elif self.is_clear("hub"):
            self._on_move(decision)
        self.shares.on_decision(decision, place)

    def _on_directory(self, decision: Row) -> None:
        group, state = decision["group"], decision["state"]
        was = self.checker.states.get(group, "active")
        before = self._unfrozen.get(group, "active")
        self.spans[group] = Span(decision["floor"], decision["ceiling"])
        self.ever[state].add(group)
        if state != "frozen":
            self._unfrozen[group] = state
        if not self.is_clear("hub"):
            return
        told = f"{group} goes from {was} to {state}"
        self.demand(so=state in _TURNS[was], told=told)
        if was == "frozen" and state in ("active", "leaving"):
            self.demand(so=state == before, told=f"{told}, and was {before}")
        elif was == "active" and state == "leaving":
            is_wished = group in self.people.wished or not self.is_clear(group)
            self.demand(so=is_wished, told=f"{told}, which nobody wished")
        elif was == "leaving" and state == "active":
            self.demand(
                so=group in self.people.stayed, told=f"{told}, which nobody wished"
            )
        elif was != "left" and state == "left":
            self._on_left(group, told)

    def _on_left(self, group: str, told: str) -> None:
        position = self.position(group)
        self._left[group] = position
        self.demand(
            so=(group, position) in self.people.declared,
            told=f"{told} with {position}, which no admin has named",
        )

    def _on_move(self, decision: Row) -> None:
        """Nothing is decided for a group that has left, but what it left is shared."""
        match decision["kind"], decision.get("outcome"):
            case "transfer", "cleared":
                row = self.hub.database.table("transfer")[decision["id"]]
                groups = row["payer_group"], row["payee_group"]
            case "settlement", outcome:
                groups = decision["debtor"], decision["creditor"]
                if outcome == "void":
                    if decision["code"] == "party-left":
                        self._void.append(groups)
                    return
            case _:
                return
        states = [self.checker.states.get(group) for group in groups]
        self.demand(
            so="left" not in states,
            told=f"{decision['kind']} of {groups} is decided, and one has left",
        )

    # What a batch has changed.

    def look(self, server: Server, first: Before) -> None:
        """Look at what a batch has changed."""
        self.shares.look(server, first)
        if server is not self.hub:
            return
        left, self._left = self._left, {}
        void, self._void = self._void, []
        before, self._before = self._before, dict(self.checker.states)
        if not self.is_clear("hub"):
            return
        for group, position in left.items():
            self._look_at_left(server, group, position, first)
        for parties in void:
            states = [self.checker.states[one] for one in parties]
            self.demand(so="left" in states, told=f"a leg of {parties}: none has left")
        for (name, key), old in first.items():
            if name == "hold" and old is None:
                self._look_at_hold(server, server.database.table(name)[key], before)
            elif name == "consent":
                self._look_at_consent(old, server.database.table(name)[key])
        self._look_at_windows(server, first, before)

    def _look_at_left(
        self, hub: Server, group: str, position: int, first: Before
    ) -> None:
        """Who has left has nothing that may still move it."""
        told = f"{group} has left"
        row = hub.database.table("account")[group]
        self.demand(
            so=not row["held_out"] and not row["held_in"],
            told=f"{told}, and something is held for it",
        )
        legs = [
            leg["leg_id"]
            for leg in hub.database.table("leg").values()
            if leg["state"] == "open" and group in (leg["debtor"], leg["creditor"])
        ]
        self.demand(so=not legs, told=f"{told}, and legs of it are open: {legs}")
        signed = [
            key[1]
            for key, _ in first.items()
            if key[0] == "leg"
            and (leg := hub.database.table("leg")[key[1]])["code"] == "party-left"
            and (leg["paid"] or leg["received"])
        ]
        self.demand(
            so=not signed, told=f"{told}, and legs with a word are void: {signed}"
        )
        named = self.people.direct | self._consented(hub, first)
        self.demand(
            so=(group, position) in named, told=f"{told} at one admin's word alone"
        )

    def _consented(self, hub: Server, first: Before) -> set[tuple[str, int]]:
        found = set()
        for name, key in first:
            if name == "consent":
                row = hub.database.table("consent")[key]
                act = msgspec.json.decode(row["act"])
                if row["state"] == "done" and act["act"] == "left":
                    found.add((act["group"], act["position"]))
        return found

    def _look_at_hold(self, hub: Server, hold: Row, before: dict[str, str]) -> None:
        row = hub.database.table("transfer")[hold["transfer_id"]]
        for group in (row["payer_group"], row["payee_group"]):
            states = {before.get(group), self.checker.states.get(group)}
            self.demand(
                so=states != {"left"}, told=f"hub holds for {group}, which has left"
            )

    def _look_at_windows(
        self, hub: Server, first: Before, before: dict[str, str]
    ) -> None:
        """A debtor that leaves only receives, a creditor only pays, up to zero."""
        new = [
            hub.database.table("transfer")[key]
            for (name, key), old in first.items()
            if name == "hold" and old is None
        ]
        for group, state in self.checker.states.items():
            if {state, before.get(group)} != {"leaving"}:
                continue
            for side, held, sign in (
                ("payer_group", "held_out", 1),
                ("payee_group", "held_in", -1),
            ):
                if any(row[side] == group for row in new):
                    self._look_at_window(hub, first, group, held, sign)

    def _look_at_window(
        self, hub: Server, first: Before, group: str, held: str, sign: int
    ) -> None:
        row = hub.database.table("account")[group]
        was = first.get(("account", group))
        if was is not None and was["balance"] != row["balance"]:
            # How it stood in the middle of the batch is not known.
            return
        room = max(0, sign * row["balance"]) - row[held] - self.due(group, sign, first)
        told = f"{group} is leaving with {row['balance']}, and {row[held]} is {held}"
        self.demand(so=room >= 0, told=told)

    def due(self, group: str, sign: int, first: Before) -> int:
        """Add up what open legs may yet take from a group, or bring; those of long."""
        party = "creditor" if sign > 0 else "debtor"
        return sum(
            leg["milliseconds"]
            for key, leg in self.hub.database.table("leg").items()
            if leg["state"] == "open"
            and leg[party] == group
            and first.get(("leg", key), leg) is not None
        )

    def is_window_full(self, group: str, amount: int, sign: int, first: Before) -> bool:
        """Say whether a refusal because a group is leaving may be true."""
        if group not in self.ever["leaving"]:
            return False
        is_moved = ("account", group) in first
        if is_moved or any(name == "leg" for name, _ in first):
            return True
        row = self.hub.database.table("account")[group]
        held = row["held_out" if sign > 0 else "held_in"]
        room = max(0, sign * row["balance"]) - held - self.due(group, sign, first)
        return bool(amount > room)

    # Two admins.

    def _look_at_consent(self, before: Row | None, now: Row) -> None:
        told = f"consent {now['number']}"
        if before is None:
            act = msgspec.json.decode(now["act"])
            asked = [
                (by, one)
                for by, one in self.people.requested
                if by == now["asked_by"] and getattr(one, "group", "") == act["group"]
            ]
            self.demand(so=bool(asked), told=f"{told} is asked by nobody: {now}")
        elif before["state"] != "asked":
            self.demand(so=before == now, told=f"{told} ends twice")
        if now["state"] != "done":
            return
        by, number = now["ended_by"], now["number"]
        self.demand(
            so=(number, by) in self.people.consented and by != now["asked_by"],
            told=f"{told} is done by {by} alone",
        )
        waited = from_datetime(now["ended_at"]) - from_datetime(now["asked_at"])
        self.demand(so=waited < _WORD_MS, told=f"{told} is done after {waited} ms")
        self._look_at_done(now, told)

    def _look_at_done(self, now: Row, told: str) -> None:
        """What was agreed on is so; what the same batch undid again is not known."""
        act, states = msgspec.json.decode(now["act"]), self.checker.states
        if not self._is_alone:
            return
        group = act["group"]
        is_so = {
            "left": states[group] == "left",
            "release": states[group] != "frozen",
            "limits": "floor" in act
            and self.spans[group] == (act.get("floor"), act.get("ceiling")),
        }
        self.demand(so=is_so.get(act["act"], True), told=f"{told} is not so: {act}")

    # What people are told.

    @property
    def _is_alone(self) -> bool:
        """Say whether each input has a batch of its own."""
        return self.checker.federation.world.rates.batch_max == 1 or self.is_quiet

    @property
    def is_quiet(self) -> bool:
        """Say whether nothing has gone wrong for an hour."""
        world = self.checker.federation.world
        since = world.quiet_since
        return since is not None and since < world.now - HOUR

    def on_told(self, order: object, outcome: object) -> None:
        """A refusal is true."""
        if self.checker.doubted or not self._is_alone:
            return
        match order, outcome:
            case DeclareLeft(), NotDecided():
                self._on_not_left(order, outcome)
            case GiveConsent(), NotConsented(code=code):
                self._on_no_consent(order, str(code))
            case _:
                self.shares.on_told(order, outcome)

    def _on_not_left(self, order: DeclareLeft, no: NotDecided) -> None:
        group = order.group
        row = self.hub.database.table("account")[group]
        is_true = {
            "group-not-leaving": self.checker.states[group] == "active",
            "position-not-zero": order.position == 0 != row["balance"],
            "position-changed": order.position != row["balance"],
            "still-in-flight": bool(row["held_out"] or row["held_in"]),
            "leg-may-settle": self.has_open_leg(group),
            "group-not-compared": not self.is_quiet,
            "hub-behind": False,
        }
        told = f"{group} is not declared left: {no.code}"
        self.demand(so=is_true.get(str(no.code), False), told=f"{told}, untruly")
        if no.position is not None:
            self.demand(
                so=no.position == row["balance"], told=f"{told}, with {no.position}"
            )

    def is_declared(self, *groups: str) -> bool:
        """Say whether somebody wished to declare one of these left."""
        return any(group in groups for group, _ in self.people.declared)

    def has_open_leg(self, group: str) -> bool:
        """Say whether a leg of a group's may yet settle."""
        return any(
            leg["state"] == "open" and group in (leg["debtor"], leg["creditor"])
            for leg in self.hub.database.table("leg").values()
        )

    def _on_no_consent(self, order: GiveConsent, code: str) -> None:
        row = self.hub.database.table("consent").get(order.number)
        if row is None:
            return
        waited = self.hub.clock.now() - from_datetime(row["asked_at"])
        is_true = {
            "consent-ended": row["state"] != "asked" or not 0 <= waited < _WORD_MS,
            "same-person": row["asked_by"] == order.by,
            "consent-outdated": row["seen"] != self._line_now(row),
        }
        told = f"consent {order.number} is not given: {code}"
        self.demand(so=is_true.get(code, False), told=f"{told}, untruly")

    def _line_now(self, consent: Row) -> str:
        group = msgspec.json.decode(consent["act"])["group"]
        return line_hash(self.hub.house.directory[group].line)

    # At the quiet end.

    def at_the_end(self) -> None:
        """All has ended: every wish is answered, every part is booked."""
        self.shares.at_the_end()
        if self.checker.doubted:
            return
        for node in self.checker.federation.nodes.values():
            waiting = [
                number
                for number, row in node.database.table("leaving_wish").items()
                if row["state"] == "waiting"
            ]
            self.demand(
                so=not waiting, told=f"{node.name}'s wish to leave waits: {waiting}"
            )
            record = node.house.directory[Group(node.name)]
            self.demand(
                so=record.state == self.checker.states[node.name],
                told=f"{node.name} thinks that it is {record.state}",
            )
