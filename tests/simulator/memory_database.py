"""A server's database in memory: the same named queries, answered by dictionaries.

The simulator runs the real clerk, the real houses and the real stores; only what
answers their queries is another, and that is here and in ``memory_queries``. A
database transaction that does not reach its end is undone, and a crash may strike
between any two statements of it. That both databases answer alike is proved by
``test_contract``: it plays what simulated servers asked to a real PostgreSQL.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import asyncpg

from protocol.peer.database import queries

Row = dict[str, Any]
Table = dict[Any, Any]
_GONE = object()
#: By the text of a query: what answers it, and its name.
_ANSWERS: dict[str, tuple[Callable[..., Any], str]] = {}


def answers(store: str, name: str) -> Callable[[Callable[..., Any]], Any]:
    """Let a function answer a named query of a store."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        module = importlib.import_module(store)
        assert module.__file__ is not None
        sql = queries(module.__file__)[name]
        assert sql not in _ANSWERS, f"{store}.{name} is answered twice"
        _ANSWERS[sql] = function, f"{store}.{name}"
        return function

    return register


def name_of(sql: str) -> str:
    """Name a query."""
    return _ANSWERS[sql][1]


def answered() -> set[str]:
    """Name all queries that have an answer here."""
    return {name for _, name in _ANSWERS.values()}


def refuse(rule: str) -> None:
    """Refuse what the schema would refuse, by the rule's name."""
    error = asyncpg.CheckViolationError(rule)
    error.constraint_name = rule
    raise error


class MemoryDatabase:
    """Tables that outlive their server, and may be put back to an older day.

    Attributes:
        watch: told of every commit, with what each changed row was before.
        record: told of every statement and what it answered, if anybody wants that.
        strike: called before each write inside a transaction; may raise a crash.
    """

    def __init__(self) -> None:
        self.tables: dict[Any, Table] = {}
        self.watch: Callable[[list[tuple[Any, Any, Any]]], None] = lambda _: None
        self.record: Callable[[str, str, Sequence[Any], Any], None] | None = None
        self.strike: Callable[[], None] = lambda: None
        self._journal: list[tuple[Any, Any, Any]] | None = None

    def table(self, name: Any) -> Table:
        """Give a table; it is there from the first time it is named."""
        try:
            return self.tables[name]
        except KeyError:
            return self.tables.setdefault(name, {})

    def put(self, name: Any, key: Any, row: Any) -> None:
        """Write a row; rows are never changed in place."""
        table = self.table(name)
        if self._journal is not None:
            self._journal.append((name, key, table.get(key, _GONE)))
        table[key] = row

    def keep(self, name: Any, key: Any, row: Row, columns: Sequence[str]) -> None:
        """Let a new row have what stands in columns that no upsert changes, if any."""
        before = self.table(name).get(key)
        if before is not None:
            row |= {column: before[column] for column in columns}

    def drop(self, name: Any, key: Any) -> None:
        """Remove a row, if it is there."""
        table = self.table(name)
        if key in table:
            if self._journal is not None:
                self._journal.append((name, key, table[key]))
            del table[key]

    def begin(self) -> None:
        """Begin a database transaction."""
        assert self._journal is None, "there is one writer"
        self._journal = []

    def commit(self) -> None:
        """Make it durable."""
        assert self._journal is not None
        journal, self._journal = self._journal, None
        self.watch([(n, k, None if old is _GONE else old) for n, k, old in journal])

    def rollback(self) -> None:
        """Undo it, newest change first; nothing when the checker saw it committed."""
        journal, self._journal = self._journal or [], None
        for name, key, before in reversed(journal):
            if before is _GONE:
                self.tables[name].pop(key, None)
            else:
                self.tables[name][key] = before

    @property
    def is_writing(self) -> bool:
        """Say whether a transaction is open."""
        return self._journal is not None

    def snapshot(self) -> Mapping[Any, Table]:
        """Copy everything, as a backup does."""
        assert self._journal is None
        return {name: dict(table) for name, table in self.tables.items()}

    def restore(self, snapshot: Mapping[Any, Table]) -> None:
        """Put everything back to a backup."""
        self.tables = {name: dict(table) for name, table in snapshot.items()}


class MemoryConnection:
    """What stores see: as much of an asyncpg connection as they use."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._is_closed = False

    def is_closed(self) -> bool:
        """Say whether the server behind it died."""
        return self._is_closed

    def terminate(self) -> None:
        """Drop it at once."""
        self._is_closed = True

    def transaction(self) -> "_Transaction":
        """Begin a database transaction."""
        return _Transaction(self._database)

    def _ask(self, how: str, sql: str, values: Sequence[Any]) -> Any:
        found = _ANSWERS.get(sql)
        if found is None:
            raise NotImplementedError(f"no answer in memory to: {sql}")
        database = self._database
        if database.is_writing:
            database.strike()
        answer = found[0](database, *values)
        if database.record is not None:
            database.record(how, sql, values, answer)
        return answer

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Give all rows."""
        rows: list[Any] = self._ask("fetch", sql, values)
        return rows

    async def fetchrow(self, sql: str, *values: Any) -> Any:
        """Give the first row, or nothing."""
        rows = self._ask("fetchrow", sql, values)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """Give the first column of the first row, or nothing."""
        rows = self._ask("fetchval", sql, values)
        return next(iter(rows[0].values())) if rows else None

    async def execute(self, sql: str, *values: Any) -> str:
        """Write; gives what PostgreSQL would call it."""
        done = self._ask("execute", sql, values)
        return "" if done is None else str(done)


class _Transaction:
    """``async with connection.transaction()``, which never waits here."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def __aenter__(self) -> Self:
        self._database.begin()
        if self._database.record is not None:
            self._database.record("begin", "", (), None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        recorded = "rollback" if kind else "commit"
        if self._database.record is not None:
            self._database.record(recorded, "", (), None)
        if kind is None:
            self._database.commit()
        else:
            self._database.rollback()
