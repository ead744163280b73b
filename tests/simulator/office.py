"""A treasurer's office at a simulated node: the real one, on the node's own inbox.

``nodes.treasurer`` and ``nodes.bulk`` check, read and hand in exactly as on a server;
what they hand in waits for the clerk with all other input, so that one batch may hold
an entry by hand, a payment and the closing of the account that both are on.
"""

import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from nodes import bulk, treasurer
from nodes.bulk import Bulk
from nodes.treasurer import Treasurer
from protocol.errors import MalformedMessageError, OutageError
from protocol.peer.web.problems import Problem
from tests.simulator import memory_ledger
from tests.simulator.log_watchers import Pools
from tests.simulator.servers import UNKNOWN, Server

assert memory_ledger, "its import lets queries be answered"
#: What somebody at the office is told: what she wished for, or why not.
Told = Callable[[object], None]
Work = Coroutine[Any, Any, object]


class _HandedIn(Awaitable[object]):
    """What waits in a node's inbox."""

    def __init__(self, wanted: object) -> None:
        self._wanted = wanted

    def __await__(self) -> Generator[object, object, object]:
        return (yield self._wanted)


class _Inbox:
    """As much of a clerk as an office knows: it takes, and answers later."""

    async def take(self, wanted: object) -> object:
        """Hand in an order; gives its outcome once it is durable."""
        return await _HandedIn(wanted)


class Office:
    """Whoever keeps the ledger of one group.

    Attributes:
        treasurer: members, entries by hand, corrections.
        bulk: limits and entries of many.
    """

    def __init__(self, node: Server) -> None:
        self._node = node
        clerk: Any = _Inbox()
        database: Any = Pools(node.database)
        clock: Any = node.clock
        self.treasurer = Treasurer(clerk, database, clock, "https://node.example")
        self.bulk = Bulk(self.treasurer, clerk, database)

    def new_id(self) -> str:
        """Draw the id of an entry from the one source of chance."""
        drawn = self._node.world.draw.randbytes(16)
        return str(uuid.UUID(bytes=drawn, version=4))

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Let ids be drawn here, so that one seed decides them too."""
        places: tuple[Any, ...] = (treasurer, bulk)
        real = [place.new_id for place in places]
        for place in places:
            place.new_id = self.new_id
        try:
            yield
        finally:
            for place, one in zip(places, real, strict=True):
                place.new_id = one

    def do(self, work: Work, told: Told) -> None:
        """Do something; what came of it is told then, or ``UNKNOWN`` with its server.

        Told is what the office gives, or the ``Problem`` or ``MalformedMessageError``
        that it raises.
        """
        if not self._node.is_up:
            work.close()
            told(UNKNOWN)
            return
        self._go_on(work, None, told)

    def _go_on(self, work: Work, outcome: object, told: Told) -> None:
        try:
            with self._drawing():
                if isinstance(outcome, OutageError):
                    wanted = work.throw(outcome)
                else:
                    wanted = work.send(outcome)
        except StopIteration as ended:
            told(ended.value)
        except (Problem, MalformedMessageError) as no:
            told(no)
        except OutageError:
            told(UNKNOWN)
        else:
            self._node.submit(wanted, lambda answer: self._go_on(work, answer, told))
