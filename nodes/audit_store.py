"""What only a node's audit asks: members' side of transfers, and conversions.

The form is that of ``protocol.peer.audit_store``, which has what every server asks.
"""

from collections.abc import Sequence
from typing import NamedTuple

from protocol.messages import EntryRate
from protocol.peer.audit_store import Check
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


class StoredBelief(NamedTuple):
    """What a node has believed of one of the hub's logs."""

    era: int
    log: str
    size: int
    root: str
    note: str


class AcceptedKeys(NamedTuple):
    """Keys of another group that people have compared."""

    accepted_id: int
    group: str
    keys: str
    digits: str


class StoredProof(NamedTuple):
    """A proof, its checkpoint, the item that it is of, and what its transfer says.

    ``id`` is ``None`` for a checkpoint that no proof leads to.
    """

    log: str
    size: int
    note: str | None
    id: str | None
    item: int | None
    path: bytes
    line: bytes | None
    decided_log: str | None
    decided_number: int | None
    decided_at: str | None


#: For ``audit_pages``; rows are ``StoredProof``.
READ_PROOFS = _SQL["read_proofs"]


def checks(rates: Sequence[EntryRate], group: str) -> list[Check]:
    """Give a node's checks.

    Args:
        rates: all that the group ever announced.
        group: whose node this is.
    """
    versions, milliseconds = _columns(rates)
    return [
        *_checks_of_cycles(group),
        Check(
            "cleared_transfers_are_booked",
            "Every cleared transfer has its four postings, and no other entry has.",
            _SQL["cleared_transfers_are_booked"],
        ),
        Check(
            "payments_inside_are_booked",
            "Every payment inside the group moved its amount, once.",
            _SQL["payments_inside_are_booked"],
        ),
        Check(
            "holds_are_what_was_asked",
            "Every hold is of its transfer's amount, on its two accounts.",
            _SQL["holds_are_what_was_asked"],
        ),
        Check(
            "transfers_gain_nothing",
            "No cleared transfer was worth less to its payer than it moved in time.",
            _SQL["transfers_gain_nothing"],
            (versions, milliseconds),
        ),
        Check(
            "conversions_are_worth_something",
            "What conversion accounts are worth never fell below zero.",
            _SQL["conversions_are_worth_something"],
            (versions, milliseconds),
        ),
        Check(
            "conversions_have_their_rate",
            "Every conversion account is of a rate that the group announced.",
            _SQL["conversions_have_their_rate"],
            (versions,),
        ),
        Check(
            "directory_came_from_the_hub",
            "Every directory decision came as an item of the hub.",
            _SQL["directory_came_from_the_hub"],
        ),
        Check(
            "members_are_as_decided",
            "Every member's limits, state and name are as a treasurer last decided.",
            _SQL["members_are_as_decided"],
        ),
        Check(
            "trust_follows_doubts",
            "Trust follows a doubt; beliefs are of an era that began so.",
            _SQL["trust_follows_doubts"],
        ),
        Check(
            "accepted_keys_have_their_act",
            "Every time that keys were accepted is noted among the staff's acts.",
            _SQL["accepted_keys_have_their_act"],
        ),
    ]


def _checks_of_cycles(group: str) -> list[Check]:
    return [
        Check(
            "settled_legs_are_booked",
            "Every settled leg of ours is booked once, and nothing else is.",
            _SQL["settled_legs_are_booked"],
            (group,),
        ),
        Check(
            "shares_are_booked",
            "Every sharing is booked once, and nothing else is.",
            _SQL["shares_are_booked"],
        ),
        Check(
            "shares_came_from_the_hub",
            "Every sharing is what the hub told, and then decided.",
            _SQL["shares_came_from_the_hub"],
            (group,),
        ),
        Check(
            "cycles_came_from_the_hub",
            "Every statement and every leg came from the hub.",
            _SQL["cycles_came_from_the_hub"],
        ),
    ]


async def read_beliefs(connection: AnyConnection) -> list[StoredBelief]:
    """Give all that was ever believed of the hub's logs: one a start of the hub."""
    return [StoredBelief(*row) for row in await connection.fetch(_SQL["read_beliefs"])]


async def read_accepted(connection: AnyConnection) -> list[AcceptedKeys]:
    """Give all keys that people have accepted: few, each was typed by hand."""
    return [AcceptedKeys(*row) for row in await connection.fetch(_SQL["read_accepted"])]


async def count_proofs(connection: AnyConnection) -> int:
    """Say how many proofs are kept."""
    many: int = await connection.fetchval(_SQL["count_proofs"])
    return many


async def read_worths(
    connection: AnyConnection, rates: Sequence[EntryRate]
) -> dict[int, int]:
    """Give what conversion accounts are worth, milliseconds, by rate version."""
    rows = await connection.fetch(_SQL["read_worths"], *_columns(rates))
    return {row["version"]: int(row["worth"]) for row in rows}


def _columns(rates: Sequence[EntryRate]) -> tuple[list[int], list[int]]:
    return [rate.version for rate in rates], [rate.milliseconds for rate in rates]
