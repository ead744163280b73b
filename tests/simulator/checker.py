"""Looks at every commit and at the quiet end, and says what must never be.

None of this is the product's code: it keeps a model of its own, reads rows, wire
bytes and what people were told, and reckons again by itself. What it looks at is
listed in ``docs/simulator.md``.
"""

import binascii
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from protocol.address import Group
from protocol.envelope import Body, CoverPayload
from protocol.instant import from_datetime, read_instant
from tests.simulator.agenda import MINUTE
from tests.simulator.caps import Caps
from tests.simulator.cycle_watch import CycleWatch
from tests.simulator.federation import Federation
from tests.simulator.ledger_watch import LedgerWatch
from tests.simulator.life_watch import LifeWatch
from tests.simulator.members import People, Wish
from tests.simulator.papers import Papers
from tests.simulator.reasons import Reasons
from tests.simulator.servers import Server
from tests.simulator.views import Views

if TYPE_CHECKING:
    from tests.simulator.lie_watch import LieWatch

_ENDED = ("cleared", "refused")
#: From which state a transfer may go to which, by role.
_MOVES = {
    "payer": {"ordered": {"ordered", *_ENDED}},
    "hub": {"taken": {"taken", "refused"}, "offered": {"offered", *_ENDED}},
    "payee": {"accepted": {"accepted", *_ENDED}},
}
_FIXED = (
    "role",
    "payer_group",
    "payee_group",
    "milliseconds",
    "payer_rate",
    "payee_rate",
    "prepare",
    "content",
    "account",
    "amount",
    "decide_by",
    "taken_at",
    "refund_of",
)
Changes = list[tuple[Any, Any, Any]]
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_read_json = msgspec.json.Decoder().decode


class BrokenPromiseError(AssertionError):
    """A promise that was not kept."""


def decode(part: bytes) -> Any:
    """Read a part of a JWS, without the product's code."""
    # Two signs of padding are never too few, and one too many is passed over.
    return _read_json(binascii.a2b_base64(part.translate(_FROM_URL) + b"=="))


class Checker:
    """Watches one simulated federation.

    Attributes:
        doubted: servers that lie, or were put back to an older day; what hangs on
            their word alone is not looked at, and people may be called.
        keyless: groups that have lost private keys.
        is_restored: some server was put back, so what it forgot may wait for ever.
        decisions: by transfer, the one decision.
        cycles: what watches cycles and legs.
        lives: what watches who leaves, and what is shared.
        restored: servers that were put back.
    """

    def __init__(self, federation: Federation, people: People) -> None:
        self.federation = federation
        self.people = people
        self.doubted: set[str] = set()
        #: What watches the hub's lies, in a seed in which nodes watch its log.
        self.lies: LieWatch | None = None
        self.is_restored = False
        self.restored: set[str] = set()
        self.keyless: set[str] = set()
        self.decisions: dict[str, tuple[str, int, str]] = {}
        self.looks = 0
        self._sizes: Counter[str] = Counter()
        self._places: dict[tuple[str, int], int] = {}
        #: By group: place of each decision that moved it, and where it stood then.
        self._moves: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._states: dict[str, str] = {}
        self._ever_frozen: set[str] = set()
        self._rates: dict[str, list[int]] = {}
        self._before: tuple[dict[str, str], dict[str, int]] = {}, {}
        #: By server, peer and life: what the peer declared when it named that life.
        self._declared: dict[tuple[str, str, str], int] = {}
        #: What a server had sealed for each peer when a life began.
        self._sealed: dict[tuple[str, str, str], int] = {}
        #: Where the peer has said since then that it has all of it.
        self._given: set[tuple[str, str, str]] = set()
        #: By server and peer: the newest life of the peer's, and since when it has
        #: compared with the server's own; a peer that starts anew compares anew.
        self._newest_life: dict[tuple[str, str], tuple[str, int | None]] = {}
        self._lives: set[tuple[str, str, str]] = set()
        #: When the hub took the accept of a transfer, by its clock.
        self._accepted: dict[str, int] = {}
        #: Some clock was wrong at some time, so deadlines are not reckoned again.
        self.had_wrong_clock = False
        self._covers: dict[tuple[str, str], int] = {}
        world = federation.world
        world.spoken, world.heard = self.on_spoken, self.on_heard
        world.on_start = self.on_start
        for server in federation.servers:
            server.database.watch = self._watcher(server)
        self._reasons, self._views = Reasons(self), Views(self)
        self.caps, self._papers = Caps(self), Papers(self)
        #: By account and sign, what legs, charges and undone entries have moved in this
        #: batch: they ask no limit.
        self.settled: Counter[tuple[str, bool]] = Counter()
        self.cycles = CycleWatch(self)
        self.lives = LifeWatch(self)
        self._ledgers = LedgerWatch(self)

    def _watcher(self, server: Server) -> Any:
        return lambda changes: self.on_commit(server, changes)

    def note_restored(self, name: str) -> None:
        """Know that a server was put back to an older day."""
        self.doubted.add(name)
        self.is_restored = True
        self.restored.add(name)
        # It knows an older limit of its covers, and may date some of them again.
        for pair in [pair for pair in self._covers if pair[0] == name]:
            del self._covers[pair]

    def demand(self, *, so: bool, told: str) -> None:
        """Fail when something is not so."""
        if not so:
            raise BrokenPromiseError(told)

    # While it runs.

    def on_spoken(self, server: Server, peer: str, raw: bytes) -> None:
        """Nothing may be said that is not durable."""
        line_1, _, rest = raw.partition(b"\n")
        cover = decode(line_1.split(b".")[1])
        link = server.database.table("link")[peer]
        told = f"{server.name}'s cover to {peer}"
        self.demand(
            so=cover["ack"] <= link["taken"] and cover["first"] == link["sent"] + 1,
            told=f"{told} says what is not durable",
        )
        self.demand(
            so=cover["ack_head"] == link["taken_head"]
            and cover["prev"] == link["sent_head"],
            told=f"{told} names another head than its stream's",
        )
        self._look_at_cover_time(server, peer, read_instant(cover["at"]))
        stored = server.database.table(("envelope", peer, "out"))
        for line in rest.split(b"\n"):
            if line.count(b".") == 2 and not line.startswith(b"{"):
                payload = decode(line.split(b".")[1])
                row = stored.get(payload["first"])
                self.demand(
                    so=row is not None and row["line_1"].encode() == line,
                    told=f"{server.name} sends an envelope that it has not stored",
                )

    def _look_at_cover_time(self, server: Server, peer: str, at: int) -> None:
        """A sender's covers rise, unless its clock leapt far ahead and came back."""
        before = self._covers.get((server.name, peer), 0)
        self._covers[server.name, peer] = at
        self.demand(
            so=at > before or before > server.clock.now() + 5 * MINUTE,
            told=f"{server.name}'s cover to {peer} is not later than the one before",
        )

    def on_heard(self, server: Server, peer: str, body: Body) -> None:
        """Note which lives of a server its peers have named, and what they have."""
        assert server.clerk is not None
        cover = body.cover.payload
        named = server.name, peer, cover.peer_life or ""
        if named[2] == server.clerk.life:
            self._declared.setdefault(named, cover.first - 1)
            if cover.ack >= self._sealed.get(named, 0):
                self._given.add(named)
        self._note_life(server, peer, cover)

    def _note_life(self, server: Server, peer: str, cover: CoverPayload) -> None:
        assert server.clerk is not None
        pair, life = (server.name, peer), (server.name, peer, cover.life)
        if life not in self._lives:
            self._lives.add(life)
            self._newest_life[pair] = cover.life, None
        sent = server.database.table("link")[peer]["sent"]
        has_all = cover.peer_life == server.clerk.life and cover.ack >= sent
        if has_all and self._newest_life[pair] == (cover.life, None):
            self._newest_life[pair] = cover.life, server.clock.now()

    def on_start(self, server: Server) -> None:
        """Note where a server's streams stand when it starts."""
        assert server.clerk is not None
        self._views.on_start(server)
        for peer, link in server.database.table("link").items():
            self._sealed[server.name, peer, server.clerk.life] = link["sent"]
            newest, _ = self._newest_life.get((server.name, peer), ("", None))
            self._newest_life[server.name, peer] = newest, None

    def has_compared(self, server: Server, peer: str, life: str) -> bool:
        """Say whether both sides have what the other had when a life began."""
        taken = server.database.table("link")[peer]["taken"]
        named = server.name, peer, life
        return named in self._given and taken >= self._declared[named]

    def _look_at_envelope(self, server: Server, peer: str, row: Any) -> None:
        """Nothing is sealed on a link before both sides have compared."""
        if self._is_clear(server.name, peer):
            self.demand(
                so=self.has_compared(server, peer, row["life"]),
                told=f"{server.name} seals for {peer} before they have compared",
            )

    def on_commit(self, server: Server, changes: Changes) -> None:
        """Look at what a batch has changed."""
        self.looks += 1
        first: dict[tuple[Any, Any], Any] = {}
        for name, key, before in changes:
            first.setdefault((name, key), before)
        self.settled.clear()
        if server is self.federation.hub:
            self._look_at_decisions(server, first)
        self._look_at_mark(server, first)
        self._ledgers.look(server, first)
        for (name, key), before in first.items():
            now = server.database.tables[name].get(key)
            if isinstance(name, tuple):
                self._look_at_stream(server, name, key, now)
            elif name in _LOOKS:
                _LOOKS[name](self, server, before, now)
        self.caps.look(server, first)
        self._reasons.look(server, first)
        self._views.look(server, first)
        self._papers.look(server, first)
        self.cycles.look(server, first)
        self.lives.look(server, first)

    def _look_at_mark(self, server: Server, first: dict[Any, Any]) -> None:
        """Who was put back, and knows it, books nothing before all have compared."""
        told = f"{server.name} was put back, has not compared, and books"
        if server.database.table("restored"):
            booked = sorted(
                key
                for name, key in first
                if name in ("transfer", "hold")
                or (name == "account" and server is not self.federation.hub)
            )
            self.demand(so=not booked, told=f"{told} {booked}")
        elif ("restored", True) in first and server.clerk is not None:
            peers = set(server.database.table("link")) - self._ever_frozen
            life = server.clerk.life
            missing = [
                peer
                for peer in sorted(peers)
                if (server.name, peer, life) not in self._given
            ]
            self.demand(
                so=not missing,
                told=f"{server.name} goes on before {missing} have compared",
            )

    def _look_at_stream(
        self, server: Server, name: tuple[str, ...], number: int, row: Any
    ) -> None:
        """Look at what was taken from a peer, or sealed for one."""
        if name[0] == "item" and name[2] == "in":
            self._look_at_item(server, name[1], number, row)
        elif name[0] == "envelope" and name[2] == "out":
            self._look_at_envelope(server, name[1], row)

    def _look_at_alarm(self, server: Server, _before: Any, now: Any) -> None:
        """Where nobody lies nobody is called."""
        told = f"{server.name} calls people: {now[2]}"
        is_due = bool(self.doubted) or self.cycles.may_call(server, now)
        self.demand(so=is_due or self._is_early(server, now), told=told)

    def _is_early(self, server: Server, alarm: Any) -> bool:
        """Say whether a treasurer is told that her keys change too often, or frozen."""
        record = self.federation.hub.house.directory.get(Group(server.name))
        is_told = "it takes one change an hour" in alarm[2] and record is not None
        is_frozen = server.name in self._reasons.frozen
        return is_told and (is_frozen or record.renewed_at is not None)

    def _is_clear(self, *names: str) -> bool:
        """Say whether nobody among these lies or was put back."""
        return not self.doubted.intersection(names)

    def _look_at_trouble(self, server: Server, _before: Any, now: Any) -> None:
        """A link freezes only where somebody lies or was put back, and never forks."""
        peer, trouble = now["peer"], now["trouble"]
        if trouble is None:
            return
        told = f"{server.name}: link {peer} is {trouble}"
        self.demand(so=not self._is_clear(server.name, peer), told=told)
        self.demand(so=trouble != "fork" or not self.is_restored, told=told)

    def _look_at_decisions(self, hub: Server, first: dict[Any, Any]) -> None:
        """Follow the log: places, positions, states, rates, by the lines alone."""
        self._before = dict(self._states), {k: len(v) for k, v in self._rates.items()}
        new = [key for name, key in first if name == "decision"]
        table = hub.database.table("decision")
        for log, number in new:
            place, line = table[log, number]
            decision = msgspec.json.decode(line)
            told = f"decision {log}/{number}"
            self.demand(
                so=(decision["log"], decision["number"]) == (log, number)
                and number == self._sizes[log],
                told=f"{told} is out of its place",
            )
            self._sizes[log] += 1
            self._places[log, number] = place
            self.lives.on_decision(decision, place)
            if decision["kind"] in ("directory", "keys"):
                self._states[decision["group"]] = decision["state"]
                if decision["state"] != "active":
                    self._ever_frozen.add(decision["group"])
                entry = decode(decision["entry"].encode().split(b".")[1])
                self._rates[decision["group"]] = [
                    rate["milliseconds"] for rate in entry["rates"]
                ]
            elif decision["kind"] == "transfer":
                self._look_at_decision(hub, decision, place, told)
            elif decision["kind"] == "shared":
                self._look_at_shares(decision, place, told)
            self.cycles.on_decision(hub, decision, place)

    def _look_at_shares(self, decision: dict[str, Any], place: int, told: str) -> None:
        """Several positions move at once, and with the reserve by nothing in sum."""
        moved = {one["group"]: one["amount"] for one in decision["shares"]}
        if decision["group"] is not None:
            moved[decision["group"]] = -sum(moved.values())
        self.demand(
            so=sum(moved.values()) + decision["reserve"] == 0,
            told=f"{told}: what is shared does not sum to zero",
        )
        self.move(place, moved)
        for group, amount in moved.items():
            # It moves whatever the limits say.
            self.settled[group, amount > 0] += abs(amount)

    def _look_at_decision(
        self, hub: Server, decision: dict[str, Any], place: int, told: str
    ) -> None:
        row = hub.database.table("transfer")[decision["id"]]
        groups = (row["payer_group"], row["payee_group"])
        outcome = decision["outcome"]
        self.demand(
            so=row["state"] == outcome
            and decision["prepare"] == (row["prepare"] or None),
            told=f"{told} is not what the hub keeps of the transfer",
        )
        # A hub that was put back may decide again what nobody had been told.
        self.demand(
            so=decision["id"] not in self.decisions or "hub" in self.doubted,
            told=f"{told}: a second decision on {decision['id']}",
        )
        named = (decision["log"], decision["number"], outcome)
        self.decisions[decision["id"]] = named
        life = decision["log"]
        if self._is_clear("hub", *groups):
            self.demand(
                so=all(
                    self.has_compared(hub, one, life)
                    for one in groups
                    if one in self._states
                ),
                told=f"{told}: decided before {groups} compared",
            )
        now = hub.clock.now()
        decide_by, taken_at = row["decide_by"], row["taken_at"]
        if outcome != "cleared":
            self._look_at_lateness(hub, decision, from_datetime(decide_by), told)
            return
        self.demand(
            so=from_datetime(taken_at) <= now < from_datetime(decide_by),
            told=f"{told}: cleared outside of its time",
        )
        amount = row["milliseconds"]
        self.move(place, dict(zip(groups, (-amount, amount), strict=True)))

    def move(self, place: int, moved: dict[str, int]) -> None:
        """Reckon what a decision adds to positions."""
        for group, amount in moved.items():
            moves = self._moves[group]
            stood = moves[-1][1] if moves else 0
            moves.append((place, stood + amount))

    def moves(self, group: str) -> Sequence[tuple[int, int]]:
        """Give the place of each decision that moved a group, and its position then."""
        return self._moves[group]

    def position_now(self, group: str) -> int:
        """Give where a group stands after all decisions so far."""
        moves = self._moves[group]
        return moves[-1][1] if moves else 0

    def _look_at_lateness(
        self, hub: Server, decision: dict[str, Any], decide_by: int, told: str
    ) -> None:
        """A payee's node that accepted in time was not unreachable."""
        accepted = self._accepted.get(decision["id"])
        if decision["code"] != "payee-unreachable" or accepted is None:
            return
        row = hub.database.table("transfer")[decision["id"]]
        since = [
            self._newest_life.get((hub.name, group), ("", None))[1]
            for group in (row["payer_group"], row["payee_group"])
        ]
        known = [one for one in (accepted, *since) if one is not None]
        is_late = len(known) < 3 or max(known) >= decide_by or bool(self.doubted)
        self.demand(
            so=is_late or self.had_wrong_clock,
            told=f"{told}: unreachable, and yet it had accepted in time",
        )

    def position_at(self, group: str, log: str, number: int) -> int:
        """Give a group's position after a decision, as the checker reckons it."""
        place = self._places.get((log, number))
        self.demand(so=place is not None, told=f"no decision {log}/{number}")
        assert place is not None
        stood = 0
        for at, position in self._moves[group]:
            if at > place:
                break
            stood = position
        return stood

    def _look_at_item(
        self, server: Server, peer: str, number: int, line: bytes
    ) -> None:
        """What is taken was sent, byte for byte, and nothing before comparing."""
        if not self._is_clear(server.name, peer):
            return
        assert server.clerk is not None
        named = server.name, peer, server.clerk.life
        self.demand(
            so=number <= self._declared.get(named, -1) or named in self._given,
            told=f"{server.name} took item {number} before it had compared",
        )
        if server is self.federation.hub and b'"type":"transfer.accept"' in line:
            self._accepted[msgspec.json.decode(line)["id"]] = server.clock.now()
        sender = self.federation.hub if peer == "hub" else self.federation.nodes[peer]
        sent = sender.database.table(("item", server.name, "out")).get(number)
        self.demand(
            so=sent == line, told=f"{server.name} took item {number} that nobody sent"
        )

    def _look_at_account(self, server: Server, before: Any, now: Any) -> None:
        """Limits bind what is new; conversion is never worth less than nothing."""
        name = f"{now['account_id']} at {server.name}"
        if now["kind"] == "system":
            if now["account_id"].startswith("conversion."):
                self._look_at_conversion(server, now["account_id"])
            return
        old = before or dict.fromkeys(("balance", "held_out", "held_in"), 0)
        free, was = now["balance"] - now["held_out"], old["balance"] - old["held_out"]
        full, had = now["balance"] + now["held_in"], old["balance"] + old["held_in"]
        # What was made good outside is so, whatever a limit says that was just reached.
        out = self.settled[now["account_id"], False]
        into = self.settled[now["account_id"], True]
        floor, ceiling = now["floor"], now["ceiling"]
        lawful = self.people.limits.get((server.name, now["account_id"]))
        self.demand(
            so=lawful is None or (floor, ceiling) in lawful,
            told=f"{name} has limits that nobody set: {floor} .. {ceiling}",
        )
        # What came before a new limit in the same batch was bound by the old one.
        floor = floor if before is None or before["floor"] == floor else None
        ceiling = ceiling if before is None or before["ceiling"] == ceiling else None
        self.demand(
            so=floor is None or free >= min(floor, was) - out,
            told=f"{name} passes its floor {floor}: {free}",
        )
        self.demand(
            so=ceiling is None or full <= max(ceiling, had) + into,
            told=f"{name} passes its ceiling {ceiling}: {full}",
        )
        is_frozen = before is not None and before["frozen"] and now["frozen"]
        self.demand(
            so=not is_frozen or (free >= was - out and full <= had + into),
            told=f"{name} is frozen and yet takes part in something new",
        )

    def _look_at_conversion(self, server: Server, account: str) -> None:
        version = account.split(".")[1]
        accounts = server.database.table("account")
        units = accounts[f"conversion.{version}"]["balance"]
        time = accounts.get(f"conversion.{version}.time", {"balance": 0})["balance"]
        rate = self._rates[server.name][int(version) - 1]
        self.demand(
            so=units * rate + time >= 0,
            told=f"{server.name}: conversion {version} is worth {units * rate + time}",
        )

    def _look_at_transfer(self, server: Server, before: Any, now: Any) -> None:
        """No view of a transfer ever goes back, and what it is never changes."""
        name = f"transfer {now['transfer_id']} at {server.name}"
        if before is None:
            return
        if not before["prepare"] and before["role"] == "hub":
            return
        old, new = before["state"], now["state"]
        lawful = _MOVES[now["role"]].get(old, {old})
        self.demand(so=new in lawful, told=f"{name} goes from {old} to {new}")
        changed = [one for one in _FIXED if before[one] != now[one]]
        self.demand(so=not changed, told=f"{name} changes its {changed}")

    def _look_at_hold(self, server: Server, before: Any, now: Any) -> None:
        """A hold ends once; the hub holds nothing for frozen groups or old rates."""
        if before is not None:
            self.demand(
                so=before["state"] == "held" or before == now,
                told=f"{server.name}: a hold ends twice",
            )
            return
        if server is not self.federation.hub:
            return
        states, versions = self._before
        row = server.database.table("transfer")[now["transfer_id"]]
        for group, version in (
            (row["payer_group"], row["payer_rate"]),
            (row["payee_group"], row["payee_rate"]),
        ):
            is_frozen = states.get(group) == self._states.get(group) == "frozen"
            self.demand(
                so=not is_frozen, told=f"hub holds for {group}, which is frozen"
            )
            lawful = {versions.get(group), len(self._rates[group])}
            self.demand(
                so=version in lawful, told=f"hub holds at a rate of old: {group}"
            )

    def _look_at_mirror(
        self, node: Server, _before: Any, newest: tuple[str, int]
    ) -> None:
        """A node's clearing balance is minus its position at the same decision."""
        if not self._is_clear(node.name, "hub"):
            return
        clearing = node.database.table("account").get("clearing", {"balance": 0})
        position = self.position_at(node.name, *newest)
        self.demand(
            so=clearing["balance"] == -position,
            told=f"{node.name} has {clearing['balance']} where it stands at {position}",
        )

    # What ``reasons`` and ``views`` ask.

    @property
    def states(self) -> Mapping[str, str]:
        """By group, its state as the newest decision has it."""
        return self._states

    @property
    def before(self) -> tuple[Mapping[str, str], Mapping[str, int]]:
        """States and how many rates there were, as the hub's newest batch began."""
        return self._before

    @property
    def rates(self) -> Mapping[str, Sequence[int]]:
        """By group, all its rates so far."""
        return self._rates

    def may_wait(self, server: Server, transfer_id: str) -> bool:
        """Say whether a transfer may wait for a recovery that is not built."""
        return self._may_wait(server, transfer_id)

    # At the quiet end.

    def at_the_end(self) -> None:
        """Everything has ended, nothing is held, all ledgers agree."""
        for server in self.federation.servers:
            self._look_at_ledger(server)
        self._views.at_the_end()
        self._papers.at_the_end()
        self.cycles.at_the_end()
        self.lives.at_the_end()
        self._ledgers.at_the_end()
        self._look_at_outcomes()
        for node in self.federation.nodes.values():
            if self._is_clear(node.name, "hub"):
                self._look_at_link(node)
        self._look_at_positions()
        known: dict[str, list[Wish]] = defaultdict(list)
        for wish in self.people.wishes:
            known[wish.transfer_id].append(wish)
        for wishes in known.values():
            one = wishes[0]
            if self._is_clear("hub", one.group, one.payee_group):
                self._look_at_key(wishes)
        for server in self.federation.servers:
            strangers = [
                id_
                for id_, row in server.database.table("transfer").items()
                if id_ not in known and self._is_clear(row["payer_group"])
            ]
            self.demand(
                so=not strangers or "hub" in self.doubted,
                told=f"{server.name} has transfers that nobody ordered: {strangers}",
            )

    def _look_at_outcomes(self) -> None:
        """No transfer is cleared for one group and refused for the other."""
        states: dict[str, dict[str, str]] = defaultdict(dict)
        for node in self.federation.nodes.values():
            for id_, row in node.database.table("transfer").items():
                if row["state"] in _ENDED and row["payer_group"] != row["payee_group"]:
                    # What a payee's node refused itself was never decided otherwise.
                    states[id_][node.name] = row["state"]
        for id_, found in states.items():
            self.demand(
                so=len(set(found.values())) == 1
                or (self.lies is not None and self.lies.may_differ(id_))
                or (not self._is_clear(*found) and not self.is_restored),
                told=f"transfer {id_} ends in two ways: {found}",
            )

    def _may_wait(self, server: Server, transfer_id: str) -> bool:
        """Say whether a transfer may wait for a recovery that is not built."""
        if self.lies is not None and self.lies.may_wait(server.name, transfer_id):
            return True
        if not self.is_restored:
            return False
        row = server.database.table("transfer")[transfer_id]
        groups = (row["payer_group"], row["payee_group"])
        return not self._is_clear("hub", *groups)

    def _look_at_ledger(self, server: Server) -> None:
        database = server.database
        held = [
            id_
            for id_, row in database.table("hold").items()
            if row["state"] == "held" and not self._may_wait(server, id_)
        ]
        self.demand(so=not held, told=f"{server.name} still holds for {held}")
        undecided = [
            id_
            for id_ in database.table("undecided")
            if not self._may_wait(server, id_)
        ]
        self.demand(so=not undecided, told=f"{server.name}: not ended: {undecided}")
        sums: Counter[str] = Counter()
        for name, row in database.table("account").items():
            sums[row["unit"]] += row["balance"]
            amounts = [
                amount for amount, _ in database.table(("posting", name)).values()
            ]
            self.demand(
                so=row["balance"] == sum(amounts),
                told=f"{server.name}: {name} is not the sum of its postings",
            )
            self.demand(
                so=self.is_restored
                or "hub" in self.doubted
                or not row["held_out"] + row["held_in"],
                told=f"{server.name}: {name} still has something set aside",
            )
        self.demand(
            so=not any(sums.values()), told=f"{server.name} sums to {dict(sums)}"
        )
        if not self.doubted:
            self._look_at_refunds(server)

    def _look_at_refunds(self, server: Server) -> None:
        """What counts as given back is what was given back."""
        given: Counter[str] = Counter()
        rows = server.database.table("transfer")
        for id_, row in rows.items():
            if row["refund_of"] is None or row["state"] != "cleared":
                continue
            given[row["refund_of"]] += row["milliseconds"]
            original = rows.get(row["refund_of"])
            self.demand(
                so=original is not None
                and original["state"] == "cleared"
                and original["payer_group"] == row["payee_group"]
                and original["payee_group"] == row["payer_group"]
                and given[row["refund_of"]] <= original["milliseconds"],
                told=f"{server.name}: {id_} gives back what was not paid so",
            )
        # What was undone by hand counts as wholly given back.
        for id_ in server.database.table("correction"):
            if id_ in rows:
                given[id_] = rows[id_]["milliseconds"]
        wrong = [id_ for id_, row in rows.items() if row["refunded"] != given[id_]]
        self.demand(so=not wrong, told=f"{server.name}: refunds of {wrong} miscounted")

    def _look_at_link(self, node: Server) -> None:
        hub = self.federation.hub
        for one, other in ((node, hub), (hub, node)):
            link = one.database.table("link")[other.name]
            sent = one.database.table(("item", other.name, "out"))
            taken = other.database.table(("item", one.name, "in"))
            self.demand(
                so=sent == taken,
                told=f"{one.name} sent {len(sent)}, {other.name} took {len(taken)}",
            )
            self.demand(
                so=link["acknowledged"] == len(sent),
                told=f"{one.name}: not all was acknowledged",
            )
            self.demand(
                so=link["trouble"] is None, told=f"{one.name}: {link['trouble']}"
            )

    def _look_at_positions(self) -> None:
        accounts = self.federation.hub.database.table("account")
        for name, node in self.federation.nodes.items():
            if not self._is_clear(name, "hub"):
                continue
            clearing = node.database.table("account").get("clearing", {"balance": 0})
            position = accounts[name]["balance"]
            moves = self._moves[name]
            self.demand(
                so=position == (moves[-1][1] if moves else 0),
                told=f"the hub's position of {name} is not what it decided",
            )
            self.demand(
                so=clearing["balance"] == -position,
                told=f"{name} mirrors {clearing['balance']} of {position}",
            )

    def _look_at_key(self, wishes: list[Wish]) -> None:
        """Of several wishes under one key, one at most is what happened."""
        told = [wish for wish in wishes if wish.was_ok or wish.was_refused]
        for wish in told:
            self._look_at_wish(wish)
        if told:
            return
        failures = []
        for wish in wishes:
            try:
                self._look_at_wish(wish)
            except BrokenPromiseError as violation:
                failures.append(violation)
        if len(failures) == len(wishes):
            raise failures[0]

    def _look_at_wish(self, wish: Wish) -> None:
        """What she was told is so, on every ledger, exactly once."""
        node = self.federation.nodes[wish.group]
        row = node.database.table("transfer").get(wish.transfer_id)
        told = f"{wish.member}@{wish.group}'s {wish.key}"
        self.demand(
            so=not wish.was_ok or row is not None,
            told=f"{told} was acknowledged and is not there",
        )
        self.demand(
            so=not (wish.was_ok and wish.was_refused),
            told=f"{told} was told yes and no",
        )
        if row is None:
            return
        self.demand(so=not wish.was_refused, told=f"{told} was refused and is there")
        if wish.payee_group == wish.group:
            self._look_at_local(wish, node, told)
        else:
            self._look_at_remote(wish, node, row, told)

    def amounts(self, server: Server, transfer_id: str) -> dict[str, int]:
        """Give what an entry moved, by account; nothing when there is none."""
        sequence = server.database.table("entry by id").get(transfer_id)
        found = {}
        for name in server.database.table("account"):
            posting = server.database.table(("posting", name)).get(sequence)
            if posting is not None:
                found[name] = posting[0]
        return found

    def _look_at_local(self, wish: Wish, node: Server, told: str) -> None:
        moved = self.amounts(node, wish.transfer_id)
        amount = wish.payee_amount
        self.demand(
            so=moved == {wish.member: -amount, wish.payee: amount},
            told=f"{told} moved {moved}",
        )

    def _look_at_remote(self, wish: Wish, node: Server, row: Any, told: str) -> None:
        decided = self.decisions.get(wish.transfer_id)
        hub = self.federation.hub
        at_hub = self.amounts(hub, wish.transfer_id)
        payer = self.amounts(node, wish.transfer_id)
        other = self.federation.nodes.get(wish.payee_group)
        payee = self.amounts(other, wish.transfer_id) if other else {}
        self.demand(so=row["state"] in _ENDED, told=f"{told} has not ended")
        outcome = decided[2] if decided else "refused"
        self.demand(
            so=row["state"] == outcome,
            told=f"{told} is {row['state']}, and was decided {outcome}",
        )
        if outcome == "refused":
            self.demand(
                so=not at_hub and not payer and not payee,
                told=f"{told} was refused and moved something",
            )
            return
        rates = self._rates[wish.group], self._rates[wish.payee_group]
        own = rates[0][row["payer_rate"] - 1]
        theirs = rates[1][row["payee_rate"] - 1]
        time = wish.payee_amount * theirs
        pays = (time + own - 1) // own
        one, two = row["payer_rate"], row["payee_rate"]
        expected = (
            {wish.group: -time, wish.payee_group: time},
            {
                wish.member: -pays,
                f"conversion.{one}": pays,
                f"conversion.{one}.time": -time,
                "clearing": time,
            },
            {
                wish.payee: wish.payee_amount,
                f"conversion.{two}": -wish.payee_amount,
                f"conversion.{two}.time": time,
                "clearing": -time,
            },
        )
        self.demand(
            so=(at_hub, payer, payee) == expected,
            told=f"{told} moved {(at_hub, payer, payee)} and not {expected}",
        )
        self.demand(
            so=pays <= wish.payer_amount_max,
            told=f"{told} cost {pays}, more than {wish.payer_amount_max}",
        )


#: By table, what looks at each of its rows that a batch has changed.
_LOOKS: dict[str, Callable[[Checker, Server, Any, Any], None]] = {
    "account": Checker._look_at_account,
    "transfer": Checker._look_at_transfer,
    "hold": Checker._look_at_hold,
    "newest decision": Checker._look_at_mirror,
    "alarm": Checker._look_at_alarm,
    "link": Checker._look_at_trouble,
}
