"""A command asks the server that runs under the same settings, over its own API.

Only the server's clerk writes its ledger, so a command beside it goes through the
same door as everyone else. Whoever can read the settings may already do anything
here; the token made for the one request is known to nobody else and ends with it.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import NamedTuple

import aiohttp
import msgspec

from protocol.errors import InterletsError, OutageError
from protocol.peer import access_store
from protocol.peer.clock import Clock
from protocol.peer.database import Database
from protocol.peer.settings import ServerSettings, Settings

#: Every address of this machine, and the one to reach such a server by.
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_ANSWER_S = 60
_SERVER_ERROR = 500


class AnsweredNoError(InterletsError):
    """The server said no, and why."""


class Staff(NamedTuple):
    """Who runs a server: the name she signs in with, and what she may do."""

    name: str
    scopes: Collection[str]


def ask(
    settings: Settings,
    staff: Staff,
    method: str,
    path: str,
    body: object = None,
    *,
    key: str | None = None,
) -> dict[str, object]:
    """Ask the running server for something, as the one who runs it.

    Args:
        settings: the server's own.
        staff: its treasurer or regional admin.
        method: of HTTP.
        path: with its query, quoted.
        body: sent as JSON, if anything.
        key: an Idempotency-Key, where one is needed.

    Raises:
        AnsweredNoError: the server's own sentence.
        OutageError: no server runs there, or it cannot answer now.
    """
    headers = {} if key is None else {"Idempotency-Key": key}
    raw = asyncio.run(_ask(settings, staff, method, path, body, headers))
    return _read(raw, _url(settings.server)) if raw else {}


def ask_file(settings: Settings, staff: Staff, path: str) -> bytes:
    """Ask the running server for a file, as the one who runs it; raises as ``ask``."""
    return asyncio.run(_ask(settings, staff, "GET", path, None, {}))


async def _ask(
    settings: Settings,
    staff: Staff,
    method: str,
    path: str,
    body: object,
    headers: Mapping[str, str],
) -> bytes:
    database = await Database.open(settings.database)
    try:
        now = Clock(settings.test.clock_offset_ms).now()
        async with database.desk.acquire() as connection, connection.transaction():
            token = await access_store.new_errand(connection, *staff, now)
        try:
            return await _exchange(
                _url(settings.server) + path, token, method, body, headers
            )
        finally:
            async with database.desk.acquire() as connection:
                await access_store.end_token(connection, token)
    finally:
        await database.close()


def _url(server: ServerSettings) -> str:
    host, port = server.address()
    host = _ANYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _exchange(
    url: str, token: str, method: str, body: object, headers: Mapping[str, str]
) -> bytes:
    given = {"Authorization": f"Bearer {token}", **headers}
    data = None
    if body is not None:
        data = msgspec.json.encode(body)
        given["Content-Type"] = "application/json"
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.request(
                method, url, data=data, headers=given, allow_redirects=False
            ) as response,
        ):
            raw, status = await response.read(), response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        told = "this server does not answer; is it running? start it with: serve"
        raise OutageError(f"{told} ({error})") from None
    if 200 <= status < 300:
        return raw
    detail = str(_read(raw, url).get("detail", status) if raw else status)
    if status >= _SERVER_ERROR:
        raise OutageError(detail)
    raise AnsweredNoError(detail)


def _read(raw: bytes, url: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.MsgspecError:
        raise OutageError(f"what answers at {url} is no Interlets server") from None
