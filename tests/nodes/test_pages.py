"""A node's pages without scripts: what members see, and what enemies get."""

import re
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import pytest_asyncio
from yarl import URL

from nodes.rules import NewMember
from protocol import ask, jws, strict_json
from protocol.address import HUB
from protocol.instant import Instant, write_instant
from protocol.peer import access_store
from protocol.peer.clock import Clock
from protocol.peer.web.sign_in import MEMBER_SCOPES
from protocol.peer.web.words import LANGUAGES, Language, refusal, sentences
from protocol.restored import Restored
from tests.nodes.browsing import PASSWORD, Browser, Page, Town, admit, town
from tests.peer.federation import NewDatabase
from tests.protocol.makers import MECHELEN, OOSTENDE, asked, signing_key

pytestmark = pytest.mark.asyncio(loop_scope="module")
EN = sentences("en")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(shared_database: NewDatabase) -> AsyncIterator[Town]:
    async with town(shared_database) as found:
        yield found


async def balance(shown: Town, account: str = "marie") -> int:
    group = MECHELEN if account == "bob" else OOSTENDE
    return (await shown.node(group).balances()).get(account, 0)


async def confirmed(browser: Browser, **typed: str) -> Page:
    """Walk from whom to how much to the page that asks whether this is right."""
    fields = {"to": "bob@mechelen", "amount": "3", "memo": ""} | typed
    page = await browser.send(await browser.get("/pay"), "/pay/amount", to=fields["to"])
    del fields["to"]
    return await browser.send(page, "/pay/confirm", **fields)


# Paying.


async def test_marie_pays_bob_and_sees_what_it_costs_before(shown: Town) -> None:
    marie = await shown.signed_in()
    before = await balance(shown)
    page = await confirmed(marie, amount="4", memo="Brood & kaas")
    # A ketje is one minute, and a blusser three: 4 cost 2, which are worth 6.
    for told in ("Bob", "4 ketjes", "4 min", "2 blussers", "Brood & kaas", "The 2 min"):
        assert told in page.text
    assert await balance(shown) == before
    page = await marie.send(page, "/payments")
    assert re.fullmatch(r"/payments/[0-9a-f-]{36}", page.place)
    assert EN["payment.cleared"] in page.text
    assert await balance(shown) == before - 2


async def test_the_same_button_pressed_again_and_again_pays_once(shown: Town) -> None:
    marie = await shown.signed_in()
    before = await balance(shown)
    page = await confirmed(marie)
    places = {(await marie.send(page, "/payments")).place for _ in range(3)}
    assert len(places) == 1
    assert await balance(shown) == before - 1
    # Coming back by the browser's own button she is told, and has no button.
    again = await marie.get(page.place)
    assert EN["confirm.paid-before"] in again.text
    assert "/payments" not in {form.action for form in again.forms}


async def test_two_windows_pay_two_payments(shown: Town) -> None:
    marie = await shown.signed_in()
    before = await balance(shown)
    pages = [await confirmed(marie) for _ in range(2)]
    places = {(await marie.send(page, "/payments")).place for page in pages}
    assert len(places) == 2
    assert await balance(shown) == before - 2


@pytest.mark.parametrize("typed", ["jan", "Jan", "JAN@Oostende", " jan @ oostende "])
async def test_in_the_own_group_a_name_will_do(shown: Town, typed: str) -> None:
    marie = await shown.signed_in()
    page = await confirmed(marie, to=typed, amount="1")
    assert "Jan" in page.text
    page = await marie.send(page, "/payments")
    assert "To jan@oostende" in page.text


async def test_members_of_another_group_are_found_with_their_name(shown: Town) -> None:
    marie = await shown.signed_in()
    page = await marie.send(await marie.get("/pay"), "/pay/amount", to="Bob@Mechelen ")
    assert "Bob" in page.text and "LETS Mechelen" in page.text


async def test_what_marie_pays_in_her_own_unit_is_rounded_in_sight(
    shown: Town,
) -> None:
    bob = await shown.signed_in("bob", MECHELEN)
    page = await confirmed(bob, to="marie@oostende", amount="4", side="payer")
    # A blusser costs 3 ketjes, so 4 cannot be spent.
    assert EN["confirm.not-exact"] in page.text
    assert "1 blusser, which costs you 3 ketjes" in page.text
    assert "2 blussers, which costs you 6 ketjes" in page.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("2,5", "pay.amount-no-parts"),
        ("2.5", "pay.amount-no-parts"),
        ("", "pay.amount-missing"),
        ("veel", "pay.amount-no-number"),
        ("0", "pay.amount-not-positive"),
        ("-3", "pay.amount-not-positive"),
    ],
)
async def test_a_wrong_amount_has_its_sentence_beside_it_and_stays(
    shown: Town, language: Language, typed: str, told: str
) -> None:
    marie = await shown.signed_in(language=language)
    page = await confirmed(marie, amount=typed, memo="Taart")
    assert (page.status, page.wrong) == (200, ["amount"])
    expected = sentences(language)[told].format(unit="ketjes")
    assert expected in page.text
    fields = page.form("/pay/confirm").fields
    assert (fields["amount"], fields["memo"]) == (typed, "Taart")
    # What is put right goes on from there.
    page = await marie.send(page, "/pay/confirm", amount="1 000")
    assert page.status == 200 and "334 blussers" in page.text


@pytest.mark.parametrize("memo", ["x" * 501, "Hoi\u202e", "Hoi\x07"])
async def test_a_memo_that_cannot_be_has_its_sentence_beside_it(
    shown: Town, memo: str
) -> None:
    marie = await shown.signed_in()
    page = await confirmed(marie, memo=memo)
    assert (page.status, page.wrong) == (200, ["memo"])
    assert EN["pay.memo-long"] in page.text
    assert page.form("/pay/confirm").fields["memo"] == memo
    assert page.form("/pay/confirm").fields["amount"] == "3"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("bob@nowhere", refusal("unknown-group", "en")),
        ("nobody@mechelen", refusal("unknown-account", "en")),
        ("bob at mechelen", EN["pay.nobody-found"]),
        ("b", EN["pay.no-to"]),
        ("@mechelen", EN["pay.no-to"]),
        ("bob@hub", EN["pay.no-to"]),
        ("http://mechelen.example.org/ask#abc", refusal("ask-unreadable", "en")),
        ("a#b", refusal("ask-unreadable", "en")),
    ],
)
async def test_whoever_cannot_be_found_is_told_beside_the_field(
    shown: Town, typed: str, told: str
) -> None:
    marie = await shown.signed_in()
    page = await marie.send(await marie.get("/pay"), "/pay/amount", to=typed)
    assert (page.status, page.wrong) == (200, ["to"])
    assert told in page.text
    assert page.form("/pay/amount").fields["to"] == typed


async def test_who_is_sure_of_an_address_goes_on_without_a_name(shown: Town) -> None:
    marie = await shown.signed_in()
    page = await marie.send(
        await marie.get("/pay"), "/pay/amount", to="nobody@mechelen"
    )
    [place] = [link for link in page.links if "unseen=yes" in link]
    page = await marie.get(place)
    assert EN["pay.no-name"] in page.text
    page = await marie.send(page, "/pay/confirm", amount="3")
    page = await marie.send(page, "/payments")
    assert EN["payment.refused"] in page.text
    assert refusal("unknown-account", "en") in page.text


async def test_more_than_her_limit_is_not_offered(shown: Town) -> None:
    marie = await shown.signed_in()
    page = await confirmed(marie, amount="9000")
    assert EN["confirm.payer-floor"] in page.text
    assert "/payments" not in {form.action for form in page.forms}


async def test_when_the_hub_is_away_she_may_pay_later(shown: Town) -> None:
    marie = await shown.signed_in()
    page = await confirmed(marie)
    shown.couriers[OOSTENDE].is_up = False
    try:
        page = await marie.send(page, "/payments")
        assert refusal("hub-unreachable", "en") in page.text
        assert EN["confirm.when-reachable"] in page.text
        page = await marie.send(page, "/payments", deliver="when_reachable")
    finally:
        shown.couriers[OOSTENDE].is_up = True
    assert page.place.startswith("/payments/")


async def test_bob_gives_back_what_marie_paid(shown: Town) -> None:
    marie, bob = await shown.signed_in(), await shown.signed_in("bob", MECHELEN)
    page = await marie.send(await confirmed(marie, amount="30"), "/payments")
    paid = page.place.removeprefix("/payments/")
    page = await bob.get(page.place)
    page = await bob.send(page, "/pay/confirm", amount="99")
    page = await bob.send(page, "/payments")
    assert refusal("refund-too-large", "en") in page.text
    page = await bob.get(f"/payments/{paid}")
    page = await bob.send(page, "/pay/confirm", amount="4")
    assert EN["confirm.refund-title"] in page.text and "12 ketjes" in page.text
    page = await bob.send(page, "/payments")
    assert EN["payment.cleared"] in page.text
    assert EN["payment.refund-of"] in page.text


async def test_she_sees_what_was_booked_and_finds_it(shown: Town) -> None:
    marie = await shown.signed_in()
    await marie.send(await confirmed(marie, memo="Zeldzame kaas"), "/payments")
    page = await marie.get("/")
    assert "Zeldzame kaas" in page.text
    page = await marie.get("/history?text=zeldzame")
    assert "Zeldzame kaas" in page.text
    page = await marie.get("/history?text=onvindbaar")
    assert EN["history.nothing"] in page.text


async def test_she_sees_how_her_group_stands_with_the_others(
    shared_database: NewDatabase,
) -> None:
    # Groups of their own: what other trials paid moved those that are shared.
    async with town(shared_database) as fresh:
        marie = await fresh.signed_in()
        assert "/our-group" in (await marie.get("/")).links
        page = await marie.get("/our-group")
        assert EN["our-group.even"] in page.text
        assert EN["our-group.nothing"] in page.text
        sent = await marie.send(await confirmed(marie), "/payments")
        assert EN["payment.cleared"] in sent.text
        page = await marie.get("/our-group")
        assert EN["our-group.got"] in page.text
        bob = await fresh.signed_in("bob", MECHELEN)
        assert EN["our-group.gave"] in (await bob.get("/our-group")).text


# Asking.


async def test_what_bob_asks_marie_opens_and_pays_once(shown: Town) -> None:
    bob, marie = await shown.signed_in("bob", MECHELEN), await shown.signed_in()
    page = await bob.get("/pay-me?show=yes&amount=5&memo=Fietsband")
    [link] = re.findall(r"http://mechelen\.example\.org/ask#[\w.-]+", page.raw)
    assert "<svg" in page.raw
    before = await balance(shown, "bob")
    for _ in range(2):
        page = await marie.send(await marie.get("/pay"), "/pay/amount", to=link)
        assert "5 ketjes" in page.text and "Fietsband" in page.text
        if EN["confirm.paid-before"] in page.text:
            break
        page = await marie.send(page, "/payments")
        assert EN["payment.cleared"] in page.text
    else:
        pytest.fail("she was not told that she had paid")
    assert await balance(shown, "bob") == before + 5


async def test_an_ask_without_an_amount_asks_for_one(shown: Town) -> None:
    bob, marie = await shown.signed_in("bob", MECHELEN), await shown.signed_in()
    page = await bob.get("/pay-me?show=yes")
    [link] = re.findall(r"http://mechelen\.example\.org/ask#[\w.-]+", page.raw)
    page = await marie.send(await marie.get("/pay"), "/pay/amount", to=link)
    page = await marie.send(page, "/pay/confirm", amount="2,5")
    assert page.wrong == ["amount"]
    page = await marie.send(page, "/pay/confirm", amount="6")
    page = await marie.send(page, "/payments")
    assert EN["payment.cleared"] in page.text


def link_of(whose: str = "mechelen", **changes: object) -> str:
    """A link that asks, as a group could have signed it."""
    now = Clock().now()
    fields = {
        "at": write_instant(now),
        "until": write_instant(Instant(now + 86_400_000)),
    }
    payload = strict_json.write(asked(**(fields | changes)))
    signed = jws.sign(payload, signing_key(whose), ask.ASK_TYP)
    return f"https://mechelen.example.org/ask#{signed}"


BAD_LINKS: dict[str, tuple[Callable[[], str], str]] = {
    "cut off": (lambda: link_of()[:-1], "ask-unreadable"),
    "one letter changed": (
        lambda: link_of().replace("ask#ey", "ask#fy"),
        "ask-unreadable",
    ),
    "of another federation": (
        lambda: link_of(federation=asked().federation.replace("belgium", "france")),
        "ask-of-another-federation",
    ),
    "signed by another group": (lambda: link_of("oostende"), "ask-not-signed"),
    "run out": (
        lambda: link_of(
            at=write_instant(Instant(Clock().now() - 86_400_000)),
            until=write_instant(Clock().now()),
        ),
        "ask-expired",
    ),
    "of a group that nobody knows": (
        lambda: link_of(group="gent"),
        "ask-of-unknown-group",
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", BAD_LINKS)
async def test_a_link_that_does_not_count_is_told_beside_the_field_and_stays(
    shown: Town, language: Language, case: str
) -> None:
    make, code = BAD_LINKS[case]
    link = make()
    marie = await shown.signed_in(language=language)
    page = await marie.send(await marie.get("/pay"), "/pay/amount", to=link)
    assert (page.status, page.wrong) == (200, ["to"])
    # A page's words are read with plain spaces.
    assert " ".join(refusal(code, language).split()) in page.text
    assert page.form("/pay/amount").fields["to"] == link


# Signing in.


async def test_a_wrong_password_keeps_the_name_and_says_no_more(shown: Town) -> None:
    browser = await shown.browser()
    texts = set()
    for name in ("marie", "nobody", "not a name!"):
        page = await browser.sign_in(name, "wrong password")
        assert page.status == 401
        assert page.form("/sign-in").fields["name"] == name
        texts.add(page.text)
    assert len(texts) == 1


async def test_signing_in_leads_to_where_she_was_going(shown: Town) -> None:
    browser = await shown.browser()
    page = await browser.get("/pay/amount?to=bob%40mechelen&amount=7&memo=Twee+taarten")
    assert page.place.startswith("/sign-in?next=")
    page = await browser.send(page, "/sign-in", name="Marie", password=PASSWORD)
    assert page.form("/pay/confirm").fields["amount"] == "7"
    assert page.form("/pay/confirm").fields["memo"] == "Twee taarten"


async def test_the_longest_memo_comes_back_after_signing_in(shown: Town) -> None:
    browser = await shown.browser()
    memo = "🍞" * 500
    fields = {"to": "jan@oostende", "amount": "1", "memo": memo}
    page = await browser.get(str(URL("/pay/confirm").with_query(fields)))
    assert page.status == 401
    page = await browser.send(page, "/sign-in", name="marie", password=PASSWORD)
    assert page.form("/payments").fields["memo"] == memo


async def test_another_language_is_chosen_from_any_page(shown: Town) -> None:
    await admit(shown.node(), "cis")
    marie = await shown.signed_in("cis")
    page = await marie.get("/pay/amount?to=marie&amount=5")
    page = await marie.send(page, "/language", language="fr")
    assert page.form("/pay/confirm").fields["amount"] == "5"
    assert sentences("fr")["pay.how-much"] in page.text
    # A page that a button led to is not there to look at again.
    wrong = await marie.post("/welcome", {"code": "x", "new_password": ""})
    for found in (wrong, await marie.post("/payments", {"payee_amount": "x"})):
        assert found.status >= 400
        page = await marie.send(found, "/language", language="en")
        assert page.status == 200


async def test_a_session_that_ends_in_mid_form_loses_nothing(shown: Town) -> None:
    marie = await shown.signed_in()
    before = await balance(shown)
    memo = "Met veel liefs 🍞 " * 20
    page = await confirmed(marie, memo=memo.strip())
    await marie.post("/sign-out", {})
    asked = await marie.send(page, "/payments")
    assert asked.status == 401 and EN["sign-in.interrupted"] in asked.text
    assert await balance(shown) == before
    back = await marie.send(asked, "/sign-in", name="marie", password=PASSWORD)
    assert memo.strip() in back.text
    await marie.send(back, "/payments")
    assert await balance(shown) == before - 1
    # The page from before is the same payment.
    await marie.send(page, "/payments")
    assert await balance(shown) == before - 1


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "evil",
    ],
)
async def test_signing_in_leads_nowhere_else(shown: Town, place: str) -> None:
    browser = await shown.browser()
    fields = {"name": "marie", "password": PASSWORD, "next": place}
    page = await browser.post("/sign-in", fields)
    assert (page.status, page.place) == (200, "/")


async def test_a_session_is_new_at_each_sign_in_and_ends_at_sign_out(
    shown: Town,
) -> None:
    browser = await shown.browser()
    secrets = []
    for _ in range(2):
        fields = {"name": "marie", "password": PASSWORD, "next": "/"}
        answer = await browser.client.post(
            "/sign-in",
            data=fields,
            headers={"Sec-Fetch-Site": "same-origin"},
            allow_redirects=False,
        )
        secrets.append(answer.cookies["oostende"].value)
        assert answer.cookies["oostende"]["httponly"]
        assert answer.cookies["oostende"]["samesite"] == "Lax"
    assert len(set(secrets)) == 2
    for secret, place in ((secrets[0], "/sign-in?next=/"), (secrets[1], "/")):
        stranger = await shown.browser()
        page = await stranger.get("/", Cookie=f"oostende={secret}")
        assert page.place.replace("%2F", "/") == place
    await browser.post("/sign-out", {})
    page = await (await shown.browser()).get("/", Cookie=f"oostende={secrets[1]}")
    assert page.place.startswith("/sign-in")


async def test_a_cookie_that_she_was_given_by_an_enemy_is_not_hers(
    shown: Town,
) -> None:
    browser = await shown.browser()
    fields = {"name": "marie", "password": PASSWORD, "next": "/"}
    answer = await browser.client.post(
        "/sign-in",
        data=fields,
        headers={"Sec-Fetch-Site": "same-origin", "Cookie": "oostende=planted"},
        allow_redirects=False,
    )
    assert answer.cookies["oostende"].value != "planted"


async def test_another_of_her_sessions_is_ended_from_her_profile(shown: Town) -> None:
    await admit(shown.node(), "ben")
    here, there = await shown.signed_in("ben"), await shown.signed_in("ben")
    page = await here.get("/profile")
    ends = [form for form in page.forms if form.action == "/sessions/end"]
    [there_id] = [one.fields["session"] for one in ends if "session" in one.fields]
    # Nobody else's, whoever asks.
    await (await shown.signed_in()).post("/sessions/end", {"session": there_id})
    assert (await there.get("/")).place == "/"
    await here.post("/sessions/end", {"session": there_id})
    assert (await there.get("/")).place.startswith("/sign-in")
    assert (await here.get("/")).place == "/"


async def test_a_language_that_she_chose_stays_with_her(shown: Town) -> None:
    await admit(shown.node(), "ann")
    marie = await shown.signed_in("ann", language="nl")
    assert sentences("nl")["account.newest"] in (await marie.get("/")).text
    await marie.post("/language", {"language": "fr", "next": "/profile"})
    elsewhere = await shown.signed_in("ann", language="nl")
    page = await elsewhere.get("/")
    assert sentences("fr")["account.newest"] in page.text
    assert page.headers["Content-Language"] == "fr"


async def test_she_decides_who_finds_her(shown: Town) -> None:
    jan, marie = await shown.signed_in("jan"), await shown.signed_in()
    await jan.post("/profile/visibility", {"found_by": "nothing"})
    page = await marie.send(await marie.get("/pay"), "/pay/amount", to="jan@oostende")
    assert page.wrong == ["to"]
    page = await jan.post("/profile/visibility", {"found_by": "address"})
    assert EN["profile.saved"] in page.text
    page = await marie.send(await marie.get("/pay"), "/pay/amount", to="jan@oostende")
    assert "Jan" in page.text


async def test_a_new_password_ends_her_other_sessions(shown: Town) -> None:
    jan, elsewhere = await shown.signed_in("jan"), await shown.signed_in("jan")
    new = "another horse battery"
    page = await jan.post("/password", {"password": "wrong", "new_password": new})
    assert page.wrong == ["password"]
    page = await jan.post("/password", {"password": PASSWORD, "new_password": "short"})
    assert page.wrong == ["new_password"]
    await jan.post("/password", {"password": PASSWORD, "new_password": new})
    assert (await elsewhere.get("/")).place.startswith("/sign-in")
    assert (await (await shown.browser()).sign_in("jan")).status == 401
    await jan.post("/password", {"password": new, "new_password": PASSWORD})
    assert (await (await shown.browser()).sign_in("jan")).status == 200


async def test_on_a_restored_server_she_changes_nothing_but_signs_out_elsewhere(
    shown: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new password would be lost with the database; an end is safe either way."""
    await admit(shown.node(), "eva")
    await shown.node().clerk.take(
        NewMember(account_id="ida", name="Ida", floor=-10, ceiling=None)
    )
    code = await invited(shown, "ida", MEMBER_SCOPES, "ida")
    eva, elsewhere = await shown.signed_in("eva"), await shown.signed_in("eva")
    welcome = await (await shown.browser()).get("/welcome")
    # Somebody whom it waits for in vain: else it would go on in the midst of this.
    monkeypatch.setattr(shown.node().house, "awaited", lambda: [HUB, "nobody"])
    shown.node().clerk.restored = Restored(at=Instant(1), backup_at=Instant(0))
    try:
        new = "another horse battery"
        fields = {"password": PASSWORD, "new_password": new}
        assert (await eva.post("/password", fields)).status == 503
        said = {"language": "fr", "next": "/"}
        assert (await eva.post("/language", said)).status == 503
        ida = await shown.browser()
        page = await ida.send(welcome, "/welcome", code=code, new_password=new)
        assert page.status == 503
        # A stranger's choice is kept by her browser alone.
        assert (await (await shown.browser()).post("/language", said)).status == 200
        assert (await eva.get("/")).headers["Content-Language"] == "en"
        await eva.post("/sessions/end", {"session": ""})
        assert (await elsewhere.get("/")).place.startswith("/sign-in")
        # Whoever only wants to look is let in, and her link was not used up above.
        page = await ida.send(welcome, "/welcome", code=code)
        assert "Ida" in page.text
    finally:
        shown.node().clerk.restored = None
    assert (await (await shown.browser()).sign_in("eva")).status == 200


# One-time links, and the treasurer.


async def invited(
    shown: Town, name: str, scopes: Sequence[str], account: str | None
) -> str:
    node = shown.node()
    async with node.database.desk.acquire() as connection, connection.transaction():
        return await access_store.invite_person(
            connection, name, scopes, node.clock.now(), account
        )


async def test_a_one_time_link_lets_in_once_and_gives_a_password(shown: Town) -> None:
    await shown.node().clerk.take(
        NewMember(account_id="els", name="Els", floor=-10, ceiling=None)
    )
    code = await invited(shown, "els", MEMBER_SCOPES, "els")
    els = await shown.browser()
    welcome = await els.get("/welcome")
    page = await els.send(welcome, "/welcome", code=code, new_password="short")
    assert page.wrong == ["new_password"]
    # The whole link does as well as the code in it.
    link = f"http://oostende.example.org/welcome#{code}"
    page = await els.send(welcome, "/welcome", code=link, new_password=PASSWORD)
    assert "Els" in page.text
    page = await (await shown.browser()).send(welcome, "/welcome", code=code)
    assert page.wrong == ["code"]
    assert (await (await shown.browser()).sign_in("els")).status == 200


async def test_without_a_password_she_is_told_to_choose_one(shown: Town) -> None:
    code = await invited(shown, "els", MEMBER_SCOPES, "els")
    els = await shown.browser()
    await shown.node().change(
        "UPDATE person SET password_hash = NULL WHERE sign_in_name = 'els'"
    )
    page = await els.send(await els.get("/welcome"), "/welcome", code=code)
    assert EN["account.no-password"] in page.text
    page = await els.send(await els.get("/profile"), "/password", new_password=PASSWORD)
    assert EN["profile.saved"] in page.text


async def test_a_treasurer_sees_that_all_sums_to_zero(shown: Town) -> None:
    marie = await shown.signed_in()
    await marie.send(await confirmed(marie, memo="Voor het grootboek"), "/payments")
    code = await invited(shown, "@treasurer", ("read", "treasurer"), None)
    treasurer = await shown.browser()
    page = await treasurer.send(
        await treasurer.get("/welcome"), "/welcome", code=code, new_password=PASSWORD
    )
    assert page.place == "/treasurer"
    assert EN["treasurer.sums-good"] in page.text
    assert EN["treasurer.got"] in page.text
    assert not {"/pay", "/history"} & {*page.links}
    await shown.node().change(
        "INSERT INTO alarm (at, about, told) VALUES (now(), 'mirror', '<b>7</b>')"
    )
    page = await treasurer.get("/treasurer")
    assert EN["treasurer.alarms"] in page.text and "· <b>7</b>" in page.text
    page = await treasurer.get("/treasurer/members")
    assert "Marie" in page.text and "-1,000 … 3,000" in page.text
    page = await treasurer.get("/treasurer/ledger?text=grootboek")
    assert "marie@oostende → bob@mechelen" in page.text and "marie -1" in page.text
    assert EN["profile.link-only"] in (await treasurer.get("/profile")).text
    # What is nobody's own is not there for her either.
    assert (await treasurer.get("/history")).status == 404
    assert (await treasurer.get("/treasurer/members?cursor=%00")).status == 400
    assert (await treasurer.get("/treasurer/ledger?cursor=x")).status == 400
    # A member is no treasurer.
    assert (await marie.get("/treasurer")).status == 403


async def test_a_session_counts_thirty_days_from_its_last_use(shown: Town) -> None:
    marie = await shown.signed_in()
    node = shown.node()
    lasts = "SELECT until - now() > interval '29 days' AS far, seen FROM access"
    newest = f"{lasts} WHERE kind = 'session' ORDER BY since DESC LIMIT 1"
    await node.change(
        "UPDATE access SET until = now() + interval '1 day',"
        " seen = now() - interval '2 hours' WHERE kind = 'session'"
    )
    page = await marie.get("/")
    assert "oostende=" in page.headers["Set-Cookie"]
    assert (await node.ask(newest))[0]["far"]
    # Noted once an hour, not with every page.
    assert "Set-Cookie" not in (await marie.get("/")).headers
    await node.change("UPDATE access SET until = now() WHERE kind = 'session'")
    assert (await marie.get("/")).place.startswith("/sign-in")
