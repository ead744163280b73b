"""What people do just where a rule ends: to the unit, to the wrong person, twice.

Such deeds come up too seldom where all is drawn at large. They have a chance of their
own, so that seeds without them have their plan as ever.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec

from protocol.envelope import Body
from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.checker import Checker
from tests.simulator.federation import Federation
from tests.simulator.members import People, Wish
from tests.simulator.servers import Server

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
        #: A pair is to be capped in the batch that takes its next prepare.
        self._is_capping = False
        if self.is_here:
            self._listen()

    def _listen(self) -> None:
        before = self.world.heard

        def heard(server: Server, peer: str, body: Body) -> None:
            before(server, peer, body)
            lines = [line for one in body.envelopes for line in one.lines]
            found = [line for line in lines if b'"transfer.prepare"' in line]
            if self._is_capping and server is self.federation.hub and found:
                self._is_capping = False
                self._cap_in_traffic(msgspec.json.decode(found[0]))

        self.world.heard = heard

    def _cap_in_traffic(self, prepare: dict[str, Any]) -> None:
        """Leave no room beside what is asked for in the very same batch."""
        payer, payee = prepare["payer_group"], prepare["payee_group"]
        if not {payer, payee} <= set(self.federation.nodes):
            return
        used = self._used(payer, payee) + prepare["milliseconds"]
        self.people.cap(payer, payee, used)
        for _ in range(2):
            self._soon(
                lambda: self.people.pay(self._member(payer), self._member(payee), 1),
                MINUTE,
            )

    def strew(self, span: int) -> None:
        """Draw what they do in a bout of trade, and when."""
        if not self.is_here:
            return
        self._is_capping = self.draw.random() < 0.5
        deeds: list[Callable[[], None]] = [
            self._go_to_the_cap,
            self._give_all_back,
            self._give_all_back,
            self._give_to_a_third,
            self._pay_herself,
            self._give_back_inside,
            self._give_back_inside,
            self._agree_to_less,
            self._ask_until_it_may_be,
            self._want_two_rates,
            self._freeze_and_limit,
            self._limit_askew,
        ]
        if self.draw.random() < 0.6:
            self.world.later(self.draw.randint(0, span), self._go_to_the_cap)
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
            room = 2 * few * rate - draw.choice((0, 0, 1))
            people.cap(payer, payee, self._used(payer, payee) + room)
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
                draw.randint(MINUTE, 3 * MINUTE),
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

    def _give_back_inside(self) -> None:
        """Pay inside a group, let its rate change, and give back all, or to a third."""
        groups = [
            name
            for name, node in self.federation.nodes.items()
            if len(node.home.members) > 1
        ]
        if not groups:
            return
        group = self.draw.choice(groups)
        node, people = self.federation.nodes[group], self.people
        marie, bob, *more = node.home.members
        units = self.draw.randint(1, 5)
        wish = people.pay(f"{marie}@{group}", f"{bob}@{group}", units)
        if self.draw.random() < 0.5:
            rate = self.draw.choice(_RATES)
            self._soon(lambda: people.propose_rate(group, rate))
            self.world.later(MINUTE, lambda: people.approve(group))
        back = [lambda: self._refund(wish, units)]
        if more:
            back.append(lambda: self._refund(wish, 1, more[0]))
        self.draw.shuffle(back)
        for place, deed in enumerate(back):
            self.world.later((3 + place) * MINUTE, deed)
        self.world.later(8 * MINUTE, lambda: self._refund(wish, 1))

    # Prices and keys.

    def _agree_to_less(self) -> None:
        """Agree to less than it costs, as who saw the price before it changed."""
        payer, payee = self._two_groups()
        if not {payer, payee} <= set(self.checker.rates):
            return
        units = self.draw.randint(1, 3)
        price = -(-units * self._rate(payee) // self._rate(payer))
        ours, theirs = self._member(payer), self._member(payee)
        self.people.pay(ours, theirs, units, most=max(0, price - 1))

    def _ask_until_it_may_be(self) -> None:
        """Ask for too much, make room for it, and ask again under the same key."""
        group = self.draw.choice(list(self.federation.nodes))
        other = next(one for one in self.federation.nodes if one != group)
        if not {group, other} <= set(self.checker.rates):
            return
        marie, people = self._member(group), self.people
        people.change_member(marie, floor=0, ceiling=None)
        members = list(self.federation.nodes[group].home.members)
        rows = self.federation.nodes[group].database.table("account")
        room = 5 + abs(rows[members[0]]["balance"])
        to = self._member(other)
        if self.draw.random() < 0.5 and len(members) > 1:
            to = f"{members[1]}@{group}"
        units = room * self._rate(group) // self._rate(to.partition("@")[2]) + 1
        free: dict[str, object] = {"floor": None, "ceiling": None}

        def ask() -> None:
            wish = people.pay(marie, to, units)
            later = self.world.later
            later(2 * MINUTE, lambda: people.change_member(marie, **free))
            later(3 * MINUTE, lambda: people.ask(wish))

        self.world.later(MINUTE, ask)

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
