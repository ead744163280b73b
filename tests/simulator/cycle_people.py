"""What the regional admin and treasurers do about cycles, and what they were told.

Each deed notes itself in the world's script, in words that ``replay`` reads again:

    admin           closes   1
    admin           settles  1
    admin           settles  1 luik     # all but this one
    gent            signs    paid luik 1
    admin           voids    gent luik 1
    gent            checks   1
    somebody        alters   gent
    somebody        mends    gent

A leg is named by its parties and its cycle: the newest of these that its group was told
of. Nobody outside of the federation pays anything here: a word is all that is seen.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from clearing.calendar import Calendar, Span
from clearing.rules import CancelLeg, CloseCycle, Settle
from clearing.settling import Settling
from nodes.rules import SignLeg
from nodes.watch.cycle_watch import CycleWatch
from tests.simulator.cycle_looks import beside_the_clerk
from tests.simulator.servers import UNKNOWN

if TYPE_CHECKING:
    from tests.simulator.federation import Federation

Word = Literal["paid", "received"]
Told = Callable[[object], None]
_BY_HAND = 1
#: What ``play_deed`` knows, beside the calendar.
CYCLE_DEEDS = ("closes", "settles", "signs", "voids", "checks", "alters", "mends")


def _nothing(_: object) -> None:
    """Nobody waits for it."""


class CyclePeople:
    """The regional admin and all treasurers, as far as cycles go.

    Attributes:
        signed: group, leg and word, of every word that a treasurer gave or tried to.
        closed: cycles that somebody, or the calendar, wished to end.
        planned: cycles that were to be settled, each with whom to leave out.
        voided: legs that the regional admin wished to call off.
        altered: by group, a posting that somebody has changed by hand: its entry, how
            it was, and how it is now.
        changed: by group, the ids of all entries that were changed at any time.
        mended: groups whose ledger was put back at any time.
        on_told: told of every order of the regional admin's that was answered.
    """

    def __init__(self, federation: "Federation") -> None:
        self.federation = federation
        self.world = federation.world
        self.signed: set[tuple[str, str, str]] = set()
        self.closed: set[int] = set()
        self.planned: set[tuple[int, tuple[str, ...]]] = set()
        self.voided: set[str] = set()
        self.altered: dict[str, tuple[int, Any, Any]] = {}
        self.changed: dict[str, set[str]] = defaultdict(set)
        self.mended: set[str] = set()
        self.on_told: Callable[[object, object], None] = lambda *_: None

    @property
    def ever_altered(self) -> set[str]:
        """Name the groups whose ledger was changed at any time."""
        return set(self.changed)

    # The regional admin.

    @property
    def open_cycle(self) -> int:
        """The number of the cycle that is open, as the hub shows it."""
        return max(self.federation.hub.database.table("cycle"), default=0) + 1

    def close(self, cycle: int, told: Told = _nothing) -> None:
        """End a cycle by hand."""
        self.closed.add(cycle)
        self._order(f"closes {cycle}", CloseCycle(cycle), told)

    def settle(
        self, cycle: int, told: Told = _nothing, excepted: Sequence[str] = ()
    ) -> None:
        """Have legs made; the plan is searched for beside the clerk, as in earnest."""
        words = " ".join(("settles", str(cycle), *excepted))
        self.world.note(f"admin {words}")
        self.world.tell("the regional admin {}", words)
        self.planned.add((cycle, tuple(sorted(excepted))))
        hub, order = self.federation.hub, Settle(cycle, tuple(excepted))
        beside_the_clerk(
            hub,
            lambda clerk, database: Settling(clerk, database).settle(cycle, excepted),
            self._answer(order, told),
        )

    def void(
        self, debtor: str, creditor: str, cycle: int, told: Told = _nothing
    ) -> None:
        """Call a leg off."""
        words = f"voids {debtor} {creditor} {cycle}"
        leg = self._leg("hub", debtor, creditor, cycle)
        if leg is None:
            self.world.note(f"admin {words}")
            return
        self.voided.add(leg["leg_id"])
        self._order(words, CancelLeg(leg["leg_id"]), told)

    def _order(self, words: str, order: object, told: Told) -> None:
        self.world.note(f"admin {words}")
        self.world.tell("the regional admin {}", words)
        self.federation.hub.submit(order, self._answer(order, told))

    def _answer(self, order: object, told: Told) -> Told:
        def answer(outcome: object) -> None:
            self.world.tell("the regional admin is told: {}", outcome)
            if outcome is not UNKNOWN:
                self.on_told(order, outcome)
            told(outcome)

        return answer

    def look_at_calendar(self, span: Span) -> None:
        """Let the calendar look whether a cycle is to end."""
        self.world.note(f"calendar {span}")
        hub = self.federation.hub
        if not hub.is_up:
            return
        self.closed.add(self.open_cycle)
        clock: Any = hub.clock
        beside_the_clerk(
            hub,
            lambda clerk, database: Calendar(
                hub.house, clerk, database, clock, span, hour=0
            ).look(),
            _nothing,
        )

    # Treasurers.

    def sign(
        self, group: str, word: Word, other: str, cycle: int, told: Told = _nothing
    ) -> bool:
        """Say that a leg was paid or received; gives whether there is one here.

        Which of the two she says is hers to get wrong.
        """
        self.world.note(f"{group} signs {word} {other} {cycle}")
        node = self.federation.nodes[group]
        ends = (group, other) if word == "paid" else (other, group)
        leg = self._leg(group, *ends, cycle) or self._leg(group, *ends[::-1], cycle)
        if leg is None:
            return False
        leg_id = leg["leg_id"]
        self.world.tell("the treasurer of {} says {}: {}", group, word, leg_id)
        if word == ("paid" if leg["debtor"] == group else "received"):
            self.signed.add((group, leg_id, word))
        order = SignLeg(
            leg_id=leg_id, word=word, author="treasurer", reason="by bank transfer"
        )

        def answer(outcome: object) -> None:
            self.world.tell("the treasurer of {} is told: {}", group, outcome)
            if outcome is not UNKNOWN:
                self.on_told(order, outcome)
            told(outcome)

        node.submit(order, answer)
        return True

    def _leg(self, server: str, debtor: str, creditor: str, cycle: int) -> Any:
        """Give the newest leg of these, as a server has it."""
        federation = self.federation
        one = federation.hub if server == "hub" else federation.nodes[server]
        found = [
            row
            for row in one.database.table("leg").values()
            if (row["debtor"], row["creditor"], row["cycle"])
            == (debtor, creditor, cycle)
        ]
        return found[-1] if found else None

    def check(self, group: str, cycle: int) -> None:
        """Let a node look at a cycle once more, after something was mended."""
        self.world.note(f"{group} checks {cycle}")
        node = self.federation.nodes[group]
        if node.is_up:
            beside_the_clerk(
                node,
                lambda clerk, database: CycleWatch(clerk, database).check(
                    cycle, "treasurer", "mended"
                ),
                lambda outcome: self.world.tell("{} has looked: {}", group, outcome),
            )

    # Somebody with the password of a database.

    def alter(self, group: str) -> bool:
        """Change the newest posting on a node's clearing account by hand."""
        self.world.note(f"somebody alters {group}")
        database = self.federation.nodes[group].database
        postings = database.table(("posting", "clearing"))
        if not postings or group in self.altered:
            return False
        sequence = next(reversed(postings))
        before = postings[sequence]
        after = before[0] + _BY_HAND or before[0] + 2 * _BY_HAND, before[1]
        postings[sequence] = after
        self.altered[group] = sequence, before, after
        self.changed[group].add(database.table("entry")[sequence]["entry_id"])
        self.world.count("ledger altered")
        self.world.tell("somebody alters entry {} of {}", sequence, group)
        return True

    def mend(self, group: str) -> None:
        """Put back what was changed by hand."""
        self.world.note(f"somebody mends {group}")
        if group not in self.altered:
            return
        sequence, before, after = self.altered.pop(group)
        self.mended.add(group)
        postings = self.federation.nodes[group].database.table(("posting", "clearing"))
        if postings.get(sequence) == after:
            postings[sequence] = before
        self.world.tell("somebody mends entry {} of {}", sequence, group)


def is_deed(subject: str, verb: str) -> bool:
    """Say whether a line of a script is about cycles."""
    return verb in CYCLE_DEEDS or subject == "calendar"


def play_deed(people: CyclePeople, subject: str, verb: str, rest: list[str]) -> None:
    """Do what a line of a script says."""
    if verb in ("alters", "mends"):
        {"alters": people.alter, "mends": people.mend}[verb](rest[0])
        return
    match verb, rest:
        case "closes", [cycle]:
            people.close(int(cycle))
        case "settles", [cycle, *excepted]:
            people.settle(int(cycle), excepted=excepted)
        case "voids", [debtor, creditor, cycle]:
            people.void(debtor, creditor, int(cycle))
        case "signs", ["paid" | "received" as word, other, cycle]:
            people.sign(subject, word, other, int(cycle))
        case "checks", [cycle]:
            people.check(subject, int(cycle))
        case "weekly" | "monthly" as span, []:
            people.look_at_calendar(span)
        case _:
            raise AssertionError(f"nobody {verb} like this: {rest}")
