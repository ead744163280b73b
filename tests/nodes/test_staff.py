"""Who runs a group: treasurers and readers, and what each of them may."""

import asyncio
import re
from typing import Any

import pytest

from protocol.errors import OutageError
from protocol.instant import Instant
from protocol.peer import access_store
from protocol.peer.web.routes import READER, TREASURER
from protocol.restored import Restored
from tests.nodes.office import URL, Answer, Office, office
from tests.peer.federation import NewDatabase

PEOPLE = "/api/v1/group/people"
NOBODYS = "00000000-0000-8000-8000-000000000000"


async def invite(desk: Office, name: str, role: str, token: str | None = None) -> str:
    body = {"name": name, "role": role}
    status, told = await desk.ask("POST", PEOPLE, body, token=token)
    assert status == 201, told
    assert (told["name"], told["role"]) == (name, role)
    link: str = told["sign_in"]
    assert link.startswith(f"{URL}/welcome#")
    return link


async def let_in(desk: Office, name: str, role: str) -> str:
    return await desk.sign_in(await invite(desk, name, role))


async def people(desk: Office) -> dict[str, dict[str, Any]]:
    told = (await desk.ask("GET", PEOPLE)).told["people"]
    return {person.pop("name"): person for person in told}


async def remove(desk: Office, name: str, token: str | None = None) -> Answer:
    return await desk.ask("DELETE", f"{PEOPLE}/{name}", token=token)


def path_of(path: str) -> str:
    """Fill the names in a path with what is nobody's."""
    return re.sub(r"\{[a-z_]+\}", NOBODYS, path)


async def test_each_route_by_role(new_database: NewDatabase) -> None:
    """Made from the table itself: whatever route is added is tried with every role."""
    async with office(new_database) as desk:
        tokens = {
            "nobody": "",
            "member": await desk.member_token("marie"),
            READER: await let_in(desk, "@ria", READER),
            TREASURER: await let_in(desk, "@tine", TREASURER),
        }
        before = await desk.rows()
        tried = []
        for route in desk.table:
            if route.scope != TREASURER:
                continue
            found = {}
            for role, token in tokens.items():
                # An empty object changes nothing, and nobody's names are nowhere.
                body = None if route.body is None else {}
                answer = await desk.ask(
                    route.method, path_of(route.path), body, token=token, key="by-role"
                )
                found[role] = answer.status if answer.status in (401, 403) else 200
            safe = route.method == "GET"
            assert found == {
                "nobody": 401,
                "member": 403,
                READER: 200 if safe else 403,
                TREASURER: 200,
            }, route
            tried.append(safe)
        assert tried.count(True) > 10 and tried.count(False) > 10
        assert await desk.rows() == before


async def test_who_was_invited_signs_in_once_and_is_listed(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        link = await invite(desk, "@ria", READER)
        (code,) = (await people(desk))["@ria"]["sign_ins"]
        assert code["kind"] == "once"
        # Only hashes are kept.
        secret = link.partition("#")[2]
        assert secret not in str(await desk.node.ask("SELECT * FROM access"))
        token = await desk.sign_in(link)
        again = {"code": secret}
        assert (await desk.ask("POST", "/api/v1/tokens", again, token="")).status == 401
        ria = (await people(desk))["@ria"]
        assert (ria["role"], ria["invited_by"], ria["removed_at"]) == (
            READER,
            "@treasurer",
            None,
        )
        assert [one["kind"] for one in ria["sign_ins"]] == ["token"]
        assert (await desk.ask("GET", "/api/v1/group", token=token)).status == 200
        acts = [(act["deed"], act["about"]) for act in await desk.acts()]
        assert acts[0] == ("person-invited", "@ria")


async def test_a_link_is_good_for_seven_days_and_can_be_taken_back(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        lost = await invite(desk, "@ria", READER)
        (code,) = (await people(desk))["@ria"]["sign_ins"]
        assert code["until"][:10] > code["since"][:10]
        rows = await desk.node.ask(
            "SELECT until - since AS days FROM access WHERE secret_hash = $1",
            code["id"],
        )
        assert [row["days"].days for row in rows] == [7]
        one = f"{PEOPLE}/@ria/sign-ins/{code['id']}"
        answer = await desk.ask("DELETE", one)
        assert (answer.status, answer.told["sign_ins"]) == (200, [])
        assert (await desk.ask("DELETE", one)).status == 404
        body = {"code": lost.partition("#")[2]}
        assert (await desk.ask("POST", "/api/v1/tokens", body, token="")).status == 401
        assert (await desk.acts())[0]["deed"] == "sign-ins-ended"
        # Nor after seven days.
        late = await invite(desk, "@ria", READER)
        await desk.node.change("UPDATE access SET until = now() WHERE kind = 'once'")
        body = {"code": late.partition("#")[2]}
        assert (await desk.ask("POST", "/api/v1/tokens", body, token="")).status == 401


async def test_who_is_removed_is_out_at_once_and_what_she_did_stays(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        token = await let_in(desk, "@tine", TREASURER)
        body = {"frozen": True, "reason": "asked"}
        frozen = await desk.ask("PATCH", "/api/v1/members/marie", body, token=token)
        assert frozen.status == 200
        pending = await invite(desk, "@tine", TREASURER)
        assert (await remove(desk, "@tine")).status == 200
        assert (await desk.ask("GET", "/api/v1/group", token=token)).status == 401
        again = {"code": pending.partition("#")[2]}
        assert (await desk.ask("POST", "/api/v1/tokens", again, token="")).status == 401
        tine = (await people(desk))["@tine"]
        assert tine["removed_at"] is not None and tine["sign_ins"] == []
        # A token that somehow was left would not count either.
        person = await desk.node.ask(
            "SELECT person_id FROM person WHERE sign_in_name = '@tine'"
        )
        async with desk.node.database.desk.acquire() as connection:
            left, _ = await access_store.new_token(
                connection,
                str(person[0]["person_id"]),
                ("read", TREASURER),
                desk.node.clock.now(),
            )
        assert (await desk.ask("GET", "/api/v1/group", token=left)).status == 401
        deeds = [(act["author"], act["deed"]) for act in await desk.acts()]
        assert deeds[0] == ("@treasurer", "person-removed")
        assert ("@tine", "member-changed") in deeds
        before = await desk.rows()
        assert (await remove(desk, "@tine")).status == 200
        assert await desk.rows() == before
        # Invited again, she is back.
        back = await let_in(desk, "@tine", TREASURER)
        assert (await desk.ask("GET", "/api/v1/group", token=back)).status == 200


async def test_the_last_treasurer_stays(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        await let_in(desk, "@ria", READER)
        before = await desk.rows()
        refused = await remove(desk, "@treasurer")
        assert (refused.status, refused.told["code"]) == (422, "last-treasurer")
        assert "@treasurer" in refused.told["detail"]
        # An invitation that was not used yet is nobody.
        link = await invite(desk, "@tine", TREASURER)
        assert (await remove(desk, "@treasurer")).status == 422
        body = {"name": "@treasurer", "role": READER}
        assert (await desk.ask("POST", PEOPLE, body)).status == 422
        assert await desk.rows() == before | {
            "act": before["act"] + 1,
            "person": before["person"] + 1,
        }
        tine = await desk.sign_in(link)
        assert (await remove(desk, "@treasurer", tine)).status == 200
        assert (await desk.ask("GET", PEOPLE)).status == 401
        assert (await remove(desk, "@tine", tine)).status == 422
        # Commands act as the one who was removed.
        async with desk.node.database.desk.acquire() as connection:
            with pytest.raises(OutageError, match="run: sign-in"):
                await access_store.new_errand(
                    connection, "@treasurer", [TREASURER], desk.node.clock.now()
                )
        # Whoever keeps the machine lets the first one in again, and it is noted.
        desk.tokens["@treasurer"] = await desk.let_in("@treasurer")
        (act, *_) = await desk.acts()
        assert (act["author"], act["about"]) == (None, "@treasurer")


async def test_two_who_remove_each_other_leave_one(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        tine = await let_in(desk, "@tine", TREASURER)
        answers = await asyncio.gather(
            remove(desk, "@tine"), remove(desk, "@treasurer", tine)
        )
        assert sorted(answer.status for answer in answers)[0] == 200
        left = [
            row["sign_in_name"]
            for row in await desk.node.ask(
                "SELECT sign_in_name FROM person"
                " WHERE role = 'treasurer' AND removed_at IS NULL"
            )
        ]
        assert len(left) == 1


async def test_another_role_ends_what_the_former_one_allowed(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        token = await let_in(desk, "@tine", TREASURER)
        link = await invite(desk, "@tine", READER)
        assert (await desk.ask("GET", "/api/v1/group", token=token)).status == 401
        token = await desk.sign_in(link)
        body = {"frozen": True}
        for status, ask in ((200, "GET"), (403, "PATCH")):
            sent = body if ask == "PATCH" else None
            path = "/api/v1/members/marie"
            assert (await desk.ask(ask, path, sent, token=token)).status == status
        # The same role again keeps what she has, and is a new link.
        again = await invite(desk, "@tine", READER)
        assert (await desk.ask("GET", "/api/v1/group", token=token)).status == 200
        await desk.sign_in(again)
        assert len((await people(desk))["@tine"]["sign_ins"]) == 2
        ended = await desk.ask("DELETE", f"{PEOPLE}/@tine/sign-ins")
        assert (ended.status, ended.told["sign_ins"]) == (200, [])
        assert (await desk.ask("GET", "/api/v1/group", token=token)).status == 401
        assert (await people(desk))["@tine"]["removed_at"] is None


async def test_who_cannot_be_is_not_invited(new_database: NewDatabase) -> None:
    async with office(new_database) as desk:
        before = await desk.rows()
        for body in (
            {"name": "marie", "role": READER},
            {"name": "@", "role": READER},
            {"name": "@Ann", "role": READER},
            {"name": "@a b", "role": READER},
            {"name": "@ann\n", "role": READER},
            {"name": "@" + "a" * 32, "role": READER},
            {"name": "@\u0430nn", "role": READER},
            {"name": "@ann", "role": "admin"},
            {"name": "@ann", "role": None},
            {"name": "@ann"},
            {"name": "@ann", "role": READER, "scopes": ["treasurer"]},
            [],
        ):
            assert (await desk.ask("POST", PEOPLE, body)).status == 400, body
        for name in ("@nobody", "marie", "%00", "%20", "a%2Fb", "@" + "a" * 500):
            one = f"{PEOPLE}/{name}"
            for path in (one, f"{one}/sign-ins", f"{one}/sign-ins/%00"):
                assert (await desk.ask("DELETE", path)).status == 404, path
        one = f"{PEOPLE}/@treasurer/sign-ins/%00"
        assert (await desk.ask("DELETE", one)).status == 404
        assert await desk.rows() == before


async def test_a_restored_server_changes_nobody_who_runs_it(
    new_database: NewDatabase,
) -> None:
    async with office(new_database) as desk:
        await let_in(desk, "@ria", READER)
        before = await desk.rows()
        desk.node.clerk.restored = Restored(at=Instant(1), backup_at=Instant(0))
        for method, path, body in (
            ("POST", PEOPLE, {"name": "@tine", "role": TREASURER}),
            ("DELETE", f"{PEOPLE}/@ria", None),
            ("DELETE", f"{PEOPLE}/@ria/sign-ins", None),
            ("POST", "/api/v1/members/marie/sign-in", None),
            ("DELETE", "/api/v1/members/marie/sign-ins", None),
        ):
            status, told = await desk.ask(method, path, body)
            assert (status, told["code"]) == (503, "server-restored"), path
        assert await desk.rows() == before
        # She herself comes in, to look.
        token = await desk.let_in("@treasurer")
        assert (await desk.ask("GET", PEOPLE, token=token)).status == 200
        desk.node.clerk.restored = None
        await let_in(desk, "@tine", TREASURER)
