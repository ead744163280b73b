"""What people do so that a hub's lie is met: a lie about what never happens is none.

Payments of the group that is lied to and to it, a freeze of another group, a cycle
that is ended, settled and signed for. Each deed notes itself, so that a script plays it
again (``replay``). In the quiet end the same is done once more, step by step.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from clearing.rules import ClosedCycle, CycleRefused, Leg
from protocol.address import Group
from protocol.errors import CycleRefusalCode
from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.cycle_people import CyclePeople
from tests.simulator.federation import Federation
from tests.simulator.hub_lies import SENDS
from tests.simulator.members import People
from tests.simulator.trouble import Trouble

ABOUT_DIRECTORY = ("alters-entry", "withholds-entry")
#: Told with a decision on the very group.
ABOUT_ITSELF = ("leaves-unasked",)
ABOUT_CYCLES = (
    "states-otherwise",
    "alters-leg",
    "settles-on-no-word",
    "settles-another-amount",
    "voids-settled",
)
ABOUT_SHARING = (
    "plans-another-amount",
    "withholds-plan",
    "shares-otherwise",
    "charges-otherwise",
    "charges-too-much",
)
#: A hundredth of each average position: what it leaves can still be settled.
_RATE, _THRESHOLD = 10_000, 0
#: What is paid; now and then more than anybody may, for what is refused can be lied
#: about, too.
_WORTH = (0, 0, MINUTE, 30 * HOUR)
#: After so many payments the hub starts again.
_EXCUSED = 0.3
#: A treasurer looks so often for what she was told of.
_LOOKS = 4
#: What the hub decided is here by then: two polls of the quiet end.
_SOON = MINUTE


class LieTrade:
    """One seed's people, as far as they do what its hub lies about."""

    def __init__(
        self,
        federation: Federation,
        people: People,
        trouble: Trouble,
        draw: random.Random,
    ) -> None:
        self.federation, self.people = federation, people
        self.trouble, self.draw = trouble, draw
        self.world = federation.world

    # While a lie is young.

    def plan(self, word: str, group: str) -> None:
        """Plan what depends on a lie that was just begun."""
        near = self.draw.choice((SECOND, 20 * SECOND, 10 * MINUTE))
        if word in ABOUT_DIRECTORY:
            self._plan_freeze(self.draw.choice(self._others(group)), near)
        elif word in ABOUT_ITSELF:
            self._plan_freeze(group, near)
        elif word in ABOUT_CYCLES:
            self._plan_close(group, near)
        elif word in ABOUT_SHARING:
            self._plan_sharing(group, near)
        elif word in SENDS:
            self._plan_payments(group, near)
        elif self.draw.random() < 0.5:
            # A false log is met by those who look, also where nothing of theirs is new.
            self.world.later(self.draw.randint(0, near), lambda: self._pay(group))

    def _plan_freeze(self, group: str, near: int) -> None:
        at = self.draw.randint(0, near)
        self.world.later(at, lambda: self._freeze(group))
        wait = at + self.draw.randint(1, HOUR)
        self.world.later(wait, lambda: self.people.release(group))

    def _plan_payments(self, group: str, near: int) -> None:
        draw, later = self.draw, self.world.later
        for _ in range(draw.choice((1, 2, 3))):
            at = draw.randint(0, near)
            later(at, lambda: self._pay(group))
            if draw.random() < _EXCUSED:
                # A log that was closed since might have lost what it lacks.
                later(at + draw.randint(1, 5 * SECOND), self._restart_hub)

    def _plan_close(self, group: str, near: int) -> None:
        self.world.later(self.draw.randint(0, near), lambda: self._close(group))

    def _plan_sharing(self, group: str, near: int) -> None:
        """Charge all; and let one be frozen, as if it was gone, and share its own."""
        lives, later, draw = self.people.lives, self.world.later, self.draw
        later(draw.randint(0, near), self._agree)
        # What is charged is reckoned from one end of a cycle to the next.
        for _ in range(2):
            self._plan_close(group, near + HOUR)
        waits = [2 * near]
        waits += [draw.randint(SECOND, HOUR) for _ in range(3)]

        def begin() -> None:
            gone = self._who_leaves_most(group)
            if gone is None:
                return
            self.people.freeze(gone)
            later(waits[1], lambda: lives.tell(gone, self._rule))
            later(sum(waits[1:3]), lambda: lives.share(gone))
            later(sum(waits[1:]), lambda: self.people.release(gone))

        later(waits[0], begin)

    def _who_leaves_most(self, group: str) -> str | None:
        """Name the group of the others that stands furthest from zero."""
        accounts = self.federation.hub.database.table("account")
        others = [one for one in self._others(group) if self._is_active(one)]
        return max(others, key=lambda one: abs(accounts[one]["balance"]), default=None)

    def _restart_hub(self) -> None:
        if not self.trouble.is_quiet:
            self.trouble.crash(self.federation.hub)

    def _others(self, group: str) -> list[str]:
        return [one for one in self.federation.nodes if one != group]

    def _member(self, group: str) -> str:
        return f"{next(iter(self.federation.nodes[group].home.members))}@{group}"

    def _pay(self, group: str, worth: Sequence[int] = _WORTH) -> None:
        """Let somebody of the group pay another one, or be paid."""
        draw = self.draw
        ends = [group, draw.choice(self._others(group))]
        if draw.random() < 0.3:
            ends.reverse()
        how = draw.choice(("now", "when_reachable"))
        self._pay_worth(ends[0], ends[1], draw.choice(worth), how)

    def _pay_worth(
        self, payer: str, payee: str, milliseconds: int, how: str = "now"
    ) -> None:
        amount = max(1, milliseconds // self.federation.nodes[payee].home.rate)
        self.people.pay(self._member(payer), self._member(payee), amount, deliver=how)

    def _freeze(self, group: str) -> None:
        if self._is_active(group):
            self.people.freeze(group)

    def _is_active(self, group: str) -> bool:
        clerk: Any = self.federation.hub.clerk
        if clerk is None:
            return False
        return self.federation.hub.house.directory[Group(group)].state == "active"

    def _close(self, group: str) -> None:
        """End a cycle in which the group has moved, and settle it."""
        self._pay(group, (MINUTE, HOUR))
        draw, cycles = self.draw, self.people.cycles
        wait = draw.randint(1, MINUTE)

        def closed(told: object) -> None:
            if isinstance(told, ClosedCycle):
                number = told.cycle
                for _ in range(2):
                    at = draw.randint(SECOND, HOUR)
                    self.world.later(at, lambda: self._settle(number, self._settled))

        self.world.later(wait, lambda: cycles.close(cycles.open_cycle, closed))

    def _settle(
        self, cycle: int, made: Callable[[object], None], excepted: Sequence[str] = ()
    ) -> None:
        """Have legs made, without those whose ledger differs: they were lied to."""

        def told(outcome: object) -> None:
            if not isinstance(outcome, CycleRefused):
                made(outcome)
            elif outcome.code is CycleRefusalCode.CYCLE_DISPUTED:
                self._settle(cycle, made, (*excepted, outcome.group))

        self.people.cycles.settle(cycle, told, excepted)

    def _agree(self) -> None:
        """Have all agree on a charge, and on a rule if they have none."""
        self.people.lives.agree(self._rule, _RATE, _THRESHOLD)

    @property
    def _rule(self) -> str:
        rule = self.federation.hub.agreed.rule
        return "equal" if rule is None else rule.value

    def _settled(self, told: object) -> None:
        """Let both parties of each leg say that it was made good."""
        for leg in told if isinstance(told, list) else ():
            self._sign(leg, leg.debtor)
            self._sign(leg, leg.creditor)

    def _sign(self, leg: Leg, group: str, looks: int = 1) -> None:
        def sign() -> None:
            is_here = _sign(
                self.people.cycles, group, leg.debtor, leg.creditor, leg.cycle
            )
            if not is_here and looks < _LOOKS:
                self._sign(leg, group, looks + 1)

        self.world.later(self.draw.randint(1, HOUR), sign)

    # In the quiet end, where nothing is drawn any more.

    def at_the_end(self, standing: set[tuple[str, str]]) -> None:
        """Do once more what the lies that stand depend on, and hear of it."""
        for group, word in sorted(standing):
            others = [one for one in self._others(group) if self._is_active(one)]
            if word in ABOUT_ITSELF and self._is_active(group):
                self._freeze_for_once(group)
            if word in ABOUT_DIRECTORY and others:
                self._freeze_for_once(others[0])
            if word in ABOUT_SHARING:
                self._share(group)
        about_cycles = [one for one, word in sorted(standing) if word in ABOUT_CYCLES]
        if about_cycles:
            self._settle_all(about_cycles)

    def _freeze_for_once(self, group: str) -> None:
        self.people.freeze(group)
        self._pass()
        self.people.release(group)
        self._pass()

    def _share(self, group: str) -> None:
        """Take a charge, and share what another group would leave behind."""
        cycles, lives = self.people.cycles, self.people.lives
        self._agree()
        for _ in range(2):
            self._pass()
            cycles.close(cycles.open_cycle)
        self._pass()
        gone = self._who_leaves_most(group)
        if gone is None:
            return
        self.people.freeze(gone)
        self._pass()
        lives.tell(gone, self._rule)
        self._pass()
        lives.share(gone)
        self._pass()
        self.people.release(gone)
        self._pass()

    def _pass(self) -> None:
        self.world.run(self.world.now + _SOON)

    def _settle_all(self, groups: Sequence[str]) -> None:
        cycles, nodes = self.people.cycles, self.federation.nodes
        for group in groups:
            # More to one side than back: who stands at zero has nothing to settle.
            for other in self._others(group):
                self._pay_worth(group, other, 2 * MINUTE)
                self._pay_worth(other, group, MINUTE)
        self._pass()
        cycles.close(cycles.open_cycle)
        self._pass()
        self._settle(cycles.open_cycle - 1, lambda _: None)
        self._pass()
        for group, node in nodes.items():
            for leg in list(node.database.table("leg").values()):
                if leg["state"] == "open":
                    _sign(cycles, group, leg["debtor"], leg["creditor"], leg["cycle"])
        self._pass()


def _sign(
    cycles: CyclePeople, group: str, debtor: str, creditor: str, cycle: int
) -> bool:
    """Let a party say what is hers to say; gives whether she sees the leg."""
    if group == debtor:
        return cycles.sign(group, "paid", creditor, cycle)
    return cycles.sign(group, "received", debtor, cycle)
