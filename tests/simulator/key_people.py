"""People who change keys, lose them, or steal them.

A treasurer changes her group's keys while her node runs, or types the recovery sheet
after it lost them; a thief has a copy of former keys and stands on the line. Key files
outlive a crash, as a disk does. What must never be is in ``key_watch``.
"""

import random
from collections import Counter
from hashlib import sha256
from typing import Any

import msgspec

from clearing.rules import RecoverKeys as AskedRecovery
from nodes import renewal_store
from nodes.key_changes import KeyChanges, is_believed, recovery_of, request_of
from protocol.address import HUB, Group
from protocol.base64url import read_base64url, write_base64url
from protocol.directory import read_entry
from protocol.envelope import CoverPayload, EnvelopePayload, root_of, seal
from protocol.errors import DirectoryRefusalCode, InterletsError
from protocol.key_change import read_recovery_request
from protocol.keyring import SigningKey
from protocol.messages import Mirror, write_line
from protocol.peer.batch import Work
from protocol.peer.key_files import KeyPair, ServerKeys
from protocol.peer.web.problems import Problem
from tests.protocol.makers import sealing_key, signing_key
from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.checker import decode
from tests.simulator.federation import Federation, Node
from tests.simulator.servers import Crash, drive

_REASON = "the server was stolen"
_RETRY_MS = 5 * SECOND
#: Pauses double as often as this, so that years of silence cost little.
_DOUBLED_MAX = 8


class KeyPeople:
    """Who changes, recovers and steals keys in one federation.

    Attributes:
        made: by group, how many pairs it ever made.
        unbelieved: groups that did not know the entry that the hub told of them.
        lost: groups that have lost private keys, and so cannot open everything.
    """

    def __init__(self, federation: Federation, seed: object) -> None:
        self.federation = federation
        self.world = federation.world
        #: What people intend; each deed of it stands in the script.
        self.plan = random.Random(f"keys of {seed}")
        #: What follows of their deeds, the same wherever they are played.
        self.follows = random.Random(f"what follows of keys of {seed}")
        self.made: dict[str, int] = {}
        self.unbelieved: set[str] = set()
        self.lost: set[str] = set()
        self.thefts = 0
        #: Whose request is on its way to the hub again and again.
        self.posting: set[str] = set()
        #: Who will type her sheet once the hub can be asked.
        self.typing: set[str] = set()
        #: How often she tried in vain since anything changed.
        self.tries: Counter[str] = Counter()
        self.again: dict[str, bool] = {}

    # What happens in a bout.

    def plan_bout(self, span: int) -> None:
        """Let something happen to keys in the next stretch of time."""
        for _ in range(self.plan.choice((0, 1, 1, 2))):
            verb = self.plan.choice(("renews", "renews", "renews", "types", "loses"))
            node = self.plan.choice(list(self.federation.nodes.values()))
            self.world.later(
                self.plan.randint(0, span), lambda v=verb, n=node: self.do(n, v)
            )
        if self.plan.random() < 0.6:
            verb = self.plan.choice(("forges", "speaks"))
            self.world.later(self.plan.randint(0, span), lambda: self.steal(verb))

    def do(self, node: Node, verb: str) -> None:
        """Let a group's people do something about its keys, as the script tells it."""
        deeds = {
            "renews": (self.change, "its keys"),
            "types": (self.recover, "the sheet"),
            "loses": (self.lose, "its keys"),
        }
        deed, words = deeds[verb]
        self.world.note(f"{node.name} {verb} {words}")
        deed(node)

    def _pair(self, node: Node) -> KeyPair:
        self.made[node.name] = self.made.get(node.name, 0) + 1
        label = f"{node.name} {self.made[node.name]}"
        return KeyPair(signing_key(label), sealing_key(label))

    def change(self, node: Node) -> None:
        """Let a treasurer change the keys of her running node."""
        clerk = node.clerk
        if clerk is None or not clerk.is_ready:
            return

        async def add() -> KeyPair:
            # On disk, whatever becomes of the process.
            pair = self._pair(node)
            node.keys = node.keys.with_pair(pair)
            return pair

        switch = clerk._kill_switch
        changes = KeyChanges(node.house, clerk, add, switch)
        self.world.tell("the treasurer of {} changes its keys", node.name)
        record = node.house.directory.get(Group(node.name))
        version = 1 if record is None else record.entry.version
        try:
            renewal = drive(changes.change(version, "treasurer"))
        except Crash as crash:
            node.crash(str(crash))
            return
        except (Problem, InterletsError) as error:
            self.world.tell("she is told: {}", error)
            return
        self.world.count("keys changed")
        self.world.tell("its new keys are item {}", renewal.number)
        node.after_batch()

    def lose(self, node: Node, tries: int = 100) -> None:
        """Lose the disk's key files, and type the recovery sheet.

        Best while something is under way that only the old keys could sign.
        """
        clerk = node.clerk
        is_idle = clerk is None or not clerk.is_ready or not clerk.has_sealed(HUB)
        if is_idle and tries:
            self.world.later(200, lambda: self.lose(node, tries - 1))
            return
        if node.clerk is None or Group(node.name) not in node.house.directory:
            return
        self.lost.add(node.name)
        node.crash("and its key files are gone")
        self.recover(node, is_lost=True)

    def type_where_not_heard(self) -> None:
        """Let whoever is not heard any more type her sheet, in the quiet end."""
        hub = self.federation.hub
        for node in self.federation.nodes.values():
            assert hub.clerk is not None and node.clerk is not None
            if hub.clerk.links[node.name].peer_life != node.clerk.life:
                self.world.tell("the hub does not hear {}", node.name)
                self.recover(node)

    def recover(self, node: Node, *, is_lost: bool = False) -> None:
        """Type the recovery sheet beside the stopped server, then start it."""
        if node.is_up:
            if Group(node.name) not in node.house.directory:
                return
            node.crash("to type its recovery sheet")
        told = self._ask_for_entry(node)
        if told is None:
            # Without the hub she cannot know what to sign; she tries again.
            if is_lost:
                self._lose_files(node)
            node.start()
            self.typing.add(node.name)
            self.world.later(self._pause(node, HOUR), lambda: self._try_again(node))
            return
        pair = self._pair(node)
        if is_lost:
            node.keys = ServerKeys(pair.signing, pair.sealing)
        else:
            node.keys = node.keys.with_pair(pair)
        with self.world.calm():
            node.start()
        if not self._is_believed(node, told):
            self.unbelieved.add(node.name)
            self.world.tell("{} does not know the entry that the hub tells", node.name)
        sheet = signing_key(f"{node.name} recovery")
        base = read_entry(told, self.federation.hub.federation)
        order = recovery_of(base, pair, sheet, _REASON)
        work = Work(order)
        self.world.count("keys lost" if is_lost else "keys recovered")
        if node.carry_out([work]):
            self.world.tell("the recovery sheet of {}: {}", node.name, work.outcome)
            node.after_batch()
        else:
            # Her command died under her hands: she types it again.
            self.world.later(MINUTE, lambda: self.recover(node))
        self.post(node)

    def _try_again(self, node: Node) -> None:
        """Type the sheet that could not be typed while the hub was away."""
        if node.name in self.typing:
            self.typing.remove(node.name)
            self.recover(node)

    def _ask_for_entry(self, node: Node) -> str | None:
        """Ask the hub for the group's newest entry; nothing when it is away."""
        hub = self.federation.hub
        if hub.clerk is None or self.world.cut[node.name, "hub"] > 0:
            return None
        signed: str = hub.house.directory[Group(node.name)].signed
        return signed

    def _is_believed(self, node: Node, told: str) -> bool:
        federation = self.federation.hub.federation
        asked = node.read(
            lambda one: renewal_store.read_renewed(one, federation, [told])
        )
        return is_believed(node.house, told, asked)

    def _lose_files(self, node: Node) -> None:
        """Leave keys that nobody has ever heard of."""
        pair = self._pair(node)
        node.keys = ServerKeys(pair.signing, pair.sealing)

    def post(self, node: Node) -> None:
        """Tell the hub past the link, as the node does until it is answered."""

        def again() -> None:
            self.posting.discard(node.name)
            self.post(node)

        if node.clerk is not None:
            request = request_of(node.house)
            if request is None:
                return
            self.world.carry(
                node.name, "hub", lambda: self._arrive(node, request), "a recovery"
            )
        if node.name not in self.posting:
            self.posting.add(node.name)
            pause = self.follows.choice((_RETRY_MS, MINUTE, HOUR, HOUR))
            self.world.later(self._pause(node, pause), again)

    def _pause(self, node: Node, shortest_ms: int) -> int:
        doubled = min(self.tries[node.name], _DOUBLED_MAX)
        self.tries[node.name] += 1
        return shortest_ms << doubled

    def hurry(self) -> None:
        """Try again at once, and soon again: something has been put right."""
        self.tries.clear()
        for name in sorted(self.typing):
            self._try_again(self.federation.nodes[name])
        for name in sorted(self.posting):
            self.post(self.federation.nodes[name])

    def _arrive(self, node: Node, request: str) -> None:
        hub = self.federation.hub
        if hub.clerk is None:
            return
        wanted, _ = read_recovery_request(request.encode(), hub.federation)
        entry = read_entry(wanted.entry, hub.federation)
        order = AskedRecovery(
            entry=entry,
            signed=wanted.entry,
            statement=wanted.statement,
            sent=wanted.sent,
        )
        hub.submit(order, lambda told: self._hear(node, told))

    def _hear(self, node: Node, told: object) -> None:
        """Type the sheet again when the hub knows of a newer entry."""
        outcome = getattr(told, "code", "taken")
        self.world.tell("hub, of the new keys of {}: {}", node.name, outcome)
        is_old = outcome == DirectoryRefusalCode.ENTRY_CHANGED
        if is_old and not self.again.get(node.name):
            self.again[node.name] = True
            self.world.later(MINUTE, lambda: self._type_again(node))

    def _type_again(self, node: Node) -> None:
        self.again[node.name] = False
        if node.is_up and request_of(node.house) is not None:
            self.recover(node)

    # The thief.

    def steal(self, verb: str) -> None:
        """Let a thief with former keys take part in what a node says next.

        Either he ``forges`` an envelope behind a good cover, or ``speaks`` himself.
        """
        self.world.note(f"thief {verb}")
        self.thefts += 1
        hub = self.federation.hub
        hub.tamper = self.tamper if verb == "forges" else self.speak_as

    def speak_as(self, node: Node, raw: bytes) -> bytes:
        """Sign what a node says with a former key of it, cover and all."""
        line_1, _, rest = raw.partition(b"\n")
        header, text, _ = line_1.split(b".")
        kid = decode(header)["kid"]
        former = node.keys.all_signing().values()
        stolen = [key for key in former if key.kid != kid]
        if not stolen:
            return raw
        self.federation.hub.tamper = None
        self.world.count("forged cover")
        self.world.tell("a thief speaks instead of {}", node.name)
        cover = msgspec.json.decode(read_base64url(text, "payload"), type=CoverPayload)
        sealed, _ = seal(cover, self.follows.choice(stolen))
        return sealed + b"\n" + rest

    def tamper(self, node: Node, raw: bytes) -> bytes:
        """Add an envelope by a former key to what a node sends."""
        line_1, _, rest = raw.partition(b"\n")
        if b'\n{"type":"key.change"' in rest:
            return self._add_behind(node, raw)
        former = list(node.keys.all_signing().values())
        header, payload, _ = line_1.split(b".")
        kid, cover = decode(header)["kid"], decode(payload)
        stolen = [key for key in former if key.kid != kid]
        if not stolen or rest:
            return raw
        return raw + self._forge(node, cover, self.follows.choice(stolen))

    def _add_behind(self, node: Node, raw: bytes) -> bytes:
        """Add an envelope by the old key behind the one in which it ends."""
        before, found, _ = raw.rpartition(b'\n{"type":"key.change"')
        assert found
        head = next(
            line for line in reversed(before.split(b"\n")) if not line.startswith(b"{")
        )
        header, text, _ = head.split(b".")
        kid, last = decode(header)["kid"], decode(text)
        payload = read_base64url(text, "payload")
        follows = {
            "first": last["first"] + last["count"],
            "prev": write_base64url(sha256(payload).digest()),
        }
        key = node.keys.all_signing().get(kid)
        # What was sealed under a key that is lost is sent again as it is.
        return raw if key is None else raw + self._forge(node, last | follows, key)

    def _forge(self, node: Node, cover: dict[str, Any], key: SigningKey) -> bytes:
        """Seal a mirror that the node never told, where the next envelope belongs."""
        self.federation.hub.tamper = None
        self.world.count("forged envelope")
        self.world.tell("a thief adds an envelope to what {} says", node.name)
        mirror = Mirror(log=cover["life"], number=1, balance=1)
        line = write_line(mirror)
        forged = EnvelopePayload(
            federation=cover["federation"],
            from_=cover["from"],
            to="hub",
            life=cover["life"],
            first=cover["first"],
            count=1,
            root=root_of([line]),
            prev=cover["prev"],
            at=cover["at"],
        )
        sealed, _ = seal(forged, key)
        return sealed + b"\n" + line + b"\n"
