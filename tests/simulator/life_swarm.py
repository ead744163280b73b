"""What a seed does about groups' lives: who leaves, how it runs off, what is shared.

It has a source of chance of its own, as cycles have (``cycle_swarm``): a seed without
this plays as it would if nobody could leave. Each leaver's way is one chain of deeds,
every one of which may be lost, come twice, be too early, or meet another.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from clearing.rules import (
    ClosedCycle,
    Consent,
    DeclareLeft,
    Limit,
    NotDecided,
    NotShared,
    Release,
    Shared,
)
from protocol.address import Group
from protocol.directory import GroupRecord
from protocol.errors import SharingRefusalCode
from protocol.instant import to_datetime
from tests.simulator.agenda import DAY, HOUR, MINUTE, SECOND
from tests.simulator.federation import Federation
from tests.simulator.life_people import ADMINS
from tests.simulator.members import People
from tests.simulator.trouble import Trouble

#: In so many seeds of ten groups leave, pay a charge, and bear what others left.
_SEEDS_OF_TEN = 4
_HUB_STEPS = ("directory", "tell-shares", "share", "close", "cap", "consent", "void")
_NODE_STEPS = ("leave-wish", "leave-refused", "own-entry", "shares-told", "shared")
_NEAR = (SECOND, 20 * SECOND, 10 * MINUTE, HOUR)
_TRIES_MAX = 4
_RULES = ("equal", "size", "turnover")


def draw_of(seed: int) -> random.Random | None:
    """Give a seed's chance about groups' lives; ``None``: it has none."""
    draw = random.Random(f"lives of {seed}")
    return draw if draw.randrange(10) < _SEEDS_OF_TEN else None


class LifeSwarm:
    """One seed's regional admins and treasurers, as far as groups' lives go."""

    def __init__(
        self, seed: int, federation: Federation, people: People, trouble: Trouble
    ) -> None:
        draw = draw_of(seed)
        self.has_lives = draw is not None
        self.draw = draw or random.Random()
        self.federation, self.trouble, self.world = (
            federation,
            trouble,
            federation.world,
        )
        self.everyone, self.people, self.cycles = people, people.lives, people.cycles
        self._names = names = list(federation.nodes)
        most = 1 if len(names) < 4 else 2
        #: Who will leave, or be gone, in this order.
        self._leavers = self.draw.sample(names, self.draw.randint(1, most))
        #: Whose way has begun.
        self._gone: list[str] = []
        #: Who does not run off all of it, so that something stays behind.
        self._keeping = {one for one in self._leavers if self.draw.random() < 0.85}
        self._falls = self.draw.random() < 0.5
        self._are_two = self.draw.random() < 0.5
        self._caps = self.draw.random() < 0.5

    def open(self) -> None:
        """Let the groups agree on rules before anybody trades."""
        if self.has_lives:
            self._agree()

    def _agree(self) -> None:
        draw = self.draw
        rule = draw.choice((*_RULES * 4, "none"))
        rate = draw.choice((0, 20_000, 500_000, 999_999, 1_000_000))
        threshold = draw.choice((0, 0, 1, 10_000, 100_000))
        self.people.agree(rule, rate, threshold)

    @property
    def _rule(self) -> str:
        rule = self.federation.hub.agreed.rule
        return "equal" if rule is None else rule.value

    def strew(self, span: int) -> None:
        """Draw what happens in a bout of trade, and when."""
        if not self.has_lives:
            return
        later, draw = self.world.later, self.draw
        if len(self._gone) < len(self._leavers) and draw.random() < 0.9:
            group = self._leavers[len(self._gone)]
            self._gone.append(group)
            later(draw.randint(0, span), lambda: self._begin(group))
        for _ in range(draw.choice((0, 1, 1, 2))):
            later(draw.randint(0, span), self._close)
        if draw.random() < 0.1:
            later(draw.randint(0, span), self._agree)
        if draw.random() < 0.3:
            later(draw.randint(0, span), lambda: self._limit(draw.choice(self._names)))
        if self._caps and draw.random() < 0.6:
            later(draw.randint(0, span), self._cap)

    # Trade around it.

    def _soon(self, deed: Callable[[], object], near: int) -> None:
        self.world.later(self.draw.randint(0, near), deed)

    def _member(self, group: str) -> str:
        return f"{next(iter(self.federation.nodes[group].home.members))}@{group}"

    def _pay(
        self, payer: str, payee: str, milliseconds: int, how: str = "", to: str = ""
    ) -> None:
        """Pay what so many milliseconds are at the payee's group, or a unit more."""
        rate = self.federation.nodes[payee].home.rate
        units = max(1, milliseconds // rate + self.draw.choice((-1, 0, 0, 0, 1)))
        how = how or self.draw.choice(("now", "when_reachable"))
        address = f"{to}@{payee}" if to else self._member(payee)
        self.everyone.pay(self._member(payer), address, units, deliver=how)

    def _other(self, group: str) -> str:
        return self.draw.choice([one for one in self.federation.nodes if one != group])

    def _trade(self, group: str, *, pays: bool | None = None) -> None:
        """Let a group come away from zero, so that it has something to run off."""
        pays = self.draw.random() < 0.5 if pays is None else pays
        other, draw = self._other(group), self.draw
        amount = draw.choice((MINUTE, 10 * MINUTE, HOUR // 2))
        payer, payee = (group, other) if pays else (other, group)
        room = min(self._room(payer, -1), self._room(payee, 1))
        self._pay(payer, payee, min(amount, room), how="when_reachable")

    def _room(self, group: str, sign: int) -> int:
        """Say how many milliseconds its first member may still pay, or receive."""
        home = self.federation.nodes[group].home
        rows = self.federation.nodes[group].database.table("account")
        row = rows[next(iter(home.members))]
        limit = row["floor" if sign < 0 else "ceiling"]
        held = row["held_out" if sign < 0 else "held_in"]
        if limit is None:
            return HOUR
        return max(0, sign * (limit - row["balance"]) - held) * home.rate

    def _account(self, group: str) -> Any:
        return self.federation.hub.database.table("account")[group]

    def _position(self, group: str) -> int:
        position: int = self._account(group)["balance"]
        return position

    def _state(self, group: str) -> str:
        """Give a group's state, as the hub would show it."""
        hub = self.federation.hub
        state: str = hub.house.directory[Group(group)].state if hub.is_up else ""
        return state

    def _run_off(self, group: str) -> None:
        """Pay what is left, or a bit more, or a part of it, or the wrong way."""
        row, draw = self._account(group), self.draw
        position, other = row["balance"], self._other(group)
        is_paying = (position > 0) == (draw.random() < 0.85)
        held = row["held_out"] if is_paying else row["held_in"]
        left = max(0, abs(position) - held * draw.choice((0, 1)))
        amount = draw.choice((left // 2, left // 3))
        if group not in self._keeping:
            amount = draw.choice((left, left, amount))
        if is_paying:
            self._pay(group, other, amount)
        else:
            self._pay(other, group, amount)

    def _close(self) -> None:
        self._fall(self.federation.hub, _HUB_STEPS)
        self.cycles.close(self.cycles.open_cycle)

    # The way out.

    def _begin(self, group: str, tries: int = 1) -> None:
        draw, near = self.draw, self.draw.choice(_NEAR)
        pays = draw.random() < 0.6
        for _ in range(draw.choice((2, 3, 4))):
            self._soon(lambda: self._trade(group, pays=pays), near)
        leave = self._freeze if draw.random() < 0.2 else self._leave

        def go() -> None:
            if self._position(group) or tries == _TRIES_MAX or self.trouble.is_quiet:
                leave(group, near)
            else:
                self._begin(group, tries + 1)

        # Mostly when that has cleared.
        wait = near + draw.choice((0, MINUTE, MINUTE)) + draw.randint(0, near)
        self.world.later(wait, go)

    def _leave(self, group: str, near: int) -> None:
        """Wish to leave, run off, and be declared left; with what comes between."""
        draw, later = self.draw, self.world.later
        self._wish(group)
        for _ in range(draw.randint(1, 6)):
            self._soon(lambda: self._run_off(group), 3 * near)
        if draw.random() < 0.4:
            self._soon(lambda: self._freeze(group, near), 3 * near)
        if draw.random() < 0.2:
            self._soon(lambda: self.people.stay(group), 3 * near)
            later(3 * near + draw.randint(0, near), lambda: self._wish(group))
        if draw.random() < 0.3:
            self._soon(lambda: self._settle(group, near), 2 * near)
        wait = near + draw.randint(0, 3 * near)
        later(wait, lambda: self._declare(group, near))

    def _wish(self, group: str) -> None:
        draw, node = self.draw, self.federation.nodes[group]
        self._fall(node, _NODE_STEPS)
        for _ in range(draw.choice((1, 1, 2))):
            if draw.random() < 0.7:
                self.people.wish(group)
            else:
                self.people.begin(group)

    def _freeze(self, group: str, near: int) -> None:
        """Freeze a group, because it has to be, or since its server is gone."""
        draw = self.draw
        self.everyone.freeze(group)
        wait = draw.randint(0, 2 * near)
        if draw.random() < 0.3:
            self.world.later(wait, lambda: self._tell(group, near))
            wait += 2 * near
        if draw.random() < 0.7:
            self.world.later(wait, lambda: self._release(group))
        elif draw.random() < 0.7:
            self.world.later(wait, lambda: self._declare(group, near))

    def _release(self, group: str) -> None:
        if self._are_two:
            self._ask_two(f"release {group}", Release(Group(group)))
        else:
            self.everyone.release(group)

    def _settle(self, group: str, near: int) -> None:
        """End a cycle and have legs made; those of the group are mostly signed."""
        draw, cycle = self.draw, self.cycles.open_cycle

        def closed(told: object) -> None:
            if isinstance(told, ClosedCycle):
                self._soon(lambda: self.cycles.settle(cycle, made), near)

        def made(told: object) -> None:
            for leg in told if isinstance(told, list) else ():
                if group not in (leg.debtor, leg.creditor) and draw.random() < 0.5:
                    continue
                self._sign(leg, near)

        self.cycles.close(cycle, closed)

    def _sign(self, leg: Any, near: int) -> None:
        words = (
            (leg.debtor, "paid", leg.creditor),
            (leg.creditor, "received", leg.debtor),
        )
        for party, word, other in words:
            if self.draw.random() < 0.75:
                self.world.later(
                    SECOND + self.draw.randint(0, near),
                    lambda p=party, w=word, o=other: self.cycles.sign(
                        p, w, o, leg.cycle
                    ),
                )

    def _declare(self, group: str, near: int, tries: int = 1) -> None:
        """Say that it has left, with what is seen now; seldom with what was not."""
        draw = self.draw
        if self._state(group) == "active":
            self._wish(group)
        position = self._position(group)
        if draw.random() < 0.2:
            position = draw.choice((0, position + 1, -position))

        def told(outcome: object) -> None:
            if isinstance(outcome, GroupRecord | Consent):
                for _ in range(draw.choice((0, 1, 2))):
                    self._soon(lambda: self._run_off(group), near)
                wait = near + draw.randint(0, near)
                self.world.later(wait, lambda: self._tell(group, near))
            elif tries < _TRIES_MAX and isinstance(outcome, NotDecided):
                self.world.later(
                    draw.randint(1, 4 * near),
                    lambda: self._declare(group, near, tries + 1),
                )

        self._fall(self.federation.hub, _HUB_STEPS)
        if self._are_two:
            act = DeclareLeft(Group(group), position)
            self._ask_two(f"left {group} {position}", act, told)
        else:
            self.people.declare(group, position, told)

    # What it leaves.

    def _tell(self, group: str, near: int, tries: int = 1) -> None:
        """Tell all what each takes over, and decide it a little later."""
        draw, later = self.draw, self.world.later
        rule = self._rule if draw.random() < 0.9 else draw.choice(_RULES)

        def told(outcome: object) -> None:
            if isinstance(outcome, Shared):
                if draw.random() < 0.5:
                    self._disturb(group)
                for _ in range(draw.choice((1, 1, 2))):
                    wait = draw.choice((0, near // 2, near)) + draw.randint(0, near)
                    later(wait, lambda: self._share(group, near, tries))
            elif tries < _TRIES_MAX and not _is_over(outcome):
                self.world.later(
                    draw.randint(1, 4 * near),
                    lambda: self._tell(group, near, tries + 1),
                )

        self._fall(self.federation.hub, _HUB_STEPS)
        self.people.tell(group, rule, told)

    def _share(self, group: str, near: int, tries: int) -> None:
        def told(outcome: object) -> None:
            if isinstance(outcome, NotShared) and tries < _TRIES_MAX:
                self._soon(lambda: self._tell(group, near, tries + 1), near)

        self._fall(self.federation.hub, _HUB_STEPS)
        node = self.draw.choice(list(self.federation.nodes.values()))
        self._fall(node, _NODE_STEPS)
        self.people.share(group, told)

    def _disturb(self, gone: str) -> None:
        """Change between telling and deciding what parts follow from."""
        draw, group = self.draw, self._other(gone)
        match draw.choice(("close", "limit", "freeze", "freeze", "freeze", "agree")):
            case "close":
                self._trade(group)
                self._soon(self._close, MINUTE)
            case "limit":
                self._limit(group)
            case "freeze":
                self.everyone.freeze(group)
                self._soon(lambda: self._release(group), HOUR)
            case _:
                self._agree()

    def _limit(self, group: str) -> None:
        floor, ceiling = (self.draw.choice((2, 6, 41)) * HOUR for _ in range(2))
        if self._are_two:
            self.everyone.limits["hub", group].add((-floor, ceiling))
            act = Limit(Group(group), -floor, ceiling, even_outside=True)
            self._ask_two(f"limits {group} {-floor} {ceiling}", act)
        else:
            self.everyone.limit(group, -floor, ceiling)

    # Caps.

    def _cap(self) -> None:
        """Cap a pair, and pay up to the cap and a bit beyond, or end it again."""
        draw = self.draw
        payer, payee = draw.sample(list(self.federation.nodes), 2)
        most = draw.choice((MINUTE, HOUR, 6 * HOUR))
        near = draw.choice(_NEAR)
        self._soon(lambda: self.everyone.cap(payer, payee, most), near)
        for _ in range(draw.randint(2, 6)):
            wait = draw.randint(near, draw.choice((3 * near, 20 * DAY)))
            self.world.later(wait, lambda: self._pay_to_cap(payer, payee, most))
        if draw.random() < 0.5:
            self._soon(lambda: self._pay(payee, payer, most), 3 * near)
        if draw.random() < 0.3:
            wait = draw.randint(near, 4 * near)
            self.world.later(wait, lambda: self.people.uncap(payer, payee))
            again = wait + draw.randint(0, near)
            self.world.later(again, lambda: self.everyone.cap(payer, payee, most))

    def _pay_to_cap(self, payer: str, payee: str, most: int) -> None:
        hub = self.federation.hub
        month = f"{to_datetime(hub.clock.now()):%Y-%m}"
        used = sum(
            row["milliseconds"]
            for row in hub.database.table("transfer").values()
            if (row["payer_group"], row["payee_group"]) == (payer, payee)
            and row["state"] in ("offered", "cleared")
            and f"{row['taken_at']:%Y-%m}" == month
        )
        left = max(0, most - used)
        draw = self.draw
        amount = draw.choice((left, left, left // 2, most))
        # What nobody takes, or is called off, counts no more.
        way = draw.choice(("paid", "paid", "taken by nobody", "called off"))
        self._pay(payer, payee, amount, to="nobody" if "nobody" in way else "")
        if way == "called off":
            self.everyone.cancel(self.everyone.wishes[-1])
        if way != "paid":
            again = draw.choice((10 * SECOND, MINUTE))
            self.world.later(again, lambda: self._pay(payer, payee, amount))

    # Two admins.

    def _ask_two(
        self, words: str, act: Any, told: Callable[[object], None] = lambda _: None
    ) -> None:
        """Ask for an act, and let the other give her word, herself, or nobody."""
        draw = self.draw
        asking, other = draw.sample(ADMINS, 2)

        def asked(outcome: object) -> None:
            if not isinstance(outcome, Consent):
                told(outcome)
                return
            number, wait = outcome.number, draw.randint(0, draw.choice(_NEAR))
            who = draw.choice((other,) * 6 + (asking,))
            give = lambda: self.people.consent(who, number, told)  # noqa: E731
            if draw.random() < 0.08:
                wait += draw.choice((6, 8)) * DAY
            self.world.later(wait, give)
            if draw.random() < 0.2:
                self.world.later(wait + draw.randint(0, MINUTE), give)
            if draw.random() < 0.15:
                wait = draw.randint(0, HOUR)
                taker = draw.choice(ADMINS)
                self.world.later(wait, lambda: self.people.withdraw(taker, number))

        self._fall(self.federation.hub, _HUB_STEPS)
        self.people.request(asking, words, act, asked)

    def _fall(self, server: Any, steps: Sequence[str]) -> None:
        """Have power fail at the next of some step, if this seed has that."""
        draw = self.draw
        if self._falls and draw.random() < 0.4 and not self.trouble.is_quiet:
            when = draw.choice(("before", "after"))
            self.trouble.fall(server, draw.choice(list(steps)), when)

    # The quiet end.

    def finish(self) -> None:
        """Let people bring to an end what hangs on them; in some seeds all of it."""
        if not self.has_lives:
            return
        self.world.note("silence begins")
        self._pass(2 * HOUR)
        for group in self._gone:
            self._end(group)
        self.cycles.close(self.cycles.open_cycle)
        self._pass(HOUR)

    def _end(self, group: str) -> None:
        """Declare a group left that wished to leave, and share what is there."""
        if self._state(group) == "leaving" and self.draw.random() < 0.7:
            self.people.declare(group, self._position(group))
            self._pass(HOUR)
        if self._state(group) in ("left", "frozen") and self.draw.random() < 0.8:
            self.people.tell(group, self._rule)
            self._pass(HOUR)
            self.people.share(group)
            self._pass(HOUR)

    def _pass(self, for_ms: int) -> None:
        self.world.pass_silence(self.world.now + for_ms)


def _is_over(told: object) -> bool:
    """Say whether it is no use to ask again: nothing was left."""
    return isinstance(told, NotShared) and told.code is SharingRefusalCode.NOTHING_LEFT
