"""Max circulation: the most that debts between groups can clear among themselves.

This is what multilateral netting of the gross flows would clear if the hub did not
stand in the middle. We look for the debts that must stay: the cheapest way to ship
each group's net over the flows there are, where a unit costs one for each flow that it
uses. What it does not use lies on cycles and clears. Shortest ways first, all ways
of one length together (primal-dual). Prices prove the result to whoever does
not trust the search (``check_circulation``).
"""

from collections import deque
from collections.abc import Mapping

import msgspec

from protocol.errors import LedgerBrokenError
from protocol.netting.flows import Flows

#: How many arcs the search may look at; trade among 1,000 groups takes a fifth of it.
#: Only flows made on purpose take more: a dense knot at the end of a very long chain.
LOOKS_MAX = 20_000_000
_FAR = 2**62


class Circulation(msgspec.Struct, frozen=True):
    """What stays of the flows, and why no more could clear.

    Attributes:
        left: milliseconds that stay, from payer's group to payee's; none is zero.
        prices: one whole number a group: the certificate.
    """

    left: Mapping[str, Mapping[str, int]]
    prices: Mapping[str, int]

    @property
    def value(self) -> int:
        """The sum of what stays, milliseconds."""
        return sum(sum(row.values()) for row in self.left.values())

    @property
    def payments(self) -> int:
        """How many pairs still have a debt."""
        return sum(map(len, self.left.values()))


def largest_circulation(flows: Flows) -> Circulation | None:
    """Clear as much as can be cleared without changing any group's net.

    The value is the same for everyone; of several ways to reach it, this takes the
    one that the order of names gives.

    Returns:
        ``None`` when the search would look at more than ``LOOKS_MAX`` arcs.
    """
    net = flows.net()
    groups = list(net)
    places = {group: place for place, group in enumerate(groups)}
    network = _Network(len(groups))
    pairs = [
        (payer, payee, flows.paid[payer][payee])
        for payer in groups
        for payee in sorted(flows.paid.get(payer, ()))
    ]
    for payer, payee, most in pairs:
        network.join(places[payer], places[payee], most, 1)
    for group, gained in net.items():
        if gained < 0:
            network.join(network.source, places[group], -gained, 0)
        elif gained > 0:
            network.join(places[group], network.sink, gained, 0)
    if not network.ship(LOOKS_MAX):
        return None
    left: dict[str, dict[str, int]] = {}
    for place, (payer, payee, most) in enumerate(pairs):
        stays = most - network.room[2 * place]
        if stays:
            left.setdefault(payer, {})[payee] = stays
    prices = {group: -network.height[place] for group, place in places.items()}
    return Circulation(left, prices)


def check_circulation(flows: Flows, found: Circulation) -> None:
    """Check, without any search, that a circulation is one and that none is larger.

    With ``f`` what cleared of a flow ``L`` from u to v, and ``rho = 1 - (price of u -
    price of v)``: every group keeps its net, ``rho > 0`` only where all of it cleared,
    and ``rho < 0`` only where nothing did (complementary slackness).

    Raises:
        LedgerBrokenError: what does not hold.
    """
    for payer, row in found.left.items():
        for payee, stays in row.items():
            if not 0 < stays <= flows.paid.get(payer, {}).get(payee, 0):
                raise LedgerBrokenError(f"circulation: {payer} to {payee}: {stays}")
    kept = Flows(found.left, 0).net()
    net = flows.net()
    if any(kept.get(group, 0) != gained for group, gained in net.items()):
        raise LedgerBrokenError("circulation: it changes what a group has gained")
    for payer, row in flows.paid.items():
        for payee, most in row.items():
            slack = 1 - (found.prices[payer] - found.prices[payee])
            stays = found.left.get(payer, {}).get(payee, 0)
            if (slack > 0 and stays != 0) or (slack < 0 and stays != most):
                raise LedgerBrokenError(f"circulation: {payer} to {payee}: not optimal")


class _Network:
    """Places and arcs between them; arc ``a`` and ``a ^ 1`` are each other's return.

    ``height`` is the length of the shortest way from the source with what has been
    shipped so far: no arc that has room leads down by more than its cost.
    """

    def __init__(self, groups: int) -> None:
        self.source = groups
        self.sink = groups + 1
        self.head: list[int] = []
        self.room: list[int] = []
        self.cost: list[int] = []
        self.arcs: list[list[int]] = [[] for _ in range(groups + 2)]
        self.height = [0] * (groups + 2)

    def join(self, tail: int, head: int, room: int, cost: int) -> None:
        """Add an arc and its return."""
        self.arcs[tail].append(len(self.head))
        self.arcs[head].append(len(self.head) + 1)
        self.head += (head, tail)
        self.room += (room, 0)
        self.cost += (cost, -cost)

    def ship(self, looks_max: int) -> bool:
        """Ship all that the source has, along ways as short as there are.

        Args:
            looks_max: how many arcs may be looked at; each round counts all, twice.

        Returns:
            Whether that was enough.
        """
        looks = 0
        while self._lift():
            while (level := self._levels())[self.sink] < _FAR:
                self._block(level)
                looks += 2 * len(self.head)
                if looks > looks_max:
                    return False
        return True

    def _lift(self) -> bool:
        """Find how far everything is, and lift it; says whether the sink is reached.

        Distances are small whole numbers, so a list of buckets orders them (Dial).
        """
        head, room, cost, height = self.head, self.room, self.cost, self.height
        far = [_FAR] * len(height)
        far[self.source] = 0
        buckets = [[self.source]]
        step = 0
        while step < len(buckets) and far[self.sink] > step:
            for tail in buckets[step]:
                if far[tail] != step:
                    continue
                base = step + height[tail]
                for arc in self.arcs[tail]:
                    other = head[arc]
                    reach = base + cost[arc] - height[other]
                    if room[arc] and reach < far[other]:
                        far[other] = reach
                        while len(buckets) <= reach:
                            buckets.append([])
                        buckets[reach].append(other)
            step += 1
        reached = far[self.sink]
        if reached == _FAR:
            return False
        self.height = [
            up + min(more, reached) for up, more in zip(height, far, strict=True)
        ]
        return True

    def _levels(self) -> list[int]:
        """Count arcs from the source along shortest ways only."""
        head, room, cost, height = self.head, self.room, self.cost, self.height
        level = [_FAR] * len(height)
        level[self.source] = 0
        waiting = deque([self.source])
        while waiting and level[self.sink] == _FAR:
            tail = waiting.popleft()
            base = height[tail]
            for arc in self.arcs[tail]:
                other = head[arc]
                if (
                    room[arc]
                    and level[other] == _FAR
                    and base + cost[arc] == height[other]
                ):
                    level[other] = level[tail] + 1
                    waiting.append(other)
        return level

    def _block(self, level: list[int]) -> None:
        """Fill shortest ways until each has a full arc (Dinic's blocking flow)."""
        nexts = [0] * len(level)
        way: list[int] = []
        at = self.source
        while True:
            if at == self.sink:
                at = self._fill(way)
            arc = self._leading(at, nexts, level)
            if arc is not None:
                way.append(arc)
                at = self.head[arc]
            elif way:
                # A dead end: its level says so to whoever comes next.
                level[at] = _FAR
                at = self.head[way.pop() ^ 1]
            else:
                return

    def _leading(self, tail: int, nexts: list[int], level: list[int]) -> int | None:
        """Find an arc that leads on, from where the last look here ended."""
        head, room, cost, arcs = self.head, self.room, self.cost, self.arcs[tail]
        base, further = self.height[tail], level[tail] + 1
        for place in range(nexts[tail], len(arcs)):
            arc = arcs[place]
            other = head[arc]
            if (
                level[other] == further
                and room[arc]
                and base + cost[arc] == self.height[other]
            ):
                nexts[tail] = place
                return arc
        nexts[tail] = len(arcs)
        return None

    def _fill(self, way: list[int]) -> int:
        """Ship along a way what it can take; gives where the first full arc begins."""
        room = self.room
        amount = min(room[arc] for arc in way)
        first = next(place for place, arc in enumerate(way) if room[arc] == amount)
        for arc in way:
            room[arc] -= amount
            room[arc ^ 1] += amount
        at = self.head[way[first] ^ 1]
        del way[first:]
        return at
