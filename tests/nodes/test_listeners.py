"""Who is woken, who is sent home, and that nobody is forgotten or kept."""

import pytest

from nodes.listeners import Listener, Listeners


def added(listeners: Listeners, account_id: str) -> Listener:
    listener = listeners.add(account_id)
    assert listener is not None
    return listener


async def rested(listeners: Listeners, account_id: str) -> Listener:
    """A listener that has seen all there was when it came."""
    listener = added(listeners, account_id)
    assert await listener.has_news(0.01)
    return listener


async def test_a_new_listener_looks_at_once_and_then_waits() -> None:
    listener = added(Listeners(), "bob")
    assert await listener.has_news(0.01)
    assert not await listener.has_news(0.01)


async def test_only_those_whose_account_was_touched_are_woken() -> None:
    listeners = Listeners()
    bob, other_bob = [await rested(listeners, "bob") for _ in range(2)]
    marie = await rested(listeners, "marie")
    listeners.wake({"bob": 1, "clearing": 2}.keys())
    assert await bob.has_news(0.01) and await other_bob.has_news(0.01)
    assert not await marie.has_news(0.01)
    listeners.wake_all()
    assert await bob.has_news(0.01) and await marie.has_news(0.01)


async def test_what_happens_while_one_reads_wakes_again() -> None:
    listeners = Listeners()
    bob = await rested(listeners, "bob")
    for _ in range(2):
        listeners.wake({"bob": 1}.keys())
    assert await bob.has_news(0.01)
    listeners.wake({"bob": 1}.keys())
    assert await bob.has_news(0.01)
    assert not await bob.has_news(0.01)


async def test_beyond_an_accounts_share_its_oldest_is_sent_home() -> None:
    listeners = Listeners(per_account_max=2)
    marie = added(listeners, "marie")
    oldest, second = added(listeners, "bob"), added(listeners, "bob")
    assert not oldest.is_over
    third = added(listeners, "bob")
    assert [one.is_over for one in (oldest, second, third, marie)] == [
        *(True, False, False, False)
    ]
    assert await oldest.has_news(0.01)
    assert len(listeners) == 3
    # It says farewell itself, a second time.
    listeners.remove(oldest)
    assert len(listeners) == 3


@pytest.mark.parametrize("count", [1, 2])
async def test_there_is_room_up_to_the_limit_and_again_when_one_goes(
    count: int,
) -> None:
    listeners = Listeners(most=count)
    kept = [added(listeners, f"m{number}") for number in range(count)]
    assert listeners.add("bob") is None
    assert len(listeners) == count
    listeners.remove(kept[0])
    assert listeners.add("bob") is not None


async def test_when_all_is_full_ones_own_oldest_makes_room() -> None:
    listeners = Listeners(most=2, per_account_max=2)
    oldest = added(listeners, "bob")
    added(listeners, "bob")
    assert listeners.add("bob") is not None
    assert oldest.is_over


async def test_closing_sends_everyone_home_and_lets_nobody_in() -> None:
    listeners = Listeners()
    bob, marie = await rested(listeners, "bob"), await rested(listeners, "marie")
    listeners.close()
    assert bob.is_over and marie.is_over
    assert await bob.has_news(0.01)
    assert listeners.add("an") is None
    listeners.remove(bob)
    listeners.remove(marie)
    assert len(listeners) == 0
    listeners.wake({"bob": 1}.keys())
