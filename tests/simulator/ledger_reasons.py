"""Looks at every "no" that a treasurer hears on her own ledger: it must be true.

As ``reasons`` does for payments: where the same batch has changed an account, how it
stood in the middle of that is not known, and nothing is said.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.simulator.ledger_people import Errand
from tests.simulator.reasons import Before
from tests.simulator.servers import Server

if TYPE_CHECKING:
    from tests.simulator.checker import Checker

_FOR_PEOPLE = ("fund", "suspense")


class Refusals:
    """Judges what treasurers are refused."""

    def __init__(self, checker: "Checker") -> None:
        self._checker = checker
        #: By node, what its newest batch has changed.
        self._first: dict[str, Before] = {}

    def look(self, server: Server, first: Before) -> None:
        """Know what a batch has changed."""
        self._first[server.name] = first

    def look_at_word(self, node: Server, errand: Errand) -> None:
        """Look at a "no" as it is said; one that is said again may be of old."""
        told = f"{node.name}'s {errand.key} ({errand.verb} {errand.words})"
        match errand.told:
            case "malformed":
                is_true = _is_malformed(errand)
            case "other-body":
                errands = self._checker.people.ledgers.errands
                named = [(one.group, one.key) for one in errands]
                is_true = named.count((errand.group, errand.key)) > 1
            case "missing":
                is_true = self._is_missing(node, errand)
            case _:
                is_true = errand.tries > 1 or self._is_true(node, errand)
        self._checker.demand(
            so=is_true, told=f"{told}: {errand.told} {errand.code}, untruly"
        )

    def _is_missing(self, node: Server, errand: Errand) -> bool:
        if errand.verb == "undoes":
            return errand.target not in node.database.table("entry by id")
        return errand.words.split()[0] not in self._accounts(node)

    def _accounts(self, node: Server) -> Mapping[str, Any]:
        return node.database.table("account")

    def _is_true(self, node: Server, errand: Errand) -> bool:
        name = errand.account
        row = self._accounts(node).get(name)
        if name is not None and ("account", name) in self._first.get(node.name, {}):
            return True
        if errand.lawful and name not in dict(errand.lawful[-1]):
            # She stands in nobody's way who is not on it.
            return False
        is_member = row is not None and row["kind"] == "member"
        match errand.code:
            case "no-such-account":
                return not is_member
            case "not-for-people":
                return row is not None and not is_member and name not in _FOR_PEOPLE
            case "member-closed" | "member-frozen" as code:
                return bool(row and row[code.removeprefix("member-")])
            case "member-floor" | "member-ceiling":
                return self._is_at_limit(errand, row)
        return self._is_true_of_standing(node, errand, row)

    def _is_at_limit(self, errand: Errand, row: Any) -> bool:
        if not errand.lawful:
            # What is undone asks no limit, and a standing is none.
            return False
        amount = dict(errand.lawful[-1]).get(row["account_id"], 0)
        if errand.code == "member-floor":
            free = row["balance"] - row["held_out"] + amount
            return amount < 0 and row["floor"] is not None and free < row["floor"]
        full = row["balance"] + row["held_in"] + amount
        return amount > 0 and row["ceiling"] is not None and full > row["ceiling"]

    def _is_true_of_standing(self, node: Server, errand: Errand, row: Any) -> bool:
        match errand.code:
            case "name-taken" | "name-reserved" | "limits-not-around-zero":
                return _is_no_admission(errand, row)
            case "balance-not-zero":
                return bool(row["balance"]) and "fund" not in errand.words
            case "still-held":
                return bool(row["held_out"] or row["held_in"])
            case "limits-crossed":
                return _are_crossed(errand, row)
            case "account-twice":
                return errand.words.split().count(row["account_id"]) > 1
            case _:
                return self._is_true_of_entry(node, errand)

    def _is_true_of_entry(self, node: Server, errand: Errand) -> bool:
        id_, accounts = errand.target, self._accounts(node)
        payment = node.database.table("transfer").get(id_)
        match errand.code:
            case "between-groups":
                return any(
                    accounts[name]["kind"] != "member" and name not in _FOR_PEOPLE
                    for name in self._checker.amounts(node, id_)
                )
            case "corrected-before":
                return id_ in node.database.table("correction")
            case "refunded-before":
                backs = [
                    one
                    for one in node.database.table("transfer").values()
                    if one["refund_of"] == id_ and one["state"] != "refused"
                ]
                return bool(backs or (payment and payment["refund_of"]))
        return False


def _are_crossed(errand: Errand, row: Any) -> bool:
    """Say whether some line about an account puts its floor above its ceiling."""
    words = errand.words.split()
    for name, floor, _, ceiling in zip(*(words[at::4] for at in range(4)), strict=True):
        low = row["floor"] if floor == "same" else floor
        high = row["ceiling"] if ceiling == "same" else ceiling
        are_both = name == row["account_id"] and not {low, high} & {None, "none"}
        if are_both and int(low) > int(high):
            return True
    return False


def _is_malformed(errand: Errand) -> bool:
    """Say whether what she wrote is no entry at all, whatever accounts there are."""
    if errand.verb not in ("books", "spreads"):
        return False
    lines = errand.lawful[-1]
    names = [name for name, _ in lines]
    return (
        len(lines) < 2
        or sum(amount for _, amount in lines) != 0
        or any(amount == 0 for _, amount in lines)
        or len(set(names)) < len(names)
    )


def _is_no_admission(errand: Errand, row: Any) -> bool:
    name, floor, _, ceiling = errand.words.split()
    if errand.code == "name-taken":
        return row is not None
    if errand.code == "name-reserved":
        return name in ("clearing", "fund", "suspense", "settlement", "shared")
    high = 0 if floor == "none" else int(floor)
    low = 0 if ceiling == "none" else int(ceiling)
    return high > 0 or low < 0
