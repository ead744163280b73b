"""Telling the hub what the recovery key has signed: how often, and what it answers."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nodes.house import NodeHouse
from nodes.recovery import RecoveryPost
from nodes.rules import ProposalState
from protocol.errors import OutageError
from protocol.peer.batch import PeerCalls
from protocol.peer.key_files import KeyPair
from tests.nodes.liar import MovingClock
from tests.nodes.test_house_keys import MEMBERSHIP, keys_of, waiting
from tests.peer.makers import recovery
from tests.protocol.makers import OOSTENDE, sealing_key, signing_key
from tests.protocol.test_key_change import ANEW, renewed


class StillClock(MovingClock):
    """A clock that moves only when a test moves it."""

    def monotonic_s(self) -> float:
        return self.ahead_s


class Desk:
    """A hub's desk that answers as a test wants, and who posts there.

    Attributes:
        calls: what people were told.
        posts: when somebody posted, seconds.
    """

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"status": 200, "text": "{}"}
        self.clock = StillClock()
        self.calls: list[str] = []
        self.posts: list[float] = []
        self.house = NodeHouse(keys_of(OOSTENDE), MEMBERSHIP)
        self.house.hold(KeyPair(signing_key(ANEW), sealing_key(ANEW)))
        self.house.renewal = waiting(ProposalState.WAITING, is_recovery=True)
        self.post: RecoveryPost

    async def take(self, wanted: object) -> None:
        assert isinstance(wanted, PeerCalls)
        self.calls.append(wanted.call.text)

    async def post_recovery(self, _request: web.Request) -> web.Response:
        self.posts.append(self.clock.ahead_s)
        return web.Response(**self.answer)

    async def pass_time(self, seconds: int) -> list[float]:
        """Look every five seconds, as a node does; gives when it posted."""
        self.posts.clear()
        for at in range(0, seconds, 5):
            self.clock.ahead_s = float(at)
            await self.post.look()
        return self.posts


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    application = web.Application()
    application.router.add_post("/federation/v1/recovery", desk.post_recovery)
    async with TestServer(application) as server:
        clerk: Any = desk
        url = str(server.make_url("")).rstrip("/")
        desk.post = RecoveryPost(desk.house, clerk, url, desk.clock)
        yield desk


def refusal(code: str) -> dict[str, Any]:
    body = {"type": "urn:interlets:problem:not-recovered", "code": code}
    text = msgspec.json.encode(body).decode()
    return {"status": 409, "text": text, "content_type": "application/problem+json"}


async def test_it_asks_less_and_less_often_down_to_once_a_minute(desk: Desk) -> None:
    assert await desk.pass_time(300) == [0, 5, 15, 35, 75, 135, 195, 255]
    assert desk.calls == []


async def test_after_a_no_it_waits_a_minute(desk: Desk) -> None:
    desk.answer = refusal("entry-changed")
    assert await desk.pass_time(130) == [0, 60, 120]


async def test_another_sheet_is_sent_at_once(desk: Desk) -> None:
    desk.answer = refusal("entry-changed")
    assert await desk.pass_time(10) == [0]
    assert desk.house.renewal is not None
    statement = recovery(renewed(), reason="the disk broke, too")
    desk.house.renewal = msgspec.structs.replace(
        desk.house.renewal, statement=statement
    )
    assert await desk.pass_time(5) == [0]


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (refusal("entry-changed"), "stop this server, type the sheet"),
        (refusal("hub-behind"), "do nothing here"),
        (refusal("no-such-group"), "knows no such group"),
        (refusal("keys-wait"), "keys-wait; ask the regional admin"),
        (refusal("nonsense"), "gives no reason"),
        ({"status": 409, "text": "<h1>No</h1>"}, "gives no reason"),
    ],
)
async def test_people_are_told_what_they_can_do(
    desk: Desk, answer: dict[str, Any], advice: str
) -> None:
    desk.answer = answer
    await desk.pass_time(5)
    [told] = desk.calls
    assert advice in told
    assert ("type the sheet" in told) is ("entry-changed" in str(answer))


@pytest.mark.parametrize("status", [200, 401, 413, 429, 500, 503])
async def test_no_other_answer_calls_people(desk: Desk, status: int) -> None:
    desk.answer = {"status": status, "text": "?"}
    await desk.pass_time(5)
    assert desk.calls == []


async def test_nothing_is_sent_when_nothing_waits(desk: Desk) -> None:
    desk.house.renewal = waiting(ProposalState.APPROVED, is_recovery=True)
    assert await desk.pass_time(5) == []
    desk.house.renewal = waiting(ProposalState.WAITING, is_recovery=False)
    assert await desk.pass_time(5) == []


async def test_an_outage_is_no_answer(desk: Desk) -> None:
    clerk: Any = desk
    away = RecoveryPost(desk.house, clerk, "http://127.0.0.1:1", desk.clock)
    with pytest.raises(OutageError):
        await away.look()
    assert desk.calls == []
