"""What the group has asked the hub to approve; only writer of ``proposal``."""

from collections.abc import Collection, Sequence

import asyncpg

from nodes.rules import KeepProposal, Proposal, ProposalState
from protocol.address import FederationId
from protocol.directory import read_entry
from protocol.effects import Effect
from protocol.errors import LedgerBrokenError, PeerError
from protocol.instant import from_datetime, from_nullable, to_datetime, to_nullable
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_newest(
    connection: AnyConnection, federation: FederationId
) -> Proposal | None:
    """Give the newest proposal, if there ever was one.

    Raises:
        LedgerBrokenError: an entry that we signed can no longer be read.
    """
    row = await connection.fetchrow(_SQL["read_newest"])
    return None if row is None else _proposal(row, federation)


async def read_asked(
    connection: AnyConnection, federation: FederationId, signed: Collection[str]
) -> dict[str, Proposal]:
    """Give what was asked with these very entries; newest of each, by entry.

    Raises:
        LedgerBrokenError: an entry that we signed can no longer be read.
    """
    rows = await connection.fetch(_SQL["read_asked"], list(signed))
    return {row["entry"]: _proposal(row, federation) for row in rows}


def _proposal(row: asyncpg.Record, federation: FederationId) -> Proposal:
    try:
        entry = read_entry(row["entry"], federation)
    except PeerError as error:
        raise LedgerBrokenError(f"proposal {row['number']}: {error}") from None
    answered_at = row["answered_at"]
    return Proposal(
        number=row["number"],
        entry=entry,
        signed=row["entry"],
        at=from_datetime(row["at"]),
        state=ProposalState(row["state"]),
        answered_at=from_nullable(answered_at),
    )


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write a batch's proposals, in the order in which they were kept."""
    for effect in effects:
        if isinstance(effect, KeepProposal):
            proposal = effect.proposal
            answered_at = proposal.answered_at
            await connection.execute(
                _SQL["write_proposal"],
                proposal.number,
                proposal.signed,
                to_datetime(proposal.at),
                proposal.state.value,
                to_nullable(answered_at),
            )
