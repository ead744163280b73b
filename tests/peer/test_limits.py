"""Caps, warnings and who changed what, on real clerks and real ledgers."""

import asyncio
import random

import msgspec
import pytest

from clearing import limit_store
from clearing import limit_watch as hub_watch
from clearing.house import HubHouse
from clearing.rules import Limit, NotDecided, SetCap, SetWarning, month_of
from nodes.api.group import GroupApi
from nodes.house import NodeHouse
from nodes.watch import limit_watch as node_watch
from protocol.effects import PostEntry
from protocol.errors import DirectoryRefusalCode, RefusalCode
from protocol.instant import Instant
from protocol.limit_warning import WEEK_MS
from protocol.peer import ledger_store, past_store
from protocol.peer.directory_store import read_alarms
from protocol.transfer import State
from tests.peer.federation import Federation, NewDatabase, Server, federation
from tests.peer.makers import NOW
from tests.peer.tables import account, books, entry
from tests.peer.test_directory_changes import order_of, pay, sound, state_of
from tests.peer.test_directory_http import (
    HOUR,
    OOSTENDE_AT_HUB,
    Person,
    world,
)
from tests.protocol.makers import MECHELEN, OOSTENDE

S = 180_000
PAIR = OOSTENDE, MECHELEN
CLEARED = {(State.CLEARED, None)}
CAPPED = {(State.REFUSED, RefusalCode.MONTH_CAP)}


def house_of(federated: Federation) -> HubHouse:
    house = federated.hub.house
    assert isinstance(house, HubHouse)
    return house


async def cap(federated: Federation, milliseconds: int | None) -> object:
    return await federated.hub.clerk.take(
        SetCap(
            payer=OOSTENDE,
            payee=MECHELEN,
            milliseconds=milliseconds,
            author="@admin",
            reason="agreed",
        )
    )


async def used(federated: Federation) -> int:
    """What is counted in this month, in memory and as the store reads it anew."""
    house, month = house_of(federated), month_of(federated.hub.clock.now())
    async with federated.hub.database.readers.acquire() as connection:
        read = await limit_store.read_use(connection, [PAIR])
    found = house.limits.used(PAIR, month)
    assert read.get((PAIR, month), 0) == found
    return found


async def test_a_cap_counts_what_went_before_and_survives_a_restart(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        await pay(federated, OOSTENDE, "a", 3)
        await federated.quiet()
        await cap(federated, 3 * S)
        assert await used(federated) == S
        await pay(federated, OOSTENDE, "b", 3)
        await federated.quiet()
        assert await used(federated) == 2 * S
        await federated.hub.restart()
        await federated.quiet()
        assert await used(federated) == 2 * S
        # Bob has no neighbour by that name: what was held for her counts no longer.
        nobody = order_of(OOSTENDE, "c", 3)
        nobody = msgspec.structs.replace(nobody, payee="nobody")
        await federated.nodes[OOSTENDE].clerk.take(nobody)
        await federated.quiet()
        assert await used(federated) == 2 * S
        await pay(federated, OOSTENDE, "d", 3)
        await pay(federated, OOSTENDE, "e", 3)
        assert await sound(federated) == []
        assert await state_of(federated, OOSTENDE, "d") == CLEARED
        assert await state_of(federated, OOSTENDE, "e") == CAPPED
        # The same order again has the same answer, also when the cap is gone.
        await cap(federated, None)
        await pay(federated, OOSTENDE, "e", 3)
        await pay(federated, OOSTENDE, "f", 3)
        assert await sound(federated) == []
        assert await state_of(federated, OOSTENDE, "e") == CAPPED
        assert await state_of(federated, OOSTENDE, "f") == CLEARED


@pytest.mark.parametrize("seed", range(3))
async def test_many_at_once_never_pass_a_cap(
    new_database: NewDatabase, seed: int
) -> None:
    draw = random.Random(seed)
    room, wanted = draw.randrange(1, 12), 30
    async with federation(new_database) as federated:
        await cap(federated, room * S + draw.randrange(S))
        ordering = [pay(federated, OOSTENDE, f"n{n}", 3) for n in range(wanted)]
        await asyncio.gather(*ordering)
        # The hub forgets all that is in memory while they are held.
        await federated.exchange(OOSTENDE)
        await federated.hub.restart()
        assert await sound(federated) == []
        states = [await state_of(federated, OOSTENDE, f"n{n}") for n in range(wanted)]
        assert states.count(CLEARED) == room
        assert states.count(CAPPED) == wanted - room
        assert await used(federated) == room * S


# Warnings.


async def alarms(server: Server) -> list[str]:
    async with server.database.readers.acquire() as connection:
        found = await read_alarms(connection, 100)
    return [one.told for one in found if one.about == "limit"]


class Watches:
    """The hub's watch and Oostende's, looking when a test says so."""

    def __init__(self, federated: Federation) -> None:
        hub, node = federated.hub, federated.nodes[OOSTENDE]
        assert isinstance(node.house, NodeHouse)
        self.hub = hub_watch.LimitWatch(
            house_of(federated), hub.clerk, hub.database, hub.clock
        )
        self.node = node_watch.LimitWatch(
            node.house, node.clerk, node.database, node.clock
        )

    async def look(self) -> None:
        await self.hub.look()
        await self.node.look()


async def test_both_sides_are_called_once_when_the_threshold_is_passed(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        servers = federated.hub, federated.nodes[OOSTENDE]

        async def called(times: int) -> None:
            await Watches(federated).look()
            await Watches(federated).look()
            for server in servers:
                assert len(await alarms(server)) == times, server.house.own

        await federated.hub.clerk.take(Limit(OOSTENDE, -5 * S, 5 * S))
        for key in "abc":
            await pay(federated, OOSTENDE, key, 3)
        await federated.quiet()
        await called(0)
        await pay(federated, OOSTENDE, "d", 3)
        await federated.quiet()
        await called(1)
        for server in servers:
            await server.restart()
        await federated.quiet()
        await called(1)
        told = (await alarms(federated.hub))[0]
        assert told == "oostende stands at -0.20 h; its lowest position is -0.25 h"
        # 60 % is over, and 80 % is something new again.
        await pay(federated, MECHELEN, "e", 1)
        await federated.quiet()
        await called(1)
        house = federated.nodes[OOSTENDE].house
        assert isinstance(house, NodeHouse) and house.warned is None
        assert house_of(federated).limits.warned == {}
        await pay(federated, OOSTENDE, "f", 3)
        await federated.quiet()
        await called(2)
        node = federated.nodes[OOSTENDE]
        group = await GroupApi(house, node.clerk, node.database).group()
        assert group.warning is not None
        assert (group.warning.limit, group.warning.kind) == ("floor", "near")


async def test_past_balances_are_found_by_their_entries_time(
    new_database: NewDatabase,
) -> None:
    draw = random.Random(3)
    async with books(new_database, account("a"), account("b")) as kept:
        connection = kept.connection
        days = sorted(draw.sample(range(60), 25), reverse=True)
        for number, day in enumerate(days, 1):
            at = Instant(NOW - day * DAY)
            postings = ("a", number), ("b", -number)
            await kept.write(PostEntry(entry(number, *postings, at=at)))
        found = await past_store.read_past(connection, ["a", "b", "c"], NOW)
        expected = [
            sum(n for n, day in enumerate(days, 1) if day * DAY >= week * WEEK_MS)
            for week in (1, 2, 3, 4)
        ]
        assert found == {"a": expected, "b": [-one for one in expected]}
        # A month before its first entry an account is too young.
        early = Instant(NOW - days[0] * DAY + 4 * WEEK_MS - 1)
        assert await past_store.read_past(connection, ["a"], early) == {}
        late = Instant(early + 1)
        assert (await past_store.read_past(connection, ["a"], late))["a"][3] == 1
        for at in (NOW, early, Instant(0)):
            place = await past_store.read_place(connection, at)
            assert place == sum(1 for day in days if NOW - day * DAY < at)
        newest = Instant(NOW - days[-1] * DAY)
        assert await past_store.read_newest_at(connection) == newest
        assert await ledger_store.read_sequence(connection) == len(days)


DAY = 86_400_000


# Over HTTP.

CAP = "/api/v1/caps/oostende/mechelen"


async def test_a_cap_is_set_listed_and_ended(new_database: NewDatabase) -> None:
    async with world(new_database) as here:
        none = await here.admin.get("/api/v1/caps")
        assert (none.status, none.told) == (200, {"caps": []})
        made = await here.admin.post(CAP, {"milliseconds": 5 * HOUR, "reason": "so"})
        assert made.status == 200
        assert (made.told["milliseconds"], made.told["used"]) == (5 * HOUR, 0)
        assert (made.told["author"], made.told["reason"]) == ("@someone", "so")
        again = await here.admin.post(CAP, {"milliseconds": 5 * HOUR, "reason": "x"})
        assert again == made
        assert (await here.admin.get("/api/v1/caps")).told == {"caps": [made.told]}
        ended = await here.admin.post(f"{CAP}/remove", {"reason": "no longer"})
        assert (ended.status, ended.told) == (200, {"caps": []})
        again = await here.admin.post(f"{CAP}/remove", {"reason": "no longer"})
        assert again == ended
        for group in ("oostende", "mechelen"):
            told = await here.admin.get(f"/api/v1/groups/{group}/limits")
            assert [
                (one["about"], one["milliseconds"], one["reason"])
                for one in told.told["changes"]
            ] == [("cap", None, "no longer"), ("cap", 5 * HOUR, "so")]


async def test_who_changed_limits_is_told_page_by_page(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        for hours in (1, 2, 2, 3):
            body = {"floor": -hours * HOUR, "ceiling": HOUR, "reason": f"{hours} h"}
            assert (
                await here.admin.post(f"{OOSTENDE_AT_HUB}/limits", body)
            ).status == 200
        path = f"{OOSTENDE_AT_HUB}/limits?page_size=2"
        first = (await here.admin.get(path)).told
        assert [one["reason"] for one in first["changes"]] == ["3 h", "2 h"]
        assert first["changes"][0]["author"] == "@someone"
        rest = (await here.admin.get(f"{path}&cursor={first['cursor']}")).told
        assert [one["reason"] for one in rest["changes"]] == ["1 h"]
        assert rest["cursor"] is None
        # Each is the decision that told everyone.
        log, number = first["changes"][0]["decision"]
        line = await here.federated.hub.ask(
            "SELECT line FROM decision WHERE log = $1 AND number = $2", log, number
        )
        assert b'"floor":-10800000' in line[0][0]


async def test_limits_that_the_position_is_outside_of_are_meant_or_refused(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        await pay(here.federated, OOSTENDE, "a", 3)
        await here.federated.quiet()
        before = (await here.admin.get(OOSTENDE_AT_HUB)).told
        body = {"floor": -S + 1, "ceiling": S, "reason": "so"}
        path = f"{OOSTENDE_AT_HUB}/limits"
        answer = await here.admin.post(path, body)
        assert (answer.status, answer.told["code"]) == (409, "position-outside")
        assert "oostende stands outside of these limits" in answer.told["detail"]
        assert (await here.admin.get(OOSTENDE_AT_HUB)).told == before
        assert (await here.admin.get(path)).told["changes"] == []
        exact = await here.admin.post(path, {**body, "floor": -S})
        assert exact.status == 200
        assert exact.told["warning"]["kind"] == "reached"
        meant = await here.admin.post(path, {**body, "even_outside": True})
        assert (meant.status, meant.told["floor"]) == (200, -S + 1)


async def test_the_threshold_is_set_with_a_reason(new_database: NewDatabase) -> None:
    async with world(new_database) as here:
        before = (await here.admin.get("/api/v1/warning")).told
        assert before == {"percent": 80, "changes": []}
        body = {"percent": 60, "reason": "earlier"}
        made = await here.admin.post("/api/v1/warning", body)
        assert (made.status, made.told["percent"]) == (200, 60)
        assert [one["reason"] for one in made.told["changes"]] == ["earlier"]
        assert (await here.admin.get("/api/v1/groups")).told["warn_percent"] == 60
        await here.federated.hub.restart()
        assert house_of(here.federated).limits.percent == 60
        outcome = await here.federated.hub.clerk.take(
            SetWarning(percent=60, author="@admin", reason="again")
        )
        assert outcome == 60
        no = await here.federated.hub.clerk.take(
            SetCap(
                payer=OOSTENDE,
                payee=OOSTENDE,
                milliseconds=0,
                author="@admin",
                reason="slip",
            )
        )
        assert no == NotDecided(DirectoryRefusalCode.SAME_GROUP, OOSTENDE)


WRONG = [
    (CAP, {"milliseconds": -1, "reason": "so"}),
    (CAP, {"milliseconds": 10**14 + 1, "reason": "so"}),
    (CAP, {"milliseconds": 1.5, "reason": "so"}),
    (CAP, {"milliseconds": 1}),
    (CAP, {"milliseconds": 1, "reason": " "}),
    (CAP, {"milliseconds": 1, "reason": "x" * 501}),
    (CAP, {"milliseconds": 1, "reason": "a\u202eb"}),
    (CAP, {"milliseconds": None, "reason": "so"}),
    (CAP, {"milliseconds": 1, "reason": "so", "author": "@me"}),
    (f"{CAP}/remove", {}),
    ("/api/v1/warning", {"percent": 0, "reason": "so"}),
    ("/api/v1/warning", {"percent": 101, "reason": "so"}),
    ("/api/v1/warning", {"percent": 50}),
    (f"{OOSTENDE_AT_HUB}/limits", {"floor": -HOUR, "ceiling": HOUR}),
    (f"{OOSTENDE_AT_HUB}/limits", {"floor": 1, "ceiling": 0, "reason": "so"}),
]
GET = ("/api/v1/caps", f"{OOSTENDE_AT_HUB}/limits", "/api/v1/warning")


async def test_what_cannot_be_meant_changes_nothing_and_others_may_not_ask(
    new_database: NewDatabase,
) -> None:
    async with world(new_database) as here:
        for path, body in WRONG:
            answer = await here.admin.post(path, body)
            assert answer.status == 400, (path, body, answer)
        good = {"milliseconds": 1, "reason": "so"}
        for path in ("/api/v1/caps/gent/oostende", "/api/v1/caps/oostende/gent"):
            assert (await here.admin.post(path, good)).status == 404
        same = await here.admin.post("/api/v1/caps/oostende/oostende", good)
        assert (same.status, same.told["code"]) == (409, "same-group")
        paged = await here.admin.get(f"{OOSTENDE_AT_HUB}/limits?page_size=0")
        assert paged.status == 400
        for name, person in here.others.items():
            if name.endswith("hub"):
                await _is_kept_out(person, 401 if "stranger" in name else 403)
        rows = await here.federated.hub.ask("SELECT count(*) FROM limit_change")
        assert rows[0][0] == 0


async def _is_kept_out(person: Person, expected: int) -> None:
    answers = [await person.get(path) for path in GET]
    answers += [await person.post(path, body) for path, body in WRONG]
    assert {answer.status for answer in answers} == {expected}
