"""What people do about a group's life: it leaves, what it left is shared, two agree.

Each deed notes itself in the world's script, in words that ``replay`` reads again:

    gent            wishes    leaving          # its treasurer tells the hub
    admin           begins    gent             # she has it leave
    admin           stays     gent             # it stays after all
    admin           declares  gent -3600000    # it has left, with what she has seen
    admin           tells     gent size        # what each would take over
    admin           shares    gent             # and that is decided
    admin           agrees    size 20000 0     # rule, charge rate, threshold
    admin           uncaps    gent luik
    ann             requests  left gent -3600000
    bea             consents  1
    ann             withdraws 1

The groups agree on rules among themselves; the hub has them in its settings, and so
starts anew. Ann and Bea are admins where two of them must agree.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from clearing.rules import (
    Agreed,
    AskConsent,
    BeginLeaving,
    DeclareLeft,
    GiveConsent,
    Limit,
    Release,
    SetCap,
    ShareDebt,
    Stay,
    TellShares,
    WithdrawConsent,
)
from nodes.rules import WishToLeave
from protocol.address import Group
from protocol.sharing import ChargeRule, SharingRule
from tests.simulator.servers import UNKNOWN

if TYPE_CHECKING:
    from tests.simulator.federation import Federation

Told = Callable[[object], None]
ADMINS = ("ann", "bea")
#: What ``play_deed`` knows.
LIFE_DEEDS = (
    "wishes",
    "begins",
    "stays",
    "declares",
    "tells",
    "shares",
    "agrees",
    "uncaps",
    "requests",
    "consents",
    "withdraws",
)


def _nothing(_: object) -> None:
    """Nobody waits for it."""


class LifePeople:
    """The regional admins and all treasurers, as far as groups' lives go.

    Attributes:
        wished: groups that somebody wished to leave: a treasurer, or an admin.
        stayed: groups that an admin wished to stay.
        declared: group and position of each wish to declare one left.
        direct: those that one admin gave alone.
        told: groups of which somebody wished to tell what each takes over.
        requested: acts that were asked for another's word: who asked, which.
        consented: number and who gave or tried to give her word.
        on_told: told of every order that was answered.
    """

    def __init__(self, federation: "Federation") -> None:
        self.federation = federation
        self.world = federation.world
        self.wished: set[str] = set()
        self.stayed: set[str] = set()
        self.declared: set[tuple[str, int]] = set()
        self.direct: set[tuple[str, int]] = set()
        self.told: set[str] = set()
        self.requested: list[tuple[str, object]] = []
        self.consented: set[tuple[int, str]] = set()
        self.on_told: Callable[[object, object], None] = lambda *_: None

    # Leaving.

    def wish(self, group: str, told: Told = _nothing) -> None:
        """Let a treasurer tell the hub that her group wishes to leave."""
        self.world.note(f"{group} wishes leaving")
        node = self.federation.nodes[group]
        self.world.tell("the treasurer of {} wishes to leave", group)
        if not node.is_up or Group(group) not in node.house.directory:
            return
        self.wished.add(group)
        order = WishToLeave(author="treasurer", reason="we are too few")
        node.submit(order, self._answer(order, told))

    def begin(self, group: str, told: Told = _nothing) -> None:
        """Let the regional admin have a group leave."""
        self.wished.add(group)
        self._order(f"begins {group}", BeginLeaving(Group(group)), told)

    def stay(self, group: str, told: Told = _nothing) -> None:
        """Let the regional admin have it stay after all."""
        self.stayed.add(group)
        self._order(f"stays {group}", Stay(Group(group)), told)

    def declare(self, group: str, position: int, told: Told = _nothing) -> None:
        """Let the regional admin say that a group has left."""
        self.declared.add((group, position))
        self.direct.add((group, position))
        order = DeclareLeft(Group(group), position)
        self._order(f"declares {group} {position}", order, told)

    # Sharing.

    def tell(self, group: str, rule: str, told: Told = _nothing) -> None:
        """Let all be told what each would take over of what a group leaves."""
        self.told.add(group)
        order = TellShares(Group(group), SharingRule(rule))
        self._order(f"tells {group} {rule}", order, told)

    def share(self, group: str, told: Told = _nothing) -> None:
        """Let the regional admin decide what was told last of a group."""
        rows = self.federation.hub.database.table("shared").values()
        known = [row for row in rows if row["group_name"] == group]
        if not known:
            self.world.note(f"admin shares {group}")
            return
        newest = max(known, key=lambda row: int(row["place"]))
        order = ShareDebt(Group(group), newest["shared_id"])
        self._order(f"shares {group}", order, told)

    def agree(self, rule: str, rate: int, threshold: int) -> None:
        """Have the hub start anew with the rules that the groups agreed on."""
        self.world.note(f"admin agrees {rule} {rate} {threshold}")
        self.world.tell("the groups agree: {} {} {}", rule, rate, threshold)
        hub = self.federation.hub
        hub.has_new_settings()
        hub.agreed = Agreed(
            rule=None if rule == "none" else SharingRule(rule),
            charge=ChargeRule(rate=rate, threshold=threshold),
        )
        hub.crash("to start with other settings")

    def uncap(self, payer: str, payee: str) -> None:
        """Let the regional admin end a cap."""
        order = SetCap(
            payer=Group(payer),
            payee=Group(payee),
            milliseconds=None,
            author="@admin",
            reason="agreed",
        )
        self._order(f"uncaps {payer} {payee}", order, _nothing)

    # Two admins.

    def request(self, admin: str, words: str, act: Any, told: Told = _nothing) -> None:
        """Let an admin ask for another's word on a dangerous act."""
        self.requested.append((admin, act))
        if isinstance(act, DeclareLeft):
            self.declared.add((act.group, act.position))
        self._say(
            admin, f"requests {words}", AskConsent(act, admin, frozenset(ADMINS)), told
        )

    def consent(self, admin: str, number: int, told: Told = _nothing) -> None:
        """Let an admin give her word."""
        self.consented.add((number, admin))
        order = GiveConsent(number, admin, frozenset(ADMINS))
        self._say(admin, f"consents {number}", order, told)

    def withdraw(self, admin: str, number: int, told: Told = _nothing) -> None:
        """Let an admin take back what was asked."""
        self._say(admin, f"withdraws {number}", WithdrawConsent(number, admin), told)

    def _order(self, words: str, order: object, told: Told) -> None:
        self._say("admin", words, order, told)

    def _say(self, who: str, words: str, order: object, told: Told) -> None:
        self.world.note(f"{who} {words}")
        self.world.tell("{} {}", who, words)
        self.federation.hub.submit(order, self._answer(order, told))

    def _answer(self, order: object, told: Told) -> Told:
        def answer(outcome: object) -> None:
            self.world.tell("it is answered: {}", outcome)
            if outcome is not UNKNOWN:
                self.on_told(order, outcome)
            told(outcome)

        return answer


def act_of(words: list[str], people: Any) -> object:
    """Read a dangerous act: ``left gent -5``, ``release gent``, ``limits gent 0 5``."""
    match words:
        case ["left", group, position]:
            return DeclareLeft(Group(group), int(position))
        case ["release", group]:
            return Release(Group(group))
        case ["limits", group, floor, ceiling]:
            low, high = int(floor), int(ceiling)
            people.limits["hub", group].add((low, high))
            return Limit(Group(group), low, high, even_outside=True)
        case _:
            raise AssertionError(f"nobody asks for this: {words}")


def is_deed(verb: str) -> bool:
    """Say whether a line of a script is about a group's life."""
    return verb in LIFE_DEEDS


def play_deed(people: Any, subject: str, verb: str, rest: list[str]) -> None:
    """Do what a line of a script says; ``people`` are all of them."""
    lives: LifePeople = people.lives
    match verb:
        case "wishes":
            lives.wish(subject)
        case "declares":
            lives.declare(rest[0], int(rest[1]))
        case "agrees":
            lives.agree(rest[0], int(rest[1]), int(rest[2]))
        case "requests":
            lives.request(subject, " ".join(rest), act_of(rest, people))
        case "consents" | "withdraws":
            deed = lives.consent if verb == "consents" else lives.withdraw
            deed(subject, int(rest[0]))
        case _:
            plain: dict[str, Callable[..., None]] = {
                "begins": lives.begin,
                "stays": lives.stay,
                "tells": lives.tell,
                "shares": lives.share,
                "uncaps": lives.uncap,
            }
            plain[verb](*rest)
