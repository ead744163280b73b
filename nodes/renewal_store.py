"""New keys that the group has asked the hub for; only writer of ``renewal``."""

from collections.abc import Collection, Sequence

import asyncpg

from nodes.rules import KeepRenewal, ProposalState, Renewal
from protocol.address import FederationId
from protocol.directory import read_entry
from protocol.effects import Effect
from protocol.errors import LedgerBrokenError, PeerError
from protocol.instant import from_datetime, from_nullable, to_datetime, to_nullable
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_newest(
    connection: AnyConnection, federation: FederationId
) -> Renewal | None:
    """Give the newest, if the group ever asked for new keys.

    Raises:
        LedgerBrokenError: an entry that we signed can no longer be read.
    """
    row = await connection.fetchrow(_SQL["read_newest"])
    return None if row is None else _renewal(row, federation)


async def read_renewed(
    connection: AnyConnection, federation: FederationId, signed: Collection[str]
) -> dict[str, Renewal]:
    """Give what was asked with these very entries, by entry.

    Raises:
        LedgerBrokenError: an entry that we signed can no longer be read.
    """
    rows = await connection.fetch(_SQL["read_renewed"], list(signed))
    return {row["entry"]: _renewal(row, federation) for row in rows}


def _renewal(row: asyncpg.Record, federation: FederationId) -> Renewal:
    try:
        entry = read_entry(row["entry"], federation)
    except PeerError as error:
        raise LedgerBrokenError(f"renewal of {row['at']}: {error}") from None
    return Renewal(
        number=row["number"],
        entry=entry,
        signed=row["entry"],
        statement=row["statement"],
        at=from_datetime(row["at"]),
        is_recovery=row["is_recovery"],
        state=ProposalState(row["state"]),
        answered_at=from_nullable(row["answered_at"]),
    )


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write a batch's renewals, in the order in which they were kept."""
    for effect in effects:
        if isinstance(effect, KeepRenewal):
            renewal = effect.renewal
            await connection.execute(
                _SQL["write_renewal"],
                renewal.number,
                renewal.signed,
                renewal.statement,
                to_datetime(renewal.at),
                renewal.is_recovery,
                renewal.state.value,
                to_nullable(renewal.answered_at),
            )
