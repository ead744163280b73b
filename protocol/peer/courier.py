"""A node's side of its link: two requests to the hub, and patience.

*Push* carries what was sealed and is answered at once; *poll* is one cover that
the hub holds until it has something. A lost answer costs nothing: the next
cover's ``ack`` tells (protocol, section 5).
"""

import asyncio
import logging
import random
from collections.abc import Callable

import aiohttp
import msgspec

from protocol.address import HUB
from protocol.effects import CallPeople
from protocol.envelope import BODY_LENGTH_MAX, MEDIA_TYPE, Body, open_body
from protocol.errors import OutageError, PeerError
from protocol.peer.batch import Arrival, OtherKey, PeerCalls, Stale
from protocol.peer.clerk import Clerk
from protocol.peer.clock import Clock
from protocol.peer.metrics import Metrics
from protocol.peer.reading import read_up_to
from protocol.peer.steps import KillSwitch
from protocol.peer.web import problems
from protocol.steps import Step

_LOG = logging.getLogger(__name__)
_POLL_WAIT_S = 25
_ANSWER_S = 15
#: An answer so late makes *now* payments refuse to start (protocol, section 7).
OVERDUE_S = 10.0
_PAUSE_MIN_S = 0.2
_PAUSE_MAX_S = 30.0
_CONNECT_S = 5
_HASTY_S = 0.5
#: The hub answers so when it takes no word under this key.
_NOT_SIGNED = (401, "not-signed")
_KEYS_UNKNOWN = CallPeople(
    "own-keys",
    "the hub knows none of this server's keys: perhaps it was restored from before a"
    " change of keys; with the recovery sheet the group gets new ones (keys recover)",
)
#: The hub answers so when a group's quota of refused items is used up.
_MUST_WAIT = 429
_QUOTA_USED_UP = CallPeople(
    "quota",
    "the hub takes nothing of ours until the hour is over: too much was refused",
)


class _NotHeardError(PeerError):
    """The hub takes nothing under the key that signed our cover."""


class Courier:
    """Keeps a node's link with its hub going.

    Args:
        clerk: speaks for us and takes what the hub says.
        hub_url: where the hub is.
        clock: to know what is overdue.
        metrics: what is counted.
        kill_switch: where a trial wants this process to die.
        hear: told of each body whose cover was taken, and what stood behind it.
    """

    def __init__(
        self,
        clerk: Clerk,
        hub_url: str,
        clock: Clock,
        metrics: Metrics,
        kill_switch: KillSwitch,
        hear: Callable[[Body], None],
    ) -> None:
        self._clerk = clerk
        self._url = f"{hub_url}/federation/v1/link"
        self._clock = clock
        self._metrics = metrics
        self._kill_switch = kill_switch
        self._hear = hear
        #: How many lines stood behind the hub's covers; also a sign of life.
        self._heard = 0
        #: When each request that is open should have been answered, monotonic.
        self._due: dict[str, float] = {}
        self._failing_since: float | None = None
        #: Since when the hub answers but takes nothing of what we push.
        self._stuck_since: float | None = None
        #: Since when the hub answers without comparing, as one that was restored does.
        self._uncompared_since: float | None = None
        #: Highest item of the hub's that a cover of ours has acknowledged.
        self._told = -1
        #: Our life that the hub was last told.
        self._greeted = ""

    def is_reachable(self) -> bool:
        """Say whether no answer of the hub is overdue; a poll that waits is not."""
        link = self._clerk.links.get(HUB)
        if link is None or link.trouble is not None:
            return False
        now = self._clock.monotonic_s()
        since = (
            *self._due.values(),
            self._failing_since,
            self._stuck_since,
            self._uncompared_since,
        )
        return all(now - one < OVERDUE_S for one in since if one is not None)

    async def run(self) -> None:
        """Push and poll for as long as the node lives."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        async with (
            aiohttp.ClientSession(
                timeout=timeout, trust_env=False, auto_decompress=False
            ) as session,
            asyncio.TaskGroup() as lanes,
        ):
            # The group ends only when a lane fails; names are for the debugger.
            lanes.create_task(self._poll(session), name="poll")
            lanes.create_task(self._push(session), name="push")

    async def _poll(self, session: aiohttp.ClientSession) -> None:
        pause_s = _PAUSE_MIN_S
        while True:
            news = self._clerk.news(HUB)
            if not self._clerk.is_ready:
                # Rung when this process becomes the clerk.
                await news.wait()
                continue
            before, began = self._standing(), self._clock.monotonic_s()
            is_done = await self._exchange(session, "poll", _POLL_WAIT_S)
            # A hub that cannot compare answers at once: without any progress, do
            # not spin on it.
            took_s = self._clock.monotonic_s() - began
            is_moving = took_s > _HASTY_S or self._standing() != before
            pause_s = await self._pause(pause_s, is_fine=is_done and is_moving)

    async def _push(self, session: aiohttp.ClientSession) -> None:
        pause_s = _PAUSE_MIN_S
        while True:
            news = self._clerk.news(HUB)
            # The poll that brought news says thanks itself, when it gets its turn.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not self._has_something_to_say():
                await news.wait()
                continue
            before, owed = self._clerk.link(HUB).acknowledged, self._owes_something()
            is_done = await self._exchange(session, "push", 0)
            # What came up while only an inquiry was on its way has not been tried.
            is_stuck = owed and self._is_stuck(before)
            self._note_stuck(is_stuck=is_stuck)
            is_fine = is_done and not is_stuck
            pause_s = await self._pause(pause_s, is_fine=is_fine)

    def _standing(self) -> tuple[object, ...]:
        """Give what moves on a link when two servers get along."""
        link = self._clerk.links.get(HUB)
        if link is None:
            return ()
        standing = (link.taken, link.acknowledged, link.peer_life, link.has_compared)
        return (*standing, self._heard)

    def _has_something_to_say(self) -> bool:
        return self._owes_something() or (
            self._clerk.is_ready and self._clerk.has_news(HUB)
        )

    def _owes_something(self) -> bool:
        """Say whether there is something that the hub must take, or be told."""
        if not self._clerk.is_ready:
            return False
        if self._greeted != self._clerk.life:
            # A poll of our former life may wait at the hub: do not wait with it.
            return True
        link = self._clerk.link(HUB)
        return self._clerk.has_sealed(HUB) or (
            link.has_compared and link.taken > self._told
        )

    def _is_stuck(self, acknowledged: int) -> bool:
        """Say whether the hub, though it answered, has taken nothing of ours."""
        link = self._clerk.links[HUB]
        return link.acknowledged <= acknowledged and self._owes_something()

    def _note_stuck(self, *, is_stuck: bool) -> None:
        if not is_stuck:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = self._clock.monotonic_s()

    async def _pause(self, pause_s: float, *, is_fine: bool) -> float:
        """Back off with jitter after a failure; gives the next pause."""
        if is_fine:
            return _PAUSE_MIN_S
        # Chance for spreading retries, not for secrets.
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
        return min(pause_s * 2, _PAUSE_MAX_S)

    async def _exchange(
        self, session: aiohttp.ClientSession, lane: str, wait_s: int
    ) -> bool:
        """Send one request and take its answer; gives whether it was taken."""
        began = self._clock.monotonic_s()
        self._due[lane] = began + wait_s
        try:
            is_taken = await self._ask(session, wait_s)
        except (aiohttp.ClientError, TimeoutError, OutageError, PeerError) as error:
            _LOG.info("%s: %s: %s", lane, type(error).__name__, error)
            is_taken = False
            # Whether the hub has read our thanks is not known: say it again.
            self._told = -1
            if self._failing_since is None:
                self._failing_since = began
        else:
            self._failing_since = None
        finally:
            del self._due[lane]
        return is_taken

    async def _ask(self, session: aiohttp.ClientSession, wait_s: int) -> bool:
        await self._clerk.may_speak(HUB)
        told = self._clerk.link(HUB).taken
        kid = self._clerk.house.signing_key.kid
        request = self._clerk.speak(HUB)
        self._greeted = self._clerk.life
        headers = {"Content-Type": MEDIA_TYPE}
        if wait_s:
            headers["Prefer"] = f"wait={wait_s}"
        carries = self._clerk.has_sealed(HUB)
        if carries:
            self._kill_switch.reach(Step.SEND, "before")
        self._told = max(self._told, told)
        async with (
            asyncio.timeout(wait_s + _ANSWER_S),
            session.post(
                self._url, data=request, headers=headers, allow_redirects=False
            ) as response,
        ):
            try:
                answer = await _read(response)
            except _NotHeardError:
                await self._try_next_key(kid)
                raise
        if carries:
            self._kill_switch.reach(Step.SEND, "after")
        is_taken = await self._take(answer)
        if response.status == _MUST_WAIT:
            # Only now is it known that the hub says so, and no proxy.
            await self._clerk.take(PeerCalls(HUB, _QUOTA_USED_UP))
        return is_taken

    async def _try_next_key(self, kid: str) -> None:
        """Sign the next cover with another of our keys, if there is one.

        After a stop, or a day long ago put back, hub or node may not know which of
        our keys is in force at the other (protocol, section 3).
        """
        if self._clerk.house.not_heard(kid):
            await self._clerk.take(PeerCalls(HUB, _KEYS_UNKNOWN))

    async def _take(self, answer: bytes) -> bool:
        house = self._clerk.house
        body = open_body(answer, house.keyring, house.federation, house.own)
        if body.cover.payload.from_ != HUB:
            raise PeerError(f"the hub's answer is signed by {body.cover.payload.from_}")
        outcome = await self._clerk.take(Arrival(HUB, body))
        if isinstance(outcome, Stale | OtherKey):
            return False
        if self._clerk.link(HUB).has_compared:
            self._uncompared_since = None
        elif self._uncompared_since is None:
            self._uncompared_since = self._clock.monotonic_s()
        self._heard += len(body.inquiries)
        self._hear(body)
        return True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer up to its limit; raises what its status means."""
    raw = await read_up_to(response.content, BODY_LENGTH_MAX)
    if raw is None:
        raise PeerError("the hub's answer is larger than 1 MiB")
    # A 429 carries a cover too: it says that nothing was taken, and so we wait.
    if response.status in (200, _MUST_WAIT):
        return raw
    told = f"the hub answered {response.status}: {raw[:300]!r}"
    if (response.status, _kind(response, raw)) == _NOT_SIGNED:
        raise _NotHeardError(told)
    raise OutageError(told) if response.status >= 500 else PeerError(told)


class _Problem(msgspec.Struct):
    type: str


def _kind(response: aiohttp.ClientResponse, raw: bytes) -> str:
    """Name the problem that a server of ours tells; a proxy's answer is none."""
    if response.content_type != problems.MEDIA_TYPE:
        return ""
    try:
        named = msgspec.json.decode(raw, type=_Problem).type
    except msgspec.MsgspecError:
        return ""
    return named.removeprefix(problems.TYPE_PREFIX)
