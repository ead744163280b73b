"""A small federation, searched completely: every order in which it can act.

Two nodes, a hub, two payments. In each state the members may order (and ask again,
not having heard the answer), the payer may call off, time may pass beyond every
deadline, the sweepers may look, each server may speak to its peer and be heard at
once, late, out of order, twice or never, and may lose its power. All that is tried,
breadth first, on the real clerks (``model_servers``), and in every state the promises
are looked at (``model_promises``); and from every state, once nothing goes wrong any
more, everything must come to its end.

What bounds it: how many messages are under way at once in one direction, how often
power fails, and how many steps are taken. What is left out, and why nothing is lost:

- A server that lost its power starts at once: while it was off nothing could reach
  it, and what was lost meanwhile need not arrive here either.
- Power fails between batches, never inside of one: a batch is one database
  transaction, so failing inside is failing before it, or after it with its answer
  lost. (That it is one transaction, ``test_kill`` proves, and torn batches in seeds.)
- Loss is no step: what is under way need never arrive. Nor is a second coming: what
  was heard stays under way, and may be heard again. A state with more under way can
  do all that one with less can, and more.
- The hub may speak at any time, not only when asked: that is more than HTTP can do.
- A message overtaken by one that was taken has no effect until its receiver starts
  anew. When no power fails any more it is struck out.
- What a server does hangs on its state and on what it gets, so it is done once and
  remembered. Nothing is left out by that but work.
"""

import logging
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from protocol.address import HUB
from protocol.peer.clock import Clock
from tests.simulator import memory_queries
from tests.simulator.agenda import MINUTE
from tests.simulator.checker import BrokenPromiseError
from tests.simulator.federation import Federation, Home
from tests.simulator.model_promises import (
    Facts,
    demand,
    facts_of,
    look_at_end,
    look_at_pair,
    look_at_step,
)
from tests.simulator.model_servers import Messages, Party, Payment
from tests.simulator.planted import planted
from tests.simulator.quick_keys import quick_keys
from tests.simulator.world import World

assert memory_queries, "its import lets queries be answered"
_ONE, _TWO = "oostende", "mechelen"
_RATES = {_ONE: 3 * MINUTE, _TWO: MINUTE}
#: Each way of a link, as the places of its channel: who speaks, who hears.
_WAYS = ((_ONE, HUB), (HUB, _ONE), (_TWO, HUB), (HUB, _TWO))
_PLACE = {HUB: 0, _ONE: 1, _TWO: 2}
_ROUNDS_MAX = 40
#: What two payments may be to each other.
SCENES = {
    "crossing": (
        Payment("marie", _ONE, "bob", _TWO, 2),
        Payment("bob", _TWO, "marie", _ONE, 1),
    ),
    "rivals": (
        Payment("marie", _ONE, "bob", _TWO, 2),
        Payment("marie", _ONE, "bob", _TWO, 3),
    ),
}
#: Of two rivals the hub's limits let one pass at a time: 2 or 3 minutes, never 5.
_CEILING = {"crossing": 60 * MINUTE, "rivals": 4 * MINUTE}

#: Under way in one direction, oldest first; so many of them were overtaken.
Channel = tuple[int, tuple[int, ...]]


class State(NamedTuple):
    """The whole federation: each server's state by its number, and what is between.

    Attributes:
        servers: hub and both nodes.
        channels: as ``_WAYS``.
        told: by payment, what its member was told; empty: nothing yet.
        asked: by payment, whether it was ordered.
        failures: how often power may still fail.
        cancels: how often the first payment may still be called off.
        moment: how often time has passed beyond every deadline.
    """

    servers: tuple[int, ...]
    channels: tuple[Channel, ...]
    told: tuple[str, ...] = ("", "")
    asked: tuple[bool, ...] = (False, False)
    starts: tuple[int, ...] = (0, 0, 0)
    failures: int = 1
    cancels: int = 1
    moment: int = 0


class Found(NamedTuple):
    """What a search has come to.

    Attributes:
        depth: steps up to which everything was searched.
        is_complete: there was nothing beyond.
        failure: what must never be, if it was found.
        steps: that lead there, from the beginning.
    """

    depth: int
    states: int
    transitions: int
    runs: int
    is_complete: bool
    failure: str = ""
    steps: tuple[str, ...] = ()


class Model:
    """One scene's federation and all its states.

    Args:
        scene: which two payments.
        failures: how often power may fail, all servers together.
        cancels: how often the first payment may be called off.
        room: messages under way at once in one direction.
    """

    def __init__(
        self, scene: str, *, failures: int = 1, cancels: int = 1, room: int = 1
    ) -> None:
        self.payments = SCENES[scene]
        self.room = room
        world = World(1)
        homes = [
            Home(name, rate, 0, {member: (-100, 100)}, -60 * MINUTE, _CEILING[scene])
            for (name, rate), member in zip(
                _RATES.items(), ("marie", "bob"), strict=True
            )
        ]
        federation = Federation(world, homes)
        federation.open()
        self.facts: dict[tuple[str, int], Facts] = {}
        messages = Messages()
        self.parties = [
            Party(server, messages, self._look) for server in federation.servers
        ]
        self.transitions = 0
        self._pairs: set[tuple[str, int, int]] = set()
        self._quiet: set[tuple[tuple[int, ...], int]] = set()
        self._ids = [
            self.parties[_PLACE[one.group]].id_of(one, str(place))
            for place, one in enumerate(self.payments)
        ]
        self.first = State(
            tuple(party.first() for party in self.parties),
            ((0, ()),) * len(_WAYS),
            failures=failures,
            cancels=cancels,
        )

    # Promises.

    def _look(self, party: Party, state: int, before: int | None) -> None:
        facts = facts_of(party.name, party.states[state].tables)
        self.facts[party.name, state] = facts
        if before is not None:
            look_at_step(party.name, self.facts[party.name, before], facts)

    def look(self, state: State) -> None:
        """Look at what the servers have beside each other, and at what was told."""
        hub = state.servers[0]
        for name in (_ONE, _TWO):
            key = name, hub, state.servers[_PLACE[name]]
            if key not in self._pairs:
                look_at_pair(name, self.facts[HUB, hub], self.facts[name, key[2]])
                self._pairs.add(key)
        for place, told in enumerate(state.told):
            if told:
                self._look_at_told(state, place, told)

    def _look_at_told(self, state: State, place: int, told: str) -> None:
        group = self.payments[place].group
        facts = self.facts[group, state.servers[_PLACE[group]]]
        is_there = self._ids[place] in facts.transfers
        demand(
            so=is_there == (told == "ok"),
            told=f"{group}'s member was told {told}, and her payment is"
            f" {'there' if is_there else 'nowhere'}",
        )

    def look_at_quiet_end(self, state: State) -> None:
        """From here on nothing goes wrong: then everything must end by itself."""
        servers, moment = state.servers, state.moment
        passed: list[tuple[tuple[int, ...], int]] = []
        for _ in range(_ROUNDS_MAX):
            if (servers, moment) in self._quiet:
                break
            passed.append((servers, moment))
            after = self._round(servers, moment)
            if after == servers and moment == 2:
                self._look_at_end(servers)
                break
            moment = min(moment + 1, 2) if after == servers else moment
            servers = after
        else:
            demand(so=False, told="the federation does not come to rest")
        self._quiet.update(passed)

    def _round(self, servers: tuple[int, ...], moment: int) -> tuple[int, ...]:
        """Let everyone speak and be heard, and every sweeper look."""
        now = list(servers)
        for origin, to in _WAYS:
            speaker, hearer = _PLACE[origin], _PLACE[to]
            now[speaker], said = self.parties[speaker].speak(now[speaker], to, moment)
            now[hearer] = self.parties[hearer].take(now[hearer], said, moment)
        for place, party in enumerate(self.parties):
            now[place] = party.sweep(now[place], moment)
        return tuple(now)

    def _look_at_end(self, servers: tuple[int, ...]) -> None:
        hub = self.facts[HUB, servers[0]]
        for name in (_ONE, _TWO):
            look_at_end(name, hub, self.facts[name, servers[_PLACE[name]]])

    # Steps.

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Give everything that can happen next."""
        yield from self._orders(state)
        yield from self._words(state)
        yield from self._deliveries(state)
        yield from self._alone(state)

    def _orders(self, state: State) -> Iterator[tuple[str, State]]:
        for place, payment in enumerate(self.payments):
            at = _PLACE[payment.group]
            if state.told[place]:
                continue
            number, told = self.parties[at].order(
                state.servers[at], payment, str(place), state.moment
            )
            asked = _with(state.asked, place, True)
            servers = _with(state.servers, at, number)
            ordered = state._replace(servers=servers, asked=asked)
            yield (
                f"{payment.payer} orders {payment.amount} and hears: {told}",
                ordered._replace(told=_with(state.told, place, told)),
            )
            yield f"{payment.payer} orders {payment.amount} and hears nothing", ordered
        if state.cancels and state.asked[0]:
            at = _PLACE[self.payments[0].group]
            number = self.parties[at].cancel(
                state.servers[at], self._ids[0], state.moment
            )
            yield (
                "the first payment is called off",
                state._replace(servers=_with(state.servers, at, number), cancels=0),
            )

    def _words(self, state: State) -> Iterator[tuple[str, State]]:
        """Let each server say something: it is heard at once, or is under way."""
        for way, (origin, to) in enumerate(_WAYS):
            speaker, hearer = _PLACE[origin], _PLACE[to]
            number, said = self.parties[speaker].speak(
                state.servers[speaker], to, state.moment
            )
            servers = _with(state.servers, speaker, number)
            overtaken, under_way = state.channels[way]
            if said not in under_way[overtaken:]:
                sent = self._put(state.channels[way], said)
                yield (
                    f"{origin} says something to {to}",
                    state._replace(
                        servers=servers, channels=_with(state.channels, way, sent)
                    ),
                )
            heard = self.parties[hearer].take(servers[hearer], said, state.moment)
            channel = self._put(state.channels[way], said)
            yield (
                f"{origin} says something to {to}, who hears it",
                state._replace(
                    servers=_with(servers, hearer, heard),
                    channels=_with(state.channels, way, (len(channel[1]), channel[1])),
                ),
            )

    def _put(self, channel: Channel, said: int) -> Channel:
        """Put a message under way; where there is no room the oldest is lost."""
        overtaken, under_way = channel
        gone = max(0, len(under_way) + 1 - self.room)
        return max(0, overtaken - gone), (*under_way[gone:], said)

    def _deliveries(self, state: State) -> Iterator[tuple[str, State]]:
        for way, (origin, to) in enumerate(_WAYS):
            overtaken, under_way = state.channels[way]
            for index in range(overtaken, len(under_way)):
                at = _PLACE[to]
                number = self.parties[at].take(
                    state.servers[at], under_way[index], state.moment
                )
                yield (
                    f"{to} hears what {origin} said before",
                    state._replace(
                        servers=_with(state.servers, at, number),
                        channels=_with(state.channels, way, (index + 1, under_way)),
                    ),
                )

    def _alone(self, state: State) -> Iterator[tuple[str, State]]:
        """What a server does by itself, or what befalls it."""
        if state.moment == 0:
            yield "time passes", state._replace(moment=1)
        for at, party in enumerate(self.parties):
            number = state.servers[at]
            swept = party.sweep(number, state.moment)
            if swept != number:
                yield (
                    f"{party.name} looks for what is late",
                    state._replace(servers=_with(state.servers, at, swept)),
                )
            if state.failures:
                starts = state.starts[at] + 1
                again = party.restart(number, starts, state.moment)
                channels = [
                    (0, under_way) if to == party.name else (overtaken, under_way)
                    for (_, to), (overtaken, under_way) in zip(
                        _WAYS, state.channels, strict=True
                    )
                ]
                yield (
                    f"{party.name} loses power and starts again",
                    state._replace(
                        servers=_with(state.servers, at, again),
                        channels=tuple(channels),
                        starts=_with(state.starts, at, starts),
                        failures=state.failures - 1,
                    ),
                )

    def search(self, depth: int) -> Found:
        """Try everything up to so many steps, breadth first."""
        came: dict[State, tuple[State, str] | None] = {self.first: None}
        waiting = deque([(self.first, 0)])
        state, done, here = self.first, 0, ""
        try:
            self.look(state)
            self.look_at_quiet_end(state)
            while waiting:
                state, done = waiting.popleft()
                if done == depth:
                    break
                here = "a step that no server outlives"
                for here, after in self.steps(state):
                    self.transitions += 1
                    following = _struck_out(after)
                    if following in came:
                        continue
                    came[following] = state, here
                    self.look(following)
                    self.look_at_quiet_end(following)
                    waiting.append((following, done + 1))
        except (BrokenPromiseError, Exception) as violation:  # noqa: BLE001
            kind = type(violation).__name__
            is_ours = isinstance(violation, BrokenPromiseError)
            told = str(violation) if is_ours else f"{kind}: {violation}"
            steps = (*_steps_to(came, state), here)
            return self._found(done, len(came), False, told, steps)
        return self._found(done, len(came), not waiting, "", ())

    def _found(
        self,
        depth: int,
        states: int,
        is_complete: bool,
        failure: str,
        steps: tuple[str, ...],
    ) -> Found:
        runs = sum(party.runs for party in self.parties)
        return Found(depth, states, self.transitions, runs, is_complete, failure, steps)


def _with(values: tuple, place: int, value: object) -> tuple:  # type: ignore[type-arg]
    """Give a tuple with another value in one place."""
    return (*values[:place], value, *values[place + 1 :])


def _struck_out(state: State) -> State:
    """Strike out what was overtaken, once no receiver can start anew."""
    if state.failures or not any(overtaken for overtaken, _ in state.channels):
        return state
    channels = tuple(
        (0, under_way[overtaken:]) for overtaken, under_way in state.channels
    )
    return state._replace(channels=channels)


def _steps_to(
    came: dict[State, tuple[State, str] | None], state: State
) -> tuple[str, ...]:
    steps: list[str] = []
    before = came[state]
    while before is not None:
        steps.insert(0, before[1])
        before = came[before[0]]
    return tuple(steps)


def report(depth: int, failures: int) -> int:
    """Search both scenes and print what was found; gives the exit code."""
    clock, failed = Clock(), 0
    print(
        f"{'scene':<10} {'depth':>5} {'states':>11} {'transitions':>12} {'seconds':>8}"
    )
    for scene in SCENES:
        began = clock.monotonic_s()
        found = search(scene, depth, failures=failures)
        seconds = clock.monotonic_s() - began
        print(
            f"{scene:<10} {found.depth:>5} {found.states:>11,}"
            f" {found.transitions:>12,} {seconds:>8.1f}"
            + ("  there is nothing beyond" if found.is_complete else "")
        )
        if found.failure:
            failed = 1
            print(f"{scene}: {found.failure}, after")
            print(
                "\n".join(
                    f"  {number}. {step}" for number, step in enumerate(found.steps, 1)
                )
            )
    return failed


def search(scene: str, depth: int, *, bug: str = "", **bounds: int) -> Found:
    """Search one scene with quick keys, quietly; a bug is planted once it is open."""
    logging.disable(logging.CRITICAL)
    try:
        with quick_keys():
            model = Model(scene, **bounds)
            with planted(bug):
                return model.search(depth)
    finally:
        logging.disable(logging.NOTSET)
