"""Members pay each other over HTTP, between processes that know only messages.

Prices: Oostende counts 20 garnalen an hour, Mechelen 12 blussers, so 3 blussers
are 15 minutes are 5 garnalen.
"""

import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.federation.callers import Caller, Member, Order
from tests.federation.servers import wait_for
from tests.federation.world import Federation, Group, Ordered, as_posted

#: A group that is reachable only before these tests begin.
GENT = Group("gent", "stropke", 60, -10, 10, {"els": (None, None)})
DEADLINE_S = 30.0
#: A hub that has just been killed dates its covers ahead, and deadlines with them.
AHEAD_S = 20.0


@pytest.fixture(scope="module")
def unanswered(founded: Federation) -> Iterator[tuple[Ordered, float]]:
    """A payment *now* to a group that has just died, ordered before all else.

    Its 30 seconds pass while the other tests of this module run.
    """
    founded.heal()
    node = founded.new_node(GENT)
    founded.join(node)
    founded.open(node)
    founded.wait_compared("gent")
    node.server.kill()
    try:
        yield founded.pay("jan@oostende", "els@gent", 1, deliver="now"), time.time()
    finally:
        node.server.kill()
        del founded.nodes["gent"]


@pytest.fixture
def federation(founded: Federation, unanswered: object) -> Iterator[Federation]:
    """The federation without Gent, whose node is down on purpose."""
    gent = founded.nodes.pop("gent")
    try:
        founded.heal()
        yield founded
    finally:
        founded.nodes["gent"] = gent


def state_of(federation: Federation) -> list[Any]:
    """All that a refused request must leave as it is."""
    return [
        (member.account(), len(member.entries()))
        for node in federation.nodes.values()
        for member in node.members.values()
    ]


def test_a_payment_clears_and_both_see_it(federation: Federation) -> None:
    marie, bob = federation.member("marie@oostende"), federation.member("bob@mechelen")
    before = marie.account()["balance"], bob.account()["balance"]
    order = federation.order("bob@mechelen", 3, deliver="now", memo="Voor de fiets 🚲")
    answer = marie.pay(order, wait_s=20)
    paid = federation.note(marie, order, answer)
    assert (answer.status, answer.told["state"]) == (201, "cleared")
    assert answer.told["milliseconds"] == 15 * 60_000
    wait_for(lambda: bob.account()["balance"] == before[1] + 3, "Bob's 3 blussers", 10)
    assert marie.account()["balance"] == before[0] - 5
    for member, amount in ((marie, -5), (bob, 3)):
        entry = member.entries()[0]
        assert (entry["transfer"], entry["amount"]) == (paid.transfer_id, amount)
        assert (entry["payer"], entry["payee"]) == ("marie@oostende", "bob@mechelen")
        assert (entry["name"], entry["memo"]) == ("Marie", "Voor de fiets 🚲")


def test_a_payment_inside_a_group_is_booked_at_once(federation: Federation) -> None:
    lies, rik = federation.member("lies@oostende"), federation.member("rik@oostende")
    before = lies.account()["balance"], rik.account()["balance"]
    paid = federation.pay("lies@oostende", "rik@oostende", 2, memo="Soep")
    ended = federation.end_of(paid)
    assert (ended["state"], ended["amount"]) == ("cleared", -2)
    assert lies.account()["balance"] == before[0] - 2
    assert rik.account()["balance"] == before[1] + 2
    # One row stands for both: the payee sees it too, and nobody else does.
    assert paid.transfer_id is not None
    assert rik.transfer(paid.transfer_id)["amount"] == 2
    path = f"/api/v1/transfers/{paid.transfer_id}"
    assert federation.member("marie@oostende").ask("GET", path).status == 404
    assert rik.ask("DELETE", path).status == 403
    assert rik.entries()[0]["memo"] == "Soep"


def test_a_payment_is_given_back_and_both_see_of_what(federation: Federation) -> None:
    marie, bob = federation.member("marie@oostende"), federation.member("bob@mechelen")
    before = marie.account()["balance"], bob.account()["balance"]
    # 5 garnalen for 3 blussers: 15 minutes. 3 garnalen are 9 of them, 1.8 blussers.
    paid = federation.pay("marie@oostende", "bob@mechelen", 3)
    assert paid.transfer_id is not None
    marie.wait_end(paid.transfer_id)
    wait_for(lambda: bob.account()["balance"] == before[1] + 3, "Bob's blussers", 10)
    assert bob.transfer(paid.transfer_id)["refundable"] == 5
    given = {"refund_of": paid.transfer_id}
    part = federation.pay("bob@mechelen", "marie@oostende", 3, **given)
    assert federation.end_of(part)["payer_amount"] == 2
    beyond = federation.pay("bob@mechelen", "marie@oostende", 3, **given)
    assert (beyond.answer.status, beyond.answer.told["code"]) == (
        422,
        "refund-too-large",
    )
    foreign = federation.pay("an@mechelen", "marie@oostende", 1, **given)
    assert foreign.answer.told["code"] == "refund-unknown"
    rest = federation.pay("bob@mechelen", "marie@oostende", 2, **given)
    federation.end_of(rest)
    wait_for(lambda: marie.account()["balance"] == before[0], "all of it back", 10)
    for member in (marie, bob):
        assert member.entries()[0]["refund_of"] == paid.transfer_id
        whole = member.transfer(paid.transfer_id)
        assert (whole["refund_of"], whole["refunded"]) == (None, 15 * 60_000)
    assert bob.transfer(paid.transfer_id)["refundable"] == 0
    # Who gave it back has paid the rounding, as in every payment: 2 + 2 blussers.
    assert bob.account()["balance"] == before[1] - 1


def test_a_payment_asked_for_by_itself_tells_its_steps(federation: Federation) -> None:
    paid = federation.pay("jan@oostende", "an@mechelen", 3)
    assert "steps" not in paid.answer.told
    ended = federation.end_of(paid)
    names = [step["step"] for step in ended["steps"]]
    assert names == ["ordered", "sent", "decided", "booked"]
    times = {step["step"]: step["at"] for step in ended["steps"]}
    assert times["ordered"] == ended["ordered_at"]
    assert times["decided"] == ended["decided_at"]


def test_who_rounds_pays_the_rest(federation: Federation) -> None:
    # 2 blussers are 10 minutes; 3 garnalen are 9 and would be a gain.
    paid = federation.pay("jan@oostende", "an@mechelen", 2)
    assert federation.end_of(paid)["payer_amount"] == 4


def test_more_than_the_payer_agreed_to_is_refused(federation: Federation) -> None:
    paid = federation.pay("jan@oostende", "an@mechelen", 2, payer_amount_max=3)
    assert (paid.answer.status, paid.answer.told["code"]) == (422, "rate-changed")


def test_a_member_may_not_pass_her_floor(federation: Federation) -> None:
    marie = federation.member("marie@oostende")
    # 5 garnalen for 3 blussers: one step more than she has.
    beyond = (marie.account()["available"] // 5 + 1) * 3
    before = state_of(federation)
    paid = federation.pay("marie@oostende", "bob@mechelen", beyond)
    assert (paid.answer.status, paid.answer.told["code"]) == (422, "payer-floor")
    assert state_of(federation) == before


def test_a_member_may_go_right_down_to_her_floor(federation: Federation) -> None:
    marie = federation.member("marie@oostende")
    available = marie.account()["available"]
    paid = federation.pay("marie@oostende", "mia@mechelen", available * 3 // 5)
    assert federation.end_of(paid)["state"] == "cleared"
    assert marie.account()["available"] == 0
    back = federation.pay("mia@mechelen", "marie@oostende", available)
    assert federation.end_of(back)["state"] == "cleared"


def test_a_group_may_not_pass_its_floor(federation: Federation) -> None:
    group = federation.groups()["oostende"]
    minute = 60_000
    beyond = (group["position"] - group["floor"]) // (5 * minute) + 1
    paid = federation.pay("lies@oostende", "mia@mechelen", beyond, deliver="now")
    ended = federation.end_of(paid)
    assert (ended["state"], ended["code"]) == ("refused", "payer-group-floor")
    assert federation.member("lies@oostende").account()["held"] == 0


@pytest.mark.parametrize("account", ["nobody", "clearing", "conversion.1"])
def test_an_account_that_is_no_members_is_unknown(
    federation: Federation, account: str
) -> None:
    paid = federation.pay("jan@oostende", f"{account}@mechelen", 3, deliver="now")
    ended = federation.end_of(paid)
    assert (ended["state"], ended["code"]) == ("refused", "unknown-account")


def test_a_payee_at_her_ceiling_cannot_receive(federation: Federation) -> None:
    bob = federation.member("bob@mechelen").account()
    beyond = bob["ceiling"] - bob["balance"] - bob["held_in"] + 1
    paid = federation.pay("lies@oostende", "bob@mechelen", beyond)
    ended = federation.end_of(paid)
    assert (ended["state"], ended["code"]) == ("refused", "payee-cannot-receive")


def test_the_same_key_twenty_times_at_once_pays_once(federation: Federation) -> None:
    marie, bob = federation.member("marie@oostende"), federation.member("bob@mechelen")
    order, before = federation.order("bob@mechelen", 3), bob.account()["balance"]
    with ThreadPoolExecutor(20) as together:
        answers = list(together.map(marie.pay, [order] * 20))
    assert answers[0].status == 201
    assert all(answer == answers[0] for answer in answers)
    ended = federation.end_of(federation.note(marie, order, answers[0]))
    # Long after its end the same request still gets the same words.
    assert marie.pay(order) == answers[0]
    assert marie.pay(order, wait_s=5) == (201, as_posted(ended))
    wait_for(lambda: bob.account()["balance"] == before + 3, "Bob's 3 blussers", 10)


def test_the_same_key_for_another_order_is_refused(federation: Federation) -> None:
    order = federation.order("an@mechelen", 3)
    federation.end_of(federation.carry_out("jan@oostende", order))
    before = state_of(federation)
    other = Order(order.key, order.to, order.payee_amount + 1)
    answer = federation.member("jan@oostende").pay(other)
    assert answer.status == 422
    assert answer.told["type"] == "urn:interlets:problem:idempotency-key-reused"
    assert state_of(federation) == before


def test_two_members_may_use_one_key(federation: Federation) -> None:
    order = federation.order("an@mechelen", 3)
    paid = [
        federation.carry_out(f"{name}@oostende", order) for name in ("jan", "marie")
    ]
    assert len({federation.end_of(ordered)["id"] for ordered in paid}) == 2


def test_only_payer_and_payee_see_a_transfer(federation: Federation) -> None:
    paid = federation.pay("marie@oostende", "bob@mechelen", 3)
    federation.end_of(paid)
    path = f"/api/v1/transfers/{paid.transfer_id}"
    bob = federation.member("bob@mechelen")
    wait_for(lambda: bob.get(path)["state"] == "cleared", "Bob to see it cleared", 10)
    for address in ("jan@oostende", "an@mechelen"):
        assert federation.member(address).ask("GET", path).status == 404
    for other in ("00000000-0000-8000-8000-000000000000", "1", "%00", "..%2faccount"):
        answer = bob.ask("GET", f"/api/v1/transfers/{other}")
        assert answer.status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/account"),
        ("GET", "/api/v1/entries"),
        ("GET", "/api/v1/group"),
        ("GET", "/api/v1/transfers/00000000-0000-8000-8000-000000000000"),
        ("POST", "/api/v1/quotes"),
        ("POST", "/api/v1/transfers"),
    ],
)
@pytest.mark.parametrize("sent", [None, "", "Bearer", "Bearer x", "Basic bWFyaWU6eA=="])
def test_who_has_no_token_learns_nothing(
    federation: Federation, method: str, path: str, sent: str | None
) -> None:
    port = federation.server("oostende").port
    headers = {} if sent is None else {"Authorization": sent}
    answer = Caller(port).ask(method, path, raw=b"{}", headers=headers)
    assert answer.status == 401
    assert_is_problem(answer.told, 401)


@pytest.mark.parametrize(
    "told",
    [
        b'{"name":"a\\u0000b","password":"x"}',
        b'{"code":"\\u0000"}',
        b'{"name":"\\ud83d\\ude00","password":"x"}',
        b'{"name":"marie","password":"x","more":1}',
    ],
)
def test_signing_in_with_what_is_no_name_is_the_callers_mistake(
    federation: Federation, told: bytes
) -> None:
    port = federation.server("oostende").port
    answer = Caller(port).ask("POST", "/api/v1/tokens", raw=told)
    assert answer.status == 400
    assert_is_problem(answer.told, 400)


@pytest.mark.parametrize("token", ["\xe9", "\xff\xfe", "a" * 200, "a b"])
def test_bytes_that_are_no_token_let_nobody_in(
    federation: Federation, token: str
) -> None:
    port = federation.server("oostende").port
    headers = {"Authorization": f"Bearer {token}"}
    answer = Caller(port).ask("GET", "/api/v1/account", headers=headers)
    assert answer.status in (400, 401)


def test_a_token_counts_only_where_and_for_what_it_was_given(
    federation: Federation,
) -> None:
    marie = federation.member("marie@oostende")
    for port in (federation.hub.port, federation.server("mechelen").port):
        path = "/api/v1/groups" if port == federation.hub.port else "/api/v1/account"
        assert Caller(port, marie.token).ask("GET", path).status == 401
    assert marie.ask("GET", "/api/v1/group").status == 403
    treasurer = federation.nodes["oostende"].treasurer
    assert treasurer is not None
    order = federation.order("bob@mechelen", 3)
    headers = {"Idempotency-Key": order.key}
    path = "/api/v1/transfers"
    answer = treasurer.ask("POST", path, raw=order.body, headers=headers)
    assert answer.status == 403


def assert_is_problem(told: dict[str, Any], status: int) -> None:
    """A refused request is told why, in a sentence (RFC 9457)."""
    assert told["status"] == status
    assert told["type"].startswith("urn:interlets:problem:")
    assert len(told["detail"].split()) > 2


def order_with(**fields: str) -> bytes:
    """An order's JSON with some values written as given, right or wrong."""
    written = {
        "to": '"bob@mechelen"',
        "payee_amount": "1",
        "payer_amount_max": "100",
        **fields,
    }
    pairs = (f"{json.dumps(name)}:{value}" for name, value in written.items())
    return ("{" + ",".join(pairs) + "}").encode()


NO_AMOUNTS = [
    *("-1", "0", "-0", "1.0", "1.5", "1e0", "1e400", "1E2", "01", "+1", "0x1"),
    *("true", "null", '"1"', "[1]", "{}", "NaN", "Infinity", "-Infinity"),
    *("1000000000001", "9007199254740992", "9007199254740993", "1" + "0" * 26),
]
NO_BODIES = {
    "nothing": b"",
    "not JSON": b"payee_amount=1",
    "cut off": order_with()[:-1],
    "two documents": order_with() * 2,
    "a list": b"[" + order_with() + b"]",
    "missing field": b'{"to":"bob@mechelen","payee_amount":1}',
    "unknown field": order_with(payer='"jan"'),
    "duplicate name": order_with()[:-1] + b',"payee_amount":2}',
    "duplicate name, escaped": order_with()[:-1] + b',"payee\\u005famount":2}',
    "deep": b"[" * 30_000,
    "deep inside": order_with(memo="[" * 20_000 + "]" * 20_000),
    "byte order mark": b"\xef\xbb\xbf" + order_with(),
    "UTF-16": order_with().decode().encode("utf-16"),
    "not UTF-8": order_with(memo='"\xff"').decode().encode("latin-1"),
    "lone surrogate": order_with(memo='"\\ud800"'),
    "NUL in memo": order_with(memo='"a\\u0000b"'),
    "text turned round": order_with(memo='"\\u202e"'),
    "memo of 501": order_with(memo=json.dumps("m" * 501)),
    "memo not NFC": order_with(memo='"e\\u0301"'),
    "unknown class": order_with(deliver='"tomorrow"'),
    "no address": order_with(to='"bob"'),
    "two groups": order_with(to='"bob@mechelen@gent"'),
    "a refund of no id": order_with(refund_of='"the eggs"'),
    "a refund of a number": order_with(refund_of="7"),
    "address with newline": order_with(to='"bob@mechelen\\n"'),
    "the hub as group": order_with(to='"bob@hub"'),
    "a homoglyph": order_with(to=json.dumps("b\u043eb@mechelen")),
    "too large": order_with(memo=json.dumps("m" * 70_000)),
    "far too large": order_with(memo=json.dumps("m" * 2_000_000)),
}


def assert_is_refused(
    federation: Federation, raw: bytes, headers: dict[str, str], *statuses: int
) -> None:
    marie, before = federation.member("marie@oostende"), state_of(federation)
    if any(account["held"] or account["held_in"] for account, _ in before):
        # What a test before has left under way may end meanwhile.
        federation.wait_quiet()
        before = state_of(federation)
    answer = marie.ask("POST", "/api/v1/transfers", raw=raw, headers=headers)
    assert answer.status in statuses, answer
    assert_is_problem(answer.told, answer.status)
    assert state_of(federation) == before


@pytest.mark.parametrize("field", ["payee_amount", "payer_amount_max"])
@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_what_is_no_amount_is_refused(
    federation: Federation, field: str, text: str
) -> None:
    key = federation.order("", 0).key
    raw = order_with(**{field: text})
    assert_is_refused(federation, raw, {"Idempotency-Key": key}, 400)


@pytest.mark.parametrize("case", NO_BODIES)
def test_what_is_no_order_is_refused(federation: Federation, case: str) -> None:
    key = federation.order("", 0).key
    statuses = (413,) if case.endswith("too large") else (400,)
    assert_is_refused(federation, NO_BODIES[case], {"Idempotency-Key": key}, *statuses)


@pytest.mark.parametrize("key", [None, "", " ", "two words", "k" * 201, "sleutel-é"])
def test_an_order_needs_a_key(federation: Federation, key: str | None) -> None:
    headers = {} if key is None else {"Idempotency-Key": key}
    assert_is_refused(federation, order_with(), headers, 400)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "x"])
def test_no_body_is_unpacked(federation: Federation, encoding: str) -> None:
    headers = {"Idempotency-Key": federation.order("", 0).key}
    headers["Content-Encoding"] = encoding
    bomb = gzip.compress(order_with(memo=json.dumps("m" * 10_000_000)))
    assert_is_refused(federation, bomb, headers, 400, 413, 415)
    assert_is_refused(federation, gzip.compress(order_with()), headers, 400, 415)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", ""])
def test_an_order_is_json_and_says_so(federation: Federation, media_type: str) -> None:
    headers = {"Idempotency-Key": federation.order("", 0).key}
    headers["Content-Type"] = media_type
    assert_is_refused(federation, order_with(), headers, 415)


def test_an_unknown_group_is_refused(federation: Federation) -> None:
    paid = federation.pay("jan@oostende", "anna@antwerpen", 1)
    assert (paid.answer.status, paid.answer.told["code"]) == (422, "unknown-group")


def test_a_payment_waits_for_a_group_that_is_down(federation: Federation) -> None:
    mechelen = federation.server("mechelen")
    mechelen.kill()
    paid = federation.pay("rik@oostende", "an@mechelen", 3)
    rik = federation.member("rik@oostende")
    assert paid.transfer_id is not None
    identity = paid.transfer_id
    wait_for(lambda: rik.transfer(identity)["state"] == "sent", "the hub's thanks", 10)
    assert rik.account()["held"] == 5
    mechelen.start()
    mechelen.wait_ready()
    assert federation.end_of(paid)["state"] == "cleared"


@pytest.mark.slow
def test_a_hub_that_is_silent_refuses_now_and_takes_later(
    federation: Federation,
) -> None:
    federation.hub.freeze()
    marie = federation.member("marie@oostende")
    before, until = marie.account(), time.monotonic() + 40
    order = federation.order("bob@mechelen", 3)
    while True:
        # A wish that a hub overdue refuses is not kept under its key.
        now = federation.order("bob@mechelen", 3, deliver="now")
        answer = marie.pay(now)
        if answer.status != 201:
            break
        federation.note(marie, now, answer)
        assert time.monotonic() < until
        time.sleep(3)
    assert (answer.status, answer.told["code"]) == (503, "hub-unreachable")
    assert before["balance"] == marie.account()["balance"]
    later = federation.carry_out("marie@oostende", order)
    federation.hub.thaw()
    assert federation.end_of(later)["state"] == "cleared"
    again = federation.carry_out("marie@oostende", now)
    assert federation.end_of(again)["state"] == "cleared"


def test_nobody_answers_by_the_deadline(
    federation: Federation, unanswered: tuple[Ordered, float]
) -> None:
    ordered, began = unanswered
    ended = federation.end_of(ordered, within_s=DEADLINE_S + AHEAD_S + 5)
    assert (ended["state"], ended["code"]) == ("refused", "payee-unreachable")
    assert ended["decided_at"] >= ended["decide_by"]
    assert time.time() - began >= DEADLINE_S - 1
    jan: Member = federation.member("jan@oostende")
    assert jan.account()["held"] == 0


def test_every_ledger_tells_the_same_story(federation: Federation) -> None:
    federation.audit()
