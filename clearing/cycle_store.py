"""Cycles as the hub keeps them: tallies of the open one, statements of the others."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec

from clearing.rules import (
    ClosedCycle,
    KeepCycle,
    KeepLate,
    KeepLeg,
    KeepSettlement,
    KeepStatement,
    KeepWord,
    Leg,
    LegState,
    OpenCycle,
    Running,
    Said,
    Settlement,
    Statement,
    StatementState,
    Word,
)
from protocol.cycle import Difference, Tally
from protocol.effects import Effect
from protocol.instant import (
    Instant,
    from_datetime,
    from_nullable,
    read_instant,
    to_datetime,
    to_nullable,
)
from protocol.messages import (
    CycleMove,
    CycleStatement,
    DecisionName,
    LogDecision,
    read_item,
)
from protocol.netting import Flows
from protocol.peer.database import AnyConnection, queries

_SQL = queries(__file__)
#: Entries that are read at once where tallies are caught up.
_RUN = 5000
_decoder = msgspec.json.Decoder(Difference)


async def read_running(
    connection: AnyConnection, newest: int, closed: ClosedCycle | None
) -> tuple[dict[str, Running], int]:
    """Give how each account's position goes in the open cycle.

    Args:
        connection: any.
        newest: sequence of the newest entry.
        closed: the newest cycle that has ended.

    Returns:
        Also how many moves the stored tallies did not know of.
    """
    running = {
        row["group_name"]: Running(
            row["opening"],
            Tally(row["debits"], row["credits"], row["count"], row["digest"]),
            int(row["area"]),
            from_nullable(row["since"]),
        )
        for row in await connection.fetch(_SQL["read_tallies"])
    }
    known: int = await connection.fetchval(_SQL["read_tallied"]) or 0
    if closed is not None:
        running |= await _read_areas(connection, running, known, closed)
    opened = OpenCycle(closed, running, {})
    for first in range(known, newest, _RUN):
        last = min(first + _RUN, newest)
        for row in await connection.fetch(_SQL["read_moves_after"], first, last):
            at = from_datetime(row["at"])
            opened.move(row["account_id"], _move(row), at)
    return running | opened.changed, opened.moves


async def _read_areas(
    connection: AnyConnection,
    running: Mapping[str, Running],
    known: int,
    closed: ClosedCycle,
) -> dict[str, Running]:
    """Make areas anew that a hub of before there were any has not summed up."""
    lacking = {name: one for name, one in running.items() if one.since is None}
    if not lacking:
        return {}
    name = closed.name
    rows = await connection.fetch(
        _SQL["read_timed_moves"], name.log, name.number, known
    )
    stood = {group: (one.opening, 0, closed.at) for group, one in lacking.items()}
    for row in rows:
        if row["account_id"] in stood:
            position, area, since = stood[row["account_id"]]
            at = max(since, from_datetime(row["at"]))
            moved = position + row["amount"], area + position * (at - since), at
            stood[row["account_id"]] = moved
    return {
        group: Running(one.opening, one.tally, *stood[group][1:])
        for group, one in lacking.items()
    }


def _move(row: asyncpg.Record) -> CycleMove:
    return CycleMove(row["log"], row["number"], str(row["entry_id"]), row["amount"])


async def write_running(
    connection: AnyConnection, running: Mapping[str, Running], newest: int
) -> None:
    """Keep tallies as they stand after the newest entry; all that have changed."""
    tallies = [one.tally for one in running.values()]
    await connection.execute(
        _SQL["write_tallies"],
        list(running),
        [one.opening for one in running.values()],
        [tally.debits for tally in tallies],
        [tally.credits for tally in tallies],
        [tally.count for tally in tallies],
        [tally.digest for tally in tallies],
        [str(one.area) for one in running.values()],
        [to_nullable(one.since) for one in running.values()],
    )
    await connection.execute(_SQL["write_tallied"], newest)


async def read_newest(connection: AnyConnection) -> ClosedCycle | None:
    """Give the newest cycle that has ended, if any has."""
    row = await connection.fetchrow(_SQL["read_newest_cycle"])
    return None if row is None else _cycle(row)


async def read_beginning(connection: AnyConnection) -> Instant | None:
    """Say when this hub made its first decision."""
    line = await connection.fetchval(_SQL["read_beginning"])
    item = None if line is None else read_item(line)
    return read_instant(item.at) if isinstance(item, LogDecision) else None


async def read_cycle(connection: AnyConnection, cycle: int) -> ClosedCycle | None:
    """Give one cycle that has ended; ``None``: it has not, or never began."""
    row = await connection.fetchrow(_SQL["read_cycle"], cycle)
    return None if row is None else _cycle(row)


async def read_cycles(
    connection: AnyConnection, before: int, most: int
) -> list[ClosedCycle]:
    """Give cycles that have ended, newest first."""
    return [
        _cycle(row) for row in await connection.fetch(_SQL["read_cycles"], before, most)
    ]


def _cycle(row: asyncpg.Record) -> ClosedCycle:
    return ClosedCycle(
        cycle=row["cycle"],
        name=DecisionName(row["log"], row["number"]),
        former=DecisionName.from_nullable(row["former_log"], row["former_number"]),
        at=from_datetime(row["at"]),
        groups=row["groups"],
        statements=row["statements"],
        reserve=row["reserve"],
    )


async def count_answers(
    connection: AnyConnection, cycles: Sequence[int]
) -> dict[tuple[int, StatementState], int]:
    """Count, by cycle, what groups have said."""
    rows = await connection.fetch(_SQL["count_answers"], list(cycles))
    return {(row["cycle"], StatementState(row["state"])): row["count"] for row in rows}


async def count_legs(
    connection: AnyConnection, cycles: Sequence[int]
) -> dict[tuple[int, LegState], int]:
    """Count, by cycle, legs by what became of them."""
    rows = await connection.fetch(_SQL["count_legs"], list(cycles))
    return {(row["cycle"], LegState(row["state"])): row["count"] for row in rows}


async def read_named(
    connection: AnyConnection, named: Collection[tuple[int, str]]
) -> dict[tuple[int, str], Statement]:
    """Give statements by cycle and group."""
    rows = await connection.fetch(
        _SQL["read_named"],
        [cycle for cycle, _ in named],
        [group for _, group in named],
    )
    return {(row["cycle"], row["group_name"]): _statement(row) for row in rows}


async def read_statements(
    connection: AnyConnection, cycle: int, after: str, most: int
) -> list[Statement]:
    """Give a cycle's statements by group, those behind one name."""
    rows = await connection.fetch(_SQL["read_statements"], cycle, after, most)
    return [_statement(row) for row in rows]


async def read_statements_of_state(
    connection: AnyConnection, cycle: int, state: StatementState, most: int
) -> list[Statement]:
    """Give the first statements of a cycle to which groups have said one thing."""
    rows = await connection.fetch(
        _SQL["read_statements_of_state"], cycle, state.value, most
    )
    return [_statement(row) for row in rows]


async def read_all_statements(connection: AnyConnection, cycle: int) -> list[Statement]:
    """Give all statements of a cycle, by group."""
    rows = await connection.fetch(_SQL["read_all_statements"], cycle)
    return [_statement(row) for row in rows]


async def read_open_legs(connection: AnyConnection) -> list[Leg]:
    """Give legs that have not ended."""
    return [_leg(row) for row in await connection.fetch(_SQL["read_open_legs"])]


async def read_called(connection: AnyConnection, leg_ids: Collection[str]) -> set[str]:
    """Give those legs of which people were called because they are late."""
    rows = await connection.fetch(_SQL["read_called"], list(leg_ids))
    return {str(row["leg_id"]) for row in rows}


async def read_legs(connection: AnyConnection, cycle: int) -> list[Leg]:
    """Give a cycle's legs, in the order in which they were made."""
    return [_leg(row) for row in await connection.fetch(_SQL["read_legs"], cycle)]


async def read_settled_since(
    connection: AnyConnection, name: DecisionName
) -> list[Leg]:
    """Give legs of whatever cycle that were settled behind a decision."""
    rows = await connection.fetch(_SQL["read_settled_since"], name.log, name.number)
    return [_leg(row) for row in rows]


async def read_settled_for(connection: AnyConnection, cycle: int) -> list[Leg]:
    """Give the settled legs that count for a cycle's positions."""
    rows = await connection.fetch(_SQL["read_settled_for"], cycle)
    return [_leg(row) for row in rows]


class Settled(NamedTuple):
    """A cycle's statements, the plans made for it, its legs, and all that count.

    ``settled`` are those of whatever cycle that were settled for its positions.
    """

    statements: list[Statement]
    plans: list[Settlement]
    legs: list[Leg]
    settled: list[Leg]


async def read_what_settles(connection: AnyConnection, cycle: int) -> Settled:
    """Give all from which it follows how far a cycle is settled.

    Args:
        connection: in a transaction that sees one state of the database.
        cycle: which.
    """
    return Settled(
        statements=await read_all_statements(connection, cycle),
        plans=await read_settlements(connection, cycle),
        legs=await read_legs(connection, cycle),
        settled=await read_settled_for(connection, cycle),
    )


async def read_settlements(connection: AnyConnection, cycle: int) -> list[Settlement]:
    """Give the plans that were made for a cycle, in that order."""
    return [
        Settlement(
            cycle=row["cycle"],
            place=row["place"],
            legs=row["legs"],
            at=from_datetime(row["at"]),
            excepted=tuple(row["excepted"]),
        )
        for row in await connection.fetch(_SQL["read_settlements"], cycle)
    ]


async def read_words(
    connection: AnyConnection, leg_ids: Collection[str]
) -> dict[tuple[str, Said], Word]:
    """Give the words on legs by leg and what was said, from the items themselves."""
    found: dict[tuple[str, Said], Word] = {}
    for row in await connection.fetch(_SQL["read_words"], list(leg_ids)):
        word = Word(
            leg_id=str(row["leg_id"]),
            said=row["said"],
            party=row["party"],
            item=row["item"],
            line=row["line"],
        )
        found[word.leg_id, word.said] = word
    return found


async def read_leg(connection: AnyConnection, leg_id: str) -> Leg | None:
    """Give one leg."""
    row = await connection.fetchrow(_SQL["read_leg"], leg_id)
    return None if row is None else _leg(row)


def _leg(row: asyncpg.Record) -> Leg:
    return Leg(
        leg_id=str(row["leg_id"]),
        cycle=row["cycle"],
        place=row["place"],
        at=from_datetime(row["at"]),
        debtor=row["debtor"],
        creditor=row["creditor"],
        milliseconds=row["milliseconds"],
        paid=row["paid"],
        paid_at=from_nullable(row["paid_at"]),
        received=row["received"],
        received_at=from_nullable(row["received_at"]),
        state=LegState(row["state"]),
        name=DecisionName.from_nullable(row["log"], row["number"]),
        ended_at=from_nullable(row["ended_at"]),
        code=row["code"],
    )


async def read_unanswered(
    connection: AnyConnection, after: str, most: int
) -> list[Statement]:
    """Give statements about which a group waits for a list: one of each group.

    Args:
        connection: any.
        after: the groups behind this name come first, so that all have their turn.
        most: how many.
    """
    rows = await connection.fetch(_SQL["read_unanswered"], after, most)
    return [_statement(row) for row in rows]


def _statement(row: asyncpg.Record) -> Statement:
    difference = row["difference"]
    return Statement(
        cycle=row["cycle"],
        group=row["group_name"],
        line=row["line"],
        state=StatementState(row["state"]),
        answered_at=from_nullable(row["answered_at"]),
        answer=row["answer"],
        dispute=row["dispute"],
        unanswered=row["unanswered"],
        difference=None if difference is None else _decoder.decode(difference),
    )


async def read_moves(
    connection: AnyConnection, stated: CycleStatement
) -> list[CycleMove]:
    """Give the moves of a statement, from the postings themselves."""
    former = stated.former or DecisionName("", 0)
    rows = await connection.fetch(
        _SQL["read_moves"],
        stated.group,
        former.log,
        former.number,
        stated.to.log,
        stated.to.number,
    )
    # In a thread: they may be many, and others have their turn meanwhile.
    return await asyncio.to_thread(_moves, rows)


def _moves(rows: Sequence[asyncpg.Record]) -> list[CycleMove]:
    return [_move(row) for row in rows]


async def read_flows(connection: AnyConnection, closed: ClosedCycle) -> Flows:
    """Give the gross flows of a cycle: who paid whom how much, before any netting."""
    former = closed.former or DecisionName("", 0)
    span = (former.log, former.number, closed.name.log, closed.name.number)
    paid: dict[str, dict[str, int]] = {}
    transfers = 0
    for row in await connection.fetch(_SQL["read_flows"], *span):
        milliseconds = int(row["milliseconds"])
        paid.setdefault(row["payer_group"], {})[row["payee_group"]] = milliseconds
        transfers += row["transfers"]
    return Flows(paid, transfers)


async def write(connection: AnyConnection, effects: Sequence[Effect]) -> None:
    """Write the cycles that a batch has ended, and what was said to statements."""
    statements: dict[tuple[int, str], Statement] = {}
    legs: dict[str, Leg] = {}
    words: list[Word] = []
    for effect in effects:
        match effect:
            case KeepCycle(closed):
                await _write_cycle(connection, closed)
            case KeepSettlement(settlement):
                await _write_settlement(connection, settlement)
            case KeepWord(word):
                words.append(word)
            case KeepLate(leg_id, at):
                await connection.execute(_SQL["insert_late"], leg_id, to_datetime(at))
            case KeepStatement(kept):
                statements[kept.cycle, kept.group] = kept
            case KeepLeg(leg):
                legs[leg.leg_id] = leg
            case _:
                pass
    await _write_statements(connection, list(statements.values()))
    await _write_legs(connection, list(legs.values()))
    await _write_words(connection, words)


async def _write_words(connection: AnyConnection, words: Sequence[Word]) -> None:
    if not words:
        return
    await connection.execute(
        _SQL["insert_words"],
        [word.leg_id for word in words],
        [word.said for word in words],
        [word.party for word in words],
        [word.item for word in words],
    )


async def _write_settlement(connection: AnyConnection, made: Settlement) -> None:
    await connection.execute(
        _SQL["insert_settlement"],
        made.cycle,
        made.place,
        made.legs,
        to_datetime(made.at),
        list(made.excepted),
    )


async def _write_cycle(connection: AnyConnection, closed: ClosedCycle) -> None:
    former = closed.former
    await connection.execute(
        _SQL["insert_cycle"],
        closed.cycle,
        closed.name.log,
        closed.name.number,
        None if former is None else former.log,
        None if former is None else former.number,
        to_datetime(closed.at),
        closed.groups,
        closed.statements,
        closed.reserve,
    )


async def _write_statements(
    connection: AnyConnection, kept: Sequence[Statement]
) -> None:
    if not kept:
        return
    columns: list[list[Any]] = [
        [one.cycle for one in kept],
        [one.group for one in kept],
        [one.line for one in kept],
        [one.state.value for one in kept],
        [to_nullable(one.answered_at) for one in kept],
        [one.answer for one in kept],
        [one.dispute for one in kept],
        [one.unanswered for one in kept],
        [
            None
            if one.difference is None
            else msgspec.json.encode(one.difference).decode()
            for one in kept
        ],
    ]
    await connection.execute(_SQL["write_statements"], *columns)


async def _write_legs(connection: AnyConnection, legs: Sequence[Leg]) -> None:
    if not legs:
        return
    columns: list[list[Any]] = [
        [leg.leg_id for leg in legs],
        [leg.cycle for leg in legs],
        [leg.place for leg in legs],
        [to_datetime(leg.at) for leg in legs],
        [leg.debtor for leg in legs],
        [leg.creditor for leg in legs],
        [leg.milliseconds for leg in legs],
        [leg.paid for leg in legs],
        [to_nullable(leg.paid_at) for leg in legs],
        [leg.received for leg in legs],
        [to_nullable(leg.received_at) for leg in legs],
        [leg.state.value for leg in legs],
        [leg.name and leg.name.log for leg in legs],
        [leg.name and leg.name.number for leg in legs],
        [to_nullable(leg.ended_at) for leg in legs],
        [leg.code for leg in legs],
    ]
    await connection.execute(_SQL["write_legs"], *columns)
