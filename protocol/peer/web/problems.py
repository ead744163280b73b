"""Errors as people and programs read them: problem details (RFC 9457)."""

import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from protocol.errors import (
    InterletsError,
    MalformedMessageError,
    NotSignedError,
    OutageError,
    RestoredError,
    ServerRefusalCode,
    WeakKeyError,
)
from protocol.peer.database import AWAY
from protocol.peer.metrics import Metrics
from protocol.peer.web.words import Language, preferred, refusal

_LOG = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
#: Types are names, not places: nothing is fetched from them.
TYPE_PREFIX = "urn:interlets:problem:"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ProblemAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer that is not the one asked for (RFC 9457).

    ``code`` is the protocol's refusal code, where one applies.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str = ""


class Problem(Exception):  # noqa: N818  a lawful answer, raised only to leave early
    """An answer that is not the one asked for.

    Args:
        status: HTTP status, 4xx or 503.
        kind: stable name, the end of ``type``.
        detail: a sentence: what was found, what was expected.
        code: the protocol's refusal code, if one applies.
        headers: more headers.
        extra: more members of the JSON object, and what a code's sentence names.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.code = code
        self.headers = headers or {}
        self.extra = extra or {}

    def response(self, language: Language = "en") -> web.Response:
        """Write it as RFC 9457 says; a refusal in the reader's language."""
        told = msgspec.to_builtins(self.answer(language))
        return web.Response(
            status=self.status,
            body=msgspec.json.encode({**told, **self.extra}),
            content_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )

    def answer(self, language: Language = "en") -> ProblemAnswer:
        """Give the members of the JSON object but for ``extra``."""
        return ProblemAnswer(
            type=TYPE_PREFIX + self.kind,
            title=self.kind.replace("-", " "),
            status=self.status,
            detail=self._told(language),
            code=self.code or "",
        )

    def _told(self, language: Language) -> str:
        if not self.code:
            return self.detail
        return refusal(self.code, language, self.extra)


def language_of(request: web.Request) -> Language:
    """Say in which language the caller wants to read."""
    return preferred(request.headers.get("Accept-Language", ""))


def outage(error: Exception) -> Problem:
    """Say that something is away for now, and to ask again."""
    return Problem(503, "outage", str(error), headers={"Retry-After": "1"})


def middleware(metrics: Metrics) -> Middleware:
    """Make the middleware that turns what was raised into an answer."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(request, handler)
        metrics.requests.labels(_route(request), str(response.status)).inc()
        return response

    return answer


def _route(request: web.Request) -> str:
    """Give the path with names in braces, or ``none``."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return of_http(error).response()
    except (Problem, InterletsError, TimeoutError, *AWAY) as error:
        problem = as_problem(error)
        if problem.status >= 500:
            # Not the path itself: whom somebody looked for stays out of the log.
            _LOG.warning("%s %s: %s", request.method, _route(request), error)
        return problem.response(language_of(request))


def as_problem(error: BaseException) -> Problem:
    """Say as a problem what a handler raised; what is our own bug is raised on."""
    match error:
        case Problem():
            return error
        case MalformedMessageError():
            return Problem(400, "malformed", str(error))
        case WeakKeyError():
            return Problem(400, "weak-key", str(error))
        case NotSignedError():
            return Problem(401, "not-signed", str(error))
        case RestoredError():
            code = ServerRefusalCode.RESTORED
            headers = {"Retry-After": "30"}
            return Problem(503, "refused", str(error), code=code, headers=headers)
        case OutageError():
            return outage(error)
        case _ if isinstance(error, (TimeoutError, *AWAY)):
            return outage(OutageError("the database is away; try again in a moment"))
        case _:
            raise error


def of_http(error: web.HTTPException) -> Problem:
    """Say as a problem what the server itself found wrong with a request."""
    told = {
        404: "There is nothing at this address.",
        405: "This address does not know that method.",
        413: "The body is too large.",
    }
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    kind = (error.reason or "error").lower().replace(" ", "-")
    detail = told.get(error.status, error.reason or "It cannot be answered.")
    return Problem(error.status, kind, detail, headers=headers)
