"""A group that asks for what cannot be is made to wait, and people hear of it."""

from collections.abc import Callable

import pytest

from clearing.house import HubHouse
from clearing.rules import HubView
from protocol.effects import ArrivedItem, CallPeople, Effects
from protocol.errors import ItemRefusalCode, RefusalCode
from protocol.messages import (
    AnyItem,
    TransferAccept,
    TransferCancel,
    TransferRefuse,
    write_line,
)
from protocol.peer import directory_store
from protocol.quota import Quota
from protocol.transfer import REFUSED_PREPARES_MAX
from tests.clearing.makers import accepted, apply, hub_view, prepared
from tests.peer.federation import NewDatabase, federation, hub_house
from tests.peer.makers import NOW, OTHER_ID, arrival, not_compared
from tests.peer.test_hostile import send_to_hub
from tests.protocol.makers import MECHELEN, OOSTENDE, hash_of

TOO_MUCH = {"milliseconds": 10**13}


def decided(view: HubView, arrived: ArrivedItem) -> list[Effects]:
    """All that the hub's house decides on an item, applied."""
    made = []
    for effects in hub_house().decide(view, arrived, NOW):
        made.append(apply(view, effects))
    return made


def counted(view: HubView, arrived: ArrivedItem) -> bool:
    """Whether deciding on this item uses up a quota of one."""
    view.quota = Quota(1)
    decided(view, arrived)
    return view.quota.is_used_up(arrived.peer, NOW)


def unreadable() -> ArrivedItem:
    return ArrivedItem(
        peer=OOSTENDE, number=1, line=b"1", item=ItemRefusalCode.UNREADABLE
    )


def unknown(item: AnyItem) -> Callable[[], ArrivedItem]:
    return lambda: arrival(OOSTENDE, item)


@pytest.mark.parametrize(
    "make",
    [
        lambda: prepared(**TOO_MUCH),
        unknown(TransferCancel(id=OTHER_ID)),
        unknown(TransferAccept(id=OTHER_ID, prepare=hash_of("none"))),
        unknown(
            TransferRefuse(
                id=OTHER_ID,
                prepare=hash_of("none"),
                code=RefusalCode.UNKNOWN_ACCOUNT,
            )
        ),
        lambda: prepared(peer=MECHELEN),
        unreadable,
    ],
)
def test_what_is_refused_without_an_offer_counts(
    make: Callable[[], ArrivedItem],
) -> None:
    assert counted(hub_view(), make())


def test_an_id_used_again_counts() -> None:
    view = hub_view()
    assert not counted(view, prepared())
    assert counted(view, prepared(content=hash_of("another")))


def test_what_will_be_refused_when_both_have_compared_counts_once() -> None:
    view = hub_view()
    view.links[MECHELEN] = not_compared(MECHELEN)
    assert counted(view, prepared(**TOO_MUCH))
    assert not counted(view, prepared(**TOO_MUCH))
    assert counted(view, arrival(OOSTENDE, TransferCancel(id=OTHER_ID)))
    assert not counted(view, arrival(OOSTENDE, TransferCancel(id=OTHER_ID)))


def test_an_offer_counts_for_nobody_however_it_ends() -> None:
    for end in (
        accepted,
        lambda arrived: arrival(OOSTENDE, TransferCancel(id=arrived.item.id)),
    ):
        view = hub_view()
        arrived = prepared()
        assert not counted(view, arrived)
        assert not counted(view, arrived)
        assert not counted(view, end(arrived))


def test_people_are_called_once_when_a_quota_is_used_up() -> None:
    view = hub_view()
    view.quota = Quota(2)
    calls = []
    for number in range(4):
        id_ = OTHER_ID[:-1] + str(number)
        for effects in decided(view, arrival(OOSTENDE, TransferCancel(id=id_))):
            calls += [one for one in effects.wanted if isinstance(one, CallPeople)]
    assert [call.about for call in calls] == ["quota"]
    assert calls[0].text.startswith("oostende ")


def test_only_a_durable_batch_counts() -> None:
    house = hub_house()
    view = house.begin("AAAAAAAAAAA")
    for _ in range(REFUSED_PREPARES_MAX):
        view.quota.note(OOSTENDE, NOW)
    assert not house.must_wait(OOSTENDE, NOW)
    house.keep(view)
    assert house.must_wait(OOSTENDE, NOW)


async def test_a_group_that_calls_off_what_nobody_knows_is_made_to_wait(
    new_database: NewDatabase,
) -> None:
    async with federation(new_database) as federated:
        hub = federated.hub
        assert isinstance(hub.house, HubHouse)
        lines = [
            write_line(TransferCancel(id=f"{number:08x}{OTHER_ID[8:]}"))
            for number in range(REFUSED_PREPARES_MAX)
        ]
        await send_to_hub(federated, lines, b"")
        assert hub.house.must_wait(OOSTENDE, hub.clock.now())
        assert not hub.house.must_wait(MECHELEN, hub.clock.now())
        async with hub.database.readers.acquire() as connection:
            alarms = await directory_store.read_alarms(connection, 10)
        assert [alarm.about for alarm in alarms].count("quota") == 1
