"""What must hold of keys, reckoned from rows and wire bytes alone.

A cover counts only under the key in force after the last item taken; every item the
hub took is signed by the key of its number; nobody is refused because keys changed;
and at the quiet end every link is open, whatever was changed, lost or put back.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from protocol.address import Group
from protocol.instant import read_instant
from protocol.key_change import has_key_change
from protocol.link import Taking
from protocol.peer.batch import Arrival, Work
from tests.simulator.agenda import HOUR
from tests.simulator.checker import Checker, decode
from tests.simulator.federation import Federation
from tests.simulator.key_people import KeyPeople
from tests.simulator.memory_database import Table

_ABOUT_KEYS = ("content-unreadable", "not-signed-by-payer-group", "keys-not-accepted")


class KeyWatch:
    """Watches the keys of one simulated federation."""

    def __init__(
        self, federation: Federation, checker: Checker, people: KeyPeople
    ) -> None:
        self.federation = federation
        self.checker = checker
        self.people = people
        # Who lost keys cannot open what was sealed for them, and says so.
        checker.keyless = people.lost
        #: By group, its keys by item numbers, as far as the log was read: which table
        #: that is, and how many of its decisions. A hub put back has another table.
        self._spans_of: dict[str, list[dict[str, Any]]] = {}
        self._log: Table = {}
        self._read = 0
        self._carry_out = federation.hub.carry_out
        federation.hub.carry_out = self._watch  # type: ignore[method-assign]

    def _spans(self, group: str) -> list[dict[str, Any]]:
        """Give a group's keys by item numbers, as the hub's newest decision tells."""
        log = self.federation.hub.database.table("decision")
        if log is self._log and len(log) == self._read:
            return self._spans_of.get(group, [])
        if log is not self._log or len(log) < self._read:
            self._spans_of, self._log, self._read = {}, log, 0
        # Durable decisions stay, so only what is new is read.
        new = list(islice(reversed(log.values()), len(log) - self._read))
        for _, line in reversed(new):
            if b'"keys":' in line:
                told = msgspec.json.decode(line)
                if told.get("keys"):
                    self._spans_of[told["group"]] = told["keys"]
        self._read = len(log)
        return self._spans_of.get(group, [])

    def _watch(self, works: Sequence[Work]) -> bool:
        """Look at the covers of each batch, in their order."""
        arrivals = [work for work in works if isinstance(work.wanted, Arrival)]
        groups = {work.wanted.peer for work in arrivals}  # type: ignore[attr-defined]
        before = {group: self._spans(group)[-1]["kid"] for group in groups}
        if not self._carry_out(works):
            return False
        after = {group: self._spans(group)[-1] for group in groups}
        for work in arrivals:
            if isinstance(work.outcome, list):
                assert isinstance(work.wanted, Arrival)
                taken = [
                    envelope.last
                    for envelope, taking in zip(
                        work.wanted.body.envelopes, work.outcome, strict=True
                    )
                    if taking is Taking.TAKEN
                ]
                self._look_at_cover(work.wanted, taken, before, after)
        return True

    def _look_at_cover(
        self,
        arrival: Arrival,
        taken: Sequence[int],
        known: dict[Group, str],
        after: dict[Group, Any],
    ) -> None:
        """A cover counted: its key was in force, and may end with what follows it."""
        group = arrival.peer
        kid = decode(arrival.body.cover.line_1.split(b".")[0])["kid"]
        self.checker.demand(
            so=kid == known[group] or self._is_recovered(group),
            told=f"hub: a cover of {group} counts under a key that has ended",
        )
        if after[group]["first"] - 1 in taken:
            known[group] = after[group]["kid"]

    def _is_recovered(self, group: str) -> bool:
        """A recovery ends a key between two requests of one batch."""
        return any(
            row["is_recovery"]
            for row in self.federation.nodes[group].database.table("renewal").values()
        )

    # At the quiet end.

    def at_the_end(self) -> None:
        """Every link is open, and every key signed what was its own."""
        hub = self.federation.hub
        is_clear = not self.checker.doubted
        self.checker.demand(
            so=not self.people.unbelieved or not is_clear,
            told=f"{self.people.unbelieved} did not know their own entry",
        )
        for name, node in self.federation.nodes.items():
            assert node.clerk is not None and hub.clerk is not None
            theirs, ours = node.clerk.links["hub"], hub.clerk.links[name]
            # Keys that a hub put back has forgotten, and the older ones lost: that
            # waits for the recovery of a hub, which is not built.
            is_forgotten = "hub" in self.checker.doubted and name in self.people.lost
            self.checker.demand(
                so=is_forgotten
                or (theirs.peer_life, ours.peer_life)
                == (hub.clerk.life, node.clerk.life),
                told=f"{name} and the hub do not hear each other any more",
            )
            if "hub" not in self.checker.doubted and name not in self.checker.doubted:
                self._look_at_group(name)
        if is_clear:
            self._look_at_refusals()

    def _look_at_group(self, name: str) -> None:
        node = self.federation.nodes[name]
        waiting = [
            row
            for row in node.database.table("renewal").values()
            if row["state"] == "waiting"
        ]
        self.checker.demand(so=not waiting, told=f"{name}: new keys still wait")
        spans = self._spans(name)
        mine = node.house.own_record().keys
        told = [(span["kid"], span["first"], span["last"]) for span in spans]
        self.checker.demand(
            so=told == [(span.kid, span.first, span.last) for span in mine],
            told=f"{name}: the hub tells of other keys than the node knows",
        )
        self._look_at_pauses(name)
        for row in self.federation.hub.database.table(
            ("envelope", name, "in")
        ).values():
            first, last = row["first"], row["first"] + row["count"] - 1
            kid = decode(row["line_1"].encode().split(b".")[0])["kid"]
            self.checker.demand(
                so=any(
                    one == kid and start <= first and (end is None or last <= end)
                    for one, start, end in told
                ),
                told=f"hub took {name}'s items {first} to {last} under another key",
            )

    def _look_at_pauses(self, name: str) -> None:
        """Between a change by the old key's word and what came before lies an hour."""
        before, spans = None, 1
        for _, line in self.federation.hub.database.table("decision").values():
            if f'"group":"{name}"'.encode() not in line:
                continue
            told = msgspec.json.decode(line)
            if len(told.get("keys", ())) in (0, spans):
                continue
            at, spans = read_instant(told["at"]), len(told["keys"])
            is_change = has_key_change(told["statement"])
            self.checker.demand(
                so=not is_change or before is None or not 0 <= at - before < HOUR,
                told=f"{name} changed its keys twice within an hour",
            )
            before = at

    def _look_at_refusals(self) -> None:
        """Nobody is refused because somebody's keys have changed."""
        for name, node in self.federation.nodes.items():
            for id_, row in node.database.table("transfer").items():
                groups = {row["payer_group"], row["payee_group"]}
                self.checker.demand(
                    so=row["code"] not in _ABOUT_KEYS
                    or bool(groups & self.people.lost),
                    told=f"{name}: {id_} is refused {row['code']}",
                )
