"""What goes wrong on a large scale, one deed each; who does it chooses when.

``swarm`` draws these deeds, ``replay`` reads them from a text: each notes itself in
the world's script, in the words in which it can be read again.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from protocol.address import HUB
from protocol.instant import Instant
from protocol.peer import backup_store
from protocol.peer.key_files import ServerKeys
from protocol.restored import Restored
from protocol.steps import Step
from tests.simulator.agenda import SECOND
from tests.simulator.checker import Checker
from tests.simulator.federation import Federation
from tests.simulator.liars import make_liar
from tests.simulator.servers import Server
from tests.simulator.world import Rates

_CALM = asdict(Rates())


class Trouble:
    """Whatever strikes servers and lines, and how it ends."""

    def __init__(self, federation: Federation, checker: Checker) -> None:
        self.federation, self.checker = federation, checker
        self.world = federation.world
        self.world.on_crash = self._come_back
        #: All was put right.
        self.is_quiet = False
        self._downs: Counter[str] = Counter()
        self._backups: dict[str, tuple[Mapping[Any, Any], Instant, ServerKeys]] = {}

    @property
    def is_honest(self) -> bool:
        """Say whether nobody lies, nor was put back."""
        return not self.checker.doubted

    def server(self, name: str) -> Server:
        """Give a server by its name."""
        federation = self.federation
        return federation.hub if name == HUB else federation.nodes[name]

    def strew(self, rates: Rates) -> None:
        """Let small faults strike so often from now on."""
        self.world.rates = rates
        given = {k: v for k, v in asdict(rates).items() if v != _CALM[k]}
        words = " ".join(f"{name}={value}" for name, value in given.items())
        self.world.note(f"network has {words}")

    def lie(self, group: str) -> None:
        """Let a group's node lie from now on."""
        self.world.note(f"{group} lies")
        self.checker.doubted.add(group)
        make_liar(self.federation, group)
        self.federation.nodes[group].keeps_house = False
        self.federation.nodes[group].crash("to come back as a liar")

    def back_up(self, server: Server) -> None:
        """Keep what a server has."""
        self.world.note(f"{server.name} backs up")
        self.world.tell("a backup of {} is made", server.name)
        snapshot, at = server.database.snapshot(), server.clock.now()
        self._backups[server.name] = snapshot, at, server.keys

    def restore(
        self, server: Server, *, is_noticed: bool, has_old_keys: bool = False
    ) -> None:
        """Put a server back to its backup; a restore leaves a mark, a copy does not.

        With ``has_old_keys`` its key files too are as they were then.
        """
        if server.name not in self._backups:
            return
        how = " unnoticed" * (not is_noticed) + " with old keys" * has_old_keys
        self.world.note(f"{server.name} restores{how}")
        self.world.count("restore")
        self.checker.note_restored(server.name)
        backup, at, keys = self._backups[server.name]
        server.crash("and comes back from its backup")
        server.database.restore(backup)
        if has_old_keys:
            server.keys = keys
        if is_noticed:
            mark = Restored(at=server.clock.now(), backup_at=at)
            server.read(lambda one: backup_store.mark_restored(one, mark))

    def set_clock(self, server: Server, offset_ms: int) -> None:
        """Let a server's clock be off by so much from now on."""
        self.world.note(f"{server.name} clock {offset_ms} ms")
        is_back = offset_ms < server.clock.offset_ms
        self.world.count("clock set back" if is_back else "clock jump")
        server.clock.offset_ms = offset_ms
        self.checker.had_wrong_clock = True
        self.world.tell("{}'s clock is off by {} ms", server.name, offset_ms)

    def crash(self, server: Server) -> None:
        """Let a server lose its power; it comes back by itself."""
        self.world.note(f"{server.name} crashes")
        server.crash("by chance")

    def fall(self, server: Server, step: str, when: str) -> None:
        """Let power fail when a server next comes to a durable step."""
        self.world.note(f"{server.name} falls {when} {step}")
        self.world.planned.append((server.name, Step(step), when))

    def _come_back(self, server: Server) -> None:
        """Start a server again after it crashed, unless it stays away longer."""
        if self._downs[server.name]:
            return
        most = self.world.rates.down_ms_max if not self.is_quiet else SECOND

        def start() -> None:
            if not server.is_up and not self._downs[server.name]:
                server.start()

        self.world.later(self.world.draw.randint(10, most + 10), start)

    def leave(self, server: Server) -> None:
        """Keep a server down until it returns as often as it left."""
        self.world.note(f"{server.name} sleeps")
        self.world.count("server away")
        self._downs[server.name] += 1
        server.crash("and stays away")

    def come_back(self, server: Server) -> None:
        """End a time away."""
        self.world.note(f"{server.name} wakes")
        self._downs[server.name] = max(0, self._downs[server.name] - 1)
        if not server.is_up and not self._downs[server.name]:
            server.start()

    def part(self, group: str, what: str) -> None:
        """Cut a node's line to the hub: ``hearing``, ``speaking`` or ``both``."""
        self.world.note(f"{group} parts {what}")
        self.world.count("partition" if what == "both" else "one-way")
        self.world.tell("{} is cut off: {}", group, what)
        for pair in _pairs(group, what):
            self.world.cut[pair] += 1

    def rejoin(self, group: str, what: str) -> None:
        """Mend what was cut."""
        self.world.note(f"{group} rejoins {what}")
        for pair in _pairs(group, what):
            self.world.cut[pair] = max(0, self.world.cut[pair] - 1)
        self.federation.nodes[group].hurry()

    def put_right(self) -> None:
        """End all trouble."""
        world = self.world
        world.note("all is put right")
        world.tell("from here on nothing goes wrong")
        self.is_quiet = True
        world.quiet_since = world.now
        world.rates = Rates()
        world.planned.clear()
        world.cut.clear()
        for server in self.federation.servers:
            server.clock.offset_ms = 0
            self._downs[server.name] = 0
            if not server.is_up:
                server.start()
        self.federation.hurry()


def _pairs(group: str, what: str) -> list[tuple[str, str]]:
    pairs = {"speaking": (group, HUB), "hearing": (HUB, group)}
    return [pair for name, pair in pairs.items() if what in (name, "both")]
