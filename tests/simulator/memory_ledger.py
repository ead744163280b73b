"""What the named queries of a treasurer's office answer, over dictionaries.

Beside ``memory_queries``: what she reads before she books for many, and the entry that
she is shown when it is durable.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.simulator.memory_database import MemoryDatabase, Row, answers

_LEDGER = "protocol.peer.ledger_store"
_MEMBER = "nodes.member_store"
_OF_ACCOUNT = (
    "account_id",
    "balance",
    "held_out",
    "held_in",
    "floor",
    "ceiling",
    "frozen",
    "closed",
)


def _members(database: MemoryDatabase) -> Iterator[Row]:
    accounts = database.table("account")
    for name, (shown, since) in sorted(database.table("member").items()):
        row = {column: accounts[name][column] for column in _OF_ACCOUNT}
        yield row | {"name": shown, "since": since}


@answers(_MEMBER, "read_member")
def _read_member(database: MemoryDatabase, name: str) -> list[Row]:
    return [row for row in _members(database) if row["account_id"] == name]


@answers(_MEMBER, "read_members")
def _read_members(database: MemoryDatabase, after: str, most: int | None) -> list[Row]:
    return [row for row in _members(database) if row["account_id"] > after][:most]


@answers(_MEMBER, "read_named")
def _read_named(database: MemoryDatabase, names: Sequence[str]) -> list[Row]:
    return [row for row in _members(database) if row["account_id"] in names]


@answers(_LEDGER, "read_place")
def _read_place(database: MemoryDatabase, entry_id: str) -> list[Row]:
    place = database.table("entry by id").get(entry_id)
    return [] if place is None else [{"sequence": place}]


@answers(_LEDGER, "read_entries")
def _read_entries(
    database: MemoryDatabase, before: int, most: int, *searched: Any
) -> list[Row]:
    assert searched == (None, None, None), "nobody searches here"
    entries = database.table("entry")
    corrections = database.table("correction")
    found = []
    for sequence in sorted(entries, reverse=True):
        if sequence >= before:
            continue
        row = dict(entries[sequence])
        made = corrections.get(row["entry_id"])
        transfer = database.table("transfer").get(row["transfer_id"]) or {}
        found.append(
            row
            | {
                "sign_in_name": None,
                "corrected_by": entries[made]["entry_id"] if made else None,
                "line": database.table("content").get(row["content_id"]),
                "payer_group": transfer.get("payer_group"),
                "payee_group": transfer.get("payee_group"),
            }
        )
        if len(found) == most:
            break
    return found


@answers(_LEDGER, "read_postings")
def _read_postings(database: MemoryDatabase, sequences: Sequence[int]) -> list[Row]:
    return [
        {
            "sequence": sequence,
            "account_id": name,
            "amount": database.table(("posting", name))[sequence][0],
            "balance_after": database.table(("posting", name))[sequence][1],
            "unit": row["unit"],
        }
        for sequence in sorted(sequences)
        for name, row in sorted(database.table("account").items())
        if sequence in database.table(("posting", name))
    ]
