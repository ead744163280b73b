"""What people do just where a rule ends: to the unit, to the wrong person, twice.

Such deeds come up too seldom where all is drawn at large. They have a chance of their
own, so that seeds without them have their plan as ever.
"""

import random
from collections.abc import Callable

from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.checker import Checker
from tests.simulator.federation import Federation
from tests.simulator.members import People, Wish

#: In one seed of so many people do this.
_SEEDS = 3
_RATES = (60_000, 180_000, 514_286, 3_600_000)


class Nasty:
    """One seed's people who go to every edge."""

    def __init__(
        self, seed: int, federation: Federation, people: People, checker: Checker
    ) -> None:
        self.is_here = seed % _SEEDS == 1
        self.draw = random.Random(f"nasty of {seed}")
        self.federation, self.people, self.checker = federation, people, checker
        self.world = federation.world

    def strew(self, span: int) -> None:
        """Draw what they do in a bout of trade, and when."""
        if not self.is_here:
            return
        deeds: list[Callable[[], None]] = [
            self._go_to_the_cap,
            self._go_to_the_cap,
            self._give_all_back,
            self._give_all_back,
            self._give_to_a_third,
            self._pay_herself,
            self._want_two_rates,
            self._freeze_and_limit,
            self._limit_askew,
        ]
        for deed in self.draw.sample(deeds, self.draw.choice((1, 2, 3))):
            self.world.later(self.draw.randint(0, span), deed)

    def _soon(self, deed: Callable[[], object], at_most: int = 20 * SECOND) -> None:
        self.world.later(self.draw.randint(1, at_most), deed)

    def _member(self, group: str) -> str:
        return f"{next(iter(self.federation.nodes[group].home.members))}@{group}"

    def _two_groups(self) -> list[str]:
        return self.draw.sample(list(self.federation.nodes), 2)

    def _rate(self, group: str) -> int:
        return self.checker.rates[group][-1]

    # Caps.

    def _go_to_the_cap(self) -> None:
        """Cap a pair where some of it is used; pay to the cap, past it, and again."""
        payer, payee = self._two_groups()
        if payee not in self.checker.rates or payer not in self.checker.rates:
            return
        people, draw, rate = self.people, self.draw, self._rate(payee)
        ours, theirs = self._member(payer), self._member(payee)
        few = max(1, 2 * MINUTE // rate)

        def pay(units: int) -> None:
            how = draw.choice(("now", "when_reachable"))
            people.pay(ours, theirs, units, deliver=how)

        def cap() -> None:
            people.cap(payer, payee, self._used(payer, payee) + 2 * few * rate)
            if draw.random() < 0.3:
                # In the batch that the cap is set in, or soon behind it.
                pay(few)

        pay(few)
        self._soon(cap)
        if draw.random() < 0.5:
            # What is refused leaves its room to others.
            wish_at = draw.randint(20 * SECOND, 40 * SECOND)
            nobody = f"nobody@{payee}"
            self.world.later(wish_at, lambda: people.pay(ours, nobody, few))
        for _ in range(draw.choice((2, 3))):
            self.world.later(
                draw.randint(20 * SECOND, 3 * MINUTE),
                lambda: pay(self._left(payer, payee, rate) + draw.choice((0, 0, 1))),
            )
        # The other way round nothing is capped.
        self._soon(lambda: people.pay(theirs, ours, 1), 3 * MINUTE)

    def _used(self, payer: str, payee: str) -> int:
        rows = self.federation.hub.database.table("transfer").values()
        return sum(
            row["milliseconds"]
            for row in rows
            if (row["payer_group"], row["payee_group"]) == (payer, payee)
            and row["state"] in ("offered", "cleared")
        )

    def _left(self, payer: str, payee: str, rate: int) -> int:
        """Say how many units the cap leaves, when it was set."""
        caps = self.checker.caps.lawful.get((payer, payee), [None])
        if caps[-1] is None:
            return 1
        return max(1, (caps[-1] - self._used(payer, payee)) // rate)

    # Refunds.

    def _a_receiver(self) -> Wish | None:
        found = [
            wish
            for wish in self.people.wishes
            if wish.was_ok and wish.refund_of is None and wish.payee != "nobody"
        ]
        return self.draw.choice(found[-6:]) if found else None

    def _give_all_back(self) -> None:
        """Give back all that there is, to the unit, and then one unit more."""
        wish = self._a_receiver()
        if wish is None:
            return
        node = self.federation.nodes[wish.payee_group]
        row = node.database.table("transfer").get(wish.transfer_id)
        if row is None:
            return
        units = row["milliseconds"] // self._rate(wish.group)
        if wish.group == wish.payee_group:
            units = wish.payee_amount
        left = units - row["refunded"] // max(1, self._rate(wish.group))
        self._refund(wish, max(1, left))
        if self.draw.random() < 0.3:
            self._soon(lambda: self._refund(wish, 1), MINUTE)

    def _refund(self, wish: Wish, units: int, to: str = "") -> None:
        self.people.pay(
            f"{wish.payee}@{wish.payee_group}",
            f"{to or wish.member}@{wish.group}",
            units,
            deliver=self.draw.choice(("now", "when_reachable")),
            refund_of=wish.transfer_id,
        )

    def _give_to_a_third(self) -> None:
        """Give back to somebody who has not paid, or what somebody else was paid."""
        wish = self._a_receiver()
        if wish is None:
            return
        others = [
            one
            for one in self.federation.nodes[wish.group].home.members
            if one not in (wish.member, wish.payee)
        ]
        if others:
            self._refund(wish, 1, self.draw.choice(others))
        hers = [
            one
            for one in self.federation.nodes[wish.payee_group].home.members
            if one not in (wish.member, wish.payee)
        ]
        if hers:
            self.people.pay(
                f"{self.draw.choice(hers)}@{wish.payee_group}",
                f"{wish.member}@{wish.group}",
                1,
                refund_of=wish.transfer_id,
            )

    # Groups and members.

    def _pay_herself(self) -> None:
        marie = self._member(self.draw.choice(list(self.federation.nodes)))
        self.people.pay(marie, marie, 1)

    def _want_two_rates(self) -> None:
        """Ask for a rate, then for another; the first was not approved yet."""
        group = self.draw.choice(list(self.federation.nodes))
        people = self.people
        first, second = self.draw.sample(_RATES, 2)
        people.propose_rate(group, first)
        self._soon(lambda: people.propose_rate(group, second), MINUTE)
        for at_most in (2 * MINUTE, HOUR):
            self._soon(lambda: people.approve(group), at_most)
        other = next(one for one in self.federation.nodes if one != group)
        for _ in range(2):
            self._soon(
                lambda: people.pay(self._member(group), self._member(other), 1), HOUR
            )

    def _freeze_and_limit(self) -> None:
        """Freeze a member, give her other limits, and pay her: she stays frozen."""
        group = self.draw.choice(list(self.federation.nodes))
        marie, people, node = self._member(group), self.people, group
        reach = 2 * HOUR // self.federation.nodes[node].home.rate + 3
        people.change_member(marie, frozen=True)
        self._soon(
            lambda: people.change_member(marie, floor=-reach, ceiling=2 * reach), MINUTE
        )
        other = next(one for one in self.federation.nodes if one != group)
        self._soon(lambda: people.pay(self._member(other), marie, 1), 2 * MINUTE)
        self._soon(lambda: people.change_member(marie, frozen=False), HOUR)

    def _limit_askew(self) -> None:
        """Let a group owe more than it may be owed, or less."""
        group, other = self._two_groups()
        low, high = self.draw.sample((1, 3, 7), 2)
        self.people.limit(group, -low * HOUR, high * HOUR)
        for _ in range(2):
            self._soon(
                lambda: self.people.pay(self._member(other), self._member(group), 1),
                5 * MINUTE,
            )
