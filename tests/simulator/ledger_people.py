"""What treasurers do on their own ledgers: by hand, undone again, for one and for many.

Each deed notes itself in the world's script, in words that ``replay`` reads again:

    gent            books     marie -5 bob 5 as hand-1    # by hand
    gent            spreads   -2 all as hand-2            # on many, and on the fund
    gent            spreads   3 marie bob as hand-3
    gent            undoes    hand-1 as hand-4            # an entry, or an undoing
    gent            undoes    marie:key-2 as hand-5       # a payment of marie's
    gent            shuts     marie as hand-6
    gent            shuts     marie fund as hand-7        # the fund has her balance
    gent            reopens   marie as hand-8
    gent            bounds    marie -5 .. same as hand-9  # one limit alone
    gent            bounds_many marie none .. 9 bob -3 .. same as hand-10
    gent            admits    carl -5 .. 5 as hand-11
    gent            repeats   hand-1                      # whatever she was told

What is wrong with a deed is for the office and the rules to find: nothing here looks.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from nodes.bulk import MassWish
from nodes.rules import Foreseen, LimitLine, MemberChange, NewMember
from protocol.errors import MalformedMessageError
from protocol.ledger import Posting
from protocol.peer.ledger_store import BookedEntry
from protocol.peer.web.problems import Problem
from tests.protocol.makers import hash_of
from tests.simulator.office import Office, Work
from tests.simulator.servers import UNKNOWN

if TYPE_CHECKING:
    from tests.simulator.federation import Federation
    from tests.simulator.members import People

TREASURER = "treasurer"
#: Whom treasurers admit in mid-trade.
NEWCOMERS = ("carl", "dora")
#: What ``play_deed`` knows.
LEDGER_DEEDS = (
    "books",
    "spreads",
    "undoes",
    "shuts",
    "reopens",
    "bounds",
    "bounds_many",
    "admits",
    "repeats",
)
#: An entry that nobody ever booked.
_NO_ENTRY = "00000000-0000-4000-8000-000000000000"
Limit = int | UnsetType | None
Bounds = tuple[str, Limit, Limit]
#: Accounts and what moves on each, minor units.
Lines = tuple[tuple[str, int], ...]


@dataclass
class Errand:
    """What a treasurer wished on her ledger, and what she was told of it.

    Attributes:
        verb: one of ``LEDGER_DEEDS``.
        words: the rest of its line.
        key: the idempotency key, where its kind has one; its name in any case.
        reason: what she writes beside it; no other errand's is the same.
        lawful: what may be booked of it, by what she wrote and whom she met.
        target: the entry that is to be undone.
        changes: by account, what is to become of it.
        told: ``unknown``, ``done``, ``refused``, ``missing``, ``malformed`` or
            ``other-body``.
        code: why it was refused.
        account: on whose account, where that was said.
        noes: all that she was ever told so, code and account.
        entry_id: what was booked, as she was told.
        waiting: how often it lies in the inbox of her node.
    """

    group: str
    verb: str
    words: str
    key: str
    reason: str
    lawful: list[Lines] = field(default_factory=list)
    target: str = ""
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    work: Callable[["Errand"], Work] = field(init=False)
    told: str = "unknown"
    was_done: bool = False
    code: str = ""
    account: str | None = None
    noes: set[tuple[str, str | None]] = field(default_factory=set)
    entry_id: str = ""
    tries: int = 0
    waiting: int = 0

    @property
    def is_asked(self) -> bool:
        """Say whether her node has it before it, and has not answered all of it."""
        return self.waiting > 0

    def remember(self) -> None:
        """Keep what was said of it, also when it is asked again."""
        self.was_done |= self.told == "done"
        if self.told == "refused":
            self.noes.add((self.code, self.account))


class LedgerPeople:
    """The treasurers of all groups, at their own ledgers.

    Attributes:
        errands: all of them, oldest first.
        on_told: told of each answer, also of none.
    """

    def __init__(self, federation: "Federation", everyone: "People") -> None:
        self._everyone = everyone
        self.federation, self.world = federation, federation.world
        self.offices = {group: Office(node) for group, node in federation.nodes.items()}
        self.errands: list[Errand] = []
        self.on_told: Callable[[Errand], None] = lambda _: None
        #: By group and account: changes that a node has before it, undecided.
        self.pending: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._keys: Counter[str] = Counter()

    # By hand.

    def book(
        self, group: str, postings: Sequence[tuple[str, int]], key: str = ""
    ) -> Errand:
        """Book what is written out by hand."""
        words = " ".join(f"{name} {amount}" for name, amount in postings)
        errand = self._errand(group, "books", words, key)
        errand.lawful.append(tuple(postings))
        lines = [Posting(name, amount) for name, amount in postings]
        office = self.offices[group].treasurer
        return self._begin(
            errand, lambda it: office.book(TREASURER, it.key, lines, it.reason)
        )

    def spread(
        self, group: str, each: int, accounts: Sequence[str] | None, key: str = ""
    ) -> Errand:
        """Book as much on many accounts; the fund gives it, or has it."""
        words = f"{each} {' '.join(accounts) if accounts else 'all'}"
        errand = self._errand(group, "spreads", words, key)
        office = self.offices[group].bulk

        def work(it: Errand) -> Work:
            names = self._active(group) if accounts is None else accounts
            members = tuple((name, each) for name in names)
            it.lawful.append((*members, ("fund", -each * len(members))))
            wish = MassWish(
                each=each,
                accounts=None if accounts is None else tuple(accounts),
                postings=None,
                reason=it.reason,
            )
            return office.book_mass(TREASURER, it.key, wish)

        return self._begin(errand, work)

    def _active(self, group: str) -> list[str]:
        return [
            name
            for name, row in self.federation.nodes[group]
            .database.table("account")
            .items()
            if row["kind"] == "member" and not (row["frozen"] or row["closed"])
        ]

    def undo(self, group: str, what: str, key: str = "") -> Errand:
        """Take an entry back: what stands under a key, or a payment of a member's."""
        errand = self._errand(group, "undoes", what, key)
        office = self.offices[group].treasurer

        def work(it: Errand) -> Work:
            it.target = it.target or self.entry_of(group, what)
            entry_id = it.target or _NO_ENTRY
            return office.correct(TREASURER, it.key, entry_id, it.reason)

        return self._begin(errand, work)

    def entry_of(self, group: str, what: str) -> str:
        """Find an entry, as people do in the list of all; nothing: there is none."""
        database = self.federation.nodes[group].database
        member, is_payment, key = what.partition(":")
        if is_payment:
            for wish in self._everyone.wishes:
                if (wish.group, wish.member, wish.key) == (group, member, key):
                    return wish.transfer_id
            return ""
        row = database.table("idempotency").get((TREASURER, what))
        return str(row["entry_id"] or "") if row else ""

    # Members.

    def shut(
        self, group: str, member: str, key: str = "", *, to_fund: bool = False
    ) -> Errand:
        """Close a member's account, perhaps leaving what stands on it to the fund."""
        words = f"{member}{' fund' if to_fund else ''}"
        errand = self._errand(group, "shuts", words, key)
        office = self.offices[group]

        def work(it: Errand) -> Work:
            entry_id = office.new_id() if to_fund else None
            return self._change(it, member, to_fund=entry_id, closed=True)

        return self._begin(errand, work, {member: {"closed": True}})

    def reopen(self, group: str, member: str, key: str = "") -> Errand:
        """Open a closed account again."""
        errand = self._errand(group, "reopens", member, key)
        wished = {"closed": False}
        return self._begin(
            errand, lambda it: self._change(it, member, **wished), {member: wished}
        )

    def bound(
        self, group: str, member: str, floor: Limit, ceiling: Limit, key: str = ""
    ) -> Errand:
        """Set both limits of a member, or one alone."""
        words = _words_of_bounds([(member, floor, ceiling)])
        errand = self._errand(group, "bounds", words, key)
        wished = _said(floor, ceiling)
        return self._begin(
            errand, lambda it: self._change(it, member, **wished), {member: wished}
        )

    def bound_many(self, group: str, lines: Sequence[Bounds], key: str = "") -> Errand:
        """Set limits of many members: all of them, or none."""
        errand = self._errand(group, "bounds_many", _words_of_bounds(lines), key)
        changes: dict[str, dict[str, Any]] = {}
        for member, floor, ceiling in lines:
            changes[member] = _said(floor, ceiling)
        asked = [
            LimitLine(row=row, account_id=member, floor=floor, ceiling=ceiling)
            for row, (member, floor, ceiling) in enumerate(lines, 1)
        ]
        office = self.offices[group].bulk
        return self._begin(
            errand,
            lambda it: office.change_limits(asked, TREASURER, it.reason),
            changes,
        )

    def admit(
        self,
        group: str,
        member: str,
        floor: int | None,
        ceiling: int | None,
        key: str = "",
    ) -> Errand:
        """Open an account for somebody new."""
        words = _words_of_bounds([(member, floor, ceiling)])
        errand = self._errand(group, "admits", words, key)
        # Of who is there already nothing may change.
        self._everyone.limits.setdefault((group, member), set()).add((floor, ceiling))
        asked = NewMember(
            account_id=member,
            name=member.title(),
            floor=floor,
            ceiling=ceiling,
            author=TREASURER,
            key=errand.key,
            body_hash=hash_of(errand.reason),
        )
        office = self.offices[group].treasurer
        return self._begin(errand, lambda _: office.admit(asked))

    async def _change(self, errand: Errand, member: str, **wished: Any) -> None:
        """Find her first, as the API does."""
        office = self.offices[errand.group].treasurer
        found = await office.member(member)
        change = MemberChange(
            account_id=found.account.account_id,
            author=TREASURER,
            reason=errand.reason,
            **wished,
        )
        await office.change(change)

    def _allow(self, errand: Errand) -> None:
        """Know every pair of limits that may come of it, also when it is asked late."""
        for member, said in errand.changes.items():
            known = self._everyone.limits.setdefault((errand.group, member), set())
            known |= {
                (said.get("floor", floor), said.get("ceiling", ceiling))
                for floor, ceiling in known
            }

    # All of them.

    def repeat(self, group: str, key: str) -> None:
        """Ask again, whatever came of it before."""
        for errand in self.errands:
            if (errand.group, errand.key) == (group, key):
                self.world.note(f"{group} repeats {key}")
                self.ask(errand)
                return

    def _errand(self, group: str, verb: str, words: str, key: str) -> Errand:
        self._keys[group] += 1
        key = key or f"hand-{self._keys[group]}"
        reason = f"{verb} {key}, errand {len(self.errands) + 1}"
        return Errand(group, verb, words, key, reason)

    def _begin(
        self,
        errand: Errand,
        work: Callable[[Errand], Work],
        changes: dict[str, dict[str, Any]] | None = None,
    ) -> Errand:
        errand.work, errand.changes = work, changes or {}
        self.errands.append(errand)
        self.world.note(f"{errand.group} {errand.verb} {errand.words} as {errand.key}")
        self.ask(errand)
        return errand

    def ask(self, errand: Errand) -> None:
        """Bring an errand to the office."""
        errand.tries += 1
        errand.told = "unknown"
        errand.waiting += 1
        self._allow(errand)
        told = "the treasurer of {} {} {} ({})"
        self.world.tell(told, errand.group, errand.verb, errand.words, errand.key)
        newest = self.begin_change(errand.group, errand.changes)
        self.offices[errand.group].do(
            errand.work(errand), lambda outcome: self._note(errand, outcome, newest)
        )

    def begin_change(
        self, group: str, changes: dict[str, dict[str, Any]]
    ) -> Callable[[], dict[str, dict[str, Any]]]:
        """Know that a node has changes of members before it.

        What is given ends that, and says of which members no later change is under
        way or done: what was asked of them must be so when it was answered with yes.
        """
        numbers = {}
        for member, wished in changes.items():
            self.pending[group, member].append(wished)
            self._everyone.changes[f"{member}@{group}"] += 1
            numbers[member] = self._everyone.changes[f"{member}@{group}"]

        def end() -> dict[str, dict[str, Any]]:
            for member, wished in changes.items():
                self.pending[group, member].remove(wished)
            return {
                member: wished
                for member, wished in changes.items()
                if self._everyone.changes[f"{member}@{group}"] == numbers[member]
            }

        return end

    def _note(
        self, errand: Errand, outcome: object, end: Callable[[], dict[str, Any]]
    ) -> None:
        """Keep what she was told."""
        errand.waiting -= 1
        match outcome:
            case Problem():
                _keep_no(errand, outcome)
            case BookedEntry(entry=entry):
                errand.told, errand.entry_id = "done", entry.entry_id
            case Foreseen(wrong=(first, *_)):
                errand.told, errand.code = "refused", first.code.value
                errand.account = first.account_id
            case None | Foreseen():
                errand.told = "done"
            case MalformedMessageError():
                errand.told = "malformed"
            case _:
                assert outcome is UNKNOWN, outcome
        errand.remember()
        said = f"{errand.told} {errand.code if errand.told == 'refused' else ''}"
        self.world.tell("{}'s {} is {}", errand.group, errand.key, said)
        standing = end()
        self.on_told(errand)
        if errand.told == "done":
            for member, wished in standing.items():
                self._everyone.on_changed(errand.group, member, wished)


def _keep_no(errand: Errand, no: Problem) -> None:
    """Keep why an office does not do something."""
    words = {"idempotency-key-reused": "other-body", "not-found": "missing"}
    errand.told, errand.code = words.get(no.kind, no.kind), str(no.code)
    account = no.extra.get("account")
    errand.account = None if account is None else str(account)


def _said(floor: Limit, ceiling: Limit) -> dict[str, Any]:
    both = {"floor": floor, "ceiling": ceiling}
    return {name: value for name, value in both.items() if value is not UNSET}


def _words_of_bounds(lines: Iterable[Bounds]) -> str:
    return " ".join(
        f"{member} {_word(floor)} .. {_word(ceiling)}"
        for member, floor, ceiling in lines
    )


def _word(limit: Limit) -> str:
    if isinstance(limit, UnsetType):
        return "same"
    return "none" if limit is None else str(limit)


def _limit(word: str) -> Limit:
    return UNSET if word == "same" else None if word == "none" else int(word)


def _bounds(words: Sequence[str]) -> list[Bounds]:
    """Read ``marie -5 .. same bob none .. 9``."""
    return [
        (member, _limit(floor), _limit(ceiling))
        for member, floor, _, ceiling in zip(
            words[::4], words[1::4], words[2::4], words[3::4], strict=True
        )
    ]


def is_deed(verb: str) -> bool:
    """Say whether a line of a script is about a ledger."""
    return verb in LEDGER_DEEDS


def play_deed(people: LedgerPeople, group: str, verb: str, words: list[str]) -> None:
    """Do what a line of a script says."""
    key = ""
    if words[-2:-1] == ["as"]:
        *words, _, key = words
    if verb == "repeats":
        people.repeat(group, words[0])
    elif verb in ("books", "spreads", "undoes"):
        _play_entry(people, group, verb, words, key)
    else:
        _play_member(people, group, verb, words, key)


def _play_entry(
    people: LedgerPeople, group: str, verb: str, words: list[str], key: str
) -> None:
    match verb:
        case "books":
            amounts = map(int, words[1::2])
            people.book(group, list(zip(words[::2], amounts, strict=True)), key)
        case "spreads":
            accounts = None if words[1:] == ["all"] else words[1:]
            people.spread(group, int(words[0]), accounts, key)
        case _:
            people.undo(group, words[0], key)


def _play_member(
    people: LedgerPeople, group: str, verb: str, words: list[str], key: str
) -> None:
    match verb:
        case "shuts":
            people.shut(group, words[0], key, to_fund=words[1:] == ["fund"])
        case "reopens":
            people.reopen(group, words[0], key)
        case "bounds":
            people.bound(group, *_bounds(words)[0], key)
        case "bounds_many":
            people.bound_many(group, _bounds(words), key)
        case _:
            ((member, floor, ceiling),) = _bounds(words)
            assert not isinstance(floor, UnsetType)
            assert not isinstance(ceiling, UnsetType)
            people.admit(group, member, floor, ceiling, key)
