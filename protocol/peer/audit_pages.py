"""Large tables in pages: one is looked at while PostgreSQL reads the next one.

What is computed runs in threads, so that a server that audits itself answers people
meanwhile. Two of them, since libsodium and SHA-256 of long lines let Python go on
elsewhere: signatures, which cost most, are verified on two cores.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from protocol.peer.audit_store import Finding
from protocol.peer.database import AnyConnection

_Page = TypeVar("_Page")
_Row = TypeVar("_Row")
_Thing = TypeVar("_Thing")
_Found = TypeVar("_Found")


async def look_along(
    read: Callable[[], Awaitable[_Page | None]],
    look_at: Callable[[_Page], Awaitable[list[Finding]]],
) -> AsyncGenerator[tuple[_Page, list[Finding]]]:
    """Look at every page; gives each with what was found there.

    Args:
        read: gives the next page, or what counts as no when there is none.
        look_at: gives what is wrong with a page; never two at once.
    """
    page = await read()
    while page:
        try:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(_await(read()))
                looking = group.create_task(_await(look_at(page)))
        except ExceptionGroup as error:
            raise error.exceptions[0] from error
        yield page, looking.result()
        page = following.result()


async def _await(wanted: Awaitable[_Found]) -> _Found:
    return await wanted


async def look_in_pages(
    connection: AnyConnection,
    sql: str,
    values: Sequence[object],
    rows_at_once: int,
    make: Callable[..., _Row],
    look_at: Callable[[list[_Row]], Awaitable[list[Finding]]],
) -> AsyncGenerator[tuple[int, list[Finding]]]:
    """Look at all rows of a query; gives how many so far, and what was found.

    Args:
        connection: inside a database transaction.
        sql: the query.
        values: its arguments.
        rows_at_once: in a page; two pages are in memory.
        make: of a row's columns.
        look_at: gives what is wrong with a page; never two at once.
    """
    cursor, done = await connection.cursor(sql, *values), 0

    async def read() -> list[_Row]:
        return [make(*row) for row in await cursor.fetch(rows_at_once)]

    async for page, found in look_along(read, look_at):
        done += len(page)
        yield done, found


async def on_two_cores(
    work: Callable[[_Thing], _Found], things: Sequence[_Thing]
) -> list[_Found]:
    """Do the same work on all of them, in two threads; results in their order."""
    middle = len(things) // 2

    def work_on(some: Sequence[_Thing]) -> list[_Found]:
        return [work(one) for one in some]

    halves = await asyncio.gather(
        asyncio.to_thread(work_on, things[:middle]),
        asyncio.to_thread(work_on, things[middle:]),
    )
    return [*halves[0], *halves[1]]
