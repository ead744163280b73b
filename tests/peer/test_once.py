"""A button that is pressed twice does something once."""

import asyncio

import pytest

from protocol.peer.web import once
from protocol.peer.web.once import Once


class Maker:
    """Makes 1, 2, 3, ..., each when it may."""

    def __init__(self) -> None:
        self.made = 0
        self.may = asyncio.Event()

    async def __call__(self) -> int:
        await self.may.wait()
        self.made += 1
        return self.made


async def test_two_clicks_at_once_make_one() -> None:
    maker, buttons = Maker(), Once[int]()
    async with asyncio.TaskGroup() as group:
        clicks = [group.create_task(buttons.do("tine", "key", maker)) for _ in range(2)]
        group.create_task(asyncio.sleep(0)).add_done_callback(lambda _: maker.may.set())
    assert [click.result() for click in clicks] == [1, 1]


async def test_another_key_and_another_person_make_another() -> None:
    maker, buttons = Maker(), Once[int]()
    maker.may.set()
    made = [
        await buttons.do(person, key, maker)
        for person, key in (("tine", "a"), ("tine", "b"), ("tom", "a"), ("tine", "a"))
    ]
    assert made == [1, 2, 3, 1]


async def test_what_failed_may_be_tried_again() -> None:
    buttons = Once[int]()

    async def fail() -> int:
        raise OSError("away")

    maker = Maker()
    maker.may.set()
    with pytest.raises(OSError, match="away"):
        await buttons.do("tine", "key", fail)
    assert await buttons.do("tine", "key", maker) == 1


async def test_it_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, buttons = Maker(), Once[int]()
    maker.may.set()
    now = [0.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    made = []
    for at in (0.0, once.KEPT_S - 0.1, once.KEPT_S + 0.1):
        now[0] = at
        made.append(await buttons.do("tine", "key", maker))
    monkeypatch.undo()
    assert made == [1, 1, 2]


async def test_it_never_remembers_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "KEPT_MAX", 3)
    maker, buttons = Maker(), Once[int]()
    maker.may.set()
    for key in ("a", "b", "c", "d"):
        await buttons.do("tine", key, maker)
    assert await buttons.do("tine", "d", maker) == 4
    assert await buttons.do("tine", "a", maker) == 5
