"""What a seed's treasurers do on their own ledgers, in the middle of trade and faults.

It has a source of chance of its own, as cycles and lives have: a seed without this
plays as it would if no treasurer ever booked. Much of it is wrong on purpose, or meets
something else at once: what is under way on an account that is closed, a refund of
what is undone, two who undo the same, a server that falls while it books.
"""

import random
from collections.abc import Callable

from msgspec import UNSET

from protocol.envelope import Body
from tests.simulator.agenda import HOUR, MINUTE, SECOND
from tests.simulator.federation import Federation
from tests.simulator.ledger_people import NEWCOMERS, Errand, Limit
from tests.simulator.lie_swarm import is_watched
from tests.simulator.members import People, Wish
from tests.simulator.memory_database import Row
from tests.simulator.servers import Server
from tests.simulator.trouble import Trouble

#: In so many seeds of ten treasurers do more than set a limit.
_SEEDS_OF_TEN = 3
_STEPS = ("entry", "correction", "member")
_NEAR = (20, SECOND, MINUTE, 10 * MINUTE)


def draw_of(seed: int) -> random.Random | None:
    """Give a seed's chance about its treasurers; ``None``: it has none.

    Where nodes watch the hub's log the seeds are few, and each finds something.
    """
    if is_watched(seed):
        return None
    draw = random.Random(f"ledgers of {seed}")
    return draw if draw.randrange(10) < _SEEDS_OF_TEN else None


class LedgerSwarm:
    """One seed's treasurers."""

    def __init__(
        self, seed: int, federation: Federation, people: People, trouble: Trouble
    ) -> None:
        draw = draw_of(seed)
        self.is_here = draw is not None
        self.draw = draw or random.Random()
        self.federation, self.trouble = federation, trouble
        self.world = federation.world
        self.everyone, self.people = people, people.ledgers
        #: In so many seeds a server often falls while it books.
        self._falls = self.draw.random() < 0.4
        #: By group, who is to be shut as soon as something is held for her.
        self._awaited: dict[str, str] = {}
        if self.is_here:
            self._listen()

    def _listen(self) -> None:
        before = self.world.heard

        def heard(server: Server, peer: str, body: Body) -> None:
            before(server, peer, body)
            lines = [line for one in body.envelopes for line in one.lines]
            is_offered = any(b'"transfer.offer"' in line for line in lines)
            if is_offered and server.name in self._awaited:
                name = self._awaited.pop(server.name)
                for most in (1, 30):
                    self._soon(
                        lambda: self.people.shut(server.name, name, to_fund=True), most
                    )

        self.world.heard = heard

    def strew(self, span: int) -> None:
        """Draw what they do in a bout of trade, and when."""
        if not self.is_here:
            return
        draw = self.draw
        deeds: dict[Callable[[str], object], int] = {
            self._book: 5,
            self._book_to_the_edge: 4,
            self._book_twice: 3,
            self._book_wrongly: 4,
            self._spread: 3,
            self._undo: 4,
            self._undo_a_payment: 5,
            self._undo_twice: 3,
            self._undo_beyond: 3,
            self._undo_what_is_shut: 2,
            self._shut: 4,
            self._shut_what_moves: 4,
            self._come_and_go: 3,
            self._bound: 4,
            self._bound_many: 4,
            self._admit: 2,
            self._all_at_once: 3,
        }
        for deed in draw.choices(
            list(deeds), list(deeds.values()), k=draw.choice((3, 6, 10))
        ):
            group = draw.choice(list(self.federation.nodes))
            self.world.later(draw.randint(0, span), lambda d=deed, g=group: d(g))
        if self._falls:
            for _ in range(draw.choice((1, 2))):
                self.world.later(draw.randint(0, span), self._fall)
        for _ in range(draw.choice((0, 1, 2))):
            self.world.later(draw.randint(0, span), self._repeat)

    def finish(self) -> None:
        """Let every treasurer who was told nothing ask again."""
        if not self.is_here:
            return
        for errand in list(self.people.errands):
            is_lost = errand.told == "unknown" and not errand.is_asked
            if is_lost and errand.key and self.draw.random() < 0.7:
                self.people.repeat(errand.group, errand.key)

    # Chance.

    def _soon(self, deed: Callable[[], object], at_most: int = 0) -> None:
        """Do it in the same batch, or a little later."""
        near = at_most or self.draw.choice(_NEAR)
        self.world.later(self.draw.randint(0, near), deed)

    def _rows(self, group: str) -> dict[str, Row]:
        return {
            name: row
            for name, row in self.federation.nodes[group]
            .database.table("account")
            .items()
            if row["kind"] == "member"
        }

    def _member(self, group: str) -> str:
        return self.draw.choice(list(self._rows(group)))

    def _two(self, group: str) -> tuple[str, str]:
        """Give two accounts; the fund, where there is one member."""
        names = [*self._rows(group), "fund"]
        if self.draw.random() < 0.8 and len(names) > 2:
            names.remove("fund")
        one, two = self.draw.sample(names, 2)
        return one, two

    def _amount(self, group: str) -> int:
        rate = self.federation.nodes[group].home.rate
        return max(1, self.draw.choice((SECOND, HOUR // 2, HOUR)) // rate)

    # By hand.

    def _book(self, group: str) -> Errand:
        one, two = self._two(group)
        amount = self._amount(group)
        lines = [(one, -amount), (two, amount)]
        others = [name for name in self._rows(group) if name not in (one, two)]
        if others and self.draw.random() < 0.3:
            lines += [(others[0], -1)]
            lines[1] = (two, amount + 1)
        return self.people.book(group, lines)

    def _room(self, row: Row, sign: int) -> int:
        """Say how much may still come in, or leave."""
        if sign > 0:
            return int((row["ceiling"] or 0) - row["balance"] - row["held_in"])
        return int(row["balance"] - row["held_out"] - (row["floor"] or 0))

    def _book_to_the_edge(self, group: str) -> None:
        """Book what a limit just allows, or what only netted holds would; or more."""
        name = self._member(group)
        row, sign = self._rows(group)[name], self.draw.choice((1, -1))
        room = self._room(row, sign)
        if self.draw.random() < 0.3:
            room += int(row["held_out"] if sign > 0 else row["held_in"])
        room = max(1, room + self.draw.choice((-1, 0, 0, 1)))
        other = "fund"
        errand = self.people.book(group, [(name, sign * room), (other, -sign * room)])
        if self.draw.random() < 0.3:
            self._soon(lambda: self.people.repeat(group, errand.key), HOUR)

    def _book_twice(self, group: str) -> None:
        """Ask again under the key at once, or later; or for something else."""
        errand = self._book(group)
        self._soon(lambda: self.people.repeat(group, errand.key))
        if self.draw.random() < 0.4:
            one, two = self._two(group)
            lines = [(one, -2), (two, 2)]
            self._soon(lambda: self.people.book(group, lines, errand.key))

    def _book_wrongly(self, group: str) -> None:
        """Book what is no entry, or where no person may."""
        name, draw = self._member(group), self.draw
        lines = draw.choice(
            (
                [(name, -2), ("fund", 1)],
                [(name, -2), ("fund", 1), (name, 1)],
                [(name, 0), ("fund", 0)],
                [(name, -1)],
                [(name, -1), ("nobody", 1)],
                [(name, -1), ("clearing", 1)],
                [(name, -1), ("conversion.1", 1)],
                [(name, -1), ("settlement", 1)],
                [(name, -(10**9)), ("fund", 10**9)],
            )
        )
        self.people.book(group, lines)

    def _spread(self, group: str) -> None:
        """Let everybody bear a part of something, or some."""
        each = self.draw.choice((-2, -1, 1, 2, 0))
        names = list(self._rows(group))
        some = self.draw.sample(names, self.draw.randint(1, len(names)))
        if self.draw.random() < 0.15:
            some.append("nobody")
        errand = self.people.spread(group, each, self.draw.choice((None, some)))
        if self.draw.random() < 0.5:
            self._soon(lambda: self.people.repeat(group, errand.key))
        if self.draw.random() < 0.5:
            name = self._member(group)
            self._soon(lambda: self._freeze(group, name), MINUTE)

    def _freeze(self, group: str, name: str) -> None:
        address = f"{name}@{group}"
        self.everyone.change_member(address, frozen=True)
        later = self.draw.choice((MINUTE, HOUR))
        self.world.later(
            later, lambda: self.everyone.change_member(address, frozen=False)
        )

    # Undone again.

    def _done(self, group: str) -> list[Errand]:
        return [
            one
            for one in self.people.errands
            if one.group == group
            and one.verb in ("books", "spreads", "undoes")
            and one.was_done
        ]

    def _undo(self, group: str) -> None:
        """Undo what was booked by hand, or the undoing; or what was not booked."""
        done = self._done(group)
        if self.draw.random() < 0.15:
            done = [one for one in self.people.errands if one.group == group]
        if done:
            errand = self.draw.choice(done[-5:])
            self.people.undo(group, errand.key)
            return
        errand = self._book(group)
        self._soon(lambda: self.people.undo(group, errand.key), MINUTE)

    def _undo_twice(self, group: str) -> None:
        """Let two treasurers undo the same, and one of them undo that."""
        errand = self._book(group)
        undone: list[Errand] = []

        def undo() -> None:
            undone.append(self.people.undo(group, errand.key))

        at = self.draw.randint(SECOND, MINUTE)
        self.world.later(at, undo)
        self.world.later(at + self.draw.choice((0, 1, MINUTE)), undo)
        if self.draw.random() < 0.6:
            later = at + 2 * MINUTE
            self.world.later(later, lambda: self.people.undo(group, undone[0].key))
            if self.draw.random() < 0.5:
                self.world.later(later + SECOND, undo)

    def _a_payment(self, group: str) -> Wish | None:
        """Give a payment inside a group; order one where there is none."""
        inside = [
            wish
            for wish in self.everyone.wishes
            if wish.was_ok and wish.group == wish.payee_group == group
        ]
        names = list(self._rows(group))
        if inside and self.draw.random() < 0.6:
            return self.draw.choice(inside[-4:])
        if len(names) < 2:
            return None
        one, two = self.draw.sample(names, 2)
        return self.everyone.pay(
            f"{one}@{group}", f"{two}@{group}", self.draw.randint(1, 4)
        )

    def _undo_a_payment(self, group: str) -> None:
        """Undo a payment, while she who was paid may give it back herself."""
        wish = self._a_payment(group)
        if wish is None:
            return
        draw, what = self.draw, f"{wish.member}:{wish.key}"

        def undo() -> None:
            # What was refused nobody finds in the list, or hardly ever.
            if wish.told != "refused" or draw.random() < 0.1:
                self.people.undo(group, what)

        back = [undo]
        if draw.random() < 0.6:
            back.append(
                lambda: self._give_back(wish, draw.randint(1, wish.payee_amount))
            )
        draw.shuffle(back)
        at = draw.randint(SECOND, MINUTE)
        for deed in back:
            self.world.later(at, deed)
            at += draw.choice((0, 0, SECOND, MINUTE))
        if draw.random() < 0.4:
            self.world.later(at + MINUTE, lambda: self._give_back(wish, 1))

    def _give_back(self, wish: Wish, units: int) -> None:
        self.everyone.pay(
            f"{wish.payee}@{wish.payee_group}",
            f"{wish.member}@{wish.group}",
            units,
            refund_of=wish.transfer_id,
        )

    def _undo_beyond(self, group: str) -> None:
        """Undo what another group's ledger has too, a refund, or what nobody knows."""
        entries = self.federation.nodes[group].database.table("entry by id")
        wishes = [
            wish
            for wish in self.everyone.wishes
            if wish.group == group
            and (wish.payee_group != group or wish.refund_of is not None)
            and (wish.transfer_id in entries or self.draw.random() < 0.03)
        ]
        if wishes:
            wish = self.draw.choice(wishes[-6:])
            self.people.undo(group, f"{wish.member}:{wish.key}")
        elif self.draw.random() < 0.2:
            self.people.undo(group, "hand-0")

    def _undo_what_is_shut(self, group: str) -> None:
        """Undo what is on a closed account, and again when it is open."""
        people, name = self.people, self._member(group)
        errand = people.book(group, [(name, 1), ("fund", -1)])
        undone: list[Errand] = []
        deeds: list[Callable[[], object]] = [
            lambda: people.shut(group, name, to_fund=True),
            lambda: undone.append(people.undo(group, errand.key)),
            lambda: people.reopen(group, name),
            lambda: people.repeat(group, undone[0].key),
            lambda: people.undo(group, errand.key),
        ]
        at = 0
        for deed in deeds:
            at += self.draw.choice((1, SECOND, 10 * SECOND))
            self.world.later(at, deed)

    # Members.

    def _shut(self, group: str) -> None:
        """Close an account, with what stands there or without, and open it again."""
        name = self._member(group)
        to_fund = self.draw.random() < 0.6
        self.people.shut(group, name, to_fund=to_fund)
        self._meet(group, name)
        if self.draw.random() < 0.9:
            later = self.draw.choice((SECOND, MINUTE, 10 * MINUTE, HOUR))
            self.world.later(later, lambda: self.people.reopen(group, name))

    def _meet(self, group: str, name: str) -> None:
        """Let others go on as if she were there."""
        draw, address = self.draw, f"{name}@{group}"
        others = [one for one in self.federation.nodes if one != group]
        other = draw.choice(others)
        them = f"{next(iter(self.federation.nodes[other].home.members))}@{other}"
        deeds: list[Callable[[], object]] = [
            lambda: self.everyone.pay(them, address, 1, deliver="when_reachable"),
            lambda: self.everyone.pay(address, them, 1, deliver="when_reachable"),
            lambda: self.people.book(group, [(name, -1), ("fund", 1)]),
            lambda: self.people.book(group, [(name, 1), ("fund", -1)]),
            lambda: self._undo_of(group, name),
            lambda: self.people.shut(group, name),
            lambda: self.people.bound(group, name, UNSET, 50),
            lambda: self.people.spread(group, 1, None),
        ]
        for deed in draw.sample(deeds, draw.choice((1, 2, 3))):
            self._soon(deed)

    def _undo_of(self, group: str, name: str) -> None:
        """Undo something that is on her account."""
        for errand in reversed(self._done(group)):
            if any(name in dict(lines) for lines in errand.lawful):
                self.people.undo(group, errand.key)
                return

    def _shut_what_moves(self, group: str) -> None:
        """Close an account while something is on its way from it, or to it."""
        name = self._member(group)
        other = self.draw.choice([one for one in self.federation.nodes if one != group])
        them = f"{next(iter(self.federation.nodes[other].home.members))}@{other}"
        pair = f"{name}@{group}", them
        payer, payee = pair if self.draw.random() < 0.5 else pair[::-1]
        self.everyone.pay(payer, payee, 1, deliver="when_reachable")
        if payee == pair[0]:
            self._awaited[group] = name
        for wait in sorted(self.draw.randint(0, one) for one in (SECOND, 4 * SECOND)):
            self.world.later(wait, lambda: self.people.shut(group, name, to_fund=True))
        self._soon(lambda: self.people.reopen(group, name), HOUR)

    def _come_and_go(self, group: str) -> None:
        """Shut, book, open, book and shut again, as fast as batches take it."""
        name = self._member(group)
        people = self.people
        deeds: list[Callable[[], object]] = [
            lambda: people.shut(group, name, to_fund=True),
            lambda: people.book(group, [(name, 1), ("fund", -1)]),
            lambda: people.reopen(group, name),
            lambda: people.book(group, [(name, 2), ("fund", -2)]),
            lambda: people.shut(group, name, to_fund=self.draw.random() < 0.7),
            lambda: people.reopen(group, name),
        ]
        at = 0
        for deed in deeds:
            self.world.later(at, deed)
            at += self.draw.choice((0, 0, 1, SECOND))

    def _limits(self, group: str, name: str) -> tuple[Limit, Limit]:
        """Draw limits: one alone, right at the balance, crossed, or none."""
        draw = self.draw
        row = self._rows(group).get(name)
        stands = int(row["balance"]) if row else 0
        reach = 2 * HOUR // self.federation.nodes[group].home.rate + 3
        floor, ceiling = (row["floor"], row["ceiling"]) if row else (None, None)
        pairs: tuple[tuple[Limit, Limit], ...] = (
            (reach if ceiling is None else int(ceiling) + 1, UNSET),
            (UNSET, -reach if floor is None else int(floor) - 1),
            (-reach, UNSET),
            (UNSET, reach),
            (-reach, reach),
            (None, UNSET),
            (UNSET, None),
            (None, None),
            (stands, UNSET),
            (UNSET, stands),
            (stands + 1, reach + abs(stands)),
            (reach, -reach),
        )
        return draw.choice(pairs)

    def _bound(self, group: str) -> None:
        name = "nobody" if self.draw.random() < 0.05 else self._member(group)
        self.people.bound(group, name, *self._limits(group, name))
        if self.draw.random() < 0.5:
            self._soon(lambda: self._book_to_the_edge(group))

    def _bound_many(self, group: str) -> None:
        """Set limits of many; in some lists a line is wrong, and so none counts."""
        draw = self.draw
        names = list(self._rows(group))
        some = draw.sample(names, draw.randint(1, len(names)))
        if draw.random() < 0.15:
            some.append(draw.choice(("nobody", "fund", some[0])))
        lines = [(name, *self._limits(group, name)) for name in some]
        if draw.random() < 0.3 and some[0] in names:
            self._freeze(group, some[0])
            self._soon(lambda: self.people.bound_many(group, lines), MINUTE)
        else:
            self.people.bound_many(group, lines)

    def _admit(self, group: str) -> None:
        """Admit somebody new, twice, or by a name that is taken or reserved."""
        draw = self.draw
        name = draw.choice((*NEWCOMERS, *NEWCOMERS, "marie", "fund"))
        floor, ceiling = draw.choice(((-5, 5), (None, None), (0, 9), (1, 5)))
        errand = self.people.admit(group, name, floor, ceiling)
        if draw.random() < 0.5:
            self._soon(lambda: self.people.repeat(group, errand.key))
        other = draw.choice([one for one in self.federation.nodes if one != group])
        them = f"{next(iter(self.federation.nodes[other].home.members))}@{other}"
        self._soon(lambda: self.everyone.pay(them, f"{name}@{group}", 1))

    # Several things at once, and trouble.

    def _all_at_once(self, group: str) -> None:
        """Let one batch hold an entry, limits, a payment and an undoing."""
        draw, people = self.draw, self.people
        name = self._member(group)
        errand = self._book(group)
        deeds: list[Callable[[], object]] = [
            lambda: people.undo(group, errand.key),
            lambda: people.bound(group, name, *self._limits(group, name)),
            lambda: self._book_to_the_edge(group),
            lambda: people.shut(group, name, to_fund=True),
            lambda: people.reopen(group, name),
            lambda: self._freeze(group, name),
            lambda: self._a_payment(group),
            lambda: people.repeat(group, errand.key),
        ]
        for deed in draw.sample(deeds, draw.choice((3, 5, 8))):
            self.world.later(draw.choice((0, 0, 1, 20)), deed)

    def _fall(self) -> None:
        """Let power fail when a node next books by hand."""
        if self.trouble.is_quiet:
            return
        group = self.draw.choice(list(self.federation.nodes))
        node, step = self.federation.nodes[group], self.draw.choice(_STEPS)
        self.trouble.fall(node, step, self.draw.choice(("before", "after")))

    def _repeat(self) -> None:
        """Ask again for what nobody knows about, or for something of long ago."""
        errands = self.people.errands
        lost = [one for one in errands if one.told == "unknown"]
        if errands:
            errand = self.draw.choice(lost or errands)
            self.people.repeat(errand.group, errand.key)
