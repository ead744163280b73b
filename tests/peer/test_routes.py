"""The table of routes and what is described of it are one thing."""

from typing import Annotated

import msgspec
import pytest
from aiohttp import web
from msgspec import Meta

from protocol.peer.web.openapi import describe
from protocol.peer.web.problems import ProblemAnswer
from protocol.peer.web.routes import Route


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked."""

    name: Annotated[str, Meta(pattern=r"^[a-z]{1,3}\Z")]
    page_size: Annotated[int, Meta(ge=1, le=200)] = 50


class Reply(msgspec.Struct, frozen=True):
    """What is answered."""

    question: Question
    amount: int | None


async def post_question(_request: web.Request) -> web.Response:
    return web.Response()


def route(**changes: object) -> Route:
    fields: dict[str, object] = {
        "method": "POST",
        "path": "/api/v1/questions/{id}",
        "handler": post_question,
        "told": "Ask.",
        "scope": "pay",
        "query": Question,
        "body": Question,
        "answer": Reply,
        "status": 201,
        "is_keyed": True,
    }
    return Route(**(fields | changes))  # type: ignore[arg-type]


def test_an_operation_names_all_that_its_route_says() -> None:
    found = msgspec.json.decode(msgspec.json.encode(describe("Test", [route()])))
    asked = found["paths"]["/api/v1/questions/{id}"]["post"]
    assert asked["security"] == [{"token": ["pay"]}]
    named = {one["name"]: one["in"] for one in asked["parameters"]}
    assert named == {
        "id": "path",
        "name": "query",
        "page_size": "query",
        "Idempotency-Key": "header",
    }
    sent = asked["requestBody"]["content"]["application/json"]["schema"]
    assert sent == {"$ref": "#/components/schemas/Question"}
    assert set(asked["responses"]) == {"201", "4XX", "503"}
    assert found["components"]["schemas"]["Reply"]["required"] == ["question", "amount"]


@pytest.mark.parametrize(
    ("method", "scope", "scopes"),
    [
        ("GET", "treasurer", ("treasurer", "reader")),
        ("POST", "treasurer", ("treasurer",)),
        ("PUT", "treasurer", ("treasurer",)),
        ("PATCH", "treasurer", ("treasurer",)),
        ("DELETE", "treasurer", ("treasurer",)),
        ("GET", "read", ("read", "reader")),
        ("POST", "read", ("read",)),
        ("GET", "admin", ("admin", "reader")),
        ("POST", "admin", ("admin",)),
        ("GET", "pay", ("pay",)),
        ("GET", None, ()),
    ],
)
def test_a_reader_looks_where_others_do_and_changes_nothing(
    method: str, scope: str | None, scopes: tuple[str, ...]
) -> None:
    made = route(method=method, scope=scope)
    assert made.scopes == scopes
    found = msgspec.json.decode(msgspec.json.encode(describe("Test", [made])))
    asked = found["paths"]["/api/v1/questions/{id}"][method.lower()]
    assert asked["security"] == [{"token": [one]} for one in scopes]


def test_every_status_of_a_route_is_described_with_its_answer() -> None:
    found = msgspec.json.decode(
        msgspec.json.encode(describe("Test", [route(also=(200,))]))
    )
    answers = found["paths"]["/api/v1/questions/{id}"]["post"]["responses"]
    assert set(answers) == {"200", "201", "4XX", "503"}
    assert answers["200"] == answers["201"]


class Doubt(ProblemAnswer, frozen=True, kw_only=True):
    """Why there is no reply."""

    nearest: int = 0


def test_a_refusal_that_says_more_is_described_with_it() -> None:
    found = msgspec.json.decode(
        msgspec.json.encode(describe("Test", [route(problem=Doubt)]))
    )
    answers = found["paths"]["/api/v1/questions/{id}"]["post"]["responses"]
    named = {
        status: answers[status]["content"]["application/problem+json"]["schema"]["$ref"]
        for status in ("4XX", "503")
    }
    schemas = "#/components/schemas/"
    assert named == {"4XX": f"{schemas}Doubt", "503": f"{schemas}ProblemAnswer"}
    assert "nearest" in found["components"]["schemas"]["Doubt"]["properties"]


def test_a_pattern_ends_as_json_schema_knows_it() -> None:
    found = msgspec.json.encode(describe("Test", [route()])).decode()
    assert r"\\Z" not in found
    assert "^[a-z]{1,3}$" in found


def test_an_open_route_asks_for_no_token() -> None:
    found = describe("Test", [route(scope=None, body=None, query=None)])
    written = msgspec.json.decode(msgspec.json.encode(found))
    asked = written["paths"]["/api/v1/questions/{id}"]["post"]
    assert asked["security"] == []
    assert "requestBody" not in asked
