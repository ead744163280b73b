"""Every lawful "no", provoked over HTTP and told in three languages.

The table has a row for each code, or says why nothing can lead to it yet; such an
excuse fails as soon as some server can say the code. What honest servers never do
is brought about in an outbox: a server's own words, changed before it has sealed
them, are what a server that lies would sign.

All of it is refused, so no balance may differ from what it was before all tests.
"""

import contextlib
import json
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest

from protocol.errors import RefusalCode
from protocol.messages import line_hash
from tests.federation.callers import Answer, Caller, Member
from tests.federation.conftest import Databases
from tests.federation.servers import CLONE, wait_for
from tests.federation.test_kill import put_clock_forward, wait_sent
from tests.federation.world import Federation, Ordered

LANGUAGES = ("nl", "fr", "en")
LIES, JAN = "lies@oostende", "jan@oostende"
NOBODYS_ID = "00000000-0000-8000-8000-000000000000"


# What a server that lies would say.

#: Given an item and the id of a payment that was made before.
Spoil = Callable[[dict[str, Any], str], dict[str, Any] | None]

_OUTBOX = """
SELECT item.number, item.line
  FROM transfer JOIN item
    ON item.peer = $2 AND item.direction = 'out' AND item.number = transfer.item_number
 WHERE transfer_id = $1
"""


async def _spoil(
    connection: "asyncpg.Connection",
    transfer_id: str,
    peer: str,
    spoil: Spoil,
    original: str = "",
) -> None:
    """Change an item that waits unsealed; without an answer, drop its box."""
    number, line = await connection.fetchrow(_OUTBOX, transfer_id, peer)
    # What is written is kept for ever: not even the owner may change it otherwise.
    await connection.execute("SET session_replication_role = replica")
    spoilt = spoil(json.loads(line), original)
    if spoilt is None:
        sql = "DELETE FROM sealed_line WHERE direction = 'out' AND (peer, number) = "
        await connection.execute(sql + "($1, $2)", peer, number)
        return
    line = json.dumps(spoilt, separators=(",", ":")).encode()
    sql = "UPDATE item SET line = $3 WHERE direction = 'out' AND (peer, number) = "
    await connection.execute(sql + "($1, $2)", peer, number, line)
    if spoilt["type"] == "transfer.prepare":
        # So that the liar takes the answer for the one to its own words.
        sql = "UPDATE transfer SET prepare = $2 WHERE transfer_id = $1"
        await connection.execute(sql, transfer_id, line_hash(line))


def _as_cancel(item: dict[str, Any], _: str) -> dict[str, Any]:
    return {"type": "transfer.cancel", "id": item["id"]}


def _forge(offer: dict[str, Any], _: str) -> dict[str, Any]:
    """Spoil the payer's signature around a prepare that the hub offers on."""
    signed, _, signature = offer["envelope"].rpartition(".")
    other = "A" if signature[0] != "A" else "B"
    return {**offer, "envelope": f"{signed}.{other}{signature[1:]}"}


#: A prepare as its payer's node would never write it.
LIES_OF_A_NODE: dict[RefusalCode, Spoil] = {
    RefusalCode.UNKNOWN_GROUP: lambda item, _: {**item, "payee_group": "antwerpen"},
    RefusalCode.DEADLINE_OUT_OF_RANGE: lambda item, _: {
        **item,
        "decide_by": "2020-02-02T02:02:02.000Z",
    },
    RefusalCode.RATE_CHANGED: lambda item, _: {**item, "payer_rate": 2},
    RefusalCode.REFUND_UNKNOWN: lambda item, _: {**item, "refund_of": NOBODYS_ID},
    # Of 12 minutes that were paid, 15 are given back.
    RefusalCode.REFUND_TOO_LARGE: lambda item, id_: {**item, "refund_of": id_},
    RefusalCode.UNKNOWN_TRANSFER: _as_cancel,
    RefusalCode.CONTENT_UNREADABLE: lambda _item, _: None,
    RefusalCode.AMOUNT_MISMATCH: lambda item, _: {
        **item,
        "milliseconds": item["milliseconds"] + 1,
    },
}


@pytest.fixture(scope="module")
def originals(founded: Federation) -> dict[str, str]:
    """Payments that were made before, by who was paid."""
    founded.heal()
    founded.wait_compared()
    made = {}
    for payer, payee in (("tom@mechelen", "rik@oostende"), (JAN, LIES)):
        paid = founded.pay(payer, payee, 4)
        assert founded.end_of(paid)["state"] == "cleared"
        assert paid.transfer_id is not None
        made[payee] = paid.transfer_id
    return made


@pytest.fixture(scope="module")
def lied(
    founded: Federation,
    databases: Databases,
    originals: dict[str, str],
    at_first: object,
) -> dict[RefusalCode, Ordered]:
    """One order for each lie of a node, all told to a hub that was away."""
    founded.hub.kill()
    # Whoever has not compared since its start seals nothing.
    founded.server("oostende").restart()
    told = {}
    for code, spoil in LIES_OF_A_NODE.items():
        told[code] = ordered = founded.pay("rik@oostende", "tom@mechelen", 3)
        original = originals["rik@oostende"]
        databases.run("oostende", _spoil, ordered.transfer_id, "hub", spoil, original)
    founded.hub.start()
    return told


# Everything that can be provoked, each in its own way.

Provoked = Iterator[Ordered]
Provoke = Callable[
    [Federation, Databases, dict[str, str]],
    "contextlib.AbstractContextManager[Ordered]",
]


def paying(payer: str, to: str, amount: int, **fields: Any) -> Provoke:
    """An order that nothing special has to happen to."""

    @contextlib.contextmanager
    def pay(federation: Federation, *_: object) -> Provoked:
        yield federation.pay(payer, to, amount, **fields)

    return pay


def refunding(payer: str, to: str, amount: int, *, of: str) -> Provoke:
    """A refund of the payment that somebody got before all tests."""

    @contextlib.contextmanager
    def pay(
        federation: Federation, _: Databases, originals: dict[str, str]
    ) -> Provoked:
        yield federation.pay(payer, to, amount, refund_of=originals[of])

    return pay


def frozen(address: str, payer: str, to: str) -> Provoke:
    """An order while the treasurer of one side has frozen an account."""
    account, _, group = address.partition("@")

    def freeze(federation: Federation, *, is_frozen: bool) -> None:
        treasurer = federation.nodes[group].treasurer
        assert treasurer is not None
        body = {"frozen": is_frozen}
        answer = treasurer.ask("PATCH", f"/api/v1/members/{account}", body)
        assert answer.status == 200, answer

    @contextlib.contextmanager
    def pay(federation: Federation, *_: object) -> Provoked:
        freeze(federation, is_frozen=True)
        try:
            ordered = federation.pay(payer, to, 1)
            if ordered.transfer_id:
                federation.end_of(ordered)
            yield ordered
        finally:
            freeze(federation, is_frozen=False)

    return pay


@contextlib.contextmanager
def _beyond_a_cap(federation: Federation, *_: object) -> Provoked:
    path = "/api/v1/caps/aalst/oostende"
    body = {"milliseconds": 0, "reason": "a trial"}
    assert federation.admin.ask("POST", path, body).status == 200
    try:
        ordered = federation.pay("els@aalst", JAN, 1)
        federation.end_of(ordered)
        yield ordered
    finally:
        body = {"reason": "it is over"}
        assert federation.admin.ask("POST", f"{path}/remove", body).status == 200


def freeze_aalst(federation: Federation, *, is_frozen: bool) -> None:
    """Have the regional admin stop a group, or let it trade again."""
    verb = "freeze" if is_frozen else "release"
    answer = federation.admin.ask("POST", f"/api/v1/groups/aalst/{verb}")
    assert answer.status == 200, answer


@contextlib.contextmanager
def _to_a_frozen_group(federation: Federation, *_: object) -> Provoked:
    freeze_aalst(federation, is_frozen=True)
    found: list[Ordered] = []

    def is_refused_at_once() -> bool:
        # Before the node has heard of it the hub says so, or that nobody is there.
        found.append(federation.pay(JAN, "nobody@aalst", 1))
        return found[-1].transfer_id is None

    def is_taken() -> bool:
        return federation.pay(JAN, "nobody@aalst", 1).transfer_id is not None

    try:
        wait_for(is_refused_at_once, "the node to hear of the freeze", 20)
        yield found.pop()
    finally:
        freeze_aalst(federation, is_frozen=False)
        wait_for(is_taken, "the node to hear of the release", 20)


@contextlib.contextmanager
def _before_it_heard_of_a_freeze(federation: Federation, *_: object) -> Provoked:
    oostende = federation.server("oostende")
    federation.hub.kill()
    ordered = federation.pay(JAN, "els@aalst", 1)
    oostende.freeze()
    federation.hub.start()
    federation.hub.wait_ready()
    freeze_aalst(federation, is_frozen=True)
    oostende.thaw()
    try:
        federation.end_of(ordered)
        yield ordered
    finally:
        freeze_aalst(federation, is_frozen=False)
        federation.wait_compared()


@contextlib.contextmanager
def _without_hub(federation: Federation, *_: object) -> Provoked:
    federation.hub.kill()
    found: list[Ordered] = []

    def is_refused() -> bool:
        # Until the hub's answer is overdue it is taken, and refused in the end.
        order = federation.order("nobody@mechelen", 1, deliver="now")
        lies = federation.member(LIES)
        found.append(federation.note(lies, order, lies.pay(order)))
        time.sleep(0.5)
        return found[-1].answer.status != 201

    wait_for(is_refused, "an answer of the hub to be overdue", 30)
    yield found.pop()
    federation.history.pop()
    federation.hub.start()
    federation.wait_compared()


@contextlib.contextmanager
def _too_late(federation: Federation, *_: object) -> Provoked:
    aalst = federation.server("aalst")
    aalst.kill()
    ordered = federation.pay(JAN, "els@aalst", 1, deliver="now")
    wait_sent(federation, ordered)
    federation.hub.kill()
    put_clock_forward(federation.hub, ordered)
    federation.hub.start()
    aalst.start()
    yield ordered


@contextlib.contextmanager
def _called_off(federation: Federation, *_: object) -> Provoked:
    aalst = federation.server("aalst")
    aalst.kill()
    ordered = federation.pay(JAN, "els@aalst", 1)
    wait_sent(federation, ordered)
    assert ordered.transfer_id is not None
    assert ordered.payer.cancel_surely(ordered.transfer_id).status == 202
    yield ordered
    aalst.start()


@contextlib.contextmanager
def _offered_by_a_hub_that_lies(
    federation: Federation, databases: Databases, _: object
) -> Provoked:
    aalst = federation.server("aalst")
    aalst.kill()
    # What waits for a node that has not compared since the hub's start is unsealed.
    federation.hub.restart()
    ordered = federation.pay(JAN, "els@aalst", 1)
    wait_sent(federation, ordered)
    databases.run("hub", _spoil, ordered.transfer_id, "aalst", _forge)
    aalst.start()
    yield ordered


async def _doubt(connection: "asyncpg.Connection", about: str) -> None:
    """Keep what a log watch keeps that was shown two histories."""
    await connection.execute(
        "INSERT INTO doubt (at, about, told, ours, theirs)"
        " VALUES (now(), $1, 'two histories', 'ours', 'theirs')",
        about,
    )


@contextlib.contextmanager
def _to_whoever_doubts_us(
    federation: Federation, databases: Databases, _: object
) -> Provoked:
    aalst = federation.nodes["aalst"]
    databases.run("aalst", _doubt, "oostende")
    aalst.server.restart()
    federation.wait_compared()
    ordered = federation.pay(JAN, "els@aalst", 1)
    federation.end_of(ordered)
    yield ordered
    assert aalst.treasurer is not None
    body = {"about": "oostende", "reason": "they were shown the same log after all"}
    answer = aalst.treasurer.ask("POST", "/api/v1/group/trust", body)
    assert answer.status == 200, answer


WAYS: dict[RefusalCode, list[Provoke]] = {
    RefusalCode.ACCOUNT_FROZEN: [
        frozen(JAN, JAN, "tom@mechelen"),
        frozen(JAN, JAN, LIES),
        frozen(JAN, JAN, JAN),
    ],
    RefusalCode.SAME_ACCOUNT: [paying(JAN, JAN, 1)],
    RefusalCode.PAYER_FLOOR: [
        paying(JAN, "tom@mechelen", 10_000),
        paying(JAN, LIES, 10_000),
    ],
    RefusalCode.HUB_UNREACHABLE: [_without_hub],
    RefusalCode.UNKNOWN_GROUP: [paying(JAN, "anna@antwerpen", 1)],
    RefusalCode.GROUP_FROZEN: [_before_it_heard_of_a_freeze, _to_a_frozen_group],
    RefusalCode.AMOUNT_OUT_OF_RANGE: [
        # 10^14 milliseconds are 333,333,333.3 blussers.
        paying(LIES, "mia@mechelen", 333_333_334),
        paying(LIES, JAN, 10**12),
    ],
    RefusalCode.RATE_CHANGED: [
        paying(JAN, "tom@mechelen", 3, payer_amount_max=4),
        paying(JAN, LIES, 3, payer_amount_max=2),
    ],
    RefusalCode.REFUND_UNKNOWN: [
        paying(JAN, "tom@mechelen", 1, refund_of=NOBODYS_ID),
        paying(JAN, LIES, 1, refund_of=NOBODYS_ID),
        # She was not paid by him in that payment, nor was he the one who was paid.
        refunding(LIES, "rik@oostende", 1, of=LIES),
        refunding(JAN, "tom@mechelen", 1, of="rik@oostende"),
    ],
    RefusalCode.REFUND_TOO_LARGE: [
        # 4 garnalen are 12 minutes: of blussers, 5 minutes each, 2 fit.
        refunding("rik@oostende", "tom@mechelen", 3, of="rik@oostende"),
        refunding(LIES, JAN, 5, of=LIES),
    ],
    RefusalCode.PAYER_GROUP_FLOOR: [
        paying(LIES, "mia@mechelen", 12 * 3_000),
        paying(LIES, "mia@mechelen", 333_333_333),
    ],
    RefusalCode.PAYEE_GROUP_CEILING: [paying(LIES, "els@aalst", 7 * 200)],
    RefusalCode.MONTH_CAP: [_beyond_a_cap],
    RefusalCode.PAYEE_UNREACHABLE: [_too_late],
    RefusalCode.CANCELLED: [_called_off],
    RefusalCode.HISTORY_DIFFERS: [_to_whoever_doubts_us],
    RefusalCode.NOT_SIGNED_BY_PAYER_GROUP: [_offered_by_a_hub_that_lies],
    RefusalCode.UNKNOWN_ACCOUNT: [
        paying(JAN, "nobody@mechelen", 1),
        paying(JAN, "clearing@mechelen", 1),
        paying(JAN, "nobody@oostende", 1),
        paying(JAN, "clearing@oostende", 1),
    ],
    RefusalCode.PAYEE_CANNOT_RECEIVE: [
        paying(LIES, "bob@mechelen", 600),
        paying(LIES, "rik@oostende", 5_000),
        frozen("tom@mechelen", JAN, "tom@mechelen"),
        frozen("rik@oostende", JAN, "rik@oostende"),
    ],
}
#: Codes that nothing can lead to yet. The pattern is looked for in what servers run:
#: where it is found the code can be said, and the excuse is none any more.
UNREACHED: dict[RefusalCode, tuple[str, str]] = {
    RefusalCode.KEYS_NOT_ACCEPTED: (
        r"decision = KeysDecision\(",
        "no hub changes a group's keys; tests/nodes has one that lies",
    ),
}
#: Refused when only a price is asked for: there is no order to look at.
BY_QUOTE = RefusalCode.AMOUNT_TOO_SMALL
#: Only said of a member in whose name the treasurer orders: her own sign-ins may not.
BY_TREASURER = RefusalCode.ACCOUNT_CLOSED


def standing(federation: Federation) -> dict[str, Any]:
    """Every balance, and every position at the hub, while nothing is held."""
    found: dict[str, Any] = {
        name: (group["position"], group["held_out"], group["held_in"])
        for name, group in federation.groups().items()
    }
    for node in federation.nodes.values():
        for member in node.members.values():
            account = member.account()
            assert (account["held"], account["held_in"]) == (0, 0), account
            found[member.address] = account["balance"]
    return found


@pytest.fixture(scope="module")
def at_first(founded: Federation, originals: object) -> dict[str, Any]:
    founded.audit()
    return standing(founded)


@pytest.fixture(autouse=True)
def _nothing_booked(
    federation: Federation, at_first: dict[str, Any], lied: object
) -> Iterator[None]:
    federation.wait_compared()
    yield
    federation.wait_compared()
    federation.audit()
    assert standing(federation) == at_first


def check_told(sentences: list[str], code: RefusalCode) -> None:
    """It is told in three languages, in a sentence that people understand."""
    assert len(set(sentences)) == len(LANGUAGES), sentences
    for sentence in sentences:
        assert len(sentence.split()) >= 5 and sentence.endswith("."), sentence
        assert code not in sentence and "error" not in sentence.lower(), sentence


def ask_again(ordered: Ordered, language: str) -> Answer:
    """Order once more under the same key, to be answered in a language."""
    headers = {"Idempotency-Key": ordered.order.key, "Accept-Language": language}
    raw = ordered.order.body
    return ordered.payer.ask("POST", "/api/v1/transfers", raw=raw, headers=headers)


def check_refused(federation: Federation, ordered: Ordered, code: RefusalCode) -> None:
    """It was refused for this reason, and its payer can read why."""
    payer: Member = ordered.payer
    if ordered.transfer_id is None:
        answers = [ask_again(ordered, language) for language in LANGUAGES]
        status = 503 if code is RefusalCode.HUB_UNREACHABLE else 422
        assert {one.status for one in answers} == {status}, answers
        assert {one.told["code"] for one in answers} == {code}, answers
        assert ordered.answer.told["code"] == code
        check_told([one.told["detail"] for one in answers], code)
        return
    ended = federation.end_of(ordered)
    assert (ended["state"], ended["code"]) == ("refused", code)
    path = f"/api/v1/transfers/{ordered.transfer_id}"
    told = [payer.get(path, **{"Accept-Language": one}) for one in LANGUAGES]
    assert {one["code"] for one in told} == {code}
    check_told([one["told"] for one in told], code)


CASES = [
    pytest.param(code, way, id=f"{code}-{place}")
    for code, ways in WAYS.items()
    for place, way in enumerate(ways)
]


@pytest.mark.parametrize(("code", "provoke"), CASES)
def test_a_refusal_is_told_and_books_nothing(
    federation: Federation,
    databases: Databases,
    originals: dict[str, str],
    code: RefusalCode,
    provoke: Provoke,
) -> None:
    with provoke(federation, databases, originals) as ordered:
        check_refused(federation, ordered, code)


@pytest.mark.parametrize("code", LIES_OF_A_NODE)
def test_a_node_that_lies_is_refused(
    federation: Federation, lied: dict[RefusalCode, Ordered], code: RefusalCode
) -> None:
    check_refused(federation, lied[code], code)


def test_an_amount_too_small_is_told_with_its_price(federation: Federation) -> None:
    # An ajuin is 8.57 minutes, a garnaal 3.
    asked = {"to": "els@aalst", "amount": 1, "in": "payer"}
    jan: Caller = federation.member(JAN)
    answers = [
        jan.ask("POST", "/api/v1/quotes", asked, headers={"Accept-Language": one})
        for one in LANGUAGES
    ]
    assert {one.status for one in answers} == {422}
    assert {one.told["code"] for one in answers} == {BY_QUOTE}
    check_told([one.told["detail"] for one in answers], BY_QUOTE)


def test_a_closed_member_for_whom_somebody_pays_is_told_as_closed(
    federation: Federation,
) -> None:
    treasurer = federation.nodes["oostende"].treasurer
    assert treasurer is not None
    gone = {"account": "gone", "name": "Gone", "floor": -100, "ceiling": 100}
    headers = {"Idempotency-Key": "gone"}
    admitted = treasurer.ask("POST", "/api/v1/members", gone, headers=headers)
    assert admitted.status == 201, admitted
    closed = treasurer.ask("PATCH", "/api/v1/members/gone", {"closed": True})
    assert closed.status == 200, closed
    for to in (JAN, "tom@mechelen"):
        wish = {"payer": "gone", "to": to, "payee_amount": 1, "payer_amount_max": 99}
        answers = [
            treasurer.ask(
                "POST",
                "/api/v1/group/transfers",
                wish,
                headers={"Idempotency-Key": f"for-{to[:3]}", "Accept-Language": one},
            )
            for one in LANGUAGES
        ]
        assert {one.status for one in answers} == {422}
        assert {one.told["code"] for one in answers} == {BY_TREASURER}
        check_told([one.told["detail"] for one in answers], BY_TREASURER)


def places_that_say(pattern: str) -> list[str]:
    """Find the lines that servers run in which a pattern stands."""
    return [
        f"{path.relative_to(CLONE)}: {line.strip()}"
        for folder in ("clearing", "nodes", "protocol")
        for path in sorted(pathlib.Path(CLONE, folder).rglob("*.py"))
        if path.name != "errors.py"
        for line in path.read_text().splitlines()
        if re.search(pattern, line)
    ]


def test_every_code_has_a_row_or_the_reason_is_told() -> None:
    provoked = {*WAYS, *LIES_OF_A_NODE, BY_QUOTE, BY_TREASURER}
    assert provoked | set(UNREACHED) == set(RefusalCode)
    assert not provoked & set(UNREACHED)
    for code, (pattern, excuse) in UNREACHED.items():
        assert not places_that_say(pattern), f"{code} can be provoked now: {excuse}"
    # The excuses' check can fail: what is provoked is found.
    assert places_that_say(r"RefusalCode\.PAYER_FLOOR")
