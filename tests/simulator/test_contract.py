"""The database in memory answers what PostgreSQL answers, or the simulator lies.

A simulated federation is recorded, statement by statement, and played again to a
real PostgreSQL: every query must give the same rows, every constraint hold, every
transaction end alike. A query that no recording reaches is named below, with why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from clearing.app import MIGRATIONS as HUB_MIGRATIONS
from nodes.app import MIGRATIONS as NODE_MIGRATIONS
from protocol.address import HUB
from protocol.instant import Instant
from protocol.peer.clerk import PEER_MIGRATIONS
from protocol.peer.migration_store import migrate
from tests.simulator.key_stories import KeyStory
from tests.simulator.ledger_stories import LedgerStory
from tests.simulator.life_stories import LifeStory
from tests.simulator.lying_hub import LyingHub
from tests.simulator.memory_database import answered, name_of
from tests.simulator.quick_keys import quick_keys
from tests.simulator.world import BEGINNING

Statement = tuple[str, str, Sequence[Any], Any]
NewDatabase = Callable[[], Awaitable[str]]

#: Asked by no story yet: where nobody lies nobody is doubted, and a log of a story has
#: no tiles above its leaves.
_RARE = {
    "clearing.log_store.read_moves",
    "clearing.log_store.insert_tile_hashes",
    "clearing.log_store.read_tile_hashes",
    "nodes.trust_store.insert_doubt",
    "nodes.trust_store.insert_trust",
    "nodes.trust_store.read_before",
    "protocol.peer.transfer_store.read_undecided",
}
#: A story that asks nearly everything once.
_STORY = """
    oostende        crashes   before send
    marie@oostende  pays      bob@mechelen  2 blussers
    clock           +5 s
    bob@mechelen    gives     back  1 blusser
    clock           +5 s
    marie@oostende  pays      jan@oostende  1 blusser
    treasurer       limits    marie@oostende  -50 .. 50
    mechelen        wants     rate 120000
    admin           approves  mechelen
    admin           caps      oostende  mechelen  600
    admin           freezes   brussel
    clock           +5 s
    marie@oostende  pays      bob@mechelen  2 ketjes
    hub             crashes
    clock           +1 min
    marie@oostende  asks      again
    clock           +1 min
    calendar        looks     weekly
    admin           closes    cycle 1
    clock           +600 ms
    mechelen        disputes  cycle 1
    clock           +10 s
    mechelen        checks    cycle 1
    clock           +5 s
    admin           settles   cycle 1
    clock           +5 s
    oostende        signs     paid      to mechelen
    mechelen        signs     received  from oostende
    clock           +5 s
    admin           voids     oostende to mechelen   # it has ended
    admin           closes    cycle 2
    clock           +5 s
    hub             crashes
    clock           +1 min
    admin           releases  brussel
    an@brussel      pays      bob@mechelen  6 ketjes
    clock           +5 s
    groups          charge    50 percent beyond 0
    brussel         wishes    to leave
    clock           +5 s
    ann             asks_for  brussel left -12
    bea             grants    1
    clock           +5 s
    groups          agree     on equal parts
    clock           +1 min
    admin           tells     brussel by equal parts
    clock           +5 s
    admin           shares    brussel
    clock           +5 s
    admin           closes    cycle 3
    clock           +1 min
    oostende        renews    its keys
    clock           +1 min
    oostende        types     the sheet
    clock           +1 min
    oostende        books     marie -2 jan 1 fund 1
    oostende        spreads   1 to all
    oostende        spreads   -1 to jan
    oostende        at_once   undoes hand-1 / undoes hand-1 / repeats hand-1
    oostende        undoes    marie:key-2
    oostende        undoes    marie:key-1
    oostende        undoes    hand-99
    oostende        bounds    jan -9 .. same
    oostende        bounds_many  jan same .. 9 marie -50 .. none
    oostende        shuts     jan to the fund
    oostende        books     jan 1 marie -1
    oostende        reopens   jan
    oostende        admits    carl -5 .. 5
    oostende        repeats   hand-13
    mechelen        backs     up
    clock           +1 min
    mechelen        restores
    clock           +2 min
    hub             tears     a batch
    marie@oostende  pays      bob@mechelen  1 ketje
    clock           +2 min
"""


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


class _Story(KeyStory, LifeStory, LedgerStory):
    """All words."""


def _record() -> dict[str, list[Statement]]:
    """Play the story, and keep what each server asked its database."""
    recorded: dict[str, list[Statement]] = {}

    def keep(name: str) -> Callable[..., None]:
        statements = recorded[name] = []
        return lambda *statement: statements.append(statement)

    with quick_keys():
        story = _Story(record=keep)
        # It does not lie here; but nodes watch its log, and ask more.
        LyingHub(story)
        story.checker.doubted.add(HUB)
        story.play(_STORY)
    return recorded


async def test_postgresql_answers_as_memory_does(new_database: NewDatabase) -> None:
    # Watches bring an event loop of their own.
    for name, statements in (await asyncio.to_thread(_record)).items():
        house = HUB_MIGRATIONS if name == "hub" else NODE_MIGRATIONS
        connection = await asyncpg.connect(await new_database())
        try:
            packages = [PEER_MIGRATIONS, house]
            await migrate(connection, packages, Instant(BEGINNING))
            asked = await _replay(connection, _until_restore(statements))
        finally:
            await connection.close()
        assert "protocol.peer.transfer_store.write_transfers" in asked or (
            name == "brussel"
        )


def _until_restore(statements: Sequence[Statement]) -> Sequence[Statement]:
    """Stop where a server is put back to an older day: PostgreSQL is not, here."""
    for place, (_, sql, _, _) in enumerate(statements):
        if sql and name_of(sql) == "protocol.peer.backup_store.write_restored":
            return statements[:place]
    return statements


def test_every_query_is_asked_by_the_story_or_named_as_rare() -> None:
    asked = {
        name_of(sql)
        for statements in _record().values()
        for _, sql, _, _ in statements
        if sql
    }
    assert answered() - asked <= _RARE, sorted(answered() - asked - _RARE)
