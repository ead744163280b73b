"""What this node believes of hub and groups, and whom it doubts; the only writer."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from nodes.rules import (
    Belief,
    KeepBelief,
    KeepCompared,
    KeepDistrust,
    KeepKeys,
    KeepTrust,
    Trust,
)
from protocol.effects import Effect
from protocol.envelope import prove
from protocol.instant import Instant, from_datetime, from_nullable, to_datetime
from protocol.messages import Checkpoint, ItemProof
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)


class TakenItem(NamedTuple):
    """An item of the hub's."""

    number: int
    line: bytes


class Doubt(NamedTuple):
    """Statements that contradict each other, and who has looked at them since."""

    doubt_id: int
    at: Instant
    about: str
    told: str
    ours: str
    theirs: str
    trusted_at: Instant | None
    author: str | None
    reason: str | None


async def read(connection: AnyConnection) -> Trust:
    """Give what is believed now, and who is doubted."""
    era = await connection.fetchval(_SQL["read_era"])
    beliefs = {
        row["log"]: Belief(
            row["place"], Checkpoint(row["log"], row["size"], row["root"]), row["note"]
        )
        for row in await connection.fetch(_SQL["read_beliefs"], era)
    }
    doubted = await connection.fetch(_SQL["read_doubted"])
    accepted = await connection.fetch(_SQL["read_accepted"])
    return Trust(
        era=era,
        beliefs=beliefs,
        newest=list(beliefs.values())[-1] if beliefs else None,
        compared=await connection.fetchval(_SQL["read_compared"]) or 0,
        doubted=frozenset(row["about"] for row in doubted),
        accepted=frozenset(row["keys"] for row in accepted),
    )


async def read_doubts(connection: AnyConnection, before: int, most: int) -> list[Doubt]:
    """Give doubts before a number, newest first."""
    found = []
    for row in await connection.fetch(_SQL["read_doubts"], before, most):
        fields = dict(row)
        trusted_at = fields.pop("trusted_at")
        fields["at"] = from_datetime(fields["at"])
        found.append(
            Doubt(
                **fields,
                trusted_at=from_nullable(trusted_at),
            )
        )
    return found


async def read_items(
    connection: AnyConnection, after: int, most: int
) -> list[TakenItem]:
    """Give the hub's items after a number, oldest first."""
    rows = await connection.fetch(_SQL["read_after"], after, most)
    return [TakenItem(row["number"], row["line"]) for row in rows]


async def read_items_back(
    connection: AnyConnection, up_to: int, most: int
) -> list[TakenItem]:
    """Give the hub's items up to a number, newest first."""
    rows = await connection.fetch(_SQL["read_before"], up_to, most)
    return [TakenItem(row["number"], row["line"]) for row in rows]


async def read_proof(
    connection: AnyConnection, number: int, direction: Literal["in", "out"] = "in"
) -> ItemProof:
    """Give the portable proof that the hub said an item that was taken.

    Args:
        connection: any.
        number: of the item.
        direction: ``out`` for an item of ours, once the hub has answered it.
    """
    row = await connection.fetchrow(_SQL["read_envelope"], number, direction)
    assert row is not None, "every item that was taken came in an envelope"
    return prove(row["line_1"], row["lines"], [number - row["first"]])[0]


async def write(
    connection: AnyConnection, era: int, effects: Sequence[Effect], now: Instant
) -> None:
    """Write a batch's beliefs and doubts.

    Args:
        connection: in the clerk's database transaction.
        era: before the batch; the next one has no beliefs yet.
        effects: of the batch.
        now: the batch's time.
    """
    beliefs = {
        effect.belief.checkpoint.log: effect.belief
        for effect in effects
        if isinstance(effect, KeepBelief)
    }
    if beliefs:
        await _write_beliefs(connection, era, list(beliefs.values()), now)
    for effect in effects:
        match effect:
            case KeepCompared():
                await connection.execute(_SQL["write_compared"], effect.number)
            case KeepDistrust(about, told, ours, theirs):
                await connection.execute(
                    _SQL["insert_doubt"], to_datetime(now), about, told, ours, theirs
                )
            case KeepKeys():
                kept = msgspec.structs.astuple(effect)
                await connection.execute(
                    _SQL["insert_accepted"], to_datetime(now), *kept
                )
            case KeepTrust(about, author, reason):
                await connection.execute(
                    _SQL["insert_trust"], to_datetime(now), about, author, reason
                )
            case _:
                pass


async def _write_beliefs(
    connection: AnyConnection, era: int, beliefs: Sequence[Belief], now: Instant
) -> None:
    await connection.execute(
        _SQL["write_beliefs"],
        era,
        [belief.checkpoint.log for belief in beliefs],
        [belief.place for belief in beliefs],
        [belief.checkpoint.size for belief in beliefs],
        [belief.checkpoint.root for belief in beliefs],
        [belief.note for belief in beliefs],
        to_datetime(now),
    )
