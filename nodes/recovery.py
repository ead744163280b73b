"""Telling the hub, past the link, what the recovery key has signed.

A node whose keys are lost is not heard on its link, so the request goes by itself,
again and again until the hub's decision comes. No status of HTTP moves anything: what
counts is the decision, by the link that the new keys open again.
"""

import logging

import aiohttp
import msgspec

from nodes.house import NodeHouse
from nodes.hub_reader import HubReader
from nodes.key_changes import request_of
from protocol.address import HUB, Group
from protocol.effects import CallPeople
from protocol.errors import MalformedMessageError, OutageError
from protocol.peer.batch import PeerCalls
from protocol.peer.clerk import Clerk
from protocol.peer.reading import read_up_to

_LOG = logging.getLogger(__name__)
_ANSWER_S = 15
_ANSWER_LENGTH_MAX = 64 * 1024
_CONFLICT = 409
_NOT_TAKEN = CallPeople(
    "own-keys",
    "the hub does not take the keys that the recovery sheet vouches for: it may know a"
    " newer entry of this group; type the sheet once more (keys recover)",
)


class _Newest(msgspec.Struct):
    entry: str


async def ask_newest(hub_url: str, group: Group) -> str:
    """Ask the hub for a group's newest entry, as it was signed.

    Raises:
        OutageError: the hub cannot be reached, or cannot answer now.
        MalformedMessageError: it has none, or answers something else.
    """
    async with HubReader(hub_url) as reader:
        raw = await reader.fetch(f"recovery/{group}", _ANSWER_LENGTH_MAX)
    try:
        return msgspec.json.decode(raw, type=_Newest).entry
    except msgspec.MsgspecError:
        raise MalformedMessageError("entry", raw[:40], "the group's entry") from None


class RecoveryPost:
    """Sends what waits, if anything does.

    Args:
        house: knows what waits.
        clerk: to call people.
        hub_url: where the hub is.
    """

    def __init__(self, house: NodeHouse, clerk: Clerk, hub_url: str) -> None:
        self._house = house
        self._clerk = clerk
        self._url = f"{hub_url}/federation/v1/recovery"

    async def look(self) -> None:
        """Send the request once, when there is one.

        Raises:
            OutageError: the hub cannot be reached, or cannot answer now.
        """
        request = request_of(self._house)
        if request is None:
            return
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.post(
                    self._url, data=request.encode(), allow_redirects=False
                ) as response,
            ):
                raw = await read_up_to(response.content, _ANSWER_LENGTH_MAX)
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OutageError(f"the hub cannot be reached: {error}") from None
        _LOG.info("new keys by the recovery key: the hub answered %s", status)
        if status == _CONFLICT:
            _LOG.warning("the hub did not take the new keys: %r", (raw or b"")[:300])
            await self._clerk.take(PeerCalls(Group(HUB), _NOT_TAKEN))
