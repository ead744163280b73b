"""What enemies of the regional admin try on her pages and API, route by route."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from clearing.house import HubHouse
from clearing.rules import CloseCycle, Proposal
from protocol.messages import EntryUnit
from protocol.peer import access_store
from protocol.peer.access_store import hash_secret
from protocol.peer.web.routes import Route
from protocol.peer.web.words import sentences
from tests.clearing.browsing import (
    NOBODYS,
    Desk,
    admin_token,
    changed,
    cookie_of,
    desk,
    pages_of,
    pay,
    place,
)
from tests.nodes.browsing import Browser
from tests.peer.federation import NewDatabase
from tests.protocol.makers import MECHELEN

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN = sentences("en")
EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
SCRIPT = "<script>alert(1)</script>"
GROUP = "/groups/oostende"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: What no server has, and what looks like more than a name.
NAMES = (NOBODYS, "x", "reserve", "hub", "..%2f", "%c3%a9", "%00", "a" * 900)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Desk]:
    async with desk(shared_database) as found:
        yield found


# Somebody else's, or nobody's.


async def ask(
    browser: Browser, method: str, path: str, token: str | None = None
) -> tuple[int, str]:
    """Ask for a page, or with a token for what programs get; gives status and text."""
    fields = {"floor": "1", "ceiling": "1", "proposal": "1", "position": "0"}
    body: dict[str, object] = {}
    if method != "GET" and token is None:
        body = {"data": fields}
    elif method != "GET":
        numbers = {"limits": {"floor": 0, "ceiling": 1}, "left": {"position": 0}}
        body = {"json": numbers.get(path.rpartition("/")[2], {"proposal": 1})}
    said = OURS if token is None else {"Authorization": f"Bearer {token}"}
    answer = await browser.client.request(
        method,
        URL(path, encoded=True),
        headers=said,
        allow_redirects=False,
        **body,  # type: ignore[arg-type]
    )
    return answer.status, await answer.text()


async def test_what_nobody_has_is_not_there_for_people_nor_programs(
    shown: Desk,
) -> None:
    admin, token = await shown.admin(), await admin_token(shown)
    before = await changed(shown)
    tried = set()
    for route in shown.table:
        if not re.search(r"{(id|group)}", route.path):
            continue
        tried.add(route.path)
        for name in NAMES:
            path = place(route, id=name, group=name)
            asked = await ask(
                admin, route.method, path, None if route.is_page else token
            )
            assert asked[0] == 404, (route.method, path, asked)
            assert "Traceback" not in asked[1]
    assert len(tried) == 30 and await changed(shown) == before


async def test_nobody_gets_anything_before_signing_in(shown: Desk) -> None:
    transfer_id = await pay(shown, "for nobody")
    stranger, before = await shown.browser(), await changed(shown)
    for route in shown.table:
        if route.scope is None:
            continue
        path = place(route, id=transfer_id)
        answer = await stranger.client.request(
            route.method,
            path,
            headers=OURS if route.is_page else {},
            allow_redirects=False,
            **({} if route.method == "GET" else {"data": {"x": "y"}}),
        )
        if not route.is_page:
            assert answer.status == 401, route.path
            assert answer.content_type == "application/problem+json"
        elif route.method == "GET":
            assert answer.status == 303, route.path
            assert answer.headers["Location"].startswith("/sign-in?next="), route.path
        else:
            assert answer.status == 401, route.path
            assert "LETS" not in await answer.text()
    assert await changed(shown) == before


async def test_what_is_not_asked_that_way_is_refused_with_the_way(
    shown: Desk,
) -> None:
    admin, token = await shown.admin(), await admin_token(shown)
    known: dict[str, set[str]] = {}
    for route in shown.table:
        known.setdefault(route.path, set()).add(route.method)
    before, tried = await changed(shown), 0
    for path, methods in known.items():
        is_page = not path.startswith("/api/")
        names = {"id": NOBODYS, "group": "oostende", "name": "x", "cycle": "1"}
        names |= {"number": "1", "payer": "oostende", "payee": "mechelen"}
        filled = path.format_map(names)
        for method in set(METHODS) - methods:
            tried += 1
            answer = await admin.client.request(
                method,
                filled,
                headers=OURS if is_page else {"Authorization": f"Bearer {token}"},
            )
            assert answer.status == 405, (method, path)
            allowed = set(answer.headers["Allow"].split(","))
            assert allowed - {"HEAD"} == methods, (method, path)
    assert tried > 80 and await changed(shown) == before


async def test_a_session_of_a_page_is_no_token_and_a_token_no_session(
    shown: Desk,
) -> None:
    admin, token = await shown.admin(), await admin_token(shown)
    stranger = await shown.browser()
    secret = cookie_of(admin)
    for route in shown.table:
        if route.scope is None or route.method != "GET":
            continue
        path = place(route)
        if route.is_page:
            said = {"Authorization": f"Bearer {token}", "Cookie": f"hub={token}"}
            page = await stranger.get(path, **said)
            assert page.place.startswith("/sign-in"), path
        else:
            assert (await ask(admin, "GET", path, secret))[0] == 401, path
            answer = await admin.client.get(path)
            assert answer.status == 401, path


# Signing in.


async def test_whoever_left_a_cookie_before_is_not_signed_in_with_her(
    shown: Desk,
) -> None:
    mallory = await shown.admin()
    for planted in ("chosen-by-mallory", cookie_of(mallory)):
        browser = await shown.browser()
        page = await browser.post(
            "/welcome", {"code": await shown.code()}, Cookie=f"hub={planted}"
        )
        assert cookie_of(browser) != planted
        # What was planted opens nothing afterwards, not even what it did before.
        other = await shown.browser()
        page = await other.get("/", Cookie=f"hub={planted}")
        assert page.place.startswith("/sign-in")


async def test_a_link_lets_in_one_of_two_who_use_it_at_once(shown: Desk) -> None:
    code = await shown.code()
    browsers = [await shown.browser() for _ in range(4)]
    pages = await asyncio.gather(
        *(one.post("/welcome", {"code": code}) for one in browsers)
    )
    assert sorted(page.status for page in pages) == [200, 401, 401, 401]
    for page in pages:
        assert (page.status == 401) == (EN["hub.wrong-link"] in page.text)


async def test_a_link_that_ran_out_and_one_of_another_server_let_nobody_in(
    shown: Desk,
) -> None:
    hub, browser = shown.federated.hub, await shown.browser()
    code = await shown.code()
    await hub.change(
        "UPDATE access SET until = now() - interval '1 second' WHERE kind = 'once'"
    )
    elsewhere = "https://oostende.example.org/welcome#" + "a" * 43
    for typed in (code, f"http://hub.example.org/welcome#{code}", elsewhere, "", " # "):
        page = await browser.post("/welcome", {"code": typed, "next": "/flows"})
        assert (page.status, page.wrong) == (401, ["code"]), typed
        assert EN["hub.wrong-link"] in page.text
        # Neither what was typed nor a cookie stays, but where she was going does.
        assert code not in page.raw and "Set-Cookie" not in page.headers
        assert page.form("/welcome").fields["next"] == "/flows"
    page = await browser.post(
        "/welcome", {"code": await shown.code(), "next": "/flows"}
    )
    assert page.place == "/flows"


async def test_a_newer_link_takes_the_place_of_an_older_one(shown: Desk) -> None:
    old, new = await shown.code(), await shown.code()
    browser = await shown.browser()
    assert (await browser.post("/welcome", {"code": old})).status == 401
    assert (await browser.post("/welcome", {"code": new})).status == 200


async def test_a_password_is_never_kept_for_who_comes_by_link(shown: Desk) -> None:
    browser, password = await shown.browser(), "correct horse battery"
    await browser.post(
        "/welcome", {"code": await shown.code(), "new_password": password}
    )
    page = await browser.post("/password", {"new_password": password})
    assert page.status == 403
    for name in ("@admin", "admin"):
        page = await browser.post("/sign-in", {"name": name, "password": password})
        assert page.status == 401
    rows = await shown.federated.hub.ask("SELECT password_hash FROM person")
    assert {row["password_hash"] for row in rows} == {None}


async def test_sessions_are_listed_and_end_where_she_says(shown: Desk) -> None:
    here, other, third = [await shown.admin() for _ in range(3)]
    page = await here.get("/profile")
    assert page.text.count(EN["profile.this-one"]) == 1
    assert page.raw.count('type="password"') == 0
    listed = re.findall(r'name="session" value="([^"]+)"', page.raw)
    # What names a session opens none.
    assert cookie_of(other) not in page.raw
    stranger = await shown.browser()
    page = await stranger.get("/", Cookie=f"hub={listed[0]}")
    assert page.place.startswith("/sign-in")
    for nobodys in ("x", NOBODYS, "'; DROP TABLE access; --"):
        assert (await here.post("/sessions/end", {"session": nobodys})).status == 200
    assert (await other.get("/")).place == "/"
    named = hash_secret(cookie_of(other))
    assert named in listed
    await here.post("/sessions/end", {"session": named})
    assert (await other.get("/")).place.startswith("/sign-in")
    assert (await third.get("/")).place == "/"
    await here.post("/sessions/end", {})
    assert (await third.get("/")).place.startswith("/sign-in")
    assert (await here.get("/")).place == "/"


async def test_who_lost_her_cookie_comes_back_to_where_she_was(shown: Desk) -> None:
    admin = await shown.admin()
    admin.client.session.cookie_jar.clear()
    page = await admin.get("/transfers?id=x")
    assert page.place == "/sign-in?next=/transfers?id%3Dx"
    # It says how to get a new link, where there is one.
    assert "interlets-hub sign-in" in page.text
    page = await admin.send(page, "/welcome", code=await shown.code())
    assert page.place == "/transfers?id=x"


# Other pages.


@pytest.mark.parametrize(
    "said",
    [
        EVIL,
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.example.org"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://hub.example.org"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://hub.example.org.evil.example"},
        {"Origin": "null"},
        {},
    ],
)
async def test_nothing_is_taken_from_other_pages(
    shown: Desk, said: dict[str, str]
) -> None:
    admin, code = await shown.admin(), await shown.code()
    before, tried = await changed(shown), 0
    for route in pages_of(shown, *METHODS):
        if route.method == "GET":
            continue
        tried += 1
        answer = await admin.client.request(
            route.method,
            place(route),
            data={
                "group": "gent",
                "floor": "1",
                "ceiling": "1",
                "language": "fr",
                "code": code,
                "proposal": "1",
            },
            headers={"Accept": "text/html", **said},
            allow_redirects=False,
        )
        assert answer.status == 403, route.path
        assert "Set-Cookie" not in answer.headers
    assert tried > 10 and await changed(shown) == before


async def test_who_may_not_look_after_the_hub_sees_nothing_of_it(shown: Desk) -> None:
    weak, hub = await shown.admin(), shown.federated.hub
    await hub.change(
        "UPDATE access SET scopes = array_remove(scopes, 'admin')"
        f" WHERE secret_hash = '{hash_secret(cookie_of(weak))}'"
    )
    before, tried = await changed(shown), 0
    for route in pages_of(shown, *METHODS):
        if route.scope == "admin":
            tried += 1
            told = await ask(weak, route.method, place(route))
            assert told[0] == 403 and "LETS" not in told[1], route.path
    assert tried > 12 and await changed(shown) == before


async def test_a_programs_token_that_may_less_is_told_so(shown: Desk) -> None:
    browser, hub = await shown.browser(), shown.federated.hub
    async with hub.database.desk.acquire() as connection:
        token = await access_store.new_errand(
            connection, "@admin", ("read",), hub.clock.now()
        )
    before, tried = await changed(shown), 0
    for route in shown.table:
        if not route.is_page and route.scope == "admin":
            tried += 1
            told = await ask(browser, route.method, place(route), token)
            assert told[0] == 403, route.path
    assert tried > 10 and await changed(shown) == before


# Injection.


@contextmanager
def named_evilly(shown: Desk) -> Iterator[None]:
    """Let a group have a name and a unit that would be markup somewhere else."""
    house = shown.federated.hub.house
    assert isinstance(house, HubHouse)
    before = house.directory[MECHELEN]
    name = f"LETS\"'>{SCRIPT}{{{{ 7 * 7 }}}}"
    entry = msgspec.structs.replace(
        before.entry, name=name, unit=EntryUnit(SCRIPT, f"{SCRIPT}s", "<b>", 0)
    )
    house.directory[MECHELEN] = msgspec.structs.replace(before, entry=entry)
    proposal = Proposal(
        group=MECHELEN,
        number=7,
        line_hash="",
        entry=entry,
        signed="",
        at=shown.federated.hub.clock.now(),
    )
    house.proposals[MECHELEN] = proposal
    try:
        yield
    finally:
        house.directory[MECHELEN] = before
        del house.proposals[MECHELEN]


async def test_names_units_reasons_and_lines_are_text_and_nothing_else(
    shown: Desk,
) -> None:
    admin, hub = await shown.admin(), shown.federated.hub
    transfer_id = await pay(shown, "evil")
    await hub.change(
        f"INSERT INTO alarm (at, about, told) VALUES (now(), '{SCRIPT}', '{SCRIPT}');"
        "ALTER TABLE item DISABLE TRIGGER USER;"
        "UPDATE item SET line = line || convert_to('''\"></pre>"
        f"{SCRIPT}''', 'UTF8')"
        f" WHERE position('{transfer_id}' in convert_from(line, 'UTF8')) > 0;"
        "ALTER TABLE item ENABLE TRIGGER USER"
    )
    told = 0
    with named_evilly(shown):
        for route in pages_of(shown, "GET"):
            path = place(route, id=transfer_id, group="mechelen")
            page = await admin.get(path)
            if route.path.endswith(".csv"):
                # No browser shows it: it is saved, and is nothing but text.
                assert page.headers["Content-Type"].startswith("text/"), path
                assert page.headers["X-Content-Type-Options"] == "nosniff"
                if page.status == 200:
                    said = page.headers["Content-Disposition"]
                    assert said.startswith("attachment"), path
                continue
            assert SCRIPT not in page.raw, path
            told += SCRIPT in page.text
            if "LETS" in page.text and route.path in ("/", "/links"):
                assert "{{ 7 * 7 }}" in page.text
    await hub.change("DELETE FROM alarm")
    # The first page, the group's with its sharing, cycles, links, alarms, the transfer.
    assert told == 7


@pytest.mark.parametrize("typed", [SCRIPT, f"\"'>{SCRIPT}", "{{ 7 * 7 }}", "{code}"])
async def test_what_is_typed_comes_back_as_text(shown: Desk, typed: str) -> None:
    admin, sent = await shown.admin(), quote(typed, safe="")
    for path in (
        *(f"/transfers?id={sent}", f"/flows?days={sent}", f"{GROUP}?saved={sent}"),
        *(f"{GROUP}?floor={sent}", f"/invite?group={sent}&floor={sent}"),
        *(f"/sign-in?next={sent}", f"/profile?saved={sent}&wrong={sent}"),
    ):
        page = await admin.get(path)
        assert page.status in (200, 422), path
        assert "<script>alert" not in page.raw and "49" not in page.text, path
    page = await admin.post("/invite", {"group": typed, "floor": typed, "ceiling": "1"})
    assert page.form("/invite").fields["group"] == typed
    limits = {"floor": typed, "ceiling": typed, "reason": typed}
    page = await admin.post(f"{GROUP}/limits", limits)
    assert page.form(f"{GROUP}/limits").fields == limits
    for path in ("/invite", f"{GROUP}/limits"):
        page = await admin.post(
            path, {"floor": typed, "ceiling": typed, "group": "x", "reason": "so"}
        )
        assert page.status == 422 and "<script>alert" not in page.raw


async def test_every_page_has_a_strict_policy_and_is_kept_nowhere(shown: Desk) -> None:
    admin = await shown.admin()
    transfer_id = await pay(shown, "policy")
    await shown.federated.hub.clerk.take(CloseCycle(1))
    for route in pages_of(shown, "GET"):
        if route.path == "/static/{name}":
            continue
        page = await admin.get(place(route, id=transfer_id, cycle="1"))
        # There is no leg, no dispute and no sharing; other tests have them.
        others = ("/legs/{id}", "/disputes/", "/sharing/{id}")
        is_there = not any(one in route.path for one in others)
        assert page.status == (200 if is_there else 404), route.path
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store", route.path
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=", page.raw)


TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "0",
        "1",
        "-1",
        "1e9",
        "10" * 20,
        "\u0661",
        "\0",
        "\u202e",
        "x" * 3000,
        NOBODYS,
    ]
)
FIELDS = (
    "group",
    "floor",
    "ceiling",
    "proposal",
    "id",
    "days",
    "cursor",
    "next",
    "code",
    "before",
    "after",
    "saved",
    "legs",
    "payer",
    "payee",
    "hours",
    "cap_reason",
    "percent",
    "warning_reason",
    "reason",
    "told",
    "plan",
)
#: These end the session of who asks.
ENDING = ("/sign-out", "/sign-in", "/sessions/end")


async def test_no_nonsense_brings_a_page_down(shown: Desk) -> None:
    drawn: list[dict[str, str]] = []

    @settings(
        max_examples=20,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],  # of a busy machine
    )
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, TEXTS)))
    def collect(fields: dict[str, str]) -> None:
        drawn.append(fields)

    collect()
    admin = await shown.admin()
    for route in pages_of(shown, "GET", "POST"):
        if route.path in ENDING:
            continue
        for fields in drawn:
            status = await ask_with(admin, route, fields)
            assert status < 500, (route.path, fields)
    assert (await admin.get("/")).place == "/"


async def ask_with(browser: Browser, route: Route, fields: dict[str, str]) -> int:
    said = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    sent = {"params": fields} if route.method == "GET" else {"data": fields}
    answer = await browser.client.request(
        route.method,
        place(route),
        headers=said,
        allow_redirects=False,
        **sent,  # type: ignore[arg-type]
    )
    return answer.status
