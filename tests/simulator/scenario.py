"""A language for stories: one line, one thing that somebody does or that goes wrong.

    marie@oostende  pays    bob@mechelen  2 blussers
    hub             loses   decision      to oostende
    clock           +90 s

Oostende counts in blussers of three minutes, Mechelen in ketjes of one minute, Brussel
in zinnekes of seven an hour. Everyone may go to 100 units either way. Lines that begin
with ``#`` and words that explain (``to``, ``the``) carry no meaning. Each verb is a
method ``_<verb>`` below, or of ``cycle_stories``. Nothing goes wrong by itself; whoever
crashes is back a second later, unless a line says ``sleeps``.
"""

from collections.abc import Callable
from typing import Any

from protocol.instant import Instant
from protocol.peer import backup_store
from protocol.restored import Restored
from protocol.steps import Step
from protocol.unit import Amount, quote_for_payer
from tests.simulator import memory_queries
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND
from tests.simulator.checker import Checker
from tests.simulator.cycle_stories import CycleWords
from tests.simulator.federation import Federation, Home
from tests.simulator.members import People, Wish
from tests.simulator.servers import Server
from tests.simulator.world import World

assert memory_queries, "its import lets queries be answered"
_MS = {"ms": 1, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}
UNITS = {"oostende": "blusser", "mechelen": "ketje", "brussel": "zinneke"}
RATES = {"oostende": 180_000, "mechelen": 60_000, "brussel": 514_286}
_MEMBERS = {"oostende": ("marie", "jan"), "mechelen": ("bob",), "brussel": ("an",)}
NOISE = {"to", "the", "from", "of", "at", "for", "is"}


class Story(CycleWords):
    """A federation that does what a text says.

    Attributes:
        wishes: by key, or by number from 1 in the order in which they were ordered.
    """

    def __init__(
        self, seed: int = 1, record: Callable[[str], Callable[..., None]] | None = None
    ) -> None:
        super().__init__()
        self.world = World(seed, is_told=True)
        homes = [
            Home(name, rate, 0, dict.fromkeys(_MEMBERS[name], (-100, 100)))
            for name, rate in RATES.items()
        ]
        self.federation = Federation(self.world, homes)
        self.people = People(self.federation)
        self.checker = Checker(self.federation, self.people)
        self.world.on_crash = self._come_back
        self._asleep: set[str] = set()
        self._backups: dict[str, tuple[Any, Instant]] = {}
        self.world.rates.poll_ms = 25 * SECOND
        self.world.rates.silent_loss = 0.0
        if record is not None:
            for server in self.federation.servers:
                server.database.record = record(server.name)
        self.federation.open()

    def play(self, text: str) -> "Story":
        """Do what a text says, line by line."""
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if words:
                self._do([word for word in words if word not in NOISE])
        return self

    def _do(self, words: list[str]) -> None:
        subject, verb, *rest = words
        if subject == "clock":
            self._pass(_span([verb, *rest]))
            return
        deed: Callable[..., None] = getattr(self, f"_{verb.strip('.')}")
        deed(subject, *rest)
        # People take a moment between two things that they do.
        if verb in ("pays", "cancels", "asks", "gives"):
            self.world.run(self.world.now + 1)

    def _pass(self, for_ms: int) -> None:
        """Let time pass; in a silence of days nobody needs to poll twice a minute."""
        soon = min(for_ms, HOUR)
        self.world.rates.poll_ms = 25 * SECOND
        self.world.run(self.world.now + soon)
        self.world.rates.poll_ms = 6 * HOUR
        self.world.pass_silence(self.world.now + for_ms - soon)

    def rest(self, for_ms: int = 80 * HOUR) -> None:
        """Put everything right, let it come to rest, and look at everything."""
        self.world.planned.clear()
        self.world.losses.clear()
        self.world.cut.clear()
        self._asleep.clear()
        for server in self.federation.servers:
            server.clock.offset_ms = 0
            if not server.is_up:
                server.start()
        self.federation.hurry()
        self._pass(for_ms)
        self.checker.at_the_end()

    def balances(self) -> dict[str, int]:
        """Give everybody's balance after all has come to rest, zeros left out."""
        self.rest()
        return {
            f"{name}@{group}": row["balance"]
            for group, node in self.federation.nodes.items()
            for name, row in node.database.table("account").items()
            if row["kind"] == "member" and row["balance"]
        }

    def outcome(self, number: int = -1) -> str:
        """Say how an order stands at the payer's node: state, and the code if any."""
        wish = self.wish(number)
        node = self.federation.nodes[wish.group]
        row = node.database.table("transfer").get(wish.transfer_id)
        if row is None:
            return wish.told
        return " ".join(filter(None, (row["state"], row["code"])))

    def told(self, number: int = -1) -> str:
        """Say what who ordered was told."""
        return self.wish(number).told

    def wish(self, number: int) -> Wish:
        """Give an order by its number from 1; -1 is the newest."""
        return self.people.wishes[number - 1 if number > 0 else number]

    def _server(self, name: str) -> Server:
        if name == "hub":
            return self.federation.hub
        return self.federation.nodes[name]

    def _come_back(self, server: Server) -> None:
        def start() -> None:
            if not server.is_up and server.name not in self._asleep:
                server.start()

        self.world.later(SECOND, start)

    # Members.

    def _pays(self, payer: str, payee: str, amount: str, unit: str, *how: str) -> None:
        """``marie@oostende pays bob@mechelen 2 blussers [when reachable]``."""
        own, theirs = payer.partition("@")[2], payee.partition("@")[2]
        units = int(amount)
        word = unit.removesuffix("s")
        if word != UNITS[theirs]:
            assert word == UNITS[own], f"who counts in {unit}?"
            quoted, _ = quote_for_payer(Amount(units), RATES[own], RATES[theirs])
            assert quoted is not None
            units = quoted.payee_amount
        deliver = "when_reachable" if "reachable" in how else "now"
        self.people.pay(payer, payee, units, deliver=deliver)

    def _gives(self, payer: str, back: str, amount: str, _unit: str) -> None:
        """``bob@mechelen gives back 1 blusser``: of the newest payment, in its unit."""
        assert back == "back"
        wish = self.people.wishes[-1]
        if wish.refund_of is not None:
            wish = next(one for one in self.people.wishes if one.refund_of is None)
        self.people.pay(
            payer,
            f"{wish.member}@{wish.group}",
            int(amount),
            deliver="when_reachable",
            refund_of=wish.transfer_id,
        )

    def _asks(self, _member: str, *_again: str) -> None:
        """``marie@oostende asks again``: the newest order under its key."""
        self.people.ask(self.people.wishes[-1])

    def _cancels(self, _member: str) -> None:
        """``marie@oostende cancels``: the newest order."""
        self.people.cancel(self.people.wishes[-1])

    # Treasurers and the regional admin.

    def _limits(
        self, who: str, what: str, floor: str, _dots: str, ceiling: str
    ) -> None:
        """``treasurer limits marie@oostende -3 .. 5``; ``admin``: a group, minutes."""
        low, high = int(floor), int(ceiling)
        if who == "admin":
            self.people.limit(what, low * MINUTE, high * MINUTE)
        else:
            self.people.change_member(what, floor=low, ceiling=high)
        self._let_it_be_known()

    def _caps(self, _admin: str, payer: str, payee: str, minutes: str) -> None:
        """``admin caps oostende mechelen 30``: minutes in a month."""
        self.people.cap(payer, payee, int(minutes) * MINUTE)
        self._let_it_be_known()

    def _freezes(self, who: str, what: str) -> None:
        """``treasurer freezes marie@oostende``, ``admin freezes oostende``."""
        if who == "admin":
            self.people.freeze(what)
        else:
            self.people.change_member(what, frozen=True)
        self._let_it_be_known()

    def _releases(self, who: str, what: str) -> None:
        """``treasurer releases marie@oostende``, ``admin releases oostende``."""
        if who == "admin":
            self.people.release(what)
        else:
            self.people.change_member(what, frozen=False)
        self._let_it_be_known()

    def _wants(self, group: str, _rate: str, milliseconds: str) -> None:
        """``mechelen wants rate 120000``: milliseconds of one unit from now on."""
        self.people.propose_rate(group, int(milliseconds))
        self.world.run(self.world.now + 2 * SECOND)

    def _approves(self, _admin: str, group: str) -> None:
        """``admin approves mechelen``."""
        self.people.approve(group)

    def _let_it_be_known(self) -> None:
        self.world.run(self.world.now + 50)

    # Trouble.

    def _loses(self, sender: str, what: str, to: str = "hub", times: str = "1") -> None:
        """``hub loses decision to oostende``: the next message that carries one."""
        self.world.losses += [(sender, to, what)] * int(times)

    def _crashes(self, server: str, when: str = "", step: str = "") -> None:
        """``hub crashes [before accept]``, ``after``; it is back in a second."""
        if when:
            self.world.planned.append((server, Step(step), when))
        else:
            self._server(server).crash("by a line of the story")

    def _tears(self, server: str, *_batch: str) -> None:
        """``hub tears a batch``: power fails between two writes of the next one."""
        self.world.planned_tear = server

    def _sleeps(self, server: str) -> None:
        """``mechelen sleeps``: it is off until it wakes."""
        self._asleep.add(server)
        self._server(server).crash("it is switched off")

    def _wakes(self, server: str) -> None:
        """``mechelen wakes``."""
        self._asleep.discard(server)
        self._server(server).start()

    def _hears(self, server: str, *_nothing: str) -> None:
        """``oostende hears nothing``: what the hub says to it is lost."""
        self.world.cut["hub", server] += 1

    def _speaks(self, server: str, *_void: str) -> None:
        """``oostende speaks into the void``: what it says is lost."""
        self.world.cut[server, "hub"] += 1

    def _reconnects(self, server: str) -> None:
        """``oostende reconnects``: both directions carry again."""
        del self.world.cut["hub", server], self.world.cut[server, "hub"]
        self.federation.hurry()

    def _backs(self, server: str, *_up: str) -> None:
        """``mechelen backs up``."""
        one = self._server(server)
        self._backups[server] = one.database.snapshot(), one.clock.now()

    def _restores(self, server: str, *how: str) -> None:
        """``mechelen restores [unnoticed]`` its newest backup; it is back in a second.

        Unnoticed: somebody put old files back, and the database bears no mark.
        """
        one, (backup, at) = self._server(server), self._backups[server]
        self.checker.note_restored(server)
        one.crash("it comes back from its backup")
        one.database.restore(backup)
        if "unnoticed" not in how:
            mark = Restored(at=one.clock.now(), backup_at=at)
            one.read(lambda writer: backup_store.mark_restored(writer, mark))

    def trouble(self, server: str, peer: str) -> str | None:
        """Say why a server's link with a peer is frozen, if it is."""
        found: str | None = self._server(server).database.table("link")[peer]["trouble"]
        return found

    def _clock(self, server: str, *span: str) -> None:
        """``hub clock +90 s``: off by so much from now on."""
        self._server(server).clock.offset_ms = _span(list(span))
        self.checker.had_wrong_clock = True


def _span(words: list[str]) -> int:
    """Read ``+90 s``."""
    number, unit = words
    return int(number) * _MS[unit]
