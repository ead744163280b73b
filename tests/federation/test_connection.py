"""The clerk's connection is cut while members pay: nobody is told a lie.

A commit whose connection broke has an unknown outcome. Whoever asked is told to
ask again (503) and gets the one true answer under the same key.
"""

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from tests.federation.callers import Answer
from tests.federation.conftest import Databases
from tests.federation.servers import Server
from tests.federation.world import Federation

AT_ONCE = 50
CUTS = 4
PAUSE_S = 0.8
_CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database()
   AND application_name = 'interlets clerk'
   AND state IN ('active', 'idle in transaction')
"""


async def _cut_clerk(connection: "asyncpg.Connection", server: Server) -> None:
    """Cut the clerk's connection a few times, each time in the middle of its work.

    Only when it has begun a new life again: one that still begins, on a busy machine,
    would be cut short before it tells of itself.
    """
    async with asyncio.timeout(CUTS * 20):
        for lives in range(len(server.lives()) + 1, len(server.lives()) + CUTS + 1):
            # Looking again and again is the whole point: to meet it at work.
            while not await connection.fetchval(_CUT):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            while len(server.lives()) < lives:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("victim", ["oostende", "hub", "mechelen"])
def test_a_cut_connection_loses_and_doubles_nothing(
    federation: Federation, databases: Databases, victim: str
) -> None:
    federation.audit()
    server, lies = federation.server(victim), federation.member("lies@oostende")
    pid, lives, before = server.pid, server.lives(), lies.account()["balance"]
    history = len(federation.history)
    firsts: list[Answer] = []
    is_over = threading.Event()

    def pay_on(_: int) -> None:
        while not is_over.is_set():
            order = federation.order("mia@mechelen", 3)
            firsts.append(lies.pay(order))
            federation.note(lies, order, lies.pay_surely(order))
            is_over.wait(PAUSE_S)

    with ThreadPoolExecutor(AT_ONCE + 1) as together:
        cutting = together.submit(
            databases.run, victim, functools.partial(_cut_clerk, server=server)
        )
        cutting.add_done_callback(lambda _: is_over.set())
        paying = [together.submit(pay_on, place) for place in range(AT_ONCE)]
    cutting.result()
    for payer in paying:
        payer.result()
    assert {answer.status for answer in firsts} <= {201, 503}
    ended = [federation.end_of(one) for one in federation.history[history:]]
    assert len(ended) >= AT_ONCE
    assert {transfer["state"] for transfer in ended} == {"cleared"}
    federation.audit()
    assert lies.account()["balance"] == before - 5 * len(ended)
    # The same process went on, after each cut with a new life.
    assert server.is_running and server.pid == pid
    assert len(server.lives()) == len(lives) + CUTS
