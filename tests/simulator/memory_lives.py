"""What the named queries about sharing and consents answer, over dictionaries.

Beside ``memory_queries``: the tables of ``clearing.share_store``, ``nodes.share_store``
and ``clearing.consent_store``, with what their triggers and constraints refuse.
"""

from collections.abc import Sequence
from typing import Any

from tests.simulator.memory_database import MemoryDatabase, Row, answers, refuse

_HUB = "clearing.share_store"
_NODE = "nodes.share_store"
_CONSENT = "clearing.consent_store"
_SHARED = (
    "shared_id",
    "why",
    "group_name",
    "place",
    "line",
    "told_at",
    "state",
    "log",
    "number",
    "decided_at",
)
#: What the row of a sharing keeps from its first day.
_SHARED_KEPT = _SHARED[:6]


# The hub: what was told and decided.


@answers(_HUB, "write_shared")
def _write_shared(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_SHARED, values, strict=True))
    if (row["state"] == "decided") != (row["log"] is not None):
        refuse("shared_is_decided_by_a_decision")
    if row["why"] != "charge" and None in (row["group_name"], row["line"]):
        refuse("shared_debt_was_told")
    rows = database.table("shared")
    before = rows.get(row["shared_id"])
    if before is not None:
        if before["state"] != "told":
            refuse("shared_never_changes")
        row |= {name: before[name] for name in _SHARED_KEPT}
    elif row["group_name"] is not None and any(
        (one["group_name"], one["place"]) == (row["group_name"], row["place"])
        for one in rows.values()
    ):
        refuse("shared_has_one_place")
    database.put("shared", row["shared_id"], row)


@answers(_HUB, "read_of_groups")
def _read_of_groups(database: MemoryDatabase, groups: Sequence[str]) -> list[Row]:
    rows = database.table("shared").values()
    found = [row for row in rows if row["group_name"] in groups]
    return sorted(found, key=lambda row: (row["group_name"], row["place"]))


# A node.

_OWN = (
    "shared_id",
    "why",
    "group_name",
    "item",
    "line",
    "amount",
    "log",
    "number",
    "decided_at",
)
_OWN_KEPT = _OWN[:5]


@answers(_NODE, "write_shared")
def _write_own_shared(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_OWN, values, strict=True))
    database.keep("shared", row["shared_id"], row, _OWN_KEPT)
    if row["why"] != "charge" and row["line"] is None:
        refuse("shared_debt_was_told")
    if (row["item"] is None) != (row["line"] is None):
        refuse("shared_is_told_by_an_item")
    database.put("shared", row["shared_id"], row)


@answers(_NODE, "read_shared_named")
def _read_shared_named(database: MemoryDatabase, ids: Sequence[str]) -> list[Row]:
    rows = database.table("shared")
    return [rows[one] for one in dict.fromkeys(ids) if one in rows]


# The hub: what was asked for another admin's word.

_ASKED = (
    "number",
    "act",
    "asked_by",
    "asked_at",
    "state",
    "ended_by",
    "ended_at",
    "seen",
)
_ASKED_KEPT = (*_ASKED[:4], "seen")


@answers(_CONSENT, "write_consent")
def _write_consent(database: MemoryDatabase, *values: Any) -> None:
    row = dict(zip(_ASKED, values, strict=True))
    database.keep("consent", row["number"], row, _ASKED_KEPT)
    database.put("consent", row["number"], row)
