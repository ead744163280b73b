"""Has a cycle settled: searches for the plan beside the clerk, then orders it.

The best plan among many groups takes tenths of a second to find, and nobody pays
meanwhile if the clerk looks for it. So it is found in a thread, from what is read, and
the clerk only checks that it leads from positions as they are to their targets. When
something was settled in between it does not, and the search begins anew.
"""

import asyncio
from collections.abc import Sequence

from clearing import cycle_store
from clearing.rules import CycleRefused, Leg, Settle, aim_of
from protocol import netting
from protocol.errors import CycleRefusalCode, MalformedMessageError
from protocol.peer.clerk import Clerk
from protocol.peer.database import Database

#: How often a plan is made anew when it was outdated before it was ordered.
_TRIES = 3


class Settling:
    """Orders settlements.

    Args:
        clerk: decides.
        database: only read.
    """

    def __init__(self, clerk: Clerk, database: Database) -> None:
        self._clerk = clerk
        self._database = database

    async def settle(
        self, cycle: int, excepted: Sequence[str] = ()
    ) -> list[Leg] | CycleRefused:
        """Make the legs of the newest cycle; gives them, or why there are none.

        Args:
            cycle: the newest that has ended.
            excepted: groups that carry their positions forward.
        """
        outdated = CycleRefused(CycleRefusalCode.PLAN_OUTDATED, cycle)
        outcome: object = outdated
        for _ in range(_TRIES):
            legs = await self._plan(cycle, excepted)
            outcome = await self._clerk.take(Settle(cycle, tuple(excepted), legs))
            if outcome != outdated:
                break
        assert isinstance(outcome, list | CycleRefused), "the rule gives no other"
        return outcome

    async def _plan(
        self, cycle: int, excepted: Sequence[str]
    ) -> tuple[netting.Leg, ...]:
        """Search for the plan; none where the rule will say why there is none."""
        async with (
            self._database.readers.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            closed = await cycle_store.read_newest(connection)
            if closed is None or closed.cycle != cycle:
                return ()
            statements = await cycle_store.read_all_statements(connection, cycle)
            settled = await cycle_store.read_settled_since(connection, closed.name)

        def search() -> tuple[netting.Leg, ...]:
            try:
                return aim_of(closed.reserve, statements, settled, excepted).plan()
            except MalformedMessageError:
                return ()

        return await asyncio.to_thread(search)
