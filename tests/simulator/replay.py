"""A seed as a text: what was done in it when, to be played again, or cut shorter.

    seed            17
    group           oostende rate 180000 decimals 0 span 21600000 members 2 reach 23
    network         has drop=0.1 batch_max=2
    clock           +90 s
    marie@oostende  pays bob@mechelen 2 units as key-1 when reachable
    oostende        renews its keys
    hub             crashes
    silence         +40 d

The world's chance is the seed's, so that the same small faults strike. What is done
is what ``trouble`` and ``members`` note; a line about an order that is not there does
nothing. After the last line all is put right, comes to rest, and is looked at.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulator import ledger_people, life_people
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND
from tests.simulator.checker import Checker
from tests.simulator.cycle_people import CYCLE_DEEDS, is_deed, play_deed
from tests.simulator.federation import Federation, Home
from tests.simulator.key_people import KeyPeople
from tests.simulator.key_watch import KeyWatch
from tests.simulator.lie_swarm import LieSwarm, is_lie, lie_swarm
from tests.simulator.members import People, Wish
from tests.simulator.quick_keys import quick_keys
from tests.simulator.swarm import (
    MEMBERS,
    QUIET_MS,
    REAL_KEYS_EVERY,
    Result,
    Swarm,
    has_key_people,
    judge,
)
from tests.simulator.trouble import Trouble
from tests.simulator.world import BEGINNING, Rates, World

_UNITS = {"d": DAY, "h": HOUR, "min": MINUTE, "s": SECOND, "ms": 1}
_NOISE = {"to", "the", "as", "rate", "decimals", "span", "members", "reach"}
_ABOUT_KEYS = {"renews", "types", "loses"}
#: Words of deeds that were planned before what follows of others at their moment.
_PEOPLES = {
    *("admin", "wants", "thief"),
    *_ABOUT_KEYS,
    *CYCLE_DEEDS,
    *life_people.LIFE_DEEDS,
    *ledger_people.LEDGER_DEEDS,
}
_PAYS = re.compile(
    r"(\S+) pays (\S+) (\d+) units as (\S+)( when reachable)?(?: back (\S+))?"
)


@dataclass
class Script:
    """A text taken apart.

    Attributes:
        homes: the groups.
        steps: what is done, and how many milliseconds after the step before.
    """

    seed: int
    homes: list[Home]
    steps: list[tuple[int, str]] = field(default_factory=list)

    def text(self) -> str:
        """Write it, in columns."""
        lines = [f"seed {self.seed}", *map(_words_of_home, self.homes)]
        is_silent = False
        for wait_ms, line in self.steps:
            if wait_ms:
                lines.append(f"{'silence' if is_silent else 'clock'} {_span(wait_ms)}")
            if line in ("silence begins", "silence ends"):
                is_silent = line == "silence begins"
            else:
                lines.append(line)
        return "\n".join(_in_columns(line) for line in lines)


def _in_columns(line: str) -> str:
    subject, _, rest = line.partition(" ")
    return f"{subject:<15} {rest}"


def _span(wait_ms: int) -> str:
    for unit, length in _UNITS.items():
        if wait_ms % length == 0:
            return f"+{wait_ms // length} {unit}"
    raise AssertionError("everything is whole milliseconds")


def _words_of_home(home: Home) -> str:
    reach = next(iter(home.members.values()))[1]
    return (
        f"group {home.name} rate {home.rate} decimals {home.decimals}"
        f" span {home.ceiling} members {len(home.members)} reach {reach}"
    )


def read(text: str) -> Script:
    """Take a text apart."""
    script = Script(0, [])
    waited, is_silent = 0, False
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        match words:
            case []:
                pass
            case ["seed", number]:
                script.seed = int(number)
            case ["group", *about]:
                script.homes.append(_home(*[w for w in about if w not in _NOISE]))
            case ["clock" | "silence" as how, span, unit]:
                if is_silent != (how == "silence"):
                    is_silent = not is_silent
                    turn = "silence begins" if is_silent else "silence ends"
                    script.steps.append((waited, turn))
                    waited = 0
                waited += int(span) * _UNITS[unit]
            case _:
                script.steps.append((waited, " ".join(words)))
                waited = 0
    script.steps.append((waited, "and then nothing"))
    return script


def _home(
    name: str, rate: str, decimals: str, span: str, most: str, reach: str
) -> Home:
    limits = -int(reach), int(reach)
    members = dict.fromkeys(MEMBERS[: int(most)], limits)
    return Home(name, int(rate), int(decimals), members, -int(span), int(span))


class Swarmed(NamedTuple):
    """A seed that has lived: what its script is made from, and what broke."""

    world: World
    homes: list[Home]
    failure: str


def swarmed(seed: int, *, is_told: bool = False) -> Swarmed:
    """Let a seed live."""
    with quick_keys(are_quick=seed % REAL_KEYS_EVERY != 0):
        one = Swarm(seed, is_told=is_told)
        return Swarmed(one.world, one.homes, one.run().failure)


def recorded(world: World, homes: list[Home]) -> Script:
    """Give the script of a world that has lived."""
    script, before = Script(world.seed, homes), BEGINNING + 2 * MINUTE
    told = world.script
    if told and told[-1][1] == "all is put right":
        told = told[:-1]
    for at, line in told:
        script.steps.append((max(0, at - before), line))
        before = max(before, at)
    return script


def play(script: Script, *, is_told: bool = False) -> Result:
    """Play a script to its end, or to the first thing that must never be."""
    with quick_keys(are_quick=script.seed % REAL_KEYS_EVERY != 0):
        return _Replay(script, is_told=is_told).run()


class _Replay:
    """One script being played."""

    def __init__(self, script: Script, *, is_told: bool) -> None:
        self.steps = script.steps
        self.world = World(script.seed, is_told=is_told)
        homes = [Home(**vars(home)) for home in script.homes]
        self.federation = Federation(self.world, homes)
        self.people = People(self.federation)
        self.checker = Checker(self.federation, self.people)
        self.key_people = KeyPeople(self.federation, script.seed)
        self.key_watch = KeyWatch(self.federation, self.checker, self.key_people)
        self.trouble = Trouble(self.federation, self.checker)
        self.lies: LieSwarm | None = lie_swarm(script.seed, self)
        self._is_silent = False

    def run(self) -> Result:
        return judge(self.world, self.checker, self._play)

    def _play(self) -> None:
        world = self.world
        self.federation.open()
        for wait_ms, line in self.steps:
            pass_time = world.pass_silence if self._is_silent else world.run
            at = world.now + wait_ms
            if wait_ms:
                # What people do at a moment was planned before what follows of it.
                words = line.split()
                is_peoples = "@" in line or not _PEOPLES.isdisjoint(words)
                is_peoples = is_peoples or is_lie(words[0], words[1])
                pass_time(at - (is_peoples and not self._is_silent))
            world.now = at
            self._do(line)
        if not self.trouble.is_quiet:
            self._put_right()
        world.pass_silence(world.now + QUIET_MS)
        if has_key_people(world.seed) and self.checker.is_restored:
            self.key_people.type_where_not_heard()
            world.run(world.now + HOUR)
        if self.lies is not None:
            self.lies.at_the_end()
        self.checker.at_the_end()
        self.key_watch.at_the_end()

    def _put_right(self) -> None:
        self.trouble.put_right()
        self.key_people.hurry()

    def _do(self, line: str) -> None:
        paid = _PAYS.fullmatch(line)
        if paid is not None:
            self._pay(*paid.groups())
            return
        subject, verb, *rest = line.split()
        if subject in ("silence", "and"):
            self._is_silent = verb == "begins"
        elif is_deed(subject, verb):
            play_deed(self.people.cycles, subject, verb, rest)
        elif is_lie(subject, verb):
            if self.lies is not None:
                self.lies.play(verb, rest)
        elif life_people.is_deed(verb):
            life_people.play_deed(self.people, subject, verb, rest)
        elif ledger_people.is_deed(verb):
            ledger_people.play_deed(self.people.ledgers, subject, verb, rest)
        else:
            self._do_other(subject, verb, rest)

    def _do_other(self, subject: str, verb: str, rest: list[str]) -> None:
        if "@" in subject:
            self._ask(subject, verb, rest[-1])
        elif subject in ("treasurer", "admin"):
            self._office(verb, rest[0], rest[1:])
        elif subject == "thief" or verb in _ABOUT_KEYS:
            self._about_keys(subject, verb)
        elif verb in ("wants", "lies", "parts", "rejoins"):
            self._of_group(subject, verb, rest)
        elif subject == "network":
            self.trouble.strew(_rates(rest))
        else:
            self._of_server(subject, verb, rest)

    def _pay(
        self, payer: str, payee: str, amount: str, key: str, late: str, back: str
    ) -> None:
        refunded = self._wish(*back.split(":")) if back else None
        if back and refunded is None:
            return
        self.people.pay(
            payer,
            payee,
            int(amount),
            deliver="when_reachable" if late else "now",
            refund_of=refunded.transfer_id if refunded else None,
            key=key,
        )

    def _wish(self, address: str, key: str) -> Wish | None:
        for wish in self.people.wishes:
            if (f"{wish.member}@{wish.group}", wish.key) == (address, key):
                return wish
        return None

    def _ask(self, address: str, verb: str, key: str) -> None:
        wish = self._wish(address, key)
        if wish is not None:
            {"asks": self.people.ask, "cancels": self.people.cancel}[verb](wish)

    def _office(self, verb: str, whom: str, rest: list[str]) -> None:
        people = self.people
        if "@" in whom:
            limits = [None if word == "None" else int(word) for word in rest[::2]]
            changes = {"freezes": {"frozen": True}, "releases": {"frozen": False}}
            given = changes.get(verb) or dict(
                zip(("floor", "ceiling"), limits, strict=True)
            )
            people.change_member(whom, **given)
        elif verb == "limits":
            people.limit(whom, int(rest[0]), int(rest[2]))
        elif verb == "caps":
            people.cap(whom, rest[0], int(rest[1]))
        else:
            {
                "freezes": people.freeze,
                "releases": people.release,
                "approves": people.approve,
            }[verb](whom)

    def _about_keys(self, who: str, verb: str) -> None:
        if who == "thief":
            self.key_people.steal(verb)
        else:
            self.key_people.do(self.federation.nodes[who], verb)

    def _of_group(self, group: str, verb: str, rest: list[str]) -> None:
        match verb:
            case "wants":
                self.people.propose_rate(group, int(rest[-1]))
            case "lies":
                self.trouble.lie(group)
            case "parts":
                self.trouble.part(group, rest[0])
            case _:
                self.trouble.rejoin(group, rest[0])

    def _of_server(self, name: str, verb: str, rest: list[str]) -> None:
        trouble = self.trouble
        # Of all of them it is said that they are put right.
        server = trouble.server("hub" if name == "all" else name)
        deeds: dict[str, Callable[[], None]] = {
            "crashes": lambda: trouble.crash(server),
            "sleeps": lambda: trouble.leave(server),
            "is": self._put_right,
            "falls": lambda: trouble.fall(server, rest[1], rest[0]),
            "wakes": lambda: trouble.come_back(server),
            "backs": lambda: trouble.back_up(server),
            "restores": lambda: trouble.restore(
                server,
                is_noticed="unnoticed" not in rest,
                has_old_keys="old" in rest,
            ),
            "clock": lambda: trouble.set_clock(server, int(rest[0])),
        }
        deeds[verb]()


def _rates(words: list[str]) -> Rates:
    """Read ``drop=0.1 late=0.02``; what is not named does not happen."""
    rates = Rates()
    for word in words:
        name, _, value = word.partition("=")
        setattr(rates, name, type(getattr(rates, name))(value))
    return rates
