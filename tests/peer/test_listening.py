"""What is no HTTP, or expects too much, is answered and logged in our own words."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from protocol.peer.metrics import Metrics
from protocol.peer.web import problems
from protocol.peer.web.listening import listen, name_nobody
from protocol.peer.web.problems import Handler
from protocol.peer.web.requests import json_response, read_body

SECRET = b"marie-0123456789"
HOST = b"Host: here\r\nConnection: close\r\n"


async def get_health(_request: web.Request) -> web.Response:
    return json_response({"alive": True})


async def post_body(request: web.Request) -> web.Response:
    return json_response({"length": len(await read_body(request, 1000))})


async def get_bug(_request: web.Request) -> web.Response:
    raise ZeroDivisionError


@asynccontextmanager
async def server(handler: Handler = get_health) -> AsyncIterator[int]:
    application = web.Application(middlewares=[problems.middleware(Metrics())])
    application.on_response_prepare.append(name_nobody)
    application.add_routes([web.get("/healthz", handler), web.post("/b", post_body)])
    runner = web.AppRunner(application)
    await runner.setup()
    listening = await listen(runner, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await runner.cleanup()


async def send(port: int, raw: bytes) -> tuple[int, str, bytes]:
    """Send bytes; gives status, head and body of the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(10):
            told = await reader.read()
    finally:
        writer.close()
    head, _, body = told.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head.decode("latin-1"), body


def check_problem(status: int, head: str, body: bytes) -> None:
    assert "content-type: application/problem+json" in head.lower()
    assert "cache-control: no-store" in head.lower()
    assert "server: interlets\r\n" in f"{head}\r\n".lower()
    assert msgspec.json.decode(body)["status"] == status


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /healthz?name=%s HTTP/1.1\r\n" + HOST + b"X: \x01\x00\r\n\r\n",
        b"GET /payees?name=%s and more HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Authorization %s\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Bad\x00: Bearer %s\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: %s\r\n\r\n",
        b"%s\r\n\r\n",
        b"POST /b HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n%s\r\n",
        b"POST /b HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc%s\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: %s" + b"x" * 9000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_repeated_nowhere(
    raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with server() as port:
        status, head, body = await send(port, raw.replace(b"%s", SECRET))
    assert status == 400
    check_problem(status, head, body)
    check_silent(caplog, head, body)


def check_silent(caplog: pytest.LogCaptureFixture, head: str, body: bytes) -> None:
    logged = "\n".join(
        f"{record.getMessage()} {record.exc_info}" for record in caplog.records
    )
    for told in (head, body.decode(), logged, caplog.text):
        assert SECRET.decode() not in told
    assert all(record.levelno == logging.INFO for record in caplog.records)
    assert len(caplog.records) <= 1


@pytest.mark.parametrize("path", [b"/healthz", b"/nothing-here"])
@pytest.mark.parametrize(
    "expected", [b"foo", b"\xff", b"100-continue, foo", b"100-continue\r\nExpect: a"]
)
async def test_only_what_http_knows_may_be_expected(
    path: bytes, expected: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with server() as port:
        raw = b"GET %s HTTP/1.1\r\n%sExpect: %s\r\n\r\n" % (path, HOST, expected)
        status, head, body = await send(port, raw)
    assert status == 417
    check_problem(status, head, body)
    assert caplog.records == []


async def test_a_client_may_wait_before_its_body() -> None:
    async with server() as port:
        raw = b"POST /b HTTP/1.1\r\n" + HOST
        raw += b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc"
        status, _, rest = await send(port, raw)
        assert status == 100
        assert b"HTTP/1.1 200 OK\r\n" in rest
        assert rest.endswith(b'{"length":3}')


@pytest.mark.parametrize("path", [b"/healthz", b"/nothing-here"])
async def test_no_answer_names_versions(path: bytes) -> None:
    async with server() as port:
        _, head, _ = await send(
            port, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        )
    assert "\r\nServer: Interlets" in head
    assert "aiohttp" not in head
    assert "Cache-Control: no-store" in head


async def test_our_own_bug_is_logged_and_answered_as_a_problem(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with server(get_bug) as port:
        told = await send(port, b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    check_problem(*told)
    assert told[0] == 500
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError
