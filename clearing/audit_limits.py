"""The limits' part in the hub's audit: every change is signed, and caps were kept."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import NamedTuple

from clearing.rules import CHANGE_TYP, LimitChange, Pair, change_decoder
from protocol import jws, strict_json
from protocol.address import FederationId
from protocol.errors import NotSignedError, PeerError
from protocol.keyring import key_id
from protocol.messages import (
    NOTHING_HASH,
    DirectoryDecision,
    line_hash,
    read_item,
    write_line,
)
from protocol.peer.audit_store import Finding, Walk, finding
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
_TABLE = "limit_change"
NAME = "limits_were_changed_as_signed"
TOLD = "Every change of limits and caps is signed and names the one before it."
CAPS_NAME = "caps_were_kept"
CAPS_TOLD = "No transfer was offered with which its pair passed its cap of the month."
#: Verified together; a server that audits itself answers nobody meanwhile.
_AT_ONCE = 100


class _Row(NamedTuple):
    """A change as it is stored."""

    number: int
    at: str
    about: str
    group: str | None
    payee: str | None
    signed: str


class _Span(NamedTuple):
    """A cap, and between which items for the payee's node it bound."""

    pair: Pair
    milliseconds: int
    first: int
    behind: int | None


def walks_of(federation: FederationId, publics: Sequence[bytes]) -> list[Walk]:
    """Give the walks through changes, and through what caps bound.

    Args:
        federation: the whole id.
        publics: the hub's signing keys, that which counts and former ones.
    """
    keys = {key_id(public): public for public in publics}

    async def walk(
        connection: AnyConnection,
    ) -> AsyncGenerator[tuple[float, list[Finding]]]:
        rows = [_Row(*row) for row in await connection.fetch(_SQL["read_changes"])]
        number, former, found = 0, NOTHING_HASH, list[Finding]()
        for done, row in enumerate(rows, 1):
            change, told = _look_at(row, keys)
            found += told
            if change is not None:
                chained = federation, number + 1, former
                found += _compare(row, change, chained)
                found += await _look_at_decision(connection, change)
                former = line_hash(write_line(change))
            number = row.number
            if done % _AT_ONCE == 0 or done == len(rows):
                yield done / len(rows), found
                found = []
                await asyncio.sleep(0)

    return [Walk(NAME, TOLD, walk), Walk(CAPS_NAME, CAPS_TOLD, _walk_caps)]


def read_genuine(signed: str, keys: Mapping[str, bytes]) -> LimitChange:
    """Read a change, if one of these keys of the hub's has signed it.

    Raises:
        PeerError: it is none, or altered since.
    """
    parts = jws.split(signed, CHANGE_TYP)
    if parts.kid not in keys:
        raise NotSignedError(f"signed by {parts.kid}")
    payload = jws.check(parts, keys[parts.kid])
    return strict_json.read(payload, change_decoder, "change")


def _look_at(
    row: _Row, keys: dict[str, bytes]
) -> tuple[LimitChange | None, list[Finding]]:
    """Read a change, if a key of the hub's has signed it."""
    expected = "a change that the hub signed"
    try:
        return read_genuine(row.signed, keys), []
    except PeerError as error:
        return None, [finding(NAME, _TABLE, str(row.number), error, expected)]


def _compare(
    row: _Row, change: LimitChange, chained: tuple[str, int, str]
) -> Iterator[Finding]:
    """Compare a row with what was signed, and that with the change before it."""
    federation, number, former = chained
    lawful = (
        ("federation", change.federation, federation),
        ("number", row.number, number),
        ("number", row.number, change.number),
        ("former", change.former, former),
        ("at", row.at, change.at),
        ("about", row.about, change.about),
        ("group_name", row.group, change.group),
        ("payee_group", row.payee, change.payee),
    )
    for name, kept, signed in lawful:
        if kept != signed:
            told = f"{name} {kept or 'none'}", f"{name} {signed or 'none'}"
            yield finding(NAME, _TABLE, str(row.number), *told)


async def _look_at_decision(
    connection: AnyConnection, change: LimitChange
) -> list[Finding]:
    """Look whether the decision that a change of limits names says the same."""
    if change.about != "limits":
        return []
    name, line = change.decision, None
    if name is not None:
        line = await connection.fetchval(_SQL["read_decided"], name.log, name.number)
    decision = None if line is None else read_item(line)
    wanted = (change.group, change.floor, change.ceiling)
    if isinstance(decision, DirectoryDecision):
        decided = (decision.group, decision.floor, decision.ceiling)
        if decided == wanted:
            return []
        told = f"a decision on {decided[0]}: {decided[1]} .. {decided[2]}"
    else:
        told = "no decision on a group"
    expected = f"one on {wanted[0]}: {wanted[1]} .. {wanted[2]}"
    return [finding(NAME, _TABLE, str(change.number), told, expected)]


async def _walk_caps(
    connection: AnyConnection,
) -> AsyncGenerator[tuple[float, list[Finding]]]:
    """Look at all that caps ever bound, in one reading of the transfers."""
    spans = _spans([_Row(*row) for row in await connection.fetch(_SQL["read_changes"])])
    if not spans:
        return
    rows = await connection.fetch(
        _SQL["read_beyond"],
        [span.pair[0] for span in spans],
        [span.pair[1] for span in spans],
        [span.milliseconds for span in spans],
        [span.first for span in spans],
        [span.behind for span in spans],
    )
    yield (
        1.0,
        [
            finding(
                CAPS_NAME,
                "transfer",
                row["transfer_id"],
                f"{row['used']} ms in its month",
                f"at most {row['allowed']} ms",
            )
            for row in rows
        ],
    )


def _spans(rows: Sequence[_Row]) -> list[_Span]:
    """Say which cap bound a pair between which of the payee's items."""
    spans: list[_Span] = []
    open_ones: dict[Pair, _Span] = {}
    for row in rows:
        if row.about != "cap":
            continue
        try:
            payload = jws.split(row.signed, CHANGE_TYP).payload
            change = strict_json.read(payload, change_decoder, "change")
        except PeerError:
            # The other walk says so.
            continue
        pair = change.group or "", change.payee or ""
        before = open_ones.pop(pair, None)
        if before is not None:
            spans.append(before._replace(behind=change.from_item))
        if change.month is not None and change.from_item is not None:
            open_ones[pair] = _Span(pair, change.month, change.from_item, None)
    return [*spans, *open_ones.values()]
