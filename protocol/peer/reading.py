"""Reading what a stranger sends no further than one is willing to keep."""

import aiohttp


async def read_up_to(stream: aiohttp.StreamReader, most: int) -> bytes | None:
    """Read a whole body; ``stream.read(n)`` alone gives whatever came first.

    Args:
        stream: of a request or an answer.
        most: bytes to take.

    Returns:
        All of it, or None as soon as there was more.

    Raises:
        aiohttp.ClientError, asyncio.IncompleteReadError: it broke off.
    """
    raw = bytearray()
    async for chunk in stream.iter_any():
        raw += chunk
        if len(raw) > most:
            return None
    return bytes(raw)
