"""Everything of a group as CSV, read back as a program and a spreadsheet would."""

import asyncio
import csv
import io
import re
import tracemalloc
from typing import Any

import pytest
from aiohttp import ClientError

from clearing.rules import Approve, Freeze, Release
from nodes import app
from nodes.export_store import EXPORTS
from nodes.exports import Exports
from protocol.peer.csv_text import read_cell
from protocol.peer.database import Database
from protocol.peer.settings import DatabaseSettings
from tests.nodes.office import Office, office
from tests.peer.federation import NewDatabase, order
from tests.peer.tables import tables
from tests.protocol.makers import OOSTENDE

PATH = "/api/v1/exports"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EVIL = "=cmd|' /C calc'!A0"


def read(raw: bytes) -> list[dict[str, str]]:
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.endswith(b"\r\n")
    text = io.StringIO(raw.decode("utf-8-sig"), newline="")
    return list(csv.DictReader(text, strict=True))


async def exported(desk: Office, name: str) -> list[dict[str, str]]:
    status, raw = await desk.ask("GET", f"{PATH}/{name}")
    assert status == 200, raw
    return read(raw)


async def fill(desk: Office) -> dict[str, Any]:
    """Let everything happen once that an export tells; gives an entry by hand."""
    await desk.admit("an", name=EVIL)
    await desk.admit("bo", floor=None, ceiling=None)
    body: dict[str, Any] = {
        "postings": [
            {"account": "an", "amount": -30},
            {"account": "bo", "amount": 30},
        ],
        "reason": '@SUM(1,2) says "hello",\nand more',
    }
    booked = await desk.ask("POST", "/api/v1/group/entries", body, key="k")
    assert booked.status == 201, booked
    await desk.node.clerk.take(order("k", memo="+32 475", payer_amount_max=9))
    await desk.federation.quiet()
    told: dict[str, Any] = booked.told
    return told


async def test_each_export_is_read_back_as_it_stands(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        booked = await fill(desk)
        members = {row.pop("account"): row for row in await exported(desk, "members")}
        assert set(members) == {"an", "bo", "marie"}
        assert members["an"]["name"] == f"'{EVIL}"
        assert read_cell(members["an"]["name"]) == EVIL
        # A true number below zero stays one.
        assert (members["an"]["balance"], members["an"]["floor"]) == ("-30", "-100")
        assert (members["bo"]["floor"], members["bo"]["state"]) == ("", "active")
        assert INSTANT.fullmatch(members["an"]["since"])

        entries = await exported(desk, "entries")
        assert sum(int(row["amount"]) for row in entries) == 0
        hand = [row for row in entries if row["entry"] == booked["id"]]
        assert [(row["account"], row["amount"]) for row in hand] == [
            ("an", "-30"),
            ("bo", "30"),
        ]
        assert read_cell(hand[0]["reason"]) == booked["reason"]
        assert (hand[0]["reason"][0], hand[0]["author"]) == ("'", "'@treasurer")
        cleared = [row for row in entries if row["kind"] == "transfer"]
        assert {row["counted_in"] for row in cleared} == {"unit", "milliseconds"}
        assert {read_cell(row["memo"]) for row in cleared} == {"+32 475"}

        (transfer,) = await exported(desk, "transfers")
        assert (transfer["state"], transfer["payee_group"]) == ("cleared", "mechelen")
        assert transfer["memo"] == "'+32 475"
        limits = await exported(desk, "limits")
        assert [row["account"] for row in limits] == ["marie", "an", "bo"]
        assert [row["frozen"] for row in limits] == ["false"] * 3
        acts = await exported(desk, "acts")
        assert [int(row["number"]) for row in acts] == sorted(
            int(row["number"]) for row in acts
        )
        assert len(acts) == len(await desk.acts())
        for name in EXPORTS:
            _, raw = await desk.ask("GET", f"{PATH}/{name}")
            cells = [
                cell
                for row in csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
                for cell in row
            ]
            assert not [
                cell
                for cell in cells
                if cell[:1] in tuple("=+-@\t\r") and cell and not cell[1:].isdigit()
            ]


async def test_every_unit_and_rate_is_told_with_its_date(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        clerk = desk.federation.hub.clerk
        first = (await desk.ask("GET", "/api/v1/group/proposal")).told
        for wish in ({"per_hour": 7}, {"unit": "grijze garnaal"}):
            asked = await desk.ask("POST", "/api/v1/group/proposal", wish)
            assert asked.status == 202, asked
            await desk.federation.quiet()
            number = asked.told["proposal"]["number"]
            await clerk.take(Approve(OOSTENDE, number))
            # Neither of them changes what the group counts in.
            await clerk.take(Freeze(OOSTENDE))
            await clerk.take(Release(OOSTENDE))
            await desk.federation.quiet()
        told = (await desk.ask("GET", "/api/v1/group/units")).told["units"]
        assert [(one["unit"]["name"], one["rate"]["per_hour"]) for one in told] == [
            (first["unit"]["name"], first["rate"]["per_hour"]),
            (first["unit"]["name"], "7"),
            ("grijze garnaal", "7"),
        ]
        since = [one["since"] for one in told]
        assert since == sorted(since) and all(map(INSTANT.fullmatch, since))
        rows = await exported(desk, "units")
        assert [(row["since"], row["unit"], row["name"]) for row in rows] == [
            (one["since"], one["unit"]["name"], one["name"]) for one in told
        ]
        assert [int(row["milliseconds"]) for row in rows] == [
            one["rate"]["milliseconds"] for one in told
        ]
        now = (await desk.ask("GET", "/api/v1/group/proposal")).told
        assert {name: told[-1][name] for name in ("version", "unit", "rate")} == {
            name: now[name] for name in ("version", "unit", "rate")
        }


async def test_exports_have_their_columns_also_when_they_are_empty(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        status, raw = await desk.ask("GET", f"{PATH}/transfers")
        assert status == 200
        assert raw.startswith(b"\xef\xbb\xbftransfer,role,state,payer,payer_group,")
        assert raw.count(b"\r\n") == 1


async def test_what_is_no_export_is_a_404_and_too_many_are_a_429(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        for name in ("secrets", "access", "members.csv", "%00", "Members"):
            answer = await desk.ask("GET", f"{PATH}/{name}")
            assert answer.status == 404
            assert "members, entries" in answer.told["detail"]
        answers = await asyncio.gather(
            *(desk.ask("GET", f"{PATH}/members") for _ in range(6))
        )
        found = sorted({answer.status for answer in answers})
        assert found in ([200], [200, 429])
        assert (await desk.ask("GET", f"{PATH}/members")).status == 200


async def test_nothing_secret_is_exported(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        await fill(desk)
        secrets = [
            value
            for row in await desk.node.ask(
                "SELECT secret_hash FROM access UNION ALL"
                " SELECT password_hash FROM person WHERE password_hash IS NOT NULL"
            )
            for value in row.values()
        ]
        assert secrets
        for name in EXPORTS:
            raw = (await desk.ask("GET", f"{PATH}/{name}")).told.decode()
            assert not [secret for secret in secrets if secret in raw]


async def test_an_export_that_is_cut_off_never_looks_whole(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        # More than any buffer between both holds.
        await desk.node.change(MANY.format(members=100, entries=60_000))
        token = desk.tokens["@treasurer"]
        headers = {"Authorization": f"Bearer {token}"}
        async with desk.client.get(f"{PATH}/entries", headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.content.readline()).startswith(b"\xef\xbb\xbfnumber,")
            await desk.node.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database()"
                " AND application_name = 'interlets auditor'"
            )
            with pytest.raises(ClientError):
                await answer.read()
        # And whoever asks again gets it all.
        assert len(await exported(desk, "members")) == 101


MANY = """
INSERT INTO account SELECT 'm' || n, 'member', 'unit', 0, 0, 0, NULL, NULL, false, false
  FROM generate_series(1, {members}) AS n;
INSERT INTO member SELECT 'm' || n, 'Member ' || n, now()
  FROM generate_series(1, {members}) AS n;
INSERT INTO entry SELECT n, gen_random_uuid(), now(), 'by-hand', NULL, NULL, 'eggs'
  FROM generate_series(1, {entries}) AS n;
INSERT INTO posting
SELECT 'm' || ((n + side) % {members} + 1), n, 2 * side - 1, 0
  FROM generate_series(1, {entries}) AS n, generate_series(0, 1) AS side;
ANALYZE;
"""


async def drained(url: str) -> tuple[int, int]:
    """Export all entries; gives the lines, and the most bytes that it took."""
    database = await Database.open(DatabaseSettings(url=url))
    lines = 0
    try:
        tracemalloc.start()
        async with Exports(database).open("entries") as pieces:
            async for piece in pieces:
                lines += piece.count(b"\r\n")
        return lines, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        await database.close()


@pytest.mark.parametrize(
    ("members", "entries"),
    [
        (100, 5_000),
        pytest.param(10_000, 250_000, marks=pytest.mark.slow),
    ],
)
async def test_an_export_takes_no_more_memory_for_more_rows(
    new_database: NewDatabase, members: int, entries: int
) -> None:
    url = ""

    async def noted() -> str:
        nonlocal url
        url = await new_database()
        return url

    async with tables(noted, app.MIGRATIONS) as connection:
        await connection.execute(MANY.format(members=members, entries=entries))
        lines, bytes_most = await drained(url)
    assert lines == 2 * entries + 1
    assert bytes_most < 8 * 1024 * 1024
