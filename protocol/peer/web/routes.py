"""What people and their programs may ask, as a table: the server is built from it.

A route says who may ask, what is sent and what is answered. ``openapi`` describes
the API's part of the same table, so that what is written about it cannot drift from
it; pages are routes with a session in the place of a token.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

import msgspec
from aiohttp import web

from protocol.peer.web.pages import Pages
from protocol.peer.web.problems import Handler, ProblemAnswer
from protocol.peer.web.sign_in import Door, SignIn, TokenAnswer

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

#: Keeps a group's ledger.
TREASURER = "treasurer"
#: Runs a hub.
ADMIN = "admin"
#: Sees all that a treasurer, or at a hub its admin, sees, and changes nothing.
READER = "reader"
#: What a reader's token allows only to look at.
_READ_BY_READERS = (TREASURER, ADMIN, "read")


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method at one path.

    Attributes:
        method: of HTTP; a GET answers HEAD too.
        path: with names in braces, as ``/api/v1/transfers/{id}``.
        handler: answers; has a caller when ``scope`` is set.
        told: what it does, one sentence for programmers.
        scope: what a token must allow; ``None``: open to everyone. Where others only
            look, a reader may too.
        query: what may stand behind the ``?``, if anything.
        body: what JSON is sent, if any.
        answer: what JSON is answered with ``status``; ``None``: no JSON.
        status: when all went well.
        also: other statuses with the same answer, when all went well too.
        problem: what JSON is answered when it did not.
        media_type: of the answer.
        is_keyed: needs an ``Idempotency-Key``.
        may_wait: obeys ``Prefer: wait=N`` (RFC 7240).
        may_resume: obeys ``Last-Event-ID``.
        is_page: answers people with a page, and not described as API.
        form: of a page that changes something: the page whose form leads here.
    """

    method: Method
    path: str
    handler: Handler
    told: str
    scope: str | None
    answer: object
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    problem: type[ProblemAnswer] = ProblemAnswer
    media_type: str = "application/json"
    is_keyed: bool = False
    may_wait: bool = False
    may_resume: bool = False
    is_page: bool = False
    form: str | None = None

    @classmethod
    def page(
        cls,
        method: Method,
        path: str,
        handler: Handler,
        scope: str | None,
        *,
        form: str | None = None,
    ) -> Self:
        """Make the route of a page; what it does, its handler says."""
        return cls(
            method=method,
            path=path,
            handler=handler,
            told="",
            scope=scope,
            answer=None,
            media_type="text/html",
            is_page=True,
            form=form,
        )

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a token must allow one of; none: the route is open to everyone.

        Not written beside each route: nobody can forget it, or give a reader more.
        """
        if self.scope is None:
            return ()
        if self.scope in _READ_BY_READERS and self.method == "GET":
            return (self.scope, READER)
        return (self.scope,)


def definitions(
    table: Iterable[Route], door: Door, pages: Pages | None = None
) -> list[web.RouteDef]:
    """Give the table as aiohttp takes it, each route behind the door it needs."""
    return [_definition(route, door, pages) for route in table]


def _definition(route: Route, door: Door, pages: Pages | None) -> web.RouteDef:
    handler = route.handler
    if route.scopes and route.is_page:
        assert pages is not None, "a server with pages has what shows them"
        handler = pages.guard(handler, route.scopes, route.form)
    elif route.scopes:
        handler = door.guard(handler, *route.scopes)
    if route.method == "GET":
        return web.get(route.path, handler)
    return web.route(route.method, route.path, handler)


def token_route(door: Door) -> Route:
    """Give the one route that every server has: signing in."""
    return Route(
        method="POST",
        path="/api/v1/tokens",
        handler=door.post_token,
        told="Trade name and password, or a one-time code, for a bearer token.",
        scope=None,
        body=SignIn,
        answer=TokenAnswer,
        status=201,
    )
