"""Looks at what treasurers do: booked once and as wished, undone once and exactly.

It knows what each treasurer wrote (``ledger_people``) and reads rows. An entry by hand
is there only while somebody asks for it, moves just what she wrote, and asks limits
(``checker``); what undoes one is its negation, once, whatever the limits are. A floor,
a ceiling, a freeze, a closing comes only while somebody asks for just that.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from protocol.instant import from_datetime
from tests.simulator.ledger_people import TREASURER, Errand
from tests.simulator.ledger_reasons import Refusals
from tests.simulator.reasons import Before
from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

#: The node's own accounts on which a person may book.
FOR_PEOPLE = ("fund", "suspense")
_STANDING = ("floor", "ceiling", "frozen", "closed")
#: Kinds of entries that a person has asked for.
_BY_HAND, _UNDOING = "by-hand", "correction"
#: Acts by which a member stands otherwise.
_CHANGES = ("member-admitted", "member-changed", "limits-changed")
_BOOKS = ("books", "spreads", "undoes")


class LedgerWatch:
    """Watches what treasurers do in one simulated federation."""

    def __init__(self, checker: "Checker") -> None:
        self._checker, self._people = checker, checker.people.ledgers
        self._people.on_told = self._on_told
        self._refusals = Refusals(checker)
        self._errands: dict[tuple[str, str], Errand] = {}
        self._known = 0

    def _demand(self, *, so: bool, told: str) -> None:
        self._checker.demand(so=so, told=told)

    def _is_liar(self, name: str) -> bool:
        return name in self._checker.doubted and name not in self._checker.restored

    def _errand(self, group: str, reason: str | None) -> Errand | None:
        """Find whose words stand beside an entry."""
        for errand in self._people.errands[self._known :]:
            self._errands[errand.group, errand.reason] = errand
        self._known = len(self._people.errands)
        return self._errands.get((group, reason or ""))

    # At every commit.

    def look(self, server: Server, first: Before) -> None:
        """Look at what a batch has booked by hand, and how members stand since."""
        if server is self._checker.federation.hub:
            return
        self._refusals.look(server, first)
        is_liar = self._is_liar(server.name)
        for (name, key), before in first.items():
            if name == "entry":
                self._look_at_entry(server, server.database.table(name)[key])
            elif name == "member limit" and not is_liar:
                self._look_at_note(server, server.database.table(name)[key])
            elif name == "account" and not is_liar:
                now = server.database.table(name)[key]
                if now["kind"] == "member":
                    self._look_at_standing(server, first, before, now)

    def _look_at_entry(self, node: Server, row: Any) -> None:
        told = f"{node.name} books {row['entry_id']} ({row['kind']})"
        is_undoing = row["kind"] == _UNDOING
        self._demand(
            so=is_undoing == (row["corrects"] is not None),
            told=f"{told}, which corrects {row['corrects']}",
        )
        if row["kind"] not in (_BY_HAND, _UNDOING):
            return
        errand = self._errand(node.name, row["reason"])
        self._demand(
            so=errand is not None and errand.is_asked,
            told=f"{told}, and nobody asks for that",
        )
        assert errand is not None
        at = node.clock.now()
        self._demand(
            so=(row["author"], from_datetime(row["at"])) == (TREASURER, at),
            told=f"{told} in another's name, or at another time",
        )
        entries = node.database.table("entry").values()
        times = sum(one["reason"] == row["reason"] for one in entries)
        # Closing has no key: who shuts twice may leave something twice.
        most = 1 if _has_key(errand) else errand.tries
        self._demand(so=times <= most, told=f"{told} for {errand.key} {times} times")
        moved = self._checker.amounts(node, row["entry_id"])
        self._demand(so=not sum(moved.values()), told=f"{told}: {moved} is not zero")
        accounts = node.database.table("account")
        others = [
            name
            for name in moved
            if accounts[name]["kind"] != "member" and name not in FOR_PEOPLE
        ]
        self._demand(so=not others, told=f"{told} on {others}, not for people")
        if is_undoing:
            self._look_at_undoing(node, errand, row, moved)
        elif errand.verb == "shuts":
            self._look_at_rest(node, errand, row, moved)
        else:
            lawful = [
                lines for lines in errand.lawful if len(dict(lines)) == len(lines)
            ]
            self._demand(
                so=errand.verb in ("books", "spreads")
                and moved in [dict(lines) for lines in lawful],
                told=f"{told}: {moved} where {errand.words} was asked",
            )

    def _let_pass(self, moved: dict[str, int]) -> None:
        """What undoes an entry, or empties an account, asks no limit."""
        for name, amount in moved.items():
            self._checker.settled[name, amount > 0] += abs(amount)

    def _look_at_undoing(
        self, node: Server, errand: Errand, row: Any, moved: dict[str, int]
    ) -> None:
        """It is the exact negation of what was meant, once, and of nothing shared."""
        database, id_ = node.database, row["corrects"]
        told = f"{node.name} undoes {id_}"
        self._demand(
            so=errand.verb == "undoes" and id_ == errand.target,
            told=f"{told} where {errand.words} was asked",
        )
        place = database.table("entry by id").get(id_)
        self._demand(
            so=place is not None and place < row["sequence"],
            told=f"{told}, which was not there",
        )
        negation = {
            name: -amount for name, amount in self._checker.amounts(node, id_).items()
        }
        self._demand(so=moved == negation, told=f"{told} by {moved}, not {negation}")
        entries = database.table("entry").values()
        times = sum(one["corrects"] == id_ for one in entries)
        self._demand(so=times == 1, told=f"{told} {times} times")
        payment = database.table("transfer").get(id_)
        if payment is not None:
            backs = [
                one["transfer_id"]
                for one in database.table("transfer").values()
                if one["refund_of"] == id_ and one["state"] != "refused"
            ]
            self._demand(
                so=not backs and payment["refund_of"] is None,
                told=f"{told}, given back by {backs}, or a refund itself",
            )
            self._demand(
                so=payment["refunded"] == payment["milliseconds"],
                told=f"{told}, and it may be given back on top",
            )
        self._let_pass(moved)

    def _look_at_rest(
        self, node: Server, errand: Errand, row: Any, moved: dict[str, int]
    ) -> None:
        """Who leaves something leaves all of it, and to the fund."""
        member, *to = errand.words.split()
        told = f"{node.name} shuts {member} and books {moved}"
        self._demand(
            so=to == ["fund"] and moved.keys() == {member, "fund"},
            told=f"{told} where {errand.words} was asked",
        )
        _, after = node.database.table(("posting", member))[row["sequence"]]
        self._demand(so=after == 0, told=f"{told}, which leaves {after}")
        now = node.database.table("account")[member]
        is_open = now["closed"] or self._is_asked(node.name, member, "closed", False)
        self._demand(so=is_open, told=f"{told}, and she stays")
        self._let_pass(moved)

    def _is_asked(self, group: str, member: str, name: str, value: Any) -> bool:
        """Say whether a change that makes it so lies in the node's inbox."""
        asked = self._people.pending[group, member]
        return any(name in one and one[name] == value for one in asked)

    def _look_at_standing(
        self, node: Server, first: Before, before: Any, now: Any
    ) -> None:
        """How a member stands follows what is asked now, and is kept for ever."""
        name = now["account_id"]
        told = f"{name}@{node.name}"
        if before is None:
            is_wished = name in node.home.members or any(  # type: ignore[attr-defined]
                errand.verb == "admits"
                and errand.is_asked
                and (errand.group, errand.words.split()[0]) == (node.name, name)
                for errand in self._people.errands
            )
            self._demand(so=is_wished, told=f"{told} was admitted by nobody")
        changed = [one for one in _STANDING if before and before[one] != now[one]]
        wrong = [
            one for one in changed if not self._is_asked(node.name, name, one, now[one])
        ]
        self._demand(
            so=not wrong,
            told=f"{told}: nobody asks now for {[(one, now[one]) for one in wrong]}",
        )
        if changed or before is None:
            self._look_at_newest_note(node, now, told)
        if not now["closed"]:
            return
        left = now["balance"], now["held_out"], now["held_in"]
        self._demand(so=not any(left), told=f"{told} is closed and not empty: {left}")
        is_moved = (
            before and before["closed"] and ("posting", name) in {k for k, _ in first}
        )
        self._demand(
            so=not is_moved or self._is_asked(node.name, name, "closed", False),
            told=f"{told} is closed, and something moves there",
        )

    def _look_at_note(self, node: Server, row: Any) -> None:
        """It is kept who changed a member, and in which words, where she gave any."""
        name, author, reason = row[0], row[1], row[7]
        told = f"{name}@{node.name} is changed by {author}, {reason}"
        asked = [
            errand
            for errand in self._people.errands
            if errand.is_asked and errand.group == node.name
        ]
        if reason is not None:
            is_so = reason in [errand.reason for errand in asked]
        elif any(errand.verb == "admits" for errand in asked):
            is_so = True
        else:
            # Somebody may change a member and say nothing, or have let her in at first.
            said = [id(one) for errand in asked for one in errand.changes.values()]
            wished = self._people.pending[node.name, name]
            is_so = author is None or any(id(one) not in said for one in wished)
        self._demand(
            so=is_so and author in (None, TREASURER), told=f"{told}; nobody said that"
        )

    def _look_at_newest_note(self, node: Server, now: Any, told: str) -> None:
        """The newest line about a member says how she stands."""
        rows = reversed(node.database.table("member limit").values())
        newest = next((row for row in rows if row[0] == now["account_id"]), None)
        stands = tuple(now[one] for one in _STANDING)
        said = newest and newest[3:7]
        self._demand(
            so=said == stands, told=f"{told} stands at {stands}; noted is {said}"
        )

    # What treasurers are told.

    def _booked(self, node: Server, errand: Errand) -> list[str]:
        return [
            row["entry_id"]
            for row in node.database.table("entry").values()
            if row["reason"] == errand.reason
        ]

    def _on_told(self, errand: Errand) -> None:
        """A yes is so, a no has left nothing, and is true."""
        if errand.group in self._checker.doubted:
            return
        node = self._checker.federation.nodes[errand.group]
        self._look_at_word(node, errand)
        if errand.told not in ("done", "unknown"):
            self._refusals.look_at_word(node, errand)

    def _look_at_word(self, node: Server, errand: Errand) -> None:
        told = f"{node.name}'s {errand.key} ({errand.verb} {errand.words})"
        booked = self._booked(node, errand)
        # What has no key may have been done before she was told no, and heard nothing.
        is_fresh = errand.tries == 1 or _has_key(errand)
        is_no = is_fresh and not errand.was_done and errand.told != "unknown"
        self._demand(
            so=not (errand.was_done and errand.noes) or not _has_key(errand),
            told=f"{told} was told yes and no",
        )
        self._demand(
            so=len(errand.noes) <= 1 or not _has_key(errand),
            told=f"{told} was told no for several reasons: {errand.noes}",
        )
        if errand.told == "done" and errand.verb in _BOOKS:
            self._demand(
                so=booked == [errand.entry_id],
                told=f"{told} is told {errand.entry_id}, booked is {booked}",
            )
        elif is_no:
            self._demand(so=not booked, told=f"{told}: {errand.told}, and {booked}")
        noted = [
            row[:7]
            for row in node.database.table("member limit").values()
            if row[7] == errand.reason
        ]
        self._demand(
            so=not (is_no and noted), told=f"{told}: {errand.told}, and {noted}"
        )
        if errand.told == "done" and errand.verb == "admits":
            self._demand(
                so=errand.words.split()[0] in node.database.table("account"),
                told=f"{told} is told yes, and is not there",
            )

    # At the quiet end.

    def at_the_end(self) -> None:
        """What was told is still so, and for each entry its act is noted."""
        for errand in self._people.errands:
            node = self._checker.federation.nodes[errand.group]
            if node.name in self._checker.doubted:
                continue
            if _has_key(errand):
                self._look_at_word(node, errand)
        for node in self._checker.federation.nodes.values():
            self._look_at_acts(node)

    def _look_at_acts(self, node: Server) -> None:
        """For each entry, and each line about a member, it is noted who did it."""
        database = node.database
        acts = [
            (author, deed, about, reason, msgspec.json.decode(details))
            for author, deed, about, details, reason, _ in database.table(
                "act"
            ).values()
        ]
        booked = [
            (author, deed, about, reason, said["postings"], said["total"])
            for author, deed, about, reason, said in acts
            if deed in ("entry-booked", "entry-corrected")
        ]
        due = []
        for row in database.table("entry").values():
            errand = self._errand(node.name, row["reason"])
            if errand is not None and errand.verb != "shuts":
                is_undoing = row["corrects"] is not None
                deed = "entry-corrected" if is_undoing else "entry-booked"
                about = row["corrects"] or row["entry_id"]
                moved = self._checker.amounts(node, row["entry_id"]).values()
                size = len(moved), sum(one for one in moved if one > 0)
                due.append((TREASURER, deed, about, row["reason"], *size))
        self._demand(
            so=booked == due, told=f"{node.name} has noted {booked}; booked is {due}"
        )
        changed = [
            (author, about, reason)
            for author, deed, about, reason, _ in acts
            if deed in _CHANGES
        ]
        notes = [
            (row[1], row[0], row[7]) for row in database.table("member limit").values()
        ]
        self._demand(
            so=changed == notes,
            told=f"{node.name} has acts {changed} of what it did, {notes}",
        )


def _has_key(errand: Errand) -> bool:
    """Say whether it is answered again as it was, however often it is asked."""
    return errand.verb in (*_BOOKS, "admits")
