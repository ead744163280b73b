"""Cycles as a node keeps them, and what its own ledger yields for one."""

import asyncio
from collections.abc import Collection, Sequence

import asyncpg
import msgspec

from nodes.cycle_sheet import ToldEntry
from nodes.rules import (
    CycleState,
    KeepLateLeg,
    KeepLog,
    KeepOwnCycle,
    KeepOwnLeg,
    LegState,
    OwnCycle,
    OwnLeg,
    read_content,
)
from protocol.cycle import Difference, Figures, tally_of
from protocol.effects import Effect, PostEntry
from protocol.errors import LedgerBrokenError
from protocol.instant import (
    Instant,
    from_datetime,
    from_nullable,
    to_datetime,
    to_nullable,
)
from protocol.messages import CycleMove, DecisionName
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
_decoder = msgspec.json.Decoder(Difference)


class OwnMoves(msgspec.Struct, frozen=True):
    """What our own ledger has of a cycle, signed as the position.

    Attributes:
        opening: what all that was decided before adds up to.
        moves: in the order of their decisions.
    """

    opening: int
    moves: Sequence[CycleMove]

    @property
    def figures(self) -> Figures:
        """What we agree with, if the hub states the same."""
        return Figures.of(self.opening, tally_of(self.moves))


async def read_cycles_named(
    connection: AnyConnection, cycles: Collection[int]
) -> dict[int, OwnCycle]:
    """Give cycles by number."""
    rows = await connection.fetch(_SQL["read_cycles_named"], list(cycles))
    return {row["cycle"]: _cycle(row) for row in rows}


async def read_cycles(
    connection: AnyConnection, before: int, most: int
) -> list[OwnCycle]:
    """Give cycles that have ended, newest first."""
    rows = await connection.fetch(_SQL["read_cycles"], before, most)
    return [_cycle(row) for row in rows]


async def read_waiting(connection: AnyConnection, most: int) -> list[OwnCycle]:
    """Give cycles about which the hub waits for a word of ours."""
    return [_cycle(row) for row in await connection.fetch(_SQL["read_waiting"], most)]


async def read_disputed(connection: AnyConnection, most: int) -> list[OwnCycle]:
    """Give cycles on which we and the hub differ, newest first."""
    return [_cycle(row) for row in await connection.fetch(_SQL["read_disputed"], most)]


def _cycle(row: asyncpg.Record) -> OwnCycle:
    difference = row["difference"]
    return OwnCycle(
        cycle=row["cycle"],
        name=DecisionName(row["log"], row["number"]),
        former=DecisionName.from_nullable(row["former_log"], row["former_number"]),
        at=from_datetime(row["at"]),
        line=row["line"],
        state=CycleState(row["state"]),
        answered_at=from_nullable(row["answered_at"]),
        dispute=row["dispute"],
        unanswered=row["unanswered"],
        difference=None if difference is None else _decoder.decode(difference),
    )


async def read_legs_named(
    connection: AnyConnection, ids: Collection[str]
) -> dict[str, OwnLeg]:
    """Give legs by id."""
    rows = await connection.fetch(_SQL["read_legs_named"], list(ids))
    return {str(row["leg_id"]): _leg(row) for row in rows}


async def read_legs(connection: AnyConnection, before: int, most: int) -> list[OwnLeg]:
    """Give legs, newest first, those told of before an item of the hub's."""
    rows = await connection.fetch(_SQL["read_legs"], before, most)
    return [_leg(row) for row in rows]


async def read_open_legs(connection: AnyConnection, most: int) -> list[OwnLeg]:
    """Give legs that wait for a word of ours, the oldest first."""
    return [_leg(row) for row in await connection.fetch(_SQL["read_open_legs"], most)]


async def read_late_legs(
    connection: AnyConnection, since: Instant, most: int
) -> list[str]:
    """Give legs that have waited since then or longer, and nobody was called about."""
    rows = await connection.fetch(_SQL["read_late_legs"], to_datetime(since), most)
    return [str(row["leg_id"]) for row in rows]


async def read_legs_under_way(connection: AnyConnection, most: int) -> list[OwnLeg]:
    """Give legs that have not ended, whoever's word they wait for, oldest first."""
    rows = await connection.fetch(_SQL["read_legs_under_way"], most)
    return [_leg(row) for row in rows]


async def read_legs_of(connection: AnyConnection, cycle: int) -> list[OwnLeg]:
    """Give the legs that settle what a cycle left."""
    return [_leg(row) for row in await connection.fetch(_SQL["read_legs_of"], cycle)]


async def read_signer(connection: AnyConnection, person_id: str) -> str | None:
    """Give the name with which somebody who has signed signs in."""
    found: str | None = await connection.fetchval(_SQL["read_signer"], person_id)
    return found


def _leg(row: asyncpg.Record) -> OwnLeg:
    return OwnLeg(
        leg_id=str(row["leg_id"]),
        cycle=row["cycle"],
        item=row["item"],
        line=row["line"],
        at=from_datetime(row["at"]),
        debtor=row["debtor"],
        creditor=row["creditor"],
        milliseconds=row["milliseconds"],
        state=LegState(row["state"]),
        signed_at=from_nullable(row["signed_at"]),
        author=row["author"],
        reason=row["reason"],
        name=DecisionName.from_nullable(row["log"], row["number"]),
        ended_at=from_nullable(row["ended_at"]),
        code=row["code"],
    )


async def read_settled(connection: AnyConnection, group: str) -> int:
    """Give what settled legs come to, signed as the position of our ``group``."""
    found: int = await connection.fetchval(_SQL["read_settled"], group)
    return found


async def read_own_moves(connection: AnyConnection, own: OwnCycle) -> OwnMoves:
    """Read a cycle's moves from our own postings.

    What was decided in it counts, whenever it was booked; so what people have mended
    since counts too.

    Raises:
        LedgerBrokenError: there is no such cycle here.
    """
    span = await connection.fetchrow(_SQL["read_span"], own.cycle)
    if span is None:
        raise LedgerBrokenError(f"cycle {own.cycle}: it is not here")
    # Where it began in a log of before we were here, all that we have belongs to it.
    former = own.former if span["knows_former"] else None
    balance = await connection.fetchval(_SQL["read_balance"], span["first"])
    rows = await connection.fetch(
        _SQL["read_moves"],
        span["first"],
        span["last"],
        "" if former is None else former.log,
        -1 if former is None else former.number,
        own.name.log,
        own.name.number,
    )
    # In a thread: they may be many, and members are served meanwhile.
    return await asyncio.to_thread(_own_moves, rows, balance or 0)


def _own_moves(rows: Sequence[asyncpg.Record], balance: int) -> OwnMoves:
    late = sum(row["amount"] for row in rows if row["is_former"])
    moves = [
        CycleMove(row["log"], row["number"], str(row["entry_id"]), row["amount"])
        for row in rows
        if not row["is_former"]
    ]
    return OwnMoves(late - balance, moves)


async def read_told(
    connection: AnyConnection, ids: Collection[str]
) -> dict[str, ToldEntry]:
    """Give what our ledger tells of entries, by id."""
    rows = await connection.fetch(_SQL["read_told"], list(ids))
    return {str(row["entry_id"]): _told(row) for row in rows}


def _told(row: asyncpg.Record) -> ToldEntry:
    content = read_content(row["line"])
    payer, payee = row["debtor"], row["creditor"]
    if content is not None:
        payer = f"{content.payer}@{row['payer_group']}"
        payee = f"{content.payee}@{row['payee_group']}"
    return ToldEntry(
        at=from_datetime(row["at"]),
        kind=row["kind"],
        payer=payer,
        payee=payee,
        text=row["reason"] if content is None else content.memo,
    )


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write cycles and logs, in the order in which they were kept."""
    behind = sum(isinstance(effect, PostEntry) for effect in effects)
    for effect in effects:
        match effect:
            case PostEntry():
                behind -= 1
            case KeepLog(log):
                await connection.execute(_SQL["insert_log"], log)
            case KeepOwnCycle(own):
                await _write_cycle(connection, own, behind)
            case KeepOwnLeg(leg):
                await _write_leg(connection, leg)
            case KeepLateLeg(leg_id, at):
                await connection.execute(_SQL["insert_late"], leg_id, to_datetime(at))
            case _:
                pass


async def _write_cycle(connection: AnyConnection, own: OwnCycle, behind: int) -> None:
    former, at, difference = own.former, own.answered_at, own.difference
    told = None if difference is None else msgspec.json.encode(difference).decode()
    await connection.execute(
        _SQL["write_cycle"],
        own.cycle,
        own.name.log,
        own.name.number,
        None if former is None else former.log,
        None if former is None else former.number,
        to_datetime(own.at),
        own.line,
        own.state.value,
        to_nullable(at),
        own.dispute,
        own.unanswered,
        told,
        behind,
    )


async def _write_leg(connection: AnyConnection, leg: OwnLeg) -> None:
    name = leg.name
    await connection.execute(
        _SQL["write_leg"],
        leg.leg_id,
        leg.cycle,
        leg.item,
        leg.line,
        to_datetime(leg.at),
        leg.debtor,
        leg.creditor,
        leg.milliseconds,
        leg.state.value,
        to_nullable(leg.signed_at),
        leg.author,
        leg.reason,
        None if name is None else name.log,
        None if name is None else name.number,
        to_nullable(leg.ended_at),
        leg.code,
    )
