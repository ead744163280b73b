"""The description of a server's API (OpenAPI 3.1), made from its table of routes.

Schemas come from the very structs that read and write the JSON; nothing here is
written by hand twice.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import web

from protocol.address import IDEMPOTENCY_KEY_LENGTH_MAX
from protocol.peer.web import problems
from protocol.peer.web.requests import WAIT_S_MAX
from protocol.peer.web.routes import Route

#: Where every server describes its API.
PATH = "/api/openapi.json"
_REF = "#/components/schemas/{name}"
_NAME_IN_PATH = re.compile(r"\{([a-z_]+)\}")
_KEY = rf"^[!-~]{{1,{IDEMPOTENCY_KEY_LENGTH_MAX}}}$"


def describe(title: str, table: Sequence[Route]) -> dict[str, object]:
    """Describe a server's API.

    Args:
        title: whose API it is.
        table: its routes.
    """
    kinds = list(_kinds(table))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of = dict(zip((id(kind) for kind in kinds), schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for route in table:
        operation = _operation(route, schema_of)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": "1",
            "description": (
                "Amounts are whole minor units with the unit beside them, or "
                "milliseconds of time. Errors are problem details (RFC 9457)."
            ),
            "license": {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
        },
        "paths": paths,
        "components": {
            "schemas": _portable(components),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def definition(title: str, table: Sequence[Route]) -> web.RouteDef:
    """Give the route that answers with the description of a table."""
    described = msgspec.json.encode(describe(title, table))

    async def get_openapi(_request: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    return web.get(PATH, get_openapi)


def _kinds(table: Iterable[Route]) -> Iterable[object]:
    """List every type that the table names, each object once."""
    seen: dict[int, object] = {id(problems.ProblemAnswer): problems.ProblemAnswer}
    for route in table:
        for kind in (route.body, route.answer, route.problem):
            if kind is not None:
                seen[id(kind)] = kind
    return seen.values()


def _operation(route: Route, schema_of: Mapping[int, object]) -> dict[str, object]:
    content = {}
    if route.answer is not None:
        content = {route.media_type: {"schema": schema_of[id(route.answer)]}}
    good = {"description": "As asked.", "content": content}
    operation: dict[str, object] = {
        "operationId": route.handler.__name__,
        "summary": route.told,
        "parameters": list(_parameters(route)),
        "responses": {
            **{str(status): good for status in (route.status, *route.also)},
            "4XX": _problem(
                "It cannot be done as asked; nothing was changed.",
                schema_of[id(route.problem)],
            ),
            "503": _problem(
                "Something is away for now; ask again.",
                schema_of[id(problems.ProblemAnswer)],
            ),
        },
        "security": [{"token": [scope]} for scope in route.scopes],
    }
    if route.body is not None:
        schema = schema_of[id(route.body)]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _problem(told: str, schema: object) -> dict[str, object]:
    return {
        "description": told,
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
    }


def _parameters(route: Route) -> Iterable[dict[str, object]]:
    for name in _NAME_IN_PATH.findall(route.path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
    if route.query is not None:
        yield from _query_parameters(route.query)
    if route.is_keyed:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "The caller's own name for the order; kept for ever.",
            "schema": {"type": "string", "pattern": _KEY},
        }
    if route.may_wait:
        yield {
            "name": "Prefer",
            "in": "header",
            "description": f"wait=N, at most {WAIT_S_MAX} seconds (RFC 7240).",
            "schema": {"type": "string", "pattern": "^wait=[0-9]{1,2}$"},
        }
    if route.may_resume:
        yield {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event seen; all since then is told.",
            "schema": {"type": "string"},
        }


def _query_parameters(query: type[msgspec.Struct]) -> Iterable[dict[str, object]]:
    _, components = msgspec.json.schema_components([query], ref_template=_REF)
    schema = _portable(components[query.__name__])
    assert isinstance(schema, dict)
    required = schema.get("required", [])
    for name, described in schema["properties"].items():
        yield {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": described,
        }


def _portable(value: object) -> object:
    """Write the end of a pattern as JSON Schema knows it (ECMA-262)."""
    if isinstance(value, dict):
        return {
            name: one.replace(r"\Z", "$") if name == "pattern" else _portable(one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_portable(one) for one in value]
    return value
