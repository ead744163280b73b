"""What each server says of its API is true: valid, whole, and how it answers.

Everything asked here is drawn from the servers' own descriptions, so a new route is
tried without a word added. A federation of its own, since nobody knows beforehand
what a drawn request does; afterwards it must still stand.
"""

import asyncio
import contextlib
import copy
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import jsonschema
import openapi_spec_validator
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    status_code_conformance,
)

from clearing import app as hub_app
from nodes import app as node_app
from protocol.peer import access_store, runner
from protocol.peer.clock import Clock
from protocol.peer.settings import load
from protocol.peer.web.routes import READER
from protocol.peer.web.sign_in import MEMBER_SCOPES
from tests.federation.callers import Caller
from tests.federation.conftest import Databases
from tests.federation.world import Federation

METHODS = ("get", "put", "post", "delete", "patch")
PROBLEM = "application/problem+json"
#: Requests drawn for each server and role, over all operations and for one at most.
DRAWN, DRAWN_SLOWLY = (400, 30), (4000, 200)
ANSWER_S = 20
CHECKS = [status_code_conformance, content_type_conformance, negative_data_rejection]


@dataclass(frozen=True)
class Described:
    """A server, what it says of itself, and a way to get tokens.

    Attributes:
        name: of the server.
        url: where it answers.
        document: its description.
        grant: makes a token for a person with these scopes, past every door.
    """

    name: str
    url: str
    document: dict[str, Any]
    grant: Callable[[str, set[str]], str] = field(repr=False)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                assert method in METHODS
                yield method.upper(), path, operation

    def scopes(self) -> set[str]:
        return {scope for *_, one in self.operations() for scope in scopes_of(one)}

    def schema(self) -> Any:
        """Give what requests are drawn from.

        Tokens are our own matter, and nobody waits, by ``Prefer``, for nothing.
        """
        document = copy.deepcopy(self.document)
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["security"] = []
                named = operation["parameters"]
                operation["parameters"] = [
                    one for one in named if one["name"] != "Prefer"
                ]
        return schemathesis.openapi.from_dict(document)


def scopes_of(operation: dict[str, Any]) -> set[str]:
    return {name for one in operation["security"] for name in one["token"]}


def assert_fits(
    document: dict[str, Any], operation: dict[str, Any], found: Any
) -> None:
    """Compare an answer's JSON with the schema that is described for its status.

    Not schemathesis: it misreads ``prefixItems``, which is how a tuple is described.
    """
    status = str(found.status_code)
    # "Nobody answers there now" is a lawful answer, and it has a code.
    is_lawful = status == "503" and "code" in found.json()
    assert found.status_code < 500 or is_lawful, (status, found.text)
    answers = operation["responses"]
    described = answers.get(status) or answers[f"{status[0]}XX"]
    media_type = found.headers["content-type"][0].partition(";")[0]
    content = described["content"].get(media_type)
    if content is None or not media_type.endswith("json"):
        return
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(found.json())


def is_stream(operation: dict[str, Any]) -> bool:
    return any(
        "text/event-stream" in answer.get("content", {})
        for answer in operation["responses"].values()
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[pathlib.Path]:
    made = pathlib.Path(tempfile.mkdtemp(prefix="interlets-openapi-"))
    yield made
    with contextlib.suppress(OSError):
        shutil.rmtree(made)


@pytest.fixture(scope="module")
def own_databases(postgres_server: str, folder: pathlib.Path) -> Iterator[Databases]:
    made = Databases(postgres_server, folder)
    yield made
    made.drop()


@pytest.fixture(scope="module")
def asked(folder: pathlib.Path, own_databases: Databases) -> Iterator[Federation]:
    """A federation of this module's own; it must stand when all is done."""
    servers = folder / "servers"
    servers.mkdir()
    federation = Federation(servers, own_databases)
    try:
        federation.found()
        yield federation
        for server in federation.servers:
            server.wait_ready()
            bad = [line for line in server.log_lines() if "Traceback" in line]
            assert not bad, f"{server.name}: {bad[:3]}"
            own_databases.run(server.name, assert_sums_to_zero)
    finally:
        federation.close()


async def assert_sums_to_zero(connection: "asyncpg.Connection[Any]") -> None:
    rows = await connection.fetch("SELECT unit, sum(balance) FROM account GROUP BY 1")
    assert {total for _, total in rows} == {0}


async def give_token(
    connection: "asyncpg.Connection[Any]",
    name: str,
    scopes: set[str],
    given_tokens: list[str],
) -> None:
    person = await access_store.read_person(connection, name)
    assert person is not None, name
    now = Clock().now()
    token, _ = await access_store.new_token(connection, person.person_id, scopes, now)
    given_tokens.append(token)


@pytest.fixture(scope="module")
def servers(asked: Federation, own_databases: Databases) -> dict[str, Described]:
    found = {}
    for name in ("hub", "oostende"):

        def grant(person: str, scopes: set[str], name: str = name) -> str:
            tokens: list[str] = []
            own_databases.run(name, give_token, person, scopes, tokens)
            return tokens[0]

        port = asked.server(name).port
        document = Caller(port).get("/api/openapi.json")
        found[name] = Described(name, f"http://127.0.0.1:{port}", document, grant)
    return found


@pytest.fixture(params=["hub", "oostende"])
def server(request: pytest.FixtureRequest, servers: dict[str, Described]) -> Described:
    return servers[request.param]


def test_the_description_is_valid_openapi(server: Described) -> None:
    assert server.document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(server.document)


def test_every_operation_has_a_name_of_its_own(server: Described) -> None:
    names = [one["operationId"] for *_, one in server.operations()]
    assert len(names) == len(set(names))


def registered(
    asked: Federation, name: str, monkeypatch: pytest.MonkeyPatch
) -> set[tuple[str, str]]:
    """Build a server as ``serve`` does, stop short of serving, and list its routes."""
    found: set[tuple[str, str]] = set()

    async def look(server: runner.Server) -> None:
        for route in runner._application(server).router.routes():
            assert route.resource is not None
            found.add((route.method, route.resource.canonical))

    monkeypatch.setattr(runner, "serve", look)
    monkeypatch.setattr(runner, "configure_log", lambda *_: None)
    application = hub_app if name == "hub" else node_app
    asyncio.run(application.serve(load(asked.server(name).config, {})))
    return found


def test_all_that_is_registered_is_described_and_nothing_else(
    asked: Federation, server: Described, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registered(asked, server.name, monkeypatch)
    described = {(method, path) for method, path, _ in server.operations()}
    assert len(described) > 1
    there = {
        (method, path)
        for method, path in found
        # Every GET answers HEAD too; the description does not tell of itself.
        if path.startswith("/api/") and method != "HEAD"
    }
    assert there - {("GET", "/api/openapi.json")} == described


def for_each(
    strategy: st.SearchStrategy[Case], most: int, look: Callable[[Case], None]
) -> None:
    """Draw requests and look at each; the same ones in every run."""

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=most,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def looked_at(case: Case) -> None:
        look(case)

    looked_at()


# Route by role.

#: An object that is nobody's, in every form that a path has so far.
NOBODYS = "00000000-0000-8000-8000-000000000000"


def ask(
    server: Described, method: str, path: str, token: str | None, **more: Any
) -> requests.Response:
    headers = {"Idempotency-Key": "by-role"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    with requests.Session() as session:
        session.trust_env = False
        return session.request(
            method,
            server.url + path.replace("{", "").replace("}", ""),
            headers=headers,
            timeout=ANSWER_S,
            **more,
        )


def assert_problem(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status, (answer.request.url, answer.text)
    assert answer.headers["Content-Type"].startswith(PROBLEM)
    assert answer.json()["status"] == status


def people(server: Described) -> tuple[str, ...]:
    return ("@admin",) if server.name == "hub" else ("jan", "@treasurer")


@pytest.mark.parametrize("token", [None, "x", "0" * 43])
def test_without_a_token_that_counts_nothing_is_told(
    server: Described, token: str | None
) -> None:
    for method, path, operation in server.operations():
        if operation["security"]:
            answer = ask(server, method, path, token, json={})
            assert_problem(answer, 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_that_lacks_the_scope_is_not_enough(server: Described) -> None:
    for method, path, operation in server.operations():
        needed = scopes_of(operation)
        if not needed:
            continue
        for person in people(server):
            token = server.grant(person, server.scopes() - needed)
            assert_problem(ask(server, method, path, token, json={}), 403)


def test_a_reader_looks_at_everything_and_changes_nothing(
    servers: dict[str, Described],
) -> None:
    server = servers["oostende"]
    for method, path, operation in server.operations():
        needed = scopes_of(operation)
        if not needed or is_stream(operation):
            continue
        assert (READER in needed) is (method == "GET"), path
        # A new one each time: some operations end what lets her in.
        token = server.grant("@treasurer", {READER})
        answer = ask(server, method, path, token, json={})
        if method == "GET":
            assert answer.status_code not in (401, 403), (path, answer.text)
        else:
            assert_problem(answer, 403)


def test_someone_elses_object_is_not_there(
    asked: Federation, servers: dict[str, Described]
) -> None:
    """Whatever the id is of, another member's transfer stands in its place."""
    server = servers["oostende"]
    theirs = asked.end_of(asked.pay("marie@oostende", "bob@mechelen", 3))["id"]
    token = server.grant("jan", server.scopes())
    schema = server.schema()
    tried = 0
    for method, path, operation in server.operations():
        members = {*MEMBER_SCOPES, "batch", READER}
        if "{id}" not in path or not scopes_of(operation) <= members:
            continue
        tried += 1
        in_path = {"id": theirs}
        strategy = schema[path][method].as_strategy(path_parameters=in_path)
        statuses: list[int] = []

        def someone_asks(case: Case, statuses: list[int] = statuses) -> None:
            statuses.append(send(server, case, token).status_code)

        for_each(strategy, 3, someone_asks)
        # A body may be wrong before the path is looked at, but not every time.
        assert 404 in statuses, (method, path, statuses)
        assert {*statuses} <= {400, 404}, (method, path, statuses)
    assert tried >= 2


# What is drawn from the description.


@pytest.fixture(scope="module")
def words(asked: Federation) -> dict[str, list[str]]:
    """What a name in a path or body may well be, so that not all is nonsense."""
    accounts = ["jan", "marie", "nobody"]
    groups = ["oostende", "mechelen", "gent"]
    addresses = ["bob@mechelen", "rik@oostende", "jan@oostende", "nobody@gent"]
    transfers = [
        asked.end_of(asked.pay(payer, "bob@mechelen", 3))["id"]
        for payer in ("jan@oostende", "lies@oostende")
    ]
    link = asked.member("bob@mechelen").ask("POST", "/api/v1/asks", {"amount": 1})
    return {
        "to": addresses,
        "address": addresses,
        "account": accounts,
        "name": ["jan", "Jan"],
        "group": groups,
        "id": [*transfers, NOBODYS],
        "ask": [link.told["link"]],
    }


def send(server: Described, case: Case, token: str) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        return case.call(
            base_url=server.url,
            session=session,
            headers={"Authorization": f"Bearer {token}"},
            timeout=ANSWER_S,
        )


@st.composite
def cases(
    draw: st.DrawFn, strategy: st.SearchStrategy[Case], words: dict[str, list[str]]
) -> Case:
    """A drawn request in which, now and then, a name is one that exists."""
    case = draw(strategy)
    parts: list[Any] = [case.path_parameters, case.query, case.body]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            for name, found in part.items():
                if isinstance(found, str) and name in words and draw(st.booleans()):
                    part[name] = draw(st.sampled_from(words[name]))
            parts += part.values()
    return case


def wrongs(
    server: Described, person: str, words: dict[str, list[str]], drawn: tuple[int, int]
) -> list[str]:
    """Ask everything that is described, many times over; gives what was not so."""
    schema = server.schema()
    operations = [one for one in server.operations() if not is_stream(one[2])]
    over_all, for_one = drawn
    most = max(2, min(for_one, over_all // len(operations)) // len(GenerationMode))
    found = []
    for method, path, operation in operations:
        # A new one each time: some operations end the token that asks.
        token = server.grant(person, server.scopes())
        for mode in GenerationMode:
            strategy = schema[path][method].as_strategy(generation_mode=mode)

            def is_as_described(
                case: Case, token: str = token, operation: Any = operation
            ) -> None:
                response = send(server, case, token)
                case.validate_response(response, checks=CHECKS)
                assert_fits(server.document, operation, response)

            try:
                for_each(cases(strategy, words), most, is_as_described)
            except Unsatisfiable:
                # Where any text will do in the path and no body is sent, none is wrong.
                assert mode is GenerationMode.NEGATIVE
                assert "requestBody" not in operation
            except FailureGroup as failures:
                found.append(f"{method} {path} as {person}: {failures.exceptions}")
            except (jsonschema.ValidationError, AssertionError) as error:
                found.append(f"{method} {path} as {person}: {str(error)[:500]}")
    return found


def all_wrongs(
    server: Described, words: dict[str, list[str]], drawn: tuple[int, int]
) -> list[str]:
    return [
        wrong
        for person in people(server)
        for wrong in wrongs(server, person, words, drawn)
    ]


def test_every_answer_is_as_described(
    server: Described, words: dict[str, list[str]]
) -> None:
    assert all_wrongs(server, words, DRAWN) == []


@pytest.mark.slow
def test_every_answer_is_as_described_at_length(
    server: Described, words: dict[str, list[str]]
) -> None:
    assert all_wrongs(server, words, DRAWN_SLOWLY) == []
