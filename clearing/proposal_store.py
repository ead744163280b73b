"""What groups have asked the regional admin for; only writer of ``proposal``."""

from collections.abc import Sequence

from clearing.rules import KeepProposal, Proposal, ProposalState
from protocol.address import FederationId, Group
from protocol.directory import read_entry
from protocol.effects import Effect
from protocol.errors import LedgerBrokenError, PeerError
from protocol.instant import from_datetime, from_nullable, to_datetime, to_nullable
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read_newest(
    connection: AnyConnection, federation: FederationId
) -> dict[Group, Proposal]:
    """Give the newest proposal of each group.

    Raises:
        LedgerBrokenError: an entry that was taken once can no longer be read.
    """
    found = {}
    for row in await connection.fetch(_SQL["read_newest"]):
        group, decided_at = Group(row["group_name"]), row["decided_at"]
        try:
            entry = read_entry(row["entry"], federation)
        except PeerError as error:
            raise LedgerBrokenError(f"proposal of {group}: {error}") from None
        found[group] = Proposal(
            group=group,
            number=row["number"],
            line_hash=row["line_hash"],
            entry=entry,
            signed=row["entry"],
            at=from_datetime(row["at"]),
            state=ProposalState(row["state"]),
            decided_at=from_nullable(decided_at),
        )
    return found


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write a batch's proposals as they are after it."""
    kept = {
        (effect.proposal.group, effect.proposal.number): effect.proposal
        for effect in effects
        if isinstance(effect, KeepProposal)
    }
    if not kept:
        return
    proposals = list(kept.values())
    await connection.execute(
        _SQL["write_proposals"],
        [proposal.group for proposal in proposals],
        [proposal.number for proposal in proposals],
        [proposal.line_hash for proposal in proposals],
        [proposal.signed for proposal in proposals],
        [to_datetime(proposal.at) for proposal in proposals],
        [proposal.state.value for proposal in proposals],
        [to_nullable(proposal.decided_at) for proposal in proposals],
    )
