"""What the named queries about cycles answer, over dictionaries.

Beside ``memory_queries``: the tables of ``clearing.cycle_store`` and
``nodes.cycle_store``, with what their triggers and constraints refuse.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.simulator.memory_database import MemoryDatabase, Row, answers, refuse

_HUB = "clearing.cycle_store"
_HUB_SHARED = "clearing.share_store"
_NODE = "nodes.cycle_store"
#: Where a decision stands among those of a node's hub: its log's place, its number.
_Named = tuple[int, int | None]


def mover(database: MemoryDatabase, entry: Row) -> Row:
    """Give the transfer that an entry is of, or the leg, or what was shared by it."""
    made = database.table("transfer").get(entry["transfer_id"])
    if made is not None:
        return made
    # The entry of a leg, or of what is shared, bears its id.
    shared = database.table("shared").get(entry["entry_id"], {})
    return database.table("leg").get(entry["entry_id"], shared)


def _made(database: MemoryDatabase, sequence: int) -> tuple[Row, str | None, Any]:
    """Give an entry, and log and number of the decision that made it, if one did."""
    entry = database.table("entry")[sequence]
    made = mover(database, entry)
    return entry, made.get("log"), made.get("number")


def _place(database: MemoryDatabase, log: str | None, number: int | None) -> int:
    """Give the place of a decision of the hub's own; 0 for none."""
    found = database.table("decision").get((log, number))
    return 0 if found is None else int(found[0])


# The hub: how positions go in the open cycle.


@answers(_HUB, "read_tallied")
def _read_tallied(database: MemoryDatabase) -> list[Row]:
    return [{"sequence": row} for row in database.table("tallied").values()]


@answers(_HUB, "read_tallies")
def _read_tallies(database: MemoryDatabase) -> list[Row]:
    return list(database.table("tally").values())


@answers(_HUB, "read_moves_after")
def _read_moves_after(database: MemoryDatabase, first: int, last: int) -> list[Row]:
    found = []
    for group in sorted(database.table("account")):
        for sequence, (amount, _) in database.table(("posting", group)).items():
            if first < sequence <= last:
                entry, log, number = _made(database, sequence)
                row = {
                    "account_id": group,
                    "entry_id": entry["entry_id"],
                    "amount": amount,
                    "at": entry["at"],
                    "log": log,
                    "number": number,
                }
                found.append((sequence, row))
    return [row for _, row in sorted(found, key=lambda one: one[0])]


@answers(_HUB, "write_tallies")
def _write_tallies(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    names = ("group_name", "opening", "debits", "credits", "count", "digest")
    names += ("area", "since")
    for values in zip(*columns, strict=True):
        database.put("tally", values[0], dict(zip(names, values, strict=True)))


@answers(_HUB, "write_tallied")
def _write_tallied(database: MemoryDatabase, sequence: int) -> None:
    database.put("tallied", True, sequence)


@answers(_HUB, "read_beginning")
def _read_beginning(database: MemoryDatabase) -> list[Row]:
    first = next(iter(database.table("decision").values()), None)
    return [] if first is None else [{"line": first[1]}]


# The hub: cycles that have ended, and statements.

_CYCLE = (
    "cycle",
    "log",
    "number",
    "former_log",
    "former_number",
    "at",
    "groups",
    "statements",
    "reserve",
)


@answers(_HUB, "insert_cycle")
def _insert_cycle(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_CYCLE, values, strict=True))
    if row["cycle"] in database.table("cycle"):
        refuse("cycle_pkey")
    database.put("cycle", row["cycle"], row)


@answers(_HUB, "read_newest_cycle")
def _read_newest_cycle(database: MemoryDatabase) -> list[Row]:
    cycles = database.table("cycle")
    return [cycles[max(cycles)]] if cycles else []


_STATEMENT = (
    "cycle",
    "group_name",
    "line",
    "state",
    "answered_at",
    "answer",
    "dispute",
    "unanswered",
    "difference",
)


@answers(_HUB, "write_statements")
def _write_statements(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(_STATEMENT, values, strict=True))
        key = row["cycle"], row["group_name"]
        before = database.table("statement").get(key)
        if (row["state"] == "waiting") != (row["answered_at"] is None):
            refuse("statement_waits_or_was_answered")
        if before is not None:
            # The line that is there stays, as where it conflicts.
            row |= {"line": before["line"]}
            if before["state"] == "agreed" != row["state"]:
                refuse("statement_never_changes")
        database.put("statement", key, row)
        if row["unanswered"] is None:
            database.drop("unanswered", key)
        else:
            database.put("unanswered", key, row)


@answers(_HUB, "read_named")
def _read_named(
    database: MemoryDatabase, cycles: Sequence[int], groups: Sequence[str]
) -> list[Row]:
    statements = database.table("statement")
    named = dict.fromkeys(zip(cycles, groups, strict=True))
    return [statements[one] for one in named if one in statements]


@answers(_HUB, "read_all_statements")
def _read_all_statements(database: MemoryDatabase, cycle: int) -> list[Row]:
    found = database.table("statement").items()
    return [row for (number, _), row in sorted(found) if number == cycle]


@answers(_HUB, "read_unanswered")
def _read_unanswered(database: MemoryDatabase, after: str, most: int) -> list[Row]:
    oldest: dict[str, Row] = {}
    for (_, group), row in sorted(database.table("unanswered").items()):
        oldest.setdefault(group, row)
    found = sorted(oldest, key=lambda group: (group <= after, group))
    return [oldest[group] for group in found[:most]]


@answers(_HUB, "read_moves")
def _read_moves(
    database: MemoryDatabase,
    group: str,
    former_log: str,
    former: int,
    log: str,
    number: int,
) -> list[Row]:
    first = _place(database, former_log, former)
    last = _place(database, log, number)
    found = []
    for sequence, (amount, _) in database.table(("posting", group)).items():
        entry, of_log, of_number = _made(database, sequence)
        place = _place(database, of_log, of_number)
        if place and first < place <= last:
            row = {
                "log": of_log,
                "number": of_number,
                "entry_id": entry["entry_id"],
                "amount": amount,
            }
            found.append((place, row))
    return [row for _, row in sorted(found, key=lambda one: one[0])]


# The hub: legs.

_LEG = (
    "leg_id",
    "cycle",
    "place",
    "at",
    "debtor",
    "creditor",
    "milliseconds",
    "paid",
    "paid_at",
    "received",
    "received_at",
    "state",
    "log",
    "number",
    "ended_at",
    "code",
)
#: What a leg's row keeps from its first day.
_LEG_KEPT = _LEG[:7]


@answers(_HUB, "write_legs")
def _write_legs(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(_LEG, values, strict=True))
        before = database.table("leg").get(row["leg_id"])
        if before is not None:
            row |= {name: before[name] for name in _LEG_KEPT}
        if (row["state"] == "open") != (row["log"] is None):
            refuse("leg_is_open_or_was_decided")
        if row["state"] == "settled" and None in (row["paid"], row["received"]):
            refuse("leg_settles_when_both_signed")
        if before is None and any(
            (one["cycle"], one["place"]) == (row["cycle"], row["place"])
            for one in database.table("leg").values()
        ):
            refuse("leg_has_one_place")
        database.put("leg", row["leg_id"], row)


def _legs(database: MemoryDatabase, is_wanted: Callable[[Row], bool]) -> list[Row]:
    found = [row for row in database.table("leg").values() if is_wanted(row)]
    return sorted(found, key=lambda row: (row["cycle"], row["place"]))


@answers(_HUB, "read_open_legs")
def _read_open_legs(database: MemoryDatabase) -> list[Row]:
    return _legs(database, lambda row: bool(row["state"] == "open"))


@answers(_HUB, "read_legs")
def _read_legs(database: MemoryDatabase, cycle: int) -> list[Row]:
    return _legs(database, lambda row: bool(row["cycle"] == cycle))


@answers(_HUB, "read_leg")
def _read_leg(database: MemoryDatabase, leg_id: str) -> list[Row]:
    return _legs(database, lambda row: bool(row["leg_id"] == leg_id))


@answers(_HUB, "read_settled_since")
def _read_settled_since(database: MemoryDatabase, log: str, number: int) -> list[Row]:
    since = _place(database, log, number)
    settled = _legs(database, lambda row: bool(row["state"] == "settled"))
    found = [(_place(database, row["log"], row["number"]), row) for row in settled]
    found.sort(key=lambda one: one[0])
    return [row for place, row in found if since and place > since]


@answers(_HUB_SHARED, "read_group_since")
def _read_group_since(database: MemoryDatabase, log: str, number: int) -> list[Row]:
    since = _place(database, log, number)
    decided = [
        (_place(database, row["log"], row["number"]), {"group_name": row["group_name"]})
        for row in database.table("shared").values()
        if row["why"] == "debt" and row["log"] is not None
    ]
    found = [one for one in decided if since and one[0] > since]
    return [row for _, row in sorted(found, key=lambda one: one[0])[-1:]]


@answers(_HUB, "insert_settlement")
def _insert_settlement(database: MemoryDatabase, *values: Any) -> None:
    names = ("cycle", "place", "legs", "at", "excepted")
    row = dict(zip(names, values, strict=True))
    if (row["cycle"], row["place"]) in database.table("settlement"):
        refuse("settlement_pkey")
    database.put("settlement", (row["cycle"], row["place"]), row)


@answers(_HUB, "insert_words")
def _insert_words(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for leg_id, said, party, item in zip(*columns, strict=True):
        if (leg_id, said) in database.table("word"):
            refuse("word_pkey")
        database.put("word", (leg_id, said), (party, item))


@answers(_HUB, "read_words")
def _read_words(database: MemoryDatabase, leg_ids: Sequence[str]) -> list[Row]:
    found = []
    for (leg_id, said), (party, item) in database.table("word").items():
        line = database.table(("item", party, "in")).get(item)
        if leg_id in leg_ids and line is not None:
            row = {"leg_id": leg_id, "said": said, "party": party, "item": item}
            found.append(row | {"line": line})
    return found


# A node.


@answers(_NODE, "insert_log")
def _insert_log(database: MemoryDatabase, log: str) -> None:
    if log not in database.table("hub_log"):
        database.put("hub_log", log, len(database.table("hub_log")) + 1)


_OWN_CYCLE = (
    "cycle",
    "log",
    "number",
    "former_log",
    "former_number",
    "at",
    "line",
    "state",
    "answered_at",
    "dispute",
    "unanswered",
    "difference",
)
#: What a cycle's row keeps from its first day.
_OWN_CYCLE_KEPT = (*_OWN_CYCLE[:6], "sequence")


@answers(_NODE, "write_cycle")
def _write_cycle(database: MemoryDatabase, *values: Any) -> None:
    *columns, behind = values
    row = dict(zip(_OWN_CYCLE, columns, strict=True))
    row["sequence"] = next(reversed(database.table("entry")), 0) - behind
    database.keep("cycle", row["cycle"], row, _OWN_CYCLE_KEPT)
    if (row["state"] == "told") != (row["line"] is None):
        refuse("cycle_is_stated_or_only_told")
    database.put("cycle", row["cycle"], row)


def _own_cycles(rows: Iterable[Row]) -> list[Row]:
    return [{name: row[name] for name in _OWN_CYCLE} for row in rows]


@answers(_NODE, "read_cycles_named")
def _read_cycles_named(database: MemoryDatabase, numbers: Sequence[int]) -> list[Row]:
    cycles = database.table("cycle")
    return _own_cycles(cycles[one] for one in dict.fromkeys(numbers) if one in cycles)


@answers(_NODE, "read_waiting")
def _read_own_waiting(database: MemoryDatabase, most: int) -> list[Row]:
    rows = [
        row
        for _, row in sorted(database.table("cycle").items())
        if row["state"] == "waiting" or row["unanswered"] is not None
    ]
    return _own_cycles(rows[:most])


@answers(_NODE, "read_span")
def _read_span(database: MemoryDatabase, number: int) -> list[Row]:
    cycles = database.table("cycle")
    if number not in cycles:
        return []
    own = cycles[number]
    before = max((one for one in cycles if one < number), default=None)
    tables = ("transfer", "leg", "shared")
    knows_former = own["former_log"] is not None and (
        own["former_log"] in database.table("hub_log")
        or any(
            row["log"] == own["former_log"]
            for name in tables
            for row in database.table(name).values()
        )
        or any(row["log"] == own["former_log"] for row in cycles.values())
    )
    return [
        {
            "first": 0 if before is None else cycles[before]["sequence"],
            "last": own["sequence"],
            "knows_former": knows_former,
        }
    ]


@answers(_NODE, "read_balance")
def _read_balance(database: MemoryDatabase, sequence: int) -> list[Row]:
    postings = database.table(("posting", "clearing"))
    newest = max((one for one in postings if one <= sequence), default=None)
    return [] if newest is None else [{"balance_after": postings[newest][1]}]


def _is_up_to(named: _Named, end: _Named) -> bool:
    """Compare as PostgreSQL does where a number is missing: then it is not so."""
    if named[0] != end[0]:
        return named[0] < end[0]
    return named[1] is not None and end[1] is not None and named[1] <= end[1]


@answers(_NODE, "read_moves")
def _read_own_moves(
    database: MemoryDatabase,
    first: int,
    last: int,
    former_log: str,
    former: int,
    log: str,
    number: int,
) -> list[Row]:
    places = database.table("hub_log")
    begins = (places.get(former_log, 0), former)
    ends = (places.get(log, 0), number)
    found = []
    for sequence, (amount, _) in database.table(("posting", "clearing")).items():
        entry, of_log, of_number = _made(database, sequence)
        named = (places.get(of_log, 0), of_number)
        is_meant = sequence <= last if of_number is None else _is_up_to(named, ends)
        if sequence > first and is_meant:
            row = {
                "log": of_log,
                "number": of_number,
                "entry_id": entry["entry_id"],
                "amount": -amount,
                "is_former": _is_up_to(named, begins),
            }
            order = (named[0], of_number is None, of_number or 0, sequence)
            found.append((order, row))
    return [row for _, row in sorted(found, key=lambda one: one[0])]


_OWN_LEG = (
    "leg_id",
    "cycle",
    "item",
    "line",
    "at",
    "debtor",
    "creditor",
    "milliseconds",
    "state",
    "signed_at",
    "author",
    "reason",
    "log",
    "number",
    "ended_at",
    "code",
)
_OWN_LEG_KEPT = _OWN_LEG[:8]


@answers(_NODE, "write_leg")
def _write_leg(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_OWN_LEG, values, strict=True))
    database.keep("leg", row["leg_id"], row, _OWN_LEG_KEPT)
    if (row["state"] in ("open", "signed")) != (row["log"] is None):
        refuse("leg_is_open_or_was_decided")
    if row["state"] in ("signed", "settled") and row["signed_at"] is None:
        refuse("leg_settles_when_signed")
    database.put("leg", row["leg_id"], row)


@answers(_NODE, "read_legs_named")
def _read_legs_named(database: MemoryDatabase, ids: Sequence[str]) -> list[Row]:
    legs = database.table("leg")
    return [legs[one] for one in dict.fromkeys(ids) if one in legs]
