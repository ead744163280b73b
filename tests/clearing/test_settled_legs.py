"""Which settled legs count for the positions of which cycle, as PostgreSQL has it."""

from uuid import UUID

from clearing import cycle_store, share_store
from clearing.app import MIGRATIONS
from protocol.messages import DecisionName
from tests.peer.tables import NewDatabase, tables

#: Cycles 1 to 3 end with decisions 2, 5 and 8 of a log, and a leg is settled with each
#: of the others: (cycle of the leg, decision).
LEGS = [(1, 3), (1, 4), (2, 6), (1, 7), (2, 9), (3, 10)]
ROWS = """
INSERT INTO decision (log, number, sequence, line)
SELECT 'A', number, number + 1, '' FROM generate_series(0, 12) AS made (number);
INSERT INTO cycle (cycle, log, number, at, groups, statements, reserve)
SELECT cycle, 'A', 3 * cycle - 1, now(), 2, '', 0
  FROM generate_series(1, 3) AS ended (cycle);
"""
LEG = """
INSERT INTO leg (leg_id, cycle, place, at, debtor, creditor, milliseconds, paid,
                 received, state, log, number, ended_at)
VALUES ($1, $2, $3, now(), 'gent', 'aalst', 5, 'x', 'y', 'settled', 'A', $3, now())
"""


async def test_a_leg_counts_for_its_cycle_and_for_the_one_in_which_it_was_settled(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database, MIGRATIONS) as connection:
        await connection.execute(ROWS)
        for cycle, decision in LEGS:
            await connection.execute(LEG, UUID(int=decision), cycle, decision)
        found = {
            cycle: [
                (leg.cycle, leg.place)
                for leg in await cycle_store.read_settled_for(connection, cycle)
            ]
            for cycle in range(1, 5)
        }
        assert found == {
            # Its own, also those that were settled behind later ends.
            1: [(1, 3), (1, 4), (1, 7)],
            # And one of the former that was settled before the next end.
            2: [(2, 6), (1, 7), (2, 9)],
            3: [(2, 9), (3, 10)],
            4: [],
        }
        # The newest has no end behind it: so a plan reads them too.
        since = await cycle_store.read_settled_since(connection, DecisionName("A", 8))
        assert [(leg.cycle, leg.place) for leg in since] == found[3]


SHARED = """
INSERT INTO shared (shared_id, why, group_name, place, line, state, log, number,
                    decided_at)
VALUES ($1, $2, $3, 0, '', 'decided', 'A', $4, now())
"""


async def test_what_was_shared_counts_for_the_cycle_that_ended_before_it(
    new_database: NewDatabase,
) -> None:
    async with tables(new_database, MIGRATIONS) as connection:
        await connection.execute(ROWS)
        shared = [("debt", "gent", 4), ("charge", None, 6), ("debt", "aalst", 11)]
        for why, group, decision in shared:
            await connection.execute(SHARED, UUID(int=decision), why, group, decision)
        await connection.execute(
            "INSERT INTO shared (shared_id, why, group_name, place, line, state)"
            " VALUES (gen_random_uuid(), 'debt', 'ieper', 0, '', 'told')"
        )
        found = [
            await share_store.read_group_since(connection, DecisionName("A", number))
            for number in (2, 5, 10, 11)
        ]
        assert found == ["aalst", "aalst", "aalst", None]
