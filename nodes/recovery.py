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
from protocol.errors import (
    DirectoryRefusalCode,
    MalformedMessageError,
    OutageError,
)
from protocol.peer.batch import PeerCalls
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.reading import read_up_to

_LOG = logging.getLogger(__name__)
_ANSWER_S = 15
_ANSWER_LENGTH_MAX = 64 * 1024
_CONFLICT = 409
_PAUSE_MIN_S = 5.0
_PAUSE_MAX_S = 60.0
_NOT_TAKEN = "the hub does not take the keys that the recovery sheet vouches for"
#: What people can do, by the hub's reason.
_ADVICE = {
    DirectoryRefusalCode.ENTRY_CHANGED: (
        "it knows another entry of this group by now; stop this server, type the sheet"
        " once more (keys recover), and start it again; if the hub still refuses, ask"
        " the regional admin whether the hub was restored from a backup"
    ),
    DirectoryRefusalCode.HUB_BEHIND: (
        "a group says that the hub has forgotten decisions; do nothing here, and ask"
        " the regional admin to look: this server asks again by itself"
    ),
    DirectoryRefusalCode.NO_SUCH_GROUP: (
        "it knows no such group; ask the regional admin whether the hub was restored"
        " from a backup: this server asks again by itself"
    ),
}
_NO_REASON = "it gives no reason; ask the regional admin"


class _Newest(msgspec.Struct):
    entry: str


class _Refused(msgspec.Struct):
    code: str


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
        clock: to know when it is time to ask again.
    """

    def __init__(
        self, house: NodeHouse, clerk: Clerk, hub_url: str, clock: Clock
    ) -> None:
        self._house = house
        self._clerk = clerk
        self._url = f"{hub_url}/federation/v1/recovery"
        self._clock = clock
        self._asked = ""
        self._pause_s = _PAUSE_MIN_S
        self._again_at_s = 0.0

    async def look(self) -> None:
        """Send the request, when there is one and it is time.

        Raises:
            OutageError: the hub cannot be reached, or cannot answer now.
        """
        request = request_of(self._house)
        if request is None:
            return
        now_s = self._clock.monotonic_s()
        if request != self._asked:
            # Another sheet was typed: this one has not been heard of yet.
            self._asked, self._pause_s = request, _PAUSE_MIN_S
        elif now_s < self._again_at_s:
            return
        self._again_at_s = now_s + self._pause_s
        self._pause_s = min(self._pause_s * 2, _PAUSE_MAX_S)
        status, raw = await self._post(request)
        _LOG.info("new keys by the recovery key: the hub answered %s", status)
        if status == _CONFLICT:
            # It has read and refused it: nothing will be other in a moment.
            self._pause_s = _PAUSE_MAX_S
            self._again_at_s = now_s + _PAUSE_MAX_S
            call = CallPeople("own-keys", f"{_NOT_TAKEN}: {_advice(raw)}")
            await self._clerk.take(PeerCalls(Group(HUB), call))

    async def _post(self, request: str) -> tuple[int, bytes]:
        """Send it once; gives status and body of the answer."""
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
        return status, raw or b""


def _advice(raw: bytes) -> str:
    """Say what people can do, by the reason that the hub gives."""
    try:
        code = DirectoryRefusalCode(msgspec.json.decode(raw, type=_Refused).code)
    except (msgspec.MsgspecError, ValueError):
        return _NO_REASON
    return _ADVICE.get(code, f"{code}; ask the regional admin")
