"""A group moves in over HTTP, while its node serves."""

import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any

from nodes.moving import SENT_LENGTH_MAX
from protocol.instant import Instant
from protocol.restored import Restored
from tests.nodes.exporters import (
    eland_tables,
    eland_user,
    elas_transactions,
    elas_user,
    elas_users,
    zipped,
)
from tests.nodes.office import Answer, Office, office
from tests.peer.audited import audited
from tests.peer.federation import NewDatabase
from tests.protocol.makers import OOSTENDE

PATH = "/api/v1/group/import"
AT = "2019-05-06 10:11:12"
#: Bo was paid 7 by An, and nothing else ever happened.
TABLES = eland_tables(
    [eland_user(1, "AN", "An", saldo=-7), eland_user(2, "BO", "Bo", saldo=7)],
    [(AT, 1, 2, 7, "=eieren")],
)
#: Once: a zip made anew is another file.
ZIP = zipped(TABLES)


async def send(
    desk: Office,
    data: bytes | IO[bytes] | AsyncIterator[bytes],
    query: str = "",
    kind: str = "application/zip",
    **headers: str,
) -> Answer:
    headers |= {"Content-Type": kind}
    headers["Authorization"] = f"Bearer {desk.tokens['@treasurer']}"
    async with desk.client.post(PATH + query, data=data, headers=headers) as answer:
        return Answer(answer.status, await answer.json(content_type=None))


async def balances(desk: Office) -> dict[str, int]:
    told = (await desk.ask("GET", "/api/v1/members")).told["members"]
    return {one["account"]: one["balance"] for one in told}


async def test_a_group_is_looked_at_and_then_brought_in_once(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        before = await desk.rows()
        for query in ("", "?dry_run=true"):
            status, told = await send(desk, ZIP, query)
            assert status == 200, told
            assert (told["imported"], told["members"]) == (False, 2)
            assert "balance -7" in told["rows"][0]["told"]
            assert await desk.rows() == before
        status, told = await send(desk, ZIP, "?dry_run=false")
        assert (status, told["imported"], told["transactions"]) == (200, True, 1)
        assert await balances(desk) == {"an": -7, "bo": 7, "marie": 0}
        (act,) = [one for one in await desk.acts() if one["deed"] == "moved-in"]
        assert (act["author"], act["details"]) == (
            "@treasurer",
            {"members": 2, "entries": 1},
        )
        after = await desk.rows()
        for query in ("", "?dry_run=false"):
            status, told = await send(desk, ZIP, query)
            assert (status, told["imported"]) == (200, False)
            assert "that is possible once" in told["told"]
        other = zipped(eland_tables([eland_user(3, "CIS", "Cis")]))
        for query in ("", "?dry_run=false"):
            query += ("&" if query else "?") + "without_balances=true"
            assert (await send(desk, other, query)).status in (409, 422)
        assert await desk.rows() == after
        # What was brought in pays and audits as anything else.
        assert (await audited(OOSTENDE, desk.node.url)).is_sound


async def test_elas_comes_in_a_zip_of_its_files(new_database: NewDatabase) -> None:
    tables: Mapping[str, bytes] = {
        "users": elas_users([elas_user("A1", "Zoë"), elas_user("B2", "Bo")]).encode(
            "windows-1252"
        ),
        "transactions": elas_transactions([(AT, "A1", "B2", 5, "x")]).encode(),
    }
    async with office(new_database) as desk:
        status, told = await send(desk, zipped(tables), "?dry_run=false")
        assert (status, "byte 0xeb" in told["detail"]) == (422, True)
        query = "?dry_run=false&encoding=windows-1252"
        status, told = await send(desk, zipped(tables), query)
        assert (status, told["imported"]) == (200, True)
        assert await balances(desk) == {"a1": -5, "b2": 5, "marie": 0}
        assert (await desk.member("a1"))["name"] == "Zoë"


#: What is no such zip, what was asked for, and what is told.
WRONG: list[tuple[bytes, str, int, str]] = [
    (b"id,code\n", "", 422, "expected a zip"),
    (b"<html>sign in</html>", "", 422, "expected a zip"),
    (b"", "", 422, "expected a zip"),
    (b"PK\x03\x04 cut off", "", 422, "cannot be unpacked"),
    (zipped({"news": b"x\n"}), "", 422, "no users.csv"),
    (zipped({"users": b"<html></html>\n"}), "", 422, "a page of HTML"),
    (zipped({"users": b"0" * (SENT_LENGTH_MAX + 1)}), "", 422, "more than 10 MiB"),
    (bytes(SENT_LENGTH_MAX + 1), "", 413, "at most 10485760 bytes"),
    (ZIP, "?dry_run=no", 400, "one of false, true"),
    (ZIP, "?dry-run=true", 400, "only: dry_run"),
    (ZIP, "?encoding=utf-16", 400, "one of utf-8, windows-1252"),
]


async def test_what_is_no_such_zip_changes_nothing(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        before = await desk.rows()
        for data, query, status, told in WRONG:
            # Large bodies are sent in pieces.
            answer = await send(desk, io.BytesIO(data), query or "?dry_run=false")
            assert answer.status == status, (data[:40], answer)
            assert told in answer.told["detail"]
        assert await desk.rows() == before


async def test_every_wrong_row_is_told(new_database: NewDatabase) -> None:
    users: list[dict[str, Any]] = [
        eland_user(1, "AN", "An", saldo=-7),
        eland_user(2, "an", "Twice", saldo=7),
        eland_user(3, "FUND", "Fund", saldo=0),
    ]
    async with office(new_database) as desk:
        before = await desk.rows()
        answer = await send(desk, zipped(eland_tables(users)), "?dry_run=false")
        assert answer.status == 422
        findings = answer.told["findings"]
        assert [one.partition(":")[0] for one in findings] == [
            "users.csv, line 4",
            "users.csv, line 6",
        ]
        assert await desk.rows() == before


async def test_a_gigabyte_is_refused_before_it_is_read(
    new_database: NewDatabase,
) -> None:
    read = 0

    async def gigabyte() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1024):
            read += 2**20
            yield b"\0" * 2**20

    async with office(new_database) as desk:
        # Without a length said before; with one it is refused unread, as above. The
        # connection may be closed in mid-sending.
        with contextlib.suppress(OSError):
            assert (await send(desk, gigabyte())).status == 413
        assert read < 64 * 2**20
        assert (await send(desk, ZIP)).status == 200


async def test_nothing_else_than_a_zip_and_nothing_while_restored(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        answer = await send(desk, ZIP, kind="text/csv")
        assert (answer.status, "text/csv" in answer.told["detail"]) == (415, True)
        desk.node.clerk.restored = Restored(at=Instant(1), backup_at=Instant(0))
        answer = await send(desk, ZIP, "?dry_run=false")
        assert (answer.status, answer.told["code"]) == (503, "server-restored")
        # Looking is free.
        assert (await send(desk, ZIP)).status == 200
