"""The database in memory answers what PostgreSQL answers, or the simulator lies.

Whole simulated federations are recorded, statement by statement, and played again to
a real PostgreSQL: every query must give the same rows, every constraint hold, every
transaction end alike. A query that no recording reaches is named below, with why.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest

from clearing.app import MIGRATIONS as HUB_MIGRATIONS
from nodes.app import MIGRATIONS as NODE_MIGRATIONS
from protocol.instant import Instant
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.migration_store import migrate
from tests.simulator.memory_database import answered, name_of
from tests.simulator.quick_keys import quick_keys
from tests.simulator.servers import Server
from tests.simulator.swarm import Swarm
from tests.simulator.world import BEGINNING

Statement = tuple[str, str, Sequence[Any], Any]
NewDatabase = Callable[[], Awaitable[str]]

#: Asked by no seed yet: where nobody lies nobody is called or doubted, the log's
#: watch is not simulated, and no treasurer books by hand.
_RARE = {
    "clearing.log_store.read_moves",
    "clearing.log_store.is_before",
    "clearing.log_store.insert_tile_hashes",
    "nodes.trust_store.insert_doubt",
    "nodes.trust_store.insert_trust",
    "nodes.trust_store.write_beliefs",
    "nodes.trust_store.write_compared",
    "protocol.peer.directory_store.insert_alarms",
    "protocol.peer.ledger_store.read_corrected",
    "protocol.peer.transfer_store.read_undecided",
}
_SEEDS = (3, 4, 19)


def _plain(value: Any) -> Any:
    """Write a value so that both databases' are equal when they mean the same."""
    if isinstance(value, int | bool | bytes | type(None)):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return str(value)


def _rows(rows: Any) -> list[list[tuple[str, Any]]]:
    # Both give rows of a set; only some queries promise an order.
    found = [sorted((name, _plain(one)) for name, one in row.items()) for row in rows]
    return sorted(found, key=repr)


def _values(rows: Any) -> list[list[Any]]:
    return [[value for _, value in row] for row in _rows(rows)]


async def _replay(connection: Any, statements: Sequence[Statement]) -> set[str]:
    """Play statements to PostgreSQL; gives the names of the queries that were asked."""
    asked, transaction = set(), None
    for number, (how, sql, values, answer) in enumerate(statements):
        if how == "begin":
            transaction = connection.transaction()
            await transaction.start()
        elif how in ("commit", "rollback"):
            assert transaction is not None
            await getattr(transaction, how)()
        elif how == "execute":
            done = await connection.execute(sql, *values)
            assert answer in (None, done), (number, name_of(sql), done)
        else:
            found = [dict(row) for row in await connection.fetch(sql, *values)]
            expected = answer[: len(found)] if how == "fetchrow" else answer
            told = f"{number}: {name_of(sql)}{values}"
            if how == "fetchval":
                # How a lone column is named is PostgreSQL's affair.
                assert _values(found) == _values(expected), told
            else:
                assert _rows(found) == _rows(expected), told
        if sql:
            asked.add(name_of(sql))
    return asked


def _record(seed: int) -> tuple[Swarm, dict[str, list[Statement]]]:
    """Play a seed, and keep what each of its servers asked its database."""
    with quick_keys():
        swarm = Swarm(seed)
        recorded: dict[str, list[Statement]] = {}

        def keep(server: Server) -> Callable[..., None]:
            statements = recorded[server.name] = []
            return lambda *statement: statements.append(statement)

        for server in swarm.federation.servers:
            server.database.record = keep(server)
        assert not swarm.run().failure
    return swarm, recorded


async def _compare(new_database: NewDatabase, seed: int, most: int) -> set[str]:
    asked: set[str] = set()
    _, recorded = _record(seed)
    for name, statements in recorded.items():
        house = HUB_MIGRATIONS if name == "hub" else NODE_MIGRATIONS
        connection = await asyncpg.connect(await new_database())
        try:
            packages = [PEER_MIGRATIONS, house]
            await migrate(connection, packages, Instant(BEGINNING))
            asked |= await _replay(connection, _whole(statements, most))
        finally:
            await connection.close()
    return asked


def _whole(statements: Sequence[Statement], most: int) -> Sequence[Statement]:
    """Take the first so many, up to the end of a transaction."""
    ends = [
        place + 1
        for place, (how, *_) in enumerate(statements[:most])
        if how in ("commit", "rollback")
    ]
    return statements[: ends[-1]]


@pytest.mark.parametrize("seed", _SEEDS)
async def test_postgresql_answers_as_memory_does(
    new_database: NewDatabase, seed: int
) -> None:
    asked = await _compare(new_database, seed, 3000)
    assert "protocol.peer.transfer_store.write_transfers" in asked


def test_every_query_is_asked_by_a_seed_or_named_as_rare() -> None:
    asked = {
        name_of(sql)
        for seed in _SEEDS
        for statements in _record(seed)[1].values()
        for _, sql, _, _ in _whole(statements, 3000)
        if sql
    }
    assert answered() - asked <= _RARE, sorted(answered() - asked - _RARE)
