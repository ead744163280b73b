"""A treasurer keeps her own ledger, over HTTP and by commands, beside those who pay.

Every test admits members of its own: those of the federation are counted on by the
audit, which knows payments only.
"""

import csv
import io
import itertools
import json
import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.federation.callers import Answer, Caller, Member, Order
from tests.federation.world import Federation, Node

numbers = itertools.count(1)
MEMBERS = "/api/v1/members"
ENTRIES = "/api/v1/group/entries"
PROBLEM = "urn:interlets:problem:"


@pytest.fixture(scope="module", autouse=True)
def audited(founded: Federation) -> Iterator[None]:
    """After all of it every ledger sums to zero, and nothing broke."""
    founded.heal()
    founded.wait_compared()
    yield
    founded.heal()
    founded.audit()


@pytest.fixture
def node(federation: Federation) -> Node:
    """Oostende, whose treasurer this is about."""
    return federation.nodes["oostende"]


def new_name() -> str:
    return f"desk-{next(numbers)}"


def ask(node: Node, method: str, path: str, body: object = None, **more: Any) -> Answer:
    assert node.treasurer is not None
    return node.treasurer.ask(method, path, body, **more)


def admit(node: Node, floor: int | None = -100, ceiling: int | None = 100) -> str:
    name = new_name()
    body = {"account": name, "name": name.title(), "floor": floor, "ceiling": ceiling}
    assert ask(node, "POST", MEMBERS, body, headers=keyed()).status == 201
    return name


def signed_in(node: Node, account: str) -> Member:
    """Let a member in by a one-time link, as she would do it herself."""
    status, told = ask(node, "POST", f"{MEMBERS}/{account}/sign-in")
    assert status == 201, told
    code = told["sign_in"].partition("/welcome#")[2]
    anyone = Caller(node.server.port)
    status, told = anyone.ask("POST", "/api/v1/tokens", {"code": code})
    assert status == 201, told
    return Member(node.server.port, told["token"], f"{account}@{node.group.name}")


def member(node: Node, account: str) -> dict[str, Any]:
    status, told = ask(node, "GET", f"{MEMBERS}/{account}")
    assert status == 200, told
    return told


def change(node: Node, account: str, **wished: Any) -> Answer:
    return ask(node, "PATCH", f"{MEMBERS}/{account}", wished)


def entry(*postings: tuple[str, Any], reason: Any = "the market") -> dict[str, Any]:
    found = [{"account": account, "amount": amount} for account, amount in postings]
    return {"postings": found, "reason": reason}


def keyed(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or f"desk-{next(numbers)}"}


def book(node: Node, *postings: tuple[str, Any], key: str | None = None) -> Answer:
    return ask(node, "POST", ENTRIES, entry(*postings), headers=keyed(key))


def correct(node: Node, entry_id: str, key: str | None = None) -> Answer:
    body = {"reason": "booked on the wrong member"}
    return ask(node, "POST", f"{ENTRIES}/{entry_id}/correct", body, headers=keyed(key))


def newest(node: Node) -> str:
    (found,) = ask(node, "GET", f"{ENTRIES}?page_size=1").told["entries"]
    entry_id: str = found["id"]
    return entry_id


# Members.


def test_a_member_is_admitted_and_signs_in_once_by_her_link(node: Node) -> None:
    name = new_name()
    body = {"account": name, "name": "Zoë Claes", "floor": -30, "ceiling": None}
    status, told = ask(node, "POST", MEMBERS, body, headers=keyed())
    assert status == 201, told
    code = told.pop("sign_in").partition("/welcome#")[2]
    assert told == member(node, name)
    assert (told["name"], told["floor"], told["ceiling"]) == ("Zoë Claes", -30, None)
    assert (told["balance"], told["held"], told["state"]) == (0, 0, "active")
    assert told["unit"]["name"] == node.group.unit
    anyone = Caller(node.server.port)
    first = anyone.ask("POST", "/api/v1/tokens", {"code": code})
    assert (first.status, first.told["scopes"]) == (201, ["pay", "read"])
    assert anyone.ask("POST", "/api/v1/tokens", {"code": code}).status == 401
    zoe = Member(node.server.port, first.told["token"])
    assert zoe.account()["account"] == name


def test_members_come_in_pages_each_once(node: Node) -> None:
    made = {admit(node) for _ in range(3)}
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        told = ask(node, "GET", f"{MEMBERS}?page_size=2{cursor}").told
        assert len(told["members"]) <= 2
        found += [one["account"] for one in told["members"]]
        cursor = told["cursor"] and f"&cursor={told['cursor']}"
    assert made | set(node.members) <= set(found)
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"account": "marie"}, 409),
        ({"account": "clearing"}, 422),
        ({"account": "fund"}, 422),
        ({"account": "conversion.7"}, 422),
        ({"floor": 1}, 422),
        ({"ceiling": -1}, 422),
        ({"account": "Marie"}, 400),
        ({"account": "marie\n"}, 400),
        ({"account": "m\u0430rie"}, 400),
        ({"account": "-marie"}, 400),
        ({"account": "m" * 33}, 400),
        ({"account": ""}, 400),
        ({"account": "@treasurer"}, 400),
        ({"account": None}, 400),
        ({"name": ""}, 400),
        ({"name": "  "}, 400),
        ({"name": "Zoe\u0308"}, 400),
        ({"name": "a\u202eb"}, 400),
        ({"name": "a\x00b"}, 400),
        ({"name": "x" * 81}, 400),
        ({"floor": -(10**12) - 1}, 400),
        ({"ceiling": 10**12 + 1}, 400),
        ({"floor": True}, 400),
        ({"floor": "-5"}, 400),
        ({"colour": "red"}, 400),
    ],
    ids=str,
)
def test_what_cannot_be_admitted_changes_nothing(
    node: Node, wrong: dict[str, Any], status: int
) -> None:
    before = ask(node, "GET", f"{MEMBERS}?page_size=200").told
    body = {"account": new_name(), "name": "An", "floor": -5, "ceiling": 5} | wrong
    answer = ask(node, "POST", MEMBERS, body, headers=keyed())
    assert answer.status == status, answer
    assert answer.told["type"].startswith(PROBLEM)
    assert ask(node, "GET", f"{MEMBERS}?page_size=200").told == before


def test_a_limit_left_out_is_no_limit_forgotten(node: Node) -> None:
    body = {"account": new_name(), "name": "An", "floor": -5}
    assert ask(node, "POST", MEMBERS, body, headers=keyed()).status == 400


def test_every_change_is_kept_with_who_and_when(node: Node) -> None:
    name = admit(node)
    assert change(node, name, floor=-7).told == member(node, name)
    assert change(node, name, frozen=True, name="An P.").status == 200
    assert change(node, name, frozen=True).status == 200  # Nothing new.
    path = f"{MEMBERS}/{name}/changes"
    told = ask(node, "GET", f"{path}?page_size=2").told
    lines = [
        (one["author"], one["name"], one["floor"], one["ceiling"], one["state"])
        for one in told["changes"]
    ]
    assert lines == [
        ("@treasurer", "An P.", -7, 100, "frozen"),
        ("@treasurer", name.title(), -7, 100, "active"),
    ]
    rest = ask(node, "GET", f"{path}?page_size=2&cursor={told['cursor']}").told
    (first,) = rest["changes"]
    assert (first["floor"], first["state"], rest["cursor"]) == (-100, "active", None)
    assert first["at"] <= told["changes"][-1]["at"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"{}", 400),
        (b'{"floor":1.0}', 400),
        (b'{"floor":1e400}', 400),
        (b'{"floor":-0}', 400),
        (b'{"floor":100000000000000000000000000}', 400),
        (b'{"frozen":1}', 400),
        (b'{"frozen":null}', 400),
        (b'{"closed":"true"}', 400),
        (b'{"name":null}', 400),
        (b'{"name":"\\ud800"}', 400),
        (b'{"floor":1,"floor":2}', 400),
        (b'{"balance":5}', 400),
        (b'{"floor":101}', 422),
        (b"[]", 400),
        (b"", 400),
    ],
)
def test_what_cannot_be_changed_changes_nothing(
    node: Node, raw: bytes, status: int
) -> None:
    name = admit(node)
    before = member(node, name)
    assert ask(node, "PATCH", f"{MEMBERS}/{name}", raw=raw).status == status
    assert member(node, name) == before
    assert len(ask(node, "GET", f"{MEMBERS}/{name}/changes").told["changes"]) == 1


@pytest.mark.parametrize(
    "name", ["nobody", "fund", "clearing", "%00", "%ED%A0%80", "a%2Fb", "%20", "A" * 99]
)
def test_nobody_is_found_where_nobody_is(node: Node, name: str) -> None:
    one = f"{MEMBERS}/{name}"
    assert ask(node, "GET", one).status == 404
    assert ask(node, "PATCH", one, {"frozen": True}).status == 404
    assert ask(node, "POST", f"{one}/sign-in").status == 404
    assert ask(node, "GET", f"{one}/changes").status == 404


def test_a_frozen_member_neither_pays_nor_is_paid(
    federation: Federation, node: Node
) -> None:
    name = admit(node)
    an = signed_in(node, name)
    assert change(node, name, frozen=True).status == 200
    paid = an.pay(Order(new_name(), "lies@oostende", 1))
    assert (paid.status, paid.told["code"]) == (422, "account-frozen")
    tom = federation.member("tom@mechelen")
    to_her = federation.pay("tom@mechelen", f"{name}@oostende", 5)
    assert federation.end_of(to_her)["code"] == "payee-cannot-receive"
    inside = tom.pay(Order(new_name(), "an@mechelen", 1, payer_amount_max=0))
    assert inside.status == 400
    assert change(node, name, frozen=False).status == 200
    assert an.account()["state"] == "active"


def test_a_closed_account_only_reads_and_is_unknown_to_others(
    federation: Federation, node: Node
) -> None:
    name = admit(node)
    an = signed_in(node, name)
    booked = book(node, (name, -3), ("fund", 3)).told
    refused = change(node, name, closed=True)
    assert (refused.status, refused.told["code"]) == (422, "balance-not-zero")
    assert refused.told["account"] == name
    assert correct(node, booked["id"]).status == 201
    assert change(node, name, closed=True).told["state"] == "closed"

    assert an.account()["state"] == "closed"
    assert len(an.entries()) == 2
    assert an.pay(Order(new_name(), "lies@oostende", 1)).status == 403
    again = signed_in(node, name)
    assert again.pay(Order(new_name(), "lies@oostende", 1)).status == 403
    to_her = federation.pay("tom@mechelen", f"{name}@oostende", 5)
    assert federation.end_of(to_her)["code"] == "unknown-account"
    by_hand = book(node, (name, 1), ("fund", -1))
    assert (by_hand.status, by_hand.told["code"]) == (422, "member-closed")
    taken = ask(
        node,
        "POST",
        MEMBERS,
        {"account": name, "name": "An", "floor": None, "ceiling": None},
        headers=keyed(),
    )
    assert (taken.status, taken.told["code"]) == (409, "name-taken")

    assert change(node, name, closed=False).told["state"] == "active"
    assert book(node, (name, 1), ("fund", -1)).status == 201
    assert book(node, (name, -1), ("fund", 1)).status == 201


# Entries by hand.


def test_an_entry_by_hand_is_seen_by_those_it_is_on(node: Node) -> None:
    one, other = admit(node), admit(node)
    key = new_name()
    answer = book(node, ("fund", -30), (one, 20), (other, 10), key=key)
    assert answer.status == 201, answer
    told = answer.told
    assert (told["kind"], told["author"]) == ("by-hand", "@treasurer")
    assert (told["reason"], told["corrects"]) == ("the market", None)
    moved = {post["account"]: post["amount"] for post in told["postings"]}
    assert moved == {"fund": -30, one: 20, other: 10}
    assert {post["in"] for post in told["postings"]} == {"unit"}
    (line,) = signed_in(node, one).entries()
    assert (line["id"], line["amount"], line["author"]) == (
        told["id"],
        20,
        "treasurer",
    )
    assert (line["reason"], line["memo"], line["kind"]) == (
        "the market",
        None,
        "by-hand",
    )
    # Given again, it is answered again and booked no second time.
    assert book(node, ("fund", -30), (one, 20), (other, 10), key=key) == answer
    assert member(node, one)["balance"] == 20
    changed = book(node, ("fund", -31), (one, 21), (other, 10), key=key)
    assert changed.status == 422
    assert changed.told["type"] == f"{PROBLEM}idempotency-key-reused"
    assert correct(node, told["id"], key).status == 422
    assert ask(node, "GET", f"{ENTRIES}/{told['id']}").told == told


@pytest.mark.parametrize(
    ("account", "amount", "code"),
    [
        (None, -100, None),
        (None, -101, "member-floor"),
        (None, 100, None),
        (None, 101, "member-ceiling"),
        ("nobody", 1, "no-such-account"),
        ("clearing", 1, "not-for-people"),
        ("settlement", 1, "not-for-people"),
        ("conversion.1", 1, "not-for-people"),
        ("conversion.1.time", 1, "not-for-people"),
        ("suspense", 1, None),
    ],
)
def test_the_first_account_in_the_way_is_named_and_nothing_is_booked(
    node: Node, account: str | None, amount: int, code: str | None
) -> None:
    name = account or admit(node)
    key, postings = new_name(), [("fund", -amount), (name, amount)]
    before = newest(node)
    answer = book(node, *postings, key=key)
    if code is None:
        assert answer.status == 201, answer
        assert correct(node, answer.told["id"]).status == 201
        return
    assert (answer.status, answer.told["code"]) == (422, code)
    assert answer.told["account"] == name
    assert f" {name} " in answer.told["detail"]
    assert newest(node) == before
    if account is None:
        # The same key is answered as before, whatever the limits are by now.
        assert change(node, name, floor=None, ceiling=None).status == 200
        assert book(node, *postings, key=key) == answer


RAW = (
    '{{"postings":[{{"account":"fund","amount":{0}}},'
    '{{"account":"suspense","amount":{1}}}],"reason":"x"}}'
)


@pytest.mark.parametrize(
    "raw",
    [
        *(RAW.format(amount, 0) for amount in ("0", "-0", "true", "null", '"1"')),
        *(RAW.format(amount, -1) for amount in ("1.0", "1e0", "1e400", "NaN")),
        RAW.format(10**26, -(10**26)),
        RAW.format(10**12 + 1, -(10**12) - 1),
        RAW.format(2, -1),
        RAW.format(1, 1),
        RAW.format(1, -1).replace("suspense", "fund"),
        RAW.format(1, -1).replace("suspense", "sus\u0440ense"),
        RAW.format(1, -1).replace("suspense", "suspense\\u0000"),
        RAW.format(1, -1).replace("suspense", "Suspense"),
        RAW.format(1, -1).replace("suspense", ""),
        RAW.format(1, -1).replace('"x"', '""'),
        RAW.format(1, -1).replace('"x"', '" "'),
        RAW.format(1, -1).replace('"x"', "null"),
        RAW.format(1, -1).replace('"x"', '"a\\u202eb"'),
        RAW.format(1, -1).replace('"x"', '"e\\u0308"'),
        RAW.format(1, -1).replace('"x"', '"\\ud83d"'),
        RAW.format(1, -1).replace('"x"', f'"{"x" * 501}"'),
        RAW.format(1, -1).replace('"x"', '"x","reason":"y"'),
        RAW.format(1, -1).replace('"x"', '"x","author":"marie"'),
        '{"postings":[],"reason":"x"}',
        '{"postings":[{"account":"fund","amount":1}],"reason":"x"}',
        '{"reason":"x"}',
        json.dumps(entry(*((f"a{n}", 1) for n in range(200)), ("fund", -200))),
        "[" * 2000,
        "",
    ],
)
def test_what_is_no_entry_is_said_and_not_booked(node: Node, raw: str) -> None:
    before = newest(node)
    answer = ask(node, "POST", ENTRIES, raw=raw.encode(), headers=keyed())
    assert answer.status == 400, answer
    assert answer.told["type"] == f"{PROBLEM}malformed"
    assert newest(node) == before


def test_both_sides_of_how_many_postings(node: Node) -> None:
    postings = [(f"nobody-{n}", 1) for n in range(199)]
    # 200 are an entry, of which only the names are wrong; 201 are none.
    many = book(node, ("fund", -199), *postings)
    assert (many.status, many.told["code"]) == (422, "no-such-account")
    assert book(node, ("fund", -200), *postings, ("one-more", 1)).status == 400


@pytest.mark.parametrize(
    "headers", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 201}]
)
def test_without_a_key_nothing_is_booked(node: Node, headers: dict[str, str]) -> None:
    body = entry(("fund", 1), ("suspense", -1))
    before = newest(node)
    assert ask(node, "POST", ENTRIES, body, headers=headers).status == 400
    path = f"{ENTRIES}/{before}/correct"
    assert ask(node, "POST", path, {"reason": "x"}, headers=headers).status == 400
    assert newest(node) == before


# Corrections.


def test_a_correction_takes_an_entry_back_once(node: Node) -> None:
    name = admit(node)
    wrong = book(node, ("fund", -40), (name, 40)).told
    key = new_name()
    answer = correct(node, wrong["id"], key)
    assert answer.status == 201, answer
    assert (answer.told["kind"], answer.told["corrects"]) == (
        "correction",
        wrong["id"],
    )
    assert member(node, name)["balance"] == 0
    assert correct(node, wrong["id"], key) == answer
    again = correct(node, wrong["id"])
    assert (again.status, again.told["code"]) == (422, "corrected-before")
    back = correct(node, answer.told["id"])
    assert back.status == 201
    assert member(node, name)["balance"] == 40
    # The answer under the first key is as it was.
    assert correct(node, wrong["id"], key) == answer
    lines = signed_in(node, name).entries()
    ids = [back.told["id"], answer.told["id"], wrong["id"]]
    assert [line["id"] for line in lines] == ids
    assert [line["corrects"] for line in lines] == [ids[1], ids[2], None]
    assert [line["corrected_by"] for line in lines] == [None, ids[0], ids[1]]
    assert {line["author"] for line in lines} == {"treasurer"}


def test_limits_and_a_freeze_do_not_stop_a_correction(node: Node) -> None:
    name, other = admit(node), admit(node)
    wrong = book(node, ("fund", -40), (name, 40)).told
    assert book(node, (name, -130), (other, 90), ("fund", 40)).status == 201
    assert change(node, name, frozen=True).status == 200
    assert correct(node, wrong["id"]).status == 201
    assert member(node, name)["balance"] == -130


def test_a_payment_inside_the_group_is_corrected_in_both_histories(
    node: Node,
) -> None:
    one, other = admit(node), admit(node)
    payer, payee = signed_in(node, one), signed_in(node, other)
    order = Order(new_name(), f"{other}@oostende", 25, memo="twice by mistake")
    status, paid = payer.pay(order)
    assert (status, paid["state"]) == (201, "cleared")
    answer = correct(node, paid["id"])
    assert answer.status == 201, answer
    for person in (payer, payee):
        counter, line = person.entries()
        assert person.account()["balance"] == 0
        assert counter["amount"] == -line["amount"]
        assert (counter["corrects"], line["corrected_by"]) == (
            line["id"],
            counter["id"],
        )
        assert counter["reason"] == "booked on the wrong member"
        assert (line["memo"], line["author"]) == ("twice by mistake", None)


def test_a_transfer_between_groups_is_not_corrected_here(
    federation: Federation, node: Node
) -> None:
    paid = federation.pay("rik@oostende", "tom@mechelen", 3)
    assert federation.end_of(paid)["state"] == "cleared"
    answer = correct(node, paid.answer.told["id"])
    assert (answer.status, answer.told["code"]) == (422, "between-groups")
    assert "refund" in answer.told["detail"]
    nl = ask(
        node,
        "POST",
        f"{ENTRIES}/{paid.answer.told['id']}/correct",
        {"reason": "x"},
        headers={**keyed(), "Accept-Language": "nl"},
    )
    assert "terug te betalen" in nl.told["detail"]


@pytest.mark.parametrize(
    "entry_id", ["7", "nobody", "%00", "0" * 36, "00000000-0000-8000-8000-00000000000a"]
)
def test_an_entry_that_is_not_there_is_not_found(node: Node, entry_id: str) -> None:
    assert ask(node, "GET", f"{ENTRIES}/{entry_id}").status == 404
    assert correct(node, entry_id).status == 404


def test_what_was_corrected_is_not_refunded_nor_the_other_way_round(
    node: Node,
) -> None:
    one, other = admit(node), admit(node)
    payer, payee = signed_in(node, one), signed_in(node, other)
    paid = [
        payer.pay(Order(new_name(), f"{other}@oostende", 10)).told["id"]
        for _ in range(2)
    ]
    refund = {
        "to": f"{one}@oostende",
        "payee_amount": 4,
        "payer_amount_max": 4,
        "refund_of": paid[0],
    }

    def give_back(paid_id: str) -> Answer:
        body = refund | {"refund_of": paid_id}
        return payee.ask("POST", "/api/v1/transfers", body, headers=keyed())

    refunded = give_back(paid[0])
    assert refunded.status == 201, refunded
    for entry_id in (paid[0], refunded.told["id"]):
        no = correct(node, entry_id)
        assert (no.status, no.told["code"]) == (422, "refunded-before")
    assert correct(node, paid[1]).status == 201
    no = give_back(paid[1])
    assert (no.status, no.told["code"]) == (422, "refund-too-large")
    assert payee.transfer(paid[1])["refundable"] == 0
    assert member(node, one)["balance"] == -6


# In a member's name.


def order_for(node: Node, payer: str, to: str, key: str, **changes: Any) -> Answer:
    body = {"payer": payer, "to": to, "payee_amount": 6, "payer_amount_max": 99}
    path = "/api/v1/group/transfers"
    headers = {"Idempotency-Key": key, "Prefer": "wait=10"}
    return ask(node, "POST", path, body | changes, headers=headers)


def test_a_treasurer_books_for_members_without_internet(node: Node) -> None:
    one, other, key = admit(node), admit(node), new_name()
    answer = order_for(node, one, f"{other}@oostende", key, memo="a pie")
    assert answer.status == 201, answer
    told = answer.told
    assert (told["state"], told["amount"], told["booked_by"]) == (
        "cleared",
        -6,
        "treasurer",
    )
    assert order_for(node, one, f"{other}@oostende", key, memo="a pie") == answer
    assert order_for(node, one, f"{other}@oostende", key).status == 422
    assert order_for(node, other, f"{one}@oostende", key).status == 422
    payer, payee = signed_in(node, one), signed_in(node, other)
    # Her own key of the same name is another wish.
    own = payer.pay(Order(key, f"{other}@oostende", 1))
    assert (own.status, own.told["booked_by"]) == (201, None)
    for person, amount in ((payer, -6), (payee, 6)):
        line = person.entries()[-1]
        assert (line["amount"], line["author"], line["memo"]) == (
            amount,
            "treasurer",
            "a pie",
        )
        assert person.transfer(told["id"])["booked_by"] == "treasurer"
    assert ask(node, "GET", f"/api/v1/group/transfers/{told['id']}").told == told


def test_a_treasurer_pays_another_group_in_a_members_name(
    federation: Federation, node: Node
) -> None:
    tom = federation.member("tom@mechelen")
    name = admit(node)
    no = order_for(
        node, name, tom.address, new_name(), payee_amount=30, payer_amount_max=9
    )
    assert (no.status, no.told["code"]) == (422, "rate-changed")
    no = order_for(
        node, name, tom.address, new_name(), payee_amount=999, payer_amount_max=9999
    )
    assert (no.status, no.told["code"]) == (422, "payer-floor")
    assert order_for(node, "nobody", tom.address, new_name()).status == 404
    answer = order_for(node, name, "nobody@mechelen", new_name())
    assert (answer.told["state"], answer.told["code"]) == (
        "refused",
        "unknown-account",
    )
    one = f"/api/v1/group/transfers/{answer.told['id']}"
    assert ask(node, "GET", one).told["told"] == answer.told["told"]
    assert ask(node, "GET", "/api/v1/group/transfers/7").status == 404
    assert member(node, name)["balance"] == 0


# The whole ledger.


def test_the_ledger_is_read_in_pages_and_searched(
    federation: Federation, node: Node
) -> None:
    paid = federation.pay("rik@oostende", "tom@mechelen", 3, memo="a blue bicycle")
    assert federation.end_of(paid)["state"] == "cleared"
    found: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        told = ask(node, "GET", f"{ENTRIES}?page_size=7{cursor}").told
        found += told["entries"]
        cursor = told["cursor"] and f"&cursor={told['cursor']}"
    assert len({one["id"] for one in found}) == len(found)
    assert [one["at"] for one in found] == sorted(
        (one["at"] for one in found), reverse=True
    )
    for one in found:
        for counted in ("unit", "milliseconds"):
            amounts = [p["amount"] for p in one["postings"] if p["in"] == counted]
            assert sum(amounts) == 0
    (bicycle,) = ask(node, "GET", f"{ENTRIES}?text=Blue%20BICYCLE").told["entries"]
    assert (bicycle["id"], bicycle["kind"]) == (paid.answer.told["id"], "transfer")
    assert (bicycle["payer"], bicycle["author"]) == ("rik@oostende", None)
    accounts = [post["account"] for post in bicycle["postings"]]
    assert accounts == ["clearing", "conversion.1", "conversion.1.time", "rik"]
    since = f"{ENTRIES}?text=bicycle&since={bicycle['at']}"
    assert len(ask(node, "GET", since).told["entries"]) == 1
    until = f"{ENTRIES}?text=bicycle&until={bicycle['at']}"
    assert ask(node, "GET", until).told["entries"] == []
    assert ask(node, "GET", f"{ENTRIES}?text=%25").told["entries"] == []


@pytest.mark.parametrize(
    "query",
    ["page_size=0", "page_size=201", "cursor=x", "since=today", "text=", "colour=red"],
)
def test_a_wrong_question_is_said(node: Node, query: str) -> None:
    assert ask(node, "GET", f"{ENTRIES}?{query}").status == 400
    if not query.startswith(("since", "cursor")):
        assert ask(node, "GET", f"{MEMBERS}?{query}").status == 400


# Who may.


def test_only_a_treasurer_may(federation: Federation, node: Node) -> None:
    name = admit(node)
    booked = book(node, ("fund", -1), (name, 1)).told["id"]
    before = ask(node, "GET", f"{ENTRIES}?page_size=5").told
    for method, path, body in (
        ("GET", MEMBERS, None),
        ("POST", MEMBERS, {"account": "x", "name": "X", "floor": 0, "ceiling": 0}),
        ("GET", f"{MEMBERS}/{name}", None),
        ("PATCH", f"{MEMBERS}/{name}", {"frozen": True}),
        ("POST", f"{MEMBERS}/{name}/sign-in", None),
        ("GET", f"{MEMBERS}/{name}/changes", None),
        ("GET", ENTRIES, None),
        ("POST", ENTRIES, entry((name, -1), ("fund", 1))),
        ("GET", f"{ENTRIES}/{booked}", None),
        ("POST", f"{ENTRIES}/{booked}/correct", {"reason": "x"}),
        (
            "POST",
            "/api/v1/group/transfers",
            {"payer": name, "to": "x@y", "payee_amount": 1, "payer_amount_max": 1},
        ),
        ("GET", f"/api/v1/group/transfers/{booked}", None),
    ):
        rik = federation.member("rik@oostende")
        assert rik.ask(method, path, body, headers=keyed()).status == 403, path
        anyone = Caller(node.server.port)
        assert anyone.ask(method, path, body, headers=keyed()).status == 401, path
    assert ask(node, "GET", f"{ENTRIES}?page_size=5").told == before
    assert member(node, name)["state"] == "active"


# Beside each other.


def test_payments_entries_and_corrections_at_once(node: Node) -> None:
    """Whoever comes first, each is booked once and no limit is passed."""
    name, other = admit(node, -50, 50), admit(node, None, None)
    payer = signed_in(node, name)

    def pay(_: int) -> int:
        return payer.pay(Order(new_name(), f"{other}@oostende", 10)).status

    def debit(_: int) -> int:
        return book(node, (name, -10), (other, 10)).status

    wrong = book(node, (other, -20), (name, 20)).told["id"]
    with ThreadPoolExecutor(12) as together:
        paid = together.map(pay, range(8))
        booked = together.map(debit, range(8))
        corrected = list(together.map(lambda _: correct(node, wrong).status, range(6)))
        statuses = [*paid, *booked]
    assert sorted(corrected) == [201, *[422] * 5]
    # 20 more could leave while the wrong entry stood.
    assert statuses.count(201) in (5, 6, 7)
    balance = member(node, name)["balance"]
    assert balance == -10 * statuses.count(201)
    assert member(node, other)["balance"] == -balance


def test_the_same_key_at_once_books_once(node: Node) -> None:
    name, key = admit(node), new_name()
    with ThreadPoolExecutor(8) as together:
        answers = list(
            together.map(
                lambda _: book(node, (name, -10), ("fund", 10), key=key), range(8)
            )
        )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.told["id"] for answer in answers}) == 1
    assert member(node, name)["balance"] == -10


# By commands.


def test_a_treasurer_does_it_all_by_commands(node: Node) -> None:
    name, server = new_name(), node.server
    added = server.run(
        *("member", "add", name, "--name", "An P."), "--floor=-20", "--ceiling=none"
    )
    assert "/welcome#" in added["sign_in"]
    assert (added["floor"], added["ceiling"]) == (-20, None)
    assert server.run("member", "limits", name, "--ceiling=60")["ceiling"] == 60
    assert server.run("member", "rename", name, "--name", "An")["name"] == "An"
    assert server.run("member", "freeze", name)["state"] == "frozen"
    assert server.run("member", "release", name)["state"] == "active"
    assert "/welcome#" in server.run("member", "sign-in", name)["sign_in"]

    words = ("entry", "book", "-", "--reason", "the fair", "--key", new_name())
    postings = f"account,amount\n{name},-15\nfund,15\n"
    booked = server.run(*words, given=postings)
    assert server.run(*words, given=postings) == booked
    assert booked["postings"] == f"{name} -15, fund 15"
    assert server.run("member", "show", name)["balance"] == -15
    refused = server.command("member", "close", name)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"The account {name} is not at 0 yet" in refused.stderr
    listed = server.run("entry", "list", "--text", name, "--most", "5")
    assert list(listed) == [booked["id"]]
    server.run("entry", "correct", booked["id"], "--reason", "wrong one")
    assert server.run("member", "close", name)["state"] == "closed"
    assert server.run("member", "open", name)["state"] == "active"
    states = [one["state"] for one in server.run("member", "changes", name).values()]
    assert states[:2] == ["active", "closed"]
    assert len(states) == 7
    assert server.run("member", "list")[name]["balance"] == 0


@pytest.mark.parametrize(
    ("words", "given", "code", "told"),
    [
        (("member", "show", "nobody"), "", 1, "no such member"),
        (("member", "show", "No/body"), "", 65, "account: cannot read"),
        (("member", "limits", "rik"), "", 65, "say --floor, --ceiling or both"),
        (("member", "limits", "rik", "--floor=1.5"), "", 65, "whole minor units"),
        (("member", "add", "x", "--name", "X"), "", 2, "--floor"),
        (("entry", "correct", "7", "--reason", "x"), "", 1, "no such entry"),
        (("entry", "book", "-", "--reason", "x"), "", 2, "--key"),
        (
            ("entry", "book", "-", "--reason", "x", "--key", "k"),
            "fund,1\n",
            65,
            "line 1: found 'fund,1'; expected account,amount",
        ),
        (
            ("entry", "book", "-", "--reason", "x", "--key", "k"),
            "account,amount\nfund,1,2\n",
            65,
            "line 2: found 3 columns",
        ),
        (
            ("entry", "book", "-", "--reason", "x", "--key", "k"),
            "account,amount\nfund,1\nsuspense,-2\n",
            1,
            "expected a sum of 0",
        ),
    ],
)
def test_a_wrong_command_says_what_is_wrong(
    node: Node, words: tuple[str, ...], given: str, code: int, told: str
) -> None:
    done = node.server.command(*words, given=given)
    assert done.returncode == code, done
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_many_members_and_those_who_run_the_group_by_commands(
    node: Node, tmp_path: pathlib.Path
) -> None:
    one, other, server = admit(node), admit(node), node.server
    limits = f"account,floor,ceiling\n{one},-50,none\n{other},,80\n"
    words = ("member", "limits-file", "-", "--reason", "meeting of May")
    foreseen = server.run(*words, "--preview", given=limits)
    assert (foreseen["changed"], member(node, one)["floor"]) == (2, -100)
    assert server.run(*words, given=limits) == foreseen
    assert (member(node, one)["floor"], member(node, other)["ceiling"]) == (-50, 80)
    wrong = server.command(*words, given=f"{limits}nobody,1,1\n")
    assert (wrong.returncode, wrong.stderr) == (1, "")
    assert "nobody" in json.loads(wrong.stdout)["line_4"]

    only = tmp_path / "only.csv"
    only.write_text(f"account\n{one}\n{other}\n")
    words = ("entry", "mass", "--each=-10", "--only", str(only), "--reason", "of 2026")
    key = new_name()
    foreseen = server.run(*words, "--preview")
    assert foreseen[one]["balance_after"] == -10
    assert foreseen["may_be_booked"] is True
    booked = server.run(*words, "--key", key)
    assert (booked["members"], booked["fund_amount"]) == (2, 20)
    assert server.run(*words, "--key", key) == booked
    assert member(node, other)["balance"] == -10
    refused = server.command(*words[:2], "--each=-41", *words[3:], "--preview")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)[one]["refused"] == "member-floor"

    closing = ("member", "close", one, "--balance-to-fund")
    assert server.command(*closing).returncode == 1
    assert server.run(*closing, "--reason", "moved")["balance"] == 0
    assert server.run("position")["agrees"] is True
    assert isinstance(server.run("undecided", "--most", "5"), dict)
    acts = list(server.run("acts", "--about", one).values())
    assert (acts[0]["deed"], acts[0]["reason"]) == ("member-changed", "moved")
    assert (acts[0]["to_fund"], acts[0]["author"]) == (-10, "@treasurer")

    name = f"@{one}"
    link = server.run("person", "invite", name, "--role", "reader")["sign_in"]
    assert "/welcome#" in link
    assert server.run("person", "end-sign-ins", name)["sign_ins"] == []
    assert server.run("person", "remove", name)["removed_at"] is not None
    assert server.run("person", "list")[name]["role"] == "reader"

    file = tmp_path / "limits.csv"
    assert server.run("export", "limits", "--to", str(file)) == {"written": str(file)}
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    mine = [row for row in rows if row["account"] == one]
    assert [row["floor"] for row in mine] == ["-100", "-50", "-50"]
    assert mine[1]["reason"] == "meeting of May"
    told = server.command("export", "members")
    assert told.returncode == 0
    assert f"\n{other}," in told.stdout.replace("\r\n", "\n")
    nowhere = server.command("export", "members", "--to", str(tmp_path / "no" / "x"))
    assert (nowhere.returncode, nowhere.stdout) == (65, "")
    assert "cannot be written" in nowhere.stderr
