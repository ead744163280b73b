"""An ask made at one node, opened and paid at another, over HTTP."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import pytest_asyncio

from nodes.house import NodeHouse
from nodes.rules import MemberChange, NewMember, Standing
from protocol import ask, jws, strict_json
from protocol.instant import Instant, write_instant
from protocol.peer.clock import Clock
from protocol.peer.web.words import LANGUAGES
from protocol.restored import Restored
from tests.nodes.village import Client, Village, founded, post, token_of
from tests.peer.federation import NewDatabase, Server
from tests.peer.makers import entry_of, in_state
from tests.protocol.makers import MECHELEN, OOSTENDE, asked, signing_key

# Founding a federation takes a second or two, and an ask changes nothing in it.
pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY_MS = 86_400_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def village(shared_database: NewDatabase) -> AsyncIterator[Village]:
    async with founded(shared_database) as found:
        yield found


async def asks(client: Client, amount: int | None = 5, **more: Any) -> dict[str, Any]:
    status, told = await post(client, "/api/v1/asks", {"amount": amount, **more})
    assert status == 201, told
    return told


async def opens(client: Client, text: str) -> tuple[int, dict[str, Any]]:
    return await post(client, "/api/v1/asks/open", {"ask": text})


async def test_what_bob_asks_at_mechelen_marie_pays_at_oostende(
    village: Village,
) -> None:
    made = await asks(village.bob, memo="Twee broden 🍞")
    assert made["link"] == f"https://mechelen.example.org/ask#{made['ask']}"
    status, told = await opens(village.marie, made["link"])
    assert status == 200
    assert (told["to"], told["name"]) == ("bob@mechelen", "Bob")
    assert (told["group_name"], told["memo"]) == ("LETS Mechelen", "Twee broden 🍞")
    assert (told["amount"], told["payee_unit"]["name"]) == (5, "ketje")
    assert told["until"] == made["until"]
    # 5 ketjes are five minutes; a blusser is three.
    assert told["quote"]["payer_amount"] == 2
    order = {
        "to": told["to"],
        "payee_amount": told["amount"],
        "payer_amount_max": told["quote"]["payer_amount"],
        "memo": told["memo"],
        "deliver": "when_reachable",
    }
    keyed = {"Idempotency-Key": f"ask-{told['id']}"}
    for _ in range(2):
        status, paid = await post(village.marie, "/api/v1/transfers", order, **keyed)
        assert (status, paid["payer_amount"]) == (201, 2)
    await village.federation.quiet()
    balances = await village.federation.nodes[MECHELEN].balances()
    # Twice sent under the ask's own key, and paid once.
    assert balances["bob"] == 5
    assert await village.federation.unsound() == []


async def test_the_signed_text_alone_opens_as_the_link_does(village: Village) -> None:
    made = await asks(village.bob)
    assert await opens(village.marie, made["ask"]) == await opens(
        village.marie, made["link"]
    )


async def test_without_an_amount_the_payer_chooses(village: Village) -> None:
    made = await asks(village.bob, None)
    status, told = await opens(village.marie, made["link"])
    assert (status, told["amount"], told["quote"]) == (200, None, None)


async def test_a_member_of_the_same_group_opens_it_too(village: Village) -> None:
    mechelen = village.federation.nodes[MECHELEN]
    an = NewMember(account_id="an", name="An", floor=-100, ceiling=None)
    assert await mechelen.clerk.take(an) is True
    token = await token_of(mechelen, "an")
    made = await asks(village.bob)
    answer = await village.bob.post(
        "/api/v1/asks/open",
        json={"ask": made["ask"]},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status == 200
    assert (await answer.json())["quote"]["payer_amount"] == 5


async def test_a_link_counts_for_fourteen_days_or_as_many_as_she_says(
    village: Village,
) -> None:
    now = village.federation.nodes[MECHELEN].clock.now()
    for more, days in (({}, 14), ({"days": 1}, 1), ({"days": 90}, 90)):
        made = await asks(village.bob, **more)
        expected = write_instant(Instant(now + days * DAY_MS))
        assert (
            expected
            <= made["until"]
            < write_instant(Instant(now + days * DAY_MS + 60_000))
        )


async def test_the_picture_is_a_qr_code_with_its_quiet_zone(village: Village) -> None:
    made = await asks(village.bob, memo="Twee broden")
    drawn = ElementTree.fromstring(made["qr_svg"])  # our own server's
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert "width" not in drawn.attrib
    size = int(drawn.attrib["viewBox"].split()[2])
    # Version N has 17 + 4 N modules a side, and four quiet ones around.
    assert (size - 8 - 17) % 4 == 0
    assert (size - 8 - 17) // 4 <= 18
    field, modules = list(drawn)
    assert field.attrib["fill"] == "#fff"
    assert field.attrib["d"] == f"M0 0h{size}v{size}h-{size}z"
    assert modules.attrib["stroke"] == "#000"
    assert modules.attrib["d"].startswith("M4 4.5h7")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"amount": 0},
        {"amount": -1},
        {"amount": 10**12 + 1},
        {"amount": "5"},
        {"amount": 5, "days": 0},
        {"amount": 5, "days": 91},
        {"amount": 5, "memo": "m" * 201},
        {"amount": 5, "memo": "🚲" * 151},
        {"amount": 5, "memo": "\u202e"},
        {"amount": 5, "more": 1},
        {"amount": 5, "account": "an"},
    ],
)
async def test_what_no_ask_can_be_is_the_callers_mistake(
    village: Village, body: dict[str, object]
) -> None:
    status, told = await post(village.bob, "/api/v1/asks", body)
    assert (status, told["type"]) == (400, "urn:interlets:problem:malformed")


async def test_more_than_a_payment_can_be_is_not_asked(village: Village) -> None:
    # 60,000 ms each, and 10^14 ms at most.
    most = 10**14 // 60_000
    await asks(village.bob, most)
    status, told = await post(village.bob, "/api/v1/asks", {"amount": most + 1})
    assert (status, told["code"]) == (422, "amount-out-of-range")


async def test_nobody_pays_herself(village: Village) -> None:
    for amount in (5, None):
        made = await asks(village.bob, amount)
        status, told = await opens(village.bob, made["link"])
        assert (status, told["code"]) == (422, "same-account")


def signed(whose: str = "mechelen", **changes: Any) -> str:
    """An ask that counts now, unless a test says otherwise."""
    now = Clock().now()
    fields = {
        "at": write_instant(now),
        "until": write_instant(Instant(now + DAY_MS)),
    }
    payload = strict_json.write(asked(**(fields | changes)))
    return jws.sign(payload, signing_key(whose), ask.ASK_TYP)


def cut(text: str) -> str:
    return text[:-1]


REFUSED: dict[str, tuple[Callable[[], str], int, str]] = {
    "cut off": (lambda: cut(signed()), 400, "ask-unreadable"),
    "nothing": (lambda: "", 400, "ask-unreadable"),
    "another kind of link": (
        lambda: "https://mechelen.example.org/welcome#abc",
        400,
        "ask-unreadable",
    ),
    "too long": (lambda: "a" * 2049, 413, "ask-too-long"),
    "another federation": (
        lambda: signed(federation=asked().federation.replace("belgium", "france")),
        422,
        "ask-of-another-federation",
    ),
    "unknown group": (lambda: signed(group="gent"), 422, "ask-of-unknown-group"),
    "another group's key": (lambda: signed("oostende"), 422, "ask-not-signed"),
    "for another group": (lambda: signed(group=OOSTENDE), 422, "ask-not-signed"),
    "the hub's key": (lambda: signed("hub"), 422, "ask-not-signed"),
    "run out": (
        lambda: signed(
            at=write_instant(Instant(Clock().now() - 2 * DAY_MS)),
            until=write_instant(Clock().now()),
        ),
        422,
        "ask-expired",
    ),
    "another rate": (lambda: signed(rate=2), 422, "ask-outdated"),
}


async def test_the_ask_that_those_below_are_made_from_is_good(village: Village) -> None:
    status, _ = await opens(village.marie, signed())
    assert status == 200


@pytest.mark.parametrize("case", REFUSED)
async def test_what_does_not_count_is_refused_in_three_languages(
    village: Village, case: str
) -> None:
    make, expected, code = REFUSED[case]
    text, details = make(), set()
    for language in LANGUAGES:
        status, told = await post(
            village.marie,
            "/api/v1/asks/open",
            {"ask": text},
            **{"Accept-Language": language},
        )
        assert (status, told["code"]) == (expected, code)
        assert told["type"] == "urn:interlets:problem:ask-refused"
        details.add(told["detail"])
    assert len(details) == 3


@pytest.mark.parametrize("state", ["frozen", "left"])
async def test_a_group_that_nobody_can_pay_is_said_to_be_so(
    village: Village, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = village.federation.nodes[OOSTENDE].house
    made = await asks(village.bob)
    assert isinstance(house, NodeHouse)
    changed = in_state(house.directory, MECHELEN, state)
    monkeypatch.setattr(house, "directory", changed)
    status, told = await opens(village.marie, made["link"])
    assert (status, told["code"]) == (422, f"group-{state}")


async def test_a_token_for_reading_opens_and_does_not_ask(village: Village) -> None:
    token = await token_of(village.federation.nodes[MECHELEN], "bob", "read")
    headers = {"Authorization": f"Bearer {token}"}
    status, _ = await post(village.bob, "/api/v1/asks", {"amount": 5}, **headers)
    assert status == 403
    body = {"ask": signed(group=OOSTENDE)}
    status, _ = await post(village.bob, "/api/v1/asks/open", body, **headers)
    assert status == 422


async def test_who_is_frozen_or_gone_asks_for_nothing(village: Village) -> None:
    mechelen = village.federation.nodes[MECHELEN]
    eva = NewMember(account_id="eva", name="Eva", floor=-100, ceiling=None)
    assert await mechelen.clerk.take(eva) is True
    token = await token_of(mechelen, "eva")
    signed_in = {"Authorization": f"Bearer {token}"}
    for change, expected in (
        ({"frozen": True}, 422),
        ({"frozen": False}, 201),
        # Her token does not pay or ask any more.
        ({"closed": True}, 403),
    ):
        order = MemberChange(account_id="eva", author="@treasurer", **change)
        assert isinstance(await mechelen.clerk.take(order), Standing)
        status, told = await post(
            village.bob, "/api/v1/asks", {"amount": 5}, **signed_in
        )
        assert status == expected
        if status == 422:
            assert told["code"] == "account-frozen"


async def test_an_ask_is_kept_nowhere(village: Village) -> None:
    nodes = village.federation.nodes.values()
    before = [await row_counts(node) for node in nodes]
    made = await asks(village.bob)
    await opens(village.marie, made["link"])
    assert [await row_counts(node) for node in nodes] == before


async def row_counts(node: Server) -> dict[str, int]:
    tables = await node.ask("SELECT tablename FROM pg_tables WHERE schemaname='public'")
    assert len(tables) > 10
    found = {}
    for (table,) in tables:
        ((found[table],),) = await node.ask(f'SELECT count(*) FROM "{table}"')
    return found


async def test_an_ask_is_signed_under_the_rate_that_counts(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = village.federation.nodes[MECHELEN].house
    assert isinstance(house, NodeHouse)
    entry = entry_of(MECHELEN, 60_000, 30_000)
    changed = msgspec.structs.replace(house.directory[MECHELEN], entry=entry)
    directory = {**house.directory, MECHELEN: changed}
    monkeypatch.setattr(house, "directory", directory)
    made = await asks(village.bob)
    found = msgspec.json.decode(jws.split(made["ask"], ask.ASK_TYP).payload)
    assert found["rate"] == 2


async def test_a_restored_server_opens_asks_and_makes_none(village: Village) -> None:
    made = await asks(village.bob)
    clerk = village.federation.nodes[MECHELEN].clerk
    clerk.restored = Restored(at=Instant(1), backup_at=Instant(0))
    try:
        status, told = await post(village.bob, "/api/v1/asks", {"amount": 5})
        assert (status, told["code"]) == (503, "server-restored")
        status, told = await opens(village.bob, made["ask"])
        assert told.get("code") != "server-restored"
    finally:
        clerk.restored = None
    await asks(village.bob)
