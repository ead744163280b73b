"""Dangerous acts that wait for another admin's word; only writer of ``consent``."""

from collections.abc import Sequence

import asyncpg

from clearing.rules import Consent, ConsentState, KeepConsent
from protocol.effects import Effect
from protocol.instant import from_datetime, from_nullable, to_datetime, to_nullable
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


async def read(connection: AnyConnection) -> dict[int, Consent]:
    """Give all that was ever asked, by number."""
    rows = await connection.fetch(_SQL["read_consents"])
    return {row["number"]: _consent(row) for row in rows}


def _consent(row: asyncpg.Record) -> Consent:
    return Consent(
        number=row["number"],
        act=row["act"],
        asked_by=row["asked_by"],
        asked_at=from_datetime(row["asked_at"]),
        seen=row["seen"],
        state=ConsentState(row["state"]),
        ended_by=row["ended_by"],
        ended_at=from_nullable(row["ended_at"]),
    )


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write a batch's consents, in the order in which they were kept."""
    for effect in effects:
        if isinstance(effect, KeepConsent):
            kept = effect.consent
            await connection.execute(
                _SQL["write_consent"],
                kept.number,
                kept.act,
                kept.asked_by,
                to_datetime(kept.asked_at),
                kept.state.value,
                kept.ended_by,
                to_nullable(kept.ended_at),
                kept.seen,
            )
