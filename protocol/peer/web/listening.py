"""What the HTTP library would answer, or log, by itself: said in our own words.

A request that is no HTTP reaches no route. The library would repeat its text in the
answer and in the log, and a password or a name that somebody looks for may stand there.
"""

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from protocol.peer.web.problems import Problem

#: What a client sent is no HTTP, from its first line or from somewhere in its body.
_NO_HTTP = (HttpProcessingError, web.RequestPayloadError)
_LOG = logging.getLogger(__name__)
#: The library's own names its version, and that of Python.
_SERVER = {"Server": "Interlets"}


class Connection(web.RequestHandler):
    """One client's connection; what goes wrong outside of routes is told by us."""

    # typing.override came with Python 3.12.
    def handle_error(  # type: ignore[explicit-override]
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or our own bug, without repeating the request."""
        del message
        self.log_exception("a request met a bug here", exc_info=exc)
        if status < 500 or isinstance(exc, _NO_HTTP):
            told = "This is no HTTP that can be read here."
            problem = Problem(400, "bad-request", told)
        else:
            told = "This server made a mistake, and its keeper can read which."
            problem = Problem(status, "server-error", told)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer has gone out already")
        response = problem.response()
        response.headers.update(_SERVER)
        response.force_close()
        return response

    # As above.
    def log_exception(  # type: ignore[explicit-override]
        self, *args: Any, **kw: Any
    ) -> None:
        """Log our own bug whole; of what is no HTTP, only of which kind it is."""
        error = kw.get("exc_info")
        if isinstance(error, _NO_HTTP):
            # Not the error's text: it holds what was sent.
            _LOG.info("a request was no HTTP: %s", type(error).__name__)
        else:
            _LOG.error(*args, **kw)


async def listen(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    """Take connections for an application; whoever closes the runner closes this first.

    Args:
        runner: set up.
        host: to listen on.
        port: to listen on; 0 for any.

    Raises:
        OSError: this machine does not let us listen there.
    """
    loop = asyncio.get_running_loop()
    server = runner.server
    assert server is not None, "the runner is set up"
    answer = server.request_handler

    async def meet(request: web.BaseRequest) -> web.StreamResponse:
        # Before the application, which meets expectations outside of its middlewares.
        return _unmet(request) or await answer(request)

    server.request_handler = meet
    return await loop.create_server(
        # Nothing is ever unpacked; else aiohttp itself answers an encoding it lacks.
        lambda: Connection(
            server,
            loop=loop,
            auto_decompress=False,
            # It is None for none, whatever its type says.
            access_log=None,  # type: ignore[arg-type]
        ),
        host,
        port,
        backlog=128,
    )


async def name_nobody(_request: web.Request, response: web.StreamResponse) -> None:
    """Let no answer say which versions run here (``on_response_prepare``)."""
    response.headers.update(_SERVER)


def _unmet(request: web.BaseRequest) -> web.StreamResponse | None:
    """Refuse what a client expects, unless it is the one thing that HTTP knows."""
    expected = request.headers.getall("Expect", [])
    if not expected or request.version != HttpVersion11:
        return None
    if len(expected) == 1 and expected[0].lower() == "100-continue":
        return None
    told = "Of Expect, this server knows 100-continue, once."
    problem = Problem(417, "expectation-failed", told)
    response = problem.response()
    response.headers.update(_SERVER)
    # A body that was held back for this answer is not read.
    response.force_close()
    return response
