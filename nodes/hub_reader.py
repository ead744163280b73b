"""Reads what the hub publishes for everyone: its log and its evidence.

Nothing that is read here is believed as it comes: whoever asks verifies it.
"""

import aiohttp

from protocol.errors import MalformedMessageError, OutageError
from protocol.peer.reading import read_up_to

_ANSWER_S = 10
#: The hub, or a proxy before it, is asked too much by somebody: no lie of the hub's.
_TOO_MANY = 429


class HubReader:
    """One visit to the hub; an async context.

    Args:
        hub_url: where the hub is.
    """

    def __init__(self, hub_url: str) -> None:
        self._url = f"{hub_url}/federation/v1"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HubReader":
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
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
        assert self._session is not None, "only inside the context"
        try:
            async with self._session.get(
                f"{self._url}/{path}", allow_redirects=False
            ) as response:
                status = response.status
                raw = await read_up_to(response.content, length_max)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OutageError(f"the hub cannot be reached: {error}") from None
        if raw is None:
            expected = f"at most {length_max} bytes"
            raise MalformedMessageError(path, "a longer answer", expected)
        if status == _TOO_MANY or status >= 500:
            raise OutageError(f"{path}: the hub answered {status}")
        if status != 200:
            raise MalformedMessageError(path, f"status {status}", "200")
        return raw
