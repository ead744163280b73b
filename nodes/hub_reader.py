"""Reads what the hub publishes for everyone: its log and its evidence.

Nothing that is read here is believed as it comes: whoever asks verifies it.
"""

import asyncio

import aiohttp

from protocol.errors import MalformedMessageError, OutageError
from protocol.peer.reading import read_up_to

_ANSWER_S = 10
_SIGNED_TYPE = "application/jose"
#: The hub, or a proxy before it, is asked too much by somebody: no lie of the hub's.
_TOO_MANY = 429
_BROKEN_OFF = (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError)


class HubReader:
    """One visit to the hub; an async context.

    Args:
        hub_url: where the hub is.
        answer_s: how long to wait for a whole answer.
    """

    def __init__(self, hub_url: str, answer_s: float = _ANSWER_S) -> None:
        self._url = f"{hub_url}/federation/v1"
        self._answer_s = answer_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HubReader":
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._answer_s),
            trust_env=False,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_raised: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(self, path: str, length_max: int) -> bytes:
        """Give what the hub answers.

        Args:
            path: below ``/federation/v1/``.
            length_max: longest answer to take, bytes.

        Raises:
            OutageError: it cannot be reached, or cannot answer now.
            MalformedMessageError: it has no such thing, or too much of it.
        """
        return await self._exchange("GET", path, None, length_max)

    async def ask(self, path: str, signed: str, length_max: int) -> bytes:
        """Give what the hub answers to a request that we have signed.

        Args:
            path: below ``/federation/v1/``.
            signed: a compact JWS.
            length_max: longest answer to take, bytes.

        Raises:
            as ``fetch``.
        """
        return await self._exchange("POST", path, signed.encode("ascii"), length_max)

    async def _exchange(
        self, method: str, path: str, body: bytes | None, length_max: int
    ) -> bytes:
        assert self._session is not None, "only inside the context"
        headers = {} if body is None else {"Content-Type": _SIGNED_TYPE}
        try:
            async with self._session.request(
                method,
                f"{self._url}/{path}",
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as response:
                status = response.status
                raw = await read_up_to(response.content, length_max)
        except _BROKEN_OFF as error:
            raise OutageError(f"the hub cannot be reached: {error}") from None
        if raw is None:
            expected = f"at most {length_max} bytes"
            raise MalformedMessageError(path, "a longer answer", expected)
        if status == _TOO_MANY or status >= 500:
            raise OutageError(f"{path}: the hub answered {status}")
        if status != 200:
            raise MalformedMessageError(path, f"status {status}", "200")
        return raw
