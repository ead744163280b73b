"""What enemies of a node's members try on its pages, route by route."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.peer.web import pages
from protocol.peer.web.routes import Route
from tests.nodes.browsing import (
    PASSWORD,
    Browser,
    Reachable,
    Town,
    let_in,
    put_together,
    town,
)
from tests.peer.federation import NewDatabase
from tests.protocol.makers import MECHELEN, OOSTENDE

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
NOBODYS = "00000000-0000-8000-8000-000000000000"
SCRIPT = "<script>alert(1)</script>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Town]:
    async with town(shared_database) as found:
        yield found


def pages_of(shown: Town, *methods: str) -> list[Route]:
    found = [one for one in shown.tables[OOSTENDE] if one.is_page]
    assert len(found) > 20
    return [one for one in found if one.method in methods]


def place(route: Route, **names: str) -> str:
    named = {"id": NOBODYS, "name": "none.css", "account": "jan", "person": "@nobody"}
    named["cycle"] = "1"
    return route.path.format_map(named | names)


async def paid(shown: Town) -> str:
    """Let Marie pay Bob; gives the payment."""
    marie = await shown.signed_in()
    page = await marie.get("/pay/confirm?to=bob%40mechelen&amount=3&side=payee")
    page = await marie.send(page, "/payments")
    return page.place.removeprefix("/payments/")


async def changed(shown: Town) -> list[object]:
    """All that a page could change."""
    node = shown.node()
    return [
        await node.balances(),
        await node.ask("SELECT person_id, language, password_hash FROM person"),
        await node.ask("SELECT secret_hash FROM access ORDER BY 1"),
        await node.ask("SELECT account_id, found_by FROM member ORDER BY 1"),
        await node.ask("SELECT count(*) FROM transfer"),
    ]


@pytest.mark.parametrize(
    "said",
    [
        EVIL,
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.example.org"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://oostende.example.org"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://oostende.example.org.evil.example"},
        {},
    ],
)
async def test_nothing_is_taken_from_other_pages(
    shown: Town, said: dict[str, str]
) -> None:
    marie = await shown.signed_in()
    before = await changed(shown)
    for route in pages_of(shown, "POST", "PUT", "PATCH", "DELETE"):
        answer = await marie.client.post(
            place(route),
            data={"name": "marie", "password": PASSWORD, "language": "fr"},
            headers={"Accept": "text/html", **said},
            allow_redirects=False,
        )
        assert answer.status == 403, route.path
        assert "Set-Cookie" not in answer.headers
    assert await changed(shown) == before


async def test_an_old_browser_is_believed_by_its_origin(shown: Town) -> None:
    browser = await shown.browser()
    answer = await browser.client.post(
        "/sign-in",
        data={"name": "marie", "password": PASSWORD},
        headers={"Origin": "http://oostende.example.org"},
        allow_redirects=False,
    )
    assert answer.status == 303


async def test_without_a_session_every_page_asks_to_sign_in(shown: Town) -> None:
    stranger = await shown.browser()
    for route in pages_of(shown, "GET"):
        if route.scope is None:
            continue
        page = await stranger.get(place(route))
        assert page.place.startswith("/sign-in"), route.path
    for route in pages_of(shown, "POST"):
        if route.scope is None:
            continue
        page = await stranger.post(place(route), {})
        assert page.status == 401, route.path
        assert page.form("/sign-in"), route.path


@pytest.mark.parametrize("secret", ["x", "a" * 43, "é" * 20, "a" * 5000, "%00"])
async def test_a_cookie_that_is_nobodys_lets_nobody_in(
    shown: Town, secret: str
) -> None:
    stranger = await shown.browser()
    page = await stranger.get("/", Cookie=f"oostende={secret}")
    assert page.place.startswith("/sign-in")


async def test_a_token_of_a_program_shows_no_page_and_a_session_no_api(
    shown: Town,
) -> None:
    marie = await shown.signed_in()
    answer = await marie.client.get("/api/v1/account")
    assert answer.status == 401
    answer = await marie.client.post(
        "/api/v1/tokens", json={"name": "marie", "password": PASSWORD}
    )
    token = (await answer.json())["token"]
    stranger = await shown.browser()
    page = await stranger.get("/", Authorization=f"Bearer {token}")
    assert page.place.startswith("/sign-in")
    page = await stranger.get("/", Cookie=f"oostende={token}")
    assert page.place.startswith("/sign-in")


async def without_scope(shown: Town, scope: str) -> Browser:
    """Sign Jan in, and take one right from his session."""
    jan = await shown.signed_in("jan")
    await shown.node().change(
        f"UPDATE access SET scopes = array_remove(scopes, '{scope}') WHERE person_id"
        " = (SELECT person_id FROM person WHERE sign_in_name = 'jan')"
    )
    return jan


@pytest.mark.parametrize("scope", ["read", "pay", "treasurer"])
async def test_a_session_that_lacks_the_right_is_not_enough(
    shown: Town, scope: str
) -> None:
    jan = await without_scope(shown, scope)
    before = await changed(shown)
    for route in pages_of(shown, "GET", "POST"):
        if route.scope != scope:
            continue
        if route.method == "GET":
            page = await jan.get(place(route))
        else:
            page = await jan.post(place(route), {})
        assert page.status == 403, route.path
    assert await changed(shown) == before


async def test_someone_elses_payment_is_not_there(shown: Town) -> None:
    theirs, jan = await paid(shown), await shown.signed_in("jan")
    tried = 0
    for route in pages_of(shown, "GET", "POST"):
        if "{id}" not in route.path or route.scope == "treasurer":
            continue
        tried += 1
        for name in (theirs, NOBODYS, "x", "%00"):
            path = place(route, id=name)
            if route.method == "GET":
                page = await jan.get(path)
            else:
                page = await jan.post(path, {})
            assert page.status in (400, 404), (path, page.status)
    assert tried == 3
    page = await jan.get(f"/pay/confirm?refund_of={theirs}&amount=1&key=x")
    assert page.status == 404


async def test_every_page_has_a_strict_policy_and_is_kept_nowhere(shown: Town) -> None:
    marie = await shown.signed_in()
    for route in pages_of(shown, "GET"):
        if route.path in ("/events", "/static/{name}"):
            continue
        page = await marie.get(place(route))
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'self'; img-src 'self' data:" in policy
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        # A form's fields stand in its address; what is anyone's own is kept nowhere.
        is_form = route.path in ("/pay", "/pay/amount", "/pay/confirm", "/asks/open")
        kept = "private, no-cache" if is_form else "no-store"
        assert page.headers["Cache-Control"] == kept, route.path
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Server"] == "Interlets"
        # What a strict policy would not let through is not even tried.
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=", page.raw)
        assert "http://" not in page.raw.replace("http://www.w3.org/", "")


async def test_over_https_the_cookie_is_the_servers_alone(
    shown: Town,
) -> None:
    server = put_together(
        shown.made, OOSTENDE, Reachable(), "https://oostende.example.org"
    )
    assert server.pages is not None
    response = pages.see_other("/")
    server.pages.keep_session(response, "secret")
    [written] = [str(one) for one in response.cookies.values()]
    assert "__Host-oostende=secret" in written
    assert "Secure" in written and "HttpOnly" in written and "Path=/" in written
    assert "Domain" not in written


# Injection.


async def test_names_and_memos_are_text_and_nothing_else(shown: Town) -> None:
    await shown.node().change(
        f"UPDATE member SET name = '{SCRIPT}' WHERE account_id = 'jan'"
    )
    try:
        marie = await shown.signed_in()
        memo = f"\"'>{SCRIPT}{{{{ 7 * 7 }}}}"
        page = await marie.get("/pay/amount?to=jan@oostende")
        assert SCRIPT not in page.raw and "&lt;script&gt;" in page.raw
        page = await marie.send(page, "/pay/confirm", amount="1", memo=memo)
        assert SCRIPT not in page.raw and memo in page.text
        assert page.form("/payments").fields["memo"] == memo
        page = await marie.send(page, "/payments")
        for found in (page, await marie.get("/"), await marie.get("/history?text=7")):
            assert SCRIPT not in found.raw and memo in found.text and "49" not in memo
        for path in ("/pay/amount?to=", "/history?text=", "/pay-me?show=1&memo="):
            page = await marie.get(f"{path}%3Cscript%3Ealert(1)%3C/script%3E")
            assert SCRIPT not in page.raw
    finally:
        await shown.node().change(
            "UPDATE member SET name = 'Jan' WHERE account_id = 'jan'"
        )


# Nonsense.

TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        *("", "1", "-1", "1e9", "10" * 20, "\u0661", "\0", "\u202e", "x" * 3000),
        *("yes", "payer", "when_reachable", "bob@mechelen", "marie@oostende", NOBODYS),
    ]
)
FIELDS = (
    *("to", "amount", "side", "memo", "deliver", "unseen", "ask", "refund_of", "key"),
    *("text", "cursor", "name", "password", "next", "code", "new_password", "show"),
    *("language", "session", "found_by", "payee_amount", "payer_amount_max"),
    *("account", "floor", "ceiling", "limits", "was_name", "was_floor", "reason"),
    *("giver", "taker", "minor", "unit", "plural", "symbol", "per_hour", "role"),
    *("balance", "was_ceiling", "first"),
)
#: These end the session of who asks.
ENDING = ("/events", "/sign-out", "/sign-in", "/sessions/end", "/password")


async def test_no_nonsense_brings_a_page_down(shown: Town) -> None:
    drawn: list[dict[str, str]] = []

    @settings(
        max_examples=25,
        derandomize=True,
        database=None,
        # A busy machine is no fault of what is drawn.
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, TEXTS)))
    def collect(fields: dict[str, str]) -> None:
        drawn.append(fields)

    collect()
    marie, tine = await shown.signed_in(), await let_in(shown)
    for route in pages_of(shown, "GET", "POST"):
        for fields in drawn:
            if route.path not in ENDING:
                who = tine if route.scope == "treasurer" else marie
                status = await ask_with(who, route, fields)
                assert status < 500, (route.path, fields)
    assert (await marie.get("/")).place == "/"
    assert (await tine.get("/treasurer")).place == "/treasurer"


async def ask_with(browser: Browser, route: Route, fields: dict[str, str]) -> int:
    said = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    if route.method == "GET":
        answer = await browser.client.get(
            place(route), params=fields, headers=said, allow_redirects=False
        )
    else:
        answer = await browser.client.post(
            place(route), data=fields, headers=said, allow_redirects=False
        )
    return answer.status


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"to=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 200, "application/x-www-form-urlencoded", 400),
        (b"a" * 40_000, "application/x-www-form-urlencoded", 413),
        (b'{"to": 1}', "application/json", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_what_is_no_form_is_refused(
    shown: Town, body: bytes, kind: str, status: int
) -> None:
    marie = await shown.signed_in()
    for path in ("/payments", "/sign-in", "/language"):
        answer = await marie.client.post(
            path,
            data=body,
            headers={
                "Content-Type": kind,
                "Sec-Fetch-Site": "same-origin",
                "Accept": "text/html",
            },
        )
        assert answer.status == status, path
        assert answer.content_type == "text/html"


async def test_an_unknown_address_is_a_page_for_people_and_json_for_programs(
    shown: Town,
) -> None:
    stranger = await shown.browser(MECHELEN)
    page = await stranger.get("/nowhere")
    assert (page.status, page.headers["Content-Type"][:9]) == (404, "text/html")
    answer = await stranger.client.get("/nowhere")
    assert answer.content_type == "application/problem+json"
    answer = await stranger.client.get("/api/nowhere", headers={"Accept": "text/html"})
    assert answer.content_type == "application/problem+json"


async def test_what_others_have_made_is_sent_packed_and_kept(shown: Town) -> None:
    stranger = await shown.browser()
    page = await stranger.get("/sign-in")
    places = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.raw)
    assert len(places) == 5
    for path in places:
        answer = await stranger.client.get(path)
        assert answer.status == 200 and "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Encoding"] == "gzip"
