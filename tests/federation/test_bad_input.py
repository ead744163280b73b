"""Bad input on every route that writes: a 4xx with a sentence, and nothing changed.

The table names every such route of both servers, with a body that is good; a route
that the servers describe and the table lacks fails. From the good body and the
description (OpenAPI) each field is spoilt in turn.
"""

import asyncio
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

import asyncpg
import pytest

from tests.federation.callers import Answer, AwayError, Caller
from tests.federation.conftest import Databases
from tests.federation.servers import wait_for
from tests.federation.world import PASSWORD, Federation

LENGTH_MAX = 64 * 1024
HOUR_MS = 3_600_000
ORDER = {"to": "bob@mechelen", "payee_amount": 3, "payer_amount_max": 100, "memo": ""}
ORDER |= {"deliver": "when_reachable", "refund_of": None}
LIMITS = {"limits": [{"account": "trial-1", "floor": -9, "ceiling": 9}]}
MASS = {"each": -1, "accounts": ["trial-1", "trial-2"]}
ANY_ID = "00000000-0000-8000-8000-00000000000a"
#: What stands for each name in a path.
NAMES = {"account": "trial-1", "id": ANY_ID, "group": "aalst", "cycle": 999} | {
    "payer": "aalst",
    "payee": "oostende",
}


GROUP_LIMITS = {"floor": -50 * HOUR_MS, "ceiling": 50 * HOUR_MS, "reason": "so"}


@dataclass(frozen=True)
class Writing:
    """A route that writes, and all that a good request to it needs.

    Attributes:
        server: ``hub`` or ``oostende``.
        who: whose token is sent: a member's account, staff, or nobody's.
        good: a body that the route takes.
        is_keyed: it needs an Idempotency-Key.
        length_max: bytes of its longest body.
    """

    server: str
    method: str
    path: str
    who: str = ""
    good: dict[str, Any] = field(default_factory=dict)
    is_keyed: bool = False
    length_max: int = LENGTH_MAX

    @property
    def address(self) -> str:
        """The path of something that is there, where the route names something."""
        return self.path.format_map(NAMES)

    def __str__(self) -> str:
        return f"{self.server} {self.method} {self.path}"


SIGN_IN = {"name": "jan", "password": PASSWORD, "code": "", "scopes": ["read"]}
WRITING = [
    Writing("oostende", "POST", "/api/v1/tokens", good=SIGN_IN),
    Writing(
        "oostende",
        "POST",
        "/api/v1/quotes",
        "jan",
        {"to": "bob@mechelen", "amount": 3, "in": "payee"},
    ),
    Writing("oostende", "POST", "/api/v1/transfers", "jan", ORDER, is_keyed=True),
    Writing(
        "oostende",
        "POST",
        "/api/v1/transfers/batch",
        "jan",
        {"orders": [{"key": "bad-input", **ORDER}]},
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/asks",
        "jan",
        {"amount": 3, "memo": "eggs", "days": 14},
    ),
    Writing("oostende", "POST", "/api/v1/asks/open", "jan", {"ask": "e30.e30.e30"}),
    Writing(
        "oostende",
        "PATCH",
        "/api/v1/account/privacy",
        "jan",
        {"found_by": "address"},
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/members",
        "treasurer",
        {"account": "trial-3", "name": "Trial", "floor": -10, "ceiling": 10},
        is_keyed=True,
    ),
    Writing(
        "oostende",
        "PATCH",
        "/api/v1/members/{account}",
        "treasurer",
        {
            "name": "T",
            "floor": -9,
            "ceiling": 9,
            "frozen": False,
            "closed": False,
            "reason": "asked",
        },
    ),
    *(
        Writing(
            "oostende",
            "POST",
            f"/api/v1/group/{path}",
            "treasurer",
            {**good, "reason": "meeting of May"},
            is_keyed=path == "mass-entries",
            length_max=2 * 1024 * 1024,
        )
        for path, good in (
            ("limits", LIMITS),
            ("limits/preview", LIMITS),
            ("mass-entries", MASS),
            ("mass-entries/preview", MASS),
        )
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/people",
        "treasurer",
        {"name": "@trial", "role": "reader"},
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/entries",
        "treasurer",
        {
            "postings": [
                {"account": "trial-1", "amount": -1},
                {"account": "trial-2", "amount": 1},
            ],
            "reason": "eggs",
        },
        is_keyed=True,
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/entries/{id}/correct",
        "treasurer",
        {"reason": "not eggs"},
        is_keyed=True,
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/transfers",
        "treasurer",
        {"payer": "jan", **ORDER},
        is_keyed=True,
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/trust",
        "treasurer",
        {"about": "hub", "reason": "they called, and it was a restored backup"},
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/keys",
        "treasurer",
        {"group": "mechelen", "digits": "1234 5678 9012", "reason": "they called"},
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/own-keys",
        "treasurer",
        {"version": 99, "reason": "somebody left"},
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/proposal",
        "treasurer",
        {
            "per_hour": 20,
            "decimals": 0,
            "name": "LETS Oostende",
            "unit": "garnaal",
            "plural": "garnaal",
            "symbol": "garnaal",
        },
    ),
    *(
        Writing("oostende", "POST", path, "treasurer", {"reason": "we looked again"})
        for path in (
            "/api/v1/group/cycles/{cycle}/check",
            "/api/v1/group/legs/{id}/paid",
            "/api/v1/group/legs/{id}/received",
        )
    ),
    Writing(
        "oostende",
        "POST",
        "/api/v1/group/leaving",
        "treasurer",
        {"reason": "we thought about it"},
    ),
    Writing("oostende", "POST", "/api/v1/group/warning", "treasurer", {"percent": 80}),
    Writing("hub", "POST", "/api/v1/tokens", good=SIGN_IN),
    *(
        Writing("hub", "POST", f"/api/v1/groups/{{group}}/{verb}", "admin", good)
        for verb, good in (
            ("approve", {"proposal": 1}),
            ("refuse", {"proposal": 1}),
            ("limits", GROUP_LIMITS),
            ("left", {"position": 0}),
            ("shares/tell", {"rule": "equal"}),
            ("shares/decide", {"plan": "2f0b3c86-5e0c-8b5e-a9ff-6d1c2a7d9e10"}),
        )
    ),
    Writing(
        "hub",
        "POST",
        "/api/v1/caps/{payer}/{payee}",
        "admin",
        {"milliseconds": 10**14, "reason": "more than anybody pays"},
    ),
    Writing(
        "hub", "POST", "/api/v1/caps/{payer}/{payee}/remove", "admin", {"reason": "so"}
    ),
    Writing("hub", "POST", "/api/v1/warning", "admin", {"percent": 80, "reason": "so"}),
    Writing(
        "hub",
        "POST",
        "/api/v1/invitations",
        "admin",
        {"group": "veere", "floor": -50 * HOUR_MS, "ceiling": 50 * HOUR_MS},
    ),
]
#: Good bodies that are answered with a no: nothing is there that they could be about.
NOBODY_THERE = {
    ("oostende", "/api/v1/group/trust"): 404,
    ("oostende", "/api/v1/group/keys"): 404,
    ("oostende", "/api/v1/group/own-keys"): 409,
    ("oostende", "/api/v1/group/cycles/{cycle}/check"): 404,
    ("oostende", "/api/v1/group/legs/{id}/paid"): 404,
    ("oostende", "/api/v1/group/legs/{id}/received"): 404,
    ("hub", "/api/v1/groups/{group}/approve"): 409,
    ("hub", "/api/v1/groups/{group}/refuse"): 409,
    # No group is leaving.
    ("hub", "/api/v1/groups/{group}/left"): 409,
    ("hub", "/api/v1/groups/{group}/shares/tell"): 409,
    ("hub", "/api/v1/groups/{group}/shares/decide"): 404,
    ("hub", "/api/v1/tokens"): 401,
    ("oostende", "/api/v1/group/entries/{id}/correct"): 404,
}
#: What writes but is sent no JSON body: tried by tests of its own below.
WITHOUT_BODY = {
    ("hub", "POST", "/api/v1/groups/{group}/freeze"),
    ("hub", "POST", "/api/v1/groups/{group}/release"),
    ("hub", "POST", "/api/v1/groups/{group}/leaving"),
    ("hub", "POST", "/api/v1/groups/{group}/stay"),
    ("hub", "POST", "/api/v1/consents/{number}/give"),
    ("hub", "POST", "/api/v1/consents/{number}/withdraw"),
    ("hub", "POST", "/api/v1/cycles/{cycle}/close"),
    ("hub", "POST", "/api/v1/cycles/{cycle}/settle"),
    ("hub", "POST", "/api/v1/legs/{id}/cancel"),
    ("oostende", "DELETE", "/api/v1/transfers/{id}"),
    ("oostende", "POST", "/api/v1/group/import"),
    ("oostende", "POST", "/api/v1/members/{account}/sign-in"),
    ("oostende", "DELETE", "/api/v1/members/{account}/sign-ins"),
    ("oostende", "DELETE", "/api/v1/group/people/{person}"),
    ("oostende", "DELETE", "/api/v1/group/people/{person}/sign-ins"),
    ("oostende", "DELETE", "/api/v1/group/people/{person}/sign-ins/{sign_in}"),
}

ROUTES = pytest.mark.parametrize("writing", WRITING, ids=str)


# What is there, as HTTP and the tables tell it.

#: What a server writes by its own clock, whoever asks it what: its look at the hub's
#: log and at proofs, or at limits, and its nightly audit.
_OWN = (
    *("belief", "compared_item", "newest_audit", "warned"),
    *("proof", "proven_checkpoint"),
)
_TABLES = f"""
SELECT tablename FROM pg_tables WHERE schemaname = 'public'
   AND tablename NOT IN {("token", "cover_limit", *_OWN)} ORDER BY tablename
"""


async def _count(connection: "asyncpg.Connection", found: dict[str, int]) -> None:
    async with connection.transaction(isolation="repeatable_read"):
        for (table,) in await connection.fetch(_TABLES):
            # The names are the migrations' own.
            sql = f"SELECT count(*) FROM {table}"
            found[table] = await connection.fetchval(sql)


class Standing(NamedTuple):
    """All figures of both servers that a refused request must leave as they are."""

    accounts: list[dict[str, Any]]
    positions: dict[str, Any]
    rows: dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def programs(founded: Federation) -> dict[tuple[str, str], Caller]:
    """Everyone who asks here, by server and name; Jan may send batches."""
    founded.heal()
    founded.wait_compared()
    node = founded.nodes["oostende"]
    body = {"name": "jan", "password": PASSWORD, "scopes": ["batch", "pay", "read"]}
    answer = Caller(node.server.port).ask("POST", "/api/v1/tokens", body)
    assert node.treasurer is not None
    for account in ("trial-1", "trial-2"):
        member = {"account": account, "name": "Trial", "floor": -10, "ceiling": 10}
        admitted = node.treasurer.ask_surely(
            "POST", "/api/v1/members", member, key=account
        )
        assert admitted.status == 201
    return {
        ("oostende", "jan"): Caller(node.server.port, answer.told["token"]),
        ("oostende", "treasurer"): node.treasurer,
        ("oostende", ""): Caller(node.server.port),
        ("hub", "admin"): founded.admin,
        ("hub", ""): Caller(founded.hub.port),
    }


@pytest.fixture
def unchanged(
    federation: Federation, databases: Databases, programs: object
) -> Iterator[None]:
    """Whatever a test sends leaves every figure and every row count as it was."""
    federation.wait_quiet()
    before = standing(federation, databases)
    yield
    after = standing(federation, databases)
    moved = {
        server: set(rows.items()) ^ set(before.rows[server].items())
        for server, rows in after.rows.items()
    }
    # The rows first: what pytest shows of two long tuples does not reach them.
    assert not any(moved.values()), moved
    assert after == before
    for server in federation.servers:
        assert server.is_running
    federation.audit()


def standing(federation: Federation, databases: Databases) -> Standing:
    rows: dict[str, dict[str, int]] = {"hub": {}, "oostende": {}}
    for server, found in rows.items():
        databases.run(server, _count, found)
    members = federation.nodes["oostende"].members.values()
    accounts = [member.account() for member in members]
    return Standing(accounts, federation.groups(), rows)


def wrong_with(answer: Answer, *statuses: int) -> str:
    """Say what is wrong with how bad input was answered, if anything."""
    status, told = answer
    if status == 200 and isinstance(told, list):
        # A batch is answered order by order.
        status, told = told[0]["status"], told[0]["problem"] or {}
    if status not in statuses:
        return f"answered {status}: {told}"
    is_problem = (
        told["status"] == status
        and told["type"].startswith("urn:interlets:problem:")
        and len(told["detail"].split()) > 2
    )
    return "" if is_problem else f"is no problem with a sentence: {told}"


class Asking:
    """Sends spoilt requests to one route and keeps what was answered wrongly."""

    def __init__(
        self, programs: dict[tuple[str, str], Caller], writing: Writing
    ) -> None:
        self._caller = programs[writing.server, writing.who]
        self._writing = writing
        self._headers = {"Idempotency-Key": "bad-input"} if writing.is_keyed else {}
        self.found: list[str] = []

    def send(
        self,
        case: str,
        raw: bytes,
        *statuses: int,
        headers: dict[str, str] | None = None,
    ) -> None:
        sent = self._headers | (headers or {})
        try:
            answer = self._caller.ask(
                self._writing.method, self._writing.address, raw=raw, headers=sent
            )
        except AwayError as error:
            # A body that is too large may be cut off before it is read.
            wrong = "" if statuses == (413,) else str(error)
        else:
            wrong = wrong_with(answer, *statuses)
        if wrong:
            self.found.append(f"{case}: {wrong}")


# Bodies that are wrong whatever they are for.


def spoilt(good: dict[str, Any]) -> dict[str, bytes]:
    """Spoil a whole good body in every way that needs no knowledge of it."""
    raw = json.dumps(good).encode()
    name = next(iter(good))
    again = json.dumps({name: good[name]}).encode()[1:]
    escaped = again.replace(
        name.encode(), b"\\u%04x" % ord(name[0]) + name[1:].encode()
    )
    return {
        "nothing": b"",
        "white space": b" \n",
        "not JSON": b"to=bob",
        "a word": b"null",
        "a number": b"NaN",
        "cut off": raw[:-1],
        "two documents": raw * 2,
        "a list": b"[" + raw + b"]",
        "nothing in it": b'{"amount": }',
        "unknown field": raw[:-1] + b',"unheard_of":1}',
        "unknown field, deep": raw[:-1] + b',"x":' + b"[" * 9000 + b"]" * 9000 + b"}",
        "duplicate name": raw[:-1] + b"," + again,
        "duplicate name, escaped": raw[:-1] + b"," + escaped,
        "comma too many": raw[:-1] + b",}",
        "comment": raw + b"// paid",
        "single quotes": raw.replace(b'"', b"'"),
        "deep": b"[" * 30_000,
        "deep objects": b'{"a":' * 10_000,
        "byte order mark": b"\xef\xbb\xbf" + raw,
        "UTF-16": raw.decode().encode("utf-16"),
        "UTF-32": raw.decode().encode("utf-32"),
        "not UTF-8": raw[:-1] + b',"\xff":1}',
        "overlong UTF-8": raw.replace(b"{", b"{\xc0\xa0", 1),
        "NUL": raw + b"\0",
        "lone surrogate as a name": raw[:-1] + b',"\\udc00":1}',
    }


@ROUTES
def test_a_spoilt_body_is_refused(
    unchanged: None, programs: dict[tuple[str, str], Caller], writing: Writing
) -> None:
    asking = Asking(programs, writing)
    for case, raw in spoilt(writing.good).items():
        asking.send(case, raw, 400)
    raw = json.dumps(writing.good).encode()
    longest = raw + b" " * (writing.length_max - len(raw))
    asking.send("one byte too many", longest + b" ", 413)
    asking.send("far too large", longest + longest[: 40 * LENGTH_MAX], 413)
    # Of the longest body it is not the length that is wrong.
    asking.send("the longest", longest[:-1] + b"x", 400)
    assert not asking.found


@ROUTES
def test_a_body_that_says_it_is_something_else_is_refused(
    unchanged: None, programs: dict[tuple[str, str], Caller], writing: Writing
) -> None:
    asking = Asking(programs, writing)
    raw = json.dumps(writing.good).encode()
    for media_type in (
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"),
        *("application/xml", "application/jsonp", "text/json", "application/json5"),
        *("", "json", "application/", "application/json/x", "\xe9"),
    ):
        asking.send(media_type, raw, 415, headers={"Content-Type": media_type})
    bomb = gzip.compress(b" " * 10_000_000 + raw)
    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, identity", "x"):
        headers = {"Content-Encoding": encoding}
        asking.send(f"{encoding} small", gzip.compress(raw), 400, 415, headers=headers)
        asking.send(f"{encoding} bomb", bomb, 400, 413, 415, headers=headers)
    asking.send("packed unsaid", gzip.compress(raw), 400)
    assert not asking.found


# One field after another, as the description says what each is.

NO_INTEGERS = [
    *("1.0", "1.5", "1e0", "1e400", "1E2", "-0", "01", "+1", "0x1", "1_000", "\u0661"),
    *("true", "false", '"1"', "[1]", '{"a":1}', "NaN", "Infinity", "-Infinity"),
    *("9007199254740992", "-9007199254740992", "1" + "0" * 26, "-1" + "0" * 26),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616"),
]
NO_TEXTS = ["1", "true", "[]", '{"a":"b"}', '["a"]', '"\\ud800"', '"a\\udfffb"', '"\n"']
NO_LISTS = ["1", '"a"', "{}", "true"]
NO_OBJECTS = ["1", '"a"', "[]", "true"]
NO_BOOLEANS = ["0", "1", '"true"', '"yes"', "[]", "{}", "1.0"]


def resolve(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def wrong_values(
    name: str, schema: dict[str, Any], described: dict[str, Any]
) -> Iterable[str]:
    """List JSON that a field may not hold, for what its schema says that it is."""
    schema = resolve(schema, described)
    kinds = [resolve(one, described) for one in schema.get("anyOf", [schema])]
    types = {kind.get("type", "string" if "enum" in kind else "") for kind in kinds}
    bounds = [
        str(kind[bound] + step)
        for kind in kinds
        for bound, step in (("minimum", -1), ("maximum", 1))
        if bound in kind
    ]
    wrong = {
        "integer": NO_INTEGERS + bounds,
        "string": NO_TEXTS + ['"never heard of"'] * ("enum" in kinds[0]),
        "array": NO_LISTS,
        "object": NO_OBJECTS,
        "boolean": NO_BOOLEANS,
    }
    known = [kind for kind in wrong if kind in types]
    assert known, f"{name}: no wrong values for {schema}"
    # A value is wrong only where no kind that the field may be takes it.
    values = set.intersection(*(set(wrong[kind]) for kind in known))
    return sorted(values | (set() if "null" in types else {"null"}))


def spoilt_fields(
    good: Any, schema: dict[str, Any], described: dict[str, Any], name: str = ""
) -> Iterator[tuple[str, str]]:
    """Give bodies in which one value, at any depth, is what it may not be."""
    schema = resolve(schema, described)
    if isinstance(good, dict) and "properties" in schema:
        for inner, value in good.items():
            rest = {key: one for key, one in good.items() if key != inner}
            start = json.dumps(rest)[:-1] + (", " if rest else "")
            assert inner in schema["properties"], f"{inner} is not described"
            part = schema["properties"][inner]
            for case, raw in spoilt_fields(value, part, described, inner):
                yield f"{inner} {case}", f"{start}{json.dumps(inner)}: {raw}}}"
        for inner in schema.get("required", []):
            rest = {key: one for key, one in good.items() if key != inner}
            yield f"without {inner}", json.dumps(rest)
    if isinstance(good, list) and good:
        for case, raw in spoilt_fields(good[0], schema["items"], described, name):
            yield f"0 {case}", f"[{raw}]"
    for raw in wrong_values(name, schema, described):
        yield f"is {raw[:30]}", raw


def description(programs: dict[tuple[str, str], Caller], server: str) -> dict[str, Any]:
    return programs[server, ""].get("/api/openapi.json")


@ROUTES
def test_a_field_that_is_not_what_it_must_be_is_refused(
    unchanged: None, programs: dict[tuple[str, str], Caller], writing: Writing
) -> None:
    described = description(programs, writing.server)
    operation = described["paths"][writing.path][writing.method.lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    asking = Asking(programs, writing)
    cases = list(spoilt_fields(writing.good, schema, described))
    assert len(cases) > 5
    for case, raw in cases:
        asking.send(case, raw.encode(), 400)
    assert not asking.found


def test_an_amount_is_at_least_one_and_at_most_ten_to_the_twelfth(
    programs: dict[tuple[str, str], Caller],
) -> None:
    schemas = description(programs, "oostende")["components"]["schemas"]
    for schema, name in (
        ("QuoteRequest", "amount"),
        *(("TransferRequest", one) for one in ("payee_amount", "payer_amount_max")),
        *(("BatchOrder", one) for one in ("payee_amount", "payer_amount_max")),
        *(("OrderForRequest", one) for one in ("payee_amount", "payer_amount_max")),
    ):
        amount = schemas[schema]["properties"][name]
        assert (amount["minimum"], amount["maximum"]) == (1, 10**12), name


def test_every_route_that_writes_is_in_the_table(
    programs: dict[tuple[str, str], Caller],
) -> None:
    described = {
        (server, method.upper(), path)
        for server in ("hub", "oostende")
        for path, operations in description(programs, server)["paths"].items()
        for method in operations
        if method.upper() != "GET"
    }
    tried = {(one.server, one.method, one.path) for one in WRITING}
    assert tried | WITHOUT_BODY == described
    assert not tried & WITHOUT_BODY


# What only people's words can have wrong.

NO_ADDRESSES = [
    *("", "bob", "@", "bob@", "@mechelen", "bob@mechelen@gent", "bob@ mechelen"),
    *(" bob@mechelen", "bob@mechelen ", "bob@mechelen\n", "bob\n@mechelen", "bob\0@x1"),
    *("Bob@mechelen", "BOB@MECHELEN", "bob@Mechelen", "bob@hub", "-bob@mechelen"),
    *("b" * 33 + "@mechelen", "bob@" + "m" * 33, "bob@m", "bob@1mechelen"),
    # Looks the same, is not: Cyrillic o, full width, ligature, soft hyphen, no-break,
    # zero width, combining, turned round, mathematical, dotless.
    *(
        "b\u043eb@mechelen",
        "\uff42ob@mechelen",
        "bob@me\ufb01elen",
        "bo\u00adb@mechelen",
    ),
    *("bob\u00a0@mechelen", "bo\u200bb@mechelen", "bob\u0301@mechelen"),
    *("\u202ebob@mechelen", "\u2066bob@mechelen\u2069", "\U0001d41bob@mechelen"),
    *("b\u0131b@mechelen", "bob\uff20mechelen", "bob@mechelen\u3002", "ⓑob@mechelen"),
    *("bob@m\u0435chelen", "xn--bob@mechel\u00e9n", "\ufeffbob@mechelen", "٣@mechelen"),
    *("bob@mechelen'; DROP TABLE account; --", "bob@mechelen%00", "../bob@mechelen"),
]
NO_MEMOS = [
    *("\0", "a\0b", "\x07", "\x1b[2J", "\x7f", "\x85", "a\rb", "a\tb", "\x0b", "\x0c"),
    *("\u2028", "\u2029", "\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066"),
    *("\u2069", "e\u0301", "\u212b", "m" * 501, "\u00e9" * 501, "\U0001f6b2" * 501),
]
GOOD_MEMOS = ["", "m" * 500, "\U0001f6b2" * 500, "regel\nregel", "<b>&amp;", "\u00e9"]
NO_TIMES = ["", "NOW", "tomorrow", "72h", "2030-01-01T00:00:00.000Z"]
NO_IDS = ["", "1", "eggs", ANY_ID.upper(), ANY_ID + "\n", ANY_ID[:-1] + "\u0661"]
NO_KEYS = ["", " ", "two words", "k" * 201, "sleutel-\u00e9", "a\0b", "a\nb", "\u202ea"]
#: What stands behind a "?", as JSON would have it, spoilt as bytes.
NO_QUERIES = [
    *(
        "%s=%%00",
        "%s=%%ff",
        "%s=%%ed%%a0%%80",
        "%s=%%e2%%80%%ae",
        "%s=%%0a",
        "%s=1&%s=1",
    ),
    *("%s=1&unheard_of=1", "%s%%00=1", "unheard_of=%s", "%s=" + "9" * 5000),
]
NO_PAGE_SIZES = [
    "0",
    "-1",
    "201",
    "1.5",
    "1e1",
    "true",
    "null",
    "",
    "%2b1",
    "0x1",
    "9" * 30,
]
WHO = {"read": "jan", "pay": "jan", "treasurer": "treasurer", "admin": "admin"}


def questions(described: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Give every route that reads a query: whose token, its path, its names."""
    for path, operations in described["paths"].items():
        asked = operations.get("get", {"parameters": []})
        names = [one["name"] for one in asked["parameters"] if one["in"] == "query"]
        if names:
            # The first of those that each suffice.
            security = asked["security"][0]
            address = path.format_map(NAMES)
            yield WHO[security["token"][0]], address, names


@pytest.mark.parametrize("server", ["hub", "oostende"])
def test_a_spoilt_question_is_refused(
    unchanged: None, programs: dict[tuple[str, str], Caller], server: str
) -> None:
    found = []
    for who, path, names in questions(description(programs, server)):
        for name in names:
            spoilt = [one.replace("%s", name).replace("%%", "%") for one in NO_QUERIES]
            if name == "page_size":
                spoilt += [f"page_size={one}" for one in NO_PAGE_SIZES]
            for query in spoilt:
                answer = programs[server, who].ask("GET", f"{path}?{query}")
                if wrong := wrong_with(answer, 400):
                    found.append(f"{path}?{query[:60]}: {wrong}")
    assert not found, "\n".join(one[:90] for one in found)


NO_NAMES = ["", " ", "\n", "a\tb", "n" * 81, "\0", "\u202eeiraM", "e\u0301", "\u2028"]
NO_ACCOUNTS = [
    *("", " ", "Jan", "jan ", "-jan", ".", "j" * 33, "jan@oostende", "j\u00e4n", "\0"),
    *("j\u0430n", "\uff4aan", "jan\n", "../jan", "ja n", "\u202ejan"),
]
#: By field, what people must not be shown, or take for something else.
MISLEADING = {
    "to": NO_ADDRESSES,
    "memo": NO_MEMOS,
    "deliver": NO_TIMES,
    "refund_of": NO_IDS,
    "key": NO_KEYS,
    "name": NO_NAMES,
    "unit": NO_NAMES,
    "plural": NO_NAMES,
    "symbol": NO_NAMES,
    "reason": [*NO_MEMOS, "", " "],
    "account": NO_ACCOUNTS,
    "found_by": ["", "Name", "everyone", "name\n", "n\u0430me"],
    "payer": NO_ACCOUNTS,
    "ask": [
        "",
        "#",
        "\0",
        "a.b.c",
        "https://x/ask#",
        "\u202e",
        "e30.e30.\u0435",
        "a" * 9000,
    ],
}


def misled(good: Any) -> Iterator[Any]:
    """Give bodies in which one word, at any depth, could mislead."""
    if isinstance(good, list):
        for one in misled(good[0]):
            yield [one, *good[1:]]
    if not isinstance(good, dict):
        return
    for name, value in good.items():
        words = MISLEADING.get(name, []) if isinstance(value, str | None) else []
        if isinstance(value, list):
            words = misled(value)
        for word in words:
            yield good | {name: word}


#: What people write words in.
PEOPLES = [
    one
    for one in WRITING
    if one.server != "hub"
    and not one.path.endswith("tokens")
    and any(True for _ in misled(one.good))
]


@pytest.mark.parametrize("writing", PEOPLES, ids=str)
def test_words_that_could_mislead_are_refused(
    unchanged: None, programs: dict[tuple[str, str], Caller], writing: Writing
) -> None:
    asking = Asking(programs, writing)
    bodies = list(misled(writing.good))
    assert bodies
    for body in bodies:
        # Who pays, and on whom is booked, is looked up: nobody has such a name. A link
        # may be too long for one.
        raw = json.dumps(body).encode()
        asking.send(ascii(body)[:300], raw, 400, 404, *(413,) * ("ask" in body))
    assert not asking.found


def test_words_that_mislead_nobody_are_carried(
    federation: Federation, programs: dict[tuple[str, str], Caller]
) -> None:
    for memo in GOOD_MEMOS:
        paid = federation.pay("jan@oostende", "bob@mechelen", 1, memo=memo)
        assert federation.end_of(paid)["memo"] == memo
    federation.audit()


def test_a_batch_holds_one_to_a_hundred_orders(
    unchanged: None, programs: dict[tuple[str, str], Caller]
) -> None:
    (batch,) = (one for one in WRITING if one.path.endswith("batch"))
    asking = Asking(programs, batch)
    asking.send("none", b'{"orders":[]}', 400)
    order = batch.good["orders"][0]
    many = {"orders": [{**order, "key": f"bad-input-{n}"} for n in range(101)]}
    asking.send("101", json.dumps(many).encode(), 400)
    assert not asking.found


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_that_is_none_is_not_found(
    unchanged: None, programs: dict[tuple[str, str], Caller], method: str
) -> None:
    jan = programs["oostende", "jan"]
    ids = [
        *("1", "x", ANY_ID, ANY_ID.upper()[:-1] + "A", ANY_ID + "0", f"{ANY_ID}%0a"),
        *(
            "%00",
            "%ff",
            "%ed%a0%80",
            "..%2faccount",
            "%2e%2e",
            "*",
            "'",
            "%F0%9F%9A%B2",
        ),
        *(
            "{" + ANY_ID + "}",
            f"urn:uuid:{ANY_ID}",
            ANY_ID.replace("-", ""),
            "9" * 4000,
        ),
    ]
    for one in ids:
        answer = jan.ask(method, f"/api/v1/transfers/{one}")
        assert not wrong_with(answer, 404), (one, answer)


@pytest.mark.parametrize("account", ["x", "clearing", "%00", "%ff", "..%2f", "\u0661"])
def test_nobody_is_let_in_under_a_name_that_nobody_has(
    unchanged: None, programs: dict[tuple[str, str], Caller], account: str
) -> None:
    path = f"/api/v1/members/{quote(account, safe='%')}"
    treasurer = programs["oostende", "treasurer"]
    for method, rest in (("POST", "/sign-in"), ("PATCH", ""), ("GET", "/changes")):
        raw = b'{"frozen":true}' if method == "PATCH" else None
        answer = treasurer.ask(method, path + rest, raw=raw)
        assert not wrong_with(answer, 404), (method, rest, answer)


@pytest.mark.parametrize(
    "group", ["x", "hub", "reserve", "%00", "%ff", "..%2f", "Aalst"]
)
def test_nothing_is_decided_about_a_group_that_is_not_there(
    unchanged: None, programs: dict[tuple[str, str], Caller], group: str
) -> None:
    good = {one.path.rpartition("/")[2]: one.good for one in WRITING}
    verbs = ("freeze", "release", "limits", "approve", "refuse")
    for verb in (*verbs, "leaving", "stay", "left"):
        path = f"/api/v1/groups/{group}/{verb}"
        answer = programs["hub", "admin"].ask("POST", path, good.get(verb, {}))
        assert not wrong_with(answer, 404), (verb, answer)


@pytest.mark.parametrize("key", [None, *(key for key in NO_KEYS if key.isprintable())])
def test_an_order_needs_a_key_that_is_one(
    unchanged: None, programs: dict[tuple[str, str], Caller], key: str | None
) -> None:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = programs["oostende", "jan"].ask(
        "POST", "/api/v1/transfers", raw=json.dumps(ORDER).encode(), headers=headers
    )
    assert not wrong_with(answer, 400), answer


def take_back(federation: Federation) -> None:
    """Let Oostende stay after all, once its wish has arrived."""
    path = "/api/v1/groups/oostende"
    wait_for(
        lambda: federation.admin.get(path)["state"] == "leaving",
        "the wish to arrive",
        20,
    )
    assert federation.admin.ask("POST", f"{path}/stay").status == 200
    treasurer = federation.nodes["oostende"].treasurer
    assert treasurer is not None

    def stays() -> bool:
        told = treasurer.get("/api/v1/group/leaving")
        return bool((told["state"], told["wish"]["state"]) == ("active", "begun"))

    wait_for(stays, "the node to hear that it stays", 20)


@ROUTES
def test_what_is_spoilt_is_good_before(
    federation: Federation,
    programs: dict[tuple[str, str], Caller],
    writing: Writing,
) -> None:
    headers = {"Idempotency-Key": f"good{writing.path}"} if writing.is_keyed else {}
    caller, good = programs[writing.server, writing.who], writing.good
    if "ask" in good:
        rik = federation.member("rik@oostende")
        good = {"ask": rik.ask("POST", "/api/v1/asks", {"amount": 3}).told["link"]}
    raw = json.dumps(good).encode()
    # The longest body that is taken: white space counts.
    raw += b" " * (writing.length_max - len(raw))
    answer = caller.ask(writing.method, writing.address, raw=raw, headers=headers)
    no = NOBODY_THERE.get((writing.server, writing.path))
    assert answer.status in ((200, 201, 202) if no is None else (no,)), answer
    if writing.path.endswith("/leaving"):
        take_back(federation)
    for told in answer.told if isinstance(answer.told, list) else [answer.told]:
        federation.note_taken("jan@oostende", told.get("transfer") or told)


# What servers say to servers.

NO_ENVELOPES = {
    "nothing": b"",
    "newlines": b"\n" * 100,
    "words": b"hello hub\n",
    "JSON": b'{"v":1}\n',
    "dots": b"..\n",
    "empty parts": b"e30.e30.e30\n",
    "no signature": b"eyJhbGciOiJub25lIn0.e30.\n",
    "not ASCII": "é.é.é\n".encode(),
    "not UTF-8": b"\xff.\xff.\xff\n",
    "NUL": b"\0.\0.\0\n",
    "CR LF": b"e30.e30.e30\r\n",
    "byte order mark": b"\xef\xbb\xbfe30.e30.e30\n",
    "long line 1": b"e" * 5000 + b".e30.e30\n",
}


@pytest.mark.parametrize(
    ("path", "media_type", "length_max"),
    [
        ("/federation/v1/link", "application/interlets-envelope", 1 << 20),
        ("/federation/v1/join", "application/jose", 64 * 1024),
        ("/federation/v1/recovery", "application/jose", 64 * 1024),
        ("/federation/v1/cycle-file", "application/jose", 4096),
    ],
)
def test_what_no_server_signed_is_refused(
    unchanged: None,
    programs: dict[tuple[str, str], Caller],
    path: str,
    media_type: str,
    length_max: int,
) -> None:
    anyone, found = programs["hub", ""], []

    def send(case: str, raw: bytes, *statuses: int, **headers: str) -> None:
        sent = {"Content-Type": media_type} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        try:
            wrong = wrong_with(
                anyone.ask("POST", path, raw=raw, headers=sent), *statuses
            )
        except AwayError as error:
            wrong = "" if statuses == (413,) else str(error)
        if wrong:
            found.append(f"{case}: {wrong}")

    for case, raw in NO_ENVELOPES.items():
        send(case, raw, 400, 401, *(413,) * (len(raw) > length_max))
    send("too large", b"e" * (length_max + 1), 413)
    send("packed", gzip.compress(b"e30.e30.e30\n"), 415, Content_Encoding="gzip")
    if path.endswith("link"):
        send("JSON", b"{}", 415, Content_Type="application/json")
        send("no type", b"e30.e30.e30\n", 415, Content_Type="")
    assert not found, "\n".join(one[:90] for one in found)


def test_the_hub_tells_of_no_entry_that_nobody_has(
    unchanged: None, programs: dict[tuple[str, str], Caller]
) -> None:
    for group in ("x", "hub", "reserve", "%00", "%ff", "..%2f", "Oostende", "a" * 999):
        answer = programs["hub", ""].ask("GET", f"/federation/v1/recovery/{group}")
        assert not wrong_with(answer, 400, 404), (group, answer)


@pytest.mark.parametrize("server", ["hub", "oostende"])
def test_what_is_nowhere_is_a_problem_too(
    unchanged: None, programs: dict[tuple[str, str], Caller], server: str
) -> None:
    anyone = programs[server, ""]
    for path in ("/api/v1/nothing", "/api/v2/account", "/%00", "/%ff", "/api/v1//x"):
        for method in ("GET", "POST", "DELETE", "PATCH"):
            assert not wrong_with(anyone.ask(method, path, raw=b"{}"), 404), path
    for method in ("PUT", "PATCH", "TRACE", "PROPFIND"):
        answer = anyone.ask(method, "/api/v1/tokens", raw=b"{}")
        assert not wrong_with(answer, 405), (method, answer)


def test_a_body_that_never_ends_is_cut_off(
    unchanged: None, programs: dict[tuple[str, str], Caller]
) -> None:
    jan = programs["oostende", "jan"]
    head = (
        "POST /api/v1/transfers HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {jan.token}\r\nIdempotency-Key: bad-input\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    async def flood() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", jan.port)
        writer.write(head.encode())
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        try:
            for _ in range(1000):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        try:
            return await asyncio.wait_for(reader.readline(), 10)
        except ConnectionError:
            # It went on talking while it was told, and so did not hear it.
            return b" 413 "
        finally:
            writer.close()

    assert b" 413 " in asyncio.run(flood())
