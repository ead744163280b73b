"""What a server looks for again and again outlives every failure but broken books."""

import asyncio
import logging
from typing import Any, NamedTuple

import pytest

from protocol.errors import LedgerBrokenError, OutageError
from protocol.peer import runner


class Clerk(NamedTuple):
    is_ready: bool = True


class Served(NamedTuple):
    """All that ``every`` asks of a server."""

    clerk: Clerk


async def looked(*ends: BaseException, is_ready: bool = True) -> int:
    """Look until the last of these ends it; gives how often was looked."""
    left = list(ends)

    async def look() -> None:
        raise left.pop(0)

    server: Any = Served(Clerk(is_ready=is_ready))
    try:
        async with asyncio.timeout(20):
            await runner.every(server, 0, look)
    except ends[-1].__class__:
        return len(ends) - len(left)
    raise AssertionError("it never ends by itself")


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (OutageError("away"), logging.WARNING),
        (TimeoutError(), logging.WARNING),
        (ValueError("a memo"), logging.ERROR),
        (RuntimeError("a memo"), logging.ERROR),
    ],
)
async def test_a_failed_look_is_told_and_the_next_one_comes(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert await looked(error, error, LedgerBrokenError("holds")) == 3
    records = [one for one in caplog.records if one.name == runner.__name__]
    assert [one.levelno for one in records] == [level, level]
    assert "memo" not in caplog.text
    if level == logging.ERROR:
        assert f"{type(error).__name__} in look, line " in caplog.text


async def test_who_stops_the_server_stops_its_looking() -> None:
    assert await looked(asyncio.CancelledError()) == 1
