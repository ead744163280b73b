"""What the named queries of the stores answer, over dictionaries.

One function for each query that a clerk, a sweeper or the log's watch asks. What the
schema of PostgreSQL refuses is refused here too: the second lock on the same door.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from protocol.peer import transfer_store
from tests.simulator import memory_cycles, memory_lives
from tests.simulator.memory_database import MemoryDatabase, Row, answers, refuse

assert memory_lives, "its import lets more queries be answered"
_LEDGER = "protocol.peer.ledger_store"
_BACKUP = "protocol.peer.backup_store"
_LINK = "protocol.peer.link_store"
_TRANSFER = "protocol.peer.transfer_store"
_DIRECTORY = "protocol.peer.directory_store"
_MEMBER = "nodes.member_store"
_NODE_PROPOSAL = "nodes.proposal_store"
_LEAVING = "nodes.leaving_store"
_RENEWAL = "nodes.renewal_store"
_TRUST = "nodes.trust_store"
_LOG = "clearing.log_store"
_HUB_PROPOSAL = "clearing.proposal_store"
_CONSENT = "clearing.consent_store"
_HUB_LIMIT = "clearing.limit_store"
_NODE_LIMIT = "nodes.limit_store"
_PAST = "protocol.peer.past_store"
_UNDECIDED = ("ordered", "taken", "offered", "accepted")


def _insert(database: MemoryDatabase, table: Any, key: Any, row: Any) -> None:
    if key in database.table(table):
        refuse(f"{table}: {key} is there already")
    database.put(table, key, row)


# The ledger.

_ACCOUNT = (
    "account_id",
    "kind",
    "unit",
    "balance",
    "held_out",
    "held_in",
    "floor",
    "ceiling",
    "frozen",
    "closed",
)


def _put_account(database: MemoryDatabase, row: Row) -> None:
    if row["held_out"] < 0 or row["held_in"] < 0:
        refuse("held_amounts_are_never_negative")
    floor, ceiling = row["floor"], row["ceiling"]
    if floor is not None and ceiling is not None and floor > ceiling:
        refuse("floor_is_not_above_ceiling")
    if row["closed"] and (row["balance"] or row["held_out"] or row["held_in"]):
        refuse("closed_account_is_empty")
    database.put("account", row["account_id"], row)
    if row["kind"] == "system":
        database.put("system account", row["account_id"], None)


@answers(_LEDGER, "read_accounts")
def _read_accounts(database: MemoryDatabase, names: Sequence[str]) -> list[Row]:
    accounts = database.table("account")
    wanted = dict.fromkeys(names)
    wanted.update(database.table("system account"))
    return [accounts[name] for name in wanted if name in accounts]


@answers(_LEDGER, "read_holds")
def _read_holds(database: MemoryDatabase, ids: Sequence[str]) -> list[Row]:
    holds = database.table("hold")
    return [holds[id_] for id_ in dict.fromkeys(ids) if id_ in holds]


@answers(_LEDGER, "read_sequence")
def _read_sequence(database: MemoryDatabase) -> list[Row]:
    newest = next(reversed(database.table("entry")), 0)
    return [{"coalesce": newest}]


@answers(_LEDGER, "insert_accounts")
def _insert_accounts(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(_ACCOUNT, values, strict=True))
        if row["account_id"] in database.table("account"):
            refuse("account_pkey")
        _put_account(database, row)


@answers(_LEDGER, "update_accounts")
def _update_accounts(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    names = ("account_id", *_ACCOUNT[3:])
    accounts = database.table("account")
    for values in zip(*columns, strict=True):
        before = accounts.get(values[0])
        if before is not None:
            _put_account(database, before | dict(zip(names, values, strict=True)))


@answers(_LEDGER, "insert_holds")
def _insert_holds(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    names = ("transfer_id", "debit_account", "credit_account", "amount", "state")
    for values in zip(*columns, strict=True):
        row = dict(zip(names, values, strict=True))
        if row["amount"] <= 0 or row["debit_account"] == row["credit_account"]:
            refuse("hold_sets_something_aside")
        _insert(database, "hold", row["transfer_id"], row)


@answers(_LEDGER, "end_holds")
def _end_holds(
    database: MemoryDatabase, ids: Sequence[str], states: Sequence[str]
) -> str:
    ended = 0
    for id_, state in zip(ids, states, strict=True):
        row = database.table("hold").get(id_)
        if row is not None and row["state"] == "held":
            database.put("hold", id_, row | {"state": state})
            ended += 1
    return f"UPDATE {ended}"


@answers(_LEDGER, "insert_entries")
def _insert_entries(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    names = (
        "sequence",
        "entry_id",
        "at",
        "kind",
        "transfer_id",
        "author",
        "reason",
        "content_id",
        "corrects",
    )
    for values in zip(*columns, strict=True):
        row = dict(zip(names, values, strict=True))
        _insert(database, "entry", row["sequence"], row)
        _insert(database, "entry by id", row["entry_id"], row["sequence"])
        if row["corrects"] is not None:
            _insert(database, "correction", row["corrects"], row["sequence"])


@answers(_LEDGER, "insert_postings")
def _insert_postings(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    sums: dict[tuple[int, str], int] = {}
    accounts = database.table("account")
    for name, sequence, amount, after in zip(*columns, strict=True):
        if amount == 0:
            refuse("posting_moves_something")
        _insert(database, ("posting", name), sequence, (amount, after))
        unit = sequence, accounts[name]["unit"]
        sums[unit] = sums.get(unit, 0) + amount
    if any(sums.values()):
        refuse("entry_sums_to_zero")


@answers(_LEDGER, "read_corrected")
def _read_corrected(database: MemoryDatabase, ids: Sequence[str]) -> list[Row]:
    corrected = database.table("correction")
    return [{"corrects": id_} for id_ in ids if id_ in corrected]


# The links.

_LINK_COLUMNS = (
    "peer",
    "sent",
    "sent_head",
    "acknowledged",
    "acknowledged_head",
    "taken",
    "taken_head",
    "lives",
    "trouble",
)


@answers(_LINK, "read_links")
def _read_links(database: MemoryDatabase) -> list[Row]:
    return [
        row | {"numbered": next(reversed(database.table(("item", peer, "out"))), 0)}
        for peer, row in database.table("link").items()
    ]


@answers(_LINK, "write_links")
def _write_links(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_LINK_COLUMNS, values, strict=True))
    if row["acknowledged"] > row["sent"]:
        refuse("acknowledged_was_sent")
    database.put("link", row["peer"], row)


@answers(_MEMBER, "insert_link")
def _insert_link(database: MemoryDatabase, nothing: str) -> None:
    values = ("hub", 0, nothing, 0, nothing, 0, nothing, [], None)
    if "hub" not in database.table("link"):
        database.put("link", "hub", dict(zip(_LINK_COLUMNS, values, strict=True)))


@answers(_LINK, "insert_items")
def _insert_items(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for peer, direction, number, line in zip(*columns, strict=True):
        stream = "item", peer, direction
        if number > 1 and number - 1 not in database.table(stream):
            refuse("item_numbers_have_no_gaps")
        _insert(database, stream, number, line)


@answers(_LINK, "insert_sealed_lines")
def _insert_sealed_lines(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for peer, direction, number, box in zip(*columns, strict=True):
        _insert(database, ("box", peer, direction), number, box)


@answers(_LINK, "insert_envelopes")
def _insert_envelopes(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    names = ("first", "count", "line_1", "payload_hash", "life", "at")
    for peer, direction, *values in zip(*columns, strict=True):
        row = dict(zip(names, values, strict=True))
        _insert(database, ("envelope", peer, direction), row["first"], row)


def _lines(
    database: MemoryDatabase, peer: str, direction: str, numbers: Iterator[int] | range
) -> list[Row]:
    items = database.table(("item", peer, direction))
    boxes = database.table(("box", peer, direction))
    return [
        {"number": number, "line": items[number], "box": boxes.get(number)}
        for number in numbers
        if number in items
    ]


@answers(_LINK, "read_waiting")
def _read_waiting(
    database: MemoryDatabase, peer: str, after: int, most: int
) -> list[Row]:
    last = next(reversed(database.table(("item", peer, "out"))), 0)
    return _lines(database, peer, "out", range(after + 1, min(last, after + most) + 1))


@answers(_LINK, "read_lines")
def _read_lines(
    database: MemoryDatabase, peer: str, direction: str, first: int, last: int
) -> list[Row]:
    return _lines(database, peer, direction, range(first, last + 1))


@answers(_LINK, "read_envelopes")
def _read_envelopes(
    database: MemoryDatabase, peer: str, direction: str, first: int, most: int
) -> list[Row]:
    names = ("first", "count", "line_1", "payload_hash", "life")
    stored = database.table(("envelope", peer, direction))
    found = [row for number, row in stored.items() if number >= first]
    return [{name: row[name] for name in names} for row in found[:most]]


@answers(_LINK, "read_known")
def _read_known(
    database: MemoryDatabase, peer: str, numbers: Sequence[int]
) -> list[Row]:
    stored = database.table(("envelope", peer, "in"))
    found: dict[int, Row] = {}
    for number in numbers:
        first = next((one for one in reversed(stored) if one <= number), None)
        if first is not None:
            names = ("first", "life", "payload_hash")
            found[first] = {name: stored[first][name] for name in names}
    return list(found.values())


@answers(_LINK, "read_cover_limit")
def _read_cover_limit(database: MemoryDatabase) -> list[Row]:
    return [{"not_after": at} for at in database.table("cover limit").values()]


@answers(_LINK, "write_cover_limit")
def _write_cover_limit(database: MemoryDatabase, limit: datetime) -> None:
    database.put("cover limit", True, limit)


# Transfers.


#: What a transfer's row keeps from its first day.
_KEPT = ("role", "account", "amount", "deliver", "other")


@answers(_TRANSFER, "read_transfers")
def _read_transfers(database: MemoryDatabase, ids: Sequence[str]) -> list[Row]:
    transfers = database.table("transfer")
    return [transfers[id_] for id_ in dict.fromkeys(ids) if id_ in transfers]


@answers(_TRANSFER, "write_transfers")
def _write_transfers(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(transfer_store.COLUMNS, values, strict=True))
        id_ = row["transfer_id"]
        database.keep("transfer", id_, row, _KEPT)
        if not 0 <= row["refunded"] <= row["milliseconds"]:
            refuse("refunds_never_exceed_the_original")
        database.put("transfer", id_, row)
        if row["state"] in _UNDECIDED:
            database.put("undecided", id_, None)
        else:
            database.drop("undecided", id_)


def _undecided(database: MemoryDatabase) -> list[Row]:
    transfers = database.table("transfer")
    rows = [transfers[id_] for id_ in database.table("undecided")]
    return sorted(rows, key=lambda row: (row["decide_by"], row["transfer_id"]))


@answers(_TRANSFER, "read_due")
def _read_due(
    database: MemoryDatabase,
    now: datetime,
    most: int,
    without: Sequence[str],
    not_offered: Sequence[str],
) -> list[Row]:
    return [
        {"transfer_id": row["transfer_id"]}
        for row in _undecided(database)
        if row["state"] in ("taken", "offered")
        and (
            row["decide_by"] <= now
            or row["waiting"] is not None
            or row["waiting_code"] is not None
        )
        and not {row["payer_group"], row["payee_group"]}.intersection(
            without if row["state"] == "taken" else [*without, *not_offered]
        )
    ][:most]


@answers(_TRANSFER, "read_late")
def _read_late(
    database: MemoryDatabase, now: datetime, acknowledged: int, most: int
) -> list[Row]:
    return [
        {"transfer_id": row["transfer_id"]}
        for row in _undecided(database)
        if row["state"] == "ordered"
        and row["deliver"] == "now"
        and not row["is_cancel_sent"]
        and row["decide_by"] <= now
        and row["item_number"] is not None
        and row["item_number"] > acknowledged
    ][:most]


@answers(_TRANSFER, "read_undecided")
def _read_undecided(database: MemoryDatabase) -> list[Row]:
    return [{"count": len(database.table("undecided"))}]


@answers(_TRANSFER, "write_contents")
def _write_contents(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for content_id, line in zip(*columns, strict=True):
        if content_id not in database.table("content"):
            database.put("content", content_id, line)


@answers(_TRANSFER, "read_content")
def _read_content(database: MemoryDatabase, content_id: str) -> list[Row]:
    line = database.table("content").get(content_id)
    return [] if line is None else [{"line": line}]


# The directory, and alarms.


@answers(_DIRECTORY, "read_changes")
def _read_directory(database: MemoryDatabase) -> list[Row]:
    changes = database.table("directory").items()
    return [{"sequence": number, "line": line} for number, (_, line) in changes]


@answers(_DIRECTORY, "insert_changes")
def _insert_directory(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for group, line in zip(*columns, strict=True):
        number = len(database.table("directory")) + 1
        database.put("directory", number, (group, line))


@answers(_DIRECTORY, "insert_alarms")
def _insert_alarms(
    database: MemoryDatabase, at: datetime, about: Sequence[str], told: Sequence[str]
) -> None:
    for row in zip(about, told, strict=True):
        database.put("alarm", len(database.table("alarm")) + 1, (at, *row))


# What only nodes keep.


@answers(_MEMBER, "insert_membership")
def _insert_membership(database: MemoryDatabase, *values: str) -> None:
    _insert(database, "membership", True, values)


@answers(_MEMBER, "read_newest")
def _read_newest(database: MemoryDatabase) -> list[Row]:
    found = database.table("newest decision").values()
    return [{"log": log, "number": number} for log, number in found]


@answers(_MEMBER, "write_newest")
def _write_newest(database: MemoryDatabase, log: str, number: int) -> None:
    database.put("newest decision", True, (log, number))


_ANSWER = (
    "caller",
    "key",
    "body_hash",
    "transfer_id",
    "code",
    "at",
    "entry_id",
    "account_id",
)


@answers(_MEMBER, "read_answers")
def _read_answers(
    database: MemoryDatabase, callers: Sequence[str], keys: Sequence[str]
) -> list[Row]:
    found = database.table("idempotency")
    wanted = dict.fromkeys(zip(callers, keys, strict=True))
    return [found[one] for one in wanted if one in found]


@answers(_MEMBER, "insert_answers")
def _insert_answers(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(_ANSWER, values, strict=True))
        _insert(database, "idempotency", (row["caller"], row["key"]), row)


@answers(_MEMBER, "write_members")
def _write_members(
    database: MemoryDatabase, ids: Sequence[str], names: Sequence[str], since: datetime
) -> None:
    for id_, name in zip(ids, names, strict=True):
        before = database.table("member").get(id_)
        database.put("member", id_, (name, before[1] if before else since))


@answers(_MEMBER, "insert_changes")
def _insert_standings(
    database: MemoryDatabase, *columns: Sequence[Any] | datetime
) -> None:
    *lists, at, reasons = columns
    for values in zip(*lists, reasons, strict=True):  # type: ignore[arg-type]
        number = len(database.table("member limit")) + 1
        database.put("member limit", number, (*values, at))


@answers("nodes.act_store", "insert_acts")
def _insert_acts(database: MemoryDatabase, *columns: Sequence[Any] | datetime) -> None:
    *lists, at = columns
    for values in zip(*lists, strict=True):  # type: ignore[arg-type]
        database.put("act", len(database.table("act")) + 1, (*values, at))


@answers(_BACKUP, "read_restored")
def _read_restored(database: MemoryDatabase) -> list[Row]:
    marks = database.table("restored").values()
    return [{"at": at, "backup_at": backup_at} for at, backup_at in marks]


@answers(_BACKUP, "write_restored")
def _write_restored(
    database: MemoryDatabase, at: datetime, backup_at: datetime
) -> None:
    database.put("restored", True, (at, backup_at))


@answers(_BACKUP, "end_restored")
def _end_restored(database: MemoryDatabase) -> None:
    database.drop("restored", True)


@answers(_TRUST, "read_accepted")
def _read_accepted(database: MemoryDatabase) -> list[Row]:
    return [{"keys": keys} for keys in database.table("accepted keys").values()]


@answers(_MEMBER, "read_names")
def _read_names(database: MemoryDatabase, ids: Sequence[str]) -> list[Row]:
    members = database.table("member")
    return [
        {"account_id": id_, "name": members[id_][0]}
        for id_ in dict.fromkeys(ids)
        if id_ in members
    ]


@answers(_MEMBER, "read_group")
def _read_group(database: MemoryDatabase) -> list[Row]:
    account = database.table("account").get("clearing")
    return [] if account is None else [{"balance": account["balance"]}]


_NODE_PROPOSAL_COLUMNS = ("number", "entry", "at", "state", "answered_at")


@answers(_LEAVING, "read_newest_wish")
def _read_newest_wish(database: MemoryDatabase) -> list[Row]:
    wishes = database.table("leaving_wish")
    return [wishes[max(wishes)]] if wishes else []


@answers(_LEAVING, "write_wish")
def _write_wish(database: MemoryDatabase, *values: Any) -> None:
    names = ("number", "at", "author", "reason", "state", "answered_at")
    row = dict(zip(names, values, strict=True))
    database.put("leaving_wish", row["number"], row)
    wishes = database.table("leaving_wish").values()
    if len([one for one in wishes if one["state"] == "waiting"]) > 1:
        refuse("leaving_wish_waits_alone")


@answers(_NODE_PROPOSAL, "write_proposal")
def _write_proposal(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_NODE_PROPOSAL_COLUMNS, values, strict=True))
    before = database.table("proposal").get(row["number"])
    if before is not None:
        row = before | {name: row[name] for name in ("state", "answered_at")}
    database.put("proposal", row["number"], row)
    waiting = [
        one for one in database.table("proposal").values() if one["state"] == "waiting"
    ]
    if len(waiting) > 1:
        refuse("proposal_waits_alone")


@answers(_NODE_PROPOSAL, "read_asked")
def _read_asked(database: MemoryDatabase, entries: Sequence[str]) -> list[Row]:
    newest: dict[str, Row] = {}
    for _, row in sorted(database.table("proposal").items()):
        if row["entry"] in entries:
            newest[row["entry"]] = row
    return [newest[entry] for entry in sorted(newest)]


@answers(_NODE_PROPOSAL, "read_newest")
def _read_newest_proposal(database: MemoryDatabase) -> list[Row]:
    proposals = database.table("proposal")
    return [proposals[max(proposals)]] if proposals else []


_RENEWAL_COLUMNS = (
    "number",
    "entry",
    "statement",
    "at",
    "is_recovery",
    "state",
    "answered_at",
)


@answers(_RENEWAL, "write_renewal")
def _write_renewal(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_RENEWAL_COLUMNS, values, strict=True))
    before = database.table("renewal").get(row["entry"])
    if before is not None:
        row = before | {name: row[name] for name in ("state", "answered_at")}
    database.put("renewal", row["entry"], row)
    renewals = database.table("renewal").values()
    if sum(one["state"] == "waiting" for one in renewals) > 1:
        refuse("renewal_waits_alone")


@answers(_RENEWAL, "read_renewed")
def _read_renewed(database: MemoryDatabase, entries: Sequence[str]) -> list[Row]:
    renewals = database.table("renewal")
    return [renewals[entry] for entry in entries if entry in renewals]


@answers(_RENEWAL, "read_newest")
def _read_newest_renewal(database: MemoryDatabase) -> list[Row]:
    return list(database.table("renewal").values())[-1:]


# What nodes believe of the hub's log.


@answers(_TRUST, "read_beliefs")
def _read_beliefs(database: MemoryDatabase, era: int) -> list[Row]:
    found = [
        row | {"log": log}
        for (of_era, log), row in database.table("belief").items()
        if of_era == era
    ]
    return sorted(found, key=lambda row: row["place"])


@answers(_TRUST, "write_beliefs")
def _write_beliefs(
    database: MemoryDatabase, era: int, *columns: Sequence[Any] | datetime
) -> None:
    *lists, _ = columns
    for log, place, size, root, note in zip(*lists, strict=True):  # type: ignore[arg-type]
        before = database.table("belief").get((era, log))
        kept = before["place"] if before else place
        row = {"place": kept, "size": size, "root": root, "note": note}
        database.put("belief", (era, log), row)


@answers(_TRUST, "read_compared")
def _read_compared(database: MemoryDatabase) -> list[Row]:
    return [{"number": one} for one in database.table("compared item").values()]


@answers(_TRUST, "write_compared")
def _write_compared(database: MemoryDatabase, number: int) -> None:
    database.put("compared item", True, number)


@answers(_TRUST, "read_era")
def _read_era(database: MemoryDatabase) -> list[Row]:
    eras = [row for row in database.table("trust").values() if row[0] == "hub"]
    return [{"count": len(eras)}]


@answers(_TRUST, "read_doubted")
def _read_doubted(database: MemoryDatabase) -> list[Row]:
    trusted = database.table("trust").values()
    doubted = dict.fromkeys(
        about
        for number, (about, *_) in database.table("doubt").items()
        if not any(peer == about and upto >= number for peer, upto in trusted)
    )
    return [{"about": about} for about in doubted]


@answers(_TRUST, "insert_doubt")
def _insert_doubt(database: MemoryDatabase, _at: datetime, *row: str) -> None:
    database.put("doubt", len(database.table("doubt")) + 1, row)


@answers(_TRUST, "insert_trust")
def _insert_trust(
    database: MemoryDatabase, _at: datetime, about: str, _author: str, _reason: str
) -> None:
    doubts = [
        number for number, row in database.table("doubt").items() if row[0] == about
    ]
    row = about, max(doubts)
    database.put("trust", len(database.table("trust")) + 1, row)


# What only the hub keeps.


@answers(_LOG, "insert_decisions")
def _insert_decisions(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for log, number, line in zip(*columns, strict=True):
        sequence = len(database.table("decision")) + 1
        _insert(database, "decision", (log, number), (sequence, line))
        database.put("decision by sequence", sequence, (log, number))


@answers(_LOG, "write_mirrors")
def _write_mirrors(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    names = (
        "log",
        "number",
        "balance",
        "agreed_log",
        "agreed_number",
        "differs",
        "called_at",
    )
    for group, *values in zip(*columns, strict=True):
        database.put("mirror", group, dict(zip(names, values, strict=True)))


@answers(_LOG, "read_mirrors")
def _read_mirrors(database: MemoryDatabase) -> list[Row]:
    names = ("agreed_log", "agreed_number", "differs", "called_at")
    return [
        _Columns({"group_name": group} | {name: row[name] for name in names})
        for group, row in database.table("mirror").items()
    ]


class _Columns(Row):
    """A row that is also taken apart by place, as asyncpg's are."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


@answers(_LOG, "read_mirrored")
def _read_mirrored(database: MemoryDatabase) -> list[Row]:
    decisions = database.table("decision")
    return [
        {"group_name": group, "log": row["log"], "number": row["number"]}
        for group, row in database.table("mirror").items()
        if (row["log"], row["number"]) in decisions
    ]


@answers(_LOG, "insert_invitation")
def _insert_invitation(database: MemoryDatabase, *values: Any) -> None:
    names = ("code_hash", "group_name", "floor", "ceiling", "until")
    row = dict(zip(names, values, strict=True)) | {"request_hash": None}
    _insert(database, "invitation", row["code_hash"], row)


@answers(_LOG, "read_invitations")
def _read_invitations(database: MemoryDatabase, hashes: Sequence[str]) -> list[Row]:
    found = database.table("invitation")
    return [found[one] for one in dict.fromkeys(hashes) if one in found]


@answers(_LOG, "spend_invitation")
def _spend_invitation(
    database: MemoryDatabase, code_hash: str, request_hash: str, _at: datetime
) -> str:
    row = database.table("invitation").get(code_hash)
    if row is None or row["request_hash"] is not None:
        return "UPDATE 0"
    database.put("invitation", code_hash, row | {"request_hash": request_hash})
    return "UPDATE 1"


def _decided_at(database: MemoryDatabase, sequence: int) -> int | None:
    """Give the place of the decision that made an entry of the hub's."""
    row = memory_cycles.mover(database, database.table("entry")[sequence])
    found = database.table("decision").get((row.get("log"), row.get("number")))
    return None if found is None else found[0]


@answers(_LOG, "read_position_at")
def _read_position_at(
    database: MemoryDatabase, group: str, log: str, number: int
) -> list[Row]:
    named = database.table("decision").get((log, number))
    if named is None:
        return []
    postings = database.table(("posting", group))
    for sequence in reversed(postings):
        place = _decided_at(database, sequence)
        if place is not None and place <= named[0]:
            return [{"coalesce": postings[sequence][1]}]
    return [{"coalesce": 0}]


@answers(_LOG, "is_before")
def _is_before(
    database: MemoryDatabase, log: str, number: int, other_log: str, other: int
) -> list[Row]:
    one = database.table("decision").get((log, number))
    two = database.table("decision").get((other_log, other))
    return [{"exists": one is not None and two is not None and one[0] < two[0]}]


@answers(_LOG, "read_moves")
def _read_moves(
    database: MemoryDatabase,
    group: str,
    after_log: str,
    after: int,
    log: str,
    number: int,
    most: int,
) -> list[Row]:
    decisions = database.table("decision")
    first = decisions.get((after_log, after), (0, b""))[0]
    named = decisions.get((log, number))
    postings = database.table(("posting", group))
    found = []
    for sequence in list(reversed(postings))[:most]:
        place = _decided_at(database, sequence)
        if named is None or place is None or not first < place <= named[0]:
            continue
        entry_id = database.table("entry")[sequence]["entry_id"]
        row = {"transfer_id": entry_id, "amount": postings[sequence][0]}
        found.append((place, row))
    return [row for _, row in sorted(found, key=lambda one: one[0])]


@answers(_LOG, "insert_checkpoint")
def _insert_checkpoint(
    database: MemoryDatabase, log: str, size: int, root: str, note: str
) -> None:
    _insert(database, "checkpoint", (log, size), (root, note))


@answers(_LOG, "insert_tile_hashes")
def _insert_tile_hashes(
    database: MemoryDatabase, log: str, *columns: Sequence[Any]
) -> None:
    for level, index, found in zip(*columns, strict=True):
        _insert(database, "tile", (log, level, index), found)


@answers(_LOG, "read_last_checkpoint")
def _read_last_checkpoint(database: MemoryDatabase) -> list[Row]:
    decisions = database.table("decision")
    newest = next(reversed(decisions), None)
    if newest is None:
        return []
    for (log, size), (root, _) in reversed(database.table("checkpoint").items()):
        if log == newest[0]:
            return [_Columns({"log": log, "size": size, "root": root})]
    return []


_HUB_PROPOSAL_COLUMNS = (
    "group_name",
    "number",
    "line_hash",
    "entry",
    "at",
    "state",
    "decided_at",
)


@answers(_CONSENT, "read_consents")
def _read_consents(database: MemoryDatabase) -> list[Row]:
    return [row for _, row in sorted(database.table("consent").items())]


@answers(_HUB_PROPOSAL, "write_proposals")
def _write_proposals(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    for values in zip(*columns, strict=True):
        row = dict(zip(_HUB_PROPOSAL_COLUMNS, values, strict=True))
        key = row["group_name"], row["number"]
        before = database.table("proposal").get(key)
        if before is not None:
            row = before | {name: row[name] for name in ("state", "decided_at")}
        database.put("proposal", key, row)


@answers(_HUB_PROPOSAL, "read_newest")
def _read_newest_proposals(database: MemoryDatabase) -> list[Row]:
    newest: dict[str, Row] = {}
    for (group, _), row in sorted(database.table("proposal").items()):
        newest[group] = row
    return list(newest.values())


# Limits: changes with author and reason, caps, of whose limit people were called.


@answers(_HUB_LIMIT, "insert_changes")
def _insert_limit_changes(database: MemoryDatabase, *columns: Sequence[Any]) -> None:
    names = ("number", "at", "about", "group_name", "payee_group", "signed")
    for values in zip(*columns, strict=True):
        _insert(
            database, "limit_change", values[0], dict(zip(names, values, strict=True))
        )


def _newest_changes(database: MemoryDatabase, about: str | None = None) -> list[Row]:
    changes = sorted(database.table("limit_change").items(), reverse=True)
    return [
        {"signed": row["signed"]}
        for _, row in changes
        if about is None or row["about"] == about
    ][:1]


@answers(_HUB_LIMIT, "read_newest_change")
def _read_newest_change(database: MemoryDatabase) -> list[Row]:
    return _newest_changes(database)


@answers(_HUB_LIMIT, "read_threshold")
def _read_threshold(database: MemoryDatabase) -> list[Row]:
    return _newest_changes(database, "warning")


@answers(_HUB_LIMIT, "read_caps")
def _read_caps(database: MemoryDatabase) -> list[Row]:
    newest: dict[tuple[str, str], Row] = {}
    for _, row in sorted(database.table("limit_change").items()):
        if row["about"] == "cap":
            pair = row["group_name"], row["payee_group"]
            newest[pair] = {"signed": row["signed"]}
    return [newest[pair] for pair in sorted(newest)]


@answers(_HUB_LIMIT, "read_warned")
def _read_warned_groups(database: MemoryDatabase) -> list[Row]:
    return list(database.table("warned").values())


@answers(_NODE_LIMIT, "read_warned")
def _read_warned(database: MemoryDatabase) -> list[Row]:
    return list(database.table("warned").values())


@answers(_NODE_LIMIT, "read_percent")
def _read_warn_percent(database: MemoryDatabase) -> list[Row]:
    return list(database.table("warn_percent").values())


@answers(_PAST, "read_newest_at")
def _read_newest_at(database: MemoryDatabase) -> list[Row]:
    newest = list(database.table("entry").values())[-1:]
    return [{"at": row["at"]} for row in newest]


@answers(_PAST, "read_place")
def _read_place_before(database: MemoryDatabase, before: datetime) -> list[Row]:
    # Halving, as PostgreSQL does it: with a clock set back it matters how.
    entries, low = database.table("entry"), 0
    high = len(entries)
    while low < high:
        middle = (low + high + 1) // 2
        if entries[middle]["at"] < before:
            low = middle
        else:
            high = middle - 1
    return [{"low": low}]


@answers(_HUB_LIMIT, "read_use")
def _read_use(
    database: MemoryDatabase, payers: Sequence[str], payees: Sequence[str], place: int
) -> list[Row]:
    pairs, used = set(zip(payers, payees, strict=True)), dict[Any, int]()
    transfers = database.table("transfer")
    behind = {
        row["transfer_id"]
        for sequence, row in database.table("entry").items()
        if sequence > place
    }
    for id_, row in transfers.items():
        pair = row["payer_group"], row["payee_group"]
        is_counted = row["state"] == "offered" or (
            row["state"] == "cleared" and id_ in behind
        )
        if pair in pairs and is_counted:
            key = (*pair, f"{row['taken_at']:%Y-%m}")
            used[key] = used.get(key, 0) + row["milliseconds"]
    return [
        {
            "payer_group": key[0],
            "payee_group": key[1],
            "month": key[2],
            "used": str(sum_),
        }
        for key, sum_ in used.items()
    ]
